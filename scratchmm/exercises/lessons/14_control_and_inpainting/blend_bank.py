"""Wrong and other right answers to inpainting.blend."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("14_control_and_inpainting/blend").exercise

LEVEL = "schedule.at(timesteps, final_alpha=1.0)"
NOISED = f"mix(known, noise, {LEVEL})"
CHOICE = "torch.where(mask, inside, outside)"
ROOTS = f"level = {LEVEL}.to(known.dtype).view(-1, 1, 1, 1)\n    outside = "


def noised(id, formula, *, story, advice):
    """A wrong answer whose known image is made of `level` (B, 1, 1, 1) in another way."""
    exercise.edit(id, (f"outside = {NOISED}", ROOTS + formula), story=story, advice=advice)


exercise.edit(
    "mask-inverted",
    (CHOICE, "torch.where(mask, outside, inside)"),
    story="the mask is read the other way round, as RePaint's m, which is 1 where all is known",
    advice="here True is what is painted anew: there `inside` is taken",
    convention=True,
)
exercise.edit(
    "end-unknown",
    (LEVEL, "schedule.at(timesteps)"),
    story="timestep -1 is asked of the schedule without saying what alpha_bar is there",
    advice="schedule.at(timesteps, final_alpha=1.0)",
)
exercise.edit(
    "clean-frame",
    (NOISED, "known + 0 * mix(known, noise, schedule.at(timesteps, final_alpha=1.0))"),
    story="the known image is pasted clean, whatever the timestep",
    advice="noise it to the level of what is inside",
)
noised(
    "no-noise",
    "level.sqrt() * known",
    story="the known image is shrunk, but no noise is added",
    advice="add sqrt(1 - a) times the noise",
)
noised(
    "not-shrunk",
    "known + (1 - level).sqrt() * noise",
    story="noise is added to the known image, which is not shrunk",
    advice="sqrt(a) * known + sqrt(1 - a) * noise",
)
noised(
    "no-roots",
    "level * known + (1 - level) * noise",
    story="a and 1 - a are taken without their square roots",
    advice="a is a share of variance: the parts have its root",
)
noised(
    "roots-exchanged",
    "(1 - level).sqrt() * known + level.sqrt() * noise",
    story="known image and noise have exchanged their shares",
    advice="the image takes sqrt(a), the noise sqrt(1 - a)",
)
exercise.edit(
    "noise-everywhere",
    (CHOICE, f"torch.where(mask, mix(inside, noise, {LEVEL}), outside)"),
    story="what the model made is noised once more",
    advice="it is at this level already: only the known image needs noise",
)
exercise.edit(
    "one-step-noisier",
    (LEVEL, "schedule.at((timesteps + 1).clamp(max=len(schedule) - 1))"),
    story="the known image is at the level before the step, one timestep noisier",
    advice="`inside` is at `timesteps` now, and so must the known image be",
)
exercise.edit(
    "one-step-cleaner",
    (LEVEL, "schedule.at((timesteps - 1).clamp(min=-1), final_alpha=1.0)"),
    story="the known image is one timestep cleaner than what is inside",
    advice="timesteps are where `inside` is: take that level, nothing less",
)
exercise.edit(
    "last-level-for-the-clean",
    (LEVEL, "schedule.alpha_bar[timesteps.clamp(max=len(schedule) - 1)]"),
    story="timestep -1 is read as the last of the schedule, by indexing: there all is noise",
    advice="schedule.at with final_alpha=1.0 knows that -1 is the clean image",
)
exercise.edit(
    "first-level-for-the-clean",
    (LEVEL, "schedule.at(timesteps.clamp(min=0))"),
    story="timestep -1 takes the level of timestep 0: the end still has noise",
    advice="at -1 the level is 1: final_alpha=1.0",
)
exercise.edit(
    "one-timestep-for-all",
    (LEVEL, "schedule.at(timesteps, final_alpha=1.0)[:1].expand(len(known))"),
    story="the first image's timestep is used for the whole batch",
    advice="each image has its own: levels (B,), shaped (B, 1, 1, 1)",
)
exercise.edit(
    "first-mask-for-all",
    (CHOICE, "torch.where(mask[:1], inside, outside)"),
    story="the first image's mask is used for the whole batch",
    advice="hand the mask over as it is: torch.where repeats it where there is only one",
)
exercise.edit(
    "first-channel-only",
    (CHOICE, "torch.cat([torch.where(mask, inside, outside)[:, :1], inside[:, 1:]], dim=1)"),
    story="only the first channel is blended",
    advice="the mask has one channel and counts for all of them",
)
exercise.edit(
    "added",
    (CHOICE, "inside * mask + outside"),
    story="the known image is added under the mask too",
    advice="under the mask nothing of it: outside * ~mask, or torch.where",
)
exercise.edit(
    "own-noise",
    (NOISED, f"mix(known, torch.randn_like(noise), {LEVEL})"),
    story="noise is drawn anew, and what was given is not used",
    advice="use the noise that is given: whoever calls decides on the seed",
)
exercise.edit(
    "model's-noise",
    (NOISED, f"mix(known, inside, {LEVEL})"),
    story="what the model made is taken for the noise",
    advice="the noise is an argument of its own",
)
exercise.edit(
    "in-float64",
    (NOISED, f"mix(known.double(), noise.double(), {LEVEL})"),
    story="the result is float64, since the levels are",
    advice="bring the levels to the images' dtype",
)
exercise.edit(
    "written-into-inside",
    (CHOICE, "inside.copy_(torch.where(mask, inside, outside))"),
    story="the caller's `inside` is overwritten",
    advice="return a new tensor",
)


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


@exercise.disguise("mask-inverted")
def mask_inverted_too(schedule, inside, known, mask, timesteps, noise):
    return by_arithmetic(schedule, inside, known, ~mask, timesteps, noise)


@exercise.disguise("last-level-for-the-clean")
def last_level_for_the_clean_too(schedule, inside, known, mask, timesteps, noise):
    levels = schedule.alpha_bar.tolist()
    a = torch.tensor([levels[min(t, 4)] for t in timesteps.tolist()]).to(known).view(-1, 1, 1, 1)
    return torch.where(mask, inside, a**0.5 * known + (1 - a) ** 0.5 * noise)


@exercise.disguise("no-noise")
def no_noise_too(schedule, inside, known, mask, timesteps, noise):
    return by_arithmetic(schedule, inside, known, mask, timesteps, torch.zeros_like(noise))
