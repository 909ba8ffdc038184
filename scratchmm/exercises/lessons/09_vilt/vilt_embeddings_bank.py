"""Wrong and other right answers to vilt.ViLTEmbeddings."""

import torch
from torch import nn

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("09_vilt/vilt_embeddings").exercise

WORDS = " + self.modalities.weight[WORD]"
IMAGES = "image + self.modalities.weight[IMAGE]"

exercise.edit(
    "no-types",
    (WORDS, ""),
    (IMAGES, "image"),
    story="no vectors of modalities are added: nothing tells words from patches",
    advice="add row WORD of self.modalities.weight to the words, row IMAGE to the image",
)
exercise.edit(
    "one-type-for-all",
    ("self.modalities.weight[IMAGE]", "self.modalities.weight[WORD]"),
    story="words and patches get the same vector, that of words",
    advice="the image has a vector of its own, row IMAGE",
)
exercise.edit(
    "types-exchanged",
    ("self.modalities.weight[WORD]", "self.modalities.weight[IMAGE]"),
    (IMAGES, "image + self.modalities.weight[WORD]"),
    story="words get the vector of images, images that of words",
    advice="row 0 is for words, row 1 for images; published weights have learned it so",
)
exercise.edit(
    "the-last-row",
    ("self.modalities.weight[IMAGE]", "self.modalities.weight[-1]"),
    story="the image gets the last row of the table, which here has a third for a second image",
    advice="row IMAGE, which is 1",
)
exercise.edit(
    "only-words-told",
    (IMAGES, "image"),
    story="only words get a vector of their modality",
    advice="add row IMAGE to the image's tokens",
)
exercise.edit(
    "only-images-told",
    (WORDS, ""),
    story="only the image gets a vector of its modality",
    advice="add row WORD to the words",
)
exercise.edit(
    "multiplied",
    (WORDS, " * self.modalities.weight[WORD]"),
    (IMAGES, "image * self.modalities.weight[IMAGE]"),
    story="tokens are multiplied by the vectors of modalities",
    advice="add them, as positions are added",
)
exercise.edit(
    "class-token-untold",
    ("stream = ", "image[:, 0] -= self.modalities.weight[IMAGE]\n        stream = "),
    story="the patches get the vector of images, but the image's CLS does not",
    advice="CLS belongs to the image: add the vector to all 1 + N tokens",
)
exercise.edit(
    "class-token-a-word",
    (
        "stream = ",
        "image[:, 0] += self.modalities.weight[WORD] - self.modalities.weight[IMAGE]\n"
        "        stream = ",
    ),
    story="the image's CLS gets the vector of words",
    advice="it is no word: all 1 + N tokens of the image get row IMAGE",
)
exercise.edit(
    "image-first",
    ("torch.cat([words, image], dim=1)", "torch.cat([image, words], dim=1)"),
    story="the image stands before the words",
    advice="words first: the pooled vector is read from token 0, the words' [CLS]",
)
exercise.edit(
    "sentences-taken-for-modalities",
    (
        "self.words(tokens, types) + self.modalities.weight[WORD]",
        "self.words(tokens) + self.modalities(tokens * 0 if types is None else types)",
    ),
    story="the types of sentences pick the vector of the modality",
    advice="types go to self.words; every word gets row WORD",
)
exercise.edit(
    "sentences-forgotten",
    ("self.words(tokens, types)", "self.words(tokens)"),
    story="the types of sentences do not reach the words",
    advice="self.words(tokens, types)",
)
exercise.edit(
    "types-cut-off",
    (WORDS, " + self.modalities.weight[WORD].detach()"),
    (IMAGES, "image + self.modalities.weight[IMAGE].detach()"),
    story="the vectors of modalities are cut off from the result, so they are never learned",
    advice="no detach and no .data",
)
exercise.edit(
    "mask-forgotten",
    ("return stream, torch.cat([real, seen], dim=1)", "return stream, None"),
    story="there is never a mask",
    advice="None only where neither words nor pixels are masked",
)
exercise.edit(
    "mask-the-other-way",
    ("return stream, torch.cat([real, seen], dim=1)", "return stream, ~torch.cat([real, seen], 1)"),
    story="the mask is True on padding",
    advice="True means real, as in both masks that you are given",
)
exercise.edit(
    "mask-image-first",
    ("torch.cat([real, seen], dim=1)", "torch.cat([seen, real], dim=1)"),
    story="the mask has the image first, the stream has the words first",
    advice="join the masks in the order of the tokens",
)
exercise.edit(
    "mask-of-words-alone",
    (
        "seen = everything[:, tokens.shape[1] :] if seen is None else seen",
        "seen = everything[:, tokens.shape[1] :]",
    ),
    story="all of the image counts as real, its padding too",
    advice="self.image returns which of its tokens are real: join it to the words'",
)
exercise.edit(
    "mask-of-images-alone",
    (
        "everything[:, : tokens.shape[1]] if real is None else check_real(real, tokens)",
        "everything[:, : tokens.shape[1]]",
    ),
    story="all words count as real, padding too",
    advice="real says which words are: join it to the image's",
)
exercise.edit(
    "mask-only-if-both",
    ("if real is None and seen is None", "if real is None or seen is None"),
    story="if only one of the two is padded, there is no mask at all",
    advice="None only if both are None; else True stands for the one that is missing",
)
exercise.edit(
    "pixels-forgotten",
    ("self.image(images, pixels)", "self.image(images, None)"),
    story="pixels are not handed on: padding is embedded as if it were the image",
    advice="self.image(images, pixels)",
)
exercise.edit(
    "nothing-masked-all-true",
    ("return stream, None", "return stream, torch.ones(stream.shape[:2], dtype=torch.bool)"),
    story="where nothing is masked a mask of True is returned, not None",
    advice="it says the same, but None lets attention run without a mask",
    convention=True,
)
exercise.edit(
    "padding-erased",
    (
        "return stream, torch.cat([real, seen], dim=1)",
        "mask = torch.cat([real, seen], dim=1)\n        return stream * mask[..., None], mask",
    ),
    story="tokens of padding are set to 0",
    advice="leave them as they are: the mask keeps others from looking at them",
)
exercise.edit(
    "only-the-stream",
    ("return stream, None", "return stream"),
    story="only the stream is returned where there is no mask",
    advice="always return two things: the stream, and the mask or None",
)


