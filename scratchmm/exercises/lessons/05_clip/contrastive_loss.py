"""Exercise loss.contrastive_loss: of all texts in the batch, which belongs to this image?"""

import math

import torch
import torch.nn.functional as F

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
    hints="""
        1. Two pairs, all four vectors the same: every image fits both texts alike, so the right
           text has probability 1/2 and the loss is log 2 = 0.69, whatever the scale. Two pairs at
           right angles, scale 1: the logits are [[1, 0], [0, 1]] and the loss log(1 + 1/e) = 0.31.
        2. It is classification twice over. For each image the texts of the batch are the classes,
           for each text the images are: the same matrix, along its rows and along its columns. The
           lesson does it by hand.
        3. First refuse shapes that differ. image (B, D) times text transposed (D, B) gives logits
           (B, B), times the scale. The right class of row i is i. One cross-entropy of the logits,
           one of the logits transposed; the result is the mean of the two, a scalar.
        4. logits = scale * image_embeddings @ text_embeddings.T; partner =
           torch.arange(len(logits)); return (F.cross_entropy(logits, partner) +
           F.cross_entropy(logits.T, partner)) / 2, behind a ValueError where the shapes differ
    """,
)


def pairs(case, B=5, D=3):
    """Unit vectors in which partners are more alike than strangers, but not by much."""
    image = case.normal(B=B, D=D)
    text = F.normalize(image + case.normal(B=B, D=D), dim=1)
    return case.named(F.normalize(image, dim=1), "B D"), case.named(text, "B D")


def slow(image, text, scale):
    """The oracle: one image and one text at a time."""
    losses = []
    for left, right in ((image, text), (text, image)):
        for i, one in enumerate(left):
            scores = torch.stack([scale * (one * other).sum() for other in right])
            losses.append(torch.logsumexp(scores, 0) - scores[i])
    return torch.stack(losses).mean()


@exercise.holds("the result is a single number")
def shape(contrastive_loss, case):
    case.shape(case.call(contrastive_loss, *pairs(case), 3.0), "")


@exercise.holds("when all embeddings are the same the loss is log B, at every scale")
def log_of_batch(contrastive_loss, case):
    one = F.normalize(case.normal(D=3), dim=0)
    same = case.named(one.expand(5, 3).clone(), "B D")
    for scale in (1.0, 7.0):
        case.equal(case.call(contrastive_loss, same, same, scale), torch.tensor(math.log(5)))


@exercise.holds("partners alike, strangers at right angles: log(1 + (B - 1) exp(-scale))")
def right_angles(contrastive_loss, case):
    turned = case.named(torch.linalg.qr(case.normal(B=5, D=5))[0], "B D")
    expected = torch.tensor(math.log(1 + 4 * math.exp(-2.0)))
    case.equal(case.call(contrastive_loss, turned, turned, 2.0), expected)


@exercise.holds("the loss is the mean of -log p(own text) and -log p(own image), one by one")
def by_loops(contrastive_loss, case):
    image, text = pairs(case)
    case.equal(case.call(contrastive_loss, image, text, 3.0), slow(image, text, 3.0))


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


@exercise.holds("another number of texts, or another width, is refused with a ValueError")
def unequal(contrastive_loss, case):
    for rows, width in ((3, 4), (5, 3), (5, 1)):
        image, text = case.normal(B=5, D=4), case.normal(T=rows, E=width)
        case.refuses(ValueError, contrastive_loss, image, text, 2.0)


@exercise.holds("the embeddings are left as they were")
def unchanged(contrastive_loss, case):
    case.call(contrastive_loss, *pairs(case), 3.0)
    case.unchanged()


@exercise.holds("the gradients reach images, texts and the scale")
def gradients(contrastive_loss, case):
    case.gradients(contrastive_loss, slow, *pairs(case), case.named(torch.tensor(2.5), ""))


