"""Wrong and other right answers to matching.matching_negatives."""

import random

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("09_vilt/matching_negatives").exercise

DIFFER = "(tokens[:, None] != tokens[None]).any(dim=-1)"

exercise.edit(
    "may-draw-itself",
    ("(other | alone[:, None]).float()", "torch.ones_like(other).float()"),
    story="any row may be drawn, the image's own too, and it is called a wrong pair",
    advice="draw only from the texts that differ from the image's own",
)
exercise.edit(
    "only-itself-left-out",
    (DIFFER, "~torch.eye(len(tokens), dtype=torch.bool)"),
    story="only the image's own row is left out: the same caption in another row counts as wrong",
    advice="compare the texts themselves, all tokens of each with all of each",
)
exercise.edit(
    "all-tokens-must-differ",
    (".any(dim=-1)", ".all(dim=-1)"),
    story="texts differ only if every one of their tokens does",
    advice="one token that differs is enough: any over the tokens",
)
exercise.edit(
    "first-token-compared",
    (DIFFER, "tokens[:, None, 0] != tokens[None, :, 0]"),
    story="only the first tokens are compared",
    advice="compare all tokens, then any over the last axis",
)
exercise.edit(
    "last-token-compared",
    (DIFFER, "tokens[:, None, -1] != tokens[None, :, -1]"),
    story="only the last tokens are compared",
    advice="compare all tokens, then any over the last axis",
)
exercise.edit(
    "order-ignored",
    (DIFFER, "(tokens.sort().values[:, None] != tokens.sort().values).any(dim=-1)"),
    story="texts of the same words in another order count as equal",
    advice="red on blue is not blue on red: compare place by place",
)
exercise.edit(
    "sums-compared",
    (DIFFER, "tokens.sum(1)[:, None] != tokens.sum(1)"),
    story="texts whose tokens have the same sum count as equal",
    advice="compare token by token",
)
exercise.edit(
    "none-to-draw",
    ("(other | alone[:, None]).float()", "other.float()"),
    story="where all texts are alike there is nothing to draw, and torch.multinomial raises",
    advice="an image without any other text keeps its own: give its row something to draw",
)
exercise.edit(
    "alone-called-wrong",
    ("(lot >= share) | alone", "lot >= share"),
    story="where all texts are alike one of them is called a wrong pair",
    advice="an image without any other text keeps its own row, and matches",
)
exercise.edit(
    "share-exchanged",
    ("lot >= share", "lot < share"),
    story="share is taken as the share that matches",
    advice="a chance number below share means wrong",
)
exercise.edit(
    "told-the-other-way",
    ("return partner.to(device), matched", "return partner.to(device), ~matched"),
    story="matched is True where the pair is wrong",
    advice="matched is True where the image keeps its own text",
)
exercise.edit(
    "always-half",
    ("lot >= share", "lot >= 0.5"),
    story="half are wrong, whatever share says",
    advice="use the argument",
)
exercise.edit(
    "all-wrong",
    ("(lot >= share) | alone", "alone"),
    story="every image gets a wrong text, and nothing is left to match",
    advice="a chance of share: the others keep their own",
)
exercise.edit(
    "one-lot",
    ("torch.rand(len(tokens), generator", "torch.rand(1, generator"),
    story="one chance number decides for the whole batch",
    advice="draw a number for each image",
)
exercise.edit(
    "exactly-so-many",
    ("(lot >= share)", "(lot.argsort().argsort() >= round(share * len(lot)))"),
    story="exactly share * B images get a wrong text, as the published code does with its half",
    advice="here each image has a chance of its own: torch.rand(B) < share",
    convention=True,
)
exercise.edit(
    "one-text-for-all",
    ("(other | alone[:, None]).float()", "other.float().sum(0, keepdim=True) + 1"),
    (".squeeze(1)", ".squeeze(1).expand(len(tokens)).clone()"),
    (
        "partner = ",
        "drawn = torch.where(other.gather(1, drawn[:, None])[:, 0], drawn, "
        "other.int().argmax(1))\n    partner = ",
    ),
    story="one text is drawn for all images",
    advice="draw for each image: one from each row of the table of what differs",
)
exercise.edit(
    "the-first-that-differs",
    ("torch.multinomial(chances, 1, generator=generator).squeeze(1)", "chances.argmax(dim=1)"),
    story="every image gets the first text that differs: the same few again and again",
    advice="draw evenly from all that differ",
)
exercise.edit(
    "the-neighbour",
    (
        "torch.multinomial(chances, 1, generator=generator).squeeze(1)",
        "torch.arange(len(tokens)).roll(-1)",
    ),
    story="the wrong text is always that of the next image, though it may be the same text",
    advice="draw from all that differ",
)
exercise.edit(
    "the-next-that-differs",
    (
        "torch.multinomial(chances, 1, generator=generator).squeeze(1)",
        "(chances.repeat(1, 2).bool() & (torch.arange(2 * len(tokens)) > "
        "torch.arange(len(tokens))[:, None])).int().argmax(1) % len(tokens)",
    ),
    story="the wrong text is always the next one that differs",
    advice="draw from all that differ",
)
exercise.edit(
    "words-of-the-partner",
    ("return partner.to(device)", "return tokens[partner].to(device)"),
    story="the partners' words are returned, not their rows",
    advice="return the row numbers, int64 (B,): who calls picks the words by them",
)
exercise.edit(
    "not-refused",
    ("raise ValueError", "str"),
    story="a share that is no share is taken as it comes",
    advice="raise ValueError unless 0 <= share <= 1",
)


