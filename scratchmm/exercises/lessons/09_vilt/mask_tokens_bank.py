"""Wrong and other right answers to bert.mask_tokens."""

import random

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("09_vilt/mask_tokens").exercise

exercise.edit(
    "special-asked",
    ("asked &= ~torch.isin(tokens, ids)", "pass"),
    story="special tokens are asked for and covered like words",
    advice="leave out every token whose id is in special: asked & ~torch.isin(tokens, ids)",
)
exercise.edit(
    "special-drawn",
    ("words[ids.cpu()] = False", "pass"),
    story="a word that is drawn may be a special token",
    advice="draw from the ids that are not in special",
)
exercise.edit(
    "always-the-mask",
    ("(fate < 0.8)", "(fate < 2.0)"),
    ("(fate >= 0.9)", "(fate >= 2.0)"),
    story="every word asked for becomes the mask token",
    advice="only 80 % do: 10 % become another word, and 10 % stay",
)
exercise.edit(
    "none-stays",
    ("(fate >= 0.9)", "(fate >= 0.8)"),
    story="20 % become another word, and none stays as it is",
    advice="another word from 0.9 on; between 0.8 and 0.9 the word stays",
)
exercise.edit(
    "too-many-masks",
    ("(fate < 0.8)", "(fate < 0.85)"),
    ("(fate >= 0.9)", "(fate >= 0.85) & (fate < 0.95)"),
    story="85 % become the mask token, and 5 % stay",
    advice="80 % the mask token, 10 % another word, 10 % as they are",
)
exercise.edit(
    "no-other-word",
    ("(fate >= 0.9)", "(fate >= 2.0)"),
    story="80 % become the mask token and 20 % stay: none becomes another word",
    advice="10 % become a word drawn at random",
)
exercise.edit(
    "shares-exchanged",
    ("(fate < 0.8)", "(fate >= 0.9)"),
    ("(fate >= 0.9), words", "(fate < 0.8), words"),
    story="80 % become another word, and 10 % the mask token",
    advice="80 % the mask token, 10 % another word",
)
exercise.edit(
    "kept-not-asked",
    ("tokens.where(asked, NOT_ASKED)", "tokens.where(asked & (covered != tokens), NOT_ASKED)"),
    story="words that stay as they are have no target",
    advice="they are asked for too: the model must not be able to tell that they are right",
)
exercise.edit(
    "targets-are-covered",
    ("tokens.where(asked, NOT_ASKED)", "covered.where(asked, NOT_ASKED)"),
    story="the targets are taken from the covered tokens",
    advice="the target is the word that stood there before",
)
exercise.edit(
    "targets-everywhere",
    ("tokens.where(asked, NOT_ASKED)", "tokens.clone()"),
    story="every word has a target, also those not asked for",
    advice="-100 where nothing is asked, so that the loss leaves it out",
)
exercise.edit(
    "targets-0",
    ("tokens.where(asked, NOT_ASKED)", "tokens.where(asked, 0)"),
    story="the target of what is not asked for is 0",
    advice="-100 is what cross_entropy leaves out; 0 is a token",
    convention=True,
)
exercise.edit(
    "all-texts-alike",
    ("_uniform(tokens, generator) < share", "_uniform(tokens[:1], generator) < share"),
    ("fate = _uniform(tokens, generator)", "fate = _uniform(tokens[:1], generator)"),
    story="all texts are asked for the same places",
    advice="draw chance numbers of the tokens' whole shape (B, T)",
)
exercise.edit(
    "one-fate",
    ("fate = _uniform(tokens, generator)", "fate = _uniform(tokens[:1, :1], generator)"),
    story="one chance number decides for all words whether they become the mask token",
    advice="fate needs a number for every place, of shape (B, T)",
)
exercise.edit(
    "one-word",
    ("len(words), tokens.shape,", "len(words), (1, 1),"),
    story="one word is drawn, and put in all places",
    advice="draw a word for every place",
)
exercise.edit(
    "chance-used-twice",
    ("fate = _uniform(tokens, generator)", "fate = chance"),
    (
        "asked = _uniform(tokens, generator) < share",
        "chance = _uniform(tokens, generator)\n    asked = chance < share",
    ),
    story="the chance that a word is asked for also decides what becomes of it",
    advice="those asked for all have small numbers: draw new ones for their fate",
)
exercise.edit(
    "asked-the-others",
    ("_uniform(tokens, generator) < share", "_uniform(tokens, generator) >= share"),
    story="the words that should be left alone are asked for, and the others not",
    advice="a chance number below share means asked",
)
exercise.edit(
    "last-word-never",
    ("len(words), tokens.shape,", "len(words) - 1, tokens.shape,"),
    story="the last word of the vocabulary is never drawn",
    advice="torch.randint leaves its upper bound out by itself",
)
exercise.edit(
    "not-refused",
    ("raise ValueError", "str"),
    story="a share that is no share is taken as it comes",
    advice="raise ValueError unless 0 <= share <= 1",
)
exercise.edit(
    "in-place",
    ("return covered,", "before = tokens.clone()\n    tokens.copy_(covered)\n    return covered,"),
    ("tokens.where(asked, NOT_ASKED)", "before.where(asked, NOT_ASKED)"),
    story="the caller's tokens are covered themselves",
    advice="make new tensors: torch.where, or a clone",
)


