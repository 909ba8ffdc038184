"""The KL autoencoder's published weights, by diffusers' names (AutoencoderKL).

Attention has had two sets of names there: files of Stable Diffusion 1 mostly say `query` and
`proj_attn`, newer ones `to_q` and `to_out.0`. The latents' scale is in no file of weights.

Paper: High-Resolution Image Synthesis with Latent Diffusion Models (arXiv 2112.10752).
Differs from the paper: nothing.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from scratchmm.checkpoints.files import Place, Source, fill, label_of, layer, read_state
from scratchmm.checkpoints.picture_blocks import BLOCK, attention_names
from scratchmm.diffusion.vae import VAE, VAEConfig
from scratchmm.layers.picture_blocks import PictureAttention, PictureBlock


def load_vae(model: VAE, source: Source) -> VAE:
    """Fill `model` with a published AutoencoderKL, of either naming, and return it.

    Raises ValueError that lists every tensor that is missing, surplus or of another shape.
    """
    state = read_state(source)
    attention = attention_names(state, "encoder.mid_block.attentions.0")
    places = layer("quant_conv", "encoder.moments") + layer("post_quant_conv", "decoder.latents")
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
    state: Mapping[str, Tensor], groups: int = 32, scale: float = 0.18215
) -> VAEConfig:
    """The sizes of a published autoencoder, read off its tensors' names and shapes.

    Neither the number of groups nor the scale leaves a trace there: Stable Diffusion 1's are given.
    """
    first, blocks = "encoder.conv_in.weight", "encoder.down_blocks."
    if first not in state or "post_quant_conv.weight" not in state:
        raise ValueError(
            "the state dict is no autoencoder by diffusers' names: "
            f"it has no {first} or no post_quant_conv.weight"
        )
    levels = {int(name.split(".")[2]) for name in state if name.startswith(blocks)}
    resnets = {name.split(".")[4] for name in state if name.startswith(f"{blocks}0.resnets.")}
    return VAEConfig(
        channels=state[first].shape[1],
        latent_channels=len(state["post_quant_conv.weight"]),
        widths=tuple(len(state[f"{blocks}{i}.resnets.0.conv1.weight"]) for i in sorted(levels)),
        depth=len(resnets),
        groups=groups,
        scale=scale,
    )


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
        if isinstance(part, PictureBlock):
            names, their = BLOCK, f"{theirs}.resnets.{resnets}."
            resnets += 1
            if isinstance(part.shortcut, nn.Identity):
                names = {name: our for name, our in BLOCK.items() if our != "shortcut"}
        elif isinstance(part, PictureAttention):
            names, their = dict(attention), f"{theirs}.attentions.0."
        else:
            names, their = {"conv": "convolution"}, f"{theirs}.{way}samplers.0."
        for name, our in names.items():
            places += layer(f"{their}{name}", f"{ours}.{index}.{our}")
    return places
