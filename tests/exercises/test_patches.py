"""Mistakes that are patches of the library's source: functions, methods, parts, and what fits not."""

import pytest
import torch

from scratchmm.exercises.diagnosis import diagnose
from scratchmm.exercises.grading import grade
from scratchmm.exercises.mistakes import page
from scratchmm.exercises.verify import verify

X = torch.tensor([[1.0, 2.0]])


def text(id, *changes, marks=""):
    """A block with these (old, new) changes."""
    lines = [part for old, new in changes for part in (f"- {old}", f"+ {new}".rstrip())]
    return "\n".join([f"{id}{marks}: story of {id}", *lines, f"> advice on {id}"])


def answer(exercise, *changes, **options):
    """The wrong answer that one block makes."""
    exercise.mistakes(text("late", *changes, **options))
    return exercise.wrongs[-1].answer


def test_a_function_is_patched(fake):
    found = answer(fake["fake.scaled"], ("scaled_x = x * by", "scaled_x = x + by"))
    assert found(X).tolist() == [[6.0, 7.0]]
    wrong = fake["fake.scaled"].wrongs[-1]
    assert (wrong.story, wrong.advice) == ("story of late", "advice on late")
    assert not (wrong.twin or wrong.convention or wrong.fresh)


def test_a_method_of_a_class_is_patched(fake):
    layer = answer(fake["fake.Scaler"], ("x * self.gain", "-x * self.gain"))(2)
    assert layer(X).tolist() == [[-1.0, -2.0]]
    # The library's own class stays as it was.
    assert fake["fake.Scaler"].reference(2)(X).tolist() == X.tolist()


def test_parts_are_patched_with_the_target(fake):
    exercise = fake["fake.scaled"]
    with pytest.raises(ValueError, match="`SHIFT`, which stands 0 times"):
        answer(exercise, ("SHIFT", "-SHIFT"))
    exercise.wrongs.pop()
    exercise.parts = ("_shift",)
    assert answer(exercise, ("SHIFT", "-SHIFT"))(X).tolist() == [[-1.0, 1.0]]


def test_a_patch_refuses_what_the_library_refuses(fake):
    @fake["fake.scaled"].refusing
    def guard(x, by=2.0):
        raise AssertionError("patches need no guard in front")

    assert answer(fake["fake.scaled"], ("* by", "+ by"))(X).tolist() == [[6.0, 7.0]]


def test_marks_say_what_kind_it_is(fake):
    exercise, change = fake["fake.scaled"], ("* by", "+ by")
    exercise.mistakes(text("one", change, marks=" [convention, twin=added]"))
    assert exercise.wrongs[-1].convention and exercise.wrongs[-1].twin == "added"
    exercise.mistakes(text("two", change, marks=" [fresh]"))
    fresh = exercise.wrongs[-1]
    assert fresh.answer is not fresh.answer and exercise.wrongs[-2].answer is not None
    assert exercise.wrongs[-2].answer is exercise.wrongs[-2].answer
    exercise.mistakes("added-too [of=added]\n- * by\n+ + by")
    assert exercise.wrongs[-1] is fresh
    assert exercise.disguises[-1].mistake == "added"
    assert exercise.disguises[-1].answer(X).tolist() == [[6.0, 7.0]]


def test_a_patch_names_a_learner_s_mistake(fake):
    exercise = fake["fake.scaled"]
    exercise.mistakes(text("shift-subtracted", ("+ _shift()", "- _shift()")))

    def mine(x, by=2.0):
        return by * x - 3

    matches = diagnose(exercise, grade(exercise, mine), mine)
    assert [match.id for match in matches] == ["shift-subtracted"]


def test_the_page_shows_whole_lines_of_a_patch(fake):
    answer(fake["fake.scaled"], ("* by", "+ by"))
    assert page(fake["fake.scaled"])[-1]["lines"] == [
        "- scaled_x = x * by", "+ scaled_x = x + by",
    ]  # fmt: skip


def test_what_is_no_block_names_the_exercise(fake):
    exercise = fake["fake.scaled"]
    with pytest.raises(ValueError, match="^fake.scaled: a mistake begins with `id: "):
        exercise.mistakes("- x\n+ y\n> z")
    with pytest.raises(ValueError, match="^fake.scaled: two mistakes are called 'added'"):
        exercise.mistakes(text("added", ("* by", "+ by")))


def test_a_patch_that_fits_not_is_a_fault_of_its_own(fake):
    """Each is told, and nothing else of the exercise is tried before they are mended."""
    exercise = fake["fake.scaled"]
    exercise.mistakes(text("gone", ("no such code", "x")))
    exercise.mistakes(text("twice", ("scaled_x", "x")))
    exercise.mistakes(text("broken", ("scaled_x = x * by", "scaled_x = = x")))
    faults = [fault for one in verify(["fake.scaled"]) for fault in one.faults]
    assert [fault for fault in faults if fault.startswith("fake.scaled: the mistake")] == [
        "fake.scaled: the mistake 'gone' changes `no such code`, which stands 0 times in the "
        "library's source, not once",
        "fake.scaled: the mistake 'twice' changes `scaled_x`, which stands 2 times in the library's "
        "source, not once",
        "fake.scaled: the mistake 'broken' does not compile: invalid syntax in `scaled_x = = x`",
    ]
    assert not any("rejected" in fault for fault in faults)
