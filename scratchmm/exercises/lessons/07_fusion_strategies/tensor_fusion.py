"""Exercise tensor_fusion.TensorFusion: all products of all modalities, and those of fewer."""

import math

import torch
from torch import Tensor, nn

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.fusion.modalities import collect

exercise = Exercise(
    id="tensor_fusion.TensorFusion",
    order=70,
    target="scratchmm.fusion.tensor_fusion:TensorFusion",
    title="What the appended 1 keeps",
    goal="one Linear layer over all products, each modality with a 1 behind",
    minutes=15,
    difficulty=3,
    section="Tensor fusion",
    needs=("tensor_fusion.append_one", "tensor_fusion.outer_product"),
    methods={
        "__init__": "keep widths; output is a Linear layer without bias, from as many products as "
        "there are, a 1 appended to each modality, to outputs",
        "forward": "append a 1 to each vector, zeros where absent; outer_product; output",
    },
    hints="""
        1. An image is (2), the words are (5). With a 1 behind each, (2, 1) and (5, 1) make (10, 2,
           5, 1): the product of both, the image alone, the words alone, and a 1 for the bias.
           Without the ones there is only 10. Without the words, (2, 1) and (0, 1) make (0, 2, 0, 1).
        2. A product of all modalities is 0 as soon as one of them is. With a 1 in place of any of
           them, the products of each smaller group are kept. For the same reason the layer needs no
           bias of its own, and an absent modality is zeros with its 1 still there.
        3. __init__: a modality of width D counts D + 1; the layer takes the product of these
           counts. forward: collect gives (B, D) each, zeros where absent; append_one makes
           (B, D + 1) of each; outer_product in the order of widths gives (B, P), the layer (B, K).
        4. self.output = nn.Linear(math.prod(width + 1 for width in widths.values()), outputs,
           bias=False); in forward: vectors, _ = collect(features, self.widths, present); return
           self.output(outer_product([append_one(x) for x in vectors.values()]))
    """,
)
WIDTHS = {"words": 3, "image": 4, "sound": 2}  # neither alphabetical nor by size
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
    """The oracle: the weights as a tensor, an axis a modality, times one vector at a time."""
    rows = []
    for sample in range(5):
        rest = fusion.output.weight.reshape(K, *(width + 1 for width in WIDTHS.values()))
        for name, width in WIDTHS.items():
            there = name in features and (present or {}).get(name, [True] * 5)[sample]
            x = features[name][sample] if there else rest.new_zeros(width)
            rest = sum(rest[:, d] * x[d] for d in range(width)) + rest[:, width]
        rows.append(rest)
    return torch.stack(rows)


def agree(case, fusion, features, present=None):
    expected = slow(fusion, features, present)
    case.equal(case.call(fusion, features, present), expected)


@exercise.holds("one Linear layer without bias, of (3 + 1) (4 + 1) (2 + 1) products")
def parameters(fusion_class, case):
    fusion, features = made(case, fusion_class)
    case.attempt(fusion, features)  # for the diagnosis: what a smaller layer is given
    shapes = {name: tuple(parameter.shape) for name, parameter in fusion.named_parameters()}
    case.equal(shapes, {"output.weight": (K, 60)}, "parameters")


@exercise.holds("where all features are zeros only the last product is left: 1, as a bias")
def ones_alone(fusion_class, case):
    fusion, features = made(case, fusion_class)
    agree(case, fusion, {name: torch.zeros_like(x) for name, x in features.items()})


@exercise.holds("all products of (words, 1), (image, 1), (sound, 1), however the call orders them")
def numbers(fusion_class, case):
    fusion, features = made(case, fusion_class)
    for order in (WIDTHS, ("sound", "words", "image")):
        agree(case, fusion, {name: features[name] for name in order})


@exercise.holds("a name that is left out is (0, ..., 0, 1): the products of the others stay")
def left_out(fusion_class, case):
    fusion, features = made(case, fusion_class)
    del features["image"]
    agree(case, fusion, features)


@exercise.holds("where a modality is absent it is (0, ..., 0, 1), even if its numbers are nan")
def absent(fusion_class, case):
    fusion, features = made(case, fusion_class)
    agree(case, fusion, features, some_absent(features))
    case.unchanged()


@exercise.holds("the gradients reach all features and the weights, and are 0 where absent")
def gradients(fusion_class, case):
    fusion, features = made(case, fusion_class)
    present, fusion = some_absent(features), fusion.double()
    case.gradients(
        lambda *vectors: fusion(dict(zip(WIDTHS, vectors, strict=True)), present),
        lambda *vectors: slow(fusion, dict(zip(WIDTHS, vectors, strict=True)), present),
        *features.values(),
        parameters=fusion,
    )


