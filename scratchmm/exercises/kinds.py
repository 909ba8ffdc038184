"""Two other kinds of exercise: write the test, and find the bug.

The learner writes a test `(candidate) -> None` that asserts. It is judged by a bank of right and
wrong answers: it must accept every right one and reject enough of the wrong ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scratchmm.exercises.calls import Failed, brief_error
from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise


@dataclass(frozen=True)
class Bank:
    """Right and wrong answers by name. stories: what a wrong one does, for the message.

    >>> Bank(rights={"abs": abs}, wrongs={"identity": lambda x: x}).stories
    {}
    """

    rights: Mapping[str, Any]
    wrongs: Mapping[str, Any]
    stories: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(exercise: Exercise) -> Bank:
        """The bank of another exercise, with the library's answer among the right ones."""
        rights = {"the library's": exercise.reference}
        rights |= {right.id: right.answer for right in exercise.rights}
        wrongs = {wrong.id: wrong.answer for wrong in exercise.wrongs}
        return Bank(rights, wrongs, {wrong.id: wrong.story for wrong in exercise.wrongs})


def judged_by_bank(exercise: Exercise, bank: Callable[[], Bank], *, enough: float = 1.0) -> None:
    """Give an exercise its two properties: accept every right answer, reject enough wrong ones.

    bank: makes the bank when it is needed, so that lessons may refer to each other. enough: the
    share of wrong answers that the learner's test must reject.
    """
    exercise.judges = True

    @exercise.holds("your test accepts every right answer")
    def accepts(test: Callable[[Any], None], case: Case) -> None:
        for name, right in bank().rights.items():
            error = verdict(test, right, case)
            if error is not None:
                text = f"{type(error).__name__} {brief_error(error)}".strip()
                got = f"rejects a right answer ({name}): {text}"
                case.called = f"{test.__name__}({name!r})"
                raise Failed("wrong", "no AssertionError", got, cause=error)

    @exercise.holds("your test rejects wrong answers by an AssertionError")
    def rejects(test: Callable[[Any], None], case: Case) -> None:
        given = bank()
        slipped = [
            name for name, wrong in given.wrongs.items() if verdict(test, wrong, case) is None
        ]
        count, needed = len(given.wrongs), math.ceil(enough * len(given.wrongs))
        if count - len(slipped) < needed:
            told = given.stories.get(slipped[0]) or slipped[0]
            case.called = f"{test.__name__}({slipped[0]!r})"  # the one let through, not the last
            got = f"{count - len(slipped)} of {count}; it lets through: {told}"
            raise Failed("wrong", f"at least {needed} of {count} rejected", got)


def verdict(test: Callable[[Any], None], implementation: Any, case: Case) -> Exception | None:
    """What the test says of one answer: None where it accepts it. What it raises is its reason.

    The trace gets only the verdict: two tests with the same verdicts make the same mistake.
    """
    result, error = case.attempt(test, implementation)
    case.trace[-1] = "accepts" if error is None else "rejects"
    if error is None and result is not None:
        got = f"{result!r}; say what is wrong by an assert"
        raise Failed("wrong", "a test that returns nothing", got)
    return error
