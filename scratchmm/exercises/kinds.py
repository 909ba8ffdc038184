"""Two other kinds of exercise: write the test, and find the bug.

The learner writes a test `(candidate) -> None` that asserts. It is judged by a bank of right and
wrong answers: it must accept every right one and reject enough of the wrong ones.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scratchmm.exercises.calls import Failed, brief_error
from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.patches import patched_answer

Verdict = tuple[str, Exception | None]


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
        """The bank of another exercise: the library's answer among the right ones, and its slips
        among the wrong ones."""
        rights = {"the library's": exercise.reference}
        rights |= {right.id: right.answer for right in exercise.rights}
        wrongs = {wrong.id: wrong.answer for wrong in exercise.wrongs}
        stories = {wrong.id: wrong.story for wrong in exercise.wrongs}
        for slip in exercise.short:
            wrongs[slip.id] = patched_answer(exercise, slip)
            stories[slip.id] = f"as if {slip.story}"
        return Bank(rights, wrongs, stories)


def judged_by_bank(exercise: Exercise, bank: Callable[[], Bank], *, enough: float = 1.0) -> None:
    """Give an exercise its two properties: accept every right answer, reject enough wrong ones.

    bank: makes the bank when it is needed, so that lessons may refer to each other. enough: the
    share of wrong answers that the learner's test must reject.
    """
    exercise.judges = True

    @exercise.holds("your test accepts every right answer")
    def accepts(test: Callable[[Any], None], case: Case) -> None:
        for name, right in bank().rights.items():
            said, error = verdict(test, right, case)
            if said != "accepts":
                text = f"{type(error).__name__} {brief_error(error or Exception())}".strip()
                got = f"{said} a right answer ({name}): {text}"
                case.called = f"{test.__name__}({name!r})"
                raise Failed("wrong", "no AssertionError", got, cause=error)

    @exercise.holds("your test rejects wrong answers by an AssertionError")
    def rejects(test: Callable[[Any], None], case: Case) -> None:
        given = bank()
        verdicts = {name: verdict(test, wrong, case) for name, wrong in given.wrongs.items()}
        slipped = {name: found for name, found in verdicts.items() if found[0] != "rejects"}
        count, needed = len(verdicts), math.ceil(enough * len(verdicts))
        if count - len(slipped) < needed:
            case.called = f"{test.__name__}({next(iter(slipped))!r})"  # let through, not the last
            got = f"{count - len(slipped)} of {count}; it {told(slipped, given.stories)}"
            error = next((found[1] for found in slipped.values()), None)
            raise Failed("wrong", f"at least {needed} of {count} rejected", got, cause=error)


def told(slipped: Mapping[str, Verdict], stories: Mapping[str, str]) -> str:
    """All wrong answers that got through: the first by its story, the others by their names.

    >>> told({"one": ("accepts", None), "two": ("accepts", None)}, {"one": "it is 1"})
    'lets through: it is 1; and 1 more: two'
    """
    texts = []
    through = [name for name, (said, _) in slipped.items() if said == "accepts"]
    if through:
        first = stories.get(through[0]) or through[0]
        more = f"; and {len(through) - 1} more: {', '.join(through[1:])}" if through[1:] else ""
        texts.append(f"lets through: {first}{more}")
    for name, (said, error) in slipped.items():
        if said != "accepts":
            texts.append(
                f"ends in {type(error).__name__} and not in an AssertionError for {name} "
                f"({brief_error(error or Exception())})"
            )
            break
    return "; it ".join(texts)


def verdict(test: Callable[[Any], None], implementation: Any, case: Case) -> Verdict:
    """What the test says of one answer (accepts, rejects or crashes on), and what it raised.

    An AssertionError rejects, and so does whatever the answer itself raises. The trace gets only
    the verdict: two tests with the same verdicts make the same mistake.
    """
    result, error = case.attempt(test, implementation)
    said = "accepts" if error is None else "rejects" if _due(error) else "crashes on"
    case.trace[-1] = said
    if error is None and result is not None:
        got = f"{result!r}; say what is wrong by an assert"
        raise Failed("wrong", "a test that returns nothing", got)
    return said, error


def _due(error: BaseException) -> bool:
    """Whether an exception is an AssertionError, or comes from the answer that is tested."""
    if isinstance(error, AssertionError):
        return True
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    engine, lessons = str(Path(__file__).parent), str(Path(__file__).parent / "lessons")
    inside = [file for file in files if not file.startswith(engine) or file.startswith(lessons)]
    # The test's own frame comes first; a frame of the library or of a bank is the answer's.
    return any("scratchmm" in file or ", wrong answer " in file for file in inside[1:])
