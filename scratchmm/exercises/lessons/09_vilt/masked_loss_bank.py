"""Wrong and other right answers to bert.masked_loss."""

import math

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("09_vilt/masked_loss").exercise


def each(logits, targets):
    """The loss of every token, 0 where nothing is asked; after the refusal asked for."""
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"{tuple(logits.shape)} and {tuple(targets.shape)}")
    return F.cross_entropy(logits.transpose(-1, -2), targets, reduction="none")


def asked(targets):
    """How many tokens are asked for, at least 1."""
    return (targets != -100).sum().clamp(min=1)


@exercise.wrong(
    "mean-over-all",
    story="the losses are divided by the number of all tokens, also those not asked for",
    advice="divide by the number of targets that are not -100",
)
def mean_over_all(logits, targets):
    return each(logits, targets).mean()


@exercise.wrong(
    "sum",
    story="the losses are added up, but not divided",
    advice="divide by the number of words asked for, so that log V is the worst of an even guess",
)
def added(logits, targets):
    return each(logits, targets).sum()


@exercise.wrong(
    "mean-of-texts",
    story="every text has its own mean, and those are averaged: words of short texts count more",
    advice="one mean over all words asked for, whichever text they stand in",
)
def mean_of_texts(logits, targets):
    counts = (targets != -100).sum(1).clamp(min=1)
    return (each(logits, targets).sum(1) / counts).mean()


@exercise.wrong(
    "divided-by-texts",
    story="the losses are divided by the number of texts",
    advice="divide by the number of words asked for",
)
def divided_by_texts(logits, targets):
    return each(logits, targets).sum() / len(targets)


@exercise.wrong(
    "nothing-is-nan",
    story="where nothing is asked, the loss is 0 / 0",
    advice="a batch of short texts may ask for nothing: divide by at least 1",
)
def nothing_is_nan(logits, targets):
    return each(logits, targets).sum() / (targets != -100).sum()


@exercise.wrong(
    "constant-zero",
    story="where nothing is asked, the loss is a constant: backward fails in the midst of training",
    advice="0 with a gradient of 0: divide the sum by at least 1, or return 0 * logits.sum()",
)
def constant_zero(logits, targets):
    losses = each(logits, targets)
    return losses.sum() / asked(targets) if (targets != -100).any() else logits.new_zeros(())


@exercise.wrong(
    "times-the-mask",
    story="losses that do not count are multiplied by 0, and an infinite one becomes nan",
    advice="ignore_index, torch.where or masked_fill: infinity times 0 is nan",
)
def times_the_mask(logits, targets):
    each(logits, targets)
    losses = F.cross_entropy(
        logits.flatten(0, -2), targets.flatten().clamp(min=0), reduction="none"
    )
    return (losses * (targets.flatten() != -100)).sum() / asked(targets)


@exercise.wrong(
    "asked-as-word-0",
    story="-100 is taken as the word 0, so every token is asked for",
    advice="-100 says that nothing is asked: leave those tokens out",
)
def as_word_zero(logits, targets):
    return each(logits, targets.clamp(min=0)).mean()


@exercise.wrong(
    "word-0-left-out",
    story="targets of 0 are left out too",
    advice="0 is a word like others: compare with -100",
)
def word_zero_left_out(logits, targets):
    return each(logits, targets.where(targets > 0, -100)).sum() / asked(
        targets.where(targets > 0, -100)
    )


@exercise.wrong(
    "bits",
    story="the logarithm is of base 2: the loss is in bits",
    advice="cross-entropy here is in nats, of the natural logarithm",
    convention=True,
)
def bits(logits, targets):
    return each(logits, targets).sum() / asked(targets) / math.log(2)


@exercise.wrong(
    "next-word",
    story="each token is asked for the word after it, as a model that writes text is",
    advice="the target at a place is the word that stood at that very place",
    convention=True,
)
def next_word(logits, targets):
    each(logits, targets)
    return each(logits[:, :-1], targets[:, 1:]).sum() / asked(targets[:, 1:])


@exercise.wrong(
    "over-tokens",
    story="the softmax is over the tokens of the text, not over the words of the vocabulary",
    advice="the last axis holds the words: softmax over dim=-1",
)
def over_tokens(logits, targets):
    each(logits, targets)
    logs = logits.log_softmax(1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return -(logs * (targets != -100)).sum() / asked(targets)


@exercise.wrong(
    "one-minus-p",
    story="the loss is 1 - p(word), without the logarithm",
    advice="take -log p(word)",
)
def one_minus(logits, targets):
    missed = 1 - (-each(logits, targets)).exp()
    return missed.sum() / asked(targets)


@exercise.wrong(
    "overflow",
    story="the exponentials are taken as they are, and large ones overflow",
    advice="use cross_entropy or log_softmax, which subtract the largest score first",
)
def overflow(logits, targets):
    each(logits, targets)
    p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    p = p.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return -torch.where(targets == -100, 0.0, p.log()).sum() / asked(targets)


@exercise.wrong(
    "not-refused",
    story="texts of another shape are taken as they come",
    advice="raise ValueError where the targets' shape is not the logits' without the last axis",
)
def not_refused(logits, targets):
    rows = logits.flatten(0, -2)
    return F.cross_entropy(rows, targets.flatten(), reduction="sum") / asked(targets)


@exercise.wrong(
    "no-gradient",
    story="the loss is made a plain number, so nothing can be learned from it",
    advice="no item() and no detach()",
)
def no_gradient(logits, targets):
    return (each(logits, targets).sum() / asked(targets)).detach()


@exercise.wrong(
    "in-place",
    story="the caller's targets are changed",
    advice="work on a copy: targets.where(...) instead of targets[...] = ...",
)
def in_place(logits, targets):
    losses = each(logits, targets).sum() / asked(targets)
    targets[targets == -100] = 0
    return losses


@exercise.disguise("mean-over-all")
def mean_over_all_too(logits, targets):
    return each(logits, targets).sum() / targets.numel()


@exercise.disguise("nothing-is-nan")
def nothing_is_nan_too(logits, targets):
    if logits.shape[:-1] != targets.shape:
        raise ValueError("other shapes")
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


@exercise.disguise("mean-of-texts")
def mean_of_texts_too(logits, targets):
    losses = each(logits, targets)
    means = [a.sum() / asked(b) for a, b in zip(losses, targets, strict=True)]
    return torch.stack(means).mean()


@exercise.right("picked out")
def picked_out(logits, targets):
    if logits.shape[:-1] != targets.shape:
        raise ValueError("other shapes")
    chosen = targets != -100
    if not chosen.any():
        return 0 * logits.sum()
    return F.cross_entropy(logits[chosen], targets[chosen])


@exercise.right("by log_softmax")
def by_log_softmax(logits, targets):
    if logits.shape[:-1] != targets.shape:
        raise ValueError("other shapes")
    chosen = targets != -100
    logs = logits.log_softmax(-1).gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return -logs.where(chosen, 0.0).sum() / max(1.0, float(chosen.sum()))
