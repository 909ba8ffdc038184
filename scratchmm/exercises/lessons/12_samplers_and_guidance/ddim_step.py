"""Exercise ddim.ddim_step: take x apart, and mix it anew at an earlier level."""

import math

import torch

from scratchmm.diffusion.process import Schedule
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="ddim.ddim_step",
    order=30,
    target="scratchmm.diffusion.ddim:ddim_step",
    title="A step of any length",
    goal="take x apart, clamp x0 if asked, and mix both anew, with as much new noise as eta asks for",
    minutes=30,
    difficulty=4,
    section="Fewer steps",
    needs=("process.x0_and_noise",),
    parts=("_check_eta", "_checked_alpha"),
    hints=(
        "Levels 0.36 now and 0.64 before: the roots are 0.6 and 0.8, then 0.8 and 0.6. x = 1 and the "
        "predicted noise 0.5: x0 is (1 - 0.8 * 0.5) / 0.6 = 1, and x becomes 0.8 * 1 + 0.6 * "
        "0.5 = 1.1. With clamp 0.9 x0 is 0.9, and the noise that then makes up x is (1 - 0.6 * "
        "0.9) / 0.8 = 0.575. From there to timestep -1, with final_alpha 1, x is x0 itself.",
        "What the model predicts holds for x at one level. The same x0 and the same noise, mixed at an "
        "earlier level, is where x came from: however far away that is, no chance is needed. Chance "
        "may replace a part of the noise, eta^2 of the posterior's variance; so that the variance of "
        "the whole stays, the predicted noise gets what is left of 1 - alpha_bar.",
        "Levels (B,) of timesteps and of previous, the latter with final_alpha. Start and noise from "
        "the prediction and its target; clamp x0; if it was clamped and follow_clamp, the noise "
        "again, from the clamped x0. Variance: eta^2 (1 - before) / (1 - now) (1 - now / before). "
        "x: root of before times x0, and root of (1 - before - variance) times the predicted "
        "noise, and root of the variance times the drawn one. All (B,) shaped to x. Refuse an eta "
        "outside of 0 to 1, one above 0 without noise, and a previous that is not before.",
        "before = schedule.at(previous, final_alpha); x0 = clamped(x0_and_noise(predicted, x, "
        "now, target).x0, clamp); predicted_noise = x0_and_noise(x0, x, now, 'x0').noise where it was "
        "clamped and follows; variance = eta**2 * step_variance(now, before); x = "
        "per_sample(before.sqrt(), x) * x0 + per_sample((1 - before - variance).clamp(min=0)"
        ".sqrt(), x) * predicted_noise, then per_sample(variance.sqrt(), x) * noise on top; Step(x, x0)",
    ),
)
TARGETS = ("noise", "x0", "velocity")


def schedule():
    """Ten levels from 0.96 down to 0.06, float64."""
    return Schedule(torch.linspace(0.96, 0.06, 10, dtype=torch.float64))


def times(case, B):
    """Timesteps and earlier ones, each sample its own; none is the clean image."""
    now = case.permutation(6)[:B] + 4
    before = now - 1 - case.integers(0, 4, B=B)
    return case.named(now, "B"), case.named(before, "B")


def apart(predicted, x, level, target):
    """Start and noise of one sample."""
    near, far = math.sqrt(level), math.sqrt(1 - level)
    if target == "noise":
        return (x - far * predicted) / near, predicted
    if target == "x0":
        return predicted, (x - near * predicted) / far
    return near * x - far * predicted, far * x + near * predicted


def slow(predicted, x, now, before, noise=None, *, target="noise", eta=0.0, clamp=None,
         follow_clamp=True, final_alpha=1.0):  # fmt: skip
    """The oracle, one sample at a time: where x goes, and x0."""
    levels, rows = schedule().alpha_bar.tolist(), []
    for i, (t, earlier) in enumerate(zip(now.tolist(), before.tolist(), strict=True)):
        a, b = levels[t], final_alpha if earlier < 0 else levels[earlier]
        x0, noise_rate = apart(predicted[i], x[i], a, target)
        if clamp is not None:
            x0 = torch.minimum(torch.full_like(x0, clamp), x0)
            x0 = torch.maximum(torch.full_like(x0, -clamp), x0)
            if follow_clamp:
                noise_rate = (x[i] - math.sqrt(a) * x0) / math.sqrt(1 - a)
        variances = eta * math.sqrt((1 - b) / (1 - a)) * math.sqrt(1 - a / b)
        moved = math.sqrt(b) * x0 + math.sqrt(max(1 - b - variances**2, 0.0)) * noise_rate
        rows.append((moved if variances == 0 else moved + variances * noise[i], x0))
    return torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])


def compared(case, ddim_step, now, before, noise=None, axes=None, **options):
    """One call on random numbers against the oracle: a pair of x and x0."""
    axes = {"B": len(now), "D": 3} if axes is None else axes
    predicted, x = case.normal(**axes), case.normal(**axes)
    got = case.call(ddim_step, schedule(), predicted, x, now, before, noise, **options)
    case.true(isinstance(got, tuple) and len(got) == 2, "a pair, x and x0", got)
    expected = slow(predicted, x, now, before, noise, **options)
    case.equal(got[1], expected[1], "x0")
    case.equal(got[0], expected[0], "x")


@exercise.holds("told what x is made of, it gives the same x0 and noise at the earlier level")
def same_mixture(ddim_step, case):
    x0, noise = case.normal(B=4, D=3), case.normal(B=4, D=3)
    now, before = times(case, 4)
    a, b = schedule().alpha_bar[now].float()[:, None], schedule().alpha_bar[before].float()[:, None]
    x = case.named(a.sqrt() * x0 + (1 - a).sqrt() * noise, "B D")
    got = case.call(ddim_step, schedule(), noise, x, now, before)
    case.equal(got, (b.sqrt() * x0 + (1 - b).sqrt() * noise, x0), tolerance=1e-3)


