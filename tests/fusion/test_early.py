"""Early fusion against the sum written out: it relates what only both modalities know."""

import torch
import torch.nn.functional as F

from fusion.strategies import WIDTHS, features, make, run_shapes
from scratchmm.fusion.early import EarlyFusion
from shape_comments import check_shape_comments


def test_it_is_one_network_over_the_features_side_by_side() -> None:
    model, given = make("early"), features(3)
    first, _, last = model.network
    for b in range(3):
        joined = [x for name in WIDTHS for x in given[name][b].tolist()]
        hidden = [
            F.gelu(sum(w * x for w, x in zip(row, joined, strict=True)) + bias)
            for row, bias in zip(first.weight, first.bias, strict=True)
        ]
        expected = last.weight @ torch.stack(hidden) + last.bias
        torch.testing.assert_close(model(given)[b], expected)


def test_one_modality_will_do() -> None:
    model = EarlyFusion({"words": 3}, 2, 5)
    x = torch.randn(4, 3)
    torch.testing.assert_close(model({"words": x}), model.network(x))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/early.py")
