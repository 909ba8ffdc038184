import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from scratchmm.training.curriculum import (
    Stage,
    StagedBatch,
    competence,
    growing_batches,
    staged_batches,
    staged_loss,
)
from scratchmm.training.fit import fit


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 30))
def test_each_stage_has_its_steps_and_the_last_goes_on(lengths, step):
    stages = [
        Stage(f"s{i}", length, lambda s, i=i: (i, s), {f"o{i}": i + 1.0})
        for i, length in enumerate(lengths)
    ]
    every = [(i, s) for i, length in enumerate(lengths) for s in range(length)]
    last = len(lengths) - 1
    expected = every[step] if step < len(every) else (last, lengths[-1] + step - len(every))
    found = staged_batches(stages)(step)
    assert found == StagedBatch(expected, f"s{expected[0]}", {f"o{expected[0]}": expected[0] + 1.0})


def test_only_what_counts_is_computed():
    def never(model, batch):
        raise AssertionError("this loss has no weight")

    loss = staged_loss({"a": lambda model, x: x.square(), "b": lambda m, x: 3 * x, "c": never})
    x = torch.tensor(2.0, requires_grad=True)
    value = loss(None, StagedBatch(x, "s", {"a": 0.5, "b": 2.0, "c": 0.0}))
    assert value.item() == 0.5 * 4 + 2 * 6
    value.backward()
    assert x.grad.item() == 0.5 * 2 * 2 + 2 * 3


def test_it_drives_a_training_run():
    """First one output is taught, then the other; in the second stage the first rests."""
    x, y = torch.tensor([[1.0]]), torch.tensor([[2.0, -3.0]])
    losses = {
        name: lambda model, batch, i=i: (model(batch[0])[:, i] - batch[1][:, i]).square().mean()
        for i, name in enumerate(("first", "second"))
    }
    stages = [Stage(name, 60, lambda step: (x, y), {name: 1.0}) for name in losses]
    torch.manual_seed(0)
    model = nn.Linear(1, 2)
    arguments = dict(learning_rate=0.1, weight_decay=0.0, warmup=0.0)
    fit(model, staged_batches(stages), staged_loss(losses), steps=120, **arguments)
    torch.testing.assert_close(model(x), y, rtol=0, atol=0.3)


@given(st.integers(1, 50), st.floats(0.01, 1))
def test_competence_grows_from_start_to_one(steps, start):
    found = [competence(step, steps, start) for step in range(steps + 3)]
    assert found[0] == pytest.approx(start) and found[steps:] == pytest.approx([1.0] * 3)
    assert all(after >= before for before, after in zip(found, found[1:]))
    middle = math.sqrt((start**2 + 1) / 2)  # half of the way for the squares
    assert competence(steps, 2 * steps, start) == pytest.approx(middle)


def test_the_easy_comes_first_and_in_the_end_all():
    difficulty = torch.randperm(100, generator=torch.Generator().manual_seed(0)).float()
    batch_at = growing_batches(difficulty, 10, steps=100, start=0.2, seed=1)
    for step in range(100):
        hardest = difficulty[batch_at(step)].max()
        assert hardest < max(10, math.ceil(competence(step, 100, 0.2) * 100))
        assert len(batch_at(step).unique()) == 10
    early = torch.cat([batch_at(step) for step in range(3)])
    assert difficulty[early].max() < 27
    late = torch.cat([batch_at(step) for step in range(100, 300)])
    assert set(late.tolist()) == set(range(100))


def test_batches_are_pure_and_seeds_differ():
    make = [growing_batches(torch.arange(40.0), 5, 10, seed=seed) for seed in (0, 0, 1)]
    one, same, other = (torch.stack([batches(step) for step in range(12)]) for batches in make)
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert not torch.equal(one, other)
    assert len({tuple(row.tolist()) for row in one}) > 9


def test_refusals():
    with pytest.raises(ValueError, match="^steps of stage 's' is 0 and must be"):
        Stage("s", 0, lambda step: step, {"a": 1.0})
    with pytest.raises(ValueError, match="^stage 's' has no objective with a weight above 0$"):
        Stage("s", 1, lambda step: step, {"a": 0.0})
    with pytest.raises(ValueError, match="^a curriculum of 0 stages"):
        staged_batches([])
    with pytest.raises(ValueError, match="^stage 's' wants 'x', which is none of a, b$"):
        staged_loss({"a": max, "b": max})(None, StagedBatch(1, "s", {"x": 1.0}))
    with pytest.raises(
        ValueError, match="^batch size is 9 and must be a whole number from 1 to 4$"
    ):
        growing_batches(torch.ones(4), 9, 5)
    with pytest.raises(ValueError, match="^start is 0 and must be a number above 0 to 1"):
        growing_batches(torch.ones(4), 2, 5, start=0)
    with pytest.raises(ValueError, match="^steps is 0 and must be"):
        growing_batches(torch.ones(4), 2, 0)
