"""Exercise retrieval.top_k: the nearest of many, without holding all the similarities at once."""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from scratchmm.contrastive.retrieval import Neighbours
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="retrieval.top_k",
    order=40,
    target="scratchmm.contrastive.retrieval:top_k",
    title="Search in blocks",
    goal="the k best rows of the gallery for each query, the gallery read in blocks",
    minutes=25,
    difficulty=3,
    section="Search in a gallery too large for one matrix",
    hints="""
        1. Similarities 0.3, 0.9, 0.1, 0.5, 0.7, k = 2, block = 2: after the first block the best
           are (0.9 at 1, 0.3 at 0), then (0.9 at 1, 0.5 at 3), last (0.9 at 1, 0.7 at 4).
        2. The best k so far compete with the answers of the next block, and again only k remain.
           Each keeps its similarity and its number, counted from the gallery's start.
        3. Start with scores (Q, 0) and indices (Q, 0). For each block: similarities (Q, block),
           their numbers start, start + 1, ...; join both to what was kept along dim 1; first_best
           names the places of the best, at most k of what there is; gather scores and numbers
           there. check_search refuses.
        4. scores = torch.cat([scores, fresh], dim=1), indices likewise; kept = first_best(scores,
           min(k, scores.shape[1])); scores = scores.gather(1, kept), indices likewise
    """,
)


def inputs(case, Q=3, G=11):
    """Queries and a gallery of width 4."""
    return case.normal(Q=Q, E=4), case.normal(G=G, E=4)


def slow(queries, gallery, k):
    """The oracle: sort all answers to one query at a time."""
    best = []
    for query in queries:
        found = torch.stack([(query * answer).sum() for answer in gallery])
        found = found.nan_to_num(-torch.inf, torch.inf, -torch.inf)
        best.append([x[:k] for x in found.sort(descending=True, stable=True)])
    return tuple(torch.stack(parts) for parts in zip(*best, strict=True))


@exercise.holds("scores and indices (Q, k), as Neighbours")
def shape(top_k, case):
    got = case.call(top_k, *inputs(case), 2)
    case.true(isinstance(got, Neighbours), "Neighbours(scores, indices)", type(got).__name__)
    case.sizes["k"] = 2
    for one in got:
        case.shape(one, "Q k")


def same(top_k, case, queries, gallery, *sizes):
    """As the oracle says, for each k and block."""
    for k, block in sizes:
        got = case.call(top_k, queries, gallery, k, block=block)
        case.equal(tuple(got), slow(queries, gallery, k), f"k = {k}, block = {block}")


@exercise.holds("the k largest dot products, best first, and their rows, in blocks of any size")
def blocks(top_k, case):
    same(top_k, case, *inputs(case), (1, 4096), (4, 11), (3, 4), (3, 10), (5, 2), (11, 3), (11, 1))


@exercise.holds("of equal scores the lowest row comes first, whatever the block")
def ties(top_k, case):
    queries = case.named(case.integers(-1, 2, Q=3, E=4).float(), "Q E")
    gallery = case.named(case.integers(-1, 2, G=11, E=4).float(), "G E")
    same(top_k, case, queries, gallery, (3, 20), (4, 3), (7, 2), (11, 1))


@exercise.holds("a row with a nan in it comes last, with the score -inf")
def not_numbers(top_k, case):
    queries, gallery = inputs(case)
    gallery[2, 1] = gallery[7] = torch.nan
    same(top_k, case, queries, gallery, (3, 4), (11, 4), (10, 20))


@exercise.holds("scores that float32 can't tell apart are equal")
def rounded(top_k, case):
    queries = case.named(torch.tensor([[1.0, 1e-9]]), "Q E")
    gallery = case.named(torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.5, 2.0]]), "G E")
    same(top_k, case, queries, gallery, (2, 1), (2, 4))


@exercise.holds("through the scores gradients reach queries and gallery")
def gradients(top_k, case):
    case.gradients(lambda *x: top_k(*x, 2)[0], lambda *x: slow(*x, 2)[0], *inputs(case))


@exercise.holds("a k below 1 or above G, and a block below 1, are refused with a ValueError")
def refused(top_k, case):
    for k, block in ((12, 4), (0, 4), (2, 0), (2, -3)):
        case.refuses(ValueError, top_k, *inputs(case), k, block=block)


class Largest(TorchFunctionMode):
    """Notes the size of the largest tensor that an operator returns."""

    numbers = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        self.numbers = max([self.numbers, *sizes])
        return result


@exercise.holds("no tensor as large as all similarities (Q times G) is ever made")
def memory(top_k, case):
    queries, gallery = inputs(case, Q=9, G=400)
    with Largest() as largest:
        got = case.call(top_k, queries, gallery, 2, block=20)
    case.equal(tuple(got), slow(queries, gallery, 2))
    case.true(largest.numbers <= 1800, "tensors of at most 1800 numbers", largest.numbers)


