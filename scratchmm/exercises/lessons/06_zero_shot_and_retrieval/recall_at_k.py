"""Exercise recall.recall_at_k: in how many cases is a right answer among the first k?"""

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="recall.recall_at_k",
    order=30,
    target="scratchmm.metrics.recall:recall_at_k",
    title="Recall@k",
    goal="the share of queries with a right answer among their k most similar; ties count against",
    minutes=20,
    difficulty=3,
    section="Recall at k",
    hints=(
        "Query 0 with the similarities [0.9, 0.1, 0.2] is a success at k = 1: its own answer, number "
        "0, is the most similar. Query 1 with [0.8, 0.7, 0.1] is none at k = 1, for answer 0 stands "
        "before it, but is one at k = 2. Query 2 with [0.5, 0.5, 0.5] is a success at k = 3 only.",
        "A right answer has a rank: one plus the number of wrong answers that it does not beat. The "
        "best right answer decides. `Does not beat` and not `is beaten by`: a model that finds "
        "everything alike knows nothing and must recall nothing. The lesson falls into that trap.",
        "relevant is the identity where none is given, and then (Q, G) must be square. best (Q, 1): "
        "the largest similarity among the right answers. Count, for each query, the wrong answers "
        "that are not below best: (Q,). A success is a count below k. A query without right answers "
        "is none. The mean of the successes, as a Python float.",
        "best = similarity.masked_fill(~relevant, -torch.inf).amax(dim=1, keepdim=True); "
        "ahead = ((similarity >= best) & ~relevant).sum(dim=1); "
        "((ahead < k) & relevant.any(dim=1)).double().mean().item()",
    ),
)


def slow(similarity: Tensor, k: int, relevant: Tensor) -> float:
    """The oracle: sort one row at a time, the wrong answers first among equals."""
    successes = 0
    for scores, right in zip(similarity.tolist(), relevant.tolist(), strict=True):
        ranked = sorted(zip(scores, right, strict=True), key=lambda pair: (-pair[0], pair[1]))
        successes += any(is_right for _, is_right in ranked[:k])
    return successes / len(similarity)


def distinct(case: Case, Q: int, G: int) -> Tensor:
    """Similarities without ties."""
    order = torch.stack([torch.randperm(G, generator=case.generator) for _ in range(Q)])
    return case.named(order.float() / G - 0.3, "Q G")


def some_right(case: Case, Q: int, G: int) -> Tensor:
    """bool (Q, G): one to three right answers a query."""
    right = torch.zeros(Q, G, dtype=torch.bool)
    for row in range(Q):
        right[row, torch.randperm(G, generator=case.generator)[: 1 + row % 3]] = True
    return case.named(right, "Q G")


@exercise.holds("the result is a Python float between 0 and 1")
def a_share(recall_at_k, case):
    got = case.call(recall_at_k, distinct(case, 6, 6), 2)
    case.true(isinstance(got, float) and 0 <= got <= 1, "a float from 0 to 1", got)


@exercise.holds("a right answer of rank r is found at k = r and above, and not below")
def ranks(recall_at_k, case):
    scores = torch.full((1, 1), 0.5)
    for rank in (1, 2, 4):
        others = torch.linspace(0.9, 0.6, rank - 1) if rank > 1 else torch.zeros(0)
        row = torch.cat([scores[0], others, torch.tensor([0.1, 0.2])])
        right = torch.zeros(1, len(row), dtype=torch.bool)
        right[0, 0] = True
        row, right = case.named(row[None], "Q G"), case.named(right, "Q G")
        for k in range(1, len(row[0]) + 1):
            got = case.call(recall_at_k, row, k, right)
            case.equal(got, float(k >= rank), f"rank {rank}, k = {k}")


@exercise.holds("without `relevant`, answer i is right for query i")
def pairs(recall_at_k, case):
    similarity = distinct(case, 9, 9)
    for k in (1, 3, 5):
        expected = slow(similarity, k, torch.eye(9, dtype=torch.bool))
        case.equal(case.call(recall_at_k, similarity, k), expected, f"k = {k}")


@exercise.holds("with `relevant`, any right answer among the first k will do; Q and G may differ")
def any_will_do(recall_at_k, case):
    similarity, right = distinct(case, 7, 10), some_right(case, 7, 10)
    case.each(
        recall_at_k, *(((similarity, k, right), slow(similarity, k, right)) for k in (1, 2, 4, 6))
    )


@exercise.holds("at k = G and above everything is found")
def everything(recall_at_k, case):
    similarity, right = distinct(case, 4, 6), some_right(case, 4, 6)
    for k in (6, 9):
        case.equal(case.call(recall_at_k, similarity, k, right), 1.0, f"k = {k}")


@exercise.holds("a wrong answer that ties with the best right one is ranked before it")
def ties(recall_at_k, case):
    alike = case.named(torch.full((5, 5), 0.25), "Q G")
    for k in (1, 4):
        case.equal(case.call(recall_at_k, alike, k), 0.0, f"all alike, k = {k}")
    similarity = case.integers(0, 3, Q=7, G=8).float()
    similarity, right = case.named(similarity, "Q G"), some_right(case, 7, 8)
    for k in (1, 3, 5):
        expected = slow(similarity, k, right)
        case.equal(case.call(recall_at_k, similarity, k, right), expected, f"k = {k}")


@exercise.holds("similarities that are nan are refused with a ValueError")
def not_a_number(recall_at_k, case):
    for places in (slice(None), 2):
        broken = distinct(case, 4, 4)
        broken[places, 1] = torch.nan
        case.refuses(ValueError, recall_at_k, broken, 1)


@exercise.holds("a query without any right answer is never a success")
def no_right_answer(recall_at_k, case):
    similarity, right = distinct(case, 4, 6), some_right(case, 4, 6)
    right[1] = False
    for k in (2, 9):
        expected = slow(similarity, k, right)
        case.equal(case.call(recall_at_k, similarity, k, right), expected, f"k = {k}")


@exercise.holds("k below 1 is refused with a ValueError")
def zero(recall_at_k, case):
    for k in (0, -2):
        case.refuses(ValueError, recall_at_k, distinct(case, 4, 4), k)


@exercise.holds("3 queries and 5 answers without `relevant` are refused with a ValueError")
def no_pairs(recall_at_k, case):
    case.refuses(ValueError, recall_at_k, distinct(case, 3, 5), 1)


@exercise.holds("no queries, or no answers, are refused with a ValueError")
def nothing(recall_at_k, case):
    for Q, G in ((0, 5), (3, 0)):
        none = case.booleans(Q=Q, G=G)
        case.refuses(ValueError, recall_at_k, case.normal(Q=Q, G=G), 1, none)


@exercise.holds("similarities as low as minus infinity are ranked like all others")
def lowest(recall_at_k, case):
    similarity, right = distinct(case, 4, 6), some_right(case, 4, 6)
    similarity[0], similarity[1, 2:], similarity[2][right[2]] = -torch.inf, -torch.inf, -1e12
    for k in (1, 4):
        expected = slow(similarity, k, right)
        case.equal(case.call(recall_at_k, similarity, k, right), expected, f"k = {k}")


@exercise.holds("the inputs are left as they were")
def unchanged(recall_at_k, case):
    case.call(recall_at_k, distinct(case, 4, 6), 2, some_right(case, 4, 6))
    case.unchanged()
