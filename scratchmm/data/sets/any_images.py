"""Images in any form: files, folders, Pillow's images, tensors of any size.

They become a model's input: the shorter side is resized, the centre cropped, values lie in [-1, 1].
A tensor of the model's size is returned unchanged, bit for bit.

B images, C channels, H and W height and width.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from scratchmm.image_formats.kinds import SUFFIXES, head_of, kind_of
from scratchmm.image_formats.pixels import in_colors, on_background
from scratchmm.image_formats.reader import decoded
from scratchmm.vision.images import center_crop, open_image, resize, to_tensor

AnyImage: TypeAlias = str | Path | Image.Image | np.ndarray | Tensor
GREY = (0.299, 0.587, 0.114)  # luma weights of red, green and blue, ITU-R BT.601


def image_files(folder: str | Path) -> list[Path]:
    """The image files in a folder, by name: what is named like an image, or begins like one.

    Hidden files, and what lies in folders below it, are left alone.

    Raises FileNotFoundError where there is no such folder or no image in it.

    >>> image_files("no such folder")
    Traceback (most recent call last):
    FileNotFoundError: there is no folder no such folder
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    there = sorted(file for file in folder.iterdir() if file.is_file())
    there = [file for file in there if not file.name.startswith(".")]
    found = [f for f in there if f.suffix.lower() in SUFFIXES or kind_of(head_of(f))]
    if not found:
        raise FileNotFoundError(f"{folder} holds no image ({len(there)} other files)")
    return found


def images_of(given: "AnyImage | Iterable[AnyImage]", size: int, channels: int = 3) -> Tensor:
    """Any images as float32 (B, channels, size, size) in [-1, 1].

    given: a file, a folder of image files (in the order of `image_files`), an image of Pillow's,
    an array uint8 (H, W, C), a tensor (C, H, W) or (B, C, H, W), or several of these in a list.
    A tensor is float in [-1, 1], or uint8 from 0 to 255. Transparent parts become white.

    Raises ValueError or FileNotFoundError in a sentence that names what is accepted.

    >>> images_of(Image.new("RGB", (131, 97), "white"), 32).shape
    torch.Size([1, 3, 32, 32])
    >>> images_of(torch.full((2, 3, 32, 32), 127.0), 32)
    Traceback (most recent call last):
    ValueError: an image holds values from 127 to 127: give floats in [-1, 1], or uint8 from 0 to 255
    """
    if isinstance(given, str) and not given.strip():
        raise ValueError("the name of an image is empty")
    if isinstance(given, (str, Path)) and Path(given).is_dir():
        given = list(image_files(given))
    single = isinstance(given, (str, Path, Image.Image, np.ndarray, Tensor))
    single = single or not isinstance(given, Iterable)  # which is refused by its kind
    parts = [_one(part, size, channels) for part in ([given] if single else given)]  # type: ignore[list-item, union-attr]
    if not parts:
        raise ValueError("there is no image: the list is empty")
    return torch.cat(parts)


def _one(given: Any, size: int, channels: int) -> Tensor:
    """One image, or a tensor of several of one size: (B, channels, size, size)."""
    if isinstance(given, Tensor):
        return _of_channels(_fitted(_checked(given, channels), size), channels)
    if isinstance(given, (str, Path)):
        image = open_image(given, at_least=2 * size)  # twice, so that the rest is resized well
    elif isinstance(given, np.ndarray):
        image = on_background(in_colors(_image_of_array(given)))
    elif isinstance(given, Image.Image):
        if 0 in given.size:
            raise ValueError(f"an image of {given.width} x {given.height} pixels shows nothing")
        image = on_background(decoded("an image of Pillow's", given))
    else:
        kind = type(given).__name__
        raise ValueError(f"an image is a file, an image of Pillow's or a tensor, not {kind}")
    return _of_channels(to_tensor(center_crop(resize(image, size), size))[None], channels)


def _image_of_array(array: np.ndarray) -> Image.Image:
    """A numpy array as an image of Pillow's, whose axes are height, width, and channels last."""
    shape = array.shape
    fits = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 2, 3, 4))
    if array.dtype != np.uint8 or not fits or 0 in shape:
        told = f"not {array.dtype} {shape}"
        if len(shape) == 3 and shape[0] in (1, 3, 4) and not fits:
            told += ": its channels come first, so give array.transpose(1, 2, 0)"
        elif array.dtype != np.uint8:
            told += ": a tensor may hold floats in [-1, 1]"
        raise ValueError(f"an array of an image is uint8 (H, W) or (H, W, C), C 1 to 4, {told}")
    return Image.fromarray(array[..., 0] if len(shape) == 3 and shape[2] == 1 else array)


def _checked(image: Tensor, channels: int) -> Tensor:
    """A tensor as float (B, C, H, W) in [-1, 1]; refused where it cannot be one."""
    shape = tuple(image.shape)
    if image.ndim not in (3, 4) or image.shape[-3] not in (1, 3, channels) or 0 in shape[-3:]:
        known = "1 or 3" if channels in (1, 3) else f"{channels}, 1 or 3"
        raise ValueError(f"a tensor of images is (C, H, W) or (B, C, H, W), C {known}, not {shape}")
    image = image if image.ndim == 4 else image[None]
    if image.dtype == torch.uint8:
        return image.float() / 127.5 - 1
    if not image.is_floating_point():
        raise ValueError(f"a tensor of images is float in [-1, 1] or uint8, not {image.dtype}")
    low, high = (image.amin().item(), image.amax().item()) if len(image) else (0.0, 0.0)
    if not -2 <= low <= high <= 2:  # noise and resizing may go a little beyond
        told = f"an image holds values from {low:g} to {high:g}"
        raise ValueError(f"{told}: give floats in [-1, 1], or uint8 from 0 to 255")
    return image


def _fitted(images: Tensor, size: int) -> Tensor:
    """Float (B, C, H, W): the shorter side resized to `size`, the centre cropped."""
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    sides = [size * side // min(height, width) for side in (height, width)]
    options: dict[str, Any] = {"mode": "bicubic", "antialias": True}
    images = F.interpolate(images.float(), sides, **options).clamp(-1, 1)
    top, left = ((side - size) // 2 for side in sides)
    return images[:, :, top : top + size, left : left + size]


def _of_channels(images: Tensor, channels: int) -> Tensor:
    """Grey images repeated three times, or colour images as their luma."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    return (images * images.new_tensor(GREY)[:, None, None]).sum(dim=1, keepdim=True)
