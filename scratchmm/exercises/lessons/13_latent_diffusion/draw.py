"""Exercise vae.draw: latents drawn so that gradients pass through the draw."""

import functools
import math

import torch

from scratchmm.diffusion.vae import DiagonalGaussian
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="vae.draw",
    order=10,
    target="scratchmm.diffusion.vae:draw",
    title="A sample with a gradient",
    goal="mean + deviation * noise, with noise from the generator and a gradient for both",
    minutes=10,
    difficulty=2,
    section="Compressed",
    hints="""
        1. With a mean of 2 and a log variance of 2 log 3 the mean of many draws is 2 and their
           deviation 3. With a log variance of -30 every draw is 2.
        2. A number drawn from a distribution has no gradient for the distribution's mean. Noise of
           its own, stretched and then moved, has: 1 for the mean, the noise for the deviation.
        3. Mean and log variance are (B, Z, X, Y). The deviation is the root of the variance, so
           half of the logarithm is taken before the exponential. The noise is normal, a number of
           its own for each latent, from the generator, in the means' dtype and place.
        4. mean, log_variance = posterior; noise = torch.randn(mean.shape, generator=generator,
           device=mean.device, dtype=mean.dtype); mean + (log_variance / 2).exp() * noise
    """,
)


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


def posterior(mean, deviation, *shape, dtype=torch.float32):
    """The same normal distribution for every latent."""
    log_variance = torch.full(shape, 2 * math.log(deviation), dtype=dtype)
    return DiagonalGaussian(torch.full(shape, mean, dtype=dtype), log_variance)


def looked_at(draw, look):
    """The learner's function, of whose draws `look` keeps what does not depend on chance."""

    @functools.wraps(draw)
    def function(posterior, generator=None):
        return look(draw(posterior, generator))

    return function


@exercise.holds("as many latents as means, and where the variance is 0 the means themselves")
def the_means(draw, case):
    mean = case.normal(B=3, Z=2, X=4, Y=5)
    got = case.call(draw, DiagonalGaussian(mean, torch.full_like(mean, -60.0)), generator(case))
    case.equal(got, mean)


@exercise.holds("every latent of every image has chance of its own")
def own_chance(draw, case):
    def look(x):
        return [len(x.movedim(axis, 0).flatten(1).unique(dim=0)) for axis in range(4)]

    got = case.call(looked_at(draw, look), posterior(0.0, 1.0, 3, 2, 4, 5), generator(case))
    case.equal(got, [3, 2, 4, 5], "how many images, channels, rows and columns differ")


@exercise.holds("draws have the mean and the deviation of the posterior")
def moments(draw, case):
    def look(x):
        return {"mean": round(x.mean().item(), 1), "deviation": round(x.std().item(), 1)}

    for mean, deviation in ((2.0, 3.0), (-1.0, 0.4)):
        given = posterior(mean, deviation, 40, 2, 50, 50)
        got = case.call(looked_at(draw, look), given, generator(case))
        case.equal(got, {"mean": mean, "deviation": deviation}, "of 200,000 draws")


@exercise.holds("draws are normal: two thirds lie within one deviation, and some beyond two")
def normal(draw, case):
    def look(x):
        return [round((x.abs() < bound).double().mean().item(), 2) for bound in (0.5, 1.0, 2.0)]

    got = case.call(looked_at(draw, look), posterior(0.0, 1.0, 20, 2, 100, 100), generator(case))
    near = all(abs(x - y) < 0.015 for x, y in zip(got, (0.383, 0.683, 0.954), strict=True))
    case.true(near, "shares of 0.38, 0.68 and 0.95 within 1/2, 1 and 2 deviations", got)


@exercise.holds("means and log variances stay as they were")
def unchanged(draw, case):
    given = posterior(2.0, 3.0, 2, 3, 4, 5)
    before = [x.clone() for x in given]
    case.call(looked_at(draw, lambda x: None), given, generator(case))
    for name, now, old in zip(given._fields, given, before, strict=True):
        case.equal(case.seen(now), old, name)


