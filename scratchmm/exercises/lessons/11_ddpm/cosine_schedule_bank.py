"""Wrong and other right answers to process.cosine_schedule."""

import math

import torch

from scratchmm.diffusion.process import Schedule
from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/cosine_schedule").exercise

SQUARED = "math.pi / 2) ** 2"
CLAMPED = "_schedule((1 - level[1:] / level[:-1]).clamp(max=largest))"

exercise.edit(
    "not-squared",
    (SQUARED, "math.pi / 2)"),
    story="alpha_bar is the cosine itself, without the square",
    advice="alpha_bar is a share of variance; it is its root that falls like a cosine",
)
exercise.edit(
    "one-radian",
    (" * math.pi / 2) ** 2", ") ** 2"),
    story="the cosine goes through one radian, not through a quarter of a turn: it ends at 0.29",
    advice="a quarter of a turn leads from 1 to 0: times math.pi / 2",
)
exercise.edit(
    "no-offset",
    ("(time + offset) / (1 + offset)", "time"),
    story="the offset is left out",
    advice="(time + offset) / (1 + offset) begins a little late and still ends at 1",
)
exercise.edit(
    "offset-not-divided",
    ("(time + offset) / (1 + offset)", "(time + offset)"),
    story="the curve is shifted by the offset, but not shrunk: it runs past a quarter of a turn",
    advice="divide by 1 + offset, so that time 1 is a quarter of a turn exactly",
)
exercise.edit(
    "offset-taken-off",
    ("(time + offset) / (1 + offset)", "time / (1 + offset)"),
    story="time is divided by 1 + offset, but the offset is not added",
    advice="(time + offset) / (1 + offset)",
)
exercise.edit(
    "not-held",
    (".clamp(max=largest)", ""),
    story="the last step takes everything: its beta is 1",
    advice="hold the betas to at most `largest`, or nothing can be walked back from there",
)
exercise.edit(
    "always-0.999",
    (".clamp(max=largest)", ".clamp(max=0.999)"),
    story="`largest` is ignored: 0.999 stands in its place",
    advice="clamp(max=largest)",
)
exercise.edit(
    "shrunk",
    (".clamp(max=largest)", " * largest"),
    story="all betas are multiplied by `largest`, not held below it",
    advice="clamp(max=largest) leaves those below it alone",
)
exercise.edit(
    "fixed-to-1000",
    ("dtype=torch.float64) / steps", "dtype=torch.float64) / 1000"),
    story="time is the step over 1000, however many steps there are",
    advice="time runs from 0 to 1 in `steps` steps: divide by steps",
)
exercise.edit(
    "coarse",
    ("torch.arange(steps + 1, dtype=torch.float64)", "torch.arange(steps + 1)"),
    ("(1 - level[1:]", "(1 - level.double()[1:]"),
    story="the cosines are float32: near 1 they are too coarse for the small first steps",
    advice="torch.arange(..., dtype=torch.float64)",
)
exercise.edit(
    "float32",
    ("torch.arange(steps + 1, dtype=torch.float64)", "torch.arange(steps + 1)"),
    story="all is float32, which a Schedule does not take",
    advice="torch.arange(..., dtype=torch.float64)",
)
exercise.edit(
    "what-a-step-keeps",
    (CLAMPED, "Schedule(1 - (1 - level[1:] / level[:-1]).clamp(max=largest))"),
    story="alpha_bar holds what each step alone keeps (alpha), not what is left of x0",
    advice="multiply what all steps so far keep: torch.cumprod(1 - betas, dim=0)",
)
exercise.edit(
    "product-of-betas",
    (CLAMPED, "Schedule(torch.cumprod((1 - level[1:] / level[:-1]).clamp(max=largest), 0))"),
    story="the shares that are lost are multiplied, not those that are kept",
    advice="each step keeps 1 - beta: torch.cumprod(1 - betas, dim=0)",
)
exercise.edit(
    "level-held",
    (
        CLAMPED,
        "Schedule((level[1:] / level[0]).clamp(min=1 - largest))",
    ),
    story="what is left in all is held above 1 - largest, not what one step takes",
    advice="hold the betas, then multiply: the last step may leave a thousandth of what it finds",
)


def curve(time, offset):
    """The paper's f, before it is divided by f(0)."""
    return torch.cos((time + offset) / (1 + offset) * math.pi / 2) ** 2


def times(first, last, steps):
    """first, ..., last over the steps, float64."""
    if steps < 1:
        raise ValueError(f"{steps} steps")
    return torch.arange(first, last, dtype=torch.float64) / steps


def held(left, largest):
    """alpha_bar again, where no step takes more than `largest`; left: of x0."""
    kept = (left[1:] / left[:-1]).clamp(min=1 - largest)
    return kept.cumprod(0)


@exercise.wrong(
    "not-over-the-first",
    story="alpha_bar is f(t), not divided by f(0): with an offset it begins below 1",
    advice="divide by the level at time 0: alpha_bar says what is left of the clean image",
)
def not_over_the_first(steps=1000, offset=0.008, largest=0.999):
    left = curve(times(0, steps + 1, steps), offset)
    return Schedule(left[0] * held(left, largest))


