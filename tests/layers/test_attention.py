"""attend and MultiHeadAttention against torch's own operators, explicit loops and invariants."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from scratchmm.layers import attention
from scratchmm.layers.attention import (
    KeyValueCache,
    MultiHeadAttention,
    attend,
    attention_backend,
    attention_weights,
    causal_mask,
    check_heads,
    padding_mask,
    watch_attention,
)
from scratchmm.layers.checks import check_attention_shapes
from shape_comments import check_shape_comments

sizes = st.integers(1, 5)


def random_qkv(B=2, H=3, L=5, S=7, D=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(B, H, L, D), (B, H, S, D), (B, H, S, D)]
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


def looped(query, key, value, mask):
    """The formula with Python loops over everything."""
    B, H, L, D = query.shape
    output = torch.zeros(B, H, L, value.shape[-1], dtype=query.dtype)
    weights = torch.zeros(B, H, L, key.shape[2], dtype=query.dtype)
    mask = mask.expand(B, H, L, key.shape[2])
    for b in range(B):
        for h in range(H):
            for i in range(L):
                seen = [j for j in range(key.shape[2]) if mask[b, h, i, j]]
                raw = [float(query[b, h, i] @ key[b, h, j]) / math.sqrt(D) for j in seen]
                powers = [math.exp(r) for r in raw]
                for j, power in zip(seen, powers, strict=True):
                    weights[b, h, i, j] = power / sum(powers)
                    output[b, h, i] += power / sum(powers) * value[b, h, j]
    return output, weights


@given(B=sizes, H=sizes, L=sizes, S=sizes, D=sizes, seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_equals_loops_and_torch_under_any_mask(B, H, L, S, D, seed):
    query, key, value = random_qkv(B, H, L, S, D, seed)
    mask = torch.rand(B, H, L, S, generator=torch.Generator().manual_seed(seed)) > 0.4
    expected, weights = looped(query, key, value, mask)
    torch.testing.assert_close(attend(query, key, value, mask), expected, rtol=0, atol=1e-12)
    got = attention_weights(query, key, mask)
    torch.testing.assert_close(got, weights, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        attend(query, key, value),
        F.scaled_dot_product_attention(query, key, value),
        rtol=0,
        atol=1e-12,
    )


def test_blind_queries_get_zeros_and_pass_no_nan_back():
    query, key, value = (x.requires_grad_() for x in random_qkv())
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[2] = False
    output = attend(query, key, value, mask)
    assert output[:, :, 2].abs().max() == 0
    output.sum().backward()
    for tensor in (query, key, value):
        assert tensor.grad.isfinite().all()
    assert query.grad[:, :, 2].abs().max() == 0


def test_gradients():
    query, key, value = (x.requires_grad_() for x in random_qkv(1, 2, 3, 4, 2))
    mask = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]]).bool()
    assert torch.autograd.gradcheck(lambda *qkv: attend(*qkv, mask), (query, key, value))


def test_masked_keys_cannot_be_felt_even_under_huge_logits():
    query, key, value = random_qkv()
    mask = causal_mask(5, past=2)
    before = attend(query, key, value, mask)
    key[:, :, 6], value[:, :, 6] = 1e4, 1e4  # only the last query sees the last key
    after = attend(query, key, value, mask)
    torch.testing.assert_close(after[:, :, :4], before[:, :, :4], rtol=0, atol=0)
    assert (after[:, :, 4] - before[:, :, 4]).abs().max() > 1


def test_huge_scores_stay_finite():
    query, key, value = random_qkv()
    assert attend(1e4 * query, 1e4 * key, value).isfinite().all()


@given(length=st.integers(0, 6), past=st.integers(0, 4))
def test_causal_mask_is_a_comparison_of_positions(length, past):
    mask = causal_mask(length, past)
    assert mask.dtype == torch.bool and mask.shape == (length, past + length)
    for i in range(length):
        for j in range(past + length):
            assert mask[i, j] == (j <= past + i)


def test_causal_mask_has_no_past_unless_told():
    assert causal_mask(3).shape == (3, 3)
    assert causal_mask(2, device="meta").device.type == "meta"


def test_padding_mask_shape_and_meaning():
    real = torch.tensor([[True, True, False], [True, False, False]])
    mask = padding_mask(real)
    assert mask.shape == (2, 1, 1, 3) and mask.dtype == torch.bool
    torch.testing.assert_close(mask[:, 0, 0], real)
    assert padding_mask(real.int()).dtype == torch.bool


def copy_to_torch(ours, theirs):
    """Copy our separate projections into nn.MultiheadAttention's."""
    with torch.no_grad():
        projections = (ours.query, ours.key, ours.value)
        if theirs.in_proj_weight is not None:
            theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        else:
            theirs.q_proj_weight.copy_(ours.query.weight)
            theirs.k_proj_weight.copy_(ours.key.weight)
            theirs.v_proj_weight.copy_(ours.value.weight)
        theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)


