"""What every exercise asks besides its properties: the same calls, made in another way."""

import functools
import importlib.util
import random

import pytest
import torch
from torch import nn

from scratchmm.exercises import catalogue
from scratchmm.exercises.checking import judge
from scratchmm.exercises.copies import change, duplicate
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.grading import grade
from scratchmm.exercises.shortcuts import borrowed
from scratchmm.layers import fast_attention


@pytest.fixture
def open_exercise(fake):
    """Both small exercises with one property each, which looks at the shape only."""
    scaled, scaler = fake["fake.scaled"], fake["fake.Scaler"]
    scaled.properties.clear()
    scaler.properties.clear()
    scaled.holds("runs")(lambda scaled, case: case.call(scaled, case.normal(B=2, D=3), by=2.0))

    @scaler.holds("runs")
    def runs(scaler, case):
        case.build(scaler, 4)
        case.call(case.build(scaler, 3), case.normal(B=2, D=3))

    return scaled, scaler


def kept(by_shape):
    memory = {}

    def scaled(x, by=2.0):
        key = (x.shape, x.dtype) if by_shape else (x.shape, x.dtype, x.sum().item())
        if key not in memory:
            memory[key] = x * by + 3
        return memory[key]

    return scaled


def no_gradients(x, by=2.0):
    torch.set_grad_enabled(False)
    return x * by + 3


def seeded(x, by=2.0):
    torch.manual_seed(0)
    return x * by + 3


def rolled(x, by=2.0):
    random.random()
    return x * by + 3


def half_by_default(x, by=2.0):
    torch.set_default_dtype(torch.float64)
    return x * by + 3


