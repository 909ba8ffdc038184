"""Wrong and other right answers to balanced.balanced_order."""

import itertools
import random

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("07_fusion_strategies/balanced_order").exercise

TURNS = "[torch.randperm(len(indices), generator=generator) for _ in range(again)]"
MIXED = "torch.rand(table.shape, generator=generator).argsort(dim=1)"
RETURN = "return table.gather(1, mixed).flatten()[:count]"

exercise.edit(
    "any-count",
    ('check_count("count", count, most=MOST_DRAWN)', "pass"),
    ("return table.gather(1, mixed).flatten()[:count]",
     "return table.gather(1, mixed).flatten()[: max(count, 0)]"),
    ("torch.cat(turns)[:rounds]", "torch.cat([torch.empty(0).long(), *turns])[: max(rounds, 0)]"),
    story="it does not refuse a count below 1",
    advice="raise a ValueError: there is nothing to draw",
)  # fmt: skip
exercise.edit(
    "labels-as-words",
    ("members.setdefault(label, [])", "members.setdefault(str(label), [])"),
    story="labels are told apart by how they are written, so 3 and '3' are one",
    advice="the label itself is the key of the dictionary",
)


@exercise.refusing
def refuse(labels, count, generator):
    if count < 1:
        raise ValueError(f"count {count}")


exercise.edit(
    "labels-in-one-order",
    (RETURN, "return table.flatten()[:count]"),
    story="every run has its labels in the same order, that in which they first occurred",
    advice="put each row of the table in an order of its own before you flatten it",
)
exercise.edit(
    "one-order-for-all-runs",
    (MIXED, "torch.randperm(table.shape[1], generator=generator).expand(table.shape)"),
    story="one shuffled order of the labels is used for all runs",
    advice="random numbers for the whole table (rounds, K), sorted along each row",
)
exercise.edit(
    "label-after-label",
    (
        RETURN,
        "columns = torch.arange(count) % table.shape[1]\n"
        "    return table.flatten()[:count][columns.argsort(stable=True)]",
    ),
    story="first all samples of one label come, then all of the next",
    advice="a row of the table is a run, a column a label: stack with dim=1, then flatten",
)
exercise.edit(
    "shuffled-as-a-whole",
    (
        RETURN,
        "whole = table.gather(1, mixed).flatten()[:count]\n"
        "    return whole[torch.randperm(count, generator=generator)]",
    ),
    story="all is shuffled at the end, so that a run may have a label twice and another not at all",
    advice="shuffle inside each run only",
)
exercise.edit(
    "in-the-order-of-the-list",
    (TURNS, "[torch.arange(len(indices)) for _ in range(again)]"),
    story="the samples of a label always come in the order of the list",
    advice="a permutation of them for each turn",
)
exercise.edit(
    "the-same-turn-again",
    (TURNS, "[torch.randperm(len(indices), generator=generator)] * again"),
    story="the samples of a label are shuffled once, and each turn repeats that order",
    advice="draw a new permutation for each turn",
)
exercise.edit(
    "drawn-with-putting-back",
    (
        TURNS,
        "[torch.randint(len(indices), (len(indices),), generator=generator) for _ in range(again)]",
    ),
    story="samples of a label are drawn anew each time, so one may come twice before another comes",
    advice="permutations, one after the other, instead of torch.randint",
)
exercise.edit(
    "cut-to-the-rarest",
    (
        "for indices in members.values():",
        "fewest = min(map(len, members.values()))\n"
        "    for indices in [own[:fewest] for own in members.values()]:",
    ),
    story="of each label only as many samples are used as the rarest has",
    advice="all samples come: the rare ones more often, the frequent ones in turns",
)
exercise.edit(
    "rounded-down",
    ("-(-count // len(members))", "count // len(members)"),
    story="the rounds are rounded down, so some samples are missing at the end",
    advice="round up, and cut what is too much",
)
exercise.edit(
    "not-cut",
    (".flatten()[:count]", ".flatten()"),
    story="the last run is given whole, so there may be more than count",
    advice="[:count]",
)
exercise.edit(
    "count-of-rounds",
    ("-(-count // len(members))", "count"),
    (".flatten()[:count]", ".flatten()"),
    story="count is taken for the number of runs, so K times as many come",
    advice="count is the number of samples",
)
exercise.edit(
    "places-in-the-label",
    ("torch.tensor(indices)[torch.cat(turns)[:rounds]]", "torch.cat(turns)[:rounds]"),
    story="what comes back is the place within the label, not the index of the sample",
    advice="pick from the label's own indices by the permutation",
)
exercise.edit(
    "not-refused",
    (
        "if not labels:",
        "if not labels:\n        return torch.zeros(count, dtype=torch.int64)\n    if not labels:",
    ),
    story="an empty list of labels gives indices of samples that are not there",
    advice="raise ValueError where there are no labels",
)
exercise.edit(
    "empty-divides",
    ("if not labels:", "if labels is None:"),
    story="an empty list of labels ends in a division by 0, not in a ValueError",
    advice="look for it first, and say it in a sentence",
)
exercise.edit(
    "labels-sorted",
    ("in members.values():", "in [members[label] for label in sorted(members)]:"),
    story="labels are sorted, which those of several kinds can't be",
    advice="a dictionary keeps the order in which they first occur: nothing need be sorted",
)


