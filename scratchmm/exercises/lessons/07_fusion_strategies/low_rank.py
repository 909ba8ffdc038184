"""Exercise low_rank.LowRankFusion: tensor fusion without ever making the tensor."""

import math
from functools import reduce

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.fusion.modalities import collect
from scratchmm.fusion.tensor_fusion import append_one

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
    hints="""
        1. Two modalities of one number each, x = 2 and y = 3, so (2, 1) and (3, 1); one output, two
           ranks. The factors of x are (1, 0) and (0, 1), those of y (1, 0) and (0, 5). Rank 1 gives
           2 times 3, rank 2 gives 1 times 5: the answer is 11. The tensor is [[1, 0], [0, 5]].
        2. A matrix of rank R is a sum of R products of a column and a row. To multiply it with two
           vectors you need not make it: (x' a)(b' y) is two small sums and one product, for each
           rank. See The same for less in the lesson. What is absent is (0, ..., 0, 1), as before.
        3. forward: for each modality (B, D + 1) and (R, K, D + 1) give (B, R, K), a sum over D + 1.
           Multiply these over the modalities, number by number; only then add over R: (B, K).
           tensor: from (R, K, D + 1) and (R, K, S + 1) make (R, K, D + 1, S + 1), r and k kept side
           by side and not summed; then the next modality; last the sum over R.
        4. torch.einsum("bd,rkd->brk", append_one(vector), self.factors[name]) for each name in
           collect's vectors, multiplied with *, then .sum(dim=1). For the tensor:
           torch.einsum("rk...,rkd->rk...d", product, factor), and .sum(dim=0) at the end.
    """,
)
WIDTHS = {"words": 5, "image": 3, "sound": 1}  # neither alphabetical nor by size
B, K, R = 9, 7, 8


def vectors(case: Case) -> dict[str, Tensor]:
    """Features of 9 samples, the words last: not the order of WIDTHS."""
    sound, image = case.normal(B=B, U=1), case.normal(B=B, S=3)
    return {"sound": sound, "image": image, "words": case.normal(B=B, D=5)}


def some_absent(case: Case, garbage: float = math.nan) -> tuple[dict[str, Tensor], ...]:
    """Features with garbage where a modality is absent, and masks; the words are always present."""
    features = vectors(case)
    present = {
        "sound": torch.tensor([1, 0, 1, 1, 0, 1, 0, 0, 1]).bool(),
        "image": torch.tensor([0, 1, 1, 0, 0, 1, 1, 0, 1]).bool(),
    }
    for name, number in (("sound", garbage), ("image", 3.0)):
        features[name][~present[name]] = number
    return features, present


def outer(tensors: list[Tensor]) -> Tensor:
    """(N, D, S, ...): for each row on its own all products of (N, D), (N, S), ..."""
    return reduce(lambda x, y: x[..., None] * y.reshape(len(y), *[1] * (x.dim() - 1), -1), tensors)


def whole(fusion) -> Tensor:
    """The tensor (K, D + 1, S + 1, ...), rank by rank."""
    ranks = zip(*(fusion.factors[name] for name in fusion.widths), strict=True)
    return torch.stack([outer(list(rank)) for rank in ranks]).sum(0)


def oracle(fusion, features, present=None):
    """All products of all modalities, times the whole tensor."""
    like, rows = next(iter(features.values())), []
    for name, width in fusion.widths.items():
        x = features.get(name, like.new_zeros(len(like), width))
        if present and name in present:
            x = torch.where(present[name][:, None], x, like.new_zeros(()))
        rows.append(torch.hstack([x, like.new_ones(len(like), 1)]))
    return outer(rows).flatten(1) @ whole(fusion).flatten(1).T


def agree(case, fusion, features, present=None):
    case.equal(case.call(fusion, features, present), oracle(fusion, features, present))


@exercise.holds("one modality alone is a Linear layer, its weights added over the ranks")
def alone(fusion_class, case):
    agree(case, case.build(fusion_class, {"words": 5}, K, R), {"words": case.normal(B=B, D=5)})


@exercise.holds("with one rank, the projections of the modalities are multiplied")
def one_rank(fusion_class, case):
    agree(case, case.build(fusion_class, WIDTHS, K, 1), vectors(case))


@exercise.holds("it is all products of all modalities (each with a 1) times the whole tensor")
def numbers(fusion_class, case):
    agree(case, case.build(fusion_class, WIDTHS, K, R), vectors(case))


@exercise.holds("a name that is left out is (0, ..., 0, 1) for all samples")
def left_out(fusion_class, case):
    fusion, features = case.build(fusion_class, WIDTHS, K, R), vectors(case)
    del features["image"]
    agree(case, fusion, features)


@exercise.holds("where a modality is absent it is (0, ..., 0, 1), even if its numbers are nan")
def absent(fusion_class, case):
    agree(case, case.build(fusion_class, WIDTHS, K, R), *some_absent(case))


@exercise.holds("a sample without any modality is refused with a ValueError")
def refused(fusion_class, case):
    fusion, sound = case.build(fusion_class, WIDTHS, K, R), vectors(case)["sound"]
    case.refuses(ValueError, fusion, {"sound": sound}, {"sound": torch.arange(B) != 4})


@exercise.holds("the features are left as they were")
def unchanged(fusion_class, case):
    fusion, (features, present) = case.build(fusion_class, WIDTHS, K, R), some_absent(case)
    before = {name: feature.clone() for name, feature in features.items()}
    case.call(fusion, features, present)
    case.equal(case.seen(features), before, "the features afterwards")


