"""Wrong and other right answers to vae.fit_scale."""

import torch

from scratchmm.diffusion.vae import VAE, draw
from scratchmm.exercises.format import exercise_file

exercise = exercise_file("13_latent_diffusion/fit_scale").exercise

DRAWN = "latents = draw(self.encode(images), generator)"
TIMES = "return (latents - self.config.shift) * self.scale"
OVER = "return self.decode(latents / self.scale + self.config.shift)"
SET = "self.scale.copy_(1 / draw(self.encode(images), generator).std(correction=0))"


def measured(id, formula, *, story, advice):
    """A wrong answer that sets the scale to something else, of the drawn latents z."""
    changed = (
        SET,
        f"z = draw(self.encode(images), generator)\n        self.scale.copy_({formula})",
    )
    exercise.edit(id, changed, story=story, advice=advice)


measured(
    "the-deviation-itself",
    "z.std(correction=0)",
    story="the scale is the deviation, so latents of deviation 2 get one of 4",
    advice="one over it: latents are multiplied by the scale",
)
measured(
    "one-over-a-channel",
    "(1 / z.std(dim=(0, 2, 3))).mean()",
    story="each channel's deviation is taken by itself, and a mean made of them",
    advice="one deviation of all numbers together: std over no axis in particular",
)
measured(
    "one-over-a-image",
    "1 / z.flatten(1).std(dim=1).mean()",
    story="each image's deviation is taken by itself, and a mean made of them",
    advice="one deviation of all numbers together: how images differ from each other counts too",
)
exercise.edit(
    "scale-of-the-config",
    (OVER, "return self.decode(latents / self.config.scale + self.config.shift)"),
    story="latents are divided by the config's scale, whatever has been measured since",
    advice="self.scale: the config's is only where it begins",
)
exercise.edit(
    "chance-from-elsewhere",
    (DRAWN, "latents = draw(self.encode(images))"),
    story="latents are drawn without the generator",
    advice="hand the generator on: draw(self.encode(images), generator)",
)
exercise.edit(
    "shift-ignored",
    (TIMES, "return latents * self.scale"),
    (OVER, "return self.decode(latents / self.scale)"),
    story="the config's shift is not used: Stable Diffusion 3's latents keep their mean",
    advice="(latents - self.config.shift) * self.scale, and back",
)
exercise.edit(
    "shift-scaled-not",
    (TIMES, "return latents * self.scale - self.config.shift"),
    (OVER, "return self.decode((latents + self.config.shift) / self.scale)"),
    story="the shift is taken off after the scale: it is the mean of latents that are not scaled yet",
    advice="shift first, then scale; back the other way round",
)
measured(
    "one-over-the-variance",
    "1 / z.var(correction=0)",
    story="the scale is one over the variance",
    advice="one over the deviation, the variance's root",
)
measured(
    "mean-not-taken-off",
    "1 / z.square().mean().sqrt()",
    story="the root of the mean square is taken: the mean of the latents is in it",
    advice="the deviation is around the mean: std",
)
measured(
    "mean-of-the-images'",
    "1 / z.flatten(1).std(dim=1, correction=0).mean()",
    story="the deviations of single images are averaged",
    advice="one deviation of all numbers together",
)
measured(
    "mean-of-the-channels'",
    "1 / z.transpose(0, 1).flatten(1).std(dim=1, correction=0).mean()",
    story="the deviations of the channels are averaged",
    advice="one deviation of all numbers together",
)
measured(
    "mean-size",
    "1 / (z - z.mean()).abs().mean()",
    story="the mean distance from the mean is taken for the deviation",
    advice="the deviation is the root of the mean square of the distances",
)
measured(
    "the-first-image-only",
    "1 / z[0].std(correction=0)",
    story="only the first image is measured",
    advice="all images together: no [0]",
)
exercise.edit(
    "means-measured",
    (SET, "self.scale.copy_(1 / self.encode(images).mean.std(correction=0))"),
    story="the means are measured, not what is drawn",
    advice="diffusion gets drawn latents: draw them here too",
)
exercise.edit(
    "scaled-latents-measured",
    (SET, "self.scale.copy_(1 / self.to_latents(images, generator).std(correction=0))"),
    story="latents are measured that the old scale is in already",
    advice="measure draw(self.encode(images)), not to_latents",
)
exercise.edit(
    "multiplied-on",
    (SET, "self.scale.mul_(1 / draw(self.encode(images), generator).std(correction=0))"),
    story="the old scale is multiplied by the new one",
    advice="the old scale is replaced",
)
exercise.edit(
    "never-set",
    (SET, "self.scale + 1 / draw(self.encode(images), generator).std(correction=0)"),
    story="the scale is worked out, but self.scale stays as it is",
    advice="write it into the buffer: self.scale.copy_(...)",
)
exercise.edit(
    "with-a-gradient",
    ("@torch.no_grad()\n    def fit_scale", "def fit_scale"),
    (SET, "self.scale = 1 / draw(self.encode(images), generator).std(correction=0)"),
    story="the scale keeps the graph of the images it was measured on",
    advice="under torch.no_grad(), into the buffer",
)
exercise.edit(
    "divided-first",
    (TIMES, "return (latents - self.config.shift) / self.scale"),
    (OVER, "return self.decode(latents * self.scale + self.config.shift)"),
    story="latents are divided by the scale, and multiplied before they are decoded",
    advice="the other way round: the scale is one over the deviation",
)
exercise.edit(
    "not-scaled-back",
    (OVER, "return self.decode(latents + self.config.shift)"),
    story="latents are decoded without the scale taken off",
    advice="divide by self.scale first: the decoder learned from latents of their own size",
)
exercise.edit(
    "scaled-twice",
    (OVER, "return self.decode(latents * self.scale + self.config.shift)"),
    story="latents are multiplied by the scale again before they are decoded",
    advice="divide: what was multiplied must be undone",
)
exercise.edit(
    "not-scaled",
    (TIMES, "return latents - self.config.shift"),
    story="latents are handed out without the scale",
    advice="times self.scale",
)
exercise.edit(
    "mean-latents",
    (DRAWN, "latents = self.encode(images).mean"),
    story="the means are handed out: nothing is drawn",
    advice="draw of the posterior",
)
exercise.edit(
    "doubt-not-scaled",
    (
        DRAWN,
        "posterior = self.encode(images)\n        noise = draw(posterior, generator) - posterior.mean\n"
        "        latents = posterior.mean + noise / self.scale",
    ),
    story="only the mean is multiplied by the scale, the noise of the draw is not",
    advice="draw first, then multiply all of it",
)
exercise.edit(
    "latents-detached",
    (DRAWN, f"{DRAWN}.detach()"),
    story="latents are cut off from the images",
    advice="no detach(): who wants no gradient asks for it",
)


