"""Exercise bert.mask_tokens: cover words for a model to guess, in the paper's proportions."""

import functools

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bert.mask_tokens",
    order=20,
    target="scratchmm.language.bert:mask_tokens",
    title="Eighty, ten, ten",
    goal="ask for a share of the words; of those 80 % become the mask token, 10 % another word",
    minutes=25,
    difficulty=3,
    section="Masked language modelling",
    parts=("_uniform",),
    hints=(
        "Tokens [1, 7, 8, 2], of which 1 and 2 are special, share 1. The targets must be "
        "[-100, 7, 8, -100]: special tokens are never asked for, and what is asked is the word that "
        "stood there. What has become of 7 and 8 is chance: each is the mask token in 8 of 10 cases.",
        "If every word that is asked for were the mask token, the model could do nothing with all "
        "the others, and would never see a mask again once it is used. So some stay, and some are "
        "replaced: then every word may be wrong, and has to be understood.",
        "Chance numbers (B, T) below share, and not special: asked. New chance numbers (B, T): "
        "below 0.8 the mask token, from 0.9 on a word drawn from all ids that are not special, "
        "between them the word itself. Targets: the tokens where asked, -100 elsewhere. All chance "
        "comes from the generator, a new number for every place.",
        "asked = (torch.rand(tokens.shape, generator=generator) < share) & ~torch.isin(tokens, "
        "ids); fate likewise; covered = torch.where(asked & (fate < 0.8), mask_token, tokens), then "
        "the drawn words where asked & (fate >= 0.9); targets = torch.where(asked, tokens, -100)",
    ),
)
SPECIAL, MASK = (0, 1, 2, 5), 5


def summed_up(mask_tokens, look):
    """A function that calls the learner's and gives what `look` sees in it: chance leaves no trace."""

    @functools.wraps(mask_tokens)
    def function(tokens, special, mask_token, vocabulary, generator, share=0.15):
        covered, targets = mask_tokens(
            tokens, special, mask_token, vocabulary, generator, share=share
        )
        return look(tokens, covered, targets)

    return function


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


def words(case, vocabulary=500, B=60, T=500):
    """Tokens none of which is special."""
    return case.integers(6, vocabulary, B=B, T=T)


@exercise.holds(
    "with a share of 1 every word is asked for: its target is itself, special ones have -100"
)
def all_asked(mask_tokens, case):
    def look(tokens, covered, targets):
        special = torch.isin(tokens, torch.tensor(SPECIAL))
        right = (targets == tokens)[~special].double().mean().item()
        return {
            "words whose target is themselves, in tenths": round(10 * right),
            "targets of special tokens": targets[special].unique().tolist(),
        }

    tokens = case.integers(0, 12, B=40, T=90)
    look = summed_up(mask_tokens, look)
    got = case.call(look, tokens, SPECIAL, MASK, 12, generator(case), share=1.0)
    expected = {"words whose target is themselves, in tenths": 10}
    case.equal(got, {**expected, "targets of special tokens": [-100]})


@exercise.holds("special tokens stay as they are")
def special_stay(mask_tokens, case):
    tokens = case.integers(0, 9, B=4, T=50)
    special = torch.isin(tokens, torch.tensor(SPECIAL))
    look = summed_up(mask_tokens, lambda tokens, covered, targets: covered[special])
    got = case.call(look, tokens, SPECIAL, MASK, 9, generator(case), share=1.0)
    case.equal(got, tokens[special], "the special tokens, covered")


@exercise.holds("with a share of 0 nothing is covered and every target is -100")
def none_asked(mask_tokens, case):
    tokens = case.integers(0, 12, B=4, T=9)
    got = case.call(mask_tokens, tokens, SPECIAL, MASK, 12, generator(case), share=0.0)
    case.equal(got, (tokens, torch.full((4, 9), -100)))


@exercise.holds("the share of words that are asked for is the one wanted")
def wanted_share(mask_tokens, case):
    tokens = words(case)

    def look(tokens, covered, targets):
        return round((targets != -100).double().mean().item(), 1)

    for share in (0.3, 0.6):
        got = case.call(
            summed_up(mask_tokens, look), tokens, SPECIAL, MASK, 500, generator(case), share=share
        )
        case.equal(got, share, "the share")


