"""Exercise modality_dropout.modality_dropout: hidden now and then, but never the last one."""

import functools

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="modality_dropout.modality_dropout",
    order=120,
    target="scratchmm.training.modality_dropout:modality_dropout",
    title="Now and then without",
    goal="hide each modality of each sample by chance; who would lose all keeps one, evenly chosen",
    minutes=25,
    difficulty=3,
    section="Missing modalities",
    needs=("modalities.collect",),
    hints=(
        "Image and words, share 1: everything is hidden, so each sample keeps one: about half of "
        "them the image, the others the words. With share 0.5 a quarter of the samples keep both. "
        "A sample that had no image has none afterwards, and keeps its words whatever the share.",
        "Who has always had all learns to lean on the best. Here a sample loses a modality as if its "
        "camera had failed, each on its own; only a sample without anything could teach nothing. "
        "Nothing is scaled up as in ordinary dropout: the model is told who is there.",
        "Stack the masks: there (M, B). A chance number for every place, (M, B), from the generator: "
        "kept where it is at least that modality's share. Left: there and kept. New chance numbers "
        "(M, B), -1 where nobody was there: the largest of a column says who could be saved. Save "
        "where a column of left is empty and was not so before. Back to a dictionary by name.",
        "left = there & (torch.rand(there.shape, generator=generator) >= hidden[:, None]); luck = "
        "torch.rand(there.shape, generator=generator); saved = luck.masked_fill(~there, -1).argmax("
        "dim=0); left[saved, torch.arange(B)] |= there[saved, torch.arange(B)] & ~left.any(dim=0)",
    ),
)
MANY = 20_000  # samples: a share is known to 0.004


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


def everyone(*names, B=MANY):
    return {name: torch.ones(B, dtype=torch.bool) for name in names}


def some(case, B=60):
    """Three modalities, each absent in some samples; a few samples have none at all."""
    names = ("words", "image", "sound")
    return {name: case.booleans(0.6, B=B) for name in names}


def table(present):
    """(M, B)"""
    return torch.stack(list(present.values()))


def looked_at(modality_dropout, look):
    """A function that calls the learner's and gives what `look` sees in it: chance leaves no trace."""

    @functools.wraps(modality_dropout)
    def function(present, share, generator):
        before = table(present).clone()
        left = modality_dropout(present, share, generator)
        return look(before, torch.stack([left[name] for name in present]))

    return function


def parts(flags, of=20):
    """Of how many samples it is true, in twentieths."""
    return round(of * flags.double().mean().item())


def who_is_left(names):
    """How often each set of names is left, in tenths."""

    def look(before, left):
        places = 2 ** torch.arange(len(names))[:, None]
        counts = (left.bool() * places).sum(dim=0).bincount(minlength=2 ** len(names))
        shares = (10 * counts / left.shape[1]).round().long().tolist()
        told = {}
        for code, share in enumerate(shares):
            here = [name for place, name in enumerate(names) if code >> place & 1]
            told[" and ".join(here) or "nobody"] = share
        return {who: share for who, share in told.items() if share}

    return look


@exercise.holds("what is left is bool (B,) by name, in the order of present")
def form(modality_dropout, case):
    present = some(case)
    left = case.call(modality_dropout, present, 0.0, generator(case))
    case.equal(case.seen(list(left)), list(present), "the names")
    for name, flags in left.items():
        case.equal(flags, present[name], f"with a share of 0, {name}")


@exercise.holds("each sample is on its own: not all of a batch lose the same")
def each_sample(modality_dropout, case):
    look = looked_at(modality_dropout, lambda before, left: left.unique(dim=1).shape[1] > 1)
    present = everyone("image", "words", "sound", B=500)
    got = case.call(look, present, 0.3, generator(case))
    case.equal(got, True, "whether samples differ in what is left")


@exercise.holds("what was absent stays absent")
def stays_absent(modality_dropout, case):
    look = looked_at(modality_dropout, lambda before, left: bool((left.bool() & ~before).any()))
    for share in (0.5, 1.0):
        got = case.call(look, some(case), share, generator(case))
        case.equal(got, False, "whether anyone is there who was not")


@exercise.holds("no sample loses all that it had")
def never_all(modality_dropout, case):
    look = looked_at(
        modality_dropout,
        lambda before, left: bool((before.any(dim=0) & ~left.bool().any(dim=0)).any()),
    )
    for share in (0.7, 1.0):
        got = case.call(look, some(case), share, generator(case))
        case.equal(got, False, "whether a sample has lost all")


@exercise.holds("with a share of 1 exactly one modality stays, where there was any")
def one_stays(modality_dropout, case):
    def look(before, left):
        counts = left.bool().sum(dim=0)[before.any(dim=0)]
        return {"at least": int(counts.min()), "at most": int(counts.max())}

    look = looked_at(modality_dropout, look)
    got = case.call(look, some(case, B=500), 1.0, generator(case))
    case.equal(got, {"at least": 1, "at most": 1}, "how many a sample has left")


