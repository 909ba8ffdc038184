"""The three trainings of the text-to-image model: what each is shown and judged by, what stays."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from scratchmm.data.world.captioned import captioned
from scratchmm.diffusion.process import diffusion_loss
from scratchmm.diffusion.unet_blocks import last_token
from scratchmm.diffusion.vae import draw, kl_to_normal
from scratchmm.layers.attention import padding_mask
from scratchmm.recipes import text_to_image as recipe
from scratchmm.recipes.generator import latents_of
from scratchmm.recipes.text_to_image import SETTINGS, Denoiser, untrained
from scratchmm.training.sampling import seeded, shuffled_batches
from shape_comments import check_shape_comments

DATA = captioned(150, [("red", "star"), ("blue", "ring")], seed=1, pairs=0.5, places=0.5)
TEXTS, IMAGES = DATA.texts, DATA.images
TINY = replace(SETTINGS, scenes=70, autoencoder_steps=3, text_steps=3, steps=3)


@pytest.fixture
def model():
    return untrained()


@pytest.fixture
def asked(monkeypatch):
    """What a training asks `fit` for: (model, batch_at, loss, options); `fit` itself does nothing."""
    found: list = []
    monkeypatch.setattr(recipe, "fit", lambda *given, **options: found.extend((*given, options)))
    return found


def latents(model):
    return latents_of(model.model.space, IMAGES, 3)


def test_images_are_restored_by_squares_and_a_little_of_the_kl(model):
    vae, folded = model.model.space.autoencoder, model.model.space.fold(IMAGES[:5])
    for weight in (1e-4, 0.5):
        torch.manual_seed(1)
        restored, posterior = vae(folded)
        kl = kl_to_normal(posterior).sum() / 5 / posterior.mean[0].numel()
        torch.manual_seed(1)
        options = {} if weight == 1e-4 else {"kl_weight": weight}
        found = recipe.autoencoder_loss(vae, folded, **options)
        assert_close(found, F.mse_loss(restored, folded) + weight * kl)


def test_the_autoencoder_is_given_folded_images_and_its_scale_is_fitted(model, asked):
    space = model.model.space
    space.autoencoder.train()
    recipe.train_autoencoder(space, IMAGES, steps=8, seed=3, weight_decay=0.5)
    network, batch_at, loss, options = asked
    assert network is space.autoencoder and not network.training
    assert loss is recipe.autoencoder_loss
    assert (options["steps"], options["seed"], options["weight_decay"]) == (8, 3, 0.5)
    folded = space.fold(IMAGES)
    assert_close(batch_at(2), folded[shuffled_batches(150, 32, 3)(2)])
    with torch.no_grad():
        deviation = draw(network.encode(folded), seeded(3, 0)).std(correction=0)
    assert_close(network.scale.float(), 1 / deviation)


def test_the_text_encoder_goes_from_the_last_token_to_the_mean_latents(model, asked):
    everything, encoder = latents(model), model.model.text_encoder
    encoder.train()
    options = {"steps": 8, "seed": 3, "precision": "bfloat16"}
    mean = recipe.train_text_encoder(model, everything, TEXTS, **options)
    network, batch_at, loss, options = asked
    assert network is mean and mean.text_encoder is encoder and not encoder.training
    assert (options["steps"], options["seed"], options["precision"]) == (8, 3, "float32")
    rows = shuffled_batches(150, 128, 3)(1)
    shown, tokens, real = batch_at(1)
    assert_close(shown, everything[rows])
    wanted = model.tokens([TEXTS[row] for row in rows.tolist()])
    length = int(wanted[1].sum(dim=1).max())
    assert_close((tokens, real), tuple(part[:, :length] for part in wanted))
    last = last_token(encoder(tokens), padding_mask(real))
    expected = (mean.mean(last) - shown.flatten(1)).square().mean()
    assert_close(loss(network, (shown, tokens, real)), expected)


def test_the_text_encoder_alone_learns_where_things_are() -> None:
    data = captioned(600, [("white", "circle")], seed=2, places=1.0)
    model = recipe.build(SETTINGS, data)
    brightness = F.avg_pool2d(data.images.mean(dim=1, keepdim=True), 8)  # (S, 1, 4, 4)
    mean = recipe.train_text_encoder(model, brightness, data.texts, steps=120)
    places = ("on the left", "on the right", "at the top", "at the bottom")
    with torch.no_grad():
        said = mean(*model.tokens([f"a white circle {place}" for place in places])).view(4, 4, 4)
    for grid, axis, sign in zip(said, (1, 1, 0, 0), (1, -1, 1, -1)):
        one, other = grid.split(2, dim=axis)
        assert sign * (one.mean() - other.mean()) > 0.1


def test_the_unet_gets_latents_and_prompts_of_which_some_are_left_out(model):
    everything = latents(model)
    settings = replace(SETTINGS, dropout_probability=0.5)
    shown, prompt = recipe.batches(settings, model, everything, TEXTS, seed=3)(4)
    again = recipe.batches(settings, model, everything, TEXTS, seed=3)(4)
    assert_close((shown, prompt), again, rtol=0, atol=0)
    rows = shuffled_batches(150, 64, 3)(4)
    assert_close(shown, everything[rows])
    assert prompt["real"].any(dim=0).all()
    length = prompt["tokens"].shape[1]
    tokens, empty = (model.tokens(x)[0][:, :length] for x in ([TEXTS[r] for r in rows], [""]))
    kept = (prompt["tokens"] == tokens).all(dim=1)
    assert ((prompt["tokens"] == empty).all(dim=1) | kept).all() and 15 < kept.sum() < 49


def test_the_loss_is_that_of_the_diffusion_and_the_average_is_kept(model, monkeypatch):
    everything, asked = latents(model), []

    def fit(pair, batch_at, loss, **options):
        asked.extend((batch_at, options))
        with torch.no_grad():
            for average in pair.average.parameters():
                average.fill_(0.25)
        torch.manual_seed(5)
        asked.append(loss(pair.train(), batch_at(0)))
        assert pair.updates == 1

    monkeypatch.setattr(recipe, "fit", fit)
    monkeypatch.setattr(recipe.Averaged, "update", lambda pair: pair.updates.add_(1))
    start = {name: value.clone() for name, value in model.model.state_dict().items()}
    model.model.train()
    recipe.train_unet(replace(SETTINGS, steps=8), model, everything, TEXTS, seed=3)
    batch_at, options, value = asked
    assert (options["steps"], options["seed"]) == (8, 3) and not model.model.training
    for part in (model.model.unet, model.model.text_encoder):
        assert all((parameter == 0.25).all() for parameter in part.parameters())
    model.model.load_state_dict(start)
    shown, prompt = batch_at(0)
    torch.manual_seed(5)
    denoiser = Denoiser(model.model.unet, model.model.text_encoder)
    schedule = model.model.schedule
    assert_close(value, diffusion_loss(denoiser, schedule, shown, target="velocity", **prompt))


def test_a_training_that_was_stopped_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    whole = recipe.train(TINY, folder=tmp_path / "whole")
    stopped = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "train_unet", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            recipe.train(TINY, folder=stopped)
    assert (stopped / "autoencoder" / "checkpoint.pt").exists()
    assert not (stopped / "model.pt").exists()
    said: list[str] = []
    resumed = recipe.train(TINY, folder=stopped, log=said.append)
    assert sum("after 3 steps" in line for line in said) == 2
    states = (model.model.state_dict() for model in (resumed, whole))
    assert_close(*states, rtol=0, atol=0)


def run_shapes() -> None:
    recipe.train(replace(TINY, scenes=41, autoencoder_steps=1, text_steps=1, steps=1))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "recipes/text_to_image.py")
