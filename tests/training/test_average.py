"""The moving average of weights: against a sum written out, and in a training that was stopped."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from scratchmm.training.average import Averaged
from scratchmm.training.fit import fit


def test_it_is_the_weighted_sum_of_all_weights_so_far() -> None:
    pair = Averaged(nn.Linear(3, 2), decay=0.6)
    expected = pair.model.weight.detach().clone()
    for count in range(1, 12):
        with torch.no_grad():
            pair.model.weight += torch.randn(2, 3)
        pair.update()
        decay = min(0.6, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * pair.model.weight.detach()
    assert_close(pair.average.weight, expected)
    assert not pair.average.weight.requires_grad


def test_buffers_are_those_of_the_model() -> None:
    pair = Averaged(nn.BatchNorm1d(2))
    pair.model(torch.randn(5, 2))
    pair.update()
    assert_close(pair.average.running_mean, pair.model.running_mean)
    assert pair.average.num_batches_tracked == 1


def squares(pair: Averaged, batch: torch.Tensor) -> torch.Tensor:
    pair.update()
    return (pair.model(batch) - 1).square().mean()


def test_the_average_does_not_learn_and_a_stopped_run_goes_on_to_the_same(tmp_path: Path) -> None:
    def run(folder: Path, stop: int | None = None) -> Averaged:
        torch.manual_seed(0)
        pair = Averaged(nn.Linear(2, 1), decay=0.9)

        def batch_at(step: int) -> torch.Tensor:
            if step == stop:
                raise KeyboardInterrupt
            return torch.randn(4, 2, generator=torch.Generator().manual_seed(step))

        fit(pair, batch_at, squares, steps=12, folder=folder, save_every=5)
        return pair

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", stop=7)
    again = run(tmp_path / "stopped")
    for name, value in whole.state_dict().items():
        assert_close(again.state_dict()[name], value, rtol=0, atol=0)
    assert int(whole.updates) == 12
    assert not torch.equal(whole.average.weight, whole.model.weight)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_that_is_none_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="from 0 to below 1"):
        Averaged(nn.Linear(1, 1), decay)
