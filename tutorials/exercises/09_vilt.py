"""Exercises of lesson 09, vilt.

Write each body in place of its `raise`, in any order. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.language.bert import NOT_ASKED


# bert.mask_tokens: Eighty, ten, ten. 25 minutes, difficulty 3 of 5. In the lesson: "Guessing
# covered words".
def mask_tokens(
    tokens: Tensor,
    special: Collection[int],
    mask_token: int,
    vocabulary: int,
    generator: torch.Generator,
    share: float = 0.15,
) -> tuple[Tensor, Tensor]:
    """Cover words for a model to guess (section 3.1): a chance of `share` each to be asked for.

    Of those asked for, 80 % become the mask token, 10 % a random word, 10 % stay as they are, so
    that the model must understand every word: it can't know which ones it is asked for.

    tokens: int64 (B, T); special: ids that are neither asked for nor drawn ([CLS], padding ...).
    Returns the covered tokens and the targets, both int64 (B, T): a target is the token that stood
    there, and -100 where nothing is asked.

    >>> tokens, randomness = torch.tensor([[1, 7, 8, 2]]), torch.Generator().manual_seed(0)
    >>> covered, targets = mask_tokens(tokens, {0, 1, 2, 3}, 3, 99, randomness, share=1.0)
    >>> targets.tolist()
    [[-100, 7, 8, -100]]
    """
    raise NotImplementedError(
        "bert.mask_tokens: ask for a share of the words; of those 80 % become the mask token, 10 % "
        "another word"
    )


# bert.masked_loss: The loss of covered words. 10 minutes, difficulty 2 of 5. In the lesson:
# "Guessing covered words". Comes after bert.mask_tokens.
def masked_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy over the tokens asked for: how surprised the model is, in nats.

    logits: (B, T, V); targets: int64 (B, T), -100 where nothing is asked. Where nothing is asked
    at all the loss is 0, not 0/0.

    >>> masked_loss(torch.zeros(1, 2, 8), torch.tensor([[3, -100]])).exp().round().item()
    8.0
    """
    raise NotImplementedError(
        "bert.masked_loss: the mean cross-entropy over the tokens whose target is not -100; 0 "
        "where there are none"
    )


# matching.matching_negatives: Pairs that do not match. 25 minutes, difficulty 3 of 5. In the
# lesson: "Does it match?".
def matching_negatives(
    tokens: Tensor, generator: torch.Generator, share: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Partners for learning to match: a chance of `share` each to get a wrong text.

    Wrong texts are drawn evenly from those of the batch that differ from the picture's own. Equal
    texts are never a wrong pair, wherever they stand; a text that all the batch shares stays.
    tokens: int64 (B, T), the text of each picture. Returns partner, int64 (B,), the row of the text
    that each picture is shown with, and matched, bool (B,), the answer to learn.

    >>> tokens = torch.tensor([[1, 5], [1, 5], [1, 7]])
    >>> partner, matched = matching_negatives(tokens, torch.Generator().manual_seed(0), share=1.0)
    >>> partner[:2].tolist(), matched.tolist()
    ([2, 2], [False, False, False])
    """
    raise NotImplementedError(
        "matching.matching_negatives: each picture gets, with a chance of share, a text of the "
        "batch that differs from its own"
    )
