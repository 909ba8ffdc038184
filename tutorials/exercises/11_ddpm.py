"""Exercises of lesson 11, ddpm.

Write each body in place of its `raise`, in any order. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.ddpm import (
    VARIANCES,
    Gaussian,
    Model,
    Step,
    clipped,
    diffusion_loss,
    draw_noise,
    start_and_noise,
)
from scratchmm.diffusion.schedule import Schedule, per_sample
from scratchmm.layers.embeddings import check_divisible


# schedule.cosine_schedule: The square of a cosine. 20 minutes, difficulty 3 of 5. In the lesson:
# "How much is left".
def cosine_schedule(steps: int = 1000, offset: float = 0.008, largest: float = 0.999) -> Schedule:
    """alpha_bar falls as the square of a cosine, for any number of steps; no beta over `largest`.

    >>> cosine_schedule(2, offset=0.0).alpha_bar.round(decimals=6).tolist()
    [0.5, 0.0005]
    """
    raise NotImplementedError(
        "schedule.cosine_schedule: a Schedule whose alpha_bar falls as cos^2 from 1 to 0, no step "
        "steeper than `largest`"
    )


# schedule.mix: Noise in one go. 10 minutes, difficulty 2 of 5. In the lesson: "Noise in one go".
# Comes after schedule.cosine_schedule.
def mix(start: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x = sqrt(a) * start + sqrt(1 - a) * noise; start and noise: (B, ...), alpha_bar: (B,).

    >>> mix(torch.ones(2), torch.zeros(2), torch.tensor([1.0, 0.25]))
    tensor([1.0000, 0.5000])
    """
    raise NotImplementedError(
        "schedule.mix: sqrt(a) of the start and sqrt(1 - a) of the noise, every sample with its "
        "own a"
    )


# sinusoids.cosines_first: What time it is. 10 minutes, difficulty 2 of 5. In the lesson: "What time
# it is".
def cosines_first(timesteps: Tensor, width: int) -> Tensor:
    """Timesteps as clock hands the other way round: (B,) of any real dtype to float32 (B, width).

    Improved DDPM's code puts all cosines before all sines and never reaches the speed 1 / 10000:
    speed_i = 10000^(-i / (width / 2)). Published weights hear the time in the one way or the other.
    Raises ValueError on an odd width.

    >>> cosines_first(torch.tensor([0]), 4).tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    """
    raise NotImplementedError(
        "sinusoids.cosines_first: cosines, then sines, of each timestep times the speeds 10000^(-i "
        "/ (width / 2))"
    )


