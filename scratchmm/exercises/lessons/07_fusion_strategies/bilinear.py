"""Exercise bilinear.BilinearFusion: every number of one times every number of another."""

import math
from itertools import product

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.fusion.modalities import collect

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
    hints="""
        1. An image is (1, 2), the words are (3), and one output has the weights 10 and 1 for it:
           1 * 10 * 3 + 2 * 1 * 3 = 36, plus the bias. With the words at (0) only the bias is left:
           a product needs both. Three modalities make three pairs; the bias is still added once.
        2. A sum over modalities can't tell 'red and square' from 'red' and 'square'; a product can:
           it is large only where both are. Each output k has a weight for every product of two
           numbers, a matrix W_k of D rows and S columns. Each sample meets itself alone.
        3. collect gives vectors (B, width), zeros where absent: there all products are 0. The pairs
           and self.weights go together, a weight is (K, D, S). (B, D) with (K, D, S) gives (B, K,
           S), summed over D; that with (B, S) gives (B, K). Add the pairs and the bias.
        4. vectors, there = collect(...); total = self.bias.expand(len(there), -1); for each pair:
           total = total + torch.einsum('bd,kds,bs->bk', vectors[left], weight, vectors[right])
    """,
)
WIDTHS = {"words": 4, "image": 3, "sound": 2}  # neither alphabetical nor by size
K = 6


def made(case: Case, fusion_class):
    """The fusion, and features of 5 samples, in the order of WIDTHS."""
    features = {name: case.normal(B=5, width=width) for name, width in WIDTHS.items()}
    return case.build(fusion_class, WIDTHS, K), features


