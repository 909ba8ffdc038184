"""Check one answer: from a learner's file or an object, in a worker with limits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchmm.exercises import catalogue, source
from scratchmm.exercises.diagnosis import Match, diagnose, look, transformation
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.grading import Grade, grade, place_of, quiet, rules
from scratchmm.exercises.learner import CannotRun, answer, isolate, load
from scratchmm.exercises.mutant_guess import guess, nearest
from scratchmm.exercises.report import Report
from scratchmm.exercises.shortcuts import borrowed
from scratchmm.exercises.worker import BROKEN, MEMORY, SECONDS, Ended, limited


def check_file(
    path: Path, exercise: Exercise, *, seconds: float = SECONDS, memory: int = MEMORY
) -> Report:
    """Check the answer to one exercise in a learner's file."""
    began = time.perf_counter()
    ended = limited(_file_job, str(path), exercise.id, seconds=seconds, memory=memory)
    return _finished(exercise, ended, time.perf_counter() - began)


def check_object(candidate: Any, id: str = "") -> Report:
    """Check a function or class that lives in this process, in a notebook say."""
    exercise = catalogue.find(id or getattr(candidate, "__name__", repr(candidate)))
    began = time.perf_counter()
    if hasattr(os, "fork"):
        ended = limited(_object_job, candidate, exercise.id)
    else:  # an object without a file can't be sent to another process: it runs here, unlimited
        ended = Ended(_object_job(candidate, exercise.id, lambda text: None), "", "")
    return _finished(exercise, ended, time.perf_counter() - began)


def _finished(exercise: Exercise, ended: Ended, seconds: float) -> Report:
    report: Report = ended.value
    if ended.reason:
        report = _stopped(exercise, ended)
    report.seconds = seconds
    return report


def _stopped(exercise: Exercise, ended: Ended) -> Report:
    """The report on a check whose process did not come back."""
    if isinstance(ended.said, Report):  # the verdict was there, and its explanation took too long
        return ended.said
    number, _, called = ended.said.partition("|")
    if ended.reason.startswith(BROKEN):
        return Report(exercise.id, "error", note=f"the check {ended.reason}")
    if not number:  # nothing was called yet, so it is the file itself
        return Report(exercise.id, "error", note=f"loading the file {ended.reason}")
    return Report(
        exercise.id,
        "wrong",
        number=int(number),
        total=len(rules(exercise)),
        sentence=rules(exercise)[int(number) - 1].sentence,
        called=called,
        expected="a result",
        got=f"the call {ended.reason}",
    )


def _file_job(path: str, id: str, say: Callable[[Any], None]) -> Report:
    exercise = catalogue.find(id)  # by id, because a process that is spawned can't be sent more
    with quiet():
        try:
            module = load(Path(path))
            candidate = answer(module, exercise)
        except CannotRun as reason:
            return Report(exercise.id, "error", note=str(reason))
        report = judge(exercise, candidate, module.__dict__, path=path, say=say)
    twice = source.duplicates(source.read(Path(path)), exercise.name)
    if twice and report.status != "passed":
        told = f"{exercise.name} is defined {twice}, and the last one counts"
        report.note = "; ".join(text for text in (told, report.note) if text)
    return report


def _object_job(candidate: Any, id: str, say: Callable[[Any], None]) -> Report:
    exercise = catalogue.find(id)
    with quiet():
        space = namespace_of(candidate)
        source = getattr(getattr(candidate, "__code__", None), "co_filename", "")
        return judge(exercise, candidate, space, path=source, say=say)


def namespace_of(candidate: Any) -> dict[str, Any]:
    """The globals of a function's or class's code."""
    members = [candidate, *vars(candidate).values()] if isinstance(candidate, type) else [candidate]
    for member in members:
        if hasattr(member, "__globals__"):
            found: dict[str, Any] = member.__globals__
            return found
    return {}


def judge(
    exercise: Exercise,
    candidate: Any,
    namespace: dict[str, Any],
    *,
    path: str = "",
    say: Callable[[Any], None] = lambda text: None,
) -> Report:
    """Grade a learner's answer and find out what it looks like. Runs in this process."""
    isolate(namespace, exercise, catalogue.lessons()[exercise.lesson])
    if exercise.properties and borrowed(candidate, exercise):
        return _borrowed(exercise)
    options: dict[str, Any] = dict(namespace=namespace, learner=True)
    graded = grade(exercise, candidate, say=say, **options)
    report = Report(
        exercise.id, graded.status, graded.number, len(rules(exercise)), seconds=graded.seconds
    )
    if graded.status == "unwritten":
        report.note = graded.outcome.unwritten.partition(": ")[2]
    if graded.status == "wrong":
        _explain(report, exercise, graded)
        failure = graded.outcome.failure
        report.note = place_of(failure.cause if failure else None, path)
        if failure is not None and failure.kind not in ("memory", "shortcut"):
            say(report)  # should the diagnosis not come back
            _compare(report, exercise, graded, candidate, options)
    return report


def _borrowed(exercise: Exercise) -> Report:
    """The report on an answer that is the library's own: mostly an import that was left behind."""
    origin, _, name = exercise.target.partition(":")
    return Report(
        exercise.id,
        "wrong",
        1,
        len(rules(exercise)),
        sentence="the answer is your own code",
        expected=f"a {name} that you have written",
        got=f"the library's own {name}: does your file import it from {origin}?",
    )


def _compare(
    report: Report, exercise: Exercise, graded: Grade, candidate: Any, options: dict[str, Any]
) -> None:
    """What it looks like: one of the bank, what the failure itself says, a mutant of the library's
    answer, what is near to one of these, or a transformation of its result."""
    failure = graded.outcome.failure
    report.looks_like = [*map(_told, diagnose(exercise, graded, candidate, **options))]
    if not report.looks_like:
        report.looks_like = _told_by_a_failure(exercise, graded, candidate, options)
    if not report.looks_like and (failure is None or failure.kind != "detached"):
        report.looks_like = [*map(_told, guess(exercise, graded, candidate, **options))]
    if not report.looks_like:
        report.looks_like = [*map(_told, nearest(exercise, graded, candidate, **options))]
    if not report.looks_like:
        report.relation = transformation(exercise, graded, candidate, **options)


def _told_by_a_failure(
    exercise: Exercise, graded: Grade, candidate: Any, options: dict[str, Any]
) -> list[dict[str, Any]]:
    """The story of the failure itself, or that an argument is overwritten, whichever property shows
    it: one that compares with the overwritten argument may fail first."""
    failures = [graded.outcome.failure]
    if graded.number <= len(exercise.properties):
        failures += [one.failure for one in look(exercise, candidate, **options).outcomes]
    for place, failure in enumerate(failures):
        if failure is not None and failure.story and (place == 0 or failure.kind == "changed"):
            found = dict(id=failure.kind, story=failure.story, advice=failure.advice)
            return [found | dict(convention=False, sure=False)]
    return []


def _told(match: Match) -> dict[str, Any]:
    wrong = match.answer
    told = dict(id=wrong.id, story=wrong.story, advice=wrong.advice)
    return told | dict(convention=wrong.convention, sure=match.sure)


def _explain(report: Report, exercise: Exercise, graded: Grade) -> None:
    failure = graded.outcome.failure
    report.sentence = rules(exercise)[graded.number - 1].sentence
    report.called = graded.outcome.called
    report.held = [rule.sentence for rule in exercise.properties[: graded.number - 1]]
    if failure is not None:
        report.sentence = failure.sentence or report.sentence
        report.expected, report.got, report.where = failure.expected, failure.got, failure.where
