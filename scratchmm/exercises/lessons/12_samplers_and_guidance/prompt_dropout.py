"""Exercise guidance.prompt_dropout: a share of the samples is trained without the prompt."""

import functools
import random

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
    hints="""
        1. Words [[5, 6], [7, 8]], masks all True, the empty prompt's words [[1, 0]] with the mask
           [[True, False]]. If the second sample is dropped, its words are [1, 0] and its mask
           [True, False]; the first keeps both. A probability of 0 drops nobody, 1 everybody.
        2. Guidance needs the model's prediction without a prompt, so it must be trained on that too.
           What it is trained on must be what it is sampled with: the words of the empty prompt under
           the empty prompt's mask, not zeros, and not empty words under the mask of a long prompt.
        3. Refuse what does not match. One random number for each sample, (B,), from the generator;
           dropped where it is below dropout_probability. For each name in empty: dropped shaped
           (B, 1, ..., 1), the empty (1, ...), in the condition's dtype, where it is True, the
           condition's where not. All other conditions stay as they are, in a new dictionary.
        4. After the refusals: dropped = torch.rand(B, generator=generator) < dropout_probability;
           found = dict(condition); for each name and value of empty: found[name] = torch.where(
           dropped.view(-1, *[1] * (value.ndim - 1)), value.to(condition[name]), condition[name])
    """,
)


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


def prompts(B, T=5):
    """Words and mask of B prompts, no two alike; and those of the empty one."""
    words = 10 + torch.arange(B)[:, None] + torch.arange(T) * B
    empty = {"words": torch.tensor([[1, 2, 0, 0, 0]]), "mask": torch.arange(T)[None] < 2}
    return {"words": words, "mask": torch.arange(T)[None].expand(B, T) >= 2}, empty


def looked_at(prompt_dropout, look):
    """The function, with what `look` makes of its result: random numbers leave no trace."""

    @functools.wraps(prompt_dropout)
    def function(condition, empty, dropout_probability, generator=None):
        before = {name: value.clone() for name, value in condition.items()}
        return look(before, prompt_dropout(condition, empty, dropout_probability, generator))

    return function


def gone(found):
    return found["words"] < 10  # (B, T): the words of the empty prompt


@exercise.holds("with a probability of 0 every sample keeps its prompt; names stay in their order")
def none_dropped(prompt_dropout, case):
    condition, empty = prompts(4)
    got = case.call(prompt_dropout, condition, empty, 0.0, generator(case))
    case.equal(list(got), ["words", "mask"], "the names")
    case.equal(got, condition)


@exercise.holds("with a probability of 1 every sample has the empty prompt, its words and its mask")
def all_dropped(prompt_dropout, case):
    condition, empty = prompts(4)
    got = case.call(prompt_dropout, condition, empty, 1.0, generator(case))
    case.equal(got, {name: value.expand(4, 5) for name, value in empty.items()})


@exercise.holds("the conditions that were given stay as they were")
def unchanged(prompt_dropout, case):
    condition, empty = prompts(4)
    given = dict(condition)
    case.call(prompt_dropout, condition, empty, 1.0, generator(case))
    case.unchanged()
    same = all(condition[name] is value for name, value in given.items())
    case.true(same, "the caller's dictionary as it was", "the same" if same else "another one")


@exercise.holds("a sample is dropped as a whole, words and mask, or keeps its own prompt")
def whole(prompt_dropout, case):
    def look(condition, found):
        words, kept = gone(found), found["words"] == condition["words"]
        return {
            "a part of a prompt": bool((words.any(dim=1) != words.all(dim=1)).any()),
            "neither its own nor empty": bool((~words & ~kept).any()),
            "a mask without its words": bool((words != (found["mask"] != condition["mask"])).any()),
        }

    got = case.call(looked_at(prompt_dropout, look), *prompts(200), 0.5, generator(case))
    case.equal(got, dict.fromkeys(got, False))


@exercise.holds("each sample is dropped or not by itself: how many are dropped differs")
def by_itself(prompt_dropout, case):
    @functools.wraps(prompt_dropout)
    def counts(*given):
        table = torch.stack([gone(prompt_dropout(*given)).any(dim=1) for _ in range(40)])
        dropped = table.sum(dim=1)
        return {
            "as many each time": bool((dropped == dropped[0]).all()),
            "all or none": bool(((dropped == 0) | (dropped == 8)).all()),
            "only the first": bool((table[:, 1:] <= table[:, :-1]).all()),
        }

    got = case.call(counts, *prompts(8), 0.5, generator(case))
    case.equal(got, dict.fromkeys(got, False))


@exercise.holds("as many samples are dropped as the probability says")
def probability(prompt_dropout, case):
    def twentieths(condition, found):
        return round(20 * gone(found).any(dim=1).double().mean().item())

    given = prompts(4000)  # samples: a probability is known to a hundredth
    calls = (((*given, p, generator(case)), round(20 * p)) for p in (0.2, 0.7))
    case.each(looked_at(prompt_dropout, twentieths), *calls, what="dropped samples, in twentieths")


@exercise.holds("what empty has not stays; conditions have any axes, and keep their dtype")
def any_axes(prompt_dropout, case):
    condition = {"kind": case.integers(1, 9, B=3), "words": case.normal(B=3, T=4, D=2)}
    condition = {"size": case.normal(B=3, D=3), **condition}
    empty = {"kind": torch.zeros(1).long(), "words": case.normal(one=1, T=4, D=2).double()}
    got = case.call(prompt_dropout, condition, empty, 1.0, generator(case))
    kind, words = torch.zeros(3).long(), empty["words"].float().expand(3, 4, 2)
    case.equal(got, {"size": condition["size"], "kind": kind, "words": words})


