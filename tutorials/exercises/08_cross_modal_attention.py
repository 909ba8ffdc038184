"""Exercises of lesson 08, cross modal attention.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/08_cross_modal_attention.py   its examples; silent if right
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from scratchmm.fusion.bimodal import Streams
from scratchmm.fusion.cross_modal import CrossAttentionOutput, check_stream
from scratchmm.layers.attention import MultiHeadAttention, padding_mask
from scratchmm.layers.transformer import PostNormBlock


# cross_modal.CrossModalAttention: Words attend to the image. 15 minutes, difficulty 2 of 5. In the
# lesson: "Words attend to the image". Comes after attention.MultiHeadAttention,
# attention.padding_mask.
# Given:
# - CrossAttentionOutput(output: Tensor, weights: Tensor)
#     The attended values, and the attention weights.
# - MultiHeadAttention(width: int, heads: int, context_width: int | None=None, bias: bool |
#       Collection[str]=True, *, key_heads: int | None=None)
#     Several attentions in parallel, each on its own slice of the width (section 3.2.2).
# - check_stream(name: str, tokens: Tensor, width: int, real: Tensor | None=None, batch: int |
#       None=None) -> None
#     Refuse tokens of another shape, width or batch, and masks that do not fit them.
# - padding_mask(real: Tensor) -> Tensor
#     Mask out padding: real, bool (B, S), True on real tokens, becomes (B, 1, 1, S).
class CrossModalAttention(nn.Module):
    """Queries come from x; keys and values come from the context, of another length and width.

    The output has the length of x: one vector for each query.

    >>> words, image = torch.zeros(2, 3, 8), torch.zeros(2, 5, 6)
    >>> attended = CrossModalAttention(width=8, heads=2, context_width=6)(words, image)
    >>> attended.output.shape, attended.weights.shape
    (torch.Size([2, 3, 8]), torch.Size([2, 2, 3, 5]))
    """

    def __init__(self, width: int, heads: int, context_width: int | None = None) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads, context_width)

    def forward(
        self, x: Tensor, context: Tensor, real: Tensor | None = None
    ) -> CrossAttentionOutput:
        """x: (B, L, D), for queries; context: (B, S, C); real: bool (B, S), True may be attended to.

        A sample whose context is all False gets zero weights, and the output's bias.
        Raises ValueError on a context or a mask of another batch or length, and on a mask not bool.
        """
        raise NotImplementedError(
            "cross_modal.CrossModalAttention: x attends to the context where real is True; return "
            "CrossAttentionOutput, and refuse what does not fit (ValueError)"
        )


# bimodal.TwoStreamLayer: Two streams that attend to each other. 25 minutes, difficulty 3 of 5. In
# the lesson: "Two streams". Comes after cross_modal.CrossModalAttention,
# transformer.TransformerBlock.
# Given:
# - PostNormBlock(width: int, heads: int, hidden: int, activation: Activation=F.gelu, epsilon:
#       float=1e-05)
#     Post-norm block, as in the first transformer and in BERT: norm(x + attention(x)), and so on.
# - Streams(words: Tensor, image: Tensor)
#     Both modalities, each token encoded with what it attended to in the other.
class TwoStreamLayer(nn.Module):
    """Each stream: cross-attention to the other, self-attention, feed-forward. Norms after each sum.

    >>> layer = TwoStreamLayer(width=8, heads=2, hidden=32)
    >>> words, image = layer(torch.zeros(1, 3, 8), torch.zeros(1, 5, 8))
    >>> words.shape, image.shape
    (torch.Size([1, 3, 8]), torch.Size([1, 5, 8]))
    """

    def __init__(self, width: int, heads: int, hidden: int, epsilon: float = 1e-12) -> None:
        super().__init__()
        self.cross_attention = MultiHeadAttention(width, heads)  # of both directions
        self.cross_norm = nn.LayerNorm(width, eps=epsilon)
        self.words_block = PostNormBlock(width, heads, hidden, epsilon=epsilon)
        self.image_block = PostNormBlock(width, heads, hidden, epsilon=epsilon)

    def forward(
        self,
        words: Tensor,
        image: Tensor,
        words_mask: Tensor | None = None,
        image_mask: Tensor | None = None,
    ) -> Streams:
        """words: (B, T, D); image: (B, N, D); masks: bool, broadcastable to (B, H, L, S)."""
        raise NotImplementedError(
            "bimodal.TwoStreamLayer: words attend to the image and the image to the words, both as "
            "they came in; sum and norm; then each its own block"
        )


# cross_modal.masked_mean: A mean without padding. 10 minutes, difficulty 2 of 5. In the lesson:
# "Padding masks". Comes after attention.padding_mask.
def masked_mean(tokens: Tensor, real: Tensor | None = None) -> Tensor:
    """The mean of each sample's real tokens; zeros where none is real.

    tokens: (B, L, D); real: bool (B, L), True on real tokens. Returns (B, D).

    >>> masked_mean(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    raise NotImplementedError(
        "cross_modal.masked_mean: the mean (B, D) of each sample's real tokens, whatever stands in "
        "the others"
    )


# bug.half_masked: Find the bug: scores that depend on padding. 25 minutes, difficulty 3 of 5. In
# the lesson: "Padding masks". Comes after cross_modal.CrossModalAttention, cross_modal.masked_mean.
class HalfMaskedReader(nn.Module):
    """A question and an image in, a score for each of 5 answers out. Words and image attend to
    each other, and the results are averaged.

    It trains well, but its scores of a question depend on those beside it. Leave it as it is:
    it is what your check has to catch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words, self.patches = nn.Embedding(11, 12), nn.Linear(6, 12)
        self.words_attention = MultiHeadAttention(12, heads=3)
        self.image_attention = MultiHeadAttention(12, heads=3)
        self.answers = nn.Linear(24, 5)

    def forward(self, tokens: Tensor, real: Tensor, image: Tensor) -> Tensor:
        """tokens: int64 (B, T), each 0 ... 10; real: bool (B, T), True on real tokens; image:
        (B, N, 6), without padding. Returns scores (B, 5)."""
        words, patches = self.words(tokens), self.patches(image)
        seen = words + self.words_attention(words, patches)  # an image has no padding: no mask
        said = patches + self.image_attention(patches, words)
        question = (seen * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
        return self.answers(torch.cat([question, said.mean(dim=1)], dim=-1))


def check_padding(reader: nn.Module) -> None:
    """Raise AssertionError if a reader's scores depend on padding, or on the other samples.

    reader: (tokens, real, image) -> scores (B, 5), as HalfMaskedReader takes them; built and
    ready. Real words stand first, at least one a question; padding behind them may be any number
    from 0 to 10. T, N and B may be any number from 1 to 16. Accept every reader whose scores come
    from each sample's real words and image alone (or from less), up to rounding; reject every
    other. This check is what is asked for and graded, on HalfMaskedReader and others.

    >>> check_padding(HalfMaskedReader())
    Traceback (most recent call last):
    AssertionError: question 0 has other scores when it is padded to 4 words
    """
    raise NotImplementedError(
        "bug.half_masked: write the check: AssertionError if a reader's scores depend on padding "
        "or on the rest of the batch"
    )
