"""Which mutant is it? Tried where no written wrong answer makes the learner's mistake."""

from __future__ import annotations

import time
from typing import Any

from scratchmm.exercises import robust
from scratchmm.exercises.diagnosis import Match, Seen, agree, look, refuses_less, shows
from scratchmm.exercises.format import BankAnswer, Exercise
from scratchmm.exercises.grading import Grade, Outcome, apply
from scratchmm.exercises.mutants import Mutant, mutants
from scratchmm.exercises.worker import TooLong, interrupted

SECONDS = 1.0  # of the processor's time, for all of them
NEARLY = 2.0  # for all that may be near
EACH = 0.5  # for one, whose loop may have no end
SHOWN = 2

ADVICE = {
    "axis": "write the shape beside each line, and say which axis is meant to be gone",
    "keepdim": "an axis of one place stays where the result is to meet the whole again",
    "exchanged": "say in words what comes first, and why",
    "mask": "True means what the docstring says: try one sample of which you know the answer",
    "factor": "take one number that you can compute by hand, and see by how much it is off",
    "root": "take one number that you can compute by hand, and see by how much it is off",
    "square": "take one number that you can compute by hand, and see by how much it is off",
    "term": "take one number that you can compute by hand, and see by how much it is off",
    "sign": "take one number that you can compute by hand, and see on which side it falls",
    "off by one": "count on your fingers with a length of two or three",
    "first for last": "count on your fingers with a length of two or three",
    "comparison": "ask what happens where both sides are equal",
    "condition": "go through the function once with and once without what the condition asks for",
    "refusal": "the docstring says what is refused",
    "default": "every argument is there to be used",
    "dtype": "print the dtype of what comes in and of what goes out",
    "narrow": "print the dtype of what comes in and of what goes out",
    "in place": "an operator makes a new tensor; +=, add_ and copy_ write into the one handed in",
    "detached": "compute the result from the inputs by torch's operators alone",
    "first sample": "every sample has numbers of its own: try a batch of two that differ",
}
USUAL = "compare that place with the formula in the docstring"


def guess(
    exercise: Exercise,
    graded: Grade,
    candidate: Any,
    *,
    seed: int = 0,
    seconds: float = SECONDS,
    **options: Any,
) -> list[Match]:
    """The mutants that do on every property what the candidate does, at most two of them.

    They pass what it passes, with the same results, and fail what it fails in the same way; only
    a refusal that one of them lacks is a matter of its own. An exception where none is due
    is no evidence, so something else must show the mistake. First each is asked the property that
    failed, which is cheap; only who agrees there is asked the rest. A match is sure where it is the
    only one, explains everything, and there was time to ask them all.
    """
    if exercise.judges or graded.number > len(exercise.properties):
        return []
    began = time.process_time()
    mine = look(exercise, candidate, seed=seed, **options)
    right = look(exercise, exercise.reference, seed=seed)
    if not any(_shown(mine, right, place) for place in range(len(mine.outcomes))):
        return []
    found, whole = list[Mutant](), True
    for mutant in mutants(exercise):
        if time.process_time() - began > seconds:
            whole = False
            break
        theirs = _like(mutant, graded, mine, right, seed)
        if theirs is not None:
            found.append(mutant)
            whole = whole and theirs.passed <= mine.passed
    # Another axis of the same line, say, that on these sizes gives the same, is one match.
    different = [one for one in found if one is _first_there(one, found)]
    sure = whole and len(different) == 1 and robust.applies(exercise)
    return [Match(_as_answer(one), sure) for one in different[:SHOWN]]


def nearest(
    exercise: Exercise,
    graded: Grade,
    candidate: Any,
    *,
    seed: int = 0,
    seconds: float = NEARLY,
    **options: Any,
) -> list[Match]:
    """The written mistake or mutant that does nearly what the candidate does, where none does all of it.

    It passes and fails the same properties and leaves the same traces in four of five of them, and in
    half of those that fail. It is told as perhaps, and only if no other comes as near.
    """
    if exercise.judges or graded.number > len(exercise.properties):
        return []
    began = time.process_time()
    mine = look(exercise, candidate, seed=seed, **options)
    right = look(exercise, exercise.reference, seed=seed)
    found = list[tuple[int, BankAnswer]]()
    known: list[BankAnswer | Mutant] = [*exercise.wrongs, *mutants(exercise)]
    for one in known:
        if time.process_time() - began > seconds:
            return []  # the nearest may not have been asked
        if common := _nearly(exercise, one.answer, mine, right, seed):
            found.append((common, one if isinstance(one, BankAnswer) else _as_answer(one)))
    best = [one for common, one in found if common == max(found, key=lambda x: x[0])[0]]
    return [Match(best[0], False)] if len(best) == 1 else []


def _nearly(exercise: Exercise, answer: Any, mine: Seen, right: Seen, seed: int) -> int:
    """On how many properties an answer agrees with the candidate, or 0 where that are too few."""
    count, failing = len(mine.outcomes), len(mine.outcomes) - len(mine.passed)
    agreed, shown, differing = 0, 0, 0
    try:
        with interrupted(EACH):
            for place, rule in enumerate(exercise.properties):
                theirs = apply(exercise, rule, answer, seed=seed)
                if theirs.passed != mine.outcomes[place].passed:
                    return 0
                same = agree(mine.outcomes[place], theirs)
                agreed, differing = agreed + same, differing + (not same)
                shown += same and _shown(mine, right, place)
                if 5 * differing > count:
                    return 0
    except TooLong:
        return 0
    return agreed if 2 * shown >= failing else 0


def _first_there(one: Mutant, found: list[Mutant]) -> Mutant:
    return next(other for other in found if (other.kind, other.place) == (one.kind, one.place))


def _like(mutant: Mutant, graded: Grade, mine: Seen, right: Seen, seed: int) -> Seen | None:
    """What the properties make of a mutant, where it is what they make of the candidate."""
    exercise, number = mutant.exercise, graded.number - 1
    try:
        with interrupted(EACH):
            answer = mutant.answer
            first = apply(exercise, exercise.properties[number], answer, seed=seed)
            if not _alike(mine.outcomes[number], first):
                return None
            theirs = look(exercise, answer, seed=seed)
    except TooLong:
        return None
    triples = [*zip(mine.outcomes, theirs.outcomes, right.outcomes, strict=True)]
    less = {place for place in mine.passed if refuses_less(theirs, right, place)}
    if all(
        place in less or _alike(one, other) or _unrefused(one, other, good)
        for place, (one, other, good) in enumerate(triples)
    ):
        if any(_shown(mine, right, place) for place in mine.agreed(theirs)):
            return theirs
    return None


def _alike(mine: Outcome, theirs: Outcome) -> bool:
    """The same outcome; or both raise, for what is raised depends on how it is written."""
    failures = (mine.failure, theirs.failure)
    raised = all(one is not None and one.kind == "raised" for one in failures)
    return raised or agree(mine, theirs)


def _unrefused(mine: Outcome, theirs: Outcome, right: Outcome) -> bool:
    """Whether the candidate only fails to refuse what the mutant refuses as it should."""
    due = any(isinstance(one, tuple) and one[:1] == ("raised",) for one in right.trace)
    return due and theirs.passed and not mine.passed


def _shown(mine: Seen, right: Seen, place: int) -> bool:
    return shows(mine.outcomes[place], right.outcomes[place])


def _as_answer(mutant: Mutant) -> BankAnswer:
    return BankAnswer(mutant.name, mutant.sentence, ADVICE.get(mutant.kind, USUAL))
