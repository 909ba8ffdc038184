"""Exercise vae.kl_to_normal: how far an image's latents are from the standard normal."""

import torch
from torch.distributions import Normal, kl_divergence

from scratchmm.diffusion.vae import DiagonalGaussian
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="vae.kl_to_normal",
    order=20,
    target="scratchmm.diffusion.vae:kl_to_normal",
    title="Not too far from normal",
    goal="for each image half the sum of mean^2 + variance - 1 - log variance",
    minutes=10,
    difficulty=2,
    section="Compressed",
    needs=("vae.draw",),
    forbidden=("torch.distributions.kl.kl_divergence",),
    hints="""
        1. An image with one latent, mean 2 and log variance 0, is a normal distribution moved by 2:
           the divergence is (4 + 1 - 1 - 0) / 2 = 2. With mean 0 and log variance 0 it is 0, and
           everywhere else it is above 0.
        2. The decoder must also decode latents that no image gave: so they must not lie
           scattered far apart, nor each be a single point. A mean away from 0 costs, a variance
           above 1 costs, and a variance near 0 costs through its logarithm.
        3. Mean and log variance are (B, Z, X, Y). The variance is the exponential of the logarithm.
           Four terms for each number, (B, Z, X, Y); then the sum over all axes but the batch, (B,),
           and half of it.
        4. mean, log_variance = posterior; half the sum over dim=(1, 2, 3) of mean**2 +
           log_variance.exp() - 1 - log_variance
    """,
)


def posterior(case, B=3, Z=2, X=4, Y=5, scale=0.7):
    """Means and log variances, both of either sign."""
    mean = case.normal(B=B, Z=Z, X=X, Y=Y)
    return DiagonalGaussian(mean, case.normal(B=B, Z=Z, X=X, Y=Y, scale=scale))


def slow(posterior):
    """The oracle: torch's own distributions, summed for each image."""
    mean, log_variance = posterior
    terms = kl_divergence(Normal(mean, log_variance.exp().sqrt()), Normal(0.0, 1.0))
    return torch.stack([one.sum() for one in terms])


@exercise.holds("one number for each image")
def shape(kl_to_normal, case):
    case.shape(case.call(kl_to_normal, posterior(case)), "B")


@exercise.holds("0 for the standard normal itself")
def nothing(kl_to_normal, case):
    zeros = torch.zeros(3, 2, 4, 5)
    case.equal(case.call(kl_to_normal, DiagonalGaussian(zeros, zeros.clone())), torch.zeros(3))


@exercise.holds("half of the means' squares, where the variances are 1")
def only_means(kl_to_normal, case):
    mean = case.normal(B=3, Z=2, X=4, Y=5)
    expected = torch.stack([(one * one).sum() / 2 for one in mean])
    got = case.call(kl_to_normal, DiagonalGaussian(mean, torch.zeros_like(mean)))
    case.equal(got, expected)


@exercise.holds(
    "with mean 0 a variance of e costs (e - 2) / 2 a latent, and one of 1 / e costs 1 / 2e"
)
def only_variances(kl_to_normal, case):
    zeros, e = torch.zeros(2, 1, 1, 3), torch.e
    variances = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand(2, 1, 1, 3)
    got = case.call(kl_to_normal, DiagonalGaussian(zeros, variances.contiguous()))
    case.equal(got, torch.tensor([3 * (e - 2) / 2, 3 / e / 2]))


@exercise.holds("it is torch's divergence, summed over an image's latents")
def as_torch(kl_to_normal, case):
    given = posterior(case)
    expected = slow(given)
    case.equal(case.call(kl_to_normal, given), expected)


@exercise.holds("it stays finite where the variance is as small as the encoder lets it be")
def tiny_variances(kl_to_normal, case):
    mean = case.normal(B=2, Z=2, X=3, Y=1)
    expected = torch.stack([((one * one).double().sum() + 6 * 29) / 2 for one in mean])
    got = case.call(kl_to_normal, DiagonalGaussian(mean, torch.full_like(mean, -30.0)))
    case.finite(got)
    case.equal(got, expected.float())


