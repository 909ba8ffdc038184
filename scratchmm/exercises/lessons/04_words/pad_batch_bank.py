"""Wrong and other right answers to bpe.pad_batch."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("04_words/pad_batch").exercise


def frame(sequences, length, start, end, least=2):
    """The rows before they are padded."""
    if length < least:
        raise ValueError(f"length {length} has no room")
    return [[start, *sequence[: length - 2], end] for sequence in sequences]


def rectangle(framed, length, pad):
    """Rows filled up behind, and where they are real."""
    rows = [row + [pad] * (length - len(row)) for row in framed]
    real = [[i < len(row) for i in range(length)] for row in framed]
    shape = -1, len(rows[0]) if rows else length
    kinds = torch.int64, torch.bool
    return tuple(torch.tensor(x, dtype=k).view(shape if rows else (0, length))
                 for x, k in zip((rows, real), kinds, strict=True))  # fmt: skip


exercise.edit(
    "lists-only",
    ("[start, *sequence[: length - 2], end]", "[start] + sequence[: length - 2] + [end]"),
    story="a list is added to a sequence, which fails where that is a tuple",
    advice="[start, *sequence[: length - 2], end] takes any sequence",
)
exercise.edit(
    "none-refused",
    ("if length < 2:", "if length < 2 or not sequences:"),
    story="no sequences are refused",
    advice="they make a rectangle of no rows: (0, length)",
)
exercise.edit(
    "none-without-length",
    ("tokens = torch.full((len(sequences), length), pad, dtype=torch.int64)",
     "if not sequences:\n        return torch.tensor([]), torch.tensor([])\n"
     "    tokens = torch.full((len(sequences), length), pad, dtype=torch.int64)"),
    story="no sequences make a tensor of floats without the axis of the length",
    advice="torch.full((B, length), pad, dtype=torch.int64), which may have no rows",
)  # fmt: skip


@exercise.wrong(
    "end-cut-off",
    story="a long sequence is cut after the end was put on, so it loses its end token",
    advice="cut the tokens to length - 2 first, then put start and end around them",
)
def end_cut_off(sequences, length, *, start, end, pad):
    frame(sequences, length, start, end)
    return rectangle([[start, *s, end][:length] for s in sequences], length, pad)


@exercise.wrong(
    "start-forgotten",
    story="the rows have no start token",
    advice="each row begins with start",
)
def start_forgotten(sequences, length, *, start, end, pad):
    return rectangle([row[1:] for row in frame(sequences, length, start, end)], length, pad)


@exercise.wrong(
    "end-forgotten",
    story="the rows have no end token",
    advice="the end follows the last token: it is where the sentence is read",
)
def end_forgotten(sequences, length, *, start, end, pad):
    return rectangle([row[:-1] for row in frame(sequences, length, start, end)], length, pad)


@exercise.wrong(
    "end-after-padding",
    story="the end token stands in the last place, behind the padding",
    advice="the end follows the last token; padding comes behind it",
)
def end_after_padding(sequences, length, *, start, end, pad):
    framed = frame(sequences, length, start, end)
    tokens, real = rectangle([row[:-1] for row in framed], length, pad)
    tokens[:, -1], real[:, -1] = end, True
    return tokens, real


@exercise.wrong(
    "mask-inverted",
    story="True and False of the mask are exchanged: True on padding",
    advice="True means real, as everywhere in this library",
)
def mask_inverted(sequences, length, *, start, end, pad):
    tokens, real = rectangle(frame(sequences, length, start, end), length, pad)
    return tokens, ~real


@exercise.wrong(
    "mask-without-frame",
    story="the mask is True on the tokens only, not on start and end",
    advice="start and end are real too: False is for padding alone",
)
def mask_without_frame(sequences, length, *, start, end, pad):
    framed = frame(sequences, length, start, end)
    tokens, _ = rectangle(framed, length, pad)
    return tokens, torch.tensor([[0 < i < len(r) - 1 for i in range(length)] for r in framed])


@exercise.wrong(
    "mask-without-end",
    story="the mask is False on the end token",
    advice="count the end as well: it is real, and the sentence is read there",
)
def mask_without_end(sequences, length, *, start, end, pad):
    framed = frame(sequences, length, start, end)
    _, real = rectangle([row[:-1] for row in framed], length, pad)
    return rectangle(framed, length, pad)[0], real


@exercise.wrong(
    "mask-by-number",
    story="the mask is tokens != pad, so it hides real tokens of the same number",
    advice="CLIP pads with its end token: set the mask by place, while you write the row",
)
def mask_by_number(sequences, length, *, start, end, pad):
    tokens, _ = rectangle(frame(sequences, length, start, end), length, pad)
    return tokens, tokens != pad


@exercise.wrong(
    "mask-of-ints",
    story="the mask holds 1 and 0",
    advice="masks are bool: dtype=torch.bool",
    convention=True,
)
def mask_of_ints(sequences, length, *, start, end, pad):
    tokens, real = rectangle(frame(sequences, length, start, end), length, pad)
    return tokens, real.long()


@exercise.wrong(
    "padded-with-zeros",
    story="the padding is 0 and not pad",
    advice="begin with torch.full((B, length), pad)",
)
def padded_with_zeros(sequences, length, *, start, end, pad):
    return rectangle(frame(sequences, length, start, end), length, 0)


@exercise.wrong(
    "padded-with-end",
    story="the padding is the end token",
    advice="some of the published models do that; here pad says what to fill with",
    convention=True,
)
def padded_with_end(sequences, length, *, start, end, pad):
    return rectangle(frame(sequences, length, start, end), length, end)


@exercise.wrong(
    "padded-on-the-left",
    story="the padding stands before the start token",
    advice="models that write on do that; here padding stands behind, where nobody looks",
    convention=True,
)
def padded_on_the_left(sequences, length, *, start, end, pad):
    framed = [row[::-1] for row in frame(sequences, length, start, end)]
    tokens, real = rectangle(framed, length, pad)
    return tokens.flip(1), real.flip(1)


@exercise.wrong(
    "longest-row",
    story="the rectangle is as wide as its longest row, not length wide",
    advice="T is length, so that every batch has the same shape",
    convention=True,
)
def longest_row(sequences, length, *, start, end, pad):
    framed = frame(sequences, length, start, end)
    return rectangle(framed, max(map(len, framed)), pad)


@exercise.wrong(
    "first-tokens-lost",
    story="a long sequence loses its first tokens",
    advice="keep the first length - 2 tokens",
)
def first_tokens_lost(sequences, length, *, start, end, pad):
    cut = [sequence[max(0, len(sequence) - length + 2) :] for sequence in sequences]
    return rectangle(frame(cut, length, start, end), length, pad)


@exercise.wrong(
    "one-token-lost",
    story="a row that is full, or too long, has one token less than fits",
    advice="length - 2 tokens fit between start and end",
)
def one_token_lost(sequences, length, *, start, end, pad):
    cut = [sequence[: max(0, length - 3)] for sequence in sequences]
    return rectangle(frame(cut, length, start, end), length, pad)


@exercise.wrong(
    "int32",
    story="the tokens are int32",
    advice="embeddings are looked up with int64, torch's own choice",
)
def int32(sequences, length, *, start, end, pad):
    tokens, real = rectangle(frame(sequences, length, start, end), length, pad)
    return tokens.int(), real


@exercise.wrong(
    "not-refused",
    story="a length without room for start and end gives rows without an end",
    advice="raise ValueError where length is below 2",
)
def not_refused(sequences, length, *, start, end, pad):
    if length < 2:
        return rectangle([[start][:length] for _ in sequences], length, pad)
    return rectangle(frame(sequences, length, start, end), length, pad)


@exercise.wrong(
    "in-place",
    story="start and end are put into the caller's lists",
    advice="insert and append change what was passed in: build a new list",
)
def in_place(sequences, length, *, start, end, pad):
    framed = frame(sequences, length, start, end)
    for sequence, row in zip(sequences, framed, strict=True):
        sequence[:] = row
    return rectangle(framed, length, pad)


@exercise.disguise("mask-by-number")
def mask_by_number_too(sequences, length, *, start, end, pad):
    tokens, real = rectangle(frame(sequences, length, start, end), length, pad)
    real = torch.ones_like(real)
    real[tokens == pad] = False
    return tokens, real


@exercise.disguise("end-cut-off")
def end_cut_off_too(sequences, length, *, start, end, pad):
    if length < 2:
        raise ValueError("no room")
    tokens, real = torch.full((len(sequences), length), pad), []
    for row, sequence in zip(tokens, sequences, strict=True):
        row[0] = start
        for i, token in enumerate([*sequence, end][: length - 1], 1):
            row[i] = token
        real.append(torch.arange(length) < len(sequence) + 2)
    return tokens, torch.stack(real)


@exercise.right("lists")
def lists(sequences, length, *, start, end, pad):
    return rectangle(frame(sequences, length, start, end), length, pad)


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
