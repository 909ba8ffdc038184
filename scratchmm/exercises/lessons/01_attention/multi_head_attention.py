"""Exercise attention.MultiHeadAttention: several attentions side by side, with context and cache."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import Exercise
from scratchmm.layers import attention
from scratchmm.layers.attention import attend, attention_weights


def watched(mine, library):
    """For `learn run --mine`: `watch_attention` sees the learner's weights too.

    What the exercise leaves out (a bias, a turn, fewer key heads, a context that is kept) is the
    library's work.
    """

    class MultiHeadAttention(mine):
        project, _for_every_head = library.project, library._for_every_head

        def forward(self, x, context=None, mask=None, cache=None, return_weights=False, **more):
            grouped = getattr(self, "key_heads", self.heads) != self.heads
            if grouped or any(part is not None for part in more.values()):
                return library.forward(self, x, context, mask, cache, return_weights, **more)
            if attention._watched is None:
                return super().forward(x, context, mask, cache, return_weights)
            output, weights = super().forward(x, context, mask, cache, True)
            attention._watched.append(weights.detach())
            return (output, weights) if return_weights else output

    return MultiHeadAttention


exercise = Exercise(
    id="attention.MultiHeadAttention",
    order=40,
    target="scratchmm.layers.attention:MultiHeadAttention",
    title="Several attentions side by side",
    goal="split into heads, attend in each, join, and mix",
    minutes=35,
    difficulty=3,
    section="Many heads",
    needs=("attention.attend",),
    forbidden=("torch.nn.functional.multi_head_attention_forward", "torch.nn.MultiheadAttention"),
    methods={
        "forward": "split query, key and value into heads, attend, join the heads, mix them; leave "
        "bias, turn and kept unused"
    },
    drop=("project", "_for_every_head"),
    parts=("split_heads",),
    adapt=watched,
    hints="""
        1. Width 4, 2 heads: features 0 and 1 are the first head's, 2 and 3 the second's. If a
           change of feature 3 of the queries changes what the first head takes home, the heads are
           mixed up; a reshape without an exchange of axes does that.
        2. Each head is an attention of its own on a slice of the width; they run at once because
           the heads are one more batch axis. Then their results stand side by side again and one
           Linear lets them talk. With a context, the questions come from x and the answers from
           there. The lesson draws the slices.
        3. x (B, L, D) gives query, the context (B, S, C) or x gives key and value, each by its own
           Linear. (B, L, D) -> (B, L, H, D / H) -> (B, H, L, D / H). The cache, if any, is extended
           now, with heads apart. attend gives (B, H, L, D / H); back to (B, L, H, D / H), joined to
           (B, L, D), then self.output. The weights are attention_weights of query, key, mask.
        4. split = lambda x: x.unflatten(-1, (self.heads, -1)).transpose(1, 2); query =
           split(self.query(x)), key = split(self.key(source)), value alike; if cache is not None:
           key, value = cache.extend(key, value); mixed = attend(query, key, value, mask); output =
           self.output(mixed.transpose(1, 2).flatten(-2)); with return_weights also
           attention_weights(query, key, mask)
    """,
)


def by_torch(layer, x, context=None, mask=None):
    """The oracle: torch's own multi-head attention with the layer's weights: (output, weights)."""
    source = x if context is None else context
    batch, length, keys = x.shape[0], x.shape[1], source.shape[1]
    if mask is not None:
        mask = ~mask.expand(batch, layer.heads, length, keys).flatten(0, 1)
    given = layer.query, layer.key, layer.value
    bias = None if layer.query.bias is None else torch.cat([linear.bias for linear in given])
    output, weights = F.multi_head_attention_forward(
        x.transpose(0, 1), source.transpose(0, 1), source.transpose(0, 1),
        x.shape[2], layer.heads, None, bias, None, None, False, 0.0,
        layer.output.weight, layer.output.bias, training=False, need_weights=True, attn_mask=mask,
        use_separate_proj_weight=True, q_proj_weight=layer.query.weight,
        k_proj_weight=layer.key.weight, v_proj_weight=layer.value.weight,
        average_attn_weights=False,
    )  # fmt: skip
    return output.transpose(0, 1), weights


@exercise.holds("it equals torch's own multi-head attention under the same weights")
def equals_torch(layer_class, case):
    for width, heads, bias in ((12, 3, True), (10, 2, False)):
        layer = case.build(layer_class, width, heads, bias=bias)
        x = case.normal(B=2, L=5, D=width)
        case.equal(case.call(layer, x), by_torch(layer, x)[0])


@exercise.holds(
    "return_weights gives the weights (B, H, L, S) of every head beside the same output"
)
def weights(layer_class, case):
    layer = case.build(layer_class, 12, 3, context_width=7)
    x, other = case.normal(B=2, L=5, D=12), case.normal(B=2, S=4, C=7)
    mask = case.booleans(0.7, B=2, H=3, L=5, S=4)
    mask[..., 0] = True
    got = case.call(layer, x, other, mask=mask, return_weights=True)
    case.true(isinstance(got, tuple) and len(got) == 2, "a pair (output, weights)", got)
    case.shape(got[1], "B H L S")
    expected = by_torch(layer, x, other, mask)
    case.equal(got[0], expected[0], "output")
    case.equal(got[1], expected[1], "weights")


@exercise.holds("with a cache, every chunking equals the full causal pass, and its weights")
def cached(layer_class, case):
    layer = case.build(layer_class, 12, 3)
    x = case.normal(B=2, L=6, D=12)
    causal = torch.ones(6, 6, dtype=torch.bool).tril()
    whole, weights = by_torch(layer, x, mask=causal)
    for sizes in ((4, 2), (2, 1, 3)):
        cache, done = attention.KeyValueCache(), 0
        for size in sizes:
            part, done = slice(done, done + size), done + size
            given = case.named(x[:, part], "B L D")
            options = dict(mask=causal[part, :done], cache=cache)
            got = case.call(layer, given, **options, return_weights=size == 3)
            expected = (whole[:, part], weights[:, :, part, :done]) if size == 3 else whole[:, part]
            case.equal(got, expected, f"positions {part.start} to {done - 1}")


@exercise.holds("with a cache and a context, what is kept is the context's keys and values")
def cached_context(layer_class, case):
    layer, cache = case.build(layer_class, 12, 3, context_width=7), attention.KeyValueCache()
    x, other = case.normal(B=2, L=4, D=12), case.normal(B=2, S=5, C=7)
    case.call(layer, x, other[:, :3], cache=cache)
    got = case.call(layer, x, other[:, 3:], cache=cache)
    case.equal(got, by_torch(layer, x, other)[0], "the answer from both parts")


@exercise.holds("the gradients reach x, the context and every parameter")
def gradients(layer_class, case):
    layer = case.build(layer_class, 12, 3, context_width=7).double()
    x, other = case.normal(B=2, L=5, D=12), case.normal(B=2, S=4, C=7)
    case.gradients(layer, lambda *a: by_torch(layer, *a)[0], x, other, parameters=layer)


@exercise.holds("x, context and mask are left as they were")
def unchanged(layer_class, case):
    layer = case.build(layer_class, 12, 3)
    x, mask = case.normal(B=2, L=5, D=12), case.booleans(0.7, B=2, H=3, L=5, S=5)
    case.call(layer, x, None, mask)
    case.unchanged()


exercise.mistakes("""
    weights-without-the-cache: with return_weights the cache is not used
    - if cache is not None:
    + if return_weights and cache is not None:
    +     mask = None if mask is None else mask[..., -x.shape[1] :]
    + elif cache is not None:
    > extend the cache first, whatever is returned

    context-without-the-cache: with a context the cache is not used
    - if cache is not None:
    + if cache is not None and context is None:
    > extend the cache with the keys and values, wherever they come from

    heads-reshaped: heads are split by a reshape alone, which tears the sequence apart instead of the
    width
    - return x.unflatten(-1, (heads, -1)).transpose(1, 2)
    + return x.reshape(x.shape[0], heads, x.shape[1], -1)
    > first split the width (B, L, H, D / H), then exchange the axes of L and H

    heads-interleaved: a head takes every H-th feature instead of a slice of neighbours
    - return x.unflatten(-1, (heads, -1)).transpose(1, 2)
    + return x.unflatten(-1, (-1, heads)).permute(0, 3, 1, 2)
    > unflatten the width into (H, D / H), not (D / H, H)

    axes-not-exchanged: heads and positions are not exchanged, so heads attend to heads within each
    position
    - return x.unflatten(-1, (heads, -1)).transpose(1, 2)
    + return x.unflatten(-1, (heads, -1))
    - output = self.output(mixed.transpose(1, 2).flatten(-2))
    + output = self.output(mixed.flatten(-2))
    > (B, L, H, D / H) -> (B, H, L, D / H) before attend, and back after it

    joined-by-reshape: heads are joined by a reshape alone: positions and heads are mixed up
    - output = self.output(mixed.transpose(1, 2).flatten(-2))
    + output = self.output(mixed.reshape(x.shape[0], x.shape[1], -1))
    > exchange the axes back to (B, L, H, D / H) before you join

    context-ignored: keys and values come from x, although a context is given
    - source = x if context is None else context
    + source = x
    + if context is not None:  # so that the widths fit and the mistake stays silent
    +     source = x[:, :1].expand(-1, context.shape[1], -1)[..., : context.shape[2]]
    > the source of keys and values is the context, where there is one

    keys-as-values: the values are made with the key's Linear
    - key, value = self.key(source), self.value(source)
    + key, value = self.key(source), self.key(source)
    > self.query, self.key and self.value each have their own part

    mask-in-place: the caller's mask is inverted in place
    - output = self.output(mixed.transpose(1, 2).flatten(-2))
    + output = self.output(mixed.transpose(1, 2).flatten(-2))
    + if mask is not None:
    +     mask.logical_not_()
    > ~mask makes a new tensor; logical_not_ changes the one that was passed in
""")


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
