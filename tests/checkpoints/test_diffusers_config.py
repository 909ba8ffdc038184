"""config.json beside diffusers' weights, and ResNet's: obeyed, or refused by key and both values."""

import inspect
import json
from dataclasses import replace

import pytest
import torch

from checkpoints.exact_clock import with_exact_clock
from scratchmm.checkpoints import prior, unet_config, vae
from scratchmm.checkpoints.controlnet import controlnet_config_from, load_controlnet
from scratchmm.checkpoints.prior import load_prior, prior_config_from
from scratchmm.checkpoints.resnet import load_resnet, resnet_config_from
from scratchmm.checkpoints.unet import load_unet, unet_config_from
from scratchmm.checkpoints.vae import load_vae, vae_config_from
from scratchmm.diffusion import unet
from scratchmm.diffusion import vae as our_vae
from scratchmm.diffusion.controlnet import ControlNet
from scratchmm.diffusion.prior import Prior
from scratchmm.diffusion.unet import UNet, UNetConfig
from scratchmm.diffusion.vae import VAE
from scratchmm.vision.resnet import ResNetClassifier, resnet_50, resnet_101, resnet_152

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")


def randomise(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                value = torch.randn(tensor.shape, generator=generator) * 0.3
                positive = name.endswith(("running_var", "clip_std"))
                tensor.copy_(value.abs() + 0.3 if positive else value)
    return model.double().eval()


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def equal(ours, theirs, most=1e-10):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=most)


def a_unet(**more):
    """As diffusers builds one by default: cosines first, shift 0, zeros on all sides."""
    sizes = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
    sizes |= {"down_block_types": ("DownBlock2D", "AttnDownBlock2D")}
    sizes |= {"up_block_types": ("AttnUpBlock2D", "UpBlock2D"), **more}
    return randomise(diffusers.UNet2DModel(**sizes))


def words_sizes(**more):
    sizes = {"block_out_channels": (8, 24), "layers_per_block": 1, "norm_num_groups": 4}
    sizes |= {"down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D")}
    return sizes | {"cross_attention_dim": 11, "attention_head_dim": 2, **more}


def a_text_unet(**more):
    ups = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D")
    sizes = words_sizes(up_block_types=ups, **more)
    return randomise(diffusers.UNet2DConditionModel(**sizes))


def a_controlnet(**more):
    sizes = words_sizes(conditioning_embedding_out_channels=(2, 3), **more)
    return randomise(diffusers.ControlNetModel(**sizes))


def a_vae(**more):
    sizes = {"block_out_channels": (32, 64), "layers_per_block": 1, "norm_num_groups": 8}
    sizes |= {"down_block_types": ("DownEncoderBlock2D",) * 2}
    sizes |= {"up_block_types": ("UpDecoderBlock2D",) * 2, **more}
    return randomise(diffusers.AutoencoderKL(**sizes))


def a_prior(**more):
    sizes = {"num_attention_heads": 4, "attention_head_dim": 5, "num_layers": 2}
    sizes |= {"embedding_dim": 12, "num_embeddings": 7, **more}
    return randomise(diffusers.PriorTransformer(**sizes))


def a_resnet(**more):
    sizes = {"embedding_size": 6, "hidden_sizes": [8, 12], "depths": [1, 2], "num_labels": 5}
    config = transformers.ResNetConfig(**{**sizes, **more})
    return randomise(transformers.ResNetForImageClassification(config))


def saved(reference, folder):
    reference.save_pretrained(folder)
    return folder


# At timestep 0 all sines are 0 and all cosines 1, in float32 as well: there the published class as it
# is agrees to 1e-10. At others its own float32 clock sets the limit. Measured at 17 and 999: 7e-7 of
# what the UNets say, 2.3e-5 of a ControlNet's grids (whose numbers reach 37). Told the exact timesteps,
# which is all that is exchanged, they agree to 1e-10 again.
FIRST, LATER = torch.tensor([0, 0, 0]), torch.tensor([0, 17, 999])
UNET_AS_IT_IS, CONTROL_AS_IT_IS = 2e-6, 5e-5


# What can be done is obeyed


