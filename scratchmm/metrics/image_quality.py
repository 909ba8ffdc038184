"""No-reference image quality: contrast, colourfulness and sharpness.

None of the three is good or bad by itself: fog has little contrast and may be intended. They show
how a change of settings changes images: guidance that is too strong raises contrast and
colourfulness until the colours burn out; too few steps leave a blur, and sharpness falls; noise that
was not taken out raises it far above that of real images. So compare with real ones, of one size.

Papers: Contrast in Complex Images (Peli 1990, Journal of the Optical Society of America A 7), for
the deviation of luma; Measuring Colourfulness in Natural Images (Hasler and Suesstrunk 2003, SPIE
5007), section 5; Diatom Autofocusing in Brightfield Microscopy (Pech-Pacheco et al. 2000, ICPR),
for the variance of the Laplacian.
Dimensions: B batch, C channels (red, green, blue), H and W height and width.
Conventions: images are float (B, 3, H, W) in [-1, 1]. Luma is 0.299 red + 0.587 green + 0.114
blue. Contrast is on luma from 0 to 1; the others are on levels from 0 to 255, as published.
Differs from the papers: nothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor

LIGHT = (0.299, 0.587, 0.114)  # luma weights of red, green and blue (ITU-R BT.601)


class Quality(NamedTuple):
    """The three measures of a batch of images, each (B,)."""

    contrast: Tensor  # 0 to 0.5
    colourfulness: Tensor  # 0 grey, about 33 moderately, 59 quite, 109 extremely colourful
    sharpness: Tensor  # from 0; grows with the square of the contrast


def image_quality(images: Tensor) -> Quality:
    """Contrast, colourfulness and sharpness of images: (B, 3, H, W), H and W at least 3.

    >>> image_quality(torch.zeros(2, 3, 4, 5)).sharpness
    tensor([0., 0.])
    """
    return Quality(contrast(images), colourfulness(images), sharpness(images))


def contrast(images: Tensor) -> Tensor:
    """RMS contrast: the standard deviation of luma, images: (B, 3, H, W).

    Returns (B,), from 0, uniform luma, to 0.5, half of it black and half white.

    >>> contrast(torch.tensor([-1.0, 1.0]).expand(1, 3, 3, 2))
    tensor([0.5000])
    """
    return _light(images).flatten(1).std(dim=1, correction=0)  # (B,)


def colourfulness(images: Tensor) -> Tensor:
    """How strong and how different the colours are, images: (B, 3, H, W): Returns (B,), 0 if grey.

    From the differences red - green and (red + green) / 2 - blue: the length of their deviations,
    and 0.3 times the length of their means. People called 33 moderately and 109 extremely colourful.

    >>> red = torch.tensor([1.0, -1.0, -1.0]).reshape(1, 3, 1, 1)  # its differences: 255 and 127.5
    >>> round(colourfulness(red).item(), 2)  # 0.3 * sqrt(255 ** 2 + 127.5 ** 2)
    85.53
    """
    red, green, blue = _levels(images).flatten(2).unbind(1)  # each (B, H * W)
    opponents = torch.stack([red - green, (red + green) / 2 - blue], dim=1)  # (B, 2, H * W)
    spread, mean = opponents.std(dim=2, correction=0), opponents.mean(dim=2)  # each (B, 2)
    return spread.norm(dim=1) + 0.3 * mean.norm(dim=1)  # (B,)


def sharpness(images: Tensor) -> Tensor:
    """Amount of edges: the variance of the Laplacian, images: (B, 3, H, W), from 3 x 3.

    The Laplacian of a pixel is the sum of its four neighbours less four times itself; the outermost
    pixels have none. Returns (B,), 0 for any even slope. Noise is sharp too.

    >>> slope = torch.linspace(-1, 1, 5).expand(1, 3, 4, 5)
    >>> round(sharpness(slope).item(), 3)
    0.0
    """
    height, width = images.shape[-2:]
    if min(height, width) < 3:
        raise ValueError(f"a Laplacian needs 3 x 3 pixels, not {height} x {width}")
    light = 255 * _light(images)  # (B, H, W)
    beside = light[:, 1:-1, :-2] + light[:, 1:-1, 2:] + light[:, :-2, 1:-1] + light[:, 2:, 1:-1]
    laplacian = beside - 4 * light[:, 1:-1, 1:-1]  # (B, H - 2, W - 2)
    return laplacian.flatten(1).var(dim=1, correction=0)  # (B,)


def _levels(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] to levels from 0 to 255."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images are (B, 3, H, W), not {tuple(images.shape)}")
    return (images.float() + 1) * 127.5  # (B, C, H, W)


def _light(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] to luma from 0 to 1: (B, H, W)."""
    weights = torch.tensor(LIGHT, device=images.device).reshape(3, 1, 1)
    return (_levels(images) / 255 * weights).sum(dim=1)  # (B, H, W)
