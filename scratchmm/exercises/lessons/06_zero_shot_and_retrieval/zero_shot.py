"""Exercise zero_shot.zero_shot: similarities become probabilities."""

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="zero_shot.zero_shot",
    order=20,
    target="scratchmm.contrastive.zero_shot:zero_shot",
    title="Zero-shot probabilities",
    goal="softmax over the classes of scale * image . class",
    minutes=10,
    difficulty=1,
    section="From similarity to probability",
    needs=("zero_shot.class_embeddings",),
    hints=(
        "An image with the cosines 0.3 and 0.2 to two classes. With scale 1 the probabilities are "
        "0.52 and 0.48, with scale 10 they are 0.73 and 0.27, with scale 100 almost 1 and 0. They "
        "always sum to 1 for each image.",
        "It is the softmax of the contrastive loss, with the class sentences as the texts and without "
        "the loss. The scale is what the model learned; it decides how sure the answers are, never "
        "which is the first.",
        "(B, E) times (K, E) transposed gives (B, K), times the scale; softmax over the K classes.",
        "return (scale * image_embeddings @ classes.T).softmax(dim=-1)",
    ),
)


def inputs(case: Case) -> tuple[Tensor, Tensor]:
    """Unit vectors of 3 images and 5 classes."""
    image, classes = case.normal(B=3, E=4), case.normal(K=5, E=4)
    image, classes = F.normalize(image, dim=1), F.normalize(classes, dim=1)
    return case.named(image, "B E"), case.named(classes, "K E")


def slow(image: Tensor, classes: Tensor, scale: Tensor | float) -> Tensor:
    """The oracle: one image at a time, the largest score taken off first."""
    rows = []
    for one in image:
        scores = torch.stack([scale * (one * row).sum() for row in classes])
        shares = (scores - scores.max()).exp()
        rows.append(shares / shares.sum())
    return torch.stack(rows)


@exercise.holds("a row an image, a column a class")
def shape(zero_shot, case):
    case.shape(case.call(zero_shot, *inputs(case), 3.0), "B K")


@exercise.holds("the probabilities of each image sum to 1")
def sums(zero_shot, case):
    got = case.call(zero_shot, *inputs(case), 3.0)
    case.equal(got.sum(dim=1), torch.ones(3), "sums")


@exercise.holds("they are softmax(scale * image . class), over the classes")
def numbers(zero_shot, case):
    image, classes = inputs(case)
    for scale in (3.0, 0.4):
        case.equal(case.call(zero_shot, image, classes, scale), slow(image, classes, scale))


@exercise.holds("an image alone gets the same probabilities as among others")
def alone(zero_shot, case):
    image, classes = inputs(case)
    together = case.call(zero_shot, image, classes, 3.0)
    for row in range(3):
        one = case.named(image[row : row + 1], "B E")
        got = case.call(zero_shot, one, classes, 3.0)
        case.equal(got, together[row : row + 1], f"image {row}")


@exercise.holds("without a scale it is 100")
def default(zero_shot, case):
    image, classes = inputs(case)
    image = case.named(0.02 * image, "B E")  # so that 100 does not saturate
    case.equal(case.call(zero_shot, image, classes), slow(image, classes, 100.0))


@exercise.holds("a scale of 1000 overflows nowhere")
def huge(zero_shot, case):
    image, classes = inputs(case)
    case.equal(case.call(zero_shot, image, classes, 1000.0), slow(image, classes, 1000.0))


@exercise.holds("the inputs are left as they were")
def unchanged(zero_shot, case):
    case.call(zero_shot, *inputs(case), 3.0)
    case.unchanged()


@exercise.holds("the gradients reach images, classes and the scale")
def gradients(zero_shot, case):
    scale = case.named(torch.tensor(2.5), "")
    case.gradients(zero_shot, slow, *inputs(case), scale)


