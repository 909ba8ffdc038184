"""Wrong and other right answers to ddpm.ancestral_step."""

import torch

from scratchmm.diffusion.ddpm import Step, clipped, posterior, start_and_noise, step_variance
from scratchmm.diffusion.schedule import per_sample
from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/ancestral_step").exercise

NOISY = "mean + spread.sqrt() * noise"
START = "clipped(start_and_noise(predicted, x, now, target).start, clip)"

exercise.edit(
    "noise-at-the-last-step",
    (" * (before < 1)", ""),
    story="with beta, noise is added at the last step too: it stays in the image",
    advice="where alpha_bar before is 1 the image is clean: no noise there",
)
exercise.edit(
    "variance-for-deviation",
    ("spread.sqrt() * noise", "spread * noise"),
    story="the noise is multiplied by the variance, not by its root",
    advice="noise of variance one times s has the variance s * s",
)
exercise.edit(
    "no-noise",
    (NOISY, "mean"),
    story="x goes to the mean, and no noise is added",
    advice="Step(mean + deviation * noise, start): the mean alone is a blurred image",
)
exercise.edit(
    "own-noise",
    ("spread.sqrt() * noise", "spread.sqrt() * torch.randn_like(x)"),
    story="noise is drawn here, and that handed in is not used",
    advice="use the argument noise: whoever calls decides about chance",
)
exercise.edit(
    "plain-noise",
    ("spread.sqrt() * noise", "(spread > 0) * noise"),
    story="noise is added as it comes, with a variance of one",
    advice="times the root of the variance",
)
exercise.edit(
    "mean-is-scaled-too",
    (NOISY, "spread.sqrt() * (mean + noise) + (spread == 0) * mean"),
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
    "x-clipped-too",
    (NOISY, f"clipped({NOISY}, clip)"),
    story="the new x is held to -clip..clip as well, though it is noisy",
    advice="only the start has bounds; x is a mixture with noise, which has none",
)
exercise.edit(
    "unknown-variance",
    ("if variance not in VARIANCES:", "if False:"),
    story="any name of a variance is taken as that of the posterior",
    advice="raise ValueError unless it is one of VARIANCES",
)
exercise.edit(
    "unknown-target",
    ("now, target).start", 'now, target if target in ("start", "noise") else "velocity").start'),
    story="it does not refuse a target that is none: it is taken for the velocity",
    advice="start_and_noise refuses it: hand it the target as it is",
)
exercise.edit(
    "any-clip",
    (START, "start_and_noise(predicted, x, now, target).start\n"
     "    start = start if clip is None else start.clamp(-clip, clip)"),
    story="it does not refuse a clip of 0, or one below",
    advice="raise a ValueError unless clip > 0: clipped does",
)  # fmt: skip
exercise.edit(
    "clip-ignored",
    (START, "start_and_noise(predicted, x, now, target).start"),
    story="clip is not used",
    advice="clipped(start, clip) before the posterior",
)
exercise.edit(
    "clipped-too-late",
    (START, "start_and_noise(predicted, x, now, target).start"),
    ("noise, start)", "noise, clipped(start, clip))"),
    story="the start is clipped after the mean was taken, so x does not follow",
    advice="clip first, then the posterior",
)
exercise.edit(
    "clipped-for-itself",
    ("mean, spread = posterior(", "unclipped = start_and_noise(predicted, x, now, target).start\n"
     "    mean, spread = posterior("),
    ("noise, start)", "noise, unclipped)"),
    story="the start that is returned is the one before clipping",
    advice="return what was used",
)  # fmt: skip
exercise.edit(
    "x-clipped",
    (START, "start_and_noise(predicted, x, now, target).start"),
    (NOISY, "clipped(mean + spread.sqrt() * noise, clip)"),
    story="x is clipped, not the start",
    advice="a noisy image may go beyond -clip..clip; what is held there is the start",
)
exercise.edit(
    "clips-one-side",
    (START, "start_and_noise(predicted, x, now, target).start\n"
     "    start = start if clip is None else start.clamp(max=clip)"),
    story="the start is held below clip, but not above -clip",
    advice="clamp(-clip, clip)",
)  # fmt: skip
exercise.edit(
    "target-ignored",
    ("now, target).start", 'now, "noise").start'),
    story="whatever the target, the prediction is taken for noise",
    advice="start_and_noise takes the target",
)
exercise.edit(
    "prediction-is-the-start",
    ("start_and_noise(predicted, x, now, target).start", "predicted"),
    story="the prediction is taken for the start, whatever the target",
    advice="start_and_noise(predicted, x, alpha_bar, target).start",
)
exercise.edit(
    "noise-for-start",
    ("now, target).start", "now, target).noise"),
    story="the noise in x is taken for the start",
    advice="start_and_noise gives both: the posterior wants .start",
)
exercise.edit(
    "level-before",
    ("predicted, x, now, target", "predicted, x, before.clamp(max=1 - 1e-9), target"),
    story="the start is computed with alpha_bar of the step before",
    advice="x is at timesteps: alpha_bar of now",
)
exercise.edit(
    "previous-ignored",
    ("timesteps, previous)\n    start", "timesteps, None)\n    start"),
    ("timesteps, previous)\n    if", "timesteps, None)\n    if"),
    story="previous is not used: every step is one timestep long",
    advice="hand previous on, to the posterior too",
)
exercise.edit(
    "previous-forgotten-in-the-mean",
    ("timesteps, previous)\n    if", "timesteps, None)\n    if"),
    story="previous does not reach the posterior",
    advice="posterior(schedule, start, x, timesteps, previous)",
)
exercise.edit(
    "pair-exchanged",
    ("Step(mean + spread.sqrt() * noise, start)", "Step(start, mean + spread.sqrt() * noise)"),
    story="x and start have changed places",
    advice="Step(x, start), in this order",
)
exercise.edit(
    "only-x",
    ("Step(mean + spread.sqrt() * noise, start)", "mean + spread.sqrt() * noise"),
    story="only x is returned",
    advice="return Step(x, start): a film strip shows both",
)
exercise.edit(
    "jumps-to-the-start",
    (NOISY, "start + spread.sqrt() * noise"),
    story="x jumps to the start, and the posterior's mean is not used",
    advice="one step goes only to the level before: to the posterior's mean",
)


