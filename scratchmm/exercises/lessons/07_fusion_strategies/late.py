"""Exercise late.combine_decisions: each modality has decided alone; what do they say together?"""

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="late.combine_decisions",
    order=20,
    target="scratchmm.fusion.late:combine_decisions",
    title="The vote",
    goal="log of the weighted mean of the probabilities of those who are present",
    minutes=20,
    difficulty=3,
    section="Late fusion",
    needs=("early.EarlyFusion",),
    hints=(
        "One modality gives two classes (0.5, 0.5), another (0.9, 0.1). Together they say "
        "(0.7, 0.3), and the logarithms of these are returned. If the first is absent, they say "
        "(0.9, 0.1), for the weights of those who are there sum to 1; (0.45, 0.05) is no vote.",
        "Logits of different networks can't be compared: one may shout in thousands. Probabilities "
        "can. The scores decide whose word counts how much, as shares among those who are present: "
        "the same problem as attention with a mask. Working in logarithms keeps tiny probabilities.",
        "Shares: scores (M,) spread to (B, M), minus infinity where absent, log of the softmax over "
        "M. Votes: log of the softmax of the logits over K, (B, M, K). A product of probability and "
        "share is a sum of logarithms; the sum over M of what they stand for is logsumexp: (B, K).",
        "shares = scores.expand_as(present).masked_fill(~present, -math.inf).log_softmax(-1), with "
        "scores of zeros where None is given; votes = logits.log_softmax(-1) + shares[..., None]; "
        "return votes.logsumexp(dim=1)",
    ),
)


def decisions(case: Case, scale: float = 1.0) -> Tensor:
    """Logits of 4 samples, 3 modalities and 5 classes, each modality at a level of its own."""
    levels = torch.tensor([[0.0], [2.0], [-1.0]])
    return case.named(case.normal(B=4, M=3, K=5, scale=scale) + levels, "B M K")


def everyone(case: Case) -> Tensor:
    """All are present."""
    return case.named(torch.ones(4, 3, dtype=torch.bool), "B M")


def some(case: Case) -> Tensor:
    """All, two, another two, one."""
    present = [[True, True, True], [True, False, True], [True, True, False], [False, True, False]]
    return case.named(torch.tensor(present), "B M")


def slow(logits: Tensor, present: Tensor, scores: Tensor | None = None) -> Tensor:
    """The oracle: one sample at a time, only those who are there, in float64."""
    rows = []
    for sample, there in zip(logits.double(), present, strict=True):
        chosen = torch.zeros(len(there)) if scores is None else scores
        shares = chosen[there].double().softmax(0)
        mean = (sample[there].softmax(1) * shares[:, None]).sum(0)
        rows.append(mean.log())
    return torch.stack(rows).to(logits.dtype)


@exercise.holds("a row a sample, a column a class")
def shape(combine_decisions, case):
    case.shape(case.call(combine_decisions, decisions(case), everyone(case)), "B K")


@exercise.holds("where one modality is alone, its probabilities are the answer: log_softmax")
def alone(combine_decisions, case):
    logits = case.normal(B=4, M=1, K=5)
    present = case.named(torch.ones(4, 1, dtype=torch.bool), "B M")
    got = case.call(combine_decisions, logits, present)
    case.equal(got, logits[:, 0] - logits[:, 0].exp().sum(1, keepdim=True).log())


@exercise.holds("where all are present, it is the log of the mean of their probabilities")
def mean(combine_decisions, case):
    logits, present = decisions(case), everyone(case)
    case.equal(case.call(combine_decisions, logits, present), slow(logits, present))


@exercise.holds("with scores, the weights of the mean are their softmax")
def weighted(combine_decisions, case):
    logits, present, scores = decisions(case), everyone(case), case.normal(M=3)
    case.equal(case.call(combine_decisions, logits, present, scores), slow(logits, present, scores))


@exercise.holds("who is absent has no vote, and the others share its weight")
def absent(combine_decisions, case):
    logits, present = decisions(case), some(case)
    case.equal(case.call(combine_decisions, logits, present), slow(logits, present))


@exercise.holds("with scores too, the weights of those who are present sum to 1")
def absent_weighted(combine_decisions, case):
    logits, present, scores = decisions(case), some(case), case.normal(M=3)
    case.equal(case.call(combine_decisions, logits, present, scores), slow(logits, present, scores))


@exercise.holds("a probability of e^-200 keeps its logarithm, -200")
def tiny(combine_decisions, case):
    logits, present = decisions(case, scale=100.0), some(case)
    case.equal(case.call(combine_decisions, logits, present), slow(logits, present))


@exercise.holds("the inputs are left as they were")
def unchanged(combine_decisions, case):
    case.call(combine_decisions, decisions(case), some(case), case.normal(M=3))
    case.unchanged()


@exercise.holds("the gradients reach the logits and the scores")
def gradients(combine_decisions, case):
    logits, present, scores = decisions(case), some(case), case.normal(M=3)
    case.gradients(combine_decisions, slow, logits, present, scores)


@exercise.holds("a row in which nobody is present is refused with a ValueError")
def refused(combine_decisions, case):
    for row in (0, 2):
        present = some(case).clone()
        present[row] = False
        case.refuses(ValueError, combine_decisions, decisions(case), case.named(present, "B M"))
