"""Exercise fast_attention.online_softmax_step: a softmax that never sees all its numbers at once."""

import math

import torch

from scratchmm.exercises.format import Exercise
from scratchmm.layers.fast_attention import OnlineSoftmax

exercise = Exercise(
    id="fast_attention.online_softmax_step",
    order=60,
    target="scratchmm.layers.fast_attention:online_softmax_step",
    title="Softmax in one pass",
    goal="new maximum, sum and output after one more tile of scores and values",
    minutes=30,
    difficulty=4,
    section="Attention in tiles",
    needs=("attention.attend",),
    forbidden=("torch.softmax", "torch.nn.functional.softmax", "torch.Tensor.softmax"),
    hints="""
        1. One query, scores 0 then 2, one at a time, values 10 and 20. After the first: maximum 0,
           total 1, output 10. After the second the maximum is 2, so the old total and output count
           e^-2 of what they did: total 1.135, output 21.35, and 21.35 / 1.135 = 18.8.
        2. The maximum is only known so far; when a larger one comes, all that was summed under the
           old one is scaled down by the same factor. The lesson walks through three tiles.
        3. maximum (B, H, M, 1): the larger of the old one and the tile's, over N. Weights (B, H, M,
           N): exp of score minus new maximum. Old total and output are scaled by exp of old minus
           new maximum; add the sum over N of the weights, and weights times value (B, H, N, D).
           Where all is -inf so far, subtract 0 instead: -inf minus -inf is nan.
        4. maximum = torch.maximum(state.maximum, scores.amax(-1, keepdim=True)); origin =
           where(maximum == -inf, 0, maximum); weights = exp(scores - origin); rescale =
           exp(state.maximum - origin); total = state.total * rescale + weights.sum(-1,
           keepdim=True); output = state.output * rescale + weights @ value
    """,
)


def empty():
    """The state before any key: maximum -inf, total and output 0."""
    one = torch.zeros(2, 3, 4, 1)
    return OnlineSoftmax(one - math.inf, one, torch.zeros(2, 3, 4, 5))


def tile(case, columns, scale=1.0):
    """Scores and values of one tile."""
    return case.normal(B=2, H=3, M=4, N=columns, scale=scale), case.normal(B=2, H=3, N=columns, D=5)


def walk(step, case, tiles):
    """All tiles, one after the other."""
    state = empty()
    for scores, value in tiles:
        state = OnlineSoftmax(*case.call(step, state, scores, value))
    return state


def direct(tiles):
    """The oracle: the same three results from all scores at once."""
    scores = torch.cat([scores for scores, _ in tiles], -1).double()
    values = torch.cat([value for _, value in tiles], -2).double()
    maximum = scores.amax(-1, keepdim=True)
    weights = torch.where(scores == -math.inf, 0.0, (scores - maximum).exp())
    return tuple(x.float() for x in (maximum, weights.sum(-1, keepdim=True), weights @ values))


@exercise.holds("maximum and total have one number a query, output has D")
def shape(step, case):
    state = OnlineSoftmax(*case.call(step, empty(), *tile(case, 6)))
    for part, axes in zip(state, ("B H M 1", "B H M 1", "B H M D"), strict=True):
        case.shape(part, axes)


@exercise.holds("after the first tile, output / total is the attention over that tile")
def first(step, case):
    scores, value = tile(case, 6)
    state = walk(step, case, [(scores, value)])
    case.equal(state.output / state.total, scores.softmax(-1) @ value)


@exercise.holds("maximum is the largest score so far, total and output are measured from it")
def exact(step, case):
    tiles = [tile(case, columns) for columns in (6, 2, 7)]
    for count in (1, 2, 3):
        state, expected = walk(step, case, tiles[:count]), direct(tiles[:count])
        for name, got, right in zip(state._fields, state, expected, strict=True):
            case.equal(got, right, f"{name} after tile {count}")


@exercise.holds("the order of the tiles does not matter")
def order(step, case):
    tiles = [tile(case, columns, scale=3.0) for columns in (6, 2, 7)]
    there, back = walk(step, case, tiles), walk(step, case, tiles[::-1])
    case.equal(there.output / there.total, back.output / back.total)


@exercise.holds("scores of a thousand overflow nowhere, whether they rise or fall")
def huge(step, case):
    for sign in (1, -1):
        tiles = [tile(case, columns) for columns in (6, 2, 7)]
        tiles = [(scores + sign * 400.0 * i, value) for i, (scores, value) in enumerate(tiles, 1)]
        case.equal(tuple(walk(step, case, tiles)), direct(tiles), "maximum, total, output")


@exercise.holds("while a query has seen nothing: maximum -inf, total and output 0, and no nan")
def nothing(step, case):
    scores, value = tile(case, 6)
    scores[:, :, 1] = -math.inf
    state = walk(step, case, [(scores, value)])
    for name, got, right in zip(state._fields, state, empty(), strict=True):
        case.equal(got[:, :, 1], right[:, :, 1], f"{name} of a query that sees nothing")


