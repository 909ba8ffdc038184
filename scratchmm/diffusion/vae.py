"""The KL autoencoder: images squeezed into a small grid of numbers, where diffusion is cheap.

Papers: High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al. 2021,
arXiv 2112.10752), section 3.1 and appendix G; the variational autoencoder itself from Auto-Encoding
Variational Bayes (Kingma and Welling 2013, arXiv 1312.6114), section 2.4 and appendix B.
Dimensions: B batch, C channels of the image, Z channels of the latents, D channels inside, X x Y
cells of the latents' grid.
Differs from the papers: the loss has no perceptual and no adversarial part, each of which needs a
second network; what they add is sharpness.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.unet_blocks import (
    Downsample,
    ResidualBlock2d,
    SelfAttention2d,
    Upsample,
    group_norm,
)
from scratchmm.layers.checks import check_channels, check_divisible
from scratchmm.layers.tracing import channels_last
from scratchmm.sentences import check_number, check_sizes


@dataclass(frozen=True)
class VAEConfig:
    """The sizes of an autoencoder. Each level after the first halves the height and the width."""

    channels: int = 3  # of the image, C
    latent_channels: int = 4  # Z
    widths: tuple[int, ...] = (128, 256, 512, 512)  # channels of each level
    depth: int = 2  # blocks of each level of the encoder; the decoder's have one more
    groups: int = 32  # of the norms, a divisor of every width
    scale: float = 0.18215  # latents, less the shift, times this have a deviation of about 1
    shift: float = 0.0  # the latents' mean, about, which diffusion does without
    mixed_latents: bool = True  # convolutions of kernel 1 behind the encoder, before the decoder

    def __post_init__(self) -> None:
        check_sizes(self, zero=("depth",), signed=("shift",))
        if not self.widths:
            raise ValueError("an autoencoder needs at least 1 level, but there are 0 widths")

    @property
    def shrink(self) -> int:
        """Pixels of the image, in height and in width, to one cell of the latents."""
        return 2 ** (len(self.widths) - 1)


def tiny() -> VAEConfig:
    """A size for tests: three levels, so 16 pixels to a cell, 4 in height and 4 in width.

    >>> tiny().shrink
    4
    """
    return VAEConfig(latent_channels=2, widths=(8, 12, 16), depth=1, groups=4)


def stable_diffusion_v1() -> VAEConfig:
    """Stable Diffusion 1: 83,653,863 parameters; 512 x 512 pixels to 64 x 64 cells of 4 numbers."""
    return VAEConfig()


def stable_diffusion_xl() -> VAEConfig:
    """SDXL: the sizes of Stable Diffusion 1, trained anew: its latents have another scale."""
    return VAEConfig(scale=0.13025)


def stable_diffusion_v3() -> VAEConfig:
    """Stable Diffusion 3: 16 numbers a cell, shifted and scaled; 83,819,683 parameters."""
    return VAEConfig(latent_channels=16, scale=1.5305, shift=0.0609, mixed_latents=False)


class DiagonalGaussian(NamedTuple):
    """The posterior of an image: for each latent number an independent normal distribution."""

    mean: Tensor  # (B, Z, X, Y)
    log_variance: Tensor  # (B, Z, X, Y), from -30 to 20, so that no exponential overflows


def middle(width: int, groups: int) -> nn.Sequential:
    """Block, attention, block, at the smallest grid.

    >>> middle(8, groups=4)(torch.zeros(2, 8, 3, 5)).shape
    torch.Size([2, 8, 3, 5])
    """
    return nn.Sequential(
        ResidualBlock2d(width, width, groups=groups),
        SelfAttention2d(width, groups=groups),
        ResidualBlock2d(width, width, groups=groups),
    )


class Encoder(nn.Module):
    """From the image to mean and log variance of its latents.

    >>> Encoder(tiny())(torch.zeros(1, 3, 8, 12)).mean.shape
    torch.Size([1, 2, 2, 3])
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        channels, last, moments = config.widths[0], config.widths[-1], 2 * config.latent_channels
        self.first = nn.Conv2d(config.channels, channels, kernel_size=3, padding=1)
        self.levels = nn.ModuleList()
        for index, width in enumerate(config.widths):
            level = nn.Sequential()
            for _ in range(config.depth):
                level.append(ResidualBlock2d(channels, width, groups=config.groups))
                channels = width
            if index < len(config.widths) - 1:
                level.append(Downsample(width))
            self.levels.append(level)
        self.middle = middle(last, config.groups)
        self.norm = group_norm(last, config.groups, epsilon=1e-6)
        self.last = nn.Conv2d(last, moments, kernel_size=3, padding=1)
        self.moments = nn.Conv2d(moments, moments, 1) if config.mixed_latents else nn.Identity()

    def forward(self, images: Tensor) -> DiagonalGaussian:
        """images: float (B, C, height, width). Returns means and logarithms of variances."""
        x = self.first(channels_last(images))
        for level in self.levels:
            x = level(x)
        x = self.last(F.silu(self.norm(self.middle(x))))  # (B, 2 * Z, X, Y)
        mean, log_variance = self.moments(x).chunk(2, dim=1)  # each (B, Z, X, Y)
        return DiagonalGaussian(mean, log_variance.clamp(-30.0, 20.0))