exercise.mistakes("""
    rows-only: the cross-entropy is taken over the texts of each image, never the reverse
    - return (image_loss + text_loss) / 2
    + return image_loss
    > one more cross-entropy, of the logits transposed, and the mean of the two

    divided-by-scale [convention]: the similarities are divided by the scale
    - scale * image_embeddings
    + image_embeddings / scale
    > scale is 1 / temperature: multiply by it (one divides by a temperature)

    scale-is-a-logarithm [convention]: the exponential of the scale is used
    - scale * image_embeddings
    + torch.as_tensor(scale).clamp(max=50).exp() * image_embeddings
    > scale is 1 / temperature itself: the model has taken the exponential already

    softmax-twice: the softmax is taken twice: cross_entropy takes logits and does its own
    - image_loss = F.cross_entropy(logits, partner)
    - text_loss = F.cross_entropy(logits.T, partner)
    + image_loss = F.cross_entropy(logits.softmax(1), partner)
    + text_loss = F.cross_entropy(logits.T.softmax(1), partner)
    > hand the logits themselves to cross_entropy

    matrix-made-symmetric: the matrix and its transpose are averaged, then one cross-entropy is taken
    - return (image_loss + text_loss) / 2
    + return F.cross_entropy((logits + logits.T) / 2, partner)
    > average the two losses, not the two matrices: that mixes the scores of other pairs

    right-answer-left-out [convention]: the right answer is missing in the denominator, as in
    decoupled contrastive learning
    - return (image_loss + text_loss) / 2
    + others = logits - torch.full((len(logits),), torch.inf).diag()
    + return ((others.logsumexp(0) + others.logsumexp(1)) / 2 - logits.diagonal()).mean()
    > a softmax runs over all B answers, the right one among them

    yes-or-no [convention]: each pair is classified by itself with a sigmoid, as SigLIP does
    - return (image_loss + text_loss) / 2
    + sign = 2 * torch.eye(len(logits), dtype=logits.dtype) - 1
    + return -F.logsigmoid(sign * logits).sum() / len(logits)
    > CLIP's loss is a softmax: the texts of a batch compete for an image

    normalised-again: the embeddings are normalized once more, which changes their gradient too
    - logits = scale * image_embeddings @ text_embeddings.T
    + image, text = F.normalize(image_embeddings, dim=-1), F.normalize(text_embeddings, dim=-1)
    + logits = scale * image @ text.T
    > CLIP has done so already: the formula takes the vectors as they are

    unsafe-exp: exp is taken of the raw logits, which overflows at a large scale
    - return (image_loss + text_loss) / 2
    + raw = logits.exp()
    + right = raw.diagonal()
    + return -((right / raw.sum(0)).log() + (right / raw.sum(1)).log()).mean() / 2
    > cross_entropy, log_softmax and logsumexp subtract the largest logit first
""")

exercise.slips("""
    (image_loss + text_loss) / 2 => text_loss
    (image_loss + text_loss) / 2 => -(image_loss + text_loss) / 2
    return (image_loss => return len(logits) * (image_loss
    (image_loss + text_loss) / 2 => (logits.logsumexp(0) + logits.logsumexp(1)) / 2 -
        logits.diagonal()
    torch.arange(len(logits), device=logits.device) => torch.zeros(len(logits)).long()
    torch.arange(len(logits), device=logits.device) => torch.arange(len(logits)).roll(-1)
    text_embeddings.T => image_embeddings.T
    image_embeddings.shape != text_embeddings.shape => len(image_embeddings) != len(text_embeddings)
    (image_loss + text_loss) / 2 =>
        -logits.flatten().log_softmax(0).view_as(logits).diagonal().mean()
    return (image_loss => image_embeddings.data *= scale; return (image_loss
    image_embeddings.shape != text_embeddings.shape =>
        image_embeddings.shape[1] != text_embeddings.shape[1] ;;
        F.cross_entropy(logits, partner) => -logits.log_softmax(1).diagonal().mean() ;;
        F.cross_entropy(logits.T, partner) => -logits.log_softmax(0).diagonal().mean()
""")


@exercise.right("logsumexp")
def with_logsumexp(image_embeddings, text_embeddings, scale):
    if image_embeddings.shape != text_embeddings.shape:
        raise ValueError(f"{image_embeddings.shape} is not {text_embeddings.shape}")
    scores = torch.einsum("id,jd->ij", image_embeddings, text_embeddings) * scale
    return ((scores.logsumexp(0) + scores.logsumexp(1)) / 2 - scores.diagonal()).mean()


@exercise.right("one cross-entropy of 2 B classifications")
def stacked(image_embeddings, text_embeddings, scale):
    if image_embeddings.shape != text_embeddings.shape:
        raise ValueError("unequal")
    logits = image_embeddings @ text_embeddings.T * scale
    partner = torch.arange(len(logits), device=logits.device).repeat(2)
    return F.cross_entropy(torch.cat([logits, logits.T]), partner)
