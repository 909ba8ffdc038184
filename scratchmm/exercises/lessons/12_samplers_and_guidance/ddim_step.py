"""Exercise ddim.ddim_step: split x into x0 and noise, and mix both at an earlier level."""

import math

import torch

from scratchmm.diffusion.process import Schedule
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="ddim.ddim_step",
    order=30,
    target="scratchmm.diffusion.ddim:ddim_step",
    title="A step of any length",
    goal="split x into x0 and noise, mix both at the earlier level; eta: the noise drawn anew",
    minutes=30,
    difficulty=4,
    section="Fewer steps",
    needs=("process.x0_and_noise",),
    parts=("_check_eta", "_checked_alpha"),
    hints="""
        1. Levels 0.36 now and 0.64 before, x = 1 and the predicted noise 0.5: x0 is (1 - 0.8 * 0.5)
           / 0.6 = 1, and x becomes 0.8 * 1 + 0.6 * 0.5 = 1.1. With clamp 0.9 the noise becomes
           (1 - 0.6 * 0.9) / 0.8 = 0.575.
        2. The same x0 and noise, mixed at an earlier level, are where x came from, however far away.
           Drawn noise may replace a part, eta^2 of the posterior's variance; the predicted noise
           gets the rest of 1 - alpha_bar, so that the variance of the whole stays.
        3. Levels (B,) now and before. x0 and noise from the prediction and its target; clamp x0; if
           follow_clamp, the noise again from it. Three rates (B,), shaped to x, mix the three.
        4. before = schedule.at(previous, final_alpha); x0 = clamped(x0_and_noise(predicted, x, now,
           target).x0, clamp); where it follows, predicted_noise = x0_and_noise(x0, x, now,
           'x0').noise; variance = eta**2 * step_variance(now, before); x = per_sample(before.sqrt(),
           x) * x0 + per_sample((1 - before - variance).clamp(min=0).sqrt(), x) * predicted_noise,
           and per_sample(variance.sqrt(), x) * noise on top; Step(x, x0)
    """,
)


def schedule():
    """Ten levels from 0.96 down to 0.06, float64."""
    return Schedule(torch.linspace(0.96, 0.06, 10, dtype=torch.float64))


def times(case, B):
    """Timesteps and earlier ones, each sample its own; none is the clean image."""
    now = case.permutation(6)[:B] + 4
    return case.named(now, "B"), case.named(now - 1 - case.integers(0, 4, B=B), "B")


def parts_of(predicted, x, near, far, target):
    """x0 and noise of x = near * x0 + far * noise."""
    if target == "noise":
        return (x - far * predicted) / near, predicted
    if target == "x0":
        return predicted, (x - near * predicted) / far
    if target == "velocity":
        return near * x - far * predicted, far * x + near * predicted
    raise ValueError(f"target {target}")


def refuse(now, before, noise, eta, clamp, final_alpha):
    if not 0 <= eta <= 1 or (noise is None and eta != 0) or bool((before >= now).any()):
        raise ValueError(f"eta {eta}, from {now} to {before}")
    if not 0 < final_alpha <= 1 or (clamp is not None and clamp <= 0):
        raise ValueError(f"final_alpha {final_alpha}, clamp {clamp}")


@exercise.right("sample by sample")
def slow(schedule, predicted, x, now, before, noise=None, *, target="noise", eta=0.0, clamp=None,
         follow_clamp=True, final_alpha=1.0):  # fmt: skip
    """The oracle, one sample at a time: x and x0."""
    refuse(now, before, noise, eta, clamp, final_alpha)
    levels, rows = schedule.alpha_bar.tolist(), []
    for i, (t, earlier) in enumerate(zip(now.tolist(), before.tolist(), strict=True)):
        a, b = levels[t], final_alpha if earlier < 0 else levels[earlier]
        near, far = math.sqrt(a), math.sqrt(1 - a)
        x0, predicted_noise = parts_of(predicted[i], x[i], near, far, target)
        if clamp is not None:
            x0 = x0.clamp(min=-clamp).clamp(max=clamp)
            predicted_noise = (x[i] - near * x0) / far if follow_clamp else predicted_noise
        sigma = eta * math.sqrt((1 - b) / (1 - a)) * math.sqrt(1 - a / b)
        moved = math.sqrt(b) * x0 + math.sqrt(max(1 - b - sigma**2, 0.0)) * predicted_noise
        rows.append((moved if sigma == 0 else moved + sigma * noise[i], x0))
    return torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])


