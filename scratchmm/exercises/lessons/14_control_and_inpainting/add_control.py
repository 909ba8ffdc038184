"""Exercise controlnet.add_control: what the ControlNet found joins what the base's skips carry."""

import torch

from scratchmm.diffusion.controlnet import Control
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="controlnet.add_control",
    order=30,
    target="scratchmm.diffusion.controlnet:add_control",
    title="Added to the skip connections",
    goal="each skip and the smallest grid, plus scale times its control; nothing is written over",
    minutes=10,
    difficulty=2,
    section="Zero at first",
    needs=("controlnet.ZeroConvolution",),
    hints="""
        1. Take a middle of 10 and the skips [20, 30], their controls 3 and [1, 2], and a scale of
           0.5. The answer is 11.5 and [20.5, 31]. With a scale of 0 it is 10 and [20, 30], the base
           alone.
        2. The base has computed its encoder and its middle without the control. What the control
           adds joins what is carried over to the decoder, skip by skip, and the grid with which the
           decoder begins. See the lesson's part on zero convolutions.
        3. Refuse with a ValueError unless there are as many controls as skips. Skips and controls
           stand in the same order, first one first, so pair them as they stand; multiply the
           control, not the base, by the scale. A new list of new tensors, and the middle before it.
        4. steered = [skip + scale * added for skip, added in zip(skips, control.skips)]; return
           middle + scale * control.middle, steered; before that, a ValueError for other lengths
    """,
)


SIZES = ((4, 6, 10), (4, 6, 10), (4, 3, 5), (7, 3, 5))  # channels, height, width of each skip


def given(case, sizes=SIZES, batch=2):
    """The base's smallest grid and skips, and a control for them."""

    def grid(size):
        return case.normal(B=batch, C=size[0], X=size[1], Y=size[2])

    skips, added = [grid(size) for size in sizes], [grid(size) for size in sizes]
    return grid(sizes[-1]), skips, Control(added, grid(sizes[-1]))


def demand(case, result, middle, skips, control, scale):
    """Two things, each what it was plus the scaled control."""
    pair = isinstance(result, tuple) and len(result) == 2
    case.true(pair, "a pair: the smallest grid, and a list of skips", type(result).__name__)
    case.true(isinstance(result[1], list), "a list of skips", type(result[1]).__name__)
    case.true(len(result[1]) == len(skips), f"{len(skips)} skips", f"{len(result[1])}")
    case.equal(result[0], torch.add(middle, control.middle, alpha=scale), "the smallest grid")
    for index, skip in enumerate(skips):
        expected = torch.add(skip, control.skips[index], alpha=scale)
        case.equal(result[1][index], expected, f"skip {index}")


@exercise.holds("a scale of 1 adds each control to the skip of the same place, and to the middle")
def one(add_control, case):
    middle, skips, control = given(case)
    demand(case, case.call(add_control, middle, skips, control, 1.0), middle, skips, control, 1.0)


@exercise.holds("where nobody gives a scale, it is 1")
def default(add_control, case):
    middle, skips, control = given(case)
    demand(case, case.call(add_control, middle, skips, control), middle, skips, control, 1.0)


@exercise.holds("the scale multiplies the control, and not the base")
def scaled(add_control, case):
    middle, skips, control = given(case)
    for scale in (0.3, -1.7, 2):
        result = case.call(add_control, middle, skips, control, scale)
        demand(case, result, middle, skips, control, scale)


@exercise.holds("a scale of 0, or a control of zeros, gives the base bit for bit")
def nothing(add_control, case):
    middle, skips, control = given(case)
    zeros = Control([torch.zeros_like(skip) for skip in skips], torch.zeros_like(middle))
    for added, scale in ((control, 0.0), (zeros, 0.7)):
        x, steered = case.call(add_control, middle, skips, added, scale)
        for got, base in zip([x, *steered], [middle, *skips]):
            case.true(torch.equal(got, base), "exactly the base's numbers", got)


@exercise.holds("what comes back are new tensors in a new list, at a scale of 0 too")
def new_ones(add_control, case):
    middle, skips, control = given(case)
    for scale in (0.0, 1.0):
        x, steered = case.call(add_control, middle, skips, control, scale)
        places = {one.data_ptr() for one in (middle, *skips, control.middle, *control.skips)}
        own = steered is skips or any(one.data_ptr() in places for one in (x, *steered))
        case.true(not own, "new tensors", "some of the caller's own" if own else "new ones")


