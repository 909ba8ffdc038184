"""Attention fusion is a transformer over the modalities present, and no other."""

import torch
from torch import nn

from fusion.strategies import WIDTHS, features, make, run_shapes
from scratchmm.fusion.modality_attention import block_cost
from scratchmm.layers.attention import watch_attention
from scratchmm.layers.transformer import TransformerBlock
from shape_comments import check_shape_comments


def peer(block: TransformerBlock) -> nn.TransformerEncoderLayer:
    """torch's own layer with the block's weights."""
    width, heads = block.attention_norm.normalized_shape[0], block.attention.heads
    hidden = block.feed_forward.expand.out_features
    layer = nn.TransformerEncoderLayer(
        width, heads, hidden, 0.0, "gelu", batch_first=True, norm_first=True
    ).double()
    parts = (block.attention.query, block.attention.key, block.attention.value)
    layer.self_attn.in_proj_weight.data = torch.cat([part.weight for part in parts])
    layer.self_attn.in_proj_bias.data = torch.cat([part.bias for part in parts])
    for theirs, ours in (
        (layer.self_attn.out_proj, block.attention.output),
        (layer.linear1, block.feed_forward.expand),
        (layer.linear2, block.feed_forward.contract),
        (layer.norm1, block.attention_norm),
        (layer.norm2, block.feed_forward_norm),
    ):
        theirs.weight.data, theirs.bias.data = ours.weight.data, ours.bias.data
    return layer


def test_it_is_torchs_transformer_over_the_tokens_of_those_present() -> None:
    model, inputs = make("attention"), features(3)
    for names in (["sound", "image", "words"], ["image", "words"], ["sound"]):
        tokens = [
            inputs[name] @ model.tokens[name].weight.T + model.tokens[name].bias for name in names
        ]
        x = torch.stack([model.answer.expand(3, -1), *tokens], dim=1)
        for block in model.transformer.blocks:
            x = peer(block)(x)
        expected = model.output(model.norm(x[:, 0]))
        torch.testing.assert_close(model({name: inputs[name] for name in names}), expected)


def test_nobody_looks_at_the_absent() -> None:
    model, inputs = make("attention"), features(2)
    with watch_attention() as seen:
        model(inputs, {"image": torch.tensor([True, False])})
    assert [tuple(weights.shape) for weights in seen] == [(2, 2, 4, 4)] * 2
    where = 1 + list(WIDTHS).index("image")
    for weights in seen:
        assert weights[1, :, :, where].eq(0).all() and weights[0, :, :, where].gt(0).all()


def test_the_cost_of_a_block() -> None:
    block = TransformerBlock(6, 2, 11)
    assert block_cost(4, 6, 11).parameters == sum(p.numel() for p in block.parameters())


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/modality_attention.py")
