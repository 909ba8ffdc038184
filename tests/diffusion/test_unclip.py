"""unCLIP's decoder: the embedding as time and as context, guidance, seeds, inversion, arcs."""

import copy

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.interpolation import arc, slerp
from scratchmm.diffusion.process import cosine_schedule
from scratchmm.diffusion.unclip import decode, interpolate, invert, text_diffs, variations
from scratchmm.diffusion.unclip_decoder import Decoder, DecoderConfig, decoder_loss, tiny
from shape_comments import check_shape_comments

SCHEDULE = cosine_schedule(30)


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    model = Decoder(tiny()).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.1)
    return model


def batch(count=3):
    timesteps = torch.arange(count) * 7
    return normal(count, 3, 16, 12), timesteps, normal(count, 24, seed=2)


def zero(layer):
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)


def test_the_tokens_are_the_context_of_a_unet_over_patches(decoder):
    zero(decoder.time)
    images, timesteps, embedding = batch()
    words = torch.stack([decoder.tokens(row).reshape(4, 10) for row in embedding])
    patches = rearrange(images, "b c (x p) (y q) -> b (c p q) x y", p=2, q=2)
    expected = decoder.unet(patches, timesteps, words)
    expected = rearrange(expected, "b (c p q) x y -> b c (x p) (y q)", p=2, q=2)
    torch.testing.assert_close(decoder(images, timesteps, embedding), expected)


def test_the_embedding_is_added_to_the_time(decoder):
    zero(decoder.tokens)
    images, timesteps, embedding = batch()
    found = decoder(images, timesteps, embedding)
    for row in range(3):
        moved = copy.deepcopy(decoder)
        zero(moved.time)
        with torch.no_grad():
            moved.unet.encoder.time_embedding.mix.bias += decoder.time(embedding[row])
        one = moved(images[row : row + 1], timesteps[row : row + 1], embedding[row : row + 1])
        torch.testing.assert_close(found[row : row + 1], one)
    assert (found - decoder(images, timesteps, 0 * embedding)).abs().amax() > 1e-4


def test_images_of_a_batch_do_not_meet(decoder):
    inputs = batch()
    one = decoder(*(tensor[1:2] for tensor in inputs))
    torch.testing.assert_close(one, decoder(*inputs)[1:2])


def test_everything_is_trained(decoder):
    images, _, embeddings = batch()
    decoder_loss(decoder, SCHEDULE, images, embeddings, dropout_probability=0.0).backward()
    without = [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()]
    # all tokens alike in what a query adds to their scores: such a number changes no softmax
    assert without == ["empty"]


@pytest.mark.parametrize("target", ["velocity", "noise", "x0"])
def test_the_loss_is_that_of_the_configs_target(target):
    unet = tiny().unet
    silent = Decoder(DecoderConfig(unet, 24, 16, 2, target=target)).double()  # says 0 at first
    images, _, embeddings = batch(2)
    generator = torch.Generator().manual_seed(3)
    loss = decoder_loss(
        silent, SCHEDULE, images, embeddings, dropout_probability=0.0, generator=generator
    )
    generator.manual_seed(3)
    torch.rand(2, generator=generator)  # whose embedding is dropped
    level = SCHEDULE.alpha_bar[torch.randint(30, (2,), generator=generator)][:, None, None, None]
    noise = torch.randn(images.shape, generator=generator, dtype=torch.float64)
    velocity = level.sqrt() * noise - (1 - level).sqrt() * images
    wanted = {"velocity": velocity, "noise": noise, "x0": images}[target]
    torch.testing.assert_close(loss, wanted.square().mean())


def test_a_dropped_embedding_is_the_learned_one(decoder):
    images, _, embeddings = batch()
    embeddings.requires_grad_()
    decoder_loss(decoder, SCHEDULE, images, embeddings, dropout_probability=1.0).backward()
    assert decoder.empty.grad.any() and not embeddings.grad.any()
    decoder.zero_grad()
    decoder_loss(decoder, SCHEDULE, images, embeddings, dropout_probability=0.0).backward()
    assert decoder.empty.grad is None or not decoder.empty.grad.any()
    assert embeddings.grad.any()


def test_decoding_is_ddim_guided_away_from_no_embedding(decoder):
    embeddings, noise = normal(2, 24), decoder.noise([5, 6])

    def guided(x, timesteps, scale):
        empty = decoder.empty.expand(2, -1)
        with_it, without = (decoder(x, timesteps, said) for said in (embeddings, empty))
        return without + scale * (with_it - without)

    for scale in (1.0, 3.0):
        found = decode(decoder, SCHEDULE, embeddings, noise, steps=4, scale=scale)
        times = spaced_timesteps(30, 4)
        options = {"target": "velocity", "clamp": 1.0, "scale": scale}
        torch.testing.assert_close(found, ddim_sample(guided, SCHEDULE, noise, times, **options))
    assert found.abs().max() <= 1


