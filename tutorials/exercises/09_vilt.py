"""Exercises of lesson 09, vilt.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/09_vilt.py   its examples; silent if right
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.fusion.vilt import (
    IMAGE,
    WORD,
    ViLTConfig,
    count_patches,
    interpolate_each,
    interpolate_positions,
)
from scratchmm.language.bert import NOT_ASKED
from scratchmm.language.words import BERTEmbeddings, check_real
from scratchmm.layers.tracing import numbers_are_known
from scratchmm.vision.vit import PatchEmbedding


# vilt.ViLTEmbeddings: One stream of two kinds. 20 minutes, difficulty 2 of 5. In the lesson: "One
# stream".
# Given:
# - BERTEmbeddings(vocabulary: int, width: int, context_length: int, types: int=2, epsilon:
#       float=1e-12)
#     Figure 2: the sum of a token's, its position's and its type's vector, then a layer norm.
# - PatchEmbedding(channels: int, patch: int, width: int, bias: bool=True)
#     Images to patch tokens: each patch, laid out flat, through one Linear layer.
# - ViLTConfig(vocabulary: int = 30522, context_length: int = 40, image_size: int = 384, patch_size:
#       int = 32, width: int = 768, depth: int = 12, heads: int = 12, hidden: int = 3072, channels:
#       int = 3, types: int = 2, modalities: int = 2, epsilon: float = 1e-12, activation: str =
#       'gelu')
#     The sizes of a ViLT; as they stand, those of the published ViLT-B/32.
# - ViLTConfig.grid() -> int
#     Patches in a row, and rows, for which there are positions.
# - check_real(real: Tensor, tokens: Tensor) -> Tensor
#     Return a padding mask that fits its tokens, or refuse it in a sentence.
# - count_patches(pixels: Tensor, images: Tensor, patch: int) -> tuple[Tensor, Tensor, Tensor]
#     `filled_patches` as tensors: rows and columns int64 (B,), and which patches, bool (B, N).
# - interpolate_each(positions: Tensor, rows: Tensor, columns: Tensor, grid: tuple[int, int]) ->
#       Tensor
#     `interpolate_positions` for a batch of images, each with its own filled corner: (B, N, D).
# - interpolate_positions(positions: Tensor, filled: tuple[int, int], grid: tuple[int, int]) ->
#       Tensor
#     The learned square of positions, stretched over the filled corner of a grid: (N, D).
# - numbers_are_known(x: Tensor) -> bool
#     Whether the values of x are available to Python, so that wrong ones can be refused.
class ViLTEmbeddings(nn.Module):
    """Words as BERT embeds them, images as ViT does, and to each the vector of its modality.

    >>> layer = ViLTEmbeddings(tiny())
    >>> tokens, real = layer(torch.tensor([[5, 7, 9]]), torch.zeros(1, 3, 32, 32))
    >>> tokens.shape
    torch.Size([1, 20, 32])
    """

    def __init__(self, config: ViLTConfig) -> None:
        super().__init__()
        width = config.width
        self.words = BERTEmbeddings(
            config.vocabulary, width, config.context_length, config.types, config.epsilon
        )
        self.patches = PatchEmbedding(config.channels, config.patch_size, width)
        self.class_token = nn.Parameter(width**-0.5 * torch.randn(width))
        self.positions = nn.Parameter(width**-0.5 * torch.randn(1 + config.grid**2, width))
        self.modalities = nn.Embedding(config.modalities, width)
        nn.init.normal_(self.modalities.weight, std=0.02)

    def forward(
        self,
        tokens: Tensor,
        images: Tensor,
        real: Tensor | None = None,
        pixels: Tensor | None = None,
        types: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The one stream, words first, (B, T + 1 + N, D); and which of it is real, if not all.

        tokens: int64 (B, T); images: float (B, C, height, width); real: bool (B, T), True on words;
        pixels: bool (B, height, width), True on the image, False where it was padded.
        """
        raise NotImplementedError(
            "vilt.ViLTEmbeddings: words, then the image, each plus the vector of its modality; and "
            "a mask (B, T + 1 + N) of what is real, or None where nothing is masked"
        )

    def image(self, images: Tensor, pixels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Patches with their positions after a CLS of their own, (B, 1 + N, D); and which count."""
        patch = self.patches.patch
        x = self.patches(images)  # (B, N, D)
        grid = (images.shape[-2] // patch, images.shape[-1] // patch)
        seen = None
        if pixels is None:
            x = x + interpolate_positions(self.positions[1:], grid, grid)  # (B, N, D)
        else:
            rows, columns, seen = count_patches(pixels, images, patch)
            x = x + interpolate_each(self.positions[1:], rows, columns, grid)  # (B, N, D)
            # Real patches first, then as many of the padding as the largest image needs; all of it
            # where torch only traces: how many those are is data.
            order = seen.int().argsort(dim=1, descending=True, stable=True)  # (B, N)
            if numbers_are_known(seen):
                order = order[:, : int(seen.sum(dim=1).max())]
            # Not take_along_dim, for which torch.export fixes the batch.
            x = x.gather(1, order[..., None].expand(-1, -1, x.shape[2]))
            ends = torch.ones(x.shape[0], 1, dtype=torch.bool, device=x.device)
            seen = torch.cat([ends, seen.gather(1, order)], dim=1)
        class_token = (self.class_token + self.positions[0]).expand(x.shape[0], 1, -1)  # (B, 1, D)
        return torch.cat([class_token, x], dim=1), seen


# bert.mask_tokens: Eighty, ten, ten. 25 minutes, difficulty 3 of 5. In the lesson: "Masked language
# modelling".
def mask_tokens(
    tokens: Tensor,
    special: Collection[int],
    mask_token: int,
    vocabulary: int,
    generator: torch.Generator,
    share: float = 0.15,
) -> tuple[Tensor, Tensor]:
    """Mask tokens for a model to predict (section 3.1), each selected with probability `share`.

    Of those selected, 80 % become the mask token, 10 % a random word, 10 % stay as they are, so
    that the model must encode every word: which ones are selected does not show.

    tokens: int64 (B, T); special: ids that are neither selected nor drawn ([CLS], padding ...).
    Returns the masked tokens and the targets, both int64 (B, T): a target is the original token,
    and -100 where none was selected. Raises ValueError where share is not between 0 and 1.

    >>> tokens, randomness = torch.tensor([[1, 7, 8, 2]]), torch.Generator().manual_seed(0)
    >>> covered, targets = mask_tokens(tokens, {0, 1, 2, 3}, 3, 99, randomness, share=1.0)
    >>> targets.tolist()
    [[-100, 7, 8, -100]]
    """
    raise NotImplementedError(
        "bert.mask_tokens: select a share of the words; of those 80 % become the mask token, 10 % "
        "another word"
    )


# bert.masked_loss: The loss of covered words. 10 minutes, difficulty 2 of 5. In the lesson: "Masked
# language modelling". Comes after bert.mask_tokens.
def masked_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy over the selected tokens, in nats.

    logits: (B, T, V); targets: int64 (B, T), -100 where none is selected. Where none is selected at
    all the loss is 0 with a gradient of 0, not 0/0. Raises ValueError on targets of another shape.

    >>> masked_loss(torch.zeros(1, 2, 8), torch.tensor([[3, -100]])).exp().round().item()
    8.0
    """
    raise NotImplementedError(
        "bert.masked_loss: the mean cross-entropy over the tokens whose target is not -100; 0 "
        "where there are none"
    )


# matching.matching_negatives: Pairs that do not match. 25 minutes, difficulty 3 of 5. In the
# lesson: "Image-text matching".
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
    raise NotImplementedError(
        "matching.matching_negatives: each image gets, with a chance of share, a text of the batch "
        "that differs from its own"
    )
