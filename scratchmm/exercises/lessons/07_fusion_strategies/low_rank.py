"""Exercise low_rank.LowRankFusion: tensor fusion without ever making the tensor."""

import math

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="low_rank.LowRankFusion",
    order=80,
    target="scratchmm.fusion.low_rank:LowRankFusion",
    title="A tensor that is never made",
    goal="project each modality, multiply the projections, add over the ranks",
    minutes=25,
    difficulty=4,
    section="Low-rank fusion",
    needs=("tensor_fusion.append_one",),
    methods={
        "forward": "each vector with its 1 through its factors to (B, R, K); multiply the "
        "modalities, add the ranks",
        "tensor": "the weights (K, D + 1, S + 1, ...) that this equals: a sum over ranks of outer "
        "products",
    },
    hints=(
        "Two modalities of one number each, x = 2 and y = 3, so (2, 1) and (3, 1); one output, two "
        "ranks. The factors of x are (1, 0) and (0, 1), those of y (1, 0) and (0, 5). Rank 1 says "
        "2 times 3, rank 2 says 1 times 5: the answer is 11. The tensor is [[1, 0], [0, 5]].",
        "A matrix of rank R is a sum of R products of a column and a row. To multiply it with two "
        "vectors you need not make it: (x' a)(b' y) is two small sums and one product, for each "
        "rank. The lesson does so under The same for less. What is absent is (0, ..., 0, 1), as in "
        "tensor fusion, so its factors still have something to say.",
        "forward: for each modality (B, D + 1) and (R, K, D + 1) give (B, R, K), a sum over D + 1. "
        "Multiply these over the modalities, number by number; only then add over R: (B, K). "
        "tensor: from (R, K, D + 1) and (R, K, S + 1) make (R, K, D + 1, S + 1), r and k kept side "
        "by side and not summed; then the next modality; last the sum over R.",
        'torch.einsum("bd,rkd->brk", append_one(vector), self.factors[name]) for each name in '
        "collect's vectors, multiplied with *, then .sum(dim=1). For the tensor: "
        'torch.einsum("rk...,rkd->rk...d", product, factor), and .sum(dim=0) at the end.',
    ),
)
WIDTHS = {"words": 5, "image": 3, "sound": 1}  # neither alphabetical nor by size
B, K, R = 9, 7, 8


def vectors(case: Case) -> dict[str, Tensor]:
    """Features of 9 samples, the words last: not the order of WIDTHS."""
    return {
        "sound": case.normal(B=B, U=1),
        "image": case.normal(B=B, S=3),
        "words": case.normal(B=B, D=5),
    }


