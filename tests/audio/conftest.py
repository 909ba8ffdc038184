"""Recordings of people, where they are given, and librosa, where it is installed."""

import os
import warnings
from pathlib import Path

import pytest
import soundfile
import torch


@pytest.fixture(scope="session")
def real_data():
    """A function from a set's name to the folder that holds the set's folder."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    root = Path(os.environ.get("SCRATCHMM_DATA") or beside)

    def find(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f"no real data {name} in {root}")
        return root

    return find


@pytest.fixture(scope="session")
def recordings(real_data):
    """(float32 (S,), rate) of 30 spoken digits and 3 read sentences."""
    digits = sorted(real_data("fsdd").glob("fsdd/recordings/*.wav"))
    sentences = sorted(real_data("ljspeech").glob("ljspeech/wavs/*.wav"))
    paths = [*digits[:: len(digits) // 30][:30], *sentences[:3]]
    read = [soundfile.read(path, dtype="float32") for path in paths]
    return [(torch.from_numpy(sound), rate) for sound, rate in read]


@pytest.fixture
def librosa():
    """The library; what it says about short sounds and empty bands is expected here."""
    found = pytest.importorskip("librosa")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield found
