"""Exercise gated.Gate: a learned share of one's own and of what was attended to."""

import functools
import itertools

import torch
from torch import nn

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="gated.Gate",
    order=30,
    target="scratchmm.fusion.gated:Gate",
    title="A gate between two sources",
    goal="mix one's own with what was attended to, number by number",
    minutes=15,
    difficulty=2,
    section="Gated fusion",
    needs=("early.EarlyFusion",),
    methods={
        "__init__": "a Linear layer decide, from both sides joined to the width",
        "forward": "the mixture and the gate; 1 keeps one's own, as where nothing was answered",
    },
    hints="""
        1. One's own is (2, 2), attended is (10, 10), the gate (0.75, 0). The mixture is (4, 10):
           0.75 of 2 and a quarter of 10 is 4. Without an answer the gate is (1, 1): (2, 2).
        2. The gate depends on both sides, and each number has a gate of its own: a share between 0
           and 1; what it takes from one side it gives to the other.
        3. Join own and attended, in this order, on the last axis: (..., 2 D). decide makes (..., D)
           of it, sigmoid makes shares. With `answered` (...), give it a last axis of 1 and fill the
           gate with 1 where it is False; do so before you mix, and return that gate.
        4. gate = torch.sigmoid(self.decide(torch.cat([own, attended], -1))); if answered is given:
           gate = gate.masked_fill(~answered[..., None], 1.0); return gate * own + (1 - gate) *
           attended, gate
    """,
)


def sides(case):
    """One's own and what was attended to."""
    return case.normal(B=2, M=3, D=4), case.normal(B=2, M=3, D=4)


def answers(case):
    """Where there was something to attend to: some, never all."""
    return case.named(torch.tensor([[True, False, True], [False, True, True]]), "B M")


def slow(gate, own, attended, answered=None):
    """The oracle: one number at a time."""
    mixed, opened = torch.zeros_like(own), torch.zeros_like(own)
    for *place, d in itertools.product(*map(range, own.shape)):
        mine, theirs = own[tuple(place)], attended[tuple(place)]
        score = gate.decide.bias[d] + gate.decide.weight[d] @ torch.cat([mine, theirs])
        share = 1 / (1 + torch.exp(-score))
        if answered is not None and not answered[tuple(place)]:
            share = torch.ones_like(share)
        opened[(*place, d)] = share
        mixed[(*place, d)] = share * mine[d] + (1 - share) * theirs[d]
    return mixed, opened


def agree(case, gate, own, attended, answered=None):
    got, expected = case.call(gate, own, attended, answered), slow(gate, own, attended, answered)
    for one, other, what in zip(got, expected, ("the mixture", "the gate"), strict=True):
        case.equal(one, other, what)


@exercise.holds("it has one Linear layer with a bias, decide, from 2 D to D")
def parameters(gate_class, case):
    gate = case.build(gate_class, 4)
    case.call(gate, *sides(case))  # for the diagnosis: it tells what a smaller layer reads
    shapes = {name: tuple(parameter.shape) for name, parameter in gate.named_parameters()}
    case.equal(shapes, {"decide.weight": (4, 8), "decide.bias": (4,)}, "parameters")


@exercise.holds("two results of the width of one's own: the mixture and the gate")
def shape(gate_class, case):
    got = case.call(case.build(gate_class, 4), *sides(case))
    case.true(isinstance(got, tuple) and len(got) == 2, "two tensors", type(got).__name__)
    for one in got:
        case.shape(one, "B M D")


@exercise.holds("the gate is sigmoid(Linear(own, attended)), and mixes the two")
def numbers(gate_class, case):
    agree(case, case.build(gate_class, 4), *sides(case))


@exercise.holds("where nothing was answered the gate is 1, and one's own is kept")
def unanswered(gate_class, case):
    agree(case, case.build(gate_class, 4), *sides(case), answers(case))


@exercise.holds("one vector alone, or with other axes before it, is mixed the same way")
def any_axes(gate_class, case):
    gate = case.build(gate_class, 4)
    agree(case, gate, case.normal(D=4), case.normal(D=4))
    own, attended = case.normal(B=2, M=3, L=2, D=4), case.normal(B=2, M=3, L=2, D=4)
    agree(case, gate, own, attended, case.booleans(B=2, M=3, L=2))


