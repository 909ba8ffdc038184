"""Which mistake was it? Run the wrong answers on the same inputs and look for the same results."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scratchmm.exercises import robust
from scratchmm.exercises.compare import number, same
from scratchmm.exercises.format import BankAnswer, Exercise, Property
from scratchmm.exercises.grading import Grade, Outcome, apply, rules


@dataclass(frozen=True)
class Match:
    """A wrong answer that the candidate looks like. sure: whether it explains all that was seen."""

    answer: BankAnswer
    sure: bool

    @property
    def id(self) -> str:
        """The wrong answer's id."""
        return self.answer.id


@dataclass(frozen=True)
class Seen:
    """What all of the exercise's properties made of one answer, in their order."""

    outcomes: list[Outcome]

    @property
    def passed(self) -> set[int]:
        """The places of the properties that hold."""
        return {place for place, one in enumerate(self.outcomes) if one.passed}

    def agreed(self, other: Seen) -> set[int]:
        """The places where both came to the same."""
        both = zip(self.outcomes, other.outcomes, strict=True)
        return {place for place, (one, two) in enumerate(both) if agree(one, two)}


def look(exercise: Exercise, answer: Any, **options: Any) -> Seen:
    """Apply the exercise's own properties to an answer, all of them."""
    return Seen([apply(exercise, rule, answer, **options) for rule in exercise.properties])


def diagnose(
    exercise: Exercise, grade: Grade, candidate: Any, *, seed: int = 0, **options: Any
) -> list[Match]:
    """The wrong answers that leave the candidate's trace in the property that failed.

    Each must hold wherever the candidate does, for its mistake would have shown there, and before
    the property that failed also give the same results. That it refuses less is another matter.
    An exception alone is no evidence, for many mistakes end in the same one. A match is sure where
    it agrees on all properties and nothing else does. Who agrees on most stands first.
    """
    failed = rules(exercise)[grade.number - 1]
    matches = [
        wrong
        for wrong in exercise.wrongs
        if agree(grade.outcome, apply(exercise, failed, wrong.answer, seed=seed))
    ]
    if not matches:
        return []
    mine = look(exercise, candidate, seed=seed, **options)
    right = look(exercise, exercise.reference, seed=seed)
    agreed: dict[str, set[int]] = {}
    for wrong in matches:
        theirs = look(exercise, wrong.answer, seed=seed)
        common = mine.agreed(theirs)
        shown = any(shows(mine.outcomes[place], right.outcomes[place]) for place in common)
        holds = mine.passed - {place for place in mine.passed if refuses_less(theirs, right, place)}
        before = {place for place in holds if place < grade.number}
        if (
            before <= common
            and holds <= theirs.passed
            and (shown or grade.number > len(exercise.properties))
        ):
            agreed[wrong.id] = common | (mine.passed - holds)
    best = [
        wrong
        for wrong in matches
        if wrong.id in agreed and not any(agreed[wrong.id] < other for other in agreed.values())
    ]
    best.sort(key=lambda wrong: -len(agreed[wrong.id]))
    alone = len({wrong.twin or wrong.id for wrong in best}) == 1 and robust.applies(exercise)
    return [Match(one, alone and len(agreed[one.id]) == len(mine.outcomes)) for one in best]


def refuses_less(theirs: Seen, right: Seen, place: int) -> bool:
    """Whether an answer fails a property there because it accepts what is to be refused: many a
    mistake takes the line with it that would have refused, and a learner refuses all the same."""
    both = zip(theirs.outcomes[place].trace, right.outcomes[place].trace, strict=False)
    first = next((wanted for got, wanted in both if not same(got, wanted)), None)
    return not theirs.outcomes[place].passed and first is not None and _raised(first)


def agree(mine: Outcome, theirs: Outcome) -> bool:
    """Both hold, or both fail in the same way after the same results."""
    if mine.passed != theirs.passed or mine.unwritten or theirs.unwritten:
        return False
    if mine.failure is not None and theirs.failure is not None:
        failures = (mine.failure, theirs.failure)
        if len({(one.kind, one.subject) for one in failures}) > 1:
            return False
    return same(mine.trace, theirs.trace)


def shows(mine: Outcome, right: Outcome) -> bool:
    """Whether an outcome shows a mistake by a value, and not by an exception where none is due."""
    if mine.passed:
        return False
    if mine.failure is not None and mine.failure.kind in ("changed", "detached"):
        return True
    if mine.failure is not None and mine.failure.kind == "wrong" and mine.failure.cause is None:
        if not any(_raised(got) for got in mine.trace):
            return True  # a demand on something that the trace does not hold
    pairs = zip(mine.trace, right.trace, strict=False)
    return any(
        not same(got, wanted) and (not _raised(got) or _raised(wanted)) for got, wanted in pairs
    )


def only_raises(mine: Seen, right: Seen) -> bool:
    """Whether what fails does so by an exception where the right answer raises none, and all else
    came out right."""
    failing = [
        (one, other)
        for one, other in zip(mine.outcomes, right.outcomes, strict=True)
        if not one.passed
    ]
    return bool(failing) and all(
        one.failure is not None and one.failure.kind == "raised" and not shows(one, other)
        for one, other in failing
    )


