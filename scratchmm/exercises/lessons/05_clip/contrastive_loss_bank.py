"""Wrong and other right answers to loss.contrastive_loss."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("05_clip/contrastive_loss").exercise


def both_ways(
    logits: Tensor, partner: Tensor | None = None, reduction: str = "mean"
) -> tuple[Tensor, Tensor]:
    """The two cross-entropies with their knobs out, so that a wrong answer is one knob turned."""
    partner = torch.arange(len(logits)) if partner is None else partner
    rows = F.cross_entropy(logits, partner, reduction=reduction)
    return rows, F.cross_entropy(logits.T, partner, reduction=reduction)


def similarities(image: Tensor, text: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """The matrix, after the refusal that every answer here makes as asked."""
    if image.shape != text.shape:
        raise ValueError(f"{tuple(image.shape)} and {tuple(text.shape)}")
    return scale * image @ text.T


@exercise.wrong(
    "rows-only",
    story="only the rows are asked: which text belongs to this image, but never the reverse",
    advice="one more cross-entropy, of the logits transposed, and the mean of the two",
)
def rows_only(image_embeddings, text_embeddings, scale):
    return both_ways(similarities(image_embeddings, text_embeddings, scale))[0]


@exercise.wrong(
    "columns-only",
    story="only the columns are asked: which image belongs to this text, but never the reverse",
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


exercise.edit(
    "sum-of-both",
    ("(image_loss + text_loss) / 2", "image_loss + text_loss"),
    story="the two losses are added, but not divided by 2",
    advice="the loss is the mean of the two, so that it is log B when everything looks alike",
)


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


exercise.edit(
    "no-scale",
    ("scale * image_embeddings", "image_embeddings"),
    story="the similarities are not multiplied by the scale",
    advice="cosines lie between -1 and 1, too close together for a softmax: multiply by the scale",
)
exercise.edit(
    "divided-by-scale",
    ("scale * image_embeddings", "image_embeddings / scale"),
    story="the similarities are divided by the scale",
    advice="scale is 1 / temperature: multiply by it (one divides by a temperature)",
    convention=True,
)


@exercise.wrong(
    "scale-is-a-logarithm",
    story="the exponential of the scale is used",
    advice="the model hands over 1 / temperature itself; it has taken the exponential already",
    convention=True,
)
def scale_is_a_logarithm(image_embeddings, text_embeddings, scale):
    exponential = torch.as_tensor(scale).clamp(max=50).exp()
    return sum(both_ways(similarities(image_embeddings, text_embeddings, exponential))) / 2


exercise.edit(
    "scale-detached",
    ("scale * image_embeddings", "torch.as_tensor(scale).detach() * image_embeddings"),
    story="the scale gets no gradient, so the temperature never learns",
    advice="use the scale as it comes: no float(), no item(), no detach()",
)
exercise.edit(
    "one-tower-learns",
    ("@ text_embeddings.T", "@ text_embeddings.detach().T"),
    story="no gradient reaches the texts",
    advice="both towers learn: no detach() on either side",
)
exercise.edit(
    "first-is-right",
    ("torch.arange(len(logits), device", "torch.zeros(len(logits), dtype=torch.int64, device"),
    story="the right answer of every row is said to be number 0",
    advice="pair i is the right answer for row i: torch.arange(B)",
)
exercise.edit(
    "neighbour-is-right",
    ("device=logits.device)", "device=logits.device).roll(-1)"),
    story="the right answers are shifted by one",
    advice="pair i is the right answer for row i, counted from 0: torch.arange(B)",
)


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
    "matrix-made-symmetric",
    story="the matrix and its transpose are averaged first, and one cross-entropy is taken of that",
    advice="average the two losses, not the two matrices: that mixes strangers' scores",
)
def matrix_made_symmetric(image_embeddings, text_embeddings, scale):
    logits = similarities(image_embeddings, text_embeddings, scale)
    return both_ways((logits + logits.T) / 2)[0]


exercise.edit(
    "only-images",
    ("@ text_embeddings.T", "@ image_embeddings.T"),
    story="images are compared with images: the texts are not in the matrix",
    advice="the matrix is image times text: image_embeddings @ text_embeddings.T",
)


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
    advice="CLIP's loss is a softmax: the texts of a batch compete for an image",
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
    story="5 images and 3 texts get a loss, although two images have no partner",
    advice="compare the shapes first, and raise a ValueError that names both",
)
def unequal_accepted(image_embeddings, text_embeddings, scale):
    similarities(image_embeddings[:1], text_embeddings[:1])  # other widths are refused
    logits = scale * image_embeddings @ text_embeddings.T
    rows, columns = logits.log_softmax(1).diagonal(), logits.log_softmax(0).diagonal()
    return -(rows + columns).mean() / 2


exercise.edit(
    "widths-accepted",
    ("if image_embeddings.shape != text_embeddings.shape:",
     "if len(image_embeddings) != len(text_embeddings):"),
    story="it does not refuse vectors of different widths, only another number of them",
    advice="compare the whole shapes, and raise a ValueError that names both",
)  # fmt: skip


@exercise.wrong(
    "scales-in-place",
    story="the caller's images are multiplied in place",
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
    if image_embeddings.shape != text_embeddings.shape:
        raise ValueError("unequal")
    logits = image_embeddings @ text_embeddings.T * scale
    partner = torch.arange(len(logits), device=logits.device).repeat(2)
    return F.cross_entropy(torch.cat([logits, logits.T]), partner)


@exercise.right("one-hot targets")
def one_hot(image_embeddings, text_embeddings, scale):
    if image_embeddings.shape != text_embeddings.shape:
        raise ValueError("unequal")
    logits = scale * (image_embeddings @ text_embeddings.mT)
    right = torch.eye(len(logits), dtype=logits.dtype, device=logits.device)
    picked = logits.log_softmax(0) * right + logits.log_softmax(1) * right
    return -picked.sum() / (2 * len(logits))
