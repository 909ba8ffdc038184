from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from scratchmm.training import balanced
from scratchmm.training.balanced import (
    BalancedSampler,
    balanced_batches,
    balanced_order,
    balanced_weights,
    patterns,
)
from scratchmm.training.sampling import seeded as seeded_by

labels_of = st.lists(st.sampled_from("aaaabbc"), min_size=1, max_size=30)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@settings(deadline=None)
@given(labels_of, st.integers(1, 90), st.integers(0, 5))
def test_every_label_comes_as_often_and_no_sample_before_its_turn(labels, count, seed):
    order = balanced_order(labels, count, seeded(seed)).tolist()
    assert len(order) == count and set(order) <= set(range(len(labels)))
    kinds = len(set(labels))
    told = [labels[index] for index in order]
    for start in range(0, count, kinds):  # in each run of as many samples as there are labels
        run = told[start : start + kinds]
        assert len(set(run)) == len(run)
    for label in set(labels):
        mine = [index for index in order if labels[index] == label]
        each = Counter(mine)
        if len(mine) >= labels.count(label):
            assert set(each) == {i for i, other in enumerate(labels) if other == label}
        assert not mine or max(each.values()) - min(each.values()) <= 1


def test_order_is_mixed_within_labels_and_among_them():
    labels = ["a"] * 50 + ["b"] * 50
    order = balanced_order(labels, 100, seeded(0))
    firsts = (order[::2] < 50).float().mean()
    assert 0.2 < firsts < 0.8  # which label begins a round is left to chance
    mine = order[order < 50]
    assert not torch.equal(mine, mine.sort().values)
    assert not torch.equal(order, balanced_order(labels, 100, seeded(1)))
    torch.testing.assert_close(order, balanced_order(labels, 100, seeded(0)), rtol=0, atol=0)


def test_a_short_order_leaves_no_label_out_by_rule():
    seen = Counter()
    for seed in range(60):
        seen.update("abc"[i] for i in balanced_order("abc", 1, seeded(seed)).tolist())
    assert set(seen) == set("abc")


def test_batches_are_a_pure_function_of_the_step_and_balanced():
    labels = ["yes"] * 95 + ["no"] * 5
    one, other = (balanced_batches(labels, 10, seed=3) for _ in range(2))
    forwards = [one(step) for step in range(25)]
    backwards = [other(step) for step in reversed(range(25))][::-1]
    torch.testing.assert_close(forwards, backwards, rtol=0, atol=0)
    assert all(int((batch >= 95).sum()) == 5 for batch in forwards)
    assert len(torch.cat(forwards[:10])[torch.cat(forwards[:10]) < 95].unique()) == 50
    one(0).zero_()
    torch.testing.assert_close(one(0), forwards[0], rtol=0, atol=0)
    epochs = {tuple(torch.cat([batches(e * 10 + i) for i in range(10)]).tolist())
              for batches in (balanced_batches(labels, 10, seed) for seed in range(3))
              for e in range(3)}  # fmt: skip
    assert len(epochs) == 9


def test_two_epochs_are_kept_and_no_more(monkeypatch):
    drawn = []

    def counted(seed, epoch):
        drawn.append(epoch)
        return seeded_by(seed, epoch)

    monkeypatch.setattr(balanced, "seeded", counted)
    batch_at = balanced_batches("aabb", 2)
    for step in (0, 1, 2, 3, 1, 2, 4, 5, 0):  # to and fro between two, then on, then back
        batch_at(step)
    assert drawn == [0, 1, 2, 0]


def test_sampler_feeds_a_data_loader():
    answers = torch.tensor([0] * 90 + [1] * 10)
    sampler = BalancedSampler(answers.tolist(), count=60, seed=1)
    loader = DataLoader(TensorDataset(answers), batch_size=20, sampler=sampler)
    passes = [torch.stack([batch[0] for batch in loader]) for _ in range(2)]
    assert len(sampler) == 60 and len(loader) == 3
    for batches in passes:
        assert batches.sum(1).tolist() == [10, 10, 10]
    first, second = list(BalancedSampler(range(9), seed=1)), list(BalancedSampler(range(9), seed=2))
    assert first != second and sorted(first) == list(range(9))
    again = BalancedSampler(range(9), seed=1)
    orders = [list(again) for _ in range(3)]
    assert orders[0] == first and orders[0] != orders[1]
    resumed = BalancedSampler(range(9), seed=1)
    resumed.set_epoch(2)
    assert list(resumed) == orders[2]


@given(st.lists(st.tuples(*[st.sampled_from("ab")] * 3), min_size=1, max_size=20))
def test_chances_are_even_on_every_level(rows):
    weights = balanced_weights(*zip(*rows))
    assert weights.sum().item() == pytest.approx(1)
    for level in (1, 2, 3):
        for above in {row[: level - 1] for row in rows}:
            below = sorted({row[:level] for row in rows if row[: level - 1] == above})
            sums = [
                sum(w.item() for w, row in zip(weights, rows) if row[:level] == path)
                for path in below
            ]
            assert sums == pytest.approx([sums[0]] * len(sums))
    for row in set(rows):  # twins share
        mine = [w.item() for w, other in zip(weights, rows) if other == row]
        assert mine == pytest.approx([mine[0]] * len(mine))


def test_weights_do_for_torchs_sampler():
    kinds, answers = ["count"] * 90 + ["exist"] * 10, ["1"] * 80 + ["2"] * 10 + ["no"] * 10
    weights = balanced_weights(kinds, answers)
    drawn = list(WeightedRandomSampler(weights.tolist(), 4000, generator=seeded(0)))
    shares = Counter(answers[index] for index in drawn)
    assert shares["no"] / 4000 == pytest.approx(0.5, abs=0.04)
    assert shares["2"] / 4000 == pytest.approx(0.25, abs=0.04)


def test_patterns_name_what_is_there():
    present = {"a": torch.tensor([True, False, False]), "b": torch.tensor([True, True, False])}
    assert patterns(present) == [("a", "b"), ("b",), ()]
    order = balanced_order(patterns(present), 6, seeded(0))
    assert order.bincount().tolist() == [2, 2, 2]


def test_refusals():
    with pytest.raises(ValueError, match="^count is 0 and must be"):
        balanced_order([1, 2], 0, torch.Generator())
    with pytest.raises(ValueError, match="^5 samples cannot be drawn from 0 labels$"):
        balanced_order([], 5, seeded(0))
    with pytest.raises(
        ValueError, match="^batch size is 4 and must be a whole number from 1 to 3$"
    ):
        balanced_batches("abc", 4)
    with pytest.raises(ValueError, match="^batch size is 0 and must be"):
        balanced_batches("abc", 0)
    with pytest.raises(ValueError, match="^count is 0 and must be"):
        BalancedSampler("ab", count=0)
    with pytest.raises(ValueError, match=r"^levels of lengths \[2, 3\] do not belong"):
        balanced_weights("ab", "abc")
    with pytest.raises(ValueError, match=r"^levels of lengths \[\] do not belong"):
        balanced_weights()
    with pytest.raises(ValueError, match="different numbers of samples: {'a': 1, 'b': 2}$"):
        patterns({"a": torch.ones(1).bool(), "b": torch.ones(2).bool()})
