"""A bias on the scores: the formula by loops, and every backend alike, in values and gradients."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.layers import fast_attention
from scratchmm.layers.attention import MultiHeadAttention, attend, attention_backend, causal_mask

FAST = pytest.mark.parametrize("backend", ["tiled", "fused", "torch"])
ALL = pytest.mark.parametrize("backend", ["plain", "tiled", "fused", "torch"])
HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
# Of scores (2, 3, 5, 7): whole, one for all samples, for all heads, for all queries, for all keys.
BIASES = [(2, 3, 5, 7), (3, 5, 7), (1, 3, 1, 7), (2, 1, 5, 1), (5, 7), (7,), (5, 1), ()]


@pytest.fixture(autouse=True)
def small_tiles_and_no_compiler(monkeypatch):
    """Compiling takes seconds and is tested in test_fused_agrees: here it hands back the formula."""
    monkeypatch.setattr(fast_attention, "TILE", 3)
    monkeypatch.setattr(fast_attention, "_compiled", fast_attention._formula)


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def with_gradients(parts, bias, mask, backend):
    inputs = [part.detach().clone().requires_grad_() for part in (*parts, bias)]
    output = attend(*inputs[:3], mask, bias=inputs[3], backend=backend)
    upstream = torch.linspace(-1, 2, output.numel(), dtype=torch.float64).view(output.shape)
    return [output.detach(), *torch.autograd.grad(output, inputs, upstream.to(output.dtype))]


def looped(query, key, value, bias, mask):
    """The formula for one query at a time, over the keys that it may see."""
    scores = (*query.shape[:3], key.shape[2])
    bias, mask = bias.expand(scores), mask.expand(scores)
    output = torch.zeros(*query.shape[:3], value.shape[-1], dtype=query.dtype)
    for b, h, i in torch.cartesian_prod(*map(torch.arange, scores[:3])).view(-1, 3).tolist():
        seen = mask[b, h, i].nonzero()[:, 0].tolist()
        powers = [
            math.exp(float(query[b, h, i] @ key[b, h, j]) / math.sqrt(query.shape[-1]))
            * math.exp(float(bias[b, h, i, j]))
            for j in seen
        ]
        for j, power in zip(seen, powers, strict=True):
            output[b, h, i] += power / sum(powers) * value[b, h, j]
    return output


sizes = st.integers(1, 5)


@given(B=sizes, H=sizes, L=sizes, S=sizes, D=sizes, seed=st.integers(0, 999), data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_formula_under_any_mask_and_any_broadcast(B, H, L, S, D, seed, data):
    query, key, value = random(B, H, L, D), random(B, H, S, D, seed=1), random(B, H, S, D, seed=2)
    shape = [data.draw(st.sampled_from([1, size])) for size in (B, H, L, S)]
    bias = 2 * random(*shape[data.draw(st.integers(0, 4)) :], seed=seed)
    mask = random(B, H, L, S, seed=seed + 1) > -0.3
    expected = looped(query, key, value, bias, mask)
    for backend in ("plain", "tiled", "torch"):
        got = attend(query, key, value, mask, bias=bias, backend=backend)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@FAST
@pytest.mark.parametrize("shape", BIASES)
@pytest.mark.parametrize("masked", [False, True])
def test_all_backends_agree_in_values_and_gradients(backend, shape, masked):
    parts = [random(2, 3, 5, 4), random(2, 3, 7, 4, seed=1), random(2, 3, 7, 4, seed=2)]
    mask = None
    if masked:
        mask = random(2, 1, 5, 7, seed=3) > 0
        mask[1, :, 2] = False  # a query that may see nothing
    expected = with_gradients(parts, random(*shape, seed=4), mask, "plain")
    got = with_gradients(parts, random(*shape, seed=4), mask, backend)
    assert got[-1].shape == shape and (shape in ((), (5, 1), (2, 1, 5, 1)) or got[-1].any())
    for ours, plain in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["plain", "tiled", "torch"])
def test_keys_that_serve_several_heads_get_the_sum_of_their_gradients(backend):
    """Grouped queries: (B, G, H / G, L, D) against keys (B, G, 1, S, D), and a bias of each head."""
    parts = [random(2, 3, 4, 5, 6), random(2, 3, 1, 7, 6, seed=1), random(2, 3, 1, 7, 6, seed=2)]
    bias = random(3, 4, 5, 7, seed=3)
    whole = [part.expand(2, 3, 4, -1, -1).flatten(1, 2) for part in parts]
    mask = causal_mask(5, past=2)
    output, *gradients = with_gradients(parts, bias, mask, backend)
    expected, *larger = with_gradients(whole, bias.flatten(0, 1), mask, "plain")
    torch.testing.assert_close(output.flatten(1, 2), expected, rtol=0, atol=1e-12)
    for ours, theirs, part in zip(gradients[:3], larger[:3], parts, strict=True):
        theirs = theirs.unflatten(1, (3, 4)).sum_to_size(part.shape)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients[3].flatten(0, 1), larger[3], rtol=0, atol=1e-12)


def test_what_a_bias_says_of_a_masked_key_is_not_heard():
    parts = [random(1, 2, 5, 4), random(1, 2, 7, 4, seed=1), random(1, 2, 7, 4, seed=2)]
    mask, bias = causal_mask(5, past=2), random(5, 7, seed=3)
    loud = bias.masked_fill(~mask, 1e30)
    for backend in ("plain", "tiled", "torch"):
        quiet, *_, gradient = with_gradients(parts, bias, mask, backend)
        output, *_, other = with_gradients(parts, loud, mask, backend)
        assert output.equal(quiet) and gradient.equal(other)
        assert gradient[~mask].abs().max() == 0 and gradient[mask].abs().min() > 0


@pytest.mark.parametrize("backend", ["plain", "tiled", "torch"])
@pytest.mark.parametrize(("L", "S"), [(0, 3), (3, 0), (0, 0)])
def test_nobody_asks_or_nobody_answers(backend, L, S):
    shapes = ((2, 1, L, 4), (2, 1, S, 4), (2, 1, S, 4), (L, S))
    *parts, bias = (random(*shape).requires_grad_() for shape in shapes)
    output = attend(*parts, bias=bias, backend=backend)
    assert output.shape == (2, 1, L, 4) and not output.any()
    output.sum().backward()
    assert not any(part.grad.any() for part in (*parts, bias) if part.grad is not None)


@ALL
def test_blind_queries_get_zeros_and_their_bias_no_gradient(backend):
    parts = [random(2, 3, 5, 4), random(2, 3, 7, 4, seed=1), random(2, 3, 7, 4, seed=2)]
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[2] = False
    output, *gradients = with_gradients(parts, random(3, 5, 7, seed=3), mask, backend)
    assert output[:, :, 2].abs().max() == 0 and output[:, :, 1].abs().min() > 0
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0][:, :, 2].abs().max() == 0 and gradients[3][:, 2].abs().max() == 0


@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 1, 5), (4, 1)])
@pytest.mark.parametrize("backend", ["plain", "tiled"])
def test_gradients_and_their_gradients(backend, shape):
    parts = [random(1, 2, 4, 3), random(1, 5, 3, seed=1), random(2, 5, 2, seed=2)]
    inputs = [part.requires_grad_() for part in (*parts, random(*shape, seed=3))]
    mask = torch.ones(4, 5).tril(2).bool()
    mask[1] = False
    for seen in (None, mask):

        def function(query, key, value, bias, seen=seen):
            return attend(query, key, value, seen, bias=bias, backend=backend)

        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_a_bias_that_learns_nothing_costs_no_gradient(monkeypatch):
    parts = [part.requires_grad_() for part in (random(1, 1, 4, 3), random(1, 1, 5, 3, seed=1))]
    made = []
    tile = fast_attention._tile
    monkeypatch.setattr(fast_attention, "_tile", lambda *a: made.append(1) or tile(*a))
    for learns in (False, True):
        made.clear()
        bias = random(4, 5, seed=2).requires_grad_(learns)
        attend(parts[0], parts[1], parts[1], bias=bias, backend="tiled").sum().backward()
        assert len(made) == (12 if learns else 8)  # 2 x 2 tiles: forward, backward, and its sums
        assert (bias.grad is not None) == learns


def test_tiled_never_makes_a_bias_larger_than_it_is(monkeypatch):
    """A bias of the heads (H, 1, 1) is not written out for every query and key."""
    seen = []
    scores = fast_attention._scores

    def spy(query, key, mask, bias, rows, columns):
        seen.append(bias.numel())
        return scores(query, key, mask, bias, rows, columns)

    monkeypatch.setattr(fast_attention, "_scores", spy)
    parts, bias = random(3, 2, 4, 7, 3), random(4, 1, 1, seed=3).requires_grad_()
    attend(*parts, bias=bias, backend="tiled").sum().backward()
    assert set(seen) == {4} and bias.grad.shape == (4, 1, 1)


@pytest.mark.parametrize("backend", ["plain", "tiled", "torch"])
@HALVES
@pytest.mark.parametrize("size", [1.0, 60.0, 3e4])
@pytest.mark.parametrize("masked", [False, True])
def test_half_precision_is_close_to_the_sum_in_float64(backend, dtype, size, masked):
    """Scores of 50,000 and a bias of 30,000 are more than float16 holds."""
    query, key, value = (random(2, 3, 5, 64, seed=seed).to(dtype) / 2 for seed in range(3))
    query = query / 8 + 80
    key = key / 8
    key[..., 0] += 80
    bias = (size * random(3, 5, 5, seed=3).sign() + random(3, 5, 5, seed=4)).to(dtype)
    query, key = query.to(dtype), key.to(dtype)
    mask = torch.ones(5, 5).tril().bool() if masked else None
    exact = with_gradients([p.double() for p in (query, key, value)], bias.double(), mask, "plain")
    for ours, theirs in zip(with_gradients((query, key, value), bias, mask, backend), exact):
        assert ours.dtype == dtype and ours.isfinite().all()
        share = (ours.double() - theirs).abs().max() / theirs.abs().max().clamp(min=1.0)
        assert share < 0.01


@pytest.mark.parametrize("backend", ["plain", "tiled", "torch"])
@HALVES
def test_a_float32_bias_is_not_rounded_to_half_precision(backend, dtype):
    parts = [part.to(dtype) for part in random(3, 1, 2, 5, 4)]
    bias = 1e6 + random(2, 5, 5, seed=3).float()  # float16 ends at 65504, bfloat16 has 3 digits
    expected = attend(*(part.double() for part in parts), bias=bias.double())
    got = attend(*parts, bias=bias, backend=backend)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("backend", ["plain", "tiled", "torch"])
def test_the_outputs_dtype_is_the_querys(backend):
    parts = torch.randn(3, 1, 2, 5, 4)
    for bias in (torch.zeros(5, 5).double(), torch.zeros(5, 5).half()):
        got = attend(*parts, bias=bias, backend=backend)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, attend(*parts))


def loss_of_all(query, key, value, bias, mask):
    output = attend(query, key, value, mask[:, None], bias=bias[:, None], backend="plain")
    return output.square().sum()


@pytest.mark.parametrize("backend", ["plain", "tiled", "torch"])
@pytest.mark.parametrize("shared", [(), (3,), (0,), (1, 2), (0, 1, 3)])
def test_gradients_sample_by_sample_and_a_whole_graph(backend, shared):
    """vmap, where each sample has its own, or all share query, key, value or bias; and a graph."""
    sizes = [(1, 5, 4), (1, 7, 4), (1, 7, 4), (5, 7)]
    parts = [
        random(*size, seed=index) if index in shared else random(3, *size, seed=index)
        for index, size in enumerate(sizes)
    ]
    mask = random(3, 5, 7, seed=4) < 0.5

    def loss(q, k, v, b, m):
        return attend(q, k, v, m, bias=b, backend=backend).square().sum()

    gradients = torch.func.grad(loss, argnums=(0, 1, 2, 3))
    axes = (*(None if index in shared else 0 for index in range(4)), 0)
    each = torch.func.vmap(gradients, in_dims=axes)(*parts, mask)
    spread = [p.expand(3, *s).clone().requires_grad_() for p, s in zip(parts, sizes, strict=True)]
    output = loss_of_all(*spread, mask)
    expected = torch.autograd.grad(output, spread)
    for ours, theirs in zip(each, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    whole = torch.compile(loss, fullgraph=True, backend="aot_eager")
    inputs = [part.detach().clone().requires_grad_() for part in spread]
    given = (*inputs[:3], inputs[3][:, None], mask[:, None])
    for ours, theirs in zip(torch.autograd.grad(whole(*given), inputs), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@ALL
@pytest.mark.parametrize(
    ("bias", "said"),
    [
        (torch.zeros(2, 5), r"^the attention bias is \(2, 5\), .* to the scores of \(2, 3\)$"),
        (torch.zeros(4, 2, 3), r"^the attention bias is \(4, 2, 3\)"),
        (torch.ones(2, 3).bool(), "^the attention bias is torch.bool, not floats .*the mask's"),
        (torch.ones(2, 3).long(), "^the attention bias is torch.int64, not floats"),
    ],
)
def test_what_is_no_bias_is_refused_by_every_backend(backend, bias, said):
    parts = [torch.zeros(2, 4), torch.zeros(3, 4), torch.zeros(3, 4)]
    with pytest.raises(ValueError, match=said):
        attend(*parts, bias=bias, backend=backend)


@ALL
def test_a_whole_layer_with_fewer_key_heads_and_a_bias(backend):
    """Each backend set for a model, whose masks and biases are of every head."""
    torch.manual_seed(0)
    layer = MultiHeadAttention(12, heads=6, key_heads=2).double()
    x, bias = random(2, 5, 12).requires_grad_(), random(6, 5, 5, seed=1).requires_grad_()
    mask = random(2, 6, 5, 5, seed=2) > 0
    wanted = [x, bias, *layer.parameters()]

    def run():
        output = layer(x, mask=mask, bias=bias)
        return [output, *torch.autograd.grad(output.square().sum(), wanted)]

    expected = run()
    with attention_backend(backend), warnings.catch_warnings():
        warnings.simplefilter("error")
        for ours, plain in zip(run(), expected, strict=True):
            torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)
