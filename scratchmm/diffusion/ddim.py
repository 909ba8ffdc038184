"""DDIM: the same trained model in any number of steps, with as little randomness as one likes.

A step splits x into x0 and noise, and mixes both again at an earlier level. With eta 0 it is
deterministic: the same noise gives the same image, and the steps can be inverted. With eta 1 each
step has the posterior's variance, as in DDPM.

Paper: Denoising Diffusion Implicit Models (Song et al. 2020, arXiv 2010.02502), equations 12 and 16;
the spacings of timesteps: arXiv 2305.08891, table 2.
Dimensions: B batch; `...` stands for the other axes of a sample, whatever they are.
Conventions: as in process.py. A step leads from each timestep to the next one of the list, the last one
to -1, where alpha_bar is `final_alpha`: 1, the clean image; Stable Diffusion takes alpha_bar[0].
diffusers' DDIMScheduler steps from t to t - 1000 // steps instead, whatever its list: the same for
leading timesteps, and for trailing ones of which there are a divisor of 1000; otherwise x is at another
level than the next timestep says. `stride` = 1000 // steps does the same.
Differs from the paper: where x0 is clamped, the noise is computed again from it, so that both still
make up x; `follow_clamp=False` leaves it.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scratchmm.diffusion.ddpm import step_variance
from scratchmm.diffusion.noise import Generators, draw_noise
from scratchmm.diffusion.process import (
    Model,
    Schedule,
    Step,
    clamped,
    mix,
    per_sample,
    x0_and_noise,
)

SPACINGS = ("trailing", "leading", "linspace")


def spaced_timesteps(
    length: int, steps: int, spacing: str = "trailing", offset: int = 0
) -> list[int]:
    """`steps` timesteps of a schedule of `length`, the noisiest first.

    trailing: ends at the schedule's last, where a model expects the pure noise that sampling begins
    with; leading: begins at 0, plus `offset` (Stable Diffusion: 1); linspace: both ends. They are the
    lists of diffusers' DDIMScheduler, its rounding included, without the timestep -1 that it puts
    at the end of some trailing ones (62 of the 1000, 29 steps the first).

    Raises ValueError on steps below 1 or over length, and on an offset that leaves the schedule.

    >>> [spaced_timesteps(1000, 4, spacing) for spacing in ("trailing", "leading", "linspace")]
    [[999, 749, 499, 249], [750, 500, 250, 0], [999, 666, 333, 0]]
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= length:
        raise ValueError(f"{steps} steps are not between 1 and the {length} of the schedule")
    if spacing not in SPACINGS:
        raise ValueError(f"spacing {spacing!r} is none of {', '.join(SPACINGS)}")
    if spacing == "trailing":
        found = (np.round(np.arange(length, 0, -length / steps))[:steps] - 1).astype(int).tolist()
    elif spacing == "leading":
        found = [i * (length // steps) + offset for i in reversed(range(steps))]
    else:
        found = np.linspace(0, length - 1, steps).round()[::-1].astype(int).tolist()
    if spacing != "leading" and offset != 0:
        raise ValueError(f"an offset of {offset} goes with leading timesteps, not {spacing}")
    if not 0 <= found[-1] <= found[0] < length:
        raise ValueError(f"timesteps {found[-1]} to {found[0]} are outside of 0 to {length - 1}")
    return found


def ddim_step(
    schedule: Schedule,
    predicted: Tensor,
    x: Tensor,
    timesteps: Tensor,
    previous: Tensor,
    noise: Tensor | None = None,
    *,
    target: str = "noise",
    eta: float = 0.0,
    clamp: float | None = None,
    follow_clamp: bool = True,
    final_alpha: float = 1.0,
) -> Step:
    """Equation 12: from timesteps to previous, both int64 (B,); x and predicted: (B, ...).

    b is alpha_bar at previous, variance eta^2 times that of DDPM's posterior (equation 16):
    x = sqrt(b) * x0 + sqrt(1 - b - variance) * predicted_noise + sqrt(variance) * noise.

    eta: from 0 (deterministic; then noise may be None) to 1. clamp: x0 is clamped to -clamp..clamp,
    and the predicted noise follows it unless follow_clamp is False. final_alpha: b where previous is -1.

    Raises ValueError on an eta outside of 0 to 1 or above 0 without noise, on a final_alpha that is
    not above 0 and at most 1, a target that is none, a clamp that is not above 0, and where previous is
    not before timesteps.

    >>> schedule = Schedule(torch.tensor([0.64, 0.36]).double())
    >>> x, times = torch.tensor([1.0]), torch.tensor([1])  # 1 = 0.6 * 1 + 0.8 * 0.5
    >>> ddim_step(schedule, torch.tensor([0.5]), x, times, times - 1).x  # 0.8 * 1 + 0.6 * 0.5
    tensor([1.1000])
    """
    _check_eta(eta, noise)
    now = schedule.at(timesteps)
    before = schedule.at(previous, _checked_alpha(final_alpha))
    if not (previous.cpu() < timesteps.cpu()).all():
        raise ValueError(f"previous {previous.tolist()} is not before {timesteps.tolist()}")
    x0, predicted_noise = x0_and_noise(predicted, x, now, target)
    x0 = clamped(x0, clamp)
    if clamp is not None and follow_clamp:
        predicted_noise = x0_and_noise(x0, x, now, "x0").noise
    variance = eta**2 * step_variance(now, before)
    direction = (1 - before - variance).clamp(min=0).sqrt()  # rounding may fall below 0
    x = per_sample(before.sqrt(), x) * x0 + per_sample(direction, x) * predicted_noise
    return Step(x if noise is None else x + per_sample(variance.sqrt(), x) * noise, x0)


@torch.no_grad()
def ddim_path(
    model: Model,
    schedule: Schedule,
    x: Tensor,
    timesteps: Sequence[int],
    *,
    generator: Generators = None,
    target: str = "noise",
    eta: float = 0.0,
    clamp: float | None = None,
    follow_clamp: bool = True,
    final_alpha: float = 1.0,
    stride: int | None = None,
    **condition: Any,
) -> Iterator[Step]:
    """Noise x: (B, ...) down a falling list of timesteps and from the last to the clean image.

    stride: how many timesteps each step goes down, as in DDIMScheduler; None: to the next of the list.

    Noise is drawn only where eta is above 0, by one generator or one for each sample; see noise.py.
    Raises ValueError on timesteps that do not fall, and where `ddim_step` does.

    >>> schedule = Schedule(torch.linspace(0.9, 0.1, 9).double())
    >>> path = ddim_path(lambda x, timesteps: x, schedule, torch.randn(1, 2), [8, 3, 0])
    >>> len(list(path))
    3
    """
    check_falling(timesteps)
    if stride is not None and stride < 1:
        raise ValueError(f"a stride of {stride} timesteps leads nowhere: it is at least 1")
    for now, before in pairwise([*timesteps, -1]):
        if stride is not None:
            before = max(now - stride, -1)
        times = torch.full((len(x),), now)
        step = ddim_step(
            schedule,
            model(x, times.to(x.device), **condition),
            x,
            times,
            torch.full_like(times, before),
            draw_noise(x, generator) if eta > 0 else None,
            target=target, eta=eta, clamp=clamp, follow_clamp=follow_clamp, final_alpha=final_alpha,
        )  # fmt: skip
        x = step.x
        yield step


def ddim_sample(
    model: Model, schedule: Schedule, x: Tensor, timesteps: Sequence[int], **options: Any
) -> Tensor:
    """Noise x: (B, ...) becomes an image (B, ...) in few steps; options: see `ddim_path`.

    >>> schedule = Schedule(torch.linspace(0.9, 0.1, 9).double())
    >>> def zeros(x, timesteps):
    ...     return torch.zeros_like(x)
    >>> ddim_sample(zeros, schedule, torch.randn(1, 2), spaced_timesteps(9, 3), target="x0")
    tensor([[0., 0.]])
    """
    for step in ddim_path(model, schedule, x, timesteps, **options):
        x = step.x
    return x


def ddim_inverse_step(
    schedule: Schedule,
    predicted: Tensor,
    x: Tensor,
    timesteps: Tensor,
    later: Tensor,
    *,
    target: str = "noise",
    final_alpha: float = 1.0,
) -> Step:
    """Equation 12 in reverse: x: (B, ...) from timesteps, -1 or more, to noisier `later`.

    predicted: what the model predicts of x at `later`, where sampling will call it (x itself will be
    another there: the fewer steps, the less exact the inversion).
    Raises ValueError where later is not after timesteps, on a final_alpha that is not above 0 and at
    most 1, and on a predicted x0 where x is a clean image.

    >>> schedule = Schedule(torch.tensor([0.64, 0.36]).double())
    >>> x, times = torch.tensor([1.1]), torch.tensor([0])
    >>> ddim_inverse_step(schedule, torch.tensor([0.5]), x, times, times + 1).x
    tensor([1.])
    """
    now, then = schedule.at(timesteps, _checked_alpha(final_alpha)), schedule.at(later)
    if not (later.cpu() > timesteps.cpu()).all():
        raise ValueError(f"later {later.tolist()} is not after {timesteps.tolist()}")
    if target == "x0" and (now == 1).any():
        raise ValueError(
            "a predicted x0 determines no noise in a clean image: final_alpha is 1, "
            "and must be below 1"
        )
    x0, predicted_noise = x0_and_noise(predicted, x, now, target)
    return Step(mix(x0, predicted_noise, then), x0)


@torch.no_grad()
def ddim_invert(
    model: Model,
    schedule: Schedule,
    x0: Tensor,
    timesteps: Sequence[int],
    *,
    target: str = "noise",
    final_alpha: float = 1.0,
    **condition: Any,
) -> Tensor:
    """The noise (B, ...) from which `ddim_sample` with the same timesteps draws nearly x0: (B, ...).

    >>> schedule = Schedule(torch.linspace(0.9, 0.1, 9).double())
    >>> def model(x, timesteps):
    ...     return torch.full_like(x, 0.5)
    >>> noise = ddim_invert(model, schedule, torch.tensor([[0.25]]), [8, 4])
    >>> ddim_sample(model, schedule, noise, [8, 4])
    tensor([[0.2500]])
    """
    check_falling(timesteps)
    x = x0
    for now, later in pairwise([-1, *reversed(timesteps)]):
        times = torch.full((len(x),), later)
        predicted = model(x, times.to(x.device), **condition)
        step = ddim_inverse_step(
            schedule, predicted, x, torch.full_like(times, now), times,
            target=target, final_alpha=final_alpha,
        )  # fmt: skip
        x = step.x
    return x


def check_falling(timesteps: Sequence[int]) -> None:
    """Refuse timesteps that are none, or of which one is not below the one before it: ValueError."""
    if len(timesteps) == 0:
        raise ValueError("there are 0 timesteps to sample at: at least 1 is needed")
    for now, before in pairwise(timesteps):
        if before >= now:
            raise ValueError(f"timesteps fall, but {before} comes after {now}")


def _check_eta(eta: float, noise: Tensor | None) -> None:
    if not 0 <= eta <= 1:
        raise ValueError(f"eta {eta} is not between 0 and 1")
    if eta > 0 and noise is None:
        raise ValueError(f"eta {eta} needs noise to draw from")


def _checked_alpha(final_alpha: float) -> float:
    if not 0 < final_alpha <= 1:
        raise ValueError(f"final_alpha {final_alpha} is not above 0 and at most 1")
    return final_alpha
