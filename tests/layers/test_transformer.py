"""Blocks against torch's own encoder and decoder layers under copied weights; caches; causality."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from scratchmm.layers.attention import causal_mask, watch_attention
from scratchmm.layers.transformer import (
    CrossAttentionBlock,
    FeedForward,
    PostNormBlock,
    PostNormCrossAttentionBlock,
    SwiGLU,
    Transformer,
    TransformerBlock,
    hidden_states,
    quick_gelu,
)
from shape_comments import check_shape_comments

sizes = st.integers(1, 5)


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module.double()


def copy_attention(ours, theirs):
    weights = [p.weight for p in (ours.query, ours.key, ours.value)]
    biases = [p.bias for p in (ours.query, ours.key, ours.value)]
    theirs.in_proj_weight.copy_(torch.cat(weights))
    theirs.in_proj_bias.copy_(torch.cat(biases))
    theirs.out_proj.load_state_dict(ours.output.state_dict())


def copy_block(ours, theirs, cross=False):
    with torch.no_grad():
        copy_attention(ours.attention, theirs.self_attn)
        theirs.linear1.load_state_dict(ours.feed_forward.expand.state_dict())
        theirs.linear2.load_state_dict(ours.feed_forward.contract.state_dict())
        norms = [ours.attention_norm, ours.feed_forward_norm]
        if cross:
            copy_attention(ours.cross_attention, theirs.multihead_attn)
            norms.insert(1, ours.cross_norm)
        for number, norm in enumerate(norms, 1):
            getattr(theirs, f"norm{number}").load_state_dict(norm.state_dict())


options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "dtype": torch.float64}


@pytest.mark.parametrize(
    ("block", "norm_first"), [(TransformerBlock, True), (PostNormBlock, False)]
)
def test_block_equals_torch(block, norm_first):
    ours = randomised(block(12, heads=3, hidden=17, epsilon=1e-3))
    theirs = nn.TransformerEncoderLayer(
        12, 3, 17, norm_first=norm_first, layer_norm_eps=1e-3, **options
    )
    copy_block(ours, theirs)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-12)
    mask = causal_mask(5)
    torch.testing.assert_close(ours(x, mask=mask), theirs(x, src_mask=~mask), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("block", "norm_first"), [(CrossAttentionBlock, True), (PostNormCrossAttentionBlock, False)]
)
def test_cross_block_equals_torch(block, norm_first):
    ours = randomised(block(12, heads=3, hidden=17, epsilon=1e-3))
    theirs = nn.TransformerDecoderLayer(
        12, 3, 17, norm_first=norm_first, layer_norm_eps=1e-3, **options
    )
    copy_block(ours, theirs, cross=True)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    context = torch.randn(2, 7, 12, dtype=torch.float64)
    mask = causal_mask(5)
    real = torch.tensor([[1] * 7, [1, 1, 1, 0, 0, 0, 0]]).bool()
    expected = theirs(x, context, tgt_mask=~mask, memory_key_padding_mask=~real)
    got = ours(x, context, mask=mask, context_mask=real[:, None, None])
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_the_context_may_have_another_width():
    block = CrossAttentionBlock(12, heads=3, hidden=17, context_width=7)
    assert block.cross_attention.key.weight.shape == (12, 7)
    assert block.attention.key.weight.shape == (12, 12)
    assert block(torch.zeros(2, 5, 12), torch.zeros(2, 3, 7)).shape == (2, 5, 12)


def test_weights_of_the_attention_to_the_context_are_returned_where_they_are_asked_for():
    block = randomised(CrossAttentionBlock(12, heads=3, hidden=17))
    x, context = torch.randn(2, 5, 12).double(), torch.randn(2, 7, 12).double()
    mask = torch.rand(2, 1, 5, 7) > 0.5
    with watch_attention() as seen:
        got, weights = block(x, context, context_mask=mask, return_weights=True)
    torch.testing.assert_close(got, block(x, context, context_mask=mask))
    torch.testing.assert_close(weights, seen[1])
    assert weights.shape == (2, 3, 5, 7) and weights.masked_select(~mask).eq(0).all()


def test_activation_and_norms_are_the_ones_given():
    relu = FeedForward(3, 5, F.relu).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    expected = relu.contract(relu.expand(x).clamp(min=0))
    torch.testing.assert_close(relu(x), expected)
    exact = FeedForward(3, 5).double()
    hidden = exact.expand(x)
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    torch.testing.assert_close(exact(x), exact.contract(gelu))
    for kind in (TransformerBlock, CrossAttentionBlock):
        block = kind(6, 2, 5, quick_gelu, 1e-3)
        norms = [m for m in block.modules() if isinstance(m, nn.LayerNorm)]
        assert {norm.eps for norm in norms} == {1e-3}
        assert block.feed_forward.activation is quick_gelu
        default = kind(6, 2, 5)
        norms = [m for m in default.modules() if isinstance(m, nn.LayerNorm)]
        assert {norm.eps for norm in norms} == {1e-5}
        assert default.feed_forward.activation is F.gelu


def test_quick_gelu_is_x_times_sigmoid():
    x = torch.linspace(-6, 6, 101, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(quick_gelu(x), x * torch.sigmoid(1.702 * x), rtol=0, atol=1e-14)
    assert torch.autograd.gradcheck(quick_gelu, x)


@given(B=sizes, L=sizes, D=sizes, hidden=sizes, bias=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_gated_network_is_two_in_a_product(B, L, D, hidden, bias, seed):
    """Against the formula in loops over the hidden numbers, with the activation that is given."""
    ours = randomised(SwiGLU(D, hidden, bias=bias))
    assert {p.ndim for p in ours.parameters()} == ({1, 2} if bias else {2})
    x = torch.randn(B, L, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = torch.zeros_like(x) + (ours.contract.bias if bias else 0.0)
    for number in range(hidden):
        gate, value = x @ ours.gate.weight[number], x @ ours.expand.weight[number]
        if bias:
            gate, value = gate + ours.gate.bias[number], value + ours.expand.bias[number]
        bent = gate * torch.sigmoid(gate) * value
        expected = expected + bent[..., None] * ours.contract.weight[:, number]
    torch.testing.assert_close(ours(x), expected, rtol=0, atol=1e-12)


def test_a_gated_network_takes_another_activation_and_learns():
    ours = randomised(SwiGLU(3, 5, F.gelu))
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    expected = ours.contract(F.gelu(ours.gate(x)) * ours.expand(x))
    torch.testing.assert_close(ours(x), expected, rtol=0, atol=0)
    parameters = dict(randomised(SwiGLU(3, 5)).named_parameters())

    def function(x, *weights):
        named = dict(zip(parameters, weights, strict=True))
        return torch.func.functional_call(SwiGLU(3, 5), named, x)

    assert torch.autograd.gradcheck(function, (x, *parameters.values()))


@pytest.mark.parametrize(
    "kind", [TransformerBlock, PostNormBlock, CrossAttentionBlock, PostNormCrossAttentionBlock]
)
def test_cached_decoding_in_any_chunks_equals_the_full_pass(kind):
    stack = randomised(Transformer(kind(6, 2, 11) for _ in range(3)))
    x = torch.randn(2, 7, 6, dtype=torch.float64)
    context = torch.randn(2, 4, 6, dtype=torch.float64) if "Cross" in kind.__name__ else None
    full = stack(x, context, mask=causal_mask(7))
    for chunks in ([1] * 7, [3, 1, 3], [5, 2]):
        caches, pieces, done = stack.new_caches(), [], 0
        assert len(caches) == 3 and len({id(cache) for cache in caches}) == 3
        for chunk in chunks:
            mask = causal_mask(chunk, past=done)
            piece = x[:, done : done + chunk]
            pieces.append(stack(piece, context, mask=mask, caches=caches))
            done += chunk
        torch.testing.assert_close(torch.cat(pieces, dim=1), full, rtol=0, atol=1e-12)


def test_the_stack_hands_context_and_its_mask_to_every_block():
    stack = randomised(Transformer(CrossAttentionBlock(6, 2, 11) for _ in range(2)))
    x, context = torch.randn(2, 3, 6).double(), torch.randn(2, 5, 6).double()
    context_mask = torch.rand(2, 1, 3, 5) > 0.5
    expected = x
    for block in stack.blocks:
        expected = block(expected, context, context_mask=context_mask)
    torch.testing.assert_close(stack(x, context, context_mask=context_mask), expected)


class Told(nn.Module):
    """A block that takes what it is given, and tells."""

    def forward(self, x, **given):
        self.given = given
        return x


def test_the_stack_hands_down_what_it_was_given_and_nothing_else():
    stack, x = Transformer([Told(), Told()]), torch.zeros(1, 2, 4)
    one, two = stack.blocks
    stack(x)
    assert one.given == two.given == {}
    mask, context, context_mask = torch.ones(2, 2).bool(), x, torch.ones(1, 2).bool()
    caches = stack.new_caches()
    stack(x, context, mask, context_mask, caches)
    for block, cache in zip((one, two), caches, strict=True):
        given = block.given
        assert given["mask"] is mask and given["context"] is context and given["cache"] is cache
        assert given["context_mask"] is context_mask and len(given) == 4
    stack(x, mask=mask)
    assert set(two.given) == {"mask"}


def test_a_block_says_what_it_does_not_take():
    stack, x = Transformer([TransformerBlock(6, 2, 11)]), torch.zeros(1, 2, 6)
    with pytest.raises(TypeError, match="unexpected keyword argument 'context'"):
        stack(x, context=x)
    with pytest.raises(TypeError, match="missing .* argument: 'context'"):
        Transformer([CrossAttentionBlock(6, 2, 11)])(x)


def test_causality_in_the_stack():
    stack = randomised(Transformer(TransformerBlock(6, 2, 11) for _ in range(2)))
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    before = stack(x, mask=causal_mask(5))
    x[:, 3] = 100 * torch.randn(2, 6)
    after = stack(x, mask=causal_mask(5))
    torch.testing.assert_close(after[:, :3], before[:, :3], rtol=0, atol=0)
    assert (after[:, 4] - before[:, 4]).abs().max() > 1e-3


def test_bidirectional_blocks_permute_with_their_tokens():
    stack = randomised(Transformer(TransformerBlock(6, 2, 11) for _ in range(2)))
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(stack(x[:, order]), stack(x)[:, order])


def test_hidden_states_end_in_the_output():
    stack = randomised(Transformer(TransformerBlock(6, 2, 11) for _ in range(3)))
    x, mask = torch.randn(2, 5, 6, dtype=torch.float64), causal_mask(5)
    states = hidden_states(stack, x, mask)
    assert len(states) == 4 and states[0] is x
    torch.testing.assert_close(states[-1], stack(x, mask=mask))
    torch.testing.assert_close(states[1], stack.blocks[0](x, mask=mask))


def test_first_is_the_first_token_of_the_output():
    stack = randomised(Transformer(TransformerBlock(12, 3, 17) for _ in range(3)))
    x = torch.randn(2, 5, 12, dtype=torch.float64, requires_grad=True)
    first, whole = stack.cls_only(x), stack(x)[:, 0]
    torch.testing.assert_close(first, whole, rtol=0, atol=1e-12)
    upstream = torch.randn_like(first)
    ours = torch.autograd.grad(first, [x, *stack.parameters()], upstream)
    expected = torch.autograd.grad(whole, [x, *stack.parameters()], upstream)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)


def run_shapes() -> None:
    import torch

    from scratchmm.layers import transformer

    stack = transformer.Transformer([transformer.TransformerBlock(12, 3, 17) for _ in range(2)])
    stack(torch.randn(2, 5, 12))
    stack.cls_only(torch.randn(2, 5, 12))
    x, context = torch.randn(2, 5, 12), torch.randn(2, 7, 10)
    transformer.Transformer([transformer.PostNormBlock(12, 3, 17)])(x)
    for block in (transformer.CrossAttentionBlock, transformer.PostNormCrossAttentionBlock):
        transformer.Transformer([block(12, 3, 17, context_width=10)])(x, context)
    transformer.CrossAttentionBlock(12, 3, 17, context_width=10)(x, context, return_weights=True)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "layers/transformer.py")
