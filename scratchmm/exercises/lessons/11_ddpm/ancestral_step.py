"""Exercise ddpm.ancestral_step: from what the model predicts to an image that is less noisy."""

import math
from typing import Any

import torch
from torch import Tensor

from scratchmm.diffusion.process import Step
from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise, exercise_file

LEVELS = exercise_file("11_ddpm/posterior").LEVELS
schedule = exercise_file("11_ddpm/posterior").schedule
some_images = exercise_file("11_ddpm/posterior").some_images
times = exercise_file("11_ddpm/posterior").times

exercise = Exercise(
    id="ddpm.ancestral_step",
    order=90,
    target="scratchmm.diffusion.ddpm:ancestral_step",
    title="One ancestral step",
    goal="one line of algorithm 2: what the model takes for x0, the posterior's mean, and "
    "noise on top, but none where the next image is the clean one",
    minutes=30,
    difficulty=4,
    section="The reverse process",
    needs=("ddpm.posterior",),
    hints=(
        "At timestep 0 a model predicts x0 as 0.3. Then x becomes 0.3 exactly, whatever the "
        "noise handed in. At timestep 3, with the posterior's mean 0.5 and its variance 0.04, noise "
        "1.0 leads to 0.5 + 0.2 * 1.0 = 0.7, not to 0.54.",
        "The posterior gives where x was before if x0 were known. The model's prediction of x0 "
        "is put in its place: a wrong guess, but a small step does not trust it far. The mean of all "
        "images that x may come from is no image itself: noise picks one. Before the clean "
        "image there is none to add.",
        "alpha_bar now gives x0, through x0_and_noise and the target; hold it to -clamp..clamp "
        "before it is used. posterior takes x0, x, timesteps and previous, and gives mean and "
        'variance. "beta" takes 1 - alpha_bar now / alpha_bar before for the variance, and 0 where '
        "alpha_bar before is 1; any other name is refused. Return the new x and x0.",
        "x0 = clamped(x0_and_noise(predicted, x, schedule.at(timesteps), target).x0, clamp); "
        "mean, variances = posterior(schedule, x0, x, timesteps, previous); for beta: variances = "
        "per_sample((1 - now / before) * (before < 1), x); return Step(mean + variances.sqrt() * noise, "
        "x0)",
    ),
)


def three(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """What the model predicts, x, and noise: (4, 1, 5) each."""
    predicted, x = some_images(case)
    return predicted, x, case.normal(B=4, C=1, X=5)


def by_loops(
    predicted, x, timesteps, noise, target="noise", variance="posterior", clamp=None, previous=None
):
    """The oracle, sample by sample: algorithm 2 in Python's numbers, equation 7 for the mean."""
    before = timesteps - 1 if previous is None else previous
    steps = zip(predicted, x, noise, timesteps.tolist(), before.tolist(), strict=True)
    found, starts = [], []
    for said, noisy, added, now, then in steps:
        a, b = LEVELS[now], LEVELS[then] if then >= 0 else 1.0
        x0 = {
            "noise": (noisy - math.sqrt(1 - a) * said) / math.sqrt(a),
            "x0": said,
            "velocity": math.sqrt(a) * noisy - math.sqrt(1 - a) * said,
        }[target]
        x0 = x0 if clamp is None else x0.clamp(-clamp, clamp)
        alpha, beta = a / b, 1 - a / b
        mean = math.sqrt(b) * beta / (1 - a) * x0 + math.sqrt(alpha) * (1 - b) / (1 - a) * noisy
        variances = {"posterior": (1 - b) / (1 - a) * beta, "beta": beta if b < 1 else 0.0}[
            variance
        ]
        found.append(mean + math.sqrt(variances) * added)
        starts.append(x0)
    return Step(torch.stack(found), torch.stack(starts))


def compare(case: Case, got: Any, expected: Step) -> None:
    case.true(isinstance(got, Step), "a Step(x, x0)", type(got).__name__)
    case.equal(got.x, expected.x, "x")
    case.equal(got.x0, expected.x0, "x0")


def judge(case: Case, ancestral_step: Any, timesteps: Tensor, **options: Any) -> None:
    """One call against the oracle."""
    predicted, x, noise = three(case)
    expected = by_loops(predicted, x, timesteps.clone(), noise, **options)
    got = case.call(ancestral_step, schedule(), predicted, x, timesteps, noise, **options)
    compare(case, got, expected)


@exercise.holds("at the last step x becomes x0 that the model sees, and no noise is added")
def last_step(ancestral_step, case):
    for variance in ("posterior", "beta"):
        options = {"target": "x0", "variance": variance}
        predicted, x, noise = three(case)
        got = case.call(
            ancestral_step, schedule(), predicted, x, times(0, 0, 0, 0), noise, **options
        )
        compare(case, got, Step(predicted, predicted))


@exercise.holds("without noise x goes to the mean of the posterior of what the model predicts")
def means(ancestral_step, case):
    predicted, x, _ = three(case)
    timesteps, silence = times(2, 5, 1, 3), case.named(torch.zeros(4, 1, 5), "B C X")
    got = case.call(ancestral_step, schedule(), predicted, x, timesteps, silence)
    compare(case, got, by_loops(predicted, x, timesteps, silence))


@exercise.holds("noise is added on top, times the posterior's standard deviation")
def noisy(ancestral_step, case):
    judge(case, ancestral_step, times(3, 3, 3, 3))


@exercise.holds("each sample has a timestep of its own, some of them the last")
def own_timesteps(ancestral_step, case):
    judge(case, ancestral_step, times(2, 0, 5, 1))


@exercise.holds("a model may also predict x0, or the velocity")
def targets(ancestral_step, case):
    for target in ("x0", "velocity"):
        judge(case, ancestral_step, times(2, 4, 1, 3), target=target)


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
        options = {"previous": times(1, -1, 3, 0), "variance": variance}
        judge(case, ancestral_step, times(5, 2, 4, 5), **options)


@exercise.holds("a variance that is none of the two is refused with a ValueError")
def refused(ancestral_step, case):
    for variance in ("learned", ""):
        options = {"variance": variance}
        case.refuses(
            ValueError, ancestral_step, schedule(), *three(case)[:2], times(3, 4, 2, 1),
            case.normal(B=4, C=1, X=5), **options,
        )  # fmt: skip


def refuses(case, ancestral_step, **options):
    predicted, x, noise = three(case)
    given = schedule(), predicted, x, times(3, 4, 2, 1), noise
    case.refuses(ValueError, ancestral_step, *given, **options)


@exercise.holds("a target that is none is refused with a ValueError")
def refused_target(ancestral_step, case):
    for target in ("epsilon", "Noise"):
        refuses(case, ancestral_step, target=target)


@exercise.holds("a clamp that is not above 0 is refused with a ValueError")
def refused_clip(ancestral_step, case):
    for clamp in (0.0, -0.5):
        refuses(case, ancestral_step, clamp=clamp)


@exercise.holds("a previous that is not before is refused with a ValueError")
def refused_previous(ancestral_step, case):
    for previous in (times(2, 3, 2, 0), times(2, 3, 4, 0)):
        refuses(case, ancestral_step, previous=previous)


@exercise.holds("images, noise and timesteps are left as they were")
def unchanged(ancestral_step, case):
    predicted, x, noise = three(case)
    case.call(ancestral_step, schedule(), predicted, x, times(2, 5, 1, 3), noise, clamp=0.5)
    case.unchanged()
