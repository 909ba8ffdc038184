"""Exercise clips.sample_frames: a network looks at eight of three hundred frames. Which?"""

import functools
from fractions import Fraction

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="clips.sample_frames",
    order=10,
    target="scratchmm.video.clips:sample_frames",
    title="Which frames",
    goal="the numbers of `count` frames: the middles of equal segments, one at random of each, or a row",
    minutes=20,
    difficulty=2,
    section="Which frames",
    hints=(
        "12 frames, 4 wanted. uniform: segments 0-2, 3-5, 6-8, 9-11, and their middles 1, 4, 7, 10. "
        "random: perhaps 2, 3, 8, 9. dense at stride 2 takes seven frames' time, so it may begin at "
        "0 to 5, and without a generator begins at 2: 2, 4, 6, 8.",
        "A frame is on screen from its number to the next number, so a clip is the stretch from 0 to "
        "`frames`, cut into `count` equal parts that need not be whole frames. A moment of each part "
        "falls on a frame: the half-way moment, or a moment drawn by chance. That works for clips "
        "shorter than `count` as well. A row is another thing: only its beginning is chosen.",
        "Refuse what is below 1. Moments (count,) in float64, each 0.5 or from torch.rand with the "
        "generator; the place in the clip is (segment + moment) of the segments' length, rounded "
        "down. dense: the last beginning from which a whole row fits, at least 0; begin there or "
        "before, by torch.randint (which leaves its end out) or half of it; steps of stride; what "
        "runs past the last frame becomes the last frame.",
        "uniform, random: ((torch.arange(count) + moments) * frames / count).long(), held to frames "
        "- 1. dense: latest = max(frames - 1 - (count - 1) * stride, 0); begin = latest // 2, or "
        "torch.randint(latest + 1, (), generator=generator); (begin + stride * torch.arange(count))"
        ".clamp(max=frames - 1)",
    ),
)
SIZES = ((12, 4), (29, 7), (2, 4))  # frames, count


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


def middles(frames, count):
    """The oracle: by fractions, so that nothing is rounded but once, down."""
    return torch.tensor([int(Fraction((2 * i + 1) * frames, 2 * count)) for i in range(count)])


def many_times(sample_frames, look, times=80):
    """A function that calls the learner's many times and gives what `look` sees: chance leaves no
    trace."""

    @functools.wraps(sample_frames)
    def function(frames, count, how="uniform", generator=None, stride=1):
        found = [sample_frames(frames, count, how, generator, stride) for _ in range(times)]
        return look(torch.stack([torch.as_tensor(one) for one in found]))

    return function


@exercise.holds("uniform takes the middle frame of each of `count` segments of whole frames")
def whole_segments(sample_frames, case):
    case.each(
        sample_frames,
        ((9, 3), torch.tensor([1, 4, 7])),
        ((20, 4, "uniform"), torch.tensor([2, 7, 12, 17])),
        ((8, 4), torch.tensor([1, 3, 5, 7])),
        ((5, 5), torch.arange(5)),
        ((7, 1), torch.tensor([3])),
    )


@exercise.holds("uniform's segments are equal although frames are whole, to the end of the clip")
def any_sizes(sample_frames, case):
    sizes = ((11, 4), (29, 7), (10, 4), (100, 7), (31, 8))
    case.each(sample_frames, *((size, middles(*size)) for size in sizes))


@exercise.holds("uniform repeats the frames of a clip that has fewer than `count`")
def short(sample_frames, case):
    case.each(
        sample_frames,
        *((size, middles(*size)) for size in ((2, 4), (1, 3), (5, 8), (3, 7), (8, 41))),
    )


@exercise.holds(
    "dense without a generator is a row with as much of the clip behind it as before it"
)
def row_in_the_middle(sample_frames, case):
    case.each(
        sample_frames,
        ((10, 4, "dense"), torch.tensor([3, 4, 5, 6])),
        ((5, 5, "dense"), torch.arange(5)),
        ((13, 4, "dense", None, 2), torch.tensor([3, 5, 7, 9])),
        ((11, 3, "dense", None, 3), torch.tensor([2, 5, 8])),
    )


