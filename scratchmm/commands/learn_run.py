"""`learn run LESSON --mine`: a lesson on the learner's answers, beside what the library reaches."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scratchmm.lesson import FIGURE_FILE, MINE


def run_lesson(arguments: argparse.Namespace) -> int:
    """Runs a lesson; with --mine on the learner's answers."""
    from scratchmm.commands import one_lesson
    from scratchmm.exercises import desk, mine

    path = mine.lesson_file(arguments.lesson)
    flags = [flag for flag in arguments.flags if flag != "--mine"]
    if "--folder" in flags:
        at = flags.index("--folder")
        arguments.folder = "".join(flags[at + 1 : at + 2])
        del flags[at : at + 2]
    if not (arguments.mine or "--mine" in arguments.flags):
        return one_lesson.run_lesson(path, flags)
    folder = desk.existing(desk.folder_of(arguments.folder))
    pairs = mine.passed_answers(folder, tell=print)
    called: set[str] = set()
    mine.put_in_place(pairs, called)
    print(f"answers of yours in place of the library's: {len(pairs)}", flush=True)
    with figures() as figure_file:
        status = one_lesson.run_lesson(path, flags)
        print(beside(figure_file, path.stem), end="")
    names = [exercise.id for exercise, _ in pairs if exercise.id in called]
    nothing = "nothing that this lesson calls" if pairs else "none has passed yet"
    print(f"yours: {', '.join(names) or nothing}; all else is the library's", flush=True)
    return status


@contextmanager
def figures() -> Iterator[Path]:
    """For a lesson's run on the learner's answers: the file of its result, and folders of its own."""
    before = {name: os.environ.get(name) for name in (FIGURE_FILE, MINE)}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "figure.json"
        os.environ |= {FIGURE_FILE: str(place), MINE: "1"}
        try:
            yield place
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def beside(figure_file: Path, lesson: str) -> str:
    """A line with what was reached and what the library reaches at full length, or ''."""
    from scratchmm.exercises.desk import ROOT

    recorded = ROOT / "tutorials" / "results.json"
    if not figure_file.exists() or not recorded.exists():
        return ""
    mine: dict[str, Any] = json.loads(figure_file.read_text(encoding="utf-8"))
    for row in json.loads(recorded.read_text(encoding="utf-8")):
        if row["lesson"] == lesson and not row.get("quick"):
            numbers = f"yours {mine['reached']:.4g}{mine['unit']}"
            library = f"the library's {row['reached']:.4g}{row['unit']} at full length"
            return f"{mine['name']}: {numbers}, {library}\n"
    return ""
