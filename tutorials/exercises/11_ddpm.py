"""Exercises of lesson 11, ddpm.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/11_ddpm.py   its examples; silent if right
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.chance import draw_noise
from scratchmm.diffusion.ddpm import (
    VARIANCES,
    Gaussian,
    Model,
    Step,
    clipped,
    start_and_noise,
    target_of,
)
from scratchmm.diffusion.schedule import Schedule, per_sample
from scratchmm.diffusion.unet import TimeEmbedding, UNetConfig, UNetLayer, sinusoids, zero_init
from scratchmm.layers.checks import check_channels, check_divisible
from scratchmm.layers.image_blocks import SelfAttention2d, Upsample, group_norm
from scratchmm.layers.tracing import channels_last


# schedule.cosine_schedule: The square of a cosine. 20 minutes, difficulty 3 of 5. In the lesson:
# "How much is left".
# Given:
# - Schedule(alpha_bar: Tensor)
#     How much of the image is left at each timestep.
def cosine_schedule(steps: int = 1000, offset: float = 0.008, largest: float = 0.999) -> Schedule:
    """alpha_bar falls as the square of a cosine, for any number of steps; no beta over `largest`.

    Equation 17: alpha_bar = f(t) / f(0), f(t) = cos((t + offset) / (1 + offset) * pi / 2)^2, where t,
    the share of the way, is 1 / steps at the first timestep and 1 at the last. A beta that is held
    leaves more: later levels go on from there. Raises ValueError on steps below 1.

    >>> cosine_schedule(2, offset=0.0).alpha_bar.round(decimals=6).tolist()
    [0.5, 0.0005]
    """
    raise NotImplementedError(
        "schedule.cosine_schedule: a Schedule whose alpha_bar falls as cos^2 from 1 to 0, no step "
        "steeper than `largest`"
    )


# schedule.mix: Noise in one go. 10 minutes, difficulty 2 of 5. In the lesson: "Noise in one go".
# Comes after schedule.cosine_schedule.
# Given:
# - per_sample(values: Tensor, x: Tensor) -> Tensor
#     One number a sample, shaped so that it multiplies a whole batch, in its dtype and place.
def mix(start: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x = sqrt(a) * start + sqrt(1 - a) * noise; start and noise: (B, ...), alpha_bar: (B,).

    The roots are taken in float64, as 1 - a rounds to 0 in float32 at the first of many steps; the
    result has the dtype of start. Raises ValueError where there are not as many alpha_bars as samples.

    >>> mix(torch.ones(2), torch.zeros(2), torch.tensor([1.0, 0.25]))
    tensor([1.0000, 0.5000])
    """
    raise NotImplementedError(
        "schedule.mix: sqrt(a) of the start and sqrt(1 - a) of the noise, every sample with its "
        "own a"
    )


