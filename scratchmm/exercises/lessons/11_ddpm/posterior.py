"""Exercise ddpm.posterior: the distribution of x one step earlier, given x0."""

import math

import torch

from scratchmm.diffusion.ddpm import Gaussian
from scratchmm.diffusion.process import Schedule, per_sample
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="ddpm.posterior",
    order=80,
    target="scratchmm.diffusion.ddpm:posterior",
    title="The posterior, given x0",
    goal="mean and variance of q(x_previous | x, x0); at -1 it is x0, without variance; "
    "ValueError where previous is not before timesteps",
    minutes=25,
    difficulty=3,
    section="The reverse process",
    needs=("process.mix",),
    parts=("step_variance", "_two_levels"),
    hints="""
        1. alpha_bar is 0.8 one step earlier and 0.4 now, x0 is 0 and x is 1. The mean is
           sqrt(0.5) * 0.2 / 0.6 = 0.236, the variance 0.2 / 0.6 * 0.5 = 0.167. At timestep 0 the
           step before is the clean image, with alpha_bar 1: mean x0, variance 0, whatever x is.
        2. Two normal distributions are multiplied: x0 noised up to b = alpha_bar before, and x with
           one step of noise taken back, in which the share a / b is left (a = alpha_bar now). From
           one timestep to the next a / b is the paper's alpha, and 1 - a / b its beta.
        3. previous is timesteps - 1 where it is not given; refuse one that is not before. a and b,
           float64 (B,): schedule.at, with final_alpha=1.0 for the -1. From them the weights of x0
           and x (equation 7) and the variance; per_sample gives (B, 1, ..., 1) in the dtype of x.
        4. of_x0 = b.sqrt() * (1 - a / b) / (1 - a); of_x = (a / b).sqrt() * (1 - b) / (1 - a);
           variance = (1 - b) / (1 - a) * (1 - a / b); return Gaussian(per_sample(of_x0, x) * x0
           + per_sample(of_x, x) * x, per_sample(variance, x))
    """,
)

LEVELS = (0.93, 0.71, 0.52, 0.28, 0.09, 0.02)  # no step is like another


def schedule(levels=LEVELS):
    return Schedule(torch.tensor(levels, dtype=torch.float64))


def some_images(case, dtype=torch.float32):
    """Clean and noisy images: (4, 1, 5)."""
    return tuple(case.normal(B=4, C=1, X=5, dtype=dtype) for _ in range(2))


def by_bayes(levels, x0, x, timesteps, previous):
    """The oracle, sample by sample: the product of what x0 and x tell of the step between."""
    means, variances = [], []
    for one, noisy, now, then in zip(x0, x, timesteps.tolist(), previous.tolist(), strict=True):
        if then < 0:
            means.append(one)
            variances.append(0.0)
            continue
        a, b = levels[now], levels[then]
        forward, backward = 1 / (1 - b), (a / b) / (1 - a / b)  # the two precisions
        variances.append(1 / (forward + backward))
        product = forward * math.sqrt(b) * one + backward * math.sqrt(b / a) * noisy
        means.append(product * variances[-1])
    shape = len(x), *[1] * (x.ndim - 1)
    return Gaussian(torch.stack(means), torch.tensor(variances, dtype=x.dtype).view(shape))


def times(*values):
    return torch.tensor(values)


def compare(case, got, expected):
    case.true(isinstance(got, Gaussian), "a Gaussian(mean, variance)", type(got).__name__)
    case.equal(got.mean, expected.mean, "mean")
    case.equal(got.variance, expected.variance, "variance")


@exercise.holds("before timestep 0 there was x0, for certain: no variance, in the dtype of x")
def certain(posterior, case):
    for dtype in (torch.float32, torch.float64):
        x0, x = some_images(case, dtype)
        got = case.call(posterior, schedule(), x0, x, times(0, 0, 0, 0))
        compare(case, got, Gaussian(x0, torch.zeros(4, 1, 1, dtype=dtype)))


