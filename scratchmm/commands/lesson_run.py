"""One lesson in a process of its own: shown as it runs, kept in a log, and returned as a row.

The lesson leaves its result in the file that FIGURE_FILE names, see `lesson.report`.
"""

import codecs
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from scratchmm.lesson import FIGURE_FILE


def run_lesson(
    script: Path, root: Path, flags: Sequence[str], limit: float | None, log: Callable[[str], None]
) -> dict[str, Any]:
    """Run one lesson with these flags; returns the row of its result.

    It is stopped after `limit` seconds (None: never). All that it prints goes to `log` as it comes,
    and to runs/lessons/NN_topic.log.
    """
    log_file = root / "runs" / "lessons" / f"{script.stem}.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "scratchmm.commands.one_lesson", str(script), *flags]
    with tempfile.TemporaryDirectory() as folder, log_file.open("w", encoding="utf-8") as output:
        figure_file = Path(folder) / "figure.json"
        environment = {**os.environ, FIGURE_FILE: str(figure_file), "MPLBACKEND": "agg"}
        environment["PYTHONUNBUFFERED"] = "1"
        started = time.perf_counter()
        status = _follow(words, root, environment, limit, (output.write, log))
        seconds = time.perf_counter() - started
        text = figure_file.read_text(encoding="utf-8") if figure_file.exists() else "{}"
    row = {**json.loads(text), "seconds": round(seconds, 1), "cores": cores()}
    row["quick"] = "--quick" in flags
    row["versions"] = versions()
    reason = why_failed(status, row, limit)
    tail = "" if reason is None else log_file.read_text(encoding="utf-8", errors="replace")[-2000:]
    *_, last = ["", *tail.splitlines()]
    if status and last.startswith("error: "):
        reason, tail = last.removeprefix("error: "), ""
    return {**row, "passed": reason is None} | ({"reason": reason, "tail": tail} if reason else {})


def _follow(
    words: list[str],
    folder: Path,
    environment: dict[str, str],
    limit: float | None,
    outputs: Sequence[Callable[[str], object]],
) -> int:
    """Run a program and forward its output as it comes; its exit status, 124 if it was stopped."""
    with subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        reader = threading.Thread(target=_forward, args=(process, outputs), daemon=True)
        reader.start()
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = 124
        finally:  # interrupted: the lesson ends with the command
            process.kill()
            reader.join(5)
    return status


def _forward(process: subprocess.Popen[bytes], outputs: Sequence[Callable[[str], object]]) -> None:
    """Forward the program's output at once: a progress bar has no end of line."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    assert process.stdout is not None
    try:
        while piece := os.read(process.stdout.fileno(), 4096):
            text = decoder.decode(piece)
            for output in outputs:
                output(text)
    except OSError:  # the reader has closed its end (| head), or the disk is full
        process.kill()


class Screen:
    """Shows text as it comes; where the output is no terminal, a progress bar only as it ends.

    >>> screen = Screen(sys.stdout)
    >>> screen.show("one\\n 1%\\r 5%"); screen.show("\\r100%\\ntwo\\n")
    one
    100%
    two
    """

    def __init__(self, stream: Any) -> None:
        self.stream, self.live, self.rest = stream, stream.isatty(), ""

    def show(self, text: str) -> None:
        """Show some more text."""
        if not self.live:
            *lines, self.rest = (self.rest + text).split("\n")
            self.rest = self.rest.rpartition("\r")[2]
            text = "".join(line.rstrip("\r").rpartition("\r")[2] + "\n" for line in lines)
        self.stream.write(text)
        self.stream.flush()

    def end(self) -> None:
        """Show a last line that had no end of line."""
        if self.rest and not self.live:
            self.show("\n")


def why_failed(status: int, row: dict[str, Any], limit: float | None) -> str | None:
    """The reason in one sentence, or None for a lesson that succeeded.

    >>> why_failed(0, {}, 1200)
    'ended without calling report(...)'
    >>> why_failed(0, {"reached": 0.5}, 1200)
    """
    if status == 124:
        return f"stopped after {limit} s"
    if "reached" in row and status != 0:
        return f"ended with status {status}, reached {row['reached']:.4g}"
    if status != 0:
        return f"ended with status {status}"
    return None if "reached" in row else "ended without calling report(...)"


def cores() -> int:
    """The cores a lesson may use: those of the process, or fewer by OMP_NUM_THREADS."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(available or 1, int(limit)) if limit.isdigit() else available or 1


def versions() -> dict[str, str]:
    """The versions a result may depend on."""
    found = {"python": platform.python_version()}
    for name in ("torch", "numpy", "pillow"):
        found[name] = metadata.version(name)
    return found
