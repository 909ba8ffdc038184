"""Bilinear fusion equals nn.Bilinear for two modalities, and its sum over pairs for more."""

from itertools import combinations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fusion.strategies import OUTPUTS, WIDTHS, features, make, run_shapes
from scratchmm.fusion.bilinear import BilinearFusion, bilinear
from shape_comments import check_shape_comments


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=4, max_size=4, unique=True))
def test_two_modalities_are_torchs_bilinear_gradients_too(sizes: list[int]) -> None:
    batch, left, right, outputs = sizes
    torch_layer = nn.Bilinear(left, right, outputs).double()
    model = BilinearFusion({"a": left, "b": right}, outputs).double()
    model.weights[0].data.copy_(torch_layer.weight)
    model.bias.data.copy_(torch_layer.bias)
    a, b = (
        torch.randn(batch, size, dtype=torch.float64, requires_grad=True) for size in (left, right)
    )
    ours, theirs = model({"b": b, "a": a}), torch_layer(a, b)
    torch.testing.assert_close(ours, theirs)
    upstream = torch.randn_like(ours)
    mine = torch.autograd.grad(ours, [a, b, model.weights[0], model.bias], upstream)
    peers = torch.autograd.grad(theirs, [a, b, torch_layer.weight, torch_layer.bias], upstream)
    torch.testing.assert_close(mine, peers)


def test_the_form_by_a_loop() -> None:
    left, right, weight = torch.randn(2, 3), torch.randn(2, 4), torch.randn(5, 3, 4)
    got = bilinear(left, right, weight)
    for b in range(2):
        for k in range(5):
            total = sum(
                left[b, i] * weight[k, i, j] * right[b, j] for i in range(3) for j in range(4)
            )
            torch.testing.assert_close(got[b, k], total)


def test_more_modalities_are_the_sum_over_pairs() -> None:
    model, inputs = make("bilinear"), features(3)
    total = model.bias.expand(3, -1)
    for (a, b), weight in zip(combinations(WIDTHS, 2), model.weights, strict=True):
        total = total + nn.functional.bilinear(inputs[a], inputs[b], weight)
    torch.testing.assert_close(model(inputs), total)


def test_a_pair_with_an_absent_one_adds_nothing() -> None:
    model, inputs = make("bilinear"), features(3)
    pair = nn.functional.bilinear(inputs["sound"], inputs["words"], model.weights[1], model.bias)
    got = model({"words": inputs["words"], "sound": inputs["sound"]})
    torch.testing.assert_close(got, pair)
    torch.testing.assert_close(
        model({"words": inputs["words"]}), model.bias.expand(3, OUTPUTS), rtol=0, atol=0
    )


def test_initial_weights_have_the_scale_of_torchs() -> None:
    weight = BilinearFusion({"a": 100, "b": 7}, 30).weights[0]
    assert 0.099 < weight.abs().max() <= 0.1


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/bilinear.py")
