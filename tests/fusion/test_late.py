"""Late fusion: votes by an explicit loop, weights, and logarithms that do not underflow."""

import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.strategies import WIDTHS, features, make, run_shapes
from scratchmm.fusion.late import WeightedLateFusion, check_votes, combine_decisions
from shape_comments import check_shape_comments


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.booleans(), min_size=3, max_size=3).filter(any), min_size=1, max_size=4),
    st.booleans(),
)
def test_the_mean_by_a_loop(rows: list[list[bool]], learned: bool) -> None:
    generator = torch.Generator().manual_seed(len(rows))
    present = torch.tensor(rows)
    logits = torch.randn(len(rows), 3, 5, generator=generator).double()
    scores = torch.tensor([0.3, -1.2, 2.0]).double() if learned else None
    got = combine_decisions(logits, present, scores)
    for b, row in enumerate(rows):
        total, weight = torch.zeros(5).double(), 0.0
        for m in range(3):
            if row[m]:
                share = scores[m].exp() if learned else 1.0
                total += share * logits[b, m].softmax(dim=-1)
                weight += share
        torch.testing.assert_close(got[b].exp(), total / weight)


def test_the_result_is_a_log_probability_that_cross_entropy_takes_as_it_is() -> None:
    logits, present = torch.randn(4, 3, 5).double(), torch.ones(4, 3, dtype=torch.bool)
    got = combine_decisions(logits, present)
    torch.testing.assert_close(got.exp().sum(-1), torch.ones(4).double())
    target = torch.tensor([0, 2, 4, 1])
    torch.testing.assert_close(F.cross_entropy(got, target), F.nll_loss(got, target))


def test_it_is_not_the_mean_of_the_logits() -> None:
    """One sure modality among the unsure: probabilities are averaged, not products."""
    logits = torch.tensor([[[9.0, 0.0], [-9.0, 0.0], [-9.0, 0.0]]])
    got = combine_decisions(logits, torch.ones(1, 3, dtype=torch.bool)).exp()
    assert got[0, 0] == pytest.approx(1 / 3, abs=1e-3)


def test_what_all_find_impossible_keeps_its_logarithm() -> None:
    logits = torch.tensor([[[0.0, -500.0], [0.0, -900.0]]], requires_grad=True)
    got = combine_decisions(logits, torch.tensor([[True, True]]))
    assert got[0, 1].item() == pytest.approx(-500.693, abs=1e-2)
    got.sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ["late", "weighted late"])
def test_a_network_a_modality(name: str) -> None:
    model, inputs = make(name), features(3)
    networks, scores = (
        (model.networks, None) if name == "late" else (model.late.networks, model.scores)
    )
    decisions = torch.stack([networks[key](inputs[key]) for key in WIDTHS], dim=1)
    present = torch.ones(3, 3, dtype=torch.bool)
    torch.testing.assert_close(model(inputs), combine_decisions(decisions, present, scores))


def test_a_modality_alone_decides_alone() -> None:
    for name in ("late", "weighted late"):
        model, inputs = make(name), features(3)
        networks = model.networks if name == "late" else model.late.networks
        alone = networks["words"](inputs["words"]).log_softmax(-1)
        torch.testing.assert_close(model({"words": inputs["words"]}), alone)


def test_weights_are_learned_shares() -> None:
    model = WeightedLateFusion(WIDTHS, 2, 3)
    assert model.weights() == pytest.approx(dict.fromkeys(WIDTHS, 1 / 3))
    with torch.no_grad():
        model.scores.copy_(torch.tensor([0.0, 100.0, 0.0]))
    assert model.weights() == pytest.approx({"sound": 0.0, "image": 1.0, "words": 0.0})
    inputs = {name: torch.randn(3, width) for name, width in WIDTHS.items()}
    torch.testing.assert_close(model(inputs), model({"image": inputs["image"]}))


def test_a_row_in_which_nobody_is_present_is_refused():
    present = torch.tensor([[True, False], [False, False], [False, False]])
    with pytest.raises(ValueError, match="^2 rows have no modality that is present$"):
        combine_decisions(torch.zeros(3, 2, 4), present)


@pytest.mark.parametrize(
    ("present", "found"),
    [
        (torch.ones(3, 2).int(), "torch.int32 (3, 2)"),
        (torch.zeros(3, 2), "torch.float32 (3, 2)"),  # a mask to add, where 0 lets through
        (torch.ones(3, 1).bool(), "torch.bool (3, 1)"),
        (torch.ones(2, 2).bool(), "torch.bool (2, 2)"),
        (torch.ones(2, 3).bool(), "torch.bool (2, 3)"),
        (torch.ones(3).bool(), "torch.bool (3,)"),
        (torch.ones(3, 2, 1).bool(), "torch.bool (3, 2, 1)"),
    ],
)
@pytest.mark.parametrize("refuse", [check_votes, combine_decisions])
def test_a_presence_that_does_not_fit_is_refused(refuse, present, found) -> None:
    sentence = f"the presence is {found}, but logits of (3, 2, 4) need torch.bool (3, 2)"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        refuse(torch.zeros(3, 2, 4), present)
    check_votes(torch.zeros(3, 2, 4), torch.zeros(3, 2, dtype=torch.bool))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/late.py")
