"""Exercise controlnet.add_control: the residuals of a ControlNet are added to the base's skips."""

import torch

from scratchmm.diffusion.controlnet import Control
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="controlnet.add_control",
    order=30,
    target="scratchmm.diffusion.controlnet:add_control",
    title="Added to the skip connections",
    goal="each skip and the smallest grid, plus scale times its control; nothing is overwritten",
    minutes=10,
    difficulty=2,
    section="Zero at first",
    needs=("controlnet.ZeroConvolution",),
    hints="""
        1. Take a middle of 10 and the skips [20, 30], their controls 3 and [1, 2], and a scale of
           0.5. The answer is 11.5 and [20.5, 31]. With a scale of 0 it is 10 and [20, 30], the base
           alone.
        2. The base has computed its encoder and its middle without the control. What the control
           adds joins the skips of the decoder, one by one, and the grid with which the decoder
           begins. See the lesson's part on zero convolutions.
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


def compared(case, add_control, scale, *options):
    """One call against the sums: a pair of the smallest grid and a list of skips."""
    middle, skips, control = given(case)
    expected = torch.add(middle, control.middle, alpha=scale)
    sums = [torch.add(a, b, alpha=scale) for a, b in zip(skips, control.skips, strict=True)]
    grid, steered = case.call(add_control, middle, skips, control, *options)
    case.true(isinstance(steered, list), "a list of skips", type(steered).__name__)
    case.equal(grid, expected, "the smallest grid")
    case.equal(steered, sums, "the skips")


@exercise.holds("a scale of 1 adds each control to the skip of the same place, and to the middle")
def one(add_control, case):
    compared(case, add_control, 1.0, 1.0)


@exercise.holds("the scale is 1 by default")
def default(add_control, case):
    compared(case, add_control, 1.0)


@exercise.holds("the scale multiplies the control, and not the base")
def scaled(add_control, case):
    for scale in (0.3, -1.7, 2):
        compared(case, add_control, scale, scale)


@exercise.holds("the base's grids, their list and the control are left as they were")
def unchanged(add_control, case):
    middle, skips, control = given(case)
    before = [x.clone() for x in (middle, *skips, control.middle, *control.skips)]
    case.call(add_control, middle, skips, control, 0.5)
    now = case.seen([middle, *skips, control.middle, *control.skips])
    case.equal(now, before, "the tensors that were given")


@exercise.holds("what is returned are new tensors in a new list, at a scale of 0 too")
def new_ones(add_control, case):
    for scale in (0.0, 1.0):
        middle, skips, control = given(case)
        places = {one.data_ptr() for one in (middle, *skips, control.middle, *control.skips)}
        grid, steered = case.call(add_control, middle, skips, control, scale)
        own = steered is skips or any(one.data_ptr() in places for one in (grid, *steered))
        case.true(not own, "new tensors", "some of the caller's own" if own else "new ones")


@exercise.holds("another number of controls than skips is refused with a ValueError")
def refused(add_control, case):
    middle, skips, control = given(case)
    case.refuses(ValueError, add_control, middle, skips[:-1], control)
    case.refuses(ValueError, add_control, middle, skips, Control(control.skips[:-1], middle))


@exercise.holds("the gradients reach the control and the base's grids")
def gradients(add_control, case):
    middle, skips, control = given(case, sizes=((2, 3, 4), (2, 3, 4)))

    def ours(middle, first, second, *added):
        grid, steered = add_control(middle, [first, second], Control(added[1:], added[0]), 0.6)
        return torch.cat([grid, *steered])

    def oracle(*grids):
        return torch.cat(grids[:3]) + 0.6 * torch.cat(grids[3:])

    case.gradients(ours, oracle, middle, *skips, control.middle, *control.skips)


exercise.mistakes("""
    last-one-first: the controls are paired from the back: the first skip gets the last one's
    - zip(skips, control.skips)
    + zip(skips, reversed(control.skips))
    > both lists begin with the first skip; only the decoder takes them from the back

    the-callers-own: at a scale of 0 the base's own tensors are returned, and who writes into the
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
    - steered = [skip + scale * added for skip, added in zip(skips, control.skips)]
    - return middle + scale * control.middle, steered
    + steered = [skip.lerp(added, scale) for skip, added in zip(skips, control.skips)]
    + return middle.lerp(control.middle, scale), steered
    > the control is added to the whole of the base

    replaced: the control takes the place of the base's grids
    - steered = [skip + scale * added for skip, added in zip(skips, control.skips)]
    - return middle + scale * control.middle, steered
    + steered = [scale * added for added in control.skips]
    + return scale * control.middle, steered
    > add it: with a control of zeros the base must be left

    multiplied: the control multiplies the base's grids
    - steered = [skip + scale * added for skip, added in zip(skips, control.skips)]
    - return middle + scale * control.middle, steered
    + steered = [skip * (1 + scale * added) for skip, added in zip(skips, control.skips)]
    + return middle * (1 + scale * control.middle), steered
    > the paper adds (equation 2)

    list-emptied: the skips are popped off the base's list, which is empty afterwards
    - steered = [skip + scale * added for skip, added in zip(skips, control.skips)]
    + steered = [skips.pop(0) + scale * added for added in control.skips]
    > go through the list and leave it as it is
""")

exercise.slips("""
    skip + scale * added => skip - scale * added ;; middle + scale => middle - scale
    skip + scale * added => skip.detach() + scale * added ;;
        middle + scale => middle.detach() + scale
    skip + scale * added => skip + scale * added.detach() ;;
        scale * control.middle => scale * control.middle.detach()
    scale: float = 1.0 => scale: float = 0.5
    return middle + scale * control.middle, steered =>
        return middle + scale * control.middle, tuple(steered)
    skip + scale * added => skip.add_(scale * added)
    middle + scale * control.middle, steered => middle + scale * control.middle, steered[::-1]
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
