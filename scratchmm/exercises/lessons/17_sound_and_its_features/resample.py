"""Exercise waveform.resample: a sound at another rate."""

import math

import torch

from scratchmm.audio.sound_files import check_rate
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
    hints="""
        1. Rates 2 and 3, and 5 samples: 5 * 3 / 2 = 7.5, so 8 samples come out, at the places 0,
           2/3, 4/3, 2 ... of the old ones. The one at 4/3 lies 4/3, 1/3, -2/3, -5/3 and -8/3 from
           the old samples; its weights are windowed_sinc of these, its cutoff 0.95. From rate 3 to
           2 the cutoff is 0.95 * 2/3.
        2. Between its samples a sound is the sum of sinc functions, one a sample and as high as it
           is. Fewer samples can't hold the highest tones, which must go: sinc functions that are
           wider and lower by new / old, which is what the cutoff does.
        3. Check both rates. Places (T,): m old / new, T being S new / old rounded up. Distances (T,
           S): places minus 0 ... S - 1, float64 or they drift. Weights (T, S): windowed_sinc at the
           cutoff. Result (..., T): the sound times the weights, summed over S.
        4. places = torch.arange(length).double() * old / new; weights =
           windowed_sinc(places[:, None] - torch.arange(samples), ROLLOFF * min(1, new / old));
           result = sound @ weights.to(sound).T; before it: the sound itself if the rates are equal
    """,
)


def slow(sound, old, new):
    """The oracle: every new sample for itself."""
    samples, cutoff = sound.shape[-1], ROLLOFF * min(1.0, new / old)
    rows = []
    for m in range(math.ceil(samples * new / old)):
        distance = torch.arange(samples, dtype=torch.float64) - m * old / new
        rows.append((sound.double() * windowed_sinc(distance, cutoff)).sum(-1))
    return torch.stack(rows, -1).to(sound.dtype)


def compared(case, resample, sound, *rates, tolerance=1e-5):
    for old, new in rates:
        wanted = slow(sound, old, new)
        case.equal(case.call(resample, sound, old, new), wanted, tolerance=tolerance)


