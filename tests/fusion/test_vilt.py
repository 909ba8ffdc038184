"""ViLT's own promises; equality with the published model is in tests/checkpoints."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scratchmm.fusion.vilt import (
    ViLT,
    ViLTConfig,
    ViLTForMaskedLM,
    ViLTForMatching,
    ViLTForVQA,
    filled_patches,
    interpolate_positions,
)
from shape_comments import check_shape_comments

CONFIG = ViLTConfig(23, 11, 12, 4, width=15, depth=2, heads=3, hidden=17, channels=2)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = ViLT(CONFIG)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model.double()


def a_batch(height=12, width=12):
    tokens = torch.tensor([[1, 5, 6, 0, 0], [1, 7, 8, 9, 2]])
    images = torch.randn(2, 2, height, width, generator=torch.Generator().manual_seed(1)).double()
    return tokens, images


def corner(height, width, *corners):
    pixels = torch.zeros(len(corners), height, width, dtype=torch.bool)
    for mask, (rows, columns) in zip(pixels, corners):
        mask[:rows, :columns] = True
    return pixels


def test_the_stream_is_words_then_cls_then_patches_each_with_its_modality(model):
    tokens, images = a_batch()
    parts = model.embeddings
    stream, seen = parts(tokens, images)
    assert seen is None and stream.shape == (2, 5 + 1 + 9, 15)
    words, image = parts.modalities.weight
    torch.testing.assert_close(stream[:, :5], parts.words(tokens) + words)
    torch.testing.assert_close(
        stream[:, 5] - image, (parts.class_token + parts.positions[0]).expand(2, -1)
    )
    for index in range(9):
        row, column = divmod(index, 3)
        piece = images[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].flatten(1)
        expected = parts.patches.projection(piece) + parts.positions[1 + index] + image
        torch.testing.assert_close(stream[:, 6 + index], expected)


def test_a_padded_image_is_the_image_itself(model):
    """The positions spread over the image, not over its padding, which nobody sees."""
    tokens, _ = a_batch()
    _, images = a_batch(16, 20)
    pixels = corner(16, 20, (8, 12), (16, 8))
    images = torch.where(pixels[:, None], images, 77.0)
    output = model(tokens, images, pixels=pixels)
    assert output.image.shape == (2, 1 + 8, 15)  # as many patches as the larger image has
    for index, (height, width) in enumerate(((8, 12), (16, 8))):
        alone = model(tokens[[index]], images[[index], :, :height, :width])
        count = alone.image.shape[1]
        torch.testing.assert_close(output.pooled[[index]], alone.pooled)
        torch.testing.assert_close(output.words[[index]], alone.words)
        torch.testing.assert_close(output.image[[index], :count], alone.image)


def test_padded_words_count_for_nothing(model):
    tokens, images = a_batch()
    real = tokens > 0
    output = model(tokens, images, real)
    alone = model(tokens[:1, :3], images[:1])
    torch.testing.assert_close(output.pooled[:1], alone.pooled)
    torch.testing.assert_close(output.image[:1], alone.image)
    assert (output.pooled - model(tokens, images).pooled)[0].abs().max() > 1e-4


def test_a_missing_image_leaves_the_words(model):
    tokens, images = a_batch()
    pixels = corner(12, 12, (0, 0), (12, 12))
    one, other = (model(tokens, images * scale, pixels=pixels) for scale in (1, -3))
    torch.testing.assert_close(one.pooled[0], other.pooled[0])
    assert (one.pooled - other.pooled)[1].abs().max() > 1e-4


def test_both_modalities_reach_every_token(model):
    tokens, images = a_batch()
    images.requires_grad_()
    output = model(tokens, images)
    generator = torch.Generator().manual_seed(2)
    upstream = torch.randn(15, generator=generator).double()
    for part in (output.words[0, -1], output.image[0, 0], output.pooled[0]):
        (gradient,) = torch.autograd.grad((part * upstream).sum(), images, retain_graph=True)
        assert (gradient[0].abs() > 0).all() and (gradient[1] == 0).all()


def test_spread_positions_are_torchs_interpolation_over_the_filled_corner():
    positions = torch.randn(9, 5, generator=torch.Generator().manual_seed(3)).double()
    found = interpolate_positions(positions, (2, 4), (3, 6)).view(3, 6, 5)
    square = positions.T.reshape(1, 5, 3, 3)
    expected = F.interpolate(square, (2, 4), mode="bilinear", align_corners=True)[0]
    torch.testing.assert_close(found[:2, :4], expected.permute(1, 2, 0))
    assert (found[2:] == 0).all() and (found[:, 4:] == 0).all()
    torch.testing.assert_close(interpolate_positions(positions, (3, 3), (3, 3)), positions)
    assert (interpolate_positions(positions, (0, 2), (3, 3)) == 0).all()
    # whatever the size, corners keep their own position
    for row, column, place in ((0, 0, 0), (0, 3, 2), (1, 0, 6), (1, 3, 8)):
        torch.testing.assert_close(found[row, column], positions[place])


def test_filled_patches_count_and_refuse():
    images = torch.zeros(3, 2, 12, 16)
    filled, seen = filled_patches(corner(12, 16, (12, 16), (4, 8), (8, 4)), images, 4)
    assert filled == [(3, 4), (1, 2), (2, 1)]
    assert seen.shape == (3, 12) and seen.sum(1).tolist() == [12, 2, 2]
    assert seen[1, :2].all() and seen[2, [0, 4]].all()
    hole = corner(12, 16, (12, 16), (8, 8), (8, 8))
    hole[1, 4:8, 4:8] = False
    with pytest.raises(ValueError, match="image 1 is not a rectangle at the top left"):
        filled_patches(hole, images, 4)
    with pytest.raises(ValueError, match="image 0 is not a rectangle at the top left"):
        filled_patches(corner(12, 16, (12, 16), (8, 8), (8, 8)).flip(1, 2)[[1, 0, 0]], images, 4)
    with pytest.raises(
        ValueError, match=r"\(3, 12, 12\) of torch.bool, but they need \(3, 12, 16\)"
    ):
        filled_patches(torch.ones(3, 12, 12, dtype=torch.bool), images, 4)
    with pytest.raises(ValueError, match="of torch.int64, but they need"):
        filled_patches(torch.ones(3, 12, 16, dtype=torch.int64), images, 4)


def test_heads_read_what_they_should(model):
    tokens, images = a_batch()
    masks = {"real": tokens > 0, "pixels": corner(12, 12, (12, 8), (12, 12))}
    output = model(tokens, images, **masks)
    torch.manual_seed(1)
    matching, words = ViLTForMatching(model).double(), ViLTForMaskedLM(model).double()
    answers = ViLTForVQA(model, answers=7).double()
    torch.testing.assert_close(
        matching(tokens, images, **masks), matching.head(output.pooled)[:, 0]
    )
    hidden = words.head.norm(F.gelu(words.head.dense(output.words)))
    expected = hidden @ model.embeddings.words.tokens.weight.T + words.head.bias
    torch.testing.assert_close(words(tokens, images, **masks), expected)
    assert answers(tokens, images, **masks).shape == (2, 7)
    assert matching.vilt is words.vilt is answers.vilt  # one body may learn from several heads
    torch.testing.assert_close(output.pooled, model.pooler(output.words[:, 0]).tanh())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": torch.zeros(3, 2, 12, 12)}, "there are 2 texts but 3 images"),
        ({"images": torch.zeros(2, 3, 12, 12)}, "the images have 3 channels"),
        ({"images": torch.zeros(2, 2, 12, 10)}, "image width 10 is not divisible by patch size 4"),
        ({"real": torch.ones(2, 4, dtype=torch.bool)}, r"\(2, 4\), the tokens \(2, 5\)"),
        ({"tokens": torch.full((2, 5), 23)}, "token 23 of text 0, at position 0"),
        ({"tokens": torch.zeros(2, 12, dtype=torch.int64)}, "12 tokens do not fit a context of 11"),
    ],
)
def test_what_does_not_fit_is_refused(change, sentence):
    tokens, images = a_batch()
    given = {"tokens": tokens, "images": images.float(), **change}
    with pytest.raises(ValueError, match=sentence):
        ViLT(CONFIG)(**given)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="image size 30 is not divisible by patch size 16"):
        ViLTConfig(image_size=30, patch_size=16)
    with pytest.raises(ValueError, match="width 768 is not divisible by 7 heads"):
        ViLTConfig(heads=7)


def test_learned_tables_start_as_large_as_a_token():
    """A vector of the image's tables is as long at first as 1, whatever the width."""
    torch.manual_seed(0)
    embeddings = ViLT(ViLTConfig(23, 11, 64, 4, width=64, depth=1, heads=2, hidden=8)).embeddings
    assert embeddings.positions.norm(dim=-1).mean().item() == pytest.approx(1, abs=0.05)
    assert embeddings.class_token.norm().item() == pytest.approx(1, abs=0.4)


def run_shapes() -> None:
    import torch

    from scratchmm.fusion import vilt

    body = vilt.ViLT(vilt.ViLTConfig(23, 11, 8, 4, width=15, depth=1, heads=3, hidden=17))
    tokens, images = (
        torch.tensor([[3, 4, 22, 0, 0, 0], [5, 6, 7, 8, 9, 22]]),
        torch.randn(2, 3, 8, 16),
    )
    pixels = (torch.arange(16) < torch.tensor([[8], [12]]))[:, None].expand(2, 8, 16)
    for model in (vilt.ViLTForMatching(body), vilt.ViLTForVQA(body, 13)):
        model(tokens, images, pixels=pixels)
    vilt.ViLTForMaskedLM(body)(tokens, images, real=tokens > 0)
    pixels = torch.ones(4, 12, 14, dtype=torch.bool)
    rows, columns, _ = vilt.count_patches(pixels, torch.zeros(4, 3, 12, 14), patch=2)
    vilt.interpolate_each(torch.randn(9, 5), rows, columns, (6, 7))


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/vilt.py")
