"""Exercise bert.masked_loss: how surprised is the model by the words that were covered?"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bert.masked_loss",
    order=30,
    target="scratchmm.language.bert:masked_loss",
    title="The loss of covered words",
    goal="the mean cross-entropy over the tokens whose target is not -100; 0 where there are none",
    minutes=10,
    difficulty=2,
    section="Masked language modelling",
    needs=("bert.mask_tokens",),
    hints="""
        1. Two tokens, a vocabulary of 8, logits all alike, targets [3, -100]. Only the first token
           is asked for, and its word gets the probability 1/8: the loss is log 8 = 2.08, not half
           of that. With targets [-100, -100] nothing is asked, and the loss is 0.
        2. It is classification: at each token that is asked for, the words of the vocabulary are
           the classes. Every token asked for counts the same, whichever text it stands in. A short
           text may have none at all, and 0 / 0 would spoil every weight of the model.
        3. Refuse targets that do not have the shape (B, T) of the logits (B, T, V). Put all texts
           in a row: logits (B T, V), targets (B T). Sum the cross-entropies, leave -100 out, divide
           by the number of targets that are not -100, but at least by 1.
        4. loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction='sum'); return
           loss / (targets != -100).sum().clamp(min=1), after a ValueError for other shapes
    """,
)


def batch(case: Case, B: int = 3, T: int = 5, V: int = 7) -> tuple[Tensor, Tensor]:
    """Logits, and targets of which each text has another number: 1, 2, 3 ...; one of them is 0."""
    logits, targets = case.normal(B=B, T=T, V=V), case.integers(1, V, B=B, T=T)
    places = torch.arange(T)
    for row in range(B):
        targets[row, case.permutation(T)[places > row]] = -100
    asked = (targets[-1] != -100).nonzero()[:, 0]
    targets[-1, asked[0]] = 0
    return logits, targets


def slow(logits: Tensor, targets: Tensor) -> Tensor:
    """The oracle: one token at a time."""
    losses = []
    for text, words in zip(logits, targets.tolist(), strict=True):
        for scores, word in zip(text, words, strict=True):
            if word != -100:
                losses.append(torch.logsumexp(scores, 0) - scores[word])
    return torch.stack(losses).mean() if losses else 0 * logits.sum()


@exercise.holds("logits that are all alike give log V, however few words are asked for")
def alike(masked_loss, case):
    _, targets = batch(case)
    logits = case.named(torch.full((3, 5, 7), 0.3), "B T V")
    case.equal(case.call(masked_loss, logits, targets), torch.tensor(math.log(7)))


@exercise.holds("the loss is the mean of -log p(word) over the words asked for, one by one")
def by_loops(masked_loss, case):
    logits, targets = batch(case)
    case.equal(case.call(masked_loss, logits, targets), slow(logits, targets))
    case.unchanged()


@exercise.holds("what is not asked for does not count, however wrong the model is there")
def not_asked(masked_loss, case):
    logits, targets = batch(case)
    shouting = case.normal(B=3, T=5, V=7, scale=40.0)
    shouting = torch.where((targets == -100)[..., None], shouting, logits)
    got = case.call(masked_loss, case.named(shouting, "B T V"), targets)
    case.equal(got, slow(logits, targets))


@exercise.holds("where nothing is asked at all, the loss is 0")
def nothing(masked_loss, case):
    logits = case.normal(B=3, T=5, V=7)
    targets = case.named(torch.full((3, 5), -100), "B T")
    case.equal(case.call(masked_loss, logits, targets), torch.tensor(0.0))


@exercise.holds("where nothing is asked, the gradient is 0 and reaches the logits")
def nothing_learned(masked_loss, case):
    targets = case.named(torch.full((2, 3), -100), "B T")
    logits = case.normal(B=2, T=3, V=5)
    case.gradients(lambda x: masked_loss(x, targets), lambda x: 0 * x.sum(), logits)


@exercise.holds("a word that the model rules out, -inf, costs nothing where it is not asked for")
def ruled_out(masked_loss, case):
    logits, targets = batch(case)
    low = logits.clone()
    low[..., 0] = torch.where(targets == -100, -torch.inf, low[..., 0])
    case.equal(case.call(masked_loss, case.named(low, "B T V"), targets), slow(logits, targets))


@exercise.holds("logits of 1000 overflow nowhere")
def huge(masked_loss, case):
    logits, targets = batch(case)
    logits = case.named(1000 * logits, "B T V")
    got = case.call(masked_loss, logits, targets)
    case.finite(got)
    case.equal(got, slow(logits, targets))


@exercise.holds("targets of other texts than the logits are refused with a ValueError")
def refused(masked_loss, case):
    logits = case.normal(B=3, T=5, V=7)
    case.refuses(ValueError, masked_loss, logits, case.integers(0, 7, B=5, T=3))


@exercise.holds("the gradients reach the logits")
def gradients(masked_loss, case):
    logits, targets = batch(case)
    case.gradients(lambda x: masked_loss(x, targets), lambda x: slow(x, targets), logits)


exercise.mistakes("""
    mean-of-texts: every text has its own mean, and those are averaged: words of short texts count
    more
    - loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(),
    -     ignore_index=NOT_ASKED, reduction="sum")
    - return loss / (targets != NOT_ASKED).sum().clamp(min=1)
    + loss = F.cross_entropy(logits.transpose(-1, -2), targets, reduction="none").sum(dim=-1)
    + return (loss / (targets != NOT_ASKED).sum(dim=-1).clamp(min=1)).mean()
    > one mean over all words asked for, whichever text they stand in

    constant-zero: where nothing is asked, the loss is a constant: backward fails in the midst of
    training
    - return loss / (targets != NOT_ASKED).sum().clamp(min=1)
    + asked = (targets != NOT_ASKED).sum()
    + return loss / asked if asked else logits.new_zeros(())
    > 0 with a gradient of 0: divide the sum by at least 1, or return 0 * logits.sum()

    times-the-mask: losses that do not count are multiplied by 0, and an infinite one becomes nan
    - loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(),
    -     ignore_index=NOT_ASKED, reduction="sum")
    + losses = F.cross_entropy(logits.flatten(0, -2), targets.flatten().clamp(min=0), reduction="none")
    + loss = (losses * (targets.flatten() != NOT_ASKED)).sum()
    > ignore_index, torch.where or masked_fill: infinity times 0 is nan

    asked-as-word-0: -100 is taken as the word 0, so every token is asked for
    - loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(),
    -     ignore_index=NOT_ASKED, reduction="sum")
    - return loss / (targets != NOT_ASKED).sum().clamp(min=1)
    + return F.cross_entropy(logits.flatten(0, -2), targets.flatten().clamp(min=0))
    > -100 says that nothing is asked: leave those tokens out

    bits [convention]: the logarithm is of base 2: the loss is in bits
    - return loss / (targets != NOT_ASKED).sum().clamp(min=1)
    + return loss / (targets != NOT_ASKED).sum().clamp(min=1) / 0.6931471805599453
    > cross-entropy here is in nats, of the natural logarithm

    next-word [convention]: each token is asked for the word after it, as in a causal language model
    - loss = F.cross_entropy(
    + logits, targets = logits[:, :-1], targets[:, 1:]
    + loss = F.cross_entropy(
    > the target at a place is the word that stood at that very place

    over-tokens: the softmax is over the tokens of the text, not over the words of the vocabulary
    - loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(),
    -     ignore_index=NOT_ASKED, reduction="sum")
    + logs = logits.log_softmax(1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    + loss = -(logs * (targets != NOT_ASKED)).sum()
    > the last axis holds the words: softmax over dim=-1

    overflow: the exponentials are taken as they are, and large ones overflow
    - loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(),
    -     ignore_index=NOT_ASKED, reduction="sum")
    + p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    + p = p.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    + loss = -p.log().masked_fill(targets == NOT_ASKED, 0.0).sum()
    > use cross_entropy or log_softmax, which subtract the largest score first

""")

exercise.slips("""
    (targets != NOT_ASKED) => (targets.clamp_(min=-1) != -1)
    targets.flatten() => targets.where(targets > 0, NOT_ASKED).flatten() ;;
        targets != NOT_ASKED => targets > 0
    reduction="sum" => reduction="none" ;; return loss => return (1 - (-loss).exp()).sum()
    (targets != NOT_ASKED).sum().clamp(min=1) => targets.numel()
    (targets != NOT_ASKED).sum().clamp(min=1) => len(targets)
    (targets != NOT_ASKED).sum().clamp(min=1) => (targets != NOT_ASKED).sum()
    F.cross_entropy(logits => F.cross_entropy(logits.softmax(-1)
""")


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
