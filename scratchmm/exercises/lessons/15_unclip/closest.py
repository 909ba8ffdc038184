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
    hints="""
        1. A text (0, 1) and three candidates (5, 0), (0.9, 0.5), (0.1, 0.8): the products are 0,
           0.5 and 0.8, so (0.1, 0.8) is taken, as it was drawn. A text (2, 0) beside it in the
           batch has candidates of its own, and takes one of those.
        2. The prior draws, and a draw may be an unlucky one. The product with CLIP's text embedding
           is CLIP's own score of how well each fits this text. Two are drawn and the better is
           kept; nothing is averaged, for between two draws lies none.
        3. Each row of the batch for itself: the scores of its M candidates (B, M) are their
           products with its own text (B, E), summed over E and divided by nothing; of a nan, minus
           infinity. The largest tells which candidate is taken: (B,) numbers, and of each row one
           (E,). Lengths stay.
        4. scores = (candidates @ text_embedding[:, :, None])[:, :, 0]; then row by row:
           candidates[torch.arange(len(candidates)), scores.argmax(dim=1)]
    """,
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


@exercise.holds("a single candidate is taken as it is, its length too")
def single(closest, case):
    candidates, text = case.normal(B=3, M=1, E=5, scale=4.0), case.normal(B=3, E=5)
    case.equal(case.call(closest, candidates, text), candidates[:, 0])


@exercise.holds("it is the candidate with the largest product with its own text, one by one")
def by_loops(closest, case):
    candidates, text = drawn(case)
    case.equal(case.call(closest, candidates, text), slow(candidates, text))
    case.unchanged()


@exercise.holds("a long candidate at some angle beats a short one that points straight at the text")
def long_ones(closest, case):
    text = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]])
    short, long = 0.5 * text, 2 * text + 1.5 * torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    candidates = case.named(torch.stack([short, long, -text], dim=1), "B M E")
    case.equal(case.call(closest, candidates, case.named(text, "B E")), long)


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


@exercise.holds("the gradient goes to the chosen candidate, and to no other")
def gradients(closest, case):
    candidates, text = drawn(case, B=3, M=4, E=5)
    text = text.double()  # as the candidates will be
    case.gradients(lambda x: closest(x, text), lambda x: slow(x, text), candidates)


exercise.mistakes("""
    equals-added: equal candidates are added up
    - return candidates[torch.arange(len(candidates)), scores.argmax(dim=1)]
    + best = scores == scores.amax(dim=1, keepdim=True)
    + return torch.where(best[..., None], candidates, 0.0).sum(dim=1)
    > take one by its number (argmax), not all whose product is the largest

    nan-wins: a candidate with a nan in it is taken before all others, as argmax does
    - scores = scores.masked_fill(scores.isnan(), -torch.inf)
    > its product counts as minus infinity

    smallest: the candidate with the smallest product is taken, the one that fits worst
    - scores.argmax(dim=1)
    + scores.argmin(dim=1)
    > the product is a score, not a distance: take the largest (argmax)

    cosine [convention]: the products are divided by the candidates' lengths: the cosine decides
    - candidates.to(wide)
    + F.normalize(candidates.to(wide), dim=-1)
    > unCLIP compares the plain products: a longer embedding scores higher

    nearest [convention]: the candidate with the smallest distance to the text is taken
    - (candidates.to(wide) @ text_embedding[:, :, None].to(wide))[:, :, 0]
    + -(candidates - text_embedding[:, None]).square().sum(dim=-1)
    > texts and images lie apart in CLIP's space: take the largest product, not the nearest

    softmax: the candidates are mixed by the softmax of their products
    - return candidates[torch.arange(len(candidates)), scores.argmax(dim=1)]
    + return (scores.softmax(dim=1)[..., None] * candidates).sum(dim=1)
    > take the best one alone: argmax, not softmax

    one-for-all: the products are added up over the batch, and every text takes the same number
    - scores.argmax(dim=1)
    + scores.sum(dim=0).argmax()
    > each text has a best candidate of its own: argmax over M only, (B,) numbers

    first-text: all candidates are compared with the first text of the batch
    - text_embedding[:, :, None]
    + text_embedding[:1, :, None]
    > row b of the candidates belongs to row b of the texts

    every-row: candidates[:, index] takes every row at every index: (B, B, E)
    - candidates[torch.arange(len(candidates)), scores.argmax(dim=1)]
    + candidates[:, scores.argmax(dim=1)]
    > pair row and index: candidates[torch.arange(B), index], or gather

    unit-length: the right one is found, but brought to length 1
    - return candidates[torch.arange(len(candidates)), scores.argmax(dim=1)]
    + return F.normalize(candidates[torch.arange(len(candidates)), scores.argmax(dim=1)], dim=-1)
    > the decoder takes embeddings as they were drawn: return it unchanged
""")

exercise.slips("""
    scores.argmax(dim=1) => scores.shape[1] - 1 - scores.flip(1).argmax(dim=1)
    scores.argmax(dim=1) => scores.abs().argmax(dim=1)
    candidates[torch.arange(len(candidates)), scores.argmax(dim=1)] => candidates.mean(dim=1)
    candidates[torch.arange(len(candidates)), scores.argmax(dim=1)] => candidates.amax(dim=1)
    candidates[torch.arange(len(candidates)), scores.argmax(dim=1)] => scores.amax(dim=1)
    scores.argmax(dim=1)] => scores.argmax(dim=1)][:, None]
""")


def real(scores):
    """Minus infinity for nan."""
    return scores.nan_to_num(-torch.inf, torch.inf, -torch.inf)


@exercise.right("gather")
def gather(candidates, text_embedding):
    best = real((candidates * text_embedding.unsqueeze(1)).sum(-1)).argmax(dim=1)
    index = best.view(-1, 1, 1).expand(-1, 1, candidates.shape[2])
    return candidates.gather(1, index).squeeze(1)


@exercise.right("row by row")
def row_by_row(candidates, text_embedding):
    rows = zip(candidates, text_embedding, strict=True)
    return torch.stack([vectors[int(real(vectors @ text).argmax())] for vectors, text in rows])
