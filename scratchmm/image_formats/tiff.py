"""Corrects how Pillow decodes some TIFFs, between opening and decoding.

Three kinds were decoded wrongly without an error: colours of 16 bits that lie in planes of
their own (each row was read twice, the lower half of the image was lost), palettes that were
written with 8 bits in place of 16 (black), and, refused, grey of 16 bits in which 0 is white, in
the order of big-endian machines. Source: TIFF, revision 6.0 (Adobe, 1992), tags 258, 284 and 320.
"""

from typing import Any

from PIL import Image, ImagePalette, TiffImagePlugin

from scratchmm.image_formats.pixels import BITS

PLANES, PALETTE = 284, 320  # tags; planes: 2 where each colour has its own
# Pillow knows the same numbers of little-endian machines; `pixels` turns them round for both.
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))


def put_right(name: str, image: Image.Image) -> None:
    """Change how a TIFF will be decoded; other images, and decoded ones, stay. name: for errors.

    Raises ValueError with a sentence for planes that can't be read.

    >>> put_right("a.png", Image.new("RGB", (1, 1)))
    """
    tags: Any = getattr(image, "tag_v2", None)
    if tags is None:
        return
    tiles = getattr(image, "tile", [])
    if tags.get(PLANES) == 2 and max(tags.get(BITS, (8,))) == 16:
        order = "B" if tags.prefix == b"MM" else "L"
        image.tile = [_of_16_bits(name, tile, order) for tile in tiles]  # type: ignore[attr-defined]
    levels = tags.get(PALETTE, ())
    if image.mode in ("P", "PA") and tiles and levels and max(levels) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(levels))


def _of_16_bits(name: str, tile: Any, order: str) -> Any:
    """Where a plane lies and how; the names of single colours mean 8 bits to Pillow."""
    if tile.codec_name != "raw":
        return tile  # libtiff unpacks it, and knows
    color = tile.args[0]
    if color not in ("R", "G", "B", "A"):
        raise ValueError(
            f"{name} has planes of 16 bits that can't be read: {color!r}, not R, G, B, A"
        )
    return tile._replace(args=(f"{color};16{order}", *tile.args[1:]))
