"""Wrong and other right answers to interpolation.slerp."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("15_unclip/slerp").exercise


def angle_between(start, end):
    """(B, 1), after the refusal asked for."""
    cosine = F.cosine_similarity(start, end, dim=-1).clamp(-1, 1)
    if (cosine < -1 + 1e-6).any():
        raise ValueError("start and end are opposite")
    return cosine.acos()[:, None]


def turned(start, end, angle, share, first=None, last=None, below=None):
    """The right answer, but for what is given: the two numerators, and what they are divided by."""
    straight = angle < 1e-3
    first = ((1 - share) * angle).sin() if first is None else first
    last = (share * angle).sin() if last is None else last
    below = torch.where(straight, 1.0, angle.sin() if below is None else below)
    first = torch.where(straight, 1 - share, first / below)
    return first * start + torch.where(straight, share, last / below) * end


@exercise.wrong(
    "line",
    story="it goes along the straight line, through the inside of the ball",
    advice="on the arc every vector between unit vectors has length 1: it takes sines of angles",
)
def line(start, end, share):
    angle_between(start, end)
    return (1 - share) * start + share * end


@exercise.wrong(
    "line-too-soon",
    story="the line is taken for the arc at angles that are not nearly 0",
    advice="below a thousandth of a radian nothing is lost; at 0.2 the line is half a percent short",
)
def line_too_soon(start, end, share):
    angle = angle_between(start, end)
    return torch.where(
        angle < 0.3, (1 - share) * start + share * end, turned(start, end, angle, share)
    )


@exercise.wrong(
    "from-start-along-the-rest",
    story="start is turned towards what of end is at a right angle to it, both of length one",
    advice="start and end keep their lengths: sin((1 - share) angle) and sin(share angle) of each",
)
def along_the_rest(start, end, share):
    angle = angle_between(start, end)
    aside = F.normalize(end - angle.cos() * start, dim=-1)
    return (share * angle).cos() * start + (share * angle).sin() * aside


@exercise.wrong(
    "line-then-length-1",
    story="the straight line is brought to length 1: it turns faster in the middle than at the ends",
    advice="equal shares turn by equal angles: the sines of the shares of the angle",
    convention=True,
)
def line_then_unit(start, end, share):
    angle_between(start, end)
    return F.normalize((1 - share) * start + share * end, dim=-1)


@exercise.wrong(
    "exchanged",
    story="start and end have exchanged their shares: it goes from the end to the start",
    advice="share 0 is start: start counts sin((1 - share) angle)",
)
def exchanged(start, end, share):
    return turned(start, end, angle_between(start, end), 1 - share)


@exercise.wrong(
    "not-divided",
    story="the sines of the shares are not divided by the sine of the whole angle",
    advice="at share 1 the end counts sin(angle) / sin(angle) = 1",
)
def not_divided(start, end, share):
    angle = angle_between(start, end)
    return turned(start, end, angle, share, below=torch.ones_like(angle))


@exercise.wrong(
    "over-the-angle",
    story="the sines are divided by the angle, not by its sine",
    advice="divide by sin(angle)",
)
def over_the_angle(start, end, share):
    angle = angle_between(start, end)
    return turned(start, end, angle, share, below=angle)


@exercise.wrong(
    "cosines",
    story="cosines of the shares stand where sines belong",
    advice="start counts sin((1 - share) angle), which is all of it at share 0 and nothing at 1",
)
def cosines(start, end, share):
    angle = angle_between(start, end)
    first, last = ((1 - share) * angle).cos(), (share * angle).cos()
    return turned(start, end, angle, share, first, last)


@exercise.wrong(
    "shares-of-the-sine",
    story="the share multiplies the sine and not the angle, so sin(angle) cancels: the straight line",
    advice="sin(share * angle), not share * sin(angle)",
    twin="line",
)
def shares_of_the_sine(start, end, share):
    angle = angle_between(start, end)
    return turned(start, end, angle, share, (1 - share) * angle.sin(), share * angle.sin())


@exercise.wrong(
    "one-angle",
    story="the angles of the batch are averaged, and every row turns by the same",
    advice="each row has an angle of its own: (B, 1)",
)
def one_angle(start, end, share):
    angle = angle_between(start, end)
    return turned(start, end, angle.mean().expand_as(angle), share)


@exercise.wrong(
    "right-angle",
    story="the weights are those of a right angle, cosine and sine of the share, for all vectors",
    advice="take the angle between start and end from their product",
)
def right_angle(start, end, share):
    angle = angle_between(start, end)
    return turned(start, end, torch.full_like(angle, torch.pi / 2), share)


@exercise.wrong(
    "lengths-ignored",
    story="the product is taken for the cosine, as if both had length 1",
    advice="divide the product by both lengths (F.cosine_similarity), then acos",
)
def lengths_ignored(start, end, share):
    angle_between(start, end)
    angle = (start * end).sum(-1, keepdim=True).clamp(-1, 1).acos()
    return turned(start, end, angle, share)


@exercise.wrong(
    "made-unit",
    story="start and end are brought to length 1 first, and their own lengths are lost",
    advice="use lengths for the angle only; what is added up are start and end as they came",
    convention=True,
)
def made_unit(start, end, share):
    angle = angle_between(start, end)
    return turned(F.normalize(start, dim=-1), F.normalize(end, dim=-1), angle, share)


@exercise.wrong(
    "shorter-way",
    story="where the angle is more than 90 degrees the end is turned round, as for rotations",
    advice="an embedding and its opposite mean different things: no abs() and no change of sign",
    convention=True,
)
def shorter_way(start, end, share):
    angle_between(start, end)
    sign = (start * end).sum(-1, keepdim=True).sign()
    return turned(start, sign * end, angle_between(start, sign * end), share)


@exercise.wrong(
    "nan-where-alike",
    story="between equal vectors it divides 0 by 0",
    advice="where the angle is nearly 0, take the straight line (torch.where)",
)
def nan_where_alike(start, end, share):
    angle = angle_between(start, end)
    first, last = ((1 - share) * angle).sin(), (share * angle).sin()
    return (first * start + last * end) / angle.sin()


@exercise.wrong(
    "line-for-all",
    story="if any row is nearly straight, the whole batch goes along the line",
    advice="decide row by row: torch.where, not if (...).any()",
)
def line_for_all(start, end, share):
    angle = angle_between(start, end)
    if (angle < 1e-3).any():
        return (1 - share) * start + share * end
    return turned(start, end, angle, share)


@exercise.wrong(
    "opposites-taken",
    story="opposite vectors are taken as they come",
    advice="raise ValueError where the cosine is nearly -1: there are many arcs between them",
)
def opposites_taken(start, end, share):
    angle = F.cosine_similarity(start, end, dim=-1).clamp(-1, 1).acos()[:, None]
    return turned(start, end, angle, share)


@exercise.wrong(
    "angle-detached",
    story="the angle is a plain number for the gradient: only a part of it arrives",
    advice="no detach() and no item(): start and end move the angle too",
)
def angle_detached(start, end, share):
    return turned(start, end, angle_between(start, end).detach(), share)


@exercise.wrong(
    "in-place",
    story="start is brought to length 1 in the caller's hands",
    advice="work on a new tensor: start / length, not start /= length",
)
def in_place(start, end, share):
    found = turned(start, end, angle_between(start, end), share)
    with torch.no_grad():
        start *= 0.5
    return found


@exercise.disguise("line")
def line_too(start, end, share):
    angle_between(start, end)
    return torch.lerp(start, end, share)


@exercise.disguise("made-unit")
def made_unit_too(start, end, share):
    a, b = start / start.norm(dim=1, keepdim=True), end / end.norm(dim=1, keepdim=True)
    angle = angle_between(a, b)
    first = ((1 - share) * angle).sin() / angle.sin()
    found = first * a + (share * angle).sin() / angle.sin() * b
    return torch.where(angle < 1e-3, a + share * (b - a), found)


@exercise.disguise("exchanged")
def exchanged_too(start, end, share):
    return turned(end, start, angle_between(end, start), share)


@exercise.right("turned in the plane")
def in_the_plane(start, end, share):
    """end = its share along start, and the rest; both ends of length 1, their lengths come after."""
    angle = angle_between(start, end)
    long, far = start.norm(dim=-1, keepdim=True), end.norm(dim=-1, keepdim=True)
    one, other = start / long, end / far
    sine = angle.sin().clamp(min=1e-4)
    first, last = ((1 - share) * angle).sin() / sine, (share * angle).sin() / sine
    found = first * long * one + last * far * other
    return torch.where(angle < 1e-3, start + share * (end - start), found)


@exercise.right("row by row")
def row_by_row(start, end, share):
    rows = []
    for a, b in zip(start, end, strict=True):
        cosine = torch.dot(a, b) / (a.norm() * b.norm())
        if cosine < -1 + 1e-6:
            raise ValueError("opposite")
        if cosine > 1 - 1e-7:
            rows.append((1 - share) * a + share * b)
            continue
        angle = torch.acos(cosine)
        both = torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b
        rows.append(both / torch.sin(angle))
    return torch.stack(rows)
