"""Exercise early.EarlyFusion: side by side, and one network sees them all."""

import math

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="early.EarlyFusion",
    order=10,
    target="scratchmm.fusion.early:EarlyFusion",
    title="Side by side",
    goal="join all modalities and let one network read them",
    minutes=10,
    difficulty=1,
    section="Early fusion",
    methods={
        "__init__": "keep widths; sizes is (D, hidden, outputs), D all widths together; network has "
        "those sizes",
        "forward": "all vectors side by side, in the order of widths and zeros where absent, through "
        "the network",
    },
    hints=(
        "An image says (5, 6), the words say (7), made with widths image, then words: the network "
        "reads (5, 6, 7), also where the call names the words first. Without the words it reads "
        "(5, 6, 0). The first Linear layer has 2 + 1 = 3 inputs.",
        "Each input of the network has a meaning: its first numbers are always the image's. So the "
        "order may not depend on the caller, and what is absent leaves its place empty and does not "
        "let the others move up. The lesson shows it under Early fusion.",
        "__init__: D is the sum of the widths; modalities.network makes Linear, GELU, Linear. "
        "forward: collect gives the vectors in the right order, (B, width) each, with zeros where "
        "absent; put them after each other on the last axis, (B, D); the network gives (B, K).",
        "self.sizes = (sum(widths.values()), hidden, outputs); self.network = network(*self.sizes); "
        "and in forward: vectors, _ = collect(features, self.widths, present); "
        "return self.network(torch.cat(list(vectors.values()), dim=-1))",
    ),
)
WIDTHS = {"words": 4, "image": 3, "sound": 2}  # neither alphabetical nor by size
K, HIDDEN = 5, 6


def given(case: Case) -> dict[str, Tensor]:
    """Features of 7 samples, in the order of WIDTHS."""
    return {name: case.normal(B=7, width=width) for name, width in WIDTHS.items()}


def some_absent(case: Case) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Features with nan where a modality is absent, and who is present: the words always are."""
    features = given(case)
    present = {
        "sound": torch.tensor([True, False, True, True, False, True, False]),
        "image": torch.tensor([False, True, True, False, False, True, True]),
    }
    for name, mask in present.items():
        features[name][~mask] = math.nan
    return features, present


def oracle(fusion, features, present=None):
    """One sample at a time, with both layers and the exact GELU written out."""
    first, last, rows = fusion.network[0], fusion.network[2], []
    for sample in range(7):
        joined = []
        for name, width in WIDTHS.items():
            there = name in features and bool((present or {}).get(name, torch.ones(7))[sample])
            joined += list(features[name][sample]) if there else [torch.tensor(0.0)] * width
        x = first.weight @ torch.stack(joined).to(first.weight) + first.bias
        rows.append(last.weight @ (x * (1 + torch.erf(x / math.sqrt(2))) / 2) + last.bias)
    return torch.stack(rows)


@exercise.holds("the network is Linear, GELU, Linear: from D = 4 + 3 + 2 to hidden to K")
def parameters(fusion_class, case):
    fusion = case.build(fusion_class, WIDTHS, K, HIDDEN)
    case.equal(
        {name: tuple(parameter.shape) for name, parameter in fusion.named_parameters()},
        {
            "network.0.weight": (6, 9),
            "network.0.bias": (6,),
            "network.2.weight": (5, 6),
            "network.2.bias": (5,),
        },
        "parameters",
    )


@exercise.holds("cost() can be told from the sizes: (9 + 1) 6 + (6 + 1) 5 parameters")
def cost(fusion_class, case):
    fusion = case.build(fusion_class, WIDTHS, K, HIDDEN)
    case.equal(tuple(case.call(fusion.cost)), (95, 84), "cost")


@exercise.holds("a row a sample, a column an output")
def shape(fusion_class, case):
    fusion = case.build(fusion_class, WIDTHS, K, HIDDEN)
    case.sizes["K"] = K
    case.shape(case.call(fusion, given(case)), "B K")


@exercise.holds("the network reads the vectors side by side, in the order of widths")
def numbers(fusion_class, case):
    fusion, features = case.build(fusion_class, WIDTHS, K, HIDDEN), given(case)
    case.equal(case.call(fusion, features), oracle(fusion, features))


@exercise.holds("in whichever order the call names them, the result is the same")
def any_order(fusion_class, case):
    fusion, features = case.build(fusion_class, WIDTHS, K, HIDDEN), given(case)
    other = {name: features[name] for name in ("sound", "words", "image")}
    case.equal(case.call(fusion, other), oracle(fusion, features))


@exercise.holds("a name that is left out is zeros for all samples")
def left_out(fusion_class, case):
    fusion, features = case.build(fusion_class, WIDTHS, K, HIDDEN), given(case)
    del features["image"]
    case.equal(case.call(fusion, features), oracle(fusion, features))


@exercise.holds("where a modality is absent it is zeros, whatever stands there: even nan")
def absent(fusion_class, case):
    fusion, (features, present) = case.build(fusion_class, WIDTHS, K, HIDDEN), some_absent(case)
    case.equal(case.call(fusion, features, present), oracle(fusion, features, present))


@exercise.holds("a sample without any modality is refused with a ValueError")
def refused(fusion_class, case):
    fusion, sound = case.build(fusion_class, WIDTHS, K, HIDDEN), given(case)["sound"]
    present = {"sound": torch.tensor([True, True, False, True, True, True, True])}
    case.refuses(ValueError, fusion, {"sound": sound}, present)


@exercise.holds("the features are left as they were")
def unchanged(fusion_class, case):
    fusion, (features, present) = case.build(fusion_class, WIDTHS, K, HIDDEN), some_absent(case)
    case.call(fusion, features, present)
    case.unchanged()


@exercise.holds("the gradients reach all features and the network, and are 0 where absent")
def gradients(fusion_class, case):
    fusion = case.build(fusion_class, WIDTHS, K, HIDDEN).double()
    features, present = some_absent(case)

    def mine(words, image, sound):
        return fusion({"words": words, "image": image, "sound": sound}, present)

    def slow(words, image, sound):
        return oracle(fusion, {"words": words, "image": image, "sound": sound}, present)

    case.gradients(mine, slow, *features.values(), parameters=fusion)
