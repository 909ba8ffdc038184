"""A file from anywhere, through reader, features and network: a sentence, or finite numbers."""

import math
import struct

import numpy as np
import pytest
import soundfile
import torch

from scratchmm.audio import augment, features, mel, rhythm, spectrum
from scratchmm.audio.audio_cnn import AudioCNN, AudioCNNConfig
from scratchmm.audio.waveform import normalise, pad_together, read_sound, trim

RATE, MELS = 8000, 20


def samples(count, channels=1):
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (count, channels))
    return noise if channels > 1 else noise[:, 0]


def write(path, sound, *, subtype="PCM_16", rate=RATE):
    soundfile.write(path, sound, rate, subtype=subtype)
    return path


def to_numbers(sound, rate):
    """All that is computed from a sound (S,), by name."""
    magnitude = spectrum.stft(sound, 2048, 512).abs()
    log_mel = mel.log_mel(sound, rate, mels=MELS)
    chance = torch.Generator().manual_seed(0)
    onsets = rhythm.onset_strength(sound, rate)
    model = AudioCNN(AudioCNNConfig(4, mels=MELS, channels=(4, 6))).eval()
    model.measure(log_mel[None])
    batch, real = pad_together([sound, torch.zeros(700), sound[:1]])
    return {
        "back from the spectrum": spectrum.istft(spectrum.stft(sound), length=len(sound)),
        "decibels": spectrum.decibels(magnitude.square()),
        "rms": features.rms(sound),
        "zero crossings": features.zero_crossing_rate(sound),
        "centroid": features.spectral_centroid(magnitude, rate),
        "roll-off": features.spectral_rolloff(magnitude, rate),
        "chroma": features.chroma(magnitude.square(), rate),
        "log-mel": log_mel,
        "mfcc": mel.mfcc(log_mel, count=13),
        "whisper": mel.whisper_log_mel(sound),
        "onsets": onsets,
        "tempo": rhythm.tempo(onsets, rate),
        "normalised": normalise(sound),
        "trimmed": trim(sound),
        "with noise": augment.add_noise(batch, chance, real),
        "shifted": augment.shift(batch, chance, real),
        "with holes": augment.spec_augment(log_mel[None], chance),
        "logits": model(log_mel[None]),
    }


ODD = {
    "1 sample": (samples(1), {}),
    "2 samples": (samples(2), {}),
    "silent": (np.zeros(3000), {}),
    "1 silent sample": (np.zeros(1), {}),
    "constant": (np.full(3000, 0.99), {}),
    "a click": (np.eye(1, 3000, 1500)[0] * 0.9, {}),
    "24 bits": (samples(900), {"subtype": "PCM_24"}),
    "8 channels": (samples(900, 8), {}),
    "8 channels of 1 sample": (samples(1, 8), {"subtype": "PCM_24"}),
    "8 bits": (samples(900), {"subtype": "PCM_U8"}),
    "faint floats": (samples(900) * 1e-42, {"subtype": "FLOAT"}),
    "loud floats": (samples(900) * 1e6, {"subtype": "FLOAT"}),
    "1 sample less than a frame": (samples(2047), {}),
    "384 kHz": (samples(900), {"rate": 384_000}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_sounds_become_finite_numbers(tmp_path, name):
    sound, options = ODD[name]
    path = write(tmp_path / "a.wav", sound, **options)
    every, _ = read_sound(path, mono=False)
    assert every.shape == (sound.shape[1] if sound.ndim > 1 else 1, len(sound))
    mono, rate = read_sound(path)
    assert mono.shape == (len(sound),) and mono.dtype == torch.float32
    torch.testing.assert_close(mono, every.mean(0))
    assert rate == options.get("rate", RATE)
    for what, numbers in to_numbers(mono, rate).items():
        assert numbers.numel() and numbers.isfinite().all(), what
    elsewhere, _ = read_sound(path, rate=16_000)
    assert len(elsewhere) == math.ceil(len(sound) * 16_000 / rate)
    assert elsewhere.isfinite().all()


def test_silence_has_the_features_of_silence(tmp_path):
    mono, rate = read_sound(write(tmp_path / "a.wav", np.zeros(5000)))
    found = to_numbers(mono, rate)
    assert found["decibels"].unique().tolist() == [-100]
    for what in ("rms", "zero crossings", "centroid", "chroma", "onsets", "with holes"):
        numbers = found[what]
        assert (numbers == numbers.flatten()[0]).all(), what
    assert not found["with noise"][:2].any() and not found["normalised"].any()


def test_channels_of_24_bits_are_what_they_were(tmp_path):
    whole = np.random.default_rng(1).integers(-(2**23), 2**23, (50, 8))
    path = write(tmp_path / "a.wav", whole / 2**23, subtype="PCM_24")
    every, _ = read_sound(path, mono=False)
    assert (every.double() * 2**23).round().long().T.tolist() == whole.tolist()


def bad_files(folder):
    """Files that are no sound, or only half of one, by name."""
    good = write(folder / "good.wav", samples(900)).read_bytes()
    floats = write(folder / "floats.wav", samples(9), subtype="FLOAT").read_bytes()
    place = good.index(b"fmt ") + 12  # where the rate stands
    contents = {
        "empty": b"",
        "text": b"file\ttext\n",
        "image": b"\x89PNG\r\n\x1a\n" + bytes(99),
        "truncated": good[: len(good) // 2],
        "head": good[:44],
        "half a head": good[:21],
        "rate 0": good[:place] + bytes(4) + good[place + 4 :],
        "nan": floats[:-4] + struct.pack("<f", math.nan),
        "infinite": floats[:-4] + struct.pack("<f", -math.inf),
    }
    write(folder / "none.wav", np.zeros(0))
    contents["no samples"] = (folder / "none.wav").read_bytes()
    return contents


def test_bad_sounds_are_refused_in_one_sentence_that_names_the_file(tmp_path):
    for name, content in bad_files(tmp_path).items():
        path = tmp_path / f"{name} sound.wav"
        path.write_bytes(content)
        for options in ({}, {"mono": False}, {"rate": 16_000}):
            with pytest.raises(ValueError) as told:
                read_sound(path, **options)
            assert str(path) in str(told.value) and "\n" not in str(told.value), name
            assert len(str(told.value)) < len(str(path)) + 150, name


@pytest.mark.parametrize("rate", [0, -16_000, 0.5, math.nan])
def test_to_a_rate_that_is_none_nothing_is_read(tmp_path, rate):
    path = write(tmp_path / "a.wav", samples(9))
    with pytest.raises(ValueError, match="a rate is a whole number of hertz above 0"):
        read_sound(path, rate=rate)
