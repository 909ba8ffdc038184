"""An unCLIP for a laptop: a CLIP, then a prior, then a decoder, of images with one thing each.

The models are `contrastive.clip`, `diffusion.prior` and `diffusion.unclip_decoder`; here is what
surrounds them: the three stages of training, each kept in a folder and not trained again, and the
path from a sentence over an embedding to an image. The decoder works in the latents of an autoencoder
that is there already (`small_generator`'s), which makes it many times faster than in pixels.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.data.world.captioned import captioned
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import split_combinations
from scratchmm.diffusion import unclip
from scratchmm.diffusion.latent import LatentSpace
from scratchmm.diffusion.prior import Prior, PriorConfig, draw_embeddings, prior_loss
from scratchmm.diffusion.process import Schedule, cosine_schedule
from scratchmm.diffusion.unclip_decoder import Decoder, DecoderConfig, decoder_loss
from scratchmm.diffusion.unet import stable_diffusion_v1
from scratchmm.recipes import artifact
from scratchmm.recipes import clip as clip_recipe
from scratchmm.recipes.clip import TrainedCLIP
from scratchmm.training.checkpoint import load_checkpoint, save_checkpoint
from scratchmm.training.fingerprint import fingerprint
from scratchmm.training.fit import fit
from scratchmm.training.generator_stages import latents_of
from scratchmm.training.kept import MADE_BY, made_by, reopened
from scratchmm.training.precision import fast_precision
from scratchmm.training.sampling import shuffled_batches
from scratchmm.training.small_generator import SIZE, STEPS, latent_shape

Say = Callable[[str], None]
M = TypeVar("M", bound=nn.Module)


@dataclass
class SmallUnCLIP:
    """From sentences to embeddings to images (B, 3, 32, 32) in [-1, 1]."""

    clip: TrainedCLIP
    prior: Prior
    decoder: Decoder
    space: LatentSpace
    schedule: Schedule  # of both diffusions

    def imagine(
        self,
        sentences: Sequence[str],
        *,
        seed: int = 0,
        steps: int = 25,
        scale: float = 1.0,
        candidates: int = 2,
    ) -> Tensor:
        """What CLIP might see in an image for each sentence, by the prior: unit vectors (B, E)."""
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
            latents = unclip.decode(
                self.decoder, self.schedule, embeddings, noise, steps=steps, scale=scale, clamp=None
            )
            return self.space.to_images(latents).float().clamp(-1, 1)

    @torch.no_grad()
    def find_noise(self, images: Tensor, embeddings: Tensor, *, steps: int = 100) -> Tensor:
        """What of images (B, 3, H, W) their embeddings (B, E) do not say: noise (B, Z, X, Y).

        `show` makes the images again of both, with as many steps and a scale of 1.
        """
        latents = latents_of(self.space, images)
        return unclip.invert(self.decoder, self.schedule, latents, embeddings, steps=steps)


@torch.no_grad()
def read_texts(clip: TrainedCLIP, sentences: Sequence[str]) -> dict[str, Any]:
    """Sentences as the prior's conditions: text_embedding (B, E), text (B, T, C), real bool (B, T)."""
    length = clip.model.config.text.context_length
    tokens, real = clip.tokenizer.batch(sentences, length)
    text = torch.cat([clip.model.eval().text(part) for part in tokens.split(256)])
    return {"text_embedding": clip.embed_texts(sentences), "text": text, "real": real}


def new_prior(clip: TrainedCLIP, seed: int = 0) -> Prior:
    """An untrained prior for this CLIP."""
    config = clip.model.config
    torch.manual_seed(seed)
    sizes = {"width": 96, "depth": 2, "heads": 4}
    text = config.text
    return Prior(PriorConfig(config.embedding, text.width, text.context_length, **sizes))


def new_decoder(clip: TrainedCLIP, space: LatentSpace, seed: int = 0) -> Decoder:
    """An untrained decoder from this CLIP's embeddings to these latents."""
    channels, size, _ = latent_shape(space, SIZE)
    sizes: dict[str, Any] = {"channels": channels, "widths": (128,), "depth": 1, "attended": ()}
    unet = replace(stable_diffusion_v1(), **sizes, groups=8, heads=4, context_width=64)
    torch.manual_seed(seed)
    return Decoder(DecoderConfig(unet, clip.model.config.embedding, size))


