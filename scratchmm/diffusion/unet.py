"""The UNet: down to few cells and up again, and at every size what went down is beside what comes up.

Given a noisy image and how far the noise has come, it says something of the image's shape: the
noise in it (ddpm.py). A skip carries each grid of the way down to the block that makes it again.

Papers: Denoising Diffusion Probabilistic Models (Ho et al. 2020, arXiv 2006.11239), appendix B;
the form from U-Net (Ronneberger et al. 2015, arXiv 1505.04597), figure 1.
Dimensions: B batch, C channels and X x Y cells (height, width), of the image or a grid inside;
E width of the embedded time.
Differs from the papers: no dropout.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.checks import check_channels, check_divisible
from scratchmm.layers.embeddings import cosines_first, timestep_embedding
from scratchmm.layers.image_blocks import (
    Downsample,
    ResidualBlock2d,
    SelfAttention2d,
    Upsample,
    group_norm,
)
from scratchmm.layers.tracing import channels_last
from scratchmm.sentences import check_sizes


@dataclass(frozen=True)
class UNetConfig:
    """The sizes of a UNet.

    Attention stands behind each block of the levels `attended`, and in the middle always.

    >>> UNetConfig(widths=(8, 16), attended=(2,))
    Traceback (most recent call last):
    ValueError: there is no level 2 to look around on: 2 widths make levels 0 to 1
    """

    channels: int = 3  # of the image
    widths: tuple[int, ...] = (128, 256, 256, 256)  # channels of each level, each half as large
    depth: int = 2  # blocks of a level on the way down; one more on the way up
    attended: tuple[int, ...] = (1,)  # levels with attention behind each block; 0 is the largest
    head_width: int | None = None  # of attention; None: one head over all channels
    groups: int = 32  # of group norm
    epsilon: float = 1e-6  # of group norm
    cosines_first: bool = False  # in the embedded timestep; if not, sines come first
    frequency_shift: int = 1  # 1: its slowest sine has the speed 1 / 10000 exactly; 0: a faster one
    centred: bool = False  # zeros around a grid that is halved; if not, at the right and the bottom

    def __post_init__(self) -> None:
        check_sizes(self, zero=("attended", "frequency_shift", "depth"))
        for level in self.attended:
            if not 0 <= level < len(self.widths):
                raise ValueError(
                    f"there is no level {level} to look around on: {len(self.widths)} widths make "
                    f"levels 0 to {len(self.widths) - 1}"
                )
        if self.frequency_shift not in (0, 1):
            raise ValueError(f"frequency shift {self.frequency_shift} is neither 0 nor 1")

    @property
    def time_width(self) -> int:
        """Width of the embedded time."""
        return 4 * self.widths[0]

    @property
    def shrink(self) -> int:
        """Pixels, in height and in width, to one cell of the smallest grid."""
        return 2 ** (len(self.widths) - 1)


def tiny() -> UNetConfig:
    """A size for tests: two levels, attention on the smaller one."""
    return UNetConfig(widths=(8, 16), depth=1, head_width=8, groups=4)


def ddpm_cifar10() -> UNetConfig:
    """DDPM's UNet for images of 32 x 32 (google/ddpm-cifar10-32): 35,746,307 parameters."""
    return UNetConfig()


class TimeEmbedding(nn.Module):
    """Timesteps as clock hands, then a small network: what every block hears.

    clock: the function from (B,) and a width to the hands (B, width).

    >>> TimeEmbedding(8, 32)(torch.tensor([0, 999])).shape
    torch.Size([2, 32])
    """

    def __init__(
        self, width: int, outputs: int, clock: Callable[[Tensor, int], Tensor] = timestep_embedding
    ) -> None:
        super().__init__()
        self.clock = clock
        self.expand = nn.Linear(width, outputs)
        self.mix = nn.Linear(outputs, outputs)

    def forward(self, timesteps: Tensor) -> Tensor:
        """timesteps: (B,) of any real dtype. Returns (B, E)."""
        hands = self.clock(timesteps, self.expand.in_features).to(self.expand.weight.dtype)
        return self.mix(F.silu(self.expand(hands)))  # (B, E)


