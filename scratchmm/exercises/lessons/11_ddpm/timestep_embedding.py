"""Exercise unet_blocks.timestep_embedding: a timestep as sines and cosines of many frequencies."""

import math

import torch
from torch import Tensor

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="unet_blocks.timestep_embedding",
    order=30,
    target="scratchmm.diffusion.unet_blocks:timestep_embedding",
    title="The timestep embedding",
    goal="sines, then cosines, of each timestep times 10000^(-i / (width / 2 - frequency_shift))",
    minutes=10,
    difficulty=2,
    section="The timestep embedding",
    hints=(
        "Width 4, so two frequencies; with a shift of 0 they are 1 and 1 / 100, with 1 they are 1 and 1 "
        "/ 10000. With shift 0 the timestep 3 becomes [sin 3, sin 0.03, cos 3, cos 0.03], flipped [cos "
        "3, cos 0.03, sin 3, sin 0.03].",
        "One number between 0 and 999 tells little to a network. Many sinusoids, fast and slow, tell "
        "near timesteps apart and far ones too. It is the position encoding of a transformer, except "
        "that here the numbers are given, may repeat, and all sines stand before all cosines. Published "
        "weights were trained with one order and one shift, so both are arguments.",
        "Half as many frequencies as the width, after an odd width is refused. Their exponents: i over "
        "that half less the shift (but at least 1), for i from 0 on, in floats. Angles: each timestep "
        "(B, 1) times each frequency: (B, width / 2). Join both along the last axis, in dtype.",
        "exponent = torch.arange(half, dtype=torch.float64) / max(half - frequency_shift, 1); angle = "
        "timesteps.double()[:, None] * 10000.0 ** -exponent; both = [angle.sin(), angle.cos()], the "
        "other way round if flipped; torch.cat(both, dim=-1).to(dtype)",
    ),
)


def slow(
    timesteps: Tensor, width: int, dtype: torch.dtype = torch.float32,
    *, flip_sin_to_cos: bool = False, frequency_shift: int = 1,
) -> Tensor:  # fmt: skip
    """The oracle: one number after the other."""
    half = width // 2
    sines, cosines = (half, 0) if flip_sin_to_cos else (0, half)
    table = torch.zeros(len(timesteps), width, dtype=torch.float64)
    for row, timestep in enumerate(timesteps.tolist()):
        for i in range(half):
            angle = timestep / 10000 ** (i / max(half - frequency_shift, 1))
            table[row, sines + i], table[row, cosines + i] = math.sin(angle), math.cos(angle)
    return table.to(dtype)


# As Improved DDPM, Stable Diffusion and unCLIP have them.
OTHER = {"flip_sin_to_cos": True, "frequency_shift": 0}


def given(case, *timesteps, dtype=torch.int64):
    return case.named(torch.tensor(timesteps, dtype=dtype), "B")


@exercise.holds("a row for each timestep, float32")
def shape(timestep_embedding, case):
    case.sizes.update(D=6)
    got = case.call(timestep_embedding, given(case, 3, 700, 3, 41, 5), 6)
    case.shape(got, "B D")
    case.equal(got.dtype, torch.float32, "the dtype")


@exercise.holds("at timestep 0 the sines are 0, and the cosines behind them 1")
def zero(timestep_embedding, case):
    got = case.call(timestep_embedding, given(case, 0), 6)
    case.equal(got, torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]))


@exercise.holds("the first frequency is one radian a timestep, its cosine at column width / 2")
def fastest(timestep_embedding, case):
    got = case.call(timestep_embedding, given(case, 2, 3, 5), 8)
    expected = torch.tensor([[math.sin(t), math.cos(t)] for t in (2, 3, 5)])
    case.equal(got[:, [0, 4]], expected, "columns 0 and 4")


@exercise.holds("frequency i is 1 / 10000^(i / (width / 2 - 1)) radians a timestep")
def every_frequency(timestep_embedding, case):
    for width in (2, 6, 14):
        timesteps = given(case, 7, 2, 13)
        case.equal(case.call(timestep_embedding, timesteps, width), slow(timesteps, width))


@exercise.holds("a frequency shift of 0 divides i by width / 2: the last is above 1 / 10000")
def unshifted(timestep_embedding, case):
    for width in (2, 6, 14):
        timesteps = given(case, 7, 2, 13)
        got = case.call(timestep_embedding, timesteps, width, frequency_shift=0)
        case.equal(got, slow(timesteps, width, frequency_shift=0))


@exercise.holds("flipped, the cosines come first; with and without a shift")
def flipped(timestep_embedding, case):
    for shift in (0, 1):
        options, timesteps = {**OTHER, "frequency_shift": shift}, given(case, 7, 2, 13)
        got = case.call(timestep_embedding, timesteps, 6, **options)
        case.equal(got, slow(timesteps, 6, **options))


@exercise.holds(
    "it counts which timestep it is, not where in the batch it stands or what else does"
)
def any_order(timestep_embedding, case):
    timesteps = given(case, 900, 4, 4, 350)
    got = case.call(timestep_embedding, timesteps, 10)
    case.equal(got, slow(timesteps, 10))
    alone = case.call(timestep_embedding, given(case, 350), 10)
    case.equal(alone[0], got[3], "timestep 350 alone")


@exercise.holds("whole timesteps of any dtype count alike")
def whole(timestep_embedding, case):
    for dtype in (torch.int32, torch.uint8, torch.float32):
        timesteps = given(case, 3, 41, 200, dtype=dtype)
        case.equal(case.call(timestep_embedding, timesteps, 8), slow(timesteps, 8))


@exercise.holds("timesteps between whole ones, in any dtype, give float32 as exact as others")
def any_dtype(timestep_embedding, case):
    for dtype in (torch.float32, torch.float16, torch.float64):
        timesteps = given(case, 0.5, 99.5, 3.25, dtype=dtype)
        case.equal(case.call(timestep_embedding, timesteps, 8), slow(timesteps, 8))


@exercise.holds("late timesteps are told apart too: 256 from 257, 999 from 1000, 2048 from 2049")
def late(timestep_embedding, case):
    timesteps = given(case, 256, 257, 999, 1000, 2048, 2049)
    got = case.call(timestep_embedding, timesteps, 6)
    case.equal(got, slow(timesteps, 6), tolerance=3e-3)  # as exact as float32 angles are


@exercise.holds("the result has the dtype that is asked for, though angles need a finer one")
def asked_for(timestep_embedding, case):
    for dtype in (torch.float64, torch.float16):
        timesteps = given(case, 999, 7)
        got = case.call(timestep_embedding, timesteps, 6, dtype)
        fine = 1e-2 if dtype == torch.float16 else 3e-4  # as exact as float32 angles are
        case.equal(got, slow(timesteps, 6, dtype), tolerance=fine)
        got = case.call(timestep_embedding, timesteps, 14, dtype)
        case.equal(got, slow(timesteps, 14, dtype), tolerance=fine)


@exercise.holds("an odd width is refused by a ValueError")
def odd(timestep_embedding, case):
    case.refuses(ValueError, timestep_embedding, given(case, 1, 2), 7)


@exercise.holds("the timesteps are left as they were")
def unchanged(timestep_embedding, case):
    case.call(timestep_embedding, given(case, 1.5, 20.0, dtype=torch.float64), 6)
    case.unchanged()
