"""Wrong and other right answers to fast_attention.online_softmax_step."""

import math

import torch

from scratchmm.exercises.format import exercise_file
from scratchmm.layers.fast_attention import OnlineSoftmax

exercise = exercise_file("01_attention/online_softmax_step").exercise


def turned(state, scores, value, *, old=1.0, new=1.0, rescale_total=True, rescale_output=True):
    """The right step, with a knob for each factor."""
    maximum = torch.maximum(state.maximum, scores.amax(-1, keepdim=True))
    origin = torch.where(maximum == -math.inf, 0.0, maximum)
    weights = (scores - origin * new).exp()
    rescale = (state.maximum - origin).mul(old).exp()
    total = state.total * (rescale if rescale_total else 1) + weights.sum(-1, keepdim=True)
    output = state.output * (rescale if rescale_output else 1) + weights @ value
    return OnlineSoftmax(maximum, total, output)


@exercise.wrong(
    "output-not-rescaled",
    story="the old output is not rescaled when the maximum grows",
    advice="output, like total, was summed under the old maximum",
)
def output_not_rescaled(state, scores, value):
    return turned(state, scores, value, rescale_output=False)


@exercise.wrong(
    "total-not-rescaled",
    story="the old total is not rescaled when the maximum grows",
    advice="total, like output, was summed under the old maximum",
)
def total_not_rescaled(state, scores, value):
    return turned(state, scores, value, rescale_total=False)


@exercise.wrong(
    "nothing-rescaled",
    story="neither total nor output is rescaled when the maximum grows",
    advice="multiply both by exp(old maximum - new maximum)",
)
def nothing_rescaled(state, scores, value):
    return turned(state, scores, value, rescale_total=False, rescale_output=False)


@exercise.wrong(
    "rescaled-upwards",
    story="the old sums are scaled by exp(new - old maximum), which makes them larger",
    advice="under a larger maximum old terms count less: exp(old - new)",
)
def rescaled_upwards(state, scores, value):
    maximum = torch.maximum(state.maximum, scores.amax(-1, keepdim=True))
    origin = torch.where(maximum == -math.inf, 0.0, maximum)
    weights = (scores - origin).exp()
    seen = state.maximum > -math.inf
    rescale = torch.where(seen, (origin - state.maximum).exp(), 0.0)
    total = state.total * rescale + weights.sum(-1, keepdim=True)
    return OnlineSoftmax(maximum, total, state.output * rescale + weights @ value)


@exercise.wrong(
    "maximum-of-tile",
    story="the new maximum is the tile's own, even where the old one is larger",
    advice="take the larger of the two",
)
def maximum_of_tile(state, scores, value):
    maximum = scores.amax(-1, keepdim=True)
    origin = torch.where(maximum == -math.inf, 0.0, maximum)
    weights, rescale = (scores - origin).exp(), (state.maximum - origin).exp()
    total = state.total * rescale + weights.sum(-1, keepdim=True)
    return OnlineSoftmax(maximum, total, state.output * rescale + weights @ value)


@exercise.wrong(
    "old-maximum",
    story="the scores are measured from the old maximum",
    advice="subtract the new maximum: it may be the tile's",
)
def old_maximum(state, scores, value):
    maximum = torch.maximum(state.maximum, scores.amax(-1, keepdim=True))
    first = state.maximum == -math.inf
    origin = torch.where(first, maximum, state.maximum)
    origin = torch.where(origin == -math.inf, 0.0, origin)
    weights, rescale = (scores - origin).exp(), (state.maximum - origin).exp()
    total = state.total * rescale + weights.sum(-1, keepdim=True)
    return OnlineSoftmax(maximum, total, state.output * rescale + weights @ value)


@exercise.wrong(
    "no-maximum",
    story="exp is taken of the raw scores, which overflows",
    advice="subtract the running maximum before exp",
)
def no_maximum(state, scores, value):
    maximum = torch.maximum(state.maximum, scores.amax(-1, keepdim=True))
    weights = scores.exp()
    total = state.total + weights.sum(-1, keepdim=True)
    return OnlineSoftmax(maximum, total, state.output + weights @ value)


