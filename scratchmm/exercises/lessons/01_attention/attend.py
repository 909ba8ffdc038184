"""Exercise attention.attend: the formula that everything else rests on."""

import math
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.layers import attention


def with_backends(mine, library):
    """For `learn run --mine`: the learner's formula is the plain backend, the others stay."""

    def attend(query, key, value, mask=None, *, bias=None, backend=None):
        if (backend or attention._backend) != "plain" or bias is not None:
            return library(query, key, value, mask, bias=bias, backend=backend)
        return mine(query, key, value, mask)

    return attend


exercise = Exercise(
    id="attention.attend",
    order=10,
    target="scratchmm.layers.attention:attend",
    title="Scaled dot-product attention",
    goal="softmax(query key^T / sqrt(D), over the keys) value; leave bias and backend unused",
    minutes=20,
    difficulty=2,
    section="One query, five keys",
    forbidden=(
        "torch.nn.functional.scaled_dot_product_attention",
        "torch._C._nn.scaled_dot_product_attention",
        "scratchmm.layers.fast_attention.tiled_attention",
        "scratchmm.layers.fast_attention.fused_attention",
        "scratchmm.layers.fast_attention.torch_attention",
    ),
    parts=("attention_weights",),
    unused=("bias", "backend", "chosen"),
    hints="""
        1. Take two queries and two keys of width 1: query 0 and 2, key 0 and 1, value 10 and 20.
           The first query scores both keys 0: its weights are 1/2 and 1/2, its result is 15. The
           second scores them 0 and 2: its result is near 20 and never above, as weights sum to 1.
        2. A query's dot products with all keys, scaled as long vectors have large ones, become
           weights that sum to 1; the result is that mean of the values. A hidden key gets weight 0.
        3. Scores have shape (B, H, L, S): the keys need their last two axes exchanged. Divide by
           the root of D, the last axis of query. Where the mask is False, put minus infinity.
           Softmax over S. A row that may see nothing is nan now: make it zeros. Then times value.
        4. scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5; if there is a mask:
           scores = scores.masked_fill(~mask, -math.inf); weights = scores.softmax(-1), and with a
           mask weights = weights.masked_fill(~mask, 0); return weights @ value
    """,
    adapt=with_backends,
)


