"""Exercise optimizer.warmup_cosine: how fast to walk, step by step."""

import math

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="optimizer.warmup_cosine",
    order=60,
    target="scratchmm.training.optimizer:warmup_cosine",
    title="Warm up in a line, cool down on a cosine",
    goal="the learning rate of one step: a line up to peak, then half a cosine down to floor",
    minutes=15,
    difficulty=2,
    section="The learning rate",
    hints=(
        "With 6 steps, 2 of them warm-up, and peak 1: steps 0 and 1 have 0.5 and 1.0. Then the "
        "cosine: step 2 has 1.0, step 4 (half way from 2 to 6) has 0.5, step 6 and all later ones "
        "have the floor, 0.",
        "At first the gradients point anywhere and AdamW knows little of their size: small steps. "
        "Then long ones. At the end short ones again, to settle. The lesson draws the curve beside "
        "the formula.",
        "Three cases: before warmup, the share (step + 1) / warmup of peak, so that step 0 already "
        "moves; at or after steps, floor; between, p runs from 0 at step warmup to 1 at step steps, "
        "and the rate is floor plus the share (1 + cos(pi p)) / 2 of the way from floor to peak. "
        "Ask in an order in which nothing is divided by 0.",
        "p = (step - warmup) / (steps - warmup); "
        "return floor + (peak - floor) * (1 + math.cos(math.pi * p)) / 2",
    ),
)


def rates(warmup_cosine, case, expected, steps, warmup, *more):
    """The rates of the first steps, one call each, must be these."""
    calls = [((step, steps, warmup, *more), rate) for step, rate in enumerate(expected)]
    case.each(warmup_cosine, *calls)


