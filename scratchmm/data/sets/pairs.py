"""Image-text pairs: the user's own table, and the emoji.

A table is a text file with a tab between columns and a header: `file` (relative to the table) and
`text`. It is read without quoting: a quotation mark is a quotation mark.

Near duplicates must not lie on both sides of a split, or memory passes for generalisation; so pairs
with the same text, with the same image (under two spellings of its path, by a link, or in a copy of
the file), and emoji that begin with the same sign (a hand in five skin tones), form a family, and a
family is never divided.

B images, C channels (red, green, blue), H and W height and width.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scratchmm.data.sets.duplicates import plain
from scratchmm.data.sets.folders import find
from scratchmm.data.sets.tables import Row, file_of, is_file, no_column, read_rows
from scratchmm.sentences import shortened
from scratchmm.vision.images import center_crop, open_image, resize


class Pair(NamedTuple):
    """An image file, its text, and the family of near copies that it belongs to ("" for none)."""

    file: Path
    text: str
    family: str = ""
    line: str = ""  # its source: "line 3 of pairs.tsv"


def read_pairs(tsv: str | Path, text_column: str = "text") -> list[Pair]:
    """Read a table of pairs: columns `file` and `text`, a header, files relative to the table.

    Where there is no column `text` but one called `name`, as in tables of emoji, names are the
    texts. A column `codepoints` gives the family: its first code point. Other columns are ignored.

    Raises FileNotFoundError, or ValueError with one sentence: not UTF-8 (at which byte), empty, no
    such column (which there are) or twice the same, a line that does not fit, an image that is not
    there (and, where that can be seen, how its name should be written).

    >>> read_pairs("no such file.tsv")
    Traceback (most recent call last):
    ...
    FileNotFoundError: there is no file no such file.tsv
    """
    tsv = Path(tsv)
    header, rows, text_column = _open_table(tsv, text_column)
    return [_pair(tsv, header, number, cells, text_column) for number, cells in rows]


def check_pairs(tsv: str | Path) -> tuple[int, list[str]]:
    """How many pairs of a table are sound, and a sentence for each that is not, in order.

    Opens every image. Raises as read_pairs does where the table as a whole cannot be read.
    """
    tsv = Path(tsv)
    header, rows, text_column = _open_table(tsv, "text")
    problems = []
    for number, cells in rows:
        try:
            open_image(_pair(tsv, header, number, cells, text_column).file)
        except (ValueError, OSError) as error:
            known = str(error).startswith("line ")
            problems.append(str(error) if known else f"line {number} of {tsv}: {error}")
    return len(rows) - len(problems), problems


def load_emoji(
    root: str | Path | None = None, part: str = "train", held_out: float = 0.1, seed: int = 0
) -> list[Pair]:
    """The emoji and their English names: part "train", "test" or "all", without skin tones.

    `pairs.tsv` lies in `root`/emoji or `root`; without `root` in the folder SCRATCHMM_DATA names.
    The parts are divided by first code point, so that a family of near copies stays together.

    >>> load_emoji(".", part="both")
    Traceback (most recent call last):
    ...
    ValueError: part 'both' is none of train, test, all
    """
    if part not in ("train", "test", "all"):
        raise ValueError(f"part {part!r} is none of train, test, all")
    tsv = find(root, "emoji", ["pairs.tsv"])
    pairs = read_pairs(tsv)
    header, rows, _ = _open_table(tsv, "text")
    if "skin_tone" in header:
        column = header.index("skin_tone")
        pairs = [pair for pair, (_, cells) in zip(pairs, rows, strict=True) if cells[column] == "0"]
    if part == "all":
        return pairs
    train, test = split_pairs(pairs, held_out, seed)
    return train if part == "train" else test


def split_pairs(
    pairs: Sequence[Pair], held_out: float = 0.1, seed: int = 0
) -> tuple[list[Pair], list[Pair]]:
    """Split into (train, test), about `held_out` of the pairs in test, with no family in both.

    Pairs with the same text, image or family stay together, through any chain of them. Each part
    keeps the order of `pairs` and has at least one pair.

    >>> pairs = [Pair(Path("a.png"), "a cat"), Pair(Path("b.png"), "a dog")]
    >>> [len(part) for part in split_pairs(pairs)]
    [1, 1]
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must lie between 0 and 1, not at {held_out}")
    groups = _groups(pairs)
    if len(groups) < 2:
        raise ValueError(_inseparable(pairs))
    wanted = min(max(1, round(held_out * len(pairs))), len(pairs) - 1)
    test: set[int] = set()
    for index in np.random.default_rng(seed).permutation(len(groups)):
        if len(test) + len(groups[index]) <= wanted:
            test.update(groups[index])
    if not test:  # every family is larger than that
        smallest = min(groups, key=len)
        test.update(smallest)
    kept = [pair for row, pair in enumerate(pairs) if row not in test]
    return kept, [pair for row, pair in enumerate(pairs) if row in test]


