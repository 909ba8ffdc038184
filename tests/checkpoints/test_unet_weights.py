"""The UNets against diffusers: UNet2DModel and UNet2DConditionModel."""

import pytest
import torch

from checkpoints.exact_clock import with_exact_clock
from scratchmm.checkpoints.unet import load_unet, unet_config_from
from scratchmm.diffusion.unet import UNet, UNetConfig, stable_diffusion_v1

PLAIN = UNetConfig(2, (4, 8, 12), 2, (1,), groups=2, epsilon=1e-3)
HEADS = UNetConfig(3, (8, 4), 1, (0, 1), head_width=4, groups=4)
STABLE_DIFFUSION = {"flip_sin_to_cos": True, "frequency_shift": 0, "centred": True}
WORDS = UNetConfig(
    3, (4, 8, 12), 1, (0, 2), 2, groups=2, epsilon=1e-3, context_width=5, **STABLE_DIFFUSION
)
DEEP = UNetConfig(
    4, (6, 4), 2, (0,), 2, groups=2, epsilon=1e-5, context_width=7, **STABLE_DIFFUSION
)
AS_IT_IS = 1e-5
CONFIGS = pytest.mark.parametrize(
    "config", [PLAIN, HEADS, WORDS, DEEP], ids=["plain", "heads", "words", "deep"]
)


def randomise(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return model.double().eval()


def ours_for(config):
    return UNet(config).double()


def published(config, as_it_is=False):
    diffusers = pytest.importorskip("diffusers")
    words = config.context_width is not None
    attention = "CrossAttn" if words else "Attn"
    kinds = [attention * (level in config.attended) for level in range(len(config.widths))]
    sizes = dict(
        in_channels=config.channels,
        out_channels=config.channels,
        block_out_channels=config.widths,
        layers_per_block=config.depth,
        down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
        norm_num_groups=config.groups,
        norm_eps=config.epsilon,
    )
    if words:
        reference = diffusers.UNet2DConditionModel(
            **sizes, attention_head_dim=config.heads, cross_attention_dim=config.context_width
        )
    else:
        reference = diffusers.UNet2DModel(  # the rest as in google/ddpm-cifar10-32
            **sizes,
            attention_head_dim=config.head_width,
            downsample_padding=0,
            flip_sin_to_cos=False,
            freq_shift=1,
        )
    return randomise(reference if as_it_is else with_exact_clock(reference))


def inputs(config, height=12, width=8):
    """Noisy images, timesteps, and for a model that reads words with a mask."""
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(3, config.channels, height, width, generator=generator).double()
    timesteps = torch.tensor([0, 17, 999])
    if config.context_width is None:
        return {"noisy": noisy, "timesteps": timesteps}
    words = torch.randn(3, 6, config.context_width, generator=generator).double()
    mask = torch.arange(6) < torch.tensor([[6], [2], [4]])
    return {"noisy": noisy, "timesteps": timesteps, "context": words, "mask": mask}


def theirs_on(reference, noisy, timesteps, context=None, mask=None):
    if context is None:
        return reference(noisy, timesteps).sample
    # They add -10000 where the mask is 0; in float64 that weighs exp(-10000) = 0.
    return reference(noisy, timesteps, context, encoder_attention_mask=mask).sample


def equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def old_names(state):
    """Attention's names as in files published before 2023."""
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    for new, name in old.items():
        state = {key.replace(new, name): tensor for key, tensor in state.items()}
    return state


@CONFIGS
@torch.no_grad()
def test_everything_on_the_way(config):
    reference, model = published(config), ours_for(config)
    load_unet(model, reference.state_dict())
    theirs: dict[str, torch.Tensor] = {}
    given = inputs(config)
    for name in ("time_embedding", "conv_in", "mid_block"):
        reference.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: theirs.update({name: output})
        )
    skips = []
    for block in reference.down_blocks:
        block.register_forward_hook(lambda _, __, output: skips.extend(output[1]))
    equal(model(**given), theirs_on(reference, **given))
    conditions = model.encoder.embed_conditions(**given)
    equal(conditions[0], theirs["time_embedding"])
    x, kept = model.encoder.encode(given["noisy"], *conditions)
    for our, their in zip(kept, [theirs["conv_in"], *skips], strict=True):
        equal(our, their)
    equal(model.encoder.middle(x, *conditions), theirs["mid_block"])


