"""The contrastive loss: classify which text of the batch belongs to an image, and the reverse.

Papers: CLIP (Radford et al. 2021, arXiv 2103.00020), figure 3; InfoNCE is from Representation
Learning with Contrastive Predictive Coding (van den Oord et al. 2018, arXiv 1807.03748), equation 4.
Dimensions: B batch, D width of the shared space.
Differs from the paper: `contrastive_loss` in nothing. CLIP counts every other text of the batch as a
wrong answer; `masked_contrastive_loss` leaves out those that are right as well (false negatives), as
Boosting Contrastive Self-Supervised Learning with False Negative Cancellation (Huynh et al. 2020,
arXiv 2011.11765), section 3.3, does for images: they are eliminated, and not counted as positives.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive_loss(
    image_embeddings: Tensor, text_embeddings: Tensor, scale: Tensor | float
) -> Tensor:
    """Mean of two cross-entropies over the similarity matrix: along its rows and its columns.

    logits_ij = scale * image_i . text_j;  loss = (CE(logits, i) + CE(logits^T, i)) / 2, where pair i
    is the right answer for row i. image_embeddings, text_embeddings: (B, D), unit length, row i of
    one belonging to row i of the other; scale: 1 / temperature. Returns a scalar; when everything
    looks alike it is log B. Shapes that differ are refused (ValueError).

    >>> same = torch.ones(3, 1)
    >>> contrastive_loss(same, same, scale=10.0).exp().round().item()
    3.0
    """
    if image_embeddings.shape != text_embeddings.shape:
        raise ValueError(
            f"image embeddings are {tuple(image_embeddings.shape)} "
            f"but text embeddings are {tuple(text_embeddings.shape)}"
        )
    logits = scale * image_embeddings @ text_embeddings.T  # (B, B)
    partner = torch.arange(len(logits), device=logits.device)
    image_loss = F.cross_entropy(logits, partner)
    text_loss = F.cross_entropy(logits.T, partner)
    return (image_loss + text_loss) / 2


def masked_contrastive_loss(
    image_embeddings: Tensor, text_embeddings: Tensor, scale: Tensor | float, right: Tensor
) -> Tensor:
    """`contrastive_loss`, in which other right answers of the batch count as no wrong ones.

    right: bool (B, B), True where text j is right for image i, as the second of five texts of one
    image is. On the diagonal it counts for nothing: pair i is the answer that is asked for, in
    rows and in columns, and the others that are right stand in neither softmax (masked with -inf).
    Shapes that differ are refused (ValueError).

    >>> same = torch.ones(3, 1)
    >>> right = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    >>> loss = masked_contrastive_loss(same, same, 10.0, right)  # the right one of 2, of 2, of 3
    >>> torch.allclose(loss, torch.tensor([2.0, 2.0, 3.0]).log().mean())
    True
    """
    if right.shape != (len(image_embeddings), len(text_embeddings)):
        raise ValueError(
            f"right is {tuple(right.shape)} for {len(image_embeddings)} images "
            f"and {len(text_embeddings)} texts"
        )
    if image_embeddings.shape != text_embeddings.shape:
        raise ValueError(
            f"image embeddings are {tuple(image_embeddings.shape)} "
            f"but text embeddings are {tuple(text_embeddings.shape)}"
        )
    logits = scale * image_embeddings @ text_embeddings.T  # (B, B)
    partner = torch.arange(len(logits), device=logits.device)
    others = right & (partner[:, None] != partner)
    logits = logits.masked_fill(others, -torch.inf)
    return (F.cross_entropy(logits, partner) + F.cross_entropy(logits.T, partner)) / 2
