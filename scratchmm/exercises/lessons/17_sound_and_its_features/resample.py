"""Exercise waveform.resample: a sound at another rate."""

import math

import torch

from scratchmm.audio.waveform import ROLLOFF, windowed_sinc
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="waveform.resample",
    order=90,
    target="scratchmm.audio.waveform:resample",
    title="Another rate",
    goal="each new sample is the sum of all old ones, weighed by windowed_sinc of their distance",
    minutes=30,
    difficulty=4,
    section="Another rate",
    parts=("_cutoff", "_filters"),
    hints=(
        "Rates 2 and 3, and 5 samples: 5 * 3 / 2 = 7.5, so 8 samples come out, at the places 0, 2/3, "
        "4/3, 2 ... of the old ones. The one at 4/3 lies 4/3, 1/3, -2/3, -5/3 and -8/3 from the old "
        "samples; its weights are windowed_sinc of these, its cutoff 0.95. From rate 3 to 2 the "
        "cutoff is 0.95 * 2/3.",
        "Between its samples a sound is the sum of sinc functions, one for each sample and as high as "
        "it is. Asked for fewer samples, it must lose the tones that these can't hold: sinc functions "
        "that are wider and lower by new / old, which is what the cutoff does.",
        "Check both rates. Places (T,): m old / new for m from 0 to the length, S new / old rounded "
        "up. Distances (T, S): places minus 0 ... S - 1, float64 or they drift. Weights (T, S): "
        "windowed_sinc at the cutoff. Result (..., T): the sound times the weights, over S. That is "
        "right; the library's is the same sum without the weights that are 0.",
        "places = torch.arange(length).double() * old / new; weights = windowed_sinc(places[:, None] - "
        "torch.arange(samples), ROLLOFF * min(1, new / old)); result = sound @ weights.to(sound).T; "
        "before it: the sound itself if the rates are equal",
    ),
)
RATES = ((2, 3), (3, 2), (16000, 8000), (5, 7), (44100, 16000))


def slow(sound, old, new):
    """The oracle: every new sample for itself."""
    samples, cutoff = sound.shape[-1], ROLLOFF * min(1.0, new / old)
    rows = []
    for m in range(math.ceil(samples * new / old)):
        distance = torch.arange(samples, dtype=torch.float64) - m * old / new
        rows.append((sound.double() * windowed_sinc(distance, cutoff)).sum(-1))
    return torch.stack(rows, -1).to(sound.dtype)


def tone(hertz, rate, samples):
    return torch.sin(2 * math.pi * hertz * torch.arange(samples, dtype=torch.float64) / rate)


def compared(case, resample, sound, *rates):
    for old, new in rates:
        case.equal(case.call(resample, sound, old, new), slow(sound, old, new), tolerance=1e-5)


@exercise.holds("S samples become S * new_rate / old_rate, rounded up")
def lengths(resample, case):
    for old, new in RATES:
        for samples in (1, 7, 10):
            sound = case.normal(B=2, S=samples)
            wanted = (2, -(-samples * new // old))
            got = case.call(resample, sound, old, new)
            case.true(tuple(got.shape) == wanted, f"axes {wanted}", tuple(got.shape))


@exercise.holds("one sample of 1 among zeros becomes the filter, as wide as the lower rate needs")
def impulse(resample, case):
    sound = case.named((torch.arange(9) == 4).float(), "S")
    compared(case, resample, sound, (1, 2), (2, 1), (2, 3))


@exercise.holds("with more samples each is the sum of all old ones")
def higher(resample, case):
    compared(case, resample, case.normal(S=23), (2, 3), (1, 3), (160, 441))


@exercise.holds("with fewer samples as well")
def lower(resample, case):
    compared(case, resample, case.normal(S=47), (3, 2), (2, 1), (441, 160))


@exercise.holds("what lies far away counts as little as the window says, beyond it nothing")
def far(resample, case):
    compared(case, resample, case.normal(S=310), (3, 1), (4, 5))


@exercise.holds("beyond its ends a sound is silent")
def ends(resample, case):
    compared(case, resample, case.named(torch.ones(12), "S"), (2, 3), (3, 2))


@exercise.holds("a tone that the new rate holds stays as loud as it was")
def kept(resample, case):
    sound = case.named(tone(700, 8000, 640), "S")
    got = case.call(resample, sound, 8000, 4000)
    case.equal(got[80:-80], tone(700, 4000, 320)[80:-80], "the middle", tolerance=1e-3)


@exercise.holds("a tone that the new rate can't hold is gone, and does not come back as another")
def gone(resample, case):
    sound = case.named(tone(2600, 8000, 640), "S")
    got = case.call(resample, sound, 8000, 4000)
    case.equal(got[80:-80], torch.zeros_like(got[80:-80]), "the middle", tolerance=1e-3)


@exercise.holds("batches and channels do not mix: (..., S) has any axes before the last")
def axes(resample, case):
    for sound in (case.normal(B=3, S=8), case.normal(B=2, C=3, S=8)):
        compared(case, resample, sound, (2, 3), (3, 2))


@exercise.holds("the same rate gives the same sound, not a filtered one")
def same(resample, case):
    sound = case.normal(B=2, S=11)
    case.equal(case.call(resample, sound, 8000, 8000), sound, tolerance=0)


@exercise.holds("float64 stays float64 and is as exact, float32 stays float32")
def kinds(resample, case):
    for dtype in (torch.float32, torch.float64):
        sound = case.normal(S=19, dtype=dtype)
        got = case.call(resample, sound, 3, 2)
        case.equal(str(got.dtype), str(dtype))
        case.equal(got, slow(sound, 3, 2), tolerance=1e-5 if dtype == torch.float32 else 1e-10)


@exercise.holds("its gradient is the sum's")
def gradient(resample, case):
    case.gradients(lambda x: resample(x, 3, 2), lambda x: slow(x, 3, 2), case.normal(S=7))


@exercise.holds("the sound stays as it was")
def unchanged(resample, case):
    case.call(resample, case.normal(B=2, S=9), 2, 3)
    case.unchanged()


@exercise.holds("a rate of 0, below 0 or with a fraction is refused with a ValueError")
def refused(resample, case):
    sound = case.normal(S=5)
    for rate in (0, -8000, 0.5):
        case.refuses(ValueError, resample, sound, rate, 8000)
        case.refuses(ValueError, resample, sound, 8000, rate)