# picture_blocks.Downsample: Three cells over two. 15 minutes, difficulty 2 of 5. In the lesson:
# "Down and up".
class Downsample(nn.Module):
    """Half the height and half the width: a convolution of kernel 3 with stride 2.

    Three cells do not lie evenly over two: DDPM pads with zeros at the right and the bottom only
    (as TensorFlow did), Stable Diffusion's UNet on all sides (centred).

    >>> Downsample(4)(torch.zeros(2, 4, 6, 10)).shape
    torch.Size([2, 4, 3, 5])
    """

    def __init__(self, channels: int, centred: bool = False) -> None:
        raise NotImplementedError(
            "picture_blocks.Downsample: remember which edges get zeros; self.convolution: kernel "
            "3, stride 2, no padding"
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, X, Y), both even. Returns (B, C, X // 2, Y // 2)."""
        raise NotImplementedError(
            "picture_blocks.Downsample: zeros at those edges, then the convolution: (B, C, X // 2, "
            "Y // 2)"
        )


# ddpm.posterior: One step back, if the end is known. 25 minutes, difficulty 3 of 5. In the lesson:
# "Walking back". Without the library's step_variance.
def posterior(
    schedule: Schedule,
    start: Tensor,
    x: Tensor,
    timesteps: Tensor,
    previous: Tensor | None = None,
) -> Gaussian:
    """Where x was at an earlier timestep, if the start is known: q(x_previous | x, start).

    Equation 7, for steps of any length. start and x: (B, ...). previous: int64 (B,), one step earlier
    if None; at -1 it is the start.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> schedule = cosine_schedule(10)
    >>> mean, variance = posterior(schedule, torch.ones(1), torch.tensor([5.0]), torch.tensor([0]))
    >>> mean.item(), variance.item()
    (1.0, 0.0)
    """
    raise NotImplementedError(
        "ddpm.posterior: mean and variance of q(x_previous | x, start); at -1 it is the start, "
        "without variance; ValueError where previous is not before timesteps"
    )


# ddpm.ancestral_step: One step out of the noise. 30 minutes, difficulty 4 of 5. In the lesson:
# "Walking back". Comes after ddpm.posterior.
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

    variance: that of the posterior, or "beta" (section 3.2: right for one picture, right for pure
    noise); clip: the start is held to -clip..clip; previous: one step earlier if None.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> x, last = torch.tensor([[0.3]]), torch.tensor([0])
    >>> ancestral_step(cosine_schedule(10), x, x, last, noise=x, target="start").x
    tensor([[0.3000]])
    """
    raise NotImplementedError(
        "ddpm.ancestral_step: one line of algorithm 2: what the model takes for the start, the "
        "posterior's mean, and noise on top, but none where the next picture is the clean one"
    )


# bug.noisy_last_step: Find the bug: grain in every picture. 35 minutes, difficulty 4 of 5. In the
# lesson: "Trains well, samples badly". Comes after ddpm.ancestral_step.
class NoisyLastStep:
    """Both halves of a diffusion model: the loss it learns by, and how it draws (algorithm 2).

    It trains as well as any other: its loss is diffusion_loss, and no step of training draws a
    picture. Losses, gradients and weights are those of a right one, to the last bit. Yet what it
    draws has grain. Leave it as it is: it is what your check has to catch.

    >>> schedule, pictures = cosine_schedule(50), torch.zeros(5, 3)
    >>> chance = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    >>> def half(x, timesteps):
    ...     return 0.5 * x
    >>> loss = NoisyLastStep(schedule).loss(half, pictures, chance[0])
    >>> bool(loss == diffusion_loss(half, schedule, pictures, generator=chance[1]))
    True
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def loss(self, model: Model, start: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What training makes small. start: (B, X)."""
        return diffusion_loss(model, self.schedule, start, generator=generator)

    def sample(self, model: Model, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noise x: (B, X) becomes pictures (B, X); model(x, timesteps) says the noise in x."""
        levels, betas = self.schedule.alpha_bar.tolist(), self.schedule.betas.tolist()
        for timestep in reversed(range(len(self.schedule))):
            now, beta = levels[timestep], betas[timestep]
            noise = model(x, torch.full((len(x),), timestep))
            mean = (x - beta / math.sqrt(1 - now) * noise) / math.sqrt(1 - beta)
            x = mean + math.sqrt(beta) * draw_noise(x, generator)
        return x


def check_drawing(diffuser_class: Any) -> None:
    """Raise AssertionError unless what a diffuser draws is what its model knows.

    diffuser_class: takes a Schedule, as NoisyLastStep does; judge it by sample(model, x, generator),
    on cosine schedules of 50 steps or more, with x float32 (B, X). Accept it if, with a model that
    predicts the noise in x as well as it can be predicted, what is drawn is spread as the pictures
    are that the model knows: that picture, up to 0.001, if there is one alone; else with their mean
    and their deviation, up to a quarter of that deviation, each sample and each value by itself. It
    may leave steps out and use chance or none, and may hold what it takes for the clean picture to
    -1 ... 1, where pictures are. Reject every other. This check is what is asked for and graded, on
    NoisyLastStep and others.

    >>> check_drawing(NoisyLastStep)
    Traceback (most recent call last):
    AssertionError: there is one picture alone, and something else is drawn
    """
    raise NotImplementedError(
        "bug.noisy_last_step: write the check: AssertionError unless what a diffuser draws is what "
        "its model knows"
    )
