"""Sound files in and out: from a WAV, FLAC or OGG file to samples and back, whole or not at all.

soundfile (libsndfile) decodes. It reads a file that was cut off as far as it goes and says nothing,
so whether the end is there is looked up here first; and it takes the whole process down when it is
asked for an OGG of too high a rate or of too many samples at once, so it is not asked for that.

Dimensions: C channels, S samples of each.
"""

import io
import struct
from numbers import Real
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from scratchmm.whole_file import write_whole

KINDS = {b"RIFF": "WAV", b"RF64": "WAV", b"fLaC": "FLAC", b"OggS": "OGG"}  # by the first 4 bytes
BLOCK = 65_536  # samples that are decoded or encoded at once
UNKNOWN = 0x7FFF_F000  # a WAV that was streamed promises this many bytes or more
HIGHEST_OGG = 200_000  # Hz


def decode(path: str | Path) -> tuple[Tensor, int]:
    """Read a sound file: (float32 (C, S), rate). Whole numbers become k / 2^(bits - 1).

    Raises FileNotFoundError, or ValueError with one sentence: not a sound, damaged, truncated, 0
    samples, NaN or infinite samples.

    >>> decode("no such file.wav")
    Traceback (most recent call last):
    FileNotFoundError: no sound at no such file.wav
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is a folder" if path.is_dir() else f"no sound at {path}")
    data = path.read_bytes()
    if data[:4] not in KINDS:
        begins = f"it begins with {data[:4].hex(' ')}" if data else "it is empty"
        raise ValueError(f"{path} is not a WAV, FLAC or OGG file: {begins}")
    check_end(path, data)
    try:
        # From memory, where no suffix of a name misleads; in blocks, since headers may lie.
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, blocks = file.samplerate, []
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block)
    except (soundfile.SoundFileError, TypeError) as error:
        raise ValueError(f"{path} is a damaged or truncated sound ({error})") from error
    if not blocks:
        raise ValueError(f"{path} holds 0 samples")
    sound = torch.from_numpy(np.concatenate(blocks).T.copy())  # (C, S)
    if not sound.isfinite().all():
        count = int((~sound.isfinite()).sum())
        raise ValueError(f"{path} holds {count} samples of {sound.numel()} that are no numbers")
    return sound, rate


def check_end(path: Path, data: bytes) -> None:
    """Refuse a WAV with less data than it promises, and an OGG whose last page is not its end.

    A FLAC that was cut off is noticed by its decoder.
    """
    if KINDS[data[:4]] == "WAV":
        start = 12
        while start + 8 <= len(data):
            name, size = struct.unpack_from("<4sI", data, start)
            start += 8
            if name == b"data" and len(data) - start < size < UNKNOWN:
                there = len(data) - start
                raise ValueError(f"{path} is truncated: {there} of {size} bytes of sound are there")
            start += size + size % 2
    if KINDS[data[:4]] == "OGG":
        # A page: "OggS", its version, its flags (4: the last), at 26 the number of its segments,
        # then a byte for the length of each, then all of them (RFC 3533, section 6).
        page = data[data.rfind(b"OggS") :]
        lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
        if not lengths or not page[5] & 4 or len(page) < 27 + page[26] + sum(lengths):
            raise ValueError(f"{path} is truncated: its last page is not the end of an OGG file")


def encode(path: str | Path, sound: Tensor, rate: int) -> Path:
    """Write (C, S) samples in [-1, 1] as .wav or .flac (16 bits) or as .ogg (Vorbis).

    The file is written under another name beside its place and moved there: whole, or not at all.
    Raises OSError with a sentence where that fails, ValueError where the format can't hold it.

    >>> encode("sound.mp3", torch.zeros(1, 5), 8000)
    Traceback (most recent call last):
    ValueError: sound.mp3 does not end in .wav, .flac or .ogg
    """
    path, buffer = Path(path), io.BytesIO()
    kind = path.suffix[1:].upper()
    if kind not in KINDS.values():
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
            f"{path} can't hold {sound.shape[0]} channels of {rate} Hz ({error})"
        ) from error
    write_whole(path, buffer.getvalue())
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
