"""Exercise modality_dropout.modality_dropout: hidden now and then, but never the last one."""

import functools
import random

import torch

from scratchmm.exercises.format import Exercise
from scratchmm.training.modality_dropout import check_shares, everything

exercise = Exercise(
    id="modality_dropout.modality_dropout",
    order=120,
    target="scratchmm.training.modality_dropout:modality_dropout",
    title="Now and then without",
    goal="hide each modality of each sample by chance; a sample that would lose all keeps one",
    minutes=25,
    difficulty=3,
    section="Missing modalities",
    needs=("modalities.collect",),
    hints="""
        1. Image and words, share 1: each sample keeps one, half of them the image. With share 0.5
           a quarter keep both. A sample that had no image keeps its words whatever the share.
        2. A model trained with all modalities comes to rely on the best. So each sample loses some
           by chance, but never all. Nothing is scaled up: the model is given the mask.
        3. Stack the masks: there (M, B). A random number for every place, from the generator: kept
           where it is at least that modality's share. New random numbers, -1 where absent: the
           largest of a column is the one to save, where nothing is left of what was there.
        4. left = there & (torch.rand(there.shape, generator=generator) >= hidden[:, None]); luck
           anew; saved = luck.masked_fill(~there, -1).argmax(dim=0); rows = torch.arange(B);
           left[saved, rows] |= there[saved, rows] & ~left.any(dim=0)
    """,
)
MANY = 20_000  # samples: a share is known to 0.004


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


def both():
    return everything(["image", "words"], MANY)


def some(case):
    """Three modalities, each absent in some samples; a few samples have none at all."""
    return {name: case.booleans(0.6, B=60) for name in ("words", "image", "sound")}


def told(modality_dropout, what):
    """A function that calls the learner's and gives `what` of it: chance leaves no trace."""

    @functools.wraps(modality_dropout)
    def function(present, share, generator):
        before = torch.stack(list(present.values()))
        left = modality_dropout(present, share, generator)
        return what(before, torch.stack([left[name] for name in present]))

    return function


def parts(flags, of=20):  # of how many samples it is true, in twentieths
    return round(of * flags.double().mean().item())


@exercise.holds("what is left is bool (B,) by name, in the order of present; a share may be 0")
def form(modality_dropout, case):
    present = some(case)
    for share in (0.0, 0):
        left = case.call(modality_dropout, present, share, generator(case))
        case.equal(case.seen(list(left)), list(present), "the names")
        case.equal(left, present, "with a share of 0, what is left")


@exercise.holds("no sample loses all that it had; what was absent, and present itself, stay so")
def never_all(modality_dropout, case):
    def what(before, left):
        lost = before.any(dim=0) & ~left.bool().any(dim=0)
        return {"came back": bool((left.bool() & ~before).any()), "lost all": bool(lost.any())}

    for share in (0.5, 0.7, 1.0):
        present = some(case)
        before = {name: flags.clone() for name, flags in present.items()}
        got = case.call(told(modality_dropout, what), present, share, generator(case))
        case.equal(got, {"came back": False, "lost all": False}, "whether any sample")
        case.equal(case.seen(present), before, "present afterwards")


@exercise.holds("the one that stays is chosen evenly of those present, for each sample on its own")
def evenly(modality_dropout, case):
    @functools.wraps(modality_dropout)
    def thrice(present, share, generator):
        return [parts(modality_dropout(present, share, generator)["sound"], 10) for _ in range(3)]

    half = torch.arange(MANY) < MANY // 2
    present = {"image": half, "words": ~half, "sound": half | True}
    got = case.call(thrice, present, 1.0, generator(case))
    case.equal(got, [5, 5, 5], "samples with the sound alone, in tenths, of three calls")


@exercise.holds("also where the shares differ, the one that stays is chosen evenly")
def unequal(modality_dropout, case):
    tenths = told(modality_dropout, lambda _, left: [parts(flags, of=10) for flags in left])
    got = case.call(tenths, both(), {"image": 1.0, "words": 0.6}, generator(case))
    case.equal(got, [3, 7], "samples with the image and with the words, in tenths")


@exercise.holds("of two, each is missing in p - p^2 / 2 of the samples; both are kept by (1 - p)^2")
def as_many(modality_dropout, case):
    what = told(modality_dropout, lambda _, left: [*map(parts, ~left), parts(left.all(dim=0))])
    got = case.call(what, both(), 0.7, generator(case))
    case.equal(got, [9, 9, 2], "samples without image, without words, with both, in twentieths")


@exercise.holds("shares go by name; a name that has none is never hidden")
def by_name(modality_dropout, case):
    what = told(modality_dropout, lambda _, left: [*map(parts, ~left), parts(~left[:2].any(0))])
    present, shares = everything(["image", "words", "sound"], MANY), {"words": 0.2, "image": 0.5}
    got = case.call(what, present, shares, generator(case))
    case.equal(got, [10, 4, 0, 2], "without image, words, sound, the first two, in twentieths")


@exercise.holds("all chance is the generator's: the same state gives the same, the next call not")
def from_the_generator(modality_dropout, case):
    @functools.wraps(modality_dropout)
    def thrice(present, share, generator):
        state, results = generator.get_state(), []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            generator.set_state(state if seed else generator.get_state())
            results.append(torch.stack([*modality_dropout(present, share, generator).values()]))
        differ = [not torch.equal(results[0], other) for other in results[1:]]
        return {"the next call differs": differ[0], "the same state differs": differ[1]}

    got = case.call(thrice, both(), 0.6, generator(case))
    case.equal(got, {"the next call differs": True, "the same state differs": False})


