"""Rhythm: the onset strength of a sound over time, and its tempo in beats per minute.

Sources: Maximum Filter Vibrato Suppression for Onset Detection (Böck and Widmer 2013, DAFx) for the
rise of the spectrum, here without their filter; Beat Tracking by Dynamic Programming (Ellis 2007,
section 3.2) for the tempo that people would tap. As librosa 0.11 computes them.
Dimensions: S samples of a sound, F frames, M mel bands, L lags (frames from a beat to the next), Q
frequencies; before them any axes, such as a batch (B, S).
Differs from librosa: the 80 dB below the loudest that count are those of each sound and not of the
batch; silence has the tempo 0 (librosa's answer is the one that it would guess anyway, about 120).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.audio.features import check_numbers
from scratchmm.audio.mel import mel_spectrogram
from scratchmm.audio.spectrum import LONGEST, decibels, frame, hann, power
from scratchmm.sentences import check_count, check_number

SECONDS = 8.0  # of the window in which beats are compared: the slowest tempo is 60 / 8
FASTEST = 320.0  # beats per minute
MOST = 2**28  # frames times lags
LIKELY = 120.0  # beats per minute that people tap most; an octave away is one deviation away


def onset_strength(sound: Tensor, rate: int, hop: int = 512, size: int = 2048) -> Tensor:
    """Spectral flux: the rise of each frame over the one before, in decibels, averaged over mel bands.

    sound: float (..., S); rate in Hz; hop and size of the spectra in samples. Falling bands count as
    0. Frames are shifted by half a spectrum, so that a peak lies near the onset and not where a
    spectrum first reaches it. Returns (..., F), F as of
    stft(sound, size, hop); zeros for silence and for a sound of one frame.

    >>> click = torch.zeros(8000)
    >>> click[4000:4020] = 1.0
    >>> peak = int(onset_strength(click, rate=8000, hop=100, size=400).argmax())
    >>> abs(peak * 100 - 4000) <= 100  # samples: within a hop
    True
    """
    bands = mel_spectrogram(sound, rate, size=size, hop=hop, mels=128)  # (..., M, F)
    levels = decibels(bands)  # (..., M, F)
    rise = F.relu(levels[..., 1:] - levels[..., :-1]).mean(dim=-2)  # (..., F - 1)
    return F.pad(rise, (1 + size // (2 * hop), 0))[..., : levels.shape[-1]]  # (..., F)


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
    check_number("rate", rate, above=0)
    check_count("hop", hop, most=LONGEST)
    longest = int(SECONDS * rate) // hop
    if longest < 2:
        raise ValueError(f"a hop of {hop} samples at {rate} Hz: beats need 2 frames in {SECONDS} s")
    if not onsets.dim() or not onsets.shape[-1]:
        raise ValueError(f"onsets {tuple(onsets.shape)} of 0 frames have no tempo")
    if (onsets.numel() + longest) * longest > MOST:
        raise ValueError(
            f"a hop of {hop} samples at {rate} Hz: {longest} lags for {onsets.numel()} frames are "
            f"more than the {MOST} numbers that are compared; take a larger hop"
        )
    check_numbers(onsets, "onsets")
    alike = likeness(onsets, longest)[..., 1:]  # (..., L)
    lags = torch.arange(1, longest, dtype=torch.float64)  # (L)
    tempos = 60 * rate / (hop * lags)  # (L)
    prior = -0.5 * torch.log2(tempos / LIKELY) ** 2  # (L)
    prior[tempos >= FASTEST] = -torch.inf
    best = (torch.log1p(1e6 * alike) + prior.to(alike)).argmax(dim=-1)
    return torch.where((onsets > 0).any(dim=-1), tempos.to(onsets)[best], 0)


def likeness(onsets: Tensor, lags: int) -> Tensor:
    """The mean local autocorrelation of onsets at each lag: (..., F) to (..., lags), at most 1.

    Around every frame a window of `lags` frames is taken, its autocorrelation divided by that at
    lag 0, and the mean over all frames. The autocorrelation is the inverse Fourier transform of
    the power spectrum (Wiener and Khinchin), which needs L log L steps and not L squared.

    >>> int(likeness(torch.tensor([1.0, 0.0, 0.0] * 8), lags=8)[1:].argmax()) + 1
    3
    """
    check_count("lags", lags, most=LONGEST)
    count, half = onsets.shape[-1], lags // 2
    ramp = torch.arange(half, dtype=onsets.dtype, device=onsets.device) / half
    ends = (onsets[..., :1] * ramp, onsets[..., -1:] * ramp.flip(0))
    longer = torch.cat([ends[0], onsets, ends[1]], dim=-1)  # (..., F + 2 * half)
    window = hann(lags, onsets.dtype).to(onsets.device)  # (L)
    frames = frame(longer, lags, 1)[..., :count, :] * window  # (..., F, L)
    # Twice as long, filled with zeros: else the end of a window would be compared with its start.
    powers = power(torch.fft.rfft(frames, n=2 * lags))  # (..., F, Q)
    energy = frames.square().sum(dim=-1, keepdim=True)  # (..., F, 1)
    mean = (powers / torch.where(energy > 0, energy, 1)).mean(dim=-2)  # (..., Q)
    return torch.fft.irfft(mean, n=2 * lags)[..., :lags].clamp(min=0)  # (..., L)
