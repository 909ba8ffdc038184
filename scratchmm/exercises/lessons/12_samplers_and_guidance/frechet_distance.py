"""Exercise fid.frechet_distance: how far are two normal distributions apart?"""

import math

import torch

from scratchmm.exercises.format import Exercise
from scratchmm.metrics.fid import Statistics

exercise = Exercise(
    id="fid.frechet_distance",
    order=60,
    target="scratchmm.metrics.fid:frechet_distance",
    title="The distance of two Gaussians",
    goal="|m1 - m2|^2 + trace(C1 + C2 - 2 sqrt(C1 C2)) of two means and covariances, as a float",
    minutes=20,
    difficulty=3,
    section="How far from real",
    parts=("root",),
    hints="""
        1. Means 1 and 4, variances 4 and 9: the distance is (1 - 4)^2 + 4 + 9 - 2 * 6 = 10. Two
           features with covariance [[1, 0.9], [0.9, 1]] against [[1, -0.9], [-0.9, 1]]: the
           variances are equal, but the distance is 4 - 4 * sqrt(0.19) = 2.26.
        2. It is what moving one distribution to the other costs. The root of a matrix is the one
           that, multiplied by itself, gives the matrix, not the root of each entry. Its trace is
           the sum of the roots of the eigenvalues: that is all you need.
        3. Refuse what does not match. Squares of the differences of the means (D,), summed. The two
           traces. C1 C2 (D, D) is not symmetric, but has the eigenvalues of R C2 R, where R R = C1:
           eigenvectors of C1 times the roots of its eigenvalues, times eigenvectors transposed.
           Eigenvalues of that, at least 0, their roots, the sum, subtracted twice.
        4. values, vectors = torch.linalg.eigh(one.covariance); half = vectors * values.clamp(min=0)
           .sqrt() @ vectors.T; shared = torch.linalg.eigvalsh(half @ other.covariance @ half)
           .clamp(min=0).sqrt().sum(); the result is (the squares + both traces - 2 * shared).item()
    """,
)


def distribution(case, D):
    """A mean (D,) and a covariance (D, D) that has an inverse, float64."""
    spread = case.normal(N=2 * D, D=D, dtype=torch.float64)
    return Statistics(case.normal(D=D, dtype=torch.float64), spread.T @ spread / len(spread))


def rooted(matrix, rounds=40):
    """The root of a positive matrix by Denman and Beavers: no eigenvalues."""
    found, inverse = matrix, torch.eye(len(matrix), dtype=matrix.dtype)
    for _ in range(rounds):
        found, inverse = (found + inverse.inverse()) / 2, (inverse + found.inverse()) / 2
    return found


def slow(one, other):
    """The oracle: the formula as it stands."""
    means = sum((a - b) ** 2 for a, b in zip(one.mean.tolist(), other.mean.tolist(), strict=True))
    shared = rooted(one.covariance @ other.covariance).trace()
    return means + float(one.covariance.trace() + other.covariance.trace() - 2 * shared)


@exercise.holds("uncorrelated features: the squared distances of all means and deviations")
def independent(frechet_distance, case):
    deviations = [case.normal(D=3, dtype=torch.float64).abs() + 0.3 for _ in range(2)]
    means = [case.normal(D=3, dtype=torch.float64) for _ in range(2)]
    given = [Statistics(m, torch.diag(d**2)) for m, d in zip(means, deviations, strict=True)]
    expected = (means[0] - means[1]).square().sum() + (deviations[0] - deviations[1]).square().sum()
    case.equal(case.call(frechet_distance, *given), expected.item())


@exercise.holds("of one feature: squared distance of the means and of the deviations; a float")
def one_feature(frechet_distance, case):
    def single(mean, deviation):
        return Statistics(torch.tensor([mean]).double(), torch.tensor([[deviation**2]]).double())

    case.each(
        frechet_distance,
        ((single(1.0, 2.0), single(4.0, 3.0)), 10.0),
        ((single(0.0, 0.5), single(0.0, 0.5)), 0.0),
    )


@exercise.holds("the same variances, but the opposite correlation: the distance is not 0")
def leaning(frechet_distance, case):
    mean = torch.zeros(2).double()
    one, other = (
        Statistics(mean, torch.tensor([[1.0, lean], [lean, 1.0]]).double()) for lean in (0.9, -0.9)
    )
    case.equal(case.call(frechet_distance, one, other), 4 - 4 * math.sqrt(0.19))


@exercise.holds("the root is the matrix that multiplied by itself gives C1 C2")
def by_iteration(frechet_distance, case):
    pairs = [(distribution(case, D), distribution(case, D)) for D in (2, 5)]
    case.each(frechet_distance, *((pair, slow(*pair)) for pair in pairs))


