"""Sound files: decoded to samples, encoded and written atomically.

soundfile (libsndfile) decodes. It reads a truncated file as far as it goes without an error, so
completeness is checked first (sound_kinds.py); and it crashes the whole process on an OGG of too
high a rate or of too many samples at once, so both are refused or split here.

Dimensions: C channels, S samples of each.
"""

import io
from numbers import Real
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from scratchmm.audio.flac_length import with_length
from scratchmm.audio.sound_kinds import check_chunks, kind_of, links_of, without_tags
from scratchmm.files import atomic_write

WRITTEN = ("WAV", "FLAC", "OGG")
BLOCK = 65_536  # samples that are decoded or encoded at once
MOST = 2**29  # numbers of a sound that is read, of all channels together: 2 GB
LOUDEST = 1e12  # of a file of floats: squares and sums beyond would soon be infinite
HIGHEST_OGG = 200_000  # Hz


def decode(path: str | Path) -> tuple[Tensor, int]:
    """Read a sound file: (float32 (C, S), rate). Whole numbers become k / 2^(bits - 1).

    WAV (RIFF, RIFX, RF64, BW64), W64, AIFF, FLAC and OGG, also behind ID3 tags; an OGG's streams one
    after the other. Raises FileNotFoundError, or ValueError with one sentence: no sound, or of
    another kind, damaged, truncated, more than is read, 0 samples, NaN or infinite samples.

    >>> decode("no such file.wav")
    Traceback (most recent call last):
    FileNotFoundError: no sound at no such file.wav
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is a folder" if path.is_dir() else f"no sound at {path}")
    data = without_tags(path.read_bytes())
    kind = kind_of(path, data)
    if kind == "OGG":
        read = [_decode(path, link) for link in links_of(path, data)]
    else:
        read = [_decode(path, _prepared(path, data, kind))]
    rate, channels = read[0][1], len(read[0][0])
    for part, other in read:
        if (other, len(part)) != (rate, channels):
            raise ValueError(
                f"{path} is a chain of sounds of {channels} channels at {rate} Hz and of "
                f"{len(part)} at {other}"
            )
    return torch.cat([part for part, _ in read], dim=1) if len(read) > 1 else read[0][0], rate


def _prepared(path: Path, data: bytes, kind: str) -> bytes:
    """The bytes in a form that libsndfile reads; refuses a file that is incomplete."""
    if kind == "FLAC":
        return with_length(path, data)
    check_chunks(path, data, kind)
    if kind == "W64":
        return data[: int.from_bytes(data[16:24], "little")]  # it would read on
    if data[:4] == b"BW64":  # an RF64 under another name, or a RIFF
        return (b"RF64" if data[12:16] == b"ds64" else b"RIFF") + data[4:]
    return data


def _decode(path: Path, data: bytes) -> tuple[Tensor, int]:
    try:
        # From memory, where no suffix of a name misleads; in blocks, since headers may lie.
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, blocks, left = file.samplerate, [], MOST // file.channels
            if file.frames > left:
                raise ValueError(
                    f"{path} promises {file.frames} samples in {file.channels} channels: more than "
                    f"the {MOST} that are read together, or it is damaged"
                )
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                blocks.append(torch.from_numpy(block.T.copy()))  # (C, S)
    except soundfile.SoundFileError as error:
        raise ValueError(f"{path} is a damaged or truncated sound ({_said(error)})") from error
    if not blocks:
        raise ValueError(f"{path} holds 0 samples")
    sound = torch.cat(blocks, dim=1)  # (C, S)
    if not sound.isfinite().all():
        count = int((~sound.isfinite()).sum())
        raise ValueError(f"{path} holds {count} samples of {sound.numel()} that are no numbers")
    if (loudest := sound.abs().max().item()) > LOUDEST:
        raise ValueError(
            f"{path} holds samples of up to {loudest:.3g}, more than {LOUDEST:.0e}: a sound lies in "
            "[-1, 1]"
        )
    return sound, rate


def _said(error: Exception) -> str:
    """The error message of libsndfile, without the address of the bytes in memory."""
    said = getattr(error, "error_string", str(error))
    return "it ends before what its head promises" if "psf_fseek" in said else said


def encode(path: str | Path, sound: Tensor, rate: int) -> Path:
    """Write (C, S) samples in [-1, 1] as .wav or .flac (16 bits) or as .ogg (Vorbis).

    The file is written atomically: complete, or not at all. Raises OSError with a sentence where
    that fails, ValueError where the format can't hold the sound.

    >>> encode("sound.mp3", torch.zeros(1, 5), 8000)
    Traceback (most recent call last):
    ValueError: sound.mp3 does not end in .wav, .flac or .ogg
    """
    path, buffer = Path(path), io.BytesIO()
    kind = path.suffix[1:].upper()
    if kind not in WRITTEN:
        raise ValueError(f"{path} does not end in .wav, .flac or .ogg")
    if kind == "OGG" and rate > HIGHEST_OGG:
        raise ValueError(f"an OGG file has at most {HIGHEST_OGG} Hz, not {rate}")
    samples = sound.detach().cpu().double().T  # (S, C)
    if kind == "OGG":
        ready = samples.float().numpy()
    else:  # 1 has no number of 16 bits: the highest is 32767 / 32768
        ready = (samples * 32768).round().clamp(max=32767).short().numpy()
    try:
        with soundfile.SoundFile(buffer, "w", rate, sound.shape[0], format=kind) as file:
            for start in range(0, len(ready), BLOCK):
                file.write(ready[start : start + BLOCK])
    except soundfile.SoundFileError as error:
        raise ValueError(
            f"{path} can't hold {sound.shape[0]} channels of {rate} Hz ({_said(error)})"
        ) from error
    atomic_write(path, buffer.getvalue())
    return path


def check_rate(rate: float, name: str = "rate") -> int:
    """A rate as an int; refuse one that is not a whole number of hertz above 0.

    >>> check_rate(44100.0)
    44100
    >>> check_rate(0)
    Traceback (most recent call last):
    ValueError: the rate is 0: a rate is a whole number of hertz above 0
    """
    known = isinstance(rate, Real) and not isinstance(rate, bool) and 1 <= rate < 2**31
    if not known or rate != int(rate):
        raise ValueError(f"the {name} is {rate}: a rate is a whole number of hertz above 0")
    return int(rate)
