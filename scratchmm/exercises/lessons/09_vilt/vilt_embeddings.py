"""Exercise vilt.ViLTEmbeddings: words and patches in one stream, with vectors of modalities."""

import functools

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
    hints="""
        1. Width 1: words embedded as 1 and 2, CLS and a patch as 3 and 4, the vector of words 10,
           that of images 20. The stream is [11, 12, 23, 24]. If the second word is padding, the
           mask is [True, False, True, True]; without any padding it is None.
        2. One transformer encodes words and patches alike, so every token gets the vector of its
           modality: one for all words, one for the whole image, its CLS too. The types of sentences
           are another thing: they belong to BERT.
        3. self.words gives (B, T, D), self.image (B, 1 + N, D) and its mask (B, 1 + N), None without
           pixels. Add row WORD of the table of modalities to the one, row IMAGE to the other; join
           along the tokens. If one of the two masks is None, True stands for it; if both, None.
        4. words = self.words(tokens, types) + self.modalities.weight[WORD]; image, seen =
           self.image(images, pixels); stream = torch.cat([words, image +
           self.modalities.weight[IMAGE]], dim=1); the mask is torch.cat([real, seen], dim=1)
    """,
)

CONFIG = ViLTConfig(
    vocabulary=11, context_length=9, image_size=12, patch_size=3, width=10, depth=1, heads=2,
    hidden=7, channels=2, modalities=3,
)  # fmt: skip


def made(case, factory, types=True):
    """One for images of 4 x 4 patches, with copied weights; the vectors of modalities may be 0."""
    case.sizes.update(N=16, D=10)
    module = case.build(factory, CONFIG)
    if not types:
        with torch.no_grad():
            module.modalities.weight.zero_()
    return module


def given(case, height=12, width=12):
    """Texts and images."""
    return case.integers(0, 11, B=3, T=5), case.normal(B=3, C=2, height=height, width=width)


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
    result = case.call(made(case, embeddings), *given(case))
    pair = isinstance(result, tuple) and len(result) == 2
    case.true(pair, "a pair of stream and mask", type(result).__name__)
    case.shape(result[0], "B T+1+N D")
    case.true(result[1] is None, "None where neither words nor pixels are masked", result[1])


@exercise.holds("words stand first, then CLS and the patches")
def words_first(embeddings, case):
    module, (tokens, images) = made(case, embeddings, types=False), given(case)
    stream, _ = case.call(module, tokens, images)
    expected = torch.cat([embedded(module, tokens), module.image(images, None)[0]], dim=1)
    case.equal(stream, expected, "the stream, where the vectors of modalities are 0")


@exercise.holds("each word gets the first vector of modalities, CLS and each patch the second")
def told(embeddings, case):
    module, bare = made(case, embeddings), made(case, embeddings, types=False)
    tokens, images = given(case, 6, 15)
    stream, without = case.call(module, tokens, images)[0], case.call(bare, tokens, images)[0]
    kinds = module.modalities.weight[torch.tensor([0] * 5 + [1] * 11)]
    case.equal(stream - without, kinds.expand(3, 16, 10), "what is added to each token")


@exercise.holds("the types of sentences reach the words; they are not the modalities")
def sentences(embeddings, case):
    module, (tokens, images) = made(case, embeddings), given(case)
    types = case.named(torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [0, 0, 0, 0, 1]]), "B T")
    stream, _ = case.call(module, tokens, images, types=types)
    case.equal(stream, one_by_one(module, tokens, images, types=types))


def whole(module, case, real=None, pixels=None):
    """Stream and mask against the oracle."""
    tokens, images = given(case)
    stream, mask = case.call(module, tokens, images, real=real, pixels=pixels)
    image, seen = module.image(images, pixels)
    everything = torch.ones(3, 5 + image.shape[1], dtype=torch.bool)
    if real is not None:
        everything[:, :5] &= real
    if seen is not None:
        everything[:, 5:] &= seen
    case.equal(mask, everything, "which tokens are real")
    case.equal(stream, one_by_one(module, tokens, images, pixels))


@exercise.holds("where both are padded, the mask has that of the words, then that of the image")
def padded_both(embeddings, case):
    whole(made(case, embeddings), case, *padded(case))


@exercise.holds("where only words or only pixels are padded, all of the other is real")
def padded_one(embeddings, case):
    real, pixels = padded(case)
    whole(made(case, embeddings), case, real=real)
    whole(made(case, embeddings), case, pixels=pixels)


@exercise.holds("the gradients reach words, images and both vectors of modalities")
def gradients(embeddings, case):
    module, (tokens, images) = made(case, embeddings).double(), given(case, 6, 15)
    right = functools.partial(one_by_one, module)
    case.gradients(lambda *given: module(*given)[0], right, tokens, images, parameters=module)


