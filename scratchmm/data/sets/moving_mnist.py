"""Moving MNIST: handwritten digits that move through an image and bounce off its borders.

Paper: Unsupervised Learning of Video Representations using LSTMs (arXiv 1502.04681), section 4.

**Differs from the paper:** a digit goes one of eight ways (or four), so that its way is a label,
and begins far enough from the borders to go that way for two frames at least; it is mirrored at a
border, so its speed is the same in every frame; images smaller than 64 x 64 hold smaller digits.

B clips, F frames, T digits of a clip, C channels (one: grey), H and W the image's sides, D the
side of a digit.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.data.world.images import check_size
from scratchmm.sentences import check_count

DIRECTIONS = (
    "right",
    "down and right",
    "down",
    "down and left",
    "left",
    "up and left",
    "up",
    "up and right",
)
PART = 28 / 64  # of the image's side that a digit fills
START = (0.2, 0.8)  # of the room that its middle has, across and down
SPEED = (0.06, 0.1)  # of that room, in a frame: two frames do not reach a border


class MovingDigits(NamedTuple):
    """Clips and their labels.

    clips: float32 (B, F, 1, H, W) in [-1, 1], white on black. digits: int64 (B, T). ways: int64
    (B, T), which of `direction_names` each takes at first. places: float32 (B, F, T, 2), the
    digits' middles from 0 (left, top) to 1.
    """

    clips: Tensor
    digits: Tensor
    ways: Tensor
    places: Tensor


def direction_names(ways: int = 8) -> tuple[str, ...]:
    """Names of the ways, clockwise from the right.

    >>> direction_names(4)
    ('right', 'down', 'left', 'up')
    """
    if ways not in (4, 8):
        raise ValueError(f"digits go 4 or 8 ways, not {ways}")
    return DIRECTIONS[:: 8 // ways]


def sample_moving_digits(
    rng: np.random.Generator,
    images: Tensor,
    labels: Tensor,
    count: int,
    *,
    digits: int = 2,
    frames: int = 20,
    size: int = 64,
    ways: int = 8,
) -> MovingDigits:
    """Draw `count` clips of digits picked from `images` (N, 1, H, H) and their `labels` (N,).

    The digits of a clip are picked and sent independently of each other. Where they cross, the
    lighter pixel is seen.

    >>> images, labels = torch.ones(3, 1, 28, 28), torch.arange(3)
    >>> moving = sample_moving_digits(np.random.default_rng(0), images, labels, 5, frames=4)
    >>> moving.clips.shape, moving.digits.shape, moving.places.shape
    (torch.Size([5, 4, 1, 64, 64]), torch.Size([5, 2]), torch.Size([5, 4, 2, 2]))
    """
    _check(images, labels, count, digits, frames, size)
    names = direction_names(ways)
    pick = torch.from_numpy(rng.integers(len(images), size=(count, digits)))
    way = torch.from_numpy(rng.integers(len(names), size=(count, digits)))
    start = torch.from_numpy(rng.uniform(*START, (count, digits, 2)))
    speed = torch.from_numpy(rng.uniform(*SPEED, (count, digits)))
    side = max(round(size * PART), 1)
    corners = ((size - side) * bounce(start, speed, way, ways, frames)).round().long()
    stamps = F.interpolate(images[pick.flatten()].float(), (side, side), mode="area")
    clips = _stamp(stamps.view(count, digits, side, side), corners, size)
    places = ((corners + side / 2) / size).float()
    return MovingDigits(clips[:, :, None], labels[pick], way, places)


def bounce(start: Tensor, speed: Tensor, way: Tensor, ways: int, frames: int) -> Tensor:
    """Places in [0, 1] of what goes on at one speed and is mirrored at 0 and 1: (B, F, T, 2).

    `start` (B, T, 2), `speed` (B, T) a frame, `way` (B, T) counted clockwise from the right.

    >>> start, speed, way = torch.tensor([[[0.5, 0.5]]]), torch.tensor([[0.25]]), torch.tensor([[0]])
    >>> bounce(start, speed, way, ways=4, frames=5)[0, :, 0, 0].tolist()
    [0.5, 0.75, 1.0, 0.75, 0.5]
    """
    angle = way.to(start) * (2 * torch.pi / ways)
    step = speed[..., None] * torch.stack([angle.cos(), angle.sin()], -1)
    gone = start[:, None] + torch.arange(frames)[:, None, None] * step[:, None]
    return 1 - (1 - gone.remainder(2)).abs()  # there and back again, without end


def _check(images: Tensor, labels: Tensor, count: int, digits: int, frames: int, size: int) -> None:
    if images.dim() != 4 or images.shape[1] != 1:
        raise ValueError(f"digits are (N, 1, H, W), not {tuple(images.shape)}")
    if not len(images) or labels.shape != images.shape[:1]:
        raise ValueError(f"there are {len(images)} images of digits and {labels.numel()} labels")
    for name, number, least in (
        ("count", count, 0),
        ("digits", digits, 1),
        ("frames", frames, 1),
        ("size", size, 1),
    ):
        check_count(name, number, least=least)
    check_size(size, count * frames)


def _stamp(stamps: Tensor, corners: Tensor, size: int) -> Tensor:
    """Put stamps (B, T, D, D) with their upper left corners (B, F, T, 2) on black: (B, F, H, W)."""
    batch, frames, things, _ = corners.shape
    clips = torch.full((batch, frames, size, size), -1.0)
    clip = torch.arange(batch)[:, None, None, None]
    frame = torch.arange(frames)[:, None, None]
    reach = torch.arange(stamps.shape[-1])
    for thing in range(things):
        x, y = corners[:, :, thing, :, None, None].unbind(2)
        at = (clip, frame, y + reach[:, None], x + reach)
        clips[at] = torch.maximum(clips[at], stamps[:, thing, None])
    return clips
