"""Exercise unet_blocks.ResidualBlock2d: a residual block that is conditioned on the timestep."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="unet_blocks.ResidualBlock2d",
    order=40,
    target="scratchmm.diffusion.unet_blocks:ResidualBlock2d",
    title="A block conditioned on the timestep",
    goal="the shortcut plus norm, silu, convolution twice; the time is added between the two",
    minutes=15,
    difficulty=2,
    section="Blocks conditioned on the timestep",
    methods={
        "forward": "shortcut(x) plus norm, silu, convolution twice; the time, one number a channel, "
        "is added between; ValueError where it is missing"
    },
    hints=(
        "Let the last convolution be all zeros: then the block gives back its shortcut, x itself where "
        "channels stay as many. Let the time's layer say 1 for channel 0 and 0 for the others: then "
        "channel 0 is larger by 1 behind the first convolution, at every cell of the grid alike.",
        "The two convolutions each come behind a norm and a silu. The time is added where it can "
        "change everything that follows: between the first convolution and the second norm, which "
        "sees groups of channels, so that a number a channel does not cancel. It is one vector a "
        "image, so it is the same at every cell. It goes through silu as well, before its layer.",
        "first_norm, silu, first: (B, C, X, Y) to (B, D, X, Y). If self.time is there: the time "
        "(B, E), silu, self.time: (B, D), then two new axes for the cells; refuse a time that is None. "
        "If self.time is None, whatever time comes is not looked at. Then second_norm, silu, second. "
        "The shortcut of x on top, of x as it came.",
        "inner = self.first(F.silu(self.first_norm(x))); inner = inner + self.time(F.silu(time))[:, "
        ":, None, None]; return self.shortcut(x) + self.second(F.silu(self.second_norm(inner)))",
    ),
)


def made(
    case: Case, factory: Any, channels: int = 4, outputs: int = 6, time: int | None = 5
) -> Any:
    return case.build(factory, channels, outputs, time, groups=2, scale=0.4)


def some_images(case: Case, channels: int = 4) -> Tensor:
    return case.normal(B=2, C=channels, X=3, Y=7)


def slow(block: Any, x: Tensor, time: Tensor | None) -> Tensor:
    """The oracle: norms by their means and variances, the time channel by channel."""

    def normal(layer, x):
        groups = x.unflatten(1, (layer.num_groups, -1))
        axes = (2, 3, 4)
        away = groups - groups.mean(axes, keepdim=True)
        away = away / (away.square().mean(axes, keepdim=True) + layer.eps).sqrt()
        return away.flatten(1, 2) * layer.weight.view(-1, 1, 1) + layer.bias.view(-1, 1, 1)

    def bent(x):
        return x / (1 + (-x).exp())

    def moved(layer, x):
        return F.conv2d(x, layer.weight, layer.bias, padding=1)

    inner = moved(block.first, bent(normal(block.first_norm, x)))
    if block.time is not None and time is not None:
        told = bent(time) @ block.time.weight.T + block.time.bias
        planes = [inner[:, i] + told[:, i].view(-1, 1, 1) for i in range(inner.shape[1])]
        inner = torch.stack(planes, 1)
    short = block.shortcut
    past = x if not hasattr(short, "weight") else F.conv2d(x, short.weight, short.bias)
    return past + moved(block.second, bent(normal(block.second_norm, inner)))


@exercise.holds("other channels, the same height and width")
def shape(block_class, case):
    got = case.call(made(case, block_class), some_images(case), case.normal(B=2, E=5))
    case.true(isinstance(got, Tensor) and got.shape == (2, 6, 3, 7), "(B=2, D=6, X=3, Y=7)", got)


@exercise.holds("with a last convolution of zeros it gives back its shortcut")
def shortcut(block_class, case):
    for outputs in (4, 6):
        block = made(case, block_class, outputs=outputs)
        with torch.no_grad():
            block.second.weight.zero_()
            block.second.bias.zero_()
        x = some_images(case)
        got = case.call(block, x, case.normal(B=2, E=5))
        short = block.shortcut
        case.equal(got, x if outputs == 4 else F.conv2d(x, short.weight, short.bias))


@exercise.holds("a block without a time: norm, silu and convolution, twice, and the shortcut")
def timeless(block_class, case):
    block, x = made(case, block_class, time=None), some_images(case)
    case.equal(case.call(block, x), slow(block, x, None))


@exercise.holds("the time changes what the second half sees, each image by its own")
def conditioned(block_class, case):
    block, x = made(case, block_class), some_images(case)
    time = case.normal(B=2, E=5, scale=2.0)
    case.equal(case.call(block, x, time), slow(block, x, time))


@exercise.holds("a block without a time does not mind one")
def deaf(block_class, case):
    block, x = made(case, block_class, time=None), some_images(case)
    case.equal(case.call(block, x, case.normal(B=2, E=5)), slow(block, x, None))


@exercise.holds("a block with a time refuses to do without: ValueError")
def refused(block_class, case):
    case.refuses(ValueError, made(case, block_class), some_images(case))


@exercise.holds("image and time are left as they were")
def unchanged(block_class, case):
    block = made(case, block_class, outputs=4)
    case.call(block, some_images(case), case.normal(B=2, E=5))
    case.unchanged()


@exercise.holds("the gradients reach image, time and every layer")
def gradients(block_class, case):
    block = made(case, block_class).double()
    given = some_images(case), case.normal(B=2, E=5)
    case.gradients(block, lambda x, time: slow(block, x, time), *given, parameters=block)
