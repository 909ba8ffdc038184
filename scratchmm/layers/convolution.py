"""Residual blocks of convolutions: what a block adds to its input is easier to learn than all of it.

Paper: Deep Residual Learning for Image Recognition (He et al. 2015, arXiv 1512.03385), section 3
and figure 5: the basic block on the left, the bottleneck on the right.
Dimensions: B batch, C channels; behind them one to three axes of space or time.
Differs from the paper: a bottleneck that shrinks does so in its middle convolution, which sees all
of its input, and not in the first, which would skip three numbers of four. Published weights are
of this kind ("version 1.5").
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class NormedConvolution(nn.Module):
    """A convolution whose output is batch-normed; padded, so that stride 1 keeps the size.

    It has no bias: the norm would subtract it. kernel is odd; dims: axes it slides along.

    >>> NormedConvolution(3, 8, kernel=3, stride=2)(torch.zeros(2, 3, 9, 12)).shape
    torch.Size([2, 8, 5, 6])
    >>> NormedConvolution(3, 8, kernel=5, dims=1)(torch.zeros(2, 3, 9)).shape
    torch.Size([2, 8, 9])
    """

    def __init__(
        self, channels: int, outputs: int, kernel: int, stride: int = 1, dims: int = 2
    ) -> None:
        super().__init__()
        check_convolution(kernel, dims)
        self.convolution = CONVOLUTIONS[dims](
            channels, outputs, kernel, stride, padding=kernel // 2, bias=False
        )
        # Keeps the variance of what passes a ReLU, seen from the output (He et al. 2015,
        # arXiv 1502.01852, equation 14).
        nn.init.kaiming_normal_(self.convolution.weight, mode="fan_out", nonlinearity="relu")
        self.norm = NORMS[dims](outputs)

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, ...). Returns (B, outputs, ...)."""
        return self.norm(convolve(self.convolution, x))


def convolve(layer: nn.Module, x: Tensor) -> Tensor:
    """layer(x), for a convolution; in float32 where torch's gradient in bfloat16 is wrong.

    On CPUs with instructions for bfloat16, torch 2.13 reads memory that nobody wrote for the gradient
    of the weights, over 2 frames or images 1 wide: numbers of 1e30, or nan. So none over time is
    done in bfloat16 there, nor any of images that thin. x: (B, C, ...). Returns (B, outputs, ...).

    >>> layer, x = nn.Conv3d(3, 8, 3, padding=1), torch.zeros(1, 3, 2, 4, 4)
    >>> with torch.autocast("cpu", dtype=torch.bfloat16):
    ...     convolve(layer, x).dtype
    torch.float32
    """
    half = x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    if x.device.type != "cpu" or not half or (x.ndim < 5 and min(x.shape[2:]) > 1):
        return layer(x)
    with torch.autocast("cpu", enabled=False):
        weight = layer.weight.float()  # type: ignore[operator,union-attr]
        bias = None if layer.bias is None else layer.bias.float()  # type: ignore[operator,union-attr]
        exact = layer._conv_forward(x.float(), weight, bias)  # type: ignore[operator]
    return exact.to(layer.weight.dtype)  # type: ignore[arg-type]


class ResidualBlock(nn.Module):
    """The basic block: relu(shortcut + norm(conv(relu(norm(conv(x)))))), kernels of 3.

    The shortcut is x itself, unless channels or stride change the shape: then it is a convolution
    of kernel 1 with a norm.

    >>> ResidualBlock(4, 8, stride=2)(torch.zeros(2, 4, 6, 10)).shape
    torch.Size([2, 8, 3, 5])
    """

    def __init__(self, channels: int, outputs: int, stride: int = 1, dims: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                NormedConvolution(channels, outputs, 3, stride, dims),
                NormedConvolution(outputs, outputs, 3, dims=dims),
            ]
        )
        self.shortcut = shortcut(channels, outputs, stride, dims)

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, ...). Returns (B, outputs, ...), smaller by the stride."""
        return residual(self.layers, self.shortcut, x)


class BottleneckBlock(nn.Module):
    """The deep block: kernel 1 to a quarter of the channels, kernel 3 there, kernel 1 back.

    >>> BottleneckBlock(4, 8, stride=2)(torch.zeros(2, 4, 6, 10)).shape
    torch.Size([2, 8, 3, 5])
    """

    def __init__(self, channels: int, outputs: int, stride: int = 1, dims: int = 2) -> None:
        super().__init__()
        if outputs % 4:
            raise ValueError(f"{outputs} channels are not divisible by 4, a bottleneck's narrowing")
        self.layers = nn.ModuleList(
            [
                NormedConvolution(channels, outputs // 4, 1, dims=dims),
                NormedConvolution(outputs // 4, outputs // 4, 3, stride, dims),
                NormedConvolution(outputs // 4, outputs, 1, dims=dims),
            ]
        )
        self.shortcut = shortcut(channels, outputs, stride, dims)

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, ...). Returns (B, outputs, ...), smaller by the stride."""
        return residual(self.layers, self.shortcut, x)


def residual(layers: Iterable[nn.Module], shortcut: nn.Module, x: Tensor) -> Tensor:
    """relu(shortcut(x) + the layers one after the other, a ReLU behind each but the last).

    >>> residual([nn.Identity(), nn.Identity()], nn.Identity(), torch.tensor([3.0, -3.0]))
    tensor([6., 0.])
    """
    *first, last = layers
    inner = x
    for layer in first:
        inner = F.relu(layer(inner), inplace=True)
    # In place, since nothing else holds what the norm gave: no copies of large feature grids.
    return F.relu(last(inner).add_(shortcut(x)), inplace=True)


def shortcut(channels: int, outputs: int, stride: int, dims: int) -> nn.Module:
    """What a block's output is added to: the input, or its projection where the shape changes.

    >>> shortcut(4, 4, stride=1, dims=2)
    Identity()
    """
    if channels == outputs and stride == 1:
        return nn.Identity()
    return NormedConvolution(channels, outputs, 1, stride, dims)


def check_convolution(kernel: int, dims: int) -> None:
    """Refuse an even kernel, which has no middle, and axes that torch cannot slide along.

    >>> check_convolution(4, 2)
    Traceback (most recent call last):
    ValueError: kernel 4 is even: it has no middle to keep the size by
    """
    if kernel % 2 == 0:
        raise ValueError(f"kernel {kernel} is even: it has no middle to keep the size by")
    if dims not in CONVOLUTIONS:
        raise ValueError(f"a convolution slides along 1, 2 or 3 axes, not {dims}")
