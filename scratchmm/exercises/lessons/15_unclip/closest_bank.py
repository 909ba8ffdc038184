"""Wrong and other right answers to prior.closest."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("15_unclip/closest").exercise


def products(candidates, text):
    """Every candidate's product with its text: (B, M); a nan is no product."""
    return real(torch.einsum("bme,be->bm", candidates, text))


def real(scores):
    """Minus infinity for nan."""
    return scores.nan_to_num(-torch.inf, torch.inf, -torch.inf)


def take(candidates, index):
    """Of each row the candidate with this number: (B, E)."""
    return candidates[torch.arange(len(candidates)), index]


@exercise.wrong(
    "last-of-equals",
    story="of equal candidates the last is taken",
    advice="argmax over the candidates in their order",
)
def last_of_equals(candidates, text_embedding):
    scores = products(candidates, text_embedding)
    return take(candidates, scores.shape[1] - 1 - scores.flip(1).argmax(dim=1))


@exercise.wrong(
    "equals-added",
    story="equal candidates are added up",
    advice="take one by its number (argmax), not all whose product is the largest",
)
def equals_added(candidates, text_embedding):
    scores = products(candidates, text_embedding)
    best = scores == scores.amax(dim=1, keepdim=True)
    return torch.where(best[..., None], candidates, 0.0).sum(dim=1)


exercise.edit(
    "nan-wins",
    ("scores = scores.masked_fill(scores.isnan(), -torch.inf)", "pass"),
    story="a candidate with a nan in it is taken before all others, as argmax does",
    advice="its product counts as minus infinity",
)


@exercise.wrong(
    "smallest",
    story="the candidate with the smallest product is taken, the one that fits worst",
    advice="the product is a score, not a distance: take the largest (argmax)",
)
def smallest(candidates, text_embedding):
    return take(candidates, products(candidates, text_embedding).argmin(dim=1))


@exercise.wrong(
    "cosine",
    story="the products are divided by the candidates' lengths: the cosine decides",
    advice="unCLIP compares the plain products: a longer embedding says it louder",
    convention=True,
)
def cosine(candidates, text_embedding):
    scores = F.cosine_similarity(candidates, text_embedding[:, None], dim=-1)
    return take(candidates, scores.argmax(dim=1))


@exercise.wrong(
    "nearest",
    story="the candidate with the smallest distance to the text is taken",
    advice="texts and images lie apart in CLIP's space: take the largest product, not the nearest",
    convention=True,
)
def nearest(candidates, text_embedding):
    distance = (candidates - text_embedding[:, None]).square().sum(-1)
    return take(candidates, distance.argmin(dim=1))


@exercise.wrong(
    "mean",
    story="the candidates are averaged",
    advice="one of them is taken as it is: their mean is none that was drawn",
)
def mean(candidates, text_embedding):
    return candidates.mean(dim=1)


@exercise.wrong(
    "softmax",
    story="the candidates are mixed by the softmax of their products",
    advice="take the best one alone: argmax, not softmax",
)
def softmax(candidates, text_embedding):
    weights = products(candidates, text_embedding).softmax(dim=1)
    return (weights[..., None] * candidates).sum(dim=1)


@exercise.wrong(
    "first",
    story="the first candidate is taken, whatever the text says",
    advice="compare all M candidates of a text",
)
def first(candidates, text_embedding):
    return candidates[:, 0]


@exercise.wrong(
    "one-for-all",
    story="the products are added up over the batch, and every text takes the same number",
    advice="each text has a best candidate of its own: argmax over M only, (B,) numbers",
)
def one_for_all(candidates, text_embedding):
    best = products(candidates, text_embedding).sum(dim=0).argmax()
    return candidates[:, best]


@exercise.wrong(
    "first-text",
    story="all candidates are compared with the first text of the batch",
    advice="row b of the candidates belongs to row b of the texts",
)
def first_text(candidates, text_embedding):
    scores = candidates @ text_embedding.T
    return take(candidates, scores[:, :, 0].argmax(dim=1))


@exercise.wrong(
    "every-row",
    story="candidates[:, index] takes every row at every index: (B, B, E)",
    advice="pair row and index: candidates[torch.arange(B), index], or gather",
)
def every_row(candidates, text_embedding):
    return candidates[:, products(candidates, text_embedding).argmax(dim=1)]


@exercise.wrong(
    "axis-left",
    story="the axis of the candidates is still there, of size 1",
    advice="return (B, E): one embedding for each text",
)
def axis_left(candidates, text_embedding):
    return take(candidates, products(candidates, text_embedding).argmax(dim=1))[:, None]


@exercise.wrong(
    "scores",
    story="the largest product is returned, not the embedding it belongs to",
    advice="argmax says which one: take that candidate",
)
def scores_instead(candidates, text_embedding):
    return products(candidates, text_embedding).max(dim=1).values


@exercise.wrong(
    "number-by-number",
    story="the largest of each number is taken, from whichever candidate: a patchwork",
    advice="a candidate is taken whole",
)
def patchwork(candidates, text_embedding):
    return candidates.max(dim=1).values


@exercise.wrong(
    "absolute",
    story="the products lose their signs: one that says the opposite counts as a fit",
    advice="no abs(): a product below 0 is a bad fit",
)
def absolute(candidates, text_embedding):
    return take(candidates, products(candidates, text_embedding).abs().argmax(dim=1))


@exercise.wrong(
    "unit-length",
    story="the right one is found, but brought to length 1",
    advice="the decoder reads embeddings as they were drawn: return it unchanged",
)
def unit_length(candidates, text_embedding):
    found = take(candidates, products(candidates, text_embedding).argmax(dim=1))
    return F.normalize(found, dim=-1)


@exercise.wrong(
    "in-place",
    story="the caller's candidates are multiplied by the text",
    advice="work on a new tensor: candidates * text, not candidates *= text",
)
def in_place(candidates, text_embedding):
    found = take(candidates, products(candidates, text_embedding).argmax(dim=1)).clone()
    with torch.no_grad():
        candidates *= text_embedding[:, None]
    return found


@exercise.wrong(
    "no-gradient",
    story="the result is detached from the candidates",
    advice="no detach() and no no_grad(): choosing needs no gradient, what was chosen keeps it",
)
def no_gradient(candidates, text_embedding):
    return take(candidates, products(candidates, text_embedding).argmax(dim=1)).detach()


@exercise.disguise("smallest")
def smallest_too(candidates, text_embedding):
    order = products(candidates, text_embedding).argsort(dim=1)
    return take(candidates, order[:, 0])


@exercise.disguise("cosine")
def cosine_too(candidates, text_embedding):
    unit = candidates / candidates.norm(dim=-1, keepdim=True)
    return take(candidates, products(unit, text_embedding).argmax(dim=1))


@exercise.disguise("first-text")
def first_text_too(candidates, text_embedding):
    scores = (candidates * text_embedding[0]).sum(-1)
    return torch.stack([row[s.argmax()] for row, s in zip(candidates, scores, strict=True)])


@exercise.right("gather")
def gather(candidates, text_embedding):
    best = real((candidates * text_embedding.unsqueeze(1)).sum(-1)).argmax(dim=1)
    index = best.view(-1, 1, 1).expand(-1, 1, candidates.shape[2])
    return candidates.gather(1, index).squeeze(1)


@exercise.right("row by row")
def row_by_row(candidates, text_embedding):
    rows = zip(candidates, text_embedding, strict=True)
    return torch.stack([vectors[int(real(vectors @ text).argmax())] for vectors, text in rows])
