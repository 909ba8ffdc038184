"""DDPM: an image drowns in noise step by step; a model that sees the noise can walk back.

Paper: Denoising Diffusion Probabilistic Models (Ho et al. 2020, arXiv 2006.11239), equations 4 to
14, algorithms 1 and 2. Velocity: Progressive Distillation (arXiv 2202.00512), appendix D.
Dimensions: B batch; `...` stands for the other axes of a sample, whatever they are.
Conventions: timesteps count from 0 (the paper's 1), and -1 is the clean image. A model is called
model(x, timesteps, **condition) and predicts one of TARGETS.
Differs from the paper:
- a model may predict the start or the velocity instead of the noise;
- the start is clipped only if asked for: latents have no bounds, images are in [-1, 1].
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.diffusion.chance import Chance, draw_noise
from scratchmm.diffusion.schedule import Schedule, mix, per_sample

TARGETS = ("noise", "start", "velocity")
VARIANCES = ("posterior", "beta")
Model = Callable[..., Tensor]


def q_sample(schedule: Schedule, start: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
    """Forward noising in one go (equation 4): start and noise: (B, ...), timesteps: int64 (B,).

    Raises ValueError on timesteps that the schedule has not.

    >>> start, noise = torch.ones(1, 1), torch.zeros(1, 1)
    >>> q_sample(Schedule(torch.tensor([0.25]).double()), start, torch.tensor([0]), noise)
    tensor([[0.5000]])
    """
    return mix(start, noise, schedule.at(timesteps))


class Estimate(NamedTuple):
    """What a noisy image is taken to be made of."""

    start: Tensor  # (B, ...)
    noise: Tensor  # (B, ...)


def start_and_noise(predicted: Tensor, x: Tensor, alpha_bar: Tensor, target: str) -> Estimate:
    """Both ingredients of x: (B, ...) from a prediction of either, or of the velocity.

    x = sqrt(a) * start + sqrt(1 - a) * noise, velocity = sqrt(a) * noise - sqrt(1 - a) * start.
    predicted: (B, ...), alpha_bar: (B,). Nothing is clipped. Raises ValueError on a target that is
    none of TARGETS, and on "noise" at an alpha_bar of 0, where x is noise and no start is left in it.

    >>> x, alpha_bar = torch.tensor([1.0]), torch.tensor([0.64])  # 1 = 0.8 * 0.5 + 0.6 * 1
    >>> start_and_noise(torch.tensor([0.5]), x, alpha_bar, "start").noise
    tensor([1.])
    """
    check_target(target, alpha_bar)
    image, dirt = per_sample(alpha_bar.sqrt(), x), per_sample((1 - alpha_bar).sqrt(), x)
    if target == "noise":
        return Estimate((x - dirt * predicted) / image, predicted)
    if target == "start":
        return Estimate(predicted, (x - image * predicted) / dirt)
    return Estimate(image * x - dirt * predicted, dirt * x + image * predicted)


def target_of(start: Tensor, noise: Tensor, alpha_bar: Tensor, target: str) -> Tensor:
    """What a model of this target should predict; start and noise: (B, ...), alpha_bar: (B,).

    "velocity": sqrt(a) * noise - sqrt(1 - a) * start. Raises ValueError on a target that is none of
    TARGETS.

    >>> target_of(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([1.0]), "velocity")
    tensor([2.])
    """
    check_target(target)
    if target == "velocity":  # the mixture, a quarter of a turn further
        return mix(noise, -start, alpha_bar)
    return noise if target == "noise" else start


def diffusion_loss(
    model: Model,
    schedule: Schedule,
    start: Tensor,
    *,
    target: str = "noise",
    timesteps: Tensor | None = None,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    **condition: Any,
) -> Tensor:
    """Algorithm 1: the mean squared error of the prediction, each sample at a timestep of its own.

    start: (B, ...). timesteps int64 (B,) and noise (B, ...) are drawn where they are not given. The
    model gets the mixture, the timesteps and the condition. Returns a scalar.
    Raises ValueError where the model predicts another shape than the start's.

    >>> def perfect(x, timesteps):  # of black images: all that is there is noise
    ...     return x / (1 - schedule.at(timesteps)).sqrt().to(x.dtype)[:, None]
    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> schedule = cosine_schedule(10)
    >>> float(diffusion_loss(perfect, schedule, torch.zeros(5, 4))) < 1e-12
    True
    """
    if timesteps is None:
        timesteps = torch.randint(len(schedule), (len(start),), generator=generator)
    noise = draw_noise(start, generator) if noise is None else noise
    alpha_bar = schedule.at(timesteps)
    predicted = model(mix(start, noise, alpha_bar), timesteps.to(start.device), **condition)
    wanted = target_of(start, noise, alpha_bar, target)
    if predicted.shape != wanted.shape:
        raise ValueError(f"the model predicts {tuple(predicted.shape)} for {tuple(wanted.shape)}")
    return F.mse_loss(predicted, wanted)


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
    start: Tensor,
    x: Tensor,
    timesteps: Tensor,
    previous: Tensor | None = None,
) -> Gaussian:
    """Where x was at an earlier timestep, if the start is known: q(x_previous | x, start).

    Equation 7, for steps of any length. a and b are alpha_bar now and before:
    mean = sqrt(b) * (1 - a / b) / (1 - a) * start + sqrt(a / b) * (1 - b) / (1 - a) * x,
    variance = (1 - b) / (1 - a) * (1 - a / b).

    start and x: (B, ...). timesteps and previous: int64 (B,); previous is one step earlier if None; at
    -1 it is the start (alpha_bar is 1 there). Returns the mean (B, ...) and the variance, one number a
    sample, (B, 1, ...), both in the dtype of x; what they are made of is worked out in float64. Raises
    ValueError where previous is not before timesteps.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> schedule = cosine_schedule(10)
    >>> mean, variance = posterior(schedule, torch.ones(1), torch.tensor([5.0]), torch.tensor([0]))
    >>> mean.item(), variance.item()
    (1.0, 0.0)
    """
    now, before = _two_levels(schedule, timesteps, previous)
    of_start = before.sqrt() * (1 - now / before) / (1 - now)
    of_x = (now / before).sqrt() * (1 - before) / (1 - now)
    mean = per_sample(of_start, x) * start + per_sample(of_x, x) * x
    return Gaussian(mean, per_sample(step_variance(now, before), x))


class Step(NamedTuple):
    """Where a step of a sampler led."""

    x: Tensor  # (B, ...), less noisy than before
    start: Tensor  # (B, ...), what the model takes the clean image to be


def ancestral_step(
    schedule: Schedule,
    predicted: Tensor,
    x: Tensor,
    timesteps: Tensor,
    noise: Tensor,
    *,
    target: str = "noise",
    variance: str = "posterior",
    clip: float | None = None,
    previous: Tensor | None = None,
) -> Step:
    """Algorithm 2, line 4: to the posterior's mean, and noise on top, but none at the last step.

    The start is what `predicted` says of x, and takes the place of the true one in `posterior`.
    predicted, x and noise: (B, ...). variance: "posterior", or "beta", that of the step forward:
    1 - a / b (section 3.2: the first is right if there is one image only, the second if images
    are noise themselves); clip: the start is held to -clip..clip; previous: one step earlier if None.

    Raises ValueError on a variance or a target that is none, on a clip that is not above 0, and where
    previous is not before timesteps.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> x, last = torch.tensor([[0.3]]), torch.tensor([0])
    >>> ancestral_step(cosine_schedule(10), x, x, last, noise=x, target="start").x
    tensor([[0.3000]])
    """
    now, before = _two_levels(schedule, timesteps, previous)
    start = clipped(start_and_noise(predicted, x, now, target).start, clip)
    mean, spread = posterior(schedule, start, x, timesteps, previous)
    if variance not in VARIANCES:
        raise ValueError(f"variance {variance!r} is none of {', '.join(VARIANCES)}")
    if variance == "beta":
        spread = per_sample((1 - now / before) * (before < 1), x)
    return Step(mean + spread.sqrt() * noise, start)


@torch.no_grad()
def ancestral_path(
    model: Model,
    schedule: Schedule,
    x: Tensor,
    *,
    generator: Chance = None,
    target: str = "noise",
    variance: str = "posterior",
    clip: float | None = None,
    **condition: Any,
) -> Iterator[Step]:
    """Algorithm 2 step by step, from noise x: (B, ...) through the whole schedule: a film strip.

    generator: one, or one for each sample; see chance.py.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> path = ancestral_path(lambda x, timesteps: x, cosine_schedule(5), torch.randn(1, 2))
    >>> len(list(path))
    5
    """
    for timestep in reversed(range(len(schedule))):
        timesteps = torch.full((len(x),), timestep)
        predicted = model(x, timesteps.to(x.device), **condition)
        step = ancestral_step(
            schedule, predicted, x, timesteps, draw_noise(x, generator),
            target=target, variance=variance, clip=clip,
        )  # fmt: skip
        x = step.x
        yield step


def ancestral_sample(model: Model, schedule: Schedule, x: Tensor, **options: Any) -> Tensor:
    """Algorithm 2: noise x: (B, ...) becomes an image (B, ...); options: see `ancestral_path`.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> def black(x, timesteps):
    ...     return torch.zeros_like(x)
    >>> ancestral_sample(black, cosine_schedule(5), torch.randn(1, 2), target="start")
    tensor([[0., 0.]])
    """
    for step in ancestral_path(model, schedule, x, **options):
        x = step.x
    return x


def clipped(start: Tensor, clip: float | None) -> Tensor:
    """The start (B, ...), held to -clip..clip unless clip is None; ValueError if it is not above 0.

    >>> clipped(torch.tensor([-3.0, 0.5]), 1.0)
    tensor([-1.0000,  0.5000])
    """
    if clip is None:
        return start
    if not clip > 0:
        raise ValueError(f"clipping to -{clip}..{clip} leaves nothing: it must be above 0")
    return start.clamp(-clip, clip)


def check_target(target: str, alpha_bar: Tensor | None = None) -> None:
    """Refuse a target that no model here predicts, or that says nothing at a level: ValueError."""
    if target not in TARGETS:
        raise ValueError(f"target {target!r} is none of {', '.join(TARGETS)}")
    if target == "noise" and alpha_bar is not None and (alpha_bar == 0).any():
        raise ValueError(
            "a predicted noise says nothing of the start where alpha_bar is 0: a model for this "
            "schedule predicts start or velocity"
        )


def _two_levels(
    schedule: Schedule, timesteps: Tensor, previous: Tensor | None
) -> tuple[Tensor, Tensor]:
    """alpha_bar now and before; one timestep earlier, unless told."""
    previous = timesteps - 1 if previous is None else previous
    if not (previous.cpu() < timesteps.cpu()).all():
        raise ValueError(f"previous {previous.tolist()} is not before {timesteps.tolist()}")
    return schedule.at(timesteps), schedule.at(previous, final_alpha=1.0)
