"""Exercise embeddings.resize_positions: what was learned at one image size serves another."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="embeddings.resize_positions",
    order=50,
    target="scratchmm.vision.vit:resize_positions",
    title="Positions for another image size",
    goal="lay the positions out as a grid, stretch it bicubically, lay it flat again",
    minutes=15,
    difficulty=3,
    section="Another image size",
    needs=("embeddings.patchify", "vit.ViTEmbeddings"),
    hints="""
        1. Six positions of a grid of 2 x 3 become 20 of a grid of 4 x 5. If the old ones depend on
           their row only (0, 0, 0, 1, 1, 1), the first five of the 20 must still be alike.
        2. Each of the D numbers of a position is one small grey image of rows x columns. Stretch
           those images as one stretches images. The lesson shows some of them before and after.
        3. (N, D) becomes (1, D, rows, columns), for F.interpolate an image of D channels: split N
           and permute D forward, a reshape alone mixes them. Bicubic, corners not aligned. (1, D,
           new rows, new columns) goes back to (new N, D), D last again.
        4. grid = positions.T.reshape(1, -1, *old_grid); grid = F.interpolate(grid, size=new_grid,
           mode='bicubic', align_corners=False); return grid.flatten(2)[0].T
    """,
)

OLD, LARGER, SMALLER = (2, 6), (5, 7), (3, 4)  # rows and columns


def stretching(old: int, new: int) -> Tensor:
    """The matrix (new, old) of bicubic interpolation along one axis, from its formula.

    New cell i lies at (i + 0.5) old / new - 0.5 among the old ones. It takes from the four cells
    around it; a cell beyond the border is the one at the border.
    """

    def share(distance: float) -> float:
        a, x = -0.75, abs(distance)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a

    matrix = torch.zeros(new, old, dtype=torch.float64)
    for cell in range(new):
        place = (cell + 0.5) * old / new - 0.5
        for near in range(math.floor(place) - 1, math.floor(place) + 3):
            matrix[cell, min(max(near, 0), old - 1)] += share(place - near)
    return matrix


def by_matrices(positions: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int]) -> Tensor:
    """The oracle: one matrix for the rows and one for the columns."""
    down, across = (
        stretching(*pair).to(positions) for pair in zip(old_grid, new_grid, strict=True)
    )
    grid = positions.unflatten(0, old_grid)
    return torch.einsum("ir,jc,rcd->ijd", down, across, grid).flatten(0, 1)


@exercise.holds("a grid of 2 x 6 becomes one of 5 x 7: 35 positions, as wide as before")
def shape(resize_positions, case):
    got = case.call(resize_positions, case.normal(N=12, D=5), OLD, LARGER)
    case.sizes.update(N=35)
    case.shape(got, "N D")


@exercise.holds("the positions that were handed in stay as they were")
def unchanged(resize_positions, case):
    case.call(resize_positions, case.normal(N=12, D=5), OLD, LARGER)
    case.unchanged()


@exercise.holds("positions that are the same everywhere stay the same")
def constant(resize_positions, case):
    one = case.normal(D=5)
    positions = case.named(one.expand(12, 5).contiguous(), "N D")
    case.equal(case.call(resize_positions, positions, OLD, LARGER), one.expand(35, 5))


@exercise.holds("what depends on the row only still does so, and likewise for the column")
def rows_and_columns(resize_positions, case):
    rows, columns = case.normal(R=2, D=5), case.normal(C=6, D=5)
    for grid in (rows[:, None].expand(2, 6, 5), columns[None].expand(2, 6, 5)):
        positions = case.named(grid.flatten(0, 1).contiguous(), "N D")
        got = case.call(resize_positions, positions, OLD, LARGER)
        case.equal(got, by_matrices(positions, OLD, LARGER))


def stretched(sentence, old_grid, new_grid):
    """A property: this grid becomes that one as the oracle says."""

    @exercise.holds(sentence)
    def property(resize_positions, case):
        given = case.normal(N=math.prod(old_grid), D=5), old_grid, new_grid
        case.equal(case.call(resize_positions, *given), by_matrices(*given))


stretched("a larger grid is the old one stretched: bicubic, corners not aligned", OLD, LARGER)
stretched("a grid with fewer columns works too, with the same four neighbours each", OLD, SMALLER)
stretched("a grid of 11 rows becomes one of 15: no row is lost by rounding", (11, 3), (15, 4))


@exercise.holds("as many positions as the old grid has places, or a ValueError")
def refused(resize_positions, case):
    for count in (14, 24, 11):
        case.refuses(ValueError, resize_positions, case.normal(N=count, D=5), OLD, LARGER)


@exercise.holds("to the same grid, nothing changes")
def same_grid(resize_positions, case):
    positions = case.normal(N=9, D=5)
    case.equal(case.call(resize_positions, positions, (3, 3), (3, 3)), positions)


@exercise.holds("gradients reach the positions, so that training at the new size goes on")
def gradients(resize_positions, case):
    case.gradients(resize_positions, by_matrices, case.normal(N=12, D=5), OLD, LARGER)


exercise.mistakes("""
    corners-aligned [convention]: align_corners=True: the corners of both grids lie on each other
    - align_corners=False
    + align_corners=True
    > a cell has a width: published models stretch with align_corners=False

    bilinear [convention]: the grid is stretched bilinearly
    - mode="bicubic"
    + mode="bilinear"
    > published models use mode="bicubic"

    antialiased [convention]: the grid is smoothed before it shrinks (antialias=True)
    - align_corners=False
    + align_corners=False, antialias=True
    > leave antialias off: published models do not smooth their positions

    reshaped-not-permuted: a reshape to (1, D, rows, columns), which mixes width and place
    - grid = rearrange(positions, "(h w) d -> 1 d h w", h=rows)
    + grid = positions.reshape(1, -1, rows, columns)
    - return rearrange(grid, "1 d h w -> (h w) d")
    + return grid.reshape(-1, positions.shape[1])
    > D is the last axis and must come forward: transpose or permute before you reshape

    square-assumed: the old grid is taken for a square: its side is the root of N
    - grid = rearrange(positions, "(h w) d -> 1 d h w", h=rows)
    + side = int(len(positions) ** 0.5)
    + grid = rearrange(positions[: side * side], "(h w) d -> 1 d h w", h=side)
    > rows and columns stand in old_grid

    along-the-row-of-all: the positions are stretched as one long row
    - grid = F.interpolate(grid, size=new_grid, mode="bicubic", align_corners=False)
    - return rearrange(grid, "1 d h w -> (h w) d")
    + size = new_grid[0] * new_grid[1]
    + return F.interpolate(positions.T[None], size=size, mode="linear", align_corners=False)[0].T
    > lay them out as rows x columns first

    tiled: nothing is stretched: the old grid is cropped, or repeated where it is too small
    - grid = F.interpolate(grid, size=new_grid, mode="bicubic", align_corners=False)
    + grid = grid[:, :, torch.arange(new_grid[0]) % rows]
    + grid = grid[..., torch.arange(new_grid[1]) % columns]
    > a position must mean the same part of the image as before: stretch the whole grid

    by-a-factor: it is stretched by a factor (scale_factor): rounding may leave a row short
    - grid = F.interpolate(grid, size=new_grid, mode="bicubic", align_corners=False)
    + factors = new_grid[0] / rows, new_grid[1] / columns
    + grid = F.interpolate(grid, scale_factor=factors, mode="bicubic")
    > F.interpolate takes the size itself: size=new_grid