def load_images(files: Sequence[Pair | Path | str], size: int = 32) -> Tensor:
    """Open images (of pairs, or paths): float32 (B, 3, size, size) in [-1, 1].

    Transparent parts become white, the shorter side is resized to `size`, the centre cropped.

    >>> load_images([], size=8).shape
    torch.Size([0, 3, 8, 8])
    """
    pixels = np.empty((len(files), size, size, 3), dtype=np.uint8)
    for row, file in enumerate(files):
        path = file.file if isinstance(file, Pair) else file
        try:
            image = open_image(path, at_least=2 * size)  # twice, so that the rest is resized well
        except (ValueError, OSError) as error:
            if not (isinstance(file, Pair) and file.line):
                raise
            raise ValueError(f"{file.line}: {error}") from error
        pixels[row] = np.asarray(center_crop(resize(image, size), size))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1


def _open_table(tsv: Path, text_column: str) -> tuple[list[str], list[Row], str]:
    """The header, the lines below it that are not blank, and the column with the texts."""
    header, rows = read_rows(tsv)
    if not header:
        raise ValueError(f"{tsv} is empty: it needs a header with the columns file and text")
    texts = [name for name in header if name.strip().lower() == "text"]  # perhaps written Text
    if text_column == "text" and not texts and "name" in header:
        text_column = "name"
    for column in ("file", text_column):
        if column not in header:
            raise ValueError(no_column(tsv, column, header))
    if not rows:
        raise ValueError(f"{tsv} has a header but no pairs")
    return header, rows, text_column


def _pair(tsv: Path, header: list[str], number: int, cells: list[str], text_column: str) -> Pair:
    where = f"line {number} of {tsv}"
    if len(cells) != len(header):
        raise ValueError(f"{where} has {len(cells)} columns, the header has {len(header)}")
    row = dict(zip(header, cells, strict=True))
    for column in ("file", text_column):
        if not row[column].strip():
            raise ValueError(f"{where} has nothing in its column {column!r}")
    try:
        file = file_of(where, tsv.parent, row["file"])
    except FileNotFoundError as error:
        if is_file(tsv.parent / row[text_column]):
            raise ValueError(f"{error}; its column {text_column!r} does name a file") from None
        raise
    return Pair(file, row[text_column], row.get("codepoints", "").split(" ")[0], where)


def _inseparable(pairs: Sequence[Pair]) -> str:
    """The error message where none of these pairs can be held out, with a remedy."""
    if len(pairs) < 2:
        return f"cannot hold out a part of {len(pairs)} pairs: at least 2 are needed"
    alike = len({plain(pair.text) for pair in pairs}) == 1
    what = (
        f"all have the text {shortened(pairs[0].text)!r}"
        if alike
        else "all share a text, file or family"
    )
    table = pairs[0].line.partition(" of ")[2]
    return (
        f"cannot hold out a part of the {len(pairs)} pairs{table and ' of ' + table}: they {what} and "
        "near copies stay together, so give images of different things different texts"
    )


def _groups(pairs: Sequence[Pair]) -> list[list[int]]:
    """Rows that belong together: same text, same image or same family, through any chain."""
    leader = list(range(len(pairs)))  # of each row; a leader leads itself

    def lead(row: int) -> int:
        while leader[row] != row:
            leader[row] = row = leader[leader[row]]
        return row

    first: dict[tuple[str, str], int] = {}
    for row, (pair, image) in enumerate(zip(pairs, _images(pairs), strict=True)):
        keys = [("text", plain(pair.text)), ("image", image)]
        if pair.family:
            keys.append(("family", pair.family))
        for key in keys:
            leader[lead(row)] = lead(first.setdefault(key, row))
    groups: dict[int, list[int]] = {}
    for row in range(len(pairs)):
        groups.setdefault(lead(row), []).append(row)
    return list(groups.values())


def _images(pairs: Sequence[Pair]) -> list[str]:
    """What the image of each pair is told by: its true place; its bytes where two have one size."""
    places = {pair.file: Path(os.path.realpath(pair.file)) for pair in pairs}
    sizes = {place: place.stat().st_size for place in {*places.values()} if is_file(place)}
    often = Counter(sizes.values())
    told = {place: str(place) for place in places.values()}
    for place, size in sizes.items():
        if often[size] > 1:
            with place.open("rb") as file:
                told[place] = hashlib.file_digest(file, "sha256").hexdigest()
    return [told[places[pair.file]] for pair in pairs]
