"""Frame-level features of a sound: level, zero crossings, spectral centroid and roll-off, chroma.

Each feature is a number computed from one frame of the sound (a few hundredths of a second) or from
one column of its spectrogram. What depends on time across frames is in rhythm.py.

Sources: A Large Set of Audio Features for Sound Description (Peeters 2004, IRCAM; sections 4.1, 5.1
and 6) for the level, the zero crossings, the centroid and the roll-off; PCP and chroma: Realtime
Chord Recognition of Musical Sound (Fujishima 1999, ICMC), with the soft filters of Ellis (2007,
"Chroma feature analysis and synthesis"). All of them as librosa 0.11 computes them.
Dimensions: S samples of a sound, F frames, Q frequencies (size // 2 + 1), L samples of a frame;
before them any axes, such as a batch (B, S) or channels (C, S).
Silence: each feature of a silent frame is 0, and so is its gradient; nothing is ever NaN.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.audio.spectrum import LONGEST, check_sound, frame, pad_ends

NEARLY_ZERO = 1e-10  # a sample no further below 0 than this has no sign of its own
NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
A4 = 440.0  # Hz


def rms(sound: Tensor, length: int = 2048, hop: int = 512) -> Tensor:
    """The level of each frame, the root of the mean of its squares: float (..., S) to (..., F).

    length, hop: in samples. Half a frame of zeros is padded at both ends, so that frame number f is
    centred on sample f * hop; F is 1 + S // hop where length is even.

    >>> sound = torch.tensor([3.0, -3.0, 3.0, -3.0, 0.0, 0.0, 0.0, 0.0])
    >>> rms(sound, length=2, hop=2).round(decimals=3)
    tensor([2.1210, 3.0000, 2.1210, 0.0000, 0.0000])
    """
    check_sound(sound)
    frames = frame(pad_ends(sound, length // 2, "constant"), length, hop)  # (..., F, L)
    # A norm, since torch gives it the gradient 0 at silence; the root of a mean has none there.
    return torch.linalg.vector_norm(frames, dim=-1) / math.sqrt(length)  # (..., F)


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
    check_sound(sound)
    check_numbers(sound, "a sound")
    below = pad_ends(sound, length // 2, "edge") < -NEARLY_ZERO
    signs = frame(below, length, hop)  # (..., F, L)
    crosses = signs[..., 1:] != signs[..., :-1]  # (..., F, L - 1)
    return crosses.sum(dim=-1).to(sound.dtype) / length  # (..., F)


def spectral_centroid(magnitude: Tensor, rate: int) -> Tensor:
    """The centre of mass of a spectrum, in Hz: the brightness of a sound.

    sum over q of f[q] * m[q] / sum over q of m[q].

    magnitude: float (..., Q, F), none below 0, such as stft(sound).abs(); rate in Hz. Returns
    (..., F); 0 for a silent frame.

    >>> spectral_centroid(torch.tensor([[0.0, 0.0], [3.0, 0.0], [1.0, 0.0]]), rate=8000)
    tensor([2500.,    0.])
    """
    total = magnitude.sum(dim=-2)  # (..., F)
    moment = frequencies(magnitude, rate) @ magnitude  # (..., F)
    return moment / torch.where(total > 0, total, 1)


def spectral_rolloff(magnitude: Tensor, rate: int, share: float = 0.85) -> Tensor:
    """The lowest frequency, in Hz, up to which a spectrum has this share of its sum.

    magnitude: float (..., Q, F), none below 0; share: between 0 and 1. Returns (..., F); 0 for a
    silent frame. It is one of the Q frequencies, so it has no gradient.

    >>> spectral_rolloff(torch.tensor([[0.0, 0.0], [3.0, 0.0], [1.0, 0.0]]), 8000, share=0.7)
    tensor([2000.,    0.])
    """
    if not 0 < share < 1:
        raise ValueError(f"a share of {share} of a spectrum is not between 0 and 1")
    check_numbers(magnitude, "a spectrum")
    sums = magnitude.cumsum(dim=-2)  # (..., Q, F)
    short = sums < share * sums[..., -1:, :]  # (..., Q, F)
    return frequencies(magnitude, rate)[short.sum(dim=-2)]  # (..., F)


def frequencies(spectrum: Tensor, rate: int) -> Tensor:
    """The Q frequencies, in Hz, of a spectrum (..., Q, F) of even size: from 0 to rate / 2.

    >>> frequencies(torch.zeros(5, 2), rate=8000)
    tensor([   0., 1000., 2000., 3000., 4000.])
    """
    count = spectrum.shape[-2] if spectrum.dim() > 1 else 0
    if count < 2 or not 0 < rate < math.inf:
        raise ValueError(
            f"a spectrum {tuple(spectrum.shape)} at {rate} Hz: it needs (..., Q, F) with at least "
            "2 frequencies, and a rate above 0"
        )
    # In float64 first: a third of a rate is not exact, and its multiples would drift.
    steps = torch.arange(count, dtype=torch.float64) * (rate / (2 * count - 2))
    return steps.to(spectrum)  # (Q)


def check_numbers(x: Tensor, name: str) -> None:
    """Refuse NaN and infinite numbers where a comparison would hide them."""
    if not x.isfinite().all():
        count = int((~x.isfinite()).sum())
        raise ValueError(f"{name} {tuple(x.shape)} holds {count} values that are NaN or infinite")


def chroma(power: Tensor, rate: int, tuning: float = 0.0) -> Tensor:
    """The strength of each of the 12 pitch classes, over all octaves; the largest of a frame is 1.

    power: float (..., Q, F), such as stft(sound).abs().square(); rate in Hz; tuning: by how much
    the instrument is sharp of A = 440 Hz, in semitones. Returns (..., 12, F) from C to B, as in
    NOTES; zeros for a silent frame.

    >>> power = torch.zeros(1025, 1)
    >>> power[41] = 1.0  # 41 * 22050 / 2048 = 441 Hz
    >>> NOTES[chroma(power, rate=22050)[:, 0].argmax()]
    'A'
    """
    filters = chroma_filters(rate, 2 * power.shape[-2] - 2, tuning).to(power)
    notes = filters @ power  # (..., 12, F)
    strongest = notes.amax(dim=-2, keepdim=True)  # (..., 1, F)
    return notes / torch.where(strongest > 0, strongest, 1)


def chroma_filters(rate: int, size: int, tuning: float = 0.0) -> Tensor:
    """The weight of each frequency in each pitch class: float64 (12, Q), for spectra of this size.

    A frequency f has a pitch of 12 * log2(f / 27.5) semitones above A0; its distance to a note goes
    around the circle of 12. A note's share is exp(-2 * (distance / width) ** 2), where the width is
    one semitone, or the step to the next frequency where that is larger; the squares of the 12
    shares sum to 1. Frequencies far from A5 (880 Hz) are weighed down: 2 octaves off, to 0.61.

    >>> filters = chroma_filters(rate=22050, size=2048)
    >>> [NOTES[q] for q in filters[:, [24, 41, 49]].argmax(dim=0)]  # 258, 441 and 528 Hz
    ['C', 'A', 'C']
    """
    if not 0 < rate < math.inf or not 4 <= size <= 2 * LONGEST or size % 2:
        raise ValueError(
            f"notes in spectra of size {size} at {rate} Hz: an even size of at least 4 and at most "
            f"{2 * LONGEST}, and a rate above 0"
        )
    if not math.isfinite(tuning):
        raise ValueError(f"an instrument cannot be sharp by {tuning} semitones")
    hertz = torch.arange(1, size // 2 + 2, dtype=torch.float64) * (rate / size)
    pitch = 12 * torch.log2(hertz / (A4 / 16 * 2 ** (tuning / 12)))  # in semitones above A0
    # 0 Hz has no pitch. It is given one far from the next, so that its share is spread over all.
    pitch = torch.cat([pitch[:1] - 18, pitch])  # (Q + 1)
    width = pitch.diff().clamp(min=1)  # (Q)
    pitch = pitch[:-1]  # (Q)
    note = torch.arange(12, dtype=torch.float64)[:, None] - NOTES.index("A")  # (12, 1)
    distance = torch.remainder(pitch - note + 6, 12) - 6  # (12, Q)
    shares = F.normalize(torch.exp(-2 * (distance / width) ** 2), dim=0)  # (12, Q)
    octaves = pitch / 12 - 5  # (Q)
    return shares * torch.exp(-0.5 * (octaves / 2) ** 2)  # (12, Q)