@exercise.holds("different widths, whole numbers and queries not finite are refused (ValueError)")
def no_vectors(top_k, case):
    queries, gallery = inputs(case)
    for width in (3, 1):
        case.refuses(ValueError, top_k, queries, case.normal(G=11, D=width), 2)
    for value in (torch.nan, torch.inf, -torch.inf):
        queries[1, 2] = value
        case.refuses(ValueError, top_k, queries.clone(), gallery, 2)
    case.refuses(ValueError, top_k, gallery.long(), gallery.long(), 2)


exercise.mistakes("""
    numbers-within-the-block: the numbers count from the block's start, not from the gallery's
    - places = torch.arange(start, start + fresh.shape[1], device=queries.device)
    + places = torch.arange(fresh.shape[1], device=queries.device)
    > add `start` to the places of each block

    starts-with-zeros: the best so far start as zeros, which beat every negative similarity
    - scores = queries.new_empty(len(queries), 0, dtype=precise)
    - indices = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    + scores = queries.new_zeros(len(queries), k, dtype=precise)
    + indices = torch.zeros(len(queries), k, dtype=torch.int64, device=queries.device)
    > start with nothing, (Q, 0), or with minus infinity

    normalised [convention]: the vectors are made unit length first
    - precise = torch.promote_types(queries.dtype, torch.float32)
    + precise, unit = torch.promote_types(queries.dtype, torch.float32), torch.nn.functional.normalize
    + queries, gallery = unit(queries), unit(gallery)
    > by dot product: who wants cosines passes unit vectors

    any-of-equals: of equal scores any may come first: topk promises no order of equals
    - kept = first_best(scores, min(k, scores.shape[1]))
    + kept = scores.topk(min(k, scores.shape[1]), dim=1).indices
    > first_best gives the lowest, or a stable sort

    nan-among-the-best: a row with a nan in it comes first: sort takes nan as the largest
    - fresh = fresh.masked_fill(fresh.isnan(), -torch.inf)
    + pass
    - kept = first_best(scores, min(k, scores.shape[1]))
    + kept = scores.argsort(dim=1, descending=True, stable=True)[:, : min(k, scores.shape[1])]
    > its score is minus infinity, so that it is nobody's neighbour

    all-at-once: all similarities are held at once: the block is ignored
    - check_search(queries, gallery, k, block)
    + check_search(queries, gallery, k, block)
    + block = len(gallery)
    > loop over the gallery in blocks and keep only the best k
""")

exercise.slips("""
    first_best(scores, => first_best(-scores,
    min(k, scores.shape[1]) => min(k, block)
    indices.gather(1, kept) => kept
    scores, fresh] => fresh, scores] ;; indices, places.expand_as(fresh) => places.expand_as(fresh),
        indices
    (scores, indices) => (scores.gather(1, indices.argsort(1)), indices.sort(1).values)
    first_best(scores, min(k, scores.shape[1])) => scores.shape[1] - 1 - first_best(scores.flip(1),
        min(k, scores.shape[1]))
    len(gallery), block => len(gallery) // block * block or 1, block
    Neighbours(scores, indices) => scores, indices
    , k, block) => , min(k, len(gallery)), block)
    , k, block) => , k or 1, block) ;; min(k, scores.shape[1])) => min(k, scores.shape[1]) or 1)[:, :k]
    check_search( => block = max(block, 1); check_search(
    check_search( => gallery = gallery.expand(-1, queries.shape[1]); check_search(
    check_search(queries => check_search(queries.nan_to_num(0.0, 0.0, 0.0)
    fresh.isnan(), -torch.inf => fresh.isnan(), 0.0
    [scores, fresh] => [fresh] ;; [indices, places.expand_as(fresh)] => [places.expand_as(fresh)]
""")


@exercise.refusing
def refuse(queries, gallery, k, block=4096):
    if not 1 <= k <= len(gallery) or block < 1 or queries.shape[1:] != gallery.shape[1:]:
        raise ValueError(f"k {k}, block {block}, {queries.shape} and {gallery.shape}")
    if not (queries.is_floating_point() and queries.isfinite().all()):
        raise ValueError("queries are no finite numbers")


@exercise.right("best of each block, then the best of those")
def in_two_rounds(queries, gallery, k, block=4096):
    scores, indices = [], []
    for number, part in enumerate(gallery.split(block)):
        found = (queries @ part.T).masked_fill(part.isnan().any(dim=1), -torch.inf)
        best, places = (x[:, :k] for x in found.sort(dim=1, descending=True, stable=True))
        scores, indices = [*scores, best], [*indices, places + number * block]
    best, places = torch.cat(scores, dim=1).sort(dim=1, descending=True, stable=True)
    return Neighbours(best[:, :k], torch.cat(indices, dim=1).gather(1, places[:, :k]))


@exercise.right("sorted in Python, one query at a time")
def by_sorting(queries, gallery, k, block=4096):
    indices = queries.new_zeros(len(queries), k, dtype=torch.int64)
    for row, query in zip(indices, queries.detach(), strict=True):
        found = (gallery.detach() @ query).nan_to_num(-torch.inf).tolist()
        row[:] = torch.tensor(sorted(range(len(found)), key=found.__getitem__, reverse=True)[:k])
    scores = torch.einsum("qe,qke->qk", queries, gallery[indices])
    return Neighbours(scores.masked_fill(scores.isnan(), -torch.inf), indices)