def sinusoids(timesteps: Tensor, width: int, *, cosines: bool, shift: int) -> Tensor:
    """The timesteps as sines and cosines: (B,) to float64 (B, width), in any of the published ways.

    cosines: whether they come first; shift: 0 or 1, see `UNetConfig`.

    >>> sinusoids(torch.tensor([0]), 4, cosines=True, shift=1).tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    """
    embed = timestep_embedding if shift else cosines_first  # with sines first, with cosines first
    hands = embed(timesteps, width, torch.float64)  # a model of any dtype rounds once, to its own
    return hands if cosines != bool(shift) else hands.roll(width // 2, dims=-1)


class UNetLayer(nn.Module):
    """A residual block and, where there is one, a look around.

    >>> step = UNetLayer(ResidualBlock2d(4, 8, time_width=5, groups=2))
    >>> step(torch.zeros(1, 4, 6, 6), torch.zeros(1, 5)).shape
    torch.Size([1, 8, 6, 6])
    """

    def __init__(self, block: ResidualBlock2d, attention: nn.Module | None = None) -> None:
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, x: Tensor, time: Tensor, *words: Tensor | None) -> Tensor:
        """x: float (B, C, X, Y); time: float (B, E); words: what the attention takes besides x."""
        x = self.block(x, time)
        return x if self.attention is None else self.attention(x, *words)


