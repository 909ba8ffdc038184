"""Exercise canny.thin: non-maximum suppression."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="canny.thin",
    order=10,
    target="scratchmm.vision.canny:thin",
    title="Edges one pixel thin",
    goal="keep the magnitude where it is steeper than uphill and no less steep than downhill, else 0",
    minutes=25,
    difficulty=3,
    section="Edges",
    hints="""
        1. A row with the magnitudes [0.1, 0.5, 0.5, 0.2], brighter to the right everywhere: across
           is 1, down is 0. Two pixels are equally steep, and a line is one pixel thin: the one
           uphill stays, so the answer is [0, 0, 0.5, 0]. Brighter to the left (across is -1), it
           would be [0, 0.5, 0, 0].
        2. An edge runs across the slope, so a pixel has to be compared along the slope and not along
           the edge. The slope (down, across) points uphill to one of eight neighbours: straight if
           one of the two is less than tan(1/16 of a turn) = EIGHTH of the other, and diagonal else.
           The neighbour downhill lies opposite. See the lesson's part on edges.
        3. step_down and step_across, (B, 1, H, W), each -1, 0 or 1: a sign, or 0 where the other way
           wins. Pad the magnitude with zeros by one pixel, flatten each image to ((H + 2) * (W + 2))
           numbers, and gather at row * (W + 2) + column, moved by the steps, and then by the steps
           backwards. A step of (0, 0) compares a pixel with itself: it is no ridge.
        4. padded = F.pad(magnitude, (1, 1, 1, 1)).flatten(1); place = (row + way * step_down) *
           (width + 2) + column + way * step_across for way 1 (uphill) and -1 (downhill), rows and
           columns from 1; magnitude * ((magnitude > uphill + ALIKE) & (magnitude + ALIKE >=
           downhill))
    """,
)

AROUND = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]  # by the eighth


def slow(magnitude: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """The oracle: one pixel at a time, its direction as an angle."""
    kept, sizes = torch.zeros_like(magnitude), F.pad(magnitude, (1, 1, 1, 1)).tolist()
    for b, _, y, x in torch.ones_like(magnitude).nonzero().tolist():
        rise, run = float(down[b, 0, y, x]), float(across[b, 0, y, x])
        i, j = AROUND[round(math.atan2(rise, run) / (math.pi / 4)) % 8]
        here, uphill, downhill = (sizes[b][0][y + 1 + k * i][x + 1 + k * j] for k in (0, 1, -1))
        if (rise, run) != (0, 0) and here > uphill + 1e-5 and here + 1e-5 >= downhill:
            kept[b, 0, y, x] = magnitude[b, 0, y, x]
    return kept


def some_images(case, H=5, W=6, dtype=torch.float32):
    """A magnitude that is nowhere alike or 0, and directions all around."""
    order = torch.stack([case.permutation(H * W), case.permutation(H * W)])
    magnitude = (order.view(2, 1, H, W) + 1).to(dtype) / (H * W)
    down, across = (case.normal(B=2, C=1, H=H, W=W, dtype=dtype) for _ in range(2))
    return case.named(magnitude, "B C H W"), down, across


def directed(case, thin, magnitude, *directions):
    """Calls with the same (down, across) at every pixel, against the oracle."""
    cases = []
    for direction in directions:
        down, across = (torch.full_like(magnitude, value) for value in direction)
        given = [case.named(x, "B C H W") for x in (magnitude, down, across)]
        cases.append((given, slow(*given)))
    case.each(thin, *cases)


@exercise.holds("for each of the eight directions, the neighbours compared lie along it")
def eight(thin, case):
    directed(case, thin, some_images(case)[0], *((0.3 * i, 0.3 * j) for i, j in AROUND))


@exercise.holds("between straight and diagonal, the nearer one counts: it changes at 22.5 degrees")
def between(thin, case):
    degrees = (15, 21, 24, 30, 62, 66, 70, 110, 114, 155, 160, 201, 204, 290, 337, 340)
    angles = [math.radians(one) for one in degrees]
    directions = ((math.sin(angle), math.cos(angle)) for angle in angles)
    directed(case, thin, some_images(case)[0], *directions)


@exercise.holds("of two pixels that are equally steep, the one uphill stays, and only that one")
def ties(thin, case):
    magnitude = torch.tensor([0.1, 0.5, 0.5, 0.2, 0.2, 0.2]).repeat(2, 1, 5, 1)
    directed(case, thin, magnitude, (0.0, 1.0), (0.0, -1.0))


@exercise.holds("slopes that differ by rounding are equal: the line does not jump")
def rounding(thin, case):
    magnitude = torch.tensor([0.1, 0.5, 0.5, 0.2]).repeat(1, 1, 6, 1)
    magnitude[..., ::2, 1] += 1e-6
    magnitude[..., 1::2, 2] += 1e-6
    directed(case, thin, magnitude, (0.0, 1.0), (0.0, -1.0))


@exercise.holds("every pixel has its own direction; beyond the border everything is flat")
def own(thin, case):
    for dtype in (torch.float32, torch.float64):
        given = some_images(case, dtype=dtype)
        expected = slow(*given)
        case.equal(case.call(thin, *given), expected)


@exercise.holds("where there is no slope there is no ridge")
def flat(thin, case):
    directed(case, thin, some_images(case)[0], (0.0, 0.0))


@exercise.holds("magnitude and slopes are left as they were")
def unchanged(thin, case):
    case.call(thin, *some_images(case))
    case.unchanged()


exercise.mistakes("""
    along-the-edge: pixels are compared along the edge, not across it
    - place = (row + way * step_down) * (width + 2) + column + way * step_across
    + place = (row + way * step_across) * (width + 2) + column - way * step_down
    > the slope points across the edge: compare with the pixels to which it points

    up-for-down: the diagonals are the wrong ones, as if rows were counted upwards
    - down.sign()
    + (-down).sign()
    > rows are counted downwards: a slope down and to the right points to row + 1, column + 1

    one-side: only the neighbour uphill is compared, so a whole flank stays
    - (magnitude > uphill + ALIKE) & (magnitude + ALIKE >= downhill)
    + magnitude > uphill + ALIKE
    > a ridge is steeper than both its neighbours: compare downhill too

    all-around: a pixel must be steeper than all eight around it: only single peaks stay
    - ridge = (magnitude > uphill + ALIKE) & (magnitude + ALIKE >= downhill)
    + ridge = magnitude == F.max_pool2d(magnitude, 3, 1, 1)
    > compare with two neighbours, those along the slope

    two-thick: of two that are equally steep both stay: lines are two pixels thick
    - magnitude > uphill + ALIKE
    + magnitude + ALIKE >= uphill
    > demand more than uphill (>), and at least as much as downhill (>=)

    downhill-of-two [convention]: of two that are equally steep the one downhill stays
    - (magnitude > uphill + ALIKE) & (magnitude + ALIKE >= downhill)
    + (magnitude > downhill + ALIKE) & (magnitude + ALIKE >= uphill)
    > more than uphill, at least as much as downhill: then the one uphill stays

    no-tolerance: magnitudes are compared to the last bit, and rounding makes lines jump
    - (magnitude > uphill + ALIKE) & (magnitude + ALIKE >= downhill)
    + (magnitude > uphill) & (magnitude >= downhill)
    > slopes within ALIKE are equal, in both comparisons

    always-diagonal: the steps are the signs alone: a slope that is hardly oblique is diagonal
    - step_down = (down.sign() * (steep > EIGHTH * flat)).long()
    - step_across = (across.sign() * (flat > EIGHTH * steep)).long()
    + step_down = down.sign().long()
    + step_across = across.sign().long()
    > the step down is 0 where down is less than EIGHTH of across, and the other way round

    flat-counts-as-right: where there is no slope, its angle 0 counts as a slope to the right
    - step_across = (across.sign() * (flat > EIGHTH * steep)).long()
    + step_across = (across.sign() * (flat > EIGHTH * steep)).long()
    + step_across += (steep == 0) & (flat == 0)
    > a pixel without a slope is no ridge: return 0 there
