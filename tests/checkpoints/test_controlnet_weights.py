"""ControlNet against diffusers: ControlNetModel, alone and steering a UNet2DConditionModel."""

from dataclasses import replace

import pytest
import torch

from checkpoints.exact_clock import with_exact_clock
from scratchmm.checkpoints.controlnet import controlnet_config_from, load_controlnet
from scratchmm.checkpoints.unet import load_unet
from scratchmm.diffusion.controlnet import (
    Controlled,
    ControlNet,
    ControlNetConfig,
    controlnet_from_unet,
    stable_diffusion_v1,
)
from scratchmm.diffusion.unet import UNet, UNetConfig

BASE = dict(channels=3, widths=(4, 8, 12), depth=1, attended=(0, 2), groups=2)
TEXT = dict(heads=2, context_width=5, flip_sin_to_cos=True, frequency_shift=0, centred=True)
SHRUNK = ControlNetConfig(UNetConfig(**BASE, **TEXT, epsilon=1e-3), 2, (3, 5, 7))
PIXELS = ControlNetConfig(
    UNetConfig(4, (6, 4), 2, (0,), groups=2, epsilon=1e-5, **TEXT),
    hint_channels=1,
    hint_widths=(5,),
)
AS_IT_IS = 1e-5
CONFIGS = pytest.mark.parametrize("config", [SHRUNK, PIXELS], ids=["shrunk", "pixels"])


def randomise(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return model.double().eval()


def base_of(config):
    return UNet(config.unet).double()


def published(config, as_it_is=False):
    """Their ControlNet and their UNet, with all weights random."""
    diffusers = pytest.importorskip("diffusers")
    hint, config = config, config.unet
    kinds = ["CrossAttn" * (level in config.attended) for level in range(len(config.widths))]
    sizes = dict(
        in_channels=config.channels,
        block_out_channels=config.widths,
        layers_per_block=config.depth,
        down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
        norm_num_groups=config.groups,
        norm_eps=config.epsilon,
        attention_head_dim=config.heads,
        cross_attention_dim=config.context_width,
    )
    control = diffusers.ControlNetModel(
        **sizes,
        conditioning_channels=hint.hint_channels,
        conditioning_embedding_out_channels=hint.hint_widths,
    )
    unet = diffusers.UNet2DConditionModel(
        **sizes,
        out_channels=config.channels,
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
    )
    if not as_it_is:
        control, unet = with_exact_clock(control), with_exact_clock(unet)
    return randomise(control), randomise(unet)


def inputs(config):
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(shape, generator=generator).double()

    shrink = config.hint_shrink
    return {
        "noisy": normal(3, config.unet.channels, 12, 8),
        "timesteps": torch.tensor([0, 17, 999]),
        "context": normal(3, 6, config.unet.context_width),
        "hint": normal(3, config.hint_channels, 12 * shrink, 8 * shrink),
    }


def theirs_on(control, unet, noisy, timesteps, context, hint, scale=1.0):
    """What their ControlNet adds, and what their UNet says with it."""
    added = control(noisy, timesteps, context, hint, conditioning_scale=scale)
    said = unet(
        noisy,
        timesteps,
        context,
        down_block_additional_residuals=tuple(added.down_block_res_samples),
        mid_block_additional_residual=added.mid_block_res_sample,
    )
    return added, said.sample


def equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def loaded(config, their_control, their_unet, scale=1.0):
    control = load_controlnet(ControlNet(config).double(), their_control.state_dict())
    base = load_unet(base_of(config), their_unet.state_dict())
    return Controlled(base, control, scale)


@CONFIGS
@torch.no_grad()
def test_what_is_added_and_what_the_base_then_says(config):
    theirs = published(config)
    model, given = loaded(config, *theirs, scale=0.7), inputs(config)
    added, said = theirs_on(*theirs, **given, scale=0.7)
    control = model.control(**given)
    for our, their in zip(control.skips, added.down_block_res_samples, strict=True):
        equal(0.7 * our, their)
        assert their.abs().max() > 1e-3
    equal(0.7 * control.middle, added.mid_block_res_sample)
    equal(model(**given), said)
    free = model.base(given["noisy"], given["timesteps"], given["context"])
    assert (free - said).abs().max() > 1e-3


@CONFIGS
def test_gradients_and_none_for_the_base(config):
    theirs = published(config)
    model, given = loaded(config, *theirs), inputs(config)
    ours, said = model(**given), theirs_on(*theirs, **given)[1]
    upstream = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2)).double()
    (ours * upstream).sum().backward()
    (said * upstream).sum().backward()
    gradients = {name: p.grad for name, p in theirs[0].named_parameters()}
    carrier = load_controlnet(ControlNet(config).double(), gradients)
    largest = max(p.grad.abs().max().item() for p in model.control.parameters())
    pairs = zip(model.control.named_parameters(), carrier.parameters(), strict=True)
    for (name, our), their in pairs:
        assert our.grad.abs().max() > 0 or name.endswith(("key.bias", "time.bias")), name
        torch.testing.assert_close(
            our.grad, their.detach(), rtol=1e-9, atol=1e-10 * max(1.0, largest), msg=name
        )
    assert all(p.grad is None for p in model.base.parameters())


