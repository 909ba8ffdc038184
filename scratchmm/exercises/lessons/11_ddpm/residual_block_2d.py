"""Exercise unet_blocks.ResidualBlock2d: a residual block that is conditioned on the timestep."""

import torch
import torch.nn.functional as F

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
    hints="""
        1. Let the last convolution be all zeros: then the block gives back its shortcut, x itself
           where channels stay as many. Let the time's layer give 1 for channel 0 and 0 for the
           others: then channel 0 is larger by 1 behind the first convolution, at every cell.
        2. The two convolutions each come behind a norm and a silu. The time is added where all that
           follows depends on it: between the first convolution and the second norm, whose groups
           have several channels, so that a number a channel does not cancel. It is one vector an
           image, the same at every cell, and goes through silu before its layer.
        3. first_norm, silu, first: (B, C, X, Y) to (B, D, X, Y). If self.time is there: the time
           (B, E), silu, self.time: (B, D), then two new axes for the cells; refuse a time that is
           None. If self.time is None, the argument is ignored. Then second_norm, silu, second. The
           shortcut of x on top, of x as it came.
        4. inner = self.first(F.silu(self.first_norm(x))); inner = inner +
           self.time(F.silu(time))[:, :, None, None]; return self.shortcut(x) +
           self.second(F.silu(self.second_norm(inner)))
    """,
)


def made(case, factory, outputs=6, time=5):
    return case.build(factory, 4, outputs, time, groups=2, scale=0.4)


def some_images(case):
    return case.normal(B=2, C=4, X=3, Y=7)


def slow(block, x, time):
    """The oracle: norms by their means and variances, the time channel by channel."""

    def normal(layer, x):
        groups = x.unflatten(1, (layer.num_groups, -1))
        away = groups - groups.mean((2, 3, 4), keepdim=True)
        away = away / (away.square().mean((2, 3, 4), keepdim=True) + layer.eps).sqrt()
        return away.flatten(1, 2) * layer.weight.view(-1, 1, 1) + layer.bias.view(-1, 1, 1)

    def silu(x):
        return x / (1 + (-x).exp())

    def convolved(layer, x):
        return F.conv2d(x, layer.weight, layer.bias, padding=1)

    inner = convolved(block.first, silu(normal(block.first_norm, x)))
    if block.time is not None:
        added = silu(time) @ block.time.weight.T + block.time.bias
        inner = torch.stack([inner[:, i] + added[:, i].view(-1, 1, 1) for i in range(6)], 1)
    short = block.shortcut
    past = x if not hasattr(short, "weight") else F.conv2d(x, short.weight, short.bias)
    return past + convolved(block.second, silu(normal(block.second_norm, inner)))


@exercise.holds("with a last convolution of zeros it gives back its shortcut")
def shortcut(block_class, case):
    for outputs in (6, 4):
        block = made(case, block_class, outputs)
        torch.nn.init.zeros_(block.second.weight)
        torch.nn.init.zeros_(block.second.bias)
        x = some_images(case)
        got = case.call(block, x, case.normal(B=2, E=5))
        short = block.shortcut
        case.equal(got, x if outputs == 4 else F.conv2d(x, short.weight, short.bias))


@exercise.holds("a block without a time: norm, silu and convolution, twice, and the shortcut")
def timeless(block_class, case):
    block, x = made(case, block_class, outputs=4, time=None), some_images(case)
    case.equal(case.call(block, x), slow(block, x, None))
    case.unchanged()


@exercise.holds("the second half depends on the time, each image on its own")
def conditioned(block_class, case):
    block, x = made(case, block_class), some_images(case)
    time = case.normal(B=2, E=5, scale=2.0)
    case.equal(case.call(block, x, time), slow(block, x, time))


@exercise.holds("a block without a time ignores one")
def ignored(block_class, case):
    block, x = made(case, block_class, time=None), some_images(case)
    case.equal(case.call(block, x, case.normal(B=2, E=5)), slow(block, x, None))


@exercise.holds("a block with a time refuses to do without: ValueError")
def refused(block_class, case):
    case.refuses(ValueError, made(case, block_class), some_images(case))


