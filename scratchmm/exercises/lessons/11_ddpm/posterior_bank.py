"""Wrong and other right answers to ddpm.posterior."""

import torch

from scratchmm.diffusion.ddpm import Gaussian
from scratchmm.diffusion.process import per_sample
from scratchmm.exercises.format import exercise_file

exercise = exercise_file("11_ddpm/posterior").exercise


def levels(schedule, timesteps, previous):
    """alpha_bar now and before, as asked for."""
    previous = timesteps - 1 if previous is None else previous
    if bool((previous >= timesteps).any()):
        raise ValueError(f"{previous.tolist()} is not before {timesteps.tolist()}")
    return schedule.at(timesteps), schedule.at(previous, final_alpha=1.0)


def put_together(x0, x, now, before):
    """The right answer from the two levels."""
    of_x0 = before.sqrt() * (1 - now / before) / (1 - now)
    of_x = (now / before).sqrt() * (1 - before) / (1 - now)
    variance = (1 - before) / (1 - now) * (1 - now / before)
    mean = per_sample(of_x0, x) * x0 + per_sample(of_x, x) * x
    return Gaussian(mean, per_sample(variance, x))


exercise.edit(
    "weights-exchanged",
    (
        "per_sample(of_x0, x) * x0 + per_sample(of_x, x) * x",
        "per_sample(of_x, x) * x0 + per_sample(of_x0, x) * x",
    ),
    story="x0 gets the weight of x, and x that of x0",
    advice="near x0, where 1 - alpha_bar before is small, the mean is x0",
)
exercise.edit(
    "alpha-bar-for-alpha",
    ("(now / before).sqrt()", "now.sqrt()"),
    story="x is weighted by sqrt(alpha_bar), not by sqrt(alpha)",
    advice="alpha is what one step leaves: alpha_bar now over alpha_bar before",
)
exercise.edit(
    "level-of-now",
    ("before.sqrt()", "now.sqrt()"),
    story="x0 is weighted by sqrt(alpha_bar) of now, not of the step before",
    advice="the result is at the level before: sqrt(alpha_bar before) in the weight of x0",
)
exercise.edit(
    "alpha-without-root",
    ("(now / before).sqrt()", "(now / before)"),
    story="x is weighted by alpha, not by its root",
    advice="alphas are variances: numbers themselves are multiplied by the roots",
)
exercise.edit(
    "divided-by-before",
    ("(now / before).sqrt() * (1 - before) / (1 - now)", "(now / before).sqrt()"),
    ("(1 - now / before) / (1 - now)", "(1 - now / before) / (1 - before).clamp(min=1e-9)"),
    story="the weights are not divided by 1 - alpha_bar of now",
    advice="both weights of equation 7 have 1 - alpha_bar now below",
)
exercise.edit(
    "variance-is-beta",
    ("step_variance(now, before)", "1 - now / before"),
    story="the variance is beta, that of the step forward",
    advice="knowing x0 makes it smaller: beta times (1 - alpha_bar before) / (1 - alpha_bar)",
)
exercise.edit(
    "alpha-of-one-step",
    ("(1 - now / before) / (1 - now)", "schedule.betas[timesteps] / (1 - now)"),
    ("(now / before).sqrt()", "(1 - schedule.betas[timesteps]).sqrt()"),
    ("step_variance(now, before)", "(1 - before) / (1 - now) * schedule.betas[timesteps]"),
    story="alpha and beta are those of one step, from the schedule, however long this step is",
    advice="from previous to now: alpha is alpha_bar now / alpha_bar before",
)
exercise.edit(
    "deviation",
    ("step_variance(now, before)", "step_variance(now, before).sqrt()"),
    story="the standard deviation is returned in place of the variance",
    advice="no root: who adds noise takes it",
    convention=True,
)
exercise.edit(
    "log-variance",
    ("step_variance(now, before)", "step_variance(now, before).clamp(min=1e-20).log()"),
    story="the logarithm of the variance is returned, as DDPM's code keeps it",
    advice="the variance itself is asked for, and it may be 0",
    convention=True,
)
exercise.edit(
    "variance-upside-down",
    ("step_variance(now, before)", "(1 - now) * (1 - now / before) / (1 - before).clamp(min=1e-9)"),
    story="the fraction in the variance is upside down",
    advice="(1 - alpha_bar before) / (1 - alpha_bar now), which is less than 1, times beta",
)
exercise.edit(
    "variance-unshaped",
    ("per_sample(step_variance(now, before), x)", "step_variance(now, before).to(x.dtype)"),
    story="the variance is (B,), which would be laid over the last axis",
    advice="per_sample(variance, x) makes it (B, 1, ..., 1)",
)
exercise.edit(
    "variance-everywhere",
    (
        "per_sample(step_variance(now, before), x)",
        "per_sample(step_variance(now, before), x).expand_as(x)",
    ),
    story="the variance is variances over all values",
    advice="one number a sample is asked for: (B, 1, ..., 1)",
    convention=True,
)
exercise.edit(
    "double-precision",
    ("per_sample(of_x0, x)", "of_x0.view(-1, *[1] * (x.ndim - 1))"),
    story="the schedule's float64 makes the mean float64 too",
    advice="compute the weights in float64, and bring them to the dtype of x: per_sample does",
)
exercise.edit(
    "plain-pair",
    ("Gaussian(mean, per_sample", "(mean, per_sample"),
    story="mean and variance come as a plain pair, without their names",
    advice="return Gaussian(mean, variance), so that others may write .mean",
)
exercise.edit(
    "only-the-mean",
    ("Gaussian(mean, per_sample(step_variance(now, before), x))", "mean"),
    story="only the mean is returned",
    advice="return Gaussian(mean, variance)",
)
exercise.edit(
    "previous-ignored",
    ("timesteps, previous)\n", "timesteps, None)\n"),
    story="previous is not used: it is always one step earlier",
    advice="timesteps - 1 only where previous is None",
)
exercise.edit(
    "first-timestep-for-all",
    ("timesteps, previous)\n", "timesteps, previous)\n    now, before = now[:1], before[:1]\n"),
    ("per_sample(of_x0, x)", "per_sample(of_x0.expand(len(x)), x)"),
    ("per_sample(of_x, x)", "per_sample(of_x.expand(len(x)), x)"),
    ("step_variance(now, before), x", "step_variance(now, before).expand(len(x)), x"),
    story="every sample is treated as if it were at the first one's timestep",
    advice="keep the axis (B,): each sample has a timestep of its own",
)
exercise.edit(
    "float32-levels",
    (
        "timesteps, previous)\n",
        "timesteps, previous)\n    now, before = now.float(), before.float()\n",
    ),
    story="alpha_bar is made float32 before 1 - alpha_bar is taken, which leaves few digits",
    advice="stay in float64 until the weights are done",
)


