"""`learn verify`: the checks are checked. Every claim the exercises make is tried out.

References pass on 20 seeds; stubs are not written yet; solutions in a learner's file pass, and fail
with a raise in them; wrong answers are rejected and named; other right answers pass; every property
rejects something; limits hold.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from scratchmm.exercises import catalogue
from scratchmm.exercises.checking import check_file
from scratchmm.exercises.diagnosis import diagnose, look, only_raises, shows
from scratchmm.exercises.format import BankAnswer, Exercise, Property
from scratchmm.exercises.grading import Grade, apply, grade
from scratchmm.exercises.mutants import mutants
from scratchmm.exercises.stubs import definition, stub_file
from scratchmm.exercises.worker import TooLong, interrupted, limited, warm

SEEDS = 20
BANK_SECONDS = 120.0
PATIENCE = 20.0  # more than a check gets: the machine may be busy with other exercises
MUTANT_SECONDS = 2.0  # its loop may have no end
FEWEST_WRONGS, MOST_WRONGS, FEWEST_RIGHTS = 6, 15, 2


@dataclass
class Findings:
    """What verify found about one exercise. faults: sentences; empty if all is well."""

    id: str
    reference: bool = False
    stub: bool = False
    wrongs: int = 0
    rejected: int = 0
    diagnosed: int = 0
    nameless: int = 0  # of the wrong answers: those that need no name, for they only raise
    rights: int = 0
    accepted: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Note a fault."""
        self.faults.append(f"{self.id}: {text}")


def verify(ids: Sequence[str] = (), workers: int = 2) -> list[Findings]:
    """Verify these exercises, or all, a few at a time."""
    wanted = [catalogue.find(id).id for id in ids] or [*catalogue.exercises()]
    warm()
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        found = [*pool.map(verify_one, wanted), *pool.map(verify_limits, wanted[:1])]
    return found


def verify_one(id: str) -> Findings:
    """Everything about one exercise, except the limits."""
    exercise = catalogue.find(id)
    ended = limited(_bank_job, id, seconds=BANK_SECONDS, memory=4 << 30)
    findings: Findings = ended.value or Findings(id)
    if ended.reason:
        findings.fault(f"the bank {ended.reason} (last: {ended.said})")
        return findings
    _metadata(exercise, findings)
    try:
        _learner_files(exercise, findings)
    except ValueError as error:
        findings.fault(str(error))
    return findings


def _bank_job(id: str, say: Callable[[str], None]) -> Findings:
    exercise, findings = catalogue.find(id), Findings(id)
    bank = [*exercise.wrongs, *exercise.disguises]
    if not _all_made(exercise, bank, findings):
        return findings
    try:
        say("the library's own answer")
        findings.reference = all(
            _passes(exercise, exercise.reference, s, findings) for s in range(SEEDS)
        )
        for right in exercise.rights:
            say(f"the right answer {right.id}")
            findings.rights += 1
            findings.accepted += all(
                _passes(exercise, right.answer, s, findings, right.id) for s in range(3)
            )
        failures = [_rejected(exercise, wrong, findings, say) for wrong in bank]
        say("the diagnosis")
        for wrong, graded in zip(bank, failures, strict=True):
            if graded is not None:
                _diagnosed(exercise, wrong, graded, findings)
        _idle(exercise, findings)
    except ValueError as error:
        findings.fault(str(error))
    return findings


def _all_made(exercise: Exercise, bank: Sequence[BankAnswer], findings: Findings) -> bool:
    """Whether every patch and slip fits the library's source and compiles; the others are faults."""
    for wrong in bank:
        try:
            _ = wrong.answer
        except ValueError as error:
            findings.faults.append(str(error))
    try:
        mutants(exercise)
    except ValueError as error:
        findings.faults.append(str(error))
    return not findings.faults


def _passes(
    exercise: Exercise, candidate: Any, seed: int, findings: Findings, name: str = "the library's"
) -> bool:
    graded = grade(exercise, candidate, seed=seed)
    if graded.status != "passed":
        failure = graded.outcome.failure
        findings.fault(
            f"{name} answer fails property {graded.number} with seed {seed}: "
            f"{failure or graded.outcome.unwritten} in {graded.outcome.called}"
        )
    return graded.status == "passed"


def _rejected(
    exercise: Exercise, wrong: BankAnswer, findings: Findings, say: Callable[[str], None]
) -> Grade | None:
    """The grade of a wrong answer under the seed that learners get, if it is rejected."""
    say(f"the wrong answer {wrong.id}")
    findings.wrongs += 1
    graded = [grade(exercise, wrong.answer, seed=seed) for seed in range(3)]
    if any(one.status != "wrong" for one in graded):
        statuses = ", ".join(one.status for one in graded)
        findings.fault(f"the wrong answer {wrong.id} is not rejected (seeds 0, 1, 2: {statuses})")
        return None
    findings.rejected += 1
    return graded[0]


def _diagnosed(exercise: Exercise, wrong: BankAnswer, graded: Grade, findings: Findings) -> None:
    """A wrong answer must be named, as itself or as a twin, and as nothing else.

    One that differs from the right answer by nothing but an exception, where the right one raises
    none, needs no name: many mistakes end in the same exception, so the diagnosis names none of
    them. The learner reads the exception and its line. A wrong name is a fault there too.
    """
    named = {match.id for match in diagnose(exercise, graded, wrong.answer)}
    if not named and only_raises(look(exercise, wrong.answer), look(exercise, exercise.reference)):
        findings.nameless += 1
        return
    twins = family(exercise, wrong.mistake or wrong.id)
    if named & twins and named <= twins:
        findings.diagnosed += 1
        return
    told = ", ".join(sorted(named)) or "nothing"
    findings.fault(
        f"the wrong answer {wrong.id} (fails property {graded.number}) is named as {told}"
    )


