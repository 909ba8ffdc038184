"""Embeddings: pictures, clips and spectrograms cut into patches; and where each patch stands.

Papers: An Image is Worth 16x16 Words (Dosovitskiy et al. 2020, arXiv 2010.11929), section 3.1;
ViViT (Arnab et al. 2021, arXiv 2103.15691), section 3.2, for tubelets; AST (Gong et al. 2021,
arXiv 2104.01778), section 2.1, for overlapping spectrogram patches; Attention Is All You Need
(arXiv 1706.03762), section 3.5, for sinusoidal positions; Denoising Diffusion Probabilistic Models
(Ho et al. 2020, arXiv 2006.11239), appendix B, for timesteps.
Dimensions: B batch, C channels, N patches, F frames, L length, D width.
Differs from the papers: patches are cut by a rearrangement and projected by a Linear layer, which is
the same as their convolution and shows what it does.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut pictures (B, C, height, width) into patches (B, N, C * patch * patch).

    Patches in reading order (rows of patches from the top, each from the left); within a patch
    channel by channel, each in reading order, as a convolution's weight is laid out.

    >>> patchify(torch.arange(8.0).view(1, 1, 2, 4), patch=2)[0].int().tolist()
    [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    _check_divisible("image height", images.shape[-2], "patch size", patch)
    _check_divisible("image width", images.shape[-1], "patch size", patch)
    return rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)


class PatchEmbedding(nn.Module):
    """Pictures to patch tokens: each patch, laid out flat, through one Linear layer.

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
        _check_channels("pictures", images.shape[1], self.channels)
        return self.projection(patchify(images, self.patch))  # (B, N, D)


class TubeletEmbedding(nn.Module):
    """Clips to tokens: little boxes of frames x patch x patch pixels through one Linear layer.

    Equals Conv3d with kernel and stride (frames, patch, patch). Note the clip's order: frames come
    before channels.

    >>> clip = torch.zeros(2, 4, 3, 6, 6)
    >>> TubeletEmbedding(channels=3, frames=2, patch=3, width=8)(clip).shape
    torch.Size([2, 8, 8])
    """

    def __init__(self, channels: int, frames: int, patch: int, width: int) -> None:
        super().__init__()
        self.channels, self.frames, self.patch = channels, frames, patch
        self.projection = nn.Linear(channels * frames * patch * patch, width)

    def forward(self, clips: Tensor) -> Tensor:
        """clips: float (B, F, C, height, width). Returns (B, N, D), earliest tubelets first."""
        _check_channels("clips", clips.shape[2], self.channels)
        _check_divisible("clip length", clips.shape[1], "tubelet length", self.frames)
        _check_divisible("image height", clips.shape[-2], "patch size", self.patch)
        _check_divisible("image width", clips.shape[-1], "patch size", self.patch)
        sides = {"t": self.frames, "p": self.patch, "q": self.patch}
        boxes = rearrange(clips, "b (f t) c (h p) (w q) -> b (f h w) (c t p q)", **sides)
        return self.projection(boxes)  # (B, N, D)


class SpectrogramPatchEmbedding(nn.Module):
    """Spectrograms to tokens: square patches that may overlap (stride below patch).

    Equals Conv2d(1, width, kernel_size=patch, stride=stride). What does not fill a patch at the end
    is left out, as a convolution does.

    >>> SpectrogramPatchEmbedding(patch=4, stride=2, width=8)(torch.zeros(2, 10, 7)).shape
    torch.Size([2, 8, 8])
    """

    def __init__(self, patch: int, stride: int, width: int) -> None:
        super().__init__()
        self.patch, self.stride = patch, stride
        self.projection = nn.Linear(patch * patch, width)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """spectrograms: float (B, mels, frames). Returns (B, N, D), low mels first."""
        mels, frames = spectrograms.shape[-2:]
        if min(mels, frames) < self.patch:
            raise ValueError(
                f"a spectrogram of {mels} x {frames} is smaller than patch {self.patch}"
            )
        patches = F.unfold(spectrograms.unsqueeze(1), self.patch, stride=self.stride)
        return self.projection(patches.transpose(1, 2))  # (B, N, D)


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """Each position as the hands of many clocks: float32 (length, width).

    PE(pos, 2i) = sin(pos / 10000^(2i / width)) and PE(pos, 2i + 1) = cos(the same): sine and cosine
    interleaved, as in the paper. width must be even.

    >>> sinusoidal_positions(2, 2)[0].tolist()
    [0.0, 1.0]
    """
    _check_divisible("width", width, "a pair of sine and cosine,", 2)
    position = torch.arange(length, dtype=torch.float64)[:, None]
    speed = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = position * speed  # (L, D // 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2).float()  # (L, D)


def resize_positions(
    positions: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int]
) -> Tensor:
    """Learned positions of one grid of patches, stretched to another: (N, D) to (new N, D).

    old_grid, new_grid: (rows, columns). Bicubic, corners not aligned, as published models do it.
    Positions of CLS and the like are not on the grid: leave them out.

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


def timestep_embedding(timesteps: Tensor, width: int) -> Tensor:
    """Diffusion's timesteps as clock hands: (B,) of any real dtype to float32 (B, width).

    All cosines come after all sines (as in DDPM's code, unlike `sinusoidal_positions`), and the
    slowest hand turns at 1 / 10000 exactly: speed_i = 10000^(-i / (width / 2 - 1)).

    >>> timestep_embedding(torch.tensor([0]), 4).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """
    _check_divisible("width", width, "a pair of sine and cosine,", 2)
    half = width // 2
    exponent = torch.arange(half, dtype=torch.float64, device=timesteps.device) / max(half - 1, 1)
    angle = timesteps.double()[:, None] * torch.exp(-math.log(10000.0) * exponent)  # (B, D // 2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).float()  # (B, D)


def _check_divisible(what: str, size: int, by: str, divisor: int) -> None:
    if divisor < 1 or size % divisor:
        raise ValueError(f"{what} {size} is not divisible by {by} {divisor}")


def _check_channels(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"the {what} have {found} channels, but this model takes {expected}")