class Decoder(nn.Module):
    """From latents back to the image: the encoder's levels in reverse, each one block deeper.

    >>> Decoder(tiny())(torch.zeros(1, 2, 2, 3)).shape
    torch.Size([1, 3, 8, 12])
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        channels, latents = config.widths[-1], config.latent_channels
        self.latents = nn.Conv2d(latents, latents, 1) if config.mixed_latents else nn.Identity()
        self.first = nn.Conv2d(latents, channels, kernel_size=3, padding=1)
        self.middle = middle(channels, config.groups)
        self.levels = nn.ModuleList()
        for index, width in enumerate(reversed(config.widths)):
            level = nn.Sequential()
            for _ in range(config.depth + 1):
                level.append(ResidualBlock2d(channels, width, groups=config.groups))
                channels = width
            if index < len(config.widths) - 1:
                level.append(Upsample(width))
            self.levels.append(level)
        self.norm = group_norm(channels, config.groups, epsilon=1e-6)
        self.last = nn.Conv2d(channels, config.channels, kernel_size=3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """latents: float (B, Z, X, Y). Returns the image (B, C, height, width)."""
        x = self.first(channels_last(self.latents(latents)))
        x = self.middle(x)  # (B, D, X, Y)
        for level in self.levels:
            x = level(x)
        return self.last(F.silu(self.norm(x)))


class VAE(nn.Module):
    """Encoder and decoder, and the one number by which latents are brought to a deviation of 1.

    `encode` and `decode` are the autoencoder; `to_latents` and `to_images` are what diffusion uses,
    whose noise has deviation 1, too much or too little for latents of another size. The scale is float64
    on the CPU, whatever the model's dtype and device.

    >>> vae, images = VAE(tiny()).eval(), torch.zeros(1, 3, 8, 12)
    >>> latents = vae.to_latents(images)
    >>> latents.shape, vae.to_images(latents).shape
    (torch.Size([1, 2, 2, 3]), torch.Size([1, 3, 8, 12]))
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.scale: Tensor
        self.register_buffer("scale", torch.tensor(config.scale, dtype=torch.float64))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What .to, .half and .double do to every tensor; the scale stays one exact number."""
        scale = self.scale
        super()._apply(fn, recurse)
        self.scale = self.scale.double() if scale.is_meta else scale
        return self

    def encode(self, images: Tensor) -> DiagonalGaussian:
        """images: float (B, C, height, width) in [-1, 1]; both sizes are divisible by the shrink."""
        check_channels("images", images.shape[1], self.config.channels)
        for side, size in zip(("height", "width"), images.shape[-2:]):
            check_divisible(f"image {side}", size, "the shrink factor", self.config.shrink)
        return self.encoder(images)

    def decode(self, latents: Tensor) -> Tensor:
        """latents: float (B, Z, X, Y), not scaled. Returns the image, about in [-1, 1]."""
        check_channels("latents", latents.shape[1], self.config.latent_channels)
        return self.decoder(latents)

    def forward(
        self, images: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, DiagonalGaussian]:
        """The reconstruction, from latents drawn of the posterior; and the posterior."""
        posterior = self.encode(images)
        return self.decode(draw(posterior, generator)), posterior

    def to_latents(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Latents (B, Z, X, Y) of a deviation of about 1, drawn; see `encode` for images."""
        latents = draw(self.encode(images), generator)
        return (latents - self.config.shift) * self.scale  # (B, Z, X, Y)

    def to_images(self, latents: Tensor) -> Tensor:
        """latents: (B, Z, X, Y) as diffusion makes them, scaled. Returns the image they stand for."""
        return self.decode(latents / self.scale + self.config.shift)

    @torch.no_grad()
    def fit_scale(self, images: Tensor, generator: torch.Generator | None = None) -> None:
        """Set the scale to 1 / deviation of these images' drawn latents, once training is over.

        One number, of all images, channels and cells together (appendix G).
        """
        self.scale.copy_(1 / draw(self.encode(images), generator).std(correction=0))