@pytest.mark.parametrize("context_width", [None, 6])
@pytest.mark.parametrize("masked", [False, True])
def test_multi_head_equals_torch(context_width, masked):
    torch.manual_seed(0)
    ours = MultiHeadAttention(12, heads=3, context_width=context_width).double()
    theirs = nn.MultiheadAttention(
        12, 3, batch_first=True, kdim=context_width, vdim=context_width
    ).double()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.5)
    copy_to_torch(ours, theirs)
    x = torch.randn(2, 5, 12, dtype=torch.float64, requires_grad=True)
    context = torch.randn(2, 7, context_width or 12, dtype=torch.float64)
    mask = (torch.rand(5, 7) > 0.3) | torch.eye(5, 7).bool() if masked else None
    blocked = None if mask is None else ~mask  # torch's is True where one may NOT look
    expected, weights = theirs(x, context, context, attn_mask=blocked, average_attn_weights=False)
    output, ours_weights = ours(x, context, mask=mask, return_weights=True)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours_weights, weights, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours(x, context, mask=mask), expected, rtol=0, atol=1e-12)
    upstream = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad(output, x, upstream)
    (expected_gradient,) = torch.autograd.grad(expected, x, upstream)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-12)


def test_self_attention_looks_at_itself():
    torch.manual_seed(0)
    layer = MultiHeadAttention(8, heads=2)
    x = torch.randn(2, 3, 8)
    torch.testing.assert_close(layer(x), layer(x, context=x))


def test_bias_can_be_left_out():
    assert all(p.ndim == 2 for p in MultiHeadAttention(8, 2, bias=False).parameters())
    assert sum(p.ndim == 1 for p in MultiHeadAttention(8, 2).parameters()) == 4


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5))
@settings(max_examples=20, deadline=None)
def test_every_chunking_of_a_cached_decode_equals_the_full_pass(chunks):
    torch.manual_seed(0)
    layer = MultiHeadAttention(6, heads=2).double()
    x = torch.randn(3, sum(chunks), 6, dtype=torch.float64)
    full = layer(x, mask=causal_mask(sum(chunks)))
    cache, pieces, done = KeyValueCache(), [], 0
    for chunk in chunks:
        mask = causal_mask(chunk, past=len(cache))
        pieces.append(layer(x[:, done : done + chunk], mask=mask, cache=cache))
        done += chunk
        assert len(cache) == done
    torch.testing.assert_close(torch.cat(pieces, dim=1), full, rtol=0, atol=1e-12)


def test_caches_are_not_shared():
    one, other = KeyValueCache(), KeyValueCache()
    one.extend(torch.ones(1, 1, 2, 3), torch.zeros(1, 1, 2, 3))
    assert len(one) == 2 and len(other) == 0
    key, value = one.extend(torch.full((1, 1, 1, 3), 2.0), torch.full((1, 1, 1, 3), 3.0))
    assert key[0, 0, :, 0].tolist() == [1, 1, 2] and value[0, 0, :, 0].tolist() == [0, 0, 3]


