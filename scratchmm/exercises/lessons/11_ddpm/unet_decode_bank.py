"""Wrong and other right answers to unet.decode."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/unet_decode").exercise

BLOCKS = "for block in self.up_blocks:"
JOIN = "torch.cat([x, left.pop()], dim=1)"
CALL = f"block({JOIN}, *conditions)"

exercise.edit(
    "first-skip-first",
    ("left.pop()", "left.pop(0)"),
    story="skips are taken from the front: the encoder's first one comes first",
    advice="the decoder begins where the encoder ended: take the last one left",
)
exercise.edit(
    "skip-first",
    (JOIN, "torch.cat([left.pop(), x], dim=1)"),
    story="the skip's channels stand before those of x",
    advice="torch.cat([x, skip], dim=1): weights know one order only",
)
exercise.edit(
    "same-skip-again",
    (BLOCKS, "for index, block in enumerate(self.up_blocks):"),
    ("left.pop()", "left[-1 - index // (self.config.depth + 1) * (self.config.depth + 1)]"),
    story="all blocks of a level take the same skip",
    advice="every block takes another one: each skip is used once",
)
exercise.edit(
    "order-of-a-level-reversed",
    (
        BLOCKS,
        "count = self.config.depth + 1\n        for index, block in enumerate(self.up_blocks):",
    ),
    ("left.pop()", "left.pop(-count + index % count)"),
    story="within a level skips come in the order in which they were made",
    advice="the last one left, always: backwards within a level too",
)
exercise.edit(
    "added",
    (JOIN, "torch.cat([x + left.pop(), x], dim=1)"),
    story="the skip is added to x",
    advice="join them along the channels: a block takes the channels of both",
)
exercise.edit(
    "skips-forgotten",
    (JOIN, "torch.cat([x, torch.zeros_like(left.pop())], dim=1)"),
    story="zeros stand where the skips should",
    advice="join x and the skip",
)
exercise.edit(
    "x-forgotten",
    (JOIN, "torch.cat([left[-1], left.pop()], dim=1)"),
    story="blocks take a skip twice, and not what the block before has made",
    advice="join x and the skip",
)
exercise.edit(
    "joined-along-the-height",
    ("left.pop()], dim=1", "left.pop()], dim=2"),
    story="x and skip are joined along the height, not along the channels",
    advice="dim=1 are the channels of (B, C, X, Y)",
)
exercise.edit(
    "blocks-backwards",
    (BLOCKS, "for block in reversed(self.up_blocks):"),
    story="the blocks are called in the reverse of their order",
    advice="the skips are taken from the end, the blocks from the beginning",
)
exercise.edit(
    "last-block-left-out",
    (BLOCKS, "for block in self.up_blocks[:-1]:"),
    story="the last block is left out, and with it the first skip",
    advice="there are as many blocks as skips: each takes one",
)
exercise.edit(
    "no-change-of-size",
    (
        f"x = {CALL}",
        "resize, block.resize = block.resize, None\n"
        f"            x = {CALL}\n            block.resize = resize",
    ),
    story="the grid never grows between levels",
    advice="a block doubles the grid itself where that is its task: leave it as it is",
)
exercise.edit(
    "context-forgotten",
    (CALL, f"block({JOIN}, conditions[0])"),
    story="the context is not handed on to the blocks",
    advice="block(..., *conditions)",
)
exercise.edit(
    "mask-forgotten",
    (CALL, f"block({JOIN}, *conditions[:2])"),
    story="the context is handed on, and its mask is not",
    advice="block(..., *conditions)",
)
exercise.edit(
    "time-forgotten",
    (CALL, f"block({JOIN}, 0 * conditions[0], *conditions[1:])"),
    story="the blocks get a time embedding of zeros",
    advice="hand the time embedding on to each block",
)
exercise.edit(
    "empties-the-list",
    ("left = list(skips)", "left = skips"),
    story="the caller's list is emptied",
    advice="take from a copy, list(skips): others may still want the skips",
)
exercise.edit(
    "no-norm",
    ("self.conv_out(F.silu(self.norm_out(x)))", "self.conv_out(F.silu(x))"),
    story="the last norm is left out",
    advice="norm, silu, convolution",
)
exercise.edit(
    "no-silu",
    ("self.conv_out(F.silu(self.norm_out(x)))", "self.conv_out(self.norm_out(x))"),
    story="nothing bends between the last norm and the last convolution",
    advice="norm, silu, convolution",
)
exercise.edit(
    "silu-before-norm",
    ("self.conv_out(F.silu(self.norm_out(x)))", "self.conv_out(self.norm_out(F.silu(x)))"),
    story="silu comes before the last norm",
    advice="norm, silu, convolution",
)
exercise.edit(
    "no-last-convolution",
    ("self.conv_out(F.silu(self.norm_out(x)))", "F.silu(self.norm_out(x))"),
    story="the last convolution is left out",
    advice="self.conv_out makes the image's channels",
)
exercise.edit(
    "skips-cut-off",
    ("left = list(skips)", "left = [skip.detach() for skip in skips]"),
    story="no gradient goes through the skips",
    advice="no detach: the encoder learns through them too",
)


@exercise.disguise("first-skip-first", method="decode")
def first_skip_first_too(self, x, skips, *conditions):
    for block, skip in zip(self.up_blocks, skips, strict=True):
        x = block(torch.cat([x, skip], 1), *conditions)
    return self.conv_out(F.silu(self.norm_out(x)))


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
