"""What diffusion's networks for images are made of: residual blocks that hear the time, attention.

Papers: Denoising Diffusion Probabilistic Models (Ho et al. 2020, arXiv 2006.11239), appendix B;
group norm from Group Normalization (Wu and He 2018, arXiv 1803.08494), the residual block from Wide
Residual Networks (Zagoruyko and Komodakis 2016, arXiv 1605.07146), figure 1 (d).
Dimensions: B batch, C channels, D channels of the output, E width of the time, X x Y cells of the
grid (height, width), N cells in all.
Differs from the papers: no dropout.
"""

import torch  # noqa: F401  (for the examples)
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.attention import MultiHeadAttention
from scratchmm.layers.checks import check_divisible


class ResidualBlock2d(nn.Module):
    """shortcut(x) + conv(silu(norm(conv(silu(norm(x))) + time))), kernels of 3: same height, width.

    The time is one number a channel, the same at every cell: linear(silu(embedded time)). time_width:
    of the embedded time, or None for a block without. The shortcut is x, or a convolution of kernel
    1 where outputs differ.

    >>> x = torch.zeros(2, 4, 6, 10)
    >>> ResidualBlock2d(4, 8, time_width=5, groups=2)(x, torch.zeros(2, 5)).shape
    torch.Size([2, 8, 6, 10])
    >>> ResidualBlock2d(4, 4, groups=2)(x).shape
    torch.Size([2, 4, 6, 10])
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        time_width: int | None = None,
        groups: int = 32,
        epsilon: float = 1e-6,
    ) -> None:
        super().__init__()
        self.first_norm = group_norm(channels, groups, epsilon)
        self.first = nn.Conv2d(channels, outputs, kernel_size=3, padding=1)
        self.time = None if time_width is None else nn.Linear(time_width, outputs)
        self.second_norm = group_norm(outputs, groups, epsilon)
        self.second = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1)
        changes = channels != outputs
        self.shortcut = nn.Conv2d(channels, outputs, kernel_size=1) if changes else nn.Identity()

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x: float (B, C, X, Y); time: float (B, E), where the block takes one: (B, D, X, Y) out.

        Raises ValueError where the block takes a time and gets none.
        """
        inner = self.first(F.silu(self.first_norm(x)))  # (B, D, X, Y)
        if self.time is not None:
            if time is None:
                raise ValueError(
                    f"this block adds an embedded time of width {self.time.in_features} and got none"
                )
            inner = inner + self.time(F.silu(time))[:, :, None, None]  # (B, D, X, Y)
        inner = self.second_norm(inner)  # (B, D, X, Y)
        inner = self.second(F.silu(inner))  # (B, D, X, Y)
        return self.shortcut(x) + inner  # (B, D, X, Y)


class SelfAttention2d(nn.Module):
    """x + attention(norm(x)), where every cell of the grid looks at every cell.

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
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.convolution(x)  # (B, C, 2 * X, 2 * Y)


def group_norm(channels: int, groups: int, epsilon: float) -> nn.GroupNorm:
    """Each group of channels to mean 0 and variance 1, image by image; refuses unequal groups.

    >>> group_norm(6, 4, 1e-6)
    Traceback (most recent call last):
    ValueError: channels 6 is not divisible by groups 4
    """
    check_divisible("channels", channels, "groups", groups)
    return nn.GroupNorm(groups, channels, eps=epsilon)
