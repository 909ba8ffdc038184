"""`learn verify` finds every way in which a check can be worthless; and the two other kinds."""

import inspect
from pathlib import Path

import pytest
import torch

from scratchmm.exercises import catalogue, format
from scratchmm.exercises.diagnosis import diagnose
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.grading import grade
from scratchmm.exercises.kinds import Bank, judged_by_bank
from scratchmm.exercises.learner import _sources
from scratchmm.exercises.verify import closing_line, verify, verify_limits, verify_one


def test_a_real_exercise_is_in_order():
    assert verify_one("attention.padding_mask").faults == []


def refusing():
    """The exercises whose docstrings refuse something."""
    for exercise in catalogue.exercises().values():
        told = [exercise.reference, *(getattr(exercise.reference, m) for m in exercise.methods)]
        text = " ".join(inspect.getdoc(thing) or "" for thing in told)
        if not exercise.judges and any(word in text for word in ("ValueError", "refuse")):
            yield exercise


def test_every_docstring_that_refuses_something_is_asked_for_it():
    exercises = list(refusing())
    assert len(exercises) > 40
    for exercise in exercises:
        asked = any("case.refuses(" in source(rule) for rule in exercise.properties)
        assert asked, f"{exercise.id}: no property asks for what its docstring refuses"


def source(rule):
    """A property's source, and that of its module's helpers that it calls."""
    return "\n".join(_sources(rule.function, set()))


def test_the_small_ones_are_in_order_and_counted(fake):
    found = [verify_one(id) for id in fake]
    assert [fault for one in found for fault in one.faults] == []
    line = closing_line(found)
    assert line.startswith(
        "references 2/2, stubs 2/2, wrong answers 12/12 rejected, 100 % diagnosed, "
        "alternatives 4/4 accepted, slowest check "
    )


def faults(exercise):
    return " | ".join(verify_one(exercise.id).faults)


def test_a_property_that_only_mutants_fail_is_not_idle(fake):
    exercise: Exercise = fake["fake.scaled"]

    @exercise.holds("by is 2 if nothing else is said")
    def usual(scaled, case):
        case.equal(case.call(scaled, case.named(torch.ones(2, 3), "B D")), torch.full((2, 3), 5.0))

    exercise.wrongs = [one for one in exercise.wrongs if one.id in ("by-ignored", "in-place")]
    text = faults(exercise)
    assert "property 2 (it is x * by + 3)" not in text
    assert "property 4 (by is 2" not in text
    exercise.holds("it is called")(lambda scaled, case: case.call(scaled, case.normal(B=2, D=3)))
    assert "property 5 (it is called) rejects no wrong answer and no mutant" in faults(exercise)


def test_what_verify_finds(fake):
    exercise: Exercise = fake["fake.scaled"]
    exercise.holds("anything goes")(lambda scaled, case: case.call(scaled, case.normal(B=2, D=3)))
    exercise.wrong("right", story="s", advice="a")(lambda x, by=2.0: x * by + 3)
    exercise.wrong("copy", story="s", advice="a")(lambda x, by=2.0: by * x)
    exercise.wrong("silent", story="", advice="a")(lambda x, by=2.0: x * by + 9)
    exercise.right("not quite")(lambda x, by=2.0: x * by + 3.01)
    exercise.disguise("squared")(lambda x, by=2.0: x * 7 + 3)
    exercise.hints = ("scaled_x = x * by", " ", "three", "four")
    exercise.needs = ("no.such",)
    text = faults(exercise)
    for part in (
        "property 4 (anything goes) rejects no wrong answer and no mutant",
        "the wrong answer right is not rejected",
        "the wrong answer copy (fails property 1) is named as copy, no-shift",
        "the wrong answer no-shift (fails property 1) is named as copy, no-shift",
        "the wrong answer silent lacks a story",
        "not quite answer fails property 1 with seed 0",
        "squared in disguise 1 (fails property 2) is named as nothing",
        "hint 1 contains a line of the solution: scaled_x = x * by",
        "hint 2 is empty",
        "needs no.such",
    ):
        assert part in text, part


