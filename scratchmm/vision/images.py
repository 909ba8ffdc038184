"""Images in and out: from a file to a tensor, made fit for a model, varied for training, and back.

An image file may be turned, see-through, grey, in the colours of a printing press, damaged or far
too big. All of this is settled once, when it is opened; everything after it sees plain RGB.

Preparation as published: CLIP (Learning Transferable Visual Models From Natural Language
Supervision, arXiv 2103.00020) and ViT (An Image is Worth 16x16 Words, arXiv 2010.11929).
**Differs from the papers:** nothing; equal to transformers' CLIPImageProcessor and
ViTImageProcessor on Pillow.

B batch, C channels (red, green, blue), H and W height and width. Tensors are float32 in [-1, 1].
"""

import math
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from scratchmm.image_formats.kinds import MOST_PIXELS
from scratchmm.image_formats.pixels import on_background
from scratchmm.image_formats.reader import first_image

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of red, green, blue in [0, 1]
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def open_image(
    path: str | Path, background: str = "white", at_least: int | None = None
) -> Image.Image:
    """Open an image file as an RGB image, upright and laid on a background.

    Of a film the first frame is taken; several pages are refused. With `at_least`, a JPEG may be
    decoded at a half, a quarter or an eighth of its size, but to no side below `at_least`: many
    times faster for large photos.

    Raises FileNotFoundError, or ValueError with a sentence that names the file: not an image,
    truncated, or more than 64 megapixels (seen before it is decoded).

    >>> open_image("no such file.png")
    Traceback (most recent call last):
    ...
    FileNotFoundError: no image at no such file.png
    """
    path = Path(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters is raised, and said once
        image = first_image(path, at_least)
    try:
        return on_background(image, background)
    except ValueError as error:
        raise ValueError(f"{path} cannot be turned into RGB: {error}") from error


def to_tensor(image: Image.Image) -> Tensor:
    """RGB image to float32 (3, H, W): 0 becomes -1 and 255 becomes 1.

    >>> to_tensor(Image.new("RGB", (2, 1), (255, 0, 0))).tolist()
    [[[1.0, 1.0]], [[-1.0, -1.0]], [[-1.0, -1.0]]]
    """
    pixels = torch.from_numpy(np.array(image.convert("RGB")))  # (H, W, C)
    return pixels.permute(2, 0, 1).contiguous().float() / 127.5 - 1  # (C, H, W)


def to_image(image: Tensor) -> Image.Image:
    """Float (3, H, W) or (1, H, W) in [-1, 1], cut off beyond, to an RGB image: undoes to_tensor.

    >>> to_image(torch.ones(3, 1, 2)).getpixel((1, 0))
    (255, 255, 255)
    """
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"an image is (3, H, W) or (1, H, W), not {tuple(image.shape)}")
    if not image.isfinite().all():
        wrong = int((~image.isfinite()).sum())
        raise ValueError(f"an image has {wrong} values that are no numbers (nan or inf)")
    levels = ((image.detach().cpu().float() + 1) * 127.5).round().clamp(0, 255)
    pixels = levels.to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0)  # (H, W, C)
    return Image.fromarray(pixels.contiguous().numpy())


