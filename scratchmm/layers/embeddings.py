"""Sinusoidal embeddings of positions and of diffusion's timesteps, and the check of tokens.

Papers: Attention Is All You Need (Vaswani et al. 2017, arXiv 1706.03762), section 3.5, for
positions; Denoising Diffusion Probabilistic Models (Ho et al. 2020, arXiv 2006.11239), appendix B,
for timesteps; Improved Denoising Diffusion Probabilistic Models (Nichol and Dhariwal 2021, arXiv
2102.09672), whose code orders them differently, and from it Stable Diffusion and unCLIP.
Dimensions: B batch, L length, D width.
Differs from the papers: angles are float64, rounded to the dtype at the end. Published code computes
them in float32, which at timestep 999 is off by up to 1e-4 of a turn's sine.
"""

import math

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


def timestep_embedding(timesteps: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Diffusion's timesteps as clock hands: (B,) of any real dtype to (B, width) of `dtype`.

    All cosines come after all sines (as in DDPM's code, unlike `sinusoidal_positions`), and the
    slowest hand turns at 1 / 10000 exactly: speed_i = 10000^(-i / (width / 2 - 1)).

    >>> timestep_embedding(torch.tensor([0]), 4).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """
    check_divisible("width", width, "a pair of sine and cosine,", 2)
    half = width // 2
    exponent = torch.arange(half, dtype=torch.float64, device=timesteps.device) / max(half - 1, 1)
    angle = timesteps.double()[:, None] * torch.exp(-math.log(10000.0) * exponent)  # (B, D // 2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).to(dtype)  # (B, D)


def cosines_first(timesteps: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Timesteps as clock hands the other way round: (B,) of any real dtype to (B, width) of `dtype`.

    Improved DDPM's code puts all cosines before all sines and never reaches the speed 1 / 10000:
    speed_i = 10000^(-i / (width / 2)). Published weights hear the time in the one way or the other.
    Raises ValueError on an odd width.

    >>> cosines_first(torch.tensor([0]), 4).tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    """
    check_divisible("width", width, "a pair of sine and cosine,", 2)
    half = width // 2
    exponent = torch.arange(half, dtype=torch.float64, device=timesteps.device) / half
    angle = timesteps.double()[:, None] * torch.exp(-math.log(10000.0) * exponent)  # (B, D // 2)
    return torch.cat([angle.cos(), angle.sin()], dim=-1).to(dtype)  # (B, D)


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
