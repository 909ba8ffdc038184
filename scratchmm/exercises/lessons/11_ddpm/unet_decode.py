"""Exercise unet.decode: the decoder of a UNet, whose blocks take the skips of the encoder."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.unet import UNetConfig
from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise


def into_the_library(mine: Any, library: Any) -> Any:
    """The learner's decoder becomes the library's, so that the UNets built on it use it too."""
    library.decode = mine.decode
    return library


exercise = Exercise(
    id="unet.decode",
    order=60,
    target="scratchmm.diffusion.unet:UNet",
    title="Up blocks and skip connections",
    goal="the decoder: each block takes its input and the last skip left; then the prediction",
    minutes=20,
    difficulty=3,
    section="Down and up",
    methods={
        "decode": "block after block, each with its input and the last skip left; then norm, silu and "
        "the last convolution"
    },
    adapt=into_the_library,
    hints=(
        "Three skips were left, in this order: s0, s1, s2. The first block of the decoder takes x and "
        "s2, the next its output and s1, the last s0. x has 6 channels and s2 has 4: the block gets "
        "10, those of x first.",
        "The encoder's last output stands on the grid where the decoder begins: so skips are taken "
        "from the end, each once. The decoder can't know what was small: that was lost when the grid "
        "was halved, and the skip brings it back, channel beside channel.",
        "For each block of self.up_blocks: join x and the last skip that is left along the channels, "
        "and call the block with that and all conditions (the time embedding first). A block doubles "
        "the grid itself where that is its task. At last self.norm_out, silu, self.conv_out. The "
        "caller's list stays as long as it is.",
        "left = list(skips); for block in self.up_blocks: x = block(torch.cat([x, left.pop()], dim=1), "
        "*conditions); return self.conv_out(F.silu(self.norm_out(x)))",
    ),
)

# Two levels of the same width: no order of the skips of a level gives itself away by a size.
CONFIG = UNetConfig(channels=3, widths=(8, 8), depth=2, attended=(1,), groups=2)


class SumOfContext(nn.Module):
    """In place of attention: adds the means of all its inputs, so that none may be forgotten."""

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        for number, part in enumerate(context, 1):
            x = x + number * part.mean((1, 2))[:, None, None, None]
        return x


def made(case: Case, factory: Any) -> Any:
    return case.build(factory, CONFIG, scale=0.3)


def inputs(case: Case, model: Any) -> tuple[Tensor, list[Tensor], Tensor]:
    """The smallest grid, (2, 8, 3, 5), skips as `encode` leaves them, and a time embedding."""
    large: dict[str, Any] = {"X": 6, "Y": 10}
    small: dict[str, Any] = {"x": 3, "y": 5}
    skips = [case.normal(B=2, D=8, **size) for size in (large,) * 3 + (small,) * 3]
    time = case.normal(B=2, E=CONFIG.time_width)
    return case.named(case.normal(B=2, D=8, **small), "B D x y"), skips, time


def by_number(model: Any, x: Tensor, skips: Any, *conditions: Tensor) -> Tensor:
    """The oracle: the skips by their numbers, the layers by theirs."""
    last = len(skips) - 1
    for number in range(len(model.up_blocks)):
        x = model.up_blocks[number](torch.cat((x, skips[last - number]), 1), *conditions)
    norm = model.norm_out
    x = F.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
    return model.conv_out(x * torch.sigmoid(x))


@exercise.holds("from the smallest grid to an image: channels and sizes of the one that came in")
def shape(unet, case):
    model = made(case, unet)
    got = case.call(model, case.normal(B=2, C=3, X=6, Y=10), torch.tensor([3, 40]))
    case.shape(got, "B C X Y")


@exercise.holds("each block takes the last skip left, behind its own input")
def order(unet, case):
    model = made(case, unet)
    x, skips, time = inputs(case, model)
    got = case.call(model.decode, x, skips, time)
    case.equal(got, by_number(model, x, skips, time))


@exercise.holds("all conditions reach every block: the time, the context and its mask")
def conditioned(unet, case):
    model = made(case, unet)
    for block in model.up_blocks:
        block.attention = SumOfContext()
    x, skips, time = inputs(case, model)
    context = case.normal(B=2, T=3, W=4), case.normal(B=2, T=2, W=5)
    got = case.call(model.decode, x, skips, time, *context)
    case.equal(got, by_number(model, x, skips, time, *context))


@exercise.holds("three levels, each of another width and depth 1, are decoded alike")
def three_levels(unet, case):
    config = UNetConfig(channels=1, widths=(4, 8, 12), depth=1, attended=(), groups=2)
    model = case.build(unet, config, scale=0.3)
    image, time = case.normal(B=2, C=1, X=12, Y=8), case.normal(B=2, E=16)
    x, skips = model.encoder.encode(image, time)
    got, left = case.call(model.decode, x, skips, time), list(skips)
    for block in model.up_blocks:
        x, left = block(torch.cat((x, left[-1]), 1), time), left[:-1]
    case.equal(got, model.conv_out(F.silu(model.norm_out(x))))


@exercise.holds("the caller's skips are left as they were, all of them")
def kept(unet, case):
    model = made(case, unet)
    x, skips, time = inputs(case, model)
    copies = [skip.clone() for skip in skips]
    case.call(model.decode, x, skips, time)
    case.true(len(skips) == 6, "6 skips in the caller's list", f"{len(skips)} left")
    case.equal(list(skips), copies, "the skips")


@exercise.holds("the gradients reach x, the time, every skip and every layer")
def gradients(unet, case):
    model = made(case, unet).double()
    x, skips, time = inputs(case, model)
    case.gradients(
        lambda x, time, *skips: model.decode(x, list(skips), time),
        lambda x, time, *skips: by_number(model, x, skips, time),
        x,
        time,
        *skips,
        parameters=nn.ModuleList([model.up_blocks, model.norm_out, model.conv_out]),
    )
