"""Exercise canny.thin: of a broad slope only the ridge stays."""

import math

import torch
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
    hints=(
        "A row with the magnitudes [0.1, 0.5, 0.5, 0.2], brighter to the right everywhere: across is "
        "1, down is 0. Two pixels are equally steep, and a line is one pixel thin: the one uphill "
        "stays, so the answer is [0, 0, 0.5, 0]. Brighter to the left (across is -1), it would be "
        "[0, 0.5, 0, 0].",
        "An edge runs across the slope, so a pixel has to be compared along the slope and not along "
        "the edge. The slope (down, across) points uphill to one of eight neighbours: straight if "
        "one of the two is less than tan(1/16 of a turn) = EIGHTH of the other, and diagonal else. "
        "The neighbour downhill lies opposite. See the lesson's part on edges.",
        "step_down and step_across, (B, 1, H, W), each -1, 0 or 1: a sign, or 0 where the other way "
        "wins. Pad the magnitude with zeros by one pixel, flatten each image to "
        "((H + 2) * (W + 2)) numbers, and gather at row * (W + 2) + column, moved by the steps, and "
        "then by the steps backwards. A step of (0, 0) compares a pixel with itself: it is no ridge.",
        "padded = F.pad(magnitude, (1, 1, 1, 1)).flatten(1); place = (row + way * step_down) * "
        "(width + 2) + column + way * step_across for way 1 (uphill) and -1 (downhill), rows and "
        "columns from 1; magnitude * ((magnitude > uphill + ALIKE) & (magnitude + ALIKE >= downhill))",
    ),
)

AROUND = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]  # by the eighth


def slow(magnitude: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """The oracle: one pixel at a time, its direction as an angle."""
    kept = torch.zeros_like(magnitude)
    batch, _, height, width = magnitude.shape
    sizes = magnitude.tolist()
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                rise, run = float(down[b, 0, y, x]), float(across[b, 0, y, x])
                i, j = AROUND[round(math.atan2(rise, run) / (math.pi / 4)) % 8]
                if rise == run == 0:
                    continue
                here, levels = sizes[b][0][y][x], []
                for v, u in ((y + i, x + j), (y - i, x - j)):
                    levels.append(sizes[b][0][v][u] if 0 <= v < height and 0 <= u < width else 0.0)
                if here > levels[0] + 1e-5 and here + 1e-5 >= levels[1]:
                    kept[b, 0, y, x] = magnitude[b, 0, y, x]
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
