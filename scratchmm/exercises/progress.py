"""What a learner has passed, by id, in a small file in their folder: `progress.json`."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from scratchmm.exercises import catalogue, source
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.learner import check_fingerprint, fingerprint
from scratchmm.files import atomic_write, read_json

FILE = "progress.json"


class Progress:
    """The progress of one folder. Ids that no longer exist are kept and ignored.

    >>> Progress(Path("no/such/folder")).passed
    {}
    """

    def __init__(self, folder: Path) -> None:
        """Raises ValueError where the file is there and can't be read; it is left as it is."""
        self.folder = folder
        self.passed: dict[str, dict[str, str]] = {}
        self.hints: dict[str, int] = {}
        path = folder / FILE
        if not path.exists():
            return
        try:
            data: Any = read_json(path)
            self.passed = {str(id): dict(entry) for id, entry in data["passed"].items()}
            self.hints = {str(id): int(level) for id, level in data.get("hints", {}).items()}
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            raise ValueError(
                f"{path} can't be read as progress ({type(error).__name__}); "
                "mend it, or move it away to begin anew"
            ) from None

    def save(self) -> None:
        """Write the file whole or not at all."""
        text = json.dumps(dict(format=1, passed=self.passed, hints=self.hints), indent=1)
        atomic_write(self.folder / FILE, text + "\n")

    def mark(self, exercise: Exercise) -> None:
        """Remember that the code that stands in the file now has passed today's check."""
        self.passed[exercise.id] = dict(
            code=self._code(exercise),
            check=check_fingerprint(exercise),
            when=date.today().isoformat(),
        )
        self.save()

    def state(self, exercise: Exercise) -> str:
        """open, passed, edited (the code is another since) or stale (the check is another since)."""
        entry = self.passed.get(exercise.id)
        if entry is None:
            return "open"
        if entry.get("check") != check_fingerprint(exercise):
            return "stale"
        return "passed" if entry.get("code") == self._code(exercise) else "edited"

    def hint(self, exercise: Exercise, level: int | None) -> int:
        """The level to show now: the one asked for, or one more than last time."""
        if level is None:
            level = min(self.hints.get(exercise.id, 0) + 1, len(exercise.hints))
        if self.folder.is_dir():
            self.hints[exercise.id] = level
            self.save()
        return level

    def _code(self, exercise: Exercise) -> str:
        path = self.folder / f"{exercise.lesson}.py"
        try:
            text = source.read(path)
        except (OSError, ValueError):
            return ""
        return fingerprint(text, exercise, catalogue.lessons()[exercise.lesson])
