"""The unCLIP recipe: its parts in one file, a training that goes on, what it draws."""

import shutil
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from scratchmm.data.world.captioned import captioned
from scratchmm.diffusion.prior import prior_loss
from scratchmm.diffusion.process import diffusion_loss
from scratchmm.recipes import clip as clip_recipe
from scratchmm.recipes import unclip as recipe
from scratchmm.recipes.generator import latents_of
from scratchmm.recipes.text_to_image import untrained
from scratchmm.recipes.unclip import DecoderWithDropout, load_or_train, read_texts
from scratchmm.training.sampling import shuffled_batches
from shape_comments import check_shape_comments

SMALL_CLIP = replace(clip_recipe.SETTINGS, images=60, steps=2, batch=32)
TINY = replace(recipe.SETTINGS, scenes=48, clip=SMALL_CLIP, prior_steps=2, steps=2)
SENTENCES = ["a red star", "a large blue ring"]
SPACE = untrained().model.space


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unclip")
    said = []
    model = load_or_train(folder, SPACE, TINY, log=said.append)
    return folder, model, said


def numbers(unclip):
    """Every number of all parts."""
    models = (unclip.clip.model, unclip.prior, unclip.decoder, unclip.space)
    return [tensor for model in models for tensor in model.state_dict().values()]


def test_all_parts_come_back_and_none_is_trained_again(kept, monkeypatch):
    folder, first, said = kept
    begins = ("Training a CLIP of", "Training the prior", "Training the decoder")
    assert all(line.startswith(begin) for line, begin in zip(said, begins, strict=True))
    monkeypatch.setattr(recipe, "fit", None)
    again = load_or_train(folder, SPACE, TINY)
    assert_close(numbers(again), numbers(first), rtol=0, atol=0)
    noise = first.decoder.noise([1, 2])
    shown = (x.show(x.imagine(SENTENCES, steps=2), noise, steps=2) for x in (again, first))
    assert_close(*shown)


def test_of_another_autoencoder_or_other_steps_it_is_trained_anew(kept, tmp_path):
    folder, said = shutil.copytree(kept[0], tmp_path / "a"), []
    other = untrained(1).model.space
    anew = load_or_train(folder, other, TINY, log=said.append)
    assert "was trained with autoencoder=" in said[0] and "it is trained anew" in said[0]
    assert not any(line.startswith("Training a CLIP") for line in said)  # the CLIP is as good
    assert_close(anew.prior.state_dict(), kept[1].prior.state_dict(), rtol=0, atol=0)
    said.clear()
    more = replace(TINY, prior_steps=3)
    load_or_train(folder, other, more, log=said.append)
    assert "was trained with prior_steps=2 and not 3" in said[0]


def test_a_killed_training_goes_on_to_the_same_numbers(kept, tmp_path, monkeypatch):
    _, first, _ = kept
    clip_recipe.save(first.clip, tmp_path / "another", SMALL_CLIP)
    whole = recipe.fit

    def killed(model, batch_at, loss, **options):
        def until(step):
            if step == 1:
                raise KeyboardInterrupt
            return batch_at(step)

        return whole(model, until, loss, save_every=1, **options)

    monkeypatch.setattr(recipe, "fit", killed)
    said, folder = [], tmp_path / "new"
    settings = {"clips": [tmp_path / "another"], "log": said.append, "space": SPACE}
    with pytest.raises(KeyboardInterrupt):
        recipe.train(TINY, folder=folder, **settings)
    assert said[0] == f"Taking {tmp_path / 'another'}."
    assert not (folder / "model.pt").exists()
    monkeypatch.setattr(recipe, "fit", whole)
    again = recipe.train(TINY, folder=folder, **settings)
    assert any("after 1 steps" in line for line in said)
    assert_close(numbers(again), numbers(first), rtol=0, atol=0)


def test_the_prior_is_normalised_by_clips_embeddings(kept):
    _, unclip, _ = kept
    embeddings = unclip.clip.embed_images(recipe.data(TINY).images)
    assert_close(unclip.prior.mean, embeddings.mean(dim=0))


def test_each_image_is_learned_with_its_own_embedding_and_sentence(kept, monkeypatch):
    _, unclip, _ = kept
    data = captioned(300, [("red", "star"), ("blue", "ring")], seed=4)
    embeddings = unclip.clip.embed_images(data.images)
    rows = shuffled_batches(300, 256, 3)(1)
    for share in (0.0, 1.0):
        monkeypatch.setattr(recipe, "DROPOUT_PROBABILITY", share)
        x0, texts = recipe.prior_batches(unclip, data, seed=3)(1)
        assert_close(x0, unclip.prior.normalise(embeddings[rows]))
        asked = ["" if share else data.texts[row] for row in rows.tolist()]
        assert_close(texts, read_texts(unclip.clip, asked))
    monkeypatch.setattr(recipe, "DROPOUT_PROBABILITY", 0.0)
    x0, texts = recipe.prior_batches(unclip, data, seed=3)(1)
    torch.manual_seed(5)
    torch.rand(256)  # the library's own loss asks which texts to leave out
    found = recipe.prior_loss(unclip.prior, (x0, texts))
    torch.manual_seed(5)
    again = embeddings[rows]
    assert_close(
        found, prior_loss(unclip.prior, unclip.schedule, again, dropout_probability=0, **texts)
    )


