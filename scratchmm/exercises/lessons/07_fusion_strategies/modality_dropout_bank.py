"""Wrong and other right answers to modality_dropout.modality_dropout."""

import random

import torch

from scratchmm.exercises.format import exercise_file
from scratchmm.training.modality_dropout import check_shares

exercise = exercise_file("07_fusion_strategies/modality_dropout").exercise

SAVING = "left[saved, rows] |= there[saved, rows] & ~left.any(dim=0)"
KEPT = "kept = torch.rand(there.shape, generator=generator) >= hidden[:, None]"

exercise.edit(
    "all-can-go",
    (SAVING, "pass"),
    story="a sample can lose all its modalities",
    advice="where nothing is left of what was there, one stays",
)
exercise.edit(
    "all-come-back",
    (SAVING, "left |= there & ~left.any(dim=0)"),
    story="a sample that would lose all keeps all",
    advice="it keeps one, evenly chosen: otherwise a high share hides less than a low one",
)
exercise.edit(
    "first-saved",
    (SAVING, "left |= there & (there.cumsum(0) == 1) & ~left.any(dim=0)"),
    story="the first modality that was there is the one that stays",
    advice="choose among those that were there, each as likely: the largest of new chance numbers",
)
exercise.edit(
    "first-or-nobody",
    (SAVING, "left[0] |= there[0] & ~left.any(dim=0)"),
    story="the first modality of all is the one that stays, and where it was absent, nobody",
    advice="choose among those that were there, each as likely: the largest of new chance numbers",
)
exercise.edit(
    "least-hidden-saved",
    (
        "luck = torch.rand(there.shape, generator=generator).to(there.device)",
        "luck = (1 - hidden[:, None]).expand(there.shape)",
    ),
    story="the modality with the smallest share is the one that stays",
    advice="choose evenly, whatever the shares",
)
exercise.edit(
    "luck-used-twice",
    (
        KEPT,
        "luck = torch.rand(there.shape, generator=generator)\n    kept = luck >= hidden[:, None]",
    ),
    ("luck = torch.rand(there.shape, generator=generator).to(there.device)", "pass"),
    story="the chance numbers that hid them also choose who stays, so larger shares win more often",
    advice="draw new ones: those that hid a modality are all below its share",
)
exercise.edit(
    "absent-saved",
    ("luck.masked_fill(~there, -1)", "luck"),
    (SAVING, "left[saved, rows] |= ~left.any(dim=0)"),
    story="the one that stays is chosen among all modalities, also those that were never there",
    advice="-1 as the luck of those that were not there, and nobody where nobody was",
)
exercise.edit(
    "absent-chosen",
    ("luck.masked_fill(~there, -1)", "luck"),
    story="the choice may fall on a modality that was not there, and then nobody stays",
    advice="choose among those that were there: -1 as the luck of the others",
)
exercise.edit(
    "nobody-becomes-somebody",
    (SAVING, "left[saved, rows] |= ~left.any(dim=0)"),
    story="a sample that had nothing is given its first modality",
    advice="save only what was there: there[saved, rows] &",
)
exercise.edit(
    "absent-come-back",
    ("left = there & kept.to(there.device)", "left = kept.to(there.device)"),
    story="what was absent is there again where chance does not hide it",
    advice="there & kept: nothing can be hidden less than it was",
)
exercise.edit(
    "share-kept",
    (">= hidden[:, None]", "< hidden[:, None]"),
    story="share is taken for the chance to stay",
    advice="share is the chance to be hidden: kept where the chance number is at least the share",
    convention=True,
)
exercise.edit(
    "whole-batch",
    (KEPT, "kept = torch.rand((len(names), 1), generator=generator) >= hidden[:, None]"),
    ("luck = torch.rand(there.shape,", "luck = torch.rand((len(names), 1),"),
    story="one chance number a modality hides it from the whole batch",
    advice="a number for every modality and sample: shape (M, B)",
)
exercise.edit(
    "all-or-none",
    (KEPT, "kept = torch.rand((1, there.shape[1]), generator=generator) >= hidden[:, None]"),
    story="one chance number a sample hides all its modalities or none",
    advice="a number for every modality and sample: shape (M, B)",
)
exercise.edit(
    "same-stays-for-all",
    ("luck = torch.rand(there.shape,", "luck = torch.rand((len(names), 1),"),
    ("luck.masked_fill(~there, -1)", "luck.expand(there.shape).masked_fill(~there, -1)"),
    story="one choice for the whole batch: the same modality stays in all samples that lose all",
    advice="the luck too needs a number for every modality and sample",
)
exercise.edit(
    "shares-by-place",
    (
        "[float(shares.get(name, 0.0)) for name in names]",
        "([float(one) for one in shares.values()] + [0.0] * len(names))[: len(names)]",
    ),
    story="shares are paired with the modalities by their order, not by name",
    advice="shares.get(name, 0.0) for each name of present",
)
exercise.edit(
    "unnamed-fails",
    ("shares.get(name, 0.0)", "shares[name]"),
    story="a name without a share is an error",
    advice="a name left out is never hidden: a share of 0",
)
exercise.edit(
    "mean-share",
    (
        "[float(shares.get(name, 0.0)) for name in names]",
        "[sum(map(float, shares.values())) / max(len(shares), 1)] * len(names)",
    ),
    story="all modalities get the mean of the shares",
    advice="each its own: shares.get(name, 0.0)",
)
exercise.edit(
    "scaled",
    ("return dict(zip(names, left))", "return dict(zip(names, left / (1 - hidden[:, None])))"),
    story="what is left is scaled up by 1 / (1 - share), as in ordinary dropout",
    advice="a mask of True and False: the model is told who is there, nothing needs to be evened out",
)
exercise.edit(
    "numbers",
    ("return dict(zip(names, left))", "return dict(zip(names, left.long()))"),
    story="what is left is 1 and 0, not True and False",
    advice="masks are bool in this library",
)
exercise.edit(
    "table-returned",
    ("return dict(zip(names, left))", "return dict(enumerate(left))"),
    story="the names are lost: what is left goes by number",
    advice="a dictionary by the names of present",
)
exercise.edit(
    "not-refused",
    ("check_shares(present, shares)", "pass"),
    story="a share that is none is taken as it comes",
    advice="check_shares(present, shares) refuses it",
)
exercise.edit(
    "sizes-not-refused",
    (
        "check_shares(present, shares)",
        "check_shares({name: flags[:1] for name, flags in present.items()}, shares)",
    ),
    (
        "there = torch.stack([present[name] for name in names])",
        "there = torch.stack(torch.broadcast_tensors(*present.values()))",
    ),
    story="it does not refuse masks of different batch sizes",
    advice="check_shares(present, shares) refuses them",
)
exercise.edit(
    "floats-only",
    ("isinstance(share, float | int)", "isinstance(share, float)"),
    story="a share that is a whole number, 0 or 1, is taken for a mapping",
    advice="isinstance(share, float | int)",
)
exercise.edit(
    "in-place",
    (
        "return dict(zip(names, left))",
        "[present[name].copy_(flags) for name, flags in zip(names, left)]\n"
        "    return dict(zip(names, left))",
    ),
    story="the caller's masks are overwritten",
    advice="make new ones: next step everything should be there again",
)


