"""Mel features against librosa and Whisper's own extractor, and triangles written out."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from scratchmm.audio import mel
from scratchmm.audio.mel import (
    dct,
    hertz_to_mel,
    log_mel,
    mel_filters,
    mel_points,
    mel_spectrogram,
    mel_to_hertz,
    mfcc,
    whisper_log_mel,
)
from shape_comments import check_shape_comments

KINDS = [("slaney", "slaney"), ("slaney", None), ("htk", "slaney"), ("htk", None)]


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours, theirs, tolerance):
    """Equal within this share of what the feature reaches."""
    theirs = torch.as_tensor(np.asarray(theirs))
    assert ours.dtype == theirs.dtype
    assert_close(ours, theirs, rtol=0, atol=tolerance * float(theirs.abs().max()))


# --- librosa ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_the_scales_are_librosas(librosa, scale) -> None:
    hertz = torch.cat(
        [torch.linspace(0, 12_000, 777), torch.tensor([999.9, 1000, 1000.1])]
    ).double()
    close(hertz_to_mel(hertz, scale), librosa.hz_to_mel(hertz.numpy(), htk=scale == "htk"), 1e-12)
    pitch = hertz_to_mel(hertz, scale)
    close(mel_to_hertz(pitch, scale), librosa.mel_to_hz(pitch.numpy(), htk=scale == "htk"), 1e-12)
    theirs = librosa.mel_frequencies(9, fmin=20.0, fmax=3000.0, htk=scale == "htk")
    close(mel_points(9, 20.0, 3000.0, scale), theirs, 1e-12)


@pytest.mark.parametrize("scale, area", KINDS)
@pytest.mark.parametrize(
    "rate, size, mels, low, high",
    [(8000, 256, 40, 0.0, None), (22050, 2048, 128, 30.0, 11025.0), (16000, 401, 80, 50.0, 7600.0)],
)
def test_the_filters_are_librosas(librosa, rate, size, mels, low, high, scale, area) -> None:
    theirs = librosa.filters.mel(
        sr=rate,
        n_fft=size,
        n_mels=mels,
        fmin=low,
        fmax=high,
        htk=scale == "htk",
        norm=area,
        dtype=np.float64,
    )
    close(mel_filters(rate, size, mels, low, high, scale, area), theirs, 1e-12)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("scale, area", KINDS[::3])
def test_the_mel_spectrogram_is_librosas(
    librosa, recordings, dtype, tolerance, scale, area
) -> None:
    for place, (sound, rate) in enumerate(recordings):
        size, hop = ((2048, 512), (400, 160))[place % 2]
        sound = sound.to(dtype)
        kind = {"htk": scale == "htk", "norm": area, "dtype": sound.numpy().dtype}
        theirs = librosa.feature.melspectrogram(
            y=sound.numpy(), sr=rate, n_fft=size, hop_length=hop, n_mels=40, fmin=20.0, **kind
        )
        close(
            mel_spectrogram(sound, rate, size, hop, 40, 20.0, None, scale, area), theirs, tolerance
        )


# librosa computes inside in float64. In float32 the transform's rounding, a ten-millionth of a frame's
# loudest frequency, is more than a hundred-thousandth of what lies 60 to 80 decibels below it.
@pytest.mark.parametrize(
    "dtype, tolerance, faint", [(torch.float64, 1e-12, 1e-12), (torch.float32, 1e-5, 1e-4)]
)
def test_log_mel_and_mfcc_are_librosas(librosa, recordings, dtype, tolerance, faint) -> None:
    for place, (sound, rate) in enumerate(recordings):
        size, hop = ((2048, 512), (400, 160))[place % 2]
        sound = sound.to(dtype)
        bands = librosa.feature.melspectrogram(
            y=sound.numpy(),
            sr=rate,
            n_fft=size,
            hop_length=hop,
            n_mels=64,
            dtype=sound.numpy().dtype,
        )
        theirs = librosa.power_to_db(bands)
        ours = log_mel(sound, rate, size, hop, 64)
        loud = torch.from_numpy(theirs) > theirs.max() - 60
        close(ours[loud], theirs[loud], tolerance)
        close(ours, theirs, faint)
        close(mfcc(ours), librosa.feature.mfcc(S=theirs), tolerance)
        close(mfcc(ours, 64), librosa.feature.mfcc(S=theirs, n_mfcc=64), tolerance)


# --- Whisper ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def extractors():
    transformers = pytest.importorskip("transformers")
    return {mels: transformers.WhisperFeatureExtractor(feature_size=mels) for mels in (80, 128)}


def whispers(extractor, sounds):
    samples = [sound.numpy() for sound in sounds]
    return extractor(samples, sampling_rate=16_000, return_tensors="pt").input_features


@pytest.mark.parametrize("mels", [80, 128])
def test_whispers_input_is_transformers(extractors, recordings, mels) -> None:
    for sound, _ in recordings[mels % 3 :: 3]:  # as if of 16,000 Hz: the numbers are the same
        theirs = whispers(extractors[mels], [sound])[0]
        assert theirs.shape == (mels, 3000)
        assert_close(whisper_log_mel(sound, mels), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 300, 479_999, 480_000, 500_001])
def test_whispers_input_has_30_seconds(extractors, samples) -> None:
    sounds = noise(2, samples).float() * torch.tensor([[0.3], [1e-3]])
    theirs = whispers(extractors[80], sounds)
    assert_close(whisper_log_mel(sounds), theirs, rtol=0, atol=1e-5)


def test_whispers_silence_is_even() -> None:
    assert whisper_log_mel(torch.zeros(2, 1)).eq(-1.5).all()
    sound = torch.zeros(2, 500, requires_grad=True)
    whisper_log_mel(sound).sum().backward()
    assert sound.grad.isfinite().all()


# --- the definitions, written out ---------------------------------------------------------------


def test_the_scales_have_known_points() -> None:
    assert hertz_to_mel(500.0).item() == 7.5
    assert hertz_to_mel(6400.0).item() == pytest.approx(42)
    assert hertz_to_mel(700.0, "htk").item() == pytest.approx(2595 * math.log10(2))
    hertz = torch.linspace(0, 20_000, 300, dtype=torch.float64)
    for scale in ("slaney", "htk"):
        assert hertz_to_mel(hertz, scale).diff().gt(0).all()
        assert_close(mel_to_hertz(hertz_to_mel(hertz, scale), scale), hertz)


@settings(deadline=None, max_examples=20)
@given(
    st.integers(2, 40),
    st.integers(1, 9),
    st.floats(0, 300),
    st.floats(301, 4000),
    st.sampled_from(KINDS),
)
def test_the_filters_are_triangles(size, mels, low, high, kind) -> None:
    scale, area = kind
    filters = mel_filters(8000, size, mels, low, high, scale, area)
    points = mel_points(mels + 2, low, high, scale).tolist()
    assert filters.shape == (mels, size // 2 + 1)
    for m in range(mels):
        left, middle, right = points[m : m + 3]
        for q in range(size // 2 + 1):
            hertz = q * 8000 / size
            if hertz <= left or hertz >= right:
                height = 0.0
            elif hertz <= middle:
                height = (hertz - left) / (middle - left)
            else:
                height = (right - hertz) / (right - middle)
            if area:
                height /= (right - left) / 2
            assert filters[m, q].item() == pytest.approx(height, rel=1e-6, abs=1e-9)


def test_equal_areas_are_one_and_equal_heights_are_one() -> None:
    rate, size = 16_000, 1 << 14
    areas = mel_filters(rate, size, 20).sum(dim=1) * rate / size
    assert_close(areas, torch.ones_like(areas), rtol=0, atol=1e-3)
    heights = mel_filters(rate, size, 20, area=None).amax(dim=1)
    assert_close(heights, torch.ones_like(heights), rtol=0, atol=2e-2)


@pytest.mark.parametrize("count, size", [(1, 1), (5, 5), (3, 8), (13, 40)])
def test_the_cosine_waves_stand_at_right_angles(count, size) -> None:
    rows = dct(count, size)
    assert_close(rows @ rows.T, torch.eye(count, dtype=torch.float64))
    for k in range(count):
        for n in range(size):
            wave = math.cos(math.pi * k * (2 * n + 1) / (2 * size))
            wave *= math.sqrt((1 if k == 0 else 2) / size)
            assert rows[k, n].item() == pytest.approx(wave, abs=1e-12)


def test_all_coefficients_lose_nothing() -> None:
    bands = noise(2, 3, 7, 5)
    assert_close(dct(7, 7).T @ mfcc(bands, 7), bands)


# --- batches, silence and nothing at all --------------------------------------------------------


def test_no_sound_depends_on_its_neighbours() -> None:
    sounds = noise(3, 2, 900) * torch.tensor([1e-4, 1.0, 100.0])[:, None, None]
    together = mfcc(log_mel(sounds, 8000, 128, 50, 20), 6)
    assert together.shape == (3, 2, 6, 19)
    for a in range(3):
        for b in range(2):
            alone = log_mel(sounds[a, b], 8000, 128, 50, 20)
            assert_close(together[a, b], mfcc(alone, 6))


@pytest.mark.parametrize("samples", [1, 2, 5, 100])
def test_hardly_any_sound_is_never_a_nan(samples) -> None:
    for sound in (torch.zeros(2, samples), torch.ones(2, samples)):
        sound.requires_grad_()
        level = log_mel(sound, 8000, 64, mels=12)
        assert level.shape == (2, 12, 1 + samples // 16)
        mfcc(level, 5).sum().backward()
        assert level.isfinite().all() and sound.grad.isfinite().all()


def test_gradients_are_right() -> None:
    sound = noise(20).requires_grad_()
    torch.autograd.gradcheck(lambda x: mfcc(log_mel(x, 100, 16, 6, 5), 3), sound)
    hertz = torch.tensor([10.0, 999.0, 1001.0, 5000.0], dtype=torch.float64, requires_grad=True)
    for scale in ("slaney", "htk"):
        torch.autograd.gradcheck(lambda x, scale=scale: hertz_to_mel(x, scale), hertz)
        pitch = hertz_to_mel(hertz, scale).detach().requires_grad_()
        torch.autograd.gradcheck(lambda x, scale=scale: mel_to_hertz(x, scale), pitch)


def test_what_is_kept_is_kept_by_everything_it_depends_on() -> None:
    sound = noise(400)
    kinds = [
        {"rate": rate, "mels": mels, "low": low, "high": high, "scale": scale, "area": area}
        for rate, mels, low, high in ((100, 5, 0.0, None), (200, 5, 0.0, 50.0), (200, 6, 9.0, 50.0))
        for scale, area in KINDS
    ]
    for kind in kinds * 2:
        for dtype in (torch.float32, torch.float64):
            ours = mel_spectrogram(sound.to(dtype), size=64, **kind)
            powers = torch.stft(
                sound, 64, 16, None, torch.hann_window(64).double(), pad_mode="constant",
                return_complex=True,
            ).abs().square()  # fmt: skip
            assert ours.dtype == dtype
            assert_close(ours.double(), mel_filters(size=64, **kind) @ powers, rtol=1e-4, atol=1e-5)


def test_what_was_given_out_may_be_written_to() -> None:
    sound, before = noise(400), mel_spectrogram(noise(400), 100, 64, mels=5)
    mel_filters(100, 64, 5).zero_()
    dct(3, 5).zero_()
    assert_close(mel_spectrogram(sound, 100, 64, mels=5), before)


def test_filters_made_without_gradients_serve_training() -> None:
    mel._filters.cache_clear()
    mel._dct.cache_clear()
    with torch.inference_mode():
        mfcc(log_mel(torch.zeros(100), 100, 64, mels=5), 3)
    sound = torch.zeros(100, requires_grad=True)
    mfcc(log_mel(sound, 100, 64, mels=5), 3).sum().backward()
    assert sound.grad is not None


REFUSED = [
    (lambda: mel_filters(0, 8, 2), "not 0"),
    (lambda: mel_filters(-8000, 8, 2), "not -8000"),
    (lambda: mel_filters(float("nan"), 8, 2), "not nan"),
    (lambda: mel_filters(8000, 8, 0), "mels 0"),
    (lambda: mel_filters(8000, 0, 2), "size 0"),
    (lambda: mel_filters(8000, 8, 2, high=4001.0), "4001.0 .* 4000.0"),
    (lambda: mel_filters(8000, 8, 2, low=-1.0), "-1.0"),
    (lambda: mel_filters(8000, 8, 2, low=50.0, high=50.0), "50.0 to 50.0"),
    (lambda: mel_filters(8000, 8, 2, scale="bark"), "'bark'"),
    (lambda: mel_filters(8000, 8, 2, area="htk"), "'htk'"),
    (lambda: mel_spectrogram(torch.zeros(9), 0), "not 0"),
    (lambda: mel_spectrogram(torch.zeros(9).long(), 8000), "int64"),
    (lambda: whisper_log_mel(torch.zeros(9).long()), "int64"),
    (lambda: mel_to_hertz(1.0, "bark"), "'bark'"),
    (lambda: mfcc(torch.zeros(5, 3), 6), "1 to 5 .* 6"),
    (lambda: dct(0, 5), "not 0"),
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
    check_shape_comments(run_shapes, "audio/mel.py")
