"""Exercise ddpm.ancestral_step: one step of the sampler, from a prediction to a less noisy image."""

import math

import torch

from scratchmm.diffusion.ddpm import posterior, step_variance
from scratchmm.diffusion.process import Step, clamped, per_sample, x0_and_noise
from scratchmm.exercises.format import Exercise, exercise_file

earlier = exercise_file("11_ddpm/posterior")
LEVELS, schedule, times = earlier.LEVELS, earlier.schedule, earlier.times

exercise = Exercise(
    id="ddpm.ancestral_step",
    order=90,
    target="scratchmm.diffusion.ddpm:ancestral_step",
    title="One ancestral step",
    goal="the predicted x0, the posterior's mean, and noise on top, but none before the clean image",
    minutes=30,
    difficulty=4,
    section="The reverse process",
    needs=("ddpm.posterior",),
    hints="""
        1. At timestep 0 with x0 predicted as 0.3, x becomes 0.3 exactly, whatever the noise. At 3,
           with mean 0.5 and variance 0.04, noise 1.0 leads to 0.5 + 0.2 * 1.0 = 0.7, not to 0.54.
        2. The predicted x0 takes the place of the true one in the posterior: it is wrong, but the
           step is small. The mean of all images that x may come from is no image itself: noise
           picks one. Before the clean image there is none to add.
        3. alpha_bar now gives x0, through x0_and_noise and the target; clamp it, then posterior gives
           mean and variance. "beta" takes 1 - alpha_bar now / alpha_bar before for the variance, and
           0 where alpha_bar before is 1. Return the new x and x0.
        4. x0 = clamped(x0_and_noise(predicted, x, schedule.at(timesteps), target).x0, clamp);
           mean, variances = posterior(schedule, x0, x, timesteps, previous); for beta: variances =
           per_sample((1 - now / before) * (before < 1), x); return Step(mean + variances.sqrt() *
           noise, x0)
    """,
)


def three(case):
    """The prediction, x, and noise: (4, 1, 5) each."""
    return *earlier.some_images(case), case.normal(B=4, C=1, X=5)


def by_loops(given, timesteps, target="noise", variance="posterior", clamp=None, previous=None):
    """The oracle, sample by sample: algorithm 2 in Python's numbers, equation 7 for the mean."""
    before = timesteps - 1 if previous is None else previous
    found, clean = [], []
    for one, noisy, added, now, then in zip(
        *given, timesteps.tolist(), before.tolist(), strict=True
    ):
        a, b = LEVELS[now], LEVELS[then] if then >= 0 else 1.0
        signal, dirt = math.sqrt(a), math.sqrt(1 - a)
        x0, velocity = (noisy - dirt * one) / signal, signal * noisy - dirt * one
        x0 = {"noise": x0, "x0": one, "velocity": velocity}[target]
        x0 = x0 if clamp is None else x0.clamp(-clamp, clamp)
        alpha, beta = a / b, 1 - a / b
        mean = math.sqrt(b) * beta / (1 - a) * x0 + math.sqrt(alpha) * (1 - b) / (1 - a) * noisy
        spread = (1 - b) / (1 - a) * beta if variance == "posterior" else beta * (b < 1)
        found.append(mean + math.sqrt(spread) * added)
        clean.append(x0)
    return Step(torch.stack(found), torch.stack(clean))


def judge(case, ancestral_step, timesteps, **options):
    """One call against the oracle."""
    predicted, x, noise = given = three(case)
    expected = by_loops(given, timesteps.clone(), **options)
    got = case.call(ancestral_step, schedule(), predicted, x, timesteps, noise, **options)
    case.true(isinstance(got, Step), "a Step(x, x0)", type(got).__name__)
    for name in ("x", "x0"):
        case.equal(getattr(got, name), getattr(expected, name), name)


@exercise.holds("at the last step x becomes the predicted x0, and no noise is added")
def last_step(ancestral_step, case):
    for variance in ("posterior", "beta"):
        judge(case, ancestral_step, times(0, 0, 0, 0), target="x0", variance=variance)


