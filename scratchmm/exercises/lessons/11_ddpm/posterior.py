"""Exercise ddpm.posterior: where a noisy image was one step earlier, if the clean one is known."""

import math
from typing import Any

import torch
from torch import Tensor

from scratchmm.diffusion.ddpm import Gaussian
from scratchmm.diffusion.process import Schedule
from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="ddpm.posterior",
    order=80,
    target="scratchmm.diffusion.ddpm:posterior",
    title="The posterior, given x0",
    goal="mean and variance of q(x_previous | x, x0); at -1 it is x0, without variance; "
    "ValueError where previous is not before timesteps",
    minutes=25,
    difficulty=3,
    section="The reverse process",
    needs=("process.mix",),
    parts=("step_variance", "_two_levels"),
    hints=(
        "alpha_bar is 0.8 one step earlier and 0.4 now, x0 is 0 and x is 1. The mean is "
        "sqrt(0.5) * 0.2 / 0.6 = 0.236, the variance 0.2 / 0.6 * 0.5 = 0.167. At timestep 0 the step "
        "before is the clean image, with alpha_bar 1: mean 0, variance 0, whatever x is.",
        "Two things are known of where x was: x0 has been mixed with noise until then, with b = "
        "alpha_bar before, and from there to x came noise once more, with the share a / b left, where "
        "a = alpha_bar now. Each says a normal distribution; their product is one too. For a step to "
        "the next timestep a / b is the paper's alpha, and 1 - a / b its beta.",
        "previous is timesteps - 1 where it is not given; refuse one that is not before. a and b, "
        "float64 (B,): schedule.at, with final_alpha=1.0 for the -1. From them three numbers a "
        "sample: the weight of x0 and that of x (equation 7, with beta = 1 - a / b and alpha = a / "
        "b), and the variance. per_sample shapes each to (B, 1, ..., 1) in the dtype of x.",
        "of_x0 = b.sqrt() * (1 - a / b) / (1 - a); of_x = (a / b).sqrt() * (1 - b) / (1 - a); "
        "variance = (1 - b) / (1 - a) * (1 - a / b); return Gaussian(per_sample(of_x0, x) * x0 "
        "+ per_sample(of_x, x) * x, per_sample(variance, x))",
    ),
)

LEVELS = (0.93, 0.71, 0.52, 0.28, 0.09, 0.02)  # no step is like another


def schedule(levels: tuple[float, ...] = LEVELS) -> Schedule:
    return Schedule(torch.tensor(levels, dtype=torch.float64))


def some_images(case: Case, dtype: Any = torch.float32) -> tuple[Tensor, Tensor]:
    """Starts and noisy images: (4, 1, 5)."""
    return tuple(case.normal(B=4, C=1, X=5, dtype=dtype) for _ in range(2))  # type: ignore[return-value]


def by_bayes(levels: Any, x0: Tensor, x: Tensor, timesteps: Tensor, previous: Tensor) -> Gaussian:
    """The oracle, sample by sample: the product of what x0 and what x say of the place between."""
    means, variances = [], []
    for one, noisy, now, then in zip(x0, x, timesteps.tolist(), previous.tolist(), strict=True):
        if then < 0:
            means.append(one)
            variances.append(0.0)
            continue
        a, b = levels[now], levels[then]
        forward, backward = 1 / (1 - b), (a / b) / (1 - a / b)  # how sure each is
        variances.append(1 / (forward + backward))
        told = forward * math.sqrt(b) * one + backward * math.sqrt(b / a) * noisy
        means.append(told * variances[-1])
    shape = len(x), *[1] * (x.ndim - 1)
    return Gaussian(torch.stack(means), torch.tensor(variances, dtype=x.dtype).view(shape))


def times(*values: int) -> Tensor:
    return torch.tensor(values)


def compare(case: Case, got: Any, expected: Gaussian) -> None:
    case.true(isinstance(got, Gaussian), "a Gaussian(mean, variance)", type(got).__name__)
    case.equal(got.mean, expected.mean, "mean")
    case.equal(got.variance, expected.variance, "variance")


