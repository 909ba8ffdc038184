"""Exercise augment.spans: where the holes in a spectrogram lie, each width and place as likely."""

import math

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="augment.spans",
    order=40,
    target="scratchmm.audio.augment:spans",
    title="Holes in the spectrogram",
    goal="True inside N stretches of each row: their widths and places by the numbers in shares",
    minutes=20,
    difficulty=3,
    section="Holes in the spectrogram",
    parts=("whole",),
    hints="""
        1. A row of length 6, at most half of it hidden: the width is 0, 1, 2 or 3, and 0.5, the
           first number, is the third of these four: 2. The place is then 0, 1, 2, 3 or 4, and 0.99
           is the last: frames 4 and 5 are hidden.
        2. A network that may not rely on any one band or moment must lose each as often as any
           other, and a little as often as much. Padding holds nothing to lose, so a stretch lies in
           the sound's own length, and is a share of it: of a short sound not more is lost than of a
           long one.
        3. A share u from 0 up to 1 is one of most + 1 whole numbers: floor(u * (most + 1)). So the
           widths, (B, N), with most = floor(share * length); then the starts, with length - width.
           Compare 0, 1, ... size - 1 with starts and ends, (B, N, size); any over the N stretches.
        4. width = (shares[..., 0] * ((lengths[:, None] * most).long() + 1)).long(); start =
           (shares[..., 1] * (lengths[:, None] - width + 1)).long(); ((place >= start[..., None]) &
           (place < (start + width)[..., None])).any(dim=1), with place = torch.arange(size)
    """,
)


def slow(shares, lengths, most, size):
    """The oracle: stretch by stretch."""
    found = torch.zeros(len(lengths), size, dtype=torch.bool)
    for b, length in enumerate(lengths.tolist()):
        for first, second in shares[b].tolist():
            width = math.floor(first * (math.floor(most * length) + 1))
            start = math.floor(second * (length - width + 1))
            found[b, start : start + width] = True
    return found


def uniform(case, B, N):
    """Numbers from 0 up to 1 that are near no limit, so that rounding decides nothing."""
    steps = case.integers(0, 997, B=B, N=N, two=2)
    return case.named((steps + 0.5) / 997, "B N two")


def rows(case, *lengths):
    return case.named(torch.tensor(lengths), "B")


def table(case, pairs):
    """One row for each pair of numbers, with one stretch."""
    return case.named(torch.tensor(pairs)[:, None], "B N two")


