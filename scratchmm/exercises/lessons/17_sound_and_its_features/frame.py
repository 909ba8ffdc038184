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
    hints=(
        "The 7 samples 0 1 2 3 4 5 6 with length 4 and hop 2 give two frames: 0 1 2 3 and 2 3 4 5. "
        "A third would begin at 4 and need a sample 7 that is not there, so 6 is left out.",
        "Frame f begins at sample f * hop and is length long: frames overlap where the hop is "
        "shorter. How many begin early enough to end inside the sound?",
        "Refuse a length or a hop below 1, and a sound shorter than one frame. F = 1 + (S - length) "
        "// hop. Sample n of frame f is sample f * hop + n of the last axis; all axes before it "
        "stay, and the new ones are frames, then samples: (..., F, L).",
        "starts = hop * torch.arange(F); places = starts[:, None] + torch.arange(length); return "
        "sound[..., places]. Tensor.unfold(-1, length, hop) does the same without a copy.",
    ),
)


def slices(sound, length, hop):
    """The oracle: slice by slice."""
    starts = range(0, sound.shape[-1] - length + 1, hop)
    return torch.stack([sound[..., start : start + length] for start in starts], dim=-2)


def counting(case, samples):
    """The sound 0, 1, 2, ..., so that every number tells its place."""
    return case.named(torch.arange(float(samples)), "S")


@exercise.holds("seven samples in frames of 4, 2 apart, are 0 1 2 3 and 2 3 4 5")
def seven(frame, case):
    expected = torch.tensor([[0.0, 1, 2, 3], [2, 3, 4, 5]])
    case.equal(case.call(frame, counting(case, 7), 4, 2), expected)


@exercise.holds("F is 1 + (S - length) // hop: a frame that just fits counts, a part does not")
def fits(frame, case):
    calls = []
    for samples, length, hop in ((8, 4, 2), (9, 4, 2), (5, 5, 3), (11, 3, 4), (12, 3, 4)):
        sound = counting(case, samples)
        calls.append(((sound, length, hop), slices(sound, length, hop)))
    case.each(frame, *calls)


@exercise.holds("where the hop is longer than a frame, samples between them are left out")
def gaps(frame, case):
    sound = counting(case, 13)
    case.equal(case.call(frame, sound, 2, 5), slices(sound, 2, 5))


@exercise.holds("a batch (B, S) and channels (B, C, S): each sound is cut by itself")
def axes(frame, case):
    batch, channels = case.normal(B=2, S=11), case.normal(B=3, C=2, S=10)
    case.each(
        frame,
        ((batch, 4, 3), slices(batch, 4, 3)),
        ((channels, 3, 2), slices(channels, 3, 2)),
    )


@exercise.holds("whole numbers stay whole numbers, and float64 stays float64")
def kinds(frame, case):
    whole, precise = case.integers(0, 9, S=9), case.normal(S=9, dtype=torch.float64)
    case.each(frame, ((whole, 4, 3), slices(whole, 4, 3)), ((precise, 4, 3), slices(precise, 4, 3)))


@exercise.holds("the gradient of a sample is the sum over all frames that hold it")
def gradients(frame, case):
    case.gradients(frame, slices, case.normal(B=2, S=11), 5, 2)


@exercise.holds("the sound is left as it was")
def unchanged(frame, case):
    case.call(frame, case.normal(B=2, S=11), 5, 2)
    case.unchanged()


@exercise.holds("a sound shorter than one frame is refused with a ValueError")
def short(frame, case):
    case.refuses(ValueError, frame, case.normal(B=2, S=4), 5, 2)
    case.refuses(ValueError, frame, case.normal(B=2, S=0), 1, 1)


@exercise.holds("a length or a hop below 1 is refused with a ValueError")
def nothing(frame, case):
    sound = case.normal(S=6)
    for length, hop in ((0, 2), (-1, 2), (3, 0), (3, -1)):
        case.refuses(ValueError, frame, sound, length, hop)
