"""Wrong and other right answers to late.combine_decisions."""

import math

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("07_fusion_strategies/late").exercise

ABSENT = ".masked_fill(~present, -math.inf)"
VOTES = "logits.log_softmax(dim=-1) + weights[..., None]"
RESULT = "votes.logsumexp(dim=1)"


def log_shares(present, scores=None):
    """The logarithms of the weights (B, M)."""
    scores = present.new_zeros(present.shape[1], dtype=torch.float) if scores is None else scores
    return scores.expand_as(present).masked_fill(~present, -math.inf).log_softmax(-1)


def voted(logits, shares):
    """The log of the mean of the probabilities, with these weights (B, M)."""
    return (logits.log_softmax(-1) + shares.log()[..., None]).logsumexp(1)


exercise.edit(
    "mean-of-logits",
    (VOTES, "logits * weights.exp()[..., None]"),
    (RESULT, "votes.sum(dim=1).log_softmax(dim=-1)"),
    story="the mean of the logits is taken, and softmax after it",
    advice="softmax first, each modality by itself: nobody may win by large logits",
)
exercise.edit(
    "raw-mean-of-logits",
    (VOTES, "logits * weights.exp()[..., None]"),
    (RESULT, "votes.sum(dim=1)"),
    story="the mean of the logits is returned, no probabilities at all",
    advice="softmax over the classes, each modality by itself, and then the mean",
)
exercise.edit(
    "no-softmax",
    (VOTES, "logits + weights[..., None]"),
    story="the logits are taken for logarithms of probabilities as they are",
    advice="log_softmax over the classes first: a network's logits may be at any level",
)
exercise.edit(
    "weighted-logits",
    (VOTES, "(logits * weights.exp()[..., None]).log_softmax(dim=-1)"),
    (RESULT, "votes.logsumexp(dim=1) - math.log(logits.shape[1])"),
    story="the logits are multiplied by the weights before their softmax: who weighs little is unsure",
    advice="softmax first; the weights belong to the probabilities",
)
exercise.edit(
    "weights-added",
    (VOTES, "logits.log_softmax(dim=-1) + weights.exp()[..., None]"),
    (RESULT, "votes.masked_fill(~present[..., None], -math.inf).logsumexp(dim=1)"),
    story="the weights themselves are added to the logarithms",
    advice="a product of numbers is a sum of their logarithms: add the log of the weight",
)
exercise.edit(
    "mean-of-logarithms",
    (VOTES, "logits.log_softmax(dim=-1) * weights.exp()[..., None]"),
    (RESULT, "votes.sum(dim=1)"),
    story="the logarithms of the probabilities are averaged: one who says 0 decides for all",
    advice="average the probabilities, and take the logarithm of that",
)
exercise.edit(
    "probabilities",
    (RESULT, "votes.logsumexp(dim=1).exp()"),
    story="the probabilities are returned, not their logarithms",
    advice="cross_entropy takes logarithms: return the log of the mean",
)
exercise.edit(
    "absent-has-a-vote",
    (ABSENT, ""),
    story="`present` is not used: absent modalities vote like the others",
    advice="a modality that is absent gets the weight 0: minus infinity before the softmax",
)
exercise.edit(
    "weight-lost",
    (ABSENT + ".log_softmax(-1)", ".log_softmax(-1)" + ABSENT),
    story="all share the weights, and what absent modalities had is lost: the rest is less than 1",
    advice="mask before the softmax, or divide by the sum of the weights that are left",
)


exercise.edit(
    "nobody-accepted",
    ("not decided.all()", "False"),
    story="it does not refuse a row in which nobody is present",
    advice="raise a ValueError unless each row of present has a True",
)


@exercise.refusing
def refuse(logits, present, scores=None):
    if not present.any(dim=1).all():
        raise ValueError("nobody is present")


@exercise.wrong(
    "divided-by-all",
    story="without scores the sum over those present is divided by the number of all modalities",
    advice="divide by how many are present in that sample",
)
def divided_by_all(logits, present, scores=None):
    if scores is None:
        return voted(logits, present.to(logits) / present.shape[1])
    return voted(logits, log_shares(present, scores).exp())


@exercise.wrong(
    "divided-twice",
    story="weights that sum to 1 are divided once more by how many are present",
    advice="divide by the sum of the weights of those present, not by their number",
)
def divided_twice(logits, present, scores=None):
    weights = present.to(logits) if scores is None else log_shares(present, scores).exp()
    return voted(logits, weights / present.sum(1, keepdim=True))


exercise.edit(
    "absent-scores-zero",
    ("-math.inf", "0.0"),
    story="an absent modality's score is set to 0 before the softmax, but exp(0) is still a weight",
    advice="minus infinity is the score whose weight is 0",
)
exercise.edit(
    "absent-logits-zero",
    (ABSENT, ""),
    ("logits.log_softmax", "logits.masked_fill(~present[..., None], 0.0).log_softmax"),
    story="an absent modality's logits are set to 0, so it votes for all classes alike",
    advice="its weight must be 0, not its logits",
)
exercise.edit(
    "present-exchanged",
    ("~present", "present"),
    story="those who are absent vote, and those who are present don't",
    advice="present is True where a modality is there: mask with ~present",
)


@exercise.wrong(
    "added-up",
    story="the probabilities are added up and not divided: they sum to more than 1",
    advice="a mean: the weights of those present sum to 1",
)
def added_up(logits, present, scores=None):
    weights = present.to(logits) if scores is None else log_shares(present, scores).exp()
    return voted(logits, weights)


exercise.edit(
    "scores-ignored",
    ("if scores is None:", "if True:"),
    story="the scores are not used: all weigh the same",
    advice="the weights are the softmax of the scores over those present",
)