@exercise.holds("the inputs are left as they were")
def unchanged(gate_class, case):
    case.call(case.build(gate_class, 4), *sides(case), answers(case))
    case.unchanged()


@exercise.holds("the gradients reach both sides and the Linear layer")
def gradients(gate_class, case):
    gate = case.build(gate_class, 4).double()

    def stacked(function):
        return lambda *given: torch.stack(function(*given))

    oracle, given = functools.partial(slow, gate), (*sides(case), answers(case))
    case.gradients(stacked(gate), stacked(oracle), *given, parameters=gate)


exercise.mistakes("""
    one-for-all-numbers [convention]: there is one gate a token, not one for each of its numbers
    - nn.Linear(2 * width, width)
    + nn.Linear(2 * width, 1)
    > decide makes as many numbers as the width: some are kept and others not

    sum-of-sides: the gate is computed from the sum of both sides, in which they can't be told apart
    - nn.Linear(2 * width, width)
    + nn.Linear(width, width)
    - torch.cat([own, attended], dim=-1)
    + own + attended
    > join the sides on the last axis instead of adding them

    sides-exchanged [convention]: the gate is at the wrong side: 1 keeps attended
    - gate * own + (1 - gate) * attended
    + gate * attended + (1 - gate) * own
    > 1 keeps one's own: gate times own

    added-to-own [convention]: one's own is kept whole, attended is added through a gate (Flamingo)
    - gate * own + (1 - gate) * attended
    + own + (1 - gate) * attended
    > here the gate takes from one side what it gives to the other

    tanh-of-the-sides [convention]: both sides go through a tanh first, as in the paper
    - gate * own + (1 - gate) * attended
    + gate * own.tanh() + (1 - gate) * attended.tanh()
    > here the sides are mixed as they are (see Differs from the paper)

    filled-before-the-sigmoid: the 1 is filled in before the sigmoid, which makes 0.73 of it
    - .sigmoid()
    +
    - return gate * own + (1 - gate) * attended, gate
    + gate = gate.sigmoid()
    + return gate * own + (1 - gate) * attended, gate
    > first the sigmoid, then fill the gate with 1

    attended-emptied: unanswered, attended is made zeros, but the gate still shrinks one's own
    - gate = self.decide(torch.cat([own, attended], dim=-1)).sigmoid()
    - if answered is not None:
    -     gate = gate.masked_fill(~answered[..., None], 1.0)
    + if answered is not None:
    +     attended = attended.masked_fill(~answered[..., None], 0.0)
    + gate = self.decide(torch.cat([own, attended], dim=-1)).sigmoid()
    > not attended but the gate is filled, with 1
""")

exercise.slips("""
    nn.Linear(2 * width, width) => nn.Linear(2 * width, width, bias=False)
    2 * width => width ;; torch.cat([own, attended], dim=-1) => attended
    2 * width => width ;; torch.cat([own, attended], dim=-1) => own
    [own, attended] => [own, own]
    dim=-1 => dim=2
    .sigmoid() => .tanh()
    .sigmoid() => .softmax(dim=-1)
    .sigmoid() => .sigmoid().round()
    .sigmoid() => .sigmoid().detach()
    .sigmoid() => .sigmoid().mean(-1, keepdim=True).expand_as(own)
    answered[..., None], 1.0 => answered[..., None], 0.0
    answered[..., None], 1.0 => answered[..., None], 0.5
    attended, gate => attended, 1 - gate
    attended, gate => attended
    attended, gate => attended, self.decide(torch.cat([own, attended], -1)).sigmoid()
    return => own.data.copy_(gate * own + (1 - gate) * attended); return
    dim=-1)).sigmoid() => dim=-1)).sigmoid(); mixture = gate * own + (1 - gate) * attended ;;
        return gate * own + (1 - gate) * attended, gate => return mixture, gate
""")


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
        shares = torch.stack([score, torch.zeros_like(score)]).softmax(0)
        return shares[0] * own + shares[1] * attended, shares[0]
