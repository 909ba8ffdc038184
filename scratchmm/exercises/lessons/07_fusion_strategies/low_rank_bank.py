"""Wrong and other right answers to low_rank.LowRankFusion."""

import functools
import math

import torch

from scratchmm.exercises.format import exercise_file
from scratchmm.fusion.modalities import collect

exercise = exercise_file("07_fusion_strategies/low_rank").exercise


def ones_behind(x):
    return torch.cat([x, x.new_ones(len(x), 1)], dim=-1)


def projected(self, features, present=None):
    """(M, B, R, K)"""
    found, _ = collect(features, self.widths, present)
    said = [torch.einsum("bd,rkd->brk", ones_behind(x), self.factors[n]) for n, x in found.items()]
    return torch.stack(said)


@exercise.wrong(
    "ranks-first",
    story="each modality is added over the ranks before the modalities are multiplied",
    advice="a product of sums is no sum of products: multiply rank by rank, add the ranks last",
    method="forward",
)
def ranks_first(self, features, present=None):
    return projected(self, features, present).sum(dim=2).prod(dim=0)


@exercise.wrong(
    "ranks-multiplied",
    story="modalities are added and ranks multiplied",
    advice="the other way round: multiply over the modalities, add over the ranks",
    method="forward",
)
def ranks_multiplied(self, features, present=None):
    return projected(self, features, present).sum(dim=0).prod(dim=1)


exercise.edit(
    "three-at-most",
    ("for factor in others:", "for factor in others[:2]:"),
    story="tensor() takes three modalities at most",
    advice="a loop over all factors: each adds an axis",
)


@exercise.wrong(
    "modalities-added",
    story="the projections of the modalities are added, not multiplied",
    advice="without a product no number of one modality ever meets one of another",
    method="forward",
)
def modalities_added(self, features, present=None):
    return projected(self, features, present).sum(dim=(0, 2))


@exercise.wrong(
    "ranks-averaged",
    story="the mean over the ranks is taken, not the sum",
    advice="add the ranks: a tensor of rank R is a sum of R outer products",
    method="forward",
)
def ranks_averaged(self, features, present=None):
    return projected(self, features, present).prod(dim=0).mean(dim=1)


@exercise.wrong(
    "ranks-kept",
    story="the result is (B, R, K): the ranks are not added",
    advice="end with the sum over the axis of the ranks",
    method="forward",
)
def ranks_kept(self, features, present=None):
    return projected(self, features, present).prod(dim=0)


@exercise.wrong(
    "outputs-added",
    story="the outputs are added and the ranks are kept: (B, R)",
    advice="axes are (B, R, K): the ranks are axis 1",
    method="forward",
)
def outputs_added(self, features, present=None):
    return projected(self, features, present).prod(dim=0).sum(dim=2)


@exercise.wrong(
    "no-one",
    story="no 1 is appended: the last number of each factor is not used",
    advice="append_one: the 1 keeps what fewer modalities say, and the bias",
    method="forward",
)
def no_one(self, features, present=None):
    found, _ = collect(features, self.widths, present)
    said = [
        torch.einsum("bd,rkd->brk", x, self.factors[name][..., :-1]) for name, x in found.items()
    ]
    return torch.stack(said).prod(dim=0).sum(dim=1)


@exercise.wrong(
    "one-in-front",
    story="the 1 stands in front of the vector, not behind it",
    advice="append_one puts it last; the last number of a factor belongs to it",
    method="forward",
    convention=True,
)
def one_in_front(self, features, present=None):
    found, _ = collect(features, self.widths, present)
    said = [
        torch.einsum("bd,rkd->brk", torch.cat([x.new_ones(len(x), 1), x], 1), self.factors[name])
        for name, x in found.items()
    ]
    return torch.stack(said).prod(dim=0).sum(dim=1)


