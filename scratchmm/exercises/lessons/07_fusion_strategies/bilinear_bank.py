"""Wrong and other right answers to bilinear.BilinearFusion."""

from itertools import combinations

import torch

from scratchmm.exercises.format import exercise_file
from scratchmm.fusion.modalities import collect

exercise = exercise_file("07_fusion_strategies/bilinear").exercise

START = "self.bias.expand(there.shape[0], -1)"
ADDED = "total + bilinear(vectors[left], vectors[right], weight)"
GATHERED = "collect(features, self.widths, present)"


def pairs(self, vectors):
    """The left and the right vector of each pair, and its weight."""
    for (left, right), weight in zip(self.pairs, self.weights, strict=True):
        yield vectors[left], vectors[right], weight


exercise.edit(
    "no-bias",
    (START, "self.bias.new_zeros(len(there), len(self.bias))"),
    story="the bias is left out",
    advice="start from the bias, once for every sample",
)
exercise.edit(
    "bias-for-each-pair",
    (START, "self.bias.new_zeros(len(there), len(self.bias))"),
    (ADDED, ADDED + " + self.bias"),
    story="the bias is added for each pair: three times where there are three modalities",
    advice="one bias for all pairs together",
)
exercise.edit(
    "bias-detached",
    (START, "self.bias.detach().expand(len(there), -1)"),
    story="the bias is cut off and never learns",
    advice="no detach, no .data: self.bias.expand(...) keeps its gradient",
)
exercise.edit(
    "turned-round",
    (ADDED, "total + bilinear(vectors[right], vectors[left], weight)"),
    story="left and right are exchanged: the axes of the weight don't fit",
    advice="a weight is (K, D, S): D goes with the left one, S with the right one",
)
exercise.edit(
    "weights-reread",
    (ADDED, "total + bilinear(vectors[right], vectors[left], "
            "weight.reshape(len(weight), weight.shape[2], weight.shape[1]))"),
    story="the weights are reshaped until they fit, which puts each of them to another pair of numbers",
    advice="reshape does not transpose: a weight is (K, D, S), D with the left one, S with the right",
)  # fmt: skip
exercise.edit(
    "one-weight-for-all",
    (ADDED, "total + bilinear(vectors[left], vectors[right], self.weights[0])"),
    story="every pair is given the weights of the first",
    advice="zip(self.pairs, self.weights): each pair has its own",
)
exercise.edit(
    "first-pair-only",
    ("zip(self.pairs, self.weights, strict=True)", "[(self.pairs[0], self.weights[0])]"),
    story="only the first pair is asked",
    advice="go through all of self.pairs, each with its own weight",
)
exercise.edit(
    "last-pair-only",
    (ADDED, "self.bias + bilinear(vectors[left], vectors[right], weight)"),
    story="each pair replaces the one before it: only the last one counts",
    advice="add every pair to the total",
)
exercise.edit(
    "neighbours-only",
    ("zip(self.pairs, self.weights, strict=True)",
     "[x for i, x in enumerate(zip(self.pairs, self.weights)) if i != len(self.widths) - 2 "
     "or len(self.pairs) == 1]"),
    story="only neighbours are paired: the first and the last modality never meet",
    advice="go through all of self.pairs: three modalities make three",
)  # fmt: skip
exercise.edit(
    "mean-of-pairs",
    (ADDED, "total + bilinear(vectors[left], vectors[right], weight) / len(self.pairs)"),
    story="the mean of the pairs is taken",
    advice="the pairs are added up: with a pair absent, the others stay as they are",
)
exercise.edit(
    "presence-ignored",
    (GATHERED, "collect(features, self.widths)"),
    story="`present` is not used: the numbers of absent modalities are read",
    advice="hand `present` on to collect",
)
exercise.edit(
    "absent-empties-the-sample",
    ("return total", "return total.where(there.all(1, keepdim=True), self.bias)"),
    story="where one modality is absent, the pairs of the others are dropped too",
    advice="only the pairs with the absent one add nothing: collect's zeros see to it",
)
exercise.edit(
    "absent-is-one",
    ("return total",
     "ones = {n: x.where(there[:, [i]], 1.0) for i, (n, x) in enumerate(vectors.items())}\n"
     "        return self.bias + sum(bilinear(ones[a], ones[b], weight) "
     "for (a, b), weight in zip(self.pairs, self.weights))"),
    story="an absent modality is ones, so that its pairs say what the other one says alone",
    advice="a pair with an absent modality adds nothing: zeros, as collect gives them",
)  # fmt: skip
exercise.edit(
    "scaled",
    (ADDED, "total + bilinear(vectors[left], vectors[right], weight) / "
            "(self.widths[left] * self.widths[right]) ** 0.5"),
    story="each pair is divided by the root of the number of its products",
    advice="no scaling here: the initial weights see to it",
)  # fmt: skip
exercise.edit(
    "signed-root",
    ("return total", "return F.normalize(total.sign() * (total.abs() + 1e-12).sqrt(), dim=-1)"),
    ("class BilinearFusion", "import torch.nn.functional as F\nclass BilinearFusion"),
    story="a signed square root is taken and the result made unit length, as in the paper",
    advice="here nothing comes after the sum (see Differs from the paper)",
    convention=True,
)
exercise.edit(
    "detached",
    (ADDED, "total + bilinear(vectors[left].detach(), vectors[right].detach(), weight)"),
    story="no gradient reaches the features, so their encoders never learn",
    advice="no detach, no no_grad, no .data",
)
exercise.edit(
    "right-forgotten",
    (ADDED, "total + torch.einsum('bd,kds->bk', vectors[left], weight)"),
    story="the left vector goes through the weights, which are then only added up: the right vector "
    "has no part in it",
    advice="after left^T W_k comes the product with the right vector",
)
exercise.edit(
    "left-plus-right",
    (ADDED, "total + vectors[left] @ weight.sum(2).T + vectors[right] @ weight.sum(1).T"),
    story="left and right each go through the weights and are added, not multiplied: a linear layer",
    advice="left^T W_k right multiplies: where one is zeros, nothing is left",
)


