"""Exercise process.target_of: the noise, x0, or the velocity between them."""

import functools
import math

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="process.target_of",
    order=10,
    target="scratchmm.diffusion.process:target_of",
    title="What to predict",
    goal="the noise, x0, or the velocity sqrt(a) * noise - sqrt(1 - a) * x0, by name",
    minutes=10,
    difficulty=2,
    section="Three things to predict",
    hints=(
        "Start 1, noise 2, a = 0.64: the roots are 0.8 and 0.6. A model of the noise should say 2, a "
        "model of x0 1, and a model of the velocity 0.8 * 2 - 0.6 * 1 = 1. With a = 1 the "
        "velocity is the noise, with a near 0 it is minus x0.",
        "Start and noise are two directions at right angles, and x is a point on the circle between "
        "them. The velocity is where x moves as it gets noisier: the same circle, a quarter of a "
        "turn further. It determines x0 at every level, while at pure noise the noise does not.",
        "Refuse a name that is none of the three. Two of them hand back what came in. For the third, "
        "each sample has its own level: sqrt(a) and sqrt(1 - a), (B,), become (B, 1, ..., 1) in the "
        "images' dtype. Noise takes the root of a, x0 the other, and minus.",
        "check_target(target); near, far = per_sample(alpha_bar.sqrt(), x0), "
        "per_sample((1 - alpha_bar).sqrt(), x0); {'noise': noise, 'x0': x0, 'velocity': "
        "near * noise - far * x0}[target]",
    ),
)


def levels(case, B):
    """alpha_bar (B,), from nearly clean to nearly noise; float64, as a schedule gives it."""
    order = case.permutation(B)
    return case.named(torch.linspace(0.95, 0.05, B, dtype=torch.float64)[order], "B")


def slow(x0, noise, alpha_bar):
    """The oracle: the velocity, one sample at a time."""
    found = []
    for one, noise_rate, level in zip(x0, noise, alpha_bar.tolist(), strict=True):
        found.append(math.sqrt(level) * noise_rate - math.sqrt(1 - level) * one)
    return torch.stack(found)


@exercise.holds("a model of the noise should say the noise, a model of x0 x0")
def by_name(target_of, case):
    x0, noise, alpha_bar = case.normal(B=3, D=2), case.normal(B=3, D=2), levels(case, 3)
    case.each(
        target_of,
        ((x0, noise, alpha_bar, "noise"), noise),
        ((x0, noise, alpha_bar, "x0"), x0),
    )


@exercise.holds("the velocity is sqrt(a) * noise - sqrt(1 - a) * x0")
def velocity(target_of, case):
    x0, noise = case.normal(B=4, D=3), case.normal(B=4, D=3)
    alpha_bar = case.named(torch.full((4,), 0.64, dtype=torch.float64), "B")
    got = case.call(target_of, x0, noise, alpha_bar, "velocity")
    case.equal(got, 0.8 * noise - 0.6 * x0)


@exercise.holds("where nothing is noisy yet the velocity is the noise, at the end minus x0")
def both_ends(target_of, case):
    x0, noise = case.normal(B=3, D=4), case.normal(B=3, D=4)
    clean, gone = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    case.each(
        target_of,
        ((x0, noise, case.named(clean, "B"), "velocity"), noise),
        ((x0, noise, case.named(gone, "B"), "velocity"), -x0),
    )


@exercise.holds("each sample of a batch of images has a level of its own")
def some_images(target_of, case):
    x0, noise = case.normal(B=4, C=3, X=5, Y=6), case.normal(B=4, C=3, X=5, Y=6)
    alpha_bar = levels(case, 4)
    got = case.call(target_of, x0, noise, alpha_bar, "velocity")
    case.equal(got, slow(x0, noise, alpha_bar))


@exercise.holds("levels are float64, but the target has the dtype of the images")
def kinds(target_of, case):
    x0, noise, alpha_bar = case.normal(B=3, D=2), case.normal(B=3, D=2), levels(case, 3)
    for dtype in (torch.float64, torch.float32):
        one, noise_rate = case.named(x0.to(dtype), "B D"), case.named(noise.to(dtype), "B D")
        got = case.call(target_of, one, noise_rate, alpha_bar, "velocity")
        case.equal(got, slow(one, noise_rate, alpha_bar))


@exercise.holds("x0, noise and levels stay as they were")
def unchanged(target_of, case):
    x0, noise = case.normal(B=3, D=4), case.normal(B=3, D=4)
    case.call(target_of, x0, noise, levels(case, 3), "velocity")
    case.unchanged()


@exercise.holds("the gradients reach x0 and the noise")
def gradients(target_of, case):
    x0, noise = case.normal(B=4, D=3), case.normal(B=4, D=3)
    alpha_bar = levels(case, 4)

    @functools.wraps(target_of)
    def of_velocity(x0, noise):
        return target_of(x0, noise, alpha_bar, "velocity")

    case.gradients(of_velocity, lambda one, noise_rate: slow(one, noise_rate, alpha_bar), x0, noise)


@exercise.holds("any other name is refused with a ValueError")
def refused(target_of, case):
    x0, noise, alpha_bar = case.normal(B=2, D=3), case.normal(B=2, D=3), levels(case, 2)
    for name in ("epsilon", "Noise", ""):
        case.refuses(ValueError, target_of, x0, noise, alpha_bar, name)
