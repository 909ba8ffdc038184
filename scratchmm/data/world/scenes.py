"""A small world of coloured things that is drawn from a seed, so that every lesson has data.

A scene is nothing but facts: which things there are, the attributes of each, where it lies and
where it goes. Its renderings have modules of their own: `images`, `captions`, `questions`, `clips`,
`sounds`. They are computed from the same facts, so they agree.

To measure generalisation and not memory, whole combinations of colour and shape are held out: a
model trained on purple rings and green stars is tested on a purple star.

The idea of such a world: CLEVR, a Diagnostic Dataset for Compositional Language and Elementary
Visual Reasoning (arXiv 1612.06890). **Differs from the paper:** flat shapes instead of rendered
solids, so that an image takes a tenth of a millisecond; each thing may also move.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scratchmm.sentences import check_count

SHAPES = ("circle", "square", "triangle", "diamond", "star", "ring", "cross", "heart")
COLORS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
SIZES = ("small", "large")
TEXTURES = ("plain", "striped", "dotted")
PROPERTIES = {"shape": SHAPES, "color": COLORS, "size": SIZES, "texture": TEXTURES}
RADIUS = {"small": 0.15, "large": 0.22}  # of the circle a thing stays inside; the image is 1 wide
GAP = 0.03  # that two of those circles keep from each other, and half of it from the border
ALONE = 1.5  # the zoom of a thing that has the image to itself
MOST_THINGS = 5  # more seldom find room
HELD_OUT = 12  # combinations that split_combinations keeps unseen

Combination = tuple[str, str]  # (color, shape)


@dataclass(frozen=True)
class Thing:
    """One thing: its attributes, the position of its centre, and its motion.

    `x` and `y` run from 0 (left, top) to 1 (right, bottom). `dx` and `dy` are its displacement at
    the end of a clip, in the same unit; an image shows the beginning.

    >>> Thing("star", "purple").radius
    0.22
    """

    shape: str
    color: str
    size: str = "large"
    texture: str = "plain"
    x: float = 0.5
    y: float = 0.5
    dx: float = 0.0
    dy: float = 0.0
    zoom: float = 1.0  # how much larger than RADIUS it is shown

    def __post_init__(self) -> None:
        for name, words in PROPERTIES.items():
            if getattr(self, name) not in words:
                raise ValueError(f"{name} {getattr(self, name)!r} is none of {', '.join(words)}")

    @property
    def radius(self) -> float:
        """Radius of the circle that holds the thing, as a part of the image's width."""
        return RADIUS[self.size] * self.zoom


@dataclass(frozen=True)
class Scene:
    """Things, from the back to the front, before a background (red, green, blue in [0, 1]).

    >>> Scene((Thing("star", "purple"),)).background
    (0.15, 0.15, 0.15)
    """

    things: tuple[Thing, ...]
    background: tuple[float, float, float] = (0.15, 0.15, 0.15)


def combinations() -> list[Combination]:
    """All 64 pairs (color, shape), in a fixed order.

    >>> len(combinations()), combinations()[0]
    (64, ('red', 'circle'))
    """
    return [(color, shape) for color in COLORS for shape in SHAPES]


def split_combinations(seed: int = 0) -> tuple[list[Combination], list[Combination]]:
    """Hold 12 combinations out: returns (seen, unseen), lists of (color, shape).

    At most two of a colour and two of a shape are held out, so each keeps six that are seen. The
    purple star is unseen with every seed.

    >>> seen, unseen = split_combinations()
    >>> len(seen), len(unseen), ("purple", "star") in unseen
    (52, 12, True)
    """
    unseen: list[Combination] = []
    taken: Counter[str] = Counter()
    everything = combinations()
    order = [everything[i] for i in np.random.default_rng(seed).permutation(len(everything))]
    for color, shape in [("purple", "star"), *order]:
        if (color, shape) in unseen or taken[color] == 2 or taken[shape] == 2:
            continue
        unseen.append((color, shape))
        taken.update((color, shape))
        if len(unseen) == HELD_OUT:
            break
    return [pair for pair in everything if pair not in unseen], sorted(unseen)


