"""Exercise features.zero_crossing_rate: counting signs that change."""

import torch
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
    hints=(
        "Frames of 4 samples, 2 apart, of [3, -3, 3, -3, 0, 0, 0, 0]. The ends are held: 3, 3 before "
        "and 0, 0 behind. The first frame is [3, 3, 3, -3] and has one step that changes the sign of "
        "4 samples: 0.25. The second, [3, -3, 3, -3], has 3 of 4. From -3 to 0 it changes, from 0 "
        "to 0 it does not.",
        "Only the sign of a sample matters, and there are two: below 0, or not. Every frame counts "
        "the steps between its own neighbours, so one of L samples has L - 1 of them, and is divided "
        "by L all the same. Half a frame is put on both ends of the sound so that frame f lies around "
        "sample f * hop; zeros there would make steps that the sound does not have.",
        "Repeat the first and the last sample length // 2 times at the ends: (..., S + L). Which are "
        "below -NEARLY_ZERO? Cut that into frames (..., F, L); F is 1 + (padded - L) // hop. Compare "
        "each with the next: (..., F, L - 1). Count, bring to the dtype of the sound, divide by L.",
        'below = pad_ends(sound, length // 2, "edge") < -NEARLY_ZERO; signs = frame(below, length, '
        "hop); (signs[..., 1:] != signs[..., :-1]).sum(-1).to(sound.dtype) / length",
    ),
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
    cases = []
    for samples in (
        (1.0, 0.0, 1.0, 0.0, 0.0, 2.0, 0.0),
        (1.0, 0.0, -1.0, -1.0, -1.0, -1.0, -1.0),
        (-1.0, 0.0, -1.0, 0.0, 0.0, 1.0, -1.0),
        (0.0, -0.0, 0.0, -0.0, 0.0, -0.0, 0.0),
    ):
        sound = told(case, *samples)
        cases.append(((sound, 4, 2), counted(sound, 4, 2)))
    case.each(zero_crossing_rate, *cases)


@exercise.holds("every frame counts its own steps: even and odd lengths, hops short and long")
def frames(zero_crossing_rate, case):
    sound = case.normal(B=2, S=23)
    cases = []
    for length, hop in ((4, 2), (5, 3), (8, 1), (3, 7), (12, 5)):
        cases.append(((sound, length, hop), counted(sound, length, hop)))
    case.each(zero_crossing_rate, *cases)


@exercise.holds("a single sound (S,) and channels (B, C, S) do as well")
def axes(zero_crossing_rate, case):
    one, many = case.normal(S=15), case.normal(B=2, C=3, S=11)
    case.each(
        zero_crossing_rate,
        ((one, 6, 4), counted(one, 6, 4)),
        ((many, 6, 4), counted(many, 6, 4)),
    )


@exercise.holds("loudness changes nothing")
def loudness(zero_crossing_rate, case):
    sound = case.normal(B=2, S=19)
    cases = []
    for loud in (1e-6, 1000.0):
        cases.append(((case.named(loud * sound, "B S"), 6, 5), counted(sound, 6, 5)))
    case.each(zero_crossing_rate, *cases)


@exercise.holds("what lies less than NEARLY_ZERO below 0 is rounding, and not below 0")
def rounding(zero_crossing_rate, case):
    sound = told(case, 1e-3, -1e-11, 1e-3, -1e-12, 1e-3, -1e-11, -1e-3)
    case.equal(case.call(zero_crossing_rate, sound, 4, 2), counted(sound, 4, 2))


@exercise.holds("a sound of one sample, shorter than any frame, has no steps")
def short(zero_crossing_rate, case):
    case.equal(case.call(zero_crossing_rate, told(case, -0.5), 8, 3), torch.zeros(1, 1))


@exercise.holds("the rates have the precision of the sound")
def dtypes(zero_crossing_rate, case):
    sound = case.normal(B=2, S=17, dtype=torch.float64)
    case.equal(case.call(zero_crossing_rate, sound, 7, 3), counted(sound, 7, 3))
