"""Exercise guidance.guide: extrapolate from the unconditional prediction beyond the conditional one."""

import math

from torch import Tensor

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="guidance.guide",
    order=40,
    target="scratchmm.diffusion.guidance:guide",
    title="Classifier-free guidance",
    goal="the unconditional prediction plus scale times the difference to the conditional one",
    minutes=8,
    difficulty=1,
    section="Guidance",
    hints="""
        1. With the prompt the model predicts 3, without it 1: the prompt changes it by 2. Scale 0
           gives 1, scale 1 gives 3, and scale 4 gives 1 + 4 * 2 = 9. Not 11: that would be scale 5,
           or the paper's w = 4, which is the scale less 1.
        2. What the prompt changes is the difference of the two predictions. Added several times, the
           image fits the prompt better than that of a model that was merely conditioned. It is a
           straight line through both predictions; the scale says where on it.
        3. Refuse a scale that is not a finite number. Difference: conditional less unconditional,
           (B, ...). Scale times that, added to the unconditional one; a new tensor, not clipped.
        4. check_scale(scale); return torch.lerp(unconditional, conditional, float(scale)), or the
           same with one minus, one times and one plus
    """,
)


def both(case, **axes):
    return case.normal(**axes), case.normal(**axes)


def slow(conditional, unconditional, scale):
    """The oracle: a weighted sum whose weights add up to 1."""
    return conditional * scale + unconditional * (1 - scale)


@exercise.holds("scale 1 gives the prediction with the prompt, scale 0 the one without")
def both_ends(guide, case):
    conditional, unconditional = both(case, B=3, D=4)
    case.each(
        guide,
        ((conditional, unconditional, 1.0), conditional),
        ((conditional, unconditional, 0.0), unconditional),
    )


@exercise.holds("at scale 4 the difference to the one without is four times as large")
def further(guide, case):
    conditional, unconditional = both(case, B=3, D=4)
    got = case.call(guide, conditional, unconditional, 4.0)
    case.equal(got, slow(conditional, unconditional, 4.0))


@exercise.holds("any scale: below 1, a whole number, negative, large; nothing is clipped")
def scales(guide, case):
    pair = both(case, B=2, C=3, H=4, W=5)
    case.each(
        guide, *(((*pair, scale), slow(*pair, float(scale))) for scale in (0.4, 7, 1.5, -2.0, 40.0))
    )


@exercise.holds("the result is a new tensor, at scale 0 and 1 too")
def new_tensor(guide, case):
    for scale in (4.0, 1.0, 0.0):
        pair = both(case, B=3, D=4)
        got = case.call(guide, *pair, scale)
        case.true(isinstance(got, Tensor), "a tensor", got)
        shared = got.data_ptr() in [one.data_ptr() for one in pair]
        case.true(not shared, "a new tensor", "one of the caller's own" if shared else "a new one")


@exercise.holds("both predictions stay as they were")
def unchanged(guide, case):
    case.call(guide, *both(case, B=3, D=4), 4.0)
    case.unchanged()


@exercise.holds("the gradients reach both predictions")
def gradients(guide, case):
    conditional, unconditional = both(case, B=3, D=4)
    case.gradients(guide, slow, conditional, unconditional, 2.5)


@exercise.holds("a scale that is no finite number is refused with a ValueError")
def refused(guide, case):
    pair = both(case, B=2, D=3)
    for scale in (math.nan, math.inf, -math.inf):
        case.refuses(ValueError, guide, *pair, scale)


exercise.mistakes("""
    scale-less-one [convention]: the scale is the paper's w: c + w * (c - u), one more than here
    - unconditional + scale * (conditional - unconditional)
    + conditional + scale * (conditional - unconditional)
    > w is scale - 1: here scale 1 is the prediction with the prompt

    exchanged: the two are exchanged: the larger the scale, the further from the prompt
    - unconditional + scale * (conditional - unconditional)
    + conditional + scale * (unconditional - conditional)
    > begin at the unconditional one, and go towards the conditional

    conditional-scaled: the prediction with the prompt is multiplied, and the other one not used
    - unconditional + scale * (conditional - unconditional)
    + scale * conditional
    > what grows is the difference of the two, not the prediction

    normalised: a weighted mean, which is never beyond the conditional prediction
    - unconditional + scale * (conditional - unconditional)
    + (unconditional + scale * conditional) / (1 + scale)
    > at scale 4 the difference to the unconditional one is four times as large

    scale-held-to-one: the scale is clamped to 0..1, so that it is never beyond the prompt
    - unconditional + scale * (conditional - unconditional)
    + unconditional + max(0.0, min(scale, 1.0)) * (conditional - unconditional)
    > guidance extrapolates beyond the conditional prediction: use the scale as it is

    off-up-to-one [convention]: a scale of 1 or less turns guidance off, as in diffusers' pipelines
    - return unconditional + scale * (conditional - unconditional)
    + if scale <= 1:
    +     return conditional.clone()
    + return unconditional + scale * (conditional - unconditional)
    > here scale 0 is the prediction without the prompt, and all between count

    rescaled [convention]: the result gets the conditional one's deviation, as by guidance_rescale
    - return unconditional + scale * (conditional - unconditional)
    + guided = unconditional + scale * (conditional - unconditional)
    + axes = tuple(range(1, guided.dim()))
    + return guided * conditional.std(axes, keepdim=True) / guided.std(axes, keepdim=True)
    > the point on the line itself, however far out

    clipped: the result is clipped
    - return unconditional + scale * (conditional - unconditional)
    + return (unconditional + scale * (conditional - unconditional)).clamp(-20, 20)
    > a prediction has no bounds: clamping is the sampler's work, of x0

    in-place: the result is written into the caller's unconditional prediction
    - return unconditional + scale * (conditional - unconditional)
    + return unconditional.add_(scale * (conditional - unconditional))
    > + makes a new tensor, += does not

    off-at-zero: at scale 0 the caller's own prediction is returned, and who writes into the result
    writes into that
    - return unconditional + scale * (conditional - unconditional)
    + return unconditional if scale == 0 else unconditional + scale * (conditional - unconditional)
    > a new tensor at every scale: the formula makes one, or clone()
""")

exercise.slips("""
    return unconditional => return conditional if scale == 1 else unconditional
    return unconditional => return conditional if scale <= 1 else unconditional
    scale * (conditional => scale * scale * (conditional
    scale * (conditional => int(scale) * (conditional
""")


def refuse(scale):
    if not isinstance(scale, int | float) or not math.isfinite(scale):
        raise ValueError(f"scale {scale}")


@exercise.disguise("scale-less-one")
def scale_less_one_too(conditional, unconditional, scale):
    return weighted(conditional, unconditional, scale + 1)


@exercise.right("weights that add up to one")
def weighted(conditional, unconditional, scale):
    refuse(scale)
    return scale * conditional + (1 - scale) * unconditional


@exercise.right("lerp")
def by_lerp(conditional, unconditional, scale):
    refuse(scale)
    return unconditional.lerp(conditional, float(scale))
