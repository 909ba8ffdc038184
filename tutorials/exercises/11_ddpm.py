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
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchmm.diffusion.ddpm import VARIANCES, Gaussian
from scratchmm.diffusion.noise import draw_noise
from scratchmm.diffusion.process import (
    Model,
    Schedule,
    Step,
    clamped,
    per_sample,
    target_of,
    x0_and_noise,
)
from scratchmm.diffusion.unet import UNetConfig, UNetEncoder, unet_block
from scratchmm.diffusion.unet_blocks import Upsample, group_norm, zero_init
from scratchmm.layers.checks import check_divisible


# process.cosine_schedule: The square of a cosine. 20 minutes, difficulty 3 of 5. In the lesson:
# "How much is left".
# Given:
# - Schedule(alpha_bar: Tensor)
#     A noise schedule: how much of the image is left at each timestep.
def cosine_schedule(steps: int = 1000, offset: float = 0.008, largest: float = 0.999) -> Schedule:
    """alpha_bar falls as the square of a cosine, for any number of steps; no beta over `largest`.

    Equation 17: alpha_bar = f(t) / f(0), f(t) = cos((t + offset) / (1 + offset) * pi / 2)^2, where t,
    the share of the steps, is 1 / steps at the first timestep and 1 at the last. A beta that is clamped
    leaves more: later levels go on from there. Raises ValueError on steps below 1.

    >>> cosine_schedule(2, offset=0.0).alpha_bar.round(decimals=6).tolist()
    [0.5, 0.0005]
    """
    raise NotImplementedError(
        "process.cosine_schedule: a Schedule whose alpha_bar falls as cos^2 from 1 to 0, no step "
        "steeper than `largest`"
    )


