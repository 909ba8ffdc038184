"""Wrong and other right answers to unet.up."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/unet_up").exercise

LEVELS = "for level, steps in enumerate(self.rising):"
JOIN = "torch.cat([x, left.pop()], dim=1)"

exercise.edit(
    "first-skip-first",
    ("left.pop()", "left.pop(0)"),
    story="skips are taken from the front: the first one made comes first",
    advice="the way up begins where the way down ended: take the last one left",
)
exercise.edit(
    "skip-first",
    (JOIN, "torch.cat([left.pop(), x], dim=1)"),
    story="the skip's channels stand before those of x",
    advice="torch.cat([x, skip], dim=1): weights know one order only",
)
exercise.edit(
    "same-skip-again",
    ("left.pop()", "left[-1 - level * len(steps)]"),
    story="all steps of a level see the same skip",
    advice="every step sees another one: each skip is used once",
)
exercise.edit(
    "order-of-a-level-reversed",
    (LEVELS, LEVELS + "\n            mine, left = left[-len(steps) :], left[: -len(steps)]"),
    ("left.pop()", "mine.pop(0)"),
    story="within a level skips come in the order in which they were made",
    advice="the last one left, always: backwards within a level too",
)
exercise.edit(
    "added",
    (JOIN, "torch.cat([x + left.pop(), x], dim=1)"),
    story="the skip is added to x",
    advice="join them along the channels: a step takes the channels of both",
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
    story="steps see a skip twice, and not what the step before has made",
    advice="join x and the skip",
)
exercise.edit(
    "joined-along-the-height",
    ("left.pop()], dim=1", "left.pop()], dim=2"),
    story="x and skip are joined along the height, not along the channels",
    advice="dim=1 are the channels of (B, C, X, Y)",
)
exercise.edit(
    "never-grows",
    ("x = self.growing[level](x)", "pass"),
    story="the grid never grows between levels",
    advice="self.growing[level] behind each level but the last",
)
exercise.edit(
    "grows-too-early",
    (LEVELS, LEVELS + "\n            x = self.growing[level](x) if level < 1 else x"),
    ("                x = self.growing[level](x)", "                pass"),
    story="the grid grows before the steps of a level, not behind them",
    advice="the first level of the way up stands on the smallest grid",
)
exercise.edit(
    "words-forgotten",
    ("time, *words)\n            if", "time)\n            if"),
    story="words are not handed on to the steps",
    advice="step(..., time, *words)",
)
exercise.edit(
    "first-word-only",
    ("time, *words)\n            if", "time, *words[:1])\n            if"),
    story="only the first of the words' tensors is handed on, and their mask is not",
    advice="step(..., time, *words)",
)
exercise.edit(
    "time-forgotten",
    ("time, *words)\n            if", "0 * time, *words)\n            if"),
    story="the steps hear a time of zeros",
    advice="hand the time on to each step",
)
exercise.edit(
    "empties-the-list",
    ("left = list(skips)", "left = skips"),
    story="the caller's list is emptied",
    advice="take from a copy, list(skips): others may still want the skips",
)
exercise.edit(
    "no-norm",
    ("self.end(F.silu(self.norm(x)))", "self.end(F.silu(x))"),
    story="the last norm is left out",
    advice="norm, silu, convolution",
)
exercise.edit(
    "no-silu",
    ("self.end(F.silu(self.norm(x)))", "self.end(self.norm(x))"),
    story="nothing bends between the last norm and the last convolution",
    advice="norm, silu, convolution",
)
exercise.edit(
    "silu-before-norm",
    ("self.end(F.silu(self.norm(x)))", "self.end(self.norm(F.silu(x)))"),
    story="silu comes before the last norm",
    advice="norm, silu, convolution",
)
exercise.edit(
    "no-end",
    ("self.end(F.silu(self.norm(x)))", "F.silu(self.norm(x))"),
    story="the last convolution is left out",
    advice="self.end makes the image's channels",
)
exercise.edit(
    "skips-cut-off",
    ("left = list(skips)", "left = [skip.detach() for skip in skips]"),
    story="no gradient goes through the skips",
    advice="no detach: the way down learns through them too",
)


@exercise.disguise("first-skip-first", method="up")
def first_skip_first_too(self, x, skips, time, *words):
    waiting = iter(skips)
    for level, steps in enumerate(self.rising):
        for step in steps:
            x = step(torch.cat([x, next(waiting)], 1), time, *words)
        x = self.growing[level](x) if level < len(self.growing) else x
    return self.end(F.silu(self.norm(x)))


@exercise.disguise("empties-the-list", method="up")
def empties_the_list_too(self, x, skips, time, *words):
    for level, steps in enumerate(self.rising):
        for step in steps:
            x = step(torch.cat([x, skips[-1]], 1), time, *words)
            del skips[-1]
        x = self.growing[level](x) if level < len(self.growing) else x
    return self.end(F.silu(self.norm(x)))


@exercise.right("counting backwards", method="up")
def counting_backwards(self, x, skips, time, *words):
    last = len(skips)
    for level, steps in enumerate(self.rising):
        if level > 0:
            x = self.growing[level - 1](x)
        for step in steps:
            last -= 1
            x = step(torch.cat((x, skips[last]), dim=-3), time, *words)
    x = self.norm(x)
    return self.end(x * x.sigmoid())


@exercise.right("a turned list", method="up")
def turned(self, x, skips, time, *words):
    waiting = reversed(skips)
    for level, steps in enumerate(self.rising):
        for step in steps:
            skip = next(waiting)
            joined = x.new_zeros(len(x), x.shape[1] + skip.shape[1], *x.shape[2:])
            joined[:, : x.shape[1]], joined[:, x.shape[1] :] = x, skip
            x = step(joined, time, *words)
        if level != len(self.rising) - 1:
            x = self.growing[level](x)
    return self.end(F.silu(self.norm(x)))
