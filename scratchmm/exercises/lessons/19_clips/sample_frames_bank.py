"""Wrong and other right answers to clips.sample_frames."""

import random

import numpy as np
import torch

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("19_clips/sample_frames").exercise

MOMENTS = "torch.full((count,), 0.5, dtype=torch.float64)"
DRAWN = "torch.rand(count, generator=generator, dtype=torch.float64)"
PLACES = "((segments + moments) * frames / count).long().clamp(max=frames - 1)"
LATEST = "max(frames - 1 - (count - 1) * stride, 0)"
BEGIN = "torch.randint(latest + 1, (), generator=generator)"
ROW = "(begin + stride * torch.arange(count)).clamp(max=frames - 1)"
REFUSAL = '(("frames", frames), ("count", count), ("stride", stride))'

exercise.edit(
    "first-of-each",
    (MOMENTS, "torch.zeros(count, dtype=torch.float64)"),
    story="uniform takes the frame with which each segment begins, so nothing of the clip's end",
    advice="the middle of each segment: i + 1/2 segments from the beginning",
)
exercise.edit(
    "segments-rounded",
    (MOMENTS, "torch.full((count,), 0.5)"),
    (PLACES, "((segments + moments) * (frames / count)).long().clamp(max=frames - 1)"),
    story="the length of a segment is rounded to float32 before it is multiplied, so that a moment on "
    "the edge of a frame may fall on the one before",
    advice="multiply first and divide last, in whole numbers or in float64",
)
exercise.edit(
    "last-of-each",
    (MOMENTS, "torch.full((count,), 1 - 1e-9, dtype=torch.float64)"),
    story="uniform takes the frame with which each segment ends",
    advice="the middle of each segment: i + 1/2 segments from the beginning",
)
exercise.edit(
    "rounded-to-the-nearest",
    (PLACES, "((segments + moments) * frames / count).round().long().clamp(max=frames - 1)"),
    story="moments are rounded to the nearest number: half of the time that is the next frame",
    advice="a frame is on screen from its number to the next: round down",
)
exercise.edit(
    "a-half-taken-off",
    (PLACES, "((segments + moments) * frames / count - 0.5).round().long().clamp(0, frames - 1)"),
    story="frames are taken for points in their middles, and a tie is rounded to even",
    advice="a moment falls on the frame that is on screen then: round down, and no half taken off",
)
exercise.edit(
    "both-ends",
    (
        PLACES,
        f'torch.linspace(0, frames - 1, count).round().long() if how == "uniform" else ({PLACES})',
    ),
    story="linspace from the first to the last frame: both ends are in, however count divides",
    advice="cut the clip into count segments and take the middle of each, not its ends",
    convention=True,
)
exercise.edit(
    "rounded-segments",
    (PLACES, "((segments + moments) * max(frames // count, 1)).long().clamp(max=frames - 1)"),
    story="segments are frames // count long: what that leaves over at the end is never seen",
    advice="equal segments need not be whole frames: frames / count",
)
exercise.edit(
    "steps-of-whole-frames",
    (
        PLACES,
        "(segments * (frames // count) + moments * frames / count).long().clamp(0, frames - 1)",
    ),
    story="segments begin at multiples of frames // count: too early, more so towards the end",
    advice="segment i begins at i * frames / count",
)
exercise.edit(
    "random-is-uniform",
    (DRAWN, MOMENTS),
    story="random takes the middles as well",
    advice="a moment of each segment from torch.rand(count, generator=generator)",
)
exercise.edit(
    "one-number-for-all",
    (DRAWN, "torch.rand(1, generator=generator, dtype=torch.float64).expand(count)"),
    story="one chance number says where in all segments",
    advice="draw a number for each segment, (count,)",
)
exercise.edit(
    "first-half",
    (DRAWN, "torch.rand(count, generator=generator, dtype=torch.float64) / 2"),
    story="random draws from the first half of each segment only",
    advice="torch.rand is from 0 to 1 already, the whole segment",
)
exercise.edit(
    "anywhere-in-order",
    (DRAWN, "count * torch.rand(count, generator=generator).sort().values.double() - segments"),
    ("    segments = torch.arange(count)", "    pass"),
    ("    moments = torch.full", "    segments = torch.arange(count)\n    moments = torch.full"),
    story="random draws from the whole clip and sorts: some segments come twice and some never",
    advice="one frame of each segment: the segment's number plus a number from 0 to 1",
)
exercise.edit(
    "anywhere",
    (DRAWN, "count * torch.rand(count, generator=generator, dtype=torch.float64) - segments"),
    ("    segments = torch.arange(count)", "    pass"),
    ("    moments = torch.full", "    segments = torch.arange(count)\n    moments = torch.full"),
    story="random draws from the whole clip, in no order",
    advice="one frame of each segment: the segment's number plus a number from 0 to 1",
)
exercise.edit(
    "dense-from-the-beginning",
    ("torch.tensor(latest // 2)", "torch.tensor(0)"),
    story="without a generator a row begins with the first frame",
    advice="half of the last possible beginning, so that the row is the clip's middle",
)
exercise.edit(
    "dense-begins-in-the-middle",
    ("torch.tensor(latest // 2)", "torch.tensor(min(frames // 2, latest))"),
    story="the row begins in the middle of the clip, in place of lying there",
    advice="as much behind the row as before it: begin at half of the last possible beginning",
)
exercise.edit(
    "stride-forgotten-in-the-room",
    (LATEST, "max(frames - count, 0)"),
    story="a row of stride 2 is taken to need no more room than one of stride 1",
    advice="the row is (count - 1) * stride + 1 frames long: what fits depends on stride",
)
exercise.edit(
    "one-too-much-room",
    (LATEST, "max(frames - count * stride, 0)"),
    story="a row is taken to be count * stride long, so it never ends with the last frames",
    advice="from its first frame to its last a row makes count - 1 steps",
)
exercise.edit(
    "last-beginning-left-out",
    (BEGIN, "torch.randint(max(latest, 1), (), generator=generator)"),
    story="the last possible beginning is never drawn: torch.randint leaves its end out",
    advice="torch.randint(latest + 1, ...)",
)
exercise.edit(
    "rows-run-over",
    (BEGIN, "torch.randint(frames, (), generator=generator)"),
    story="a row may begin with any frame, and then holds the last one although the clip is long",
    advice="begin where the whole row fits",
)
exercise.edit(
    "stride-ignored",
    (ROW, "(begin + torch.arange(count)).clamp(max=frames - 1)"),
    story="dense takes every frame, whatever stride says",
    advice="begin + stride * torch.arange(count)",
)
exercise.edit(
    "begins-again",
    (ROW, "(begin + stride * torch.arange(count)) % frames"),
    story="a row that is too long for the clip begins it again, as I3D does",
    advice="here it holds the last frame: things do not jump back",
    convention=True,
)
exercise.edit(
    "runs-past-the-end",
    (ROW, "begin + stride * torch.arange(count)"),
    story="a row of a short clip runs past its last frame",
    advice="what is past the last frame becomes the last frame: clamp(max=frames - 1)",
)
exercise.edit(
    "there-and-back",
    (
        ROW,
        "(frames - 1 - (frames - 1 - (begin + stride * torch.arange(count))).abs()).clamp(min=0)",
    ),
    story="a row that is too long for the clip turns round at its end",
    advice="hold the last frame: what is past it becomes the last frame",
)
exercise.edit(
    "only-once",
    (PLACES, "((segments + moments) * frames / count).long().unique()"),
    (ROW, "(begin + stride * torch.arange(count)).clamp(max=frames - 1).unique()"),
    story="no frame comes twice, so a short clip gives fewer frames than asked",
    advice="always `count` of them: a batch needs as many of each clip",
)
exercise.edit(
    "short-refused",
    ("most=MOST_FRAMES", "most=frames if name == 'count' else MOST_FRAMES"),
    story="a clip of fewer frames than asked is refused",
    advice="repeat its frames: every clip of a set gives as many",
)
exercise.edit(
    "other-chance-random",
    (DRAWN, "torch.rand(count, dtype=torch.float64)"),
    story="random does not use the generator that is given",
    advice="torch.rand(count, generator=generator)",
)
exercise.edit(
    "other-chance-dense",
    (BEGIN, "torch.randint(latest + 1, ())"),
    story="dense does not use the generator that is given",
    advice="torch.randint(latest + 1, (), generator=generator)",
)
exercise.edit(
    "always-the-same-chance",
    (DRAWN, "torch.rand(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)"),
    story="random makes a generator of its own at each call: it always takes the same frames",
    advice="draw from the generator that is given, which goes on from call to call",
)
exercise.edit(
    "floats",
    (PLACES, "((segments + moments) * frames / count).floor().clamp(max=frames - 1)"),
    story="the numbers of frames are floats",
    advice=".long(): a clip is indexed by them",
)
exercise.edit(
    "nothing-refused",
    (REFUSAL, '(("frames", frames),)'),
    story="a count or stride below 1 is taken",
    advice="raise ValueError for each that is below 1",
)
exercise.edit(
    "stride-not-refused",
    (REFUSAL, '(("frames", frames), ("count", count))'),
    story="a stride below 1 is taken: a row of one frame, over and over",
    advice="raise ValueError for a stride below 1 too",
)
exercise.edit(
    "frames-not-refused",
    (REFUSAL, '(("count", count), ("stride", stride))'),
    story="a clip of no frames is taken",
    advice="raise ValueError: there is no frame to look at",
)
exercise.edit(
    "any-other-way",
    ('if how not in ("uniform", "random"):', "if not how:"),
    story="what is neither dense nor random is taken for uniform",
    advice="raise ValueError for a `how` that is none of the three: it was mistyped",
)


