"""Exercise controlnet.ZeroConvolution: zero at first, and trainable."""

import torch
import torch.nn.functional as F
from torch import nn

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="controlnet.ZeroConvolution",
    order=20,
    target="scratchmm.diffusion.controlnet:ZeroConvolution",
    title="A zero convolution",
    goal="a convolution that keeps height and width and begins with zeros, all of it to be trained",
    minutes=10,
    difficulty=2,
    section="Zero at first",
    methods={"__init__": "a convolution of this kernel that keeps the size; weights and bias zero"},
    hints="""
        1. With weight w and bias b, both 0, an input of 3 gives w * 3 + b = 0. The gradient of w is
           3 times the gradient that arrives, that of b is what arrives: after one step neither is 0.
           Only the gradient of the input is 0, since it is w times what arrives.
        2. A control that begins with random numbers would disturb a trained base. So its last layer
           begins at zero. The numbers have to be parameters that start as 0: a gate in front, or a
           product with 0, would keep the weights from being trained. See the lesson's part on it.
        3. The class is an nn.Conv2d: give its __init__ channels, outputs and kernel, and so much
           padding that height and width stay: half of the odd kernel, rounded down. Then set both
           weight (outputs, channels, kernel, kernel) and bias (outputs,) to zero, without recording
           a gradient.
        4. super().__init__(channels, outputs, kernel_size=kernel, padding=kernel // 2); then
           nn.init.zeros_(self.weight) and nn.init.zeros_(self.bias)
    """,
)


def image(case, dtype=torch.float32):
    return case.normal(B=2, C=3, H=4, W=6, dtype=dtype)


def made(case, factory, kernel=None):
    """One with 3 channels and 5 outputs, as it begins."""
    case.sizes.update(D=5)
    return case.call(factory, 3, 5) if kernel is None else case.call(factory, 3, 5, kernel)


def plain(module, x, kernel):
    """The oracle: a matrix product for each place of the kernel."""
    reach = kernel // 2
    padded = F.pad(x, (reach, reach, reach, reach))
    total = module.bias[None, :, None, None].expand(len(x), -1, *x.shape[2:])
    for i in range(kernel):
        for j in range(kernel):
            part = padded[:, :, i : i + x.shape[2], j : j + x.shape[3]]
            total = total + torch.einsum("dc,bcxy->bdxy", module.weight[:, :, i, j], part)
    return total


@exercise.holds("height and width stay, for every odd kernel; without one, it is 1")
def shape(convolution, case):
    x = image(case)
    for kernel in (None, 1, 3, 5, 7):
        case.shape(case.call(made(case, convolution, kernel), x), "B D H W")


@exercise.holds("at first every output is exactly zero")
def zero(convolution, case):
    x = image(case)
    for kernel in (1, 3):
        module = made(case, convolution, kernel)
        case.equal(case.call(module, x), torch.zeros(2, 5, 4, 6), tolerance=0.0)


@exercise.holds("its parameters are weight (D, C, kernel, kernel) and bias (D,), all of them zero")
def parameters(convolution, case):
    for kernel, size in ((None, 1), (3, 3)):
        module = made(case, convolution, kernel)
        shapes = {"weight": (5, 3, size, size), "bias": (5,)}
        found = {name: tuple(p.shape) for name, p in module.named_parameters()}
        case.true(found == shapes, str(shapes), str(found))
        for name, parameter in module.named_parameters():
            case.equal(case.seen(parameter.detach()), torch.zeros(shapes[name]), name, 0.0)


@exercise.holds("at zero, weight and bias get the gradients of a convolution")
def learns(convolution, case):
    for kernel in (1, 3):
        module, x = made(case, convolution, kernel).double(), image(case, torch.float64)
        case.gradients(module, lambda x, m=module, k=kernel: plain(m, x, k), x, parameters=module)


@exercise.holds("with trained weights it is the convolution")
def trained(convolution, case):
    for kernel in (1, 3):
        module, x = case.fill(made(case, convolution, kernel)).double(), image(case, torch.float64)
        case.equal(case.call(module, x), plain(module, x, kernel))


@exercise.holds("after one step of training it is no longer zero, and its input gets a gradient")
def steps(convolution, case):
    module, x = made(case, convolution).double(), image(case, torch.float64).requires_grad_()
    output = case.call(module, x)
    case.true(output.requires_grad, "an output with a gradient", output)
    (output - 1).square().mean().backward()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter -= 0.5 * (0.0 if parameter.grad is None else parameter.grad)
    x.grad = None
    after = case.call(module, x)
    case.true(bool(after.detach().any()), "no longer zero after a step", after.detach())
    after.sum().backward()
    found = torch.zeros_like(x) if x.grad is None else x.grad
    case.true(bool(found.any()), "a gradient of the input", found)


exercise.mistakes("""
    nearly-zero: the weight begins small, but not at zero
    - zero_init(self)
    + nn.init.normal_(self.weight, std=1e-4)
    + nn.init.zeros_(self.bias)
    > exactly zero: at first the base must be left bit for bit

    frozen: its parameters are frozen, so it stays zero for ever
    - zero_init(self)
    + zero_init(self)
    + self.requires_grad_(False)
    > leave requires_grad as it is: zeros are only the beginning

    weight-frozen: only the bias is trained: the output never depends on its input
    - zero_init(self)
    + zero_init(self)
    + self.weight.requires_grad_(False)
    > leave requires_grad of both as it is

    no-bias: there is no bias
    - padding=kernel // 2
    + padding=kernel // 2, bias=False
    > a convolution with its bias: published weights have one

    padding-1: one pixel of padding, whatever the kernel: right for 3, and for 1 the grid grows
    - padding=kernel // 2
    + padding=1
    > padding=kernel // 2 keeps height and width for every odd kernel

    gated: a gate of zero multiplies a random convolution
    - zero_init(self)
    + self.gate = nn.Parameter(self.bias.new_zeros(()))
    + self.forward = lambda x: self.gate * nn.Conv2d.forward(self, x)
    > the weights themselves begin at zero; there is no other parameter

    times-zero: the output is multiplied by 0, so nothing is ever trained
    - zero_init(self)
    + zero_init(self)
    + self.forward = lambda x: 0 * nn.Conv2d.forward(self, x)
    > zero are the numbers that are trained, not the output

    input-cut-off: the input is detached: what lies before is never trained
    - zero_init(self)
    + zero_init(self)
    + self.forward = lambda x: nn.Conv2d.forward(self, x.detach())
    > no detach: once the weights are not zero, the copied encoder is trained through them
""")

exercise.slips("""
    padding=kernel // 2 => padding=min(kernel // 2, 2)
    padding=kernel // 2 => padding=kernel // 2, padding_mode="replicate"
    zero_init(self) => nn.init.zeros_(self.bias)
    zero_init(self) => nn.init.dirac_(self.weight); nn.init.zeros_(self.bias)
    zero_init(self) => zero_init(self); self.forward = lambda x: x.new_zeros(
        len(x), outputs, *x.shape[2:])
    kernel: int = 1 => kernel: int = 3
    zero_init(self) => pass
    zero_init(self) => nn.init.zeros_(self.weight)
""")


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


@exercise.disguise("no-bias")
class NoBiasToo(nn.Module):
    def __init__(self, channels, outputs, kernel=1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, channels, kernel, kernel))

    def forward(self, x):
        return F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)
