"""Scenes as images with a caption each: the training data of a text-to-image model.

A model learns only what its captions name. `captions.describe` names a place in one of fifteen
captions about one thing: a model trained on those ignores "at the top". So a share of the captions,
`places`, names the places of things.
"""

import re
from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from torch import Tensor

from scratchmm.data.world.captions import article, describe, relation, wordings
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import (
    COLORS,
    SHAPES,
    SIZES,
    TEXTURES,
    Combination,
    Scene,
    Thing,
    sample_scene,
)
from scratchmm.sentences import check_count, check_number

WORD = re.compile(r"[a-z]+")
FAR = 0.1  # from the middle, or between two things: less is not called left or right


class Captioned(NamedTuple):
    """Scenes, a caption of each, and their images."""

    scenes: list[Scene]
    texts: list[str]
    images: Tensor  # float (B, 3, size, size) in [-1, 1]


def captioned(
    count: int,
    combinations: Sequence[Combination],
    *,
    seed: int = 0,
    pairs: float = 0.0,
    places: float = 0.0,
    size: int = 32,
) -> Captioned:
    """Scenes of one thing, a share `pairs` of them of two, each with one of its true captions.

    A share `places` of the captions names the places of things, where that is unambiguous. The
    scenes are the same for each `places`. size: pixels of an image in height and in width.

    >>> captioned(2, [("red", "star")]).scenes[0].things[0].shape
    'star'
    >>> captioned(1, [("red", "star")], places=1.0).texts
    ['a red star on the left']
    """
    check_count("count", count, least=0)
    for name, share in (("pairs", pairs), ("places", places)):
        check_number(name, share, least=0, most=1)
    rng = np.random.default_rng(seed)
    scenes = [
        sample_scene(rng, 1 + int(rng.random() < pairs), [*combinations]) for _ in range(count)
    ]
    texts = [describe(scene, rng) for scene in scenes]
    own = np.random.default_rng((seed, 1))  # scenes and other sentences do not hang on `places`
    for index, scene in enumerate(scenes):
        if places and own.random() < places:
            texts[index] = placed(scene, own) or texts[index]
    return Captioned(scenes, texts, draw_many(scenes, size))


def placed(scene: Scene, rng: np.random.Generator) -> str | None:
    """A true caption that names the places of a scene's one or two things, or None.

    >>> placed(Scene((Thing("star", "red", y=0.2),)), np.random.default_rng(4))
    'a red star at the top'
    """
    if len(scene.things) == 1:
        (thing,) = scene.things
        found = places_of(thing)
        return f"{_named(thing, rng)} {found[int(rng.integers(len(found)))]}" if found else None
    one, other = (scene.things[i] for i in rng.permutation(2))
    side = relation(one, other)
    if side is None:
        return None
    first, second = _named(one, rng), _named(other, rng)
    sentences = [f"{first} {side} {second}", f"{side} {second} is {first}"]
    sentences += [f"{first} is {side} {second}"]
    return sentences[int(rng.integers(len(sentences)))]


def places_of(thing: Thing) -> list[str]:
    """Every place name that is true of a single thing; none near the border between two places.

    >>> places_of(Thing("star", "red", x=0.2, y=0.5)), places_of(Thing("star", "red"))
    (['on the left'], ['in the middle'])
    >>> places_of(Thing("star", "red", x=0.7, y=0.2))
    ['on the right', 'at the top', 'at the top right']
    """
    across, down = thing.x - 0.5, thing.y - 0.5
    side = "left" if across < -FAR else "right" if across > FAR else ""
    height = "top" if down < -FAR else "bottom" if down > FAR else ""
    found = [f"on the {side}"] * bool(side) + [f"at the {height}"] * bool(height)
    if side and height:
        found.append(f"at the {height} {side}")
    if max(abs(across), abs(down)) < 0.7 * FAR:
        found.append("in the middle")
    return found


def _named(thing: Thing, rng: np.random.Generator) -> str:
    """A thing by colour and shape, often with its size, sometimes with its texture."""
    size, texture = rng.random(2).tolist()
    words = [thing.size] * (size < 0.4) + [thing.texture] * (texture < 0.25)
    return article(" ".join([*words, thing.color, thing.shape]))


@cache
def known_words() -> frozenset[str]:
    """The vocabulary of all captions of one or two things, without sampling any.

    >>> {"red", "striped", "stars", "middle", "left"} <= known_words(), "dog" in known_words()
    (True, False)
    """
    corners = [*product((0.2, 0.8), repeat=2), (0.5, 0.5)]
    scenes = [
        Scene((Thing(shape, color, SIZES[0], TEXTURES[0], x, y),))
        for color, shape, (x, y) in product(COLORS, SHAPES, corners)
    ]
    scenes += [Scene((Thing("star", "red", *kind),)) for kind in product(SIZES, TEXTURES)]
    scenes += [Scene(2 * scene.things) for scene in scenes]  # two red stars
    away = [Thing("star", "red", x=x, y=y) for x, y in ((0.1, 0.5), (0.5, 0.1))]
    scenes += [Scene((Thing("star", "blue"), thing)) for thing in away]
    texts = [text for scene in scenes for text in wordings(scene)]
    texts += [place for scene in scenes for place in places_of(scene.things[0])]
    return frozenset(word for text in texts for word in WORD.findall(text))
