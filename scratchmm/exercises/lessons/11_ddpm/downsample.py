"""Exercise unet_blocks.Downsample: half the height and half the width, by a convolution."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="unet_blocks.Downsample",
    order=50,
    target="scratchmm.diffusion.unet_blocks:Downsample",
    title="Three cells over two",
    goal="zeros at the right edges, then a convolution of kernel 3 with stride 2",
    minutes=15,
    difficulty=2,
    section="Down and up",
    methods={
        "__init__": "remember which edges get zeros; self.convolution: kernel 3, stride 2, no padding",
        "forward": "zeros at those edges, then the convolution: (B, C, X // 2, Y // 2)",
    },
    hints=(
        "One row of four cells [1, 2, 3, 4] (one channel, a kernel that adds up three cells in a "
        "row). With a zero at the right the windows are 1 2 3 and 3 4 0: the result is [6, 7]. "
        "Centred they are 0 1 2 and 2 3 4: [3, 9]. Without a zero only one window fits.",
        "A window of 3 that moves by 2 over an even number of cells needs one cell more, at one end: "
        "which end is a habit of the framework, and weights that were trained with one do not fit "
        "the other. Pooling would halve too, but nothing in it is learned.",
        "In __init__: begin as every module begins; a convolution from channels to channels, kernel "
        "3, stride 2; and which of left, right, top, bottom get a row of zeros: right and bottom, or "
        "all four if centred. In forward: x (B, C, X, Y) gets them, then the convolution.",
        "__init__: self.convolution = nn.Conv2d(channels, channels, kernel_size=3, stride=2); "
        "self.edges = (1, 1, 1, 1) if centred else (0, 1, 0, 1); "
        "forward: return self.convolution(F.pad(x, self.edges))",
    ),
)
CHANNELS = 3


def made(case: Case, factory: Any, **options: bool) -> Any:
    """One with copied weights."""
    return case.build(factory, CHANNELS, **options)


def some_images(case: Case, X: int = 6, Y: int = 10) -> Tensor:
    return case.normal(B=2, C=CHANNELS, X=X, Y=Y)


def window_by_window(x: Tensor, module: Any, first: int) -> Tensor:
    """The oracle: cell (i, j) sees the 3 x 3 cells from row and column 2 i + first on, 0 outside."""
    weight, bias = module.convolution.weight, module.convolution.bias
    rows, columns = x.shape[-2] // 2, x.shape[-1] // 2
    wide = x.new_zeros(*x.shape[:2], 2 * rows + 2, 2 * columns + 2)
    wide[:, :, 1:-1, 1:-1] = x
    cells = []
    for i in range(rows):
        for j in range(columns):
            top, left = 2 * i + 1 + first, 2 * j + 1 + first
            window = wide[:, :, top : top + 3, left : left + 3]
            cells.append((window[:, None] * weight).sum(dim=(2, 3, 4)) + bias)
    return torch.stack(cells, dim=-1).unflatten(-1, (rows, columns))


@exercise.holds("it has the parameters of one convolution: weight (C, C, 3, 3) and bias (C)")
def parameters(downsample, case):
    module = case.call(downsample, CHANNELS)
    got = {name: tuple(p.shape) for name, p in sorted(module.named_parameters())}
    case.equal(got, {"convolution.bias": (3,), "convolution.weight": (3, 3, 3, 3)})


@exercise.holds("height and width are halved, the channels stay")
def shape(downsample, case):
    for centred in (False, True):
        got = case.call(made(case, downsample, centred=centred), some_images(case))
        case.shape(got, "B C X//2 Y//2")


@exercise.holds("on black images nothing comes out but the bias: what is added at the edges is 0")
def black(downsample, case):
    for centred in (False, True):
        module = made(case, downsample, centred=centred)
        x = case.named(torch.zeros(2, CHANNELS, 4, 8), "B C X Y")
        bias = module.convolution.bias.detach()
        case.equal(case.call(module, x), bias[:, None, None].expand(2, 3, 2, 4))


def first_window(case: Case, module: Any) -> Tensor:
    """Which cells of the image change cell (1, 2) of the result: bool (X, Y)."""
    x = some_images(case).requires_grad_()
    result = case.call(module, x)
    (gradient,) = torch.autograd.grad(result[:, :, 1, 2].sum(), x)
    seen: Tensor = case.seen((gradient != 0).any(dim=1).all(dim=0))
    return seen


@exercise.holds("cell (i, j) sees rows 2 i to 2 i + 2 and columns 2 j to 2 j + 2")
def which_cells(downsample, case):
    expected = torch.zeros(6, 10, dtype=torch.bool)
    expected[2:5, 4:7] = True
    got = first_window(case, made(case, downsample))
    case.equal(got, expected, "whether cell (1, 2) sees each cell of the image")


@exercise.holds("centred, it sees one cell to each side of (2 i, 2 j)")
def which_cells_centred(downsample, case):
    expected = torch.zeros(6, 10, dtype=torch.bool)
    expected[1:4, 3:6] = True
    got = first_window(case, made(case, downsample, centred=True))
    case.equal(got, expected, "whether cell (1, 2) sees each cell of the image")


@exercise.holds(
    "it equals the convolution, window by window, with zeros at the right and the bottom"
)
def windows(downsample, case):
    module = made(case, downsample)
    x = some_images(case, 8, 6)
    case.equal(case.call(module, x), window_by_window(x, module, first=0))


@exercise.holds("centred, it equals the convolution with zeros on all sides, window by window")
def windows_centred(downsample, case):
    module = made(case, downsample, centred=True)
    x = some_images(case, 4, 6)
    case.equal(case.call(module, x), window_by_window(x, module, first=-1))


@exercise.holds("images are left as they were, and do not touch each other")
def each_alone(downsample, case):
    module, x = made(case, downsample), some_images(case)
    both = case.call(module, x)
    case.unchanged()
    alone = case.call(module, case.named(x[1:].clone(), "B C X Y"))
    case.equal(alone[0], both[1], "the second image alone")


@exercise.holds("the gradients reach the images, the weights and the bias")
def gradients(downsample, case):
    module = made(case, downsample).double()
    weight, bias = module.convolution.weight, module.convolution.bias
    x = some_images(case, 4, 6)
    case.gradients(
        module,
        lambda x: F.conv2d(F.pad(x, (0, 1, 0, 1)), weight, bias, stride=2),
        x,
        parameters=module,
    )
