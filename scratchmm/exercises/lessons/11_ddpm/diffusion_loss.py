"""Exercise process.diffusion_loss: the mean squared error of a denoiser, at random timesteps."""

import torch
from torch import nn

from scratchmm.diffusion.process import Schedule, q_sample
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="process.diffusion_loss",
    order=70,
    target="scratchmm.diffusion.process:diffusion_loss",
    title="One loss",
    goal="mix, call the model, and return the mean squared error to its target",
    minutes=25,
    difficulty=3,
    section="One loss",
    needs=("process.mix",),
    hints="""
        1. Two samples of one value, x0 0 and 0, noise 1 and -3, a model that always predicts 0: the
           loss is (1 + 9) / 2 = 5. At timesteps [2, 0] one is mixed with the third alpha_bar.
        2. Every sample is mixed in one go, at a random timestep of its own.
        3. Draw B timesteps below len(schedule), and noise of x0's shape, where they are missing. Mix
           at their alpha_bar. Mixture, timesteps and condition go to the model; refuse another shape.
        4. timesteps = torch.randint(len(schedule), (len(x0),), generator=generator); alpha_bar =
           schedule.at(timesteps); model(mix(x0, noise, alpha_bar), timesteps, **condition); and
           F.mse_loss of it and target_of(x0, noise, alpha_bar, target)
    """,
)
LEVELS = torch.tensor([0.95, 0.8, 0.5, 0.2, 0.06], dtype=torch.float64)
SCHEDULE = Schedule(LEVELS)


def batch(case):
    timesteps = case.named(torch.tensor([4, 0, 2, 2]), "B")
    return case.normal(B=4, C=2, X=3), timesteps, case.normal(B=4, C=2, X=3)


def mixed(x0, timesteps, noise):
    """The oracle: the noisy samples."""
    level = LEVELS[timesteps.long()].view(-1, *[1] * (x0.ndim - 1))
    return (level.sqrt() * x0 + (1 - level).sqrt() * noise).to(x0.dtype)


def given(diffusion_loss, measure):
    """A function that calls the learner's and returns `measure` of what its model is given."""

    def function(schedule, x0, **options):
        calls = []

        def model(x, timesteps, **condition):
            calls.append(measure(x, timesteps, **condition))
            return 0 * x

        diffusion_loss(model, schedule, x0, **options)
        return calls[0] if len(calls) == 1 else calls

    function.__name__ = diffusion_loss.__name__
    return function


@exercise.holds("of a model that predicts 0, the loss is the mean square of the noise")
def mean_square(diffusion_loss, case):
    x0, timesteps, noise = batch(case)
    options = dict(timesteps=timesteps, noise=3 * noise)
    got = case.call(diffusion_loss, lambda x, timesteps: 0 * x, SCHEDULE, x0, **options)
    case.equal(got, 9 * (noise**2).mean())


@exercise.holds("the model is given each sample at its own timestep, the timesteps, the condition")
def own_timestep(diffusion_loss, case):
    measure = given(diffusion_loss, lambda *x, **condition: (*x, condition))
    (x0, timesteps, noise), words = batch(case), case.normal(B=4, T=3, D=5)
    got = case.call(measure, SCHEDULE, x0, timesteps=timesteps, noise=noise, words=words)
    case.equal(got[0], mixed(x0, timesteps, noise), "the x that the model is given")
    case.equal(got[1:], [timesteps, dict(words=words)], "what the model is given besides")
    case.unchanged()


@exercise.holds("the target is the noise, x0 or the velocity, as `target` names it")
def targets(diffusion_loss, case):
    for target in ("x0", "velocity", "noise"):
        x0, timesteps, noise = batch(case)
        options = dict(timesteps=timesteps, noise=noise, target=target)
        got = case.call(diffusion_loss, lambda x, timesteps: 0.3 * x, SCHEDULE, x0, **options)
        expected = {"x0": x0, "noise": noise, "velocity": mixed(noise, timesteps, -x0)}[target]
        expected = (0.3 * mixed(x0, timesteps, noise) - expected).square().mean()
        case.equal(got, expected, f"the loss where target is {target!r}")


