"""A file of prompts: a text file with a prompt a line, or a .tsv table with a job a line."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scratchmm.apps.image_studio.jobs import Job
from scratchmm.data.sets.tables import read_lines, read_rows
from scratchmm.sentences import shortened

COLUMNS = ("prompt", "negative", "seed", "steps", "scale")  # of a table: the fields of a job


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of prompts: a prompt a line, or, in a .tsv, a header and its columns.

    The suffix .tsv counts in either case. Lines that begin with # are comments, in a text file.
    A cell that is empty is left out of its row. Raises ValueError with the line on any other file.
    """
    rows = _table_rows(path) if path.suffix.lower() == ".tsv" else _text_rows(path)
    if not rows:
        raise ValueError(f"{path} has no prompt in it")
    return rows


def _text_rows(path: Path) -> list[dict[str, Any]]:
    lines = [line.strip() for _, text in read_lines(path) for line in text.split("\r")]
    prompts = [line for line in lines if line and not line.startswith("#")]
    for prompt in prompts:
        if "\t" in prompt:
            raise ValueError(
                f"{path} has a tab in {shortened(prompt)!r}: a table has to be called .tsv"
            )
    return [{"prompt": prompt} for prompt in prompts]


def _table_rows(path: Path) -> list[dict[str, Any]]:
    header, cells = read_rows(path)
    if "prompt" not in (header or ["prompt"]) or not set(header) <= set(COLUMNS):
        columns = shortened(", ".join(header))
        raise ValueError(f"{path} has the columns {columns}: prompt, and any of {COLUMNS[1:]}")
    return [_row(path, number, header, row) for number, row in cells]


def _row(path: Path, number: int, header: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    if len(cells) > len(header):
        raise ValueError(
            f"line {number} of {path} has {len(cells)} cells for {len(header)} columns"
        )
    kinds: dict[str, Callable[[str], Any]] = {"seed": int, "steps": int, "scale": float}
    try:
        row = {
            name: kinds.get(name, str)(cell.strip())
            for name, cell in zip(header, cells)
            if cell.strip()
        }
        Job(**{"prompt": "", **row})
    except ValueError as error:
        raise ValueError(f"line {number} of {path}: {error}") from None
    return row
