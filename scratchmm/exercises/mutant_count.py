"""`learn verify --mutants`: how many mutants each check rejects, and which it accepts."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from typing import Any

from scratchmm.exercises import catalogue
from scratchmm.exercises.grading import grade, quiet
from scratchmm.exercises.mutant_equal import reason, unused
from scratchmm.exercises.mutants import MET, Mutant, acts, mutants
from scratchmm.exercises.worker import TooLong, interrupted, limited, warm

ENOUGH = 0.98  # of all exercises' mutants: .995 are; a few depend on the machine
SECONDS = 600.0  # an exercise
PATIENCE = 2.0  # a mutant, whose loop may have no end


@dataclass
class Count:
    """What became of the mutants of one exercise.

    equal: accepted, and declared to be the right answer in other words (mutant_equal.py). accepted:
    all others that the check lets through.
    """

    id: str
    made: int = 0
    rejected: int = 0
    equal: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A line with the figures, and one for each mutant that is let through, or may be."""
        asked = self.made - len(self.equal)
        told = f"mutants {self.rejected}/{asked} rejected, {len(self.equal)} more declared equal"
        head = f"{self.id}: {told} ({self.seconds:.1f} s)"
        found = [f"  accepted  {name}" for name in self.accepted]
        found += [f"  equal     {name} ({reason(self.id, name)})" for name in self.equal]
        return [head, *found]


def count(ids: Sequence[str] = (), workers: int = 2) -> list[Count]:
    """Count the mutants of these exercises, or of all, a few at a time.

    Tests that learners write have none and are left out.
    """
    wanted = [one.id for one in catalogue.chosen(ids) if not one.judges]
    warm()
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        return [*pool.map(count_one, wanted)]


def count_one(id: str) -> Count:
    """The mutants of one exercise, in a process of its own."""
    ended = limited(_job, id, seconds=SECONDS, memory=4 << 30)
    if ended.reason:
        return Count(id, faults=[f"{id}: the mutants {ended.reason} (last: {ended.said})"])
    found: Count = ended.value
    return found


def _job(id: str, say: Callable[[str], None]) -> Count:
    exercise, found = catalogue.find(id), Count(id)
    began = time.process_time()
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of operators that a mutant misuses
        for mutant in mutants(exercise):
            say(mutant.name)
            MET.clear()
            no = rejected(mutant)
            if mutant.kind == "slip" and (unknown := unknown_name(mutant)):
                found.faults.append(f"{id}: the {mutant.name}, in which {unknown}")
            if not no and not acts(mutant):
                continue
            found.made += 1
            found.rejected += no
            if not no:
                (found.equal if reason(id, mutant.name) else found.accepted).append(mutant.name)
                if mutant.kind == "slip":
                    found.faults.append(f"{id}: the check accepts the {mutant.name}")
    for piece in unused(id, found.equal):
        found.faults.append(f"{id}: no mutant that the check accepts is called {piece!r}")
    found.seconds = time.process_time() - began
    return found


def rejected(mutant: Mutant) -> bool:
    """Whether the check that learners get says no; a mutant that does not end is no right answer."""
    try:
        with interrupted(PATIENCE):
            return grade(mutant.exercise, mutant.answer).status != "passed"
    except TooLong:
        return True


def unknown_name(mutant: Mutant) -> str:
    """What Python says of a name that the library's module has not: a slip of the slip itself, which
    any check rejects. '' where there is none."""
    try:
        with interrupted(PATIENCE):
            failure = grade(mutant.exercise, mutant.answer).outcome.failure
    except TooLong:
        return ""
    cause = failure.cause if failure is not None else None
    return str(cause) if isinstance(cause, NameError) else ""


def faults(found: Sequence[Count], whole: bool) -> list[str]:
    """What must be mended, in sentences. whole: all exercises were counted, so that their share of
    rejected mutants must be `ENOUGH`."""
    told = [fault for one in found for fault in one.faults]
    if whole and share(found) < ENOUGH:
        told.append(f"{share(found):.1%} of the mutants are rejected, not {ENOUGH:.1%}")
    return told


def share(found: Sequence[Count]) -> float:
    """The share of mutants that are rejected, of those that are not declared equal."""
    asked = sum(one.made - len(one.equal) for one in found)
    return sum(one.rejected for one in found) / max(asked, 1)


def closing_line(found: Sequence[Count]) -> str:
    """The one line at the end; what is declared equal counts on neither side."""
    if not found:
        return "no mutants: tests that learners write have none"
    rejected = sum(one.rejected for one in found)
    asked = sum(one.made - len(one.equal) for one in found)
    equal = sum(len(one.equal) for one in found)
    part = f"{100 * share(found):.1f} %"
    return f"mutants {rejected}/{asked} rejected ({part}), {equal} more declared equal"


def as_data(found: Sequence[Count]) -> list[dict[str, Any]]:
    """For --json."""
    return [asdict(one) for one in found]
