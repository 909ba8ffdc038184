"""The judge of generated images: of one size, kept, and refused where it was not trained for it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from scratchmm.data.world.scenes import Scene, Thing
from scratchmm.training import attribute_classifier
from scratchmm.training.attribute_classifier import (
    PROPERTIES,
    AttributeClassifier,
    accuracy,
    labels_of,
    open_attribute_classifier,
    train_attribute_classifier,
)
from scratchmm.training.checkpoint import save_checkpoint


@pytest.mark.parametrize(("size", "other"), [(32, (64, 64)), (64, (32, 32)), (32, (32, 48))])
def test_images_of_another_size_are_refused_by_all_that_look(size, other) -> None:
    judge = AttributeClassifier(size).eval()
    images = torch.zeros(2, 3, *other)
    for look in (judge.scores, judge.names, judge.features):
        with pytest.raises(ValueError, match=f"{other[0]} x {other[1]}, .* {size} x {size} only"):
            look(images)
        look(torch.zeros(2, 3, size, size))


def test_who_looks_keeps_no_gradients() -> None:
    judge, seen = AttributeClassifier(16).eval(), []
    for part in (judge.network, judge.network.encoder):
        part.register_forward_pre_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    judge.names(torch.zeros(2, 3, 16, 16))
    assert not judge.features(torch.zeros(2, 3, 16, 16)).requires_grad
    assert seen and not any(seen)


def test_a_kept_judge_says_the_same_and_serves_its_size_only(tmp_path: Path) -> None:
    path = tmp_path / "judge.pt"
    judge = open_attribute_classifier(path, size=16, steps=1)
    images = torch.randn(3, 3, 16, 16)
    again = open_attribute_classifier(path, size=16, steps=1)
    assert_close(again.features(images), judge.features(images), rtol=0, atol=0)
    save_checkpoint(path, judge.state_dict())  # as it was kept before it said what made it
    with pytest.raises(ValueError, match="no judge of images 32 x 32"):
        open_attribute_classifier(path)
    said: list[str] = []
    anew = open_attribute_classifier(path, size=16, steps=1, say=said.append)
    assert said == [f"{path} does not say which code has trained it: it is trained anew."]
    assert_close(anew.features(images), judge.features(images), rtol=0, atol=0)
    for options in ({"seed": 1}, {"steps": 2}, {"size": 8}):
        open_attribute_classifier(path, say=said.append, **{"size": 16, "steps": 1} | options)
    told = [line.removeprefix(f"{path} was trained with ") for line in said[1:]]
    assert told == [
        "seed=0 and not 1: it is trained anew.",
        "steps=1 and not 2: it is trained anew.",
        "size=16 and not 8: it is trained anew.",
    ]


def test_shares_of_what_the_judge_says_as_the_scene_does() -> None:
    things = [Thing("star", "red"), Thing("ring", "red"), Thing("star", "blue", "small")]
    told = {"shape": ["star"] * 3, "color": ["red", "red", "blue"], "size": ["large"] * 3}
    judge = SimpleNamespace(names=lambda images: told)
    scenes = [Scene((thing,)) for thing in things]
    found = accuracy(judge, scenes, torch.zeros(3, 3, 8, 8))  # type: ignore[arg-type]
    assert found == {"shape": 2 / 3, "color": 1.0, "size": 2 / 3}
    rows = [[values.index(getattr(thing, name)) for name, values in PROPERTIES.items()]
            for thing in things]  # fmt: skip
    assert labels_of(scenes).tolist() == rows


def test_a_judge_learns_each_property(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batches are images of a size with a little noise and what their scenes show."""
    asked = {}

    def fit(judge, batch_at, loss, **options) -> None:
        asked.update(options, batches=[batch_at(step) for step in (0, 0, 1)], loss=loss)

    monkeypatch.setattr(attribute_classifier, "fit", fit)
    judge = train_attribute_classifier(size=16, steps=9, seed=2)
    assert not judge.training and asked["steps"] == 9
    (images, labels), again, other = asked["batches"]
    assert_close((images, labels), again, rtol=0, atol=0)
    assert not other[0].equal(images)
    assert images.shape == (64, 3, 16, 16) and labels.shape == (64, 4)
    noise = (images - images.clamp(-1, 1)).abs()
    assert 0 < noise.max() < 0.6 and (labels.amax(0) <= torch.tensor([7, 7, 1, 2])).all()
    scores = judge.scores(images)
    expected = sum(
        torch.nn.functional.cross_entropy(scores[name], labels[:, column])
        for column, name in enumerate(PROPERTIES)
    )
    assert_close(asked["loss"](judge, (images, labels)), expected)


def test_a_file_that_is_no_judge_is_refused(tmp_path: Path) -> None:
    for number, state in enumerate(({}, {"size": torch.tensor(32)}, {"weight": torch.zeros(1)})):
        path = tmp_path / f"{number}.pt"
        save_checkpoint(path, state)
        with pytest.raises(ValueError, match="holds no judge"):
            open_attribute_classifier(path)