@exercise.holds("0 to itself, and the same both ways")
def symmetric(frechet_distance, case):
    one, other = distribution(case, 4), distribution(case, 4)
    away = slow(one, other)
    case.each(frechet_distance, ((one, one), 0.0), ((one, other), away), ((other, one), away))


@exercise.holds("few samples, so that no covariance has an inverse: a number all the same")
def flat(frechet_distance, case):
    few, fewer = (case.normal(N=N, D=6, dtype=torch.float64) for N in (3, 2))
    mean = case.normal(D=6, dtype=torch.float64)
    given = (Statistics(mean, x.T @ x) for x in (few, fewer))
    got = case.call(frechet_distance, *given)
    # With C1 = X'X and C2 = Y'Y the roots of the eigenvalues are the singular values of XY'.
    shared = torch.linalg.svdvals(few @ fewer.T).sum()
    case.equal(got, float(few.square().sum() + fewer.square().sum() - 2 * shared))


@exercise.holds("rounding never brings it below 0")
def not_below(frechet_distance, case):
    for D in range(2, 12):
        one = distribution(case, D)
        got = case.call(frechet_distance, one, Statistics(*one))
        case.true(isinstance(got, float) and got >= 0, "a float from 0 on", got)


@exercise.holds("means and covariances stay as they were")
def unchanged(frechet_distance, case):
    one, other = distribution(case, 3), distribution(case, 3)
    before = [value.clone() for value in (*one, *other)]
    case.call(frechet_distance, one, other)
    case.equal(case.seen([*one, *other]), before, "means and covariances")


@exercise.holds("means of different widths, or a covariance that is not (D, D): a ValueError")
def refused(frechet_distance, case):
    for one, two in ((distribution(case, a), distribution(case, b)) for a, b in ((3, 2), (1, 3))):
        case.refuses(ValueError, frechet_distance, one, two)
        case.refuses(ValueError, frechet_distance, *[Statistics(one.mean, two.covariance)] * 2)


exercise.mistakes("""
    roots-of-entries: the root of C1 C2 is taken of each entry
    - shared = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    + shared = (one.covariance @ other.covariance).abs().sqrt().trace()
    > the matrix that multiplied by itself gives C1 C2: by its eigenvalues

    variances-only: only the variances are used, as if the features were uncorrelated
    - shared = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    + shared = (one.covariance.diagonal() * other.covariance.diagonal()).sqrt().sum()
    > the root of the whole product C1 C2, not of its diagonal

    roots-multiplied: the trace of sqrt(C1) sqrt(C2), right only where the eigenvectors are the same
    - shared = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    + shared = (half @ root(other.covariance)).trace()
    > the roots of the eigenvalues of sqrt(C1) C2 sqrt(C1)

    singular-values: the singular values of C1 C2 are used instead of its eigenvalues
    - shared = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    + shared = torch.linalg.svdvals(one.covariance @ other.covariance).sqrt().sum()
    > C1 C2 is not symmetric, so they differ: take the eigenvalues of sqrt(C1) C2 sqrt(C1)

    as-if-symmetric: eigvalsh is given C1 C2, which is not symmetric: it reads one triangle of it
    - product = half @ other.covariance @ half
    + product = one.covariance @ other.covariance
    > sqrt(C1) C2 sqrt(C1) has the same eigenvalues, and is symmetric

    by-cholesky: C1 is decomposed by Cholesky, which fails where it has no inverse: few samples
    - half = root(one.covariance)
    - product = half @ other.covariance @ half
    + half = torch.linalg.cholesky(one.covariance)
    + product = half.T @ other.covariance @ half
    > by eigenvalues, clamped to at least 0

    the-root-of-all [convention]: the distance itself is returned, not its square
    - return max(distance.item(), 0.0)
    + return max(distance.item(), 0.0) ** 0.5
    > FID is the squared distance
""")

exercise.slips("""
    half = root(one.covariance) => half = one.covariance.abs().sqrt()
    (one.mean - other.mean).square().sum() => (one.mean - other.mean).abs().sum()
    half @ other.covariance @ half => half @ other.covariance
    one.covariance.trace() => one.covariance.sum() ;; other.covariance.trace() =>
        other.covariance.sum()
    max(distance.item(), 0.0) => distance.clamp(min=0)
    (one.mean - other.mean) => one.mean.sub_(other.mean)
    (one.mean - other.mean).square().sum => (one.mean - other.mean).norm
    .sqrt().sum() => .sum().sqrt()
    max(distance.item(), 0.0) => distance.item()
    means + one.covariance.trace() + other.covariance.trace() - 2 * shared => means
""")


def apart(one, other):
    """The squares and the traces; what does not match is refused."""
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