@exercise.holds("x without any noise in it leads to a mean without any, at the level before")
def clean(posterior, case):
    x0, _ = some_images(case)
    x = case.named(math.sqrt(LEVELS[4]) * x0, "B C X")
    got = case.call(posterior, schedule(), x0, x, times(4, 4, 4, 4))
    case.equal(got.mean, math.sqrt(LEVELS[3]) * x0, "mean")


@exercise.holds("one step earlier: mean and variance of equation 7, for each sample's own timestep")
def one_step(posterior, case):
    x0, x = some_images(case)
    got = case.call(posterior, schedule(), x0, x, times(2, 5, 0, 3))
    compare(case, got, by_bayes(LEVELS, x0, x, times(2, 5, 0, 3), times(1, 4, -1, 2)))
    case.unchanged()


@exercise.holds("longer steps: previous may be any earlier timestep, or -1")
def long_steps(posterior, case):
    x0, x = some_images(case)
    given = x0, x, times(5, 2, 4, 5), times(1, -1, 3, 0)
    expected = by_bayes(LEVELS, *given)
    compare(case, case.call(posterior, schedule(), *given), expected)


@exercise.holds("first steps that take a millionth of the image do not drown in rounding")
def tiny_steps(posterior, case):
    x0, x = some_images(case)
    levels = (1 - 1e-7, 1 - 3e-7, 1 - 7e-7, 0.5)
    got = case.call(posterior, schedule(levels), x0, x, times(1, 2, 1, 2))
    expected = by_bayes(levels, x0, x, times(1, 2, 1, 2), times(0, 1, 0, 1))
    case.equal(got.mean, expected.mean, "mean")
    case.equal(got.variance * 1e7, expected.variance * 1e7, "variance, times 10 million")


@exercise.holds("a previous that is not before is refused with a ValueError")
def refused(posterior, case):
    x0, x = some_images(case)
    for previous in (times(3, 4, 5, 5), times(3, 0, 5, 1), times(1, 4, 2, 3)):
        case.refuses(ValueError, posterior, schedule(), x0, x, times(3, 4, 3, 5), previous)


@exercise.holds("the gradients reach x0 and x")
def gradients(posterior, case):
    timesteps = times(2, 5, 1, 0)
    case.gradients(
        lambda x0, x: posterior(schedule(), x0, x, timesteps.clone()).mean,
        lambda x0, x: by_bayes(LEVELS, x0, x, timesteps, timesteps - 1).mean,
        *some_images(case),
    )


exercise.mistakes("""
    alpha-bar-for-alpha: x is weighted by sqrt(alpha_bar), not by sqrt(alpha)
    - (now / before).sqrt()
    + now.sqrt()
    > alpha is what one step leaves: alpha_bar now over alpha_bar before

    alpha-of-one-step: alpha and beta are the schedule's, of one step, however long this step is
    - of_x0 = before.sqrt() * (1 - now / before) / (1 - now)
    - of_x = (now / before).sqrt() * (1 - before) / (1 - now)
    + of_x0 = before.sqrt() * schedule.betas[timesteps] / (1 - now)
    + of_x = (1 - schedule.betas[timesteps]).sqrt() * (1 - before) / (1 - now)
    - step_variance(now, before)
    + (1 - before) / (1 - now) * schedule.betas[timesteps]
    > from previous to now: alpha is alpha_bar now / alpha_bar before

    variance-is-beta: the variance is beta, that of the step forward
    - step_variance(now, before)
    + 1 - now / before
    > given x0 it is smaller: beta times (1 - alpha_bar before) / (1 - alpha_bar)

    mixed-again: x0 is mixed with x as if x were the noise
    - mean = per_sample(of_x0, x) * x0 + per_sample(of_x, x) * x
    + mean = per_sample(before.sqrt(), x) * x0 + per_sample((1 - before).sqrt(), x) * x
    > x is a noisy image: the weights of equation 7 take that into account

    wraps-around: before timestep 0 the last alpha_bar is taken: index -1 counts from the end
    - schedule.at(previous, final_alpha=1.0)
    + schedule.alpha_bar[previous]
    > schedule.at(previous, final_alpha=1.0): -1 is the clean image

    counted-from-one [convention]: timesteps are taken for the paper's, which count from 1
    - return schedule.at(timesteps), schedule.at(previous, final_alpha=1.0)
    + now, before = (timesteps - 1).clamp(min=-1), (previous - 1).clamp(min=-1)
    + return schedule.at(now, final_alpha=1.0), schedule.at(before, final_alpha=1.0)
    > timestep 0 is alpha_bar[0] here, and -1 the clean image

    float32-levels: alpha_bar is made float32 before 1 - alpha_bar, which leaves few digits
    - now, before = _two_levels(schedule, timesteps, previous)
    + now, before = (level.float() for level in _two_levels(schedule, timesteps, previous))
    > stay in float64 until the weights are done
""")

