"""Exercise matching.matching_negatives: wrong texts for images, and none that is right by chance."""

import functools

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
    hints=(
        "Texts [1, 5], [1, 5], [1, 7], share 1. Images 0 and 1 can only get row 2, image 2 gets "
        "row 0 or 1: no other answer is possible, and nothing matches. With a share of 0 every "
        "image keeps its row, [0, 1, 2], and everything matches.",
        "A model learns to tell right pairs from wrong ones. Wrong texts are there already: those of "
        "the other images of the batch. But two images may have the same caption, and to call "
        "that a wrong pair teaches nonsense. What may be drawn is a table: which text differs from "
        "which. Nothing differs where all captions are alike: then the image keeps its own.",
        "Refuse a share that is no share. (B, 1, T) against (B, T): a table (B, B), True where any "
        "token differs. Draw one True of each row, all equally likely. A chance number for each "
        "image: below share it gets the drawn row, else its own; its own too where its row of the "
        "table has no True. Matched says who kept their own. All chance is the generator's.",
        "other = (tokens[:, None] != tokens).any(-1); alone = ~other.any(1); torch.multinomial of "
        "(other | alone[:, None]).float() draws a row each; kept = (torch.rand(len(tokens), "
        "generator=generator) >= share) | alone; partner is torch.arange(len(tokens)) where kept, "
        "else what was drawn",
    ),
)


def summed_up(matching_negatives, look, times=1):
    """A function that calls the learner's so often and gives what `look` sees in the results: chance
    leaves no trace."""

    @functools.wraps(matching_negatives)
    def function(tokens, generator, share=0.5):
        results = [matching_negatives(tokens, generator, share) for _ in range(times)]
        partners = torch.stack([partner for partner, _ in results])
        return look(partners, torch.stack([matched for _, matched in results]))

    return function


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


def different(case, B=7):
    """Texts of which no two have the same token at any place."""
    order = case.permutation(B)
    return case.named(torch.stack([order, 2 * order, 3 * order], dim=1), "B T")


@exercise.holds("a row for each image, int64 (B,), and whether it matches, bool (B,)")
def kinds(matching_negatives, case):
    @functools.wraps(matching_negatives)
    def told(tokens, generator):
        return [(list(x.shape), str(x.dtype)) for x in matching_negatives(tokens, generator)]

    got = case.call(told, different(case), generator(case))
    case.equal(got, [([7], "torch.int64"), ([7], "torch.bool")], "shapes and kinds")


@exercise.holds("with a share of 0 every image keeps its own text, and all match")
def none_wrong(matching_negatives, case):
    got = case.call(matching_negatives, different(case), generator(case), 0.0)
    case.equal(got, (torch.arange(7), torch.ones(7, dtype=torch.bool)))


@exercise.holds("with a share of 1 no image gets its own text, and none matches")
def all_wrong(matching_negatives, case):
    def look(partners, matched):
        own = (partners == torch.arange(7)).any().item()
        return {"some image has its own text": own, "some match": matched.any().item()}

    look = summed_up(matching_negatives, look, times=30)
    got = case.call(look, different(case), generator(case), 1.0)
    case.equal(got, {"some image has its own text": False, "some match": False})


@exercise.holds("an image matches where it has its own row, and only there")
def told_truly(matching_negatives, case):
    def look(partners, matched):
        own = partners == torch.arange(7)
        return {
            "own text, told as wrong": (own & ~matched).any().item(),
            "another text, told as right": (~own & matched).any().item(),
        }

    look = summed_up(matching_negatives, look, times=30)
    got = case.call(look, different(case), generator(case))
    case.equal(got, {"own text, told as wrong": False, "another text, told as right": False})


@exercise.holds("a text equal to one's own is never a wrong text, wherever it stands")
def equal_texts(matching_negatives, case):
    numbers = torch.tensor([4, 6, 4, 4, 6, 9])[case.permutation(6)]
    tokens = case.named(numbers[:, None].repeat(1, 3), "B T")

    def look(partners, matched):
        same = numbers[partners] == numbers
        return {
            "same text, other row": (same & (partners != torch.arange(6))).any().item(),
            "some match": matched.any().item(),
        }

    look = summed_up(matching_negatives, look, times=30)
    got = case.call(look, tokens, generator(case), 1.0)
    case.equal(got, {"same text, other row": False, "some match": False})


