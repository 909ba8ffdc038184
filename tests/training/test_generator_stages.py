"""The three trainings of the small generator: what each is shown, what it is judged by, what stays."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from scratchmm.data.world.captioned import captioned
from scratchmm.data.world.images import draw_many
from scratchmm.diffusion.latent import text_to_image_loss
from scratchmm.diffusion.unet_blocks import last_token
from scratchmm.diffusion.vae import draw, kl_to_normal
from scratchmm.layers.attention import padding_mask
from scratchmm.training import generator_stages as stages
from scratchmm.training.sampling import seeded, shuffled_batches
from scratchmm.training.small_generator import untrained

DATA = captioned(150, [("red", "star"), ("blue", "ring")], seed=1, pairs=0.5, places=0.5)
TEXTS, IMAGES = DATA.texts, draw_many(DATA.scenes)


@pytest.fixture
def model():
    return untrained()


@pytest.fixture
def asked(monkeypatch):
    """What a training asks `fit` for: (model, batch_at, loss, options); `fit` itself does nothing."""
    found: list = []
    monkeypatch.setattr(stages, "fit", lambda *given, **options: found.extend((*given, options)))
    return found


def latents(model):
    return stages.latents_of(model.model.space, IMAGES, 3)


def test_images_are_squeezed_by_squares_and_a_little_of_the_kl(model):
    vae, folded = model.model.space.autoencoder, model.model.space.fold(IMAGES[:5])
    for weight in (1e-4, 0.5):
        torch.manual_seed(1)
        restored, posterior = vae(folded)
        kl = kl_to_normal(posterior).sum() / 5 / posterior.mean[0].numel()
        torch.manual_seed(1)
        found = stages.squeezing_loss(
            vae, folded, **({} if weight == 1e-4 else {"kl_weight": weight})
        )
        assert_close(found, F.mse_loss(restored, folded) + weight * kl)


def test_squeezing_sees_folded_images_and_measures_the_scale(model, asked):
    space = model.model.space
    space.autoencoder.train()
    stages.train_space(space, IMAGES, steps=8, seed=3, weight_decay=0.5)
    network, batch_at, loss, options = asked
    assert (
        network is space.autoencoder
        and loss is stages.squeezing_loss
        and not space.autoencoder.training
    )
    assert (options["steps"], options["seed"], options["weight_decay"]) == (8, 3, 0.5)
    folded = space.fold(IMAGES)
    assert_close(batch_at(2), folded[shuffled_batches(150, 32, 3)(2)])
    with torch.no_grad():
        deviation = draw(space.autoencoder.encode(folded), seeded(3, 0)).std(correction=0)
    assert_close(space.autoencoder.scale.float(), 1 / deviation)


def test_latents_are_drawn_once_in_parts(model, monkeypatch):
    space = model.model.space
    many = IMAGES[:1].expand(501, -1, -1, -1)
    found = stages.latents_of(space, many, 3)
    generator = seeded(3, 1)
    parts = [space.to_latents(part, generator) for part in (many[:500], many[500:])]
    assert_close(found, torch.cat(parts).detach())
    assert not found.requires_grad and not stages.latents_of(space, many[:2], 4).equal(found[:2])


def test_reading_goes_from_the_last_word_to_the_mean_latents(model, asked):
    everything, reader = latents(model), model.model.text_encoder
    reader.train()
    mean = stages.train_reading(model, everything, TEXTS, steps=8, seed=3, precision="bfloat16")
    network, batch_at, loss, options = asked
    assert [*network] == [reader, mean] and not reader.training
    assert (options["steps"], options["seed"], options["precision"]) == (8, 3, "float32")
    rows = shuffled_batches(150, 128, 3)(1)
    shown, tokens, real = batch_at(1)
    assert_close(shown, everything[rows])
    wanted = model.tokens([TEXTS[row] for row in rows.tolist()])
    length = int(wanted[1].sum(dim=1).max())
    assert_close((tokens, real), tuple(part[:, :length] for part in wanted))
    last = last_token(reader(tokens), padding_mask(real))
    expected = (mean(last) - shown.flatten(1)).square().mean()
    assert_close(loss(None, (shown, tokens, real)), expected)


def test_drawing_loses_some_prompts_and_keeps_the_average(model, monkeypatch):
    everything, asked = latents(model), []

    def fit(pair, batch_at, loss, **options):
        asked.extend((batch_at, loss, options))
        with torch.no_grad():
            for average in pair.average.parameters():
                average.fill_(0.25)
        torch.manual_seed(5)
        asked.append(loss(pair, batch_at(0)))
        assert pair.updates == 1

    monkeypatch.setattr(stages, "fit", fit)
    monkeypatch.setattr(stages.Averaged, "update", lambda pair: pair.updates.add_(1))
    start = {name: value.clone() for name, value in model.model.state_dict().items()}
    model.model.train()
    stages.train_drawing(model, everything, TEXTS, steps=8, seed=3)
    batch_at, loss, options, value = asked
    assert (options["steps"], options["seed"]) == (8, 3) and not model.model.training
    for part in (model.model.unet, model.model.text_encoder):
        assert all((parameter == 0.25).all() for parameter in part.parameters())
    rows = shuffled_batches(150, 64, 3)(0)
    shown, tokens, real = batch_at(0)
    assert_close(shown, everything[rows])
    assert tokens.shape == real.shape and real.any(dim=0).all()
    model.model.load_state_dict(start)
    nothing, only = (part[:, : tokens.shape[1]] for part in model.tokens([""]))
    torch.manual_seed(5)
    expected = text_to_image_loss(
        model.model, shown, {"tokens": tokens, "real": real}, {"tokens": nothing, "real": only}
    )
    assert_close(value, expected)
