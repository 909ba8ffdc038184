"""Shapes of fusion/vilt_positions.py."""

from shape_comments import check_shape_comments


def run_shapes() -> None:
    import torch

    from scratchmm.fusion import vilt_positions

    pixels = torch.ones(4, 12, 14, dtype=torch.bool)
    rows, columns, _ = vilt_positions.count_patches(pixels, torch.zeros(4, 3, 12, 14), patch=2)
    vilt_positions.interpolate_each(torch.randn(9, 5), rows, columns, (6, 7))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/vilt_positions.py")