@exercise.holds("a sample without any modality is refused with a ValueError")
def refused(fusion_class, case):
    fusion, features = made(case, fusion_class)
    case.refuses(ValueError, fusion, {"sound": features["sound"]}, {"sound": torch.arange(5) != 3})


exercise.mistakes("""
    no-ones: no 1 is appended: what one modality tells alone is lost, and zeros empty all products
    - sizes = [width + 1 for width in widths.values()]
    + sizes = list(widths.values())
    - product = outer_product([append_one(x) for x in vectors.values()])
    + product = outer_product(list(vectors.values()))
    > append_one to each vector, and D + 1 for each width

    one-at-the-end: one 1 is appended to the finished products: a bias; each modality alone is lost
    - sizes = [width + 1 for width in widths.values()]
    - self.output = nn.Linear(math.prod(sizes), outputs, bias=False)
    + self.output = nn.Linear(math.prod(widths.values()) + 1, outputs, bias=False)
    - product = outer_product([append_one(x) for x in vectors.values()])
    + product = append_one(outer_product(list(vectors.values())))
    > append the 1 to each vector, before the product

    one-in-front [convention]: the 1 stands in front of each vector, as in much published code
    - append_one(x)
    + append_one(x).roll(1, dims=-1)
    > append_one puts it behind: (x, 1)

    absent-without-its-one: an absent modality's 1 becomes 0 too, and with it every product
    - vectors, _ = collect(features, self.widths, present)
    + vectors, there = collect(features, self.widths, present)
    - return self.output(product)
    + return self.output(product * there.all(dim=1, keepdim=True))
    > only its numbers are zeros; the 1 stays, so that the others still count

    added-up: the numbers of each group are added and not multiplied
    - product = outer_product([append_one(x) for x in vectors.values()])
    + product = torch.zeros(1, 1)
    + for x in vectors.values():
    +     product = (product[:, :, None] + append_one(x)[:, None, :]).flatten(1)
    > outer_product multiplies: a product is large only where all are

    not-refused: a sample without any modality gets an answer: the last weight
    - vectors, _ = collect(features, self.widths, present)
    + like = next(iter(features.values()))
    + vectors = {n: features.get(n, like.new_zeros(len(like), w)) for n, w in self.widths.items()}
    + for n, mask in (present or {}).items():
    +     vectors[n] = vectors[n].masked_fill(~mask[:, None], 0.0)
    > collect raises the ValueError: hand it `present` too

""")

exercise.slips("""
    vectors.values() => [vectors[n] for n in dict.fromkeys([*features, *self.widths])]
    vectors, _ = => [features[n].masked_fill_(~m[:, None], 0.0) for n, m in (present or {}).items()];
        vectors, _ =
    outputs, bias=False => outputs
    math.prod(sizes) => sum(sizes)
    math.prod(sizes) => math.prod(widths.values()) + len(widths)
    append_one(x) => x
    append_one(x) => nn.functional.pad(x, (0, 1))
    append_one(x) => nn.functional.pad(x, (0, 1)) ;;
        return self.output(product) => return self.output(product) + self.output.weight[:, -1]
    append_one(x) => torch.cat([x, x.new_ones(1, x.shape[1])])
    [append_one(x) for x in vectors.values()] =>
        [nn.functional.pad(x, (0, 1), value=float(x is vectors["words"])) for x in vectors.values()]
    vectors.values() => list(vectors.values())[::-1]
    vectors.values() => [vectors[name] for name in sorted(vectors)]
    vectors, _ = => vectors, there = ;; append_one(x) for x in vectors.values() =>
        append_one(x.masked_fill(~mask[:, None], 1.0)) for x, mask in zip(vectors.values(), there.T)
    collect(features, self.widths, present) => {name: features[name] for name in self.widths}, None
    self.output(product) => self.output(product / product.shape[1] ** 0.5)
    self.output(product) => self.output(product.detach())
    self.output(product) => self.output(product).softmax(dim=-1)
    math.prod(sizes) => sum(sizes) ;; outer_product([append_one(x) for x in vectors.values()]) =>
        torch.cat([append_one(x) for x in vectors.values()], dim=-1)
""")


@exercise.right("one modality at a time into the weights", method="forward")
def contracted(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    rest = self.output.weight.flatten()[None]
    for x in reversed(vectors.values()):
        rest = rest.unflatten(-1, (-1, x.shape[1] + 1))
        rest = (rest[..., :-1] * x[:, None]).sum(-1) + rest[..., -1]
    return rest


@exercise.right("einsum, padded with ones", method="forward")
def padded(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    product = self.output.weight.new_ones(len(next(iter(vectors.values()))), 1)
    for x in vectors.values():
        x = nn.functional.pad(x, (0, 1), value=1.0)
        product = torch.einsum("bi,bj->bij", product, x).flatten(1)
    return product @ self.output.weight.mT
