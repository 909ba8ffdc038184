"""Exercise attention.MultiHeadAttention: several attentions side by side, with context and cache."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import Exercise
from scratchmm.layers import attention


def watched(mine, library):
    """For `learn run --mine`: `watch_attention` sees the learner's weights too, and what the
    exercise leaves out (a bias, a turn, fewer key heads, a kept context) is the library's work."""

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
    methods={"forward": "split into heads, attend, join, mix; leave bias, turn and kept unused"},
    drop=("project", "_for_every_head"),
    unused=("bias", "turn", "kept", "_for_every_head"),
    parts=("split_heads",),
    adapt=watched,
    hints="""
        1. Width 4, 2 heads: features 0 and 1 are the first head's, 2 and 3 the second's. If feature
           3 of a query changes what the first head gives, the heads are mixed up.
        2. Each head is an attention of its own on a slice of the width; the heads are one more batch
           axis. One Linear mixes their joined results. A context gives keys and values.
        3. x (B, L, D) gives query, the context (B, S, C) or x gives key and value, each by its own
           Linear. (B, L, D) -> (B, L, H, D / H) -> (B, H, L, D / H), then into the cache. attend
           gives (B, H, L, D / H); back to (B, L, H, D / H), joined to (B, L, D), then self.output.
        4. split = lambda x: x.unflatten(-1, (self.heads, -1)).transpose(1, 2); query =
           split(self.query(x)), key = split(self.key(source)), value alike; extend the cache;
           output = self.output(attend(query, key, value, mask).transpose(1, 2).flatten(-2))
    """,
)


def by_torch(layer, x, context=None, mask=None):
    """The oracle: torch's own multi-head attention with the layer's weights: (output, weights)."""
    source = x if context is None else context
    if mask is not None:
        mask = ~mask.expand(len(x), layer.heads, x.shape[1], source.shape[1]).flatten(0, 1)
    given = layer.query, layer.key, layer.value
    bias = None if layer.query.bias is None else torch.cat([linear.bias for linear in given])
    output, weights = F.multi_head_attention_forward(
        *(part.transpose(0, 1) for part in (x, source, source)), x.shape[2], layer.heads, None, bias,
        None, None, False, 0.0, layer.output.weight, layer.output.bias, training=False,
        attn_mask=mask, use_separate_proj_weight=True, q_proj_weight=layer.query.weight,
        k_proj_weight=layer.key.weight, v_proj_weight=layer.value.weight, average_attn_weights=False,
    )  # fmt: skip
    return output.transpose(0, 1), weights


def layer_and_inputs(layer_class, case, context_width=7):
    layer = case.build(layer_class, 12, 3, context_width=context_width)
    return layer, case.normal(B=2, L=5, D=12), case.normal(B=2, S=4, C=context_width)


@exercise.holds("x (B, L, D) comes back as (B, L, D), with the numbers of torch's own attention")
def equals_torch(layer_class, case):
    for width, heads, bias in ((12, 3, True), (10, 2, False)):
        layer = case.build(layer_class, width, heads, bias=bias)
        x = case.normal(B=2, L=5, D=width)
        case.equal(case.call(layer, x), by_torch(layer, x)[0])


@exercise.holds("with a context, queries come from x, keys and values from the context")
def context(layer_class, case):
    for context_width in (12, 7):
        layer, x, other = layer_and_inputs(layer_class, case, context_width)
        case.equal(case.call(layer, x, other), by_torch(layer, x, other)[0])


@exercise.holds("keys that the mask hides have no influence (True = may be seen)")
def masked(layer_class, case):
    layer, x, _ = layer_and_inputs(layer_class, case, 12)
    for mask in (case.booleans(B=2, H=3, L=5, S=5), case.booleans(B=2, H=1, L=1, S=5)):
        mask |= torch.eye(5, dtype=torch.bool) if mask.shape[2] > 1 else torch.arange(5) == 2
        case.equal(case.call(layer, x, mask=mask), by_torch(layer, x, mask=mask)[0])
        case.unchanged()


@exercise.holds("return_weights gives the weights (B, H, L, S) of each head beside the same output")
def weights(layer_class, case):
    layer, x, other = layer_and_inputs(layer_class, case)
    mask = case.booleans(0.7, B=2, H=3, L=5, S=4)
    mask[..., 0] = True
    got = case.call(layer, x, other, mask=mask, return_weights=True)
    case.equal(got, by_torch(layer, x, other, mask), "the pair (output, weights)")


@exercise.holds("with a cache, every chunking equals the full causal pass, and its weights")
def cached(layer_class, case):
    layer, x = case.build(layer_class, 12, 3), case.normal(B=2, L=6, D=12)
    causal = torch.ones(6, 6, dtype=torch.bool).tril()
    output, weights = by_torch(layer, x, mask=causal)
    for sizes, options in (((2, 1, 3), {}), ((4, 2), {"return_weights": True})):
        cache, done = attention.KeyValueCache(), 0
        for size in sizes:
            part, done = slice(done, done + size), done + size
            got = case.call(layer, x[:, part], mask=causal[part, :done], cache=cache, **options)
            expected = (output[:, part], weights[:, :, part, :done]) if options else output[:, part]
            case.equal(got, expected, f"positions {part.start} to {done - 1}")


