"""Exercises of lesson 03, vision transformer.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/03_vision_transformer.py   its examples; silent if right
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from scratchmm.layers.checks import check_channels, check_divisible
from scratchmm.vision.vit import ViTConfig


# embeddings.patchify: Cut an image into patches. 15 minutes, difficulty 2 of 5. In the lesson: "Cut
# the image". Without torch.nn.functional.unfold.
# Given:
# - check_divisible(what: str, size: int, by: str, divisor: int) -> None
#     Refuse a size that its parts do not fill.
def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images (B, C, height, width) into patches (B, N, C * patch * patch).

    Patches in reading order (rows of patches from the top, each from the left); within a patch
    channel by channel, each in reading order, as a convolution's weight is laid out. A height or
    width that patches do not fill is refused with a ValueError.

    >>> patchify(torch.arange(8.0).view(1, 1, 2, 4), patch=2)[0].int().tolist()
    [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    raise NotImplementedError(
        "embeddings.patchify: (B, C, height, width) to (B, N, C p p); refuse sizes that patches do "
        "not fill"
    )


# embeddings.PatchEmbedding: Patches become tokens. 10 minutes, difficulty 2 of 5. In the lesson: "A
# patch becomes a token". Comes after embeddings.patchify.
# Given:
# - check_channels(what: str, found: int, expected: int) -> None
#     Refuse images of another number of channels.
class PatchEmbedding(nn.Module):
    """Images to patch tokens: each patch, laid out flat, through one Linear layer.

    Equals Conv2d(channels, width, kernel_size=patch, stride=patch) with the weight flattened.

    >>> PatchEmbedding(channels=3, patch=4, width=8)(torch.zeros(2, 3, 12, 8)).shape
    torch.Size([2, 6, 8])
    """

    def __init__(self, channels: int, patch: int, width: int, bias: bool = True) -> None:
        raise NotImplementedError(
            "embeddings.PatchEmbedding: keep channels and patch; self.projection is an nn.Linear "
            "from C p p to width"
        )

    def forward(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns (B, N, D)."""
        raise NotImplementedError(
            "embeddings.PatchEmbedding: each patch, laid out flat, through the projection: (B, N, "
            "D)"
        )


# vit.ViTEmbeddings: CLS, patches, positions. 15 minutes, difficulty 3 of 5. In the lesson: "CLS and
# positions". Comes after embeddings.patchify, embeddings.PatchEmbedding.
# Given:
# - ViTConfig(image_size: int = 224, patch_size: int = 16, width: int = 768, depth: int = 12, heads:
#       int = 12, hidden: int = 3072, channels: int = 3, classes: int = 1000, epsilon: float =
#       1e-12, activation: str | None = None)
#     The sizes of a Vision Transformer: `depth` blocks over tokens of `width` numbers.
# - ViTConfig.grid() -> int
#     Patches in a row, and rows.
# - ViTConfig.patches() -> int
#     Patches in an image, N.
class ViTEmbeddings(nn.Module):
    """Equation 1: patch tokens behind a learned CLS token, plus a learned position each.

    CLS has a position too, the first. An image of another size than the config's gets its grid of
    positions resized. bias: of the patch projection.

    >>> ViTEmbeddings(tiny())(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 17, 32])
    """

    def __init__(self, config: ViTConfig, bias: bool = True) -> None:
        super().__init__()
        self.patch_size, self.grid = config.patch_size, config.grid
        self.patches = PatchEmbedding(config.channels, config.patch_size, config.width, bias)
        # CLIP's initial scale. Much smaller, positions drown among the patches for hundreds of steps.
        scale = config.width**-0.5
        self.class_token = nn.Parameter(scale * torch.randn(config.width))
        self.positions = nn.Parameter(scale * torch.randn(1 + config.patches, config.width))

    def forward(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns (B, 1 + N, D), CLS first."""
        raise NotImplementedError(
            "vit.ViTEmbeddings: CLS before the patch tokens, then a position for each of the 1 + N"
        )


# rollout.attention_rollout: Attention rolled out through the layers. 15 minutes, difficulty 3 of 5.
# In the lesson: "What CLS attends to". Comes after attention.attend.
def attention_rollout(layers: list[Tensor]) -> Tensor:
    """How much of each input token arrives at each output token, through all layers: (B, L, L).

    layers: the weights (B, H, L, L) of each block, first block first, as `watch_attention` collects
    them. Heads are averaged; half of each token stays where it is, through the residual; the
    layers are multiplied, the last one leftmost. Rows sum to 1. Row 0, without its first entry, is
    the map of what CLS attends to.

    >>> attention_rollout([torch.eye(3).view(1, 1, 3, 3)] * 2)[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    raise NotImplementedError(
        "rollout.attention_rollout: mean over heads, half of it and half identity, multiplied with "
        "the last layer leftmost"
    )


# embeddings.resize_positions: Positions for another image size. 15 minutes, difficulty 3 of 5. In
# the lesson: "Another image size". Comes after embeddings.patchify, vit.ViTEmbeddings.
def resize_positions(
    positions: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int]
) -> Tensor:
    """Learned positions of one grid of patches, stretched to another: (N, D) to (new N, D).

    old_grid, new_grid: (rows, columns). Bicubic, corners not aligned, as published models do it.
    Positions of CLS and the like are not on the grid: leave them out. As many positions as the old
    grid has places, or a ValueError.

    >>> resize_positions(torch.ones(6, 4), (2, 3), (4, 5)).shape
    torch.Size([20, 4])
    """
    raise NotImplementedError(
        "embeddings.resize_positions: lay the positions out as a grid, stretch it bicubically, lay "
        "it flat again"
    )
