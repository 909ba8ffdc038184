"""Exercise vilt.ViLTEmbeddings: words and patches become one stream, each told what it is."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import Exercise
from scratchmm.fusion.vilt import ViLTConfig

exercise = Exercise(
    id="vilt.ViLTEmbeddings",
    order=10,
    target="scratchmm.fusion.vilt:ViLTEmbeddings",
    title="One stream of two kinds",
    goal="words, then the image, each with the vector of its modality; and which tokens are real",
    minutes=20,
    difficulty=2,
    section="One stream",
    methods={
        "forward": "words, then the image, each plus the vector of its modality; and a mask "
        "(B, T + 1 + N) of what is real, or None where nothing is masked"
    },
    hints=(
        "Take width 1, words that come out as 1 and 2, an image's CLS and patch that come out as 3 "
        "and 4, the vector of words 10 and that of images 20. The stream is [11, 12, 23, 24]. If "
        "the second word is padding and all of the image is there, the mask is "
        "[True, False, True, True]; without any padding there is no mask, but None.",
        "From here on one transformer reads words and patches alike. It can't see where one ends and "
        "the other begins, so every token is told which modality it belongs to, as every word is "
        "told its place. That is a vector for all words, and one for the whole image, its CLS too. "
        "The sentence types of words are another thing: they belong to BERT's embeddings.",
        "self.words gives (B, T, D), from tokens and sentence types. self.image gives (B, 1 + N, D) "
        "and its mask (B, 1 + N), which is None without pixels. Add row WORD of the table of "
        "modalities to the one, row IMAGE to the other; join along the tokens. If one of the two "
        "masks is None, True stands for it; if both are, the answer is None.",
        "words = self.words(tokens, types) + self.modalities.weight[WORD]; image, seen = "
        "self.image(images, pixels); stream = torch.cat([words, image + "
        "self.modalities.weight[IMAGE]], dim=1); the mask is torch.cat([real, seen], dim=1), with "
        "torch.ones(..., dtype=torch.bool) for the one that is None",
    ),
)

CONFIG = ViLTConfig(
    vocabulary=11,
    context_length=9,
    image_size=12,
    patch_size=3,
    width=10,
    depth=1,
    heads=2,
    hidden=7,
    channels=2,
    modalities=3,
)


def made(case, factory, types=True):
    """One for images of 4 x 4 patches, with copied weights; the vectors of modalities may be 0."""
    case.sizes.update(N=16, D=10)
    module = case.build(factory, CONFIG)
    if not types:
        with torch.no_grad():
            module.modalities.weight.zero_()
    return module


def texts(case):
    return case.integers(0, 11, B=3, T=5)


def some_images(case, height=12, width=12):
    return case.normal(B=3, C=2, height=height, width=width)


def padded(case):
    """Masks: words of which 5, 2 and 4 are real, and pixels of images that fill less and less."""
    real = torch.arange(5) < torch.tensor([[5], [2], [4]])
    pixels = torch.zeros(3, 12, 12, dtype=torch.bool)
    for row, (height, width) in enumerate(((6, 12), (6, 9), (3, 6))):
        pixels[row, :height, :width] = True
    return case.named(real, "B T"), case.named(pixels, "B height width")


def embedded(module, tokens, types=None):
    """The words as BERT embeds them, by torch's own functions."""
    words = module.words
    types = torch.zeros_like(tokens) if types is None else types
    x = F.embedding(tokens, words.tokens.weight) + F.embedding(types, words.types.weight)
    x = x + words.positions[: tokens.shape[1]]
    return F.layer_norm(x, x.shape[-1:], words.norm.weight, words.norm.bias, words.norm.eps)


def one_by_one(module, tokens, images, pixels=None, types=None):
    """The oracle: every token by itself."""
    words, (image, _) = embedded(module, tokens, types), module.image(images, pixels)
    of_words, of_images, _ = module.modalities.weight
    rows = []
    for word, patch in zip(words, image, strict=True):
        rows.append(torch.stack([*(x + of_words for x in word), *(x + of_images for x in patch)]))
    return torch.stack(rows)


@exercise.holds("T words and 1 + N tokens of the image make one stream; nothing masked is None")
def shape(embeddings, case):
    result = case.call(made(case, embeddings), texts(case), some_images(case))
    pair = isinstance(result, tuple) and len(result) == 2
    case.true(pair, "a pair of stream and mask", type(result).__name__)
    case.shape(result[0], "B T+1+N D")
    case.true(result[1] is None, "None where neither words nor pixels are masked", result[1])


@exercise.holds("words stand first, then CLS and the patches")
def words_first(embeddings, case):
    module, tokens, images = made(case, embeddings, types=False), texts(case), some_images(case)
    stream, _ = case.call(module, tokens, images)
    expected = torch.cat([embedded(module, tokens), module.image(images, None)[0]], dim=1)
    case.equal(stream, expected, "the stream, where the vectors of modalities are 0")


@exercise.holds("each word gets the first vector of modalities, CLS and each patch the second")
def told(embeddings, case):
    module, bare = made(case, embeddings), made(case, embeddings, types=False)
    tokens, images = texts(case), some_images(case, 6, 15)
    stream, without = case.call(module, tokens, images)[0], case.call(bare, tokens, images)[0]
    kinds = module.modalities.weight[torch.tensor([0] * 5 + [1] * 11)]
    case.equal(stream - without, kinds.expand(3, 16, 10), "what is added to each token")


@exercise.holds("every token is what it was plus the vector of its modality, one by one")
def each(embeddings, case):
    module, tokens, images = made(case, embeddings), texts(case), some_images(case, 15, 6)
    stream, _ = case.call(module, tokens, images)
    case.equal(stream, one_by_one(module, tokens, images))


@exercise.holds("the types of sentences reach the words; they are not the modalities")
def sentences(embeddings, case):
    module, tokens, images = made(case, embeddings), texts(case), some_images(case)
    types = case.named(torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [0, 0, 0, 0, 1]]), "B T")
    stream, _ = case.call(module, tokens, images, types=types)
    case.equal(stream, one_by_one(module, tokens, images, types=types))


def whole(module, case, real=None, pixels=None):
    """Stream and mask against the oracle."""
    tokens, images = texts(case), some_images(case)
    stream, mask = case.call(module, tokens, images, real=real, pixels=pixels)
    image, seen = module.image(images, pixels)
    everything = torch.ones(3, 5 + image.shape[1], dtype=torch.bool)
    if real is not None:
        everything[:, :5] &= real
    if seen is not None:
        everything[:, 5:] &= seen
    case.equal(mask, everything, "which tokens are real")
    case.equal(stream, one_by_one(module, tokens, images, pixels))


@exercise.holds("where only words are padded, all of the image is real")
def padded_words(embeddings, case):
    whole(made(case, embeddings), case, real=padded(case)[0])


@exercise.holds("where only pixels are padded, all words are real")
def padded_pixels(embeddings, case):
    whole(made(case, embeddings), case, pixels=padded(case)[1])


@exercise.holds("where both are padded, the mask has that of the words, then that of the image")
def padded_both(embeddings, case):
    whole(made(case, embeddings), case, *padded(case))


@exercise.holds("the gradients reach words, images and both vectors of modalities")
def gradients(embeddings, case):
    module, tokens, images = made(case, embeddings).double(), texts(case), some_images(case, 6, 15)
    case.gradients(
        lambda words, pixels: module(words, pixels)[0],
        lambda words, pixels: one_by_one(module, words, pixels),
        tokens,
        images,
        parameters=module,
    )