def twentieths(tokens, covered, targets):
    """What became of the words asked for, in twentieths; and whether others were touched."""
    asked = targets != -100
    count = max(1, int(asked.sum()))
    before, now = tokens[asked], covered[asked]
    return {
        "mask token": round(20 * int((now == MASK).sum()) / count),
        "another word": round(20 * int(((now != MASK) & (now != before)).sum()) / count),
        "unchanged": round(20 * int((now == before).sum()) / count),
        "not asked for, but changed": bool((covered[~asked] != tokens[~asked]).any()),
    }


@exercise.holds("of the words asked for 8 tenths become the mask token, 1 another word, 1 stays")
def fates(mask_tokens, case):
    look = summed_up(mask_tokens, twentieths)
    expected = {"mask token": 16, "another word": 2, "unchanged": 2}
    for share in (1.0, 0.5):
        got = case.call(look, words(case), SPECIAL, MASK, 500, generator(case), share=share)
        case.equal(got, {**expected, "not asked for, but changed": False}, "in twentieths")


@exercise.holds("the targets are the words that stood there before")
def targets_from_before(mask_tokens, case):
    look = summed_up(
        mask_tokens,
        lambda tokens, covered, targets: targets.where(
            (targets != -100) & (targets != tokens), -100
        ),
    )
    tokens = words(case, B=3, T=70)
    got = case.call(look, tokens, SPECIAL, MASK, 500, generator(case), share=0.5)
    case.equal(got, torch.full((3, 70), -100), "targets that are neither the word nor -100")


@exercise.holds("a word is drawn from all that are not special, to the last of the vocabulary")
def drawn(mask_tokens, case):
    tokens = case.named(torch.full((40, 500), 7), "B T")
    look = summed_up(mask_tokens, lambda tokens, covered, targets: covered.unique())
    got = case.call(look, tokens, SPECIAL, MASK, 12, generator(case), share=0.9)
    expected = torch.tensor([3, 4, 5, 6, 7, 8, 9, 10, 11])  # 5 is the mask token
    case.equal(got, expected, "the tokens that occur")


@exercise.holds("every place of every text has chances of its own")
def own_chances(mask_tokens, case):
    def look(tokens, covered, targets):
        rows = [
            table.unique(dim=axis).shape[axis] for table in (targets, covered) for axis in (0, 1)
        ]
        return [count > 5 for count in rows]

    tokens = case.named(torch.full((40, 50), 7), "B T")
    look = summed_up(mask_tokens, look)
    got = case.call(look, tokens, SPECIAL, MASK, 12, generator(case), share=0.5)
    case.equal(got, [True] * 4, "whether rows and columns of targets and of covered tokens differ")


@exercise.holds(
    "all chance is the generator's: the same state gives the same, the next call another"
)
def from_the_generator(mask_tokens, case):
    tokens, source = words(case, B=5, T=60), generator(case)

    @functools.wraps(mask_tokens)
    def thrice(tokens, special, mask_token, vocabulary, generator, share):
        state, results = generator.get_state(), []
        for seed in range(3):
            torch.manual_seed(0 if seed < 2 else 1)
            if seed == 2:
                generator.set_state(state)
            results.append(mask_tokens(tokens, special, mask_token, vocabulary, generator, share))
        differ = [not torch.equal(results[0][0], other[0]) for other in results[1:]]
        return {"the next call differs": differ[0], "the same state differs": differ[1]}

    got = case.call(thrice, tokens, SPECIAL, MASK, 500, source, 0.5)
    case.equal(got, {"the next call differs": True, "the same state differs": False})


@exercise.holds("the tokens that were given stay as they were")
def unchanged(mask_tokens, case):
    tokens = words(case, B=5, T=60)
    look = summed_up(mask_tokens, lambda tokens, covered, targets: covered is tokens)
    case.call(look, tokens, SPECIAL, MASK, 500, generator(case), share=0.5)
    case.unchanged()


@exercise.holds("a share above 1 or below 0 is refused with a ValueError")
def refused(mask_tokens, case):
    for share in (1.5, -0.5):
        tokens = case.integers(6, 12, B=2, T=3)
        case.refuses(ValueError, mask_tokens, tokens, SPECIAL, MASK, 12, generator(case), share)
