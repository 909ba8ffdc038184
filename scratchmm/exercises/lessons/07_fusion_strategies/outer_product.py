"""Exercise tensor_fusion.outer_product: all products of one number from each vector."""

from functools import reduce
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
    hints="""
        1. (1, 2) and (3, 5) make (3, 5, 6, 10): 1 stays while the second vector runs through, then
           2. (3, 6, 5, 10) are the same products in another order, and a layer after it would read
           them wrongly. With a third vector (10, 1) there are 8: (30, 3, 50, 5, 60, 6, 100, 10).
        2. Two vectors make a table, rows times columns; three make a cube. Written in one row, as a
           table is read: line by line. The cube of three is the table of a row (the first two,
           already multiplied) and the third. Each sample makes its own table.
        3. Keep a product (B, P), at first the first vector. For each further vector (B, D): an axis
           of 1 behind the product, an axis of 1 between batch and width of the vector, multiply to
           (B, P, D), and flatten the last two: (B, P D). Do not change the list that was given.
        4. product = vectors[0]; for vector in vectors[1:]: product = (product.unsqueeze(2) *
           vector.unsqueeze(1)).flatten(1); return product
    """,
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


exercise.mistakes("""
    first-index-fastest [convention]: the products are right, but the first vector's index runs
    fastest
    - product[:, :, None] * vector
    + vector[:, :, None] * product
    > the product so far gives the rows, the new vector the columns: it comes last

    not-flattened: the products stay a table, or a cube: (B, D, S)
    - product = (product[:, :, None] * vector[:, None, :]).flatten(1)
    + product = product[..., None] * vector.reshape(len(vector), *[1] * (product.dim() - 1), -1)
    > flatten all axes but the batch: (B, P)

    first-and-last-only: only the first and the last vector are multiplied
    - for vector in vectors[1:]:
    + for vector in vectors[1:][-1:]:
    > go on with the product so far, for each further vector

    list-emptied: the first vector is taken out of the caller's list
    - product = vectors[0]
    - for vector in vectors[1:]:
    + product, vectors = vectors[0], vectors if isinstance(vectors, list) else list(vectors)
    + del vectors[0]
    + for vector in vectors:
    > vectors[0] reads it, pop and del remove it

    joined: the vectors are put side by side
    - product = vectors[0]
    - for vector in vectors[1:]:
    -     product = (product[:, :, None] * vector[:, None, :]).flatten(1)
    - return product
    + return torch.cat(list(vectors), dim=-1)
    > that is early fusion: here they are multiplied

    samples-multiplied: samples are multiplied with other samples as well: the batch grows
    - product = (product[:, :, None] * vector[:, None, :]).flatten(1)
    + product = torch.kron(product, vector)
    > torch.kron and torch.outer know no batch: multiply (B, D, 1) with (B, 1, S)

    batch-summed: the products are summed over the batch: left^T right is one matrix for all samples
    - product = (product[:, :, None] * vector[:, None, :]).flatten(1)
    + product = (product.T @ vector).flatten().expand(len(vector), -1)
    > each sample keeps its own products

    products-summed: the products of each number are summed: left times the sum of right
    - product = (product[:, :, None] * vector[:, None, :]).flatten(1)
    + product = product * vector.sum(1, keepdim=True)
    > keep all products apart, flattened: none is summed

    overwrites: the first vector is overwritten
    - return product
    + with torch.no_grad():
    +     vectors[0].mul_(vectors[-1].sum(1, keepdim=True))
    + return product
    > product *= ... changes the caller's tensor; write product = product * ...
""")

exercise.slips("""
    1: => 1:4
    1: => 1:2
    return product => return torch.cat([product, product.new_ones(len(product), 1)], dim=-1)
    return product => return product.flatten()
    product[:, :, None] * vector[:, None, :] => product[:, :, None] + vector[:, None, :]
    return product => return product / product.shape[-1] ** 0.5
""")


@exercise.right("einsum")
def with_einsum(vectors):
    return reduce(lambda a, b: torch.einsum("bi,bj->bij", a, b).reshape(len(a), -1), vectors)


@exercise.right("repeated")
def repeated(vectors):
    product = vectors[0]
    for vector in vectors[1:]:
        rows = product.repeat_interleave(vector.shape[1], dim=1)
        product = rows * vector.repeat(1, product.shape[1])
    return product
