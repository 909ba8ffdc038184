"""The Frechet distance against cases with a formula, Newton's root, scipy, and its invariants."""

import pytest
import torch
from torch.testing import assert_close

from scratchmm.metrics.fid import Statistics, feature_statistics, fid, frechet_distance, root
from shape_comments import check_shape_comments


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def crowd(count, width, seed):
    """Features that hang together and do not lie around 0."""
    mixing = normal(width, width, seed=seed + 100)
    return normal(count, width, seed=seed) @ mixing + normal(width, seed=seed + 200)


def test_statistics_are_numpys():
    import numpy

    features = crowd(17, 5, seed=0)
    mean, covariance = feature_statistics(features.float())
    assert mean.dtype == covariance.dtype == torch.float64
    assert_close(mean, features.mean(dim=0), rtol=0, atol=1e-6)
    numpys = torch.from_numpy(numpy.cov(features.numpy(), rowvar=False))
    assert_close(feature_statistics(features).covariance, numpys)


def test_in_one_dimension_it_has_a_formula():
    """(m1 - m2)^2 + (s1 - s2)^2."""
    one = Statistics(torch.tensor([3.0]).double(), torch.tensor([[4.0]]).double())
    other = Statistics(torch.tensor([1.0]).double(), torch.tensor([[25.0]]).double())
    assert frechet_distance(one, other) == pytest.approx(4 + 9)


def test_covariances_with_the_same_axes_are_as_many_single_ones():
    turn = torch.linalg.qr(normal(4, 4)).Q
    one, other = torch.tensor([1.0, 4, 9, 0]).double(), torch.tensor([4.0, 1, 0, 0]).double()
    mean = normal(4, seed=1)
    left = Statistics(mean, turn @ one.diag() @ turn.T)
    right = Statistics(mean + 2, turn @ other.diag() @ turn.T)
    expected = 4 * 4 + (one.sqrt() - other.sqrt()).square().sum().item()
    assert frechet_distance(left, right) == pytest.approx(expected)


def test_the_trace_is_that_of_a_root_of_the_product():
    """By Newton's iteration on C1 C2 itself, which is not symmetric."""
    one, other = (feature_statistics(crowd(40, 4, seed)) for seed in (1, 2))
    product = one.covariance @ other.covariance
    y, z = product / product.norm(), torch.eye(4).double()
    for _ in range(60):  # Denman and Beavers: y becomes the root
        y, z = (y + torch.linalg.inv(z)) / 2, (z + torch.linalg.inv(y)) / 2
    y = y * product.norm().sqrt()
    assert_close(y @ y, product, rtol=1e-6, atol=1e-8)
    expected = (one.mean - other.mean).square().sum() + (one.covariance + other.covariance).trace()
    assert frechet_distance(one, other) == pytest.approx(
        (expected - 2 * y.trace()).item(), rel=1e-7
    )


@pytest.mark.parametrize(("width", "count"), [(3, 50), (10, 60), (8, 5)])
def test_equals_scipys_root(width, count):
    linalg = pytest.importorskip("scipy.linalg")
    one, other = (feature_statistics(crowd(count, width, seed)) for seed in (3, 4))
    # Some of 0.001 on the diagonal: scipy's own root is not exact where there is no inverse.
    one, other = (Statistics(m, c + 1e-3 * torch.eye(width).double()) for m, c in (one, other))
    both = torch.from_numpy(linalg.sqrtm((one.covariance @ other.covariance).numpy()).real)
    expected = (one.mean - other.mean).square().sum() + (
        one.covariance + other.covariance - 2 * both
    ).trace()
    assert frechet_distance(one, other) == pytest.approx(expected.item(), rel=1e-7)


def test_the_root_is_a_root():
    covariance = feature_statistics(crowd(30, 6, seed=0)).covariance
    half = root(covariance)
    assert_close(half @ half, covariance)
    assert_close(half, half.T)
    assert (torch.linalg.eigvalsh(half) > 0).all()
    assert_close(root(-1e-18 * torch.eye(2).double()), torch.zeros(2, 2).double())


def test_what_must_not_change_it():
    one, other = crowd(50, 6, seed=0), crowd(70, 6, seed=1)
    distance = fid(one, other)
    assert distance > 1
    assert fid(other, one) == pytest.approx(distance)
    assert fid(one.flip(0), other) == pytest.approx(distance)
    turn = torch.linalg.qr(normal(6, 6)).Q
    assert fid(one @ turn + 5, other @ turn + 5) == pytest.approx(distance)
    assert fid(3 * one, 3 * other) == pytest.approx(9 * distance)


@pytest.mark.parametrize("count", [200, 4])  # fewer samples than features: no inverse
def test_a_crowd_is_no_way_from_itself(count):
    one = crowd(count, 8, seed=0)
    scale = feature_statistics(one).covariance.trace().item()
    assert 0 <= fid(one, one) < 1e-6 * scale
    assert fid(one, one + 1) == pytest.approx(8, rel=1e-6)


def test_more_samples_of_the_same_come_closer():
    real = normal(4000, 4)
    far, near = fid(normal(20, 4, seed=1), real), fid(normal(2000, 4, seed=2), real)
    assert near < 0.02 < far


def test_refusals():
    with pytest.raises(ValueError, match="^1 samples have no covariance: at least 2 are needed$"):
        fid(torch.zeros(1, 3), torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"^features are \(N, D\), not \(5, 3, 2\)$"):
        fid(torch.zeros(5, 3, 2), torch.zeros(5, 3))
    with pytest.raises(ValueError, match="^features are 3 wide here and 4 there$"):
        fid(torch.zeros(5, 3), torch.zeros(5, 4))
    for wrong in (torch.nan, torch.inf):
        features = torch.zeros(5, 3)
        features[3, 1] = wrong  # one is enough
        with pytest.raises(ValueError, match="^features of 5 samples are not all finite numbers$"):
            fid(torch.zeros(5, 3), features)


@pytest.mark.parametrize(
    "mean, covariance, said",
    [((2,), (3, 3), r"\(2,\) and a covariance of \(3, 3\)"), ((2,), (2,), r"of \(2,\) are not")],
)
def test_a_covariance_of_other_features_than_the_mean_is_refused(mean, covariance, said):
    wrong = Statistics(torch.zeros(mean).double(), torch.zeros(covariance).double())
    right = Statistics(torch.zeros(2).double(), torch.eye(2).double())
    for pair in ((wrong, right), (right, wrong)):
        with pytest.raises(ValueError, match=said):
            frechet_distance(*pair)


def run_shapes() -> None:
    import torch

    from scratchmm.metrics import fid

    fid.fid(torch.randn(7, 3), torch.randn(9, 3))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "metrics/fid.py")
