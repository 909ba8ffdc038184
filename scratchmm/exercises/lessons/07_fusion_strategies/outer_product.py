"""Exercise tensor_fusion.outer_product: all products of one number from each vector."""

from itertools import product
from math import prod

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="tensor_fusion.outer_product",
    order=60,
    target="scratchmm.fusion.tensor_fusion:outer_product",
    title="Tensor fusion",
    goal="every product of one number from each vector, the last vector's index fastest",
    minutes=15,
    difficulty=2,
    section="Tensor fusion",
    needs=("early.EarlyFusion",),
    hints=(
        "(1, 2) and (3, 5) make (3, 5, 6, 10): 1 stays while the second vector runs through, then 2. "
        "(3, 6, 5, 10) are the same products in another order, and a layer after it would read them "
        "wrongly. With a third vector (10, 1) there are 8: (30, 3, 50, 5, 60, 6, 100, 10).",
        "Two vectors make a table, rows times columns; three make a cube. Written in one row, as a "
        "table is read: line by line. The cube of three is the table of a row (the first two, already "
        "multiplied) and the third. Each sample makes its own table.",
        "Keep a product (B, P), at first the first vector. For each further vector (B, D): an axis of "
        "1 behind the product, an axis of 1 between batch and width of the vector, multiply to "
        "(B, P, D), and flatten the last two: (B, P D). Do not change the list that was given.",
        "product = vectors[0]; for vector in vectors[1:]: product = (product.unsqueeze(2) * "
        "vector.unsqueeze(1)).flatten(1); return product",
    ),
)


def three(case: Case) -> list[Tensor]:
    """Three vectors of 5 samples, each of another width."""
    return [case.normal(B=5, D=4), case.normal(B=5, S=3), case.normal(B=5, R=2)]


def slow(*vectors: Tensor) -> Tensor:
    """The oracle: one sample and one product at a time."""
    rows = []
    for sample in zip(*vectors, strict=True):
        rows.append(
            torch.stack([prod(numbers[1:], start=numbers[0]) for numbers in product(*sample)])
        )
    return torch.stack(rows)


@exercise.holds("(1, 2) and (3, 5, 1) make (3, 5, 1, 6, 10, 2)")
def example(outer_product, case):
    left = case.named(torch.tensor([[1.0, 2.0]]), "B D")
    right = case.named(torch.tensor([[3.0, 5.0, 1.0]]), "B S")
    expected = torch.tensor([[3.0, 5.0, 1.0, 6.0, 10.0, 2.0]])
    case.equal(case.call(outer_product, [left, right]), expected)


@exercise.holds("two vectors: every number of one times every number of the other, of one sample")
def pairs(outer_product, case):
    left, right, _ = three(case)
    expected = slow(left, right)
    case.equal(case.call(outer_product, [left, right]), expected)


@exercise.holds("three vectors make all 4 * 3 * 2 products of three, the last index fastest")
def triples(outer_product, case):
    vectors = three(case)
    expected = slow(*vectors)
    case.equal(case.call(outer_product, vectors), expected)


@exercise.holds("one vector alone is itself, and four are multiplied too")
def others(outer_product, case):
    vectors = [*three(case), case.normal(B=5, T=3)]
    alone, expected = vectors[0].clone(), slow(*vectors)
    case.equal(case.call(outer_product, vectors[:1]), alone)
    case.equal(case.call(outer_product, vectors), expected)


@exercise.holds("six vectors are multiplied as well")
def six(outer_product, case):
    vectors = [case.normal(B=2, D=2) for _ in range(6)]
    expected = slow(*vectors)
    case.equal(case.call(outer_product, vectors), expected)


@exercise.holds("the list and its vectors are left as they were")
def unchanged(outer_product, case):
    vectors = three(case)
    before = [vector.clone() for vector in vectors]
    case.call(outer_product, vectors)
    case.equal(case.seen(len(vectors)), 3, "vectors in the list afterwards")
    for number, (vector, copy) in enumerate(zip(vectors, before, strict=True)):
        case.equal(case.seen(vector), copy, f"vector {number} afterwards")


@exercise.holds("the gradients reach all vectors")
def gradients(outer_product, case):
    case.gradients(lambda *vectors: outer_product(vectors), slow, *three(case))
