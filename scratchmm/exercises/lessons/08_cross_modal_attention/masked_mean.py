"""Exercise cross_modal.masked_mean: one vector for a sentence, padding left out."""

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="cross_modal.masked_mean",
    order=30,
    target="scratchmm.fusion.cross_modal:masked_mean",
    title="A mean without padding",
    goal="the mean (B, D) of each sample's real tokens, whatever stands in the others",
    minutes=10,
    difficulty=2,
    section="Padding masks",
    needs=("attention.padding_mask",),
    hints="""
        1. Tokens 1, 3, 9, of which the first two are real: the mean is 2. Not 13 / 3, for the 9 is
           padding; and not 4 / 3, for two are counted, not three.
        2. Two things are to be left out: padding in the sum, and padding in the count. And 0 times
           nan is nan, so a product does not hide what stands there. A sample without any real token
           has the count 0; its mean is 0 here, not 0 / 0.
        3. real (B, L) with an axis more, (B, L, 1), stands beside tokens (B, L, D): put 0 where it
           is False, then sum over L: (B, D). The count: real summed over L, kept as (B, 1), at
           least 1. Divide. Without a mask it is the plain mean over L.
        4. tokens.masked_fill(~real[..., None], 0.0).sum(dim=1) / real.sum(dim=1,
           keepdim=True).clamp(min=1), or tokens.mean(dim=1) if real is None
    """,
)


def sentences(case: Case) -> tuple[Tensor, Tensor]:
    """tokens (3, 5, 4) and real (3, 5): 2, 4 and 3 real ones, not always at the front."""
    tokens = case.normal(B=3, L=5, D=4) + 1  # not of mean 0, so that counts matter
    real = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [0, 1, 1, 0, 1]]).bool()
    return case.named(tokens, "B L D"), case.named(real, "B L")


def slow(tokens, real=None):
    """The oracle: pick the real tokens of each sample, and take their mean."""
    rows = tokens if real is None else [one[seen] for one, seen in zip(tokens, real)]
    return torch.stack([row.sum(0) / max(len(row), 1) for row in rows])


@exercise.holds("one vector a sample: (B, D)")
def shape(masked_mean, case):
    case.shape(case.call(masked_mean, *sentences(case)), "B D")


@exercise.holds("without a mask it is the mean of all tokens")
def all_of_them(masked_mean, case):
    tokens, _ = sentences(case)
    case.equal(case.call(masked_mean, tokens), slow(tokens))


@exercise.holds("it is the mean of each sample's own real tokens")
def real_ones(masked_mean, case):
    tokens, real = sentences(case)
    case.equal(case.call(masked_mean, tokens, real), slow(tokens, real))


@exercise.holds("the mean of one real token is that token")
def one_token(masked_mean, case):
    tokens, _ = sentences(case)
    real = case.named(torch.eye(5, dtype=torch.bool)[case.permutation(5)[:3]], "B L")
    case.equal(case.call(masked_mean, tokens, real), tokens[real])


@exercise.holds("a token of zeros counts, if it is real")
def zeros(masked_mean, case):
    tokens, real = sentences(case)
    tokens[:, 1] = 0
    case.equal(case.call(masked_mean, tokens, real), slow(tokens, real))


@exercise.holds("what stands in padding does not matter, be it nan")
def whatever(masked_mean, case):
    tokens, real = sentences(case)
    expected = slow(tokens, real)
    tokens[~real] = torch.nan
    case.equal(case.call(masked_mean, tokens, real), expected)


@exercise.holds("a sample without a real token gets zeros")
def none(masked_mean, case):
    tokens, real = sentences(case)
    real[1] = False
    case.equal(case.call(masked_mean, tokens, real), slow(tokens, real))


@exercise.holds("the gradient reaches the real tokens, and no padding")
def gradients(masked_mean, case):
    case.gradients(masked_mean, slow, *sentences(case))


@exercise.holds("tokens and mask are left as they were")
def unchanged(masked_mean, case):
    case.call(masked_mean, *sentences(case))
    case.unchanged()


exercise.mistakes("""
    length-counted: the sum leaves padding out, but the count does not: it is divided by L
    - return counted / real.sum(dim=1, keepdim=True).clamp(min=1)
    + return counted / tokens.shape[1]
    > the more padding a sample has, the smaller this gets; divide by how many are real

    padding-summed: the count leaves padding out, but the sum does not
    - masked_fill(~real[..., None], 0.0).
    > put 0 where real is False before you sum

    counted-over-batch: it is divided by the number of real tokens of the whole batch
    - return counted / real.sum(dim=1, keepdim=True).clamp(min=1)
    + return counted / real.sum().clamp(min=1)
    > each sample has a count of its own: sum over the tokens alone

    nan-for-none: a sample without a real token gets 0 / 0
    - return counted / real.sum(dim=1, keepdim=True).clamp(min=1)
    + return counted / real.sum(dim=1, keepdim=True)
    > divide by at least 1

    multiplied: padding is multiplied by 0, and 0 times nan is nan
    - counted = tokens.masked_fill(~real[..., None], 0.0).sum(dim=1)
    + counted = (tokens * real[..., None]).sum(dim=1)
    > masked_fill or where put a 0 there whatever it was

    zeros-not-counted: padding is set to 0, and then whatever is not 0 is counted
    - return counted / real.sum(dim=1, keepdim=True).clamp(min=1)
    + real = (tokens.masked_fill(~real[..., None], 0.0) != 0).any(dim=-1)
    + return counted / real.sum(dim=1, keepdim=True).clamp(min=1)
    > a real token may be 0 as well: count what the mask says

    cut-at-the-count: the first tokens are taken, as many as are real: padding need not stand at the end
    - counted = tokens.masked_fill(~real[..., None], 0.0).sum(dim=1)
    + real = torch.arange(real.shape[1]) < real.sum(dim=1, keepdim=True)
    + counted = tokens.masked_fill(~real[..., None], 0.0).sum(dim=1)
    > take each position as the mask has it
""")

exercise.slips("""
    real.sum(dim=1, keepdim=True) => real.sum(dim=1, keepdim=True).float().mean()
    real is None => True
    ~real[..., None] => real[..., None]
    keepdim=True).clamp(min=1) => keepdim=True) + 1
    ~real[..., None] => ~real[:1, :, None] ;; real.sum => real[:1].sum
    tokens.masked_fill( => tokens.data.masked_fill_(
    mean(dim=1) => mean(dim=0) ;; 0.0).sum(dim=1) => 0.0).sum(dim=0) ;; real.sum(dim=1,
        keepdim=True) => real.sum(dim=0)[:, None]
""")


@exercise.right("sample by sample")
def sample_by_sample(tokens, real=None):
    if real is None:
        real = torch.ones(tokens.shape[:2], dtype=torch.bool)
    zero = torch.zeros_like(tokens[0, 0])
    return torch.stack(
        [one[seen].mean(0) if seen.any() else zero for one, seen in zip(tokens, real)]
    )


@exercise.right("where and einsum")
def where_and_einsum(tokens, real=None):
    if real is None:
        real = torch.ones_like(tokens[..., 0], dtype=torch.bool)
    share = real / real.sum(1, keepdim=True).clamp(min=1)
    seen = torch.where(real.unsqueeze(2), tokens, 0.0)
    return torch.einsum("bl,bld->bd", share.to(tokens.dtype), seen)
