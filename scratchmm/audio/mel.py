"""Mel features: a spectrum on a perceptual scale, fine at low and coarse at high frequencies.

Equal steps in mels are heard as equal steps of pitch. Bands of equal width in mels, each a triangle
over the frequencies, turn Q powers into M; their logarithm is the input of most audio networks, and
its cosine transform gives the mel-frequency cepstral coefficients (MFCC).

Paper: Comparison of Parametric Representations for Monosyllabic Word Recognition (Davis and
Mermelstein 1980) for the bands and the MFCC; Robust Speech Recognition via Large-Scale Weak
Supervision (Whisper, arXiv 2212.04356, section 2.2) for whisper_log_mel.
Dimensions: S samples of a sound, F frames, Q frequencies (size // 2 + 1), M mel bands; "..." any
axes before them.
Conventions: two mel scales are in use. "slaney" (Auditory Toolbox 1998, librosa's default) is
linear to 1000 Hz and logarithmic above; "htk" is 2595 log10(1 + hertz / 700). area="slaney" makes
all triangles equal in area and not in height.
Differs from the paper: the triangles are 128 or 80, not 20, and over powers, not magnitudes.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.audio import spectrum
from scratchmm.sentences import check_count, check_number

BREAK, BREAK_MELS = 1000.0, 15.0  # where Slaney's scale turns from linear to logarithmic
STEP = math.log(6.4) / 27  # of the logarithm in a mel there: 27 mels from 1000 to 6400 Hz
MOST = 2**28  # numbers of a bank of filters
WHISPER_SAMPLES = 480_000  # 30 seconds at 16,000 Hz


def hertz_to_mel(hertz: Tensor | float, scale: str = "slaney") -> Tensor:
    """Pitch in mels of frequencies in hertz, of any shape.

    >>> hertz_to_mel(1000.0).item(), round(hertz_to_mel(1000.0, scale="htk").item(), 3)
    (15.0, 999.986)
    """
    check_scale(scale)
    hertz = _numbers(hertz)
    if scale == "htk":
        return 2595 * (1 + hertz / 700).log10()
    above = BREAK_MELS + (hertz.clamp(min=BREAK) / BREAK).log() / STEP
    return torch.where(hertz < BREAK, hertz * BREAK_MELS / BREAK, above)


def mel_to_hertz(mel: Tensor | float, scale: str = "slaney") -> Tensor:
    """Frequencies in hertz of pitches in mels, of any shape; the inverse of hertz_to_mel.

    >>> mel_to_hertz(15.0).item(), round(mel_to_hertz(15.0 + 27).item(), 6)
    (1000.0, 6400.0)
    """
    check_scale(scale)
    mel = _numbers(mel)
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    above = BREAK * ((mel - BREAK_MELS).clamp(min=0) * STEP).exp()
    return torch.where(mel < BREAK_MELS, mel * BREAK / BREAK_MELS, above)


def mel_points(count: int, low: float, high: float, scale: str = "slaney") -> Tensor:
    """`count` frequencies in hertz from low to high, equally far apart in mels: float64 (count,).

    >>> mel_points(4, 0.0, 1000.0).round().tolist()
    [0.0, 333.0, 667.0, 1000.0]
    """
    check_count("count", count, most=MOST)
    check_number("low", low, least=0)
    check_number("high", high, least=0)
    start, end = hertz_to_mel(low, scale).item(), hertz_to_mel(high, scale).item()
    return mel_to_hertz(torch.linspace(start, end, count, dtype=torch.float64), scale)


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
    high = rate / 2 if high is None else high
    check_bands(rate, size, mels, low, high)
    if area not in ("slaney", None):
        raise ValueError(f"area {area!r} is none of 'slaney', None")
    hertz = torch.arange(size // 2 + 1, dtype=torch.float64) * rate / size  # (Q,)
    points = mel_points(mels + 2, low, high, scale)
    left, middle, right = (points[i : i + mels, None] for i in range(3))  # each (M, 1)
    rising = (hertz - left) / (middle - left)  # (M, Q)
    falling = (right - hertz) / (right - middle)  # (M, Q)
    filters = rising.minimum(falling).clamp(min=0)  # (M, Q)
    return filters if area is None else filters * 2 / (right - left)  # (M, Q)


def mel_spectrogram(
    sound: Tensor,
    rate: float,
    size: int = 1024,
    hop: int | None = None,
    mels: int = 128,
    low: float = 0.0,
    high: float | None = None,
    scale: str = "slaney",
    area: str | None = "slaney",
) -> Tensor:
    """Power in mel bands: float (..., S) -> (..., M, F), as librosa.feature.melspectrogram.

    rate: hertz; size and hop (a quarter of it unless given): samples of a frame and from one to the
    next; the others are those of mel_filters.

    >>> mel_spectrogram(torch.zeros(2, 8000), rate=8000, size=256, mels=40).shape
    torch.Size([2, 40, 126])
    """
    filters = _filters((rate, size, mels, low, high, scale, area), sound.dtype, sound.device)
    powers = spectrum.power(spectrum.stft(sound, size, hop))  # (..., Q, F)
    return filters @ powers  # (..., M, F)


def log_mel(
    sound: Tensor,
    rate: float,
    size: int = 1024,
    hop: int | None = None,
    mels: int = 128,
    low: float = 0.0,
    high: float | None = None,
    scale: str = "slaney",
    area: str | None = "slaney",
    span: float | None = 80.0,
) -> Tensor:
    """mel_spectrogram in decibels, those `span` below its loudest cut off: (..., S) -> (..., M, F).

    >>> log_mel(torch.zeros(800), rate=8000, size=256, mels=40).unique().item()
    -100.0
    """
    bands = mel_spectrogram(sound, rate, size, hop, mels, low, high, scale, area)  # (..., M, F)
    return spectrum.decibels(bands, span=span)


def whisper_log_mel(sound: Tensor, mels: int = 80) -> Tensor:
    """The input of Whisper: 30 seconds at 16 kHz, a column each 10 ms.

    sound: float (..., S) at 16,000 Hz, filled with silence or cut to 480,000 samples. Returns
    (..., mels, 3000); mels is 80, for large-v3 128. log10, not decibels; what is 8 below a sound's
    loudest is raised to there; (x + 4) / 4 brings it near [-1, 1].

    >>> whisper_log_mel(torch.zeros(2, 500)).shape
    torch.Size([2, 80, 3000])
    """
    spectrum.check_sound(sound)
    sound = F.pad(sound, (0, WHISPER_SAMPLES - sound.shape[-1]))
    # torch's window, since Whisper has it: in float32 its last digit differs from hann(400)'s, which
    # shows in quiet bands.
    window = torch.hann_window(400, dtype=sound.dtype, device=sound.device)
    powers = spectrum.power(spectrum.stft(sound, 400, 160, window, pad_mode="reflect"))
    filters = _filters((16_000, 400, mels), sound.dtype, sound.device)
    bands = filters @ powers[..., :-1]  # (..., M, F), without the column behind the sound's end
    level = bands.clamp(min=1e-10).log10()
    level = level.maximum(level.amax(dim=(-2, -1), keepdim=True) - 8)
    return (level + 4) / 4


def dct(count: int, size: int) -> Tensor:
    """The first `count` rows of the orthonormal cosine transform (DCT-II): float64 (count, size).

    dct[k, n] = sqrt(2 / size) cos(pi k (n + 1/2) / size), and row 0 divided by sqrt(2), so that
    every row has length 1 and is orthogonal to the others. Raises ValueError unless `count` is
    from 1 to `size`.

    >>> (dct(3, 3) @ dct(3, 3).T).round(decimals=6).abs().tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if not 0 < count <= size:
        raise ValueError(f"of {size} numbers there are 1 to {size} cosine waves, not {count}")
    for name, value in (("count", count), ("size", size)):
        check_count(name, value, most=2**14)
    waves = torch.arange(count, dtype=torch.float64)[:, None]
    places = torch.arange(size, dtype=torch.float64) + 0.5
    rows = (torch.pi / size * waves * places).cos() * math.sqrt(2 / size)
    rows[0] /= math.sqrt(2)
    return rows


