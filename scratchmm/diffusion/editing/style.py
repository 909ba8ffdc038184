"""Style: the colours of one image on the content of another; and an image that gets finer by stages.

Neither needs a model of its own: the one changes the predicted clean image at each step; the other
draws, adds a little noise to the result, and draws again with more steps.

The style of a *prompt* on an image is `inpainting.edit`: noise on the image, then the prompt's steps
from there.

Papers: Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization (Huang and Belongie
2017, arXiv 1703.06868), equation 8; SDEdit (Meng et al. 2021, arXiv 2108.01073), section 3.
Dimensions: B batch, C channels, H x W pixels (or the cells of latents); S styles, X x Y their pixels.
Conventions: as in process.py.
Differs from the papers: what is normalised are images or latents, predicted in sampling, not the
features of a trained network; so a style is no more than its colours, how light
and dark they are and how far apart.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scratchmm.diffusion.ddim import ddim_sample, spaced_timesteps
from scratchmm.diffusion.editing.inpainting import edit
from scratchmm.diffusion.process import Model, Schedule, clamped, target_of, x0_and_noise
from scratchmm.sentences import check_number


def match_colours(content: Tensor, style: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Equation 8: content (B, C, H, W) with the mean and deviation of each channel of style.

    style: (S, C, X, Y), one for all or one for each. A channel that is even stays even. Raises
    ValueError on other channels, and on another number of styles.

    >>> content, style = torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[5.0, 9.0, 5.0, 9.0]]]])
    >>> match_colours(content, style, epsilon=0.0)
    tensor([[[[5., 9.]]]])
    """
    check_number("epsilon", epsilon, least=0)
    if content.ndim != 4 or style.ndim != 4 or content.shape[1] != style.shape[1]:
        raise ValueError(f"no colours of {tuple(style.shape)} for {tuple(content.shape)}")
    if len(style) not in (1, len(content)):
        raise ValueError(f"there are {len(style)} styles for {len(content)} images")
    axes = (2, 3)
    spread, mean = torch.std_mean(content, axes, correction=0, keepdim=True)  # each (B, C, 1, 1)
    wanted, middle = torch.std_mean(style, axes, correction=0, keepdim=True)
    return (content - mean) / (spread + epsilon) * wanted + middle  # (B, C, H, W)


def in_colours_of(
    model: Model,
    schedule: Schedule,
    style: Tensor,
    *,
    target: str = "noise",
    share: float = 1.0,
    clamp: float | None = None,
) -> Model:
    """A model for any sampler that predicts every clean image in the colours of style: (S, C, X, Y).

    It predicts what `model` predicts, one of TARGETS, with the colours of its x0 matched; so drawing,
    `edit` and `inpaint` all do it. share: how far, from 0, not at all, to 1; ValueError outside of it.

    >>> schedule = Schedule(torch.tensor([0.64]).double())
    >>> def model(x, timesteps):
    ...     return torch.tensor([[[[0.0, 2.0]]]])
    >>> red = in_colours_of(model, schedule, torch.tensor([[[[5.0, 9.0]]]]), target="x0")
    >>> red(torch.zeros(1, 1, 1, 2), torch.tensor([0])).round(decimals=3)
    tensor([[[[5., 9.]]]])
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of the style is {share} and not between 0 and 1")

    def predict(x: Tensor, timesteps: Tensor, **condition: Any) -> Tensor:
        alpha_bar = schedule.at(timesteps)
        x0 = x0_and_noise(model(x, timesteps, **condition), x, alpha_bar, target).x0
        x0 = clamped(x0, clamp)
        x0 = torch.lerp(x0, match_colours(x0, style.to(x0)), share)  # (B, C, H, W)
        noise = x0_and_noise(x0, x, alpha_bar, "x0").noise
        return target_of(x0, noise, alpha_bar, target)  # (B, C, H, W)

    return predict


def refine(
    model: Model,
    schedule: Schedule,
    noises: Sequence[Tensor],
    steps: Sequence[int],
    *,
    strength: float = 0.4,
    **options: Any,
) -> list[Tensor]:
    """Drawn with few steps first, then noised to `strength` and drawn on with more: all the stages.

    noises: (B, ...) for each stage; the first is where all begins. steps: of each stage, as of a
    whole sampling; from the second on only the last `strength` of them are taken. options: those
    of `ddim_path`, and the model's condition. Returns an image (B, ...) for each stage. Raises
    ValueError on noise for another number of stages than there are steps for.

    >>> from scratchmm.diffusion.process import cosine_schedule
    >>> def zeros(x, timesteps):
    ...     return torch.zeros_like(x)
    >>> noises = torch.randn(3, 1, 2)
    >>> stages = refine(zeros, cosine_schedule(50), noises, [4, 10, 20], target="x0")
    >>> torch.cat(stages).tolist()
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    if len(noises) != len(steps) or len(steps) == 0:
        raise ValueError(f"there is noise for {len(noises)} stages and steps for {len(steps)}")
    spaced = [spaced_timesteps(len(schedule), count) for count in steps]
    stages = [ddim_sample(model, schedule, noises[0], spaced[0], **options)]
    for noise, timesteps in zip(noises[1:], spaced[1:], strict=True):
        stages.append(edit(model, schedule, stages[-1], strength, noise, timesteps, **options))
    return stages