def test_one_seed_is_one_image_in_any_batch(decoder):
    noise = decoder.noise([3, 4, 5])
    assert noise.shape == (3, 3, 16, 16) and noise.dtype == torch.float64
    torch.testing.assert_close(decoder.noise([4]), noise[1:2], rtol=0, atol=0)
    assert abs(decoder.noise(range(40)).std() - 1) < 0.02
    many = variations(decoder, SCHEDULE, normal(1, 24), [3, 4, 5], steps=3)
    torch.testing.assert_close(
        many[1:2], variations(decoder, SCHEDULE, normal(1, 24), [4], steps=3)
    )
    assert (many[0] - many[1]).abs().max() > 0.1


def test_embedding_and_noise_together_are_the_image(decoder):
    """Inverted in small steps, an image is found again; with another embedding it is another."""
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(1.5)  # so that the embedding matters
    schedule = cosine_schedule(120)
    images, embeddings = torch.tanh(normal(2, 3, 16, 16)), 5 * normal(2, 24, seed=2)
    options = {"steps": 120, "clamp": None}
    noise = invert(decoder, schedule, images, embeddings, steps=120)
    again = decode(decoder, schedule, embeddings, noise, **options)
    other = decode(decoder, schedule, embeddings.flip(0), noise, **options)
    missed, changed = ((x - images).abs().max() for x in (again, other))
    assert missed < 0.05 and changed > 3 * missed, (missed, changed)


def test_a_way_along_the_arc(decoder):
    ends, shares = F.normalize(normal(2, 24), dim=-1), [0.0, 0.3, 1.0]
    noise = decoder.noise([8, 9])
    for noises in (noise[:1], noise):
        found = interpolate(decoder, SCHEDULE, ends, noises, shares, steps=3)
        for image, share in zip(found, shares, strict=True):
            embedding = slerp(ends[:1], ends[1:], share)
            flat = noises.flatten(1)
            begin = slerp(flat[:1], flat[-1:], share).view(1, 3, 16, 16)
            torch.testing.assert_close(
                image[None], decode(decoder, SCHEDULE, embedding, begin, steps=3)
            )
    with pytest.raises(ValueError, match="^an arc joins 2 vectors, not 3$"):
        arc(normal(3, 24), shares)


def test_a_image_is_turned_to_where_the_text_leads():
    seen, text, before = (F.normalize(normal(1, 7, seed=s), dim=-1) for s in (1, 2, 3))
    turned = text_diffs(seen, text, before, [0.0, 0.25, 1.0])
    direction = (text - before) / (text - before).norm()
    whole = (seen * direction).sum().acos()
    torch.testing.assert_close(turned[:1], seen)
    torch.testing.assert_close(turned[2:], direction)
    torch.testing.assert_close((turned[1] * seen[0]).sum(), (0.25 * whole).cos())


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda d: d(normal(3, 3, 16, 16), torch.arange(3), normal(3, 20)),
            r"^the embeddings are \(3, 20\), but 3 images for this decoder need \(3, 24\)$",
        ),
        (
            lambda d: decode(d, SCHEDULE, normal(2, 24), d.noise([1, 2, 3]), steps=2),
            "^2 embeddings and 3 noises make no pairs$",
        ),
        (
            lambda d: DecoderConfig(tiny().unet, patch=5),
            "^channels 12 is not divisible by a patch's pixels 25$",
        ),
        (
            lambda d: DecoderConfig(tiny().unet, image_size=15, patch=2),
            "^image size 15 is not divisible by patch size 2$",
        ),
        (lambda d: DecoderConfig(tiny().unet, target="all"), "^target 'all' is none of noise"),
    ],
)
def test_refusals(decoder, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(decoder)


def run_shapes() -> None:
    from dataclasses import replace

    import torch

    from scratchmm.diffusion import interpolation, process, unclip, unclip_decoder, unet

    sizes = {"channels": 12, "widths": (6, 12), "groups": 3, "heads": 3, "context_width": 11}
    config = replace(unet.tiny_with_context(), **sizes)
    config = unclip_decoder.DecoderConfig(config, 10, 8, patch=2, tokens=5)
    decoder = unclip_decoder.Decoder(config)
    levels, images = process.cosine_schedule(7), torch.randn(2, 3, 8, 12)
    embeddings = torch.randn(2, 10)
    unclip_decoder.decoder_loss(decoder, levels, images, embeddings)
    unclip.invert(decoder, levels, images, embeddings, steps=1)
    unclip.variations(decoder, levels, embeddings[:1], [5, 6, 7, 8], steps=1)
    shares = [0.0, 0.2, 0.4, 1.0]
    unclip.interpolate(decoder, levels, embeddings, decoder.noise([1, 2]), shares, steps=1)
    unclip.text_diffs(embeddings[:1], embeddings[1:], torch.randn(1, 10), shares)
    interpolation.slerp(torch.randn(3, 10), torch.randn(3, 10), 0.5)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/unclip.py")
