"""A sample's chance is its own: the same alone and in any batch; the global generators stay."""

import random

import numpy as np
import pytest
import torch

from scratchmm.diffusion import ddim, ddpm, prior, unclip, unclip_decoder
from scratchmm.diffusion.editing import inpainting, style
from scratchmm.diffusion.noise import draw_noise, seeded_each
from scratchmm.diffusion.process import cosine_schedule
from scratchmm.recipes.text_to_image import untrained

SCHEDULE, WAY = cosine_schedule(20), [19, 13, 8, 2]
SEEDS = [3, 1, 4, 15]


def noise_of(seeds, *shape):
    return draw_noise(torch.zeros(len(seeds), *shape), seeded_each([99 + seed for seed in seeds]))


def curved(x, timesteps, **condition):
    return 0.4 * x.sin() + timesteps.reshape(-1, *[1] * (x.ndim - 1)) / 2000


def drawn(name, seeds, generator):
    """Images (B, ...) of these seeds by one of the samplers, with the chance of a generator."""
    x = noise_of(seeds, 2, 4, 4)
    known = (3 * x).cos()  # its own image of each seed
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[..., 1:3] = True
    if name == "ddpm":
        return ddpm.ancestral_sample(curved, SCHEDULE, x, generator=generator)
    if name == "ddim":
        return ddim.ddim_sample(curved, SCHEDULE, x, WAY, eta=0.7, generator=generator)
    if name == "inpaint":
        options = dict(repeats=2, eta=0.8, generator=generator)
        return inpainting.inpaint(curved, SCHEDULE, known, mask, x, WAY, **options)
    if name == "edit":
        return inpainting.edit(curved, SCHEDULE, known, 0.7, x, WAY, eta=0.5, generator=generator)
    if name == "style":
        model = style.in_colours_of(curved, SCHEDULE, known[:, :, :2])
        return ddim.ddim_sample(model, SCHEDULE, x, WAY, eta=1.0, generator=generator)
    if name == "prior":
        texts = {"text_embedding": noise_of(seeds, 24), "text": noise_of(seeds, 5, 20)}
        return prior.draw_embeddings(NETS["prior"], SCHEDULE, steps=3, generator=generator, **texts)
    embeddings, options = noise_of(seeds, 24), dict(steps=3, eta=0.6, generator=generator)
    return unclip.decode(
        NETS["unclip"], SCHEDULE, embeddings, noise_of(seeds, 3, 16, 16), **options
    )


def nets():
    torch.manual_seed(0)
    made = {
        "prior": prior.Prior(prior.tiny()),
        "unclip": unclip_decoder.Decoder(unclip_decoder.tiny()),
    }
    for net in made.values():
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return {name: net.double().eval().float() for name, net in made.items()}


NETS = nets()
SAMPLERS = ["ddpm", "ddim", "inpaint", "edit", "style", "prior", "unclip"]
BY_NAME = pytest.mark.parametrize("name", SAMPLERS)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


@BY_NAME
def test_the_image_of_a_seed_is_the_same_alone_and_in_any_batch(name):
    alone = torch.cat([drawn(name, [seed], seeded_each([seed])) for seed in SEEDS])
    assert (alone[0] - alone[1]).abs().max() > 1e-3
    close(drawn(name, SEEDS, seeded_each(SEEDS)), alone)
    turned = drawn(name, SEEDS[::-1], seeded_each(SEEDS[::-1]))
    close(turned.flip(0), alone)


def global_states():
    return (
        torch.random.get_rng_state().tolist(),
        [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
        random.getstate(),
    )


@BY_NAME
def test_the_global_generators_are_left_alone(name):
    before = global_states()
    drawn(name, SEEDS[:2], torch.Generator().manual_seed(0))
    drawn(name, SEEDS[:2], seeded_each(SEEDS[:2]))
    assert global_states() == before


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_text_to_image_model_draws_each_seed_by_itself(eta):
    model = untrained()
    prompts, seeds = ["a red star", "a blue ring", "a red star"], [1, 2, 3]
    before = global_states()
    together = model.draw(prompts, seeds=seeds, steps=3, eta=eta)
    alone = [model.draw([p], seeds=[s], steps=3, eta=eta) for p, s in zip(prompts, seeds)]
    assert global_states() == before
    close(together, torch.cat(alone))
    assert (together[0] - together[2]).abs().max() > 0.01


def test_variations_take_their_noise_from_their_seeds():
    embedding, options = torch.ones(1, 24), dict(steps=3, eta=0.8)
    before = global_states()
    many = unclip.variations(NETS["unclip"], SCHEDULE, embedding, SEEDS, **options)
    one = unclip.variations(NETS["unclip"], SCHEDULE, embedding, SEEDS[2:3], **options)
    assert global_states() == before
    close(many[2:3], one)


def test_there_is_a_generator_for_each_sample():
    own = seeded_each([1, 2, 3])
    with pytest.raises(ValueError, match="^there are 3 generators for 4 samples$"):
        draw_noise(torch.zeros(4, 1), own)
    assert draw_noise(torch.zeros(0, 2), []).shape == (0, 2)
    assert draw_noise(torch.zeros(2, 3).half(), own[:2]).dtype == torch.float16
