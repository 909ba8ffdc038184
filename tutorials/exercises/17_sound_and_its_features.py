"""Exercises of lesson 17, sound and its features.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/17_sound_and_its_features.py   its examples; silent if right
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.audio.features import NEARLY_ZERO, check_numbers
from scratchmm.audio.mel import check_bands, mel_points
from scratchmm.audio.rhythm import FASTEST, LIKELY, MOST, SECONDS, likeness
from scratchmm.audio.sound_files import check_rate
from scratchmm.audio.spectrum import LONGEST, check_sound, hop_of, pad_ends, window_of
from scratchmm.audio.waveform import MOST_SAMPLES, MOST_TOGETHER, ROLLOFF, ZEROS, windowed_sinc
from scratchmm.sentences import check_count, check_number


# spectrum.frame: Cut into frames. 10 minutes, difficulty 1 of 5. In the lesson: "Cut into frames".
# Given:
# - check_count(name: str, value: object, *, least: int=1, most: int=MOST) -> None
#     Refuse what is no whole number from `least` to `most`; a bool is none, nor is 2.0
#     (ValueError).
def frame(sound: Tensor, length: int, hop: int) -> Tensor:
    """Frames of `length` samples, each begun `hop` samples after the one before.

    sound: (..., S). Returns (..., F, L), a view: F = 1 + (S - length) // hop, and the samples
    behind the last whole frame are left out. Raises ValueError if there is no whole frame, and for
    a length or a hop below 1.

    >>> frame(torch.arange(7), length=4, hop=2).tolist()
    [[0, 1, 2, 3], [2, 3, 4, 5]]
    """
    raise NotImplementedError(
        "spectrum.frame: whole frames of `length` samples, each begun `hop` samples after the one "
        "before"
    )


# spectrum.stft: Which frequencies. 20 minutes, difficulty 3 of 5. In the lesson: "Which
# frequencies". Comes after spectrum.frame. Without torch.stft.
# Given:
# - check_sound(sound: Tensor) -> None
#     Refuse what is no float32 or float64 sound (integers would overflow), and 0 samples.
# - hop_of(size: int, hop: int | None) -> int
#     The hop from frame to frame: a quarter of the size unless it is given.
# - pad_ends(sound: Tensor, count: int, mode: str) -> Tensor
#     Pad a sound (..., S) by `count` samples at both ends: "constant" (0), "reflect" or "edge".
# - window_of(size: int, window: Tensor | None, like: Tensor) -> Tensor
#     The window (L,) in the dtype and on the device of `like`: Hann's, or zeros around the given
#     one.
def stft(
    sound: Tensor,
    size: int = 1024,
    hop: int | None = None,
    window: Tensor | None = None,
    centred: bool = True,
    pad_mode: str = "constant",
) -> Tensor:
    """The short-time Fourier transform, as librosa.stft computes it.

    spectrum[q, f] = sum over n of window[n] sound[f hop + n] exp(-2 pi i q n / size)

    sound: float (..., S); `check_sound` refuses others. Returns complex (..., Q, F): the magnitude
    of a number is the strength of a frequency, its angle the phase. hop: a quarter of size unless
    given; window: Hann of size unless given, and zeros around one that is shorter;
    centred: size // 2 samples are set before and behind the sound, zeros or, by pad_mode, its
    "reflect"ion or "edge" samples, so that F = 1 + S // hop.

    >>> tone = torch.cos(2 * torch.pi * 2 * torch.arange(8) / 8)  # two turns in a frame
    >>> stft(tone, size=8, window=torch.ones(8), centred=False).abs().round().T.tolist()
    [[0.0, 0.0, 4.0, 0.0, 0.0]]
    """
    raise NotImplementedError(
        "spectrum.stft: frames times a window, and the Fourier transform of each: complex (..., Q, "
        "F)"
    )


# mel.mel_filters: As the ear hears pitch. 20 minutes, difficulty 3 of 5. In the lesson: "As the ear
# hears pitch". Comes after spectrum.stft.
# Given:
# - check_bands(rate: float, size: int, mels: int, low: float, high: float) -> None
#     Refuse bands that no sound of this rate can fill.
# - mel_points(count: int, low: float, high: float, scale: str='slaney') -> Tensor
#     `count` frequencies in hertz from low to high, equally far apart in mels: float64 (count,).
def mel_filters(
    rate: float,
    size: int,
    mels: int,
    low: float = 0.0,
    high: float | None = None,
    scale: str = "slaney",
    area: str | None = "slaney",
) -> Tensor:
    """Triangular filters over the frequencies of frames of `size` samples: float64 (M, Q), as librosa's.

    Of mels + 2 `mel_points` from low to high, band m rises from 0 at point m to 1 at point m + 1 and
    falls to 0 at point m + 2; with area="slaney" it is then divided by half its width in hertz, and
    has the area 1. low, high: hertz, high is half the rate unless given. A band too narrow to hold
    any frequency of the frames is all zeros: take fewer mels or a larger size. Raises ValueError
    for what `check_bands` refuses, and for another area.

    >>> mel_filters(rate=8000, size=8, mels=2, area=None).round(decimals=2).tolist()
    [[0.0, 0.78, 0.0, 0.0, 0.0], [0.0, 0.22, 0.9, 0.45, 0.0]]
    """
    raise NotImplementedError(
        "mel.mel_filters: M triangles over Q frequencies, their corners equally far apart in mels: "
        "float64 (M, Q)"
    )


# spectrum.decibels: Silence has a logarithm too. 15 minutes, difficulty 2 of 5. In the lesson:
# "Silence has a logarithm too". Comes after spectrum.stft.
# Given:
# - check_number(name: str, value: object, *, above: float=-math.inf, least: float=-math.inf, most:
#       float=math.inf) -> None
#     Refuse what is no finite number above `above`, from `least` to `most` (ValueError).
def decibels(
    powers: Tensor, reference: float = 1.0, floor: float = 1e-10, span: float | None = 80.0
) -> Tensor:
    """Power on a logarithmic scale: 10 log10(power / reference), as librosa.power_to_db.

    powers: float, any shape, which the result has too. Silence has no logarithm: power below
    `floor` counts as `floor`, which is also where the gradient ends. What lies more than `span`
    decibels below the loudest point of its spectrogram (the last two axes, or what there is of
    them) is raised to there; span=None keeps it. A reference below `floor` counts as `floor` too.
    Raises ValueError for a floor or a reference that is not above 0, and for a span below 0.

    >>> decibels(torch.tensor([1.0, 100.0, 0.0])).tolist()
    [0.0, 20.0, -60.0]
    """
    raise NotImplementedError(
        "spectrum.decibels: 10 log10(power / reference), held up at the floor and at `span` below "
        "the loudest"
    )


# mel.dct: The shape of a frame in a few waves. 10 minutes, difficulty 2 of 5. In the lesson: "A few
# numbers a frame". Comes after mel.mel_filters, spectrum.decibels.
def dct(count: int, size: int) -> Tensor:
    """The first `count` rows of the orthonormal cosine transform (DCT-II): float64 (count, size).

    dct[k, n] = sqrt(2 / size) cos(pi k (n + 1/2) / size), and row 0 divided by sqrt(2), so that
    every row has length 1 and is orthogonal to the others. Raises ValueError unless `count` is
    from 1 to `size`.

    >>> (dct(3, 3) @ dct(3, 3).T).round(decimals=6).abs().tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    raise NotImplementedError(
        "mel.dct: the first `count` rows of the orthonormal cosine transform (DCT-II): float64 "
        "(count, size)"
    )


