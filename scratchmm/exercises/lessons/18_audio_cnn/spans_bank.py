"""Wrong and other right answers to augment.spans."""

import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("18_audio_cnn/spans").exercise

WIDTH = "width = whole(shares[..., 0], (lengths * most).long())"
START = "start = whole(shares[..., 1], lengths - width)[..., None]"
INSIDE = "inside = (place >= start) & (place < start + width[..., None])"
ANY = "return inside.any(dim=1)"


def wrong(id, old, new, *, story, advice, **told):
    exercise.edit(id, (old, new), story=story, advice=advice, **told)


wrong(
    "never-the-widest",
    WIDTH,
    "width = (shares[..., 0] * (lengths * most).long()).long()",
    story="the widest width never comes: a number below 1 times most is below most",
    advice="0 to most are most + 1 numbers: multiply by most + 1, then cut off",
)
wrong(
    "ends-half-as-likely",
    WIDTH,
    "width = (shares[..., 0] * (lengths * most).long()).round().long()",
    story="widths are rounded, so that the smallest and the widest come half as often",
    advice="multiply by most + 1 and cut off: every number has a part of the same size",
)
wrong(
    "at-least-one",
    WIDTH,
    "width = whole(shares[..., 0], (lengths * most).long()).clamp(min=1)",
    story="every stretch hides at least one",
    advice="a width of 0 is one of the widths, as likely as any other",
)
wrong(
    "always-the-widest",
    WIDTH,
    "width = (lengths * most).long().expand_as(shares[..., 0])",
    story="all stretches are as wide as they may be",
    advice="the first number of each pair tells the width",
)
wrong(
    "share-of-the-size",
    WIDTH,
    "width = whole(shares[..., 0], torch.full_like(lengths, int(size * most))).minimum(lengths)",
    story="widths are shares of the whole row with its padding: short sounds lose more",
    advice="the share is of the row's own length",
)
wrong(
    "share-of-the-longest",
    WIDTH,
    "width = whole(shares[..., 0], (lengths.max() * most).long()).minimum(lengths)",
    story="widths are shares of the longest row",
    advice="the share is of the row's own length, lengths[:, None]",
)
wrong(
    "numbers-exchanged",
    WIDTH,
    "shares = shares.flip(-1)\n    width = whole(shares[..., 0], (lengths * most).long())",
    story="the second number tells the width, the first the place",
    advice="shares[..., 0] is for the width, shares[..., 1] for the place",
)
wrong(
    "one-number-for-both",
    START,
    "start = whole(shares[..., 0], lengths - width)[..., None]",
    story="one number tells width and place: wide stretches always lie late",
    advice="the place has a number of its own, shares[..., 1]",
)
wrong(
    "never-at-the-end",
    START,
    "start = (shares[..., 1] * (lengths - width)).long()[..., None]",
    story="the last place never comes, so that the end is never hidden",
    advice="0 to length - width are one more than that: the numbers go up to 1, not to it",
)
wrong(
    "over-the-end",
    START,
    "start = whole(shares[..., 1], (lengths - 1).clamp(min=0))[..., None]",
    story="a stretch may begin at any frame, and lies over the end",
    advice="leave room for its width: at most length - width",
)
wrong(
    "cut-off-at-the-end",
    START,
    "start = whole(shares[..., 1], (lengths - 1).clamp(min=0))[..., None]\n"
    "    width = width.minimum(lengths - start[..., 0])",
    story="a stretch may begin at any frame and is cut off at the end: narrow ones come more often",
    advice="leave room for its width: at most length - width",
)
wrong(
    "around-its-place",
    START,
    "start = (shares[..., 1] * lengths).long()[..., None] - width[..., None] // 2",
    story="the place is taken for the middle of the stretch",
    advice="it is where the stretch begins",
)
wrong(
    "places-in-the-padding",
    START,
    "start = whole(shares[..., 1], size - width)[..., None]",
    story="places go up to the end of the padding, where nothing is to be hidden",
    advice="up to the row's own length less the width",
)
wrong(
    "one-too-wide",
    INSIDE,
    "inside = (place >= start) & (place <= start + width[..., None])",
    story="the end counts as inside: each stretch is one too wide",
    advice="from start up to, but not with, start + width",
)
wrong(
    "only-in-all",
    ANY,
    "return inside.all(dim=1)",
    story="hidden is only what lies in all stretches",
    advice="any over the stretches, which is False where there is none",
)
wrong(
    "twice-is-not-at-all",
    ANY,
    "return inside.sum(dim=1) % 2 == 1",
    story="where two stretches lie over each other, nothing is hidden",
    advice="any over the stretches",
)
wrong(
    "inverted",
    ANY,
    "return ~inside.any(dim=1)",
    story="True and False are exchanged: True is what is left",
    advice="True inside a stretch",
)
wrong(
    "written-into-shares",
    WIDTH,
    "width = shares[..., 0].mul_((lengths * most).long() + 1).long()",
    story="the caller's numbers are multiplied in their place",
    advice="without the _ a new tensor is made",
)
wrong(
    "first-rows-length",
    WIDTH,
    f"lengths = lengths[:1].expand_as(lengths)\n    {WIDTH}",
    story="the first row's length is used for all",
    advice="lengths (B,) as (B, 1), so that each row has its own",
)


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


@exercise.disguise("never-the-widest")
def never_the_widest_too(shares, lengths, most, size):
    found = torch.zeros(len(lengths), size, dtype=torch.bool)
    for row, length, pairs in zip(found, lengths.tolist(), shares.tolist()):
        for first, second in pairs:
            width = int(first * int(most * length))
            start = int(second * (length - width + 1))
            row[start : start + width] = True
    return found


@exercise.disguise("one-too-wide")
def one_too_wide_too(shares, lengths, most, size):
    found = torch.zeros(len(lengths), size, dtype=torch.bool)
    for row, length, pairs in zip(found, lengths.tolist(), shares.tolist()):
        for first, second in pairs:
            width = int(first * (int(most * length) + 1))
            start = int(second * (length - width + 1))
            row[start : start + width + 1] = True
    return found
