"""Wrong and other right answers to tensor_fusion.TensorFusion."""

import math

import torch
from torch import nn

from scratchmm.exercises.format import exercise_file
from scratchmm.fusion.modalities import check_widths, collect
from scratchmm.fusion.tensor_fusion import append_one, outer_product

exercise = exercise_file("07_fusion_strategies/tensor_fusion").exercise

SIZES = "[width + 1 for width in widths.values()]"
LAYER = "nn.Linear(math.prod(sizes), outputs, bias=False)"
PRODUCT = "outer_product([append_one(x) for x in vectors.values()])"
GATHERED = "collect(features, self.widths, present)"


def one_first(x):
    """(B, D) with a 1 in front."""
    return torch.cat([x.new_ones(len(x), 1), x], dim=-1)


exercise.edit(
    "no-ones",
    ("sizes = " + SIZES, "sizes = list(widths.values())"),
    (PRODUCT, "outer_product(list(vectors.values()))"),
    story="no 1 is appended: what one modality says alone is lost, and zeros silence all",
    advice="append a 1 to each vector before the product",
)
exercise.edit(
    "one-at-the-end",
    ("sizes = " + SIZES, "sizes = list(widths.values())"),
    (LAYER, "nn.Linear(math.prod(sizes) + 1, outputs, bias=False)"),
    (PRODUCT, "append_one(outer_product(list(vectors.values())))"),
    story="one 1 is appended to the finished products: that is a bias, and each modality alone is "
    "still lost",
    advice="append a 1 to each vector, before the product",
)
exercise.edit(
    "ones-counted-only",
    (PRODUCT, "outer_product(list(vectors.values()))"),
    story="the layer counts the ones, but none is appended",
    advice="append_one for each vector, before the product",
)
exercise.edit(
    "bias-too",
    (", bias=False", ""),
    story="the layer has a bias besides the product of all ones, which is one already",
    advice="nn.Linear(..., bias=False)",
)
exercise.edit(
    "made-for-the-sum",
    ("math.prod(sizes)", "sum(sizes)"),
    story="the layer is made for the sum of the widths",
    advice="each number meets each other one: the counts are multiplied",
)
exercise.edit(
    "joined",
    ("math.prod(sizes)", "sum(sizes)"),
    (PRODUCT, "torch.cat([append_one(x) for x in vectors.values()], dim=-1)"),
    story="the vectors are put side by side, which is early fusion",
    advice="the layer reads the products of all vectors: outer_product",
)
exercise.edit(
    "counted-after-the-product",
    ("math.prod(sizes)", "math.prod(widths.values()) + len(widths)"),
    story="the layer is made for the product of the widths and a 1 for each modality",
    advice="a modality counts D + 1, and these counts are multiplied: (D + 1) (S + 1)",
)


