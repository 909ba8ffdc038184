"""Exercise process.diffusion_loss: how wrong is a model about what was mixed into its images?"""

from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.diffusion.process import Schedule
from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="process.diffusion_loss",
    order=70,
    target="scratchmm.diffusion.process:diffusion_loss",
    title="One loss",
    goal="mix, ask the model, and return the mean squared error to what it should have predicted",
    minutes=25,
    difficulty=3,
    section="One loss",
    needs=("process.mix",),
    hints=(
        "Two samples of one value, x0 0 and 0, noise 1 and -3, a model that always predicts 0: the "
        "loss is (1 + 9) / 2 = 5. With timesteps [2, 0] the first sample is mixed with the "
        "schedule's third alpha_bar, the second with its first, and the model is told [2, 0].",
        "Training never walks through the steps. It jumps: every sample lands at a step of its own, "
        "by chance, is mixed there in one go, and the model predicts what it was mixed with. One step "
        "for the whole batch would be right on average too, but every batch would pull another way.",
        "Where timesteps are missing draw B whole numbers, each of 0 to len(schedule) - 1; where "
        "noise is missing draw as much as x0 has; both from the generator. The schedule's "
        "alpha_bar at those timesteps: (B,). Mix x0 and noise: (B, ...). The model gets that, the "
        "timesteps and the condition. Refuse another shape than what is expected. The mean "
        "over everything.",
        "timesteps = torch.randint(len(schedule), (len(x0),), generator=generator); noise = "
        "draw_noise(x0, generator); alpha_bar = schedule.at(timesteps); predicted = model(mix("
        "x0, noise, alpha_bar), timesteps, **condition); return F.mse_loss(predicted, "
        "target_of(x0, noise, alpha_bar, target)), with a ValueError before it",
    ),
)
LEVELS = (0.95, 0.8, 0.5, 0.2, 0.06)


def schedule() -> Schedule:
    return Schedule(torch.tensor(LEVELS, dtype=torch.float64))


