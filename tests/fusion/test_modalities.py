"""What every strategy owes: names in any order, presence, costs, and one sentence for bad input."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fusion.strategies import MAKERS, OUTPUTS, WIDTHS, features, make, run_shapes
from scratchmm.bench.fusion import multiply_adds
from scratchmm.fusion.bilinear import BilinearFusion
from scratchmm.fusion.early import EarlyFusion
from scratchmm.fusion.modalities import Cost, Encoded, check_widths, collect, network
from scratchmm.fusion.tensor_fusion import TensorFusion
from shape_comments import check_shape_comments

everyone = pytest.mark.parametrize("name", MAKERS)
NAN = float("nan")


def masks(rows: list[list[bool]]) -> dict[str, torch.Tensor]:
    """A presence mask a name from a row a sample, columns in the order of WIDTHS."""
    return dict(zip(WIDTHS, torch.tensor(rows).T, strict=True))


SOME = [[True, False, True], [True, True, True], [False, True, False], [False, False, True]]


@everyone
def test_the_order_of_the_names_does_not_matter(name: str) -> None:
    model, given = make(name), features(2)
    expected = model(given)
    assert expected.shape == (2, OUTPUTS)
    for order in itertools.permutations(WIDTHS):
        torch.testing.assert_close(model({key: given[key] for key in order}), expected)
    swapped = {"image": given["image"] + 1.0}
    assert not torch.allclose(model({**given, **swapped}), expected)


@everyone
def test_what_is_absent_may_hold_anything_and_stops_gradients(name: str) -> None:
    model, given, present = make(name), features(4), masks(SOME)
    clean = {key: x.masked_fill(~present[key][:, None], 0.0) for key, x in given.items()}
    expected = model(clean, present)
    assert expected.isfinite().all()
    for junk in (NAN, math.inf, 1e30):
        dirty = {key: x.masked_fill(~present[key][:, None], junk) for key, x in given.items()}
        leaves = {key: x.clone().requires_grad_() for key, x in dirty.items()}
        output = model(leaves, present)
        torch.testing.assert_close(output, expected, rtol=0, atol=0)
        model.zero_grad()
        output.square().sum().backward()
        for key, leaf in leaves.items():
            assert leaf.grad[~present[key]].eq(0).all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@everyone
def test_presence_is_not_the_same_as_zeros_where_it_should_not_be(name: str) -> None:
    """Early, bilinear and tensor fusion read an absent modality as zeros; the others leave it out."""
    model, given = make(name), features(3)
    given["words"].zero_()
    absent = model(given, {"words": torch.zeros(3, dtype=torch.bool)})
    alike = torch.allclose(absent, model(given))
    assert alike == (name in ("early", "bilinear", "tensor", "low rank"))


@everyone
def test_a_missing_name_is_absent_for_all(name: str) -> None:
    model, given = make(name), features(3)
    absent = torch.zeros(3, dtype=torch.bool)
    for subset in (["sound"], ["words", "image"]):
        present = {key: absent for key in WIDTHS if key not in subset}
        torch.testing.assert_close(
            model({key: given[key] for key in subset}), model(given, present), rtol=0, atol=0
        )


@everyone
def test_each_sample_is_alone_with_its_own_presence(name: str) -> None:
    model, given, present = make(name), features(4), masks(SOME)
    together = model(given, present)
    for row, there in enumerate(SOME):
        mine = {key: given[key][[row]] for key, here in zip(WIDTHS, there) if here}
        torch.testing.assert_close(model(mine)[0], together[row])


@everyone
def test_all_present_is_the_same_as_no_mask(name: str) -> None:
    model, given = make(name), features(2)
    torch.testing.assert_close(model(given, masks([[True] * 3] * 2)), model(given))


@everyone
def test_gradients(name: str) -> None:
    model, given, present = make(name), features(2), masks(SOME[:2])
    inputs = [x.requires_grad_() for x in given.values()]

    def run(*tensors: torch.Tensor) -> torch.Tensor:
        return model(dict(zip(WIDTHS, tensors, strict=True)), present)

    assert torch.autograd.gradcheck(run, inputs)


@everyone
def test_every_parameter_is_used(name: str) -> None:
    model = make(name)
    model(features(3)).square().sum().backward()
    for key, parameter in model.named_parameters():
        if "attention.key.bias" in key:  # softmax does not see what all keys share
            continue
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


@everyone
@settings(max_examples=12, deadline=None)
@given(
    widths=st.lists(st.integers(1, 9), min_size=2, max_size=4, unique=True),
    batch=st.integers(1, 3),
)
def test_the_cost_claimed_is_the_cost_seen(name: str, widths: list[int], batch: int) -> None:
    sizes = {f"m{index}": width for index, width in enumerate(widths)}
    model = make(name, sizes)
    given = features(batch, sizes)
    with torch.no_grad():
        seen = multiply_adds(lambda: model(given))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert model.cost() == Cost(parameters, seen / batch)


@everyone
def test_the_input_is_left_as_it_was(name: str) -> None:
    given, present = features(4), masks(SOME)
    copies = {key: x.clone() for key, x in given.items()}
    make(name)(given, present)
    assert list(given) == list(WIDTHS) and list(present) == list(WIDTHS)
    for key in WIDTHS:
        torch.testing.assert_close(given[key], copies[key], rtol=0, atol=0)


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.bool)


BAD = [
    (
        {"smell": torch.zeros(2, 3)},
        None,
        "features name the modality 'smell', but this model takes sound and image and words",
    ),
    (
        {"words": torch.zeros(2, 4)},
        None,
        "modality 'words' has width 4, but this model takes 3",
    ),
    (
        {"words": torch.zeros(2, 3), "sound": torch.zeros(6, 4)},
        None,
        "modality 'sound' has a batch of 6, but modality 'words' has one of 2",
    ),
    (
        {"words": torch.zeros(2, 8, 3)},
        None,
        "modality 'words' has shape (2, 8, 3), but this model takes (batch, width)",
    ),
    ({}, None, "there are no features: at least one of sound and image and words is needed"),
    (
        {"words": torch.zeros(2, 3)},
        {"smell": ones(2)},
        "the presence masks name the modality 'smell', but this model takes sound and image and "
        "words",
    ),
    (
        {"words": torch.zeros(2, 3)},
        {"words": ones(6)},
        "the presence mask of 'words' has shape (6,), but the batch is 2, so it must be (2,)",
    ),
    (
        {"words": torch.zeros(2, 3)},
        {"words": ones(2, 1)},
        "the presence mask of 'words' has shape (2, 1), but the batch is 2, so it must be (2,)",
    ),
    (
        {"words": torch.zeros(2, 3)},
        {"words": torch.ones(2)},
        "the presence mask of 'words' is torch.float32, not torch.bool",
    ),
    (
        {"words": torch.zeros(2, 3)},
        {"sound": torch.tensor([False, True])},
        "modality 'sound' is present in sample 1, but has no features",
    ),
    (
        {"words": torch.zeros(3, 3)},
        {"words": torch.tensor([True, False, False])},
        "sample 1 has no modality: at least one of sound and image and words must be present",
    ),
]


@everyone
@pytest.mark.parametrize(("given", "present", "sentence"), BAD, ids=[b[2][:40] for b in BAD])
def test_bad_input_is_refused_in_a_sentence(name: str, given, present, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        MAKERS[name](WIDTHS)(given, present)
    assert str(caught.value) == sentence


@everyone
def test_bad_widths_are_refused_in_a_sentence(name: str) -> None:
    for widths, sentence in (
        ({"words": 3, "sound": 0}, "modality 'sound' has width 0, but it must be at least 1"),
        ({"a.b": 2, "c": 3}, "no modality can be called 'a.b': choose another word without dots"),
        ({"keys": 2, "c": 3}, "no modality can be called 'keys': choose another word without dots"),
    ):
        with pytest.raises(ValueError) as caught:
            EarlyFusion(widths, 2, 3)
        assert str(caught.value) == sentence
        if name != "encoded":  # its inner widths are another dictionary
            with pytest.raises(ValueError):
                MAKERS[name](widths)


def test_too_few_modalities() -> None:
    with pytest.raises(ValueError, match="this needs at least 2 modalities, not 1"):
        BilinearFusion({"words": 3}, 2)
    with pytest.raises(ValueError, match="this needs at least 1 modalities, not 0"):
        check_widths({})


def test_gather_orders_and_cleans() -> None:
    given = {"words": torch.full((2, 3), NAN), "sound": torch.ones(2, 4)}
    vectors, there = collect(given, WIDTHS, {"words": torch.tensor([False, False])})
    assert list(vectors) == list(WIDTHS)
    assert there.tolist() == [[True, False, False]] * 2
    assert [tuple(x.shape) for x in vectors.values()] == [(2, 4), (2, 5), (2, 3)]
    assert [x.sum().item() for x in vectors.values()] == [8, 0, 0]


def test_encoded_is_a_layer_each_and_then_the_strategy() -> None:
    model, given = make("encoded"), features(3)
    present = {"words": torch.tensor([True, False, True])}
    inner = {}
    for name in WIDTHS:
        layer = model.layers[name]
        inner[name] = nn.functional.gelu(given[name] @ layer.weight.T + layer.bias)
    torch.testing.assert_close(model(given, present), model.fusion(inner, present))
    with pytest.raises(ValueError, match="the widths name the modality 'x'"):
        Encoded({"x": 3}, TensorFusion({"y": 2}, 2))


def test_a_small_network_is_two_layers() -> None:
    small = network(3, 5, 2).double()
    x = torch.randn(4, 3).double()
    first, second = small[0], small[2]
    wide = nn.functional.gelu(x @ first.weight.T + first.bias)
    torch.testing.assert_close(small(x), wide @ second.weight.T + second.bias)


def test_costs_add_up() -> None:
    assert Cost(1, 2).plus(Cost(3, 4), Cost(5, 6)) == Cost(9, 12)
    assert Cost(1, 2).times(3) == Cost(3, 6)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/modalities.py")
