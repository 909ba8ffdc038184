"""Exercises of lesson 13, latent diffusion.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/13_latent_diffusion.py   its examples; silent if right
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.vae import Decoder, DiagonalGaussian, Encoder, VAEConfig
from scratchmm.layers.checks import check_channels, check_divisible


# vae.draw: A sample with a gradient. 10 minutes, difficulty 2 of 5. In the lesson: "Compressed".
# Given:
# - DiagonalGaussian(mean: Tensor, log_variance: Tensor)
#     The posterior of an image: for each latent number an independent normal distribution.
def draw(posterior: DiagonalGaussian, generator: torch.Generator | None = None) -> Tensor:
    """z = mean + deviation * noise: the noise is an input, so gradients reach mean and deviation.

    This is the reparameterisation (Kingma and Welling, section 2.4); deviation = exp(log variance / 2).
    Returns (B, Z, X, Y).

    >>> draw(DiagonalGaussian(torch.ones(1, 2, 1, 1), torch.full((1, 2, 1, 1), -30.0))).round().flatten()
    tensor([1., 1.])
    """
    raise NotImplementedError(
        "vae.draw: mean + deviation * noise, with noise from the generator and a gradient for both"
    )


# vae.kl_to_normal: Not too far from normal. 10 minutes, difficulty 2 of 5. In the lesson:
# "Compressed". Comes after vae.draw. Without torch.distributions.kl.kl_divergence.
def kl_to_normal(posterior: DiagonalGaussian) -> Tensor:
    """KL(posterior || standard normal) of an image: 1/2 sum(mean^2 + variance - 1 - log variance).

    In nats, summed over all of an image's latents (Kingma and Welling, appendix B). Returns (B,).

    >>> kl_to_normal(DiagonalGaussian(torch.tensor([[[[2.0]]]]), torch.zeros(1, 1, 1, 1))).tolist()
    [2.0]
    """
    raise NotImplementedError(
        "vae.kl_to_normal: for each image half the sum of mean^2 + variance - 1 - log variance"
    )


# vae.fit_scale: The scaling factor of latents. 15 minutes, difficulty 2 of 5. In the lesson: "A
# deviation of one". Comes after vae.draw.
# Given:
# - Decoder(config: VAEConfig)
#     From latents back to the image: the encoder's levels in reverse, each one block deeper.
# - Encoder(config: VAEConfig)
#     From the image to mean and log variance of its latents.
# - VAEConfig(channels: int = 3, latent_channels: int = 4, widths: tuple[int, ...] = (128, 256, 512,
#       512), depth: int = 2, groups: int = 32, scale: float = 0.18215, shift: float = 0.0,
#       mixed_latents: bool = True)
#     The sizes of an autoencoder. Each level after the first halves the height and the width.
# - VAEConfig.shrink() -> int
#     Pixels of the image, in height and in width, to one cell of the latents.
# - check_channels(what: str, found: int, expected: int) -> None
#     Refuse images of another number of channels.
# - check_divisible(what: str, size: int, by: str, divisor: int) -> None
#     Refuse a size that its parts do not fill.
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
        raise NotImplementedError(
            "vae.fit_scale: latents drawn of the posterior, less config.shift, times the scale"
        )

    def to_images(self, latents: Tensor) -> Tensor:
        """latents: (B, Z, X, Y) as diffusion makes them, scaled. Returns the image they stand for."""
        raise NotImplementedError(
            "vae.fit_scale: the image of latents that are divided by the scale again, plus "
            "config.shift"
        )

    @torch.no_grad()
    def fit_scale(self, images: Tensor, generator: torch.Generator | None = None) -> None:
        """Set the scale to 1 / deviation of these images' drawn latents, once training is over.

        One number, of all images, channels and cells together (appendix G).
        """
        raise NotImplementedError(
            "vae.fit_scale: self.scale becomes 1 / deviation of the drawn latents of these images"
        )
