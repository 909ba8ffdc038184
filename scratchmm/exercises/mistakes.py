"""The page of mistakes that people make in an exercise: what was done, how it looks, what helps."""

from __future__ import annotations

import difflib
import textwrap
from typing import Any

from scratchmm.exercises.format import BankAnswer, Exercise

WIDTH = 96


def page(exercise: Exercise) -> list[dict[str, Any]]:
    """Every wrong answer of the bank: id, story, advice, whether it is another field's convention,
    and, where it is a patch of the library's answer, the lines that differ, with - and +."""
    return [
        dict(
            id=wrong.id,
            story=wrong.story,
            advice=wrong.advice,
            convention=wrong.convention,
            lines=changed_lines(wrong),
        )
        for wrong in exercise.wrongs
    ]


def changed_lines(wrong: BankAnswer) -> list[str]:
    """The library's lines that a mistake changes, each with a -, and what stands there with a +."""
    if wrong.texts is None:
        return []
    source, patched = wrong.texts()
    found = difflib.unified_diff(source.split("\n"), patched.split("\n"), n=0, lineterm="")
    kept = [line for line in [*found][2:] if not line.startswith("@@")]
    bare = textwrap.dedent("\n".join(line[1:] for line in kept)).split("\n")
    return [f"{line[0]} {rest}" for line, rest in zip(kept, bare, strict=True)]


def as_lines(exercise: Exercise) -> list[str]:
    """The page for people."""
    found = page(exercise)
    lines = [f"{exercise.id}: {len(found)} mistakes that people make"]
    for one in found:
        kind = " (another field's way)" if one["convention"] else ""
        lines += ["", f"{one['id']}{kind}"]
        lines += textwrap.wrap(one["story"], WIDTH, initial_indent="  ", subsequent_indent="  ")
        lines += [f"  {line}" for line in one["lines"]]
        lines += textwrap.wrap(
            one["advice"], WIDTH, initial_indent="  > ", subsequent_indent="    "
        )
    if exercise.short:
        lines += ["", "slips of one piece of code:"]
    for slip in exercise.short:
        lines += textwrap.wrap(slip.story, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines
