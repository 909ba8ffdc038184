"""Exercise clips.sample_frames: a network takes eight of three hundred frames. Which?"""

import functools

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
    hints="""
        1. 12 frames, 4 wanted. uniform: segments 0-2, 3-5, 6-8, 9-11, and their middles 1, 4, 7,
           10. random: perhaps 2, 3, 8, 9. dense at stride 2 spans seven frames, so it may begin at
           0 to 5, and without a generator begins at 2: 2, 4, 6, 8.
        2. A frame is on screen from its number to the next, so a clip is the stretch from 0 to
           `frames`, cut into `count` equal parts, whole frames or not. A moment of each, the middle
           or one drawn at random, falls on a frame. Of a row only the beginning is chosen.
        3. Moments (count,) in float64, each 0.5 or drawn; the place is (segment + moment) of the
           segments' length, rounded down. dense: the last beginning from which a whole row fits, at
           least 0; begin at half of it, or draw (torch.randint leaves its end out); steps of stride;
           what runs past the last frame becomes the last frame.
        4. uniform, random: ((torch.arange(count) + moments) * frames / count).long(), held to
           frames - 1. dense: latest = max(frames - 1 - (count - 1) * stride, 0); begin = latest //
           2, or torch.randint(latest + 1, (), generator=generator); (begin + stride *
           torch.arange(count)).clamp(max=frames - 1)
    """,
)


def generator(case):
    return torch.Generator().manual_seed(case.seed + 1)


