"""Exercise vae.fit_scale: the one number that brings latents to a deviation of one."""

import functools
import math
from dataclasses import replace

import torch
from torch import nn

from scratchmm.diffusion.vae import DiagonalGaussian, VAEConfig
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
    hints=(
        "Say the encoder gives the latents 3 and 7, with hardly any variance. Their mean is 5, their "
        "deviation 2, so the scale is 1/2: latents for diffusion are 1.5 and 3.5, and before they "
        "are decoded they become 3 and 7 again. The mean stays where it is.",
        "Diffusion mixes latents with noise of deviation 1, by a schedule that is made for images "
        "of about that deviation. Latents of deviation 5 would still shine through at the last "
        "step, where all should be noise; latents of 1/5 would be gone after the first.",
        "to_latents: encode, draw with the generator, less the config's shift (0 but for a few), times "
        "self.scale, all (B, Z, X, Y). to_images: divide by self.scale, plus the shift, decode. "
        "fit_scale: encode and draw, but without the scale that is there; the deviation of all numbers "
        "together, over images, channels and cells; one over it goes into self.scale, "
        "which stays a buffer without a gradient.",
        "return (draw(self.encode(images), generator) - self.config.shift) * self.scale; return "
        "self.decode(latents / self.scale + self.config.shift); under no_grad: z = draw(self.encode("
        "images), generator), then self.scale.copy_(1 / z.std(correction=0))",
    ),
)
CONFIG = VAEConfig(channels=2, latent_channels=2, widths=(2,), depth=0, groups=2, scale=0.7)


class Says(nn.Module):
    """An encoder whose means are 3 times the colours, plus 1, with a given variance."""

    def __init__(self, log_variance):
        super().__init__()
        self.log_variance = log_variance

    def forward(self, images):
        mean = means(images)
        return DiagonalGaussian(mean, torch.full_like(mean, self.log_variance))


class Mirrors(nn.Module):
    """A decoder whose images are the latents, left and right exchanged."""

    def forward(self, latents):
        return latents.flip(-1)


def made(case, factory, scale=0.25, log_variance=-60.0, config=CONFIG):
    """An autoencoder whose two halves are known, with this scale."""
    module = case.call(factory, config)
    module.encoder, module.decoder = Says(log_variance), Mirrors()
    with torch.no_grad():
        module.scale.fill_(scale)
    return module


def some_images(case, B=3, height=8, width=12):
    """Colours around 2 and 0.6, of another deviation in each image and channel."""
    wide = torch.tensor([[0.3, 0.6], [1.0, 1.5], [4.0, 2.0]])[:B, :, None, None]
    images = case.normal(B=B, C=2, height=height, width=width) * wide
    images = images + torch.tensor([2.0, 0.6])[:, None, None]
    return case.named(images, "B C height width")


def means(images):
    return 3 * images + 1


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


@exercise.holds("latents are drawn of the posterior, times the scale")
def to_latents(vae, case):
    module, images = made(case, vae), some_images(case)
    got = case.call(module.to_latents, images, generator(case))
    case.equal(got, means(images) / 4)


@exercise.holds("latents are drawn: what the encoder does not know is in them, times the scale too")
def drawn(vae, case):
    module = made(case, vae, log_variance=2 * math.log(8))

    @functools.wraps(module.to_latents)
    def spread(images, generator):
        return round((module.to_latents(images, generator) - means(images) / 4).std().item(), 1)

    got = case.call(spread, some_images(case, B=2, height=60, width=100), generator(case))
    case.equal(got, 2.0, "the deviation of what was drawn")


@exercise.holds(
    "all chance is the generator's: the same state the same latents, the next call others"
)
def chance(vae, case):
    module, images = made(case, vae, log_variance=0.0), some_images(case)
    drawn = []
    for state in (generator(case), generator(case)):
        drawn.append([case.call(module.to_latents, images, state) for _ in range(2)])
    (first, second), (again, _) = drawn
    told = {"the same state": bool(first.equal(again)), "the next": bool(first.equal(second))}
    case.equal(told, {"the same state": True, "the next": False}, "whether two draws are equal")


@exercise.holds("before latents are decoded they are divided by the scale")
def to_images(vae, case):
    module, latents = made(case, vae), case.normal(B=3, Z=2, X=4, Y=5)
    case.equal(case.call(module.to_images, latents), Mirrors()(4 * latents))


@exercise.holds(
    "the config's shift is taken off before latents are scaled, and put back at the end"
)
def shifted(vae, case):
    module = made(case, vae, config=replace(CONFIG, shift=0.5))
    images, latents = some_images(case), case.normal(B=3, Z=2, X=4, Y=5)
    got = case.call(module.to_latents, images, generator(case))
    case.equal(got, (means(images) - 0.5) / 4, "latents")
    case.equal(case.call(module.to_images, latents), Mirrors()(4 * latents + 0.5), "the image")


@exercise.holds("after fitting, the scale is one over the deviation of all latents together")
def measured(vae, case):
    module, images = made(case, vae), some_images(case)
    case.call(module.fit_scale, images, generator(case))
    scale = case.seen(module.scale.detach().double().clone())
    case.equal(scale, 1 / means(images).double().std(correction=0), "the scale", 0.01)


@exercise.holds("the scale that was there before does not matter")
def whatever_was_before(vae, case):
    module, images = made(case, vae, scale=7.0), some_images(case)
    for _ in range(2):
        case.call(module.fit_scale, images, generator(case))
        scale = case.seen(module.scale.detach().double().clone())
        case.equal(scale, 1 / means(images).double().std(correction=0), "the scale", 0.01)


@exercise.holds("the deviation is that of drawn latents, with the encoder's doubt in it")
def doubt_counts(vae, case):
    module = made(case, vae, log_variance=2 * math.log(8))
    images = some_images(case, B=2, height=60, width=100)

    @functools.wraps(module.fit_scale)
    def deviation(images, generator):
        module.fit_scale(images, generator)
        return round(1 / module.scale.item(), 1)

    got = case.call(deviation, images, generator(case))
    right = (means(images).var(correction=0) + 64).sqrt().item()
    case.true(abs(got - right) < 0.25, f"a deviation of about {right:.1f}", got)


@exercise.holds("the scale stays a buffer: one number, saved with the weights, without a gradient")
def buffer(vae, case):
    module = case.build(vae, CONFIG)  # with an encoder that learns
    case.call(module.fit_scale, some_images(case), generator(case))
    kept = module.state_dict().get("scale")
    told = {
        "shape": None if kept is None else tuple(kept.shape),
        "gradient": bool(module.scale.requires_grad),
    }
    case.true(told == {"shape": (), "gradient": False}, "shape () and no gradient", told)


@exercise.holds("the gradients reach the images and the latents")
def gradients(vae, case):
    module = made(case, vae).double()
    images, latents = some_images(case), case.normal(B=3, Z=2, X=4, Y=5)
    case.gradients(module.to_latents, lambda x: means(x) / 4, images)
    case.gradients(module.to_images, lambda x: Mirrors()(4 * x), latents)
