"""Which files hold exercises, in which order, and what two of them may not share."""

import re
from types import SimpleNamespace

import pytest

from scratchmm.exercises import catalogue
from scratchmm.exercises.catalogue import LESSONS, in_order, wanted_lessons
from scratchmm.exercises.format import exercise_file


def module(exercise_id: str, order: int) -> SimpleNamespace:
    return SimpleNamespace(exercise=SimpleNamespace(id=exercise_id, order=order))


def test_every_file_of_a_lesson_belongs_to_an_exercise() -> None:
    found = {id(one) for one in catalogue.exercises().values()}
    paths = [*LESSONS.rglob("*.py")]
    assert len(paths) >= len(found) > 100
    for path in paths:
        assert re.fullmatch(r"\d\d_\w+/[a-z0-9_]+\.py", path.relative_to(LESSONS).as_posix())
        content = exercise_file(f"{path.parent.name}/{path.stem}")
        assert id(content.exercise) in found, path
        assert content.exercise.lesson == path.parent.name


def test_exercises_stand_in_the_order_that_they_give() -> None:
    one, two, helpers = module("a", 20), module("b", 10), SimpleNamespace()
    assert [found.id for found in in_order("01_a", [one, two, helpers, one])] == ["b", "a"]
    with pytest.raises(ValueError, match="a and c have the order 20 in lesson 01_a: one of them"):
        in_order("01_a", [one, two, module("c", 20)])


def test_a_lesson_s_number_finds_it() -> None:
    names = ["01_a", "12_b", "__pycache__", "notes.txt"]
    assert wanted_lessons(None, names) == {"01", "12"}
    assert wanted_lessons(" 1,", names) == {"01"}
    for listed, told in (("03", "names '03'"), (",", "names no lesson")):
        with pytest.raises(ValueError, match=f"SCRATCHMM_LESSONS {told}: .* are 01, 12"):
            wanted_lessons(listed, names)
