"""Exercise ddpm.start_and_noise: take x apart again, whatever the model predicts."""

import functools
import math

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="ddpm.start_and_noise",
    order=20,
    target="scratchmm.diffusion.ddpm:start_and_noise",
    title="x0 and noise from a prediction",
    goal="the start and the noise that make up x, from the prediction of either or of the velocity",
    minutes=15,
    difficulty=2,
    section="Three things to predict",
    needs=("ddpm.target_of",),
    hints=(
        "a = 0.64, so the roots are 0.8 and 0.6, and x = 0.8 * start + 0.6 * noise = 1. Told that the "
        "noise is 1, the start must be (1 - 0.6) / 0.8 = 0.5. Told that the start is 0.5, the noise "
        "must be (1 - 0.4) / 0.6 = 1. Told the velocity 0.8 * 1 - 0.6 * 0.5 = 0.5, both are to be "
        "found: 0.8 * 1 - 0.6 * 0.5 = 0.5, and 0.6 * 1 + 0.8 * 0.5 = 1.",
        "One equation, two unknowns: told one, the other follows. With the velocity there are two "
        "equations, and their four numbers are a turn by an angle: turn back, which is the same turn "
        "with the other sign. The squares of the roots add up to 1, so nothing is divided by.",
        "Refuse a name that is none. Roots of a and of 1 - a, (B,), shaped (B, 1, ..., 1) in the "
        "dtype of x. Noise predicted: x less its part of the noise, over the root of a. Start "
        "predicted: x less its part of the start, over the other root. Velocity v: start is the first "
        "root of x less the second of v; noise is the second of x and the first of v. Nothing is "
        "clipped. The result is a pair: the start, then the noise.",
        "near, far = the roots, by per_sample; from the noise: Estimate((x - far * predicted) / near, "
        "predicted); from the start: Estimate(predicted, (x - near * predicted) / far); from the "
        "velocity: Estimate(near * x - far * predicted, far * x + near * predicted)",
    ),
)
TARGETS = ("noise", "start", "velocity")


def levels(case, B):
    """alpha_bar (B,), from nearly clean to nearly noise; float64, as a schedule gives it."""
    order = case.permutation(B)
    return case.named(torch.linspace(0.95, 0.05, B, dtype=torch.float64)[order], "B")


def mixed(start, noise, alpha_bar):
    """x and the velocity (B, ...), one sample at a time."""
    x, velocity = torch.empty_like(start), torch.empty_like(start)
    for i, level in enumerate(alpha_bar.tolist()):
        near, far = math.sqrt(level), math.sqrt(1 - level)
        x[i] = near * start[i] + far * noise[i]
        velocity[i] = near * noise[i] - far * start[i]
    return x, velocity


def ingredients(case, **axes):
    """Start, noise, x, levels, and by target what a model that makes no mistake says."""
    start, noise = case.normal(**axes), case.normal(**axes)
    alpha_bar = levels(case, axes["B"])
    x, velocity = (case.named(made, " ".join(axes)) for made in mixed(start, noise, alpha_bar))
    said = {"noise": noise, "start": start, "velocity": velocity}
    return start, noise, x, alpha_bar, said


def found(case, start_and_noise, target, **axes):
    """Called with the right prediction, it must give back what x was made of."""
    start, noise, x, alpha_bar, said = ingredients(case, **axes)
    got = case.call(start_and_noise, said[target], x, alpha_bar, target)
    case.true(isinstance(got, tuple) and len(got) == 2, "a pair, the start and the noise", got)
    case.equal(got[0], start, "the start")
    case.equal(got[1], noise, "the noise")


@exercise.holds("told the noise that is in x, it finds the start")
def from_noise(start_and_noise, case):
    found(case, start_and_noise, "noise", B=4, D=3)


@exercise.holds("told the start that is in x, it finds the noise")
def from_start(start_and_noise, case):
    found(case, start_and_noise, "start", B=4, D=3)


@exercise.holds("told the velocity sqrt(a) * noise - sqrt(1 - a) * start, it finds both")
def from_velocity(start_and_noise, case):
    found(case, start_and_noise, "velocity", B=4, D=3)


@exercise.holds("whatever is predicted, right or wrong, start and noise make up x again")
def make_up_x(start_and_noise, case):
    x, alpha_bar = case.normal(B=5, D=2), levels(case, 5)
    for target in TARGETS:
        start, noise = case.call(start_and_noise, case.normal(B=5, D=2), x, alpha_bar, target)
        case.equal(mixed(start, noise, alpha_bar)[0], x, f"mixed again, from the {target}")


