"""NLVR: sentences that people wrote about images of three boxes, and whether they are true.

"There is a tower with four blocks." To judge that takes localising, counting, comparing, and the
meaning of "tower". Each image comes with the list of things in its boxes.

Paper: A Corpus of Natural Language for Visual Reasoning (Suhr and others, ACL 2017); data:
github.com/lil-lab/nlvr, folder nlvr. **Differs from it:** of the six orders in which each image's
boxes are shown only the first is read.

B images, H height; an image is four times as wide as high.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scratchmm.data.sets.folders import find
from scratchmm.vision.images import open_image

PARTS = ("dev", "test")
ADDRESS = "https://github.com/lil-lab/nlvr"
BOXES = 3  # in an image
COLORS = {"#0099ff": "blue", "black": "black", "yellow": "yellow"}
SHAPES = ("circle", "square", "triangle")
NUMBERS = ("size", "x_loc", "y_loc")


class BoxedThing(NamedTuple):
    """A thing in a box 100 x 100: its upper left corner at (x, y), y running down; size in pixels."""

    shape: str
    color: str
    size: int
    x: int
    y: int


class NLVRPair(NamedTuple):
    """A sentence, an image file, whether the sentence is true of it, and what is in the boxes.

    Pairs of one family were shown together to the person who wrote the sentence.
    """

    sentence: str
    file: Path
    label: bool
    boxes: tuple[tuple[BoxedThing, ...], ...]
    family: str


def load_nlvr(root: str | Path | None = None, part: str = "dev") -> list[NLVRPair]:
    """The pairs of "dev" or "test", in the order of the file.

    `dev/dev.json` and `dev/images` (or test) lie in `root`/nlvr or `root`; without `root` in the
    folder that SCRATCHMM_DATA names. Train on dev and test on test: no sentence's family is in
    both.

    Raises FileNotFoundError (no table, or an image that a line names), or ValueError with one
    sentence and the number of the line: not UTF-8, not JSON, a field missing or not as it must be.

    >>> load_nlvr(".", part="train")
    Traceback (most recent call last):
    ...
    ValueError: part 'train' is none of dev, test
    """
    if part not in PARTS:
        raise ValueError(f"part {part!r} is none of {', '.join(PARTS)}")
    table = find(root, "nlvr", [f"{part}/{part}.json"], source=ADDRESS)
    pairs = []
    for number, line in enumerate(table.read_bytes().split(b"\n"), 1):
        if line.strip():
            pairs.append(_pair(f"line {number} of {table}", line, table.parent, part))
    if not pairs:
        raise ValueError(f"{table} is empty: each of its lines must be a pair")
    return pairs


def load_boxes(pairs: Sequence[NLVRPair], height: int = 50) -> Tensor:
    """Open the images of pairs: float32 (B, 3, height, 4 * height) in [-1, 1], boxes in a row.

    Raises FileNotFoundError or ValueError as open_image does.

    >>> load_boxes([], height=25).shape
    torch.Size([0, 3, 25, 100])
    """
    if height < 1:
        raise ValueError(f"an image needs a height of at least 1 pixel, not {height}")
    pixels = np.empty((len(pairs), height, 4 * height, 3), dtype=np.uint8)
    for row, pair in enumerate(pairs):
        image = open_image(pair.file)
        pixels[row] = np.asarray(image.resize((4 * height, height), Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1


def _pair(where: str, line: bytes, folder: Path, part: str) -> NLVRPair:
    fields = _fields(where, line)
    sentence, label = str(fields["sentence"]).strip(), str(fields["label"])
    if label not in ("true", "false"):
        raise ValueError(f"{where} has the label {label!r}, which is neither true nor false")
    identifier, inner = str(fields["identifier"]), str(fields["directory"])
    for name, value, form in (("identifier", identifier, r"\d+-\d+"), ("directory", inner, r"\d+")):
        if not re.fullmatch(form, value):  # they make a path, which must stay in the folder
            raise ValueError(f"{where} has the {name} {value!r}, which is no number")
    if not sentence:
        raise ValueError(f"{where} has an empty sentence")
    file = folder / "images" / inner / f"{part}-{identifier}-0.png"
    if not file.is_file():
        raise FileNotFoundError(f"{where} names {file}, which is not there")
    boxes = _boxes(where, fields["structured_rep"])
    return NLVRPair(sentence, file, label == "true", boxes, identifier.split("-")[0])


def _fields(where: str, line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line.decode())
    except UnicodeDecodeError as error:
        byte = f"its byte {error.start} is {line[error.start]:#04x}"
        raise ValueError(f"{where} is not UTF-8: {byte}") from error
    except (json.JSONDecodeError, RecursionError) as error:
        reason = getattr(error, "msg", "it is too deep")
        raise ValueError(f"{where} is not JSON: {reason}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{where} is a {type(fields).__name__}, not an object with a sentence")
    for name in ("sentence", "label", "identifier", "directory", "structured_rep"):
        if name not in fields:
            raise ValueError(f"{where} has no field {name!r}, only {', '.join(fields) or 'none'}")
    return fields


def _boxes(where: str, boxes: Any) -> tuple[tuple[BoxedThing, ...], ...]:
    lists = isinstance(boxes, list) and all(isinstance(box, list) for box in boxes)
    if not lists or len(boxes) != BOXES:
        there = f"{len(boxes)} boxes" if isinstance(boxes, list) else f"a {type(boxes).__name__}"
        raise ValueError(f"{where} has {there} in structured_rep, not {BOXES} lists of things")
    return tuple(tuple(_thing(where, thing) for thing in box) for box in boxes)


def _thing(where: str, thing: Any) -> BoxedThing:
    fields = thing if isinstance(thing, dict) else {}
    shape, color = fields.get("type"), COLORS.get(str(fields.get("color")).lower())
    numbers: list[Any] = [fields.get(name) for name in NUMBERS]
    if shape not in SHAPES or color is None or not all(type(n) is int for n in numbers):
        raise ValueError(
            f"{where} has a thing without a known type, color, size and place: {thing}"
        )
    return BoxedThing(shape, color, *numbers)
