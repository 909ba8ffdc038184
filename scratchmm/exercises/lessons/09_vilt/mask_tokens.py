"""Exercise bert.mask_tokens: mask words for a model to predict, in the paper's proportions."""

import functools
import random

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bert.mask_tokens",
    order=20,
    target="scratchmm.language.bert:mask_tokens",
    title="Eighty, ten, ten",
    goal="select a share of the words; of those 80 % become the mask token, 10 % another word",
    minutes=25,
    difficulty=3,
    section="Masked language modelling",
    parts=("_uniform",),
    hints="""
        1. Tokens [1, 7, 8, 2], of which 1 and 2 are special, share 1. The targets must be [-100, 7,
           8, -100]: special tokens are never selected, and a target is the word that stood there.
           7 and 8 each become the mask token in 8 of 10 cases.
        2. If every selected word were the mask token, the model could ignore all the others, and
           would never get a mask again once it is used. So some stay, and some are replaced: then
           every word may be wrong, and must be encoded.
        3. Random numbers (B, T) below share, and not special: selected. New random numbers (B, T):
           below 0.8 the mask token, from 0.9 on a word drawn from all ids that are not special,
           between them the word itself. Targets: the tokens where selected, -100 elsewhere.
        4. asked = (torch.rand(tokens.shape, generator=generator) < share) & ~torch.isin(tokens,
           ids); fate likewise; covered = torch.where(asked & (fate < 0.8), mask_token, tokens), then
           the drawn words where asked & (fate >= 0.9); targets = torch.where(asked, tokens, -100)
    """,
)
SPECIAL, MASK = {0, 1, 2, 5}, 5


def summed_up(mask_tokens, look):
    """A function that calls the learner's and gives what `look` finds in the random results."""

    @functools.wraps(mask_tokens)
    def function(tokens, special, mask_token, vocabulary, generator, share=0.15):
        results = mask_tokens(tokens, special, mask_token, vocabulary, generator, share=share)
        return look(tokens, *results)

    return function


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


def words(case, vocabulary=500, B=60, T=500):
    """Tokens none of which is special."""
    return case.integers(6, vocabulary, B=B, T=T)


@exercise.holds("with a share of 1 every word is its own target; special tokens have -100")
def all_selected(mask_tokens, case):
    def look(tokens, covered, targets):
        special = torch.isin(tokens, torch.tensor([*SPECIAL]))
        right = (targets == tokens)[~special].double().mean().item()
        return {
            "own targets, in tenths": round(10 * right),
            "special targets": targets[special].unique().tolist(),
            "special tokens changed": int((covered != tokens)[special].sum()),
        }

    tokens = case.integers(0, 12, B=40, T=90)
    got = case.call(summed_up(mask_tokens, look), tokens, SPECIAL, MASK, 12, generator(case), 1.0)
    expected = {"own targets, in tenths": 10, "special targets": [-100]}
    case.equal(got, {**expected, "special tokens changed": 0})


@exercise.holds("with a share of 0 nothing is masked and every target is -100")
def none_selected(mask_tokens, case):
    tokens = case.integers(0, 12, B=4, T=9)
    got = case.call(mask_tokens, tokens, SPECIAL, MASK, 12, generator(case), 0.0)
    case.equal(got, (tokens, torch.full((4, 9), -100)))


@exercise.holds("the share of selected words is the one wanted, also where none is special")
def wanted_share(mask_tokens, case):
    def look(tokens, covered, targets):
        return round((targets != -100).double().mean().item(), 1)

    look, tokens = summed_up(mask_tokens, look), words(case)
    for share, special in ((0.3, SPECIAL), (0.6, set())):
        got = case.call(look, tokens, special, MASK, 500, generator(case), share=share)
        case.equal(got, share, "the share")


def twentieths(tokens, covered, targets):
    """What became of the selected words, in twentieths; and whether others were changed."""
    asked = targets != -100
    count = max(1, int(asked.sum()))
    before, now = tokens[asked], covered[asked]
    return {
        "mask token": round(20 * int((now == MASK).sum()) / count),
        "another word": round(20 * int(((now != MASK) & (now != before)).sum()) / count),
        "unchanged": round(20 * int((now == before).sum()) / count),
        "not selected, but changed": bool((covered[~asked] != tokens[~asked]).any()),
    }


@exercise.holds("of the selected words 8 tenths become the mask token, 1 another word, 1 stays")
def fates(mask_tokens, case):
    look = summed_up(mask_tokens, twentieths)
    expected = {"mask token": 16, "another word": 2, "unchanged": 2}
    for share in (1.0, 0.5):
        got = case.call(look, words(case), SPECIAL, MASK, 500, generator(case), share=share)
        case.equal(got, {**expected, "not selected, but changed": False}, "in twentieths")


@exercise.holds("a word is drawn from all that are not special, to the last of the vocabulary")
def drawn(mask_tokens, case):
    tokens = case.named(torch.full((40, 500), 7), "B T")
    look = summed_up(mask_tokens, lambda tokens, covered, targets: covered.unique())
    got = case.call(look, tokens, SPECIAL, MASK, 12, generator(case), share=0.9)
    expected = torch.tensor([3, 4, 5, 6, 7, 8, 9, 10, 11])  # 5 is the mask token
    case.equal(got, expected, "the tokens that occur")


