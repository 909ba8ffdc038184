"""Exercise cross_modal.CrossModalAttention: queries of one modality, keys and values of another."""

from typing import Any

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise, exercise_file
from scratchmm.fusion.cross_modal import CrossAttentionOutput

by_torch = exercise_file("01_attention/multi_head_attention").by_torch

exercise = Exercise(
    id="cross_modal.CrossModalAttention",
    order=10,
    target="scratchmm.fusion.cross_modal:CrossModalAttention",
    title="Words attend to the image",
    goal="queries from x, keys and values from the context, padding masked; also the weights",
    minutes=15,
    difficulty=2,
    section="Words attend to the image",
    needs=("attention.MultiHeadAttention", "attention.padding_mask"),
    methods={
        "forward": "x attends to the context where real is True; return CrossAttentionOutput, and "
        "refuse what does not fit (ValueError)"
    },
    hints="""
        1. 3 words attend to 5 patches: 3 vectors come back, and the weights of 2 heads are
           (2, 3, 5). If 5 come back, the image has attended. If real is False for patches 3 and 4
           of a sample, then columns 3 and 4 of its weights are 0, for each of the 3 words.
        2. Queries come from x, keys and values from the context. So the length of the result is
           that of x, and the mask is the context's: it hides keys, never queries. A batch of 1
           beside a batch of 2 would broadcast silently, and so would its mask.
        3. Refuse x that is not (B, L, D), a context that is not (B, S, C) with the same B, and a
           mask that is not bool (B, S); check_stream does all that. (B, S) becomes a mask (B, 1, 1,
           S). self.attention takes x, the context and the mask, and gives output (B, L, D) and, if
           asked for, weights (B, H, L, S). The residual sum is left to the model around it.
        4. check_stream("context tokens", context, self.attention.key.in_features, real, len(x))
           and the same for x alone; mask = None if real is None else padding_mask(real); return
           CrossAttentionOutput(*self.attention(x, context, mask, return_weights=True))
    """,
)


def made(case: Case, factory: Any) -> Any:
    """Width 12, 3 heads, a context 7 wide: no two sizes are the same."""
    case.sizes.update(H=3)
    return case.build(factory, 12, 3, 7)


def streams(case: Case) -> tuple[Tensor, Tensor]:
    """Queries (2, 4, 12) and a context (2, 5, 7)."""
    return case.normal(B=2, L=4, D=12), case.normal(B=2, S=5, C=7)


def some_real(case: Case) -> Tensor:
    """Another part of each sample's context is hidden, and not only at its end."""
    first, second = case.permutation(5)[:2].tolist()
    real = torch.ones(2, 5, dtype=torch.bool)
    real[0, first] = real[1, second] = real[1, (second + 2) % 5] = False
    return case.named(real, "B S")


def expected(
    layer: Any, x: Tensor, context: Tensor, real: Tensor | None = None
) -> CrossAttentionOutput:
    """The oracle: torch's own attention, under the layer's weights."""
    mask = None if real is None else real.view(len(real), 1, 1, -1)
    return CrossAttentionOutput(*by_torch(layer.attention, x, context, mask))


def judged(case: Case, layer: Any, *given: Tensor) -> None:
    """The layer's result is that of torch's attention."""
    got, right = case.call(layer, *given), expected(layer, *given)
    case.true(isinstance(got, CrossAttentionOutput), "a CrossAttentionOutput(output, weights)", got)
    case.equal(got.weights, right.weights, "weights")
    case.equal(got.output, right.output, "output")


@exercise.holds("a vector for each query, and weights (B, H, L, S), as CrossAttentionOutput")
def shape(layer_class, case):
    got = case.call(made(case, layer_class), *streams(case))
    case.true(isinstance(got, CrossAttentionOutput), "a CrossAttentionOutput(output, weights)", got)
    case.shape(got.output, "B L D")
    case.shape(got.weights, "B H L S")


@exercise.holds("without a mask it is torch's own attention, also where a token is all zeros")
def equals_torch(layer_class, case):
    layer, (x, context) = made(case, layer_class), streams(case)
    judged(case, layer, x, context)
    context[:, 2] = 0
    judged(case, layer, x, context)


@exercise.holds("each sample attends to those tokens of its own context that are real (True)")
def masked(layer_class, case):
    layer = made(case, layer_class)
    for whole in ([], [0], [1]):  # of another sample all may be real
        real = some_real(case)
        real[whole] = True
        judged(case, layer, *streams(case), real)


@exercise.holds("a sample whose context is all padding gets zero weights, and the output's bias")
def blind(layer_class, case):
    layer, (x, context), real = made(case, layer_class), streams(case), some_real(case)
    real[1] = False
    got = case.call(layer, x, context, real)
    case.equal(got.weights[1], torch.zeros(3, 4, 5), "weights of sample 1")
    case.equal(got.output[1], layer.attention.output.bias.expand(4, 12), "output of sample 1")
    right = expected(layer, x[:1], context[:1], real[:1])
    case.equal(got.output[:1], right.output, "output of sample 0")


@exercise.holds("what has another batch, length, width or dtype is refused (ValueError)")
def refused(layer_class, case):
    layer, (x, context) = made(case, layer_class), streams(case)
    case.refuses(ValueError, layer, x, case.named(context[:1], "one S C"))
    for real in (torch.ones(1, 5).bool(), torch.ones(2, 4).bool(), torch.ones(2, 5)):
        case.refuses(ValueError, layer, x, context, real)
    for other in (x[..., :7], x[:, :, None], x[0]):
        case.refuses(ValueError, layer, other, context[: len(other)])


