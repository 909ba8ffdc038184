"""What `train` trains on: a set by its name as images, sentences and classes, and its test parts.

Digits and clothes get their sentences from the names of their classes; the world describes itself;
emoji and the user's own pairs bring their words along.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.refusals import check_seed
from scratchmm.training.fingerprint import content_of

SETS = ("world", "mnist", "fashion_mnist", "emoji")
WORLD_IMAGES, WORLD_TESTED = 16_384, 1_000
DIGIT_PROMPTS = ("{}", "the digit {}", "a handwritten {}", "a picture of the number {}")
CLOTHES_PROMPTS = ("{}", "a photo of clothing: {}", "a picture of the article {}", "a grey {}")
WORLD_PROMPTS = ("a {}", "there is a {}", "this is a {}")


@dataclass
class Part:
    """Images to be tested on, and the class of each, which has a name."""

    images: Tensor  # (B, C, H, W) in [-1, 1]
    labels: Tensor  # int64 (B,)
    names: list[str]  # K of them; for pairs, every different text is a class
    prompts: tuple[str, ...] = ("{}",)  # what is said around a name
    several: Tensor | None = (
        None  # bool (B, K), which names are right, where it may be more than one
    )
    files: int = 0  # how many images there were, before those that are the same became one

    def right(self) -> Tensor:
        """Which names are right for each image: bool (B, K)."""
        if self.several is not None:
            return self.several
        return self.labels[:, None] == torch.arange(len(self.names), device=self.labels.device)


@dataclass
class TrainingSet:
    """Images with a sentence each, with classes where there are some, and parts held out."""

    images: Tensor  # (B, C, H, W) in [-1, 1]
    texts: list[str]
    labels: Tensor | None  # int64 (B,), None for pairs
    names: list[str]
    tests: dict[str, Part]  # "test", or for the world "seen" and "unseen"

    def content(self) -> str:
        """Letters that are others as soon as an image, text or label is, to train on or to ask."""
        parts: list[Any] = [self.images, self.texts, self.labels, self.names]
        for which, part in self.tests.items():
            parts += [[which, *part.prompts], part.images, part.right(), part.names]
        return content_of(*parts)


def read_set(data: str, root: str | Path | None, size: int, seed: int) -> TrainingSet:
    """The set of that name, or the user's table of pairs, with images of size x size pixels.

    Raises ValueError for an unknown name, and what the readers raise for missing or damaged files.
    """
    check_seed(seed)
    if data == "world":
        return _world(size, seed)
    if data in ("mnist", "fashion_mnist"):
        return _labelled(data, root, size, seed)
    if data == "emoji":
        from scratchmm.data.sets.pairs import load_emoji

        return _pairs(load_emoji(root, "train"), load_emoji(root, "test"), size)
    from scratchmm.data.sets.pairs import read_pairs, split_pairs

    return _pairs(*split_pairs(read_pairs(data), seed=seed), size)


def check_name(data: str) -> None:
    """Refuse a name that is neither a set nor a file.

    >>> check_name("minst")
    Traceback (most recent call last):
    ValueError: there is no data set 'minst' (did you mean mnist?): name world, mnist, \
fashion_mnist, emoji, or a table of pairs FILE.tsv
    """
    if data in SETS or data.endswith(".tsv") or Path(data).is_file():
        return
    near = difflib.get_close_matches(data, SETS, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(
        f"there is no data set {data!r}{hint}: name {', '.join(SETS)}, or a table of pairs FILE.tsv"
    )


def _world(size: int, seed: int) -> TrainingSet:
    from scratchmm.data.world.captions import describe
    from scratchmm.data.world.images import draw_many
    from scratchmm.data.world.scenes import sample_scene, split_combinations

    rng = np.random.default_rng(seed)
    seen, unseen = split_combinations()
    names = [" ".join(pair) for pair in [*seen, *unseen]]  # the seen ones first
    parts = []
    for count, only in ((WORLD_IMAGES, seen), (WORLD_TESTED, seen), (WORLD_TESTED, unseen)):
        scenes = [sample_scene(rng, combinations=only) for _ in range(count)]
        said = [f"{scene.things[0].color} {scene.things[0].shape}" for scene in scenes]
        labels = torch.tensor([names.index(name) for name in said])
        parts.append((draw_many(scenes, size), labels, [describe(scene, rng) for scene in scenes]))
    (images, labels, texts), *tested = parts
    tests = {
        which: Part(images, labels, names, WORLD_PROMPTS)
        for which, (images, labels, _) in zip(("seen", "unseen"), tested, strict=True)
    }
    return TrainingSet(images, texts, labels, names, tests)


def _labelled(data: str, root: str | Path | None, size: int, seed: int) -> TrainingSet:
    from scratchmm.data.sets.mnist import load_fashion_mnist, load_mnist

    read = load_mnist if data == "mnist" else load_fashion_mnist
    prompts = DIGIT_PROMPTS if data == "mnist" else CLOTHES_PROMPTS
    images, labels, names = read(root, "train")
    tested, answers, _ = read(root, "test")
    if not len(images) or not len(tested):
        raise ValueError(f"{data} has {len(images)} training and {len(tested)} test images")
    names = [name.lower().replace("/", " or ") for name in names]
    rng = np.random.default_rng(seed)
    picked = rng.integers(len(prompts), size=len(labels))
    texts = [prompts[p].format(names[k]) for p, k in zip(picked, labels.tolist(), strict=True)]
    test = Part(_resized(tested, size), answers, names, prompts)
    return TrainingSet(_resized(images, size), texts, labels, names, {"test": test})


def _resized(images: Tensor, size: int) -> Tensor:
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)


def _pairs(train: Sequence, test: Sequence, size: int) -> TrainingSet:  # type: ignore[type-arg]
    from scratchmm.data.sets.duplicates import gallery
    from scratchmm.data.sets.pairs import load_images

    if len(train) < 2 or len(test) < 2:
        raise ValueError(
            f"there are {len(train)} pairs to train on and {len(test)} to hold out: both need 2"
        )
    texts, asked = [pair.text for pair in train], [pair.text for pair in test]
    images = load_images(test, size)
    once = gallery(images, asked)  # several texts of an image are all right; it stands once
    right = once.relevant
    names = [asked[column] for column in once.columns.tolist()]
    files = len({pair.file for pair in test})
    part = Part(images[once.rows], right.int().argmax(dim=1), names, several=right, files=files)
    return TrainingSet(load_images(train, size), texts, None, names, {"test": part})