def middles(frames, count):
    """The oracle: in whole numbers, so that nothing is rounded but once, down."""
    return torch.tensor([(2 * i + 1) * frames // (2 * count) for i in range(count)])


def many_times(sample_frames, summary, times=80):
    """A function that gives the summary of many calls: single draws leave no trace."""

    @functools.wraps(sample_frames)
    def function(frames, count, how="uniform", generator=None, stride=1):
        found = [sample_frames(frames, count, how, generator, stride) for _ in range(times)]
        return summary(torch.stack([torch.as_tensor(one) for one in found]))

    return function


@exercise.holds("uniform takes the middle frame of each of `count` equal segments")
def uniform(sample_frames, case):
    sizes = ((9, 3, "uniform"), (20, 4), (8, 4), (5, 5), (7, 1), (11, 4), (29, 7), (10, 4), (100, 7),
        (31, 8), (2**24 - 3, 7))  # fmt: skip
    case.each(sample_frames, *((size, middles(*size[:2])) for size in sizes))


@exercise.holds("uniform repeats the frames of a clip that has fewer than `count`")
def short(sample_frames, case):
    sizes = ((2, 4), (1, 3), (5, 8), (3, 7), (8, 41))
    case.each(sample_frames, *((size, middles(*size)) for size in sizes))


@exercise.holds("dense without a generator is a row in the clip's middle, rather early than late")
def row_in_the_middle(sample_frames, case):
    rows = ((10, 4, 1, 3), (5, 5, 1, 0), (9, 4, 1, 2), (13, 4, 2, 3))  # the last: where it begins
    calls = (((f, c, "dense", None, s), b + s * torch.arange(c)) for f, c, s, b in rows)
    case.each(sample_frames, *calls)


@exercise.holds("dense holds the last frame of a clip that is too short for the row")
def row_of_a_short_clip(sample_frames, case):
    case.each(
        sample_frames,
        ((3, 5, "dense"), torch.tensor([0, 1, 2, 2, 2])),
        ((1, 3, "dense", None, 4), torch.tensor([0, 0, 0])),
        ((6, 4, "dense", generator(case), 3), torch.tensor([0, 3, 5, 5])),
    )


@exercise.holds("random takes one frame of each segment, in order")
def one_of_each(sample_frames, case):
    for frames, count in ((12, 4), (29, 7), (2, 4)):
        edges = torch.arange(count + 1) * frames
        first, behind = edges[:-1] // count, -(-edges[1:] // count)
        many = many_times(
            sample_frames, lambda x, a=first, b=behind: (bool((x < a).any()), bool((x >= b).any()))
        )
        got = case.call(many, frames, count, "random", generator(case))
        case.equal(got, (False, False), "whether before its segment, whether behind it")


@exercise.holds("random takes every frame of a segment now and then, and draws for each anew")
def all_of_them(sample_frames, case):
    def summary(found):
        same = bool((found % 4 == found[:, :1] % 4).all())
        return [column.unique().tolist() for column in found.T], same

    got = case.call(many_times(sample_frames, summary), 12, 3, "random", generator(case))
    frames = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    case.equal(got, (frames, False), "the frames of each, and whether always at the same place")


@exercise.holds("dense with a generator begins anywhere from where the whole row fits")
def row_anywhere(sample_frames, case):
    def summary(found):
        return found[:, 0].unique().tolist(), found.diff().unique().tolist()

    for frames, count, stride in ((7, 4, 1), (11, 3, 3), (4, 4, 1)):
        many = many_times(sample_frames, summary)
        got = case.call(many, frames, count, "dense", generator(case), stride)
        begins = list(range(frames - (count - 1) * stride))
        case.equal(got, (begins, [stride]), "the beginnings, and the steps")


@exercise.holds("only the generator is drawn from: its state again gives the same, else another")
def from_the_generator(sample_frames, case):
    @functools.wraps(sample_frames)
    def thrice(frames, count, how, generator):
        state, results = generator.get_state(), []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            generator.set_state(state) if seed else None
            results.append(torch.as_tensor(sample_frames(frames, count, how, generator)).tolist())
        return results[1] == results[0], results[2] == results[0]

    for how in ("random", "dense"):
        got = case.call(thrice, 10**6, 5, how, generator(case))
        case.equal(got, (False, True), f"{how}: whether the next is the same, and from its state")


@exercise.holds("less than one frame, count or stride, or another `how`, is refused: ValueError")
def refused(sample_frames, case):
    case.refuses(ValueError, sample_frames, 8, 3, "middle")
    for how in ("uniform", "dense", "random"):
        for frames, count, stride in ((0, 3, 1), (3, 0, 1), (3, -2, 1), (3, 3, 0)):
            case.refuses(ValueError, sample_frames, frames, count, how, generator(case), stride)


exercise.mistakes("""
    both-ends [convention]: linspace from the first to the last frame, so that both ends are in
    - moments = torch.full((count,), 0.5, dtype=torch.float64)
    + if how == "uniform":
    +     return torch.linspace(0, frames - 1, count).round().long()
    + moments = torch.full((count,), 0.5, dtype=torch.float64)
    > cut the clip into count segments and take the middle of each, not its ends

    rounded-segments: segments are frames // count long: the clip's end never comes
    - (segments + moments) * frames / count
    + (segments + moments) * max(frames // count, 1)
    > equal segments need not be whole frames: frames / count

    anywhere: random draws from the whole clip: some segments come twice and some never
    - (segments + moments)
    + (moments * count if how == "random" else segments + moments)
    > one frame of each segment: the segment's number plus a number from 0 to 1

    dense-begins-in-the-middle: the row begins in the middle of the clip, in place of lying there
    - torch.tensor(latest // 2)
    + torch.tensor(min(frames // 2, latest))
    > as much behind the row as before it: begin at half of the last possible beginning

    one-too-much-room: a row is taken to be count * stride long and never ends with the last frame
    - frames - 1 - (count - 1) * stride
    + frames - count * stride
    > from its first frame to its last a row makes count - 1 steps

    begins-again [convention]: a row that is too long for the clip begins it again, as in I3D
    - (begin + stride * torch.arange(count)).clamp(max=frames - 1)
    + (begin + stride * torch.arange(count)) % frames
    > here it holds the last frame: things do not jump back
""")

exercise.slips("""
    torch.full((count,), 0.5, => torch.full((count,), 1 - 1e-9,
    0.5, dtype=torch.float64) => 0.5) ;; * frames / count => * (frames / count)
    (segments + moments) * frames / count => segments * (frames // count) + moments * frames / count
    frames / count).long() => frames / count).round().long()
    frames / count).long() => frames / count - 0.5).round().long()
    torch.rand(count, generator=generator, dtype=torch.float64) => moments
    torch.rand(count, generator=generator, => torch.rand(count, generator=Generator().manual_seed(0),
    generator=generator, dtype=torch.float64) => generator=generator, dtype=torch.float64) / 2
    (segments + => (count * moments.sort().values if how == "random" else segments +
    torch.tensor(latest // 2) => torch.tensor(0)
    torch.randint(latest + 1, => torch.randint(max(latest, 1),
    torch.randint(latest + 1, => torch.randint(frames,
    (begin + stride * torch.arange(count)).clamp(max=frames - 1) =>
        (frames - 1 - (frames - 1 - begin - stride * torch.arange(count)).abs()).clamp(min=0)
    .long().clamp(max=frames - 1) => .long().unique() ;;
        torch.arange(count)).clamp(max=frames - 1) => torch.arange(count)).clamp(max=frames - 1).unique()
    most=MOST_FRAMES => most=frames if name == "count" else MOST_FRAMES
    ("count", count), ("stride", stride) =>
    , ("stride", stride) =>
    torch.full((count,), 0.5, => torch.zeros((count,),
    torch.rand(count, generator=generator, dtype=torch.float64) => torch.rand(1,
        generator=generator, dtype=torch.float64).expand(count)
""")


@exercise.right("whole numbers")
def whole_numbers(frames, count, how="uniform", generator=None, stride=1):
    if min(frames, count, stride) < 1 or how not in {"uniform", "random", "dense"}:
        raise ValueError("cannot be taken")
    steps = torch.arange(count)
    if how == "uniform":
        return (2 * steps + 1) * frames // (2 * count)
    if how == "random":
        first = steps * frames // count
        behind = torch.maximum((steps + 1) * frames // count, first + 1)
        return torch.cat(
            [torch.randint(*ends, (1,), generator=generator) for ends in zip(first, behind)]
        )
    room = max(frames - (count - 1) * stride, 1)
    begin = torch.randint(room, (1,), generator=generator) if generator else (room - 1) // 2
    return torch.minimum(begin + stride * steps, torch.tensor(frames - 1))


@exercise.right("a list, frame after frame")
def a_list(frames, count, how="uniform", generator=None, stride=1):
    if how != "dense":
        whole_numbers(frames, count, how, generator, stride)
        moments = torch.rand(count, generator=generator) if how == "random" else [0.5] * count
        return torch.tensor([int((i + float(m)) * frames / count) for i, m in enumerate(moments)])
    found = [whole_numbers(frames, count, how, generator, stride)[0]]
    while len(found) < count:
        found.append(min(found[-1] + stride, torch.tensor(frames - 1)))
    return torch.stack(found)
