"""Exercise retrieval.top_k: the nearest of many, without holding all the similarities at once."""

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from scratchmm.contrastive.retrieval import Neighbours
from scratchmm.exercises.case import Case
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
    hints=(
        "One query, five answers with the similarities 0.3, 0.9, 0.1, 0.5, 0.7, k = 2, block = 2. "
        "After the first block the best are (0.9 at 1, 0.3 at 0), after the second (0.9 at 1, 0.5 at "
        "3), after the last, which has one answer only, (0.9 at 1, 0.7 at 4).",
        "It is a tournament: the best k so far meet the answers of the next block, and again only k "
        "remain. Each carries its similarity and its number in the gallery, and the number counts "
        "from the gallery's start and not from the block's.",
        "Start with scores (Q, 0) and indices (Q, 0). For each block: similarities (Q, block), their "
        "numbers start, start + 1, ...; join both to what was kept along dim 1; first_best names the "
        "places of the best, at most k of what there is; gather scores and numbers there. "
        "check_search refuses a k below 1 or above G.",
        "scores = torch.cat([scores, fresh], dim=1); indices = torch.cat([indices, "
        "places.expand_as(fresh)], dim=1); kept = first_best(scores, min(k, scores.shape[1])); "
        "scores = scores.gather(1, kept); indices = indices.gather(1, kept)",
    ),
)


def inputs(case: Case, Q: int = 3, G: int = 11) -> tuple[Tensor, Tensor]:
    """Queries and a gallery of width 4."""
    return case.normal(Q=Q, E=4), case.normal(G=G, E=4)


