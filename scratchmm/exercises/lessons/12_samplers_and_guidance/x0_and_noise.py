"""Exercise process.x0_and_noise: take x apart again, whatever the model predicts."""

import functools
import math

import torch

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
    hints=(
        "a = 0.64, so the roots are 0.8 and 0.6, and x = 0.8 * x0 + 0.6 * noise = 1. Told that the "
        "noise is 1, x0 must be (1 - 0.6) / 0.8 = 0.5. Told that x0 is 0.5, the noise "
        "must be (1 - 0.4) / 0.6 = 1. Told the velocity 0.8 * 1 - 0.6 * 0.5 = 0.5, both are to be "
        "found: 0.8 * 1 - 0.6 * 0.5 = 0.5, and 0.6 * 1 + 0.8 * 0.5 = 1.",
        "One equation, two unknowns: told one, the other follows. With the velocity there are two "
        "equations, and their four numbers are a turn by an angle: turn back, which is the same turn "
        "with the other sign. The squares of the roots add up to 1, so nothing is divided by.",
        "Refuse a name that is none. Roots of a and of 1 - a, (B,), shaped (B, 1, ..., 1) in the "
        "dtype of x. Noise predicted: x less its part of the noise, over the root of a. x0 "
        "predicted: x less its part of x0, over the other root. Velocity v: x0 is the first "
        "root of x less the second of v; noise is the second of x and the first of v. Nothing is "
        "clamped. The result is a pair: x0, then the noise.",
        "near, far = the roots, by per_sample; from the noise: Estimate((x - far * predicted) / near, "
        "predicted); from x0: Estimate(predicted, (x - near * predicted) / far); from the "
        "velocity: Estimate(near * x - far * predicted, far * x + near * predicted)",
    ),
)
TARGETS = ("noise", "x0", "velocity")


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


def ingredients(case, **axes):
    """x0, noise, x, levels, and by target what a perfect model predicts."""
    x0, noise = case.normal(**axes), case.normal(**axes)
    alpha_bar = levels(case, axes["B"])
    x, velocity = (case.named(made, " ".join(axes)) for made in mixed(x0, noise, alpha_bar))
    said = {"noise": noise, "x0": x0, "velocity": velocity}
    return x0, noise, x, alpha_bar, said


def found(case, x0_and_noise, target, **axes):
    """Called with the right prediction, it must give back what x was made of."""
    x0, noise, x, alpha_bar, said = ingredients(case, **axes)
    got = case.call(x0_and_noise, said[target], x, alpha_bar, target)
    case.true(isinstance(got, tuple) and len(got) == 2, "a pair, x0 and the noise", got)
    case.equal(got[0], x0, "x0")
    case.equal(got[1], noise, "the noise")


@exercise.holds("told the noise that is in x, it finds x0")
def from_noise(x0_and_noise, case):
    found(case, x0_and_noise, "noise", B=4, D=3)


@exercise.holds("told x0 that is in x, it finds the noise")
def from_x0(x0_and_noise, case):
    found(case, x0_and_noise, "x0", B=4, D=3)


@exercise.holds("told the velocity sqrt(a) * noise - sqrt(1 - a) * x0, it finds both")
def from_velocity(x0_and_noise, case):
    found(case, x0_and_noise, "velocity", B=4, D=3)


@exercise.holds("whatever is predicted, right or wrong, x0 and noise make up x again")
def make_up_x(x0_and_noise, case):
    x, alpha_bar = case.normal(B=5, D=2), levels(case, 5)
    for target in TARGETS:
        x0, noise = case.call(x0_and_noise, case.normal(B=5, D=2), x, alpha_bar, target)
        case.equal(mixed(x0, noise, alpha_bar)[0], x, f"mixed again, from the {target}")


@exercise.holds("what is predicted itself comes back as it is")
def as_predicted(x0_and_noise, case):
    x, alpha_bar = case.normal(B=5, D=2), levels(case, 5)
    for place, target in ((1, "noise"), (0, "x0")):
        predicted = case.normal(B=5, D=2, scale=3.0)
        got = case.call(x0_and_noise, predicted, x, alpha_bar, target)
        case.equal(got[place], predicted, f"the {target}")