@torch.no_grad()
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"flip_sin_to_cos": False},
        {"flip_sin_to_cos": False, "freq_shift": 1, "downsample_padding": 0},
        {"freq_shift": 1, "norm_eps": 1e-3, "attention_head_dim": 4},
        {"downsample_padding": 0, "attention_head_dim": None},
    ],
)
def test_unet(tmp_path, more):
    reference = a_unet(**more)
    saved(reference, tmp_path)
    model = load_unet(UNet(unet_config_from(tmp_path)).double(), tmp_path).eval()
    noisy = normal(3, 3, 16, 8)
    equal(model(noisy, FIRST), reference(noisy, FIRST).sample)
    equal(model(noisy, LATER), reference(noisy, LATER).sample, UNET_AS_IT_IS)
    with_exact_clock(reference)
    equal(model(noisy, LATER), reference(noisy, LATER).sample)


@torch.no_grad()
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"attention_head_dim": (2, 3), "use_linear_projection": True},
        {"attention_head_dim": (4, 8)},
        {"flip_sin_to_cos": False, "freq_shift": 1, "use_linear_projection": True},
        {"norm_eps": 1e-3, "downsample_padding": 0},
    ],
)
def test_text_unet(tmp_path, more):
    reference = a_text_unet(**more)
    saved(reference, tmp_path)
    config = unet_config_from(tmp_path)
    assert config.context_width == 11
    model = load_unet(UNet(config).double(), tmp_path).eval()
    noisy, words = normal(3, 4, 8, 4), normal(3, 5, 11)
    equal(model(noisy, FIRST, words), reference(noisy, FIRST, words).sample)
    equal(model(noisy, LATER, words), reference(noisy, LATER, words).sample, UNET_AS_IT_IS)
    with_exact_clock(reference)
    equal(model(noisy, LATER, words), reference(noisy, LATER, words).sample)


@torch.no_grad()
@pytest.mark.parametrize(
    "more", [{}, {"attention_head_dim": (2, 3), "use_linear_projection": True, "norm_eps": 1e-4}]
)
def test_controlnet(tmp_path, more):
    reference = a_controlnet(**more)
    saved(reference, tmp_path)
    model = load_controlnet(ControlNet(controlnet_config_from(tmp_path)).double(), tmp_path).eval()
    noisy, words, hint = normal(3, 4, 8, 4), normal(3, 5, 11), normal(3, 3, 16, 8)
    for timesteps, most in ((FIRST, 1e-10), (LATER, CONTROL_AS_IT_IS), (LATER, 1e-10)):
        ours = model(noisy, timesteps, words, hint=hint)
        theirs = reference(noisy, timesteps, words, controlnet_cond=hint)
        equal(ours.middle, theirs.mid_block_res_sample, most)
        for our, their in zip(ours.skips, theirs.down_block_res_samples, strict=True):
            equal(our, their, most)
        if most == CONTROL_AS_IT_IS:
            with_exact_clock(reference)


@torch.no_grad()
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"scaling_factor": 0.13025},
        {"scaling_factor": 1.5305, "shift_factor": 0.0609, "latent_channels": 16}
        | {"use_quant_conv": False, "use_post_quant_conv": False},
    ],
)
def test_vae(tmp_path, more):
    reference = a_vae(**more)
    saved(reference, tmp_path)
    config = vae_config_from(tmp_path)
    model = load_vae(VAE(config).double(), tmp_path).eval()
    images = normal(2, 3, 16, 8)
    theirs = reference.encode(images).latent_dist
    ours = model.encode(images)
    equal(ours.mean, theirs.mean)
    equal(ours.log_variance, theirs.logvar)
    shift, scale = reference.config.shift_factor or 0.0, reference.config.scaling_factor
    assert (config.shift, config.scale) == (shift, scale)
    latents = normal(*theirs.mean.shape, seed=2)
    restored = reference.decode(latents / scale + shift).sample
    equal(model.to_images(latents), restored)
    noise = torch.Generator().manual_seed(3)
    drawn = our_vae.draw(ours, torch.Generator().manual_seed(3))
    equal(model.to_latents(images, noise), (drawn - shift) * scale)


@torch.no_grad()
def test_prior(tmp_path):
    reference = a_prior()
    saved(reference, tmp_path)
    config = prior_config_from(tmp_path)
    assert config.heads == 4
    load_prior(Prior(config).double(), tmp_path)
    with pytest.raises(ValueError, match="num_attention_heads is 4, but .* heads=2"):
        load_prior(Prior(replace(config, heads=2)), tmp_path)


