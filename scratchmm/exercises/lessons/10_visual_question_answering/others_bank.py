"""Wrong and other right answers to bias.others."""

import random

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("10_visual_question_answering/others").exercise

RING = "order[ring] = ring.roll(-1)"

exercise.edit(
    "a-plain-permutation",
    (RING, "order = ring"),
    story="a permutation is drawn, and now and then a sample keeps its own place",
    advice="make a ring of the permutation: each gets what belongs to the next",
)
exercise.edit(
    "the-ring-itself",
    (RING, "order = ring.roll(-1)"),
    story="the ring is moved on by one and returned: that is just another permutation",
    advice="who stands at ring[i] gets ring[i + 1]: order[ring] = ...",
    twin="a-plain-permutation",
)
exercise.edit(
    "ring-not-moved",
    (RING, "order[ring] = ring"),
    story="everyone in the ring gets what belongs to themselves",
    advice="the next one's: move the ring on by one",
)
exercise.edit(
    "ring-reversed",
    (RING, "order[ring] = ring.flip(0)"),
    story="the first of the ring exchanges with the last and so on: in pairs, and the one in the "
    "middle keeps its own",
    advice="each gets what belongs to the next: roll, not flip",
)
exercise.edit(
    "always-the-next",
    ("torch.randperm(count, generator=generator)", "torch.arange(count)"),
    story="everyone gets that of the next sample, and there is no chance in it",
    advice="neighbours may be alike: shuffle the ring",
)
exercise.edit(
    "as-floats",
    ("dtype=torch.long", "dtype=torch.float32"),
    (RING, "order[ring] = ring.roll(-1).float()"),
    story="the order is a tensor of floats, which picks nothing",
    advice="indices are int64: dtype=torch.long",
)


def permuted(count, generator):
    return torch.randperm(count, generator=generator)


@exercise.wrong(
    "all-as-far-away",
    story="all samples move by the same number of places, drawn once",
    advice="chance for each: shuffle the ring",
)
def all_as_far_away(count, generator):
    return torch.arange(count).roll(int(torch.randint(1, count, (1,), generator=generator)))


@exercise.wrong(
    "drawn-one-by-one",
    story="each draws one of the others for itself, so some come twice and some not at all",
    advice="each comes once: a permutation",
)
def drawn_one_by_one(count, generator):
    further = torch.randint(1, count, (count,), generator=generator)
    return (torch.arange(count) + further) % count


@exercise.wrong(
    "own-moved-on",
    story="who would keep their own gets that of the next sample, which then comes twice",
    advice="exchange two, or better make a ring: each comes once",
)
def own_moved_on(count, generator):
    order = permuted(count, generator)
    own = order == torch.arange(count)
    if count == 2:
        return torch.tensor([1, 0])
    return torch.where(own, (order + 1) % count, order)


@exercise.wrong(
    "drawn-again-once",
    story="where somebody keeps their own it is drawn again, but only once",
    advice="again and again until nobody does, or a ring, which needs one draw",
)
def drawn_again_once(count, generator):
    if count == 2:
        return torch.tensor([1, 0])
    order = permuted(count, generator)
    if (order == torch.arange(count)).any():
        order = permuted(count, generator)
    return order


@exercise.wrong(
    "in-pairs",
    story="samples are exchanged in pairs, and three in a row where their number is odd",
    advice="so an image can only come from who gets mine: a ring over all has no pairs",
)
def in_pairs(count, generator):
    ring = permuted(count, generator)
    order = torch.empty_like(ring)
    paired = count - 3 * (count % 2)
    for place in range(0, paired, 2):
        order[ring[place]], order[ring[place + 1]] = ring[place + 1], ring[place]
    order[ring[paired:]] = ring[paired:].roll(-1)
    return order


@exercise.wrong(
    "the-list-reversed",
    story="the order is that of the list from its end: the one in the middle keeps its own",
    advice="shuffle a ring by the generator",
)
def the_list_reversed(count, generator):
    return torch.arange(count).flip(0)


@exercise.wrong(
    "global-chance",
    story="chance comes from torch's global state, not from the generator",
    advice="torch.randperm(count, generator=generator)",
)
def global_chance(count, generator):
    ring = torch.randperm(count)
    return torch.empty_like(ring).scatter(0, ring, ring.roll(1))


@exercise.wrong(
    "seeded-anew",
    story="each call begins with the same chance numbers, so that all rounds shuffle alike",
    advice="use the generator as it comes, without seeding it",
)
def seeded_anew(count, generator):
    return until_none(count, generator.manual_seed(0))


@exercise.disguise("a-plain-permutation")
def a_plain_permutation_too(count, generator):
    return torch.rand(count, generator=generator).argsort()


@exercise.disguise("drawn-one-by-one")
def drawn_one_by_one_too(count, generator):
    weights = 1 - torch.eye(count)
    return torch.multinomial(weights, 1, generator=generator)[:, 0]


@exercise.right("again until nobody does")
def until_none(count, generator):
    own = torch.arange(count)
    order = own
    while bool((order == own).any()):
        order = permuted(count, generator)
    return order


@exercise.right("exchanged with one before")
def exchanged_with_one_before(count, generator):
    chance = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    order = list(range(count))
    for place in range(count - 1, 0, -1):
        other = chance.randrange(place)
        order[place], order[other] = order[other], order[place]
    return torch.tensor(order)


@exercise.right("who keeps their own exchanges with the next")
def exchanges_with_the_next(count, generator):
    order = torch.randperm(count, generator=generator)
    for place in range(count):
        if order[place] == place:
            following = (place + 1) % count
            order[[place, following]] = order[[following, place]]
    return order
