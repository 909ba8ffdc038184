"""Exercise bimodal.TwoStreamLayer: words and image attend to each other, and neither goes first."""

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
    title="Two streams that attend to each other",
    goal="each stream attends to the other, as both came in; sum, norm, and then its own block",
    minutes=25,
    difficulty=3,
    section="Two streams",
    needs=("cross_modal.CrossModalAttention", "transformer.TransformerBlock"),
    methods={
        "forward": "words attend to the image and the image to the words, both as they came in; "
        "sum and norm; then each its own block"
    },
    hints="""
        1. One word 1, one patch 10, and let attention return what the other is. Then the word
           becomes 1 + 10 = 11 and the patch 10 + 1 = 11 (before the norm). If the patch becomes 21,
           it has attended to the new word: one direction goes first.
        2. Both directions share one attention and one norm, as in LXMERT's published code; then
           each stream has its own block. A mask hides one stream's tokens wherever they are keys.
        3. Both directions first, into two new names: words (B, T, D) to image with the image's
           mask, image (B, N, D) to words with the words' mask. Then each stream plus its attended
           values, normalised. Then words_block with the words' mask (by name: a block's second
           argument is the mask, attention's is the context), image_block with the image's.
        4. seen = self.cross_attention(words, image, image_mask); said =
           self.cross_attention(image, words, words_mask); words = self.words_block(
           self.cross_norm(words + seen), mask=words_mask), and the image alike; return
           Streams(words, image)
    """,
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
    words = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 1]]).bool()
    image = torch.tensor([[0, 1, 1, 0, 1], [1, 1, 1, 1, 0]]).bool()
    return case.named(words[:, None, None], "B 1 1 T"), case.named(image[:, None, None], "B 1 1 N")


def norm(layer, x):
    return F.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, layer.eps)


def alone(block, x, mask=None):
    """A post-norm block in torch's own functions."""
    x = norm(block.attention_norm, x + by_torch(block.attention, x, mask=mask)[0])
    expand, contract = block.feed_forward.expand, block.feed_forward.contract
    wide = F.gelu(F.linear(x, expand.weight, expand.bias))
    return norm(block.feed_forward_norm, x + F.linear(wide, contract.weight, contract.bias))


def oracle(layer, words, image, words_mask=None, image_mask=None):
    """Each stream by itself, from what both were."""
    seen = by_torch(layer.cross_attention, words, image, image_mask)[0]
    said = by_torch(layer.cross_attention, image, words, words_mask)[0]
    return Streams(
        alone(layer.words_block, norm(layer.cross_norm, words + seen), words_mask),
        alone(layer.image_block, norm(layer.cross_norm, image + said), image_mask),
    )


def judged(layer, case, *given):
    """Both streams, by name, are those of the oracle."""
    got, expected = case.call(layer, *given), oracle(layer, *given)
    case.true(isinstance(got, Streams), "a Streams(words, image)", got)
    case.equal(got.words, expected.words, "words")
    case.equal(got.image, expected.image, "image")


@exercise.holds("where attention returns 0, each stream is normed and goes through its own block")
def silent(layer_class, case):
    layer = made(case, layer_class)
    with torch.no_grad():
        layer.cross_attention.output.weight.zero_()
        layer.cross_attention.output.bias.zero_()
    judged(layer, case, *streams(case))


@exercise.holds("with the same block for both, exchanging the streams exchanges the results")
def fair(layer_class, case):
    layer, (words, image) = made(case, layer_class), streams(case)
    layer.image_block.load_state_dict(layer.words_block.state_dict())
    one, other = case.call(layer, words, image), case.call(layer, image, words)
    case.equal(tuple(other), tuple(one)[::-1], "the streams, exchanged")


@exercise.holds("each attends to the other as it came in")
def equals_torch(layer_class, case):
    judged(made(case, layer_class), case, *streams(case))


@exercise.holds(
    "nothing attends to padding, of the words or of the image: not its own stream either"
)
def masked(layer_class, case):
    layer, (words, image) = made(case, layer_class), masks(case)
    for given in ((words,), (None, image)):
        judged(layer, case, *streams(case), *given)


@exercise.holds("the gradients reach both streams, through each other, and every parameter")
def gradients(layer_class, case):
    layer = made(case, layer_class).double()

    case.gradients(
        lambda *given: torch.cat(tuple(layer(*given)), dim=1),
        lambda *given: torch.cat(oracle(layer, *given), dim=1),
        *(*streams(case), *masks(case)),
        parameters=layer,
    )