@exercise.holds("each modality is hidden on its own: of three, any number can go")
def on_its_own(modality_dropout, case):
    def look(before, left):
        return {f"{n} left": parts(left.sum(dim=0) == n, of=10) for n in (1, 2, 3)}

    look = looked_at(modality_dropout, look)
    got = case.call(look, everyone("image", "words", "sound"), 0.5, generator(case))
    case.equal(got, {"1 left": 5, "2 left": 4, "3 left": 1}, "samples, in tenths")


@exercise.holds("of two, each is missing in p - p^2 / 2 of the samples; both are kept by (1 - p)^2")
def as_many(modality_dropout, case):
    def look(before, left):
        told = {"without image": parts(~left[0]), "without words": parts(~left[1])}
        return {**told, "with both": parts(left.all(dim=0))}

    look = looked_at(modality_dropout, look)
    got = case.call(look, everyone("image", "words"), 0.7, generator(case))
    expected = {"without image": 9, "without words": 9, "with both": 2}
    case.equal(got, expected, "samples, in twentieths")


@exercise.holds("shares go by name; a name that has none is never hidden")
def by_name(modality_dropout, case):
    def look(before, left):
        told = {name: parts(~left[i]) for i, name in enumerate(("image", "words", "sound"))}
        return {**told, "image and words": parts(~left[0] & ~left[1])}

    look = looked_at(modality_dropout, look)
    present = everyone("image", "words", "sound")
    got = case.call(look, present, {"words": 0.2, "image": 0.5}, generator(case))
    expected = {"image": 10, "words": 4, "sound": 0, "image and words": 2}
    case.equal(got, expected, "how often each is missing, in twentieths")


@exercise.holds("the one that stays is chosen evenly, whatever the shares")
def evenly(modality_dropout, case):
    look = looked_at(modality_dropout, who_is_left(("image", "words")))
    shares = {"image": 1.0, "words": 0.6}
    got = case.call(look, everyone("image", "words"), shares, generator(case))
    case.equal(got, {"image": 3, "words": 7}, "who is left, in tenths of the samples")


@exercise.holds("the one that stays is chosen among those that were there, evenly too")
def among_those(modality_dropout, case):
    look = looked_at(modality_dropout, who_is_left(("image", "words", "sound")))
    present = everyone("image", "words", "sound")
    present["words"][: MANY // 2] = False
    present["image"][MANY // 2 :] = False
    got = case.call(look, present, 1.0, generator(case))
    # The words or the image have the other half: quarters, which tenths would round by chance.
    case.equal(got.get("sound"), 5, "samples with the sound alone, in tenths")


@exercise.holds(
    "all chance is the generator's: the same state gives the same, the next call another"
)
def from_the_generator(modality_dropout, case):
    @functools.wraps(modality_dropout)
    def thrice(present, share, generator):
        state, results = generator.get_state(), []
        for seed in range(3):
            torch.manual_seed(0 if seed < 2 else 1)
            if seed == 2:
                generator.set_state(state)
            results.append(table(modality_dropout(present, share, generator)))
        differ = [not torch.equal(results[0], other) for other in results[1:]]
        return {"the next call differs": differ[0], "the same state differs": differ[1]}

    got = case.call(thrice, everyone("image", "words", B=500), 0.6, generator(case))
    case.equal(got, {"the next call differs": True, "the same state differs": False})


@exercise.holds("what was there before is left as it was")
def unchanged(modality_dropout, case):
    present = some(case)
    before = {name: flags.clone() for name, flags in present.items()}
    look = looked_at(modality_dropout, lambda before, left: "called")
    case.call(look, present, 0.7, generator(case))
    kept = {name: torch.equal(present[name], flags) for name, flags in before.items()}
    case.equal(case.seen(kept), dict.fromkeys(before, True), "whether present is as it was")


@exercise.holds("a share outside 0 to 1, or of a name that is none, is refused with a ValueError")
def refused(modality_dropout, case):
    for share in (1.5, -0.1, {"smell": 0.5}):
        case.refuses(ValueError, modality_dropout, everyone("words", B=3), share, generator(case))


@exercise.holds("a share of 0 or 1 may be a whole number")
def whole_share(modality_dropout, case):
    present = everyone("words", B=3)
    for share in (0, 1):
        case.equal(case.call(modality_dropout, present, share, generator(case)), present)


@exercise.holds("masks of different batch sizes are refused with a ValueError")
def sizes(modality_dropout, case):
    for size in (4, 1):
        present = {**everyone("words", B=3), **everyone("image", B=size)}
        case.refuses(ValueError, modality_dropout, present, 0.5, generator(case))
