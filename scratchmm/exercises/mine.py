"""Run a lesson with the learner's functions in place of the library's: *your* attention trains CLIP."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scratchmm.exercises import catalogue
from scratchmm.exercises.checking import check_file
from scratchmm.exercises.desk import ROOT
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.learner import CannotRun, answer, load
from scratchmm.exercises.progress import Progress

Pairs = list[tuple[Exercise, Any]]


def lesson_file(name: str, folder: Path = ROOT / "tutorials") -> Path:
    """The lesson that "5", "05", "05_clip" or a path means. Raises ValueError."""
    if name.endswith(".py") and Path(name).is_file():
        return Path(name)
    stem = Path(name).stem
    files = sorted(folder.glob("[0-9][0-9]_*.py"))
    matches = [f for f in files if f.stem == stem or f.stem[:2] == stem.zfill(2)]
    if not matches:
        known = ", ".join(file.stem for file in files) or f"none in {folder}"
        raise ValueError(f"there is no lesson {name!r}: the lessons are {known}")
    return matches[0]


def passed_answers(folder: Path, tell: Callable[[str], None]) -> Pairs:
    """The learner's answers that pass, loaded. What was edited since, or has a new check, is checked
    again; what does not pass now stays the library's, and `tell` hears of it."""
    progress, found = Progress(folder), []
    for lesson, exercises in catalogue.lessons().items():
        path = folder / f"{lesson}.py"
        passing = [one for one in exercises if _passes(progress, path, one, tell)]
        # A test that was written is no part of the library, so nothing can run on it.
        passing = [one for one in passing if not one.target.startswith("scratchmm.exercises.")]
        if not passing:
            continue
        try:
            module = load(path)
            found += [(exercise, answer(module, exercise)) for exercise in passing]
        except CannotRun as reason:
            tell(f"{reason}; the library's code is used")
            continue
        for other in exercises:
            if other not in passing and hasattr(module, other.name):
                setattr(module, other.name, other.reference)
    return found


def _passes(
    progress: Progress, path: Path, exercise: Exercise, tell: Callable[[str], None]
) -> bool:
    state = progress.state(exercise)
    if state in ("open", "passed"):
        return state == "passed"
    if check_file(path, exercise).status == "passed":
        progress.mark(exercise)
        return True
    tell(f"{exercise.id} has passed, but does not pass now; the library's is used")
    return False


def substitute(pairs: Iterable[tuple[Any, Any]]) -> None:
    """Put each new object in place of each old one in every module of scratchmm and of the learner.

    Also in dictionaries that a module holds (a table of backends, say).
    """
    new = {id(old): replacement for old, replacement in pairs}
    for name, module in list(sys.modules.items()):
        if not name.startswith(("scratchmm.", "learner_")) or ".exercises" in name:
            continue
        for table in [vars(module), *vars(module).values()]:
            if type(table) is dict and table is not vars(module).get("__builtins__"):
                for key, value in list(table.items()):
                    if id(value) in new:
                        table[key] = new[id(value)]


def put_in_place(pairs: Pairs, called: set[str]) -> None:
    """Put the learner's answers into the library, each as its exercise adapts it.

    called: gets the ids of those that are called from now on.
    """
    replacements = []
    for exercise, mine in pairs:
        library = exercise.reference
        adapted = exercise.adapt(mine, library) if exercise.adapt else mine
        adapted = noticed(adapted, exercise.id, called)
        replacements += [(library, adapted), (mine, adapted)]
    substitute(replacements)


def noticed(answer: Any, id: str, called: set[str]) -> Any:
    """The same function or class; who calls it, or makes one of it, adds its id to `called`.

    >>> called = set()
    >>> noticed(abs, "math.abs", called)(-2), called
    (2, {'math.abs'})
    """
    inner: Any = vars(answer).get("__init__", answer) if isinstance(answer, type) else answer

    @functools.wraps(inner)
    def call(*args: Any, **kwargs: Any) -> Any:
        called.add(id)
        return inner(*args, **kwargs)

    if not isinstance(answer, type):
        return call
    if inner is answer:  # the class inherits its own
        inner = super(answer, answer).__init__
    setattr(answer, "__init__", call)  # noqa: B010 (a type checker takes it for an instance's)
    return answer
