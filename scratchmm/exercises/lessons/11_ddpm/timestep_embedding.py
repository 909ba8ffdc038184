"""Exercise unet_blocks.timestep_embedding: a timestep as sines and cosines of many frequencies."""

import math

import torch

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
    hints="""
        1. Width 4, so two frequencies; with a shift of 0 they are 1 and 1 / 100, with 1 they are 1
           and 1 / 10000. With shift 0 the timestep 3 becomes [sin 3, sin 0.03, cos 3, cos 0.03],
           flipped [cos 3, cos 0.03, sin 3, sin 0.03].
        2. Many sinusoids, fast and slow, tell near timesteps apart and far ones too. It is the
           position encoding of a transformer, but the timesteps are given, may repeat, and all
           sines come before all cosines. Published weights were trained with one order and one
           shift, so both are arguments.
        3. Half as many frequencies as the width, after an odd width is refused. Their exponents: i
           over that half less the shift (but at least 1), for i from 0 on, in floats. Angles: each
           timestep (B, 1) times each frequency: (B, width / 2). Join both along the last axis.
        4. exponent = torch.arange(half, dtype=torch.float64) / max(half - frequency_shift, 1);
           angle = timesteps.double()[:, None] * 10000.0 ** -exponent; both = [angle.sin(),
           angle.cos()], the other way round if flipped; torch.cat(both, dim=-1).to(dtype)
    """,
)


def slow(timesteps, width, dtype=torch.float32, *, flip_sin_to_cos=False, frequency_shift=1):
    """The oracle: one number after the other."""
    half = width // 2
    sines, cosines = (half, 0) if flip_sin_to_cos else (0, half)
    table = torch.zeros(len(timesteps), width, dtype=torch.float64)
    for row, timestep in enumerate(timesteps.tolist()):
        for i in range(half):
            angle = timestep / 10000 ** (i / max(half - frequency_shift, 1))
            table[row, sines + i], table[row, cosines + i] = math.sin(angle), math.cos(angle)
    return table.to(dtype)


def given(case, *timesteps, dtype=torch.int64):
    return case.named(torch.tensor(timesteps, dtype=dtype), "B")


@exercise.holds("a row for each timestep, float32; at timestep 0 the sines are 0, the cosines 1")
def zero(timestep_embedding, case):
    got = case.call(timestep_embedding, given(case, 0, 0), 6)
    case.equal(got, torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]] * 2))


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


@exercise.holds("a frequency shift of 0 divides i by width / 2; flipped, the cosines come first")
def options(timestep_embedding, case):
    for width, flip, shift in [(2, False, 0), (14, False, 0), (6, True, 0), (6, True, 1)]:
        timesteps = given(case, 7, 2, 13)
        options = {"flip_sin_to_cos": flip, "frequency_shift": shift}
        got = case.call(timestep_embedding, timesteps, width, **options)
        case.equal(got, slow(timesteps, width, **options))


@exercise.holds("timesteps of any dtype, whole or not, give float32 as exact as others")
def any_dtype(timestep_embedding, case):
    numbers = {torch.int32: (3, 41, 200), torch.uint8: (3, 41, 200)}
    for dtype in (torch.int32, torch.uint8, torch.float32, torch.float16, torch.float64):
        timesteps = given(case, *numbers.get(dtype, (0.5, 99.5, 3.25)), dtype=dtype)
        case.equal(case.call(timestep_embedding, timesteps, 8), slow(timesteps, 8))
        case.unchanged()


@exercise.holds("late timesteps are told apart too: 256 from 257, 999 from 1000, 2048 from 2049")
def late(timestep_embedding, case):
    timesteps = given(case, 256, 257, 999, 1000, 2048, 2049)
    got = case.call(timestep_embedding, timesteps, 6)
    case.equal(got, slow(timesteps, 6), tolerance=3e-3)  # as exact as float32 angles are


@exercise.holds("the result has the requested dtype, though angles need a finer one")
def result_dtype(timestep_embedding, case):
    for dtype, width in [(torch.float64, 6), (torch.float16, 6), (torch.float16, 14)]:
        timesteps = given(case, 999, 7)
        got = case.call(timestep_embedding, timesteps, width, dtype)
        fine = 1e-2 if dtype == torch.float16 else 3e-4  # as exact as float32 angles are
        case.equal(got, slow(timesteps, width, dtype), tolerance=fine)


@exercise.holds("an odd width is refused by a ValueError")
def odd(timestep_embedding, case):
    case.refuses(ValueError, timestep_embedding, given(case, 1, 2), 7)


