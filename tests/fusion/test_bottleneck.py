"""Bottleneck fusion by an explicit loop; streams hear of each other only through the bottleneck."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.strategies import randomise
from scratchmm.bench.fusion import multiply_adds
from scratchmm.fusion.bottleneck import BottleneckFusion, mean_of_present
from scratchmm.fusion.modalities import Cost
from shape_comments import check_shape_comments

WIDTHS = {"sound": 4, "image": 5, "words": 3}
LENGTHS = {"sound": 6, "image": 9, "words": 8}


def make(depth: int = 2, bottlenecks: int = 2) -> BottleneckFusion:
    return randomise(BottleneckFusion(WIDTHS, 7, 10, 2, 11, depth=depth, bottlenecks=bottlenecks))


def streams(batch: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {
        name: torch.randn(batch, LENGTHS[name], width, generator=generator).double()
        for name, width in WIDTHS.items()
    }


def loop(model: BottleneckFusion, sample: dict[str, torch.Tensor]) -> torch.Tensor:
    """One sample, (L, D) of those present and without padding: each block on what it may see."""
    hidden = {}
    for name, x in sample.items():
        tokens = x @ model.tokens[name].weight.T + model.tokens[name].bias
        hidden[name] = torch.cat([model.answers[name][None], tokens])
    shared = model.shared
    for layer in model.layers:
        copies = []
        for name in sample:
            both = layer.blocks[name](torch.cat([hidden[name], shared])[None])[0]
            hidden[name], copy = both[: -len(shared)], both[-len(shared) :]
            copies.append(copy)
        shared = sum(copies) / len(copies)
    answers = [model.norm(x[0]) for x in hidden.values()]
    return model.output(sum(answers) / len(answers))


def test_every_subset_and_padding_by_a_loop() -> None:
    model, inputs = make(), streams(7)
    rows = torch.tensor([[bool(n >> m & 1) for m in range(3)] for n in range(1, 8)])
    present = dict(zip(WIDTHS, rows.T, strict=True))
    counts = {"words": [8, 1, 5, 3, 2, 8, 4], "image": [9, 9, 1, 2, 3, 4, 5]}
    real = {n: torch.arange(LENGTHS[n]) < torch.tensor(c)[:, None] for n, c in counts.items()}
    for name, mask in real.items():
        inputs[name] = inputs[name].masked_fill(~mask[..., None], float("nan"))
    for name in WIDTHS:
        inputs[name] = inputs[name].masked_fill(~present[name][:, None, None], float("nan"))
    got = model(inputs, present, real)
    for b in range(7):
        names = [name for name in WIDTHS if present[name][b]]
        sample = {name: inputs[name][b, : counts.get(name, [99] * 7)[b]] for name in names}
        torch.testing.assert_close(got[b], loop(model, sample))
    got.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_padding_anywhere_is_unseen_and_the_order_of_names_free() -> None:
    model, inputs = make(), streams()
    mask = torch.ones(3, 8, dtype=torch.bool)
    mask[:, 2] = False  # in the middle
    dirty = {**inputs, "words": inputs["words"].clone()}
    dirty["words"][:, 2] = float("nan")
    shorter = {**inputs, "words": inputs["words"][:, mask[0]]}
    expected = model(shorter)
    torch.testing.assert_close(model(dirty, real={"words": mask}), expected)
    turned = dict(reversed(dirty.items()))
    torch.testing.assert_close(model(turned, real={"words": mask}), expected)


def test_nothing_passes_but_through_the_bottleneck() -> None:
    """After one layer a stream has not yet heard of the others: its answer is the same alone."""
    inputs = streams()
    other = {**inputs, "words": torch.randn(3, 8, 3).double()}
    for depth, heard in ((1, False), (2, True)):
        model = make(depth=depth)
        before, after = answers_of(model, inputs), answers_of(model, other)
        assert (not torch.equal(before["sound"], after["sound"])) == heard
        assert not torch.equal(before["words"], after["words"])


def answers_of(model: BottleneckFusion, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What each stream's answer token is before the norm."""
    found: list[torch.Tensor] = []
    handle = model.norm.register_forward_hook(lambda module, given, out: found.append(given[0]))
    model(inputs)
    handle.remove()
    return dict(zip(WIDTHS, found, strict=True))


def test_a_stream_of_nothing_but_padding_is_absent() -> None:
    model, inputs = make(), streams()
    real = torch.ones(3, 8, dtype=torch.bool)
    real[1] = False
    present = {"words": torch.tensor([True, False, True])}
    torch.testing.assert_close(
        model(inputs, real={"words": real}), model(inputs, present), rtol=0, atol=0
    )


