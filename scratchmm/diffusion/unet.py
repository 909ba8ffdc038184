"""The UNet of diffusion: an encoder to a small grid, a decoder back, skips between equal sizes.

Given a noisy image and its timestep it predicts the noise, the clean image or the velocity
(process.py). A skip carries the output of each encoder block to the decoder block of its size.

Papers: Denoising Diffusion Probabilistic Models (Ho et al. 2020, arXiv 2006.11239), appendix B;
U-Net (Ronneberger et al. 2015, arXiv 1505.04597), figure 1; High-Resolution Image Synthesis with
Latent Diffusion Models (Rombach et al. 2021, arXiv 2112.10752), section 3.3, for the context.
Dimensions: B batch, C channels and X x Y cells (height, width), of the image or of a grid inside;
D channels of the first grid, E width of the time embedding, T tokens of the context, W their width.
Differs from the papers: no dropout. Where asked (`adds_pooled_text`), the last token of the context
is added to the time embedding, as SDXL (arXiv 2307.01952, section 2.2) adds its pooled text; and
(`places_words`) it is laid out over the first grid: what is added to the time is the same in every
cell, but "on the left" is to mean another thing in each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.unet_blocks import (
    Downsample,
    PlacedWords,
    ResidualBlock2d,
    SelfAttention2d,
    SpatialTransformer,
    TimeEmbedding,
    Upsample,
    group_norm,
    last_token,
    zero_init,
)
from scratchmm.layers.attention import padding_mask
from scratchmm.layers.checks import check_channels, check_divisible
from scratchmm.layers.tracing import channels_last
from scratchmm.sentences import check_sizes


@dataclass(frozen=True)
class UNetConfig:
    """The sizes of a UNet, with a context (such as text) to attend to or without one.

    >>> UNetConfig(widths=(8, 16), attended=(2,))
    Traceback (most recent call last):
    ValueError: there is no level 2 to attend on: 2 widths make levels 0 to 1
    """

    channels: int = 3  # of the image, or of the latents
    widths: tuple[int, ...] = (128, 256, 256, 256)  # channels of each level, each half as large
    depth: int = 2  # residual blocks of a level in the encoder; one more in the decoder
    attended: tuple[int, ...] = (1,)  # levels with attention behind each block; 0 is the largest
    heads: int | tuple[int, ...] = 1  # of attention, on every level; or of each level
    head_width: int | None = None  # of attention, in place of the number of heads
    groups: int = 32  # of group norm
    epsilon: float = 1e-6  # of group norm
    flip_sin_to_cos: bool = False  # in the timestep's sinusoids, cosines come first
    frequency_shift: int = 1  # of the timestep's sinusoids: see `timestep_embedding`
    centred: bool = False  # zeros around a grid that is halved; if not, at the right and the bottom
    context_width: int | None = None  # of the tokens of the context; None: there is no context
    adds_pooled_text: bool = False  # the last token of the context is added to the time embedding
    places_words: bool = False  # the last token also adds something of its own to each first cell
    linear: bool = False  # around a spatial transformer: Linear layers, or convolutions of kernel 1

    def __post_init__(self) -> None:
        check_config(self)

    @property
    def level_heads(self) -> tuple[int, ...]:
        """Heads of attention on each level."""
        if self.head_width is not None:
            return tuple(width // self.head_width for width in self.widths)
        return (self.heads,) * len(self.widths) if isinstance(self.heads, int) else self.heads

    @property
    def time_width(self) -> int:
        """Width of the time embedding."""
        return 4 * self.widths[0]


def tiny() -> UNetConfig:
    """A size for tests: two levels, attention on the smaller one."""
    return UNetConfig(widths=(8, 16), depth=1, head_width=8, groups=4)


def tiny_with_context() -> UNetConfig:
    """A size for tests: as `tiny`, with a context of width 10 and Stable Diffusion's conventions."""
    sizes: dict[str, Any] = {"channels": 3, "widths": (8, 16), "depth": 1, "attended": (1,)}
    return replace(stable_diffusion_v1(), **sizes, groups=4, heads=2, context_width=10)


def ddpm_cifar10() -> UNetConfig:
    """DDPM's UNet for images of 32 x 32 (google/ddpm-cifar10-32): 35,746,307 parameters."""
    return UNetConfig()


def stable_diffusion_v1() -> UNetConfig:
    """The UNet of Stable Diffusion 1.1 to 1.5: 859,520,964 parameters."""
    return UNetConfig(
        channels=4,
        widths=(320, 640, 1280, 1280),
        attended=(0, 1, 2),
        heads=8,
        epsilon=1e-5,
        flip_sin_to_cos=True,
        frequency_shift=0,
        centred=True,
        context_width=768,
    )


def stable_diffusion_v2() -> UNetConfig:
    """The UNet of Stable Diffusion 2.0 and 2.1, heads 64 wide: 865,910,724 parameters.

    The models for 768 pixels predict the velocity (`target="velocity"` in the samplers).
    """
    return replace(stable_diffusion_v1(), heads=(5, 10, 20, 20), context_width=1024, linear=True)


