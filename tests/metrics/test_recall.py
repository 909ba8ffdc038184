"""recall@k against sorting by hand, and what ties and several right answers do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.metrics.recall import recall_at_k
from shape_comments import check_shape_comments


@given(Q=st.integers(1, 6), G=st.integers(1, 7), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_equals_sorting_by_hand(Q, G, seed):
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.randn(Q, G, generator=generator)
    relevant = torch.rand(Q, G, generator=generator) > 0.6
    relevant[:, 0] = True
    for k in range(1, G + 1):
        hits = 0
        for q in range(Q):
            ranked = sorted(range(G), key=lambda g: -similarity[q, g].item())
            hits += any(relevant[q, g].item() for g in ranked[:k])
        assert recall_at_k(similarity, k, relevant) == pytest.approx(hits / Q)


def test_pairs_are_the_default():
    similarity = torch.tensor([[3.0, 2, 1], [3, 2, 1], [3, 2, 1]])
    assert [recall_at_k(similarity, k) for k in (1, 2, 3)] == [
        pytest.approx(1 / 3),
        pytest.approx(2 / 3),
        1.0,
    ]


def test_a_model_that_finds_all_alike_recalls_nothing():
    alike = torch.ones(5, 5)
    assert recall_at_k(alike, 4) == 0 and recall_at_k(alike, 5) == 1


def test_right_answers_that_tie_with_each_other_do_not_hurt():
    similarity = torch.tensor([[1.0, 1.0, 0.5]])
    assert recall_at_k(similarity, 1, torch.tensor([[True, True, False]])) == 1.0
    assert recall_at_k(similarity, 1, torch.tensor([[True, False, False]])) == 0.0


def test_a_query_without_a_right_answer_never_hits():
    relevant = torch.tensor([[True, False], [False, False]])
    assert recall_at_k(torch.eye(2), 1, relevant) == 0.5
    assert recall_at_k(torch.eye(2), 2, relevant) == 0.5
    assert recall_at_k(torch.eye(2), 3, relevant) == 0.5


@pytest.mark.parametrize("place", [(0, 0), (0, 2), (3, 1)])
def test_similarities_that_are_nan_are_refused(place):
    similarity = torch.eye(4)
    similarity[place] = torch.nan
    with pytest.raises(ValueError, match="^1 similarities are nan, and have no rank$"):
        recall_at_k(similarity, 1)


def test_infinite_similarities_have_a_rank():
    similarity = torch.tensor([[torch.inf, 1.0], [torch.inf, -torch.inf]])
    assert recall_at_k(similarity, 1) == 0.5 and recall_at_k(similarity, 2) == 1.0


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_has_no_recall(shape):
    with pytest.raises(ValueError, match="there is nothing to recall"):
        recall_at_k(torch.zeros(shape), 1, torch.zeros(shape, dtype=torch.bool))


def test_scaling_changes_nothing():
    similarity = torch.randn(6, 6)
    assert recall_at_k(similarity, 2) == recall_at_k(10 * similarity + 3, 2)


def test_refusals():
    with pytest.raises(ValueError, match="^k is 0 and must be a whole number from 1 to "):
        recall_at_k(torch.eye(2), 0)
    with pytest.raises(ValueError, match="^2 queries and 3 answers are no pairs"):
        recall_at_k(torch.zeros(2, 3), 1)
    with pytest.raises(ValueError, match=r"^similarity is \(2, 3\) but relevant is \(3, 2\)$"):
        recall_at_k(torch.zeros(2, 3), 1, torch.zeros(3, 2).bool())


@pytest.mark.parametrize(
    ("similarity", "relevant", "sentence"),
    [
        (torch.ones(2, 2, dtype=torch.int64), None, r"similarity is \(2, 2\) of torch.int64, and"),
        (torch.ones(3), None, r"similarity is \(3,\) of torch.float32, and should be \(Q, G\)"),
        (torch.eye(2), torch.eye(2), "relevant is of torch.float32, and should be bool"),
    ],
)
def test_what_is_no_table_of_similarities_is_refused_by_name(similarity, relevant, sentence):
    with pytest.raises(ValueError, match=sentence):
        recall_at_k(similarity, 1, relevant)


def run_shapes() -> None:
    import torch

    from scratchmm.metrics import recall

    recall.recall_at_k(torch.randn(3, 5), 2, torch.rand(3, 5) > 0.5)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "metrics/recall.py")