@CONFIGS
def test_gradients(config):
    reference, model = published(config), ours_for(config)
    load_unet(model, reference.state_dict())
    given = inputs(config)
    ours, theirs = model(**given), theirs_on(reference, **given)
    upstream = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2)).double()
    (ours * upstream).sum().backward()
    (theirs * upstream).sum().backward()
    carrier = load_unet(ours_for(config), {n: p.grad for n, p in reference.named_parameters()})
    largest = max(p.grad.abs().max().item() for p in model.parameters())
    for (name, our), their in zip(model.named_parameters(), carrier.parameters(), strict=True):
        assert our.grad.abs().max() > 0 or name.endswith(("key.bias", "time.bias")), name
        torch.testing.assert_close(
            our.grad, their.detach(), rtol=1e-9, atol=1e-10 * max(1.0, largest), msg=name
        )


@CONFIGS
def test_sinusoids_are_theirs_up_to_float32(config):
    model, timesteps = ours_for(config), torch.arange(1000)
    reference = published(config, as_it_is=True)
    theirs = reference.time_proj(timesteps)
    ours = model.encoder.time_embedding.sinusoids(timesteps, config.widths[0], torch.float64)
    torch.testing.assert_close(ours, theirs.double(), rtol=0, atol=2e-4)
    exact = with_exact_clock(reference).time_proj(timesteps)
    torch.testing.assert_close(ours, exact, rtol=0, atol=1e-12)


@CONFIGS
@torch.no_grad()
def test_the_published_class_as_it_is(config):
    """Its timesteps are float32: that is all that is apart, and nothing at 0, which float32 has."""
    reference, model = published(config, as_it_is=True), ours_for(config)
    load_unet(model, reference.state_dict())
    first = inputs(config) | {"timesteps": torch.zeros(3)}
    equal(model(**first), theirs_on(reference, **first))
    apart = (model(**inputs(config)) - theirs_on(reference, **inputs(config))).abs().max()
    assert 0 < apart < AS_IT_IS, apart


@torch.no_grad()
@pytest.mark.parametrize("config", [PLAIN, HEADS], ids=["plain", "heads"])
def test_old_names(config):
    reference = published(config)
    state = old_names(reference.state_dict())
    assert "mid_block.attentions.0.proj_attn.bias" in state
    model = load_unet(ours_for(config), state)
    equal(model(**inputs(config)), theirs_on(reference, **inputs(config)))


@torch.no_grad()
@pytest.mark.parametrize("config", [PLAIN, WORDS], ids=["plain", "words"])
def test_folders_as_diffusers_writes_them(tmp_path, config):
    reference = published(config)
    reference.save_pretrained(tmp_path)
    assert (tmp_path / "diffusion_pytorch_model.safetensors").is_file()
    model = load_unet(ours_for(config), tmp_path)
    equal(model(**inputs(config)), theirs_on(reference, **inputs(config)))


@CONFIGS
def test_sizes_are_read_off_the_tensors(config):
    more = {"heads": config.heads} if config.head_width is None else {"head_width": 4}
    read = unet_config_from(published(config).state_dict(), groups=config.groups, **more)
    epsilon = 1e-6 if config.context_width is None else 1e-5
    assert vars(read) == {**vars(config), "epsilon": epsilon}


@pytest.mark.parametrize("old", [False, True])
def test_full_sizes_have_the_published_names_and_shapes(old):
    """DDPM's and Stable Diffusion's, without memory: each name is met, with its shape."""
    diffusers = pytest.importorskip("diffusers")
    with torch.device("meta"):
        reference = diffusers.UNet2DModel(
            block_out_channels=(128, 256, 256, 256),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=None,
        )
        state = reference.state_dict()
        load_unet(UNet(UNetConfig()), old_names(state) if old else state)
        if not old:
            wide = diffusers.UNet2DConditionModel(cross_attention_dim=768)
            load_unet(UNet(stable_diffusion_v1()), wide.state_dict())
            assert unet_config_from(wide.state_dict()) == stable_diffusion_v1()
    assert unet_config_from(state) == UNetConfig()


def test_no_middle_block_or_one_without_words():
    """Neither may be taken for a UNet without a context."""
    state = published(WORDS).state_dict()
    for part, sentence in [
        ("mid_block.", "has no mid_block: a UNet without a middle block can't be built"),
        (
            "mid_block.attentions.",
            "has no mid_block.attentions.0.*levels attend to a context and",
        ),
    ]:
        rest = {name: t for name, t in state.items() if not name.startswith(part)}
        with pytest.raises(ValueError, match=sentence):
            unet_config_from(rest)


def test_what_is_refused():
    state = published(PLAIN).state_dict()
    with pytest.raises(ValueError, match="no UNet by diffusers' names: it has no conv_in.weight"):
        unet_config_from({"weight": torch.ones(2)})
    with pytest.raises(ValueError, match="conv_out.bias"):
        load_unet(ours_for(PLAIN), {n: t for n, t in state.items() if n != "conv_out.bias"})
    with pytest.raises(ValueError, match="attn2"):
        load_unet(ours_for(WORDS), state)
