"""The UNets' published weights, by diffusers' names: UNet2DModel and UNet2DConditionModel.

Attention has had two sets of names there: published files of DDPM say `query` and `proj_attn`,
newer ones `to_q` and `to_out.0`. Both are read.

Papers: Denoising Diffusion Probabilistic Models (arXiv 2006.11239), High-Resolution Image Synthesis
with Latent Diffusion Models (arXiv 2112.10752).
Differs from the papers: nothing.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from scratchmm.checkpoints.files import (
    Place,
    Source,
    fill,
    is_no,
    label_of,
    layer,
    read_state,
    shape_of,
)
from scratchmm.checkpoints.image_blocks import BLOCK, attention_names
from scratchmm.checkpoints.published_config import assume_heads, settle
from scratchmm.checkpoints.unet_config import TEXT_FIXED, check_unet, unet_settings
from scratchmm.diffusion.unet import UNet, UNetConfig
from scratchmm.diffusion.unet_blocks import (
    Downsample,
    ResidualBlock2d,
    SelfAttention2d,
    SpatialTransformer,
    Upsample,
)

START = {
    "conv_in": "encoder.conv_in",
    "time_embedding.linear_1": "encoder.time_embedding.expand",
    "time_embedding.linear_2": "encoder.time_embedding.mix",
}
END = {"conv_norm_out": "norm_out", "conv_out": "conv_out"}
TRANSFORMER = {
    "norm": "norm",
    "proj_in": "proj_in",
    "transformer_blocks.0.norm1": "block.attention_norm",
    "transformer_blocks.0.attn1.to_q": "block.attention.query",
    "transformer_blocks.0.attn1.to_k": "block.attention.key",
    "transformer_blocks.0.attn1.to_v": "block.attention.value",
    "transformer_blocks.0.attn1.to_out.0": "block.attention.output",
    "transformer_blocks.0.norm2": "block.cross_norm",
    "transformer_blocks.0.attn2.to_q": "block.cross_attention.query",
    "transformer_blocks.0.attn2.to_k": "block.cross_attention.key",
    "transformer_blocks.0.attn2.to_v": "block.cross_attention.value",
    "transformer_blocks.0.attn2.to_out.0": "block.cross_attention.output",
    "transformer_blocks.0.norm3": "block.feed_forward_norm",
    "transformer_blocks.0.ff.net.0.proj": "block.feed_forward.expand",
    "transformer_blocks.0.ff.net.2": "block.feed_forward.contract",
    "proj_out": "proj_out",
}
# Of published UNets, by the widths of their levels: DDPM's with one head, Stable Diffusion's.
ONE_HEAD = ((128, 256, 256, 256), (128, 128, 256, 256, 512, 512))
STABLE_DIFFUSION = (320, 640, 1280, 1280)
KINDS = {"residual": "resnets", "attention": "attentions"}
# What tensors do not show of a UNet with a context is taken to be as in Stable Diffusion.
CONVENTIONS = {"epsilon": 1e-5, "flip_sin_to_cos": True, "frequency_shift": 0, "centred": True}


def load_unet(model: UNet, source: Source) -> UNet:
    """Fill `model` with published weights and return it.

    Without a context it takes a UNet2DModel, with one a UNet2DConditionModel. Raises ValueError that
    lists every tensor that is missing, surplus or of another shape, and where the model was made
    otherwise than the config.json beside the weights says; bare weights are taken to be of the
    model's own config: its heads, sinusoids, padding, groups and epsilon leave no trace in them. What
    the model predicts, and at which noise levels, its pipeline knows: `scheduler.sampling_from`.
    """
    state = read_state(source)
    check_unet(source, model.config, type(model).__name__)
    places = places_of(model, model.config, START | END, state)
    fill(model, state, places, label_of(source))
    return model


def places_of(
    model: nn.Module, config: UNetConfig, ends: Mapping[str, str], state: Mapping[str, Tensor]
) -> list[Place]:
    """Where the published tensors go: `ends`, layers by name, and the parts of every block.

    model: a UNet of this config, or a ControlNet with its encoder.
    """
    places = [place for their, our in ends.items() for place in layer(their, our)]
    for name, part in model.named_modules():
        # What a layer has: some have no bias, and a shortcut may have nothing at all.
        for their, our in _layers_of(type(part), state).items():
            for kind, _ in part.get_submodule(our).named_parameters():
                theirs = f"{_their_name(name, config.depth)}.{their}.{kind}"
                places.append(Place(theirs, (f"{name}.{our}.{kind}",)))
    return places


def unet_config_from(
    source: Source,
    heads: int | tuple[int, ...] | None = None,
    groups: int | None = None,
    *,
    head_width: int | None = None,
    epsilon: float | None = None,
    flip_sin_to_cos: bool | None = None,
    frequency_shift: int | None = None,
    centred: bool | None = None,
) -> UNetConfig:
    """The sizes of a published UNet, read off its tensors and the config.json beside them.

    Bare tensors do not show the arguments here: without a context (UNet2DModel) those that are not
    given are as in DDPM, not as diffusers trains by default: groups 32, epsilon 1e-6, sines first,
    frequency shift 1, not centred; with one as in Stable Diffusion: groups 32, epsilon 1e-5, cosines
    first, shift 0, centred. Heads are assumed for the widths of DDPM (one) and Stable Diffusion 1 (8)
    and 2 (64 wide), else they must be given, as their number or their width. Raises ValueError where
    config.json says what the model can't do, or other than what is given.
    """
    state = read_state(source)
    has_context = any(".attn2." in name for name in state)
    told = settle(
        unet_settings(source, TEXT_FIXED if has_context else None),
        heads=heads,
        head_width=head_width,
        groups=groups,
        epsilon=epsilon,
        flip_sin_to_cos=flip_sin_to_cos,
        frequency_shift=frequency_shift,
        centred=centred,
    )
    if has_context:
        return text_unet_config(state, source, told)
    sizes = _sizes(state, label_of(source))
    if not {"heads", "head_width"} & told.keys() and sizes["widths"] not in ONE_HEAD:
        assume_heads(source, "UNet", sizes["widths"][0], {}, "heads")
    return UNetConfig(**{**sizes, **told})


def text_unet_config(
    state: Mapping[str, Tensor], source: Source, told: Mapping[str, Any]
) -> UNetConfig:
    """The config of a UNet with a context, or of its encoder: what shapes show, and what is told."""
    sizes = _sizes(state, label_of(source))
    middle, widths = "mid_block.attentions.0.", sizes["widths"]
    key = f"{middle}transformer_blocks.0.attn2.to_k.weight"
    if key not in state:
        raise ValueError(
            f"{label_of(source)} has no {key}: a UNet whose levels attend to a context and whose "
            "middle does not can't be built"
        )
    linear = f"{middle}proj_in.weight" in state and state[f"{middle}proj_in.weight"].dim() == 2
    sizes |= {"linear": linear, "context_width": shape_of(state, key)[1]}
    if not {"heads", "head_width"} & told.keys():
        if widths != STABLE_DIFFUSION:
            assume_heads(source, "UNet", widths[0], {}, "heads")
        sizes["heads"] = tuple(width // 64 for width in widths) if linear else 8
    return UNetConfig(**{**CONVENTIONS, **sizes, **told})


def _sizes(state: Mapping[str, Tensor], label: str) -> dict[str, Any]:
    """What shapes and names show: channels, widths, depth and attended levels."""
    for name in ("conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"):
        if name not in state:
            raise ValueError(is_no("UNet by diffusers' names", label, state, name))
    channels = shape_of(state, "conv_in.weight", 4)[1]
    said = shape_of(state, "conv_out.weight", 4)[0] if "conv_out.weight" in state else channels
    if said != channels:
        raise ValueError(
            f"{label} takes {channels} channels and gives {said}: they must be as many"
        )
    if not any(name.startswith("mid_block.") for name in state):
        raise ValueError(f"{label} has no mid_block: a UNet without a middle block can't be built")
    down = [name.split(".") for name in state if name.startswith("down_blocks.")]
    levels = range(1 + max(int(words[1]) for words in down))
    return {
        "channels": channels,
        "widths": tuple(
            shape_of(state, f"down_blocks.{i}.resnets.0.conv1.weight", 4)[0] for i in levels
        ),
        "depth": len({words[3] for words in down if words[1:3] == ["0", "resnets"]}),
        "attended": tuple(sorted({int(words[1]) for words in down if words[2] == "attentions"})),
    }


def _layers_of(kind: type, state: Mapping[str, Tensor]) -> dict[str, str]:
    """The layers of one of our parts: theirs to ours."""
    if kind is ResidualBlock2d:
        return BLOCK | {"time_emb_proj": "time"}
    if kind is SpatialTransformer:
        return TRANSFORMER
    if kind is SelfAttention2d:
        return attention_names(state, "mid_block.attentions.0")
    return {"conv": "convolution"} if kind in (Downsample, Upsample) else {}


def _their_name(ours: str, depth: int) -> str:
    """Their name of one of our parts: they count level by level and kind by kind, we count blocks.

    >>> _their_name("encoder.down_blocks.3.residual", 2)
    'down_blocks.1.resnets.0'
    >>> _their_name("up_blocks.2.resize", 2), _their_name("encoder.middle_blocks.0.attention", 2)
    ('up_blocks.0.upsamplers.0', 'mid_block.attentions.0')
    """
    way, number, part = ours.removeprefix("encoder.").split(".")
    if way == "middle_blocks":
        return f"mid_block.{KINDS[part]}.{number}"
    level, place = divmod(int(number), depth + 1)
    if part == "resize":
        return f"{way}.{level}.{way.removesuffix('_blocks')}samplers.0"
    return f"{way}.{level}.{KINDS[part]}.{place}"
