"""Exercise optimizer.warmup_cosine: the learning rate of each step."""

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
    hints="""
        1. With 6 steps, 2 of them warm-up, and peak 1: steps 0 and 1 have 0.5 and 1.0. Then the
           cosine: step 2 has 1.0, step 4 (half way from 2 to 6) has 0.5, step 6 and all later ones
           have the floor, 0.
        2. At first gradients are noisy and AdamW's estimate of their size is poor: small steps.
           Then long ones. At the end short ones again, to settle. The lesson draws the curve beside
           the formula.
        3. Three cases: before warmup, the share (step + 1) / warmup of peak, so that step 0 already
           moves; at or after steps, floor; between, p runs from 0 at step warmup to 1 at step
           steps, and the rate is floor plus the share (1 + cos(pi p)) / 2 of the way from floor to
           peak. Test them in an order in which nothing is divided by 0.
        4. p = (step - warmup) / (steps - warmup); return floor + (peak - floor) * (1 +
           math.cos(math.pi * p)) / 2
    """,
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


exercise.mistakes("""
    first-step-stands [convention]: the warm-up begins at 0, as in the transformers library
    - return peak * (step + 1) / warmup
    + return peak * step / warmup
    > here step 0 already moves: (step + 1) / warmup

    warm-up-from-floor [convention]: the warm-up begins at the floor instead of 0
    - return peak * (step + 1) / warmup
    + return floor + (peak - floor) * (step + 1) / warmup
    > during the warm-up the rate is peak * (step + 1) / warmup, whatever the floor

    no-warm-up: there is no warm-up: the cosine starts at step 0
    - if step < warmup:
    -     return peak * (step + 1) / warmup
    +
    - part = (step - warmup) / (steps - warmup)
    + part = step / steps
    > while step < warmup the rate is a line

    cosine-from-start: the cosine counts from step 0, so the rate drops where the warm-up ends
    - part = (step - warmup) / (steps - warmup)
    + part = step / steps
    > p is 0 at step warmup: (step - warmup) / (steps - warmup)

    ends-early [convention]: the floor is reached at the last step instead of after it
    - part = (step - warmup) / (steps - warmup)
    + part = (step - warmup) / max(steps - 1 - warmup, 1)
    > p is 1 at step `steps`: divide by steps - warmup, not by one less

    straight [convention]: the rate goes down in a line
    - return floor + (peak - floor) * (1 + math.cos(math.pi * part)) / 2
    + return floor + (peak - floor) * (1 - part)
    > (1 + cos(pi p)) / 2, not 1 - p

    quarter: a quarter of a cosine, cos(pi p / 2)
    - return floor + (peak - floor) * (1 + math.cos(math.pi * part)) / 2
    + return floor + (peak - floor) * math.cos(math.pi * part / 2)
    > half a cosine from 1 to -1, lifted and halved: (1 + cos(pi p)) / 2

    floor-ignored: the floor is not used
    - if step < warmup:
    + floor = 0.0
    + if step < warmup:
    > floor + (peak - floor) * ..., and floor after the last step

    floor-on-top: the floor is added to the whole peak, so the cosine starts above it
    - return floor + (peak - floor) * (1 + math.cos(math.pi * part)) / 2
    + return floor + peak * (1 + math.cos(math.pi * part)) / 2
    > scale the way from floor to peak: floor + (peak - floor) * ...

    floor-as-least: the floor cuts the curve off instead of being where it ends
    - return floor + (peak - floor) * (1 + math.cos(math.pi * part)) / 2
    + return max(floor, peak * (1 + math.cos(math.pi * part)) / 2)
    > floor + (peak - floor) * ..., not max(floor, ...)

    floor-as-share: the floor is taken as a share of peak
    - if step >= steps:
    + floor = floor * peak
    + if step >= steps:
    > floor is a learning rate, as peak is

    comes-back: after the last step the cosine goes on, and the rate rises again
    - if step >= steps:
    + if steps == warmup:
    > from step `steps` on it is the floor

    divides-by-warm-up: (step + 1) / warmup is computed even without a warm-up: a division by 0
    - if step < warmup:
    -     return peak * (step + 1) / warmup
    + share = (step + 1) / warmup
    + if share <= 1:
    +     return peak * share
    > compare step < warmup first; with warmup 0 that never holds
""")

exercise.slips("""
    peak * (step + 1) / warmup => peak
""")


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
