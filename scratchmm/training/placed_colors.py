"""Where things lie in an image, read off its pixels: does a generated image obey "on the left"?

No network is asked. The world paints with eight colours before a grey ground. A pixel less its own
mean points to a hue, which dark stripes and mixing with the ground at an edge leave as it is; what
has none is ground, or white if it is bright. A thing lies at the mean place of its pixels: in real
images within 0.01 of the truth, of a width of 1.

Dimensions: B batch, H and W the image's sides.
Differs from the paper: nothing (there is none).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.data.world.images import PAINT
from scratchmm.data.world.scenes import COLORS

PLACES = {"on the left": (0, -1), "on the right": (0, 1), "at the top": (1, -1)}
PLACES |= {"at the bottom": (1, 1)}  # the axis (0 across, 1 down), and to which side of it
RELATIONS = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
LEAST = 0.015  # of the pixels: what is smaller is grain, no thing
HUE, BRIGHT = 0.1, 0.36  # grounds have less of both, from 0 to 1: the darkest stripes 0.19 and 0.4


class Found(NamedTuple):
    """A thing of one colour in each image."""

    share: Tensor  # (B,), of the image's pixels
    middle: Tensor  # (B, 2), across and down, from 0 to 1; nan where there is none


def colors_of(images: Tensor) -> Tensor:
    """images: float (B, 3, H, W) in [-1, 1]. Returns int64 (B, H, W): the place in COLORS, or -1.

    >>> from scratchmm.data.world.images import draw
    >>> from scratchmm.data.world.scenes import Scene, Thing
    >>> image = draw(Scene((Thing("square", "blue"),)))
    >>> found = colors_of(image[None])[0]
    >>> COLORS[found[16, 16]], int(found[0, 0])
    ('blue', -1)
    """
    paint = torch.tensor([PAINT[color] for color in COLORS if color != "white"])
    hues = F.normalize(paint - paint.mean(dim=1, keepdim=True), dim=1)  # (7, C)
    pixels = (images.movedim(1, -1).float() + 1) / 2  # (B, H, W, C)
    grey = pixels.mean(dim=-1, keepdim=True)  # (B, H, W, 1)
    strength, nearest = ((pixels - grey) @ hues.T).max(dim=-1)  # each (B, H, W)
    white = torch.where(grey[..., 0] > BRIGHT, COLORS.index("white"), -1)  # (B, H, W)
    return torch.where(strength > HUE, nearest, white)


def find(images: Tensor, colors: Sequence[str]) -> Found:
    """The thing of its colour in each image (B, 3, H, W); one colour an image.

    >>> from scratchmm.data.world.images import draw
    >>> from scratchmm.data.world.scenes import Scene, Thing
    >>> image = draw(Scene((Thing("ring", "red", x=0.3, y=0.6),)))
    >>> [round(value, 1) for value in find(image[None], ["red"]).middle[0].tolist()]
    [0.3, 0.6]
    """
    if len(colors) != len(images):
        raise ValueError(f"there are {len(colors)} colours for {len(images)} images")
    wanted = torch.tensor([COLORS.index(color) for color in colors])
    there = (colors_of(images) == wanted[:, None, None]).float()  # (B, H, W)
    share, count = there.mean(dim=(1, 2)), there.sum(dim=(1, 2))  # each (B,)
    sides = [(torch.arange(size) + 0.5) / size for size in (there.shape[2], there.shape[1])]
    across = (there.sum(dim=1) * sides[0]).sum(dim=1) / count  # (B,)
    down = (there.sum(dim=2) * sides[1]).sum(dim=1) / count  # (B,)
    middle = torch.stack([across, down], dim=1)  # (B, 2)
    return Found(share, middle.masked_fill(share[:, None] < LEAST, torch.nan))


def at_places(images: Tensor, colors: Sequence[str], places: Sequence[str]) -> Tensor:
    """bool (B,): the thing of its colour lies in the half of the image that its place names."""
    axes = torch.tensor([PLACES[place] for place in places])  # (B, 2)
    middle = find(images, colors).middle  # (B, 2)
    return (middle.gather(1, axes[:, :1])[:, 0] - 0.5) * axes[:, 1] > 0


def in_relation(
    images: Tensor, ones: Sequence[str], sides: Sequence[str], others: Sequence[str]
) -> Tensor:
    """bool (B,): both colours are there, and the one lies on that side of the other.

    ones and others: colours; sides: of RELATIONS. As in the world's sentences, things lie apart by
    at least a tenth of the image.

    >>> from scratchmm.data.world.images import draw
    >>> from scratchmm.data.world.scenes import Scene, Thing
    >>> things = Thing("star", "red", x=0.25), Thing("ring", "blue", x=0.75)
    >>> image = draw(Scene(things))[None]
    >>> in_relation(image, ["red"], ["left of"], ["blue"]).item()
    True
    >>> in_relation(image, ["red"], ["above"], ["blue"]).item()
    False
    """
    axes = torch.tensor([RELATIONS[side] for side in sides])  # (B, 2)
    apart = find(images, ones).middle - find(images, others).middle  # (B, 2)
    return apart.gather(1, axes[:, :1])[:, 0] * axes[:, 1] >= 0.1
