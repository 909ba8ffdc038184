"""Waveforms: reading and writing, resampling, normalising, trimming and padding.

A sound is a row of samples: the pressure of the air, `rate` times a second, as numbers in [-1, 1].

Change of rate: Digital Audio Resampling (Julius O. Smith, ccrma.stanford.edu/~jos/resample), the
theory of ideal bandlimited interpolation: between its samples a sound is the sum of sinc functions,
each scaled by a sample. A window makes them finite.
**Differs from it:** the filter is computed where it is needed, not looked up in a table.

Dimensions: B batch, C channels, S samples. float32 or float64, any device, differentiable.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.audio.sound_files import check_rate, decode, encode
from scratchmm.sentences import check_number

ZEROS = 64  # zero crossings of the sinc to either side of its middle
ROLLOFF = 0.95  # where the filter is down by half, as a part of the highest frequency possible
BETA = 10.0  # of the Kaiser window: the higher, the lower side lobes and the wider the transition
MOST_TOGETHER = 1024  # filters of a convolution
LONGEST = 2**24  # samples of a frame
MOST_SAMPLES = 2**30  # a file that says 1 Hz must not fill the memory when its rate is changed


def read_sound(
    path: str | Path, *, rate: int | None = None, mono: bool = True
) -> tuple[Tensor, int]:
    """Read a WAV, W64, AIFF, FLAC or OGG file: (float32 (S,), rate in Hz), or (C, S) with mono=False.

    With `rate` the sound is resampled to it. Samples of n bits are k / 2^(n - 1); those of a file
    of floats and of OGG may go beyond [-1, 1] and are given as they are: see `normalise`.

    Raises FileNotFoundError, or ValueError with one sentence that names the file: not a sound, or
    of a kind that is not read (MP3 and others), damaged, truncated (no half sounds), 0 samples,
    more than 2^29 in all channels, samples that are NaN, infinite or beyond 1e12.

    >>> read_sound("no such file.wav")
    Traceback (most recent call last):
    FileNotFoundError: no sound at no such file.wav
    """
    wanted = None if rate is None else check_rate(rate)
    sound, found = decode(path)
    if mono:
        sound = mix_to_mono(sound)
    return (sound, found) if wanted is None else (resample(sound, found, wanted), wanted)


def write_sound(path: str | Path, sound: Tensor, rate: int) -> Path:
    """Write samples, (S,) or (C, S), as .wav or .flac (16 bits) or .ogg (Vorbis); returns the path.

    The file is written atomically. What `read_sound` read from 16 bits is written exactly. Raises
    ValueError for NaN and for samples beyond [-1, 1], which would be clipped.

    >>> write_sound("loud.wav", torch.tensor([0.0, -1.5]), 8000)
    Traceback (most recent call last):
    ValueError: loud.wav would be clipped: the sound reaches 1.5 and not 1; normalise it first
    """
    rate = check_rate(rate)
    if sound.dim() not in (1, 2):
        raise ValueError(f"a sound has the axes (S,) or (C, S), not {tuple(sound.shape)}")
    _check_sound(sound)
    if not sound.isfinite().all():
        raise ValueError(f"{path} would hold samples that are NaN or infinite")
    if (highest := sound.abs().max().item()) > 1:
        raise ValueError(
            f"{path} would be clipped: the sound reaches {highest:.6g} and not 1; normalise it first"
        )
    return encode(path, sound[None] if sound.dim() == 1 else sound, rate)


def mix_to_mono(sound: Tensor) -> Tensor:
    """The mean of the channels: (..., C, S) -> (..., S).

    >>> mix_to_mono(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([0.5000, 0.5000])
    """
    if sound.dim() < 2 or 0 in sound.shape[-2:]:
        raise ValueError(
            f"channels are the axis before the last, of a sound (..., C, S) with at least 1 of each, "
            f"not {tuple(sound.shape)}"
        )
    return sound.mean(-2)


def windowed_sinc(distance: Tensor, cutoff: float) -> Tensor:
    """The weight of a sample at a point `distance` samples away: sinc times a Kaiser window.

        h(t) = c sinc(c t) I0(beta sqrt(1 - (c t / zeros)^2)) / I0(beta),  0 where |c t| > zeros

    c is the cutoff as a part of half the rate, sinc(t) = sin(pi t) / (pi t). Any shape, float64.

    >>> windowed_sinc(torch.tensor([0.0, 1.0, 64.0, 70.0]).double(), 1.0).abs().round(decimals=9)
    tensor([1., 0., 0., 0.], dtype=torch.float64)
    """
    check_number("cutoff", cutoff, above=0, most=1)
    crossings = distance * cutoff
    inside = (1 - (crossings / ZEROS) ** 2).clamp(min=0)
    window = torch.special.i0(BETA * inside.sqrt()) / torch.special.i0(inside.new_tensor(BETA))
    return cutoff * torch.sinc(crossings) * window * (crossings.abs() <= ZEROS)


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
    old, new = check_rate(old_rate, "old rate"), check_rate(new_rate, "new rate")
    samples = _check_sound(sound)
    old, new = old // math.gcd(old, new), new // math.gcd(old, new)
    if old == new:
        return sound
    length = -(-samples * new // old)  # rounded up
    if length > MOST_SAMPLES:
        raise ValueError(f"{samples} samples at {old_rate} Hz would be {length} at {new_rate} Hz")
    # The results m, m + new, m + 2 new ... lie at the same place between two old samples: they are
    # one filter that goes in steps of `old`. A few neighbouring filters make one convolution.
    reach = min(samples, math.ceil(ZEROS / _cutoff(old, new)))
    rounds, places = -(-length // new), min(new, length)
    together = max(1, min(MOST_TOGETHER, 2 * reach * new // old))
    end = (rounds - 1) * old + (places - 1) * old // new + reach + 2
    padded = F.pad(sound.reshape(-1, 1, samples), (reach, max(0, end - samples)))
    results = []
    for first in range(0, places, together):
        filters = _filters(old, new, first, min(first + together, places), reach).to(sound)
        start = first * old // new
        part = padded[..., start : start + (rounds - 1) * old + filters.shape[-1]]
        results.append(F.conv1d(part, filters, stride=old))  # a row for each filter
    mixed = torch.cat(results, 1).transpose(1, 2).flatten(1)[:, :length]  # rounds before filters
    return mixed.reshape(*sound.shape[:-1], length)


def _cutoff(old: int, new: int) -> float:
    return ROLLOFF * min(1.0, new / old)


@lru_cache(maxsize=32)
def _filters(old: int, new: int, first: int, last: int, reach: int) -> Tensor:
    """The filters of results first to last - 1: float64 (last - first, 1, taps).

    All begin `reach` samples before the old sample that lies at or before result `first`.
    """
    start, end = first * old // new, (last - 1) * old // new
    with torch.inference_mode(False):  # kept beyond the call, they must serve training too
        taps = torch.arange(start - reach, end + reach + 2)
        results = torch.arange(first, last)[:, None]
        distance = (taps * new - results * old).double() / new  # whole numbers until here: exact
        return windowed_sinc(distance, _cutoff(old, new))[:, None]


def normalise(sound: Tensor, peak: float = 1.0, channels: bool = False) -> Tensor:
    """Scale each sound (..., S) so that its loudest sample is `peak`; silence stays silence.

    channels=True: the axis before the last holds channels of one sound, which keep their balance.

    >>> normalise(torch.tensor([[0.1, -0.2], [0.0, 0.0]]))
    tensor([[ 0.5000, -1.0000],
            [ 0.0000,  0.0000]])
    """
    _check_sound(sound)
    if not 0 <= peak < math.inf:
        raise ValueError(f"the loudest sample cannot be made {peak}: it is a number from 0 on")
    loudest = sound.abs().amax((-2, -1) if channels else -1, keepdim=True)
    # Divided before it is multiplied: 1 / loudest would be infinite for the quietest sounds.
    return sound / torch.where(loudest > 0, loudest, 1) * peak


def trim(sound: Tensor, below: float = 60.0, frame: int = 2048, hop: int = 512) -> Tensor:
    """Cut off the quiet beginning and end of a sound: (S,) or (C, S), fewer samples out.

    See `loud_part`. A silent sound has no loud part to compare with and stays as it is.

    >>> trim(torch.cat([torch.zeros(4000), torch.ones(1000), torch.zeros(4000)])).shape
    torch.Size([3072])
    """
    start, end = loud_part(sound, below, frame, hop)
    return sound[..., start:end]


def loud_part(
    sound: Tensor, below: float = 60.0, frame: int = 2048, hop: int = 512
) -> tuple[int, int]:
    """Where a sound (..., S) begins and ends that is not quiet: (start, end), as in a slice.

    A frame of `frame` samples around every `hop`-th is quiet if its power is `below` decibels less
    than that of the loudest, in all channels. The same as librosa.effects.trim.

    >>> loud_part(torch.cat([torch.zeros(4000), torch.ones(1000), torch.zeros(4000)]))
    (3072, 6144)
    """
    samples = _check_sound(sound)
    if not 1 <= frame <= LONGEST or hop < 1:
        raise ValueError(
            f"frames of {frame} samples every {hop}: both are at least 1, the first at most {LONGEST}"
        )
    if math.isnan(below):
        raise ValueError(f"what is {below} decibels below the loudest is no part of a sound")
    if not sound.isfinite().all():
        raise ValueError(f"the sound {tuple(sound.shape)} holds samples that are NaN or infinite")
    padded = F.pad(sound.detach().reshape(-1, samples), (frame // 2, frame // 2))
    padded = F.pad(padded, (0, max(0, frame - padded.shape[-1])))
    power = padded.unfold(-1, frame, hop).square().mean(-1)  # (C, F)
    decibels = 10 * torch.log10(power.clamp(min=1e-10))  # 1e-10: what librosa calls silence
    loud = (decibels - decibels.max() > -below).any(0).nonzero()[:, 0]
    if not len(loud):
        return 0, 0
    return int(loud[0]) * hop, min(samples, (int(loud[-1]) + 1) * hop)


def pad_together(sounds: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Sounds of any lengths (S,) as one batch: (float (B, S), bool (B, S)), True on real samples.

    S is the longest; silence is put behind the shorter ones. The batch has the sounds' dtype.
    Raises ValueError for no sounds at all, and for one that has channels.

    >>> batch, real = pad_together([torch.ones(3), torch.ones(1)])
    >>> batch.tolist(), real.tolist()
    ([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]], [[True, True, True], [True, False, False]])
    """
    if not sounds:
        raise ValueError("there are 0 sounds to make a batch of")
    for sound in sounds:
        if sound.dim() != 1:
            raise ValueError(f"each sound has the axis (S,), one has {tuple(sound.shape)}")
    batch = torch.nn.utils.rnn.pad_sequence(list(sounds), batch_first=True)  # (B, S)
    lengths = torch.tensor([len(sound) for sound in sounds], device=batch.device)
    return batch, torch.arange(batch.shape[1], device=batch.device) < lengths[:, None]


def _check_sound(sound: Tensor) -> int:
    """The number of samples; refuse a sound without any, and one of whole numbers."""
    if not sound.is_floating_point():
        raise ValueError(f"a sound is of floating-point numbers in [-1, 1], not {sound.dtype}")
    if sound.dim() == 0 or sound.numel() == 0:
        raise ValueError(f"the sound holds 0 samples: its axes are {tuple(sound.shape)}")
    return sound.shape[-1]
