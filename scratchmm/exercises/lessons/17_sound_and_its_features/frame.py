"""Exercise spectrum.frame: a sound cut into pieces that overlap."""

import torch

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="spectrum.frame",
    order=10,
    target="scratchmm.audio.spectrum:frame",
    title="Cut into frames",
    goal="whole frames of `length` samples, each begun `hop` samples after the one before",
    minutes=10,
    difficulty=1,
    section="Cut into frames",
    hints="""
        1. The 7 samples 0 1 2 3 4 5 6 with length 4 and hop 2 give two frames: 0 1 2 3 and 2 3 4 5.
           A third would begin at 4 and need a sample 7 that is not there, so 6 is left out.
        2. Frame f begins at sample f * hop and is length long: frames overlap where the hop is
           shorter. How many begin early enough to end inside the sound?
        3. Refuse a length or a hop below 1, and a sound shorter than one frame. F = 1 + (S -
           length) // hop. Sample n of frame f is sample f * hop + n of the last axis; all axes
           before it stay, and the new ones are frames, then samples: (..., F, L).
        4. starts = hop * torch.arange(F); places = starts[:, None] + torch.arange(length); return
           sound[..., places]. Tensor.unfold(-1, length, hop) does the same without a copy.
    """,
)


def slices(sound, length, hop):
    """The oracle: slice by slice."""
    starts = range(0, sound.shape[-1] - length + 1, hop)
    return torch.stack([sound[..., start : start + length] for start in starts], dim=-2)


def counting(case, samples):
    """The sound 0, 1, 2, ..., so that every number tells its place."""
    return case.named(torch.arange(float(samples)), "S")


@exercise.holds("nine samples in frames of 4, 2 apart, are 0 1 2 3, 2 3 4 5 and 4 5 6 7")
def nine(frame, case):
    expected = torch.tensor([[0.0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]])
    case.equal(case.call(frame, counting(case, 9), 4, 2), expected)


@exercise.holds("F is 1 + (S - length) // hop: a frame that just fits counts, a part does not")
def fits(frame, case):
    sizes = (8, 4, 2), (9, 4, 2), (5, 5, 3), (11, 3, 4), (12, 3, 4), (13, 2, 5), (3, 1, 1)
    calls = [(counting(case, samples), length, hop) for samples, length, hop in sizes]
    case.each(frame, *((given, slices(*given)) for given in calls))


@exercise.holds(
    "a batch (B, S) and channels (B, C, S): each sound is cut by itself and left as it was"
)
def axes(frame, case):
    calls = (case.normal(B=2, S=11), 4, 3), (case.normal(B=3, C=2, S=10), 3, 2)
    case.each(frame, *((given, slices(*given)) for given in calls))
    case.unchanged()


@exercise.holds("whole numbers stay whole numbers, and float64 stays float64")
def kinds(frame, case):
    sounds = case.integers(0, 9, S=9), case.normal(S=9, dtype=torch.float64)
    case.each(frame, *(((sound, 4, 3), slices(sound, 4, 3)) for sound in sounds))


@exercise.holds("the gradient of a sample is the sum over all frames that hold it")
def gradients(frame, case):
    case.gradients(frame, slices, case.normal(B=2, S=11), 5, 2)


@exercise.holds("a sound shorter than one frame is refused with a ValueError")
def short(frame, case):
    case.refuses(ValueError, frame, case.normal(B=2, S=4), 5, 2)
    case.refuses(ValueError, frame, case.normal(B=2, S=0), 1, 1)


@exercise.holds("a length or a hop below 1 is refused with a ValueError")
def nothing(frame, case):
    sound = case.normal(S=6)
    for length, hop in ((0, 2), (-1, 2), (3, 0), (3, -1)):
        case.refuses(ValueError, frame, sound, length, hop)


exercise.mistakes("""
    one-too-few: the last whole frame is missing: the 1 of 1 + (S - length) // hop is forgotten
    - return sound.unfold(-1, length, hop)
    + return sound.unfold(-1, length, hop)[..., : max(1, (sound.shape[-1] - length) // hop), :]
    > the frame that begins at 0 counts too

    last-part-filled: the samples behind the last whole frame are filled with zeros to one more
    - sound.unfold(-1, length, hop)
    + F.pad(sound, (0, -(sound.shape[-1] - length) % hop)).unfold(-1, length, hop)
    > what does not fill a frame is left out; pad the sound before, where it counts

    centred [convention]: half a frame of zeros is put on both ends first
    - sound.unfold(-1, length, hop)
    + F.pad(sound, (length // 2, length // 2)).unfold(-1, length, hop)
    > that is for the transform to do; here frame f begins at sample f * hop

    axes-exchanged [convention]: the result is (..., L, F): a column a frame
    - sound.unfold(-1, length, hop)
    + sound.unfold(-1, length, hop).transpose(-1, -2)
    > (..., F, L): frames first, then the samples of each

    no-overlap: each frame begins where the one before ended
    - sound.unfold(-1, length, hop)
    + sound.unfold(-1, length, length)
    > begin `hop` samples after the start of the one before, not after its end

    overlap-not-hop [convention]: hop is taken for the overlap: frames begin length - hop apart
    - sound.unfold(-1, length, hop)
    + sound.unfold(-1, length, max(1, length - hop))
    > hop is counted from start to start

    one-long-sound: the sounds of a batch are put behind each other and cut as one
    - sound.unfold(-1, length, hop)
    + sound.flatten().unfold(-1, length, hop)
    > cut along the last axis and leave the others alone

    short-filled: a sound shorter than one frame is filled with zeros to one
    - if sound.shape[-1] < length:
    + sound = F.pad(sound, (0, max(0, length - sound.shape[-1])))
    + if False:
    > refuse it with a ValueError that names both lengths

    any-hop: a hop below 1 is quietly made one that works
    - if length < 1 or hop < 1:
    + hop = abs(hop) or 1
    + if length < 1:
    > raise a ValueError
""")

exercise.slips("""
    sound.unfold => F.pad(sound, (0, length - 1)).unfold
    sound.unfold => sound.float().unfold
    sound.unfold(-1, length, hop) => sound.unfold(-1, length, length + hop)
    sound.unfold(-1, length, hop) => sound.unfold(-1, length, 1)
    sound.unfold(-1, length, hop) => sound.flip(-1).unfold(-1, length, hop).flip(-1, -2)
    sound.unfold(-1, length, hop) => sound.movedim(0, -1).unfold(-1, min(length, len(sound)), hop)
    sound.unfold => (sound if sound.requires_grad else sound.clamp_(-1, 1)).unfold
    if sound.shape[-1] < length: => if False: ;; sound.unfold(-1, length, hop) =>
        sound.unfold(-1, length, hop) if length <= sound.shape[-1] else sound.new_zeros(0, length)
""")


def check(sound, length, hop):
    """What cannot be cut is refused."""
    if length < 1 or hop < 1 or sound.shape[-1] < length:
        raise ValueError(f"{sound.shape[-1]} samples, {length}, {hop}")


@exercise.right("slices, stacked")
def by_slices(sound, length, hop):
    check(sound, length, hop)
    starts = range(0, sound.shape[-1] - length + 1, hop)
    return torch.stack([sound[..., start : start + length] for start in starts], dim=-2)


@exercise.right("picked by their places")
def by_places(sound, length, hop):
    check(sound, length, hop)
    starts = hop * torch.arange(1 + (sound.shape[-1] - length) // hop)
    return sound[..., starts[:, None] + torch.arange(length)]
