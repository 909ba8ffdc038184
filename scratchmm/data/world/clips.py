"""Clips of the world, sampled from a seed, each with the captions that are true of it.

The position of a moving thing in the middle of a clip does not determine its direction: a model
given only that frame can only guess it, and a model given the frames in random order can only guess
between two opposite directions.

B clips, F frames, H and W the image's sides.
"""

import dataclasses
from collections.abc import Sequence
from itertools import count, product

import numpy as np
import torch
from torch import Tensor

from scratchmm.data.world.captions import article
from scratchmm.data.world.images import check_size, draw_many
from scratchmm.data.world.motion import (
    KINDS,
    MOST_FRAMES,
    SPEEDS,
    WAYS,
    Clip,
    Motion,
    exact_places,
    scenes,
    speed,
    way,
)
from scratchmm.data.world.scenes import GAP, Combination, Scene, Thing, combinations, sample_scene
from scratchmm.sentences import check_count

TO_BORDER = (0.18, 0.24)  # image widths that a thing goes before it bounces
TURN = (0.4, 0.55)  # when it bounces, as a part of the clip
CHANGE = (1 / 3, 2 / 3)  # when a thing appears or disappears: in the middle third
TOWARD = {"left": "to the left", "right": "to the right", "up": "upwards", "down": "downwards"}
BORDER = {"left": "left", "right": "right", "up": "upper", "down": "lower"}
VERBS = {
    "stands": ["stands still", "rests", "stays still all the time"],
    "appears": ["appears", "comes into sight", "is not there at first and then appears"],
    "disappears": ["disappears", "vanishes", "is there at first and then disappears"],
}
TRIES = 20  # to find places for large things that keep apart, before all are made small


def draw_clip(clip: Clip, frames: int = 16, size: int = 32) -> Tensor:
    """Draw one clip: float32 (F, 3, size, size) in [-1, 1].

    >>> draw_clip(Clip(Scene((Thing("star", "red"),))), frames=4, size=8).shape
    torch.Size([4, 3, 8, 8])
    """
    return draw_clips([clip], frames, size)[0]


def draw_clips(clips: Sequence[Clip], frames: int = 16, size: int = 32) -> Tensor:
    """Draw clips: float32 (B, F, 3, size, size) in [-1, 1].

    >>> draw_clips([Clip(Scene(()))] * 2, frames=5, size=8).shape
    torch.Size([2, 5, 3, 8, 8])
    """
    check_count("frames", frames, most=MOST_FRAMES)
    check_size(size, len(clips) * frames)
    images = torch.empty(len(clips), frames, 3, size, size)
    for index, clip in enumerate(clips):
        images[index] = draw_many(scenes(clip, frames), size)
    return images


def sample_clip(
    rng: np.random.Generator,
    things: int = 1,
    kinds: Sequence[str] = KINDS,
    combinations: list[Combination] | None = None,
) -> Clip:
    """Draw a clip of one or two things that never touch each other or leave the image.

    What each thing does is drawn from `kinds`, its colour and shape from `combinations` (all 64 by
    default). Two things differ in colour and in shape, where `combinations` allows that.

    >>> clip = sample_clip(np.random.default_rng(0), kinds=["goes"], combinations=[("red", "star")])
    >>> describe_clip(clip).rsplit(" ", 1)[0]
    'a red star goes'
    """
    check_count("things", things, most=2)
    if not kinds:
        raise ValueError("there are 0 kinds of motion to draw from")
    scene = _sample_looks(rng, things, combinations)
    motions = tuple(
        Motion(kinds[int(rng.integers(len(kinds)))], round(float(rng.uniform(*CHANGE)), 4))
        for _ in range(things)
    )
    ways = [list(WAYS.values())[int(rng.integers(len(WAYS)))] for _ in range(things)]
    paces = [list(SPEEDS.values())[int(rng.integers(len(SPEEDS)))] for _ in range(things)]
    alone = things == 1
    for attempt in count():
        sizes = [thing.size if attempt < TRIES else "small" for thing in scene.things]
        found = tuple(
            _send(rng, dataclasses.replace(thing, size=size, zoom=1.0), motion, step, pace, alone)
            for thing, size, motion, step, pace in zip(
                scene.things, sizes, motions, ways, paces, strict=True
            )
        )
        clip = Clip(Scene(found, scene.background), motions)
        if _keeps_apart(clip):
            return clip
    raise AssertionError("counting has no end")


