"""What open_clip_config.json says of CLIP's two towers that no tensor's shape shows.

open_clip's GELU is the exact one unless the file says `quick_gelu`, as it does for OpenAI's weights.

Paper: Reproducible Scaling Laws for Contrastive Language-Image Learning (arXiv 2212.07143), whose
models are published so.
Differs from the paper: nothing.
"""

from collections.abc import Mapping
from typing import Any

from scratchmm.checkpoints.files import Source
from scratchmm.checkpoints.published_config import (
    PublishedConfig,
    Setting,
    Settings,
    check_fixed,
    config_beside,
    read_json,
)

NAME = "open_clip_config.json"
# Keys and the values that our towers can have, open_clip's default first.
BOTH: dict[str, tuple[Any, ...]] = {
    "final_ln_after_pool": (False,),
    "act_kwargs": (None, {}),
    "ls_init_value": (None,),
    "qk_norm": (False,),
    "scaled_cosine_attn": (False,),
    "scale_heads": (False,),
    "scale_attn_inner": (False,),
    "scale_attn": (False,),
    "scale_fc": (False,),
}
VISION: dict[str, tuple[Any, ...]] = {
    **BOTH,
    "pool_type": ("tok",),
    "no_ln_pre": (False,),
    "attentional_pool": (False,),
    "global_average_pool": (False,),
    "input_patchnorm": (False,),
    "pos_embed_type": ("learnable",),
    "timm_model_name": (None, ""),
}
TEXT: dict[str, tuple[Any, ...]] = {
    **BOTH,
    "pool_type": ("argmax",),
    "no_causal_mask": (False,),
    "embed_cls": (False,),
    "hf_model_name": (None, ""),
}
EPSILON = 1e-5  # of torch's layer norm


def open_clip_settings(source: Source, tower: str) -> Settings:
    """What the file beside the weights says of a tower, "vision" or "text"; nothing without one.

    Raises ValueError on a file that is damaged, and on what our towers can't do.
    """
    path = config_beside(source, NAME)
    if path is None:
        return {}
    whole = read_json(path)
    whole = whole.get("model_cfg", whole)
    part = whole.get(f"{tower}_cfg") if isinstance(whole, dict) else None
    if not isinstance(part, dict):
        raise ValueError(f"{path} says nothing of a {tower}_cfg, which open_clip's files describe")
    label = f"{path} ({tower}_cfg)"
    check_fixed(label, part, VISION if tower == "vision" else TEXT)
    quick = bool(whole.get("quick_gelu", False))
    activation = Setting(str(path), "quick_gelu", quick, "quick_gelu" if quick else "gelu")
    epsilon = (part.get("norm_kwargs") or {}).get("eps", EPSILON)
    common = {
        "activation": activation,
        "epsilon": Setting(label, "norm_kwargs.eps", epsilon, epsilon),
    }
    return common | (_vision(label, part) if tower == "vision" else _text(label, part))


def _vision(label: str, part: Mapping[str, Any]) -> dict[str, Setting]:
    head_width = part.get("head_width", 64)
    config = PublishedConfig(label, {"image_size": part.get("image_size", 224)})
    return {
        "heads": Setting(label, "head_width", head_width, part.get("width", 768) // head_width),
        "image_size": config.square("image_size"),
    }


def _text(label: str, part: Mapping[str, Any]) -> dict[str, Setting]:
    heads, vocabulary = part.get("heads", 8), part.get("vocab_size", 49408)
    return {
        "heads": Setting(label, "heads", heads, heads),
        # A text is read at its highest token, which is the last of the vocabulary.
        "end_token": Setting(label, "vocab_size", vocabulary, vocabulary - 1),
    }
