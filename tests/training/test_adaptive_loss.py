import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from scratchmm.training.adaptive_loss import LossRatio, UncertaintyWeights, ratio_weights
from shape_comments import check_shape_comments

positive = st.floats(0.01, 100)


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=5), st.floats(0.2, 20))
def test_weights_equal_the_formula(pairs, temperature):
    last, before = (torch.tensor(column, dtype=torch.float64) for column in zip(*pairs))
    ratios = [a / b / temperature for a, b in pairs]
    powers = [math.exp(ratio - max(ratios)) for ratio in ratios]
    expected = [len(pairs) * power / sum(powers) for power in powers]
    assert ratio_weights(last, before, temperature).tolist() == pytest.approx(expected)


def test_a_loss_of_zero_before_counts_as_unchanged():
    weights = ratio_weights(torch.tensor([0.0, 3.0]), torch.tensor([0.0, 3.0]))
    assert weights.tolist() == [1, 1]
    with pytest.raises(ValueError, match="^temperature is 0 and must be a number above 0$"):
        ratio_weights(torch.ones(2), torch.ones(2), 0)


def run(weigh, rows):
    totals = []
    for a, b in rows:
        totals.append(weigh({"b": torch.tensor(b), "a": torch.tensor(a)}).item())
    return totals


def test_periods_are_averaged_and_then_compared():
    weigh = LossRatio(["a", "b"], period=2, temperature=1.5)
    rows = [(4.0, 2.0), (2.0, 2.0), (1.0, 2.0), (2.0, 4.0), (5.0, 7.0), (1.0, 1.0)]
    totals = run(weigh, rows)
    assert totals[:4] == [6, 4, 3, 6]  # two periods of plain sums
    r = [1.5 / 3, 3.0 / 2]  # means of the second period over those of the first
    powers = [math.exp(x / 1.5) for x in r]
    w = [2 * power / sum(powers) for power in powers]
    assert w[1] > 1 > w[0]  # a fell, b rose: b counts more
    assert totals[4] == pytest.approx(5 * w[0] + 7 * w[1])
    assert totals[5] == pytest.approx(w[0] + w[1])
    r = [3.0 / 1.5, 4.0 / 3]
    powers = [math.exp(x / 1.5) for x in r]
    assert weigh.weights.tolist() == pytest.approx([2 * power / sum(powers) for power in powers])


def test_weights_are_constants_to_the_gradient_and_eval_counts_nothing():
    weigh = LossRatio(["a", "b"], period=1)
    run(weigh, [(4.0, 2.0), (1.0, 2.0)])
    a, b = (torch.tensor(value, requires_grad=True) for value in (3.0, 5.0))
    weights = weigh.weights.tolist()
    weigh({"a": a, "b": b}).backward()
    assert [a.grad.item(), b.grad.item()] == pytest.approx(weights)
    assert not any(value.requires_grad for value in weigh.buffers())  # no graph is kept alive
    state = {name: value.clone() for name, value in weigh.state_dict().items()}
    weigh.eval()
    run(weigh, [(9.0, 1.0)] * 3)
    torch.testing.assert_close(dict(weigh.state_dict()), state)


def test_a_checkpoint_goes_on_where_it_was():
    rows = [(4.0, 2.0), (2.0, 2.0), (1.0, 2.0), (2.0, 4.0), (5.0, 7.0), (1.0, 1.0), (2.0, 3.0)]
    whole = run(LossRatio(["a", "b"], period=2), rows)
    first = LossRatio(["a", "b"], period=2)
    begun = run(first, rows[:3])
    second = LossRatio(["a", "b"], period=2)
    second.load_state_dict(first.state_dict())
    assert begun + run(second, rows[3:]) == whole
    assert list(first.parameters()) == []


def test_uncertainty_equals_the_formula():
    weigh = UncertaintyWeights(["a", "b"], squared=["b"]).double()
    with torch.no_grad():
        weigh.log_variances.copy_(torch.tensor([0.7, -1.2]))
    losses = {"b": torch.tensor(5.0).double(), "a": torch.tensor(3.0).double()}
    expected = 3 / math.exp(0.7) + 0.7 / 2 + 5 / (2 * math.exp(-1.2)) - 1.2 / 2
    assert weigh(losses).item() == pytest.approx(expected)
    assert weigh.weights.tolist() == pytest.approx([math.exp(-0.7), math.exp(1.2) / 2])
    values = torch.tensor([3.0, 5.0], dtype=torch.float64, requires_grad=True)

    def f(s, x):
        parts = {"a": x[0], "b": x[1]}
        return torch.func.functional_call(weigh, {"log_variances": s}, (parts,))

    assert torch.autograd.gradcheck(f, (weigh.log_variances, values))


def test_the_best_variance_is_what_the_docstring_says():
    weigh = UncertaintyWeights(["a", "b"], squared=["b"])
    losses = {"a": torch.tensor(3.0), "b": torch.tensor(0.2)}
    optimizer = torch.optim.LBFGS(weigh.parameters(), max_iter=200)

    def closure():
        optimizer.zero_grad()
        value = weigh(losses)
        value.backward()
        return value

    optimizer.step(closure)
    torch.testing.assert_close(
        weigh.log_variances.exp(), torch.tensor([6.0, 0.2]), rtol=1e-3, atol=0
    )


def test_the_module_is_learned_with_the_model():
    model = nn.ModuleDict({"net": nn.Linear(2, 1), "weigh": UncertaintyWeights(["a"])})
    names = [name for name, _ in model.named_parameters()]
    assert "weigh.log_variances" in names
    assert list(UncertaintyWeights(["a"], ["a"]).state_dict()) == ["log_variances"]


@pytest.mark.parametrize("kind", [LossRatio, UncertaintyWeights])
def test_names_must_fit(kind):
    one = torch.tensor(1.0)
    with pytest.raises(ValueError, match="^loss 'b' is missing: 1 losses came and 2 were named$"):
        kind(["a", "b"])({"a": one})
    with pytest.raises(ValueError, match="^loss 'c' is none of a, b: 3 losses came and 2 were"):
        kind(["a", "b"])({"a": one, "b": one, "c": one})
    with pytest.raises(ValueError, match="^2 losses need as many names, not 1$"):
        kind(["a", "a"])
    with pytest.raises(ValueError, match="^0 losses need"):
        kind([])


def test_other_refusals():
    with pytest.raises(ValueError, match="^period is 0 and must be"):
        LossRatio(["a"], period=0)
    with pytest.raises(ValueError, match="^loss 'b' is none of a$"):
        UncertaintyWeights(["a"], squared=["b"])


def run_shapes() -> None:
    import torch

    from scratchmm.training import adaptive_loss

    losses = {"a": torch.tensor(2.0), "b": torch.tensor(3.0), "c": torch.tensor(1.0)}
    weigh = adaptive_loss.LossRatio(list(losses), period=1)
    for _ in range(3):
        weigh(losses)
    adaptive_loss.UncertaintyWeights(list(losses))(losses)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "training/adaptive_loss.py")
