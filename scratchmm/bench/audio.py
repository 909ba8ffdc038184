"""Features of sound beside librosa and transformers' WhisperFeatureExtractor, on the same sound.

Both sides go from samples to the feature, with the same sizes, on the same number of threads, and
give the same numbers, or they are not timed. What each keeps between calls (our windows and mel
filters, librosa's compiled loops) is made before the first round that counts.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scratchmm.audio.features import chroma, spectral_centroid
from scratchmm.audio.mel import log_mel, mel_spectrogram, mfcc, whisper_log_mel
from scratchmm.audio.rhythm import onset_strength, tempo
from scratchmm.audio.spectrum import power, stft
from scratchmm.audio.waveform import read_sound, resample
from scratchmm.bench.measure import Row, compare, same
from scratchmm.bench.peers import quiet_transformers
from scratchmm.data.sets.folders import data_root

RATE, WHISPER_RATE = 22050, 16000
SIZE, HOP, MELS = 2048, 512, 128  # librosa's own
TOLERANCE = 1e-5  # of the largest number that the peer gives
GOAL = 1.0  # of time, against the peer


class Case(NamedTuple):
    """One feature, both ways."""

    name: str
    ours: str
    peer: str
    compute: Callable[[], Tensor]
    compute_peer: Callable[[], Any]  # a numpy array


def rows(
    device: str = "cpu", rounds: int = 9, seconds: float = 28.0, goal: float | None = GOAL
) -> list[Row]:
    """Seven features of sentences read aloud, or of notes if there are none; librosa on the CPU."""
    kind, sound = speech(seconds) or ("notes", notes(seconds))
    found = []
    with torch.no_grad(), one_number_of_threads(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa's, about a short sound
        for case in cases(sound, device):
            agree(case)
            row = compare(
                f"audio {case.name}, {seconds:g} s of {kind}",
                (case.ours, case.compute),
                (case.peer, case.compute_peer),
                device=device,
                rounds=rounds,
                goal=goal,
            )
            found.append(with_speed(row, seconds))
    return found


def cases(sound: Tensor, device: str) -> list[Case]:
    """What is compared, on float32 (S,) at 22050 Hz."""
    librosa, here, samples = quiet_librosa(), sound.to(device), sound.numpy()
    at_16 = resample(sound, RATE, WHISPER_RATE)
    heard, extractor = at_16.to(device), quiet_transformers().WhisperFeatureExtractor()
    sizes: Any = {"y": samples, "n_fft": SIZE, "hop_length": HOP}
    rated: Any = {**sizes, "sr": RATE}

    def whisper() -> Any:
        return extractor(at_16.numpy(), sampling_rate=WHISPER_RATE, return_tensors="np")

    return [
        Case(
            *("STFT", "stft", "librosa.stft"),
            lambda: stft(here, SIZE, HOP),
            lambda: librosa.stft(**sizes),
        ),
        Case(
            *("mel spectrogram", "mel_spectrogram", "librosa.feature.melspectrogram"),
            lambda: mel_spectrogram(here, RATE, SIZE, HOP, MELS),
            lambda: librosa.feature.melspectrogram(**rated, n_mels=MELS),
        ),
        Case(
            *("MFCC", "mfcc", "librosa.feature.mfcc"),
            lambda: mfcc(log_mel(here, RATE, SIZE, HOP, MELS)),
            lambda: librosa.feature.mfcc(**rated, n_mels=MELS),
        ),
        Case(
            *("chroma", "chroma", "librosa.feature.chroma_stft"),
            lambda: chroma(power(stft(here, SIZE, HOP)), RATE),
            lambda: librosa.feature.chroma_stft(**rated, tuning=0.0),
        ),
        Case(
            *("centroid", "spectral_centroid", "librosa.feature.spectral_centroid"),
            lambda: spectral_centroid(stft(here, SIZE, HOP).abs(), RATE),
            lambda: librosa.feature.spectral_centroid(**rated)[0],
        ),
        Case(
            *("tempo", "tempo", "librosa.feature.tempo"),
            lambda: tempo(onset_strength(here, RATE), RATE)[None],
            lambda: librosa.feature.tempo(y=samples, sr=RATE),
        ),
        Case(
            *("Whisper log-mel", "whisper_log_mel", "transformers WhisperFeatureExtractor"),
            lambda: whisper_log_mel(heard),
            lambda: whisper()["input_features"][0],
        ),
    ]


def agree(case: Case) -> None:
    """Refuses a case whose two sides differ by more than TOLERANCE of the largest number."""
    ours, peer = case.compute().cpu(), torch.as_tensor(case.compute_peer())
    if ours.is_complex():
        ours, peer = torch.view_as_real(ours), torch.view_as_real(peer)
    if ours.shape != peer.shape:
        raise ValueError(f"{case.name} is {tuple(ours.shape)}, the peer's {tuple(peer.shape)}")
    scale = peer.abs().max().clamp(min=1e-10)
    same(ours / scale, peer / scale, f"ours and the peer's {case.name}", TOLERANCE)


def with_speed(row: Row, seconds: float) -> Row:
    """The row with how much sound a second of work is enough for; memory of numpy is not counted.

    >>> row = Row("c", "stft", "librosa", 20.0, 40.0, 0.5, 1.0, 3.0, 0.0, "cpu", 1)
    >>> with_speed(row, seconds=10.0)[1:3]
    ('stft, 500 seconds of sound a second', 'librosa, 250')
    """
    ours = f"{row.ours}, {1000 * seconds / row.ours_ms:,.0f} seconds of sound a second"
    peer = f"{row.peer}, {1000 * seconds / row.peer_ms:,.0f}"
    return row._replace(ours=ours, peer=peer, ours_mib=None, peer_mib=None)


def speech(seconds: float) -> tuple[str, Tensor] | None:
    """Sentences of LJ Speech one after the other, or None where SCRATCHMM_DATA has too few."""
    try:
        paths = sorted(data_root().glob("ljspeech/wavs/*.wav"))
    except (ValueError, FileNotFoundError):
        return None
    sound = join(paths, int(seconds * RATE))
    return None if sound is None else ("speech", sound)


def join(paths: list[Path], count: int) -> Tensor | None:
    """The first `count` samples of files one after the other, or None if they are fewer."""
    parts: list[Tensor] = []
    for path in paths:
        if sum(map(len, parts)) >= count:
            break
        parts.append(read_sound(path, rate=RATE)[0])
    return torch.cat(parts)[:count] if sum(map(len, parts)) >= count else None


def notes(seconds: float) -> Tensor:
    """Two notes a second, plucked, with overtones and a little noise: float32 (S,), always the same.

    >>> notes(0.5).shape
    torch.Size([11025])
    """
    time = torch.arange(int(seconds * RATE)) / RATE
    since, number = time % 0.5, (time / 0.5).long()
    hertz = 110 * 2 ** ((7 * number % 24) / 12)
    waves = sum(torch.sin(2 * math.pi * k * hertz * since) / k for k in range(1, 9))
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    return 0.3 * waves * torch.exp(-4 * since) + 0.001 * noise


@contextmanager
def one_number_of_threads() -> Iterator[None]:
    """As many threads for numpy's matrix products as torch takes; its FFT takes one in any case."""
    try:
        from threadpoolctl import threadpool_limits  # comes with librosa
    except ImportError:
        limits: Any = nullcontext()
    else:
        limits = threadpool_limits(torch.get_num_threads(), user_api="blas")
    with limits:
        yield


def quiet_librosa() -> Any:
    """The librosa library."""
    try:
        import librosa
    except ImportError as error:
        raise ImportError(
            "the peer of this benchmark is librosa: pip install -e '.[parity]'"
        ) from error
    return librosa
