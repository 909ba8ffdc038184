"""Cosines of vectors of any length, in any precision."""

import math

import pytest
import torch

from scratchmm.layers.vectors import cosine, unit_vectors
from shape_comments import check_shape_comments

FACTORS = [1e-35, 1e-30, 1e-12, 1e-9, 1.0, 1e9, 1e22, 1e30, 1e37]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_factor_changes_no_direction(factor, dtype):
    x, y = normal(7, 9).to(dtype), normal(7, 9, seed=1).to(dtype)
    exact = torch.cosine_similarity(x.double(), y.double(), dim=-1)
    small, large = x.double() * factor, y.double() / factor
    close = 1e-13 if dtype == torch.float64 else 3e-7 if dtype == torch.float32 else 0.02
    found = cosine(small.to(dtype), large.to(dtype)).double()
    torch.testing.assert_close(found, exact, rtol=0, atol=close)
    torch.testing.assert_close(
        unit_vectors(small.to(dtype)).norm(dim=-1).double(),
        torch.ones(7).double(),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_vector_beside_itself_is_never_above_one(dtype):
    x = (normal(2000, 33) * 200).to(dtype)  # the sum of squares is far above 65504
    found = cosine(x, x)
    assert found.max() <= 1 and found.min() > 1 - 1e-5 and found.dtype == torch.float32
    assert cosine(x, -x).min() >= -1


def test_zeros_have_no_direction_and_nan_stays_nan():
    zeros, one = torch.zeros(2, 3), torch.ones(2, 3)
    assert unit_vectors(zeros).equal(zeros)
    assert cosine(zeros, one).tolist() == cosine(zeros, zeros).tolist() == [0.0, 0.0]
    one[0, 1] = math.nan
    assert cosine(one, one).isnan().tolist() == [True, False]


def test_gradients():
    x, y = normal(3, 4).requires_grad_(), normal(3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(cosine, (x, y))
    zeros = torch.zeros(1, 3, requires_grad=True)
    cosine(zeros, torch.ones(1, 3)).sum().backward()
    assert zeros.grad.isfinite().all()


def run_shapes() -> None:
    import torch

    from scratchmm.layers import vectors

    vectors.cosine(torch.randn(3, 5), torch.randn(3, 5))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "layers/vectors.py")
