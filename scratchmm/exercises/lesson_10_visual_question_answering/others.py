"""Exercise bias.others: shuffle the pictures so that no question keeps its own."""

# mypy: allow-untyped-defs

import functools
import random

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bias.others",
    target="scratchmm.metrics.bias:others",
    title="Nobody keeps their own",
    goal="a random order of the samples in which each comes once and none stands in its own place",
    minutes=10,
    difficulty=2,
    section="What does it look at?",
    hints=(
        "Two samples can only be exchanged: [1, 0]. Of three there are two such orders, [1, 2, 0] "
        "and [2, 0, 1]. [0, 2, 1] is an order too, but sample 0 keeps its own picture, and a model "
        "that looks at it is still right there.",
        "A model that answers as well with other samples' pictures never looked at them. A picture "
        "that stays by chance would hide that, and torch.randperm leaves one in place on average, "
        "however many there are. Everyone in a ring gives their picture to the next: then nobody "
        "keeps it, and none is lost.",
        "A random permutation is the ring: who stands where. Each in the ring gets what belongs to "
        "the next; the last gets what belongs to the first. Write that into an int64 tensor "
        "(count,), at the place of the one who gets it. All chance is the generator's.",
        "ring = torch.randperm(count, generator=generator); an empty tensor of int64, and "
        "order[ring] = ring.roll(-1)",
    ),
)


def summed_up(others, look, times):
    """A function that calls the learner's so often and gives what `look` sees in the orders (times,
    count): chance leaves no trace."""

    @functools.wraps(others)
    def function(count, generator):
        return look(torch.stack([others(count, generator) for _ in range(times)]))

    return function


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


@exercise.holds("two samples are exchanged, always: int64 [1, 0]")
def two(others, case):
    got = case.call(summed_up(others, lambda x: x.unique(dim=0), 20), 2, generator(case))
    case.equal(got, torch.tensor([[1, 0]]), "the orders that came")


@exercise.holds("each sample comes exactly once")
def once(others, case):
    def look(orders):
        return bool((orders.sort(dim=1).values == torch.arange(orders.shape[1])).all())

    look = summed_up(others, look, 40)
    calls = [((count, generator(case)), True) for count in (3, 4, 9)]
    case.each(look, *calls, what="whether each comes once")


@exercise.holds("no sample stands in its own place")
def not_their_own(others, case):
    def look(orders):
        return bool((orders == torch.arange(orders.shape[1])).any())

    look = summed_up(others, look, 60)
    calls = [((count, generator(case)), False) for count in (3, 4, 9)]
    case.each(look, *calls, what="whether some sample keeps its own")


@exercise.holds("it is chance who gets whose: not always the same, not all as far away")
def by_chance(others, case):
    def look(orders):
        away = (orders - torch.arange(9)) % 9
        back = orders.gather(1, orders) == torch.arange(9)
        return {
            "always the same order": bool((orders == orders[0]).all()),
            "all as far away": bool((away == away[:, :1]).all()),
            "nearly all in pairs": bool((back.sum(dim=1) >= 6).all()),
        }

    got = case.call(summed_up(others, look, 30), 9, generator(case))
    expected = dict.fromkeys(
        ("always the same order", "all as far away", "nearly all in pairs"), False
    )
    case.equal(got, expected)


@exercise.holds("each place gets that of any other, all equally often")
def evenly(others, case):
    def look(orders):
        found = torch.stack([(orders == one).double().mean(dim=0) for one in range(5)], dim=1)
        found = found[~torch.eye(5, dtype=torch.bool)]
        return {
            "some other never comes": bool((found == 0).any()),
            "one comes twice as often as another": bool(found.max() > 2 * found.min()),
        }

    got = case.call(summed_up(others, look, 500), 5, generator(case))
    expected = {"some other never comes": False, "one comes twice as often as another": False}
    case.equal(got, expected, "at each of five places")


@exercise.holds(
    "all chance is the generator's: the same state gives the same, the next call another"
)
def from_the_generator(others, case):
    @functools.wraps(others)
    def thrice(count, generator):
        state, results = generator.get_state(), []
        for seed in range(3):
            torch.manual_seed(0 if seed < 2 else 1)
            if seed == 2:
                generator.set_state(state)
            results.append(others(count, generator))
        differ = [not torch.equal(results[0], other) for other in results[1:]]
        return {"the next call differs": differ[0], "the same state differs": differ[1]}

    got = case.call(thrice, 60, generator(case))
    case.equal(got, {"the next call differs": True, "the same state differs": False})


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
    advice="so a picture can only come from who gets mine: a ring over all has no pairs",
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
