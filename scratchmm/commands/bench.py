"""`python -m scratchmm bench attention|vit|...|video|world|busy`: time and memory against peers."""

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from scratchmm.commands.sources import replace_between, write_atomically
from scratchmm.files import read_json

ROOT = Path(__file__).resolve().parents[2]
CASES = (
    "attention",
    "vit",
    "resnet",
    "clip",
    "vilt",
    "fusion",
    "unet",
    "vae",
    "audio",
    "video",
    "world",
    "busy",
)


def add(subparsers: Any) -> None:
    """Declares the arguments of `bench`."""
    parser = subparsers.add_parser(
        "bench",
        help="time and weigh the library beside its peers",
        description="Times ours and the peer in turns, in one process. A ratio is ours over peer.",
    )
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1")
    parser.add_argument("--rounds", type=int, help="times each is measured; the median counts")
    parser.add_argument("--json", action="store_true", help="print the rows as a list")
    parser.add_argument("--write", action="store_true", help="record them in docs/benchmarks.md")


def run(arguments: argparse.Namespace) -> int:
    """Measures one case; 0 when every goal is met."""
    # The profiler that measures memory logs to stderr; torch reads this variable at import.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    import torch

    from scratchmm.training.device import pick_device

    pick_device(arguments.device)  # refuses what is not there
    if arguments.rounds is not None and arguments.rounds < 1:
        raise ValueError(f"--rounds {arguments.rounds} measures nothing: it must be at least 1")
    module = importlib.import_module(f"scratchmm.bench.{arguments.case}")
    rounds = {} if arguments.rounds is None else {"rounds": arguments.rounds}
    rows = module.rows(arguments.device, **rounds)
    plain = [{**row._asdict(), "torch": torch.__version__} for row in rows]
    print(json.dumps(plain, indent=1) if arguments.json else as_text(plain), flush=True)
    if arguments.write:
        record(ROOT / "tutorials" / "bench.json", ROOT / "docs" / "benchmarks.md", plain)
    missed = [row.case for row in rows if not row.met]
    if missed:
        print(f"error: short of the goal: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def as_text(rows: list[dict[str, Any]]) -> str:
    """The rows as a table of plain text."""
    lines = [f"{'case':56} {'ours ms':>10} {'peer ms':>10} {'ratio':>6} {'goal':>5}  peak MiB"]
    for row in rows:
        goal = "" if row["goal"] is None else f"{row['goal']:g}"
        lines.append(
            f"{row['case']:56} {row['ours_ms']:>10,} {row['peer_ms']:>10,} {row['ratio']:>6}"
            f" {goal:>5}  {memory(row)}"
        )
    return "\n".join(lines)


def memory(row: dict[str, Any]) -> str:
    """Ours and the peer's peak memory, where it was measured.

    >>> memory({"ours_mib": 3.0, "peer_mib": 800.5})
    '3.0 / 800.5'
    """
    return "" if row["ours_mib"] is None else f"{row['ours_mib']} / {row['peer_mib']}"


def record(store: Path, page: Path, rows: list[dict[str, Any]]) -> None:
    """Puts the rows into the file of results, replacing those of the same case, and into the page."""
    known = read_json(store) if store.exists() else []
    kept = {(row["device"], row["case"]): row for row in [*known, *rows]}
    rows = list(kept.values())
    write_atomically(store, json.dumps(rows, indent=1) + "\n")
    text = page.read_text(encoding="utf-8")
    write_atomically(page, replace_between(text, "bench", bench_table(rows)))


def bench_table(rows: list[dict[str, Any]]) -> str:
    """The table of docs/benchmarks.md, from what was measured."""
    lines = [
        "| case | ours | peer | ours ms | peer ms | ratio | goal | peak MiB, ours / peer |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        goal = "" if row["goal"] is None else f"≤ {row['goal']:g}"
        lines.append(
            f"| {row['case']} | {row['ours']} | {row['peer']} | {row['ours_ms']:,} |"
            f" {row['peer_ms']:,} | {row['ratio']} | {goal} | {memory(row)} |"
        )
    where = sorted({f"{r['device']} (torch {r['torch']}, {r['threads']} threads)" for r in rows})
    return "\n".join([*lines, "", f"Medians, ours and peer in turns, on {'; '.join(where)}."])
