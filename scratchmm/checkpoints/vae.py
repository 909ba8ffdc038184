"""The KL autoencoder's published weights, by diffusers' names (AutoencoderKL).

Attention has had two sets of names there: files of Stable Diffusion 1 mostly say `query` and
`proj_attn`, newer ones `to_q` and `to_out.0`. The latents' scale is in no file of weights.

Paper: High-Resolution Image Synthesis with Latent Diffusion Models (arXiv 2112.10752).
Differs from the paper: nothing.
"""

from collections.abc import Mapping

from torch import nn

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
from scratchmm.checkpoints.published_config import Settings, check_model, read_config, settle
from scratchmm.diffusion.unet_blocks import ResidualBlock2d, SelfAttention2d
from scratchmm.diffusion.vae import VAE, VAEConfig

OBEYED = {"norm_num_groups": 32, "scaling_factor": 0.18215, "shift_factor": None}
FIXED = {
    "_class_name": ("AutoencoderKL",),
    "act_fn": ("silu", "swish"),
    "mid_block_add_attention": (True,),
    "latents_mean": (None,),
    "latents_std": (None,),
    "down_block_types": ("DownEncoderBlock2D",),
    "up_block_types": ("UpDecoderBlock2D",),
}


def load_vae(model: VAE, source: Source) -> VAE:
    """Fill `model` with a published AutoencoderKL, of either naming, and return it.

    Raises ValueError that lists every tensor that is missing, surplus or of another shape, and
    where the model was made otherwise than the config.json beside the weights says; bare weights
    are taken to have the model's own scale, shift and groups.
    """
    state = read_state(source)
    check_model(type(model).__name__, model.config, _settings(source))
    attention = attention_names(state, "encoder.mid_block.attentions.0")
    places = []
    if model.config.mixed_latents:
        places += layer("quant_conv", "encoder.moments")
        places += layer("post_quant_conv", "decoder.latents")
    for half in ("encoder", "decoder"):
        for their, our in (("conv_in", "first"), ("conv_norm_out", "norm"), ("conv_out", "last")):
            places += layer(f"{half}.{their}", f"{half}.{our}")
        middle = model.get_submodule(f"{half}.middle")
        places += _parts(middle, f"{half}.middle", f"{half}.mid_block", attention)
    for half, way in (("encoder", "down"), ("decoder", "up")):
        for index, level in enumerate(model.get_submodule(f"{half}.levels").children()):
            their = f"{half}.{way}_blocks.{index}"
            places += _parts(level, f"{half}.levels.{index}", their, attention, way)
    fill(model, state, places, label_of(source))
    return model


def vae_config_from(
    source: Source,
    groups: int | None = None,
    scale: float | None = None,
    shift: float | None = None,
) -> VAEConfig:
    """The sizes of a published autoencoder, read off its tensors and the config.json beside them.

    Bare tensors show neither the number of groups nor scale and shift of the latents: what is not
    given is then 32, 0.18215 and 0, of Stable Diffusion 1 and 2 (SDXL's have the same shapes and a
    scale of 0.13025); without its convolutions of kernel 1, as in Stable Diffusion 3 and Flux, which
    differ in nothing else that shapes show, scale and shift must be given.
    Raises ValueError where config.json says what the model can't do, or other than what is given.
    """
    state = read_state(source)
    first, behind, blocks = (
        "encoder.conv_in.weight",
        "decoder.conv_in.weight",
        "encoder.down_blocks.",
    )
    for name in (first, behind):
        if name not in state:
            raise ValueError(is_no("autoencoder by diffusers' names", source, state, name))
    latent_channels = shape_of(state, behind, 4)[1]
    told = settle(_settings(source), groups=groups, scale=scale, shift=shift)
    mixed = "post_quant_conv.weight" in state
    if not mixed and not {"scale", "shift"} <= told.keys():
        raise ValueError(
            f"{label_of(source)} has no quant_conv, as Stable Diffusion 3 and Flux, no shape shows "
            "the scale of its latents, and no config.json lies beside it: give scale and shift"
        )
    levels = {int(name.split(".")[2]) for name in state if name.startswith(blocks)}
    resnets = {name.split(".")[4] for name in state if name.startswith(f"{blocks}0.resnets.")}
    return VAEConfig(
        channels=shape_of(state, first, 4)[1],
        latent_channels=latent_channels,
        widths=tuple(
            shape_of(state, f"{blocks}{i}.resnets.0.conv1.weight", 4)[0] for i in sorted(levels)
        ),
        depth=len(resnets),
        mixed_latents=mixed,
        **told,
    )


def _settings(source: Source) -> Settings:
    config = read_config(source, OBEYED, FIXED)
    if config is None:
        return {}
    return {
        "groups": config.setting("norm_num_groups"),
        "scale": config.setting("scaling_factor"),
        "shift": config.setting("shift_factor", config.values["shift_factor"] or 0.0),
    }


def _parts(
    parts: nn.Module,
    ours: str,
    theirs: str,
    attention: Mapping[str, str],
    way: str = "",
) -> list[Place]:
    """The places of a level's or the middle's parts; theirs are numbered kind by kind."""
    places: list[Place] = []
    resnets = 0
    for index, part in enumerate(parts.children()):
        if isinstance(part, ResidualBlock2d):
            names, their = BLOCK, f"{theirs}.resnets.{resnets}."
            resnets += 1
            if isinstance(part.shortcut, nn.Identity):
                names = {name: our for name, our in BLOCK.items() if our != "shortcut"}
        elif isinstance(part, SelfAttention2d):
            names, their = dict(attention), f"{theirs}.attentions.0."
        else:
            names, their = {"conv": "convolution"}, f"{theirs}.{way}samplers.0."
        for name, our in names.items():
            places += layer(f"{their}{name}", f"{ours}.{index}.{our}")
    return places
