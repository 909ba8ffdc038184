"""Exercise vae.fit_scale: the one number that brings latents to a deviation of one."""

import functools
import math
from dataclasses import replace

import torch
from torch import nn

from scratchmm.diffusion.vae import VAE, DiagonalGaussian, VAEConfig, draw
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="vae.fit_scale",
    order=30,
    target="scratchmm.diffusion.vae:VAE",
    title="The scaling factor of latents",
    goal="fit a scale, multiply drawn latents by it, and divide before they are decoded",
    minutes=15,
    difficulty=2,
    section="A deviation of one",
    needs=("vae.draw",),
    methods={
        "to_latents": "latents drawn of the posterior, less config.shift, times the scale",
        "to_images": "the image of latents that are divided by the scale again, plus config.shift",
        "fit_scale": "self.scale becomes 1 / deviation of the drawn latents of these images",
    },
    hints="""
        1. The encoder gives the latents 3 and 7, of hardly any variance. Their mean is 5, their
           deviation 2, so the scale is 1/2: diffusion gets 1.5 and 3.5, the decoder 3 and 7 again.
        2. Diffusion adds noise of deviation 1, by a schedule made for data of about that deviation.
           Of latents of deviation 5 much is left at the last step; of 1/5 nothing after the first.
        3. to_latents: encode, draw with the generator, less the config's shift, times self.scale,
           all (B, Z, X, Y). to_images: the way back. fit_scale: encode and draw; one over the
           deviation of all numbers together goes into the buffer self.scale, without a gradient.
        4. return (draw(self.encode(images), generator) - self.config.shift) * self.scale; return
           self.decode(latents / self.scale + self.config.shift); under no_grad: z =
           draw(self.encode(images), generator), then self.scale.copy_(1 / z.std(correction=0))
    """,
)
CONFIG = VAEConfig(channels=2, latent_channels=2, widths=(2,), depth=0, groups=2, scale=0.7)


class KnownEncoder(nn.Module):
    """An encoder of known means, 3 times the colours plus 1, with a given variance."""

    def __init__(self, log_variance):
        super().__init__()
        self.log_variance = log_variance

    def forward(self, images):
        mean = means(images)
        return DiagonalGaussian(mean, torch.full_like(mean, self.log_variance))


class Mirror(nn.Module):
    """A decoder whose images are the latents, left and right exchanged."""

    def forward(self, latents):
        return latents.flip(-1)


def made(case, factory, scale=0.25, log_variance=-60.0, config=CONFIG):
    """An autoencoder whose two halves are known, with this scale."""
    module = case.call(factory, config)
    module.encoder, module.decoder = KnownEncoder(log_variance), Mirror()
    with torch.no_grad():
        module.scale.fill_(scale)
    return module


def some_images(case, B=3, height=8, width=12):
    """Colours around 2 and 0.6, of another deviation in each image and channel."""
    wide = torch.tensor([[0.3, 0.6], [1.0, 1.5], [4.0, 2.0]])[:B, :, None, None]
    images = case.normal(B=B, C=2, height=height, width=width) * wide
    return case.named(images + torch.tensor([2.0, 0.6])[:, None, None], "B C height width")


def means(images):
    return 3 * images + 1


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


@exercise.holds("latents are the posterior's, times the scale")
def to_latents(vae, case):
    module, images = made(case, vae), some_images(case)
    got = case.call(module.to_latents, images, generator(case))
    case.equal(got, means(images) / 4)


@exercise.holds("latents are drawn: noise of the posterior's deviation, times the scale too")
def drawn(vae, case):
    module = made(case, vae, log_variance=2 * math.log(8))

    @functools.wraps(module.to_latents)
    def spread(images, generator):
        return round((module.to_latents(images, generator) - means(images) / 4).std().item(), 1)

    got = case.call(spread, some_images(case, B=2, height=60, width=100), generator(case))
    case.equal(got, 2.0, "the deviation of what was drawn")


@exercise.holds("all chance is the generator's: the same state, the same latents; the next, others")
def chance(vae, case):
    module, images = made(case, vae, log_variance=0.0), some_images(case)
    one = generator(case)
    draws = [case.call(module.to_latents, images, state) for state in (one, one, generator(case))]
    told = {"the same state": draws[0].equal(draws[2]), "the next": draws[0].equal(draws[1])}
    case.equal(told, {"the same state": True, "the next": False}, "whether two draws are equal")


@exercise.holds("config.shift is taken off before latents are scaled, and put back at the end")
def shifted(vae, case):
    module = made(case, vae, config=replace(CONFIG, shift=0.5))
    images, latents = some_images(case), case.normal(B=3, Z=2, X=4, Y=5)
    got = case.call(module.to_latents, images, generator(case))
    case.equal(got, (means(images) - 0.5) / 4, "latents")
    case.equal(case.call(module.to_images, latents), Mirror()(4 * latents + 0.5), "the image")


