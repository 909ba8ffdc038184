"""Exercise balanced.balanced_order: rare labels are met as often as others."""

import functools
from collections import Counter

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
    hints=(
        "Labels [yes, yes, yes, no], 6 samples: three runs of one yes and one no. The only no, "
        "sample 3, comes three times; samples 0, 1 and 2 once each, as none may come again before "
        "all have come. Which of the two stands first in a run is chance.",
        "A model that sees yes nine times of ten learns to say yes. Drawing with chances evens that "
        "out only on average; here every run of K samples has all K labels, so every batch is even. "
        "The rare ones come again and again, and of the frequent ones all get their turn.",
        "Refuse an empty list. Collect the indices of each label. Rounds: count over K, rounded up. "
        "For each label as many permutations of its indices, one after the other, as fill the "
        "rounds: a column. Stack the columns (rounds, K), put each row in an order of its own, "
        "flatten, and cut at count. All chance is the generator's.",
        "For a label with the tensor `own` of indices: turns = [own[torch.randperm(len(own), "
        "generator=generator)] for _ in range(-(-rounds // len(own)))]; its column is "
        "torch.cat(turns)[:rounds]. With table = torch.stack(all, dim=1), take table.gather(1, "
        "torch.rand(table.shape, generator=generator).argsort(dim=1)), flatten, cut",
    ),
)
LABELS = list("abacabaabc")  # five a, three b, two c
MEMBERS = {letter: [i for i, one in enumerate(LABELS) if one == letter] for letter in "abc"}


def summed_up(balanced_order, look):
    """A function that calls the learner's and gives what `look` sees in it: chance leaves no trace."""

    @functools.wraps(balanced_order)
    def function(labels, count, generator):
        order = balanced_order(labels, count, generator)
        return look([labels[index] for index in order.tolist()], order)

    return function


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


@exercise.holds("count indices come back, int64 (count,), fewer or more than there are samples")
def kinds(balanced_order, case):
    def look(labels, order):
        return list(order.shape), str(order.dtype)

    look = summed_up(balanced_order, look)
    case.each(
        look,
        *(((LABELS, n, generator(case)), ([n], "torch.int64")) for n in (6, 4, 47)),
        what="shape and kind",
    )


@exercise.holds("of K labels each makes one K-th of the samples, however rare it is")
def even(balanced_order, case):
    def look(labels, order):
        counts = sorted(Counter(labels).items())
        return {label: round(6 * count / len(labels)) for label, count in counts}

    got = case.call(summed_up(balanced_order, look), LABELS, 1200, generator(case))
    case.equal(got, {"a": 2, "b": 2, "c": 2}, "sixths of the samples that have each label")


def runs(labels):
    """The labels in runs of three."""
    return [labels[place : place + 3] for place in range(0, len(labels) - 2, 3)]


@exercise.holds("each run of K samples has every label once")
def each_run(balanced_order, case):
    def look(labels, order):
        whole = [sorted(run) == ["a", "b", "c"] for run in runs(labels)]
        return "all" if all(whole) else "none" if not any(whole) else "some"

    got = case.call(summed_up(balanced_order, look), LABELS, 150, generator(case))
    case.equal(got, "all", "runs that have a, b and c")


@exercise.holds("where count ends inside a run, no label of that run comes twice")
def last_run(balanced_order, case):
    def look(labels, order):
        counts = [labels.count(letter) for letter in "abc"]
        return max(counts) - min(counts) <= 1

    look = summed_up(balanced_order, look)
    calls = [((LABELS, count, generator(case)), True) for count in (601, 602)]
    case.each(look, *calls, what="whether labels come equally often, but for one")


@exercise.holds("of a frequent label all samples come, not always the same few")
def all_come(balanced_order, case):
    got = case.call(
        summed_up(balanced_order, lambda labels, order: sorted(set(order.tolist()))),
        LABELS,
        60,
        generator(case),
    )
    case.equal(got, list(range(10)), "the samples that come")


@exercise.holds("within a label no sample comes twice before all have come once")
def turns(balanced_order, case):
    def look(labels, order):
        found = {}
        for letter, members in MEMBERS.items():
            own = [index for index in order.tolist() if index in members]
            size = len(members)
            parts = [own[place : place + size] for place in range(0, len(own), size)]
            found[letter] = all(len(set(part)) == len(part) for part in parts)
        return found

    got = case.call(summed_up(balanced_order, look), LABELS, 90, generator(case))
    case.equal(got, {"a": True, "b": True, "c": True}, "whether all take turns")


@exercise.holds("every turn of a label's samples is in an order of its own")
def turns_shuffled(balanced_order, case):
    def look(labels, order):
        own = [index for index in order.tolist() if index in MEMBERS["a"]]
        size = len(MEMBERS["a"])
        parts = {tuple(own[place : place + size]) for place in range(0, len(own), size)}
        if len(parts) > 1:
            return "several"
        return "that of the list" if parts == {tuple(MEMBERS["a"])} else "one and the same"

    got = case.call(summed_up(balanced_order, look), LABELS, 3 * 5 * 6, generator(case))
    case.equal(got, "several", "orders in which the samples of a come")


@exercise.holds("every run has its labels in an order of its own")
def runs_shuffled(balanced_order, case):
    @functools.wraps(balanced_order)
    def function(labels, count, generator):
        calls = [balanced_order(labels, count, generator).tolist() for _ in range(8)]
        found = [{tuple(run) for run in runs([labels[i] for i in call])} for call in calls]
        together = set().union(*found)
        if all(len(orders) == 1 for orders in found):
            return "one" if len(together) == 1 else "one a call"
        return "all six" if len(together) == 6 else "others"

    got = case.call(function, LABELS, 120, generator(case))
    case.equal(got, "all six", "orders of a, b and c that occur")


@exercise.holds("a label may be anything that a dictionary takes, even of several kinds at once")
def any_label(balanced_order, case):
    labels = [None, ("image", "words"), 3, ("image", "words"), "3", 3]

    def look(found, order):
        return [found.count(label) for label in (None, ("image", "words"), 3, "3")]

    got = case.call(summed_up(balanced_order, look), labels, 12, generator(case))
    case.equal(got, [3, 3, 3, 3], "how often each label comes")


@exercise.holds("a single label gives its samples in turns")
def one_label(balanced_order, case):
    def look(labels, order):
        return all(sorted(turn) == [0, 1, 2, 3] for turn in order.view(-1, 4).tolist())

    got = case.call(summed_up(balanced_order, look), ["x"] * 4, 40, generator(case))
    case.equal(got, True, "whether all four come in every turn")


@exercise.holds(
    "all chance is the generator's: the same state gives the same, the next call another"
)
def from_the_generator(balanced_order, case):
    @functools.wraps(balanced_order)
    def thrice(labels, count, generator):
        state, results = generator.get_state(), []
        for seed in range(3):
            torch.manual_seed(0 if seed < 2 else 1)
            if seed == 2:
                generator.set_state(state)
            results.append(balanced_order(labels, count, generator))
        differ = [not torch.equal(results[0], other) for other in results[1:]]
        return {"the next call differs": differ[0], "the same state differs": differ[1]}

    got = case.call(thrice, LABELS, 60, generator(case))
    case.equal(got, {"the next call differs": True, "the same state differs": False})


@exercise.holds("an empty list of labels is refused with a ValueError")
def refused(balanced_order, case):
    case.refuses(ValueError, balanced_order, [], 3, generator(case))


@exercise.holds("a count below 1 is refused with a ValueError")
def refused_count(balanced_order, case):
    for count in (0, -2):
        case.refuses(ValueError, balanced_order, LABELS, count, generator(case))
