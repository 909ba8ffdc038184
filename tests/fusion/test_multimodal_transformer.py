"""The multimodal transformer: which streams attend to which, and what is missing."""

import pytest
import torch
from torch import nn

from scratchmm.fusion.multimodal_transformer import (
    CrossModalBlock,
    MultimodalConfig,
    MultimodalTransformer,
    tiny,
)
from scratchmm.layers.attention import KeyValueCache, watch_attention
from scratchmm.layers.embeddings import sinusoidal_positions
from shape_comments import check_shape_comments

WIDTHS = {"words": 5, "sound": 3, "video": 7}
LENGTHS = {"words": 4, "sound": 9, "video": 6}


def randomised(model, std=0.3):
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=std)
    return model.double()


@pytest.fixture
def model():
    return randomised(MultimodalTransformer(WIDTHS, tiny(), outputs=11))


def streams(names=WIDTHS, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {m: torch.randn(3, LENGTHS[m], WIDTHS[m], generator=generator).double() for m in names}


def test_a_cross_block_is_its_parts_in_order():
    block = randomised(CrossModalBlock(8, 2, 17))
    x, context = torch.randn(2, 5, 8).double(), torch.randn(2, 7, 8).double()
    looked = x + block.attention(block.attention_norm(x), context=block.context_norm(context))
    expected = looked + block.feed_forward(block.feed_forward_norm(looked))
    torch.testing.assert_close(block(x, context), expected)


def test_a_cross_block_takes_no_mask_and_no_cache_of_its_own_side():
    block, x = CrossModalBlock(8, 2, 17), torch.zeros(1, 5, 8)
    for given in ({"mask": torch.ones(5, 5).bool()}, {"cache": KeyValueCache()}):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            block(x, context=x, **given)


def test_each_asks_each_other_from_what_came_in_and_then_reads(model):
    """The whole forward pass again, in loops."""
    given = streams()
    tokens = {
        m: model.projections[m](x) + sinusoidal_positions(x.shape[1], 12).double()
        for m, x in given.items()
    }
    told = []
    for asks in WIDTHS:
        heard = []
        for answers in WIDTHS:
            if answers != asks:
                x = tokens[asks]
                for block in model.crossing[f"{asks} from {answers}"].blocks:
                    x = block(x, tokens[answers])  # the low-level features, in every block
                heard.append(x)
        x = torch.cat(heard, dim=-1)
        for block in model.encoders[asks].blocks:
            x = block(x)
        told.append(x.mean(dim=1))
    expected = model.head(model.norm(torch.cat(told, dim=-1)))
    torch.testing.assert_close(model(given), expected)
    assert expected.shape == (3, 11)


def test_the_sizes_of_who_looks_at_whom(model):
    with watch_attention() as seen:
        model(streams())
    words, sound, video = LENGTHS.values()
    shapes = [tuple(weights.shape[-2:]) for weights in seen]
    pairs = [(words, sound), (words, video), (words, words), (sound, words), (sound, video)]
    pairs += [(sound, sound), (video, words), (video, sound), (video, video)]
    twice = [pair for pair in pairs for _ in range(1 if pair[0] == pair[1] else 2)]
    assert shapes == twice  # two cross blocks, one self block


def test_the_order_of_the_names_does_not_matter(model):
    given = streams()
    backwards = dict(reversed(given.items()))
    torch.testing.assert_close(model(backwards), model(given))


def test_padding_counts_for_nothing(model):
    given = streams()
    real = {m: torch.arange(LENGTHS[m]) < torch.tensor([[2], [LENGTHS[m]], [3]]) for m in WIDTHS}
    before = model(given, real)
    for fill in (50.0, torch.nan):
        changed = {m: x.masked_fill(~real[m][..., None], fill) for m, x in given.items()}
        torch.testing.assert_close(model(changed, real), before)
    alone = model({m: x[:1, :2] for m, x in given.items()})
    torch.testing.assert_close(before[:1], alone)


@pytest.mark.parametrize("missing", WIDTHS)
def test_a_missing_modality_is_the_same_left_out_or_masked(model, missing):
    given = streams()
    without = model({m: x for m, x in given.items() if m != missing})
    nothing = torch.zeros(3, LENGTHS[missing], dtype=torch.bool)
    given[missing] = torch.full_like(given[missing], torch.nan)
    masked = model(given, {missing: nothing})
    torch.testing.assert_close(masked, without)
    assert masked.isfinite().all()
    masked.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_one_sample_may_lack_what_the_others_have(model):
    given = streams()
    real = torch.ones(3, LENGTHS["sound"], dtype=torch.bool)
    real[1] = False
    mixed = model(given, {"sound": real})
    torch.testing.assert_close(mixed[[0, 2]], model(given)[[0, 2]])
    without = {m: given[m] for m in ("words", "video")}
    torch.testing.assert_close(mixed[1], model(without)[1])


def test_order_in_time_matters(model):
    given = streams()
    given["words"] = given["words"].flip(1)
    assert (model(given) - model(streams())).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("change", "real", "sentence"),
    [
        ({"smell": torch.zeros(3, 2, 2)}, {}, "no modality 'smell', only words, sound, video"),
        ({}, {"smell": torch.zeros(3, 2)}, "no modality 'smell', only words, sound, video"),
        ({"sound": torch.zeros(3, 9, 4)}, {}, "the sound have width 4, but this model takes 3"),
        ({"video": torch.zeros(2, 6, 7)}, {}, "the video are a batch of 2 beside a batch of 3"),
        ({}, {"sound": torch.ones(3, 4).bool()}, r"sound is \(3, 4\), but they are \(3, 9\)"),
        ({}, {"sound": torch.ones(3, 9)}, "the mask of the sound is torch.float32, not torch.bool"),
    ],
)
def test_what_does_not_fit_is_refused(model, change, real, sentence):
    with pytest.raises(ValueError, match=sentence):
        model({**streams(), **change}, real)


def test_nothing_at_all_is_refused(model):
    with pytest.raises(ValueError, match="all of words, sound, video are missing"):
        model({})
    with pytest.raises(ValueError, match="there is a mask of the sound, but no sound"):
        model(streams(["words"]), {"sound": torch.ones(3, 9, dtype=torch.bool)})
    real = torch.tensor([[True] * 4, [True] * 4, [False] * 4])
    with pytest.raises(ValueError, match="sample 2 lacks all of words, sound, video"):
        model(streams(["words"]), {"words": real})
    with pytest.raises(ValueError, match="1 modalities have no pair to attend across"):
        MultimodalTransformer({"words": 5}, tiny(), outputs=2)
    with pytest.raises(ValueError, match="width 10 is not divisible by 3 heads"):
        MultimodalConfig(10, heads=3)


def run_shapes() -> None:
    import torch

    from scratchmm.fusion import multimodal_transformer

    config = multimodal_transformer.MultimodalConfig(12, 3, 17, depth=1, self_depth=1)
    model = multimodal_transformer.MultimodalTransformer({"a": 5, "b": 7, "c": 8}, config, 11)
    model({"a": torch.randn(2, 4, 5), "b": torch.randn(2, 6, 7)})


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "fusion/multimodal_transformer.py")
