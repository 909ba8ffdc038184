"""Attention: each query gets a mean of the values, weighted by how well their keys match it.

While text is decoded, a cache keeps the keys and values of earlier tokens and of the context.

Papers: Attention Is All You Need (Vaswani et al. 2017, arXiv 1706.03762), equation 1 and section
3.2; fewer heads of keys: GQA (Ainslie et al. 2023, arXiv 2305.13245), section 2.2; the cache: Fast
Transformer Decoding (Shazeer 2019, arXiv 1911.02150), section 2.4.
Dimensions: B batch, H heads, G heads of keys, L length of the queries, S length of the keys, D width.
Inside `attend` the letter D is the width of one head; in `MultiHeadAttention` it is the model's.
Differs from the paper: a query that may see nothing gets zeros; there is no dropout.
"""

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib import import_module

import torch
from torch import Tensor, nn

from scratchmm.layers.checks import check_attention_shapes, check_divisible
from scratchmm.sentences import check_count

# The other ways to compute the same numbers; fast_attention.py puts itself in here.
BACKENDS: dict[str, Callable[..., Tensor]] = {}
_backend = "plain"
_watched: list[Tensor] | None = None

Turn = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # of query and key, heads apart
Projection = Callable[[Tensor], tuple[Tensor, Tensor]]  # of a context, to its keys and values
PARTS = ("query", "key", "value", "output")


def attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """The attention weights: softmax(query key^T / sqrt(D) + bias), over the keys.

    query: (B, H, L, D), key: (B, H, S, D), mask: bool, bias: finite floats, both broadcastable to
    (B, H, L, S), True = may be seen. Returns (B, H, L, S): rows sum to 1, or are zero where nothing
    may be seen.
    They are float32 for half precision too: float16 ends at 65504, which scores soon pass.

    >>> query, key = torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4)
    >>> attention_weights(query, key, mask=causal_mask(2))[0, 0].tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """
    check_attention_shapes(query, key, key, mask, bias)
    wide = torch.promote_types(query.dtype, torch.float32)
    query = query.to(wide) / math.sqrt(query.shape[-1])  # before the product: it stays smaller
    scores = query @ key.to(wide).transpose(-2, -1)  # (B, H, L, S)
    if bias is not None:
        scores = scores + bias.to(wide)  # (B, H, L, S)
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
    chosen = backend or _backend
    if chosen != "plain":
        added = () if bias is None else (bias,)
        return _backend_named(chosen)(query, key, value, mask, *added)
    check_attention_shapes(query, key, value, mask, bias)
    return mix_values(attention_weights(query, key, mask, bias), value)  # (B, H, L, D)


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
    """Each position attends to itself and to those before it: bool (length, past + length).

    past: how many earlier positions are in a cache; all positions attend to these.

    >>> causal_mask(2, past=1).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    """
    everywhere = torch.ones(length, past + length, dtype=torch.bool, device=device)
    return everywhere.tril(diagonal=past)


def padding_mask(real: Tensor) -> Tensor:
    """Mask out padding: real, bool (B, S), True on real tokens, becomes (B, 1, 1, S).

    As integers 0 and 1 count as False and True; a mask of floats, to be added to scores, is refused
    (ValueError). Combine it with a causal mask by `&`: both are True where attention is allowed.

    >>> padding_mask(torch.tensor([[True, True, False]])).shape
    torch.Size([1, 1, 1, 3])
    """
    if real.is_floating_point():
        raise ValueError(f"the padding mask is {real.dtype}, not torch.bool (True = real)")
    return real.bool()[:, None, None, :]  # (B, 1, 1, S)


