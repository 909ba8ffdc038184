"""The curve of a run: one CSV, one row a step, and an image of it.

Differs from the paper: nothing (there is none).
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scratchmm.files import atomic_write
from scratchmm.sentences import shortened

COLUMNS = ("step", "loss", "learning_rate", "seconds")
Row = dict[str, Any]  # step int; loss, learning_rate and seconds float


def read_curve(path: str | Path) -> list[Row]:
    """The rows of a curve.csv; every float comes back exactly as it was.

    Raises ValueError that names the file and the line on anything else.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "curve.csv"
    >>> with curve_file(path.parent, []) as write:
    ...     write({"step": 0, "loss": 0.1, "learning_rate": 0.001, "seconds": 2.5})
    >>> read_curve(path)
    [{'step': 0, 'loss': 0.1, 'learning_rate': 0.001, 'seconds': 2.5}]
    """
    try:
        lines = Path(path).read_bytes().decode().replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 at byte {error.start}") from None
    if lines[0] != ",".join(COLUMNS):
        raise ValueError(f"line 1 of {path} is {shortened(lines[0])!r}, not {','.join(COLUMNS)}")
    if lines.pop():
        raise ValueError(f"line {len(lines) + 1} of {path} is cut off")
    return [_row(path, number, line.split(",")) for number, line in enumerate(lines[1:], start=2)]


def _row(path: str | Path, number: int, cells: Sequence[str]) -> Row:
    try:
        step, *rest = cells
        return dict(zip(COLUMNS, (int(step), *map(float, rest)), strict=True))
    except ValueError:
        said = shortened(",".join(cells))
        raise ValueError(f"line {number} of {path} is no row of a curve: {said!r}") from None


@contextmanager
def curve_file(folder: Path | None, rows: Sequence[Row]) -> Iterator[Callable[[Row], None]]:
    """Start curve.csv in the folder with the rows known so far; yield a function that appends a row.

    A killed run may have left rows behind its last checkpoint, or half a row. The checkpoint knows
    which rows count, so the file is written anew from them: none is doubled and none is lost.
    """
    if folder is None:
        yield lambda row: None
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "curve.csv"
    atomic_write(path, "".join(map(_line, [dict(zip(COLUMNS, COLUMNS)), *rows])))
    with path.open("ab", buffering=0) as file:  # a killed process holds nothing back

        def write(row: Row) -> None:
            line = _line(row).encode()
            try:
                if file.write(line) != len(line):  # a disk that fills up takes the first part
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                raise OSError(f"{path} could not be written: {error.strerror}") from error

        yield write


def _line(row: Row) -> str:
    return ",".join(str(row[name]) for name in COLUMNS) + "\n"


def draw_curve(rows: Sequence[Row], path: str | Path) -> bool:
    """Draw the loss over the steps to a PNG; True if it was drawn.

    Needs matplotlib (extra `tutorials`); without it there is no image, and nothing fails.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    from scratchmm import plots

    plots.curve(rows, path)
    return True


def plot_curve(rows: Sequence[Row], path: Path, log: Callable[[str], None] | None = None) -> None:
    """`draw_curve`; where that fails, it is said, and the run that ended well goes on."""
    try:
        draw_curve(rows, path)
    except (OSError, ValueError, RuntimeError) as error:
        (log or _tell)(f"There is no image of the curve: {error}")


@contextmanager
def progress_bar(steps: int, done: int, shown: bool) -> Iterator[Callable[[Row], None]]:
    """Yield a function that shows a row: on a tqdm bar if tqdm is installed, else in 20 lines."""
    if not shown:
        yield lambda row: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda row: _told_line(row, steps)
        return
    with tqdm(total=steps, initial=done, mininterval=0.5, unit="step") as bar:

        def show(row: Row) -> None:
            bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
            bar.update()

        yield show


def _told_line(row: Row, steps: int) -> None:
    number = row["step"] + 1
    if number % max(1, steps // 20) == 0 or number == steps:
        _tell(f"step {number}/{steps}  loss {row['loss']:.3f}  {row['seconds']:.0f} s")


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
