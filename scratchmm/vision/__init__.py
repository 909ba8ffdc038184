"""From images to features."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "vit": "ViTConfig VisionTransformer ViTClassifier PatchEmbedding patchify resize_positions",
        "resnet": "ResNetConfig ResNet ResNetClassifier",
        "rollout": "attention_rollout",
        "images": "open_image to_tensor to_image resize center_crop normalise clip_preprocess"
        " vit_preprocess",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
