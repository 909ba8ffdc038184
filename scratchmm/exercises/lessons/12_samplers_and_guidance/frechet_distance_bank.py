"""Wrong and other right answers to fid.frechet_distance."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("12_samplers_and_guidance/frechet_distance").exercise

HALF = "half = root(one.covariance)"
PRODUCT = "half @ other.covariance @ half "
SHARED = "shared = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()"
MEANS = "(one.mean - other.mean).square().sum()"
RESULT = "return max(distance.item(), 0.0)"

exercise.edit(
    "roots-of-entries",
    (SHARED, "shared = (one.covariance @ other.covariance).abs().sqrt().trace()"),
    story="the root of C1 C2 is taken of each entry",
    advice="the matrix that multiplied by itself gives C1 C2: by its eigenvalues",
)
exercise.edit(
    "half-of-entries",
    (HALF, "half = one.covariance.abs().sqrt()"),
    story="the root of C1 is taken of each entry",
    advice="eigenvectors times the roots of the eigenvalues times eigenvectors transposed",
)
exercise.edit(
    "no-factor-two",
    ("- 2 * shared", "- shared"),
    story="sqrt(C1 C2) is subtracted once",
    advice="twice: a crowd is nowhere away from itself",
)
exercise.edit(
    "means-not-squared",
    (MEANS, "(one.mean - other.mean).norm()"),
    story="the distance of the means is not squared",
    advice="the sum of the squares, without a root",
)
exercise.edit(
    "means-averaged",
    (MEANS, "(one.mean - other.mean).square().mean()"),
    story="the squares of the means' differences are averaged over the features",
    advice="their sum",
)
exercise.edit(
    "means-absolute",
    (MEANS, "(one.mean - other.mean).abs().sum()"),
    story="the means' differences are taken without their signs and added",
    advice="the sum of their squares",
)
exercise.edit(
    "means-left-out",
    (MEANS, "0 * one.mean.sum()"),
    story="the means are left out: a crowd that has moved as a whole counts as the same",
    advice="add the squared distance of the means",
)
exercise.edit(
    "means-only",
    (
        "distance = means + one.covariance.trace() + other.covariance.trace() - 2 * shared",
        "distance = means",
    ),
    story="only the means are compared: crowds without any variety look the same",
    advice="add trace(C1 + C2 - 2 sqrt(C1 C2))",
)
exercise.edit(
    "variances-only",
    (SHARED, "shared = (one.covariance.diagonal() * other.covariance.diagonal()).sqrt().sum()"),
    story="only the variances are used, as if the features were independent of each other",
    advice="the root of the whole product C1 C2, not of its diagonal",
)
exercise.edit(
    "roots-multiplied",
    (SHARED, "shared = (half @ root(other.covariance)).trace()"),
    story="the trace of sqrt(C1) sqrt(C2) is taken, which is that of sqrt(C1 C2) only where both "
    "lean alike",
    advice="the roots of the eigenvalues of sqrt(C1) C2 sqrt(C1)",
)
exercise.edit(
    "product-not-rooted",
    (SHARED, "shared = torch.linalg.eigvalsh(product).clamp(min=0).sum()"),
    story="the trace of C1 C2 itself is subtracted, without the root",
    advice="the sum of the roots of its eigenvalues",
)
exercise.edit(
    "root-of-the-trace",
    (SHARED, "shared = torch.linalg.eigvalsh(product).clamp(min=0).sum().sqrt()"),
    story="the root is taken of the sum of the eigenvalues",
    advice="of each eigenvalue, and then the sum",
)
exercise.edit(
    "singular-values",
    (SHARED, "shared = torch.linalg.svdvals(one.covariance @ other.covariance).sqrt().sum()"),
    story="the singular values of C1 C2 are taken for its eigenvalues",
    advice="C1 C2 is not symmetric, so they differ: take the eigenvalues of sqrt(C1) C2 sqrt(C1)",
)
exercise.edit(
    "as-if-symmetric",
    (PRODUCT, "one.covariance @ other.covariance "),
    story="eigvalsh is asked about C1 C2, which is not symmetric: it reads one triangle of it",
    advice="sqrt(C1) C2 sqrt(C1) has the same eigenvalues, and is symmetric",
)
exercise.edit(
    "half-on-one-side",
    (PRODUCT, "half @ other.covariance "),
    story="sqrt(C1) stands on one side only",
    advice="sqrt(C1) C2 sqrt(C1)",
)
exercise.edit(
    "sums-for-traces",
    (
        "one.covariance.trace() + other.covariance.trace()",
        "one.covariance.sum() + other.covariance.sum()",
    ),
    story="all entries of the covariances are added",
    advice="the trace: only the diagonal",
)
exercise.edit(
    "plus-for-minus",
    ("- 2 * shared", "+ 2 * shared"),
    story="the root is added",
    advice="C1 + C2 - 2 sqrt(C1 C2)",
)
exercise.edit(
    "by-cholesky",
    (HALF, "half = torch.linalg.cholesky(one.covariance)"),
    (PRODUCT, "half.T @ other.covariance @ half "),
    story="C1 is taken apart by Cholesky, which fails where it has no inverse: with few samples",
    advice="by eigenvalues, those that rounding has put below 0 taken for 0",
)
exercise.edit(
    "below-zero",
    (
        HALF,
        "values, vectors = torch.linalg.eigh(one.covariance)\n"
        "    half = vectors * (values - 1e-12).sqrt() @ vectors.T",
    ),
    story="eigenvalues a rounding below 0 have a root that is nan",
    advice="clamp(min=0) before the root",
)
exercise.edit(
    "the-root-of-all",
    (RESULT, "return max(distance.item(), 0.0) ** 0.5"),
    story="the distance itself is returned, not its square",
    advice="FID is the squared distance",
    convention=True,
)
exercise.edit(
    "a-tensor",
    (RESULT, "return distance.clamp(min=0)"),
    story="the result is a tensor",
    advice="a float: .item()",
)
exercise.edit(
    "rounded-below-zero",
    (RESULT, "return distance.item()"),
    story="rounding can bring the distance a little below 0",
    advice="max(distance, 0.0)",
)
exercise.edit(
    "any-covariance",
    ("check_statistics(statistics)", "pass"),
    story="it does not refuse a covariance of other features than the mean's",
    advice="raise a ValueError unless the covariance is (D, D) for a mean of (D,)",
)
exercise.edit(
    "centred-in-place",
    (MEANS, "one.mean.sub_(other.mean).square().sum()"),
    story="the caller's own mean is changed",
    advice="one.mean - other.mean makes a new tensor",
)
exercise.edit(
    "any-widths",
    ("raise ValueError", "str"),
    story="features of different widths are taken as they come",
    advice="compare the shapes of the means, and raise a ValueError that names both",
)


def apart(one, other):
    """The squares and the traces, after the refusal that every answer here makes as asked."""
    for mean, covariance in (one, other):
        if covariance.shape != (len(mean), len(mean)) or len(mean) != len(one.mean):
            raise ValueError("widths")
    return ((one.mean - other.mean) ** 2).sum() + (one.covariance + other.covariance).trace()


@exercise.right("complex eigenvalues")
def complex_eigenvalues(one, other):
    base = apart(one, other)
    roots = torch.linalg.eigvals(one.covariance @ other.covariance).sqrt().real
    return max(float(base - 2 * roots.sum()), 0.0)


@exercise.right("singular values of the roots")
def of_the_roots(one, other):
    base = apart(one, other)
    values, vectors = zip(*(torch.linalg.eigh(c) for _, c in (one, other)), strict=True)
    halves = [v * e.clamp(min=0).sqrt() for v, e in zip(vectors, values, strict=True)]
    return float((base - 2 * torch.linalg.svdvals(halves[0].T @ halves[1]).sum()).clamp(min=0))


@exercise.disguise("variances-only")
def variances_only_too(one, other):
    base = apart(one, other)
    deviations = [c.diagonal().sqrt() for _, c in (one, other)]
    return float(base - 2 * deviations[0] @ deviations[1])


@exercise.disguise("no-factor-two")
def no_factor_two_too(one, other):
    return (complex_eigenvalues(one, other) + float(apart(one, other))) / 2


@exercise.disguise("the-root-of-all")
def the_root_of_all_too(one, other):
    return max(of_the_roots(one, other), 0.0) ** 0.5
