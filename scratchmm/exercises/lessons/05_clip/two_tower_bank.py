"""Wrong and other right answers to two_tower.TwoTower."""

import torch
from torch import nn

from scratchmm.contrastive.two_tower import TwoTowerOutput
from scratchmm.exercises.format import exercise_file

exercise = exercise_file("05_clip/two_tower").exercise

UNIT = "F.normalize(self.projections[name](pooled), dim=-1)"
OUTPUT = "return TwoTowerOutput(embeddings, self.logit_scale())"

exercise.edit(
    "nothing-normalised",
    (UNIT, "self.projections[name](pooled)"),
    story="the vectors keep their length",
    advice="divide each vector by its length: F.normalize(..., dim=-1)",
)
exercise.edit(
    "one-modality-normalised",
    ("return " + UNIT,
     "shared = self.projections[name](pooled)\n"
     '        return F.normalize(shared, dim=-1) if name == "image" else shared'),
    story="only the images become unit vectors",
    advice="only directions are compared: F.normalize(..., dim=-1) for every modality",
)  # fmt: skip
exercise.edit(
    "normalised-over-the-batch",
    (UNIT, "F.normalize(self.projections[name](pooled), dim=0)"),
    story="the lengths are taken over the batch and not over the width of a vector",
    advice="the last axis: dim=-1",
)
exercise.edit(
    "normalised-before-the-projection",
    (UNIT, "self.projections[name](F.normalize(pooled, dim=-1))"),
    story="the vectors are made unit length before the projection, which changes it again",
    advice="first the projection, then unit length",
)
exercise.edit(
    "divided-by-the-sum",
    (UNIT, "F.normalize(self.projections[name](pooled), p=1, dim=-1)"),
    story="the vectors are divided by the sum of their absolute values",
    advice="length is the root of the sum of squares",
)
exercise.edit(
    "not-projected",
    (UNIT, "F.normalize(pooled, dim=-1)"),
    story="the projection is left out",
    advice="the towers have different widths: each needs its projection into the shared space",
)
exercise.edit(
    "only-the-first-tensor",
    ("self.towers[name](*inputs)", "self.towers[name](inputs[0])"),
    story="only the first tensor is handed to the tower, so a mask is lost",
    advice="hand on all of them: self.towers[name](*inputs)",
)
exercise.edit(
    "a-tuple-as-one",
    ("inputs = inputs if isinstance(inputs, tuple) else (inputs,)", "inputs = (inputs,)"),
    story="a tuple of tensors goes to the tower as one argument",
    advice="a tuple is several arguments, a tensor is one: encode(name, *inputs)",
)
exercise.edit(
    "modalities-exchanged",
    ("return TwoTowerOutput(embeddings,",
     "return TwoTowerOutput(dict(zip(embeddings, reversed(embeddings.values()))),"),
    story="the texts are handed over as the images, and the images as the texts",
    advice="each embedding stands under the name of its own modality",
)  # fmt: skip
exercise.edit(
    "all-towers-asked",
    (
        "for name, inputs in batch.items():",
        "for name in self.towers:\n            inputs = batch[name]",
    ),
    story="every tower must be in the batch, or it stops with a KeyError",
    advice="a batch may lack a modality: loop over the batch, not over the towers",
)
exercise.edit(
    "a-plain-tuple",
    (OUTPUT, "return embeddings, self.logit_scale()"),
    story="a plain tuple is returned, which has no names and no logits",
    advice="TwoTowerOutput(embeddings, scale)",
)
exercise.edit(
    "embeddings-as-a-list",
    (OUTPUT, "return TwoTowerOutput([*embeddings.values()], self.logit_scale())"),
    story="the embeddings are a list, so nobody knows which modality each is",
    advice="a dict: the name of each modality and its embeddings",
)
exercise.edit(
    "logits-returned",
    (OUTPUT,
     "first, last = [*embeddings.values()][0], [*embeddings.values()][-1]\n"
     "        return self.logit_scale() * first @ last.T"),
    story="the matrix of logits is returned, and not the embeddings",
    advice="hand over a TwoTowerOutput; its method `logits` makes the matrix",
)  # fmt: skip
exercise.edit(
    "raw-log-scale",
    ("self.logit_scale())", "self.logit_scale.log_scale)"),
    story="the scale is handed over as its logarithm",
    advice="call the module: self.logit_scale()",
)
exercise.edit(
    "no-limit",
    ("self.logit_scale())", "self.logit_scale.log_scale.exp())"),
    story="the scale goes round its limit",
    advice="call the module: self.logit_scale()",
)
exercise.edit(
    "temperature-and-not-scale",
    ("self.logit_scale())", "1 / self.logit_scale())"),
    story="the temperature is handed over, and not the scale, 1 / temperature",
    advice="self.logit_scale() returns the scale already",
)
exercise.edit(
    "scale-detached",
    ("self.logit_scale())", "self.logit_scale().detach())"),
    story="the scale is cut off, so it never learns",
    advice="no detach(), no item()",
)
exercise.edit(
    "towers-frozen",
    ("self.towers[name](*inputs)", "self.towers[name](*inputs).detach()"),
    story="no gradient reaches the towers",
    advice="the towers learn from nothing: no detach(), no no_grad",
    convention=True,
)
exercise.edit(
    "text-tower-frozen",
    ("pooled = self.towers[name](*inputs)",
     "pooled = self.towers[name](*inputs)\n"
     '        pooled = pooled.detach() if name == "text" else pooled'),
    story="no gradient reaches the text tower",
    advice="all towers learn: no detach(), no no_grad",
)  # fmt: skip


@exercise.disguise("nothing-normalised", method="encode")
def longer(self, name, *inputs):
    return self.towers[name](*inputs) @ self.projections[name].weight.mT


@exercise.disguise("scale-detached", method="forward")
def a_number(self, batch):
    embeddings = {
        name: self.encode(name, *(x if isinstance(x, tuple) else (x,))) for name, x in batch.items()
    }
    with torch.no_grad():
        return TwoTowerOutput(embeddings, self.logit_scale())


@exercise.right("lengths by hand", method="encode")
def by_hand(self, name, *inputs):
    shared = torch.einsum("bd,ed->be", self.towers[name](*inputs), self.projections[name].weight)
    return shared * shared.square().sum(1, keepdim=True).rsqrt()


@exercise.right("by torch's cosine of a vector and its directions", method="encode")
def normed(self, name, *inputs):
    shared = (
        nn.Sequential(self.towers[name], self.projections[name])(*inputs)
        if len(inputs) == 1
        else self.projections[name](self.towers[name](*inputs))
    )
    return shared / torch.linalg.vector_norm(shared, dim=1, keepdim=True)


@exercise.right("one comprehension", method="forward")
def comprehension(self, batch):
    return TwoTowerOutput(
        embeddings={
            name: self.encode(name, *(x if isinstance(x, tuple) else (x,)))
            for name, x in batch.items()
        },
        scale=self.logit_scale(),
    )
