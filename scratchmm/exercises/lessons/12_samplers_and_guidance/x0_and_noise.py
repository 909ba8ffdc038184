"""Exercise process.x0_and_noise: x0 and noise of x, whatever the model predicts."""

import math

import torch

from scratchmm.diffusion.process import Estimate
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="process.x0_and_noise",
    order=20,
    target="scratchmm.diffusion.process:x0_and_noise",
    title="x0 and noise from a prediction",
    goal="x0 and the noise that make up x, from the prediction of either or of the velocity",
    minutes=15,
    difficulty=2,
    section="Three things to predict",
    needs=("process.target_of",),
    hints="""
        1. a = 0.64, so the roots are 0.8 and 0.6, and x = 0.8 * x0 + 0.6 * noise = 1. If the noise
           is 1, x0 must be (1 - 0.6) / 0.8 = 0.5, and the velocity is 0.8 * 1 - 0.6 * 0.5 = 0.5.
           From it both follow: x0 is 0.8 * 1 - 0.6 * 0.5 = 0.5, the noise 0.6 * 1 + 0.8 * 0.5 = 1.
        2. One equation, two unknowns: given one, the other follows. The velocity is a second
           equation, and both are a rotation: turn back, and nothing is divided by.
        3. Roots of a and 1 - a, (B, 1, ..., 1) in the dtype of x. From the noise: x less its part of
           the noise, over the first. From x0: x less its part of x0, over the second. From the
           velocity: x0 is the first times x less the second times the velocity; the noise the
           second times x plus the first times the velocity.
        4. near, far = the roots, by per_sample; from the noise: Estimate((x - far * predicted) /
           near, predicted); from x0: Estimate(predicted, (x - near * predicted) / far); from the
           velocity: Estimate(near * x - far * predicted, far * x + near * predicted)
    """,
)


def levels(case, B):
    """alpha_bar (B,), from nearly clean to nearly noise; float64, as a schedule gives it."""
    order = case.permutation(B)
    return case.named(torch.linspace(0.95, 0.05, B, dtype=torch.float64)[order], "B")


def mixed(x0, noise, alpha_bar):
    """x and the velocity (B, ...), one sample at a time."""
    x, velocity = torch.empty_like(x0), torch.empty_like(x0)
    for i, level in enumerate(alpha_bar.tolist()):
        near, far = math.sqrt(level), math.sqrt(1 - level)
        x[i] = near * x0[i] + far * noise[i]
        velocity[i] = near * noise[i] - far * x0[i]
    return x, velocity


@exercise.holds("given the noise, x0 or the velocity of x, it returns the x0 and noise of x")
def recovered(x0_and_noise, case):
    for axes in ({"B": 4, "D": 3}, {"B": 4, "C": 3, "H": 5, "W": 6}):
        x0, noise, alpha_bar = case.normal(**axes), case.normal(**axes), levels(case, 4)
        x, velocity = (case.named(made, " ".join(axes)) for made in mixed(x0, noise, alpha_bar))
        for target, predicted in (("noise", noise), ("x0", x0), ("velocity", velocity)):
            got = case.call(x0_and_noise, predicted, x, alpha_bar, target)
            case.equal(got, (x0, noise), f"from the {target}")


@exercise.holds("at nearly pure and nearly no noise the small root is divided by as it is")
def small_roots(x0_and_noise, case):
    for place, target, level in ((0, "noise", 1e-6), (1, "x0", 1 - 1e-6)):
        x, predicted = case.normal(B=2, D=3), case.normal(B=2, D=3)
        alpha_bar = case.named(torch.full((2,), level, dtype=torch.float64), "B")
        got = case.call(x0_and_noise, predicted, x, alpha_bar, target)
        expected = (x.double() - math.sqrt(1 - 1e-6) * predicted.double()) / 0.001
        case.equal(got[place], expected.float(), tolerance=1e-3)


