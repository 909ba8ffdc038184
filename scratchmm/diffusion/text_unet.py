"""The UNet that reads: behind its residual blocks, every cell looks at every cell and at the words.

Paper: High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al. 2021,
arXiv 2112.10752), section 3.3 and appendix E.2.1; the gated feed-forward from GLU Variants Improve
Transformer (Shazeer 2020, arXiv 2002.05202), equation 6.
Dimensions: B batch, C channels of the image or of a grid, X x Y its cells (height, width), N
cells in all, T words, W width of the words, D width of a transformer block, H heads.
Differs from the paper: where asked (`hears_words`), the last word, which has read the others, is added
to the time, as SDXL (arXiv 2307.01952, section 2.2) adds its pooled text: it is heard sooner; and
(`places_words`) it is laid out over the first grid. What is added to the time is the same in every
cell, and "on the left" is to mean another thing in each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.unet import UNet, UNetConfig, zero_init
from scratchmm.layers.attention import MultiHeadAttention, padding_mask
from scratchmm.layers.image_blocks import group_norm
from scratchmm.layers.transformer import CrossAttentionBlock


@dataclass(frozen=True)
class TextUNetConfig(UNetConfig):
    """The sizes of a UNet that reads; those of UNetConfig, and of the words.

    `heads` counts the heads of attention, as the published models do, where UNetConfig's
    `head_width`, which is refused here (ValueError), says how wide they are.
    """

    channels: int = 4  # of the image, which is a grid of latents
    widths: tuple[int, ...] = (320, 640, 1280, 1280)  # channels of each level
    attended: tuple[int, ...] = (0, 1, 2)  # levels with a transformer block behind each block
    epsilon: float = 1e-5  # of group norm
    cosines_first: bool = True  # in the embedded time
    frequency_shift: int = 0  # of the slowest hand in the embedded time
    centred: bool = True  # zeros around a grid that is halved
    heads: int | tuple[int, ...] = 8  # of attention, on every level; or of each level
    word_width: int = 768  # of the encoded words
    hears_words: bool = False  # the last word is added to the time, so that every block hears it
    places_words: bool = False  # the last word also adds something of its own to each first cell
    linear: bool = False  # around a transformer block: Linear layers, or convolutions of kernel 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head_width is not None:
            raise ValueError(
                f"head_width is {self.head_width}, but a UNet that reads counts its heads: it has "
                f"heads={self.heads}"
            )
        if len(self.level_heads) != len(self.widths):
            raise ValueError(
                f"there are heads for {len(self.level_heads)} levels, and widths for "
                f"{len(self.widths)}"
            )

    @property
    def level_heads(self) -> tuple[int, ...]:
        """The heads of each level."""
        one = isinstance(self.heads, int)
        return (self.heads,) * len(self.widths) if one else tuple(self.heads)  # type: ignore


def tiny() -> TextUNetConfig:
    """A size for tests: two levels, words looked at on the smaller one."""
    return TextUNetConfig(
        channels=3, widths=(8, 16), depth=1, attended=(1,), groups=4, heads=2, word_width=10
    )


def stable_diffusion_v1() -> TextUNetConfig:
    """The UNet of Stable Diffusion 1.1 to 1.5: 859,520,964 parameters."""
    return TextUNetConfig()


def stable_diffusion_v2() -> TextUNetConfig:
    """The UNet of Stable Diffusion 2.0 and 2.1, heads 64 wide: 865,910,724 parameters.

    The models for 768 pixels say the velocity (`target="velocity"` in ddpm.py and ddim.py).
    """
    return TextUNetConfig(heads=(5, 10, 20, 20), word_width=1024, linear=True)


class GatedFeedForward(nn.Module):
    """GEGLU: a feed-forward network whose hidden numbers are let through by others.

    >>> GatedFeedForward(width=4, hidden=16)(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 2 * hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., D). Returns the same shape."""
        let_through, gate = self.expand(x).chunk(2, dim=-1)
        return self.contract(let_through * F.gelu(gate))


class SpatialTransformerBlock(CrossAttentionBlock):
    """A pre-norm block over cells: they look at each other, at the words, then think, with a gate.

    Queries, keys and values have no bias.

    >>> block = SpatialTransformerBlock(width=8, heads=2, word_width=6)
    >>> block(torch.zeros(1, 9, 8), context=torch.zeros(1, 5, 6)).shape
    torch.Size([1, 9, 8])
    """

    def __init__(self, width: int, heads: int, word_width: int) -> None:
        super().__init__(width, heads, 4 * width, context_width=word_width)
        self.attention = attention_without_bias(width, heads)
        self.cross_attention = attention_without_bias(width, heads, word_width)
        self.feed_forward = GatedFeedForward(width, 4 * width)  # type: ignore[assignment]


class PlacedWords(nn.Module):
    """What a sentence says of each cell: its vector times a matrix gives weights of plane waves.

    The waves are the first cosines down times the first across, as in a JPEG: a sum of them is any
    grid of `waves` x `waves` cells, and the same one, smooth, on a larger grid. At first, zero.

    >>> PlacedWords(word_width=6, channels=8)(torch.zeros(2, 6), (3, 5)).shape
    torch.Size([2, 8, 3, 5])
    """

    def __init__(self, word_width: int, channels: int, waves: int = 4) -> None:
        super().__init__()
        self.waves = waves
        self.weights = nn.Linear(word_width, channels * waves**2)
        zero_init(self.weights)

    def forward(self, last: Tensor, grid: Sequence[int]) -> Tensor:
        """last: (B, W), the sentence; grid: its height and width, X and Y. Returns (B, C, X, Y)."""
        down, across = (cosines(self.waves, size).to(last) for size in grid)
        weights = self.weights(last).unflatten(1, (-1, self.waves, self.waves))  # (B, C, K, K)
        return down.T @ weights @ across  # (B, C, X, Y)


def cosines(count: int, size: int) -> Tensor:
    """The first waves over `size` cells: cos(pi k (x + 1/2) / size), (count, size).

    >>> cosines(2, 2).round(decimals=4)
    tensor([[ 1.0000,  1.0000],
            [ 0.7071, -0.7071]])
    """
    middle = (torch.arange(size) + 0.5) / size
    return torch.cos(math.pi * torch.arange(count)[:, None] * middle)


class SpatialTransformer(nn.Module):
    """x + what a block over x's cells finds; between convolutions of kernel 1. At first, nothing.

    linear: Linear layers in place of the convolutions. They do the same, by other names and shapes.

    >>> layer = SpatialTransformer(8, heads=2, word_width=6, groups=4)
    >>> layer(torch.zeros(1, 8, 3, 5), torch.zeros(1, 7, 6)).shape
    torch.Size([1, 8, 3, 5])
    """

    def __init__(
        self, channels: int, heads: int, word_width: int, groups: int = 32, linear: bool = False
    ) -> None:
        super().__init__()
        self.norm = group_norm(channels, groups, epsilon=1e-6)
        cell_by_cell = nn.Linear if linear else partial(nn.Conv2d, kernel_size=1)
        self.start = cell_by_cell(channels, channels)
        self.block = SpatialTransformerBlock(channels, heads, word_width)
        self.end = cell_by_cell(channels, channels)
        self.linear = linear
        zero_init(self.end)

    def forward(self, x: Tensor, words: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, C, X, Y); words: (B, T, W); mask: bool, to (B, H, N, T). Returns (B, C, X, Y)."""
        if self.linear:
            cells = self.start(self.norm(x).flatten(2).transpose(1, 2))  # (B, N, C)
            cells = self.end(self.block(cells, context=words, context_mask=mask))  # (B, N, C)
            return x + cells.transpose(1, 2).unflatten(2, x.shape[2:])  # (B, C, X, Y)
        cells = self.start(self.norm(x)).flatten(2).transpose(1, 2)  # (B, N, C)
        cells = self.block(cells, context=words, context_mask=mask)  # (B, N, C)
        return x + self.end(cells.transpose(1, 2).unflatten(2, x.shape[2:]))  # (B, C, X, Y)


