"""ViLT's positions: which patches of a padded image are real, and where each stands in it.

Paper: ViLT (Kim et al. 2021, arXiv 2102.03334); what it does with images of several sizes stands in
its code only.
Dimensions: B batch, D width, S rows and columns of the learned square; P rows and Q columns of the
padded grid, N = P * Q, and L either of them.
Differs from the paper: nothing.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from scratchmm.layers.tracing import numbers_are_known


def interpolate_positions(
    positions: Tensor, filled: tuple[int, int], grid: tuple[int, int]
) -> Tensor:
    """The learned square of positions, stretched over the filled corner of a grid: (N, D).

    positions: (S * S, D); filled: (rows, columns) of the image itself, at the top left; grid:
    (rows, columns) with the padding, which gets zeros. One image; `interpolate_each` has a batch.

    >>> interpolate_positions(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), (1, 2), (2, 3)).view(2, 3)
    tensor([[1., 2., 0.],
            [0., 0., 0.]])
    """
    side, missing = round(len(positions) ** 0.5), (grid[0] - filled[0], grid[1] - filled[1])
    if 0 in filled:
        return positions.new_zeros(grid[0] * grid[1], positions.shape[1])
    square = rearrange(positions, "(h w) d -> 1 d h w", h=side)
    square = F.interpolate(square, size=filled, mode="bilinear", align_corners=True)
    return rearrange(F.pad(square, (0, missing[1], 0, missing[0])), "1 d h w -> (h w) d")


def interpolate_each(
    positions: Tensor, rows: Tensor, columns: Tensor, grid: tuple[int, int]
) -> Tensor:
    """`interpolate_positions` for a batch of images, each with its own filled corner: (B, N, D).

    positions: (S * S, D); rows, columns: int64 (B,), filled in each; Python need not know the numbers.

    >>> square = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    >>> interpolate_each(square, torch.tensor([1, 2]), torch.tensor([2, 3]), (2, 3)).view(2, 2, 3)
    tensor([[[1.0000, 2.0000, 0.0000],
             [0.0000, 0.0000, 0.0000]],
    <BLANKLINE>
            [[1.0000, 1.5000, 2.0000],
             [3.0000, 3.5000, 4.0000]]])
    """
    side = round(positions.shape[0] ** 0.5)
    square = positions.view(side, side, -1)  # (S, S, D)
    down = stretch(rows, side, grid[0]).to(positions.dtype)  # (B, P, S)
    across = stretch(columns, side, grid[1]).to(positions.dtype)  # (B, Q, S)
    stretched = (down @ square.flatten(1)).unflatten(2, (side, -1))  # (B, P, S, D)
    return (across[:, None] @ stretched).flatten(1, 2)  # (B, N, D)


def stretch(counts: Tensor, side: int, length: int) -> Tensor:
    """How much each of `side` learned places counts at each of `length`: float64 (B, length, side).

    counts: int64 (B,), how many of the length are filled. The ends stay ends (corners aligned), and
    between two learned places is a line. Rows beyond the count are zeros.

    >>> stretch(torch.tensor([3]), side=2, length=4)[0].tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.0, 0.0]]
    """
    place = torch.arange(length, device=counts.device)  # (L,)
    steps = (counts - 1).clamp(min=1)[:, None].double()  # (B, 1)
    at = place * (side - 1) / steps  # (B, L), in learned places
    near = 1 - (at[..., None] - torch.arange(side, device=counts.device)).abs()
    return near.clamp(min=0) * (place < counts[:, None])[..., None]  # (B, L, S)


def filled_patches(
    pixels: Tensor, images: Tensor, patch: int
) -> tuple[list[tuple[int, int]], Tensor]:
    """The (rows, columns) of patches that each image fills; and which patches, bool (B, N).

    pixels: bool, a mask of each image, which must lie at the top left (ValueError). A patch counts
    if its top left pixel does.

    >>> pixels = torch.ones(1, 4, 6, dtype=torch.bool)
    >>> pixels[:, :, 4:] = False
    >>> filled_patches(pixels, torch.zeros(1, 3, 4, 6), patch=2)
    ([(2, 2)], tensor([[ True,  True, False,  True,  True, False]]))
    """
    rows, columns, seen = count_patches(pixels, images, patch)
    return list(zip(rows.tolist(), columns.tolist(), strict=True)), seen


def count_patches(pixels: Tensor, images: Tensor, patch: int) -> tuple[Tensor, Tensor, Tensor]:
    """`filled_patches` as tensors: rows and columns int64 (B,), and which patches, bool (B, N).

    >>> count_patches(torch.ones(1, 4, 6).bool(), torch.zeros(1, 3, 4, 6), patch=2)[:2]
    (tensor([2]), tensor([3]))
    """
    expected = (images.shape[0], *images.shape[-2:])
    if tuple(pixels.shape) != expected or pixels.dtype != torch.bool:
        raise ValueError(
            f"the mask of the images is {tuple(pixels.shape)} of {pixels.dtype}, "
            f"but they need {expected} of torch.bool (True = image)"
        )
    seen = pixels[:, ::patch, ::patch]
    rows, columns = seen[:, :, 0].sum(dim=1), seen[:, 0].sum(dim=1)  # each (B,)
    down = torch.arange(seen.shape[1], device=seen.device) < rows[:, None]
    across = torch.arange(seen.shape[2], device=seen.device) < columns[:, None]
    wrong = (seen != down[:, :, None] & across[:, None]).flatten(1).any(dim=1)  # (B,)
    if numbers_are_known(wrong) and wrong.any():
        raise ValueError(f"image {int(wrong.nonzero()[0])} is not a rectangle at the top left")
    return rows, columns, seen.flatten(1)
