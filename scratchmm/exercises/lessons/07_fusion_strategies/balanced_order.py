"""Exercise balanced.balanced_order: rare labels come as often as others."""

import functools
import random

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="balanced.balanced_order",
    order=130,
    target="scratchmm.training.balanced:balanced_order",
    title="Every label as often as any other",
    goal="indices in runs of one sample of each label, shuffled; no sample twice before its turn",
    minutes=25,
    difficulty=3,
    section="Balanced batches",
    hints="""
        1. Labels [yes, yes, yes, no], 6 samples: three runs of one yes and one no. The only no,
           sample 3, comes three times; samples 0, 1 and 2 once each, as none may come again before
           all have come. Which of the two stands first in a run is chance.
        2. Drawing with chances is even only on average; here every run of K samples has all K
           labels, so every batch is even. All samples of the frequent labels get their turn.
        3. Refuse an empty list and a count below 1. Collect the indices of each label. Rounds:
           count over K, rounded up. A column for each label: as many permutations as fill
           the rounds. Stack them (rounds, K), shuffle each row on its own, flatten, cut.
        4. turns = [own[torch.randperm(len(own), generator=generator)] for _ in range(-(-rounds //
           len(own)))] for the tensor `own` of a label; its column is torch.cat(turns)[:rounds]. A
           row's order: torch.rand(table.shape, generator=generator).argsort(dim=1), by gather
    """,
)
LABELS = list("abacabaabc")  # five a, three b, two c
MEMBERS = {letter: [i for i, one in enumerate(LABELS) if one == letter] for letter in "abc"}


def told(balanced_order, what):
    """A function that calls the learner's and gives `what` of it: chance leaves no trace."""

    @functools.wraps(balanced_order)
    def function(labels, count, generator):
        order = balanced_order(labels, count, generator)
        return what([labels[index] for index in order.tolist()], order)

    return function


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


def cut(numbers, size):
    """In pieces of a size; the last may be shorter."""
    return [tuple(numbers[place : place + size]) for place in range(0, len(numbers), size)]


@exercise.holds("count indices come back, int64 (count,), fewer or more than there are samples")
def kinds(balanced_order, case):
    kind = told(balanced_order, lambda labels, order: (list(order.shape), str(order.dtype)))
    calls = [((LABELS, n, generator(case)), ([n], "torch.int64")) for n in (6, 4, 47)]
    case.each(kind, *calls, what="shape and kind")


@exercise.holds("each run of K samples has every label once, so each makes one K-th, however rare")
def each_run(balanced_order, case):
    def what(labels, order):
        whole = {sorted(run) == ["a", "b", "c"] for run in cut(labels, 3)}
        shares = {label: round(6 * labels.count(label) / len(labels)) for label in "abc"}
        return {**shares, "runs": "all" if all(whole) else "some" if any(whole) else "none"}

    got = case.call(told(balanced_order, what), LABELS, 1200, generator(case))
    case.equal(got, {"a": 2, "b": 2, "c": 2, "runs": "all"}, "sixths of each label, runs with all")


@exercise.holds("of a frequent label all samples come, not always the same few")
def all_come(balanced_order, case):
    which = told(balanced_order, lambda labels, order: sorted(set(order.tolist())))
    got = case.call(which, LABELS, 60, generator(case))
    case.equal(got, list(range(10)), "the samples that come")


@exercise.holds("in a label none comes again before all have come, each turn in a new order")
def turns(balanced_order, case):
    def what(labels, order):
        own = {a: [i for i in order.tolist() if i in MEMBERS[a]] for a in MEMBERS}
        pieces = {a: cut(own[a], len(MEMBERS[a])) for a in MEMBERS}
        found = {a: all(len(set(piece)) == len(piece) for piece in pieces[a]) for a in MEMBERS}
        listed = set(pieces["a"]) == {tuple(MEMBERS["a"])}
        several = "several" if len(set(pieces["a"])) > 1 else "one and the same"
        return {**found, "orders of a": "that of the list" if listed else several}

    got = case.call(told(balanced_order, what), LABELS, 90, generator(case))
    case.equal(got, dict.fromkeys("abc", True) | {"orders of a": "several"}, "labels in turns")


@exercise.holds("every run has its labels in an order of its own")
def runs_shuffled(balanced_order, case):
    @functools.wraps(balanced_order)
    def function(labels, count, generator):
        calls = [balanced_order(labels, count, generator).tolist() for _ in range(8)]
        found = [set(cut([labels[i] for i in call], 3)) for call in calls]
        a_call, in_all = max(map(len, found)), len(set().union(*found))
        return "one a call" if a_call == 1 < in_all else in_all

    got = case.call(function, LABELS, 120, generator(case))
    case.equal(got, 6, "orders of a, b and c that occur")


@exercise.holds("a label may be anything that a dictionary takes, even of several kinds at once")
def any_label(balanced_order, case):
    labels = [None, ("image", "words"), 3, ("image", "words"), "3", 3]
    counts = told(balanced_order, lambda found, order: [found.count(x) for x in labels[1:]])
    got = case.call(counts, labels, 12, generator(case))
    case.equal(got, [3] * 5, "how often each label comes")