def resize(image: Image.Image, size: int | tuple[int, int], method: str = "bicubic") -> Image.Image:
    """Resize so that the shorter side is `size`, or to exactly (height, width).

    Smooth when it shrinks: every pixel takes part, as Pillow does it.

    >>> resize(Image.new("RGB", (200, 101)), 50).size, resize(Image.new("RGB", (9, 5)), (4, 3)).size
    ((99, 50), (3, 4))
    """
    if method not in FILTERS:
        raise ValueError(f"method {method!r} is none of {', '.join(FILTERS)}")
    if isinstance(size, int):
        short = min(image.size)
        width, height = (size * side // short for side in image.size)  # the longer side rounds down
    else:
        height, width = size
    if min(height, width) < 1 or height * width > MOST_PIXELS:
        raise ValueError(
            f"cannot resize {image.width} x {image.height} pixels to {width} x {height}"
        )
    return image.resize((width, height), FILTERS[method])


def center_crop(image: Image.Image, size: int) -> Image.Image:
    """Cut the middle square of `size` x `size` pixels out.

    >>> center_crop(Image.new("RGB", (9, 5)), 4).size
    (4, 4)
    """
    if not 1 <= size <= min(image.size):
        raise ValueError(
            f"cannot crop {size} x {size} pixels out of {image.width} x {image.height}"
        )
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(..., 3, H, W) in [-1, 1] to what a published model wants: (x - mean) / std, x in [0, 1].

    >>> normalise(torch.ones(3, 1, 1), (0.5, 0.5, 0.75), (0.5, 1.0, 0.25)).flatten().tolist()
    [1.0, 0.5, 1.0]
    """
    if not all(0 < spread < math.inf for spread in std) or not all(map(math.isfinite, mean)):
        raise ValueError(f"a mean of {mean} and a spread of {std}: numbers, the spread above 0")
    channels = (len(mean), 1, 1)
    middle = torch.tensor(mean, dtype=images.dtype, device=images.device).view(channels)
    spread = torch.tensor(std, dtype=images.dtype, device=images.device).view(channels)
    return ((images + 1) / 2 - middle) / spread


def clip_preprocess(image: Image.Image, size: int = 224) -> Tensor:
    """Prepare an image for a published CLIP: float32 (3, size, size).

    The shorter side to `size`, bicubic; the middle square; CLIP's mean and spread.

    >>> clip_preprocess(Image.new("RGB", (40, 30)), size=16).shape
    torch.Size([3, 16, 16])
    """
    square = center_crop(resize(image.convert("RGB"), size), size)
    return normalise(to_tensor(square), CLIP_MEAN, CLIP_STD)


def vit_preprocess(image: Image.Image, size: int = 224) -> Tensor:
    """Prepare an image for a published ViT: float32 (3, size, size) in [-1, 1].

    Squeezed to a square, bilinear; mean and spread of 0.5, which is our [-1, 1] already.

    >>> vit_preprocess(Image.new("RGB", (40, 30)), size=16).shape
    torch.Size([3, 16, 16])
    """
    return to_tensor(resize(image.convert("RGB"), (size, size), "bilinear"))


def random_resized_crop(
    images: Tensor, generator: Generator, size: int | None = None, smallest: float = 0.35
) -> Tensor:
    """Of each image a random part, resized: (B, C, H, W) -> (B, C, size, size).

    The part has `smallest` to all of the image's area and sides in a ratio of 3:4 to 4:3. Without
    `size` the images keep height and width.

    >>> random_resized_crop(torch.zeros(2, 3, 9, 7), Generator(), size=4).shape
    torch.Size([2, 3, 4, 4])
    """
    if not 0 < smallest <= 1:
        raise ValueError(
            f"the smallest part of an image is a share above 0, at most 1: not {smallest}"
        )
    if size is not None and not 1 <= size * size <= MOST_PIXELS:
        raise ValueError(f"parts cannot be resized to {size} x {size} pixels")
    height, width = images.shape[-2:]
    shape = (height, width) if size is None else (size, size)
    chance = torch.rand(len(images), 4, generator=generator).tolist()
    parts = []
    for image, (area, ratio, down, across) in zip(images, chance, strict=True):
        side = (smallest + (1 - smallest) * area) ** 0.5  # of a square with that part of the area
        stretch = (3 / 4) ** (ratio - 0.5)
        rows = max(1, min(height, round(height * side * stretch)))
        columns = max(1, min(width, round(width * side / stretch)))
        top, left = int(down * (height - rows + 1)), int(across * (width - columns + 1))
        part = image[None, :, top : top + rows, left : left + columns]
        parts.append(F.interpolate(part, shape, mode="bilinear", antialias=True))
    return torch.cat(parts)  # (B, C, H, W)


def random_flip(images: Tensor, generator: Generator, chance: float = 0.5) -> Tensor:
    """Mirror each image left to right with this chance: (B, C, H, W) in and out.

    >>> random_flip(torch.tensor([[[[1.0, 2.0]]]]), Generator(), chance=1.0).tolist()
    [[[[2.0, 1.0]]]]
    """
    if not 0 <= chance <= 1:
        raise ValueError(f"a chance lies from 0 to 1, not at {chance}")
    flipped = torch.rand(len(images), generator=generator) < chance
    return torch.where(flipped[:, None, None, None].to(images.device), images.flip(-1), images)


def color_jitter(images: Tensor, generator: Generator, strength: float = 0.3) -> Tensor:
    """Vary brightness, contrast and saturation of each image by a factor of 1 - to 1 + strength.

    (B, 3, H, W) in [-1, 1] in and out.

    >>> color_jitter(torch.full((1, 3, 2, 2), -1.0), Generator())[0, 0].tolist()  # black stays
    [[-1.0, -1.0], [-1.0, -1.0]]
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"the strength of a jitter lies from 0 to 1, not at {strength}")
    factors = 1 + strength * (2 * torch.rand(3, len(images), 1, 1, 1, generator=generator) - 1)
    brightness, contrast, saturation = factors.to(images.device)  # each (B, 1, 1, 1)
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device)[:, None, None]
    light = ((images + 1) / 2 * brightness).clamp(0, 1)
    middle = (light * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)  # (B, 1, 1, 1)
    light = torch.lerp(middle, light, contrast).clamp(0, 1)
    grey = (light * weights).sum(1, keepdim=True)  # (B, 1, H, W)
    return torch.lerp(grey, light, saturation).clamp(0, 1) * 2 - 1


def augment(images: Tensor, generator: Generator) -> Tensor:
    """Vary images for training: a random part, mirrored or not, in other light.

    (B, 3, H, W) in and out. The generator's seed fixes the result. Do not mirror where left and
    right mean something.

    >>> augment(torch.zeros(2, 3, 8, 8), Generator()).shape
    torch.Size([2, 3, 8, 8])
    """
    cropped = random_resized_crop(images, generator)
    return color_jitter(random_flip(cropped, generator), generator)
