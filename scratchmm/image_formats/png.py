"""Reads a PNG: the chunks that its pixels depend on, and no others.

Pillow refuses an image for its metadata (texts and profiles that are too long or have a wrong check
sum), and loses transparent colours. So the chunks are parsed here: those of the pixels must be
valid, the rest is left out; then Pillow decodes. Sources: Portable Network Graphics
(PNG) Specification, third edition (W3C): sections 5.3 and 11.

Sizes are in pixels, times in milliseconds.
"""

import struct
import zlib
from functools import partial
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from scratchmm.image_formats.film import Film, Part, shown_for
from scratchmm.image_formats.kinds import refuse_too_many
from scratchmm.image_formats.pixels import in_colors

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
ANIMATION = (b"acTL", b"fcTL", b"fdAT")
SIDES = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")  # texts that hold the orientation
LONGEST = 1_000_000  # bytes of such a text, unpacked
DISPOSALS = ("kept", "cleared", "restored")
MOST_FRAMES = 20_000
Chunk = tuple[bytes, bytes]  # kind, data


class Head(NamedTuple):
    """The header of a PNG."""

    width: int
    height: int
    depth: int  # bits of a number
    color: int  # 0 grey, 2 colour, 3 palette, 4 grey and 6 colour with see-through parts
    packing: int
    filters: int
    interlaced: int


def chunks_of(name: str, content: bytes) -> list[Chunk]:
    """The chunks of a PNG that matter for its pixels. `name` is what errors call it.

    Raises ValueError with a sentence: a wrong check sum there, an unknown chunk that matters,
    nothing to see. A chunk beside the pixels that is damaged is left out.

    >>> chunks_of("a.png", SIGNATURE)
    Traceback (most recent call last):
    ValueError: a.png is damaged or truncated: a PNG without pixels
    """
    place, found = len(SIGNATURE), []
    while place + 12 <= len(content):
        size, kind = int.from_bytes(content[place : place + 4]), content[place + 4 : place + 8]
        data, place = content[place + 8 : place + 8 + size], place + 12 + size
        if place > len(content):
            break  # cut off in the midst of a chunk
        sound = zlib.crc32(kind + data) == int.from_bytes(content[place - 4 : place])
        if not kind.isalpha() or (kind[:1].isupper() and kind not in PIXELS):
            raise ValueError(f"{name} is damaged, or no standard PNG: it has a chunk {kind!r}")
        if kind in PIXELS + ANIMATION:
            if not sound:
                chunk = kind.decode()
                raise ValueError(f"{name} is damaged: the check sum of its chunk {chunk} is wrong")
            found.append((kind, data))
        elif sound and (kind == b"eXIf" or _says_which_side_is_up(kind, data)):
            found.append((kind, data))
        if kind == b"IEND":
            break
    kinds = [kind for kind, _ in found]
    if kinds[:1] != [b"IHDR"] or len(found[0][1]) != 13 or b"IDAT" not in kinds:
        raise ValueError(f"{name} is damaged or truncated: a PNG without pixels")
    return found


def _says_which_side_is_up(kind: bytes, data: bytes) -> bool:
    """Some programs store the orientation in a text; one that unpacks to megabytes is none of those."""
    if kind not in (b"tEXt", b"zTXt", b"iTXt") or not data.startswith(SIDES):
        return False
    text = data[data.index(b"\0") :]
    packed = text[2:] if kind == b"zTXt" else b""
    if kind == b"iTXt" and text[1:2] != b"\0":
        return False  # packed: XMP never is
    try:
        unpacked = zlib.decompressobj().decompress(packed, LONGEST) if packed else text
    except zlib.error:
        return False
    return len(unpacked) < LONGEST


def still(name: str, chunks: list[Chunk]) -> Image.Image:
    """The image that every viewer shows, not rotated: RGBA where a colour is transparent.

    >>> content = BytesIO()
    >>> Image.new("L", (2, 1), 9).save(content, "PNG", transparency=9)
    >>> still("a.png", chunks_of("a.png", content.getvalue())).getpixel((1, 0))
    (9, 9, 9, 0)
    """
    head = head_of(chunks)
    refuse_too_many(name, head.width * head.height)
    kept = [chunk for chunk in chunks if chunk[0] not in ANIMATION]
    before = [kind for kind, _ in kept].index(b"IDAT")
    clear = b"".join(data for kind, data in kept[:before] if kind == b"tRNS")
    if head.color != 3:  # Pillow is good at palettes only
        kept = [chunk for chunk in kept if chunk[0] != b"tRNS"]
    content = SIGNATURE + b"".join(_packed(*chunk) for chunk in kept)
    with Image.open(BytesIO(content), formats=("PNG",)) as image:
        image.load()
    size = {0: 2, 2: 6}.get(head.color)
    if size is None or len(clear) != size:
        return image
    levels = [level & (1 << head.depth) - 1 for level in struct.unpack(f">{size // 2}H", clear)]
    return _see_through(image, head.depth, levels, content)


