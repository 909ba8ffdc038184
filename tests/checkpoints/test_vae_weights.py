"""The autoencoder against diffusers' AutoencoderKL: moments, image, gradients, both namings."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from scratchmm.checkpoints.vae import load_vae, vae_config_from
from scratchmm.diffusion.vae import VAE, VAEConfig, draw, kl_to_normal

# Every width differs but two, as in Stable Diffusion: no shortcut is projected there.
CONFIG = VAEConfig(
    channels=2, latent_channels=3, widths=(8, 12, 20, 20), depth=2, groups=4, scale=0.13025
)


def randomise(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return model.double().eval()


@pytest.fixture(scope="module")
def reference():
    diffusers = pytest.importorskip("diffusers")
    model = diffusers.AutoencoderKL(
        in_channels=2,
        out_channels=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 12, 20, 20),
        layers_per_block=2,
        latent_channels=3,
        norm_num_groups=4,
        scaling_factor=0.5,
    )
    return randomise(model)


@pytest.fixture
def model(reference):
    return load_vae(VAE(CONFIG).double(), reference.state_dict()).eval()


def old_names(state):
    """The same tensors as files of Stable Diffusion 1 call them."""
    renamed = {}
    for name, tensor in state.items():
        for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value")):
            name = name.replace(f".{new}.", f".{old}.")
        renamed[name.replace(".to_out.0.", ".proj_attn.")] = tensor
    return renamed


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("naming", [dict, old_names])
def test_moments_and_image(reference, naming):
    state = naming(reference.state_dict())
    assert ("encoder.mid_block.attentions.0.query.weight" in state) == (naming is old_names)
    model = load_vae(VAE(CONFIG).double(), state).eval()
    images = normal(2, 2, 24, 40)
    ours, theirs = model.encode(images), reference.encode(images).latent_dist
    equal(ours.mean, theirs.mean)
    equal(ours.log_variance, theirs.logvar)
    equal(kl_to_normal(ours), theirs.kl())
    seed = torch.Generator().manual_seed
    equal(draw(ours, seed(4)), theirs.sample(seed(4)))
    equal(model.decode(ours.mean), reference.decode(theirs.mode()).sample)
    scaled = normal(2, 3, 3, 5, seed=2)
    equal(model.to_images(scaled), reference.decode(scaled / 0.13025).sample)
    equal(
        model(images, seed(7))[0],
        reference(images, sample_posterior=True, generator=seed(7)).sample,
    )


def test_gradients(reference, model):
    reference.zero_grad()
    images = normal(2, 2, 16, 24)
    upstream = normal(2, 2, 16, 24, seed=3)
    restored, posterior = model(images, torch.Generator().manual_seed(4))
    ((restored * upstream).sum() + kl_to_normal(posterior).sum()).backward()
    theirs = reference.encode(images).latent_dist
    drawn = theirs.sample(torch.Generator().manual_seed(4))
    ((reference.decode(drawn).sample * upstream).sum() + theirs.kl().sum()).backward()
    grads = {name: p.grad for name, p in reference.named_parameters()}
    carrier = load_vae(VAE(CONFIG).double(), grads)
    largest = max(grad.abs().max().item() for grad in grads.values())
    for (name, our), their in zip(model.named_parameters(), carrier.parameters(), strict=True):
        assert our.grad.abs().max() > 0, name
        torch.testing.assert_close(
            our.grad, their.detach(), rtol=1e-9, atol=1e-10 * max(1.0, largest), msg=name
        )


@pytest.mark.parametrize("safe", [False, True])
def test_saved_folders(tmp_path, reference, safe):
    if safe:
        pytest.importorskip("safetensors.torch")
    reference.save_pretrained(tmp_path, safe_serialization=safe)
    images = normal(1, 2, 16, 8)
    config = replace(CONFIG, scale=reference.config.scaling_factor)
    model = load_vae(VAE(config).double(), tmp_path)
    equal(model.encode(images).mean, reference.encode(images).latent_dist.mean)


@pytest.mark.parametrize("naming", [dict, old_names])
def test_the_config_from_shapes(reference, naming):
    assert vae_config_from(naming(reference.state_dict()), groups=4, scale=0.13025) == CONFIG


SMALL = VAEConfig(channels=2, latent_channels=1, widths=(2, 4), depth=1, groups=2)


def ours_in_their_names():
    """A state dict of the old names and our own making, for the refusals."""
    shapes = {"quant_conv": (2, 2, 1, 1), "post_quant_conv": (1, 1, 1, 1)}
    shapes |= {"encoder.conv_in": (2, 2, 3, 3), "encoder.conv_out": (2, 4, 3, 3)}
    shapes |= {"decoder.conv_in": (4, 1, 3, 3), "decoder.conv_out": (2, 2, 3, 3)}
    shapes |= {"encoder.conv_norm_out": (4,), "decoder.conv_norm_out": (2,)}
    blocks = {"encoder.down_blocks.0.resnets.0": (2, 2), "encoder.down_blocks.1.resnets.0": (2, 4)}
    blocks |= {
        f"{half}.mid_block.resnets.{i}": (4, 4) for half in ("encoder", "decoder") for i in (0, 1)
    }
    blocks |= {f"decoder.up_blocks.0.resnets.{i}": (4, 4) for i in (0, 1)}
    blocks |= {"decoder.up_blocks.1.resnets.0": (4, 2), "decoder.up_blocks.1.resnets.1": (2, 2)}
    for name, (channels, outputs) in blocks.items():
        shapes |= {f"{name}.norm1": (channels,), f"{name}.conv1": (outputs, channels, 3, 3)}
        shapes |= {f"{name}.norm2": (outputs,), f"{name}.conv2": (outputs, outputs, 3, 3)}
        if channels != outputs:
            shapes[f"{name}.conv_shortcut"] = (outputs, channels, 1, 1)
    for half in ("encoder", "decoder"):
        shapes[f"{half}.mid_block.attentions.0.group_norm"] = (4,)
        for part in ("query", "key", "value", "proj_attn"):
            shapes[f"{half}.mid_block.attentions.0.{part}"] = (4, 4)
    shapes["encoder.down_blocks.0.downsamplers.0.conv"] = (2, 2, 3, 3)
    shapes["decoder.up_blocks.0.upsamplers.0.conv"] = (4, 4, 3, 3)
    state = {f"{name}.weight": normal(*shape) for name, shape in shapes.items()}
    return state | {f"{name}.bias": normal(shape[0]) for name, shape in shapes.items()}


def test_the_names_are_these_and_refusals_leave_the_model_alone():
    state = ours_in_their_names()
    model = VAE(SMALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    changes = [
        ({"quant_conv.bias": torch.zeros(3)}, r"quant_conv.bias is \(3,\) and should be \(2,\)$"),
        ({"quant_conv2.bias": torch.zeros(3)}, "quant_conv2.bias is surplus$"),
    ]
    for change, sentence in changes:
        with pytest.raises(ValueError, match=sentence):
            load_vae(model, {**state, **change})
    missing = {name: tensor for name, tensor in state.items() if name != "post_quant_conv.bias"}
    with pytest.raises(ValueError, match="VAE: post_quant_conv.bias is missing$"):
        load_vae(model, missing)
    with pytest.raises(ValueError, match="is of another model: it has weight and 1 other tensors"):
        load_vae(model, nn.Linear(2, 3).state_dict())
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    load_vae(model, state)
    query = model.decoder.middle[1].attention.query.weight
    torch.testing.assert_close(
        query.detach().double(),
        state["decoder.mid_block.attentions.0.query.weight"],
        rtol=0,
        atol=1e-6,
    )


def test_a_config_cannot_be_read_off_another_model():
    with pytest.raises(ValueError, match="no autoencoder by diffusers' names"):
        vae_config_from(nn.Linear(2, 3).state_dict())
    for half in ("encoder", "decoder"):
        with pytest.raises(ValueError, match="no autoencoder by diffusers' names"):
            vae_config_from({f"{half}.conv_in.weight": torch.ones(8, 3, 3, 3)})