def batch(case: Case, **axes: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Start, timesteps (of four samples: 4, 0, 2, 2) and noise."""
    axes = axes or {"C": 2, "X": 3}
    timesteps = case.named(torch.tensor([4, 0, 2, 2]), "B")
    return case.normal(B=4, **axes), timesteps, case.normal(B=4, **axes)


def mixed(x0: Tensor, timesteps: Tensor, noise: Tensor, turn: int = 0) -> Tensor:
    """The oracle: sample by sample; with turn 1 the velocity, what comes a quarter turn later."""
    found = []
    for one, timestep, other in zip(x0, timesteps.tolist(), noise, strict=True):
        image, noise_rate = LEVELS[timestep] ** 0.5, (1 - LEVELS[timestep]) ** 0.5
        found.append(image * other - noise_rate * one if turn else image * one + noise_rate * other)
    return torch.stack(found)


def zeros(x: Tensor, timesteps: Tensor) -> Tensor:
    """A model that always predicts 0."""
    return torch.zeros_like(x)


def named(function, diffusion_loss):
    """The function under the learner's name, for the message."""
    function.__name__ = diffusion_loss.__name__
    return function


def told(diffusion_loss, look):
    """A function that calls the learner's and gives what `look` sees in what the model is given."""

    def function(schedule, x0, **options):
        seen = []

        def model(x, timesteps, **condition):
            seen.append(look(x, timesteps, **condition))
            return torch.zeros_like(x)

        diffusion_loss(model, schedule, x0, **options)
        return seen[0] if len(seen) == 1 else seen

    return named(function, diffusion_loss)


@exercise.holds("of a model that predicts 0, the loss is the mean square of the noise")
def mean_square(diffusion_loss, case):
    x0, timesteps, noise = batch(case)
    got = case.call(diffusion_loss, zeros, schedule(), x0, timesteps=timesteps, noise=3 * noise)
    case.equal(got, 9 * (noise**2).mean())


@exercise.holds("the model sees each sample mixed at the sample's own timestep, and is told which")
def own_timestep(diffusion_loss, case):
    look = told(diffusion_loss, lambda x, timesteps: (x, timesteps))
    x0, timesteps, noise = batch(case)
    got = case.call(look, schedule(), x0, timesteps=timesteps, noise=noise)
    case.true(len(got) == 2, "one call of the model", f"{len(got)} calls")
    case.equal(got[0], mixed(x0, timesteps, noise), "what the model sees")
    case.equal(got[1], timesteps, "the timesteps that the model is told")


def wanted_by(target, x0, timesteps, noise):
    """What a model of this target should say."""
    if target == "velocity":
        return mixed(x0, timesteps, noise, turn=1)
    return noise if target == "noise" else x0


@exercise.holds("what is asked for is the noise, x0 or the velocity, as `target` says")
def asked(diffusion_loss, case):
    for target in ("x0", "velocity", "noise"):
        x0, timesteps, noise = batch(case, X=5)
        options = dict(timesteps=timesteps, noise=noise, target=target)
        got = case.call(diffusion_loss, lambda x, timesteps: 0.3 * x, schedule(), x0, **options)
        error = 0.3 * mixed(x0, timesteps, noise) - wanted_by(target, x0, timesteps, noise)
        case.equal(got, (error**2).mean(), f"the loss where target is {target!r}")


@exercise.holds("what conditions the model is handed on to it")
def condition(diffusion_loss, case):
    look = told(diffusion_loss, lambda x, timesteps, **condition: condition)
    x0, timesteps, noise = batch(case)
    words, mask = case.normal(B=4, T=3, D=5), case.booleans(B=4, T=3)
    options = dict(timesteps=timesteps, noise=noise, words=words, mask=mask)
    got = case.call(look, schedule(), x0, **options)
    case.equal(got, dict(words=words, mask=mask), "what the model is given besides")


@exercise.holds("timesteps that are not given are drawn, for each sample, from all of the schedule")
def drawn_timesteps(diffusion_loss, case):
    def look(x, timesteps):
        counts = timesteps.long().bincount(minlength=5) / len(timesteps)
        return {step: round(5 * share) / 5 for step, share in enumerate(counts.tolist())}

    x0 = case.normal(B=5000, D=1)
    got = case.call(told(diffusion_loss, look), schedule(), x0)
    expected = dict.fromkeys(range(5), 0.2)
    case.equal(got, expected, "the share of samples at each timestep, to a fifth")


@exercise.holds("timesteps that are given are used, though noise is drawn; and the other way round")
def only_one_drawn(diffusion_loss, case):
    x0, timesteps, noise = batch(case)
    look = told(diffusion_loss, lambda x, timesteps: timesteps)
    got = case.call(look, schedule(), x0, timesteps=timesteps)
    case.equal(got, timesteps, "the timesteps that the model is told")
    got = case.call(diffusion_loss, zeros, schedule(), x0, noise=2 * noise)
    case.equal(got, 4 * (noise**2).mean(), "the loss where the noise is given")


def noisiness(timesteps: Tensor) -> Tensor:
    """The factor of the noise at each timestep, (B, 1)."""
    return torch.tensor([1 - LEVELS[t] for t in timesteps.tolist()]).sqrt()[:, None]


@exercise.holds("noise that is not given is drawn, normal, a new number for every value")
def drawn_noise(diffusion_loss, case):
    def look(x, timesteps):
        noise = x / noisiness(timesteps)
        return {
            "mean": round(noise.mean().item(), 1),
            "deviation along the batch": round(noise.std(dim=0).mean().item(), 1),
            "deviation within a sample": round(noise.std(dim=1).mean().item(), 1),
            "share further than 1 from 0": round(noise.abs().gt(1).double().mean().item(), 1),
        }

    x0 = case.named(torch.zeros(400, 500), "B D")
    timesteps = case.named(torch.arange(400) % 5, "B")
    got = case.call(told(diffusion_loss, look), schedule(), x0, timesteps=timesteps)
    deviations = {"deviation along the batch": 1.0, "deviation within a sample": 1.0}
    expected = {"mean": 0.0, **deviations, "share further than 1 from 0": 0.3}
    case.equal(got, expected, "the noise")


@exercise.holds("a model that finds the noise in black images has no loss, whatever is drawn")
def perfect(diffusion_loss, case):
    def finds(x, timesteps):
        return x / noisiness(timesteps)

    def tenths(schedule, x0):
        return round(10 * diffusion_loss(finds, schedule, x0).item()) / 10

    x0 = case.named(torch.zeros(4000, 5), "B D")
    case.equal(
        case.call(named(tenths, diffusion_loss), schedule(), x0), 0.0, "the loss, to a tenth"
    )


@exercise.holds(
    "all chance is the generator's: the same state gives the same loss, the next another"
)
def from_the_generator(diffusion_loss, case):
    def model(x, timesteps):
        return x * timesteps[:, None]

    def thrice(schedule, x0, generator, timesteps, noise):
        state, losses = generator.get_state(), []
        for seed in range(3):
            torch.manual_seed(seed)
            if seed == 1:
                generator.set_state(state)
            options = dict(timesteps=timesteps, noise=noise, generator=generator)
            losses.append(diffusion_loss(model, schedule, x0, **options).item())
        return {"the same state": losses[0] == losses[1], "the next": losses[1] == losses[2]}

    x0, source = case.normal(B=40, D=7), torch.Generator().manual_seed(case.seed + 1)
    given = [(None, None), (torch.arange(40) % 5, None), (None, torch.ones(40, 7))]
    right = {"the same state": True, "the next": False}
    calls = [((schedule(), x0, source, *one), right) for one in given]
    case.each(named(thrice, diffusion_loss), *calls, what="whether two losses are equal")


@exercise.holds("a prediction of another shape is refused with a ValueError, not stretched")
def refused(diffusion_loss, case):
    x0 = case.normal(B=3, D=5)
    case.refuses(ValueError, diffusion_loss, lambda x, timesteps: x[:, :1], schedule(), x0)


@exercise.holds("x0, timesteps and noise are left as they were")
def unchanged(diffusion_loss, case):
    x0, timesteps, noise = batch(case)
    case.call(diffusion_loss, zeros, schedule(), x0, timesteps=timesteps, noise=noise)
    case.unchanged()


@exercise.holds("the gradients reach the model, and through it x0")
def gradients(diffusion_loss, case):
    x0, timesteps, noise = batch(case, D=3)
    layer, noise = case.fill(nn.Linear(3, 3)).double(), noise.double()

    def model(x, timesteps):
        return layer(x) * (1 + timesteps[:, None])

    def oracle(x0):
        predicted = model(mixed(x0, timesteps, noise), timesteps)
        return ((predicted - noise) ** 2).mean()

    case.gradients(
        lambda x0: diffusion_loss(model, schedule(), x0, timesteps=timesteps, noise=noise),
        oracle,
        x0,
        parameters=layer,
    )
