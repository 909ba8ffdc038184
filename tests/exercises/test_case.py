"""What a case demands, how it tells what it saw, and which shortcuts it stops."""

import dataclasses
import math

import pytest
import torch

from scratchmm.exercises.calls import Failed, NotWritten
from scratchmm.exercises.case import Case
from scratchmm.exercises.compare import same
from scratchmm.exercises.format import BankAnswer, Property
from scratchmm.exercises.grading import apply, grade
from scratchmm.exercises.shortcuts import ShortcutTaken, forbidding


def failure(demand):
    with pytest.raises(Failed) as caught:
        demand()
    return caught.value


def test_a_call_is_told_with_the_names_of_its_axes():
    case = Case(0, "x.y")
    x, mask = case.normal(B=2, L=5, D=7), case.booleans(B=2, S=6)[:, None, None]
    case.named(mask, "B 1 1 S")

    def attend(query, mask=None, *, backend=None):
        return query

    case.call(attend, x, mask, backend="plain")
    told = "attend(query (B=2, L=5, D=7), mask bool (B=2, 1, 1, S=6), backend='plain')"
    assert case.called == told


def test_inputs_depend_on_the_seed_alone():
    one, same_seed, other = (Case(seed, "x").normal(B=2, D=3) for seed in (1, 1, 2))
    assert torch.equal(one, same_seed) and not torch.equal(one, other)
    assert all((Case(seed, "x").permutation(2) != torch.arange(2)).any() for seed in range(9))


def test_equal_tells_the_first_place_that_differs():
    case = Case(0, "x")
    got, expected = torch.zeros(2, 3), torch.zeros(2, 3)
    got[1, 2] = 0.5
    failed = failure(lambda: case.equal(got, expected))
    assert (failed.expected, failed.got, failed.where) == ("0", "0.5", "[1, 2]")
    assert "shape (2, 3)" in failure(lambda: case.equal(got.T, expected)).expected
    assert failure(lambda: case.equal(got.double(), expected)).got == "torch.float64"
    assert failure(lambda: case.equal(None, expected)).got == "None (is a return missing?)"
    assert failure(lambda: case.equal(None, 0.5)).got == "None (is a return missing?)"


@pytest.mark.parametrize(
    "got, expected",
    [
        (torch.ones(3), torch.full((3,), 1.001)),
        (torch.tensor([math.nan]), torch.tensor([0.0])),
        (torch.ones(1, dtype=torch.int32), torch.ones(1, dtype=torch.int64)),
        (torch.ones(1, 3), torch.ones(3)),
        (True, 1),
        ("a", "b"),
        ([1, 2], [1, 2, 3]),
        ({"a": 1}, {"a": 1, "b": 2}),
        (1.0, 1.01),
    ],
)
def test_what_differs_is_not_the_same(got, expected):
    assert not same(got, expected) and not same(expected, got)


def test_shapes_by_name_allow_arithmetic():
    case = Case(0, "x")
    case.normal(B=2, N=4, D=3)
    case.shape(torch.zeros(2, 5, 3), "B 1+N D")
    assert failure(lambda: case.shape(torch.zeros(2, 4, 3), "B 1+N D")).got == "(2, 4, 3)"
    assert "return missing" in failure(lambda: case.shape(None, "B D")).got


def test_a_changed_input_is_noticed():
    case = Case(0, "x")
    case.call(lambda x: x.add_(1), case.normal(B=2, D=3))
    assert "x stays" in failure(case.unchanged).expected


def test_gradients_find_what_is_detached_scaled_or_cut_in_one_input():
    def right(x, y):
        return x.sin() * y

    inputs = Case(0, "x").normal(B=2, D=3), Case(1, "x").normal(B=2, D=3)
    Case(0, "x").gradients(right, right, *inputs)
    cut = failure(lambda: Case(0, "x").gradients(lambda x, y: x.detach().sin() * y, right, *inputs))
    assert "gradient of x" in cut.expected
    gone = failure(lambda: Case(0, "x").gradients(lambda x, y: x.detach(), right, *inputs))
    assert gone.kind == "detached"
    wide = failure(lambda: Case(0, "x").gradients(lambda x, y: right(x, y)[None], right, *inputs))
    assert "shape" in wide.expected


def test_a_module_is_filled_by_name_and_not_by_order():
    one = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 2), "b": torch.nn.Linear(3, 2)})
    other = torch.nn.ModuleDict({"b": torch.nn.Linear(3, 2), "a": torch.nn.Linear(3, 2)})
    for module in (one, other):
        Case(0, "x").fill(module)
    assert torch.equal(one["a"].weight, other["a"].weight)
    assert not torch.equal(one["a"].weight, one["b"].weight)