def _raised(entry: Any) -> bool:
    return isinstance(entry, tuple) and bool(entry) and isinstance(entry[0], str) and (
        entry[0] == "raised"
    )  # fmt: skip


def transformation(
    exercise: Exercise, grade: Grade, candidate: Any, *, seed: int = 0, **options: Any
) -> str:
    """What turns the right answer into the learner's, or '': told only where it fits every number of
    every property that fails."""
    if grade.outcome.failure is not None and grade.outcome.failure.kind == "detached":
        return (
            "the result is cut off from its inputs (detach, item, data, no_grad, or torch.tensor)"
        )
    if not _relation(exercise, rules(exercise)[grade.number - 1], grade.outcome, seed):
        return ""
    fitting: list[list[str]] = []
    mine = look(exercise, candidate, seed=seed, **options)
    for rule, outcome in zip(exercise.properties, mine.outcomes, strict=True):
        if not outcome.passed and (found := _relation(exercise, rule, outcome, seed)) is not None:
            fitting.append(found)
    return next((text for text in fitting[0] if all(text in one for one in fitting)), "")


def _relation(exercise: Exercise, rule: Property, mine: Outcome, seed: int) -> list[str] | None:
    """Relations of the first result that differs; None where it can't have any."""
    right = apply(exercise, rule, exercise.reference, seed=seed).trace
    for got, expected in zip(mine.trace, right, strict=False):
        if not same(got, expected):
            small = isinstance(expected, Tensor) and expected.numel() < 3
            return None if small or _raised(got) else relations(got, expected)
    return None


def relations(got: Any, expected: Any) -> list[str]:
    """Simple relations that make `got` of `expected`, each a clause.

    >>> relations(torch.tensor([2.0, 4.0, 8.0, 6.0]), torch.tensor([1.0, 2.0, 4.0, 3.0]))
    ['the right answer times 2']
    """
    if isinstance(got, (tuple, list)) and isinstance(expected, (tuple, list)):
        if len(got) == len(expected) and len(got) > 1:
            if same(list(got), list(expected)[::-1]):
                return ["the right results in the opposite order"]
            if all(isinstance(x, Tensor) for x in [*got, *expected]):
                pairs = zip(got, expected, strict=True)
                return next((relations(g, e) for g, e in pairs if not same(g, e)), [])
        return []
    if not (isinstance(got, Tensor) and isinstance(expected, Tensor)):
        return []
    if got.dtype == torch.bool and same(got, ~expected if expected.dtype == torch.bool else None):
        return ["the right answer with True and False exchanged"]
    if expected.numel() < 3 or bool((expected == 0).all()):
        return []
    return [*_same_shape(got, expected), *_other_layout(got, expected)]


def _same_shape(got: Tensor, expected: Tensor) -> list[str]:
    if got.shape != expected.shape:
        return []
    if got.dtype != expected.dtype:
        close = same(got.double(), expected.double(), 1e-3)
        return [f"the right numbers as {got.dtype} instead of {expected.dtype}"] if close else []
    if not got.is_floating_point():
        return _moved(got, expected)
    if same(got, -expected):
        return ["the right answer with the opposite sign"]
    finite = torch.isfinite(expected) & torch.isfinite(got) & (expected != 0)
    if len(expected[finite].unique()) >= 3:  # a single number is always another one times something
        factor = float((got[finite] / expected[finite]).median())
        if math.isfinite(factor) and factor and same(got, expected * factor):
            return [f"the right answer times {number(factor)}"]
        offset = float((got[finite] - expected[finite]).median())
        if same(got, expected + offset):
            return [f"the right answer plus {number(offset)}"]
    return _moved(got, expected)


def _moved(got: Tensor, expected: Tensor) -> list[str]:
    found = []
    for axis in range(got.dim()):
        size = got.shape[axis]
        if size < 2:
            continue
        if same(got.narrow(axis, 1, size - 1), expected.narrow(axis, 0, size - 1)):
            found.append(f"the right answer shifted by one along axis {axis}")
        elif same(got.narrow(axis, 0, size - 1), expected.narrow(axis, 1, size - 1)):
            found.append(f"the right answer shifted by minus one along axis {axis}")
        elif same(got, expected.flip(axis)):
            found.append(f"the right answer reversed along axis {axis}")
    return found


def _other_layout(got: Tensor, expected: Tensor) -> list[str]:
    if got.numel() != expected.numel() or got.dtype != expected.dtype:
        return []
    if expected.dim() <= 5:
        for order in itertools.permutations(range(expected.dim())):
            if order != tuple(range(expected.dim())) and same(got, expected.permute(order)):
                return [f"the right answer with its axes in the order {order}"]
    if got.shape != expected.shape and same(got.reshape(-1), expected.reshape(-1)):
        return ["the right numbers in another shape"]
    return []
