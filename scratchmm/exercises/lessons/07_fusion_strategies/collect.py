"""Exercise modalities.collect: vectors in one order, zeros where absent, and a presence mask."""

import math

import torch

from scratchmm.exercises.format import Exercise
from scratchmm.fusion.modalities import check_batch, check_names, presence_mask

exercise = Exercise(
    id="modalities.collect",
    order=110,
    target="scratchmm.fusion.modalities:collect",
    title="Which modalities are present?",
    goal="vectors in the order of widths, zeros where absent; and which are present, bool (B, M)",
    minutes=15,
    difficulty=2,
    section="Missing modalities",
    hints="""
        1. Widths: image 1, words 1. The call names the words (5, nan), present in the first sample
           alone, and the image (7, 8). Returned are {image: (7, 8), words: (5, 0)}, in this order,
           and [[True, True], [True, False]]. Without the image the call is refused.
        2. The numbers of an absent modality do not matter; a mask beside them tells that they are
           no measurement, for a zero could be one. See Missing modalities in the lesson.
        3. check_names and check_batch refuse what does not fit, the second gives B; presence_mask
           gives there (B, M). Then for each name of widths, in their order: its features, or zeros
           (B, D) of the features' type if it was left out; 0 where column m of there is False.
        4. vector = features[name] if name in features else like.new_zeros(batch, width), like being
           any of the features; vectors[name] = vector.masked_fill(~there[:, index, None], 0.0),
           index and name from enumerate(widths); return vectors, there
    """,
)
WIDTHS = {"words": 5, "image": 3, "sound": 2}  # neither alphabetical nor by size
B = 8


def vectors(case, dtype=torch.float32):
    """Features, not in the order of WIDTHS."""
    sound, words = case.normal(B=B, U=2, dtype=dtype), case.normal(B=B, D=5, dtype=dtype)
    return {"sound": sound, "words": words, "image": case.normal(B=B, S=3, dtype=dtype)}


def some_absent(case):
    """Masks of words and sound (images are always there), bool (B,) each."""
    sound = torch.tensor([1, 1, 0, 1, 0, 0, 0, 1]).bool()
    words = torch.tensor([1, 0, 1, 1, 0, 1, 0, 0]).bool()
    return {"sound": case.named(sound, "B"), "words": case.named(words, "B")}


def expected(features, present=None, dtype=torch.float32):
    """Sample by sample; and the table of what is present."""
    found, columns = {}, []
    for name, width in WIDTHS.items():
        columns.append((present or {}).get(name, torch.full((B,), name in features)))
        found[name] = torch.zeros(B, width, dtype=dtype)
        for sample in columns[-1].nonzero().flatten().tolist():
            found[name][sample] = features[name][sample]
    return found, torch.stack(columns).T


def agree(case, got, wanted):
    found, there = got
    case.equal(list(found), list(WIDTHS), "the names of the vectors, in the order of widths")
    for name, vector in wanted[0].items():
        case.equal(found[name], vector, name)
    case.equal(there, wanted[1], "what is present")


@exercise.holds("where all are present the vectors are what was given, in the order of widths")
def all_present(collect, case):
    features = vectors(case)
    agree(case, case.call(collect, features, WIDTHS), expected(features))


@exercise.holds("a name left out has zeros, of the features' dtype, and False in its column")
def left_out(collect, case):
    features = vectors(case, torch.float64)
    del features["image"]
    agree(case, case.call(collect, features, WIDTHS), expected(features, dtype=torch.float64))


@exercise.holds("a sample's absent modality is zeros; its others, and other samples, stay")
def absent(collect, case):
    features, present = vectors(case), some_absent(case)
    agree(case, case.call(collect, features, WIDTHS, present), expected(features, present))


@exercise.holds("numbers where a modality is absent do not matter; present ones stay, be they 0")
def garbage(collect, case):
    features, present = vectors(case), some_absent(case)
    zeros = torch.zeros(B, 2)  # a measurement
    features["sound"] = torch.where(present["sound"][:, None], zeros, math.nan)
    features["words"][~present["words"]] = -math.inf
    features["words"][0, 2] = math.nan  # of a modality that is present: a fault to be noticed
    agree(case, case.call(collect, features, WIDTHS, present), expected(features, present))


@exercise.holds("a sample without any modality is refused with a ValueError")
def none_present(collect, case):
    features, present = vectors(case), some_absent(case)
    del features["image"]  # the fifth sample has no modality now
    case.refuses(ValueError, collect, features, WIDTHS, present)


@exercise.holds("an unknown name, and features of another width or batch, are refused (ValueError)")
def misfits(collect, case):
    for name, sizes in (("smell", (B, 4)), ("words", (B, 6)), ("words", (1, 5))):
        case.refuses(ValueError, collect, {**vectors(case), name: torch.ones(sizes)}, WIDTHS)


@exercise.holds("a mask of what has no features, or of another batch, is refused (ValueError)")
def masks(collect, case):
    features, present = vectors(case), some_absent(case)
    del features["sound"]
    case.refuses(ValueError, collect, features, WIDTHS, present)
    for size in (1, B + 1):
        other = {"words": torch.ones(size, dtype=torch.bool)}
        case.refuses(ValueError, collect, vectors(case), WIDTHS, other)


@exercise.holds("features and masks are left as they were")
def unchanged(collect, case):
    case.call(collect, vectors(case), WIDTHS, some_absent(case))
    case.unchanged()


