"""Exercises of lesson 12, samplers and guidance.

Write each body in place of its `raise`, in any order. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.diffusion.ddpm import Estimate, check_target
from scratchmm.diffusion.schedule import mix, per_sample


# ddpm.target_of: What to predict. 10 minutes, difficulty 2 of 5. In the lesson: "Three things to
# predict".
def target_of(start: Tensor, noise: Tensor, alpha_bar: Tensor, target: str) -> Tensor:
    """What a model of this target should predict; start and noise: (B, ...), alpha_bar: (B,).

    >>> target_of(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([1.0]), "velocity")
    tensor([2.])
    """
    raise NotImplementedError(
        "ddpm.target_of: the noise, the start, or the velocity sqrt(a) * noise - sqrt(1 - a) * "
        "start, by name"
    )


# ddpm.start_and_noise: Taken apart. 15 minutes, difficulty 2 of 5. In the lesson: "Three things to
# predict". Comes after ddpm.target_of.
def start_and_noise(predicted: Tensor, x: Tensor, alpha_bar: Tensor, target: str) -> Estimate:
    """Both ingredients of x: (B, ...) from a prediction of either, or of the velocity.

    x = sqrt(a) * start + sqrt(1 - a) * noise, velocity = sqrt(a) * noise - sqrt(1 - a) * start.

    >>> x, alpha_bar = torch.tensor([1.0]), torch.tensor([0.64])  # 1 = 0.8 * 0.5 + 0.6 * 1
    >>> start_and_noise(torch.tensor([0.5]), x, alpha_bar, "start").noise
    tensor([1.])
    """
    raise NotImplementedError(
        "ddpm.start_and_noise: the start and the noise that make up x, from the prediction of "
        "either or of the velocity"
    )
