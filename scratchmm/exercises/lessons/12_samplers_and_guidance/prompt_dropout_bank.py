"""Wrong and other right answers to guidance.prompt_dropout."""

import random

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("12_samplers_and_guidance/prompt_dropout").exercise

DROPPED = "torch.rand(batch, generator=generator) < dropout_probability"
ITEMS = "for name, value in nothing.items():"
FOUND = "torch.where(rows, value, condition[name])"

exercise.edit(
    "each-name-for-itself",
    ("rows = dropped", f"rows = ({DROPPED})"),
    story="words and mask are dropped each by chance: empty words come under a full prompt's mask",
    advice="draw once for each sample, and use that for every name",
)
exercise.edit(
    "words-only",
    (ITEMS, "for name, value in list(nothing.items())[:1]:"),
    story="only the first name is replaced: the words, and not their mask",
    advice="everything that empty names is replaced together",
)
exercise.edit(
    "mask-only",
    (ITEMS, "for name, value in list(nothing.items())[1:]:"),
    story="the mask is replaced, and the words not",
    advice="everything that empty names is replaced together",
)
exercise.edit(
    "one-lot",
    (DROPPED, "torch.rand(1, generator=generator).expand(batch) < dropout_probability"),
    story="one chance number decides for the whole batch",
    advice="draw a number for each sample, (B,)",
)
exercise.edit(
    "word-by-word",
    (
        "rows = dropped.to(value.device).reshape(-1, *[1] * (value.ndim - 1))",
        "rows = torch.rand(value.shape, generator=torch.Generator().manual_seed(int(1e6 * dropped[0]"
        "))) < dropout_probability",
    ),
    (DROPPED, "torch.rand(batch, generator=generator)"),
    story="every word of a prompt is dropped by a chance of its own",
    advice="a sample loses its prompt as a whole: one chance number for each sample",
)
exercise.edit(
    "kept-instead",
    (DROPPED, "torch.rand(batch, generator=generator) >= dropout_probability"),
    story="dropout_probability is taken for the share that keeps its prompt",
    advice="dropped where the chance number is below dropout_probability",
)
exercise.edit(
    "where-exchanged",
    (FOUND, "torch.where(rows, condition[name], value)"),
    story="who is dropped keeps the prompt, and the others get the empty one",
    advice="torch.where(dropped, empty, condition)",
    twin="kept-instead",
)
exercise.edit(
    "always-a-tenth",
    (DROPPED, "torch.rand(batch, generator=generator) < 0.1"),
    story="a tenth is dropped, whatever dropout_probability says",
    advice="use the argument",
)
exercise.edit(
    "exactly-so-many",
    (DROPPED, "torch.randperm(batch, generator=generator) < round(dropout_probability * batch)"),
    story="exactly dropout_probability * B samples are dropped in each batch",
    advice="here each sample has a chance of its own: torch.rand(B) < dropout_probability",
    convention=True,
)
exercise.edit(
    "the-first-ones",
    (DROPPED, "torch.arange(batch) < round(dropout_probability * batch)"),
    story="the first of each batch are dropped, and there is no chance in it",
    advice="draw a number for each sample: torch.rand(B) < dropout_probability",
)
exercise.edit(
    "zeros",
    (FOUND, "condition[name].masked_fill(rows, 0)"),
    story="what is dropped becomes zeros",
    advice="the empty prompt's own words and mask take its place, as they will in sampling",
    convention=True,
)
exercise.edit(
    "anothers-prompt",
    (FOUND, "torch.where(rows, condition[name].roll(1, 0), condition[name])"),
    story="who is dropped gets the prompt of the sample before",
    advice="the empty prompt's words and mask take its place",
)
exercise.edit(
    "named-only",
    ("found = dict(condition)", "found = {}"),
    story="only what empty names comes back",
    advice="the other conditions go along as they are",
)
exercise.edit(
    "unnamed-is-zero",
    (
        "found = dict(condition)",
        "found = {name: value if name in nothing else torch.where(dropped.reshape(-1, *[1] * "
        "(value.ndim - 1)), 0, value) for name, value in condition.items()}",
    ),
    story="a condition that empty does not name becomes zeros where the prompt is dropped",
    advice="leave it alone",
)
exercise.edit(
    "two-axes-only",
    ("reshape(-1, *[1] * (value.ndim - 1))", "reshape(-1, 1)"),
    story="who is dropped has the shape (B, 1), which fits words of two axes and no others",
    advice="(B, 1, ..., 1), as many axes as the condition has",
)
exercise.edit(
    "as-numbers",
    (FOUND, "rows.float() * value + (~rows).float() * condition[name]"),
    story="words and masks become floats",
    advice="torch.where(dropped, empty, condition) keeps the dtype",
)
exercise.edit(
    "in-place",
    (f"found[name] = {FOUND}", f"found[name] = condition[name].set_({FOUND}.contiguous())"),
    story="the caller's own words and mask are overwritten",
    advice="make new tensors: torch.where, or a clone",
)
exercise.edit(
    "in-the-callers-dictionary",
    ("found = dict(condition)", "found = condition"),
    story="the caller's own dictionary gets the new words and mask",
    advice="return a new dictionary: dict(condition)",
)
exercise.edit(
    "probability-not-refused",
    ("raise ValueError", "str"),
    story="a probability outside of 0 to 1 is taken as it comes",
    advice="raise ValueError unless 0 <= dropout_probability <= 1",
)
exercise.edit(
    "new-names-taken",
    (
        'nothing = _as_many(condition, empty, "empty", batch)',
        "nothing = {k: v.expand(batch, *v.shape[1:]) for k, v in empty.items() if k in condition}",
    ),
    story="a name that condition has not is passed over in silence",
    advice="raise a ValueError: a mistyped name would never be dropped",
)
exercise.edit(
    "any-length",
    (
        'nothing = _as_many(condition, empty, "empty", batch)',
        "nothing = dict(empty)\n    if not set(empty) <= set(condition):\n"
        "        raise ValueError(set(empty))",
    ),
    story="it does not refuse an empty prompt of another length: one word is stretched to all",
    advice="raise a ValueError unless its axes after the first are those of the condition",
)
exercise.edit(
    "global-chance",
    (DROPPED, "torch.rand(batch) < dropout_probability"),
    story="chance comes from torch's global state, not from the generator",
    advice="hand generator=generator to every function that draws",
)
exercise.edit(
    "seeded-anew",
    (
        DROPPED,
        "torch.rand(batch, generator=generator and generator.manual_seed(0)) < dropout_probability",
    ),
    story="each call begins with the same chance numbers, so that always the same places are dropped",
    advice="use the generator as it comes, without seeding it",
)


