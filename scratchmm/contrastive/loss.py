"""The contrastive loss: of all texts in the batch, which belongs to this picture, and the reverse.

Papers: CLIP (Radford et al. 2021, arXiv 2103.00020), figure 3; InfoNCE is from Representation
Learning with Contrastive Predictive Coding (van den Oord et al. 2018, arXiv 1807.03748), equation 4.
Dimensions: B batch, D width of the shared space.
Differs from the paper: nothing.
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
