"""`python -m scratchmm learn`: write the library again, with checks, hints and a diagnosis.

Exit status of `learn check`: 0 passed, 1 wrong, 2 not written yet, 3 the check could not run.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchmm.commands import learn_write
from scratchmm.commands.learn_show import LEARN, show

if TYPE_CHECKING:  # torch is imported only when an action begins
    from scratchmm.exercises.format import Exercise
    from scratchmm.exercises.report import Report


def add(subparsers: Any) -> None:
    """Declares the actions of `learn`."""
    parser = subparsers.add_parser("learn", help="write the library again, with checks and hints")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--folder", help="your folder (default: exercises)")
    shared.add_argument("--json", action="store_true", help="print data instead of sentences")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    parser.set_defaults(action="where", folder=None, json=False)

    def action(name: str, help: str) -> Any:
        return actions.add_parser(name, help=help, parents=[shared])

    start = action("start", "copy the stubs into a folder of yours; overwrites nothing")
    start.add_argument("dir", nargs="?", help="the folder (default: exercises)")
    check = action("check", "check one exercise, a lesson's, or all that are written")
    check.add_argument("id", nargs="*", help="an exercise, or a lesson: attention.attend, 05")
    check.add_argument("--file", help="check the answers in this file")
    watch = action("watch", "check again whenever a file is saved")
    watch.add_argument("--seconds", type=float, help="stop after so long")
    hint = action("hint", "a hint, and a little more each time")
    hint.add_argument("id")
    hint.add_argument("--level", type=int, choices=(1, 2, 3, 4))
    listing = action("list", "all exercises, or a lesson's, and how far you are")
    listing.add_argument("lesson", nargs="*", help="05, say")
    diff = action("diff", "your answer beside the library's, once it passes")
    diff.add_argument("id")
    diff.add_argument("--spoil", action="store_true", help="before it passes")
    mistakes = action("mistakes", "the mistakes that people make, once yours passes")
    mistakes.add_argument("id")
    mistakes.add_argument("--spoil", action="store_true", help="before it passes")
    reset = action("reset", "begin one exercise again; a backup is kept")
    reset.add_argument("id")
    learn_write.add(action)
    run = action("run", "run a lesson; with --mine on what you have passed")
    run.add_argument("lesson")
    run.add_argument("--mine", action="store_true", help="on what you have passed")
    run.add_argument("flags", nargs=argparse.REMAINDER, help="--mine, and the lesson's own flags")


def run(arguments: argparse.Namespace) -> int:
    """Runs one action and returns the exit status."""
    from scratchmm.commands.learn_run import run_lesson

    actions: dict[str, Callable[[argparse.Namespace], int]] = dict(
        where=where, start=start, check=check, watch=watch, hint=hint, list=show_list,
        diff=diff, mistakes=mistakes, reset=reset, verify=learn_write.verify,
        stubs=learn_write.stubs, run=run_lesson,
    )  # fmt: skip
    try:
        return actions[arguments.action](arguments)
    except (ValueError, OSError) as error:
        if arguments.action in ("check", "watch"):  # 1 would mean a wrong answer
            from scratchmm.refusals import sentence

            if arguments.json:
                print(json.dumps([dict(status="error", note=sentence(error))], indent=1))
            print(f"error: {sentence(error)}", file=sys.stderr)
            return 3
        raise


def where(arguments: argparse.Namespace) -> int:
    """Where the learner is, and the next exercise."""
    from scratchmm.exercises import catalogue, desk
    from scratchmm.exercises.progress import Progress

    folder = desk.folder_of(arguments.folder)
    states = {id: Progress(folder).state(one) for id, one in catalogue.exercises().items()}
    count = sum(state == "passed" for state in states.values())
    lines = [f"{count} of {len(states)} exercises passed in {folder}"]
    for state, text in (("edited", "edited since it passed"), ("stale", "its check has changed")):
        lines += [f"  {id}: {text}, check it again" for id, s in states.items() if s == state]
    following = next(
        (one for id, one in catalogue.exercises().items() if states[id] == "open"), None
    )
    if not folder.is_dir():
        lines.append(f"begin: {LEARN} start")
    elif following is not None:
        lines += [
            f"next: {following.id}, {following.title} ({following.minutes} minutes, "
            f"difficulty {following.difficulty} of 5) in {folder / following.lesson}.py",
            f"then: {LEARN} check {following.id}",
        ]
    show(arguments, dict(folder=str(folder), states=states, next=following and following.id), lines)
    return 0


def start(arguments: argparse.Namespace) -> int:
    """Copies the stubs."""
    from scratchmm.exercises import desk

    folder = desk.folder_of(arguments.dir or arguments.folder)
    written, kept = desk.start(folder)
    lines = [f"wrote {path}" for path in written]
    lines += [f"kept {path}, which was there" for path in kept]
    option = desk.option(folder)
    lines.append(f"now: {LEARN}{option and ' list' + option}")
    show(arguments, dict(written=[*map(str, written)], kept=[*map(str, kept)]), lines)
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Checks the exercises named, or all; the first wrong one is reported in full."""
    from scratchmm.exercises import catalogue, desk
    from scratchmm.exercises.worker import warm

    chosen = catalogue.chosen(arguments.id)
    alone = bool(arguments.id) and len(chosen) == len(arguments.id)  # each is reported in full
    missing: set[str] = set()
    option = desk.option(desk.folder_of(arguments.folder))
    if arguments.file and not arguments.id:
        chosen = desk.in_file(Path(arguments.file), chosen)
    elif not arguments.id:
        folder = desk.existing(desk.folder_of(arguments.folder))
        missing = {f"{one.lesson}.py" for one in chosen} - {path.name for path in folder.iterdir()}
        chosen = [one for one in chosen if f"{one.lesson}.py" not in missing]
    if len(chosen) > 1:
        warm()
    reports = [check_one(arguments, exercise) for exercise in chosen]
    lines, reported = [], False
    for report in reports:
        text = report.lines(option)
        if alone or (report.status == "wrong" and not reported):
            lines += text
        elif report.status != "unwritten":
            lines.append(text[0])
        reported = reported or report.status == "wrong"
    if not alone:
        unwritten = sum(report.status == "unwritten" for report in reports)
        lines += [f"not written yet: {unwritten} of {len(reports)}"] if unwritten else []
        lines += [f"not there: {name}; `{LEARN} start{option}` adds it" for name in sorted(missing)]
    show(arguments, [report.as_dict() for report in reports], lines)
    statuses = {report.exit_status for report in reports}
    return next((status for status in (3, 1, 2) if status in statuses), 0)