@exercise.holds("every place of every text has random numbers of its own")
def own_numbers(mask_tokens, case):
    def look(tokens, covered, targets):
        tables = [(table, axis) for table in (targets, covered) for axis in (0, 1)]
        return [table.unique(dim=axis).shape[axis] > 5 for table, axis in tables]

    tokens = case.named(torch.full((40, 50), 7), "B T")
    got = case.call(summed_up(mask_tokens, look), tokens, SPECIAL, MASK, 12, generator(case), 0.5)
    case.equal(got, [True] * 4, "whether rows and columns of targets and of masked tokens differ")


@exercise.holds("the same state of the generator gives the same, the next call another")
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


@exercise.holds("a share above 1 or below 0 is refused with a ValueError")
def refused(mask_tokens, case):
    for share in (1.5, -0.5):
        tokens = case.integers(6, 12, B=2, T=3)
        case.refuses(ValueError, mask_tokens, tokens, SPECIAL, MASK, 12, generator(case), share)


exercise.mistakes("""
    special-drawn: a word that is drawn may be a special token
    - words[ids.cpu()] = False
    > draw from the ids that are not in special

    always-the-mask: every selected word becomes the mask token
    - covered = torch.where(asked & (fate < 0.8), mask_token, tokens)
    - covered = torch.where(asked & (fate >= 0.9), words[drawn.to(tokens.device)], covered)
    + covered = torch.where(asked, mask_token, tokens)
    > only 80 % do: 10 % become another word, and 10 % stay

    kept-has-no-target: words that stay as they are have no target
    - return covered, tokens.where(asked, NOT_ASKED)
    + return covered, tokens.where(asked & (covered != tokens), NOT_ASKED)
    > they are selected too: the model must not be able to tell that they are right

    targets-are-masked: the targets are taken from the masked tokens
    - return covered, tokens.where(asked, NOT_ASKED)
    + return covered, covered.where(asked, NOT_ASKED)
    > the target is the word that stood there before

    targets-0 [convention]: the target of what is not selected is 0
    - return covered, tokens.where(asked, NOT_ASKED)
    + return covered, tokens.where(asked, 0)
    > -100 is what cross_entropy leaves out; 0 is a token

    one-fate: one random number decides for all words whether they become the mask token
    - fate = _uniform(tokens, generator)
    + fate = _uniform(tokens[:1, :1], generator)
    > fate needs a number for every place, of shape (B, T)

    number-used-twice: the random number that selects a word also decides what becomes of it
    - asked = _uniform(tokens, generator) < share
    + fate = _uniform(tokens, generator)
    + asked = fate < share
    - fate = _uniform(tokens, generator)
    > those of selected words are all small: draw new ones for their fate
""")

exercise.slips("""
    fate < 0.8 => fate < 0.85 ;; fate >= 0.9 => (fate >= 0.85) & (fate < 0.95)
    fate < 0.8 => fate >= 0.9 ;; fate >= 0.9 => fate < 0.8
    tokens.where(asked, NOT_ASKED) => tokens.clone()
    _uniform(tokens, generator) < share => _uniform(tokens[:1], generator) < share ;;
        fate = _uniform(tokens, generator) => fate = _uniform(tokens[:1], generator)
    _uniform(tokens, generator) < share => _uniform(tokens[:, :1], generator) < share
    fate >= 0.9 => fate >= 0.8
    ids = => generator.manual_seed(0); ids =
    ids = => generator = torch.default_generator; ids =
    len(words), tokens.shape => len(words), (1, 1)
    len(words), tokens.shape => len(words) - 1, tokens.shape
    return covered, tokens.where(asked, NOT_ASKED) => targets = tokens.where(asked, NOT_ASKED);
        tokens.copy_(covered); return covered, targets
""")


@exercise.refusing
def refuse(tokens, special, mask_token, vocabulary, generator, share=0.15):
    if not 0 <= share <= 1:
        raise ValueError(f"share {share}")


@exercise.right("by bernoulli")
def by_bernoulli(tokens, special, mask_token, vocabulary, generator, share=0.15):
    def draw(chance):
        return torch.bernoulli(torch.full(tokens.shape, chance), generator=generator).bool()

    ordinary = torch.tensor([word for word in range(vocabulary) if word not in special])
    asked = draw(share) & torch.isin(tokens, ordinary)
    covered, targets, masked = tokens.clone(), torch.full_like(tokens, -100), asked & draw(0.8)
    targets[asked] = tokens[asked]
    covered[masked] = mask_token
    other = asked & ~masked & draw(0.5)
    drawn = torch.randint(len(ordinary), (int(other.sum()),), generator=generator)
    covered[other] = ordinary[drawn]
    return covered, targets


@exercise.right("word by word")
def word_by_word(tokens, special, mask_token, vocabulary, generator, share=0.15):
    ordinary = [word for word in range(vocabulary) if word not in special]
    chance = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    covered, targets = [], []
    for word in tokens.flatten().tolist():
        asked, fate = word not in special and chance.random() < share, chance.random()
        targets.append(word if asked else -100)
        if asked and fate < 0.9:
            word = mask_token if fate < 0.8 else chance.choice(ordinary)
        covered.append(word)
    return torch.tensor(covered).view_as(tokens), torch.tensor(targets).view_as(tokens)