@exercise.holds("S samples become S * new_rate / old_rate, rounded up")
def lengths(resample, case):
    for old, new in ((2, 3), (3, 2), (16000, 8000), (5, 7), (44100, 16000)):
        for samples in (1, 7, 10):
            got = case.call(resample, case.normal(B=2, S=samples), old, new)
            wanted = (2, -(-samples * new // old))
            case.true(tuple(got.shape) == wanted, f"axes {wanted}", tuple(got.shape))


@exercise.holds("one sample of 1 among zeros becomes the filter, as wide as the lower rate needs")
def impulse(resample, case):
    sound = case.named((torch.arange(9) == 4).float(), "S")
    compared(case, resample, sound, (1, 2), (2, 1), (2, 3))


@exercise.holds("each new sample is the sum of all old ones, beyond the ends silence")
def sums(resample, case):
    compared(case, resample, case.normal(S=47), (2, 3), (160, 441), (2, 1), (441, 160))


@exercise.holds("what is far counts as little as the window says, beyond it nothing: in float64")
def far(resample, case):
    sound = case.normal(S=310, dtype=torch.float64)
    compared(case, resample, sound, (3, 1), (4, 5), (160, 161), tolerance=1e-10)


@exercise.holds("batches and channels do not mix: (..., S) has any axes before the last")
def axes(resample, case):
    compared(case, resample, case.normal(B=3, S=8), (2, 3), (3, 2))
    compared(case, resample, case.normal(B=2, C=3, S=8), (2, 3), (3, 2))
    case.unchanged()


@exercise.holds("the same rate gives the same sound, not a filtered one")
def same(resample, case):
    sound = case.normal(B=2, S=11)
    case.equal(case.call(resample, sound, 8000, 8000), sound, tolerance=0)


@exercise.holds("its gradient is the sum's")
def gradient(resample, case):
    case.gradients(lambda x: resample(x, 3, 2), lambda x: slow(x, 3, 2), case.normal(S=7))


@exercise.holds("a rate of 0, below 0 or with a fraction is refused with a ValueError")
def refused(resample, case):
    for rate in (0, -8000, 0.5):
        case.refuses(ValueError, resample, case.normal(S=5), rate, 8000)
        case.refuses(ValueError, resample, case.normal(S=5), 8000, rate)


exercise.mistakes("""
    tones-come-back: the cutoff stays 0.95 where samples get fewer: what the new rate can't hold
    comes back as other tones
    - return ROLLOFF * min(1.0, new / old)
    + return ROLLOFF
    > the cutoff is a part of half the old rate: 0.95 * min(1, new / old)

    too-loud: the sinc is made wider but not lower, so that fewer samples are louder ones
    - windowed_sinc(distance, _cutoff(old, new))
    + windowed_sinc(distance * min(1.0, new / old), ROLLOFF)
    > windowed_sinc has its height from the cutoff: give it that, not a stretched distance

    straight-lines: between two samples a straight line is drawn, which dulls and holds nothing back
    - windowed_sinc(distance, _cutoff(old, new))
    + (1 - distance.abs()).clamp(min=0)
    > the sum over all old samples, weighed by windowed_sinc of their distance

    wrong-way-round: sample m is taken at m new / old, so that the sound is stretched
    - length = -(-samples * new // old)
    + length, old, new = -(-samples * new // old), new, old
    - min(samples, math.ceil(ZEROS / _cutoff(old, new)))
    + 4 * ZEROS
    - return ROLLOFF * min(1.0, new / old)
    + return ROLLOFF * min(1.0, old / new)
    > m / new seconds are m old / new of the old samples

    middles [convention]: a sample is laid by its middle, as pixels are, and all is shifted
    - (taps * new - results * old).double() / new
    + (taps * new - results * old - (old - new) / 2).double() / new
    > a sample is a moment: sample 0 stays at 0
""")

exercise.slips("""
    ROLLOFF * min(1.0, new / old) => min(1.0, new / old)
    ROLLOFF * min(1.0, new / old) => ROLLOFF * new / old
    -(-samples * new // old) => max(round(samples * new / old), 1)
    windowed_sinc(distance, _cutoff(old, new)) => ((distance <= 0) & (distance > -1)).double()
    windowed_sinc(distance, _cutoff(old, new)) =>
        (windowed_sinc(distance, _cutoff(old, new)) * (distance <= 0))
    samples = _check_sound(sound) => samples = _check_sound(sound); sound = sound.double()
    samples = _check_sound(sound) => samples = _check_sound(sound); sound.mul_(0.5)
    check_rate(old_rate, "old rate"), check_rate(new_rate, "new rate") =>
        max(1, int(old_rate)), max(1, int(new_rate))
    math.ceil(ZEROS / _cutoff(old, new)) => ZEROS // 2
    -(-samples * new // old) => max(samples * new // old, 1)
    sound.reshape(-1, 1, samples) => torch.cat([sound.reshape(-1, 1, samples), sound.new_ones(1,
        1, samples)]) ;; mixed.reshape => (mixed[:-1] / mixed[-1:]).reshape
    mixed.reshape(*sound.shape[:-1], length) => torch.fft.irfft(torch.fft.rfft(sound), length) *
        (length / samples)
""")


def weighed(sound, places, cutoff):
    """The sum at these places of the old samples."""
    distance = places[:, None] - torch.arange(sound.shape[-1]).double()
    return sound @ windowed_sinc(distance, cutoff).to(sound).T


@exercise.wrong(
    "stretched-to-the-ends",
    story="the last new sample is laid on the last old one, which changes the pitch a little",
    advice="the places are m old / new, wherever the last one falls",
)
def stretched_to_the_ends(sound, old_rate, new_rate):
    if check_rate(old_rate) == check_rate(new_rate):
        return sound
    length = -(-sound.shape[-1] * new_rate // old_rate)
    places = torch.linspace(0, sound.shape[-1] - 1, length, dtype=torch.float64)
    return weighed(sound, places, ROLLOFF * min(1.0, new_rate / old_rate))


@exercise.wrong(
    "one-long-sound",
    story="all sounds of the batch are strung together, so that each leaks into its neighbour",
    advice="only the last axis is time: the sums go over that one",
)
def one_long_sound(sound, old_rate, new_rate):
    if check_rate(old_rate) == check_rate(new_rate):
        return sound
    row, length = sound.reshape(-1), -(-sound.shape[-1] * new_rate // old_rate)
    starts = torch.arange(0, len(row), sound.shape[-1])[:, None]
    places = (starts + torch.arange(length).double() * old_rate / new_rate).flatten()
    found = weighed(row, places, ROLLOFF * min(1.0, new_rate / old_rate))
    return found.reshape(*sound.shape[:-1], -1)


@exercise.right("all at once")
def all_at_once(sound, old_rate, new_rate):
    old, new = check_rate(old_rate), check_rate(new_rate)
    if old == new:
        return sound
    places = torch.arange(-(-sound.shape[-1] * new // old)).double() * old / new
    return weighed(sound, places, ROLLOFF * min(1.0, new / old))


@exercise.right("one place after another")
def one_place_after_another(sound, old_rate, new_rate):
    if check_rate(old_rate) == check_rate(new_rate):
        return sound.clone()
    rows, places = [], torch.arange(sound.shape[-1]).double()
    while len(rows) * old_rate < sound.shape[-1] * new_rate:
        distance = places - len(rows) * old_rate / new_rate
        weights = windowed_sinc(distance, ROLLOFF * min(1.0, new_rate / old_rate))
        rows.append((sound * weights.to(sound)).sum(-1))
    return torch.stack(rows, dim=-1)
