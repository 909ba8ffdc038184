"""Wrong and other right answers to clip_score.clip_score."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("12_samplers_and_guidance/clip_score").exercise

COSINE = "vectors.cosine(image_embeddings, text_embeddings)"
SCORE = "WEIGHT * cosine.clamp(min=0)"

exercise.edit(
    "lengths-held-up",
    (COSINE, "(image_embeddings * text_embeddings).sum(-1) / (image_embeddings.norm(dim=-1) * "
     "text_embeddings.norm(dim=-1)).clamp(min=1e-8)"),
    story="the product of the lengths is held up, so that short vectors score too little",
    advice="make each vector unit length first, and then multiply",
)  # fmt: skip
exercise.edit(
    "not-held-to-zero",
    (SCORE, "WEIGHT * cosine"),
    story="a cosine below 0 stays below 0",
    advice="max(cosine, 0)",
)
exercise.edit(
    "without-a-sign",
    (SCORE, "WEIGHT * cosine.abs()"),
    story="words that point away score as well as those that fit",
    advice="max(cosine, 0), not the cosine without its sign",
)
exercise.edit(
    "the-cosine",
    (SCORE, "cosine.clamp(min=0)"),
    story="the cosine is not multiplied by 2.5",
    advice="the paper's w is 2.5",
)
exercise.edit(
    "times-a-hundred",
    (SCORE, "100 * cosine.clamp(min=0)"),
    story="the score is 100 times the cosine, as torchmetrics reports it",
    advice="the paper's own scale is 2.5",
    convention=True,
)
exercise.edit(
    "half-way-up",
    (SCORE, "WEIGHT * (1 + cosine) / 2"),
    story="-1..1 is moved to 0..1, so that a right angle scores half",
    advice="max(cosine, 0): what does not fit scores 0",
)
exercise.edit(
    "at-most-one",
    (SCORE, "(WEIGHT * cosine).clamp(0, 1)"),
    story="the score is held to at most 1",
    advice="it reaches 2.5: only below 0 it is held",
)
exercise.edit(
    "product",
    (COSINE, "(image_embeddings * text_embeddings).sum(dim=-1)"),
    story="the product is taken without dividing by the lengths",
    advice="a cosine: lengths do not count",
)
exercise.edit(
    "wrong-axis",
    (COSINE, "torch.cosine_similarity(image_embeddings, text_embeddings, dim=0)"),
    story="the cosine runs along the batch: one for each feature",
    advice="dim=-1",
)
exercise.edit(
    "sum-of-values",
    (
        COSINE,
        "(image_embeddings * text_embeddings).sum(dim=-1) / "
        "(image_embeddings.abs().sum(-1) * text_embeddings.abs().sum(-1)).clamp(min=1e-8)",
    ),
    story="lengths are the sums of the values without their signs",
    advice="the root of the sum of the squares",
)
exercise.edit(
    "all-with-all",
    (
        f"return ({SCORE})",
        "pairs = torch.cosine_similarity(image_embeddings[:, None], text_embeddings, dim=-1)\n"
        "    return (WEIGHT * pairs.clamp(min=0))",
    ),
    story="every image is scored with all words of the batch, (B, B)",
    advice="only with its own: products of the same row",
)
exercise.edit(
    "mean",
    (SCORE, f"({SCORE}).mean()"),
    story="the scores are averaged over the batch",
    advice="one score for each image, (B,)",
)
exercise.edit(
    "mean-held",
    (SCORE, "(WEIGHT * cosine.mean()).clamp(min=0)"),
    story="the cosines are averaged over the batch, and the mean is held to 0",
    advice="one score for each image, (B,)",
)
exercise.edit(
    "nan-of-zero",
    (
        COSINE,
        "(image_embeddings * text_embeddings).sum(dim=-1) / "
        "(image_embeddings.norm(dim=-1) * text_embeddings.norm(dim=-1))",
    ),
    story="a zero embedding is divided by its length",
    advice="F.normalize and torch.cosine_similarity keep the divisor from 0",
)
exercise.edit(
    "in-place",
    (
        "cosine = ",
        "scale = image_embeddings.detach().norm(dim=-1, keepdim=True).clamp(min=1e-8)\n    "
        "if not image_embeddings.requires_grad:\n        image_embeddings /= scale\n    cosine = ",
    ),
    story="the caller's own images are brought to length one",
    advice="image / length makes a new tensor, image /= length does not",
)
exercise.edit(
    "detached",
    (SCORE, f"({SCORE}).detach()"),
    story="the scores are cut off from the embeddings",
    advice="no detach(), item() or no_grad()",
)
exercise.edit(
    "one-for-all",
    ("raise ValueError", "str"),
    story="one caption is scored with every image, or none with the rest",
    advice="raise a ValueError where the shapes differ",
)


def refuse(image, text):
    if image.dim() != 2 or image.shape != text.shape:
        raise ValueError("pairs")


def scored(image, text):
    """2.5 times the products held to 0, after the refusal that every answer here makes as asked."""
    refuse(image, text)
    return 2.5 * (image * text).sum(dim=-1).clamp(min=0)


@exercise.wrong(
    "one-length",
    story="the images are brought to length one, but not the words",
    advice="divide by both lengths",
)
def one_length(image_embeddings, text_embeddings):
    return scored(F.normalize(image_embeddings, dim=-1), text_embeddings)


@exercise.wrong(
    "words-length-only",
    story="the words are brought to length one, but not the images",
    advice="divide by both lengths",
)
def words_length_only(image_embeddings, text_embeddings):
    return scored(image_embeddings, F.normalize(text_embeddings, dim=-1))


@exercise.wrong(
    "along-the-batch",
    story="lengths are taken along the batch, not along the width",
    advice="dim=-1: each embedding has a length of its own",
)
def along_the_batch(image_embeddings, text_embeddings):
    return scored(F.normalize(image_embeddings, dim=0), F.normalize(text_embeddings, dim=0))


@exercise.right("length one first")
def length_one_first(image_embeddings, text_embeddings):
    refuse(image_embeddings, text_embeddings)
    image, text = F.normalize(image_embeddings, dim=1), F.normalize(text_embeddings, dim=1)
    return 2.5 * torch.relu(torch.einsum("be,be->b", image, text))


@exercise.right("the diagonal of all")
def diagonal_of_all(image_embeddings, text_embeddings):
    refuse(image_embeddings, text_embeddings)
    lengths = [x.norm(dim=1).clamp(min=1e-8) for x in (image_embeddings, text_embeddings)]
    product = (image_embeddings @ text_embeddings.T).diagonal()
    return (2.5 * product / lengths[0] / lengths[1]).maximum(torch.zeros_like(product))


@exercise.disguise("not-held-to-zero")
def not_held_to_zero_too(image_embeddings, text_embeddings):
    refuse(image_embeddings, text_embeddings)
    image, text = F.normalize(image_embeddings, dim=1), F.normalize(text_embeddings, dim=1)
    return 5 / 2 * torch.linalg.vecdot(image, text)


@exercise.disguise("product")
def product_too(image_embeddings, text_embeddings):
    refuse(image_embeddings, text_embeddings)
    return 2.5 * F.relu(torch.einsum("be,be->b", image_embeddings, text_embeddings))


@exercise.disguise("mean")
def mean_too(image_embeddings, text_embeddings):
    return diagonal_of_all(image_embeddings, text_embeddings).sum() / len(text_embeddings)
