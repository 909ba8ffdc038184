"""The small text-to-image model: seeds, prompts, its file, and a training that goes on."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from scratchmm.data.world.captioned import captioned
from scratchmm.data.world.images import draw_many
from scratchmm.diffusion.latent import LatentSpace
from scratchmm.diffusion.unet_blocks import last_token
from scratchmm.layers.attention import padding_mask
from scratchmm.training import small_generator
from scratchmm.training.generator_stages import train_reading
from scratchmm.training.small_generator import latent_shape, open_generator, untrained
from shape_comments import check_shape_comments


def test_one_seed_is_one_image_in_any_batch() -> None:
    model = untrained()
    prompts = ["a red star", "a blue ring", "a red star"]
    together = model.draw(prompts, seeds=[5, 6, 5], steps=3, scale=2.0)
    assert_close(together[0], together[2])
    assert_close(model.draw(prompts[1:2], seeds=[6], steps=3, scale=2.0)[0], together[1])
    assert not together[0].allclose(model.draw(prompts[:1], seeds=[7], steps=3, scale=2.0)[0])
    assert together.abs().max() <= 1 and not together.requires_grad


def test_noise_is_as_large_as_latents_and_nothing_is_encoded_for_it(monkeypatch) -> None:
    model = untrained()
    encoded = model.model.space.to_latents(torch.zeros(2, 3, 32, 32))
    monkeypatch.delattr(type(model.model.space), "to_latents")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    noise = model.noise([5, 6])
    assert_close(torch.rand(2), expected, rtol=0, atol=0)  # the global generator is left alone
    assert noise.shape == encoded.shape == (2, 16, 4, 4)
    folded = LatentSpace(2).fold(torch.zeros(1, 3, 12, 12))
    assert latent_shape(LatentSpace(2), 12) == folded.shape[1:]


def test_prompt_negative_and_scale_are_heard() -> None:
    model = untrained()
    options = {"seeds": [1], "steps": 2}
    plain = model.draw(["a red star"], scale=3.0, **options)
    for other in (
        model.draw(["a blue star"], scale=3.0, **options),
        model.draw(["a red star"], scale=3.0, negative="a ring", **options),
        model.draw(["a red star"], scale=1.0, **options),
    ):
        assert not plain.allclose(other, atol=1e-3)
    assert_close(model.draw(["A Red Star"], scale=3.0, **options), plain)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("qwerty 12", "'qwerty 12' has no word that this model knows, as a, "),
        ("a red star " * 20, "has 6[0-9] tokens, and 20 fit"),
    ],
)
def test_a_prompt_that_means_nothing_is_refused(prompt: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        untrained().draw([prompt], seeds=[0])


def test_as_many_seeds_as_prompts() -> None:
    with pytest.raises(ValueError, match="there are 1 seeds for 2 prompts"):
        untrained().draw(["a star", "a ring"], seeds=[1])


def test_what_is_kept_draws_the_same(tmp_path: Path) -> None:
    model = untrained(3)
    small_generator.save(model, tmp_path / "generator.pt")
    said: list[str] = []
    again = open_generator(tmp_path, exact=False, say=said.append)
    assert [line.partition(".pt ")[2] for line in said] == [
        "does not say which code has trained it: it is used as it is, and --fresh trains it anew."
    ]
    asked = {"seeds": [4], "steps": 2}
    assert_close(again.draw(["a red star"], **asked), model.draw(["a red star"], **asked))
    assert again.known == model.known


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    small_generator.save_checkpoint(tmp_path / "generator.pt", {"model": {}})
    with pytest.raises(ValueError, match="holds no text-to-image model"):
        open_generator(tmp_path)


def test_a_model_of_another_version_is_refused_in_one_short_sentence(tmp_path: Path) -> None:
    path = tmp_path / "generator.pt"
    small_generator.save(untrained(), path)
    state = small_generator.load_checkpoint(path)
    other = {f"other.{name}": value for name, value in state["model"].items()}
    small_generator.save_checkpoint(path, state | {"model": other})
    with pytest.raises(ValueError, match="of this version [(]remove it") as refused:
        open_generator(tmp_path)
    said = str(refused.value).removeprefix(str(path))
    assert len(said) < 200 and "\n" not in said


def test_a_training_that_was_stopped_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    sizes = {"scenes": 70, "space_steps": 3, "read_steps": 3, "steps": 3}
    whole = open_generator(tmp_path / "whole", **sizes)
    stopped = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_generator, "train_drawing", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            open_generator(stopped, **sizes)
    assert (stopped / "squeezing" / "checkpoint.pt").exists()
    assert not (stopped / "generator.pt").exists()
    resumed = open_generator(stopped, **sizes)
    for name, value in whole.model.state_dict().items():
        assert_close(resumed.model.state_dict()[name], value, rtol=0, atol=0)


def test_half_of_the_scenes_show_two_things() -> None:
    combinations = [("red", "star"), ("blue", "ring")]
    found = captioned(200, combinations, seed=1, pairs=0.5)
    two = [len(scene.things) == 2 for scene in found.scenes]
    assert 70 < sum(two) < 130
    assert len(found.texts) == 200


def test_the_reader_alone_learns_to_say_where_things_are() -> None:
    data = captioned(600, [("white", "circle")], seed=2, places=1.0)
    model = small_generator.build(*small_generator.learn_words(data.texts))
    images = draw_many(data.scenes).mean(dim=1, keepdim=True)
    latents = F.avg_pool2d(images, 8)  # (S, 1, 4, 4): brightness
    mean = train_reading(model, latents, data.texts, steps=120)
    places = ("on the left", "on the right", "at the top", "at the bottom")
    words = model.condition([f"a white circle {place}" for place in places])
    with torch.no_grad():
        said = mean(last_token(words["context"], padding_mask(words["mask"]))).view(4, 4, 4)
    for grid, axis, sign in zip(said, (1, 1, 0, 0), (1, -1, 1, -1)):
        one, other = grid.split(2, dim=axis)
        assert sign * (one.mean() - other.mean()) > 0.1


def test_a_model_of_the_same_recipe_elsewhere_is_taken_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"scenes": 70, "space_steps": 1, "read_steps": 1, "steps": 1}
    there = open_generator(tmp_path / "there", **sizes)
    monkeypatch.setattr(small_generator, "train_generator", lambda **_: 1 / 0)
    places = {"others": [tmp_path / "nowhere", tmp_path / "there"]}
    taken = open_generator(tmp_path / "here", **places, **sizes)
    for name, value in there.model.state_dict().items():
        assert_close(taken.model.state_dict()[name], value, rtol=0, atol=0)
    for other in ({**sizes, "steps": 2}, {**sizes, "pairs": 0.25}):
        with pytest.raises(ZeroDivisionError):
            open_generator(tmp_path / "here", **places, **other)


def weights(generator: small_generator.SmallGenerator) -> dict[str, torch.Tensor]:
    return dict(generator.model.state_dict())


def test_a_model_of_other_code_is_trained_anew_or_used_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"scenes": 70, "space_steps": 1, "read_steps": 1, "steps": 1}
    said: list[str] = []
    first = open_generator(tmp_path, **sizes)
    path = tmp_path / "generator.pt"
    state = small_generator.load_checkpoint(path)
    state["model"] = {name: value + 1 for name, value in state["model"].items()}
    state[small_generator.MADE_BY]["code"] = "another"
    small_generator.save_checkpoint(path, state)
    used = open_generator(tmp_path, exact=False, say=said.append, **sizes)
    assert_close(weights(used), {name: value + 1 for name, value in weights(first).items()})
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(small_generator, "train_generator", lambda **_: 1 / 0)
        open_generator(tmp_path / "here", others=[tmp_path], **sizes)  # not taken from there
    anew = open_generator(tmp_path, say=said.append, **sizes)
    assert_close(weights(anew), weights(first), rtol=0, atol=0)
    why = f"{path} was trained by other code than there is now: it is "
    assert [line for line in said if ".pt " in line] == [
        f"{why}used as it is, and --fresh trains it anew.",
        f"{why}trained anew.",
    ]
    monkeypatch.setattr(small_generator, "train_generator", lambda **_: 1 / 0)
    assert_close(weights(open_generator(tmp_path, **sizes)), weights(first), rtol=0, atol=0)


def run_shapes() -> None:
    from scratchmm.training import small_generator

    prompts = ["a red star", "a blue ring", "a cross"]
    small_generator.untrained().draw(prompts, seeds=[1, 2, 3], steps=2)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "training/small_generator.py")