class ContextCache:
    """The keys and values of a context that does not change: projected once, at the first call.

    >>> cache, context = ContextCache(), torch.zeros(2, 5, 8)
    >>> key, value = cache.project(lambda x: (x[:, None], x[:, None]), context)
    >>> cache.project(lambda x: 1 / 0, context)[0] is key, len(cache)  # later calls project nothing
    (True, 5)
    """

    def __init__(self) -> None:
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.key is None else self.key.shape[-2]

    def project(self, projection: Projection, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, D): at the first call projection(context), later what was kept.

        Of a later context (B, S, C) only the length is checked: another one is a ValueError.
        """
        if self.key is None or self.value is None:
            key, value = projection(context)
            # Heads apart are a view with gaps, which every token would copy before it reads them.
            self.key, self.value = key.contiguous(), value.contiguous()
        elif len(self) != context.shape[-2]:
            raise ValueError(
                f"the context has {context.shape[-2]} tokens, but the cache keeps {len(self)}: "
                "another context needs another cache"
            )
        return self.key, self.value

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, as `KeyValueCache.select` does."""
        # One context for the whole batch goes on to serve whatever rows there are.
        if self.key is not None and self.value is not None and len(self.key) > 1:
            self.key, self.value = self.key[rows], self.value[rows]


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
        return 0 if self.key is None else self.key.shape[-2]

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append key and value (B, H, L, D) along the length; return all (B, H, past + L, D)."""
        if self.key is not None and self.value is not None:
            key = torch.cat([self.key, key], dim=-2)
            value = torch.cat([self.value, value], dim=-2)
        self.key, self.value = key, value
        return key, value

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
        source = x if context is None else context
        query = split_heads(self.query(x), self.heads)  # (B, H, L, D // H)
        if kept is None:
            key, value = self.project(source)  # each (B, G, S, D // H)
        else:
            key, value = kept.project(self.project, source)  # each (B, G, S, D // H)
        if turn is not None:
            query, key = turn(query, key)
        if cache is not None:
            key, value = cache.extend(key, value)
        key, value = self._for_every_head(key), self._for_every_head(value)
        if return_weights or _watched is not None:
            weights = attention_weights(query, key, mask, bias)  # (B, H, L, P + S), P in the cache
            mixed = mix_values(weights, value)  # (B, H, L, D // H)
            if _watched is not None:
                _watched.append(weights.detach())
        else:
            mixed = attend(query, key, value, mask, bias=bias)  # (B, H, L, D // H)
        output = self.output(mixed.transpose(1, 2).flatten(-2))  # (B, L, D)
        return (output, weights) if return_weights else output

    def project(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values of a context: (B, S, C) to two of (B, G, S, D // H)."""
        key, value = self.key(source), self.value(source)
        return split_heads(key, self.key_heads), split_heads(value, self.key_heads)

    def _for_every_head(self, x: Tensor) -> Tensor:
        """(B, G, S, D // H) to (B, H, S, D // H)."""
        share = self.heads // self.key_heads
        return x if share == 1 else x.repeat_interleave(share, dim=1)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Each head's slice of the width apart. x: (B, L, D). Returns (B, H, L, D // H).

    >>> split_heads(torch.arange(4.0).view(1, 1, 4), heads=2).tolist()
    [[[[0.0, 1.0]], [[2.0, 3.0]]]]
    """
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def parts_with_bias(bias: bool | Collection[str]) -> Collection[str]:
    """The names of the parts of an attention that have a bias: all, none, or those that are named.

    >>> parts_with_bias(["query", "values"])
    Traceback (most recent call last):
    ValueError: attention has no part 'values' to have a bias, only query, key, value, output
    """
    if isinstance(bias, bool):
        return PARTS if bias else ()
    for part in bias:
        if part not in PARTS:
            raise ValueError(
                f"attention has no part {part!r} to have a bias, only {', '.join(PARTS)}"
            )
    return bias


def check_heads(width: int, heads: int) -> None:
    """Refuse a width that is not divisible by the heads.

    >>> check_heads(64, 3)
    Traceback (most recent call last):
    ValueError: width 64 is not divisible by 3 heads
    """
    if heads < 1 or width % heads:
        raise ValueError(f"width {width} is not divisible by {heads} heads")
    for name, value in (("width", width), ("heads", heads)):
        check_count(name, value)


def check_rows(rows: Tensor) -> None:
    """Refuse what does not name rows of a batch.

    >>> check_rows(torch.zeros(2, 3))
    Traceback (most recent call last):
    ValueError: rows is torch.float32 (2, 3), not int64 or bool with one axis, the batch's
    """
    if rows.dtype not in (torch.int64, torch.bool) or rows.ndim != 1:
        raise ValueError(
            f"rows is {rows.dtype} {tuple(rows.shape)}, not int64 or bool with one axis, the batch's"
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
