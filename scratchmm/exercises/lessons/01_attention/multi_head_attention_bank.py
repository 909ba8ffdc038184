"""Wrong and other right answers to attention.MultiHeadAttention."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file
from scratchmm.layers.attention import attend, attention_weights

exercise = exercise_file("01_attention/multi_head_attention").exercise


def heads_of(self, x):
    """(B, L, D) -> (B, H, L, D / H)."""
    return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def heads_interleaved(self, x):
    """Feature i to head i mod H, instead of slices of neighbours."""
    return x.unflatten(-1, (-1, self.heads)).permute(0, 3, 1, 2)


def heads_reshaped(self, x):
    """Right shape, wrong numbers: the length is torn apart."""
    return x.reshape(x.shape[0], self.heads, x.shape[1], -1)


def run(
    self, x, context, mask, cache, return_weights, *,
    split=heads_of, join=None, mix=True, sources=None, cut=lambda tensor: tensor,
):  # fmt: skip
    """The right forward with its knobs out."""
    source = x if context is None else context
    asks, keys_from, values_from = sources(x, source) if sources else (x, source, source)
    query, key = split(self, self.query(asks)), split(self, self.key(keys_from))
    value = split(self, self.value(values_from))
    if cache is not None:
        key, value = cache.extend(key, value)
    weights = attention_weights(cut(query), cut(key), mask)
    mixed = weights @ value
    output = join(mixed) if join else mixed.transpose(1, 2).flatten(-2)
    output = self.output(output) if mix else output
    return (output, weights) if return_weights else output


@exercise.wrong(
    "weights-without-the-cache",
    story="with return_weights the cache is not used",
    advice="extend the cache first, whatever is returned",
    method="forward",
)
def weights_without_the_cache(
    self, x, context=None, mask=None, cache=None, return_weights=False
):  # fmt: skip
    if return_weights and cache is not None:
        mask = None if mask is None else mask[..., -x.shape[1] :]
        cache = None
    return run(self, x, context, mask, cache, return_weights)


@exercise.wrong(
    "context-without-the-cache",
    story="with a context the cache is not used",
    advice="extend the cache with the keys and values, wherever they come from",
    method="forward",
)
def context_without_the_cache(
    self, x, context=None, mask=None, cache=None, return_weights=False
):  # fmt: skip
    return run(self, x, context, mask, cache if context is None else None, return_weights)


@exercise.wrong(
    "heads-reshaped",
    story="heads are split by a reshape alone, which tears the sequence apart instead of the width",
    advice="first split the width (B, L, H, D / H), then exchange the axes of L and H",
    method="forward",
)
def reshaped(self, x, context=None, mask=None, cache=None, return_weights=False):
    return run(self, x, context, mask, cache, return_weights, split=heads_reshaped)


@exercise.wrong(
    "heads-interleaved",
    story="a head takes every H-th feature instead of a slice of neighbours",
    advice="unflatten the width into (H, D / H), not (D / H, H)",
    method="forward",
)
def interleaved(self, x, context=None, mask=None, cache=None, return_weights=False):
    return run(self, x, context, mask, cache, return_weights, split=heads_interleaved)


@exercise.wrong(
    "axes-not-exchanged",
    story="heads and positions are not exchanged, so heads attend to heads within each position",
    advice="(B, L, H, D / H) -> (B, H, L, D / H) before attend, and back after it",
    method="forward",
)
def not_exchanged(self, x, context=None, mask=None, cache=None, return_weights=False):
    def split(self, tensor):
        return tensor.unflatten(-1, (self.heads, -1))

    return run(
        self, x, context, mask, cache, return_weights, split=split, join=lambda m: m.flatten(-2)
    )


@exercise.wrong(
    "joined-by-reshape",
    story="heads are joined by a reshape alone: positions and heads are mixed up",
    advice="exchange the axes back to (B, L, H, D / H) before you join",
    method="forward",
)
def joined_by_reshape(self, x, context=None, mask=None, cache=None, return_weights=False):
    def join(mixed):
        return mixed.reshape(x.shape[0], x.shape[1], -1)

    return run(self, x, context, mask, cache, return_weights, join=join)


@exercise.wrong(
    "no-output",
    story="the last Linear, self.output, is not applied",
    advice="without it the heads never talk to each other",
    method="forward",
)
def no_output(self, x, context=None, mask=None, cache=None, return_weights=False):
    return run(self, x, context, mask, cache, return_weights, mix=False)


@exercise.wrong(
    "one-head",
    story="the heads are not split: it is one attention over the whole width",
    advice="split query, key and value into self.heads slices",
    method="forward",
)
def one_head(self, x, context=None, mask=None, cache=None, return_weights=False):
    def split(self, tensor):
        return tensor.unsqueeze(1).expand(-1, self.heads, -1, -1)

    def join(mixed):
        return mixed[:, 0]

    return run(self, x, context, mask, cache, return_weights, split=split, join=join)


@exercise.wrong(
    "context-ignored",
    story="keys and values come from x, although a context is given",
    advice="the source of keys and values is the context, where there is one",
    method="forward",
)
def context_ignored(self, x, context=None, mask=None, cache=None, return_weights=False):
    if context is not None:  # so that the widths fit and the mistake stays silent
        context = x[:, :1].expand(-1, context.shape[1], -1)[..., : context.shape[2]]
    return run(self, x, context, mask, cache, return_weights)


@exercise.wrong(
    "keys-as-values",
    story="the values are made with the key's Linear",
    advice="self.query, self.key and self.value each have their own part",
    method="forward",
)
def keys_as_values(self, x, context=None, mask=None, cache=None, return_weights=False):
    source = x if context is None else context
    query, key = heads_of(self, self.query(x)), heads_of(self, self.key(source))
    value = key
    if cache is not None:
        key, value = cache.extend(key, value)
    weights = attention_weights(query, key, mask)
    output = self.output((weights @ value).transpose(1, 2).flatten(-2))
    return (output, weights) if return_weights else output


@exercise.wrong(
    "query-and-key-exchanged",
    story="keys ask and queries answer",
    advice="attend(query, key, value): the rows of the weights are the queries'",
    method="forward",
)
def exchanged(self, x, context=None, mask=None, cache=None, return_weights=False):
    if context is not None or cache is not None:
        return run(self, x, context, mask, cache, return_weights)
    query, key = heads_of(self, self.query(x)), heads_of(self, self.key(x))
    weights = attention_weights(key, query, mask)
    output = self.output((weights @ heads_of(self, self.value(x))).transpose(1, 2).flatten(-2))
    return (output, weights) if return_weights else output


@exercise.wrong(
    "scaled-by-width",
    story="the scores are divided by the root of the whole width, not of a head's",
    advice="attend scales by the width of what it gets; give it the heads apart and scale nothing",
    method="forward",
)
def scaled_by_width(self, x, context=None, mask=None, cache=None, return_weights=False):
    def cut(tensor):
        return tensor / self.heads**0.25

    return run(self, x, context, mask, cache, return_weights, cut=cut)


@exercise.wrong(
    "mask-ignored",
    story="the mask is not handed on",
    advice="attend and attention_weights both take it",
    method="forward",
)
def mask_ignored(self, x, context=None, mask=None, cache=None, return_weights=False):
    return run(self, x, context, None, cache, return_weights)


@exercise.wrong(
    "weights-averaged",
    story="the weights are averaged over the heads",
    advice="return them for every head: (B, H, L, S)",
    convention=True,
    method="forward",
)
def weights_averaged(self, x, context=None, mask=None, cache=None, return_weights=False):
    result = run(self, x, context, mask, cache, return_weights)
    return (result[0], result[1].mean(1)) if return_weights else result


@exercise.wrong(
    "weights-unmasked",
    story="the weights that are returned were computed without the mask",
    advice="hand the mask to attention_weights as well",
    method="forward",
)
def weights_unmasked(self, x, context=None, mask=None, cache=None, return_weights=False):
    result = run(self, x, context, mask, cache, return_weights)
    if not return_weights:
        return result
    return result[0], run(self, x, context, None, None, True)[1]


@exercise.wrong(
    "always-a-pair",
    story="the weights are returned although nobody asked",
    advice="only with return_weights",
    method="forward",
)
def always_a_pair(self, x, context=None, mask=None, cache=None, return_weights=False):
    return run(self, x, context, mask, cache, True)


@exercise.wrong(
    "cache-ignored",
    story="the cache is not used",
    advice="key, value = cache.extend(key, value), after the heads are split",
    method="forward",
)
def cache_ignored(self, x, context=None, mask=None, cache=None, return_weights=False):
    if mask is not None and cache is not None:
        mask = mask[..., -x.shape[1] :]  # so that the shapes fit and the mistake stays silent
    return run(self, x, context, mask, None, return_weights)


@exercise.wrong(
    "query-detached",
    story="no gradient passes through the weights",
    advice="neither detach nor no_grad: query and key learn through the weights",
    method="forward",
)
def query_detached(self, x, context=None, mask=None, cache=None, return_weights=False):
    return run(self, x, context, mask, cache, return_weights, cut=torch.Tensor.detach)


@exercise.wrong(
    "mask-in-place",
    story="the caller's mask is inverted in place",
    advice="~mask makes a new tensor; logical_not_ changes the one that was passed in",
    method="forward",
)
def mask_in_place(self, x, context=None, mask=None, cache=None, return_weights=False):
    result = run(self, x, context, mask, cache, return_weights)
    if mask is not None:
        mask.logical_not_()
    return result


@exercise.disguise("heads-reshaped", method="forward")
def viewed(self, x, context=None, mask=None, cache=None, return_weights=False):
    source = x if context is None else context
    batch = x.shape[0]
    query = self.query(x).view(batch, self.heads, x.shape[1], -1)
    key = self.key(source).view(batch, self.heads, source.shape[1], -1)
    value = self.value(source).view(batch, self.heads, source.shape[1], -1)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return self.output(mixed.transpose(1, 2).reshape(batch, x.shape[1], -1))


@exercise.right("head by head", method="forward")
def head_by_head(self, x, context=None, mask=None, cache=None, return_weights=False):
    source = x if context is None else context
    parts = [linear(y) for linear, y in
             ((self.query, x), (self.key, source), (self.value, source))]  # fmt: skip
    query, key, value = (torch.stack(part.chunk(self.heads, dim=-1), 1) for part in parts)
    if cache is not None:
        key, value = cache.extend(key, value)
    output = self.output(torch.cat(attend(query, key, value, mask).unbind(1), dim=-1))
    return (output, attention_weights(query, key, mask)) if return_weights else output


@exercise.right("einsum", method="forward")
def with_einsum(self, x, context=None, mask=None, cache=None, return_weights=False):
    source = x if context is None else context
    query, key, value = (
        linear(y).view(*y.shape[:2], self.heads, -1).permute(0, 2, 1, 3)
        for linear, y in ((self.query, x), (self.key, source), (self.value, source))
    )
    if cache is not None:
        key, value = cache.extend(key, value)
    weights = attention_weights(query, key, mask)
    mixed = torch.einsum("bhls,bhsd->blhd", weights.to(value.dtype), value)
    output = self.output(mixed.reshape(x.shape[0], x.shape[1], -1))
    return (output, weights) if return_weights else output
