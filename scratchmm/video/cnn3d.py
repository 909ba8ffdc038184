"""3D-CNN: convolutions over time as well as over height and width, whose features encode motion.

Papers: Learning Spatiotemporal Features with 3D Convolutional Networks (C3D; Tran et al. 2014,
arXiv 1412.0767), section 3: kernels of 3 x 3 x 3 everywhere, and a first pooling that keeps all
frames; A Closer Look at Spatiotemporal Convolutions (Tran et al. 2017, arXiv 1711.11248), table 1,
left: the residual one, R3D.
Dimensions: B batch, F frames, C channels, H x W places of the image, K classes.
Differs from the paper: C3D's fully connected layers, which fix frames, height and width, give way
to the mean over time and space, and each of its convolutions is batch-normed. Both networks are
small by default: three stages.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.checks import check_channels
from scratchmm.layers.convolution import NormedConvolution, ResidualBlock, convolve
from scratchmm.layers.tracing import channels_last
from scratchmm.sentences import check_sizes


@dataclass(frozen=True)
class CNN3DConfig:
    """The sizes of a 3D-CNN.

    >>> CNN3DConfig(classes=8, channels=(16, 32), depths=(1, 1, 1))
    Traceback (most recent call last):
    ValueError: 2 numbers of channels and 3 depths do not make stages: each stage has one of both
    """

    classes: int  # of the classifier
    channels: tuple[int, ...] = (16, 32, 64)  # of each stage's output
    depths: tuple[int, ...] = (1, 1, 1)  # convolutions (plain) or blocks (residual) of each stage
    residual: bool = True  # R3D's blocks, or C3D's convolutions and poolings
    image_channels: int = 3  # of the clips

    def __post_init__(self) -> None:
        check_sizes(self)
        if len(self.channels) != len(self.depths):
            raise ValueError(
                f"{len(self.channels)} numbers of channels and {len(self.depths)} depths "
                "do not make stages: each stage has one of both"
            )

    @property
    def steps_in_time(self) -> list[tuple[int, int]]:
        """Kernel and stride over time of each layer with a kernel over time, first to last."""
        steps: list[tuple[int, int]] = [(3, 1)] if self.residual else []
        for index, depth in enumerate(self.depths):
            if self.residual:
                steps += [(3, 2 if index else 1)] + [(3, 1)] * (2 * depth - 1)
            else:
                steps += [(3, 1)] * depth + [(2, 2) if index else (1, 1)]
        return steps


def tiny() -> CNN3DConfig:
    """A size for tests.

    >>> temporal_receptive_field(tiny().steps_in_time)
    13
    """
    return CNN3DConfig(5, channels=(8, 12), depths=(1, 1))


def r3d_18() -> CNN3DConfig:
    """R3D-18 with the 400 classes of Kinetics: 33,371,472 parameters."""
    return CNN3DConfig(400, channels=(64, 128, 256, 512), depths=(2, 2, 2, 2))


def channels_first(clips: Tensor) -> Tensor:
    """Clips (B, F, C, H, W) as torch's convolutions take them: (B, C, F, H, W).

    The axes are transposed; a reshape to that shape would mix pixels of different frames.

    >>> import torch
    >>> channels_first(torch.zeros(2, 16, 3, 32, 24)).shape
    torch.Size([2, 3, 16, 32, 24])
    """
    return clips.transpose(1, 2)  # (B, C, F, H, W)


def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution over time and space, padded to keep all sizes, written out in two dimensions.

    x: (B, C, F, H, W); weight: (D, C, T, Y, X), all three kernel sizes odd; bias: D numbers.
    Returns (B, D, F, H, W). Each offset in time has its own flat kernel: the frames that lie so far
    from each frame are convolved with it, and the results added. Beyond both ends are zeros.

    >>> import torch
    >>> x, weight = torch.randn(2, 3, 5, 8, 6), torch.randn(4, 3, 3, 3, 3)
    >>> torch.testing.assert_close(conv3d(x, weight), F.conv3d(x, weight, padding=1))
    """
    frames, (time, height, width) = x.shape[2], weight.shape[2:]
    padded = F.pad(x, (0, 0, 0, 0, time // 2, time // 2)).transpose(1, 2)
    total = x.new_zeros(()) if bias is None else bias[:, None, None]
    for offset in range(time):
        images = padded[:, offset : offset + frames].flatten(0, 1)  # (B * F, C, H, W)
        flat = weight[:, :, offset]  # (D, C, Y, X)
        total = total + F.conv2d(images, flat, padding=(height // 2, width // 2))
    return total.unflatten(0, (-1, frames)).transpose(1, 2)  # (B, D, F, H, W)


def temporal_receptive_field(layers: list[tuple[int, int]]) -> int:
    """How many frames one number of the last layer depends on.

    layers: kernel and stride over time of each, first to last. A kernel of k reaches k - 1 steps
    further, and a step is as many frames as all strides before it multiply to.

    >>> temporal_receptive_field([(3, 1), (3, 1)]), temporal_receptive_field([(3, 2), (3, 1)])
    (5, 7)
    """
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field


class ResidualStem(nn.Module):
    """R3D's first convolution, of 3 x 7 x 7: halves height and width, keeps all frames.

    >>> import torch
    >>> ResidualStem(3, 8)(torch.zeros(2, 3, 5, 32, 24)).shape
    torch.Size([2, 8, 5, 16, 12])
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(
            channels, outputs, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False
        )
        nn.init.kaiming_normal_(self.convolution.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, F, height, width). Returns (B, outputs, F, H, W), half as high and wide."""
        return F.relu(self.norm(convolve(self.convolution, x)), inplace=True)


class PlainStage(nn.Module):
    """C3D: convolutions of 3 x 3 x 3, an activation after each, and max pooling.

    pool_time: whether the pooling halves the frames too. What is left over at an end makes a box
    of its own, so that one frame stays one frame.

    >>> import torch
    >>> PlainStage(3, 8, depth=2, pool_time=True)(torch.zeros(2, 3, 5, 9, 6)).shape
    torch.Size([2, 8, 3, 5, 3])
    """

    def __init__(self, channels: int, outputs: int, depth: int, pool_time: bool) -> None:
        super().__init__()
        self.box = (2 if pool_time else 1, 2, 2)
        self.layers = nn.ModuleList()
        for index in range(depth):
            before = outputs if index else channels
            self.layers.append(NormedConvolution(before, outputs, kernel=3, dims=3))

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, F, H, W). Returns (B, outputs, frames, height, width), smaller."""
        for layer in self.layers:
            x = F.relu(layer(x), inplace=True)
        return F.max_pool3d(x, self.box, ceil_mode=True)


class CNN3D(nn.Module):
    """Clips of any number of frames, any height and width, to classes.

    >>> import torch
    >>> clips = torch.zeros(2, 4, 3, 16, 12)
    >>> CNN3D(tiny())(clips).shape, CNN3D(CNN3DConfig(7, residual=False))(clips).shape
    (torch.Size([2, 5]), torch.Size([2, 7]))
    """

    def __init__(self, config: CNN3DConfig) -> None:
        super().__init__()
        self.config = config
        first, channels = config.channels[0], config.image_channels
        self.stages = nn.ModuleList()
        if config.residual:
            self.stages.append(ResidualStem(channels, first))
            channels = first
        for index, (outputs, depth) in enumerate(zip(config.channels, config.depths)):
            self.stages.append(self.stage(index, channels, outputs, depth))
            channels = outputs
        self.head = nn.Linear(channels, config.classes)

    def stage(self, index: int, channels: int, outputs: int, depth: int) -> nn.Module:
        """The first stage keeps all frames; each of the others halves their number."""
        if not self.config.residual:
            return PlainStage(channels, outputs, depth, pool_time=index > 0)
        blocks = [ResidualBlock(channels, outputs, stride=2 if index else 1, dims=3)]
        blocks += [ResidualBlock(outputs, outputs, dims=3) for _ in range(depth - 1)]
        return nn.Sequential(*blocks)

    def grid(self, clips: Tensor) -> Tensor:
        """clips: float (B, F, C, height, width). Returns the last stage's features (B, D, T, H, W):
        D channels at T x H x W places of the clip.
        """
        check_clips(clips, self.config.image_channels)
        x = channels_last(channels_first(clips))
        for stage in self.stages:
            x = stage(x)
        return x  # (B, D, T, H, W)

    def forward(self, clips: Tensor) -> Tensor:
        """clips: float (B, F, C, height, width). Returns logits (B, K): the mean over all places
        of the clip, and one Linear layer.
        """
        return self.head(self.grid(clips).mean(dim=(2, 3, 4)))  # (B, K)


def check_clips(clips: Tensor, channels: int) -> None:
    """Refuse what is no batch of clips (B, F, C, H, W) of that many channels.

    >>> import torch
    >>> check_clips(torch.zeros(3, 32, 32), 3)
    Traceback (most recent call last):
    ValueError: 3 axes are not (batch, frames, channels, height, width)
    """
    if clips.ndim != 5:
        raise ValueError(f"{clips.ndim} axes are not (batch, frames, channels, height, width)")
    if clips.shape[1] == 0:
        raise ValueError("a clip of 0 frames has nothing to see")
    check_channels("frames", clips.shape[2], channels)