@exercise.holds("after fitting, the scale is one over the deviation of all latents together")
def measured(vae, case):
    module, images = made(case, vae), some_images(case)
    case.call(module.fit_scale, images, generator(case))
    scale = case.seen(module.scale.detach().double().clone())
    case.equal(scale, 1 / means(images).double().std(correction=0), "the scale", 0.01)


@exercise.holds("the deviation is that of drawn latents, with the posterior's variance in it")
def variance_counts(vae, case):
    module = made(case, vae, log_variance=2 * math.log(8))
    images = some_images(case, B=2, height=60, width=100)

    @functools.wraps(module.fit_scale)
    def deviation(images, generator):
        module.fit_scale(images, generator)
        return 1 / module.scale.item()

    got = case.call(deviation, images, generator(case))
    right = (means(images).var(correction=0) + 64).sqrt().item()
    case.true(abs(got - right) < 0.25, f"a deviation of about {right:.1f}", got)


@exercise.holds("the scale stays a buffer: one number, saved with the weights, without a gradient")
def buffer(vae, case):
    module = case.build(vae, CONFIG)  # with an encoder that learns
    case.call(module.fit_scale, some_images(case), generator(case))
    kept = module.state_dict().get("scale")
    got = [None if kept is None else tuple(kept.shape), bool(module.scale.requires_grad)]
    case.true(got == [(), False], "shape () and no gradient", got)


@exercise.holds("the gradients reach the images and the latents")
def gradients(vae, case):
    module = made(case, vae).double()
    images, latents = some_images(case), case.normal(B=3, Z=2, X=4, Y=5)
    case.gradients(module.to_latents, lambda x: means(x) / 4, images)
    case.gradients(module.to_images, lambda x: Mirror()(4 * x), latents)


exercise.mistakes("""
    scale-of-the-config: latents are divided by the config's scale, whatever has been measured since
    - return self.decode(latents / self.scale + self.config.shift)
    + return self.decode(latents / self.config.scale + self.config.shift)
    > divide by self.scale: the config has only its first value

    shift-scaled-not: the shift, the mean of unscaled latents, is taken off after the scale
    - return (latents - self.config.shift) * self.scale
    + return latents * self.scale - self.config.shift
    - return self.decode(latents / self.scale + self.config.shift)
    + return self.decode((latents + self.config.shift) / self.scale)
    > shift first, then scale; back the other way round

    means-measured: the means are measured, not what is drawn
    - draw(self.encode(images), generator).std
    + self.encode(images).mean.std
    > diffusion gets drawn latents: draw them here too

    scaled-latents-measured: latents are measured that the old scale is in already
    - draw(self.encode(images), generator).std
    + self.to_latents(images, generator).std
    > measure draw(self.encode(images)), not to_latents

    with-a-gradient: the scale keeps the graph of the images it was measured on
    - @torch.no_grad()
    +
    - self.scale.copy_(1 / draw(self.encode(images), generator).std(correction=0))
    + self.scale = 1 / draw(self.encode(images), generator).std(correction=0)
    > under torch.no_grad(), into the buffer

    noise-not-scaled: only the mean is multiplied by the scale, the noise of the draw is not
    - return (latents - self.config.shift) * self.scale
    + mean = self.encode(images).mean
    + return latents - mean + (mean - self.config.shift) * self.scale
    > draw first, then multiply all of it
""")

exercise.slips("""
    self.scale.copy_ => self.scale.mul_
    latents = draw(self.encode(images), generator) => latents = self.encode(images).mean
    std(correction=0) => var(correction=0)
    std(correction=0) => flatten(1).std(1).mean()
    std(correction=0) => flatten(1).std(1, correction=0).mean()
    std(correction=0) => transpose(0, 1).flatten(1).std(1, correction=0).mean()
    1 / draw(self.encode(images), generator).std(correction=0) =>
        (1 / draw(self.encode(images), generator).std((0, 2, 3))).mean()
    generator).std(correction=0) => generator)[0].std(correction=0)
    draw(self.encode(images), generator).std(correction=0) =>
        ((z := draw(self.encode(images), generator)) - z.mean()).abs().mean()
    .std(correction=0) => .square().mean().sqrt()
    shift) * self.scale => shift) / self.scale ;; latents / self.scale => latents * self.scale
""")


@exercise.right("by the mean square, a new tensor in the buffer's place")
class ByTheMeanSquare(VAE):
    def to_latents(self, images, generator=None):
        return self.scale * (draw(self.encode(images), generator) - self.config.shift)

    def to_images(self, latents):
        return self.decode(self.config.shift + latents * (1 / self.scale))

    @torch.no_grad()
    def fit_scale(self, images, generator=None):
        latents = draw(self.encode(images), generator).double()
        self.scale = ((latents**2).mean() - latents.mean() ** 2) ** -0.5


@exercise.right("the other n")
class WithoutBias(ByTheMeanSquare):
    def fit_scale(self, images, generator=None):
        self.scale.fill_(draw(self.encode(images), generator).std().item() ** -1)