def some_absent(case: Case) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Features with nan where a modality is absent, and who is present: the words always are."""
    features = vectors(case)
    present = {
        "sound": torch.tensor([1, 0, 1, 1, 0, 1, 0, 0, 1]).bool(),
        "image": torch.tensor([0, 1, 1, 0, 0, 1, 1, 0, 1]).bool(),
    }
    for name, mask in present.items():
        features[name][~mask] = math.nan
    return features, present


def with_one(features, name, present=None):
    """(B, D + 1): the vector and a 1; zeros and a 1 where absent."""
    count = len(next(iter(features.values())))
    like = next(iter(features.values()))
    vector = features.get(name, like.new_zeros(count, WIDTHS[name]))
    if present and name in present:
        vector = torch.where(present[name][:, None], vector, like.new_zeros(()))
    return torch.hstack([vector, like.new_ones(count, 1)])


def whole(factors):
    """The tensor (K, 6, 4, 2) of three modalities, rank by rank."""
    total = torch.tensor(0.0)
    for r in range(len(factors["words"])):
        words, image, sound = (factors[name][r] for name in WIDTHS)
        outer = words[:, :, None, None] * image[:, None, :, None] * sound[:, None, None, :]
        total = total + outer
    return total


def oracle(fusion, features, present=None):
    """All products of all modalities, times the whole tensor."""
    words, image, sound = (with_one(features, name, present) for name in WIDTHS)
    products = words[:, :, None, None] * image[:, None, :, None] * sound[:, None, None, :]
    weights = whole(fusion.factors)
    return products.flatten(1) @ weights.flatten(1).T


def made(case, fusion_class):
    case.sizes["K"] = K
    return case.build(fusion_class, WIDTHS, K, R)


@exercise.holds("a row a sample, a column an output")
def shape(fusion_class, case):
    case.shape(case.call(made(case, fusion_class), vectors(case)), "B K")


@exercise.holds(
    "of one modality alone, it is a Linear layer whose weights are added over the ranks"
)
def alone(fusion_class, case):
    fusion = case.build(fusion_class, {"words": 5}, K, R)
    words = case.normal(B=B, D=5)
    weights = fusion.factors["words"].sum(0)
    expected = words @ weights[:, :-1].T + weights[:, -1]
    case.equal(case.call(fusion, {"words": words}), expected)


@exercise.holds("with one rank, the projections of the modalities are multiplied")
def one_rank(fusion_class, case):
    fusion = case.build(fusion_class, WIDTHS, K, 1)
    features = vectors(case)
    case.equal(case.call(fusion, features), oracle(fusion, features))


@exercise.holds("it is all products of all modalities (each with a 1) times the whole tensor")
def numbers(fusion_class, case):
    fusion, features = made(case, fusion_class), vectors(case)
    case.equal(case.call(fusion, features), oracle(fusion, features))


@exercise.holds("a name that is left out is (0, ..., 0, 1) for all samples")
def left_out(fusion_class, case):
    fusion, features = made(case, fusion_class), vectors(case)
    del features["image"]
    case.equal(case.call(fusion, features), oracle(fusion, features))


@exercise.holds("where a modality is absent it is (0, ..., 0, 1), whatever stands there: even nan")
def absent(fusion_class, case):
    fusion, (features, present) = made(case, fusion_class), some_absent(case)
    case.equal(case.call(fusion, features, present), oracle(fusion, features, present))


@exercise.holds("a sample without any modality is refused with a ValueError")
def refused(fusion_class, case):
    fusion, sound = made(case, fusion_class), vectors(case)["sound"]
    case.refuses(ValueError, fusion, {"sound": sound}, {"sound": torch.arange(B) != 4})


@exercise.holds("the features are left as they were")
def unchanged(fusion_class, case):
    fusion, (features, present) = made(case, fusion_class), some_absent(case)
    before = {name: feature.clone() for name, feature in features.items()}
    case.call(fusion, features, present)
    case.equal(case.seen(features), before, "the features afterwards")


@exercise.holds("the gradients reach all features and all factors, and are 0 where absent")
def gradients(fusion_class, case):
    fusion = made(case, fusion_class).double()
    features, present = some_absent(case)

    def named(function):
        def fused(sound, image, words):
            return function({"words": words, "sound": sound, "image": image}, present)

        return fused

    expected = named(lambda *given: oracle(fusion, *given))
    case.gradients(named(fusion), expected, *features.values(), parameters=fusion)


@exercise.holds("tensor() has an axis for the outputs, then one of D + 1 for each modality")
def tensor_shape(fusion_class, case):
    fusion = made(case, fusion_class)
    case.sizes.update(D=5, S=3, U=1)
    case.shape(case.call(fusion.tensor), "K D+1 S+1 U+1")


@exercise.holds("tensor() is the sum over the ranks of the factors' outer products")
def tensor_numbers(fusion_class, case):
    fusion = made(case, fusion_class)
    case.equal(case.call(fusion.tensor), whole(fusion.factors), "the tensor")


@exercise.holds("of one modality, tensor() is its factors added over the ranks")
def tensor_alone(fusion_class, case):
    fusion = case.build(fusion_class, {"words": 5}, K, R)
    case.equal(case.call(fusion.tensor), fusion.factors["words"].sum(0), "the tensor")


@exercise.holds("of four modalities, tensor() has an axis for each of them")
def tensor_of_four(fusion_class, case):
    fusion = case.build(fusion_class, {**WIDTHS, "touch": 2}, 3, 4)
    factors = [fusion.factors[name] for name in (*WIDTHS, "touch")]
    expected = torch.einsum("rka,rkb,rkc,rkd->kabcd", *factors)
    case.equal(case.call(fusion.tensor), expected, "the tensor")


@exercise.holds("tensor() lets gradients through to the factors")
def tensor_gradients(fusion_class, case):
    fusion = made(case, fusion_class).double()

    def tensor():
        return fusion.tensor()

    case.gradients(tensor, lambda: whole(fusion.factors), parameters=fusion)
