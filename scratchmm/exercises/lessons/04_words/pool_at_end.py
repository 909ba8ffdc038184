"""Exercise text_transformer.pool_at_end: the one token that has read everything."""

import torch
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

END = 4  # not the highest id, so that looking for the highest does not help

exercise = Exercise(
    id="text_transformer.pool_at_end",
    order=50,
    target="scratchmm.language.text_transformer:pool_at_end",
    title="Read at the end",
    goal="the vector (B, D) at each text's first end token; ValueError for a text without one",
    minutes=10,
    difficulty=2,
    section="7. Train it: which token to pool?",
    needs=("bpe.pad_batch",),
    hints=(
        "Tokens [[7, 3, 9, 9]] with end token 9, and the vectors 0, 1, 2, 3: the answer is 2. Place "
        "2 holds the first 9; the 9 behind it is padding.",
        "In a causal transformer a token has read what stands before it, so only the end token knows "
        "the whole sentence. It stands at another place in every text, and some models pad with the "
        "very same number. So find the first one, in each row by itself.",
        "tokens == end_token is bool (B, T). A row without any True: ValueError. As whole numbers, "
        "its argmax along T is the first True: (B,). Then take from hidden (B, T, D), for each row "
        "number, the place found in that row: two index tensors of B numbers, (B, D).",
        "first = (tokens == end_token).int().argmax(dim=1); return hidden[torch.arange(len(hidden), "
        "device=hidden.device), first]; before that, refuse unless ends.any(dim=1).all()",
    ),
)


def texts(case: Case, *, repeated: bool = False) -> tuple[Tensor, Tensor]:
    """hidden (B, T, D), tokens (B, T), each text with its end at a place of its own."""
    hidden, tokens = case.normal(B=3, T=8, D=5), case.integers(0, 9, B=3, T=8)
    tokens[tokens == END] = 3
    for row, place in enumerate((case.permutation(5)[:3] + 1).tolist()):
        tokens[row, (place + 3) % 8] = 9
        tokens[row, place] = END
        if repeated:
            tokens[row, place + 1 :] = END
    return hidden, tokens


def slow(hidden, tokens, end_token):
    """The oracle: walk along each text until the end token."""
    found = []
    for row in range(len(tokens)):
        place = 0
        while int(tokens[row, place]) != end_token:
            place += 1
        found.append(hidden[row, place])
    return torch.stack(found)


@exercise.holds("one vector a text: (B, D)")
def shape(pool_at_end, case):
    case.shape(case.call(pool_at_end, *texts(case), END), "B D")


@exercise.holds("it is the vector at the end token, wherever that stands")
def at_end(pool_at_end, case):
    hidden, tokens = texts(case)
    expected = slow(hidden, tokens, END)
    case.equal(case.call(pool_at_end, hidden, tokens, END), expected)


@exercise.holds("where padding has the end token's number, the first one counts")
def first(pool_at_end, case):
    hidden, tokens = texts(case, repeated=True)
    expected = slow(hidden, tokens, END)
    case.equal(case.call(pool_at_end, hidden, tokens, END), expected)


@exercise.holds("the end may stand in the first place or in the last")
def edges(pool_at_end, case):
    hidden, tokens = texts(case)
    tokens[0, 0] = END
    tokens[2] = case.named(torch.arange(8) + 10, "T")
    tokens[2, -1] = END
    expected = slow(hidden, tokens, END)
    case.equal(case.call(pool_at_end, hidden, tokens, END), expected)


@exercise.holds("a batch in which nobody has the end token is refused with ValueError")
def refused(pool_at_end, case):
    case.refuses(ValueError, pool_at_end, *texts(case), 77)


@exercise.holds("it is refused as well if only one text has no end token")
def one_refused(pool_at_end, case):
    hidden, tokens = texts(case)
    tokens[1][tokens[1] == END] = 3
    case.refuses(ValueError, pool_at_end, hidden, tokens, END)


@exercise.holds("hidden and tokens are left as they were")
def unchanged(pool_at_end, case):
    case.call(pool_at_end, *texts(case, repeated=True), END)
    case.unchanged()


@exercise.holds("the gradient reaches hidden, at the end tokens alone")
def gradients(pool_at_end, case):
    case.gradients(pool_at_end, slow, *texts(case, repeated=True), END)
