"""Text to image: the world's images from sentences about them, by latent diffusion.

    python -m scratchmm train text_to_image          # `generate` and lessons 12 to 16 draw with it

Data: 16,000 scenes of one or two things, of combinations of colour and shape that are not held out,
each with a sentence. Model: `diffusion.latent.TextToImage`. It is trained in three stages, each with
a loss and a `fit` of its own:

1. The autoencoder learns to restore images from a grid of 4 x 4 cells.
2. The text encoder learns the mean of the latents of all images of which a sentence is true. That
   mean is the best prediction where an image is all noise, and it takes no UNet: at a fifth of the
   cost of a step of the UNet the encoder learns after some hundred steps what "on the left" says,
   which the UNet with an untrained one had not learned after a thousand.
3. UNet and text encoder learn the diffusion in latents. What is kept is the average of their weights.

Figure: how often a thing lies on the side that the prompt asks for.

Paper: High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al. 2021,
arXiv 2112.10752), sections 3.1 and 3.3.
Dimensions: B batch, S images, C channels, H x W pixels, T tokens, W width of the text states, Z
channels of the latents, X x Y cells of their grid.
Differs from the paper: the text encoder is trained first, and then with the UNet; the average of the
weights is kept (`training.average`).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.data.world.captioned import WORD, Captioned, captioned
from scratchmm.data.world.scenes import COLORS, split_combinations
from scratchmm.diffusion.guidance import prompt_dropout
from scratchmm.diffusion.latent import LatentSpace, TextToImage
from scratchmm.diffusion.process import cosine_schedule, diffusion_loss
from scratchmm.diffusion.unet import UNet, stable_diffusion_v1
from scratchmm.diffusion.unet_blocks import last_token
from scratchmm.diffusion.vae import VAE, VAEConfig, vae_loss
from scratchmm.language.bpe import BytePairEncoding
from scratchmm.language.text_transformer import TextConfig, TextTransformer
from scratchmm.layers.attention import padding_mask
from scratchmm.recipes import artifact
from scratchmm.recipes.generator import TrainedTextToImage, latents_of
from scratchmm.training.average import Averaged
from scratchmm.training.fit import fit
from scratchmm.training.placed_colors import PLACES, at_places
from scratchmm.training.precision import fast_precision
from scratchmm.training.sampling import seeded, shuffled_batches

SCHEDULE, TARGET = cosine_schedule(200), "velocity"  # of the diffusion
TESTED = 96  # prompts that the figure is measured on
Batches = Callable[[int], Any]


@dataclass(frozen=True)
class Settings:
    """Of the data, the model and its three trainings."""

    scenes: int = 16_000
    pairs: float = 0.5  # share of the scenes with two things
    places: float = 0.7  # share of the sentences that say where things are
    size: int = 32  # pixels of an image, in height and in width
    fold: int = 2  # pixels of a cell before the autoencoder
    latent_channels: int = 16
    length: int = 20  # tokens of the longest prompt
    text_width: int = 64
    text_depth: int = 2
    autoencoder_steps: int = 1500
    text_steps: int = 2000
    steps: int = 6000  # of the UNet
    batch: int = 64
    learning_rate: float = 3e-3
    dropout_probability: float = 0.1  # of a prompt, for guidance
    figure: str = "place_accuracy"  # what is judged
    expected: float = 0.9
    minutes: float = 19.0  # on two cores


SETTINGS = Settings()


def data(settings: Settings = SETTINGS, *, seed: int = 0) -> Captioned:
    """Scenes, images and sentences, of combinations of colour and shape that are not held out."""
    shares = {"pairs": settings.pairs, "places": settings.places}
    seen = split_combinations()[0]
    return captioned(settings.scenes, seed=seed, combinations=seen, size=settings.size, **shares)


def build(settings: Settings, data: Captioned, *, seed: int = 0) -> TrainedTextToImage:
    """A new model for this data: its tokenizer learns from the sentences."""
    known = frozenset(word for text in set(data.texts) for word in WORD.findall(text))
    return new_model(settings, BytePairEncoding.train(data.texts, 300), known, seed=seed)


def new_model(
    settings: Settings, tokenizer: BytePairEncoding, known: frozenset[str], *, seed: int = 0
) -> TrainedTextToImage:
    """A new model: an autoencoder of 4 x 4 cells, a UNet on that grid, a text encoder.

    The UNet attends to the text in its middle only: every block gets it with the time embedding, and
    the time that is saved goes into more steps.
    """
    torch.manual_seed(seed)
    channels, width = settings.latent_channels, settings.text_width
    vae = VAE(VAEConfig(3 * settings.fold**2, channels, widths=(32, 64, 96), depth=1, groups=8))
    text = TextConfig(
        len(tokenizer), settings.length, end_token=tokenizer.end, width=width,
        depth=settings.text_depth, heads=4, hidden=4 * width,
    )  # fmt: skip
    sizes: dict[str, Any] = {"channels": channels, "widths": (128,), "depth": 1, "attended": ()}
    sizes |= {"groups": 8, "heads": 4, "context_width": width}
    unet = UNet(replace(stable_diffusion_v1(), **sizes, adds_pooled_text=True, places_words=True))
    space = LatentSpace(settings.fold, vae)
    model = TextToImage(unet, TextTransformer(text), space, SCHEDULE, target=TARGET)
    return TrainedTextToImage(model.eval(), tokenizer, known, asdict(settings))


def untrained(seed: int = 0, settings: Settings = SETTINGS) -> TrainedTextToImage:
    """A model that has learned nothing, and says so at random: for tests.

    >>> untrained().draw(["a red star", "a blue ring"], seeds=[1, 2], steps=2).shape
    torch.Size([2, 3, 32, 32])
    """
    generator = build(settings, data(replace(settings, scenes=50), seed=seed), seed=seed)
    with torch.no_grad():
        for parameter in generator.model.unet.parameters():
            if not parameter.any():  # what starts at zero would leave the noise as it is
                parameter.normal_(0, 0.1)
    return generator


# Stage one: the autoencoder


def autoencoder_loss(model: nn.Module, folded: Tensor, kl_weight: float = 1e-4) -> Tensor:
    """Squared error of folded images and, a number of the latents, kl_weight times the KL.

    Squared, not absolute: in a training of a minute the median of an image is its background, and
    absolute errors stay there for long. `vae_loss` counts the KL by the numbers of an image.
    """
    restored, posterior = model(folded)
    kl_weight *= folded[0].numel() / posterior.mean[0].numel()
    return vae_loss(folded, restored, posterior, kl_weight, squared=True)


def train_autoencoder(
    space: LatentSpace, images: Tensor, *, steps: int, seed: int = 0, **options: Any
) -> None:
    """Stage one, in place, on images (S, 3, H, W); then the scale of the latents is fitted."""
    vae = space.autoencoder
    assert isinstance(vae, VAE)
    folded = space.fold(images)
    indices = shuffled_batches(len(images), min(32, len(images)), seed)
    options = {"learning_rate": 1.5e-3, "weight_decay": 0.01, "seed": seed} | options
    fit(vae, lambda step: folded[indices(step)], autoencoder_loss, steps=steps, **options)
    vae.cpu().eval().fit_scale(folded[:2000], seeded(seed, 0))


# Stage two: the text encoder


class MeanLatents(nn.Module):
    """The mean of the latents that fit a text: a matrix times the state of its last token.

    That state has attended to all others. The matrix is not needed afterwards.
    """

    def __init__(self, text_encoder: nn.Module, width: int, numbers: int) -> None:
        super().__init__()
        self.text_encoder, self.mean = text_encoder, nn.Linear(width, numbers)

    def forward(self, tokens: Tensor, real: Tensor) -> Tensor:
        """tokens: int64 (B, T); real: bool (B, T). Returns (B, L), the latents in a row."""
        return self.mean(last_token(self.text_encoder(tokens), padding_mask(real)))


def text_loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The mean squared error of the latents: batch of latents (B, Z, X, Y), tokens, real (B, T)."""
    latents, tokens, real = batch
    return F.mse_loss(model(tokens, real), latents.flatten(1))