class UNet(nn.Module):
    """Appendix B's network: noisy images and timesteps in, something of the images' shape out.

    `down`, `bottom` and `up` are its three parts, for those who add to what the skips carry. It
    says zero everywhere until it is trained.

    >>> model = UNet(tiny())
    >>> model(torch.zeros(2, 3, 8, 12), torch.tensor([0, 999])).shape
    torch.Size([2, 3, 8, 12])
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        first, last = config.widths[0], config.widths[-1]
        self.time = self.time_embedding()
        self.start = nn.Conv2d(config.channels, first, kernel_size=3, padding=1)
        self.falling, self.shrinking = nn.ModuleList(), nn.ModuleList()
        skips = self._build_down()
        self.middle = nn.ModuleList(
            [
                UNetLayer(self.block(last, last), self.attention(last, len(config.widths) - 1)),
                UNetLayer(self.block(last, last)),
            ]
        )
        self.rising, self.growing = nn.ModuleList(), nn.ModuleList()
        self._build_up(skips)
        self.norm = group_norm(first, config.groups, config.epsilon)
        self.end = nn.Conv2d(first, config.channels, kernel_size=3, padding=1)
        zero_init(self.end)

    def _build_down(self) -> list[int]:
        """Levels from the largest grid to the smallest. Returns the channels of every skip."""
        config, channels = self.config, self.config.widths[0]
        skips = [channels]
        for level, width in enumerate(config.widths):
            steps = nn.ModuleList()
            for _ in range(config.depth):
                steps.append(self.step(channels, width, level))
                channels = width
                skips.append(channels)
            self.falling.append(steps)
            if level < len(config.widths) - 1:
                self.shrinking.append(self.downsample(channels))
                skips.append(channels)
        return skips

    def _build_up(self, skips: list[int]) -> None:
        """Levels from the smallest grid to the largest; each step takes the last skip left."""
        config, channels = self.config, self.config.widths[-1]
        for level, width in reversed(list(enumerate(config.widths))):
            steps = nn.ModuleList()
            for _ in range(config.depth + 1):
                steps.append(self.step(channels + skips.pop(), width, level))
                channels = width
            self.rising.append(steps)
            if level > 0:
                self.growing.append(Upsample(channels))

    def step(self, channels: int, outputs: int, level: int) -> UNetLayer:
        """A block of a level, with attention where the config wants it."""
        attended = level in self.config.attended
        return UNetLayer(
            self.block(channels, outputs), self.attention(outputs, level) if attended else None
        )

    def block(self, channels: int, outputs: int) -> ResidualBlock2d:
        """A residual block that hears the time."""
        config = self.config
        block = ResidualBlock2d(channels, outputs, config.time_width, config.groups, config.epsilon)
        zero_init(block.second)
        return block

    def attention(self, channels: int, level: int) -> nn.Module:
        """The look around behind a block of a level; the middle is of the last one."""
        config = self.config
        heads = 1
        if config.head_width is not None:
            check_divisible("channels", channels, "a head's width of", config.head_width)
            heads = channels // config.head_width
        look = SelfAttention2d(channels, heads, config.groups, config.epsilon)
        zero_init(look.attention.output)
        return look

    def downsample(self, channels: int) -> Downsample:
        """The way from a level to the next smaller one."""
        return Downsample(channels, self.config.centred)

    def time_embedding(self) -> TimeEmbedding:
        """What makes one vector of a timestep."""
        config = self.config
        clock = partial(sinusoids, cosines=config.cosines_first, shift=config.frequency_shift)
        return TimeEmbedding(config.widths[0], config.time_width, clock)

    def forward(self, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """noisy: float (B, C, X, Y); timesteps: (B,), or one for all. Returns (B, C, X, Y)."""
        time = self.embed_time(noisy, timesteps)  # (B, E)
        x, skips = self.down(noisy, time)
        return self.up(self.bottom(x, time), skips, time)  # (B, C, X, Y)

    def embed_time(self, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """timesteps: (B,) or (), for noisy: float (B, C, X, Y), which it checks. Returns (B, E)."""
        check_channels("images", noisy.shape[1], self.config.channels)
        for side, size in zip(("height", "width"), noisy.shape[2:]):
            check_divisible(f"image {side}", size, "the UNet's shrinking,", self.config.shrink)
        batch = noisy.shape[0]
        if timesteps.dim() and timesteps.shape[0] != batch:
            raise ValueError(f"there are {timesteps.shape[0]} timesteps for {batch} images")
        return self.time(timesteps.expand(batch))  # (B, E)

    def down(
        self, noisy: Tensor, time: Tensor, *words: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """The way down: the smallest grid, and the grid behind every layer, first one first."""
        return self.fall(self.start(channels_last(noisy)), time, *words)

    def fall(self, x: Tensor, time: Tensor, *words: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """The way down behind its first convolution, whose grid x may have been added to."""
        skips = [x]
        for level, steps in enumerate(self.falling):
            for step in steps:  # type: ignore[attr-defined]
                x = step(x, time, *words)
                skips.append(x)
            if level < len(self.shrinking):
                x = self.shrinking[level](x)
                skips.append(x)
        return x, skips

    def bottom(self, x: Tensor, time: Tensor, *words: Tensor | None) -> Tensor:
        """Two blocks on the smallest grid, attention between them. x: float (B, C, X, Y)."""
        for step in self.middle:
            x = step(x, time, *words)
        return x

    def up(self, x: Tensor, skips: list[Tensor], time: Tensor, *words: Tensor | None) -> Tensor:
        """The way up, from the smallest grid x. Each step sees the last skip left beside its input.

        The caller's list of skips stays as it is.
        """
        left = list(skips)
        for level, steps in enumerate(self.rising):
            for step in steps:  # type: ignore[attr-defined]
                x = step(torch.cat([x, left.pop()], dim=1), time, *words)
            if level < len(self.growing):
                x = self.growing[level](x)
        return self.end(F.silu(self.norm(x)))


def zero_init(layer: nn.Module) -> None:
    """The last layer of a residual branch, so that the branch adds nothing at first (DDPM's code).

    >>> layer = nn.Linear(2, 1)
    >>> zero_init(layer)
    >>> layer.weight.tolist(), layer.bias.tolist()
    ([[0.0, 0.0]], [0.0])
    """
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
