"""The ControlNet recipe: at first nothing, kept and not trained again, a training that goes on."""

import re
import shutil
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from scratchmm.data.world.control_images import KINDS
from scratchmm.diffusion.controlnet import Controlled
from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.process import diffusion_loss
from scratchmm.recipes import controlnet as recipe
from scratchmm.recipes.controlnet import SETTINGS, ControlledDenoiser, batches, build, load_or_train
from scratchmm.recipes.generator import latents_of
from scratchmm.recipes.text_to_image import untrained
from scratchmm.training.fingerprint import fingerprint
from scratchmm.training.sampling import shuffled_batches
from shape_comments import check_shape_comments

TINY = replace(SETTINGS, scenes=40, steps=3, batch=16, learning_rate=0.05)
PROMPTS = ["a red star", "a blue ring"]


@pytest.fixture(scope="module")
def generator():
    return untrained()


@pytest.fixture(scope="module")
def kept(generator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("control")
    before = fingerprint(generator.model)
    control = load_or_train(folder, generator, TINY)
    assert fingerprint(generator.model) == before  # the base stays as it was
    assert all(parameter.grad is None for parameter in generator.model.parameters())
    return folder, control


def hints(channels=1, count=2):
    return torch.rand(count, channels, 32, 32, generator=torch.Generator().manual_seed(1)).round()


@pytest.mark.parametrize("kind", KINDS)
def test_untrained_it_changes_nothing(generator, kind):
    asked = {"seeds": [3, 4], "steps": 3, "scale": 2.0, "negative": "a star"}
    shown = hints(3 if kind == "pose" else 1)
    drawn = build(replace(SETTINGS, kind=kind), generator).draw(PROMPTS, shown, **asked)
    assert_close(drawn, generator.draw(PROMPTS, **asked), rtol=0, atol=0)


@pytest.fixture(scope="module")
def heard(generator):
    """A control of random numbers: none is zero any more."""
    control = build(SETTINGS, generator)
    with torch.no_grad():
        for parameter in control.model.parameters():
            if not parameter.any():
                parameter.normal_(0, 1.0)
    return control


def test_no_longer_zero_it_follows_what_it_is_shown(heard, generator):
    asked = {"seeds": [3, 4], "steps": 2, "scale": 2.0}
    plain = generator.draw(PROMPTS, **asked)
    drawn = heard.draw(PROMPTS, hints(), **asked)
    assert not drawn.requires_grad
    others = [
        plain,
        heard.draw(PROMPTS, 1 - hints(), **asked),
        heard.draw(PROMPTS, hints(), strength=0.5, **asked),
        heard.draw(PROMPTS, hints(), **asked | {"scale": 1.0}),
        heard.draw(PROMPTS, hints(), negative="a ring", **asked),
        heard.draw(PROMPTS[::-1], hints(), **asked),
    ]
    assert all((drawn - other).abs().amax() > 1e-3 for other in others)
    assert_close(heard.draw(PROMPTS, hints(), strength=0.0, **asked), plain, rtol=0, atol=1e-5)
    assert_close(
        heard.draw(PROMPTS[1:], hints()[1:], **asked | {"seeds": [4]}), drawn[1:], rtol=0, atol=1e-4
    )


@torch.no_grad()
def test_the_predictor_is_for_any_sampler(heard, generator):
    model = generator.model
    predictor = heard.predictor(PROMPTS, hints(), scale=3.0)
    way = spaced_timesteps(len(model.schedule), 3)
    latents = ddim_sample(
        predictor, model.schedule, generator.noise([3, 4]), way, **model.sampling()
    )
    drawn = heard.draw(PROMPTS, hints(), seeds=[3, 4], steps=3, scale=3.0)
    assert_close(model.space.to_images(latents).clamp(-1, 1), drawn)


def test_what_is_kept_is_not_trained_again(kept, generator, monkeypatch):
    folder, first = kept
    monkeypatch.setattr(recipe, "fit", None)
    again = load_or_train(folder, generator, TINY)
    assert again.generator is generator
    assert_close(again.model.state_dict(), first.model.state_dict(), rtol=0, atol=0)
    said = []
    taken = load_or_train(folder, generator, exact=False, log=said.append)
    assert_close(taken.model.state_dict(), first.model.state_dict(), rtol=0, atol=0)
    assert len(said) == 1 and "was trained with scenes=40 and not 8000: it is used" in said[0]
    with pytest.raises(ValueError, match="control_edges is no control of this generator"):
        load_or_train(folder, untrained(1), TINY, exact=False)


def test_it_comes_back_with_its_generator(kept, generator):
    folder, first = kept
    again = recipe.load(folder / "control_edges")
    asked = {"seeds": [3, 4], "steps": 2}
    assert_close(again.draw(PROMPTS, hints(), **asked), first.draw(PROMPTS, hints(), **asked))
    assert fingerprint(again.generator.model) == fingerprint(generator.model)


def test_over_another_generator_it_is_trained_anew(kept, tmp_path):
    shutil.copytree(kept[0] / "control_edges", tmp_path / "control_edges")
    said = []
    fresh = load_or_train(tmp_path / "fresh", untrained(1), TINY)
    anew = load_or_train(tmp_path, untrained(1), TINY, log=said.append)
    assert re.search("was trained with generator='.*' and not '.*': it is trained anew", said[0])
    assert_close(anew.model.state_dict(), fresh.model.state_dict(), rtol=0, atol=0)


def test_a_killed_training_goes_on(kept, generator, tmp_path, monkeypatch):
    whole = recipe.fit

    def killed(model, batch_at, loss, **options):
        def until(step):
            return batch_at(step) if step < 2 else 1 / 0

        return whole(model, until, loss, save_every=1, **options)

    monkeypatch.setattr(recipe, "fit", killed)
    with pytest.raises(ZeroDivisionError):
        load_or_train(tmp_path, generator, TINY)
    assert not (tmp_path / "control_edges" / "model.pt").exists()
    monkeypatch.setattr(recipe, "fit", whole)
    said = []
    again = load_or_train(tmp_path, generator, TINY, log=said.append)
    assert said[0] == "Training a ControlNet of edges for 3 steps."
    assert any("after 2 steps" in line for line in said)
    assert_close(again.model.state_dict(), kept[1].model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_each_scene_is_learned_with_its_own_control_image_and_sentence(generator, share):
    settings = replace(SETTINGS, kind="depth", scenes=90, dropout_probability=share)
    data, control = recipe.data(settings, seed=2), build(settings, generator)
    rows = shuffled_batches(90, 64, 2)(1)
    latents, prompt, shown = batches(settings, control, data, seed=2)(1)
    assert_close(shown, data.hints[rows])
    assert_close(latents, latents_of(generator.model.space, data.images, 2)[rows])
    texts = [data.texts[row] if share == 0 else "" for row in rows.tolist()]
    assert_close((prompt["tokens"], prompt["real"]), generator.tokens(texts))

    network = ControlledDenoiser(control)
    torch.manual_seed(5)
    found = recipe.loss(network, (latents, prompt, shown))
    torch.manual_seed(5)
    base = generator.model
    expected = diffusion_loss(
        Controlled(base.unet, control.model), base.schedule, latents, target=base.target,
        hint=shown, **generator.condition(texts),
    )  # fmt: skip
    assert_close(found, expected)
    found.backward()
    assert all(parameter.grad is None for parameter in base.parameters())
    assert any(parameter.grad is not None for parameter in control.model.parameters())


def test_refusals(kept, generator, tmp_path):
    with pytest.raises(ValueError, match="control 'hearsay' is none of edges, depth, pose"):
        load_or_train(tmp_path, generator, replace(SETTINGS, kind="hearsay"))
    with pytest.raises(ValueError, match="there are 1 control images for 2 prompts"):
        kept[1].predictor(PROMPTS, hints(count=1))
    with pytest.raises(ValueError, match="there are 1 seeds for 2 prompts"):
        kept[1].draw(PROMPTS, hints(), seeds=[1])
    with pytest.raises(ValueError, match="the control image is 16 x 16"):
        kept[1].draw(PROMPTS, hints()[..., :16, :16], seeds=[1, 2], steps=1)


def run_shapes() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "TESTED", 3)
        control = recipe.train(replace(TINY, steps=1, batch=7), generator=untrained())
        recipe.figures(control)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "recipes/controlnet.py")