def test_watching_collects_every_layer_in_order_and_stops():
    torch.manual_seed(0)
    one, two = MultiHeadAttention(8, 2), MultiHeadAttention(8, 4)
    x = torch.randn(2, 3, 8, requires_grad=True)
    unwatched = two(one(x))
    with watch_attention() as seen:
        watched = two(one(x))
        with watch_attention() as inner:
            one(x)
    two(x)
    assert [tuple(w.shape) for w in seen] == [(2, 2, 3, 3), (2, 4, 3, 3)]
    assert len(inner) == 1 and not seen[0].requires_grad
    torch.testing.assert_close(seen[0], one(x, return_weights=True)[1])
    torch.testing.assert_close(watched, unwatched)
    assert attention._watched is None


def test_backend_is_set_for_a_block_and_restored_after_an_error(monkeypatch):
    calls = []

    def spy(query, key, value, mask):
        calls.append(1)
        return value

    monkeypatch.setitem(attention.BACKENDS, "spy", spy)
    layer, x = MultiHeadAttention(4, 2), torch.zeros(1, 3, 4)
    with pytest.raises(RuntimeError, match="stop"), attention_backend("spy"):
        layer(x)
        attend(*torch.zeros(3, 1, 1, 2, 4), backend="plain")  # what is asked for by name wins
        raise RuntimeError("stop")
    layer(x)
    assert calls == [1]
    attend(*torch.zeros(3, 1, 1, 2, 4), backend="spy")
    assert calls == [1, 1]


def test_the_fast_backends_are_found_without_importing_them(monkeypatch):
    monkeypatch.setattr(attention, "BACKENDS", {})
    with pytest.raises(ValueError, match="no attention backend 'fast'"), attention_backend("fast"):
        pass


def test_refusals_name_both_numbers():
    zeros = torch.zeros
    with pytest.raises(ValueError, match="^width 64 is not divisible by 3 heads$"):
        MultiHeadAttention(64, 3)
    with pytest.raises(ValueError, match="^width 4 is not divisible by 0 heads$"):
        check_heads(4, 0)
    check_heads(4, 1)
    with pytest.raises(ValueError, match="^query has width 4 but key has width 8$"):
        attend(zeros(1, 1, 2, 4), zeros(1, 1, 2, 8), zeros(1, 1, 2, 8))
    with pytest.raises(ValueError, match="^there are 2 keys but 3 values$"):
        attend(zeros(1, 1, 2, 4), zeros(1, 1, 2, 4), zeros(1, 1, 3, 4))
    with pytest.raises(ValueError, match="^the attention mask is torch.float32, not torch.bool"):
        check_attention_shapes(*zeros(3, 1, 1, 2, 4), zeros(2, 2))
    with pytest.raises(ValueError, match="^there is no attention backend 'flash'; there are plain"):
        attend(*zeros(3, 1, 1, 2, 4), backend="flash")


def run_shapes() -> None:
    import torch

    from scratchmm.layers import attention

    x, context = torch.randn(2, 5, 12), torch.randn(2, 7, 10)
    layer = attention.MultiHeadAttention(12, 3, context_width=10)
    real = torch.arange(7) < torch.tensor([[4], [7]])
    mask = attention.padding_mask(real)
    layer(x, context, mask)
    layer(x, context, mask, return_weights=True)
    layer(x, context, return_weights=True)
    itself = attention.MultiHeadAttention(12, 3)
    kept = attention.KeyValueCache()
    itself(x, mask=attention.causal_mask(5), cache=kept, return_weights=True)
    itself(x[:, :1], cache=kept, return_weights=True)
    query, mask = torch.randn(3, 2, 3, 5, 4), attention.causal_mask(5)
    attention.attend(*query, mask, bias=torch.randn(5, 5))
    grouped = attention.MultiHeadAttention(12, 6, 10, key_heads=2)
    grouped(x, context, bias=torch.randn(6, 5, 7), kept=kept.context)
    kept = attention.KeyValueCache()
    kept.extend(*torch.randn(2, 3, 2, 5, 4))
    kept.extend(*torch.randn(2, 3, 2, 1, 4))
    kept.context.project(lambda x: (x[:, None], x[:, None]), torch.randn(3, 7, 4))
    kept.select(torch.tensor([2, 0, 1]))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "layers/attention.py")
