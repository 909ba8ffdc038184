"""Wrong and other right answers to controlnet.ZeroConvolution."""

import torch
import torch.nn.functional as F
from torch import nn

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("14_control_and_inpainting/zero_convolution").exercise

SUPER = "super().__init__(channels, outputs, kernel_size=kernel, padding=kernel // 2)"
ZERO = "zero_init(self)"

exercise.edit(
    "random",
    (ZERO, "pass"),
    story="it begins with random numbers, and disturbs the base from the first step on",
    advice="set weight and bias to zero",
)
exercise.edit(
    "padding-of-two",
    (SUPER, SUPER.replace("kernel // 2", "min(kernel // 2, 2)")),
    story="the padding ends at 2, so that a kernel of 7 or more makes the grid smaller",
    advice="padding=kernel // 2, however large the kernel is",
)
exercise.edit(
    "bias-left",
    (ZERO, "nn.init.zeros_(self.weight)"),
    story="the weights begin at zero, the bias does not",
    advice="set the bias to zero too",
)
exercise.edit(
    "weight-left",
    (ZERO, "nn.init.zeros_(self.bias)"),
    story="the bias begins at zero, the weights do not",
    advice="set the weights to zero too",
)
exercise.edit(
    "nearly-zero",
    (ZERO, "nn.init.normal_(self.weight, std=1e-4)\n        nn.init.zeros_(self.bias)"),
    story="the weights begin small, but not at zero",
    advice="exactly zero: at first the base must be left bit for bit",
)
exercise.edit(
    "identity",
    (ZERO, "nn.init.dirac_(self.weight)\n        nn.init.zeros_(self.bias)"),
    story="it begins as the identity: channels are handed on",
    advice="zero, not the identity: what is added must be nothing",
)
exercise.edit(
    "frozen",
    (ZERO, ZERO + "\n        self.requires_grad_(False)"),
    story="its parameters are frozen, so it stays zero for ever",
    advice="leave requires_grad as it is: zeros are only the beginning",
)
exercise.edit(
    "weight-frozen",
    (ZERO, ZERO + "\n        self.weight.requires_grad_(False)"),
    story="only the bias is trained: the output never depends on its input",
    advice="leave requires_grad of both as it is",
)
exercise.edit(
    "no-bias",
    (SUPER, SUPER.replace("kernel // 2)", "kernel // 2, bias=False)")),
    story="there is no bias",
    advice="a convolution with its bias: published weights have one",
)
exercise.edit(
    "shrinks",
    (SUPER, SUPER.replace(", padding=kernel // 2", "")),
    story="there is no padding: a kernel of 3 loses the border",
    advice="padding=kernel // 2 keeps height and width",
)
exercise.edit(
    "padding-1",
    (SUPER, SUPER.replace("kernel // 2", "1")),
    story="one pixel of padding, whatever the kernel: right for 3, and for 1 the grid grows",
    advice="padding=kernel // 2 keeps height and width for every odd kernel",
)
exercise.edit(
    "kernel-forgotten",
    (SUPER, "super().__init__(channels, outputs, kernel_size=1)"),
    story="the kernel is always 1",
    advice="kernel_size=kernel",
)
exercise.edit(
    "three-by-itself",
    ("kernel: int = 1", "kernel: int = 3"),
    story="where no kernel is given, it is 3",
    advice="leave the default of the signature: 1",
)
exercise.edit(
    "exchanged",
    (SUPER, "super().__init__(outputs, channels, kernel_size=kernel, padding=kernel // 2)"),
    story="channels and outputs are exchanged",
    advice="nn.Conv2d takes the channels of its input first",
)
exercise.edit(
    "border-goes-on",
    (SUPER, SUPER.replace("kernel // 2)", "kernel // 2, padding_mode='replicate')")),
    story="beyond the border the last pixels go on",
    advice="padding with zeros, as nn.Conv2d does by itself",
)


class Gated(nn.Conv2d):
    """A random convolution behind a number that begins at zero."""

    def __init__(self, channels, outputs, kernel=1):
        super().__init__(channels, outputs, kernel, padding=kernel // 2)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return self.gate * super().forward(x)


@exercise.wrong(
    "gated",
    story="a gate of zero stands before a random convolution",
    advice="the weights themselves begin at zero; there is no other parameter",
)
class GatedAnswer(Gated):
    pass


@exercise.wrong(
    "times-zero",
    story="the answer is multiplied by 0, so nothing is ever learned",
    advice="zero are the numbers that are learned, not the answer",
)
class TimesZero(nn.Conv2d):
    def __init__(self, channels, outputs, kernel=1):
        super().__init__(channels, outputs, kernel, padding=kernel // 2)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x):
        return 0 * super().forward(x)


@exercise.wrong(
    "zeros-handed-out",
    story="zeros are returned, whatever the weights are",
    advice="convolve: the weights are zero only at the beginning",
)
class ZerosHandedOut(TimesZero):
    def forward(self, x):
        return x.new_zeros(len(x), self.out_channels, *x.shape[2:])


@exercise.wrong(
    "input-cut-off",
    story="the input is detached: what lies before never learns",
    advice="no detach: once the weights are not zero, the copy behind learns through them",
)
class InputCutOff(TimesZero):
    def forward(self, x):
        return F.conv2d(x.detach(), self.weight, self.bias, padding=self.padding)


@exercise.wrong(
    "one-weight-a-channel",
    story="each output is a weight of its own times one channel, not a sum over all channels",
    advice="a whole convolution: no groups",
)
class OneWeightAChannel(nn.Module):
    def __init__(self, channels, outputs, kernel=1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, 1, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        x = x[:, torch.arange(len(self.bias)) % x.shape[1]]
        reach = self.weight.shape[-1] // 2
        return F.conv2d(x, self.weight, self.bias, padding=reach, groups=len(self.bias))


@exercise.right("parameters of its own")
class ParametersOfItsOwn(nn.Module):
    def __init__(self, channels, outputs, kernel=1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


@exercise.right("zeroed when it is reset")
class ZeroedWhenReset(nn.Conv2d):
    def __init__(self, channels, outputs, kernel=1):
        super().__init__(channels, outputs, (kernel, kernel), padding="same")

    def reset_parameters(self):
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(0)


@exercise.disguise("gated")
class GatedToo(nn.Conv2d):
    def __init__(self, channels, outputs, kernel=1):
        super().__init__(channels, outputs, kernel, padding="same")
        self.gate = nn.Parameter(torch.tensor(0.0))

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, padding="same") * self.gate


@exercise.disguise("no-bias")
class NoBiasToo(nn.Module):
    def __init__(self, channels, outputs, kernel=1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, channels, kernel, kernel))

    def forward(self, x):
        return F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)
