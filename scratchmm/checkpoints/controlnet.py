"""ControlNet's published weights, by diffusers' names (ControlNetModel): a UNet's, and its own.

Paper: Adding Conditional Control to Text-to-Image Diffusion Models (arXiv 2302.05543).
Differs from the paper: nothing.
"""

from collections.abc import Mapping

from torch import Tensor

from scratchmm.checkpoints.files import Source, fill, label_of, read_state
from scratchmm.checkpoints.unet import START, places_of, unet_config_from
from scratchmm.diffusion.controlnet import ControlNet, ControlNetConfig

HINT = "controlnet_cond_embedding"


def load_controlnet(model: ControlNet, source: Source) -> ControlNet:
    """Fill `model` with a published ControlNetModel and return it.

    Raises ValueError that lists every tensor that is missing, surplus or of another shape.
    """
    state = read_state(source)
    names = {f"{HINT}.conv_in": "hint.start", f"{HINT}.conv_out": "hint.end"}
    names |= {f"{HINT}.blocks.{i}": f"hint.layers.{i}" for i in range(len(model.hint.layers))}
    names |= {f"controlnet_down_blocks.{i}": f"skips_out.{i}" for i in range(len(model.skips_out))}
    names |= {"controlnet_mid_block": "bottom_out"}
    fill(model, state, places_of(model, START | names, state), label_of(source))
    return model


def controlnet_config_from(
    state: Mapping[str, Tensor], heads: int = 8, groups: int = 32
) -> ControlNetConfig:
    """The sizes of a published ControlNet, read off its tensors' names and shapes.

    Neither the heads nor the groups leave a trace there: those of Stable Diffusion 1 are given.
    """
    first = f"{HINT}.conv_in.weight"
    if first not in state:
        raise ValueError(f"the state dict is no ControlNet by diffusers' names: it has no {first}")
    base = unet_config_from(state, heads=heads, groups=groups)
    widening = sum(name.startswith(f"{HINT}.blocks.") for name in state) // 4  # 2 layers, 2 tensors
    wider = [len(state[f"{HINT}.blocks.{2 * i + 1}.weight"]) for i in range(widening)]
    width, channels = state[first].shape[:2]
    return ControlNetConfig(**vars(base), hint_channels=channels, hint_widths=(width, *wider))
