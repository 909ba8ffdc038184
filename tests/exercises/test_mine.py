"""`learn run --mine`: the learner's passed answers stand wherever the library's stood, and no others."""

import json
import re
import sys

import pytest

from scratchmm.commands import main
from scratchmm.exercises import mine
from scratchmm.exercises.desk import start
from scratchmm.exercises.progress import Progress

LESSON = '''
"""A lesson that writes down what it got."""
import json, sys
import torch
from scratchmm.fake_library import TABLE, Scaler, scaled
from scratchmm.fake_user import layer, twice

zero = torch.zeros(1, 1)
result = dict(scaled=scaled(zero).item(), twice=twice(zero).item(),
              table=TABLE["plain"](zero).item(), made=type(layer(2)).__module__,
              flags=sys.argv[1:], own=Scaler.__module__)
json.dump(result, open("result.json", "w"))
if "--fail" in sys.argv:
    raise SystemExit("it fell short")
'''

MINE = """
import torch
from torch import nn

calls = []

def scaled(x, by=2.0):
    calls.append(x)
    return x * by + 3

class Scaler(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.seen = scaled

    def forward(self, x):
        return x * self.gain
"""


@pytest.fixture
def room(fake, tmp_path, monkeypatch):
    """A lesson, and a learner's folder with right answers of which none has been checked."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "99_lesson.py").write_text(LESSON)
    folder = tmp_path / "exercises"
    start(folder)
    (folder / "99_fake.py").write_text(MINE)
    return tmp_path


def run(room, *flags):
    """Run the lesson; return the exit status and what it wrote down."""
    status = main(["learn", "run", "99_lesson.py", *flags])
    return status, json.loads((room / "result.json").read_text())


def test_what_has_passed_is_used_everywhere_it_was_imported(room, fake, capsys):
    assert main(["learn", "check"]) == 0
    status, result = run(room, "--mine", "--quick", "--steps", "3")
    assert status == 0 and result["flags"] == ["--quick", "--steps", "3"]
    assert (result["scaled"], result["twice"], result["table"]) == (3, 9, 3)
    assert len(sys.modules["learner_99_fake"].calls) == 4
    assert result["made"] == result["own"] == "learner_99_fake"
    assert "yours: fake.scaled, fake.Scaler" in capsys.readouterr().out


@pytest.mark.parametrize("passed", ["fake.scaled", "fake.Scaler"])
def test_any_subset_works(room, fake, passed, capsys):
    assert main(["learn", "check", passed]) == 0
    library = fake["fake.scaled"].module.scaled
    status, result = run(room, "--mine")
    assert status == 0 and f"yours: {passed}; all else" in capsys.readouterr().out
    assert (result["own"] == "learner_99_fake") == (passed == "fake.Scaler")
    learner = sys.modules["learner_99_fake"]
    if passed == "fake.Scaler":  # what has not passed is the library's in the learner's file too
        assert learner.scaled is library
    else:
        assert len(learner.calls) == 4


def test_without_passes_or_without_mine_the_library_runs(room, fake, capsys):
    assert run(room)[1]["own"] == "scratchmm.fake_library"
    assert run(room, "--mine")[1]["own"] == "scratchmm.fake_library"
    assert "none has passed yet" in capsys.readouterr().out


def test_mine_may_stand_before_the_lesson(room, fake, capsys):
    assert main(["learn", "check"]) == 0
    assert main(["learn", "run", "--mine", "99_lesson.py", "--quick"]) == 0
    result = json.loads((room / "result.json").read_text())
    assert result["own"] == "learner_99_fake" and result["flags"] == ["--quick"]


def test_an_answer_edited_since_is_checked_again(room, fake, capsys):
    main(["learn", "check"])
    path = room / "exercises" / "99_fake.py"
    path.write_text(MINE.replace("x * by + 3", "3 + x * by"))
    assert len(mine.passed_answers(path.parent, tell=print)) == 2
    assert Progress(path.parent).state(fake["fake.scaled"]) == "passed"
    path.write_text(MINE.replace("x * by + 3", "x * by + 4"))
    assert [one.id for one, _ in mine.passed_answers(path.parent, tell=print)] == ["fake.Scaler"]
    assert "fake.scaled has passed, but does not pass now" in capsys.readouterr().out


def test_an_exercise_may_adapt_what_is_put_in(room, fake):
    main(["learn", "check"])

    def adapt(mine, library):
        return lambda x, by=2.0: mine(x, by) + library(x, by) * 100

    fake["fake.scaled"].adapt = adapt
    assert run(room, "--mine")[1]["scaled"] == 303


def test_only_what_the_lesson_calls_is_named(room, fake, capsys):
    assert main(["learn", "check"]) == 0
    (room / "99_lesson.py").write_text("from scratchmm.fake_library import Scaler\nScaler(2)\n")
    assert main(["learn", "run", "99_lesson.py", "--mine"]) == 0
    out = capsys.readouterr().out
    assert "in place of the library's: 2" in out and "yours: fake.Scaler; all else" in out


def test_mine_has_folders_of_its_own_and_the_library_s_figure_beside_it(room, fake, capsys):
    (room / "01_attention.py").write_text(
        "from scratchmm.lesson import LessonParser\n"
        "from scratchmm.lesson import report\n"
        "print(LessonParser('x').read('').folder('01'))\n"
        "report('digits found', 0.5, 0.25)\n"
    )
    assert main(["learn", "run", "01_attention.py", "--quick", "--mine"]) == 0
    out = capsys.readouterr().out
    assert "runs/01_quick_mine" in out
    assert re.search(r"digits found: yours 0.5, the library's [\d.]+ at full length", out)
    assert main(["learn", "run", "01_attention.py", "--quick"]) == 0
    out = capsys.readouterr().out
    assert "runs/01_quick\n" in out and "yours" not in out


def test_the_lesson_s_exit_status_comes_through(room, fake, capsys):
    assert run(room, "--fail")[0] == 1
    assert "it fell short" in capsys.readouterr().err


def test_an_unknown_lesson_is_a_sentence(room, capsys):
    assert main(["learn", "run", "77", "--mine"]) == 1
    assert "there is no lesson '77'" in capsys.readouterr().err
