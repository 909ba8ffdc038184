"""Exercise features.zero_crossing_rate: counting signs that change."""

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="features.zero_crossing_rate",
    order=70,
    target="scratchmm.audio.features:zero_crossing_rate",
    title="How often the sign changes",
    goal="of each frame: the steps from a sample to the next that change the sign, over its length",
    minutes=15,
    difficulty=2,
    section="A few numbers a frame",
    hints="""
        1. Frames of 4 samples, 2 apart, of [3, -3, 3, -3, 0, 0, 0, 0]. The ends are held: 3, 3
           before and 0, 0 behind. The first frame is [3, 3, 3, -3] and has one step that changes
           the sign of 4 samples: 0.25. The second, [3, -3, 3, -3], has 3 of 4. From -3 to 0 it
           changes, from 0 to 0 it does not.
        2. There are two signs: below 0, or not. A frame of L samples has L - 1 steps, and is
           divided by L all the same. Half a frame is put on both ends so that frame f lies around
           sample f * hop; zeros there would make steps that the sound does not have.
        3. Repeat the first and the last sample length // 2 times at the ends: (..., S + L). Which
           are below -NEARLY_ZERO? Cut that into frames (..., F, L); F is 1 + (padded - L) // hop.
           Compare each with the next: (..., F, L - 1). Count, bring to the dtype of the sound,
           divide by L.
        4. below = pad_ends(sound, length // 2, "edge") < -NEARLY_ZERO; signs = frame(below,
           length, hop); (signs[..., 1:] != signs[..., :-1]).sum(-1).to(sound.dtype) / length
    """,
)