@exercise.right("by the mean square")
class ByTheMeanSquare(VAE):
    def to_latents(self, images, generator=None):
        return self.scale * (draw(self.encode(images), generator) - self.config.shift)

    def to_images(self, latents):
        return self.decode(self.config.shift + latents * (1 / self.scale))

    @torch.no_grad()
    def fit_scale(self, images, generator=None):
        latents = draw(self.encode(images), generator).double()
        variance = (latents**2).mean() - latents.mean() ** 2
        self.scale.fill_(variance.item() ** -0.5)


@exercise.right("a new tensor in the buffer's place")
class NewTensor(ByTheMeanSquare):
    def fit_scale(self, images, generator=None):
        with torch.no_grad():
            self.scale = draw(self.encode(images), generator).std().reciprocal()


@exercise.disguise("scaled-latents-measured")
class ScaledLatentsMeasuredToo(ByTheMeanSquare):
    def fit_scale(self, images, generator=None):
        with torch.no_grad():
            self.scale = self.to_latents(images, generator).std(correction=0) ** -1


@exercise.disguise("mean-not-taken-off")
class MeanNotTakenOffToo(ByTheMeanSquare):
    @torch.no_grad()
    def fit_scale(self, images, generator=None):
        latents = draw(self.encode(images), generator)
        self.scale.copy_(latents.numel() ** 0.5 / latents.norm())


@exercise.disguise("divided-first")
class DividedFirstToo(ByTheMeanSquare):
    def to_latents(self, images, generator=None):
        return (draw(self.encode(images), generator) - self.config.shift) * self.scale**-1

    def to_images(self, latents):
        return self.decode(self.scale * latents + self.config.shift)