def sample_scene(
    rng: np.random.Generator, things: int = 1, combinations: list[Combination] | None = None
) -> Scene:
    """Draw a scene with `things` things that do not touch each other or the border.

    Colour and shape are drawn together from `combinations` (all 64 by default). Half of the things
    are plain. One thing is as often small as large, and shown 1.5 times nearer; in a crowd more are
    small, or they do not fit.

    >>> scene = sample_scene(np.random.default_rng(0), things=3, combinations=[("red", "ring")])
    >>> [thing.color + " " + thing.shape for thing in scene.things]
    ['red ring', 'red ring', 'red ring']
    """
    check_count("things", things, most=MOST_THINGS)
    if combinations is not None and not combinations:
        raise ValueError("there are 0 combinations of color and shape to draw from")
    zoom = ALONE if things == 1 else 1.0
    places, large = None, 0.5
    while places is None:
        sizes = ["large" if number < large else "small" for number in rng.random(things)]
        places = _places(rng, [RADIUS[size] * zoom for size in sizes])
        large *= 0.5  # in vain: fewer large things next time
    placed = zip(sizes, places, strict=True)
    found = tuple(_thing(rng, size, zoom, *place, combinations) for size, place in placed)
    grey, *tint = rng.random(4).tolist()
    red, green, blue = (round(0.06 + 0.2 * grey + 0.05 * part, 3) for part in tint)
    return Scene(found, (red, green, blue))


def _places(rng: np.random.Generator, radii: list[float]) -> list[tuple[float, float]] | None:
    """Centres for circles of these radii that keep apart, or None if none were found."""
    places: list[tuple[float, float]] = []
    for index, radius in enumerate(radii):
        border = radius + GAP / 2
        for across, down in rng.random((20, 2)).tolist():
            x, y = border + (1 - 2 * border) * across, border + (1 - 2 * border) * down
            apart = (
                math.hypot(x - other[0], y - other[1]) >= radius + radii[i] + GAP
                for i, other in enumerate(places)
            )
            if all(apart):
                places.append((round(x, 4), round(y, 4)))
                break
        if len(places) == index:  # no room in 20 tries
            return None
    return places


def _thing(
    rng: np.random.Generator,
    size: str,
    zoom: float,
    x: float,
    y: float,
    allowed: list[Combination] | None,
) -> Thing:
    kind, plain, pattern, way, far = rng.random(5).tolist()
    if allowed is None:
        index = int(kind * len(COLORS) * len(SHAPES))
        color, shape = COLORS[index // len(SHAPES)], SHAPES[index % len(SHAPES)]
    else:
        color, shape = allowed[int(kind * len(allowed))]
    texture = TEXTURES[0] if plain < 0.5 else TEXTURES[1 + int(pattern * (len(TEXTURES) - 1))]
    dx, dy = _way(x, y, RADIUS[size] * zoom, way, far)
    return Thing(shape, color, size, texture, x, y, dx, dy, zoom)


def _way(x: float, y: float, radius: float, way: float, far: float) -> tuple[float, float]:
    """Stand still, or go straight left, right, up or down without leaving the image."""
    room = {
        (-1, 0): x - radius,
        (1, 0): 1 - radius - x,
        (0, -1): y - radius,
        (0, 1): 1 - radius - y,
    }
    ways = [(0, 0), *(step for step, space in room.items() if space >= 0.2)]
    across, down = ways[int(way * len(ways))]
    length = round(0.2 + far * (room.get((across, down), 0.2) - 0.2), 4)
    return across * length, down * length


def labels_of(things: Sequence[Thing]) -> Tensor:
    """What things are like: int64 (L, 4), the number of each value in the order of PROPERTIES.

    >>> labels_of([Thing("square", "red"), Thing("circle", "orange", "small", "dotted")]).tolist()
    [[1, 0, 1, 0], [0, 1, 0, 2]]
    """
    rows = [[values.index(getattr(t, name)) for name, values in PROPERTIES.items()] for t in things]
    return torch.tensor(rows, dtype=torch.int64).view(len(things), len(PROPERTIES))
