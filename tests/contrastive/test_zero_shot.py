"""Prompt ensembles and probabilities against explicit loops."""

import math

import pytest
import torch
from torch.nn import functional as F

from scratchmm.contrastive.zero_shot import TEMPLATES, class_embeddings, zero_shot
from shape_comments import check_shape_comments

PROMPTS = ["a red ring", "one red ring.", "a blue star", "one blue star."]
TABLE = F.normalize(torch.randn(4, 5, generator=torch.Generator().manual_seed(0)), dim=-1)


def encode_texts(texts):
    return torch.stack([TABLE[PROMPTS.index(text)] for text in texts])


def test_an_ensemble_is_the_normalised_mean_of_unit_vectors():
    classes = class_embeddings(encode_texts, ["red ring", "blue star"], ["a {}", "one {}."])
    for k in range(2):
        mean = (TABLE[2 * k] + TABLE[2 * k + 1]) / 2
        torch.testing.assert_close(classes[k], mean / mean.square().sum().sqrt())


def test_one_template_is_the_prompt_itself():
    classes = class_embeddings(encode_texts, ["blue star", "red ring"], ["a {}"])
    torch.testing.assert_close(classes, TABLE[[2, 0]])


def test_the_default_templates_have_a_place_for_the_name():
    said = []
    class_embeddings(lambda texts: said.extend(texts) or torch.ones(len(texts), 2), ["cat"])
    assert said == [template.replace("{}", "cat") for template in TEMPLATES] and len(said) == 3


def test_probabilities_are_a_softmax_over_classes():
    images = F.normalize(torch.randn(3, 5, dtype=torch.float64), dim=-1)
    classes = F.normalize(torch.randn(4, 5, dtype=torch.float64), dim=-1)
    got = zero_shot(images, classes, scale=7.0)
    assert got.shape == (3, 4)
    for b in range(3):
        powers = [math.exp(7 * float(images[b] @ classes[k])) for k in range(4)]
        for k in range(4):
            assert got[b, k].item() == pytest.approx(powers[k] / sum(powers))


def test_the_default_scale_is_clips_hundred():
    images = torch.tensor([[1.0, 0.0]])
    classes = torch.tensor([[1.0, 0.0], [0.99, 0.141]])
    odds = zero_shot(images, classes)[0]
    assert (odds[0] / odds[1]).log().item() == pytest.approx(1.0, rel=1e-4)


def test_refusals():
    with pytest.raises(
        ValueError, match=r"^the template 'a photo' has no \{\} for the class name$"
    ):
        class_embeddings(encode_texts, ["cat"], ["a {}", "a photo"])
    with pytest.raises(ValueError, match="^0 class names and 1 templates classify nothing$"):
        class_embeddings(encode_texts, [], ["a {}"])
    with pytest.raises(ValueError, match="^1 class names and 0 templates classify nothing$"):
        class_embeddings(encode_texts, ["cat"], [])
    with pytest.raises(ValueError, match="^images have width 5 but classes 4$"):
        zero_shot(torch.zeros(2, 5), torch.zeros(3, 4))


def run_shapes() -> None:
    import torch

    from scratchmm.contrastive import zero_shot

    classes = zero_shot.class_embeddings(
        lambda texts: torch.randn(len(texts), 5), ["a", "b"], ["{}", "the {}", "this {}"]
    )
    zero_shot.zero_shot(torch.randn(4, 5), classes)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "contrastive/zero_shot.py")
