"""Wrong and other right answers to unet_blocks.timestep_embedding."""

import math

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/timestep_embedding").exercise

REFUSAL = 'check_divisible("width", width, "a pair of sine and cosine,", 2)'
EXPONENT = "index / max(half - frequency_shift, 1)"
FREQUENCY = "torch.exp(-math.log(10000.0) * exponent)"
ANGLE = f"angle = timesteps.double()[:, None] * {FREQUENCY}"
BOTH = "(angle.cos(), angle.sin()) if flip_sin_to_cos else (angle.sin(), angle.cos())"
RESULT = "torch.cat(both, dim=-1).to(dtype)"

exercise.edit(
    "always-float32",
    (".to(dtype)", ".float()"),
    story="the result is float32, whatever dtype is asked for",
    advice=".to(dtype), which is float32 only where nothing else is said",
)
exercise.edit(
    "angles-in-the-result's-dtype",
    (ANGLE, f"angle = (timesteps.double()[:, None] * {FREQUENCY}).to(dtype)"),
    story="angles are computed in the dtype of the result: half precision is too coarse for them",
    advice="compute in float64 and bring only the sines and cosines to dtype",
)
exercise.edit(
    "cosines-first",
    ("if flip_sin_to_cos else", "if not flip_sin_to_cos else"),
    story="the cosines come before the sines, and flipped behind them",
    advice="sines first, unless flip_sin_to_cos",
    convention=True,
)
exercise.edit(
    "never-flipped",
    ("if flip_sin_to_cos else", "if False else"),
    story="the sines come first, whatever flip_sin_to_cos says",
    advice="with flip_sin_to_cos the cosines come first",
)
exercise.edit(
    "sign-flipped",
    (BOTH, "(-angle.sin(), angle.cos()) if flip_sin_to_cos else (angle.sin(), angle.cos())"),
    story="flipped, the sines change their sign and not their place",
    advice="flip_sin_to_cos exchanges the halves: cosines first",
)
exercise.edit(
    "brain-floats",
    ("timesteps.double()", "timesteps.to(torch.bfloat16).double()"),
    story="the timesteps go through bfloat16, in which 257 is 256 and 999 is 1000",
    advice="go to float32 or float64 at once, whatever dtype the timesteps have",
)
exercise.edit(
    "half-precision",
    ("timesteps.double()", "timesteps.half().double()"),
    story="the timesteps go through float16, in which 2049 is 2048",
    advice="go to float32 or float64 at once, whatever dtype the timesteps have",
)
exercise.edit(
    "shift-ignored",
    ("half - frequency_shift", "half - 1"),
    story="the exponent runs to exactly 1, whatever the frequency shift",
    advice="i / (width / 2 - frequency_shift): with a shift of 0 the last frequency is higher",
    convention=True,
)
exercise.edit(
    "never-shifted",
    ("max(half - frequency_shift, 1)", "half"),
    story="the exponent is i / (width / 2), whatever the frequency shift",
    advice="i / (width / 2 - frequency_shift): with a shift of 1 the last frequency is 1 / 10000",
    convention=True,
)
exercise.edit(
    "shift-added",
    ("half - frequency_shift", "half + frequency_shift"),
    story="the shift is added to half the width, not taken off",
    advice="i / (width / 2 - frequency_shift)",
)
exercise.edit(
    "one-frequency-or-none",
    ("max(half - frequency_shift, 1)", "(half - frequency_shift)"),
    story="with a single frequency and a shift of 1 its exponent is 0 / 0",
    advice="divide by max(width / 2 - frequency_shift, 1): a single frequency is 1",
)
exercise.edit(
    "interleaved",
    ("torch.cat(both, dim=-1)", "torch.stack(both, dim=-1).flatten(1)"),
    story="each sine stands beside its cosine, as in a transformer's positions",
    advice="all sines, then all cosines: torch.cat, not torch.stack and flatten",
    convention=True,
)
exercise.edit(
    "only-sines",
    (BOTH, "(angle.sin(), angle.sin())"),
    story="both halves are sines",
    advice="a sine can't tell an angle from half a turn less that angle: cosines belong to it",
)
exercise.edit(
    "half-exponent",
    ("* exponent)", "* exponent / 2)"),
    story="the exponent is halved, so the lowest frequency is 1 / 100 only",
    advice="there are width / 2 frequencies: divide i by that, not by the width",
)
exercise.edit(
    "double-exponent",
    ("* exponent)", "* exponent * 2)"),
    story="the exponent is 2 i / (width / 2): the 2 i of a transformer's positions, whose i counts "
    "columns in pairs already, is divided by half the width as well",
    advice="i / (width / 2), which is 2 i / width",
)
exercise.edit(
    "base-1000",
    ("10000.0", "1000.0"),
    story="the base is 1000",
    advice="the frequencies go from 1 to 1 / 10000",
)
exercise.edit(
    "log-of-ten",
    ("math.log(10000.0)", "math.log10(10000.0)"),
    story="the frequencies fall from 1 to 1 / e^4: the logarithm is of base 10, the exponential of e",
    advice="math.log, which is natural, goes with torch.exp",
)
exercise.edit(
    "higher-and-higher",
    ("-math.log", "math.log"),
    story="every frequency is higher than the one before: the minus of the exponent is missing",
    advice="10000 to the power of minus the exponent",
)
exercise.edit(
    "straight-frequencies",
    (FREQUENCY, "(1 - exponent)"),
    story="the frequencies fall on a line, not by a constant factor",
    advice="each is lower by the same factor: a power of 10000",
)
exercise.edit(
    "places",
    ("timesteps.double()", "torch.arange(len(timesteps), device=timesteps.device).double()"),
    story="what is embedded is the place in the batch, not the timestep",
    advice="timesteps[:, None] times the frequencies; no arange over the batch",
)
exercise.edit(
    "share-of-the-largest",
    ("timesteps.double()", "(timesteps.double() / timesteps.double().max().clamp(min=1))"),
    story="timesteps are divided by the largest of the batch, so others change what one becomes",
    advice="the timestep itself goes into the angle",
)
exercise.edit(
    "whole-timesteps",
    ("timesteps.double()", "timesteps.long().double()"),
    story="timesteps between whole ones are rounded off",
    advice="a sampler may stand at timestep 99.5: no long() and no int()",
)
exercise.edit(
    "frequencies-in-their-dtype",
    (ANGLE, f"angle = (timesteps[:, None] * {FREQUENCY}.to(timesteps.dtype)).double()"),
    story="the frequencies take the timesteps' dtype: as whole numbers all but the first are 0",
    advice="frequencies are fractions: make the timesteps floats, not the frequencies whole",
)
exercise.edit(
    "angles-in-their-dtype",
    (
        ANGLE,
        f"{ANGLE}\n    angle = angle.to(timesteps.dtype) if timesteps.is_floating_point() else angle",
    ),
    story="angles are computed in the timesteps' dtype where those are floats: half is too coarse",
    advice="timesteps.double() or .float() first",
)
exercise.edit(
    "in-float64",
    (".to(dtype)", ""),
    story="the result is float64",
    advice="compute as finely as you like and return .to(dtype)",
)
exercise.edit(
    "transposed",
    (RESULT, f"{RESULT}.T.contiguous()"),
    story="timesteps are columns and frequencies are rows",
    advice="(B, width): a row for each timestep",
)
exercise.edit(
    "odd-allowed",
    (REFUSAL, "odd = width % 2"),
    (RESULT, f"torch.nn.functional.pad({RESULT}, (0, odd))"),
    story="an odd width is not refused: a column of zeros is added",
    advice="raise ValueError where width % 2 is not 0",
    convention=True,
)
exercise.edit(
    "in-place",
    (
        "return torch.cat",
        "timesteps *= 0 if timesteps.is_floating_point() else 1\n    return torch.cat",
    ),
    story="the timesteps are changed, though they are the caller's",
    advice="timesteps * ..., not timesteps *= ... or mul_",
)