def checked(share):
    """Refuse what is no share."""
    if not 0 <= share <= 1:
        raise ValueError(f"share {share}")


def different(tokens):
    """For each text the rows of those that differ."""
    texts = tokens.tolist()
    return [[row for row, other in enumerate(texts) if other != text] for text in texts]


@exercise.wrong(
    "all-moved-alike",
    story="all images get the text as many rows further on",
    advice="each image draws for itself; and a text further on may be the same text",
)
def all_moved_alike(tokens, generator, share=0.5):
    checked(share)
    own = torch.arange(len(tokens))
    further = torch.randint(1, max(2, len(tokens)), (1,), generator=generator)
    drawn, differ = (own + further) % len(tokens), different(tokens)
    wrong = torch.rand(len(tokens), generator=generator) < share
    for row, rows in enumerate(differ):
        if int(drawn[row]) not in rows:
            drawn[row] = rows[0] if rows else row
            wrong[row] &= bool(rows)
    return torch.where(wrong, drawn, own), ~wrong


@exercise.wrong(
    "itself-told-as-right",
    story="any row may be drawn; where it is the image's own, it is told as right, and less than "
    "share are wrong",
    advice="draw only from the texts that differ, so that whoever draws gets a wrong text",
)
def itself_told_as_right(tokens, generator, share=0.5):
    checked(share)
    own = torch.arange(len(tokens))
    wrong = torch.rand(len(tokens), generator=generator) < share
    drawn = torch.randint(len(tokens), own.shape, generator=generator)
    partner = torch.where(wrong, drawn, own)
    return partner, partner == own


@exercise.wrong(
    "global-chance",
    story="chance comes from torch's global state, not from the generator",
    advice="hand generator=generator to every function that draws",
)
def global_chance(tokens, generator, share=0.5):
    return row_by_row(tokens, torch.default_generator, share)


@exercise.wrong(
    "seeded-anew",
    story="each call begins with the same chance numbers",
    advice="use the generator as it comes: seeding it again draws the same pairs every time",
)
def seeded_anew(tokens, generator, share=0.5):
    return row_by_row(tokens, generator.manual_seed(0), share)


@exercise.right("row by row")
def row_by_row(tokens, generator, share=0.5):
    checked(share)
    chance = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    partner, matched = [], []
    for row, rows in enumerate(different(tokens)):
        wrong = bool(rows) and chance.random() < share
        partner.append(chance.choice(rows) if wrong else row)
        matched.append(not wrong)
    return tokens.new_tensor(partner), tokens.new_tensor(matched, dtype=torch.bool)


@exercise.right("the largest of random scores")
def largest_score(tokens, generator, share=0.5):
    checked(share)
    same = (tokens.unsqueeze(1) == tokens.unsqueeze(0)).all(dim=2)
    scores = torch.rand(same.shape, generator=generator).masked_fill(same, -1.0)
    best, partner = scores.max(dim=1)
    keeps = (best < 0) | ~(torch.rand(len(tokens), generator=generator) < share)
    partner[keeps] = keeps.nonzero()[:, 0]
    return partner, keeps


@exercise.disguise("may-draw-itself")
def may_draw_itself_too(tokens, generator, share=0.5):
    checked(share)
    wrong = torch.rand(len(tokens), generator=generator) < share
    order = torch.randperm(len(tokens), generator=generator)
    return torch.where(wrong, order, torch.arange(len(tokens))), ~wrong


@exercise.disguise("only-itself-left-out")
def only_itself_left_out_too(tokens, generator, share=0.5):
    checked(share)
    own = torch.arange(len(tokens))
    if len(tokens) == 1:
        return own, own == 0
    further = torch.randint(1, len(tokens), own.shape, generator=generator)
    wrong = torch.rand(len(tokens), generator=generator) < share
    return torch.where(wrong, (own + further) % len(tokens), own), ~wrong


@exercise.disguise("exactly-so-many")
def exactly_so_many_too(tokens, generator, share=0.5):
    checked(share)
    partner, wrong = torch.arange(len(tokens)), torch.zeros(len(tokens), dtype=torch.bool)
    chosen = torch.randperm(len(tokens), generator=generator)[: round(share * len(tokens))]
    differ = different(tokens)
    for row in chosen.tolist():
        if differ[row]:
            place = torch.randint(len(differ[row]), (1,), generator=generator)
            partner[row], wrong[row] = differ[row][int(place)], True
    return partner, ~wrong


@exercise.disguise("told-the-other-way")
def told_the_other_way_too(tokens, generator, share=0.5):
    partner, matched = largest_score(tokens, generator, share)
    return partner, partner != torch.arange(len(tokens))


@exercise.disguise("one-lot")
def one_lot_too(tokens, generator, share=0.5):
    checked(share)
    wrong = float(torch.rand((), generator=generator)) < share
    return largest_score(tokens, generator, 1.0 if wrong else 0.0)


@exercise.disguise("the-first-that-differs")
def the_first_that_differs_too(tokens, generator, share=0.5):
    checked(share)
    chance = torch.bernoulli(torch.full((len(tokens),), float(share)), generator=generator).bool()
    rows = enumerate(zip(different(tokens), chance.tolist(), strict=True))
    partner = torch.tensor([rest[0] if rest and wrong else row for row, (rest, wrong) in rows])
    return partner, partner == torch.arange(len(tokens))