@exercise.holds("the base's grids, their list and the control are left as they were")
def unchanged(add_control, case):
    middle, skips, control = given(case)
    everything = [middle, *skips, control.middle, *control.skips]
    before = [x.clone() for x in everything]
    case.call(add_control, middle, skips, control, 0.5)
    case.true(len(skips) == len(SIZES), f"still {len(SIZES)} skips in the base's list", skips)
    case.true(len(control.skips) == len(SIZES), f"still {len(SIZES)} in the control's", len(skips))
    for now, then in zip(everything, before):
        case.seen(now)
        case.equal(now, then, "a tensor that was given")


@exercise.holds("another number of controls than skips is refused with a ValueError")
def refused(add_control, case):
    middle, skips, control = given(case)
    case.refuses(ValueError, add_control, middle, skips[:-1], control)
    case.refuses(ValueError, add_control, middle, skips, Control(control.skips[:-1], middle))


@exercise.holds("the gradients reach the control and, for what lies before, the base's grids")
def gradients(add_control, case):
    middle, skips, control = given(case, sizes=((2, 3, 4), (2, 3, 4)))

    def ours(x, first, second, x_added, first_added, second_added):
        added = Control([first_added, second_added], x_added)
        x, steered = add_control(x, [first, second], added, 0.6)
        return torch.cat([x, *steered])

    def oracle(x, first, second, x_added, first_added, second_added):
        added = (x_added, first_added, second_added)
        return torch.cat([torch.add(a, b, alpha=0.6) for a, b in zip((x, first, second), added)])

    case.gradients(ours, oracle, middle, *skips, control.middle, *control.skips)


exercise.mistakes("""
    the-callers-own: at a scale of 0 the base's own tensors come back, and who writes into the
    result writes into the base
    - steered = [skip + scale * added for skip, added in zip(skips, control.skips)]
    + if scale == 0:
    +     return middle, list(skips)
    + steered = [skip + scale * added for skip, added in zip(skips, control.skips)]
    > new tensors at every scale: the sum makes them

    sum-scaled: base and control are scaled together
    - skip + scale * added
    + scale * (skip + added)
    - middle + scale * control.middle
    + scale * (middle + control.middle)
    > the base stays as it is: scale only what is added

    mixed: base and control are mixed, so that at scale 1 nothing of the base is left
    - skip + scale * added
    + (1 - scale) * skip + scale * added
    - middle + scale * control.middle
    + (1 - scale) * middle + scale * control.middle
    > the control is added to the whole of the base

    replaced: the control takes the place of the base's grids
    - skip + scale * added
    + scale * added
    - middle + scale * control.middle
    + scale * control.middle
    > add it: with a control of zeros the base must be left

    multiplied: the control multiplies the base's grids
    - skip + scale * added
    + skip * (1 + scale * added)
    - middle + scale * control.middle
    + middle * (1 + scale * control.middle)
    > the paper adds (equation 2)

    base-cut-off: the base's grids are detached
    - skip + scale * added
    + skip.detach() + scale * added
    - middle + scale * control.middle
    + middle.detach() + scale * control.middle
    > the base is frozen by its parameters; what lies before it may still need a gradient

    control-cut-off: the control is detached, so it never learns
    - skip + scale * added
    + skip + scale * added.detach()
    - middle + scale * control.middle
    + middle + scale * control.middle.detach()
    > no detach, no .data: the control is what is trained

    written-over: the base's skips are written over
    - skip + scale * added
    + skip.add_(scale * added)
    > add_ and += work in place: make new tensors

    as-a-tuple [convention]: the skips are a tuple
    - return middle + scale * control.middle, steered
    + return middle + scale * control.middle, tuple(steered)
    > a list, as the base's encoder gives it

    list-emptied: the skips are popped off the base's list, which is empty afterwards
    - steered = [skip + scale * added for skip, added in zip(skips, control.skips)]
    + steered = [skips.pop(0) + scale * added for added in control.skips]
    > go through the list and leave it as it is
""")

exercise.slips("""
    zip(skips, control.skips) => zip(skips, reversed(control.skips))
    middle + scale * control.middle, steered => middle + scale * control.middle, steered[::-1]
    skip + scale * added => skip - scale * added ;; middle + scale => middle - scale
    scale: float = 1.0 => scale: float = 0.5
""")


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


@exercise.disguise("mixed")
def mixed_too(middle, skips, control, scale=1.0):
    if len(skips) != len(control.skips):
        raise ValueError("lengths")
    found = [torch.lerp(a, b, scale) for a, b in zip(skips, control.skips)]
    return torch.lerp(middle, control.middle, scale), found
