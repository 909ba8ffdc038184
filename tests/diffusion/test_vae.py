"""The autoencoder's own parts: the posterior, its KL term, the loss, the scale, what it refuses."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from scratchmm.diffusion.vae import (
    VAE,
    DiagonalGaussian,
    VAEConfig,
    draw,
    kl_to_normal,
    stable_diffusion_v1,
    tiny,
    vae_loss,
)
from shape_comments import check_shape_comments


def a_posterior(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return DiagonalGaussian(mean, log_variance)


def some_images(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return VAE(tiny()).double().eval()


def test_stable_diffusions_size_is_exact():
    with torch.device("meta"):
        model = VAE(stable_diffusion_v1())
    assert sum(p.numel() for p in model.parameters()) == 83_653_863
    assert stable_diffusion_v1().shrink == 8


def test_a_config_stays_as_it_is():
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny().depth = 3
    assert len({tiny(), tiny(), stable_diffusion_v1()}) == 2


def test_kl_is_torch_distributions_and_summed_a_image():
    posterior = a_posterior(3, 2, 4, 5)
    normal = torch.distributions.Normal(posterior.mean, (posterior.log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(
        normal, torch.distributions.Normal(torch.zeros(()).double(), 1.0)
    )
    torch.testing.assert_close(kl_to_normal(posterior), expected.sum(dim=(1, 2, 3)))
    standard = DiagonalGaussian(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4))
    assert kl_to_normal(standard).tolist() == [0.0]


def test_kls_gradient():
    posterior = a_posterior(2, 1, 2, 3)
    leaves = [tensor.requires_grad_() for tensor in posterior]
    assert torch.autograd.gradcheck(lambda m, v: kl_to_normal(DiagonalGaussian(m, v)), leaves)


def test_draws_have_the_mean_and_the_deviation():
    mean = torch.tensor([[[[3.0]], [[-1.0]]]]).double()
    log_variance = torch.tensor([[[[0.5]], [[-2.0]]]]).double()
    many = DiagonalGaussian(mean.expand(40_000, 2, 1, 1), log_variance.expand(40_000, 2, 1, 1))
    drawn = draw(many, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(dim=0), mean[0], rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.std(dim=0), (log_variance[0] / 2).exp(), rtol=0.02, atol=0)


def test_draws_are_the_generators():
    posterior = a_posterior(2, 3, 4, 5)
    first, again, other = (draw(posterior, torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert (first != other).all()


def test_the_gradient_passes_through_the_draw():
    """z = mean + exp(v / 2) noise: dz/dmean is 1 and dz/dv is (z - mean) / 2, number by number."""
    mean, log_variance = (t.requires_grad_() for t in a_posterior(2, 3, 4, 5))
    drawn = draw(DiagonalGaussian(mean, log_variance), torch.Generator().manual_seed(0))
    upstream = some_images(2, 3, 4, 5)
    (drawn * upstream).sum().backward()
    torch.testing.assert_close(mean.grad, upstream)
    torch.testing.assert_close(log_variance.grad, upstream * (drawn - mean).detach() / 2)


def test_a_wild_encoder_is_bounded(vae):
    with torch.no_grad():
        vae.encoder.moments.bias[:2] = 1000.0  # the means, which are free
        vae.encoder.moments.bias[2:] = torch.tensor([1000.0, -1000.0])
    posterior = vae.encode(some_images(1, 3, 8, 12))
    assert posterior.mean.min() > 900
    assert posterior.log_variance[:, 0].unique().tolist() == [20.0]
    assert posterior.log_variance[:, 1].unique().tolist() == [-30.0]
    assert torch.isfinite(kl_to_normal(posterior)).all()


def test_the_loss_is_a_loop_over_images():
    images, restored = some_images(3, 2, 4, 6), some_images(3, 2, 4, 6, seed=2)
    posterior = a_posterior(3, 5, 2, 3)
    each = [
        (i - r).abs().sum() + 0.3 * kl
        for i, r, kl in zip(images, restored, kl_to_normal(posterior), strict=True)
    ]
    expected = sum(each) / 3 / (2 * 4 * 6)
    torch.testing.assert_close(vae_loss(images, restored, posterior, kl_weight=0.3), expected)
    with pytest.raises(ValueError, match=r"^the images are \(3, 2, 4, 6\) but were restored as"):
        vae_loss(images, restored[:1], posterior)


def test_forward_is_encode_draw_decode(vae):
    images = some_images(2, 3, 8, 12)
    restored, posterior = vae(images, torch.Generator().manual_seed(5))
    latents = draw(vae.encode(images), torch.Generator().manual_seed(5))
    torch.testing.assert_close(restored, vae.decode(latents))
    torch.testing.assert_close(posterior, vae.encode(images))
    vae_loss(images, restored, posterior, kl_weight=1.0).backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_the_scale_there_and_back(vae):
    vae.scale.fill_(0.25)
    images = some_images(2, 3, 8, 12)
    plain = draw(vae.encode(images), torch.Generator().manual_seed(5))
    latents = vae.to_latents(images, torch.Generator().manual_seed(5))
    torch.testing.assert_close(latents, plain / 4)
    torch.testing.assert_close(vae.to_images(latents), vae.decode(plain))


def test_a_fitted_scale_makes_the_deviation_one_and_is_kept(vae):
    images = some_images(4, 3, 16, 16)
    before = vae.encode(images).mean.std()
    vae.fit_scale(images, torch.Generator().manual_seed(5))
    latents = vae.to_latents(images, torch.Generator().manual_seed(5))
    torch.testing.assert_close(latents.std(correction=0).item(), 1.0)
    assert before < 0.9  # so that there was something to scale
    assert not vae.scale.requires_grad and latents.requires_grad
    copy = VAE(tiny()).double()
    copy.load_state_dict(vae.state_dict())
    assert copy.scale == vae.scale != tiny().scale
    assert VAE(tiny()).scale.item() == pytest.approx(0.18215)


def test_images_of_a_batch_do_not_meet(vae):
    images = some_images(3, 3, 8, 12)
    alone = vae.encode(images[1:2])
    torch.testing.assert_close(alone.mean, vae.encode(images).mean[1:2])
    torch.testing.assert_close(vae.decode(alone.mean), vae.decode(vae.encode(images).mean)[1:2])


def test_every_cell_sees_the_whole_image(vae):
    """Without attention in the middle, kernels of 3 would not reach from corner to corner."""
    images = some_images(1, 3, 64, 96).requires_grad_()
    vae.encode(images).mean[0, 0, -1, -1].backward()
    assert images.grad[0, :, 0, 0].abs().max() > 0
    latents = some_images(1, 2, 16, 24).requires_grad_()
    vae.decode(latents)[0, 0, -1, -1].backward()
    assert latents.grad[0, :, 0, 0].abs().max() > 0


def test_one_level_does_not_shrink():
    config = VAEConfig(channels=1, widths=(8,), depth=2, groups=2)
    vae = VAE(config)
    assert config.shrink == 1
    assert sum(isinstance(part, nn.Conv2d) and part.stride == (2, 2) for part in vae.modules()) == 0
    assert vae.encode(torch.zeros(1, 1, 5, 7)).mean.shape == (1, 4, 5, 7)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda vae: vae.encode(torch.zeros(1, 3, 30, 32)),
            "^image height 30 is not divisible by the shrink factor 4$",
        ),
        (
            lambda vae: vae.to_latents(torch.zeros(1, 3, 32, 30)),
            "^image width 30 is not divisible by the shrink factor 4$",
        ),
        (
            lambda vae: vae.encode(torch.zeros(1, 1, 32, 32)),
            "^the images have 1 channels, but this model takes 3$",
        ),
        (
            lambda vae: vae.to_images(torch.zeros(1, 4, 2, 2)),
            "^the latents have 4 channels, but this model takes 2$",
        ),
        (lambda vae: VAEConfig(widths=()), "at least 1 level, but there are 0 widths$"),
        (
            lambda vae: VAE(VAEConfig(widths=(30,))),
            "^channels 30 is not divisible by groups 32$",
        ),
    ],
)
def test_refusals(vae, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(vae.float())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_scale_is_exact_in_any_precision(dtype):
    outer = nn.Sequential(VAE(tiny()))
    for step in ({"dtype": torch.float16}, {"dtype": dtype}):  # also by way of a coarser one
        outer.to(**step)
    model = outer[0].eval()
    assert model.scale.item() == 0.18215 and model.encoder.first.weight.dtype == dtype
    copied = copy.deepcopy(model)
    copied.load_state_dict(model.state_dict())
    assert copied.scale.item() == 0.18215
    latents = torch.ones(1, 2, 2, 3, dtype=dtype)
    model.decoder.forward = lambda latents: latents  # type: ignore[method-assign]
    found = model.to_images(latents)
    assert (
        found.dtype == dtype
        and (found == torch.tensor(1 / 0.18215, dtype=torch.float64).to(dtype)).all()
    )
    with torch.no_grad():
        gaussian = model.encode(torch.zeros(1, 3, 8, 12, dtype=dtype))
        drawn, scaled = (
            function(torch.Generator().manual_seed(0))
            for function in (
                lambda chance: draw(gaussian, chance),
                lambda chance: model.to_latents(torch.zeros(1, 3, 8, 12, dtype=dtype), chance),
            )
        )
    assert scaled.dtype == dtype
    last = torch.finfo(dtype).eps
    torch.testing.assert_close(scaled.double(), drawn.double() * 0.18215, rtol=2 * last, atol=0)


def test_a_fitted_scale_is_kept_through_files_and_the_meta_device():
    model = VAE(tiny())
    model.fit_scale(torch.rand(4, 3, 8, 12), torch.Generator().manual_seed(0))
    with torch.device("meta"):
        empty = VAE(tiny())
    assert empty.scale.is_meta
    filled = empty.to_empty(device="cpu").half()
    filled.load_state_dict(model.state_dict())
    assert filled.scale.equal(model.scale) and filled.scale.dtype == torch.float64


def run_shapes() -> None:
    import torch

    from scratchmm.diffusion import vae

    config = vae.VAEConfig(5, latent_channels=3, widths=(8, 12), depth=1, groups=4)
    model, images = vae.VAE(config), torch.randn(2, 5, 14, 18)
    restored, posterior = model(images)
    vae.vae_loss(images, restored, posterior)
    model.to_images(model.to_latents(images))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "diffusion/vae.py")
