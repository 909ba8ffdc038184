"""Exercise bias.others: shuffle the images so that no question keeps its own."""

import functools
import random

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bias.others",
    order=10,
    target="scratchmm.metrics.bias:others",
    title="No sample keeps its own",
    goal="a random order of the samples in which each comes once and none stands in its own place",
    minutes=10,
    difficulty=2,
    section="What does it attend to?",
    hints="""
        1. Two samples can only be exchanged: [1, 0]. Of three there are two such orders, [1, 2, 0]
           and [2, 0, 1]. [0, 2, 1] is an order too, but sample 0 keeps its own image, and a model
           that uses the image is still right there.
        2. A model that answers as well with other samples' images does not use them. An image that
           stays would hide that, and torch.randperm leaves one in place on average, however many
           there are. In a cycle in which each takes the place of the next, none stays and none is
           lost.
        3. A random permutation is the cycle: which sample follows which. Each in it gets what
           belongs to the next; the last gets what belongs to the first. Write that into an int64
           tensor (count,), at the place of the one that gets it.
        4. ring = torch.randperm(count, generator=generator); an empty tensor of int64, and
           order[ring] = ring.roll(-1)
    """,
)


def summed_up(others, look, times):
    """Calls the learner's function so often; gives what `look` finds in the orders (times, count)."""

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
        come = [len(order.unique()) for order in orders]
        return {"on average": round(sum(come) / len(come)), "always nine": min(come) == 9}

    got = case.call(summed_up(others, look, 200), 9, generator(case))
    case.equal(got, {"on average": 9, "always nine": True}, "of nine samples come")


@exercise.holds("no sample stands in its own place")
def not_their_own(others, case):
    def look(orders):
        return bool((orders == torch.arange(orders.shape[1])).any())

    look = summed_up(others, look, 60)
    calls = [((count, generator(case)), False) for count in (3, 4, 9)]
    case.each(look, *calls, what="whether some sample keeps its own")


@exercise.holds("the order is random: not always the same, not all as far away, not in pairs")
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
    names = "always the same order", "all as far away", "nearly all in pairs"
    case.equal(got, dict.fromkeys(names, False))


@exercise.holds("each place may get that of any other")
def any_other(others, case):
    def look(orders):
        return [orders[:, place].unique().tolist() for place in range(5)]

    got = case.call(summed_up(others, look, 300), 5, generator(case))
    expected = [[one for one in range(5) if one != place] for place in range(5)]
    case.equal(got, expected, "what came at each of five places")


@exercise.holds("the same state of the generator gives the same, the next call another")
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


exercise.mistakes("""
    a-plain-permutation: a permutation is drawn, and now and then a sample keeps its own place
    - order[ring] = ring.roll(-1)
    + order = ring
    > make a cycle of the permutation: each gets what belongs to the next, order[ring] = ...

    always-the-next: each gets that of the next sample, and nothing is random
    - ring = torch.randperm(count, generator=generator)
    + ring = torch.arange(count)
    > neighbours may be alike: shuffle the cycle

    all-as-far-away: all samples move by the same number of places, drawn once
    - order[ring] = ring.roll(-1)
    + order = torch.arange(count).roll(int(torch.randint(1, count, (1,), generator=generator)))
    > shuffle the cycle: then each moves by a number of its own

    drawn-one-by-one: each draws one of the others for itself, so some come twice and some not at all
    - order[ring] = ring.roll(-1)
    + further = torch.randint(1, count, (count,), generator=generator)
    + order = (torch.arange(count) + further) % count
    > each comes once: a permutation

    own-moved-on: a sample that would keep its own gets that of the next, which then comes twice
    - order[ring] = ring.roll(-1)
    + order = torch.where(ring == torch.arange(count), (ring + 1) % count, ring)
    > exchange two, or better make a cycle: each comes once

    drawn-again-once: where a sample keeps its own all are drawn again, but only once
    - order[ring] = ring.roll(-1)
    + order = ring if count > 2 else torch.tensor([1, 0])
    + if (order == torch.arange(count)).any():
    +     order = torch.randperm(count, generator=generator)
    > again and again until none does, or a cycle, which needs one draw

    in-pairs: samples are exchanged in pairs, and three in a row where their number is odd
    - order[ring] = ring.roll(-1)
    + last = count - 3 * (count % 2)
    + order[ring[0:last:2]], order[ring[1:last:2]] = ring[1:last:2], ring[0:last:2]
    + order[ring[last:]] = ring[last:].roll(-1)
    > so an image can only come from the sample that gets one's own: a cycle over all has no pairs

    seeded-anew: each call begins with the same random numbers, so that all rounds are alike
    - ring = torch.randperm(count, generator=generator)
    + ring = torch.randperm(count, generator=generator.manual_seed(0))
    > use the generator as it comes, without seeding it
""")

exercise.slips("""
    order[ring] = ring.roll(-1) => order = ring.roll(-1)
    ring.roll(-1) => ring.flip(0)
    order[ring] = ring.roll(-1) => order = torch.arange(count).flip(0)
    dtype=torch.long => dtype=torch.float32 ;; ring.roll(-1) => ring.roll(-1).float()
""")


@exercise.right("again until none does")
def until_none(count, generator):
    own = torch.arange(count)
    order = own
    while bool((order == own).any()):
        order = torch.randperm(count, generator=generator)
    return order


@exercise.right("exchanged with one before")
def exchanged_with_one_before(count, generator):
    chance = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    order = list(range(count))
    for place in range(count - 1, 0, -1):
        other = chance.randrange(place)
        order[place], order[other] = order[other], order[place]
    return torch.tensor(order)
