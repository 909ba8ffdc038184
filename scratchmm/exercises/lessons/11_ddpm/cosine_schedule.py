"""Exercise process.cosine_schedule: how much of an image is left at each step."""

import math

import torch

from scratchmm.diffusion.process import Schedule
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="process.cosine_schedule",
    order=10,
    target="scratchmm.diffusion.process:cosine_schedule",
    title="The square of a cosine",
    goal="a Schedule whose alpha_bar falls as cos^2 from 1 to 0, no step steeper than `largest`",
    minutes=20,
    difficulty=3,
    section="How much is left",
    hints="""
        1. Four steps, offset 0. The quarter of a turn is cut in four: the cosines at 22.5, 45, 67.5
           and 90 degrees, squared, are 0.854, 0.5, 0.146 and 0. All but the last are the schedule;
           the last would leave nothing at all, so that step keeps a thousandth of 0.146.
        2. alpha_bar is a share of variance, so its root falls like a cosine, and alpha_bar like its
           square. The offset begins a little late on that curve, where it falls already, so that
           the first steps matter. A step is described by its beta, the share lost in it alone.
        3. steps + 1 times from 0 to 1 in float64; their levels, cos^2 of ((time + offset) / (1 +
           offset)) quarter turns. Each level over the one before: what that step keeps; one minus
           that is its beta, held to at most `largest`. What is left after t steps is the product of
           what each of them keeps: (steps,).
        4. time = torch.arange(steps + 1, dtype=torch.float64) / steps; level = torch.cos((time +
           offset) / (1 + offset) * math.pi / 2) ** 2; betas = (1 - level[1:] /
           level[:-1]).clamp(max=largest); return Schedule(torch.cumprod(1 - betas, dim=0))
    """,
)


def levels(case, cosine_schedule, steps, **options):
    """alpha_bar of the schedule that the candidate makes."""
    schedule = case.call(cosine_schedule, steps, **options)
    case.true(isinstance(schedule, Schedule), "a Schedule", type(schedule).__name__)
    return case.seen(schedule.alpha_bar)


def slow(steps, offset=0.008, largest=0.999):
    """The oracle: one step after the other."""

    def curve(step):
        return math.cos((step / steps + offset) / (1 + offset) * math.pi / 2) ** 2

    left, found = 1.0, []
    for step in range(steps):
        left *= 1 - min(1 - curve(step + 1) / curve(step), largest)
        found.append(left)
    return torch.tensor(found, dtype=torch.float64)


@exercise.holds("it has a level for each step, the first of them after one step")
def one_a_step(cosine_schedule, case):
    for steps in (7, 4):
        got = levels(case, cosine_schedule, steps)
        case.equal(tuple(got.shape), (steps,), "the shape of alpha_bar")


@exercise.holds("without an offset, half-way half of the variance is left: cos^2 of 45 degrees")
def half_way(cosine_schedule, case):
    got = levels(case, cosine_schedule, 4, offset=0.0)
    expected = [math.cos(math.pi / 8) ** 2, 0.5, math.sin(math.pi / 8) ** 2]
    expected = torch.tensor(expected, dtype=torch.float64)
    case.equal(got[:3], expected, "the first 3 of 4 levels", 1e-5)


@exercise.holds("twice as many steps pass through the same levels, at every second of them")
def any_number(cosine_schedule, case):
    few, many = (levels(case, cosine_schedule, steps) for steps in (6, 12))
    case.equal(many[1:10:2], few[:5], "every second of the first 10 of 12 levels", 1e-5)


@exercise.holds("with an offset the curve begins later, but still from 1 and still ends at 0")
def late(cosine_schedule, case):
    got = levels(case, cosine_schedule, 5, offset=0.25)
    case.equal(got[:4], slow(5, offset=0.25)[:4], "the first 4 of 5 levels", 1e-5)


def betas(alpha_bar):
    """What each step takes away."""
    before = torch.cat([torch.ones_like(alpha_bar[:1]), alpha_bar[:-1]])
    return 1 - alpha_bar / before


@exercise.holds("the last step takes 0.999 of what is left, not everything")
def last_step(cosine_schedule, case):
    got = betas(levels(case, cosine_schedule, 5, offset=0.1))
    case.equal(got, betas(slow(5, offset=0.1)), "the share that each step takes", 1e-5)


@exercise.holds("no step takes more than `largest`, and the next goes on from what is left then")
def largest_step(cosine_schedule, case):
    for largest in (0.5, 0.3):
        got = betas(levels(case, cosine_schedule, 8, largest=largest))
        case.equal(got, betas(slow(8, largest=largest)), "the share that each step takes", 1e-5)


@exercise.holds("it is computed in float64: the first of 1000 steps takes 0.0000413, to ten digits")
def fine(cosine_schedule, case):
    case.equal(levels(case, cosine_schedule, 1000), slow(1000), "alpha_bar", 1e-10)


