"""A small library of its own with two exercises, so that the engine is tested without the lessons."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from scratchmm.exercises import catalogue
from scratchmm.exercises.format import Exercise

LIBRARY = '''
"""A library of two things."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHIFT = 3.0


def scaled(x: Tensor, by: float = 2.0) -> Tensor:
    """Multiply x (B, D) by `by` and add SHIFT.

    >>> scaled(torch.zeros(1, 1)).item()
    3.0
    """
    # A comment that goes with the body.
    scaled_x = x * by
    return scaled_x + _shift()


def _shift() -> float:
    return SHIFT


class Scaler(nn.Module):
    """Multiply by a parameter, through a helper."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, D). Returns the same shape."""
        return self._apply_gain(x)

    def _apply_gain(self, x: Tensor) -> Tensor:
        return x * self.gain

    @property
    def width(self) -> int:
        """How wide it is."""
        return len(self.gain)


TABLE: dict[str, Callable[..., Tensor]] = {"plain": scaled}
'''

USER = '''
"""Something that uses the library."""

from scratchmm.fake_library import Scaler, scaled


def twice(x):
    return scaled(scaled(x))


def layer(width):
    return Scaler(width)
'''


def module_from(name: str, text: str, folder: Path):
    """Write a module and import it under this name."""
    path = folder / f"{name.rpartition('.')[2]}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def scaled_exercise() -> Exercise:
    """The exercise fake.scaled with its bank."""
    exercise = Exercise(
        id="fake.scaled",
        target="scratchmm.fake_library:scaled",
        title="Scale and shift",
        goal='x * by + SHIFT, "as the docstring says"',
        minutes=5,
        difficulty=1,
        section="None",
        forbidden=("torch.addcmul", "torch.Tensor.mul_"),
        hints=("one", "two", "three", "scaled_x = x * by; return scaled_x + _shift()"),
    )

    @exercise.holds("zero becomes the shift")
    def zero(scaled, case):
        x = case.named(torch.zeros(2, 3), "B D")
        case.equal(case.call(scaled, x), torch.full((2, 3), 3.0))

    @exercise.holds("it is x * by + 3")
    def right(scaled, case):
        x = case.normal(B=2, D=3)
        case.equal(case.call(scaled, x, by=5.0), x * 5 + 3)

    @exercise.holds("x stays as it was")
    def unchanged(scaled, case):
        case.call(scaled, case.normal(B=2, D=3))
        case.unchanged()

    wrongs = {
        "no-shift": lambda x, by=2.0: x * by,
        "by-ignored": lambda x, by=2.0: x * 2.0 + 3,
        "added": lambda x, by=2.0: x + by + 3,
        "shift-first": lambda x, by=2.0: (x + 3) * by,
        "squared": lambda x, by=2.0: x * by * by + 3,
        "in-place": lambda x, by=2.0: x.copy_(x * by + 3),
    }
    for id, wrong in wrongs.items():
        exercise.wrong(id, story=f"story of {id}", advice=f"advice on {id}")(wrong)
    exercise.right("other order")(lambda x, by=2.0: 3 + by * x)
    exercise.right("sum")(lambda x, by=2.0: torch.add(x * by, 3))
    return exercise


def scaler_exercise() -> Exercise:
    """The exercise fake.Scaler, a class of which one method is blanked and one left out."""
    exercise = Exercise(
        id="fake.Scaler",
        target="scratchmm.fake_library:Scaler",
        title="A gain",
        goal="a layer with a gain",
        minutes=5,
        difficulty=1,
        section="None",
        needs=("fake.scaled",),
        methods={"forward": "x times the gain"},
        drop=("_apply_gain",),
        hints=("one", "two", "three", "four"),
    )

    @exercise.holds("it is x * gain")
    def right(scaler, case):
        layer, x = case.build(scaler, 3), case.normal(B=2, D=3)
        case.equal(case.call(layer, x), x * layer.gain)

    for count in range(6):
        method = exercise.wrong(f"off by {count}", story="s", advice="a", method="forward")
        method(lambda self, x, count=count: x * self.gain + count + 1)
    exercise.right("one", method="forward")(lambda self, x: self.gain * x)
    exercise.right("two", method="forward")(lambda self, x: torch.einsum("bd,d->bd", x, self.gain))
    return exercise


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """The small library and its exercises in place of the real ones; yields them by id."""
    folder = tmp_path / "library"
    folder.mkdir()
    for name, text in (("library", LIBRARY), ("user", USER)):
        module_from(f"scratchmm.fake_{name}", text, folder)
    exercises = {one.id: one for one in (scaled_exercise(), scaler_exercise())}
    for one in exercises.values():
        one.lesson = "99_fake"
    monkeypatch.setattr(catalogue, "exercises", lambda: exercises)
    yield exercises
    for name in ("scratchmm.fake_library", "scratchmm.fake_user", "learner_99_fake"):
        sys.modules.pop(name, None)