""")

exercise.slips("""
    steep, flat = down.abs(), across.abs() =>
        down, across = across, down; steep, flat = down.abs(), across.abs()
    (magnitude > uphill + ALIKE) & (magnitude + ALIKE >= downhill) => magnitude + ALIKE >= downhill
    steep > EIGHTH * flat => steep > flat ;; flat > EIGHTH * steep => flat >= steep
    steep > EIGHTH * flat => steep > 0.5 * flat ;; flat > EIGHTH * steep => flat > 0.5 * steep
    magnitude * ridge => ridge.to(magnitude.dtype)
    magnitude * ridge => ridge
    magnitude * ridge => magnitude * ~ridge
    magnitude * ridge => (magnitude * ridge)[:, 0]
    F.pad(magnitude, (1, 1, 1, 1)) => F.pad(magnitude, (1, 1, 1, 1), mode="circular")
    magnitude + ALIKE >= downhill => magnitude > downhill + ALIKE
    F.pad(magnitude, (1, 1, 1, 1)) => F.pad(magnitude, (1, 1, 1, 1), mode="replicate")
""")


@exercise.right("all eight, then one")
def by_rolling(magnitude, down, across):
    """All eight neighbours by shifting, then each pixel's own by its angle."""
    eighth = torch.round(torch.atan2(down, across) / (math.pi / 4)).long() % 8
    height, width = magnitude.shape[-2:]
    x = F.pad(magnitude, (1, 1, 1, 1))
    shifted = [x[..., 1 + i : 1 + i + height, 1 + j : 1 + j + width] for i, j in AROUND]
    everything = torch.cat(shifted, dim=1)
    uphill = everything.gather(1, eighth)
    downhill = everything.gather(1, (eighth + 4) % 8)
    ridge = (magnitude - uphill > 1e-5) & (magnitude - downhill >= -1e-5)
    return torch.where(ridge & ((down != 0) | (across != 0)), magnitude, 0)


@exercise.right("four masks")
def four_masks(magnitude, down, across):
    degrees = torch.rad2deg(torch.atan2(down, across))
    height, width = magnitude.shape[-2:]
    padded, kept = F.pad(magnitude, (1, 1, 1, 1)), torch.zeros_like(magnitude)
    sloping = (down != 0) | (across != 0)
    for eighth, (i, j) in enumerate(AROUND):
        here = (degrees - 45 * eighth + 180) % 360 - 180
        uphill = padded[..., 1 + i : 1 + i + height, 1 + j : 1 + j + width]
        downhill = padded[..., 1 - i : 1 - i + height, 1 - j : 1 - j + width]
        ridge = (magnitude > uphill + 1e-5) & (magnitude + 1e-5 >= downhill)
        kept = torch.where((here.abs() < 22.5) & ridge & sloping, magnitude, kept)
    return kept


@exercise.disguise("up-for-down")
def up_for_down_too(magnitude, down, across):
    return by_rolling(magnitude, -down, across)
