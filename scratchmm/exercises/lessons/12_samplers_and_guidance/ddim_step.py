"""Exercise ddim.ddim_step: take x apart, and mix it anew at an earlier level."""

import math

import torch

from scratchmm.diffusion.schedule import Schedule
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="ddim.ddim_step",
    order=30,
    target="scratchmm.diffusion.ddim:ddim_step",
    title="A step of any length",
    goal="take x apart, clip the start if asked, and mix both anew, with as much chance as eta says",
    minutes=30,
    difficulty=4,
    section="Fewer steps",
    needs=("ddpm.start_and_noise",),
    parts=("_check_chance", "_checked_alpha"),
    hints=(
        "Levels 0.36 now and 0.64 before: the roots are 0.6 and 0.8, then 0.8 and 0.6. x = 1 and the "
        "predicted noise 0.5: the start is (1 - 0.8 * 0.5) / 0.6 = 1, and x becomes 0.8 * 1 + 0.6 * "
        "0.5 = 1.1. With clip 0.9 the start is 0.9, and the noise that then makes up x is (1 - 0.6 * "
        "0.9) / 0.8 = 0.575. From there to timestep -1, with final_alpha 1, x is the start itself.",
        "What the model says holds for x at one level. The same start and the same noise, mixed at an "
        "earlier level, is where x came from: however far away that is, no chance is needed. Chance "
        "may replace a part of the noise, eta^2 of the posterior's variance; so that the variance of "
        "the whole stays, the predicted noise gets what is left of 1 - alpha_bar.",
        "Levels (B,) of timesteps and of previous, the latter with final_alpha. Start and noise from "
        "the prediction and its target; clip the start; if it was clipped and follow_clip, the noise "
        "again, from the clipped start. Variance: eta^2 (1 - before) / (1 - now) (1 - now / before). "
        "x: root of before times start, and root of (1 - before - variance) times the predicted "
        "noise, and root of the variance times the drawn one. All (B,) shaped to x. Refuse an eta "
        "outside of 0 to 1, one above 0 without noise, and a previous that is not before.",
        "before = schedule.at(previous, final_alpha); start = clipped(start_and_noise(predicted, x, "
        "now, target).start, clip); said = start_and_noise(start, x, now, 'start').noise where it was "
        "clipped and follows; variance = eta**2 * step_variance(now, before); x = "
        "per_sample(before.sqrt(), x) * start + per_sample((1 - before - variance).clamp(min=0)"
        ".sqrt(), x) * said, then per_sample(variance.sqrt(), x) * noise on top; Step(x, start)",
    ),
)
TARGETS = ("noise", "start", "velocity")


def schedule():
    """Ten levels from 0.96 down to 0.06, float64."""
    return Schedule(torch.linspace(0.96, 0.06, 10, dtype=torch.float64))


def times(case, B):
    """Timesteps and earlier ones, each sample its own; none is the clean image."""
    now = case.permutation(6)[:B] + 4
    before = now - 1 - case.integers(0, 4, B=B)
    return case.named(now, "B"), case.named(before, "B")


def apart(said, x, level, target):
    """Start and noise of one sample."""
    near, far = math.sqrt(level), math.sqrt(1 - level)
    if target == "noise":
        return (x - far * said) / near, said
    if target == "start":
        return said, (x - near * said) / far
    return near * x - far * said, far * x + near * said


def slow(said, x, now, before, noise=None, *, target="noise", eta=0.0, clip=None, follow_clip=True,
         final_alpha=1.0):  # fmt: skip
    """The oracle, one sample at a time: where x goes, and the start."""
    levels, rows = schedule().alpha_bar.tolist(), []
    for i, (t, earlier) in enumerate(zip(now.tolist(), before.tolist(), strict=True)):
        a, b = levels[t], final_alpha if earlier < 0 else levels[earlier]
        start, dirt = apart(said[i], x[i], a, target)
        if clip is not None:
            start = torch.minimum(torch.full_like(start, clip), start)
            start = torch.maximum(torch.full_like(start, -clip), start)
            if follow_clip:
                dirt = (x[i] - math.sqrt(a) * start) / math.sqrt(1 - a)
        spread = eta * math.sqrt((1 - b) / (1 - a)) * math.sqrt(1 - a / b)
        moved = math.sqrt(b) * start + math.sqrt(max(1 - b - spread**2, 0.0)) * dirt
        rows.append((moved if spread == 0 else moved + spread * noise[i], start))
    return torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])


def compared(case, ddim_step, now, before, noise=None, axes=None, **options):
    """One call on random numbers against the oracle: a pair of x and start."""
    axes = {"B": len(now), "D": 3} if axes is None else axes
    said, x = case.normal(**axes), case.normal(**axes)
    got = case.call(ddim_step, schedule(), said, x, now, before, noise, **options)
    case.true(isinstance(got, tuple) and len(got) == 2, "a pair, x and the start", got)
    expected = slow(said, x, now, before, noise, **options)
    case.equal(got[1], expected[1], "the start")
    case.equal(got[0], expected[0], "x")