@exercise.holds("shares outside 0 to 1, unknown names, unequal batches are refused (ValueError)")
def refused(modality_dropout, case):
    for share, size in ((1.5, 3), (-0.1, 3), ({"smell": 0.5}, 3), (0.5, 4), (0.5, 1)):
        present = {**everything(["words"], 3), **everything(["image"], size)}
        case.refuses(ValueError, modality_dropout, present, share, generator(case))


exercise.mistakes("""
    all-come-back: a sample that would lose all keeps all
    - left[saved, rows] |= there[saved, rows] & ~left.any(dim=0)
    + left |= there & ~left.any(dim=0)
    > it keeps one, evenly chosen: otherwise a high share hides less than a low one

    luck-used-twice: the numbers that hid them also choose what stays: larger shares win more often
    - kept = torch.rand(there.shape, generator=generator) >= hidden[:, None]
    + kept = (luck := torch.rand(there.shape, generator=generator)) >= hidden[:, None]
    - luck = torch.rand(there.shape, generator=generator).to(there.device)
    > draw new ones: those that hid a modality are all below its share

    share-kept [convention]: share is taken for the chance to stay
    - >= hidden[:, None]
    + < hidden[:, None]
    > share is the chance to be hidden: kept where the random number is at least the share

    drawn-again: a sample that would lose all is drawn again until it keeps something
    - left = there & kept.to(there.device)
    + left = there & kept
    + for _ in range(50):
    +     again = there & (torch.rand(there.shape, generator=generator) >= hidden[:, None])
    +     left = torch.where(left.any(dim=0), left, again)
    > draw once, and let one stay evenly: with a share of 1 you would draw for ever

    one-goes: at most one modality of a sample is hidden
    - left = there & kept.to(there.device)
    + spared = torch.rand(there.shape, generator=generator).argsort(dim=0) > 0
    + left = there & (kept | (spared & (hidden[:, None] < 1)))
    > each is hidden on its own, so two of three can go

    in-place: the caller's masks are overwritten
    - return dict(zip(names, left))
    + return {name: present[name].copy_(flags) for name, flags in zip(names, left)}
    > make new ones: in the next step everything should be there again
""")

exercise.slips("""
    left[saved, rows] |= there[saved, rows] => left |= there & (there.cumsum(0) == 1)
    left[saved, rows] |= there[saved, rows] => left[0] |= there[0]
    luck.masked_fill(~there, -1) => luck ;; there[saved, rows] & =>
    rand(there.shape, generator=generator) >= => rand(there.shape[1], generator=generator) >=
    kept.to => kept[:, :1].to ;; luck.masked_fill => luck[:, :1].masked_fill
    luck.masked_fill => luck[:, :1].masked_fill
    [float(shares.get(name, 0.0)) for name in names] => [*shares.values(), 0, 0, 0][: len(names)]
    float(shares.get(name, 0.0)) => sum(shares.values()) / max(len(shares), 1)
    shares.get(name, 0.0) => shares[name]
    names = list(present) => names, generator = list(present), torch.Generator().manual_seed(0)
    check_shares(present => check_shares({n: x[:1] for n, x in present.items()} ;;
        [present[name] for name in names] => torch.broadcast_tensors(*present.values())
    zip(names, left) => zip(names, left.long())
    zip(names, left) => enumerate(left)
    zip(names, left) => zip(names, left / (1 - hidden[:, None]))
    luck.masked_fill => (1 - hidden[:, None]).masked_fill
    kept = torch.rand(there.shape, generator=generator) >= => kept = torch.rand((len(names),
        1), generator=generator) >=
""")


@exercise.right("by bernoulli")
def by_bernoulli(present, share, generator=None):
    shares = dict.fromkeys(present, share) if isinstance(share, float | int) else dict(share)
    check_shares(present, shares)
    there = torch.stack(list(present.values()))
    chances = torch.tensor([[1.0 - shares.get(name, 0.0)] for name in present]).expand(there.shape)
    left = there & torch.bernoulli(chances, generator=generator).bool()
    empty = there.any(dim=0) & ~left.any(dim=0)
    if empty.any():
        chosen = torch.multinomial(there[:, empty].T.float(), 1, generator=generator)[:, 0]
        left[chosen, empty.nonzero()[:, 0]] = True
    return dict(zip(present, left, strict=True))


@exercise.right("sample by sample")
def sample_by_sample(present, share, generator=None):
    shares = dict.fromkeys(present, share) if isinstance(share, float | int) else dict(share)
    check_shares(present, shares)
    source = random.Random(int(torch.randint(2**40, (1,), generator=generator)))
    rows = []
    for flags in zip(*(flags.tolist() for flags in present.values()), strict=True):
        given = [name for name, flag in zip(present, flags, strict=True) if flag]
        kept = [name for name in given if source.random() >= shares.get(name, 0.0)]
        kept = kept or [source.choice(given)] if given else []
        rows.append([name in kept for name in present])
    return dict(zip(present, torch.tensor(rows).T.contiguous(), strict=True))
