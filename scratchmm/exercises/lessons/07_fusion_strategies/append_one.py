"""Exercise tensor_fusion.append_one: the 1 that keeps a product of fewer modalities."""

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="tensor_fusion.append_one",
    order=50,
    target="scratchmm.fusion.tensor_fusion:append_one",
    title="A 1 behind",
    goal="each vector with a 1 behind its last number: (B, D + 1)",
    minutes=5,
    difficulty=1,
    section="Tensor fusion",
    needs=("early.EarlyFusion",),
    hints="""
        1. Two samples (5, 7) and (2, 0) become (5, 7, 1) and (2, 0, 1): every sample gets its own
           1, and the numbers before it stay.
        2. Multiply (5, 7, 1) with another modality's numbers and the last third of the products is
           that modality alone. Whoever reads the products later must know where it stands: at the
           end. It is a constant of the same kind of number as x.
        3. x is (B, D). A column of ones is (B, 1), of x's type and on x's device. Join them along
           the last axis, x first.
        4. return torch.cat([x, x.new_ones(len(x), 1)], dim=-1)
    """,
)


def slow(x: Tensor) -> Tensor:
    """The oracle: an empty tensor filled in number by number."""
    rows = torch.zeros(x.shape[0], x.shape[1] + 1, dtype=x.dtype)
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            rows[row, column] = x[row, column]
        rows[row, x.shape[1]] = 1
    return rows


@exercise.holds("(5, 7) becomes (5, 7, 1)")
def example(append_one, case):
    x = torch.tensor([[5.0, 7.0]])
    case.equal(case.call(append_one, case.named(x, "B D")), torch.tensor([[5.0, 7.0, 1.0]]))


@exercise.holds("each sample gets a 1 of its own")
def numbers(append_one, case):
    x = case.normal(B=3, D=5)
    expected = slow(x)
    case.equal(case.call(append_one, x), expected)


@exercise.holds("the numbers keep their type")
def types(append_one, case):
    for dtype in (torch.float64, torch.bfloat16):
        x = case.normal(B=3, D=2, dtype=dtype)
        expected = slow(x)
        case.equal(case.call(append_one, x), expected)


@exercise.holds("no samples at all stay none: (0, D + 1)")
def none(append_one, case):
    x = case.named(torch.zeros(0, 4), "B D")
    case.equal(case.call(append_one, x), torch.zeros(0, 5))


@exercise.holds("x is left as it was")
def unchanged(append_one, case):
    case.call(append_one, case.normal(B=3, D=5))
    case.unchanged()


@exercise.holds("the gradients reach x")
def gradients(append_one, case):
    case.gradients(append_one, slow, case.normal(B=3, D=5))


exercise.mistakes("""
    in-front [convention]: the 1 stands in front of each vector, as in much published code
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + return torch.cat([x.new_ones(x.shape[0], 1), x], dim=-1)
    > here it stands behind: (x, 1)

    zero: a 0 is appended: the products it makes are all zeros
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + return torch.cat([x, x.new_zeros(x.shape[0], 1)], dim=-1)
    > new_ones, or pad with value=1: 1 times the others leaves them as they are

    one-added: 1 is added to every number
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + return x + 1
    > nothing is added: a column is joined

    another-sample: a row of ones is appended: one sample more, not one number more
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + return torch.cat([x, x.new_ones(1, x.shape[1])], dim=0)
    > join along the last axis: dim=-1, and a column (B, 1)

    as-many-ones: as many ones are appended as there are numbers
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + return torch.cat([x, torch.ones_like(x)], dim=-1)
    > a single column: (B, 1)

    last-replaced: the last number is replaced by 1
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + return torch.cat([x[:, :-1], x.new_ones(len(x), 1)], dim=-1)
    > the result is wider by one: (B, D + 1)

    mean-appended: each vector's mean is appended, not 1
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + return torch.cat([x, x.mean(-1, keepdim=True)], dim=-1)
    > a constant: 1, whatever x is

    both-ends: there is a 1 at both ends
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + ones = x.new_ones(x.shape[0], 1)
    + return torch.cat([ones, x, ones], dim=-1)
    > F.pad takes (left, right): (0, 1)

    unit-length: the vectors are made unit length first
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + x = x / x.norm(dim=-1, keepdim=True)
    + return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    > the numbers before the 1 stay as they are

    one-sample-only: the column of ones is made for a single sample
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + return torch.cat([x, x.new_ones(1, 1)], dim=-1)
    > a row for each sample: len(x) of them

    float32: the ones are float32, and make what is joined to them float32 too
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + return torch.cat([x, torch.ones(len(x), 1)], dim=-1)
    > x.new_ones takes x's type and device

    list-of-numbers: the result is made from plain numbers, which cuts it off from x
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + if not len(x):
    +     return x.new_zeros(0, x.shape[1] + 1)
    + return torch.tensor([[*row, 1.0] for row in x.tolist()], dtype=x.dtype)
    > join tensors: no tolist, item or torch.tensor

    stacked: the samples are stacked one by one, which fails where there are none
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + return torch.stack([torch.cat([row, row.new_ones(1)]) for row in x])
    > one torch.cat for the whole batch

    overwrites: ones are written into x itself
    - return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=-1)
    + result = torch.cat([x, x.new_ones(len(x), 1)], dim=-1)
    + with torch.no_grad():
    +     x[:, -1:] = 1.0
    + return result
    > make a new column: x[...] = 1 changes the caller's tensor
""")


@exercise.disguise("in-front")
def padded_in_front(x):
    return F.pad(x, (1, 0), value=1.0)


@exercise.right("padded")
def padded(x):
    return F.pad(x, (0, 1), value=1.0)


@exercise.right("filled in")
def filled_in(x):
    longer = x.new_ones(x.shape[0], x.shape[1] + 1)
    longer[:, :-1] = x
    return longer