def test_twins_are_one_mistake(fake):
    exercise = fake["fake.scaled"]
    exercise.wrong("copy", story="s", advice="a", twin="no-shift")(lambda x, by=2.0: by * x)
    assert faults(exercise) == ""


def test_a_wrong_answer_that_only_raises_needs_no_name(fake):
    exercise = fake["fake.scaled"]

    @exercise.wrong("raises", story="s", advice="a")
    def raises(x, by=2.0):
        raise TypeError("no result")

    found = verify_one(exercise.id)
    assert (found.faults, found.nameless) == ([], 1)
    assert "100 % diagnosed" in closing_line([found])


def test_a_wrong_answer_that_fails_otherwise_too_needs_one(fake):
    exercise = fake["fake.scaled"]
    exercise.holds("not of zeros")(
        lambda scaled, case: case.equal(
            case.call(scaled, torch.zeros(1, 1)), torch.full((1, 1), 3.0)
        )
    )

    @exercise.disguise("no-shift")
    def raises_but_for_one(x, by=2.0):
        if x.shape[0] > 1:
            raise TypeError("no result")
        return x * 7 + 4

    assert "no-shift in disguise 1 (fails property 1) is named as nothing" in faults(exercise)


def test_a_reference_that_fails_on_one_seed_of_twenty_is_found(fake):
    @fake["fake.scaled"].holds("luck")
    def luck(scaled, case):
        case.true(case.seed != 17, "luck", "none")

    assert "seed 17" in faults(fake["fake.scaled"])


def test_a_check_that_does_not_look_at_the_learner_s_file_is_found(fake):
    exercise = fake["fake.scaled"]
    exercise.properties[:] = exercise.properties[:0]

    @exercise.holds("always")
    def always(scaled, case):
        case.call(torch.add, torch.zeros(2, 3), 3)

    text = faults(exercise)
    assert "in a learner's file: fake.scaled: passed" in text and "its stub is reported as" in text


def test_too_few_answers_too_many_and_a_patch_that_no_longer_fits_are_found(fake):
    exercise = fake["fake.Scaler"]
    exercise.wrongs[:] = exercise.wrongs[:2]
    exercise.rights[:] = exercise.rights[:1]
    exercise.mistakes("gone: s\n- no such text\n+ x\n> a")
    text = faults(exercise)
    assert "has 3 wrong answers, not 6 to 15" in text and "has 1 other right answers" in text
    assert "stands 0 times" in text
    exercise.wrongs[:] = exercise.wrongs[:1] * 16
    assert "has 16 wrong answers, not 6 to 15" in faults(exercise)


def test_a_slip_that_no_longer_fits_is_found(fake):
    exercise = fake["fake.Scaler"]
    exercise.slips("no such text => x")
    assert "'no such text => x' changes `no such text`, which stands 0 times" in faults(exercise)


def test_limits_hold(fake):
    assert verify_limits("fake.scaled").faults == []


def test_several_at_once_and_a_wrong_answer_that_never_ends(fake, monkeypatch):
    monkeypatch.setattr("scratchmm.exercises.verify.BANK_SECONDS", 1.0)

    @fake["fake.scaled"].wrong("endless", story="s", advice="a")
    def endless(x, by=2.0):
        while True:
            pass

    text = " ".join(fault for one in verify() for fault in one.faults)
    assert "the wrong answer endless" in text


@pytest.fixture
def test_kind(fake):
    """An exercise in which the learner writes the test of fake.scaled."""
    exercise = Exercise(
        id="test.scaled", target="scratchmm.fake_library:scaled", title="t", goal="g", minutes=1,
        difficulty=1, section="s", hints=("1", "2", "3", "4"), lesson="99_fake",
    )  # fmt: skip
    judged_by_bank(exercise, lambda: Bank.of(fake["fake.scaled"]), enough=0.8)
    catalogue.exercises()[exercise.id] = exercise
    return exercise


def good_test(scaled):
    x = torch.randn(2, 3)
    copy = x.clone()
    assert torch.allclose(scaled(x, by=5.0), copy * 5 + 3)


