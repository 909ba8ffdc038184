"""The figures of the grid classifier: of cells with a thing, by hand."""

import pytest
import torch

from scratchmm.recipes import grid_classifier
from scratchmm.recipes.grid_classifier import SETTINGS, build, figures, labels_of_cells
from shape_comments import check_shape_comments


def test_only_cells_with_a_thing_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_classifier, "TESTED", 4)
    labels = []
    monkeypatch.setattr(
        grid_classifier,
        "labels_of_cells",
        lambda s: labels.append(labels_of_cells(s)) or labels[-1],
    )

    def says(names: int) -> object:
        """A model that names the things of the first `names` properties, and nothing else."""

        def model(images: torch.Tensor) -> list[torch.Tensor]:
            found = labels[-1] * (torch.arange(4) < names)[:, None]  # (S, 4, N)
            return [torch.nn.functional.one_hot(x, 12).movedim(-1, 1) for x in found.unbind(1)]

        return model

    for names in (0, 1, 4):
        reached = figures(says(names))  # type: ignore[arg-type]
        assert reached == {"seen_accuracy": names / 4, "unseen_accuracy": names / 4}


def run_shapes() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid_classifier, "TESTED", 5)
        figures(build(SETTINGS))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "recipes/grid_classifier.py")