@exercise.holds("the same state of the generator gives the same, the next call does not")
def from_the_generator(prompt_dropout, case):
    @functools.wraps(prompt_dropout)
    def differ(condition, empty, dropout_probability, generator):
        state, results = generator.get_state(), []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            if seed == 1:
                generator.set_state(state)
            results.append(gone(prompt_dropout(condition, empty, dropout_probability, generator)))
        return [not torch.equal(results[0], other) for other in results[1:]]

    got = case.call(differ, *prompts(60), 0.5, generator(case))
    case.equal(got, [True, False], "whether the next call, and the same state, give another result")


@exercise.holds("what the docstring refuses is refused with a ValueError")
def refusals(prompt_dropout, case):
    condition, empty = prompts(3)
    for probability in (1.5, -0.5):
        case.refuses(ValueError, prompt_dropout, condition, empty, probability, generator(case))
    words = {"words": condition["words"]}
    for other in (words, {**words, "mask": condition["mask"][:1]}):
        case.refuses(ValueError, prompt_dropout, other, empty, 0.5, generator(case))
    for count, length in ((1, 4), (1, 1), (2, 5)):
        other = {name: value[:, :length].repeat(count, 1) for name, value in empty.items()}
        case.refuses(ValueError, prompt_dropout, condition, other, 0.5, generator(case))


exercise.mistakes("""
    each-name-for-itself: words and mask are dropped independently: empty words, a full mask
    - rows = dropped.to(value.device)
    + dropped = torch.rand(batch, generator=generator) < dropout_probability
    + rows = dropped.to(value.device)
    > draw once for each sample, and use that for every name

    words-only: only the first name is replaced: the words, and not their mask
    - for name, value in nothing.items():
    + for name, value in list(nothing.items())[:1]:
    > everything that empty names is replaced together

    one-lot: one random number decides for the whole batch
    - torch.rand(batch, generator=generator)
    + torch.rand(1, generator=generator).expand(batch)
    > draw a number for each sample, (B,)

    exactly-so-many [convention]: exactly dropout_probability * B samples are dropped in each batch
    - dropped = torch.rand(batch, generator=generator) < dropout_probability
    + dropped = torch.randperm(batch, generator=generator) < round(dropout_probability * batch)
    > here each sample is dropped independently: torch.rand(B) < dropout_probability

    zeros [convention]: what is dropped becomes zeros
    - torch.where(rows, value, condition[name])
    + condition[name].masked_fill(rows, 0)
    > the empty prompt's own words and mask take its place, as they will in sampling

    seeded-anew: each call begins with the same random numbers: always the same places are dropped
    - torch.rand(batch, generator=generator)
    + torch.rand(batch, generator=generator and generator.manual_seed(0))
    > use the generator as it comes, without seeding it
""")

exercise.slips("""
    torch.rand(batch, generator=generator) => torch.rand(batch)
    rand(batch, generator=generator) < dropout_probability => rand(batch, generator=generator) < 0.1
    value, condition[name]) => condition[name].roll(1, 0), condition[name])
    found = dict(condition) => found = condition
    found = dict(condition) => found = {}
    found = dict(condition) => found = {k: v * ~dropped.view(-1, *[1] * (v.ndim - 1))
        for k, v in condition.items()}
    torch.rand(batch, generator=generator) < => torch.arange(batch) < batch *
    for name, value in nothing.items(): => for name, value in list(nothing.items())[1:]:
    torch.where(rows, value, condition[name]) => rows.float() * value + (~rows) * condition[name]
    nothing = _as_many(condition, empty, "empty", batch) =>
        nothing = {k: v.expand(batch, *v.shape[1:]) for k, v in empty.items() if k in condition}
    dropped.to(value.device).reshape(-1, *[1] * (value.ndim - 1)) =>
        torch.rand(value.shape, generator=generator) < dropout_probability
""")


def checked(condition, empty, dropout_probability):
    """The batch size, unless something is refused."""
    count = len(next(iter(condition.values())))
    if not 0 <= dropout_probability <= 1 or not set(empty) <= set(condition):
        raise ValueError(f"dropout_probability {dropout_probability}, {set(empty)}")
    for name, value in empty.items():
        if len(condition[name]) != count or value.shape != (1, *condition[name].shape[1:]):
            raise ValueError(f"{name} does not match")
    return count


@exercise.right("row by row")
def row_by_row(condition, empty, dropout_probability, generator=None):
    count = checked(condition, empty, dropout_probability)
    chance = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    drop = [chance.random() < dropout_probability for _ in range(count)]
    found = dict(condition)
    for name, value in empty.items():
        nothing = value[0].to(found[name])
        found[name] = torch.stack([nothing if drop[i] else found[name][i] for i in range(count)])
    return found


@exercise.right("by bernoulli and index")
def by_bernoulli(condition, empty, dropout_probability, generator=None):
    count = checked(condition, empty, dropout_probability)
    chances = torch.full((count,), float(dropout_probability))
    drop = torch.bernoulli(chances, generator=generator).bool()
    found = {name: value.clone() for name, value in condition.items()}
    for name, value in empty.items():
        found[name][drop] = value.to(found[name].dtype)
    return found
