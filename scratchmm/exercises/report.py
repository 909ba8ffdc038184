"""What a check tells the learner: at most twelve lines, and the same as data for programs."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any

from scratchmm.exercises.grading import STATUSES

LINES = 12
WIDTH = 96


@dataclass
class Report:
    """The result of one check, in plain strings and numbers.

    status: passed, wrong, unwritten or error. looks_like: dictionaries with id, story, advice.

    >>> Report("demo.double", "passed", total=3, number=3)
    demo.double: passed, 3 of 3 properties (0.00 s)
    """

    id: str
    status: str
    number: int = 0
    total: int = 0
    sentence: str = ""
    called: str = ""
    expected: str = ""
    got: str = ""
    where: str = ""
    looks_like: list[dict[str, Any]] = field(default_factory=list)
    relation: str = ""
    note: str = ""
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """0 passed, 1 wrong, 2 not written yet, 3 the check could not run."""
        return STATUSES.index(self.status)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The message, at most twelve lines of at most a hundred characters."""
        if self.status == "passed":
            took = f"({self.seconds:.2f} s)"
            return [f"{self.id}: passed, {self.number} of {self.total} properties {took}"]
        if self.status == "unwritten":
            return [f"{self.id}: not written yet: {self.note}"]
        if self.status == "error":
            return [f"{self.id}: the check could not run: {self.note}"]
        return self._wrong()[:LINES]

    def _wrong(self) -> list[str]:
        lines = [f"{self.id}: wrong at property {self.number} of {self.total}"]
        lines += _entry("property", self.sentence, 2)
        lines += _entry("called", self.called, 2)
        lines += _entry("expected", self.expected, 1)
        lines += _entry("got", self.got + (f"  at {self.where}" if self.where else ""), 1)
        for found in self.looks_like[:2]:
            lead = "asked for" if found["convention"] else "advice"
            alone = len(self.looks_like) == 1
            lines += _entry("looks like", found["story"], 2 if alone else 1)
            lines += _entry(lead, found["advice"], 2 if alone else 1)
        if self.relation:
            lines += _entry("that is", self.relation, 2)
        if self.note:
            lines += _entry("note", self.note, 2)
        return [*lines[: LINES - 1], f"  {'hint':11}python -m scratchmm learn hint {self.id}"]

    def __repr__(self) -> str:
        return "\n".join(self.lines())


def _entry(label: str, text: str, most: int) -> list[str]:
    """One labelled entry in at most `most` lines."""
    if not text:
        return []
    wrapped = textwrap.wrap(text, WIDTH - 13, max_lines=most, placeholder=" ...")
    return [f"  {label if not i else '':11}{line}" for i, line in enumerate(wrapped)]
