"""Reads an image file as one image or as the frames of an animation: the one place that opens files.

A file may be rotated, transparent, grey, CMYK, damaged or far too big. All of this is handled here,
so that readers of images and of clips agree.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from scratchmm.image_formats import gif, png, tiff
from scratchmm.image_formats.film import Film, canvases, shown_for
from scratchmm.image_formats.kinds import (
    FORMATS,
    MOST_PIXELS,
    SURE,
    head_of,
    kind_of,
    refusal,
    refuse_too_many,
)
from scratchmm.image_formats.pixels import BITS, WHITE_IS, in_colors

SUBFILE, SUBFILES, DNG = 254, 330, 50706  # tags of a TIFF
NO_PAGE = 1 | 4  # bits of SUBFILE: a smaller copy, a mask


class Shown(NamedTuple):
    """A frame of a film."""

    total: int  # frames of the film
    name: str  # for errors
    image: Image.Image  # RGB, or RGBA where something is transparent
    milliseconds: float | None  # None where it is not of a film


Check = Callable[[int, tuple[int, int]], None]  # how many frames, their (width, height)


def first_image(path: Path, at_least: int | None = None) -> Image.Image:
    """The image in a file, upright: RGB, or RGBA where something is transparent.

    Of an animation it is the first frame, of a photo with a second view or a gain map (MPO) the photo;
    a TIFF or PPM of several pages is refused. at_least: see `vision.images.open_image`.

    >>> first_image(Path("no such file.png"))
    Traceback (most recent call last):
    FileNotFoundError: no image at no such file.png
    """
    head = head_of(path)
    if kind_of(head) == "GIF":
        film = gif.film_of(str(path), path.read_bytes(), first_only=True)
        return next(_painted(str(path), film))
    if kind_of(head) == "PNG":
        return _still(path, png.chunks_of(str(path), path.read_bytes()))
    with _look(path, head) as image:
        if (pages := _pages(path, image)) and len(pages) > 1:
            raise ValueError(f"{path} holds {len(pages)} pages, and one image is read")
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        return decoded(str(path), image)


def frames_of(path: Path, check: Check) -> Iterator[Shown]:
    """The frames of a GIF, WebP, animated PNG or TIFF of several pages; of others their one image.

    `check` is called with the number of frames and their size before any is decoded; it may refuse.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.png"
    >>> Image.new("L", (4, 3)).save(path)
    >>> [frame.image.size for frame in frames_of(path, lambda total, size: None)]
    [(4, 3)]
    """
    head, name = head_of(path), str(path)
    kind = kind_of(head)
    if kind == "GIF":
        yield from _shown(name, gif.film_of(name, path.read_bytes()), check)
    elif kind == "PNG":
        chunks = png.chunks_of(name, path.read_bytes())
        if png.is_animated(chunks):
            yield from _shown(name, png.film_of(name, chunks), check, png.still(name, chunks).info)
        else:
            image = _still(path, chunks)
            yield Shown(1, name, image, None)
    else:
        with _look(path, head) as image:
            yield from _by_pillow(path, image, check)


def _shown(
    name: str, film: Film, check: Check, info: dict[Any, Any] | None = None
) -> Iterator[Shown]:
    count = len(film.parts)
    check(count, (film.width, film.height))
    for number, image in enumerate(_painted(name, film)):
        if info:  # the orientation
            image.info = info
            image = ImageOps.exif_transpose(image)
        yield Shown(count, _called(name, number, count), image, film.parts[number].milliseconds)


def _painted(name: str, film: Film) -> Iterator[Image.Image]:
    number = 0
    try:
        for image in canvases(film):
            yield image
            number += 1
    except Exception as error:  # every format has its own ways to fail
        called = _called(name, number, len(film.parts))
        raise ValueError(f"{called} is damaged or truncated ({error})") from error


def _called(name: str, number: int, count: int) -> str:
    return f"frame {number + 1} of {name}" if count > 1 else name


def _still(path: Path, chunks: list[png.Chunk]) -> Image.Image:
    try:
        image = png.still(str(path), chunks)
    except OSError as error:
        raise ValueError(f"{path} is damaged or truncated ({error})") from error
    return _upright(str(path), image)


def _by_pillow(path: Path, image: Image.Image, check: Check) -> Iterator[Shown]:
    film = image.format == "WEBP"
    places = [*range(getattr(image, "n_frames", 1))] if film else _pages(path, image) or [0]
    for number, place in enumerate(places):
        name, count = _called(str(path), number, len(places)), len(places)
        try:
            image.seek(place)
        except Exception as error:  # every format has its own ways to fail
            raise ValueError(f"{name} is damaged or truncated ({error})") from error
        check(count, image.size)
        shown = decoded(name, image)
        milliseconds = shown_for(image.info.get("duration", 0)) if film and count > 1 else None
        yield Shown(count, name, shown, milliseconds)


def _pages(path: Path, image: Image.Image) -> list[int]:
    """The numbers of the pages of a TIFF; none of other formats."""
    if image.format == "PPM":
        _refuse_a_second_one(path, image)
    if image.format != "TIFF":
        return []
    tags = getattr(image, "tag_v2", {})
    if DNG in tags or (SUBFILES in tags and tags.get(SUBFILE, 0) & 1):
        raise ValueError(f"{path} is a camera's raw image, of which only a preview could be read")
    found = []
    try:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            if not getattr(image, "tag_v2", {}).get(SUBFILE, 0) & NO_PAGE:
                found.append(number)
        image.seek(found[0] if found else 0)
    except Exception as error:  # every format has its own ways to fail
        raise ValueError(f"{path} is damaged or truncated ({error})") from error
    return found


def _refuse_a_second_one(path: Path, image: Image.Image) -> None:
    """A PPM may hold several images in a row, of which Pillow reads the first."""
    content, tile = path.read_bytes(), image.tile[0]  # type: ignore[attr-defined]
    if content[1:2] not in b"456":
        return  # written out in digits: one image only
    deep = tile.args[1] > 255 if tile.codec_name == "ppm" else image.mode.startswith("I")
    row = -(-image.width // 8) if content[1:2] == b"4" else image.width * (1 + deep)
    size = image.height * row * (3 if content[1:2] == b"6" else 1)
    if re.match(rb"\s*P[1-6]\s", content[tile.offset + size :][:80]):
        raise ValueError(f"{path} holds a second image behind the first, and one is read")


def _look(path: Path, head: bytes) -> Image.Image:
    """Read the head of the file and no pixels."""
    kind = kind_of(head)
    if kind and kind not in FORMATS:
        raise ValueError(refusal(path, head))
    try:
        return Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:  # Pillow itself refuses at 179 megapixels
        found = re.search(r"\d+", str(error))
        refuse_too_many(path, int(found[0]) if found else 2 * MOST_PIXELS)
        raise
    except UnidentifiedImageError as error:
        raise ValueError(refusal(path, head, _reason(path, kind))) from error
    except Exception as error:  # every format has its own ways to fail
        if kind in SURE:
            raise ValueError(refusal(path, head, str(error))) from error
        raise ValueError(f"{path} cannot be read as an image ({error})") from error


def _reason(path: Path, kind: str) -> str:
    """Why Pillow refuses a file as the format of its first bytes."""
    if kind not in SURE:
        return ""
    said = ""
    try:
        Image.OPEN[kind][0](path, "")  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 - whatever it says, it is told
        said = " ".join(str(error).split())
    try:
        with path.open("rb") as file:
            tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(tags.next)
            tags.load(file)
        return f"{said}: numbers of {tags[BITS]} bits, photometric {tags.get(WHITE_IS)}"
    except Exception:  # noqa: BLE001 - it is no TIFF, or one without these tags
        return said


def decoded(name: str, image: Image.Image) -> Image.Image:
    """The pixels of an image of Pillow's, upright: RGB, or RGBA where something is transparent.

    name: what errors call it. Raises ValueError with a sentence: damaged or truncated, too many
    pixels, none with an agreed range.

    >>> decoded("an image", Image.new("L", (1, 1), 9)).getpixel((0, 0))
    (9, 9, 9)
    """
    refuse_too_many(name, image.width * image.height)
    tiff.put_right(name, image)
    try:
        image.load()
    except Exception as error:  # every format has its own ways to fail
        raise ValueError(f"{name} is damaged or truncated ({error})") from error
    return _upright(name, image)


def _upright(name: str, image: Image.Image) -> Image.Image:
    try:
        upright = ImageOps.exif_transpose(image)
    except Exception as error:  # every format has its own ways to fail
        raise ValueError(f"{name} is damaged or truncated ({error})") from error
    try:
        return in_colors(upright, getattr(image, "tag_v2", None))
    except ValueError as error:
        raise ValueError(f"{name} cannot be turned into RGB: {error}") from error
