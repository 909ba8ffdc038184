"""Exercise guidance.prompt_dropout: now and then a model must do without the prompt."""

import functools

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="guidance.prompt_dropout",
    order=50,
    target="scratchmm.diffusion.guidance:prompt_dropout",
    title="Prompts left out",
    goal="each sample gets, with dropout_probability, the empty prompt: all of it, words and mask",
    minutes=20,
    difficulty=3,
    section="Prompts left out",
    parts=("_as_many",),
    hints=(
        "Words [[5, 6], [7, 8]], masks all True, the empty prompt's words [[1, 0]] with the mask "
        "[[True, False]]. If the second sample is dropped, its words are [1, 0] and its mask [True, "
        "False]; the first keeps both. A probability of 0 drops nobody, 1 everybody.",
        "Guidance asks a model what it would say without a prompt, so it must have met that in "
        "training. What it meets must be what it is asked later: the words of the empty prompt under "
        "the empty prompt's mask, not zeros, and not empty words under the mask of a long prompt.",
        "Refuse a probability that is none, and a name in empty that condition has not. One random "
        "number for each sample, (B,), from the generator; dropped where it is below "
        "dropout_probability. For each name in empty: dropped shaped (B, 1, ..., 1), the empty (1, ...) "
        "where it is True, the condition's where not. What empty does not name goes along as it is, in "
        "a new dictionary.",
        "dropped = torch.rand(B, generator=generator) < dropout_probability; found = dict(condition); "
        "for each name and value of empty: found[name] = torch.where(dropped.view(-1, *[1] * "
        "(value.ndim - 1)), value, condition[name]); and before that a ValueError unless 0 <= "
        "dropout_probability <= 1 and every name is in condition",
    ),
)
MANY = 4000  # samples: a probability is known to a hundredth


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


def prompts(B, T=5):
    """Words and mask of B prompts, no two alike, with no word and no mask as the empty one has."""
    words = 10 + torch.arange(B)[:, None] + torch.arange(T) * B
    empty = {"words": torch.tensor([[1, 2, 0, 0, 0]]), "mask": torch.arange(T)[None] < 2}
    return {"words": words, "mask": torch.arange(T)[None].expand(B, T) >= 2}, empty


def looked_at(prompt_dropout, look):
    """A function that calls the learner's and gives what `look` sees in it: chance leaves no trace."""

    @functools.wraps(prompt_dropout)
    def function(condition, empty, dropout_probability, generator=None):
        before = {name: value.clone() for name, value in condition.items()}
        return look(before, prompt_dropout(condition, empty, dropout_probability, generator))

    return function


def gone(found):
    """(B, T): which words are those of the empty prompt."""
    return found["words"] < 10


@exercise.holds("with a probability of 0 every sample keeps its prompt; names stay in their order")
def none_dropped(prompt_dropout, case):
    condition, empty = prompts(4)
    got = case.call(prompt_dropout, condition, empty, 0.0, generator(case))
    case.equal(case.seen(list(got)), ["words", "mask"], "the names")
    case.equal(got, condition)


@exercise.holds("with a probability of 1 every sample has the empty prompt, its words and its mask")
def all_dropped(prompt_dropout, case):
    condition, empty = prompts(4)
    got = case.call(prompt_dropout, condition, empty, 1.0, generator(case))
    case.equal(got, {name: value.expand(4, 5) for name, value in empty.items()})


@exercise.holds("words and mask of a sample go together")
def together(prompt_dropout, case):
    def look(condition, found):
        words, mask = gone(found), found["mask"] != condition["mask"]
        return {"a mask without its words": bool((words != mask).any())}

    look = looked_at(prompt_dropout, look)
    got = case.call(look, *prompts(200), 0.5, generator(case))
    case.equal(got, {"a mask without its words": False})


@exercise.holds("a sample is dropped as a whole, or keeps its own prompt")
def whole(prompt_dropout, case):
    def look(condition, found):
        words, kept = gone(found), found["words"] == condition["words"]
        return {
            "a part of a prompt": bool((words.any(dim=1) != words.all(dim=1)).any()),
            "neither its own nor empty": bool((~words & ~kept).any()),
        }

    look = looked_at(prompt_dropout, look)
    got = case.call(look, *prompts(200), 0.5, generator(case))
    case.equal(got, {"a part of a prompt": False, "neither its own nor empty": False})


