"""Exercise inpainting.blend: the known image, as noisy as what the model made, around it."""

import math

import torch

from scratchmm.diffusion.process import Schedule
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="inpainting.blend",
    order=40,
    target="scratchmm.diffusion.editing.inpainting:blend",
    title="Only in the hole",
    goal="under the mask what the model made, around it the known image noised to its level",
    minutes=15,
    difficulty=2,
    section="Only in the hole",
    hints=(
        "Two pixels, the mask True on the first. The model made 7 and 7, known are 1 and 1, the "
        "noise is 2 and 2, and at this timestep a quarter of the variance is still image: the "
        "result is 7 and 0.5 * 1 + 0.866 * 2. At timestep -1 nothing is noisy: 7 and 1.",
        "The model was trained on images that are everywhere as noisy as the timestep says. A "
        "clean frame around a noisy hole is nothing it has ever seen; a frame of the same level is, "
        "and from it the model sees what the hole must go with.",
        "timesteps (B,) give levels (B,), one for each sample: schedule.at, for which -1 must be "
        "level 1. The known image times the level's root plus the noise times the root of the "
        "rest, (B, C, H, W), in the image's dtype. The mask (B, 1, H, W) then chooses, for all "
        "channels of a pixel alike: True takes what is inside.",
        "outside = mix(known, noise, schedule.at(timesteps, final_alpha=1.0)); "
        "torch.where(mask, inside, outside)",
    ),
)
LEVELS = (0.95, 0.8, 0.64, 0.36, 0.1)


def schedule():
    return Schedule(torch.tensor(LEVELS, dtype=torch.float64))


def given(case, timesteps, H=4, W=5):
    """inside, known, mask, timesteps and noise, of as many images as there are timesteps."""
    B = len(timesteps)
    inside, known, noise = (case.normal(B=B, C=3, H=H, W=W) for _ in range(3))
    mask = case.named(case.normal(B=B, one=1, H=H, W=W) > 0, "B 1 H W")
    return inside, known, mask, case.named(torch.tensor(timesteps), "B"), noise


def slow(inside, known, mask, timesteps, noise):
    """The oracle: image by image."""
    found = []
    for b, timestep in enumerate(timesteps.tolist()):
        level = 1.0 if timestep == -1 else LEVELS[timestep]
        outside = math.sqrt(level) * known[b] + math.sqrt(1 - level) * noise[b]
        hole = mask[b].to(known.dtype)
        found.append(hole * inside[b] + (1 - hole) * outside)
    return torch.stack(found)


@exercise.holds("where all is under the mask, it is what the model made")
def all_inside(blend, case):
    inside, known, mask, timesteps, noise = given(case, [3, 1])
    mask = case.named(torch.ones_like(mask), "B 1 H W")
    got = case.call(blend, schedule(), inside, known, mask, timesteps, noise)
    case.equal(got, inside)


@exercise.holds("where nothing is, it is 0.8 * known + 0.6 * noise at an alpha_bar of 0.64")
def all_outside(blend, case):
    inside, known, mask, timesteps, noise = given(case, [2, 2, 2])
    mask = case.named(torch.zeros_like(mask), "B 1 H W")
    got = case.call(blend, schedule(), inside, known, mask, timesteps, noise)
    case.equal(got, 0.8 * known + 0.6 * noise)


@exercise.holds("a pixel is taken with all of its channels: True from inside, False from around")
def pixels(blend, case):
    inside, known, mask, timesteps, noise = given(case, [2, 2])
    got = case.call(blend, schedule(), inside, known, mask, timesteps, noise)
    case.equal(got, slow(inside, known, mask, timesteps, noise))


@exercise.holds("each image of a batch is at a timestep of its own")
def own_timesteps(blend, case):
    inputs = given(case, [4, 0, 3])
    case.equal(case.call(blend, schedule(), *inputs), slow(*inputs))


@exercise.holds("at timestep -1 the known image is clean, whatever the noise")
def clean(blend, case):
    inputs = given(case, [-1, 3, -1])
    case.equal(case.call(blend, schedule(), *inputs), slow(*inputs))


@exercise.holds("one mask does for all images")
def one_mask(blend, case):
    inside, known, mask, timesteps, noise = given(case, [1, 3, 0])
    mask = case.named(mask[:1], "1 1 H W")
    got = case.call(blend, schedule(), inside, known, mask, timesteps, noise)
    case.equal(got, slow(inside, known, mask.expand(3, -1, -1, -1), timesteps, noise))


@exercise.holds("the result has the dtype of the images, though levels are float64")
def kinds(blend, case):
    inside, known, mask, timesteps, noise = given(case, [1, 3])
    for dtype in (torch.float64, torch.float32):
        three = [case.named(x.to(dtype), "B C H W") for x in (inside, known, noise)]
        got = case.call(blend, schedule(), *three[:2], mask, timesteps, three[2])
        case.equal(got, slow(*three[:2], mask, timesteps, three[2]))


@exercise.holds("images, mask and noise stay as they were")
def unchanged(blend, case):
    case.call(blend, schedule(), *given(case, [2, -1]))
    case.unchanged()


@exercise.holds("a timestep that the schedule has not is refused with a ValueError")
def refused(blend, case):
    for timestep in (5, -2):
        case.refuses(ValueError, blend, schedule(), *given(case, [timestep, 1]))