exercise.mistakes("""
    class-token-without: the patches get the vector of images, but the image's CLS does not
    - image = image + self.modalities.weight[IMAGE]
    + image = torch.cat([image[:, :1], image[:, 1:] + self.modalities.weight[IMAGE]], dim=1)
    > CLS belongs to the image: add the vector to all 1 + N tokens

    sentences-taken-for-modalities: the types of sentences pick the vector of the modality
    - words = self.words(tokens, types) + self.modalities.weight[WORD]
    + words = self.words(tokens) + self.modalities(tokens * 0 if types is None else types)
    > types go to self.words; every word gets row WORD

    before-the-norm: the vector of words is added before BERT's layer norm
    - words = self.words(tokens, types) + self.modalities.weight[WORD]
    + inside, types = self.words, torch.zeros_like(tokens) if types is None else types
    + x = inside.tokens(tokens) + inside.types(types) + inside.positions[: tokens.shape[1]]
    + words = inside.norm(x + self.modalities.weight[WORD])
    > self.words ends with its norm; the vector of the modality comes after

    tokens-of-their-own: the vectors of modalities stand in the stream as tokens of their own
    - words = self.words(tokens, types) + self.modalities.weight[WORD]
    + words = torch.cat([self.modalities(tokens[:, :1] * 0), self.words(tokens, types)], dim=1)
    - image = image + self.modalities.weight[IMAGE]
    + image = torch.cat([self.modalities(tokens[:, :1] * 0 + 1), image], dim=1)
    > add them to every token: the stream has T + 1 + N

    mask-only-if-both: if only one of the two is padded, there is no mask at all
    - if real is None and seen is None:
    + if real is None or seen is None:
    > None only if both are None; else True stands for the one that is missing

    nothing-masked-all-true [convention]: where nothing is masked the mask is all True, not None
    - return stream, None
    + return stream, torch.ones(stream.shape[:2], dtype=torch.bool)
    > it means the same, but None lets attention run without a mask
""")

exercise.slips("""
    weight[IMAGE] => weight[WORD]
    weight[IMAGE] => weight[-1]
    + self.modalities.weight[WORD] => * self.modalities.weight[WORD] ;;
        + self.modalities.weight[IMAGE] => * self.modalities.weight[IMAGE]
    weight[WORD] => weight[WORD].detach() ;; weight[IMAGE] => weight[IMAGE].detach()
    weight[IMAGE] => weight[torch.tensor([WORD] + [IMAGE] * (image.shape[1] - 1))]
    torch.cat([real, seen], dim=1) => ~torch.cat([real, seen], dim=1)
    return stream, None => return stream
    return stream, torch.cat([real, seen], dim=1) => mask = torch.cat([real, seen], dim=1);
        return stream * mask[..., None], mask
    self.words(tokens, types) + self.modalities.weight[WORD] => self.words(tokens, types) ;;
        image + self.modalities.weight[IMAGE] => image ;; stream = torch.cat([words, image], dim=1)
        => stream = torch.cat([words, image], dim=1);
        stream = stream + self.modalities(torch.arange(stream.shape[1]).clamp(max=1))
    weight[WORD] => weight[IMAGE] ;; weight[IMAGE] => weight[WORD]
    self.words(tokens, types) + self.modalities.weight[WORD] => self.words(tokens, types) ;;
        image + self.modalities.weight[IMAGE] => image
""")


def masks(tokens, image, real, seen):
    """Both masks in one, if there is one."""
    if real is None and seen is None:
        return None
    real = tokens >= 0 if real is None else real
    seen = image[..., 0].isfinite() if seen is None else seen
    return torch.cat([real, seen], dim=1)


@exercise.right("a table of kinds", method="forward")
def table_of_kinds(self, tokens, images, real=None, pixels=None, types=None):
    words, (image, seen) = self.words(tokens, types), self.image(images, pixels)
    kinds = tokens.new_tensor([0] * words.shape[1] + [1] * image.shape[1])
    stream = torch.cat([words, image], dim=-2) + self.modalities(kinds)
    return stream, masks(tokens, image, real, seen)


@exercise.right("one modality after the other", method="forward")
def one_by_one_added(self, tokens, images, real=None, pixels=None, types=None):
    words, (image, seen) = self.words(tokens, types), self.image(images, pixels)
    of_words, of_image, *_ = self.modalities.weight
    stream = torch.cat([words.add(of_words), image.add(of_image)], dim=1)
    return stream, masks(tokens, image, real, seen)
