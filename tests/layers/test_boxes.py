"""Shapes of layers/boxes.py."""

from shape_comments import check_shape_comments


def run_shapes() -> None:
    import torch

    from scratchmm.layers import boxes

    boxes.TubeletEmbedding(3, 2, 5, 14)(torch.randn(2, 4, 3, 10, 15))
    boxes.SpectrogramPatchEmbedding(4, 3, 13)(torch.randn(2, 10, 17))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "layers/boxes.py")