@exercise.holds("words, image and masks are left as they were")
def unchanged(layer_class, case):
    layer = made(case, layer_class)
    with torch.no_grad():  # where += would not be refused
        case.call(layer, *streams(case), *masks(case))
    case.unchanged()


exercise.mistakes("""
    words-go-first: the image attends to the words when these have attended already
    - said = self.cross_attention(image, words, words_mask)
    - words = self.cross_norm(words + seen)
    + words = self.cross_norm(words + seen)
    + said = self.cross_attention(image, words, words_mask)
    > compute both directions before either stream changes

    blocks-first: each stream goes through its own block before it attends to the other
    - seen = self.cross_attention(words, image, image_mask)
    + words = self.words_block(words, mask=words_mask)
    + image = self.image_block(image, mask=image_mask)
    + seen = self.cross_attention(words, image, image_mask)
    - words = self.words_block(words, mask=words_mask)
    - image = self.image_block(image, mask=image_mask)
    > first cross-attention, then its own block

    norm-before [convention]: the streams are normalised before attention, not after the sum
    - seen = self.cross_attention(words, image, image_mask)
    - said = self.cross_attention(image, words, words_mask)
    - words = self.cross_norm(words + seen)
    - image = self.cross_norm(image + said)
    + normed = self.cross_norm(words), self.cross_norm(image)
    + words = words + self.cross_attention(*normed, image_mask)
    + image = image + self.cross_attention(*normed[::-1], words_mask)
    > this layer is post-norm, as LXMERT is: norm(stream + attended values)

    one-block: both streams go through the words' block
    - image = self.image_block(image, mask=image_mask)
    + image = self.words_block(image, mask=image_mask)
    > only the cross-attention and its norm are shared; each stream has a block of its own

    masks-of-the-queries: each stream attends to the other with its own mask
    - seen = self.cross_attention(words, image, image_mask)
    - said = self.cross_attention(image, words, words_mask)
    + seen = self.cross_attention(words, image, words_mask)
    + said = self.cross_attention(image, words, image_mask)
    > a mask hides keys: take the one of the stream that gives keys and values

    no-masks-across: the masks are used within the streams only, not from one to the other
    - seen = self.cross_attention(words, image, image_mask)
    - said = self.cross_attention(image, words, words_mask)
    + seen = self.cross_attention(words, image)
    + said = self.cross_attention(image, words)
    > cross_attention takes the mask of the stream that gives keys and values
""")

exercise.slips("""
    (image, words, words_mask) => (image, self.words_block(
        self.cross_norm(words + seen), mask=words_mask), words_mask)
    (words, image, image_mask) => (words, mask=words_mask) ;;
        (image, words, words_mask) => (image, mask=image_mask)
    (words, image, image_mask) => (image, words, words_mask) ;;
        (image, words, words_mask) => (words, image, image_mask)
    self.cross_norm(words + seen) => words + seen ;; self.cross_norm(image + said) => image + said
    self.cross_norm(words + seen) => words + self.cross_norm(seen) ;;
        self.cross_norm(image + said) => image + self.cross_norm(said)
    self.words_block(words, => self.image_block(words, ;;
        self.image_block(image, => self.words_block(image,
    self.words_block(words, mask=words_mask) => words ;;
        self.image_block(image, mask=image_mask) => image
    (words, mask=words_mask) => (words) ;; (image, mask=image_mask) => (image)
    Streams(words, image) => words, image
    (image, words, words_mask) => (image, words)
    (words, image, image_mask) => (words, image)
    (words + seen) => (seen) ;; (image + said) => (said)
    (words, image, image_mask) => (words, image.detach(), image_mask) ;;
        (image, words, words_mask) => (image, words.detach(), words_mask)
    (words, image, image_mask) => (words, self.cross_norm(
        image + self.cross_attention(image, words, words_mask)), image_mask)
""")


@exercise.right("in one loop", method="forward")
def in_one_loop(self, words, image, words_mask=None, image_mask=None):
    given = {"words": (words, words_mask), "image": (image, image_mask)}
    found = {}
    for name, other in (("image", "words"), ("words", "image")):
        (mine, own_mask), (context, mask) = given[name], given[other]
        joined = self.cross_norm(self.cross_attention(mine, context, mask).add(mine))
        found[name] = getattr(self, f"{name}_block")(joined, own_mask)
    return Streams(**found)


@exercise.right("the image first", method="forward")
def image_first(self, words, image, words_mask=None, image_mask=None):
    def whole(x, context, own, mask, block):
        return block(self.cross_norm(x + self.cross_attention(x, context, mask)), own)

    second = whole(image, words, image_mask, words_mask, self.image_block)
    return Streams(whole(words, image, words_mask, image_mask, self.words_block), second)