def chosen(tokens, special, vocabulary, share, random_numbers):
    """Where words are asked for, and the ids that may be drawn."""
    if not 0 <= share <= 1:
        raise ValueError(f"share {share}")
    ordinary = [word for word in range(vocabulary) if word not in special]
    known = torch.tensor(sorted(special))
    return (random_numbers(tokens.shape) < share) & ~torch.isin(tokens, known), ordinary


@exercise.wrong(
    "global-chance",
    story="chance comes from torch's global state, not from the generator",
    advice="hand generator=generator to every function that draws",
)
def global_chance(tokens, special, mask_token, vocabulary, generator, share=0.15):
    asked, ordinary = chosen(tokens, special, vocabulary, share, torch.rand)
    fate = torch.rand(tokens.shape)
    drawn = torch.tensor(ordinary)[torch.randint(len(ordinary), tokens.shape)]
    covered = tokens.masked_fill(asked & (fate < 0.8), mask_token)
    covered = torch.where(asked & (fate >= 0.9), drawn, covered)
    return covered, tokens.masked_fill(~asked, -100)


@exercise.wrong(
    "seeded-anew",
    story="each call begins with the same chance numbers",
    advice="use the generator as it comes: seeding it again covers the same words every time",
)
def seeded_anew(tokens, special, mask_token, vocabulary, generator, share=0.15):
    return by_bernoulli(tokens, special, mask_token, vocabulary, generator.manual_seed(0), share)


@exercise.right("by bernoulli")
def by_bernoulli(tokens, special, mask_token, vocabulary, generator, share=0.15):
    def chance(shape):
        return torch.rand(shape, generator=generator)

    asked, ordinary = chosen(tokens, special, vocabulary, share, chance)
    targets = torch.full_like(tokens, -100)
    targets[asked] = tokens[asked]
    covered = tokens.clone()
    to_mask = asked & torch.bernoulli(torch.full(tokens.shape, 0.8), generator=generator).bool()
    half = torch.bernoulli(torch.full(tokens.shape, 0.5), generator=generator).bool()
    covered[to_mask] = mask_token
    drawn = torch.randint(len(ordinary), tokens.shape, generator=generator)
    other = asked & ~to_mask & half
    covered[other] = torch.tensor(ordinary)[drawn][other]
    return covered, targets


@exercise.right("word by word")
def word_by_word(tokens, special, mask_token, vocabulary, generator, share=0.15):
    if not 0 <= share <= 1:
        raise ValueError("no share")
    ordinary = [word for word in range(vocabulary) if word not in special]
    chance = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    covered, targets = [], []
    for text in tokens.tolist():
        for word in text:
            asked = word not in special and chance.random() < share
            fate = chance.random()
            targets.append(word if asked else -100)
            if asked and fate < 0.8:
                word = mask_token
            elif asked and fate < 0.9:
                word = chance.choice(ordinary)
            covered.append(word)
    return torch.tensor(covered).view_as(tokens), torch.tensor(targets).view_as(tokens)


@exercise.disguise("none-stays")
def none_stays_too(tokens, special, mask_token, vocabulary, generator, share=0.15):
    covered, targets = by_bernoulli(tokens, special, mask_token, vocabulary, generator, share)
    ordinary = torch.tensor([word for word in range(vocabulary) if word not in special])
    left = (targets != -100) & (covered == tokens)
    drawn = torch.randint(len(ordinary), tokens.shape, generator=generator)
    return torch.where(left, ordinary[drawn], covered), targets


@exercise.disguise("kept-not-asked")
def kept_not_asked_too(tokens, special, mask_token, vocabulary, generator, share=0.15):
    covered, targets = by_bernoulli(tokens, special, mask_token, vocabulary, generator, share)
    return covered, targets.masked_fill(covered == tokens, -100)
