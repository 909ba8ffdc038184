import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.training import length_buckets as module
from scratchmm.training.length_buckets import length_buckets
from scratchmm.training.sampling import seeded
from shape_comments import check_shape_comments


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=40), st.integers(1, 45), st.integers(0, 4)
)
def test_an_epoch_holds_every_sample_once(lengths, batch, epoch):
    batch_at = length_buckets(lengths, batch, seed=3)
    per_epoch = -(-len(lengths) // batch)
    parts = [batch_at(step) for step in range(epoch * per_epoch, (epoch + 1) * per_epoch)]
    assert all(1 <= len(part) <= batch and part.dtype == torch.int64 for part in parts)
    assert sum(len(part) < min(batch, len(lengths)) for part in parts) <= 1
    assert sorted(torch.cat(parts).tolist()) == list(range(len(lengths)))


def test_a_batch_is_of_like_lengths():
    lengths = torch.randint(100, 10_000, (640,), generator=torch.Generator().manual_seed(1))
    batch_at = length_buckets(lengths.tolist(), 32)
    filled = [lengths[batch_at(step)].float() for step in range(40)]
    padding = 1 - sum(part.sum() for part in filled) / sum(len(p) * p.max() for p in filled)
    shuffled = lengths[torch.randperm(640)].float().reshape(20, 32)
    at_random = 1 - shuffled.sum() / (32 * shuffled.amax(dim=1).sum())
    assert padding < 0.15 < at_random


def test_nothing_seems_shorter_or_more_than_a_fifth_longer():
    batch_at = length_buckets([100] * 8 + [121] * 8, 8)
    for step in range(50):
        assert len({place // 8 for place in batch_at(step).tolist()}) == 1
    batch_at = length_buckets([100] * 8 + [115] * 8, 8)
    assert any(len({place // 8 for place in batch_at(step).tolist()}) == 2 for step in range(50))


def test_lengths_do_not_come_in_order():
    batch_at = length_buckets(list(range(1, 65)), 8)
    longest = [batch_at(step).max().item() for step in range(8)]
    assert longest != sorted(longest) and longest != sorted(longest, reverse=True)


def test_pure_in_the_step_and_epochs_and_seeds_differ():
    lengths = list(range(50, 70))
    one, other = length_buckets(lengths, 5, 3), length_buckets(lengths, 5, 3)
    torch.rand(5)  # the global generator plays no part
    forwards = [one(step) for step in range(30)]
    backwards = [other(step) for step in reversed(range(30))][::-1]
    torch.testing.assert_close(forwards, backwards, rtol=0, atol=0)
    first = {
        tuple(
            torch.cat([length_buckets(lengths, 5, seed)(4 * epoch + i) for i in range(4)]).tolist()
        )
        for seed in range(4)
        for epoch in range(4)
    }
    assert len(first) == 16


def test_two_epochs_are_kept_and_no_more(monkeypatch):
    drawn = []

    def counted(seed, epoch):
        drawn.append(epoch)
        return seeded(seed, epoch)

    monkeypatch.setattr(module, "seeded", counted)
    batch_at = length_buckets([5, 6, 7, 8], 2)
    for step in (0, 1, 2, 3, 1, 2, 4, 5, 0):  # to and fro between two, then on, then back
        batch_at(step)
    assert drawn == [0, 1, 2, 0]


def test_a_caller_may_change_the_batch_it_got():
    batch_at = length_buckets([5, 6, 7], 3)
    before = batch_at(0).tolist()
    batch_at(0).zero_()
    assert batch_at(0).tolist() == before


@pytest.mark.parametrize(
    ("lengths", "batch", "sentence"),
    [([], 2, "there are 0 lengths"), ([3, 4], 0, "batch size is 0 and must be")],
)
def test_what_cannot_be_cut_is_refused(lengths, batch, sentence):
    with pytest.raises(ValueError, match=sentence):
        length_buckets(lengths, batch)


def run_shapes() -> None:
    from scratchmm.training import length_buckets

    length_buckets.length_buckets([3, 9, 4, 8, 5], batch_size=2)(0)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "training/length_buckets.py")
