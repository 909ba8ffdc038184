"""Wrong and other right answers to mel.mel_filters."""

import torch

from scratchmm.audio.mel import check_bands, mel_points
from scratchmm.exercises.format import exercise_file

exercise = exercise_file("17_sound_and_its_features/mel_filters").exercise

HERTZ = "torch.arange(size // 2 + 1, dtype=torch.float64) * rate / size"
POINTS = "mel_points(mels + 2, low, high, scale)"
CORNERS = "(points[i : i + mels, None] for i in range(3))"
LINES = "rising.minimum(falling).clamp(min=0)"
RESULT = "filters if area is None else filters * 2 / (right - left)"

exercise.edit(
    "even-in-hertz",
    (POINTS, "torch.linspace(low, high, mels + 2, dtype=torch.float64)"),
    story="the corners are equally far apart in hertz: no ear hears so",
    advice="equally far apart in mels: mel_points",
)
exercise.edit(
    "always-slaney",
    (POINTS, 'mel_points(mels + 2, low, high, "slaney")'),
    story="the scale is Slaney's whatever is asked for",
    advice="hand `scale` on",
)
exercise.edit(
    "always-htk",
    (POINTS, 'mel_points(mels + 2, low, high, "htk")'),
    story="the scale is HTK's, logarithmic from 0 Hz on",
    advice="hand `scale` on: it is Slaney's unless HTK's is asked for",
    convention=True,
)
exercise.edit(
    "from-0",
    (POINTS, "mel_points(mels + 2, 0.0, high, scale)"),
    story="the bands begin at 0 Hz, though low is given",
    advice="from low to high",
)
exercise.edit(
    "to-half-the-rate",
    (POINTS, "mel_points(mels + 2, low, rate / 2, scale)"),
    story="the bands end at half the rate, though high is given",
    advice="from low to high",
)
exercise.edit(
    "corners-inside",
    (POINTS, "mel_points(mels + 4, low, high, scale)[1:-1]"),
    story="low and high themselves are no corners: the bands begin and end inside",
    advice="M + 2 corners, the first is low and the last is high",
)
exercise.edit(
    "middles-from-low-to-high",
    (
        POINTS,
        "(lambda p: torch.cat([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]]))"
        "(mel_points(mels, low, high, scale) if mels > 1 else mel_points(3, low, high, scale))",
    ),
    story="the tops of the triangles lie from low to high, so the outer ones reach beyond",
    advice="M + 2 corners from low to high; the tops are those between",
)
exercise.edit(
    "bins-rounded",
    (POINTS, "((size + 1) * mel_points(mels + 2, low, high, scale) / rate).floor() * rate / size"),
    (LINES, "torch.nan_to_num(rising.minimum(falling), 0, 0, 0).clamp(min=0)"),
    story="the corners are rounded down to whole frequencies of the frames",
    advice="leave them between: the lines are drawn in hertz",
    convention=True,
)
exercise.edit(
    "straight-in-mels",
    (
        CORNERS,
        "(hertz_to_mel(points, scale)[i : i + mels, None] for i in range(3))\n"
        "    hertz, width = hertz_to_mel(hertz, scale), points[2:, None] - points[:-2, None]",
    ),
    (RESULT, "filters if area is None else filters * 2 / width"),
    story="the sides are straight in mels, and bent in hertz",
    advice="only the corners are placed in mels: rise and fall by hertz",
    convention=True,
)
exercise.edit(
    "frequencies-to-the-rate",
    (HERTZ, "torch.linspace(0, rate, size // 2 + 1, dtype=torch.float64)"),
    story="the frequencies are spread from 0 to the rate",
    advice="frequency q is q * rate / size: the last lies at half the rate",
)
exercise.edit(
    "frequencies-to-half-the-rate",
    (HERTZ, "torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)"),
    story="the last frequency is put at half the rate, which is wrong where the size is odd",
    advice="frequency q is q * rate / size",
)
exercise.edit(
    "higher-of-the-two",
    (LINES, "rising.maximum(falling).clamp(0, 1)"),
    story="the higher of the two lines is taken, so every band covers everything",
    advice="the lower one: inside the triangle both are above it",
)
exercise.edit(
    "below-0",
    (LINES, "rising.minimum(falling)"),
    story="outside the triangles the lines run on below 0",
    advice="clamp(min=0)",
)
exercise.edit(
    "never-falling",
    (LINES, "rising.clamp(0, 1) * (hertz <= right)"),
    story="the bands rise and then stay at 1 until they end",
    advice="from the middle they fall to 0",
)
exercise.edit(
    "boxes",
    (LINES, "((hertz >= left) & (hertz < right)).double()"),
    story="the bands are boxes: everything between two corners counts 1",
    advice="triangles: 0 at the corners left and right, 1 in the middle",
)
exercise.edit(
    "humps",
    (LINES, "(torch.pi / 2 * rising.minimum(falling).clamp(min=0)).sin().square()"),
    story="the bands are smooth humps",
    advice="straight lines up and down",
)
exercise.edit(
    "all-equally-high",
    (RESULT, "filters"),
    story="all bands are equally high, area or not",
    advice="with area 'slaney', divide each by half its width in hertz",
    convention=True,
)
exercise.edit(
    "all-equal-areas",
    (RESULT, "filters * 2 / (right - left)"),
    story="all bands have equal areas, though area is None",
    advice="then they are all 1 high",
    convention=True,
)
exercise.edit(
    "by-the-whole-width",
    (RESULT, "filters if area is None else filters / (right - left)"),
    story="each band is divided by its width: its area is a half",
    advice="a triangle's area is half its width times its height: divide by half the width",
)
exercise.edit(
    "rows-sum-to-1",
    (RESULT, "filters if area is None else filters / filters.sum(1, keepdim=True).clamp(min=1e-9)"),
    story="each row is divided by its sum",
    advice="by half its width in hertz: areas are equal, not sums",
    convention=True,
)
exercise.edit(
    "rows-are-frequencies",
    (RESULT, "(filters if area is None else filters * 2 / (right - left)).T"),
    story="the result is (Q, M)",
    advice="(M, Q): a row a band, so that filters @ power is the spectrogram in mels",
    convention=True,
)
exercise.edit(
    "float32",
    (RESULT, "(filters if area is None else filters * 2 / (right - left)).float()"),
    story="the result is float32",
    advice="float64: whoever uses it rounds it once",
)
exercise.edit(
    "any-bands",
    ("check_bands(rate, size, mels, low, high)", "pass"),
    story="bands above half the rate, which no sound can fill, are made all the same",
    advice="check_bands refuses them in a sentence",
)
exercise.edit(
    "zero-is-none",
    ("high = rate / 2 if high is None else high", "high = high or rate / 2"),
    story="it does not refuse a high of 0: `or` takes it for none given",
    advice="ask whether high is None",
)
exercise.edit(
    "any-area",
    ('if area not in ("slaney", None):', "if False:"),
    story="an area that is none is taken for 'slaney'",
    advice="raise a ValueError",
)


@exercise.disguise("by-the-whole-width")
def by_the_whole_width_too(rate, size, mels, low=0.0, high=None, scale="slaney", area="slaney"):
    filters = interpolated(rate, size, mels, low, high, scale, area)
    return filters if area is None else filters / 2


@exercise.disguise("all-equally-high")
def all_equally_high_too(rate, size, mels, low=0.0, high=None, scale="slaney", area="slaney"):
    if area is not None and area != "slaney":
        raise ValueError(area)
    return interpolated(rate, size, mels, low, high, scale, None)


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
    share = torch.where((hertz < low) | (hertz > high), 0, share)
    heights = torch.zeros(mels + 2, len(hertz), dtype=torch.float64)
    places = torch.arange(len(hertz))
    heights[above, places] = share
    heights[above - 1, places] = torch.where((hertz < low) | (hertz > high), 0, 1 - share)
    filters = heights[1:-1]
    return filters if area is None else filters / ((corners[2:] - corners[:-2]) / 2)[:, None]
