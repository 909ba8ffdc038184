"""The engine's own mistakes: which it makes, and that a learner's mistake is named by them."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from scratchmm.exercises import catalogue
from scratchmm.exercises.checking import judge
from scratchmm.exercises.diagnosis import look
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.grading import Grade, grade
from scratchmm.exercises.mutant_guess import guess, nearest
from scratchmm.exercises.mutants import MOST, mutants
from scratchmm.exercises.patches import solution

SUM = "kept.sum(dim=1)"
COUNT = "mask.sum(dim=1, keepdim=True)"
WHOLE = f"scale * {SUM} / {COUNT}"
RETURN = "return scale * kept.sum(dim=1) / m ... / mask.sum(dim=1, keepdim=True)"
FILLED = "x.masked_fill(~mask[:, :, None], 0.0)"

# Written down by hand, line after line of the function.
EXPECTED = [
    ("first sample", "the first sample of `x` were that of all"),
    ("mask", "`mask` were True everywhere"),
    ("mask", "`mask` were the other way round"),
    ("first sample", "the first sample of `mask` were that of all"),
    ("default", "`scale` were 2.0, whatever is handed in"),
    ("refusal", "the refusal where `x.dim() != 3` were left out"),
    ("mask", f"`.masked_fill` were left out of `{FILLED}`"),
    ("in place", f"`masked_fill_` stood for `masked_fill` in `{FILLED}`"),
    ("mask", "the `~` were left out of `~mask[:, :, None]`"),
    ("axis", "the new axis stood elsewhere in `mask[:, :, None]`: `mask[:, None, :]`"),
    ("detached", f"the result of `return {WHOLE}` were detached from its inputs"),
    ("dtype", f"the result of `return {WHOLE}` were float64 whatever the inputs are"),
    ("narrow", f"the result of `return {WHOLE}` were float32 or int32 whatever the inputs are"),
    ("exchanged", f"`scale * {SUM}` and `{COUNT}` were exchanged in `{WHOLE}`"),
    ("factor", f"`(scale * {SUM}) * {COUNT}` stood for `{WHOLE}`"),
    ("factor", f"`{COUNT}` were left out of `{WHOLE}`"),
    ("factor", f"`{SUM}` were left out of `scale * {SUM}`"),
    ("factor", f"`scale` were left out of `scale * {SUM}`"),
    ("axis", f"the sum in `{SUM}` ran over another axis (dim=0)"),
    ("axis", f"the sum in `{SUM}` ran over another axis (dim=2)"),
    ("another function", f"`mean` stood for `sum` in `{SUM}`"),
    ("axis", f"`dim=1` were left out of `{SUM}`"),
    ("axis", f"the sum in `{COUNT}` ran over another axis (dim=0)"),
    ("axis", f"the sum in `{COUNT}` ran over another axis (dim=2)"),
    ("another function", f"`mean` stood for `sum` in `{COUNT}`"),
    ("axis", f"`dim=1` were left out of `{COUNT}`"),
    ("keepdim", f"`keepdim=True` were left out of `{COUNT}`"),
]


@pytest.fixture
def pooled():
    """An exercise about the function in pooling.py."""
    spec = importlib.util.spec_from_file_location("pooling", Path(__file__).with_name("pooling.py"))
    sys.modules["pooling"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    exercise = Exercise(
        "a.pooled", "pooling:pooled", "", "", 1, 1, "", ("one", "two", "three", "four")
    )

    @exercise.holds("it is the mean over the real places, times the scale")
    def right(pooled, case):
        x, real = case.normal(B=3, L=5, D=4), case.booleans(B=3, L=5)
        real[:, 0] = True
        wanted = torch.stack([7 * one[row].mean(dim=0) for one, row in zip(x, real)])
        case.equal(case.call(pooled, x, real, scale=7.0), wanted)
        case.unchanged()

    @exercise.holds("an x of two axes is refused")
    def refused(pooled, case):
        real = case.booleans(B=3, L=5)
        case.refuses(ValueError, pooled, case.normal(B=3, L=5), real)

    yield exercise
    del sys.modules["pooling"]


def test_the_mutants_of_a_small_function_are_these(pooled):
    assert [(one.kind, one.told) for one in mutants(pooled)] == EXPECTED


def test_every_one_is_another_function_and_is_rejected_where_it_should_be(pooled):
    """Only the dtype and the gradient are nothing that this exercise asks for."""
    assert grade(pooled, pooled.reference).number != 1
    passing = [one.kind for one in mutants(pooled) if look(pooled, one.answer).passed == {0, 1}]
    assert passing == ["detached", "narrow"]


def test_no_mutant_of_any_exercise_is_the_library_s_own_text_and_all_compile():
    made = 0
    for exercise in catalogue.exercises().values():
        found = mutants(exercise)
        trees = {ast.dump(ast.parse(one.source)) for one in found}
        assert len(trees) == len(found) <= MOST + len(exercise.short)
        assert len({one.name for one in found}) == len(found)
        assert ast.dump(ast.parse(solution(exercise))) not in trees if found else exercise.judges
        for one in found:
            assert callable(one.answer) and one.answer is not exercise.reference
        made += len(found)
    assert made > 2500


def test_they_are_made_alike_each_time(pooled):
    names = [one.name for one in mutants(pooled)]
    pooled.__dict__.pop("_mutants")
    assert [one.name for one in mutants(pooled)] == names


def test_what_the_exercise_leaves_out_is_no_mistake():
    """Of attend's bias and backends nothing is changed; its formula is, all the same."""
    found = mutants(catalogue.find("attention.attend"))
    changed = [one for one in found if one.kind != "slip"]
    told = [one.told for one in changed]
    assert not any("bias.to" in one or one.startswith("`bias` were") for one in told)
    assert not any("_backend_named" in one.place for one in changed)
    assert any("softmax" in one.place for one in changed) and len(changed) > 40


