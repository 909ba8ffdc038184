"""Exercise canny.thin: of a broad slope only the ridge stays."""

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
        1. A row of magnitudes [0.1, 0.5, 0.5, 0.2], brighter to the right (across 1, down 0): of
           two that are equally steep the one uphill stays: [0, 0, 0.5, 0]. Brighter to the left
           (across -1) it is [0, 0.5, 0, 0].
        2. A pixel is compared along the slope, not along the edge. (down, across) points uphill, to
           one of eight neighbours: straight if one of the two is less than EIGHTH of the other,
           else diagonal. The neighbour downhill lies opposite.
        3. step_down and step_across, (B, 1, H, W), each -1, 0 or 1. Pad with zeros, flatten to
           ((H + 2) * (W + 2)) numbers, and gather at row * (W + 2) + column, moved by the steps,
           and by the steps backwards. A step of (0, 0) compares a pixel with itself: no ridge.
        4. padded = F.pad(magnitude, (1, 1, 1, 1)).flatten(1); place = (row + way * step_down) *
           (width + 2) + column + way * step_across for way 1 (uphill) and -1 (downhill), rows and
           columns from 1; magnitude * ((magnitude > uphill + ALIKE) & (magnitude + ALIKE >=
           downhill))
    """,
)
AROUND = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]  # by the eighth


def slow(magnitude: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """The oracle: one pixel at a time, its direction as an angle."""
    kept, wide = torch.zeros_like(magnitude), F.pad(magnitude, (1, 1, 1, 1))
    for b, _, y, x in torch.cartesian_prod(*map(torch.arange, magnitude.shape)).tolist():
        rise, run = float(down[b, 0, y, x]), float(across[b, 0, y, x])
        i, j = AROUND[round(math.atan2(rise, run) / (math.pi / 4)) % 8]
        here, *levels = wide[b, 0, [y + 1, y + 1 + i, y + 1 - i], [x + 1, x + 1 + j, x + 1 - j]]
        if (rise or run) and here > levels[0] + 1e-5 and here + 1e-5 >= levels[1]:
            kept[b, 0, y, x] = here
    return kept


def some_images(case, H=5, W=6, dtype=torch.float32):
    """A magnitude that is nowhere alike or 0, and directions all around."""
    order = torch.stack([case.permutation(H * W), case.permutation(H * W)])
    magnitude = (order.view(2, 1, H, W) + 1).to(dtype) / (H * W)
    down, across = (case.normal(B=2, C=1, H=H, W=W, dtype=dtype) for _ in range(2))
    return case.named(magnitude, "B C H W"), down, across


def pointing(case, magnitude, down, across):
    """The same direction at every pixel."""
    return (
        case.named(magnitude, "B C H W"),
        case.named(torch.full_like(magnitude, float(down)), "B C H W"),
        case.named(torch.full_like(magnitude, float(across)), "B C H W"),
    )


@exercise.holds("the answer is as large as the magnitude, one channel each")
def shape(thin, case):
    case.shape(case.call(thin, *some_images(case)), "B C H W")


@exercise.holds(
    "across a slope to the right, a line is kept where its neighbours left and right are less"
)
def upright(thin, case):
    magnitude = torch.rand(2, 1, 4, 7, generator=case.generator) * 0.3 + 0.1
    magnitude[0, :, :, 2] += 0.4
    magnitude[1, :, :, 5] += 0.4
    given = pointing(case, magnitude, 0.0, 1.0)
    case.equal(case.call(thin, *given), slow(*given))


@exercise.holds("for each of the eight directions, the neighbours compared lie along it")
def eight(thin, case):
    magnitude = some_images(case)[0]
    cases = []
    for down, across in AROUND:
        given = pointing(case, magnitude, 0.3 * down, 0.3 * across)
        cases.append((given, slow(*given)))
    case.each(thin, *cases)


@exercise.holds("between straight and diagonal, the nearer one counts: it changes at 22.5 degrees")
def between(thin, case):
    magnitude = some_images(case)[0]
    cases = []
    for degrees in (15, 21, 24, 30, 62, 66, 70, 110, 114, 155, 160, 201, 204, 290, 337, 340):
        angle = math.radians(degrees)
        given = pointing(case, magnitude, math.sin(angle), math.cos(angle))
        cases.append((given, slow(*given)))
    case.each(thin, *cases)


@exercise.holds("of two pixels that are equally steep, the one uphill stays, and only that one")
def ties(thin, case):
    row = torch.tensor([0.1, 0.5, 0.5, 0.2, 0.2, 0.2])
    magnitude = row.expand(2, 1, 5, 6).clone()
    cases = []
    for across in (1.0, -1.0):
        given = pointing(case, magnitude, 0.0, across)
        cases.append((given, slow(*given)))
    case.each(thin, *cases)


@exercise.holds("slopes that differ by rounding are equal: the line does not jump")
def rounding(thin, case):
    row = torch.tensor([0.1, 0.5, 0.5, 0.2])
    magnitude = row.expand(1, 1, 6, 4).clone()
    magnitude[..., ::2, 1] += 1e-6
    magnitude[..., 1::2, 2] += 1e-6
    cases = []
    for across in (1.0, -1.0):
        given = pointing(case, magnitude, 0.0, across)
        cases.append((given, slow(*given)))
    case.each(thin, *cases)


@exercise.holds("every pixel goes by its own direction; beyond the border everything is flat")
def own(thin, case):
    given = some_images(case)
    case.equal(case.call(thin, *given), slow(*given))


@exercise.holds("where nothing changes there is no ridge")
def flat(thin, case):
    magnitude = some_images(case)[0]
    given = pointing(case, magnitude, 0.0, 0.0)
    case.equal(case.call(thin, *given), torch.zeros_like(magnitude))


@exercise.holds("transposed slopes give the transposed ridges")
def transposed(thin, case):
    magnitude, down, across = some_images(case)
    turned = (across.transpose(2, 3), down.transpose(2, 3))
    given = [case.named(x.contiguous(), "B C W H") for x in (magnitude.transpose(2, 3), *turned)]
    case.equal(case.call(thin, *given), slow(magnitude, down, across).transpose(2, 3))


@exercise.holds("in half precision or double, the answer has the dtype of the magnitude")
def dtypes(thin, case):
    given = some_images(case, dtype=torch.float64)
    case.equal(case.call(thin, *given), slow(*given))


@exercise.holds("magnitude and slopes are left as they were")
def unchanged(thin, case):
    case.call(thin, *some_images(case))
    case.unchanged()


exercise.mistakes("""
    up-for-down: the diagonals are the wrong ones: y is taken to run up
    - step_down = (down.sign() * (steep > EIGHTH * flat)).long()
    + step_down = (-down.sign() * (steep > EIGHTH * flat)).long()
    > rows are counted downwards: a slope down and to the right points to row + 1, column + 1

    two-thick: of two that are equally steep both stay: lines are two pixels thick
    - magnitude > uphill + ALIKE
    + magnitude + ALIKE >= uphill
    > demand more than uphill (>), and at least as much as downhill (>=)

    downhill-of-two [convention]: of two that are equally steep the one downhill stays
    - ridge = (magnitude > uphill + ALIKE) & (magnitude + ALIKE >= downhill)
    + ridge = (magnitude > downhill + ALIKE) & (magnitude + ALIKE >= uphill)
    > more than uphill, at least as much as downhill: then the one uphill stays

    no-tolerance: magnitudes are compared to the last bit, and rounding makes lines jump
    - ridge = (magnitude > uphill + ALIKE) & (magnitude + ALIKE >= downhill)
    + ridge = (magnitude > uphill) & (magnitude >= downhill)
    > count slopes within ALIKE as equal, in both comparisons

    four-directions: there are no diagonals: only four of eight directions
    - step_down = (down.sign() * (steep > EIGHTH * flat)).long()
    - step_across = (across.sign() * (flat > EIGHTH * steep)).long()
    + step_down = (down.sign() * (steep > flat)).long()
    + step_across = (across.sign() * (flat >= steep)).long()
    > a step goes both ways at once unless one is less than EIGHTH of the other

    always-diagonal: the steps are the signs alone: a slope that is hardly oblique counts as
    diagonal
    - step_down = (down.sign() * (steep > EIGHTH * flat)).long()
    - step_across = (across.sign() * (flat > EIGHTH * steep)).long()
    + step_down = down.sign().long()
    + step_across = across.sign().long()
    > the step down is 0 where down is less than EIGHTH of across, and the other way round
""")

exercise.slips("""
    way * step_down) * (width + 2) + column + way * step_across =>
        way * step_across) * (width + 2) + column - way * step_down
    magnitude * ridge => ridge.to(magnitude.dtype)
    return magnitude * ridge => return ridge
    return magnitude * ridge => return magnitude * ~ridge
    return magnitude * ridge => return (magnitude * ridge)[:, 0]
    EIGHTH * flat => 0.5 * flat ;; EIGHTH * steep => 0.5 * steep
    steep, flat = => down, across = across, down; steep, flat =
    F.pad(magnitude, (1, 1, 1, 1)) => F.pad(magnitude, (1, 1, 1, 1), mode="circular")
    F.pad(magnitude, (1, 1, 1, 1)) => F.pad(magnitude, (1, 1, 1, 1), mode="replicate")
    magnitude + ALIKE >= downhill => magnitude > downhill + ALIKE
""")


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


@exercise.right("all eight, then one")
def all_eight(magnitude, down, across):
    return by_rolling(magnitude, down, across)


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