WRONG = {
    "squeeze": (lambda x, by=2.0: (x * by + 3).squeeze(), "alone"),
    "squeeze the width": (lambda x, by=2.0: (x * by + 3).squeeze(1), "one"),
    "mean of the batch": (lambda x, by=2.0: x * by + 3 + (len(x) == 1), "alone"),
    "kept by shape": (kept(True), "twice"),
    "kept and handed out": (kept(False), "twice"),
    "by memory": (lambda x, by=2.0: x.as_strided(x.shape, (x.shape[1], 1)) * by + 3, "transposed"),
    "view": (lambda x, by=2.0: (x.view(-1) * by + 3).view(x.shape), "transposed"),
    "float32": (lambda x, by=2.0: x.float() * by + 3, "dtype"),
    "rounded": (lambda x, by=2.0: (x.bfloat16() * by + 3).to(x.dtype) * (x.dtype == torch.float64)
                + (x * by + 3) * (x.dtype != torch.float64), "dtype"),
    "on the CPU": (lambda x, by=2.0: x * by + torch.full((x.shape[1],), 3, dtype=x.dtype), "device"),
    "seeded": (seeded, "seeded"),
    "detached": (lambda x, by=2.0: (x * by + 3).detach(), "gradient"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_way_is_told_by_what_it_does(open_exercise, name):
    answer, way = WRONG[name]
    report = judge(open_exercise[0], answer, {})
    assert report.status == "wrong" and [w["id"] for w in report.looks_like] == [f"way {way}"]
    assert report.number == report.total == 2 and "scaled" not in report.sentence


@pytest.mark.parametrize(
    "answer, what",
    [
        (no_gradients, "gradient mode"),
        (half_by_default, "default dtype"),
        (rolled, "Python's global random generator"),
        (lambda x, by=2.0: x.copy_(x * by + 3), "x"),
    ],
)
def test_what_lies_outside_of_a_call_stays_as_it_was(open_exercise, answer, what):
    before = torch.is_grad_enabled(), torch.get_default_dtype()
    failure = grade(open_exercise[0], answer).outcome.failure
    assert failure.kind == "changed" and what in failure.expected
    assert (torch.is_grad_enabled(), torch.get_default_dtype()) == before


class Own(nn.Module):
    """A right answer, to be spoiled."""

    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * self.gain


def shared_gain():
    gains = {}

    class Shared(Own):
        def __init__(self, width):
            super().__init__(width)
            self.gain = gains.setdefault(width, self.gain)

    return Shared


def of_the_class():
    class Last(Own):
        def __init__(self, width):
            super().__init__(width)
            type(self).width = width

        def forward(self, x):
            return x * self.gain * (self.width / len(self.gain))

    return Last


def remembered():
    class Remembered(Own):
        def forward(self, x):
            if not hasattr(self, "kept"):
                self.kept = self.gain.detach().clone()
            return x * self.gain + x * (self.kept - self.gain)

    return Remembered


def evaluating():
    class Evaluating(Own):
        def forward(self, x):
            self.eval()
            return x * self.gain

    return Evaluating


@pytest.mark.parametrize(
    "make, kind",
    [(shared_gain, "way shared"), (of_the_class, "way another"), (remembered, "way moved"),
     (evaluating, "changed")],
)  # fmt: skip
def test_modules_keep_their_own_and_nothing_else(open_exercise, make, kind):
    assert grade(open_exercise[1], Own).status == "passed"
    failure = grade(open_exercise[1], make()).outcome.failure
    assert failure is not None and failure.kind == kind


def test_nothing_is_asked_that_the_library_does_not_do(open_exercise):
    exercise: Exercise = open_exercise[0]
    exercise.__dict__.pop("_ways", None)
    module = exercise.module
    library = module.scaled

    def float_only(x, by=2.0):
        return (x.detach().float() * by + 3).squeeze()

    module.scaled = float_only
    try:
        assert grade(exercise, lambda x, by=2.0: float_only(x, by)).status == "passed"
    finally:
        module.scaled = library


def test_other_right_ways_to_write_it_pass(open_exercise):
    def loops(x, by=2.0):
        rows = [[value * by + 3 for value in row] for row in x]
        return torch.stack([torch.stack(row) for row in rows])

    def numbers(x, by=2.0):
        out = torch.empty_like(x)
        for i in range(len(x)):
            out[i] = x[i] * torch.tensor(by, dtype=x.dtype) + 3
        return out

    for answer in (loops, numbers):
        graded = grade(open_exercise[0], answer)
        assert graded.status == "passed", (graded.outcome.called, graded.outcome.failure)


def test_a_copy_shares_nothing_and_a_change_is_found_wherever_it_is():
    given = {"a": [1, (torch.ones(2), {"b": torch.zeros(1)})], "c": nn.Linear(2, 2)}
    copy = duplicate(given)
    assert change(copy, given, "x") is None
    given["a"][1][1]["b"] += 1
    assert change(copy, given, "x") == ("x['a'][1][1]['b'][0]", "0", "1")
    copy = duplicate(given)
    given["c"].eval()
    assert change(copy, given, "x") == ("x['c'].training", "True", "False")
    assert change({"a": 1, "b": 2}, {"b": 2, "a": 1}, "x")[0] == "x has"
    assert change([3, 1], [1, 3], "x") == ("x[0]", "3", "1")


def test_the_library_s_own_answer_is_none(open_exercise):
    exercise = open_exercise[0]
    library = exercise.reference

    def by_default(x, by=2.0, own=library):
        return own(x, by)

    held = [library]
    assert borrowed(library, exercise) and not borrowed(by_default, exercise)
    for answer in (by_default, lambda x, by=2.0: held[0](x, by), functools.partial(library)):
        report = judge(exercise, answer, {})
        assert report.status == "wrong", answer
    assert "library's own scaled" in judge(exercise, library, {}).got
    assert library(torch.zeros(1, 1)).item() == 3

    class Copied(nn.Module):
        __init__ = open_exercise[1].reference.__init__
        forward = open_exercise[1].reference.forward
        _apply_gain = open_exercise[1].reference._apply_gain

    assert borrowed(Copied, open_exercise[1])


def test_a_second_copy_of_the_library_s_module_is_the_library_s(open_exercise):
    library = open_exercise[0].module
    spec = importlib.util.spec_from_file_location("another", library.__file__)
    another = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(another)
    assert another.scaled is not library.scaled and borrowed(another.scaled, open_exercise[0])
    assert borrowed(another.Scaler, open_exercise[1])
    assert not borrowed(another._shift, open_exercise[0])


@pytest.mark.parametrize(
    "forbidden, kernel",
    [
        ("torch.nn.functional.softmax", lambda x: torch.special.softmax(x, 1)),
        ("torch.nn.functional.softmax", lambda x: torch.ops.aten._softmax(x, 1, False)),
        ("torch.nn.functional.unfold", lambda x: torch.ops.aten.im2col(
            x[None, None], [1, 1], [1, 1], [0, 0], [1, 1])),
    ],
)  # fmt: skip
def test_kernels_are_forbidden_and_not_names_alone(open_exercise, forbidden, kernel):
    exercise = open_exercise[0]
    exercise.forbidden = (forbidden,)

    def sly(x, by=2.0):
        kernel(x)
        return x * by + 3

    assert grade(exercise, sly).outcome.failure.kind == "shortcut"
    assert grade(exercise, lambda x, by=2.0: x.unfold(1, 1, 1)[..., 0] * by + 3).status == "passed"


@pytest.mark.parametrize("name", ["tiled_attention", "fused_attention", "torch_attention"])
def test_another_attention_of_the_library_is_no_answer_to_attend(name):
    def attend(query, key, value, mask=None, *, backend=None):
        return getattr(fast_attention, name)(query, key, value, mask)

    graded = grade(catalogue.find("attention.attend"), attend)
    assert graded.outcome.failure.kind == "shortcut"
    assert f"fast_attention.{name}" in graded.outcome.failure.got
