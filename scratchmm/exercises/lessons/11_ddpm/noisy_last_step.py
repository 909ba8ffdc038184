"""Exercise bug.noisy_last_step: what trains well and draws badly, since no training ever draws."""

import math
from typing import Any

import torch
from torch import Tensor

from scratchmm.diffusion.noise import draw_noise
from scratchmm.diffusion.process import Model, Schedule, cosine_schedule, diffusion_loss
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bug.noisy_last_step",
    order=100,
    target="scratchmm.exercises.lessons.11_ddpm.noisy_last_step:check_drawing",
    title="Find the bug: grain in every image",
    goal="write the check: AssertionError unless what a diffuser draws is what its model knows",
    minutes=35,
    difficulty=4,
    section="Trains well, samples badly",
    needs=("ddpm.ancestral_step",),
    shown=("NoisyLastStep",),
    hints=(
        "Say all images are one grey pixel, 0.3. A model that knows this finds the noise in any x, "
        "for it can take 0.3 away. Whoever draws with it must end at 0.3. NoisyLastStep ends at 0.34 "
        "the one time, at 0.27 the next. Its loss is 0, as it should be.",
        "A loss never looks at what is drawn, and a trained network is never quite right. So take no "
        "network: where you choose what images there are, the perfect model is a formula. One "
        "image alone shows what goes wrong at the end and nothing of the way there, for every way "
        "ends at that image. Images that differ, by normal noise around one of them, show the way: "
        "too much chance on it or too little, or the same chance for all.",
        "Images image + variances * normal noise, with alpha_bar = a, give x of mean sqrt(a) * image "
        "and variance a * variances^2 + 1 - a. The noise in such an x is on average sqrt(1 - a) * (x - "
        "sqrt(a) * image) / (a * variances^2 + 1 - a). With variances 0: all drawn within 0.001 of the "
        "image. With 0.2: deviations across the batch (256, 16), and within each image, and the "
        "mean. Let the image have dark values and bright ones, far enough from -1 and 1.",
        "def knows(x, timesteps): a = schedule.at(timesteps).float()[:, None]; return (1 - a).sqrt() "
        "* (x - a.sqrt() * image) / (a * variances**2 + 1 - a). error = diffuser_class(schedule).sample("
        "knows, torch.randn(256, 16)) - image; for variances 0: error.abs().max() < 1e-3; for 0.2: "
        "error.var(axis).mean().sqrt() within 0.15 to 0.25, for axis 0 and 1, and "
        "error.mean(0).square().mean().sqrt() < 0.05",
    ),
)


class NoisyLastStep:
    """Both halves of a diffusion model: the loss it learns by, and how it draws (algorithm 2).

    It trains as well as any other: its loss is diffusion_loss, and no step of training draws an
    image. Losses, gradients and weights are those of a right one, to the last bit. Yet what it
    draws has grain. Leave it as it is: it is what your check has to catch.

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
        """Noise x: (B, X) becomes images (B, X); model(x, timesteps) says the noise in x."""
        levels, betas = self.schedule.alpha_bar.tolist(), self.schedule.betas.tolist()
        for timestep in reversed(range(len(self.schedule))):
            now, beta = levels[timestep], betas[timestep]
            noise = model(x, torch.full((len(x),), timestep))
            mean = (x - beta / math.sqrt(1 - now) * noise) / math.sqrt(1 - beta)
            x = mean + math.sqrt(beta) * draw_noise(x, generator)
        return x


def check_drawing(diffuser_class: Any) -> None:
    """Raise AssertionError unless what a diffuser draws is what its model knows.

    diffuser_class: takes a Schedule, as NoisyLastStep does; judge it by sample(model, x, generator),
    on cosine schedules of 50 steps or more, with x float32 (B, X). Accept it if, with a model that
    predicts the noise in x as well as it can be predicted, what is drawn is variances as the images
    are that the model knows: that image, up to 0.001, if there is one alone; else with their mean
    and their deviation, up to a quarter of that deviation, each sample and each value by itself. It
    may leave steps out and use chance or none, and may hold what it takes for the clean image to
    -1 ... 1, where images are. Reject every other. This check is what is asked for and graded, on
    NoisyLastStep and others.

    >>> check_drawing(NoisyLastStep)
    Traceback (most recent call last):
    AssertionError: there is one image alone, and something else is drawn
    """
    schedule, image = cosine_schedule(50), torch.linspace(-0.4, 0.4, 16)
    for variances in (0.0, 0.2):  # one image alone shows the end of the way, several show the way

        def knows(x, timesteps, variances=variances):
            left = schedule.at(timesteps).to(x.dtype)[:, None]
            away = x - left.sqrt() * image
            return (1 - left).sqrt() * away / (left * variances**2 + 1 - left)

        drawn = diffuser_class(schedule).sample(knows, torch.randn(256, 16), torch.Generator())
        error = drawn - image
        if variances == 0.0:
            alone = bool(error.abs().max() < 1e-3)
            assert alone, "there is one image alone, and something else is drawn"
            continue
        assert error.mean(0).square().mean().sqrt() < 0.05, "the images' mean is another"
        for axis, place in enumerate(("from sample to sample", "inside an image")):
            found = float(error.var(axis).mean().sqrt())
            assert 0.75 < found / variances < 1.25, f"{place} the deviation is {found:.3f}"
