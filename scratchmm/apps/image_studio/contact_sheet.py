"""A contact sheet: many images in one, a title under each, drawn by Pillow alone."""

import math
import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

CELL, GAP, LINE, LINES = 128, 8, 12, 3  # in pixels; a title has at most LINES lines
HIGHEST = 16_000  # pixels; a sheet of more images gets wider


def contact_sheet(
    images: Sequence[Image.Image], titles: Sequence[str] | None = None, columns: int = 8
) -> Image.Image:
    """Images in rows of at most `columns`, each scaled to its cell, a title under each.

    Small images are enlarged by a whole factor without interpolation. Raises ValueError without an
    image, and if there are more or fewer titles than images.

    >>> contact_sheet([Image.new("RGB", (32, 32))] * 3, ["a", "b", "c"]).size
    (416, 180)
    """
    if not images:
        raise ValueError("a contact sheet of 0 images would be empty")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"there are {len(titles)} titles for {len(images)} images")
    step, below = CELL + GAP, 0 if titles is None else LINE * LINES
    columns = max(1, min(columns, len(images)))
    columns = max(columns, math.ceil(len(images) / (HIGHEST // (step + below))))
    rows = math.ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * step + GAP, rows * (step + below) + GAP), "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        corner = (GAP + column * step, GAP + row * (step + below))
        shown = fitted(image)
        sheet.paste(shown, (corner[0] + (CELL - shown.width) // 2, corner[1]))
        if titles is not None:
            _write(sheet, titles[index], (corner[0], corner[1] + CELL + 2))
    return sheet


def fitted(image: Image.Image) -> Image.Image:
    """An image scaled to fit a cell: enlarged by a whole factor, or reduced by bicubic filtering.

    >>> fitted(Image.new("RGB", (50, 30))).size, fitted(Image.new("RGB", (512, 256))).size
    ((100, 60), (128, 64))
    """
    larger = CELL // max(image.size)
    if larger >= 1:
        size = (image.width * larger, image.height * larger)
        return image.resize(size, Image.Resampling.NEAREST)
    factor = CELL / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


def _write(sheet: Image.Image, title: str, corner: tuple[int, int]) -> None:
    """A title, wrapped to LINES lines and cut off after them."""
    lines = textwrap.wrap(title, CELL // 6, max_lines=LINES, placeholder=" ...")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for number, line in enumerate(lines):
        pen.text((corner[0], corner[1] + number * LINE), line, fill="#222222", font=font)