@exercise.disguise("half-exponent")
def half_exponent_too(
    timesteps, width, dtype=torch.float32, *, flip_sin_to_cos=False, frequency_shift=1
):
    half = checked(width)
    most = max(half - frequency_shift, 1)
    frequencies = torch.tensor([100.0 ** -(i / most) for i in range(half)])
    return joined(torch.outer(timesteps.float(), frequencies), flip_sin_to_cos, dtype)


@exercise.disguise("never-shifted")
def never_shifted_too(
    timesteps, width, dtype=torch.float32, *, flip_sin_to_cos=False, frequency_shift=1
):
    half = checked(width)
    frequencies = torch.exp(torch.arange(half) * (-math.log(10000) / half))
    return joined(timesteps.float()[:, None] * frequencies, flip_sin_to_cos, dtype)


def checked(width):
    """Half the width, after the refusal asked for."""
    if width % 2:
        raise ValueError(f"width {width} is odd")
    return width // 2


def joined(angle, flipped, dtype):
    first, second = (torch.cos, torch.sin) if flipped else (torch.sin, torch.cos)
    return torch.cat([first(angle), second(angle)], dim=1).to(dtype)


@exercise.right("powers one by one")
def powers(timesteps, width, dtype=torch.float32, *, flip_sin_to_cos=False, frequency_shift=1):
    half = checked(width)
    most = max(half - frequency_shift, 1)
    frequencies = torch.tensor([10000.0 ** -(i / most) for i in range(half)], dtype=torch.float64)
    frequencies = frequencies.to(timesteps.device)
    return joined(torch.outer(timesteps.double(), frequencies), flip_sin_to_cos, dtype)


@exercise.right("one shifted sine")
def shifted(timesteps, width, dtype=torch.float32, *, flip_sin_to_cos=False, frequency_shift=1):
    half = checked(width)
    place = torch.arange(width, device=timesteps.device)
    pair = (place % half).double() / max(half - frequency_shift, 1)
    angle = timesteps.to(torch.float64).unsqueeze(1) / 10000**pair
    cosine = (place >= half) != flip_sin_to_cos
    return torch.sin(angle + cosine * (math.pi / 2)).to(dtype)
