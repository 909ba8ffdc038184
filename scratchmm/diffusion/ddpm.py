"""DDPM: the ancestral sampler: the whole schedule in reverse, with new noise at each step.

Paper: Denoising Diffusion Probabilistic Models (Ho et al. 2020, arXiv 2006.11239), equations 6, 7 and
11, algorithm 2. What is trained (algorithm 1) stands in process.py.
Dimensions: B batch; `...` stands for the other axes of a sample, whatever they are.
Conventions: as in process.py.
Differs from the paper: the step may be longer than one timestep; x0 is clamped only if asked for.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scratchmm.diffusion.noise import Generators, draw_noise
from scratchmm.diffusion.process import (
    Model,
    Schedule,
    Step,
    clamped,
    per_sample,
    x0_and_noise,
)

VARIANCES = ("posterior", "beta")


def step_variance(now: Tensor, before: Tensor) -> Tensor:
    """Variance of the posterior (equation 7) between two alpha_bars; 0 where `before` is 1.

    >>> step_variance(torch.tensor([0.5, 0.5]), torch.tensor([0.75, 1.0]))
    tensor([0.1667, 0.0000])
    """
    return (1 - before) / (1 - now) * (1 - now / before)


class Gaussian(NamedTuple):
    """A normal distribution with independent values."""

    mean: Tensor  # (B, ...)
    variance: Tensor  # (B, 1, ..., 1), the same for all values of a sample


def posterior(
    schedule: Schedule,
    x0: Tensor,
    x: Tensor,
    timesteps: Tensor,
    previous: Tensor | None = None,
) -> Gaussian:
    """Where x was at an earlier timestep, if x0 is known: q(x_previous | x, x0).

    Equation 7, for steps of any length. a and b are alpha_bar now and before:
    mean = sqrt(b) * (1 - a / b) / (1 - a) * x0 + sqrt(a / b) * (1 - b) / (1 - a) * x,
    variance = (1 - b) / (1 - a) * (1 - a / b).

    x0 and x: (B, ...). timesteps and previous: int64 (B,); previous is one step earlier if None; at
    -1 it is x0 (alpha_bar is 1 there). Returns the mean (B, ...) and the variance, one number a
    sample, (B, 1, ...), both in the dtype of x; what they are made of is worked out in float64. Raises
    ValueError where previous is not before timesteps.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> schedule = cosine_schedule(10)
    >>> mean, variance = posterior(schedule, torch.ones(1), torch.tensor([5.0]), torch.tensor([0]))
    >>> mean.item(), variance.item()
    (1.0, 0.0)
    """
    now, before = _two_levels(schedule, timesteps, previous)
    of_x0 = before.sqrt() * (1 - now / before) / (1 - now)
    of_x = (now / before).sqrt() * (1 - before) / (1 - now)
    mean = per_sample(of_x0, x) * x0 + per_sample(of_x, x) * x
    return Gaussian(mean, per_sample(step_variance(now, before), x))


def ancestral_step(
    schedule: Schedule,
    predicted: Tensor,
    x: Tensor,
    timesteps: Tensor,
    noise: Tensor,
    *,
    target: str = "noise",
    variance: str = "posterior",
    clamp: float | None = None,
    previous: Tensor | None = None,
) -> Step:
    """Algorithm 2, line 4: to the posterior's mean, and noise on top, but none at the last step.

    The predicted x0 takes the place of the true one in `posterior`.
    predicted, x and noise: (B, ...). variance: "posterior", or "beta", that of the step forward:
    1 - a / b (section 3.2: the first is right if there is one image only, the second if images
    are noise themselves); clamp: x0 is clamped to -clamp..clamp; previous: one step earlier if None.

    Raises ValueError on a variance or a target that is none, on a clamp that is not above 0, and where
    previous is not before timesteps.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> x, last = torch.tensor([[0.3]]), torch.tensor([0])
    >>> ancestral_step(cosine_schedule(10), x, x, last, noise=x, target="x0").x
    tensor([[0.3000]])
    """
    now, before = _two_levels(schedule, timesteps, previous)
    x0 = clamped(x0_and_noise(predicted, x, now, target).x0, clamp)
    mean, variances = posterior(schedule, x0, x, timesteps, previous)
    if variance not in VARIANCES:
        raise ValueError(f"variance {variance!r} is none of {', '.join(VARIANCES)}")
    if variance == "beta":
        variances = per_sample((1 - now / before) * (before < 1), x)
    return Step(mean + variances.sqrt() * noise, x0)


@torch.no_grad()
def ancestral_path(
    model: Model,
    schedule: Schedule,
    x: Tensor,
    *,
    generator: Generators = None,
    target: str = "noise",
    variance: str = "posterior",
    clamp: float | None = None,
    **condition: Any,
) -> Iterator[Step]:
    """Algorithm 2 step by step, from noise x: (B, ...) through the whole schedule.

    generator: one, or one for each sample; see noise.py.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> path = ancestral_path(lambda x, timesteps: x, cosine_schedule(5), torch.randn(1, 2))
    >>> len(list(path))
    5
    """
    for timestep in reversed(range(len(schedule))):
        timesteps = torch.full((len(x),), timestep)
        predicted = model(x, timesteps.to(x.device), **condition)
        step = ancestral_step(
            schedule, predicted, x, timesteps, draw_noise(x, generator),
            target=target, variance=variance, clamp=clamp,
        )  # fmt: skip
        x = step.x
        yield step


def ancestral_sample(model: Model, schedule: Schedule, x: Tensor, **options: Any) -> Tensor:
    """Algorithm 2: noise x: (B, ...) becomes an image (B, ...); options: see `ancestral_path`.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> def zeros(x, timesteps):
    ...     return torch.zeros_like(x)
    >>> ancestral_sample(zeros, cosine_schedule(5), torch.randn(1, 2), target="x0")
    tensor([[0., 0.]])
    """
    for step in ancestral_path(model, schedule, x, **options):
        x = step.x
    return x


def _two_levels(
    schedule: Schedule, timesteps: Tensor, previous: Tensor | None
) -> tuple[Tensor, Tensor]:
    """alpha_bar now and before; one timestep earlier, unless given."""
    previous = timesteps - 1 if previous is None else previous
    if not (previous.cpu() < timesteps.cpu()).all():
        raise ValueError(f"previous {previous.tolist()} is not before {timesteps.tolist()}")
    return schedule.at(timesteps), schedule.at(previous, final_alpha=1.0)
