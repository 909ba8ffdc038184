"""`python -m scratchmm lessons [NN ...]`: runs the lessons and shows them as they run.

A lesson is a script `tutorials/NN_topic.py` that calls `report` last. A run writes below runs/ and
nowhere else. With --record, for those who maintain the library, results at full length are kept in
`tutorials/results.json`, and docs/lessons.md gets its table anew.
"""

import argparse
import json
import math
import re
import sys
from datetime import date
from pathlib import Path
from typing import Any

from scratchmm.commands.lesson_budget import left_out, within
from scratchmm.commands.lesson_run import Screen, run_lesson
from scratchmm.commands.sources import replace_between, write_atomically
from scratchmm.files import read_json
from scratchmm.needed_code import code_hash

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 3600  # a lesson that hangs must not block the others
QUICK_SECONDS = 20  # what a quick run may take


def add(subparsers: Any) -> None:
    """Declares the arguments of `lessons`."""
    parser = subparsers.add_parser(
        "lessons",
        help="run the lessons, shown as they run",
        description="Runs lessons from the repository's tutorials/. What they print is shown and"
        " kept in runs/lessons/, their images are in runs/; nothing else is written.",
    )
    parser.add_argument("lessons", nargs="*", metavar="NN", help="numbers or names; default: all")
    parser.add_argument("--quick", action="store_true", help="whole but short, not judged")
    parser.add_argument(
        "--changed",
        action="store_true",
        help="full length where the code changed since the recorded result, quick elsewhere",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        help="with --changed: full length for so long, the oldest figures first, then quick",
    )
    parser.add_argument("--data", help="a real data set's name, for a lesson that takes one")
    parser.add_argument("--root", help="the folder with the real sets (or SCRATCHMM_DATA)")
    parser.add_argument("--steps", type=int, help="of the main training; others in proportion")
    parser.add_argument("--device", help="to train on: cpu (default), cuda, mps or auto")
    parser.add_argument("--seed", type=int, help="fixes all that is random (default 0)")
    parser.add_argument("--json", action="store_true", help="print the results as a list, no more")
    parser.add_argument(
        "--record",
        action="store_true",
        help="for maintainers: keep what was reached in tutorials/results.json and docs/lessons.md",
    )
    parser.add_argument(
        "--table", action="store_true", help="for maintainers: write docs/lessons.md, run nothing"
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the lessons; 0 when every lesson reached its result."""
    results_path = ROOT / "tutorials" / "results.json"
    recorded = read_results(results_path)
    if arguments.table:
        write_table(ROOT / "docs" / "lessons.md", recorded)
        return 0
    scripts = find_lessons(ROOT / "tutorials", arguments.lessons)
    flags = passed_on(arguments, scripts)
    screen = Screen(sys.stdout)
    log = (lambda text: None) if arguments.json else screen.show
    suffix = f" --data {arguments.data}" if arguments.data else ""
    codes = {script.stem + suffix: code_hash(script, ROOT) for script in scripts}
    full, left = at_full_length(arguments, codes, recorded)
    rows = []
    for script in scripts:
        key = script.stem + suffix
        quick, code = key not in full, codes[key]
        words = [*flags, *(["--quick"] if quick else [])]
        log_file = Path("runs") / "lessons" / f"{script.stem}.log"
        begun = f"{' '.join([script.stem, *words])} ... (what it prints is kept in {log_file})"
        print(begun, file=sys.stderr, flush=True)
        limit = None if arguments.steps else LIMIT_SECONDS
        row = {"lesson": key, **run_lesson(script, ROOT, words, limit, log), "code": code}
        row["day"] = date.today().isoformat()
        screen.end()
        rows.append(row)
        if arguments.record and row["passed"] and not quick:
            recorded[key] = row
            write_atomically(results_path, json.dumps(in_order(recorded), indent=1) + "\n")
            write_table(ROOT / "docs" / "lessons.md", recorded)
    tell(rows, arguments.json)
    if left:
        print(left_out(left, recorded), file=sys.stderr)
    return 0 if all(row["passed"] for row in rows) else 1


def at_full_length(
    arguments: argparse.Namespace, codes: dict[str, str], recorded: dict[str, dict[str, Any]]
) -> tuple[list[str], list[str]]:
    """The lessons to run at full length, and those whose code changed but exceed the time budget."""
    if arguments.quick or not arguments.changed:
        return ([] if arguments.quick else list(codes)), []
    changed = [key for key, code in codes.items() if recorded.get(key, {}).get("code") != code]
    minutes = math.inf if arguments.minutes is None else arguments.minutes
    kept = (ROOT / "runs" / "generator" / "model.pt").exists()
    sharing = [key for key in changed if not kept and " text_to_image, " in text_of(key)]
    return within(changed, recorded, 60 * minutes, sharing)


def text_of(key: str) -> str:
    """The script of a lesson, by the name of its row: "05_clip --data emoji"."""
    return (ROOT / "tutorials" / f"{key.split()[0]}.py").read_text(encoding="utf-8")


def tell(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Prints the results, and on stderr why a lesson failed."""
    print(json.dumps(rows, indent=1) if as_json else "\n" + table_of_run(rows), flush=True)
    for row in rows:
        if not row["passed"]:
            print(f"error: {row['lesson']}: {row['reason']}", file=sys.stderr)
            if row["tail"] and as_json:  # else it has been shown
                print(row["tail"], file=sys.stderr)


def passed_on(arguments: argparse.Namespace, scripts: list[Path]) -> list[str]:
    """The flags for each lesson; flags that a lesson does not have are refused before anything runs."""
    if arguments.data is not None:
        check_data(arguments.data, scripts)
    flags = []
    for name in ("data", "root", "steps", "device", "seed"):
        value = getattr(arguments, name)
        if value is not None:
            flags += [f"--{name}", str(value)]
            if arguments.record and name not in ("data", "root"):
                raise ValueError(f"--record keeps runs as the lesson has them, not with --{name}")
    if arguments.steps is not None and arguments.steps < 1:
        raise ValueError(f"--steps {arguments.steps} trains nothing: at least 1")
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        if arguments.steps is not None and "trains=False" in text:
            raise ValueError(
                f"lesson {script.stem} trains no model of its own: it takes no --steps"
            )
        if arguments.root is not None and '"--root"' not in text:
            raise ValueError(f"lesson {script.stem} reads no real set: it takes no --root")
    if arguments.minutes is not None and not arguments.changed:
        raise ValueError("--minutes says nothing without --changed, whose lessons it limits")
    if arguments.minutes is not None and not arguments.minutes >= 0:
        raise ValueError(f"--minutes {arguments.minutes:g} is not 0 or more")
    if arguments.record and arguments.quick:
        raise ValueError("--record keeps runs at full length, and --quick is none")
    return flags


def find_lessons(folder: Path, words: list[str]) -> list[Path]:
    """The scripts NN_topic.py in order; `words` are numbers (3, 03) or beginnings of names."""
    scripts = sorted(folder.glob("[0-9][0-9]_*.py"))
    if not scripts:
        raise FileNotFoundError(f"no lessons in {folder}: run this in a clone of the repository")
    chosen = []
    for word in words:
        start = f"{int(word):02d}_" if word.isdigit() else word.removesuffix(".py")
        matches = [script for script in scripts if start and script.name.startswith(start)]
        if not matches:
            names = ", ".join(script.stem for script in scripts)
            raise ValueError(f"there is no lesson {word!r}: the lessons are {names}")
        chosen += matches
    return chosen or scripts


def check_data(data: str, scripts: list[Path]) -> None:
    """Refuse unknown data, and lessons that generate their own, before anything runs."""
    from scratchmm.recipes.datasets import check_name

    for script in scripts:
        text = script.read_text(encoding="utf-8")
        if '"--data"' not in text:
            raise ValueError(f"lesson {script.stem} makes its own data: it takes no --data")
        choices = re.search(r'"--data", choices=\(([^)]*)\)', text)
        if choices is None or f'"{data}"' not in choices[1]:  # else a set that it reads itself
            check_name(data)


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """Recorded results by lesson; nothing recorded yet is an empty dictionary."""
    if not path.exists():
        return {}
    try:
        return {row["lesson"]: row for row in read_json(path)}
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path} is not a list of lesson results: {error!r}") from error


