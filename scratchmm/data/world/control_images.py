"""Scenes as control images: edges, depth and poses, which condition a ControlNet.

They are computed from the facts of a scene and not from its image: the outlines of visible things,
the order of things from back to front, and a figure of lines for each thing that gives its place
and size but not its shape. (ControlNet was trained on edges and depth estimated from photos, and on
skeletons of people: Adding Conditional Control to Text-to-Image Diffusion Models, arXiv
2302.05543.)

B scenes, T things of a scene, C channels, H and W the image's sides. Images are float32 in [0, 1].
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.data.world.images import check_size, masks
from scratchmm.data.world.scenes import Scene, Thing

KINDS = ("edges", "depth", "pose")
FARTHEST = 0.4  # brightness of the thing at the back, if there are others; the nearest is 1
THIN = 0.02  # of a line of a pose to both sides of its middle pixel, as a part of the width


def control_images(scenes: Sequence[Scene], kind: str, size: int = 32) -> Tensor:
    """Control images of one kind: float32 (B, C, size, size) in [0, 1]; C is 3 for pose, else 1.

    >>> control_images([Scene(()), Scene(())], "pose", size=8).shape
    torch.Size([2, 3, 8, 8])
    >>> control_images([], "hearsay")
    Traceback (most recent call last):
    ValueError: control 'hearsay' is none of edges, depth, pose
    """
    if kind not in KINDS:
        raise ValueError(f"control {kind!r} is none of {', '.join(KINDS)}")
    check_size(size, len(scenes))
    draw = {"edges": edges, "depth": depth, "pose": pose}[kind]
    images = [draw(scene, size) for scene in scenes]
    channels = 3 if kind == "pose" else 1
    return torch.stack(images) if images else torch.zeros(0, channels, size, size)


def edges(scene: Scene, size: int = 32) -> Tensor:
    """White outlines: the pixels of each thing that touch something else. Float32 (1, size, size).

    Between two things that overlap, the line is on the one in front. Textures have no lines.

    >>> edges(Scene((Thing("square", "white"),)), size=16)[0, 8, 4:12].int().tolist()
    [0, 0, 1, 0, 0, 1, 0, 0]
    """
    check_size(size)
    lines = torch.zeros(size, size, dtype=torch.bool)
    behind = torch.ones(size, size, dtype=torch.bool)  # all but the things in front
    for mask in masks(scene, size).flip(0):  # from front to back
        behind = behind & ~mask
        lines |= mask & _near(behind)
    return lines.float()[None]  # (1, H, W)


def depth(scene: Scene, size: int = 32) -> Tensor:
    """The order of things: the nearest is white, the background black. Float32 (1, size, size).

    >>> far, near = Thing("circle", "red"), Thing("circle", "blue", x=0.9)
    >>> image = depth(Scene((far, near)), size=8)[0]
    >>> [round(float(image[4, column]), 2) for column in (0, 4, 7)]
    [0.0, 0.4, 1.0]
    """
    check_size(size)
    seen = masks(scene, size).float()  # (T, H, W)
    steps = torch.linspace(FARTHEST, 1.0, len(seen)) if len(seen) != 1 else torch.ones(1)
    return (steps[:, None, None] * seen).sum(dim=0, keepdim=True)  # (1, H, W)


def pose(scene: Scene, size: int = 32) -> Tensor:
    """A figure of lines for each thing: float32 (3, size, size), independent of its shape.

    Red: a cross over the whole height and width that a thing has room in; green: its middle; blue:
    marks across the four ends. A thing in front hides what lies behind it.

    >>> image = pose(Scene((Thing("star", "red"),)), size=32)
    >>> image.equal(pose(Scene((Thing("ring", "blue"),)), size=32))
    True
    """
    check_size(size)
    image = torch.zeros(3, size, size)  # (C, H, W)
    for thing in scene.things:  # from back to front
        figure = _figure(thing, size)
        drawn = figure.any(dim=0)
        image[:, drawn] = figure.float()[:, drawn]
    return image


def _figure(thing: Thing, size: int) -> Tensor:
    """The lines of one thing: bool (3, H, W). In whole pixels, so that all lines are as thick."""
    column, row, reach = (
        round(x * size - 0.5) for x in (thing.x, thing.y, thing.radius + 0.5 / size)
    )
    pixels = torch.arange(size)
    across, down = (pixels[None, :] - column).abs(), (pixels[:, None] - row).abs()
    half = int(size * THIN)
    longer, shorter = torch.maximum(across, down), torch.minimum(across, down)  # each (H, W)
    cross = (shorter <= half) & (longer <= reach)
    dot = longer <= half + 1
    ends = ((longer - reach).abs() <= half) & (shorter <= reach / 3)
    return torch.stack([cross & ~dot & ~ends, dot, ends & ~dot])  # (C, H, W)


def _near(mask: Tensor) -> Tensor:
    """The pixels beside, above or below those of a mask: bool (H, W)."""
    x = F.pad(mask, (1, 1, 1, 1))
    return x[:-2, 1:-1] | x[2:, 1:-1] | x[1:-1, :-2] | x[1:-1, 2:]