@exercise.holds("the gradients reach all features and all factors, and are 0 where absent")
def gradients(fusion_class, case):
    fusion = case.build(fusion_class, WIDTHS, K, R).double()
    features, present = some_absent(case, garbage=2.0)
    case.gradients(
        lambda *given: fusion(dict(zip(features, given, strict=True)), present),
        lambda *given: oracle(fusion, dict(zip(features, given, strict=True)), present),
        *features.values(),
        parameters=fusion,
    )


@exercise.holds("tensor() is the sum over the ranks of the factors' outer products")
def tensor_numbers(fusion_class, case):
    for widths in (WIDTHS, {"words": 5}, {**WIDTHS, "touch": 2}):
        fusion = case.build(fusion_class, widths, K, R)
        case.equal(case.call(fusion.tensor), whole(fusion), f"the tensor of {len(widths)}")


@exercise.holds("gradients pass through tensor() to the factors")
def tensor_gradients(fusion_class, case):
    fusion = case.build(fusion_class, WIDTHS, K, R).double()
    case.gradients(lambda: fusion.tensor(), lambda: whole(fusion), parameters=fusion)


exercise.mistakes("""
    ranks-first: each modality is added over the ranks before the modalities are multiplied
    - torch.einsum("bd,rkd->brk", append_one(vector), self.factors[name])
    + append_one(vector) @ self.factors[name].sum(dim=0).T
    - return product.sum(dim=1)
    + return product
    > a product of sums is no sum of products: multiply rank by rank, add the ranks last

    modalities-added: the projections of the modalities are added, not multiplied
    - product * projected
    + product + projected
    > without a product no number of one modality ever meets one of another

    no-one: no 1 is appended: the last number of each factor is not used
    - append_one(vector), self.factors[name]
    + vector, self.factors[name][..., :-1]
    > append_one: the 1 keeps the products of fewer modalities, and the bias

    one-in-front [convention]: the 1 stands in front of the vector, not behind it
    - append_one(vector)
    + append_one(vector).roll(1, dims=-1)
    > append_one puts it last; the last number of a factor belongs to it

    absent-silences: an absent modality's projection is 0, and so are all products with it
    - vectors, _ = collect(features, self.widths, present)
    + vectors, there = collect(features, self.widths, present)
    - return product.sum(dim=1)
    + return product.sum(dim=1) * there.all(dim=1, keepdim=True)
    > only its vector is zero; its 1 stays, so project (0, ..., 0, 1)

    not-refused: a sample without any modality gets an answer
    - vectors, _ = collect(features, self.widths, present)
    + like = next(iter(features.values()))
    + vectors = {n: features.get(n, like.new_zeros(len(like), w)) for n, w in self.widths.items()}
    + for n, mask in (present or {}).items():
    +     vectors[n] = vectors[n].masked_fill(~mask[:, None], 0.0)
    > collect refuses it: hand it features, self.widths and present

    features-replaced: the caller's dictionary gets the vectors with a 1 appended
    - return product.sum(dim=1)
    + features.update({name: append_one(x) for name, x in features.items()})
    + return product.sum(dim=1)
    > keep them in a variable of your own: features belongs to the caller

    tensor-ranks-first: the factors are added over the ranks before their outer product: rank 1
    - self.factors[name] for name
    + self.factors[name].sum(dim=0, keepdim=True) for name
    > an outer product for each rank, then the sum

    tensor-outputs-last [convention]: the outputs are the last axis of the tensor
    - return product.sum(dim=0)
    + return product.sum(dim=0).movedim(0, -1)
    > outputs first, then the modalities in the order of widths
""")

exercise.slips("""
    vectors, _ = => vectors, there = ;;
        name, vector in vectors.items() => kept, (name, vector) in zip(there.T, vectors.items()) ;;
        self.factors[name]) => self.factors[name]).where(kept[:, None, None], 1.0)
    product * projected => product + projected ;; product.sum(dim=1) => product.prod(dim=1)
    vectors.items() => ((n, x) for n, x in vectors.items() if n in features)
    vectors.items() => zip(self.widths, map(vectors.get, features))
    append_one(vector), self.factors[name] => append_one(vector), self.factors[name].data
    return product.sum(dim=1) => return product
    return product.sum(dim=0) => return product
    return product.sum(dim=0) => return product.sum(dim=0).flatten(1)
    "rk...,rkd->rk...d" => "rk...,rkd->rkd..."
    self.factors[name] for name => self.factors[name][..., :-1] for name
    factor in others => factor in others[:2]
""")


@exercise.right("by the tensor", method="forward")
def by_the_tensor(self, features, present=None):
    found, _ = collect(features, self.widths, present)
    answer = self.tensor()[None]  # answers, then each modality, its 1 behind
    for x in found.values():
        vector = append_one(x).reshape(len(x), 1, -1, *[1] * (answer.dim() - 3))
        answer = (answer * vector).sum(dim=2)
    return answer


@exercise.right("broadcast", method="tensor")
def broadcast(self):
    total, count = 1.0, len(self.widths)
    for place, name in enumerate(self.widths):
        factor = self.factors[name]
        after = [1] * (count - place - 1)
        total = total * factor.reshape(*factor.shape[:2], *[1] * place, -1, *after)
    return total.sum(dim=0)
