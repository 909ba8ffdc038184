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
    hints="""
        1. Length 4, start 1, end 2, pad 0: [5] becomes [1, 5, 2, 0] with the mask T T T F, and [6,
           7, 8] becomes [1, 6, 7, 2]: token 8 has no room, the end has.
        2. A model takes a rectangle, so short rows are filled up at their end. What is real is
           known while you write, not from the numbers: the padding may be a number that means
           something else elsewhere. CLIP pools at the end token, so it is never cut off.
        3. A rectangle (B, length) full of pad, int64, and one of False. For each row: the start, at
           most length - 2 tokens, the end; write them at the left and set the mask to True there. A
           length below 2 has no room for start and end: ValueError.
        4. framed = [start, *sequence[: length - 2], end]; tokens[row, : len(framed)] =
           torch.tensor(framed); real[row, : len(framed)] = True
    """,
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


@exercise.holds("each row is start, tokens (or none), end, padding; the mask is False on padding")
def rows(pad_batch, case):
    sequences = sentences(case, 3, 1, 0, 4)
    got = case.call(pad_batch, [*map(list, sequences)], 7, **SPECIAL)
    case.equal(got, slow(sequences, 7, **SPECIAL))


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


@exercise.holds("the sequences that were given stay as they were")
def kept(pad_batch, case):
    sequences = [[5, 6], [7], [8, 9, 10]]
    case.call(pad_batch, sequences, 6, **SPECIAL)
    case.true(sequences == [[5, 6], [7], [8, 9, 10]], "the same lists", sequences)


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


exercise.mistakes("""
    end-cut-off: a long sequence is cut after the end was added, so it loses its end token
    - framed = [start, *sequence[: length - 2], end]
    + framed = [start, *sequence, end][:length]
    > cut the tokens to length - 2 first, then put start and end around them

    end-after-padding: the end token stands in the last place, behind the padding
    - framed = [start, *sequence[: length - 2], end]
    + framed = [start, *sequence[: length - 2]]
    - real[row, : len(framed)] = True
    + real[row, : len(framed)] = True
    + tokens[row, -1], real[row, -1] = end, True
    > the end follows the last token; padding comes behind it

    mask-by-number: the mask is tokens != pad, so it hides real tokens of the same number
    - return tokens, real
    + return tokens, tokens != pad
    > CLIP pads with its end token: set the mask by place, while you write the row

    padded-on-the-left [convention]: the padding stands before the start token
    - tokens[row, : len(framed)] = torch.tensor(framed)
    - real[row, : len(framed)] = True
    + tokens[row, length - len(framed) :] = torch.tensor(framed)
    + real[row, length - len(framed) :] = True
    > a batch that is to be continued is padded so; here padding stands at the end

    longest-row [convention]: the rectangle is as wide as its longest row, not length wide
    - return tokens, real
    + width = min(length, 2 + max(map(len, sequences)))
    + return tokens[:, :width], real[:, :width]
    > T is length, so that every batch has the same shape

    first-tokens-lost: a long sequence loses its first tokens
    - framed = [start, *sequence[: length - 2], end]
    + framed = [start, *sequence[max(0, len(sequence) - length + 2) :], end]
    > keep the first length - 2 tokens

    not-refused: a length without room for start and end gives rows without an end
    - if length < 2:
    + if length < 0:
    - framed = [start, *sequence[: length - 2], end]
    + framed = [start, *sequence[: max(0, length - 2)], end][:length]
    > raise ValueError where length is below 2

    in-place: start and end are put into the caller's lists
    - framed = [start, *sequence[: length - 2], end]
    + framed = [start, *sequence[: length - 2], end]
    + sequence[:] = framed
    > insert and append change what was passed in: build a new list
""")

exercise.slips("""
    [start, *sequence[: length - 2], end] => [*sequence[: length - 2], end]
    [start, *sequence[: length - 2], end] => [start, *sequence[: length - 2]]
    [start, *sequence[: length - 2], end] => [start] + sequence[: length - 2] + [end]
    real[row, : len(framed)] => real[row, : len(framed) - 1]
    pad, dtype=torch.int64 => 0, dtype=torch.int64
    length < 2 => length < 2 or not sequences
    return tokens, real => return tokens, ~real
    return tokens, real => return tokens.int(), real
    return tokens, real => return (tokens, real) if sequences else (torch.tensor([]),) * 2
    tokens, real => tokens, real.long()
    torch.full((len(sequences), length), pad, dtype=torch.int64) => torch.full((len(sequences),
        length), end, dtype=torch.int64)
    real[row, : len(framed)] => real[row, 1 : len(framed) - 1]
""")


@exercise.right("lists")
def lists(sequences, length, *, start, end, pad):
    if length < 2:
        raise ValueError("no room for start and end")
    framed = [[start, *sequence[: length - 2], end] for sequence in sequences]
    tokens = [row + [pad] * (length - len(row)) for row in framed]
    real = [[i < len(row) for i in range(length)] for row in framed]
    rectangle = len(framed), length
    return torch.tensor(tokens).long().view(rectangle), torch.tensor(real).bool().view(rectangle)


@exercise.right("by counting")
def by_counting(sequences, length, *, start, end, pad):
    if length < 2:
        raise ValueError("no room for start and end")
    counts = torch.tensor([min(len(sequence), length - 2) for sequence in sequences])
    places = torch.arange(length)
    tokens = torch.full((len(sequences), length), pad)
    tokens[:, 0] = start
    for row, sequence in enumerate(sequences):
        for place in range(int(counts[row])):
            tokens[row, place + 1] = sequence[place]
    tokens[places == counts[:, None] + 1] = end
    return tokens, places < counts[:, None] + 2
