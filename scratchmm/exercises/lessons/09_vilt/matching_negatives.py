"""Exercise matching.matching_negatives: wrong texts for images, and none that is right by chance."""

import functools
import random

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="matching.matching_negatives",
    order=40,
    target="scratchmm.fusion.matching:matching_negatives",
    title="Pairs that do not match",
    goal="each image gets, with a chance of share, a text of the batch that differs from its own",
    minutes=25,
    difficulty=3,
    section="Image-text matching",
    hints="""
        1. Texts [1, 5], [1, 5], [1, 7], share 1. Images 0 and 1 can only get row 2, image 2 gets
           row 0 or 1, and nothing matches. With a share of 0 every image keeps its row, [0, 1, 2].
        2. Wrong texts are those of other images of the batch, unless their captions are equal. What
           may be drawn is a table: which text differs from which. If none does, each keeps its own.
        3. Refuse a share that is no share. (B, 1, T) against (B, T): a table (B, B), True where any
           token differs. Draw one True of each row, all equally likely. A random number for each
           image: below share it gets the drawn row, else its own; also where its row has no True.
        4. other = (tokens[:, None] != tokens).any(-1); alone = ~other.any(1); torch.multinomial of
           (other | alone[:, None]).float() draws; matched = (torch.rand(...) >= share) | alone
    """,
)


def summed_up(matching_negatives, look, times=1):
    """Calls the learner's function so often, and gives what `look` finds in the random results."""

    @functools.wraps(matching_negatives)
    def function(tokens, generator, share=0.5):
        results = [matching_negatives(tokens, generator, share) for _ in range(times)]
        return look(*(torch.stack(both) for both in zip(*results, strict=True)))

    return function


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


def different(case, B=7):
    """Texts of which no two have the same token at any place."""
    order = case.permutation(B)
    return case.named(torch.stack([order, 2 * order, 3 * order], dim=1), "B T")


@exercise.holds("with a share of 0 every image keeps its own text, and all match")
def none_wrong(matching_negatives, case):
    got = case.call(matching_negatives, different(case), generator(case), 0.0)
    case.equal(got, (torch.arange(7), torch.ones(7, dtype=torch.bool)))


@exercise.holds("an image matches where it keeps its own row, with a share of 1 nowhere")
def told_truly(matching_negatives, case):
    def look(partners, matched):
        own = partners == torch.arange(7)
        wrong = [(own & ~matched).any().item(), (~own & matched).any().item()]
        return {"some keep": own.any().item(), "own or other, told wrongly": wrong}

    look = summed_up(matching_negatives, look, times=30)
    for share in (1.0, 0.5):
        got = case.call(look, different(case), generator(case), share)
        case.equal(got, {"some keep": share < 1, "own or other, told wrongly": [False, False]})


@exercise.holds("a text equal to one's own is never a wrong text, wherever it stands")
def equal_texts(matching_negatives, case):
    numbers = torch.tensor([4, 6, 4, 4, 6, 9])[case.permutation(6)]
    tokens = case.named(numbers[:, None].repeat(1, 3), "B T")

    def look(partners, matched):
        same = (numbers[partners] == numbers) & (partners != torch.arange(6))
        return {"same text, other row": same.any().item(), "some match": matched.any().item()}

    look = summed_up(matching_negatives, look, times=30)
    got = case.call(look, tokens, generator(case), 1.0)
    case.equal(got, {"same text, other row": False, "some match": False})


@exercise.holds("one token is a difference; where all are equal, or alone, each keeps its own")
def which_differ(matching_negatives, case):
    calls = []
    for text in ([3, 5, 2], [1, 5, 7], [1, 2, 5], [2, 4, 2]):
        tokens = case.named(torch.tensor([[1, 5, 2], text]), "B T")
        calls.append((tokens, torch.tensor([1, 0]), torch.zeros(2).bool()))
    for count in (4, 1):
        tokens = case.named(torch.full((count, 3), 8), "B T")
        calls.append((tokens, torch.arange(count), torch.ones(count).bool()))
    case.each(matching_negatives, *(((x, generator(case), 1.0), (y, z)) for x, y, z in calls))


@exercise.holds("the same state of the generator gives the same, the next calls another")
def from_the_generator(matching_negatives, case):
    @functools.wraps(matching_negatives)
    def twice(tokens, generator, share):
        state, runs = generator.get_state(), []
        for seed in range(2):
            torch.manual_seed(seed)
            generator.set_state(state)
            calls = [matching_negatives(tokens, generator, share) for _ in range(9)]
            runs.append(torch.stack([torch.cat([*call]) for call in calls]))
        return [(runs[0] != runs[0][0]).any().item(), (runs[0] != runs[1]).any().item()]

    got = case.call(twice, different(case, B=40), generator(case), 0.5)
    case.equal(got, [True, False], "whether the next calls differ, and those of the same state")


@exercise.holds("every image has a random number: how many are wrong differs from call to call")
def own_number(matching_negatives, case):
    def look(partners, matched):
        wrong = (partners != torch.arange(8)).sum(dim=1)
        return [(wrong == wrong[0]).all().item(), ((wrong > 0) & (wrong < 8)).any().item()]

    look = summed_up(matching_negatives, look, times=40)
    got = case.call(look, different(case, B=8), generator(case))
    case.equal(got, [False, True], "whether as many in every call, and other than all or none")


@exercise.holds("the share of wrong texts is the one wanted, a half by default")
def wanted_share(matching_negatives, case):
    def look(partners, matched):
        return round((partners != torch.arange(10)).double().mean().item(), 1)

    given, look = different(case, B=10), summed_up(matching_negatives, look, times=240)
    wanted = [((given, generator(case), *share), *(share or [0.5])) for share in ([0.3], [0.8], [])]
    case.each(look, *wanted, what="the share")