@exercise.holds("at alpha_bar 0 x0 and the velocity still determine both; x is the noise")
def pure_noise(x0_and_noise, case):
    x, alpha_bar = case.normal(B=2, D=3), case.named(torch.zeros(2, dtype=torch.float64), "B")
    for target, sign in (("x0", 1.0), ("velocity", -1.0)):
        predicted = case.normal(B=2, D=3)
        got = case.call(x0_and_noise, predicted, x, alpha_bar, target)
        case.equal(tuple(got), (sign * predicted, x), f"from the {target}")


@exercise.holds("x and the prediction stay as they were")
def unchanged(x0_and_noise, case):
    for target in ("noise", "x0", "velocity"):
        x, predicted = case.normal(B=3, D=4), case.normal(B=3, D=4)
        case.call(x0_and_noise, predicted, x, levels(case, 3), target)
        case.unchanged()


@exercise.holds("the gradients reach the prediction, x and alpha_bar")
def gradients(x0_and_noise, case):
    x, predicted, alpha_bar = case.normal(B=4, D=3), case.normal(B=4, D=3), levels(case, 4)

    def both(x0_and_noise):
        return lambda *given: torch.cat(x0_and_noise(*given, "velocity"))

    case.gradients(both(x0_and_noise), both(by_x0), predicted, x, alpha_bar)


@exercise.holds("any other target, and the noise at an alpha_bar of 0, is refused: ValueError")
def refused(x0_and_noise, case):
    x, predicted, alpha_bar = case.normal(B=2, D=3), case.normal(B=2, D=3), levels(case, 2)
    for name in ("epsilon", "Noise", ""):
        case.refuses(ValueError, x0_and_noise, predicted, x, alpha_bar, name)
    for level in (0.0, 0.5):
        alpha_bar = case.named(torch.tensor([level, 0.0], dtype=torch.float64), "B")
        case.refuses(ValueError, x0_and_noise, predicted, x, alpha_bar, "noise")


exercise.mistakes("""
    velocity-as-either: the velocity is used as if it were the noise, and again as if it were x0
    - x0 = signal_rate * x - noise_rate * predicted
    - return Estimate(x0, noise_rate * x + signal_rate * predicted)
    + x0 = (x - noise_rate * predicted) / signal_rate
    + return Estimate(x0, (x - signal_rate * predicted) / noise_rate)
    > x0 = sqrt(a) * x - sqrt(1 - a) * v, noise = sqrt(1 - a) * x + sqrt(a) * v

    one-minus-the-root: the part of the noise is 1 - sqrt(a)
    - noise_rate = per_sample((1 - alpha_bar).sqrt(), x)
    + noise_rate = per_sample(1 - alpha_bar.sqrt(), x)
    > sqrt(1 - a): the squares of the two parts add up to 1, not the parts

    velocity-backwards: the velocity points the other way, from the noise to x0
    - x0 = signal_rate * x - noise_rate * predicted
    - return Estimate(x0, noise_rate * x + signal_rate * predicted)
    + x0 = signal_rate * x + noise_rate * predicted
    + return Estimate(x0, noise_rate * x - signal_rate * predicted)
    > velocity = sqrt(a) * noise - sqrt(1 - a) * x0, so x0 = sqrt(a) * x - sqrt(1 - a) * velocity

    flow [convention]: the velocity is noise - x0, as in flow matching
    - x0 = signal_rate * x - noise_rate * predicted
    - return Estimate(x0, noise_rate * x + signal_rate * predicted)
    + whole = signal_rate + noise_rate
    + x0 = (x - noise_rate * predicted) / whole
    + return Estimate(x0, (x + signal_rate * predicted) / whole)
    > here x runs on a circle: velocity = sqrt(a) * noise - sqrt(1 - a) * x0

    score [convention]: the prediction is the score, -noise / sqrt(1 - a), as in score matching
    - return Estimate((x - noise_rate * predicted) / signal_rate, predicted)
    + noise = -noise_rate * predicted
    + return Estimate((x - noise_rate * noise) / signal_rate, noise)
    > here it is the noise itself

    level-along-the-last-axis: the levels (B,) are multiplied without a shape, along the last axis
    - signal_rate = per_sample(alpha_bar.sqrt(), x)
    - noise_rate = per_sample((1 - alpha_bar).sqrt(), x)
    + signal_rate = alpha_bar.sqrt().to(x.dtype)
    + noise_rate = (1 - alpha_bar).sqrt().to(x.dtype)
    > shape them (B, 1, ..., 1) first
""")

