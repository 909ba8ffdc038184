"""Wrong and other right answers to early.EarlyFusion."""

import torch
import torch.nn.functional as F
from torch import nn

from scratchmm.exercises.format import exercise_file
from scratchmm.fusion.modalities import check_widths, collect

exercise = exercise_file("07_fusion_strategies/early").exercise

JOINED = "torch.cat(list(vectors.values()), dim=-1)"

exercise.edit(
    "order-of-the-call",
    (JOINED, "torch.cat([vectors[name] for name in features], dim=-1)"),
    story="the vectors are joined in the order in which the call names them",
    advice="follow self.widths: the network learned what each of its inputs means",
)
exercise.edit(
    "alphabetical",
    (JOINED, "torch.cat([vectors[name] for name in sorted(vectors)], dim=-1)"),
    story="the vectors are joined in alphabetical order",
    advice="the order of widths is the order in which they are joined",
)
exercise.edit(
    "backwards",
    (JOINED, "torch.cat(list(vectors.values())[::-1], dim=-1)"),
    story="the vectors are joined last first",
    advice="the order of widths is the order in which they are joined",
)
exercise.edit(
    "under-each-other",
    (JOINED, "torch.cat(list(vectors.values()), dim=0)"),
    story="the vectors are joined along the batch: more samples, not wider ones",
    advice="side by side is the last axis: dim=-1",
)
exercise.edit(
    "presence-ignored",
    ("collect(features, self.widths, present)", "collect(features, self.widths)"),
    story="`present` is not used: the numbers of absent modalities are read",
    advice="hand `present` on to collect",
)
exercise.edit(
    "absent-empties-the-sample",
    ("vectors, _ =", "vectors, there ="),
    (JOINED, JOINED + ".masked_fill(~there.all(dim=1, keepdim=True), 0)"),
    story="where one modality is absent, the sample's others are made zeros too",
    advice="only the absent modality's own numbers become zeros",
)
exercise.edit(
    "scaled-up",
    ("vectors, _ =", "vectors, there ="),
    (JOINED, JOINED + " / there.float().mean(dim=1, keepdim=True)"),
    story="what is present is multiplied to make up for what is absent, as dropout does",
    advice="the vectors that are there stay as they are",
    convention=True,
)
exercise.edit(
    "softmax-last",
    ("self.network(joined)", "self.network(joined).softmax(dim=-1)"),
    story="a softmax is taken of the outputs",
    advice="return what the network says: cross_entropy takes the softmax itself",
)
exercise.edit(
    "detached",
    (JOINED, JOINED + ".detach()"),
    story="no gradient reaches the features, so their encoders never learn",
    advice="no detach, no no_grad, no .data",
)
exercise.edit(
    "one-layer",
    ("network(*self.sizes)", "nn.Linear(self.sizes[0], self.sizes[2])"),
    story="the network is a single Linear layer, which only adds up what each modality says",
    advice="modalities.network(D, hidden, outputs): Linear, GELU, Linear",
)
exercise.edit(
    "relu",
    ("network(*self.sizes)",
     "nn.Sequential(nn.Linear(sum(widths.values()), hidden), nn.ReLU(), nn.Linear(hidden, outputs))"),
    story="the activation is ReLU",
    advice="modalities.network makes Linear, GELU, Linear",
    convention=True,
)  # fmt: skip
exercise.edit(
    "no-init",
    ("        super().__init__()\n", ""),
    story="nn.Module's own __init__ is not called, so no layer can be kept",
    advice="super().__init__() comes first",
)
exercise.edit(
    "stacked",
    (JOINED, "torch.stack(list(vectors.values()), dim=-1)"),
    story="the vectors are stacked, which makes a new axis and needs equal widths",
    advice="torch.cat joins along an axis that is there",
)
exercise.edit(
    "hidden-and-outputs-exchanged",
    ("(sum(widths.values()), hidden, outputs)", "(sum(widths.values()), outputs, hidden)"),
    story="hidden and outputs are exchanged",
    advice="the sizes are (D, hidden, outputs), in the order in which the network makes them",
)
exercise.edit(
    "product-of-widths",
    ("sum(widths.values())", "__import__('math').prod(widths.values())"),
    story="the network is made for the product of the widths",
    advice="side by side the widths add up",
)
exercise.edit(
    "widest-only",
    ("sum(widths.values())", "max(widths.values())"),
    story="the network is made for the widest modality",
    advice="side by side the widths add up",
)


@exercise.wrong(
    "no-collect",
    story="the features are joined as they come: nothing is made of those that are absent",
    advice="collect fills in zeros where a modality is absent, and puts all in order",
    method="forward",
)
def no_gather(self, features, present=None):
    return self.network(torch.cat([features[name] for name in self.widths], dim=-1))


@exercise.wrong(
    "times-the-mask",
    story="absent numbers are multiplied by 0, but nan times 0 is nan",
    advice="choose instead of multiplying: gather, masked_fill or torch.where",
    method="forward",
)
def times_the_mask(self, features, present=None):
    like = next(iter(features.values()))
    given = {n: features.get(n, like.new_zeros(len(like), w)) for n, w in self.widths.items()}
    _, there = collect(features, self.widths, present)
    vectors = [x * there[:, i, None] for i, x in enumerate(given.values())]
    return self.network(torch.cat(vectors, dim=-1))