def test_missing_names_are_absent() -> None:
    model, inputs = make(), streams()
    nobody = torch.zeros(3, dtype=torch.bool)
    torch.testing.assert_close(
        model({"words": inputs["words"]}), model(inputs, {"sound": nobody, "image": nobody})
    )


def test_gradients() -> None:
    model, inputs = make(depth=1), {name: x[:1, :2] for name, x in streams().items()}
    leaves = [x.clone().requires_grad_() for x in inputs.values()]
    assert torch.autograd.gradcheck(lambda *x: model(dict(zip(inputs, x))), leaves)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=4, max_size=4, unique=True),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_the_cost_claimed_is_the_cost_seen(sizes: list[int], depth: int, bottlenecks: int) -> None:
    widths, lengths = {"a": sizes[0], "b": sizes[1]}, {"a": sizes[2], "b": sizes[3]}
    model = BottleneckFusion(widths, 5, 6, 2, 11, depth=depth, bottlenecks=bottlenecks)
    inputs = {name: torch.randn(2, lengths[name], widths[name]) for name in widths}
    seen = multiply_adds(lambda: model(inputs))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert model.cost(lengths) == Cost(parameters, seen / 2)


def test_the_mean_of_those_present() -> None:
    tensors = [torch.randn(3, 2, 4) for _ in range(3)]
    rows = [[True, False, True], [True, True, True], [False, True, False]]
    got = mean_of_present(tensors, torch.tensor(rows))
    for b, row in enumerate(rows):
        kept = [x[b] for x, there in zip(tensors, row) if there]
        torch.testing.assert_close(got[b], sum(kept) / len(kept))


@pytest.mark.parametrize(
    ("change", "more", "sentence"),
    [
        (
            {"words": torch.zeros(3, 3)},
            {},
            "modality 'words' has shape (3, 3), but this model takes (batch, length, width)",
        ),
        (
            {"words": torch.zeros(3, 8, 4)},
            {},
            "modality 'words' has width 4, but this model takes 3",
        ),
        (
            {"words": torch.zeros(2, 8, 3)},
            {},
            "modality 'words' has a batch of 2, but modality 'sound' has one of 3",
        ),
        (
            {"smell": torch.zeros(3, 8, 3)},
            {},
            "features name the modality 'smell', but this model takes sound and image and words",
        ),
        (
            {},
            {"real": {"words": torch.ones(3, 7).bool()}},
            "the token mask of 'words' has shape (3, 7), but its tokens are (3, 8)",
        ),
        (
            {},
            {"real": {"words": torch.ones(3, 8)}},
            "the token mask of 'words' is torch.float32, not torch.bool",
        ),
        (
            {},
            {"real": {"smell": torch.ones(3, 8).bool()}},
            "the token masks name the modality 'smell', but this model takes sound and image and "
            "words",
        ),
        (
            {},
            {"present": {name: torch.tensor([True, True, False]) for name in WIDTHS}},
            "sample 2 has no modality: at least one of sound and image and words must be present",
        ),
        (
            {},
            {"present": {"words": torch.ones(2).bool()}},
            "the presence mask of 'words' has shape (2,), but the batch is 3, so it must be (3,)",
        ),
    ],
)
def test_bad_input_is_refused_in_a_sentence(change, more, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()({**streams(), **change}, **more)
    assert str(caught.value) == sentence


def test_no_bottleneck_is_refused() -> None:
    with pytest.raises(ValueError, match="0 bottleneck tokens carry nothing: at least 1 is needed"):
        BottleneckFusion(WIDTHS, 7, 10, 2, 11, bottlenecks=0)


def test_learned_tokens_start_as_large_as_a_token():
    torch.manual_seed(0)
    model = BottleneckFusion({"a": 3, "b": 5}, width=256, heads=2, hidden=8, depth=1, outputs=2)
    for answer in [*model.answers.values(), *model.shared]:
        assert answer.norm().item() == pytest.approx(1, abs=0.25)


def run_shapes() -> None:
    import torch

    from scratchmm.fusion import bottleneck

    model = bottleneck.BottleneckFusion({"a": 5, "b": 4}, 7, 10, 2, 11, depth=2, bottlenecks=6)
    given = {"a": torch.randn(3, 8, 5), "b": torch.randn(3, 9, 4)}
    model(given, {"a": torch.tensor([True, False, True])}, {"b": torch.rand(3, 9) < 2})


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/bottleneck.py")