exercise.slips("""
    predicted) / noise_rate => predicted) / signal_rate
    predicted) / noise_rate => predicted) / noise_rate.clamp(min=0.01)
    predicted) / signal_rate => predicted) / signal_rate.clamp(min=0.01)
    (x - noise_rate * predicted) / signal_rate => x - predicted
    alpha_bar.sqrt() => (1 - alpha_bar).sqrt() ;; (1 - alpha_bar).sqrt() => alpha_bar.sqrt()
    Estimate((x - => Estimate(*(predicted, (x - ;; signal_rate, predicted) => signal_rate)) ;;
        Estimate(predicted, (x - => Estimate(*((x - ;; / noise_rate) => / noise_rate, predicted)) ;;
        Estimate(x0, noise_rate * x + => Estimate(noise=x0, x0=noise_rate * x +
    target == "noise" => target == "x0" ;; target == "x0" => target == "noise"
    check_target(target, alpha_bar) => check_target(target, alpha_bar);
        alpha_bar = alpha_bar[:1].expand(len(x))
    check_target(target, alpha_bar) => check_target("noise", alpha_bar); check_target(target)
    check_target(target, alpha_bar) => check_target(target)
    check_target(target, alpha_bar) => check_target(target, alpha_bar); x = x.double()
    x0 = signal_rate * x - noise_rate * predicted => x0 = signal_rate * x - noise_rate * x ;;
        noise_rate * x + signal_rate * predicted => (x - signal_rate * x0) / noise_rate
    signal_rate * x - noise_rate * predicted => (signal_rate * x - noise_rate * predicted).detach()
    noise_rate * x + signal_rate * predicted => signal_rate * x + noise_rate * predicted
    (x - signal_rate * predicted) / noise_rate => x - predicted
    alpha_bar.sqrt() => alpha_bar ;; (1 - alpha_bar).sqrt() => 1 - alpha_bar
    (x - noise_rate * predicted) / signal_rate, =>
        ((x - noise_rate * predicted) / signal_rate).clamp(-1, 1),
    x0 = signal_rate * x - noise_rate * predicted => x0 = (signal_rate * x - noise_rate *
        predicted).clamp(-1, 1) ;; (x - noise_rate * predicted) / signal_rate, predicted => ((x -
        noise_rate * predicted) / signal_rate).clamp(-1, 1), predicted
""")


def roots(x, alpha_bar):
    """sqrt(a) and sqrt(1 - a), for each sample."""
    level = alpha_bar.view(-1, *[1] * (x.dim() - 1))
    return level.sqrt().to(x.dtype), (1 - level).sqrt().to(x.dtype)


@exercise.right("by x0")
def by_x0(predicted, x, alpha_bar, target):
    if target == "noise" and bool((alpha_bar == 0).any()):
        raise ValueError("x is noise, and no x0 is left in it")
    near, far = roots(x, alpha_bar)
    if target == "x0":
        x0 = predicted
    elif target == "velocity":
        x0 = near * x - far * predicted
    elif target == "noise":
        return (x - far * predicted) / near, predicted
    else:
        raise ValueError(target)
    return x0, (x - near * x0) / far


@exercise.right("the velocity solved for the noise")
def solved(predicted, x, alpha_bar, target):
    near, far = roots(x, alpha_bar)
    rows = {
        "noise": lambda: Estimate(x / near - far / near * predicted, predicted),
        "x0": lambda: Estimate(x0=predicted, noise=x / far - near / far * predicted),
        "velocity": lambda: Estimate(x * near - predicted * far, predicted * near + x * far),
    }
    if target not in rows or target == "noise" and not near.all():
        raise ValueError(f"{target} is not among {', '.join(rows)}")
    return rows[target]()
