"""Exercise sinusoids.sinusoidal_positions: each position as the hands of many clocks."""

import math

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="sinusoids.sinusoidal_positions",
    order=30,
    target="scratchmm.layers.embeddings:sinusoidal_positions",
    title="The hands of many clocks",
    goal="float32 (length, width): sin and cos of pos / 10000^(2i / width), interleaved; refuse an "
    "odd width by a ValueError",
    minutes=15,
    difficulty=2,
    section="Positions",
    hints="""
        1. For width 4 there are two clocks, with speeds 1 and 1/100. Position 0 is (0, 1, 0, 1).
           Position 1 is (sin 1, cos 1, sin 0.01, cos 0.01) = (0.841, 0.540, 0.010, 1.000).
        2. A clock's hand is a point on a circle: a sine and a cosine. The first turns one radian a
           step, each following one more slowly by the same factor, the last almost not at all: near
           positions differ in fast hands, far ones in slow ones. The lesson draws them.
        3. pos is (L, 1), the speeds are (D // 2,): 10000 to the power -2i/D for i = 0 ... D/2 - 1.
           Their product is (L, D // 2). Column 2i is the sine, column 2i + 1 the cosine: stack on a
           new last axis, then flatten. An odd width leaves a sine without cosine: refuse it first.
        4. angle = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, width, 2) / width);
           then torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
    """,
)


def slow(length, width):
    """Number by number, as the paper writes it."""
    table = torch.zeros(length, width)
    for pos in range(length):
        for i in range(width // 2):
            table[pos, 2 * i] = math.sin(pos / 10000 ** (2 * i / width))
            table[pos, 2 * i + 1] = math.cos(pos / 10000 ** (2 * i / width))
    return table


@exercise.holds("a row for each position and a column for each dimension, float32")
def shape(sinusoidal_positions, case):
    case.sizes.update(L=5, D=6)
    got = case.call(sinusoidal_positions, 5, 6)
    case.shape(got, "L D")
    case.equal(got.dtype, torch.float32)


@exercise.holds("position 0 has every hand at its start: sin 0 and cos 0 in turn, 0 1 0 1 ...")
def start(sinusoidal_positions, case):
    got = case.call(sinusoidal_positions, 1, 6)
    case.equal(got, torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]]))


@exercise.holds("the first clock turns one radian a step")
def fastest(sinusoidal_positions, case):
    got = case.call(sinusoidal_positions, 7, 8)
    expected = [[math.sin(pos), math.cos(pos)] for pos in range(7)]
    case.equal(got[:, :2], torch.tensor(expected))


@exercise.holds("clock i turns 1 / 10000^(2i / width) radians a step")
def every_hand(sinusoidal_positions, case):
    for length, width in ((5, 2), (11, 6), (3, 14)):
        case.equal(case.call(sinusoidal_positions, length, width), slow(length, width))


@exercise.holds("two positions are as similar as their distance says, wherever they stand")
def distance(sinusoidal_positions, case):
    got = case.call(sinusoidal_positions, 9, 10)
    for apart in range(1, 5):
        similar = (got[apart:] * got[:-apart]).sum(-1)
        case.equal(similar, similar[:1].expand_as(similar), f"similarity at distance {apart}")


@exercise.holds("a longer table begins with the shorter one")
def prefix(sinusoidal_positions, case):
    short, long = case.call(sinusoidal_positions, 4, 6), case.call(sinusoidal_positions, 9, 6)
    case.equal(long[:4], short, "the first 4 of 9 positions")


@exercise.holds("far positions are told apart too: 256 from 257, 999 from 1000, 2048 from 2049")
def far(sinusoidal_positions, case):
    places = [256, 257, 999, 1000, 2048, 2049]
    angles = [[pos / 100**i for i in (0, 1)] for pos in places]
    expected = [[f(x) for x in row for f in (math.sin, math.cos)] for row in angles]
    got = case.call(sinusoidal_positions, 2050, 4)[places]
    case.equal(got, torch.tensor(expected), tolerance=3e-3)  # as exact as float32 angles are


@exercise.holds("an odd width is refused by a ValueError")
def odd(sinusoidal_positions, case):
    case.refuses(ValueError, sinusoidal_positions, 4, 7)


exercise.mistakes("""
    halves [convention]: all sines come before all cosines, as in diffusion models
    - .stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)
    + .cat([angle.sin(), angle.cos()], dim=-1)
    > interleaved is asked for: column 2i is a sine and column 2i + 1 its cosine

    last-exponent-exact [convention]: the exponent runs to exactly 1: i / (half - 1), as in DDPM
    - speed = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    + half = torch.arange(0, width // 2, dtype=torch.float64)
    + speed = 10000.0 ** (-half / max(width // 2 - 1, 1))
    > the paper's exponent is 2i / width, which ends a little before 1

    brain-floats: the positions go through bfloat16, in which 257 is 256 and 999 is 1000
    - length, dtype=torch.float64
    + length).bfloat16().double(
    > count in whole numbers or float32, and make the result float32 at the end

    half-precision: the positions go through float16, in which 2049 is 2048
    - length, dtype=torch.float64
    + length).half().double(
    > count in whole numbers or float32, and make the result float32 at the end

    column-exponent: every column has a frequency of its own, so a sine and its cosine differ in it
    - return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2).float()
    + every = position * 10000.0 ** (-torch.arange(width, dtype=torch.float64) / width)
    + return torch.stack([every[:, 0::2].sin(), every[:, 1::2].cos()], dim=-1).flatten(-2).float()
    > columns 2i and 2i + 1 share one frequency

    share-of-length: the position is a share of the length, so a longer text changes all encodings
    - [:, None]
    + [:, None] / length
    > use the position itself: 0, 1, 2, ...
""")

exercise.slips("""
    (-torch => (torch
    angle.sin => angle.cos ;; angle.cos => angle.sin
    width, 2, => width // 2,
    -torch => -2 * torch
    10000 => 1000
    arange(length, => arange(1, length + 1,
    / width => / length
    .float() => .float().T
    .float() =>
""")


@exercise.right("outer product and slices")
def by_slices(length, width):
    if width % 2 != 0:
        raise ValueError(f"width {width} is odd")
    speed = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(torch.outer(torch.arange(length).float(), speed))
    table[:, 1::2] = torch.cos(torch.outer(torch.arange(length).float(), speed))
    return table


@exercise.right("complex numbers")
def by_complex(length, width):
    if width & 1:
        raise ValueError(f"width {width} is odd")
    pos = torch.arange(length, dtype=torch.float64)[:, None]
    angle = pos / 10000 ** (2 * torch.arange(width // 2) / width)
    hands = torch.view_as_real(torch.polar(torch.ones_like(angle), math.pi / 2 - angle))
    return hands.flatten(1).float()