@exercise.wrong(
    "scores-as-weights",
    story="the scores themselves are the weights, and may be negative",
    advice="the weights are the softmax of the scores over those present",
)
def scores_as_weights(logits, present, scores=None):
    if scores is None:
        return voted(logits, log_shares(present).exp())
    weights = scores * present
    return voted(logits, weights / weights.sum(1, keepdim=True))


@exercise.wrong(
    "sigmoid-weights",
    story="the weights are the sigmoid of the scores, divided by their sum",
    advice="softmax: exp of the scores, divided by their sum",
)
def sigmoid_weights(logits, present, scores=None):
    weights = torch.zeros(present.shape[1]) if scores is None else scores
    weights = weights.sigmoid() * present
    return voted(logits, weights / weights.sum(1, keepdim=True))


exercise.edit(
    "softmax-over-modalities",
    ("log_softmax(dim=-1)", "log_softmax(dim=1)"),
    story="the logits' softmax runs over the modalities: they compete for each class",
    advice="each modality's probabilities sum to 1 over the classes, the last axis",
)
exercise.edit(
    "weights-over-the-batch",
    (".log_softmax(-1)", ".log_softmax(0)"),
    story="the weights' softmax runs over the samples, not over the modalities",
    advice="the weights of one sample sum to 1: dim=-1 of (B, M)",
)
exercise.edit(
    "the-surest",
    (VOTES, "logits.log_softmax(dim=-1).masked_fill(~present[..., None], -math.inf)"),
    (RESULT, "votes.amax(dim=1).log_softmax(dim=-1)"),
    story="the largest probability that any modality gives is taken",
    advice="everyone present has a share in the mean",
)
exercise.edit(
    "by-majority",
    (VOTES, "torch.eye(logits.shape[-1])[logits.argmax(-1)] * weights.exp()[..., None]"),
    (RESULT, "votes.sum(dim=1).log()"),
    story="each modality's likeliest class gets its whole vote",
    advice="average the probabilities: how sure each one is counts",
    convention=True,
)


@exercise.wrong(
    "product-of-experts",
    story="the probabilities are multiplied, and made to sum to 1",
    advice="a mean and not a product: one who is wrong must not veto the others",
    convention=True,
)
def product_of_experts(logits, present, scores=None):
    logs = logits.log_softmax(-1).masked_fill(~present[..., None], 0.0)
    if scores is not None:
        logs = logs * log_shares(present, scores).exp()[..., None]
    return logs.sum(1).log_softmax(-1)


exercise.edit(
    "underflow",
    (VOTES, "logits.softmax(dim=-1) * weights.exp()[..., None]"),
    (RESULT, "votes.sum(dim=1).log()"),
    story="the probabilities are averaged as they are: the smallest are rounded to 0, and log 0 is -inf",
    advice="stay in logarithms: log_softmax, add the log of the weight, logsumexp",
)
exercise.edit(
    "a-small-number-added",
    (VOTES, "logits.softmax(dim=-1) * weights.exp()[..., None]"),
    (RESULT, "(votes.sum(dim=1) + 1e-9).log()"),
    story="a small number is added before the logarithm, so no probability is below it",
    advice="stay in logarithms: log_softmax, add the log of the weight, logsumexp",
)
exercise.edit(
    "summed-over-classes",
    ("logsumexp(dim=1)", "logsumexp(dim=-1)"),
    story="the sum runs over the classes: what is left is a number for each modality",
    advice="the modalities are combined, so their axis goes: dim=1 of (B, M, K)",
)


@exercise.wrong(
    "overwrites",
    story="the caller's logits of absent modalities are overwritten",
    advice="masked_fill makes a new tensor, masked_fill_ and logits[...] = change the caller's",
)
def overwrites(logits, present, scores=None):
    result = voted(logits, log_shares(present, scores).exp())
    with torch.no_grad():
        logits.masked_fill_(~present[..., None], -math.inf)
    return result


exercise.edit(
    "scores-cut-off",
    ("scores.expand_as", "scores.detach().expand_as"),
    story="the scores get no gradient, so whom to trust is never learned",
    advice="no detach, item or tolist on the scores",
)


@exercise.disguise("weight-lost")
def weight_lost_too(logits, present, scores=None):
    weights = torch.full(present.shape[1:], 1 / present.shape[1])
    weights = (weights if scores is None else scores.softmax(0)) * present
    return (logits.softmax(-1) * weights[..., None]).sum(1).log()


@exercise.disguise("mean-of-logits")
def mean_of_logits_too(logits, present, scores=None):
    rows = []
    for sample, there in zip(logits, present, strict=True):
        shares = torch.ones(len(there)) if scores is None else scores.exp()
        shares = shares[there] / shares[there].sum()
        rows.append((sample[there] * shares[:, None]).sum(0).log_softmax(0))
    return torch.stack(rows)


@exercise.disguise("absent-has-a-vote")
def everyone_votes(logits, present, scores=None):
    if scores is None:
        return logits.log_softmax(-1).logsumexp(1) - math.log(logits.shape[1])
    return (logits.log_softmax(-1) + scores.log_softmax(0)[:, None]).logsumexp(1)


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
    votes = votes.masked_fill(~present.unsqueeze(-1), -math.inf).logsumexp(1)
    return votes - votes.logsumexp(-1, keepdim=True)


@exercise.right("minus a large number")
def large_number(logits, present, scores=None):
    scores = logits.new_zeros(present.shape[1]) if scores is None else scores
    shares = torch.where(present, scores, torch.finfo(logits.dtype).min).log_softmax(-1)
    return torch.logsumexp(logits.log_softmax(2) + shares.unsqueeze(2), 1)