@exercise.disguise("first-of-each")
def first_of_each_too(frames, count, how="uniform", generator=None, stride=1):
    if how == "uniform" and min(frames, count, stride) >= 1:
        return torch.arange(count) * frames // count
    return whole_numbers(frames, count, how, generator, stride)


@exercise.disguise("runs-past-the-end")
def runs_past_the_end_too(frames, count, how="uniform", generator=None, stride=1):
    if how == "dense" and frames <= (count - 1) * stride:
        return torch.arange(0, count * stride, stride)
    return whole_numbers(frames, count, how, generator, stride)


@exercise.disguise("both-ends")
def both_ends_too(frames, count, how="uniform", generator=None, stride=1):
    if how == "uniform" and min(frames, count, stride) >= 1:
        return torch.from_numpy(np.linspace(0, frames - 1, count).round()).long()
    return whole_numbers(frames, count, how, generator, stride)


@exercise.right("whole numbers")
def whole_numbers(frames, count, how="uniform", generator=None, stride=1):
    if frames < 1 or count < 1 or stride < 1:
        raise ValueError("less than one")
    steps = torch.arange(count)
    if how == "uniform":
        return (2 * steps + 1) * frames // (2 * count)
    if how == "random":
        first = steps * frames // count
        behind = torch.maximum((steps + 1) * frames // count, first + 1)
        drawn = [
            torch.randint(int(a), int(b), (1,), generator=generator) for a, b in zip(first, behind)
        ]
        return torch.cat(drawn)
    if how != "dense":
        raise ValueError(how)
    room = frames - (count - 1) * stride
    begin = max(room - 1, 0) // 2
    if generator is not None:
        begin = torch.randint(max(room, 1), (1,), generator=generator).item()
    return torch.minimum(begin + stride * steps, torch.tensor(frames - 1))


@exercise.right("a list, frame after frame")
def a_list(frames, count, how="uniform", generator=None, stride=1):
    if min(frames, count, stride) < 1 or how not in {"uniform", "random", "dense"}:
        raise ValueError("cannot be taken")

    def chance():
        return torch.rand((), generator=generator, dtype=torch.float64).item()

    found = []
    if how == "dense":
        begins = [at for at in range(frames) if at + (count - 1) * stride < frames] or [0]
        frame = begins[(len(begins) - 1) // 2]
        if generator is not None:
            frame = begins[int(chance() * len(begins))]
        for _ in range(count):
            found.append(frame)
            frame = min(frame + stride, frames - 1)
    else:
        for segment in range(count):
            moment = 0.5 if how == "uniform" else chance()
            found.append(min(int((segment + moment) * frames / count), frames - 1))
    return torch.tensor(found)


@exercise.right("Python's own chance, seeded by the generator")
def pythons_chance(frames, count, how="uniform", generator=None, stride=1):
    if not (frames >= 1 and count >= 1 and stride >= 1):
        raise ValueError("less than one")
    chance = how == "random" or generator is not None
    seed = torch.randint(2**60, (), generator=generator).item() if chance else 0
    dice = random.Random(seed)
    if how == "dense":
        latest = max(0, frames - 1 - (count - 1) * stride)
        begin = latest // 2 if generator is None else dice.randint(0, latest)
        return torch.arange(begin, begin + count * stride, stride).clamp_max(frames - 1)
    moments = {"uniform": [0.5] * count, "random": [dice.random() for _ in range(count)]}
    if how not in moments:
        raise ValueError(how)
    ends = torch.linspace(0, frames, count + 1, dtype=torch.float64)
    places = torch.lerp(ends[:-1], ends[1:], torch.tensor(moments[how], dtype=torch.float64))
    return (places + 1e-9).floor().clamp_max(frames - 1).long()
