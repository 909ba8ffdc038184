from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from scratchmm.recipes.datasets import TrainingSet
from scratchmm.recipes.vit import SETTINGS, batches, load, loss, new_vit, save
from scratchmm.training.sampling import shuffled_batches
from shape_comments import check_shape_comments

SIZES = {"patch_size": 4, "width": 16, "depth": 2}


def some_images(count=7):
    return torch.randn(count, 2, 12, 12, generator=torch.Generator().manual_seed(0)) * 3 + 1


def a_set(images, labels):
    return TrainingSet(images, ["x"] * len(images), labels, ["a"], {})


def test_data_without_classes_is_refused():
    with pytest.raises(ValueError, match="emoji has texts but no classes for a vit"):
        vit = new_vit(some_images(), ["a"], **SIZES)
        batches(replace(SETTINGS, data="emoji"), vit, a_set(some_images(), None))


def test_images_come_to_mean_0_and_deviation_1_each_channel_for_itself():
    batch = some_images(50)
    batch[:, 1] = batch[:, 1] * 10 - 4
    prepared = new_vit(batch, ["a", "b"], **SIZES).prepare(batch)
    torch.testing.assert_close(prepared.mean(dim=(0, 2, 3)), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(prepared.std(dim=(0, 2, 3)), torch.ones(2), rtol=0, atol=1e-4)


def test_a_channel_that_never_changes_is_left_alone():
    batch = some_images()
    batch[:, 0] = 0.25
    prepared = new_vit(batch, ["a", "b"], **SIZES).prepare(batch)
    assert prepared[:, 0].abs().max() < 1e-6 and prepared.isfinite().all()


def test_the_seed_gives_the_first_weights():
    first, same, other = (new_vit(some_images(), ["a"], seed=seed, **SIZES) for seed in (3, 3, 4))
    torch.testing.assert_close(first.model.state_dict(), same.model.state_dict(), rtol=0, atol=0)
    assert not torch.equal(first.model.head.weight, other.model.head.weight)


def test_batches_are_samples_with_their_own_labels():
    batch, labels = some_images(), torch.arange(7) * 10
    vit = new_vit(batch, ["a"], **SIZES)
    batch_at = batches(replace(SETTINGS, batch=3), vit, a_set(batch, labels), seed=5)
    indices = shuffled_batches(7, 3, seed=5)
    for step in (4, 0, 4):
        shown, answers = batch_at(step)
        torch.testing.assert_close(shown, vit.prepare(batch)[indices(step)], rtol=0, atol=0)
        assert answers.tolist() == (indices(step) * 10).tolist()
    assert len(batches(SETTINGS, vit, a_set(batch, labels))(0)[1]) == 7  # fewer than asked for


def test_augmentation_is_new_at_each_step_and_the_same_when_the_step_comes_again():
    batch = some_images(4)
    vit = new_vit(batch, ["a"], **SIZES)
    batch_at = batches(
        replace(SETTINGS, augment="random_shift"), vit, a_set(batch, torch.zeros(4).long())
    )
    shown = [batch_at(step)[0].sum(dim=0) for step in range(4)]
    torch.testing.assert_close(batch_at(2)[0].sum(dim=0), shown[2], rtol=0, atol=0)
    assert len({step.sum().item() for step in shown}) == 4


def test_loss_is_the_cross_entropy_and_classify_its_softmax_in_parts():
    vit = new_vit(some_images(), ["a", "b", "c"], **SIZES)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 1])
    vit.model.train()
    shown = some_images().clamp(-1, 1)
    prepared = vit.prepare(shown)
    found = loss(vit.model, (prepared, labels))
    logits = vit.model(prepared)
    torch.testing.assert_close(found, F.cross_entropy(logits, labels))
    chances = vit.classify(shown, batch_size=3)
    torch.testing.assert_close(chances, logits.softmax(dim=1).detach())
    assert not vit.model.training and not chances.requires_grad


def test_saved_and_loaded(tmp_path):
    vit = new_vit(some_images(), ["eins", "zwei", "drü"], seed=8, **SIZES)
    save(vit, tmp_path / "new")
    again = load(tmp_path / "new")
    assert again.names == vit.names and again.model.config == vit.model.config
    shown = some_images().clamp(-1, 1)
    torch.testing.assert_close(again.classify(shown), vit.classify(shown), rtol=0, atol=0)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.pt"]


def test_sizes_that_cannot_work():
    with pytest.raises(ValueError, match="image size 12 is not divisible by patch size 5"):
        new_vit(some_images(), ["a"], patch_size=5)
    with pytest.raises(ValueError, match="width 30 is not divisible by 4 heads"):
        new_vit(some_images(), ["a"], patch_size=4, width=30)


def run_shapes() -> None:
    images = torch.rand(5, 2, 8, 8) * 2 - 1
    new_vit(images, ["a", "b", "c"], patch_size=4).classify(images)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "recipes/vit.py")
