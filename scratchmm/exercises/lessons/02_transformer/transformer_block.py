"""Exercise transformer.TransformerBlock: attention and feed-forward, each added to the stream."""

import torch
import torch.nn.functional as F
from einops import rearrange

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
    hints="""
        1. Say attention answers 5 to everything and feed_forward answers 7. Then x = (1, 2) becomes
           (6, 7), and then (13, 14). If both answer 0, x comes out as it went in.
        2. The stream x runs through from the bottom to the top: each part only adds to it, and
           reads a copy, normalised by its own norm. The stream itself is never normalised in the
           block; the lesson measures what happens to the gradient where it is.
        3. Shapes stay (B, L, D). Normalise x with the attention's norm, give that to attention
           together with mask and cache (by name: its second argument is another one), add the
           result to x. Then the same with feed_forward, which takes no mask, and its norm, reading
           the x that the first step made.
        4. x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache), and then return x
           + self.feed_forward(self.feed_forward_norm(x))
    """,
)


def oracle(block, x, mask=None, epsilon=1e-5):
    """The block in torch's own functions, with the block's parameters."""
    attention, feed_forward = block.attention, block.feed_forward

    def norm(layer, x):
        return F.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, epsilon)

    def heads(layer, x):
        return rearrange(layer(x), "b l (h d) -> b h l d", h=attention.heads)

    normed = norm(block.attention_norm, x)
    parts = (heads(layer, normed) for layer in (attention.query, attention.key, attention.value))
    mixed = F.scaled_dot_product_attention(*parts, attn_mask=mask)
    x = x + attention.output(rearrange(mixed, "b h l d -> b l (h d)"))
    wide = feed_forward.expand(norm(block.feed_forward_norm, x))
    return x + feed_forward.contract(feed_forward.activation(wide))


def block_and_x(block_class, case):
    """A filled block of width 6 with 3 heads, and an x; not of mean 0, as after a norm."""
    block = case.build(block_class, width=6, heads=3, hidden=11)
    return block, case.named(case.normal(B=2, L=5, D=6) * 2 + 1, "B L D")


def zero(*layers):
    for layer in layers:
        layer.load_state_dict({name: 0 * x for name, x in layer.state_dict().items()})


@exercise.holds("where attention and feed-forward give 0, x comes out as it went in")
def silent(block_class, case):
    block, x = block_and_x(block_class, case)
    zero(block.attention.output, block.feed_forward.contract)
    case.equal(case.call(block, x), x)


@exercise.holds("where feed-forward gives 0, the result is x + attention(attention_norm(x))")
def attends(block_class, case):
    block, x = block_and_x(block_class, case)
    zero(block.feed_forward.contract)
    case.equal(case.call(block, x), oracle(block, x))


@exercise.holds("where attention gives 0, the result is x + feed_forward(feed_forward_norm(x))")
def feeds_forward(block_class, case):
    block, x = block_and_x(block_class, case)
    zero(block.attention.output)
    case.equal(case.call(block, x), oracle(block, x))


@exercise.holds("the input of feed-forward holds what attention has added")
def both(block_class, case):
    block, x = block_and_x(block_class, case)
    case.equal(case.call(block, x), oracle(block, x))


@exercise.holds("epsilon is that of both norms")
def epsilon(block_class, case):
    block = case.build(block_class, width=6, heads=3, hidden=11, epsilon=0.5)
    x = case.normal(B=2, L=5, D=6)
    case.equal(case.call(block, x), oracle(block, x, epsilon=0.5))


@exercise.holds("with a mask, a position attends only where the mask is True")
def masked(block_class, case):
    block, x = block_and_x(block_class, case)
    for mask in (torch.ones(5, 5).tril().bool(), torch.eye(5).bool().roll(1, 1)):
        mask = case.named(mask, "L S")
        case.equal(case.call(block, x, mask=mask), oracle(block, x, mask))


@exercise.holds("position by position through a cache it gives what it gives at once")
def cached(block_class, case):
    block, x = block_and_x(block_class, case)
    causal, cache = torch.ones(5, 5).tril().bool(), KeyValueCache()
    whole = oracle(block, x, causal)
    for start, end in ((0, 2), (2, 3), (3, 5)):
        part = case.named(x[:, start:end], "B L D")
        got = case.call(block, part, mask=causal[start:end, :end], cache=cache)
        case.equal(got, whole[:, start:end], f"positions {start} to {end - 1}")


