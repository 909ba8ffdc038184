"""Wrong answers to process.diffusion_loss that are the library's with one thing changed."""

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/diffusion_loss").exercise

DRAWN = "torch.randint(len(schedule), (len(x0),), generator=generator)"
NOISE = "draw_noise(x0, generator)"
LEVEL = "alpha_bar = schedule.at(timesteps)"
MIXED = "mix(x0, noise, alpha_bar)"
TOLD = "timesteps.to(x0.device)"
WANTED = "target_of(x0, noise, alpha_bar, target)"
LOSS = "return F.mse_loss(predicted, expected)"

exercise.edit(
    "sum",
    (LOSS, "return ((predicted - expected) ** 2).sum()"),
    story="the squared errors are added up, not averaged: the loss grows with the batch",
    advice="the mean over all values",
)
exercise.edit(
    "told-what-is-left",
    (TOLD, "alpha_bar"),
    story="the model is told alpha_bar, not the timestep",
    advice="model(x, timesteps, ...): its clock counts timesteps",
)
exercise.edit(
    "sum-of-a-sample",
    (LOSS, "return ((predicted - expected) ** 2).flatten(1).sum(1).mean()"),
    story="the squared errors of each sample are added up, and those are averaged",
    advice="the mean over all values: a larger image has no larger loss",
)
exercise.edit(
    "absolute",
    (LOSS, "return F.l1_loss(predicted, expected)"),
    story="the errors are not squared: their absolute values are averaged",
    advice="the squared error, as in the paper",
    convention=True,
)
exercise.edit(
    "root",
    (LOSS, "return F.mse_loss(predicted, expected).sqrt()"),
    story="the root of the mean squared error is taken",
    advice="no root: F.mse_loss alone",
)
exercise.edit(
    "halved",
    (LOSS, "return F.mse_loss(predicted, expected) / 2"),
    story="the mean squared error is halved",
    advice="no factor: F.mse_loss alone",
    convention=True,
)
exercise.edit(
    "one-a-sample",
    (LOSS, "return ((predicted - expected) ** 2).flatten(1).mean(1)"),
    story="there is a loss for each sample, (B,), not one number",
    advice="the mean over the batch too",
)
exercise.edit(
    "weighted",
    (
        LOSS,
        "odds = (alpha_bar / (1 - alpha_bar)).to(x0.dtype)\n"
        "    return (odds * ((predicted - expected) ** 2).flatten(1).mean(1)).mean()",
    ),
    story="the errors are weighted by the signal-to-noise ratio of their timestep",
    advice="the paper's simple loss: all timesteps count the same",
    convention=True,
)
exercise.edit(
    "first-timestep-for-all",
    (LEVEL, "alpha_bar = schedule.at(timesteps[:1].expand(len(x0)))"),
    story="the whole batch is mixed at the first sample's timestep",
    advice="schedule.at(timesteps): every sample at its own",
)
exercise.edit(
    "told-the-first",
    (TOLD, "timesteps[:1].expand(len(x0))"),
    story="the model is told the first sample's timestep for the whole batch",
    advice="hand it all B timesteps",
)
exercise.edit(
    "one-timestep-drawn",
    (DRAWN, "torch.randint(len(schedule), (1,), generator=generator).expand(len(x0))"),
    story="one timestep is drawn for the whole batch",
    advice="draw as many as there are samples: torch.randint(len(schedule), (len(x0),), ...)",
)
exercise.edit(
    "last-step-never-drawn",
    (DRAWN, "torch.randint(len(schedule) - 1, (len(x0),), generator=generator)"),
    story="the last timestep is never drawn: the model never sees what sampling begins with",
    advice="randint leaves its end out already: torch.randint(len(schedule), ...)",
)
exercise.edit(
    "first-step-never-drawn",
    (DRAWN, "torch.randint(1, len(schedule), (len(x0),), generator=generator)"),
    story="timestep 0 is never drawn: the paper counts from 1, this schedule from 0",
    advice="draw from 0 to len(schedule) - 1",
)
exercise.edit(
    "one-step-too-many",
    (DRAWN, "torch.randint(len(schedule) + 1, (len(x0),), generator=generator)"),
    story="len(schedule) itself is drawn too, which is no timestep",
    advice="the last one is len(schedule) - 1",
)
exercise.edit(
    "told-one-later",
    (TOLD, "timesteps + 1"),
    story="the model is told the timestep after the one at which the sample is mixed",
    advice="the same timesteps for the schedule and the model, from 0",
)
exercise.edit(
    "mixed-one-earlier",
    (LEVEL, "alpha_bar = schedule.at(timesteps - 1, final_alpha=1.0)"),
    story="samples are mixed one step earlier than the model is told",
    advice="schedule.at(timesteps): timestep 0 has noise already",
)
exercise.edit(
    "told-a-share",
    (TOLD, "timesteps / len(schedule)"),
    story="the model is told the timestep as a share of the schedule",
    advice="hand on the timesteps themselves, int64",
    convention=True,
)
exercise.edit(
    "betas",
    (LEVEL, "alpha_bar = 1 - schedule.betas[timesteps]"),
    story="samples get the noise of one step alone: beta is used in place of alpha_bar",
    advice="schedule.at(timesteps) is what is left after all steps so far",
)
exercise.edit(
    "roots-forgotten",
    (MIXED, "mix(x0, noise, alpha_bar**2 / (alpha_bar**2 + (1 - alpha_bar) ** 2))"),
    story="x0 and noise are mixed in another ratio, a to 1 - a, without the roots",
    advice="mix takes alpha_bar and draws the roots itself",
)
exercise.edit(
    "clean-image-shown",
    (MIXED, "x0"),
    story="the model is shown the clean image",
    advice="show it the mixture of x0 and noise",
)
exercise.edit(
    "noise-shown",
    (MIXED, "noise"),
    story="the model is shown the noise that it should find",
    advice="show it the mixture of x0 and noise",
)
exercise.edit(
    "exchanged",
    (MIXED, "mix(noise, x0, alpha_bar)"),
    story="x0 and noise are exchanged in the mixture",
    advice="mix(x0, noise, alpha_bar)",
)
exercise.edit(
    "always-the-noise",
    (WANTED, "noise"),
    story="`target` is ignored: the noise is always asked for",
    advice="target_of knows what a model of each target should say",
)
exercise.edit(
    "always-the-x0",
    (WANTED, "x0"),
    story="the clean image is always asked for",
    advice="target_of knows what a model of each target should say; most often the noise",
)
exercise.edit(
    "what-was-added",
    (WANTED, "(mix(x0, noise, alpha_bar) - x0 if target == 'noise' else x0)"),
    story="what is asked for is the difference from the clean image, not the noise",
    advice="the noise as it was drawn, of variance one at every timestep",
)
exercise.edit(
    "velocity-turned",
    (WANTED, WANTED + " * (-1 if target == 'velocity' else 1)"),
    story="the velocity has the opposite sign",
    advice="sqrt(a) * noise - sqrt(1 - a) * x0",
)
exercise.edit(
    "condition-kept",
    (", **condition)", ")"),
    story="the condition does not reach the model",
    advice="model(x, timesteps, **condition)",
)
exercise.edit(
    "noise-drawn-twice",
    (MIXED, "mix(x0, torch.randn_like(x0), alpha_bar)"),
    story="other noise is mixed in than is asked for",
    advice="draw it once and keep it",
)
exercise.edit(
    "new-noise-asked",
    (WANTED, "target_of(x0, draw_noise(x0, generator), alpha_bar, target)"),
    story="the noise that is asked for is drawn anew, it is not what was mixed in",
    advice="draw it once and keep it",
)
exercise.edit(
    "noise-always-drawn",
    (f"{NOISE} if noise is None else noise", NOISE),
    story="noise is drawn even where it is given",
    advice="draw only where noise is None",
)
exercise.edit(
    "timesteps-always-drawn",
    ("if timesteps is None:", "if True:"),
    story="timesteps are drawn even where they are given",
    advice="draw only where timesteps is None",
)
exercise.edit(
    "stretched",
    ("if predicted.shape != expected.shape:", "if False:"),
    (LOSS, "return ((predicted - expected) ** 2).mean()"),
    story="a prediction of another shape is stretched over the samples, and no one notices",
    advice="raise ValueError where the prediction does not have the shape of what is expected",
)
exercise.edit(
    "no-gradient",
    (LOSS, "return F.mse_loss(predicted, expected).detach()"),
    story="the loss is cut off from the model: nothing can be learned from it",
    advice="no item(), no detach() and no no_grad",
)
exercise.edit(
    "in-place",
    (
        MIXED,
        "x0.mul_(per_sample(alpha_bar.sqrt(), x0)).add_("
        "noise * per_sample((1 - alpha_bar).sqrt(), x0))",
    ),
    story="the noise is mixed into the caller's images themselves",
    advice="mix makes new ones",
)
exercise.edit(
    "even-noise",
    (NOISE, "torch.rand(x0.shape, generator=generator)"),
    story="the noise is drawn evenly from 0 to 1: torch.rand",
    advice="normal noise: torch.randn, or draw_noise",
)
exercise.edit(
    "one-noise-for-all",
    (NOISE, "draw_noise(x0[:1], generator).expand_as(x0)"),
    story="one noise is drawn for the whole batch",
    advice="a new number for every value of every sample",
)
exercise.edit(
    "one-number-a-sample",
    (NOISE, "draw_noise(x0.flatten(1)[:, 0], generator)[:, None].expand_as(x0)"),
    story="one number is drawn for each sample: the whole image gets lighter or darker",
    advice="a new number for every value of every sample",
)
exercise.edit(
    "generator-left-out",
    (DRAWN, "torch.randint(len(schedule), (len(x0),))"),
    (NOISE, "draw_noise(x0)"),
    story="the generator is not used: the run can't be repeated from its seed",
    advice="generator=generator, for timesteps and noise",
)
exercise.edit(
    "noise-from-elsewhere",
    (NOISE, "torch.randn_like(x0)"),
    story="timesteps come from the generator, but the noise does not: randn_like takes none",
    advice="draw_noise(x0, generator), or torch.randn with it",
)
exercise.edit(
    "timesteps-from-elsewhere",
    (DRAWN, "torch.randint(len(schedule), (len(x0),))"),
    story="noise comes from the generator, but the timesteps do not",
    advice="torch.randint(..., generator=generator)",
)
exercise.edit(
    "always-the-same-chance",
    (DRAWN, "torch.randint(len(schedule), (len(x0),), generator=torch.manual_seed(0))"),
    (NOISE, "torch.randn(x0.shape, generator=torch.manual_seed(1))"),
    story="every call draws the same timesteps and the same noise",
    advice="the generator goes on by itself from call to call: seed nothing here",
)
