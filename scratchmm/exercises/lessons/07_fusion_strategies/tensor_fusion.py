"""Exercise tensor_fusion.TensorFusion: all products, and what fewer modalities say."""

import math
from itertools import product

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="tensor_fusion.TensorFusion",
    order=70,
    target="scratchmm.fusion.tensor_fusion:TensorFusion",
    title="What the appended 1 keeps",
    goal="one Linear layer reads all products, each modality with a 1 behind",
    minutes=15,
    difficulty=3,
    section="Tensor fusion",
    needs=("tensor_fusion.append_one", "tensor_fusion.outer_product"),
    methods={
        "__init__": "keep widths; output is a Linear layer without bias, from as many products as "
        "there are, a 1 appended to each modality, to outputs",
        "forward": "append a 1 to each vector, zeros where absent; outer_product; output",
    },
    hints=(
        "An image says (2), the words (5). With a 1 behind each, (2, 1) and (5, 1) make (10, 2, 5, "
        "1): the product of both, the image alone, the words alone, and a 1 for the bias. Without "
        "the ones there is only 10. Without the words, (2, 1) and (0, 1) make (0, 2, 0, 1).",
        "A product of all modalities is 0 as soon as one of them is. The 1 lets every modality step "
        "aside, so the tensor also holds what each smaller group says. For the same reason the layer "
        "needs no bias of its own, and an absent modality is zeros with its 1 still there.",
        "__init__: a modality of width D counts D + 1; the layer reads the product of these counts. "
        "forward: collect gives (B, D) each, zeros where absent; append_one makes (B, D + 1) of each; "
        "outer_product in the order of widths gives (B, P), the layer (B, K).",
        "self.output = nn.Linear(math.prod(width + 1 for width in widths.values()), outputs, "
        "bias=False); in forward: vectors, _ = collect(features, self.widths, present); "
        "return self.output(outer_product([append_one(x) for x in vectors.values()]))",
    ),
)
TWO = {"words": 4, "image": 3}
WIDTHS = {"words": 3, "image": 4, "sound": 2}  # neither alphabetical nor by size
K = 6


def given(case: Case, widths: dict[str, int]) -> dict[str, Tensor]:
    """Features of 5 samples, in the order of `widths`."""
    return {name: case.normal(B=5, width=width) for name, width in widths.items()}


