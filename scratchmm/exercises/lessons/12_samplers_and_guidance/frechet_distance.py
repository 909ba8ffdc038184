"""Exercise fid.frechet_distance: how far is one crowd from another, in place and in shape?"""

import math

import torch

from scratchmm.exercises.format import Exercise
from scratchmm.metrics.fid import Statistics

exercise = Exercise(
    id="fid.frechet_distance",
    order=60,
    target="scratchmm.metrics.fid:frechet_distance",
    title="The distance of two Gaussians",
    goal="|m1 - m2|^2 + trace(C1 + C2 - 2 sqrt(C1 C2)) of two crowds' statistics, as a float",
    minutes=20,
    difficulty=3,
    section="How far from real",
    parts=("root",),
    hints=(
        "One feature: means 1 and 4, variances 4 and 9. The distance is (1 - 4)^2 + 4 + 9 - 2 * 6 = "
        "10, which is the squared distance of the means, 9, and of the deviations, (2 - 3)^2. Two "
        "features with covariance [[1, 0.9], [0.9, 1]] against [[1, -0.9], [-0.9, 1]]: each alone "
        "is spread alike, but the crowds are 4 - 4 * sqrt(0.19) = 2.26 apart.",
        "To carry one crowd over to the other, move its middle and bend its shape. The root is that "
        "of a matrix: the one that, multiplied by itself, gives the matrix, not the root of each "
        "entry. Its trace is the sum of the roots of the eigenvalues, so the root need not be made.",
        "Refuse means of different widths. Squares of the differences of the means (D,), summed. The "
        "two traces. C1 C2 (D, D) is not symmetric, but has the same eigenvalues as R C2 R, where R "
        "R = C1: eigenvectors of C1 times the roots of its eigenvalues, times eigenvectors "
        "transposed. Eigenvalues of that, rounding below 0 taken for 0, roots, sum, twice, less.",
        "values, vectors = torch.linalg.eigh(one.covariance); half = vectors * values.clamp(min=0)"
        ".sqrt() @ vectors.T; shared = torch.linalg.eigvalsh(half @ other.covariance @ half)"
        ".clamp(min=0).sqrt().sum(); the result is (the squares + both traces - 2 * shared).item()",
    ),
)


def crowd(case, D):
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


@exercise.holds("of one feature: squared distance of the means and of the deviations; a float")
def one_feature(frechet_distance, case):
    def single(mean, deviation):
        return Statistics(torch.tensor([mean]).double(), torch.tensor([[deviation**2]]).double())

    case.each(
        frechet_distance,
        ((single(1.0, 2.0), single(4.0, 3.0)), 10.0),
        ((single(0.0, 0.5), single(0.0, 0.5)), 0.0),
    )


@exercise.holds("crowds of the same shape: the squared distance of their means")
def only_moved(frechet_distance, case):
    one = crowd(case, 4)
    away = case.normal(D=4, dtype=torch.float64)
    got = case.call(frechet_distance, one, Statistics(one.mean + away, one.covariance))
    case.equal(got, sum(value**2 for value in away.tolist()))


@exercise.holds("features independent of each other: the squared distances of all deviations, too")
def independent(frechet_distance, case):
    deviations = [case.normal(D=3, dtype=torch.float64).abs() + 0.3 for _ in range(2)]
    means = [case.normal(D=3, dtype=torch.float64) for _ in range(2)]
    crowds = [Statistics(m, torch.diag(d**2)) for m, d in zip(means, deviations, strict=True)]
    expected = (means[0] - means[1]).square().sum() + (deviations[0] - deviations[1]).square().sum()
    case.equal(case.call(frechet_distance, *crowds), expected.item())


@exercise.holds("two features, spread alike but leaning the other way, are apart")
def leaning(frechet_distance, case):
    mean = torch.zeros(2).double()
    one, other = (
        Statistics(mean, torch.tensor([[1.0, lean], [lean, 1.0]]).double()) for lean in (0.9, -0.9)
    )
    case.equal(case.call(frechet_distance, one, other), 4 - 4 * math.sqrt(0.19))


@exercise.holds("the root is the matrix that multiplied by itself gives C1 C2")
def by_iteration(frechet_distance, case):
    pairs = [(crowd(case, D), crowd(case, D)) for D in (2, 5)]
    case.each(frechet_distance, *((pair, slow(*pair)) for pair in pairs))


@exercise.holds("a crowd is nowhere away from itself, and as far there as back")
def symmetric(frechet_distance, case):
    one, other = crowd(case, 4), crowd(case, 4)
    away = slow(one, other)
    case.each(frechet_distance, ((one, one), 0.0), ((one, other), away), ((other, one), away))


@exercise.holds("to turn both crowds alike changes nothing")
def turned(frechet_distance, case):
    turn = torch.linalg.qr(case.normal(D=4, E=4, dtype=torch.float64))[0]
    one, other = crowd(case, 4), crowd(case, 4)
    moved = [Statistics(turn @ m, turn @ c @ turn.T) for m, c in (one, other)]
    case.equal(case.call(frechet_distance, *moved), slow(one, other))


@exercise.holds("few samples, so that no covariance has an inverse: a number all the same")
def flat(frechet_distance, case):
    few, fewer = (case.normal(N=N, D=6, dtype=torch.float64) for N in (3, 2))
    mean = case.normal(D=6, dtype=torch.float64)
    got = case.call(
        frechet_distance, Statistics(mean, few.T @ few), Statistics(mean, fewer.T @ fewer)
    )
    # With C1 = X'X and C2 = Y'Y the roots of the eigenvalues are the singular values of XY'.
    shared = torch.linalg.svdvals(few @ fewer.T).sum()
    case.equal(got, float(few.square().sum() + fewer.square().sum() - 2 * shared))


@exercise.holds("rounding never brings it below 0")
def not_below(frechet_distance, case):
    crowds = [crowd(case, D) for D in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11)]
    got = [case.call(frechet_distance, one, Statistics(*one)) for one in crowds]
    told = all(isinstance(value, float) and value >= 0 for value in got)
    case.true(told, "floats from 0 on", "from 0 on" if told else f"{min(got)}")


@exercise.holds("means and covariances stay as they were")
def unchanged(frechet_distance, case):
    one, other = crowd(case, 3), crowd(case, 3)
    before = [value.clone() for value in (*one, *other)]
    case.call(frechet_distance, one, other)
    same = [torch.equal(a, b) for a, b in zip(before, (*one, *other), strict=True)]
    case.equal(case.seen(same), [True] * 4, "whether each is as it was")


@exercise.holds("features of different widths are refused with a ValueError")
def refused(frechet_distance, case):
    for widths in ((3, 2), (1, 3)):
        case.refuses(ValueError, frechet_distance, *(crowd(case, D) for D in widths))


@exercise.holds("a covariance that is not (D, D) for a mean of (D,) is refused with a ValueError")
def misfits(frechet_distance, case):
    for width, other in ((3, 2), (1, 3)):
        crowds = [Statistics(crowd(case, width).mean, crowd(case, other).covariance)] * 2
        case.refuses(ValueError, frechet_distance, *crowds)
