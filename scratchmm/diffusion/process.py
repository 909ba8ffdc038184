"""The process of diffusion: how an image and noise mix at each step, and what a model learns of it.

x = sqrt(a) * x0 + sqrt(1 - a) * noise, where a (alpha-bar) falls from 1 to 0 along the steps, so that
a variance of one stays one. Levels are float64: 1 - a is tiny at first.

Papers: Denoising Diffusion Probabilistic Models (arXiv 2006.11239), equations 2 to 4 and 14, algorithm
1; Improved DDPM (arXiv 2102.09672), equation 17, for the cosine; Latent Diffusion (arXiv 2112.10752)
for the scaled line; Common Diffusion Noise Schedules and Sample Steps are Flawed (arXiv 2305.08891),
algorithm 1, for an end in pure noise; Progressive Distillation (arXiv 2202.00512), appendix D, for
the velocity.
Dimensions: B batch; `...` stands for the other axes of a sample, whatever they are.
Conventions: timesteps count from 0 (the papers' 1), and -1 is the clean image, x0. A model is called
model(x, timesteps, **condition) and predicts one of TARGETS.
Differs from the papers:
- a model may predict x0 or the velocity instead of the noise;
- x0 is clamped only if asked for: latents have no bounds, images are in [-1, 1].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.diffusion.noise import draw_noise
from scratchmm.layers.tracing import left_to_the_gpu

TARGETS = ("noise", "x0", "velocity")
Model = Callable[..., Tensor]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A noise schedule: how much of the image is left at each timestep.

    Raises ValueError unless alpha_bar falls, strictly between 1 and 0; only the last may be 0, pure
    noise.

    >>> schedule = Schedule(torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64))
    >>> len(schedule), schedule.at(torch.tensor([2, -1]), final_alpha=1.0).tolist()
    (3, [0.1, 1.0])
    """

    alpha_bar: Tensor  # float64 (steps,), on the CPU: the share of variance that is still image

    def __post_init__(self) -> None:
        levels = self.alpha_bar
        if levels.dtype != torch.float64 or levels.ndim != 1 or len(levels) < 1:
            raise ValueError(
                f"a schedule is float64 (steps,), not {levels.dtype} {tuple(levels.shape)}"
            )
        around = torch.cat([torch.ones_like(levels[:1]), levels])
        if not ((around[1:] < around[:-1]).all() and levels[-1] >= 0):
            raise ValueError(
                f"alpha_bar does not fall between 1 and 0 at all of {len(levels)} steps"
            )

    def __len__(self) -> int:
        return len(self.alpha_bar)

    def at(self, timesteps: Tensor, final_alpha: float | None = None) -> Tensor:
        """alpha_bar of timesteps int64 (B,). Returns float64 (B,), on the CPU or, as
        the timesteps are, on a GPU.

        final_alpha: what it is at timestep -1; None where that makes no sense.
        Raises ValueError on timesteps that the schedule has not; on a GPU it stops there, later.
        """
        if timesteps.is_floating_point() or timesteps.ndim != 1:
            shape = tuple(timesteps.shape)
            raise ValueError(f"timesteps are whole numbers (B,), not {timesteps.dtype} {shape}")
        timesteps = timesteps if timesteps.is_cuda else timesteps.cpu()  # MPS has no float64
        first = 0 if final_alpha is None else -1
        outside = (timesteps < first) | (timesteps >= len(self))
        place = f"outside of {first} to {len(self) - 1}"
        if not left_to_the_gpu(outside, f"a timestep is {place}") and outside.any():
            raise ValueError(f"timestep {timesteps[outside][0]} is {place}")
        clean = torch.full((1,), 1.0 if final_alpha is None else final_alpha, dtype=torch.float64)
        return torch.cat([clean, self.alpha_bar]).to(timesteps.device)[timesteps + 1]

    @property
    def betas(self) -> Tensor:
        """float64 (steps,): the share of noise that each single step mixes in."""
        before = torch.cat([torch.ones_like(self.alpha_bar[:1]), self.alpha_bar[:-1]])
        return 1 - self.alpha_bar / before

    @property
    def signal_to_noise(self) -> Tensor:
        """float64 (steps,): variance of image over variance of noise."""
        return self.alpha_bar / (1 - self.alpha_bar)


def linear_schedule(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Schedule:
    """Betas on a line: the paper's. They are meant for 1000 steps; fewer ones need larger betas.

    Raises ValueError on steps below 1, and unless 0 < first <= last < 1.

    >>> [round(float(linear_schedule(steps).alpha_bar[-1]), 3) for steps in (1000, 100)]
    [0.0, 0.364]
    """
    _check_betas(steps, first, last)
    return _schedule(torch.linspace(first, last, steps, dtype=torch.float64))


def scaled_linear_schedule(
    steps: int = 1000, first: float = 0.00085, last: float = 0.012
) -> Schedule:
    """The roots of the betas on a line: latent diffusion's and Stable Diffusion's.

    Raises ValueError on steps below 1, and unless 0 < first <= last < 1.

    >>> scaled_linear_schedule(3, 0.01, 0.09).betas.round(decimals=6).tolist()
    [0.01, 0.04, 0.09]
    """
    _check_betas(steps, first, last)
    return _schedule(torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64) ** 2)


