"""Two towers and one space: CLIP, its loss, zero-shot classification, retrieval."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "clip": "CLIPConfig CLIP CLIPVision CLIPText clip_vit_b_32 clip_vit_b_16 clip_vit_l_14",
        "two_tower": "TwoTower TwoTowerOutput LogitScale",
        "loss": "contrastive_loss",
        "zero_shot": "class_embeddings",
        "retrieval": "top_k",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
