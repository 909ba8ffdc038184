"""The user's tables: text files with a tab between columns and a header, read without quoting.

A line ends at LF or CR LF and nowhere else: a form feed or U+2028 is part of a text. Errors name
the line; frequent mistakes are named as such.
"""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from scratchmm.file_kinds import foreign_kind
from scratchmm.sentences import shortened

Row = tuple[int, list[str]]  # line number, cells
MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16"}
MARKS |= {b"\xfe\xff": "UTF-16"}


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, each with its number, counted from 1.

    A byte order mark is skipped. Raises FileNotFoundError, or ValueError with one sentence where
    the file is not UTF-8: which byte, in which line, and where it can be seen, what it is instead
    (a pointer of Git LFS, a web page, an archive, UTF-16).

    >>> read_lines("no such file.tsv")
    Traceback (most recent call last):
    ...
    FileNotFoundError: there is no file no such file.tsv
    """
    path = Path(path)
    if not path.is_file():
        what = f"{path} is a folder, not a table" if path.is_dir() else f"there is no file {path}"
        raise FileNotFoundError(what)
    data = path.read_bytes()
    if foreign := foreign_kind(path):
        raise ValueError(f"{path} is no text but {foreign}")
    if data.startswith(b"PK\3\4"):
        raise ValueError(f"{path} is no text but a ZIP archive, as Excel's .xlsx: save it as text")
    kind = next((name for mark, name in MARKS.items() if data.startswith(mark)), "")
    hint = f"; it is {kind}, as Excel writes Unicode text: save it as UTF-8" if kind else ""
    try:
        text = data.decode("utf-8-sig")  # some editors put a mark before the first column
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        where = f"byte {error.start} is {data[error.start]:#04x}, in line {line}"
        raise ValueError(f"{path} is not UTF-8: {where}{hint}") from error
    if "\0" in text:
        line = 1 + text.count("\n", 0, text.index("\0"))
        what = hint or "; UTF-16 without a mark looks like that: save it as UTF-8"
        raise ValueError(f"{path} has a zero byte in line {line}, which is in no text{what}")
    lines = [line.removesuffix("\r") for line in text.split("\n")]  # splitlines() would split more
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def read_rows(path: str | Path) -> tuple[list[str], list[Row]]:
    """The header of a table and the rows below it that are not blank; ([], []) of an empty file.

    Raises as `read_lines`, and ValueError where two columns have one name: which one counts?
    """
    filled = [(number, line.split("\t")) for number, line in read_lines(path)]
    if not filled:
        return [], []
    number, header = filled[0]
    if any("\r" in name for name in header):
        said = shortened(", ".join(header))
        raise ValueError(f"{path} has the header {said}: its lines end in CR alone, not in LF")
    names = [name.strip() for name in header if name.strip()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        said = f"line {number} of {path} names the column {shortened(twice)!r} {names.count(twice)}"
        raise ValueError(f"{said} times: which of them counts can't be known")
    return header, filled[1:]


def no_column(path: Path, column: str, header: Sequence[str]) -> str:
    """The error message for a missing column, with those that are there and a guess at the cause."""
    there, hint = shortened(", ".join(header)), ""
    near = [name for name in header if name.strip().lower() == column]
    if near:
        hint = f": {near[0]!r} is written otherwise"
    elif len(header) == 1:
        hint = ": there is no tab in it, and tabs are expected between columns"
    return f"{path} has no column {column!r}, its header has {there}{hint}"


def file_of(where: str, folder: Path, name: str) -> Path:
    """The file that a cell names, in the folder of its table.

    where: "line 3 of pairs.tsv". Raises FileNotFoundError with one sentence, which says what to
    write instead where that can be seen: slashes for backslashes, no spaces around, other cases.

    >>> file_of("line 2 of t.tsv", Path("."), "no such.png")
    Traceback (most recent call last):
    FileNotFoundError: line 2 of t.tsv names no such.png, which is not there
    """
    file = folder / name
    if is_file(file):
        return file
    said = f"{where} names {shortened(str(file), 200)}"
    try:
        is_folder, why = file.is_dir(), "is not there"
    except OSError as error:
        too_long = any(len(part.encode(errors="replace")) > 255 for part in file.parts)
        why = "is too long for a file's name" if too_long else f"can't be read: {error.strerror}"
        raise FileNotFoundError(f"{said}, which {why}") from None
    if is_folder:
        raise FileNotFoundError(f"{said}, which is a folder and no image")
    raise FileNotFoundError(f"{said}, which {why}{_hint(folder, name)}")


def _hint(folder: Path, name: str) -> str:
    """What the cell may have meant, or ""."""
    others = {
        "with slashes for its backslashes": name.replace("\\", "/"),
        "without the spaces around it": name.strip(),
        "without quotation marks": name.strip().strip("\"'"),
        "with its accents composed (NFC)": unicodedata.normalize("NFC", name),
        "with its accents apart (NFD)": unicodedata.normalize("NFD", name),
    }
    for how, other in others.items():
        if other != name and other and is_file(folder / other):
            return f"; {how} it is: {shortened(other)}"
    above = (folder / name).parent
    same = [path.name for path in above.iterdir()] if _is_folder(above) else []
    near = [one for one in same if one.lower() == Path(name).name.lower()]
    return f"; there is {near[0]}, in other cases" if near else ""


def is_file(path: Path) -> bool:
    """Whether there is such a file; no name is too odd to ask."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or in a folder that can't be read
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir() and bool([*path.iterdir()])
    except OSError:
        return False
