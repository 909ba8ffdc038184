"""BERT's promises; equality with the published classes is in tests/checkpoints."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scratchmm.language.bert import (
    BERT,
    BERTConfig,
    BERTEmbeddings,
    BERTEncoder,
    BERTForMaskedLM,
    bert_base,
    mask_tokens,
    masked_loss,
    tiny,
)
from shape_comments import check_shape_comments

small = BERTConfig(11, 9, width=6, depth=2, heads=2, hidden=7, types=3)
SPECIAL = {0, 1, 2, 5}  # 5 is the mask token


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.double().eval()


def texts(length=7):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 11, (3, length), generator=generator)


def test_embeddings_are_the_normed_sum_of_figure_2():
    layer, tokens = randomised(BERTEmbeddings(11, 6, 9, types=3, epsilon=0.1)), texts()
    types = torch.tensor([[0, 1, 2, 0, 1, 2, 1]] * 3)
    for b in range(3):
        for t in range(7):
            x = layer.tokens.weight[tokens[b, t]] + layer.positions[t]
            x = x + layer.types.weight[types[b, t]]
            x = (x - x.mean()) / (x.var(correction=0) + 0.1).sqrt()
            expected = x * layer.norm.weight + layer.norm.bias
            torch.testing.assert_close(layer(tokens, types)[b, t], expected)
    torch.testing.assert_close(layer(tokens), layer(tokens, torch.zeros_like(tokens)))


def test_the_parts_in_order():
    model, tokens = randomised(BERTForMaskedLM(small)), texts()
    x = model.encoder.embeddings(tokens)
    for block in model.encoder.transformer.blocks:
        x = block.attention_norm(x + block.attention(x))
        x = block.feed_forward_norm(x + block.feed_forward(x))
    torch.testing.assert_close(model.encoder(tokens), x)
    x = model.head.norm(nn.functional.gelu(model.head.dense(x)))
    logits = x @ model.encoder.embeddings.tokens.weight.T + model.head.bias
    torch.testing.assert_close(model(tokens), logits)
    model = randomised(BERT(small))
    hidden = model(tokens)
    torch.testing.assert_close(model.pool(hidden), torch.tanh(model.pooler(hidden[:, 0])))
    assert model.config is small


def test_padding_is_not_felt_and_every_word_is():
    model, tokens = randomised(BERTEncoder(small)), texts()
    real = torch.arange(7) < torch.tensor([[7], [4], [1]])
    before = model(tokens, real)
    for place in range(7):
        other = tokens.clone()
        other[:, place] = (tokens[:, place] + 1) % 11
        change = (model(other, real) - before).abs().amax(-1)
        for b, length in enumerate([7, 4, 1]):
            felt = change[b, :length] > 1e-9
            assert felt.all() if place < length else not felt.any()
    short = model(tokens[1:2, :4])
    torch.testing.assert_close(before[1:2, :4], short)


def test_the_decoder_learns_through_the_embeddings():
    model, tokens = randomised(BERTForMaskedLM(small)), texts()
    targets = torch.full_like(tokens, -100)
    targets[0, 0] = 3
    masked_loss(model(tokens), targets).backward()
    absent = [word for word in range(11) if word not in tokens]
    gradient = model.encoder.embeddings.tokens.weight.grad
    assert absent and all(gradient[word].abs().max() > 1e-9 for word in absent)
    assert sum(p.shape == (11, 6) for p in model.parameters()) == 1


def test_sizes_and_first_weights():
    torch.manual_seed(0)
    model = BERT(BERTConfig(300, 200, 64, 3, 2, 5, types=90, epsilon=1e-3))
    tables = model.encoder.embeddings
    for table in (tables.tokens.weight, tables.positions, tables.types.weight):
        assert table.std().item() == pytest.approx(0.02, rel=0.05)
    norms = [m for m in model.modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 7 and {norm.eps for norm in norms} == {1e-3}
    head = BERTForMaskedLM(BERTConfig(9, 9, 8, 1, 2, 5, epsilon=1e-3)).head
    assert head.norm.eps == 1e-3 and bert_base().epsilon == 1e-12
    assert model.encoder.transformer.blocks[0].feed_forward.expand.out_features == 5
    assert model.encoder.transformer.blocks[0].attention.heads == 2


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m: m(torch.tensor([[0, 11]])), "^token 11 of text 0, at position 1, is outside"),
        (lambda m: m(torch.zeros(1, 10).long()), "^10 tokens do not fit a context of 9$"),
        (lambda m: m(texts(), types=texts(6)), r"^the types are \(3, 6\), the tokens \(3, 7\)$"),
        (
            lambda m: m(texts(), types=torch.full((3, 7), 3)),
            "^type 3 is outside the 3 types of this model$",
        ),
        (
            lambda m: m(texts(), types=torch.full((3, 7), -1)),
            "^type -1 is outside the 3 types of this model$",
        ),
        (
            lambda m: m(texts(), torch.ones(3, 6).bool()),
            r"^the mask is \(3, 6\), the tokens \(3, 7\)$",
        ),
        (lambda m: m(texts(), torch.ones(3, 7)), "^the mask of the text is torch.float32, not"),
    ],
)
def test_what_does_not_fit_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(BERTEncoder(small))


def test_configs_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="^width 64 is not divisible by 3 heads$"):
        BERTConfig(width=64, heads=3)
    assert BERTEncoder(small)(texts(9)).shape == (3, 9, 6)
    assert BERT(tiny())(torch.tensor([[98]])).shape == (1, 1, 32)


def masked(tokens, share=0.15, seed=0, vocabulary=40):
    generator = torch.Generator().manual_seed(seed)
    return mask_tokens(tokens, SPECIAL, 5, vocabulary, generator, share)


def test_80_10_10():
    tokens = torch.randint(6, 40, (400, 500), generator=torch.Generator().manual_seed(1))
    covered, targets = masked(tokens)
    asked = targets != -100
    assert asked.float().mean().item() == pytest.approx(0.15, abs=0.004)
    assert (targets[asked] == tokens[asked]).all() and (covered[~asked] == tokens[~asked]).all()
    became_mask = covered[asked] == 5
    stayed = covered[asked] == tokens[asked]
    drawn = covered[asked][~became_mask & ~stayed]
    assert became_mask.float().mean().item() == pytest.approx(0.8, abs=0.01)
    # A word drawn at random is the same word once in 36.
    assert stayed.float().mean().item() == pytest.approx(0.1 + 0.1 / 36, abs=0.01)
    assert len(drawn) / len(became_mask) == pytest.approx(0.1 * 35 / 36, abs=0.01)
    counts = drawn.bincount(minlength=40)
    assert counts[list(SPECIAL)].sum() == 0
    ordinary = [word for word in range(40) if word not in SPECIAL]
    assert counts[ordinary].min() > 0.6 * len(drawn) / 36
    assert counts[ordinary].max() < 1.5 * len(drawn) / 36


def test_which_words_are_asked_for_does_not_hang_together():
    tokens = torch.full((4000, 6), 7)
    asked = (masked(tokens, share=0.5)[1] != -100).double()
    correlation = torch.corrcoef(asked.T) - torch.eye(6)
    assert correlation.abs().max() < 0.06
    became_mask = (masked(tokens, share=1.0)[0] == 5).double()
    assert (torch.corrcoef(became_mask.T) - torch.eye(6)).abs().max() < 0.06


@given(
    tokens=st.lists(st.integers(0, 39), min_size=1, max_size=30),
    share=st.sampled_from([0.0, 0.15, 0.5, 1.0]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_masking_any_text(tokens, share, seed):
    text = torch.tensor([tokens])
    before = text.clone()
    covered, targets = masked(text, share, seed)
    again = masked(text, share, seed)
    assert torch.equal(text, before) and torch.equal(covered, again[0])
    assert covered.dtype == targets.dtype == torch.int64
    for word, now, target in zip(tokens, covered[0].tolist(), targets[0].tolist()):
        if word in SPECIAL:
            assert (now, target) == (word, -100)
        else:
            assert target == word if share == 1.0 else target in (word, -100)
            assert now == word or (target == word and (now == 5 or now not in SPECIAL))
    if share == 0.0:
        assert (targets == -100).all()


def test_masking_differs_from_call_to_call():
    tokens, generator = torch.full((20, 20), 7), torch.Generator().manual_seed(0)
    first = mask_tokens(tokens, SPECIAL, 5, 40, generator)
    second = mask_tokens(tokens, SPECIAL, 5, 40, generator)
    assert not torch.equal(first[1], second[1])


def test_a_share_that_is_none_is_refused():
    for share in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="^the share of tokens to ask for is"):
            masked(torch.tensor([[7]]), share)


def test_masked_loss_is_the_mean_over_the_words_asked_for():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[-100, 4, 0], [-100, -100, 2]])
    expected = 0
    for b, t, word in [(0, 1, 4), (0, 2, 0), (1, 2, 2)]:
        expected = expected - (logits[b, t, word].exp() / logits[b, t].exp().sum()).log() / 3
    loss = masked_loss(logits, targets)
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[targets == -100] == 0).all() and (gradient[targets != -100] != 0).all()


def test_masked_loss_of_nothing_asked_is_zero_and_can_be_trained_on():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    loss = masked_loss(logits, torch.full((2, 3), -100))
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().max() == 0


def test_masked_loss_refuses_targets_of_other_texts():
    with pytest.raises(ValueError, match=r"^the logits are for \(2, 3\) tokens, but the targets"):
        masked_loss(torch.zeros(2, 3, 5), torch.zeros(3, 2).long())


def run_shapes() -> None:
    import torch

    from scratchmm.language import bert

    config = bert.BERTConfig(23, 11, width=12, depth=1, heads=3, hidden=17, types=4)
    tokens, real = torch.randint(5, 23, (2, 7)), torch.arange(7) < torch.tensor([[4], [7]])
    model = bert.BERT(config)
    model.pool(model(tokens, real, types=torch.randint(4, (2, 7))))
    covered, targets = bert.mask_tokens(tokens, {0, 1}, 1, 23, torch.Generator())
    bert.masked_loss(bert.BERTForMaskedLM(config)(covered), targets)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "language/bert.py")
