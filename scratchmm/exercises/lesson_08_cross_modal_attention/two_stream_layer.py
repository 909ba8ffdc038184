"""Exercise bimodal.TwoStreamLayer: words and picture ask each other, and neither goes first."""

# mypy: allow-untyped-defs

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.lesson_01_attention.multi_head_attention import by_torch
from scratchmm.fusion.bimodal import Streams

exercise = Exercise(
    id="bimodal.TwoStreamLayer",
    target="scratchmm.fusion.bimodal:TwoStreamLayer",
    title="Two streams that ask each other",
    goal="each stream asks the other, as both came in; sum, norm, and then its own block",
    minutes=25,
    difficulty=3,
    section="Two streams",
    needs=("cross_modal.CrossModalAttention", "transformer.TransformerBlock"),
    methods={
        "forward": "words ask the picture and the picture asks the words, both as they came in; "
        "sum and norm; then each its own block"
    },
    hints=(
        "One word 1, one patch 10, and say that who asks gets what the other is. Then the word "
        "becomes 1 + 10 = 11 and the patch 10 + 1 = 11 (before the norm). If the patch becomes 21, "
        "it has asked the word that had asked already: one direction goes first.",
        "Both directions ask through the same attention and the same norm, as the published code of "
        "LXMERT does; only then each stream has a block of its own. A mask goes along with the stream "
        "that it belongs to: with the words wherever words are looked at, be it by the picture or "
        "by the words themselves. The lesson draws the four arrows.",
        "Two questions first, into two new names: words (B, T, D) to picture with the picture's "
        "mask, picture (B, N, D) to words with the words' mask. Then each stream plus what it heard, "
        "normalised. Then words_block with the words' mask (by name: a block's second argument is "
        "the mask, attention's is the context), picture_block with the picture's. Return Streams.",
        "seen = self.cross_attention(words, picture, picture_mask); said = "
        "self.cross_attention(picture, words, words_mask); words = self.words_block("
        "self.cross_norm(words + seen), mask=words_mask), and the picture alike; return "
        "Streams(words, picture)",
    ),
)


def made(case: Case, factory: Any) -> Any:
    """Width 6, 3 heads, 11 hidden features."""
    return case.build(factory, width=6, heads=3, hidden=11)


def streams(case: Case) -> tuple[Tensor, Tensor]:
    """Words (2, 4, 6) and picture (2, 5, 6); not of mean 0, as after a norm."""
    words, picture = case.normal(B=2, T=4, D=6) * 2 + 1, case.normal(B=2, N=5, D=6) * 2 - 1
    return case.named(words, "B T D"), case.named(picture, "B N D")


def masks(case: Case) -> tuple[Tensor, Tensor]:
    """Of words and picture: (2, 1, 1, 4) and (2, 1, 1, 5)."""
    words_mask, picture_mask = torch.ones(2, 4).bool(), torch.ones(2, 5).bool()
    words_mask[0, 3] = words_mask[1, 1] = words_mask[1, 2] = False
    picture_mask[0, 0] = picture_mask[0, 3] = picture_mask[1, 4] = False
    return (
        case.named(words_mask[:, None, None], "B 1 1 T"),
        case.named(picture_mask[:, None, None], "B 1 1 N"),
    )


def norm(layer, x):
    return F.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, layer.eps)


def alone(block, x, mask=None):
    """A post-norm block in torch's own functions."""
    x = norm(block.attention_norm, x + by_torch(block.attention, x, mask=mask)[0])
    thinks = block.feed_forward
    wide = F.gelu(F.linear(x, thinks.expand.weight, thinks.expand.bias))
    answer = F.linear(wide, thinks.contract.weight, thinks.contract.bias)
    return norm(block.feed_forward_norm, x + answer)


def oracle(layer, words, picture, words_mask=None, picture_mask=None):
    """Each stream by itself, from what both were."""
    results = []
    for mine, other, own_mask, other_mask, block in (
        (words, picture, words_mask, picture_mask, layer.words_block),
        (picture, words, picture_mask, words_mask, layer.picture_block),
    ):
        heard = by_torch(layer.cross_attention, mine, other, other_mask)[0]
        results.append(alone(block, norm(layer.cross_norm, mine + heard), own_mask))
    return Streams(*results)


def judged(case: Case, got: Any, expected: Streams) -> None:
    """Both streams, by name."""
    case.true(isinstance(got, Streams), "a Streams(words, picture)", got)
    case.equal(got.words, expected.words, "words")
    case.equal(got.picture, expected.picture, "picture")


@exercise.holds("words stay (B, T, D) and the picture (B, N, D), as Streams")
def shape(layer_class, case):
    got = case.call(made(case, layer_class), *streams(case))
    case.true(isinstance(got, Streams), "a Streams(words, picture)", got)
    case.shape(got.words, "B T D")
    case.shape(got.picture, "B N D")


@exercise.holds(
    "where the other says 0, each stream is summed with it, normed, and in its own block"
)
def silent(layer_class, case):
    layer, (words, picture) = made(case, layer_class), streams(case)
    with torch.no_grad():
        layer.cross_attention.output.weight.zero_()
        layer.cross_attention.output.bias.zero_()
    expected = Streams(
        alone(layer.words_block, norm(layer.cross_norm, words)),
        alone(layer.picture_block, norm(layer.cross_norm, picture)),
    )
    judged(case, case.call(layer, words, picture), expected)


@exercise.holds("with the same block for both, exchanging the streams exchanges the results")
def fair(layer_class, case):
    layer, (words, picture) = made(case, layer_class), streams(case)
    layer.picture_block.load_state_dict(layer.words_block.state_dict())
    one, other = case.call(layer, words, picture), case.call(layer, picture, words)
    judged(case, other, Streams(one[1], one[0]))


@exercise.holds("each asks the other as it came in")
def equals_torch(layer_class, case):
    layer, given = made(case, layer_class), streams(case)
    judged(case, case.call(layer, *given), oracle(layer, *given))


@exercise.holds("nobody sees padding words: not the picture, and not the words")
def words_masked(layer_class, case):
    layer, given = made(case, layer_class), (*streams(case), masks(case)[0])
    judged(case, case.call(layer, *given), oracle(layer, *given))


@exercise.holds("nobody sees padding of the picture: not the words, and not the picture")
def picture_masked(layer_class, case):
    layer, given = made(case, layer_class), (*streams(case), None, masks(case)[1])
    judged(case, case.call(layer, *given), oracle(layer, *given))


@exercise.holds("with both masks, each goes with its own stream")
def both_masked(layer_class, case):
    layer, given = made(case, layer_class), (*streams(case), *masks(case))
    judged(case, case.call(layer, *given), oracle(layer, *given))


@exercise.holds("the gradients reach both streams, through each other, and every parameter")
def gradients(layer_class, case):
    layer = made(case, layer_class).double()

    def both(*given):
        return torch.cat(tuple(layer(*given)), dim=1)

    def right(*given):
        return torch.cat(oracle(layer, *given), dim=1)

    case.gradients(both, right, *streams(case), *masks(case), parameters=layer)


@exercise.holds("words, picture and masks are left as they were")
def unchanged(layer_class, case):
    layer = made(case, layer_class)
    with torch.no_grad():  # where += would not be refused
        case.call(layer, *streams(case), *masks(case))
    case.unchanged()
