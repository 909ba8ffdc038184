"""FID: the Frechet distance between the feature distributions of generated and real images.

The features of each set are modelled by a normal distribution, and the distance is between those:
d = |m1 - m2|^2 + trace(C1 + C2 - 2 sqrt(C1 C2)).

Paper: GANs Trained by a Two Time-Scale Update Rule (Heusel et al. 2017, arXiv 1706.08500), equation 6.
Dimensions: N samples, D width of the features.
Differs from the paper: the features are an argument. A distance means little by itself:
compare it with real images against other real ones, as many, since few samples make it larger; and
never with a distance on other features.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Statistics(NamedTuple):
    """Mean and covariance of a set of features, float64."""

    mean: Tensor  # (D,)
    covariance: Tensor  # (D, D)


def feature_statistics(features: Tensor) -> Statistics:
    """Mean and covariance (over N - 1) of features: (N, D); N is at least 2.

    Raises ValueError on another shape, on fewer samples, and on what is not a finite number.

    >>> mean, covariance = feature_statistics(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    >>> mean.tolist(), covariance.tolist()
    ([2.0, 0.0], [[2.0, 0.0], [0.0, 0.0]])
    """
    if features.ndim != 2:
        raise ValueError(f"features are (N, D), not {tuple(features.shape)}")
    if len(features) < 2:
        raise ValueError(f"{len(features)} samples have no covariance: at least 2 are needed")
    features = features.double()
    if not features.isfinite().all():
        raise ValueError(f"features of {len(features)} samples are not all finite numbers")
    mean = features.mean(dim=0)  # (D,)
    apart = features - mean
    return Statistics(mean, apart.T @ apart / (len(features) - 1))


def root(matrix: Tensor) -> Tensor:
    """The symmetric square root (D, D) of a covariance, matrix: (D, D), by its eigenvalues.

    >>> root(torch.tensor([[4.0, 0.0], [0.0, 9.0]]))
    tensor([[2., 0.],
            [0., 3.]])
    """
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T  # (D, D), rounding may fall below 0


def frechet_distance(one: Statistics, other: Statistics) -> float:
    """The squared Frechet distance of two normal distributions, from 0, the same both ways.

    The trace of sqrt(C1 C2) is the sum of the roots of its eigenvalues, and sqrt(C1) C2 sqrt(C1) has
    the same ones, but is symmetric: no complex numbers, and no trouble where C1 has no inverse.
    Raises ValueError on features of different widths, and on a covariance that is not (D, D) for a
    mean of (D,).

    >>> unit = Statistics(torch.zeros(2).double(), torch.eye(2).double())
    >>> round(frechet_distance(unit, Statistics(torch.ones(2).double(), 4 * unit.covariance)), 6)
    4.0
    """
    for statistics in (one, other):
        check_statistics(statistics)
    if one.mean.shape != other.mean.shape:
        raise ValueError(f"features are {len(one.mean)} wide here and {len(other.mean)} there")
    half = root(one.covariance)
    product = half @ other.covariance @ half  # (D, D)
    shared = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    means = (one.mean - other.mean).square().sum()
    distance = means + one.covariance.trace() + other.covariance.trace() - 2 * shared
    return max(distance.item(), 0.0)


def check_statistics(statistics: Statistics) -> None:
    """Refuse a mean that is not (D,), and a covariance that is not (D, D).

    >>> check_statistics(Statistics(torch.zeros(2), torch.eye(3)))
    Traceback (most recent call last):
    ValueError: a mean of (2,) and a covariance of (3, 3) are not of the same features
    """
    mean, covariance = statistics
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(
            f"a mean of {tuple(mean.shape)} and a covariance of {tuple(covariance.shape)} are not of "
            "the same features"
        )


def fid(generated: Tensor, real: Tensor) -> float:
    """Squared Frechet distance of two sets of features, generated: (N, D) and real: as wide.

    Raises ValueError where `feature_statistics` and `frechet_distance` do.

    >>> fid(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]]))
    9.0
    """
    return frechet_distance(feature_statistics(generated), feature_statistics(real))
