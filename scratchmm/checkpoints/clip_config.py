"""What config.json says of CLIP's two towers that no shape shows, and what is assumed without one.

Paper: Learning Transferable Visual Models From Natural Language Supervision (arXiv 2103.00020).
Differs from the paper: nothing.
"""

from dataclasses import replace
from typing import Any

from scratchmm.checkpoints.files import Source
from scratchmm.checkpoints.open_clip_config import open_clip_settings
from scratchmm.checkpoints.published_config import (
    Settings,
    assume_heads,
    check_depth,
    check_model,
    heads_of_width,
    read_config,
    settle,
)
from scratchmm.language.text_transformer import TextConfig
from scratchmm.vision.vit import ViTConfig

TOWER = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}  # of both
VISION = {**TOWER, "num_attention_heads": 12, "image_size": 224}
TEXT = {**TOWER, "num_attention_heads": 8, "eos_token_id": 49407, "vocab_size": 49408}
VISION_TYPES, TEXT_TYPES = ("clip_vision_model", "clip"), ("clip_text_model", "clip")
# Of published towers, by width: OpenAI's, and from 1280 (image) and 1024 (text) on LAION's.
VISION_HEADS = {768: 12, 1024: 16, 1280: 16, 1408: 16, 1664: 16}
TEXT_HEADS = {512: 8, 640: 10, 768: 12, 1024: 16, 1280: 20}
LEGACY_END = 2  # with this eos_token_id transformers reads a text at its highest token


def check_vision(source: Source, config: ViTConfig, types: tuple[str, ...] = VISION_TYPES) -> None:
    """Refuse to fill a vision tower that was made otherwise than its config.json says."""
    config = replace(config, activation=config.activation or "quick_gelu")
    check_model("vision tower", config, _vision(source, types))
    check_depth("vision tower", config.depth, source, "vision_config")


def check_text(source: Source, config: TextConfig, types: tuple[str, ...] = TEXT_TYPES) -> None:
    """Refuse to fill a text tower that was made otherwise than its config.json says."""
    check_model("text tower", config, _text(source, types))
    check_depth("text tower", config.depth, source, "text_config")


def vision_fields(
    source: Source,
    width: int,
    heads: int | None,
    head_width: int | None,
    activation: str | None,
    types: tuple[str, ...] = VISION_TYPES,
) -> dict[str, Any]:
    """The fields of a vision tower's config that no shape shows: from the file, given or assumed."""
    heads = heads_of_width(width, heads, head_width)
    fields = settle(_vision(source, types), heads=heads, activation=activation)
    if "heads" not in fields:
        what = "vision tower"
        fields["heads"] = assume_heads(source, what, width, VISION_HEADS, "vision_heads")
    if "activation" not in fields:
        fields["activation"] = "gelu" if width > 1024 else "quick_gelu"
    fields["activation"] = None if fields["activation"] == "quick_gelu" else fields["activation"]
    return fields


def text_fields(
    source: Source,
    width: int,
    heads: int | None,
    head_width: int | None,
    activation: str | None,
    types: tuple[str, ...] = TEXT_TYPES,
) -> dict[str, Any]:
    """The fields of a text tower's config that no shape shows: from the file, given or assumed."""
    heads = heads_of_width(width, heads, head_width)
    fields = settle(_text(source, types), heads=heads, activation=activation)
    if "heads" not in fields:
        fields["heads"] = assume_heads(source, "text tower", width, TEXT_HEADS, "text_heads")
    if "activation" not in fields:
        fields["activation"] = "gelu" if width > 768 else "quick_gelu"
    return fields


def _vision(source: Source, types: tuple[str, ...]) -> Settings:
    config = read_config(
        source, VISION, {"model_type": types}, "vision_config", lists=("image_size",)
    )
    if config is None:
        return open_clip_settings(source, "vision")
    return {
        "heads": config.setting("num_attention_heads"),
        "activation": config.activation("hidden_act"),
        "epsilon": config.setting("layer_norm_eps"),
        "image_size": config.square("image_size"),
    }


def _text(source: Source, types: tuple[str, ...]) -> Settings:
    config = read_config(source, TEXT, {"model_type": types}, "text_config")
    if config is None:
        return open_clip_settings(source, "text")
    end = config.values["eos_token_id"]
    last = config.values["vocab_size"] - 1
    return {
        "heads": config.setting("num_attention_heads"),
        "activation": config.activation("hidden_act"),
        "epsilon": config.setting("layer_norm_eps"),
        "end_token": config.setting("eos_token_id", last if end == LEGACY_END else end),
    }
