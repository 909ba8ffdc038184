"""Exercise guidance.guide: from the prediction without a prompt over the one with it, and on."""

import math

from torch import Tensor

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="guidance.guide",
    order=40,
    target="scratchmm.diffusion.guidance:guide",
    title="Classifier-free guidance",
    goal="from the unconditional prediction scale times the way to the conditional one",
    minutes=8,
    difficulty=1,
    section="Guidance",
    hints=(
        "With the prompt the model predicts 3, without it 1: the prompt's doing is 2. Scale 0 gives 1, "
        "scale 1 gives 3, and scale 4 gives 1 + 4 * 2 = 9. Not 11: that would be scale 5, or the "
        "paper's w = 4, which is the scale less 1.",
        "What the prompt changes is the difference of the two predictions. Take that change several "
        "times, and the image shows the prompt more than a model that was merely told it. It is a "
        "straight line through both predictions; the scale says where on it.",
        "Refuse a scale that is not a finite number. Difference: conditional less unconditional, "
        "(B, ...). Scale times that, added to the unconditional one; a new tensor, not clipped.",
        "check_scale(scale); return torch.lerp(unconditional, conditional, float(scale)), or the same "
        "with one minus, one times and one plus",
    ),
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


@exercise.holds("scale 4 goes four times as far from the one without as the one with")
def further(guide, case):
    conditional, unconditional = both(case, B=3, D=4)
    got = case.call(guide, conditional, unconditional, 4.0)
    case.equal(got, slow(conditional, unconditional, 4.0))


@exercise.holds("any scale: between the two, a whole number, and away from the prompt")
def scales(guide, case):
    pair = both(case, B=2, C=3, X=4, Y=5)
    case.each(
        guide, *(((*pair, scale), slow(*pair, float(scale))) for scale in (0.4, 7, 1.5, -2.0))
    )


@exercise.holds("where the prompt changes nothing, no scale does")
def nothing_changed(guide, case):
    alike = case.normal(B=3, D=4)
    case.each(guide, *(((alike, alike.clone(), scale), alike) for scale in (0.0, 3.0, 30.0)))


@exercise.holds("large predictions and large scales are not clipped")
def not_clipped(guide, case):
    conditional, unconditional = case.normal(B=2, D=3, scale=5.0), case.normal(B=2, D=3, scale=5.0)
    got = case.call(guide, conditional, unconditional, 40.0)
    case.equal(got, slow(conditional, unconditional, 40.0), tolerance=1e-3)


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