@torch.no_grad()
def test_the_copy_is_theirs():
    """Their from_unet and our controlnet_from_unet, then hint and zero convolutions filled alike."""
    diffusers = pytest.importorskip("diffusers")
    _, unet = published(SHRUNK)
    copied = diffusers.ControlNetModel.from_unet(
        unet, conditioning_embedding_out_channels=SHRUNK.hint_widths, conditioning_channels=2
    )
    base = load_unet(base_of(SHRUNK), unet.state_dict())
    ours = controlnet_from_unet(base, 2, SHRUNK.hint_widths)
    theirs = load_controlnet(ControlNet(SHRUNK).double(), copied.state_dict())
    assert vars(ours.config) == vars(SHRUNK)
    names = [name for name, _ in ours.named_parameters() if not name.startswith("hint.")]
    assert len(names) > 50
    for name in names:
        equal(ours.get_parameter(name), theirs.get_parameter(name).double())
    assert not ours.hint.conv_out.weight.any() and not theirs.hint.conv_out.weight.any()


@torch.no_grad()
def test_folders_as_diffusers_writes_them(tmp_path):
    control, unet = published(PIXELS)
    control.save_pretrained(tmp_path)
    model, given = ControlNet(PIXELS).double(), inputs(PIXELS)
    load_controlnet(model, tmp_path)
    equal(model(**given).middle, theirs_on(control, unet, **given)[0].mid_block_res_sample)


@CONFIGS
def test_sizes_are_read_off_the_tensors(config):
    read = controlnet_config_from(
        published(config)[0].state_dict(), config.unet.heads, config.unet.groups
    )
    assert read == replace(config, unet=replace(config.unet, epsilon=1e-5))


def test_the_published_size():
    diffusers = pytest.importorskip("diffusers")
    with torch.device("meta"):
        state = diffusers.ControlNetModel(cross_attention_dim=768).state_dict()
        model = ControlNet(stable_diffusion_v1())
    assert sum(tensor.numel() for tensor in state.values()) == 361_279_120
    assert controlnet_config_from(state) == stable_diffusion_v1()
    load_controlnet(model, state)  # on the meta device: names and shapes only


def test_what_is_refused():
    control, unet = published(SHRUNK)
    state = control.state_dict()
    with pytest.raises(ValueError, match="no ControlNet by diffusers' names"):
        controlnet_config_from(unet.state_dict())
    less = {name: tensor for name, tensor in state.items() if name != "controlnet_mid_block.bias"}
    with pytest.raises(ValueError, match="controlnet_mid_block.bias"):
        load_controlnet(ControlNet(SHRUNK), less)
    with pytest.raises(ValueError, match="conv_norm_out.weight is missing"):
        load_unet(base_of(SHRUNK), state)


@CONFIGS
@torch.no_grad()
def test_the_published_classes_as_they_are(config):
    """Their timesteps are float32: that is all that is apart."""
    control, unet = published(config, as_it_is=True)
    model, given = loaded(config, control, unet), inputs(config)
    first = given | {"timesteps": torch.zeros(3)}  # which float32 has: equal to 1e-10
    added, said = theirs_on(control, unet, **first)
    equal(model(**first), said)
    equal(model.control(**first).middle, added.mid_block_res_sample)
    added, said = theirs_on(control, unet, **given)
    hint = given.pop("hint")
    apart = (model(**given, hint=hint) - said).abs().max()
    assert 0 < apart < AS_IT_IS, apart
    ours = model.control(**given, hint=hint)
    apart = (ours.middle - added.mid_block_res_sample).abs().max()
    assert 0 < apart < AS_IT_IS, apart