# features.spectral_centroid: The centre of a spectrum. 12 minutes, difficulty 2 of 5. In the
# lesson: "A few numbers a frame". Without the library's frequencies.
def spectral_centroid(magnitude: Tensor, rate: int) -> Tensor:
    """The centre of mass of a spectrum, in Hz: the brightness of a sound.

    sum over q of f[q] * m[q] / sum over q of m[q].

    magnitude: float (..., Q, F), none below 0, such as stft(sound).abs(); rate in Hz. Returns
    (..., F); 0 for a silent frame.

    >>> spectral_centroid(torch.tensor([[0.0, 0.0], [3.0, 0.0], [1.0, 0.0]]), rate=8000)
    tensor([2500.,    0.])
    """
    raise NotImplementedError(
        "features.spectral_centroid: the mean of the frequencies in Hz, each weighted by its "
        "magnitude; 0 for a silent frame"
    )


# features.zero_crossing_rate: How often the sign changes. 15 minutes, difficulty 2 of 5. In the
# lesson: "A few numbers a frame".
# Given:
# - check_numbers(x: Tensor, name: str) -> None
#     Refuse NaN and infinite numbers where a comparison would hide them.
def zero_crossing_rate(sound: Tensor, length: int = 2048, hop: int = 512) -> Tensor:
    """How often the sign changes from a sample to the next: float (..., S) to (..., F) in [0, 1).

    The count in a frame over its length. 0 has the sign of what is positive, and so has what lies
    less than NEARLY_ZERO below it. A tone of f Hz has about 2 * f / rate, noise about 0.5. As in
    `rms`, length // 2 samples are padded at both ends first, here repetitions of the first and the
    last sample: they change no sign. The result has the dtype of the sound and no gradient.

    >>> sound = torch.tensor([3.0, -3.0, 3.0, -3.0, 0.0, 0.0, 0.0, 0.0])
    >>> zero_crossing_rate(sound, length=4, hop=2)
    tensor([0.2500, 0.7500, 0.5000, 0.0000, 0.0000])
    """
    raise NotImplementedError(
        "features.zero_crossing_rate: of each frame: the steps from a sample to the next that "
        "change the sign, over its length"
    )


