import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.training import sampling
from scratchmm.training.sampling import seeded, shuffled_batches


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.data(), st.integers(0, 5), st.integers(0, 4))
def test_an_epoch_is_a_permutation_cut_in_batches(count, data, seed, epoch):
    batch = data.draw(st.integers(1, count))
    batch_at = shuffled_batches(count, batch, seed)
    per_epoch = count // batch
    steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
    drawn = torch.cat([batch_at(step) for step in steps])
    assert drawn.dtype == torch.int64 and len(drawn) == per_epoch * batch
    assert len(drawn.unique()) == len(drawn)  # nothing twice within the epoch
    assert 0 <= drawn.min() and drawn.max() < count


def test_pure_in_the_step_whatever_was_asked_before():
    one, other = shuffled_batches(50, 8, 3), shuffled_batches(50, 8, 3)
    torch.rand(5)  # the global generator plays no part
    forwards = [one(step) for step in range(30)]
    backwards = [other(step) for step in reversed(range(30))][::-1]
    torch.testing.assert_close(forwards, backwards, rtol=0, atol=0)


def test_two_epochs_are_kept_and_no_more(monkeypatch):
    drawn = []

    def counted(seed, epoch):
        drawn.append(epoch)
        return seeded(seed, epoch)

    monkeypatch.setattr(sampling, "seeded", counted)
    batch_at = shuffled_batches(4, 2)
    for step in (0, 1, 2, 3, 1, 2, 4, 5, 0):  # to and fro between two, then on, then back
        batch_at(step)
    assert drawn == [0, 1, 2, 0]


def test_a_caller_may_change_the_batch_it_got():
    batch_at = shuffled_batches(10, 5, 0)
    before = batch_at(0).tolist()
    batch_at(0).zero_()
    assert batch_at(0).tolist() == before


def test_global_generator_is_untouched():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    shuffled_batches(10, 5, 0)(1)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_epochs_and_seeds_differ_from_each_other():
    orders = {
        tuple(shuffled_batches(20, 20, seed)(epoch).tolist())
        for seed in range(6)
        for epoch in range(6)
    }
    assert len(orders) == 36


def test_every_sample_gets_its_turn_though_the_rest_is_dropped():
    batch_at = shuffled_batches(7, 3, 0)
    assert set(torch.cat([batch_at(step) for step in range(40)]).tolist()) == set(range(7))


@pytest.mark.parametrize(
    ("count", "batch", "sentence"),
    [
        (10, 64, "batch size 64 is larger than the 10 samples"),
        (10, 0, "batch size is 0 and must be"),
    ],
)
def test_refusals(count, batch, sentence):
    with pytest.raises(ValueError, match=sentence):
        shuffled_batches(count, batch)
