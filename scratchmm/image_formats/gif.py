"""Reads a GIF: which frames it has, and whether the file is complete.

Pillow composes animations by rules of its own, and takes a file that was cut off between two frames
for a shorter one. So the blocks are parsed here, and Pillow decodes one frame at a time.

A GIF is a head with the size and a palette; then blocks: "!" and a kind, or "," and a place, size
and perhaps a palette of its own, each followed by runs of bytes that begin with their length, and a
run of 0; at last a ";". Numbers have the lowest byte first. Source: GIF89a Specification
(CompuServe, 1990).
"""

import struct
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from itertools import islice

import numpy as np
from PIL import Image

from scratchmm.image_formats.film import Film, Part, shown_for
from scratchmm.image_formats.kinds import refuse_too_many

HEAD = 13  # bytes before the palette
DISPOSALS = {2: "cleared", 3: "restored", 4: "restored"}  # 4 stands for 3 in some old files
MOST_FRAMES = 20_000


def film_of(name: str, content: bytes, first_only: bool = False) -> Film:
    """The frames of a GIF, not decoded yet. `name` is what errors call it.

    The first frame may be larger than the canvas, which then grows; later ones are cut off at its
    border. Raises ValueError with a sentence: no frames, cut off, a frame outside the canvas.

    >>> film_of("a.gif", b"GIF89a" + bytes(7) + b";")
    Traceback (most recent call last):
    ValueError: a.gif is not an image but a file of 14 bytes: a GIF of 0 frames
    """
    found = _parts(name, content)
    parts = list(islice(found, 1 if first_only else MOST_FRAMES + 1))
    if len(parts) > MOST_FRAMES:
        raise ValueError(f"{name} has more than the {MOST_FRAMES} frames that are read")
    width, height = struct.unpack_from("<HH", content, 6)
    width, height = max(width, parts[0].box[2]), max(height, parts[0].box[3])
    refuse_too_many(name, width * height)
    for number, part in enumerate(parts, 1):
        left, top, right, bottom = part.box
        if left >= right or top >= bottom:
            raise ValueError(f"frame {number} of {name} has {right - left} x {bottom - top} pixels")
        if left >= width or top >= height:
            raise ValueError(
                f"frame {number} of {name} begins at column {left} and row {top}, outside of the "
                f"canvas of {width} x {height} pixels"
            )
        refuse_too_many(f"frame {number} of {name}", (right - left) * (bottom - top))
    return Film(width, height, parts)


def _parts(name: str, content: bytes) -> Iterator[Part]:
    """What is painted, in turn; at the end refuses a file without its end."""
    head = content.ljust(HEAD, b"\0")
    place = HEAD + palette_bytes(head, 10)
    shared, control, count = content[HEAD:place], b"\0" * 4, 0
    while place < len(content) and (kind := content[place : place + 1]) != b";":
        if kind == b"!":
            if content[place + 1 : place + 3] == b"\xf9\x04":
                control = content[place + 3 : place + 7].ljust(4, b"\0")
            place = _behind(content, place + 2)
        elif kind == b",":
            left, top, width, height, flags = struct.unpack_from(
                "<HHHHB", content[place + 1 : place + 10].ljust(9, b"\0")
            )
            start = place + 10 + palette_bytes(content, place + 9)
            palette = content[place + 10 : start] or shared
            place = _behind(content, start + 1)
            if place > len(content):
                break
            alone = _alone(width, height, flags, content[start:place])
            hundredths = int.from_bytes(control[1:3], "little")
            yield Part(
                (left, top, left + width, top + height),
                DISPOSALS.get(control[0] >> 2 & 7, "kept"),
                True,
                shown_for(10 * hundredths),
                partial(_draw, alone, palette, control[3] if control[0] & 1 else None),
            )
            control, count = b"\0" * 4, count + 1
        else:  # between blocks: readers pass it over
            place += 1
    if not count:
        size = f"a file of {len(content)} bytes"
        raise ValueError(f"{name} is not an image but {size}: a GIF of 0 frames")
    if place >= len(content):
        raise ValueError(f"{name} is truncated: it ends in the midst of its frames")


def _behind(content: bytes, place: int) -> int:
    """Where a row of runs that begins at `place` ends; beyond the content if it is cut off."""
    while place < len(content) and content[place]:
        place += 1 + content[place]
    return place + 1


def _alone(width: int, height: int, flags: int, data: bytes) -> bytes:
    """A GIF of one frame without a palette: what Pillow decodes are the places in it."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)
    return head + b"," + struct.pack("<HHHHB", 0, 0, width, height, flags & 0x40) + data + b";"


def _draw(alone: bytes, palette: bytes, clear: int | None) -> Image.Image:
    with Image.open(BytesIO(alone), formats=("GIF",)) as image:
        places = np.asarray(image)
    colors = np.zeros((256, 4), dtype=np.uint8)
    if palette:
        colors[: len(palette) // 3, :3] = np.frombuffer(palette, dtype=np.uint8).reshape(-1, 3)
    else:
        colors[:, :3] = np.arange(256)[:, None]  # shades of grey where no palette is given
    colors[:, 3] = 255
    if clear is not None:
        colors[clear] = 0
    return Image.fromarray(colors[places])


def palette_bytes(content: bytes, place: int) -> int:
    """The length of a palette in bytes, by the byte that encodes it: a flag, and a power of 2.

    >>> palette_bytes(b"\\x81", 0), palette_bytes(b"\\x01", 0)
    (12, 0)
    """
    flags = content[place] if place < len(content) else 0
    return 3 << (flags & 7) + 1 if flags & 128 else 0