@exercise.wrong(
    "wraps-around",
    story="before timestep 0 the last alpha_bar is taken: index -1 counts from the end",
    advice="schedule.at(previous, final_alpha=1.0) knows that -1 is the clean image",
)
def wraps_around(schedule, x0, x, timesteps, previous=None):
    levels(schedule, timesteps, previous)
    earlier = timesteps - 1 if previous is None else previous
    now, before = schedule.alpha_bar[timesteps], schedule.alpha_bar[earlier]
    return put_together(x0, x, now, before)


@exercise.wrong(
    "first-level-kept",
    story="before timestep 0 the alpha_bar of timestep 0 is taken",
    advice="before the first step nothing is noise: alpha_bar is 1 there, final_alpha=1.0",
)
def first_level_kept(schedule, x0, x, timesteps, previous=None):
    levels(schedule, timesteps, previous)
    earlier = timesteps - 1 if previous is None else previous
    return put_together(x0, x, schedule.at(timesteps), schedule.alpha_bar[earlier.clamp(min=0)])


@exercise.wrong(
    "counted-from-one",
    story="timesteps are taken for the paper's, which count from 1",
    advice="timestep 0 is alpha_bar[0] here, and -1 the clean image",
    convention=True,
)
def counted_from_one(schedule, x0, x, timesteps, previous=None):
    levels(schedule, timesteps, previous)
    earlier = timesteps - 1 if previous is None else previous
    now, before = (
        schedule.at((when - 1).clamp(min=-1), final_alpha=1.0) for when in (timesteps, earlier)
    )
    return put_together(x0, x, now, before)


@exercise.wrong(
    "nothing-refused",
    story="a previous that comes after the timestep is taken as it is",
    advice="raise ValueError unless previous is before, in every sample",
)
def nothing_refused(schedule, x0, x, timesteps, previous=None):
    earlier = timesteps - 1 if previous is None else previous
    now, before = schedule.at(timesteps), schedule.at(earlier, final_alpha=1.0)
    return put_together(x0, x, now, before)


