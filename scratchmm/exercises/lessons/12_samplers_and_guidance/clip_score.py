"""Exercise clip_score.clip_score: how well does an image match its text?"""

import math

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="clip_score.clip_score",
    order=70,
    target="scratchmm.metrics.clip_score:clip_score",
    title="How well an image matches its prompt",
    goal="2.5 times the cosine of each image with its own text, and 0 where that is below 0",
    minutes=10,
    difficulty=1,
    section="Does it follow the prompt",
    hints="""
        1. Image [3, 4] and text [1, 0]: lengths 5 and 1, product 3, so the cosine is 0.6 and the
           score 1.5. Text [-1, 0] gives the cosine -0.6 and the score 0. Text [2, 0] scores 1.5 as
           well: lengths do not count.
        2. CLIP is trained to embed an image and its caption in the same direction, so the angle
           between them measures how well they match, without a reference. Beyond a right angle
           nothing is worse than no match at all. The 2.5 only spreads the numbers.
        3. Refuse shapes that differ. Each image (B, E) with the text of the same row: products
           summed over E, over both lengths, (B,). Below 0 becomes 0, times 2.5. A zero embedding has
           no direction: its length must not be divided by.
        4. cosine = (F.normalize(image_embeddings, dim=-1) * F.normalize(text_embeddings, dim=-1))
           .sum(dim=-1), after a ValueError where the shapes differ or are not (B, E); return 2.5 *
           cosine.clamp(min=0)
    """,
)


def pairs(case, B=5, E=4):
    """Images, and texts that match them better or worse; some not at all."""
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


@exercise.holds("an image [3, 4] with the text [2, 0] scores 2.5 * 0.6, with [-1, 0] it scores 0")
def by_hand(clip_score, case):
    image = case.named(torch.tensor([[3.0, 4.0], [3.0, 4.0]]), "B E")
    text = case.named(torch.tensor([[2.0, 0.0], [-1.0, 0.0]]), "B E")
    case.equal(case.call(clip_score, image, text), torch.tensor([1.5, 0.0]))


@exercise.holds("each image is scored with its own text: (B,)")
def own_words(clip_score, case):
    image, text = pairs(case)
    case.equal(case.call(clip_score, image, text), slow(image, text))


@exercise.holds("short and long vectors score alike: only the direction counts")
def lengths(clip_score, case):
    image, text = pairs(case)
    expected = slow(image, text)
    for scale in (1e-5, 90.0):
        shorter = case.named(scale * image, "B E"), case.named(scale * text, "B E")
        case.equal(case.call(clip_score, *shorter), expected)


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


@exercise.holds("the gradients reach images and texts")
def gradients(clip_score, case):
    image = case.normal(B=3, E=4)
    text = case.named(image + case.normal(B=3, E=4, scale=0.3), "B E")

    def oracle(image, text):
        cosine = (image * text).sum(1) / (image.square().sum(1) * text.square().sum(1)).sqrt()
        return 2.5 * torch.relu(cosine)

    case.gradients(clip_score, oracle, image, text)


@exercise.holds("other shapes than two alike (B, E) are refused with a ValueError")
def refused(clip_score, case):
    image = case.normal(B=5, E=4)
    for text in (case.normal(B=1, E=4), case.normal(B=3, E=4), case.normal(B=5, E=3)):
        case.refuses(ValueError, clip_score, image, text)
    image, text = case.normal(B=5, T=3, E=4), case.normal(B=5, T=3, E=4)
    case.refuses(ValueError, clip_score, image, text)


exercise.mistakes("""
    lengths-held-up: the product of the lengths has a lower bound: short vectors score too little
    - cosine = vectors.cosine(image_embeddings, text_embeddings)
    + lengths = image_embeddings.norm(dim=-1) * text_embeddings.norm(dim=-1)
    + cosine = (image_embeddings * text_embeddings).sum(-1) / lengths.clamp(min=1e-8)
    > make each vector unit length first, and then multiply

    without-a-sign: opposite directions score as well as those that match
    - cosine.clamp(min=0)
    + cosine.abs()
    > max(cosine, 0), not the cosine without its sign

    times-a-hundred [convention]: the score is 100 times the cosine, as torchmetrics reports it
    - WEIGHT * cosine.clamp(min=0)
    + 100 * cosine.clamp(min=0)
    > the paper's own scale is 2.5

    half-way-up: -1..1 is moved to 0..1, so that a right angle scores half
    - WEIGHT * cosine.clamp(min=0)
    + WEIGHT * (1 + cosine) / 2
    > max(cosine, 0): what does not match scores 0

    product: the product is not divided by the lengths
    - cosine = vectors.cosine(image_embeddings, text_embeddings)
    + cosine = (image_embeddings * text_embeddings).sum(dim=-1)
    > a cosine: lengths do not count

    nan-of-zero: a zero embedding is divided by its length
    - cosine = vectors.cosine(image_embeddings, text_embeddings)
    + lengths = image_embeddings.norm(dim=-1) * text_embeddings.norm(dim=-1)
    + cosine = (image_embeddings * text_embeddings).sum(-1) / lengths
    > F.normalize and torch.cosine_similarity never divide by 0

    in-place: the caller's own images are normalized
    - cosine = vectors.cosine(image_embeddings, text_embeddings)
    + with torch.no_grad():
    +     image_embeddings /= image_embeddings.norm(dim=-1, keepdim=True).clamp(min=1e-8)
    + cosine = vectors.cosine(image_embeddings, text_embeddings)
    > image / length makes a new tensor, image /= length does not
""")

exercise.slips("""
    WEIGHT * cosine.clamp(min=0) => (WEIGHT * cosine).clamp(0, 1)
    WEIGHT * cosine.clamp(min=0) => (WEIGHT * cosine.clamp(min=0)).mean()
    WEIGHT * cosine.clamp(min=0) => (WEIGHT * cosine.mean()).clamp(min=0)
    vectors.cosine(image_embeddings, text_embeddings) =>
        (vectors.unit_vectors(text_embeddings) * image_embeddings).sum(dim=-1)
    vectors.cosine(image_embeddings, text_embeddings) =>
        (vectors.unit_vectors(image_embeddings.T) * vectors.unit_vectors(text_embeddings.T)).sum(0)
    vectors.cosine(image_embeddings, text_embeddings) =>
        (image_embeddings * text_embeddings).sum(dim=-1) /
        (image_embeddings.abs().sum(-1) * text_embeddings.abs().sum(-1)).clamp(min=1e-8)
    vectors.cosine(image_embeddings, text_embeddings) => vectors.cosine(image_embeddings.T,
        text_embeddings.T)
    vectors.cosine(image_embeddings, text_embeddings) => (vectors.unit_vectors(image_embeddings) *
        text_embeddings).sum(dim=-1)
    vectors.cosine(image_embeddings, text_embeddings) => vectors.cosine(image_embeddings[:, None],
        text_embeddings)
""")


def refuse(image, text):
    if image.dim() != 2 or image.shape != text.shape:
        raise ValueError("pairs")


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


@exercise.disguise("product")
def product_too(image_embeddings, text_embeddings):
    refuse(image_embeddings, text_embeddings)
    return 2.5 * F.relu(torch.einsum("be,be->b", image_embeddings, text_embeddings))