@exercise.holds("dense holds the last frame of a clip that is too short for the row")
def row_of_a_short_clip(sample_frames, case):
    case.each(
        sample_frames,
        ((3, 5, "dense"), torch.tensor([0, 1, 2, 2, 2])),
        ((5, 4, "dense", None, 2), torch.tensor([0, 2, 4, 4])),
        ((1, 3, "dense", None, 4), torch.tensor([0, 0, 0])),
        ((6, 4, "dense", generator(case), 3), torch.tensor([0, 3, 5, 5])),
    )


@exercise.holds("random takes one frame of each segment, in order")
def one_of_each(sample_frames, case):
    def look(found):
        first = [frames * i // count for i in range(count)]
        last = [-(-frames * (i + 1) // count) - 1 for i in range(count)]
        return {
            "numbers": found.shape[1],
            "before its segment": bool((found < torch.tensor(first)[: found.shape[1]]).any()),
            "behind its segment": bool((found > torch.tensor(last)[: found.shape[1]]).any()),
        }

    expected = {"before its segment": False, "behind its segment": False}
    for frames, count in SIZES:
        look_at = many_times(sample_frames, look)
        got = case.call(look_at, frames, count, "random", generator(case))
        case.equal(got, {"numbers": count, **expected})


@exercise.holds("random takes every frame of a segment now and then")
def all_of_them(sample_frames, case):
    def look(found):
        return [sorted(set(column.tolist())) for column in found.T]

    got = case.call(many_times(sample_frames, look), 12, 3, "random", generator(case))
    case.equal(got, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]], "the frames of each segment")


@exercise.holds("random draws for each segment anew: an early frame of one, a late one of the next")
def apart(sample_frames, case):
    def look(found):
        places = found - torch.arange(found.shape[1]) * 6
        return {"always the same place": bool((places == places[:, :1]).all())}

    got = case.call(many_times(sample_frames, look), 24, 4, "random", generator(case))
    case.equal(got, {"always the same place": False})


@exercise.holds("dense with a generator begins anywhere from where the whole row fits")
def row_anywhere(sample_frames, case):
    def look(found):
        steps = sorted(set((found[:, 1:] - found[:, :-1]).flatten().tolist()))
        return {"begins at": sorted(set(found[:, 0].tolist())), "steps": steps}

    for frames, count, stride in ((7, 4, 1), (11, 3, 3), (4, 4, 1)):
        look_at = many_times(sample_frames, look)
        got = case.call(look_at, frames, count, "dense", generator(case), stride)
        begins = list(range(frames - (count - 1) * stride))
        case.equal(got, {"begins at": begins, "steps": [stride]})


@exercise.holds("all chance is the generator's: the same state the same, the next call another")
def from_the_generator(sample_frames, case):
    @functools.wraps(sample_frames)
    def thrice(frames, count, how, generator):
        state, results = generator.get_state(), []
        for seed in range(3):
            torch.manual_seed(0 if seed < 2 else 1)
            if seed == 2:
                generator.set_state(state)
            results.append(torch.as_tensor(sample_frames(frames, count, how, generator)).tolist())
        return {"the next differs": results[1] != results[0], "the same": results[2] == results[0]}

    for how in ("random", "dense"):
        got = case.call(thrice, 10**6, 5, how, generator(case))
        case.equal(got, {"the next differs": True, "the same": True}, how)


@exercise.holds("less than one frame, count or stride is refused with a ValueError")
def refused(sample_frames, case):
    for how in ("uniform", "dense", "random"):
        for frames, count, stride in ((0, 3, 1), (3, 0, 1), (3, -2, 1), (3, 3, 0)):
            case.refuses(ValueError, sample_frames, frames, count, how, generator(case), stride)


@exercise.holds("another way to sample is refused with a ValueError")
def refused_way(sample_frames, case):
    case.refuses(ValueError, sample_frames, 8, 3, "middle")
