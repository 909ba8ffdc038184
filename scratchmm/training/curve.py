"""The curve of a run: one CSV, one row a step, and a picture of it.

Differs from the paper: nothing (there is none).
"""

import csv
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COLUMNS = ("step", "loss", "learning_rate", "seconds")
Row = dict[str, Any]  # step int; loss, learning_rate and seconds float


def read_curve(path: str | Path) -> list[Row]:
    """The rows of a curve.csv; every float comes back exactly as it was.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "curve.csv"
    >>> with curve_file(path.parent, []) as write:
    ...     write({"step": 0, "loss": 0.1, "learning_rate": 0.001, "seconds": 2.5})
    >>> read_curve(path)
    [{'step': 0, 'loss': 0.1, 'learning_rate': 0.001, 'seconds': 2.5}]
    """
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        {name: (int if name == "step" else float)(row[name]) for name in COLUMNS} for row in rows
    ]


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
    temporary = folder / "curve.csv.part"
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        file.flush()
        os.replace(
            temporary, folder / "curve.csv"
        )  # the open file moves along, so appending goes on in it

        def write(row: Row) -> None:
            writer.writerow(row)
            file.flush()  # a killed process loses what it still holds, never what it handed over

        yield write


def draw_curve(rows: Sequence[Row], path: str | Path) -> bool:
    """Draw the loss over the steps to a PNG; True if it was drawn.

    Needs matplotlib (extra `tutorials`); without it there is no picture, and nothing fails.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    from scratchmm import plots

    plots.curve(rows, path)
    return True


@contextmanager
def progress_bar(steps: int, done: int, shown: bool) -> Iterator[Callable[[Row], None]]:
    """Yield a function that shows a row: on a tqdm bar if tqdm is installed, else in 20 lines."""
    if not shown:
        yield lambda row: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda row: _line(row, steps)
        return
    with tqdm(total=steps, initial=done, mininterval=0.5, unit="step") as bar:

        def show(row: Row) -> None:
            bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
            bar.update()

        yield show


def _line(row: Row, steps: int) -> None:
    number = row["step"] + 1
    if number % max(1, steps // 20) == 0 or number == steps:
        text = f"step {number}/{steps}  loss {row['loss']:.3f}  {row['seconds']:.0f} s"
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
