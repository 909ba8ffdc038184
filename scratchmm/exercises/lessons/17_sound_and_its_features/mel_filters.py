"""Exercise mel.mel_filters: triangles as wide as the ear hears."""

import math

import torch

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
    hints=(
        "Bands with corners at 100, 200, 400 and 800 Hz are two: one rises from 100 to 200 and falls "
        "to 400, the other rises from 200 to 400 and falls to 800. At 300 Hz the first has come half "
        "way down and the second half way up.",
        "Each triangle begins in the middle of the one before and ends in the middle of the next, so M "
        "of them need M + 2 corners. They stand equally far apart in mels, but the sides are straight "
        "in hertz. High bands are wide: divided by half its width, each catches equally much of a hiss.",
        "Refuse what check_bands refuses, and any area but 'slaney' and None. Frequency q is q * rate "
        "/ size hertz, (Q,). Corners: mel_points, M + 2 of them; left, middle and right are M of them "
        "each, (M, 1). Two straight lines (M, Q): from 0 at left to 1 at middle, and on to 0 at right. "
        "The lower of the two, and never below 0.",
        "rising = (hertz - left) / (middle - left); falling = (right - hertz) / (right - middle); "
        "rising.minimum(falling).clamp(min=0), times 2 / (right - left) where area is 'slaney'",
    ),
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


@exercise.holds("a row for each band, a column for each frequency of the frames")
def shape(mel_filters, case):
    got = case.call(mel_filters, 8000, 50, 6)
    case.named(torch.zeros(6, 26), "M Q")
    case.shape(got, "M Q")


@exercise.holds("up to 1000 Hz mels are even, and so are the triangles: each rises as it falls")
def even(mel_filters, case):
    given = (2000, 40, 4, 0.0, None, "slaney", None)
    case.equal(case.call(mel_filters, *given), drawn(*given))


@exercise.holds("inside the bands, at every frequency all heights together are 1")
def together(mel_filters, case):
    got = case.call(mel_filters, 16000, 128, 7, 0.0, None, "slaney", None)
    corners = [to_hertz(to_mel(8000, "slaney") * i / 8, "slaney") for i in (1, 7)]
    hertz = torch.arange(65) * 125.0
    inside = (hertz >= corners[0]) & (hertz <= corners[1])
    case.equal(got.sum(dim=0)[inside], torch.ones(int(inside.sum())).double(), "the sum of heights")


@exercise.holds("above 1000 Hz the triangles grow wider")
def wider(mel_filters, case):
    alike(mel_filters, case, (16000, 60, 7, 0.0, None, "slaney", None), (8000, 41, 9, 0.0, None))


@exercise.holds("with area 'slaney' every triangle catches 1 hertz, and is as high as that takes")
def areas(mel_filters, case):
    got = case.call(mel_filters, 8000, 4000, 5)
    case.equal(got.sum(dim=1) * 2, torch.ones(5).double(), "the areas", tolerance=1e-2)


@exercise.holds("bands lie from low to high")
def between(mel_filters, case):
    alike(
        mel_filters,
        case,
        (8000, 64, 5, 300.0, 3000.0, "slaney", None),
        (8000, 64, 4, 900.0, None, "slaney", None),
        (8000, 64, 4, 0.0, 2500.0),
    )


@exercise.holds("the HTK scale is another one")
def htk(mel_filters, case):
    alike(
        mel_filters,
        case,
        (8000, 60, 6, 0.0, None, "htk", None),
        (16000, 50, 7, 100.0, 7000.0, "htk", "slaney"),
    )


@exercise.holds("a band too narrow to hold any frequency is zeros, and none is below 0")
def narrow(mel_filters, case):
    alike(mel_filters, case, (8000, 16, 11, 0.0, None, "slaney", None))


@exercise.holds("an odd size has no frequency at half the rate")
def odd(mel_filters, case):
    alike(mel_filters, case, (9000, 45, 6, 0.0, None, "slaney", None))


@exercise.holds("bands that reach above half the rate, or that are none, are refused: ValueError")
def refused(mel_filters, case):
    for given in (
        (8000, 64, 5, 0.0, 4100.0),
        (8000, 64, 5, 700.0, 700.0),
        (8000, 64, 5, 0.0, 0.0),
        (8000, 64, 5, -10.0),
        (8000, 64, 0),
        (0, 8, 2),
    ):
        case.refuses(ValueError, mel_filters, *given)


@exercise.holds("an area that nobody declared is refused with a ValueError")
def unknown(mel_filters, case):
    case.refuses(ValueError, mel_filters, 8000, 64, 5, 0.0, None, "slaney", "equal")
