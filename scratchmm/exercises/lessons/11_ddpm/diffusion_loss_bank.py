"""Wrong and other right answers to process.diffusion_loss."""

import torch
import torch.nn.functional as F

from scratchmm.diffusion.noise import draw_noise
from scratchmm.diffusion.process import mix, target_of
from scratchmm.exercises.format import exercise_file

exercise_file("11_ddpm/diffusion_loss_others")  # more of them
exercise = exercise_file("11_ddpm/diffusion_loss").exercise


def drawn(schedule, x0, timesteps, noise, generator):
    """Timesteps and noise, drawn where they are not given."""
    if timesteps is None:
        timesteps = torch.randint(len(schedule), (len(x0),), generator=generator)
    return timesteps, draw_noise(x0, generator) if noise is None else noise


def error(predicted, expected):
    """The mean squared error, after the refusal asked for."""
    if predicted.shape != expected.shape:
        raise ValueError(f"{tuple(predicted.shape)} and {tuple(expected.shape)}")
    return F.mse_loss(predicted, expected)


@exercise.wrong(
    "told-another-draw",
    story="the timesteps that the model is told are drawn anew: not those of the mixture",
    advice="draw them once, and use them for the schedule and for the model",
)
def told_another_draw(
    model, schedule, x0, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    told, _ = drawn(schedule, x0, timesteps, noise, generator)
    timesteps, noise = drawn(schedule, x0, timesteps, noise, generator)
    alpha_bar = schedule.at(timesteps)
    predicted = model(mix(x0, noise, alpha_bar), told, **given)
    return error(predicted, target_of(x0, noise, alpha_bar, target))


@exercise.wrong(
    "every-timestep",
    story="the model is asked at every timestep of the schedule, and the losses are averaged",
    advice="one call of the model: every sample at one timestep of its own",
)
def every_timestep(
    model, schedule, x0, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    _, noise = drawn(schedule, x0, timesteps, noise, generator)
    losses = []
    for timestep in range(len(schedule)):
        told = torch.full((len(x0),), timestep)
        alpha_bar = schedule.at(told)
        predicted = model(mix(x0, noise, alpha_bar), told, **given)
        losses.append(error(predicted, target_of(x0, noise, alpha_bar, target)))
    return torch.stack(losses).mean()


@exercise.disguise("first-timestep-for-all")
def first_timestep_for_all_too(
    model, schedule, x0, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    timesteps, noise = drawn(schedule, x0, timesteps, noise, generator)
    level = schedule.alpha_bar[int(timesteps[0])].item()
    x = level**0.5 * x0 + (1 - level) ** 0.5 * noise
    levels = torch.full((len(x0),), level, dtype=torch.float64)
    return error(model(x, timesteps, **given), target_of(x0, noise, levels, target))


@exercise.disguise("always-the-noise")
def always_the_noise_too(
    model, schedule, x0, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    timesteps, noise = drawn(schedule, x0, timesteps, noise, generator)
    x = mix(x0, noise, schedule.at(timesteps))
    return error(model(x, timesteps, **given), noise)


@exercise.disguise("sum-of-a-sample")
def sum_of_a_sample_too(
    model, schedule, x0, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    timesteps, noise = drawn(schedule, x0, timesteps, noise, generator)
    alpha_bar = schedule.at(timesteps)
    expected = target_of(x0, noise, alpha_bar, target)
    predicted = model(mix(x0, noise, alpha_bar), timesteps, **given)
    return error(predicted, expected) * x0[0].numel()


@exercise.right("noise drawn before the timesteps")
def noise_first(
    model, schedule, x0, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    if noise is None:
        noise = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    if timesteps is None:
        timesteps = (torch.rand(len(x0), generator=generator) * len(schedule)).long()
    kept = schedule.alpha_bar[timesteps].view(-1, *[1] * (x0.ndim - 1))
    image, noise_rate = kept.sqrt().to(x0.dtype), (1 - kept).sqrt().to(x0.dtype)
    expected = {"noise": noise, "x0": x0, "velocity": image * noise - noise_rate * x0}[target]
    predicted = model(image * x0 + noise_rate * noise, timesteps, **given)
    if predicted.shape != expected.shape:
        raise ValueError("another shape")
    return (predicted - expected).square().mean()


@exercise.right("sample by sample")
def sample_by_sample(
    model, schedule, x0, *, target="noise", timesteps=None, noise=None, generator=None, **given
):
    timesteps, noise = drawn(schedule, x0, timesteps, noise, generator)
    levels = [float(schedule.alpha_bar[t]) for t in timesteps]
    every = [*zip(x0, noise, levels, strict=True)]
    x = torch.stack([a**0.5 * one + (1 - a) ** 0.5 * other for one, other, a in every])
    if target == "velocity":
        expected = torch.stack([a**0.5 * other - (1 - a) ** 0.5 * one for one, other, a in every])
    else:
        expected = x0 if target == "x0" else noise
    predicted = model(x, timesteps, **given)
    if predicted.shape != expected.shape:
        raise ValueError("another shape")
    return ((predicted - expected) ** 2).sum() / expected.numel()
