"""Exercise loss.contrastive_loss: of all texts in the batch, which belongs to this picture?"""

# mypy: allow-untyped-defs

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="loss.contrastive_loss",
    target="scratchmm.contrastive.loss:contrastive_loss",
    title="The contrastive loss",
    goal="cross-entropy over the rows and over the columns of scale * image text^T, and their mean",
    minutes=20,
    difficulty=2,
    section="The loss on a 4x4 example",
    hints=(
        "Take two pairs, all four vectors the same. Every picture fits both texts alike, so each "
        "right text gets the probability 1/2, and the loss is -log(1/2) = log 2 = 0.69, whatever the "
        "scale. Take two pairs at right angles and scale 1: the logits are [[1, 0], [0, 1]], the "
        "right text gets e / (e + 1), and the loss is log(1 + 1/e) = 0.31.",
        "It is classification twice over. For each picture the texts of the batch are the classes, "
        "and its own text is the right one. For each text the pictures are the classes. Both ask the "
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
    """The oracle: one picture and one text at a time."""
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


@exercise.holds("the loss is the mean of -log p(own text) and -log p(own picture), one by one")
def by_loops(contrastive_loss, case):
    image, text = pairs(case)
    case.equal(case.call(contrastive_loss, image, text, 3.0), slow(image, text, 3.0))


@exercise.holds("exchanging pictures and texts changes nothing")
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


@exercise.holds("5 pictures and 3 texts are refused with a ValueError")
def unequal(contrastive_loss, case):
    image, text = case.normal(B=5, D=4), case.normal(B=3, D=4)
    case.refuses(ValueError, contrastive_loss, image, text, 2.0)


@exercise.holds("the embeddings are left as they were")
def unchanged(contrastive_loss, case):
    case.call(contrastive_loss, *pairs(case), 3.0)
    case.unchanged()


@exercise.holds("the gradients reach pictures, texts and the scale")
def gradients(contrastive_loss, case):
    image, text = pairs(case)
    scale = case.named(torch.tensor(2.5), "")
    case.gradients(contrastive_loss, slow, image, text, scale)


def both_ways(logits: Tensor, partner: Tensor | None = None, **options) -> tuple[Tensor, Tensor]:
    """The two cross-entropies with their knobs out, so that a wrong answer is one knob turned."""
    partner = torch.arange(len(logits)) if partner is None else partner
    rows = F.cross_entropy(logits, partner, **options)
    return rows, F.cross_entropy(logits.T, partner, **options)


def similarities(image: Tensor, text: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """The matrix, after the refusal that every answer here makes as asked."""
    if image.shape != text.shape:
        raise ValueError(f"{tuple(image.shape)} and {tuple(text.shape)}")
    return scale * image @ text.T


@exercise.wrong(
    "rows-only",
    story="only the rows are asked: which text belongs to this picture, but never the reverse",
    advice="one more cross-entropy, of the logits transposed, and the mean of the two",
)
def rows_only(image_embeddings, text_embeddings, scale):
    return both_ways(similarities(image_embeddings, text_embeddings, scale))[0]


@exercise.wrong(
    "columns-only",
    story="only the columns are asked: which picture belongs to this text, but never the reverse",
    advice="one more cross-entropy, of the logits as they are, and the mean of the two",
)
def columns_only(image_embeddings, text_embeddings, scale):
    return both_ways(similarities(image_embeddings, text_embeddings, scale))[1]


@exercise.wrong(
    "rows-twice",
    story="both cross-entropies look along the same axis: the second needs the logits transposed",
    advice="logits.T, or the softmax over the other axis",
    twin="rows-only",
)
def rows_twice(image_embeddings, text_embeddings, scale):
    logits = similarities(image_embeddings, text_embeddings, scale)
    return (both_ways(logits)[0] + both_ways(logits)[0]) / 2


@exercise.wrong(
    "sum-of-both",
    story="the two losses are added, but not divided by 2",
    advice="the loss is the mean of the two, so that it is log B when everything looks alike",
)
def sum_of_both(image_embeddings, text_embeddings, scale):
    return sum(both_ways(similarities(image_embeddings, text_embeddings, scale)))


@exercise.wrong(
    "sum-over-batch",
    story="the losses of the pairs are added up, so that the loss grows with the batch",
    advice="the mean over the pairs, not reduction='sum'",
)
def sum_over_batch(image_embeddings, text_embeddings, scale):
    logits = similarities(image_embeddings, text_embeddings, scale)
    return sum(both_ways(logits, reduction="sum")) / 2


@exercise.wrong(
    "a-loss-each",
    story="every pair keeps a loss of its own",
    advice="take the mean over the pairs: training needs a single number",
)
def a_loss_each(image_embeddings, text_embeddings, scale):
    logits = similarities(image_embeddings, text_embeddings, scale)
    return sum(both_ways(logits, reduction="none")) / 2


@exercise.wrong(
    "no-scale",
    story="the similarities are not multiplied by the scale",
    advice="cosines lie between -1 and 1, too close together for a softmax: multiply by the scale",
)
def no_scale(image_embeddings, text_embeddings, scale):
    return sum(both_ways(similarities(image_embeddings, text_embeddings))) / 2


@exercise.wrong(
    "divided-by-scale",
    story="the similarities are divided by the scale",
    advice="scale is 1 / temperature: multiply by it (one divides by a temperature)",
    convention=True,
)
def divided_by_scale(image_embeddings, text_embeddings, scale):
    return sum(both_ways(similarities(image_embeddings, text_embeddings, 1 / scale))) / 2


@exercise.wrong(
    "scale-is-a-logarithm",
    story="the exponential of the scale is used",
    advice="the model hands over 1 / temperature itself; it has taken the exponential already",
    convention=True,
)
def scale_is_a_logarithm(image_embeddings, text_embeddings, scale):
    exponential = torch.as_tensor(scale).clamp(max=50).exp()
    return sum(both_ways(similarities(image_embeddings, text_embeddings, exponential))) / 2


@exercise.wrong(
    "scale-detached",
    story="the scale gets no gradient, so the temperature never learns",
    advice="use the scale as it comes: no float(), no item(), no detach()",
)
def scale_detached(image_embeddings, text_embeddings, scale):
    return (
        sum(
            both_ways(
                similarities(image_embeddings, text_embeddings, torch.as_tensor(scale).detach())
            )
        )
        / 2
    )


@exercise.wrong(
    "one-tower-learns",
    story="no gradient reaches the texts",
    advice="both towers learn: no detach() on either side",
)
def one_tower_learns(image_embeddings, text_embeddings, scale):
    return sum(both_ways(similarities(image_embeddings, text_embeddings.detach(), scale))) / 2


@exercise.wrong(
    "first-is-right",
    story="the right answer of every row is said to be number 0",
    advice="pair i is the right answer for row i: torch.arange(B)",
)
def first_is_right(image_embeddings, text_embeddings, scale):
    logits = similarities(image_embeddings, text_embeddings, scale)
    return sum(both_ways(logits, torch.zeros(len(logits), dtype=torch.int64))) / 2


@exercise.wrong(
    "neighbour-is-right",
    story="the right answers are shifted by one",
    advice="pair i is the right answer for row i, counted from 0: torch.arange(B)",
)
def neighbour_is_right(image_embeddings, text_embeddings, scale):
    logits = similarities(image_embeddings, text_embeddings, scale)
    return sum(both_ways(logits, torch.arange(1, len(logits) + 1) % len(logits))) / 2


@exercise.wrong(
    "softmax-twice",
    story="the softmax is taken twice: cross_entropy takes raw scores and does its own",
    advice="hand the logits themselves to cross_entropy",
)
def softmax_twice(image_embeddings, text_embeddings, scale):
    logits = similarities(image_embeddings, text_embeddings, scale)
    partner = torch.arange(len(logits))
    rows, columns = logits.softmax(1), logits.T.softmax(1)
    return (F.cross_entropy(rows, partner) + F.cross_entropy(columns, partner)) / 2


@exercise.wrong(
    "softmax-over-everything",
    story="one softmax runs over the whole matrix",
    advice="each row is a question of its own, with B answers; so is each column",
)
def softmax_over_everything(image_embeddings, text_embeddings, scale):
    logits = similarities(image_embeddings, text_embeddings, scale)
    return -logits.flatten().log_softmax(0).view_as(logits).diagonal().mean()


@exercise.wrong(
    "sign-forgotten",
    story="the log-probability itself is returned, so training would make it worse",
    advice="the loss is minus the log-probability of the right answer",
)
def sign_forgotten(image_embeddings, text_embeddings, scale):
    return -sum(both_ways(similarities(image_embeddings, text_embeddings, scale))) / 2


@exercise.wrong(
    "all-answers",
    story="the mean is taken over the whole matrix, as if every text were right for every picture",
    advice="only the diagonal counts: the probability of the right answer",
)
def all_answers(image_embeddings, text_embeddings, scale):
    logits = similarities(image_embeddings, text_embeddings, scale)
    return -(logits.log_softmax(0) + logits.log_softmax(1)).mean() / 2


@exercise.wrong(
    "matrix-made-symmetric",
    story="the matrix and its transpose are averaged first, and one cross-entropy is taken of that",
    advice="average the two losses, not the two matrices: that mixes strangers' scores",
)
def matrix_made_symmetric(image_embeddings, text_embeddings, scale):
    logits = similarities(image_embeddings, text_embeddings, scale)
    return both_ways((logits + logits.T) / 2)[0]


@exercise.wrong(
    "only-pictures",
    story="pictures are compared with pictures: the texts are not in the matrix",
    advice="the matrix is picture times text: image_embeddings @ text_embeddings.T",
)
def only_pictures(image_embeddings, text_embeddings, scale):
    similarities(image_embeddings, text_embeddings)
    return sum(both_ways(similarities(image_embeddings, image_embeddings, scale))) / 2


@exercise.wrong(
    "right-answer-left-out",
    story="the right answer is missing below the fraction, as in decoupled contrastive learning",
    advice="a softmax runs over all B answers, the right one among them",
    convention=True,
)
def right_answer_left_out(image_embeddings, text_embeddings, scale):
    logits = similarities(image_embeddings, text_embeddings, scale)
    others = logits.masked_fill(torch.eye(len(logits), dtype=torch.bool), -math.inf)
    fraction = others.logsumexp(0) + others.logsumexp(1)
    return (fraction / 2 - logits.diagonal()).mean()


@exercise.wrong(
    "yes-or-no",
    story="each cell is judged by itself by a sigmoid, as SigLIP does",
    advice="CLIP's loss is a softmax: the texts of a batch compete for a picture",
    convention=True,
)
def yes_or_no(image_embeddings, text_embeddings, scale):
    logits = similarities(image_embeddings, text_embeddings, scale)
    sign = 2 * torch.eye(len(logits), dtype=logits.dtype) - 1
    return -F.logsigmoid(sign * logits).sum() / len(logits)


@exercise.wrong(
    "normalised-again",
    story="the embeddings are made unit length once more, which changes their gradient too",
    advice="CLIP has done so already: the formula takes the vectors as they are",
)
def normalised_again(image_embeddings, text_embeddings, scale):
    image, text = F.normalize(image_embeddings, dim=-1), F.normalize(text_embeddings, dim=-1)
    return sum(both_ways(similarities(image, text, scale))) / 2


@exercise.wrong(
    "unsafe-exp",
    story="exp is taken of the raw scores, which overflows at a large scale",
    advice="cross_entropy, log_softmax and logsumexp subtract the largest score first",
)
def unsafe_exp(image_embeddings, text_embeddings, scale):
    raw = similarities(image_embeddings, text_embeddings, scale).exp()
    right = raw.diagonal()
    return -((right / raw.sum(0)).log() + (right / raw.sum(1)).log()).mean() / 2


@exercise.wrong(
    "unequal-accepted",
    story="5 pictures and 3 texts get a loss, although two pictures have no partner",
    advice="compare the shapes first, and raise a ValueError that names both",
)
def unequal_accepted(image_embeddings, text_embeddings, scale):
    logits = scale * image_embeddings @ text_embeddings.T
    rows, columns = logits.log_softmax(1).diagonal(), logits.log_softmax(0).diagonal()
    return -(rows + columns).mean() / 2


@exercise.wrong(
    "scales-in-place",
    story="the caller's pictures are multiplied in place",
    advice="image *= scale changes the tensor that was passed in; write scale * image",
)
def scales_in_place(image_embeddings, text_embeddings, scale):
    similarities(image_embeddings, text_embeddings)
    logits = similarities(image_embeddings.clone(), text_embeddings, scale)
    with torch.no_grad():
        image_embeddings *= scale
    return sum(both_ways(logits)) / 2


@exercise.disguise("rows-only")
def rows_by_hand(image_embeddings, text_embeddings, scale):
    scores = torch.einsum("id,jd->ij", image_embeddings, text_embeddings) * scale
    if len(image_embeddings) != len(text_embeddings):
        raise ValueError("unequal")
    return (scores.logsumexp(1) - scores.diagonal()).mean()


@exercise.disguise("sum-of-both")
def sum_by_hand(image_embeddings, text_embeddings, scale):
    if len(image_embeddings) != len(text_embeddings):
        raise ValueError("unequal")
    scores = text_embeddings @ image_embeddings.T * scale
    right = scores.diagonal()
    return (scores.logsumexp(0) + scores.logsumexp(1) - 2 * right).mean()


@exercise.right("logsumexp")
def with_logsumexp(image_embeddings, text_embeddings, scale):
    if image_embeddings.shape != text_embeddings.shape:
        raise ValueError(f"{image_embeddings.shape} is not {text_embeddings.shape}")
    scores = torch.einsum("id,jd->ij", image_embeddings, text_embeddings) * scale
    return ((scores.logsumexp(0) + scores.logsumexp(1)) / 2 - scores.diagonal()).mean()


@exercise.right("one cross-entropy of 2 B questions")
def stacked(image_embeddings, text_embeddings, scale):
    if len(image_embeddings) != len(text_embeddings):
        raise ValueError("unequal")
    logits = image_embeddings @ text_embeddings.T * scale
    partner = torch.arange(len(logits)).repeat(2)
    return F.cross_entropy(torch.cat([logits, logits.T]), partner)


@exercise.right("one-hot targets")
def one_hot(image_embeddings, text_embeddings, scale):
    if image_embeddings.shape != text_embeddings.shape:
        raise ValueError("unequal")
    logits = scale * (image_embeddings @ text_embeddings.mT)
    right = torch.eye(len(logits), dtype=logits.dtype)
    picked = logits.log_softmax(0) * right + logits.log_softmax(1) * right
    return -picked.sum() / (2 * len(logits))
