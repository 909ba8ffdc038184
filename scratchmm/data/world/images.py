"""Scenes as images: every shape is a formula for the distance to its outline.

The signed distance is negative inside a shape and positive outside. Half a pixel to either side of
the outline it is turned into a coverage between 0 and 1, which gives smooth edges at any size, and
all things of one shape are computed at once, which makes it fast.

B scenes, T things of all scenes together, H and W the image's sides, C channels (red, green, blue).
The formulas for star and heart follow Inigo Quilez, "2D distance functions" (iquilezles.org).
**Differs from it:** beyond sharp corners the distances are those of the straight lines that meet
there, so points stay pointed and the formulas short.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scratchmm.data.world.scenes import SHAPES, TEXTURES, Scene, Thing
from scratchmm.sentences import check_count

PAINT = {
    "red": (0.90, 0.08, 0.08),
    "orange": (1.00, 0.52, 0.00),
    "yellow": (1.00, 0.95, 0.15),
    "green": (0.08, 0.68, 0.12),
    "cyan": (0.10, 0.90, 0.95),
    "blue": (0.12, 0.22, 1.00),
    "purple": (0.66, 0.10, 0.86),
    "white": (1.00, 1.00, 1.00),
}
SHADE = 0.4  # brightness of the dark parts of a texture
LARGEST, MOST_PIXELS = 2**14, 2**29  # a side of an image; all pixels of one call, 6 GB
TOGETHER = 64  # scenes drawn at once: few enough that the work stays in the processor's cache


def draw(scene: Scene, size: int = 32) -> Tensor:
    """Draw one scene: float32 (3, size, size) in [-1, 1].

    >>> from scratchmm.data.world.scenes import Thing
    >>> image = draw(Scene((Thing("square", "white"),)), size=33)
    >>> image.shape, image[:, 16, 16].tolist()
    (torch.Size([3, 33, 33]), [1.0, 1.0, 1.0])
    """
    return draw_many([scene], size)[0]


def draw_many(scenes: Sequence[Scene], size: int = 32) -> Tensor:
    """Draw scenes: float32 (B, 3, size, size) in [-1, 1]. Later things lie in front.

    >>> draw_many([Scene(()), Scene(())], size=8).shape
    torch.Size([2, 3, 8, 8])
    """
    check_size(size, len(scenes))
    images = torch.empty(len(scenes), 3, size, size)  # (B, C, H, W)
    for start in range(0, len(scenes), TOGETHER):
        images[start : start + TOGETHER] = _draw_together(scenes[start : start + TOGETHER], size)
    return images


def masks(scene: Scene, size: int = 32) -> Tensor:
    """The visible pixels of each thing: bool (things, size, size), in the order of the scene.

    A pixel belongs to a thing that covers at least half of it, unless a thing in front does. Edges
    are where these masks change; depth is their order.

    >>> from scratchmm.data.world.scenes import Thing
    >>> masks(Scene((Thing("square", "white"),)), size=4)[0].int().tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    check_size(size)
    if not scene.things:
        return torch.zeros(0, size, size, dtype=torch.bool)
    covered = coverage(scene.things, size) >= 0.5  # (T, H, W)
    in_front = covered.flip(0).cumsum(0).flip(0) - covered.int()  # (T, H, W), how many lie before
    return covered & (in_front == 0)


def coverage(things: Sequence[Thing], size: int) -> Tensor:
    """How much of each pixel each thing covers, as if alone: float32 (T, size, size) in [0, 1].

    >>> (coverage([Thing("circle", "red")], size=5)[0, 2] > 0.5).tolist()
    [False, True, True, True, False]
    """
    check_size(size, len(things))
    return _paint(things, size)[0]


def check_size(size: int, images: int = 1) -> None:
    """Refuse a side that no image has, and more pixels in all than a memory holds (ValueError).

    >>> check_size(0)
    Traceback (most recent call last):
    ValueError: size is 0 and must be a whole number from 1 to 16384
    """
    check_count("size", size, most=LARGEST)
    if images * size**2 > MOST_PIXELS:
        raise ValueError(
            f"{images} images of size {size} have {images * size**2} pixels, over {MOST_PIXELS}"
        )


