"""Progress: kept by id, with a hash of what passed; nothing is lost, nothing is written over."""

import json

import pytest

from scratchmm.exercises.format import Property
from scratchmm.exercises.progress import FILE, Progress

RIGHT = """def scaled(x, by=2.0):
    return x * by + helper()

def helper():
    return deeper()

def deeper():
    return 3
"""


@pytest.fixture
def folder(fake, tmp_path):
    folder = tmp_path / "exercises"
    folder.mkdir()
    (folder / "99_fake.py").write_text(RIGHT)
    Progress(folder).mark(fake["fake.scaled"])
    return folder


def state(folder, fake):
    return Progress(folder).state(fake["fake.scaled"])


def test_a_pass_is_kept_and_other_exercises_stay_open(folder, fake):
    assert state(folder, fake) == "passed"
    assert Progress(folder).state(fake["fake.Scaler"]) == "open"


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("helper()\n\n", "helper()  # a comment\n\n", "passed"),
        ("def helper():\n", "def helper():\n\n", "passed"),
        ("def helper", "UNUSED = 1\n\ndef helper", "passed"),
        ("x * by +", "by * x +", "edited"),
        ("return 3", "return 4", "edited"),
        ("def scaled", "def other", "edited"),
        ("return 3", "return = 3", "edited"),
    ],
)
def test_only_code_that_the_answer_uses_counts(folder, fake, old, new, expected):
    assert old in RIGHT
    (folder / "99_fake.py").write_text(RIGHT.replace(old, new))
    assert state(folder, fake) == expected


def test_a_pass_under_another_check_is_stale_and_not_lost(folder, fake):
    exercise = fake["fake.scaled"]
    exercise.properties.append(Property("something new", lambda scaled, case: None))
    assert state(folder, fake) == "stale"
    exercise.properties.pop()
    assert state(folder, fake) == "passed"


def test_a_helper_of_a_property_belongs_to_the_check(folder, fake, monkeypatch):
    exercise = fake["fake.scaled"]
    space: dict = {"__name__": "made_up"}

    def with_helper(body, tmp):
        path = tmp / f"check_{len(body)}.py"
        path.write_text(f"def helper():\n    return {body}\ndef rule(f, case):\n    helper()\n")
        exec(compile(path.read_text(), str(path), "exec"), space)
        exercise.properties[0] = Property("zero", space["rule"])

    with_helper("1", folder)
    Progress(folder).mark(exercise)
    assert state(folder, fake) == "passed"
    with_helper("1 + 1", folder)
    assert state(folder, fake) == "stale"


def test_unknown_ids_are_kept_and_ignored(folder, fake):
    path = folder / FILE
    data = json.loads(path.read_text())
    data["passed"]["gone.exercise"] = dict(code="1", check="2", when="2020-01-01")
    path.write_text(json.dumps(data))
    Progress(folder).mark(fake["fake.scaled"])
    assert "gone.exercise" in json.loads(path.read_text())["passed"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"passed": 3}', '{"passed": {"a": 1}}'])
def test_a_damaged_file_is_refused_in_a_sentence_and_left_alone(folder, content):
    (folder / FILE).write_text(content)
    with pytest.raises(ValueError, match="can't be read as progress"):
        Progress(folder)
    assert (folder / FILE).read_text() == content


def test_nothing_is_left_beside_the_file(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["99_fake.py", FILE]


def test_hints_go_on_level_by_level_and_stop_at_the_last(folder, fake):
    exercise = fake["fake.scaled"]
    assert [Progress(folder).hint(exercise, None) for _ in range(6)] == [1, 2, 3, 4, 4, 4]
    assert Progress(folder).hint(exercise, 2) == 2
    assert Progress(folder).hint(exercise, None) == 3