@exercise.holds("elsewhere x goes to the posterior's mean, and noise times the deviation on top")
def noisy(ancestral_step, case):
    judge(case, ancestral_step, times(3, 3, 3, 3))
    case.unchanged()


@exercise.holds("each sample has its own timestep; a model may also predict x0 or the velocity")
def targets(ancestral_step, case):
    for target in ("noise", "x0", "velocity"):
        judge(case, ancestral_step, times(2, 0, 5, 1), target=target)


@exercise.holds('with variance "beta" the noise has the variance beta, but none at the last step')
def betas(ancestral_step, case):
    judge(case, ancestral_step, times(2, 4, 1, 3), variance="beta")
    judge(case, ancestral_step, times(0, 4, 0, 3), variance="beta")


@exercise.holds("with clamp x0 is held to -clamp..clamp, and x follows")
def clamps(ancestral_step, case):
    judge(case, ancestral_step, times(5, 4, 1, 0), clamp=0.6)
    judge(case, ancestral_step, times(5, 4, 2, 0), clamp=1.7, target="x0")


@exercise.holds("longer steps: previous may be any earlier timestep, and after -1 nothing is noise")
def long_steps(ancestral_step, case):
    for variance in ("beta", "posterior"):
        previous = times(1, -1, 3, 0)
        judge(case, ancestral_step, times(5, 2, 4, 5), previous=previous, variance=variance)


def refuses(sentence, **options):
    """A property: each of these values of an option is refused."""

    @exercise.holds(sentence)
    def property(ancestral_step, case):
        for option in ({name: value} for name, each in options.items() for value in each):
            predicted, x, noise = three(case)
            given = schedule(), predicted, x, times(3, 4, 2, 1), noise
            case.refuses(ValueError, ancestral_step, *given, **option)


refuses("a variance or a target that is none is refused with a ValueError",
    variance=("learned", ""), target=("epsilon", "Noise"))  # fmt: skip
refuses("a clamp not above 0, or a previous that is not before, is refused: ValueError",
    clamp=(0.0, -0.5), previous=(times(2, 3, 2, 0), times(2, 3, 4, 0)))  # fmt: skip


@exercise.holds("the gradients reach the prediction, x and the noise")
def gradients(ancestral_step, case):
    case.gradients(
        lambda predicted, x, noise: ancestral_step(schedule(), predicted, x, times(2, 3), noise).x,
        lambda *given: by_loops(given, times(2, 3)).x,
        *(case.normal(B=2, X=3) for _ in range(3)),
    )


exercise.mistakes("""
    noise-at-the-last-step: with beta, noise is added at the last step too: it stays in the image
    - per_sample((1 - now / before) * (before < 1), x)
    + per_sample(1 - now / before, x)
    > where alpha_bar before is 1 the image is clean: no noise there

    variance-for-deviation: the noise is multiplied by the variance, not by its root
    - variances.sqrt() * noise
    + variances * noise
    > noise of variance one times s has the variance s * s

    beta-of-one-step: with beta the variance is the schedule's, of one step, however long this is
    - (1 - now / before)
    + schedule.betas[timesteps]
    > from previous to now: 1 - alpha_bar now / alpha_bar before

    asks-the-timestep: noise is left out where the timestep is 0, not where the step ends at -1
    - (before < 1)
    + (timesteps > 0)
    > a longer step may end at the clean image too: compare alpha_bar before

    clamped-too-late: x0 is clamped after the mean was taken, so x does not follow
    - clamped(x0_and_noise(predicted, x, now, target).x0, clamp)
    + x0_and_noise(predicted, x, now, target).x0
    - return Step(mean + variances.sqrt() * noise, x0)
    + return Step(mean + variances.sqrt() * noise, clamped(x0, clamp))
    > clamp first, then the posterior

    x-clamped: x is clamped, not x0
    - clamped(x0_and_noise(predicted, x, now, target).x0, clamp)
    + x0_and_noise(predicted, x, now, target).x0
    - return Step(mean + variances.sqrt() * noise, x0)
    + return Step(clamped(mean + variances.sqrt() * noise, clamp), x0)
    > a noisy image may go beyond -clamp..clamp; what is held there is x0
""")