@exercise.holds("each sample of a batch of images has a level of its own")
def some_images(x0_and_noise, case):
    for target in TARGETS:
        found(case, x0_and_noise, target, B=4, C=3, X=5, Y=6)


@exercise.holds("at nearly pure noise x0 is large, and is neither clamped nor rounded")
def nearly_noise(x0_and_noise, case):
    x, predicted = case.normal(B=2, D=3), case.normal(B=2, D=3)
    alpha_bar = case.named(torch.tensor([1e-6, 4e-6], dtype=torch.float64), "B")
    near = torch.tensor([[0.001], [0.002]])
    far = torch.tensor([[0.999999], [0.999996]]).sqrt()
    got = case.call(x0_and_noise, predicted, x, alpha_bar, "noise")
    case.equal(got[0], (x - far * predicted) / near, "x0", tolerance=1e-3)


@exercise.holds("at the first of many steps, 1 - a is small, and the noise is found all the same")
def nearly_clean(x0_and_noise, case):
    x, predicted = case.normal(B=2, D=3), case.normal(B=2, D=3)
    alpha_bar = case.named(torch.tensor([1 - 1e-6, 1 - 4e-6], dtype=torch.float64), "B")
    near = torch.tensor([[0.999999], [0.999996]]).sqrt()
    got = case.call(x0_and_noise, predicted, x, alpha_bar, "x0")
    far = torch.tensor([[0.001], [0.002]])
    case.equal(got[1], (x - near * predicted) / far, "the noise", tolerance=1e-3)


@exercise.holds("at alpha_bar 0 x0 and the velocity still say all; x is the noise")
def pure_noise(x0_and_noise, case):
    x, alpha_bar = case.normal(B=2, D=3), case.named(torch.zeros(2, dtype=torch.float64), "B")
    for target, sign in (("x0", 1.0), ("velocity", -1.0)):
        predicted = case.normal(B=2, D=3)
        got = case.call(x0_and_noise, predicted, x, alpha_bar, target)
        case.equal(tuple(got), (sign * predicted, x), f"from the {target}")


@exercise.holds("at alpha_bar 0 a predicted noise determines no x0: ValueError")
def refused_level(x0_and_noise, case):
    for levels_ in ([0.0, 0.0], [0.5, 0.0]):
        alpha_bar = case.named(torch.tensor(levels_, dtype=torch.float64), "B")
        x, predicted = case.normal(B=2, D=3), case.normal(B=2, D=3)
        case.refuses(ValueError, x0_and_noise, predicted, x, alpha_bar, "noise")


@exercise.holds("levels are float64, but x0 and noise have the dtype of x")
def kinds(x0_and_noise, case):
    x, predicted, alpha_bar = case.normal(B=3, D=2), case.normal(B=3, D=2), levels(case, 3)
    for target in TARGETS:
        got = case.call(x0_and_noise, predicted, x, alpha_bar, target)
        told = {name: str(one.dtype) for name, one in zip(("x0", "noise"), got, strict=True)}
        case.equal(told, dict.fromkeys(told, "torch.float32"), f"from the {target}")


@exercise.holds("x and the prediction stay as they were")
def unchanged(x0_and_noise, case):
    for target in TARGETS:
        x, predicted = case.normal(B=3, D=4), case.normal(B=3, D=4)
        case.call(x0_and_noise, predicted, x, levels(case, 3), target)
        case.unchanged()


@exercise.holds("the gradients reach the prediction and x")
def gradients(x0_and_noise, case):
    x, predicted, alpha_bar = case.normal(B=4, D=3), case.normal(B=4, D=3), levels(case, 4)
    near, far = alpha_bar.sqrt()[:, None], (1 - alpha_bar).sqrt()[:, None]

    @functools.wraps(x0_and_noise)
    def x0_of(predicted, x):
        return x0_and_noise(predicted, x, alpha_bar, "velocity")[0]

    case.gradients(x0_of, lambda said, x: near * x - far * said, predicted, x)


@exercise.holds("any other name is refused with a ValueError")
def refused(x0_and_noise, case):
    x, predicted, alpha_bar = case.normal(B=2, D=3), case.normal(B=2, D=3), levels(case, 2)
    for name in ("epsilon", "Noise", ""):
        case.refuses(ValueError, x0_and_noise, predicted, x, alpha_bar, name)
