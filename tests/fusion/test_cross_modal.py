"""Cross-modal attention against torch's own, and who may be seen."""

import pytest
import torch
from torch import nn

from scratchmm.fusion.cross_modal import CrossModalAttention, check_stream, masked_mean
from scratchmm.layers.attention import watch_attention
from shape_comments import check_shape_comments


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = CrossModalAttention(width=12, heads=3, context_width=10).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


def torchs(layer):
    """nn.MultiheadAttention with the same weights."""
    ours, theirs = layer.attention, nn.MultiheadAttention(12, 3, kdim=10, vdim=10, batch_first=True)
    theirs = theirs.double()
    with torch.no_grad():
        theirs.q_proj_weight.copy_(ours.query.weight)
        theirs.k_proj_weight.copy_(ours.key.weight)
        theirs.v_proj_weight.copy_(ours.value.weight)
        biases = [part.bias for part in (ours.query, ours.key, ours.value)]
        theirs.in_proj_bias.copy_(torch.cat(biases))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    return theirs


@pytest.mark.parametrize("masked", [False, True])
def test_it_is_torchs_attention_with_the_roles_kept(layer, masked):
    x, context = normal(2, 5, 12), normal(2, 7, 10, seed=2)
    real = torch.arange(7) < torch.tensor([[4], [7]]) if masked else None
    looked = layer(x, context, real)
    output, weights = torchs(layer)(
        x, context, context, None if real is None else ~real, average_attn_weights=False
    )
    torch.testing.assert_close(looked.output, output)
    torch.testing.assert_close(looked.weights, weights)
    assert looked.output.shape == (2, 5, 12) and looked.weights.shape == (2, 3, 5, 7)
    with watch_attention() as seen:
        layer(x, context, real)
    torch.testing.assert_close(seen, [looked.weights.detach()])


def test_what_is_padded_counts_for_nothing(layer):
    x, context = normal(2, 5, 12), normal(2, 7, 10)
    real = torch.arange(7) < torch.tensor([[4], [6]])
    before = layer(x, context, real)
    changed = context.masked_fill(~real[..., None], 1e6)
    after = layer(x, changed, real)
    torch.testing.assert_close(after.output, before.output)
    assert (after.weights.transpose(1, 3)[~real] == 0).all()


def test_a_context_that_is_missing_answers_nothing(layer):
    real = torch.tensor([[False] * 7, [True] * 7])
    looked = layer(normal(2, 5, 12), normal(2, 7, 10), real)
    assert (looked.weights[0] == 0).all()
    torch.testing.assert_close(looked.output[0], layer.attention.output.bias.expand(5, 12))
    torch.testing.assert_close(looked.weights[1].sum(-1), torch.ones(3, 5).double())


def test_masked_mean_is_the_mean_of_a_loop():
    tokens = normal(3, 5, 4).requires_grad_()
    real = torch.tensor([[1, 0, 1, 1, 0], [1] * 5, [0] * 5]).bool()
    found = masked_mean(tokens, real)
    torch.testing.assert_close(found[0], tokens[0, [0, 2, 3]].mean(0))
    torch.testing.assert_close(found[1], tokens[1].mean(0))
    assert (found[2] == 0).all()
    torch.testing.assert_close(masked_mean(tokens, torch.eye(3, 5).bool())[1], tokens[1, 1])
    torch.testing.assert_close(masked_mean(tokens), tokens.mean(1))
    holes = torch.where(real[..., None], tokens, torch.nan)
    torch.testing.assert_close(masked_mean(holes, real), found)


@pytest.mark.parametrize(
    ("x", "context", "real", "sentence"),
    [
        ((2, 5, 11), (2, 7, 10), None, "query tokens have width 11, but this model takes 12"),
        ((2, 5, 12), (2, 7, 12), None, "the context tokens have width 12, but this model takes 10"),
        ((2, 5, 12), (3, 7, 10), None, "the context tokens are a batch of 3 beside a batch of 2"),
        ((2, 5, 12), (2, 10), None, "the context tokens have 2 axes, not 3"),
        ((2, 5, 12), (2, 7, 10), (2, 5), r"context tokens is \(2, 5\), but they are \(2, 7\)"),
    ],
)
def test_what_does_not_fit_is_refused(layer, x, context, real, sentence):
    mask = None if real is None else torch.ones(real, dtype=torch.bool)
    with pytest.raises(ValueError, match=sentence):
        layer(normal(*x), normal(*context), mask)


def test_a_mask_of_numbers_is_refused():
    with pytest.raises(ValueError, match="torch.int64, not torch.bool"):
        check_stream("words", torch.zeros(2, 3, 4), 4, torch.ones(2, 3, dtype=torch.int64))


def run_shapes() -> None:
    import torch

    from scratchmm.fusion import cross_modal

    x, context, real = torch.randn(2, 3, 12), torch.randn(2, 5, 10), torch.rand(2, 5) > 0.5
    cross_modal.CrossModalAttention(12, 4, context_width=10)(x, context, real)
    cross_modal.masked_mean(context, real)
    cross_modal.masked_mean(context)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/cross_modal.py")
