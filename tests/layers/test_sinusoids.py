"""Shapes of layers/sinusoids.py."""

from shape_comments import check_shape_comments


def run_shapes() -> None:
    import torch

    from scratchmm.layers import sinusoids

    sinusoids.sinusoidal_positions(7, 12)
    sinusoids.timestep_embedding(torch.arange(3), 8)
    sinusoids.cosines_first(torch.arange(3), 8)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "layers/sinusoids.py")
