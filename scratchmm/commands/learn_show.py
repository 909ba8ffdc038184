"""The output of the actions of `learn`: lines of text, or JSON."""

from __future__ import annotations

import argparse
import json
from typing import Any

LEARN = "python -m scratchmm learn"


def show(arguments: argparse.Namespace, data: Any, lines: list[str]) -> None:
    """Prints the data as JSON (--json), or the lines as text."""
    print(json.dumps(data, indent=1) if arguments.json else "\n".join(lines), flush=True)
