"""Exercise attention.causal_mask: nobody looks into the future, everybody into the cache."""

import numpy as np
import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="attention.causal_mask",
    order=20,
    target="scratchmm.layers.attention:causal_mask",
    title="Nobody looks ahead",
    goal="bool (length, past + length): position i sees the past, itself and what came before",
    minutes=10,
    difficulty=2,
    section="The causal mask",
    needs=("attention.attend",),
    hints="""
        1. For length 2 and no past: the first position sees itself only, the second both: [[T, F],
           [T, T]]. With one earlier position in a cache, one column of True comes before.
        2. A word is predicted from those before it, so during training none may see what follows.
           While text is written, the cache holds earlier positions: query i then stands at place
           past + i of the keys. The lesson shows the triangle beside the sentence.
        3. One row for each of the new positions, one column for each key, (length, past + length),
           bool. Row i is True in the columns 0 ... past + i. A lower triangle whose diagonal is
           moved to the right by past does it. Hand device on.
        4. torch.ones(length, past + length, dtype=torch.bool, device=device).tril(past)
    """,
)


@exercise.holds("a bool with a row for each position and a column for each key, past ones too")
def shape(causal_mask, case):
    case.sizes.update(L=4, S=7)
    got = case.call(causal_mask, 4, 3)
    case.shape(got, "L S")
    case.equal(got.dtype, torch.bool)


@exercise.holds("without a past, position i sees exactly the positions 0 ... i")
def triangle(causal_mask, case):
    expected = [[j <= i for j in range(5)] for i in range(5)]
    case.equal(case.call(causal_mask, 5).tolist(), expected)


@exercise.holds("with a past, position i sees exactly the keys 0 ... past + i")
def shifted(causal_mask, case):
    for length, past in ((4, 3), (2, 6), (5, 1)):
        expected = np.arange(past + length)[None] <= np.arange(length)[:, None] + past
        case.equal(case.call(causal_mask, length, past), torch.from_numpy(expected))


@exercise.holds("the rows of two steps through a cache are the rows of one step")
def in_steps(causal_mask, case):
    whole = case.call(causal_mask, 6)
    first, second = case.call(causal_mask, 4), case.call(causal_mask, 2, past=4)
    case.equal(first, whole[:4, :4], "the first four rows")
    case.equal(second, whole[4:], "the last two rows")


exercise.mistakes("""
    ahead: the triangle is the upper one: everybody sees the future and nobody the past
    - return everywhere.tril(diagonal=past)
    + return everywhere.triu(diagonal=past)
    > rows are queries, columns are keys: key j is seen where j <= past + i

    inverted: True and False are exchanged: True is where one may not look
    - return everywhere.tril(diagonal=past)
    + return ~everywhere.tril(diagonal=past)
    > in this library True means may be seen

    not-itself: a position does not see itself, so the first one sees nothing at all
    - return everywhere.tril(diagonal=past)
    + return everywhere.tril(diagonal=past - 1)
    > the diagonal belongs to what may be seen

    one-ahead: every position sees one position of the future
    - return everywhere.tril(diagonal=past)
    + return everywhere.tril(diagonal=past + 1)
    > the diagonal is moved by past, and not by one more

    diagonal-not-moved: the triangle starts at the left edge, as if the past were not there
    - return everywhere.tril(diagonal=past)
    + return everywhere.tril()
    > query i stands at place past + i of the keys

    past-forgotten: the keys of the past have no columns
    - everywhere = torch.ones(length, past + length, dtype=torch.bool, device=device)
    - return everywhere.tril(diagonal=past)
    + return torch.ones(length, length, dtype=torch.bool, device=device).tril()
    > there are past + length keys

    past-hidden: the columns of the past are False
    - return everywhere.tril(diagonal=past)
    + return everywhere.tril(diagonal=past) & (torch.arange(past + length) >= past)
    > what lies in the cache came before, so everyone sees it

    past-on-the-right: the columns of the past come after those of the new positions
    - return everywhere.tril(diagonal=past)
    + return everywhere.tril(diagonal=past).roll(-past, dims=1)
    > the cache puts old keys first

    transposed: rows and columns are exchanged: the shape is (past + length, length)
    - return everywhere.tril(diagonal=past)
    + return everywhere.tril(diagonal=past).mT
    > rows are queries, columns are keys

    added-mask [convention]: the mask is one of floats, 0 and -inf, to be added to the scores
    - return everywhere.tril(diagonal=past)
    + seen = everywhere.tril(diagonal=past)
    + return torch.zeros(seen.shape, device=device).masked_fill(~seen, -torch.inf)
    > this library's masks are bool, True = may be seen
""")


@exercise.disguise("one-ahead")
def one_ahead_by_comparing(length, past=0, device=None):
    places = torch.arange(past + length, device=device)
    return places[None] <= places[past:, None] + 1


@exercise.right("comparing")
def comparing(length, past=0, device=None):
    places = torch.arange(past + length, device=device)
    return places[None, :] <= places[past:, None]


@exercise.right("joined")
def joined(length, past=0, device=None):
    before = torch.ones(length, past, dtype=torch.bool, device=device)
    triangle = ~torch.ones(length, length, dtype=torch.bool, device=device).triu(1)
    return torch.cat([before, triangle], dim=1)
