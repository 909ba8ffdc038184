"""Matching: which texts to show an image with, so that a model learns whether they belong together.

Paper: ViLT (Kim et al. 2021, arXiv 2102.03334), section 3.3, image text matching.
Dimensions: B batch, T text tokens.
Differs from the paper: the wrong partner is a text of the same batch, not an image of the data set.
"""

import torch
from torch import Tensor


def matching_negatives(
    tokens: Tensor, generator: torch.Generator, share: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Partners for learning to match: a chance of `share` each to get a wrong text.

    Wrong texts are drawn evenly from those of the batch that differ from the image's own. Equal
    texts are never a wrong pair, wherever they stand; a text that all the batch shares stays.
    tokens: int64 (B, T), the text of each image. Returns partner, int64 (B,), the row of the text
    that each image is shown with, and matched, bool (B,), the answer to learn. A share outside 0
    to 1 is a ValueError.

    >>> tokens = torch.tensor([[1, 5], [1, 5], [1, 7]])
    >>> partner, matched = matching_negatives(tokens, torch.Generator().manual_seed(0), share=1.0)
    >>> partner[:2].tolist(), matched.tolist()
    ([2, 2], [False, False, False])
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of wrong texts is {share}, not between 0 and 1")
    tokens, device = tokens.to(generator.device), tokens.device
    other = (tokens[:, None] != tokens[None]).any(dim=-1)  # (B, B)
    alone = ~other.any(dim=1)  # (B,)
    chances = (other | alone[:, None]).float()  # (B, B)
    drawn = torch.multinomial(chances, 1, generator=generator).squeeze(1)  # (B,)
    lot = torch.rand(len(tokens), generator=generator, device=tokens.device)  # (B,)
    matched = (lot >= share) | alone  # (B,)
    partner = torch.where(matched, torch.arange(len(tokens), device=tokens.device), drawn)  # (B,)
    return partner.to(device), matched.to(device)
