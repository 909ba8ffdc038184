"""Text to image: folding loses nothing, padding changes nothing, and the loss is diffusion's."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from scratchmm.diffusion import latent, vae
from scratchmm.diffusion.latent import LatentSpace, TextToImage, text_to_image_loss
from scratchmm.diffusion.process import cosine_schedule, diffusion_loss
from scratchmm.diffusion.unet import UNet, tiny_with_context
from scratchmm.language import text_transformer
from scratchmm.language.text_transformer import TextTransformer
from shape_comments import check_shape_comments


def model() -> TextToImage:
    """A random one: what starts at zero, too, or the prompt would change nothing."""
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


def test_padding_reaches_no_cell() -> None:
    made = model()
    x, timesteps = torch.randn(3, 12, 4, 6, dtype=torch.float64), torch.tensor([0, 7, 19])
    said = made(x, timesteps, **made.condition(**PROMPT))
    tokens = PROMPT["tokens"].where(PROMPT["real"], 55)
    assert_close(made(x, timesteps, **made.condition(tokens, PROMPT["real"])), said)
    tokens[0, 1] = 9  # but a real word is
    assert not made(x, timesteps, **made.condition(tokens, PROMPT["real"])).allclose(said)


def test_the_token_added_to_the_time_is_the_last_real_one() -> None:
    config = replace(tiny_with_context(), adds_pooled_text=True)
    encoder = UNet(config).double().encoder
    words = torch.randn(2, 5, 10, dtype=torch.float64)
    real = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]).bool()
    x, timesteps = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.tensor([4, 9])
    without = encoder.time_embedding(timesteps)
    for row, count in ((0, 3), (1, 1)):
        wanted = without[row] + encoder.pooled_text(words[row, count - 1])
        assert_close(encoder.embed_conditions(x, timesteps, words, real)[0][row], wanted)
    found = encoder.embed_conditions(x, timesteps, words)[0]
    assert_close(found, without + encoder.pooled_text(words[:, -1]))
    assert "encoder.pooled_text.weight" not in UNet(tiny_with_context()).state_dict()


def test_the_loss_is_diffusions_with_prompts_left_out() -> None:
    made, latents = model(), torch.randn(3, 12, 4, 4, dtype=torch.float64)
    given = {"timesteps": torch.tensor([1, 9, 19]), "noise": torch.randn_like(latents)}
    for share, prompt in ((0.0, PROMPT), (1.0, {k: v.repeat(3, 1) for k, v in EMPTY.items()})):
        got = text_to_image_loss(made, latents, PROMPT, EMPTY, dropout_probability=share, **given)
        condition = made.condition(**prompt)
        wanted = diffusion_loss(
            made, made.schedule, latents, target=made.target, **given, **condition
        )
        assert_close(got, wanted)


def test_widths_that_do_not_fit_are_refused() -> None:
    made = latent.tiny()
    wide = TextTransformer(text_transformer.tiny())
    with pytest.raises(ValueError, match="context of width 10, but the text states have width 32"):
        TextToImage(made.unet, wide, made.space, cosine_schedule(5))
    with pytest.raises(ValueError, match="context has width 32, but this UNet takes 10"):
        TextToImage(made.unet, nn.Sequential(wide), made.space, cosine_schedule(5))(
            torch.zeros(1, 12, 4, 4), torch.tensor([3]), context=wide(PROMPT["tokens"][:1])
        )
    with pytest.raises(ValueError, match="image width 9 is not divisible by"):
        LatentSpace(2).to_latents(torch.zeros(1, 3, 8, 9))


def test_any_autoencoder_text_encoder_and_denoiser_fit() -> None:
    """Modules of no class of this library: a mean of squares, an embedding, a convolution."""

    class Halves(nn.Module):
        def to_latents(self, images, generator=None):
            return torch.nn.functional.avg_pool2d(images, 2)

        def to_images(self, latents):
            return torch.nn.functional.interpolate(latents, scale_factor=2.0)

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Conv2d(3, 3, 1)

        def forward(self, noisy, timesteps, context, mask=None):
            return self.mix(noisy) + context.mean(dim=(1, 2))[:, None, None, None]

    space = LatentSpace(autoencoder=Halves())
    made = TextToImage(Shifted(), nn.Embedding(256, 7), space, cosine_schedule(5))
    latents = made.space.to_latents(torch.randn(3, 3, 8, 12))
    assert latents.shape == (3, 3, 4, 6) and made.space.to_images(latents).shape == (3, 3, 8, 12)
    text_to_image_loss(made, latents, PROMPT, EMPTY).backward()
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())


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
