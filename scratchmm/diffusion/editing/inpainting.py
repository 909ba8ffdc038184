"""Inpainting: only what lies under a mask is drawn anew; and editing: an image to begin with.

A model that was trained on nothing but whole images does both. After each step, what lies outside
the mask is replaced by the known image, noised to the level of that step: so the model is
conditioned on it and draws what goes with it. Editing begins with an image to which noise was added.

Papers: RePaint (Lugmayr et al. 2022, arXiv 2201.09865), equation 8 and algorithm 1; SDEdit (Meng et
al. 2021, arXiv 2108.01073), section 3. A mask found from a sentence: relevance.py.
Dimensions: B batch, C channels, H x W pixels (or the cells of latents), X x Y cells.
Conventions: a mask is bool (B, 1, H, W), True where the image is to be drawn anew; RePaint's m is
the opposite. Models, timesteps and options: as in ddim.py.
Differs from the papers: the steps are those of DDIM, of which DDPM's are those with eta 1; a jump
back is one draw, not one a step, which comes to the same.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.diffusion.ddim import check_falling, ddim_path, ddim_step
from scratchmm.diffusion.noise import Generators, draw_noise
from scratchmm.diffusion.process import Model, Schedule, Step, mix, q_sample
from scratchmm.sentences import check_count


def blend(
    schedule: Schedule,
    inside: Tensor,
    known: Tensor,
    mask: Tensor,
    timesteps: Tensor,
    noise: Tensor,
) -> Tensor:
    """Equation 8: under the mask what the model made, around it the known image, made as noisy.

    inside, known and noise: (B, C, H, W); inside is at timesteps, int64 (B,), where -1 is the clean
    image. mask: bool (B, 1, H, W), or one for all, True where `inside` is taken.
    Returns (B, C, H, W). Raises ValueError on timesteps that the schedule has not.

    >>> schedule = Schedule(torch.tensor([0.25]).double())
    >>> known, mask = torch.ones(1, 1, 1, 2), torch.tensor([[[[True, False]]]])
    >>> made, none = torch.full((1, 1, 1, 2), 7.0), torch.zeros(1, 1, 1, 2)
    >>> blend(schedule, made, known, mask, torch.tensor([0]), none)
    tensor([[[[7.0000, 0.5000]]]])
    """
    outside = mix(known, noise, schedule.at(timesteps, final_alpha=1.0))  # (B, C, H, W)
    return torch.where(mask, inside, outside)  # (B, C, H, W)


MOST_STEPS = 10_000_000  # of a sampler: more would take weeks


def resampled(timesteps: Sequence[int], repeats: int = 1, jump: int = 1) -> list[int]:
    """The timesteps that a sampler visits in turn: mostly less noisy, at times noisier again.

    So that the image inside can follow the one around it, each stretch of `jump` timesteps is
    sampled `repeats` times (RePaint, section 4.2; there 10 and 10 of 250 timesteps). Raises ValueError
    on timesteps that do not fall, on either below 1, and on a jump of as many as there are timesteps.

    >>> resampled([9, 6, 3, 0], repeats=2)
    [9, 6, 9, 6, 3, 6, 3, 0, 3, 0, -1]
    >>> resampled([9, 6, 3, 0], repeats=2, jump=3)
    [9, 6, 3, 0, 9, 6, 3, 0, -1]
    """
    check_falling(timesteps)
    for name, value in (("repeats", repeats), ("jump", jump)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value}: it must be a whole number from 1 on")
    if repeats > 1 and jump >= len(timesteps):
        raise ValueError(f"a jump back of {jump} needs more than the {len(timesteps)} timesteps")
    if (steps := repeats * len(timesteps)) > MOST_STEPS:
        raise ValueError(
            f"{len(timesteps)} timesteps {repeats} times are {steps}, over {MOST_STEPS}"
        )
    rising, last = list(reversed(timesteps)), len(timesteps) - 1
    left = dict.fromkeys(range(0, last + 1 - jump, jump), repeats - 1)  # jumps from each place
    place, found = last, [rising[last]]
    while place > 0:
        place -= 1
        found.append(rising[place])
        if left.get(place, 0) > 0:
            left[place] -= 1
            place += jump
            found.append(rising[place])
    return [*found, -1]


@torch.no_grad()
def inpaint_path(
    model: Model,
    schedule: Schedule,
    known: Tensor,
    mask: Tensor,
    x: Tensor,
    timesteps: Sequence[int],
    *,
    repeats: int = 1,
    jump: int = 1,
    generator: Generators = None,
    target: str = "noise",
    eta: float = 1.0,
    clamp: float | None = None,
    follow_clamp: bool = True,
    final_alpha: float = 1.0,
    **condition: Any,
) -> Iterator[Step]:
    """RePaint's algorithm 1, step by step; see `inpaint`. Jumps back are not shown.

    Raises ValueError on noise of another shape than what is known, and on a mask that is none of it.

    >>> schedule = Schedule(torch.linspace(0.9, 0.1, 9).double())
    >>> x, mask = torch.randn(1, 1, 2, 2), torch.ones(1, 1, 2, 2).bool()
    >>> zeros = torch.zeros_like(x)
    >>> len(list(inpaint_path(lambda x, timesteps: x, schedule, zeros, mask, x, [8, 3], repeats=2)))
    3
    """
    if known.shape != x.shape:
        raise ValueError(f"the noise is {tuple(x.shape)}, but what is known {tuple(known.shape)}")
    check_mask(mask, known)
    for now, then in pairwise(resampled(timesteps, repeats, jump)):
        times, after = torch.full((len(x),), now), torch.full((len(x),), then)
        if then > now:  # back: as much noise on top as lies between the two
            share = schedule.at(after) / schedule.at(times)
            x = mix(x, draw_noise(x, generator), share)  # (B, C, H, W)
            continue
        step = ddim_step(
            schedule, model(x, times.to(x.device), **condition), x, times, after,
            draw_noise(x, generator) if eta > 0 else None,
            target=target, eta=eta, clamp=clamp, follow_clamp=follow_clamp, final_alpha=final_alpha,
        )  # fmt: skip
        x = blend(schedule, step.x, known, mask, after, draw_noise(x, generator))  # (B, C, H, W)
        yield Step(x, step.x0)


def inpaint(
    model: Model,
    schedule: Schedule,
    known: Tensor,
    mask: Tensor,
    x: Tensor,
    timesteps: Sequence[int],
    **options: Any,
) -> Tensor:
    """What is under the mask drawn anew, so that it goes with what is known around it.

    known: (B, C, H, W), images or latents. mask: bool (B, 1, H, W), or one for all. x: noise like
    known, or known noised to timesteps[0]. Outside the mask the result is `known`, value for value;
    with latents, `shrink_mask` goes before and `paste` after. options: repeats and jump (see
    `resampled`), eta (1: as RePaint), clamp, generator, ..., and the model's condition.

    Raises ValueError on a mask of another size or without any True.

    >>> schedule = Schedule(torch.linspace(0.9, 0.1, 9).double())
    >>> def white(x, timesteps):
    ...     return torch.ones_like(x)
    >>> known, mask = torch.zeros(1, 1, 1, 2), torch.tensor([[[[True, False]]]])
    >>> inpaint(white, schedule, known, mask, torch.randn(1, 1, 1, 2), [8, 4, 0], target="x0")
    tensor([[[[1., 0.]]]])
    """
    for step in inpaint_path(model, schedule, known, mask, x, timesteps, **options):
        x = step.x
    return paste(x, known, mask)


def edit_path(
    model: Model,
    schedule: Schedule,
    image: Tensor,
    strength: float,
    noise: Tensor,
    timesteps: Sequence[int],
    **options: Any,
) -> Iterator[Step]:
    """SDEdit step by step; see `edit`. ValueError on noise of another shape, or a strength that is none.

    >>> schedule = Schedule(torch.linspace(0.9, 0.1, 9).double())
    >>> x = torch.randn(1, 2)
    >>> len(list(edit_path(lambda x, timesteps: x, schedule, x, 0.5, x, [8, 6, 4, 2])))
    2
    """
    if image.shape != noise.shape:
        raise ValueError(f"the noise is {tuple(noise.shape)}, the image {tuple(image.shape)}")
    shorter = last_of(timesteps, strength)
    x = q_sample(schedule, image, torch.full((len(image),), shorter[0]), noise)
    return ddim_path(model, schedule, x, shorter, **options)


def edit(
    model: Model,
    schedule: Schedule,
    image: Tensor,
    strength: float,
    noise: Tensor,
    timesteps: Sequence[int],
    **options: Any,
) -> Tensor:
    """An image (B, ...) drawn again: noise (B, ...) is added to a strength, the model removes it.

    strength: the share of the timesteps that is sampled, in (0, 1]; little keeps the image, 1 hardly
    anything of it. options: those of `ddim_path`, and the model's condition, which is what the
    image is to become. Raises ValueError on a strength outside of it.

    >>> schedule = Schedule(torch.linspace(0.9, 0.1, 9).double())
    >>> def faithful(x, timesteps):
    ...     return torch.ones_like(x)
    >>> one = torch.ones(1, 2)
    >>> edit(faithful, schedule, one, 0.5, torch.randn(1, 2), [8, 5, 2], target="x0")
    tensor([[1., 1.]])
    """
    x = image
    for step in edit_path(model, schedule, image, strength, noise, timesteps, **options):
        x = step.x
    return x


def last_of(timesteps: Sequence[int], strength: float) -> list[int]:
    """The last timesteps of a list: a share of them, rounded, but at least one.

    Raises ValueError on timesteps that do not fall, and on a share outside of (0, 1].

    >>> last_of([8, 6, 4, 2], 0.5), last_of([8, 6, 4, 2], 0.01)
    ([4, 2], [2])
    """
    check_falling(timesteps)
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or not 0 < strength <= 1:
        raise ValueError(f"strength {strength!r} is not above 0 and at most 1")
    return list(timesteps[-max(1, round(strength * len(timesteps))) :])


def paste(generated: Tensor, original: Tensor, mask: Tensor) -> Tensor:
    """Outside the mask the original (B, C, H, W), bit for bit; under it what was generated.

    Raises ValueError where the two differ in shape, and on a mask that is none of theirs.

    >>> mask = torch.tensor([[[[True, False]]]])
    >>> paste(torch.ones(1, 1, 1, 2), torch.zeros(1, 1, 1, 2), mask)
    tensor([[[[1., 0.]]]])
    """
    if generated.shape != original.shape:
        raise ValueError(
            f"generated is {tuple(generated.shape)}, but the original {tuple(original.shape)}"
        )
    check_mask(mask, original)
    return torch.where(mask, generated.to(original.dtype), original)  # (B, C, H, W)


def shrink_mask(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """A mask for latents: a cell is known only if all of its pixels are.

    mask: bool (B, 1, H, W). grid: height and width in cells, X and Y. Returns bool (B, 1, X, Y).
    Raises ValueError where cells of one size do not fill the mask.

    >>> shrink_mask(torch.tensor([[[[True, False, False, False]]]]), (1, 2))
    tensor([[[[ True, False]]]])
    """
    height, width = mask.shape[-2:]
    if height % grid[0] or width % grid[1]:
        raise ValueError(
            f"a mask of {height} x {width} pixels does not fit {grid[0]} x {grid[1]} cells"
        )
    cell = (height // grid[0], width // grid[1])
    return F.max_pool2d(mask.float(), cell) > 0  # (B, 1, X, Y)


def grow_mask(mask: Tensor, pixels: int) -> Tensor:
    """A mask bool (B, 1, H, W) so many pixels larger to all sides: edges are often half of a thing.

    >>> grow_mask(torch.tensor([[[[False, False, True, False]]]]), 1)
    tensor([[[[False,  True,  True,  True]]]])
    """
    if pixels < 0:
        raise ValueError(f"a mask cannot grow by {pixels} pixels")
    check_count("pixels", pixels, least=0, most=4096)
    return F.max_pool2d(mask.float(), 2 * pixels + 1, stride=1, padding=pixels) > 0  # (B, 1, H, W)


def check_mask(mask: Tensor, image: Tensor) -> None:
    """ValueError on what is no mask of these images (B, C, H, W), or one with nothing to draw."""
    if mask.dtype != torch.bool or mask.ndim != 4 or mask.shape[1] != 1:
        raise ValueError(
            f"a mask is bool (B, 1, height, width), not {mask.dtype} {tuple(mask.shape)}"
        )
    if mask.shape[-2:] != image.shape[-2:]:
        sizes = [" x ".join(str(side) for side in size.shape[-2:]) for size in (mask, image)]
        raise ValueError(f"the mask is {sizes[0]}, but the image {sizes[1]}")
    if len(mask) not in (1, len(image)):
        raise ValueError(f"there are {len(mask)} masks for {len(image)} images")
    empty = [i for i, row in enumerate(mask) if not row.any()]
    if empty:
        raise ValueError(f"mask {empty[0]} of {len(mask)} is empty: it leaves nothing to draw")
