"""Text to image: a text and noise in, an image out, with the diffusion in a space of latents.

Images are encoded into a small grid, where noise is cheap to remove; a UNet that attends to the text
removes it; what is left is decoded. The grid is an autoencoder's (such as `vae.VAE`), or simply the
pixels themselves, folded. Autoencoder, text encoder and UNet are any modules that fit.

Paper: High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al. 2021,
arXiv 2112.10752), sections 3.2 and 3.3, figure 3.
Dimensions: B batch, C channels of the image, T text tokens, W width of the text states, Z channels of
the latents, X x Y cells of their grid.
Differs from the paper: the text encoder may be trained with the rest (as in the paper's section 4.3)
or before and frozen (as in Stable Diffusion); pixels may be folded instead of encoded, after Scalable
Diffusion Models with Transformers (arXiv 2212.09748), figure 4.
"""

from dataclasses import replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion import unet
from scratchmm.diffusion.guidance import prompt_dropout
from scratchmm.diffusion.process import Schedule, check_target, cosine_schedule, diffusion_loss
from scratchmm.layers.checks import check_divisible


class Autoencoder(Protocol):
    """What `LatentSpace` needs of an autoencoder, such as `vae.VAE`: a module with these methods.

    >>> from scratchmm.diffusion import vae
    >>> autoencoder: Autoencoder = vae.VAE(vae.tiny())
    """

    def to_latents(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images (B, C, height, width) to latents (B, Z, X, Y) of a deviation of about 1."""

    def to_images(self, latents: Tensor) -> Tensor:
        """Latents (B, Z, X, Y) to images (B, C, height, width)."""


class LatentSpace(nn.Module):
    """Images to latents and back: pixels folded, side x side to a cell, then encoded.

    Without an autoencoder nothing is lost. With one, it must take the folded channels.

    >>> space, images = LatentSpace(side=4), torch.randn(2, 3, 8, 12)
    >>> latents = space.to_latents(images)
    >>> latents.shape, space.to_images(latents).equal(images)
    (torch.Size([2, 48, 2, 3]), True)
    """

    def __init__(self, side: int = 1, autoencoder: Autoencoder | None = None) -> None:
        super().__init__()
        self.side = side
        self.autoencoder = autoencoder

    def fold(self, images: Tensor) -> Tensor:
        """images: (B, C, height, width). Returns (B, C * side * side, height / side, width / side)."""
        for name, size in zip(("height", "width"), images.shape[-2:]):
            check_divisible(f"image {name}", size, "the side of a cell,", self.side)
        return F.pixel_unshuffle(images, self.side)

    def to_latents(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """images: float (B, C, height, width) in [-1, 1]. Returns (B, Z, X, Y), drawn if by a VAE."""
        folded = self.fold(images)
        if self.autoencoder is None:
            return folded
        return self.autoencoder.to_latents(folded, generator)

    def to_images(self, latents: Tensor) -> Tensor:
        """latents: (B, Z, X, Y). Returns (B, C, height, width)."""
        folded = latents if self.autoencoder is None else self.autoencoder.to_images(latents)
        return F.pixel_shuffle(folded, self.side)


class TextToImage(nn.Module):
    """A text-to-image model: `unet` predicts `target` in the latents of `space`.

    unet: called with noisy latents, timesteps, context and mask. text_encoder: called with tokens
    (B, T), it returns states (B, T, W), the context. It is called as the samplers call a model: the
    condition is that of `condition(tokens)`.

    >>> model = tiny()
    >>> prompt = model.condition(torch.tensor([[97, 5, 98]]), torch.ones(1, 3).bool())
    >>> model(torch.zeros(1, 12, 4, 4), torch.tensor([5]), **prompt).shape
    torch.Size([1, 12, 4, 4])
    """

    def __init__(
        self,
        unet: nn.Module,
        text_encoder: nn.Module,
        space: LatentSpace,
        schedule: Schedule,
        target: str = "noise",
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        check_target(target)
        check_widths(unet, text_encoder)
        self.unet, self.text_encoder, self.space = unet, text_encoder, space
        self.schedule = schedule
        self.target = target
        self.clamp = clamp  # what x0 is clamped to: 1.0 where latents are pixels

    def condition(self, tokens: Tensor, real: Tensor) -> dict[str, Tensor]:
        """tokens: int64 (B, T); real: bool (B, T), True on real tokens. What `forward` takes."""
        return {"context": self.text_encoder(tokens), "mask": real}

    def forward(
        self, noisy: Tensor, timesteps: Tensor, context: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """noisy: (B, Z, X, Y); timesteps: (B,); context: (B, T, W). Returns (B, Z, X, Y)."""
        return self.unet(noisy, timesteps, context, mask)  # (B, Z, X, Y)

    def sampling(self) -> dict[str, Any]:
        """The options that every sampler needs for this model."""
        return {"target": self.target, "clamp": self.clamp}


def tiny() -> TextToImage:
    """A size for tests: folded pixels, 2 x 2 to a cell; each token is encoded by itself.

    >>> tiny().unet.config.channels
    12
    """
    config = replace(unet.tiny_with_context(), channels=12)
    text_encoder = nn.Embedding(128, 10)
    space, schedule = LatentSpace(side=2), cosine_schedule(20)
    return TextToImage(unet.UNet(config), text_encoder, space, schedule, clamp=1.0)


def text_to_image_loss(
    model: TextToImage,
    latents: Tensor,
    prompt: dict[str, Tensor],
    empty: dict[str, Tensor],
    *,
    dropout_probability: float = 0.1,
    **options: Any,
) -> Tensor:
    """Equation 3: the diffusion loss in latents (B, Z, X, Y), some of the prompts left out.

    prompt: tokens int64 (B, T) and real bool (B, T); empty: the same of the empty text, (1, T), which
    takes a prompt's place with `dropout_probability`, for guidance. options: as of
    `process.diffusion_loss`.

    >>> model, tokens = tiny(), torch.tensor([[97, 5, 98]])
    >>> prompt = {"tokens": tokens, "real": tokens > 0}
    >>> text_to_image_loss(model, torch.zeros(1, 12, 4, 4), prompt, prompt).shape
    torch.Size([])
    """
    kept = prompt_dropout(prompt, empty, dropout_probability, options.get("generator"))
    options |= model.condition(kept["tokens"], kept["real"])
    return diffusion_loss(model, model.schedule, latents, target=model.target, **options)


def check_widths(unet: nn.Module, text_encoder: nn.Module) -> None:
    """ValueError where both have a config and the text states are not as wide as the UNet's context."""
    takes = getattr(getattr(unet, "config", None), "context_width", None)
    width = getattr(getattr(text_encoder, "config", None), "width", None)
    if takes is not None and width is not None and takes != width:
        raise ValueError(
            f"the UNet takes a context of width {takes}, but the text states have width {width}"
        )
