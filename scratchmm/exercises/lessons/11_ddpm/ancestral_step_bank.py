"""Wrong and other right answers to ddpm.ancestral_step."""

import torch

from scratchmm.diffusion.ddpm import posterior, step_variance
from scratchmm.diffusion.process import Step, clamped, per_sample, x0_and_noise
from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/ancestral_step").exercise

NOISY = "mean + variances.sqrt() * noise"
X0 = "clamped(x0_and_noise(predicted, x, now, target).x0, clamp)"

exercise.edit(
    "noise-at-the-last-step",
    (" * (before < 1)", ""),
    story="with beta, noise is added at the last step too: it stays in the image",
    advice="where alpha_bar before is 1 the image is clean: no noise there",
)
exercise.edit(
    "variance-for-deviation",
    ("variances.sqrt() * noise", "variances * noise"),
    story="the noise is multiplied by the variance, not by its root",
    advice="noise of variance one times s has the variance s * s",
)
exercise.edit(
    "no-noise",
    (NOISY, "mean"),
    story="x goes to the mean, and no noise is added",
    advice="Step(mean + deviation * noise, x0): the mean alone is a blurred image",
)
exercise.edit(
    "own-noise",
    ("variances.sqrt() * noise", "variances.sqrt() * torch.randn_like(x)"),
    story="noise is drawn here, and that handed in is not used",
    advice="use the argument noise: whoever calls decides about chance",
)
exercise.edit(
    "plain-noise",
    ("variances.sqrt() * noise", "(variances > 0) * noise"),
    story="noise is added as it comes, with a variance of one",
    advice="times the root of the variance",
)
exercise.edit(
    "mean-is-scaled-too",
    (NOISY, "variances.sqrt() * (mean + noise) + (variances == 0) * mean"),
    story="the mean is multiplied by the standard deviation as well",
    advice="only the noise is",
)
exercise.edit(
    "variances-exchanged",
    ('if variance == "beta":', 'if variance == "posterior":'),
    story="the names of the variances are exchanged",
    advice='variance == "beta" takes 1 - alpha_bar now / alpha_bar before',
)
exercise.edit(
    "variance-ignored",
    ('if variance == "beta":', "if False:"),
    story="the variance is always that of the posterior",
    advice='variance="beta" asks for 1 - alpha_bar now / alpha_bar before',
)
exercise.edit(
    "beta-is-alpha",
    ("(1 - now / before)", "(now / before)"),
    story="with beta the variance is alpha, what is left of the image",
    advice="beta = 1 - alpha",
)
exercise.edit(
    "beta-of-many-steps",
    ("(1 - now / before)", "(1 - now)"),
    story="with beta the variance is 1 - alpha_bar, that of all steps so far",
    advice="beta = 1 - alpha_bar now / alpha_bar before: of this step alone",
)
exercise.edit(
    "beta-of-one-step",
    ("(1 - now / before)", "schedule.betas[timesteps]"),
    story="with beta the variance is that of one step, from the schedule, however long this step is",
    advice="from previous to now: 1 - alpha_bar now / alpha_bar before",
)
exercise.edit(
    "x-clamped-too",
    (NOISY, f"clamped({NOISY}, clamp)"),
    story="the new x is held to -clamp..clamp as well, though it is noisy",
    advice="only x0 has bounds; x is a mixture with noise, which has none",
)
exercise.edit(
    "unknown-variance",
    ("if variance not in VARIANCES:", "if False:"),
    story="any name of a variance is taken as that of the posterior",
    advice="raise ValueError unless it is one of VARIANCES",
)
exercise.edit(
    "unknown-target",
    ("now, target).x0", 'now, target if target in ("x0", "noise") else "velocity").x0'),
    story="it does not refuse a target that is none: it is taken for the velocity",
    advice="x0_and_noise refuses it: hand it the target as it is",
)
exercise.edit(
    "any-clamp",
    (X0, "x0_and_noise(predicted, x, now, target).x0\n"
     "    x0 = x0 if clamp is None else x0.clamp(-clamp, clamp)"),
    story="it does not refuse a clamp of 0, or one below",
    advice="raise a ValueError unless clamp > 0: clamped does",
)  # fmt: skip
exercise.edit(
    "clamp-ignored",
    (X0, "x0_and_noise(predicted, x, now, target).x0"),
    story="clamp is not used",
    advice="clamped(x0, clamp) before the posterior",
)
exercise.edit(
    "clamped-too-late",
    (X0, "x0_and_noise(predicted, x, now, target).x0"),
    ("noise, x0)", "noise, clamped(x0, clamp))"),
    story="x0 is clamped after the mean was taken, so x does not follow",
    advice="clamp first, then the posterior",
)
exercise.edit(
    "clamped-for-itself",
    ("mean, variances = posterior(", "unclipped = x0_and_noise(predicted, x, now, target).x0\n"
     "    mean, variances = posterior("),
    ("noise, x0)", "noise, unclipped)"),
    story="x0 that is returned is the one before clamping",
    advice="return what was used",
)  # fmt: skip
exercise.edit(
    "x-clamped",
    (X0, "x0_and_noise(predicted, x, now, target).x0"),
    (NOISY, "clamped(mean + variances.sqrt() * noise, clamp)"),
    story="x is clamped, not x0",
    advice="a noisy image may go beyond -clamp..clamp; what is held there is x0",
)
exercise.edit(
    "clamps-one-side",
    (X0, "x0_and_noise(predicted, x, now, target).x0\n"
     "    x0 = x0 if clamp is None else x0.clamp(max=clamp)"),
    story="x0 is held below clamp, but not above -clamp",
    advice="clamp(-clamp, clamp)",
)  # fmt: skip
exercise.edit(
    "target-ignored",
    ("now, target).x0", 'now, "noise").x0'),
    story="whatever the target, the prediction is taken for noise",
    advice="x0_and_noise takes the target",
)
exercise.edit(
    "prediction-is-the-x0",
    ("x0_and_noise(predicted, x, now, target).x0", "predicted"),
    story="the prediction is taken for x0, whatever the target",
    advice="x0_and_noise(predicted, x, alpha_bar, target).x0",
)
exercise.edit(
    "noise-for-x0",
    ("now, target).x0", "now, target).noise"),
    story="the noise in x is taken for x0",
    advice="x0_and_noise gives both: the posterior wants .x0",
)
exercise.edit(
    "level-before",
    ("predicted, x, now, target", "predicted, x, before.clamp(max=1 - 1e-9), target"),
    story="x0 is computed with alpha_bar of the step before",
    advice="x is at timesteps: alpha_bar of now",
)
exercise.edit(
    "previous-ignored",
    ("timesteps, previous)\n    x0", "timesteps, None)\n    x0"),
    ("timesteps, previous)\n    if", "timesteps, None)\n    if"),
    story="previous is not used: every step is one timestep long",
    advice="hand previous on, to the posterior too",
)
exercise.edit(
    "previous-forgotten-in-the-mean",
    ("timesteps, previous)\n    if", "timesteps, None)\n    if"),
    story="previous does not reach the posterior",
    advice="posterior(schedule, x0, x, timesteps, previous)",
)
exercise.edit(
    "pair-exchanged",
    ("Step(mean + variances.sqrt() * noise, x0)", "Step(x0, mean + variances.sqrt() * noise)"),
    story="x and x0 have changed places",
    advice="Step(x, x0), in this order",
)
exercise.edit(
    "only-x",
    ("Step(mean + variances.sqrt() * noise, x0)", "mean + variances.sqrt() * noise"),
    story="only x is returned",
    advice="return Step(x, x0): a film strip shows both",
)
exercise.edit(
    "jumps-to-the-x0",
    (NOISY, "x0 + variances.sqrt() * noise"),
    story="x jumps to x0, and the posterior's mean is not used",
    advice="one step goes only to the level before: to the posterior's mean",
)


