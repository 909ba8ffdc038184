"""Attention: every query looks at every key, and takes home a weighted mean of the values.

Paper: Attention Is All You Need (Vaswani et al. 2017, arXiv 1706.03762), equation 1 and section 3.2.
Dimensions: B batch, H heads, L length of the queries, S length of the keys, D width.
Inside `attend` the letter D is the width of one head; in `MultiHeadAttention` it is the model's.
Differs from the paper: a query that may see nothing gets zeros; there is no dropout.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

import torch
from torch import Tensor, nn

from scratchmm.sentences import check_count

# The other ways to compute the same numbers; fast_attention.py puts itself in here.
BACKENDS: dict[str, Callable[..., Tensor]] = {}
_backend = "plain"
_watched: list[Tensor] | None = None


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
    """How much each query looks at each key: softmax(query key^T / sqrt(D)), over the keys.

    query: (B, H, L, D), key: (B, H, S, D), mask: bool, broadcastable to (B, H, L, S), True = may
    be seen. Returns (B, H, L, S): rows sum to 1, or are zero where nothing may be seen.
    They are float32 for half precision too: float16 ends at 65504, which scores soon pass.

    >>> query, key = torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4)
    >>> attention_weights(query, key, mask=causal_mask(2))[0, 0].tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """
    check_attention_shapes(query, key, key, mask)
    wide = torch.promote_types(query.dtype, torch.float32)
    query = query.to(wide) / math.sqrt(query.shape[-1])  # before the product: it stays smaller
    scores = query @ key.to(wide).transpose(-2, -1)  # (B, H, L, S)
    if mask is None:
        return scores.softmax(dim=-1)  # (B, H, L, S)
    scores = scores.masked_fill(~mask, -math.inf)
    # In a row of nothing but -inf, softmax is 0/0. The second fill makes that nan a zero, and the
    # first one keeps its gradient away from query and key.
    return scores.softmax(dim=-1).masked_fill(~mask, 0.0)  # (B, H, L, S)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    """Scaled dot-product attention: softmax(query key^T / sqrt(D)) value, softmax over the keys.

    query: (B, H, L, D); key, value: (B, H, S, D); mask: bool, broadcastable to (B, H, L, S), True =
    may be seen. Returns (B, H, L, D); a query that may see nothing gets zeros.

    backend: "plain" is this formula; "tiled", "fused" and "torch" (fast_attention.py) give the same
    numbers otherwise. None means what `attention_backend` has set, which is "plain" at first.

    >>> query = key = torch.zeros(1, 1, 2, 4)
    >>> value = torch.tensor([[[[1.0], [3.0]]]])
    >>> attend(query, key, value)[0, 0].tolist()  # equal scores: the mean of the values
    [[2.0], [2.0]]
    """
    chosen = backend or _backend
    if chosen != "plain":
        return _backend_named(chosen)(query, key, value, mask)
    check_attention_shapes(query, key, value, mask)
    return mix_values(attention_weights(query, key, mask), value)  # (B, H, L, D)


def mix_values(weights: Tensor, value: Tensor) -> Tensor:
    """weights: (B, H, L, S) times value: (B, H, S, D), summed in the weights' dtype: (B, H, L, D).

    >>> mix_values(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0], [3.0]]).half())
    tensor([[2.]], dtype=torch.float16)
    """
    return (weights @ value.to(weights.dtype)).to(value.dtype)  # (B, H, L, D)


@contextmanager
def attention_backend(name: str) -> Iterator[None]:
    """Within this block, every attention of every model runs on the backend of that name.

    >>> with attention_backend("tiled"):
    ...     output = attend(*torch.zeros(3, 1, 1, 2, 4))
    """
    global _backend
    _backend_named(name)
    before, _backend = _backend, name
    try:
        yield
    finally:
        _backend = before


@contextmanager
def watch_attention() -> Iterator[list[Tensor]]:
    """Collect the weights (B, H, L, S) of every MultiHeadAttention that runs inside, in order.

    >>> layer = MultiHeadAttention(width=8, heads=2)
    >>> with watch_attention() as seen:
    ...     output = layer(torch.zeros(1, 3, 8))
    >>> [tuple(weights.shape) for weights in seen]
    [(1, 2, 3, 3)]
    """
    global _watched
    before, _watched = _watched, []
    try:
        yield _watched
    finally:
        _watched = before


def causal_mask(length: int, past: int = 0, device: torch.device | str | None = None) -> Tensor:
    """Each position sees itself and what came before it: bool (length, past + length).

    past: how many earlier positions already lie in a cache; everyone sees them.

    >>> causal_mask(2, past=1).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    """
    everywhere = torch.ones(length, past + length, dtype=torch.bool, device=device)
    return everywhere.tril(diagonal=past)


def padding_mask(real: Tensor) -> Tensor:
    """Nobody looks at padding. real: bool (B, S), True on real tokens. Returns bool (B, 1, 1, S).

    As integers 0 and 1 count as False and True; a mask of floats, to be added to scores, is refused
    (ValueError). Combine it with a causal mask by `&`: both are True where one may look.

    >>> padding_mask(torch.tensor([[True, True, False]])).shape
    torch.Size([1, 1, 1, 3])
    """
    if real.is_floating_point():
        raise ValueError(f"the padding mask is {real.dtype}, not torch.bool (True = real)")
    return real.bool()[:, None, None, :]  # (B, 1, 1, S)


class KeyValueCache:
    """The keys and values that one attention layer has already computed, while text is written.

    Decoding in any chunking then equals the full pass: old keys do not depend on new words.

    >>> cache = KeyValueCache()
    >>> keys, values = cache.extend(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4))
    >>> keys, values = cache.extend(torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 4))
    >>> keys.shape, len(cache)
    (torch.Size([1, 2, 4, 4]), 4)
    """

    def __init__(self) -> None:
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.key is None else self.key.shape[-2]

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append key and value (B, H, L, D) along the length; return all (B, H, past + L, D)."""
        if self.key is not None and self.value is not None:
            key = torch.cat([self.key, key], dim=-2)
            value = torch.cat([self.value, value], dim=-2)
        self.key, self.value = key, value
        return key, value


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each on its own slice of the width (section 3.2.2).

    width: of input and output; heads: must divide it; context_width: of what is looked at, where
    that differs. `query`, `key`, `value`, `output` are plain Linear layers.

    >>> layer = MultiHeadAttention(width=8, heads=2, context_width=6)
    >>> words, picture = torch.zeros(1, 3, 8), torch.zeros(1, 5, 6)
    >>> output, weights = layer(words, context=picture, return_weights=True)
    >>> output.shape, weights.shape
    (torch.Size([1, 3, 8]), torch.Size([1, 2, 3, 5]))
    """

    def __init__(
        self, width: int, heads: int, context_width: int | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads = heads
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(context_width or width, width, bias=bias)
        self.value = nn.Linear(context_width or width, width, bias=bias)
        self.output = nn.Linear(width, width, bias=bias)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """x: (B, L, D) asks; context: (B, S, C) answers, or x itself. Returns (B, L, D).

        mask: bool, broadcastable to (B, H, L, S). cache: what earlier calls have seen, extended in
        place. return_weights: also return the weights (B, H, L, S).
        """
        source = x if context is None else context
        query = self._split_heads(self.query(x))  # (B, H, L, D // H)
        key = self._split_heads(self.key(source))  # (B, H, S, D // H)
        value = self._split_heads(self.value(source))  # (B, H, S, D // H)
        if cache is not None:
            key, value = cache.extend(key, value)
        if return_weights or _watched is not None:
            weights = attention_weights(query, key, mask)  # (B, H, L, P + S), P in the cache
            mixed = mix_values(weights, value)  # (B, H, L, D // H)
            if _watched is not None:
                _watched.append(weights.detach())
        else:
            mixed = attend(query, key, value, mask)  # (B, H, L, D // H)
        output = self.output(mixed.transpose(1, 2).flatten(-2))  # (B, L, D)
        return (output, weights) if return_weights else output

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def check_heads(width: int, heads: int) -> None:
    """Refuse a width that the heads can't share equally.

    >>> check_heads(64, 3)
    Traceback (most recent call last):
    ValueError: width 64 is not divisible by 3 heads
    """
    if heads < 1 or width % heads:
        raise ValueError(f"width {width} is not divisible by {heads} heads")
    for name, value in (("width", width), ("heads", heads)):
        check_count(name, value)


def check_attention_shapes(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    """Refuse shapes and masks that `attend` can't work with, in a sentence.

    >>> check_attention_shapes(torch.zeros(1, 1, 2, 4), *torch.zeros(2, 1, 1, 2, 8), None)
    Traceback (most recent call last):
    ValueError: query has width 4 but key has width 8
    """
    shapes = [tuple(part.shape) for part in (query, key, value)]
    if min(len(shape) for shape in shapes) < 2:
        raise ValueError(
            "query, key and value are {}, {} and {}, not (..., length, width)".format(*shapes)
        )
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"query has width {query.shape[-1]} but key has width {key.shape[-1]}")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"there are {key.shape[-2]} keys but {value.shape[-2]} values")
    try:
        outer = torch.broadcast_shapes(*(shape[:-2] for shape in shapes))
    except RuntimeError:
        raise ValueError(
            "query is {}, key {} and value {}: their batches or heads do not fit".format(*shapes)
        ) from None
    if mask is not None:
        _check_mask(mask, (*outer, query.shape[-2], key.shape[-2]))


def _check_mask(mask: Tensor, scores: tuple[int, ...]) -> None:
    if mask.dtype != torch.bool:
        raise ValueError(f"the attention mask is {mask.dtype}, not torch.bool (True = may be seen)")
    # From the last axis on; what a mask lacks in front is broadcast.
    pairs = zip(reversed(mask.shape), reversed(scores))
    if mask.ndim > len(scores) or not all(given in (1, size) for given, size in pairs):
        raise ValueError(
            f"the attention mask is {tuple(mask.shape)}, which does not broadcast to the scores of "
            f"{scores}"
        )


def _backend_named(name: str) -> Callable[..., Tensor]:
    if name == "plain":
        return attend
    if not BACKENDS:
        import_module("scratchmm.layers.fast_attention")  # it registers itself
    if name not in BACKENDS:
        known = ", ".join(["plain", *BACKENDS])
        raise ValueError(f"there is no attention backend {name!r}; there are {known}")
    return BACKENDS[name]