exercise.mistakes("""
    angles-in-the-result's-dtype: angles have the result's dtype, and half precision is too coarse
    - angle = timesteps.double()[:, None] * torch.exp(-math.log(10000.0) * exponent)
    + angle = timesteps.double()[:, None] * torch.exp(-math.log(10000.0) * exponent)
    + angle = angle.to(dtype)
    > compute in float64 and bring only the sines and cosines to dtype

    cosines-first [convention]: the cosines come before the sines, and flipped behind them
    - if flip_sin_to_cos else
    + if not flip_sin_to_cos else
    > sines first, unless flip_sin_to_cos

    shift-ignored [convention]: the exponent runs to exactly 1, whatever the frequency shift
    - half - frequency_shift
    + half - 1
    > i / (width / 2 - frequency_shift): with a shift of 0 the last frequency is higher

    never-shifted [convention]: the exponent is i / (width / 2), whatever the frequency shift
    - max(half - frequency_shift, 1)
    + half
    > i / (width / 2 - frequency_shift): with a shift of 1 the last frequency is 1 / 10000

    interleaved [convention]: each sine stands beside its cosine, as in a transformer's positions
    - torch.cat(both, dim=-1)
    + torch.stack(both, dim=-1).flatten(1)
    > all sines, then all cosines: torch.cat, not torch.stack and flatten

    double-exponent: i counts columns in pairs already, but is doubled as 2 i / (width / 2)
    - * exponent)
    + * exponent * 2)
    > i / (width / 2), which is 2 i / width

    whole-timesteps: timesteps between whole ones are rounded off
    - timesteps.double()
    + timesteps.long().double()
    > a sampler may stand at timestep 99.5: no long() and no int()

    frequencies-in-their-dtype: frequencies get the timesteps' dtype: whole, all but the first are 0
    - timesteps.double()[:, None] * torch.exp(-math.log(10000.0) * exponent)
    + timesteps[:, None] * torch.exp(-math.log(10000.0) * exponent).to(timesteps.dtype).double()
    > frequencies are fractions: make the timesteps floats, not the frequencies whole
""")

exercise.slips("""
    (angle.cos(), angle.sin()) => (-angle.sin(), angle.cos())
    timesteps.double() => timesteps.bfloat16().double()
    max(half - frequency_shift, 1) => (half - frequency_shift)
    10000.0 => 1000.0
    math.log(10000.0) => math.log10(10000.0)
    torch.exp(-math.log(10000.0) * exponent) => (1 - exponent * (1 - 1e-4))
    torch.exp(-math.log(10000.0) * exponent) => (1 - exponent)
    timesteps.double() => torch.arange(len(timesteps)).double()
    timesteps.double() => (timesteps.double() / timesteps.double().max().clamp(min=1))
    torch.cat(both, dim=-1).to(dtype) => torch.cat(both, dim=-1).to(dtype).T
    return torch.cat => timesteps *= not timesteps.is_floating_point(); return torch.cat
    both = (angle.cos() => angle = angle.to(timesteps.dtype) if timesteps.is_floating_point() else
        angle; both = (angle.cos()
    check_divisible("width", width, "a pair of sine and cosine,", 2) => odd = width % 2 ;;
        torch.cat(both, dim=-1) => torch.nn.functional.pad(torch.cat(both, dim=-1), (0, odd))
    max(half - frequency_shift, 1) => ((width - frequency_shift) / 2)
    timesteps.double => timesteps.half().double
    -math.log(10000.0) * exponent => -math.log(10000.0) * exponent / 2
""")


def checked(width):
    """Half the width, after the refusal."""
    if width % 2:
        raise ValueError(f"width {width} is odd")
    return width // 2


@exercise.right("powers one by one")
def powers(timesteps, width, dtype=torch.float32, *, flip_sin_to_cos=False, frequency_shift=1):
    half = checked(width)
    most = max(half - frequency_shift, 1)
    frequencies = torch.tensor([10000.0 ** -(i / most) for i in range(half)], dtype=torch.float64)
    angle = torch.outer(timesteps.double(), frequencies.to(timesteps.device))
    first, second = (torch.cos, torch.sin) if flip_sin_to_cos else (torch.sin, torch.cos)
    return torch.cat([first(angle), second(angle)], dim=1).to(dtype)


@exercise.right("one shifted sine")
def shifted(timesteps, width, dtype=torch.float32, *, flip_sin_to_cos=False, frequency_shift=1):
    half = checked(width)
    place = torch.arange(width, device=timesteps.device)
    pair = (place % half).double() / max(half - frequency_shift, 1)
    angle = timesteps.to(torch.float64).unsqueeze(1) / 10000**pair
    cosine = (place >= half) != flip_sin_to_cos
    return torch.sin(angle + cosine * (math.pi / 2)).to(dtype)
