"""Embeddings: images cut into patches; and where each patch stands.

Paper: An Image is Worth 16x16 Words (Dosovitskiy et al. 2020, arXiv 2010.11929), section 3.1.
Dimensions: B batch, C channels, N patches, D width.
Differs from the paper: patches are cut by a rearrangement and projected by a Linear layer, which is
the same as their convolution and shows what it does.
"""

import torch  # noqa: F401  (for the examples)
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from scratchmm.layers.checks import check_channels, check_divisible
from scratchmm.layers.tracing import left_to_the_gpu, numbers_are_known


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images (B, C, height, width) into patches (B, N, C * patch * patch).

    Patches in reading order (rows of patches from the top, each from the left); within a patch
    channel by channel, each in reading order, as a convolution's weight is laid out. A height or
    width that patches do not fill is refused with a ValueError.

    >>> patchify(torch.arange(8.0).view(1, 1, 2, 4), patch=2)[0].int().tolist()
    [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    check_divisible("image height", images.shape[-2], "patch size", patch)
    check_divisible("image width", images.shape[-1], "patch size", patch)
    return rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)


class PatchEmbedding(nn.Module):
    """Images to patch tokens: each patch, laid out flat, through one Linear layer.

    Equals Conv2d(channels, width, kernel_size=patch, stride=patch) with the weight flattened.

    >>> PatchEmbedding(channels=3, patch=4, width=8)(torch.zeros(2, 3, 12, 8)).shape
    torch.Size([2, 6, 8])
    """

    def __init__(self, channels: int, patch: int, width: int, bias: bool = True) -> None:
        super().__init__()
        self.channels, self.patch = channels, patch
        self.projection = nn.Linear(channels * patch * patch, width, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns (B, N, D)."""
        check_channels("images", images.shape[1], self.channels)
        return self.projection(patchify(images, self.patch))  # (B, N, D)


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
    rows, columns = old_grid
    if len(positions) != rows * columns:
        raise ValueError(f"{len(positions)} positions do not fill a grid of {rows} x {columns}")
    if old_grid == new_grid:
        return positions
    grid = rearrange(positions, "(h w) d -> 1 d h w", h=rows)
    grid = F.interpolate(grid, size=new_grid, mode="bicubic", align_corners=False)
    return rearrange(grid, "1 d h w -> (h w) d")


def check_tokens(tokens: Tensor, vocabulary: int) -> None:
    """Refuse tokens that the vocabulary does not have, in a sentence (a GPU stops without one).

    >>> check_tokens(torch.tensor([[1, 2, 99]]), vocabulary=99)
    Traceback (most recent call last):
    ValueError: token 99 of text 0, at position 2, is outside the vocabulary of 99
    """
    if not numbers_are_known(tokens):
        return
    outside = (tokens < 0) | (tokens >= vocabulary)
    if left_to_the_gpu(outside, f"a token is outside the vocabulary of {vocabulary}"):
        return
    if outside.any():
        row, column = outside.nonzero()[0].tolist()
        raise ValueError(
            f"token {int(tokens[row, column])} of text {row}, at position {column}, "
            f"is outside the vocabulary of {vocabulary}"
        )
