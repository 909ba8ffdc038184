"""What the recipes of images train on: a set by its name as images, sentences and classes, and parts
held out.

Digits and clothes get their sentences from the names of their classes; the world describes itself;
emoji and the user's own pairs bring their words along.

Dimensions: B images, C channels, H x W pixels, K names of classes, S sentences.
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

from scratchmm.contrastive.zero_shot import class_embeddings
from scratchmm.data.sets.duplicates import gallery
from scratchmm.data.sets.mnist import load_fashion_mnist, load_mnist
from scratchmm.data.sets.pairs import load_emoji, load_images, read_pairs, split_pairs
from scratchmm.data.world.captions import describe, wordings
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import sample_scene, split_combinations
from scratchmm.refusals import check_seed
from scratchmm.training.fingerprint import content_of

SETS = ("world", "mnist", "fashion_mnist", "emoji")
DIGIT_PROMPTS = ("{}", "the digit {}", "a handwritten {}", "a picture of the number {}")
CLOTHES_PROMPTS = ("{}", "a photo of clothing: {}", "a picture of the article {}", "a grey {}")
WORLD_PROMPTS = ("a {}", "there is a {}", "this is a {}")


@dataclass
class Part:
    """Images to be tested on, the class of each, which has a name, and what sentences are true."""

    images: Tensor  # (B, C, H, W) in [-1, 1]
    labels: Tensor  # int64 (B,)
    names: list[str]  # K of them; for pairs, every different text is a class
    prompts: tuple[str, ...] = ("{}",)  # what is said around a name
    several: Tensor | None = None  # bool (B, K), which names are right, where it may be many
    files: int = 0  # how many images there were, before those that are the same became one
    sentences: Sequence[str] = ()  # S of them, each once; where there are none, the names
    own: Tensor | None = None  # int64 (B,), which sentence was said of each image
    true: Tensor | None = None  # bool (B, S), which sentences are true of it

    def right(self) -> Tensor:
        """Which names are right for each image: bool (B, K)."""
        if self.several is not None:
            return self.several
        return self.labels[:, None] == torch.arange(len(self.names), device=self.labels.device)

    def told(self) -> tuple[list[str], Tensor, Tensor]:
        """The sentences, the own one of each image int64 (B,), and which are true bool (B, S)."""
        if self.own is None or self.true is None:
            return self.names, self.labels, self.right()
        return list(self.sentences), self.own, self.true


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
            parts += [list(part.sentences), part.true]
        return content_of(*parts)

    def first(self, count: int) -> "TrainingSet":
        """The same with only the first `count` images to train on: for a quick run."""
        labels = None if self.labels is None else self.labels[:count]
        return TrainingSet(self.images[:count], self.texts[:count], labels, self.names, self.tests)


def zero_shot_accuracy(clip: Any, part: Part) -> float:
    """How often the likeliest of all names, its prompts averaged, is a right one.

    clip: anything with embed_images and embed_texts, such as a `recipes.clip.TrainedCLIP`.
    """
    best = name_similarity(clip, part).argmax(dim=-1, keepdim=True)  # (B, 1)
    return part.right().gather(1, best).double().mean().item()


def name_similarity(clip: Any, part: Part) -> Tensor:
    """Cosine similarity of every image with every name, its prompts averaged: (B, K)."""
    images = clip.embed_images(part.images.expand(-1, 3, -1, -1))  # (B, E)
    return images @ class_embeddings(clip.embed_texts, part.names, part.prompts).T  # (B, K)


def sentence_similarity(clip: Any, part: Part) -> Tensor:
    """Cosine similarity of every image with every sentence: (B, S)."""
    images = clip.embed_images(part.images.expand(-1, 3, -1, -1))  # (B, E)
    return images @ clip.embed_texts(part.told()[0]).T  # (B, S)


def read_set(
    data: str,
    root: str | Path | None,
    size: int,
    seed: int,
    *,
    images: int = 16_384,
    tested: int = 1_000,
) -> TrainingSet:
    """The set of that name, or the user's table of pairs, with images of size x size pixels.

    images: of the world, to train on; tested: of each of its parts. Real sets have their own.

    Raises ValueError for an unknown name, and what the readers raise for missing or damaged files.
    """
    check_seed(seed)
    if data == "world":
        return _world(size, seed, images, tested)
    if data in ("mnist", "fashion_mnist"):
        return _labelled(data, root, size, seed)
    if data == "emoji":
        return _pairs(data, load_emoji(root, "train"), load_emoji(root, "test"), size)
    return _pairs(data, *split_pairs(read_pairs(data), seed=seed), size)


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


def _world(size: int, seed: int, count: int, tested: int) -> TrainingSet:
    rng = np.random.default_rng(seed)
    seen, unseen = split_combinations()
    names = [" ".join(pair) for pair in [*seen, *unseen]]  # the seen ones first
    scenes = [sample_scene(rng, combinations=seen) for _ in range(count)]
    labels = _labels(scenes, names)
    texts = [describe(scene, rng) for scene in scenes]
    tests = {"seen": _world_part(rng, seen, names, size, tested)}
    tests["unseen"] = _world_part(rng, unseen, names, size, tested)
    return TrainingSet(draw_many(scenes, size), texts, labels, names, tests)


def _world_part(rng: Any, only: Any, names: list[str], size: int, count: int) -> Part:
    """New images of these combinations, to be told apart among all names, a sentence of each."""
    scenes = [sample_scene(rng, combinations=only) for _ in range(count)]
    texts = [describe(scene, rng) for scene in scenes]
    sentences = list(dict.fromkeys(texts))
    own = torch.tensor([sentences.index(text) for text in texts])
    said = [set(wordings(scene)) for scene in scenes]
    true = torch.tensor([[text in true for text in sentences] for true in said])
    images, labels = draw_many(scenes, size), _labels(scenes, names)
    return Part(images, labels, names, WORLD_PROMPTS, sentences=sentences, own=own, true=true)


def _labels(scenes: Sequence[Any], names: list[str]) -> Tensor:
    number = {name: row for row, name in enumerate(names)}
    return torch.tensor([number[f"{s.things[0].color} {s.things[0].shape}"] for s in scenes])


def _labelled(data: str, root: str | Path | None, size: int, seed: int) -> TrainingSet:
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


def _pairs(data: str, train: Sequence[Any], test: Sequence[Any], size: int) -> TrainingSet:
    if len(train) < 2 or len(test) < 2:
        raise ValueError(
            f"{data} gives {len(train)} pairs to train on and {len(test)} to hold out: both need at "
            "least 2"
        )
    part = pairs_part(load_images(test, size), [pair.text for pair in test])
    part.files = len({pair.file for pair in test})
    texts = [pair.text for pair in train]
    return TrainingSet(load_images(train, size), texts, None, part.names, {"test": part})


def pairs_part(images: Tensor, texts: Sequence[str]) -> Part:
    """Pairs as a part: every text of an image is right, and an image stands in it once."""
    once = gallery(images, texts)
    names = [texts[column] for column in once.columns.tolist()]
    right = once.relevant  # (B, K)
    return Part(images[once.rows], right.int().argmax(dim=1), names, several=right)