@exercise.wrong(
    "with-the-clean-one",
    story="the level at time 0 is a step too: steps + 1 levels",
    advice="timestep 0 is after one step: leave the first level out",
)
def with_the_clean_one(steps=1000, offset=0.008, largest=0.999):
    left = curve(times(0, steps + 1, steps), offset)
    return Schedule(torch.cat([left[:1], left[0] * held(left, largest)]))


@exercise.wrong(
    "one-early",
    story="timestep 0 is at time 0, so every level comes one step early",
    advice="timestep t stands for the time (t + 1) / steps",
)
def one_early(steps=1000, offset=0.008, largest=0.999):
    return Schedule(curve(times(0, steps, steps), offset))


@exercise.wrong(
    "ends-included",
    story="time goes from 0 to 1 in steps - 1 steps: linspace(0, 1, steps) has both ends",
    advice="steps + 1 times have `steps` steps between them",
)
def ends_included(steps=1000, offset=0.008, largest=0.999):
    left = curve(torch.linspace(0, 1, steps, dtype=torch.float64), offset)
    return Schedule(torch.cat([left[:1], left[0] * held(left, largest)]))


@exercise.wrong(
    "midpoints",
    story="the level is read in the middle of each step",
    advice="timestep t is at the end of its step, (t + 1) / steps",
)
def midpoints(steps=1000, offset=0.008, largest=0.999):
    left = curve(times(0, steps, steps) + 0.5 / steps, offset)
    clean = curve(torch.zeros(1, dtype=torch.float64), offset)
    return Schedule(held(torch.cat([clean, left]), largest))


@exercise.wrong(
    "a-line",
    story="alpha_bar falls on a line",
    advice="it falls as cos^2, slowly at both ends",
)
def a_line(steps=1000, offset=0.008, largest=0.999):
    return Schedule(held(1 - (times(0, steps + 1, steps) + offset) / (1 + offset), largest))


@exercise.wrong(
    "only-the-numbers",
    story="alpha_bar is returned as it is, not as a Schedule",
    advice="return Schedule(alpha_bar)",
)
def only_the_numbers(steps=1000, offset=0.008, largest=0.999):
    return held(curve(times(0, steps + 1, steps), offset), largest)


@exercise.wrong(
    "no-steps",
    story="no steps are taken for one step",
    advice="raise ValueError: a schedule has at least 1 step",
)
def no_steps(steps=1000, offset=0.008, largest=0.999):
    steps = max(steps, 1)
    return Schedule(held(curve(times(0, steps + 1, steps), offset), largest))


@exercise.wrong(
    "below-none-accepted",
    story="it does not refuse steps below 0, only 0 itself",
    advice="raise ValueError where steps < 1",
)
def below_none_accepted(steps=1000, offset=0.008, largest=0.999):
    if steps == 0:
        raise ValueError("no steps")
    steps = abs(steps)
    return Schedule(held(curve(times(0, steps + 1, steps), offset), largest))


@exercise.wrong(
    "rejoins-the-curve",
    story="a step that is held lands above the curve, but the next one is on the curve again",
    advice="multiply what the steps keep, held ones included: torch.cumprod(1 - betas, dim=0)",
)
def rejoins(steps=1000, offset=0.008, largest=0.999):
    left = curve(times(0, steps + 1, steps), offset)
    left = left / left[0]
    return Schedule(left[1:].maximum((1 - largest) * left[:-1]))


@exercise.wrong(
    "one-step-too-many",
    story="time goes up in steps of 1 / (steps + 1): the last level is not at the end",
    advice="steps + 1 times from 0 to 1 are 1 / steps apart",
)
def one_step_too_many(steps=1000, offset=0.008, largest=0.999):
    left = curve(times(0, steps + 1, steps) * steps / (steps + 1), offset)
    return Schedule(held(left, largest))


@exercise.disguise("not-squared")
def not_squared_too(steps=1000, offset=0.008, largest=0.999):
    return Schedule(held(curve(times(0, steps + 1, steps), offset).sqrt(), largest))


@exercise.disguise("not-over-the-first")
def not_over_the_first_too(steps=1000, offset=0.008, largest=0.999):
    if steps < 1:
        raise ValueError("no steps")
    found = []
    for step in range(steps):
        now, then = (
            math.cos(((step + i) / steps + offset) / (1 + offset) * math.pi / 2) ** 2
            for i in (1, 0)
        )
        before = found[-1] if found else then
        found.append(before * max(now / then, 1 - largest))
    return Schedule(torch.tensor(found, dtype=torch.float64))


@exercise.disguise("what-a-step-keeps")
def what_a_step_keeps_too(steps=1000, offset=0.008, largest=0.999):
    left = curve(times(0, steps + 1, steps), offset)
    return Schedule((left[1:] / left[:-1]).clamp(min=1 - largest))


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