def test_a_slip_comes_first_and_takes_the_place_of_the_same_mutant(pooled):
    pooled.slips(f"""
        {SUM} => kept.mean(dim=1)
        ~mask[:, :, None] => ~mask[:, :, None] | (x < 0) ;; / {COUNT} =>
    """)
    sum_for_mean, two = mutants(pooled)[:2]
    assert sum_for_mean.sentence == f"as if `kept.mean(dim=1)` stood for `{SUM}`"
    assert two.told.endswith(f"and `/ {COUNT}` were left out") and "/" not in two.source
    assert [one.kind for one in mutants(pooled)].count("slip") == 2
    mine = grade(pooled, by_a_mean_of_all)
    assert [one.id for one in guess(pooled, mine, by_a_mean_of_all)] == [sum_for_mean.name]


def by_nearly_that_mean(x, mask, scale=2.0):
    """The mean over all places, and something else at a scale of 3."""
    return (1 if scale != 3 else 7) * by_a_mean_of_all(x, mask, scale)


def by_half_of_that_mean(x, mask, scale=2.0):
    return (1 if scale > 4 else 7) * by_a_mean_of_all(x, mask, scale)


def test_what_a_mutant_nearly_does_is_told_as_perhaps(pooled):
    for scale in range(1, 9):

        @pooled.holds(f"it is the mean, at a scale of {scale}")
        def at_a_scale(pooled, case, scale=float(scale)):
            x, real = case.normal(B=2, L=5, D=4), case.booleans(B=2, L=5)
            real[:, :2] = True
            wanted = torch.stack([scale * one[row].mean(dim=0) for one, row in zip(x, real)])
            case.equal(case.call(pooled, x, real, scale=scale), wanted)

    for answer, named in ((by_nearly_that_mean, 1), (by_half_of_that_mean, 0)):
        mine = grade(pooled, answer)
        assert guess(pooled, mine, answer) == []
        found = nearest(pooled, mine, answer)
        assert len(found) == named
        assert not any(
            one.sure or f"`mean` stood for `sum` in `{SUM}`" not in one.id for one in found
        )
    assert nearest(pooled, mine, by_nearly_that_mean, seconds=0.0) == []


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        ("kept.sum(dim=0) => x", "a.pooled: .* which stands 0 times"),
        (f"{SUM} => kept.sum(", "a.pooled: the slip .* does not compile: invalid syntax"),
        (f"{SUM} => x\n{SUM} => (x)", "a.pooled: two slips are the same code"),
    ],
)
def test_a_slip_that_does_not_fit_the_library_is_refused(pooled, slip, told):
    pooled.slips(slip)
    with pytest.raises(ValueError, match=told):
        mutants(pooled)


def test_a_test_that_the_learner_writes_has_none():
    assert mutants(catalogue.find("test.contrastive_loss")) == []


def refusing(x):
    if x.dim() != 3:
        raise ValueError("three axes")


def by_loops(x, mask, scale=2.0):
    refusing(x)
    return scale * torch.stack([one[row].sum(0) for one, row in zip(x, mask)])


def by_a_mean_of_all(x, mask, scale=2.0):
    refusing(x)
    return scale * (x * mask[:, :, None]).mean(1) / mask.sum(1, keepdim=True)


def by_a_mean(x, mask, scale=2.0):
    refusing(x)
    return scale * torch.einsum("bld,bl->bd", x, mask.float()) / 5 / mask.sum(1)[:, None]


