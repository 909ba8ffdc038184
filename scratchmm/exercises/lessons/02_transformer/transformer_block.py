"""Exercise transformer.TransformerBlock: attention and feed-forward, each added to the stream."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from scratchmm.exercises.format import Exercise
from scratchmm.layers.attention import KeyValueCache

exercise = Exercise(
    id="transformer.TransformerBlock",
    order=20,
    target="scratchmm.layers.transformer:TransformerBlock",
    title="The pre-norm block",
    goal="add attention of the normalised x to x, then feed-forward of the normalised x to x",
    minutes=15,
    difficulty=2,
    section="The block: add, don't replace",
    needs=("attention.MultiHeadAttention", "transformer.FeedForward"),
    methods={
        "forward": "x + attention(norm(x)), then x + feed_forward(norm(x)); hand mask and "
        "cache to attention"
    },
    hints=(
        "Say attention answers 5 to everything and feed_forward answers 7. Then x = (1, 2) becomes "
        "(6, 7), and then (13, 14): what was there is still there, with both answers added. If both "
        "answer 0, x comes out as it went in.",
        "The stream x runs through from the bottom to the top, and each part only adds to it. Each "
        "part reads a normalised copy, by a norm of its own; the stream itself is never normalised "
        "inside the block. The lesson measures what happens to the gradient where it is.",
        "Shapes stay (B, L, D) all the way. First step: normalise x with the attention's norm, give "
        "that to attention together with mask and cache (by name: the second argument of attention "
        "is another one), add the result to x. Second step: the same with feed_forward and its "
        "norm, reading the x that the first step made. It takes no mask.",
        "x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache), and then "
        "return x + self.feed_forward(self.feed_forward_norm(x))",
    ),
)


def oracle(block, x, mask=None, epsilon=1e-5):
    """The block in torch's own functions, with the block's parameters."""
    looks, thinks = block.attention, block.feed_forward

    def norm(layer, x):
        return F.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, epsilon)

    def heads(layer, x):
        y = F.linear(x, layer.weight, layer.bias)
        return rearrange(y, "b l (h d) -> b h l d", h=looks.heads)

    calm = norm(block.attention_norm, x)
    parts = (heads(layer, calm) for layer in (looks.query, looks.key, looks.value))
    mixed = F.scaled_dot_product_attention(*parts, attn_mask=mask)
    mixed = rearrange(mixed, "b h l d -> b l (h d)")
    x = x + F.linear(mixed, looks.output.weight, looks.output.bias)
    calm = norm(block.feed_forward_norm, x)
    wide = thinks.activation(F.linear(calm, thinks.expand.weight, thinks.expand.bias))
    return x + F.linear(wide, thinks.contract.weight, thinks.contract.bias)


def block_and_x(block_class, case):
    """A filled block of width 6 with 3 heads, and an x; not of mean 0, as after a norm."""
    block = case.build(block_class, width=6, heads=3, hidden=11)
    return block, case.named(case.normal(B=2, L=5, D=6) * 2 + 1, "B L D")


def zero(*layers):
    with torch.no_grad():
        for layer in layers:
            layer.weight.zero_()
            layer.bias.zero_()


@exercise.holds("the result has the shape of x")
def shape(block_class, case):
    block, x = block_and_x(block_class, case)
    case.shape(case.call(block, x), "B L D")


@exercise.holds("where attention and feed-forward answer 0, x comes out as it went in")
def silent(block_class, case):
    block, x = block_and_x(block_class, case)
    zero(block.attention.output, block.feed_forward.contract)
    case.equal(case.call(block, x), x)


@exercise.holds("where feed-forward answers 0, the result is x + attention(attention_norm(x))")
def looks(block_class, case):
    block, x = block_and_x(block_class, case)
    zero(block.feed_forward.contract)
    case.equal(case.call(block, x), oracle(block, x))


@exercise.holds("where attention answers 0, the result is x + feed_forward(feed_forward_norm(x))")
def thinks(block_class, case):
    block, x = block_and_x(block_class, case)
    zero(block.attention.output)
    case.equal(case.call(block, x), oracle(block, x))


@exercise.holds("feed-forward reads what attention has added")
def both(block_class, case):
    block, x = block_and_x(block_class, case)
    case.equal(case.call(block, x), oracle(block, x))


@exercise.holds("epsilon is that of both norms")
def epsilon(block_class, case):
    block = case.build(block_class, width=6, heads=3, hidden=11, epsilon=0.5)
    x = case.normal(B=2, L=5, D=6)
    case.equal(case.call(block, x), oracle(block, x, epsilon=0.5))


@exercise.holds("with a mask, a position reads only what it may see")
def masked(block_class, case):
    block, x = block_and_x(block_class, case)
    for mask in (torch.ones(5, 5).tril().bool(), torch.eye(5).bool().roll(1, 1)):
        mask = case.named(mask, "L S")
        case.equal(case.call(block, x, mask=mask), oracle(block, x, mask))


@exercise.holds("position by position through a cache it gives what it gives at once")
def cached(block_class, case):
    block, x = block_and_x(block_class, case)
    whole, cache, done = oracle(block, x, torch.ones(5, 5).tril().bool()), KeyValueCache(), 0
    for size in (2, 1, 2):
        part = slice(done, done + size)
        mask = torch.ones(size, done + size).tril(done).bool()
        got = case.call(block, case.named(x[:, part], "B L D"), mask=mask, cache=cache)
        case.equal(got, whole[:, part], f"positions {done} to {done + size - 1}")
        done += size


@exercise.holds("x is left as it was")
def unchanged(block_class, case):
    block, x = block_and_x(block_class, case)
    with torch.no_grad():  # where += would not be refused
        case.call(block, x)
    case.unchanged()


@exercise.holds("the gradients reach x and every parameter")
def gradients(block_class, case):
    block, x = block_and_x(block_class, case)
    block = block.double()
    case.gradients(block, lambda x: oracle(block, x), x, parameters=block)


@exercise.wrong(
    "default-epsilon",
    story="the norms have torch's own epsilon, 1e-5, whatever epsilon says",
    advice="use the two norms as they were built: self.attention_norm(x)",
    method="forward",
)
def default_epsilon(self, x, mask=None, cache=None):
    def norm(layer, x):
        return F.layer_norm(x, x.shape[-1:], layer.weight, layer.bias)

    x = x + self.attention(norm(self.attention_norm, x), mask=mask, cache=cache)
    return x + self.feed_forward(norm(self.feed_forward_norm, x))


@exercise.wrong(
    "nothing-returned",
    story="both sums are made, but nothing is returned",
    advice="end with return x + ...",
    method="forward",
)
def nothing_returned(self, x, mask=None, cache=None):
    x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
    x = x + self.feed_forward(self.feed_forward_norm(x))


@exercise.wrong(
    "no-residual",
    story="nothing is added to x: each part replaces it",
    advice="x + what the part says; otherwise a stack forgets its input and its gradient",
    method="forward",
)
def no_residual(self, x, mask=None, cache=None):
    x = self.attention(self.attention_norm(x), mask=mask, cache=cache)
    return self.feed_forward(self.feed_forward_norm(x))


@exercise.wrong(
    "attention-replaces",
    story="what attention says replaces x; only feed-forward is added",
    advice="x = x + attention(...)",
    method="forward",
)
def attention_replaces(self, x, mask=None, cache=None):
    x = self.attention(self.attention_norm(x), mask=mask, cache=cache)
    return x + self.feed_forward(self.feed_forward_norm(x))


@exercise.wrong(
    "feed-forward-replaces",
    story="what feed-forward says replaces x; only attention is added",
    advice="return x + feed_forward(...)",
    method="forward",
)
def feed_forward_replaces(self, x, mask=None, cache=None):
    x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
    return self.feed_forward(self.feed_forward_norm(x))


@exercise.wrong(
    "attention-lost",
    story="the last sum starts from the x that came in, so what attention added is lost",
    advice="keep x = x + attention(...) and add feed-forward to that",
    method="forward",
)
def attention_lost(self, x, mask=None, cache=None):
    looked = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
    return x + self.feed_forward(self.feed_forward_norm(looked))


@exercise.wrong(
    "post-norm",
    story="each norm comes after its sum, as in the first transformer and in BERT",
    advice="pre-norm is asked for: normalise what a part reads, never the stream itself",
    method="forward",
    convention=True,
)
def post_norm(self, x, mask=None, cache=None):
    x = self.attention_norm(x + self.attention(x, mask=mask, cache=cache))
    return self.feed_forward_norm(x + self.feed_forward(x))


@exercise.wrong(
    "parallel",
    story="both parts read the same x, side by side, as in GPT-J and PaLM",
    advice="feed-forward reads what attention has added: two steps, one after the other",
    method="forward",
    convention=True,
)
def parallel(self, x, mask=None, cache=None):
    looked = self.attention(self.attention_norm(x), mask=mask, cache=cache)
    return x + looked + self.feed_forward(self.feed_forward_norm(x))


@exercise.wrong(
    "stream-normalised",
    story="x itself is replaced by its norm, and the sum starts from that",
    advice="write attention(norm(x)) and leave x as it is: x = norm(x) throws its size away",
    method="forward",
)
def stream_normalised(self, x, mask=None, cache=None):
    x = self.attention_norm(x)
    x = x + self.attention(x, mask=mask, cache=cache)
    x = self.feed_forward_norm(x)
    return x + self.feed_forward(x)


@exercise.wrong(
    "answers-normalised",
    story="what the parts say is normalised instead of what they read",
    advice="norm inside, part outside: attention(norm(x)), not norm(attention(x))",
    method="forward",
)
def answers_normalised(self, x, mask=None, cache=None):
    x = x + self.attention_norm(self.attention(x, mask=mask, cache=cache))
    return x + self.feed_forward_norm(self.feed_forward(x))


@exercise.wrong(
    "one-norm",
    story="attention_norm is used for both parts",
    advice="each part has a norm of its own",
    method="forward",
)
def one_norm(self, x, mask=None, cache=None):
    x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
    return x + self.feed_forward(self.attention_norm(x))


@exercise.wrong(
    "norms-exchanged",
    story="the two norms are exchanged",
    advice="attention reads attention_norm(x), feed_forward reads feed_forward_norm(x)",
    method="forward",
)
def norms_exchanged(self, x, mask=None, cache=None):
    x = x + self.attention(self.feed_forward_norm(x), mask=mask, cache=cache)
    return x + self.feed_forward(self.attention_norm(x))


@exercise.wrong(
    "no-norm",
    story="nothing is normalised",
    advice="each part reads a normalised copy of x",
    method="forward",
)
def no_norm(self, x, mask=None, cache=None):
    x = x + self.attention(x, mask=mask, cache=cache)
    return x + self.feed_forward(x)


@exercise.wrong(
    "keys-not-normalised",
    story="only the queries are normalised: keys and values are made of the raw x",
    advice="self-attention has one input: give it norm(x) and no context",
    method="forward",
)
def keys_not_normalised(self, x, mask=None, cache=None):
    x = x + self.attention(self.attention_norm(x), context=x, mask=mask, cache=cache)
    return x + self.feed_forward(self.feed_forward_norm(x))


@exercise.wrong(
    "feed-forward-first",
    story="feed-forward comes before attention",
    advice="first look around, then think about what was seen",
    method="forward",
)
def feed_forward_first(self, x, mask=None, cache=None):
    x = x + self.feed_forward(self.feed_forward_norm(x))
    return x + self.attention(self.attention_norm(x), mask=mask, cache=cache)


@exercise.wrong(
    "mask-forgotten",
    story="the mask is not handed to attention",
    advice="attention(..., mask=mask, cache=cache)",
    method="forward",
)
def mask_forgotten(self, x, mask=None, cache=None):
    # With a cache the shapes fit without a mask too, and nobody notices.
    x = x + self.attention(self.attention_norm(x), cache=cache)
    return x + self.feed_forward(self.feed_forward_norm(x))


@exercise.wrong(
    "cache-forgotten",
    story="the cache is not handed to attention",
    advice="attention(..., mask=mask, cache=cache)",
    method="forward",
)
def cache_forgotten(self, x, mask=None, cache=None):
    mask = mask if cache is None or mask is None else mask[..., -x.shape[1] :]
    x = x + self.attention(self.attention_norm(x), mask=mask)
    return x + self.feed_forward(self.feed_forward_norm(x))


@exercise.wrong(
    "mask-as-context",
    story="the mask is given as attention's second argument, which is the context",
    advice="name it: attention(norm(x), mask=mask)",
    method="forward",
)
def mask_as_context(self, x, mask=None, cache=None):
    x = x + self.attention(self.attention_norm(x), mask, cache=cache)
    return x + self.feed_forward(self.feed_forward_norm(x))


@exercise.wrong(
    "overwrites",
    story="the caller's x is changed in place",
    advice="x += y changes the tensor that was passed in; write x = x + y",
    method="forward",
)
def overwrites(self, x, mask=None, cache=None):
    given = x.detach()
    x = x.clone() + self.attention(self.attention_norm(x.clone()), mask=mask, cache=cache)
    given.copy_(x.detach())
    return x + self.feed_forward(self.feed_forward_norm(x))


@exercise.wrong(
    "detached-stream",
    story="no gradient flows along the stream, only through the parts",
    advice="add x itself, not x.detach() or x.data: the sum is the gradient's way down",
    method="forward",
)
def detached_stream(self, x, mask=None, cache=None):
    x = x.detach() + self.attention(self.attention_norm(x), mask=mask, cache=cache)
    return x.detach() + self.feed_forward(self.feed_forward_norm(x))


@exercise.disguise("stream-normalised", method="forward")
def stream_normalised_too(self, x, mask=None, cache=None):
    calm = self.attention_norm(x)
    calm = self.feed_forward_norm(self.attention(calm, mask=mask, cache=cache) + calm)
    return self.feed_forward(calm) + calm


@exercise.right("with names", method="forward")
def with_names(self, x, mask=None, cache=None):
    calm = self.attention_norm(x)
    seen = self.attention(calm, context=calm, mask=mask, cache=cache)
    stream = seen + x
    return self.feed_forward(self.feed_forward_norm(stream)) + stream


@exercise.right("a class of its own")
class Own(nn.Module):
    def __init__(self, width, heads, hidden, activation=F.gelu, epsilon=1e-5):
        super().__init__()
        library = exercise.reference(width, heads, hidden, activation, epsilon)
        for name, part in library.named_children():
            self.add_module(name, part)

    def forward(self, x, mask=None, cache=None):
        for part, norm, options in (
            (self.attention, self.attention_norm, {"mask": mask, "cache": cache}),
            (self.feed_forward, self.feed_forward_norm, {}),
        ):
            x = torch.add(x, part(norm(x), **options))
        return x
