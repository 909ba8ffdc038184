"""The vision-language model: both directions at once, two heads, any two encoders."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scratchmm.contrastive.loss import contrastive_loss
from scratchmm.fusion.vision_language import VisionLanguageConfig, VisionLanguageModel
from scratchmm.language.bert import BERTConfig, BERTEncoder
from scratchmm.vision.vit import VisionTransformer, ViTConfig
from shape_comments import check_shape_comments

CONFIG = VisionLanguageConfig(14, 18, width=12, heads=3, hidden=17, depth=2, embedding=5, classes=7)


@pytest.fixture
def model():
    torch.manual_seed(0)
    images = VisionTransformer(ViTConfig(12, 4, width=14, depth=1, heads=2, hidden=9, channels=2))
    texts = BERTEncoder(BERTConfig(23, 11, width=18, depth=1, heads=2, hidden=13))
    model = VisionLanguageModel(images, texts, CONFIG)
    for name, parameter in model.named_parameters():
        if name != "logit_scale.log_scale":
            nn.init.normal_(parameter, std=0.4)
    return model.double()


def a_batch():
    tokens = torch.tensor([[1, 5, 6, 0, 0], [1, 7, 8, 9, 2], [1, 4, 0, 0, 0]])
    images = torch.randn(3, 2, 12, 12, generator=torch.Generator().manual_seed(1)).double()
    return images, tokens, tokens > 0


def test_both_ask_before_either_has_changed(model):
    """The whole forward pass again, one sample at a time and without padding."""
    images, tokens, real = a_batch()
    output = model(images, tokens, real)
    for row, length in enumerate(real.sum(1).tolist()):
        encoded = model.images(images[[row]]), model.texts(tokens[[row], :length])
        encoded_images, texts = encoded[0].mean(1), encoded[1].mean(1)
        expected = F.normalize(encoded_images @ model.image_embedding.weight.T, dim=-1)
        torch.testing.assert_close(output.image_embeddings[[row]], expected)
        expected = F.normalize(texts @ model.text_embedding.weight.T, dim=-1)
        torch.testing.assert_close(output.text_embeddings[[row]], expected)

        image, words = model.image_projection(encoded[0]), model.text_projection(encoded[1])
        for layer in range(2):
            before = image, words
            image = model.image_blocks[layer](before[0], before[1])
            words = model.text_blocks[layer](before[1], before[0])
        both = torch.cat([words.mean(1), image.mean(1)], dim=-1)
        both = both + model.fused(model.norm(both))
        torch.testing.assert_close(output.logits[[row]], model.head(both))


def test_the_contrastive_head_hears_of_one_modality_alone(model):
    images, tokens, real = a_batch()
    one, other = model(images, tokens, real), model(images, tokens.flip(0), real.flip(0))
    torch.testing.assert_close(one.image_embeddings, other.image_embeddings)
    torch.testing.assert_close(one.text_embeddings, other.text_embeddings.flip(0))
    assert (one.logits - other.logits)[0].abs().max() > 1e-4
    assert one.image_embeddings.norm(dim=-1).sub(1).abs().max() < 1e-12


def test_both_losses_reach_both_encoders(model):
    images, tokens, real = a_batch()
    output = model(images, tokens, real)
    alignment = contrastive_loss(output.image_embeddings, output.text_embeddings, output.scale)
    answer = F.cross_entropy(output.logits, torch.tensor([3, 1, 6]))
    for loss in (alignment, answer):
        model.zero_grad()
        loss.backward(retain_graph=True)
        for part in (model.images, model.texts):
            assert all(p.grad.abs().max() > 0 for n, p in part.named_parameters() if "key" not in n)


def test_the_scale_starts_as_clips_and_never_exceeds_a_hundred(model):
    assert model(*a_batch()).scale.item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        model.logit_scale.log_scale.fill_(math.log(1e6))
    assert model(*a_batch()).scale.item() == pytest.approx(100)


def test_what_does_not_fit_is_refused(model):
    images, tokens, real = a_batch()
    with pytest.raises(ValueError, match="there are 2 images but 3 texts"):
        model(images[:2], tokens)
    with pytest.raises(ValueError, match="width 12 is not divisible by 5 heads"):
        VisionLanguageConfig(14, 18, width=12, heads=5)
    narrow = VisionLanguageConfig(14, 20, width=12, heads=3)
    with pytest.raises(ValueError, match="the words have width 18, but this model takes 20"):
        VisionLanguageModel(model.images, model.texts, narrow)(images, tokens)
    narrow = VisionLanguageConfig(15, 18, width=12, heads=3)
    with pytest.raises(ValueError, match="image tokens have width 14, but this model takes 15"):
        VisionLanguageModel(model.images, model.texts, narrow)(images, tokens)
    with pytest.raises(ValueError, match=r"\(3, 4\), the tokens \(3, 5\)"):
        model(images, tokens, real[:, :4])


def run_shapes() -> None:
    import torch

    from scratchmm.fusion import vision_language
    from scratchmm.language import bert
    from scratchmm.vision import vit

    VISION = vit.ViTConfig(10, 5, width=12, depth=1, heads=3, hidden=17, channels=2, classes=9)
    config = vision_language.VisionLanguageConfig(12, 14, 10, 5, 17, 2, embedding=8, classes=6)
    encoders = (
        vit.VisionTransformer(VISION),
        bert.BERTEncoder(bert.BERTConfig(23, 11, 14, 1, 2, 19)),
    )
    model = vision_language.VisionLanguageModel(*encoders, config)
    model(torch.randn(2, 2, 10, 15), torch.tensor([[3, 4, 5]] * 2))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/vision_language.py")