def cosine_schedule(steps: int = 1000, offset: float = 0.008, largest: float = 0.999) -> Schedule:
    """alpha_bar falls as the square of a cosine, for any number of steps; no beta over `largest`.

    Equation 17: alpha_bar = f(t) / f(0), f(t) = cos((t + offset) / (1 + offset) * pi / 2)^2, where t,
    the share of the steps, is 1 / steps at the first timestep and 1 at the last. A beta that is clamped
    leaves more: later levels go on from there. Raises ValueError on steps below 1.

    >>> cosine_schedule(2, offset=0.0).alpha_bar.round(decimals=6).tolist()
    [0.5, 0.0005]
    """
    _check_betas(steps, largest, largest)
    time = torch.arange(steps + 1, dtype=torch.float64) / steps
    level = torch.cos((time + offset) / (1 + offset) * math.pi / 2) ** 2
    return _schedule((1 - level[1:] / level[:-1]).clamp(max=largest))


def zero_terminal_snr(schedule: Schedule) -> Schedule:
    """The schedule stretched so that it ends in pure noise: nothing of the image is left there.

    Algorithm 1: sqrt(alpha_bar) - its last value, times what keeps the first as it was. Sampling
    begins with pure noise, and so such a schedule needs samplers that begin at its last timestep
    (trailing), as in training. A model must predict velocity or x0 there: the noise is x itself.

    >>> schedule = zero_terminal_snr(Schedule(torch.tensor([0.81, 0.25, 0.01], dtype=torch.float64)))
    >>> schedule.alpha_bar.round(decimals=4).tolist()
    [0.81, 0.2025, 0.0]
    """
    roots = schedule.alpha_bar.sqrt()
    if len(roots) < 2:
        raise ValueError("a schedule of 1 step has one level, which cannot be both first and last")
    stretched = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    return Schedule(stretched**2)


def per_sample(values: Tensor, x: Tensor) -> Tensor:
    """One number a sample, shaped so that it multiplies a whole batch, in its dtype and place.

    values: (B,). x: (B, ...). Returns (B, 1, ..., 1). Raises ValueError on another number of them.

    >>> per_sample(torch.tensor([1.0, 2.0]), torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 1, 1, 1])
    """
    if values.shape != x.shape[:1]:
        raise ValueError(f"there are timesteps for {len(values)} samples, but {len(x)} samples")
    return values.to(x.dtype).to(x.device).reshape(-1, *[1] * (x.ndim - 1))


