"""Exercise unet_blocks.Downsample: half the height and half the width, by a convolution."""

import torch
import torch.nn.functional as F
from torch import nn

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
    hints="""
        1. One row of four cells [1, 2, 3, 4] (one channel, a kernel that adds up three cells in a
           row). With a zero at the right the windows are 1 2 3 and 3 4 0: the result is [6, 7].
           Centred they are 0 1 2 and 2 3 4: [3, 9]. Without a zero only one window fits.
        2. A window of 3 that moves by 2 over an even number of cells needs one cell more, at one
           end: which end is a convention of the framework, and weights trained with one do not fit
           the other. Pooling would halve too, but nothing in it is learned.
        3. In __init__: a convolution from channels to channels, kernel 3, stride 2; and which of
           left, right, top, bottom get a row of zeros: right and bottom, or all four if centred. In
           forward: x (B, C, X, Y) gets them, then the convolution.
        4. __init__: self.convolution = nn.Conv2d(channels, channels, kernel_size=3, stride=2);
           self.edges = (1, 1, 1, 1) if centred else (0, 1, 0, 1); forward: return
           self.convolution(F.pad(x, self.edges))
    """,
)


def made(case, downsample, centred=False):
    """One of 3 channels with copied weights."""
    return case.build(downsample, 3, centred=centred)