exercise.slips("""
    per_sample(of_x0, x) => per_sample(of_x, x) ;; per_sample(of_x, x) => per_sample(of_x0, x)
    before.sqrt => now.sqrt
    (1 - now / before) / (1 - now) => (1 - now / before) / (1 - before).clamp(min=1e-9) ;;
        .sqrt() * (1 - before) / (1 - now) => .sqrt()
    step_variance(now, before) => step_variance(now, before).clamp(min=1e-20).log()
    step_variance(now, before) => (1 - now) * (1 - now / before) / (1 - before).clamp(min=1e-9)
    per_sample(step_variance(now, before), x) => step_variance(now, before).to(x.dtype)
    per_sample(step_variance(now, before), x) => per_sample(step_variance(now, before), x) + 0 * x
    per_sample(of_x0, x) => of_x0.view(-1, *[1] * (x.ndim - 1))
    Gaussian(mean => (mean
    return Gaussian(mean, per_sample(step_variance(now, before), x)) => return mean
    schedule.at(previous, final_alpha=1.0) => schedule.at(previous.clamp(min=0))
    timesteps.cpu()).all() => timesteps.cpu()).any()
    timesteps - 1 if previous is None => timesteps.sub_(1) if previous is None ;;
        schedule.at(timesteps) => schedule.at(previous + 1)
    of_x0 = before => now, before = now[:1].expand(len(x)), before[:1].expand(len(x)); of_x0 = before
    mean = per_sample => x0, x = x0.detach(), x.detach(); mean = per_sample
    step_variance(now, before) => step_variance(now, before).sqrt()
""")


def levels(schedule, timesteps, previous):
    """alpha_bar now and before, after the refusal."""
    previous = timesteps - 1 if previous is None else previous
    if bool((previous >= timesteps).any()):
        raise ValueError(f"{previous.tolist()} is not before {timesteps.tolist()}")
    return schedule.at(timesteps), schedule.at(previous, final_alpha=1.0)


@exercise.right("from the noise in x")
def from_the_noise(schedule, x0, x, timesteps, previous=None):
    now, before = levels(schedule, timesteps, previous)
    variance = (1 - before) * (before - now) / (before * (1 - now))
    wide = x.double()
    noise = (wide - per_sample(now.sqrt(), wide) * x0) / per_sample((1 - now).sqrt(), wide)
    along = per_sample((1 - before - variance).clamp(min=0).sqrt(), wide)
    mean = per_sample(before.sqrt(), wide) * x0.double() + along * noise
    return Gaussian(mean.to(x.dtype), per_sample(variance, x))


@exercise.right("sample by sample")
def sample_by_sample(schedule, x0, x, timesteps, previous=None):
    now, before = levels(schedule, timesteps, previous)
    means = []
    for one, noisy, a, b in zip(x0, x, now.tolist(), before.tolist(), strict=True):
        means.append((b**0.5 * (1 - a / b) * one + (a / b) ** 0.5 * (1 - b) * noisy) / (1 - a))
    variance = (1 - before) / (1 - now) * (1 - now / before)
    return Gaussian(torch.stack(means), variance.to(x).view(-1, *[1] * (x.ndim - 1)))
