"""ControlNet's published weights, by diffusers' names (ControlNetModel): a UNet's, and its own.

Paper: Adding Conditional Control to Text-to-Image Diffusion Models (arXiv 2302.05543).
Differs from the paper: nothing.
"""

from scratchmm.checkpoints.files import Source, fill, is_no, label_of, read_state, shape_of
from scratchmm.checkpoints.published_config import settle
from scratchmm.checkpoints.unet import START, places_of, text_unet_config
from scratchmm.checkpoints.unet_config import CONTROL_FIXED, check_unet, unet_settings
from scratchmm.diffusion.controlnet import ControlNet, ControlNetConfig

HINT = "controlnet_cond_embedding"


def load_controlnet(model: ControlNet, source: Source) -> ControlNet:
    """Fill `model` with a published ControlNetModel and return it.

    Raises ValueError that lists every tensor that is missing, surplus or of another shape, and
    where the model was made otherwise than the config.json beside the weights says; bare weights
    are taken to be of the model's own config, with hints whose channels are red, green, blue.
    """
    state = read_state(source)
    config = model.config
    check_unet(source, config.unet, type(model).__name__, CONTROL_FIXED)
    names = {f"{HINT}.conv_in": "hint.conv_in", f"{HINT}.conv_out": "hint.conv_out"}
    names |= {f"{HINT}.blocks.{i}": f"hint.blocks.{i}" for i in range(len(model.hint.blocks))}
    names |= {f"controlnet_down_blocks.{i}": f"skips_out.{i}" for i in range(len(model.skips_out))}
    names |= {"controlnet_mid_block": "middle_out"}
    fill(model, state, places_of(model, config.unet, START | names, state), label_of(source))
    return model


def controlnet_config_from(
    source: Source,
    heads: int | tuple[int, ...] | None = None,
    groups: int | None = None,
    *,
    epsilon: float | None = None,
) -> ControlNetConfig:
    """The sizes of a published ControlNet, read off its tensors and the config.json beside them.

    Bare tensors show neither heads nor groups nor epsilon: those of Stable Diffusion (1: 8 heads, 2:
    64 wide; 32 groups, 1e-5) are assumed for its widths, and for others the heads must be given.
    Raises ValueError where config.json says what the model can't do, or other than what is given.
    """
    state = read_state(source)
    first = f"{HINT}.conv_in.weight"
    if first not in state:
        raise ValueError(is_no("ControlNet by diffusers' names", source, state, first))
    settings = unet_settings(source, CONTROL_FIXED)
    told = settle(settings, heads=heads, groups=groups, epsilon=epsilon)
    widening = sum(name.startswith(f"{HINT}.blocks.") for name in state) // 4  # 2 layers, 2 tensors
    names = [f"{HINT}.blocks.{2 * i + 1}.weight" for i in range(widening)]
    wider = [shape_of(state, name, 4)[0] for name in names]
    width, channels, *_ = shape_of(state, first, 4)
    return ControlNetConfig(text_unet_config(state, source, told), channels, (width, *wider))
