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
    hints="""
        1. Query 0 with [0.9, 0.1, 0.2] is a success at k = 1: answer 0 is the most similar. Query 1
           with [0.8, 0.7, 0.1] is one at k = 2, query 2 with [0.5, 0.5, 0.5] at k = 3 only.
        2. A right answer has a rank: one plus the number of wrong answers that it does not beat.
           The best right answer decides. `Does not beat` and not `is beaten by`: constant
           similarities must recall nothing. The lesson falls into that trap.
        3. relevant is the identity where none is given, and then (Q, G) must be square. best
           (Q, 1): the largest similarity among the right answers. Count the wrong answers not below
           best: (Q,). A success is a count below k, and a right answer. Their mean, as a float.
        4. best = similarity.masked_fill(~relevant, -torch.inf).amax(dim=1, keepdim=True);
           ahead = ((similarity >= best) & ~relevant).sum(dim=1);
           ((ahead < k) & relevant.any(dim=1)).double().mean().item()
    """,
)


def slow(similarity: Tensor, k: int, relevant: Tensor) -> float:
    """The oracle: sort one row at a time, the wrong answers first among equals."""
    successes = 0
    for scores, right in zip(similarity.tolist(), relevant.tolist(), strict=True):
        ranked = sorted(zip([-score for score in scores], right, strict=True))
        successes += any(is_right for _, is_right in ranked[:k])
    return successes / len(similarity)


def distinct(case: Case, Q: int, G: int) -> Tensor:
    """Similarities without ties."""
    return case.named(case.normal(Q=Q, G=G).argsort(1).float() / G - 0.3, "Q G")


def some_right(case: Case, Q: int, G: int) -> Tensor:
    """bool (Q, G): one to three right answers a query."""
    return case.named(case.normal(Q=Q, G=G).argsort(1) < 1 + torch.arange(Q)[:, None] % 3, "Q G")


@exercise.holds("the result is a Python float between 0 and 1")
def a_share(recall_at_k, case):
    got = case.call(recall_at_k, distinct(case, 6, 6), 2)
    case.true(isinstance(got, float) and 0 <= got <= 1, "a float from 0 to 1", got)


@exercise.holds("a right answer of rank r is found at k = r and above, and not below")
def ranks(recall_at_k, case):
    for rank in (1, 2, 4):
        row = case.named(torch.tensor([[0.5, *(0.9, 0.7, 0.6)[: rank - 1], 0.1, 0.2]]), "Q G")
        for k in range(1, row.shape[1] + 1):
            got = case.call(recall_at_k, row, k, case.named(row == 0.5, "Q G"))
            case.equal(got, float(k >= rank), f"rank {rank}, k = {k}")


def same(recall_at_k, case, similarity, counts, *relevant):
    """As the oracle says, at each k."""
    right = relevant[0] if relevant else torch.eye(len(similarity), dtype=torch.bool)
    wanted = [((similarity, k, *relevant), slow(similarity, k, right)) for k in counts]
    case.each(recall_at_k, *wanted)


@exercise.holds("without `relevant`, answer i is right for query i")
def pairs(recall_at_k, case):
    same(recall_at_k, case, distinct(case, 9, 9), (1, 3, 5))


@exercise.holds("with `relevant`, any right answer among the first k will do; Q and G may differ")
def any_will_do(recall_at_k, case):
    same(recall_at_k, case, distinct(case, 7, 10), (1, 2, 4, 6), some_right(case, 7, 10))


@exercise.holds("at k = G and above everything is found")
def everything(recall_at_k, case):
    same(recall_at_k, case, distinct(case, 4, 6), (6, 9), some_right(case, 4, 6))


@exercise.holds("a wrong answer that ties with the best right one is ranked before it")
def ties(recall_at_k, case):
    same(recall_at_k, case, case.named(torch.full((5, 5), 0.25), "Q G"), (1, 4))
    similarity = case.named(case.integers(0, 3, Q=7, G=8).float(), "Q G")
    same(recall_at_k, case, similarity, (1, 3, 5), some_right(case, 7, 8))


@exercise.holds("a query without any right answer is never a success")
def no_right_answer(recall_at_k, case):
    similarity, right = distinct(case, 4, 6), some_right(case, 4, 6)
    right[1] = False
    same(recall_at_k, case, similarity, (2, 9), right)


@exercise.holds("similarities as low as minus infinity are ranked like all others")
def lowest(recall_at_k, case):
    similarity, right = distinct(case, 4, 6), some_right(case, 4, 6)
    similarity[0], similarity[1, 2:], similarity[2][right[2]] = -torch.inf, -torch.inf, -1e12
    same(recall_at_k, case, similarity, (1, 4), right)


@exercise.holds("k below 1, nan, and no queries or answers are refused with a ValueError")
def refused(recall_at_k, case):
    for k in (0, -2):
        case.refuses(ValueError, recall_at_k, distinct(case, 4, 4), k)
    for places in (slice(None), 2):
        broken = distinct(case, 4, 4)
        broken[places, 1] = torch.nan
        case.refuses(ValueError, recall_at_k, broken, 1)
    for Q, G in ((0, 5), (3, 0)):
        case.refuses(ValueError, recall_at_k, case.normal(Q=Q, G=G), 1, case.booleans(Q=Q, G=G))


