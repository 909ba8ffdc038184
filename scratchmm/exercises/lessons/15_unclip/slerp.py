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
    hints="""
        1. From (1, 0) to (0, 1) at a share of 0.5: (0.7071, 0.7071), of length 1, where a straight
           line has (0.5, 0.5). At a third it has turned by 30 of the 90 degrees. From (2, 0) to
           (0, 2) all is twice as long. From (1, 0) to (-1, 0) there is no one arc.
        2. Embeddings of CLIP lie on a sphere, and the line between two leaves it for where the
           decoder was never trained. An arc turns in the plane of both: see the lesson's figure.
        3. The angle (B,), from the cosine, held to -1..1 against rounding. Start counts sin((1 -
           share) angle), end sin(share angle), both over sin(angle). Where the angle is nearly 0
           (0 / 0) or one is all zeros: the straight line. Where the cosine is nearly -1: ValueError.
        4. cosine = F.cosine_similarity(start, end, dim=-1).clamp(-1, 1); angle = cosine.acos()[:,
           None]; straight = (angle < 1e-3) | ~(start.any(-1, keepdim=True) & end.any(-1,
           keepdim=True)); sine = torch.where(straight, 1.0, angle.sin()); from_end =
           torch.where(straight, share, (share * angle).sin() / sine), from_start likewise
    """,
)


def slow(start: Tensor, end: Tensor, share: float) -> Tensor:
    """The oracle: a row at a time, with the numbers of `math`."""
    rows = []
    for a, b in zip(start, end, strict=True):
        lengths = float(a.double().norm()) * float(b.double().norm())
        angle = math.acos(max(-1, min(1, float(a.double() @ b.double()) / (lengths or 1))))
        if angle < 1e-3 or not lengths:
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
    start, end = (x.mul_(length) for x, length in zip(units(case), (3, 0.5), strict=True))
    case.equal(case.call(slerp, start, end, 0.3), slow(start, end, 0.3))
    case.unchanged()


@exercise.holds("between vectors that are the same or nearly so, the line will do: no nan")
def nearly_the_same(slerp, case):
    start = case.named(case.normal(E=5).diag(), "B E")  # on the axes, so that 1 is exactly 1
    case.equal(case.call(slerp, start, case.named(start.clone(), "B E"), 0.3), start, "the same")
    end = case.named(start + 1e-5 * case.normal(B=5, E=5), "B E")
    case.equal(case.call(slerp, start, end, 0.5), (start + end) / 2, "nearly the same")


@exercise.holds("start and end alike in one row change nothing in the others, nor do zeros in one")
def one_row_alike(slerp, case):
    start, end = units(case)
    end = end.clone()
    end[2], start[0, 1], end[1, 3] = start[2], 0, 0
    end = case.named(end, "B E")
    case.equal(case.call(slerp, start, end, 0.4), slow(start, end, 0.4))


@exercise.holds("opposite vectors, in any row and of any length, are refused with a ValueError")
def opposites(slerp, case):
    for row in (0, 2):
        start, end = units(case)
        end = end.clone()
        end[row] = -2 * start[row]
        case.refuses(ValueError, slerp, start, case.named(end, "B E"), 0.5)


@exercise.holds("where start or end is all zeros, the way is the straight line")
def zeros(slerp, case):
    start, end = units(case)
    start, end = start.clone(), end.clone()
    start[1] = end[2] = 0
    start, end = case.named(start, "B E"), case.named(end, "B E")
    case.equal(case.call(slerp, start, end, 0.4), slow(start, end, 0.4))


@exercise.holds("the gradients reach start and end, through the angle too")
def gradients(slerp, case):
    start, end = units(case, B=3, E=4)
    case.gradients(
        lambda a, b: slerp(a, b, 0.3), lambda a, b: by_formula(a, b, 0.3), 2 * start, 3 * end
    )


