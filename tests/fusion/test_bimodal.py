"""The bimodal transformer's own promises; equality with LXMERT is in tests/checkpoints."""

import pytest
import torch
from torch import nn

from scratchmm.fusion.bimodal import BimodalConfig, BimodalTransformer, TwoStreamLayer

CONFIG = BimodalConfig(12, heads=3, hidden=17, words_depth=2, picture_depth=1, depth=2)


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
    words, picture = normal(2, 5, 12), normal(2, 7, 12, seed=2)
    ours = model(words, picture)
    for block in model.words_blocks:
        words = block(words)
    for block in model.picture_blocks:
        picture = block(picture)
    assert len(model.layers) == 2
    for layer in model.layers:
        words, picture = layer(words, picture)
    torch.testing.assert_close(ours.words, words, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.picture, picture, rtol=0, atol=1e-12)


def test_swapping_the_streams_and_their_blocks_swaps_the_answers():
    """Neither direction goes first, and both ask through the same weights."""
    layer, swapped = randomised(TwoStreamLayer(12, 3, 17)), TwoStreamLayer(12, 3, 17).double()
    names = {"words_block": "picture_block", "picture_block": "words_block"}
    swapped.load_state_dict(
        {
            ".".join([names.get(name.split(".")[0], name.split(".")[0]), *name.split(".")[1:]]): t
            for name, t in layer.state_dict().items()
        }
    )
    words, picture = normal(2, 5, 12), normal(2, 7, 12, seed=2)
    real = torch.arange(5) < torch.tensor([[3], [5]])
    mask = real[:, None, None]
    one, other = layer(words, picture, mask), swapped(picture, words, None, mask)
    torch.testing.assert_close(one.words, other.picture)
    torch.testing.assert_close(one.picture, other.words)
    assert (one.words - layer(words, picture).words).abs().max() > 1e-3


def test_padding_of_either_stream_counts_for_nothing(model):
    words, picture = normal(2, 5, 12), normal(2, 7, 12, seed=2)
    words_real = torch.arange(5) < torch.tensor([[3], [5]])
    picture_real = torch.arange(7) < torch.tensor([[7], [4]])
    before = model(words, picture, words_real, picture_real)
    for changed in (
        (words.masked_fill(~words_real[..., None], 50.0), picture),
        (words, picture.masked_fill(~picture_real[..., None], 50.0)),
    ):
        after = model(*changed, words_real, picture_real)
        torch.testing.assert_close(after.words[words_real], before.words[words_real])
        torch.testing.assert_close(after.picture[picture_real], before.picture[picture_real])


def test_a_sample_answers_for_itself(model):
    words, picture = normal(3, 5, 12), normal(3, 7, 12, seed=2)
    all_of_them, one = model(words, picture), model(words[1:2], picture[1:2])
    torch.testing.assert_close(all_of_them.words[1:2], one.words)
    torch.testing.assert_close(all_of_them.picture[1:2], one.picture)


def test_each_stream_reads_the_other(model):
    words, picture = normal(1, 5, 12).requires_grad_(), normal(1, 7, 12, seed=2).requires_grad_()
    streams = model(words, picture)
    upstream = normal(12, seed=3)
    for output, source in ((streams.words, picture), (streams.picture, words)):
        (gradient,) = torch.autograd.grad((output * upstream).sum(), source, retain_graph=True)
        assert (gradient.abs().sum(-1) > 1e-6).all()


def test_the_parts_have_the_depths_asked_for(model):
    sizes = len(model.words_blocks), len(model.picture_blocks), len(model.layers)
    assert sizes == (2, 1, 2)
    assert {m.eps for m in model.modules() if isinstance(m, nn.LayerNorm)} == {1e-12}


@pytest.mark.parametrize(
    ("words", "picture", "sentence"),
    [
        ((2, 5, 11), (2, 7, 12), "the words have width 11, but this model takes 12"),
        ((2, 5, 12), (2, 7, 9), "the picture tokens have width 9, but this model takes 12"),
        ((2, 5, 12), (3, 7, 12), "the picture tokens are a batch of 3 beside a batch of 2"),
    ],
)
def test_what_does_not_fit_is_refused(model, words, picture, sentence):
    with pytest.raises(ValueError, match=sentence):
        model(normal(*words), normal(*picture))


def test_masks_that_do_not_fit_are_refused(model):
    words, picture = normal(2, 5, 12), normal(2, 7, 12)
    with pytest.raises(ValueError, match=r"picture tokens is \(2, 5\), but they are \(2, 7\)"):
        model(words, picture, None, torch.ones(2, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"words is \(2, 7\), but they are \(2, 5\)"):
        model(words, picture, torch.ones(2, 7, dtype=torch.bool))
    with pytest.raises(ValueError, match="width 10 is not divisible by 3 heads"):
        BimodalConfig(10, heads=3)
