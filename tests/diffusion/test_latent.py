"""Text to image: folding loses nothing, padding is not heard, and the loss is diffusion's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from scratchmm.diffusion import latent, vae
from scratchmm.diffusion.ddpm import diffusion_loss
from scratchmm.diffusion.latent import LatentSpace, TextToImage, text_to_image_loss
from scratchmm.diffusion.schedule import cosine_schedule
from scratchmm.diffusion.text_unet import TextUNet, TextUNetConfig
from shape_comments import check_shape_comments


def model() -> TextToImage:
    """A random one: what starts at zero, too, or it would hear nothing."""
    torch.manual_seed(3)
    made = latent.tiny().double().eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


PROMPT = {
    "tokens": torch.tensor([[97, 5, 98, 0], [97, 98, 0, 0], [97, 6, 7, 98]]),
    "real": torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]).bool(),
}
EMPTY = {
    "tokens": torch.tensor([[97, 98, 0, 0]]),
    "real": torch.tensor([[True, True, False, False]]),
}


@given(side=st.integers(1, 4), height=st.integers(1, 3), width=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_cell_holds_the_pixels_of_its_square(side: int, height: int, width: int) -> None:
    images = torch.randn(2, 3, height * side, width * side)
    space = LatentSpace(side)
    cells = space.to_latents(images)
    for row in range(height):
        for column in range(width):
            square = images[:, :, row * side :, column * side :][:, :, :side, :side]
            assert_close(cells[:, :, row, column], square.flatten(1))
    assert space.to_images(cells).equal(images)


def test_with_an_autoencoder_what_is_folded_is_squeezed() -> None:
    coder = vae.VAE(vae.VAEConfig(12, 2, (8, 12), 1, groups=4, scale=0.5)).eval()
    space, images = LatentSpace(2, coder), torch.randn(2, 3, 8, 12)
    latents = space.to_latents(images, torch.Generator().manual_seed(0))
    folded = LatentSpace(2).to_latents(images)
    assert_close(latents, coder.to_latents(folded, torch.Generator().manual_seed(0)))
    assert latents.shape == (2, 2, 2, 3)
    assert_close(space.to_images(latents), LatentSpace(2).to_images(coder.to_images(latents)))


def test_padding_is_heard_by_no_cell() -> None:
    made = model()
    x, timesteps = torch.randn(3, 12, 4, 6, dtype=torch.float64), torch.tensor([0, 7, 19])
    said = made(x, timesteps, **made.condition(**PROMPT))
    tokens = PROMPT["tokens"].where(PROMPT["real"], 55)
    assert_close(made(x, timesteps, **made.condition(tokens, PROMPT["real"])), said)
    tokens[0, 1] = 9  # but a real word is
    assert not made(x, timesteps, **made.condition(tokens, PROMPT["real"])).allclose(said)


def test_the_word_heard_with_the_time_is_the_last_real_one() -> None:
    sizes = TextUNetConfig(3, (8, 16), 1, (1,), groups=4, heads=2, word_width=10, hears_words=True)
    unet = TextUNet(sizes).double()
    words = torch.randn(2, 5, 10, dtype=torch.float64)
    real = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]).bool()
    x, timesteps = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.tensor([4, 9])
    without = unet.embed_time(x, timesteps)
    for row, count in ((0, 3), (1, 1)):
        wanted = without[row] + unet.words(words[row, count - 1])
        assert_close(unet.hear(x, timesteps, words, real)[0][row], wanted)
    assert_close(unet.hear(x, timesteps, words, None)[0], without + unet.words(words[:, -1]))
    assert (
        "words.weight"
        not in TextUNet(TextUNetConfig(**{**vars(sizes), "hears_words": False})).state_dict()
    )


def test_the_loss_is_diffusions_with_prompts_left_out() -> None:
    made, latents = model(), torch.randn(3, 12, 4, 4, dtype=torch.float64)
    given = {"timesteps": torch.tensor([1, 9, 19]), "noise": torch.randn_like(latents)}
    for share, prompt in ((0.0, PROMPT), (1.0, {k: v.repeat(3, 1) for k, v in EMPTY.items()})):
        got = text_to_image_loss(made, latents, PROMPT, EMPTY, share=share, **given)
        condition = made.condition(**prompt)
        wanted = diffusion_loss(
            made, made.schedule, latents, target=made.target, **given, **condition
        )
        assert_close(got, wanted)


def test_widths_that_do_not_fit_are_refused() -> None:
    made = latent.tiny()
    narrow = TextUNet(TextUNetConfig(12, (8, 16), 1, (1,), groups=4, heads=2, word_width=10))
    with pytest.raises(ValueError, match="words of width 10, but they are 32 wide"):
        TextToImage(narrow, made.words, made.space, cosine_schedule(5))
    with pytest.raises(ValueError, match="image width 9 is not divisible by"):
        LatentSpace(2).to_latents(torch.zeros(1, 3, 8, 9))


def run_shapes() -> None:
    import torch

    from scratchmm.diffusion import latent

    model = latent.tiny()
    prompt = {"tokens": torch.tensor([[97, 5, 98]] * 2), "real": torch.ones(2, 3).bool()}
    empty = {name: value[:1] for name, value in prompt.items()}
    latents = model.space.to_latents(torch.randn(2, 3, 8, 16))
    latent.text_to_image_loss(model, latents, prompt, empty)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/latent.py")