@exercise.holds("a wrong text is drawn evenly from all that differ, for each image by itself")
def evenly(matching_negatives, case):
    def look(partners, matched):
        found = torch.stack([(partners == row).double().mean(dim=0) for row in range(5)], dim=1)
        least = found.masked_fill(found == 0, 1).min(dim=1).values
        away = (partners - torch.arange(5)) % 5
        return {
            "never drawn": [(found[row] == 0).nonzero()[:, 0].tolist() for row in range(5)],
            "one twice as often as another": (found.max(dim=1).values > 2 * least).any().item(),
            "all as far away": (away == away[:, :1]).all().item(),
        }

    look = summed_up(matching_negatives, look, times=400)
    got = case.call(look, different(case, B=5), generator(case), 1.0)
    expected = {"never drawn": [[0], [1], [2], [3], [4]], "one twice as often as another": False}
    case.equal(got, {**expected, "all as far away": False}, "for each image the rows")


@exercise.holds("a share above 1 or below 0 is refused with a ValueError")
def refused(matching_negatives, case):
    for share in (1.5, -0.5):
        case.refuses(ValueError, matching_negatives, different(case), generator(case), share)


exercise.mistakes("""
    may-draw-itself: any row may be drawn, the image's own too, and counts as a wrong pair
    - chances = (other | alone[:, None]).float()
    + chances = torch.ones_like(other).float()
    > draw only from the texts that differ from the image's own

    itself-matches: any row may be drawn; its own is a match, so fewer than share are wrong
    - chances = (other | alone[:, None]).float()
    + chances = torch.ones_like(other).float()
    - return partner.to(device), matched.to(device)
    + return partner.to(device), partner == torch.arange(len(tokens))
    > draw only from the texts that differ, so that each draw gives a wrong text

    only-itself-left-out: an equal caption in another row counts as wrong
    - other = (tokens[:, None] != tokens[None]).any(dim=-1)
    + other = ~torch.eye(len(tokens), dtype=torch.bool)
    > compare the texts themselves, all tokens of each with all of each

    exactly-so-many [convention]: exactly share * B images get a wrong text, as in ViLT's code
    - matched = (lot >= share) | alone
    + matched = (lot.argsort().argsort() >= round(share * len(lot))) | alone
    > here each image is drawn by itself: torch.rand(B) < share

    one-text-for-all: one text is drawn for all images
    - drawn = torch.multinomial(chances, 1, generator=generator).squeeze(1)
    + drawn = torch.randint(len(tokens), (1, 1), generator=generator).expand(len(tokens), 1)
    + drawn = torch.where(other.gather(1, drawn)[:, 0], drawn[:, 0], other.int().argmax(1))
    > draw for each image: one from each row of the table of what differs

    all-moved-alike: all images get the text as many rows further on
    - drawn = torch.multinomial(chances, 1, generator=generator).squeeze(1)
    + step = torch.randint(1, max(2, len(tokens)), (1,), generator=generator)
    + drawn = ((torch.arange(len(tokens)) + step) % len(tokens))[:, None]
    + drawn = torch.where(other.gather(1, drawn)[:, 0], drawn[:, 0], other.int().argmax(1))
    > each image draws for itself; and a text further on may be an equal text
""")

exercise.slips("""
    tokens[:, None] != tokens[None] => tokens[:, None, :1] != tokens[None, :, :1]
    tokens[:, None] != tokens[None] => tokens[:, None, -1:] != tokens[None, :, -1:]
    (tokens[:, None] != tokens[None]).any(dim=-1) => tokens.sum(1)[:, None] != tokens.sum(1)
    tokens[:, None] != tokens[None] => tokens.sort().values[:, None] != tokens.sort().values
    torch.multinomial(chances, 1, generator=generator).squeeze(1) => chances.argmax(dim=1)
    lot >= share => lot >= 0.5
    torch.multinomial(chances, 1, generator=generator) => torch.arange(len(tokens)).roll(-1)[:, None]
    multinomial(chances, 1, generator=generator).squeeze(1) => argmax(
        other.repeat(1, 2).triu(1).int(), 1) % len(tokens)
    return partner.to(device), matched => return partner.to(device), ~matched
    return partner.to(device) => return tokens[partner].to(device)
    other = => generator = torch.default_generator; other =
    torch.rand(len(tokens), => torch.rand(1,
    alone = => generator.manual_seed(0); alone =
""")


@exercise.refusing
def refuse(tokens, generator, share=0.5):
    if not 0 <= share <= 1:
        raise ValueError(f"share {share}")


@exercise.right("row by row")
def row_by_row(tokens, generator, share=0.5):
    chance = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    texts = tokens.tolist()
    partner, matched = [], []
    for row, text in enumerate(texts):
        rows = [number for number, other in enumerate(texts) if other != text]
        wrong = bool(rows) and chance.random() < share
        partner.append(chance.choice(rows) if wrong else row)
        matched.append(not wrong)
    return tokens.new_tensor(partner), tokens.new_tensor(matched, dtype=torch.bool)


@exercise.right("the largest of random scores")
def largest_score(tokens, generator, share=0.5):
    same = (tokens.unsqueeze(1) == tokens.unsqueeze(0)).all(dim=2)
    scores = torch.rand(same.shape, generator=generator).masked_fill(same, -1.0)
    best, partner = scores.max(dim=1)
    keeps = (best < 0) | ~(torch.rand(len(tokens), generator=generator) < share)
    partner[keeps] = keeps.nonzero()[:, 0]
    return partner, keeps
