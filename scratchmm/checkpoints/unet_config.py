"""What config.json says of diffusers' UNets and ControlNets that no tensor's shape shows.

Papers: Denoising Diffusion Probabilistic Models (arXiv 2006.11239), High-Resolution Image Synthesis
with Latent Diffusion Models (arXiv 2112.10752).
Differs from the papers: nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scratchmm.checkpoints.files import Source
from scratchmm.checkpoints.published_config import (
    PublishedConfig,
    Settings,
    check_model,
    read_config,
)
from scratchmm.diffusion.unet import UNetConfig

SILU = ("silu", "swish")
OBEYED: dict[str, Any] = {
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "norm_eps": 1e-5,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "downsample_padding": 1,
}
HEADS = ("num_attention_heads", "attention_head_dim")  # one number, or one of each level
TEXT_OBEYED = {**OBEYED, "num_attention_heads": None, "use_linear_projection": False}
# Keys and the values that the model can have, the published class's default first.
BOTH: dict[str, tuple[Any, ...]] = {
    "mid_block_scale_factor": (1,),
    "act_fn": SILU,
    "resnet_time_scale_shift": ("default",),
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
    "downsample_padding": (1, 0),
    "freq_shift": (0, 1),
}
FIXED = {
    **BOTH,
    "_class_name": ("UNet2DModel",),
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "mid_block_type": ("UNetMidBlock2D",),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D"),
    "downsample_type": ("conv",),
    "upsample_type": ("conv",),
    "attn_norm_num_groups": (None,),
    "add_attention": (True,),
}
TEXT_BOTH = {
    **BOTH,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "only_cross_attention": (False,),
    "transformer_layers_per_block": (1,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "addition_embed_type": (None,),
}
TEXT_FIXED = {
    **TEXT_BOTH,
    "_class_name": ("UNet2DConditionModel",),
    "center_input_sample": (False,),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "reverse_transformer_layers_per_block": (None,),
    "dual_cross_attention": (False,),
    "resnet_skip_time_act": (False,),
    "resnet_out_scale_factor": (1.0,),
    "time_embedding_type": ("positional",),
    "time_embedding_act_fn": (None,),
    "timestep_post_act": (None,),
    "time_cond_proj_dim": (None,),
    "attention_type": ("default",),
    "class_embeddings_concat": (False,),
    "mid_block_only_cross_attention": (None, False),
    "cross_attention_norm": (None,),
}
CONTROL_FIXED = {
    **TEXT_BOTH,
    "_class_name": ("ControlNetModel",),
    "controlnet_conditioning_channel_order": ("rgb",),
    "global_pool_conditions": (False,),
}


def check_unet(
    source: Source, config: UNetConfig, name: str, text_fixed: Mapping[str, Any] | None = None
) -> None:
    """Refuse to fill a UNet or a ControlNet that was made otherwise than its config.json says.

    It may have nothing that diffusers' have not, either: ValueError that names both values.
    text_fixed: see `unet_settings`; of a UNet with a context by default.
    """
    for own in ("adds_pooled_text", "places_words"):
        if getattr(config, own):
            raise ValueError(f"this {name} was made with {own}=True, and published ones have none")
    if config.context_width is None:
        check_model(name, _by_head_width(config, name), unet_settings(source))
    else:
        config = replace(config, heads=in_short(config.level_heads), head_width=None)
        check_model(name, config, unet_settings(source, text_fixed or TEXT_FIXED))


def unet_settings(source: Source, text_fixed: Mapping[str, Any] | None = None) -> Settings:
    """What the config.json of a source says of the fields of a UNetConfig; nothing without one.

    text_fixed: of a UNet with a context, or of a ControlNet: the values that the model can have.
    """
    if text_fixed is None:
        config = read_config(source, OBEYED, FIXED, nullable=("attention_head_dim",))
        if config is None:
            return {}
        return {**_common(config), "head_width": config.setting("attention_head_dim")}
    config = read_config(source, TEXT_OBEYED, text_fixed, lists=HEADS)
    if config is None:
        return {}
    # diffusers calls the number of heads a width, for old files' sake.
    number = config.values["num_attention_heads"] is not None
    key = "num_attention_heads" if number else "attention_head_dim"
    heads = config.values[key]
    if not all(type(one) is int for one in (heads if isinstance(heads, list) else [heads])):
        raise ValueError(f"{config.label} says {key} is {heads}: heads are whole numbers")
    if isinstance(heads, list):
        heads = in_short(tuple(heads))
    return {
        **_common(config),
        "heads": config.setting(key, heads),
        "linear": config.setting("use_linear_projection"),
    }


def _by_head_width(config: UNetConfig, name: str) -> UNetConfig:
    """The same config with the width of its heads, where it has their number."""
    if config.heads == 1:
        return config
    levels = sorted({*config.attended, len(config.widths) - 1})
    widths = {config.widths[level] // config.level_heads[level] for level in levels}
    if len(widths) > 1:
        raise ValueError(
            f"this {name} was made with heads={config.heads}, so its heads are of widths "
            f"{sorted(widths)}, and published ones have one width"
        )
    return replace(config, heads=1, head_width=widths.pop())


def in_short(heads: tuple[int, ...]) -> int | tuple[int, ...]:
    """The heads of each level as one number, if they are as many on every one.

    >>> in_short((8, 8)), in_short((5, 10))
    (8, (5, 10))
    """
    return heads[0] if len(set(heads)) == 1 else heads


def _common(config: PublishedConfig) -> Settings:
    padding = config.values["downsample_padding"]
    return {
        "groups": config.setting("norm_num_groups"),
        "epsilon": config.setting("norm_eps"),
        "flip_sin_to_cos": config.setting("flip_sin_to_cos"),
        "frequency_shift": config.setting("freq_shift"),
        "centred": config.setting("downsample_padding", bool(padding)),
    }