@exercise.holds("of a row of 6 with at most half hidden, 0.5 and 0.99 hide the last two")
def example(spans, case):
    got = case.call(spans, table(case, [[0.5, 0.99]]), rows(case, 6), 0.5, 8)
    case.equal(got, torch.arange(8)[None] // 2 == 2)


@exercise.holds("all widths from 0 to the widest are equally likely, and they begin at 0 for 0")
def widths(spans, case):
    shares = table(case, [[(i + 0.5) / 12, 0.0] for i in range(12)])
    lengths = rows(case, *[10] * 12)
    got = case.call(spans, shares, lengths, 0.5, 13)  # 0 to 5: two of twelve each
    case.equal(got, torch.arange(13) < torch.arange(12)[:, None] // 2)


@exercise.holds("all places that have room are equally likely, the last too")
def places(spans, case):
    shares = table(case, [[0.99, (i + 0.5) / 14] for i in range(14)])
    lengths = rows(case, *[8] * 14)
    got = case.call(spans, shares, lengths, 0.25, 11)  # 2 wide, 0 to 6: two of fourteen each
    start = torch.arange(14)[:, None] // 2
    case.equal(got, (torch.arange(11) >= start) & (torch.arange(11) < start + 2))


@exercise.holds("each row has its own length: widths are shares of it, and nothing lies behind it")
def own_length(spans, case):
    shares, lengths = uniform(case, 9, 1), rows(case, 4, 12, 20, 8, 16, 20, 4, 12, 8)
    case.equal(case.call(spans, shares, lengths, 0.5, 23), slow(shares, lengths, 0.5, 23))


@exercise.holds("a stretch may hide a whole row if it may be as wide, but never more")
def everything(spans, case):
    shares, lengths = table(case, [[0.999, 0.999]] * 3), rows(case, 5, 1, 7)
    got = case.call(spans, shares, lengths, 1.0, 9)
    case.equal(got, torch.arange(9) < lengths[:, None])


@exercise.holds("several stretches hide what lies in any of them")
def several(spans, case):
    shares, lengths = uniform(case, 5, 3), rows(case, 20, 12, 16, 8, 24)
    case.equal(case.call(spans, shares, lengths, 0.25, 25), slow(shares, lengths, 0.25, 25))


@exercise.holds("no stretch, a share of 0 and a row without length hide nothing")
def nothing(spans, case):
    lengths = rows(case, 0, 6)
    for shares, most in ((uniform(case, 2, 4)[:, :0], 0.5), (uniform(case, 2, 4), 0.0)):
        got = case.call(spans, case.named(shares, "B N two"), lengths, most, 7)
        case.equal(got, torch.zeros(2, 7, dtype=torch.bool))
    shares = uniform(case, 2, 4)
    case.equal(case.call(spans, shares, lengths, 0.5, 7), slow(shares, lengths, 0.5, 7))


@exercise.holds("what came in stays as it was")
def unchanged(spans, case):
    case.call(spans, uniform(case, 2, 3), rows(case, 4, 8), 0.5, 9)
    case.unchanged()


exercise.mistakes("""
    never-the-widest: the widest width never comes: a number below 1 times most is below most
    - width = whole(shares[..., 0], (lengths * most).long())
    + width = (shares[..., 0] * (lengths * most).long()).long()
    > 0 to most are most + 1 numbers: multiply by most + 1, then cut off

    ends-half-as-likely: widths are rounded, so that the smallest and the widest come half as often
    - width = whole(shares[..., 0], (lengths * most).long())
    + width = (shares[..., 0] * (lengths * most).long()).round().long()
    > multiply by most + 1 and cut off: every number has a part of the same size

    share-of-the-size: widths are shares of the whole row with its padding: short sounds lose more
    - width = whole(shares[..., 0], (lengths * most).long())
    + width = whole(shares[..., 0], torch.full_like(lengths, int(size * most))).minimum(lengths)
    > the share is of the row's own length

    share-of-the-longest: widths are shares of the longest row
    - width = whole(shares[..., 0], (lengths * most).long())
    + width = whole(shares[..., 0], (lengths.max() * most).long()).minimum(lengths)
    > the share is of the row's own length, lengths[:, None]

    never-at-the-end: the last place never comes, so that the end is never hidden
    - start = whole(shares[..., 1], lengths - width)[..., None]
    + start = (shares[..., 1] * (lengths - width)).long()[..., None]
    > 0 to length - width are one more than that: the numbers go up to 1, not to it

    over-the-end: a stretch may begin at any frame, and lies over the end
    - start = whole(shares[..., 1], lengths - width)[..., None]
    + start = whole(shares[..., 1], (lengths - 1).clamp(min=0))[..., None]
    > leave room for its width: at most length - width

    cut-off-at-the-end: a stretch may begin at any frame and is cut off at the end: narrow ones come
    more often
    - start = whole(shares[..., 1], lengths - width)[..., None]
    + start = whole(shares[..., 1], (lengths - 1).clamp(min=0))[..., None]
    + width = width.minimum(lengths - start[..., 0])
    > leave room for its width: at most length - width

    around-its-place: the place is taken for the middle of the stretch
    - start = whole(shares[..., 1], lengths - width)[..., None]
    + start = (shares[..., 1] * lengths).long()[..., None] - width[..., None] // 2
    > it is where the stretch begins
""")

exercise.slips("""
    (lengths * most).long()) => (lengths * most).long()).clamp(min=1)
    width = whole(shares[..., 0], => width = whole(torch.ones_like(shares[..., 0]) - 1e-6,
    shares[..., 0] => shares[..., 1] ;; shares[..., 1] => shares[..., 0]
    inside.any(dim=1) => ~inside.any(dim=1)
    whole(shares[..., 0], (lengths * most).long()) =>
        shares[..., 0].mul_((lengths * most).long() + 1).long()
    inside.any(dim=1) => inside.sum(dim=1) % 2 == 1
    lengths - width => size - width
""")


@exercise.right("stretch by stretch")
def one_by_one(shares, lengths, most, size):
    found = lengths.new_zeros(len(lengths), size, dtype=torch.bool)
    for row, length, pairs in zip(found, lengths.tolist(), shares.tolist()):
        for first, second in pairs:
            width = int(first * (int(most * length) + 1))
            start = int(second * (length - width + 1))
            row[start : start + width] = True
    return found


@exercise.right("by floors and a distance")
def by_distance(shares, lengths, most, size):
    lengths = lengths[:, None].double()
    width = (shares[..., 0] * ((lengths * most).floor() + 1)).floor()
    start = (shares[..., 1] * (lengths - width + 1)).floor()
    away = torch.arange(size, device=lengths.device) - start[..., None]
    return ((away >= 0) & (away < width[..., None])).sum(dim=1) > 0
