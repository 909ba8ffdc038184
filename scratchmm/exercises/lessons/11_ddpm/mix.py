"""Exercise process.mix: an image and noise in one go, each sample as noisy as it is told."""

import torch
from torch import Tensor

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="process.mix",
    order=20,
    target="scratchmm.diffusion.process:mix",
    title="Noise in one go",
    goal="sqrt(a) of x0 and sqrt(1 - a) of the noise, every sample with its own a",
    minutes=10,
    difficulty=2,
    section="Noise in one go",
    needs=("process.cosine_schedule",),
    hints=(
        "One value 3, noise 10, alpha_bar 0.64: the result is 0.8 * 3 + 0.6 * 10 = 8.4, because "
        "0.64 and 0.36 are shares of variance. In a batch of two with alpha_bar [0.64, 1] the "
        "second sample stays clean.",
        "Variances of things that have nothing to do with each other add up: a * 1 + (1 - a) * 1 is "
        "1, so images of variance one stay so at every step. A factor on a value is squared in "
        "its variance, hence the roots. Early in the schedule 1 - a is far below what float32 can "
        "tell from a alone.",
        "alpha_bar is (B,) in float64: take both roots there, and 1 - a before that. Then bring "
        "each to the dtype of x0 and to the shape (B, 1, ..., 1), as many axes as x0 has; "
        "per_sample does both. Multiply, add.",
        "signal_rate = per_sample(alpha_bar.sqrt(), x0); noise_rate = per_sample((1 - alpha_bar)."
        "sqrt(), x0); return signal_rate * x0 + noise_rate * noise",
    ),
)


def by_samples(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """The oracle: one sample after the other, with Python's numbers."""
    mixed = [
        one * level**0.5 + other * (1 - level) ** 0.5
        for one, other, level in zip(x0, noise, alpha_bar.tolist(), strict=True)
    ]
    return torch.stack(mixed)


def shares(case, *values):
    """alpha_bar as a Schedule gives it: float64."""
    return case.named(torch.tensor(values, dtype=torch.float64), "B")


@exercise.holds("at alpha_bar 1 nothing but x0 is left, at 0 nothing but the noise")
def ends(mix, case):
    x0, noise = case.normal(B=2, D=5), case.normal(B=2, D=5)
    got = case.call(mix, x0, noise, shares(case, 1.0, 0.0))
    case.equal(got, torch.stack([x0[0], noise[1]]))


@exercise.holds("at 0.64 x0 counts 0.8 and the noise 0.6")
def both(mix, case):
    x0 = case.named(torch.tensor([[3.0], [1.0], [-2.0]]), "B D")
    noise = case.named(torch.tensor([[10.0], [0.0], [5.0]]), "B D")
    got = case.call(mix, x0, noise, shares(case, 0.64, 0.64, 0.64))
    case.equal(got, torch.tensor([[8.4], [0.8], [1.4]]))


@exercise.holds("images of variance one stay so, however much noise is in them")
def variance(mix, case):
    x0, noise = case.normal(B=3, N=20000), case.normal(B=3, N=20000)
    got = case.call(mix, x0, noise, shares(case, 0.9, 0.5, 0.1))
    case.equal(got.var(dim=1), torch.ones(3), "the variance of each sample", 0.05)


@exercise.holds("each sample of a batch of images is as noisy as its own alpha_bar says")
def some_images(mix, case):
    x0, noise = case.normal(B=2, C=3, X=4, Y=2), case.normal(B=2, C=3, X=4, Y=2)
    alpha_bar = shares(case, 0.25, 0.81)
    got = case.call(mix, x0, noise, alpha_bar)
    case.equal(got, by_samples(x0, noise, alpha_bar))


@exercise.holds("samples of any number of axes: single numbers, sounds, clamps")
def any_axes(mix, case):
    alpha_bar = shares(case, 0.9, 0.5, 0.2)
    for axes in ({}, dict(F=3), dict(F=2, C=3, X=5, Y=3)):
        x0, noise = case.normal(B=3, **axes), case.normal(B=3, **axes)
        case.equal(case.call(mix, x0, noise, alpha_bar), by_samples(x0, noise, alpha_bar))


@exercise.holds("the result has the dtype of x0, though alpha_bar is float64")
def dtype(mix, case):
    for kind in (torch.float32, torch.float16, torch.float64):
        x0, noise = (case.normal(B=2, D=3, dtype=kind) for _ in range(2))
        got = case.call(mix, x0, noise, shares(case, 0.3, 0.7))
        case.equal(got.dtype, kind, "the dtype")


@exercise.holds("a first step that is smaller than float32 can tell from none still adds its noise")
def tiny(mix, case):
    x0, noise = case.normal(B=2, D=3), case.normal(B=2, D=3, scale=1e4)
    got = case.call(mix, x0, noise, shares(case, 1 - 1e-8, 0.5))
    expected = x0[0] + 1e-4 * noise[0]
    case.equal(got[0], expected, "the first sample, where alpha_bar is 1 - 1e-8", 1e-3)


@exercise.holds("as many alpha_bars as samples, or a ValueError")
def refused(mix, case):
    for levels in ((0.5,), (0.9, 0.2)):
        x0, noise = case.normal(B=3, D=2), case.normal(B=3, D=2)
        case.refuses(ValueError, mix, x0, noise, shares(case, *levels))


@exercise.holds("x0 and noise are left as they were")
def unchanged(mix, case):
    case.call(mix, case.normal(B=2, D=5), case.normal(B=2, D=5), shares(case, 0.3, 0.7))
    case.unchanged()


@exercise.holds("the gradients reach x0 and the noise")
def gradients(mix, case):
    x0, noise = case.normal(B=2, C=3, X=5), case.normal(B=2, C=3, X=5)
    alpha_bar = shares(case, 0.3, 0.7)
    case.gradients(
        lambda x0, noise: mix(x0, noise, alpha_bar),
        lambda x0, noise: by_samples(x0, noise, alpha_bar),
        x0,
        noise,
    )
