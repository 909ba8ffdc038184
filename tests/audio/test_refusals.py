"""What no sound, rate, size or share can be is refused by its name and number."""

import math

import pytest
import torch

from scratchmm.audio import augment, features, mel, rhythm, spectrum, waveform

NAN, INF = math.nan, math.inf
NOTHING, SOUND = torch.zeros(2, 0), torch.ones(3000)
BAD = torch.tensor([0.5, NAN, 0.1, -0.2] * 800)
POWERS = torch.ones(9, 2)
ONSETS = torch.ones(40)

REFUSED = {
    "stft of nothing": (lambda: spectrum.stft(NOTHING), "0 samples"),
    "mel_spectrogram of nothing": (lambda: mel.mel_spectrogram(NOTHING, 8000), "0 samples"),
    "log_mel of nothing": (lambda: mel.log_mel(NOTHING, 8000), "0 samples"),
    "whisper_log_mel of nothing": (lambda: mel.whisper_log_mel(NOTHING), "0 samples"),
    "rms of nothing": (lambda: features.rms(NOTHING), "0 samples"),
    "zero crossings of nothing": (lambda: features.zero_crossing_rate(NOTHING), "0 samples"),
    "onsets of nothing": (lambda: rhythm.onset_strength(NOTHING, 8000), "0 samples"),
    "tempo of nothing": (lambda: rhythm.tempo(NOTHING, 8000), "0 frames"),
    "no channels": (lambda: waveform.mix_to_mono(torch.zeros(0, 50)), r"\(0, 50\)"),
    "channels of nothing": (lambda: waveform.mix_to_mono(NOTHING), r"\(2, 0\)"),
    "trim of NaN": (lambda: waveform.trim(BAD), "NaN or infinite"),
    "trim of inf": (lambda: waveform.trim(SOUND * INF), "NaN or infinite"),
    "trim by NaN": (lambda: waveform.trim(SOUND, below=NAN), "nan decibels"),
    "trim in frames": (lambda: waveform.trim(SOUND, frame=2**40), str(2**40)),
    "normalise to NaN": (lambda: waveform.normalise(SOUND, NAN), "made nan"),
    "normalise to inf": (lambda: waveform.normalise(SOUND, INF), "made inf"),
    "normalise below 0": (lambda: waveform.normalise(SOUND, -0.5), "made -0.5"),
    "resample to 2 GHz": (lambda: waveform.resample(SOUND, 1, 2**31 - 1), "3000 samples at 1 Hz"),
    "tempo of NaN": (lambda: rhythm.tempo(BAD, 8000), "800 values that are NaN"),
    "tempo of inf": (lambda: rhythm.tempo(ONSETS * INF, 8000), "40 values that are NaN or inf"),
    "tempo at inf": (lambda: rhythm.tempo(ONSETS, INF), "rate is inf"),
    "tempo at NaN": (lambda: rhythm.tempo(ONSETS, NAN), "rate is nan"),
    "tempo at a GHz": (lambda: rhythm.tempo(ONSETS, 10**9, hop=1), "8000000000 lags for 40 frames"),
    "rms in large frames": (lambda: features.rms(SOUND, 2**40), str(2**39)),
    "rms every 0": (lambda: features.rms(SOUND, 20, 0), "20 and 0"),
    "crossings of NaN": (lambda: features.zero_crossing_rate(BAD), "800 values that are NaN"),
    "roll-off of NaN": (lambda: features.spectral_rolloff(POWERS * NAN, 8000), "18 values"),
    "centroid at NaN": (lambda: features.spectral_centroid(POWERS, NAN), "at nan Hz"),
    "chroma at inf": (lambda: features.chroma(POWERS, INF), "at inf Hz"),
    "chroma at 0": (lambda: features.chroma_filters(0, 16), "at 0 Hz"),
    "chroma of size 2": (lambda: features.chroma_filters(8000, 2), "size 2 at 8000 Hz"),
    "chroma of size 15": (lambda: features.chroma_filters(8000, 15), "size 15 at 8000 Hz"),
    "chroma of a large size": (lambda: features.chroma_filters(8000, 2**40), str(2**40)),
    "chroma sharp by NaN": (lambda: features.chroma(POWERS, 8000, NAN), "sharp by nan"),
    "mel at inf": (lambda: mel.mel_filters(INF, 64, 8), "not inf"),
    "mel of a large size": (lambda: mel.mel_filters(8000, 2**40, 8), str(2**40)),
    "many mels": (lambda: mel.mel_filters(8000, 64, 10**12), str(10**12)),
    "noise to inf": (lambda: augment.add_noise(SOUND[None], torch.Generator(), high=INF), "inf"),
    "many holes": (
        lambda: augment.spec_augment(POWERS[None], torch.Generator(), count=10**12),
        "1000000000000 holes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_by_its_name_and_number(name):
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as told:
        call()
    assert "\n" not in str(told.value)
