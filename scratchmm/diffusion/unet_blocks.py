"""What UNets and the autoencoder are made of: residual blocks, attention, changes of size.

Papers: Denoising Diffusion Probabilistic Models (Ho et al. 2020, arXiv 2006.11239), appendix B;
group norm from Group Normalization (Wu and He 2018, arXiv 1803.08494), the residual block from Wide
Residual Networks (Zagoruyko and Komodakis 2016, arXiv 1605.07146), figure 1 (d); the spatial
transformer from Latent Diffusion (Rombach et al. 2021, arXiv 2112.10752), section 3.3 and appendix
E.2.1, its gated feed-forward from GLU Variants Improve Transformer (Shazeer 2020, arXiv 2002.05202),
equation 6; timesteps also as in Improved DDPM (Nichol and Dhariwal 2021, arXiv 2102.09672).
Dimensions: B batch, C channels, D channels of the output, E width of the time embedding, X x Y cells
of the grid (height, width), N cells in all, T tokens of the context, W their width, K waves.
Differs from the papers: no dropout; the angles of a timestep are float64 until the end. Published
code has them in float32, whose sines are off by up to 1e-4 at timestep 999.
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.attention import MultiHeadAttention
from scratchmm.layers.checks import check_divisible


def timestep_embedding(
    timesteps: Tensor, width: int, dtype: torch.dtype = torch.float32, *,
    flip_sin_to_cos: bool = False, frequency_shift: int = 1,
) -> Tensor:  # fmt: skip
    """Sinusoids of timesteps: (B,) of any real dtype to (B, D) of `dtype`, D = width.

    All sines come before all cosines (unlike `sinusoidal_positions`), or after them if flipped.
    frequency_i = 10000^(-i / (width / 2 - frequency_shift)): with a shift of 1 (DDPM) the last is
    1 / 10000 exactly, with 0 (Improved DDPM, Stable Diffusion, unCLIP) it is higher. Published weights
    need the convention they were trained with. Raises ValueError on an odd width.

    >>> timestep_embedding(torch.tensor([0]), 4).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    >>> timestep_embedding(torch.tensor([0]), 4, flip_sin_to_cos=True).tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    """
    check_divisible("width", width, "a pair of sine and cosine,", 2)
    half = width // 2
    index = torch.arange(half, dtype=torch.float64, device=timesteps.device)
    exponent = index / max(half - frequency_shift, 1)
    angle = timesteps.double()[:, None] * torch.exp(-math.log(10000.0) * exponent)  # (B, D // 2)
    both = (angle.cos(), angle.sin()) if flip_sin_to_cos else (angle.sin(), angle.cos())
    return torch.cat(both, dim=-1).to(dtype)  # (B, D)


class TimeEmbedding(nn.Module):
    """Sinusoids of the timestep through an MLP of two layers.

    >>> TimeEmbedding(8, 32)(torch.tensor([0, 999])).shape
    torch.Size([2, 32])
    """

    def __init__(
        self, width: int, outputs: int, flip_sin_to_cos: bool = False, frequency_shift: int = 1
    ) -> None:
        super().__init__()
        self.sinusoids = partial(
            timestep_embedding, flip_sin_to_cos=flip_sin_to_cos, frequency_shift=frequency_shift
        )
        self.expand = nn.Linear(width, outputs)
        self.mix = nn.Linear(outputs, outputs)

    def forward(self, timesteps: Tensor) -> Tensor:
        """timesteps: (B,) of any real dtype. Returns (B, E)."""
        x = self.sinusoids(timesteps, self.expand.in_features, self.expand.weight.dtype)
        return self.mix(F.silu(self.expand(x)))  # (B, E)


class ResidualBlock2d(nn.Module):
    """shortcut(x) + conv(silu(norm(conv(silu(norm(x))) + time))), kernels of 3: same height, width.

    time is linear(silu(time embedding)): one number a channel, the same at every cell. time_width: of
    the time embedding, or None for a block without. The shortcut is x, or a convolution of kernel
    1 where outputs differ.

    >>> x = torch.zeros(2, 4, 6, 10)
    >>> ResidualBlock2d(4, 8, time_width=5, groups=2)(x, torch.zeros(2, 5)).shape
    torch.Size([2, 8, 6, 10])
    >>> ResidualBlock2d(4, 4, groups=2)(x).shape
    torch.Size([2, 4, 6, 10])
    """

    def __init__(
        self, channels: int, outputs: int, time_width: int | None = None, groups: int = 32,
        epsilon: float = 1e-6,
    ) -> None:  # fmt: skip
        super().__init__()
        self.first_norm = group_norm(channels, groups, epsilon)
        self.first = nn.Conv2d(channels, outputs, kernel_size=3, padding=1)
        self.time = None if time_width is None else nn.Linear(time_width, outputs)
        self.second_norm = group_norm(outputs, groups, epsilon)
        self.second = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1)
        self.shortcut = nn.Identity() if channels == outputs else nn.Conv2d(channels, outputs, 1)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x: float (B, C, X, Y); time: float (B, E), where the block takes one: (B, D, X, Y) out.

        Raises ValueError where the block takes a time and gets none.
        """
        inner = self.first(F.silu(self.first_norm(x)))  # (B, D, X, Y)
        if self.time is not None:
            if time is None:
                width = self.time.in_features
                raise ValueError(f"this block adds a time embedding of width {width} and got none")
            inner = inner + self.time(F.silu(time))[:, :, None, None]  # (B, D, X, Y)
        inner = self.second_norm(inner)  # (B, D, X, Y)
        inner = self.second(F.silu(inner))  # (B, D, X, Y)
        return self.shortcut(x) + inner  # (B, D, X, Y)


