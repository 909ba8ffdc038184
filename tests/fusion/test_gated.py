"""Gated fusion by an explicit loop over modalities, and what its gates mean."""

import torch

from fusion.strategies import OUTPUTS, WIDTHS, features, make, randomise, run_shapes
from scratchmm.fusion.gated import Gate
from shape_comments import check_shape_comments


def loop(model, vectors: dict[str, torch.Tensor]) -> torch.Tensor:
    """One sample, (D,) vectors of those present: own, attended over the others, gate, mean."""
    own = {name: model.tokens[name](x) for name, x in vectors.items()}
    layer, heads, mixed = model.attention, model.attention.heads, []
    for name, token in own.items():
        others = [own[other] for other in own if other != name]
        if not others:
            mixed.append(token)
            continue
        query = layer.query(token).view(heads, -1)
        keys = torch.stack([layer.key(x).view(heads, -1) for x in others])
        values = torch.stack([layer.value(x).view(heads, -1) for x in others])
        scores = torch.einsum("hd,shd->hs", query, keys) / query.shape[-1] ** 0.5
        attended = layer.output(torch.einsum("hs,shd->hd", scores.softmax(-1), values).flatten())
        decide = model.gate.decide
        gate = torch.sigmoid(decide.weight @ torch.cat([token, attended]) + decide.bias)
        mixed.append(gate * token + (1 - gate) * attended)
    return model.network(torch.stack(mixed).mean(0))


def test_every_subset_of_modalities_by_a_loop() -> None:
    model, inputs = make("gated"), features(7)
    rows = [[bool(number >> m & 1) for m in range(3)] for number in range(1, 8)]
    present = dict(zip(WIDTHS, torch.tensor(rows).T, strict=True))
    got = model(inputs, present)
    assert got.shape == (7, OUTPUTS)
    for b, row in enumerate(rows):
        mine = {name: inputs[name][b] for name, there in zip(WIDTHS, row) if there}
        torch.testing.assert_close(got[b], loop(model, mine))


def test_the_gate_decides_for_each_number() -> None:
    gate = randomise(Gate(3))
    own, attended = torch.randn(2, 5, 3).double(), torch.randn(2, 5, 3).double()
    with torch.no_grad():
        gate.decide.weight.zero_()
        gate.decide.bias.copy_(torch.tensor([100.0, -100.0, 0.0]))
    mixed, opened = gate(own, attended)
    torch.testing.assert_close(mixed[..., 0], own[..., 0])
    torch.testing.assert_close(mixed[..., 1], attended[..., 1])
    torch.testing.assert_close(mixed[..., 2], (own + attended)[..., 2] / 2)
    torch.testing.assert_close(opened[0, 0], torch.tensor([1.0, 0.0, 0.5]).double())


def test_the_gate_sees_own_first_and_attended_second() -> None:
    gate = randomise(Gate(3))
    own, attended = torch.randn(2, 3).double(), torch.randn(2, 3).double()
    weight, bias = gate.decide.weight, gate.decide.bias
    expected = torch.sigmoid(own @ weight[:, :3].T + attended @ weight[:, 3:].T + bias)
    torch.testing.assert_close(gate(own, attended)[1], expected)


def test_without_an_answer_one_keeps_ones_own() -> None:
    gate = randomise(Gate(3))
    own, attended = torch.randn(2, 3).double(), torch.randn(2, 3).double()
    mixed, opened = gate(own, attended, torch.tensor([True, False]))
    torch.testing.assert_close(mixed[1], own[1], rtol=0, atol=0)
    assert opened[1].eq(1).all() and (opened[0] < 1).all()


def test_gates_are_given_by_name() -> None:
    model, inputs = make("gated"), features(3)
    gates = model.gates(inputs)
    assert list(gates) == list(WIDTHS)
    assert all(
        gate.shape == (3, 6) and (0 < gate).all() and (gate < 1).all() for gate in gates.values()
    )
    alone = model.gates({"words": inputs["words"]})
    assert alone["words"].eq(1).all()


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/gated.py")
