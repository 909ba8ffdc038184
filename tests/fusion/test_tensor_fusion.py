"""Tensor fusion against loops over every product, and what the appended 1 is for."""

import itertools
import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.strategies import OUTPUTS, WIDTHS, features, make, randomise, run_shapes
from scratchmm.fusion.tensor_fusion import TensorFusion, append_one, outer_product
from shape_comments import check_shape_comments


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True), st.integers(1, 3))
def test_the_outer_product_by_a_loop(widths: list[int], batch: int) -> None:
    vectors = [torch.randn(batch, width).double() for width in widths]
    got = outer_product(vectors)
    assert got.shape == (batch, math.prod(widths))
    for b in range(batch):
        for place, index in enumerate(itertools.product(*(range(width) for width in widths))):
            expected = math.prod(vector[b, i].item() for vector, i in zip(vectors, index))
            assert math.isclose(got[b, place].item(), expected, rel_tol=1e-9, abs_tol=1e-12)


def test_one_is_appended_behind() -> None:
    x = torch.randn(2, 3)
    got = append_one(x)
    torch.testing.assert_close(got[:, :3], x, rtol=0, atol=0)
    assert got[:, 3].tolist() == [1.0, 1.0] and got.dtype == x.dtype


def test_the_output_is_the_tensor_contracted_with_all_modalities() -> None:
    model, inputs = make("tensor"), features(3)
    sound, image, words = (append_one(inputs[name]) for name in WIDTHS)
    assert model.tensor().shape == (OUTPUTS, 5, 6, 4)
    expected = torch.einsum("kspw,bs,bp,bw->bk", model.tensor(), sound, image, words)
    torch.testing.assert_close(model(inputs), expected)


def test_the_ones_keep_what_fewer_modalities_say() -> None:
    """Only the slice where the absent one's index is at its 1 counts: fusion of those present."""
    model, inputs = make("tensor"), features(3)
    smaller = randomise(TensorFusion({"sound": 4, "words": 3}, OUTPUTS))
    smaller.output.weight.data = model.tensor()[:, :, -1, :].flatten(1)
    present = {name: inputs[name] for name in ("sound", "words")}
    torch.testing.assert_close(model(present), smaller(present))
    bias = model.tensor()[:, -1, -1, -1]
    zeros = {name: torch.zeros_like(x) for name, x in inputs.items()}
    torch.testing.assert_close(model(zeros), bias.expand(3, -1))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/tensor_fusion.py")
