"""Exercise attention.MultiHeadAttention: several attentions side by side, with context and cache."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import Exercise
from scratchmm.layers import attention


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
    hints=(
        "Width 4, 2 heads: features 0 and 1 are the first head's, 2 and 3 the second's. If a change "
        "of feature 3 of the queries changes what the first head takes home, the heads are mixed "
        "up; a reshape without an exchange of axes does that.",
        "Each head is an attention of its own on a slice of the width; they run at once because the "
        "heads are one more batch axis. Then their results stand side by side again and one Linear "
        "lets them talk. With a context, the questions come from x and the answers from there. The "
        "lesson draws the slices.",
        "x (B, L, D) gives query, the context (B, S, C) or x gives key and value, each by its own "
        "Linear. (B, L, D) -> (B, L, H, D / H) -> (B, H, L, D / H). The cache, if any, is extended "
        "now, with heads apart. attend gives (B, H, L, D / H); back to (B, L, H, D / H), joined to "
        "(B, L, D), then self.output. The weights are attention_weights of query, key, mask.",
        "split = lambda x: x.unflatten(-1, (self.heads, -1)).transpose(1, 2); query = "
        "split(self.query(x)), key = split(self.key(source)), value alike; if cache is not None: "
        "key, value = cache.extend(key, value); mixed = attend(query, key, value, mask); output = "
        "self.output(mixed.transpose(1, 2).flatten(-2)); with return_weights also "
        "attention_weights(query, key, mask)",
    ),
)


class SlowCache:
    """A cache of its own, so that the learner's is not what is judged here."""

    def __init__(self):
        self.keys, self.values = [], []

    def __len__(self):
        return sum(key.shape[2] for key in self.keys)

    def extend(self, key, value):
        self.keys.append(key)
        self.values.append(value)
        return torch.cat(self.keys, 2), torch.cat(self.values, 2)


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


@exercise.holds("x (B, L, D) comes back as (B, L, D), and alone")
def shape(layer_class, case):
    layer = case.build(layer_class, 12, 3)
    case.shape(case.call(layer, case.normal(B=2, L=5, D=12)), "B L D")


@exercise.holds("it equals torch's own multi-head attention under the same weights")
def equals_torch(layer_class, case):
    for width, heads, bias in ((12, 3, True), (10, 2, False)):
        layer = case.build(layer_class, width, heads, bias=bias)
        x = case.normal(B=2, L=5, D=width)
        case.equal(case.call(layer, x), by_torch(layer, x)[0])


@exercise.holds("with a context, queries come from x, keys and values from the context")
def context(layer_class, case):
    layer = case.build(layer_class, 12, 3, context_width=7)
    x, other = case.normal(B=2, L=5, D=12), case.normal(B=2, S=4, C=7)
    case.equal(case.call(layer, x, other), by_torch(layer, x, other)[0])


@exercise.holds("what the mask hides has no say (True = may be seen)")
def masked(layer_class, case):
    layer = case.build(layer_class, 12, 3)
    x, mask = case.normal(B=2, L=5, D=12), case.booleans(B=2, H=3, L=5, S=5)
    mask |= torch.eye(5, dtype=torch.bool)
    case.equal(case.call(layer, x, mask=mask), by_torch(layer, x, mask=mask)[0])


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


@exercise.holds("with a cache, every chunking equals the full causal pass")
def cached(layer_class, case):
    layer = case.build(layer_class, 12, 3)
    x = case.normal(B=2, L=6, D=12)
    whole = by_torch(layer, x, mask=torch.ones(6, 6, dtype=torch.bool).tril())[0]
    for sizes in ((4, 2), (2, 1, 3)):
        cache, done = SlowCache(), 0
        for size in sizes:
            seen = torch.ones(6, 6, dtype=torch.bool).tril()[done : done + size, : done + size]
            part = case.named(x[:, done : done + size], "B L D")
            got = case.call(layer, part, mask=seen, cache=cache)
            case.equal(got, whole[:, done : done + size], f"positions {done} to {done + size - 1}")
            done += size


@exercise.holds("with a cache, return_weights gives the weights of all keys so far")
def cached_weights(layer_class, case):
    layer, cache = case.build(layer_class, 12, 3), SlowCache()
    x = case.normal(B=2, L=6, D=12)
    whole = by_torch(layer, x, mask=torch.ones(6, 6, dtype=torch.bool).tril())
    case.call(layer, x[:, :4], mask=torch.ones(4, 4, dtype=torch.bool).tril(), cache=cache)
    seen = torch.ones(6, 6, dtype=torch.bool).tril()[4:]
    got = case.call(layer, x[:, 4:], mask=seen, cache=cache, return_weights=True)
    case.equal(got, (whole[0][:, 4:], whole[1][:, :, 4:]), "output and weights")


@exercise.holds("with a cache and a context, what is kept is the context's keys and values")
def cached_context(layer_class, case):
    layer, cache = case.build(layer_class, 12, 3, context_width=7), SlowCache()
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
