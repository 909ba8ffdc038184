"""Exercise bug.noisy_last_step: what trains well and samples badly: no training step samples."""

import functools
import math
from typing import Any

import torch
from torch import Tensor

from scratchmm.diffusion.noise import draw_noise
from scratchmm.diffusion.process import Model, Schedule, cosine_schedule, diffusion_loss
from scratchmm.exercises.format import Exercise
from scratchmm.exercises.kinds import Bank, judged_by_bank

exercise = Exercise(
    id="bug.noisy_last_step",
    order=100,
    target="scratchmm.exercises.lessons.11_ddpm.noisy_last_step:check_drawing",
    title="Find the bug: grain in every image",
    goal="write the check: AssertionError unless a diffuser's samples match its model's images",
    minutes=35,
    difficulty=4,
    section="Trains well, samples badly",
    needs=("ddpm.ancestral_step",),
    shown=("NoisyLastStep",),
    hints="""
        1. Say all images are one grey pixel, 0.3. A perfect model of them predicts the noise in any
           x, and sampling with it must end at 0.3. NoisyLastStep ends at 0.34, then at 0.27. Its
           loss is 0, as it should be.
        2. A loss never samples, and a trained network is never quite right. Of images that you
           choose, the perfect model is a formula: one image alone, and normal noise around it.
        3. Images image + deviation * normal noise, with alpha_bar = a, give x of mean sqrt(a) *
           image and variance a * deviation^2 + 1 - a. The noise in such an x is on average
           sqrt(1 - a) * (x - sqrt(a) * image) / (a * deviation^2 + 1 - a). With 0: all samples
           within 0.001 of the image. With 0.2: the mean, and deviations across batch and image.
        4. perfect as above with a = schedule.at(timesteps).float()[:, None]; error = diffuser_class(
           schedule).sample(perfect, torch.randn(256, 16)) - image; for 0: error.abs().max() < 1e-3;
           for 0.2: error.var(axis).mean().sqrt() within 0.15 to 0.25 for both axes, and
           error.mean(0).square().mean().sqrt() < 0.05
    """,
)