def _sample_looks(
    rng: np.random.Generator, things: int, allowed: list[Combination] | None
) -> Scene:
    """A scene whose two things differ in colour and shape, if any two that are allowed do."""
    scene = sample_scene(rng, things, allowed)
    pool = combinations() if allowed is None else allowed
    first, last = scene.things[0], scene.things[-1]
    others = [pair for pair in pool if pair[0] != first.color and pair[1] != first.shape]
    if things == 2 and others and (last.color, last.shape) not in others:
        color, shape = others[int(rng.integers(len(others)))]
        last = dataclasses.replace(last, color=color, shape=shape)
    return Scene((first, last)[:things], scene.background)


def _send(
    rng: np.random.Generator,
    thing: Thing,
    motion: Motion,
    step: tuple[int, int],
    pace: tuple[float, float],
    alone: bool,
) -> Thing:
    """Choose a place and, for what moves, how far it goes."""
    border = thing.radius + GAP / 2
    goes = float(rng.uniform(*pace)) if motion.kind == "goes" else 0.0
    # The middle of the way lies where all four ways would fit, or in company only there and back.
    low = [border + goes / 2 * (alone or bool(axis)) for axis in step]
    x, y = (float(rng.uniform(edge, 1 - edge)) for edge in low)
    dx, dy = step[0] * goes, step[1] * goes
    x, y = x - dx / 2, y - dy / 2
    if motion.kind == "bounces":
        room, turn = float(rng.uniform(*TO_BORDER)), float(rng.uniform(*TURN))
        far = room / turn
        near, end = thing.radius + room, 1 - thing.radius - room
        x = {-1: near, 0: x, 1: end}[step[0]]
        y = {-1: near, 0: y, 1: end}[step[1]]
        dx, dy = step[0] * far, step[1] * far
    x, y, dx, dy = (round(number, 4) + 0.0 for number in (x, y, dx, dy))
    return dataclasses.replace(thing, x=x, y=y, dx=dx, dy=dy)


def _keeps_apart(clip: Clip) -> bool:
    """Whether two things keep a gap all the time, visible or not."""
    if len(clip.motions) < 2:
        return True
    where, _ = exact_places(clip, 33)
    apart = np.hypot(*(where[:, 0] - where[:, 1]).T)
    return bool(apart.min() >= sum(thing.radius for thing in clip.scene.things) + GAP)


def describe_clip(clip: Clip, rng: np.random.Generator | None = None) -> str:
    """One true sentence: the plainest, or one that `rng` picks among all wordings.

    >>> describe_clip(Clip(Scene((Thing("ring", "blue"),)), (Motion("appears"),)))
    'a blue ring appears'
    """
    sentences = clip_wordings(clip)
    return sentences[0 if rng is None else int(rng.integers(len(sentences)))]


def clip_wordings(clip: Clip) -> list[str]:
    """Every caption of this module that is true of the clip, the plainest first.

    >>> star, ring = Thing("star", "red", dx=-0.15), Thing("ring", "blue", y=0.9)
    >>> clip_wordings(Clip(Scene((star, ring)), (Motion("goes"), Motion())))[0]
    'a red star goes left while a blue ring stands still'
    """
    if not clip.motions:
        return ["an empty picture"]
    each = [
        [f"{name} {verb}" for verb in _verbs(thing, motion) for name in _names(thing)]
        for thing, motion in zip(clip.scene.things, clip.motions, strict=True)
    ]
    if len(each) == 1:
        return each[0]
    return [
        joint.join(parts)
        for joint in (" while ", " and ")
        for order in (each, each[::-1])
        for parts in product(*order)
    ]


def _names(thing: Thing) -> list[str]:
    plain = f"{thing.color} {thing.shape}"
    return [article(plain), f"the {plain}", f"a {thing.size} {plain}"]


def _verbs(thing: Thing, motion: Motion) -> list[str]:
    """What it does, in a few ways."""
    to = way(thing)
    if motion.kind == "goes":
        toward, pace = TOWARD[to], speed(thing)
        return [
            f"goes {to}",
            f"goes {pace} {toward}",
            f"moves {toward}",
            f"moves {toward}, {pace}",
        ]
    if motion.kind == "bounces":
        return [
            f"bounces off the {BORDER[to]} border",
            f"goes {to}, bounces and comes back",
            f"goes to the {BORDER[to]} border and comes back",
        ]
    return VERBS[motion.kind]