@exercise.holds("a query that saw nothing in one tile still sees the next; the last may be blind")
def later(step, case):
    tiles = [tile(case, columns) for columns in (6, 2, 7)]
    tiles[0][0][:, :, 1] = tiles[2][0][:, :, 3] = -math.inf
    state, (_, total, output) = walk(step, case, tiles), direct(tiles)
    case.equal(state.output / state.total, output / total)


@exercise.holds("the old state, the scores and the values are left as they were")
def unchanged(step, case):
    state = walk(step, case, [tile(case, 6)])
    copies = [part.clone() for part in state]
    case.call(step, state, *tile(case, 2))
    case.unchanged()
    changed = [a for a, b in zip(state, copies, strict=True) if not torch.equal(a, b)]
    case.true(not changed, "the old state as it was", "another one")


exercise.mistakes("""
    nothing-rescaled: neither total nor output is rescaled when the maximum grows
    - total = state.total * rescale + weights.sum(dim=-1, keepdim=True)
    - output = state.output * rescale + weights @ value
    + total = state.total + weights.sum(dim=-1, keepdim=True)
    + output = state.output + weights @ value
    > multiply both by exp(old maximum - new maximum)

    output-not-rescaled: the old output is not rescaled when the maximum grows
    - output = state.output * rescale + weights @ value
    + output = state.output + weights @ value
    > output, like total, was summed under the old maximum

    rescaled-upwards: the old sums are scaled by exp(new - old maximum), which makes them larger
    - rescale = (state.maximum - origin).exp()
    + seen = state.maximum > -math.inf
    + rescale = torch.where(seen, (origin - state.maximum).exp(), 0.0)
    > under a larger maximum old terms count less: exp(old - new)

    maximum-of-tile: the new maximum is the tile's own, even where the old one is larger
    - maximum = torch.maximum(state.maximum, scores.amax(dim=-1, keepdim=True))
    + maximum = scores.amax(dim=-1, keepdim=True)
    > take the larger of the two

    no-maximum: exp is taken of the raw scores, which overflows
    - origin = maximum.masked_fill(maximum == -math.inf, 0.0)
    - weights = (scores - origin).exp()
    - rescale = (state.maximum - origin).exp()
    + weights, rescale = scores.exp(), 1.0
    > subtract the running maximum before exp

    nan-for-nothing: a query that has seen nothing becomes nan (-inf minus -inf)
    - origin = maximum.masked_fill(maximum == -math.inf, 0.0)
    + origin = maximum
    > where the maximum is still -inf, subtract 0

    divided-early: the output is divided by the total at every step, so tiles no longer add up
    - return OnlineSoftmax(maximum, total, output)
    + return OnlineSoftmax(maximum, total, output / total.clamp_min(1e-30))
    > the state holds the sum; who wants the attention divides once, at the end
""")

exercise.slips("""
    state.total * rescale => state.total
    weights.sum => weights.mean
    scores.amax(dim=-1, keepdim=True) => scores.amax(dim=-1)
    OnlineSoftmax(maximum, total, output) => OnlineSoftmax(state.maximum.copy_(maximum), total, output)
    OnlineSoftmax(maximum, total, output) => OnlineSoftmax(maximum, state.total.copy_(total), output)
    OnlineSoftmax(maximum, total, output) => OnlineSoftmax(maximum, total, state.output.copy_(output))
    origin = maximum.masked_fill(maximum == -math.inf, 0.0) => origin = torch.where(state.maximum ==
        -math.inf, maximum, state.maximum).nan_to_num(neginf=0.0)
""")


@exercise.right("log of the sum")
def log_of_the_sum(state, scores, value):
    maximum = torch.cat([state.maximum, scores], -1).max(-1, keepdim=True).values
    origin = maximum.nan_to_num(neginf=0.0)
    kept = torch.exp(state.maximum - origin)
    weights = torch.exp2((scores - origin) * math.log2(math.e))
    joined = torch.einsum("bhmn,bhnd->bhmd", weights, value)
    total = state.total * kept + weights.sum(-1, True)
    return OnlineSoftmax(maximum, total, state.output * kept + joined)


@exercise.right("column by column")
def column_by_column(state, scores, value):
    maximum, total, output = state
    for j in range(scores.shape[-1]):
        score = scores[..., j : j + 1]
        top = torch.maximum(maximum, score)
        origin = torch.where(top == -math.inf, 0.0, top)
        kept, weight = (maximum - origin).exp(), (score - origin).exp()
        total = total * kept + weight
        output = output * kept + weight * value[..., j : j + 1, :]
        maximum = top
    return OnlineSoftmax(maximum, total, output)