exercise.edit(
    "softmax-over-images",
    ("logits.softmax(dim=-1)", "logits.softmax(dim=0)"),
    story="the softmax runs over the images: they compete for each class",
    advice="each image's row sums to 1: dim=-1",
)
exercise.edit(
    "no-softmax",
    ("logits.softmax(dim=-1)", "logits"),
    story="the scaled similarities are returned, not probabilities",
    advice="softmax over the classes",
)
exercise.edit(
    "log-probabilities",
    ("logits.softmax(dim=-1)", "logits.log_softmax(dim=-1)"),
    story="the logarithms of the probabilities are returned",
    advice="softmax, not log_softmax",
)
exercise.edit(
    "sigmoid",
    ("logits.softmax(dim=-1)", "logits.sigmoid()"),
    story="each class is judged by itself by a sigmoid, as SigLIP does",
    advice="CLIP's classes compete: softmax over them",
    convention=True,
)
exercise.edit(
    "softmax-twice",
    ("logits.softmax(dim=-1)", "logits.softmax(dim=-1).softmax(dim=-1)"),
    story="the softmax is taken twice, which flattens everything",
    advice="once, of the scaled similarities",
)
exercise.edit(
    "no-scale",
    ("scale * image_embeddings", "image_embeddings"),
    story="the similarities are not multiplied by the scale",
    advice="cosines alone give nearly equal probabilities",
)
exercise.edit(
    "divided-by-scale",
    ("scale * image_embeddings", "image_embeddings / scale"),
    story="the similarities are divided by the scale",
    advice="scale is 1 / temperature: multiply by it",
    convention=True,
)
exercise.edit(
    "scaled-afterwards",
    ("scale * image_embeddings", "image_embeddings"),
    ("logits.softmax(dim=-1)", "scale * logits.softmax(dim=-1)"),
    story="the probabilities are multiplied by the scale, not the similarities",
    advice="scale before softmax",
)
exercise.edit(
    "another-default",
    ("scale: Tensor | float = 100.0", "scale: Tensor | float = 1.0"),
    story="the scale is 1 where none is given",
    advice="leave the signature as it is: 100 is what CLIP learned",
)
exercise.edit(
    "normalised-again",
    ("scale * image_embeddings", "scale * F.normalize(image_embeddings, dim=-1)"),
    story="the images' vectors are made unit length once more, which changes their gradient too",
    advice="take the vectors as they are",
)
exercise.edit(
    "classes-by-images",
    ("return logits.softmax(dim=-1)", "return logits.softmax(dim=-1).T"),
    story="the result is (K, B)",
    advice="a row an image, a column a class",
)
exercise.edit(
    "winner-only",
    ("return logits.softmax(dim=-1)", "return logits.argmax(dim=-1)"),
    story="the number of the likeliest class is returned",
    advice="the probabilities of all classes: (B, K)",
)
exercise.edit(
    "winner-takes-all",
    ("logits.softmax(dim=-1)", "F.one_hot(logits.argmax(dim=-1), len(classes)).to(logits)"),
    story="the likeliest class gets probability 1 and all others 0",
    advice="softmax tells how sure the answer is",
)
exercise.edit(
    "unsafe-exp",
    ("logits.softmax(dim=-1)", "logits.exp() / logits.exp().sum(dim=-1, keepdim=True)"),
    story="exp is taken of the raw scores, which overflows at a large scale",
    advice="let softmax do it: it subtracts the largest first",
)
exercise.edit(
    "detached",
    ("logits.softmax(dim=-1)", "logits.detach().softmax(dim=-1)"),
    story="the result is cut off, so nobody can learn a prompt through it",
    advice="no detach(), no no_grad: who wants none uses it outside",
)


@exercise.wrong(
    "scales-in-place",
    story="the caller's images are multiplied in place",
    advice="image *= scale changes the tensor that was passed in; write scale * image",
)
def scales_in_place(image_embeddings, classes, scale=100.0):
    result = (scale * image_embeddings @ classes.T).softmax(-1)
    with torch.no_grad():
        image_embeddings *= scale
    return result


@exercise.disguise("softmax-over-images")
def over_images(image_embeddings, classes, scale=100.0):
    return torch.softmax(scale * classes @ image_embeddings.T, dim=1).T


@exercise.disguise("no-scale")
def unscaled(image_embeddings, classes, scale=100.0):
    return torch.einsum("be,ke->bk", image_embeddings, classes).softmax(1)


@exercise.right("einsum")
def with_einsum(image_embeddings, classes, scale=100.0):
    return F.softmax(torch.einsum("be,ke->bk", image_embeddings, classes) * scale, dim=1)


@exercise.right("by hand")
def by_hand(image_embeddings, classes, scale=100.0):
    logits = image_embeddings @ (scale * classes).mT
    return (logits - logits.logsumexp(dim=1, keepdim=True)).exp()
