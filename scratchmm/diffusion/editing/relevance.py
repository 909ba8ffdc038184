"""Where in an image is what a sentence names? Cover one place after the other, and score each time.

A model that scores how well an image matches a sentence (such as CLIP) gives one number, no place.
But if the score falls when a place is covered, the thing was there; and if the score is high when
only that place is left, it is there too. The places of high relevance make a mask to inpaint.

Papers: Visualizing and Understanding Convolutional Networks (Zeiler and Fergus 2013, arXiv 1311.2901),
section 4.2, where a place is covered; RISE (Petsiuk et al. 2018, arXiv 1806.07421), where some places
are shown.
Dimensions: B batch, C channels, H x W pixels, N windows.
Differs from the papers: what is covered takes the colour of the image's border, not grey: a grey
square is a thing of its own; windows overlap, and each pixel has the mean of those over it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from scratchmm.diffusion.editing.inpainting import grow_mask

Score = Callable[[Tensor], Tensor]


@torch.no_grad()
def relevance_by_occlusion(
    score: Score,
    image: Tensor,
    patch: int,
    fill: Tensor | float | None = None,
    *,
    stride: int | None = None,
    alone: bool = False,
    batch_size: int = 256,
) -> Tensor:
    """How much each pixel of image (C, H, W) counts for the score. Returns (H, W).

    score: images (B, C, H, W) to numbers (B,), such as likeness to a sentence. patch: side of the
    square window in pixels, the size of what is looked for or a little less. fill: colour (C,) of what
    is covered, or one number; the border's if None. stride: from window to window, a quarter of patch
    if None. alone: not the window is covered but all around it: for a model that knows single things.

    Raises ValueError on a patch that does not fit into the image, and a stride wider than it.

    >>> image = torch.zeros(1, 2, 4)
    >>> image[0, 1, 3] = 1.0
    >>> relevance_by_occlusion(lambda x: x.sum(dim=(1, 2, 3)), image, patch=1)
    tensor([[0., 0., 0., 0.],
            [0., 0., 0., 1.]])
    """
    height, width = image.shape[-2:]
    places = windows(height, width, patch, max(1, patch // 4) if stride is None else stride)
    places = places.to(image.device)  # (N, 1, H, W)
    color = border_color(image) if fill is None else torch.as_tensor(fill).to(image)
    cover = color.reshape(-1, 1, 1).expand_as(image)  # (C, H, W)
    seen = places if alone else ~places
    scores = [score(torch.where(part, image, cover)) for part in seen.split(batch_size)]
    whole, nothing = score(torch.stack([image, cover]))
    heat = torch.cat(scores) - nothing if alone else whole - torch.cat(scores)  # (N,)
    weights = places[:, 0].to(heat.dtype)  # (N, H, W)
    return (heat[:, None, None] * weights).sum(dim=0) / weights.sum(dim=0)  # (H, W)


def windows(height: int, width: int, patch: int, stride: int) -> Tensor:
    """Square windows that cover every pixel, cut off at the border. Returns bool (N, 1, H, W).

    >>> windows(2, 3, patch=2, stride=2).int().flatten(1).tolist()
    [[1, 1, 0, 1, 1, 0], [0, 0, 1, 0, 0, 1]]
    """
    if not 1 <= patch <= max(height, width):
        raise ValueError(f"a window of {patch} pixels is none of a {height} x {width} image")
    if not 1 <= stride <= patch:
        raise ValueError(f"windows of {patch} pixels, {stride} apart, do not touch every pixel")
    sides = []
    for size in (height, width):
        begin = torch.arange(stride - patch, size, stride)[:, None]
        place = torch.arange(size)
        sides.append((begin <= place) & (place < begin + patch))
    down, across = sides
    return (down[:, None, :, None] & across[None, :, None, :]).flatten(0, 1)[
        :, None
    ]  # (N, 1, H, W)


def border_color(image: Tensor) -> Tensor:
    """The median colour of the outermost pixels of image (C, H, W). Returns (C,).

    >>> border_color(torch.tensor([[[1.0, 2.0, 2.0], [2.0, 9.0, 2.0], [2.0, 3.0, 2.0]]]))
    tensor([2.])
    """
    edges = [image[:, 0], image[:, -1], image[:, 1:-1, 0], image[:, 1:-1, -1]]
    return torch.cat(edges, dim=1).median(dim=1).values  # (C,)


def mask_of(
    heat: Tensor, threshold: float = 0.6, *, share: float | None = None, grow: int = 1
) -> Tensor:
    """The warm part of heat (H, W) as a mask for `inpaint`. Returns bool (1, 1, H, W).

    Warm is what has at least `threshold` of the warmest pixel's heat; with share, that share of all
    pixels, the warmest ones. Then the mask grows by so many pixels.

    Raises ValueError where no pixel is warm, and on a threshold or a share outside of (0, 1].

    >>> mask_of(torch.tensor([[0.1, 0.2, 0.9, 1.0]]), threshold=0.8, grow=0)
    tensor([[[[False, False,  True,  True]]]])
    >>> mask_of(torch.tensor([[0.1, 0.2, 0.9, 1.0]]), share=0.25)
    tensor([[[[False, False,  True,  True]]]])
    """
    name, value = ("threshold", threshold) if share is None else ("share", share)
    if not 0 < value <= 1:
        raise ValueError(f"{name} {value} is not above 0 and at most 1")
    warmest = heat.max()
    if not warmest > 0:
        raise ValueError(f"nothing in the image is relevant: its highest heat is {warmest:.3g}")
    if share is not None:
        count = max(1, round(share * heat.numel()))
        found = torch.zeros_like(heat, dtype=torch.bool).flatten()
        found[heat.flatten().argsort(descending=True, stable=True)[:count]] = True
        found = found.view_as(heat)
    else:
        found = heat >= threshold * warmest
    return grow_mask(found[None, None], grow)  # (1, 1, H, W)
