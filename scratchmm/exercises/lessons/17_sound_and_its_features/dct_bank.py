"""Wrong and other right answers to mel.dct."""

import math

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("17_sound_and_its_features/dct").exercise

WAVES = "torch.arange(count, dtype=torch.float64)[:, None]"
PLACES = "torch.arange(size, dtype=torch.float64) + 0.5"
ROWS = "(torch.pi / size * waves * places).cos() * math.sqrt(2 / size)"
FIRST = "rows[0] /= math.sqrt(2)"

exercise.edit(
    "no-half",
    (PLACES, "torch.arange(size, dtype=torch.float64)"),
    story="the waves are seen from the edge of each place, not from its middle",
    advice="n + 1/2",
)
exercise.edit(
    "a-whole",
    (PLACES, "torch.arange(size, dtype=torch.float64) + 1"),
    story="places are counted from 1, without the half",
    advice="n + 1/2, with n from 0",
)
exercise.edit(
    "to-the-last-place",
    (
        "(torch.pi / size * waves * places)",
        "(torch.pi / max(size - 1, 1) * waves * (places - 0.5))",
    ),
    story="the waves reach from the first place to the last: DCT-I",
    advice="DCT-II: pi k (n + 1/2) / size",
    convention=True,
)
exercise.edit(
    "half-waves",
    (WAVES, "torch.arange(count, dtype=torch.float64)[:, None] + 0.5"),
    story="a half is added to the waves as well: DCT-IV",
    advice="DCT-II: wave 0 is even, and makes the loudness",
    convention=True,
)
exercise.edit(
    "half-on-the-wrong-one",
    (WAVES, "torch.arange(count, dtype=torch.float64)[:, None] + 0.5"),
    (PLACES, "torch.arange(size, dtype=torch.float64)"),
    story="the half is added to the waves, not to the places: DCT-III",
    advice="k (n + 1/2): DCT-II",
)
exercise.edit(
    "whole-turns",
    ("torch.pi / size", "2 * torch.pi / size"),
    story="wave k makes k whole turns",
    advice="k half turns: pi, not 2 pi",
)
exercise.edit(
    "sines",
    (".cos()", ".sin()"),
    story="the waves are sines",
    advice="cosines",
)
exercise.edit(
    "loudness-left-out",
    (WAVES, "torch.arange(1, count + 1, dtype=torch.float64)[:, None]"),
    (FIRST, "pass"),
    story="the waves begin at 1: the loudness is left out",
    advice="begin at wave 0",
    convention=True,
)
exercise.edit(
    "not-scaled",
    (ROWS, "(torch.pi / size * waves * places).cos()"),
    story="the cosines are not scaled by the root of 2 / size",
    advice="every row has length 1",
)
exercise.edit(
    "twice-the-cosine",
    (ROWS, "(torch.pi / size * waves * places).cos() * 2"),
    (FIRST, "pass"),
    story="the rows are 2 cos(...), as scipy's transform has them unless norm is 'ortho'",
    advice="the orthonormal transform: every row has length 1",
    convention=True,
)
exercise.edit(
    "plain-cosines",
    (ROWS, "(torch.pi / size * waves * places).cos()"),
    (FIRST, "pass"),
    story="the rows are cosines and nothing else",
    advice="times the root of 2 / size, and row 0 divided by the root of 2",
)
exercise.edit(
    "without-the-root",
    ("math.sqrt(2 / size)", "2 / size"),
    story="the cosines are scaled by 2 / size, without the root",
    advice="lengths are roots of sums of squares",
)
exercise.edit(
    "turns-over-the-count",
    (ROWS, ROWS.replace("torch.pi / size", "torch.pi / count")),
    story="a wave has its k half turns over `count` places, not over all of them",
    advice="pi k (n + 1/2) / size: count says how many waves, size how long they are",
)
exercise.edit(
    "scaled-by-the-count",
    ("math.sqrt(2 / size)", "math.sqrt(2 / count)"),
    story="the rows are scaled by how many there are, not by how long they are",
    advice="the root of 2 / size",
)
exercise.edit(
    "first-row-too-long",
    (FIRST, "pass"),
    story="row 0 is scaled like the others, and has length root 2",
    advice="divide it by the root of 2",
)
exercise.edit(
    "first-row-halved",
    (FIRST, "rows[0] /= 2"),
    story="row 0 is divided by 2",
    advice="by the root of 2",
)
exercise.edit(
    "all-rows-divided",
    (FIRST, "rows /= math.sqrt(2)"),
    story="all rows are divided by the root of 2",
    advice="row 0 only",
)
exercise.edit(
    "first-column",
    (FIRST, "rows[:, 0] /= math.sqrt(2)"),
    story="the first column is divided by the root of 2",
    advice="the first row: wave 0 at all places",
)
exercise.edit(
    "transposed",
    ("return rows", "return rows.T"),
    story="the result is (size, count): a column a wave",
    advice="(count, size), so that dct @ log_mel are the coefficients",
    convention=True,
)
exercise.edit(
    "float32",
    ("return rows", "return rows.float()"),
    story="the result is float32",
    advice="float64: whoever uses it rounds it once",
)
exercise.edit(
    "any-count",
    ("if not 0 < count <= size:", "if not 0 < count:"),
    story="more waves than places are made, and they repeat those before",
    advice="raise a ValueError",
)
exercise.edit(
    "no-waves",
    ("if not 0 < count <= size:", "if count > size:"),
    ("check_count(name, value, most=2**14)", "check_count(name, value, least=-9, most=2**14)"),
    (FIRST, "rows[:1] /= math.sqrt(2)"),
    (WAVES, "torch.arange(max(count, 0), dtype=torch.float64)[:, None]"),
    story="a count of 0 makes no waves, and no coefficients after them",
    advice="raise a ValueError",
)


@exercise.disguise("first-row-too-long")
def first_row_too_long_too(count, size):
    rows = by_fourier(count, size)
    return torch.cat([rows[:1] * 2**0.5, rows[1:]])


@exercise.disguise("no-half")
def no_half_too(count, size):
    check(count, size)
    turns = math.pi * torch.outer(torch.arange(count).double(), torch.arange(size).double()) / size
    scale = torch.full((count, 1), math.sqrt(2 / size), dtype=torch.float64)
    scale[0] = math.sqrt(1 / size)
    return turns.cos() * scale


def check(count, size):
    """What cannot be is refused."""
    if count < 1 or count > size:
        raise ValueError(f"{count} waves of {size}")


@exercise.right("number by number")
def by_loops(count, size):
    check(count, size)
    rows = torch.empty(count, size, dtype=torch.float64)
    for k in range(count):
        for n in range(size):
            rows[k, n] = math.cos(math.pi * k * (n + 0.5) / size)
        rows[k] /= rows[k].norm()
    return rows


@exercise.right("by the Fourier transform of each place and its mirror")
def by_fourier(count, size):
    check(count, size)
    places = torch.eye(size, dtype=torch.float64)
    seen = torch.fft.fft(torch.cat([places, places.flip(1)], dim=1))[:, :size]
    turn = torch.exp(-0.5j * math.pi * torch.arange(size, dtype=torch.float64) / size)
    rows = (seen * turn).real.T
    return (rows / rows.norm(dim=1, keepdim=True))[:count]
