"""Exercise mel.mel_filters: triangles as wide as the ear hears."""

import math

import torch

from scratchmm.audio.mel import check_bands, mel_points
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="mel.mel_filters",
    order=30,
    target="scratchmm.audio.mel:mel_filters",
    title="As the ear hears pitch",
    goal="M triangles over Q frequencies, their corners equally far apart in mels: float64 (M, Q)",
    minutes=20,
    difficulty=3,
    section="As the ear hears pitch",
    needs=("spectrum.stft",),
    hints="""
        1. Bands with corners at 100, 200, 400 and 800 Hz are two: one rises from 100 to 200 and
           falls to 400, the other rises from 200 to 400 and falls to 800. At 300 Hz the first has
           come half way down and the second half way up.
        2. Each triangle begins in the middle of the one before and ends in the middle of the next,
           so M of them need M + 2 corners. They stand equally far apart in mels, but the sides are
           straight in hertz. High bands are wide: divided by half its width, each catches equally
           much of a hiss.
        3. Refuse what check_bands refuses, and any area but 'slaney' and None. Frequency q is q *
           rate / size hertz, (Q,). Corners: mel_points, M + 2 of them; left, middle and right are M
           of them each, (M, 1). Two straight lines (M, Q): from 0 at left to 1 at middle, and on to
           0 at right. The lower of the two, and never below 0.
        4. rising = (hertz - left) / (middle - left); falling = (right - hertz) / (right - middle);
           rising.minimum(falling).clamp(min=0), times 2 / (right - left) where area is 'slaney'
    """,
)


def to_mel(hertz, scale):
    """Mels of one frequency, written out."""
    if scale == "htk":
        return 2595 * math.log10(1 + hertz / 700)
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def to_hertz(mel, scale):
    """The frequency of one pitch, written out."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def drawn(rate, size, mels, low=0.0, high=None, scale="slaney", area="slaney"):
    """The oracle: number by number."""
    bottom, top = to_mel(low, scale), to_mel(rate / 2 if high is None else high, scale)
    corners = [to_hertz(bottom + (top - bottom) * i / (mels + 1), scale) for i in range(mels + 2)]
    rows = []
    for left, middle, right in zip(corners, corners[1:], corners[2:]):
        row = []
        for hertz in (q * rate / size for q in range(size // 2 + 1)):
            up, down = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
            row.append(max(0.0, min(up, down)) * (2 / (right - left) if area else 1))
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def alike(mel_filters, case, *choices):
    """Several calls, each as drawn; heights of equal areas are some thousandths."""
    case.each(mel_filters, *[(given, drawn(*given)) for given in choices])


@exercise.holds("a row a band, a column a frequency; up to 1000 Hz each triangle rises as it falls")
def even(mel_filters, case):
    alike(mel_filters, case, (2000, 40, 4, 0.0, None, "slaney", None))


@exercise.holds("above 1000 Hz triangles grow wider; an odd size has no frequency at half the rate")
def wider(mel_filters, case):
    given = (16000, 60, 7, 0.0, None, "slaney", None), (8000, 41, 9, 0.0, None)
    alike(mel_filters, case, *given, (9000, 45, 6, 0.0, None, "slaney", None))


@exercise.holds("a band too narrow to hold any frequency is zeros, and none is below 0")
def narrow(mel_filters, case):
    alike(mel_filters, case, (8000, 16, 11, 0.0, None, "slaney", None))


@exercise.holds("bands lie from low to high")
def between(mel_filters, case):
    given = (8000, 64, 5, 300.0, 3000.0, "slaney", None), (8000, 64, 4, 900.0, None, "slaney", None)
    alike(mel_filters, case, *given, (8000, 64, 4, 0.0, 2500.0))


@exercise.holds("the HTK scale is another one")
def htk(mel_filters, case):
    wide = (16000, 50, 7, 100.0, 7000.0, "htk", "slaney")
    alike(mel_filters, case, (8000, 60, 6, 0.0, None, "htk", None), wide)


@exercise.holds("bands above half the rate, or that are none, and another area: ValueError")
def refused(mel_filters, case):
    bands = (5, 0.0, 4100.0), (5, 700.0, 700.0), (5, 0.0, 0.0), (5, -10.0), (0,)
    for given in [(8000, 64, *one) for one in bands] + [(0, 8, 2)]:
        case.refuses(ValueError, mel_filters, *given)
    case.refuses(ValueError, mel_filters, 8000, 64, 5, 0.0, None, "slaney", "equal")


exercise.mistakes("""
    even-in-hertz: the corners are equally far apart in hertz: no ear hears so
    - mel_points(mels + 2, low, high, scale)
    + torch.linspace(low, high, mels + 2, dtype=torch.float64)
    > equally far apart in mels: mel_points

    always-htk [convention]: the scale is HTK's, logarithmic from 0 Hz on
    - mel_points(mels + 2, low, high, scale)
    + mel_points(mels + 2, low, high, "htk")
    > hand `scale` on: it is Slaney's unless HTK's is given

    bins-rounded [convention]: the corners are rounded down to whole frequencies of the frames
    - points = mel_points(mels + 2, low, high, scale)
    + points = ((size + 1) * mel_points(mels + 2, low, high, scale) / rate).floor() * rate / size
    - rising.minimum(falling).clamp(min=0)
    + rising.minimum(falling).nan_to_num(0, 0, 0).clamp(min=0)
    > leave them between: the lines are drawn in hertz

    straight-in-mels [convention]: the sides are straight in mels, and bent in hertz
    - left, middle, right = (points[i : i + mels, None] for i in range(3))
    + left, middle, right = (hertz_to_mel(points, scale)[i : i + mels, None] for i in range(3))
    + hertz, width = hertz_to_mel(hertz, scale), points[2:, None] - points[:-2, None]
    - right - left
    + width
    > only the corners are placed in mels: rise and fall by hertz

    all-equally-high [convention]: all bands are equally high, area or not
    - return filters if area is None else filters * 2 / (right - left)
    + return filters
    > with area 'slaney', divide each by half its width in hertz

    rows-sum-to-1 [convention]: each row is divided by its sum
    - filters * 2 / (right - left)
    + filters / filters.sum(1, keepdim=True).clamp(min=1e-9)
    > by half its width in hertz: areas are equal, not sums

    rows-are-frequencies [convention]: the result is (Q, M)
    - return filters if area is None else filters * 2 / (right - left)
    + return (filters if area is None else filters * 2 / (right - left)).T
    > (M, Q): a row a band, so that filters @ power is the mel spectrogram

    zero-is-none: a high of 0 is not refused: `or` takes it for none given
    - high = rate / 2 if high is None else high
    + high = high or rate / 2
    > test whether high is None