def test_what_the_candidate_raises_is_the_failure():
    case = Case(0, "x.y")
    assert "ZeroDivisionError" in failure(lambda: case.call(lambda: 1 / 0)).got
    assert "exit(3)" in failure(lambda: case.call(exit, 3)).got
    case.refuses(ValueError, int, "seven")
    assert "the result 7" in failure(lambda: case.refuses(ValueError, int, "7")).got

    def stub():
        raise NotImplementedError("x.y: later")

    with pytest.raises(NotWritten):
        case.call(stub)


def test_shortcuts_raise_under_every_alias_and_come_back():
    namespace: dict = {"softmax": torch.nn.functional.softmax}
    original = torch.nn.functional.softmax
    with forbidding(["torch.nn.functional.softmax", "torch.Tensor.softmax"], namespace):
        for call in (
            lambda: torch.nn.functional.softmax(torch.ones(2), 0),
            lambda: namespace["softmax"](torch.ones(2), 0),
            lambda: torch.ones(2).softmax(0),
        ):
            with pytest.raises(ShortcutTaken):
                call()
    with forbidding(["torch.nn.functional.softmax"], namespace), pytest.raises(ShortcutTaken):
        namespace["softmax"](torch.ones(2), 0)
    assert namespace["softmax"] is original is torch.nn.functional.softmax
    assert torch.ones(2).softmax(0).sum() == 1


def test_the_library_s_own_solution_is_no_answer(fake):
    exercise, library = fake["fake.scaled"], fake["fake.scaled"].module

    def borrowed(x, by=2.0):
        return library.scaled(x, by)

    assert grade(exercise, borrowed).status == "passed"
    graded = grade(exercise, borrowed, learner=True)
    assert graded.outcome.failure.kind == "shortcut"

    class Borrowed(fake["fake.Scaler"].reference):
        pass

    assert grade(fake["fake.Scaler"], Borrowed, learner=True).outcome.failure.kind == "shortcut"


def test_no_except_of_the_learner_s_hides_a_shortcut(fake):
    def sly(x, by=2.0):
        try:
            return torch.addcmul(x, x, x)
        except Exception:  # noqa: BLE001 (the point of it)
            return x * by + 3

    outcome = apply(fake["fake.scaled"], fake["fake.scaled"].properties[0], sly)
    assert outcome.failure.kind == "shortcut"


def test_what_a_candidate_draws_depends_on_the_seed_alone():
    draws = [Case(seed, "x").call(torch.rand, 3) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_the_trace_holds_every_result_and_what_was_asked():
    case = Case(0, "x")
    x = case.normal(B=2, D=3)
    doubled = case.call(lambda x: 2 * x, x)
    doubled.zero_()  # what happens later does not change what was seen
    case.true(True, "anything", "it")
    case.unchanged()
    assert same(case.trace, [2 * x, "it", x])


def test_of_several_calls_the_one_that_differs_is_shown_and_all_are_in_the_trace():
    def double(k, by=2):
        return by * k if k != 3 else 7

    case = Case(0, "x")
    failed = failure(lambda: case.each(double, *(((k,), 2 * k) for k in (2, 3, 4))))
    assert case.called == "double(k=3)" and (failed.expected, failed.got) == ("6", "7")
    assert case.trace == [4, 7, 8]


def test_a_dictionary_is_told_whole_so_that_the_call_can_be_made_again():
    ranks = {(a, b): 1 for a in "abc" for b in "de"}
    case = Case(0, "x")
    case.call(lambda word, ranks: word, "abc", ranks)
    assert f"ranks={ranks}" in case.called


def test_nan_is_the_same_as_nan():
    assert same(torch.tensor([math.nan, 1.0]), torch.tensor([math.nan, 1.0]))


def test_tensors_in_a_dictionary_are_told_by_their_axes_and_watched():
    def spoils(features):
        features["words"] += 1

    case = Case(0, "x")
    features = {"image": case.normal(B=2, D=3), "words": case.normal(B=2, T=5)}
    case.call(spoils, features)
    assert case.called == "spoils(features {image (B=2, D=3), words (B=2, T=5)})"
    assert "words stays" in failure(case.unchanged).expected


def test_a_generator_is_told_by_its_seed():
    case = Case(0, "x")
    case.call(lambda generator: 0, torch.Generator().manual_seed(7))
    assert "generator=torch.Generator().manual_seed(7)" in case.called


def test_answers_and_properties_of_a_bank_stay_as_they_are():
    for one in (BankAnswer("seven", build=lambda: 7), Property("it holds", lambda f, case: None)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.sentence = "another"