""")

exercise.slips("""
    mode="bicubic", align_corners=False => mode="nearest"
    "1 d h w -> (h w) d" => "1 d h w -> d (h w)"
    size=new_grid => size=new_grid[::-1]
    old_grid == new_grid => len(positions) == new_grid[0] * new_grid[1]
    rearrange(grid, "1 d h w -> (h w) d") => grid.reshape(-1, positions.shape[1])
    h=rows => h=columns
    return rearrange(grid, "1 d h w -> (h w) d") => positions.data.zero_(); return rearrange(grid,
        "1 d h w -> (h w) d")
""")


@exercise.refusing
def refuse(positions, old_grid, new_grid):
    if len(positions) != old_grid[0] * old_grid[1]:
        raise ValueError(f"{len(positions)} positions for {old_grid}")


@exercise.right("matrices")
def with_matrices(positions, old_grid, new_grid):
    return by_matrices(positions, old_grid, new_grid)


@exercise.right("rows, then columns")
def rows_then_columns(positions, old_grid, new_grid):
    grid = positions.T.reshape(1, -1, *old_grid)
    for size in ((new_grid[0], old_grid[1]), new_grid):
        grid = F.interpolate(grid, size=size, mode="bicubic", align_corners=False)
    return grid.flatten(2)[0].T