@torch.no_grad()
@pytest.mark.parametrize("shrinks", [False, True])
@pytest.mark.parametrize("kind", ["bottleneck", "basic"])
def test_resnet(tmp_path, shrinks, kind):
    reference = a_resnet(downsample_in_bottleneck=shrinks, layer_type=kind)
    saved(reference, tmp_path)
    config = resnet_config_from(tmp_path)
    assert config.first_shrinks is shrinks
    model = load_resnet(ResNetClassifier(config).double(), tmp_path).eval()
    images = normal(3, 3, 45, 33)
    equal(model(images), reference(images).logits)
    with pytest.raises(ValueError, match="downsample_in_bottleneck"):
        load_resnet(ResNetClassifier(replace(config, first_shrinks=not shrinks)), tmp_path)
    assert resnet_config_from(reference.state_dict()).first_shrinks is False
    assert resnet_config_from(reference.state_dict(), first_shrinks=True).first_shrinks


# What can't be done, or was not made so, is refused by key and both values

LOADERS = {
    a_unet: (UNet, unet_config_from, load_unet),
    a_text_unet: (UNet, unet_config_from, load_unet),
    a_controlnet: (ControlNet, controlnet_config_from, load_controlnet),
    a_vae: (VAE, vae_config_from, load_vae),
    a_prior: (Prior, prior_config_from, load_prior),
    a_resnet: (ResNetClassifier, resnet_config_from, load_resnet),
}
FOREIGN = [
    (a_unet, "center_input_sample", True),
    (a_unet, "mid_block_scale_factor", 1.5),
    (a_unet, "act_fn", "gelu"),
    (a_unet, "freq_shift", 2),
    (a_unet, "downsample_padding", 2),
    (a_unet, "attn_norm_num_groups", 2),
    (a_unet, "time_embedding_type", "learned"),
    (a_unet, "class_embed_type", "identity"),
    (a_unet, "_class_name", "UNet1DModel"),
    (a_unet, "norm_eps", "small"),
    (a_text_unet, "center_input_sample", True),
    (a_text_unet, "mid_block_scale_factor", 2),
    (a_text_unet, "only_cross_attention", [False, True]),
    (a_text_unet, "resnet_skip_time_act", True),
    (a_text_unet, "resnet_out_scale_factor", 1.414),
    (a_text_unet, "time_embedding_act_fn", "silu"),
    (a_text_unet, "timestep_post_act", "silu"),
    (a_text_unet, "mid_block_only_cross_attention", True),
    (a_text_unet, "class_embed_type", "identity"),
    (a_text_unet, "act_fn", "mish"),
    (a_controlnet, "controlnet_conditioning_channel_order", "bgr"),
    (a_controlnet, "global_pool_conditions", True),
    (a_controlnet, "mid_block_scale_factor", 2),
    (a_controlnet, "act_fn", "relu"),
    (a_vae, "act_fn", "relu"),
    (a_vae, "shift_factor", "some"),
    (a_unet, "norm_num_groups", [4]),
    (a_text_unet, "attention_head_dim", 4.5),
    (a_text_unet, "attention_head_dim", [[2]]),
    (a_text_unet, "num_attention_heads", 4.5),
    (a_controlnet, "num_attention_heads", 4.0),
    (a_vae, "latents_mean", [0.1, 0.2, 0.3, 0.4]),
    (a_vae, "_class_name", "AsymmetricAutoencoderKL"),
    (a_prior, "time_embed_act_fn", "gelu"),
    (a_prior, "added_emb_type", None),
    (a_resnet, "hidden_act", "gelu"),
    (a_resnet, "downsample_in_first_stage", True),
    (a_resnet, "model_type", "regnet"),
]


@pytest.mark.parametrize(("make", "key", "value"), FOREIGN)
def test_what_the_model_cannot_do_is_refused(tmp_path, make, key, value):
    saved(make(), tmp_path)
    kind, config_from, load = LOADERS[make]
    model = kind(config_from(tmp_path))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ValueError) as refusal:
        load(model, tmp_path)
    said = str(refusal.value)
    assert f"config.json says {key} is {value!r}" in said
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    with pytest.raises(ValueError, match=key):
        config_from(tmp_path)