""")

exercise.slips("""
    mel_points(mels + 2, low, high, scale) => mel_points(mels + 2, 0.0, high, scale)
    mel_points(mels + 2, low, high, scale) => mel_points(mels + 4, low, high, scale)[1:-1]
    torch.arange(size // 2 + 1, dtype=torch.float64) * rate / size =>
        torch.linspace(0, rate, size // 2 + 1, dtype=torch.float64)
    torch.arange(size // 2 + 1, dtype=torch.float64) * rate / size =>
        torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    rising.minimum(falling).clamp(min=0) => rising.maximum(falling).clamp(0, 1)
    rising.minimum(falling).clamp(min=0) => rising.clamp(0, 1) * (hertz <= right)
    rising.minimum(falling).clamp(min=0) => ((hertz >= left) & (hertz < right)).double()
    rising.minimum(falling).clamp(min=0) =>
        (torch.pi / 2 * rising.minimum(falling).clamp(min=0)).sin().square()
    filters * 2 => filters
    mel_points(mels + 2, low, high, scale) => mel_points(mels + 2, low, rate / 2, scale)
""")


@exercise.right("band by band, in pieces")
def in_pieces(rate, size, mels, low=0.0, high=None, scale="slaney", area="slaney"):
    high = rate / 2 if high is None else high
    check_bands(rate, size, mels, low, high)
    if area is not None and area != "slaney":
        raise ValueError(f"there is no area {area}")
    corners = mel_points(mels + 2, low, high, scale).tolist()
    filters = torch.zeros(mels, size // 2 + 1, dtype=torch.float64)
    for band, (left, middle, right) in enumerate(zip(corners, corners[1:], corners[2:])):
        height = 1 if area is None else 2 / (right - left)
        for q in range(size // 2 + 1):
            hertz = q * rate / size
            if left < hertz <= middle:
                filters[band, q] = height * (hertz - left) / (middle - left)
            elif middle < hertz < right:
                filters[band, q] = height * (right - hertz) / (right - middle)
    return filters


@exercise.right("by how far a frequency lies between its two corners")
def interpolated(rate, size, mels, low=0.0, high=None, scale="slaney", area="slaney"):
    high = rate / 2 if high is None else high
    check_bands(rate, size, mels, low, high)
    if area is not None and area != "slaney":
        raise ValueError(f"there is no area {area}")
    corners = mel_points(mels + 2, low, high, scale)
    hertz = torch.arange(size // 2 + 1).double() * (rate / size)
    above = torch.searchsorted(corners, hertz, right=True).clamp(1, mels + 1)
    share = (hertz - corners[above - 1]) / (corners[above] - corners[above - 1])
    inside = (hertz >= low) & (hertz <= high)
    heights, places = torch.zeros(mels + 2, len(hertz)).double(), torch.arange(len(hertz))
    heights[above, places] = torch.where(inside, share, 0)
    heights[above - 1, places] = torch.where(inside, 1 - share, 0)
    filters = heights[1:-1]
    return filters if area is None else filters / ((corners[2:] - corners[:-2]) / 2)[:, None]