@exercise.holds("each sample has a chance of its own: how many are dropped differs")
def own_chance(prompt_dropout, case):
    @functools.wraps(prompt_dropout)
    def counts(condition, empty, dropout_probability, generator):
        found = [
            prompt_dropout(condition, empty, dropout_probability, generator) for _ in range(40)
        ]
        table = torch.stack([gone(one).any(dim=1) for one in found])
        dropped = table.sum(dim=1)
        return {
            "as many each time": bool((dropped == dropped[0]).all()),
            "all or none": bool(((dropped == 0) | (dropped == 8)).all()),
            "only the first": bool((table[:, 1:] <= table[:, :-1]).all()),
        }

    got = case.call(counts, *prompts(8), 0.5, generator(case))
    told = ("as many each time", "all or none", "only the first")
    case.equal(got, dict.fromkeys(told, False))


@exercise.holds("as many samples are dropped as the probability says")
def wanted_probability(prompt_dropout, case):
    look = looked_at(
        prompt_dropout,
        lambda condition, found: round(20 * gone(found).any(dim=1).double().mean().item()),
    )
    condition, empty = prompts(MANY)
    calls = [
        ((condition, empty, dropout_probability, generator(case)), round(20 * dropout_probability))
        for dropout_probability in (0.2, 0.7)
    ]
    case.each(look, *calls, what="dropped samples, in twentieths")


@exercise.holds("what empty does not name stays as it is, and stays there")
def unnamed(prompt_dropout, case):
    condition, empty = prompts(4)
    condition = {"size": case.normal(B=4, D=3), **condition}
    got = case.call(prompt_dropout, condition, empty, 1.0, generator(case))
    case.equal(case.seen(sorted(got)), ["mask", "size", "words"], "the names")
    case.equal(got["size"], condition["size"], "size, which empty does not name")


@exercise.holds("conditions may have any number of axes, and keep their dtype")
def any_axes(prompt_dropout, case):
    condition = {"kind": case.integers(1, 9, B=3), "words": case.normal(B=3, T=4, D=2)}
    empty = {"kind": torch.zeros(1, dtype=torch.long), "words": case.normal(one=1, T=4, D=2)}
    got = case.call(prompt_dropout, condition, empty, 1.0, generator(case))
    case.equal(got["kind"], torch.zeros(3, dtype=torch.long), "kind, (B,)")
    case.equal(got["words"], empty["words"].expand(3, 4, 2), "words, (B, T, D)")


@exercise.holds("all chance is the generator's: the same state the same, the next call another")
def from_the_generator(prompt_dropout, case):
    @functools.wraps(prompt_dropout)
    def thrice(condition, empty, dropout_probability, generator):
        state, results = generator.get_state(), []
        for seed in range(3):
            torch.manual_seed(0 if seed < 2 else 1)
            if seed == 2:
                generator.set_state(state)
            results.append(gone(prompt_dropout(condition, empty, dropout_probability, generator)))
        differ = [not torch.equal(results[0], other) for other in results[1:]]
        return {"the next call differs": differ[0], "the same state differs": differ[1]}

    got = case.call(thrice, *prompts(60), 0.5, generator(case))
    case.equal(got, {"the next call differs": True, "the same state differs": False})


@exercise.holds("the conditions that were given stay as they were")
def unchanged(prompt_dropout, case):
    condition, empty = prompts(4)
    given = dict(condition)
    before = {name: value.clone() for name, value in condition.items()}
    case.call(looked_at(prompt_dropout, lambda given, found: "called"), condition, empty, 1.0)
    told = {
        "the same tensors": all(condition[name] is value for name, value in given.items()),
        "the same values": all(torch.equal(given[name], value) for name, value in before.items()),
    }
    case.equal(case.seen(told), dict.fromkeys(told, True))


@exercise.holds("a probability outside of 0 to 1 is refused with a ValueError")
def refused_probability(prompt_dropout, case):
    for dropout_probability in (1.5, -0.5):
        case.refuses(ValueError, prompt_dropout, *prompts(3), dropout_probability, generator(case))


@exercise.holds("an empty prompt that takes the place of nothing is refused with a ValueError")
def refused_name(prompt_dropout, case):
    condition, empty = prompts(3)
    del condition["mask"]
    case.refuses(ValueError, prompt_dropout, condition, empty, 0.5, generator(case))


@exercise.holds("an empty prompt of another length, or two of them, is refused with a ValueError")
def refused_length(prompt_dropout, case):
    for count, length in ((1, 4), (1, 1), (2, 5)):
        condition, empty = prompts(3)
        empty = {name: value[:, :length].repeat(count, 1) for name, value in empty.items()}
        case.refuses(ValueError, prompt_dropout, condition, empty, 0.5, generator(case))
