"""Shapes of language/words.py."""

from shape_comments import check_shape_comments


def run_shapes() -> None:
    import torch

    from scratchmm.language import words

    layer = words.BERTEmbeddings(23, 14, 11, types=3)
    hidden = layer(torch.tensor([[3, 4, 22, 0, 0], [5, 6, 7, 8, 22]]))
    words.MaskedWordHead(14, 23)(hidden, layer.tokens.weight)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "language/words.py")