@exercise.holds("means and log variances stay as they were")
def unchanged(kl_to_normal, case):
    given = posterior(case)
    before = [x.clone() for x in given]
    case.call(kl_to_normal, given)
    for name, now, old in zip(given._fields, given, before, strict=True):
        case.equal(case.seen(now), old, name)


@exercise.holds("the gradients reach means and log variances")
def gradients(kl_to_normal, case):
    def of_both(mean, log_variance):
        return kl_to_normal(DiagonalGaussian(mean, log_variance))

    case.gradients(of_both, lambda mean, v: slow(DiagonalGaussian(mean, v)), *posterior(case))


exercise.mistakes("""
    the-other-way-round: it is the divergence of the standard normal from the posterior
    - terms = mean**2 + log_variance.exp() - 1 - log_variance
    + terms = (1 + mean**2) * (-log_variance).exp() - 1 + log_variance
    > KL is not symmetric: the posterior comes first, so the variance is not divided by

    deviation-for-variance: the deviation stands where the variance belongs
    - terms = mean**2 + log_variance.exp() - 1 - log_variance
    + terms = mean**2 + (log_variance / 2).exp() - 1 - log_variance
    > the variance is log_variance.exp(), without a half

    variance-is-its-logarithm: the log variance is taken for the variance itself
    - terms = mean**2 + log_variance.exp() - 1 - log_variance
    + terms = mean**2 + log_variance.abs() - 1 - log_variance.abs().log()
    > the encoder gives the logarithm: take its exponential for the variance

    deviation-is-what-is-given: the log variance is taken for the logarithm of the deviation
    - terms = mean**2 + log_variance.exp() - 1 - log_variance
    + terms = mean**2 + (2 * log_variance).exp() - 1 - 2 * log_variance
    > its exponential is the variance already, nothing is doubled or squared

    no-logarithm: the log variance is not taken off: a variance near 0 would cost nothing
    - terms = mean**2 + log_variance.exp() - 1 - log_variance
    + terms = mean**2 + log_variance.exp() - 1
    > mean^2 + variance - 1 - log variance

    in-bits [convention]: it is in bits
    - return terms.sum(dim=(1, 2, 3)) / 2
    + return terms.sum(dim=(1, 2, 3)) / 2 / torch.log(torch.tensor(2.0, dtype=mean.dtype))
    > in nats: nothing is divided by log 2

    detached: the divergence is cut off from means and log variances
    - return terms.sum(dim=(1, 2, 3)) / 2
    + return terms.detach().sum(dim=(1, 2, 3)) / 2
    > no detach() and no no_grad(): the encoder learns from it

    squared-in-place: the posterior's means are squared themselves
    - terms = mean**2 + log_variance.exp() - 1 - log_variance
    + terms = mean.square_() + log_variance.exp() - 1 - log_variance
    > mean**2 makes a new tensor; square_() does not

    through-a-root: the variance is made first, and its logarithm taken with something small added
    - terms = mean**2 + log_variance.exp() - 1 - log_variance
    + terms = mean**2 + log_variance.exp() - 1 - (log_variance.exp() + 1e-6).log()
    > the logarithm is what the encoder gives: use it as it is
""")

exercise.slips("""
    mean**2 => mean.abs()
    mean**2 => (mean**2 if mean.requires_grad else mean.square_())
    terms.sum(dim=(1, 2, 3)) / 2 => (terms.sum(dim=(1, 2, 3)) / 2).mean()
    (1, 2, 3) => 1
    terms.sum => terms.mean
    terms.sum(dim=(1, 2, 3)) => terms.sum()
    terms.sum(dim=(1, 2, 3)) => -terms.sum(dim=(1, 2, 3))
    terms.sum(dim=(1, 2, 3)) / 2 => (terms.sum(dim=(1, 2, 3)) / 2).mean().expand(len(mean))
""")


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
