"""The other backends give the numbers of the plain formula, gradients too; tiled saves memory."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.layers import attention, fast_attention
from scratchmm.layers.attention import BACKENDS, attend, attention_backend, causal_mask
from scratchmm.layers.fast_attention import OnlineSoftmax, online_softmax_step, tiled_attention
from shape_comments import check_shape_comments


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(fast_attention, "TILE", 3)


def with_gradients(query, key, value, mask, backend):
    inputs = [x.detach().clone().requires_grad_() for x in (query, key, value)]
    output = attend(*inputs, mask, backend=backend)
    upstream = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).view(output.shape)
    return output.detach(), *torch.autograd.grad(output, inputs, upstream)


def agrees(query, key, value, mask, backend):
    expected = with_gradients(query, key, value, mask, "plain")
    got = with_gradients(query, key, value, mask, backend)
    for ours, plain in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)


def inputs(B, H, L, S, D, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(B, H, L, D), (B, H, S, D), (B, H, S, D)]
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


def test_all_backends_are_registered():
    assert set(BACKENDS) == {"tiled", "fused", "torch"}


lengths = st.integers(1, 11)


@pytest.mark.parametrize("backend", ["tiled", "torch"])
@given(L=lengths, S=lengths, seed=st.integers(0, 99), share=st.sampled_from([0.0, 0.3, 0.9, 1.0]))
@settings(max_examples=30, deadline=None)
def test_agree_on_any_lengths_and_masks(backend, L, S, seed, share):
    qkv = inputs(2, 3, L, S, 4, seed)
    agrees(*qkv, None, backend)
    mask = torch.rand(2, 1, L, S, generator=torch.Generator().manual_seed(seed)) < share
    agrees(*qkv, mask, backend)


@pytest.mark.parametrize("backend", ["tiled", "torch"])
def test_masks_broadcast_and_blind_rows_are_zero(backend):
    qkv = inputs(2, 3, 7, 8, 4)
    agrees(*qkv, causal_mask(7, past=1), backend)
    agrees(*qkv, torch.tensor([1, 1, 0, 1, 1, 0, 1, 0]).bool(), backend)
    blind = torch.ones(2, 1, 7, 1, dtype=torch.bool)
    blind[1, :, 4] = False
    agrees(*qkv, blind.expand(2, 1, 7, 8), backend)
    assert attend(*qkv, blind.expand(2, 1, 7, 8), backend=backend)[1, :, 4].abs().max() == 0


def test_tiled_gradients():
    query, key, value = (x.requires_grad_() for x in inputs(1, 2, 4, 5, 2))
    mask = torch.ones(4, 5).tril().bool()
    assert torch.autograd.gradcheck(lambda *qkv: tiled_attention(*qkv, mask), (query, key, value))


def test_tiled_value_may_have_its_own_width():
    query, key, _ = inputs(1, 2, 4, 5, 2)
    value = torch.randn(1, 2, 5, 7, dtype=torch.float64)
    agrees(query, key, value, None, "tiled")


def test_tiled_survives_huge_scores():
    query, key, value = inputs(1, 1, 7, 7, 4)
    agrees(1e3 * query, 1e3 * key, value, None, "tiled")


def test_tiled_sums_half_precision_in_float32():
    query, key, value = (x.bfloat16() for x in inputs(1, 2, 5, 50, 4))
    output = tiled_attention(query, key, value)
    exact = attend(query.double(), key.double(), value.double()).bfloat16()
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output, exact, rtol=2**-8, atol=1e-6)


def test_tiled_never_holds_more_than_a_tile_of_scores(monkeypatch):
    largest = []
    original = fast_attention.online_softmax_step

    def spy(state, scores, value):
        largest.append(max(scores.shape[-2:]))
        return original(state, scores, value)

    monkeypatch.setattr(fast_attention, "online_softmax_step", spy)
    tiled_attention(*inputs(1, 1, 10, 8, 2))
    assert max(largest) == 3 and len(largest) == 4 * 3  # tiles of 3 over 10 queries and 8 keys


def test_tiles_that_nobody_sees_are_not_computed(monkeypatch):
    calls = []
    original = fast_attention.online_softmax_step
    monkeypatch.setattr(
        fast_attention, "online_softmax_step", lambda *a: calls.append(1) or original(*a)
    )
    tiled_attention(*inputs(1, 1, 9, 9, 2), causal_mask(9))
    assert len(calls) == 6  # of nine tiles, three lie above the diagonal


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_online_softmax_in_any_chunks_is_softmax(chunks, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = 5 * torch.randn(2, 1, 3, sum(chunks), generator=generator, dtype=torch.float64)
    value = torch.randn(2, 1, sum(chunks), 5, generator=generator, dtype=torch.float64)
    empty = torch.zeros(2, 1, 3, 1, dtype=torch.float64)
    state = OnlineSoftmax(empty - math.inf, empty, torch.zeros(2, 1, 3, 5, dtype=torch.float64))
    blind = torch.full((2, 1, 3, 2), -math.inf, dtype=torch.float64)
    state = online_softmax_step(state, blind, value[..., :2, :].new_ones(2, 1, 2, 5))
    assert state.total.abs().max() == 0 and state.output.abs().max() == 0
    done = 0
    for chunk in chunks:
        part = slice(done, done + chunk)
        state = online_softmax_step(state, scores[..., part], value[..., part, :])
        done += chunk
    torch.testing.assert_close(state.maximum, scores.amax(-1, keepdim=True))
    torch.testing.assert_close(state.output / state.total, scores.softmax(-1) @ value)


@pytest.mark.parametrize("backend", ["plain", "tiled", "fused", "torch"])
def test_a_mask_of_numbers_is_refused_everywhere(backend):
    with pytest.raises(ValueError, match="^the attention mask is torch.float32, not torch.bool"):
        attend(*inputs(1, 2, 3, 4, 5), torch.ones(3, 4), backend=backend)


def test_blind_rows_never_reach_torchs_kernel(monkeypatch):
    masks = []

    def kernel(query, key, value, attn_mask):
        masks.append(attn_mask)
        return torch.full_like(query, math.nan)  # what some of them give for a blind row

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", kernel)
    mask = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]]).bool()
    output = attend(*inputs(1, 2, 3, 4, 5), mask, backend="torch")
    assert masks[0].any(dim=-1).all() and output[:, :, 1].eq(0).all()
    assert torch.equal(masks[0][[0, 2]], mask[[0, 2]])


@pytest.fixture
def fresh_fusion(monkeypatch):
    monkeypatch.setattr(fast_attention, "_compiled", None)
    monkeypatch.setattr(fast_attention, "_fusing_failed", False)


@pytest.mark.usefixtures("fresh_fusion")
def test_fused_agrees():
    with warnings.catch_warnings():
        # Without a compiler it falls back, which must agree too.
        warnings.filterwarnings("ignore", message="attention can't be fused")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        agrees(*inputs(2, 3, 5, 7, 4), None, "fused")
        mask = torch.rand(2, 1, 5, 7) > 0.5
        mask[1, :, 2] = False
        agrees(*inputs(2, 3, 5, 7, 4), mask, "fused")
        parts = [*inputs(2, 3, 5, 7, 4), inputs(1, 3, 5, 7, 7)[0][0]]
        parts = [part.requires_grad_() for part in parts]
        found = []
        for backend in ("fused", "plain"):
            output = attend(*parts[:3], mask, bias=parts[3], backend=backend)
            found.append([output, *torch.autograd.grad(output.square().sum(), parts)])
        for ours, plain in zip(*found, strict=True):
            torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("fresh_fusion")
def test_what_is_compiled_is_the_formula_and_compiled_once(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(1) or function)
    mask = torch.rand(2, 1, 5, 7) > 0.5
    mask[1, :, 2] = False
    agrees(*inputs(2, 3, 5, 7, 4), None, "fused")
    agrees(*inputs(2, 3, 5, 7, 4), mask, "fused")
    assert compiled == [1] and not fast_attention._fusing_failed  # else the plain one answered


@pytest.mark.usefixtures("fresh_fusion")
def test_fused_says_why_it_cannot_and_carries_on(monkeypatch):
    def no_compiler(function):
        def fails(*arguments):
            raise RuntimeError("InvalidCxxCompiler: no working C++ compiler\nmore")

        return fails

    monkeypatch.setattr(torch, "compile", no_compiler)
    qkv = inputs(1, 2, 3, 4, 5)
    with pytest.warns(UserWarning, match=r"can't be fused here.*C\+\+ compiler.*InvalidCxx") as w:
        output = attend(*qkv, backend="fused")
    assert len(w) == 1 and "\n" not in str(w[0].message)
    torch.testing.assert_close(output, attend(*qkv))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 0, 0]]).bool()
        output = attend(*qkv, mask, backend="fused")  # it warns once
    torch.testing.assert_close(output, attend(*qkv, mask))


@pytest.mark.usefixtures("fresh_fusion")
@pytest.mark.parametrize("works", [True, False])
def test_a_whole_model_set_to_fused_does_not_go_round_in_circles(monkeypatch, works):
    def broken(*arguments):
        raise RuntimeError

    monkeypatch.setattr(torch, "compile", lambda function: function if works else broken)
    mask = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 0, 0]]).bool()
    qkv = inputs(1, 2, 3, 4, 5)
    with warnings.catch_warnings(record=True) as said, attention_backend("fused"):
        warnings.simplefilter("always")
        outputs = [attend(*qkv, mask), attend(*qkv, mask)]
    for output in outputs:
        torch.testing.assert_close(output, attend(*qkv, mask, backend="plain"))
    assert fast_attention._fusing_failed != works
    assert [str(one.message).endswith("(RuntimeError: no reason given)") for one in said] == [
        True
    ] * (not works)


def test_the_fast_ones_are_fetched_when_one_is_first_named(monkeypatch):
    fetched = []

    def fetch(name):
        fetched.append(name)
        attention.BACKENDS["tiled"] = tiled_attention

    monkeypatch.setattr(attention, "BACKENDS", {})
    monkeypatch.setattr(attention, "import_module", fetch)
    with attention_backend("tiled"):
        attend(*inputs(1, 2, 3, 4, 5))
    assert fetched == ["scratchmm.layers.fast_attention"]


def test_plain_can_be_set_by_name():
    with attention_backend("tiled"), attention_backend("plain"):
        torch.testing.assert_close(attend(*inputs(1, 2, 3, 4, 5)), attend(*inputs(1, 2, 3, 4, 5)))


@pytest.mark.usefixtures("fresh_fusion")
def test_a_callers_mistake_is_not_blamed_on_the_compiler(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function: function)
    with pytest.raises(ValueError, match="query has width 4 but key has width 5"):
        attend(torch.zeros(1, 1, 2, 4), *torch.zeros(2, 1, 1, 2, 5), backend="fused")
    with pytest.raises(ValueError, match="their batches or heads do not fit"):
        attend(torch.zeros(3, 1, 2, 4), *torch.zeros(2, 2, 1, 2, 4), backend="fused")
    assert not fast_attention._fusing_failed


def run_shapes() -> None:
    import torch

    from scratchmm.layers import fast_attention

    query = torch.randn(2, 3, 5, 4, requires_grad=True)
    key = torch.randn(2, 3, 7, 4, requires_grad=True)
    value = torch.randn(2, 3, 7, 6, requires_grad=True)
    mask = torch.rand(2, 3, 5, 7) > 0.4
    bias = torch.randn(3, 5, 7, requires_grad=True)
    fast_attention.tiled_attention(query, key, value, mask, bias).sum().backward()
    key, value = key.detach(), torch.randn(2, 3, 7, 4)
    fast_attention.torch_attention(query, key, value, mask)
    fast_attention.torch_attention(query, key, value)


def test_shape_comments_are_true(monkeypatch) -> None:
    monkeypatch.setattr(fast_attention, "TILE", 512)  # one tile: letters have one value a call
    check_shape_comments(run_shapes, "layers/fast_attention.py")
