"""Sampling: from noise, from an image, under a mask, in other colours; one seed, one image."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scratchmm.apps.image_studio.inputs import Inputs
from scratchmm.apps.image_studio.sampling import image_sampler
from scratchmm.diffusion.process import cosine_schedule

SETTINGS = {"steps": 4, "scale": 3.0, "negative": ""}


class Pixels:
    """A latent space without an autoencoder: the latents are the pixels."""

    @staticmethod
    def to_latents(images, generator=None):
        return images

    @staticmethod
    def to_images(latents):
        return latents


class Generator:
    """Predicts red images for every prompt, with a trace of the noise; records its conditions."""

    def __init__(self):
        self.asked = []
        self.model = SimpleNamespace(
            schedule=cosine_schedule(30),
            space=Pixels,
            sampling=lambda: {"target": "x0", "clamp": 1.0},
        )

    def noise(self, seeds):
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        return torch.stack([torch.randn(3, 32, 32, generator=one) for one in draws])

    def predictor(self, prompts, **options):
        self.asked.append((*prompts, options))
        red = torch.tensor([0.8, -0.8, -0.8])[:, None, None].expand(3, 32, 32)
        return lambda x, timesteps: red + 0.1 * torch.tanh(x)

    def draw(self, prompts, **options):
        raise AssertionError("only without inputs")


def sampled(inputs, seeds=(5,), generator=None):
    draw = image_sampler(generator or Generator(), inputs, Path("unused"), log=print)
    return draw(["a ring"] * len(seeds), seeds=seeds, **SETTINGS)


RNG = torch.Generator().manual_seed(0)
INIT = torch.rand(1, 3, 32, 32, generator=RNG) * 2 - 1
MASK = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
MASK[..., 5:12, 8:21] = True
INPUTS = {
    "init": Inputs(init=INIT, strength=0.5),
    "masked": Inputs(init=INIT, mask=MASK, strength=0.5),
    "masked from noise": Inputs(init=INIT, mask=MASK),
    "colours": Inputs(colours=-INIT / 2),
}


def test_without_inputs_the_generator_draws_by_itself():
    generator = Generator()
    assert image_sampler(generator, Inputs(), Path("unused"), log=print) == generator.draw


@pytest.mark.parametrize("name", INPUTS)
def test_an_image_depends_on_its_seed_and_not_on_its_batch(name):
    both = sampled(INPUTS[name], (5, 6))
    assert both.shape == (2, 3, 32, 32) and both.abs().max() <= 1
    assert torch.equal(both[1:], sampled(INPUTS[name], (6,)))
    assert not torch.equal(both[0], both[1])


def test_the_prompt_and_the_guidance_reach_the_model():
    generator = Generator()
    sampled(INPUTS["init"], generator=generator)
    assert generator.asked == [("a ring", {"negative": "", "scale": 3.0})]


@pytest.mark.parametrize("name", ["masked", "masked from noise"])
def test_pixels_outside_of_the_mask_are_kept(name):
    image, outside = sampled(INPUTS[name]), ~MASK.expand(1, 3, 32, 32)
    assert torch.equal(image[outside], INIT[outside])
    inside = image[0][:, MASK[0, 0]]  # (3, masked pixels)
    assert (inside[0] > 0.6).all() and (inside[1:] < -0.6).all()


def test_inpainting_below_full_strength_starts_from_the_noised_image():
    noised, pure = sampled(INPUTS["masked"]), sampled(INPUTS["masked from noise"])
    assert not torch.equal(noised, pure)


def test_the_initial_image_is_replaced_as_far_as_the_model_predicts():
    image = sampled(INPUTS["init"])
    assert (image[:, 0] > 0.6).all() and (image[:, 1:] < -0.6).all()


def test_each_channel_takes_the_mean_of_the_reference():
    image = sampled(INPUTS["colours"])
    means = (-INIT / 2).mean((2, 3))
    torch.testing.assert_close(image.mean((2, 3)), means, rtol=0, atol=0.02)
    assert image.requires_grad is False