# rhythm.tempo: The tempo that people tap. 20 minutes, difficulty 3 of 5. In the lesson: "The beat".
# Given:
# - likeness(onsets: Tensor, lags: int) -> Tensor
#     The mean local autocorrelation of onsets at each lag: (..., F) to (..., lags), at most 1.
def tempo(onsets: Tensor, rate: int, hop: int = 512) -> Tensor:
    """Beats per minute: of the periods of the onsets, the one that people would tap.

    Onsets are similar at a lag of one beat, but at two beats as well. So of the lags 1 to n - 1
    (SECONDS, 8 s, hold n whole hops) with a tempo below FASTEST, 320, the one is chosen with the
    largest log(1 + 10**6 * likeness) - log2(tempo / 120)**2 / 2. `likeness(onsets, n)` begins at
    lag 0.

    onsets: float (..., F), such as onset_strength(sound, rate, hop); rate in Hz; hop in samples.
    Returns (...) in the dtype of the onsets; 0 where all are 0. It is 60 * rate / (hop *
    lag) for a whole lag, so 120 at 22050 Hz comes out as 117.45 or 123.05; and it has no gradient.
    Raises ValueError where n is below 2 or too large, for 0 frames and for onsets that are NaN.

    >>> onsets = torch.zeros(400)
    >>> onsets[::20] = 1.0  # 20 frames of 0.025 s from beat to beat
    >>> tempo(onsets, rate=8000, hop=200)
    tensor(120.)
    """
    raise NotImplementedError(
        "rhythm.tempo: 60 * rate / (hop * lag) for the best lag: alike, near 120, below 320; 0 "
        "without onsets"
    )


# waveform.resample: Another rate. 30 minutes, difficulty 4 of 5. In the lesson: "Another rate".
# Given:
# - check_rate(rate: float, name: str='rate') -> int
#     A rate as an int; refuse one that is not a whole number of hertz above 0.
# - windowed_sinc(distance: Tensor, cutoff: float) -> Tensor
#     The weight of a sample at a point `distance` samples away: sinc times a Kaiser window.
def resample(sound: Tensor, old_rate: int, new_rate: int) -> Tensor:
    """Change the rate of a sound: (..., S) -> (..., ceil(S * new_rate / old_rate)).

    Sample m of the result lies at t = m old / new of the old samples and is the sum over all old
    samples n of x[n] h(t - n), with h of `windowed_sinc`. The cutoff is 0.95 of half the lower
    rate, as a part of half the old one 0.95 min(1, new / old), so that no frequency is left that
    the new rate could not hold (it would alias to another). Beyond its ends a sound is silent. The
    same rate gives the same sound. Raises ValueError for a rate that is no whole number above 0.

    Measured on this filter, of half the lower rate: up to 0.85 of it a tone keeps its level
    within 0.0001 dB, up to 0.91 within 0.1 dB, and from 1.0 on nothing above -99 dB is left, below
    the last bit of 16 (-98 dB). With 32 zero crossings it would be -27 dB.

    >>> resample(torch.zeros(2, 5), 44100, 16000).shape
    torch.Size([2, 2])
    """
    raise NotImplementedError(
        "waveform.resample: each new sample is the sum of all old ones, weighed by windowed_sinc "
        "of their distance"
    )
