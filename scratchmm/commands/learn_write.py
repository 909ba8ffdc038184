"""`learn verify` and `learn stubs`: for those who write exercises."""

from __future__ import annotations

import argparse
from typing import Any

from scratchmm.commands.learn_show import LEARN, show


def add(action: Any) -> None:
    """Declares both. action: makes a parser by its name and what it does."""
    verify = action("verify", "check the checks (for those who write exercises)")
    verify.add_argument("id", nargs="*")
    stubs = action("stubs", "write tutorials/exercises again from the library's source")
    stubs.add_argument("--check", action="store_true", help="only say whether they are stale")


def verify(arguments: argparse.Namespace) -> int:
    """Checks the checks."""
    from scratchmm.exercises import desk
    from scratchmm.exercises.verify import as_data, closing_line, verify

    found = verify(arguments.id)
    faults = [fault for one in found for fault in one.faults]
    if desk.STUBS.parent.is_dir() and not arguments.id:
        stale = desk.write_stubs(check=True)
        faults += [f"{desk.STUBS.name}/{name} is stale: {LEARN} stubs" for name in stale]
    line = closing_line(found)
    show(arguments, dict(faults=faults, line=line, exercises=as_data(found)), [*faults, line])
    return 1 if faults else 0


def stubs(arguments: argparse.Namespace) -> int:
    """Writes the stubs of the tutorials again."""
    from scratchmm.exercises import desk

    stale = desk.write_stubs(check=arguments.check)
    verb = "stale" if arguments.check else "wrote"
    show(arguments, stale, [f"{verb}: {name}" for name in stale] or ["the stubs are up to date"])
    return 1 if arguments.check and stale else 0
