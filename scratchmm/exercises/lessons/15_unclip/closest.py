"""Exercise prior.closest: of the embeddings drawn for a text, the one that fits it best."""

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="prior.closest",
    order=10,
    target="scratchmm.diffusion.prior:closest",
    title="The better of two samples",
    goal="of M embeddings drawn for each text, the one with the largest product with the text's",
    minutes=10,
    difficulty=2,
    section="From words to image embeddings",
    hints=(
        "A text (0, 1) and three candidates (5, 0), (0.9, 0.5), (0.1, 0.8): the products are 0, 0.5 "
        "and 0.8, so (0.1, 0.8) is taken, as it was drawn. A text (2, 0) beside it in the batch has "
        "candidates of its own, and takes one of those.",
        "The prior draws, and a draw may be an unlucky one. CLIP's text embedding says which of them "
        "an image for this text should have: the product is CLIP's own score. It is asked twice and "
        "the better answer kept; nothing is averaged, for between two draws lies none.",
        "Each row of the batch for itself: the scores of its M candidates (B, M) are their products "
        "with its own text (B, E), summed over E and divided by nothing. The largest of a row says "
        "which of its candidates is taken: (B,) numbers, and of each row one (E,). Lengths stay.",
        "scores = (candidates @ text_embedding[:, :, None])[:, :, 0]; then row by row: "
        "candidates[torch.arange(len(candidates)), scores.argmax(dim=1)]",
    ),
)


def drawn(case: Case, B: int = 5, M: int = 4, E: int = 7) -> tuple[Tensor, Tensor]:
    """Candidates and texts; the one that wins differs from row to row, and is never the first."""
    text = case.normal(B=B, E=E)
    candidates = case.normal(B=B, M=M, E=E)
    score = (candidates * text[:, None]).sum(-1)
    order = score.argsort(dim=1)  # the best last
    # rows rotate their sorted candidates, so that the best stands at 1, 2 ... M - 1 and again at 1
    place = torch.stack([order[row].roll(1 + row % (M - 1) + 1) for row in range(B)])
    return case.named(candidates[torch.arange(B)[:, None], place], "B M E"), text


def slow(candidates, text):
    """The oracle: one text at a time."""
    chosen = []
    for vectors, wanted in zip(candidates, text, strict=True):
        pairs = [zip(vector.tolist(), wanted.tolist(), strict=True) for vector in vectors]
        products = [sum(a * b for a, b in pair) for pair in pairs]
        chosen.append(vectors[products.index(max(products))])
    return torch.stack(chosen)


@exercise.holds("one embedding for each text: (B, E)")
def shapes(closest, case):
    case.shape(case.call(closest, *drawn(case)), "B E")


@exercise.holds("a single candidate is taken as it is, its length too")
def single(closest, case):
    candidates, text = case.normal(B=3, M=1, E=5, scale=4.0), case.normal(B=3, E=5)
    case.equal(case.call(closest, candidates, text), candidates[:, 0])


@exercise.holds("it is the candidate with the largest product with its own text, one by one")
def by_loops(closest, case):
    candidates, text = drawn(case)
    case.equal(case.call(closest, candidates, text), slow(candidates, text))


@exercise.holds("each text chooses among its own candidates: alone it chooses as in a batch")
def alone(closest, case):
    candidates, text = drawn(case, B=6, M=3, E=4)
    expected = slow(candidates, text)
    for row in (0, 1, 5):
        one = case.named(candidates[row : row + 1].clone(), "B M E")
        said = case.named(text[row : row + 1].clone(), "B E")
        case.equal(case.call(closest, one, said), expected[row : row + 1], f"row {row}")


@exercise.holds("a long candidate at some angle beats a short one that points straight at the text")
def long_ones(closest, case):
    text = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]])
    short, long = 0.5 * text, 2 * text + 1.5 * torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    candidates = case.named(torch.stack([short, long, -text], dim=1), "B M E")
    case.equal(case.call(closest, candidates, case.named(text, "B E")), long)


@exercise.holds("where all products are below 0, the one nearest to 0 is taken")
def all_against(closest, case):
    text = case.normal(B=4, E=5)
    length = text.norm(dim=1, keepdim=True)
    shares = torch.tensor([-0.7, -0.2, -1.1])
    candidates = shares[:, None] * (text / length**2)[:, None]  # products: the shares
    case.equal(case.call(closest, case.named(candidates, "B M E"), text), candidates[:, 1])


@exercise.holds("of equal candidates the first is taken")
def ties(closest, case):
    text = case.named(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), "B E")
    candidates = case.integers(-3, 4, B=2, M=4, E=3).float()
    candidates[0, :, 0] = torch.tensor([1.0, 2.0, 2.0, 2.0])
    candidates[1, :, 1] = torch.tensor([5.0, 5.0, -1.0, 5.0])
    candidates[:, :, 2] = torch.arange(4.0)
    expected = torch.stack([candidates[0, 1], candidates[1, 0]])
    case.equal(case.call(closest, case.named(candidates, "B M E"), text), expected)


@exercise.holds("a candidate with a nan in it is taken only where there is no other")
def not_numbers(closest, case):
    candidates, text = drawn(case, B=4, M=3, E=5)
    candidates[1, 0, 2] = candidates[2, 1:, 0] = candidates[3, 1] = torch.nan
    rest = [vectors[~vectors.isnan().any(1)] for vectors in candidates]
    expected = torch.cat([slow(r[None], t[None]) for r, t in zip(rest, text, strict=True)])
    case.equal(case.call(closest, candidates, text), expected)


@exercise.holds("candidates and texts are left as they were")
def unchanged(closest, case):
    case.call(closest, *drawn(case))
    case.unchanged()


@exercise.holds("the gradient goes to the chosen candidate, and to no other")
def gradients(closest, case):
    candidates, text = drawn(case, B=3, M=4, E=5)
    text = text.double()  # as the candidates will be
    case.gradients(lambda x: closest(x, text), lambda x: slow(x, text), candidates)
