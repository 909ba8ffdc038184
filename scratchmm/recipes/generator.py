"""A trained text-to-image model, as one draws with it: prompts, seeds, guidance.

What `recipes.text_to_image` trains. Dimensions: B batch, T tokens, W width of the text states, Z
channels of the latents, X x Y cells of their grid.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scratchmm.data.world.captioned import WORD
from scratchmm.diffusion.ddim import ddim_path, spaced_timesteps
from scratchmm.diffusion.guidance import guided
from scratchmm.diffusion.latent import LatentSpace, TextToImage
from scratchmm.diffusion.process import Model, Step
from scratchmm.diffusion.vae import VAE
from scratchmm.language.bpe import BytePairEncoding
from scratchmm.training.sampling import seeded


@dataclass
class TrainedTextToImage:
    """A text-to-image model with its tokenizer and the words that its training has seen."""

    model: TextToImage
    tokenizer: BytePairEncoding
    known: frozenset[str]
    sizes: Mapping[str, Any]  # the settings that it was built for

    @property
    def length(self) -> int:
        """Tokens of the longest prompt."""
        return int(self.sizes["length"])

    @property
    def size(self) -> int:
        """Pixels of an image, in height and in width."""
        return int(self.sizes["size"])

    def tokens(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Prompts to int64 (B, T) and bool (B, T), True on real tokens; "" is the empty prompt.

        Raises ValueError on a prompt of which no word was ever seen, and on one that is too long.
        """
        prompts = [prompt.lower() for prompt in prompts]
        for prompt in prompts:
            words = WORD.findall(prompt)
            if prompt.strip() and not self.known.intersection(words):
                some = ", ".join(sorted(self.known)[:12])
                raise ValueError(
                    f"the prompt {prompt!r} has no word that this model knows, as {some}"
                )
            count = len(self.tokenizer.encode(prompt)) + 2
            if count > self.length:
                raise ValueError(f"the prompt {prompt!r} has {count} tokens, and {self.length} fit")
        return self.tokenizer.batch(prompts, self.length)

    def condition(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """What the UNet is conditioned on: text states (B, T, W) of prompts and their mask (B, T)."""
        return self.model.condition(*self.tokens(prompts))

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """Latent noise (B, Z, X, Y), each seed its own: one seed, one image, in any batch."""
        shape = latent_shape(self.model.space, self.size)
        drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return torch.stack(drawn)  # (B, Z, X, Y)

    def predictor(self, prompts: Sequence[str], *, negative: str = "", scale: float = 4.0) -> Model:
        """A model of (x, timesteps) alone, for any sampler: prompts (B of them) and guidance inside."""
        with torch.no_grad():
            asked, away = self.condition(prompts), self.condition([negative])
        model = guided(self.model, away, scale)

        def predict(x: Tensor, timesteps: Tensor) -> Tensor:
            return model(x, timesteps, **asked)

        return predict

    def path(
        self,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int],
        steps: int = 20,
        scale: float = 4.0,
        negative: str = "",
        eta: float = 0.0,
    ) -> Iterator[Step]:
        """DDIM step by step, in latents (B, Z, X, Y); as many seeds as prompts."""
        if len(seeds) != len(prompts):
            raise ValueError(f"there are {len(seeds)} seeds for {len(prompts)} prompts")
        times = spaced_timesteps(len(self.model.schedule), steps)
        predictor = self.predictor(prompts, negative=negative, scale=scale)
        noise, options = self.noise(seeds), self.model.sampling()
        generator = [seeded(seed, 1) for seed in seeds]  # an image's chance is its own
        return ddim_path(
            predictor, self.model.schedule, noise, times, eta=eta, generator=generator, **options
        )

    @torch.no_grad()
    def draw(
        self,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int],
        steps: int = 20,
        scale: float = 4.0,
        negative: str = "",
        eta: float = 0.0,
    ) -> Tensor:
        """Images (B, 3, size, size) in [-1, 1], one of each prompt and its seed."""
        options = {"seeds": seeds, "steps": steps, "scale": scale, "negative": negative, "eta": eta}
        for step in self.path(prompts, **options):  # type: ignore[arg-type]
            latents = step.x
        return self.model.space.to_images(latents).clamp(-1, 1)


def latent_shape(space: LatentSpace, size: int) -> tuple[int, int, int]:
    """Channels, height and width of the latents of an image of size x size.

    >>> latent_shape(LatentSpace(side=4), 32)
    (48, 8, 8)
    """
    vae = space.autoencoder
    channels, shrink = 3 * space.side**2, space.side
    if isinstance(vae, VAE):
        channels, shrink = vae.config.latent_channels, space.side * vae.config.shrink
    return channels, size // shrink, size // shrink


@torch.no_grad()
def latents_of(space: LatentSpace, images: Tensor, seed: int = 0) -> Tensor:
    """Images (S, 3, H, W) as latents (S, Z, X, Y), drawn once."""
    generator = seeded(seed, 1)
    return torch.cat([space.to_latents(part, generator) for part in images.split(500)])
