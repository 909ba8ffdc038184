"""The judge of generated images: a classifier of real ones, which the generator never met.

    python -m scratchmm train attribute_classifier

It says what an image of one thing shows: shape, colour, size and texture. Its features, the numbers
before its last layer, are what the distance of generated from real images is measured on
(`metrics.fid`). Data: images of one thing, of all combinations, with a little noise, which generated
images may have left of theirs. Model: `vision.resnet.ResNetClassifier`. Loss: cross-entropy, summed
over the properties. Figure: how often the least certain property is named right on new images.

Dimensions: B batch, C channels, H x W pixels, K values of a property.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import PROPERTIES, Scene, labels_of, sample_scene
from scratchmm.recipes import artifact
from scratchmm.training.fit import fit
from scratchmm.training.sampling import seeded, shuffled_batches
from scratchmm.vision.resnet import ResNetClassifier, ResNetConfig

TESTED = 500  # new images that the figures are measured on
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Settings:
    """Of the data and the training; the model has the sizes that its class gives it."""

    size: int = 32  # pixels, in height and in width
    scenes: int = 12_000
    noise: float = 0.1  # on the images, at most
    steps: int = 700
    batch: int = 64
    learning_rate: float = 5e-3
    figure: str = "worst_accuracy"  # what is judged
    expected: float = 0.97
    minutes: float = 1.0  # on two cores


SETTINGS = Settings()


class AttributeClassifier(nn.Module):
    """Names the one thing of an image: its shape, colour, size and texture.

    size: the height and width in pixels of the images that it learns from. Others it refuses: a
    network of convolutions would read them too, and be wrong without a word.

    >>> judge = AttributeClassifier().eval()
    >>> found = judge.names(torch.zeros(2, 3, 32, 32))
    >>> list(found), len(found["shape"]), judge.features(torch.zeros(2, 3, 32, 32)).shape
    (['shape', 'color', 'size', 'texture'], 2, torch.Size([2, 64]))
    """

    size: Tensor

    def __init__(self, size: int = 32) -> None:
        super().__init__()
        self.register_buffer("size", torch.tensor(size))
        classes = sum(len(values) for values in PROPERTIES.values())
        config = ResNetConfig(
            16, (16, 32, 64, 64), (1, 1, 1, 1), False, small_images=True, classes=classes
        )
        self.network = ResNetClassifier(config)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """images: float (B, 3, H, W) in [-1, 1]. For each property, the logits (B, K)."""
        self.check(images)
        parts = self.network(images).split([len(v) for v in PROPERTIES.values()], dim=1)
        return dict(zip(PROPERTIES, parts))

    def check(self, images: Tensor) -> None:
        """ValueError on images of another size than those that the classifier has learned from."""
        size = int(self.size)
        if tuple(images.shape[-2:]) != (size, size):
            height, width = images.shape[-2:]
            raise ValueError(
                f"the images are {height} x {width}, and this classifier has learned from {size} x "
                f"{size} only"
            )

    @torch.no_grad()
    def names(self, images: Tensor) -> dict[str, list[str]]:
        """What each image shows, by property: one name an image."""
        found: dict[str, list[str]] = {name: [] for name in PROPERTIES}
        for part in images.split(500):
            for name, logits in self(part).items():
                found[name] += [PROPERTIES[name][i] for i in logits.argmax(dim=1).tolist()]
        return found

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """What the last layer reads, (B, 64): where images that look alike lie together."""
        self.check(images)
        return torch.cat([self.network.encoder.vector(part) for part in images.split(500)])


class LabelledImages(NamedTuple):
    """Images of one thing, and what it is like."""

    images: Tensor  # (S, 3, H, W) in [-1, 1]
    labels: Tensor  # int64 (S, 4), in the order of PROPERTIES


def data(settings: Settings = SETTINGS, *, seed: int = 0) -> LabelledImages:
    """Scenes of one thing, of all combinations."""
    rng = np.random.default_rng(seed + 1000)
    scenes = [sample_scene(rng) for _ in range(settings.scenes)]
    labels = labels_of([scene.things[0] for scene in scenes])
    return LabelledImages(draw_many(scenes, settings.size), labels)


def build(
    settings: Settings = SETTINGS, data: LabelledImages | None = None, *, seed: int = 0
) -> AttributeClassifier:
    """A new classifier for images of the settings' size."""
    torch.manual_seed(seed)
    return AttributeClassifier(settings.size)


