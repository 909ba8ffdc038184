"""Wrong and other right answers to unet_blocks.Downsample."""

import torch
import torch.nn.functional as F
from torch import nn

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/downsample").exercise

BEHIND = "(0, 1, 0, 1)"
CONVOLUTION = "nn.Conv2d(channels, channels, kernel_size=3, stride=2)"
RESULT = "self.convolution(F.pad(x, self.edges))"

exercise.edit(
    "always-centred",
    (BEHIND, "(1, 1, 1, 1)"),
    story="zeros stand on all sides, whatever is asked for",
    advice="on all sides only if centred; else at the right and the bottom, as DDPM has it",
    convention=True,
)
exercise.edit(
    "never-centred",
    ("(1, 1, 1, 1)", BEHIND),
    story="zeros stand at the right and the bottom, even where centred is asked for",
    advice="centred: one row of zeros on each of the four sides",
)
exercise.edit(
    "the-other-way",
    ("if centred", "if not centred"),
    story="centred and not centred are exchanged",
    advice="centred puts zeros on all four sides",
)
exercise.edit(
    "left-and-top",
    (BEHIND, "(1, 0, 1, 0)"),
    story="zeros stand at the left and the top",
    advice="F.pad takes left, right, top, bottom: (0, 1, 0, 1) is right and bottom",
    twin="always-centred",  # no window reaches the zeros behind an even number of cells
)
exercise.edit(
    "left-and-right",
    (BEHIND, "(1, 1, 0, 0)"),
    story="zeros stand at the left and the right, none above or below",
    advice="F.pad takes left, right, top, bottom: (0, 1, 0, 1) is right and bottom",
)
exercise.edit(
    "top-and-bottom",
    (BEHIND, "(0, 0, 1, 1)"),
    story="zeros stand at the top and the bottom, none at the right",
    advice="F.pad takes left, right, top, bottom: (0, 1, 0, 1) is right and bottom",
)
exercise.edit(
    "right-and-top",
    (BEHIND, "(0, 1, 1, 0)"),
    story="zeros stand at the right and the top",
    advice="F.pad takes left, right, top, bottom: (0, 1, 0, 1) is right and bottom",
)
exercise.edit(
    "no-zeros",
    (RESULT, "self.convolution(x)"),
    story="no zeros are added: the last window does not fit, and a row and a column are lost",
    advice="F.pad(x, ...) before the convolution",
)
exercise.edit(
    "zeros-twice",
    ("stride=2)", "stride=2, padding=1)"),
    story="the convolution pads on all sides, and zeros are added on top of that",
    advice="pad once: in forward, with a convolution that has no padding",
)
exercise.edit(
    "zeros-in-the-batch",
    (RESULT, "self.convolution(F.pad(x, (0, 0, *self.edges[:2], *self.edges[2:])))"),
    story="zeros are added as channels and rows, not as rows and columns",
    advice="F.pad counts from the last axis: the width first, then the height",
)
exercise.edit(
    "edges-repeated",
    (RESULT, 'self.convolution(F.pad(x, self.edges, mode="replicate"))'),
    story="the image's last row and column are repeated at the edges, instead of zeros",
    advice="F.pad with its usual mode, which adds zeros",
)
exercise.edit(
    "edges-of-one",
    (RESULT, "self.convolution(F.pad(x, self.edges, value=1.0))"),
    story="ones are added at the edges, not zeros",
    advice="F.pad adds zeros if it is not told otherwise",
)
exercise.edit(
    "stride-1",
    ("stride=2", "stride=1"),
    story="the convolution moves by one cell: nothing is halved",
    advice="stride=2",
)
exercise.edit(
    "thinned-out-before",
    ("stride=2", "stride=1, padding=1"),
    (RESULT, "self.convolution(x[:, :, ::2, ::2])"),
    story="every second cell is thrown away before the convolution, which never sees it",
    advice="the convolution itself moves by two cells, over all that are there",
)
exercise.edit(
    "pooled",
    ("stride=2", "stride=1, padding=1"),
    (RESULT, "F.avg_pool2d(self.convolution(x), 2)"),
    story="a convolution of the whole image, then the mean of each four cells",
    advice="one convolution that moves by two cells does both",
)
exercise.edit(
    "kernel-2",
    ("kernel_size=3", "kernel_size=2"),
    story="the kernel is 2: it fits without zeros, but is not the one of the paper",
    advice="kernel_size=3",
)
exercise.edit(
    "no-bias",
    ("stride=2)", "stride=2, bias=False)"),
    story="the convolution has no bias",
    advice="leave the bias in: published weights have one",
)
exercise.edit(
    "twice-the-channels",
    (CONVOLUTION, "nn.Conv2d(channels, 2 * channels, kernel_size=3, stride=2)"),
    story="the channels are doubled while the grid is halved",
    advice="here the channels stay; the block after it changes them",
)
exercise.edit(
    "each-channel-alone",
    ("stride=2)", "stride=2, groups=channels)"),
    story="every channel is convolved by itself",
    advice="an ordinary convolution: every channel out sees every channel in",
)
exercise.edit(
    "left-over",
    (RESULT, "x[:, :, ::2, ::2] + " + RESULT),
    story="the image itself, thinned out, is added to the convolution",
    advice="there is no shortcut here: the convolution alone",
)
exercise.edit(
    "cut-off",
    ("F.pad(x, self.edges)", "F.pad(x.detach(), self.edges)"),
    story="the image is cut off: nothing before this layer learns",
    advice="no detach and no .data",
)
exercise.edit(
    "edge-erased",
    (RESULT, "self.convolution(F.pad(x[:, :, :-1, :-1].clone(), (0, 2, 0, 2)))"),
    story="the last row and column become zeros, instead of zeros coming after them",
    advice="F.pad makes the image larger; nothing of it is lost",
)


