"""Attention at the edges: half precision, what repeats by broadcasting, gradients of gradients."""

import pytest
import torch
import torch.nn.functional as F

from scratchmm.layers import fast_attention
from scratchmm.layers.attention import (
    MultiHeadAttention,
    attend,
    attention_backend,
    attention_weights,
    padding_mask,
    watch_attention,
)

BACKENDS = pytest.mark.parametrize("backend", ["plain", "tiled", "torch"])
HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(fast_attention, "TILE", 3)


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def with_gradients(parts, mask, backend):
    inputs = [part.detach().clone().requires_grad_() for part in parts]
    output = attend(*inputs, mask, backend=backend)
    upstream = torch.linspace(-1, 1, output.numel()).view(output.shape).to(output.dtype)
    return [output.detach(), *torch.autograd.grad(output, inputs, upstream)]


@BACKENDS
@HALVES
@pytest.mark.parametrize("size", [1.0, 60.0, 300.0])
@pytest.mark.parametrize("masked", [False, True])
def test_half_precision_is_close_to_the_sum_in_float64(backend, dtype, size, masked):
    """At 300 a score is 720,000, and a product before it is divided more than 5 million."""
    query, key, value = (random(2, 3, 5, 64, seed=seed).to(dtype) / 2 for seed in range(3))
    query, key = query / 8 + size, key / 8
    key[..., 0] += size
    query, key, value = (part.to(dtype) for part in (query, key, value))
    mask = torch.ones(5, 5).tril().bool() if masked else None
    expected = with_gradients([part.double() for part in (query, key, value)], mask, "plain")
    for ours, exact in zip(with_gradients((query, key, value), mask, backend), expected):
        assert ours.dtype == dtype and ours.isfinite().all()
        share = (ours.double() - exact).abs().max() / exact.abs().max().clamp(min=1.0)
        assert share < 0.01


def test_float16_weights_neither_overflow_when_they_are_asked_for():
    query = torch.full((1, 2, 64), 60.0).half()
    key = torch.stack([torch.full((64,), 60.0), torch.full((64,), 59.0)])[None].half()
    assert attention_weights(query, key).tolist() == [[[1.0, 0.0], [1.0, 0.0]]]


def test_watched_or_returned_weights_take_nothing_from_half_precision():
    torch.manual_seed(0)
    layer = MultiHeadAttention(64, heads=1).half()
    with torch.no_grad():
        for linear in (layer.query, layer.key):
            linear.weight.copy_(8 * torch.eye(64))
    x = torch.full((1, 3, 64), 16.0).half()
    x[:, 1] = -16
    plain = layer(x)
    with watch_attention() as seen:
        watched = layer(x)
    output, weights = layer(x, return_weights=True)
    assert plain.isfinite().all() and watched.equal(plain) and output.equal(plain)
    assert weights.equal(seen[0]) and weights[0, 0, 0].tolist() == [0.5, 0.0, 0.5]
    assert plain.dtype == torch.float16


@BACKENDS
@pytest.mark.parametrize(
    "query, key, value",
    [
        ((3, 2, 5, 4), (1, 2, 7, 4), (1, 2, 7, 4)),  # one sample's keys for a batch
        ((3, 2, 5, 4), (3, 1, 7, 4), (3, 1, 7, 4)),  # one head's for all
        ((3, 2, 5, 4), (1, 1, 7, 4), (3, 1, 7, 6)),  # both, and values of their own
        ((1, 2, 5, 4), (3, 2, 7, 4), (3, 2, 7, 4)),  # one query for many keys
        ((3, 2, 5, 4), (2, 7, 4), (7, 4)),  # fewer axes
        ((5, 4), (3, 7, 4), (3, 7, 6)),
        ((5, 4), (7, 4), (7, 4)),
    ],
)
def test_what_repeats_gets_the_sum_of_its_gradients(backend, query, key, value):
    """Against the same numbers written out, whose gradients are added up by hand."""
    parts = [random(*shape, seed=seed) for seed, shape in enumerate((query, key, value))]
    outer = torch.broadcast_shapes(query[:-2], key[:-2], value[:-2])
    whole = [part.expand(*outer, -1, -1).clone() for part in parts]
    for mask in (None, torch.rand(5, 7, generator=torch.Generator().manual_seed(3)) < 0.6):
        output, *gradients = with_gradients(parts, mask, backend)
        expected, *larger = with_gradients(whole, mask, "plain")
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
        for ours, theirs, part in zip(gradients, larger, parts, strict=True):
            torch.testing.assert_close(ours, theirs.sum_to_size(part.shape), rtol=0, atol=1e-12)