class SelfAttention2d(nn.Module):
    """x + attention(norm(x)): every cell of the grid attends to every cell.

    >>> SelfAttention2d(8, heads=2, groups=4)(torch.zeros(2, 8, 3, 5)).shape
    torch.Size([2, 8, 3, 5])
    """

    def __init__(
        self, channels: int, heads: int = 1, groups: int = 32, epsilon: float = 1e-6
    ) -> None:
        super().__init__()
        self.norm = group_norm(channels, groups, epsilon)
        self.attention = MultiHeadAttention(channels, heads)

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, X, Y). Returns the same shape."""
        cells = self.norm(x).flatten(2).transpose(1, 2)  # (B, N, C)
        change = self.attention(cells).transpose(1, 2)  # (B, C, N)
        # The sum keeps the first one's order in memory, channels last: faster convolutions behind it.
        return change.unflatten(2, x.shape[2:]) + x  # (B, C, X, Y)


class GEGLU(nn.Module):
    """A gated feed-forward network: value * gelu(gate), both from one linear layer.

    >>> GEGLU(width=4, hidden=16)(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 2 * hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., D). Returns the same shape."""
        value, gate = self.expand(x).chunk(2, dim=-1)
        return self.contract(value * F.gelu(gate))


class SpatialTransformerBlock(nn.Module):
    """A pre-norm transformer block: self-attention, cross-attention to a context, gated feed-forward.

    Queries, keys and values have no bias.

    >>> block = SpatialTransformerBlock(width=8, heads=2, context_width=6)
    >>> block(torch.zeros(1, 9, 8), torch.zeros(1, 5, 6)).shape
    torch.Size([1, 9, 8])
    """

    def __init__(self, width: int, heads: int, context_width: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads, bias=("output",))
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads, context_width, bias=("output",))
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = GEGLU(width, 4 * width)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, N, C); context: (B, T, W); mask: bool, to (B, H, N, T). Returns (B, N, C)."""
        x = x + self.attention(self.attention_norm(x))  # (B, N, C)
        x = x + self.cross_attention(self.cross_norm(x), context, mask)  # (B, N, C)
        return x + self.feed_forward(self.feed_forward_norm(x))  # (B, N, C)


class SpatialTransformer(nn.Module):
    """x + a transformer block over x's cells, between two projections; the last one begins at zero.

    linear: the projections are Linear layers, not convolutions of kernel 1. They compute the same,
    by other names and shapes.

    >>> layer = SpatialTransformer(8, heads=2, context_width=6, groups=4)
    >>> layer(torch.zeros(1, 8, 3, 5), torch.zeros(1, 7, 6)).shape
    torch.Size([1, 8, 3, 5])
    """

    def __init__(
        self, channels: int, heads: int, context_width: int, groups: int = 32, linear: bool = False
    ) -> None:
        super().__init__()
        projection = nn.Linear if linear else partial(nn.Conv2d, kernel_size=1)
        self.norm = group_norm(channels, groups, epsilon=1e-6)
        self.proj_in = projection(channels, channels)
        self.block = SpatialTransformerBlock(channels, heads, context_width)
        self.proj_out = zero_init(projection(channels, channels))
        self.linear = linear

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, C, X, Y); context: (B, T, W); mask: bool, to (B, H, N, T). Returns (B, C, X, Y)."""
        if self.linear:
            cells = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))  # (B, N, C)
            cells = self.proj_out(self.block(cells, context, mask))  # (B, N, C)
            return x + cells.transpose(1, 2).unflatten(2, x.shape[2:])  # (B, C, X, Y)
        cells = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)  # (B, N, C)
        cells = self.block(cells, context, mask)  # (B, N, C)
        return x + self.proj_out(cells.transpose(1, 2).unflatten(2, x.shape[2:]))  # (B, C, X, Y)


class Downsample(nn.Module):
    """Half the height and half the width: a convolution of kernel 3 with stride 2.

    Three cells do not lie evenly over two: DDPM pads with zeros at the right and the bottom only
    (as TensorFlow did), Stable Diffusion's UNet on all sides (centred).

    >>> Downsample(4)(torch.zeros(2, 4, 6, 10)).shape
    torch.Size([2, 4, 3, 5])
    """

    def __init__(self, channels: int, centred: bool = False) -> None:
        super().__init__()
        self.edges = (1, 1, 1, 1) if centred else (0, 1, 0, 1)  # left, right, top, bottom
        self.convolution = nn.Conv2d(channels, channels, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, X, Y), both even. Returns (B, C, X // 2, Y // 2)."""
        return self.convolution(F.pad(x, self.edges))  # (B, C, X // 2, Y // 2)


