"""Attention rollout: from which patch does CLS have what it knows, through all layers?

Paper: Quantifying Attention Flow in Transformers (Abnar and Zuidema 2020, arXiv 2005.00928),
section 3.
Dimensions: B batch, H heads, L length.
Differs from the paper: nothing.
"""

import torch
from torch import Tensor


def attention_rollout(layers: list[Tensor]) -> Tensor:
    """How much of each input token arrives at each output token, through all layers: (B, L, L).

    layers: the weights (B, H, L, L) of each block, first block first, as `watch_attention` collects
    them. Heads are averaged; half of each token stays where it is, through the residual; the
    layers are multiplied, the last one leftmost. Rows sum to 1. Row 0, without its first entry, is
    the map of what CLS attends to.

    >>> attention_rollout([torch.eye(3).view(1, 1, 3, 3)] * 2)[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    length = layers[0].shape[-1]
    identity = torch.eye(length, dtype=layers[0].dtype, device=layers[0].device)
    rollout = identity
    for weights in layers:
        mixing = (weights.mean(dim=1) + identity) / 2  # (B, L, L)
        rollout = mixing @ rollout  # (B, L, L)
    return rollout
