"""Wrong and other right answers to features.zero_crossing_rate."""

import torch
import torch.nn.functional as F

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("17_sound_and_its_features/zero_crossing_rate").exercise

COUNT = "crosses.sum(dim=-1).to(sound.dtype) / length"
BELOW = 'pad_ends(sound, length // 2, "edge") < -NEARLY_ZERO'
CROSSES = "signs[..., 1:] != signs[..., :-1]"

exercise.edit(
    "not-divided",
    (COUNT, "crosses.sum(dim=-1).to(sound.dtype)"),
    story="the count is returned, not its share of the frame",
    advice="divide by the length of a frame",
)
exercise.edit(
    "divided-by-the-steps",
    (COUNT, "crosses.sum(dim=-1).to(sound.dtype) / max(length - 1, 1)"),
    story="the count is divided by the L - 1 steps, not by the L samples",
    advice="divide by length",
    convention=True,
)
exercise.edit(
    "turns-not-crossings",
    (COUNT, "crosses.sum(dim=-1).to(sound.dtype) / (2 * length)"),
    story="two crossings are counted as one full turn",
    advice="each change of sign counts one, up and down",
)
exercise.edit(
    "upwards-only",
    (CROSSES, "~signs[..., 1:] & signs[..., :-1]"),
    story="only the steps from below 0 upwards are counted",
    advice="from positive to negative counts too",
)
exercise.edit(
    "zeros-at-the-ends",
    (BELOW, 'pad_ends(sound, length // 2, "constant") < -NEARLY_ZERO'),
    story="zeros are put on both ends: a sound that begins below 0 crosses there",
    advice="let the first and the last sample go on beyond the ends",
)
exercise.edit(
    "not-centred",
    (BELOW, "pad_ends(sound, max(0, length - sound.shape[-1]), 'edge') < -NEARLY_ZERO"),
    story="nothing is put on the ends: frame f begins at sample f * hop",
    advice="put length // 2 samples on both ends, so that frame f lies around f * hop",
)
exercise.edit(
    "all-at-the-front",
    (
        BELOW,
        "torch.cat([sound[..., :1].expand(*sound.shape[:-1], length // 2 * 2), sound], -1)"
        " < -NEARLY_ZERO",
    ),
    story="a whole frame is put before the sound and nothing behind it",
    advice="half of it before, half of it behind",
)
exercise.edit(
    "mirrored-ends",
    (BELOW, 'pad_ends(sound, length // 2, "reflect") < -NEARLY_ZERO'),
    story="the sound is mirrored at its ends, and what is mirrored is counted too",
    advice="let the first and the last sample go on beyond the ends",
)
exercise.edit(
    "zero-is-negative",
    (BELOW, 'pad_ends(sound, length // 2, "edge") <= NEARLY_ZERO'),
    story="0 counts as negative",
    advice="0 has the sign of what is positive",
)
exercise.edit(
    "rounding-counts",
    (BELOW, 'pad_ends(sound, length // 2, "edge") < 0'),
    story="everything below 0 is negative, also what is only rounding",
    advice="below -NEARLY_ZERO",
)
exercise.edit(
    "a-threshold",
    (BELOW, 'pad_ends(sound, length // 2, "edge") < -1e-4'),
    story="what is quiet counts as 0, so quiet sounds have no crossings",
    advice="below -NEARLY_ZERO, which is far below what can be heard",
)
exercise.edit(
    "with-the-step-before",
    (CROSSES, "torch.cat([~signs[..., :1], signs], -1)[..., :-1] != signs"),
    story="the first sample of each frame counts as a crossing",
    advice="a frame of L samples has L - 1 steps",
)
exercise.edit(
    "single-precision",
    (".to(sound.dtype)", ".float()"),
    story="the answer is float32 whatever came in",
    advice="bring the counts to the dtype of the sound",
)
exercise.edit(
    "hop-for-length",
    ("frame(below, length, hop)", "frame(below, hop, length)"),
    story="length and hop are exchanged",
    advice="frames of `length` samples, begun every `hop` samples",
)
exercise.edit(
    "divided-by-the-hop",
    (COUNT, "crosses.sum(dim=-1).to(sound.dtype) / hop"),
    story="the count is divided by the hop",
    advice="divide by the length of a frame",
)