def begun(present, share, generator, rand=torch.rand):
    """What is there and what chance leaves of it, (M, B); the shares (M, 1)."""
    shares = dict.fromkeys(present, share) if isinstance(share, float | int) else dict(share)
    check_shares(present, shares)
    there = torch.stack(list(present.values()))
    hidden = torch.tensor([[float(shares.get(name, 0))] for name in present])
    return there, there & (rand(there.shape, generator=generator) >= hidden), hidden


def rescued(there, left, generator):
    """One of those that were there, where none is left."""
    luck = torch.rand(there.shape, generator=generator) * there
    best = (luck == luck.max(dim=0).values) & there
    return left | (best & ~left.any(dim=0))


@exercise.wrong(
    "drawn-again",
    story="a sample that would lose all is drawn again until it keeps something",
    advice="draw once, and let one stay evenly: with a share of 1 you would draw for ever",
)
def drawn_again(present, share, generator=None):
    there, left, hidden = begun(present, share, generator)
    for _ in range(50):
        again = there & (torch.rand(there.shape, generator=generator) >= hidden)
        left = torch.where(left.any(dim=0), left, again)
    return dict(zip(present, rescued(there, left, generator), strict=True))


@exercise.wrong(
    "one-goes",
    story="at most one modality of a sample is hidden",
    advice="each is hidden on its own, so two of three can go",
)
def one_goes(present, share, generator=None):
    there, left, hidden = begun(present, share, generator)
    victim = torch.rand(there.shape, generator=generator).argmax(dim=0)
    spared = torch.arange(len(there))[:, None] != victim
    left = torch.where(hidden == 1, left, left | (there & spared))
    return dict(zip(present, rescued(there, left, generator), strict=True))


