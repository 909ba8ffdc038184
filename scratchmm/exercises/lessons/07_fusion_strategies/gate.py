"""Exercise gated.Gate: for every number, whom to believe."""

import itertools

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="gated.Gate",
    order=30,
    target="scratchmm.fusion.gated:Gate",
    title="Whom to believe",
    goal="mix one's own with what was attended to, number by number",
    minutes=15,
    difficulty=2,
    section="Gated fusion",
    needs=("early.EarlyFusion",),
    methods={
        "__init__": "a Linear layer decide, from both sides joined to a number for each of the width",
        "forward": "the mixture and the gate; 1 keeps one's own, and where nothing was answered it "
        "is 1",
    },
    hints=(
        "One's own is (2, 2), attended is (10, 10), the gate (0.75, 0). The mixture is (4, 10): "
        "0.75 of 2 and a quarter of 10 is 4, and a gate of 0 believes the others. Where nothing was "
        "there to attend to, the gate is (1, 1) and the mixture (2, 2).",
        "The gate looks at both sides before it decides, and decides for every number by itself: of "
        "one token the colour may be believed and the place not. It is a share between 0 and 1; what "
        "it takes from one side it gives to the other.",
        "Join own and attended, in this order, on the last axis: (..., 2 D). decide makes (..., D) of "
        "it, sigmoid makes shares. With `answered` (...), give it a last axis of 1 and fill the gate "
        "with 1 where it is False; do so before you mix, and return that gate.",
        "gate = torch.sigmoid(self.decide(torch.cat([own, attended], -1))); if answered is given: "
        "gate = gate.masked_fill(~answered[..., None], 1.0); "
        "return gate * own + (1 - gate) * attended, gate",
    ),
)


def sides(case: Case) -> tuple[Tensor, Tensor]:
    """One's own and what was attended to."""
    return case.normal(B=2, M=3, D=4), case.normal(B=2, M=3, D=4)


def answers(case: Case) -> Tensor:
    """Who was answered: some, never all."""
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


@exercise.holds("it has one Linear layer with a bias, decide, from 2 D to D")
def parameters(gate_class, case):
    gate = case.build(gate_class, 4)
    case.call(gate, *sides(case))  # for the diagnosis: it tells what a smaller layer reads
    case.equal(
        {name: tuple(parameter.shape) for name, parameter in gate.named_parameters()},
        {"decide.weight": (4, 8), "decide.bias": (4,)},
        "parameters",
    )


@exercise.holds("two results of the width of one's own: the mixture and the gate")
def shape(gate_class, case):
    got = case.call(case.build(gate_class, 4), *sides(case))
    pair = isinstance(got, tuple) and len(got) == 2
    case.true(pair, "two tensors", type(got).__name__ if not pair else "two")
    for one in got:
        case.shape(one, "B M D")


@exercise.holds(
    "where decide says nothing but its bias b, the gate is sigmoid(b), number by number"
)
def bias_only(gate_class, case):
    gate, (own, attended) = case.build(gate_class, 4), sides(case)
    bias = torch.tensor([3.0, -1.0, 0.0, 0.5])
    with torch.no_grad():
        gate.decide.weight.zero_()
        gate.decide.bias.copy_(bias)
    shares = (1 / (1 + torch.exp(-bias))).expand(2, 3, 4)
    mixture = shares * own + (1 - shares) * attended
    mixed, opened = case.call(gate, own, attended)
    case.equal(opened, shares, "the gate")
    case.equal(mixed, mixture, "the mixture")


@exercise.holds("the gate is sigmoid(Linear(own, attended)), and mixes the two")
def numbers(gate_class, case):
    gate, (own, attended) = case.build(gate_class, 4), sides(case)
    expected = slow(gate, own, attended)
    got = case.call(gate, own, attended)
    for one, other, what in zip(got, expected, ("the mixture", "the gate"), strict=True):
        case.equal(one, other, what)


@exercise.holds("where nothing was answered the gate is 1, and one's own is kept")
def unanswered(gate_class, case):
    gate, (own, attended), answered = case.build(gate_class, 4), sides(case), answers(case)
    expected = slow(gate, own, attended, answered)
    got = case.call(gate, own, attended, answered)
    for one, other, what in zip(got, expected, ("the mixture", "the gate"), strict=True):
        case.equal(one, other, what)


@exercise.holds("one vector alone, or with other axes before it, is mixed the same way")
def any_axes(gate_class, case):
    gate = case.build(gate_class, 4)
    own, attended = case.normal(D=4), case.normal(D=4)
    expected = slow(gate, own, attended)
    case.equal(case.call(gate, own, attended)[0], expected[0])
    own, attended = case.normal(B=2, M=3, L=2, D=4), case.normal(B=2, M=3, L=2, D=4)
    answered = case.booleans(B=2, M=3, L=2)
    expected = slow(gate, own, attended, answered)
    case.equal(case.call(gate, own, attended, answered)[0], expected[0])


@exercise.holds("the inputs are left as they were")
def unchanged(gate_class, case):
    case.call(case.build(gate_class, 4), *sides(case), answers(case))
    case.unchanged()


@exercise.holds("the gradients reach both sides and the Linear layer")
def gradients(gate_class, case):
    gate = case.build(gate_class, 4).double()

    def both(own, attended, answered):
        return torch.stack(gate(own, attended, answered))

    def oracle(own, attended, answered):
        return torch.stack(slow(gate, own, attended, answered))

    case.gradients(both, oracle, *sides(case), answers(case), parameters=gate)