def window_by_window(x, module, first):
    """The oracle: cell (i, j) of 3 x 3 cells from row and column 2 i + first on, 0 outside."""
    weight, bias = module.convolution.weight, module.convolution.bias
    wide = F.pad(x, (1, 2, 1, 2))
    rows = []
    for i in range(x.shape[2] // 2):
        tops = wide[:, :, 2 * i + 1 + first :][:, :, :3]
        lefts = [2 * j + 1 + first for j in range(x.shape[3] // 2)]
        windows = [tops[:, None, :, :, left : left + 3] for left in lefts]
        rows.append(torch.stack([(one * weight).sum((2, 3, 4)) + bias for one in windows], -1))
    return torch.stack(rows, -2)


@exercise.holds("it has the parameters of one convolution: weight (C, C, 3, 3) and bias (C)")
def parameters(downsample, case):
    module = case.call(downsample, 3)
    got = {name: tuple(p.shape) for name, p in sorted(module.named_parameters())}
    case.equal(got, {"convolution.bias": (3,), "convolution.weight": (3, 3, 3, 3)})


@exercise.holds("height and width are halved, the channels stay")
def shape(downsample, case):
    for centred in (False, True):
        got = case.call(made(case, downsample, centred), case.normal(B=2, C=3, X=6, Y=10))
        case.shape(got, "B C X//2 Y//2")


@exercise.holds("on black images nothing comes out but the bias: what is added at the edges is 0")
def black(downsample, case):
    for centred in (False, True):
        module = made(case, downsample, centred)
        x = case.named(torch.zeros(2, 3, 4, 8), "B C X Y")
        bias = module.convolution.bias.detach()
        case.equal(case.call(module, x), bias[:, None, None].expand(2, 3, 2, 4))


@exercise.holds("cell (i, j) depends on rows 2 i to 2 i + 2; centred, on 2 i - 1 to 2 i + 1")
def which_cells(downsample, case):
    for first, centred in enumerate((True, False), start=1):
        expected = torch.zeros(6, 10, dtype=torch.bool)
        expected[first : first + 3, first + 2 : first + 5] = True
        x = case.normal(B=2, C=3, X=6, Y=10).requires_grad_()
        result = case.call(made(case, downsample, centred), x)
        total = result[:, :, 1, 2].sum()
        (gradient,) = torch.autograd.grad(total, x, materialize_grads=True)
        got = case.seen((gradient != 0).any(dim=1).all(dim=0))
        case.equal(got, expected, "whether cell (1, 2) depends on each cell of the image")


@exercise.holds(
    "it equals the convolution, window by window, with zeros right and below, or around"
)
def windows(downsample, case):
    for first, centred in ((0, False), (-1, True)):
        module, x = made(case, downsample, centred), case.normal(B=2, C=3, X=8, Y=6)
        case.equal(case.call(module, x), window_by_window(x, module, first))
        case.unchanged()


exercise.mistakes("""
    always-centred [convention]: zeros stand on all sides, whatever `centred` is
    - (0, 1, 0, 1)
    + (1, 1, 1, 1)
    > on all sides only if centred; else at the right and the bottom, as DDPM has it

    left-and-top [twin=always-centred]: zeros stand at the left and the top
    - (0, 1, 0, 1)
    + (1, 0, 1, 0)
    > F.pad takes left, right, top, bottom: (0, 1, 0, 1) is right and bottom

    left-and-right: zeros stand at the left and the right, none above or below
    - (0, 1, 0, 1)
    + (1, 1, 0, 0)
    > F.pad takes left, right, top, bottom: (0, 1, 0, 1) is right and bottom

    zeros-twice: the convolution pads on all sides, and zeros are added on top of that
    - stride=2)
    + stride=2, padding=1)
    > pad once: in forward, with a convolution that has no padding

    zeros-in-the-batch: zeros are added as channels and rows, not as rows and columns
    - F.pad(x, self.edges)
    + F.pad(x, (0, 0, *self.edges))
    > F.pad counts from the last axis: the width first, then the height

    thinned-out-before: every second cell is dropped before the convolution
    - stride=2
    + stride=1, padding=1
    - F.pad(x, self.edges)
    + x[:, :, ::2, ::2]
    > the convolution itself moves by two cells, over all that are there

    pooled: a convolution of the whole image, then the mean of each four cells
    - stride=2
    + stride=1, padding=1
    - self.convolution(F.pad(x, self.edges))
    + F.avg_pool2d(self.convolution(x), 2)
    > one convolution that moves by two cells does both

    twice-the-channels: the channels are doubled while the grid is halved
    - channels, channels
    + channels, 2 * channels
    > here the channels stay; the block after it changes them
""")

exercise.slips("""
    if centred => if not centred
    (0, 1, 0, 1) => (0, 0, 1, 1)
    (0, 1, 0, 1) => (0, 1, 1, 0)
    F.pad(x, self.edges) => F.pad(x, self.edges, mode="replicate")
    F.pad(x, self.edges) => F.pad(x, self.edges, value=1.0)
    F.pad(x, self.edges) => F.pad(x.detach(), self.edges)
    F.pad(x, self.edges) => F.pad(x[:, :, :-1, :-1], (0, 2, 0, 2))
    F.pad(x, self.edges) => F.pad(x - x.mean(0), self.edges)
    kernel_size=3 => kernel_size=2
    stride=2) => stride=2, bias=False)
    stride=2) => stride=2, groups=channels)
    return self.convolution => return x[:, :, ::2, ::2] + self.convolution
    return self.convolution(F.pad(x, self.edges)) => result = self.convolution(F.pad(x, self.edges));
        x.data[:, :, -1] = 0; return result
""")


@exercise.right("two paddings")
class TwoPaddings(nn.Module):
    def __init__(self, channels, centred=False):
        super().__init__()
        self.centred = centred
        self.convolution = nn.Conv2d(channels, channels, 3, stride=2, padding=int(centred))

    def forward(self, x):
        return self.convolution(x if self.centred else F.pad(x, (0, 1, 0, 1)))


@exercise.right("written into zeros", method="forward")
def written_into_zeros(self, x):
    first, (rows, columns) = self.edges[0], x.shape[-2:]
    wide = x.new_zeros(*x.shape[:2], rows + 1 + first, columns + 1 + first)
    wide[:, :, first : first + rows, first : first + columns] = x
    return self.convolution(wide)


@exercise.disguise("always-centred")
class AlwaysCentred(nn.Module):
    def __init__(self, channels, centred=False):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x):
        return self.convolution(x)
