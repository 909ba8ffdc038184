"""Exercise late.combine_decisions: each modality has decided alone; the decision of all."""

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.fusion.late import check_votes

exercise = Exercise(
    id="late.combine_decisions",
    order=20,
    target="scratchmm.fusion.late:combine_decisions",
    title="The vote",
    goal="log of the weighted mean of the probabilities of the modalities that are present",
    minutes=20,
    difficulty=3,
    section="Late fusion",
    needs=("early.EarlyFusion",),
    hints="""
        1. One modality gives two classes (0.5, 0.5), another (0.9, 0.1): together (0.7, 0.3), whose
           logarithms are returned. If the first is absent it is (0.9, 0.1): the weights of those
           present sum to 1; (0.45, 0.05) is no distribution.
        2. Logits of different networks can't be compared: those of one may be in the thousands.
           Probabilities can. The scores decide how much each modality counts, as shares among those
           present: the same problem as attention with a mask. Logarithms keep tiny probabilities.
        3. check_votes refuses a presence that doesn't fit; an empty row is yours to refuse. Shares:
           scores (M,) spread to (B, M), minus infinity where absent, log of the softmax over M.
           Votes: log of the softmax of the logits over K, (B, M, K). A product of probability and
           share is a sum of logarithms; logsumexp over M makes the log of their sum: (B, K).
        4. shares = scores.expand_as(present).masked_fill(~present, -math.inf).log_softmax(-1), with
           scores of zeros where None is given; votes = logits.log_softmax(-1) + shares[..., None];
           return votes.logsumexp(dim=1)
    """,
)


def decisions(case: Case, scale: float = 1.0) -> Tensor:
    """Logits of 4 samples, 3 modalities and 5 classes, each modality at a level of its own."""
    levels = torch.tensor([[0.0], [2.0], [-1.0]])
    return case.named(case.normal(B=4, M=3, K=5, scale=scale) + levels, "B M K")


def all_present(case: Case) -> Tensor:
    return case.named(torch.ones(4, 3, dtype=torch.bool), "B M")


def some(case: Case) -> Tensor:
    """All, two, another two, one."""
    present = [[True, True, True], [True, False, True], [True, True, False], [False, True, False]]
    return case.named(torch.tensor(present), "B M")


def slow(logits: Tensor, present: Tensor, scores: Tensor | None = None) -> Tensor:
    """The oracle: one sample at a time, only what is present, in float64."""
    rows = []
    for sample, there in zip(logits.double(), present, strict=True):
        chosen = torch.zeros(len(there)) if scores is None else scores
        shares = chosen[there].double().softmax(0)
        rows.append((sample[there].softmax(1) * shares[:, None]).sum(0).log())
    return torch.stack(rows).to(logits.dtype)


@exercise.holds("a row a sample, a column a class")
def shape(combine_decisions, case):
    case.shape(case.call(combine_decisions, decisions(case), all_present(case)), "B K")


@exercise.holds("where all are present, it is the log of the mean of their probabilities")
def mean(combine_decisions, case):
    given = decisions(case), all_present(case)
    case.equal(case.call(combine_decisions, *given), slow(*given))


@exercise.holds("with scores, the weights of the mean are their softmax")
def weighted(combine_decisions, case):
    given = decisions(case), all_present(case), case.normal(M=3)
    case.equal(case.call(combine_decisions, *given), slow(*given))


@exercise.holds(
    "what is absent has no vote; the weights of those present sum to 1, with scores too"
)
def absent(combine_decisions, case):
    logits, present = decisions(case), some(case)
    for given in ((), (case.normal(M=3),)):
        got = case.call(combine_decisions, logits, present, *given)
        case.equal(got, slow(logits, present, *given))


@exercise.holds("a probability of e^-200 keeps its logarithm, -200")
def tiny(combine_decisions, case):
    given = decisions(case, scale=100.0), some(case)
    case.equal(case.call(combine_decisions, *given), slow(*given))


@exercise.holds("the inputs are left as they were")
def unchanged(combine_decisions, case):
    case.call(combine_decisions, decisions(case), some(case), case.normal(M=3))
    case.unchanged()


@exercise.holds("the gradients reach the logits and the scores")
def gradients(combine_decisions, case):
    case.gradients(combine_decisions, slow, decisions(case), some(case), case.normal(M=3))


@exercise.holds("a row of present without a True, or another shape of it, is refused (ValueError)")
def refused(combine_decisions, case):
    for row in (0, 2):
        present = some(case).clone()
        present[row] = False
        case.refuses(ValueError, combine_decisions, decisions(case), case.named(present, "B M"))
    one = case.named(torch.ones(4, 1, dtype=torch.bool), "B 1")
    case.refuses(ValueError, combine_decisions, decisions(case), one)


