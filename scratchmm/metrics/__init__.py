"""Metrics: recall, FID, CLIPScore, VQA accuracy, modality bias, image quality."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "recall": "recall_at_k",
        "fid": "frechet_distance feature_statistics",
        "clip_score": "ref_clip_score",
        "vqa": "vqa_accuracy",
        "bias": "modality_bias bias_by_group",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
