"""Which mistake was it? Run the wrong answers on the same inputs and look for the same results."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from scratchmm.exercises.compare import number, same
from scratchmm.exercises.format import BankAnswer, Exercise
from scratchmm.exercises.grading import Grade, Outcome, apply


def diagnose(
    exercise: Exercise,
    grade: Grade,
    candidate: Any,
    *,
    seed: int = 0,
    namespace: dict[str, Any] | None = None,
    learner: bool = False,
) -> list[BankAnswer]:
    """The wrong answers that leave the candidate's trace in the property that failed.

    Where several do, those that fail an earlier property, which the candidate passed, are left out
    if others remain, and so are those that agree with it on fewer properties than another does, and
    on none that the other does not. Who agrees on most stands first.
    """
    failed = exercise.properties[grade.number - 1]
    matches = [
        wrong
        for wrong in exercise.wrongs
        if agree(grade.outcome, apply(exercise, failed, wrong.answer, seed=seed))
    ]
    if len(matches) < 2:
        return matches
    others = [rule for rule in exercise.properties if rule is not failed]
    options: dict[str, Any] = dict(seed=seed, namespace=namespace, learner=learner)
    own = [apply(exercise, rule, candidate, **options) for rule in others]
    agreed = {
        wrong.id: {
            number
            for number, (mine, rule) in enumerate(zip(own, others, strict=True), 1)
            if agree(mine, apply(exercise, rule, wrong.answer, seed=seed))
        }
        for wrong in matches
    }
    passed = set(range(1, grade.number))
    matches = [wrong for wrong in matches if passed <= agreed[wrong.id]] or matches
    best = [
        wrong
        for wrong in matches
        if not any(agreed[wrong.id] < agreed[other.id] for other in matches)
    ]
    return sorted(best, key=lambda wrong: -len(agreed[wrong.id]))


def agree(mine: Outcome, theirs: Outcome) -> bool:
    """Both hold, or both fail in the same way after the same results."""
    if mine.passed != theirs.passed or mine.unwritten or theirs.unwritten:
        return False
    if mine.failure is not None and theirs.failure is not None:
        if mine.failure.kind != theirs.failure.kind:
            return False
    return same(mine.trace, theirs.trace)


def transformation(exercise: Exercise, grade: Grade, *, seed: int = 0) -> str:
    """What turns the right answer into the learner's, or '': told only where it fits every number."""
    if grade.outcome.failure is not None and grade.outcome.failure.kind == "detached":
        return (
            "the result is cut off from its inputs (detach, item, data, no_grad, or torch.tensor)"
        )
    rule = exercise.properties[grade.number - 1]
    right = apply(exercise, rule, exercise.reference, seed=seed).trace
    for got, expected in zip(grade.outcome.trace, right, strict=False):
        if not same(got, expected):
            return next((text for text in relations(got, expected)), "")
    return ""


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
    if isinstance(got, float) and isinstance(expected, float):
        got, expected = torch.tensor([got] * 3), torch.tensor([expected] * 3)
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
    if finite.sum() >= 3:
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
