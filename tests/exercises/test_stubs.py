"""Stubs: what stays, what goes, and that they are never stale."""

import ast
import importlib
import inspect
import os
import shutil
import subprocess
import sys

import pytest

from scratchmm.exercises import catalogue, desk, stubs
from scratchmm.exercises.helpers import helper_lines
from scratchmm.exercises.learner import CannotRun, load
from scratchmm.exercises.stubs import definition, import_block, stub_file


@pytest.mark.skipif("SCRATCHMM_LESSONS" in os.environ, reason="some lessons are left out")
def test_the_stubs_in_tutorials_are_the_generated_ones():
    if not desk.STUBS.parent.is_dir():
        pytest.skip("installed without the tutorials")
    stale = desk.write_stubs(check=True)
    assert not stale, f"stale: {stale}; run `python -m scratchmm learn stubs`"


def test_the_section_of_an_exercise_is_a_heading_of_its_lesson() -> None:
    """The stub names it, so a learner looks for it there."""
    folder = desk.STUBS.parent
    if not folder.is_dir():
        pytest.skip("installed without the tutorials")
    for exercise in catalogue.exercises().values():
        lines = (folder / f"{exercise.lesson}.py").read_text(encoding="utf-8").splitlines()
        assert f"# ## {exercise.section}" in lines, (exercise.id, exercise.section)


def test_a_stub_keeps_signature_and_docstring_and_loses_the_body(fake):
    text = definition(fake["fake.scaled"])
    library = fake["fake.scaled"].module
    node = ast.parse(text).body[0]
    assert ast.get_docstring(node, clean=False) == library.scaled.__doc__
    assert ast.unparse(node.args) == "x: Tensor, by: float=2.0"
    assert ast.unparse(node.returns) == "Tensor"
    assert "A comment" not in text and "scaled_x" not in text
    assert len(node.body) == 2 and isinstance(node.body[1], ast.Raise)


def test_a_class_loses_its_methods_named_and_those_to_drop(fake):
    node = ast.parse(definition(fake["fake.Scaler"])).body[0]
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    assert list(methods) == ["__init__", "forward", "width"]
    assert ast.unparse(methods["forward"].body[-1]).startswith("raise NotImplementedError(")
    assert "self.gain" in ast.unparse(methods["__init__"])
    assert ast.unparse(methods["width"].decorator_list[0]) == "property"


def test_the_solution_is_the_source_of_the_library(fake):
    for exercise in fake.values():
        assert definition(exercise, solved=True) == inspect.getsource(exercise.reference).rstrip()


def test_a_stub_file_runs_and_raises_its_goal(fake, tmp_path):
    path = tmp_path / "99_fake.py"
    path.write_text(stub_file([*fake.values()]))
    module = load(path)
    with pytest.raises(NotImplementedError, match='fake.scaled: x . by . SHIFT, "as the docstring'):
        module.scaled(1)
    assert module.Scaler(4).width == 4
    assert not hasattr(module, "_shift"), "a private helper of the solution was given away"


def test_a_solved_file_imports_what_the_solution_needs(fake, tmp_path):
    path = tmp_path / "99_fake.py"
    path.write_text(stub_file([*fake.values()], solved=("fake.scaled",)))
    assert load(path).scaled(1.0) == 5.0


def test_a_planted_raise_comes_before_the_body(fake, tmp_path):
    path = tmp_path / "99_fake.py"
    path.write_text(stub_file([*fake.values()], solved=("fake.scaled",), planted="scaled"))
    with pytest.raises(RuntimeError, match="planted"):
        load(path).scaled(1.0)


def test_a_file_that_does_not_load_says_where(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("x = 1\ny = = 2\n")
    with pytest.raises(CannotRun, match="broken.py line 2: invalid syntax"):
        load(path)
    path.write_text("x = 1\ny = x / 0\n")
    with pytest.raises(CannotRun, match="broken.py line 2: ZeroDivisionError"):
        load(path)
    path.write_bytes(b"x = '\xff'\n")
    with pytest.raises(CannotRun, match="not UTF-8"):
        load(path)


def test_a_name_that_would_be_two_things_in_one_file_is_refused(fake, monkeypatch):
    found = iter([{"Step": "from one import Step"}, {"Step": "from other import Step"}])
    monkeypatch.setattr(stubs, "imports", lambda *_: next(found))
    with pytest.raises(ValueError, match="Step would be two things .* for fake.Scaler"):
        stub_file([fake["fake.scaled"], fake["fake.Scaler"]])


def test_imports_are_merged_and_ordered():
    block = import_block(
        {"import torch", "from torch import nn", "from torch import Tensor", "import math",
         "import torch.nn.functional as F", "from scratchmm.layers.attention import attend",
         "from collections.abc import Callable"}
    )  # fmt: skip
    assert block.split("\n\n") == [
        "import math\nfrom collections.abc import Callable",
        "import torch\nimport torch.nn.functional as F\nfrom torch import Tensor, nn",
        "from scratchmm.layers.attention import attend",
    ]


@pytest.mark.skipif(shutil.which("ruff", path=os.path.dirname(sys.executable)) is None,
                    reason="needs the extra dev")  # fmt: skip
def test_stubs_are_formatted_as_the_rest_of_the_library(tmp_path):
    ruff = shutil.which("ruff", path=os.path.dirname(sys.executable))
    for lesson, exercises in catalogue.lessons().items():
        (tmp_path / f"{lesson}.py").write_text(stub_file(exercises))
    config = ["--config", str(desk.ROOT / "pyproject.toml")]
    for command in (["format", "--check"], ["check", "--ignore", "F401"]):
        subprocess.run([ruff, *command, *config, str(tmp_path)], check=True, capture_output=True)


@pytest.mark.parametrize("length", [*range(40, 130, 3)])
def test_goals_of_every_length_come_back_whole(fake, length):
    exercise = fake["fake.Scaler"]
    goal = ("word " * 40)[: length - 1] + "."
    exercise.methods = {"forward": goal}
    text = definition(exercise)
    assert max(map(len, text.splitlines())) <= 100
    raised = ast.parse(text).body[0].body[2].body[-1].exc.args[0]
    assert raised.value == f"fake.Scaler: {goal}"


def test_every_helper_that_a_stub_imports_comes_with_its_signature() -> None:
    """Once a file, so that nobody opens the library's source, where the solution stands."""
    for path in sorted(desk.STUBS.glob("[0-9]*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("scratchmm"):
                continue
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                thing = getattr(module, alias.name)
                if inspect.isfunction(thing) or (inspect.isclass(thing) and thing.__doc__):
                    assert f"# - {alias.asname or alias.name}(" in text, (path.name, alias.name)


def test_a_helper_is_told_with_the_methods_that_are_used() -> None:
    line = {"Schedule": "from scratchmm.diffusion.process import Schedule"}
    text = "\n".join(helper_lines(line, "schedule.at(times)"))
    assert "# - Schedule.at(timesteps: Tensor, final_alpha: float | None=None) -> Tensor" in text
    assert "Schedule.at" not in "\n".join(helper_lines(line, "schedule.betas"))
    assert helper_lines({"math": "import math"}, "") == []
    assert helper_lines(line, "", skip={"Schedule"}) == []