@exercise.holds("timesteps that are not given are drawn for each sample, from all of the schedule")
def drawn_timesteps(diffusion_loss, case):
    x0, noise = case.normal(B=5000, D=1), case.normal(B=5000, D=1)

    def measure(x, timesteps):
        shares = timesteps.long().bincount(minlength=5) / len(timesteps)
        right = torch.allclose(x, mixed(x0, timesteps, noise), atol=1e-5)
        return [right, [round(5 * share) / 5 for share in shares.tolist()]]

    got = case.call(given(diffusion_loss, measure), SCHEDULE, x0, noise=noise)
    case.equal(got, [True, [0.2] * 5], "whether x is mixed at them, the share of each to a fifth")


@exercise.holds("noise that is not given is drawn: normal, a new number for every value")
def drawn_noise(diffusion_loss, case):
    x0 = case.named(torch.zeros(400, 500), "B D")

    def measure(x, timesteps):
        noise = x / mixed(x0, timesteps, torch.ones(400, 500))
        spread = [noise.std(dim=0).mean(), noise.std(dim=1).mean()]
        shares = [noise.abs().gt(1).double().mean(), (timesteps == 2).double().mean()]
        return [round(number.item(), 1) for number in [noise.mean(), *spread, *shares]]

    got = case.call(given(diffusion_loss, measure), SCHEDULE, x0, timesteps=torch.full((400,), 2))
    case.equal(
        got, [0.0, 1.0, 1.0, 0.3, 1.0], "mean, deviations, shares beyond 1 and at timestep 2"
    )


@exercise.holds("the generator's state decides all: the same gives the same loss, the next another")
def from_the_generator(diffusion_loss, case):
    def losses(schedule, x0, generator, timesteps, noise):
        found, sources = [], [generator.clone_state(), generator, generator]
        for seed, source in enumerate(sources):
            torch.manual_seed(seed)
            options = dict(timesteps=timesteps, noise=noise, generator=source)
            loss = diffusion_loss(lambda x, t: x * t[:, None], schedule, x0, **options)
            found.append(loss.item())
        return {"the same": found[0] == found[1], "the next": found[1] == found[2]}

    losses.__name__ = diffusion_loss.__name__
    x0, generator = case.normal(B=40, D=7), torch.Generator().manual_seed(case.seed + 1)
    drawn = [(None, None), (torch.arange(40) % 5, None), (None, torch.ones(40, 7))]
    right = {"the same": True, "the next": False}
    calls = [((SCHEDULE, x0, generator, *one), right) for one in drawn]
    case.each(losses, *calls, what="whether the losses are equal")


@exercise.holds("a prediction of another shape is refused with a ValueError, not broadcast")
def refused(diffusion_loss, case):
    case.refuses(ValueError, diffusion_loss, lambda x, t: x[:, :1], SCHEDULE, batch(case)[0])


@exercise.holds("the gradients reach the model, x0 and the noise")
def gradients(diffusion_loss, case):
    x0, timesteps, noise = batch(case)
    layer = case.fill(nn.Linear(3, 3)).double()

    def mine(x0, noise):
        options = dict(timesteps=timesteps, noise=noise)
        return diffusion_loss(lambda x, timesteps: layer(x), SCHEDULE, x0, **options)

    def oracle(x0, noise):
        return (layer(mixed(x0, timesteps, noise)) - noise).square().mean()

    case.gradients(mine, oracle, x0, noise, parameters=layer)


exercise.mistakes("""
    weighted [convention]: the errors are weighted by the signal-to-noise ratio of their timestep
    - return F.mse_loss(predicted, expected)
    + odds = (alpha_bar / (1 - alpha_bar)).to(x0.dtype)
    + return (odds * ((predicted - expected) ** 2).flatten(1).mean(1)).mean()
    > the paper's simple loss: all timesteps count the same

    one-timestep-drawn: one timestep is drawn for the whole batch
    - torch.randint(len(schedule), (len(x0),), generator=generator)
    + torch.randint(len(schedule), (1,), generator=generator).expand(len(x0))
    > draw as many as there are samples

    last-step-never-drawn: the last timestep, where sampling begins, is never drawn
    - len(schedule)
    + len(schedule) - 1
    > randint leaves its end out already

    what-was-added: the target is the difference from the clean image, not the noise
    - target_of(x0, noise, alpha_bar, target)
    + mix(x0, noise, alpha_bar) - x0 if target == "noise" else x0
    > the noise as it was drawn, of variance one at every timestep

    noise-drawn-twice: the noise that is mixed in is not the noise of the target
    - mix(x0, noise, alpha_bar)
    + mix(x0, torch.randn_like(x0), alpha_bar)
    > draw it once and keep it

    noise-from-elsewhere: the noise is not drawn from the generator: randn_like takes none
    - draw_noise(x0, generator)
    + torch.randn_like(x0)
    > draw_noise(x0, generator), or torch.randn with it
""")