@exercise.holds("the last step, to timestep -1, gives x0, also with all chance there is")
def to_x0(ddim_step, case):
    now, before = case.integers(0, 6, B=4), case.named(torch.full((4,), -1), "B")
    compared(case, ddim_step, now, before)
    compared(case, ddim_step, now, before, case.normal(B=4, D=3), eta=1.0)


@exercise.holds("at timestep -1 alpha_bar is final_alpha")
def final(ddim_step, case):
    now, before = case.integers(3, 9, B=4), case.named(torch.tensor([-1, 1, -1, 0]), "B")
    compared(case, ddim_step, now, before, final_alpha=0.9)
    compared(case, ddim_step, now, before, case.normal(B=4, D=3), eta=1.0, final_alpha=0.9)


@exercise.holds("what is predicted may be the noise, x0 or the velocity")
def targets(ddim_step, case):
    for target in TARGETS:
        compared(case, ddim_step, *times(case, 3), target=target)


@exercise.holds("each image of a batch has timesteps of its own")
def some_images(ddim_step, case):
    compared(case, ddim_step, *times(case, 4), axes={"B": 4, "C": 3, "X": 5, "Y": 6})


@exercise.holds("with eta 1 the drawn noise has the posterior's variance, the predicted the rest")
def all_chance(ddim_step, case):
    compared(case, ddim_step, *times(case, 4), case.normal(B=4, D=3), eta=1.0)


@exercise.holds("with eta 0.5 the drawn noise has a quarter of that variance")
def half_chance(ddim_step, case):
    compared(case, ddim_step, *times(case, 4), case.normal(B=4, D=3), eta=0.5)


@exercise.holds("with eta 0 noise that is given does nothing")
def no_chance(ddim_step, case):
    compared(case, ddim_step, *times(case, 4), case.normal(B=4, D=3))


@exercise.holds("x0 is held to -clamp..clamp, and the noise is worked out anew from it")
def clamp(ddim_step, case):
    for bound in (1.0, 0.5):
        compared(case, ddim_step, *times(case, 4), clamp=bound)


@exercise.holds("with follow_clamp=False x0 is clamped, but the noise stays as predicted")
def unfollowed(ddim_step, case):
    for target in TARGETS:
        compared(case, ddim_step, *times(case, 4), clamp=0.7, follow_clamp=False, target=target)


@exercise.holds("clamping and chance go together")
def clip_and_chance(ddim_step, case):
    noise = case.normal(B=4, D=3)
    compared(case, ddim_step, *times(case, 4), noise, eta=0.8, clamp=0.6, target="velocity")


@exercise.holds("levels are float64, but x and x0 have the dtype of x")
def kinds(ddim_step, case):
    predicted, x, noise = (case.normal(B=3, D=2) for _ in range(3))
    got = case.call(ddim_step, schedule(), predicted, x, *times(case, 3), noise, eta=0.5)
    told = {name: str(one.dtype) for name, one in zip(("x", "x0"), got, strict=True)}
    case.equal(told, dict.fromkeys(told, "torch.float32"))


@exercise.holds("x, the prediction, the noise and the timesteps stay as they were")
def unchanged(ddim_step, case):
    predicted, x, noise = (case.normal(B=3, D=2) for _ in range(3))
    case.call(ddim_step, schedule(), predicted, x, *times(case, 3), noise, eta=0.5, clamp=0.4)
    case.unchanged()


@exercise.holds("eta above 1 or below 0, and eta above 0 without noise, is refused: ValueError")
def refused_chance(ddim_step, case):
    predicted, x = case.normal(B=2, D=3), case.normal(B=2, D=3)
    now, before = times(case, 2)
    for eta, noise in ((1.5, x), (-0.5, x), (0.5, None)):
        case.refuses(
            ValueError, lambda *given, eta=eta: ddim_step(*given, eta=eta),
            schedule(), predicted, x, now, before, noise,
        )  # fmt: skip


@exercise.holds("a previous timestep that is not before is refused with a ValueError")
def refused_times(ddim_step, case):
    predicted, x = case.normal(B=2, D=3), case.normal(B=2, D=3)
    now, before = times(case, 2)
    for earlier in (now, now.where(torch.tensor([True, False]), before)):
        case.refuses(ValueError, ddim_step, schedule(), predicted, x, now, earlier)


@exercise.holds("a final_alpha that is not above 0 and at most 1 is refused with a ValueError")
def refused_final(ddim_step, case):
    predicted, x = case.normal(B=2, D=3), case.normal(B=2, D=3)
    for final_alpha in (0.0, -0.5, 1.5):
        given = schedule(), predicted, x, *times(case, 2)
        case.refuses(ValueError, ddim_step, *given, final_alpha=final_alpha)


@exercise.holds("a target that is none is refused with a ValueError")
def refused_target(ddim_step, case):
    predicted, x = case.normal(B=2, D=3), case.normal(B=2, D=3)
    for target in ("epsilon", "Noise"):
        case.refuses(
            ValueError, ddim_step, schedule(), predicted, x, *times(case, 2), target=target
        )


@exercise.holds("a clamp that is not above 0 is refused with a ValueError")
def refused_clip(ddim_step, case):
    predicted, x = case.normal(B=2, D=3), case.normal(B=2, D=3)
    for bound in (0.0, -0.5):
        case.refuses(ValueError, ddim_step, schedule(), predicted, x, *times(case, 2), clamp=bound)
