"""Transformer blocks: attention moves information between positions, a small network works on each.

Papers: Attention Is All You Need (Vaswani et al. 2017, arXiv 1706.03762), section 3.1 and figure 1:
the norm stands after each sum (post-norm), and a decoder block attends to a context; On Layer
Normalization in the Transformer Architecture (Xiong et al. 2020, arXiv 2002.04745), figure 1: the
norm stands before each part (pre-norm), which trains without tricks.
Dimensions: B batch, L length, S length of the context, D width, C width of the context.
Differs from the paper: no dropout.
"""

from collections.abc import Callable, Iterable
from functools import partial

import torch  # noqa: F401  (for the examples)
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.attention import KeyValueCache, MultiHeadAttention

Activation = Callable[[Tensor], Tensor]


def quick_gelu(x: Tensor) -> Tensor:
    """CLIP's GELU: x * sigmoid(1.702 x), which is silu(1.702 x) / 1.702. Any shape.

    Written with silu because torch does that in one pass, forward and backward.

    >>> quick_gelu(torch.tensor([0.0, 100.0])).tolist()
    [0.0, 100.0]
    """
    return F.silu(1.702 * x) / 1.702


# By the names that configs use. tanh: the approximation that GPT-2's code has.
ACTIVATIONS: dict[str, Activation] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
    "relu": F.relu,
    "silu": F.silu,
}


def activation_named(name: str) -> Activation:
    """The activation that a config means by a name. Raises ValueError on a name that is not known.

    >>> activation_named("relu")(torch.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"there is no activation {name!r}, only {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class FeedForward(nn.Module):
    """Two Linear layers with an activation between: the same small network at every position.

    GELU is the exact one unless another is given.

    >>> FeedForward(width=4, hidden=16)(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, width: int, hidden: int, activation: Activation = F.gelu) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., D). Returns the same shape."""
        return self.contract(self.activation(self.expand(x)))


class SwiGLU(nn.Module):
    """A feed-forward network with a gate: contract(silu(gate(x)) * expand(x)), no biases.

    Paper: GLU Variants Improve Transformer (Shazeer 2020, arXiv 2002.05202), equation 6. With GELU
    for the activation it is the paper's GEGLU, with ReLU its ReGLU. Three matrices instead of two:
    two thirds of the hidden width make it as large as a FeedForward.

    >>> SwiGLU(width=4, hidden=16)(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(
        self, width: int, hidden: int, activation: Activation = F.silu, bias: bool = False
    ) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=bias)
        self.expand = nn.Linear(width, hidden, bias=bias)
        self.contract = nn.Linear(hidden, width, bias=bias)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., D). Returns the same shape."""
        return self.contract(self.activation(self.gate(x)) * self.expand(x))


class TransformerBlock(nn.Module):
    """Pre-norm block: x + attention(norm(x)), then x + feed_forward(norm(x)).

    It is bidirectional or causal as the mask says. epsilon: of the layer norms.

    >>> block = TransformerBlock(width=8, heads=2, hidden=32)
    >>> block(torch.zeros(1, 3, 8)).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        activation: Activation = F.gelu,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width, eps=epsilon)
        self.feed_forward = FeedForward(width, hidden, activation)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        """x: (B, L, D); mask: bool, broadcastable to (B, H, L, S). Returns (B, L, D)."""
        x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)  # (B, L, D)
        return x + self.feed_forward(self.feed_forward_norm(x))  # (B, L, D)

    def cls_only(self, x: Tensor) -> Tensor:
        """What forward gives at the first token, without the work for the others: (B, D).

        The first token still attends to all tokens of x: (B, L, D). No mask.
        """
        context = self.attention_norm(x)  # (B, L, D)
        x = x[:, :1] + self.attention(context[:, :1], context=context)  # (B, 1, D)
        return (x + self.feed_forward(self.feed_forward_norm(x)))[:, 0]  # (B, D)