exercise.slips("""
    F.mse_loss(predicted, expected) => F.mse_loss(predicted, expected, reduction="sum")
    F.mse_loss(predicted, expected) => F.mse_loss(predicted, expected, reduction="sum") / len(x0)
    F.mse_loss(predicted, expected) => F.mse_loss(predicted, expected).sqrt()
    F.mse_loss(predicted, expected) => F.mse_loss(predicted, expected) / 2
    F.mse_loss(predicted, expected) => F.l1_loss(predicted, expected)
    F.mse_loss(predicted, expected) => ((predicted - expected) ** 2).flatten(1).mean(1)
    timesteps.to(x0.device) => alpha_bar
    timesteps.to(x0.device) => timesteps / len(schedule)
    timesteps.to(x0.device) => timesteps[:1].expand(len(x0))
    timesteps.to(x0.device) => timesteps + 1
    len(schedule) => len(schedule) + 1
    schedule.at(timesteps) => schedule.at(timesteps[:1].expand(len(x0)))
    mix(x0, noise, alpha_bar) => mix(x0, noise, alpha_bar**2 / (alpha_bar**2 + (1 - alpha_bar) ** 2))
    mix(x0, noise, alpha_bar) => x0
    mix(x0, noise, alpha_bar) => noise
    mix(x0, noise, alpha_bar) => x0.copy_(mix(x0, noise, alpha_bar))
    target_of(x0, noise, alpha_bar, target) => x0
    target_of(x0, noise => target_of(x0, draw_noise(x0, generator)
    alpha_bar, target) => alpha_bar, target) * (-1 if target == "velocity" else 1)
    , **condition) => )
    draw_noise(x0, generator) => draw_noise(x0[:1], generator).expand_as(x0)
    draw_noise(x0, generator) => draw_noise(x0[:, :1], generator).expand_as(x0)
    draw_noise(x0, generator) => torch.rand(x0.shape, generator=generator)
    schedule.at(timesteps) => schedule.at(timesteps - 1, final_alpha=1.0)
    schedule.at(timesteps) => 1 - schedule.betas[timesteps]
    torch.randint(len(schedule) => torch.randint(1, len(schedule)
    (len(x0),), generator=generator => (len(x0),), generator=torch.manual_seed(0) ;;
        draw_noise(x0, generator) => draw_noise(x0, torch.manual_seed(1))
    F.mse_loss(predicted, expected) => (alpha_bar.to(x0).view(-1, *[1] * (x0.dim() - 1)) *
        (predicted - expected) ** 2).mean()
""")


@exercise.right("noise drawn before the timesteps")
def first(model, schedule, x0, target="noise", timesteps=None, noise=None, generator=None, **given):
    noise = torch.empty_like(x0).normal_(generator=generator) if noise is None else noise
    if timesteps is None:
        timesteps = (torch.rand(len(x0), generator=generator) * len(schedule)).long()
    kept = schedule.alpha_bar[timesteps].view(-1, *[1] * (x0.ndim - 1))
    a, b = kept.sqrt().to(x0.dtype), (1 - kept).sqrt().to(x0.dtype)
    expected = {"noise": noise, "x0": x0, "velocity": a * noise - b * x0}[target]
    predicted = model(a * x0 + b * noise, timesteps, **given)
    if predicted.shape != expected.shape:
        raise ValueError("another shape")
    return (predicted - expected).square().mean()


@exercise.right("by q_sample")
def q(model, schedule, x0, target="noise", timesteps=None, noise=None, generator=None, **given):
    if timesteps is None:
        timesteps = torch.ones(len(schedule)).multinomial(len(x0), True, generator=generator)
    noise = torch.randn(x0.shape, generator=generator) if noise is None else noise
    predicted = model(q_sample(schedule, x0, timesteps, noise), timesteps, **given)
    if predicted.shape != x0.shape:
        raise ValueError("another shape")
    velocity = q_sample(schedule, noise, timesteps, -x0)
    error = predicted - {"noise": noise, "x0": x0, "velocity": velocity}[target]
    return error.flatten(1).square().mean(1).mean()
