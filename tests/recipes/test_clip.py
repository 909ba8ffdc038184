"""The CLIP recipe: what a model is built for, its batches, its folder, and files that are none."""

from dataclasses import replace

import pytest
import torch

from scratchmm.contrastive.loss import contrastive_loss, masked_contrastive_loss
from scratchmm.recipes.clip import SETTINGS, batches, load, loss, new_clip, save
from scratchmm.recipes.datasets import TrainingSet
from scratchmm.training import augment
from scratchmm.training.sampling import seeded, shuffled_batches
from shape_comments import check_shape_comments

TEXTS = ["a cat", "a dog", "a red boat on the sea"] * 2
SIZES = {"width": 16, "depth": 1, "text_depth": 2, "patch_size": 4}


def some_images(count=6):
    shown = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    shown[:, 2] = 0.25  # a channel that never changes
    return shown


@pytest.fixture
def clip():
    return new_clip(some_images(), TEXTS, seed=3, **SIZES)


def test_it_is_built_for_its_images_and_sentences(clip):
    shown = some_images()
    prepared = clip.prepare(shown)
    torch.testing.assert_close(prepared.mean(dim=(0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(prepared[:, :2].std(dim=(0, 2, 3)), torch.ones(2))
    torch.testing.assert_close(prepared[:, 2], torch.zeros(6, 8, 8))
    config = clip.model.config
    assert (config.vision.image_size, config.vision.patch_size) == (8, 4)
    assert (config.vision.depth, config.text.depth, config.embedding) == (1, 2, 16)
    assert config.vision.hidden == config.text.hidden == 64
    longest = max(len(clip.tokenizer.encode(text)) for text in TEXTS)
    assert config.text.context_length == 2 + longest  # with a start and an end
    assert new_clip(shown, TEXTS, longest=4, **SIZES).model.config.text.context_length == 4
    few = new_clip(shown, TEXTS, merges=2, **SIZES)
    assert len(few.tokenizer) < len(clip.tokenizer)
    same, other = (new_clip(shown, TEXTS, seed=seed, **SIZES).model.state_dict() for seed in (3, 4))
    torch.testing.assert_close(same, clip.model.state_dict(), rtol=0, atol=0)
    assert any(not torch.equal(same[name], other[name]) for name in same)


def test_embeddings_are_unit_vectors_in_parts_and_keep_no_gradients(clip):
    shown, texts = some_images(), [*TEXTS, "a dog on a boat"]
    for found, parts in (
        (clip.embed_images(shown), clip.embed_images(shown, batch_size=4)),
        (clip.embed_texts(texts), clip.embed_texts(texts, batch_size=3)),
    ):
        torch.testing.assert_close(found, parts)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(len(found)))
        assert not found.requires_grad
    clip.model.train()
    clip.embed_texts("a cat")
    assert not clip.model.training
    clip.model.train()
    torch.testing.assert_close(
        clip.embed_images(shown), clip.model.encode_image(clip.prepare(shown))
    )
    assert not clip.model.training


def some_data():
    return TrainingSet(some_images(), TEXTS, None, TEXTS, {})


def test_batches_are_pairs_varied_and_judged_as_asked(clip, monkeypatch):
    shown, few = some_images(), replace(SETTINGS, batch=4)

    def darker(batch, generator):
        return batch - torch.rand((), generator=generator)

    monkeypatch.setattr(augment, "darker", darker, raising=False)
    plain = batches(few, clip, some_data(), seed=2)
    asked = replace(few, augment="darker", spare_twins=True)
    full = batches(asked, clip, some_data(), seed=2)
    for step in range(3):
        rows = shuffled_batches(6, 4, 2)(step)
        images, tokens = plain(step)
        torch.testing.assert_close(images, clip.prepare(shown)[rows])
        torch.testing.assert_close(tokens, clip.tokens([TEXTS[row] for row in rows.tolist()]))
        varied, words, right = full(step)
        torch.testing.assert_close(varied, darker(images, seeded(2, step)))
        assert torch.equal(words, tokens)
        assert torch.equal(right, rows[:, None] % 3 == rows % 3)  # every text stands twice
    assert len(batches(SETTINGS, clip, some_data())(0)[0]) == 6


def test_the_loss_spares_other_right_answers(clip):
    images, tokens = batches(SETTINGS, clip, some_data())(0)
    output = clip.model(images, tokens)
    parts = output.image_embeddings, output.text_embeddings, output.scale
    torch.testing.assert_close(loss(clip.model, (images, tokens)), contrastive_loss(*parts))
    right = torch.eye(6).bool() | torch.eye(6).roll(3, dims=1).bool()
    expected = masked_contrastive_loss(*parts, right)
    torch.testing.assert_close(loss(clip.model, (images, tokens, right)), expected)
    assert expected != contrastive_loss(*parts)


def test_saved_and_loaded(clip, tmp_path):
    save(clip, tmp_path / "deep" / "clip")
    again = load(tmp_path / "deep" / "clip")
    assert again.model.config == clip.model.config and not again.model.training
    torch.testing.assert_close(again.embed_images(some_images()), clip.embed_images(some_images()))
    torch.testing.assert_close(again.embed_texts(TEXTS), clip.embed_texts(TEXTS))


@pytest.mark.parametrize(
    ("texts", "kind"), [(None, "NoneType"), (7, "int"), (["a", None], "NoneType")]
)
def test_texts_that_are_no_sentences_are_refused_by_their_kind(texts, kind) -> None:
    clip = new_clip(torch.zeros(2, 3, 16, 16), ["a red star", "a blue ring"])
    with pytest.raises(ValueError, match=f"texts are sentences.*among them is one of type {kind}$"):
        clip.embed_texts(texts)


def run_shapes() -> None:
    images = torch.rand(3, 3, 8, 8) * 2 - 1
    small = new_clip(images, ["a", "be", "sea"], patch_size=4, width=12, merges=2)
    small.embed_images(images)
    small.embed_texts(["a", "sea"])


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "recipes/clip.py")