# sinusoids.cosines_first: The timestep embedding. 10 minutes, difficulty 2 of 5. In the lesson:
# "The timestep embedding".
# Given:
# - check_divisible(what: str, size: int, by: str, divisor: int) -> None
#     Refuse a size that its parts do not fill.
def cosines_first(timesteps: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Timesteps as clock hands the other way round: (B,) of any real dtype to (B, width) of `dtype`.

    Improved DDPM's code puts all cosines before all sines and never reaches the speed 1 / 10000:
    speed_i = 10000^(-i / (width / 2)). Published weights hear the time in the one way or the other.
    Raises ValueError on an odd width.

    >>> cosines_first(torch.tensor([0]), 4).tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    """
    raise NotImplementedError(
        "sinusoids.cosines_first: cosines, then sines, of each timestep times the speeds 10000^(-i "
        "/ (width / 2))"
    )


# image_blocks.ResidualBlock2d: A block conditioned on the timestep. 15 minutes, difficulty 2 of 5.
# In the lesson: "Blocks conditioned on the timestep".
# Given:
# - group_norm(channels: int, groups: int, epsilon: float) -> nn.GroupNorm
#     Each group of channels to mean 0 and variance 1, image by image; refuses unequal groups.
class ResidualBlock2d(nn.Module):
    """shortcut(x) + conv(silu(norm(conv(silu(norm(x))) + time))), kernels of 3: same height, width.

    The time is one number a channel, the same at every cell: linear(silu(embedded time)). time_width:
    of the embedded time, or None for a block without. The shortcut is x, or a convolution of kernel
    1 where outputs differ.

    >>> x = torch.zeros(2, 4, 6, 10)
    >>> ResidualBlock2d(4, 8, time_width=5, groups=2)(x, torch.zeros(2, 5)).shape
    torch.Size([2, 8, 6, 10])
    >>> ResidualBlock2d(4, 4, groups=2)(x).shape
    torch.Size([2, 4, 6, 10])
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        time_width: int | None = None,
        groups: int = 32,
        epsilon: float = 1e-6,
    ) -> None:
        super().__init__()
        self.first_norm = group_norm(channels, groups, epsilon)
        self.first = nn.Conv2d(channels, outputs, kernel_size=3, padding=1)
        self.time = None if time_width is None else nn.Linear(time_width, outputs)
        self.second_norm = group_norm(outputs, groups, epsilon)
        self.second = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1)
        changes = channels != outputs
        self.shortcut = nn.Conv2d(channels, outputs, kernel_size=1) if changes else nn.Identity()

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x: float (B, C, X, Y); time: float (B, E), where the block takes one: (B, D, X, Y) out.

        Raises ValueError where the block takes a time and gets none.
        """
        raise NotImplementedError(
            "image_blocks.ResidualBlock2d: shortcut(x) plus norm, silu, convolution twice; the "
            "time, one number a channel, is added between; ValueError where it is missing"
        )


# image_blocks.Downsample: Three cells over two. 15 minutes, difficulty 2 of 5. In the lesson: "Down
# and up".
class Downsample(nn.Module):
    """Half the height and half the width: a convolution of kernel 3 with stride 2.

    Three cells do not lie evenly over two: DDPM pads with zeros at the right and the bottom only
    (as TensorFlow did), Stable Diffusion's UNet on all sides (centred).

    >>> Downsample(4)(torch.zeros(2, 4, 6, 10)).shape
    torch.Size([2, 4, 3, 5])
    """

    def __init__(self, channels: int, centred: bool = False) -> None:
        raise NotImplementedError(
            "image_blocks.Downsample: remember which edges get zeros; self.convolution: kernel 3, "
            "stride 2, no padding"
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, X, Y), both even. Returns (B, C, X // 2, Y // 2)."""
        raise NotImplementedError(
            "image_blocks.Downsample: zeros at those edges, then the convolution: (B, C, X // 2, Y "
            "// 2)"
        )


