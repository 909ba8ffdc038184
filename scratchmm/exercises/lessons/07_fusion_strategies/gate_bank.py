"""Wrong and other right answers to gated.Gate."""

import torch
import torch.nn.functional as F
from torch import nn

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("07_fusion_strategies/gate").exercise

LINEAR = "nn.Linear(2 * width, width)"
JOINED = "torch.cat([own, attended], dim=-1)"
MIXTURE = "gate * own + (1 - gate) * attended"


def opened(self, own, attended, answered=None):
    """The right gate."""
    gate = self.decide(torch.cat([own, attended], dim=-1)).sigmoid()
    return gate if answered is None else gate.masked_fill(~answered[..., None], 1.0)


exercise.edit(
    "one-for-all-numbers",
    (LINEAR, "nn.Linear(2 * width, 1)"),
    story="there is one gate a token, not one for each of its numbers",
    advice="decide makes as many numbers as the width: some are believed and others not",
    convention=True,
)
exercise.edit(
    "no-bias",
    (LINEAR, "nn.Linear(2 * width, width, bias=False)"),
    story="the Linear layer has no bias",
    advice="nn.Linear has a bias unless it is told otherwise",
)
exercise.edit(
    "own-only",
    (LINEAR, "nn.Linear(width, width)"),
    (JOINED, "own"),
    story="the gate reads only one's own: it can't see whether the others say anything new",
    advice="decide reads both sides, joined on the last axis",
)
exercise.edit(
    "attended-only",
    (LINEAR, "nn.Linear(width, width)"),
    (JOINED, "attended"),
    story="the gate reads only what was attended to",
    advice="decide reads both sides, joined on the last axis",
)
exercise.edit(
    "sum-of-sides",
    (LINEAR, "nn.Linear(width, width)"),
    (JOINED, "own + attended"),
    story="the gate reads the sum of both sides, in which it can't tell them apart",
    advice="join the sides on the last axis instead of adding them",
)
exercise.edit(
    "own-twice",
    (JOINED, "torch.cat([own, own], dim=-1)"),
    story="one's own is joined with itself: the gate never sees the others",
    advice="join own with attended",
)
exercise.edit(
    "attended-first",
    (JOINED, "torch.cat([attended, own], dim=-1)"),
    story="attended is joined before own",
    advice="own comes first, as the docstring writes it: weights are copied by place",
)
exercise.edit(
    "tanh",
    (".sigmoid()", ".tanh()"),
    story="the gate is a tanh, between -1 and 1",
    advice="a share is between 0 and 1: sigmoid",
)
exercise.edit(
    "no-sigmoid",
    (".sigmoid()", ""),
    story="the gate is what decide says, without a limit",
    advice="a share is between 0 and 1: sigmoid",
)
exercise.edit(
    "softmax",
    (".sigmoid()", ".softmax(dim=-1)"),
    story="the gates of one token are a softmax: they compete, and hardly any opens",
    advice="each number decides by itself: sigmoid",
)
exercise.edit(
    "mean-of-gates",
    ("if answered is not None:",
     "gate = gate.mean(-1, keepdim=True).expand_as(gate)\n        if answered is not None:"),
    story="all numbers of a token get the mean of their gates",
    advice="each number keeps the gate of its own",
)  # fmt: skip
exercise.edit(
    "hard",
    (".sigmoid()", ".sigmoid().round()"),
    story="the gate is rounded to 0 or 1: nothing is mixed, and nothing learned",
    advice="leave the sigmoid as it is",
)
exercise.edit(
    "sides-exchanged",
    (MIXTURE, "gate * attended + (1 - gate) * own"),
    story="the gate is at the wrong side: 1 believes the others and drops one's own",
    advice="1 keeps one's own: gate times own",
    convention=True,
)
exercise.edit(
    "both-opened",
    (MIXTURE, "gate * own + gate * attended"),
    story="both sides are multiplied by the same gate",
    advice="what one side gets, the other loses: 1 - gate",
)
exercise.edit(
    "attended-whole",
    (MIXTURE, "gate * own + attended"),
    story="only one's own is gated, and attended is added whole",
    advice="attended gets what is left: 1 - gate",
)
exercise.edit(
    "added-to-own",
    (MIXTURE, "own + (1 - gate) * attended"),
    story="one's own is kept whole and attended is added through a gate, as Flamingo does",
    advice="here the gate takes from one side what it gives to the other",
    convention=True,
)
exercise.edit(
    "tanh-of-the-sides",
    (MIXTURE, "gate * own.tanh() + (1 - gate) * attended.tanh()"),
    story="both sides go through a tanh first, as in the paper",
    advice="here the sides are mixed as they are (see Differs from the paper)",
    convention=True,
)
exercise.edit(
    "answered-ignored",
    ("if answered is not None:", "if False:"),
    story="`answered` is not used: where nothing was said, nothing is believed in part",
    advice="where answered is False, the gate is 1",
)
exercise.edit(
    "answered-exchanged",
    ("~answered", "answered"),
    story="the gate is 1 where something was answered",
    advice="where answered is False, the gate is 1: mask with ~answered",
)
exercise.edit(
    "closed-where-unanswered",
    ("[..., None], 1.0)", "[..., None], 0.0)"),
    story="where nothing was answered the gate is 0, so one's own is lost as well",
    advice="1 keeps one's own",
)
exercise.edit(
    "half-where-unanswered",
    ("[..., None], 1.0)", "[..., None], 0.5)"),
    story="where nothing was answered the gate is 0.5, so half of one's own is lost",
    advice="1 keeps one's own",
)
exercise.edit(
    "filled-before-the-sigmoid",
    (JOINED + ").sigmoid()", JOINED + ")"),
    (MIXTURE + ", gate", "gate.sigmoid() * own + (1 - gate.sigmoid()) * attended, gate.sigmoid()"),
    story="the 1 is filled in before the sigmoid, which makes 0.73 of it",
    advice="first the sigmoid, then fill the gate with 1",
)
exercise.edit(
    "the-other-gate-returned",
    (MIXTURE + ", gate", MIXTURE + ", 1 - gate"),
    story="the share of the others is returned as the gate",
    advice="the gate that is returned is the share of one's own: 1 keeps it",
)
exercise.edit(
    "only-the-mixture",
    (MIXTURE + ", gate", MIXTURE),
    story="only the mixture is returned",
    advice="return both: the mixture, the gate",
)
exercise.edit(
    "returned-backwards",
    (MIXTURE + ", gate", "gate, " + MIXTURE),
    story="the gate is returned first, and the mixture after it",
    advice="return the mixture, then the gate",
)


