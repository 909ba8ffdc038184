"""Features against librosa on recordings, explicit loops on any sizes, and sounds that are known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.audio.features import (
    NOTES,
    chroma,
    chroma_filters,
    frequencies,
    rms,
    spectral_centroid,
    spectral_rolloff,
    zero_crossing_rate,
)
from scratchmm.audio.spectrum import power, stft
from shape_comments import check_shape_comments

RATE = 22050


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tone(hertz, rate=RATE, seconds=0.5, loud=0.5):
    return loud * torch.sin(2 * math.pi * hertz * torch.arange(int(rate * seconds)) / rate)


def close(ours, theirs, tolerance=1e-5):
    """Equal within this share of what the feature reaches."""
    theirs = torch.as_tensor(np.asarray(theirs))
    scale = float(theirs.abs().max())
    torch.testing.assert_close(
        ours, theirs, rtol=0, atol=tolerance * scale or tolerance, check_dtype=False
    )


# --- librosa, on recordings of people -----------------------------------------------------------


def test_the_level_and_the_crossings_are_librosas(librosa, recordings) -> None:
    for sound, _ in recordings:
        samples = sound.numpy()
        for length, hop in ((2048, 512), (400, 160), (555, 123)):
            sizes = {"frame_length": length, "hop_length": hop}
            close(rms(sound, length, hop), librosa.feature.rms(y=samples, **sizes)[0])
            theirs = librosa.feature.zero_crossing_rate(samples, **sizes)[0]
            close(zero_crossing_rate(sound, length, hop), theirs, 1e-7)


def test_the_centroid_and_the_rolloff_are_librosas(librosa, recordings) -> None:
    for sound, rate in recordings:
        samples = sound.numpy()
        magnitude = stft(sound, 2048, 512).abs()
        theirs = librosa.feature.spectral_centroid(y=samples, sr=rate)[0]
        close(spectral_centroid(magnitude, rate), theirs)
        theirs = librosa.feature.spectral_rolloff(y=samples, sr=rate)[0]
        close(spectral_rolloff(magnitude, rate), theirs)
        small = librosa.feature.spectral_rolloff(
            y=samples.astype(float), sr=rate, n_fft=500, hop_length=125, roll_percent=0.3
        )[0]
        close(spectral_rolloff(stft(sound.double(), 500).abs(), rate, share=0.3), small)


def test_chroma_is_librosas(librosa, recordings) -> None:
    for number, (sound, rate) in enumerate(recordings):
        tuning = (0.0, 0.3, -0.45)[number % 3]
        theirs = librosa.feature.chroma_stft(y=sound.numpy(), sr=rate, tuning=tuning)
        close(chroma(power(stft(sound, 2048, 512)), rate, tuning), theirs)


@pytest.mark.parametrize("rate", [8000, 11025, 22050])
@pytest.mark.parametrize("size", [64, 500, 2048])
def test_the_filters_of_notes_are_librosas(librosa, rate, size) -> None:
    for tuning in (0.0, 0.31):
        theirs = librosa.filters.chroma(sr=rate, n_fft=size, tuning=tuning, dtype=np.float64)
        close(chroma_filters(rate, size, tuning), theirs, 1e-12)


# --- explicit loops, on any sizes ---------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(2, 11), st.integers(1, 7), st.integers(0, 99))
def test_level_and_crossings_by_loops(samples, length, hop, seed) -> None:
    sounds = noise(2, 3, samples, seed=seed)
    sounds[sounds.abs() < 0.4] = 0.0  # zeros and signs of both kinds
    sounds[0, 0] *= -1
    levels, rates = rms(sounds, length, hop), zero_crossing_rate(sounds, length, hop)
    count = 1 + (samples + length // 2 * 2 - length) // hop
    assert levels.shape == rates.shape == (2, 3, count)
    for where in np.ndindex(2, 3, count):
        sound, first = sounds[where[:2]].tolist(), where[2] * hop - length // 2
        places = range(first, first + length)
        squares = sum(sound[n] ** 2 for n in places if 0 <= n < samples)
        held = [sound[min(max(n, 0), samples - 1)] < 0 for n in places]
        crossings = sum(held[i] != held[i + 1] for i in range(length - 1))
        assert levels[where].item() == pytest.approx(math.sqrt(squares / length), abs=1e-12)
        assert rates[where].item() == pytest.approx(crossings / length, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(1, 6), st.floats(0.05, 0.95), st.integers(0, 99))
def test_centroid_and_rolloff_by_loops(count, frames, share, seed) -> None:
    magnitude, rate = noise(2, 3, count, frames, seed=seed).abs(), 7000
    centroids = spectral_centroid(magnitude, rate)
    edges = spectral_rolloff(magnitude, rate, share)
    assert centroids.shape == edges.shape == (2, 3, frames)
    hertz = [rate / 2 * q / (count - 1) for q in range(count)]
    assert frequencies(magnitude, rate).tolist() == pytest.approx(hertz)
    for where in np.ndindex(2, 3, frames):
        column = magnitude[where[0], where[1], :, where[2]].tolist()
        centre = sum(f * m for f, m in zip(hertz, column, strict=True)) / sum(column)
        lowest = next(
            f for q, f in enumerate(hertz) if sum(column[: q + 1]) >= share * sum(column) - 1e-12
        )
        assert centroids[where].item() == pytest.approx(centre)
        assert edges[where].item() == pytest.approx(lowest)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 20), st.integers(1, 4), st.floats(-0.5, 0.5), st.integers(0, 99))
def test_chroma_by_loops(half, frames, tuning, seed) -> None:
    size, rate = 2 * half, 5000
    spectra = noise(2, 3, half + 1, frames, seed=seed).square()
    found = chroma(spectra, rate, tuning)
    weights = np.zeros((12, half + 1))
    for q in range(half + 1):
        pitch, after = (
            12 * math.log2(max(k, 1) * rate / size / (27.5 * 2 ** (tuning / 12))) - 18 * (k == 0)
            for k in (q, q + 1)
        )
        width = max(after - pitch, 1)
        # C lies 3 semitones above A.
        away = [min(abs(pitch - 3 - c - 12 * turn) for turn in range(-9, 15)) for c in range(12)]
        shares = [math.exp(-0.5 * (2 * d / width) ** 2) for d in away]
        total = math.sqrt(sum(x * x for x in shares))
        far = math.exp(-0.5 * ((pitch / 12 - 5) / 2) ** 2)
        weights[:, q] = [x / total * far for x in shares]
    close(chroma_filters(rate, size, tuning), weights, 1e-9)
    raw = np.einsum("nq,bcqf->bcnf", weights, spectra.numpy())
    close(found, raw / raw.max(axis=-2, keepdims=True), 1e-9)


# --- sounds whose answer is known ---------------------------------------------------------------


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 4321.0])
def test_a_sine(hertz) -> None:
    sound, inner = tone(hertz), slice(3, -3)
    magnitude = stft(sound, 2048, 512).abs()
    close(rms(sound)[inner], torch.full((16,), 0.5 / math.sqrt(2)), 0.01)
    close(spectral_centroid(magnitude, RATE)[inner], torch.full((16,), hertz), 0.01)
    close(zero_crossing_rate(sound)[inner], torch.full((16,), 2 * hertz / RATE), 0.03)
    edge = spectral_rolloff(magnitude, RATE)[inner]
    assert ((edge - hertz).abs() < 2 * RATE / 2048).all()


def test_two_sines_of_unequal_strength() -> None:
    magnitude = torch.zeros(5, 2)
    magnitude[1], magnitude[4] = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 3.0])
    assert spectral_centroid(magnitude, 8000).tolist() == [1750.0, 3250.0]
    assert spectral_rolloff(magnitude, 8000, share=0.7).tolist() == [1000.0, 4000.0]
    assert spectral_rolloff(magnitude, 8000, share=0.75).tolist() == [1000.0, 4000.0]
    assert spectral_rolloff(magnitude, 8000, share=0.8).tolist() == [4000.0, 4000.0]
    with pytest.raises(ValueError, match="a share of 1.0 of a spectrum is not between 0 and 1"):
        spectral_rolloff(magnitude, 8000, share=1.0)


def test_signs() -> None:
    """The most there is, the least, zeros that change nothing, and steps between frames."""
    every = torch.tensor([1.0, -1.0]).repeat(40)
    assert zero_crossing_rate(every, 10, 10)[1:-1].tolist() == pytest.approx([0.9] * 7)
    assert zero_crossing_rate(every.abs(), 10, 10).sum() == 0
    zeros = torch.tensor([1.0, 0.0, -0.0, 1.0, -1e-11, 0.0, 1.0, 0.0])
    assert zero_crossing_rate(zeros, 8, 1).sum() == 0
    assert zero_crossing_rate(-zeros.round(), 8, 99).item() == 2 / 8  # the first is held before
    drum = noise(RATE)
    assert zero_crossing_rate(drum)[2:-2].mean().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("note", range(12))
def test_a_note_is_itself_in_every_octave(note) -> None:
    for octave in (3, 4, 5, 6):
        hertz = 440 * 2 ** ((note - 9) / 12 + octave - 4)
        found = chroma(power(stft(tone(hertz, seconds=1), 8192)), RATE)[:, 4:-4]
        assert (found.argmax(dim=0) == note).all(), (NOTES[note], octave)
        far = found.roll(-note, dims=0)[3:10]  # a minor third and more away
        assert far.max() < 0.15


def test_a_chord_and_an_instrument_that_is_sharp() -> None:
    chord = sum(tone(440 * 2 ** ((n - 9) / 12), seconds=1) for n in (0, 4, 7))  # C, E, G
    found = chroma(power(stft(chord, 8192)), RATE)[:, 4:-4].mean(dim=1)
    assert set(found.topk(3).indices.tolist()) == {0, 4, 7}
    sharp = power(stft(tone(440 * 2 ** (0.8 / 12), seconds=1), 8192))
    assert chroma(sharp, RATE)[:, 4:-4].mean(dim=1).argmax() == 10  # nearer to A#
    assert chroma(sharp, RATE, tuning=0.8)[:, 4:-4].mean(dim=1).argmax() == 9


# --- what must not change, and what must not break ----------------------------------------------

OF_SOUND = [rms, zero_crossing_rate]
OF_SPECTRUM = [spectral_centroid, spectral_rolloff, chroma]


def every_feature(sound):
    """All five, with the default sizes; those of a spectrum through our own."""
    spectrum = stft(sound, 2048, 512)
    found = [feature(sound) for feature in OF_SOUND]
    found += [feature(spectrum.abs(), RATE) for feature in OF_SPECTRUM[:2]]
    return [*found, chroma(power(spectrum), RATE)]


@pytest.mark.parametrize("samples", [1, 2, 511, 2048, 5000])
def test_silence_is_0_and_so_is_its_gradient(samples) -> None:
    sound = torch.zeros(2, samples, requires_grad=True)
    for feature in every_feature(sound):
        assert feature.shape[-1] == 1 + samples // 512
        assert (feature == 0).all()
        if feature.requires_grad:
            (slope,) = torch.autograd.grad(feature.sum(), sound, retain_graph=True)
            assert (slope == 0).all()


@pytest.mark.parametrize("samples", [1, 3, 600])
def test_short_sounds_have_numbers(samples) -> None:
    for feature in every_feature(noise(3, samples).float()):
        assert feature.isfinite().all()


def test_next_to_silence_nothing_is_nan() -> None:
    sound = torch.cat([torch.zeros(9000), noise(5000).float() * 1e-30, torch.zeros(9000)])
    sound.requires_grad_()
    for feature in every_feature(sound):
        assert feature.isfinite().all()
        if feature.requires_grad:
            (slope,) = torch.autograd.grad(feature.sum(), sound, retain_graph=True)
            assert not slope.isnan().any()


def test_a_sound_does_not_see_its_neighbours() -> None:
    sounds = noise(2, 3, 5000)
    sounds[0, 1] = 0
    sounds[1] *= 100
    alone = [every_feature(sound) for sound in sounds.flatten(0, 1)]
    for number, together in enumerate(every_feature(sounds)):
        one_by_one = torch.stack([features[number] for features in alone])
        torch.testing.assert_close(together.flatten(0, 1), one_by_one)


def test_loudness_changes_only_the_level() -> None:
    sound = noise(5000)
    level, *others = every_feature(sound)
    louder, *same = every_feature(4 * sound)
    torch.testing.assert_close(louder, 4 * level)
    torch.testing.assert_close(same, others)
    magnitude = noise(2, 9, 4).abs()
    for feature in OF_SPECTRUM:  # however quiet
        torch.testing.assert_close(feature(1e-12 * magnitude, RATE), feature(magnitude, RATE))


def test_precision_is_that_of_the_sound() -> None:
    for dtype in (torch.float32, torch.float64):
        assert {feature.dtype for feature in every_feature(noise(900).to(dtype))} == {dtype}


def test_gradients() -> None:
    sound = noise(2, 13).requires_grad_()
    magnitude = noise(2, 5, 3, seed=1).abs().requires_grad_()
    check = torch.autograd.gradcheck
    assert check(lambda x: rms(x, 4, 3), (sound,))
    assert check(lambda x: spectral_centroid(x, 800), (magnitude,))
    assert check(lambda x: chroma(x, 800), (magnitude,))


def test_what_is_no_sound_or_no_spectrum_is_refused() -> None:
    for feature in OF_SOUND:
        with pytest.raises(ValueError, match="int16"):
            feature(torch.zeros(9, dtype=torch.int16))
        with pytest.raises(ValueError, match="a hop of at least 1, not 4 and 0"):
            feature(torch.zeros(9), 4, 0)
    with pytest.raises(ValueError, match="0 samples"):
        zero_crossing_rate(torch.zeros(2, 0))
    for feature in OF_SPECTRUM:
        for rate in (0, -8000):
            with pytest.raises(ValueError, match=f"{rate} Hz"):
                feature(torch.ones(9, 3), rate)
        with pytest.raises(ValueError, match=r"size 0|\(1, 3\)"):
            feature(torch.ones(1, 3), 8000)


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
    check_shape_comments(run_shapes, "audio/features.py")