@exercise.wrong(
    "absent-silences",
    story="an absent modality's projection is 0, so the product and all the others say are 0",
    advice="only its vector is zero; its 1 stays, so project (0, ..., 0, 1)",
    method="forward",
)
def absent_silences(self, features, present=None):
    _, there = collect(features, self.widths, present)
    said = projected(self, features, present) * there.T[:, :, None, None]
    return said.prod(dim=0).sum(dim=1)


@exercise.wrong(
    "absent-skipped",
    story="an absent modality is left out of the product, as if it had said 1",
    advice="it says what its factors make of (0, ..., 0, 1): append the 1 after the zeros and go on",
    method="forward",
)
def absent_skipped(self, features, present=None):
    _, there = collect(features, self.widths, present)
    said = projected(self, features, present)
    return said.where(there.T[:, :, None, None], 1.0).prod(dim=0).sum(dim=1)


@exercise.wrong(
    "left-out-skipped",
    story="a name left out of the features is left out of the product",
    advice="go through all names of self.widths: collect gives zeros for one left out",
    method="forward",
)
def left_out_skipped(self, features, present=None):
    found, _ = collect(features, self.widths, present)
    said = [
        torch.einsum("bd,rkd->brk", ones_behind(found[name]), self.factors[name])
        for name in self.widths
        if name in features
    ]
    return functools.reduce(torch.mul, said).sum(dim=1)


@exercise.wrong(
    "absent-not-marked",
    story="present is not handed on, so absent modalities count with what stands there",
    advice="collect(features, self.widths, present)",
    method="forward",
)
def absent_not_marked(self, features, present=None):
    return projected(self, features).prod(dim=0).sum(dim=1)


@exercise.wrong(
    "order-of-the-call",
    story="the features are paired with the factors in the order in which the call names them",
    advice="find a factor by its name: self.factors[name]",
    method="forward",
)
def order_of_the_call(self, features, present=None):
    found, _ = collect(features, self.widths, present)
    said = [
        torch.einsum("bd,rkd->brk", ones_behind(found[name]), factor)
        for name, factor in zip(features, self.factors.values(), strict=True)
    ]
    return functools.reduce(torch.mul, said).sum(dim=1)


@exercise.wrong(
    "nobody-checked",
    story="a sample without any modality gets an answer",
    advice="collect refuses it: hand it features, self.widths and present",
    method="forward",
)
def nobody_checked(self, features, present=None):
    return by_hand(self, features, present)


@exercise.wrong(
    "features-replaced",
    story="the caller's dictionary gets the vectors with a 1 appended",
    advice="keep them in a variable of your own: features belongs to the caller",
    method="forward",
)
def features_replaced(self, features, present=None):
    said = projected(self, features, present)
    for name in features:
        features[name] = ones_behind(features[name])
    return said.prod(dim=0).sum(dim=1)


@exercise.wrong(
    "factors-cut-off",
    story="the factors are used by their data, so they never learn",
    advice="self.factors[name] as it is: no .data and no detach",
    method="forward",
)
def factors_cut_off(self, features, present=None):
    found, _ = collect(features, self.widths, present)
    said = [
        torch.einsum("bd,rkd->brk", ones_behind(x), self.factors[name].data)
        for name, x in found.items()
    ]
    return torch.stack(said).prod(dim=0).sum(dim=1)


def rank_tensors(self):
    """(R, K, D + 1, S + 1, ...): an outer product for each rank."""
    first, *others = (self.factors[name] for name in self.widths)
    for factor in others:
        first = torch.einsum("rk...,rkd->rk...d", first, factor)
    return first


@exercise.wrong(
    "tensor-ranks-kept",
    story="the tensor still has an axis for the ranks",
    advice="add over the ranks, the first axis",
    method="tensor",
)
def tensor_ranks_kept(self):
    return rank_tensors(self)


@exercise.wrong(
    "tensor-ranks-averaged",
    story="the tensor is the mean of the ranks' outer products",
    advice="their sum, as in forward",
    method="tensor",
)
def tensor_ranks_averaged(self):
    return rank_tensors(self).mean(dim=0)


