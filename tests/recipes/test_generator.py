"""A trained text-to-image model: seeds, prompts, what is refused."""

import pytest
import torch
from torch.testing import assert_close

from scratchmm.recipes.generator import latent_shape, latents_of
from scratchmm.recipes.text_to_image import untrained
from scratchmm.training.sampling import seeded
from shape_comments import check_shape_comments


def test_one_seed_is_one_image_in_any_batch() -> None:
    model = untrained()
    prompts = ["a red star", "a blue ring", "a red star"]
    for eta in (0.0, 0.7):  # with eta above 0 there is chance on the way, too
        options = {"steps": 3, "scale": 2.0, "eta": eta}
        together = model.draw(prompts, seeds=[5, 6, 5], **options)  # type: ignore[arg-type]
        assert_close(together[0], together[2])
        alone = model.draw(prompts[1:2], seeds=[6], **options)[0]  # type: ignore[arg-type]
        assert_close(alone, together[1], rtol=0, atol=1e-4)
        other = model.draw(prompts[:1], seeds=[7], **options)[0]  # type: ignore[arg-type]
        assert not together[0].allclose(other)
        assert together.abs().max() <= 1 and not together.requires_grad


def test_noise_has_the_shape_of_the_latents_and_leaves_the_global_generator_alone() -> None:
    model = untrained()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    noise = model.noise([5, 6])
    assert_close(torch.rand(2), expected, rtol=0, atol=0)
    images = torch.zeros(2, 3, model.size, model.size)
    assert noise.shape == latents_of(model.model.space, images).shape
    assert noise.shape[1:] == latent_shape(model.model.space, model.size) == (16, 4, 4)


def test_prompt_negative_and_scale_count() -> None:
    model = untrained()
    options = {"seeds": [1], "steps": 2}
    plain = model.draw(["a red star"], scale=3.0, **options)  # type: ignore[arg-type]
    for other in (
        model.draw(["a blue star"], scale=3.0, **options),  # type: ignore[arg-type]
        model.draw(["a red star"], scale=3.0, negative="a ring", **options),  # type: ignore[arg-type]
        model.draw(["a red star"], scale=1.0, **options),  # type: ignore[arg-type]
    ):
        assert not plain.allclose(other, atol=1e-3)
    assert_close(model.draw(["A Red Star"], scale=3.0, **options), plain)  # type: ignore[arg-type]


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


def test_latents_are_drawn_once_in_parts() -> None:
    space = untrained().model.space
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    many = images[:1].expand(501, -1, -1, -1)
    found = latents_of(space, many, 3)
    generator = seeded(3, 1)
    parts = [space.to_latents(part, generator) for part in (many[:500], many[500:])]
    assert_close(found, torch.cat(parts).detach())
    assert not found.requires_grad and not latents_of(space, many[:2], 4).equal(found[:2])


def run_shapes() -> None:
    prompts = ["a red star", "a blue ring", "a cross"]
    untrained().draw(prompts, seeds=[1, 2, 3], steps=2)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "recipes/generator.py")
