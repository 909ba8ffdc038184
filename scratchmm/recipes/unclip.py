"""unCLIP: a CLIP, then a prior, then a decoder, of images with one thing each.

    python -m scratchmm train unclip     # in the latents of the model in runs/generator

Data: images of the world with a sentence each, of combinations that are not held out. Models:
`contrastive.clip` (the recipe of lesson 05), `diffusion.prior`, from a sentence to the embedding of an
image, and `diffusion.unclip_decoder`, from an embedding to an image. The decoder works in the latents
of an autoencoder that is there already (`recipes.text_to_image`'s), which makes it many times faster
than in pixels. Prior and decoder each have a loss and a `fit` of their own. Figure: how often the
colour is that of the sentence, over the prior.

Dimensions: B batch, C channels and H x W pixels of an image, T tokens, E width of CLIP's embeddings, W
width of the text states, Z channels of the latents on a grid of X x Y cells.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.data.world.captioned import Captioned, captioned
from scratchmm.data.world.scenes import COLORS, split_combinations
from scratchmm.diffusion import unclip as drawing
from scratchmm.diffusion.guidance import prompt_dropout
from scratchmm.diffusion.latent import LatentSpace
from scratchmm.diffusion.prior import Prior, PriorConfig, draw_embeddings
from scratchmm.diffusion.process import Schedule, diffusion_loss
from scratchmm.diffusion.unclip_decoder import Decoder, DecoderConfig
from scratchmm.diffusion.unet import UNetConfig, stable_diffusion_v1
from scratchmm.diffusion.vae import VAE, VAEConfig
from scratchmm.recipes import artifact, text_to_image
from scratchmm.recipes import clip as clip_recipe
from scratchmm.recipes.clip import TrainedCLIP
from scratchmm.recipes.generator import latent_shape, latents_of
from scratchmm.recipes.text_to_image import SCHEDULE
from scratchmm.training.fingerprint import fingerprint
from scratchmm.training.fit import fit
from scratchmm.training.placed_colors import colors_of
from scratchmm.training.precision import fast_precision
from scratchmm.training.sampling import seeded, shuffled_batches

GENERATOR = Path("runs/generator")  # whose autoencoder is taken, or trained there
SIZE = 32  # pixels of an image, in height and in width
TESTED = 64  # sentences that the figure is measured on
DROPOUT_PROBABILITY = 0.1  # of what the models are conditioned on, for guidance
Conditions = dict[str, Any]  # tensors


@dataclass(frozen=True)
class Settings:
    """Of the data and the three trainings."""

    scenes: int = 12_000  # for the prior and the decoder
    clip: clip_recipe.Settings = clip_recipe.SETTINGS
    prior_steps: int = 500
    steps: int = 2000  # of the decoder
    batch: int = 64
    learning_rate: float = 3e-3
    figure: str = "color_accuracy"  # what is judged
    expected: float = 0.85
    minutes: float = 8.0  # on two cores, without the autoencoder


SETTINGS = Settings()


@dataclass
class TrainedUnCLIP:
    """From sentences to embeddings to images (B, 3, 32, 32) in [-1, 1]."""

    clip: TrainedCLIP
    prior: Prior
    decoder: Decoder
    space: LatentSpace
    schedule: Schedule = SCHEDULE  # of both diffusions

    @property
    def model(self) -> nn.Module:
        """The decoder, which is the largest part."""
        return self.decoder

    def imagine(
        self,
        sentences: Sequence[str],
        *,
        seed: int = 0,
        steps: int = 25,
        scale: float = 1.0,
        candidates: int = 2,
    ) -> Tensor:
        """The embedding of an image that fits each sentence, by the prior: unit vectors (B, E)."""
        drawn = draw_embeddings(
            self.prior, self.schedule, empty=read_texts(self.clip, [""]), steps=steps, scale=scale,
            candidates=candidates, generator=torch.Generator().manual_seed(seed),
            **read_texts(self.clip, sentences),
        )  # fmt: skip
        return F.normalize(drawn, dim=-1)

    @torch.no_grad()
    def show(
        self, embeddings: Tensor, noise: Tensor, *, steps: int = 20, scale: float = 2.0
    ) -> Tensor:
        """Images of embeddings (B, E) from noise (B, Z, X, Y), `decoder.noise(seeds)`.

        One embedding or one noise serves all.
        """
        with torch.autocast("cpu", torch.bfloat16, enabled=fast_precision() == "bfloat16"):
            latents = drawing.decode(
                self.decoder, self.schedule, embeddings, noise, steps=steps, scale=scale, clamp=None
            )
            return self.space.to_images(latents).float().clamp(-1, 1)

    @torch.no_grad()
    def find_noise(self, images: Tensor, embeddings: Tensor, *, steps: int = 100) -> Tensor:
        """What of images (B, 3, H, W) their embeddings (B, E) do not say: noise (B, Z, X, Y).

        `show` makes the images again of both, with as many steps and a scale of 1.
        """
        latents = latents_of(self.space, images)
        return drawing.invert(self.decoder, self.schedule, latents, embeddings, steps=steps)


@torch.no_grad()
def read_texts(clip: TrainedCLIP, sentences: Sequence[str]) -> Conditions:
    """Sentences as the prior's conditions: text_embedding (B, E), text (B, T, W), real bool (B, T)."""
    length = clip.model.config.text.context_length
    tokens, real = clip.tokenizer.batch(sentences, length)
    text = torch.cat([clip.model.eval().text(part) for part in tokens.split(256)])
    return {"text_embedding": clip.embed_texts(sentences), "text": text, "real": real}


