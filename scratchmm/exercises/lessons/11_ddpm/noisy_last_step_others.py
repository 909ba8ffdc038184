"""The diffusers that a check in bug.noisy_last_step must tell apart: right ones, and wrong ones.

All learn by the same loss, so that no training could tell. With a perfect model and 50 steps, what
the right ones draw has 0.87 to 1.06 of the images' deviation; of the wrong ones those that end
right have at most 0.66, or at least 1.5, or not the same in both directions, or another mean.
"""

import math

import torch

from scratchmm.exercises.format import exercise_file
from scratchmm.exercises.kinds import Bank, judged_by_bank

NoisyLastStep = exercise_file("11_ddpm/noisy_last_step").NoisyLastStep
exercise = exercise_file("11_ddpm/noisy_last_step").exercise


class Mended(NoisyLastStep):  # type: ignore[valid-type, misc]
    """The mended one; what it is made of stands apart, so that each part can be broken."""

    def times(self) -> list[int]:
        return [*reversed(range(len(self.schedule)))]

    def told(self, t):
        return t

    def left(self, t):
        return 1.0 if t < 0 else float(self.schedule.alpha_bar[t])

    def x0(self, noise, x, t):
        return (x - math.sqrt(1 - self.left(t)) * noise) / math.sqrt(self.left(t))

    def weights(self, a, b):
        """Of x0 and of x in the posterior's mean."""
        return math.sqrt(b) * (1 - a / b) / (1 - a), math.sqrt(a / b) * (1 - b) / (1 - a)

    def deviation(self, a, b):
        return math.sqrt(1 - a / b) if b < 1 else 0.0

    def chance(self, x, generator):
        return torch.randn(x.shape, generator=generator)

    def step(self, x0, x, noise, t, then, generator):
        a, b = self.left(t), self.left(then)
        of_start, of_x = self.weights(a, b)
        return of_start * x0 + of_x * x + self.deviation(a, b) * self.chance(x, generator)

    def sample(self, model, x, generator=None):
        times = self.times()
        for t, then in zip(times, [*times[1:], -1], strict=True):
            noise = model(x, torch.full((len(x),), self.told(t)))
            x = self.step(self.x0(noise, x, t), x, noise, t, then, generator)
        return x


class Posterior(Mended):
    def deviation(self, a, b):
        return math.sqrt((1 - b) / (1 - a) * (1 - a / b))


class Ddim(Mended):
    def step(self, x0, x, noise, t, then, generator):
        return math.sqrt(self.left(then)) * x0 + math.sqrt(1 - self.left(then)) * noise


class EverySecond(Ddim):
    def times(self):
        return super().times()[::2]


class Clipped(Mended):
    def x0(self, noise, x, t):
        return super().x0(noise, x, t).clamp(-1, 1)


class Formula(NoisyLastStep):  # type: ignore[valid-type, misc]
    """Algorithm 2 as it is written, and without noise in its last line."""

    def sample(self, model, x, generator=None):
        levels, betas = self.schedule.alpha_bar.tolist(), self.schedule.betas.tolist()
        for t in reversed(range(len(self.schedule))):
            noise = model(x, torch.full((len(x),), t))
            x = (x - betas[t] / math.sqrt(1 - levels[t]) * noise) / math.sqrt(1 - betas[t])
            if t > 0:
                x = x + math.sqrt(betas[t]) * torch.randn(x.shape, generator=generator)
        return x


class StopsEarly(Mended):
    """Leaves out timestep 0: what noise is there stays."""

    def sample(self, model, x, generator=None):
        for t in self.times()[:-1]:
            noise = model(x, torch.full((len(x),), t))
            x = self.step(self.x0(noise, x, t), x, noise, t, t - 1, generator)
        return x


class LevelAfter(Mended):
    """Takes alpha_bar of the timestep after for that of now, where it takes the noise away."""

    def x0(self, noise, x, t):
        return super().x0(noise, x, min(t + 1, len(self.schedule) - 1))


class ToldLater(Mended):
    """Tells the model the timestep after that of now."""

    def told(self, t):
        return min(t + 1, len(self.schedule) - 1)


class ToldTheLast(Mended):
    """Tells the model the same timestep at every step."""

    def told(self, t):
        return len(self.schedule) - 1


class NoNoise(Mended):
    """Goes to the mean each time, and adds no noise."""

    def deviation(self, a, b):
        return 0.0


