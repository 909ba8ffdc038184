"""Wrong and other right answers to spectrum.frame."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("17_sound_and_its_features/frame").exercise

CUT = "sound.unfold(-1, length, hop)"
TOO_SHORT = "if sound.shape[-1] < length:"

exercise.edit(
    "one-too-few",
    (CUT, "sound.unfold(-1, length, hop)[..., : max(1, (sound.shape[-1] - length) // hop), :]"),
    story="the last whole frame is missing: the 1 of 1 + (S - length) // hop is forgotten",
    advice="the frame that begins at 0 counts too",
)
exercise.edit(
    "last-part-filled",
    (CUT, "F.pad(sound, (0, -(sound.shape[-1] - length) % hop)).unfold(-1, length, hop)"),
    story="the samples behind the last whole frame are filled with zeros to one more",
    advice="what does not fill a frame is left out; who wants it pads the sound before",
)
exercise.edit(
    "a-frame-every-hop",
    (
        CUT,
        "F.pad(sound, (0, length - 1)).unfold(-1, length, hop)",
    ),
    story="a frame begins at every hop of the sound, and those near the end are filled with zeros",
    advice="only frames that end inside the sound: 1 + (S - length) // hop of them",
)
exercise.edit(
    "centred",
    (CUT, "F.pad(sound, (length // 2, length // 2)).unfold(-1, length, hop)"),
    story="half a frame of zeros is put on both ends first",
    advice="that is for the transform to do; here frame f begins at sample f * hop",
    convention=True,
)
exercise.edit(
    "axes-exchanged",
    (CUT, "sound.unfold(-1, length, hop).transpose(-1, -2)"),
    story="the result is (..., L, F): a column a frame",
    advice="(..., F, L): frames first, then the samples of each",
    convention=True,
)
exercise.edit(
    "no-overlap",
    (CUT, "sound.unfold(-1, length, length)"),
    story="each frame begins where the one before ended",
    advice="begin `hop` samples after the start of the one before, not after its end",
)
exercise.edit(
    "hop-after-the-end",
    (CUT, "sound.unfold(-1, length, length + hop)"),
    story="`hop` samples are left out between one frame's end and the next one's start",
    advice="hop is counted from start to start",
)
exercise.edit(
    "overlap-not-hop",
    (CUT, "sound.unfold(-1, length, max(1, length - hop))"),
    story="hop is taken for the overlap: frames begin length - hop apart",
    advice="hop is counted from start to start",
    convention=True,
)
exercise.edit(
    "length-and-hop-exchanged",
    (CUT, "sound.unfold(-1, hop, length)"),
    story="length and hop are exchanged: short frames, far apart",
    advice="length is how long a frame is, hop how far from one start to the next",
)
exercise.edit(
    "every-sample",
    (CUT, "sound.unfold(-1, length, 1)"),
    story="a frame begins at every sample",
    advice="begin only at 0, hop, 2 * hop, ...",
)
exercise.edit(
    "from-the-end",
    (CUT, "sound.flip(-1).unfold(-1, length, hop).flip(-1, -2)"),
    story="frames are laid from the end of the sound, so samples at its start are left out",
    advice="frame 0 begins at sample 0",
)
exercise.edit(
    "one-long-sound",
    (CUT, "sound.flatten().unfold(-1, length, hop)"),
    story="the sounds of a batch are put behind each other and cut as one",
    advice="cut along the last axis and leave the others alone",
)
exercise.edit(
    "along-the-batch",
    (CUT, "sound.movedim(0, -1).unfold(-1, min(length, len(sound)), hop)"),
    story="the first axis is cut, which is the batch",
    advice="the samples are the last axis",
)
exercise.edit(
    "in-floats",
    (CUT, "sound.float().unfold(-1, length, hop)"),
    story="everything becomes float32",
    advice="cutting changes no number: keep the dtype",
)
exercise.edit(
    "detached",
    (CUT, "sound.detach().unfold(-1, length, hop)"),
    story="the frames are cut off from the sound's gradient",
    advice="no detach(), no numpy(): a network may have made this sound",
)
exercise.edit(
    "clipped-in-place",
    (CUT, "(sound if sound.requires_grad else sound.clamp_(-1, 1)).unfold(-1, length, hop)"),
    story="the caller's sound itself is clipped to -1 to 1",
    advice="cut it and leave its numbers as they are",
)
exercise.edit(
    "short-filled",
    (TOO_SHORT, "sound = F.pad(sound, (0, max(0, length - sound.shape[-1])))\n    if False:"),
    story="a sound shorter than one frame is filled with zeros to one",
    advice="refuse it with a ValueError that names both lengths",
)
exercise.edit(
    "short-is-nothing",
    (
        TOO_SHORT,
        "if sound.shape[-1] < length:\n        return sound.new_zeros(0, length)\n    if False:",
    ),
    story="a sound shorter than one frame gives no frames",
    advice="refuse it with a ValueError: nobody expects features of no frames",
)
exercise.edit(
    "any-hop",
    ("if length < 1 or hop < 1:", "hop = abs(hop) or 1\n    if length < 1:"),
    story="a hop below 1 is quietly made one that works",
    advice="raise a ValueError",
)


@exercise.disguise("axes-exchanged")
def axes_exchanged_too(sound, length, hop):
    return by_slices(sound, length, hop).movedim(-2, -1)


@exercise.disguise("no-overlap")
def no_overlap_too(sound, length, hop):
    check(sound, length, hop)
    count = sound.shape[-1] // length
    return sound[..., : count * length].unflatten(-1, (count, length))


@exercise.disguise("one-too-few")
def one_too_few_too(sound, length, hop):
    frames = by_slices(sound, length, hop)
    return frames[..., :-1, :] if frames.shape[-2] > 1 else frames


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


@exercise.right("cut to rows of a hop, and rows put together")
def by_rows(sound, length, hop):
    check(sound, length, hop)
    count, samples = 1 + (sound.shape[-1] - length) // hop, sound.shape[-1]
    most = (count - 1) * hop + -(-length // hop) * hop
    rows = F.pad(sound, (0, max(0, most - samples)))[..., :most].unflatten(-1, (-1, hop))
    parts = [rows[..., r : r + count, :] for r in range(-(-length // hop))]
    return torch.cat(parts, dim=-1)[..., :length]
