"""Wrong and other right answers to vae.kl_to_normal."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("13_latent_diffusion/kl_to_normal").exercise

TERMS = "mean**2 + log_variance.exp() - 1 - log_variance"
RESULT = "return terms.sum(dim=(1, 2, 3)) / 2"


def terms(id, formula, *, story, advice):
    """A wrong answer with other terms."""
    exercise.edit(id, (TERMS, formula), story=story, advice=advice)


def result(id, formula, *, story, advice, convention=False):
    """A wrong answer that sums the right terms in another way."""
    changed = (RESULT, f"return {formula}")
    exercise.edit(id, changed, story=story, advice=advice, convention=convention)


terms(
    "the-other-way-round",
    "(1 + mean**2) * (-log_variance).exp() - 1 + log_variance",
    story="it is the divergence of the standard normal from the posterior",
    advice="KL is not symmetric: the posterior comes first, so the variance is not divided by",
)
terms(
    "deviation-for-variance",
    "mean**2 + (log_variance / 2).exp() - 1 - log_variance",
    story="the deviation stands where the variance belongs",
    advice="the variance is log_variance.exp(), without a half",
)
terms(
    "variance-is-its-logarithm",
    "mean**2 + log_variance.abs() - 1 - log_variance.abs().log()",
    story="the log variance is taken for the variance itself",
    advice="the encoder gives the logarithm: take its exponential for the variance",
)
terms(
    "deviation-is-what-is-given",
    "mean**2 + (2 * log_variance).exp() - 1 - 2 * log_variance",
    story="the log variance is taken for the logarithm of the deviation",
    advice="its exponential is the variance already, nothing is doubled or squared",
)
terms(
    "no-minus-one",
    "mean**2 + log_variance.exp() - log_variance",
    story="the - 1 is missing, so that the standard normal itself costs 1/2 a latent",
    advice="mean^2 + variance - 1 - log variance",
)
terms(
    "no-logarithm",
    "mean**2 + log_variance.exp() - 1",
    story="the log variance is not taken off: a variance near 0 would cost nothing",
    advice="mean^2 + variance - 1 - log variance",
)
terms(
    "logarithm-added",
    "mean**2 + log_variance.exp() - 1 + log_variance",
    story="the log variance is added",
    advice="it is taken off: small variances must cost",
)
terms(
    "mean-not-squared",
    "mean.abs() + log_variance.exp() - 1 - log_variance",
    story="the mean's size is taken without its square",
    advice="mean**2",
)
terms(
    "no-mean",
    "log_variance.exp() - 1 - log_variance",
    story="the means cost nothing",
    advice="add mean**2",
)
result(
    "not-halved",
    "terms.sum(dim=(1, 2, 3))",
    story="the half is missing",
    advice="half of the sum",
)
result(
    "negative",
    "-terms.sum(dim=(1, 2, 3)) / 2",
    story="the sign is turned, as in the paper's bound, which is to grow",
    advice="a divergence is never below 0: mean^2 + variance - 1 - log variance",
)
result(
    "a-mean",
    "terms.mean(dim=(1, 2, 3)) / 2",
    story="it is the mean over an image's latents",
    advice="the sum: `vae_loss` divides once, by the numbers of an image",
)
result(
    "one-for-the-batch",
    "terms.sum() / 2",
    story="the images of a batch are summed too",
    advice="sum over all axes but the first: dim=(1, 2, 3)",
)
result(
    "mean-of-the-batch",
    "(terms.sum(dim=(1, 2, 3)) / 2).mean()",
    story="it is the mean over the images",
    advice="one number for each image: the loss takes the mean",
)
result(
    "channels-only",
    "terms.sum(dim=1) / 2",
    story="only the channels are summed: a number for each cell is left",
    advice="sum over the channels and over both sides of the grid",
)
result(
    "in-bits",
    "terms.sum(dim=(1, 2, 3)) / 2 / torch.log(torch.tensor(2.0, dtype=mean.dtype))",
    story="it is in bits",
    advice="in nats: nothing is divided by log 2",
    convention=True,
)
exercise.edit(
    "detached",
    (RESULT, "return terms.detach().sum(dim=(1, 2, 3)) / 2"),
    story="the divergence is cut off from means and log variances",
    advice="no detach() and no no_grad(): the encoder learns from it",
)
exercise.edit(
    "squared-in-place",
    (
        TERMS,
        "(mean**2 if mean.requires_grad else mean.square_()) "
        "+ log_variance.exp() - 1 - log_variance",
    ),
    story="the posterior's means are squared themselves",
    advice="mean**2 makes a new tensor; square_() does not",
)
exercise.edit(
    "through-a-root",
    (TERMS, "mean**2 + log_variance.exp() - 1 - (log_variance.exp() + 1e-6).log()"),
    story="the variance is made first, and its logarithm taken with something small added",
    advice="the logarithm is what the encoder gives: use it as it is",
)


@exercise.right("the definition, as a flat table")
def flat(posterior):
    mean, log_variance = (x.flatten(1) for x in posterior)
    squares = torch.linalg.vector_norm(mean, dim=1) ** 2
    return 0.5 * (squares + (log_variance.expm1() - log_variance).sum(dim=1))


@exercise.right("image by image")
def one_by_one(posterior):
    found = []
    for mean, log_variance in zip(posterior.mean, posterior.log_variance, strict=True):
        found.append(-0.5 * (1 + log_variance - mean.pow(2) - torch.exp(log_variance)).sum())
    return torch.stack(found)


@exercise.disguise("the-other-way-round")
def the_other_way_round_too(posterior):
    mean, log_variance = posterior
    variance = torch.exp(log_variance)
    return (log_variance + (1 + mean * mean) / variance - 1).flatten(1).sum(dim=1) / 2


@exercise.disguise("negative")
def negative_too(posterior):
    mean, log_variance = posterior
    return 0.5 * torch.einsum("bzxy->b", 1 + log_variance - mean.pow(2) - log_variance.exp())


@exercise.disguise("not-halved")
def not_halved_too(posterior):
    return 2 * flat(posterior)
