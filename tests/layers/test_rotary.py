"""Rotary positions: turns of the plane, distances only, a cache; and three published versions."""

import cmath

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scratchmm.layers.attention import KeyValueCache, MultiHeadAttention, causal_mask
from scratchmm.layers.rotary import RotaryPositions
from shape_comments import check_shape_comments

sizes = st.integers(1, 4)
BOTH = pytest.mark.parametrize("interleaved", [False, True])


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def by_complex_numbers(x, positions, width, base, interleaved):
    """Each pair as a complex number, times e^(i angle); one number at a time."""
    result = x.clone()
    half = width // 2
    for index in torch.cartesian_prod(*map(torch.arange, x.shape[:3])).view(-1, 3).tolist():
        b, h, place = index
        position = positions[place] if positions.ndim == 1 else positions[b, place]
        for i in range(half):
            one, two = (2 * i, 2 * i + 1) if interleaved else (i, i + half)
            number = complex(x[b, h, place, one], x[b, h, place, two])
            number *= cmath.exp(1j * float(position) * base ** (-2 * i / width))
            result[b, h, place, one], result[b, h, place, two] = number.real, number.imag
    return result


@BOTH
@given(B=sizes, H=sizes, G=sizes, L=sizes, pairs=sizes, rest=st.integers(0, 3), data=st.data())
@settings(max_examples=25, deadline=None)
def test_pairs_are_turned_and_the_rest_is_not(interleaved, B, H, G, L, pairs, rest, data):
    base = data.draw(st.sampled_from([10000.0, 500000.0, 3.0]))
    shape = data.draw(st.sampled_from([(L,), (B, L)]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    positions = torch.randint(0, 5000, shape, generator=generator)
    query = random(B, H, L, 2 * pairs + rest)
    key = random(B, G, L, 2 * pairs + rest, seed=1)
    turn = RotaryPositions(positions, 2 * pairs, base, interleaved)
    for ours, x in zip(turn(query, key), (query, key), strict=True):
        expected = by_complex_numbers(x, positions, 2 * pairs, base, interleaved)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-11)
        assert ours[..., 2 * pairs :].equal(x[..., 2 * pairs :])


@BOTH
def test_scores_depend_on_distances_only(interleaved):
    query, key = (
        random(1, 1, 1, 6).expand(1, 1, 9, 6),
        random(1, 1, 1, 6, seed=1).expand(1, 1, 9, 6),
    )
    found = []
    for start in (0, 700):
        turn = RotaryPositions(torch.arange(start, start + 9), 6, interleaved=interleaved)
        turned, keys = turn(query, key)
        scores = turned[0, 0] @ keys[0, 0].T
        for distance in range(-8, 9):
            diagonal = scores.diagonal(distance)
            torch.testing.assert_close(
                diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=1e-12
            )
        assert scores[0].unique().numel() == 9
        found.append(scores)
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-11)


@BOTH
def test_lengths_stay_and_position_0_changes_nothing(interleaved):
    x = random(2, 3, 5, 8)
    turned = RotaryPositions(torch.arange(5), 8, interleaved=interleaved).turn(x)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=0, atol=1e-12)
    assert turned[:, :, 0].equal(x[:, :, 0]) and not turned[:, :, 1].equal(x[:, :, 1])


def test_the_two_conventions_are_a_permutation_apart():
    x = random(2, 3, 5, 8)
    order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])  # from pairs of neighbours to halves
    halves = RotaryPositions(torch.arange(5), 8).turn(x[..., order])
    pairs = RotaryPositions(torch.arange(5), 8, interleaved=True).turn(x)
    torch.testing.assert_close(halves, pairs[..., order], rtol=0, atol=1e-12)


@BOTH
def test_gradients(interleaved):
    turn = RotaryPositions(torch.tensor([3, 1, 8]), 4, interleaved=interleaved)
    inputs = [random(2, 2, 3, 5).requires_grad_(), random(2, 1, 3, 5, seed=1).requires_grad_()]
    assert torch.autograd.gradcheck(turn, inputs)
    assert torch.autograd.gradgradcheck(turn, inputs)


@BOTH
def test_decoding_in_any_chunks_equals_the_full_pass(interleaved):
    torch.manual_seed(0)
    layer = MultiHeadAttention(24, heads=4, bias=False, key_heads=2).double()
    x = random(2, 7, 24)
    turn = RotaryPositions(torch.arange(7), 4, interleaved=interleaved)  # 4 of 6
    full = layer(x, mask=causal_mask(7), turn=turn)
    for chunks in ([1] * 7, [3, 1, 3], [5, 2]):
        cache, pieces = KeyValueCache(), []
        for piece in x.split(chunks, dim=1):
            past, length = len(cache), piece.shape[1]
            turn = RotaryPositions(torch.arange(past, past + length), 4, interleaved=interleaved)
            mask = causal_mask(length, past)
            pieces.append(layer(piece, mask=mask, cache=cache, turn=turn))
        torch.testing.assert_close(torch.cat(pieces, dim=1), full, rtol=0, atol=1e-12)


