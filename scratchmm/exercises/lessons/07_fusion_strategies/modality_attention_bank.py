"""Wrong and other right answers to modality_attention.AttentionFusion."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file
from scratchmm.fusion.modalities import collect
from scratchmm.layers.attention import padding_mask

exercise = exercise_file("07_fusion_strategies/modality_attention").exercise


def row(self, features, present=None):
    """The tokens (B, 1 + M, D), the answer first; who is there, bool (B, M)."""
    vectors, there = collect(features, self.widths, present)
    tokens = [self.tokens[name](x) for name, x in vectors.items()]
    return torch.stack([self.answer.expand(len(there), -1), *tokens], dim=1), there


def ahead(there, value=True):
    """There, with a column before it."""
    return F.pad(there, (1, 0), value=value)


def read(self, token):
    return self.output(self.norm(token))


@exercise.wrong(
    "absent-seen",
    story="there is no mask: an absent modality is seen as what its layer makes of zeros",
    advice="mask=padding_mask(seen): what is absent may be seen by nobody",
    method="forward",
)
def absent_seen(self, features, present=None):
    x, _ = row(self, features, present)
    return read(self, self.transformer(x)[:, 0])


@exercise.wrong(
    "absent-as-zero-token",
    story="an absent modality's token is zero, but it is seen",
    advice="a token of zeros still takes a share of the softmax: it needs a mask",
    method="forward",
)
def absent_as_zero_token(self, features, present=None):
    x, there = row(self, features, present)
    return read(self, self.transformer(x * ahead(there)[..., None])[:, 0])


@exercise.wrong(
    "absent-may-not-look",
    story="absent tokens may not look, but may be seen: the mask hides queries, not keys",
    advice="the last axis of a mask is the keys': (B, 1, 1, 1 + M), as padding_mask makes it",
    method="forward",
)
def absent_may_not_look(self, features, present=None):
    x, there = row(self, features, present)
    return read(self, self.transformer(x, mask=ahead(there)[:, None, :, None])[:, 0])


@exercise.wrong(
    "absent-not-marked",
    story="present is not handed on: only names that are left out are absent",
    advice="collect(features, self.widths, present)",
    method="forward",
)
def absent_not_marked(self, features, present=None):
    x, there = row(self, features)
    return read(self, self.transformer(x, mask=padding_mask(ahead(there)))[:, 0])


@exercise.wrong(
    "mask-inverted",
    story="True and False of the mask are exchanged: only the absent may be seen",
    advice="True means may be seen",
    method="forward",
)
def mask_inverted(self, features, present=None):
    x, there = row(self, features, present)
    return read(self, self.transformer(x, mask=padding_mask(ahead(~there)))[:, 0])


@exercise.wrong(
    "mask-shifted",
    story="the True for the answer token stands behind the modalities, the token before them",
    advice="tokens and mask in the same order: the answer first",
    method="forward",
)
def mask_shifted(self, features, present=None):
    x, there = row(self, features, present)
    mask = padding_mask(F.pad(there, (0, 1), value=True))
    return read(self, self.transformer(x, mask=mask)[:, 0])


@exercise.wrong(
    "answer-hidden",
    story="the answer token may not be seen, not even by itself",
    advice="it is always there: a column of True before there",
    method="forward",
)
def answer_hidden(self, features, present=None):
    x, there = row(self, features, present)
    return read(self, self.transformer(x, mask=padding_mask(ahead(there, False)))[:, 0])


@exercise.wrong(
    "mask-forgets-answer",
    story="the mask has a column for each modality, but none for the answer token",
    advice="1 + M tokens need 1 + M columns: put one of True before there",
    method="forward",
)
def mask_forgets_answer(self, features, present=None):
    x, there = row(self, features, present)
    return read(self, self.transformer(x, mask=padding_mask(there))[:, 0])


@exercise.wrong(
    "one-mask",
    story="the first sample's mask is used for the whole batch",
    advice="each sample has its own row: (B, 1 + M)",
    method="forward",
)
def one_mask(self, features, present=None):
    x, there = row(self, features, present)
    return read(self, self.transformer(x, mask=padding_mask(ahead(there[:1])))[:, 0])


@exercise.wrong(
    "last-read",
    story="the last token is read, though the answer is the first",
    advice="x[:, 0]",
    method="forward",
)
def last_read(self, features, present=None):
    x, there = row(self, features, present)
    return read(self, self.transformer(x, mask=padding_mask(ahead(there)))[:, -1])


@exercise.wrong(
    "first-modality-read",
    story="the first modality's token is read, not the answer's",
    advice="x[:, 0]: the answer stands before the modalities",
    method="forward",
)
def first_modality_read(self, features, present=None):
    x, there = row(self, features, present)
    return read(self, self.transformer(x, mask=padding_mask(ahead(there)))[:, 1])


@exercise.wrong(
    "answer-last",
    story="the answer token stands behind the modalities",
    advice="first: whoever watches the attention finds it there",
    method="forward",
    convention=True,
)
def answer_last(self, features, present=None):
    x, there = row(self, features, present)
    mask = padding_mask(F.pad(there, (0, 1), value=True))
    return read(self, self.transformer(x.roll(-1, dims=1), mask=mask)[:, -1])


@exercise.wrong(
    "mean-read",
    story="the mean of all tokens is read, not the answer token",
    advice="the answer has gathered what matters: x[:, 0]",
    method="forward",
    convention=True,
)
def mean_read(self, features, present=None):
    x, there = row(self, features, present)
    x = self.transformer(x, mask=padding_mask(ahead(there)))
    seen = ahead(there)[..., None]
    return read(self, (x * seen).sum(dim=1) / seen.sum(dim=1))


@exercise.wrong(
    "no-answer-token",
    story="there is no answer token: the modalities' tokens are averaged",
    advice="put self.answer before them and read what has become of it",
    method="forward",
)
def no_answer_token(self, features, present=None):
    x, there = row(self, features, present)
    x = self.transformer(x[:, 1:], mask=padding_mask(there))
    return read(self, (x * there[..., None]).sum(dim=1) / there.sum(dim=1, keepdim=True))


@exercise.wrong(
    "answer-added",
    story="the answer token's numbers are added to every token",
    advice="it is a token of its own: stack it before the others",
    method="forward",
)
def answer_added(self, features, present=None):
    x, there = row(self, features, present)
    x = torch.cat([x[:, :1], x[:, 1:] + self.answer], dim=1)
    return read(self, self.transformer(x, mask=padding_mask(ahead(there)))[:, 0])


@exercise.wrong(
    "no-norm",
    story="the answer goes to the output without its norm",
    advice="the blocks never normalise the stream itself: self.output(self.norm(...))",
    method="forward",
)
def no_norm(self, features, present=None):
    x, there = row(self, features, present)
    return self.output(self.transformer(x, mask=padding_mask(ahead(there)))[:, 0])


@exercise.wrong(
    "norm-before",
    story="the norm comes before the transformer, not after it",
    advice="self.norm is the last before self.output",
    method="forward",
)
def norm_before(self, features, present=None):
    x, there = row(self, features, present)
    x = self.transformer(self.norm(x), mask=padding_mask(ahead(there)))
    return self.output(x[:, 0])


@exercise.wrong(
    "order-of-the-call",
    story="who is there is told in the order of the call, the tokens stand in the order of widths",
    advice="take vectors and there from one call of collect",
    method="forward",
)
def order_of_the_call(self, features, present=None):
    x, there = row(self, features, present)
    places = [list(self.widths).index(name) for name in {**features, **self.widths}]
    mask = padding_mask(ahead(there[:, places]))
    return read(self, self.transformer(x, mask=mask)[:, 0])


@exercise.wrong(
    "samples-mixed",
    story="the tokens of all samples are one row, so samples see each other",
    advice="axis 0 is the samples, axis 1 the tokens: torch.stack(..., dim=1)",
    method="forward",
)
def samples_mixed(self, features, present=None):
    x, there = row(self, features, present)
    mixed = self.transformer(x.flatten(0, 1)[None], mask=padding_mask(ahead(there).flatten()[None]))
    return read(self, mixed[0].view(x.shape)[:, 0])


@exercise.wrong(
    "nobody-checked",
    story="a sample without any modality gets an answer",
    advice="collect refuses it: hand it features, self.widths and present",
    method="forward",
)
def nobody_checked(self, features, present=None):
    return unchecked(self, features, present)


@exercise.wrong(
    "features-replaced",
    story="the tokens are written into the caller's dictionary",
    advice="keep them in a variable of your own: features belongs to the caller",
    method="forward",
)
def features_replaced(self, features, present=None):
    x, there = row(self, features, present)
    for place, name in enumerate(self.widths):
        features[name] = x[:, 1 + place]
    return read(self, self.transformer(x, mask=padding_mask(ahead(there)))[:, 0])


@exercise.wrong(
    "answer-cut-off",
    story="the answer token is used by its data, so it never learns",
    advice="self.answer as it is: no .data and no detach",
    method="forward",
)
def answer_cut_off(self, features, present=None):
    x, there = row(self, features, present)
    x = torch.cat([x[:, :1].detach(), x[:, 1:]], dim=1)
    return read(self, self.transformer(x, mask=padding_mask(ahead(there)))[:, 0])


@exercise.disguise("absent-seen", method="forward")
def absent_seen_too(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    x = torch.cat([self.tokens[name](vectors[name])[:, None] for name in self.widths], dim=1)
    x = torch.cat([self.answer.repeat(len(x), 1, 1), x], dim=1)
    everything = torch.ones(x.shape[:2], dtype=torch.bool)
    return read(self, self.transformer(x, mask=padding_mask(everything))[:, 0])


@exercise.disguise("no-norm", method="forward")
def no_norm_too(self, features, present=None):
    x, there = row(self, features, present)
    x = self.transformer(x, mask=ahead(there)[:, None, None])
    return F.linear(x.select(1, 0), self.output.weight, self.output.bias)


def unchecked(self, features, present):
    """Without collect: only those that are named, and nothing refused."""
    count = len(next(iter(features.values())))
    x = [self.answer.expand(count, -1)]
    there = [torch.ones(count, dtype=torch.bool, device=x[0].device)]
    for name in self.widths:
        if name in features:
            there.append((present or {}).get(name, there[0]))
            clean = features[name].masked_fill(~there[-1][:, None], 0.0)
            x.append(self.tokens[name](clean))
    mask = torch.stack(there, dim=1)[:, None, None, :]
    return read(self, self.transformer(torch.stack(x, dim=1), mask=mask)[:, 0])


@exercise.right("only who is named", method="forward")
def only_who_is_named(self, features, present=None):
    collect(features, self.widths, present)
    return unchecked(self, features, present)


@exercise.right("everyone's mask", method="forward")
def everyones_mask(self, features, present=None):
    x, there = row(self, features, present)
    seen = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    seen[:, 1:] = there
    oneself = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
    mask = seen[:, None, None, :] | oneself  # oneself always
    return self.output(self.norm(self.transformer(x, mask=mask)))[:, 0]
