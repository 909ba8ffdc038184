"""Exercise inpainting.blend: the known image, noised to the same level, around what is sampled."""

import math

import torch

from scratchmm.diffusion.process import Schedule
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="inpainting.blend",
    order=40,
    target="scratchmm.diffusion.editing.inpainting:blend",
    title="Only in the hole",
    goal="under the mask what is sampled, around it the known image noised to its level",
    minutes=15,
    difficulty=2,
    section="Only in the hole",
    hints="""
        1. Two pixels, the mask True on the first. Inside is 7 and 7, known 1 and 1, the noise 2 and
           2, and at this timestep a quarter of the variance is still image: the result is 7 and 0.5
           * 1 + 0.866 * 2. At timestep -1 nothing is noisy: 7 and 1.
        2. The model was trained on images that are everywhere as noisy as the timestep says. A frame
           of the level of the hole is like those, and conditions what is predicted in the hole.
        3. timesteps (B,) give levels (B,): schedule.at, for which -1 must be level 1. The known
           image times the level's root plus the noise times the root of the rest, (B, C, H, W), in
           the image's dtype. The mask (B, 1, H, W) then chooses: True takes what is inside.
        4. outside = mix(known, noise, schedule.at(timesteps, final_alpha=1.0)); torch.where(mask,
           inside, outside)
    """,
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


@exercise.holds("where all is under the mask, it is what was sampled")
def all_inside(blend, case):
    inside, known, mask, *rest = given(case, [3, 1])
    mask = case.named(torch.ones_like(mask), "B 1 H W")
    case.equal(case.call(blend, schedule(), inside, known, mask, *rest), inside)


@exercise.holds("where nothing is, it is 0.8 * known + 0.6 * noise at an alpha_bar of 0.64")
def all_outside(blend, case):
    inside, known, mask, *rest = given(case, [2, 2, 2])
    mask = case.named(torch.zeros_like(mask), "B 1 H W")
    got = case.call(blend, schedule(), inside, known, mask, *rest)
    case.equal(got, 0.8 * known + 0.6 * rest[1])


@exercise.holds("a pixel is taken with all of its channels: True from inside, False from around")
def pixels(blend, case):
    inputs = given(case, [2, 2])
    case.equal(case.call(blend, schedule(), *inputs), slow(*inputs))


@exercise.holds("each image has its own timestep; at -1 the known image is clean")
def own_timesteps(blend, case):
    for timesteps in ([4, 0, 3], [-1, 3, -1]):
        inputs = given(case, timesteps)
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
    inside, known, noise = (case.named(x.double(), "B C H W") for x in (inside, known, noise))
    inputs = inside, known, mask, timesteps, noise
    case.equal(case.call(blend, schedule(), *inputs), slow(*inputs))


@exercise.holds("images, mask and noise stay as they were")
def unchanged(blend, case):
    case.call(blend, schedule(), *given(case, [2, -1]))
    case.unchanged()


@exercise.holds("the gradients reach both images and the noise")
def gradients(blend, case):
    inside, known, *fixed, noise = given(case, [2, 0])
    case.gradients(
        lambda inside, known, noise: blend(schedule(), inside, known, *fixed, noise),
        lambda inside, known, noise: slow(inside, known, *fixed, noise),
        *(inside, known, noise),
    )


@exercise.holds("a timestep that the schedule has not is refused with a ValueError")
def refused(blend, case):
    for timestep in (5, -2):
        case.refuses(ValueError, blend, schedule(), *given(case, [timestep, 1]))


exercise.mistakes("""
    mask-inverted [convention]: the mask is inverted, as RePaint's m, which is 1 where all is known
    - torch.where(mask, inside, outside)
    + torch.where(mask, outside, inside)
    > here True is what is painted anew: there `inside` is taken

    clean-frame: the known image is pasted clean, whatever the timestep
    - outside = mix(known, noise, schedule.at(timesteps, final_alpha=1.0))
    + schedule.at(timesteps, final_alpha=1.0)
    + outside = known
    > noise it to the level of what is inside

    not-shrunk: noise is added to the known image, which is not multiplied by sqrt(a)
    - outside = mix(known, noise, schedule.at(timesteps, final_alpha=1.0))
    + level = schedule.at(timesteps, final_alpha=1.0).to(known)[:, None, None, None]
    + outside = known + (1 - level).sqrt() * noise
    > sqrt(a) * known + sqrt(1 - a) * noise

    noise-everywhere: what is inside is noised once more
    - return torch.where(mask, inside, outside)
    + level = schedule.at(timesteps, final_alpha=1.0)
    + return torch.where(mask, mix(inside, noise, level), outside)
    > it is at this level already: only the known image needs noise

    one-step-noisier: the known image is at the level before the step, one timestep noisier
    - schedule.at(timesteps, final_alpha=1.0)
    + schedule.at((timesteps + 1).clamp(max=len(schedule) - 1))
    > `inside` is at `timesteps` now, and so must the known image be

    last-level-for-the-clean: timestep -1 is the last of the schedule, by indexing: there all is
    noise
    - schedule.at(timesteps, final_alpha=1.0)
    + schedule.alpha_bar[timesteps.clamp(max=len(schedule) - 1)]
    > schedule.at with final_alpha=1.0: -1 is the clean image

    first-level-for-the-clean: timestep -1 has the level of timestep 0: the end still has noise
    - schedule.at(timesteps, final_alpha=1.0)
    + schedule.at(timesteps.clamp(min=0))
    > at -1 the level is 1: final_alpha=1.0
""")

exercise.slips("""
    outside = mix(known, noise, schedule.at(timesteps, final_alpha=1.0)) => outside = (level :=
        schedule.at(timesteps, final_alpha=1.0).to(known)[:, None, None, None]) * known +
        (1 - level) * noise
    mix(known, noise, schedule => mix(known, 0 * noise, schedule
    mix(known, noise, schedule => mix(known, inside, schedule
    mix(known, noise, schedule => mix(known.double(), noise.double(), schedule
    schedule.at(timesteps, final_alpha=1.0) =>
        schedule.at((timesteps - 1).clamp(min=-1), final_alpha=1.0)
    torch.where(mask, inside, outside) =>
        torch.cat([torch.where(mask, inside, outside)[:, :1], inside[:, 1:]], dim=1)
    mix(known, noise, => mix(known, torch.randn_like(noise),
    torch.where(mask, inside, outside) => inside.copy_(torch.where(mask, inside, outside))
    torch.where(mask, inside, outside) => inside * mask + outside
""")


@exercise.right("by arithmetic")
def by_arithmetic(schedule, inside, known, mask, timesteps, noise):
    level = schedule.at(timesteps, final_alpha=1.0)[:, None, None, None]
    image, noise_rate = level.sqrt().to(known), (1 - level).sqrt().to(known)
    return inside * mask + (image * known + noise_rate * noise) * ~mask


@exercise.right("image by image")
def one_by_one(schedule, inside, known, mask, timesteps, noise):
    found = inside.clone()
    for b, timestep in enumerate(timesteps.tolist()):
        if not -1 <= timestep < len(schedule):
            raise ValueError(f"no timestep {timestep}")
        level = 1.0 if timestep < 0 else schedule.alpha_bar[timestep].item()
        outside = level**0.5 * known[b] + (1 - level) ** 0.5 * noise[b]
        around = ~mask[b if len(mask) > 1 else 0].expand_as(outside)
        found[b][around] = outside[around]
    return found