# process.mix: Noise in one go. 10 minutes, difficulty 2 of 5. In the lesson: "Noise in one go".
# Comes after process.cosine_schedule.
# Given:
# - per_sample(values: Tensor, x: Tensor) -> Tensor
#     One number a sample, shaped so that it multiplies a whole batch, in its dtype and place.
def mix(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x = sqrt(a) * x0 + sqrt(1 - a) * noise; x0 and noise: (B, ...), alpha_bar: (B,).

    The roots are taken in float64, as 1 - a rounds to 0 in float32 at the first of many steps; the
    result has the dtype of x0. Raises ValueError where there are not as many alpha_bars as samples.

    >>> mix(torch.ones(2), torch.zeros(2), torch.tensor([1.0, 0.25]))
    tensor([1.0000, 0.5000])
    """
    raise NotImplementedError(
        "process.mix: sqrt(a) of x0 and sqrt(1 - a) of the noise, every sample with its own a"
    )


# unet_blocks.timestep_embedding: The timestep embedding. 10 minutes, difficulty 2 of 5. In the
# lesson: "The timestep embedding".
# Given:
# - check_divisible(what: str, size: int, by: str, divisor: int) -> None
#     Refuse a size that its parts do not fill.
def timestep_embedding(
    timesteps: Tensor, width: int, dtype: torch.dtype = torch.float32, *,
    flip_sin_to_cos: bool = False, frequency_shift: int = 1,
) -> Tensor:  # fmt: skip
    """Sinusoids of timesteps: (B,) of any real dtype to (B, D) of `dtype`, D = width.

    All sines come before all cosines (unlike `sinusoidal_positions`), or after them if flipped.
    frequency_i = 10000^(-i / (width / 2 - frequency_shift)): with a shift of 1 (DDPM) the last is
    1 / 10000 exactly, with 0 (Improved DDPM, Stable Diffusion, unCLIP) it is higher. Published weights
    need the convention they were trained with. Raises ValueError on an odd width.

    >>> timestep_embedding(torch.tensor([0]), 4).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    >>> timestep_embedding(torch.tensor([0]), 4, flip_sin_to_cos=True).tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    """
    raise NotImplementedError(
        "unet_blocks.timestep_embedding: sines, then cosines, of each timestep times 10000^(-i / "
        "(width / 2 - frequency_shift))"
    )


# unet_blocks.ResidualBlock2d: A block conditioned on the timestep. 15 minutes, difficulty 2 of 5.
# In the lesson: "Blocks conditioned on the timestep".
# Given:
# - group_norm(channels: int, groups: int, epsilon: float) -> nn.GroupNorm
#     Each group of channels to mean 0 and variance 1, image by image; refuses unequal groups.
class ResidualBlock2d(nn.Module):
    """shortcut(x) + conv(silu(norm(conv(silu(norm(x))) + time))), kernels of 3: same height, width.

    time is linear(silu(time embedding)): one number a channel, the same at every cell. time_width: of
    the time embedding, or None for a block without. The shortcut is x, or a convolution of kernel
    1 where outputs differ.

    >>> x = torch.zeros(2, 4, 6, 10)
    >>> ResidualBlock2d(4, 8, time_width=5, groups=2)(x, torch.zeros(2, 5)).shape
    torch.Size([2, 8, 6, 10])
    >>> ResidualBlock2d(4, 4, groups=2)(x).shape
    torch.Size([2, 4, 6, 10])
    """

    def __init__(
        self, channels: int, outputs: int, time_width: int | None = None, groups: int = 32,
        epsilon: float = 1e-6,
    ) -> None:  # fmt: skip
        super().__init__()
        self.first_norm = group_norm(channels, groups, epsilon)
        self.first = nn.Conv2d(channels, outputs, kernel_size=3, padding=1)
        self.time = None if time_width is None else nn.Linear(time_width, outputs)
        self.second_norm = group_norm(outputs, groups, epsilon)
        self.second = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1)
        self.shortcut = nn.Identity() if channels == outputs else nn.Conv2d(channels, outputs, 1)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x: float (B, C, X, Y); time: float (B, E), where the block takes one: (B, D, X, Y) out.

        Raises ValueError where the block takes a time and gets none.
        """
        raise NotImplementedError(
            "unet_blocks.ResidualBlock2d: shortcut(x) plus norm, silu, convolution twice; the "
            "time, one number a channel, is added between; ValueError where it is missing"
        )


# unet_blocks.Downsample: Three cells over two. 15 minutes, difficulty 2 of 5. In the lesson: "Down
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
            "unet_blocks.Downsample: remember which edges get zeros; self.convolution: kernel 3, "
            "stride 2, no padding"
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, X, Y), both even. Returns (B, C, X // 2, Y // 2)."""
        raise NotImplementedError(
            "unet_blocks.Downsample: zeros at those edges, then the convolution: (B, C, X // 2, Y "
            "// 2)"
        )


# unet.decode: Up blocks and skip connections. 20 minutes, difficulty 3 of 5. In the lesson: "Down
# and up".
# Given:
# - UNetConfig(channels: int = 3, widths: tuple[int, ...] = (128, 256, 256, 256), depth: int = 2,
#       attended: tuple[int, ...] = (1,), heads: int | tuple[int, ...] = 1, head_width: int | None =
#       None, groups: int = 32, epsilon: float = 1e-06, flip_sin_to_cos: bool = False,
#       frequency_shift: int = 1, centred: bool = False, context_width: int | None = None,
#       adds_pooled_text: bool = False, places_words: bool = False, linear: bool = False)
#     The sizes of a UNet, with a context (such as text) to attend to or without one.
# - UNetEncoder(config: UNetConfig)
#     The encoder and the middle of a UNet, of which a ControlNet has a copy.
# - UNetEncoder.embed_conditions(noisy: Tensor, timesteps: Tensor, context: Tensor | None=None,
#       mask: Tensor | None=None, time: Tensor | float=0.0) -> tuple[Any, ...]
#     What every block takes besides its grid: the time embedding (B, E), the context, its mask.
# - UNetEncoder.encode(noisy: Tensor, *conditions: Any, hint: Tensor | None=None) -> tuple[Tensor,
#       list[Tensor]]
#     The smallest grid, and a skip behind every block, the first one first.
# - UNetEncoder.middle(x: Tensor, *conditions: Any) -> Tensor
#     Two blocks on the smallest grid, attention between them. x: float (B, C, X, Y).
# - Upsample(channels: int)
#     Twice the height and the width: each cell four times, then a convolution of kernel 3.
# - unet_block(config: UNetConfig, channels: int, level: int, attends: bool, resize: nn.Module |
#       None=None) -> UNetBlock
#     A block of a level, with attention or without. Its residual block adds 0 at first.
# - zero_init(layer: nn.Module) -> nn.Module
#     The layer, its weights and biases set to 0: a residual branch that ends in it adds 0 at first.
class UNet(nn.Module):
    """Noisy images and timesteps in, a prediction of the images' shape out; 0 until it is trained.

    >>> model, context = UNet(tiny_with_context()), torch.zeros(2, 5, 10)
    >>> model(torch.zeros(2, 3, 8, 12), torch.tensor([0, 999]), context).shape
    torch.Size([2, 3, 8, 12])
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = UNetEncoder(config)
        self.up_blocks = nn.ModuleList()
        skips, channels = list(self.encoder.skip_channels), config.widths[-1]
        for level, width in reversed(list(enumerate(config.widths))):
            for index in range(config.depth + 1):
                attends, inputs = level in config.attended, channels + skips.pop()
                resize = Upsample(width) if level > 0 and index == config.depth else None
                self.up_blocks.append(unet_block(config, inputs, level, attends, resize))
                channels = width
        self.norm_out = group_norm(channels, config.groups, config.epsilon)
        self.conv_out = zero_init(nn.Conv2d(channels, config.channels, kernel_size=3, padding=1))

    def forward(
        self, noisy: Tensor, timesteps: Tensor, context: Tensor | None = None,
        mask: Tensor | None = None, *, time: Tensor | float = 0.0,
    ) -> Tensor:  # fmt: skip
        """noisy: float (B, C, X, Y); timesteps: (B,), or one for all. Returns (B, C, X, Y).

        context: float (B, T, W), where the config has a width for one; mask: bool (B, T), True on
        real tokens. time: float (B, E), added to the time embedding.
        """
        conditions = self.encoder.embed_conditions(noisy, timesteps, context, mask, time)
        x, skips = self.encoder.encode(noisy, *conditions)
        return self.decode(self.encoder.middle(x, *conditions), skips, *conditions)  # (B, C, X, Y)

    def decode(self, x: Tensor, skips: Sequence[Tensor], *conditions: Any) -> Tensor:
        """From the smallest grid x up: each block takes its input and the last skip left.

        The caller's list of skips stays as it is. Returns (B, C, X, Y).
        """
        raise NotImplementedError(
            "unet.decode: block after block, each with its input and the last skip left; then "
            "norm, silu and the last convolution"
        )


# process.diffusion_loss: One loss. 25 minutes, difficulty 3 of 5. In the lesson: "One loss". Comes
# after process.mix.
# Given:
# - draw_noise(like: Tensor, generator: Generators=None) -> Tensor
#     Normal noise as large as `like`, drawn on the CPU: one seed, one image, on any machine.
# - target_of(x0: Tensor, noise: Tensor, alpha_bar: Tensor, target: str) -> Tensor
#     What a model of this target should predict; x0 and noise: (B, ...), alpha_bar: (B,).
def diffusion_loss(
    model: Model,
    schedule: Schedule,
    x0: Tensor,
    *,
    target: str = "noise",
    timesteps: Tensor | None = None,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    **condition: Any,
) -> Tensor:
    """Algorithm 1: the mean squared error of the prediction, each sample at a timestep of its own.

    x0: (B, ...). timesteps int64 (B,) and noise (B, ...) are drawn where they are not given. The
    model gets the mixture, the timesteps and the condition. Returns a scalar.
    Raises ValueError where the model predicts another shape than x0's.

    >>> def perfect(x, timesteps):  # of images of zeros: all that is there is noise
    ...     return x / (1 - schedule.at(timesteps)).sqrt().to(x.dtype)[:, None]
    >>> schedule = cosine_schedule(10)
    >>> float(diffusion_loss(perfect, schedule, torch.zeros(5, 4))) < 1e-12
    True
    """
    raise NotImplementedError(
        "process.diffusion_loss: mix, call the model, and return the mean squared error to its "
        "target"
    )


# ddpm.posterior: The posterior, given x0. 25 minutes, difficulty 3 of 5. In the lesson: "The
# reverse process". Comes after process.mix. Without the library's step_variance.
# Given:
# - Gaussian(mean: Tensor, variance: Tensor)
#     A normal distribution with independent values.
def posterior(
    schedule: Schedule,
    x0: Tensor,
    x: Tensor,
    timesteps: Tensor,
    previous: Tensor | None = None,
) -> Gaussian:
    """Where x was at an earlier timestep, if x0 is known: q(x_previous | x, x0).

    Equation 7, for steps of any length. a and b are alpha_bar now and before:
    mean = sqrt(b) * (1 - a / b) / (1 - a) * x0 + sqrt(a / b) * (1 - b) / (1 - a) * x,
    variance = (1 - b) / (1 - a) * (1 - a / b).

    x0 and x: (B, ...). timesteps and previous: int64 (B,); previous is one step earlier if None; at
    -1 it is x0 (alpha_bar is 1 there). Returns the mean (B, ...) and the variance, one number a
    sample, (B, 1, ...), both in the dtype of x; what they are made of is worked out in float64. Raises
    ValueError where previous is not before timesteps.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> schedule = cosine_schedule(10)
    >>> mean, variance = posterior(schedule, torch.ones(1), torch.tensor([5.0]), torch.tensor([0]))
    >>> mean.item(), variance.item()
    (1.0, 0.0)
    """
    raise NotImplementedError(
        "ddpm.posterior: mean and variance of q(x_previous | x, x0); at -1 it is x0, without "
        "variance; ValueError where previous is not before timesteps"
    )


# ddpm.ancestral_step: One ancestral step. 30 minutes, difficulty 4 of 5. In the lesson: "The
# reverse process". Comes after ddpm.posterior.
# Given:
# - Step(x: Tensor, x0: Tensor)
#     What a step of a sampler gives.
# - clamped(x0: Tensor, clamp: float | None) -> Tensor
#     x0 (B, ...), clamped to -clamp..clamp unless clamp is None; ValueError if it is not above 0.
# - x0_and_noise(predicted: Tensor, x: Tensor, alpha_bar: Tensor, target: str) -> Estimate
#     Both parts of x: (B, ...), from a prediction of either, or of the velocity.
def ancestral_step(
    schedule: Schedule,
    predicted: Tensor,
    x: Tensor,
    timesteps: Tensor,
    noise: Tensor,
    *,
    target: str = "noise",
    variance: str = "posterior",
    clamp: float | None = None,
    previous: Tensor | None = None,
) -> Step:
    """Algorithm 2, line 4: to the posterior's mean, and noise on top, but none at the last step.

    The predicted x0 takes the place of the true one in `posterior`.
    predicted, x and noise: (B, ...). variance: "posterior", or "beta", that of the step forward:
    1 - a / b (section 3.2: the first is right if there is one image only, the second if images
    are noise themselves); clamp: x0 is clamped to -clamp..clamp; previous: one step earlier if None.

    Raises ValueError on a variance or a target that is none, on a clamp that is not above 0, and where
    previous is not before timesteps.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> x, last = torch.tensor([[0.3]]), torch.tensor([0])
    >>> ancestral_step(cosine_schedule(10), x, x, last, noise=x, target="x0").x
    tensor([[0.3000]])
    """
    raise NotImplementedError(
        "ddpm.ancestral_step: the predicted x0, the posterior's mean, and noise on top, but none "
        "before the clean image"
    )


# bug.noisy_last_step: Find the bug: grain in every image. 35 minutes, difficulty 4 of 5. In the
# lesson: "Trains well, samples badly". Comes after ddpm.ancestral_step.
class NoisyLastStep:
    """Both halves of a diffusion model: its loss, and how it samples (algorithm 2).

    It trains as well as any other: its loss is diffusion_loss, and no step of training samples.
    Losses, gradients and weights are those of a right one, to the last bit. Yet its samples have
    grain. Leave it as it is: it is what your check has to catch.

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

    def loss(self, model: Model, x0: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What training makes small. x0: (B, X)."""
        return diffusion_loss(model, self.schedule, x0, generator=generator)

    def sample(self, model: Model, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noise x: (B, X) becomes images (B, X); model(x, timesteps) predicts the noise."""
        levels, betas = self.schedule.alpha_bar.tolist(), self.schedule.betas.tolist()
        for timestep in reversed(range(len(self.schedule))):
            now, beta = levels[timestep], betas[timestep]
            noise = model(x, torch.full((len(x),), timestep))
            mean = (x - beta / math.sqrt(1 - now) * noise) / math.sqrt(1 - beta)
            x = mean + math.sqrt(beta) * draw_noise(x, generator)
        return x


def check_drawing(diffuser_class) -> None:
    """Raise AssertionError unless a diffuser's samples are distributed as the images of its model.

    diffuser_class: takes a Schedule, as NoisyLastStep does; judge it by sample(model, x, generator),
    on cosine schedules of 50 steps or more, with x float32 (B, X). Accept it if, with a model that
    predicts the noise in x as well as it can be predicted, the samples vary as the images of that
    model do: that image, up to 0.001, if there is one alone; else with their mean and their
    deviation, up to a quarter of that deviation, each sample and each value by itself. It may
    leave steps out, add noise or none, and clamp x0 to -1 ... 1, where images are. Reject every
    other. This check is what is graded, on NoisyLastStep and others.

    >>> check_drawing(NoisyLastStep)
    Traceback (most recent call last):
    AssertionError: there is one image alone, and something else is drawn
    """
    raise NotImplementedError(
        "bug.noisy_last_step: write the check: AssertionError unless a diffuser's samples match "
        "its model's images"
    )