@exercise.wrong(
    "global-chance",
    story="chance comes from torch's global state, not from the generator",
    advice="hand generator=generator to every function that draws",
)
def global_chance(present, share, generator=None):
    there, left, _ = begun(present, share, None)
    return dict(zip(present, rescued(there, left, None), strict=True))


@exercise.wrong(
    "seeded-anew",
    story="each call begins with the same chance numbers",
    advice="use the generator as it comes: seeding it again hides the same ones every time",
)
def seeded_anew(present, share, generator=None):
    generator = torch.Generator().manual_seed(0)
    there, left, _ = begun(present, share, generator)
    return dict(zip(present, rescued(there, left, generator), strict=True))


@exercise.disguise("all-can-go")
def all_can_go_too(present, share, generator=None):
    shares = dict.fromkeys(present, share) if isinstance(share, float | int) else dict(share)
    check_shares(present, shares)
    left = {}
    for name, flags in present.items():
        chance = torch.rand(len(flags), generator=generator)
        left[name] = flags & ~(chance < shares.get(name, 0.0))
    return left


@exercise.disguise("first-saved")
def first_saved_too(present, share, generator=None):
    there, left, _ = begun(present, share, generator)
    empty = ~left.any(dim=0)
    for row, flags in zip(left, there, strict=True):
        row |= flags & empty
        empty = empty & ~flags
    return dict(zip(present, left, strict=True))


@exercise.right("by bernoulli")
def by_bernoulli(present, share, generator=None):
    shares = dict.fromkeys(present, share) if isinstance(share, float | int) else dict(share)
    check_shares(present, shares)
    there, left = torch.stack(list(present.values())), {}
    for name, flags in present.items():
        chances = torch.full(flags.shape, float(shares.get(name, 0.0)))
        left[name] = flags & ~torch.bernoulli(chances, generator=generator).bool()
    empty = there.any(dim=0) & ~torch.stack(list(left.values())).any(dim=0)
    if empty.any():
        chosen = torch.multinomial(there[:, empty].T.float(), 1, generator=generator)[:, 0]
        for index, flags in enumerate(left.values()):
            flags[empty] = chosen == index
    return left


@exercise.right("sample by sample")
def sample_by_sample(present, share, generator=None):
    shares = dict.fromkeys(present, share) if isinstance(share, float | int) else dict(share)
    check_shares(present, shares)
    seed = int(torch.randint(2**40, (1,), generator=generator))
    source, names, rows = random.Random(seed), list(present), []
    for flags in zip(*(flags.tolist() for flags in present.values()), strict=True):
        given = [name for name, flag in zip(names, flags, strict=True) if flag]
        kept = [name for name in given if source.random() >= shares.get(name, 0.0)]
        kept = kept or [source.choice(given)] if given else []
        rows.append([name in kept for name in names])
    return dict(zip(names, torch.tensor(rows).T.contiguous(), strict=True))