@exercise.holds("all chance is the generator's: the same state gives the same, the next call not")
def from_the_generator(balanced_order, case):
    @functools.wraps(balanced_order)
    def thrice(labels, count, generator):
        state, results = generator.get_state(), []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            generator.set_state(state if seed == 1 else generator.get_state())
            results.append(balanced_order(labels, count, generator))
        differ = [not torch.equal(results[0], other) for other in results[1:]]
        return {"the next call differs": differ[0], "the same state differs": differ[1]}

    got = case.call(thrice, LABELS, 60, generator(case))
    case.equal(got, {"the next call differs": True, "the same state differs": False})


@exercise.holds("an empty list of labels, and a count below 1, are refused with a ValueError")
def refused(balanced_order, case):
    for labels, count in (([], 3), (LABELS, 0), (LABELS, -2)):
        case.refuses(ValueError, balanced_order, labels, count, generator(case))


exercise.mistakes("""
    as-often-as-they-are: samples are shuffled as they are: frequent labels come more often
    - return table.gather(1, mixed).flatten()[:count]
    + turns = [torch.randperm(len(labels), generator=generator) for _ in range(count)]
    + return torch.cat(turns)[:count]
    > every label as often as any other: collect the samples of each, and go round

    even-on-average: samples are drawn with chances of 1 / how often their label is: even on average
    - return table.gather(1, mixed).flatten()[:count]
    + weights = torch.tensor([1 / len(members[label]) for label in labels])
    + return torch.multinomial(weights, count, replacement=True, generator=generator)
    > every run of K samples has all K labels: no chance decides which label comes

    shuffled-as-a-whole: all is shuffled at the end: a run may have a label twice and another not
    - return table.gather(1, mixed).flatten()[:count]
    + whole = table.gather(1, mixed).flatten()[:count]
    + return whole[torch.randperm(count, generator=generator)]
    > shuffle inside each run only

    too-few-for-count: each sample comes at most once, so the rare labels are soon used up
    - return table.gather(1, mixed).flatten()[:count]
    + order = table.gather(1, mixed).flatten()[:count].tolist()
    + return torch.tensor(list(dict.fromkeys(order)))
    > when all of a label have come, begin again with a new permutation

    the-same-turn-again: the samples of a label are shuffled once, and each turn repeats that order
    - [torch.randperm(len(indices), generator=generator) for _ in range(again)]
    + [torch.randperm(len(indices), generator=generator)] * again
    > draw a new permutation for each turn

    filled-up-and-repeated: each label is filled up to the most frequent, all that repeated
    - turns = [torch.randperm(len(indices), generator=generator) for _ in range(again)]
    - columns.append(torch.tensor(indices)[torch.cat(turns)[:rounds]])
    + most = max(map(len, members.values()))
    + own = torch.tensor(indices)[torch.randperm(len(indices), generator=generator)]
    + columns.append(own.repeat(most)[:most].repeat(count)[:rounds])
    > go round each label by itself: a new turn only when all of the last have come
""")

exercise.slips("""
    table.gather(1, mixed) => table
    torch.rand(table.shape, generator=generator).argsort(dim=1) =>
        torch.randperm(table.shape[1], generator=generator).expand(table.shape)
    torch.randperm(len(indices), generator=generator) => torch.arange(len(indices))
    torch.randperm(len(indices), => torch.randint(len(indices), (len(indices),),
    torch.tensor(indices)[torch.cat(turns)[:rounds]] => torch.cat(turns)[:rounds]
    -(-count // len(members)) => count ;; .flatten()[:count] => .flatten()
    setdefault(label, []) => setdefault(str(label), [])
    in members.values() => in [members[label] for label in sorted(members)]
    columns = [] => columns, generator = [], torch.default_generator
    columns = [] => columns, generator = [], generator.manual_seed(0)
    raise ValueError(f"{count} samples cannot be drawn from 0 labels") =>
        return torch.zeros(count, dtype=torch.int64)
    table.gather(1, mixed).flatten()[:count] =>
        table.flatten()[:count][(torch.arange(count) % len(members)).argsort(stable=True)]
    members.values() => [own[: min(map(len, members.values()))] for own in members.values()]
    check_count("count", count, most=MOST_DRAWN) => pass ;; .flatten()[:count] =>
        .flatten()[: max(count, 0)] ;; torch.cat(turns)[:rounds] =>
        torch.cat([torch.empty(0).long(), *turns])[: max(rounds, 0)]
""")


def collected(labels, count):
    """The indices of each label."""
    if not labels or count < 1:
        raise ValueError("nothing to draw, or to draw from")
    return {one: [i for i, label in enumerate(labels) if label == one] for one in labels}


@exercise.right("run by run")
def run_by_run(labels, count, generator):
    members, order = collected(labels, count), []
    chance = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    waiting = {label: [] for label in members}
    while len(order) < count:
        run = []
        for label, own in members.items():
            waiting[label] = waiting[label] or chance.sample(own, len(own))
            run.append(waiting[label].pop())
        chance.shuffle(run)
        order += run
    return torch.tensor(order[:count])


@exercise.right("by sorting")
def by_sorting(labels, count, generator):
    members, rows = collected(labels, count), []
    for own in members.values():
        scores = torch.rand(count, len(own), generator=generator)  # more turns than are needed
        rows.append(torch.tensor(own)[scores.argsort(dim=1)].flatten()[:count])
    runs = [torch.stack(run) for run in zip(*rows, strict=True)]
    return torch.cat([run[torch.randperm(len(run), generator=generator)] for run in runs])[:count]