@exercise.wrong(
    "nan-for-nothing",
    story="a query that has seen nothing becomes nan (-inf minus -inf)",
    advice="where the maximum is still -inf, subtract 0",
)
def nan_for_nothing(state, scores, value):
    maximum = torch.maximum(state.maximum, scores.amax(-1, keepdim=True))
    weights, rescale = (scores - maximum).exp(), (state.maximum - maximum).exp()
    total = state.total * rescale + weights.sum(-1, keepdim=True)
    return OnlineSoftmax(maximum, total, state.output * rescale + weights @ value)


@exercise.wrong(
    "divided-early",
    story="the output is divided by the total at every step, so tiles no longer add up",
    advice="the state holds the sum; who wants the attention divides once, at the end",
)
def divided_early(state, scores, value):
    after = turned(state, scores, value)
    return OnlineSoftmax(after.maximum, after.total, after.output / after.total.clamp_min(1e-30))


@exercise.wrong(
    "total-is-mean",
    story="total takes the mean of the tile's weights instead of their sum",
    advice="a sum over N, so that tiles of any width count alike",
)
def total_is_mean(state, scores, value):
    after, before = turned(state, scores, value), turned(state, scores, value * 0)
    weights = (scores - torch.where(after.maximum == -math.inf, 0.0, after.maximum)).exp()
    old = before.total - weights.sum(-1, keepdim=True)
    return OnlineSoftmax(after.maximum, old + weights.mean(-1, keepdim=True), after.output)


@exercise.wrong(
    "axis-dropped",
    story="maximum and total lose their last axis",
    advice="keepdim=True, so that (B, H, M, 1) broadcasts against scores",
)
def axis_dropped(state, scores, value):
    after = turned(state, scores, value)
    return OnlineSoftmax(after.maximum[..., 0], after.total[..., 0], after.output)


@exercise.wrong(
    "keepdim-forgotten",
    story="the tile's maximum loses its last axis, and no longer fits the state's",
    advice="keepdim=True, so that (B, H, M, 1) broadcasts against scores",
)
def keepdim_forgotten(state, scores, value):
    maximum = torch.maximum(state.maximum, scores.amax(-1))
    weights, rescale = (scores - maximum).exp(), (state.maximum - maximum).exp()
    total = state.total * rescale + weights.sum(-1)
    return OnlineSoftmax(maximum, total, state.output * rescale + weights @ value)


@exercise.wrong(
    "state-in-place",
    story="the old state is changed in place",
    advice="make new tensors; += and methods that end in an underscore change the old ones",
)
def state_in_place(state, scores, value):
    after = turned(state, scores, value)
    for old, new in zip(state, after, strict=True):
        old.copy_(new)
    return state


@exercise.disguise("output-not-rescaled")
def output_not_rescaled_by_where(state, scores, value):
    top = torch.where(state.maximum > scores.amax(-1, True), state.maximum, scores.amax(-1, True))
    zero = torch.where(torch.isinf(top), torch.zeros_like(top), top)
    weights = torch.exp(scores - zero)
    total = torch.exp(state.maximum - zero) * state.total + weights.sum(3, keepdim=True)
    return OnlineSoftmax(top, total, state.output + torch.einsum("bhmn,bhnd->bhmd", weights, value))


@exercise.right("log of the sum")
def log_of_the_sum(state, scores, value):
    maximum = torch.cat([state.maximum, scores], -1).max(-1, keepdim=True).values
    origin = maximum.nan_to_num(neginf=0.0)
    kept = torch.exp(state.maximum - origin)
    weights = torch.exp2((scores - origin) * math.log2(math.e))
    joined = torch.einsum("bhmn,bhnd->bhmd", weights, value)
    return OnlineSoftmax(
        maximum, state.total * kept + weights.sum(-1, True), state.output * kept + joined
    )


@exercise.right("column by column")
def column_by_column(state, scores, value):
    maximum, total, output = state
    for j in range(scores.shape[-1]):
        score = scores[..., j : j + 1]
        top = torch.maximum(maximum, score)
        origin = torch.where(top == -math.inf, 0.0, top)
        kept, weight = (maximum - origin).exp(), (score - origin).exp()
        total = total * kept + weight
        output = output * kept + weight * value[..., j : j + 1, :]
        maximum = top
    return OnlineSoftmax(maximum, total, output)
