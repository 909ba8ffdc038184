"""The text transformer's promises; equality with the published class is in tests/checkpoints."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from scratchmm.language import text_transformer
from scratchmm.language.text_transformer import (
    TextConfig,
    TextTransformer,
    check_tokens,
    pool_at_end,
    tiny,
)
from scratchmm.layers import embeddings
from scratchmm.layers.tracing import left_to_the_gpu
from shape_comments import check_shape_comments

small = TextConfig(11, 9, width=6, depth=2, heads=2, hidden=7, end_token=10)


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.double().eval()


def test_words_to_come_cannot_be_felt():
    model = randomised(TextTransformer(small))
    tokens = torch.randint(0, 11, (3, 7))
    other = tokens.clone()
    other[:, 4] = (tokens[:, 4] + 1) % 11
    before, after = model(tokens), model(other)
    torch.testing.assert_close(after[:, :4], before[:, :4], rtol=0, atol=0)
    assert (after[:, 4:] - before[:, 4:]).abs().amax(-1).min() > 1e-6


def test_every_chunking_of_a_cached_read_equals_the_full_pass():
    model = randomised(TextTransformer(small))
    tokens = torch.randint(0, 11, (3, 9))
    full = model(tokens)
    for chunks in ([1] * 9, [4, 1, 4], [2, 7]):
        caches = model.transformer.new_caches()
        pieces = [model(piece, caches) for piece in tokens.split(chunks, dim=1)]
        torch.testing.assert_close(torch.cat(pieces, dim=1), full, rtol=0, atol=1e-12)


def test_the_parts_in_order():
    model = randomised(TextTransformer(small))
    tokens = torch.randint(0, 11, (3, 5))
    x = model.tokens.weight[tokens] + model.positions[:5]
    mask = torch.ones(5, 5).tril().bool()
    for block in model.transformer.blocks:
        x = block(x, mask=mask)
    torch.testing.assert_close(model(tokens), model.norm(x))


def test_sizes_and_first_weights():
    torch.manual_seed(0)
    model = TextTransformer(TextConfig(300, 200, 64, 3, 2, 5, end_token=0, epsilon=1e-3))
    assert model.tokens.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert model.positions.std().item() == pytest.approx(0.01, rel=0.05)
    norms = [m for m in model.modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 7 and {norm.eps for norm in norms} == {1e-3}
    assert model.transformer.blocks[0].feed_forward.expand.out_features == 5
    assert model.transformer.blocks[0].attention.heads == 2
    assert TextConfig().epsilon == 1e-5


def test_pooling_takes_the_first_end_token_of_each_text():
    hidden = torch.randn(3, 5, 4)
    tokens = torch.tensor([[7, 10, 10, 10, 10], [7, 1, 2, 3, 10], [10, 1, 10, 1, 10]])
    pooled = pool_at_end(hidden, tokens, 10)
    torch.testing.assert_close(pooled, torch.stack([hidden[0, 1], hidden[1, 4], hidden[2, 0]]))


def test_pooling_refuses_a_text_without_end():
    tokens = torch.tensor([[7, 10, 10], [7, 1, 2]])
    with pytest.raises(ValueError, match="^text 1 has no end token 10 among its 3$"):
        pool_at_end(torch.zeros(2, 3, 4), tokens, 10)


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        ([[0, 1], [2, 11]], "^token 11 of text 1, at position 1, is outside the vocabulary of 11$"),
        ([[0, -1], [2, 1]], "^token -1 of text 0, at position 1, is outside the vocabulary of 11$"),
    ],
)
def test_tokens_outside_the_vocabulary_are_refused(tokens, sentence):
    with pytest.raises(ValueError, match=sentence):
        TextTransformer(small)(torch.tensor(tokens))


def test_a_gpu_is_not_asked_for_a_number_but_told_to_stop_by_itself(monkeypatch):
    """A stand-in that has nothing a GPU would have to be waited for."""
    told = []
    monkeypatch.setattr(torch, "_assert_async", lambda holds, said: told.append((holds, said)))
    for found in (True, False):
        there = SimpleNamespace(is_cuda=True, any=lambda found=found: torch.tensor(found))
        assert left_to_the_gpu(there, "a sentence")
        assert told.pop() == (torch.tensor(not found), "a sentence")
    assert not left_to_the_gpu(torch.ones(2).bool(), "a sentence") and not told


def test_what_is_left_to_the_gpu_is_not_looked_at(monkeypatch):
    told = []
    for module in (embeddings, text_transformer):
        found = lambda wrong, said: told.append((wrong.tolist(), said)) or True  # noqa: E731
        monkeypatch.setattr(module, "left_to_the_gpu", found)
    check_tokens(torch.tensor([[0, 11], [-1, 10]]), 11)
    pool_at_end(torch.zeros(2, 2, 4), torch.tensor([[7, 10], [7, 1]]), 10)
    assert told == [
        ([[False, True], [True, False]], "a token is outside the vocabulary of 11"),
        ([False, True], "a text has no end token 10"),
    ]


def test_tokens_at_the_edges_pass():
    check_tokens(torch.tensor([[0, 10]]), 11)


def test_too_long_a_text_is_refused_also_through_a_cache():
    model = TextTransformer(small)
    assert model(torch.zeros(1, 9, dtype=torch.int64)).shape == (1, 9, 6)
    with pytest.raises(ValueError, match="^10 tokens do not fit a context of 9$"):
        model(torch.zeros(1, 10, dtype=torch.int64))
    caches = model.transformer.new_caches()
    model(torch.zeros(1, 6, dtype=torch.int64), caches)
    with pytest.raises(ValueError, match="^10 tokens do not fit a context of 9$"):
        model(torch.zeros(1, 4, dtype=torch.int64), caches)


def test_configs_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="^width 64 is not divisible by 3 heads$"):
        TextConfig(width=64, heads=3)
    for end, said in (
        (-1, "end token is -1 and must be a"),
        (99, "end token 99 is outside the voc"),
    ):
        with pytest.raises(ValueError, match=f"^{said}"):
            TextConfig(vocabulary=99, end_token=end)
    assert TextConfig(vocabulary=99, end_token=0).end_token == 0
    assert tiny().end_token == tiny().vocabulary - 1


def run_shapes() -> None:
    import torch

    from scratchmm.language import text_transformer

    TEXT = text_transformer.TextConfig(
        vocabulary=23, context_length=11, width=14, depth=1, heads=2, hidden=19, end_token=22
    )
    tokens = torch.tensor([[3, 4, 22, 0, 0], [5, 6, 7, 8, 22], [9, 22, 22, 22, 22]])
    hidden = text_transformer.TextTransformer(TEXT)(tokens)
    text_transformer.pool_at_end(hidden, tokens, end_token=22)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "language/text_transformer.py")