def train_text_encoder(
    generator: TrainedTextToImage, latents: Tensor, texts: list[str], *, steps: int,
    seed: int = 0, **options: Any,
) -> MeanLatents:  # fmt: skip
    """Stage two, in place, on latents (S, Z, X, Y) and their sentences."""
    tokens, real = generator.tokens(texts)
    indices = shuffled_batches(len(latents), min(128, len(latents)), seed)
    encoder = generator.model.text_encoder
    assert isinstance(encoder, TextTransformer)
    torch.manual_seed(seed)
    model = MeanLatents(encoder, encoder.config.width, latents[0].numel())

    def batch_at(step: int) -> tuple[Tensor, Tensor, Tensor]:
        chosen = indices(step)
        return latents[chosen], *cut(tokens[chosen], real[chosen])

    options = {"learning_rate": 2e-3, "weight_decay": 0.01, "seed": seed} | options
    options["precision"] = "float32"  # so small a model gains nothing from another
    fit(model, batch_at, text_loss, steps=steps, **options)
    return model.cpu().eval()


def cut(tokens: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and mask (B, T) without what is padding in all of them.

    >>> cut(torch.tensor([[5, 7, 0, 0]]), torch.tensor([[True, True, False, False]]))[0].tolist()
    [[5, 7]]
    """
    length = int(real.sum(dim=1).max())
    return tokens[:, :length], real[:, :length]


# Stage three: the UNet


class Denoiser(nn.Module):
    """UNet and text encoder as one model: what stage three trains."""

    def __init__(self, unet: nn.Module, text_encoder: nn.Module) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
        """noisy: (B, Z, X, Y); timesteps: (B,); tokens, real: (B, T). Returns (B, Z, X, Y)."""
        return self.unet(noisy, timesteps, self.text_encoder(tokens), real)  # (B, Z, X, Y)


def batches(
    settings: Settings, generator: TrainedTextToImage, latents: Tensor, texts: list[str],
    *, seed: int = 0,
) -> Batches:  # fmt: skip
    """A function from the step to its batch: latents, the prompts, and those that are left out."""
    tokens, real = generator.tokens(texts)
    nothing = dict(zip(("tokens", "real"), generator.tokens([""])))
    indices = shuffled_batches(len(latents), min(settings.batch, len(latents)), seed)

    def batch_at(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        chosen = indices(step)
        prompt = dict(zip(("tokens", "real"), cut(tokens[chosen], real[chosen])))
        length = prompt["tokens"].shape[1]
        empty = {name: part[:, :length] for name, part in nothing.items()}
        chance = settings.dropout_probability, seeded(seed, step)
        return latents[chosen], prompt_dropout(prompt, empty, *chance)

    return batch_at


def loss(model: nn.Module, batch: tuple[Tensor, dict[str, Any]], target: str = TARGET) -> Tensor:
    """The diffusion loss in latents (B, Z, X, Y), with their prompts (tokens and real)."""
    return diffusion_loss(model, SCHEDULE, batch[0], target=target, **batch[1])


def train_unet(
    recipe: Settings, generator: TrainedTextToImage, latents: Tensor, texts: list[str],
    *, seed: int = 0, **options: Any,
) -> None:  # fmt: skip
    """Stage three, in place: UNet and text encoder learn to predict the velocity of noisy latents."""
    model = generator.model
    pair = Averaged(Denoiser(model.unet, model.text_encoder))  # the autoencoder has learned
    batch_at = batches(recipe, generator, latents, texts, seed=seed)
    options = {"learning_rate": recipe.learning_rate, "weight_decay": 0.01} | options
    predicts = partial(loss, target=model.target)
    fit(pair, batch_at, predicts, steps=recipe.steps, seed=seed, **options)
    pair.model.load_state_dict(pair.average.state_dict())
    model.cpu().eval()


# All of it


def train(
    settings: Settings = SETTINGS,
    dataset: Captioned | None = None,
    *,
    steps: int | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    log: Callable[[str], None] | None = None,
    precision: str | None = None,
    **options: Any,
) -> TrainedTextToImage:
    """A text-to-image model, trained; with a folder it is kept there, and a stopped training goes on.

    dataset: drawn as the settings say if it is not given. options: more of `training.fit`, such as
    device, progress, resume and save_every. precision: what this processor multiplies fastest, if
    none is given.
    """
    settings = artifact.with_steps(settings, steps)
    dataset = dataset or data(settings, seed=seed)
    generator = build(settings, dataset, seed=seed)
    told: dict[str, Any] = {name: getattr(settings, name) for name in ("scenes", "pairs", "places")}
    options |= {"precision": precision or fast_precision(), "log": log, "settings": told}
    tell, space = log or (lambda text: None), generator.model.space

    def place(name: str) -> Path | None:
        return None if folder is None else Path(folder) / name

    with torch.enable_grad():
        tell(f"Training the autoencoder for {settings.autoencoder_steps:,} steps.")
        first = {"steps": settings.autoencoder_steps, "folder": place("autoencoder")}
        train_autoencoder(space, dataset.images, seed=seed, **options | first)
        latents = latents_of(space, dataset.images, seed)
        tell(f"Training the text encoder for {settings.text_steps:,} steps.")
        second = {"steps": settings.text_steps, "folder": place("text_encoder")}
        train_text_encoder(generator, latents, dataset.texts, seed=seed, **options | second)
        tell(f"Training the UNet for {settings.steps:,} steps.")
        train_unet(settings, generator, latents, dataset.texts, seed=seed, folder=folder, **options)
    if folder is not None:
        save(generator, folder, settings, seed=seed)
    return generator


def figures(generator: TrainedTextToImage, dataset: Captioned | None = None) -> dict[str, float]:
    """How often a thing of the colour asked for lies on the side that is asked for: TESTED prompts."""
    asked = [(COLORS[i % len(COLORS)], [*PLACES][i // 2 % len(PLACES)]) for i in range(TESTED)]
    prompts = [f"a {color} circle {side}" for color, side in asked]
    images = torch.cat([
        generator.draw(prompts[start : start + 32], seeds=range(start, min(start + 32, TESTED)))
        for start in range(0, TESTED, 32)
    ])  # fmt: skip
    right = at_places(images, *(list(column) for column in zip(*asked)))
    return {"place_accuracy": right.double().mean().item()}


def save(
    generator: TrainedTextToImage,
    folder: str | Path,
    settings: Settings | None = None,
    *,
    seed: int = 0,
) -> None:
    """Keep it in a folder, see `recipes.artifact`; settings: those it was trained with."""
    artifact.save(
        folder, "text_to_image", config=config_of(generator), weights=generator.model.state_dict(),
        tokenizer=generator.tokenizer, made=artifact.made_by("text_to_image", settings, seed),
    )  # fmt: skip


def config_of(generator: TrainedTextToImage) -> dict[str, Any]:
    """What builds such a model, for a file: its sizes and its words."""
    return {"sizes": dict(generator.sizes), "known": sorted(generator.known)}


def restored(
    config: dict[str, Any], tokenizer: BytePairEncoding, weights: dict[str, Any]
) -> TrainedTextToImage:
    """The inverse of `config_of`, with these weights."""
    generator = new_model(Settings(**config["sizes"]), tokenizer, frozenset(config["known"]))
    artifact.fill(generator.model, weights)
    return generator


def load(folder: str | Path) -> TrainedTextToImage:
    """Read back what `save` wrote. Missing or foreign files are refused in a sentence."""
    found = artifact.read(folder, "text_to_image")
    with artifact.fitting(folder):
        return restored(found.config, artifact.tokenizer_of(found), found.weights)
