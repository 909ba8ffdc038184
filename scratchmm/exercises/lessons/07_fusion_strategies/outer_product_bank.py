"""Wrong and other right answers to tensor_fusion.outer_product."""

from functools import reduce
from itertools import combinations

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("07_fusion_strategies/outer_product").exercise

STEP = "(product[:, :, None] * vector[:, None, :]).flatten(1)"


def pair(left, right):
    """All products of two vectors."""
    return (left[:, :, None] * right[:, None, :]).flatten(1)


exercise.edit(
    "first-index-fastest",
    (STEP, "(vector[:, :, None] * product[:, None, :]).flatten(1)"),
    story="the products are right, but the first vector's index runs fastest",
    advice="the product so far gives the rows, the new vector the columns: it comes last",
    convention=True,
)
exercise.edit(
    "added",
    (STEP, "(product[:, :, None] + vector[:, None, :]).flatten(1)"),
    story="the numbers are added and not multiplied",
    advice="an outer product multiplies",
)
exercise.edit(
    "four-at-most",
    ("vectors[1:]", "vectors[1:4]"),
    story="only the first four vectors are multiplied",
    advice="a loop over all that are there",
)
exercise.edit(
    "first-twice",
    ("vectors[1:]", "vectors"),
    story="the first vector is multiplied with itself as well",
    advice="start from the first vector, and go on with the second",
)
exercise.edit(
    "last-twice",
    ("vectors[0]", "vectors[-1]"),
    story="the last vector is multiplied with itself, and the first one has no part",
    advice="start from the first vector, and go on with the others",
)
exercise.edit(
    "not-flattened",
    (STEP, "product[..., None] * vector.reshape(len(vector), *[1] * (product.dim() - 1), -1)"),
    story="the products stay a table, or a cube: (B, D, S)",
    advice="flatten all axes but the batch: (B, P)",
)
exercise.edit(
    "flattened-whole",
    ("return product", "return product.flatten()"),
    story="the batch is flattened too",
    advice="flatten(1) leaves the batch alone",
)
exercise.edit(
    "first-two-only",
    ("vectors[1:]", "vectors[1:2]"),
    story="only the first two vectors are multiplied",
    advice="go on with the product so far, for each further vector",
)
exercise.edit(
    "first-and-last-only",
    ("vectors[1:]", "vectors[1:][-1:]"),
    story="only the first and the last vector are multiplied",
    advice="go on with the product so far, for each further vector",
)
exercise.edit(
    "one-appended-here",
    ("return product", "return torch.cat([product, product.new_ones(len(product), 1)], dim=-1)"),
    story="a 1 is appended to the products",
    advice="the ones are appended to each vector, and elsewhere: this is the product alone",
)
exercise.edit(
    "list-emptied",
    ("vectors[0]", "vectors.pop(0) if isinstance(vectors, list) else vectors[0]"),
    ("vectors[1:]", "(vectors if isinstance(vectors, list) else vectors[1:])"),
    story="the first vector is taken out of the caller's list",
    advice="vectors[0] reads it, pop removes it",
)
exercise.edit(
    "scaled",
    ("return product", "return product / product.shape[-1] ** 0.5"),
    story="the products are divided by the root of their number",
    advice="the products as they are",
)
exercise.edit(
    "detached",
    ("return product", "return product.detach()"),
    story="no gradient reaches the vectors",
    advice="no detach, no no_grad, no .data",
)


@exercise.wrong(
    "equal-places-only",
    story="first is multiplied with first and second with second",
    advice="every number of one with every number of the other: put an axis of 1 into each",
)
def equal_places_only(vectors):
    product = vectors[0]
    for vector in vectors[1:]:
        product = product * vector
    return product


@exercise.wrong(
    "joined",
    story="the vectors are put side by side",
    advice="that is early fusion: here they are multiplied",
)
def joined(vectors):
    return torch.cat(list(vectors), dim=-1)


@exercise.wrong(
    "pairs-only",
    story="every two vectors are multiplied, but never three together",
    advice="multiply the product so far with each further vector: P is the product of all widths",
)
def pairs_only(vectors):
    if len(vectors) == 1:
        return vectors[0]
    return torch.cat([pair(left, right) for left, right in combinations(vectors, 2)], dim=-1)


@exercise.wrong(
    "chain-of-neighbours",
    story="each vector is multiplied with the next one, and the tables are put side by side",
    advice="multiply the product so far with each further vector: P is the product of all widths",
)
def chain_of_neighbours(vectors):
    if len(vectors) == 1:
        return vectors[0]
    return torch.cat([pair(a, b) for a, b in zip(vectors[:-1], vectors[1:])], dim=-1)


@exercise.wrong(
    "samples-multiplied",
    story="samples are multiplied with other samples as well: the batch grows",
    advice="torch.kron and torch.outer know no batch: multiply (B, D, 1) with (B, 1, S)",
)
def samples_multiplied(vectors):
    return reduce(torch.kron, vectors)


@exercise.wrong(
    "batch-summed",
    story="the products are summed over the batch: left^T right is one matrix for all samples",
    advice="each sample keeps its own products",
)
def batch_summed(vectors):
    product = vectors[0]
    for vector in vectors[1:]:
        product = (product.T @ vector).flatten().expand(len(vector), -1)
    return product


@exercise.wrong(
    "products-summed",
    story="the products of each number are summed: left times the sum of right",
    advice="keep all products apart, flattened: none is summed",
)
def products_summed(vectors):
    product = vectors[0]
    for vector in vectors[1:]:
        product = product * vector.sum(1, keepdim=True)
    return product


@exercise.wrong(
    "overwrites",
    story="the first vector is overwritten",
    advice="product *= ... changes the caller's tensor; write product = product * ...",
)
def overwrites(vectors):
    product = reduce(pair, vectors).clone()
    with torch.no_grad():
        vectors[0].mul_(vectors[-1].sum(1, keepdim=True))
    return product


@exercise.disguise("first-index-fastest")
def last_first(vectors):
    return reduce(pair, list(vectors)[::-1])


@exercise.disguise("added")
def grid_of_sums(vectors):
    return reduce(lambda a, b: (a.unsqueeze(2) + b.unsqueeze(1)).flatten(1), vectors)


@exercise.disguise("samples-multiplied")
def with_einsum_of_all(vectors):
    product = vectors[0]
    for vector in vectors[1:]:
        product = torch.einsum("bd,cs->bcds", product, vector).flatten(2).flatten(0, 1)
    return product


@exercise.right("einsum")
def with_einsum(vectors):
    return reduce(lambda a, b: torch.einsum("bi,bj->bij", a, b).reshape(len(a), -1), vectors)


@exercise.right("batched matrix product")
def matrix_product(vectors):
    product = vectors[0].new_ones(len(vectors[0]), 1)
    for vector in vectors:
        product = torch.bmm(product.unsqueeze(2), vector.unsqueeze(1)).flatten(1)
    return product


@exercise.right("repeated")
def repeated(vectors):
    product = vectors[0]
    for vector in vectors[1:]:
        rows = product.repeat_interleave(vector.shape[1], dim=1)
        product = rows * vector.repeat(1, product.shape[1])
    return product
