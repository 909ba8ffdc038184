"""Exercise bias.others: shuffle the images so that no question keeps its own."""

import functools

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bias.others",
    order=10,
    target="scratchmm.metrics.bias:others",
    title="Nobody keeps their own",
    goal="a random order of the samples in which each comes once and none stands in its own place",
    minutes=10,
    difficulty=2,
    section="What does it attend to?",
    hints=(
        "Two samples can only be exchanged: [1, 0]. Of three there are two such orders, [1, 2, 0] "
        "and [2, 0, 1]. [0, 2, 1] is an order too, but sample 0 keeps its own image, and a model "
        "that looks at it is still right there.",
        "A model that answers as well with other samples' images never looked at them. An image "
        "that stays by chance would hide that, and torch.randperm leaves one in place on average, "
        "however many there are. Everyone in a ring gives their image to the next: then nobody "
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


@exercise.holds("each place may get that of any other")
def any_other(others, case):
    def look(orders):
        return [orders[:, place].unique().tolist() for place in range(5)]

    got = case.call(summed_up(others, look, 300), 5, generator(case))
    expected = [[one for one in range(5) if one != place] for place in range(5)]
    case.equal(got, expected, "what came at each of five places")


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