def test_the_wrong_answer_that_a_test_lets_through_is_the_one_shown(test_kind):
    def only_at_zero(scaled):
        assert torch.allclose(scaled(torch.zeros(2, 3)), torch.full((2, 3), 3.0))

    outcome = grade(test_kind, only_at_zero).outcome
    assert outcome.called == "only_at_zero('by-ignored')"
    got = "3 of 6; it lets through: story of by-ignored; and 2 more: squared, in-place"
    assert outcome.failure.got == got  # all of them, so that one round tells all


def test_slips_are_among_the_wrong_answers_that_a_test_must_reject(test_kind, fake):
    fake["fake.scaled"].slips("scaled_x + _shift() => scaled_x + 7")

    def scale_only(scaled):
        found = scaled(torch.ones(2, 3), by=5.0) - scaled(torch.zeros(2, 3), by=5.0)
        assert torch.allclose(found, torch.full((2, 3), 5.0))

    got = grade(test_kind, scale_only).outcome.failure.got
    assert " of 7; it lets through: " in got and "scaled_x + _shift() => scaled_x + 7" in got
    assert grade(test_kind, good_test).status == "passed"


def test_a_crash_of_the_test_is_no_rejection(test_kind):
    def divides(scaled):
        x = torch.ones(2, 3)
        found = torch.allclose(scaled(x, by=5.0), x * 5 + 3)
        {True: 1}[found]

    failure = grade(test_kind, divides).outcome.failure
    assert (
        failure.got.startswith("0 of 6") and "KeyError and not in an AssertionError" in failure.got
    )


def test_an_exercise_is_found_by_its_id_s_last_part_too():
    for name, id in (("leaking_mask", "bug.leaking_mask"), ("attend", "attention.attend"),
                     ("contrastive_loss", "loss.contrastive_loss"),
                     ("check_loss", "test.contrastive_loss")):  # fmt: skip
        assert catalogue.find(name).id == id


def test_a_learner_s_test_is_graded_by_the_bank(test_kind):
    def shape_only(scaled):
        assert scaled(torch.ones(2, 3)).shape == (2, 3)

    def rejects_all(scaled):
        raise AssertionError("no")

    def returns_false(scaled):
        return False

    def by_default(scaled):
        assert torch.allclose(scaled(torch.ones(1)), torch.tensor(5.0))

    assert grade(test_kind, good_test).status == "passed"
    told = [grade(test_kind, test).outcome.failure for test in
            (shape_only, rejects_all, returns_false, by_default)]  # fmt: skip
    assert "0 of 6; it lets through: story of no-shift" in told[0].got
    assert "at least 5 of 6" in told[0].expected
    assert "rejects a right answer (the library's): AssertionError no" in told[1].got
    assert "False" in told[2].got
    assert "4 of 6; it lets through: story of by-ignored" in told[3].got


def test_the_example_of_the_readme_works():
    readme = (Path(format.__file__).parent / "README.md").read_text()
    example = next(block for block in readme.split("```python\n") if "Exercise(" in block)
    space: dict = {}
    exec(example.partition("```")[0], space)
    exercise = space["exercise"]
    assert grade(exercise, exercise.reference).status == "passed"
    for answers, status in (
        (exercise.rights, "passed"), (exercise.wrongs + exercise.disguises, "wrong"),
    ):  # fmt: skip
        for one in answers:
            assert grade(exercise, one.answer).status == status
            if status == "wrong":
                graded = grade(exercise, one.answer)
                named = [match.id for match in diagnose(exercise, graded, one.answer)]
                assert named == [one.mistake or one.id]


def test_every_answer_of_every_bank_fits_the_librarys_lines_of_today() -> None:
    misfits, count = [], 0
    for exercise in catalogue.exercises().values():
        for entry in (*exercise.wrongs, *exercise.rights, *exercise.disguises):
            count += 1
            try:
                assert entry.answer is not None
            except Exception as error:  # noqa: BLE001 - whatever a patch that does not fit raises
                misfits.append(f"{exercise.id} {entry.id}: {error}")
    assert misfits == [] and count > 10 * len(catalogue.exercises())