def collected(labels):
    """The indices of each label."""
    if not labels:
        raise ValueError("no labels")
    members = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    return members


@exercise.wrong(
    "as-often-as-they-are",
    story="samples are shuffled as they are: frequent labels come more often",
    advice="every label as often as any other: collect the samples of each, and go round",
)
def as_often_as_they_are(labels, count, generator):
    collected(labels)
    turns = [torch.randperm(len(labels), generator=generator) for _ in range(count)]
    return torch.cat(turns)[:count]


@exercise.wrong(
    "even-on-average",
    story="samples are drawn with chances of 1 / how often their label is: even only on average",
    advice="every run of K samples has all K labels: no chance decides which label comes",
)
def even_on_average(labels, count, generator):
    members = collected(labels)
    weights = torch.tensor([1 / len(members[label]) for label in labels])
    return torch.multinomial(weights, count, replacement=True, generator=generator)


@exercise.wrong(
    "filled-up-and-repeated",
    story="each label is repeated to as many samples as the most frequent has, and all that again: a "
    "turn of the rarer ones is cut short and begins anew",
    advice="go round each label by itself: a new turn only when all of the last have come",
)
def filled_up_and_repeated(labels, count, generator):
    members = collected(labels)
    most, columns = max(map(len, members.values())), []
    for own in members.values():
        shuffled = torch.tensor(own)[torch.randperm(len(own), generator=generator)]
        columns.append(shuffled.repeat(most)[:most].repeat(count)[:count])
    table = torch.stack(columns, dim=1)
    mixed = torch.rand(table.shape, generator=generator).argsort(dim=1)
    return table.gather(1, mixed).flatten()[:count]


@exercise.wrong(
    "too-few-for-count",
    story="each label gives each sample at most once, so the rare ones are soon used up",
    advice="when all of a label have come, begin again with a new permutation",
)
def too_few_for_count(labels, count, generator):
    members, order = collected(labels), []
    stacks = [
        [own[i] for i in torch.randperm(len(own), generator=generator)] for own in members.values()
    ]
    for row in itertools.zip_longest(*stacks):
        here = [index for index in row if index is not None]
        order += [here[i] for i in torch.randperm(len(here), generator=generator)]
    return torch.tensor(order)[:count]


@exercise.wrong(
    "global-chance",
    story="chance comes from torch's global state, not from the generator",
    advice="hand generator=generator to every function that draws",
)
def global_chance(labels, count, generator):
    return run_by_run(labels, count, torch.default_generator)


@exercise.wrong(
    "seeded-anew",
    story="each call begins with the same chance numbers, so every epoch is the same",
    advice="use the generator as it comes, without seeding it",
)
def seeded_anew(labels, count, generator):
    return run_by_run(labels, count, generator.manual_seed(0))


@exercise.right("run by run")
def run_by_run(labels, count, generator):
    members, order = collected(labels), []
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


@exercise.right("by how often each has come")
def by_sorting(labels, count, generator):
    members = collected(labels)
    rounds = count // len(members) + 1
    found = torch.empty(0, dtype=torch.int64)
    rows = []
    for own in members.values():
        scores = torch.rand(rounds, len(own), generator=generator)  # more turns than are needed
        rows.append(torch.tensor(own)[scores.argsort(dim=1)].flatten()[:rounds])
    for run in zip(*rows, strict=True):
        found = torch.cat([found, torch.stack(run)[torch.randperm(len(run), generator=generator)]])
    return found[:count]


@exercise.disguise("as-often-as-they-are")
def as_often_as_they_are_too(labels, count, generator):
    whole = [*range(len(labels))] * (count // len(collected(labels)) + 1)
    chance = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    for place in range(0, len(whole), len(labels)):
        part = whole[place : place + len(labels)]
        chance.shuffle(part)
        whole[place : place + len(labels)] = part
    return torch.tensor(whole[:count])


@exercise.disguise("label-after-label")
def label_after_label_too(labels, count, generator):
    members = collected(labels)
    each, more = divmod(count, len(members))
    order = []
    for place, own in enumerate(members.values()):
        wanted = each + (place < more)
        turns = [torch.randperm(len(own), generator=generator) for _ in range(wanted)]
        order += [own[i] for i in (torch.cat(turns)[:wanted] if turns else [])]
    return torch.tensor(order)


@exercise.disguise("even-on-average")
def labels_drawn(labels, count, generator):
    groups, order = [*collected(labels).values()], []
    for _ in range(count):
        own = groups[int(torch.randint(len(groups), (1,), generator=generator))]
        order.append(own[int(torch.randint(len(own), (1,), generator=generator))])
    return torch.tensor(order)
