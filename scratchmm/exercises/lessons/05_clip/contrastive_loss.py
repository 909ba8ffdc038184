"""Exercise loss.contrastive_loss: of all texts in the batch, which belongs to this image?"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="loss.contrastive_loss",
    order=10,
    target="scratchmm.contrastive.loss:contrastive_loss",
    title="The contrastive loss",
    goal="cross-entropy over the rows and over the columns of scale * image text^T, and their mean",
    minutes=20,
    difficulty=2,
    section="The loss on a 4x4 example",
    hints=(
        "Take two pairs, all four vectors the same. Every image fits both texts alike, so each "
        "right text gets the probability 1/2, and the loss is -log(1/2) = log 2 = 0.69, whatever the "
        "scale. Take two pairs at right angles and scale 1: the logits are [[1, 0], [0, 1]], the "
        "right text gets e / (e + 1), and the loss is log(1 + 1/e) = 0.31.",
        "It is classification twice over. For each image the texts of the batch are the classes, "
        "and its own text is the right one. For each text the images are the classes. Both ask the "
        "same matrix, once along its rows, once along its columns. The lesson does it by hand.",
        "First refuse shapes that differ. image (B, D) times text transposed (D, B) gives logits "
        "(B, B), times the scale. The right class of row i is i. One cross-entropy of the logits, one "
        "of the logits transposed; the result is the mean of the two, a scalar.",
        "logits = scale * image_embeddings @ text_embeddings.T; partner = torch.arange(len(logits)); "
        "return (F.cross_entropy(logits, partner) + F.cross_entropy(logits.T, partner)) / 2, and "
        "before that a ValueError where the two shapes differ",
    ),
)


def pairs(case: Case, B: int = 5, D: int = 3) -> tuple[Tensor, Tensor]:
    """Unit vectors in which partners are more alike than strangers, but not by much."""
    image = case.normal(B=B, D=D)
    text = F.normalize(image + case.normal(B=B, D=D), dim=1)
    return case.named(F.normalize(image, dim=1), "B D"), case.named(text, "B D")


def slow(image: Tensor, text: Tensor, scale: Tensor | float) -> Tensor:
    """The oracle: one image and one text at a time."""
    count, losses = len(image), []
    for i in range(count):
        to_texts = torch.stack([scale * (image[i] * text[j]).sum() for j in range(count)])
        to_images = torch.stack([scale * (image[j] * text[i]).sum() for j in range(count)])
        for scores in (to_texts, to_images):
            losses.append(torch.logsumexp(scores, 0) - scores[i])
    return torch.stack(losses).mean()


@exercise.holds("the result is a single number")
def shape(contrastive_loss, case):
    case.shape(case.call(contrastive_loss, *pairs(case), 3.0), "")


@exercise.holds("when everything looks alike the loss is log B, at every scale")
def log_of_batch(contrastive_loss, case):
    one = F.normalize(case.normal(D=3), dim=0)
    same = case.named(one.expand(5, 3).clone(), "B D")
    for scale in (1.0, 7.0):
        case.equal(case.call(contrastive_loss, same, same, scale), torch.tensor(math.log(5)))


@exercise.holds("partners alike, strangers at right angles: log(1 + (B - 1) exp(-scale))")
def right_angles(contrastive_loss, case):
    turned = torch.linalg.qr(case.normal(B=5, D=5))[0]
    turned = case.named(turned, "B D")
    expected = torch.tensor(math.log(1 + 4 * math.exp(-2.0)))
    case.equal(case.call(contrastive_loss, turned, turned, 2.0), expected)


@exercise.holds("the loss is the mean of -log p(own text) and -log p(own image), one by one")
def by_loops(contrastive_loss, case):
    image, text = pairs(case)
    case.equal(case.call(contrastive_loss, image, text, 3.0), slow(image, text, 3.0))


@exercise.holds("exchanging images and texts changes nothing")
def symmetric(contrastive_loss, case):
    image, text = pairs(case, B=6, D=4)
    one, other = (
        case.call(contrastive_loss, *both, 4.0) for both in ((image, text), (text, image))
    )
    case.equal(other, one, "with the two exchanged")


@exercise.holds("the order of the pairs changes nothing")
def shuffled(contrastive_loss, case):
    image, text = pairs(case, B=6, D=4)
    order = case.permutation(6)
    one = case.call(contrastive_loss, image, text, 4.0)
    moved = case.named(image[order], "B D"), case.named(text[order], "B D")
    case.equal(case.call(contrastive_loss, *moved, 4.0), one, "in another order")


@exercise.holds("vectors are taken as they are: twice as long counts as twice the scale")
def lengths(contrastive_loss, case):
    image, text = pairs(case)
    longer = case.named(2 * image, "B D")
    case.equal(case.call(contrastive_loss, longer, text, 3.0), slow(image, text, 6.0))


@exercise.holds("a scale of 1000 overflows nowhere")
def huge(contrastive_loss, case):
    image, text = pairs(case)
    got = case.call(contrastive_loss, image, text, 1000.0)
    case.finite(got)
    case.equal(got, slow(image, text, 1000.0))


@exercise.holds("5 images and 3 texts are refused with a ValueError")
def unequal(contrastive_loss, case):
    image, text = case.normal(B=5, D=4), case.normal(B=3, D=4)
    case.refuses(ValueError, contrastive_loss, image, text, 2.0)


@exercise.holds("vectors of different widths are refused with a ValueError")
def widths(contrastive_loss, case):
    for width in (3, 1):
        image, text = case.normal(B=5, D=4), case.normal(B=5, E=width)
        case.refuses(ValueError, contrastive_loss, image, text, 2.0)


@exercise.holds("the embeddings are left as they were")
def unchanged(contrastive_loss, case):
    case.call(contrastive_loss, *pairs(case), 3.0)
    case.unchanged()


@exercise.holds("the gradients reach images, texts and the scale")
def gradients(contrastive_loss, case):
    image, text = pairs(case)
    scale = case.named(torch.tensor(2.5), "")
    case.gradients(contrastive_loss, slow, image, text, scale)