@exercise.wrong(
    "refused-if-all",
    story="it is refused only where previous comes after in every sample",
    advice="one sample that walks forward is enough",
)
def refused_if_all(schedule, x0, x, timesteps, previous=None):
    earlier = timesteps - 1 if previous is None else previous
    if (earlier >= timesteps).all():
        raise ValueError("not before")
    now, before = schedule.at(timesteps), schedule.at(earlier, final_alpha=1.0)
    return put_together(x0, x, now, before)


@exercise.wrong(
    "counts-down-in-place",
    story="the caller's timesteps are counted down",
    advice="timesteps -= 1 changes the caller's tensor: timesteps - 1 makes a new one",
)
def counts_down_in_place(schedule, x0, x, timesteps, previous=None):
    now, before = levels(schedule, timesteps, previous)
    timesteps -= 1
    return put_together(x0, x, now, before)


@exercise.wrong(
    "mixed-again",
    story="x0 is mixed with x as if x were the noise",
    advice="x is a noisy image: the weights of equation 7 take that into account",
)
def mixed_again(schedule, x0, x, timesteps, previous=None):
    now, before = levels(schedule, timesteps, previous)
    mean = per_sample(before.sqrt(), x) * x0 + per_sample((1 - before).sqrt(), x) * x
    return Gaussian(mean, put_together(x0, x, now, before).variance)


@exercise.wrong(
    "cut-off",
    story="no gradient reaches x0 and x",
    advice="neither detach nor no_grad nor .data",
)
def cut_off(schedule, x0, x, timesteps, previous=None):
    now, before = levels(schedule, timesteps, previous)
    return put_together(x0.detach(), x.detach(), now, before)


@exercise.disguise("variance-is-beta")
def variance_is_beta_too(schedule, x0, x, timesteps, previous=None):
    now, before = levels(schedule, timesteps, previous)
    mean = put_together(x0, x, now, before).mean
    return Gaussian(mean, per_sample((before - now) / before, x))


@exercise.disguise("alpha-bar-for-alpha")
def alpha_bar_for_alpha_too(schedule, x0, x, timesteps, previous=None):
    a, b = levels(schedule, timesteps, previous)
    right = put_together(x0, x, a, b)
    part = per_sample(a.sqrt() * (1 - b) / (1 - a) * (1 - (1 / b).sqrt()), x)
    return Gaussian(right.mean + part * x, right.variance)


@exercise.right("by how sure each is")
def by_precision(schedule, x0, x, timesteps, previous=None):
    now, before = levels(schedule, timesteps, previous)
    left = now / before
    variance = (1 - before) * (1 - left) / ((1 - before) * left + 1 - left)
    of_x0 = before.sqrt() * (1 - left) / ((1 - before) * left + 1 - left)
    of_x = left.sqrt() * (1 - before) / ((1 - before) * left + 1 - left)
    weights = [per_sample(weight, x) for weight in (of_x0, of_x, variance)]
    return Gaussian(weights[0] * x0 + weights[1] * x, weights[2])


@exercise.right("from the noise in x")
def from_the_noise(schedule, x0, x, timesteps, previous=None):
    now, before = levels(schedule, timesteps, previous)
    variance = (1 - before) * (before - now) / (before * (1 - now))
    noise = (x.double() - per_sample(now.sqrt(), x.double()) * x0) / per_sample(
        (1 - now).sqrt(), x.double()
    )
    along = per_sample((1 - before - variance).clamp(min=0).sqrt(), x.double())
    mean = per_sample(before.sqrt(), x.double()) * x0.double() + along * noise
    return Gaussian(mean.to(x.dtype), per_sample(variance, x))


@exercise.right("sample by sample")
def sample_by_sample(schedule, x0, x, timesteps, previous=None):
    now, before = levels(schedule, timesteps, previous)
    means, variances = [], []
    for one, noisy, a, b in zip(x0, x, now.tolist(), before.tolist(), strict=True):
        beta = 1 - a / b
        means.append((b**0.5 * beta * one + (a / b) ** 0.5 * (1 - b) * noisy) / (1 - a))
        variances.append((1 - b) / (1 - a) * beta)
    variances = torch.tensor(variances, dtype=x.dtype, device=x.device)
    return Gaussian(torch.stack(means), variances.view(-1, *[1] * (x.ndim - 1)))