@exercise.wrong(
    "tensor-ranks-first",
    story="the factors are added over the ranks before their outer product: a tensor of rank 1",
    advice="an outer product for each rank, then the sum",
    method="tensor",
)
def tensor_ranks_first(self):
    first, *others = (self.factors[name].sum(dim=0) for name in self.widths)
    for factor in others:
        first = torch.einsum("k...,kd->k...d", first, factor)
    return first


@exercise.wrong(
    "tensor-flat",
    story="the tensor is a matrix (K, P): the modalities share an axis",
    advice="an axis of its own for each modality",
    method="tensor",
)
def tensor_flat(self):
    return rank_tensors(self).sum(dim=0).flatten(1)


@exercise.wrong(
    "tensor-outputs-last",
    story="the outputs are the last axis of the tensor",
    advice="outputs first, then the modalities in the order of widths",
    method="tensor",
    convention=True,
)
def tensor_outputs_last(self):
    return rank_tensors(self).sum(dim=0).movedim(0, -1)


@exercise.wrong(
    "tensor-backwards",
    story="the axes of the modalities stand in the opposite order",
    advice="each new modality's axis comes behind those that are there",
    method="tensor",
)
def tensor_backwards(self):
    whole = rank_tensors(self).sum(dim=0)
    return whole.permute(0, *reversed(range(1, whole.dim())))


@exercise.wrong(
    "tensor-without-ones",
    story="the tensor is made of the factors without their last number",
    advice="each axis has D + 1 places: the last belongs to the 1",
    method="tensor",
)
def tensor_without_ones(self):
    return rank_tensors(self).sum(dim=0)[(slice(None), *[slice(-1)] * len(self.widths))]


@exercise.wrong(
    "tensor-cut-off",
    story="the tensor is cut off from the factors",
    advice="no .data and no detach",
    method="tensor",
)
def tensor_cut_off(self):
    return rank_tensors(self).sum(dim=0).detach()


@exercise.disguise("ranks-first", method="forward")
def ranks_first_too(self, features, present=None):
    found, _ = collect(features, self.widths, present)
    answer = 1.0
    for name, x in found.items():
        answer = answer * (ones_behind(x) @ self.factors[name].sum(dim=0).T)
    return answer


@exercise.disguise("absent-silences", method="forward")
def absent_silences_too(self, features, present=None):
    found, there = collect(features, self.widths, present)
    said = [
        torch.tensordot(torch.hstack([x, ones.to(x)[:, None]]), self.factors[name], ([1], [2]))
        * ones[:, None, None]
        for (name, x), ones in zip(found.items(), there.T, strict=True)
    ]
    return math.prod(said).sum(dim=1)


@exercise.right("by hand", method="forward")
def by_hand_checked(self, features, present=None):
    collect(features, self.widths, present)
    return by_hand(self, features, present)


def by_hand(self, features, present):
    """Vector times all but the last, plus the last; nothing checked."""
    product, like = 1.0, next(iter(features.values()))
    for name, width in self.widths.items():
        x = features.get(name, like.new_zeros(len(like), width))
        if present and name in present:
            x = torch.where(present[name][:, None], x, like.new_zeros(()))
        factor = self.factors[name]
        product = product * (
            torch.einsum("bd,rkd->rbk", x, factor[..., :-1]) + factor[:, None, :, -1]
        )
    return product.sum(0)


@exercise.right("by the tensor", method="forward")
def by_the_tensor(self, features, present=None):
    found, _ = collect(features, self.widths, present)
    answer = rank_tensors(self).sum(dim=0)[None]  # answers, then each modality, its 1 behind
    for x in found.values():
        vector = ones_behind(x).reshape(len(x), 1, -1, *[1] * (answer.dim() - 3))
        answer = (answer * vector).sum(dim=2)
    return answer


@exercise.right("broadcast", method="tensor")
def broadcast(self):
    total, count = 1.0, len(self.widths)
    for place, factor in enumerate(self.factors[name] for name in self.widths):
        axes = [1] * count
        axes[place] = factor.shape[-1]
        total = total * factor.reshape(*factor.shape[:2], *axes)
    return total.sum(dim=0)
