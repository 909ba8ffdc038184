"""Wrong and other right answers to spectrum.decibels."""

import math

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("17_sound_and_its_features/decibels").exercise

LEVEL = "10 * powers.clamp(min=floor).log10() - 10 * math.log10(max(reference, floor))"
HELD = "powers.clamp(min=floor).log10()"
AXES = "level.amax(dim=tuple(range(-min(2, level.dim()), 0)), keepdim=True)"
RAISED = "level.maximum(loudest - span)"

exercise.edit(
    "natural-logarithm",
    (LEVEL, "10 * powers.clamp(min=floor).log() - 10 * math.log(max(reference, floor))"),
    story="the natural logarithm is taken",
    advice="a decibel is a tenth of a power of 10: log10",
)
exercise.edit(
    "of-amplitude",
    (LEVEL, "20 * powers.clamp(min=floor).log10() - 20 * math.log10(max(reference, floor))"),
    story="20 log10: the formula for amplitudes",
    advice="power is amplitude squared, so 10 log10 of it is the same as 20 log10 of the amplitude",
    convention=True,
)
exercise.edit(
    "in-bels",
    (LEVEL, "powers.clamp(min=floor).log10() - math.log10(max(reference, floor))"),
    story="log10 without the 10: bels, not decibels",
    advice="10 decibels to a bel",
)
exercise.edit(
    "no-floor",
    (HELD, "powers.log10()"),
    story="nothing holds the power up: silence is minus infinity",
    advice="hold it up at the floor before the logarithm",
)
exercise.edit(
    "floor-added",
    (HELD, "(powers + floor).log10()"),
    story="the floor is added to every power, which lifts quiet ones",
    advice="the larger of the two: clamp(min=floor)",
    convention=True,
)
exercise.edit(
    "held-up-too-late",
    (HELD, "powers.log10().clamp(min=math.log10(floor))"),
    story="the logarithm is held up, not the power: its slope at 0 is infinite, times 0 is no number",
    advice="clamp the power, then take the logarithm",
)
exercise.edit(
    "reference-not-used",
    (LEVEL, "10 * powers.clamp(min=floor).log10()"),
    story="the reference is left out",
    advice="subtract its decibels",
)
exercise.edit(
    "reference-added",
    (LEVEL, "10 * powers.clamp(min=floor).log10() + 10 * math.log10(max(reference, floor))"),
    story="the decibels of the reference are added",
    advice="divided by the reference: its logarithm is subtracted",
)
exercise.edit(
    "reference-as-it-is",
    ("math.log10(max(reference, floor))", "math.log10(reference)"),
    story="a reference below the floor is taken as it is, so that silence lies above it",
    advice="hold it up at the floor too",
)
exercise.edit(
    "relative-to-the-loudest",
    (
        LEVEL,
        "10 * powers.clamp(min=floor).log10()"
        " - 10 * (powers.amax().clamp(min=floor).log10() if powers.numel() else 0)",
    ),
    story="the loudest point is 0 decibels, whatever the reference",
    advice="relative to `reference`: who wants the loudest hands it over",
    convention=True,
)
exercise.edit(
    "no-span",
    (RAISED, "level"),
    story="what is very quiet stays: the span is not looked at",
    advice="nothing lies more than span below the loudest",
)
exercise.edit(
    "below-0-decibels",
    (RAISED, "level.clamp(min=-span)"),
    story="cut off at -span decibels, as if the loudest were 0",
    advice="the loudest point less the span",
)
exercise.edit(
    "below-0-decibels-too",
    (RAISED, "level.maximum(loudest - span).clamp(min=-span)"),
    story="cut off at span below the loudest, and at -span decibels besides",
    advice="a quiet sound may lie below -span as a whole: only its own loudest point counts",
)
exercise.edit(
    "lowered-not-raised",
    (RAISED, "level.minimum(loudest - span)"),
    story="what is louder than the loudest less the span is lowered to there",
    advice="the larger of the two",
)
exercise.edit(
    "cut-to-zero",
    (RAISED, "torch.where(level < loudest - span, 0, level)"),
    story="what lies too low becomes 0 decibels, which is loud",
    advice="it becomes the loudest less the span",
)
exercise.edit(
    "loudest-of-the-batch",
    (AXES, "level.max()"),
    story="the loudest point of the whole batch counts, as in librosa",
    advice="of each sound's last two axes, or a loud neighbour changes a quiet sound",
    convention=True,
)
exercise.edit(
    "loudest-of-a-frame",
    (AXES, "level.amax(dim=-2 if level.dim() > 1 else -1, keepdim=True) if level.dim() else level"),
    story="the loudest frequency of each frame counts",
    advice="of the whole spectrogram: the maximum over both of the last axes",
)
exercise.edit(
    "loudest-of-a-frequency",
    (AXES, "level.amax(dim=-1, keepdim=True) if level.dim() else level"),
    story="the loudest frame of each frequency counts",
    advice="of the whole spectrogram: the maximum over both of the last axes",
)
exercise.edit(
    "two-axes-or-none",
    (AXES, "level.amax(dim=(-2, -1), keepdim=True)"),
    story="a list of powers or a single number have no axis -2, and fail",
    advice="min(2, level.dim()) axes",
)
exercise.edit(
    "nothing-has-no-loudest",
    ("if span is None or not level.numel():", "if span is None:"),
    story="a spectrogram of no frames has no maximum, and fails",
    advice="return it as it is: look at numel() first",
)
exercise.edit(
    "span-of-0-is-none",
    ("if span is None or", "if not span or"),
    story="a span of 0 is taken for None",
    advice="`is None`: 0 is a number like others",
)
exercise.edit(
    "held-up-in-place",
    (
        HELD,
        "(powers if powers.requires_grad else powers.clamp_(min=floor)).clamp(min=floor).log10()",
    ),
    story="the caller's powers themselves are held up",
    advice="clamp, not clamp_",
)
exercise.edit(
    "always-float32",
    (HELD, "powers.float().clamp(min=floor).log10()"),
    story="the result is float32 whatever the power is",
    advice="keep the dtype",
)
exercise.edit(
    "detached",
    (HELD, "powers.detach().clamp(min=floor).log10()"),
    story="the result is cut off from the power: nothing learns by it",
    advice="no detach(), no numpy()",
)
exercise.edit(
    "any-floor",
    ('check_number("floor", floor, above=0)', "floor = abs(floor) or 1e-10"),
    ('check_number("reference", reference, above=0)', "reference = abs(reference) or 1"),
    story="a floor or reference of 0 or below is quietly made one that works",
    advice="raise a ValueError",
)
exercise.edit(
    "any-span",
    ('check_number("span", span, least=0)', "str(span)"),
    story="a span below 0 raises even the loudest",
    advice="raise a ValueError",
)