class NoisyLastStep:
    """Both halves of a diffusion model: its loss, and how it samples (algorithm 2).

    It trains as well as any other: its loss is diffusion_loss, and no step of training samples.
    Losses, gradients and weights are those of a right one, to the last bit. Yet its samples have
    grain. Leave it as it is: it is what your check has to catch.

    >>> schedule, images = cosine_schedule(50), torch.zeros(5, 3)
    >>> chance = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    >>> def half(x, timesteps):
    ...     return 0.5 * x
    >>> loss = NoisyLastStep(schedule).loss(half, images, chance[0])
    >>> bool(loss == diffusion_loss(half, schedule, images, generator=chance[1]))
    True
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def loss(self, model: Model, x0: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What training makes small. x0: (B, X)."""
        return diffusion_loss(model, self.schedule, x0, generator=generator)

    def sample(self, model: Model, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noise x: (B, X) becomes images (B, X); model(x, timesteps) predicts the noise."""
        levels, betas = self.schedule.alpha_bar.tolist(), self.schedule.betas.tolist()
        for timestep in reversed(range(len(self.schedule))):
            now, beta = levels[timestep], betas[timestep]
            noise = model(x, torch.full((len(x),), timestep))
            mean = (x - beta / math.sqrt(1 - now) * noise) / math.sqrt(1 - beta)
            x = mean + math.sqrt(beta) * draw_noise(x, generator)
        return x


def check_drawing(diffuser_class) -> None:
    """Raise AssertionError unless a diffuser's samples are distributed as the images of its model.

    diffuser_class: takes a Schedule, as NoisyLastStep does; judge it by sample(model, x, generator),
    on cosine schedules of 50 steps or more, with x float32 (B, X). Accept it if, with a model that
    predicts the noise in x as well as it can be predicted, the samples vary as the images of that
    model do: that image, up to 0.001, if there is one alone; else with their mean and their
    deviation, up to a quarter of that deviation, each sample and each value by itself. It may
    leave steps out, add noise or none, and clamp x0 to -1 ... 1, where images are. Reject every
    other. This check is what is graded, on NoisyLastStep and others.

    >>> check_drawing(NoisyLastStep)
    Traceback (most recent call last):
    AssertionError: there is one image alone, and something else is drawn
    """
    schedule, image = cosine_schedule(50), torch.linspace(-0.4, 0.4, 16)
    for deviation in (0.0, 0.2):  # one image alone shows the end of the way, several show the way

        def perfect(x, timesteps, deviation=deviation):
            left = schedule.at(timesteps).to(x.dtype)[:, None]
            away = x - left.sqrt() * image
            return (1 - left).sqrt() * away / (left * deviation**2 + 1 - left)

        drawn = diffuser_class(schedule).sample(perfect, torch.randn(256, 16), torch.Generator())
        error = drawn - image
        if deviation == 0.0:
            alone = bool(error.abs().max() < 1e-3)
            assert alone, "there is one image alone, and something else is drawn"
            continue
        assert error.mean(0).square().mean().sqrt() < 0.05, "the images' mean is another"
        for axis, place in enumerate(("from sample to sample", "inside an image")):
            found = float(error.var(axis).mean().sqrt())
            assert 0.75 < found / deviation < 1.25, f"{place} the deviation is {found:.3f}"


class Mending(NoisyLastStep):
    """Algorithm 2 by x0 and the posterior, of parts that can be broken one by one."""

    def sample(self, model, x, generator=None):
        self.generator = generator
        for t, then in self.steps():
            noise = model(x, torch.full((len(x),), self.told(t)))
            x = self.step(self.x0(noise, x, t), x, noise, self.level(t), self.level(then))
        return x


# fmt: off
PARTS = {
    "steps": lambda self: [(t, t - 1) for t in reversed(range(len(self.schedule)))],
    "told": lambda self, t: t,
    "level": lambda self, t: 1.0 if t < 0 else float(self.schedule.alpha_bar[t]),
    "x0": lambda self, noise, x, t: (
        (x - math.sqrt(1 - self.level(t)) * noise) / math.sqrt(self.level(t))),
    "step": lambda self, x0, x, noise, a, b: (  # the posterior's mean and its noise
        (math.sqrt(b) * (1 - a / b) * x0 + math.sqrt(a / b) * (1 - b) * x) / (1 - a)
        + self.deviation(a, b) * self.noise(x)),
    "deviation": lambda self, a, b: math.sqrt(1 - a / b) if b < 1 else 0.0,
    "noise": lambda self, x: torch.randn(x.shape, generator=self.generator),
}
# fmt: on
Mended: Any = type("Mended", (Mending,), PARTS)


def changed(**methods):
    return type("Changed", (Mended,), methods)


def later(self, t):
    return min(t + 1, len(self.schedule) - 1)


def ddim(self, x0, x, noise, a, b):
    return math.sqrt(b) * x0 + math.sqrt(1 - b) * noise


# fmt: off
RIGHTS = {
    "NoisyLastStep without noise at its last step": Mended,
    "DDIM": changed(step=ddim),
    "noise of the posterior's variance": changed(
        deviation=lambda self, a, b: math.sqrt((1 - b) / (1 - a) * (1 - a / b))),
    "DDIM, every second step": changed(step=ddim, steps=lambda self: [
        (t, max(t - 2, -1)) for t in range(len(self.schedule) - 1, -1, -2)]),
    "x0 clamped to -1 ... 1": changed(x0=lambda self, *given: Mended.x0(self, *given).clamp(-1, 1)),
}
# With a perfect model and 50 steps the samples of the right ones have 0.87 to 1.06 of the images'
# deviation; of the wrong ones at most 0.66, at least 1.5, or not the same in both directions.
WRONGS = {
    "noise is added at the last step": NoisyLastStep,
    "timestep 0 is left out": changed(steps=lambda self: Mended.steps(self)[:-1]),
    "x0 is computed by alpha_bar of the wrong timestep": changed(
        x0=lambda self, noise, x, t: Mended.x0(self, noise, x, later(self, t))),
    "the model gets the wrong timestep": changed(told=later),
    "no noise is added to the posterior's mean": changed(deviation=lambda *_: 0.0),
    "noise is multiplied by the variance, not by its root": changed(
        deviation=lambda self, a, b: Mended.deviation(self, a, b) ** 2),
    "x0 is mixed with new noise at each step": changed(
        step=lambda self, x0, x, noise, a, b: ddim(self, x0, x, self.noise(x), a, b)),
    "the same noise is added at each step": changed(
        noise=lambda self, x: torch.randn(x.shape, generator=torch.Generator().manual_seed(5))),
    "the same noise is added to all samples": changed(
        noise=lambda self, x: Mended.noise(self, x[:1])),
    "the same noise is added to all values of a sample": changed(
        noise=lambda self, x: Mended.noise(self, x[:, :1])),
    "x0 is clamped to 0 ... 1": changed(
        x0=lambda self, *given: Mended.x0(self, *given).clamp(0, 1)),
}
# fmt: on
STORIES = {story: f"a diffuser in which {story}" for story in WRONGS}
judged_by_bank(exercise, lambda: Bank(RIGHTS, WRONGS, STORIES))


def sampled(diffuser_class, deviation, image, *, steps=50, count=300):
    """Samples with a perfect model of images around one, less that one: (B, X)."""
    schedule, x = cosine_schedule(steps), torch.randn(count, len(image))

    def perfect(x, timesteps):
        a = float(schedule.alpha_bar[timesteps[0]])
        return (1 - a) ** 0.5 * (x - a**0.5 * image) / (a * deviation**2 + 1 - a)

    return diffuser_class(schedule).sample(perfect, x, torch.Generator().manual_seed(1)) - image


def judged(
    diffuser_class, image=(0.4, -0.4), one=1e-3, mean=0.25, axes=(0, 1), low=0.75, high=1.25, **more
):
    """A check, of which each part can be left out."""
    image, deviation = torch.linspace(*image, 12), more.pop("deviation", 0.2)
    assert one is None or sampled(diffuser_class, 0.0, image, count=20).abs().max() < one
    error = sampled(diffuser_class, deviation, image, **more) / deviation
    assert mean is None or error.mean(0).square().mean().sqrt() < mean
    assert all(low < error.var(axis).mean().sqrt() < high for axis in axes)


def wrong(id, story, advice, **parts):
    test = functools.partial(judged, **parts)
    exercise.wrong(id, story=story, advice=advice)(lambda diffuser: test(diffuser))


wrong("accepts-everything", "nothing is asserted, so every diffuser is accepted",
    "compare the samples with the images of the model, by an assert",
    one=None, mean=None, axes=())  # fmt: skip
wrong("rejects-everything", "every diffuser is rejected, the right ones too",
    "mend a copy of NoisyLastStep: your check must accept it", low=9)  # fmt: skip
wrong("end-only", "the model has only one image, and every way ends there",
    "too much noise on the way, or too little, shows only where images differ",
    mean=None, axes=())  # fmt: skip
wrong("way-only", "only images that differ are sampled, and a little grain is lost among them",
    "a model of one image alone shows the grain", one=None)  # fmt: skip
wrong("samples-only", "deviations are taken across the batch only: inside an image all may be alike",
    "each value is by itself too: take deviations along both axes", axes=(0,))  # fmt: skip
wrong("mean-only", "only the mean of the samples is compared, not how much they differ",
    "without noise on the way all images are the mean: take deviations too", axes=())  # fmt: skip
wrong("too-strict", "the deviation must be right to 9 %, which 50 steps do not give to right diffusers",
    "a step takes the mean for the image: allow a quarter, as the docstring says",
    low=0.91, high=1.09, count=2000)  # fmt: skip
wrong("beyond-white", "the images have values beyond -1 ... 1, which a right diffuser may clamp",
    "images lie in -1 ... 1: keep image and deviation inside", image=(-3, 3))  # fmt: skip


@exercise.right("two values and their covariance")
def covariance(diffuser_class):
    image = torch.tensor([-0.3, 0.35])
    assert (sampled(diffuser_class, 0.0, image, steps=60, count=9).abs() < 1e-3).all()
    error = sampled(diffuser_class, 0.2, image, steps=60, count=2500) / 0.2
    assert error.mean(0).abs().max() < 0.25, "the mean"
    assert (error.T.cov() - torch.eye(2)).abs().max() < 0.4, "the covariance"


@exercise.right("dark and bright by themselves")
def dark_and_bright(diffuser_class):
    for level in (-0.5, 0.5):
        judged(diffuser_class, (level, level), deviation=0.15)