@exercise.holds("with a cache and a context, the cache keeps the context's keys and values")
def cached_context(layer_class, case):
    (layer, x, other), cache = layer_and_inputs(layer_class, case), attention.KeyValueCache()
    got = [case.call(layer, x, part, cache=cache) for part in other.split(3, dim=1)]
    case.equal(got[1], by_torch(layer, x, other)[0], "the output from both parts")


@exercise.holds("the gradients reach x, the context and every parameter")
def gradients(layer_class, case):
    layer, x, other = layer_and_inputs(layer_class, case)
    case.gradients(layer.double(), lambda *a: by_torch(layer, *a)[0], x, other, parameters=layer)


exercise.mistakes("""
    heads-reshaped: heads are split by a reshape alone, which tears the sequence instead of the width
    - return x.unflatten(-1, (heads, -1)).transpose(1, 2)
    + return x.reshape(x.shape[0], heads, x.shape[1], -1)
    > first split the width (B, L, H, D / H), then exchange the axes of L and H

    heads-interleaved: a head takes every H-th feature instead of a slice of neighbours
    - return x.unflatten(-1, (heads, -1)).transpose(1, 2)
    + return x.unflatten(-1, (-1, heads)).permute(0, 3, 1, 2)
    > unflatten the width into (H, D / H), not (D / H, H)

    joined-by-reshape: heads are joined by a reshape alone: positions and heads are mixed up
    - output = self.output(mixed.transpose(1, 2).flatten(-2))
    + output = self.output(mixed.reshape(x.shape[0], x.shape[1], -1))
    > exchange the axes back to (B, L, H, D / H) before you join

    one-head: the heads are not split: it is one attention over the whole width
    - return x.unflatten(-1, (heads, -1)).transpose(1, 2)
    + return x[:, None].expand(-1, heads, -1, -1)
    - output = self.output(mixed.transpose(1, 2).flatten(-2))
    + output = self.output(mixed[:, 0])
    > split query, key and value into self.heads slices

    scaled-by-width: the scores are divided by the root of the whole width, not of a head's
    - query = split_heads(self.query(x), self.heads)
    + query = split_heads(self.query(x), self.heads) / self.heads**0.5
    > attend scales by the width of what it gets; give it the heads apart and scale nothing

    weights-averaged [convention]: the weights are averaged over the heads
    - return (output, weights) if return_weights else output
    + return (output, weights.mean(1)) if return_weights else output
    > return them for each head: (B, H, L, S)
""")


exercise.slips("""
    split_heads(self.query(x), self.heads) => split_heads(self.key(x), self.heads)
    split_heads(self.query(x), self.heads) => split_heads(self.query(source), self.heads)
    split_heads(self.query(x), self.heads) => split_heads(self.query(x), self.heads).detach()
    self.key(source), self.value(source) => self.key(source), self.key(source)
    attend(query, key, value, mask, bias=bias) => attend(query.detach(), key.detach(), value, mask)
    attend(query, key, value, mask, bias=bias) => attend(key, query, value, mask) ;;
        attention_weights(query, key, mask, bias) => attention_weights(key, query, mask)
    if cache is not None: => if cache is not None and not return_weights:
    if cache is not None: => if cache is not None and context is None:
    output, weights) => output, attention_weights(query, key))
    x.unflatten(-1, (heads, -1)).transpose(1, 2) => x.unflatten(-1, (-1, heads)).permute(0, 3,
        1, 2) ;; mixed.transpose(1, 2).flatten(-2) => mixed.permute(0, 2, 3, 1).flatten(-2)
    x if context is None else context => x
    (output, weights) if return_weights else output => output, attention_weights(query, key, mask)
    x if context is None else context => x if context is None else context;
        mask = None if mask is None else ~mask
    x if context is None else context => x if context is None else context;
        mask = None if mask is None else mask.transpose(-2, -1)
    x.unflatten(-1, (heads, -1)).transpose(1, 2) => x.unflatten(-1, (heads, -1)) ;;
        mixed.transpose(1, 2).flatten(-2) => mixed.flatten(-2)
    key, value = cache.extend(key, value) => mask = None if mask is None else mask[..., -x.shape[1] :]
""")


def projected(self, x, context):
    source = x if context is None else context
    return self.query(x), self.key(source), self.value(source)


@exercise.right("head by head", method="forward")
def head_by_head(self, x, context=None, mask=None, cache=None, return_weights=False):
    query, key, value = [
        torch.stack(y.chunk(self.heads, -1), 1) for y in projected(self, x, context)
    ]
    key, value = (key, value) if cache is None else cache.extend(key, value)
    output = self.output(torch.cat(attention.attend(query, key, value, mask).unbind(1), dim=-1))
    return (output, attention.attention_weights(query, key, mask)) if return_weights else output


@exercise.right("einsum", method="forward")
def with_einsum(self, x, context=None, mask=None, cache=None, return_weights=False):
    parts = (y.view(*y.shape[:2], self.heads, -1) for y in projected(self, x, context))
    query, key, value = (part.permute(0, 2, 1, 3) for part in parts)
    key, value = (key, value) if cache is None else cache.extend(key, value)
    weights = attention.attention_weights(query, key, mask)
    output = self.output(torch.einsum("bhls,bhsd->blhd", weights.to(value), value).reshape(x.shape))
    return (output, weights) if return_weights else output
