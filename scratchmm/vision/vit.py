"""Vision Transformer: an image is cut into patches, and each patch is a token of a transformer.

Paper: An Image is Worth 16x16 Words (Dosovitskiy et al. 2020, arXiv 2010.11929), figure 1 and
equations 1-4.
Dimensions: B batch, C channels, N patches, D width, H heads, K classes.
Differs from the paper: no dropout; the head is one Linear layer, as in fine-tuning; patches are cut
by a rearrangement and projected by a Linear layer, which is the same as the paper's convolution.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from scratchmm.layers.attention import check_heads
from scratchmm.layers.checks import check_channels, check_divisible
from scratchmm.layers.transformer import Transformer, TransformerBlock, activation_named
from scratchmm.sentences import check_sizes


@dataclass(frozen=True)
class ViTConfig:
    """The sizes of a Vision Transformer: `depth` blocks over tokens of `width` numbers.

    >>> ViTConfig(image_size=36, patch_size=16)
    Traceback (most recent call last):
    ValueError: image size 36 is not divisible by patch size 16
    """

    image_size: int = 224  # height and width in pixels; other sizes work by resized positions
    patch_size: int = 16  # height and width of a patch in pixels
    width: int = 768  # of every token
    depth: int = 12  # blocks
    heads: int = 12  # of attention, a divisor of the width
    hidden: int = 3072  # inside the feed-forward networks
    channels: int = 3  # of the image
    classes: int = 1000  # of the classifier
    epsilon: float = 1e-12  # of the layer norms
    # Of the feed-forward networks: "gelu", "quick_gelu", "gelu_tanh", "relu" or "silu". None is the
    # usual one: GELU in a ViT, quick GELU in CLIP's tower.
    activation: str | None = None

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.patch_size < 1 or self.image_size % self.patch_size:
            raise ValueError(
                f"image size {self.image_size} is not divisible by patch size {self.patch_size}"
            )
        check_heads(self.width, self.heads)
        activation_named(self.activation or "gelu")

    @property
    def grid(self) -> int:
        """Patches in a row, and rows."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        """Patches in an image, N."""
        return self.grid**2


def tiny() -> ViTConfig:
    """A size for tests: 16 patches, 2 blocks.

    >>> tiny().patches
    16
    """
    return ViTConfig(32, 8, width=32, depth=2, heads=4, hidden=37, classes=10)


def vit_b_16() -> ViTConfig:
    """ViT-B/16: 86,567,656 parameters with 1,000 classes."""
    return ViTConfig()


def vit_l_16() -> ViTConfig:
    """ViT-L/16: 304,326,632 parameters with 1,000 classes."""
    return ViTConfig(width=1024, depth=24, heads=16, hidden=4096)


def vit_l_16_384() -> ViTConfig:
    """ViT-L/16 for images of 384 pixels: 304,715,752 parameters with 1,000 classes."""
    return replace(vit_l_16(), image_size=384)


def vit_h_14() -> ViTConfig:
    """ViT-H/14, whose heads are 80 wide: 632,045,800 parameters with 1,000 classes."""
    return ViTConfig(patch_size=14, width=1280, depth=32, heads=16, hidden=5120)


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images (B, C, height, width) into patches (B, N, C * patch * patch).

    Patches in reading order (rows of patches from the top, each from the left); within a patch
    channel by channel, each in reading order, as a convolution's weight is laid out. A height or
    width that patches do not fill is refused with a ValueError.

    >>> patchify(torch.arange(8.0).view(1, 1, 2, 4), patch=2)[0].int().tolist()
    [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    check_divisible("image height", images.shape[-2], "patch size", patch)
    check_divisible("image width", images.shape[-1], "patch size", patch)
    return rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)


class PatchEmbedding(nn.Module):
    """Images to patch tokens: each patch, laid out flat, through one Linear layer.

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
        check_channels("images", images.shape[1], self.channels)
        return self.projection(patchify(images, self.patch))  # (B, N, D)


def resize_positions(
    positions: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int]
) -> Tensor:
    """Learned positions of one grid of patches, stretched to another: (N, D) to (new N, D).

    old_grid, new_grid: (rows, columns). Bicubic, corners not aligned, as published models do it.
    Positions of CLS and the like are not on the grid: leave them out. As many positions as the old
    grid has places, or a ValueError.

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


class ViTEmbeddings(nn.Module):
    """Equation 1: patch tokens behind a learned CLS token, plus a learned position each.

    CLS has a position too, the first. An image of another size than the config's gets its grid of
    positions resized. bias: of the patch projection.

    >>> ViTEmbeddings(tiny())(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 17, 32])
    """

    def __init__(self, config: ViTConfig, bias: bool = True) -> None:
        super().__init__()
        self.patch_size, self.grid = config.patch_size, config.grid
        self.patches = PatchEmbedding(config.channels, config.patch_size, config.width, bias)
        # CLIP's initial scale. Much smaller, positions drown among the patches for hundreds of steps.
        scale = config.width**-0.5
        self.class_token = nn.Parameter(scale * torch.randn(config.width))
        self.positions = nn.Parameter(scale * torch.randn(1 + config.patches, config.width))

    def forward(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns (B, 1 + N, D), CLS first."""
        tokens = self.patches(images)  # (B, N, D)
        class_token = self.class_token.expand(images.shape[0], 1, -1)  # (B, 1, D)
        tokens = torch.cat([class_token, tokens], dim=1)  # (B, 1 + N, D)
        grid = (images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size)
        resized = resize_positions(self.positions[1:], (self.grid, self.grid), grid)  # (N, D)
        return tokens + torch.cat([self.positions[:1], resized])  # (B, 1 + N, D)


class VisionTransformer(nn.Module):
    """Equations 1-4: embeddings, pre-norm blocks, a last norm; the image as tokens.

    >>> VisionTransformer(tiny())(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 17, 32])
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = ViTEmbeddings(config)
        activation = activation_named(config.activation or "gelu")
        self.transformer = Transformer(
            TransformerBlock(config.width, config.heads, config.hidden, activation, config.epsilon)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=config.epsilon)

    def forward(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns (B, 1 + N, D), CLS first."""
        x = self.embeddings(images)  # (B, 1 + N, D)
        x = self.transformer(x)  # (B, 1 + N, D)
        return self.norm(x)  # (B, 1 + N, D)


class ViTClassifier(nn.Module):
    """A Vision Transformer as a classifier: logits from the CLS token.

    >>> ViTClassifier(tiny())(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = VisionTransformer(config)
        self.head = nn.Linear(config.width, config.classes)

    def forward(self, images: Tensor) -> Tensor:
        """images: float (B, C, height, width). Returns logits (B, K)."""
        tokens = self.encoder(images)  # (B, 1 + N, D)
        return self.head(tokens[:, 0])  # (B, K)
