"""Wrong and other right answers to canny.thin."""

import math

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file

AROUND = exercise_file("14_control_and_inpainting/thin").AROUND
exercise = exercise_file("14_control_and_inpainting/thin").exercise

RIDGE = "(magnitude > uphill + ALIKE) & (magnitude + ALIKE >= downhill)"

exercise.edit(
    "along-the-edge",
    ("(row + way * step_down)", "(row + way * step_across)"),
    ("column + way * step_across", "column - way * step_down"),
    story="pixels are compared along the edge, not across it",
    advice="the slope points across the edge: compare with the pixels to which it points",
)
exercise.edit(
    "down-for-across",
    (
        "steep, flat = down.abs(), across.abs()",
        "down, across = across, down\n    steep, flat = down.abs(), across.abs()",
    ),
    story="down and across are exchanged",
    advice="down moves the row, across moves the column",
)
exercise.edit(
    "up-for-down",
    ("(down.sign() *", "(-down.sign() *"),
    story="the diagonals are the wrong ones: y is taken to run up",
    advice="rows are counted downwards: a slope down and to the right points to row + 1, column + 1",
)
exercise.edit(
    "where-it-is",
    ("return magnitude * ridge", "return ridge.to(magnitude.dtype)"),
    story="ridges are 1, however steep they are",
    advice="keep the magnitude itself: the thresholds come later and need it",
)
exercise.edit(
    "one-side",
    (RIDGE, "magnitude > uphill + ALIKE"),
    story="only the neighbour uphill is looked at, so a whole flank stays",
    advice="a ridge is steeper than both its neighbours: compare downhill too",
)
exercise.edit(
    "other-side",
    (RIDGE, "magnitude + ALIKE >= downhill"),
    story="only the neighbour downhill is looked at, so a whole flank stays",
    advice="a ridge is steeper than both its neighbours: compare uphill too",
)
exercise.edit(
    "two-thick",
    ("magnitude > uphill + ALIKE", "magnitude + ALIKE >= uphill"),
    story="of two that are equally steep both stay: lines are two pixels thick",
    advice="demand more than uphill (>), and at least as much as downhill (>=)",
)
exercise.edit(
    "none-of-two",
    ("magnitude + ALIKE >= downhill", "magnitude > downhill + ALIKE"),
    story="of two that are equally steep none stays: lines have gaps",
    advice="more than uphill (>), but downhill it may be equal (>=)",
)
exercise.edit(
    "downhill-of-two",
    (RIDGE, "(magnitude > downhill + ALIKE) & (magnitude + ALIKE >= uphill)"),
    story="of two that are equally steep the one downhill stays",
    advice="more than uphill, at least as much as downhill: then the one uphill stays",
    convention=True,
)
exercise.edit(
    "no-tolerance",
    (RIDGE, "(magnitude > uphill) & (magnitude >= downhill)"),
    story="magnitudes are compared to the last bit, and rounding makes lines jump",
    advice="count slopes within ALIKE as equal, in both comparisons",
)
exercise.edit(
    "four-directions",
    ("steep > EIGHTH * flat", "steep > flat"),
    ("flat > EIGHTH * steep", "flat >= steep"),
    story="there are no diagonals: only four of eight directions",
    advice="a step goes both ways at once unless one is less than EIGHTH of the other",
)
exercise.edit(
    "always-diagonal",
    (" * (steep > EIGHTH * flat)", ""),
    (" * (flat > EIGHTH * steep)", ""),
    story="the steps are the signs alone: a slope that is hardly oblique counts as diagonal",
    advice="the step down is 0 where down is less than EIGHTH of across, and the other way round",
)
exercise.edit(
    "half-of-an-eighth",
    ("steep > EIGHTH * flat", "steep > 0.5 * flat"),
    ("flat > EIGHTH * steep", "flat > 0.5 * steep"),
    story="straight turns to diagonal at the slope 0.5, at 26.6 degrees",
    advice="an eighth of a turn has its border at 22.5 degrees: tan is EIGHTH, about 0.414",
)
exercise.edit(
    "a-mask",
    ("return magnitude * ridge", "return ridge"),
    story="which pixels are ridges is returned, not how steep they are",
    advice="keep the magnitude there: the two thresholds still need it",
)
exercise.edit(
    "dropped-instead",
    ("return magnitude * ridge", "return magnitude * ~ridge"),
    story="the ridges are set to 0 and the rest stays",
    advice="multiply by the ridge, not by its opposite",
)
exercise.edit(
    "border-goes-on",
    ("F.pad(magnitude, (1, 1, 1, 1))", "F.pad(magnitude, (1, 1, 1, 1), mode='replicate')"),
    story="beyond the border the last pixel goes on, so that edges at the border vanish",
    advice="pad with zeros",
)
exercise.edit(
    "without-its-channel",
    ("return magnitude * ridge", "return (magnitude * ridge)[:, 0]"),
    story="the axis of channels is lost",
    advice="the answer is (B, 1, H, W), as the magnitude",
)
exercise.edit(
    "written-over",
    ("return magnitude * ridge", "return magnitude.mul_(ridge)"),
    story="the magnitude that was given is written over",
    advice="mul_ works in place: make a new tensor, as * does",
)


