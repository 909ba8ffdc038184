"""The spectrum of a sound: the Fourier transform of overlapping frames (STFT), and its inverse.

Paper: Signal Estimation from Modified Short-Time Fourier Transform (Griffin and Lim 1984), equation
6, for the inverse; the conventions of borders and decibels are librosa's (McFee and others 2015).
Dimensions: S samples of a sound, F frames, L samples of a frame (its size), Q frequencies
(size // 2 + 1), of which number q is q * rate / size hertz; "..." any axes before them, such as a
batch or channels.
Conventions: the Hann window is the periodic one; frame f is centred on sample f * hop, because zeros
are padded at both ends of the sound ("centred"); the spectrum is not divided by the size.
Differs from the paper: nothing. From librosa: decibels cut off below the loudest point of each
sound, not of a whole batch, so that no sound depends on the others.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from scratchmm.sentences import check_count, check_number

LONGEST = 2**24  # samples of a frame and beside a sound: minutes, where hundredths are usual


def hann(length: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The periodic Hann window (L,), which fades a frame in and out.

    hann[n] = 1/2 - 1/2 cos(2 pi n / length). Periodic: n = length would be the next 0, so that
    windows half their length apart add up to exactly 1. A single sample is not faded: it is 1.

    >>> hann(4).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    if length < 1:
        raise ValueError(f"a window needs a length of at least 1 sample, not {length}")
    check_count("length", length, most=2 * LONGEST)
    if length == 1:
        return torch.ones(1, dtype=dtype)
    turn = 2 * torch.pi * torch.arange(length, dtype=torch.float64) / length  # (L,)
    return (0.5 - 0.5 * turn.cos()).to(dtype)


def frame(sound: Tensor, length: int, hop: int) -> Tensor:
    """Frames of `length` samples, each begun `hop` samples after the one before.

    sound: (..., S). Returns (..., F, L), a view: F = 1 + (S - length) // hop, and the samples
    behind the last whole frame are left out. Raises ValueError if there is no whole frame, and for
    a length or a hop below 1.

    >>> frame(torch.arange(7), length=4, hop=2).tolist()
    [[0, 1, 2, 3], [2, 3, 4, 5]]
    """
    if length < 1 or hop < 1:
        raise ValueError(f"frames need a length and a hop of at least 1, not {length} and {hop}")
    for name, value in (("length", length), ("hop", hop)):
        check_count(name, value, most=2 * LONGEST)
    if sound.shape[-1] < length:
        raise ValueError(
            f"a sound of {sound.shape[-1]} samples is shorter than one frame of {length}"
        )
    return sound.unfold(-1, length, hop)  # (..., F, L)


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
    check_sound(sound)
    if centred:
        sound = pad_ends(sound, size // 2, pad_mode)
    frames = frame(sound, size, hop_of(size, hop))  # (..., F, L)
    windowed = frames * window_of(size, window, sound)  # (..., F, L)
    return torch.fft.rfft(windowed).transpose(-1, -2)  # (..., Q, F)


def istft(
    spectrum: Tensor,
    size: int | None = None,
    hop: int | None = None,
    window: Tensor | None = None,
    centred: bool = True,
    length: int | None = None,
) -> Tensor:
    """The inverse STFT: the sound whose spectrum is closest to this one, as librosa.istft.

    sound[n] = sum over f of window frame_f / sum over f of window^2, both laid at f * hop and added

    spectrum: complex (..., Q, F). Returns (..., S), cut or filled with zeros to `length` if that is
    given. The other arguments are those of stft; size is 2 (Q - 1) unless given. A sample that no
    window covers cannot be known and is 0: not centred, that is the first one.

    >>> sound = torch.sin(torch.arange(50.0))
    >>> torch.allclose(istft(stft(sound, size=16), length=50), sound, atol=1e-6)
    True
    """
    check_spectrum(spectrum, size, length)
    size = 2 * (spectrum.shape[-2] - 1) if size is None else size
    hop = hop_of(size, hop)
    frames = torch.fft.irfft(spectrum.transpose(-1, -2), n=size)  # (..., F, L)
    shape = window_of(size, window, frames)
    sound = overlap_add(frames * shape, hop)
    weight = overlap_add(shape.square().expand(frames.shape[-2], size), hop)
    sound = sound / weight.masked_fill(weight < torch.finfo(weight.dtype).tiny, torch.inf)
    if centred:
        start = size // 2
        sound = sound[..., start : sound.shape[-1] - (start if length is None else 0)]
    return sound if length is None else F.pad(sound, (0, length - sound.shape[-1]))


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """Lay every frame at its place, `hop` samples after the one before, and add where they overlap.

    frames: (..., F, L). Returns (..., S) with S = (F - 1) * hop + L.

    >>> overlap_add(torch.ones(3, 4), hop=2).tolist()
    [1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0]
    """
    check_count("hop", hop, most=2 * LONGEST)
    *before, count, length = frames.shape
    starts = range(0, length, hop)
    sound = frames.new_zeros(*before, (count - 1 + len(starts)) * hop)
    for start in starts:  # of a piece of `hop` samples in every frame: such pieces do not overlap
        piece = frames[..., start : start + hop]
        places = sound[..., start : start + count * hop].unflatten(-1, (count, hop))
        places[..., : piece.shape[-1]].add_(piece)
    return sound[..., : (count - 1) * hop + length]


def power(spectrum: Tensor) -> Tensor:
    """The power of each frequency: |spectrum| squared. complex (..., Q, F) -> float (..., Q, F).

    >>> power(torch.tensor([[3 + 4j]])).tolist()
    [[25.0]]
    """
    return spectrum.real.square() + spectrum.imag.square()  # (..., Q, F)


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
    check_number("floor", floor, above=0)
    check_number("reference", reference, above=0)
    if span is not None:
        check_number("span", span, least=0)
    level = 10 * powers.clamp(min=floor).log10() - 10 * math.log10(max(reference, floor))
    if span is None or not level.numel():
        return level
    loudest = level.amax(dim=tuple(range(-min(2, level.dim()), 0)), keepdim=True)
    return level.maximum(loudest - span)


def pad_ends(sound: Tensor, count: int, mode: str) -> Tensor:
    """Pad a sound (..., S) by `count` samples at both ends: "constant" (0), "reflect" or "edge".

    A short sound is reflected at its ends as often as needed.

    >>> pad_ends(torch.tensor([1, 2, 3]), 3, "reflect").tolist()
    [2, 3, 2, 1, 2, 3, 2, 1, 2]
    """
    length = sound.shape[-1]
    if not 0 <= count <= LONGEST:
        raise ValueError(f"{count} samples cannot be set before and behind: at most {LONGEST}")
    check_count("count", count, least=0, most=LONGEST)
    if mode == "constant":
        return F.pad(sound, (count, count))
    if mode not in ("reflect", "edge"):
        raise ValueError(f"pad_mode {mode!r} is none of constant, reflect, edge")
    if not length:
        raise ValueError(f"a sound of 0 samples has no {mode} to set before and behind it")
    ends = torch.arange(count, device=sound.device)
    places = torch.stack([ends - count, ends + length])
    if mode == "edge":
        places = places.clamp(0, length - 1)
    else:  # a turn there and back is 2 (S - 1) samples long
        places = (places + length - 1).remainder(max(2 * (length - 1), 1)).sub(length - 1).abs()
    before, behind = sound[..., places[0]], sound[..., places[1]]
    return torch.cat([before, sound, behind], dim=-1)


def hop_of(size: int, hop: int | None) -> int:
    """The hop from frame to frame: a quarter of the size unless it is given.

    >>> hop_of(1024, None), hop_of(1024, 160)
    (256, 160)
    """
    if not 1 <= size <= 2 * LONGEST:
        raise ValueError(
            f"a frame needs a size of at least 1 sample, at most {2 * LONGEST}, not {size}"
        )
    hop = max(1, size // 4) if hop is None else hop
    if hop < 1:
        raise ValueError(f"the hop from frame to frame must be at least 1 sample, not {hop}")
    for name, value in (("size", size), ("hop", hop)):
        check_count(name, value, most=2 * LONGEST)
    return hop


def window_of(size: int, window: Tensor | None, like: Tensor) -> Tensor:
    """The window (L,) in the dtype and on the device of `like`: Hann's, or zeros around the given one.

    >>> window_of(5, torch.ones(2), like=torch.zeros(()).double()).tolist()
    [0.0, 1.0, 1.0, 0.0, 0.0]
    """
    if window is None:
        return _hann(size, like.dtype, like.device)
    missing = size - window.shape[-1]
    if window.dim() != 1 or missing < 0:
        raise ValueError(f"a window {tuple(window.shape)} does not fit in frames of {size} samples")
    return F.pad(window.to(like), (missing // 2, missing - missing // 2))


def check_sound(sound: Tensor) -> None:
    """Refuse what is no float32 or float64 sound (integers would overflow), and 0 samples."""
    if sound.dtype not in (torch.float32, torch.float64) or not sound.dim():
        kind = str(sound.dtype).removeprefix("torch.")
        raise ValueError(f"a sound is float32 or float64 (..., S), not {kind} {tuple(sound.shape)}")
    if not sound.shape[-1]:
        raise ValueError(f"a sound {tuple(sound.shape)} of 0 samples has no frames and no spectrum")


def check_spectrum(spectrum: Tensor, size: int | None, length: int | None) -> None:
    """Refuse what is not the spectrum of any frames, or of frames of another size."""
    if not spectrum.is_complex() or spectrum.dim() < 2 or not spectrum.shape[-1]:
        kind = str(spectrum.dtype).removeprefix("torch.")
        raise ValueError(f"a spectrum is complex (..., Q, F), not {kind} {tuple(spectrum.shape)}")
    if size is not None and spectrum.shape[-2] != size // 2 + 1:
        raise ValueError(f"{spectrum.shape[-2]} frequencies are not those of frames of {size}")
    if length is not None and length < 0:
        raise ValueError(f"a sound cannot be {length} samples long")


@lru_cache(maxsize=32)
def _hann(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # kept beyond the call, it must serve training too
        return hann(size, dtype).to(device)
