"""Wrong and other right answers to ddpm.diffusion_loss."""

import torch
import torch.nn.functional as F

from scratchmm.diffusion.chance import draw_noise
from scratchmm.diffusion.ddpm import target_of
from scratchmm.diffusion.schedule import mix
from scratchmm.exercises.format import exercise_file

exercise_file("11_ddpm/diffusion_loss_others")  # more of them
exercise = exercise_file("11_ddpm/diffusion_loss").exercise


def drawn(schedule, start, timesteps, noise, generator):
    """Timesteps and noise, drawn where they are not given."""
    if timesteps is None:
        timesteps = torch.randint(len(schedule), (len(start),), generator=generator)
    return timesteps, draw_noise(start, generator) if noise is None else noise


def error(predicted, wanted):
    """The mean squared error, after the refusal asked for."""
    if predicted.shape != wanted.shape:
        raise ValueError(f"{tuple(predicted.shape)} and {tuple(wanted.shape)}")
    return F.mse_loss(predicted, wanted)


@exercise.wrong(
    "told-another-draw",
    story="the timesteps that the model is told are drawn anew: not those of the mixture",
    advice="draw them once, and use them for the schedule and for the model",
)
def told_another_draw(
    model, schedule, start, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    told, _ = drawn(schedule, start, timesteps, noise, generator)
    timesteps, noise = drawn(schedule, start, timesteps, noise, generator)
    alpha_bar = schedule.at(timesteps)
    predicted = model(mix(start, noise, alpha_bar), told, **given)
    return error(predicted, target_of(start, noise, alpha_bar, target))


@exercise.wrong(
    "every-timestep",
    story="the model is asked at every timestep of the schedule, and the losses are averaged",
    advice="one call of the model: every sample at one timestep of its own",
)
def every_timestep(
    model, schedule, start, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    _, noise = drawn(schedule, start, timesteps, noise, generator)
    losses = []
    for timestep in range(len(schedule)):
        told = torch.full((len(start),), timestep)
        alpha_bar = schedule.at(told)
        predicted = model(mix(start, noise, alpha_bar), told, **given)
        losses.append(error(predicted, target_of(start, noise, alpha_bar, target)))
    return torch.stack(losses).mean()


@exercise.disguise("first-timestep-for-all")
def first_timestep_for_all_too(
    model, schedule, start, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    timesteps, noise = drawn(schedule, start, timesteps, noise, generator)
    level = schedule.alpha_bar[int(timesteps[0])].item()
    x = level**0.5 * start + (1 - level) ** 0.5 * noise
    levels = torch.full((len(start),), level, dtype=torch.float64)
    return error(model(x, timesteps, **given), target_of(start, noise, levels, target))


@exercise.disguise("always-the-noise")
def always_the_noise_too(
    model, schedule, start, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    timesteps, noise = drawn(schedule, start, timesteps, noise, generator)
    x = mix(start, noise, schedule.at(timesteps))
    return error(model(x, timesteps, **given), noise)


@exercise.disguise("sum-of-a-sample")
def sum_of_a_sample_too(
    model, schedule, start, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    timesteps, noise = drawn(schedule, start, timesteps, noise, generator)
    alpha_bar = schedule.at(timesteps)
    wanted = target_of(start, noise, alpha_bar, target)
    predicted = model(mix(start, noise, alpha_bar), timesteps, **given)
    return error(predicted, wanted) * start[0].numel()


@exercise.right("noise drawn before the timesteps")
def noise_first(
    model, schedule, start, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    if noise is None:
        noise = torch.randn(start.shape, generator=generator, dtype=start.dtype)
    if timesteps is None:
        timesteps = (torch.rand(len(start), generator=generator) * len(schedule)).long()
    kept = schedule.alpha_bar[timesteps].view(-1, *[1] * (start.ndim - 1))
    image, dirt = kept.sqrt().to(start.dtype), (1 - kept).sqrt().to(start.dtype)
    wanted = {"noise": noise, "start": start, "velocity": image * noise - dirt * start}[target]
    predicted = model(image * start + dirt * noise, timesteps, **given)
    if predicted.shape != wanted.shape:
        raise ValueError("another shape")
    return (predicted - wanted).square().mean()


@exercise.right("sample by sample")
def sample_by_sample(
    model, schedule, start, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    timesteps, noise = drawn(schedule, start, timesteps, noise, generator)
    levels = [float(schedule.alpha_bar[t]) for t in timesteps]
    every = [*zip(start, noise, levels, strict=True)]
    x = torch.stack([a**0.5 * one + (1 - a) ** 0.5 * other for one, other, a in every])
    if target == "velocity":
        wanted = torch.stack([a**0.5 * other - (1 - a) ** 0.5 * one for one, other, a in every])
    else:
        wanted = start if target == "start" else noise
    predicted = model(x, timesteps, **given)
    if predicted.shape != wanted.shape:
        raise ValueError("another shape")
    return ((predicted - wanted) ** 2).sum() / wanted.numel()