def open_unclip(
    folder: str | Path,
    space: LatentSpace,
    *,
    others: Sequence[Path] = (),
    scenes: int = 12_000,
    clip_steps: int = 1000,
    prior_steps: int = 500,
    steps: int = 2000,
    seed: int = 0,
    progress: bool = False,
    say: Say | None = None,
) -> SmallUnCLIP:
    """The unCLIP kept in the folder. Each stage that is not there yet is trained now, and kept.

    space: where the decoder draws. others: folders in which a CLIP may be that something else has
    trained, such as runs/05_clip; it is copied instead of training one. scenes: how many images,
    of one thing in a seen combination; clip_steps, prior_steps, steps: of the three trainings. A
    stage that was stopped goes on where it was. One is trained anew, and `say` is told, that other
    code or another recipe has made, or that knows another CLIP or (the decoder) autoencoder.
    """
    folder, say = Path(folder), say or (lambda text: None)
    options: dict[str, Any] = {"progress": progress, "seed": seed}
    own = folder / "clip"
    learned = replace(clip_recipe.SETTINGS, images=scenes, steps=clip_steps)
    seer = artifact.load_or_train(own, clip_recipe, learned, others=others, log=say, **options)
    if not (own / artifact.FILE).exists():  # prior and decoder know this one, and others may change
        clip_recipe.save(seer, own, learned, seed=seed)
    data: list[tuple[Tensor, list[str]]] = []

    def pairs() -> tuple[Tensor, list[str]]:  # drawn once, and only if something is to be trained
        if not data:
            found = captioned(scenes, split_combinations()[0], seed=seed)
            data.append((draw_many(found.scenes, SIZE), found.texts))
        return data[0]

    schedule = cosine_schedule(STEPS)
    prior, decoder = new_prior(seer, seed), new_decoder(seer, space, seed)
    seen = {"clip": fingerprint(seer.model), "scenes": scenes}

    def stage(name: str, model: M, train: Callable[..., None], count: int, **more: str) -> M:
        path, half = folder / f"{name}.pt", [folder / name / "checkpoint.pt"]
        knows: dict[str, Any] = {**seen, **more}
        made = made_by(__name__, {**knows, "steps": count, "seed": seed})
        kept = reopened(path, made, partial(_filled, model), checkpoints=half, say=say)
        if kept is not None:
            return kept
        say(f"Training the {name}, {count} steps ...")
        settings = options | {
            "log": say,
            "steps": count,
            "folder": folder / name,
            "settings": knows,
        }
        train(model, seer, space, *pairs(), schedule, **settings)
        save_checkpoint(path, {"model": model.state_dict(), MADE_BY: made})
        return model

    prior = stage("prior", prior, train_prior, prior_steps)
    decoder = stage("decoder", decoder, train_decoder, steps, autoencoder=fingerprint(space))
    return SmallUnCLIP(seer, prior.eval(), decoder.eval(), space, schedule)


def train_prior(
    prior: Prior, clip: TrainedCLIP, space: LatentSpace, images: Tensor, texts: Sequence[str],
    schedule: Schedule, **options: Any,
) -> None:  # fmt: skip
    """Stage two, in place: from what the sentences say to what CLIP sees in their images."""
    embeddings = clip.embed_images(images)
    told, empty = read_texts(clip, texts), read_texts(clip, [""])
    prior.fit_normalisation(embeddings)
    indices = shuffled_batches(len(texts), min(256, len(texts)), options["seed"])

    def batch_at(step: int) -> tuple[Tensor, dict[str, Any]]:
        chosen = indices(step)
        return embeddings[chosen], {name: value[chosen] for name, value in told.items()}

    def loss(_: nn.Module, batch: tuple[Tensor, dict[str, Any]]) -> Tensor:
        return prior_loss(prior, schedule, batch[0], empty=empty, **batch[1])

    fit(prior, batch_at, loss, learning_rate=2e-3, weight_decay=0.01, **options)


def train_decoder(
    decoder: Decoder, clip: TrainedCLIP, space: LatentSpace, images: Tensor, texts: Sequence[str],
    schedule: Schedule, **options: Any,
) -> None:  # fmt: skip
    """Stage three, in place: from what CLIP sees in images back to their latents."""
    embeddings, latents = clip.embed_images(images), latents_of(space, images)
    indices = shuffled_batches(len(images), min(64, len(images)), options["seed"])

    def batch_at(step: int) -> tuple[Tensor, Tensor]:
        chosen = indices(step)
        return latents[chosen], embeddings[chosen]

    def loss(_: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return decoder_loss(decoder, schedule, *batch)

    options |= {"learning_rate": 3e-3, "weight_decay": 0.01, "precision": fast_precision()}
    fit(decoder, batch_at, loss, **options)


def _filled(model: M, path: Path) -> M:
    """A copy of the model, with the weights that are kept: the model itself may be trained yet."""
    state, model = load_checkpoint(path), deepcopy(model)
    try:
        model.load_state_dict(state["model"])
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is of other sizes than the CLIP beside it asks for") from error
    return model
