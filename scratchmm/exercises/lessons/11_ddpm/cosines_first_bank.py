"""Wrong and other right answers to sinusoids.cosines_first."""

import math

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/cosines_first").exercise


def clocks(width, base=10000.0):
    """The speeds (width / 2), after the refusal asked for."""
    if width % 2:
        raise ValueError(f"width {width} is odd")
    half = width // 2
    return base ** (-torch.arange(half, dtype=torch.float64) / half)


def angles(timesteps, speeds):
    return timesteps.double()[:, None] * speeds


def joined(first, second, dtype):
    return torch.cat([first, second], dim=-1).to(dtype)


@exercise.wrong(
    "always-float32",
    story="the result is float32, whatever dtype is asked for",
    advice=".to(dtype), which is float32 only where nothing else is said",
)
def always_float32(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width))
    return joined(angle.cos(), angle.sin(), torch.float32)


@exercise.wrong(
    "angles-in-the-result's-dtype",
    story="angles are computed in the dtype of the result: half precision is too coarse for them",
    advice="compute in float64 and bring only the cosines and sines to dtype",
)
def angles_in_the_results_dtype(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width)).to(dtype)
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "sines-first",
    story="the sines come before the cosines",
    advice="cosines first: torch.cat([angle.cos(), angle.sin()], dim=-1)",
    convention=True,
)
def sines_first(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width))
    return joined(angle.sin(), angle.cos(), dtype)


@exercise.wrong(
    "brain-floats",
    story="the timesteps go through bfloat16, in which 257 is 256 and 999 is 1000",
    advice="go to float32 or float64 at once, whatever dtype the timesteps have",
)
def brain_floats(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps.to(torch.bfloat16), clocks(width))
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "half-precision",
    story="the timesteps go through float16, in which 2049 is 2048",
    advice="go to float32 or float64 at once, whatever dtype the timesteps have",
)
def half_precision(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps.half(), clocks(width))
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "as-in-ddpm",
    story="sines come first and the slowest clock turns at exactly 1 / 10000: DDPM's own way",
    advice="here, as in Improved DDPM: cosines first, and i over width / 2, not over width / 2 - 1",
    convention=True,
)
def as_in_ddpm(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, speeds_to_the_end(width))
    return joined(angle.sin(), angle.cos(), dtype)


def speeds_to_the_end(width):
    half = len(clocks(width))
    return 10000.0 ** (-torch.arange(half, dtype=torch.float64) / max(half - 1, 1))


@exercise.wrong(
    "last-clock-exact",
    story="the exponent runs to exactly 1, i / (width / 2 - 1), as in DDPM's own code",
    advice="i / (width / 2): the slowest clock is a little faster than 1 / 10000",
    convention=True,
)
def last_clock_exact(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, speeds_to_the_end(width))
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "interleaved",
    story="each cosine stands beside its sine, as in a transformer's positions",
    advice="all cosines, then all sines: torch.cat, not torch.stack and flatten",
    convention=True,
)
def interleaved(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width))
    return torch.stack([angle.cos(), angle.sin()], dim=-1).flatten(1).float()


@exercise.wrong(
    "interleaved-sines-first",
    story="each sine stands before its cosine: these are a transformer's positions",
    advice="all cosines, then all sines: torch.cat([angle.cos(), angle.sin()], dim=-1)",
    convention=True,
)
def interleaved_sines_first(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float()


@exercise.wrong(
    "only-cosines",
    story="both halves are cosines",
    advice="a cosine can't tell before noon from after: the second half holds the sines",
)
def only_cosines(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width))
    return joined(angle.cos(), angle.cos(), dtype)