def test_each_latent_is_learned_with_its_own_embedding_or_the_empty_one(kept):
    _, unclip, _ = kept
    data = captioned(300, [("red", "star"), ("blue", "ring")], seed=4)
    rows = shuffled_batches(300, 64, 3)(1)
    batch = recipe.batches(recipe.SETTINGS, unclip, data, seed=3)(1)
    latents, embedding, dropped = batch
    assert_close(latents, latents_of(SPACE, data.images)[rows])
    assert_close(embedding, unclip.clip.embed_images(data.images)[rows])
    assert 0 < dropped.sum() < 20
    torch.manual_seed(5)
    found = recipe.loss(DecoderWithDropout(unclip.decoder), batch)
    torch.manual_seed(5)
    given = torch.where(dropped[:, None], unclip.decoder.empty, embedding)
    target = unclip.decoder.config.target
    assert_close(
        found,
        diffusion_loss(unclip.decoder, unclip.schedule, latents, target=target, embedding=given),
    )


def test_texts_are_read_as_clip_reads_them(kept):
    _, unclip, _ = kept
    texts, tokens = read_texts(unclip.clip, SENTENCES), unclip.clip.tokens(SENTENCES)
    assert_close(texts["text"], unclip.clip.model.text(tokens))
    assert_close(texts["text_embedding"], unclip.clip.model.encode_text(tokens))
    assert not texts["text"].requires_grad and not texts["text_embedding"].requires_grad
    words = [len(unclip.clip.tokenizer.encode(sentence)) + 2 for sentence in SENTENCES]
    assert texts["real"].sum(dim=1).tolist() == words


def test_a_seed_fixes_what_is_drawn(kept):
    _, unclip, _ = kept
    seen = unclip.imagine(SENTENCES, seed=3, steps=2, scale=2.0)
    assert_close(seen.norm(dim=1), torch.ones(2))
    assert_close(unclip.imagine(SENTENCES, seed=3, steps=2, scale=2.0), seen)
    assert (unclip.imagine(SENTENCES, seed=4, steps=2, scale=2.0) - seen).abs().max() > 1e-3
    noise = unclip.decoder.noise([5, 6])
    images = unclip.show(seen, noise, steps=2)
    assert images.shape == (2, 3, 32, 32) and images.abs().max() <= 1
    assert not images.requires_grad and not seen.requires_grad
    assert_close(unclip.show(seen, noise, steps=2), images)
    assert (unclip.show(seen, noise.flip(0), steps=2) - images).abs().max() > 1e-3


def test_noise_that_was_found_makes_the_latents_again(kept):
    _, unclip, _ = kept
    images = captioned(2, [("red", "star")]).images
    embeddings = unclip.clip.embed_images(images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unclip.decoder, "forward", lambda *_, **__: torch.is_grad_enabled())
        patch.setattr(recipe.drawing, "invert", lambda decoder, *_, **__: decoder())
        assert unclip.find_noise(images, embeddings) is False  # no gradients are kept
    noise = unclip.find_noise(images, embeddings, steps=100)
    again = recipe.drawing.decode(
        unclip.decoder, unclip.schedule, embeddings, noise, steps=100, clamp=None
    )
    latents = latents_of(SPACE, images)
    assert not any(found.requires_grad for found in (embeddings, noise, latents))
    far = (unclip.decoder.noise([1, 2]) - latents).abs().mean()
    assert (again - latents).abs().mean() < 0.2 * far


def test_the_sentence_and_the_scale_count(kept):
    _, unclip, _ = kept
    asked = {"seed": 3, "steps": 3, "candidates": 1}
    plain = unclip.imagine(SENTENCES, scale=2.0, **asked)
    for other in (
        unclip.imagine(SENTENCES[::-1], scale=2.0, **asked),
        unclip.imagine(SENTENCES, scale=1.0, **asked),
        unclip.imagine(SENTENCES, scale=2.0, **asked | {"steps": 2}),
        unclip.imagine(SENTENCES, scale=2.0, **asked | {"candidates": 5}),
    ):
        assert (plain - other).abs().max() > 1e-4
    noise = unclip.decoder.noise([5, 6])
    images = unclip.show(plain, noise, steps=3)
    for other in (unclip.show(plain, noise), unclip.show(plain, noise, steps=3, scale=5.0)):
        assert (images - other).abs().max() > 1e-4
    assert_close(unclip.show(plain, noise, steps=20, scale=2.0), unclip.show(plain, noise))


def run_shapes() -> None:
    recipe.train(replace(TINY, batch=7, prior_steps=1, steps=1), space=SPACE)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "recipes/unclip.py")
