"""Exercises of lesson 01, attention.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/01_attention.py   its examples; silent if right
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.attention import (
    ContextCache,
    Turn,
    attention_weights,
    check_heads,
    check_rows,
    mix_values,
    parts_with_bias,
)
from scratchmm.layers.checks import check_attention_shapes, check_divisible
from scratchmm.layers.fast_attention import OnlineSoftmax
from scratchmm.sentences import check_count


# attention.attend: Scaled dot-product attention. 20 minutes, difficulty 2 of 5. In the lesson: "One
# query, five keys". Without torch.nn.functional.scaled_dot_product_attention,
# scratchmm.layers.fast_attention.tiled_attention, scratchmm.layers.fast_attention.fused_attention,
# scratchmm.layers.fast_attention.torch_attention, the library's attention_weights.
# Given:
# - check_attention_shapes(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias:
#       Tensor | None=None) -> None
#     Refuse shapes, masks and biases that `attend` can't work with.
# - mix_values(weights: Tensor, value: Tensor) -> Tensor
#     weights: (B, H, L, S) times value: (B, H, S, D), summed in the weights' dtype: (B, H, L, D).
def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Scaled dot-product attention: softmax(query key^T / sqrt(D)) value, softmax over the keys.

    query: (B, H, L, D); key, value: (B, H, S, D); mask: bool, broadcastable to (B, H, L, S), True =
    may be seen. Returns (B, H, L, D); a query that may see nothing gets zeros.

    bias: finite floats, broadcastable as the mask is, added to the scores once these are divided.

    backend: "plain" is this formula; "tiled", "fused" and "torch" (fast_attention.py) give the same
    numbers otherwise. None means what `attention_backend` has set, which is "plain" at first.

    >>> query = key = torch.zeros(1, 1, 2, 4)
    >>> value = torch.tensor([[[[1.0], [3.0]]]])
    >>> attend(query, key, value)[0, 0].tolist()  # equal scores: the mean of the values
    [[2.0], [2.0]]
    """
    raise NotImplementedError(
        "attention.attend: softmax(query key^T / sqrt(D), over the keys) value; leave bias and "
        "backend unused"
    )


# attention.causal_mask: Nobody looks ahead. 10 minutes, difficulty 2 of 5. In the lesson: "The
# causal mask". Comes after attention.attend.
def causal_mask(length: int, past: int = 0, device: torch.device | str | None = None) -> Tensor:
    """Each position attends to itself and to those before it: bool (length, past + length).

    past: how many earlier positions are in a cache; all positions attend to these.

    >>> causal_mask(2, past=1).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    """
    raise NotImplementedError(
        "attention.causal_mask: bool (length, past + length): position i sees the past, itself and "
        "what came before"
    )


# attention.padding_mask: Nobody looks at padding. 5 minutes, difficulty 1 of 5. In the lesson: "The
# padding mask". Comes after attention.attend.
def padding_mask(real: Tensor) -> Tensor:
    """Mask out padding: real, bool (B, S), True on real tokens, becomes (B, 1, 1, S).

    As integers 0 and 1 count as False and True; a mask of floats, to be added to scores, is refused
    (ValueError). Combine it with a causal mask by `&`: both are True where attention is allowed.

    >>> padding_mask(torch.tensor([[True, True, False]])).shape
    torch.Size([1, 1, 1, 3])
    """
    raise NotImplementedError(
        "attention.padding_mask: bool (B, S), True on real tokens, becomes a mask (B, 1, 1, S) for "
        "attend"
    )