class UNetBlock(nn.Module):
    """A residual block, then attention if any, then a change of size if any.

    >>> block = UNetBlock(ResidualBlock2d(4, 8, time_width=5, groups=2), resize=Upsample(8))
    >>> block(torch.zeros(1, 4, 6, 6), torch.zeros(1, 5)).shape
    torch.Size([1, 8, 12, 12])
    """

    def __init__(
        self, residual: ResidualBlock2d | None = None, attention: nn.Module | None = None,
        resize: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.residual, self.attention, self.resize = residual, attention, resize

    def forward(self, x: Tensor, time: Tensor, *context: Tensor | None) -> Tensor:
        """x: float (B, C, X, Y); time: float (B, E); context: what attention takes besides x."""
        x = x if self.residual is None else self.residual(x, time)
        x = x if self.attention is None else self.attention(x, *context)
        return x if self.resize is None else self.resize(x)


class UNetEncoder(nn.Module):
    """The encoder and the middle of a UNet, of which a ControlNet has a copy.

    `skip_channels` are the channels of all skips, the first one first.

    >>> encoder = UNetEncoder(tiny())
    >>> noisy = torch.zeros(2, 3, 8, 12)
    >>> x, skips = encoder.encode(noisy, *encoder.embed_conditions(noisy, torch.tensor([0, 999])))
    >>> [tuple(skip.shape[1:]) for skip in skips], encoder.skip_channels
    ([(8, 8, 12), (8, 8, 12), (8, 4, 6), (16, 4, 6)], [8, 8, 8, 16])
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        first, last, lowest = config.widths[0], config.widths[-1], len(config.widths) - 1
        self.time_embedding = TimeEmbedding(
            first, config.time_width, config.flip_sin_to_cos, config.frequency_shift
        )
        if config.context_width is not None and config.adds_pooled_text:
            self.pooled_text = nn.Linear(config.context_width, config.time_width)
        if config.context_width is not None and config.places_words:
            self.placed_words = PlacedWords(config.context_width, first)
        self.conv_in = nn.Conv2d(config.channels, first, kernel_size=3, padding=1)
        self.down_blocks, self.skip_channels = nn.ModuleList(), [first]
        for level, width in enumerate(config.widths):
            for _ in range(config.depth):
                attends, channels = level in config.attended, self.skip_channels[-1]
                self.down_blocks.append(unet_block(config, channels, level, attends))
                self.skip_channels.append(width)
            if level < lowest:
                self.down_blocks.append(UNetBlock(resize=Downsample(width, config.centred)))
                self.skip_channels.append(width)
        middle = [unet_block(config, last, lowest, attends) for attends in (True, False)]
        self.middle_blocks = nn.ModuleList(middle)

    def embed_conditions(
        self, noisy: Tensor, timesteps: Tensor, context: Tensor | None = None,
        mask: Tensor | None = None, time: Tensor | float = 0.0,
    ) -> tuple[Any, ...]:  # fmt: skip
        """What every block takes besides its grid: the time embedding (B, E), the context, its mask.

        Arguments: see `UNet.forward`.
        """
        check_inputs(self.config, noisy, timesteps, context)
        embedded = self.time_embedding(timesteps.expand(noisy.shape[0])) + time  # (B, E)
        if context is None:
            return (embedded,)
        mask = None if mask is None else padding_mask(mask)  # (B, 1, 1, T)
        if self.config.adds_pooled_text:
            embedded = embedded + self.pooled_text(last_token(context, mask))  # (B, E)
        return embedded, context, mask

    def encode(
        self, noisy: Tensor, *conditions: Any, hint: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """The smallest grid, and a skip behind every block, the first one first.

        noisy: float (B, C, X, Y). hint: added behind the first convolution.
        """
        x = self.conv_in(channels_last(noisy))  # (B, D, X, Y)
        x = x if hint is None else x + hint  # (B, D, X, Y)
        if self.config.places_words:
            x = x + self.placed_words(last_token(*conditions[1:]), x.shape[2:])  # (B, D, X, Y)
        skips = [x]
        for block in self.down_blocks:
            x = block(x, *conditions)
            skips.append(x)
        return x, skips

    def middle(self, x: Tensor, *conditions: Any) -> Tensor:
        """Two blocks on the smallest grid, attention between them. x: float (B, C, X, Y)."""
        for block in self.middle_blocks:
            x = block(x, *conditions)
        return x


class UNet(nn.Module):
    """Noisy images and timesteps in, a prediction of the images' shape out; 0 until it is trained.

    >>> model, context = UNet(tiny_with_context()), torch.zeros(2, 5, 10)
    >>> model(torch.zeros(2, 3, 8, 12), torch.tensor([0, 999]), context).shape
    torch.Size([2, 3, 8, 12])
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = UNetEncoder(config)
        self.up_blocks = nn.ModuleList()
        skips, channels = list(self.encoder.skip_channels), config.widths[-1]
        for level, width in reversed(list(enumerate(config.widths))):
            for index in range(config.depth + 1):
                attends, inputs = level in config.attended, channels + skips.pop()
                resize = Upsample(width) if level > 0 and index == config.depth else None
                self.up_blocks.append(unet_block(config, inputs, level, attends, resize))
                channels = width
        self.norm_out = group_norm(channels, config.groups, config.epsilon)
        self.conv_out = zero_init(nn.Conv2d(channels, config.channels, kernel_size=3, padding=1))

    def forward(
        self, noisy: Tensor, timesteps: Tensor, context: Tensor | None = None,
        mask: Tensor | None = None, *, time: Tensor | float = 0.0,
    ) -> Tensor:  # fmt: skip
        """noisy: float (B, C, X, Y); timesteps: (B,), or one for all. Returns (B, C, X, Y).

        context: float (B, T, W), where the config has a width for one; mask: bool (B, T), True on
        real tokens. time: float (B, E), added to the time embedding.
        """
        conditions = self.encoder.embed_conditions(noisy, timesteps, context, mask, time)
        x, skips = self.encoder.encode(noisy, *conditions)
        return self.decode(self.encoder.middle(x, *conditions), skips, *conditions)  # (B, C, X, Y)

    def decode(self, x: Tensor, skips: Sequence[Tensor], *conditions: Any) -> Tensor:
        """From the smallest grid x up: each block takes its input and the last skip left.

        The caller's list of skips stays as it is. Returns (B, C, X, Y).
        """
        left = list(skips)
        for block in self.up_blocks:
            x = block(torch.cat([x, left.pop()], dim=1), *conditions)
        return self.conv_out(F.silu(self.norm_out(x)))


def unet_block(
    config: UNetConfig, channels: int, level: int, attends: bool, resize: nn.Module | None = None
) -> UNetBlock:
    """A block of a level, with attention or without. Its residual block adds 0 at first.

    >>> unet_block(tiny(), 8, level=1, attends=True).attention.attention.heads
    2
    """
    width, groups = config.widths[level], config.groups
    residual = ResidualBlock2d(channels, width, config.time_width, groups, config.epsilon)
    zero_init(residual.second)
    return UNetBlock(residual, spatial_attention(config, level) if attends else None, resize)


def spatial_attention(config: UNetConfig, level: int) -> SelfAttention2d | SpatialTransformer:
    """Attention of a level: over its cells, and over the context if there is one; adds 0 at first.

    >>> type(spatial_attention(tiny_with_context(), 1)).__name__
    'SpatialTransformer'
    """
    width, heads, groups = config.widths[level], config.level_heads[level], config.groups
    if config.context_width is not None:
        return SpatialTransformer(width, heads, config.context_width, groups, config.linear)
    attention = SelfAttention2d(width, heads, groups, config.epsilon)
    zero_init(attention.attention.output)
    return attention


def check_config(config: UNetConfig) -> None:
    """ValueError on sizes of a UNet that do not fit together."""
    check_sizes(config, zero=("attended", "frequency_shift", "depth"))
    levels, last = len(config.widths), len(config.widths) - 1
    for level in config.attended:
        if level > last:
            raise ValueError(
                f"there is no level {level} to attend on: {levels} widths make levels 0 to {last}"
            )
    if config.frequency_shift not in (0, 1):
        raise ValueError(f"frequency shift {config.frequency_shift} is neither 0 nor 1")
    if config.head_width is not None and config.heads != 1:
        raise ValueError(
            f"heads is {config.heads} and head_width is {config.head_width}: give one of them"
        )
    if config.head_width is not None:
        for level in {*config.attended, last}:
            check_divisible(
                "channels", config.widths[level], "a head's width of", config.head_width
            )
    if len(config.level_heads) != levels:
        raise ValueError(
            f"there are heads for {len(config.level_heads)} levels, and widths for {levels}"
        )
    for name in ("adds_pooled_text", "places_words", "linear"):
        if getattr(config, name) and config.context_width is None:
            raise ValueError(f"{name} is True, but context_width is None: there is no text")


def check_inputs(
    config: UNetConfig, noisy: Tensor, timesteps: Tensor, context: Tensor | None
) -> None:
    """ValueError on inputs of other sizes than the config's, or of other numbers than the images."""
    check_channels("images", noisy.shape[1], config.channels)
    factor = 2 ** (len(config.widths) - 1)
    for side, size in zip(("height", "width"), noisy.shape[2:]):
        check_divisible(f"image {side}", size, "the UNet's downsampling factor,", factor)
    if timesteps.dim() and timesteps.shape[0] != noisy.shape[0]:
        raise ValueError(f"there are {timesteps.shape[0]} timesteps for {noisy.shape[0]} images")
    width = None if context is None else context.shape[-1]
    if width != config.context_width:
        raise ValueError(
            f"the context has width {width}, but this UNet takes {config.context_width}"
        )
