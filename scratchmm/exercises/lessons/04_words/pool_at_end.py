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
    hints="""
        1. Tokens [[7, 3, 9, 9]] with end token 9, and the vectors 0, 1, 2, 3: the answer is 2.
           Place 2 holds the first 9; the 9 behind it is padding.
        2. In a causal transformer a token has read what stands before it, so only the end token
           knows the whole sentence. It stands at another place in every text, and some models pad
           with the very same number. So find the first one, in each row by itself.
        3. tokens == end_token is bool (B, T). A row without any True: ValueError. As whole numbers,
           its argmax along T is the first True: (B,). Then take from hidden (B, T, D), for each row
           number, the place found in that row: two index tensors of B numbers, (B, D).
        4. first = (tokens == end_token).int().argmax(dim=1); return
           hidden[torch.arange(len(hidden), device=hidden.device), first]; before that, refuse
           unless ends.any(dim=1).all()
    """,
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


def ends(tokens, end_token):
    """Where the end tokens are; a text without one is refused."""
    found = tokens == end_token
    if not bool(found.any(1).all()):
        raise ValueError("a text has no end token")
    return found


def first_end(tokens, end_token):
    return ends(tokens, end_token).int().argmax(1)


exercise.mistakes("""
    last-place: the last place of each row is taken, which is padding
    - torch.arange(hidden.shape[0], device=hidden.device), first
    + :, -1
    > the end token stands at another place in each text: look for it

    first-place: the first place of each row is taken, as for an image's class token
    - torch.arange(hidden.shape[0], device=hidden.device), first
    + :, 0
    > a causal transformer's first token has attended to nothing else; look for the end token

    mean-to-the-end [convention]: the mean over the text is taken, up to the end token
    - return hidden[torch.arange(hidden.shape[0], device=hidden.device), first]
    + real = (torch.arange(hidden.shape[1]) <= first[:, None])[:, :, None]
    + return (hidden * real).sum(1) / real.sum(1)
    > take one vector, that of the end token: it has attended to all the others

    highest-id [convention]: the place of the highest token id is taken
    - first = ends.int().argmax(dim=1)
    + first = tokens.argmax(dim=1)
    > OpenAI's code does that, as its end token has the highest id; here end_token says which

    last-end: the last end token is taken, which may be padding
    - first = ends.int().argmax(dim=1)
    + first = ends.shape[1] - 1 - ends.int().flip(1).argmax(dim=1)
    > the first end token closes the sentence; those behind it fill up the row

    one-before: the vector before the end token is taken
    - [torch.arange(hidden.shape[0], device=hidden.device), first]
    + [torch.arange(hidden.shape[0]), first - 1]
    > the end token itself: the place found, without - 1

    one-behind: the vector behind the end token is taken
    - [torch.arange(hidden.shape[0], device=hidden.device), first]
    + [torch.arange(hidden.shape[0]), (first + 1) % hidden.shape[1]]
    > argmax gives a place that begins with 0, as indexing does: no + 1

    sum-of-ends: the vectors of all end tokens are added up
    - return hidden[torch.arange(hidden.shape[0], device=hidden.device), first]
    + return (hidden * ends[:, :, None]).sum(1)
    > only the first end token counts, though the mask marks all

    length-kept: the axis of the length is still there: (B, 1, D)
    - [torch.arange(hidden.shape[0], device=hidden.device), first]
    + [torch.arange(hidden.shape[0]), first][:, None]
    > after gather, squeeze the axis of the length away

    refused-if-all-lack-it: only a batch in which no text has an end token is refused
    - check_ends(ends, end_token)
    + if not ends.any():
    +     raise ValueError(f"no text has the end token {end_token}")
    > each row needs one: any(dim=1), then all()

    tokens-overwritten: the caller's tokens are overwritten
    - return hidden[torch.arange(hidden.shape[0], device=hidden.device), first]
    + tokens.copy_(ends)
    + return hidden[torch.arange(hidden.shape[0], device=hidden.device), first]
    > work on the comparison tokens == end_token, which is a new tensor
""")

exercise.slips("""
    hidden[torch.arange(hidden.shape[0], device=hidden.device), first] => hidden.mean(1)
    torch.arange(hidden.shape[0], device=hidden.device) => :
""")


@exercise.right("gather")
def gathering(hidden, tokens, end_token):
    places = first_end(tokens, end_token)[:, None, None].expand(-1, 1, hidden.shape[2])
    return hidden.gather(1, places).squeeze(1)


@exercise.right("mask")
def masking(hidden, tokens, end_token):
    found = ends(tokens, end_token)
    return hidden[found & (found.cumsum(1) == 1)]
