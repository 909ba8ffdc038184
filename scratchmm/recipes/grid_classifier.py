"""What lies in each cell of an image: the classifier whose features a VQA attends to.

    python -m scratchmm train grid_classifier

Data: scenes of one to three things, of combinations that are not held out, with labels for each of
8 x 8 cells. Model: `vision.grid_classifier.GridClassifier`. Loss: cross-entropy over the cells; all
but the colour learn from images in other colours. Figure: how many of the cells with a thing of a
combination never seen are named right.

Dimensions: B batch, S images, N cells, C features of a cell.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from scratchmm.data.world.images import draw_many, masks
from scratchmm.data.world.scenes import (
    PROPERTIES,
    Combination,
    Scene,
    labels_of,
    sample_scene,
    split_combinations,
)
from scratchmm.recipes import artifact
from scratchmm.sentences import check_count
from scratchmm.training.augment import mix_colors
from scratchmm.training.fit import fit
from scratchmm.training.sampling import seeded, shuffled_batches
from scratchmm.vision.grid_classifier import GridClassifier, cell_labels, grid_loss

TESTED = 300  # scenes of combinations never seen
Batch = tuple[Tensor, Tensor, Tensor]  # images, the same in other colours, labels


@dataclass(frozen=True)
class Settings:
    """Of the data and the training; the model has the sizes that its file gives it."""

    scenes: int = 12_000
    image_size: int = 32  # pixels
    steps: int = 1500
    batch: int = 48
    learning_rate: float = 6e-3
    figure: str = "unseen_accuracy"  # what is judged
    expected: float = 0.9
    minutes: float = 1.5  # on two cores


SETTINGS = Settings()


class CellData(NamedTuple):
    """Images to train on, and what lies in their cells."""

    images: Tensor  # (S, 3, H, W) in [-1, 1]
    labels: Tensor  # int64 (S, 4, N), see `labels_of_cells`


def sample_scenes(count: int, combinations: list[Combination], seed: int = 0) -> list[Scene]:
    """Scenes of one to three things; half of them share a colour or a shape, so as to be counted.

    >>> len(sample_scenes(3, [("red", "star"), ("blue", "ring")]))
    3
    """
    check_count("count", count, least=0)
    rng = np.random.default_rng(seed)
    scenes = []
    for number in range(count):
        allowed = combinations
        if number % 2:
            part = number // 2 % 2  # of a combination: 0 colour, 1 shape
            same = combinations[rng.integers(len(combinations))][part]
            allowed = [pair for pair in combinations if pair[part] == same]
        scenes.append(sample_scene(rng, things=int(rng.integers(1, 4)), combinations=allowed))
    return scenes


def labels_of_cells(scenes: Sequence[Scene], size: int = 32) -> Tensor:
    """What lies in each cell of each scene: int64 (S, 4, N), see `cell_labels`."""
    found = [cell_labels(masks(scene, size), labels_of(scene.things)) for scene in scenes]
    return torch.stack(found)


def data(settings: Settings = SETTINGS, *, seed: int = 0) -> CellData:
    """Scenes of combinations that are not held out, as images and as labels of their cells."""
    scenes = sample_scenes(settings.scenes, split_combinations()[0], seed)
    size = settings.image_size
    return CellData(draw_many(scenes, size), labels_of_cells(scenes, size))


def build(
    settings: Settings = SETTINGS, data: CellData | None = None, *, seed: int = 0
) -> GridClassifier:
    """A new classifier of the world's properties."""
    torch.manual_seed(seed)
    return GridClassifier([len(names) for names in PROPERTIES.values()])


def batches(settings: Settings, data: CellData, *, seed: int = 0) -> Callable[[int], Batch]:
    """A function from the step to its batch (images, in other colours, labels)."""
    indices = shuffled_batches(len(data.images), min(settings.batch, len(data.images)), seed)

    def batch_at(step: int) -> Batch:
        chosen = indices(step)
        images = data.images[chosen]
        return images, mix_colors(images, seeded(seed, step)), data.labels[chosen]

    return batch_at


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """The mean cross-entropy of all properties over the cells."""
    return grid_loss(model, *batch, [*PROPERTIES].index("color"))


def train(
    settings: Settings = SETTINGS,
    dataset: CellData | None = None,
    *,
    steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    folder: str | Path | None = None,
    log: Callable[[str], None] | None = None,
    **options: Any,
) -> GridClassifier:
    """A classifier, trained; with a folder it is kept there, and a stopped training goes on.

    dataset: drawn as the settings say if it is not given. options: more of `training.fit`, such as
    progress, precision, resume and save_every.
    """
    settings = artifact.with_steps(settings, steps)
    dataset = dataset or data(settings, seed=seed)
    model = build(settings, dataset, seed=seed)
    if log:
        log(f"Training a grid classifier for {settings.steps:,} steps.")
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
            settings={"scenes": len(dataset.images), "batch": settings.batch},
            log=log,
            **options,
        )
    model.to("cpu").eval()
    if folder is not None:
        save(model, folder, settings, seed=seed)
    return model


@torch.no_grad()
def cell_features(model: GridClassifier, images: Tensor, batch_size: int = 500) -> Tensor:
    """What the classifier sees in images (S, 3, H, W): probabilities (S, N, C)."""
    return torch.cat([model.features(part) for part in images.split(batch_size)])


@torch.no_grad()
def figures(model: GridClassifier, dataset: CellData | None = None) -> dict[str, float]:
    """How many cells with a thing are named right, on average over the properties.

    Of new scenes, with combinations that the training has seen, and with those it never saw.
    """
    found = {}
    for which, only, seed in zip(("seen", "unseen"), split_combinations(), (1001, 1002)):
        scenes = sample_scenes(TESTED, only, seed)
        labels = labels_of_cells(scenes)  # (S, 4, N)
        guesses = torch.stack([part.argmax(dim=1) for part in model(draw_many(scenes))], dim=1)
        there = labels > 0
        found[f"{which}_accuracy"] = (guesses == labels)[there].double().mean().item()
    return found


def save(
    model: GridClassifier,
    folder: str | Path,
    settings: Settings | None = None,
    *,
    seed: int = 0,
) -> None:
    """Keep it in a folder, see `recipes.artifact`; settings: those it was trained with."""
    config = {"classes": [len(names) for names in PROPERTIES.values()]}
    made = artifact.made_by("grid_classifier", settings, seed)
    artifact.save(folder, "grid_classifier", config=config, weights=model.state_dict(), made=made)


def load(folder: str | Path) -> GridClassifier:
    """Read back what `save` wrote. Missing or foreign files are refused in a sentence."""
    found = artifact.read(folder, "grid_classifier")
    with artifact.fitting(folder):
        return artifact.fill(GridClassifier(found.config["classes"]), found.weights)