def batches(settings: Settings, data: LabelledImages, *, seed: int = 0) -> Callable[[int], Batch]:
    """A function from the step to its batch (images, labels): each image with noise of its own.

    It is there so that noise, of which generated images may have some left, does not decide.
    """
    indices = shuffled_batches(len(data.images), min(settings.batch, len(data.images)), seed)

    def batch_at(step: int) -> Batch:
        chosen, generator = indices(step), seeded(seed, step)
        clean = data.images[chosen]
        strength = settings.noise * torch.rand(len(chosen), 1, 1, 1, generator=generator)
        return clean + strength * torch.randn(clean.shape, generator=generator), data.labels[chosen]

    return batch_at


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """The sum over the properties of the cross-entropy; images and labels (B, 4)."""
    images, labels = batch
    logits = model(images)
    return torch.stack([F.cross_entropy(x, row) for x, row in zip(logits.values(), labels.T)]).sum()


def train(
    settings: Settings = SETTINGS,
    dataset: LabelledImages | None = None,
    *,
    steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    folder: str | Path | None = None,
    log: Callable[[str], None] | None = None,
    **options: Any,
) -> AttributeClassifier:
    """A classifier, trained; with a folder it is kept there, and a stopped training goes on.

    dataset: drawn as the settings say if it is not given. options: more of `training.fit`, such as
    progress, precision, resume and save_every.
    """
    settings = artifact.with_steps(settings, steps)
    dataset = dataset or data(settings, seed=seed)
    model = build(settings, dataset, seed=seed)
    if log:
        log(f"Training an attribute classifier for {settings.steps:,} steps.")
    told = {"scenes": settings.scenes, "size": settings.size, "noise": settings.noise}
    with torch.enable_grad():
        fit(
            model,
            batches(settings, dataset, seed=seed),
            loss,
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            seed=seed,
            device=device,
            folder=folder,
            settings={**told, "batch": settings.batch},
            log=log,
            **options,
        )
    model.to("cpu").eval()
    if folder is not None:
        save(model, folder, settings, seed=seed)
    return model


def accuracy(
    judge: AttributeClassifier, scenes: Sequence[Scene], images: Tensor
) -> dict[str, float]:
    """The share of images (B, 3, H, W) of which the classifier says what their scene says."""
    found = judge.names(images)
    wanted = [scene.things[0] for scene in scenes]
    return {
        name: sum(said == getattr(thing, name) for said, thing in zip(told, wanted)) / len(wanted)
        for name, told in found.items()
    }


def figures(model: AttributeClassifier, dataset: LabelledImages | None = None) -> dict[str, float]:
    """How often each property is named right on new images, and the least of them."""
    rng = np.random.default_rng(999)
    scenes = [sample_scene(rng) for _ in range(TESTED)]
    by_name = accuracy(model, scenes, draw_many(scenes, int(model.size)))
    found = {f"{name}_accuracy": value for name, value in by_name.items()}
    return found | {"worst_accuracy": min(by_name.values())}


def save(
    model: AttributeClassifier,
    folder: str | Path,
    settings: Settings | None = None,
    *,
    seed: int = 0,
) -> None:
    """Keep it in a folder, see `recipes.artifact`; settings: those it was trained with."""
    made = artifact.made_by("attribute_classifier", settings, seed)
    config, weights = {"size": int(model.size)}, model.state_dict()
    artifact.save(folder, "attribute_classifier", config=config, weights=weights, made=made)


def load(folder: str | Path) -> AttributeClassifier:
    """Read back what `save` wrote. Missing or foreign files are refused in a sentence."""
    found = artifact.read(folder, "attribute_classifier")
    with artifact.fitting(folder):
        return artifact.fill(AttributeClassifier(found.config["size"]), found.weights)