@pytest.mark.parametrize(
    ("make", "change", "sentence"),
    [
        (a_unet, {"flip_sin_to_cos": False}, "flip_sin_to_cos is True"),
        (a_unet, {"frequency_shift": 1}, "freq_shift is 0"),
        (a_unet, {"centred": False}, r"downsample_padding is 1 \(centred=True here\)"),
        (a_unet, {"head_width": 4}, "attention_head_dim is 8"),
        (a_unet, {"head_width": None}, "attention_head_dim is 8"),
        (a_unet, {"epsilon": 1e-6}, "norm_eps is 1e-05"),
        (a_unet, {"groups": 2}, "norm_num_groups is 4"),
        (a_text_unet, {"heads": 4}, "attention_head_dim is 2"),
        (a_text_unet, {"heads": (2, 4)}, "attention_head_dim is 2"),
        (a_text_unet, {"linear": True}, "use_linear_projection is False"),
        (a_text_unet, {"flip_sin_to_cos": False}, "flip_sin_to_cos is True"),
        (a_controlnet, {"heads": 1}, "attention_head_dim is 2"),
        (a_controlnet, {"frequency_shift": 1}, "freq_shift is 0"),
        (a_vae, {"scale": 0.13025}, "scaling_factor is 0.18215"),
        (a_vae, {"shift": 0.1}, "shift_factor is None"),
        (a_vae, {"groups": 4}, "norm_num_groups is 8"),
    ],
)
def test_a_model_made_otherwise_is_refused(tmp_path, make, change, sentence):
    saved(make(), tmp_path)
    kind, config_from, load = LOADERS[make]
    config = config_from(tmp_path)
    load(kind(config), tmp_path)
    changed = (
        replace(config, unet=replace(config.unet, **change))
        if make is a_controlnet
        else replace(config, **change)
    )
    with pytest.raises(ValueError, match=f"config.json says {sentence}.*, but this"):
        load(kind(changed), tmp_path)


def test_heads_of_each_level_may_be_written_one_by_one(tmp_path):
    saved(a_text_unet(), tmp_path)
    config = unet_config_from(tmp_path)
    assert config.heads == 2
    load_unet(UNet(replace(config, heads=(2, 2))), tmp_path)
    with pytest.raises(ValueError, match="heads for 3 levels, and widths for 2"):
        replace(config, heads=(2, 2, 2))


def test_heads_without_a_context_may_be_counted_if_they_are_of_one_width(tmp_path):
    saved(a_unet(attention_head_dim=4), tmp_path)
    config = unet_config_from(tmp_path)
    assert (config.head_width, config.heads) == (4, 1)
    load_unet(UNet(replace(config, heads=4, head_width=None)), tmp_path)
    with pytest.raises(ValueError, match=r"attention_head_dim is 4, but .* head_width=8"):
        load_unet(UNet(replace(config, heads=2, head_width=None)), tmp_path)
    uneven = replace(config, attended=(0, 1), heads=2, head_width=None)
    with pytest.raises(ValueError, match=r"heads=2, so its heads are of widths \[4, 8\]"):
        load_unet(UNet(uneven), tmp_path)


def test_what_published_unets_do_not_have_is_refused():
    reference = a_text_unet()
    config = unet_config_from(reference.state_dict(), heads=2, groups=4)
    for own in ("adds_pooled_text", "places_words"):
        with pytest.raises(ValueError, match=f"{own}=True, and published ones have none"):
            load_unet(UNet(replace(config, **{own: True})), reference.state_dict())


# Bare weights


def test_what_bare_weights_are_assumed_to_be():
    state = a_unet().state_dict()
    with pytest.raises(ValueError, match="a UNet 8 wide, no shape shows .*: give heads"):
        unet_config_from(state, groups=4)
    given = unet_config_from(
        state,
        head_width=8,
        groups=4,
        epsilon=1e-5,
        flip_sin_to_cos=True,
        frequency_shift=0,
        centred=True,
    )
    assert given == UNetConfig(
        3, (8, 16), 1, (1,), head_width=8, groups=4, epsilon=1e-5,
        flip_sin_to_cos=True, frequency_shift=0, centred=True,
    )  # fmt: skip
    assert unet_config_from(state, 1, groups=4) == UNetConfig(3, (8, 16), 1, (1,), groups=4)
    with pytest.raises(ValueError, match="a UNet 8 wide, no shape shows .*: give heads"):
        unet_config_from(a_text_unet().state_dict(), groups=4)
    with pytest.raises(ValueError, match="give heads"):
        controlnet_config_from(a_controlnet().state_dict(), groups=4)
    with pytest.raises(ValueError, match="a prior 20 wide, .*: give heads"):
        prior_config_from(a_prior().state_dict())
    flat = a_vae(use_quant_conv=False, use_post_quant_conv=False, latent_channels=16)
    with pytest.raises(ValueError, match="has no quant_conv, .*: give scale and shift"):
        vae_config_from(flat.state_dict(), groups=8)
    config = vae_config_from(flat.state_dict(), groups=8, scale=0.3611, shift=0.1159)
    assert (config.scale, config.shift, config.mixed_latents) == (0.3611, 0.1159, False)