@exercise.holds("unequal numbers, and other shapes and dtypes, are refused with a ValueError")
def no_table(recall_at_k, case):
    similarity, right = distinct(case, 3, 5), some_right(case, 3, 5)
    case.refuses(ValueError, recall_at_k, similarity, 1)
    case.refuses(ValueError, recall_at_k, similarity, 1, right[:, :1])
    case.refuses(ValueError, recall_at_k, similarity, 1, right.long())
    case.refuses(ValueError, recall_at_k, case.integers(0, 9, Q=3, G=5), 1, right)
    sizes = {"Q": 2, "G": 3, "D": 4}
    case.refuses(ValueError, recall_at_k, case.normal(**sizes), 1, case.booleans(**sizes))


exercise.mistakes("""
    ties-forgiven: only strictly better ones count: constant similarities recall everything
    - ahead = ((similarity >= best) & ~relevant).sum(dim=1)
    + ahead = ((similarity > best) & ~relevant).sum(dim=1)
    > a tie counts against the model: count wrong answers not below the best right one

    index-breaks-ties: sorting breaks ties by position: constant similarities recall something
    - hits = (ahead < k) & relevant.any(dim=1)
    + order = similarity.argsort(dim=1, descending=True, stable=True)
    + hits = relevant.gather(1, order[:, :k]).any(dim=1)
    > count the wrong answers that are not below the best right one

    more-than-there-are: topk is asked for more answers than the gallery has, and raises
    - hits = (ahead < k) & relevant.any(dim=1)
    + hits = relevant.gather(1, similarity.topk(k, dim=1).indices).any(dim=1)
    > k may be above G: then everything is found; min(k, G) would do, but mind the ties

    none-is-a-success: a query without any right answer becomes a success at a large k
    - hits = (ahead < k) & relevant.any(dim=1)
    + hits = ahead < k
    > nothing to find is never found: & relevant.any(dim=1)

    share-of-right-answers [convention]: the share of all right answers that are among the first k
    - hits = (ahead < k) & relevant.any(dim=1)
    + row, column = similarity[:, None], similarity[..., None]
    + ahead = torch.where(relevant[:, None], row > column, row >= column).sum(dim=2)
    + hits = ((ahead < k) & relevant).sum(dim=1) / relevant.sum(dim=1).clamp(min=1)
    > in image-text retrieval a query is a success as soon as one right answer is there

    held-above-a-billion: wrong answers count as -1e9 in the search for the best right one
    - best = similarity.masked_fill(~relevant, -torch.inf).amax(dim=1, keepdim=True)
    + best = similarity.masked_fill(~relevant, -1e9).amax(dim=1, keepdim=True)
    > a right answer may be lower: only minus infinity is below every similarity
""")

exercise.slips("""
    ahead < k => ahead < k - 1
    ahead < k => ahead == k - 1
    check_count("k", k, most=MOST) => check_count("k", k, most=MOST); similarity = -similarity
    relevant = torch.eye( => similarity = similarity.T; relevant = torch.eye(
    .mean().item() => .mean().item() * 100
    .mean().item() => .mean()
    if similarity.shape[0] != similarity.shape[1]: => if False: ;;
        torch.eye(len(similarity), => torch.eye(*similarity.shape,
    return hits => similarity.masked_fill_(~relevant, -torch.inf); return hits
    hits.double() => hits[relevant.any(dim=1)].double()
    best = similarity => similarity, relevant = similarity.T, relevant.T; best = similarity
    (~relevant, -torch.inf).amax => (~relevant, torch.inf).amin ;; ahead < k => ahead +
        relevant.sum(dim=1) <= k
    (~relevant, -torch.inf).amax => (~relevant, torch.inf).amin
    similarity.masked_fill(~relevant, -torch.inf).amax(dim=1, keepdim=True) =>
        similarity.gather(1, relevant.int().argmax(dim=1, keepdim=True))
    best = similarity => relevant = torch.eye(*similarity.shape, dtype=torch.bool); best = similarity
""")


@exercise.refusing
def checked(similarity, k, relevant=None):
    if k < 1 or similarity.dim() != 2 or not similarity.numel() or similarity.isnan().any():
        raise ValueError("no ranks")
    if not similarity.is_floating_point():
        raise ValueError("whole numbers")
    if relevant is None and similarity.shape[0] != similarity.shape[1]:
        raise ValueError("no pairs")
    if relevant is not None and (relevant.dtype, relevant.shape) != (torch.bool, similarity.shape):
        raise ValueError("not a bool for each")


@exercise.right("sort, wrong answers first among equals")
def by_ranks(similarity, k, relevant=None):
    relevant = torch.eye(len(similarity)).bool() if relevant is None else relevant
    successes = 0
    for scores, right in zip(similarity, relevant):
        wrong_first = torch.argsort(right.int(), stable=True)
        order = wrong_first[torch.argsort(scores[wrong_first], descending=True, stable=True)]
        successes += bool(right[order[:k]].any())
    return successes / len(similarity)


@exercise.right("one right answer at a time")
def one_at_a_time(similarity, k, relevant=None):
    relevant, hits = torch.eye(len(similarity)).bool() if relevant is None else relevant, []
    for row, right in enumerate(relevant):
        wrong = similarity[row][~right]
        places = [int((~(wrong < score)).sum()) for score in similarity[row][right]]
        hits.append(float(min(places, default=k) < k))
    return sum(hits) / len(hits)