def compared(case, ddim_step, now, before, noise=None, axes=None, **options):
    """One call on random numbers against the oracle."""
    axes = {"B": 4, "D": 3} if axes is None else axes
    given = schedule(), case.normal(**axes), case.normal(**axes), now, before, noise
    expected = slow(*given, **options)
    case.equal(case.call(ddim_step, *given, **options), expected, "x and x0")


@exercise.holds("given the true noise, x is the same x0 and noise at the earlier level")
def same_mixture(ddim_step, case):
    x0, noise = case.normal(B=4, D=3), case.normal(B=4, D=3)
    now, before = times(case, 4)
    a, b = schedule().alpha_bar[now].float()[:, None], schedule().alpha_bar[before].float()[:, None]
    x = case.named(a.sqrt() * x0 + (1 - a).sqrt() * noise, "B D")
    got = case.call(ddim_step, schedule(), noise, x, now, before)
    case.equal(got, (b.sqrt() * x0 + (1 - b).sqrt() * noise, x0), tolerance=1e-3)


@exercise.holds("the drawn noise has eta^2 of the posterior variance, the predicted noise the rest")
def stochastic(ddim_step, case):
    for eta in (0.0, 0.5, 1.0):
        compared(case, ddim_step, *times(case, 4), case.normal(B=4, D=3), eta=eta)


@exercise.holds("at timestep -1 alpha_bar is final_alpha; where that is 1, x becomes x0")
def last_step(ddim_step, case):
    now, before = case.integers(3, 9, B=4), case.named(torch.tensor([-1, 1, -1, 0]), "B")
    for final_alpha in (1.0, 0.9):
        compared(case, ddim_step, now, before, final_alpha=final_alpha)
        noise = case.normal(B=4, D=3)
        compared(case, ddim_step, now, before, noise, eta=0.6, final_alpha=final_alpha)


@exercise.holds("the noise, x0 or the velocity may be predicted, and images may have any axes")
def targets(ddim_step, case):
    for target in ("noise", "x0", "velocity"):
        axes = {"B": 4, "C": 3, "H": 5, "W": 6}
        compared(case, ddim_step, *times(case, 4), axes=axes, target=target)


@exercise.holds("x0 is clamped, and the noise is computed again from it unless follow_clamp=False")
def clamp(ddim_step, case):
    for target, bound in (("noise", 1.0), ("x0", 0.5), ("velocity", 0.7)):
        compared(case, ddim_step, *times(case, 4), clamp=bound, target=target)
        compared(case, ddim_step, *times(case, 4), clamp=bound, target=target, follow_clamp=False)


@exercise.holds("the gradients reach the prediction, x and the noise")
def gradients(ddim_step, case):
    now, before = times(case, 3)

    def x_of(step):
        return lambda *given: step(schedule(), *given[:2], now, before, given[2], eta=0.5)[0]

    case.gradients(x_of(ddim_step), x_of(slow), *(case.normal(B=3, D=2) for _ in range(3)))


@exercise.holds("the prediction, x, the noise and the timesteps stay as they were")
def unchanged(ddim_step, case):
    predicted, x, noise = (case.normal(B=3, D=2) for _ in range(3))
    given = schedule(), predicted, x, *times(case, 3), noise
    case.call(ddim_step, *given, target="x0", eta=0.5, clamp=0.4)
    case.unchanged()


@exercise.holds("what the docstring refuses is refused with a ValueError")
def refusals(ddim_step, case):
    predicted, x, noise = (case.normal(B=2, D=3) for _ in range(3))
    now, before = times(case, 2)
    given = schedule(), predicted, x, now
    case.refuses(ValueError, ddim_step, *given, before, eta=0.5)
    for earlier in (now, now.where(torch.tensor([True, False]), before)):
        case.refuses(ValueError, ddim_step, *given, earlier)
    for option in (
        {"eta": 1.5}, {"eta": -0.5}, {"final_alpha": 0.0}, {"final_alpha": -0.5},
        {"final_alpha": 1.5}, {"target": "epsilon"}, {"target": "Noise"}, {"clamp": 0.0},
        {"clamp": -0.5},
    ):  # fmt: skip
        case.refuses(ValueError, ddim_step, *given, before, noise, **option)