def slow(step, steps, warmup, peak, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    if step > steps:
        return floor
    p = (step - warmup) / (steps - warmup)
    return peak * math.cos(math.pi * p / 2) ** 2 + floor * math.sin(math.pi * p / 2) ** 2


@exercise.holds("the warm-up is a line: 1/4, 2/4, 3/4 and 4/4 of peak in 4 steps")
def line(warmup_cosine, case):
    rates(warmup_cosine, case, [0.75, 1.5, 2.25, 3.0], 10, 4, 3.0)


@exercise.holds("right after the warm-up the rate is peak")
def top(warmup_cosine, case):
    case.equal(case.call(warmup_cosine, 4, 10, 4, 3.0), 3.0)


@exercise.holds("half way from the warm-up to the end the rate is half way from peak to floor")
def middle(warmup_cosine, case):
    case.equal(case.call(warmup_cosine, 7, 10, 4, 3.0), 1.5, "without a floor")
    case.equal(case.call(warmup_cosine, 7, 10, 4, 3.0, 0.6), 1.8, "with floor 0.6")


@exercise.holds("between them it is floor + (peak - floor) (1 + cos(pi p)) / 2 at every step")
def everywhere(warmup_cosine, case):
    for floor in (0.0, 0.6):
        expected = [slow(step, 11, 3, 3.0, floor) for step in range(11)]
        rates(warmup_cosine, case, expected, 11, 3, 3.0, floor)


@exercise.holds("at step `steps` and ever after it is the floor")
def after(warmup_cosine, case):
    case.each(warmup_cosine, *(((step, 10, 4, 3.0, 0.6), 0.6) for step in (10, 11, 14, 99)))


@exercise.holds("without a warm-up the first step has the peak")
def cold(warmup_cosine, case):
    expected = [slow(step, 5, 0, 3.0, 0.6) for step in range(5)]
    rates(warmup_cosine, case, expected, 5, 0, 3.0, 0.6)


@exercise.holds("the warm-up may last as long as the run")
def warm_only(warmup_cosine, case):
    rates(warmup_cosine, case, [0.75, 1.5, 2.25, 3.0, 0.6, 0.6], 4, 4, 3.0, 0.6)


def schedule(step, steps, warmup, peak, floor=0.0, start=0, part=None, shape=None, foot=0.0):
    """The schedule with its knobs out, so that a wrong answer is one knob turned."""
    if step < warmup:
        return foot + (peak - foot) * (step + 1 + start) / warmup
    if step >= steps:
        return floor
    p = (step - warmup) / (steps - warmup) if part is None else part
    down = (1 + math.cos(math.pi * p)) / 2 if shape is None else shape(p)
    return floor + (peak - floor) * down


@exercise.wrong(
    "first-step-stands",
    story="the warm-up begins at 0, as in the transformers library; here step 0 already moves",
    advice="(step + 1) / warmup",
    convention=True,
)
def first_step_stands(step, steps, warmup, peak, floor=0.0):
    return schedule(step, steps, warmup, peak, floor, start=-1)


@exercise.wrong(
    "warm-up-from-floor",
    story="the warm-up begins at the floor instead of 0",
    advice="during the warm-up the rate is peak * (step + 1) / warmup, whatever the floor",
    convention=True,
)
def warm_up_from_floor(step, steps, warmup, peak, floor=0.0):
    return schedule(step, steps, warmup, peak, floor, foot=floor)


@exercise.wrong(
    "no-warm-up",
    story="there is no warm-up: the cosine starts at step 0",
    advice="while step < warmup the rate is a line",
)
def no_warm_up(step, steps, warmup, peak, floor=0.0):
    return schedule(step, steps, 0, peak, floor)


@exercise.wrong(
    "jump",
    story="during the warm-up the rate is peak at once",
    advice="(step + 1) / warmup of it",
)
def jump(step, steps, warmup, peak, floor=0.0):
    return peak if step < warmup else schedule(step, steps, warmup, peak, floor)


@exercise.wrong(
    "cosine-from-start",
    story="the cosine counts from step 0, so the rate drops where the warm-up ends",
    advice="p is 0 at step warmup: (step - warmup) / (steps - warmup)",
)
def cosine_from_start(step, steps, warmup, peak, floor=0.0):
    return schedule(step, steps, warmup, peak, floor, part=step / max(steps, 1))


@exercise.wrong(
    "divided-by-steps",
    story="p is (step - warmup) / steps, so it never reaches 1",
    advice="the cosine has steps - warmup steps",
)
def divided_by_steps(step, steps, warmup, peak, floor=0.0):
    return schedule(step, steps, warmup, peak, floor, part=(step - warmup) / max(steps, 1))


@exercise.wrong(
    "ends-early",
    story="the floor is reached at the last step instead of after it",
    advice="p is 1 at step `steps`: divide by steps - warmup, not by one less",
    convention=True,
)
def ends_early(step, steps, warmup, peak, floor=0.0):
    part = (step - warmup) / max(steps - 1 - warmup, 1)
    return schedule(step, steps, warmup, peak, floor, part=part)


@exercise.wrong(
    "straight",
    story="the rate goes down in a line",
    advice="(1 + cos(pi p)) / 2, not 1 - p",
    convention=True,
)
def straight(step, steps, warmup, peak, floor=0.0):
    return schedule(step, steps, warmup, peak, floor, shape=lambda p: 1 - p)


@exercise.wrong(
    "quarter",
    story="a quarter of a cosine, cos(pi p / 2)",
    advice="half a cosine from 1 to -1, lifted and halved: (1 + cos(pi p)) / 2",
)
def quarter(step, steps, warmup, peak, floor=0.0):
    return schedule(step, steps, warmup, peak, floor, shape=lambda p: math.cos(math.pi * p / 2))


@exercise.wrong(
    "not-halved",
    story="1 + cos(pi p) is not halved, so the rate jumps to twice the peak",
    advice="(1 + cos(pi p)) / 2 runs from 1 to 0",
)
def not_halved(step, steps, warmup, peak, floor=0.0):
    return schedule(step, steps, warmup, peak, floor, shape=lambda p: 1 + math.cos(math.pi * p))


@exercise.wrong(
    "rises",
    story="1 - cos(pi p): the rate falls to the floor at once and climbs back",
    advice="cos(0) is 1: (1 + cos(pi p)) / 2 starts at 1",
)
def rises(step, steps, warmup, peak, floor=0.0):
    return schedule(
        step, steps, warmup, peak, floor, shape=lambda p: (1 - math.cos(math.pi * p)) / 2
    )


@exercise.wrong(
    "floor-ignored",
    story="the floor is not used",
    advice="floor + (peak - floor) * ..., and floor after the last step",
)
def floor_ignored(step, steps, warmup, peak, floor=0.0):
    return schedule(step, steps, warmup, peak)


@exercise.wrong(
    "floor-on-top",
    story="the floor is added to the whole peak, so the cosine starts above it",
    advice="scale the way from floor to peak: floor + (peak - floor) * ...",
)
def floor_on_top(step, steps, warmup, peak, floor=0.0):
    raised = peak + floor if step >= warmup else peak
    return schedule(step, steps, warmup, raised, floor)


@exercise.wrong(
    "floor-as-least",
    story="the floor cuts the curve off instead of being where it ends",
    advice="floor + (peak - floor) * ..., not max(floor, ...)",
)
def floor_as_least(step, steps, warmup, peak, floor=0.0):
    rate = schedule(step, steps, warmup, peak)
    return rate if step < warmup else max(floor, rate)


@exercise.wrong(
    "floor-as-share",
    story="the floor is taken as a share of peak",
    advice="floor is a learning rate, as peak is",
)
def floor_as_share(step, steps, warmup, peak, floor=0.0):
    return schedule(step, steps, warmup, peak, floor * peak)


@exercise.wrong(
    "comes-back",
    story="after the last step the cosine goes on, and the rate rises again",
    advice="from step `steps` on it is the floor",
)
def comes_back(step, steps, warmup, peak, floor=0.0):
    if step < warmup or steps == warmup:
        return schedule(step, steps, warmup, peak, floor)
    p = (step - warmup) / (steps - warmup)
    return floor + (peak - floor) * (1 + math.cos(math.pi * p)) / 2


@exercise.wrong(
    "divides-by-warm-up",
    story="(step + 1) / warmup is worked out even without a warm-up, and divides by 0",
    advice="ask step < warmup first; with warmup 0 that never holds",
)
def divides_by_warm_up(step, steps, warmup, peak, floor=0.0):
    share = (step + 1) / warmup
    return peak * share if share <= 1 else schedule(step, steps, warmup, peak, floor)


@exercise.wrong(
    "divides-by-nothing",
    story="steps - warmup is divided by where it is 0: the warm-up lasts as long as the run",
    advice="ask step >= steps before you divide",
)
def divides_by_nothing(step, steps, warmup, peak, floor=0.0):
    if step < warmup:
        return peak * (step + 1) / warmup
    p = min(1.0, (step - warmup) / (steps - warmup))
    return floor + (peak - floor) * (1 + math.cos(math.pi * p)) / 2


@exercise.disguise("floor-on-top")
def floor_on_top_too(step, steps, warmup, peak, floor=0.0):
    if step < warmup:
        return peak / warmup * (step + 1)
    if steps <= step:
        return floor
    p = (step - warmup) / (steps - warmup)
    return floor + 0.5 * peak * (1 + math.cos(p * math.pi))


@exercise.right("sine and cosine squared")
def squares(step, steps, warmup, peak, floor=0.0):
    if warmup > step:
        return (step + 1) * (peak / warmup)
    left = max(steps - step, 0) / max(steps - warmup, 1)
    return floor + (peak - floor) * math.sin(left * math.pi / 2) ** 2


@exercise.right("weighted mean")
def weighted(step, steps, warmup, peak, floor=0.0):
    if step >= steps:
        return floor
    if step < warmup:
        return peak - peak * (warmup - step - 1) / warmup
    cosine = math.cos(math.pi * (step - warmup) / (steps - warmup))
    return (peak + floor) / 2 + cosine * (peak - floor) / 2
