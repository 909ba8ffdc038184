import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scratchmm.training.optimizer import adamw, decay_groups, warmup_cosine


class Model(nn.Module):
    """One of each kind, named by what must happen to it."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 5)
        self.table = nn.Embedding(7, 5)
        self.kernel = nn.Conv2d(2, 3, 4, bias=False)
        self.norm = nn.LayerNorm(5)
        self.class_token = nn.Parameter(torch.ones(1, 1, 5))
        self.positions = nn.Parameter(torch.ones(6, 5))
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.frozen = nn.Parameter(torch.ones(4, 4), requires_grad=False)
        self.inner = nn.ModuleDict({"positions": nn.Embedding(9, 5)})
        self.tied = self.linear


def names_of(model, group):
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    return [name_of[id(parameter)] for parameter in group["params"]]


def test_who_decays():
    model = Model()
    decayed, spared = decay_groups(model, 0.3)
    assert names_of(model, decayed) == ["linear.weight", "table.weight", "kernel.weight"]
    assert decayed["weight_decay"] == 0.3
    assert set(names_of(model, spared)) == {
        "class_token",
        "positions",
        "scale",
        "linear.bias",
        "norm.weight",
        "norm.bias",
        "inner.positions.weight",
    }
    assert spared["weight_decay"] == 0.0


def test_a_part_of_a_name_is_not_the_name():
    class Near(nn.Module):
        def __init__(self):
            super().__init__()
            self.positions_mixer = nn.Linear(2, 2, bias=False)

    assert len(decay_groups(Near(), 0.1)[0]["params"]) == 1


def test_only_decay_moves_a_parameter_without_gradient():
    model = Model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = adamw(model, learning_rate=0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        decays = name in ("linear.weight", "table.weight", "kernel.weight")
        factor = 1 - 0.1 * 0.5 if decays else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)


def test_adamw_is_the_papers_algorithm():
    torch.manual_seed(0)
    model = nn.Linear(3, 2, bias=False).double()
    weight = model.weight.detach().clone()
    optimizer = adamw(model, learning_rate=0.01, weight_decay=0.2)
    first = second = torch.zeros_like(weight)
    for step in range(1, 6):
        gradient = torch.randn_like(weight)
        model.weight.grad = gradient.clone()
        optimizer.step()
        first = 0.9 * first + 0.1 * gradient
        second = 0.98 * second + 0.02 * gradient**2
        update = (first / (1 - 0.9**step)) / ((second / (1 - 0.98**step)).sqrt() + 1e-8)
        weight = weight - 0.01 * (update + 0.2 * weight)
        torch.testing.assert_close(model.weight.detach(), weight, rtol=1e-10, atol=1e-12)


def test_schedule_against_torchs():
    steps, warmup, peak, floor = 37, 9, 0.3, 0.02
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - warmup, eta_min=floor)
    for step in range(warmup, steps):
        ours = warmup_cosine(step, steps, warmup, peak, floor)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        cosine.step()
    for step in range(warmup):
        assert warmup_cosine(step, steps, warmup, peak, floor) == pytest.approx(
            peak * (step + 1) / 9
        )


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.floats(0, 1), st.floats(1e-6, 2), st.floats(0, 1))
def test_schedule_properties(steps, share, peak, low):
    warmup, floor = round(share * steps), low * peak
    rates = [warmup_cosine(step, steps, warmup, peak, floor) for step in range(steps + 3)]
    assert all(0 < rate <= peak * (1 + 1e-12) for rate in rates[:steps])
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert rates[steps:] == [floor] * 3
    if warmup < steps:
        assert rates[warmup] == pytest.approx(peak)
    middle = warmup_cosine(warmup + 10, warmup + 20, warmup, peak, floor)
    assert math.isclose(middle, (peak + floor) / 2, rel_tol=1e-9)
