"""Exercise modalities.collect: vectors in one order, zeros where absent, and who is present."""

import math

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="modalities.collect",
    order=110,
    target="scratchmm.fusion.modalities:collect",
    title="Who is here?",
    goal="vectors in the order of widths, zeros where absent; and who is present, bool (B, M)",
    minutes=15,
    difficulty=2,
    section="Missing modalities",
    hints=(
        "Widths: image 1, words 1. The call names the words (5, nan), present in the first sample "
        "alone, and the image (7, 8). Returned are {image: (7, 8), words: (5, 0)}, in this "
        "order, and [[True, True], [True, False]]. Without the image its vector is (0, 0), and "
        "the call is refused: the second sample has nobody.",
        "A model that waits for a camera that failed must neither stop nor read what stands in the "
        "memory. So the numbers of an absent modality do not matter, and a mask beside them says "
        "that they are no measurement: a zero alone could be one. The lesson tells it under A view "
        "is missing.",
        "check_names and check_batch refuse what does not fit, the second gives B; presence_mask "
        "gives there (B, M). Then for each name of widths, in their order: its features, or zeros "
        "(B, D) of the features' type if it was left out; where column m of there is False put 0. "
        "Think of nan times 0.",
        "vector = features[name] if name in features else like.new_zeros(batch, width), like being "
        "any of the features; vectors[name] = vector.masked_fill(~there[:, index, None], 0.0) with "
        "index, (name, width) from enumerate(widths.items()); return vectors, there",
    ),
)
WIDTHS = {"words": 5, "image": 3, "sound": 2}  # neither alphabetical nor by size
B = 8


def vectors(case, dtype=torch.float32):
    """Features of 8 samples, not in the order of WIDTHS."""
    return {
        "sound": case.normal(B=B, U=2, dtype=dtype),
        "words": case.normal(B=B, D=5, dtype=dtype),
        "image": case.normal(B=B, S=3, dtype=dtype),
    }


def some_absent(case):
    """Masks of words and sound (images are always there), bool (B,) each."""
    sound = torch.tensor([1, 1, 0, 1, 0, 0, 0, 1]).bool()
    words = torch.tensor([1, 0, 1, 1, 0, 1, 0, 0]).bool()
    return {"sound": case.named(sound, "B"), "words": case.named(words, "B")}


def expected(features, present=None, dtype=torch.float32):
    """Number by number; and the table of who is there."""
    found, columns = {}, []
    for name, width in WIDTHS.items():
        rows = torch.zeros(B, width, dtype=dtype)
        column = [name in features] * B
        if present and name in present:
            column = present[name].tolist()
        for sample in range(B):
            if column[sample]:
                rows[sample] = features[name][sample]
        found[name] = rows
        columns.append(column)
    return found, torch.tensor(columns).T.contiguous()


def agree(case, got, wanted):
    found, there = got
    case.equal(sorted(found), sorted(wanted[0]), "the names of the vectors")
    for name, vector in wanted[0].items():
        case.equal(found[name], vector, name)
    case.equal(there, wanted[1], "who is there")


@exercise.holds("where all are present the vectors are what was given, and everyone is there")
def all_present(collect, case):
    features = vectors(case)
    agree(case, case.call(collect, features, WIDTHS), expected(features))


@exercise.holds("the vectors come in the order of widths, however the call orders them")
def order(collect, case):
    found, there = case.call(collect, vectors(case), WIDTHS)
    case.equal(case.seen(list(found)), list(WIDTHS), "the order of the vectors")


@exercise.holds("a name that is left out has zeros for all samples, and False in its column")
def left_out(collect, case):
    features = vectors(case)
    del features["image"]
    agree(case, case.call(collect, features, WIDTHS), expected(features))


@exercise.holds("a sample's absent modality is zeros; others, and other samples, stay")
def absent(collect, case):
    features, present = vectors(case), some_absent(case)
    agree(case, case.call(collect, features, WIDTHS, present), expected(features, present))


@exercise.holds("what stands where a modality is absent does not matter, be it nan or infinite")
def garbage(collect, case):
    features, present = vectors(case), some_absent(case)
    features["sound"][~present["sound"]] = math.nan
    features["words"][~present["words"]] = -math.inf
    agree(case, case.call(collect, features, WIDTHS, present), expected(features, present))


@exercise.holds(
    "what is present is handed on as it is: zeros are a measurement, nan a fault to see"
)
def present_as_is(collect, case):
    features, present = vectors(case), some_absent(case)
    features["image"][2:4] = 0.0
    features["sound"][present["sound"]] = 0.0
    features["words"][0, 2] = math.nan
    agree(case, case.call(collect, features, WIDTHS, present), expected(features, present))


@exercise.holds("the vectors have the features' dtype, also those of zeros")
def dtype(collect, case):
    features, present = vectors(case, torch.float64), some_absent(case)
    del features["image"]
    present["sound"] = case.named(~present["words"], "B")
    got = case.call(collect, features, WIDTHS, present)
    agree(case, got, expected(features, present, torch.float64))


@exercise.holds("a sample without any modality is refused with a ValueError")
def nobody(collect, case):
    features, present = vectors(case), some_absent(case)
    del features["image"]  # the fifth sample has nobody now
    case.refuses(ValueError, collect, features, WIDTHS, present)


@exercise.holds("a name that widths does not know is refused with a ValueError")
def unknown(collect, case):
    features = {**vectors(case), "smell": case.normal(B=B, D=4)}
    case.refuses(ValueError, collect, features, WIDTHS)


@exercise.holds("features of another width, or of another batch, are refused with a ValueError")
def misfits(collect, case):
    wide = {**vectors(case), "words": case.normal(B=B, D=6)}
    case.refuses(ValueError, collect, wide, WIDTHS)
    few = {**vectors(case), "words": case.normal(B=1, D=5)}
    case.refuses(ValueError, collect, few, WIDTHS)


@exercise.holds("who is said to be present without having features is refused with a ValueError")
def ghost(collect, case):
    features, present = vectors(case), some_absent(case)
    del features["sound"]
    case.refuses(ValueError, collect, features, WIDTHS, present)


@exercise.holds("a mask of another batch is refused with a ValueError")
def other_masks(collect, case):
    for size in (1, B + 1):
        present = {"words": torch.ones(size, dtype=torch.bool)}
        case.refuses(ValueError, collect, vectors(case), WIDTHS, present)


@exercise.holds("features and masks are left as they were")
def unchanged(collect, case):
    features, present = vectors(case), some_absent(case)
    before = {name: feature.clone() for name, feature in features.items()}
    case.call(collect, features, WIDTHS, present)
    case.equal(case.seen(features), before, "the features afterwards")
    case.unchanged()


@exercise.holds(
    "gradients reach what is present; where absent they are 0, even if nan stands there"
)
def gradients(collect, case):
    features, present = vectors(case), some_absent(case)
    for name, mask in present.items():
        features[name][~mask] = math.nan

    def joined(function):
        def collect(sound, words, image):
            given = {"sound": sound, "words": words, "image": image}
            found = function(given, WIDTHS, present)[0]
            squares = [found[name] ** 2 for name in WIDTHS]
            return torch.cat(squares, dim=1)

        return collect

    wanted = joined(lambda *given: expected(*given[::2], torch.float64))
    case.gradients(joined(collect), wanted, *features.values())