def checked(condition, empty, dropout_probability):
    """The batch size, after the refusals that every answer here makes as asked."""
    if dropout_probability < 0 or dropout_probability > 1:
        raise ValueError(f"dropout_probability {dropout_probability}")
    if not set(empty) <= set(condition):
        raise ValueError(f"{set(empty) - set(condition)}")
    if any(value.shape != (1, *condition[name].shape[1:]) for name, value in empty.items()):
        raise ValueError("another length")
    return len(next(iter(condition.values())))


@exercise.right("row by row")
def row_by_row(condition, empty, dropout_probability, generator=None):
    count = checked(condition, empty, dropout_probability)
    chance = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    drop = [chance.random() < dropout_probability for _ in range(count)]
    return {
        name: torch.stack([empty[name][0] if drop[i] else value[i] for i in range(count)])
        if name in empty
        else value
        for name, value in condition.items()
    }


@exercise.right("by bernoulli and index")
def by_bernoulli(condition, empty, dropout_probability, generator=None):
    chances = torch.full(
        (checked(condition, empty, dropout_probability),), float(dropout_probability)
    )
    drop = torch.bernoulli(chances, generator=generator).bool()
    found = {name: value.clone() for name, value in condition.items()}
    for name, value in empty.items():
        found[name][drop] = value.to(found[name].dtype)
    return found


@exercise.disguise("words-only")
def words_only_too(condition, empty, dropout_probability, generator=None):
    checked(condition, empty, dropout_probability)
    first = next(iter(empty))
    return by_bernoulli(condition, {first: empty[first]}, dropout_probability, generator)


@exercise.disguise("one-lot")
def one_lot_too(condition, empty, dropout_probability, generator=None):
    checked(condition, empty, dropout_probability)
    drop = float(torch.rand((), generator=generator)) < dropout_probability
    return by_bernoulli(condition, empty, float(drop), generator)


@exercise.disguise("zeros")
def zeros_too(condition, empty, dropout_probability, generator=None):
    nothing = {name: torch.zeros_like(value) for name, value in empty.items()}
    return row_by_row(condition, nothing, dropout_probability, generator)


@exercise.disguise("global-chance")
def global_chance_too(condition, empty, dropout_probability, generator=None):
    return row_by_row(condition, empty, dropout_probability)
