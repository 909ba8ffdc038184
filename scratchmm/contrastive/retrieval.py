"""Retrieval: the nearest of many, exactly, without holding all the similarities at once.

Paper: CLIP (Radford et al. 2021, arXiv 2103.00020), section 3.1 and table 13, retrieves pictures by
texts and texts by pictures, by cosine similarity.
Dimensions: Q queries, G gallery, E width of the shared space.
Differs from the paper: nothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Neighbours(NamedTuple):
    """The best answers to each query, best first."""

    scores: Tensor  # (Q, k), similarities, falling
    indices: Tensor  # int64 (Q, k), rows of the gallery


def top_k(queries: Tensor, gallery: Tensor, k: int, block: int = 4096) -> Neighbours:
    """The k rows of the gallery most similar to each query, by dot product, best first.

    queries: (Q, E); gallery: (G, E); both unit length for cosine similarity. The gallery is read in
    blocks, and the best so far compete with each new block: memory grows with Q * (block + k), not
    with Q * G. k above G is refused.

    >>> best = top_k(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8], [1.0, 0.0]]), k=1)
    >>> best.indices.tolist()
    [[1]]
    """
    if not 1 <= k <= len(gallery):
        raise ValueError(f"asked for the best {k} of a gallery of {len(gallery)}")
    scores = queries.new_empty(len(queries), 0)
    indices = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    for start in range(0, len(gallery), block):
        fresh = queries @ gallery[start : start + block].T
        places = torch.arange(start, start + fresh.shape[1], device=queries.device)
        scores = torch.cat([scores, fresh], dim=1)
        indices = torch.cat([indices, places.expand_as(fresh)], dim=1)
        scores, kept = scores.topk(min(k, scores.shape[1]), dim=1)
        indices = indices.gather(1, kept)
    return Neighbours(scores, indices)
