"""Exercise controlnet.ZeroConvolution: nothing at first, and still it learns."""

import torch
import torch.nn.functional as F

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
    hints=(
        "With weight w and bias b, both 0, an input of 3 gives w * 3 + b = 0. The gradient of w is 3 "
        "times what arrives from above, that of b is what arrives: after one step neither is 0. Only "
        "the gradient of the input is 0, since it is w times what arrives.",
        "A control that begins with random numbers would spoil a base that draws well. So its last "
        "layer begins at zero. The numbers have to be parameters that start as 0: a gate in front, "
        "or a product with 0, would keep the weights from learning. See the lesson's part on it.",
        "The class is an nn.Conv2d: give its __init__ channels, outputs and kernel, and so much "
        "padding that height and width stay: half of the odd kernel, rounded down. Then set both "
        "weight (outputs, channels, kernel, kernel) and bias (outputs,) to zero, without recording "
        "a gradient.",
        "super().__init__(channels, outputs, kernel_size=kernel, padding=kernel // 2); then "
        "nn.init.zeros_(self.weight) and nn.init.zeros_(self.bias)",
    ),
)


def image(case, dtype=torch.float32):
    return case.normal(B=2, C=3, X=4, Y=6, dtype=dtype)


def made(case, factory, kernel=None):
    """One with 3 channels and 5 outputs, as it begins."""
    case.sizes.update(D=5)
    return case.call(factory, 3, 5) if kernel is None else case.call(factory, 3, 5, kernel)


def filled(case, factory, kernel=1):
    """One with copied weights, in float64."""
    return case.fill(made(case, factory, kernel)).double()


@exercise.holds("height and width stay, for every odd kernel; without one, it is 1")
def shape(convolution, case):
    x = image(case)
    for kernel in (None, 1, 3, 5, 7):
        case.shape(case.call(made(case, convolution, kernel), x), "B D X Y")


@exercise.holds("at first every answer is exactly zero")
def zero(convolution, case):
    x = image(case)
    for kernel in (1, 3):
        module = made(case, convolution, kernel)
        case.equal(case.call(module, x), torch.zeros(2, 5, 4, 6), tolerance=0.0)


@exercise.holds(
    "its parameters are a weight (D, C, kernel, kernel) and a bias (D), all of them zero"
)
def parameters(convolution, case):
    for kernel, size in ((None, 1), (3, 3)):
        module = made(case, convolution, kernel)
        found = {name: tuple(p.shape) for name, p in module.named_parameters()}
        case.true(
            found == {"weight": (5, 3, size, size), "bias": (5,)},
            f"weight (5, 3, {size}, {size}) and bias (5)",
            str(found),
        )
        for name, parameter in module.named_parameters():
            case.seen(parameter)
            case.equal(parameter.detach(), torch.zeros(found[name]), name, tolerance=0.0)


@exercise.holds("at zero, weights and bias do get a gradient, the convolution's own")
def learns(convolution, case):
    for kernel in (1, 3):
        module, x = made(case, convolution, kernel).double(), image(case, torch.float64)
        case.gradients(module, lambda x, m=module, k=kernel: plain(m, x, k), x, parameters=module)


def plain(module, x, kernel):
    """The oracle: pixel by pixel of the kernel, a product of matrices each."""
    reach = kernel // 2
    padded = F.pad(x, (reach, reach, reach, reach))
    total = module.bias[None, :, None, None].expand(len(x), -1, *x.shape[2:])
    for i in range(kernel):
        for j in range(kernel):
            part = padded[:, :, i : i + x.shape[2], j : j + x.shape[3]]
            total = total + torch.einsum("dc,bcxy->bdxy", module.weight[:, :, i, j], part)
    return total


@exercise.holds("with trained weights it is the convolution, as by matrix products")
def trained(convolution, case):
    for kernel in (1, 3):
        module, x = filled(case, convolution, kernel), image(case, torch.float64)
        case.equal(case.call(module, x), plain(module, x, kernel))


@exercise.holds("one step of training moves it away from zero, and then the input gets a gradient")
def steps(convolution, case):
    module, x = made(case, convolution).double(), image(case, torch.float64)
    target = case.normal(B=2, D=5, X=4, Y=6, dtype=torch.float64)
    said = case.call(module, x)
    case.true(said.requires_grad, "an answer with a gradient", said)
    F.mse_loss(said, target).backward()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter -= 0.5 * (0.0 if parameter.grad is None else parameter.grad)
    leaf = x.clone().requires_grad_()
    after = case.call(module, leaf)
    case.true(bool(after.detach().any()), "no longer zero after a step", after.detach())
    after.sum().backward()
    found = torch.zeros_like(x) if leaf.grad is None else leaf.grad
    case.true(bool(found.any()), "a gradient for what lies before", found)
