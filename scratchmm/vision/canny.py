"""Canny's edges: where an image changes fastest, as lines one pixel thin that hang together.

Blur, slope, thinning to the ridges of the slope, and a double threshold: a weak edge stays only if it
leads to a strong one.

Paper: A Computational Approach to Edge Detection (Canny 1986, IEEE PAMI 8, no arXiv number).
Dimensions: B batch, C channels, H x W height and width.
Conventions: images are in [-1, 1]; a sharp step from black to white has a slope of 1.
Differs from the paper: the slope's direction is one of eight, so that neighbours are pixels (the paper
interpolates between them); of several channels, each pixel takes the steepest; of two pixels that
are equally steep, the one uphill is the edge, so that turned images have the same edges, turned.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

EIGHTH = math.tan(math.pi / 8)  # a direction is one of eight, each an eighth of a turn wide
WIDEST = 1000.0  # pixels of a blur
ALIKE = 1e-5  # slopes this close are equal: sums of floats come out differently, turned


class Slope(NamedTuple):
    """How fast an image changes, and which way it grows brighter."""

    magnitude: Tensor  # (B, 1, H, W), of the steepest channel
    down: Tensor  # (B, 1, H, W), change per pixel from top to bottom
    across: Tensor  # (B, 1, H, W), change per pixel from left to right


def canny(images: Tensor, sigma: float = 1.0, low: float = 0.1, high: float = 0.2) -> Tensor:
    """The edges of images: float (B, C, H, W) in [-1, 1] to (B, 1, H, W) of 0 and 1.

    sigma: of the blur, in pixels. low, high: slopes of weak and strong edges (see `hysteresis`).

    >>> white = torch.full((1, 1, 6, 8), -1.0)
    >>> white[:, :, :, 5:] = 1.0
    >>> canny(white)[0, 0, 3].int().tolist()
    [0, 0, 0, 0, 0, 1, 0, 0]
    """
    if images.dim() != 4 or not images.is_floating_point():
        raise ValueError(
            f"edges are found in images (B, C, H, W) of floats, not in {tuple(images.shape)} "
            f"of {images.dtype}"
        )
    if not images.isfinite().all():
        wrong = int((~images.isfinite()).sum())
        raise ValueError(f"images have {wrong} values that are no numbers (nan or inf)")
    found = slope(blur(images, sigma))
    lines = thin(found.magnitude, found.down, found.across)
    return hysteresis(lines, low, high).to(images.dtype)  # (B, 1, H, W)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Each pixel as a mean of those around, weighted by a bell curve: (B, C, H, W) in and out.

    sigma: its width, in pixels; 0 changes nothing. Beyond the border the last pixel goes on.

    >>> blur(torch.tensor([[[[0.0, 0.0, 1.0, 0.0, 0.0]]]]), sigma=0.5).round(decimals=2)
    tensor([[[[0.0000, 0.1100, 0.7900, 0.1100, 0.0000]]]])
    """
    if not 0 <= sigma <= WIDEST:
        raise ValueError(
            f"the blur's sigma {sigma} is not a number of at least 0, at most {WIDEST}"
        )
    reach = math.ceil(3 * sigma)
    away = torch.arange(-reach, reach + 1, dtype=torch.float64)
    bell = torch.exp(-(away**2) / (2 * sigma**2)) if sigma else torch.ones(1)
    weights = (bell / bell.sum()).to(images)
    single = images.flatten(0, 1)[:, None]  # (B * C, 1, H, W), each channel by itself
    single = F.conv2d(
        F.pad(single, (0, 0, reach, reach), mode="replicate"), weights[:, None][None, None]
    )
    single = F.conv2d(
        F.pad(single, (reach, reach, 0, 0), mode="replicate"), weights[None, None, None]
    )
    return single.view(images.shape)  # (B, C, H, W)


def slope(images: Tensor) -> Slope:
    """Sobel's slope of the steepest channel at each pixel. images: float (B, C, H, W).

    It is half the difference of the pixels on both sides, as a mean of three rows (or columns) with
    the weights 1, 2, 1.

    >>> found = slope(torch.tensor([[[[0.0, 0.5, 1.0]] * 3]]))
    >>> found.across[0, 0, 1].tolist(), found.down[0, 0, 1].tolist()
    ([0.25, 0.5, 0.25], [0.0, 0.0, 0.0])
    """
    x = F.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4
    columns = (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4
    across = (rows[..., 2:] - rows[..., :-2]) / 2  # (B, C, H, W)
    down = (columns[:, :, 2:] - columns[:, :, :-2]) / 2  # (B, C, H, W)
    magnitude = torch.hypot(down, across)  # (B, C, H, W)
    steepest = magnitude.argmax(dim=1, keepdim=True)  # (B, 1, H, W)
    return Slope(*(x.gather(1, steepest) for x in (magnitude, down, across)))


def thin(magnitude: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Non-maximum suppression: the magnitude on the ridges of the slope, and 0 elsewhere.

    All are float (B, 1, H, W). A pixel stays if it is steeper than its neighbour uphill and at least
    as steep as its neighbour downhill, to within ALIKE. Uphill is the one of eight neighbours to
    which (down, across) points; beyond the border everything is flat.

    >>> magnitude = torch.tensor([[[[0.1, 0.5, 0.5, 0.2]]]])  # brighter to the right
    >>> thin(magnitude, torch.zeros_like(magnitude), torch.ones_like(magnitude))
    tensor([[[[0.0000, 0.0000, 0.5000, 0.0000]]]])
    """
    steep, flat = down.abs(), across.abs()
    # A step of -1, 0 or 1 each way; straight if the slope is less than 1/16 of a turn from straight.
    step_down = (down.sign() * (steep > EIGHTH * flat)).long()
    step_across = (across.sign() * (flat > EIGHTH * steep)).long()
    height, width = magnitude.shape[-2:]
    row = torch.arange(1, height + 1, device=magnitude.device)[:, None]  # (H, 1), after padding
    column = torch.arange(1, width + 1, device=magnitude.device)  # (W,)
    padded = F.pad(magnitude, (1, 1, 1, 1)).flatten(1)
    neighbours = []
    for way in (1, -1):  # uphill, downhill
        place = (row + way * step_down) * (width + 2) + column + way * step_across
        neighbours.append(padded.gather(1, place.flatten(1)).view_as(magnitude))
    uphill, downhill = neighbours
    ridge = (magnitude > uphill + ALIKE) & (magnitude + ALIKE >= downhill)
    return magnitude * ridge


def hysteresis(magnitude: Tensor, low: float, high: float) -> Tensor:
    """The pixels of at least `high`, and those of at least `low` that hang together with one.

    magnitude: float (B, 1, H, W). Returns bool (B, 1, H, W). Pixels hang together with all eight
    around them. Raises ValueError unless 0 < low <= high.

    >>> hysteresis(torch.tensor([[[[0.1, 0.3, 0.1, 0.0, 0.1]]]]), low=0.1, high=0.2).int().tolist()
    [[[[1, 1, 1, 0, 0]]]]
    """
    if not 0 < low <= high:
        raise ValueError(f"the thresholds of edges are 0 < low <= high, not {low} and {high}")
    weak, kept = magnitude >= low, magnitude >= high
    while True:
        near = F.max_pool2d(kept.float(), kernel_size=3, stride=1, padding=1) > 0
        more = weak & near
        if more.equal(kept):
            return kept
        kept = more
