"""Exercise bimodal.TwoStreamLayer: words and image ask each other, and neither goes first."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise, exercise_file
from scratchmm.fusion.bimodal import Streams

by_torch = exercise_file("01_attention/multi_head_attention").by_torch

exercise = Exercise(
    id="bimodal.TwoStreamLayer",
    order=20,
    target="scratchmm.fusion.bimodal:TwoStreamLayer",
    title="Two streams that ask each other",
    goal="each stream asks the other, as both came in; sum, norm, and then its own block",
    minutes=25,
    difficulty=3,
    section="Two streams",
    needs=("cross_modal.CrossModalAttention", "transformer.TransformerBlock"),
    methods={
        "forward": "words ask the image and the image asks the words, both as they came in; "
        "sum and norm; then each its own block"
    },
    hints=(
        "One word 1, one patch 10, and say that who asks gets what the other is. Then the word "
        "becomes 1 + 10 = 11 and the patch 10 + 1 = 11 (before the norm). If the patch becomes 21, "
        "it has asked the word that had asked already: one direction goes first.",
        "Both directions ask through the same attention and the same norm, as the published code of "
        "LXMERT does; only then each stream has a block of its own. A mask goes along with the stream "
        "that it belongs to: with the words wherever words are looked at, be it by the image or "
        "by the words themselves. The lesson draws the four arrows.",
        "Two questions first, into two new names: words (B, T, D) to image with the image's "
        "mask, image (B, N, D) to words with the words' mask. Then each stream plus what it heard, "
        "normalised. Then words_block with the words' mask (by name: a block's second argument is "
        "the mask, attention's is the context), image_block with the image's. Return Streams.",
        "seen = self.cross_attention(words, image, image_mask); said = "
        "self.cross_attention(image, words, words_mask); words = self.words_block("
        "self.cross_norm(words + seen), mask=words_mask), and the image alike; return "
        "Streams(words, image)",
    ),
)


def made(case: Case, factory: Any) -> Any:
    """Width 6, 3 heads, 11 hidden features."""
    return case.build(factory, width=6, heads=3, hidden=11)


def streams(case: Case) -> tuple[Tensor, Tensor]:
    """Words (2, 4, 6) and image (2, 5, 6); not of mean 0, as after a norm."""
    words, image = case.normal(B=2, T=4, D=6) * 2 + 1, case.normal(B=2, N=5, D=6) * 2 - 1
    return case.named(words, "B T D"), case.named(image, "B N D")


def masks(case: Case) -> tuple[Tensor, Tensor]:
    """Of words and image: (2, 1, 1, 4) and (2, 1, 1, 5)."""
    words_mask, image_mask = torch.ones(2, 4).bool(), torch.ones(2, 5).bool()
    words_mask[0, 3] = words_mask[1, 1] = words_mask[1, 2] = False
    image_mask[0, 0] = image_mask[0, 3] = image_mask[1, 4] = False
    return (
        case.named(words_mask[:, None, None], "B 1 1 T"),
        case.named(image_mask[:, None, None], "B 1 1 N"),
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


def oracle(layer, words, image, words_mask=None, image_mask=None):
    """Each stream by itself, from what both were."""
    results = []
    for mine, other, own_mask, other_mask, block in (
        (words, image, words_mask, image_mask, layer.words_block),
        (image, words, image_mask, words_mask, layer.image_block),
    ):
        heard = by_torch(layer.cross_attention, mine, other, other_mask)[0]
        results.append(alone(block, norm(layer.cross_norm, mine + heard), own_mask))
    return Streams(*results)


def judged(case: Case, got: Any, expected: Streams) -> None:
    """Both streams, by name."""
    case.true(isinstance(got, Streams), "a Streams(words, image)", got)
    case.equal(got.words, expected.words, "words")
    case.equal(got.image, expected.image, "image")


@exercise.holds("words stay (B, T, D) and the image (B, N, D), as Streams")
def shape(layer_class, case):
    got = case.call(made(case, layer_class), *streams(case))
    case.true(isinstance(got, Streams), "a Streams(words, image)", got)
    case.shape(got.words, "B T D")
    case.shape(got.image, "B N D")


@exercise.holds(
    "where the other says 0, each stream is summed with it, normed, and in its own block"
)
def silent(layer_class, case):
    layer, (words, image) = made(case, layer_class), streams(case)
    with torch.no_grad():
        layer.cross_attention.output.weight.zero_()
        layer.cross_attention.output.bias.zero_()
    expected = Streams(
        alone(layer.words_block, norm(layer.cross_norm, words)),
        alone(layer.image_block, norm(layer.cross_norm, image)),
    )
    judged(case, case.call(layer, words, image), expected)


@exercise.holds("with the same block for both, exchanging the streams exchanges the results")
def fair(layer_class, case):
    layer, (words, image) = made(case, layer_class), streams(case)
    layer.image_block.load_state_dict(layer.words_block.state_dict())
    one, other = case.call(layer, words, image), case.call(layer, image, words)
    judged(case, other, Streams(one[1], one[0]))


@exercise.holds("each asks the other as it came in")
def equals_torch(layer_class, case):
    layer, given = made(case, layer_class), streams(case)
    judged(case, case.call(layer, *given), oracle(layer, *given))


@exercise.holds("nobody sees padding words: not the image, and not the words")
def words_masked(layer_class, case):
    layer, given = made(case, layer_class), (*streams(case), masks(case)[0])
    judged(case, case.call(layer, *given), oracle(layer, *given))


@exercise.holds("nobody sees padding of the image: not the words, and not the image")
def image_masked(layer_class, case):
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


@exercise.holds("words, image and masks are left as they were")
def unchanged(layer_class, case):
    layer = made(case, layer_class)
    with torch.no_grad():  # where += would not be refused
        case.call(layer, *streams(case), *masks(case))
    case.unchanged()