exercise.mistakes("""
    first-level-at-the-end [convention]: at timestep -1 alpha_bar is that of 0, as in Stable Diffusion
    - before = schedule.at(previous, _checked_alpha(final_alpha))
    + before = schedule.at(previous, float(schedule.alpha_bar[0]))
    > here it is final_alpha, 1 by default; with the level of 0 a little noise stays

    noise-as-predicted [convention]: the noise stays as predicted when x0 is clamped: diffusers' way
    - if clamp is not None and follow_clamp:
    + if False:
    > here (use_clipped_model_output there) it comes from the clamped x0, unless follow_clamp is False

    prediction-for-noise: the prediction itself is mixed with x0, be it noise, x0 or velocity
    - per_sample(direction, x) * predicted_noise
    + per_sample(direction, x) * predicted
    > mix the noise that x0_and_noise returns, or the one computed again after clamping

    chance-on-top: noise is drawn on top of all the predicted noise: x gets noisier than its level
    - (1 - before - variance).clamp(min=0).sqrt()
    + (1 - before).sqrt()
    > the predicted noise gets what is left: sqrt(1 - before - variance)

    deviations-subtracted: the predicted noise gets sqrt(1 - before) - sigma
    - (1 - before - variance).clamp(min=0).sqrt()
    + (1 - before).sqrt() - variance.sqrt()
    > variances add up, deviations do not: sqrt(1 - before - sigma^2)

    larger-variance [convention]: the drawn noise has the deviation sigma-hat, sqrt(1 - now / before)
    - per_sample(variance.sqrt(), x)
    + per_sample(eta * (1 - now / before).sqrt(), x)
    > sigma of equation 16: eta times the root of (1 - before) / (1 - now) (1 - now / before)
""")

exercise.slips("""
    before.sqrt(), x) => now.sqrt(), x) ;; (1 - before => (1 - now
    schedule.at(previous, => schedule.at(timesteps - 1,
    x, now, target) => x, before.clamp(max=0.9999), target) ;; (1 - before => (1 - now ;;
        before.sqrt(), x) * x0 => now.sqrt(), x) * x0
    return Step( => x = clamped(x, clamp); return Step(
    eta**2 * step_variance(now, before) => (eta**2 * (1 - now / before)).minimum(1 - before)
    now = schedule.at(timesteps) => now = schedule.at(timesteps)[:1].expand(len(x)) ;;
        _checked_alpha(final_alpha)) => _checked_alpha(final_alpha))[:1].expand(len(x))
    x if noise is None else => x if noise is None or bool((previous < 0).any()) else
    step_variance(now, before) => step_variance(before, now)
    = clamped(x0, clamp) => = x0 if clamp is None else x0.clamp(-1, 1)
    = clamped(x0, clamp) => = x0 if clamp is None else x0.clamp(-clamp, clamp)
    x0 = clamped(x0, clamp) => unclamped, x0 = x0, clamped(x0, clamp) ;; noise, x0) => noise, unclamped)
    x0 = clamped(x0, clamp) => x0.copy_(clamped(x0, clamp))
    eta**2 => (eta > 0)
    direction, x) * predicted_noise => (1 - before).sqrt(), x) * (noise if eta else predicted_noise)
        ;; x if noise is None else x + per_sample(variance.sqrt(), x) * noise => x
    Step(x if noise => (x0, x if noise ;; * noise, x0) => * noise)
    return Step( => x = x.double(); return Step(
    now, target) => now, target if target in ("noise", "x0") else "velocity")
    eta**2 => noise is not None
""")


@exercise.right("shaped at once")
def shaped_at_once(schedule, predicted, x, timesteps, previous, noise=None, *, target="noise",
                   eta=0.0, clamp=None, follow_clamp=True, final_alpha=1.0):  # fmt: skip
    refuse(timesteps, previous, noise, eta, clamp, final_alpha)
    shape = -1, *[1] * (x.dim() - 1)
    a = schedule.alpha_bar[timesteps].view(shape)
    b = schedule.alpha_bar[previous].where(previous >= 0, final_alpha).view(shape)
    near, far = a.sqrt().to(x), (1 - a).sqrt().to(x)
    x0, predicted_noise = parts_of(predicted, x, near, far, target)
    if clamp is not None:
        x0 = torch.clamp(x0, -clamp, clamp)
        predicted_noise = (x - near * x0) / far if follow_clamp else predicted_noise
    sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
    moved = b.sqrt().to(x) * x0 + (1 - b - sigma**2).relu().sqrt().to(x) * predicted_noise
    return (moved + sigma.to(x) * noise if eta > 0 else moved), x0