def inputs(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """Every axis of another size, so that none can stand for another."""
    query = case.normal(B=2, H=3, L=5, D=7)
    return query, case.normal(B=2, H=3, S=6, D=7), case.normal(B=2, H=3, S=6, D=7)


def slow(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """The oracle: attention by loops, one query at a time, only over the keys that it may see."""
    shape = (*query.shape[:3], key.shape[-2])
    seen = torch.ones(shape, dtype=torch.bool) if mask is None else mask.expand(shape)
    rows = []
    for b, h, i in product(*map(range, shape[:3])):
        keys, values = key[b, h, seen[b, h, i]], value[b, h, seen[b, h, i]]
        shares = torch.softmax(keys @ query[b, h, i] / math.sqrt(query.shape[-1]), 0)
        rows.append(shares @ values)
    return torch.stack(rows).view(*shape[:3], -1)


@exercise.holds("the result has a row of width D for each query")
def shape(attend, case):
    case.shape(case.call(attend, *inputs(case)), "B H L D")


@exercise.holds("with query = 0 every key counts the same, so the result is the mean of the values")
def mean(attend, case):
    query, key, value = inputs(case)
    query = case.named(torch.zeros_like(query), "B H L D")
    case.equal(case.call(attend, query, key, value), value.mean(2)[:, :, None].expand_as(query))


@exercise.holds("with value = identity the result is softmax(query key^T / sqrt(D)) itself")
def weights(attend, case):
    query, key, _ = inputs(case)
    value = case.named(torch.eye(6).expand(2, 3, 6, 6), "B H S S")
    scores = torch.einsum("bhld,bhsd->bhls", query, key) / math.sqrt(7)
    case.equal(case.call(attend, query, key, value), F.softmax(scores, 3))


@exercise.holds("where one key may be seen, the result is that key's value (True = may be seen)")
def one_key(attend, case):
    query, key, value = inputs(case)
    chosen = case.integers(0, 6, B=2, H=3, L=5)
    mask = case.named(F.one_hot(chosen, 6).bool(), "B H L S")
    expected = value.gather(2, chosen[..., None].expand(2, 3, 5, 7))
    case.equal(case.call(attend, query, key, value, mask), expected)


@exercise.holds("a mask (1, 1, L, S) for all, or (B, 1, 1, S), leaves a query only what it may see")
def masked(attend, case):
    query, key, value = inputs(case)
    for mask, names in ((case.booleans(L=5, S=6)[None], "1 1 L S"),
                        (case.booleans(B=2, S=6)[:, None], "B 1 1 S")):  # fmt: skip
        mask = case.named(F.pad(mask[:, None, :, 1:], (1, 0), value=True), names)  # none is blind
        case.equal(case.call(attend, query, key, value, mask), slow(query, key, value, mask))


@exercise.holds("a query that may see nothing gets zeros, not nan")
def blind(attend, case):
    query, key, value = inputs(case)
    mask = case.booleans(0.6, B=2, H=3, L=5, S=6)
    mask[:, :, 2] = mask[0, 1, 4] = False
    case.equal(case.call(attend, query, key, value, mask), slow(query, key, value, mask))


@exercise.holds("huge scores overflow nowhere: the best key takes all")
def huge(attend, case):
    query, key, value = inputs(case)
    given = case.named(query * 300, "B H L D"), case.named(key * 300, "B H S D"), value
    case.equal(case.call(attend, *given), slow(*given))


@exercise.holds("query, key, value and mask are left as they were")
def unchanged(attend, case):
    mask = case.booleans(B=2, H=3, L=5, S=6)
    case.call(attend, *inputs(case), mask)
    case.unchanged()


@exercise.holds("the gradients reach query, key and value, also past a blind query")
def gradients(attend, case):
    query, key, value = inputs(case)
    mask = case.booleans(0.6, B=2, H=3, L=5, S=6)
    mask[:, :, 3] = False
    case.gradients(attend, slow, query, key, value, mask)


exercise.mistakes("""
    no-scale: the scores are not divided by sqrt(D)
    - query = query.to(wide) / math.sqrt(query.shape[-1])
    + query = query.to(wide)
    > a dot product of D numbers has a spread of sqrt(D); divide, or softmax saturates

    softmax-over-queries: the softmax runs over the queries instead of over the keys
    - return scores.softmax(dim=-1)
    - scores = scores.masked_fill(~mask, -math.inf)
    + return scores.softmax(dim=-2)
    + scores = scores.masked_fill(~mask, -math.inf)
    - return scores.softmax(dim=-1).masked_fill(~mask, 0.0)
    + return scores.softmax(dim=-2).masked_fill(~mask.any(-1, keepdim=True), 0.0)
    > each query's weights must sum to 1: softmax over the last axis of (B, H, L, S)

    mask-after-softmax: hidden keys are set to 0 after the softmax: weights no longer sum to 1
    - scores = scores.masked_fill(~mask, -math.inf)
    > hide them before the softmax: a score of -inf becomes a weight of 0, and the rest sum to 1

    blind-is-nan: a query that may see nothing becomes nan (softmax of a row of -inf is 0/0)
    - return scores.softmax(dim=-1).masked_fill(~mask, 0.0)
    + return scores.softmax(dim=-1)
    > fill the hidden weights with 0 once more after the softmax

    result-cleaned: nan is made 0 in the result (nan_to_num), but its gradient is nan all the same
    - return scores.softmax(dim=-1).masked_fill(~mask, 0.0)
    + return scores.softmax(dim=-1)
    - return mix_values(attention_weights(query, key, mask, bias), value)
    + return mix_values(attention_weights(query, key, mask, bias), value).nan_to_num()
    > 0 times nan is nan on the way back: fill the hidden weights with 0 after the softmax

    finite-infinity: hidden scores get a large negative number: who sees nothing sees everything
    - scores = scores.masked_fill(~mask, -math.inf)
    + scores = scores.masked_fill(~mask, -1e9)
    - return scores.softmax(dim=-1).masked_fill(~mask, 0.0)
    + return scores.softmax(dim=-1)
    > use -inf, and give a query that may see nothing zeros

    unsafe-exp: exp is taken of the raw scores, which overflows to inf / inf
    - return mix_values(attention_weights(query, key, mask, bias), value)
    + weights = (query @ key.mT / math.sqrt(query.shape[-1])).exp()
    + weights = weights if mask is None else weights * mask
    + return weights @ value / weights.sum(-1, keepdim=True).clamp_min(1e-30)
    > subtract the row's maximum first, or let softmax do it
""")

exercise.slips("""
    math.sqrt(query.shape[-1]) => math.sqrt(key.shape[-2])
    query.to(wide) / math.sqrt(query.shape[-1]) => query.data.div_(math.sqrt(query.shape[-1]))
    scores.masked_fill(~mask, -math.inf) => scores + torch.where(mask, 0.0, -1e4) ;;
        return scores.softmax(dim=-1).masked_fill(~mask, 0.0) => return scores.softmax(dim=-1)
    scores.masked_fill(~mask, -math.inf) => scores + torch.where(mask, 0.0, -math.inf) ;;
        return scores.softmax(dim=-1).masked_fill(~mask, 0.0) => return scores.softmax(-1).nan_to_num()
    scores.masked_fill(~mask, -math.inf) => scores * mask
    mask, bias), value) => mask, bias).detach(), value)
    bias), value) => bias), value).transpose(1, 2).flatten(2)
""")


@exercise.right("einsum")
def with_einsum(query, key, value, mask=None, *, backend=None):
    scores = torch.einsum("bhld,bhsd->bhls", query / math.sqrt(query.shape[-1]), key)
    some = torch.tensor(True) if mask is None else mask.any(-1, keepdim=True)
    if mask is not None:
        scores = scores.masked_fill(~mask & some, -math.inf)
    return torch.einsum("bhls,bhsd->bhld", scores.softmax(-1) * some, value)


@exercise.right("by hand")
def by_hand(query, key, value, mask=None, *, backend=None):
    scores = (key @ query.transpose(-1, -2)).transpose(-1, -2) * query.shape[-1] ** -0.5
    seen = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand_as(scores)
    top = torch.where(seen, scores, -math.inf).amax(-1, keepdim=True)
    top = torch.where(torch.isfinite(top), top, 0.0)
    shares = torch.where(seen, torch.where(seen, scores - top, 0.0).exp(), 0.0)
    total = shares.sum(-1, keepdim=True)
    return shares @ value / torch.where(total == 0, 1.0, total)