class PostNormBlock(nn.Module):
    """Post-norm block, as in the first transformer and in BERT: norm(x + attention(x)), and so on.

    >>> block = PostNormBlock(width=8, heads=2, hidden=32)
    >>> block(torch.zeros(1, 3, 8)).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        activation: Activation = F.gelu,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.feed_forward_norm = nn.LayerNorm(width, eps=epsilon)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        """x: (B, L, D); mask: bool, broadcastable to (B, H, L, S). Returns (B, L, D)."""
        x = self.attention_norm(x + self.attention(x, mask=mask, cache=cache))  # (B, L, D)
        return self.feed_forward_norm(x + self.feed_forward(x))  # (B, L, D)


class CrossAttentionBlock(nn.Module):
    """Pre-norm block that also attends to a context, between self-attention and feed-forward.

    context_width: where it differs from width.

    >>> block = CrossAttentionBlock(width=8, heads=2, hidden=32, context_width=6)
    >>> x, weights = block(torch.zeros(1, 3, 8), torch.zeros(1, 5, 6), return_weights=True)
    >>> x.shape, weights.shape
    (torch.Size([1, 3, 8]), torch.Size([1, 2, 3, 5]))
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
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.attention = MultiHeadAttention(width, heads)
        self.cross_norm = nn.LayerNorm(width, eps=epsilon)
        self.cross_attention = MultiHeadAttention(width, heads, context_width)
        self.feed_forward_norm = nn.LayerNorm(width, eps=epsilon)
        self.feed_forward = FeedForward(width, hidden, activation)

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """x: (B, L, D), context: (B, S, C), context_mask: to (B, H, L, S). Returns (B, L, D).

        With a cache the context is projected at the first call only. return_weights: also return
        the weights (B, H, L, S) of the attention to the context.
        """
        kept, weights = None if cache is None else cache.context, None
        x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)  # (B, L, D)
        query = self.cross_norm(x)  # (B, L, D)
        if return_weights:  # without them a fast backend may be used, which has none
            attended, weights = self.cross_attention(
                query, context, context_mask, return_weights=True, kept=kept
            )
        else:
            attended = self.cross_attention(query, context, context_mask, kept=kept)  # (B, L, D)
        x = x + attended  # (B, L, D)
        x = x + self.feed_forward(self.feed_forward_norm(x))  # (B, L, D)
        return x if weights is None else (x, weights)


class PostNormCrossAttentionBlock(nn.Module):
    """The decoder block of the first transformer: as CrossAttentionBlock, each norm after its sum.

    >>> block = PostNormCrossAttentionBlock(width=8, heads=2, hidden=32)
    >>> block(torch.zeros(1, 3, 8), context=torch.zeros(1, 5, 8)).shape
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
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.cross_attention = MultiHeadAttention(width, heads, context_width)
        self.cross_norm = nn.LayerNorm(width, eps=epsilon)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.feed_forward_norm = nn.LayerNorm(width, eps=epsilon)

    def forward(
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
        attended = self.cross_attention(x, context, context_mask, kept=kept)  # (B, L, D)
        x = self.cross_norm(x + attended)  # (B, L, D)
        return self.feed_forward_norm(x + self.feed_forward(x))  # (B, L, D)


class Transformer(nn.Module):
    """Blocks one after the other.

    >>> stack = Transformer(TransformerBlock(width=8, heads=2, hidden=32) for _ in range(2))
    >>> stack(torch.zeros(1, 3, 8)).shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def new_caches(self) -> list[KeyValueCache]:
        """An empty cache for each block."""
        return [KeyValueCache() for _ in self.blocks]

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        caches: list[KeyValueCache] | None = None,
    ) -> Tensor:
        """x: (B, L, D). Returns (B, L, D). Blocks are handed what is given here, and nothing else.

        So masks, contexts and caches are for stacks whose blocks take them. caches: from
        `new_caches`, one a block, extended in place.
        """
        given = {"context": context, "mask": mask, "context_mask": context_mask}
        given = {name: part for name, part in given.items() if part is not None}
        for index, block in enumerate(self.blocks):
            cached = {} if caches is None else {"cache": caches[index]}
            x = block(x, **given, **cached)  # (B, L, D)
        return x

    def cls_only(self, x: Tensor) -> Tensor:
        """Only the first token, (B, D): the last block computes no other. x: (B, L, D)."""
        for block in self.blocks[:-1]:
            x = block(x)  # (B, L, D)
        return self.blocks[-1].cls_only(x)  # type: ignore[operator]  # (B, D)


def hidden_states(stack: Transformer, x: Tensor, mask: Tensor | None = None) -> list[Tensor]:
    """The input and the output of every block, each (B, L, D): depth + 1 tensors.

    >>> stack = Transformer(TransformerBlock(width=8, heads=2, hidden=32) for _ in range(2))
    >>> len(hidden_states(stack, torch.zeros(1, 3, 8)))
    3
    """
    states = [x]
    for block in stack.blocks:
        states.append(block(states[-1], mask=mask))
    return states
