"""The classifier that evaluates generated images: of one size, kept, refused elsewhere."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from scratchmm.data.world.scenes import PROPERTIES, Scene, Thing
from scratchmm.recipes.attribute_classifier import (
    SETTINGS,
    AttributeClassifier,
    accuracy,
    batches,
    build,
    data,
    loss,
)


@pytest.mark.parametrize(("size", "other"), [(32, (64, 64)), (64, (32, 32)), (32, (32, 48))])
def test_images_of_another_size_are_refused_by_all_that_look(size, other) -> None:
    judge = AttributeClassifier(size).eval()
    images = torch.zeros(2, 3, *other)
    for look in (judge, judge.names, judge.features):
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


def test_shares_of_what_the_judge_says_as_the_scene_does() -> None:
    things = [Thing("star", "red"), Thing("ring", "red"), Thing("star", "blue", "small")]
    told = {"shape": ["star"] * 3, "color": ["red", "red", "blue"], "size": ["large"] * 3}
    judge = SimpleNamespace(names=lambda images: told)
    scenes = [Scene((thing,)) for thing in things]
    found = accuracy(judge, scenes, torch.zeros(3, 3, 8, 8))  # type: ignore[arg-type]
    assert found == {"shape": 2 / 3, "color": 1.0, "size": 2 / 3}


def test_it_learns_each_property_from_images_with_a_little_noise() -> None:
    settings = replace(SETTINGS, size=16, scenes=80, steps=9)
    dataset = data(settings, seed=2)
    batch_at = batches(settings, dataset, seed=2)
    (images, labels), again, other = (batch_at(step) for step in (0, 0, 1))
    assert_close((images, labels), again, rtol=0, atol=0)
    assert not other[0].equal(images)
    assert images.shape == (64, 3, 16, 16) and labels.shape == (64, 4)
    noise = (images - images.clamp(-1, 1)).abs()
    assert 0 < noise.max() < 0.6 and (labels.amax(0) <= torch.tensor([7, 7, 1, 2])).all()
    model = build(settings, dataset, seed=2)
    logits = model(images)
    expected = sum(
        torch.nn.functional.cross_entropy(logits[name], labels[:, column])
        for column, name in enumerate(PROPERTIES)
    )
    assert_close(loss(model, (images, labels)), expected)
