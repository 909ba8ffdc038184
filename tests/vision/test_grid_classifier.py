"""The grid classifier: cells against loops, its loss against a loop."""

import pytest
import torch
from torch import nn

from scratchmm.vision.grid_classifier import GridClassifier, cell_labels, grid_loss
from shape_comments import check_shape_comments


def test_cells_belong_to_who_covers_most_of_them():
    generator = torch.Generator().manual_seed(3)
    masks = torch.rand(3, 12, 8, generator=generator) < torch.tensor([0.1, 0.3, 0.2]).view(3, 1, 1)
    values = torch.tensor([[4, 0], [1, 2], [0, 5]])
    got = cell_labels(masks, values)
    assert got.shape == (2, 6) and got.dtype == torch.int64
    for row in range(3):
        for column in range(2):
            patch = masks[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            share = patch.float().mean(dim=(1, 2))
            thing = int(share.argmax())
            expected = [1 + int(v) if share[thing] > 0.2 else 0 for v in values[thing]]
            assert got[:, 2 * row + column].tolist() == expected


def test_features_are_the_probabilities_of_each_property():
    torch.manual_seed(0)
    grid_classifier = GridClassifier((5, 2), channels=2, width=6).double().eval()
    images = torch.randn(3, 2, 8, 12, dtype=torch.float64)
    features, scores = grid_classifier.features(images), grid_classifier(images)
    assert [tuple(x.shape) for x in scores] == [(3, 6, 6), (3, 3, 6)]
    assert features.shape == (3, 6, 9)
    for n in range(6):
        torch.testing.assert_close(features[:, n, :6], scores[0][:, :, n].softmax(-1))
        torch.testing.assert_close(features[:, n, 6:], scores[1][:, :, n].softmax(-1))


@pytest.mark.parametrize("color", [0, 1])
def test_only_the_colour_is_learned_from_true_colours(color):
    torch.manual_seed(0)
    grid_classifier = GridClassifier((5, 2), width=6).double().eval()
    images, mixed = torch.randn(2, 3, 3, 8, 8, dtype=torch.float64)
    labels = torch.stack([torch.randint(0, 6, (3, 4)), torch.randint(0, 3, (3, 4))], dim=1)
    expected = 0.0
    for place in range(2):
        scores = grid_classifier(images if place == color else mixed)[place]
        expected += nn.CrossEntropyLoss()(scores, labels[:, place]) / 2
    torch.testing.assert_close(grid_loss(grid_classifier, images, mixed, labels, color), expected)


def run_shapes() -> None:
    import torch

    from scratchmm.vision import grid_classifier

    grid_classifier.GridClassifier((5, 2), width=6)(torch.randn(2, 3, 8, 12))
    grid_classifier.cell_labels(torch.rand(3, 12, 8) > 0.5, torch.zeros(3, 2).long())


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "vision/grid_classifier.py")
