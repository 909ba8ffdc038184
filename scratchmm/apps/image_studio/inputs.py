"""Images to start from: an initial image, its mask, a colour reference, a control image.

Dimensions: C channels, H x W pixels; every image becomes one batch row of 32 x 32 pixels.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from scratchmm.vision.images import center_crop, open_image, resize, to_tensor

SIZE, STRENGTH = 32, 0.6  # pixels of the model's images; default strength without a mask
Log = Callable[[str], None]


class Inputs(NamedTuple):
    """The images that condition or initialise the sampling, each one batch row, or None."""

    init: Tensor | None = None  # (1, 3, 32, 32) in [-1, 1]
    mask: Tensor | None = None  # bool (1, 1, 32, 32)
    colours: Tensor | None = None  # (1, 3, 32, 32) in [-1, 1]
    control: Tensor | None = None  # (1, 1 or 3, 32, 32) in [0, 1]
    strength: float = 1.0  # denoising strength: the share of the schedule that init is noised by
    kind: str = ""  # of the control image: edges, depth or pose
    settings: Mapping[str, str | float] = {}  # for the manifest: paths and a hash of the pixels


def read_inputs(
    *,
    init: Path | None = None,
    mask: Path | None = None,
    strength: float | None = None,
    colours: Path | None = None,
    control: Path | None = None,
    kind: str | None = None,
    log: Log,
) -> Inputs:
    """Read and check the image files. mask and strength belong to init, kind to control.

    strength: 0.6 if it is None, and 1 with a mask. log is called with what was done to an image.
    Raises FileNotFoundError, or ValueError with the file's name for an image that cannot serve.
    """
    fields: dict[str, Any] = {"kind": kind or ""}
    if init is not None:
        image = open_image(init)
        fields["init"] = to_tensor(squared(image, init, log))[None]
        fields["strength"] = strength or (1.0 if mask else STRENGTH)
        if mask is not None:
            fields["mask"] = read_mask(mask, image.size, init)
    if colours is not None:
        fields["colours"] = to_tensor(squared(open_image(colours), colours, log))[None]
    if control is not None:
        fields["control"] = read_control(control, kind or "", log)
    paths = {"init": init, "mask": mask, "colours": colours, "control": control}
    settings = {name: str(path) for name, path in paths.items() if name in fields}
    settings |= {name: fields[name] for name in ("strength", "kind") if fields.get(name)}
    content = b"".join(fields[name].numpy().tobytes() for name in paths if name in fields)
    settings |= {"images": hashlib.sha256(content).hexdigest()[:8]} if content else {}
    return Inputs(**fields, settings=settings)


def squared(image: Image.Image, path: Path, log: Log) -> Image.Image:
    """The centre crop of an image at 32 x 32 pixels; undoes an enlargement by a whole factor."""
    if image.size == (SIZE, SIZE):
        return image
    if image.width == image.height and image.width % SIZE == 0:
        small = image.resize((SIZE, SIZE), Image.Resampling.NEAREST)
        if small.resize(image.size, Image.Resampling.NEAREST).tobytes() == image.tobytes():
            return small
    log(f"{path}: the middle of {image.width} x {image.height} pixels, made {SIZE} x {SIZE}")
    return center_crop(resize(image, SIZE), SIZE)


def read_mask(path: Path, size: tuple[int, int], init: Path) -> Tensor:
    """A mask as large as the initial image: bool (1, 1, 32, 32), True where it is white."""
    image = open_image(path, background="black")
    if image.size != size:
        actual, expected = (" x ".join(map(str, sides)) for sides in (image.size, size))
        raise ValueError(f"the mask {path} has {actual} pixels, but {init} has {expected}")
    white = to_tensor(squared(image, path, lambda text: None)).mean(dim=0)[None, None] > 0
    if not white.any():
        raise ValueError(f"the mask {path} is empty: where it is white, there is drawn")
    return white


def read_control(path: Path, kind: str, log: Log) -> Tensor:
    """A control image (1, C, 32, 32) in [0, 1]; of a photo, the edges are detected (Canny)."""
    image = open_image(path, background="black")
    colours = (to_tensor(squared(image, path, log))[None] + 1) / 2
    grey = colours.mean(dim=1, keepdim=True)
    coloured = float((colours - grey).abs().max()) > 0.1
    if kind == "depth" and coloured:
        raise ValueError(
            f"{path} is no depth image: it has colours, and should go from black to white"
        )
    if kind == "pose" and float((colours.amax(1) > 0.2).float().mean()) > 0.5:
        raise ValueError(f"{path} is no pose: most of it should be black, and is not")
    if kind == "edges" and (coloured or not is_outline(grey)):
        from scratchmm.vision.canny import canny

        log(f"{path}: its edges are looked for, since it is no black image with white lines")
        grey = canny(2 * colours - 1)
    hint = colours if kind == "pose" else grey
    if not (hint > 0.2).any():
        raise ValueError(f"{path} shows no {kind}: there is nothing in it to follow")
    return hint


def is_outline(grey: Tensor) -> bool:
    """Whether an image (1, 1, H, W) in [0, 1] has thin white lines on black, and nothing else."""
    between = ((grey > 0.2) & (grey < 0.8)).any()
    thick = (-F.max_pool2d(-grey, 3, stride=1) > 0.5).any()
    return not between and not thick and bool((grey > 0.5).any())