def slow(queries: Tensor, gallery: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The oracle: sort all answers to one query at a time."""
    scores, indices = [], []
    for query in queries:
        found = torch.stack([(query * answer).sum() for answer in gallery])
        found = found.nan_to_num(-torch.inf, torch.inf, -torch.inf)
        order = torch.argsort(found, descending=True, stable=True)[:k]
        indices.append(order)
        scores.append(found[order])
    return torch.stack(scores), torch.stack(indices)


@exercise.holds("scores and indices (Q, k), as Neighbours")
def shape(top_k, case):
    got = case.call(top_k, *inputs(case), 2)
    case.true(isinstance(got, Neighbours), "Neighbours(scores, indices)", type(got).__name__)
    case.sizes["k"] = 2
    case.shape(got.scores, "Q k")
    case.shape(got.indices, "Q k")


@exercise.holds("in one block: the k largest dot products, best first, and their rows")
def one_block(top_k, case):
    queries, gallery = inputs(case)
    for k in (1, 4):
        got = case.call(top_k, queries, gallery, k)
        case.equal(tuple(got), slow(queries, gallery, k), f"k = {k}")


@exercise.holds("every block size gives the same, also one that leaves a rest")
def blocks(top_k, case):
    queries, gallery = inputs(case)
    for block in (4, 5, 10, 11, 20):
        got = case.call(top_k, queries, gallery, 3, block=block)
        case.equal(tuple(got), slow(queries, gallery, 3), f"block = {block}")


@exercise.holds("k may be larger than a block, and as large as the gallery")
def large_k(top_k, case):
    queries, gallery = inputs(case)
    for k, block in ((5, 2), (11, 3), (11, 1)):
        got = case.call(top_k, queries, gallery, k, block=block)
        case.equal(tuple(got), slow(queries, gallery, k), f"k = {k}, block = {block}")


@exercise.holds("it is right too where all similarities are negative")
def negative(top_k, case):
    queries, gallery = inputs(case)
    gallery = case.named(-gallery.abs(), "G E")
    queries = case.named(queries.abs(), "Q E")
    got = case.call(top_k, queries, gallery, 3, block=4)
    case.equal(tuple(got), slow(queries, gallery, 3))


@exercise.holds("of equal scores the lowest row comes first, whatever the block")
def ties(top_k, case):
    queries = case.named(case.integers(-1, 2, Q=3, E=4).float(), "Q E")
    gallery = case.named(case.integers(-1, 2, G=11, E=4).float(), "G E")
    for k, block in ((3, 20), (4, 3), (7, 2), (11, 1)):
        got = case.call(top_k, queries, gallery, k, block=block)
        case.equal(tuple(got), slow(queries, gallery, k), f"k = {k}, block = {block}")


@exercise.holds("a row with a nan in it comes last, with the score -inf")
def not_numbers(top_k, case):
    queries, gallery = inputs(case)
    gallery[2, 1] = gallery[7] = torch.nan
    for k, block in ((3, 4), (11, 4), (10, 20)):
        got = case.call(top_k, queries, gallery, k, block=block)
        case.equal(tuple(got), slow(queries, gallery, k), f"k = {k}, block = {block}")


@exercise.holds("k above the gallery's size, or below 1, is refused with a ValueError")
def refused(top_k, case):
    queries, gallery = inputs(case)
    for k in (12, 0):
        case.refuses(ValueError, top_k, queries, gallery, k, block=4)


@exercise.holds("a block below 1 is refused with a ValueError")
def no_block(top_k, case):
    for block in (0, -3):
        case.refuses(ValueError, top_k, *inputs(case), 2, block=block)


@exercise.holds("queries and gallery of different widths are refused with a ValueError")
def widths(top_k, case):
    for width in (3, 1):
        case.refuses(ValueError, top_k, case.normal(Q=3, E=4), case.normal(G=11, D=width), 2)


@exercise.holds("queries that are not finite numbers are refused with a ValueError")
def no_query(top_k, case):
    for value in (torch.nan, torch.inf, -torch.inf):
        queries, gallery = inputs(case)
        queries[1, 2] = value
        case.refuses(ValueError, top_k, queries, gallery, 2)


@exercise.holds("no tensor as large as all similarities (Q times G) is ever made")
def memory(top_k, case):
    queries, gallery = inputs(case, Q=9, G=400)
    seen = Largest()

    def watched(queries, gallery, k, block):
        with seen:
            return top_k(queries, gallery, k, block=block)

    got = case.call(watched, queries, gallery, 2, 20)
    case.equal(tuple(got), slow(queries, gallery, 2))
    allowed = 9 * 400 // 2
    small = seen.numbers <= allowed
    case.true(small, f"tensors of at most {allowed} numbers", f"one of {seen.numbers}")


class Largest(TorchFunctionMode):
    """While it is entered, notes the largest tensor that any operator gives back."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_leaves(result) if isinstance(x, Tensor)]
        self.numbers = max([self.numbers, *sizes])
        return result


@exercise.refusing
def refuse(queries, gallery, k, block=4096):
    if not 1 <= k <= len(gallery) or block < 1 or queries.shape[1:] != gallery.shape[1:]:
        raise ValueError(f"k {k}, block {block}, {queries.shape} and {gallery.shape}")
    if not queries.isfinite().all():
        raise ValueError("queries are no finite numbers")


def scored(queries, rows):
    """The dot products; a row with a nan in it has minus infinity."""
    return (queries @ rows.T).masked_fill(rows.isnan().any(dim=1), -torch.inf)


def first(scores, k, largest=True):
    """The best k and their places; of equal ones the first."""
    found, order = scores.sort(dim=1, descending=largest, stable=True)
    return found[:, :k], order[:, :k]


def search(queries, gallery, k, block=4096, offset=True, largest=True, start_with=None):
    """The search with its knobs out, so that a wrong answer is one knob turned."""
    scores = queries.new_empty(len(queries), 0)
    indices = torch.empty(len(queries), 0, dtype=torch.int64)
    if start_with is not None:
        scores = queries.new_full((len(queries), k), start_with)
        indices = torch.zeros(len(queries), k, dtype=torch.int64)
    for start in range(0, len(gallery), block):
        fresh = scored(queries, gallery[start : start + block])
        places = torch.arange(fresh.shape[1]) + (start if offset else 0)
        scores = torch.cat([scores, fresh], 1)
        indices = torch.cat([indices, places.expand_as(fresh)], 1)
        scores, kept = first(scores, min(k, scores.shape[1]), largest)
        indices = indices.gather(1, kept)
    return Neighbours(scores, indices)


@exercise.wrong(
    "numbers-within-the-block",
    story="the numbers count from the block's start and not from the gallery's",
    advice="add `start` to the places of each block",
)
def numbers_within_the_block(queries, gallery, k, block=4096):
    return search(queries, gallery, k, block, offset=False)


@exercise.wrong(
    "least-similar",
    story="the least similar are returned",
    advice="topk with largest=True, as it is by default",
)
def least_similar(queries, gallery, k, block=4096):
    return search(queries, gallery, k, block, largest=False)


@exercise.wrong(
    "starts-with-zeros",
    story="the best so far start as zeros, which beat every negative similarity",
    advice="start with nothing, (Q, 0), or with minus infinity",
)
def starts_with_zeros(queries, gallery, k, block=4096):
    return search(queries, gallery, k, block, start_with=0.0)


exercise.edit(
    "last-block-only",
    ("torch.cat([scores, fresh], dim=1)", "fresh"),
    ("torch.cat([indices, places.expand_as(fresh)], dim=1)", "places.expand_as(fresh)"),
    story="each block forgets the best of the blocks before",
    advice="the best so far compete with the next block: torch.cat",
)
exercise.edit(
    "numbers-not-carried",
    ("indices = indices.gather(1, kept)", "indices = kept"),
    story="the places that topk names are returned, and not the gallery's rows that stand there",
    advice="gather the numbers at the places that topk names",
)
exercise.edit(
    "rest-left-out",
    ("range(0, len(gallery), block)", "range(0, len(gallery) // block * block or 1, block)"),
    story="the last block is left out where it is not full",
    advice="range(0, G, block): the last slice may be shorter",
)
exercise.edit(
    "order-of-the-gallery",
    ("return Neighbours(scores, indices)",
     "indices, order = indices.sort(dim=1)\n    return Neighbours(scores.gather(1, order), indices)"),
    story="the right rows are returned, but in the gallery's order",
    advice="best first: topk sorts them already",
)  # fmt: skip
exercise.edit(
    "exchanged",
    ("return Neighbours(scores, indices)", "return Neighbours(indices, scores)"),
    story="scores and indices are exchanged",
    advice="Neighbours(scores, indices)",
)
exercise.edit(
    "a-plain-tuple",
    ("return Neighbours(scores, indices)", "return scores, indices"),
    story="a plain tuple is returned, which has no names",
    advice="Neighbours(scores, indices)",
)
exercise.edit(
    "normalised",
    ("queries.double() @ gallery[start : start + block].double().T",
     "torch.nn.functional.normalize(queries.double(), dim=1)"
     " @ torch.nn.functional.normalize(gallery[start : start + block].double(), dim=1).T"),
    story="the vectors are made unit length first",
    advice="by dot product: who wants cosines hands over unit vectors",
    convention=True,
)  # fmt: skip
exercise.edit(
    "k-of-a-block",
    ("min(k, scores.shape[1])", "min(k, block)"),
    story="at most as many as a block has are kept, so a k larger than a block comes out short",
    advice="keep min(k, what there is so far)",
)
exercise.edit(
    "too-many-accepted",
    ("check_search(queries, gallery, k, block)",
     "check_search(queries, gallery, min(k, len(gallery)), block)"),
    story="a k above the gallery's size gives fewer answers than were asked for",
    advice="raise a ValueError that names both",
)  # fmt: skip
exercise.edit(
    "none-accepted",
    ("check_search(queries, gallery, k, block)", "check_search(queries, gallery, k or 1, block)"),
    ("first_best(scores, min(k, scores.shape[1]))",
     "first_best(scores, min(k or 1, scores.shape[1]))[:, :k]"),
    story="k = 0 is accepted",
    advice="raise a ValueError: k counts from 1",
)  # fmt: skip
exercise.edit(
    "later-blocks-first",
    ("torch.cat([scores, fresh], dim=1)", "torch.cat([fresh, scores], dim=1)"),
    ("torch.cat([indices, places.expand_as(fresh)], dim=1)",
     "torch.cat([places.expand_as(fresh), indices], dim=1)"),
    story="of equal scores that of a later block comes first",
    advice="what was kept stands before the new block: torch.cat([scores, fresh], dim=1)",
)  # fmt: skip
exercise.edit(
    "last-of-equals",
    ("first_best(scores, min(k, scores.shape[1]))",
     "scores.shape[1] - 1 - scores.flip(1).argsort(dim=1, descending=True, stable=True)"
     "[:, : min(k, scores.shape[1])]"),
    story="of equal scores the highest row comes first",
    advice="first_best gives the lowest; topk promises no order of equals",
)  # fmt: skip
exercise.edit(
    "any-of-equals",
    ("first_best(scores, min(k, scores.shape[1]))",
     "scores.topk(min(k, scores.shape[1]), dim=1).indices"),
    story="of equal scores any may come first: topk promises no order of equals",
    advice="first_best gives the lowest, or a stable sort",
)  # fmt: skip
exercise.edit(
    "nan-kept",
    ("fresh = fresh.masked_fill(fresh.isnan(), -torch.inf)", "pass"),
    story="a score that is nan stays, and nothing can be compared with it",
    advice="it becomes minus infinity, so that its row is nobody's neighbour",
)
exercise.edit(
    "nan-among-the-best",
    ("fresh = fresh.masked_fill(fresh.isnan(), -torch.inf)", "pass"),
    ("first_best(scores, min(k, scores.shape[1]))",
     "scores.argsort(dim=1, descending=True, stable=True)[:, : min(k, scores.shape[1])]"),
    story="a row with a nan in it comes first: nan is sorted as the largest",
    advice="its score is minus infinity, so that it is nobody's neighbour",
)  # fmt: skip
exercise.edit(
    "any-block",
    ("check_search(queries, gallery, k, block)",
     "check_search(queries, gallery, k, max(block, 1))\n"
     "    block = block if block > 0 else len(gallery)"),
    story="it does not refuse a block below 1",
    advice="check_search(queries, gallery, k, block) raises the ValueError",
)  # fmt: skip
exercise.edit(
    "any-widths",
    ("check_search(queries, gallery, k, block)",
     "check_search(queries, queries.new_zeros(len(gallery), queries.shape[1]), k, block)\n"
     "    gallery = gallery.expand(-1, queries.shape[1]) if gallery.shape[1] == 1 else gallery"),
    story="it does not refuse queries and a gallery of different widths",
    advice="check_search(queries, gallery, k, block) raises the ValueError",
)  # fmt: skip
exercise.edit(
    "any-query",
    ("check_search(queries, gallery, k, block)",
     "check_search(queries.nan_to_num(0.0, 0.0, 0.0), gallery, k, block)"),
    story="it does not refuse queries that are not finite numbers",
    advice="check_search(queries, gallery, k, block) raises the ValueError",
)  # fmt: skip


@exercise.wrong(
    "all-at-once",
    story="all similarities are held at once: the block is ignored",
    advice="loop over the gallery in blocks and keep only the best k",
)
def all_at_once(queries, gallery, k, block=4096):
    return Neighbours(*first(scored(queries, gallery), k))


@exercise.disguise("numbers-within-the-block")
def local_numbers(queries, gallery, k, block=4096):
    scores, indices = [], []
    for part in gallery.split(block):
        best, places = first(scored(queries, part), min(k, len(part)))
        scores.append(best)
        indices.append(places)
    best, places = first(torch.cat(scores, 1), k)
    return Neighbours(best, torch.cat(indices, 1).gather(1, places))


@exercise.right("best of each block, then the best of those")
def in_two_rounds(queries, gallery, k, block=4096):
    scores, indices = [], []
    for number, part in enumerate(gallery.split(block)):
        best, places = first(scored(queries, part), min(k, len(part)))
        scores.append(best)
        indices.append(places + number * block)
    best, places = first(torch.cat(scores, dim=1), k)
    return Neighbours(best, torch.cat(indices, dim=1).gather(1, places))


@exercise.right("from minus infinity")
def from_minus_infinity(queries, gallery, k, block=4096):
    # What fills the places at first is worse than every row: behind them, and numbered beyond.
    scores = torch.full((len(queries), k), -torch.inf, dtype=queries.dtype).to(queries)
    indices = torch.full_like(scores, len(gallery), dtype=torch.int64)
    for start in range(0, len(gallery), block):
        fresh = scored(queries, gallery[start : start + block])
        places = torch.arange(start, start + fresh.shape[1]).to(indices).repeat(len(queries), 1)
        joined, numbers = torch.cat([scores, fresh], 1), torch.cat([indices, places], 1)
        numbers, order = numbers.sort(dim=1, stable=True)
        scores, order_of_scores = first(joined.gather(1, order), k)
        indices = numbers.gather(1, order_of_scores)
    return Neighbours(scores, indices)