class TextUNet(UNet):
    """The UNet of Stable Diffusion: noisy latents, timesteps and encoded words in, noise out.

    >>> model, words = TextUNet(tiny()), torch.zeros(2, 5, 10)
    >>> model(torch.zeros(2, 3, 8, 12), torch.tensor([0, 999]), words).shape
    torch.Size([2, 3, 8, 12])
    """

    config: TextUNetConfig

    def __init__(self, config: TextUNetConfig) -> None:
        super().__init__(config)
        if config.hears_words:
            self.words = nn.Linear(config.word_width, config.time_width)
        if config.places_words:
            self.placed = PlacedWords(config.word_width, config.widths[0])

    def attention(self, channels: int, level: int) -> nn.Module:
        """The look around, and at the words, behind a block of a level."""
        config = self.config
        heads = config.level_heads[level]
        return SpatialTransformer(channels, heads, config.word_width, config.groups, config.linear)

    def forward(  # type: ignore[override]
        self, noisy: Tensor, timesteps: Tensor, words: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """noisy: float (B, C, X, Y); timesteps: (B,), or one for all. Returns (B, C, X, Y).

        words: float (B, T, W), encoded; mask: bool (B, T), True where a word may be looked at.
        """
        heard = self.hear(noisy, timesteps, words, mask)
        x, skips = self.down(noisy, *heard)
        return self.up(self.bottom(x, *heard), skips, *heard)  # (B, C, X, Y)

    def hear(
        self, noisy: Tensor, timesteps: Tensor, words: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What `down`, `bottom` and `up` take besides a grid: the embedded time, words, their mask."""
        if words.shape[-1] != self.config.word_width:
            raise ValueError(
                f"the words have width {words.shape[-1]}, but this model takes "
                f"{self.config.word_width}"
            )
        time = self.embed_time(noisy, timesteps)  # (B, E)
        seen = None if mask is None else padding_mask(mask)  # (B, 1, 1, T)
        if self.config.hears_words:
            time = time + self.words(last_of(words, seen))  # (B, E)
        return time, words, seen

    def fall(  # type: ignore[override]
        self, x: Tensor, time: Tensor, words: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """The way down behind its first convolution, to whose grid the placed words are added."""
        if self.config.places_words:
            x = x + self.placed(last_of(words, mask), x.shape[2:])  # (B, C, X, Y)
        return super().fall(x, time, words, mask)


def last_of(words: Tensor, mask: Tensor | None) -> Tensor:
    """The last real word of each sentence. words: (B, T, W); mask: bool (B, 1, 1, T). Returns (B, W).

    >>> words, mask = torch.arange(6.0).view(2, 3, 1), torch.tensor([[True, False, False], [True] * 3])
    >>> last_of(words, mask[:, None, None]).tolist(), last_of(words, None).tolist()
    ([[0.0], [5.0]], [[2.0], [5.0]])
    """
    if mask is None:
        return words[:, -1]
    return words[
        torch.arange(words.shape[0], device=words.device), mask.flatten(1).sum(1) - 1
    ]  # (B, W)


def attention_without_bias(
    width: int, heads: int, context_width: int | None = None
) -> MultiHeadAttention:
    """Attention whose queries, keys and values have no bias; its output has one.

    >>> sorted(dict(attention_without_bias(4, 2).named_parameters()))
    ['key.weight', 'output.bias', 'output.weight', 'query.weight', 'value.weight']
    """
    attention = MultiHeadAttention(width, heads, context_width, bias=False)
    attention.output = nn.Linear(width, width)
    return attention