@exercise.wrong(
    "in-place",
    story="the last row and column of the caller's image are set to 0",
    advice="F.pad gives a new, larger image and leaves x alone",
    method="forward",
)
def in_place(self, x):
    wide = F.pad(x, self.edges)
    result = self.convolution(wide)
    if not x.requires_grad:
        x[:, :, -1] = 0
    return result


@exercise.wrong(
    "mean-of-the-batch",
    story="the mean image of the batch is subtracted first",
    advice="no norm here: pad and convolve, each image by itself",
    method="forward",
)
def mean_of_the_batch(self, x):
    return self.convolution(F.pad(x - x.mean(0), self.edges))


def remade(self, channels, centred, **options):
    """What __init__ begins with."""
    nn.Module.__init__(self)
    self.centred = centred
    self.convolution = nn.Conv2d(channels, channels, 3, stride=2, **options)


@exercise.right("two paddings")
class TwoPaddings(nn.Module):
    def __init__(self, channels, centred=False):
        remade(self, channels, centred, padding=1 if centred else 0)

    def forward(self, x):
        return self.convolution(x if self.centred else F.pad(x, (0, 1, 0, 1)))


@exercise.right("written into zeros")
class WrittenIntoZeros(nn.Module):
    def __init__(self, channels, centred=False):
        remade(self, channels, centred)

    def forward(self, x):
        first = 1 if self.centred else 0
        rows, columns = x.shape[-2:]
        wide = x.new_zeros(*x.shape[:2], rows + 1 + first, columns + 1 + first)
        wide[:, :, first : first + rows, first : first + columns] = x
        return self.convolution(wide)


@exercise.disguise("always-centred")
class AlwaysCentred(nn.Module):
    def __init__(self, channels, centred=False):
        remade(self, channels, centred, padding=1)

    def forward(self, x):
        return self.convolution(x)


@exercise.disguise("left-and-top")
class LeftAndTop(nn.Module):
    def __init__(self, channels, centred=False):
        remade(self, channels, centred)

    def forward(self, x):
        zeros = torch.zeros_like(x[:, :, :1])
        wide = torch.cat([zeros, x] + [zeros] * self.centred, dim=2)
        zeros = torch.zeros_like(wide[..., :1])
        return self.convolution(torch.cat([zeros, wide] + [zeros] * self.centred, dim=3))
