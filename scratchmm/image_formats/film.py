"""A film (an animation) as its parts: where each is drawn, for how long, and how it is disposed of.

GIF and APNG both draw pieces on a canvas. The canvas begins transparent and becomes transparent
again where a piece is cleared, as in every browser (the GIF89a text defines a background colour,
which none of them shows). Pieces are cropped at the canvas's border.

Sources: GIF89a Specification (CompuServe, 1990); Portable Network Graphics, third edition (W3C),
section 11.3.6. Sizes are in pixels, times in milliseconds.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from PIL import Image

Box = tuple[int, int, int, int]  # left, top, right, bottom
CLEAR = (0, 0, 0, 0)
SHORTEST = 11.0  # a frame that says less is shown for SLOW, as all browsers do
SLOW = 100.0


class Part(NamedTuple):
    """One piece of a film."""

    box: Box
    disposal: str  # afterwards its place is kept, "cleared" or "restored" to what was there
    over: bool  # see-through pixels show what is below; otherwise they replace it
    milliseconds: float
    draw: Callable[[], Image.Image]  # the piece in RGBA, decoded when it is called


class Film(NamedTuple):
    """The size of a canvas and the parts that are drawn on it."""

    width: int
    height: int
    parts: list[Part]


def shown_for(milliseconds: float) -> float:
    """How long browsers show a frame of this duration: less than 11 ms is taken for a mistake.

    >>> shown_for(0), shown_for(10), shown_for(20)
    (100.0, 100.0, 20)
    """
    return SLOW if milliseconds < SHORTEST else milliseconds


def canvases(film: Film) -> Iterator[Image.Image]:
    """The canvas in RGBA after each part; each is changed in place for the next one.

    >>> red = Part((1, 0, 2, 1), "kept", True, 50.0, lambda: Image.new("RGBA", (1, 1), "red"))
    >>> [canvas.getpixel((0, 0)) for canvas in canvases(Film(2, 1, [red]))]
    [(0, 0, 0, 0)]
    """
    canvas = Image.new("RGBA", (film.width, film.height), CLEAR)
    for part in film.parts:
        left, top, right, bottom = part.box
        right, bottom = min(right, film.width), min(bottom, film.height)
        patch = part.draw().crop((0, 0, right - left, bottom - top))
        before = canvas.copy() if part.disposal == "restored" else canvas
        if part.over:
            canvas.alpha_composite(patch, (left, top))
        else:
            canvas.paste(patch, (left, top))
        yield canvas
        if part.disposal == "cleared":
            canvas.paste(CLEAR, (left, top, right, bottom))
        canvas = before
