"""Exercise bilinear.BilinearFusion: every number of one times every number of another."""

import math
from itertools import product

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bilinear.BilinearFusion",
    order=40,
    target="scratchmm.fusion.bilinear:BilinearFusion",
    title="Every number with every other",
    goal="for every pair of modalities the products of their numbers, weighted and added up",
    minutes=20,
    difficulty=3,
    section="Bilinear fusion",
    needs=("early.EarlyFusion",),
    forbidden=("torch.nn.functional.bilinear", "torch.bilinear"),
    parts=("bilinear",),
    methods={
        "forward": "the bias, and for each pair (left, right) left^T W_k right for each output k",
    },
    hints=(
        "An image says (1, 2), the words (3), and one output has the weights 10 and 1 for it: "
        "1 * 10 * 3 + 2 * 1 * 3 = 36, plus the bias. With the words at (0) only the bias is left: a "
        "product needs both. Three modalities make three pairs, and the bias is still added once.",
        "A sum of what each says can't tell 'red and square' from 'red' and 'square'; a product can, "
        "for it is large only where both are. Each output has a weight for every product of two "
        "numbers: a matrix W_k, D rows and S columns. Each sample is multiplied with itself alone.",
        "collect gives vectors (B, width), zeros where absent: then all products are 0 by themselves. "
        "self.pairs and self.weights go together, a weight is (K, D, S). (B, D) with (K, D, S) gives "
        "(B, K, S), summed over D; that with (B, S) gives (B, K). Add the pairs and the bias.",
        "vectors, there = collect(...); total = self.bias.expand(len(there), -1); for each pair and "
        "weight: total = total + torch.einsum('bd,kds,bs->bk', vectors[left], weight, vectors[right])",
    ),
)
TWO = {"words": 4, "image": 3}
WIDTHS = {"words": 4, "image": 3, "sound": 2}  # neither alphabetical nor by size
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


def slow(fusion, features, present=None):
    """The oracle: one sample, one output, one pair of numbers at a time, those who are present."""
    weights = dict(zip(fusion.pairs, fusion.weights, strict=True))
    rows = []
    for sample, k in product(range(5), range(K)):
        total = fusion.bias[k]
        for (left, right), weight in weights.items():
            pair = (left, right)
            if all(n in features and (present or {}).get(n, [True] * 5)[sample] for n in pair):
                outer = features[left][sample][:, None] * features[right][sample]
                total = total + (weight[k] * outer).sum()
        rows.append(total)
    return torch.stack(rows).view(5, K)


@exercise.holds("a row a sample, a column an output")
def shape(fusion_class, case):
    fusion = case.build(fusion_class, TWO, K)
    case.sizes["K"] = K
    case.shape(case.call(fusion, given(case, TWO)), "B K")


@exercise.holds("where all features are zeros, what is left is the bias, once")
def bias(fusion_class, case):
    fusion = case.build(fusion_class, WIDTHS, K)
    zeros = {name: torch.zeros(5, width) for name, width in WIDTHS.items()}
    expected = fusion.bias.expand(5, -1).detach().clone()
    case.equal(case.call(fusion, zeros), expected)


@exercise.holds("two modalities: each output is left^T W_k right plus its bias")
def two(fusion_class, case):
    fusion, features = case.build(fusion_class, TWO, K), given(case, TWO)
    expected = slow(fusion, features)
    case.equal(case.call(fusion, features), expected)


@exercise.holds("three modalities: the sum over all three pairs, and the bias once")
def three(fusion_class, case):
    fusion, features = case.build(fusion_class, WIDTHS, K), given(case, WIDTHS)
    expected = slow(fusion, features)
    case.equal(case.call(fusion, features), expected)


@exercise.holds("in whichever order the call names them, the result is the same")
def any_order(fusion_class, case):
    fusion, features = case.build(fusion_class, WIDTHS, K), given(case, WIDTHS)
    other = {name: features[name] for name in ("sound", "words", "image")}
    expected = slow(fusion, features)
    case.equal(case.call(fusion, other), expected)


@exercise.holds("a name that is left out takes all its pairs with it, and only those")
def left_out(fusion_class, case):
    fusion, features = case.build(fusion_class, WIDTHS, K), given(case, WIDTHS)
    del features["image"]
    expected = slow(fusion, features)
    case.equal(case.call(fusion, features), expected)


@exercise.holds("a pair with an absent modality adds nothing, whatever stands there: even nan")
def absent(fusion_class, case):
    fusion, (features, present) = case.build(fusion_class, WIDTHS, K), some_absent(case)
    expected = slow(fusion, features, present)
    case.equal(case.call(fusion, features, present), expected)


@exercise.holds("called twice, it says the same: nothing is kept, neither in weights nor features")
def twice(fusion_class, case):
    fusion, (features, present) = case.build(fusion_class, WIDTHS, K), some_absent(case)
    first = case.call(fusion, features, present)
    case.unchanged()
    case.equal(case.call(fusion, features, present), first)


@exercise.holds(
    "the gradients reach all features, all weights and the bias, and are 0 where absent"
)
def gradients(fusion_class, case):
    fusion = case.build(fusion_class, WIDTHS, K).double()
    features, present = some_absent(case)

    def mine(words, image, sound):
        return fusion({"words": words, "image": image, "sound": sound}, present)

    def oracle(words, image, sound):
        return slow(fusion, {"words": words, "image": image, "sound": sound}, present)

    case.gradients(mine, oracle, *features.values(), parameters=fusion)


@exercise.holds("a sample without any modality is refused with a ValueError")
def refused(fusion_class, case):
    fusion, sound = case.build(fusion_class, WIDTHS, K), given(case, WIDTHS)["sound"]
    case.refuses(ValueError, fusion, {"sound": sound}, {"sound": torch.arange(5) != 3})
