"""Recall@k: in how many cases is a right answer among the first k?

Source: the usual measure of image-text retrieval, as in CLIP (arXiv 2103.00020), table 13.
Dimensions: Q queries, G gallery.
Differs from the source: ties count against the model (see below).
"""

import torch
from torch import Tensor

from scratchmm.sentences import check_count

MOST = 2**40  # more than any gallery: k may be above the number of answers


def recall_at_k(similarity: Tensor, k: int, relevant: Tensor | None = None) -> float:
    """The share of queries with a right answer among their k most similar, from 0 to 1.

    similarity: (Q, G), a row a query; relevant: bool (Q, G), True where an answer is right, or None
    where answer i alone is right for query i (then Q = G). A wrong answer that ties with the best
    right one counts as ranked before it, so that a model with constant similarities scores 0.
    A query without any right answer is never a success. k below 1 is refused (ValueError), and so are
    no queries or answers, similarities that are nan or whole numbers, a `relevant` that is not bool, and
    unequal numbers of queries and answers without it.

    >>> similarity = torch.tensor([[0.9, 0.1, 0.0], [0.8, 0.7, 0.0], [0.1, 0.1, 0.1]])
    >>> recall_at_k(similarity, k=1), recall_at_k(similarity, k=3)
    (0.3333333333333333, 1.0)
    """
    check_count("k", k, most=MOST)
    if similarity.ndim != 2 or not similarity.is_floating_point():
        kind = f"{tuple(similarity.shape)} of {similarity.dtype}"
        raise ValueError(f"similarity is {kind}, and should be (Q, G) of floating-point numbers")
    if relevant is None:
        if similarity.shape[0] != similarity.shape[1]:
            raise ValueError(
                f"{similarity.shape[0]} queries and {similarity.shape[1]} answers are no pairs: "
                "say which are relevant"
            )
        relevant = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    if relevant.dtype != torch.bool:
        raise ValueError(f"relevant is of {relevant.dtype}, and should be bool")
    if relevant.shape != similarity.shape:
        raise ValueError(
            f"similarity is {tuple(similarity.shape)} but relevant is {tuple(relevant.shape)}"
        )
    if not similarity.numel():
        raise ValueError(f"similarity is {tuple(similarity.shape)}: there is nothing to recall")
    if similarity.isnan().any():
        raise ValueError(f"{int(similarity.isnan().sum())} similarities are nan, and have no rank")
    best = similarity.masked_fill(~relevant, -torch.inf).amax(dim=1, keepdim=True)  # (Q, 1)
    ahead = ((similarity >= best) & ~relevant).sum(dim=1)  # wrong answers not beaten, (Q,)
    hits = (ahead < k) & relevant.any(dim=1)
    return hits.double().mean().item()