@exercise.holds("all chance is the generator's: the same state, the same draw; the next, another")
def from_the_generator(draw, case):
    @functools.wraps(draw)
    def thrice(posterior, generator):
        state, drawn = generator.get_state(), []
        for seed in range(3):
            torch.manual_seed(seed)
            generator.set_state(state) if seed == 2 else None
            drawn.append(draw(posterior, generator))
        first, following, again = drawn
        return {"next": bool(first.equal(following)), "same state": bool(first.equal(again))}

    got = case.call(thrice, posterior(0.0, 1.0, 2, 3, 4, 5), generator(case))
    case.equal(got, {"next": False, "same state": True}, "equal to the first draw")


@exercise.holds("draws have the dtype of the means, and need no generator")
def kinds(draw, case):
    for dtype in (torch.float64, torch.bfloat16):
        given = posterior(0.0, 1.0, 2, 3, 4, 5, dtype=dtype)
        got = case.call(looked_at(draw, lambda x: str(x.dtype)), given)
        case.equal(got, str(dtype), "the dtype")


@exercise.holds("the gradient of the mean is 1, that of the log variance half of what chance added")
def gradients(draw, case):
    upstream = case.normal(B=2, Z=3, X=4, Y=5, dtype=torch.float64)

    @functools.wraps(draw)
    def followed(posterior, generator):
        mean, log_variance = (x.clone().requires_grad_() for x in posterior)
        drawn = draw(DiagonalGaussian(mean, log_variance), generator)
        if not drawn.requires_grad:
            return "no gradient at all"
        (drawn * upstream).sum().backward()
        added = (upstream * (drawn - mean) / 2).detach()
        results = {}
        for name, leaf, right in (("mean", mean, upstream), ("log variance", log_variance, added)):
            got = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
            share = ((got * right).sum() / (right * right).sum()).item()
            off = (got - right).abs().max().item() > 1e-9
            results[name] = [round(share, 2), off]
        return results

    given = posterior(2.0, 3.0, 2, 3, 4, 5, dtype=torch.float64)
    got = case.call(followed, given, generator(case))
    expected = {"mean": [1.0, False], "log variance": [1.0, False]}
    case.equal(got, expected, "the gradient as a multiple of the right one, and whether it differs")


exercise.mistakes("""
    root-of-the-logarithm: the root of the log variance is taken for the deviation
    - (log_variance / 2).exp()
    + log_variance.sqrt()
    > first the exponential: the deviation is the root of exp(log_variance)

    uniform: the noise is uniform between 0 and 1: torch.rand
    - torch.randn
    + torch.rand
    > normal noise is torch.randn

    uniform-of-the-right-size: the noise has mean 0 and deviation 1, but it is uniform
    - noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    + noise = torch.rand(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    + noise = (noise - 0.5) * 12**0.5
    > normal noise is torch.randn

    one-noise-a-image: an image has one number of noise for all of its latents
    - mean.shape
    + (len(mean), 1, 1, 1)
    > the noise is as large as the means

    seeded-anew: every draw begins with the same chance numbers
    - generator=generator
    + generator=torch.Generator().manual_seed(0)
    > use the generator as it comes

    drawn-by-torch: torch.normal draws from mean and deviation, and no gradient goes through it
    - noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    - return mean + (log_variance / 2).exp() * noise
    + return torch.normal(mean, (log_variance / 2).exp(), generator=generator)
    > draw noise that knows of neither, then stretch and move it: mean + deviation * noise
""")

exercise.slips("""
    (log_variance / 2).exp() => log_variance
    (log_variance / 2).exp() => (-log_variance / 2).exp()
    mean + (log_variance / 2).exp() * noise => (mean + noise) * (log_variance / 2).exp()
    mean.shape => (len(mean), 1, *mean.shape[2:])
    return mean + (log_variance / 2).exp() * noise => added = (log_variance / 2).exp() * noise;
        return mean + added if mean.requires_grad else mean.add_(added)
    mean.shape => mean.shape[1:]
    (log_variance / 2).exp => (log_variance / 2).exp().detach
""")


@exercise.right("the root of the variance")
def by_the_root(posterior, generator=None):
    noise = torch.empty_like(posterior.mean).normal_(generator=generator)
    return torch.addcmul(posterior.mean, posterior.log_variance.exp().sqrt(), noise)


@exercise.right("image by image")
def one_by_one(posterior, generator=None):
    drawn = []
    for mean, log_variance in zip(*posterior, strict=True):
        noise = torch.randn(mean.numel(), generator=generator, dtype=mean.dtype).view_as(mean)
        drawn.append(mean - torch.exp(0.5 * log_variance) * noise)
    return torch.stack(drawn)