def check_one(arguments: argparse.Namespace, exercise: Exercise) -> Report:
    """Checks one exercise and records it if it passes in the learner's folder."""
    from scratchmm.exercises import desk
    from scratchmm.exercises.checking import check_file
    from scratchmm.exercises.progress import Progress

    if getattr(arguments, "file", None):
        return check_file(Path(arguments.file), exercise)
    folder = desk.existing(desk.folder_of(arguments.folder))
    progress = Progress(folder)  # first, so that an unreadable one stops here
    report = check_file(folder / f"{exercise.lesson}.py", exercise)
    if report.status == "passed":
        progress.mark(exercise)
    return report


def watch(arguments: argparse.Namespace) -> int:
    """Checks exercises as they are saved, until Ctrl-C. Polls the files three times a second."""
    from scratchmm.exercises import catalogue, desk, source
    from scratchmm.exercises.learner import fingerprint
    from scratchmm.exercises.worker import warm

    warm()
    folder = desk.existing(desk.folder_of(arguments.folder))
    print(f"watching {folder}; Ctrl-C ends", flush=True)
    seen: dict[str, str] = {}
    deadline = time.monotonic() + (arguments.seconds or float("inf"))
    first = True
    while time.monotonic() < deadline:
        for lesson, exercises in catalogue.lessons().items():
            path = folder / f"{lesson}.py"
            text, fault = source.examined(path)
            if fault and fault != seen.get(lesson) and not first:
                print(fault, flush=True)
            seen[lesson] = fault
            for exercise in exercises:
                code = fingerprint(text, exercise, exercises)
                if code and code != seen.get(exercise.id) and not first:
                    report = check_one(arguments, exercise)
                    print("\n".join(report.lines(desk.option(folder))), flush=True)
                seen[exercise.id] = code or seen.get(exercise.id, "")
        first = False
        time.sleep(0.3)
    return 0