def walked(schedule, x0, x, timesteps, noise, variances, previous=None):
    """The step to the posterior's mean, with noise of this variance (B,)."""
    mean = posterior(schedule, x0, x, timesteps, previous).mean
    return Step(mean + per_sample(variances.sqrt(), x) * noise, x0)


def options_of(schedule, timesteps, previous, variance):
    """alpha_bar now and before, and the variance asked for: (B,) each."""
    previous = timesteps - 1 if previous is None else previous
    now, before = schedule.at(timesteps), schedule.at(previous, final_alpha=1.0)
    beta = (1 - now / before).where(before < 1, torch.zeros_like(now))
    spreads = {"posterior": step_variance(now, before), "beta": beta}
    if variance not in spreads:
        raise ValueError(f"no variance {variance}")
    return now, before, spreads[variance]


@exercise.wrong(
    "any-previous",
    story="it does not refuse a previous that is not before timesteps",
    advice="raise a ValueError unless all of previous are below timesteps: posterior does",
)
def any_previous(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clamp=None, previous=None,
):  # fmt: skip
    return along_the_noise(
        schedule, predicted, x, timesteps, noise,
        target=target, variance=variance, clamp=clamp, previous=previous,
    )  # fmt: skip


@exercise.refusing
def refuse(schedule, predicted, x, timesteps, noise, *, previous=None, **options):
    if previous is not None and bool((previous >= timesteps).any()):
        raise ValueError(f"{previous} is not before {timesteps}")


