"""What the tour trains on and what it asks: the world's images, or the user's own pairs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scratchmm.data.sets.duplicates import gallery, right_answers, same_texts
from scratchmm.data.sets.pairs import load_images, read_pairs, split_pairs
from scratchmm.data.world.captions import describe, wordings
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import combinations, sample_scene, split_combinations

WORLD_IMAGES, TESTED = 16_384, 500  # to train on; of each part to be asked about
PROMPTS = ("a {}", "there is a {}", "this is a {}", "a small {}", "a large {}")


@dataclass
class Part:
    """Images that were not trained on (or were), their sentences, and which belong together."""

    images: Tensor  # (B, 3, H, W) in [-1, 1]
    texts: list[str]
    relevant: Tensor  # bool (B, B): is sentence j true of image i
    classes: list[str]  # names to choose from, for zero-shot classification
    labels: Tensor  # int64 (B,), the right class of each
    prompts: tuple[str, ...] = ("{}",)  # what is said around a class's name
    several: Tensor | None = None  # bool (B, K), which classes are right, where it may be many

    def __post_init__(self) -> None:
        once = gallery(self.images, self.texts)
        self.rows, self.columns = once.rows, once.columns  # what stands once in a gallery

    def right(self) -> Tensor:
        """Which classes are right for each image: bool (B, K)."""
        if self.several is not None:
            return self.several
        return self.labels[:, None] == torch.arange(len(self.classes))


def read(
    table: Path | None, seed: int, say: Callable[[str], None]
) -> tuple[tuple[Tensor, list[str]], Part, Part]:
    """((training images, sentences), a part like the training's, a part unlike it)."""
    if table is not None:
        return _own_pairs(table, seed, say)

    rng = np.random.default_rng(seed)
    seen, unseen = split_combinations()
    scenes = [sample_scene(rng, combinations=seen) for _ in range(WORLD_IMAGES)]
    texts = [describe(scene, rng) for scene in scenes]
    say(
        f"Drew {len(scenes):,} images of {len(seen)} combinations of colour and shape, each with a "
        f"sentence such as {texts[0]!r}; {len(unseen)} more combinations are held out."
    )
    parts = [_world_part(rng, only) for only in (seen, unseen)]
    return (draw_many(scenes), texts), parts[0], parts[1]


def _world_part(rng: Any, only: list[tuple[str, str]]) -> Part:
    """New images of these combinations, to be told apart among all 64."""
    scenes = [sample_scene(rng, combinations=only) for _ in range(TESTED)]
    texts = [describe(scene, rng) for scene in scenes]
    classes = [" ".join(pair) for pair in combinations()]
    labels = [classes.index(f"{s.things[0].color} {s.things[0].shape}") for s in scenes]
    true = [set(wordings(scene)) for scene in scenes]
    relevant = torch.tensor([[text in sentences for text in texts] for sentences in true])
    return Part(draw_many(scenes), texts, relevant, classes, torch.tensor(labels), PROMPTS)


def _own_pairs(
    table: Path, seed: int, say: Callable[[str], None]
) -> tuple[tuple[Tensor, list[str]], Part, Part]:
    """The user's pairs; the parts are up to 500 of the training's, and all that were held out."""
    kept, held_out = split_pairs(read_pairs(table), seed=seed)
    if len(kept) < 2 or len(held_out) < 2:
        raise ValueError(
            f"{table} gives {len(kept)} pairs to train on and {len(held_out)} to hold out: "
            "both need at least 2"
        )
    say(f"Read {len(kept) + len(held_out):,} pairs of {table}; {len(held_out):,} are held out.")
    images, texts = load_images(kept), [pair.text for pair in kept]
    stride = max(1, len(kept) // 500)
    return (
        (images, texts),
        _pairs_part(images[::stride], texts[::stride]),
        _pairs_part(load_images(held_out), [pair.text for pair in held_out]),
    )


def _pairs_part(images: Tensor, texts: list[str]) -> Part:
    """Every text of an image is right, in whichever pair it stands; each different one is a class."""
    once = gallery(images, texts)
    classes = [texts[column] for column in once.columns.tolist()]
    number = same_texts(texts)  # counted as they appear, like the columns
    relevant = right_answers(images, texts)(torch.arange(len(texts)))
    several = relevant[:, once.columns]
    return Part(images, texts, relevant, classes, number, several=several)