def counted(sound: Tensor, length: int, hop: int) -> Tensor:
    """The oracle: sample by sample."""
    samples = sound.shape[-1]
    rows = []
    for row in sound.reshape(-1, samples).tolist():
        ends = [row[0]] * (length // 2), [row[-1]] * (length // 2)
        below = [x < -1e-10 for x in (*ends[0], *row, *ends[1])]
        rates = []
        for start in range(0, len(below) - length + 1, hop):
            part = below[start : start + length]
            rates.append(sum(part[i] != part[i + 1] for i in range(length - 1)) / length)
        rows.append(rates)
    found = torch.tensor(rows, dtype=torch.float64)
    return found.view(*sound.shape[:-1], found.shape[-1]).to(sound.dtype)


def compared(case, zero_crossing_rate, *calls):
    case.each(zero_crossing_rate, *((call, counted(*call)) for call in calls))


def told(case, *samples):
    """A sound (1, S) of these samples."""
    return case.named(torch.tensor([samples]), "B S")


@exercise.holds("F is 1 + S // hop where the length is even, whatever the batch")
def shape(zero_crossing_rate, case):
    case.sizes["F"] = 6
    case.shape(case.call(zero_crossing_rate, case.normal(B=2, S=17), 6, 3), "B F")


@exercise.holds("where every step changes the sign, a frame of 6 samples has 5/6")
def every_step(zero_crossing_rate, case):
    sound = told(case, *([1.0, -2.0] * 12))
    case.equal(case.call(zero_crossing_rate, sound, 6, 4)[..., 1:-1], torch.full((1, 5), 5 / 6))


@exercise.holds("a sound that never changes its sign has none, at its ends neither")
def held(zero_crossing_rate, case):
    loud = case.normal(B=2, S=13).abs() + 0.1
    cases = [((case.named(x, "B S"), 4, 3), torch.zeros(2, 5)) for x in (loud, -loud)]
    case.each(zero_crossing_rate, *cases)


@exercise.holds("0 has the sign of what is positive: there are two signs, not three")
def zeros(zero_crossing_rate, case):
    sounds = (
        (1.0, 0.0, 1.0, 0.0, 0.0, 2.0, 0.0),
        (1.0, 0.0, -1.0, -1.0, -1.0, -1.0, -1.0),
        (-1.0, 0.0, -1.0, 0.0, 0.0, 1.0, -1.0),
        (0.0, -0.0, 0.0, -0.0, 0.0, -0.0, 0.0),
    )
    compared(case, zero_crossing_rate, *((told(case, *samples), 4, 2) for samples in sounds))


@exercise.holds("every frame counts its own steps: even and odd lengths, hops short and long")
def frames(zero_crossing_rate, case):
    sound = case.normal(B=2, S=23)
    sizes = ((4, 2), (5, 3), (8, 1), (3, 7), (12, 5))
    compared(case, zero_crossing_rate, *((sound, *size) for size in sizes))


@exercise.holds("a single sound (S,) and channels (B, C, S) do as well")
def axes(zero_crossing_rate, case):
    one, many = case.normal(S=15), case.normal(B=2, C=3, S=11)
    compared(case, zero_crossing_rate, (one, 6, 4), (many, 6, 4))


@exercise.holds("less than NEARLY_ZERO below 0 is rounding; quiet sounds are not")
def rounding(zero_crossing_rate, case):
    sound = told(case, 1e-3, -1e-11, 1e-3, -1e-12, 1e-3, -1e-11, -1e-3)
    quiet = case.named(1e-6 * case.normal(B=2, T=19), "B S")
    compared(case, zero_crossing_rate, (sound, 4, 2), (quiet, 6, 5))


@exercise.holds("a sound of one sample, shorter than any frame, has no steps")
def short(zero_crossing_rate, case):
    case.equal(case.call(zero_crossing_rate, told(case, -0.5), 8, 3), torch.zeros(1, 1))


@exercise.holds("the rates have the precision of the sound")
def dtypes(zero_crossing_rate, case):
    sound = case.normal(B=2, S=17, dtype=torch.float64)
    case.equal(case.call(zero_crossing_rate, sound, 7, 3), counted(sound, 7, 3))


exercise.mistakes("""
    divided-by-the-steps [convention]: the count is divided by the L - 1 steps, not by the L samples
    - return crosses.sum(dim=-1).to(sound.dtype) / length
    + return crosses.sum(dim=-1).to(sound.dtype) / max(length - 1, 1)
    > divide by length

    zeros-at-the-ends: zeros are put on both ends: a sound that begins below 0 crosses there
    - below = pad_ends(sound, length // 2, "edge") < -NEARLY_ZERO
    + below = pad_ends(sound, length // 2, "constant") < -NEARLY_ZERO
    > repeat the first and the last sample at the ends

    rounding-counts: everything below 0 is negative, also what is only rounding
    - below = pad_ends(sound, length // 2, "edge") < -NEARLY_ZERO
    + below = pad_ends(sound, length // 2, "edge") < 0
    > below -NEARLY_ZERO

    with-the-step-before: the first sample of each frame counts as a crossing
    - crosses = signs[..., 1:] != signs[..., :-1]
    + crosses = torch.cat([~signs[..., :1], signs], dim=-1)[..., :-1] != signs
    > a frame of L samples has L - 1 steps

    three-signs: 0 has a sign of its own: from 1 to 0 to -1 is counted as two changes
    - signs = frame(below, length, hop)
    + signs = frame(pad_ends(sound, length // 2, "edge"), length, hop)
    + signs = torch.where(signs.abs() <= NEARLY_ZERO, 0, signs).sign()
    > there are two signs: below 0, or not

    product-below-zero: a crossing is where two neighbours have a product below 0: those through a 0
    are missed
    - signs = frame(below, length, hop)
    + signs = frame(pad_ends(sound, length // 2, "edge"), length, hop)
    + signs = torch.where(signs.abs() <= NEARLY_ZERO, 0, signs).sign()
    - crosses = signs[..., 1:] != signs[..., :-1]
    + crosses = signs[..., 1:] * signs[..., :-1] < 0
    > compare the signs, where 0 has that of what is positive

    half-of-three-signs: half the difference of three signs is added: a step to 0 is half a crossing
    - signs = frame(below, length, hop)
    + signs = frame(pad_ends(sound, length // 2, "edge"), length, hop)
    + signs = torch.where(signs.abs() <= NEARLY_ZERO, 0, signs).sign()
    - crosses = signs[..., 1:] != signs[..., :-1]
    + crosses = signs.diff(dim=-1).abs() / 2
    > there are two signs, and a step changes the sign or does not

""")

exercise.slips("""
    crosses.sum(dim=-1).to => (crosses.sum(dim=-1) / 2).to
    crosses.sum(dim=-1) => crosses.sum(dim=-1).double().mean(-1, keepdim=True).expand(
        crosses.shape[:-1])
    pad_ends(sound, length // 2, "edge") => torch.cat(
        [sound[..., :1].expand(*sound.shape[:-1], length // 2 * 2), sound], dim=-1)
    signs[..., 1:] != signs[..., :-1] => ~signs[..., 1:] & signs[..., :-1]
    length // 2 => max(0, length - sound.shape[-1])
    "edge" => "reflect"
    -NEARLY_ZERO => -1e-4
    .to(sound.dtype) / length => .to(sound.dtype) / hop
""")


def held_to_zero(sound):
    return torch.where(sound.abs() <= 1e-10, 0, sound)


@exercise.right("running sums")
def running_sums(sound, length=2048, hop=512):
    below = held_to_zero(sound) < 0
    changes = (below[..., 1:] != below[..., :-1]).long()
    sums = F.pad(changes, (length // 2 + 1, length // 2)).cumsum(-1)
    starts = torch.arange(0, sums.shape[-1] - length + 1, hop)
    return (sums[..., starts + length - 1] - sums[..., starts]).to(sound.dtype) / length


@exercise.right("by the sign bit")
def by_the_sign_bit(sound, length=2048, hop=512):
    ends = [sound[..., i].unsqueeze(-1).expand(*sound.shape[:-1], length // 2) for i in (0, -1)]
    held = held_to_zero(torch.cat([ends[0], sound, ends[1]], dim=-1)) + 0.0
    signs = torch.signbit(held.unfold(-1, length, hop))
    return torch.logical_xor(signs[..., 1:], signs[..., :-1]).to(sound.dtype).sum(-1) / length
