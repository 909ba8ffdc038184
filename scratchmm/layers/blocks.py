"""More transformer blocks: with the norm after each sum, and with a look at a context.

Paper: Attention Is All You Need (Vaswani et al. 2017, arXiv 1706.03762), section 3.1 and figure 1.
Dimensions: B batch, L length, S length of the context, D width, C width of the context.
Differs from the paper: no dropout.
"""

import torch  # noqa: F401  (for the examples)
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.attention import MultiHeadAttention
from scratchmm.layers.cache import KeyValueCache
from scratchmm.layers.transformer import Activation, TransformerBlock


class PostNormBlock(TransformerBlock):
    """Post-norm block, as in the first transformer and in BERT: norm(x + attention(x)), and so on.

    >>> block = PostNormBlock(width=8, heads=2, hidden=32)
    >>> block(torch.zeros(1, 3, 8)).shape
    torch.Size([1, 3, 8])
    """

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        """x: (B, L, D); mask: bool, broadcastable to (B, H, L, S). Returns (B, L, D)."""
        x = self.attention_norm(x + self.attention(x, mask=mask, cache=cache))  # (B, L, D)
        return self.feed_forward_norm(x + self.feed_forward(x))  # (B, L, D)


class CrossBlock(TransformerBlock):
    """Pre-norm block that also looks at a context, between self-attention and feed-forward.

    context_width: where it differs from width.

    >>> block = CrossBlock(width=8, heads=2, hidden=32, context_width=6)
    >>> block(torch.zeros(1, 3, 8), context=torch.zeros(1, 5, 6)).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        activation: Activation = F.gelu,
        epsilon: float = 1e-5,
        context_width: int | None = None,
    ) -> None:
        super().__init__(width, heads, hidden, activation, epsilon)
        self.cross_norm = nn.LayerNorm(width, eps=epsilon)
        self.cross_attention = MultiHeadAttention(width, heads, context_width)

    def forward(  # type: ignore[override]
        self,
        x: Tensor,
        context: Tensor,
        mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """x: (B, L, D), context: (B, S, C), context_mask: to (B, H, L, S). Returns (B, L, D).

        With a cache the context is projected at the first call only.
        """
        kept = None if cache is None else cache.context
        x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)  # (B, L, D)
        seen = self.cross_attention(self.cross_norm(x), context, context_mask, kept=kept)
        x = x + seen  # (B, L, D)
        return x + self.feed_forward(self.feed_forward_norm(x))  # (B, L, D)


class PostNormCrossBlock(CrossBlock):
    """The decoder block of the first transformer: as CrossBlock, each norm after its sum.

    >>> block = PostNormCrossBlock(width=8, heads=2, hidden=32)
    >>> block(torch.zeros(1, 3, 8), context=torch.zeros(1, 5, 8)).shape
    torch.Size([1, 3, 8])
    """

    def forward(  # type: ignore[override]
        self,
        x: Tensor,
        context: Tensor,
        mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """x: (B, L, D), context: (B, S, C), context_mask: to (B, H, L, S). Returns (B, L, D).

        With a cache the context is projected at the first call only.
        """
        kept = None if cache is None else cache.context
        x = self.attention_norm(x + self.attention(x, mask=mask, cache=cache))  # (B, L, D)
        seen = self.cross_attention(x, context, context_mask, kept=kept)
        x = self.cross_norm(x + seen)  # (B, L, D)
        return self.feed_forward_norm(x + self.feed_forward(x))  # (B, L, D)
