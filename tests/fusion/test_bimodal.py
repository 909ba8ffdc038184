"""The bimodal transformer's own promises; equality with LXMERT is in tests/checkpoints."""

import pytest
import torch
from torch import nn

from scratchmm.fusion.bimodal import BimodalConfig, BimodalTransformer, TwoStreamLayer
from shape_comments import check_shape_comments

CONFIG = BimodalConfig(12, heads=3, hidden=17, words_depth=2, image_depth=1, depth=2)


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def randomised(model):
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model.double()


@pytest.fixture
def model():
    return randomised(BimodalTransformer(CONFIG))


def test_every_layer_hands_its_streams_to_the_next(model):
    words, image = normal(2, 5, 12), normal(2, 7, 12, seed=2)
    ours = model(words, image)
    for block in model.words_blocks:
        words = block(words)
    for block in model.image_blocks:
        image = block(image)
    assert len(model.layers) == 2
    for layer in model.layers:
        words, image = layer(words, image)
    torch.testing.assert_close(ours.words, words, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.image, image, rtol=0, atol=1e-12)


def test_swapping_the_streams_and_their_blocks_swaps_the_answers():
    """Neither direction goes first, and both ask through the same weights."""
    layer, swapped = randomised(TwoStreamLayer(12, 3, 17)), TwoStreamLayer(12, 3, 17).double()
    names = {"words_block": "image_block", "image_block": "words_block"}
    swapped.load_state_dict(
        {
            ".".join([names.get(name.split(".")[0], name.split(".")[0]), *name.split(".")[1:]]): t
            for name, t in layer.state_dict().items()
        }
    )
    words, image = normal(2, 5, 12), normal(2, 7, 12, seed=2)
    real = torch.arange(5) < torch.tensor([[3], [5]])
    mask = real[:, None, None]
    one, other = layer(words, image, mask), swapped(image, words, None, mask)
    torch.testing.assert_close(one.words, other.image)
    torch.testing.assert_close(one.image, other.words)
    assert (one.words - layer(words, image).words).abs().max() > 1e-3


def test_padding_of_either_stream_counts_for_nothing(model):
    words, image = normal(2, 5, 12), normal(2, 7, 12, seed=2)
    words_real = torch.arange(5) < torch.tensor([[3], [5]])
    image_real = torch.arange(7) < torch.tensor([[7], [4]])
    before = model(words, image, words_real, image_real)
    for changed in (
        (words.masked_fill(~words_real[..., None], 50.0), image),
        (words, image.masked_fill(~image_real[..., None], 50.0)),
    ):
        after = model(*changed, words_real, image_real)
        torch.testing.assert_close(after.words[words_real], before.words[words_real])
        torch.testing.assert_close(after.image[image_real], before.image[image_real])


def test_a_sample_answers_for_itself(model):
    words, image = normal(3, 5, 12), normal(3, 7, 12, seed=2)
    all_of_them, one = model(words, image), model(words[1:2], image[1:2])
    torch.testing.assert_close(all_of_them.words[1:2], one.words)
    torch.testing.assert_close(all_of_them.image[1:2], one.image)


def test_each_stream_reads_the_other(model):
    words, image = normal(1, 5, 12).requires_grad_(), normal(1, 7, 12, seed=2).requires_grad_()
    streams = model(words, image)
    upstream = normal(12, seed=3)
    for output, source in ((streams.words, image), (streams.image, words)):
        (gradient,) = torch.autograd.grad((output * upstream).sum(), source, retain_graph=True)
        assert (gradient.abs().sum(-1) > 1e-6).all()


def test_the_parts_have_the_depths_asked_for(model):
    sizes = len(model.words_blocks), len(model.image_blocks), len(model.layers)
    assert sizes == (2, 1, 2)
    assert {m.eps for m in model.modules() if isinstance(m, nn.LayerNorm)} == {1e-12}


@pytest.mark.parametrize(
    ("words", "image", "sentence"),
    [
        ((2, 5, 11), (2, 7, 12), "the words have width 11, but this model takes 12"),
        ((2, 5, 12), (2, 7, 9), "the image tokens have width 9, but this model takes 12"),
        ((2, 5, 12), (3, 7, 12), "the image tokens are a batch of 3 beside a batch of 2"),
    ],
)
def test_what_does_not_fit_is_refused(model, words, image, sentence):
    with pytest.raises(ValueError, match=sentence):
        model(normal(*words), normal(*image))


def test_masks_that_do_not_fit_are_refused(model):
    words, image = normal(2, 5, 12), normal(2, 7, 12)
    with pytest.raises(ValueError, match=r"image tokens is \(2, 5\), but they are \(2, 7\)"):
        model(words, image, None, torch.ones(2, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"words is \(2, 7\), but they are \(2, 5\)"):
        model(words, image, torch.ones(2, 7, dtype=torch.bool))
    with pytest.raises(ValueError, match="width 10 is not divisible by 3 heads"):
        BimodalConfig(10, heads=3)


def run_shapes() -> None:
    import torch

    from scratchmm.fusion import bimodal

    config = bimodal.BimodalConfig(12, 4, 17, words_depth=2, image_depth=1, depth=2)
    real = torch.rand(2, 5) > 0.5
    bimodal.BimodalTransformer(config)(torch.randn(2, 5, 12), torch.randn(2, 7, 12), real)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/bimodal.py")
