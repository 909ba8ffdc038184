"""Published weights under our names: one file that reads and verifies, one table a model family."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "clip": "load_clip load_clip_text load_clip_vision clip_config_from",
        "bert": "load_bert bert_config_from",
        "vit": "load_vit vit_config_from",
        "resnet": "load_resnet resnet_config_from",
        "vilt": "load_vilt vilt_config_from",
        "unet": "load_unet unet_config_from",
        "vae": "load_vae vae_config_from",
        "controlnet": "load_controlnet controlnet_config_from",
        "prior": "load_prior prior_config_from",
        "scheduler": "sampling_from",
        "image_processor": "processor_for",
        "vocabularies": "load_gpt2",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
