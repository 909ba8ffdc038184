"""MultiHeadAttention beyond the paper: fewer key heads, biases by part, a turn, a kept context."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scratchmm.layers.attention import (
    ContextCache,
    KeyValueCache,
    MultiHeadAttention,
    causal_mask,
    parts_with_bias,
    split_heads,
    watch_attention,
)

sizes = st.integers(1, 4)


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def randomised(layer):
    torch.manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer.double()


def written_out(layer):
    """The same layer with a head of keys for every head: each one's rows, as often as they serve."""
    width = layer.query.in_features // layer.heads
    share = layer.heads // layer.key_heads
    whole = MultiHeadAttention(
        layer.query.in_features, layer.heads, layer.key.in_features, layer.key.bias is not None
    ).double()
    whole.query, whole.output = layer.query, layer.output
    for ours, theirs in ((layer.key, whole.key), (layer.value, whole.value)):
        for name, parameter in ours.named_parameters():
            heads = parameter.data.unflatten(0, (layer.key_heads, width))
            spread = [heads[head // share] for head in range(layer.heads)]
            theirs.get_parameter(name).data.copy_(torch.cat(spread))
    return whole


@given(G=sizes, share=sizes, D=sizes, L=sizes, S=sizes, C=sizes, seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_key_heads_serve_neighbours(G, share, D, L, S, C, seed):
    heads = G * share
    layer = randomised(MultiHeadAttention(heads * D, heads, C, key_heads=G))
    assert layer.key.weight.shape == layer.value.weight.shape == (G * D, C)
    x, context = random(2, L, heads * D, seed=seed), random(2, S, C, seed=seed + 1)
    mask, bias = random(2, heads, L, S, seed=seed) > -0.5, random(heads, L, S, seed=seed)
    expected = written_out(layer)(x, context, mask, return_weights=True, bias=bias)
    got = layer(x, context, mask, return_weights=True, bias=bias)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer(x, context, mask, bias=bias), expected[0], rtol=0, atol=1e-12)


def test_the_cache_of_fewer_key_heads_is_as_narrow_as_they_are():
    layer = randomised(MultiHeadAttention(12, heads=6, key_heads=2))
    x, cache = random(3, 7, 12), KeyValueCache()
    full = layer(x, mask=causal_mask(7))
    pieces = []
    for chunk in x.split([2, 1, 4], dim=1):
        mask = causal_mask(chunk.shape[1], past=len(cache))
        pieces.append(layer(chunk, mask=mask, cache=cache))
    torch.testing.assert_close(torch.cat(pieces, dim=1), full, rtol=0, atol=1e-12)
    assert cache.key.shape == cache.value.shape == (3, 2, 7, 2)


@pytest.mark.parametrize(
    ("bias", "biased"),
    [
        (True, {"query", "key", "value", "output"}),
        (False, set()),
        (("query", "value", "output"), {"query", "value", "output"}),  # Whisper
        (["output"], {"output"}),  # Stable Diffusion's UNet
        ({"query", "key", "value"}, {"query", "key", "value"}),  # Qwen2
        ((), set()),
    ],
)
def test_biases_by_part(bias, biased):
    layer = MultiHeadAttention(8, 2, context_width=5, bias=bias)
    found = {name.partition(".")[0] for name, _ in layer.named_parameters() if "bias" in name}
    assert found == biased
    assert {name for name, _ in layer.named_children()} == set(parts_with_bias(True))


def test_first_weights_do_not_depend_on_the_new_arguments():
    torch.manual_seed(0)
    before = MultiHeadAttention(8, 2, 5, True)
    torch.manual_seed(0)
    after = MultiHeadAttention(8, 2, 5, ("query", "key", "value", "output"), key_heads=2)
    for ours, theirs in zip(after.parameters(), before.parameters(), strict=True):
        assert ours.equal(theirs)


def test_refusals_name_both_numbers():
    with pytest.raises(ValueError, match="^heads 8 is not divisible by key_heads 3$"):
        MultiHeadAttention(64, 8, key_heads=3)
    with pytest.raises(ValueError, match="^key_heads is 0 and must be a whole number"):
        MultiHeadAttention(64, 8, key_heads=0)
    with pytest.raises(ValueError, match="^heads 2 is not divisible by key_heads 4$"):
        MultiHeadAttention(64, 2, key_heads=4)
    with pytest.raises(ValueError, match="^key_heads is 2.0 and must be a whole number"):
        MultiHeadAttention(64, 8, key_heads=2.0)
    with pytest.raises(ValueError, match="no part 'keys' to have a bias, only query, key, value"):
        MultiHeadAttention(64, 2, bias=("query", "keys"))


def test_a_turn_gets_query_and_key_with_heads_apart_and_before_the_cache():
    layer = randomised(MultiHeadAttention(12, heads=6, key_heads=2))
    x, cache, shapes = random(3, 5, 12), KeyValueCache(), []

    def turn(query, key):
        shapes.append((tuple(query.shape), tuple(key.shape)))
        return query * 2, key + 3

    layer(x[:, :4], cache=cache, turn=turn)
    last = layer(x[:, 4:], cache=cache, turn=turn)
    assert shapes == [((3, 6, 4, 2), (3, 2, 4, 2)), ((3, 6, 1, 2), (3, 2, 1, 2))]
    key, value = layer.project(x)
    torch.testing.assert_close(cache.key, key + 3, rtol=0, atol=1e-12)
    torch.testing.assert_close(cache.value, value, rtol=0, atol=1e-12)
    # The same by hand: a head's scores, its weights, and what is mixed.
    query = split_heads(layer.query(x[:, 4:]), 6) * 2
    mixed = torch.zeros(3, 6, 1, 2, dtype=torch.float64)
    for head in range(6):
        scores = query[:, head] @ (key[:, head // 3] + 3).mT / 2**0.5
        mixed[:, head] = scores.softmax(-1) @ value[:, head // 3]
    expected = layer.output(mixed.transpose(1, 2).flatten(2))
    torch.testing.assert_close(last, expected, rtol=0, atol=1e-12)


def test_gradients_reach_what_turns():
    """Norms of query and key (QK norm) are a turn with parameters of its own."""
    layer = randomised(MultiHeadAttention(12, heads=3))
    norms = randomised(nn.ModuleList(nn.LayerNorm(4) for _ in range(2)))
    output = layer(random(2, 5, 12), turn=lambda q, k: (norms[0](q), norms[1](k)))
    output.square().sum().backward()
    assert all(parameter.grad.any() for parameter in norms[0].parameters())
    assert norms[1].weight.grad.any()  # a shift of all keys moves no score apart


def test_watched_or_returned_weights_know_bias_turn_and_key_heads():
    layer = randomised(MultiHeadAttention(12, heads=6, key_heads=2))
    x, bias = random(2, 5, 12), random(6, 5, 5, seed=1)
    options = {"bias": bias, "turn": lambda q, k: (3 * q, k)}
    plain = layer(x, **options)
    with watch_attention() as seen:
        watched = layer(x, **options)
    output, weights = layer(x, return_weights=True, **options)
    assert watched.equal(output) and weights.equal(seen[0]) and weights.shape == (2, 6, 5, 5)
    torch.testing.assert_close(output, plain, rtol=0, atol=1e-12)


def counted(layer):
    """Counts how many tokens the layer's keys are projected from, call by call."""
    seen = []
    layer.key.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
    return seen


@pytest.mark.parametrize("key_heads", [6, 2])
def test_a_kept_context_is_projected_once_and_changes_no_number(key_heads):
    layer = randomised(MultiHeadAttention(12, heads=6, context_width=5, key_heads=key_heads))
    x, context, mask = random(3, 4, 12), random(3, 7, 5, seed=1), random(3, 1, 1, 7, seed=2) > 0
    bias = random(6, 4, 7, seed=3)
    expected = layer(x, context, mask, bias=bias)
    projected, kept, pieces = counted(layer), ContextCache(), []
    for place in range(4):
        row = slice(place, place + 1)
        pieces.append(layer(x[:, row], context, mask, bias=bias[:, row], kept=kept))
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=0, atol=1e-12)
    assert projected == [7] and kept.key.shape == (3, key_heads, 7, 2)


def test_a_turn_meets_a_kept_context_as_it_was_projected():
    """Were the turned keys kept, the second token would meet keys that are turned twice."""
    layer = randomised(MultiHeadAttention(12, heads=3))
    x, context, kept = random(2, 4, 12), random(2, 7, 12, seed=1), ContextCache()

    def turn(query, key):
        return query, key.sin()

    expected = layer(x, context, turn=turn)
    pieces = [layer(token, context, kept=kept, turn=turn) for token in x.split(1, dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=0, atol=1e-12)


def test_a_cache_still_takes_a_context_as_the_next_positions():
    """As it did before there were kept contexts: what is given as context is appended."""
    layer = randomised(MultiHeadAttention(12, heads=3))
    x, cache = random(2, 6, 12), KeyValueCache()
    layer(x[:, :4], context=x[:, :4], cache=cache)
    got = layer(x[:, 4:], context=x[:, 4:], cache=cache)
    torch.testing.assert_close(got, layer(x[:, 4:], context=x), rtol=0, atol=1e-12)
    assert len(cache) == 6 and len(cache.context) == 0