def walked(schedule, start, x, timesteps, noise, spread, previous=None):
    """The step to the posterior's mean, with noise of this variance (B,)."""
    mean = posterior(schedule, start, x, timesteps, previous).mean
    return Step(mean + per_sample(spread.sqrt(), x) * noise, start)


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
    target="noise", variance="posterior", clip=None, previous=None,
):  # fmt: skip
    return along_the_noise(
        schedule, predicted, x, timesteps, noise,
        target=target, variance=variance, clip=clip, previous=previous,
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
    target="noise", variance="posterior", clip=None, previous=None,
):  # fmt: skip
    now, before, spread = options_of(schedule, timesteps, previous, variance)
    start = clipped(start_and_noise(predicted, x, now, target).start, clip)
    spread = spread * float(before[0] < 1)
    return walked(schedule, start, x, timesteps, noise, spread, previous)


@exercise.wrong(
    "asks-the-timestep",
    story="noise is left out where the timestep is 0, and not where the step ends at -1",
    advice="a longer step may end at the clean image too: ask for alpha_bar before",
)
def asks_the_timestep(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clip=None, previous=None,
):  # fmt: skip
    now, before, spread = options_of(schedule, timesteps, previous, variance)
    if variance == "beta":
        spread = (1 - now / before) * (timesteps > 0)
    start = clipped(start_and_noise(predicted, x, now, target).start, clip)
    return walked(schedule, start, x, timesteps, noise, spread, previous)


@exercise.wrong(
    "in-place",
    story="x is written over",
    advice="x *= ... and x[...] = ... change the caller's tensor",
)
def in_place(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clip=None, previous=None,
):  # fmt: skip
    now, _, spread = options_of(schedule, timesteps, previous, variance)
    start = clipped(start_and_noise(predicted, x, now, target).start, clip)
    x.copy_(walked(schedule, start, x, timesteps, noise, spread, previous).x)
    return Step(x.clone(), start)


@exercise.disguise("variance-for-deviation")
def variance_for_deviation_too(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clip=None, previous=None,
):  # fmt: skip
    now, _, spread = options_of(schedule, timesteps, previous, variance)
    start = clipped(start_and_noise(predicted, x, now, target).start, clip)
    return walked(schedule, start, x, timesteps, noise, spread**2, previous)


@exercise.disguise("noise-at-the-last-step")
def noise_at_the_last_step_too(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clip=None, previous=None,
):  # fmt: skip
    now, before, spread = options_of(schedule, timesteps, previous, variance)
    start = clipped(start_and_noise(predicted, x, now, target).start, clip)
    spread = (before - now) / before if variance == "beta" else spread
    return walked(schedule, start, x, timesteps, noise, spread, previous)


@exercise.right("along the noise")
def along_the_noise(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clip=None, previous=None,
):  # fmt: skip
    now, before, spread = options_of(schedule, timesteps, previous, variance)
    start = clipped(start_and_noise(predicted, x, now, target).start, clip)
    dirt = (x - per_sample(now.sqrt(), x) * start) / per_sample((1 - now).sqrt(), x)
    kept = (1 - before - step_variance(now, before)).clamp(min=0).sqrt()
    mean = per_sample(before.sqrt(), x) * start + per_sample(kept, x) * dirt
    return Step(mean + per_sample(spread, x).sqrt() * noise, start)


@exercise.right("sample by sample")
def sample_by_sample(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clip=None, previous=None,
):  # fmt: skip
    steps = []
    for i in range(len(x)):
        row = slice(i, i + 1)
        earlier = None if previous is None else previous[row]
        now, _, spread = options_of(schedule, timesteps[row], earlier, variance)
        start = start_and_noise(predicted[row], x[row], now, target).start
        start = clipped(start, clip)
        steps.append(walked(schedule, start, x[row], timesteps[row], noise[row], spread, earlier))
    return Step(*(torch.cat(parts) for parts in zip(*steps, strict=True)))
