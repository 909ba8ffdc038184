"""Writes a GIF: Pillow's compression of each frame, put together here.

Pillow's own writer of animations leaves out a frame that equals the one before. How a GIF is read is
in image_formats/gif.py.

A GIF is a head with the size and a palette; then blocks: "!" and a kind, or "," and a place, size
and perhaps a palette of its own, each followed by runs of bytes that begin with their length, and a
run of 0; at last a ";". Numbers have the lowest byte first. Source: GIF89a Specification
(CompuServe, 1990).

Dimensions: F frames, H and W height and width, C channels (red, green, blue).
"""

import struct
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Levels = np.ndarray[Any, Any]  # uint8
HEAD = 13  # bytes before the palette
AGAIN = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"  # loop for ever: 0 times
MOST_LOOKED_AT = 1_000_000  # pixels from which a palette is made
MOST_WRITTEN = 512_000_000  # pixels of all frames
LONGEST_SIDE = 65_535


def levels_of(clip: Tensor) -> Levels:
    """The pixels of a clip, float (F, 3 or 1, H, W) in [-1, 1]: uint8 (F, H, W, 3).

    Beyond [-1, 1] they are cut off. Raises ValueError for what is no clip, or no number.

    >>> levels_of(torch.tensor([-1.0, 0.2, 3.0]).view(1, 1, 1, 3)).tolist()
    [[[[0, 0, 0], [153, 153, 153], [255, 255, 255]]]]
    """
    if clip.dim() != 4 or clip.shape[1] not in (1, 3) or clip.numel() == 0:
        raise ValueError(f"a clip is (F, 3, H, W) or (F, 1, H, W), not {tuple(clip.shape)}")
    if not clip.isfinite().all():
        raise ValueError("the clip has values that are no numbers")
    levels = ((clip.detach().cpu().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    pixels: Levels = levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


def gif_bytes(levels: Levels, seconds: float | Sequence[float] | Tensor, scale: int = 1) -> bytes:
    """Frames, uint8 (F, H, W, 3), as a GIF that loops, with one palette for all of them.

    seconds: how long a frame is shown, one number or one a frame (F,). scale: each pixel becomes
    scale x scale of them. Raises ValueError for what a GIF cannot hold.

    >>> two = np.zeros((2, 3, 4, 3), dtype=np.uint8)  # the same frame twice
    >>> image = Image.open(BytesIO(gif_bytes(two, [0.1, 0.2])))
    >>> image.size, image.n_frames, image.info["loop"]
    ((4, 3), 2, 0)
    """
    _, height, width, _ = (side * scale for side in levels.shape)
    if max(height, width) > LONGEST_SIDE:
        raise ValueError(f"{height} x {width} pixels are too many for a GIF: {LONGEST_SIDE} a side")
    if (pixels := len(levels) * height * width) > MOST_WRITTEN:
        raise ValueError(
            f"{len(levels)} frames of {height} x {width} are {pixels / 1e6:.1f} megapixels, more than "
            f"the {MOST_WRITTEN // 1_000_000} that are written"
        )
    lengths = _hundredths(len(levels), seconds)
    palette, indices = in_one_palette(levels)
    colors = palette.tobytes().ljust(3 * 256, b"\0")
    parts = [b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0), colors, AGAIN]
    for frame, length in zip(indices, lengths, strict=True):
        image = Image.fromarray(frame.repeat(scale, 0).repeat(scale, 1))
        image.putpalette(colors)
        alone = BytesIO()  # a GIF of this frame; of it, what lies between its palette and its end
        image.save(alone, format="GIF", optimize=False, duration=10 * length)
        parts.append(alone.getvalue()[HEAD + len(colors) : -1])
    return b"".join(parts) + b";"


def _hundredths(count: int, seconds: float | Sequence[float] | Tensor) -> list[int]:
    """How long each frame is shown, in hundredths of a second, so that errors do not add up."""
    lengths = np.asarray(seconds, dtype=np.float64)
    if lengths.shape not in ((), (count,)):
        raise ValueError(f"seconds are of shape {lengths.shape}, there are {count} frames")
    lengths = np.broadcast_to(lengths, (count,))
    fit = (lengths >= 0.02 - 1e-9) & (lengths <= 655)  # browsers show less than 0.02 as 0.1
    if not fit.all():
        raise ValueError(
            f"a frame of a GIF is shown for 0.02 to 655 seconds, not {lengths[~fit][0]:g}"
        )
    ends = np.round(np.cumsum(lengths) * 100).astype(int)
    found: list[int] = np.diff(ends, prepend=0).clip(min=2).tolist()
    return found


def in_one_palette(levels: Levels) -> tuple[Levels, Levels]:
    """Frames, uint8 (F, H, W, 3), as one palette (at most 256, 3) and places in it (F, H, W).

    Up to 256 colours stay as they are. More are brought to 256 by median cut, each to the nearest
    and always to the same: dithering would flicker.

    >>> palette, places = in_one_palette(np.array([[[[9, 8, 7]] * 2]], dtype=np.uint8))
    >>> palette.tolist(), places.tolist()
    ([[9, 8, 7]], [[[0, 0]]])
    """
    pixels = levels.reshape(-1, 3)
    packed = pixels.astype(np.int32) @ np.array([65536, 256, 1], dtype=np.int32)
    found, places = np.unique(packed, return_inverse=True)
    colors = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8)
    if len(colors) > 256:
        looked_at = pixels[:: 1 + len(pixels) // MOST_LOOKED_AT]
        cut = Image.fromarray(looked_at[None]).quantize(256, Image.Quantize.MEDIANCUT)
        nearest = Image.fromarray(colors[None]).quantize(palette=cut, dither=Image.Dither.NONE)
        colors = np.array(cut.getpalette(), dtype=np.uint8).reshape(-1, 3)
        places = np.asarray(nearest)[0][places]
    return colors, places.reshape(levels.shape[:3]).astype(np.uint8)
