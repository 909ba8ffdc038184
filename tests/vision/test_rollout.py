"""Shapes of vision/rollout.py."""

from shape_comments import check_shape_comments


def run_shapes() -> None:
    import torch

    from scratchmm.vision import rollout

    rollout.attention_rollout([torch.rand(2, 3, 5, 5)] * 2)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "vision/rollout.py")