@exercise.wrong(
    "one-in-front",
    story="the 1 stands in front of each vector, as in much published code",
    advice="here it stands behind: (x, 1), so that `tensor()` is read the same way everywhere",
    method="forward",
    convention=True,
)
def ones_in_front(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    return self.output(outer_product([one_first(x) for x in vectors.values()]))


exercise.edit(
    "zero-appended",
    (PRODUCT, "outer_product([nn.functional.pad(x, (0, 1)) for x in vectors.values()])"),
    story="a 0 is appended, not a 1: the products it makes are all zeros",
    advice="new_ones, or pad with value=1: 1 times the others leaves them as they are",
)
exercise.edit(
    "backwards",
    (PRODUCT, "outer_product([append_one(x) for x in list(vectors.values())[::-1]])"),
    story="the modalities are multiplied last first, so each product meets another weight",
    advice="the order of widths",
)
exercise.edit(
    "order-of-the-call",
    (PRODUCT, "outer_product([append_one(vectors[name]) "
              "for name in dict.fromkeys([*features, *self.widths])])"),
    story="the modalities are multiplied in the order in which the call names them",
    advice="follow self.widths: the weights know which product they are for",
)  # fmt: skip
exercise.edit(
    "alphabetical",
    (PRODUCT, "outer_product([append_one(vectors[name]) for name in sorted(vectors)])"),
    story="the modalities are multiplied in alphabetical order",
    advice="the order of widths",
)
exercise.edit(
    "presence-ignored",
    (GATHERED, "collect(features, self.widths)"),
    story="`present` is not used: the numbers of absent modalities are read",
    advice="hand `present` on to collect",
)
exercise.edit(
    "absent-without-its-one",
    ("vectors, _ =", "vectors, there ="),
    (PRODUCT, "outer_product([append_one(x) * there[:, [i]] "
              "for i, x in enumerate(vectors.values())])"),
    story="an absent modality's 1 becomes 0 too, and with it every product of the sample",
    advice="first zeros where absent, then append the 1: (0, ..., 0, 1)",
)  # fmt: skip
exercise.edit(
    "absent-is-ones",
    ("vectors, _ =", "vectors, there ="),
    (PRODUCT, "outer_product([append_one(x.masked_fill(~there[:, [i]], 1.0)) "
              "for i, x in enumerate(vectors.values())])"),
    story="an absent modality is all ones",
    advice="only the appended number is 1: (0, ..., 0, 1)",
)  # fmt: skip
exercise.edit(
    "only-the-products-of-all",
    (PRODUCT, "outer_product([nn.functional.pad(x, (0, 1)) for x in vectors.values()])"),
    ("return self.output(product)", "return self.output(product) + self.output.weight[:, -1]"),
    story="the products with a 1 are left out, except the last: only all together count",
    advice="the 1 belongs to each vector before the product, so that smaller groups count too",
)
exercise.edit(
    "one-in-the-first-only",
    (PRODUCT, "outer_product([append_one(x) if i == 0 else nn.functional.pad(x, (0, 1)) "
              "for i, x in enumerate(vectors.values())])"),
    story="only the first modality gets its 1",
    advice="append a 1 to each of them",
)  # fmt: skip
exercise.edit(
    "scaled",
    ("self.output(product)", "self.output(product / product.shape[1] ** 0.5)"),
    story="the products are divided by the root of their number",
    advice="the products as they are",
)
exercise.edit(
    "softmax-last",
    ("self.output(product)", "self.output(product).softmax(dim=-1)"),
    story="a softmax is taken of the outputs",
    advice="return what the layer says: cross_entropy takes the softmax itself",
)
exercise.edit(
    "detached",
    (PRODUCT, PRODUCT + ".detach()"),
    story="no gradient reaches the features, so their encoders never learn",
    advice="no detach, no no_grad, no .data",
)


@exercise.wrong(
    "added-up",
    story="the numbers of each group are added and not multiplied",
    advice="outer_product multiplies",
    method="forward",
)
def added_up(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    first, *others = [append_one(x) for x in vectors.values()]
    for x in others:
        first = (first[:, :, None] + x[:, None, :]).flatten(1)
    return self.output(first)


@exercise.wrong(
    "no-collect",
    story="the features are taken as they come: absent ones are missing or read",
    advice="collect fills in zeros where a modality is absent, and puts all in order",
    method="forward",
)
def no_gather(self, features, present=None):
    return self.output(outer_product([append_one(features[name]) for name in self.widths]))


@exercise.wrong(
    "one-after-the-last-sample",
    story="a row of ones is appended to the batch, not a 1 to each vector",
    advice="torch.cat along the last axis: dim=-1",
    method="forward",
)
def appended_to_the_batch(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    longer = [torch.cat([x, x.new_ones(1, x.shape[1])], dim=0) for x in vectors.values()]
    return self.output(outer_product(longer))


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
    return self.output(outer_product([append_one(x) for x in vectors.values()]))


@exercise.wrong(
    "overwrites",
    story="zeros are written into the caller's own features",
    advice="x[...] = 0 changes the tensor that was passed in; masked_fill makes a new one",
    method="forward",
)
def overwrites(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    with torch.no_grad():
        for name, mask in (present or {}).items():
            features[name][~mask] = 0.0
    return self.output(outer_product([append_one(x) for x in vectors.values()]))


@exercise.disguise("one-in-front", method="forward")
def padded_in_front(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    z = [nn.functional.pad(x, (1, 0), value=1.0) for x in vectors.values()]
    return self.output(outer_product(z))


@exercise.disguise("absent-without-its-one", method="forward")
def masked_last(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    product = outer_product([append_one(x) for x in vectors.values()])
    return self.output(product.masked_fill(~there.all(1, keepdim=True), 0.0))


@exercise.right("one modality at a time into the weights", method="forward")
def contracted(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    rest = self.output.weight.flatten()[None]
    for x in reversed(vectors.values()):
        rest = rest.unflatten(-1, (-1, x.shape[1] + 1))
        rest = (rest[..., :-1] * x[:, None]).sum(-1) + rest[..., -1]
    return rest


@exercise.right("padded with ones")
class Padded(nn.Module):
    def __init__(self, widths, outputs):
        super().__init__()
        self.widths = check_widths(widths)
        count = math.prod(1 + width for width in self.widths.values())
        self.output = nn.Linear(count, outputs, bias=False)

    def forward(self, features, present=None):
        vectors, _ = collect(features, self.widths, present)
        product = torch.ones(1, 1)
        for name in self.widths:
            x = nn.functional.pad(vectors[name], (0, 1), value=1.0)
            product = torch.einsum("bi,bj->bij", product.to(x).expand(len(x), -1), x).flatten(1)
        return product @ self.output.weight.mT