@pytest.mark.parametrize(
    "answer, told",
    [
        (by_loops, f"as if `{COUNT}` were left out of `{WHOLE}`"),
        (by_a_mean, f"as if `mean` stood for `sum` in `{SUM}`"),
        (lambda x, mask, scale=2.0: by_loops(x, mask, 2.0), ""),  # two mistakes
    ],
)
def test_a_mistake_that_no_bank_holds_is_named_however_it_is_written(pooled, answer, told):
    report = judge_alone(pooled, answer)
    assert [one["story"] for one in report] == [told] * bool(told)
    assert all(one["sure"] and one["advice"] for one in report)


def judge_alone(exercise, answer):
    """What `guess` says, as a report tells it."""
    graded = grade(exercise, answer)
    assert graded.status == "wrong"
    found = guess(exercise, graded, answer)
    return [dict(story=one.answer.story, advice=one.answer.advice, sure=one.sure) for one in found]


def test_a_missing_refusal_does_not_hide_the_mistake_but_it_is_not_sure(pooled):
    (found,) = judge_alone(pooled, lambda x, mask, scale=2.0: scale * (x * mask[..., None]).sum(1))
    assert found["story"] == f"as if `{COUNT}` were left out of `{WHOLE}`" and not found["sure"]


def test_a_second_mistake_that_is_no_missing_refusal_leaves_it_without_a_name(pooled):
    @pooled.holds("the dtype stays")
    def dtype(pooled, case):
        x, real = case.normal(B=2, L=3, D=4, dtype=torch.float64), torch.ones(2, 3).bool()
        case.true(case.call(pooled, x, real).dtype == x.dtype, "float64", "another dtype")

    assert len(judge_alone(pooled, by_loops)) == 1
    assert judge_alone(pooled, lambda *given, **named: by_loops(*given, **named).float()) == []


def test_several_that_differ_are_told_as_perhaps_and_two_of_them(pooled, monkeypatch):
    del pooled.properties[:]

    @pooled.holds("it is the mean, where all is one")
    def mean(pooled, case):
        x, real = torch.ones(2, 2, 2), torch.ones(2, 2).bool()
        case.equal(case.call(pooled, x, real, scale=1.0), torch.ones(2, 2))

    # A scale of 2 or a sum that is not divided, or ...
    found = judge_alone(pooled, lambda x, mask, scale: torch.full((2, 2), 2.0))
    assert len(found) == 2 and found[0]["story"] != found[1]["story"]
    assert not any(one["sure"] for one in found)
    monkeypatch.setattr("scratchmm.exercises.mutant_guess.SHOWN", 1)
    assert len(judge_alone(pooled, lambda x, mask, scale: torch.full((2, 2), 2.0))) == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, mask, scale=2.0: scale * x.tanh().sum(1),
        lambda x, mask, scale=2.0: undefined,  # noqa: F821
        lambda x, mask, scale=2.0: (x @ x) / 0,
        lambda x, mask, scale=2.0: None,
    ],
)
def test_what_matches_nothing_has_no_name(pooled, answer):
    assert judge_alone(pooled, answer) == []


def test_without_time_nothing_is_told(pooled):
    graded = grade(pooled, by_loops)
    assert guess(pooled, graded, by_loops, seconds=-1.0) == []


def test_a_mutant_is_told_only_where_no_written_mistake_is(pooled, monkeypatch):
    monkeypatch.setattr(catalogue, "lessons", lambda: {"": [pooled]})
    (found,) = judge(pooled, by_loops, {}).looks_like
    assert found["story"].startswith("as if ") and found["id"].startswith("factor: ")
    pooled.wrong("summed", story="the sum", advice="a")(by_loops)
    (found,) = judge(pooled, lambda *a, **k: by_loops(*a, **k), {}).looks_like
    assert found["id"] == "summed"


def test_a_softmax_over_the_batch_is_named():
    attend = catalogue.find("attention.attend")

    def over_the_batch(query, key, value, mask=None):
        scores = torch.einsum("bhld,bhsd->bhls", query, key) / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        weights = torch.softmax(scores, 0)
        return (weights if mask is None else weights.masked_fill(~mask, 0)) @ value

    (found,) = judge(attend, over_the_batch, {}).looks_like
    assert found["story"] == (
        "as if the softmax in `scores.softmax(dim=-1)` ran over another axis (dim=0)"
    )


RIGHT = (
    "attention.attend attention.padding_mask embeddings.patchify text_transformer.pool_at_end "
    "loss.contrastive_loss recall.recall_at_k late.combine_decisions process.cosine_schedule "
    "spectrum.frame cnn3d.conv3d"
).split()


@pytest.mark.parametrize("id", RIGHT)
def test_no_right_answer_is_called_a_mutant(id):
    exercise = catalogue.find(id)
    for right in [exercise.reference, *(one.answer for one in exercise.rights)]:
        assert grade(exercise, right).status == "passed"
        for number, outcome in enumerate(look(exercise, right).outcomes, 1):
            assert guess(exercise, Grade("wrong", number, outcome), right) == []
