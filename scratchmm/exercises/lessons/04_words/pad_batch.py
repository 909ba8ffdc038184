"""Exercise bpe.pad_batch: sentences of different lengths become one rectangle."""

import torch

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bpe.pad_batch",
    order=40,
    target="scratchmm.language.bpe:pad_batch",
    title="A rectangle of tokens",
    goal="start, tokens, end, padding: int64 (B, length), and a mask, True on all but padding",
    minutes=15,
    difficulty=2,
    section="5. A batch of tokens",
    needs=("bpe.decode",),
    hints=(
        "Length 4, start 1, end 2, pad 0: [5] becomes [1, 5, 2, 0] with the mask T T T F, and "
        "[6, 7, 8] becomes [1, 6, 7, 2]: token 8 has no room, the end has.",
        "A model takes a rectangle, so short rows are filled up behind. What is real is known while "
        "you write and not by looking at the numbers: the padding may be a number that means "
        "something else elsewhere. The end is where CLIP reads the sentence, so it is never cut off.",
        "A rectangle (B, length) full of pad, int64, and one of False. For each row: the start, at "
        "most length - 2 tokens, the end; write them at the left and set the mask to True there. A "
        "length below 2 has no room for start and end: ValueError.",
        "framed = [start, *sequence[: length - 2], end]; "
        "tokens[row, : len(framed)] = torch.tensor(framed); real[row, : len(framed)] = True",
    ),
)
SPECIAL = dict(start=91, end=92, pad=93)


def sentences(case: Case, *lengths: int) -> list[list[int]]:
    """A sequence of each length, no two tokens of one alike."""
    return [(case.permutation(40)[:length] + 1).tolist() for length in lengths]


def slow(sequences, length, start, end, pad):
    """The oracle: one cell at a time."""
    rows, real = [], []
    for sequence in sequences:
        kept = min(len(sequence), length - 2)
        row = [pad] * length
        row[0], row[kept + 1] = start, end
        for i in range(kept):
            row[i + 1] = sequence[i]
        rows.append(row)
        real.append([i < kept + 2 for i in range(length)])
    return torch.tensor(rows, dtype=torch.int64), torch.tensor(real)


@exercise.holds(
    "each row is start, tokens, end, padding, as int64; the mask is True on the first three"
)
def rows(pad_batch, case):
    sequences = sentences(case, 3, 1, 4)
    got = case.call(pad_batch, [*map(list, sequences)], 7, **SPECIAL)
    case.equal(got, slow(sequences, 7, **SPECIAL))


@exercise.holds("a sequence of no tokens is start and end")
def empty(pad_batch, case):
    sequences = [[], *sentences(case, 2)]
    got = case.call(pad_batch, [*map(list, sequences)], 5, **SPECIAL)
    case.equal(got, slow(sequences, 5, **SPECIAL))


@exercise.holds("a sequence that just fits keeps all its tokens")
def fits(pad_batch, case):
    sequences = sentences(case, 4, 2)
    got = case.call(pad_batch, [*map(list, sequences)], 6, **SPECIAL)
    case.equal(got, slow(sequences, 6, **SPECIAL))


@exercise.holds("one that is too long loses its last tokens, and keeps its end token")
def too_long(pad_batch, case):
    for length in (6, 5, 2):
        sequences = sentences(case, 5, 9, 2)
        got = case.call(pad_batch, [*map(list, sequences)], length, **SPECIAL)
        case.equal(got, slow(sequences, length, **SPECIAL))


@exercise.holds("the mask goes by place, even where padding has the number of another token")
def by_place(pad_batch, case):
    sequences = [[0, 5, 0], [7, 92], [92, 91, 3, 0]]
    for pad in (92, 0, 91):
        got = case.call(pad_batch, [*map(list, sequences)], 7, start=91, end=92, pad=pad)
        case.equal(got, slow(sequences, 7, 91, 92, pad))


@exercise.holds("sequences may be tuples")
def tuples(pad_batch, case):
    sequences = tuple((5, 6, 7)[:n] for n in (3, 1, 2))
    case.equal(case.call(pad_batch, sequences, 4, **SPECIAL), slow(sequences, 4, **SPECIAL))


@exercise.holds("no sequences make a rectangle of no rows, as long and of the same dtypes")
def none(pad_batch, case):
    expected = torch.zeros(0, 5, dtype=torch.int64), torch.zeros(0, 5, dtype=torch.bool)
    case.equal(case.call(pad_batch, [], 5, **SPECIAL), expected)


@exercise.holds("a length below 2 is refused with ValueError")
def refused(pad_batch, case):
    for length in (1, 0):
        case.refuses(ValueError, pad_batch, [[5, 6], [7]], length, **SPECIAL)


@exercise.holds("the sequences that were given stay as they were")
def kept(pad_batch, case):
    sequences = [[5, 6], [7], [8, 9, 10]]
    case.call(pad_batch, sequences, 6, **SPECIAL)
    case.true(sequences == [[5, 6], [7], [8, 9, 10]], "the same lists", sequences)
