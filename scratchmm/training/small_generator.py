"""A text-to-image model for a laptop: images of the world from sentences about it.

The model is `diffusion.latent.TextToImage`; here is what surrounds it: captioned scenes to learn
from, a tokenizer, seeds, and a file to keep it all in. Its three trainings: generator_stages.py. The
lessons and `generate` share one: the same training with the same seed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scratchmm.data.world.captioned import WORD, captioned
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import split_combinations
from scratchmm.diffusion.ddim import ddim_path, spaced_timesteps
from scratchmm.diffusion.guidance import guided
from scratchmm.diffusion.latent import LatentSpace, TextToImage
from scratchmm.diffusion.process import Model, Step, cosine_schedule
from scratchmm.diffusion.unet import UNet, stable_diffusion_v1
from scratchmm.diffusion.vae import VAE, VAEConfig
from scratchmm.language.bpe import BytePairEncoding
from scratchmm.language.text_transformer import TextConfig, TextTransformer
from scratchmm.training.checkpoint import load_checkpoint, save_checkpoint
from scratchmm.training.generator_stages import (
    latents_of,
    train_drawing,
    train_reading,
    train_space,
)
from scratchmm.training.kept import MADE_BY, made_by, reopened
from scratchmm.training.precision import fast_precision
from scratchmm.training.sampling import seeded

SIZE = 32  # pixels of an image, in height and in width
FOLD = 2  # pixels of a cell before the autoencoder
LATENT = 16  # channels of its latents, on a grid of 4 x 4
LENGTH = 20  # tokens of the longest prompt
TEXT = {"width": 64, "depth": 2, "heads": 4, "hidden": 256}
STEPS = 200  # of the schedule
RECIPE: dict[str, Any] = {"scenes": 16_000, "pairs": 0.5, "places": 0.7, "seed": 0}
RECIPE |= {"space_steps": 1500, "read_steps": 2000, "steps": 6000}


@dataclass
class SmallGenerator:
    """A text-to-image model with its tokenizer and the words that its training has seen."""

    model: TextToImage
    tokenizer: BytePairEncoding
    known: frozenset[str]
    size: int = SIZE

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
            if count > LENGTH:
                raise ValueError(f"the prompt {prompt!r} has {count} tokens, and {LENGTH} fit")
        return self.tokenizer.batch(prompts, LENGTH)

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
    def draw(self, prompts: Sequence[str], **options: object) -> Tensor:
        """Images (B, 3, size, size) in [-1, 1]; options: as of `path`."""
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


def build(tokenizer: BytePairEncoding, known: frozenset[str], *, seed: int = 0) -> SmallGenerator:
    """A new model: an autoencoder of 4 x 4 cells, a UNet on that grid, a text encoder.

    The UNet attends to the text in its middle only: every block gets it with the time embedding, and
    the time that is saved goes into more steps.
    """
    torch.manual_seed(seed)
    vae = VAE(VAEConfig(3 * FOLD**2, LATENT, widths=(32, 64, 96), depth=1, groups=8))
    text = TextConfig(len(tokenizer), LENGTH, end_token=tokenizer.end, **TEXT)  # type: ignore[arg-type]
    sizes: dict[str, Any] = {"channels": LATENT, "widths": (128,), "depth": 1, "attended": ()}
    sizes |= {"groups": 8, "heads": 4, "context_width": TEXT["width"]}
    unet = UNet(replace(stable_diffusion_v1(), **sizes, adds_pooled_text=True, places_words=True))
    space, schedule = LatentSpace(FOLD, vae), cosine_schedule(STEPS)
    model = TextToImage(unet, TextTransformer(text), space, schedule, target="velocity")
    return SmallGenerator(model.eval(), tokenizer, known)


def untrained(seed: int = 0) -> SmallGenerator:
    """A model that has learned nothing, and says so at random: for tests.

    >>> untrained().draw(["a red star", "a blue ring"], seeds=[1, 2], steps=2).shape
    torch.Size([2, 3, 32, 32])
    """
    texts = captioned(50, split_combinations()[0], seed=seed, pairs=0.5).texts
    generator = build(*learn_words(texts), seed=seed)
    with torch.no_grad():
        for parameter in generator.model.unet.parameters():
            if not parameter.any():  # what starts at zero would leave the noise as it is
                parameter.normal_(0, 0.1)
    return generator


def learn_words(texts: Sequence[str]) -> tuple[BytePairEncoding, frozenset[str]]:
    """A tokenizer that has a token for each word of these sentences, and the words."""
    known = frozenset(word for text in set(texts) for word in WORD.findall(text))
    return BytePairEncoding.train(texts, 300), known


def train_generator(
    *,
    folder: Path | None = None,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
    **recipe: Any,
) -> SmallGenerator:
    """All three stages, on seen combinations; with a folder, a killed run goes on where it stopped.

    recipe: what differs from RECIPE. scenes: how many; pairs: the share of them with two things;
    places: that of the sentences that say where; space_steps, read_steps, steps: of the stages; seed.
    """
    told, asked = say or (lambda text: None), RECIPE | recipe
    data_of = {name: asked[name] for name in ("seed", "pairs", "places")}
    data = captioned(asked["scenes"], split_combinations()[0], **data_of)
    images = draw_many(data.scenes, SIZE)
    generator = build(*learn_words(data.texts), seed=asked["seed"])
    options: dict[str, Any] = {"progress": progress, "seed": asked["seed"], "log": say}
    options |= {"precision": fast_precision()}
    options["settings"] = {name: asked[name] for name in ("scenes", "pairs", "places")}

    def place(name: str) -> Path | None:
        return None if folder is None else folder / name

    space, steps = generator.model.space, asked["space_steps"]
    told(f"Learning to squeeze images, {steps} steps ...")
    train_space(space, images, steps=steps, folder=place("squeezing"), **options)
    latents, steps = latents_of(space, images, asked["seed"]), asked["read_steps"]
    told(f"Learning to read, {steps} steps ...")
    train_reading(generator, latents, data.texts, steps=steps, folder=place("reading"), **options)
    told(f"Learning to draw what sentences say, {asked['steps']} steps ...")
    options |= {"folder": place("drawing"), "steps": asked["steps"]}
    train_drawing(generator, latents, data.texts, **options)
    return generator


def save(generator: SmallGenerator, path: Path, made: Mapping[str, Any] | None = None) -> None:
    """Keep weights, tokenizer, known words and what made it in one file, whole or not at all."""
    words = generator.tokenizer
    tokenizer = {name: getattr(words, name) for name in ("merges", "style", "start", "end", "pad")}
    tokenizer["vocabulary"] = words.symbols
    state: dict[str, Any] = {"model": generator.model.state_dict(), "tokenizer": tokenizer}
    state |= {"known": sorted(generator.known)} | ({MADE_BY: dict(made)} if made else {})
    save_checkpoint(path, state)


def load(path: Path) -> SmallGenerator:
    """What `save` kept. Raises ValueError on any other file."""
    state = load_checkpoint(path)
    try:
        generator = build(BytePairEncoding(**state["tokenizer"]), frozenset(state["known"]))
        generator.model.load_state_dict(state["model"])
    except (KeyError, TypeError, RuntimeError) as error:
        why = " ".join(str(error)[:90].split())  # torch names every weight
        raise ValueError(
            f"{path} holds no text-to-image model of this version (remove it, and one is trained "
            f"anew): {why}"
        ) from error
    return generator


def open_generator(
    folder: Path,
    *,
    others: Sequence[Path] = (),
    exact: bool = True,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
    **recipe: Any,
) -> SmallGenerator:
    """The model kept in the folder, or one trained and kept there; see `train_generator`.

    others: folders where a model may be that something else has trained, by the very same recipe.
    exact: a model in the folder that other code or another recipe has made is trained anew; if not,
    it is taken as it is. `say` is told which.
    """
    path, asked = Path(folder) / "generator.pt", RECIPE | recipe
    made = made_by(__name__, asked)
    trainings = [*Path(folder).glob("*/checkpoint.pt")]
    kept = reopened(path, made, load, exact=exact, checkpoints=trainings, say=say)
    if kept is not None:
        return kept
    for other in (Path(place) / "generator.pt" for place in others):
        if other.exists() and load_checkpoint(other).get(MADE_BY) == made:
            return load(other)
    generator = train_generator(folder=Path(folder), progress=progress, say=say, **asked)
    save(generator, path, made)
    return generator