@exercise.holds("a mean for each value, a variance for each sample, in the dtype of x")
def shape(posterior, case):
    for dtype in (torch.float32, torch.float64):
        x0, x = some_images(case, dtype)
        got = case.call(posterior, schedule(), x0, x, times(3, 3, 3, 3))
        case.true(isinstance(got, Gaussian), "a Gaussian(mean, variance)", type(got).__name__)
        case.shape(got.mean, "B C X")
        case.true(
            got.variance.shape == (4, 1, 1), "variance (B=4, 1, 1)", tuple(got.variance.shape)
        )
        case.true(got.mean.dtype == dtype, f"a mean of {dtype}", str(got.mean.dtype))
        case.true(got.variance.dtype == dtype, f"a variance of {dtype}", str(got.variance.dtype))


@exercise.holds("before timestep 0 there was x0, for certain")
def certain(posterior, case):
    x0, x = some_images(case)
    got = case.call(posterior, schedule(), x0, x, times(0, 0, 0, 0))
    compare(case, got, Gaussian(x0, torch.zeros(4, 1, 1)))


@exercise.holds("x without any noise in it leads to a mean without any, at the level before")
def clean(posterior, case):
    x0, _ = some_images(case)
    x = case.named(math.sqrt(LEVELS[4]) * x0, "B C X")
    got = case.call(posterior, schedule(), x0, x, times(4, 4, 4, 4))
    case.equal(got.mean, math.sqrt(LEVELS[3]) * x0, "mean")


@exercise.holds("one step earlier: mean and variance of equation 7, for each sample's own timestep")
def one_step(posterior, case):
    x0, x = some_images(case)
    timesteps = times(2, 5, 1, 3)
    got = case.call(posterior, schedule(), x0, x, timesteps)
    compare(case, got, by_bayes(LEVELS, x0, x, times(2, 5, 1, 3), times(1, 4, 0, 2)))


@exercise.holds("timesteps of all kinds in one batch: some at their last step, others not")
def last_steps(posterior, case):
    x0, x = some_images(case)
    got = case.call(posterior, schedule(), x0, x, times(4, 0, 1, 0))
    compare(case, got, by_bayes(LEVELS, x0, x, times(4, 0, 1, 0), times(3, -1, 0, -1)))


@exercise.holds("longer steps: previous may be any earlier timestep, or -1")
def long_steps(posterior, case):
    x0, x = some_images(case)
    timesteps, previous = times(5, 2, 4, 5), times(1, -1, 3, 0)
    got = case.call(posterior, schedule(), x0, x, timesteps, previous)
    compare(case, got, by_bayes(LEVELS, x0, x, times(5, 2, 4, 5), times(1, -1, 3, 0)))


@exercise.holds("first steps that take a millionth of the image do not drown in rounding")
def tiny_steps(posterior, case):
    x0, x = some_images(case)
    levels = (1 - 1e-7, 1 - 3e-7, 1 - 7e-7, 0.5)
    got = case.call(posterior, schedule(levels), x0, x, times(1, 2, 1, 2))
    expected = by_bayes(levels, x0, x, times(1, 2, 1, 2), times(0, 1, 0, 1))
    case.equal(got.mean, expected.mean, "mean")
    case.equal(got.variance * 1e7, expected.variance * 1e7, "variance, times 10 million")


@exercise.holds("a previous that is not before is refused with a ValueError")
def refused(posterior, case):
    x0, x = some_images(case)
    for previous in (times(3, 4, 5, 5), times(3, 0, 5, 1), times(1, 4, 2, 3)):
        case.refuses(ValueError, posterior, schedule(), x0, x, times(3, 4, 3, 5), previous)


@exercise.holds("images and timesteps are left as they were")
def unchanged(posterior, case):
    case.call(posterior, schedule(), *some_images(case), times(2, 5, 1, 3))
    case.unchanged()


@exercise.holds("the gradients reach x0 and x")
def gradients(posterior, case):
    timesteps, previous = times(2, 5, 1, 0), times(1, 4, 0, -1)
    case.gradients(
        lambda x0, x: posterior(schedule(), x0, x, timesteps.clone()).mean,
        lambda x0, x: by_bayes(LEVELS, x0, x, timesteps, previous).mean,
        *some_images(case),
    )
