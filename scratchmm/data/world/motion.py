"""Motion in the world: the facts of a clip, and the positions of its things over time.

A clip is a scene, its beginning, and the motion of each thing. Its images and captions (`clips`)
and its sound (`sounds`) are computed from these facts alone, so they agree.

F frames, T things.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from scratchmm.data.world.scenes import Scene, Thing
from scratchmm.sentences import check_count

KINDS = ("stands", "goes", "bounces", "appears", "disappears")
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SPEEDS = {"slowly": (0.14, 0.18), "fast": (0.36, 0.44)}  # image widths in a clip
FAST = 0.27  # image widths in a clip, between the two
MOST_FRAMES = 2**24  # or samples of a clip's sound: minutes


@dataclass(frozen=True)
class Motion:
    """The motion of a thing: one of KINDS, and when it appears or disappears (0 begins, 1 ends a clip).

    Its direction and distance are `dx` and `dy` of its `Thing`.

    >>> Motion("goes")
    Motion(kind='goes', moment=0.5)
    """

    kind: str = "stands"
    moment: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"motion {self.kind!r} is none of {', '.join(KINDS)}")
        if not 0 <= self.moment <= 1:
            raise ValueError(f"moment {self.moment} does not lie in a clip, from 0 to 1")


@dataclass(frozen=True)
class Clip:
    """A scene, and the motion of each of its things. Without motions everything stands still.

    What goes, goes straight for `dx` or `dy`. What bounces would go as far, if it did not turn at
    the border, once.

    >>> clip = Clip(Scene((Thing("star", "red", x=0.4, dx=-0.3),)), (Motion("bounces"),))
    >>> way(clip.scene.things[0]), places(clip, 3)[0][:, 0, 0].tolist()
    ('left', [0.4000000059604645, 0.25, 0.3400000035762787])
    """

    scene: Scene
    motions: tuple[Motion, ...] = field(default=())

    def __post_init__(self) -> None:
        things = self.scene.things
        if not self.motions:
            object.__setattr__(self, "motions", (Motion(),) * len(things))
        if len(self.motions) != len(things):
            raise ValueError(f"{len(things)} things cannot make {len(self.motions)} motions")
        for index, (thing, motion) in enumerate(zip(things, self.motions, strict=True)):
            _check(index, thing, motion)


def _check(index: int, thing: Thing, motion: Motion) -> None:
    place = f"thing {index} {motion.kind}"
    if motion.kind not in ("goes", "bounces"):
        if thing.dx or thing.dy:
            raise ValueError(f"{place}, yet dx is {thing.dx} and dy is {thing.dy}")
    elif (thing.dx == 0) == (thing.dy == 0):
        raise ValueError(f"{place} along one axis, yet dx is {thing.dx} and dy is {thing.dy}")
    elif motion.kind == "bounces":
        start, far = (thing.x, thing.dx) if thing.dx else (thing.y, thing.dy)
        room = (1 - thing.radius - start) if far > 0 else start - thing.radius
        if not 0 < room < abs(far) <= room + 1 - 2 * thing.radius:
            raise ValueError(f"{place} off a border {room:.3f} away, yet goes {abs(far):.3f}")


def way(thing: Thing) -> str:
    """The direction of a thing at the beginning: one of WAYS, or "" if it stays.

    >>> way(Thing("star", "red", dy=0.2)), way(Thing("star", "red"))
    ('down', '')
    """
    signs = (int(np.sign(thing.dx)), int(np.sign(thing.dy)))
    return next((name for name, step in WAYS.items() if step == signs), "")


def speed(thing: Thing) -> str:
    """The speed of a thing: one of SPEEDS, or "" if it stays.

    >>> speed(Thing("star", "red", dx=-0.15)), speed(Thing("star", "red", dx=0.4))
    ('slowly', 'fast')
    """
    far = abs(thing.dx) + abs(thing.dy)
    return "" if far == 0 else "fast" if far > FAST else "slowly"


def places(clip: Clip, frames: int = 16) -> tuple[Tensor, Tensor]:
    """The centre of each thing, float32 (F, T, 2), and whether it is visible, bool (F, T).

    The last axis is x (0 left, 1 right) and y (0 top, 1 bottom). The first frame shows the clip's
    beginning, the last one its end.

    >>> clip = Clip(Scene((Thing("star", "red"),)), (Motion("appears"),))
    >>> places(clip, 3)[1][:, 0].tolist()
    [False, True, True]
    """
    where, seen = exact_places(clip, frames)
    return torch.from_numpy(where).float(), torch.from_numpy(seen)


def exact_places(clip: Clip, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """The result of `places` as float64 (F, T, 2) and bool (F, T) arrays.

    >>> exact_places(Clip(Scene((Thing("star", "red"),))), 1)[0].tolist()
    [[[0.5, 0.5]]]
    """
    check_count("frames", frames, most=MOST_FRAMES)
    moments = np.arange(frames) / max(frames - 1, 1)
    where = np.empty((frames, len(clip.motions), 2))
    seen = np.ones((frames, len(clip.motions)), dtype=bool)
    for index, (thing, motion) in enumerate(zip(clip.scene.things, clip.motions, strict=True)):
        for axis, (start, far) in enumerate(((thing.x, thing.dx), (thing.y, thing.dy))):
            along = start + moments * far
            if motion.kind == "bounces" and far:
                border = 1 - thing.radius if far > 0 else thing.radius
                along = border - np.sign(far) * abs(border - along)  # what is beyond is mirrored
            where[:, index, axis] = along
        if motion.kind == "appears":
            seen[:, index] = moments >= motion.moment
        if motion.kind == "disappears":
            seen[:, index] = moments < motion.moment
    return where, seen


def scenes(clip: Clip, frames: int = 16) -> list[Scene]:
    """Each frame as a scene of its own: the visible things, at their positions, at rest.

    >>> [len(s.things) for s in scenes(Clip(Scene((Thing("ring", "red"),))), 3)]
    [1, 1, 1]
    """
    where, seen = (table.tolist() for table in exact_places(clip, frames))
    looks = [(t.shape, t.color, t.size, t.texture, t.zoom) for t in clip.scene.things]
    found = []
    for spots, shown in zip(where, seen, strict=True):
        things = tuple(
            Thing(shape, color, size, texture, x, y, zoom=zoom)
            for (shape, color, size, texture, zoom), (x, y), there in zip(
                looks, spots, shown, strict=True
            )
            if there
        )
        found.append(Scene(things, clip.scene.background))
    return found
