"""Exercise unet.decode: the decoder of a UNet, whose blocks take the skips of the encoder."""

import torch
import torch.nn.functional as F
from torch import nn

from scratchmm.diffusion.unet import UNetConfig
from scratchmm.exercises.format import Exercise


def into_the_library(mine, library):
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
    hints="""
        1. Three skips were left, in this order: s0, s1, s2. The first block of the decoder takes x
           and s2, the next its output and s1, the last s0. x has 6 channels and s2 has 4: the block
           gets 10, those of x first.
        2. The encoder's last output stands on the grid where the decoder begins: so skips are taken
           from the end, each once. What was small was lost when the grid was halved, and the skip
           brings it back, channel beside channel.
        3. For each block of self.up_blocks: join x and the last skip that is left along the
           channels, and call the block with that and all conditions (the time embedding first). A
           block doubles the grid itself where that is its task. At last self.norm_out, silu,
           self.conv_out. The caller's list stays as long as it is.
        4. left = list(skips); for block in self.up_blocks: x = block(torch.cat([x, left.pop()],
           dim=1), *conditions); return self.conv_out(F.silu(self.norm_out(x)))
    """,
)

# Two levels of the same width: no order of the skips of a level gives itself away by a size.
CONFIG = UNetConfig(channels=3, widths=(8, 8), depth=2, attended=(1,), groups=2)


class SumOfContext(nn.Module):
    """In place of attention: adds the means of all its inputs, so that none may be forgotten."""

    def forward(self, x, *context):
        for number, part in enumerate(context, 1):
            x = x + number * part.mean((1, 2))[:, None, None, None]
        return x


def made(case, factory):
    return case.build(factory, CONFIG, scale=0.3)


def inputs(case):
    """The smallest grid, (2, 8, 3, 5), skips as `encode` leaves them, and a time embedding."""
    small = {"x": 3, "y": 5}
    skips = [case.normal(B=2, D=8, **size) for size in ({"X": 6, "Y": 10},) * 3 + (small,) * 3]
    return case.normal(B=2, D=8, **small), skips, case.normal(B=2, E=CONFIG.time_width)


def by_number(model, x, skips, *conditions):
    """The oracle: the skips by their numbers, the layers by theirs."""
    last = len(skips) - 1
    for number in range(len(model.up_blocks)):
        x = model.up_blocks[number](torch.cat((x, skips[last - number]), 1), *conditions)
    norm = model.norm_out
    x = F.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
    return model.conv_out(x * torch.sigmoid(x))


@exercise.holds("from the smallest grid to an image: channels and sizes of the one that came in")
def shape(unet, case):
    got = case.call(made(case, unet), case.normal(B=2, C=3, X=6, Y=10), torch.tensor([3, 40]))
    case.shape(got, "B C X Y")


@exercise.holds(
    "each block takes the last skip left, behind its own input; the list stays as it is"
)
def order(unet, case):
    model, (x, skips, time) = made(case, unet), inputs(case)
    copies = [skip.clone() for skip in skips]
    got = case.call(model.decode, x, skips, time)
    case.equal(got, by_number(model, x, copies, time))
    case.true(len(skips) == 6, "6 skips in the caller's list", f"{len(skips)} left")
    case.equal(list(skips), copies, "the skips")


@exercise.holds("all conditions reach every block: the time, the context and its mask")
def conditioned(unet, case):
    model, (x, skips, time) = made(case, unet), inputs(case)
    for block in model.up_blocks:
        block.attention = SumOfContext()
    context = case.normal(B=2, T=3, W=4), case.normal(B=2, T=2, W=5)
    got = case.call(model.decode, x, skips, time, *context)
    case.equal(got, by_number(model, x, skips, time, *context))


@exercise.holds("the gradients reach x, the time, every skip and every layer")
def gradients(unet, case):
    model = made(case, unet).double()
    x, skips, time = inputs(case)
    case.gradients(
        lambda x, time, *skips: model.decode(x, list(skips), time),
        lambda x, time, *skips: by_number(model, x, skips, time),
        *(x, time, *skips),
        parameters=nn.ModuleList([model.up_blocks, model.norm_out, model.conv_out]),
    )


exercise.mistakes("""
    first-skip-first: skips are taken from the front: the encoder's first one comes first
    - left.pop()
    + left.pop(0)
    > the decoder begins where the encoder ended: take the last one left

    skip-first: the skip's channels stand before those of x
    - [x, left.pop()]
    + [left.pop(), x]
    > torch.cat([x, skip], dim=1): weights know one order only

    same-skip-again: all blocks of a level take the same skip
    - for block in self.up_blocks:
    + for index, block in enumerate(self.up_blocks):
    - left.pop()
    + left[-1 - index // (self.config.depth + 1) * (self.config.depth + 1)]
    > every block takes another one: each skip is used once

    order-of-a-level-reversed: within a level skips come in the order in which they were made
    - for block in self.up_blocks:
    + count = self.config.depth + 1
    + for index, block in enumerate(self.up_blocks):
    - left.pop()
    + left.pop(-count + index % count)
    > the last one left, always: backwards within a level too

    added: the skip is added to x
    - [x, left.pop()]
    + [x + left.pop(), x]
    > join them along the channels: a block takes the channels of both

    no-change-of-size: the grid never grows between levels
    - x = block(torch.cat([x, left.pop()], dim=1), *conditions)
    + resize, block.resize = block.resize, None
    + x = block(torch.cat([x, left.pop()], dim=1), *conditions)
    + block.resize = resize
    > a block doubles the grid itself where that is its task: leave it as it is

    mask-forgotten: the context is handed on, and its mask is not
    - dim=1), *conditions)
    + dim=1), *conditions[:2])
    > block(..., *conditions)

    empties-the-list: the caller's list is emptied
    - list(skips)
    + skips
    > take from a copy, list(skips): others may still need the skips
""")

exercise.slips("""
    [x, left.pop()] => [x, torch.zeros_like(left.pop())]
    [x, left.pop()] => [left[-1], left.pop()]
    in self.up_blocks => in reversed(self.up_blocks)
    in self.up_blocks => in self.up_blocks[:-1]
    dim=1), *conditions => dim=1), conditions[0]
    dim=1), *conditions => dim=1), 0 * conditions[0], *conditions[1:]
    F.silu(self.norm_out(x)) => self.norm_out(F.silu(x))
""")


@exercise.disguise("empties-the-list", method="decode")
def empties_the_list_too(self, x, skips, *conditions):
    for block in self.up_blocks:
        x = block(torch.cat([x, skips[-1]], 1), *conditions)
        del skips[-1]
    return self.conv_out(F.silu(self.norm_out(x)))


@exercise.right("counting backwards", method="decode")
def counting_backwards(self, x, skips, *conditions):
    last = len(skips)
    for block in self.up_blocks:
        last -= 1
        x = block(torch.cat((x, skips[last]), dim=-3), *conditions)
    x = self.norm_out(x)
    return self.conv_out(x * x.sigmoid())


@exercise.right("a turned list", method="decode")
def turned(self, x, skips, *conditions):
    for block, skip in zip(self.up_blocks, reversed(skips), strict=True):
        joined = x.new_zeros(len(x), x.shape[1] + skip.shape[1], *x.shape[2:])
        joined[:, : x.shape[1]], joined[:, x.shape[1] :] = x, skip
        x = block(joined, *conditions)
    return self.conv_out(F.silu(self.norm_out(x)))
