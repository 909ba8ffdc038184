"""Wrong and other right answers to controlnet.add_control."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("14_control_and_inpainting/add_control").exercise

SKIP = "skip + scale * added for"
MIDDLE = "middle + scale * control.middle"

exercise.edit(
    "last-one-first",
    ("zip(skips, control.skips)", "zip(skips, reversed(control.skips))"),
    story="the controls are paired from the back: the first skip gets the last one's",
    advice="both lists begin with the first skip; only the decoder takes them from the back",
)
exercise.edit(
    "skips-turned-round",
    ("middle + scale * control.middle, steered", "middle + scale * control.middle, steered[::-1]"),
    story="the skips are returned last one first",
    advice="keep their order: the decoder takes them from the end by itself",
)
exercise.edit(
    "the-callers-own",
    ("    steered = [", "    if scale == 0:\n        return middle, list(skips)\n    steered = ["),
    story="at a scale of 0 the base's own tensors come back, and who writes into the result writes "
    "into the base",
    advice="new tensors at every scale: the sum makes them",
)
exercise.edit(
    "middle-forgotten",
    (MIDDLE, "middle"),
    story="only the skips are steered, the smallest grid is not",
    advice="add control.middle, scaled, to middle",
)
exercise.edit(
    "skips-forgotten",
    (SKIP, "skip for"),
    story="only the smallest grid is steered, the skips are not",
    advice="add each of control.skips, scaled, to its skip",
)
exercise.edit(
    "scale-forgotten",
    (SKIP, "skip + added for"),
    (MIDDLE, "middle + control.middle"),
    story="the scale is not used",
    advice="multiply what is added by scale",
)
exercise.edit(
    "middle-not-scaled",
    (MIDDLE, "middle + control.middle"),
    story="the control of the smallest grid is not scaled",
    advice="scale both: the skips' control and the middle's",
)
exercise.edit(
    "skips-not-scaled",
    (SKIP, "skip + added for"),
    story="the control of the skips is not scaled",
    advice="scale both: the skips' control and the middle's",
)
exercise.edit(
    "sum-scaled",
    (SKIP, "scale * (skip + added) for"),
    (MIDDLE, "scale * (middle + control.middle)"),
    story="base and control are scaled together",
    advice="the base stays as it is: scale only what is added",
)
exercise.edit(
    "mixed",
    (SKIP, "(1 - scale) * skip + scale * added for"),
    (MIDDLE, "(1 - scale) * middle + scale * control.middle"),
    story="base and control are mixed, so that at scale 1 nothing of the base is left",
    advice="the control is added to the whole of the base",
)
exercise.edit(
    "replaced",
    (SKIP, "scale * added for"),
    (MIDDLE, "scale * control.middle"),
    story="the control takes the place of the base's grids",
    advice="add it: with a control of zeros the base must be left",
)
exercise.edit(
    "multiplied",
    (SKIP, "skip * (1 + scale * added) for"),
    (MIDDLE, "middle * (1 + scale * control.middle)"),
    story="the control multiplies the base's grids",
    advice="the paper adds (equation 2)",
)
exercise.edit(
    "taken-away",
    (SKIP, "skip - scale * added for"),
    (MIDDLE, "middle - scale * control.middle"),
    story="the control is subtracted",
    advice="add it; training would find the sign, published weights have theirs",
)
exercise.edit(
    "base-cut-off",
    (SKIP, "skip.detach() + scale * added for"),
    (MIDDLE, "middle.detach() + scale * control.middle"),
    story="the base's grids are detached",
    advice="the base is frozen by its parameters; what lies before it may still need a gradient",
)
exercise.edit(
    "control-cut-off",
    (SKIP, "skip + scale * added.detach() for"),
    (MIDDLE, "middle + scale * control.middle.detach()"),
    story="the control is detached, so it never learns",
    advice="no detach, no .data: the control is what is trained",
)
exercise.edit(
    "written-over",
    (SKIP, "skip.add_(scale * added) for"),
    story="the base's skips are written over",
    advice="add_ and += work in place: make new tensors",
)
exercise.edit(
    "middle-written-over",
    (MIDDLE, "middle.add_(scale * control.middle)"),
    story="the base's smallest grid is written over",
    advice="add_ and += work in place: make a new tensor",
)
exercise.edit(
    "scale-half-by-itself",
    ("scale: float = 1.0", "scale: float = 0.5"),
    story="where no scale is given, it is not 1",
    advice="leave the default of the signature: 1",
)
exercise.edit(
    "shorter-list-wins",
    ("if len(skips) != len(control.skips):", "if False:"),
    story="if there are fewer controls than skips, skips are lost without a word",
    advice="zip stops at the shorter list: compare the lengths and raise a ValueError",
)
exercise.edit(
    "skips-first",
    (MIDDLE + ", steered", "steered, " + MIDDLE),
    story="the skips are returned before the smallest grid",
    advice="(smallest grid, list of skips)",
)
exercise.edit(
    "as-a-tuple",
    (MIDDLE + ", steered", MIDDLE + ", tuple(steered)"),
    story="the skips are a tuple",
    advice="a list, as the base's encoder gives it",
    convention=True,
)


@exercise.wrong(
    "list-emptied",
    story="the skips are popped off the base's list, which is empty afterwards",
    advice="go through the list and leave it as it is",
)
def list_emptied(middle, skips, control, scale=1.0):
    if len(skips) != len(control.skips):
        raise ValueError("lengths")
    steered = [skips.pop(0) + scale * added for added in control.skips]
    return middle + scale * control.middle, steered


@exercise.right("by index")
def by_index(middle, skips, control, scale=1.0):
    if len(skips) - len(control.skips):
        raise ValueError("as many controls as skips")
    found = []
    for i in range(len(skips)):
        found.append(torch.add(skips[i], control.skips[i], alpha=scale))
    return torch.add(middle, control.middle, alpha=scale), found


@exercise.right("strict zip")
def strict_zip(middle, skips, control, scale=1.0):
    pairs = zip([middle, *skips], [control.middle, *control.skips], strict=True)
    x, *steered = (added * scale + base for base, added in pairs)
    return x, steered


@exercise.disguise("last-one-first")
def last_one_first_too(middle, skips, control, scale=1.0):
    if len(skips) != len(control.skips):
        raise ValueError("lengths")
    added = list(control.skips)
    return scale * control.middle + middle, [skip + scale * added.pop() for skip in skips]


@exercise.disguise("mixed")
def mixed_too(middle, skips, control, scale=1.0):
    if len(skips) != len(control.skips):
        raise ValueError("lengths")
    found = [torch.lerp(a, b, scale) for a, b in zip(skips, control.skips)]
    return torch.lerp(middle, control.middle, scale), found