def head_of(chunks: list[Chunk]) -> Head:
    """The header of a PNG, from its first chunk.

    >>> head_of([(b"IHDR", bytes([0, 0, 0, 5, 0, 0, 0, 4, 8, 2, 0, 0, 0]))])[:4]
    (5, 4, 8, 2)
    """
    return Head(*struct.unpack(">IIBBBBB", chunks[0][1]))


def _see_through(image: Image.Image, depth: int, levels: list[int], content: bytes) -> Image.Image:
    """The image in RGBA, transparent where it has the levels of its tRNS chunk."""
    if len(levels) == 3:
        pixels = np.asarray(image)  # of 16 bits the upper halves
        clear = (pixels == [level >> depth - 8 for level in levels]).all(-1)
        if depth == 16:
            clear &= (_lower_halves(content) == [level & 255 for level in levels]).all(-1)
    elif depth == 16:
        clear = np.asarray(image) == levels[0]
    else:
        clear = np.asarray(image.convert("L")) == levels[0] * 255 // ((1 << depth) - 1)
    found = in_colors(image).convert("RGBA")
    found.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    found.info = image.info
    return found


def _lower_halves(content: bytes) -> np.ndarray[Any, Any]:
    """Of colours of 16 bits the lower 8, (H, W, 3): Pillow reads the upper ones."""
    with Image.open(BytesIO(content), formats=("PNG",)) as image:
        image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
        return np.asarray(image)


def is_animated(chunks: list[Chunk]) -> bool:
    """Whether a PNG is animated: an acTL chunk comes before its pixels.

    >>> is_animated([(b"IHDR", b""), (b"acTL", b""), (b"IDAT", b"")])
    True
    """
    kinds = [kind for kind, _ in chunks]
    return b"acTL" in kinds[: kinds.index(b"IDAT")]


def film_of(name: str, chunks: list[Chunk]) -> Film:
    """The frames of an animated PNG, not decoded yet. `name` is what errors call it.

    The image that only old viewers show is none of them. Raises ValueError with a sentence:
    fewer frames than promised, a frame without pixels or beyond the canvas.

    >>> content = BytesIO()
    >>> frames = [Image.new("L", (4, 3), level) for level in (0, 9)]
    >>> frames[0].save(content, "PNG", save_all=True, append_images=frames[1:], duration=250)
    >>> film = film_of("a.png", chunks_of("a.png", content.getvalue()))
    >>> film.width, len(film.parts), film.parts[1].milliseconds
    (4, 2, 250.0)
    """
    head = head_of(chunks)
    refuse_too_many(name, head.width * head.height)
    promised = int.from_bytes(next(data for kind, data in chunks if kind == b"acTL")[:4])
    frames: list[tuple[bytes, list[bytes]]] = []  # a frame's control, its pieces of data
    for kind, data in chunks:
        if kind == b"fcTL":
            frames.append((data.ljust(26, b"\0"), []))
        elif kind in (b"IDAT", b"fdAT") and frames:
            frames[-1][1].append(data[4:] if kind == b"fdAT" else data)
    if len(frames) < promised or not frames:
        raise ValueError(f"{name} is damaged or truncated: {len(frames)} of {promised} frames")
    if len(frames) > MOST_FRAMES:
        raise ValueError(f"{name} has {len(frames)} frames, more than the {MOST_FRAMES} read")
    kept = [chunk for chunk in chunks if chunk[0] in (b"PLTE", b"tRNS")]
    parts = [
        _part(f"frame {number} of {name}", head, control, b"".join(data), kept)
        for number, (control, data) in enumerate(frames, 1)
    ]
    return Film(head.width, head.height, parts)


def _part(name: str, head: Head, control: bytes, data: bytes, kept: list[Chunk]) -> Part:
    _, width, height, left, top, delay, of, disposal, blend = struct.unpack(">5I2H2B", control)
    if not data:
        raise ValueError(f"{name} is damaged or truncated: it has no pixels")
    if min(width, height) < 1 or left + width > head.width or top + height > head.height:
        raise ValueError(
            f"{name} is damaged: {width} x {height} pixels at column {left} and row {top} do not "
            f"lie on the canvas of {head.width} x {head.height}"
        )
    small = struct.pack(">IIBBBBB", *head._replace(width=width, height=height))
    alone = [(b"IHDR", small), *kept, (b"IDAT", data), (b"IEND", b"")]
    return Part(
        (left, top, left + width, top + height),
        DISPOSALS[disposal] if disposal < 3 else "kept",
        blend == 1,
        shown_for(1000 * delay / (of or 100)),
        partial(_draw, name, alone),
    )


def _draw(name: str, alone: list[Chunk]) -> Image.Image:
    return in_colors(still(name, alone)).convert("RGBA")


def _packed(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check