exercise.mistakes("""
    line: it goes along the straight line, through the inside of the sphere
    - return (from_start * start + from_end * end).to(start.dtype)
    + return torch.lerp(start, end, share)
    > on the arc every vector between unit vectors has length 1: it takes sines of angles

    line-then-length-1 [convention]: the line is brought to length 1: it turns faster in the middle
    - return (from_start * start + from_end * end).to(start.dtype)
    + return torch.nn.functional.normalize(torch.lerp(start, end, share), dim=-1)
    > equal shares turn by equal angles: the sines of the shares of the angle

    from-start-along-the-rest: start is turned towards the part of end at a right angle, made unit
    - return (from_start * start + from_end * end).to(start.dtype)
    + rest = torch.nn.functional.normalize(end - angle.cos() * start, dim=-1)
    + return (share * angle).cos() * start + (share * angle).sin() * rest
    > start and end keep their lengths: sin((1 - share) angle) and sin(share angle) of each

    made-unit [convention]: start and end are brought to length 1, and their own lengths are lost
    - from_start * start + from_end * end
    + from_start * torch.nn.functional.normalize(start, dim=-1) +
    +     from_end * torch.nn.functional.normalize(end, dim=-1)
    > use lengths for the angle only; what is added up are start and end as they came

    shorter-way [convention]: beyond 90 degrees the end is turned round, as for rotations
    - angle = alike.acos()[:, None]
    + angle = alike.abs().acos()[:, None]
    + end = torch.where(alike[:, None] < 0, -end, end)
    > an embedding and its opposite mean different things: no abs() and no change of sign

    line-for-all: if any row is nearly straight, the whole batch goes along the line
    - straight = angle < 1e-3
    + straight = (angle < 1e-3).any().repeat(len(angle), 1)
    > decide row by row: torch.where, not if (...).any()
""")

exercise.slips("""
    angle < 1e-3 => angle < 0.3
    ((1 - share) * angle).sin() => ((1 - share) * angle).cos() ;;
        (share * angle).sin() => (share * angle).cos()
    alike.acos()[:, None] => torch.full_like(alike, torch.pi / 2)[:, None]
    alike.acos()[:, None] => alike.acos()[:, None].detach()
    alike = cosine => start /= start.norm(dim=-1, keepdim=True); alike = cosine
    from_start * start => from_end * start ;; from_end * end => from_start * end
    alike.acos() => alike.acos().mean().expand_as(alike)
    cosine(start, end) => (start * end).sum(dim=-1).clamp(-1, 1)
    angle < 1e-3 => angle < 0
    return (from_start * start + from_end * end).to(start.dtype) => line = (1 - share) * start
        + share * end; return line / line.norm(dim=-1, keepdim=True).clamp(min=1e-12) * ((1 -
        share) * start.norm(dim=-1, keepdim=True) + share * end.norm(dim=-1, keepdim=True))
""")


def refuse_opposites(start, end):
    """The cosine (B, 1), after the refusal that the docstring has."""
    cosine = F.cosine_similarity(start, end, dim=-1).clamp(-1, 1)
    if (cosine < -1 + 1e-6).any():
        raise ValueError("start and end are opposite")
    return cosine[:, None]


@exercise.right("turned in the plane")
def in_the_plane(start, end, share):
    """end = its share along start, and the rest; lengths come after."""
    angle = refuse_opposites(start, end).acos()
    long, far = start.norm(dim=-1, keepdim=True), end.norm(dim=-1, keepdim=True)
    sine = angle.sin().clamp(min=1e-4)
    first, last = ((1 - share) * angle).sin() / sine, (share * angle).sin() / sine
    straight = (angle < 1e-3) | (long * far == 0)
    return torch.where(straight, start + share * (end - start), first * start + last * end)


@exercise.right("row by row")
def row_by_row(start, end, share):
    rows = []
    for a, b, cosine in zip(start, end, refuse_opposites(start, end), strict=True):
        if cosine > 1 - 1e-7 or not a.any() or not b.any():
            rows.append((1 - share) * a + share * b)
            continue
        angle = torch.acos(cosine)
        both = torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b
        rows.append(both / torch.sin(angle))
    return torch.stack(rows)
