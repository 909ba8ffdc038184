"""Scenes with a sentence about each: what a text-to-image model learns from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scratchmm.data.wording import describe
from scratchmm.data.world import Combination, Scene, sample_scene


class Captioned(NamedTuple):
    """Scenes, and a sentence about each."""

    scenes: list[Scene]
    texts: list[str]


def captioned(
    count: int, combinations: Sequence[Combination], *, seed: int = 0, pairs: float = 0.0
) -> Captioned:
    """Scenes of one thing, a share `pairs` of them of two, each with one of its true sentences.

    >>> captioned(2, [("red", "star")]).scenes[0].things[0].shape
    'star'
    """
    rng = np.random.default_rng(seed)
    scenes = [
        sample_scene(rng, 1 + int(rng.random() < pairs), [*combinations]) for _ in range(count)
    ]
    return Captioned(scenes, [describe(scene, rng) for scene in scenes])