@exercise.holds("what is predicted itself comes back as it is")
def as_predicted(start_and_noise, case):
    x, alpha_bar = case.normal(B=5, D=2), levels(case, 5)
    for place, target in ((1, "noise"), (0, "start")):
        predicted = case.normal(B=5, D=2, scale=3.0)
        got = case.call(start_and_noise, predicted, x, alpha_bar, target)
        case.equal(got[place], predicted, f"the {target}")


@exercise.holds("each sample of a batch of images has a level of its own")
def some_images(start_and_noise, case):
    for target in TARGETS:
        found(case, start_and_noise, target, B=4, C=3, X=5, Y=6)


@exercise.holds("at nearly pure noise the start is large, and is neither clipped nor rounded")
def nearly_noise(start_and_noise, case):
    x, predicted = case.normal(B=2, D=3), case.normal(B=2, D=3)
    alpha_bar = case.named(torch.tensor([1e-6, 4e-6], dtype=torch.float64), "B")
    near = torch.tensor([[0.001], [0.002]])
    far = torch.tensor([[0.999999], [0.999996]]).sqrt()
    got = case.call(start_and_noise, predicted, x, alpha_bar, "noise")
    case.equal(got[0], (x - far * predicted) / near, "the start", tolerance=1e-3)


@exercise.holds("at the first of many steps, 1 - a is small, and the noise is found all the same")
def nearly_clean(start_and_noise, case):
    x, predicted = case.normal(B=2, D=3), case.normal(B=2, D=3)
    alpha_bar = case.named(torch.tensor([1 - 1e-6, 1 - 4e-6], dtype=torch.float64), "B")
    near = torch.tensor([[0.999999], [0.999996]]).sqrt()
    got = case.call(start_and_noise, predicted, x, alpha_bar, "start")
    far = torch.tensor([[0.001], [0.002]])
    case.equal(got[1], (x - near * predicted) / far, "the noise", tolerance=1e-3)


@exercise.holds("at alpha_bar 0 the start and the velocity still say all; x is the noise")
def pure_noise(start_and_noise, case):
    x, alpha_bar = case.normal(B=2, D=3), case.named(torch.zeros(2, dtype=torch.float64), "B")
    for target, sign in (("start", 1.0), ("velocity", -1.0)):
        predicted = case.normal(B=2, D=3)
        got = case.call(start_and_noise, predicted, x, alpha_bar, target)
        case.equal(tuple(got), (sign * predicted, x), f"from the {target}")


@exercise.holds("at alpha_bar 0 a predicted noise says nothing of the start: ValueError")
def refused_level(start_and_noise, case):
    for levels_ in ([0.0, 0.0], [0.5, 0.0]):
        alpha_bar = case.named(torch.tensor(levels_, dtype=torch.float64), "B")
        x, predicted = case.normal(B=2, D=3), case.normal(B=2, D=3)
        case.refuses(ValueError, start_and_noise, predicted, x, alpha_bar, "noise")


@exercise.holds("levels are float64, but start and noise have the dtype of x")
def kinds(start_and_noise, case):
    x, predicted, alpha_bar = case.normal(B=3, D=2), case.normal(B=3, D=2), levels(case, 3)
    for target in TARGETS:
        got = case.call(start_and_noise, predicted, x, alpha_bar, target)
        told = {name: str(one.dtype) for name, one in zip(("start", "noise"), got, strict=True)}
        case.equal(told, dict.fromkeys(told, "torch.float32"), f"from the {target}")


@exercise.holds("x and the prediction stay as they were")
def unchanged(start_and_noise, case):
    for target in TARGETS:
        x, predicted = case.normal(B=3, D=4), case.normal(B=3, D=4)
        case.call(start_and_noise, predicted, x, levels(case, 3), target)
        case.unchanged()


@exercise.holds("the gradients reach the prediction and x")
def gradients(start_and_noise, case):
    x, predicted, alpha_bar = case.normal(B=4, D=3), case.normal(B=4, D=3), levels(case, 4)
    near, far = alpha_bar.sqrt()[:, None], (1 - alpha_bar).sqrt()[:, None]

    @functools.wraps(start_and_noise)
    def start_of(predicted, x):
        return start_and_noise(predicted, x, alpha_bar, "velocity")[0]

    case.gradients(start_of, lambda said, x: near * x - far * said, predicted, x)


@exercise.holds("any other name is refused with a ValueError")
def refused(start_and_noise, case):
    x, predicted, alpha_bar = case.normal(B=2, D=3), case.normal(B=2, D=3), levels(case, 2)
    for name in ("epsilon", "Noise", ""):
        case.refuses(ValueError, start_and_noise, predicted, x, alpha_bar, name)
