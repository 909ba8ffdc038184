"""Several inputs, one answer: a file for each strategy."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "early": "EarlyFusion",
        "late": "LateFusion WeightedLateFusion",
        "gated": "GatedFusion",
        "modality_attention": "AttentionFusion",
        "bilinear": "BilinearFusion",
        "tensor_fusion": "TensorFusion",
        "low_rank": "LowRankFusion",
        "bottleneck": "BottleneckFusion",
        "cross_modal": "CrossModalAttention",
        "bimodal": "BimodalConfig BimodalTransformer",
        "multimodal_transformer": "MultimodalConfig MultimodalTransformer",
        "vision_language": "VisionLanguageConfig VisionLanguageModel",
        "vilt": "ViLTConfig ViLT ViLTForMatching ViLTForMaskedLM ViLTForVQA",
        "vqa": "VQAConfig VQA",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
