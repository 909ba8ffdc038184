"""Wrong and other right answers to attention.attend."""

import math

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("01_attention/attend").exercise


def formula(query, key, value, mask=None, scale=None, axis=-1, hidden=-math.inf, blind=True):
    """The formula with its knobs out, so that a wrong answer is one knob turned."""
    scores = query @ key.transpose(-2, -1) * (scale or query.shape[-1] ** -0.5)
    if mask is not None:
        scores = scores.masked_fill(~mask, hidden)
    shares = scores.softmax(axis)
    if mask is not None and blind:
        shares = shares.masked_fill(~mask.any(-1, keepdim=True), 0.0)
    return shares @ value


@exercise.wrong(
    "no-scale",
    story="the scores are not divided by sqrt(D)",
    advice="a dot product of D numbers has a spread of sqrt(D); divide, or softmax saturates",
)
def no_scale(query, key, value, mask=None, *, backend=None):
    return formula(query, key, value, mask, scale=1.0)


@exercise.wrong(
    "scale-by-width",
    story="the scores are divided by D, not by its square root",
    advice="the spread of a dot product grows with the square root of the number of terms",
)
def scale_by_width(query, key, value, mask=None, *, backend=None):
    return formula(query, key, value, mask, scale=1 / query.shape[-1])


@exercise.wrong(
    "scale-by-length",
    story="the scores are divided by the root of the number of keys, not of the width D",
    advice="key.shape[-1] is the width, key.shape[-2] the number of keys",
)
def scale_by_length(query, key, value, mask=None, *, backend=None):
    return formula(query, key, value, mask, scale=key.shape[-2] ** -0.5)


@exercise.wrong(
    "softmax-over-queries",
    story="the softmax runs over the queries instead of over the keys",
    advice="each query's weights must sum to 1: softmax over the last axis of (B, H, L, S)",
)
def softmax_over_queries(query, key, value, mask=None, *, backend=None):
    return formula(query, key, value, mask, axis=-2)


@exercise.wrong(
    "mask-inverted",
    story="the mask is read the other way round: True is hidden",
    advice="in this library True means may be seen; fill where the mask is False",
)
def mask_inverted(query, key, value, mask=None, *, backend=None):
    return formula(query, key, value, None if mask is None else ~mask)


@exercise.wrong(
    "mask-ignored",
    story="the mask is not used",
    advice="scores of keys that may not be seen become -inf before the softmax",
)
def mask_ignored(query, key, value, mask=None, *, backend=None):
    return formula(query, key, value)


@exercise.wrong(
    "mask-after-softmax",
    story="hidden keys are set to 0 after the softmax, so the other weights no longer sum to 1",
    advice="hide them before the softmax: a score of -inf becomes a weight of 0, and the rest sum to 1",
)
def mask_after_softmax(query, key, value, mask=None, *, backend=None):
    shares = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)
    return (shares if mask is None else shares * mask) @ value


@exercise.wrong(
    "blind-is-nan",
    story="a query that may see nothing becomes nan (softmax of a row of -inf is 0/0)",
    advice="fill the hidden weights with 0 once more after the softmax",
)
def blind_is_nan(query, key, value, mask=None, *, backend=None):
    return formula(query, key, value, mask, blind=False)


@exercise.wrong(
    "result-cleaned",
    story="nan is made 0 in the result (nan_to_num), but its gradient is nan all the same",
    advice="0 times nan is nan on the way back: fill the hidden weights with 0 after the softmax",
)
def result_cleaned(query, key, value, mask=None, *, backend=None):
    return formula(query, key, value, mask, blind=False).nan_to_num()


