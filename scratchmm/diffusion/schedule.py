"""A noise schedule: how much of an image is left at each step, and how image and noise mix.

x = sqrt(a) * start + sqrt(1 - a) * noise, where a (alpha-bar) falls from 1 to 0 along the steps, so
that a variance of one stays one. All of it is float64: 1 - alpha_bar is tiny at first.

Papers: Denoising Diffusion Probabilistic Models (arXiv 2006.11239), equations 2 to 4; Improved
DDPM (arXiv 2102.09672), equation 17, for the cosine; Latent Diffusion (arXiv 2112.10752) for the
scaled line; Common Diffusion Noise Schedules and Sample Steps are Flawed (arXiv 2305.08891),
algorithm 1, for an end in pure noise.
Dimensions: B batch; `...` stands for the other axes of a sample, whatever they are.
Conventions: timesteps count from 0 (the papers' 1), and -1 is the clean image.
Differs from the papers: nothing.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Schedule:
    """How much of the image is left at each timestep.

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
        """alpha_bar of timesteps int64 (B,): Returns float64 (B,), on the CPU.

        final_alpha: what it is at timestep -1; None where that makes no sense.
        Raises ValueError on timesteps that the schedule has not.
        """
        timesteps = timesteps.cpu()
        if timesteps.is_floating_point() or timesteps.ndim != 1:
            shape = tuple(timesteps.shape)
            raise ValueError(f"timesteps are whole numbers (B,), not {timesteps.dtype} {shape}")
        first = 0 if final_alpha is None else -1
        outside = timesteps[(timesteps < first) | (timesteps >= len(self))]
        if len(outside) > 0:
            raise ValueError(f"timestep {outside[0]} is outside of {first} to {len(self) - 1}")
        clean = torch.full((1,), 1.0 if final_alpha is None else final_alpha, dtype=torch.float64)
        return torch.cat([clean, self.alpha_bar])[timesteps + 1]

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
    the share of the way, is 1 / steps at the first timestep and 1 at the last. A beta that is held
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
    begins with pure noise, and so such a schedule asks for what it trained on, from the last timestep
    on (trailing). A model must predict velocity or start there: the noise is x itself, and says nothing.

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


def mix(start: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x = sqrt(a) * start + sqrt(1 - a) * noise; start and noise: (B, ...), alpha_bar: (B,).

    The roots are taken in float64, as 1 - a rounds to 0 in float32 at the first of many steps; the
    result has the dtype of start. Raises ValueError where there are not as many alpha_bars as samples.

    >>> mix(torch.ones(2), torch.zeros(2), torch.tensor([1.0, 0.25]))
    tensor([1.0000, 0.5000])
    """
    image, dirt = per_sample(alpha_bar.sqrt(), start), per_sample((1 - alpha_bar).sqrt(), start)
    return image * start + dirt * noise


def _check_betas(steps: int, first: float, last: float) -> None:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"a schedule of {steps} steps is none: at least 1 is needed")
    if not 0 < first <= last < 1:
        raise ValueError(f"betas from {first} to {last} do not grow between 0 and 1")


def _schedule(betas: Tensor) -> Schedule:
    return Schedule(torch.cumprod(1 - betas, dim=0))
