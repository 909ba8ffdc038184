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
    hints="""
        1. One value 3, noise 10, alpha_bar 0.64: the result is 0.8 * 3 + 0.6 * 10 = 8.4, because
           0.64 and 0.36 are shares of variance. In a batch of two with alpha_bar [0.64, 1] the
           second sample stays clean.
        2. Variances of independent values add up: a * 1 + (1 - a) * 1 is 1, so images of variance
           one stay so at every step. A factor is squared in the variance, hence the roots. Early in
           the schedule 1 - a is far below what float32 can tell from a.
        3. alpha_bar is (B,) in float64: take both roots there, and 1 - a before that. Then bring
           each to the dtype of x0 and to the shape (B, 1, ..., 1), as many axes as x0 has;
           per_sample does both. Multiply, add.
        4. signal_rate = per_sample(alpha_bar.sqrt(), x0); noise_rate = per_sample((1 -
           alpha_bar).sqrt(), x0); return signal_rate * x0 + noise_rate * noise
    """,
)


def by_samples(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """The oracle: one sample after the other, with Python's numbers."""
    triples = zip(x0, noise, alpha_bar.tolist(), strict=True)
    return torch.stack([x * level**0.5 + y * (1 - level) ** 0.5 for x, y, level in triples])


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


@exercise.holds("samples of any number of axes: single numbers, sounds, clips")
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
    case.equal(
        got[0], x0[0] + 1e-4 * noise[0], "the first sample, where alpha_bar is 1 - 1e-8", 1e-3
    )


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
    given = [lambda x0, noise, f=f: f(x0, noise, alpha_bar) for f in (mix, by_samples)]
    case.gradients(*given, x0, noise)


exercise.mistakes("""
    roots-forgotten: x0 is multiplied by a and the noise by 1 - a, without the roots
    - signal_rate = per_sample(alpha_bar.sqrt(), x0)
    + signal_rate = per_sample(alpha_bar, x0)
    - noise_rate = per_sample((1 - alpha_bar).sqrt(), x0)
    + noise_rate = per_sample(1 - alpha_bar, x0)
    > a is a share of variance; a factor on the values is its root

    any-number-of-levels: another number of alpha_bars than samples is not refused: one serves all
    - signal_rate = per_sample(alpha_bar.sqrt(), x0)
    + rows = (-1, *[1] * (x0.ndim - 1))
    + signal_rate = alpha_bar.sqrt().to(x0.dtype).view(rows)
    - noise_rate = per_sample((1 - alpha_bar).sqrt(), x0)
    + noise_rate = (1 - alpha_bar).sqrt().to(x0.dtype).view(rows)
    > raise a ValueError unless alpha_bar is (B,): per_sample does

    one-minus-the-root: the noise is multiplied by 1 - sqrt(a): factors, not squares, add up to one
    - noise_rate = per_sample((1 - alpha_bar).sqrt(), x0)
    + noise_rate = per_sample(1 - alpha_bar.sqrt(), x0)
    > first 1 - a, then the root

    x0-not-shrunk [convention]: noise is added to an x0 that keeps its size: the variance grows
    - return signal_rate * x0 + noise_rate * noise
    + return x0 + noise_rate * noise
    > multiply x0 by sqrt(a): what is there fades as noise comes

    growing-noise [convention]: all is divided by sqrt(a): x0 keeps its size, the noise grows
    - return signal_rate * x0 + noise_rate * noise
    + return x0 + noise_rate / signal_rate * noise
    > that is how others write it; here the variance stays one: sqrt(a) and sqrt(1 - a)

    one-level-for-all: the first sample's alpha_bar is used for the whole batch
    - signal_rate = per_sample(alpha_bar.sqrt(), x0)
    + per_sample(alpha_bar, x0)
    + alpha_bar = alpha_bar[:1].expand(len(x0))
    + signal_rate = per_sample(alpha_bar.sqrt(), x0)
    > every sample has its own: shape alpha_bar as (B, 1, ..., 1)

    along-the-last-axis: alpha_bar meets the last axis of the images, not the batch
    - signal_rate = per_sample(alpha_bar.sqrt(), x0)
    + per_sample(alpha_bar, x0)
    + signal_rate = alpha_bar.sqrt().to(x0)
    - noise_rate = per_sample((1 - alpha_bar).sqrt(), x0)
    + noise_rate = (1 - alpha_bar).sqrt().to(x0)
    > shapes are matched from the right: (B,) must become (B, 1, ..., 1)


    rounded-too-early: alpha_bar becomes float32 before it is taken from 1: little noise is lost
    - noise_rate = per_sample((1 - alpha_bar).sqrt(), x0)
    + noise_rate = per_sample((1 - alpha_bar.to(x0.dtype)).sqrt(), x0)
    > 1 - a and the roots in float64, then to x0's dtype
""")

exercise.slips("""
    signal_rate * x0 => noise_rate * x0 ;; noise_rate * noise => signal_rate * noise
    signal_rate * x0 + noise_rate * noise => signal_rate * noise - noise_rate * x0
    signal_rate * x0 + noise_rate * noise => x0.mul_(signal_rate).add_(noise_rate * noise)
    signal_rate = => alpha_bar = alpha_bar.mean().expand_as(alpha_bar); signal_rate =
    return signal_rate => signal_rate, noise_rate = (r.view(-1, 1, 1, 1) for r in (signal_rate,
        noise_rate)); return signal_rate
    (alpha_bar.sqrt(), x0) => (alpha_bar.sqrt(), x0.double()) ;;
        (1 - alpha_bar).sqrt(), x0 => (1 - alpha_bar).sqrt(), x0.double()
""")


@exercise.right("transposed")
def transposed(x0, noise, alpha_bar):
    """The batch last, where shapes are matched."""
    if alpha_bar.shape != x0.shape[:1]:
        raise ValueError(f"{len(alpha_bar)} levels of {len(x0)} samples")
    signal_rate, noise_rate = alpha_bar.sqrt().to(x0), (1 - alpha_bar).sqrt().to(x0)
    first_last = [*range(1, x0.ndim), 0]
    x = x0.permute(first_last) * signal_rate + noise.permute(first_last) * noise_rate
    return x.permute([x0.ndim - 1, *range(x0.ndim - 1)])


@exercise.right("one sample after the other")
def one_by_one(x0, noise, alpha_bar):
    if alpha_bar.shape != x0.shape[:1]:
        raise ValueError(f"{len(alpha_bar)} levels of {len(x0)} samples")
    rows = zip(alpha_bar.tolist(), x0, noise, strict=True)
    return torch.stack([a**0.5 * x + (1 - a) ** 0.5 * y for a, x, y in rows])
