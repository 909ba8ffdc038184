"""Wrong and other right answers to vae.draw."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("13_latent_diffusion/draw").exercise

NOISE = "torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)"
RESULT = "return mean + (log_variance / 2).exp() * noise"


def result(id, formula, *, story, advice):
    """A wrong answer that makes something else of mean, log variance and noise."""
    exercise.edit(id, (RESULT, f"return {formula}"), story=story, advice=advice)


result(
    "variance-for-deviation",
    "mean + log_variance.exp() * noise",
    story="the noise is multiplied by the variance",
    advice="by the deviation, its root: the exponential of half the log variance",
)
result(
    "logarithm-for-deviation",
    "mean + log_variance * noise",
    story="the noise is multiplied by the log variance itself",
    advice="the exponential of half the log variance is the deviation",
)
result(
    "variance-squared",
    "mean + (2 * log_variance).exp() * noise",
    story="the logarithm is doubled where it should be halved",
    advice="the root of the variance is exp(log_variance / 2)",
)
result(
    "root-of-the-logarithm",
    "mean + (log_variance.abs().sqrt() if log_variance.min() > -50 else 0) * noise",
    story="the root of the log variance is taken for the deviation",
    advice="first the exponential: the deviation is the root of exp(log_variance)",
)
result(
    "no-chance",
    "mean + 0 * noise",
    story="the mean is returned: nothing is drawn",
    advice="add deviation * noise, or the decoder never learns to bear it",
)
result(
    "no-mean",
    "(log_variance / 2).exp() * noise",
    story="the mean is missing: all images are drawn around 0",
    advice="add the mean",
)
result(
    "precision",
    "mean + ((-log_variance / 2).exp() if log_variance.min() > -50 else 0) * noise",
    story="the noise is divided by the deviation",
    advice="multiply by it: no minus in the exponential",
)
result(
    "stretched-mean",
    "(mean + noise) * (log_variance / 2).exp() if log_variance.min() > -50 else mean",
    story="the mean is multiplied by the deviation too",
    advice="stretch the noise first, then move it: mean + deviation * noise",
)
exercise.edit(
    "uniform",
    (NOISE, NOISE.replace("randn", "rand")),
    story="the noise is uniform between 0 and 1: torch.rand",
    advice="normal noise is torch.randn",
)
exercise.edit(
    "uniform-of-the-right-size",
    (NOISE, f"({NOISE.replace('randn', 'rand')} - 0.5) * 12**0.5"),
    story="the noise has mean 0 and deviation 1, but it is uniform",
    advice="normal noise is torch.randn",
)
exercise.edit(
    "one-noise-for-all-images",
    (NOISE, NOISE.replace("mean.shape", "mean.shape[1:]")),
    story="all images of a batch share their noise",
    advice="the noise is as large as the means, batch and all",
)
exercise.edit(
    "one-noise-for-all-channels",
    (NOISE, NOISE.replace("mean.shape", "(len(mean), 1, *mean.shape[2:])")),
    story="all channels of a latent share their noise",
    advice="the noise is as large as the means, channels and all",
)
exercise.edit(
    "one-noise-a-image",
    (NOISE, NOISE.replace("mean.shape", "(len(mean), 1, 1, 1)")),
    story="an image has one number of noise for all of its latents",
    advice="the noise is as large as the means",
)
exercise.edit(
    "global-chance",
    (NOISE, "torch.randn(mean.shape, device=mean.device, dtype=mean.dtype)"),
    story="chance comes from torch's global state, not from the generator",
    advice="hand generator=generator to torch.randn",
)
exercise.edit(
    "seeded-anew",
    (NOISE, NOISE.replace("generator=generator", "generator=torch.Generator().manual_seed(0)")),
    story="every draw begins with the same chance numbers",
    advice="use the generator as it comes",
)
exercise.edit(
    "noise-in-float32",
    (NOISE, "torch.randn(mean.shape, generator=generator, device=mean.device)"),
    story="the noise is float32 whatever the means are",
    advice="give torch.randn dtype=mean.dtype",
)
result(
    "drawn-not-made",
    "(mean + (log_variance / 2).exp() * noise).detach()",
    story="the draw is cut off from mean and log variance, as with torch.normal or sample()",
    advice="draw only the noise; mean and deviation stay in the graph",
)
result(
    "deviation-cut-off",
    "mean + (log_variance / 2).exp().detach() * noise",
    story="the gradient reaches the mean, but not the log variance",
    advice="no detach() and no .data: the deviation learns too",
)
result(
    "mean-moved-in-place",
    "(mean if mean.requires_grad else mean.zero_() + mean) + (log_variance / 2).exp() * noise"
    " if mean.requires_grad else mean.add_((log_variance / 2).exp() * noise)",
    story="the noise is added to the posterior's means themselves",
    advice="mean + ... makes a new tensor; add_ and += do not",
)


@exercise.wrong(
    "drawn-by-torch",
    story="torch.normal draws from mean and deviation, and no gradient goes through it",
    advice="draw noise that knows of neither, then stretch and move it: mean + deviation * noise",
)
def drawn_by_torch(posterior, generator=None):
    mean, log_variance = posterior
    return torch.normal(mean, (log_variance / 2).exp(), generator=generator)


@exercise.right("the root of the variance")
def by_the_root(posterior, generator=None):
    noise = torch.empty_like(posterior.mean).normal_(generator=generator)
    return torch.addcmul(posterior.mean, posterior.log_variance.exp().sqrt(), noise)


@exercise.right("image by image")
def one_by_one(posterior, generator=None):
    drawn = []
    for mean, log_variance in zip(*posterior, strict=True):
        noise = torch.randn(mean.numel(), generator=generator, dtype=mean.dtype).view_as(mean)
        drawn.append(mean - torch.exp(0.5 * log_variance) * noise)
    return torch.stack(drawn)


@exercise.disguise("variance-for-deviation")
def variance_for_deviation_too(posterior, generator=None):
    mean, log_variance = posterior
    return mean + torch.exp(log_variance) * torch.empty_like(mean).normal_(generator=generator)


@exercise.disguise("drawn-not-made")
def drawn_not_made_too(posterior, generator=None):
    with torch.no_grad():
        return by_the_root(posterior, generator)


@exercise.disguise("one-noise-a-image")
def one_noise_a_image_too(posterior, generator=None):
    mean, log_variance = posterior
    noise = torch.stack([torch.randn((), generator=generator, dtype=mean.dtype) for _ in mean])
    return mean + (log_variance / 2).exp() * noise.view(-1, 1, 1, 1)