def added(query, key, mask):
    """Weights from scores to which -inf is added, which has a gradient where a fill has none."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores + torch.zeros(mask.shape, dtype=scores.dtype).masked_fill(~mask, -math.inf)
    return scores.softmax(-1)


@exercise.wrong(
    "added-and-cleaned",
    story="-inf is added to hidden scores and nan made 0 after the softmax: the gradient stays nan",
    advice="masked_fill the scores and not only the weights: a fill stops the gradient, a sum does not",
)
def added_and_cleaned(query, key, value, mask=None, *, backend=None):
    return added(query, key, mask).nan_to_num() @ value


@exercise.wrong(
    "added-and-result-cleaned",
    story="-inf is added to hidden scores and nan made 0 in the result: the gradient stays nan",
    advice="masked_fill the scores, and fill the hidden weights with 0 after the softmax",
)
def added_and_result_cleaned(query, key, value, mask=None, *, backend=None):
    return (added(query, key, mask) @ value).nan_to_num()


@exercise.disguise("result-cleaned")
def result_cleaned_too(query, key, value, mask=None, *, backend=None):
    scores = torch.einsum("bhld,bhsd->bhls", query, key) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = torch.where(mask, scores, -math.inf)
    result = F.softmax(scores, -1) @ value
    return torch.where(result.isnan(), 0.0, result)


@exercise.wrong(
    "finite-infinity",
    story="hidden scores get a large negative number, so a query that sees nothing sees everything",
    advice="use -inf, and give a query that may see nothing zeros",
)
def finite_infinity(query, key, value, mask=None, *, backend=None):
    return formula(query, key, value, mask, hidden=-1e9, blind=False)


@exercise.wrong(
    "added-constant",
    story="a large negative number is added to hidden scores, so a query that sees nothing sees all",
    advice="use -inf, and give a query that may see nothing zeros",
)
def added_constant(query, key, value, mask=None, *, backend=None):
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores + torch.where(mask, 0.0, -1e4).to(scores.dtype)
    return scores.softmax(-1) @ value


@exercise.wrong(
    "unsafe-exp",
    story="exp is taken of the raw scores, which overflows to inf / inf",
    advice="subtract the row's maximum first, or let softmax do it",
)
def unsafe_exp(query, key, value, mask=None, *, backend=None):
    shares = (query @ key.mT / math.sqrt(query.shape[-1])).exp()
    shares = shares if mask is None else shares * mask
    return shares @ value / shares.sum(-1, keepdim=True).clamp_min(1e-30)


@exercise.wrong(
    "scales-in-place",
    story="the caller's query is scaled in place",
    advice="query /= x changes the tensor that was passed in; write query = query / x",
)
def scales_in_place(query, key, value, mask=None, *, backend=None):
    with torch.no_grad():
        query /= math.sqrt(query.shape[-1])
    return formula(query, key, value, mask, scale=1.0)


@exercise.wrong(
    "weights-detached",
    story="no gradient passes through the weights, only through value",
    advice="do not detach or use no_grad: query and key learn through the weights",
)
def weights_detached(query, key, value, mask=None, *, backend=None):
    return formula(query.detach(), key.detach(), value, mask)


@exercise.wrong(
    "heads-merged",
    story="the result has the heads joined to (B, L, H D)",
    advice="leave the heads apart: joining them is the work of MultiHeadAttention",
)
def heads_merged(query, key, value, mask=None, *, backend=None):
    return formula(query, key, value, mask).transpose(1, 2).flatten(2)


@exercise.disguise("no-scale")
def no_scale_einsum(query, key, value, mask=None, *, backend=None):
    scores = torch.einsum("...ld,...sd->...ls", query, key)
    if mask is not None:
        scores = torch.where(mask, scores, torch.tensor(-math.inf, dtype=scores.dtype))
    return torch.einsum("...ls,...sd->...ld", F.softmax(scores, dim=3).nan_to_num(0.0), value)


@exercise.right("einsum")
def with_einsum(query, key, value, mask=None, *, backend=None):
    scores = torch.einsum("bhld,bhsd->bhls", query / math.sqrt(query.shape[-1]), key)
    if mask is not None:
        hidden = ~mask.expand_as(scores)
        scores = scores.masked_fill(hidden, -math.inf)
        nothing = hidden.all(-1, keepdim=True)
        scores = scores.masked_fill(nothing, 0.0)
        return torch.einsum("bhls,bhsd->bhld", scores.softmax(-1) * ~nothing, value)
    return torch.einsum("bhls,bhsd->bhld", scores.softmax(-1), value)


@exercise.right("by hand")
def by_hand(query, key, value, mask=None, *, backend=None):
    scores = (key @ query.transpose(-1, -2)).transpose(-1, -2) * query.shape[-1] ** -0.5
    seen = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand_as(scores)
    top = torch.where(seen, scores, -math.inf).amax(-1, keepdim=True)
    top = torch.where(torch.isfinite(top), top, 0.0)
    shares = torch.where(seen, torch.where(seen, scores - top, 0.0).exp(), 0.0)
    total = shares.sum(-1, keepdim=True)
    return shares @ value / torch.where(total == 0, 1.0, total)
