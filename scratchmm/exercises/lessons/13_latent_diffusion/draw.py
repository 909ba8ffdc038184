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
    hints=(
        "A mean of 2 and a log variance of 2 log 3 are a normal distribution around 2 with "
        "deviation 3: of many draws the mean is 2 and the deviation 3. With a log variance of -30 "
        "every draw is 2.",
        "Who draws a number from a distribution cannot say how the number would change with the "
        "distribution's mean. Who draws noise that knows of nothing, and then stretches and moves "
        "it, can: by 1 with the mean, by the noise with the deviation.",
        "Mean and log variance are (B, Z, X, Y). The deviation is the root of the variance, so half "
        "of the logarithm is taken before the exponential. The noise is normal, a number of its own "
        "for each latent, from the generator, in the means' dtype and place.",
        "mean, log_variance = posterior; noise = torch.randn(mean.shape, generator=generator, "
        "device=mean.device, dtype=mean.dtype); mean + (log_variance / 2).exp() * noise",
    ),
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
    def function(posterior, generator):
        return look(draw(posterior, generator))

    return function


@exercise.holds(
    "as many latents as there are means, and where the variance is 0 the means themselves"
)
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
        shares = [(x.abs() < bound).double().mean().item() for bound in (0.5, 1.0, 2.0)]
        return [round(share, 2) for share in shares]

    got = case.call(looked_at(draw, look), posterior(0.0, 1.0, 20, 2, 100, 100), generator(case))
    near = all(abs(x - y) < 0.015 for x, y in zip(got, (0.383, 0.683, 0.954), strict=True))
    case.true(near, "shares of 0.38, 0.68 and 0.95 within 1/2, 1 and 2 deviations", got)


@exercise.holds(
    "all chance is the generator's: the same state gives the same draw, the next another"
)
def from_the_generator(draw, case):
    @functools.wraps(draw)
    def thrice(posterior, generator):
        state, drawn = generator.get_state(), []
        for seed in range(3):
            torch.manual_seed(seed)
            if seed == 2:
                generator.set_state(state)
            drawn.append(draw(posterior, generator))
        differ = [not torch.equal(drawn[0], other) for other in drawn[1:]]
        return {"the next draw differs": differ[0], "the same state differs": differ[1]}

    got = case.call(thrice, posterior(0.0, 1.0, 2, 3, 4, 5), generator(case))
    case.equal(got, {"the next draw differs": True, "the same state differs": False})


@exercise.holds("without a generator torch's own chance is used")
def without(draw, case):
    @functools.wraps(draw)
    def twice(posterior):
        drawn = [draw(posterior) for _ in range(2)]
        return {"two draws differ": not torch.equal(*drawn)}

    got = case.call(twice, posterior(0.0, 1.0, 2, 3, 4, 5))
    case.equal(got, {"two draws differ": True})


@exercise.holds("draws have the dtype of the means")
def kinds(draw, case):
    for dtype in (torch.float64, torch.bfloat16):
        given = posterior(0.0, 1.0, 2, 3, 4, 5, dtype=dtype)
        got = case.call(looked_at(draw, lambda x: str(x.dtype)), given, generator(case))
        case.equal(got, str(dtype), "the dtype")


@exercise.holds("means and log variances stay as they were")
def unchanged(draw, case):
    given = posterior(2.0, 3.0, 2, 3, 4, 5)
    before = [x.clone() for x in given]
    case.call(looked_at(draw, lambda x: None), given, generator(case))
    for name, now, old in zip(given._fields, given, before, strict=True):
        case.equal(case.seen(now), old, name)


@exercise.holds(
    "a draw follows its mean one to one, and its log variance by half of what chance added"
)
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