class Upsample(nn.Module):
    """Twice the height and the width: each cell four times, then a convolution of kernel 3.

    >>> Upsample(4)(torch.zeros(2, 4, 3, 5)).shape
    torch.Size([2, 4, 6, 10])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, X, Y). Returns (B, C, 2 * X, 2 * Y)."""
        return self.convolution(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class PlacedWords(nn.Module):
    """What a sentence adds to each cell: its vector times a matrix gives weights of plane waves.

    The waves are the first cosines down times the first across, as in a JPEG: a sum of them is any
    grid of `waves` x `waves` cells, and the same one, smooth, on a larger grid. At first, zero.

    >>> PlacedWords(context_width=6, channels=8)(torch.zeros(2, 6), (3, 5)).shape
    torch.Size([2, 8, 3, 5])
    """

    def __init__(self, context_width: int, channels: int, waves: int = 4) -> None:
        super().__init__()
        self.waves = waves
        self.weights = zero_init(nn.Linear(context_width, channels * waves**2))

    def forward(self, pooled: Tensor, grid: Sequence[int]) -> Tensor:
        """pooled: (B, W), the sentence; grid: its height and width, X and Y. Returns (B, C, X, Y)."""
        down, across = (cosine_waves(self.waves, size).to(pooled) for size in grid)
        weights = self.weights(pooled).unflatten(1, (-1, self.waves, self.waves))  # (B, C, K, K)
        return down.T @ weights @ across  # (B, C, X, Y)


def cosine_waves(count: int, size: int) -> Tensor:
    """The first waves over `size` cells: cos(pi k (x + 1/2) / size), (count, size).

    >>> cosine_waves(2, 2).round(decimals=4)
    tensor([[ 1.0000,  1.0000],
            [ 0.7071, -0.7071]])
    """
    middle = (torch.arange(size) + 0.5) / size
    return torch.cos(math.pi * torch.arange(count)[:, None] * middle)


def last_token(context: Tensor, mask: Tensor | None) -> Tensor:
    """The last real token of each text. context: (B, T, W); mask: bool (B, 1, 1, T). Returns (B, W).

    >>> context, mask = torch.arange(6.0).view(2, 3, 1), torch.tensor([[True, False, False], [True] * 3])
    >>> last_token(context, mask[:, None, None]).tolist(), last_token(context, None).tolist()
    ([[0.0], [5.0]], [[2.0], [5.0]])
    """
    if mask is None:
        return context[:, -1]  # (B, W)
    rows = torch.arange(context.shape[0], device=context.device)
    return context[rows, mask.flatten(1).sum(1) - 1]  # (B, W)


def group_norm(channels: int, groups: int, epsilon: float) -> nn.GroupNorm:
    """Each group of channels to mean 0 and variance 1, image by image; refuses unequal groups.

    >>> group_norm(6, 4, 1e-6)
    Traceback (most recent call last):
    ValueError: channels 6 is not divisible by groups 4
    """
    check_divisible("channels", channels, "groups", groups)
    return nn.GroupNorm(groups, channels, eps=epsilon)


def zero_init(layer: nn.Module) -> nn.Module:
    """The layer, its weights and biases set to 0: a residual branch that ends in it adds 0 at first.

    >>> layer = zero_init(nn.Linear(2, 1))
    >>> layer.weight.tolist(), layer.bias.tolist()
    ([[0.0, 0.0]], [0.0])
    """
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