def some_absent(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """Masks; the features are made nan or 100 where absent. The words are always present."""
    present = {
        "sound": torch.tensor([True, False, True, False, True]),
        "image": torch.tensor([True, True, False, False, False]),
    }
    for name, number in (("sound", math.nan), ("image", 100.0)):
        features[name][~present[name]] = number
    return present


def slow(fusion, features, present=None):
    """The oracle: one sample, one output, one pair at a time, where both are present."""
    weights = dict(zip(fusion.pairs, fusion.weights, strict=True))
    rows = []
    for sample, k in product(range(5), range(K)):
        total = fusion.bias[k]
        for pair, weight in weights.items():
            if all(n in features and (present or {}).get(n, [True] * 5)[sample] for n in pair):
                left, right = (features[name][sample] for name in pair)
                total = total + (weight[k] * left[:, None] * right).sum()
        rows.append(total)
    return torch.stack(rows).view(5, K)


def agree(case, fusion, features, present=None):
    case.equal(case.call(fusion, features, present), slow(fusion, features, present))


@exercise.holds("where all features are zeros, what is left is the bias, once")
def bias(fusion_class, case):
    fusion, features = made(case, fusion_class)
    agree(case, fusion, {name: torch.zeros_like(x) for name, x in features.items()})


@exercise.holds("each output is the sum over all three pairs of left^T W_k right, and its bias")
def three(fusion_class, case):
    agree(case, *made(case, fusion_class))


@exercise.holds("the order of the names is free; one that is left out takes only its pairs with it")
def other_names(fusion_class, case):
    fusion, features = made(case, fusion_class)
    for names in (("sound", "words", "image"), ("words", "sound")):
        agree(case, fusion, {name: features[name] for name in names})


@exercise.holds("a pair with an absent modality adds nothing, whatever its numbers are: even nan")
def absent(fusion_class, case):
    fusion, features = made(case, fusion_class)
    agree(case, fusion, features, some_absent(features))


@exercise.holds("called twice, it gives the same: neither weights nor features are changed")
def twice(fusion_class, case):
    fusion, features = made(case, fusion_class)
    present = some_absent(features)
    first = case.call(fusion, features, present)
    case.unchanged()
    case.equal(case.call(fusion, features, present), first)


@exercise.holds("the gradients reach features, weights and bias, and are 0 where absent")
def gradients(fusion_class, case):
    fusion, features = made(case, fusion_class)
    present, fusion = some_absent(features), fusion.double()
    case.gradients(
        lambda *vectors: fusion(dict(zip(WIDTHS, vectors)), present),
        lambda *vectors: slow(fusion, dict(zip(WIDTHS, vectors)), present),
        *features.values(),
        parameters=fusion,
    )


@exercise.holds("a sample without any modality is refused with a ValueError")
def refused(fusion_class, case):
    fusion, features = made(case, fusion_class)
    case.refuses(ValueError, fusion, {"sound": features["sound"]}, {"sound": torch.arange(5) != 3})


exercise.mistakes("""
    signed-root [convention]: a signed root is taken and the result made unit length (the paper's)
    - return total
    + total = total.sign() * (total.abs() + 1e-12).sqrt()
    + return nn.functional.normalize(total, dim=-1)
    > here nothing comes after the sum (see Differs from the paper)

    left-plus-right: left and right go through the weights and are added: a linear layer
    - total = total + bilinear(vectors[left], vectors[right], weight)
    + total = total + vectors[left] @ weight.sum(2).T + vectors[right] @ weight.sum(1).T
    > left^T W_k right multiplies: where one is zeros, nothing is left

    equal-places-only: only numbers at equal places are multiplied: first with first, and so on
    - total = total + bilinear(vectors[left], vectors[right], weight)
    + products = [x * y for x, y in zip(vectors[left].T, vectors[right].T)]
    + total = total + torch.stack(products, 1) @ weight.diagonal(dim1=1, dim2=2).T
    > every number of one with every number of the other: D S products

    samples-mixed: each sample's left vector meets the right vectors of the whole batch
    - total = total + bilinear(vectors[left], vectors[right], weight)
    + total = total + vectors[left] @ (weight @ vectors[right].sum(0)).T
    > in an einsum the batch has one letter everywhere: 'bd,kds,bs->bk'

    pairs-as-named: the pairs are made in the order in which the call names the modalities
    - for (left, right), weight in zip(self.pairs, self.weights, strict=True):
    + order = dict.fromkeys([*features, *self.widths])
    + for (left, right), weight in zip(combinations(order, 2), self.weights, strict=True):
    > self.pairs says which weight belongs to which pair

    times-the-mask: absent numbers are multiplied by 0, but nan times 0 is nan
    - total = self.bias.expand(there.shape[0], -1)
    + for index, name in enumerate(vectors):
    +     vectors[name] = features.get(name, vectors[name]) * there[:, index, None]
    + total = self.bias.expand(there.shape[0], -1)
    > choose instead of multiplying: collect, masked_fill or torch.where

    not-refused: a sample without any modality gets an answer: the bias
    - vectors, there = collect(features, self.widths, present)
    + there = next(iter(features.values()))
    + vectors = {n: features.get(n, there.new_zeros(len(there), w)) for n, w in self.widths.items()}
    + for n, mask in (present or {}).items():
    +     vectors[n] = vectors[n].masked_fill(~mask[:, None], 0.0)
    > collect raises the ValueError: hand it `present` too

    overwrites: zeros are written into the caller's own features
    - return total
    + with torch.no_grad():
    +     for name, mask in (present or {}).items():
    +         features[name][~mask] = 0.0
    + return total
    > x[...] = 0 changes the tensor that was passed in; masked_fill makes a new one
""")

exercise.slips("""
    self.bias.expand => torch.zeros_like(self.bias).expand
    self.bias.expand => self.bias.detach().expand
    return total => return total.sum(dim=1)
    return total => return total + (len(self.pairs) - 1) * self.bias
    return total => return total.where(there.all(1, keepdim=True), self.bias)
    return total => self.bias.data = total[0].detach().clone(); return total
    collect(features, self.widths, present) => features, next(iter(features.values()))
    zip(self.pairs, self.weights, strict=True) => [(self.pairs[0], self.weights[0])]
    zip(self.pairs, self.weights, strict=True) => [*zip(self.pairs, self.weights)][::2]
    total + bilinear => self.bias + bilinear
    vectors[right], weight) => vectors[right], weight) / len(self.pairs)
    vectors[right], weight) => vectors[right], self.weights[0])
    vectors[right], weight) =>
        vectors[right], weight) / (self.widths[left] * self.widths[right]) ** 0.5
    vectors[left], vectors[right], weight => vectors[left].detach(), vectors[right].detach(), weight
    vectors[left], vectors[right], weight =>
        vectors[right], vectors[left], weight.reshape(len(weight), weight.shape[2], -1)
    vectors[left], vectors[right], weight =>
        *[vectors[n].where(there[:, [[*self.widths].index(n)]], 1.0) for n in (left, right)], weight
    torch.einsum("bks,bs->bk", half, right) => half.sum(dim=2)
""")


@exercise.right("outer products and one matrix", method="forward")
def outer_products(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    products = [(vectors[a][:, :, None] * vectors[b][:, None]).flatten(1) for a, b in self.pairs]
    matrix = torch.cat([weight.flatten(1) for weight in self.weights], 1)
    return torch.cat(products, 1) @ matrix.mT + self.bias


@exercise.right("right vector first", method="forward")
def right_first(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    total = self.bias[None].repeat(len(there), 1)
    for (left, right), weight in zip(self.pairs, self.weights, strict=True):
        half = weight[None] @ vectors[right][:, None, :, None]
        total += (vectors[left][:, None, None] @ half)[..., 0, 0]
    return total
