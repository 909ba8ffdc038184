"""Exercises of lesson 12, samplers and guidance.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/12_samplers_and_guidance.py   its examples; silent if right
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.diffusion.ddpm import step_variance
from scratchmm.diffusion.guidance import check_scale
from scratchmm.diffusion.process import (
    Estimate,
    Schedule,
    Step,
    check_target,
    clamped,
    mix,
    per_sample,
)
from scratchmm.layers import vectors
from scratchmm.metrics.clip_score import WEIGHT
from scratchmm.metrics.fid import Statistics, check_statistics


# process.target_of: What to predict. 10 minutes, difficulty 2 of 5. In the lesson: "Three things to
# predict".
# Given:
# - check_target(target: str, alpha_bar: Tensor | None=None) -> None
#     ValueError on a target that is none of TARGETS, or that determines no x0 at a level.
# - mix(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor
#     x = sqrt(a) * x0 + sqrt(1 - a) * noise; x0 and noise: (B, ...), alpha_bar: (B,).
def target_of(x0: Tensor, noise: Tensor, alpha_bar: Tensor, target: str) -> Tensor:
    """What a model of this target should predict; x0 and noise: (B, ...), alpha_bar: (B,).

    "velocity": sqrt(a) * noise - sqrt(1 - a) * x0. Raises ValueError on a target that is none of
    TARGETS.

    >>> target_of(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([1.0]), "velocity")
    tensor([2.])
    """
    raise NotImplementedError(
        "process.target_of: the noise, x0, or the velocity sqrt(a) * noise - sqrt(1 - a) * x0, by "
        "name"
    )


# process.x0_and_noise: x0 and noise from a prediction. 15 minutes, difficulty 2 of 5. In the
# lesson: "Three things to predict". Comes after process.target_of.
# Given:
# - Estimate(x0: Tensor, noise: Tensor)
#     The two parts of a noisy image, as predicted.
# - per_sample(values: Tensor, x: Tensor) -> Tensor
#     One number a sample, shaped so that it multiplies a whole batch, in its dtype and place.
def x0_and_noise(predicted: Tensor, x: Tensor, alpha_bar: Tensor, target: str) -> Estimate:
    """Both parts of x: (B, ...), from a prediction of either, or of the velocity.

    x = sqrt(a) * x0 + sqrt(1 - a) * noise, velocity = sqrt(a) * noise - sqrt(1 - a) * x0.
    predicted: (B, ...), alpha_bar: (B,). Nothing is clamped. Raises ValueError on a target that is
    none of TARGETS, and on "noise" at an alpha_bar of 0, where x is noise and nothing of x0 is left.

    >>> x, alpha_bar = torch.tensor([1.0]), torch.tensor([0.64])  # 1 = 0.8 * 0.5 + 0.6 * 1
    >>> x0_and_noise(torch.tensor([0.5]), x, alpha_bar, "x0").noise
    tensor([1.])
    """
    raise NotImplementedError(
        "process.x0_and_noise: x0 and the noise that make up x, from the prediction of either or "
        "of the velocity"
    )


# ddim.ddim_step: A step of any length. 30 minutes, difficulty 4 of 5. In the lesson: "Fewer steps".
# Comes after process.x0_and_noise.
# Given:
# - Schedule(alpha_bar: Tensor)
#     A noise schedule: how much of the image is left at each timestep.
# - Schedule.at(timesteps: Tensor, final_alpha: float | None=None) -> Tensor
#     alpha_bar of timesteps int64 (B,). Returns float64 (B,), on the CPU or, as the timesteps are,
#     on a GPU.
# - Step(x: Tensor, x0: Tensor)
#     What a step of a sampler gives.
# - clamped(x0: Tensor, clamp: float | None) -> Tensor
#     x0 (B, ...), clamped to -clamp..clamp unless clamp is None; ValueError if it is not above 0.
# - step_variance(now: Tensor, before: Tensor) -> Tensor
#     Variance of the posterior (equation 7) between two alpha_bars; 0 where `before` is 1.
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
    raise NotImplementedError(
        "ddim.ddim_step: split x into x0 and noise, mix both at the earlier level; eta: the noise "
        "drawn anew"
    )


# guidance.guide: Classifier-free guidance. 8 minutes, difficulty 1 of 5. In the lesson: "Guidance".
# Given:
# - check_scale(scale: float) -> None
#     Refuse a guidance scale that is not a finite number, by a ValueError.
def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Equation 6: from the prediction without the prompt to the one with it, and on; both (B, ...).

    That is without + scale * (with - without), a new tensor (B, ...). Raises ValueError on a scale
    that is not a finite number.

    >>> guide(torch.tensor([3.0]), torch.tensor([1.0]), scale=4.0)
    tensor([9.])
    """
    raise NotImplementedError(
        "guidance.guide: the unconditional prediction plus scale times the difference to the "
        "conditional one"
    )


