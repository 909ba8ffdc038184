"""CLIP's own promises; equality with the published class is in tests/checkpoints."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from scratchmm.contrastive.clip import (
    CLIP,
    CLIPConfig,
    CLIPOutput,
    CLIPVision,
    clip_vit_b_16,
    clip_vit_b_32,
    clip_vit_l_14,
    tiny,
)
from scratchmm.language.text_transformer import TextConfig
from scratchmm.layers.transformer import quick_gelu
from scratchmm.vision.vit import ViTConfig
from shape_comments import check_shape_comments

small = CLIPConfig(
    ViTConfig(12, 4, width=6, depth=2, heads=2, hidden=7, epsilon=1e-3),
    TextConfig(11, 9, width=8, depth=1, heads=2, hidden=5, end_token=10),
    embedding=5,
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    clip = CLIP(small)
    for parameter in clip.parameters():
        nn.init.normal_(parameter, std=0.3)
    return clip.double().eval()


def batch(B=3):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(B, 3, 12, 12, generator=generator, dtype=torch.float64)
    tokens = torch.randint(0, 10, (B, 6), generator=generator)
    tokens[:, 4] = 10
    return images, tokens


def test_the_image_tower_is_its_parts_in_order(model):
    images, _ = batch()
    tower = model.vision
    x = tower.norm_before(tower.embeddings(images))
    for block in tower.transformer.blocks:
        x = block(x)
        assert block.feed_forward.activation is quick_gelu
    torch.testing.assert_close(tower.tokens(images), x)
    torch.testing.assert_close(tower(images), tower.norm_after(x[:, 0]))
    assert tower.embeddings.patches.projection.bias is None
    norms = [m for m in tower.modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 6 and {norm.eps for norm in norms} == {1e-3}


def test_embeddings_are_projected_unit_vectors(model):
    images, tokens = batch()
    output = model(images, tokens)
    vectors = model.vision(images) @ model.two_tower.projections["image"].weight.T
    torch.testing.assert_close(output.image_embeddings, F.normalize(vectors, dim=-1))
    texts = model.text(tokens)[:, 4] @ model.two_tower.projections["text"].weight.T
    torch.testing.assert_close(output.text_embeddings, F.normalize(texts, dim=-1))
    for embeddings in (output.image_embeddings, output.text_embeddings):
        assert embeddings.shape == (3, 5)
        torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(3, dtype=torch.float64))
    assert all(layer.bias is None for layer in model.two_tower.projections.values())


def test_what_follows_the_end_token_does_not_count(model):
    _, tokens = batch()
    other = tokens.clone()
    other[:, 5] = (tokens[:, 5] + 1) % 10
    torch.testing.assert_close(model.encode_text(other), model.encode_text(tokens))


def test_logits_have_a_row_a_image(model):
    images, tokens = batch()
    output = model(images, tokens)
    for i in range(3):
        for j in range(3):
            cosine = output.image_embeddings[i] @ output.text_embeddings[j]
            torch.testing.assert_close(output.logits[i, j], output.scale * cosine)
    torch.testing.assert_close(output.scale, model.logit_scale())


def test_output_is_three_named_things():
    assert CLIPOutput._fields == ("image_embeddings", "text_embeddings", "scale")


def count(config):
    with torch.device("meta"):
        return sum(p.numel() for p in CLIP(config).parameters())


def test_published_sizes():
    assert count(clip_vit_b_32()) == 151_277_313
    assert (clip_vit_l_14().text.heads, clip_vit_l_14().vision.heads) == (12, 16)
    assert count(clip_vit_b_16()) == 149_620_737
    assert count(clip_vit_l_14()) == 427_616_513
    assert {c().vision.epsilon for c in (clip_vit_b_32, clip_vit_b_16, clip_vit_l_14)} == {1e-5}


def test_towers_of_tiny():
    assert isinstance(CLIP(tiny()).vision, CLIPVision)
    assert tiny().vision.epsilon == 1e-5


def run_shapes() -> None:
    import torch

    from scratchmm.contrastive import clip
    from scratchmm.language import text_transformer
    from scratchmm.vision import vit

    TEXT = text_transformer.TextConfig(
        vocabulary=23, context_length=11, width=14, depth=1, heads=2, hidden=19, end_token=22
    )
    VISION = vit.ViTConfig(10, 5, width=12, depth=1, heads=3, hidden=17, channels=2, classes=9)
    tokens = torch.tensor([[3, 4, 5, 22]] * 3)
    clip.CLIP(clip.CLIPConfig(VISION, TEXT, embedding=8))(torch.randn(3, 2, 10, 15), tokens)
    clip.CLIPVision(VISION).tokens(torch.randn(3, 2, 10, 15))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "contrastive/clip.py")
