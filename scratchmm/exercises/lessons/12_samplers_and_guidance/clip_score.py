"""Exercise clip_score.clip_score: does an image show what the words say?"""

import math

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="clip_score.clip_score",
    order=70,
    target="scratchmm.metrics.clip_score:clip_score",
    title="How well an image matches its prompt",
    goal="2.5 times the cosine of each image with its own words, and 0 where that is below 0",
    minutes=10,
    difficulty=1,
    section="Does it follow the prompt",
    hints=(
        "Image [3, 4] and words [1, 0]: lengths 5 and 1, product 3, so the cosine is 0.6 and the "
        "score 1.5. Words [-1, 0] give the cosine -0.6 and the score 0. Words [2, 0] score 1.5 as "
        "well: lengths do not count.",
        "CLIP was trained to point an image and its caption the same way, so the angle between them "
        "says how well they fit: no right answer is needed. Below a right angle nothing fits less "
        "than nothing. The 2.5 only spreads the numbers that come out.",
        "Refuse shapes that differ. Each image (B, E) with the words of the same row: products "
        "summed over E, over both lengths, (B,). Below 0 becomes 0, times 2.5. A zero embedding has "
        "no direction: keep its length from being divided by.",
        "cosine = (F.normalize(image_embeddings, dim=-1) * F.normalize(text_embeddings, dim=-1))"
        ".sum(dim=-1), after a ValueError where the shapes differ or are not (B, E); return 2.5 * "
        "cosine.clamp(min=0)",
    ),
)


def pairs(case, B=5, E=4):
    """Images, and words that fit them better or worse; some do not fit at all."""
    image = case.normal(B=B, E=E)
    text = case.named(image + case.normal(B=B, E=E, scale=0.8), "B E")
    return image, text


def slow(image, text):
    """The oracle, one pair at a time."""
    scores = []
    for a, b in zip(image.tolist(), text.tolist(), strict=True):
        product = sum(x * y for x, y in zip(a, b, strict=True))
        lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
        scores.append(max(2.5 * product / lengths, 0.0))
    return torch.tensor(scores, dtype=image.dtype)


@exercise.holds("an image [3, 4] with the words [1, 0] scores 2.5 * 0.6, the other way round 0")
def by_hand(clip_score, case):
    image = case.named(torch.tensor([[3.0, 4.0], [3.0, 4.0]]), "B E")
    text = case.named(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), "B E")
    case.equal(case.call(clip_score, image, text), torch.tensor([1.5, 0.0]))


@exercise.holds("each image is scored with its own words: (B,)")
def own_words(clip_score, case):
    image, text = pairs(case)
    case.equal(case.call(clip_score, image, text), slow(image, text))


@exercise.holds("image and words that point the same way score 2.5, however long they are")
def lengths(clip_score, case):
    image = case.normal(B=4, E=3)
    longer = case.named(image * torch.tensor([[0.1], [1.0], [7.0], [90.0]]), "B E")
    case.equal(case.call(clip_score, image, longer), torch.full((4,), 2.5))


@exercise.holds("vectors of a length of 0.00001 score what longer ones do")
def short(clip_score, case):
    image, text = pairs(case)
    expected = slow(image, text)
    image, text = case.named(1e-5 * image, "B E"), case.named(1e-5 * text, "B E")
    case.equal(case.call(clip_score, image, text), expected)


@exercise.holds("words that point away score 0, those at a right angle too")
def pointing_away(clip_score, case):
    image = case.normal(B=4, E=3)
    aside = case.named(torch.linalg.cross(image, case.normal(B=4, E=3)), "B E")
    nothing = torch.zeros(4)
    away = case.named(-image, "B E")
    case.each(clip_score, ((image, away), nothing), ((image, aside), nothing))


@exercise.holds("the other pairs of the batch change nothing")
def alone(clip_score, case):
    image, text = pairs(case)
    expected = slow(image, text)
    calls = [((case.named(image[i : i + 1], "B E"), case.named(text[i : i + 1], "B E")),
              expected[i : i + 1]) for i in range(3)]  # fmt: skip
    case.each(clip_score, *calls)


@exercise.holds("a zero embedding scores 0, and is no nan")
def zero(clip_score, case):
    image, text = pairs(case, B=3)
    blank = case.named(image * torch.tensor([[1.0], [0.0], [1.0]]), "B E")
    expected = slow(image, text) * torch.tensor([1.0, 0.0, 1.0])
    case.each(clip_score, ((blank, text), expected), ((text, blank), expected))


@exercise.holds("both embeddings stay as they were")
def unchanged(clip_score, case):
    case.call(clip_score, *pairs(case))
    case.unchanged()


@exercise.holds("the gradients reach images and words")
def gradients(clip_score, case):
    image = case.normal(B=3, E=4)
    text = case.named(image + case.normal(B=3, E=4, scale=0.3), "B E")

    def oracle(image, text):
        cosine = (image * text).sum(1) / (image.square().sum(1) * text.square().sum(1)).sqrt()
        return 2.5 * torch.relu(cosine)

    case.gradients(clip_score, oracle, image, text)


@exercise.holds("as many images as words, or a ValueError")
def refused(clip_score, case):
    image = case.normal(B=5, E=4)
    for text in (case.normal(B=1, E=4), case.normal(B=3, E=4), case.normal(B=5, E=3)):
        case.refuses(ValueError, clip_score, image, text)
    image, text = case.normal(B=5, T=3, E=4), case.normal(B=5, T=3, E=4)
    case.refuses(ValueError, clip_score, image, text)