@exercise.holds("the gradients reach image, time and every layer")
def gradients(block_class, case):
    block = made(case, block_class).double()
    given = some_images(case), case.normal(B=2, E=5)
    case.gradients(block, lambda x, time: slow(block, x, time), *given, parameters=block)


exercise.mistakes("""
    x-is-the-shortcut: x itself is added, also where the channels are others
    - return self.shortcut(x) + inner
    + return x.repeat(1, 2, 1, 1)[:, : len(inner[0])] + inner
    > self.shortcut(x): it is x where channels stay, a convolution where they do not

    time-at-the-end: the time is added behind the second convolution
    - inner = inner + self.time(F.silu(time))[:, :, None, None]
    + late = self.time(F.silu(time))[:, :, None, None]
    - return self.shortcut(x) + inner
    + return self.shortcut(x) + inner + (0 if self.time is None else late)
    > between the two, so that the second half depends on it

    time-behind-the-norm: the time is added behind the second norm
    - inner = inner + self.time(F.silu(time))[:, :, None, None]
    + late = self.time(F.silu(time))[:, :, None, None]
    - self.second(F.silu(inner))
    + self.second(F.silu(inner + (0 if self.time is None else late)))
    > before it: behind the first convolution

    time-scales [convention]: the time multiplies the channels
    - inner + self.time(F.silu(time))[:, :, None, None]
    + inner * (1 + self.time(F.silu(time))[:, :, None, None])
    > add it, one number a channel

    silu-before-norm: silu comes before the norm
    - F.silu(self.first_norm(x))
    + self.first_norm(F.silu(x))
    - self.second_norm(inner)
    + self.second_norm(F.silu(inner))
    - self.second(F.silu(inner))
    + self.second(inner)
    > norm, silu, convolution

    asks-the-argument: the argument decides whether time is added, even without a layer for it
    - if self.time is not None:
    + if self.time is not None or time is not None:
    > if self.time is not None: a block without a time ignores the argument
""")

exercise.slips("""
    return self.shortcut(x) + inner => self.shortcut(x) + inner
    self.time(F.silu(time)) => F.silu(self.time(time))
    self.time(F.silu(time)) => self.time(F.silu(time)).mean(0, keepdim=True)
    inner + self.time(F.silu(time))[:, :, None, None] => torch.cat([inner[..., :1] +
        self.time(F.silu(time))[:, :, None, None], inner[..., 1:]], -1)
    self.first_norm(x) => x ;; self.second_norm(inner) => inner
    F.silu(self.first_norm(x)) => self.first_norm(x) ;; F.silu(inner) => inner
    F.silu(self.first_norm(x)) => F.relu(self.first_norm(x)) ;; F.silu(inner) => F.relu(inner)
    F.silu(self.first_norm(x)) => F.gelu(self.first_norm(x)) ;; F.silu(inner) => F.gelu(inner)
    self.second_norm(inner) => inner ;; self.second(F.silu(inner)) => inner
    if self.time is not None: => if self.time is not None and time is not None:
    inner = self.first => assert self.time is not None or time is None; inner = self.first
    return self.shortcut(x) + inner => return x.data.add_(inner) if x.shape == inner.shape else
        self.shortcut(x) + inner
    self.shortcut(x) => self.shortcut(x.detach())
    self.second_norm(inner) => self.second_norm(F.silu(inner)) ;; self.second(F.silu(inner))
        => self.second(inner)
    self.shortcut(x) => self.shortcut(F.silu(self.first_norm(x)))
    self.shortcut(x) + inner => F.silu(self.shortcut(x) + inner)
    F.silu(time) => time
    self.shortcut(x) => self.shortcut(self.first_norm(x))
""")


@exercise.right("a sigmoid, and the time spread out", method="forward")
def spread_out(self, x, time=None):
    y = self.first_norm(x)
    y = self.first(y * y.sigmoid())
    if self.time is not None:
        if time is None:
            raise ValueError("a time is needed")
        y = y + self.time(time * torch.sigmoid(time))[..., None, None].expand_as(y)
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