@exercise.wrong(
    "gate-unfilled",
    story="where nothing was answered the mixture is one's own, but the gate returned says otherwise",
    advice="fill the gate first; mix with it and return it",
    method="forward",
)
def gate_unfilled(self, own, attended, answered=None):
    gate, raw = opened(self, own, attended, answered), opened(self, own, attended)
    return gate * own + (1 - gate) * attended, raw


@exercise.wrong(
    "attended-emptied",
    story="where nothing was answered, attended is made zeros, but the gate still shrinks one's own",
    advice="not attended but the gate is filled, with 1",
    method="forward",
)
def attended_emptied(self, own, attended, answered=None):
    if answered is not None:
        attended = attended.masked_fill(~answered[..., None], 0.0)
    gate = opened(self, own, attended)
    return gate * own + (1 - gate) * attended, gate


@exercise.wrong(
    "three-axes-only",
    story="the sides are joined on axis 2, whatever axes there are",
    advice="the last axis is dim=-1",
    method="forward",
)
def three_axes_only(self, own, attended, answered=None):
    gate = self.decide(torch.cat([own, attended], dim=2)).sigmoid()
    if answered is not None:
        gate = gate.masked_fill(~answered[..., None], 1.0)
    return gate * own + (1 - gate) * attended, gate


@exercise.wrong(
    "overwrites",
    story="the caller's own features are overwritten by the mixture",
    advice="own *= gate changes the tensor that was passed in; write gate * own",
    method="forward",
)
def overwrites(self, own, attended, answered=None):
    gate = opened(self, own, attended, answered)
    mixed = gate * own + (1 - gate) * attended
    with torch.no_grad():
        own.copy_(mixed)
    return mixed, gate


@exercise.wrong(
    "gate-cut-off",
    story="no gradient passes through the gate, so it never learns to decide",
    advice="no detach, no no_grad, no .data",
    method="forward",
)
def gate_cut_off(self, own, attended, answered=None):
    gate = opened(self, own, attended, answered).detach()
    return gate * own + (1 - gate) * attended, gate


@exercise.disguise("sides-exchanged", method="forward")
def from_own_to_attended(self, own, attended, answered=None):
    gate = opened(self, own, attended, answered)
    return own + gate * (attended - own), gate


@exercise.disguise("own-twice", method="forward")
def halves_added(self, own, attended, answered=None):
    left, right = self.decide.weight.chunk(2, dim=1)
    gate = (own @ (left + right).T + self.decide.bias).sigmoid()
    if answered is not None:
        gate = gate.where(answered.unsqueeze(-1), 1.0)
    return gate * own + (1 - gate) * attended, gate


@exercise.right("from attended towards one's own", method="forward")
def interpolated(self, own, attended, answered=None):
    left, right = self.decide.weight.chunk(2, dim=1)
    gate = torch.sigmoid(own @ left.mT + attended @ right.mT + self.decide.bias)
    if answered is not None:
        gate = torch.where(answered.unsqueeze(-1), gate, torch.ones_like(gate))
    return torch.lerp(attended, own, gate), gate


@exercise.right("a share for each side")
class TwoShares(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.decide = nn.Linear(width * 2, width)

    def forward(self, own, attended, answered=None):
        score = self.decide(torch.concat((own, attended), -1))
        if answered is not None:
            score = score.masked_fill(~answered[..., None], 1e9)
        shares = F.softmax(torch.stack([score, torch.zeros_like(score)]), 0)
        return shares[0] * own + shares[1] * attended, shares[0]