class VarianceForDeviation(Mended):
    """Multiplies the noise by the variance, not by its root."""

    def deviation(self, a, b):
        return super().deviation(a, b) ** 2


class VarianceOfAll(Mended):
    """Adds noise of 1 - alpha_bar, as if all steps were one."""

    def deviation(self, a, b):
        return math.sqrt(1 - a) if b < 1 else 0.0


class Anew(Mended):
    """Mixes x0 with new noise at each step, and forgets where it was."""

    def step(self, x0, x, noise, t, then, generator):
        b = self.left(then)
        return math.sqrt(b) * x0 + math.sqrt(1 - b) * self.chance(x, generator)


class ForgetsX(Mended):
    """Leaves x out of the mean."""

    def weights(self, a, b):
        return math.sqrt(b), 0.0


class SkipsInShortSteps(Mended):
    """Visits every second timestep, but each step goes back only one."""

    def sample(self, model, x, generator=None):
        for t in [*self.times()[::2], 0]:
            noise = model(x, torch.full((len(x),), t))
            x = self.step(self.x0(noise, x, t), x, noise, t, t - 1, generator)
        return x


class SameEveryStep(Mended):
    """Draws noise once, and adds the same at each step."""

    def sample(self, model, x, generator=None):
        self.kept = torch.randn(x.shape, generator=generator)
        return super().sample(model, x, generator)

    def chance(self, x, generator):
        return self.kept


class SameForAll(Mended):
    """Adds the same noise to every sample of the batch."""

    def chance(self, x, generator):
        return torch.randn(x[:1].shape, generator=generator)


class SameForAllValues(Mended):
    """Adds one number of noise a sample, the same to all its values."""

    def chance(self, x, generator):
        return torch.randn(x[:, :1].shape, generator=generator)


class Uniform(Mended):
    """Draws its noise from 0 to 1, all alike, where normal noise is asked for."""

    def chance(self, x, generator):
        return torch.rand(x.shape, generator=generator)


class NothingDark(Mended):
    """Holds x0 to 0 ... 1, as if black were 0."""

    def x0(self, noise, x, t):
        return super().x0(noise, x, t).clamp(0, 1)


class MeanOfTheBatch(Mended):
    """Takes the mean over the batch for everybody's x0, until the last step."""

    def x0(self, noise, x, t):
        x0 = super().x0(noise, x, t)
        return x0 if t == 0 else x0.mean(0, keepdim=True).expand_as(x0)


RIGHTS = {
    "NoisyLastStep without noise at its last step": Mended,
    "DDIM": Ddim,
    "noise of the posterior's variance": Posterior,
    "DDIM, every second step": EverySecond,
    "x0 held to -1 ... 1": Clipped,
    "algorithm 2 as it is written": Formula,
}
WRONGS = {
    NoisyLastStep: "NoisyLastStep: noise is added at the last step",
    StopsEarly: "a diffuser that leaves out timestep 0",
    LevelAfter: "a diffuser that takes noise away by alpha_bar of the wrong timestep",
    ToldLater: "a diffuser that tells its model the wrong timestep",
    ToldTheLast: "a diffuser that tells its model the same timestep at every step",
    NoNoise: "a diffuser that adds no noise to the posterior's mean",
    VarianceForDeviation: "a diffuser that multiplies noise by the variance, not by its root",
    VarianceOfAll: "a diffuser that adds noise as if all steps were one",
    Anew: "a diffuser that mixes x0 with new noise at each step",
    ForgetsX: "a diffuser whose mean leaves x out",
    SkipsInShortSteps: "a diffuser that skips timesteps in steps that are too short",
    SameEveryStep: "a diffuser that adds the same noise at each step",
    SameForAll: "a diffuser that adds the same noise to all samples",
    SameForAllValues: "a diffuser that adds the same noise to all values of a sample",
    Uniform: "a diffuser whose noise is not normal",
    NothingDark: "a diffuser that holds x0 to 0 ... 1",
    MeanOfTheBatch: "a diffuser that takes the batch's mean for everybody's x0",
}


def bank() -> Bank:
    return Bank(
        rights=RIGHTS,
        wrongs={kind.__name__: kind for kind in WRONGS},
        stories={kind.__name__: story for kind, story in WRONGS.items()},
    )


judged_by_bank(exercise, bank)
