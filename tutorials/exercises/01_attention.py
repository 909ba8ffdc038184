"""Exercises of lesson 01, attention.

Write each body in place of its `raise`, in any order. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from scratchmm.layers.attention import check_attention_shapes


# attention.attend: Scaled dot-product attention. 20 minutes, difficulty 2 of 5. In the lesson: One
# query looks around. Without torch.nn.functional.scaled_dot_product_attention.
def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    """Scaled dot-product attention: softmax(query key^T / sqrt(D)) value, softmax over the keys.

    query: (B, H, L, D); key, value: (B, H, S, D); mask: bool, broadcastable to (B, H, L, S), True =
    may be seen. Returns (B, H, L, D); a query that may see nothing gets zeros.

    backend: "plain" is this formula; "tiled", "fused" and "torch" (fast_attention.py) give the same
    numbers otherwise. None means what `attention_backend` has set, which is "plain" at first.

    >>> query = key = torch.zeros(1, 1, 2, 4)
    >>> value = torch.tensor([[[[1.0], [3.0]]]])
    >>> attend(query, key, value)[0, 0].tolist()  # equal scores: the mean of the values
    [[2.0], [2.0]]
    """
    raise NotImplementedError(
        "attention.attend: softmax over the keys of query key^T / sqrt(D), times value; leave "
        "backend unused"
    )


# attention.padding_mask: Nobody looks at padding. 5 minutes, difficulty 1 of 5. In the lesson:
# Padding. Comes after attention.attend.
def padding_mask(real: Tensor) -> Tensor:
    """Nobody looks at padding. real: bool (B, S), True on real tokens. Returns (B, 1, 1, S).

    Combine it with a causal mask by `&`: both are True where one may look.

    >>> padding_mask(torch.tensor([[True, True, False]])).shape
    torch.Size([1, 1, 1, 3])
    """
    raise NotImplementedError(
        "attention.padding_mask: bool (B, S), True on real tokens, becomes a mask (B, 1, 1, S) "
        "for attend"
    )
