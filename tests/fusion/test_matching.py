"""In-batch negatives: never a text equal to one's own, evenly drawn, and told truly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.fusion.matching import matching_negatives
from shape_comments import check_shape_comments


@settings(deadline=None, max_examples=60)
@given(
    numbers=st.lists(st.integers(0, 3), min_size=1, max_size=9),
    length=st.integers(1, 3),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_wrong_pairs_are_wrong_and_right_pairs_are_their_own(numbers, length, share, seed):
    # texts that differ at their last token alone: equal at the start is not equal
    tokens = torch.ones(len(numbers), length, dtype=torch.int64)
    tokens[:, -1] = torch.tensor(numbers)
    partner, matched = matching_negatives(tokens, torch.Generator().manual_seed(seed), share)
    assert partner.dtype == torch.int64 and matched.dtype == torch.bool
    for row, (other, right) in enumerate(zip(partner.tolist(), matched.tolist())):
        assert right == (other == row)
        assert right == (numbers[other] == numbers[row])
    if share == 0:
        assert matched.all()
    if share == 1:
        assert matched.tolist() == [len(set(numbers)) == 1] * len(numbers)


def test_the_share_is_kept_and_wrong_texts_are_drawn_evenly():
    tokens = torch.tensor([[1], [1], [2], [3], [4]])
    generator, wrong, drawn = torch.Generator().manual_seed(0), 0, torch.zeros(5)
    for _ in range(2000):
        partner, matched = matching_negatives(tokens, generator, share=0.3)
        wrong += int((~matched).sum())
        if not matched[0]:
            drawn[partner[0]] += 1
    assert 0.28 < wrong / 10_000 < 0.32
    assert drawn[:2].tolist() == [0, 0]
    assert (drawn[2:] / drawn.sum() - 1 / 3).abs().max() < 0.06


def test_the_default_is_half():
    tokens, generator = torch.arange(2000)[:, None], torch.Generator().manual_seed(0)
    assert 0.45 < matching_negatives(tokens, generator)[1].float().mean() < 0.55


def test_the_same_generator_gives_the_same_pairs():
    tokens = torch.arange(20).view(10, 2)
    one, other = (matching_negatives(tokens, torch.Generator().manual_seed(5)) for _ in range(2))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=f"the share of wrong texts is {share}, not between"):
        matching_negatives(torch.tensor([[1], [2]]), torch.Generator(), share)


def run_shapes() -> None:
    import torch

    from scratchmm.fusion import matching

    matching.matching_negatives(torch.tensor([[1, 2], [1, 2], [3, 4]]), torch.Generator())


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/matching.py")
