"""Exercise early.EarlyFusion: all features side by side, into one network."""

import math

import torch
from torch import Tensor, nn

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise
from scratchmm.fusion.modalities import collect

exercise = Exercise(
    id="early.EarlyFusion",
    order=10,
    target="scratchmm.fusion.early:EarlyFusion",
    title="Side by side",
    goal="join all modalities and put them through one network",
    minutes=10,
    difficulty=1,
    section="Early fusion",
    methods={
        "__init__": "keep widths; sizes is (D, hidden, outputs), D their sum; network has those sizes",
        "forward": "all vectors side by side, in the order of widths, zeros where absent, through "
        "the network",
    },
    hints="""
        1. An image is (5, 6), the words are (7), made with widths image, then words: the network
           gets (5, 6, 7), also where the call names the words first. Without the words it gets
           (5, 6, 0). The first Linear layer has 2 + 1 = 3 inputs.
        2. Each input of the network has a meaning: its first numbers are always the image's. So the
           order may not depend on the caller, and an absent modality leaves its place empty. The
           lesson shows it under Early fusion.
        3. __init__: D is the sum of the widths; modalities.network makes Linear, GELU, Linear.
           forward: collect gives the vectors in the right order, (B, width) each, with zeros where
           absent; join them on the last axis, (B, D); the network gives (B, K).
        4. self.sizes = (sum(widths.values()), hidden, outputs); self.network =
           network(*self.sizes); and in forward: vectors, _ = collect(features, self.widths,
           present); return self.network(torch.cat(list(vectors.values()), dim=-1))
    """,
)
WIDTHS = {"words": 4, "image": 3, "sound": 2}  # neither alphabetical nor by size
K, HIDDEN = 5, 6


def given(case: Case) -> dict[str, Tensor]:
    """Features of 7 samples, in the order of WIDTHS."""
    return {name: case.normal(B=7, width=width) for name, width in WIDTHS.items()}


def some_absent(case: Case) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Features, nan or 100 where a modality is absent, and the masks; the words are always present."""
    features = given(case)
    present = {
        "sound": torch.tensor([True, False, True, True, False, True, False]),
        "image": torch.tensor([False, True, True, False, False, True, True]),
    }
    for name, number in (("sound", math.nan), ("image", 100.0)):
        features[name][~present[name]] = number
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


@exercise.holds("the network is Linear, GELU, Linear, from D = 4 + 3 + 2 to hidden to K")
def parameters(fusion_class, case):
    fusion = case.build(fusion_class, WIDTHS, K, HIDDEN)
    shapes = {name: tuple(parameter.shape) for name, parameter in fusion.named_parameters()}
    layers = {"network.0.weight": (6, 9), "network.0.bias": (6,)}
    layers |= {"network.2.weight": (5, 6), "network.2.bias": (5,)}
    case.equal(shapes, layers, "parameters")
    case.equal(tuple(case.call(fusion.cost)), (95, 84), "cost, from sizes")


@exercise.holds("the network gets the vectors in the order of widths, however the call orders them")
def numbers(fusion_class, case):
    fusion, features = case.build(fusion_class, WIDTHS, K, HIDDEN), given(case)
    for order in (WIDTHS, ("sound", "words", "image")):
        named = {name: features[name] for name in order}
        case.equal(case.call(fusion, named), oracle(fusion, features), f"order {', '.join(order)}")


@exercise.holds("a name that is left out is zeros for all samples")
def left_out(fusion_class, case):
    fusion, features = case.build(fusion_class, WIDTHS, K, HIDDEN), given(case)
    del features["image"]
    case.equal(case.call(fusion, features), oracle(fusion, features))


@exercise.holds("where a modality is absent it is zeros, whatever its numbers are: even nan")
def absent(fusion_class, case):
    fusion, (features, present) = case.build(fusion_class, WIDTHS, K, HIDDEN), some_absent(case)
    case.equal(case.call(fusion, features, present), oracle(fusion, features, present))
    case.unchanged()


@exercise.holds("a sample without any modality is refused with a ValueError")
def refused(fusion_class, case):
    fusion, sound = case.build(fusion_class, WIDTHS, K, HIDDEN), given(case)["sound"]
    present = {"sound": torch.tensor([True, True, False, True, True, True, True])}
    case.refuses(ValueError, fusion, {"sound": sound}, present)


@exercise.holds("the gradients reach all features and the network, and are 0 where absent")
def gradients(fusion_class, case):
    fusion = case.build(fusion_class, WIDTHS, K, HIDDEN).double()
    features, present = some_absent(case)
    case.gradients(
        lambda *vectors: fusion(dict(zip(WIDTHS, vectors, strict=True)), present),
        lambda *vectors: oracle(fusion, dict(zip(WIDTHS, vectors, strict=True)), present),
        *features.values(),
        parameters=fusion,
    )


exercise.mistakes("""
    scaled-up [convention]: what is present is scaled up to make up for what is absent, as in dropout
    - vectors, _ = collect(features, self.widths, present)
    + vectors, there = collect(features, self.widths, present)
    - return self.network(joined)
    + return self.network(joined / there.float().mean(dim=1, keepdim=True))
    > the vectors of present modalities stay as they are

    no-collect: the features are joined as they come: nothing is done about absent ones
    - vectors, _ = collect(features, self.widths, present)
    + vectors = {name: features[name] for name in self.widths}
    > collect fills in zeros where a modality is absent, and puts all in order

    times-the-mask: absent numbers are multiplied by 0, but nan times 0 is nan
    - vectors, _ = collect(features, self.widths, present)
    + vectors, there = collect(features, self.widths, present)
    + for index, name in enumerate(vectors):
    +     vectors[name] = features.get(name, vectors[name]) * there[:, index, None]
    > choose instead of multiplying: collect, masked_fill or torch.where

    absent-is-the-mean: an absent modality is filled with the mean of the batch
    - vectors, _ = collect(features, self.widths, present)
    + vectors, there = collect(features, self.widths, present)
    + for kept, (name, x) in zip(there.T, vectors.items()):
    +     vectors[name] = torch.where(kept[:, None], x, x.sum(0) / kept.sum().clamp(min=1))
    > absent modalities are zeros: a sample's answer may not depend on others in the batch

    one-after-the-other: each modality goes through the network without the others; then a mean
    - return self.network(joined)
    + parts = joined.split(list(self.widths.values()), dim=-1)
    + alone = [[x * (i == j) for j, x in enumerate(parts)] for i in range(len(parts))]
    + return torch.stack([self.network(torch.cat(row, dim=-1)) for row in alone]).mean(0)
    > that is late fusion: here one network gets all of them at once

    not-refused: a sample without any modality gets an answer, made of zeros
    - vectors, _ = collect(features, self.widths, present)
    + like = next(iter(features.values()))
    + vectors = {n: features.get(n, like.new_zeros(len(like), w)) for n, w in self.widths.items()}
    + for n, mask in (present or {}).items():
    +     vectors[n] = vectors[n].masked_fill(~mask[:, None], 0.0)
    > collect raises the ValueError: hand it `present` too

