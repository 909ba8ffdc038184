"""Text to image: words in, noise in, an image out, with the diffusion in a space of latents.

Images are brought into a small grid, where noise is cheap to remove; a UNet that looks at the
words removes it; what is left is brought back. The grid is an autoencoder's (`vae.VAE`), or simply
the pixels themselves, folded.

Paper: High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al. 2021,
arXiv 2112.10752), sections 3.2 and 3.3, figure 3.
Dimensions: B batch, C channels of the image, T text tokens, W width of the words, Z channels of
the latents, X x Y cells of their grid.
Differs from the paper: the reader of the words is CLIP's text transformer, learned with the rest (as
in the paper's section 4.3; Stable Diffusion took a trained one and froze it); pixels may be folded
instead of encoded, after Scalable Diffusion Models with Transformers (arXiv 2212.09748), figure 4.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.ddpm import check_target, diffusion_loss
from scratchmm.diffusion.guidance import prompt_dropout
from scratchmm.diffusion.schedule import Schedule, cosine_schedule
from scratchmm.diffusion.text_unet import TextUNet, TextUNetConfig
from scratchmm.diffusion.vae import VAE
from scratchmm.language import text_transformer
from scratchmm.language.text_transformer import TextTransformer
from scratchmm.layers.checks import check_divisible


class LatentSpace(nn.Module):
    """Images to latents and back: pixels folded, side x side to a cell, then squeezed by a VAE.

    Without a VAE nothing is lost. With one, it must take the folded channels.

    >>> space, images = LatentSpace(side=4), torch.randn(2, 3, 8, 12)
    >>> latents = space.to_latents(images)
    >>> latents.shape, space.to_images(latents).equal(images)
    (torch.Size([2, 48, 2, 3]), True)
    """

    def __init__(self, side: int = 1, vae: VAE | None = None) -> None:
        super().__init__()
        self.side = side
        self.vae = vae

    def fold(self, images: Tensor) -> Tensor:
        """images: (B, C, height, width). Returns (B, C * side * side, height / side, width / side)."""
        for name, size in zip(("height", "width"), images.shape[-2:]):
            check_divisible(f"image {name}", size, "the side of a cell,", self.side)
        return F.pixel_unshuffle(images, self.side)

    def to_latents(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """images: float (B, C, height, width) in [-1, 1]. Returns (B, Z, X, Y), drawn if by a VAE."""
        folded = self.fold(images)
        return folded if self.vae is None else self.vae.to_latents(folded, generator)

    def to_images(self, latents: Tensor) -> Tensor:
        """latents: (B, Z, X, Y). Returns (B, C, height, width)."""
        folded = latents if self.vae is None else self.vae.to_images(latents)
        return F.pixel_shuffle(folded, self.side)


class TextToImage(nn.Module):
    """What a text-to-image model is made of. `unet` predicts `target` in the latents of `space`.

    Called as the samplers call a model: the condition is that of `condition(tokens)`.

    >>> model = tiny()
    >>> prompt = model.condition(torch.tensor([[97, 5, 98]]), torch.ones(1, 3).bool())
    >>> model(torch.zeros(1, 12, 4, 4), torch.tensor([5]), **prompt).shape
    torch.Size([1, 12, 4, 4])
    """

    def __init__(
        self,
        unet: TextUNet,
        words: TextTransformer,
        space: LatentSpace,
        schedule: Schedule,
        target: str = "noise",
        clip: float | None = None,
    ) -> None:
        super().__init__()
        check_target(target)
        if unet.config.word_width != words.config.width:
            raise ValueError(
                f"the UNet looks at words of width {unet.config.word_width}, but they are "
                f"{words.config.width} wide"
            )
        self.unet, self.words, self.space = unet, words, space
        self.schedule = schedule
        self.target = target
        self.clip = clip  # what start is held to: 1.0 where latents are pixels

    def condition(self, tokens: Tensor, real: Tensor) -> dict[str, Tensor]:
        """tokens: int64 (B, T); real: bool (B, T), True on real tokens. What `forward` takes."""
        return {"words": self.words(tokens), "mask": real}

    def forward(
        self, noisy: Tensor, timesteps: Tensor, words: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """noisy: (B, Z, X, Y); timesteps: (B,); words: (B, T, W). Returns (B, Z, X, Y)."""
        return self.unet(noisy, timesteps, words, mask)  # (B, Z, X, Y)

    def sampling(self) -> dict[str, Any]:
        """What every sampler must be told of this model."""
        return {"target": self.target, "clip": self.clip}


def tiny() -> TextToImage:
    """A size for tests: folded pixels, 2 x 2 to a cell.

    >>> tiny().unet.config.channels
    12
    """
    sizes = TextUNetConfig(
        channels=12, widths=(8, 16), depth=1, attended=(1,), groups=4, heads=2, word_width=32
    )
    words = TextTransformer(text_transformer.tiny())
    return TextToImage(TextUNet(sizes), words, LatentSpace(side=2), cosine_schedule(20), clip=1.0)


def text_to_image_loss(
    model: TextToImage,
    latents: Tensor,
    prompt: dict[str, Tensor],
    empty: dict[str, Tensor],
    *,
    share: float = 0.1,
    **options: Any,
) -> Tensor:
    """Equation 3: the diffusion loss in latents (B, Z, X, Y), a share of the prompts left out.

    prompt: tokens int64 (B, T) and real bool (B, T); empty: the same of the empty text, (1, T), which
    the model must know to be guided later. options: as of `ddpm.diffusion_loss`.

    >>> model, tokens = tiny(), torch.tensor([[97, 5, 98]])
    >>> prompt = {"tokens": tokens, "real": tokens > 0}
    >>> text_to_image_loss(model, torch.zeros(1, 12, 4, 4), prompt, prompt).shape
    torch.Size([])
    """
    kept = prompt_dropout(prompt, empty, share, options.get("generator"))
    options |= model.condition(kept["tokens"], kept["real"])
    return diffusion_loss(model, model.schedule, latents, target=model.target, **options)
