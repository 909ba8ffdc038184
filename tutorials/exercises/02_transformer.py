"""Exercises of lesson 02, transformer.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/02_transformer.py   its examples; silent if right
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.layers.attention import KeyValueCache, MultiHeadAttention
from scratchmm.layers.checks import check_divisible
from scratchmm.layers.transformer import Activation, Transformer
from scratchmm.sentences import check_number
from scratchmm.training.optimizer import UNDECAYED


# transformer.FeedForward: The feed-forward network. 10 minutes, difficulty 1 of 5. In the lesson:
# "The feed-forward network".
class FeedForward(nn.Module):
    """Two Linear layers with an activation between: the same small network at every position.

    GELU is the exact one unless another is given.

    >>> FeedForward(width=4, hidden=16)(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, width: int, hidden: int, activation: Activation = F.gelu) -> None:
        raise NotImplementedError(
            "transformer.FeedForward: keep the activation, and two Linear layers with biases: "
            "expand (width to hidden) and contract (hidden to width)"
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., D). Returns the same shape."""
        raise NotImplementedError(
            "transformer.FeedForward: expand, then the activation, then contract"
        )


# transformer.TransformerBlock: The pre-norm block. 15 minutes, difficulty 2 of 5. In the lesson:
# "The block: add, don't replace". Comes after attention.MultiHeadAttention,
# transformer.FeedForward.
# Given:
# - KeyValueCache()
#     The keys and values that one attention layer has computed, kept while text is decoded.
# - MultiHeadAttention(width: int, heads: int, context_width: int | None=None, bias: bool |
#       Collection[str]=True, *, key_heads: int | None=None)
#     Several attentions in parallel, each on its own slice of the width (section 3.2.2).
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
        raise NotImplementedError(
            "transformer.TransformerBlock: x + attention(norm(x)), then x + feed_forward(norm(x)); "
            "hand mask and cache to attention"
        )

    def cls_only(self, x: Tensor) -> Tensor:
        """What forward gives at the first token, without the work for the others: (B, D).

        The first token still attends to all tokens of x: (B, L, D). No mask.
        """
        context = self.attention_norm(x)  # (B, L, D)
        x = x[:, :1] + self.attention(context[:, :1], context=context)  # (B, 1, D)
        return (x + self.feed_forward(self.feed_forward_norm(x)))[:, 0]  # (B, D)


# sinusoids.sinusoidal_positions: The hands of many clocks. 15 minutes, difficulty 2 of 5. In the
# lesson: "Positions".
# Given:
# - check_divisible(what: str, size: int, by: str, divisor: int) -> None
#     Refuse a size that its parts do not fill.
def sinusoidal_positions(length: int, width: int) -> Tensor:
    """The sinusoidal embedding of each position: float32 (length, width).

    PE(pos, 2i) = sin(pos / 10000^(2i / width)) and PE(pos, 2i + 1) = cos(the same): sine and cosine
    interleaved, as in the paper. Raises ValueError on an odd width.

    >>> sinusoidal_positions(2, 2)[0].tolist()
    [0.0, 1.0]
    """
    raise NotImplementedError(
        "sinusoids.sinusoidal_positions: float32 (length, width): sin and cos of pos / 10000^(2i / "
        "width), interleaved; refuse an odd width by a ValueError"
    )


# bug.leaking_mask: Find the bug: write the check that catches it. 20 minutes, difficulty 3 of 5. In
# the lesson: "A bug that trains wonderfully". Comes after transformer.TransformerBlock,
# attention.causal_mask.
# Given:
# - Transformer(blocks: Iterable[nn.Module])
#     Blocks one after the other.
class LeakingDecoder(nn.Module):
    """A small language model: int64 tokens (B, T), T at most 16, to logits (B, T, 11).

    Its loss falls faster than that of any other model of its size. What it generates is nonsense.
    Leave it as it is: it is what your check has to catch.
    """

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 12)
        self.positions = nn.Embedding(16, 12)
        self.stack = Transformer(TransformerBlock(12, heads=3, hidden=20) for _ in range(depth))
        self.logits = nn.Linear(12, 11)

    def visible(self, length: int) -> Tensor:
        """Which keys a query may attend to: bool (T, T), True = may be attended to."""
        return ~torch.ones(length, length, dtype=torch.bool).triu(diagonal=2)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: int64 (B, T), each 0 ... 10. Returns logits (B, T, 11)."""
        length = tokens.shape[1]
        x = self.tokens(tokens) + self.positions(torch.arange(length))
        return self.logits(self.stack(x, mask=self.visible(length)))


def check_no_peeking(decoder: nn.Module) -> None:
    """Raise AssertionError if the decoder's logits at a position depend on later tokens.

    decoder: int64 tokens (B, T), each 0 ... 10, T at most 16, to logits (B, T, 11); built and ready.
    Accept every causal decoder, however it is made; reject every one that leaks, at whatever
    position, from however far ahead. This check is what is asked for and graded, on LeakingDecoder
    and others; mending a copy of LeakingDecoder is a way to try it.

    >>> check_no_peeking(LeakingDecoder())
    Traceback (most recent call last):
    AssertionError: the logits before position 1 depend on the tokens from there on
    """
    raise NotImplementedError(
        "bug.leaking_mask: write the check: AssertionError if a decoder's logits at a position "
        "depend on later tokens"
    )


# optimizer.decay_groups: What may shrink. 15 minutes, difficulty 2 of 5. In the lesson: "Weight
# decay".
# Given:
# - check_number(name: str, value: object, *, above: float=-math.inf, least: float=-math.inf, most:
#       float=math.inf) -> None
#     Refuse what is no finite number above `above`, from `least` to `most` (ValueError).
def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters that learn in two: those which weight decay shrinks, and the rest.

    Decay says "prefer a small function". That holds for matrices that multiply an input. It does
    not hold for biases and norms (one axis: shrinking a norm's gain to 0 silences a layer), for
    scalars (CLIP's temperature would drift to 1), nor for the tables named in `UNDECAYED`.
    So: decayed if it has two or more axes and no part of its dotted name is in `UNDECAYED`.

    Returns two groups for torch.optim.AdamW, the decayed one first; each parameter once.

    >>> model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    >>> decayed, spared = decay_groups(model, 0.05)
    >>> [tuple(p.shape) for p in decayed["params"]], decayed["weight_decay"]
    ([(2, 3)], 0.05)
    >>> [tuple(p.shape) for p in spared["params"]], spared["weight_decay"]
    ([(2,), (2,), (2,)], 0.0)
    """
    raise NotImplementedError(
        "optimizer.decay_groups: two groups for AdamW: the matrices that multiply an input, with "
        "weight decay; the rest, with none"
    )


# optimizer.warmup_cosine: Warm up in a line, cool down on a cosine. 15 minutes, difficulty 2 of 5.
# In the lesson: "The learning rate".
def warmup_cosine(step: int, steps: int, warmup: int, peak: float, floor: float = 0.0) -> float:
    """The learning rate at a step (0, 1, ... steps - 1): up in a line, then down half a cosine.

    During the first `warmup` steps it is peak * (step + 1) / warmup, so that the first step already
    moves; then floor + (peak - floor) * (1 + cos(pi * p)) / 2, with p from 0 at step `warmup` to 1
    at step `steps`. From there on it stays at `floor`.

    >>> [round(warmup_cosine(step, 6, 2, 1.0), 3) for step in range(7)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    raise NotImplementedError(
        "optimizer.warmup_cosine: the learning rate of one step: a line up to peak, then half a "
        "cosine down to floor"
    )