@exercise.holds("steps below 1 are refused with a ValueError")
def refused(cosine_schedule, case):
    for steps in (0, -5):
        case.refuses(ValueError, cosine_schedule, steps)


exercise.mistakes("""
    not-squared: alpha_bar is the cosine itself, without the square
    - level = torch.cos((time + offset) / (1 + offset) * math.pi / 2) ** 2
    + level = torch.cos((time + offset) / (1 + offset) * math.pi / 2)
    > alpha_bar is a share of variance; it is its root that falls like a cosine

    offset-not-divided: the curve is shifted by the offset, but not shrunk: it runs past a quarter of
    a turn
    - level = torch.cos((time + offset) / (1 + offset) * math.pi / 2) ** 2
    + level = torch.cos((time + offset) * math.pi / 2) ** 2
    > divide by 1 + offset, so that time 1 is a quarter of a turn exactly

    coarse: the cosines are float32: near 1 they are too coarse for the small first steps
    - time = torch.arange(steps + 1, dtype=torch.float64) / steps
    + time = torch.arange(steps + 1) / steps
    - return _schedule((1 - level[1:] / level[:-1]).clamp(max=largest))
    + return _schedule((1 - level.double()[1:] / level[:-1]).clamp(max=largest))
    > torch.arange(..., dtype=torch.float64)

    what-a-step-keeps: alpha_bar holds what each step alone keeps (alpha), not what is left of x0
    - return _schedule((1 - level[1:] / level[:-1]).clamp(max=largest))
    + return Schedule((level[1:] / level[:-1]).clamp(min=1 - largest))
    > multiply what all steps so far keep: torch.cumprod(1 - betas, dim=0)

    level-held: what is left in all is held above 1 - largest, not what one step takes
    - return _schedule((1 - level[1:] / level[:-1]).clamp(max=largest))
    + return Schedule((level[1:] / level[0]).clamp(min=1 - largest))
    > hold the betas, then multiply: the last step may leave a thousandth of what it finds

    not-over-the-first: alpha_bar is f(t), not divided by f(0): with an offset it begins below 1
    - return _schedule((1 - level[1:] / level[:-1]).clamp(max=largest))
    + kept = (level[1:] / level[:-1]).clamp(min=1 - largest)
    + return Schedule(level[0] * kept.cumprod(0))
    > divide by the level at time 0: alpha_bar says what is left of the clean image

    rejoins-the-curve: a step that is held lands above the curve, but the next one is on the curve
    again
    - return _schedule((1 - level[1:] / level[:-1]).clamp(max=largest))
    + level = level / level[0]
    + return Schedule(level[1:].maximum((1 - largest) * level[:-1]))
    > multiply what the steps keep, held ones included: torch.cumprod(1 - betas, dim=0)
""")

exercise.slips("""
    (1 - level[1:] / level[:-1]).clamp(max=largest) => torch.cat([1 - level[1:-1] /
        level[:-2], (1 - level[-1:] / level[-2:-1]).clamp(max=largest)])
    dtype=torch.float64) / steps => dtype=torch.float64) / (steps + 1)
    (time + offset) / (1 + offset) => time
    / (1 + offset) * math.pi / 2 => / (1 + offset)
    .clamp(max=largest) => * largest
    max=largest => max=0.999
    dtype=torch.float64) / steps => dtype=torch.float64) / 1000
    torch.arange(steps + 1, dtype=torch.float64) =>
        (torch.arange(steps + 1.0).double() - 0.5).clamp(min=0)
    _schedule((1 - level[1:] / level[:-1]).clamp(max=largest)) => Schedule(level[:-1])
    torch.arange(steps + 1, dtype=torch.float64) / steps => torch.linspace(0, 1, steps).double() ;;
        _schedule((1 - level[1:] / level[:-1]).clamp(max=largest)) => Schedule(level.clamp(1e-9))
""")


@exercise.right("a loop over the steps")
def loop(steps=1000, offset=0.008, largest=0.999):
    if steps < 1:
        raise ValueError(f"{steps} steps")

    def level(time):
        return math.cos((time + offset) / (1 + offset) * math.pi / 2) ** 2

    found = [1.0]
    for step in range(steps):
        beta = min(largest, 1 - level((step + 1) / steps) / level(step / steps))
        found.append(found[-1] * (1 - beta))
    return Schedule(torch.tensor(found[1:], dtype=torch.float64))


@exercise.right("sums of logarithms")
def logarithms(steps=1000, offset=0.008, largest=0.999):
    if steps <= 0:
        raise ValueError(f"{steps} steps")
    time = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    angle = (time + offset) * (math.pi / 2 / (1 + offset))
    level = (1 + torch.cos(2 * angle)) / 2  # cos^2, by the double angle
    keeps = (level[1:] / level[:-1]).clamp_min(1 - largest)
    return Schedule(keeps.log().cumsum(0).exp())
