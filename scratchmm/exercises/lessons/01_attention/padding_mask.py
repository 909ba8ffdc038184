"""Exercise attention.padding_mask: a small one, and a complete example of the format."""

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="attention.padding_mask",
    order=30,
    target="scratchmm.layers.attention:padding_mask",
    title="Nobody looks at padding",
    goal="bool (B, S), True on real tokens, becomes a mask (B, 1, 1, S) for attend",
    minutes=5,
    difficulty=1,
    section="The padding mask",
    needs=("attention.attend",),
    hints="""
        1. Two sentences of 2 and 1 tokens, padded to 2: real = [[T, T], [T, F]]. Every head and
           every query of the second sentence may look at its first token only.
        2. attend wants a mask that broadcasts to (B, H, L, S). All heads and all queries share it,
           so those two axes have size 1. The lesson pads two sentences under the heading Padding.
        3. (B, S) -> (B, 1, 1, S): two new axes between the two that are there. Turn 0 and 1 into
           bool on the way, for those who bring integers.
        4. return real.bool()[:, None, None, :]
    """,
)


@exercise.holds("a mask of size 1 along heads and queries, as bool")
def shape(padding_mask, case):
    got = case.call(padding_mask, case.booleans(B=2, S=5))
    case.shape(got, "B 1 1 S")
    case.equal(got.dtype, torch.bool)


@exercise.holds("True exactly where a token is real")
def real_ones(padding_mask, case):
    real = case.booleans(B=3, S=5)
    case.equal(case.call(padding_mask, real), real.view(3, 1, 1, 5))


@exercise.holds("0 and 1 as integers mean False and True")
def integers(padding_mask, case):
    real = case.integers(0, 2, B=3, S=5)
    case.equal(case.call(padding_mask, real), (real == 1).view(3, 1, 1, 5))


@exercise.holds("a sentence without padding is seen whole, one of padding only not at all")
def extremes(padding_mask, case):
    real = case.named(torch.tensor([[True] * 4, [False] * 4]), "B S")
    got = case.call(padding_mask, real)
    case.equal([bool(got[0].all()), bool(got[1].any())], [True, False], "whole, not at all")


@exercise.holds("a mask of floats, to be added to scores, is refused with a ValueError")
def floats(padding_mask, case):
    real = case.booleans(B=2, S=5)
    for dtype in (torch.float32, torch.float64):
        case.refuses(ValueError, padding_mask, case.named(real.to(dtype), "B S"))


@exercise.holds("the input is left as it was")
def unchanged(padding_mask, case):
    case.call(padding_mask, case.booleans(B=2, S=5))
    case.unchanged()


exercise.mistakes("""
    floats-accepted: it does not refuse a mask of floats, in which 0 may mean that a key may be seen
    - if real.is_floating_point():
    + if False:
    > raise a ValueError where real.is_floating_point()

    inverted: True and False are exchanged: padding is what may be seen
    - return real.bool()[:, None, None, :]
    + return ~real.bool()[:, None, None, :]
    > True means may be seen, so real tokens are True

    queries-hidden: the shape is (B, 1, S, 1): padded queries are hidden, not padded keys
    - return real.bool()[:, None, None, :]
    + return real.bool()[:, None, :, None]
    > the last axis of a mask is the keys'

    no-axes: the axes for heads and queries are missing, so the batch would broadcast against
    queries
    - return real.bool()[:, None, None, :]
    + return real.bool()
    > insert two axes of size 1 between the batch and the keys

    one-axis: only one axis is inserted: (B, 1, S)
    - return real.bool()[:, None, None, :]
    + return real.bool()[:, None, :]
    > heads and queries each need one: (B, 1, 1, S)

    not-bool: the mask is not bool
    - return real.bool()[:, None, None, :]
    + return real.float()[:, None, None, :]
    > masks are bool in this library; a mask of floats would be added elsewhere

    both-sides: padded queries are hidden too: (B, 1, S, S)
    - return real.bool()[:, None, None, :]
    + real = real.bool()
    + return (real[:, :, None] & real[:, None, :])[:, None]
    > leave the queries alone; what a padded query says is never read

    integers-kept: integers stay integers, and ~ of them is not their opposite
    - return real.bool()[:, None, None, :]
    + return real[:, None, None, :]
    > real.bool(): who brings 0 and 1 gets False and True

    first-pad-only: everything after the first padding is hidden, real tokens too
    - return real.bool()[:, None, None, :]
    + return real.long().cumprod(-1).bool()[:, None, None, :]
    > take each position as it is: padding may stand on the left or between

    whole-sentence: one token decides for its whole sentence
    - return real.bool()[:, None, None, :]
    + return real.bool().any(-1, keepdim=True).expand_as(real)[:, None, None, :]
    > no reduction over the tokens: each keeps its own True or False

    in-place: the caller's tensor is changed
    - return real.bool()[:, None, None, :]
    + mask = real.bool()[:, None, None, :].clone()
    + real.fill_(1)
    + return mask
    > unsqueeze_ and friends, ending in an underscore, work on the tensor that was passed in
""")


@exercise.refusing
def refuse(real):
    if real.is_floating_point():
        raise ValueError(f"a mask of {real.dtype}")


@exercise.disguise("queries-hidden")
def queries_hidden_too(real):
    return (real != 0).unsqueeze(1).unsqueeze(3)


@exercise.right("unsqueeze")
def unsqueeze(real):
    return (real != 0).unsqueeze(1).unsqueeze(1)


@exercise.right("view")
def view(real):
    return real.to(torch.bool).view(real.shape[0], 1, 1, real.shape[1])