def family(exercise: Exercise, id: str) -> set[str]:
    """A wrong answer's id with those of its declared twins."""
    twins = {wrong.id: wrong.twin or wrong.id for wrong in exercise.wrongs}
    return {other for other in twins if twins[other] == twins.get(id)}


def _idle(exercise: Exercise, findings: Findings) -> None:
    for number, rule in enumerate(exercise.properties, 1):
        if all(apply(exercise, rule, wrong.answer).passed for wrong in exercise.wrongs):
            if not _rejects_a_mutant(exercise, rule):
                told = "rejects no wrong answer and no mutant"
                findings.fault(f"property {number} ({rule.sentence}) {told}")


def _rejects_a_mutant(exercise: Exercise, rule: Property) -> bool:
    """Whether one of the ordinary mistakes that nobody writes down fails a property, by a value and not
    by an exception, in which any property may end."""
    right = apply(exercise, rule, exercise.reference)
    for mutant in mutants(exercise):
        try:
            with interrupted(MUTANT_SECONDS):
                if shows(apply(exercise, rule, mutant.answer), right):
                    return True
        except TooLong:
            continue
    return False


def _metadata(exercise: Exercise, findings: Findings) -> None:
    if not FEWEST_WRONGS <= len(exercise.wrongs) <= MOST_WRONGS:
        bounds = f"{FEWEST_WRONGS} to {MOST_WRONGS}"
        findings.fault(f"has {len(exercise.wrongs)} wrong answers, not {bounds}")
    if len(exercise.rights) < FEWEST_RIGHTS:
        findings.fault(f"has {len(exercise.rights)} other right answers, not {FEWEST_RIGHTS}")
    for wrong in exercise.wrongs:
        if (
            not wrong.story
            or not wrong.advice
            or (wrong.twin and wrong.twin not in {other.id for other in exercise.wrongs})
        ):
            findings.fault(f"the wrong answer {wrong.id} lacks a story, advice or its twin")
    for needed in exercise.needs:
        if needed not in catalogue.exercises():
            findings.fault(f"needs {needed}, which is no exercise")
    if not 1 <= exercise.difficulty <= 5 or exercise.minutes < 1 or not exercise.goal:
        findings.fault("needs a goal, minutes and a difficulty from 1 to 5")
    solution = solution_lines(exercise)
    for level, hint in enumerate(exercise.hints, 1):
        if not hint.strip():
            findings.fault(f"hint {level} is empty")
        given = [line for line in solution if line in " ".join(hint.split())]
        if level < 4 and given:
            findings.fault(f"hint {level} contains a line of the solution: {given[0]}")


def solution_lines(exercise: Exercise) -> list[str]:
    """The lines that the stub lacks, without comments and those that give nothing away."""
    stub = set(definition(exercise).splitlines())
    lines = [line for line in definition(exercise, solved=True).splitlines() if line not in stub]
    bare = [" ".join(line.partition("  #")[0].split()) for line in lines]
    return [line for line in bare if len(line) > 12 and not line.startswith("#")]


def _learner_files(exercise: Exercise, findings: Findings) -> None:
    """What `learn check` says about the stub, the solution in its place, and a raise in that."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{exercise.lesson}.py"

        def status(**options: Any) -> str:
            path.write_text(stub_file(catalogue.lessons()[exercise.lesson], **options))
            report = check_file(path, exercise, seconds=PATIENCE)
            findings.seconds = max(findings.seconds, report.seconds)
            if options and report.status != ("wrong" if "planted" in options else "passed"):
                findings.fault(f"in a learner's file: {' '.join(report.lines())}")
            return report.status

        stub = status()
        findings.stub = stub == "unwritten"
        if not findings.stub:
            findings.fault(f"its stub is reported as {stub}")
        status(solved=(exercise.id,))
        for method in exercise.methods or [exercise.name]:
            status(solved=(exercise.id,), planted=method)


def verify_limits(id: str) -> Findings:
    """An endless loop and a memory bomb in a learner's file must end in a report."""
    exercise, findings = catalogue.find(id), Findings("limits")
    bombs = {
        "while True: pass": "still running",
        "hoard = [bytearray(1 << 20) for _ in range(1 << 16)]": "more than that",
        "import torch; torch.zeros(1 << 16, 1 << 16)": "more than that",
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bomb.py"
        for bomb, expected in bombs.items():
            path.write_text(f"def {exercise.name}(*args, **kwargs):\n    {bomb}\n")
            report = check_file(path, exercise, seconds=2.0, memory=1 << 28)
            if report.status != "wrong" or expected not in report.got or report.seconds > PATIENCE:
                findings.fault(f"{bomb!r} ended as {report.status} ({report.got})")
    return findings


def closing_line(found: Sequence[Findings]) -> str:
    """The one line at the end."""
    exercises = [one for one in found if one.id != "limits"]
    count = len(exercises)

    def total(name: str) -> int:
        return sum(int(getattr(one, name)) for one in exercises)

    wrongs = total("wrongs")
    share = 100 * total("diagnosed") / max(wrongs - total("nameless"), 1)
    slowest = max(exercises, key=lambda one: one.seconds)
    return (
        f"references {total('reference')}/{count}, stubs {total('stub')}/{count}, "
        f"wrong answers {total('rejected')}/{wrongs} rejected, {share:.0f} % diagnosed, "
        f"alternatives {total('accepted')}/{total('rights')} accepted, "
        f"slowest check {slowest.seconds:.2f} s ({slowest.id})"
    )


def as_data(found: Sequence[Findings]) -> list[dict[str, Any]]:
    """For --json."""
    return [asdict(one) for one in found]
