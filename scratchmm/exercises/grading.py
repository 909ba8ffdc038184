"""Run an exercise's properties on a candidate, in this process, and tell what came out."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from scratchmm.exercises import robust
from scratchmm.exercises.calls import Failed, NotWritten
from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise, Property
from scratchmm.exercises.shortcuts import forbidding

STATUSES = ("passed", "wrong", "unwritten", "error")  # the exit status is the place in this list


@dataclass
class Outcome:
    """What one property made of one candidate."""

    failure: Failed | None = None
    unwritten: str = ""
    called: str = ""
    trace: list[Any] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the property holds."""
        return self.failure is None and not self.unwritten


@dataclass
class Grade:
    """What the check made of one candidate; `number` counts properties from 1."""

    status: str
    number: int = 0
    outcome: Outcome = field(default_factory=Outcome)
    seconds: float = 0.0


def apply(
    exercise: Exercise,
    rule: Property,
    candidate: Any,
    *,
    seed: int = 0,
    namespace: dict[str, Any] | None = None,
    learner: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Apply one property to a candidate.

    namespace: the globals of the candidate's code, where aliases of forbidden names are looked for.
    learner: whether the library's own solution is forbidden too.
    """
    names = list(exercise.forbidden) + (solution_names(exercise) if learner else [])
    space = namespace if namespace is not None else {}

    def guard() -> AbstractContextManager[None]:
        return forbidding(
            names, space, whoever=not exercise.judges
        )  # a test is handed the library's

    case = Case(seed, exercise.id, guard=guard, say=say)
    failure, unwritten = None, ""
    try:
        rule.function(candidate, case)
    except NotWritten as stub:
        unwritten = str(stub)
    except Failed as failed:
        failure = failed
    except Exception as error:  # noqa: BLE001 (the property could not use what came back)
        got = f"{type(error).__name__}: {str(error).strip()[:160]}"
        failure = Failed("wrong", "a result as the docstring describes it", got, cause=error)
    return Outcome(failure, unwritten, case.called, case.trace)


def solution_names(exercise: Exercise) -> list[str]:
    """The dotted names under which the library holds the solution.

    >>> demo = Exercise("d.f", "d:f", "", "", 1, 1, "", ("", "", "", ""), methods={"run": ""})
    >>> solution_names(demo)
    ['d.f.run']
    """
    module, name = exercise.target.split(":")
    parts = [f"{module}.{part}" for part in exercise.parts]
    if not exercise.methods:
        return [f"{module}.{name}", *parts]
    return [*(f"{module}.{name}.{method}" for method in exercise.methods), *parts]


def grade(
    exercise: Exercise,
    candidate: Any,
    *,
    seed: int = 0,
    namespace: dict[str, Any] | None = None,
    learner: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Grade:
    """Apply the properties in order, up to the first that does not hold."""
    began = time.perf_counter()
    asked = rules(exercise)
    for number, rule in enumerate(asked, 1):
        options: dict[str, Any] = dict(seed=seed, namespace=namespace, learner=learner)
        options["say"] = lambda text, number=number: say(f"{number}|{text}")
        outcome = apply(exercise, rule, candidate, **options)
        if not outcome.passed:
            status = "unwritten" if outcome.unwritten else "wrong"
            return Grade(status, number, outcome, time.perf_counter() - began)
    return Grade("passed", len(asked), seconds=time.perf_counter() - began)


def rules(exercise: Exercise) -> list[Property]:
    """The exercise's properties, and the one that every exercise about the library gets."""
    more = [robust.rule(exercise)] if exercise.properties and robust.applies(exercise) else []
    return [*exercise.properties, *more]


def place_of(error: BaseException | None, path: str) -> str:
    """Where in the learner's file an exception came from: 'line 12: `x = 1 / 0`', or ''."""
    if error is None:
        return ""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    return f"line {frames[-1].lineno}: `{frames[-1].line}`" if frames else ""


@contextmanager
def quiet() -> Iterator[None]:
    """What the learner's code prints goes to stderr, so that --json stays readable.

    Also what is written to file descriptor 1, past Python: by os.write, or by another program.
    """
    before, sys.stdout = sys.stdout, sys.stderr
    before.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # a descriptor is closed
        kept = -1
    try:
        yield
    finally:
        sys.stdout = before
        if kept >= 0:
            os.dup2(kept, 1)
            os.close(kept)