def by_rolling(magnitude, down, across, strict=True):
    """All eight neighbours by shifting, then each pixel's own by its angle."""
    eighth = torch.round(torch.atan2(down, across) / (math.pi / 4)).long() % 8
    height, width = magnitude.shape[-2:]
    x = F.pad(magnitude, (1, 1, 1, 1))
    shifted = [x[..., 1 + i : 1 + i + height, 1 + j : 1 + j + width] for i, j in AROUND]
    everything = torch.cat(shifted, dim=1)
    uphill = everything.gather(1, eighth)
    downhill = everything.gather(1, (eighth + 4) % 8)
    ridge = (magnitude - uphill > 1e-5) & (magnitude - downhill >= -1e-5)
    return torch.where(ridge & ((down != 0) | (across != 0)), magnitude, 0)


@exercise.wrong(
    "flat-counts-as-right",
    story="where there is no slope, its angle 0 is taken for a slope to the right",
    advice="a pixel without a slope is no ridge: return 0 there",
)
def flat_counts_as_right(magnitude, down, across):
    return by_rolling(magnitude, down, torch.where((down == 0) & (across == 0), 1.0, across))


@exercise.wrong(
    "all-around",
    story="a pixel must be steeper than all eight around it: only single peaks stay",
    advice="compare with two neighbours, those along the slope",
)
def all_around(magnitude, down, across):
    return magnitude * (magnitude == F.max_pool2d(magnitude, 3, 1, 1))


@exercise.wrong(
    "wraps-around",
    story="the image is rolled, so the left border is compared with the right one",
    advice="beyond the border everything is 0: pad before you look around",
)
def wraps_around(magnitude, down, across):
    eighth = torch.round(torch.atan2(down, across) / (math.pi / 4)).long() % 8
    rolled = torch.cat([magnitude.roll((-i, -j), (2, 3)) for i, j in AROUND], dim=1)
    uphill, downhill = rolled.gather(1, eighth), rolled.gather(1, (eighth + 4) % 8)
    ridge = (magnitude - uphill > 1e-5) & (magnitude - downhill >= -1e-5)
    return magnitude * (ridge & ((down != 0) | (across != 0)))


@exercise.right("all eight, then one")
def all_eight(magnitude, down, across):
    return by_rolling(magnitude, down, across)


@exercise.right("four masks")
def four_masks(magnitude, down, across):
    degrees = torch.rad2deg(torch.atan2(down, across))
    height, width = magnitude.shape[-2:]
    padded, kept = F.pad(magnitude, (1, 1, 1, 1)), torch.zeros_like(magnitude)
    sloping = (down != 0) | (across != 0)
    for eighth, (i, j) in enumerate(AROUND):
        here = (degrees - 45 * eighth + 180) % 360 - 180
        uphill = padded[..., 1 + i : 1 + i + height, 1 + j : 1 + j + width]
        downhill = padded[..., 1 - i : 1 - i + height, 1 - j : 1 - j + width]
        ridge = (magnitude > uphill + 1e-5) & (magnitude + 1e-5 >= downhill)
        kept = torch.where((here.abs() < 22.5) & ridge & sloping, magnitude, kept)
    return kept


@exercise.disguise("along-the-edge")
def along_the_edge_too(magnitude, down, across):
    return by_rolling(magnitude, across, -down)


@exercise.disguise("up-for-down")
def up_for_down_too(magnitude, down, across):
    return by_rolling(magnitude, -down, across)
