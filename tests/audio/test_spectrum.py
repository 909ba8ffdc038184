"""The spectrum against sums written out, torch's and librosa's own, and its way back."""

import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from scratchmm.audio import spectrum
from scratchmm.audio.spectrum import decibels, frame, hann, istft, overlap_add, power, stft
from shape_comments import check_shape_comments

SIZES = ((2048, 512), (400, 160), (255, 100))  # of frames, and the hop; one is odd


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours, theirs, tolerance):
    """Equal within this share of what the feature reaches."""
    theirs = torch.as_tensor(np.asarray(theirs))
    assert ours.dtype == theirs.dtype
    assert_close(ours, theirs, rtol=0, atol=tolerance * float(theirs.abs().max()))


# --- librosa, on recordings of people -----------------------------------------------------------


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_the_transform_and_its_way_back_are_librosas(librosa, recordings, dtype, tolerance) -> None:
    for place, (sound, _) in enumerate(recordings):
        size, hop = SIZES[place % len(SIZES)]
        sound = sound.to(dtype)
        theirs = librosa.stft(sound.numpy(), n_fft=size, hop_length=hop)
        ours = stft(sound, size, hop)
        close(ours, theirs, tolerance)
        close(power(ours), np.abs(theirs) ** 2, tolerance)
        back = librosa.istft(theirs, n_fft=size, hop_length=hop)
        close(istft(torch.from_numpy(theirs), size, hop), back, tolerance)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_decibels_are_librosas(librosa, recordings, dtype, tolerance) -> None:
    for sound, _ in recordings:
        powers = power(stft(sound.to(dtype), 512))
        theirs = powers.numpy()
        close(decibels(powers), librosa.power_to_db(theirs), tolerance)
        for choices in ((0.3, 1e-6, 30.0), (1e-3, 1e-2, None), (5.0, 1e-10, 10.0)):
            named = dict(zip(("ref", "amin", "top_db"), choices))
            close(decibels(powers, *choices), librosa.power_to_db(theirs, **named), tolerance)


