"""Exercise test.contrastive_loss: write the test that tells right losses from wrong ones."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.format import Exercise, exercise_file
from scratchmm.exercises.kinds import Bank, judged_by_bank

lesson = exercise_file("05_clip/contrastive_loss")

exercise = Exercise(
    id="test.contrastive_loss",
    order=20,
    target="scratchmm.exercises.lessons.05_clip.check_loss:check_loss",
    title="Write the test of the contrastive loss",
    goal="accept every right contrastive_loss, and reject at least 9 in 10 of the wrong ones",
    minutes=30,
    difficulty=3,
    section="What a test of the loss must catch",
    needs=("loss.contrastive_loss",),
    forbidden=("scratchmm.contrastive.loss.contrastive_loss",),
    parts=("_compare_once",),
    hints="""
        1. A loss that forgets the texts passes `the loss is one number`, and it passes `the loss is
           log 2 for two pairs that are all alike`. It fails on two pairs whose images differ and
           whose texts are all alike. One property is never enough.
        2. Think of what is always true: log B when everything is alike; the same when images and
           texts change places, or when the pairs come in another order; the scale multiplies;
           nothing overflows; gradients reach both towers and the temperature. And compute a small
           case by loops, with unequal sizes. The lesson lists them.
        3. Make unit vectors (5, 3) from a seeded generator, not symmetric ones. Compute the two
           probabilities of each pair in a loop and compare within a tolerance. Ask for a scalar.
           Try scale 1000, and vectors twice as long. Make the scale a tensor that requires a
           gradient, call backward, compare the three gradients with those of the loop. Give 5
           images and 3 texts and expect a ValueError.
        4. expected = torch.stack([torch.logsumexp(row, 0) - row[i] for m in (logits, logits.T) for
           i, row in enumerate(m)]).mean(), once with and once without gradients, then
           torch.testing.assert_close(candidate(image, text, scale), expected); keep copies of the
           inputs and compare them after the call
    """,
)


def check_loss(candidate: Callable[..., Tensor]) -> None:
    """Raise AssertionError unless `candidate` is a right contrastive_loss.

    candidate: a function (image_embeddings, text_embeddings, scale) -> scalar, as the docstring of
    `contrastive_loss` describes it. Right ones differ in how they are written, never in what they
    return beyond rounding. Compute what you expect yourself: the library's own is out of reach.

    >>> check_loss(lambda image_embeddings, text_embeddings, scale: torch.tensor(0.0))
    Traceback (most recent call last):
    AssertionError: the loss of pairs that are all the same is 0, not log 5
    """
    generator = torch.Generator().manual_seed(7)
    image, text = F.normalize(torch.randn(2, 5, 3, generator=generator), dim=-1)
    alike = candidate(image[:1].expand(5, 3), image[:1].expand(5, 3), 4.0)
    assert alike.shape == (), f"the loss has the shape {tuple(alike.shape)}, not ()"
    near = math.isclose(alike.item(), math.log(5), abs_tol=1e-4)
    assert near, f"the loss of pairs that are all the same is {alike.item():.3g}, not log 5"
    for scale, length in ((3.0, 1.0), (3.0, 2.0), (1000.0, 1.0)):
        given = [length * image, text.clone()]
        _compare_once(candidate, given, torch.tensor(scale))
    try:
        candidate(image, text[:3], 2.0)
    except ValueError:
        return
    raise AssertionError("5 images and 3 texts are accepted")


def _compare_once(candidate: Callable[..., Tensor], given: list[Tensor], scale: Tensor) -> None:
    """Value, gradients and inputs left alone, against loops in which nothing can be mixed up."""
    kept = [x.clone() for x in given]
    plain = candidate(*given, float(scale))
    for before, after in zip(kept, given):
        torch.testing.assert_close(after, before, msg="the inputs were changed")
    leaves = [x.double().requires_grad_() for x in [*kept, scale]]
    mine = [x.double().requires_grad_() for x in [*kept, scale]]
    logits = leaves[2] * leaves[0] @ leaves[1].T
    terms = [row.logsumexp(0) - row[i] for way in (logits, logits.T) for i, row in enumerate(way)]
    expected, got = torch.stack(terms).mean(), candidate(*mine)
    torch.testing.assert_close(got, expected, msg="the loss is another number")
    torch.testing.assert_close(plain.double(), expected.detach(), rtol=1e-4, atol=1e-4)
    assert got.requires_grad, "the loss has no gradient"
    expected.backward()
    got.backward()
    for one, other in zip(mine, leaves):
        assert one.grad is not None, "an input gets no gradient"
        torch.testing.assert_close(one.grad, other.grad, msg="the gradient is another")


judged_by_bank(exercise, lambda: Bank.of(lesson.exercise), enough=0.9)


def some_pairs() -> tuple[Tensor, Tensor]:
    """The pairs that the wrong tests below use."""
    generator = torch.Generator().manual_seed(7)
    image, text = F.normalize(torch.randn(2, 5, 3, generator=generator), dim=-1)
    return image, text


def by_formula(image: Tensor, text: Tensor, scale: float) -> Tensor:
    """The expected loss."""
    logits = scale * image @ text.T
    partner = torch.arange(len(logits))
    return (F.cross_entropy(logits, partner) + F.cross_entropy(logits.T, partner)) / 2


@exercise.wrong(
    "accepts-everything",
    story="nothing is asserted, so every answer is accepted",
    advice="compute something and assert on it; a call that does not raise proves little",
)
def accepts_everything(candidate):
    candidate(*some_pairs(), 3.0)


@exercise.wrong(
    "rejects-everything",
    story="every answer is rejected, the right ones too",
    advice="try your test on your own contrastive_loss first",
)
def rejects_everything(candidate):
    raise AssertionError("wrong")


@exercise.wrong(
    "one-sided-oracle",
    story="the expected number is one-sided, so right answers are rejected and a wrong one is not",
    advice="the loss is the mean over rows and columns",
)
def one_sided_oracle(candidate):
    image, text = some_pairs()
    expected = F.cross_entropy(3.0 * image @ text.T, torch.arange(5))
    torch.testing.assert_close(candidate(image, text, 3.0), expected)


@exercise.wrong(
    "shape-only",
    story="only the shape is compared",
    advice="a wrong loss is a scalar too: compare numbers",
)
def shape_only(candidate):
    assert candidate(*some_pairs(), 3.0).shape == ()


@exercise.wrong(
    "alike-only",
    story="only the case in which all embeddings are the same is tried",
    advice="there every pair counts the same and every axis too: add pairs that differ",
)
def alike_only(candidate):
    same = torch.ones(5, 1)
    got = candidate(same, same, 3.0)
    assert abs(got.sum().item() - math.log(5)) < 1e-4


@exercise.wrong(
    "symmetric-only",
    story="only `exchanging images and texts changes nothing` is tried",
    advice="true, but most wrong losses are symmetric as well: compare with numbers of your own",
)
def symmetric_only(candidate):
    image, text = some_pairs()
    one, other = candidate(image, text, 3.0), candidate(text, image, 3.0)
    torch.testing.assert_close(one, other)


@exercise.wrong(
    "images-equal-texts",
    story="images and texts are the same vectors, so the matrix is symmetric and hides one side",
    advice="give images and texts different vectors",
)
def images_equal_texts(candidate):
    image, _ = some_pairs()
    torch.testing.assert_close(candidate(image, image, 3.0), by_formula(image, image, 3.0))


@exercise.wrong(
    "goes-down-only",
    story="all that is asserted is that better pairs have a lower loss",
    advice="wrong losses go down as well; that is why they are dangerous",
)
def goes_down_only(candidate):
    image, text = some_pairs()
    closer = F.normalize(text + 3 * image, dim=-1)
    assert candidate(image, closer, 3.0).sum() < candidate(image, text, 3.0).sum()


@exercise.wrong(
    "scale-one-only",
    story="only scale 1 is tried, where multiplying, dividing and leaving out are the same",
    advice="use a scale such as 3, and another one",
)
def scale_one_only(candidate):
    image, text = some_pairs()
    torch.testing.assert_close(candidate(image, text, 1.0), by_formula(image, text, 1.0))


@exercise.wrong(
    "value-only",
    story="the value is compared, but no gradients, no huge scale, and nothing that is refused",
    advice="a loss can have the right value and wrong gradients: compare these as well",
)
def value_only(candidate):
    image, text = some_pairs()
    torch.testing.assert_close(candidate(image, text, 3.0), by_formula(image, text, 3.0))


@exercise.right("cross-entropy as the oracle")
def with_cross_entropy(candidate):
    image, text = some_pairs()
    for scale in (0.7, 4.0, 900.0):
        given = [x.double() for x in (image, text, torch.tensor(scale))]
        leaves, mine = ([x.clone().requires_grad_() for x in given] for _ in range(2))
        expected, got = by_formula(*leaves), candidate(*mine)
        torch.testing.assert_close(got, expected)
        found = torch.autograd.grad(got, mine, allow_unused=True)
        for one, other in zip(found, torch.autograd.grad(expected, leaves)):
            assert one is not None
            torch.testing.assert_close(one, other)
        torch.testing.assert_close([x.detach() for x in mine], given)
    got = candidate(image, text, 300.0)
    torch.testing.assert_close(got, by_formula(image, text, 300.0))


@exercise.right("metamorphic properties, plain numbers and finite differences")
def without_an_oracle(candidate):
    image, text = (x.double() for x in some_pairs())
    one = candidate(image, text, 4.0)
    assert one.shape == ()
    torch.testing.assert_close(one, candidate(text, image, 4.0))
    torch.testing.assert_close(one, candidate(2 * image, text, 2.0))
    total = 0.0
    for i in range(5):
        for along in (image[i] @ text.T, text[i] @ image.T):
            scores = [4.0 * x for x in along.tolist()]
            total += math.log(sum(math.exp(x) for x in scores)) - scores[i]
    assert abs(total / 10 - one.item()) < 1e-6
    assert math.isfinite(candidate(image.float(), text.float(), 1000.0).item())
    leaves = [x.clone().requires_grad_() for x in (image, text, one.detach() + 1)]
    assert torch.autograd.gradcheck(candidate, leaves, raise_exception=False)
    found = torch.autograd.grad(candidate(*leaves), leaves, allow_unused=True)
    assert all(gradient is not None for gradient in found)