def mfcc(log_mel: Tensor, count: int = 20) -> Tensor:
    """Mel-frequency cepstral coefficients: each frame's spectral envelope in a few numbers.

    log_mel: (..., M, F) in decibels. Returns (..., count, F), as librosa.feature.mfcc:
    coefficient 0 is the loudness, 1 the balance of low and high bands, later ones finer structure.

    >>> mfcc(torch.full((4, 1), 10.0), count=2).abs().round().tolist()
    [[20.0], [0.0]]
    """
    return _dct(count, log_mel.shape[-2], log_mel.dtype, log_mel.device) @ log_mel


def check_scale(scale: str) -> None:
    """Refuse a mel scale that is not defined here."""
    if scale not in ("slaney", "htk"):
        raise ValueError(f"scale {scale!r} is none of 'slaney', 'htk'")


def check_bands(rate: float, size: int, mels: int, low: float, high: float) -> None:
    """Refuse bands that no sound of this rate can fill."""
    if not 0 < rate < math.inf:
        raise ValueError(f"a sound's rate must be a number above 0 Hz, not {rate}")
    if size < 1 or mels < 1:
        raise ValueError(f"size {size} and mels {mels} must both be at least 1")
    for name, value in (("size", size), ("mels", mels)):
        check_count(name, value, most=MOST)
    if size > 2 * spectrum.LONGEST or size * mels > MOST:
        raise ValueError(f"size {size} and mels {mels} are too large: together at most {MOST}")
    if not 0 <= low < high <= rate / 2:
        raise ValueError(
            f"bands from {low} to {high} Hz do not lie within 0 to {rate / 2} Hz, half the rate"
        )


def _numbers(x: Tensor | float) -> Tensor:
    """A tensor of floats: a plain number in full precision."""
    return x if isinstance(x, Tensor) else torch.tensor(x, dtype=torch.float64)


@lru_cache(maxsize=32)
def _filters(bands: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # kept beyond the call, it must serve training too
        return mel_filters(*bands).to(device, dtype)


@lru_cache(maxsize=32)
def _dct(count: int, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return dct(count, size).to(device, dtype)
