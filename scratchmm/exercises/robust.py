"""What every exercise asks besides its properties: the same calls, made in another way.

One sample alone, the same call twice, other numbers of the same shape, memory in another order,
another dtype, the meta device, moved parameters, a second instance. The calls are those of the
exercise's own properties. Each is asked only where the library's answer does it right, and numbers
are compared only where the candidate gave the library's for the call itself; so nothing is demanded
that the library doesn't do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from typing import Any

from torch import nn

from scratchmm.exercises.calls import Failed
from scratchmm.exercises.case import Case
from scratchmm.exercises.compare import same
from scratchmm.exercises.format import Exercise, Property
from scratchmm.exercises.recorder import Call, record
from scratchmm.exercises.ways import WAYS, Way

SENTENCE = "the same calls hold when made in another way, and change nothing around them"
MOST = 64  # how much is made again: a call counts as many as the modules that it runs through
LEFT_ALONE = (
    "what stands outside of the call stays as it was: its arguments, modules and generators"
)


def rule(exercise: Exercise) -> Property:
    """The property that every exercise gets beside its own."""
    return Property(SENTENCE, partial(holds, exercise))


def applies(exercise: Exercise) -> bool:
    """Whether the exercise is about a function of the library; tests that were written are not."""
    return not exercise.judges


def holds(exercise: Exercise, candidate: Any, case: Case) -> None:
    """The property itself. Raises Failed with the call, the way it was made, and what came."""
    with silence():  # what the learner prints has been seen once
        wanted = reference_calls(exercise, case.seed)
        calls = record(exercise, candidate, case)
    pairs = [*_pairs(calls, wanted)]
    for mine, theirs in pairs:
        _left_alone(mine, theirs, case)
    with silence():
        for mine, theirs in _first_of_each_kind(pairs):
            agreed = same(mine.ran, theirs.ran)
            for way in WAYS:
                if right := _right(exercise, way, theirs, wanted, case.seed):
                    _make(way, mine, calls, right, agreed, case)


@contextmanager
def silence() -> Iterator[None]:
    """Nothing is printed, and nothing warned of."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        yield


def _make(
    way: Way, mine: Call, calls: list[Call], right: dict[str, Any], agreed: bool, case: Case
) -> None:
    """Make a call in one way, under the case's guard, and compare."""
    case.say(f"{mine.told}, {way.told.format('other sizes')}")
    for label, got in way.make(mine, calls, case):
        if label in right and (found := way.compare(mine, got, right[label], agreed)):
            case.called = f"{mine.told}, {way.told.format(label)}"
            case.trace.append(found)
            failed = Failed(f"way {way.id}", *found, cause=getattr(got, "error", None))
            failed.sentence, failed.story, failed.advice = way.sentence, way.story, way.advice
            raise failed


def reference_calls(exercise: Exercise, seed: int) -> list[Call]:
    """The calls of the library's own answer, recorded once."""
    kept: dict[Any, Any] = exercise.__dict__.setdefault("_ways", {})
    if seed not in kept:
        kept.clear()  # one seed at a time
        kept[seed] = record(exercise, exercise.reference, Case(seed, exercise.id))
    found: list[Call] = kept[seed]
    return found


def _right(
    exercise: Exercise, way: Way, theirs: Call, calls: list[Call], seed: int
) -> dict[str, Any]:
    """What the library's answer gives, where it does it right; kept for the next candidate."""
    kept, key = exercise.__dict__["_ways"], (id(theirs), way.id)
    if key not in kept:
        made = way.make(theirs, calls, Case(seed, exercise.id))
        kept[key] = {label: got for label, got in made if way.sound(theirs, got)}
    found: dict[str, Any] = kept[key]
    return found


def _pairs(calls: list[Call], wanted: list[Call]) -> Iterator[tuple[Call, Call]]:
    """The candidate's calls beside the library's: those of one property in their order."""
    for number in {call.rule for call in wanted}:
        mine = [call for call in calls if call.rule == number]
        theirs = [call for call in wanted if call.rule == number]
        for one, other in zip(mine, theirs, strict=False):
            if one.builds == other.builds and one.name == other.name:
                yield one, other


def _first_of_each_kind(pairs: list[tuple[Call, Call]]) -> list[tuple[Call, Call]]:
    kinds: dict[Any, tuple[Call, Call]] = {}
    for mine, theirs in pairs:
        if not (mine.raised or theirs.raised):
            kinds.setdefault(theirs.kind, (mine, theirs))
    room, found = MOST, list[tuple[Call, Call]]()
    for pair in sorted(kinds.values(), key=lambda pair: pair[1].builds):
        owner = pair[1].owner
        room -= max(6, len([*owner.modules()])) if isinstance(owner, nn.Module) else 6
        if room >= 0 or not found:
            found.append(pair)
    return found


def _left_alone(mine: Call, theirs: Call, case: Case) -> None:
    """What the call has changed around itself, and the library's has not."""
    for what, before, after in [] if theirs.changes else mine.changes[:1]:
        case.called = mine.told
        case.trace.append((what, before, after))
        failed = Failed("changed", f"{what} stays {before}", after, subject=what)
        failed.sentence = LEFT_ALONE
        raise failed
