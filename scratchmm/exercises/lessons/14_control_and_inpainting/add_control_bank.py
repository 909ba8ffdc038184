"""Wrong and other right answers to controlnet.add_control."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("14_control_and_inpainting/add_control").exercise

SKIP = "skip + scale * added for"
BOTTOM = "bottom + scale * control.bottom"

exercise.edit(
    "last-one-first",
    ("zip(skips, control.skips)", "zip(skips, reversed(control.skips))"),
    story="the controls are paired from the back: the first skip gets the last one's",
    advice="both lists begin with the first skip; only the way up takes them from the back",
)
exercise.edit(
    "skips-turned-round",
    ("bottom + scale * control.bottom, steered", "bottom + scale * control.bottom, steered[::-1]"),
    story="the skips are returned last one first",
    advice="keep their order: the way up takes them from the end by itself",
)
exercise.edit(
    "the-callers-own",
    ("    steered = [", "    if scale == 0:\n        return bottom, list(skips)\n    steered = ["),
    story="at a scale of 0 the base's own tensors come back, and who writes into the result writes "
    "into the base",
    advice="new tensors at every scale: the sum makes them",
)
exercise.edit(
    "middle-forgotten",
    (BOTTOM, "bottom"),
    story="only the skips are steered, the smallest grid is not",
    advice="add control.bottom, scaled, to bottom",
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
    (BOTTOM, "bottom + control.bottom"),
    story="the scale is not used",
    advice="multiply what is added by scale",
)
exercise.edit(
    "middle-not-scaled",
    (BOTTOM, "bottom + control.bottom"),
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
    (BOTTOM, "scale * (bottom + control.bottom)"),
    story="base and control are scaled together",
    advice="the base stays as it is: scale only what is added",
)
exercise.edit(
    "mixed",
    (SKIP, "(1 - scale) * skip + scale * added for"),
    (BOTTOM, "(1 - scale) * bottom + scale * control.bottom"),
    story="base and control are mixed, so that at scale 1 nothing of the base is left",
    advice="the control is added to the whole of the base",
)
exercise.edit(
    "replaced",
    (SKIP, "scale * added for"),
    (BOTTOM, "scale * control.bottom"),
    story="the control takes the place of the base's grids",
    advice="add it: with a control of zeros the base must be left",
)
exercise.edit(
    "multiplied",
    (SKIP, "skip * (1 + scale * added) for"),
    (BOTTOM, "bottom * (1 + scale * control.bottom)"),
    story="the control multiplies the base's grids",
    advice="the paper adds (equation 2)",
)
exercise.edit(
    "taken-away",
    (SKIP, "skip - scale * added for"),
    (BOTTOM, "bottom - scale * control.bottom"),
    story="the control is subtracted",
    advice="add it; training would find the sign, published weights have theirs",
)
exercise.edit(
    "base-cut-off",
    (SKIP, "skip.detach() + scale * added for"),
    (BOTTOM, "bottom.detach() + scale * control.bottom"),
    story="the base's grids are detached",
    advice="the base is frozen by its parameters; what lies before it may still need a gradient",
)
exercise.edit(
    "control-cut-off",
    (SKIP, "skip + scale * added.detach() for"),
    (BOTTOM, "bottom + scale * control.bottom.detach()"),
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
    (BOTTOM, "bottom.add_(scale * control.bottom)"),
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
    (BOTTOM + ", steered", "steered, " + BOTTOM),
    story="the skips are returned before the smallest grid",
    advice="(smallest grid, list of skips)",
)
exercise.edit(
    "as-a-tuple",
    (BOTTOM + ", steered", BOTTOM + ", tuple(steered)"),
    story="the skips are a tuple",
    advice="a list, as the base's way down gives it",
    convention=True,
)


@exercise.wrong(
    "list-emptied",
    story="the skips are popped off the base's list, which is empty afterwards",
    advice="go through the list and leave it as it is",
)
def list_emptied(bottom, skips, control, scale=1.0):
    if len(skips) != len(control.skips):
        raise ValueError("lengths")
    steered = [skips.pop(0) + scale * added for added in control.skips]
    return bottom + scale * control.bottom, steered


@exercise.right("by index")
def by_index(bottom, skips, control, scale=1.0):
    if len(skips) - len(control.skips):
        raise ValueError("as many controls as skips")
    found = []
    for i in range(len(skips)):
        found.append(torch.add(skips[i], control.skips[i], alpha=scale))
    return torch.add(bottom, control.bottom, alpha=scale), found


@exercise.right("strict zip")
def strict_zip(bottom, skips, control, scale=1.0):
    pairs = zip([bottom, *skips], [control.bottom, *control.skips], strict=True)
    x, *steered = (added * scale + base for base, added in pairs)
    return x, steered


@exercise.disguise("last-one-first")
def last_one_first_too(bottom, skips, control, scale=1.0):
    if len(skips) != len(control.skips):
        raise ValueError("lengths")
    added = list(control.skips)
    return scale * control.bottom + bottom, [skip + scale * added.pop() for skip in skips]


@exercise.disguise("mixed")
def mixed_too(bottom, skips, control, scale=1.0):
    if len(skips) != len(control.skips):
        raise ValueError("lengths")
    found = [torch.lerp(a, b, scale) for a, b in zip(skips, control.skips)]
    return torch.lerp(bottom, control.bottom, scale), found