@exercise.holds("told what x is made of, it gives the same start and noise at the earlier level")
def same_mixture(ddim_step, case):
    start, noise = case.normal(B=4, D=3), case.normal(B=4, D=3)
    now, before = times(case, 4)
    a, b = schedule().alpha_bar[now].float()[:, None], schedule().alpha_bar[before].float()[:, None]
    x = case.named(a.sqrt() * start + (1 - a).sqrt() * noise, "B D")
    got = case.call(ddim_step, schedule(), noise, x, now, before)
    case.equal(got, (b.sqrt() * start + (1 - b).sqrt() * noise, start), tolerance=1e-3)


@exercise.holds("the last step, to timestep -1, gives the start, also with all chance there is")
def to_the_start(ddim_step, case):
    now, before = case.integers(0, 6, B=4), case.named(torch.full((4,), -1), "B")
    compared(case, ddim_step, now, before)
    compared(case, ddim_step, now, before, case.normal(B=4, D=3), eta=1.0)


@exercise.holds("at timestep -1 alpha_bar is final_alpha")
def final(ddim_step, case):
    now, before = case.integers(3, 9, B=4), case.named(torch.tensor([-1, 1, -1, 0]), "B")
    compared(case, ddim_step, now, before, final_alpha=0.9)
    compared(case, ddim_step, now, before, case.normal(B=4, D=3), eta=1.0, final_alpha=0.9)


@exercise.holds("what is predicted may be the noise, the start or the velocity")
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


@exercise.holds("the start is held to -clip..clip, and the noise is worked out anew from it")
def clip(ddim_step, case):
    for bound in (1.0, 0.5):
        compared(case, ddim_step, *times(case, 4), clip=bound)


@exercise.holds("with follow_clip=False the start is clipped, but the noise stays as predicted")
def unfollowed(ddim_step, case):
    for target in TARGETS:
        compared(case, ddim_step, *times(case, 4), clip=0.7, follow_clip=False, target=target)


@exercise.holds("clipping and chance go together")
def clip_and_chance(ddim_step, case):
    noise = case.normal(B=4, D=3)
    compared(case, ddim_step, *times(case, 4), noise, eta=0.8, clip=0.6, target="velocity")


@exercise.holds("levels are float64, but x and start have the dtype of x")
def kinds(ddim_step, case):
    said, x, noise = (case.normal(B=3, D=2) for _ in range(3))
    got = case.call(ddim_step, schedule(), said, x, *times(case, 3), noise, eta=0.5)
    told = {name: str(one.dtype) for name, one in zip(("x", "start"), got, strict=True)}
    case.equal(told, dict.fromkeys(told, "torch.float32"))


@exercise.holds("x, the prediction, the noise and the timesteps stay as they were")
def unchanged(ddim_step, case):
    said, x, noise = (case.normal(B=3, D=2) for _ in range(3))
    case.call(ddim_step, schedule(), said, x, *times(case, 3), noise, eta=0.5, clip=0.4)
    case.unchanged()


@exercise.holds("eta above 1 or below 0, and eta above 0 without noise, is refused: ValueError")
def refused_chance(ddim_step, case):
    said, x = case.normal(B=2, D=3), case.normal(B=2, D=3)
    now, before = times(case, 2)
    for eta, noise in ((1.5, x), (-0.5, x), (0.5, None)):
        case.refuses(
            ValueError, lambda *given, eta=eta: ddim_step(*given, eta=eta),
            schedule(), said, x, now, before, noise,
        )  # fmt: skip


@exercise.holds("a previous timestep that is not before is refused with a ValueError")
def refused_times(ddim_step, case):
    said, x = case.normal(B=2, D=3), case.normal(B=2, D=3)
    now, before = times(case, 2)
    for earlier in (now, now.where(torch.tensor([True, False]), before)):
        case.refuses(ValueError, ddim_step, schedule(), said, x, now, earlier)


@exercise.holds("a final_alpha that is not above 0 and at most 1 is refused with a ValueError")
def refused_final(ddim_step, case):
    said, x = case.normal(B=2, D=3), case.normal(B=2, D=3)
    for final_alpha in (0.0, -0.5, 1.5):
        given = schedule(), said, x, *times(case, 2)
        case.refuses(ValueError, ddim_step, *given, final_alpha=final_alpha)


@exercise.holds("a target that is none is refused with a ValueError")
def refused_target(ddim_step, case):
    said, x = case.normal(B=2, D=3), case.normal(B=2, D=3)
    for target in ("epsilon", "Noise"):
        case.refuses(ValueError, ddim_step, schedule(), said, x, *times(case, 2), target=target)


@exercise.holds("a clip that is not above 0 is refused with a ValueError")
def refused_clip(ddim_step, case):
    said, x = case.normal(B=2, D=3), case.normal(B=2, D=3)
    for bound in (0.0, -0.5):
        case.refuses(ValueError, ddim_step, schedule(), said, x, *times(case, 2), clip=bound)
