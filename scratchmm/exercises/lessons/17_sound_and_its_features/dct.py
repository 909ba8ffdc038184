"""Exercise mel.dct: the cosine waves behind the MFCC."""

import math

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="mel.dct",
    order=50,
    target="scratchmm.audio.mel:dct",
    title="The shape of a frame in a few waves",
    goal="the first `count` rows of the orthonormal cosine transform (DCT-II): float64 (count, size)",
    minutes=10,
    difficulty=2,
    section="A few numbers a frame",
    needs=("mel.mel_filters", "spectrum.decibels"),
    hints="""
        1. Over 2 places, wave 0 is 1, 1 and wave 1 is cos 45 and cos 135 degrees: 0.7, -0.7. Wave 0
           has length root 2 and must be shortened to 0.7, 0.7; wave 1 has length 1 already.
        2. Wave k makes k half turns over all places, seen from the middle of each: that is the half
           in n + 1/2. cos squared is 1/2 on average, so a wave of `size` places is root of size / 2
           long, but wave 0, which is 1 everywhere, is root of size long.
        3. Refuse a count below 1 or above size. Waves k (count, 1), places n + 1/2 (size,), both
           float64. The cosine of pi / size times their product, times the root of 2 / size. Row 0
           alone is divided by root 2.
        4. rows = (torch.pi / size * waves * places).cos() * math.sqrt(2 / size); rows[0] /=
           math.sqrt(2)
    """,
)


def written_out(count, size):
    """The oracle: number by number."""
    rows = []
    for k in range(count):
        scale = math.sqrt((1 if k == 0 else 2) / size)
        rows.append([scale * math.cos(math.pi * k * (2 * n + 1) / (2 * size)) for n in range(size)])
    return torch.tensor(rows, dtype=torch.float64)


@exercise.holds("a row for each wave, a column for each place")
def shape(dct, case):
    case.named(torch.zeros(3, 7), "K M")
    case.shape(case.call(dct, 3, 7), "K M")


@exercise.holds("every row has length 1")
def length(dct, case):
    got = case.call(dct, 4, 9)
    case.equal(got.square().sum(dim=1), torch.ones(4).double(), "the squares, added up")


@exercise.holds("rows stand at right angles to each other")
def right_angles(dct, case):
    got = case.call(dct, 5, 5)
    case.equal(got @ got.T, torch.eye(5).double(), "the rows times the rows")


@exercise.holds("of an even spectrum only number 0 is left")
def even(dct, case):
    got = case.call(dct, 4, 6) @ torch.ones(6).double()
    case.equal(got[1:], torch.zeros(3).double(), "numbers 1 to 3")
    case.true(got[0] > 2.4, "number 0 is the root of 6", got[0])


@exercise.holds("wave k has k half turns: number by number, at any size")
def waves(dct, case):
    sizes = [(3, 5), (1, 4), (13, 40), (6, 6)]
    case.each(dct, *[(given, written_out(*given)) for given in sizes])


@exercise.holds("of one place there is one wave, 1")
def one_place(dct, case):
    case.equal(case.call(dct, 1, 1), torch.ones(1, 1).double())


@exercise.holds("a count of 0, or of more waves than places, is refused with a ValueError")
def refused(dct, case):
    for count, size in ((0, 5), (-1, 5), (6, 5)):
        case.refuses(ValueError, dct, count, size)


exercise.mistakes("""
    a-whole: places are counted from 1, without the half
    - places = torch.arange(size, dtype=torch.float64) + 0.5
    + places = torch.arange(size, dtype=torch.float64) + 1
    > n + 1/2, with n from 0

    to-the-last-place [convention]: the waves reach from the first place to the last: DCT-I
    - rows = (torch.pi / size * waves * places).cos() * math.sqrt(2 / size)
    + rows = (torch.pi / max(size - 1, 1) * waves * (places - 0.5)).cos() * math.sqrt(2 / size)
    > DCT-II: pi k (n + 1/2) / size

    half-waves [convention]: a half is added to the waves as well: DCT-IV
    - waves = torch.arange(count, dtype=torch.float64)[:, None]
    + waves = torch.arange(count, dtype=torch.float64)[:, None] + 0.5
    > DCT-II: wave 0 is even, and makes the loudness

    half-on-the-wrong-one: the half is added to the waves, not to the places: DCT-III
    - waves = torch.arange(count, dtype=torch.float64)[:, None]
    - places = torch.arange(size, dtype=torch.float64) + 0.5
    + waves = torch.arange(count, dtype=torch.float64)[:, None] + 0.5
    + places = torch.arange(size, dtype=torch.float64)
    > k (n + 1/2): DCT-II

    whole-turns: wave k makes k whole turns
    - rows = (torch.pi / size * waves * places).cos() * math.sqrt(2 / size)
    + rows = (2 * torch.pi / size * waves * places).cos() * math.sqrt(2 / size)
    > k half turns: pi, not 2 pi

    loudness-left-out [convention]: the waves begin at 1: the loudness is left out
    - waves = torch.arange(count, dtype=torch.float64)[:, None]
    + waves = torch.arange(1, count + 1, dtype=torch.float64)[:, None]
    - rows[0] /= math.sqrt(2)
    + pass
    > begin at wave 0

    twice-the-cosine [convention]: the rows are 2 cos(...), as scipy's transform has them unless
    norm is 'ortho'
    - rows = (torch.pi / size * waves * places).cos() * math.sqrt(2 / size)
    - rows[0] /= math.sqrt(2)
    + rows = (torch.pi / size * waves * places).cos() * 2
    + pass
    > the orthonormal transform: every row has length 1

    plain-cosines: the rows are cosines and nothing else
    - rows = (torch.pi / size * waves * places).cos() * math.sqrt(2 / size)
    - rows[0] /= math.sqrt(2)
    + rows = (torch.pi / size * waves * places).cos()
    + pass
    > times the root of 2 / size, and row 0 divided by the root of 2

    turns-over-the-count: a wave has its k half turns over `count` places, not over all of them
    - rows = (torch.pi / size * waves * places).cos() * math.sqrt(2 / size)
    + rows = (torch.pi / count * waves * places).cos() * math.sqrt(2 / size)
    > pi k (n + 1/2) / size: count says how many waves, size how long they are

    scaled-by-the-count: the rows are scaled by how many there are, not by how long they are
    - rows = (torch.pi / size * waves * places).cos() * math.sqrt(2 / size)
    + rows = (torch.pi / size * waves * places).cos() * math.sqrt(2 / count)
    > the root of 2 / size

    all-rows-divided: all rows are divided by the root of 2
    - rows[0] /= math.sqrt(2)
    + rows /= math.sqrt(2)
    > row 0 only

    first-column: the first column is divided by the root of 2
    - rows[0] /= math.sqrt(2)
    + rows[:, 0] /= math.sqrt(2)
    > the first row: wave 0 at all places

    transposed [convention]: the result is (size, count): a column a wave
    - return rows
    + return rows.T
    > (count, size), so that dct @ log_mel are the coefficients

    float32: the result is float32
    - return rows
    + return rows.float()
    > float64: whoever uses it rounds it once
""")


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
