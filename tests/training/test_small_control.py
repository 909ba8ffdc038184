"""The small ControlNet: at first nothing, kept and not trained again, a killed training that goes on."""

import re
import shutil

import pytest
import torch
from torch.testing import assert_close

from scratchmm.data.world.captioned import captioned
from scratchmm.data.world.control_images import KINDS, control_images
from scratchmm.data.world.images import draw_many
from scratchmm.data.world.scenes import split_combinations
from scratchmm.diffusion.controlnet import Controlled
from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.process import diffusion_loss
from scratchmm.training import small_control
from scratchmm.training.fingerprint import fingerprint
from scratchmm.training.generator_stages import latents_of
from scratchmm.training.sampling import shuffled_batches
from scratchmm.training.small_control import build, open_control, train_control
from scratchmm.training.small_generator import untrained

SIZES = {"scenes": 40, "steps": 3}
PROMPTS = ["a red star", "a blue ring"]


@pytest.fixture(scope="module")
def generator():
    return untrained()


@pytest.fixture(scope="module")
def kept(generator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("control")
    before = fingerprint(generator.model)
    control = open_control(folder, generator, "edges", learning_rate=0.05, **SIZES)
    assert fingerprint(generator.model) == before  # the base stays as it was
    assert all(parameter.grad is None for parameter in generator.model.parameters())
    return folder, control


def hints(channels=1, count=2):
    return torch.rand(count, channels, 32, 32, generator=torch.Generator().manual_seed(1)).round()


@pytest.mark.parametrize("kind", KINDS)
def test_untrained_it_changes_nothing(generator, kind):
    asked = {"seeds": [3, 4], "steps": 3, "scale": 2.0, "negative": "a star"}
    shown = hints(3 if kind == "pose" else 1)
    drawn = build(generator, kind).draw(PROMPTS, shown, **asked)
    assert_close(drawn, generator.draw(PROMPTS, **asked), rtol=0, atol=0)


@pytest.fixture(scope="module")
def heard(generator):
    """A control of random numbers: none is zero any more."""
    control = build(generator, "edges")
    with torch.no_grad():
        for parameter in control.control.parameters():
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
    monkeypatch.setattr(small_control, "fit", None)
    again = open_control(folder, generator, "edges", learning_rate=0.05, **SIZES)
    assert_close(again.control.state_dict(), first.control.state_dict(), rtol=0, atol=0)
    assert not [*folder.rglob("checkpoint.pt")]  # finished
    said = []
    taken = open_control(folder, generator, "edges", exact=False, say=said.append)
    assert_close(taken.control.state_dict(), first.control.state_dict(), rtol=0, atol=0)
    assert len(said) == 1 and "was trained with scenes=40 and not 8000: it is used" in said[0]
    with pytest.raises(ValueError, match="control_edges.pt is no control of this generator"):
        open_control(folder, untrained(1), "edges", exact=False)


def test_over_another_generator_it_is_trained_anew(kept, generator, tmp_path):
    shutil.copy(kept[0] / "control_edges.pt", tmp_path)
    said, options = [], {"learning_rate": 0.05, **SIZES}
    fresh = open_control(tmp_path / "fresh", untrained(1), "edges", **options)
    anew = open_control(tmp_path, untrained(1), "edges", say=said.append, **options)
    assert re.search("was trained with generator='.*' and not '.*': it is trained anew", said[0])
    assert_close(anew.control.state_dict(), fresh.control.state_dict(), rtol=0, atol=0)


def test_a_killed_training_goes_on(kept, generator, tmp_path, monkeypatch):
    whole = small_control.fit

    def killed(model, batch_at, loss, **options):
        def until(step):
            return batch_at(step) if step < 2 else 1 / 0

        return whole(model, until, loss, save_every=1, **options)

    monkeypatch.setattr(small_control, "fit", killed)
    options = {"learning_rate": 0.05, **SIZES}
    with pytest.raises(ZeroDivisionError):
        open_control(tmp_path, generator, "edges", **options)
    assert not (tmp_path / "control_edges.pt").exists()
    monkeypatch.setattr(small_control, "fit", whole)
    said = []
    again = open_control(tmp_path, generator, "edges", say=said.append, **options)
    assert said[0] == "Learning to follow an image of edges ..."
    assert any("after 2 steps" in line for line in said)
    assert_close(again.control.state_dict(), kept[1].control.state_dict(), rtol=0, atol=0)


def asked_of_fit(monkeypatch, module, train):
    """What a training asks `fit` for: (model, batch_at, loss, options)."""
    asked = []
    monkeypatch.setattr(module, "fit", lambda *given, **options: asked.append((*given, options)))
    train()
    (found,) = asked
    return found


def test_each_scene_is_learned_with_its_own_image_and_words(generator, monkeypatch):
    control = build(generator, "depth")
    network, batch_at, loss, options = asked_of_fit(
        monkeypatch,
        small_control,
        lambda: train_control(control, scenes=90, steps=7, seed=2, weight_decay=0.5),
    )
    assert network is control.control and not network.training
    assert options["steps"] == 7 and options["seed"] == 2 and options["weight_decay"] == 0.5
    data = captioned(90, split_combinations()[0], seed=3)
    rows = shuffled_batches(90, 64, 2)(1)
    scenes = [data.scenes[row] for row in rows.tolist()]
    latents, hints, tokens, real = batch_at(1)
    assert_close(hints, control_images(scenes, "depth"))
    words = generator.tokens([data.texts[row] for row in rows.tolist()])
    assert_close((tokens, real), words)
    everything = latents_of(generator.model.space, draw_many(data.scenes), 2)
    assert_close(latents, everything[rows])

    heard = {"told": generator.model.condition(tokens, real), "empty": generator.condition([""])}
    for share, which in ((0.0, "told"), (1.0, "empty")):
        monkeypatch.setattr(small_control, "DROPOUT_PROBABILITY", share)
        condition = {
            name: value.expand(64, *value.shape[1:]) for name, value in heard[which].items()
        }
        torch.manual_seed(5)
        found = loss(None, batch_at(1))
        torch.manual_seed(5)
        torch.rand(64)  # who loses the prompt
        expected = diffusion_loss(
            Controlled(generator.model.unet, control.control), generator.model.schedule, latents,
            target=generator.model.target, hint=hints, **condition,
        )  # fmt: skip
        assert_close(found, expected)
        found.backward()
        assert all(parameter.grad is None for parameter in generator.model.parameters())


def test_refusals(kept, generator, tmp_path):
    with pytest.raises(ValueError, match="control 'hearsay' is none of edges, depth, pose"):
        open_control(tmp_path, generator, "hearsay")
    with pytest.raises(ValueError, match="there are 1 control images for 2 prompts"):
        kept[1].predictor(PROMPTS, hints(count=1))
    with pytest.raises(ValueError, match="there are 1 seeds for 2 prompts"):
        kept[1].draw(PROMPTS, hints(), seeds=[1])
    with pytest.raises(ValueError, match="the control image is 16 x 16"):
        kept[1].draw(PROMPTS, hints()[..., :16, :16], seeds=[1, 2], steps=1)