def hint(arguments: argparse.Namespace) -> int:
    """Shows the next hint."""
    from scratchmm.exercises import catalogue, desk
    from scratchmm.exercises.progress import Progress

    exercise = catalogue.find(arguments.id)
    level = Progress(desk.folder_of(arguments.folder)).hint(exercise, arguments.level)
    text = exercise.hints[level - 1]
    lines = [f"{exercise.id}, hint {level} of {len(exercise.hints)}:", *textwrap.wrap(text, 96)]
    show(arguments, dict(id=exercise.id, level=level, hint=text), lines)
    return 0


def show_list(arguments: argparse.Namespace) -> int:
    """Lists all exercises by lesson."""
    from scratchmm.exercises import catalogue, desk
    from scratchmm.exercises.progress import Progress

    progress = Progress(desk.folder_of(arguments.folder))
    chosen = catalogue.chosen(arguments.lesson)
    rows, lines = [], []
    for lesson, group in catalogue.lessons().items():
        exercises = [one for one in group if one in chosen]
        if not exercises:
            continue
        lines.append(f"{lesson}: {sum(one.minutes for one in exercises)} minutes")
        for one in exercises:
            state = progress.state(one)
            fields = ("id", "title", "minutes", "difficulty", "lesson", "section", "needs")
            seen = progress.hints.get(one.id, 0)
            row = {name: getattr(one, name) for name in fields}
            rows.append(row | dict(state=state, hints_seen=seen, hints=len(one.hints)))
            about = (
                f"{one.minutes:3} min  difficulty {one.difficulty}  hints {seen}/{len(one.hints)}"
            )
            lines.append(f"  {state:7} {one.id:34} {about}  {one.title}")
    show(arguments, rows, lines)
    return 0


def diff(arguments: argparse.Namespace) -> int:
    """Shows the learner's answer beside the library's."""
    from scratchmm.exercises import catalogue, desk
    from scratchmm.exercises.progress import Progress

    exercise = catalogue.find(arguments.id)
    folder = desk.existing(desk.folder_of(arguments.folder))
    if not arguments.spoil and Progress(folder).state(exercise) == "open":
        raise ValueError(
            f"{exercise.id} has not passed yet; --spoil shows the library's all the same"
        )
    lines = desk.difference(folder / f"{exercise.lesson}.py", exercise)
    show(arguments, lines, lines or ["yours and the library's are the same"])
    return 0


def reset(arguments: argparse.Namespace) -> int:
    """Restores one stub."""
    from scratchmm.exercises import catalogue, desk

    exercise = catalogue.find(arguments.id)
    backup = desk.reset(desk.existing(desk.folder_of(arguments.folder)), exercise)
    lines = [f"{exercise.id} begins again; what was there is in {backup}"]
    show(arguments, dict(backup=str(backup)), lines)
    return 0


def mistakes(arguments: argparse.Namespace) -> int:
    """Shows the mistakes that people make in an exercise, once it has passed."""
    from scratchmm.exercises import catalogue, desk
    from scratchmm.exercises.mistakes import as_lines, page
    from scratchmm.exercises.progress import Progress

    exercise = catalogue.find(arguments.id)
    folder = desk.folder_of(arguments.folder)
    if not arguments.spoil and Progress(folder).state(exercise) == "open":
        raise ValueError(
            f"{exercise.id} has not passed yet; --spoil shows its mistakes all the same"
        )
    show(arguments, page(exercise), as_lines(exercise))
    return 0