exercise.slips("""
    variances.sqrt() * noise => (variances > 0) * noise
    mean + variances.sqrt() * noise => variances.sqrt() * (mean + noise) + (variances == 0) * mean
    mean + variances.sqrt() * noise => clamped(mean + variances.sqrt() * noise, clamp)
    now, target).x0 => now, target if target in ("x0", "noise") else "velocity").x0
    clamped(x0_and_noise => (lambda x, c: x if c is None else x.clamp(-c, c))(x0_and_noise
    clamped(x0_and_noise => (lambda x, c: x if c is None else x.clamp(max=c))(x0_and_noise
    noise, x0) => noise, x0_and_noise(predicted, x, now, target).x0)
    x0_and_noise(predicted, x, now, target).x0 => predicted
    now, target).x0 => now, target).noise
    x0_and_noise(predicted, x, now => x0_and_noise(predicted, x, before.clamp(max=1 - 1e-9)
    posterior(schedule, x0, x, timesteps, previous) => posterior(schedule, x0, x, timesteps)
    Step(mean + variances.sqrt() * noise, x0) => mean + variances.sqrt() * noise
    .sqrt() * noise => .sqrt() * noise * (before[0] < 1)
    mean + variances.sqrt() * noise => x0 + variances.sqrt() * noise
    Step(mean + variances.sqrt() * noise, x0) => Step(x.copy_(mean + variances.sqrt() * noise), x0)
    .sqrt() * noise => .sqrt() * torch.randn_like(x)
""")


def levels(schedule, timesteps, previous, variance):
    """alpha_bar now and before, and the variance: (B,) each."""
    previous = timesteps - 1 if previous is None else previous
    if bool((previous >= timesteps).any()):
        raise ValueError(f"{previous} is not before {timesteps}")
    now, before = schedule.at(timesteps), schedule.at(previous, final_alpha=1.0)
    beta = (1 - now / before).where(before < 1, torch.zeros_like(now))
    spreads = {"posterior": step_variance(now, before), "beta": beta}
    if variance not in spreads:
        raise ValueError(f"no variance {variance}")
    return now, before, spreads[variance]


@exercise.right("along the noise")
def along_the_noise(
    schedule, predicted, x, timesteps, noise, *,
    target="noise", variance="posterior", clamp=None, previous=None,
):  # fmt: skip
    now, before, variances = levels(schedule, timesteps, previous, variance)
    x0 = clamped(x0_and_noise(predicted, x, now, target).x0, clamp)
    noise_rate = (x - per_sample(now.sqrt(), x) * x0) / per_sample((1 - now).sqrt(), x)
    kept = (1 - before - step_variance(now, before)).clamp(min=0).sqrt()
    mean = per_sample(before.sqrt(), x) * x0 + per_sample(kept, x) * noise_rate
    return Step(mean + per_sample(variances, x).sqrt() * noise, x0)


@exercise.right("sample by sample")
def sample_by_sample(schedule, predicted, x, timesteps, noise, **options):
    clamp, earlier = options.get("clamp"), options.get("previous")
    variance, target = options.get("variance", "posterior"), options.get("target", "noise")
    steps = []
    for i in range(len(x)):
        row = slice(i, i + 1)
        before = None if earlier is None else earlier[row]
        now, _, spread = levels(schedule, timesteps[row], before, variance)
        x0 = clamped(x0_and_noise(predicted[row], x[row], now, target).x0, clamp)
        mean = posterior(schedule, x0, x[row], timesteps[row], before).mean
        steps.append(Step(mean + per_sample(spread.sqrt(), x[row]) * noise[row], x0))
    return Step(*(torch.cat(parts) for parts in zip(*steps, strict=True)))