def _draw_together(scenes: Sequence[Scene], size: int) -> Tensor:
    backgrounds = torch.tensor([scene.background for scene in scenes])  # (B, C)
    images = backgrounds[:, :, None, None].repeat(1, 1, size, size)  # (B, C, H, W)
    things = [thing for scene in scenes for thing in scene.things]
    if things:
        alpha, light = _paint(things, size)
        paint = torch.tensor([PAINT[thing.color] for thing in things])  # (T, C)
        starts, start = [], 0
        for scene in scenes:
            starts.append(start)
            start += len(scene.things)
        for layer in range(max(len(scene.things) for scene in scenes)):  # from back to front
            rows = [row for row, scene in enumerate(scenes) if len(scene.things) > layer]
            which = torch.tensor([starts[row] + layer for row in rows])
            front = paint[which][:, :, None, None] * light[which][:, None]
            under = images[rows]
            images[rows] = torch.lerp(under, front, alpha[which][:, None])
    return images * 2 - 1


def _paint(things: Sequence[Thing], size: int) -> tuple[Tensor, Tensor]:
    """Coverage and brightness of every pixel for every thing: each (T, H, W)."""
    place = torch.tensor([(thing.x, thing.y, thing.radius) for thing in things])  # (T, 3)
    x, y, radius = place[:, :, None, None].unbind(1)  # each (T, 1, 1)
    middle = (torch.arange(size) + 0.5) / size  # of every pixel, in the unit of the scene
    across = (middle[None, None, :] - x) / radius  # (T, 1, W), 1 = the thing's radius
    down = (middle[None, :, None] - y) / radius  # (T, H, 1)
    pixels = radius * size  # (T, 1, 1), pixels in a radius
    alpha = torch.empty(len(things), size, size)  # (T, H, W)
    light = torch.ones(len(things), size, size)  # (T, H, W)
    for shape in SHAPES:
        if which := [row for row, thing in enumerate(things) if thing.shape == shape]:
            distance = DISTANCE[shape](across[which], down[which])  # in radii
            alpha[which] = (0.5 - distance * pixels[which]).clamp_(0, 1)
    for texture in TEXTURES[1:]:
        if which := [row for row, thing in enumerate(things) if thing.texture == texture]:
            distance = PATTERN[texture](across[which], down[which])
            dark = (0.5 - distance * pixels[which]).clamp_(0, 1)
            light[which] = 1 - (1 - SHADE) * dark
    return alpha, light


# Distances to the outline of a shape of radius 1 around (0, 0); x runs right and y runs down.


def _circle(x: Tensor, y: Tensor) -> Tensor:
    return torch.hypot(x, y) - 0.92


def _square(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.7


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(0.866 * x.abs() - 0.5 * y, y) - 0.5


def _diamond(x: Tensor, y: Tensor) -> Tensor:
    return (x.abs() + 0.7 * y.abs() - 0.7) / 1.2207  # the root of 1 + 0.7 squared


def _star(x: Tensor, y: Tensor) -> Tensor:
    cosine, sine = 0.809017, 0.587785  # of 36 degrees: fold the five points onto one
    x, y = x.abs(), -y
    beyond = (cosine * x - sine * y).clamp(min=0)
    x, y = x - 2 * cosine * beyond, y + 2 * sine * beyond
    beyond = (-cosine * x - sine * y).clamp(min=0)
    x, y = (x + 2 * cosine * beyond).abs(), y + 2 * sine * beyond
    inner = 0.48  # radius of the inner corners
    side = (inner * sine, inner * cosine - 1)  # from the point down to the inner corner
    return ((y - 1) * side[0] - x * side[1]) / (side[0] ** 2 + side[1] ** 2) ** 0.5


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (torch.hypot(x, y) - 0.7).abs() - 0.22


def _cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    return torch.maximum(torch.maximum(x, y) - 0.92, torch.minimum(x, y) - 0.28)


def _heart(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs() * 0.674, 0.55 - y * 0.674  # now the tip is at (0, 0) and y runs up
    bow = torch.hypot(x - 0.25, y - 0.75) - 0.3536
    return torch.where(x + y > 1, bow, (x - y) * 0.7071) / 0.674


def _stripes(x: Tensor, y: Tensor) -> Tensor:
    along = (x + y) * 0.7071 / 0.6  # slanting; one light and one dark stripe in 0.6 radii
    return ((along - along.floor() - 0.5).abs() - 0.25) * 0.6


def _dots(x: Tensor, y: Tensor) -> Tensor:
    x, y = x / 0.6, y / 0.6  # one dot in 0.6 radii, and one in the middle
    return (torch.hypot(x - x.round(), y - y.round()) - 0.3) * 0.6


DISTANCE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "diamond": _diamond,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
    "heart": _heart,
}
PATTERN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"striped": _stripes, "dotted": _dots}
