"""Cross-modal attention: queries from one modality, keys and values from another.

Paper: Attention Is All You Need (Vaswani et al. 2017, arXiv 1706.03762), section 3.2.3, where words
of one language attend to words of another; with words and images, LXMERT (Tan and Bansal 2019, arXiv
1908.07490), equations 1-4.
Dimensions: B batch, L length of the queries, S length of the context, D width, C width of the context,
H heads.
Differs from the paper: no dropout; residual sum and norm are left to the model around it.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from scratchmm.layers.attention import MultiHeadAttention, padding_mask


class CrossAttentionOutput(NamedTuple):
    """The attended values, and the attention weights."""

    output: Tensor  # (B, L, D): for each query token, a weighted mean of the values
    weights: Tensor  # (B, H, L, S): rows sum to 1, or are zero where nothing may be seen


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
        check_stream("query tokens", x, self.attention.query.in_features)
        check_stream("context tokens", context, self.attention.key.in_features, real, x.shape[0])
        mask = None if real is None else padding_mask(real)
        output, weights = self.attention(x, context, mask, return_weights=True)
        return CrossAttentionOutput(output, weights)


def masked_mean(tokens: Tensor, real: Tensor | None = None) -> Tensor:
    """The mean of each sample's real tokens; zeros where none is real.

    tokens: (B, L, D); real: bool (B, L), True on real tokens. Returns (B, D).

    >>> masked_mean(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    if real is None:
        return tokens.mean(dim=1)  # (B, D)
    counted = tokens.masked_fill(~real[..., None], 0.0).sum(dim=1)  # (B, D)
    return counted / real.sum(dim=1, keepdim=True).clamp(min=1)  # (B, D)


def check_stream(
    name: str, tokens: Tensor, width: int, real: Tensor | None = None, batch: int | None = None
) -> None:
    """Refuse tokens of another shape, width or batch, and masks that do not fit them.

    >>> check_stream("words", torch.zeros(2, 3, 4), width=8)
    Traceback (most recent call last):
    ValueError: the words have width 4, but this model takes 8
    """
    if tokens.dim() != 3:
        raise ValueError(f"the {name} have {tokens.dim()} axes, not 3 (batch, tokens, width)")
    if tokens.shape[-1] != width:
        raise ValueError(f"the {name} have width {tokens.shape[-1]}, but this model takes {width}")
    if batch is not None and tokens.shape[0] != batch:
        raise ValueError(f"the {name} are a batch of {tokens.shape[0]} beside a batch of {batch}")
    if real is not None:
        check_mask(name, real, (tokens.shape[0], tokens.shape[1]))


def check_mask(name: str, real: Tensor, shape: tuple[int, int]) -> None:
    """Refuse a mask that is not bool, one a token.

    >>> check_mask("words", torch.ones(2, 3), (2, 3))
    Traceback (most recent call last):
    ValueError: the mask of the words is torch.float32, not torch.bool (True = real)
    """
    if real.dtype != torch.bool:
        raise ValueError(f"the mask of the {name} is {real.dtype}, not torch.bool (True = real)")
    if tuple(real.shape) != shape:
        raise ValueError(f"the mask of the {name} is {tuple(real.shape)}, but they are {shape}")
