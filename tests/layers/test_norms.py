"""RMSNorm against torch's own, an explicit loop, and the published class; dtypes and gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scratchmm.layers.norms import RMSNorm
from shape_comments import check_shape_comments

sizes = st.integers(1, 6)


def randomised(norm, seed=0):
    torch.manual_seed(seed)
    nn.init.normal_(norm.weight)
    return norm.double()


@given(B=sizes, L=sizes, D=sizes, seed=st.integers(0, 99), epsilon=st.sampled_from([1e-6, 0.3]))
@settings(max_examples=30, deadline=None)
def test_equals_torch_and_a_loop(B, L, D, seed, epsilon):
    ours = randomised(RMSNorm(D, epsilon), seed)
    theirs = nn.RMSNorm(D, eps=epsilon).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(B, L, D, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-12)
    for row, got in zip(x.flatten(0, 1).tolist(), ours(x).flatten(0, 1).tolist(), strict=True):
        size = math.sqrt(sum(number**2 for number in row) / D + epsilon)
        expected = [w * number / size for w, number in zip(ours.weight.tolist(), row, strict=True)]
        assert got == pytest.approx(expected, abs=1e-12)


def test_the_mean_is_not_taken_off_and_the_size_is_set_to_one():
    norm = RMSNorm(4, epsilon=0.0).double()
    x = torch.randn(3, 4, dtype=torch.float64) + 5
    torch.testing.assert_close(norm(x).square().mean(-1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(norm(7 * x), norm(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(norm(x) / x, (norm(x) / x)[:, :1].expand(3, 4))


def test_gradients():
    norm = randomised(RMSNorm(5, 1e-2))
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    both = (x, norm.weight)

    def function(x, weight):
        return torch.func.functional_call(norm, {"weight": weight}, x)

    assert torch.autograd.gradcheck(function, both)
    assert torch.autograd.gradgradcheck(function, both)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1e-3, 1.0, 3e4])
def test_half_precision_neither_overflows_nor_underflows(dtype, size):
    """The square of 300 leaves float16 above, that of 1e-4 below."""
    norm = RMSNorm(8, epsilon=1e-12)
    x = (size * torch.randn(5, 8, generator=torch.Generator().manual_seed(0))).to(dtype)
    expected = norm.double()(x.double())
    got = norm.to(dtype)(x)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), expected, rtol=2**-7, atol=1e-3)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="^width is 0 and must be a whole number from 1"):
        RMSNorm(0)
    with pytest.raises(ValueError, match="^epsilon is -0.1 and must be"):
        RMSNorm(3, epsilon=-0.1)


def test_a_vector_of_zeros_stays_one_and_its_gradient_is_a_number():
    norm, x = RMSNorm(3), torch.zeros(2, 3, requires_grad=True)
    norm(x).sum().backward()
    assert norm(x).abs().max() == 0 and x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_equals_the_published_class_which_computes_in_float32(dtype):
    pytest.importorskip("transformers")
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    theirs = LlamaRMSNorm(6, eps=1e-5).to(dtype)
    nn.init.normal_(theirs.weight)
    ours = RMSNorm(6, 1e-5, computed_in=torch.float32).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 5, 6).to(dtype)
    assert ours(x).equal(theirs(x)) and ours(x).dtype == dtype
    exact = RMSNorm(6, 1e-5).to(dtype)
    exact.load_state_dict(theirs.state_dict())
    # Below float64 there is nothing to tell them apart.
    assert exact(x).equal(theirs(x)) == (dtype != torch.float64)
    torch.testing.assert_close(exact(x), theirs(x), rtol=0, atol=1e-6)


def run_shapes() -> None:
    import torch

    from scratchmm.layers import norms

    norms.RMSNorm(7)(torch.randn(2, 5, 7))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "layers/norms.py")