def test_the_gradient_of_a_gradient_through_tiles():
    parts = [random(*shape).requires_grad_() for shape in ((1, 2, 4, 3), (1, 7, 3), (2, 7, 2))]
    mask = torch.ones(4, 7).tril(2).bool()
    mask[1] = False  # a query that sees nothing
    for seen in (None, mask):
        function = lambda *qkv, seen=seen: attend(*qkv, seen, backend="tiled")  # noqa: E731
        assert torch.autograd.gradcheck(function, parts)
        assert torch.autograd.gradgradcheck(function, parts)


def test_a_gradient_penalty_through_tiles_is_that_of_the_formula():
    x, key, value = random(1, 2, 5, 3), random(1, 2, 7, 3, seed=1), random(1, 2, 7, 2, seed=2)

    def penalty(backend):
        point = x.clone().requires_grad_()
        output = attend(point, key, value, backend=backend).sum() + (point**3).sum()
        (slope,) = torch.autograd.grad(output, point, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), point)[0]

    torch.testing.assert_close(penalty("tiled"), penalty("plain"), rtol=0, atol=1e-11)


@BACKENDS
def test_gradients_sample_by_sample_and_a_whole_graph(backend):
    """vmap and a compiled graph must not look at a mask's numbers."""
    query, key, value = random(3, 1, 5, 4), random(3, 1, 7, 4), random(3, 1, 7, 4)
    mask = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(1)) < 0.5
    mask[:, 3:] = False  # a tile that nobody sees

    def loss(q, k, v, m):
        return attend(q, k, v, m, backend=backend).square().sum()

    each = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1, 2)))(query, key, value, mask)
    together = [part.clone().requires_grad_() for part in (query, key, value)]
    output = attend(*together, mask[:, None], backend="plain").square().sum()
    for ours, theirs in zip(each, torch.autograd.grad(output, together), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    whole = torch.compile(loss, fullgraph=True, backend="aot_eager")
    together = [part.clone().requires_grad_() for part in (query, key, value)]
    for ours, theirs in zip(torch.autograd.grad(whole(*together, mask[:, None]), together), each):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["plain", "tiled", "torch", "fused"])
@pytest.mark.parametrize(
    "shapes, mask, said",
    [
        (((1, 4, 2, 4), (1, 2, 3, 4), (1, 2, 3, 4)), None, "key .1, 2, 3, 4. .* do not fit"),
        (((2, 1, 2, 4), (3, 1, 3, 4), (3, 1, 3, 4)), None, "batches or heads do not fit"),
        (((1, 1, 2, 4), (1, 1, 3, 4), (1, 2, 4, 4)), None, "there are 3 keys but 4 values"),
        (((4,), (3, 4), (3, 4)), None, r"query, key and value are \(4,\), \(3, 4\)"),
        (((2, 4), (3, 4), (3, 4)), torch.ones(2, 5).bool(), r"\(2, 5\), .* scores of \(2, 3\)"),
        (((2, 4), (3, 4), (3, 4)), torch.ones(4, 2, 3).bool(), r"mask is \(4, 2, 3\)"),
        (((2, 4), (3, 4), (3, 4)), torch.zeros(2, 3), "torch.float32, not torch.bool"),
        (((2, 4), (3, 4), (3, 4)), torch.ones(2, 3).long(), "torch.int64, not torch.bool"),
    ],
)
def test_what_does_not_fit_is_refused_by_every_backend(backend, shapes, mask, said):
    with pytest.raises(ValueError, match=said):
        attend(*map(torch.zeros, shapes), mask, backend=backend)


@pytest.mark.parametrize("options", [{}, {"return_weights": True}])
def test_a_mask_to_be_added_is_refused_by_a_layer_watched_or_not(options):
    layer, x, added = MultiHeadAttention(8, heads=2), torch.zeros(1, 3, 8), torch.zeros(3, 3)
    for mask, said in ((added, "torch.float32"), (torch.ones(4, 4).bool(), r"\(4, 4\)")):
        with pytest.raises(ValueError, match=said):
            layer(x, mask=mask, **options)
        with pytest.raises(ValueError, match=said), watch_attention():
            layer(x, mask=mask, **options)
    with pytest.raises(ValueError, match="padding mask is torch.float32, not torch.bool"):
        padding_mask(torch.tensor([[0.0, -torch.inf]]))


def test_backends_in_half_precision_in_a_whole_layer():
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(32, heads=2).half(), 20 * torch.randn(2, 5, 32).half()
    expected = layer.double()(x.double())
    layer.half()
    for backend in ("plain", "tiled", "torch"):
        with attention_backend(backend):
            apart = (layer(x).double() - expected).abs().max()
        assert apart < 0.01 * expected.abs().max()


def test_equal_to_torchs_kernel_with_a_mask_in_float16():
    q, k, v = (random(1, 2, 5, 8, seed=seed).half() for seed in range(3))
    mask = torch.ones(5, 5).tril().bool()
    theirs = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), mask)
    torch.testing.assert_close(attend(q, k, v, mask).double(), theirs, rtol=0, atol=2e-3)
