"""All exercises, found in the files `lessons/NN_topic/NAME.py`, each with an `exercise`."""

from __future__ import annotations

import difflib
import functools
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from scratchmm.exercises.format import Exercise, exercise_file
from scratchmm.sentences import shortened

LESSONS = Path(__file__).parent / "lessons"


@functools.cache
def exercises() -> dict[str, Exercise]:
    """Every exercise by its id, lesson after lesson, each in its order.

    The variable SCRATCHMM_LESSONS ("01,05") leaves others out, while one of them is half written;
    a number that no lesson has is refused (ValueError).
    """
    found: dict[str, Exercise] = {}
    names = sorted(path.name for path in LESSONS.iterdir())
    wanted = wanted_lessons(os.environ.get("SCRATCHMM_LESSONS"), names)
    for lesson in names:
        if lesson[:2] in wanted:
            for exercise in in_order(lesson, _modules(lesson)):
                if exercise.id in found:
                    raise ValueError(f"two exercises have the id {exercise.id}")
                exercise.lesson = lesson
                found[exercise.id] = exercise
    return found


def _modules(lesson: str) -> list[ModuleType]:
    paths = sorted((LESSONS / lesson).glob("*.py"))
    return [exercise_file(f"{lesson}/{path.stem}") for path in paths]


def in_order(lesson: str, modules: Iterable[ModuleType]) -> list[Exercise]:
    """The exercises of a lesson's files, by the numbers that they give themselves.

    Raises ValueError where two give the same.
    """
    found = {id(one.exercise): one.exercise for one in modules if hasattr(one, "exercise")}
    ordered = sorted(found.values(), key=lambda exercise: exercise.order)
    for one, other in itertools.pairwise(ordered):
        if one.order == other.order:
            both = f"{one.id} and {other.id} have the order {one.order}"
            raise ValueError(f"{both} in lesson {lesson}: one of them needs another")
    return ordered


def wanted_lessons(listed: str | None, names: list[str]) -> set[str]:
    """The numbers of the lessons that a list such as "01,5" names; None names all.

    >>> sorted(wanted_lessons("5, 01", ["01_a", "05_b", "06_c"]))
    ['01', '05']
    """
    there = {name[:2] for name in names if re.fullmatch(r"\d\d_\w+", name)}
    if listed is None:
        return there
    wanted = {word.strip().zfill(2) for word in listed.split(",") if word.strip()}
    strange = sorted(wanted - there)
    if strange or not wanted:
        said = f"names {shortened(strange[0])!r}" if strange else "names no lesson"
        numbers = ", ".join(sorted(there))
        raise ValueError(f"SCRATCHMM_LESSONS {said}: lessons with exercises are {numbers}")
    return wanted


def lessons() -> dict[str, list[Exercise]]:
    """The exercises of each lesson: {"01_attention": [...], ...}."""
    grouped: dict[str, list[Exercise]] = {}
    for exercise in exercises().values():
        grouped.setdefault(exercise.lesson, []).append(exercise)
    return grouped


def find(id: str) -> Exercise:
    """The exercise with this id, or the only one whose function, or else whose id after the dot, is
    called so: `attend`, `leaking_mask`.

    Raises ValueError with the nearest ids.
    """
    known = exercises()
    if id in known:
        return known[id]
    named = [one for one in known.values() if one.name == id]
    short = [one for one in known.values() if one.id.partition(".")[2] == id]
    for found in (named, short):
        if len(found) == 1:
            return found[0]
    raise ValueError(f"there is no exercise {id!r}: {nearest(id, [*known])}")


def chosen(words: Sequence[str]) -> list[Exercise]:
    """The exercises that ids and lessons name: "attention.attend", "05", "5" or "05_clip"; all if none.

    Raises ValueError where a word names neither.
    """
    found: dict[str, Exercise] = {}
    for word in words:
        stem = word.removesuffix(".py")
        named = [one for lesson, group in lessons().items() for one in group
                 if stem in (lesson, lesson[:2], lesson[:2].lstrip("0"))]  # fmt: skip
        if not named and stem.isdigit():
            known = ", ".join(lesson[:2] for lesson in lessons())
            raise ValueError(f"lesson {word!r} has no exercises: those that have are {known}")
        found |= {one.id: one for one in named or [find(word)]}
    return [*found.values()] if words else [*exercises().values()]


def nearest(id: str, known: Sequence[str]) -> str:
    """Which ids a mistyped one may have meant: the closest first, and only those nearly as close.

    An id is as close as it is as a whole, or as what stands behind its dot.

    >>> nearest("atention.attend", ["attention.attend", "bpe.decode"])
    'did you mean attention.attend?'
    >>> nearest("atend", ["gated.Gate", "attention.attend"])
    'did you mean attention.attend?'
    """
    found = {name: _closeness(id, name) for name in known}
    best = max(found.values(), default=0.0)
    close = [name for name in found if found[name] >= max(0.6, best - 0.05)]
    close.sort(key=found.__getitem__, reverse=True)
    if not close:
        return f"`learn list` shows all {len(known)}"
    return f"did you mean {' or '.join(close[:3])}?"


def _closeness(id: str, name: str) -> float:
    """From 0 to 1: how much of the letters, in their order, are the same."""
    parts = (name, name.partition(".")[2])
    return max(difflib.SequenceMatcher(None, id.lower(), one.lower()).ratio() for one in parts)