@exercise.wrong(
    "equal-places-only",
    story="only numbers at equal places are multiplied: first with first, second with second",
    advice="every number of one with every number of the other: D S products",
    method="forward",
)
def equal_places_only(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    total = self.bias.expand(len(there), -1)
    for left, right, weight in pairs(self, vectors):
        least = min(left.shape[1], right.shape[1])
        diagonal = weight.diagonal(dim1=1, dim2=2)
        total = total + (left[:, :least] * right[:, :least]) @ diagonal.T
    return total


exercise.edit(
    "samples-mixed",
    (ADDED, "total + vectors[left] @ (weight @ vectors[right].sum(0)).T"),
    story="each sample's left vector meets the right vectors of the whole batch",
    advice="in an einsum the batch has one letter everywhere: 'bd,kds,bs->bk'",
)


@exercise.wrong(
    "outputs-summed",
    story="the outputs are added up: one number a sample is left",
    advice="keep k in the result: each output has its own matrix",
    method="forward",
)
def outputs_summed(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    parts = [torch.einsum("bd,kds,bs->b", x, w, y) for x, y, w in pairs(self, vectors)]
    return sum(parts) + self.bias.sum()


exercise.edit(
    "no-collect",
    (GATHERED, "features, next(iter(features.values()))"),
    story="the features are taken as they come: absent ones are missing or read",
    advice="collect fills in zeros where a modality is absent",
)


@exercise.wrong(
    "pairs-as-named",
    story="the pairs are made in the order in which the call names the modalities",
    advice="self.pairs says which weight belongs to which pair",
    method="forward",
)
def pairs_as_named(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    order = [*features, *(name for name in self.widths if name not in features)]
    total = self.bias.expand(len(there), -1)
    for (left, right), weight in zip(combinations(order, 2), self.weights, strict=True):
        total = total + torch.einsum("bd,kds,bs->bk", vectors[left], weight, vectors[right])
    return total


@exercise.wrong(
    "times-the-mask",
    story="pairs with an absent modality are multiplied by 0, but nan times 0 is nan",
    advice="choose instead of multiplying: gather, masked_fill or torch.where",
    method="forward",
)
def times_the_mask(self, features, present=None):
    zeros, there = collect(features, self.widths, present)
    given = {name: features.get(name, zero) for name, zero in zeros.items()}
    given = {name: x * there[:, [i]] for i, (name, x) in enumerate(given.items())}
    total = self.bias.expand(len(there), -1)
    for left, right, weight in pairs(self, given):
        total = total + torch.einsum("bd,kds,bs->bk", left, weight, right)
    return total


exercise.edit(
    "bias-grows",
    ("return total", "self.bias.data = total[0].detach().clone()\n        return total"),
    story="the pairs are added to the bias itself, so every call starts where the last one ended",
    advice="make a new tensor, total = total + ...; self.bias is only read",
)


@exercise.wrong(
    "nobody-accepted",
    story="it does not refuse a sample without any modality",
    advice="collect raises the ValueError: let it look at `present` too",
    method="forward",
)
def nobody_accepted(self, features, present=None):
    like, vectors = next(iter(features.values())), {}
    for name, width in self.widths.items():
        x = features.get(name, like.new_zeros(len(like), width))
        mask = (present or {}).get(name, torch.ones(len(like), dtype=torch.bool))
        vectors[name] = x.masked_fill(~mask[:, None], 0.0)
    total = self.bias.expand(len(like), -1)
    for left, right, weight in pairs(self, vectors):
        total = total + torch.einsum("bd,kds,bs->bk", left, weight, right)
    return total


@exercise.wrong(
    "overwrites",
    story="zeros are written into the caller's own features",
    advice="x[...] = 0 changes the tensor that was passed in; masked_fill makes a new one",
    method="forward",
)
def overwrites(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    total = self.bias.expand(len(there), -1)
    for left, right, weight in pairs(self, vectors):
        total = total + torch.einsum("bd,kds,bs->bk", left, weight, right)
    with torch.no_grad():
        for name, mask in (present or {}).items():
            features[name][~mask] = 0.0
    return total


@exercise.disguise("left-plus-right", method="forward")
def joined_and_summed(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    total = self.bias.expand(len(there), -1)
    for left, right, weight in pairs(self, vectors):
        total = total + torch.einsum("bd,kds->bk", left, weight)
        total = total + torch.einsum("bs,kds->bk", right, weight)
    return total


@exercise.disguise("samples-mixed", method="forward")
def batch_added_up(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    total = self.bias.repeat(len(there), 1)
    for left, right, weight in pairs(self, vectors):
        total = total + torch.einsum("bd,kds,cs->bk", left, weight, right)
    return total


@exercise.disguise("bias-for-each-pair", method="forward")
def bias_times_pairs(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    total = len(self.pairs) * self.bias
    for left, right, weight in pairs(self, vectors):
        outer = left[:, :, None] * right[:, None]
        total = total + outer.flatten(1) @ weight.flatten(1).T
    return total


@exercise.right("outer products and one matrix", method="forward")
def outer_products(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    products = [(x[:, :, None] * y[:, None, :]).flatten(1) for x, y, _ in pairs(self, vectors)]
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


@exercise.right("only the pairs that are there", method="forward")
def only_there(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    column = {name: index for index, name in enumerate(self.widths)}
    total = self.bias.repeat(len(there), 1)
    for (left, right), weight in zip(self.pairs, self.weights, strict=True):
        rows = (there[:, column[left]] & there[:, column[right]]).nonzero()[:, 0]
        chosen = torch.einsum("bd,kds,bs->bk", vectors[left][rows], weight, vectors[right][rows])
        total = total.index_add(0, rows, chosen)
    return total