@exercise.wrong(
    "half-exponent",
    story="the exponent is i / width, so the slowest clock turns at 1 / 100 only",
    advice="there are width / 2 clocks: divide i by width / 2",
)
def half_exponent(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width, base=100.0))
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "double-exponent",
    story="the exponent is 2 i / (width / 2): the 2 i of a transformer's positions, whose i counts "
    "columns in pairs already, is divided by half the width as well",
    advice="i / (width / 2), which is 2 i / width",
)
def double_exponent(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width, base=1e8))
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "last-clock-exact-or-none",
    story="the exponent is i / (width / 2 - 1), as in DDPM's own code, and with a single clock 0 / 0",
    advice="i / (width / 2): the slowest clock is a little faster than 1 / 10000",
)
def last_clock_or_none(timesteps, width, dtype=torch.float32):
    half = len(clocks(width))
    exponent = torch.arange(half, dtype=torch.float64) / (half - 1)
    angle = angles(timesteps, 10000.0**-exponent)
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "base-1000",
    story="the base is 1000",
    advice="the speeds go from 1 towards 1 / 10000",
)
def base_1000(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width, base=1000.0))
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "log-of-ten",
    story="the speeds fall from 1 towards 1 / e^4: the logarithm is of base 10, the exponential of e",
    advice="math.log, which is natural, goes with torch.exp",
)
def log_of_ten(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width, base=math.exp(4)))
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "faster-and-faster",
    story="every clock is faster than the one before: the minus of the exponent is missing",
    advice="10000 to the power of minus i / (width / 2)",
)
def faster(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width, base=1e-4))
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "straight-speeds",
    story="the speeds fall on a line, not by a constant factor",
    advice="each clock is slower by the same factor: a power of 10000",
)
def straight(timesteps, width, dtype=torch.float32):
    half = len(clocks(width))
    angle = angles(timesteps, 1 - torch.arange(half, dtype=torch.float64) / half)
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "places",
    story="what is embedded is the place in the batch, not the timestep",
    advice="timesteps[:, None] times the speeds; no arange over the batch",
)
def places(timesteps, width, dtype=torch.float32):
    angle = angles(torch.arange(len(timesteps)), clocks(width))
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "share-of-the-largest",
    story="timesteps are divided by the largest of the batch, so others change what one becomes",
    advice="the timestep itself goes into the angle",
)
def share_of_the_largest(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps / timesteps.max().clamp(min=1), clocks(width))
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "whole-timesteps",
    story="timesteps between whole ones are rounded off",
    advice="a sampler may stand at timestep 99.5: no long() and no int()",
)
def whole_timesteps(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps.long(), clocks(width))
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "speeds-in-their-dtype",
    story="the speeds take the timesteps' dtype: as whole numbers all but the first are 0",
    advice="speeds are fractions: make the timesteps floats, not the speeds whole",
)
def speeds_in_their_dtype(timesteps, width, dtype=torch.float32):
    angle = (timesteps[:, None] * clocks(width).to(timesteps.dtype)).double()
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "angles-in-their-dtype",
    story="angles are computed in the timesteps' dtype where those are floats: half is too coarse",
    advice="timesteps.double() or .float() first",
)
def angles_in_their_dtype(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width))
    if timesteps.is_floating_point():
        angle = angle.to(timesteps.dtype)
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.wrong(
    "in-float64",
    story="the result is float64",
    advice="compute as finely as you like and return .float()",
)
def in_float64(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width))
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


@exercise.wrong(
    "transposed",
    story="timesteps are columns and clocks are rows",
    advice="(B, width): a row for each timestep",
)
def transposed(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width))
    return joined(angle.cos(), angle.sin(), dtype).T.contiguous()


@exercise.wrong(
    "odd-allowed",
    story="an odd width is not refused: a column of zeros is added",
    advice="raise ValueError where width % 2 is not 0",
    convention=True,
)
def odd_allowed(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width - width % 2))
    return torch.nn.functional.pad(joined(angle.cos(), angle.sin(), dtype), (0, width % 2))


@exercise.wrong(
    "in-place",
    story="the timesteps are changed, though they are the caller's",
    advice="timesteps * ..., not timesteps *= ... or mul_",
)
def in_place(timesteps, width, dtype=torch.float32):
    angle = angles(timesteps, clocks(width))
    if timesteps.is_floating_point():
        timesteps *= 0
    return joined(angle.cos(), angle.sin(), dtype)


@exercise.disguise("half-exponent")
def half_exponent_too(timesteps, width, dtype=torch.float32):
    speeds = torch.tensor([1 / 10000 ** (i / width) for i in range(len(clocks(width)))])
    angle = torch.outer(timesteps.float(), speeds)
    return torch.hstack([torch.cos(angle), torch.sin(angle)])


@exercise.disguise("as-in-ddpm")
def as_in_ddpm_too(timesteps, width, dtype=torch.float32):
    if width % 2:
        raise ValueError("odd")
    step = math.log(10000) / max(width // 2 - 1, 1)
    angle = timesteps.float()[:, None] * torch.exp(torch.arange(width // 2) * -step)
    return torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)


@exercise.right("exponentials of logarithms")
def exponentials(timesteps, width, dtype=torch.float32):
    if width % 2 != 0:
        raise ValueError(f"width {width} is odd")
    half = width // 2
    speeds = torch.exp(-math.log(10000) * torch.arange(half) / half).to(timesteps.device)
    angle = torch.outer(timesteps.float(), speeds)
    return torch.cat([torch.cos(angle), torch.sin(angle)], dim=1).to(dtype)


@exercise.right("one shifted cosine")
def shifted(timesteps, width, dtype=torch.float32):
    if width & 1:
        raise ValueError(f"width {width} is odd")
    place = torch.arange(width, device=timesteps.device)
    pair = place.double() % (width // 2)
    angle = timesteps.to(torch.float64).unsqueeze(1) / 10000 ** (2 * pair / width)
    late = place >= width // 2
    return torch.cos(angle - late * (math.pi / 2)).to(dtype)