@exercise.wrong(
    "nan-to-num",
    story="nan is replaced by 0 and `present` is not asked: other numbers of an absent one are read",
    advice="`present` says who is absent, not the numbers",
    method="forward",
    twin="presence-ignored",
)
def nan_to_num(self, features, present=None):
    vectors, _ = collect(features, self.widths)
    return self.network(torch.cat(list(vectors.values()), dim=-1).nan_to_num())


@exercise.wrong(
    "absent-is-one",
    story="absent modalities are ones",
    advice="absent modalities are zeros, as collect gives them",
    method="forward",
)
def absent_is_one(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    filled = [x.masked_fill(~there[:, i, None], 1.0) for i, x in enumerate(vectors.values())]
    return self.network(torch.cat(filled, dim=-1))


@exercise.wrong(
    "absent-is-the-mean",
    story="an absent modality is filled with the mean of the batch, so samples depend on others",
    advice="absent modalities are zeros, as collect gives them",
    method="forward",
)
def absent_is_the_mean(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    filled = []
    for x, mask in zip(vectors.values(), there.T, strict=True):
        mean = x.sum(0) / mask.sum().clamp(min=1)
        filled.append(torch.where(mask[:, None], x, mean))
    return self.network(torch.cat(filled, dim=-1))


@exercise.wrong(
    "one-after-the-other",
    story="each modality goes through the network without the others, and the results are averaged",
    advice="that is late fusion: here one network sees all of them at once",
    method="forward",
)
def one_after_the_other(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    results = []
    for name in vectors:
        alone = [x if other == name else 0 * x for other, x in vectors.items()]
        results.append(self.network(torch.cat(alone, dim=-1)))
    return torch.stack(results).mean(0)


@exercise.wrong(
    "unit-length",
    story="each modality's vector is made unit length before it is joined",
    advice="join the vectors as they are: how long one is may mean something",
    method="forward",
)
def unit_length(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    return self.network(torch.cat([F.normalize(x, dim=-1) for x in vectors.values()], dim=-1))


@exercise.wrong(
    "not-refused",
    story="a sample without any modality gets an answer, made of nothing",
    advice="collect raises the ValueError: let it look at `present` too",
    method="forward",
)
def not_refused(self, features, present=None):
    like, joined = next(iter(features.values())), []
    for name, width in self.widths.items():
        x = features.get(name, like.new_zeros(len(like), width))
        mask = (present or {}).get(name, torch.ones(len(like), dtype=torch.bool))
        joined.append(x.masked_fill(~mask[:, None], 0.0))
    return self.network(torch.cat(joined, dim=-1))


@exercise.wrong(
    "overwrites",
    story="the zeros are written into the caller's own features",
    advice="x[...] = 0 changes the tensor that was passed in; masked_fill makes a new one",
    method="forward",
)
def overwrites(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    with torch.no_grad():
        for name, mask in (present or {}).items():
            features[name][~mask] = 0.0
    return self.network(torch.cat(list(vectors.values()), dim=-1))


@exercise.disguise("order-of-the-call", method="forward")
def as_named(self, features, present=None):
    vectors, _ = collect(features, self.widths, present)
    return self.network(torch.hstack([vectors[name] for name, _ in features.items()]))


@exercise.disguise("one-layer")
class OneMatrix(nn.Module):
    def __init__(self, widths, outputs, hidden):
        super().__init__()
        self.widths, self.sizes = dict(widths), (sum(widths.values()), hidden, outputs)
        self.network = nn.Linear(sum(widths.values()), outputs)

    def forward(self, features, present=None):
        vectors, _ = collect(features, self.widths, present)
        return self.network(torch.cat([*vectors.values()], -1))


@exercise.right("filled in by place", method="forward")
def filled_in(self, features, present=None):
    vectors, there = collect(features, self.widths, present)
    like = next(iter(vectors.values()))
    joined, start = like.new_zeros(len(like), sum(self.widths.values())), 0
    for name, width in self.widths.items():
        joined[:, start : start + width] = vectors[name]
        start += width
    return self.network(joined)


@exercise.right("its own Sequential")
class OwnNetwork(nn.Module):
    def __init__(self, widths, outputs, hidden):
        super().__init__()
        self.widths = check_widths(widths)
        total = sum(self.widths.values())
        self.sizes = (total, hidden, outputs)
        self.network = nn.Sequential(
            nn.Linear(total, hidden), nn.GELU(), nn.Linear(hidden, outputs)
        )

    def forward(self, features, present=None):
        vectors, _ = collect(features, self.widths, present)
        hidden = 0
        for x, part in zip(
            vectors.values(), self.network[0].weight.split([*self.widths.values()], 1), strict=True
        ):
            hidden = hidden + x @ part.T
        return self.network[2](self.network[1](hidden + self.network[0].bias))

    def cost(self):
        total, hidden, outputs = self.sizes
        return (total + 1) * hidden + (hidden + 1) * outputs, total * hidden + hidden * outputs