exercise.mistakes("""
    mean-of-logits: the mean of the logits is taken, and softmax after it
    - votes = logits.log_softmax(dim=-1) + weights[..., None]
    - return votes.logsumexp(dim=1)
    + votes = logits * weights.exp()[..., None]
    + return votes.sum(dim=1).log_softmax(dim=-1)
    > softmax first, each modality by itself: none may win by large logits

    mean-of-logarithms: the logarithms of the probabilities are averaged: one at 0 decides for all
    - votes = logits.log_softmax(dim=-1) + weights[..., None]
    - return votes.logsumexp(dim=1)
    + votes = logits.log_softmax(dim=-1) * weights.exp()[..., None]
    + return votes.sum(dim=1)
    > average the probabilities, and take the logarithm of that

    weight-lost: the weights are a softmax over all, and those of absent modalities are lost
    - .masked_fill(~present, -math.inf).log_softmax(-1)
    + .log_softmax(-1).masked_fill(~present, -math.inf)
    > mask before the softmax, or divide by the sum of the weights that are left

    absent-logits-zero: an absent modality's logits are 0, so it gives all classes the same
    - .masked_fill(~present, -math.inf).log_softmax(-1)
    + .log_softmax(-1)
    - logits.log_softmax(dim=-1)
    + logits.masked_fill(~present[..., None], 0.0).log_softmax(dim=-1)
    > its weight must be 0, not its logits

    scores-as-weights: the scores themselves are the weights, and may be negative
    - weights = scores.expand_as(present).masked_fill(~present, -math.inf).log_softmax(-1)
    + shares = (scores if scores.any() else torch.ones_like(scores)) * present
    + weights = (shares / shares.sum(1, keepdim=True)).log()
    > the weights are the softmax of the scores over those present

    by-majority [convention]: each modality's likeliest class gets its whole vote
    - votes = logits.log_softmax(dim=-1) + weights[..., None]
    - return votes.logsumexp(dim=1)
    + votes = torch.eye(logits.shape[-1])[logits.argmax(-1)] * weights.exp()[..., None]
    + return votes.sum(dim=1).log()
    > average the probabilities: how sure each one is counts

    product-of-experts [convention]: the probabilities are multiplied, and made to sum to 1
    - votes = logits.log_softmax(dim=-1) + weights[..., None]
    - return votes.logsumexp(dim=1)
    + weights = weights.exp() if scores.any() else present.float()
    + votes = logits.log_softmax(dim=-1) * weights[..., None]
    + return votes.sum(dim=1).log_softmax(dim=-1)
    > a mean and not a product: one that is wrong must not veto the others

    underflow: the probabilities themselves are averaged: the smallest become 0, and log 0 is -inf
    - votes = logits.log_softmax(dim=-1) + weights[..., None]
    - return votes.logsumexp(dim=1)
    + votes = logits.softmax(dim=-1) * weights.exp()[..., None]
    + return votes.sum(dim=1).log()
    > stay in logarithms: log_softmax, add the log of the weight, logsumexp
""")

exercise.slips("""
    -math.inf => 0.0
    return votes.logsumexp(dim=1) => return votes.logsumexp(dim=1).exp()
    votes.logsumexp(dim=1) =>
        votes.logsumexp(dim=1) - present.sum(dim=1, keepdim=True).log() * bool(scores.any())
    scores = logits.new_zeros(logits.shape[1]) =>
        return (logits.log_softmax(-1) + present.log()[..., None]).logsumexp(1)
    scores = logits.new_zeros(logits.shape[1]) =>
        return (logits.log_softmax(-1) + (present / present.shape[1]).log()[..., None]
            ).logsumexp(1)
    scores.expand_as(present).masked_fill(~present, -math.inf).log_softmax(-1) =>
        (scores.sigmoid() * present / (scores.sigmoid() * present).sum(1, keepdim=True)).log()
    logits.log_softmax(dim=-1) + weights[..., None] => logits * weights.exp()[..., None] ;;
        votes.logsumexp(dim=1) => votes.sum(dim=1)
    logits.log_softmax(dim=-1) + weights[..., None] =>
        (logits * weights.exp()[..., None]).log_softmax(dim=-1) ;;
        votes.logsumexp(dim=1) => votes.logsumexp(dim=1) - math.log(logits.shape[1])
    logits.log_softmax(dim=-1) + weights[..., None] => logits.softmax(-1) * weights.exp()[..., None] ;;
        votes.logsumexp(dim=1) => (votes.sum(dim=1) + 1e-9).log()
    votes = logits.log_softmax(dim=-1) + weights[..., None] => votes = logits.log_softmax(
        dim=-1) + (weights.exp() + weights * 0).nan_to_num(-math.inf)[..., None]
    logits.log_softmax(dim=-1) + weights[..., None] =>
        logits.log_softmax(-1).masked_fill(~present[..., None], -math.inf) ;;
        votes.logsumexp(dim=1) => votes.amax(dim=1).log_softmax(dim=-1)
    return votes.logsumexp(dim=1) => result = votes.logsumexp(dim=1);
        logits.data.masked_fill_(~present[..., None], -math.inf); return result
""")


@exercise.refusing
def refuse(logits, present, scores=None):
    check_votes(logits, present)
    if not present.any(dim=1).all():
        raise ValueError("a row without any modality")


@exercise.right("sample by sample")
def by_loops(logits, present, scores=None):
    rows = []
    for sample, there in zip(logits, present, strict=True):
        shares = logits.new_zeros(int(there.sum())) if scores is None else scores[there]
        rows.append(torch.logsumexp(sample[there].log_softmax(-1).T + shares.log_softmax(0), -1))
    return torch.stack(rows)


@exercise.right("votes masked, then made to sum to 1")
def divided_last(logits, present, scores=None):
    scores = logits.new_zeros(logits.shape[1]) if scores is None else scores
    votes = logits.log_softmax(-1) + scores[:, None]
    votes = votes.masked_fill(~present.unsqueeze(-1), -torch.inf).logsumexp(1)
    return votes - votes.logsumexp(-1, keepdim=True)