def draw(posterior: DiagonalGaussian, generator: torch.Generator | None = None) -> Tensor:
    """z = mean + deviation * noise: the noise is an input, so gradients reach mean and deviation.

    This is the reparameterisation (Kingma and Welling, section 2.4); deviation = exp(log variance / 2).
    Returns (B, Z, X, Y).

    >>> draw(DiagonalGaussian(torch.ones(1, 2, 1, 1), torch.full((1, 2, 1, 1), -30.0))).round().flatten()
    tensor([1., 1.])
    """
    mean, log_variance = posterior
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + (log_variance / 2).exp() * noise  # (B, Z, X, Y)


def kl_to_normal(posterior: DiagonalGaussian) -> Tensor:
    """KL(posterior || standard normal) of an image: 1/2 sum(mean^2 + variance - 1 - log variance).

    In nats, summed over all of an image's latents (Kingma and Welling, appendix B). Returns (B,).

    >>> kl_to_normal(DiagonalGaussian(torch.tensor([[[[2.0]]]]), torch.zeros(1, 1, 1, 1))).tolist()
    [2.0]
    """
    mean, log_variance = posterior
    terms = mean**2 + log_variance.exp() - 1 - log_variance  # (B, Z, X, Y)
    return terms.sum(dim=(1, 2, 3)) / 2  # (B,)


def vae_loss(
    images: Tensor,
    restored: Tensor,
    posterior: DiagonalGaussian,
    kl_weight: float = 1e-6,
    *,
    squared: bool = False,
) -> Tensor:
    """Absolute error of the restored image + kl_weight * KL, over how many numbers an image has.

    Both are sums over an image, so the weight means the same at every size; the default is the
    paper's, just enough to keep latents near 0. squared: the error is squared; absolute errors
    stay for long at the median of an image, its background. images, restored: (B, C, height, width).
    Returns a scalar. Raises ValueError where the two are not alike in shape.

    >>> posterior = DiagonalGaussian(torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1))
    >>> vae_loss(torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), posterior).item()
    1.0
    """
    check_number("kl_weight", kl_weight, least=0)
    if images.shape != restored.shape:
        raise ValueError(
            f"the images are {tuple(images.shape)} but were restored as {tuple(restored.shape)}"
        )
    error = images - restored  # (B, C, height, width)
    error = (error.square() if squared else error.abs()).flatten(1).sum(dim=1)  # (B,)
    return (error + kl_weight * kl_to_normal(posterior)).mean() / images[0].numel()
