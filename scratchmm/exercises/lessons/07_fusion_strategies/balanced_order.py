"""Exercise balanced.balanced_order: rare labels are met as often as others."""

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
           sample 3, comes three times; samples 0, 1 and 2 once each.
        2. A model that is trained on nine yes of ten answers yes. Drawing by probability is even on
           average only; here every run of K samples has all K labels, so every batch is even.
        3. Refuse an empty list. Collect the indices of each label. Rounds: count over K, rounded
           up. A column for each label: permutations of its indices, one after the other, as many as
           fill the rounds. Stack the columns (rounds, K), shuffle each row, flatten, cut at count.
        4. For a label of the indices `own`: turns = [own[torch.randperm(len(own), generator=
           generator)] for _ in range(-(-rounds // len(own)))], torch.cat(turns)[:rounds]; the table
           by torch.rand(table.shape, generator=generator).argsort(dim=1), gathered, flattened, cut
    """,
)

LABELS = list("abacabaabc")  # five a, three b, two c
MEMBERS = {letter: [i for i, one in enumerate(LABELS) if one == letter] for letter in "abc"}


def summed_up(balanced_order, look):
    """Calls the learner's function and gives what `look` finds in it: chance leaves no trace."""

    @functools.wraps(balanced_order)
    def function(labels, count, generator):
        order = balanced_order(labels, count, generator)
        return look([labels[index] for index in order.tolist()], order)

    return function


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


@exercise.holds("count indices come back, int64 (count,), fewer or more than there are samples")
def kinds(balanced_order, case):
    look = summed_up(balanced_order, lambda _, order: (list(order.shape), str(order.dtype)))
    calls = [((LABELS, n, generator(case)), ([n], "torch.int64")) for n in (6, 4, 47)]
    case.each(look, *calls, what="shape and kind")


@exercise.holds("of K labels each makes one K-th of the samples, however rare it is")
def even(balanced_order, case):
    def look(labels, order):
        return {label: round(6 * labels.count(label) / len(labels)) for label in "abc"}

    got = case.call(summed_up(balanced_order, look), LABELS, 1200, generator(case))
    case.equal(got, {"a": 2, "b": 2, "c": 2}, "sixths of the samples that have each label")


def runs(labels):
    """The labels in runs of three."""
    return [labels[place : place + 3] for place in range(0, len(labels) - 2, 3)]


@exercise.holds("each run of K samples has every label once")
def each_run(balanced_order, case):
    def look(labels, order):
        whole = {sorted(run) == ["a", "b", "c"] for run in runs(labels)}
        return "some" if len(whole) > 1 else "all" if whole.pop() else "none"

    got = case.call(summed_up(balanced_order, look), LABELS, 150, generator(case))
    case.equal(got, "all", "runs that have a, b and c")


@exercise.holds("of a frequent label all samples come, not always the same few")
def all_come(balanced_order, case):
    look = summed_up(balanced_order, lambda labels, order: sorted(set(order.tolist())))
    got = case.call(look, LABELS, 60, generator(case))
    case.equal(got, list(range(10)), "the samples that come")


def turns_of(letter, order):
    """The samples of a label in the order in which they come, turn by turn."""
    own = [index for index in order.tolist() if index in MEMBERS[letter]]
    size = len(MEMBERS[letter])
    return [tuple(own[place : place + size]) for place in range(0, len(own), size)]


@exercise.holds("within a label no sample comes twice before all have come once")
def turns(balanced_order, case):
    def look(labels, order):
        parts = {letter: turns_of(letter, order) for letter in MEMBERS}
        return {x: all(len(set(turn)) == len(turn) for turn in parts[x]) for x in parts}

    got = case.call(summed_up(balanced_order, look), LABELS, 90, generator(case))
    case.equal(got, {"a": True, "b": True, "c": True}, "whether all take turns")


@exercise.holds("every turn of a label's samples is in an order of its own")
def turns_shuffled(balanced_order, case):
    def look(labels, order):
        parts = set(turns_of("a", order))
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
        return "1 a call" if max(map(len, found)) == 1 else f"{len(set().union(*found))}"

    got = case.call(function, LABELS, 120, generator(case))
    case.equal(got, "6", "how many orders of a, b and c occur")


@exercise.holds("a label may be anything that a dictionary takes, even of several kinds at once")
def any_label(balanced_order, case):
    labels = [None, ("image", "words"), 3, ("image", "words"), "3", 3]
    look = summed_up(balanced_order, lambda found, order: [*map(found.count, labels)])
    got = case.call(look, labels, 12, generator(case))
    case.equal(got, [3] * 6, "how often each label comes")


@exercise.holds("chance is the generator's: the same state gives the same, the next call another")
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


@exercise.holds("an empty list of labels and a count below 1 are refused with a ValueError")
def refused(balanced_order, case):
    for labels, count in (([], 3), (LABELS, 0), (LABELS, -2)):
        case.refuses(ValueError, balanced_order, labels, count, generator(case))


exercise.mistakes("""
    one-order-for-all-runs: one shuffled order of the labels is used for all runs
    - mixed = torch.rand(table.shape, generator=generator).argsort(dim=1)
    + mixed = torch.randperm(table.shape[1], generator=generator).expand(table.shape)
    > random numbers for the whole table (rounds, K), sorted along each row

    shuffled-as-a-whole: all is shuffled at the end, so that a run may have a label twice and
    another not at all
    - return table.gather(1, mixed).flatten()[:count]
    + whole = table.gather(1, mixed).flatten()[:count]
    + return whole[torch.randperm(count, generator=generator)]
    > shuffle inside each run only

    in-the-order-of-the-list: the samples of a label always come in the order of the list
    - torch.randperm(len(indices), generator=generator)
    + torch.arange(len(indices))
    > a permutation of them for each turn

    drawn-with-putting-back: samples of a label are drawn anew each time, so one may come twice
    before another comes
    - torch.randperm(len(indices), generator=generator)
    + torch.randint(len(indices), (len(indices),), generator=generator)
    > permutations, one after the other, instead of torch.randint

    even-on-average [convention]: samples are drawn with a probability of 1 / how often their label is
    - return table.gather(1, mixed).flatten()[:count]
    + chances = torch.tensor([1 / len(members[label]) for label in labels])
    + return torch.multinomial(chances, count, replacement=True, generator=generator)
    > that is even on average only; here every run of K samples has all K labels

    cut-to-the-rarest: of each label only as many samples are used as the rarest has
    - for indices in members.values():
    + fewest = min(map(len, members.values()))
    + for indices in [own[:fewest] for own in members.values()]:
    > all samples come: the rare ones more often, the frequent ones in turns

""")

exercise.slips("""
    members.setdefault(label, []) => members.setdefault(str(label), [])
    table.gather(1, mixed) => table
    rounds = -(-count // len(members)) => rounds = count ;; .flatten()[:count] => .flatten()
    torch.tensor(indices)[torch.cat(turns)[:rounds]] => torch.cat(turns)[:rounds]
    for indices in members.values(): => for indices in [members[label] for label in sorted(members)]:
    rounds = -(-count // => generator = torch.Generator().manual_seed(0); rounds = -(-count //
    table.gather(1, mixed).flatten() => table.gather(1, mixed).T.flatten()
    table.gather(1, mixed).flatten()[:count] => torch.cat(
        [torch.randperm(len(labels), generator=generator) for _ in range(count)])[:count]
    rounds = -(-count // => generator = torch.default_generator; rounds = -(-count //
    [torch.randperm(len(indices), generator=generator) for _ in range(again)] =>
        [torch.randperm(len(indices), generator=generator)] * again
""")


def collected(labels, count):
    """The indices of each label."""
    if not labels or count < 1:
        raise ValueError(f"{count} of {len(labels)} labels")
    members = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    return members


@exercise.right("run by run")
def run_by_run(labels, count, generator):
    members, order = collected(labels, count), []
    chance = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    waiting = {label: [] for label in members}
    while len(order) < count:
        run = []
        for label, own in members.items():
            if not waiting[label]:
                waiting[label] = chance.sample(own, len(own))
            run.append(waiting[label].pop())
        chance.shuffle(run)
        order += run
    return torch.tensor(order[:count])


@exercise.right("by sorting random numbers")
def by_sorting(labels, count, generator):
    members, rows = collected(labels, count), []
    rounds = count // len(members) + 1
    for own in members.values():
        scores = torch.rand(rounds, len(own), generator=generator)  # more turns than are needed
        rows.append(torch.tensor(own)[scores.argsort(dim=1)].flatten()[:rounds])
    rows = [row[torch.randperm(len(row), generator=generator)] for row in torch.stack(rows, 1)]
    return torch.cat(rows)[:count]
