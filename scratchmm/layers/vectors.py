"""Directions of vectors: what is left of them when their length does not count.

Squares of numbers below 1e-23 or above 1e19 leave float32, and those of float16 far sooner. So the
largest number of a vector is divided out first, and half precision is summed in float32.
Dimensions: E width of the vectors; `...` stands for the axes before it.
"""

import torch
from torch import Tensor


def unit_vectors(x: Tensor) -> Tensor:
    """x: (..., E), of any length but 0, with length 1: (..., E), float32 at least.

    A vector of zeros stays one: it has no direction.

    >>> unit_vectors(torch.tensor([[3e-30, 4e-30], [3e30, 4e30], [0.0, 0.0]])).round(decimals=3)
    tensor([[0.6000, 0.8000],
            [0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    largest = x.detach().abs().amax(dim=-1, keepdim=True)  # (..., 1)
    # Of a constant no gradient is asked: the direction is the same whatever x is divided by.
    x = x / largest.where(largest > 0, 1.0)
    length = x.norm(dim=-1, keepdim=True)  # (..., 1)
    return x / length.where(length > 0, 1.0)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """The cosine of the angle between x and y: (..., E), of any length: (...), float32 at least.

    Never above 1 nor below -1; 0 where either is a vector of zeros.

    >>> cosine(torch.tensor([3e-30, 0.0]), torch.tensor([5e30, 0.0]))
    tensor(1.)
    """
    return (unit_vectors(x) * unit_vectors(y)).sum(dim=-1).clamp(-1.0, 1.0)
