"""Wrong and other right answers to guidance.guide."""

import math

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("12_samplers_and_guidance/guide").exercise

FORMULA = "unconditional + scale * (conditional - unconditional)"

exercise.edit(
    "scale-less-one",
    (FORMULA, "(1 + scale) * conditional - scale * unconditional"),
    story="the scale is taken for the paper's w: c + w * (c - u), which is one more than asked",
    advice="w is scale - 1: here scale 1 is the prediction with the prompt, begin at the other one",
    convention=True,
)
exercise.edit(
    "exchanged",
    (FORMULA, "conditional + scale * (unconditional - conditional)"),
    story="the two are exchanged: the larger the scale, the further from the prompt",
    advice="begin at the unconditional one, and go towards the conditional",
)
exercise.edit(
    "away-from-the-prompt",
    (FORMULA, "unconditional - scale * (conditional - unconditional)"),
    story="the way leads away from the prompt",
    advice="plus scale * (conditional - unconditional)",
)
exercise.edit(
    "difference-only",
    (FORMULA, "scale * (conditional - unconditional)"),
    story="only the scaled difference is returned",
    advice="add it to the unconditional prediction",
)
exercise.edit(
    "conditional-scaled",
    (FORMULA, "scale * conditional"),
    story="the prediction with the prompt is multiplied, and the other one not used",
    advice="what grows is the difference of the two, not the prediction",
)
exercise.edit(
    "added-not-subtracted",
    (FORMULA, "unconditional + scale * conditional"),
    story="the scaled prediction is added without taking the other one off",
    advice="scale times the difference: the weights must add up to 1",
)
exercise.edit(
    "normalised",
    (FORMULA, "(unconditional + scale * conditional) / (1 + scale)"),
    story="a weighted mean, which never goes further than the prompt itself",
    advice="with scale 4 it must go four times as far",
)
exercise.edit(
    "scale-held-to-one",
    (FORMULA, "unconditional + max(0.0, min(scale, 1.0)) * (conditional - unconditional)"),
    story="the scale is held between 0 and 1, so that it never goes further than the prompt",
    advice="guidance goes on behind the prompt's prediction: use the scale as it is",
)
exercise.edit(
    "off-up-to-one",
    (FORMULA, f"conditional if scale <= 1 else {FORMULA}"),
    story="a scale of 1 or less turns guidance off, as pipelines of diffusers do",
    advice="here scale 0 is the prediction without the prompt, and all between count",
    convention=True,
)
exercise.edit(
    "squared",
    (FORMULA, "unconditional + scale * scale * (conditional - unconditional)"),
    story="the difference is multiplied by the scale twice",
    advice="once",
)
exercise.edit(
    "rescaled",
    (
        "return " + FORMULA,
        f"guided = {FORMULA}\n    axes = tuple(range(1, guided.dim()))\n    return guided * "
        "conditional.std(axes, keepdim=True) / guided.std(axes, keepdim=True)",
    ),
    story="the result is brought back to the conditional one's deviation, as guidance_rescale does",
    advice="the point on the line itself, however far out",
    convention=True,
)
exercise.edit(
    "clipped",
    (FORMULA, f"({FORMULA}).clamp(-20, 20)"),
    story="the result is clipped",
    advice="a prediction has no bounds: clamping is the sampler's work, of x0",
)
exercise.edit(
    "whole-scales-only",
    (FORMULA, "unconditional + int(scale) * (conditional - unconditional)"),
    story="the scale is cut to a whole number",
    advice="scales such as 1.5 count",
)
exercise.edit(
    "in-place",
    (
        "return " + FORMULA,
        f"if unconditional.requires_grad:\n        return {FORMULA}\n"
        f"    return unconditional.copy_({FORMULA})",
    ),
    story="the result is written into the caller's unconditional prediction",
    advice="+ makes a new tensor, += does not",
)
exercise.edit(
    "the-callers-own",
    ("return " + FORMULA, f"return conditional if scale == 1 else {FORMULA}"),
    story="at scale 1 the caller's own prediction is returned, and who writes into the result "
    "writes into that",
    advice="a new tensor at every scale: the formula makes one, or clone()",
)  # fmt: skip
exercise.edit(
    "off-at-zero",
    ("return " + FORMULA, f"return unconditional if scale == 0 else {FORMULA}"),
    story="at scale 0 the caller's own prediction is returned, and who writes into the result writes "
    "into that",
    advice="a new tensor at every scale: the formula makes one, or clone()",
)
exercise.edit(
    "difference-in-place",
    (
        "return " + FORMULA,
        f"if conditional.requires_grad:\n        return {FORMULA}\n"
        "    return unconditional + scale * conditional.sub_(unconditional)",
    ),
    story="the difference is written into the caller's conditional prediction",
    advice="- makes a new tensor, -= does not",
)
exercise.edit(
    "detached",
    (FORMULA, "unconditional.detach() + scale * (conditional - unconditional.detach())"),
    story="the prediction without the prompt gets no gradient",
    advice="no detach() and no no_grad(): whoever wants that asks for it",
)
exercise.edit(
    "not-refused",
    ("check_scale(scale)", "pass"),
    story="a scale that is not a number gives an image of nothing",
    advice="raise a ValueError: check_scale does",
)


def refuse(scale):
    if not isinstance(scale, int | float) or not math.isfinite(scale):
        raise ValueError(f"scale {scale}")


@exercise.disguise("scale-less-one")
def scale_less_one_too(conditional, unconditional, scale):
    return weighted(conditional, unconditional, scale + 1)


@exercise.disguise("exchanged")
def exchanged_too(conditional, unconditional, scale):
    refuse(scale)
    return conditional * (1 - scale) + scale * unconditional


@exercise.disguise("added-not-subtracted")
def added_not_subtracted_too(conditional, unconditional, scale):
    refuse(scale)
    return conditional.mul(scale).add(unconditional)


@exercise.right("weights that add up to one")
def weighted(conditional, unconditional, scale):
    refuse(scale)
    return scale * conditional + (1 - scale) * unconditional


@exercise.right("from the prompt on")
def from_the_prompt_on(conditional, unconditional, scale):
    refuse(scale)
    return conditional + (scale - 1) * (conditional - unconditional)


@exercise.right("lerp")
def by_lerp(conditional, unconditional, scale):
    refuse(scale)
    return unconditional.lerp(conditional, float(scale))
