"""Scores of an image: quality always, CLIPScore where there is a trained CLIP."""

import pytest
import torch

from scratchmm.apps.image_studio.scores import scorer
from scratchmm.metrics.clip_score import clip_score
from scratchmm.metrics.image_quality import image_quality
from scratchmm.recipes import clip as recipe

IMAGES = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
TEXTS = ["a red star", "a blue ring", "a green cross", "a red ring", "a blue star", "two rings"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("clip")
    clip = recipe.new_clip(IMAGES, TEXTS, patch_size=8, width=8, depth=1, text_depth=1, merges=5)
    recipe.save(clip, place)
    return place


def test_quality_is_that_of_the_one_image():
    scores = scorer(None)(IMAGES[2], "a red star")
    expected = image_quality(IMAGES[2:3])._asdict()
    assert scores == {name: pytest.approx(float(value)) for name, value in expected.items()}


def test_a_clip_scores_the_image_against_its_own_prompt(folder):
    clip, score = recipe.load(folder), scorer(folder)
    for image, text in zip(IMAGES, TEXTS, strict=True):
        expected = clip_score(clip.embed_images(image[None]), clip.embed_texts([text]))
        scores = score(image, text)
        assert scores["clip_score"] == pytest.approx(float(expected), rel=1e-5)
        assert sorted(scores) == ["clip_score", "colourfulness", "contrast", "sharpness"]
