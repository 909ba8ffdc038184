"""What a check tells the learner: at most twelve lines, and the same as data for programs."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any

from scratchmm.exercises.grading import STATUSES

LINES = 12
WIDTH = 96
FACTS = ("called", "expected", "got")


@dataclass
class Report:
    """The result of one check, in plain strings and numbers.

    status: passed, wrong, unwritten or error. looks_like: dictionaries with id, story, advice.
    held: the sentences of the properties before the one that failed.

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
    held: list[str] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0 passed, 1 wrong, 2 not written yet, 3 the check could not run."""
        return STATUSES.index(self.status)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)

    def lines(self, option: str = "") -> list[str]:
        """The message, at most twelve lines of at most a hundred characters.

        option: " --folder ..." where the learner's folder must be named, for the command at the end.
        """
        if self.status == "passed":
            took = f"({self.seconds:.2f} s)"
            return [f"{self.id}: passed, {self.number} of {self.total} properties {took}"]
        if self.status == "unwritten":
            return [f"{self.id}: not written yet: {self.note}"]
        if self.status == "error":
            return [f"{self.id}: the check could not run: {self.note}"]
        return self._wrong(option)[:LINES]

    def _wrong(self, option: str) -> list[str]:
        told = [
            ("property", self.sentence),
            ("called", self.called),
            ("expected", self.expected),
            ("got", self.got + (f"  at {self.where}" if self.where else "")),
        ]
        for found in self.looks_like[:2]:
            lead = "asked for" if found["convention"] else "advice"
            perhaps = "" if found.get("sure", True) else "perhaps: "
            told += [("looks like", perhaps + found["story"]), (lead, found["advice"])]
        told += [("that is", self.relation), ("note", self.note)]
        if self.held:
            told.append(("held", f"{'; '.join(reversed(self.held))}"))
        return [
            f"{self.id}: wrong at property {self.number} of {self.total}",
            *_entries([(label, text) for label, text in told if text], LINES - 2),
            f"  {'hint':11}python -m scratchmm learn hint {self.id}{option}",
        ]

    def __repr__(self) -> str:
        return "\n".join(self.lines())


def _entries(told: list[tuple[str, str]], room: int) -> list[str]:
    """Labelled entries in at most `room` lines: one each, and what is left to those that need it.

    What happened is told first and in full: without it the case can't be made again.
    """
    needed = [len(textwrap.wrap(text, WIDTH - 13)) for _, text in told]
    given = [1] * len(told)
    facts = [i for i, (label, _) in enumerate(told) if label in FACTS]
    for wanting in (facts, [*range(len(told))]):
        while sum(given) < room and (short := [i for i in wanting if given[i] < needed[i]]):
            given[min(short, key=given.__getitem__)] += 1
    lines = []
    for (label, text), most in zip(told, given, strict=True):
        wrapped = textwrap.wrap(text, WIDTH - 13, max_lines=most, placeholder=" ...")
        lines += [f"  {label if not i else '':11}{line}" for i, line in enumerate(wrapped)]
    return lines