# attention.MultiHeadAttention: Several attentions side by side. 35 minutes, difficulty 3 of 5. In
# the lesson: "Many heads". Comes after attention.attend. Without
# torch.nn.functional.multi_head_attention_forward, torch.nn.MultiheadAttention, the library's
# split_heads.
# Given:
# - ContextCache()
#     The keys and values of a context that does not change: projected once, at the first call.
# - ContextCache.project(projection: Projection, context: Tensor) -> tuple[Tensor, Tensor]
#     Keys and values (B, H, S, D): at the first call projection(context), later what was kept.
# - attention_weights(query: Tensor, key: Tensor, mask: Tensor | None=None, bias: Tensor |
#       None=None) -> Tensor
#     The attention weights: softmax(query key^T / sqrt(D) + bias), over the keys.
# - check_count(name: str, value: object, *, least: int=1, most: int=MOST) -> None
#     Refuse what is no whole number from `least` to `most`; a bool is none, nor is 2.0
#     (ValueError).
# - check_divisible(what: str, size: int, by: str, divisor: int) -> None
#     Refuse a size that its parts do not fill.
# - check_heads(width: int, heads: int) -> None
#     Refuse a width that is not divisible by the heads.
# - parts_with_bias(bias: bool | Collection[str]) -> Collection[str]
#     The names of the parts of an attention that have a bias: all, none, or those that are named.
class MultiHeadAttention(nn.Module):
    """Several attentions in parallel, each on its own slice of the width (section 3.2.2).

    width: of input and output; heads: must divide it; context_width: of the context, where it
    differs. `query`, `key`, `value`, `output` are plain Linear layers.

    bias: of all four, or the names of those that have one: Whisper's are ("query", "value",
    "output"). key_heads: heads of keys and values, where they are fewer; each serves heads //
    key_heads heads of queries that lie side by side.

    >>> layer = MultiHeadAttention(width=8, heads=2, context_width=6)
    >>> words, image = torch.zeros(1, 3, 8), torch.zeros(1, 5, 6)
    >>> output, weights = layer(words, context=image, return_weights=True)
    >>> output.shape, weights.shape
    (torch.Size([1, 3, 8]), torch.Size([1, 2, 3, 5]))
    """

    def __init__(
        self,
        width: int,
        heads: int,
        context_width: int | None = None,
        bias: bool | Collection[str] = True,
        *,
        key_heads: int | None = None,
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads, self.key_heads = heads, heads if key_heads is None else key_heads
        check_count("key_heads", self.key_heads)
        check_divisible("heads", heads, "key_heads", self.key_heads)
        biased = parts_with_bias(bias)
        narrow = width // heads * self.key_heads
        self.query = nn.Linear(width, width, bias="query" in biased)
        self.key = nn.Linear(context_width or width, narrow, bias="key" in biased)
        self.value = nn.Linear(context_width or width, narrow, bias="value" in biased)
        self.output = nn.Linear(width, width, bias="output" in biased)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
        return_weights: bool = False,
        *,
        bias: Tensor | None = None,
        turn: Turn | None = None,
        kept: ContextCache | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Queries of x: (B, L, D); keys, values of context: (B, S, C), or of x. Returns (B, L, D).

        mask: bool, bias: floats added to the scores, broadcastable to (B, H, L, S). cache: what
        earlier calls have seen, extended in place. return_weights: also return the weights
        (B, H, L, S). turn(query, key) -> (query, key), given with their heads apart, changes them
        before the cache: rotary positions, norms. kept: the context is projected into it at the
        first call, and not again; a turn is applied to what it holds at each call.
        """
        raise NotImplementedError(
            "attention.MultiHeadAttention: split into heads, attend, join, mix; leave bias, turn "
            "and kept unused"
        )


# attention.KeyValueCache: A cache of keys and values. 15 minutes, difficulty 2 of 5. In the lesson:
# "Decoding with a cache". Comes after attention.attend, attention.causal_mask.
# Given:
# - check_rows(rows: Tensor) -> None
#     Refuse what does not name rows of a batch.
class KeyValueCache:
    """The keys and values that one attention layer has computed, kept while text is decoded.

    Decoding in any chunking equals the full pass: earlier keys do not depend on later tokens. One
    cache belongs to one block. context: the cache of the same block's cross-attention, if it has one.

    >>> cache = KeyValueCache()
    >>> keys, values = cache.extend(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4))
    >>> keys, values = cache.extend(torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 4))
    >>> keys.shape, len(cache)
    (torch.Size([1, 2, 4, 4]), 4)
    """

    def __init__(self) -> None:
        self.key: Tensor | None = None
        self.value: Tensor | None = None
        self.context = ContextCache()

    def __len__(self) -> int:
        raise NotImplementedError(
            "attention.KeyValueCache: the number of positions that lie in the cache, 0 at first"
        )

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append key and value (B, H, L, D) along the length; return all (B, H, past + L, D)."""
        raise NotImplementedError(
            "attention.KeyValueCache: append key and value (B, H, L, D) along the length, return "
            "all so far"
        )

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, here and in the context's.

        rows: int64 (new B,), the index of each new row, repeated or in any order, as for beams; or
        bool (B,), True for the sentences that go on.

        >>> cache = KeyValueCache()
        >>> keys, values = cache.extend(torch.arange(3.0).view(3, 1, 1, 1), torch.zeros(3, 1, 1, 1))
        >>> cache.select(torch.tensor([2, 0, 0, 1]))
        >>> cache.key.flatten().tolist()
        [2.0, 0.0, 0.0, 1.0]
        """
        check_rows(rows)
        if self.key is not None and self.value is not None:
            self.key, self.value = self.key[rows], self.value[rows]
        self.context.select(rows)


# fast_attention.online_softmax_step: Softmax in one pass. 30 minutes, difficulty 4 of 5. In the
# lesson: "Attention in tiles". Comes after attention.attend. Without torch.softmax,
# torch.nn.functional.softmax, torch.Tensor.softmax.
# Given:
# - OnlineSoftmax(maximum: Tensor, total: Tensor, output: Tensor)
#     What must be remembered of the keys seen so far, for each query.
def online_softmax_step(state: OnlineSoftmax, scores: Tensor, value: Tensor) -> OnlineSoftmax:
    """Take one more tile of keys into account (Milakov and Gimelshein, algorithm 3).

    scores: (B, H, M, N), -inf where a key may not be seen; value: (B, H, N, D). What was summed
    under the old maximum is rescaled by exp(old maximum - new maximum). While a query has seen
    nothing, its maximum is -inf, and its total and output stay 0.

    >>> nothing = OnlineSoftmax(*torch.tensor([[-math.inf], [0.0], [0.0]]).view(3, 1, 1, 1, 1))
    >>> scores = torch.tensor([[[[0.0, 0.0]]]])
    >>> value = torch.tensor([[[[1.0], [3.0]]]])
    >>> state = online_softmax_step(nothing, scores, value)
    >>> state.total.item(), state.output.item()
    (2.0, 4.0)
    """
    raise NotImplementedError(
        "fast_attention.online_softmax_step: new maximum, sum and output after one more tile of "
        "scores and values"
    )
