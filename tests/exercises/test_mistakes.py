"""`learn mistakes`: the page of an exercise's mistakes, for those who have passed it."""

import json

import pytest

from scratchmm.commands import main
from scratchmm.exercises import catalogue
from scratchmm.exercises.mistakes import page

SOLVED = "def scaled(x, by=2.0):\n    return x * by + 3\n"


@pytest.fixture
def desk(fake, tmp_path, monkeypatch):
    """A learner's folder, just begun; the current folder is the one above."""
    fake["fake.scaled"].mistakes("""
        by-added [convention]: by is added
        - scaled_x = x * by
        + scaled_x = x
        + scaled_x = scaled_x + by
        > by is a factor
    """)
    monkeypatch.chdir(tmp_path)
    assert main(["learn", "start"]) == 0
    return tmp_path / "exercises"


def told(capsys, *words):
    """The exit status and what was printed."""
    capsys.readouterr()
    status = main(["learn", "mistakes", *words])
    streams = capsys.readouterr()
    return status, streams.out + streams.err


def test_the_page_is_refused_before_the_exercise_has_passed(desk, capsys):
    status, text = told(capsys, "scaled")
    assert status == 1
    assert text.strip().splitlines() == [
        "error: fake.scaled has not passed yet; --spoil shows its mistakes all the same"
    ]
    assert "story of no-shift" in told(capsys, "scaled", "--spoil")[1]
    (desk / "99_fake.py").write_text(SOLVED)
    assert main(["learn", "check", "scaled"]) == 0
    status, text = told(capsys, "scaled")
    assert status == 0 and "fake.scaled: 7 mistakes that people make" in text
    # An answer that was edited since has been passed all the same.
    (desk / "99_fake.py").write_text(SOLVED.replace("x * by", "by * x"))
    assert told(capsys, "scaled")[0] == 0


def test_a_mistake_is_told_with_its_story_its_lines_and_its_advice(desk, capsys):
    text = told(capsys, "scaled", "--spoil")[1]
    assert text.endswith(
        "\n\nby-added (another field's way)\n  by is added\n  - scaled_x = x * by\n"
        "  + scaled_x = x\n  + scaled_x = scaled_x + by\n  > by is a factor\n"
    )
    # One that is written out has no lines of the library's to differ from.
    assert "\nno-shift\n  story of no-shift\n  > advice on no-shift\n" in text


def test_slips_stand_at_the_end_of_the_page(fake, desk, capsys):
    fake["fake.scaled"].slips("x * by => x / by\n_shift() =>")
    text = told(capsys, "scaled", "--spoil")[1]
    assert text.endswith(
        "> by is a factor\n\nslips of one piece of code:\n"
        "  `x / by` stood for `x * by`\n  `_shift()` were left out\n"
    )


def test_the_page_is_data_too(desk, capsys):
    found = json.loads(told(capsys, "scaled", "--spoil", "--json")[1])
    assert [one["id"] for one in found][:2] == ["no-shift", "by-ignored"]
    assert found[0] == dict(
        id="no-shift", story="story of no-shift", advice="advice on no-shift", convention=False,
        lines=[],
    )  # fmt: skip
    assert found[-1]["convention"] and found[-1]["lines"][0] == "- scaled_x = x * by"


def test_without_a_folder_the_page_is_refused_too(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert told(capsys, "scaled")[0] == 1 and told(capsys, "scaled", "--spoil")[0] == 0


def test_every_mistake_of_every_exercise_has_a_page():
    patches = written = 0
    for exercise in catalogue.exercises().values():
        for one in page(exercise):
            assert one["story"] and one["advice"]
            marks = {line[:2] for line in one["lines"]}
            assert marks <= {"- ", "+ "}
            patches += bool(marks)
            written += not marks
    assert patches > written > 0
