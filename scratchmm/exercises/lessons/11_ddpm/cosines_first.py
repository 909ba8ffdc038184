"""Exercise sinusoids.cosines_first: a timestep as the hands of many clocks."""

import math

import torch
from torch import Tensor

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="sinusoids.cosines_first",
    order=30,
    target="scratchmm.layers.embeddings:cosines_first",
    title="The timestep embedding",
    goal="cosines, then sines, of each timestep times the speeds 10000^(-i / (width / 2))",
    minutes=10,
    difficulty=2,
    section="The timestep embedding",
    hints=(
        "Width 4, so two clocks, of the speeds 1 and 1 / 100. The timestep 3 becomes [cos 3, cos "
        "0.03, sin 3, sin 0.03]. Timestep 0 is [1, 1, 0, 0]: all hands are up.",
        "One number between 0 and 999 says little to a network. Many hands, fast and slow, tell near "
        "timesteps apart and far ones too. It is what words get for their places, except that here "
        "the numbers are given, may repeat, and all cosines stand before all sines.",
        "Half as many clocks as the width, after an odd width is refused. Their exponents: i over "
        "that half, for i from 0 on, in floats. Angles: each timestep (B, 1) times each speed: (B, "
        "width / 2). Join cosines and sines along the last axis, in float32.",
        "exponent = torch.arange(half, dtype=torch.float64) / half; angle = timesteps.double()"
        "[:, None] * 10000.0 ** -exponent; torch.cat([angle.cos(), angle.sin()], dim=-1).float()",
    ),
)


def slow(timesteps: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The oracle: one number after the other."""
    half = width // 2
    table = torch.zeros(len(timesteps), width, dtype=torch.float64)
    for row, timestep in enumerate(timesteps.tolist()):
        for i in range(half):
            angle = timestep / 10000 ** (i / half)
            table[row, i], table[row, half + i] = math.cos(angle), math.sin(angle)
    return table.to(dtype)


def given(case, *timesteps, dtype=torch.int64):
    return case.named(torch.tensor(timesteps, dtype=dtype), "B")


@exercise.holds("a row for each timestep, float32")
def shape(cosines_first, case):
    case.sizes.update(D=6)
    got = case.call(cosines_first, given(case, 3, 700, 3, 41, 5), 6)
    case.shape(got, "B D")
    case.equal(got.dtype, torch.float32, "the dtype")


@exercise.holds("at timestep 0 all hands are up: the cosines 1, then the sines 0")
def up(cosines_first, case):
    got = case.call(cosines_first, given(case, 0), 6)
    case.equal(got, torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]]))


@exercise.holds("the first clock turns one radian a timestep, its sine at column width / 2")
def fastest(cosines_first, case):
    got = case.call(cosines_first, given(case, 2, 3, 5), 8)
    expected = torch.tensor([[math.cos(t), math.sin(t)] for t in (2, 3, 5)])
    case.equal(got[:, [0, 4]], expected, "columns 0 and 4")


@exercise.holds("clock i turns 1 / 10000^(i / (width / 2)) radians a timestep")
def every_clock(cosines_first, case):
    for width in (2, 6, 14):
        timesteps = given(case, 7, 2, 13)
        case.equal(case.call(cosines_first, timesteps, width), slow(timesteps, width))


@exercise.holds(
    "it counts which timestep it is, not where in the batch it stands or what else does"
)
def any_order(cosines_first, case):
    timesteps = given(case, 900, 4, 4, 350)
    got = case.call(cosines_first, timesteps, 10)
    case.equal(got, slow(timesteps, 10))
    alone = case.call(cosines_first, given(case, 350), 10)
    case.equal(alone[0], got[3], "timestep 350 alone")


@exercise.holds("whole timesteps of any dtype count alike")
def whole(cosines_first, case):
    for dtype in (torch.int32, torch.uint8, torch.float32):
        timesteps = given(case, 3, 41, 200, dtype=dtype)
        case.equal(case.call(cosines_first, timesteps, 8), slow(timesteps, 8))


@exercise.holds("timesteps between whole ones, in any dtype, give float32 as exact as others")
def any_dtype(cosines_first, case):
    for dtype in (torch.float32, torch.float16, torch.float64):
        timesteps = given(case, 0.5, 99.5, 3.25, dtype=dtype)
        case.equal(case.call(cosines_first, timesteps, 8), slow(timesteps, 8))


@exercise.holds("late timesteps are told apart too: 256 from 257, 999 from 1000, 2048 from 2049")
def late(cosines_first, case):
    timesteps = given(case, 256, 257, 999, 1000, 2048, 2049)
    got = case.call(cosines_first, timesteps, 6)
    case.equal(got, slow(timesteps, 6), tolerance=3e-3)  # as exact as float32 angles are


@exercise.holds("the result has the dtype that is asked for, though angles need a finer one")
def asked_for(cosines_first, case):
    for dtype in (torch.float64, torch.float16):
        timesteps = given(case, 999, 7)
        got = case.call(cosines_first, timesteps, 6, dtype)
        fine = 1e-2 if dtype == torch.float16 else 3e-4  # as exact as float32 angles are
        case.equal(got, slow(timesteps, 6, dtype), tolerance=fine)


@exercise.holds("an odd width is refused by a ValueError")
def odd(cosines_first, case):
    case.refuses(ValueError, cosines_first, given(case, 1, 2), 7)


@exercise.holds("the timesteps are left as they were")
def unchanged(cosines_first, case):
    case.call(cosines_first, given(case, 1.5, 20.0, dtype=torch.float64), 6)
    case.unchanged()
