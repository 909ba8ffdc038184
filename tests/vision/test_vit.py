"""The ViT's own promises; equality with the published class is in tests/checkpoints."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from scratchmm.layers.attention import watch_attention
from scratchmm.vision.rollout import attention_rollout
from scratchmm.vision.vit import (
    PatchEmbedding,
    VisionTransformer,
    ViTClassifier,
    ViTConfig,
    ViTEmbeddings,
    patchify,
    resize_positions,
    tiny,
    vit_b_16,
    vit_l_16,
)
from shape_comments import check_shape_comments


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.double().eval()


small = ViTConfig(12, 4, width=6, depth=2, heads=2, hidden=7, channels=2, classes=5)


def test_embeddings_are_equation_1():
    layer = randomised(ViTEmbeddings(small))
    images = torch.randn(3, 2, 12, 12, dtype=torch.float64)
    tokens = layer(images)
    projection = layer.patches.projection
    for b in range(3):
        torch.testing.assert_close(tokens[b, 0], layer.class_token + layer.positions[0])
        for n, patch in enumerate(patchify(images[b : b + 1], 4)[0]):
            expected = projection(patch) + layer.positions[1 + n]
            torch.testing.assert_close(tokens[b, 1 + n], expected)


def test_another_image_size_resizes_the_grid_and_not_the_class_position():
    layer = randomised(ViTEmbeddings(small))
    images = torch.randn(3, 2, 8, 20, dtype=torch.float64)
    tokens = layer(images)
    assert tokens.shape == (3, 1 + 2 * 5, 6)
    positions = resize_positions(layer.positions[1:], (3, 3), (2, 5))
    torch.testing.assert_close(tokens[:, 1:], layer.patches(images) + positions)
    torch.testing.assert_close(tokens[:, 0], (layer.class_token + layer.positions[0]).expand(3, 6))


def test_first_weights_have_clips_scale():
    torch.manual_seed(0)
    layer = ViTEmbeddings(ViTConfig(96, 4, width=64, depth=1, heads=1, hidden=1))
    assert layer.positions.std().item() == pytest.approx(64**-0.5, rel=0.05)
    assert layer.class_token.std().item() == pytest.approx(64**-0.5, rel=0.4)
    assert layer.patches.projection.bias is not None
    assert ViTEmbeddings(small, bias=False).patches.projection.bias is None


def test_classifier_reads_the_class_token_through_its_parts():
    model = randomised(ViTClassifier(small))
    images = torch.randn(3, 2, 12, 12, dtype=torch.float64)
    encoder = model.encoder
    x = encoder.embeddings(images)
    for block in encoder.transformer.blocks:
        x = block(x)
    x = encoder.norm(x)
    torch.testing.assert_close(encoder(images), x)
    torch.testing.assert_close(model(images), model.head(x[:, 0]))
    assert model.config is small


def test_images_do_not_influence_each_other():
    model = randomised(ViTClassifier(small))
    images = torch.randn(3, 2, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(model(images)[1:2], model(images[1:2]))


def test_epsilon_reaches_every_norm():
    config = ViTConfig(12, 4, width=6, depth=2, heads=2, hidden=7, epsilon=1e-3)
    norms = [m for m in VisionTransformer(config).modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 5 and {norm.eps for norm in norms} == {1e-3}
    assert tiny().epsilon == vit_b_16().epsilon == vit_l_16().epsilon == 1e-12


@pytest.mark.parametrize(
    ("config", "parameters"), [(vit_b_16(), 86_567_656), (vit_l_16(), 304_326_632)]
)
def test_published_sizes(config, parameters):
    with torch.device("meta"):
        model = ViTClassifier(config)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_configs_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="^image size 36 is not divisible by patch size 16$"):
        ViTConfig(image_size=36)
    with pytest.raises(
        ValueError, match="^patch size is 0 and must be a whole number from 1 to 1048576$"
    ):
        ViTConfig(image_size=36, patch_size=0)
    with pytest.raises(ValueError, match="^width 64 is not divisible by 3 heads$"):
        ViTConfig(width=64, heads=3)
    assert ViTConfig(48, 16).grid == 3 and ViTConfig(48, 16).patches == 9
    assert ViTConfig(3, 1, width=1, heads=1).grid == 3


def test_a_image_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="^image height 10 is not divisible by patch size 4$"):
        ViTClassifier(small)(torch.zeros(1, 2, 10, 12))
    with pytest.raises(ValueError, match="^the images have 3 channels, but this model takes 2$"):
        ViTClassifier(small)(torch.zeros(1, 3, 12, 12))


def test_rollout_multiplies_the_layers_last_one_leftmost():
    torch.manual_seed(0)
    layers = [torch.rand(2, 3, 4, 4, dtype=torch.float64).softmax(-1) for _ in range(3)]
    expected = []
    for b in range(2):
        product = torch.eye(4, dtype=torch.float64)
        for weights in layers:
            product = (sum(weights[b]) / 3 * 0.5 + 0.5 * torch.eye(4)) @ product
        expected.append(product)
    rollout = attention_rollout(layers)
    torch.testing.assert_close(rollout, torch.stack(expected))
    torch.testing.assert_close(rollout.sum(-1), torch.ones(2, 4, dtype=torch.float64))


def test_rollout_takes_what_watching_collects():
    model = ViTClassifier(tiny())
    with watch_attention() as layers:
        model(torch.zeros(3, 3, 32, 32))
    assert attention_rollout(layers).shape == (3, 17, 17)


few = st.integers(1, 4)


@given(B=few, C=few, rows=few, columns=few, patch=few)
@settings(max_examples=30, deadline=None)
def test_patchify_is_slicing_in_reading_order(B, C, rows, columns, patch):
    images = torch.randn(B, C, rows * patch, columns * patch)
    patches = patchify(images, patch)
    assert patches.shape == (B, rows * columns, C * patch * patch)
    for r in range(rows):
        for c in range(columns):
            square = images[:, :, r * patch : (r + 1) * patch, c * patch : (c + 1) * patch]
            torch.testing.assert_close(patches[:, r * columns + c], square.flatten(1))


@pytest.mark.parametrize("bias", [True, False])
def test_patch_embedding_is_a_convolution(bias):
    ours = PatchEmbedding(channels=2, patch=3, width=5, bias=bias).double()
    theirs = nn.Conv2d(2, 5, 3, stride=3, bias=bias).double()
    with torch.no_grad():
        ours.projection.weight.copy_(theirs.weight.flatten(1))
        if bias:
            ours.projection.bias.copy_(theirs.bias)
    images = torch.randn(4, 2, 6, 9, dtype=torch.float64)
    expected = theirs(images).flatten(2).transpose(1, 2)
    torch.testing.assert_close(ours(images), expected, rtol=0, atol=1e-12)
    assert (ours.projection.bias is not None) == bias


def test_patch_embedding_has_a_bias_unless_told():
    assert PatchEmbedding(1, 2, 3).projection.bias is not None


def test_resized_positions_are_bicubic_over_rows_and_columns():
    positions = torch.randn(2 * 3, 4, dtype=torch.float64)
    resized = resize_positions(positions, (2, 3), (5, 7))
    for d in range(4):
        plane = positions[:, d].view(1, 1, 2, 3)
        expected = F.interpolate(plane, (5, 7), mode="bicubic", align_corners=False)
        torch.testing.assert_close(resized[:, d].view(1, 1, 5, 7), expected)
    assert resize_positions(positions, (2, 3), (2, 3)) is positions


def test_resizing_keeps_top_bottom_left_and_right():
    rows = torch.arange(2.0)[:, None].expand(2, 3).reshape(6, 1)
    resized = resize_positions(rows, (2, 3), (4, 6)).view(4, 6)
    assert (resized.diff(dim=0) > 0).all()
    torch.testing.assert_close(resized.diff(dim=1), torch.zeros(4, 5))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: patchify(torch.zeros(1, 3, 30, 32), 16),
            "^image height 30 is not divisible by patch size 16$",
        ),
        (
            lambda: patchify(torch.zeros(1, 3, 32, 30), 16),
            "^image width 30 is not divisible by patch size 16$",
        ),
        (
            lambda: patchify(torch.zeros(1, 3, 32, 30), 0),
            "^image height 32 is not divisible by patch size 0$",
        ),
        (
            lambda: PatchEmbedding(3, 4, 8)(torch.zeros(1, 1, 8, 8)),
            "^the images have 1 channels, but this model takes 3$",
        ),
        (
            lambda: resize_positions(torch.zeros(5, 2), (2, 3), (4, 4)),
            "^5 positions do not fill a grid of 2 x 3$",
        ),
    ],
)
def test_what_patches_do_not_fill_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def run_shapes() -> None:
    import torch

    from scratchmm.vision import vit

    VISION = vit.ViTConfig(10, 5, width=12, depth=1, heads=3, hidden=17, channels=2, classes=9)
    model = vit.ViTClassifier(VISION)
    model(torch.randn(3, 2, 15, 10))
    vit.PatchEmbedding(3, 4, 10)(torch.randn(2, 3, 8, 12))
    vit.resize_positions(torch.randn(6, 5), (2, 3), (4, 7))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "vision/vit.py")