def mix(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x = sqrt(a) * x0 + sqrt(1 - a) * noise; x0 and noise: (B, ...), alpha_bar: (B,).

    The roots are taken in float64, as 1 - a rounds to 0 in float32 at the first of many steps; the
    result has the dtype of x0. Raises ValueError where there are not as many alpha_bars as samples.

    >>> mix(torch.ones(2), torch.zeros(2), torch.tensor([1.0, 0.25]))
    tensor([1.0000, 0.5000])
    """
    signal_rate = per_sample(alpha_bar.sqrt(), x0)  # (B, 1, ...)
    noise_rate = per_sample((1 - alpha_bar).sqrt(), x0)  # (B, 1, ...)
    return signal_rate * x0 + noise_rate * noise  # (B, ...)


def q_sample(schedule: Schedule, x0: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
    """Forward noising in one go (equation 4): x0 and noise: (B, ...), timesteps: int64 (B,).

    Raises ValueError on timesteps that the schedule has not.

    >>> x0, noise = torch.ones(1, 1), torch.zeros(1, 1)
    >>> q_sample(Schedule(torch.tensor([0.25]).double()), x0, torch.tensor([0]), noise)
    tensor([[0.5000]])
    """
    return mix(x0, noise, schedule.at(timesteps))


class Estimate(NamedTuple):
    """The two parts of a noisy image, as predicted."""

    x0: Tensor  # (B, ...)
    noise: Tensor  # (B, ...)


def x0_and_noise(predicted: Tensor, x: Tensor, alpha_bar: Tensor, target: str) -> Estimate:
    """Both parts of x: (B, ...), from a prediction of either, or of the velocity.

    x = sqrt(a) * x0 + sqrt(1 - a) * noise, velocity = sqrt(a) * noise - sqrt(1 - a) * x0.
    predicted: (B, ...), alpha_bar: (B,). Nothing is clamped. Raises ValueError on a target that is
    none of TARGETS, and on "noise" at an alpha_bar of 0, where x is noise and nothing of x0 is left.

    >>> x, alpha_bar = torch.tensor([1.0]), torch.tensor([0.64])  # 1 = 0.8 * 0.5 + 0.6 * 1
    >>> x0_and_noise(torch.tensor([0.5]), x, alpha_bar, "x0").noise
    tensor([1.])
    """
    check_target(target, alpha_bar)
    signal_rate = per_sample(alpha_bar.sqrt(), x)  # (B, 1, ...)
    noise_rate = per_sample((1 - alpha_bar).sqrt(), x)  # (B, 1, ...)
    if target == "noise":
        return Estimate((x - noise_rate * predicted) / signal_rate, predicted)
    if target == "x0":
        return Estimate(predicted, (x - signal_rate * predicted) / noise_rate)
    x0 = signal_rate * x - noise_rate * predicted  # (B, ...)
    return Estimate(x0, noise_rate * x + signal_rate * predicted)


def target_of(x0: Tensor, noise: Tensor, alpha_bar: Tensor, target: str) -> Tensor:
    """What a model of this target should predict; x0 and noise: (B, ...), alpha_bar: (B,).

    "velocity": sqrt(a) * noise - sqrt(1 - a) * x0. Raises ValueError on a target that is none of
    TARGETS.

    >>> target_of(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([1.0]), "velocity")
    tensor([2.])
    """
    check_target(target)
    if target == "velocity":  # the mixture, a quarter of a turn further
        return mix(noise, -x0, alpha_bar)
    return noise if target == "noise" else x0


def diffusion_loss(
    model: Model,
    schedule: Schedule,
    x0: Tensor,
    *,
    target: str = "noise",
    timesteps: Tensor | None = None,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    **condition: Any,
) -> Tensor:
    """Algorithm 1: the mean squared error of the prediction, each sample at a timestep of its own.

    x0: (B, ...). timesteps int64 (B,) and noise (B, ...) are drawn where they are not given. The
    model gets the mixture, the timesteps and the condition. Returns a scalar.
    Raises ValueError where the model predicts another shape than x0's.

    >>> def perfect(x, timesteps):  # of images of zeros: all that is there is noise
    ...     return x / (1 - schedule.at(timesteps)).sqrt().to(x.dtype)[:, None]
    >>> schedule = cosine_schedule(10)
    >>> float(diffusion_loss(perfect, schedule, torch.zeros(5, 4))) < 1e-12
    True
    """
    if timesteps is None:
        timesteps = torch.randint(len(schedule), (len(x0),), generator=generator)
    noise = draw_noise(x0, generator) if noise is None else noise
    alpha_bar = schedule.at(timesteps)
    predicted = model(mix(x0, noise, alpha_bar), timesteps.to(x0.device), **condition)
    expected = target_of(x0, noise, alpha_bar, target)
    if predicted.shape != expected.shape:
        raise ValueError(f"the model predicts {tuple(predicted.shape)} for {tuple(expected.shape)}")
    return F.mse_loss(predicted, expected)


class Step(NamedTuple):
    """What a step of a sampler gives."""

    x: Tensor  # (B, ...), less noisy than before
    x0: Tensor  # (B, ...), the clean image that the model predicts


def clamped(x0: Tensor, clamp: float | None) -> Tensor:
    """x0 (B, ...), clamped to -clamp..clamp unless clamp is None; ValueError if it is not above 0.

    >>> clamped(torch.tensor([-3.0, 0.5]), 1.0)
    tensor([-1.0000,  0.5000])
    """
    if clamp is None:
        return x0
    if not clamp > 0:
        raise ValueError(f"clamp is {clamp}: to clamp to -{clamp}..{clamp}, it must be above 0")
    return x0.clamp(-clamp, clamp)


def check_target(target: str, alpha_bar: Tensor | None = None) -> None:
    """ValueError on a target that is none of TARGETS, or that determines no x0 at a level."""
    if target not in TARGETS:
        raise ValueError(f"target {target!r} is none of {', '.join(TARGETS)}")
    if target != "noise" or alpha_bar is None:
        return
    sentence = (
        "a predicted noise determines no x0 where alpha_bar is 0: a model for this schedule "
        "predicts x0 or the velocity"
    )
    pure = alpha_bar == 0
    if not left_to_the_gpu(pure, sentence) and pure.any():
        raise ValueError(sentence)


def _check_betas(steps: int, first: float, last: float) -> None:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"a schedule of {steps} steps is none: at least 1 is needed")
    if not 0 < first <= last < 1:
        raise ValueError(f"betas from {first} to {last} do not grow between 0 and 1")


def _schedule(betas: Tensor) -> Schedule:
    return Schedule(torch.cumprod(1 - betas, dim=0))