@exercise.disguise("of-amplitude")
def of_amplitude_too(powers, reference=1.0, floor=1e-10, span=80.0):
    double = 2 * divided(powers, reference, floor, None)
    return under(double, span)


@exercise.disguise("loudest-of-the-batch")
def loudest_of_the_batch_too(powers, reference=1.0, floor=1e-10, span=80.0):
    level = divided(powers, reference, floor, None)
    check(reference, floor, span)
    if span is None or not level.numel():
        return level
    return torch.where(level > level.max() - span, level, level.max() - span)


def check(reference, floor, span):
    """What makes no sense is refused."""
    if floor <= 0 or reference <= 0 or (span is not None and span < 0):
        raise ValueError(f"{reference}, {floor}, {span}")


def under(level, span):
    """Held up at the loudest of each sound, less the span."""
    if span is None or level.numel() == 0:
        return level
    if level.dim() < 2:
        return level.maximum(level.max() - span)
    return level.maximum(level.flatten(-2).max(dim=-1).values[..., None, None] - span)


@exercise.right("divided first")
def divided(powers, reference=1.0, floor=1e-10, span=80.0):
    check(reference, floor, span)
    return under(10 * (torch.clip(powers, floor) / max(reference, floor)).log10(), span)


@exercise.right("by the natural logarithm, sound by sound")
def by_ln(powers, reference=1.0, floor=1e-10, span=80.0):
    check(reference, floor, span)
    if powers.dim() > 2:
        return torch.stack([by_ln(one, reference, floor, span) for one in powers])
    scale = 10 / math.log(10)
    level = scale * (powers.clamp(min=floor).log() - math.log(max(reference, floor)))
    if span is None or powers.numel() == 0:
        return level
    return level.clamp(min=level.max().item() - span)
