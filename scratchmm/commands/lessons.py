"""`python -m scratchmm lessons [NN ...]`: runs the lessons and records what they reach.

A lesson is a script `tutorials/NN_topic.py` that calls `report` last. Results at full length
stand in `tutorials/results.json`; the README's table is generated from it.
"""

import argparse
import json
import math
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from scratchmm.commands import refused, sentence
from scratchmm.commands.sources import replace_between, write_atomically
from scratchmm.source_code import code_hash

ROOT = Path(__file__).resolve().parents[2]
FIGURE_FILE = "SCRATCHMM_FIGURE_FILE"  # where a lesson leaves its figure for the runner
LIMIT_SECONDS = 1200  # a lesson that hangs must not hold the others up
QUICK_SECONDS = 20  # what a quick run may take


def in_a_sentence(kind: Any, error: BaseException, trace: Any) -> None:
    """Shows an error that ends a lesson: a sentence for what its user gave, else a traceback."""
    if isinstance(error, Exception) and refused(error):
        print(f"error: {sentence(error)}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if Path(sys.argv[0]).resolve().parent == ROOT / "tutorials":  # python tutorials/NN_topic.py
    sys.excepthook = in_a_sentence


def report(
    name: str,
    reached: float,
    expected: float,
    *,
    quick: bool = False,
    unjudged: str = "",
    unit: str = "",
    higher_is_better: bool = True,
) -> None:
    """The last line of a lesson: what was reached beside what was expected.

    At full length a result that falls short (or is not a number) ends the script with status 1.
    A quick run, or one of fewer steps, trains too little to be judged: it proves only that the
    lesson runs. `unjudged` says which (see `LessonOptions`); quick=True is "quick run".

    >>> report("accuracy", 0.98, 0.97)
    accuracy: reached 0.98, expected at least 0.97
    >>> report("seconds", 3.0, 2.5, unjudged="quick run", unit=" s", higher_is_better=False)
    seconds: reached 3 s, expected at most 2.5 s (quick run: not judged)
    """
    unjudged = unjudged or "quick run" * quick
    reached, expected = float(reached), float(expected)
    side = "at least" if higher_is_better else "at most"
    line = f"{name}: reached {reached:.4g}{unit}, expected {side} {expected:.4g}{unit}"
    print(line + (f" ({unjudged}: not judged)" if unjudged else ""), flush=True)
    if FIGURE_FILE in os.environ:
        figure = {"name": name, "reached": reached, "expected": expected, "unit": unit}
        figure["higher_is_better"] = higher_is_better
        Path(os.environ[FIGURE_FILE]).write_text(json.dumps(figure), encoding="utf-8")
    enough = reached >= expected if higher_is_better else reached <= expected
    if not unjudged and not enough:  # written so that nan is not enough
        raise SystemExit(f"{name} fell short of what the lesson expects")


def add(subparsers: Any) -> None:
    """Declares the arguments of `lessons`."""
    parser = subparsers.add_parser(
        "lessons",
        help="run the lessons and record what they reach",
        description="Runs lessons from the repository's tutorials/ and records their figures.",
    )
    parser.add_argument("lessons", nargs="*", metavar="NN", help="numbers or names; default: all")
    parser.add_argument("--quick", action="store_true", help="whole but short, nothing recorded")
    parser.add_argument(
        "--changed",
        action="store_true",
        help="full length where the code changed since the recorded result, quick elsewhere",
    )
    parser.add_argument("--data", help="a real data set's name, handed to the lesson")
    parser.add_argument(
        "--table", action="store_true", help="write the README's table, run nothing"
    )
    parser.add_argument("--json", action="store_true", help="print the results as a list")


def run(arguments: argparse.Namespace) -> int:
    """Runs what was asked for; 0 when every lesson reached its figure."""
    results_path = ROOT / "tutorials" / "results.json"
    recorded = read_results(results_path)
    if arguments.table:
        write_table(ROOT / "README.md", recorded)
        return 0
    scripts = find_lessons(ROOT / "tutorials", arguments.lessons)
    if arguments.data is not None:
        check_data(arguments.data, scripts)
    rows = []
    for script in scripts:
        key = script.stem + (f" --data {arguments.data}" if arguments.data else "")
        code = code_hash(script, ROOT)
        same = recorded.get(key, {}).get("code") == code
        quick = arguments.quick or (arguments.changed and same)
        print(f"{key}{' (quick)' if quick else ''} ...", file=sys.stderr, flush=True)
        row = {"lesson": key, **run_lesson(script, quick, arguments.data), "code": code}
        rows.append(row)
        if row["passed"] and not quick:
            recorded[key] = row
            write_atomically(results_path, json.dumps(in_order(recorded), indent=1) + "\n")
    print(json.dumps(rows, indent=1) if arguments.json else table_of_run(rows), flush=True)
    for row in rows:
        if not row["passed"]:
            print(f"error: {row['lesson']}: {row['reason']}", file=sys.stderr)
            if row["tail"]:
                print(row["tail"], file=sys.stderr)
    return 0 if all(row["passed"] for row in rows) else 1


def find_lessons(folder: Path, wanted: list[str]) -> list[Path]:
    """The scripts NN_topic.py in order; `wanted` holds numbers (3, 03) or beginnings of names."""
    scripts = sorted(folder.glob("[0-9][0-9]_*.py"))
    if not scripts:
        raise FileNotFoundError(f"no lessons in {folder}: run this in a clone of the repository")
    chosen = []
    for word in wanted:
        start = f"{int(word):02d}_" if word.isdigit() else word.removesuffix(".py")
        matches = [script for script in scripts if start and script.name.startswith(start)]
        if not matches:
            names = ", ".join(script.stem for script in scripts)
            raise ValueError(f"there is no lesson {word!r}: the lessons are {names}")
        chosen += matches
    return chosen or scripts


def check_data(data: str, scripts: list[Path]) -> None:
    """Refuse data that there is not, and lessons that make their own, before anything runs."""
    from scratchmm.commands.training_sets import check_name

    for script in scripts:
        text = script.read_text(encoding="utf-8")
        if '"--data"' not in text:
            raise ValueError(f"lesson {script.stem} makes its own data: it takes no --data")
        choices = re.search(r'"--data", choices=\(([^)]*)\)', text)
        if choices is None or f'"{data}"' not in choices[1]:  # else a set that it reads itself
            check_name(data)


def run_lesson(script: Path, quick: bool, data: str | None = None) -> dict[str, Any]:
    """Runs one lesson in a process of its own; the row that results.json keeps, and its log.

    Everything the lesson prints goes to runs/lessons/NN_topic.log.
    """
    log = ROOT / "runs" / "lessons" / f"{script.stem}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "scratchmm.commands.one_lesson", str(script)]
    words += ["--quick"] if quick else []
    words += ["--data", data] if data else []
    with tempfile.TemporaryDirectory() as folder, log.open("w", encoding="utf-8") as output:
        figure_file = Path(folder) / "figure.json"
        environment = {**os.environ, FIGURE_FILE: str(figure_file), "MPLBACKEND": "agg"}
        started = time.perf_counter()
        try:
            status = subprocess.run(
                words,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            status = 124
        seconds = time.perf_counter() - started
        text = figure_file.read_text(encoding="utf-8") if figure_file.exists() else "{}"
    row = {**json.loads(text), "seconds": round(seconds, 1), "cores": cores(), "quick": quick}
    row["versions"] = versions()
    reason = why_failed(status, row)
    tail = "" if reason is None else log.read_text(encoding="utf-8", errors="replace")[-2000:]
    *_, last = ["", *tail.splitlines()]
    if status and last.startswith("error: "):
        reason, tail = last.removeprefix("error: "), ""
    return {**row, "passed": reason is None} | ({"reason": reason, "tail": tail} if reason else {})


def why_failed(status: int, row: dict[str, Any]) -> str | None:
    """A sentence, or None when the lesson did what it should.

    >>> why_failed(0, {})
    'ended without calling report(...)'
    >>> why_failed(0, {"reached": 0.5})
    """
    if status == 124:
        return f"stopped after {LIMIT_SECONDS} s"
    if "reached" in row and status != 0:
        return f"ended with status {status}, reached {row['reached']:.4g}"
    if status != 0:
        return f"ended with status {status}"
    return None if "reached" in row else "ended without calling report(...)"


def cores() -> int:
    """The cores a lesson may use: what the machine gives, or less if OMP_NUM_THREADS says so."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(available or 1, int(limit)) if limit.isdigit() else available or 1


def versions() -> dict[str, str]:
    """The versions a figure may depend on."""
    found = {"python": platform.python_version()}
    for name in ("torch", "numpy", "pillow"):
        found[name] = metadata.version(name)
    return found


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """Recorded results by lesson; nothing recorded yet is an empty dictionary."""
    if not path.exists():
        return {}
    try:
        return {row["lesson"]: row for row in json.loads(path.read_text(encoding="utf-8"))}
    except (json.JSONDecodeError, TypeError, KeyError) as error:
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


def readme_table(recorded: dict[str, dict[str, Any]]) -> str:
    """The README's table, from what was recorded at full length."""
    lines = [
        "| lesson | figure | reached | expected | seconds | cores |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in in_order(recorded):
        file, _, options = row["lesson"].partition(" ")
        link = f"[{file}](tutorials/{file}.py)" + (f" `{options}`" if options else "")
        reached = f"{row['reached']:.4g}{row['unit']}"
        lines.append(
            f"| {link} | {row['name']} | {reached} | {bound(row)}"
            f" | {math.ceil(row['seconds'])} | {row['cores']} |"
        )
    used = sorted({f"torch {r['versions']['torch']}" for r in recorded.values()})
    return "\n".join([*lines, "", f"Measured with {', '.join(used)}."] if used else lines)


def write_table(readme: Path, recorded: dict[str, dict[str, Any]]) -> None:
    """Puts the table between the README's lesson markers."""
    text = readme.read_text(encoding="utf-8")
    write_atomically(readme, replace_between(text, "lessons", readme_table(recorded)))
