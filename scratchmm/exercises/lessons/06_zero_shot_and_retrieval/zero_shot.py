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
    hints="""
        1. An image with the cosines 0.3 and 0.2 to two classes. With scale 1 the probabilities are
           0.52 and 0.48, with scale 10 they are 0.73 and 0.27, with scale 100 almost 1 and 0. They
           always sum to 1 for each image.
        2. It is the softmax of the contrastive loss, with the class sentences as the texts and
           without the loss. The scale is what the model learned; it decides how sure the answers
           are, never which is the first.
        3. (B, E) times (K, E) transposed gives (B, K), times the scale; softmax over the K classes.
        4. return (scale * image_embeddings @ classes.T).softmax(dim=-1)
    """,
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


exercise.mistakes("""
    sigmoid [convention]: each class is judged by itself by a sigmoid, as SigLIP does
    - return logits.softmax(dim=-1)
    + return logits.sigmoid()
    > CLIP's classes compete: softmax over them

    softmax-twice: the softmax is taken twice, which flattens everything
    - return logits.softmax(dim=-1)
    + return logits.softmax(dim=-1).softmax(dim=-1)
    > once, of the scaled similarities

    divided-by-scale [convention]: the similarities are divided by the scale
    - logits = scale * image_embeddings @ classes.T
    + logits = image_embeddings / scale @ classes.T
    > scale is 1 / temperature: multiply by it

    scaled-afterwards: the probabilities are multiplied by the scale, not the similarities
    - logits = scale * image_embeddings @ classes.T
    - return logits.softmax(dim=-1)
    + logits = image_embeddings @ classes.T
    + return scale * logits.softmax(dim=-1)
    > scale before softmax

    normalised-again: the images' vectors are made unit length once more, which changes their
    gradient too
    - logits = scale * image_embeddings @ classes.T
    + logits = scale * F.normalize(image_embeddings, dim=-1) @ classes.T
    > take the vectors as they are

    winner-only: the number of the likeliest class is returned
    - return logits.softmax(dim=-1)
    + return logits.argmax(dim=-1)
    > the probabilities of all classes: (B, K)

    winner-takes-all: the likeliest class gets probability 1 and all others 0
    - return logits.softmax(dim=-1)
    + return F.one_hot(logits.argmax(dim=-1), len(classes)).to(logits)
    > softmax tells how sure the answer is

    unsafe-exp: exp is taken of the raw scores, which overflows at a large scale
    - return logits.softmax(dim=-1)
    + return logits.exp() / logits.exp().sum(dim=-1, keepdim=True)
    > let softmax do it: it subtracts the largest first

    scales-in-place: the caller's images are multiplied in place
    - logits = scale * image_embeddings @ classes.T
    + logits = scale * image_embeddings @ classes.T
    + with torch.no_grad():
    +     image_embeddings *= scale
    > image *= scale changes the tensor that was passed in; write scale * image
""")

exercise.slips("""
    scale: Tensor | float = 100.0 => scale: Tensor | float = 1.0
    logits.softmax(dim=-1) => logits
    logits.softmax => logits.log_softmax
    scale * image_embeddings => image_embeddings
    logits.softmax(dim=-1) => logits.softmax(dim=-1).T
    logits.softmax => logits.detach().softmax
    dim=-1 => dim=0
""")


@exercise.right("einsum")
def with_einsum(image_embeddings, classes, scale=100.0):
    return F.softmax(torch.einsum("be,ke->bk", image_embeddings, classes) * scale, dim=1)


@exercise.right("by hand")
def by_hand(image_embeddings, classes, scale=100.0):
    logits = image_embeddings @ (scale * classes).mT
    return (logits - logits.logsumexp(dim=1, keepdim=True)).exp()
