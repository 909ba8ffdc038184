"""Exercise cross_modal.CrossModalAttention: one modality asks, the other answers."""

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
    goal="x asks, the context answers, nobody sees padding; also tell where each has looked",
    minutes=15,
    difficulty=2,
    section="Words attend to the image",
    needs=("attention.MultiHeadAttention", "attention.padding_mask"),
    methods={
        "forward": "let x ask and the context answer where real is True; return CrossAttentionOutput, "
        "and refuse what does not fit (ValueError)"
    },
    hints=(
        "3 words ask an image of 5 patches: 3 vectors come back, and 2 heads have looked with "
        "weights (2, 3, 5). If 5 come back, the image has asked. If real is False for patches 3 "
        "and 4 of a sample, then columns 3 and 4 of its weights are 0, for each of the 3 words.",
        "Queries are made of the one that asks; keys and values of the one that is asked. So the "
        "length of the result is that of x, and the mask speaks of the context: it hides answers, "
        "never questions. A batch of 1 beside a batch of 2 would be spread without a word, and so "
        "would its mask: that is why they are refused first.",
        "Refuse x that is not (B, L, D), a context that is not (B, S, C) with the same B, and a mask "
        "that is not bool (B, S); check_stream does all that. (B, S) becomes a mask (B, 1, 1, S). "
        "self.attention takes x, the context and the mask, and gives output (B, L, D) and, if asked "
        "for, weights (B, H, L, S). No sum with x: that is left to the model around it.",
        'check_stream("context tokens", context, self.attention.key.in_features, real, len(x)) and '
        "the same for x alone; mask = None if real is None else padding_mask(real); return "
        "CrossAttentionOutput(*self.attention(x, context, mask, return_weights=True))",
    ),
)


def made(case: Case, factory: Any) -> Any:
    """Width 12, 3 heads, a context 7 wide: no two sizes are the same."""
    case.sizes.update(H=3)
    return case.build(factory, 12, 3, 7)


def streams(case: Case) -> tuple[Tensor, Tensor]:
    """What asks, (2, 4, 12), and what answers, (2, 5, 7)."""
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


def looked(case: Case, got: Any) -> CrossAttentionOutput:
    """The result, if it is one."""
    case.true(isinstance(got, CrossAttentionOutput), "a CrossAttentionOutput(output, weights)", got)
    return got


@exercise.holds("one vector for each that asks, and weights (B, H, L, S), as CrossAttentionOutput")
def shape(layer_class, case):
    layer = made(case, layer_class)
    got = looked(case, case.call(layer, *streams(case)))
    case.shape(got.output, "B L D")
    case.shape(got.weights, "B H L S")


@exercise.holds("a context of one token answers everybody the same: that token's value")
def one_answer(layer_class, case):
    layer = made(case, layer_class)
    x, context = case.normal(B=2, L=4, D=12), case.normal(B=2, S=1, C=7)
    got = looked(case, case.call(layer, x, context))
    value = layer.attention.output(layer.attention.value(context))
    case.equal(got.output, value.expand(2, 4, 12), "output")
    case.equal(got.weights, torch.ones(2, 3, 4, 1), "weights")


@exercise.holds("without a mask it equals torch's own multi-head attention under the same weights")
def equals_torch(layer_class, case):
    layer = made(case, layer_class)
    given = streams(case)
    got, right = looked(case, case.call(layer, *given)), expected(layer, *given)
    case.equal(got.output, right.output, "output")
    case.equal(got.weights, right.weights, "weights")


@exercise.holds("without a mask a token of zeros is a token like any other")
def zeros(layer_class, case):
    layer = made(case, layer_class)
    x, context = streams(case)
    context[:, 2] = 0
    got = looked(case, case.call(layer, x, context))
    case.equal(got.weights, expected(layer, x, context).weights, "weights")


@exercise.holds("each sample sees those tokens of its own context that are real (True)")
def masked(layer_class, case):
    layer = made(case, layer_class)
    given = (*streams(case), some_real(case))
    got, right = looked(case, case.call(layer, *given)), expected(layer, *given)
    case.equal(got.weights, right.weights, "weights")
    case.equal(got.output, right.output, "output")


@exercise.holds("so it does where another sample's context is real throughout")
def one_whole(layer_class, case):
    layer = made(case, layer_class)
    for whole in (0, 1):
        real = some_real(case)
        real[whole] = True
        given = (*streams(case), real)
        got, right = looked(case, case.call(layer, *given)), expected(layer, *given)
        case.equal(got.weights, right.weights, "weights")


@exercise.holds("a sample with nothing to see gets zero weights, and the output's bias")
def blind(layer_class, case):
    layer = made(case, layer_class)
    x, context = streams(case)
    real = some_real(case)
    real[1] = False
    got = looked(case, case.call(layer, x, context, real))
    case.equal(got.weights[1], torch.zeros(3, 4, 5), "weights of sample 1")
    case.equal(got.output[1], layer.attention.output.bias.expand(4, 12), "output of sample 1")
    right = expected(layer, x[:1], context[:1], real[:1])
    case.equal(got.output[:1], right.output, "output of sample 0")


@exercise.holds("a context or a mask of another batch or length is refused (ValueError)")
def refuses_others(layer_class, case):
    layer = made(case, layer_class)
    x, context = streams(case)
    case.refuses(ValueError, layer, x, case.named(context[:1], "one S C"))
    for real in (torch.ones(1, 5), torch.ones(2, 4)):
        case.refuses(ValueError, layer, x, context, real.bool())


@exercise.holds("a mask that is not bool is refused (ValueError)")
def refuses_numbers(layer_class, case):
    layer = made(case, layer_class)
    case.refuses(ValueError, layer, *streams(case), torch.ones(2, 5))


@exercise.holds("the gradients reach both modalities and every parameter")
def gradients(layer_class, case):
    layer = made(case, layer_class).double()

    def output(x, context, real):
        return layer(x, context, real).output

    def right(x, context, real):
        return expected(layer, x, context, real).output

    case.gradients(output, right, *streams(case), some_real(case), parameters=layer)


@exercise.holds("gradients flow through the weights as well")
def gradients_of_weights(layer_class, case):
    layer = made(case, layer_class).double()

    def weights(x, context, real):
        return layer(x, context, real).weights

    def right(x, context, real):
        return expected(layer, x, context, real).weights

    case.gradients(weights, right, *streams(case), some_real(case))


@exercise.holds("x, context and mask are left as they were")
def unchanged(layer_class, case):
    layer = made(case, layer_class)
    case.call(layer, *streams(case), some_real(case))
    case.unchanged()
