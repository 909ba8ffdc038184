"""Spoken digits: 3,000 recordings of "zero" to "nine", 6 speakers saying each 50 times.

The set is small enough to train on in minutes, and can show whether a network has learned the
digits or these six voices. The official split has every speaker in both parts; leaving one speaker
out measures generalisation to a new voice.

Data: Free Spoken Digit Dataset (Jackson and others, doi 10.5281/zenodo.1342401), WAV files of one
channel and 8,000 samples a second, named digit_speaker_index.wav. **Differs from it:** nothing.

N recordings, S samples of one, which is another number in each.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from scratchmm.audio.waveform import read_sound
from scratchmm.data.sets.folders import data_root
from scratchmm.data.sets.mnist import DIGITS

SOURCE = "https://github.com/Jakobovski/free-spoken-digit-dataset"
HELD_OUT = 5  # recordings 0 to 4 of each digit and speaker are the official test
NAME = re.compile(r"(\d)_([^_]+)_(\d+)\.wav")


class SpokenDigits(NamedTuple):
    """Recordings with their labels and speakers, in the same order."""

    sounds: list[Tensor]  # float32 (S,) in [-1, 1]
    labels: Tensor  # int64 (N,) from 0 to 9
    speakers: list[str]
    indices: Tensor  # int64 (N,): the how-manieth recording of this digit by this speaker
    names: Sequence[str] = DIGITS  # of the labels

    def part(self, chosen: Tensor) -> "SpokenDigits":
        """Those recordings only. chosen: int64 positions, or a bool (N,)."""
        places = torch.arange(len(self.sounds))[chosen]
        return SpokenDigits(
            [self.sounds[place] for place in places.tolist()],
            self.labels[places],
            [self.speakers[place] for place in places.tolist()],
            self.indices[places],
            self.names,
        )


def load_spoken_digits(root: str | Path | None = None, rate: int = 8000) -> SpokenDigits:
    """All recordings, sorted by digit, speaker and index, with `rate` samples a second.

    The WAV files lie in `root`/fsdd/recordings, `root`/recordings or `root`; without `root` in the
    folder that SCRATCHMM_DATA names. Reads 3,000 files in about a second.

    The set has 8,000 samples a second; other rates, and recordings of your own at any rate, are
    resampled. Raises FileNotFoundError, or ValueError with one sentence that names the file: not
    named digit_speaker_index.wav, twice the same one, or what read_sound refuses.

    >>> load_spoken_digits("no such folder")
    Traceback (most recent call last):
    ...
    FileNotFoundError: there is no data folder no such folder
    """
    found: dict[tuple[int, str, int], Path] = {}
    for path in _recordings(root):
        digit, speaker, index = named = parse_name(path)
        if named in found:
            raise ValueError(
                f"{path} and {found[named].name} are the same recording by their names"
            )
        found[named] = path
    rows = sorted(found)
    return SpokenDigits(
        [read_sound(found[row], rate=rate)[0] for row in rows],
        torch.tensor([digit for digit, _, _ in rows]),
        [speaker for _, speaker, _ in rows],
        torch.tensor([index for _, _, index in rows]),
    )


def parse_name(path: str | Path) -> tuple[int, str, int]:
    """The digit, the speaker and the index in a recording's file name.

    >>> parse_name("recordings/7_jackson_32.wav")
    (7, 'jackson', 32)
    >>> parse_name("recordings/seven.wav")
    Traceback (most recent call last):
    ...
    ValueError: recordings/seven.wav is not named digit_speaker_index.wav, such as 7_jackson_32.wav
    """
    match = NAME.fullmatch(Path(path).name)
    if match is None:
        raise ValueError(f"{path} is not named digit_speaker_index.wav, such as 7_jackson_32.wav")
    return int(match[1]), match[2], int(match[3])


def _recordings(root: str | Path | None) -> list[Path]:
    folder = data_root(root)
    places = [folder / "fsdd" / "recordings", folder / "recordings", folder]
    for place in places:
        if paths := sorted(place.glob("*.wav")):
            return paths
    where = ", ".join(map(str, places[:-1]))
    raise FileNotFoundError(
        f"no recordings (*.wav) in {where} or {folder}: they are published at {SOURCE}, "
        f"whose folder recordings belongs at {places[0]}"
    )


def official_split(data: SpokenDigits) -> tuple[SpokenDigits, SpokenDigits]:
    """(train, test) as published: recordings 0 to 4 of every digit and speaker are the test.

    >>> data = SpokenDigits([torch.zeros(2)] * 3, torch.zeros(3), ["theo"] * 3, torch.tensor([3, 4, 5]))
    >>> train, test = official_split(data)
    >>> train.indices.tolist(), test.indices.tolist()
    ([5], [3, 4])
    """
    held_out = data.indices < HELD_OUT
    return data.part(~held_out), data.part(held_out)


def leave_one_speaker_out(data: SpokenDigits, speaker: str) -> tuple[SpokenDigits, SpokenDigits]:
    """(train, test): the recordings of all other speakers, and those of this one.

    >>> data = SpokenDigits([torch.zeros(2)] * 3, torch.arange(3), ["ann", "bo", "ann"], torch.zeros(3))
    >>> train, test = leave_one_speaker_out(data, "bo")
    >>> train.labels.tolist(), test.labels.tolist()
    ([0, 2], [1])
    """
    speakers = sorted(set(data.speakers))
    if speaker not in speakers:
        raise ValueError(f"there is no speaker {speaker!r}, only {', '.join(speakers)}")
    held_out = torch.tensor([name == speaker for name in data.speakers])
    return data.part(~held_out), data.part(held_out)
