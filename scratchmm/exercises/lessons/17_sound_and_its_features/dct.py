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
    hints=(
        "Over 2 places, wave 0 is 1, 1 and wave 1 is cos 45 and cos 135 degrees: 0.7, -0.7. Wave 0 has "
        "length root 2 and must be shortened to 0.7, 0.7; wave 1 has length 1 already.",
        "Wave k makes k half turns over all places, seen from the middle of each: that is the half in "
        "n + 1/2. cos squared is 1/2 on average, so a wave of `size` places is root of size / 2 long, "
        "but wave 0, which is 1 everywhere, is root of size long.",
        "Refuse a count below 1 or above size. Waves k (count, 1), places n + 1/2 (size,), both "
        "float64. The cosine of pi / size times their product, times the root of 2 / size. Row 0 "
        "alone is divided by root 2.",
        "rows = (torch.pi / size * waves * places).cos() * math.sqrt(2 / size); rows[0] /= "
        "math.sqrt(2)",
    ),
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