def framed(x, length, hop):
    """x with its ends held, in frames."""
    ends = [x[..., i].unsqueeze(-1).expand(*x.shape[:-1], length // 2) for i in (0, -1)]
    return torch.cat([ends[0], x, ends[1]], dim=-1).unfold(-1, length, hop)


def held_to_zero(sound):
    return torch.where(sound.abs() <= 1e-10, 0, sound)


@exercise.wrong(
    "three-signs",
    story="0 has a sign of its own: from 1 to 0 to -1 is counted as two changes",
    advice="there are two signs: below 0, or not",
)
def three_signs(sound, length=2048, hop=512):
    signs = framed(held_to_zero(sound).sign(), length, hop)
    return signs.diff(dim=-1).ne(0).sum(-1).to(sound.dtype) / length


@exercise.wrong(
    "product-below-zero",
    story="a crossing is where two neighbours have a product below 0: those through a 0 are missed",
    advice="compare the signs, where 0 has that of what is positive",
)
def product_below_zero(sound, length=2048, hop=512):
    frames = framed(held_to_zero(sound).sign(), length, hop)
    return (frames[..., 1:] * frames[..., :-1] < 0).sum(-1).to(sound.dtype) / length


@exercise.wrong(
    "half-of-three-signs",
    story="half the difference of three signs is added: a step to 0 is half a crossing",
    advice="there are two signs, and a step changes the sign or does not",
)
def half_of_three_signs(sound, length=2048, hop=512):
    signs = framed(held_to_zero(sound).sign(), length, hop)
    return signs.diff(dim=-1).abs().sum(-1) / 2 / length


@exercise.wrong(
    "steps-between-frames",
    story="changes are counted for the whole sound and then cut: a frame gets L steps, one of which "
    "leads into it",
    advice="cut into frames first: a step must lie inside its frame",
)
def steps_between_frames(sound, length=2048, hop=512):
    below = held_to_zero(sound) < 0
    changes = F.pad(below[..., 1:] != below[..., :-1], (1, 0))
    padded = F.pad(changes, (length // 2, length // 2))
    return padded.unfold(-1, length, hop).sum(-1).to(sound.dtype) / length


@exercise.wrong(
    "one-number",
    story="the whole sound has one rate, repeated for each frame",
    advice="each frame counts its own steps",
)
def one_number(sound, length=2048, hop=512):
    found = running_sums(sound, length, hop)
    return found.mean(-1, keepdim=True).expand_as(found)


@exercise.right("running sums")
def running_sums(sound, length=2048, hop=512):
    below = held_to_zero(sound) < 0
    changes = (below[..., 1:] != below[..., :-1]).long()
    ends = (length // 2 + 1, length // 2)
    sums = F.pad(changes, ends).cumsum(-1)
    starts = torch.arange(0, sums.shape[-1] - length + 1, hop)
    return (sums[..., starts + length - 1] - sums[..., starts]).to(sound.dtype) / length


@exercise.right("by the sign bit")
def by_the_sign_bit(sound, length=2048, hop=512):
    signs = torch.signbit(framed(held_to_zero(sound) + 0.0, length, hop))
    return torch.logical_xor(signs[..., 1:], signs[..., :-1]).to(sound.dtype).sum(-1) / length


@exercise.disguise("zeros-at-the-ends")
def zeros_at_the_ends_too(sound, length=2048, hop=512):
    padded = F.pad(held_to_zero(sound), (length // 2, length // 2))
    below = (padded.unfold(-1, length, hop) < 0).to(sound.dtype)
    return below.diff(dim=-1).abs().sum(-1) / length


@exercise.disguise("divided-by-the-steps")
def divided_by_the_steps_too(sound, length=2048, hop=512):
    below = framed(held_to_zero(sound) < 0, length, hop)
    return (below[..., 1:] ^ below[..., :-1]).to(sound.dtype).mean(-1)


@exercise.disguise("zero-is-negative")
def zero_is_negative_too(sound, length=2048, hop=512):
    above = framed(sound > 1e-10, length, hop)
    return (above[..., 1:] ^ above[..., :-1]).sum(-1).to(sound.dtype) / length