def data(settings: Settings = SETTINGS, *, seed: int = 0) -> Captioned:
    """Scenes of one thing with a sentence each, of combinations that are not held out."""
    return captioned(settings.scenes, split_combinations()[0], seed=seed, size=SIZE)


def build(
    settings: Settings, clip: TrainedCLIP, space: LatentSpace, *, seed: int = 0
) -> TrainedUnCLIP:
    """An untrained prior and decoder for this CLIP and these latents."""
    config = clip.model.config
    text = config.text
    torch.manual_seed(seed)
    sizes = {"width": 96, "depth": 2, "heads": 4}
    prior = Prior(PriorConfig(config.embedding, text.width, text.context_length, **sizes))
    channels, size, _ = latent_shape(space, SIZE)
    inner: dict[str, Any] = {"channels": channels, "widths": (128,), "depth": 1, "attended": ()}
    unet = replace(stable_diffusion_v1(), **inner, groups=8, heads=4, context_width=64)
    torch.manual_seed(seed)
    decoder = Decoder(DecoderConfig(unet, config.embedding, size))
    return TrainedUnCLIP(clip, prior.eval(), decoder.eval(), space)


# The prior: from a text to the embedding of an image


def prior_batches(
    unclip: TrainedUnCLIP, data: Captioned, *, seed: int = 0
) -> Callable[[int], tuple[Tensor, Conditions]]:
    """A function from the step to its batch: normalised embeddings (B, E) and their texts."""
    x0 = unclip.prior.normalise(unclip.clip.embed_images(data.images))
    texts, empty = read_texts(unclip.clip, data.texts), read_texts(unclip.clip, [""])
    indices = shuffled_batches(len(x0), min(256, len(x0)), seed)

    def batch_at(step: int) -> tuple[Tensor, Conditions]:
        chosen = indices(step)
        told = {name: value[chosen] for name, value in texts.items()}
        return x0[chosen], prompt_dropout(told, empty, DROPOUT_PROBABILITY, seeded(seed, step))

    return batch_at


def prior_loss(model: nn.Module, batch: tuple[Tensor, Conditions]) -> Tensor:
    """The mean squared error of the clean embeddings (B, E) that are predicted from noisy ones."""
    return diffusion_loss(model, SCHEDULE, batch[0], target="x0", **batch[1])


