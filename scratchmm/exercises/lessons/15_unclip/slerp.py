"""Exercise interpolation.slerp: from one embedding to another along the arc, not through the ball."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="interpolation.slerp",
    order=20,
    target="scratchmm.diffusion.interpolation:slerp",
    title="On the arc",
    goal="the vectors (B, E) at a share of the way from start to end, turning by equal angles",
    minutes=20,
    difficulty=3,
    section="On the arc",
    hints=(
        "From (1, 0) to (0, 1) at a share of 0.5: (0.7071, 0.7071), still of length 1, where a "
        "straight line has (0.5, 0.5). At a third of the way it has turned by 30 of the 90 degrees. "
        "From (2, 0) to (0, 2) all is twice as long. From (1, 0) to (-1, 0) there is no one arc.",
        "Embeddings of CLIP lie on a ball, and the straight line between two leaves it: the decoder "
        "never saw what is in the middle. An arc turns from one to the other in the plane of both. "
        "What turns by an angle is made of sines: see the figure of the lesson.",
        "The angle (B,) between start and end, from the cosine: their product over both lengths, held "
        "to -1..1 against rounding. Start counts sin((1 - share) angle), end sin(share angle), both "
        "over sin(angle). Where the angle is nearly 0 that is 0 / 0: there the straight line will do. "
        "Where the cosine is nearly -1: ValueError.",
        "cosine = F.cosine_similarity(start, end, dim=-1).clamp(-1, 1); angle = cosine.acos()[:, "
        "None]; straight = angle < 1e-3; sine = torch.where(straight, 1.0, angle.sin()); "
        "from_end = torch.where(straight, share, (share * angle).sin() / sine), from_start likewise",
    ),
)


def slow(start: Tensor, end: Tensor, share: float) -> Tensor:
    """The oracle: a row at a time, with the numbers of `math`."""
    rows = []
    for a, b in zip(start, end, strict=True):
        lengths = float(a.detach().double().norm()) * float(b.detach().double().norm())
        angle = math.acos(
            max(-1, min(1, float(a.detach().double() @ b.detach().double()) / lengths))
        )
        if angle < 1e-3:
            rows.append((1 - share) * a + share * b)
            continue
        first, last = math.sin((1 - share) * angle), math.sin(share * angle)
        rows.append((first * a + last * b) / math.sin(angle))
    return torch.stack(rows)


def by_formula(start: Tensor, end: Tensor, share: float) -> Tensor:
    """The oracle of gradients, for vectors that are neither alike nor opposite."""
    angle = (F.normalize(start, dim=-1) * F.normalize(end, dim=-1)).sum(-1, keepdim=True).acos()
    both = ((1 - share) * angle).sin() * start + (share * angle).sin() * end
    return both / angle.sin()


def units(case: Case, B: int = 4, E: int = 6) -> tuple[Tensor, Tensor]:
    """Unit vectors; every row has another angle, from small to more than 90 degrees."""
    start = F.normalize(case.normal(B=B, E=E), dim=-1)
    aside = case.normal(B=B, E=E)
    aside = F.normalize(aside - (aside * start).sum(-1, keepdim=True) * start, dim=-1)
    angle = torch.tensor([0.2, 2.3, 1.1, 1.4, 0.8])[:B, None]
    end = angle.cos() * start + angle.sin() * aside
    return case.named(start, "B E"), case.named(end, "B E")


@exercise.holds("share 0 is the start and share 1 the end")
def ends(slerp, case):
    start, end = units(case)
    case.equal(case.call(slerp, start, end, 0.0), start, "share 0")
    case.equal(case.call(slerp, start, end, 1.0), end, "share 1")


@exercise.holds("between unit vectors every vector has length 1")
def on_the_ball(slerp, case):
    start, end = units(case)
    for share in (0.3, 0.5, 0.75):
        got = case.call(slerp, start, end, share)
        case.equal(got.norm(dim=-1), torch.ones(4), f"lengths at {share}")


@exercise.holds("a share of the way is a share of the angle, each row of its own angle")
def equal_turns(slerp, case):
    start, end = units(case)
    whole = (start * end).sum(-1).acos()
    for share in (0.25, 0.6):
        got = case.call(slerp, start, end, share)
        case.equal((got * start).sum(-1), (share * whole).cos(), f"cosine with start at {share}")
        case.equal((got * end).sum(-1), ((1 - share) * whole).cos(), f"cosine with end at {share}")


@exercise.holds("vectors of any length: start and end are turned as they are, not shortened")
def any_length(slerp, case):
    start, end = units(case)
    start, end = case.named(3 * start, "B E"), case.named(0.5 * end, "B E")
    case.equal(case.call(slerp, start, end, 0.3), slow(start, end, 0.3))


@exercise.holds("between vectors that are the same or nearly so, the line will do: no nan")
def nearly_the_same(slerp, case):
    start = case.normal(B=3, E=5)
    case.equal(case.call(slerp, start, case.named(start.clone(), "B E"), 0.3), start, "the same")
    end = case.named(start + 1e-5 * case.normal(B=3, E=5), "B E")
    case.equal(case.call(slerp, start, end, 0.5), (start + end) / 2, "nearly the same")


@exercise.holds("start and end nearly alike in one row change nothing in the others")
def one_row_alike(slerp, case):
    start, end = units(case)
    end = end.clone()
    end[2] = start[2]
    end = case.named(end, "B E")
    case.equal(case.call(slerp, start, end, 0.4), slow(start, end, 0.4))


@exercise.holds("opposite vectors, in any row and of any length, are refused with a ValueError")
def opposites(slerp, case):
    for row in (0, 2):
        start, end = units(case)
        end = end.clone()
        end[row] = -2 * start[row]
        case.refuses(ValueError, slerp, start, case.named(end, "B E"), 0.5)


@exercise.holds("start and end are left as they were")
def unchanged(slerp, case):
    case.call(slerp, *units(case), 0.4)
    case.unchanged()


@exercise.holds("the gradients reach start and end, through the angle too")
def gradients(slerp, case):
    start, end = units(case, B=3, E=4)
    case.gradients(
        lambda a, b: slerp(a, b, 0.3), lambda a, b: by_formula(a, b, 0.3), 2 * start, 3 * end
    )
