"""Retrieval: the nearest of many, exactly, without holding all the similarities at once.

Paper: CLIP (Radford et al. 2021, arXiv 2103.00020), section 3.1 and table 13, retrieves images by
texts and texts by images, by cosine similarity.
Dimensions: Q queries, G gallery, E width of the shared space.
Differs from the paper: nothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from scratchmm.layers.tracing import numbers_are_known


class Neighbours(NamedTuple):
    """The best answers to each query, best first."""

    scores: Tensor  # (Q, k), similarities, falling
    indices: Tensor  # int64 (Q, k), rows of the gallery


def top_k(queries: Tensor, gallery: Tensor, k: int, block: int = 4096) -> Neighbours:
    """The k rows of the gallery most similar to each query, by dot product, best first.

    queries: (Q, E); gallery: (G, E); both unit length for cosine similarity. The gallery is read in
    blocks, and the best so far compete with each new block: memory grows with Q * (block + k), not
    with Q * G. Of equal scores the lowest row comes first, whatever the block. Half precision is
    ranked in float32, before the scores are rounded to it.

    A row of the gallery with a nan in it is nobody's neighbour: it comes last, with the score -inf.
    Refused (ValueError): k below 1 or above G, a block below 1, queries and gallery of different
    widths or of whole numbers, and queries that are not finite numbers, which have no neighbours.

    >>> best = top_k(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8], [1.0, 0.0]]), k=1)
    >>> best.indices.tolist()
    [[1]]
    """
    check_search(queries, gallery, k, block)
    precise = torch.promote_types(queries.dtype, torch.float32)  # half precision makes ties
    scores = queries.new_empty(len(queries), 0, dtype=precise)
    indices = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    for start in range(0, len(gallery), block):
        # Summed in float64: rounded after it, equal rows score the same in a block of any size.
        fresh = (queries.double() @ gallery[start : start + block].double().T).to(precise)
        fresh = fresh.masked_fill(fresh.isnan(), -torch.inf)
        places = torch.arange(start, start + fresh.shape[1], device=queries.device)
        scores = torch.cat([scores, fresh], dim=1)
        indices = torch.cat([indices, places.expand_as(fresh)], dim=1)
        kept = first_best(scores, min(k, scores.shape[1]))
        scores = scores.gather(1, kept)
        indices = indices.gather(1, kept)
    scores = scores.to(queries.dtype)
    return Neighbours(scores, indices)


def first_best(scores: Tensor, k: int) -> Tensor:
    """The places int64 (Q, k) of the k largest of scores (Q, G), of equal ones the first, in order.

    Tensor.topk takes any of equal ones.

    >>> first_best(torch.tensor([[0.5, 0.9, 0.5, 0.5]]), k=3).tolist()
    [[1, 0, 2]]
    """
    least = scores.topk(k, dim=1).values[:, -1:]  # (Q, 1), the last score that is taken
    better, equal = scores > least, scores == least  # each (Q, G)
    equal &= equal.cumsum(dim=1, dtype=torch.int32) <= k - better.sum(dim=1, keepdim=True)
    places = torch.topk((better | equal).int(), k, dim=1).indices.sort(dim=1).values  # (Q, k)
    order = scores.gather(1, places).argsort(dim=1, descending=True, stable=True)
    return places.gather(1, order)  # (Q, k)


def check_search(queries: Tensor, gallery: Tensor, k: int, block: int) -> None:
    """Refuse a search that can't be made, or whose queries have no neighbours.

    >>> check_search(torch.zeros(1, 3), torch.zeros(5, 4), k=2, block=9)
    Traceback (most recent call last):
    ValueError: queries of shape (1, 3) and a gallery of (5, 4) are not as wide as each other
    """
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries of shape {tuple(queries.shape)} and a gallery of {tuple(gallery.shape)} are "
            "not as wide as each other"
        )
    for name, rows in (("queries", queries), ("gallery", gallery)):
        if not rows.is_floating_point():
            raise ValueError(f"{name}: {rows.dtype} and not floating-point numbers")
    if not 1 <= k <= len(gallery):
        raise ValueError(f"asked for the best {k} of a gallery of {len(gallery)}")
    if block < 1:
        raise ValueError(f"the gallery is read in blocks of {block} rows: at least 1 is needed")
    finite = queries.isfinite().all(dim=1)  # (Q,)
    if numbers_are_known(finite) and not finite.all():
        row = int((~finite).nonzero()[0])
        raise ValueError(f"query {row} of {len(queries)} is not all finite numbers")
