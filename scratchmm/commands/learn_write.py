"""`learn verify` and `learn stubs`: for those who write exercises."""

from __future__ import annotations

import argparse
from typing import Any

from scratchmm.commands.learn_show import LEARN, show


def add(action: Any) -> None:
    """Declares both. action: makes a parser by its name and what it does."""
    verify = action("verify", "check the checks (for those who write exercises)")
    verify.add_argument("id", nargs="*")
    verify.add_argument(
        "--mutants",
        action="store_true",
        help="only the mutants, and by name those that are let through",
    )
    stubs = action("stubs", "write tutorials/exercises again from the library's source")
    stubs.add_argument("--check", action="store_true", help="only say whether they are stale")


def verify(arguments: argparse.Namespace) -> int:
    """Checks the checks."""
    from scratchmm.exercises import desk, mutant_count
    from scratchmm.exercises.verify import as_data, closing_line, verify

    counts = mutant_count.count(arguments.id)
    faults = mutant_count.faults(counts, whole=not arguments.id)
    lines = [line for one in counts for line in one.lines()] if arguments.mutants else []
    data: dict[str, Any] = dict(mutants=mutant_count.as_data(counts))
    last = [mutant_count.closing_line(counts)]
    if not arguments.mutants:
        results = verify(arguments.id)
        faults += [fault for one in results for fault in one.faults]
        if desk.STUBS.parent.is_dir() and not arguments.id:
            stale = desk.write_stubs(check=True)
            faults += [f"{desk.STUBS.name}/{name} is stale: {LEARN} stubs" for name in stale]
        last = [closing_line(results), *last]
        data["exercises"] = as_data(results)
    data |= dict(faults=faults, line="; ".join(last))
    show(arguments, data, [*lines, *faults, *last])
    return 1 if faults else 0


def stubs(arguments: argparse.Namespace) -> int:
    """Writes the stubs of the tutorials again."""
    from scratchmm.exercises import desk

    stale = desk.write_stubs(check=arguments.check)
    verb = "stale" if arguments.check else "wrote"
    show(arguments, stale, [f"{verb}: {name}" for name in stale] or ["the stubs are up to date"])
    return 1 if arguments.check and stale else 0
