"""Scores of an image: quality without a reference, and CLIPScore if there is a trained CLIP."""

from pathlib import Path

from torch import Tensor

from scratchmm.apps.image_studio.batch import Score
from scratchmm.metrics.clip_score import clip_score
from scratchmm.metrics.image_quality import image_quality


def scorer(clip: Path | None) -> Score:
    """The score function of a batch: image quality, and CLIPScore by the CLIP in a folder.

    >>> import torch
    >>> sorted(scorer(None)(torch.zeros(3, 32, 32), "a red ring"))
    ['colourfulness', 'contrast', 'sharpness']
    """
    if clip is None:
        return lambda image, prompt: _quality(image)
    from scratchmm.recipes import clip as recipe

    model = recipe.load(clip)

    def score(image: Tensor, prompt: str) -> dict[str, float]:
        images, texts = model.embed_images(image[None]), model.embed_texts([prompt])
        return {**_quality(image), "clip_score": float(clip_score(images, texts))}

    return score


def _quality(image: Tensor) -> dict[str, float]:
    return {name: float(value) for name, value in image_quality(image[None])._asdict().items()}
