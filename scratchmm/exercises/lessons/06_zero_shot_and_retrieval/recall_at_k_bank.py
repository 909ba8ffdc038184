"""Wrong and other right answers to recall.recall_at_k."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("06_zero_shot_and_retrieval/recall_at_k").exercise

AHEAD = "((similarity >= best) & ~relevant)"
REFUSAL = 'check_count("k", k, most=MOST)'

exercise.edit(
    "ties-forgiven",
    (AHEAD, "((similarity > best) & ~relevant)"),
    story="only wrong answers that are strictly better count, so a model that finds all alike "
    "recalls everything",
    advice="a tie counts against the model: count wrong answers that are not below the best right one",
)
exercise.edit(
    "nan-accepted",
    ("if similarity.isnan().any():", "if False:"),
    story="similarities that are nan are ranked, though every comparison with nan is False",
    advice="raise a ValueError: a model that says nan has no recall",
)
exercise.edit(
    "one-too-many",
    ("ahead < k", "ahead <= k"),
    story="a right answer of rank k + 1 still counts",
    advice="with `ahead` wrong answers before it, the rank is ahead + 1",
)
exercise.edit(
    "one-too-few",
    ("ahead < k", "ahead < k - 1"),
    story="a right answer of rank k does not count",
    advice="with `ahead` wrong answers before it, the rank is ahead + 1",
)
exercise.edit(
    "exactly-at-k",
    ("ahead < k", "ahead == k - 1"),
    story="only right answers of exactly rank k count",
    advice="among the first k: rank k or better",
)
exercise.edit(
    "least-similar-first",
    (REFUSAL, f"similarity = -similarity\n    {REFUSAL}"),
    story="the least similar stand first, as if these were distances",
    advice="larger is more similar",
)
exercise.edit(
    "worst-right-answer",
    ("~relevant, -torch.inf).amax(", "~relevant, torch.inf).amin("),
    story="all right answers of a query must be there, not only the best one",
    advice="the best right answer decides: the largest similarity among them",
)
exercise.edit(
    "columns-are-queries",
    ("relevant = torch.eye", "similarity = similarity.T\n        relevant = torch.eye"),
    story="the columns are taken as the queries",
    advice="a row a query: rank along dim=1",
)
exercise.edit(
    "per-cent",
    (".mean().item()", ".mean().item() * 100"),
    story="it is given in per cent",
    advice="a share from 0 to 1",
    convention=True,
)
exercise.edit(
    "counted-not-shared",
    (".mean().item()", ".sum().item()"),
    story="the successes are counted, but not divided by the number of queries",
    advice="the mean over the queries",
)
exercise.edit(
    "a-tensor",
    (".mean().item()", ".mean()"),
    story="a tensor is returned and not a number",
    advice=".item()",
)
exercise.edit(
    "relevant-ignored",
    ("if relevant is None:", "if relevant is None or relevant.shape[0] == relevant.shape[1] or True:"),
    ("if similarity.shape[0] != similarity.shape[1]:",
     "if relevant is None and similarity.shape[0] != similarity.shape[1]:"),
    ("torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)",
     "torch.eye(*similarity.shape, dtype=torch.bool)"),
    story="answer i is taken as the right one for query i even where `relevant` says otherwise",
    advice="use the argument where it is given",
)  # fmt: skip
exercise.edit(
    "none-is-a-success",
    (" & relevant.any(dim=1)", ""),
    story="a query without any right answer becomes a success at a large k",
    advice="nothing to find is never found: & relevant.any(dim=1)",
)
exercise.edit(
    "k-zero-accepted",
    (REFUSAL, 'check_count("k", k, least=0, most=MOST)'),
    story="k = 0 is accepted",
    advice="raise a ValueError: k counts from 1",
)
exercise.edit(
    "unequal-accepted",
    ("if similarity.shape[0] != similarity.shape[1]:", "if False:"),
    ("torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)",
     "torch.eye(*similarity.shape, dtype=torch.bool)"),
    story="3 queries and 5 answers are paired up without `relevant`",
    advice="raise a ValueError: nobody said which are right",
)  # fmt: skip


exercise.edit(
    "nothing-accepted",
    ("if not similarity.numel():", "if False:"),
    story="it does not refuse a table without queries or without answers",
    advice="raise a ValueError: a mean over nothing is no number",
)
exercise.edit(
    "held-above-a-billion",
    ("~relevant, -torch.inf)", "~relevant, -1e9)"),
    story="wrong answers are set to -1e9 where the best right one is looked for, and that may be lower",
    advice="only minus infinity is never larger than a similarity",
)


@exercise.wrong(
    "share-of-right-answers",
    story="it is the share of all right answers that stand among the first k",
    advice="in image-text retrieval a query is a success as soon as one right answer is there",
    convention=True,
)
def share_of_right_answers(similarity, k, relevant=None):
    relevant, shares = checked(similarity, k, relevant), []
    for row, right in zip(similarity, relevant):
        ahead = [(~(row < x) & ~right).sum() + (row[right] > x).sum() for x in row[right]]
        shares.append(sum(float(count < k) for count in ahead) / max(len(ahead), 1))
    return sum(shares) / len(shares)


@exercise.wrong(
    "first-right-answer-only",
    story="only the first right answer of each query is looked for",
    advice="any right answer will do: take the most similar of them",
)
def first_right_answer_only(similarity, k, relevant=None):
    relevant, rows = checked(similarity, k, relevant), torch.arange(len(similarity))
    first = similarity[rows, relevant.int().argmax(dim=1)][:, None]
    ahead = (~(similarity < first) & ~relevant).sum(dim=1)
    return ((ahead < k) & relevant.any(dim=1)).double().mean().item()


@exercise.wrong(
    "index-breaks-ties",
    story="topk breaks ties by position, so that a model that finds all alike recalls something",
    advice="count the wrong answers that are not below the best right one",
)
def index_breaks_ties(similarity, k, relevant=None):
    relevant = checked(similarity, k, relevant)
    order = torch.argsort(similarity, dim=1, descending=True, stable=True)[:, :k]
    return relevant.gather(1, order).any(dim=1).double().mean().item()


@exercise.wrong(
    "more-than-there-are",
    story="topk is asked for more answers than the gallery has, and raises",
    advice="k may be larger than G: then everything is found. Count what stands before the best right "
    "answer, or ask for min(k, G); but mind the ties",
)
def more_than_there_are(similarity, k, relevant=None):
    relevant = checked(similarity, k, relevant)
    found = similarity.topk(k, dim=1).indices
    return relevant.gather(1, found).any(dim=1).double().mean().item()


@exercise.wrong(
    "sorts-in-place",
    story="the caller's similarities are changed",
    advice="no assignment to slices of the arguments, no method that ends in an underscore",
)
def sorts_in_place(similarity, k, relevant=None):
    relevant = checked(similarity, k, relevant)
    result = by_ranks(similarity, k, relevant)
    similarity.masked_fill_(~relevant, -torch.inf)
    return result


def checked(similarity, k, relevant):
    """The refusals, and the default of relevant, as asked."""
    if k < 1:
        raise ValueError("k counts from 1")
    if relevant is None and similarity.shape[0] != similarity.shape[1]:
        raise ValueError("no pairs")
    if similarity.isnan().any() or not similarity.numel():
        raise ValueError("no ranks")
    return torch.eye(len(similarity), dtype=torch.bool) if relevant is None else relevant


@exercise.right("sort, wrong answers first among equals")
def by_ranks(similarity, k, relevant=None):
    relevant = checked(similarity, k, relevant)
    successes = 0
    for scores, right in zip(similarity, relevant):
        wrong_first = torch.argsort(right.int(), stable=True)
        order = wrong_first[torch.argsort(scores[wrong_first], descending=True, stable=True)]
        successes += bool(right[order[:k]].any())
    return successes / len(similarity)


@exercise.right("one right answer at a time")
def one_at_a_time(similarity, k, relevant=None):
    relevant, hits = checked(similarity, k, relevant), []
    for row, right in enumerate(relevant):
        wrong = similarity[row][~right]
        places = [int((~(wrong < score)).sum()) for score in similarity[row][right]]
        hits.append(float(min(places, default=k) < k))
    return sum(hits) / len(hits)