# guidance.prompt_dropout: Prompts left out. 20 minutes, difficulty 3 of 5. In the lesson: "Prompts
# left out".
def prompt_dropout(
    condition: Mapping[str, Tensor],
    empty: Mapping[str, Tensor],
    dropout_probability: float,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The conditions of a batch; each sample gets the empty prompt's with `dropout_probability`.

    condition: (B, ...) by name; empty: (1, ...) by name, replaced together in a sample, such as its
    tokens and their mask. Names that `empty` has not are left alone. The paper has 0.1 or 0.2.

    Raises ValueError on a probability outside 0 to 1, and where condition and empty do not match.

    >>> words = torch.tensor([[5, 6], [7, 8]])
    >>> prompt_dropout({"words": words}, {"words": torch.tensor([[0, 0]])}, 1.0)
    {'words': tensor([[0, 0],
            [0, 0]])}
    """
    raise NotImplementedError(
        "guidance.prompt_dropout: each sample gets, with dropout_probability, the empty prompt: "
        "all of it, words and mask"
    )


# fid.frechet_distance: The distance of two Gaussians. 20 minutes, difficulty 3 of 5. In the lesson:
# "How far from real". Without the library's root.
# Given:
# - Statistics(mean: Tensor, covariance: Tensor)
#     Mean and covariance of a set of features, float64.
# - check_statistics(statistics: Statistics) -> None
#     Refuse a mean that is not (D,), and a covariance that is not (D, D).
def frechet_distance(one: Statistics, other: Statistics) -> float:
    """The squared Frechet distance of two normal distributions, from 0, the same both ways.

    The trace of sqrt(C1 C2) is the sum of the roots of its eigenvalues, and sqrt(C1) C2 sqrt(C1) has
    the same ones, but is symmetric: no complex numbers, and no trouble where C1 has no inverse.
    Raises ValueError on features of different widths, and on a covariance that is not (D, D) for a
    mean of (D,).

    >>> unit = Statistics(torch.zeros(2).double(), torch.eye(2).double())
    >>> round(frechet_distance(unit, Statistics(torch.ones(2).double(), 4 * unit.covariance)), 6)
    4.0
    """
    raise NotImplementedError(
        "fid.frechet_distance: |m1 - m2|^2 + trace(C1 + C2 - 2 sqrt(C1 C2)) of two means and "
        "covariances, as a float"
    )


# clip_score.clip_score: How well an image matches its prompt. 10 minutes, difficulty 1 of 5. In the
# lesson: "Does it follow the prompt".
def clip_score(image_embeddings: Tensor, text_embeddings: Tensor) -> Tensor:
    """2.5 * max(cosine, 0) of each image with its text: both (B, E), vectors of any length.

    Returns (B,) of their dtype; a zero embedding scores 0. Raises ValueError unless both are (B, E)
    alike.

    >>> clip_score(torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    tensor([2.5000, 0.0000])
    """
    raise NotImplementedError(
        "clip_score.clip_score: 2.5 times the cosine of each image with its own text, and 0 where "
        "that is below 0"
    )
