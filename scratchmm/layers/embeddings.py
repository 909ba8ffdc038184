"""Sinusoidal embeddings of positions, and the check of tokens.

Paper: Attention Is All You Need (Vaswani et al. 2017, arXiv 1706.03762), section 3.5.
Dimensions: L length, D width.
Differs from the paper: angles are float64, rounded to float32 at the end.
"""

import torch
from torch import Tensor

from scratchmm.layers.checks import check_divisible
from scratchmm.layers.tracing import left_to_the_gpu, numbers_are_known


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """The sinusoidal embedding of each position: float32 (length, width).

    PE(pos, 2i) = sin(pos / 10000^(2i / width)) and PE(pos, 2i + 1) = cos(the same): sine and cosine
    interleaved, as in the paper. Raises ValueError on an odd width.

    >>> sinusoidal_positions(2, 2)[0].tolist()
    [0.0, 1.0]
    """
    check_divisible("width", width, "a pair of sine and cosine,", 2)
    position = torch.arange(length, dtype=torch.float64)[:, None]
    speed = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = position * speed  # (L, D // 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2).float()  # (L, D)


def check_tokens(tokens: Tensor, vocabulary: int) -> None:
    """Refuse tokens that the vocabulary does not have, in a sentence (a GPU stops without one).

    >>> check_tokens(torch.tensor([[1, 2, 99]]), vocabulary=99)
    Traceback (most recent call last):
    ValueError: token 99 of text 0, at position 2, is outside the vocabulary of 99
    """
    if not numbers_are_known(tokens):
        return
    outside = (tokens < 0) | (tokens >= vocabulary)
    if left_to_the_gpu(outside, f"a token is outside the vocabulary of {vocabulary}"):
        return
    if outside.any():
        row, column = outside.nonzero()[0].tolist()
        raise ValueError(
            f"token {int(tokens[row, column])} of text {row}, at position {column}, "
            f"is outside the vocabulary of {vocabulary}"
        )