def some_absent(case: Case) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Features with nan where a modality is absent, and who is present: the words always are."""
    features = given(case, WIDTHS)
    present = {
        "sound": torch.tensor([True, False, True, False, True]),
        "image": torch.tensor([True, True, False, False, False]),
    }
    for name, mask in present.items():
        features[name][~mask] = math.nan
    return features, present


def slow(fusion, features, widths, present=None):
    """The oracle: the weights as a tensor, an axis a modality, which take in one vector at a time."""
    sizes = [width + 1 for width in widths.values()]
    rows = []
    for sample in range(5):
        rest = fusion.output.weight.reshape(K, *sizes)
        for name, width in widths.items():
            there = name in features and (present or {}).get(name, [True] * 5)[sample]
            x = features[name][sample] if there else rest.new_zeros(width)
            rest = sum(rest[:, d] * x[d] for d in range(width)) + rest[:, width]
        rows.append(rest)
    return torch.stack(rows)


@exercise.holds("one Linear layer without bias reads (4 + 1) (3 + 1) products")
def parameters(fusion_class, case):
    fusion = case.build(fusion_class, TWO, K)
    case.equal(
        {name: tuple(parameter.shape) for name, parameter in fusion.named_parameters()},
        {"output.weight": (6, 20)},
        "parameters",
    )


@exercise.holds("a row a sample, a column an output")
def shape(fusion_class, case):
    fusion = case.build(fusion_class, TWO, K)
    case.sizes["K"] = K
    case.shape(case.call(fusion, given(case, TWO)), "B K")


@exercise.holds("where all features are zeros only the last product is left: 1, as a bias")
def ones_alone(fusion_class, case):
    fusion = case.build(fusion_class, TWO, K)
    zeros = {name: torch.zeros(5, width) for name, width in TWO.items()}
    expected = fusion.output.weight[:, -1].detach().clone().expand(5, -1)
    case.equal(case.call(fusion, zeros), expected)


@exercise.holds("where the image is zeros, the words alone are a linear layer")
def words_alone(fusion_class, case):
    fusion, words = case.build(fusion_class, TWO, K), case.normal(B=5, D=4)
    weight = fusion.output.weight.detach().clone().view(6, 5, 4)[:, :, -1]
    expected = words @ weight[:, :4].T + weight[:, 4]
    case.equal(case.call(fusion, {"words": words, "image": torch.zeros(5, 3)}), expected)


@exercise.holds("two modalities: the weighted sum of all products of (words, 1) and (image, 1)")
def two(fusion_class, case):
    fusion, features = case.build(fusion_class, TWO, K), given(case, TWO)
    expected = torch.zeros(5, K)
    weight = fusion.output.weight.detach().clone()
    for place, (i, j) in enumerate(product(range(5), range(4))):
        left = features["words"][:, i] if i < 4 else torch.ones(5)
        right = features["image"][:, j] if j < 3 else torch.ones(5)
        expected += (left * right)[:, None] * weight[:, place]
    case.equal(case.call(fusion, features), expected)


@exercise.holds("three modalities: the same with all products of three")
def three(fusion_class, case):
    fusion, features = case.build(fusion_class, WIDTHS, K), given(case, WIDTHS)
    expected = slow(fusion, features, WIDTHS)
    case.equal(case.call(fusion, features), expected)


@exercise.holds("in whichever order the call names them, the result is the same")
def any_order(fusion_class, case):
    fusion, features = case.build(fusion_class, WIDTHS, K), given(case, WIDTHS)
    other = {name: features[name] for name in ("sound", "words", "image")}
    expected = slow(fusion, features, WIDTHS)
    case.equal(case.call(fusion, other), expected)


@exercise.holds("a name that is left out is (0, ..., 0, 1): what the others say stays")
def left_out(fusion_class, case):
    fusion, features = case.build(fusion_class, WIDTHS, K), given(case, WIDTHS)
    del features["image"]
    expected = slow(fusion, features, WIDTHS)
    case.equal(case.call(fusion, features), expected)


@exercise.holds("where a modality is absent it is (0, ..., 0, 1), whatever stands there: even nan")
def absent(fusion_class, case):
    fusion, (features, present) = case.build(fusion_class, WIDTHS, K), some_absent(case)
    expected = slow(fusion, features, WIDTHS, present)
    case.equal(case.call(fusion, features, present), expected)


@exercise.holds("the features are left as they were")
def unchanged(fusion_class, case):
    fusion, (features, present) = case.build(fusion_class, WIDTHS, K), some_absent(case)
    case.call(fusion, features, present)
    case.unchanged()


@exercise.holds("the gradients reach all features and the weights, and are 0 where absent")
def gradients(fusion_class, case):
    fusion = case.build(fusion_class, WIDTHS, K).double()
    features, present = some_absent(case)

    def mine(words, image, sound):
        return fusion({"words": words, "image": image, "sound": sound}, present)

    def oracle(words, image, sound):
        named = {"words": words, "image": image, "sound": sound}
        return slow(fusion, named, WIDTHS, present)

    case.gradients(mine, oracle, *features.values(), parameters=fusion)


@exercise.holds("a sample without any modality is refused with a ValueError")
def refused(fusion_class, case):
    fusion, sound = case.build(fusion_class, WIDTHS, K), given(case, WIDTHS)["sound"]
    case.refuses(ValueError, fusion, {"sound": sound}, {"sound": torch.arange(5) != 3})