def test_padding_on_the_left_is_harmless_with_positions_of_each_sample():
    torch.manual_seed(0)
    layer = MultiHeadAttention(8, heads=2).double()
    x = random(1, 5, 8)
    padded = torch.cat([random(1, 2, 8, seed=1), x], dim=1)
    real = torch.tensor([[0, 0, 1, 1, 1, 1, 1]]).bool()
    positions = real.cumsum(-1) - 1
    mask = causal_mask(7) & real[:, None, None]
    got = layer(padded, mask=mask, turn=RotaryPositions(positions.clamp(min=0), 4))
    alone = layer(x, mask=causal_mask(5), turn=RotaryPositions(torch.arange(5), 4))
    torch.testing.assert_close(got[:, 2:], alone, rtol=0, atol=1e-12)


def test_half_precision_comes_back_and_far_positions_are_exact():
    x = random(1, 1, 2, 4)
    turn = RotaryPositions(torch.tensor([100000, 100001]), 4)
    expected = by_complex_numbers(x, torch.tensor([100000, 100001]), 4, 10000.0, False)
    torch.testing.assert_close(turn.turn(x), expected, rtol=0, atol=1e-9)
    half = turn.turn(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), expected, rtol=0, atol=0.05)


def test_what_does_not_fit_is_refused():
    with pytest.raises(
        ValueError, match="^width 5 is not divisible by a pair of numbers to turn, 2"
    ):
        RotaryPositions(torch.arange(3), 5)
    with pytest.raises(ValueError, match="^base is -3.0 and must"):
        RotaryPositions(torch.arange(3), 6, base=-3.0)
    turn = RotaryPositions(torch.arange(3), 6)
    with pytest.raises(ValueError, match="^heads of width 4 have no 6 numbers to turn$"):
        turn(random(1, 2, 3, 4), random(1, 2, 3, 4))
    with pytest.raises(ValueError, match="^there are 3 positions, but 5 queries or keys$"):
        turn(random(1, 2, 3, 6), random(1, 2, 5, 6))


def test_equals_llama_halves():
    transformers = pytest.importorskip("transformers")
    from transformers.models.llama import modeling_llama as llama

    config = transformers.LlamaConfig(hidden_size=24, num_attention_heads=4)
    positions = torch.tensor([[0, 1, 2, 3, 4], [7, 8, 9, 4095, 10]])
    query, key = random(2, 4, 5, 6), random(2, 2, 5, 6, seed=1)
    table = llama.LlamaRotaryEmbedding(config)(query, positions)
    expected = llama.apply_rotary_pos_emb(query, key, *table)
    got = RotaryPositions(positions, 6, computed_in=torch.float32)(query, key)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    apart = (RotaryPositions(positions, 6).turn(query) - expected[0]).abs().max()
    assert 1e-12 < apart < 1e-3  # the angles of published code are rounded to float32


def test_equals_gpt_neox_on_a_part_of_the_width():
    transformers = pytest.importorskip("transformers")
    from transformers.models.gpt_neox import modeling_gpt_neox as neox

    rope = {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}
    config = transformers.GPTNeoXConfig(hidden_size=32, num_attention_heads=4, rope_parameters=rope)
    query, key = random(2, 4, 5, 8), random(2, 4, 5, 8, seed=1)
    positions = torch.arange(3, 8)
    table = neox.GPTNeoXRotaryEmbedding(config)(query, positions[None])
    expected = neox.apply_rotary_pos_emb(query, key, *table)
    got = RotaryPositions(positions, 4, base=500.0, computed_in=torch.float32)(query, key)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_equals_gpt_j_pairs():
    pytest.importorskip("transformers")
    from transformers.models.gptj import modeling_gptj as gptj

    query = random(2, 5, 3, 6)  # GPT-J turns before heads and places change seats
    sin, cos = gptj.create_sinusoidal_positions(9, 6)[None, 4:].double().chunk(2, dim=-1)
    expected = gptj.apply_rotary_pos_emb(query, sin, cos).transpose(1, 2)
    turn = RotaryPositions(torch.arange(4, 9), 6, interleaved=True, computed_in=torch.float32)
    torch.testing.assert_close(turn.turn(query.transpose(1, 2)), expected, rtol=0, atol=1e-12)


def test_a_compiled_layer_turns_alike():
    layer = MultiHeadAttention(8, heads=2)
    x = torch.randn(2, 5, 8)

    def run(x, positions):
        return layer(x, turn=RotaryPositions(positions, 4))

    whole = torch.compile(run, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(whole(x, torch.arange(5)), run(x, torch.arange(5)))
    assert all(isinstance(part, nn.Linear) for part in layer.children())


def run_shapes() -> None:
    import torch

    from scratchmm.layers import rotary

    query, key = torch.randn(2, 3, 5, 11), torch.randn(2, 1, 5, 11)
    for interleaved in (False, True):
        rotary.RotaryPositions(torch.arange(5), 8, interleaved=interleaved)(query, key)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "layers/rotary.py")