@exercise.holds("texts differ if one token does, the first, the last or the order of two")
def one_token(matching_negatives, case):
    text = [1, 5, 2]
    pairs = [[text, other] for other in ([3, 5, 2], [1, 5, 7], [1, 2, 5], [2, 4, 2])]
    arguments = [(torch.tensor(pair), generator(case), 1.0) for pair in pairs]
    other = (torch.tensor([1, 0]), torch.tensor([False, False]))
    case.each(matching_negatives, *((given, other) for given in arguments))


@exercise.holds("where all texts are alike, and in a batch of one, each keeps its own and matches")
def all_alike(matching_negatives, case):
    calls = []
    for count in (4, 1):
        tokens = case.named(torch.full((count, 3), 8), "B T")
        expected = (torch.arange(count), torch.ones(count, dtype=torch.bool))
        calls.append(((tokens, generator(case), 1.0), expected))
    case.each(matching_negatives, *calls)


@exercise.holds("every image has a chance of its own: how many are wrong differs from call to call")
def own_chance(matching_negatives, case):
    def look(partners, matched):
        wrong = (partners != torch.arange(8)).sum(dim=1)
        return {
            "as many in every call": (wrong == wrong[0]).all().item(),
            "all or none": ((wrong == 0) | (wrong == 8)).all().item(),
        }

    look = summed_up(matching_negatives, look, times=40)
    got = case.call(look, different(case, B=8), generator(case))
    case.equal(got, {"as many in every call": False, "all or none": False})


@exercise.holds("the share of wrong texts is the one wanted, a half if none is")
def wanted_share(matching_negatives, case):
    def look(partners, matched):
        return round((partners != torch.arange(10)).double().mean().item(), 1)

    tokens, look = different(case, B=10), summed_up(matching_negatives, look, times=240)
    case.each(
        look,
        ((tokens, generator(case), 0.3), 0.3),
        ((tokens, generator(case), 0.8), 0.8),
        ((tokens, generator(case)), 0.5),
        what="the share",
    )


@exercise.holds("a wrong text is drawn evenly from all that differ")
def evenly(matching_negatives, case):
    def look(partners, matched):
        found = torch.stack([(partners == row).double().mean(dim=0) for row in range(5)], dim=1)
        return {
            "never drawn": [(found[row] == 0).nonzero()[:, 0].tolist() for row in range(5)],
            "one twice as often as another": bool(
                (found.max(dim=1).values > 2 * (found + (found == 0)).min(dim=1).values).any()
            ),
        }

    look = summed_up(matching_negatives, look, times=400)
    got = case.call(look, different(case, B=5), generator(case), 1.0)
    expected = {"never drawn": [[0], [1], [2], [3], [4]], "one twice as often as another": False}
    case.equal(got, expected, "for each image the rows")


@exercise.holds("every image draws for itself: not all the same text, not all as far away")
def for_itself(matching_negatives, case):
    def look(partners, matched):
        away = (partners - torch.arange(9)) % 9
        alike = (partners == partners.mode(dim=1).values[:, None]).sum(dim=1)
        return {
            "all as far away": (away == away[:, :1]).all().item(),
            "nearly all the same text": (alike >= 7).all().item(),
        }

    look = summed_up(matching_negatives, look, times=20)
    got = case.call(look, different(case, B=9), generator(case), 1.0)
    case.equal(got, {"all as far away": False, "nearly all the same text": False})


@exercise.holds(
    "all chance is the generator's: the same state gives the same, the next call another"
)
def from_the_generator(matching_negatives, case):
    tokens, source = different(case, B=40), generator(case)

    @functools.wraps(matching_negatives)
    def thrice(tokens, generator, share):
        state, results = generator.get_state(), []
        for seed in range(3):
            torch.manual_seed(0 if seed < 2 else 1)
            if seed == 2:
                generator.set_state(state)
            results.append(torch.cat([*matching_negatives(tokens, generator, share)]))
        differ = [not torch.equal(results[0], other) for other in results[1:]]
        return {"the next call differs": differ[0], "the same state differs": differ[1]}

    got = case.call(thrice, tokens, source, 0.5)
    case.equal(got, {"the next call differs": True, "the same state differs": False})


@exercise.holds("a share above 1 or below 0 is refused with a ValueError")
def refused(matching_negatives, case):
    for share in (1.5, -0.5):
        case.refuses(ValueError, matching_negatives, different(case), generator(case), share)
