"""The small unCLIP: stages kept and not trained again, a killed stage that goes on, seeds."""

import shutil

import pytest
import torch
from torch.testing import assert_close

from scratchmm.data.world.captioned import captioned
from scratchmm.diffusion.prior import prior_loss
from scratchmm.diffusion.unclip_decoder import decoder_loss
from scratchmm.recipes import clip as clip_recipe
from scratchmm.training import small_unclip
from scratchmm.training.checkpoint import load_checkpoint, save_checkpoint
from scratchmm.training.kept import MADE_BY
from scratchmm.training.small_generator import untrained
from scratchmm.training.small_unclip import open_unclip, read_texts

SIZES = {"clip_steps": 2, "prior_steps": 2, "steps": 2, "scenes": 48}
SENTENCES = ["a red star", "a small blue ring"]
SPACE = untrained().model.space


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unclip")
    said = []
    return folder, open_unclip(folder, SPACE, say=said.append, **SIZES), said


def numbers(unclip):
    """Every number of all three models."""
    models = (unclip.clip.model, unclip.prior, unclip.decoder)
    return [tensor for model in models for tensor in model.state_dict().values()]


def test_what_is_kept_is_not_trained_again(kept, monkeypatch):
    folder, first, said = kept
    begins = ("Training a CLIP of", "Training the prior", "Training the decoder")
    assert all(line.startswith(begin) for line, begin in zip(said, begins, strict=True))
    monkeypatch.setattr(small_unclip, "fit", None)
    monkeypatch.setattr(small_unclip, "draw_many", None)
    assert_close(numbers(open_unclip(folder, SPACE, **SIZES)), numbers(first), rtol=0, atol=0)


def test_a_killed_stage_goes_on_to_the_same_numbers(kept, tmp_path, monkeypatch):
    _, first, _ = kept
    clip_recipe.save(first.clip, tmp_path / "another")
    whole = small_unclip.fit

    def killed(model, batch_at, loss, **options):
        def until(step):
            if step == 1:
                raise KeyboardInterrupt
            return batch_at(step)

        return whole(model, until, loss, save_every=1, **options)

    monkeypatch.setattr(small_unclip, "fit", killed)
    said, folder = [], tmp_path / "new"
    settings = SIZES | {"others": [tmp_path / "another"], "say": said.append}
    with pytest.raises(KeyboardInterrupt):
        open_unclip(folder, SPACE, **settings)
    assert said[0] == f"Taking {tmp_path / 'another'}."
    assert not (folder / "prior.pt").exists()
    monkeypatch.setattr(small_unclip, "fit", whole)
    again = open_unclip(folder, SPACE, **settings)
    assert any("after 1 steps" in line for line in said)
    assert_close(numbers(again), numbers(first), rtol=0, atol=0)


def test_the_prior_was_given_the_scale_of_clips_embeddings(kept):
    _, unclip, _ = kept
    data = captioned(48, small_unclip.split_combinations()[0])
    embeddings = unclip.clip.embed_images(small_unclip.draw_many(data.scenes))
    assert_close(unclip.prior.mean, embeddings.mean(dim=0))


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
    images = small_unclip.draw_many(captioned(2, [("red", "star")]).scenes)
    embeddings = unclip.clip.embed_images(images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unclip.decoder, "forward", lambda *_, **__: torch.is_grad_enabled())
        patch.setattr(small_unclip.unclip, "invert", lambda decoder, *_, **__: decoder())
        assert unclip.find_noise(images, embeddings) is False  # no gradients are kept
    noise = unclip.find_noise(images, embeddings, steps=100)
    again = small_unclip.unclip.decode(
        unclip.decoder, unclip.schedule, embeddings, noise, steps=100, clamp=None
    )
    latents = small_unclip.latents_of(SPACE, images)
    assert not any(found.requires_grad for found in (embeddings, noise, latents))
    far = (unclip.decoder.noise([1, 2]) - latents).abs().mean()
    assert (again - latents).abs().mean() < 0.2 * far


def without_clip(folder, place):
    """All stages but the CLIP."""
    shutil.copytree(folder, place, ignore=shutil.ignore_patterns("clip"))