# The decoder: from an embedding to the latents of an image


class DecoderWithDropout(nn.Module):
    """A decoder, of which some embeddings are replaced by its own empty one, for guidance."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self, noisy: Tensor, timesteps: Tensor, embedding: Tensor, dropped: Tensor
    ) -> Tensor:
        """noisy: (B, Z, X, Y); embedding: (B, E); dropped: bool (B,). Returns (B, Z, X, Y)."""
        embedding = torch.where(dropped[:, None], self.decoder.empty, embedding)  # (B, E)
        return self.decoder(noisy, timesteps, embedding)  # (B, Z, X, Y)


def batches(
    settings: Settings, unclip: TrainedUnCLIP, data: Captioned, *, seed: int = 0
) -> Callable[[int], tuple[Tensor, Tensor, Tensor]]:
    """A function from the step to its batch: latents, embeddings, and which of these are dropped."""
    embeddings = unclip.clip.embed_images(data.images)
    latents = latents_of(unclip.space, data.images)
    indices = shuffled_batches(len(latents), min(settings.batch, len(latents)), seed)

    def batch_at(step: int) -> tuple[Tensor, Tensor, Tensor]:
        chosen = indices(step)
        dropped = torch.rand(len(chosen), generator=seeded(seed, step)) < DROPOUT_PROBABILITY
        return latents[chosen], embeddings[chosen], dropped

    return batch_at


def loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The decoder's diffusion loss: latents (B, Z, X, Y), embeddings (B, E), dropped bool (B,)."""
    latents, embedding, dropped = batch
    told: Conditions = {"embedding": embedding, "dropped": dropped}
    return diffusion_loss(model, SCHEDULE, latents, target=DecoderConfig.target, **told)


# All of it


def train(
    settings: Settings = SETTINGS,
    dataset: Captioned | None = None,
    *,
    space: LatentSpace | None = None,
    clips: Sequence[str | Path] = (),
    steps: int | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    log: Callable[[str], None] | None = None,
    precision: str | None = None,
    **options: Any,
) -> TrainedUnCLIP:
    """An unCLIP, trained; with a folder it is kept there, and a training that was stopped goes on.

    space: where the decoder draws, which stays as it is; if none is given, that of the model kept in
    runs/generator, or trained there. clips: folders in which a CLIP may be that is trained already,
    by the very same recipe. options: more of `training.fit`, such as device, progress, resume.
    """
    settings = artifact.with_steps(settings, steps)
    told = options | {"log": log}
    if space is None:
        generator = artifact.load_or_train(GENERATOR, text_to_image, exact=False, **told)
        space = generator.model.space
    dataset = dataset or data(settings, seed=seed)
    place = None if folder is None else Path(folder)
    clip = _clip(settings, place, clips, seed, told)
    unclip = build(settings, clip, space, seed=seed)
    unclip.prior.fit_normalisation(clip.embed_images(dataset.images))
    knows = {"clip": fingerprint(clip.model), "scenes": settings.scenes}
    options |= {"log": log, "seed": seed, "weight_decay": 0.01}
    tell = log or (lambda text: None)
    with torch.enable_grad():
        tell(f"Training the prior for {settings.prior_steps:,} steps.")
        fit(
            unclip.prior, prior_batches(unclip, dataset, seed=seed), prior_loss,
            steps=settings.prior_steps, learning_rate=2e-3, settings=knows,
            folder=place and place / "prior", **options,
        )  # fmt: skip
        tell(f"Training the decoder for {settings.steps:,} steps.")
        knows |= {"autoencoder": fingerprint(space)}
        fit(
            DecoderWithDropout(unclip.decoder), batches(settings, unclip, dataset, seed=seed), loss,
            steps=settings.steps, learning_rate=settings.learning_rate, settings=knows,
            folder=place, precision=precision or fast_precision(), **options,
        )  # fmt: skip
    unclip.prior.cpu().eval()
    unclip.decoder.cpu().eval()
    if place is not None:
        save(unclip, place, settings, seed=seed)
    return unclip


