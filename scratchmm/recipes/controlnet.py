"""ControlNet: outlines, depth or poses say where a trained text-to-image model is to draw.

    python -m scratchmm train controlnet     # beside the model in runs/generator, trained if need be

Data: 8,000 scenes with a sentence and a control image each. Model: `diffusion.controlnet.Controlled`
over the frozen UNet of a `recipes.text_to_image` model. Loss: the diffusion loss, with many prompts
left out, so that the control image has to be used. Figure: how often the thing lies where the control
image has it.

Dimensions: B batch, S scenes, C channels and H x W pixels of a control image, T tokens, D width of
the text states, Z channels of the latents on a grid of X x Y cells.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from scratchmm.data.world.captioned import captioned
from scratchmm.data.world.captions import article
from scratchmm.data.world.control_images import KINDS, control_images
from scratchmm.data.world.scenes import sample_scene, split_combinations
from scratchmm.diffusion.controlnet import Controlled, ControlNet, controlnet_from_unet
from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.guidance import guided, prompt_dropout
from scratchmm.diffusion.process import Model, diffusion_loss
from scratchmm.diffusion.unet import UNet
from scratchmm.recipes import artifact, text_to_image
from scratchmm.recipes.generator import TrainedTextToImage, latents_of
from scratchmm.recipes.text_to_image import SCHEDULE, TARGET
from scratchmm.training.fingerprint import fingerprint
from scratchmm.training.fit import fit
from scratchmm.training.placed_colors import find
from scratchmm.training.precision import fast_precision
from scratchmm.training.sampling import seeded, shuffled_batches

HINT_WIDTHS = (16, 32, 48, 64)  # three halvings: 32 x 32 pixels to the 4 x 4 cells of the latents
GENERATOR = Path("runs/generator")  # where the model to be controlled is, or is to be kept
TESTED, NEAR = (
    64,
    0.12,
)  # images that the figure is measured on; of the width, from the hint's place
Batch = tuple[Tensor, dict[str, Any], Tensor]  # latents, prompts, control images


@dataclass(frozen=True)
class Settings:
    """Of the data and the training."""

    kind: str = "edges"  # of the control images, one of control_images.KINDS
    scenes: int = 8000
    steps: int = 600
    batch: int = 64
    learning_rate: float = 2e-3
    dropout_probability: float = 0.3  # of a prompt
    figure: str = "place_accuracy"  # what is judged
    expected: float = 0.8
    minutes: float = 4.0  # on two cores, without the model that is controlled


SETTINGS = Settings()


class ControlData(NamedTuple):
    """Scenes as images, as control images and as sentences."""

    images: Tensor  # (S, 3, H, W) in [-1, 1]
    hints: Tensor  # (S, C, H, W) in [0, 1]
    texts: list[str]


@dataclass
class TrainedControl:
    """A text-to-image model that is also conditioned on a control image of one kind."""

    generator: TrainedTextToImage
    model: ControlNet
    kind: str

    def predictor(
        self,
        prompts: Sequence[str],
        hints: Tensor,
        *,
        negative: str = "",
        scale: float = 4.0,
        strength: float = 1.0,
    ) -> Model:
        """A model of (x, timesteps) alone, for any sampler: prompts, hints and guidance inside.

        hints: float (B, C, 32, 32) in [0, 1], one for each prompt. strength: how much they count; 0
        is the generator itself. Guidance is over the prompt: the hint is given both times.
        """
        if len(hints) != len(prompts):
            raise ValueError(f"there are {len(hints)} control images for {len(prompts)} prompts")
        model = Controlled(unet_of(self.generator), self.model, strength)
        with torch.no_grad():
            asked = self.generator.condition(prompts)
            away = self.generator.condition([negative])
        predict = guided(model, away, scale)

        def controlled(x: Tensor, timesteps: Tensor) -> Tensor:
            return predict(x, timesteps, **asked, hint=hints)

        return controlled

    @torch.no_grad()
    def draw(
        self, prompts: Sequence[str], hints: Tensor, *, seeds: Sequence[int], steps: int = 20,
        negative: str = "", scale: float = 4.0, strength: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """Images (B, 3, size, size) in [-1, 1] of prompts and control images, each from its seed."""
        if len(seeds) != len(prompts):
            raise ValueError(f"there are {len(seeds)} seeds for {len(prompts)} prompts")
        model = self.generator.model
        way = spaced_timesteps(len(model.schedule), steps)
        predictor = self.predictor(
            prompts, hints, negative=negative, scale=scale, strength=strength
        )
        noise = self.generator.noise(seeds)
        latents = ddim_sample(predictor, model.schedule, noise, way, **model.sampling())
        return model.space.to_images(latents).clamp(-1, 1)


def unet_of(generator: TrainedTextToImage) -> UNet:
    """The UNet of a generator, which is the base of its ControlNets."""
    unet = generator.model.unet
    assert isinstance(unet, UNet)
    return unet


def data(settings: Settings = SETTINGS, *, seed: int = 0) -> ControlData:
    """Scenes of combinations of colour and shape that are not held out."""
    found = captioned(settings.scenes, split_combinations()[0], seed=seed + 1)
    hints = control_images(found.scenes, settings.kind)
    return ControlData(found.images, hints, found.texts)


def build(settings: Settings, generator: TrainedTextToImage, *, seed: int = 0) -> TrainedControl:
    """A control that has learned nothing yet: it changes nothing.

    >>> from scratchmm.recipes.text_to_image import untrained
    >>> control = build(SETTINGS, untrained())
    >>> control.draw(["a red star"], torch.ones(1, 1, 32, 32), seeds=[1], steps=2).shape
    torch.Size([1, 3, 32, 32])
    """
    if settings.kind not in KINDS:
        raise ValueError(f"control {settings.kind!r} is none of {', '.join(KINDS)}")
    channels = control_images([], settings.kind).shape[1]
    torch.manual_seed(seed)
    control = controlnet_from_unet(unet_of(generator), channels, HINT_WIDTHS)
    return TrainedControl(generator, control.eval(), settings.kind)


class ControlledDenoiser(nn.Module):
    """The controlled UNet with its text encoder as one model; only the ControlNet is trained."""

    def __init__(self, control: TrainedControl) -> None:
        super().__init__()
        self.text_encoder = control.generator.model.text_encoder.requires_grad_(False)
        self.controlled = Controlled(unet_of(control.generator), control.model)

    def forward(
        self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, real: Tensor, hint: Tensor
    ) -> Tensor:
        """noisy: (B, Z, X, Y); tokens, real: (B, T); hint: (B, C, H, W). Returns (B, Z, X, Y)."""
        states = self.text_encoder(tokens)  # (B, T, D)
        return self.controlled(noisy, timesteps, states, real, hint=hint)  # (B, Z, X, Y)


def batches(
    settings: Settings, control: TrainedControl, data: ControlData, *, seed: int = 0
) -> Callable[[int], Batch]:
    """A function from the step to its batch (latents, prompts, control images)."""
    generator = control.generator
    latents = latents_of(generator.model.space, data.images, seed)
    names = ("tokens", "real")
    prompts, empty = (dict(zip(names, generator.tokens(x))) for x in (data.texts, [""]))
    indices = shuffled_batches(len(latents), min(settings.batch, len(latents)), seed)

    def batch_at(step: int) -> Batch:
        chosen = indices(step)
        prompt = {name: part[chosen] for name, part in prompts.items()}
        chance = settings.dropout_probability, seeded(seed, step)
        return latents[chosen], prompt_dropout(prompt, empty, *chance), data.hints[chosen]

    return batch_at


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """The diffusion loss of latents (B, Z, X, Y) with their prompts and control images."""
    latents, prompt, hint = batch
    return diffusion_loss(model, SCHEDULE, latents, target=TARGET, **prompt, hint=hint)


def train(
    settings: Settings = SETTINGS,
    dataset: ControlData | None = None,
    *,
    generator: TrainedTextToImage | None = None,
    steps: int | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    log: Callable[[str], None] | None = None,
    precision: str | None = None,
    **options: Any,
) -> TrainedControl:
    """A ControlNet, trained; with a folder it is kept there, and a stopped training goes on.

    generator: the model to be controlled, which stays as it is; if none is given, the one kept in
    runs/generator, or one trained there. options: more of `training.fit`, such as device, progress,
    resume and save_every.
    """
    settings = artifact.with_steps(settings, steps)
    if generator is None:
        generator = artifact.load_or_train(
            GENERATOR, text_to_image, exact=False, log=log, **options
        )
    dataset = dataset or data(settings, seed=seed)
    control = build(settings, generator, seed=seed)
    if log:
        log(f"Training a ControlNet of {settings.kind} for {settings.steps:,} steps.")
    base = fingerprint(generator.model)
    network = ControlledDenoiser(control)
    with torch.enable_grad():
        fit(
            network,
            batches(settings, control, dataset, seed=seed),
            loss,
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            weight_decay=0.01,
            precision=precision or fast_precision(),
            seed=seed,
            folder=folder,
            settings={"base": base, "scenes": settings.scenes, "kind": settings.kind},
            log=log,
            **options,
        )
    network.cpu().eval()
    if folder is not None:
        save(control, folder, settings, seed=seed)
    return control


def load_or_train(
    folder: str | Path, generator: TrainedTextToImage, settings: Settings = SETTINGS, *,
    exact: bool = True, **options: Any,
) -> TrainedControl:  # fmt: skip
    """The control of this generator kept in folder/control_KIND, or one trained and kept there.

    options: of `artifact.load_or_train` and of `train`. Raises ValueError where it is to be taken as
    it is (exact=False) and is one of another generator.
    """
    knows = {"generator": fingerprint(generator.model)}
    place = Path(folder) / f"control_{settings.kind}"
    found: TrainedControl = artifact.load_or_train(
        place,
        sys.modules[__name__],
        settings,
        exact=exact,
        knows=knows,
        generator=generator,
        **options,
    )
    if fingerprint(found.generator.model) != knows["generator"]:
        raise ValueError(f"{place} is no control of this generator: remove it to train it anew")
    return TrainedControl(generator, found.model, found.kind)


def figures(control: TrainedControl, dataset: ControlData | None = None) -> dict[str, float]:
    """How often the thing asked for lies where the control image has it, of scenes never seen."""
    rng = np.random.default_rng(77)
    scenes = [sample_scene(rng, combinations=split_combinations()[1]) for _ in range(TESTED)]
    things = [scene.things[0] for scene in scenes]
    prompts = [article(f"{thing.color} {thing.shape}") for thing in things]
    images = control.draw(prompts, control_images(scenes, control.kind), seeds=range(TESTED))
    places = torch.tensor([[thing.x, thing.y] for thing in things])  # (TESTED, 2)
    away = (find(images, [thing.color for thing in things]).middle - places).norm(dim=1)
    return {"place_accuracy": (away < NEAR).double().mean().item()}  # nan is not near


def save(
    control: TrainedControl,
    folder: str | Path,
    settings: Settings | None = None,
    *,
    seed: int = 0,
) -> None:
    """Keep it in a folder with the model that it controls, see `recipes.artifact`."""
    generator = control.generator
    knows = {"generator": fingerprint(generator.model)}
    artifact.save(
        folder, "controlnet",
        config={"generator": text_to_image.config_of(generator), "kind": control.kind},
        weights={"generator": generator.model.state_dict(), "control": control.model.state_dict()},
        tokenizer=generator.tokenizer,
        made=artifact.made_by("controlnet", settings, seed, **knows),
    )  # fmt: skip


def load(folder: str | Path) -> TrainedControl:
    """Read back what `save` wrote. Missing or foreign files are refused in a sentence."""
    found = artifact.read(folder, "controlnet")
    with artifact.fitting(folder):
        words = artifact.tokenizer_of(found)
        generator = text_to_image.restored(
            found.config["generator"], words, found.weights["generator"]
        )
        control = build(Settings(kind=found.config["kind"]), generator)
        artifact.fill(control.model, found.weights["control"])
        return control