@exercise.holds("gradients reach what is present; where absent they are 0, even past nan")
def gradients(collect, case):
    features, present = vectors(case), some_absent(case)
    features["words"][~present["words"]] = math.nan

    def joined(function):
        def collect(sound, words, image):
            given = {"sound": sound, "words": words, "image": image}
            found = function(given, WIDTHS, present)[0]
            return torch.cat([found[name] ** 2 for name in WIDTHS], dim=1)

        return collect

    wanted = joined(lambda *given: expected(*given[::2], torch.float64))
    case.gradients(joined(collect), wanted, *features.values())


exercise.mistakes("""
    multiplied: absent vectors are multiplied by 0, which leaves nan and infinity what they are
    - vectors[name] = vector.masked_fill(~there[:, index, None], 0.0)
    + vectors[name] = vector * there[:, index, None]
    > nan times 0 is nan: masked_fill or torch.where puts a 0 there

    nan-to-zero: every nan becomes 0, also where a modality is present
    - vectors[name] = vector.masked_fill(~there[:, index, None], 0.0)
    + vector = vector.nan_to_num(0.0, torch.inf, -torch.inf)
    + vectors[name] = vector.masked_fill(~there[:, index, None], 0.0)
    > only the mask says what is absent: a nan of a present modality is a fault to be noticed

    zeros-are-absence: presence is read off the numbers: a vector of zeros counts as absent
    - return vectors, there
    + return vectors, torch.stack([(x != 0).any(dim=1) for x in vectors.values()], dim=1)
    > zeros may be a measurement: return what presence_mask says

    mean-put-in [convention]: absent vectors become the mean of the batch
    - vectors[name] = vector.masked_fill(~there[:, index, None], 0.0)
    + zeros = vector.masked_fill(~there[:, index, None], 0.0)
    + mean = zeros.sum(dim=0) / there[:, index].sum().clamp(min=1)
    + vectors[name] = torch.where(there[:, index, None], vector, mean)
    > zeros: a sample's answer may not depend on what else is in the batch

    order-of-the-call: the vectors come in the order of the call
    - return vectors, there
    + return {name: vectors[name] for name in {**features, **widths}}, there
    > go through widths: what joins them must find each in its place

    left-out-missing: a name that is left out of the features is left out of the vectors
    - return vectors, there
    + return {name: x for name, x in vectors.items() if name in features}, there
    > all names of widths: zeros (B, D) for one that is left out

    left-out-is-there: a name that is left out counts as present, with zeros
    - return vectors, there
    + return vectors, presence_mask(vectors, widths, present, batch)
    > without features it is absent: False in its column

    not-refused: the masks are put together without presence_mask, so nothing is refused
    - there = presence_mask(features, widths, present, batch)
    + masks = {name: torch.full((batch,), name in features) for name in widths}
    + there = torch.stack([{**masks, **(present or {})}[name] for name in widths], dim=1)
    > presence_mask refuses a sample without any modality: do not go around it

    in-place: the zeros are written into the caller's tensors
    - vectors[name] = vector.masked_fill(~there[:, index, None], 0.0)
    + with torch.no_grad():
    +     vectors[name] = vector.masked_fill_(~there[:, index, None], 0.0)
    > masked_fill without the underscore at its end makes a new tensor
""")

exercise.slips("""
    ~there[:, index, None] => ~there.all(dim=0)[index]
    like.new_zeros(batch, width) => torch.zeros(batch, width)
    return vectors, there => return vectors, there.T
    return vectors, there => return vectors, there.float()
    return vectors, there => return vectors,
        there[:, [[*widths].index(name) for name in {**features, **widths}]]
    vector.masked_fill => vector.detach().masked_fill
    presence_mask(features, widths, present, batch) => presence_mask(features, widths,
        {name: mask for name, mask in (present or {}).items() if name in features}, batch)
    presence_mask(features, widths, present, batch) => presence_mask(features, widths,
        {name: mask.repeat(batch)[:batch] for name, mask in (present or {}).items()}, batch)
    presence_mask(features, widths, present, batch) => presence_mask(features, widths, present, batch)
        & torch.tensor([name in (present or {}) for name in widths])
    check_names("features", features, widths) =>
        features = {name: x for name, x in features.items() if name in widths}
    batch = check_batch(features, {name: (width,) for name, width in widths.items()}) =>
        batch = max(len(x) for x in features.values())
""")


@exercise.right("where")
def where(features, widths, present=None):
    check_names("features", features, widths)
    batch = check_batch(features, {name: (width,) for name, width in widths.items()})
    there, like = presence_mask(features, widths, present, batch), next(iter(features.values()))
    zeros = {name: like.new_zeros(batch, width) for name, width in widths.items()}
    pairs = zip(zeros.items(), there.unbind(dim=1), strict=True)
    return {n: torch.where(kept[:, None], features.get(n, x), x) for (n, x), kept in pairs}, there


@exercise.right("rows written")
def rows_written(features, widths, present=None):
    _, there = where(features, widths, present)
    found, like = {}, next(iter(features.values()))
    for column, (name, width) in enumerate(widths.items()):
        rows = there[:, column].nonzero().flatten()
        found[name] = like.new_zeros(len(there), width)
        found[name][rows] = features.get(name, found[name])[rows]
    return found, there