""")

exercise.slips("""
    vectors, _ = => [features[n].masked_fill_(~m[:, None], 0.0) for n, m in (present or {}).items()];
        vectors, _ =
    torch.cat(list(vectors.values()), dim=-1) => torch.stack(list(vectors.values()), dim=-1)
    vectors, _ = => vectors, there = ;;
        self.network(joined) => self.network(joined * there.all(dim=1, keepdim=True))
    vectors, _ = => vectors, there = ;; list(vectors.values()) =>
        [x.masked_fill(~mask[:, None], 1.0) for x, mask in zip(vectors.values(), there.T)]
    collect(features, self.widths, present) =>
        collect({name: x.nan_to_num() for name, x in features.items()}, self.widths)
    list(vectors.values()) => [vectors[name] for name in sorted(vectors)]
    list(vectors.values()) => list(vectors.values())[::-1]
    list(vectors.values()) => [nn.functional.normalize(x, dim=-1) for x in vectors.values()]
    self.network(joined) => self.network(joined.detach())
    self.network(joined) => self.network(joined).softmax(dim=-1)
    hidden, outputs) => outputs, hidden)
    sum(widths.values()) => max(widths.values())
    sum(widths.values()) => widths["words"] * widths["image"] * widths["sound"]
    network(*self.sizes) => nn.Sequential(
        nn.Linear(self.sizes[0], hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    super().__init__() =>
    network(*self.sizes) => nn.Linear(self.sizes[0], self.sizes[2])
    list(vectors.values()) => [vectors[name] for name in features]
""")


@exercise.right("filled in by place", method="forward")
def filled_in(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    like, start = next(iter(vectors.values())), 0
    joined = like.new_zeros(len(like), sum(self.widths.values()))
    for name, width in self.widths.items():
        joined[:, start : start + width] = vectors[name]
        start += width
    return self.network(joined)


@exercise.right("a product for each modality", method="forward")
def by_modality(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    first, _, last = self.network
    parts = zip(vectors.values(), first.weight.split([*self.widths.values()], 1), strict=True)
    return last(nn.functional.gelu(first.bias + sum(x @ weight.T for x, weight in parts)))