def test_what_is_given_may_not_contradict_the_file(tmp_path):
    saved(a_vae(scaling_factor=0.13025), tmp_path)
    assert vae_config_from(tmp_path, scale=0.13025).scale == 0.13025
    with pytest.raises(ValueError, match="scaling_factor is 0.13025, but scale=0.18215 is given"):
        vae_config_from(tmp_path, scale=0.18215)


# The published sizes


def test_stable_diffusion_2():
    config = unet.stable_diffusion_v2()
    with torch.device("meta"):
        model = UNet(config)
        reference = diffusers.UNet2DConditionModel(
            attention_head_dim=(5, 10, 20, 20), use_linear_projection=True, cross_attention_dim=1024
        )
    assert sum(p.numel() for p in model.parameters()) == 865_910_724
    assert sum(p.numel() for p in reference.parameters()) == 865_910_724
    assert unet_config_from(reference.state_dict()) == config


@pytest.mark.parametrize(
    ("config", "count", "more"),
    [
        (our_vae.stable_diffusion_v1(), 83_653_863, {}),
        (our_vae.stable_diffusion_xl(), 83_653_863, {}),
        (
            our_vae.stable_diffusion_v3(),
            83_819_683,
            {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False},
        ),
    ],
)
def test_autoencoders_of_published_sizes(config, count, more):
    with torch.device("meta"):
        model = VAE(config)
        reference = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            **more,
        )
    assert sum(p.numel() for p in model.parameters()) == count
    assert sum(p.numel() for p in reference.parameters()) == count
    state = reference.state_dict()
    assert vae_config_from(state, scale=config.scale, shift=config.shift) == config


@pytest.mark.parametrize(
    ("config", "count"),
    [(resnet_50(), 25_557_032), (resnet_101(), 44_549_160), (resnet_152(), 60_192_808)],
)
def test_resnets_of_published_sizes(config, count):
    theirs = transformers.ResNetConfig(depths=list(config.depths), num_labels=1000)
    with torch.device("meta"):
        model = ResNetClassifier(config)
        reference = transformers.ResNetForImageClassification(theirs)
    assert sum(p.numel() for p in model.parameters()) == count
    assert sum(p.numel() for p in reference.parameters()) == count
    assert resnet_config_from(reference.state_dict()) == config


# Each argument of a published class is obeyed, refused, seen in shapes, or harmless

SHAPES = {"in_channels", "out_channels", "block_out_channels", "layers_per_block"}
SHAPES |= {"cross_attention_dim", "time_embedding_dim", "conv_in_kernel", "conv_out_kernel"}
SHAPES |= {"conditioning_channels", "conditioning_embedding_out_channels", "latent_channels"}
SHAPES |= {"use_quant_conv", "use_post_quant_conv", "num_layers", "embedding_dim"}
SHAPES |= {"num_embeddings", "attention_head_dim", "time_embed_dim", "embedding_proj_dim"}
SHAPES |= {"clip_embed_dim"}
# Of training, of precision, of pipelines; or of parts that are refused by another key.
HARMLESS = {"sample_size", "dropout", "num_train_timesteps", "upcast_attention", "force_upcast"}
HARMLESS |= {"addition_time_embed_dim", "projection_class_embeddings_input_dim"}
HARMLESS |= {"addition_embed_type_num_heads"}


@pytest.mark.parametrize(
    ("kind", "obeyed", "fixed"),
    [
        ("UNet2DModel", unet_config.OBEYED, unet_config.FIXED),
        ("UNet2DConditionModel", unet_config.TEXT_OBEYED, unet_config.TEXT_FIXED),
        ("ControlNetModel", unet_config.TEXT_OBEYED, unet_config.CONTROL_FIXED),
        ("AutoencoderKL", vae.OBEYED, vae.FIXED),
        ("PriorTransformer", prior.OBEYED, prior.FIXED),
    ],
)
def test_every_setting_of_the_published_class_is_known(kind, obeyed, fixed):
    signature = inspect.signature(getattr(diffusers, kind).__init__).parameters
    theirs = {name: p.default for name, p in signature.items() if name != "self"}
    assert theirs.keys() - obeyed.keys() - fixed.keys() - SHAPES - HARMLESS == set()
    for key, value in obeyed.items():
        assert theirs[key] == value, key
    for key, allowed in fixed.items():
        default = theirs.get(key, allowed[0])
        several = default if isinstance(default, tuple) else (default,)
        assert default == allowed[0] or set(several) <= set(allowed), key