@pytest.mark.parametrize("pad_mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("samples", [1, 2, 7, 30])
def test_sounds_shorter_than_a_frame_are_librosas(librosa, samples, pad_mode) -> None:
    sound = noise(samples)
    theirs = librosa.stft(sound.numpy(), n_fft=16, hop_length=3, pad_mode=pad_mode)
    close(stft(sound, 16, 3, pad_mode=pad_mode), theirs, 1e-12)


def test_a_window_and_frames_not_centred_are_librosas(librosa) -> None:
    sound = noise(300)
    choices = {"n_fft": 64, "hop_length": 10, "win_length": 41, "center": False}
    theirs = librosa.stft(sound.numpy(), window="hann", **choices)
    window = hann(41, torch.float64)
    close(stft(sound, 64, 10, window, centred=False), theirs, 1e-12)
    for length in (None, 250, 310):
        back = librosa.istft(theirs, length=length, **choices)
        ours = istft(torch.from_numpy(theirs), 64, 10, window, centred=False, length=length)
        close(ours, back, 1e-12)


# --- the definitions, written out ---------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 7), st.integers(0, 15), st.integers(1, 3))
def test_frames_are_slices(length, hop, more, batch) -> None:
    sound = noise(batch, 2, length + more)
    cut = [sound[..., a : a + length] for a in range(0, more + 1, hop)]
    assert_close(frame(sound, length, hop), torch.stack(cut, dim=-2))


def test_frames_are_no_copy() -> None:
    sound = noise(50)
    assert frame(sound, 8, 3).data_ptr() == sound.data_ptr()


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 11), st.booleans(), st.integers(0, 9))
def test_the_transform_is_the_sum(size, hop, samples, centred, seed) -> None:
    sound, window = noise(samples, seed=seed), noise(size, seed=seed + 1)
    ends = [0.0] * (size // 2 if centred else 0)
    padded = ends + sound.tolist() + ends
    starts = range(0, len(padded) - size + 1, hop)
    if not starts:
        with pytest.raises(ValueError, match=f"{len(padded)} samples .* {size}"):
            stft(sound, size, hop, window, centred)
        return
    seen = stft(sound, size, hop, window, centred)
    assert seen.shape == (size // 2 + 1, len(starts))
    for q in range(size // 2 + 1):
        for f, start in enumerate(starts):
            turns = [cmath.exp(-2j * math.pi * q * n / size) for n in range(size)]
            terms = (float(window[n]) * padded[start + n] * turns[n] for n in range(size))
            assert abs(seen[q, f].item() - sum(terms)) < 1e-9


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
def test_the_transform_is_torchs(pad_mode) -> None:
    sound = noise(2, 90)
    window = torch.hann_window(20, dtype=torch.float64)
    kind = {"pad_mode": pad_mode, "return_complex": True}
    assert_close(
        stft(sound, 20, 7, pad_mode=pad_mode), torch.stft(sound, 20, 7, None, window, **kind)
    )
    assert_close(stft(sound, 20, pad_mode=pad_mode), torch.stft(sound, 20, 5, None, window, **kind))


@pytest.mark.parametrize("length", [1, 2, 5, 12])
def test_the_window_is_periodic(length) -> None:
    assert_close(hann(length, torch.float64), torch.hann_window(length, dtype=torch.float64))
    assert hann(length).dtype == torch.float32


def test_a_tone_lies_where_its_frequency_is() -> None:
    rate, size = 8000, 256
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(4000) / rate)
    loudest = power(stft(tone, size))[:, 3:-3].argmax(dim=0)
    assert (loudest * rate / size == 1000).all()


@pytest.mark.parametrize("mode, theirs", [("constant",) * 2, ("reflect",) * 2, ("edge",) * 2])
@pytest.mark.parametrize("samples", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 5, 19])
def test_the_ends_are_numpys(mode, theirs, samples, count) -> None:
    sound = noise(2, samples)
    padded = np.pad(sound.numpy(), [(0, 0), (count, count)], mode=theirs)
    assert_close(spectrum.pad_ends(sound, count, mode), torch.from_numpy(padded))


# --- the way back -------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 17), st.data(), st.integers(1, 40))
def test_there_and_back_is_the_sound(size, data, samples) -> None:
    hop = data.draw(st.integers(1, max(1, size // 2)))
    sound = noise(2, 3, samples + size % 2)  # an odd size needs a sample
    seen = stft(sound, size, hop)
    back = istft(seen, size, hop, length=sound.shape[-1])
    assert_close(back, sound, rtol=0, atol=1e-9)


def test_there_and_back_on_recordings(recordings) -> None:
    for sound, _ in recordings:
        back = istft(stft(sound, 512, 128), length=len(sound))
        assert_close(back, sound, rtol=0, atol=1e-6)


def test_not_centred_only_the_first_sample_is_lost() -> None:
    sound = noise(16 + 5 * 4)
    back = istft(stft(sound, 16, 4, centred=False), centred=False)
    assert_close(back[1:], sound[1:])
    assert back[0] == 0


def test_of_a_spectrum_that_no_sound_has_the_closest_sound_is_found() -> None:
    size, hop, count = 8, 3, 4
    seen, window = torch.fft.rfft(noise(count, size)).T, noise(size, seed=1)
    samples = (count - 1) * hop + size
    rows = torch.zeros(count * size, samples, dtype=torch.float64)
    for f in range(count):
        for n in range(size):
            rows[f * size + n, f * hop + n] = window[n]
    frames = torch.fft.irfft(seen.T, n=size).flatten()
    closest = torch.linalg.lstsq(rows, frames[:, None]).solution[:, 0]
    assert_close(istft(seen, size, hop, window, centred=False), closest)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 11))
def test_overlap_add_is_a_loop_of_sums(count, length, hop) -> None:
    frames = noise(2, count, length)
    sound = torch.zeros(2, (count - 1) * hop + length, dtype=torch.float64)
    for f in range(count):
        sound[:, f * hop : f * hop + length] += frames[:, f]
    assert_close(overlap_add(frames, hop), sound)


# --- decibels -----------------------------------------------------------------------------------


def test_no_sound_depends_on_its_neighbours() -> None:
    powers = noise(3, 2, 4, 5).square() * torch.tensor([1e-9, 1.0, 1e9])[:, None, None, None]
    together = decibels(powers, span=20.0)
    for a in range(3):
        for b in range(2):
            assert_close(together[a, b], decibels(powers[a, b], span=20.0))


def test_decibels_of_silence_are_the_floor_and_of_nothing_nothing() -> None:
    assert decibels(torch.zeros(3, 4)).eq(-100).all()
    assert decibels(torch.zeros(())).item() == -100
    level = decibels(torch.tensor([3.0, 300.0], dtype=torch.float64), reference=3.0)
    assert level.tolist() == pytest.approx([0, 20])
    assert decibels(torch.zeros(5, 0)).shape == (5, 0)


# --- gradients, silence and nothing at all ------------------------------------------------------


def test_gradients_are_right() -> None:
    sound = noise(2, 11).requires_grad_()
    window = (hann(6, torch.float64) + 0.1).requires_grad_()

    def there(sound, window):
        return decibels(power(stft(sound, 6, 2, window, pad_mode="reflect")), span=60.0)

    def there_and_back(sound, window):
        return istft(stft(sound, 6, 2, window) * 2j, 6, 2, window)

    torch.autograd.gradcheck(there, (sound, window))
    torch.autograd.gradcheck(there_and_back, (sound, window))


def test_gradients_of_silence_are_finite() -> None:
    sound = torch.zeros(2, 40, requires_grad=True)
    window = hann(16).requires_grad_()
    seen = stft(sound, 16, window=window)
    back = istft(seen, 16, window=window, centred=False)
    (decibels(power(seen)).sum() + back.sum()).backward()
    assert sound.grad.isfinite().all() and window.grad.isfinite().all()


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_hardly_any_sound_is_right(samples) -> None:
    seen = stft(torch.full((2, samples), 0.5), 16, 4)
    assert seen.shape == (2, 9, 1)
    middle = [0.5 * hann(16)[8 + n] for n in range(samples)]  # frame 0 lies around sample 0
    assert_close(seen[:, 0, 0].real, torch.full((2,), float(sum(middle))))
    assert decibels(power(seen)).isfinite().all()
    assert istft(seen, 16, 4, length=samples).shape == (2, samples)


def test_a_window_made_without_gradients_serves_training() -> None:
    spectrum._hann.cache_clear()
    with torch.inference_mode():
        stft(torch.zeros(20), 10)
    sound = torch.zeros(20, requires_grad=True)
    power(stft(sound, 10)).sum().backward()
    assert sound.grad is not None


def test_the_kind_of_number_is_kept() -> None:
    for dtype, seen in ((torch.float64, torch.complex128), (torch.float32, torch.complex64)):
        there = stft(torch.ones(20, dtype=dtype), 10)
        assert there.dtype == seen and power(there).dtype == istft(there).dtype == dtype


NOTHING = torch.zeros(0)
REFUSED = [
    (lambda: stft(torch.zeros(5, dtype=torch.int16)), "int16"),
    (lambda: stft(torch.tensor(0.5)), r"not float32 \(\)"),
    (lambda: stft(torch.zeros(5), 8, centred=False), "5 samples .* 8"),
    (lambda: stft(torch.zeros(5), 0), "not 0"),
    (lambda: stft(torch.zeros(5), 4, hop=0), "not 0"),
    (lambda: stft(torch.zeros(5), 4, window=torch.ones(5)), r"\(5,\) .* 4"),
    (lambda: stft(torch.zeros(5), 4, window=torch.ones(2, 2)), r"\(2, 2\)"),
    (lambda: stft(torch.zeros(5), 4, pad_mode="wrap"), "'wrap'"),
    (lambda: stft(NOTHING, 4, pad_mode="reflect"), "0 samples"),
    (lambda: stft(NOTHING, 4, pad_mode="edge"), "0 samples"),
    (lambda: stft(NOTHING, 5), "0 samples"),
    (lambda: stft(torch.zeros(2, 0)), "0 samples"),
    (lambda: stft(torch.zeros(5), 2**40), str(2**39)),
    (lambda: spectrum.hop_of(2**40, None), str(2**40)),
    (lambda: frame(torch.zeros(5), 2, 0), "2 and 0"),
    (lambda: frame(torch.zeros(5), 0, 2), "0 and 2"),
    (lambda: hann(0), "not 0"),
    (lambda: istft(torch.zeros(5, 3) * 1j, 16), "5 frequencies .* 16"),
    (lambda: istft(torch.zeros(5, 0) * 1j), r"\(5, 0\)"),
    (lambda: istft(torch.zeros(5, 3)), "float32"),
    (lambda: istft(torch.zeros(5) * 1j), r"\(5,\)"),
    (lambda: istft(torch.zeros(1, 4) * 1j), "size"),
    (lambda: istft(torch.zeros(5, 3) * 1j, length=-1), "-1"),
    (lambda: decibels(torch.ones(2), floor=0.0), "^floor is 0.0 and"),
    (lambda: decibels(torch.ones(2), reference=-1.0), "^reference is -1.0 and"),
    (lambda: decibels(torch.ones(2), span=-1.0), "-1.0"),
]


@pytest.mark.parametrize("call, words", REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence(call, words) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        call()
    assert "\n" not in str(refusal.value)


def run_shapes() -> None:
    import torch

    from scratchmm.audio import mel, spectrum

    sound = torch.randn(2, 3, 100)
    spectrum.hann(5)  # by itself, since windows and filters made before are kept
    mel.mel_filters(rate=500, size=20, mels=7)
    seen = spectrum.stft(sound, size=21, hop=4)
    spectrum.power(seen)
    spectrum.istft(seen, size=21, hop=4)
    mel.mfcc(mel.log_mel(sound, rate=500, size=20, mels=7), count=4)
    mel.whisper_log_mel(sound[0], mels=5)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "audio/spectrum.py")
