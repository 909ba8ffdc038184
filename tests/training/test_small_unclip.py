"""The small unCLIP: stages kept and not trained again, a killed stage that goes on, seeds."""

import pytest
import torch
from torch.testing import assert_close

from scratchmm.data.captioned import captioned
from scratchmm.training import small_clip, small_unclip
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
    assert [line.partition(",")[0] for line in said] == [
        "Training a CLIP", "Training the prior", "Training the decoder",
    ]  # fmt: skip
    monkeypatch.setattr(small_unclip, "fit", None)
    monkeypatch.setattr(small_unclip, "draw_many", None)
    assert_close(numbers(open_unclip(folder, SPACE, **SIZES)), numbers(first), rtol=0, atol=0)


def test_a_killed_stage_goes_on_to_the_same_numbers(kept, tmp_path, monkeypatch):
    _, first, _ = kept
    small_clip.save(first.clip, tmp_path / "another")
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
    assert said[0] == f"Taking the CLIP in {tmp_path / 'another'}."
    assert not (folder / "prior.pt").exists()
    monkeypatch.setattr(small_unclip, "fit", whole)
    again = open_unclip(folder, SPACE, **settings)
    assert any("after 1 steps" in line for line in said)
    assert_close(numbers(again), numbers(first), rtol=0, atol=0)


def test_the_prior_was_given_the_scale_of_clips_embeddings(kept):
    _, unclip, _ = kept
    data = captioned(48, small_unclip.split_combinations()[0])
    embeddings = unclip.clip.embed_pictures(small_unclip.draw_many(data.scenes))
    assert_close(unclip.prior.mean, embeddings.mean(dim=0))


def test_texts_are_read_as_clip_reads_them(kept):
    _, unclip, _ = kept
    texts, tokens = read_texts(unclip.clip, SENTENCES), unclip.clip.tokens(SENTENCES)
    assert_close(texts["text"], unclip.clip.model.text(tokens))
    assert_close(texts["text_embedding"], unclip.clip.model.encode_text(tokens))
    words = [len(unclip.clip.tokenizer.encode(sentence)) + 2 for sentence in SENTENCES]
    assert texts["real"].sum(dim=1).tolist() == words


def test_a_seed_fixes_what_is_drawn(kept):
    _, unclip, _ = kept
    seen = unclip.imagine(SENTENCES, seed=3, steps=2, scale=2.0)
    assert_close(seen.norm(dim=1), torch.ones(2))
    assert_close(unclip.imagine(SENTENCES, seed=3, steps=2, scale=2.0), seen)
    assert (unclip.imagine(SENTENCES, seed=4, steps=2, scale=2.0) - seen).abs().max() > 1e-3
    noise = unclip.decoder.noise([5, 6])
    pictures = unclip.show(seen, noise, steps=2)
    assert pictures.shape == (2, 3, 32, 32) and pictures.abs().max() <= 1
    assert_close(unclip.show(seen, noise, steps=2), pictures)
    assert (unclip.show(seen, noise.flip(0), steps=2) - pictures).abs().max() > 1e-3


def test_noise_that_was_found_makes_the_latents_again(kept):
    _, unclip, _ = kept
    pictures = small_unclip.draw_many(captioned(2, [("red", "star")]).scenes)
    embeddings = unclip.clip.embed_pictures(pictures)
    noise = unclip.find_noise(pictures, embeddings, steps=100)
    again = small_unclip.unclip.decode(
        unclip.decoder, unclip.schedule, embeddings, noise, steps=100, clip=None
    )
    latents = small_unclip.latents_of(SPACE, pictures)
    far = (unclip.decoder.noise([1, 2]) - latents).abs().mean()
    assert (again - latents).abs().mean() < 0.2 * far


def test_files_of_other_models_are_refused(kept, tmp_path):
    folder, first, _ = kept
    other = untrained(1).model.space
    with pytest.raises(ValueError, match="prior.pt was trained with another autoencoder"):
        open_unclip(folder, other, **SIZES)
    data = captioned(48, [("red", "star")])
    pictures = small_unclip.draw_many(data.scenes)
    small_clip.save(small_clip.build(pictures, data.texts, width=32), tmp_path / "clip")
    (tmp_path / "prior.pt").write_bytes((folder / "prior.pt").read_bytes())
    with pytest.raises(ValueError, match="prior.pt is of other sizes than the CLIP beside it"):
        open_unclip(tmp_path, SPACE, **SIZES)
