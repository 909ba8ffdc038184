"""What the actions of `learn` print: sentences for people, or data for programs."""

from __future__ import annotations

import argparse
import json
from typing import Any

LEARN = "python -m scratchmm learn"


def show(arguments: argparse.Namespace, data: Any, lines: list[str]) -> None:
    """Prints the data for programs, or the lines for people."""
    print(json.dumps(data, indent=1) if arguments.json else "\n".join(lines), flush=True)