@exercise.holds("x is left as it was")
def unchanged(block_class, case):
    block, x = block_and_x(block_class, case)
    with torch.no_grad():  # where += would not be refused
        case.call(block, x)
    case.unchanged()


@exercise.holds("the gradients reach x and every parameter")
def gradients(block_class, case):
    block, x = block_and_x(block_class, case)
    case.gradients(block.double(), lambda x: oracle(block, x), x, parameters=block)


exercise.mistakes("""
    default-epsilon: the norms have torch's own epsilon, 1e-5, whatever epsilon says
    - x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
    + self.attention_norm.eps = self.feed_forward_norm.eps = 1e-5
    + x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
    > use the two norms as they were built: self.attention_norm(x)

    no-residual: nothing is added to x: each part replaces it
    - x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
    + x = self.attention(self.attention_norm(x), mask=mask, cache=cache)
    - return x + self.feed_forward(self.feed_forward_norm(x))
    + return self.feed_forward(self.feed_forward_norm(x))
    > x + the part's output; otherwise a stack forgets its input and its gradient

    post-norm [convention]: each norm comes after its sum, as in the first transformer and in BERT
    - x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
    + x = self.attention_norm(x + self.attention(x, mask=mask, cache=cache))
    - return x + self.feed_forward(self.feed_forward_norm(x))
    + return self.feed_forward_norm(x + self.feed_forward(x))
    > pre-norm is asked for: normalise the input of a part, never the residual stream itself

    parallel [convention]: both parts have the same input x, side by side, as in GPT-J and PaLM
    - x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
    + attended = self.attention(self.attention_norm(x), mask=mask, cache=cache)
    - return x + self.feed_forward(self.feed_forward_norm(x))
    + return x + attended + self.feed_forward(self.feed_forward_norm(x))
    > feed-forward's input holds what attention has added: two steps, one after the other

    stream-normalised: x itself is replaced by its norm, and the sum starts from that
    - x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
    + x = self.attention_norm(x)
    + x = x + self.attention(x, mask=mask, cache=cache)
    - return x + self.feed_forward(self.feed_forward_norm(x))
    + x = self.feed_forward_norm(x)
    + return x + self.feed_forward(x)
    > write attention(norm(x)) and leave x as it is: x = norm(x) throws its size away

    outputs-normalised: the outputs of the parts are normalised instead of their inputs
    - x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
    + x = x + self.attention_norm(self.attention(x, mask=mask, cache=cache))
    - return x + self.feed_forward(self.feed_forward_norm(x))
    + return x + self.feed_forward_norm(self.feed_forward(x))
    > norm inside, part outside: attention(norm(x)), not norm(attention(x))
""")

exercise.slips("""
    return x + self.feed_forward(self.feed_forward_norm =>
        return x + self.feed_forward(self.attention_norm
    mask=mask, cache=cache => mask=mask
    x = x + self.attention( => x = x.detach() + self.attention( ;; return x + => return x.detach() +
    x = x + self.attention( => x += self.attention(
    x = x + self.attention(self => x = self.attention_norm(x) + self.attention(self
    mask=mask, cache=cache => mask=mask if cache is None else None, cache=cache
    x = x + self.attention( => before = x; x = x + self.attention( ;; return x + => return before +
    attention_norm(x), mask => feed_forward_norm(x), mask ;; return x +
        self.feed_forward(self.feed_forward_norm => return x + self.feed_forward(self.attention_norm
    self.attention_norm(x), mask => x, mask ;; return x +
        self.feed_forward(self.feed_forward_norm(x)) => return x + self.feed_forward(x)
    attention_norm(x), mask => attention_norm(x), context=x, mask
    x = x + self.attention( => x = x + self.feed_forward(self.feed_forward_norm(x)); x = x +
        self.attention( ;; return x + self.feed_forward(self.feed_forward_norm(x)) => return x
""")


@exercise.right("with names", method="forward")
def with_names(self, x, mask=None, cache=None):
    normed = self.attention_norm(x)
    stream = self.attention(normed, context=normed, mask=mask, cache=cache) + x
    return self.feed_forward(self.feed_forward_norm(stream)) + stream


@exercise.right("in a loop", method="forward")
def in_a_loop(self, x, mask=None, cache=None):
    for name, options in ("attention", {"mask": mask, "cache": cache}), ("feed_forward", {}):
        x = torch.add(x, getattr(self, name)(getattr(self, f"{name}_norm")(x), **options))
    return x