def load_or_train(
    folder: str | Path, space: LatentSpace, settings: Settings = SETTINGS, **options: Any
) -> TrainedUnCLIP:
    """The unCLIP of these latents kept in the folder, or one trained and kept there.

    options: of `artifact.load_or_train` and of `train`.
    """
    knows = {"autoencoder": fingerprint(space)}
    found: TrainedUnCLIP = artifact.load_or_train(
        folder, sys.modules[__name__], settings, knows=knows, space=space, **options
    )
    return found


def _clip(
    settings: Settings, place: Path | None, clips: Sequence[str | Path], seed: int, told: Any
) -> TrainedCLIP:
    """The CLIP of this unCLIP, which is kept beside it: prior and decoder know no other."""
    if place is None:
        return clip_recipe.train(settings.clip, seed=seed, **told)
    own = place / "clip"
    found: TrainedCLIP = artifact.load_or_train(
        own, clip_recipe, settings.clip, others=clips, seed=seed, **told
    )
    return found


def figures(unclip: TrainedUnCLIP, dataset: Captioned | None = None) -> dict[str, float]:
    """How often an image has the colour that its sentence names, drawn over the prior."""
    colors = [COLORS[i % len(COLORS)] for i in range(TESTED)]
    embeddings = unclip.imagine([f"a {color} square" for color in colors])
    images = unclip.show(embeddings, unclip.decoder.noise(range(TESTED)))
    seen = F.one_hot(colors_of(images).flatten(1) + 1, 1 + len(COLORS)).sum(dim=1)[:, 1:]
    wanted = torch.tensor([COLORS.index(color) for color in colors])
    return {"color_accuracy": (seen.argmax(dim=1) == wanted).double().mean().item()}


def save(
    unclip: TrainedUnCLIP,
    folder: str | Path,
    settings: Settings | None = None,
    *,
    seed: int = 0,
) -> None:
    """Keep all its parts in one file, see `recipes.artifact`; settings: those of its training."""
    clip, space = unclip.clip, unclip.space
    vae = space.autoencoder
    config: dict[str, Any] = {"clip": clip_recipe.config_of(clip), "fold": space.side}
    config |= {"prior": asdict(unclip.prior.config), "decoder": asdict(unclip.decoder.config)}
    config["autoencoder"] = asdict(vae.config) if isinstance(vae, VAE) else None
    weights = {"clip": clip_recipe.weights_of(clip), "prior": unclip.prior.state_dict()}
    weights |= {"decoder": unclip.decoder.state_dict(), "space": space.state_dict()}
    knows = {"autoencoder": fingerprint(space)}
    artifact.save(
        folder, "unclip", config=config, weights=weights, tokenizer=clip.tokenizer,
        made=artifact.made_by("unclip", settings, seed, **knows),
    )  # fmt: skip


def load(folder: str | Path) -> TrainedUnCLIP:
    """Read back what `save` wrote. Missing or foreign files are refused in a sentence."""
    found = artifact.read(folder, "unclip")
    with artifact.fitting(folder):
        config, weights = found.config, found.weights
        words = artifact.tokenizer_of(found)
        clip = clip_recipe.restored(config["clip"], words, weights["clip"])
        prior = artifact.fill(Prior(PriorConfig(**config["prior"])), weights["prior"])
        sizes = config["decoder"] | {"unet": UNetConfig(**config["decoder"]["unet"])}
        decoder = artifact.fill(Decoder(DecoderConfig(**sizes)), weights["decoder"])
        inner = config["autoencoder"]
        vae = None if inner is None else VAE(VAEConfig(**inner))
        space = artifact.fill(LatentSpace(config["fold"], vae), weights["space"])
        return TrainedUnCLIP(clip, prior, decoder, space)
