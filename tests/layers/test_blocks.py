"""Shapes of layers/blocks.py."""

from shape_comments import check_shape_comments


def run_shapes() -> None:
    import torch

    from scratchmm.layers import blocks, transformer

    x, context = torch.randn(2, 5, 12), torch.randn(2, 7, 10)
    transformer.Transformer([blocks.PostNormBlock(12, 3, 17)])(x)
    for block in (blocks.CrossBlock, blocks.PostNormCrossBlock):
        transformer.Transformer([block(12, 3, 17, context_width=10)])(x, context)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "layers/blocks.py")
