"""Pixels of any mode as RGB of 8 bits: grey of any depth, palettes, CMYK, white as 0.

Numbers without an agreed range (32 bits, below 0, floating point) are refused: the file does not
define which of them is white.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

Levels = np.ndarray[Any, Any]
BITS, WHITE_IS, FORMAT = 258, 262, 339  # tags of a TIFF; photometric 0: the number 0 is white
FLOATING, SIGNED = {3, 6}, {2, 5}  # kinds of numbers, by its FORMAT; 5 and 6 are complex ones


def eight_bits(levels: Levels, most: int = 65_535) -> Image.Image:
    """Grey levels from 0 to `most`, (H, W), as a grey image of 8 bits, rounded.

    >>> np.asarray(eight_bits(np.array([[0, 128, 30_000, 65_535]]))).tolist()
    [[0, 0, 117, 255]]
    """
    return Image.fromarray(((levels.astype(np.int64) * 255 + most // 2) // most).astype(np.uint8))


def in_colors(image: Image.Image, tags: Mapping[int, Any] | None = None) -> Image.Image:
    """Any of Pillow's modes as RGB, or as RGBA where something is transparent. tags: of a TIFF.

    Raises ValueError with a sentence for pixels without an agreed range.

    >>> in_colors(Image.new("LA", (1, 1), (100, 51))).mode, in_colors(Image.new("1", (1, 1))).mode
    ('RGBA', 'RGB')
    """
    tags = tags or {}
    kinds = {*np.atleast_1d(tags.get(FORMAT, 1)).tolist()}
    bits = max(np.atleast_1d(tags.get(BITS, 8)).tolist())
    if image.mode == "F" or FLOATING & kinds:
        raise ValueError(
            f"its pixels are floating-point numbers without an agreed range ({max(bits, 32)} bits)"
        )
    if SIGNED & kinds or bits > 16:
        sign = "signed " if SIGNED & kinds else ""
        raise ValueError(f"its pixels are {sign}numbers of {bits} bits without an agreed range")
    if image.mode.startswith("I"):  # grey of 9 to 16 bits; Pillow's own convert would clip at 255
        most = (1 << bits) - 1 if bits > 8 else 65_535
        grey = np.asarray(image).astype(np.int64)
        if not 0 <= grey.min() <= grey.max() <= most:
            raise ValueError(
                f"its pixels lie from {grey.min()} to {grey.max()}, beyond 0 to {most}: they are "
                "numbers without an agreed range"
            )
        # Pillow turns a TIFF in which 0 is white round only up to 8 bits.
        found = eight_bits(most - grey if tags.get(WHITE_IS) == 0 else grey, most).convert("RGB")
        if isinstance(clear := image.info.get("transparency"), int):  # of a PNG, one level
            found.putalpha(Image.fromarray(np.where(grey == clear, 0, 255).astype(np.uint8)))
        return found
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def on_background(image: Image.Image, background: str = "white") -> Image.Image:
    """RGB, with the transparent parts of an RGBA image composited onto a colour.

    >>> on_background(Image.new("RGBA", (1, 1), (255, 0, 0, 102))).getpixel((0, 0))
    (255, 153, 153)
    """
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return image.convert("RGB")
