"""Wrong and other right answers to unet_blocks.ResidualBlock2d."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/residual_block_2d").exercise

FIRST = "self.first(F.silu(self.first_norm(x)))"
SECOND = (  # behind "inner = "
    "self.second_norm(inner)  # (B, D, X, Y)\n        inner = self.second(F.silu(inner))"
)
TIME = "self.time(F.silu(time))[:, :, None, None]"

exercise.edit(
    "nothing-returned",
    ("return self.shortcut(x) + inner", "self.shortcut(x) + inner"),
    story="the result is computed, but not returned",
    advice="end with return",
)
exercise.edit(
    "no-shortcut",
    ("return self.shortcut(x) + inner", "return inner"),
    story="the shortcut is left out",
    advice="add self.shortcut(x): the rest only has to learn what changes",
)
exercise.edit(
    "x-is-the-shortcut",
    ("return self.shortcut(x) + inner", "return x.repeat(1, 2, 1, 1)[:, : len(inner[0])] + inner"),
    story="x itself is added, also where the channels are others",
    advice="self.shortcut(x): it is x where channels stay, a convolution where they do not",
)
exercise.edit(
    "shortcut-of-the-norm",
    ("self.shortcut(x) + inner", "self.shortcut(self.first_norm(x)) + inner"),
    story="the shortcut is taken of x behind its norm",
    advice="of x as it came: what is left of it must reach the next block unchanged",
)
exercise.edit(
    "time-forgotten",
    ("inner = inner + " + TIME, "pass"),
    story="the time is not added",
    advice="add self.time(F.silu(time)) behind the first convolution",
)
exercise.edit(
    "time-at-the-end",
    ("inner = inner + " + TIME, "late = " + TIME),
    ("return self.shortcut(x) + inner", "return self.shortcut(x) + inner"
     " + (0 if self.time is None else late)"),
    story="the time is added behind the second convolution",
    advice="between the two, so that the second half can use it",
)  # fmt: skip
exercise.edit(
    "time-behind-the-norm",
    ("inner = inner + " + TIME, "pass"),
    (SECOND, "self.second(F.silu(self.second_norm(inner) + (0 if self.time is None else "
     + TIME + ")))"),
    story="the time is added behind the second norm",
    advice="before it: behind the first convolution",
)  # fmt: skip
exercise.edit(
    "time-scales",
    ("inner = inner + " + TIME, "inner = inner * (1 + " + TIME + ")"),
    story="the time multiplies the channels",
    advice="add it, one number a channel",
    convention=True,
)
exercise.edit(
    "time-without-silu",
    (TIME, "self.time(time)[:, :, None, None]"),
    story="the time goes into its layer without silu",
    advice="self.time(F.silu(time)): what comes was last a linear layer's",
)
exercise.edit(
    "silu-behind-the-time",
    (TIME, "F.silu(self.time(time))[:, :, None, None]"),
    story="silu comes behind the time's layer, not before",
    advice="self.time(F.silu(time))",
)
exercise.edit(
    "mean-of-the-times",
    (TIME, "self.time(F.silu(time)).mean(0)[None, :, None, None]"),
    story="all images hear the mean of the batch's times",
    advice="(B, D) becomes (B, D, 1, 1): each image has its own",
)
exercise.edit(
    "only-one-corner",
    ("inner = inner + " + TIME, "inner = torch.cat([inner[..., :1] + " + TIME
     + ", inner[..., 1:]], -1)"),
    story="the time is added to the first column of cells only",
    advice="to every cell alike",
)  # fmt: skip
exercise.edit(
    "norms-forgotten",
    (FIRST, "self.first(F.silu(x))"),
    (SECOND, "self.second(F.silu(inner))"),
    story="the norms are left out",
    advice="norm, silu, convolution, twice",
)
exercise.edit(
    "no-silu",
    (FIRST, "self.first(self.first_norm(x))"),
    (SECOND, "self.second(self.second_norm(inner))"),
    story="nothing bends between norm and convolution",
    advice="norm, silu, convolution, twice",
)
exercise.edit(
    "relu",
    (FIRST, "self.first(F.relu(self.first_norm(x)))"),
    (SECOND, "self.second(F.relu(self.second_norm(inner)))"),
    story="relu stands where silu should",
    advice="F.silu: x * sigmoid(x)",
)
exercise.edit(
    "gelu",
    (FIRST, "self.first(F.gelu(self.first_norm(x)))"),
    (SECOND, "self.second(F.gelu(self.second_norm(inner)))"),
    story="gelu stands where silu should",
    advice="F.silu: x * sigmoid(x)",
)
exercise.edit(
    "asks-the-argument",
    ("if self.time is not None:", "if self.time is not None or time is not None:"),
    story="whether the time is added is asked of the argument, also in a block that has no layer for it",
    advice="if self.time is not None: a block without a time passes over whatever comes",
)
exercise.edit(
    "silu-before-norm",
    (FIRST, "self.first(self.first_norm(F.silu(x)))"),
    (SECOND, "self.second(self.second_norm(F.silu(inner)))"),
    story="silu comes before the norm",
    advice="norm, silu, convolution",
)
exercise.edit(
    "first-half-only",
    ("inner = " + SECOND, "pass"),
    story="there is no second norm and convolution",
    advice="norm, silu, convolution once more, behind the time",
)
exercise.edit(
    "silu-of-the-sum",
    ("return self.shortcut(x) + inner", "return F.silu(self.shortcut(x) + inner)"),
    story="the sum with the shortcut goes through silu",
    advice="nothing bends behind the sum",
)
exercise.edit(
    "not-refused",
    ("if time is None:", "if False:"),
    ("inner = inner + " + TIME, "inner = inner if time is None else inner + " + TIME),
    story="a time that is missing is passed over",
    advice="raise ValueError: who forgets the time would train a network that does not know it",
)
exercise.edit(
    "refuses-too-much",
    ("if self.time is not None:", 'if self.time is None and time is not None:\n'
     '            raise ValueError("no time")\n        if self.time is not None:'),
    story="a block without a time refuses one",
    advice="it need not look at the time",
)  # fmt: skip
exercise.edit(
    "in-place",
    ("return self.shortcut(x) + inner", "return x.data.add_(inner.data) * 0 + self.shortcut(x)"
     " if inner.shape == x.shape else self.shortcut(x) + inner"),
    story="the caller's image is written over",
    advice="x + ..., not x += ...",
)  # fmt: skip
exercise.edit(
    "shortcut-cut-off",
    ("self.shortcut(x) + inner", "self.shortcut(x.detach()) + inner"),
    story="no gradient goes through the shortcut",
    advice="no detach: the shortcut is the way by which gradients reach the first blocks",
)


@exercise.disguise("time-without-silu", method="forward")
def time_without_silu_too(self, x, time=None):
    inner = self.first(F.silu(self.first_norm(x)))
    if self.time is not None:
        if time is None:
            raise ValueError("time")
        inner = inner + (time @ self.time.weight.mT + self.time.bias).view(*inner.shape[:2], 1, 1)
    return self.shortcut(x) + self.second(F.silu(self.second_norm(inner)))


@exercise.disguise("no-shortcut", method="forward")
def no_shortcut_too(self, x, time=None):
    inner = self.first(F.silu(self.first_norm(x)))
    if self.time is not None:
        if time is None:
            raise ValueError("time")
        inner += self.time(F.silu(time))[..., None, None]
    return self.second(F.silu(self.second_norm(inner)))


@exercise.right("a sigmoid, and the time spread out", method="forward")
def spread_out(self, x, time=None):
    y = self.first_norm(x)
    y = self.first(y * y.sigmoid())
    if self.time is not None:
        if time is None:
            raise ValueError("a time is needed")
        told = self.time(time * torch.sigmoid(time))
        y = y + told[..., None, None].expand_as(y)
    y = self.second_norm(y)
    return torch.add(self.second(y * y.sigmoid()), self.shortcut(x))


@exercise.right("the time as a bias, image by image", method="forward")
def as_bias(self, x, time=None):
    if self.time is not None and time is None:
        raise ValueError("a time is needed")
    rows = []
    for i in range(len(x)):
        bias = self.first.bias
        if self.time is not None:
            bias = bias + self.time(F.silu(time[i]))
        y = F.conv2d(F.silu(self.first_norm(x[i : i + 1])), self.first.weight, bias, padding=1)
        rows.append(self.second(F.silu(self.second_norm(y))))
    return self.shortcut(x) + torch.cat(rows)