# unet.up: Up blocks and skip connections. 20 minutes, difficulty 3 of 5. In the lesson: "Down and
# up".
# Given:
# - SelfAttention2d(channels: int, heads: int=1, groups: int=32, epsilon: float=1e-06)
#     x + attention(norm(x)), where every cell of the grid looks at every cell.
# - TimeEmbedding(width: int, outputs: int, clock: Callable[[Tensor, int],
#       Tensor]=timestep_embedding)
#     Timesteps as clock hands, then a small network: what every block hears.
# - UNetConfig(channels: int = 3, widths: tuple[int, ...] = (128, 256, 256, 256), depth: int = 2,
#       attended: tuple[int, ...] = (1,), head_width: int | None = None, groups: int = 32, epsilon:
#       float = 1e-06, cosines_first: bool = False, frequency_shift: int = 1, centred: bool = False)
#     The sizes of a UNet.
# - UNetConfig.time_width() -> int
#     Width of the embedded time.
# - UNetConfig.shrink() -> int
#     Pixels, in height and in width, to one cell of the smallest grid.
# - UNetLayer(block: ResidualBlock2d, attention: nn.Module | None=None)
#     A residual block and, where there is one, a look around.
# - Upsample(channels: int)
#     Twice the height and the width: each cell four times, then a convolution of kernel 3.
# - channels_last(x: Tensor) -> Tensor
#     x: (B, C, H, W) or (B, C, F, H, W), laid out channels last where that makes CPUs faster.
# - check_channels(what: str, found: int, expected: int) -> None
#     Refuse images of another number of channels.
# - sinusoids(timesteps: Tensor, width: int, *, cosines: bool, shift: int) -> Tensor
#     The timesteps as sines and cosines: (B,) to float64 (B, width), in any of the published ways.
# - zero_init(layer: nn.Module) -> None
#     The last layer of a residual branch, so that the branch adds nothing at first (DDPM's code).
class UNet(nn.Module):
    """Appendix B's network: noisy images and timesteps in, something of the images' shape out.

    `down`, `bottom` and `up` are its three parts, for those who add to what the skips carry. It
    says zero everywhere until it is trained.

    >>> model = UNet(tiny())
    >>> model(torch.zeros(2, 3, 8, 12), torch.tensor([0, 999])).shape
    torch.Size([2, 3, 8, 12])
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        first, last = config.widths[0], config.widths[-1]
        self.time = self.time_embedding()
        self.start = nn.Conv2d(config.channels, first, kernel_size=3, padding=1)
        self.falling, self.shrinking = nn.ModuleList(), nn.ModuleList()
        skips = self._build_down()
        self.middle = nn.ModuleList(
            [
                UNetLayer(self.block(last, last), self.attention(last, len(config.widths) - 1)),
                UNetLayer(self.block(last, last)),
            ]
        )
        self.rising, self.growing = nn.ModuleList(), nn.ModuleList()
        self._build_up(skips)
        self.norm = group_norm(first, config.groups, config.epsilon)
        self.end = nn.Conv2d(first, config.channels, kernel_size=3, padding=1)
        zero_init(self.end)

    def _build_down(self) -> list[int]:
        """Levels from the largest grid to the smallest. Returns the channels of every skip."""
        config, channels = self.config, self.config.widths[0]
        skips = [channels]
        for level, width in enumerate(config.widths):
            steps = nn.ModuleList()
            for _ in range(config.depth):
                steps.append(self.step(channels, width, level))
                channels = width
                skips.append(channels)
            self.falling.append(steps)
            if level < len(config.widths) - 1:
                self.shrinking.append(self.downsample(channels))
                skips.append(channels)
        return skips

    def _build_up(self, skips: list[int]) -> None:
        """Levels from the smallest grid to the largest; each step takes the last skip left."""
        config, channels = self.config, self.config.widths[-1]
        for level, width in reversed(list(enumerate(config.widths))):
            steps = nn.ModuleList()
            for _ in range(config.depth + 1):
                steps.append(self.step(channels + skips.pop(), width, level))
                channels = width
            self.rising.append(steps)
            if level > 0:
                self.growing.append(Upsample(channels))

    def step(self, channels: int, outputs: int, level: int) -> UNetLayer:
        """A block of a level, with attention where the config wants it."""
        attended = level in self.config.attended
        return UNetLayer(
            self.block(channels, outputs), self.attention(outputs, level) if attended else None
        )

    def block(self, channels: int, outputs: int) -> ResidualBlock2d:
        """A residual block that hears the time."""
        config = self.config
        block = ResidualBlock2d(channels, outputs, config.time_width, config.groups, config.epsilon)
        zero_init(block.second)
        return block

    def attention(self, channels: int, level: int) -> nn.Module:
        """The look around behind a block of a level; the middle is of the last one."""
        config = self.config
        heads = 1
        if config.head_width is not None:
            check_divisible("channels", channels, "a head's width of", config.head_width)
            heads = channels // config.head_width
        look = SelfAttention2d(channels, heads, config.groups, config.epsilon)
        zero_init(look.attention.output)
        return look

    def downsample(self, channels: int) -> Downsample:
        """The way from a level to the next smaller one."""
        return Downsample(channels, self.config.centred)

    def time_embedding(self) -> TimeEmbedding:
        """What makes one vector of a timestep."""
        config = self.config
        clock = partial(sinusoids, cosines=config.cosines_first, shift=config.frequency_shift)
        return TimeEmbedding(config.widths[0], config.time_width, clock)

    def forward(self, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """noisy: float (B, C, X, Y); timesteps: (B,), or one for all. Returns (B, C, X, Y)."""
        time = self.embed_time(noisy, timesteps)  # (B, E)
        x, skips = self.down(noisy, time)
        return self.up(self.bottom(x, time), skips, time)  # (B, C, X, Y)

    def embed_time(self, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """timesteps: (B,) or (), for noisy: float (B, C, X, Y), which it checks. Returns (B, E)."""
        check_channels("images", noisy.shape[1], self.config.channels)
        for side, size in zip(("height", "width"), noisy.shape[2:]):
            check_divisible(f"image {side}", size, "the UNet's shrinking,", self.config.shrink)
        batch = noisy.shape[0]
        if timesteps.dim() and timesteps.shape[0] != batch:
            raise ValueError(f"there are {timesteps.shape[0]} timesteps for {batch} images")
        return self.time(timesteps.expand(batch))  # (B, E)

    def down(
        self, noisy: Tensor, time: Tensor, *words: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """The way down: the smallest grid, and the grid behind every layer, first one first."""
        return self.fall(self.start(channels_last(noisy)), time, *words)

    def fall(self, x: Tensor, time: Tensor, *words: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """The way down behind its first convolution, whose grid x may have been added to."""
        skips = [x]
        for level, steps in enumerate(self.falling):
            for step in steps:  # type: ignore[attr-defined]
                x = step(x, time, *words)
                skips.append(x)
            if level < len(self.shrinking):
                x = self.shrinking[level](x)
                skips.append(x)
        return x, skips

    def bottom(self, x: Tensor, time: Tensor, *words: Tensor | None) -> Tensor:
        """Two blocks on the smallest grid, attention between them. x: float (B, C, X, Y)."""
        for step in self.middle:
            x = step(x, time, *words)
        return x

    def up(self, x: Tensor, skips: list[Tensor], time: Tensor, *words: Tensor | None) -> Tensor:
        """The way up, from the smallest grid x. Each step sees the last skip left beside its input.

        The caller's list of skips stays as it is.
        """
        raise NotImplementedError(
            "unet.up: level after level upwards, each step with the last skip left beside its "
            "input; then norm, silu and the last convolution"
        )


# ddpm.diffusion_loss: One loss. 25 minutes, difficulty 3 of 5. In the lesson: "One loss". Comes
# after schedule.mix.
# Given:
# - draw_noise(like: Tensor, generator: Chance=None) -> Tensor
#     Normal noise as large as `like`, drawn on the CPU: one seed, one image, on any machine.
# - target_of(start: Tensor, noise: Tensor, alpha_bar: Tensor, target: str) -> Tensor
#     What a model of this target should predict; start and noise: (B, ...), alpha_bar: (B,).
def diffusion_loss(
    model: Model,
    schedule: Schedule,
    start: Tensor,
    *,
    target: str = "noise",
    timesteps: Tensor | None = None,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    **condition: Any,
) -> Tensor:
    """Algorithm 1: the mean squared error of the prediction, each sample at a timestep of its own.

    start: (B, ...). timesteps int64 (B,) and noise (B, ...) are drawn where they are not given. The
    model gets the mixture, the timesteps and the condition. Returns a scalar.
    Raises ValueError where the model predicts another shape than the start's.

    >>> def perfect(x, timesteps):  # of black images: all that is there is noise
    ...     return x / (1 - schedule.at(timesteps)).sqrt().to(x.dtype)[:, None]
    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> schedule = cosine_schedule(10)
    >>> float(diffusion_loss(perfect, schedule, torch.zeros(5, 4))) < 1e-12
    True
    """
    raise NotImplementedError(
        "ddpm.diffusion_loss: mix, ask the model, and return the mean squared error to what it "
        "should have predicted"
    )


# ddpm.posterior: The posterior, given x0. 25 minutes, difficulty 3 of 5. In the lesson: "The
# reverse process". Comes after schedule.mix. Without the library's step_variance.
# Given:
# - Gaussian(mean: Tensor, variance: Tensor)
#     A normal distribution with independent values.
def posterior(
    schedule: Schedule,
    start: Tensor,
    x: Tensor,
    timesteps: Tensor,
    previous: Tensor | None = None,
) -> Gaussian:
    """Where x was at an earlier timestep, if the start is known: q(x_previous | x, start).

    Equation 7, for steps of any length. a and b are alpha_bar now and before:
    mean = sqrt(b) * (1 - a / b) / (1 - a) * start + sqrt(a / b) * (1 - b) / (1 - a) * x,
    variance = (1 - b) / (1 - a) * (1 - a / b).

    start and x: (B, ...). timesteps and previous: int64 (B,); previous is one step earlier if None; at
    -1 it is the start (alpha_bar is 1 there). Returns the mean (B, ...) and the variance, one number a
    sample, (B, 1, ...), both in the dtype of x; what they are made of is worked out in float64. Raises
    ValueError where previous is not before timesteps.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> schedule = cosine_schedule(10)
    >>> mean, variance = posterior(schedule, torch.ones(1), torch.tensor([5.0]), torch.tensor([0]))
    >>> mean.item(), variance.item()
    (1.0, 0.0)
    """
    raise NotImplementedError(
        "ddpm.posterior: mean and variance of q(x_previous | x, start); at -1 it is the start, "
        "without variance; ValueError where previous is not before timesteps"
    )


# ddpm.ancestral_step: One ancestral step. 30 minutes, difficulty 4 of 5. In the lesson: "The
# reverse process". Comes after ddpm.posterior.
# Given:
# - Step(x: Tensor, start: Tensor)
#     Where a step of a sampler led.
# - clipped(start: Tensor, clip: float | None) -> Tensor
#     The start (B, ...), held to -clip..clip unless clip is None; ValueError if it is not above 0.
# - start_and_noise(predicted: Tensor, x: Tensor, alpha_bar: Tensor, target: str) -> Estimate
#     Both ingredients of x: (B, ...) from a prediction of either, or of the velocity.
def ancestral_step(
    schedule: Schedule,
    predicted: Tensor,
    x: Tensor,
    timesteps: Tensor,
    noise: Tensor,
    *,
    target: str = "noise",
    variance: str = "posterior",
    clip: float | None = None,
    previous: Tensor | None = None,
) -> Step:
    """Algorithm 2, line 4: to the posterior's mean, and noise on top, but none at the last step.

    The start is what `predicted` says of x, and takes the place of the true one in `posterior`.
    predicted, x and noise: (B, ...). variance: "posterior", or "beta", that of the step forward:
    1 - a / b (section 3.2: the first is right if there is one image only, the second if images
    are noise themselves); clip: the start is held to -clip..clip; previous: one step earlier if None.

    Raises ValueError on a variance or a target that is none, on a clip that is not above 0, and where
    previous is not before timesteps.

    >>> from scratchmm.diffusion.schedule import cosine_schedule
    >>> x, last = torch.tensor([[0.3]]), torch.tensor([0])
    >>> ancestral_step(cosine_schedule(10), x, x, last, noise=x, target="start").x
    tensor([[0.3000]])
    """
    raise NotImplementedError(
        "ddpm.ancestral_step: one line of algorithm 2: what the model takes for the start, the "
        "posterior's mean, and noise on top, but none where the next image is the clean one"
    )


# bug.noisy_last_step: Find the bug: grain in every image. 35 minutes, difficulty 4 of 5. In the
# lesson: "Trains well, samples badly". Comes after ddpm.ancestral_step.
class NoisyLastStep:
    """Both halves of a diffusion model: the loss it learns by, and how it draws (algorithm 2).

    It trains as well as any other: its loss is diffusion_loss, and no step of training draws an
    image. Losses, gradients and weights are those of a right one, to the last bit. Yet what it
    draws has grain. Leave it as it is: it is what your check has to catch.

    >>> schedule, images = cosine_schedule(50), torch.zeros(5, 3)
    >>> chance = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    >>> def half(x, timesteps):
    ...     return 0.5 * x
    >>> loss = NoisyLastStep(schedule).loss(half, images, chance[0])
    >>> bool(loss == diffusion_loss(half, schedule, images, generator=chance[1]))
    True
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def loss(self, model: Model, start: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What training makes small. start: (B, X)."""
        return diffusion_loss(model, self.schedule, start, generator=generator)

    def sample(self, model: Model, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noise x: (B, X) becomes images (B, X); model(x, timesteps) says the noise in x."""
        levels, betas = self.schedule.alpha_bar.tolist(), self.schedule.betas.tolist()
        for timestep in reversed(range(len(self.schedule))):
            now, beta = levels[timestep], betas[timestep]
            noise = model(x, torch.full((len(x),), timestep))
            mean = (x - beta / math.sqrt(1 - now) * noise) / math.sqrt(1 - beta)
            x = mean + math.sqrt(beta) * draw_noise(x, generator)
        return x


def check_drawing(diffuser_class: Any) -> None:
    """Raise AssertionError unless what a diffuser draws is what its model knows.

    diffuser_class: takes a Schedule, as NoisyLastStep does; judge it by sample(model, x, generator),
    on cosine schedules of 50 steps or more, with x float32 (B, X). Accept it if, with a model that
    predicts the noise in x as well as it can be predicted, what is drawn is spread as the images
    are that the model knows: that image, up to 0.001, if there is one alone; else with their mean
    and their deviation, up to a quarter of that deviation, each sample and each value by itself. It
    may leave steps out and use chance or none, and may hold what it takes for the clean image to
    -1 ... 1, where images are. Reject every other. This check is what is asked for and graded, on
    NoisyLastStep and others.

    >>> check_drawing(NoisyLastStep)
    Traceback (most recent call last):
    AssertionError: there is one image alone, and something else is drawn
    """
    raise NotImplementedError(
        "bug.noisy_last_step: write the check: AssertionError unless what a diffuser draws is what "
        "its model knows"
    )
