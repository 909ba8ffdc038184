"""Onsets and tempo against librosa on recordings, explicit loops, and beats whose tempo is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.audio.mel import mel_spectrogram
from scratchmm.audio.rhythm import likeness, onset_strength, tempo
from shape_comments import check_shape_comments

RATE, HOP = 22050, 512


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def clicks(beats, rate=RATE, seconds=20):
    """Short bursts of noise, so many beats a minute."""
    sound = torch.zeros(rate * seconds)
    for beat in range(int(beats * seconds / 60)):
        start = int(rate * 60 / beats * beat)
        part = sound[start : start + 400]
        part += noise(400, seed=beat).float()[: len(part)] * 0.3
    return sound


def test_onsets_and_tempo_are_librosas(librosa, recordings) -> None:
    for sound, rate in recordings:
        samples = sound.numpy()
        for hop in (512, 200):
            theirs = librosa.onset.onset_strength(y=samples, sr=rate, hop_length=hop)
            ours = onset_strength(sound, rate, hop)
            scale = max(theirs.max(), 1.0)
            torch.testing.assert_close(ours, torch.tensor(theirs), rtol=0, atol=1e-5 * scale)
            if not theirs.any():  # too short for an onset: the one difference that is declared
                assert tempo(ours, rate, hop) == 0
                continue
            beats = librosa.feature.tempo(y=samples, sr=rate, hop_length=hop)[0]
            assert tempo(ours, rate, hop).item() == pytest.approx(beats, rel=1e-5)


@pytest.mark.parametrize("beats", [60, 75, 90, 100, 120, 133, 150, 170])
def test_a_click_track_has_its_tempo(beats) -> None:
    found = tempo(onset_strength(clicks(beats), RATE), RATE).item()
    exact = 60 * RATE / HOP / beats  # frames from beat to beat
    near = [60 * RATE / HOP / lag for lag in (math.floor(exact), math.ceil(exact))]
    assert found == pytest.approx(near[0]) or found == pytest.approx(near[1])


@pytest.mark.parametrize(("beats", "tapped"), [(240, 120), (30, 120), (120, 120), (480, 120)])
def test_of_an_octave_the_likelier_is_tapped(beats, tapped) -> None:
    """Every other beat of 240; and all of them where every fourth is louder."""
    onsets = torch.zeros(800)
    onsets[:: 2400 // max(beats, tapped)] = 1.0
    onsets[:: 2400 // beats] += 1.0
    assert tempo(onsets, rate=8000, hop=200).item() == tapped


def test_no_tempo_reaches_320() -> None:
    onsets = torch.zeros(800)
    onsets[::7] = 1.0  # 342.9 beats a minute, of which every third is nearest to 120
    assert tempo(onsets, rate=8000, hop=200).item() == pytest.approx(2400 / 21)
    onsets = torch.zeros(800, dtype=torch.float64)
    onsets[[300, 307]] = 1.0  # two beats, which are like each other at that lag alone
    assert tempo(onsets, rate=8000, hop=200).item() == pytest.approx(120)
    assert likeness(onsets.float(), 320).min() >= 0  # or its logarithm might not be one
    assert tempo(onsets, rate=7000, hop=200).item() == pytest.approx(2100 / 7)  # which is allowed


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40), st.integers(2, 12), st.integers(0, 99))
def test_likeness_and_tempo_by_loops(count, lags, seed) -> None:
    onsets = noise(2, 3, count, seed=seed).abs()
    onsets[onsets < 0.6] = 0
    found, rate = likeness(onsets, lags), 5000
    beats = tempo(onsets, rate, hop=8 * rate // lags)
    window = [0.5 - 0.5 * math.cos(2 * math.pi * n / lags) for n in range(lags)]
    half = lags // 2
    for where in np.ndindex(2, 3):
        given, total = onsets[where].tolist(), np.zeros(lags)
        rise = [given[0] * i / half for i in range(half)]
        longer = rise + given + [given[-1] * i / half for i in reversed(range(half))]
        for f in range(count):
            part = [longer[f + n] * window[n] for n in range(lags)]
            energy = sum(x * x for x in part)
            for lag in range(lags if energy > 0 else 0):
                total[lag] += sum(part[n] * part[n + lag] for n in range(lags - lag)) / energy
        mean = total / count
        torch.testing.assert_close(found[where], torch.tensor(mean), rtol=0, atol=1e-9)
        scores = {}
        for lag in range(1, lags):
            bpm = 60 * rate / (8 * rate // lags) / lag
            if bpm < 320:
                scores[bpm] = math.log1p(1e6 * mean[lag]) - math.log2(bpm / 120) ** 2 / 2
        expected = max(scores, key=scores.__getitem__) if any(given) else 0
        assert beats[where].item() == pytest.approx(expected)


def test_onsets_by_loops() -> None:
    sounds, rate, hop, size = noise(2, 3, 1000) * 0.1, 8000, 60, 256
    sounds[1] = 0
    powers = mel_spectrogram(sounds, rate, size=size, hop=hop, mels=128)
    found = onset_strength(sounds, rate, hop, size)
    for where in np.ndindex(2, 3):
        levels = 10 * np.log10(np.maximum(powers[where].numpy(), 1e-10))
        levels = np.maximum(levels, levels.max() - 80)
        expected = np.zeros(levels.shape[1])
        for f in range(1, levels.shape[1]):
            place = f + size // (2 * hop)  # half a spectrum later
            if place < len(expected):
                expected[place] = np.maximum(levels[:, f] - levels[:, f - 1], 0).mean()
        torch.testing.assert_close(found[where], torch.tensor(expected))


def test_a_click_is_found_where_it_is() -> None:
    for place in (5000, 11000, 17000):
        sound = torch.zeros(RATE)
        sound[place : place + 100] = 0.5
        assert abs(onset_strength(sound, RATE).argmax() * HOP - place) <= 1.5 * HOP


def test_what_fades_is_no_onset() -> None:
    sound = noise(RATE).float()
    sound[RATE // 2 :] = 0
    onsets = onset_strength(sound, RATE)
    assert onsets[RATE // 2 // HOP + 6 :].max() == 0 and onsets.max() > 0


def test_silence_and_short_sounds_have_no_beat() -> None:
    for samples in (1, 300, 513, 30000):
        sound = torch.zeros(2, samples, requires_grad=True)
        onsets = onset_strength(sound, RATE)
        assert onsets.shape == (2, 1 + samples // HOP) and (onsets == 0).all()
        assert tempo(onsets, RATE).tolist() == [0, 0]
        (slope,) = torch.autograd.grad(onsets.sum(), sound)
        assert not slope.isnan().any()
    assert tempo(torch.zeros(2, 3, 1), RATE).tolist() == [[0] * 3] * 2
    assert onset_strength(noise(1).float(), RATE).tolist() == [0]
    one = tempo(torch.ones(1), RATE)
    assert one.isfinite() and 0 < one < 320


def test_a_sound_does_not_see_its_neighbours() -> None:
    sounds = torch.stack(
        [clicks(90, seconds=9), torch.zeros(9 * RATE), 1e-4 * clicks(150, seconds=9)]
    )
    together = onset_strength(sounds, RATE)
    alone = torch.stack([onset_strength(sound, RATE) for sound in sounds])
    torch.testing.assert_close(together, alone)
    beats = tempo(together.double()[:, None], RATE)
    assert beats.dtype == torch.float64 and beats.shape == (3, 1)
    torch.testing.assert_close(beats[:, 0], torch.stack([tempo(x.double(), RATE) for x in alone]))


def test_gradients_of_onsets() -> None:
    sound = (noise(2, 40) * 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: onset_strength(x, 8000, hop=9, size=16), (sound,))


@pytest.mark.parametrize(
    ("rate", "hop", "sentence"),
    [
        (0, 512, "rate is 0 and must be a number above 0"),
        (8000, 0, "hop is 0 and must be a whole number from 1 to "),
        (8000, 40000, "a hop of 40000 samples at 8000 Hz"),
        (-1, 512, "rate is -1 and must be a number above 0"),
    ],
)
def test_a_rate_and_a_hop_that_leave_no_beat_are_refused(rate, hop, sentence) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        tempo(torch.ones(9), rate, hop)


def run_shapes() -> None:
    import torch

    from scratchmm.audio import features, rhythm, spectrum

    sound = torch.randn(2, 3, 500)
    features.rms(sound, 20, 7)
    features.zero_crossing_rate(sound, 20, 7)
    bands = spectrum.power(spectrum.stft(sound, 32))
    features.spectral_centroid(bands, 8000)
    features.spectral_rolloff(bands, 8000)
    features.chroma(bands, 8000)
    onsets = rhythm.onset_strength(sound, 8000, 23, size=512)
    rhythm.tempo(onsets, 8000, 23 * 50)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "audio/rhythm.py")