def masks(self, stream, tokens, real, seen):
    """Both masks in one, if there is one."""
    if real is None and seen is None:
        return None
    mask = torch.ones(stream.shape[:2], dtype=torch.bool, device=stream.device)
    if real is not None:
        mask[:, : tokens.shape[1]] = real
    if seen is not None:
        mask[:, tokens.shape[1] :] = seen
    return mask


@exercise.wrong(
    "before-the-norm",
    story="the vector of words is added before BERT's layer norm",
    advice="self.words is finished with its norm; the vector of the modality comes after",
    method="forward",
)
def before_the_norm(self, tokens, images, real=None, pixels=None, types=None):
    inside = self.words
    x = inside.tokens(tokens) + inside.types(torch.zeros_like(tokens) if types is None else types)
    words = inside.norm(x + inside.positions[: tokens.shape[1]] + self.modalities.weight[0])
    image, seen = self.image(images, pixels)
    stream = torch.cat([words, image + self.modalities.weight[1]], dim=1)
    return stream, masks(self, stream, tokens, real, seen)


@exercise.wrong(
    "tokens-of-their-own",
    story="the vectors of modalities stand in the stream as tokens, before words and image",
    advice="add them to every token: the stream has T + 1 + N",
    method="forward",
)
def tokens_of_their_own(self, tokens, images, real=None, pixels=None, types=None):
    image, _ = self.image(images, pixels)
    parts = []
    for kind, x in zip(self.modalities.weight, (self.words(tokens, types), image)):
        parts += [kind.expand(len(tokens), 1, -1), x]
    return torch.cat(parts, dim=1), None


@exercise.wrong(
    "added-along-the-width",
    story="words and image are joined along the width, not along the tokens",
    advice="torch.cat(..., dim=1): axis 0 is the batch, axis 1 the tokens, axis 2 the width",
    method="forward",
)
def added_along_the_width(self, tokens, images, real=None, pixels=None, types=None):
    image, _ = self.image(images, pixels)
    words = self.words(tokens, types) + self.modalities.weight[0]
    return torch.cat([words, image + self.modalities.weight[1]], dim=2), None


@exercise.wrong(
    "positions-in-place-of-types",
    story="the table of modalities is read by place: the first token gets row 0, all others row 1",
    advice="what counts is whether a token is a word, not where it stands",
    method="forward",
)
def positions_in_place_of_types(self, tokens, images, real=None, pixels=None, types=None):
    image, seen = self.image(images, pixels)
    stream = torch.cat([self.words(tokens, types), image], dim=1)
    kinds = torch.arange(stream.shape[1]).clamp(max=1)
    return stream + self.modalities(kinds), masks(self, stream, tokens, real, seen)


@exercise.right("a table of kinds", method="forward")
def table_of_kinds(self, tokens, images, real=None, pixels=None, types=None):
    words, (image, seen) = self.words(tokens, types), self.image(images, pixels)
    kinds = tokens.new_tensor([0] * words.shape[1] + [1] * image.shape[1])
    stream = torch.cat([words, image], dim=-2) + self.modalities(kinds)
    return stream, masks(self, stream, tokens, real, seen)


@exercise.right("written into zeros", method="forward")
def written_into_zeros(self, tokens, images, real=None, pixels=None, types=None):
    words, (image, seen) = self.words(tokens, types), self.image(images, pixels)
    cut = words.shape[1]
    stream = words.new_zeros(len(words), cut + image.shape[1], words.shape[2])
    stream[:, :cut], stream[:, cut:] = words, image
    stream[:, :cut] += self.modalities(torch.zeros_like(tokens))
    stream[:, cut:] += self.modalities.weight[1]
    return stream, masks(self, stream, tokens, real, seen)


@exercise.disguise("types-exchanged", method="forward")
def types_exchanged_too(self, tokens, images, real=None, pixels=None, types=None):
    words, (image, seen) = self.words(tokens, types), self.image(images, pixels)
    kinds = torch.tensor([1] * words.shape[1] + [0] * image.shape[1])
    stream = torch.cat([words, image], dim=1) + nn.functional.embedding(
        kinds, self.modalities.weight
    )
    return stream, masks(self, stream, tokens, real, seen)


@exercise.disguise("class-token-untold", method="forward")
def class_token_untold_too(self, tokens, images, real=None, pixels=None, types=None):
    words, (image, seen) = self.words(tokens, types), self.image(images, pixels)
    of_words, of_images = self.modalities.weight[:2]
    patches = image[:, 1:] + of_images
    stream = torch.cat([words + of_words, image[:, :1], patches], dim=1)
    return stream, masks(self, stream, tokens, real, seen)