@exercise.holds("gradients reach x, the context and all parameters, through output and weights")
def gradients(layer_class, case):
    layer = made(case, layer_class).double()

    def both(results):
        return torch.cat([result.flatten(1) for result in results], dim=1)

    case.gradients(
        lambda *given: both(layer(*given)),
        lambda *given: both(expected(layer, *given)),
        *(*streams(case), some_real(case)),
        parameters=layer,
    )


@exercise.holds("x, context and mask are left as they were")
def unchanged(layer_class, case):
    case.call(made(case, layer_class), *streams(case), some_real(case))
    case.unchanged()


exercise.mistakes("""
    roles-exchanged: the context's tokens are the queries, and x gives keys and values
    - output, weights = self.attention(x, context, mask, return_weights=True)
    + output, weights = self.attention(context, x, mask, return_weights=True)
    > the first argument of self.attention makes the queries; the result has the length of x

    mask-inverted: True and False are exchanged: only padding is attended to
    - mask = None if real is None else padding_mask(real)
    + mask = None if real is None else padding_mask(~real)
    > real is True where a token may be attended to, and so is attention's mask

    first-one-decides: where the first sample's context is all real, nobody's is masked
    - mask = None if real is None else padding_mask(real)
    + mask = None if real is None or bool(real[0].all()) else padding_mask(real)
    > each sample has a mask of its own: only real=None means that all is real

    hidden-after-softmax: the weights of padding are set to 0 after the softmax, so the rest does
    not sum to 1
    - output, weights = self.attention(x, context, mask, return_weights=True)
    + layer = self.attention
    + weights = layer(x, context, return_weights=True)[1] * (1 if mask is None else mask)
    + value = layer.value(context).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
    + output = layer.output((weights @ value).transpose(1, 2).flatten(2))
    > hide before the softmax: pass the mask to self.attention

    nan-where-blind: a sample whose context is all padding gets nan: softmax over nothing but -inf
    - output, weights = self.attention(x, context, mask, return_weights=True)
    + output, weights = self.attention(x, context, mask, return_weights=True)
    + if real is not None:
    +     blind = torch.where(real.any(1), 0.0, torch.nan)[:, None, None]
    +     output, weights = output + blind, weights + blind[..., None]
    > leave the softmax to self.attention, which gives zeros where all is hidden

    even-where-blind: a sample whose context is all padding attends to all of it evenly
    - output, weights = self.attention(x, context, mask, return_weights=True)
    + layer = self.attention
    + made = ((layer.query, x), (layer.key, context), (layer.value, context))
    + parts = (f(y).unflatten(-1, (layer.heads, -1)).transpose(1, 2) for f, y in made)
    + query, key, value = parts
    + scores = query @ key.mT / query.shape[-1] ** 0.5
    + weights = (scores if mask is None else scores.masked_fill(~mask, -1e9)).softmax(-1)
    + output = layer.output((weights @ value).transpose(1, 2).flatten(2))
    > of scores that are all -1e9, softmax makes 1 / S; where all is hidden the weights are 0
""")

exercise.slips("""
    self.attention(x, context, => self.attention(x, x,
    padding_mask(real) => real
    padding_mask(real) => real[:, None, :, None]
    None if real is None else padding_mask(real) => padding_mask(
        (context != 0).any(-1) if real is None else real)
    CrossAttentionOutput(output, weights) => output, weights
    CrossAttentionOutput(output, weights) => output
    return CrossAttentionOutput(output, weights) => pass
    (output, weights) => (output, weights.detach())
    (output, weights) => (output, weights.mean(1))
    (output, weights) => (x + output, weights)
    (output, weights) => (output, self.attention(x, context, return_weights=True)[1])
    return CrossAttentionOutput => context.data.mul_(1 if real is None else real[..., None]);
        return CrossAttentionOutput
    key.in_features, real, => key.in_features, None,
    key.in_features, real, => key.in_features, None if real is None else real.bool(), ;;
        padding_mask(real) => real.bool()[:, None, None]
    return CrossAttentionOutput(output, weights) => return CrossAttentionOutput(output if real
        is None else output * real.any(dim=1)[:, None, None], weights)
    padding_mask(real) => padding_mask(real | ~real.any(dim=1, keepdim=True))
""")


def checked(self, x, context, real):
    """The refusals of those below."""
    if x.dim() != 3 or x.shape[2] != self.attention.query.in_features or len(x) != len(context):
        raise ValueError(f"{tuple(x.shape)} beside {tuple(context.shape)}")
    if real is not None and (real.dtype != torch.bool or real.shape != context.shape[:2]):
        raise ValueError("the mask does not fit")


@exercise.right("by hand", method="forward")
def by_hand(self, x, context, real=None):
    checked(self, x, context, real)
    part = self.attention
    query, key, value = (
        linear(y).unflatten(-1, (part.heads, -1)).transpose(1, 2)
        for linear, y in ((part.query, x), (part.key, context), (part.value, context))
    )
    scores = query @ key.mT / query.shape[-1] ** 0.5
    strength = scores.sub(scores.amax(-1, keepdim=True)).exp()
    strength = strength if real is None else strength * real[:, None, None]
    weights = strength / strength.sum(-1, keepdim=True).clamp(min=1e-30)
    return CrossAttentionOutput(part.output((weights @ value).transpose(1, 2).flatten(2)), weights)


@exercise.right("an expanded mask", method="forward")
def expanded(self, x, context, real=None):
    checked(self, x, context, real)
    if real is None:
        real = torch.ones(context.shape[:2], dtype=torch.bool, device=context.device)
    mask = real[:, None, None].expand(-1, self.attention.heads, x.shape[1], -1)
    output, weights = self.attention(x, context=context, mask=mask, return_weights=True)
    return CrossAttentionOutput(weights=weights, output=output)
