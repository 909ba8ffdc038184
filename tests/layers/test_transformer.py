"""Blocks against torch's own encoder and decoder layers under copied weights; caches; causality."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from scratchmm.layers.attention import causal_mask
from scratchmm.layers.blocks import CrossBlock, PostNormBlock, PostNormCrossBlock
from scratchmm.layers.transformer import (
    FeedForward,
    Transformer,
    TransformerBlock,
    hidden_states,
    quick_gelu,
)


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


@pytest.mark.parametrize(("block", "norm_first"), [(CrossBlock, True), (PostNormCrossBlock, False)])
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
    block = CrossBlock(12, heads=3, hidden=17, context_width=7)
    assert block.cross_attention.key.weight.shape == (12, 7)
    assert block.attention.key.weight.shape == (12, 12)
    assert block(torch.zeros(2, 5, 12), torch.zeros(2, 3, 7)).shape == (2, 5, 12)


def test_activation_and_norms_are_the_ones_given():
    relu = FeedForward(3, 5, F.relu).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    expected = relu.contract(relu.expand(x).clamp(min=0))
    torch.testing.assert_close(relu(x), expected)
    exact = FeedForward(3, 5).double()
    hidden = exact.expand(x)
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    torch.testing.assert_close(exact(x), exact.contract(gelu))
    for kind in (TransformerBlock, CrossBlock):
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


@pytest.mark.parametrize("kind", [TransformerBlock, PostNormBlock, CrossBlock, PostNormCrossBlock])
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
    stack = randomised(Transformer(CrossBlock(6, 2, 11) for _ in range(2)))
    x, context = torch.randn(2, 3, 6).double(), torch.randn(2, 5, 6).double()
    context_mask = torch.rand(2, 1, 3, 5) > 0.5
    expected = x
    for block in stack.blocks:
        expected = block(expected, context, context_mask=context_mask)
    torch.testing.assert_close(stack(x, context, context_mask=context_mask), expected)


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
    first, whole = stack.first(x), stack(x)[:, 0]
    torch.testing.assert_close(first, whole, rtol=0, atol=1e-12)
    upstream = torch.randn_like(first)
    ours = torch.autograd.grad(first, [x, *stack.parameters()], upstream)
    expected = torch.autograd.grad(whole, [x, *stack.parameters()], upstream)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)