@exercise.wrong(
    "asks-the-first-only",
    story="whether noise is added is decided by the first sample's timestep, for all",
    advice="each sample has a timestep of its own: the variance of each decides",
)
def asks_the_first_only(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clamp=None, previous=None,
):  # fmt: skip
    now, before, variances = options_of(schedule, timesteps, previous, variance)
    x0 = clamped(x0_and_noise(predicted, x, now, target).x0, clamp)
    variances = variances * float(before[0] < 1)
    return walked(schedule, x0, x, timesteps, noise, variances, previous)


@exercise.wrong(
    "asks-the-timestep",
    story="noise is left out where the timestep is 0, and not where the step ends at -1",
    advice="a longer step may end at the clean image too: ask for alpha_bar before",
)
def asks_the_timestep(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clamp=None, previous=None,
):  # fmt: skip
    now, before, variances = options_of(schedule, timesteps, previous, variance)
    if variance == "beta":
        variances = (1 - now / before) * (timesteps > 0)
    x0 = clamped(x0_and_noise(predicted, x, now, target).x0, clamp)
    return walked(schedule, x0, x, timesteps, noise, variances, previous)


@exercise.wrong(
    "in-place",
    story="x is written over",
    advice="x *= ... and x[...] = ... change the caller's tensor",
)
def in_place(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clamp=None, previous=None,
):  # fmt: skip
    now, _, variances = options_of(schedule, timesteps, previous, variance)
    x0 = clamped(x0_and_noise(predicted, x, now, target).x0, clamp)
    x.copy_(walked(schedule, x0, x, timesteps, noise, variances, previous).x)
    return Step(x.clone(), x0)


@exercise.disguise("variance-for-deviation")
def variance_for_deviation_too(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clamp=None, previous=None,
):  # fmt: skip
    now, _, variances = options_of(schedule, timesteps, previous, variance)
    x0 = clamped(x0_and_noise(predicted, x, now, target).x0, clamp)
    return walked(schedule, x0, x, timesteps, noise, variances**2, previous)


@exercise.disguise("noise-at-the-last-step")
def noise_at_the_last_step_too(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clamp=None, previous=None,
):  # fmt: skip
    now, before, variances = options_of(schedule, timesteps, previous, variance)
    x0 = clamped(x0_and_noise(predicted, x, now, target).x0, clamp)
    variances = (before - now) / before if variance == "beta" else variances
    return walked(schedule, x0, x, timesteps, noise, variances, previous)


@exercise.right("along the noise")
def along_the_noise(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clamp=None, previous=None,
):  # fmt: skip
    now, before, variances = options_of(schedule, timesteps, previous, variance)
    x0 = clamped(x0_and_noise(predicted, x, now, target).x0, clamp)
    noise_rate = (x - per_sample(now.sqrt(), x) * x0) / per_sample((1 - now).sqrt(), x)
    kept = (1 - before - step_variance(now, before)).clamp(min=0).sqrt()
    mean = per_sample(before.sqrt(), x) * x0 + per_sample(kept, x) * noise_rate
    return Step(mean + per_sample(variances, x).sqrt() * noise, x0)


@exercise.right("sample by sample")
def sample_by_sample(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clamp=None, previous=None,
):  # fmt: skip
    steps = []
    for i in range(len(x)):
        row = slice(i, i + 1)
        earlier = None if previous is None else previous[row]
        now, _, variances = options_of(schedule, timesteps[row], earlier, variance)
        x0 = x0_and_noise(predicted[row], x[row], now, target).x0
        x0 = clamped(x0, clamp)
        steps.append(walked(schedule, x0, x[row], timesteps[row], noise[row], variances, earlier))
    return Step(*(torch.cat(parts) for parts in zip(*steps, strict=True)))
