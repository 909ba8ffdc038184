"""Exercises of lesson 14, control and inpainting.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/14_control_and_inpainting.py   its examples; silent if right
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.controlnet import Control
from scratchmm.diffusion.process import Schedule, mix
from scratchmm.diffusion.unet_blocks import zero_init
from scratchmm.vision.canny import ALIKE, EIGHTH


# canny.thin: Edges one pixel thin. 25 minutes, difficulty 3 of 5. In the lesson: "Edges".
def thin(magnitude: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Non-maximum suppression: the magnitude on the ridges of the slope, and 0 elsewhere.

    All are float (B, 1, H, W). A pixel stays if it is steeper than its neighbour uphill and at least
    as steep as its neighbour downhill, to within ALIKE. Uphill is the one of eight neighbours to
    which (down, across) points; beyond the border everything is flat.

    >>> magnitude = torch.tensor([[[[0.1, 0.5, 0.5, 0.2]]]])  # brighter to the right
    >>> thin(magnitude, torch.zeros_like(magnitude), torch.ones_like(magnitude))
    tensor([[[[0.0000, 0.0000, 0.5000, 0.0000]]]])
    """
    raise NotImplementedError(
        "canny.thin: keep the magnitude where it is steeper than uphill and no less steep than "
        "downhill, else 0"
    )


# controlnet.ZeroConvolution: A zero convolution. 10 minutes, difficulty 2 of 5. In the lesson:
# "Zero at first".
# Given:
# - zero_init(layer: nn.Module) -> nn.Module
#     The layer, its weights and biases set to 0: a residual branch that ends in it adds 0 at first.
class ZeroConvolution(nn.Conv2d):
    """A convolution that keeps height and width and gives zero until it is trained.

    It does learn: the gradient of its weights is made of its input, which is not zero. kernel: odd.

    >>> layer = ZeroConvolution(3, 5)
    >>> output = layer(torch.randn(2, 3, 4, 6))
    >>> output.shape, bool(output.any())
    (torch.Size([2, 5, 4, 6]), False)
    """

    def __init__(self, channels: int, outputs: int, kernel: int = 1) -> None:
        raise NotImplementedError(
            "controlnet.ZeroConvolution: a convolution of this kernel that keeps the size; weights "
            "and bias zero"
        )


# controlnet.add_control: Added to the skip connections. 10 minutes, difficulty 2 of 5. In the
# lesson: "Zero at first". Comes after controlnet.ZeroConvolution.
# Given:
# - Control(skips: list[Tensor], middle: Tensor)
#     What is added to a base: a grid for each of its skips, first one first, and for its middle.
def add_control(
    middle: Tensor, skips: Sequence[Tensor], control: Control, scale: float = 1.0
) -> tuple[Tensor, list[Tensor]]:
    """The base's smallest grid, behind its middle, and its skips, each with its control added.

    middle: (B, C, X, Y); skips: first one first, as the control's. None of them is changed. Returns
    middle + scale * its control, and a list of skips, each + scale * its own. Raises ValueError on
    another number of skips than of controls.

    >>> control = Control([torch.tensor(1.0), torch.tensor(2.0)], torch.tensor(3.0))
    >>> add_control(torch.tensor(10.0), [torch.tensor(20.0), torch.tensor(30.0)], control, scale=0.5)
    (tensor(11.5000), [tensor(20.5000), tensor(31.)])
    """
    raise NotImplementedError(
        "controlnet.add_control: each skip and the smallest grid, plus scale times its control; "
        "nothing is overwritten"
    )


# inpainting.blend: Only in the hole. 15 minutes, difficulty 2 of 5. In the lesson: "Only in the
# hole".
# Given:
# - Schedule(alpha_bar: Tensor)
#     A noise schedule: how much of the image is left at each timestep.
# - Schedule.at(timesteps: Tensor, final_alpha: float | None=None) -> Tensor
#     alpha_bar of timesteps int64 (B,). Returns float64 (B,), on the CPU or, as the timesteps are,
#     on a GPU.
# - mix(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor
#     x = sqrt(a) * x0 + sqrt(1 - a) * noise; x0 and noise: (B, ...), alpha_bar: (B,).
def blend(
    schedule: Schedule,
    inside: Tensor,
    known: Tensor,
    mask: Tensor,
    timesteps: Tensor,
    noise: Tensor,
) -> Tensor:
    """Equation 8: under the mask what the model made, around it the known image, made as noisy.

    inside, known and noise: (B, C, H, W); inside is at timesteps, int64 (B,), where -1 is the clean
    image. mask: bool (B, 1, H, W), or one for all, True where `inside` is taken.
    Returns (B, C, H, W). Raises ValueError on timesteps that the schedule has not.

    >>> schedule = Schedule(torch.tensor([0.25]).double())
    >>> known, mask = torch.ones(1, 1, 1, 2), torch.tensor([[[[True, False]]]])
    >>> made, none = torch.full((1, 1, 1, 2), 7.0), torch.zeros(1, 1, 1, 2)
    >>> blend(schedule, made, known, mask, torch.tensor([0]), none)
    tensor([[[[7.0000, 0.5000]]]])
    """
    raise NotImplementedError(
        "inpainting.blend: under the mask what is sampled, around it the known image noised to its "
        "level"
    )