@pytest.mark.parametrize("exchanged", ["clip", "autoencoder"])
def test_stages_that_know_another_clip_or_autoencoder_are_trained_anew(kept, tmp_path, exchanged):
    folder, first, _ = kept
    clip, space, stages = clip_recipe.load(folder / "clip"), SPACE, ["decoder"]
    if exchanged == "clip":
        stages = ["prior", "decoder"]
        with torch.no_grad():
            clip.model.two_tower.projections["image"].weight[0].neg_()
    else:
        space = untrained(1).model.space
    without_clip(folder, tmp_path / "there")
    for name in ("there", "fresh"):
        clip_recipe.save(clip, tmp_path / name / "clip")
    said = []
    anew = open_unclip(tmp_path / "there", space, say=said.append, **SIZES)
    for line, stage in zip(said[::2], stages, strict=True):
        assert f"{stage}.pt was trained with {exchanged}=" in line and "trained anew" in line
    fresh = open_unclip(tmp_path / "fresh", space, **SIZES)
    assert_close(numbers(anew), numbers(fresh), rtol=0, atol=0)
    for stage in stages:
        one, other = (getattr(unclip, stage).state_dict() for unclip in (anew, first))
        assert any(not one[name].equal(value) for name, value in other.items())
    said.clear()
    open_unclip(tmp_path / "there", space, say=said.append, **SIZES)
    assert said == []


def test_stages_of_other_settings_or_other_code_are_trained_anew(kept, tmp_path):
    folder = shutil.copytree(kept[0], tmp_path / "a")
    said = []
    for change, why in (({"prior_steps": 3}, "steps=2 and not 3"), ({}, "steps=3 and not 2")):
        said.clear()
        open_unclip(folder, SPACE, say=said.append, **SIZES | change)
        assert len(said) == 2 and f"prior.pt was trained with {why}: it is trained anew" in said[0]
    state = load_checkpoint(folder / "decoder.pt")
    state[MADE_BY]["code"] = "another"
    save_checkpoint(folder / "decoder.pt", state)
    said.clear()
    again = open_unclip(folder, SPACE, say=said.append, **SIZES)
    assert [line.partition(" was trained by other")[0] for line in said[:1]] == [
        str(folder / "decoder.pt")
    ]
    assert_close(numbers(again), numbers(kept[1]), rtol=0, atol=0)


def test_a_stage_that_does_not_say_what_made_it_is_trained_from_new_weights(kept, tmp_path):
    folder = shutil.copytree(kept[0], tmp_path / "a")
    state = load_checkpoint(folder / "prior.pt")
    del state[MADE_BY]
    state["model"] = {name: torch.ones_like(value) for name, value in state["model"].items()}
    save_checkpoint(folder / "prior.pt", state)
    again = open_unclip(folder, SPACE, **SIZES)
    assert_close(numbers(again), numbers(kept[1]), rtol=0, atol=0)


@pytest.mark.parametrize("stage", ["prior", "decoder"])
def test_each_image_is_learned_with_its_own_embedding_and_words(kept, stage, monkeypatch):
    _, unclip, _ = kept
    asked = []
    monkeypatch.setattr(
        small_unclip, "fit", lambda *given, **options: asked.extend((*given, options))
    )
    data = captioned(300, small_unclip.split_combinations()[0], seed=4)
    images, model = small_unclip.draw_many(data.scenes), getattr(unclip, stage)
    train = getattr(small_unclip, f"train_{stage}")
    kept_state = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, unclip.clip, SPACE, images, data.texts, unclip.schedule, steps=9, seed=3)
    network, batch_at, loss, options = asked
    assert network is model and options["steps"] == 9 and options["seed"] == 3
    rows = small_unclip.shuffled_batches(300, 256 if stage == "prior" else 64, 3)(1)
    texts = [data.texts[row] for row in rows.tolist()]
    embeddings = unclip.clip.embed_images(images)
    batch = batch_at(1)
    torch.manual_seed(5)
    found = loss(None, batch)
    torch.manual_seed(5)
    if stage == "prior":
        assert_close(batch[0], embeddings[rows])
        assert_close(batch[1], read_texts(unclip.clip, texts))
        assert_close(model.mean, embeddings.mean(dim=0))
        empty = read_texts(unclip.clip, [""])
        expected = prior_loss(model, unclip.schedule, batch[0], empty=empty, **batch[1])
    else:
        assert_close(batch[1], embeddings[rows])
        assert_close(batch[0], small_unclip.latents_of(SPACE, images)[rows])
        expected = decoder_loss(model, unclip.schedule, *batch)
    assert_close(found, expected)
    model.load_state_dict(kept_state)


def test_the_sentence_and_the_scale_are_heard(kept):
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


def test_files_of_other_models_are_refused(kept, tmp_path):
    folder, first, _ = kept
    data = captioned(48, [("red", "star")])
    images = small_unclip.draw_many(data.scenes)
    clip_recipe.save(clip_recipe.new_clip(images, data.texts, width=32), tmp_path / "clip")
    state = load_checkpoint(folder / "prior.pt")
    del state[MADE_BY]  # of an earlier version: it may be anything
    save_checkpoint(tmp_path / "prior.pt", state)
    with pytest.raises(ValueError, match="prior.pt is of other sizes than the CLIP beside it"):
        open_unclip(tmp_path, SPACE, **SIZES)
