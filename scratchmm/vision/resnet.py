"""ResNet: many small convolutions, each adding to what the last one left.

Paper: Deep Residual Learning for Image Recognition (He et al. 2015, arXiv 1512.03385), table 1
(18, 34 and 50 layers); for small images the beginning of section 4.2.
Dimensions: B batch, C channels of the image, D of the features, H x W places of the feature grid,
N places in all, K classes.
Differs from the paper: where the bottleneck shrinks, unless asked; see layers/convolution.py.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.checks import check_channels
from scratchmm.layers.convolution import BottleneckBlock, NormedConvolution, ResidualBlock
from scratchmm.layers.tracing import channels_last
from scratchmm.sentences import check_sizes


@dataclass(frozen=True)
class ResNetConfig:
    """The sizes of a ResNet: stage i has `depths[i]` blocks and gives `widths[i]` channels.

    >>> ResNetConfig(widths=(8, 16), depths=(1, 1, 1))
    Traceback (most recent call last):
    ValueError: 2 widths and 3 depths do not make stages: each stage has one of both
    """

    stem: int = 64  # channels before the first stage
    widths: tuple[int, ...] = (256, 512, 1024, 2048)  # channels of each stage's output
    depths: tuple[int, ...] = (3, 4, 6, 3)  # blocks of each stage
    bottleneck: bool = True  # blocks of three convolutions, the middle one narrow, or of two
    small_images: bool = False  # a stem that does not shrink (section 4.2), or one that does by 4
    channels: int = 3  # of the image
    classes: int = 1000  # of the classifier
    # Where a bottleneck shrinks: in its first convolution (the paper) or its middle one ("1.5").
    first_shrinks: bool = False

    def __post_init__(self) -> None:
        check_sizes(self)
        if len(self.widths) != len(self.depths):
            raise ValueError(
                f"{len(self.widths)} widths and {len(self.depths)} depths do not make stages: "
                "each stage has one of both"
            )

    @property
    def shrink(self) -> int:
        """Pixels of the image, in height and in width, to one place of the feature grid."""
        return (1 if self.small_images else 4) * 2 ** (len(self.widths) - 1)


def tiny() -> ResNetConfig:
    """A size for tests and images of 32 pixels: a grid of 8 x 8, 3 blocks.

    >>> 32 // tiny().shrink
    8
    """
    return ResNetConfig(8, (8, 16, 24), (1, 1, 1), bottleneck=False, small_images=True, classes=10)


def resnet_18() -> ResNetConfig:
    """ResNet-18: 11,689,512 parameters with 1,000 classes."""
    return ResNetConfig(widths=(64, 128, 256, 512), depths=(2, 2, 2, 2), bottleneck=False)


def resnet_34() -> ResNetConfig:
    """ResNet-34: 21,797,672 parameters with 1,000 classes."""
    return ResNetConfig(widths=(64, 128, 256, 512), depths=(3, 4, 6, 3), bottleneck=False)


def resnet_50() -> ResNetConfig:
    """ResNet-50: 25,557,032 parameters with 1,000 classes."""
    return ResNetConfig()


def resnet_101() -> ResNetConfig:
    """ResNet-101: 44,549,160 parameters with 1,000 classes."""
    return ResNetConfig(depths=(3, 4, 23, 3))


def resnet_152() -> ResNetConfig:
    """ResNet-152: 60,192,808 parameters with 1,000 classes."""
    return ResNetConfig(depths=(3, 8, 36, 3))


class Stem(nn.Module):
    """The first convolution: of kernel 7, shrinking twice by 2; or of kernel 3 for small images.

    >>> import torch
    >>> Stem(ResNetConfig())(torch.zeros(1, 3, 64, 32)).shape
    torch.Size([1, 64, 16, 8])
    >>> Stem(tiny())(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 8, 32, 32])
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.small = config.small_images
        kernel, stride = (3, 1) if self.small else (7, 2)
        self.convolution = NormedConvolution(config.channels, config.stem, kernel, stride)

    def forward(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns (B, D, H, W): D channels on a grid."""
        x = F.relu(self.convolution(images), inplace=True)
        return x if self.small else F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


class ResNet(nn.Module):
    """Table 1 without its last row: the image as a grid of features.

    Each stage after the first halves the grid. `tokens` and `vector` give it in other forms.

    >>> import torch
    >>> model, images = ResNet(tiny()), torch.zeros(2, 3, 32, 32)
    >>> model(images).shape, model.tokens(images).shape, model.vector(images).shape
    (torch.Size([2, 24, 8, 8]), torch.Size([2, 64, 24]), torch.Size([2, 24]))
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = Stem(config)
        block = BottleneckBlock if config.bottleneck else ResidualBlock
        self.stages = nn.ModuleList()
        channels = config.stem
        for index, (width, depth) in enumerate(zip(config.widths, config.depths)):
            first = block(channels, width, stride=2 if index else 1)
            if config.first_shrinks and isinstance(first, BottleneckBlock):
                shrink_first(first)
            rest = (block(width, width) for _ in range(depth - 1))
            self.stages.append(nn.Sequential(first, *rest))
            channels = width

    def forward(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns the last stage's grid (B, D, H, W)."""
        check_channels("images", images.shape[1], self.config.channels)
        x = self.stem(channels_last(images))
        for stage in self.stages:
            x = stage(x)
        return x  # (B, D, H, W)

    def tokens(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns (B, N, D): the grid row by row."""
        return self(images).flatten(2).transpose(1, 2)  # (B, N, D)

    def vector(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns (B, D): the mean over the grid."""
        return self(images).mean(dim=(2, 3))  # (B, D)


def shrink_first(block: BottleneckBlock) -> None:
    """Move a bottleneck's stride from its middle convolution to its first, in place.

    >>> block = BottleneckBlock(4, 8, stride=2)
    >>> shrink_first(block)
    >>> [layer.convolution.stride for layer in block.layers]
    [(2, 2), (1, 1), (1, 1)]
    """
    first, middle = (layer.convolution for layer in block.layers[:2])
    assert isinstance(first, nn.Conv2d) and isinstance(middle, nn.Conv2d)
    first.stride, middle.stride = middle.stride, first.stride


class ResNetClassifier(nn.Module):
    """A ResNet as a classifier: one Linear layer over the mean of the grid.

    >>> import torch
    >>> ResNetClassifier(tiny())(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ResNet(config)
        self.head = nn.Linear(config.widths[-1], config.classes)

    def forward(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns logits (B, K)."""
        return self.head(self.encoder.vector(images))  # (B, K)
