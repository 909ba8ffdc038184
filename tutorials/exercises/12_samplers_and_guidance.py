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

from scratchmm.diffusion.ddpm import check_target
from scratchmm.diffusion.schedule import mix


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