def in_order(recorded: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The recorded rows in the order of the lessons."""
    return [recorded[key] for key in sorted(recorded)]


def bound(row: dict[str, Any]) -> str:
    """The expectation of a row, as the tables print it.

    >>> bound({"expected": 0.975, "unit": "", "higher_is_better": True})
    '≥ 0.975'
    """
    return f"{'≥' if row['higher_is_better'] else '≤'} {row['expected']:.4g}{row['unit']}"


def table_of_run(rows: list[dict[str, Any]]) -> str:
    """What the command prints: one line a lesson."""
    lines = [f"{'lesson':38}  {'reached':>10}  {'expected':>10}  {'seconds':>7}"]
    for row in rows:
        reached = f"{row['reached']:.4g}{row['unit']}" if "reached" in row else "-"
        expected = bound(row) if "reached" in row else "-"
        note = "" if row["passed"] else "  FAILED"
        if row["quick"]:
            slow = row["seconds"] > QUICK_SECONDS
            note += f"  quick{f', over {QUICK_SECONDS} s' if slow else ''}"
        lines.append(
            f"{row['lesson']:38}  {reached:>10}  {expected:>10}  {row['seconds']:7.1f}{note}"
        )
    return "\n".join(lines)


def lesson_table(recorded: dict[str, dict[str, Any]]) -> str:
    """The table of docs/lessons.md, from what was recorded at full length."""
    lines = [
        "| lesson | result | reached | expected | seconds | cores |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in in_order(recorded):
        file, _, options = row["lesson"].partition(" ")
        link = f"[{file}](../tutorials/{file}.py)" + (f" `{options}`" if options else "")
        reached = f"{row['reached']:.4g}{row['unit']}"
        lines.append(
            f"| {link} | {row['name']} | {reached} | {bound(row)}"
            f" | {math.ceil(row['seconds'])} | {row['cores']} |"
        )
    used = sorted({f"torch {r['versions']['torch']}" for r in recorded.values()})
    return "\n".join([*lines, "", f"Measured with {', '.join(used)}."] if used else lines)


def write_table(page: Path, recorded: dict[str, dict[str, Any]]) -> None:
    """Puts the table between the page's lesson markers."""
    text = page.read_text(encoding="utf-8")
    write_atomically(page, replace_between(text, "lessons", lesson_table(recorded)))
