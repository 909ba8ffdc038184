import io
import math
import os
import struct

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.audio import sound_files, waveform
from scratchmm.audio.waveform import (
    loud_part,
    mix_to_mono,
    normalise,
    pad_together,
    read_sound,
    resample,
    trim,
    windowed_sinc,
    write_sound,
)
from shape_comments import check_shape_comments

RATES = (8000, 11025, 16000, 22050, 44100, 48000)
KINDS = [("WAV", name) for name in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")]
KINDS += [("FLAC", name) for name in ("PCM_S8", "PCM_16", "PCM_24")]


def noise(*shape, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3), dtype=dtype) * 2 - 1


def tone(rate, hertz, seconds=1.0):
    return torch.sin(2 * math.pi * hertz * torch.arange(int(rate * seconds)).double() / rate)


def encoded(samples, rate, kind, subtype):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def wav(data, *, rate=8000, channels=1, bits=16, kind=1, promised=None):
    """The bytes of a WAV file, written down from the format's description."""
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * width % 2**32, width, bits)
    size = len(data) if promised is None else promised
    return (
        b"RIFF" + struct.pack("<I", (36 + size) % 2**32) + b"WAVE"
        b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + data
    )


def refused(path, match):
    """The sentence of the refusal: one line that names the file."""
    with pytest.raises((ValueError, OSError), match=match) as refusal:
        read_sound(path)
    sentence = str(refusal.value)
    assert str(path) in sentence and "\n" not in sentence
    return sentence


# Reading


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize(("kind", "subtype"), KINDS)
def test_every_kind_of_file_gives_its_samples(tmp_path, kind, subtype, channels):
    bits = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "FLOAT": 24, "DOUBLE": 24}.get(subtype, 24)
    exact = (noise(501, channels) * 2 ** (bits - 1)).round() / 2 ** (bits - 1)
    path = tmp_path / "sound"
    path.write_bytes(encoded(exact.clamp(max=1 - 2 ** (1 - bits)).numpy(), 11025, kind, subtype))
    sound, rate = read_sound(path, mono=False)
    assert rate == 11025 and sound.dtype == torch.float32
    expected = exact.clamp(max=1 - 2 ** (1 - bits)).T.float()
    torch.testing.assert_close(sound, expected, rtol=0, atol=2.0**-24)
    torch.testing.assert_close(read_sound(path)[0], expected.mean(0))


@pytest.mark.parametrize(("bits", "step"), [(8, 2**7), (16, 2**15), (24, 2**23), (32, 2**31)])
def test_whole_numbers_become_parts_of_the_largest(tmp_path, bits, step):
    numbers = [0, 1, -1, step - 1, -step, step // 2]
    if bits == 8:  # the only kind without a sign
        data = bytes(number + 128 for number in numbers)
    else:
        data = b"".join((number % 2**bits).to_bytes(bits // 8, "little") for number in numbers)
    path = tmp_path / "a.wav"
    path.write_bytes(wav(data, bits=bits))
    expected = torch.tensor([number / step for number in numbers])
    torch.testing.assert_close(read_sound(path)[0], expected, rtol=0, atol=1e-9)


def test_floats_beyond_one_are_given_as_they_are(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(struct.pack("<3f", 0.5, -1.5, 3.0), bits=32, kind=3))
    assert read_sound(path)[0].tolist() == [0.5, -1.5, 3.0]


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_ogg_is_read_as_it_sounds(tmp_path, channels):
    samples = torch.stack([0.5 * tone(16000, 200 + 50 * c) for c in range(channels)])
    path = write_sound(tmp_path / "a.ogg", samples, 16000)
    sound, rate = read_sound(path, mono=False)
    assert rate == 16000 and sound.shape == samples.shape
    assert (sound - samples).square().mean().sqrt() < 0.02


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
@pytest.mark.parametrize("samples", [torch.tensor([0.25]), torch.zeros(1), torch.zeros(3000)])
def test_one_sample_and_silence_pass_through_everything(tmp_path, kind, samples):
    path = write_sound(tmp_path / f"a.{kind.lower()}", samples, 8000)
    for rate in (None, 4000, 11025):
        sound, found = read_sound(path, rate=rate)
        assert len(sound) == math.ceil(len(samples) * found / 8000)
        for result in (sound, normalise(sound), trim(sound), normalise(trim(sound), 0.5)):
            assert result.isfinite().all() and len(result)
            assert samples.any() or not result.any()


def test_a_suffix_does_not_mislead(tmp_path):
    for name in ("a.raw", "a.flac", "a"):
        path = tmp_path / name
        path.write_bytes(wav(struct.pack("<2h", 1, 2)))
        assert read_sound(path)[1] == 8000


def test_read_at_another_rate_is_resampled(tmp_path):
    path = write_sound(tmp_path / "a.wav", noise(2, 900) * 0.5, 8000)
    stereo, rate = read_sound(path, mono=False, rate=11025)
    assert rate == 11025
    torch.testing.assert_close(stereo, resample(read_sound(path, mono=False)[0], 8000, 11025))
    torch.testing.assert_close(read_sound(path, rate=11025)[0], stereo.mean(0))


BAD = {
    "empty": (b"", "empty"),
    "text": (b"hello, I am no sound", "begins with 68 65 6c 6c"),
    "zero samples": (wav(b""), "0 samples"),
    "rate 0": (wav(b"\1\2", rate=0), "damaged"),
    "rate below 0": (wav(b"\1\2", rate=2**32 - 8000), "damaged"),
    "no channels": (wav(b"\1\2", channels=0), "damaged"),
    "nan": (wav(struct.pack("<3f", 0, math.nan, 1), bits=32, kind=3), "1 samples of 3"),
    "inf": (wav(struct.pack("<3f", -math.inf, 0, 1), bits=32, kind=3), "1 samples of 3"),
    "beyond float32": (wav(struct.pack("<2d", 1e300, 0), bits=64, kind=3), "1 samples of 2"),
    "half a header": (wav(b"\1\2\3\4")[:30], "damaged or truncated"),
    "half its data": (wav(b"\1\2" * 50, promised=200), "100 of 200 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_sentence(tmp_path, name):
    data, match = BAD[name]
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    refused(path, match)


def test_what_is_no_file_is_refused(tmp_path):
    assert "folder" in refused(tmp_path, "is a folder")
    refused(tmp_path / "b.wav", "no sound at")


def test_a_stream_that_did_not_know_its_length_is_read(tmp_path):
    path = tmp_path / "a.wav"
    for promised in (2**32 - 1, 0x7FFFF000):
        path.write_bytes(wav(struct.pack("<3h", 1, 2, 3), promised=promised))
        assert len(read_sound(path)[0]) == 3


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, kind):
    subtype = "VORBIS" if kind == "OGG" else "PCM_16"
    data = encoded(noise(9000, 2).numpy() * 0.3, 8000, kind, subtype)
    path = tmp_path / "cut"
    for length in {*range(0, 150, 3), *range(150, len(data), len(data) // 20), len(data) - 1}:
        path.write_bytes(data[:length])
        refused(path, "truncated|not a WAV|0 samples")


def test_an_ogg_cut_off_between_two_pages_is_refused(tmp_path):
    data = encoded(noise(60_000).numpy() * 0.3, 8000, "OGG", "VORBIS")
    pages = [place for place in range(len(data)) if data[place : place + 4] == b"OggS"]
    path = tmp_path / "cut"
    assert len(pages) > 4
    for place in pages[1:]:
        path.write_bytes(data[:place])
        refused(path, "last page is not the end")


def test_what_stands_before_the_samples_of_a_wav_is_skipped(tmp_path):
    """A chunk of an odd length has a byte behind it."""
    whole, path = wav(b"\1\2" * 50), tmp_path / "a.wav"
    for note in (b"an odd length", b"an even size"):
        chunk = b"note" + struct.pack("<I", len(note)) + note + b"\0" * (len(note) % 2)
        data = bytearray(whole[:36] + chunk + whole[36:])
        data[4:8] = struct.pack("<I", len(data) - 8)
        path.write_bytes(data)
        assert len(read_sound(path)[0]) == 50
        path.write_bytes(data[:-20])
        refused(path, "80 of 100 bytes")


def test_a_flac_that_promises_too_much_does_not_fill_the_memory(tmp_path):
    data = bytearray(encoded(noise(9000).numpy(), 8000, "FLAC", "PCM_16"))
    data[21] |= 0x0F  # the highest bits of the number of samples
    data[22:26] = b"\xff" * 4
    path = tmp_path / "a.flac"
    path.write_bytes(data)
    refused(path, "damaged")


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["WAV", "FLAC", "OGG"]), st.integers(0, 400), st.integers(0, 255))
def test_a_wrong_byte_gives_a_sound_or_a_sentence(tmp_path_factory, kind, place, value):
    subtype = "VORBIS" if kind == "OGG" else "PCM_16"
    data = bytearray(encoded(noise(700).numpy() * 0.3, 8000, kind, subtype))
    data[place] = value
    path = tmp_path_factory.mktemp("sound") / "a"
    path.write_bytes(data)
    try:
        assert read_sound(path)[0].isfinite().all()
    except ValueError as error:
        assert "\n" not in str(error) and str(path) in str(error)


@pytest.mark.parametrize("rate", [0, -8000, 8000.5, math.nan, math.inf, True, None, "8000"])
def test_a_rate_that_is_none_is_refused(tmp_path, rate):
    sound = torch.zeros(5)
    path = write_sound(tmp_path / "a.wav", sound, 8000)
    tries = [lambda: resample(sound, rate, 8000), lambda: resample(sound, 8000, rate)]
    tries += [lambda: write_sound(tmp_path / "b.wav", sound, rate)]
    tries += [] if rate is None else [lambda: read_sound(path, rate=rate)]
    for attempt in tries:
        with pytest.raises(ValueError, match="rate is .*: a rate is a whole number of hertz"):
            attempt()
    assert not (tmp_path / "b.wav").exists()


def test_real_recordings_are_read_as_soundfile_does(real_data):
    for path in sorted((real_data("fsdd") / "fsdd" / "recordings").glob("*_0.wav"))[:20]:
        expected, rate = soundfile.read(path, dtype="float32")
        sound, found = read_sound(path)
        assert found == rate == 8000
        torch.testing.assert_close(sound, torch.from_numpy(expected), rtol=0, atol=0)


# Writing


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_sixteen_bits_come_back_exactly(tmp_path, suffix):
    sound = torch.arange(-32768, 32768).float() / 32768
    sound = torch.stack([sound, sound.flip(0)])
    path = write_sound(tmp_path / f"a{suffix}", sound, 44100)
    read, rate = read_sound(path, mono=False)
    assert rate == 44100
    torch.testing.assert_close(read, sound, rtol=0, atol=0)


def test_one_is_written_as_the_highest_number(tmp_path):
    path = write_sound(tmp_path / "a.wav", torch.tensor([1.0, -1.0]), 8000)
    assert read_sound(path)[0].tolist() == [32767 / 32768, -1.0]


@pytest.mark.parametrize(
    ("name", "sound", "match"),
    [
        ("a.wav", torch.tensor([0.0, math.nan]), "NaN or infinite"),
        ("a.wav", torch.tensor([0.0, -math.inf]), "NaN or infinite"),
        ("a.wav", torch.tensor([0.0, -1.25]), "reaches 1.25"),
        ("a.wav", torch.tensor([0.0, 1.0000001]), "reaches 1"),
        ("a.wav", torch.zeros(0), "0 samples"),
        ("a.wav", torch.zeros(2, 3, 4), r"\(2, 3, 4\)"),
        ("a.wav", torch.zeros(3, dtype=torch.int64), "int64"),
        ("a.mp3", torch.zeros(3), "does not end in"),
        ("a", torch.zeros(3), "does not end in"),
        ("a.flac", torch.zeros(9, 3), "9 channels"),
    ],
)
def test_what_can_not_be_written_is_refused_and_leaves_nothing(tmp_path, name, sound, match):
    with pytest.raises(ValueError, match=match) as refusal:
        write_sound(tmp_path / name, sound, 8000)
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = write_sound(tmp_path / "a.wav", torch.zeros(3), 8000)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    for name in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(OSError, match="a.wav could not be written: No space left"):
                write_sound(path, torch.ones(5), 8000)
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="could not be written: No such file"):
        write_sound(tmp_path / "none" / "a.wav", torch.zeros(3), 8000)
    assert len(read_sound(write_sound(path, torch.ones(5), 8000))[0]) == 5


def test_a_long_ogg_and_one_of_a_high_rate_do_not_end_the_process(tmp_path):
    sound = 0.1 * tone(8000, 300, seconds=150)
    assert read_sound(write_sound(tmp_path / "a.ogg", sound, 8000))[0].shape == sound.shape
    with pytest.raises(ValueError, match="at most 200000 Hz, not 200001"):
        write_sound(tmp_path / "b.ogg", sound, 200_001)


# Another rate


def by_the_sum(sound, old, new):
    """Every result as the sum over every sample, written out."""
    cutoff = 0.95 * min(1, new / old)
    results = []
    for m in range(math.ceil(len(sound) * new / old)):
        distance = torch.arange(len(sound)).double() - m * old / new
        results.append((windowed_sinc(distance, cutoff) * sound).sum())
    return torch.stack(results)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 50), st.integers(1, 50))
def test_it_is_the_sum_over_all_samples(samples, old, new):
    sound = noise(samples)
    expected = sound if old == new else by_the_sum(sound, old, new)
    torch.testing.assert_close(resample(sound, old, new), expected)


def test_it_is_the_sum_over_many_samples():
    for old, new in ((3, 2), (2, 5), (441, 160)):
        sound = noise(700)
        torch.testing.assert_close(resample(sound, old, new), by_the_sum(sound, old, new))


@pytest.mark.parametrize("new", RATES)
@pytest.mark.parametrize("old", RATES)
def test_it_equals_scipy_with_the_same_filter(old, new):
    signal = pytest.importorskip("scipy.signal")
    sound = noise(2, 4001)
    up, down = new // math.gcd(old, new), old // math.gcd(old, new)
    reach = math.ceil(64 / 0.95 * max(1, old / new)) * up
    places = torch.arange(-reach, reach + 1).double() / up
    # resample_poly multiplies by `up` what it puts zeros between.
    taps = windowed_sinc(places, 0.95 * min(1, new / old)).numpy() / up
    expected = sound.numpy()
    if old != new:
        expected = signal.resample_poly(expected, up, down, axis=-1, window=taps)
    torch.testing.assert_close(resample(sound, old, new), torch.from_numpy(expected))
    single = resample(sound.float(), old, new)
    torch.testing.assert_close(single, torch.from_numpy(expected).float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("old", "new"), [(44100, 16000), (8000, 22050), (16000, 8000), (48000, 44100)]
)
def test_a_tone_stays_that_tone(old, new):
    """Compared with the same tone, measured at the new rate; its ends are left out."""
    for part, tolerance in ((0.01, 1e-4), (0.4, 1e-4), (0.85, 1e-4), (0.91, 0.012)):
        hertz = part * min(old, new) / 2
        found, expected = resample(tone(old, hertz), old, new), tone(new, hertz)
        middle = slice(new // 8, -new // 8)
        assert (found[middle] - expected[middle]).abs().max() < tolerance


@pytest.mark.parametrize(("old", "new"), [(44100, 16000), (16000, 8000), (48000, 44100)])
def test_what_the_new_rate_can_not_hold_is_gone(old, new):
    for part in (1.0, 1.01, 1.3, 1.9, 2.05):
        if part * new < old:
            found = resample(tone(old, part * new / 2), old, new)
            level = found[new // 8 : -new // 8].abs().max()
            assert 20 * math.log10(level) < -98.5, part


def test_images_above_the_old_rate_are_gone():
    """Zeros between the samples of a tone make mirrored tones: the filter takes them out."""
    found = resample(tone(8000, 3400), 8000, 22050)[2000:-2000]
    window = torch.hann_window(len(found), dtype=torch.float64)
    spectrum = torch.fft.rfft(found * window).abs()
    hertz = torch.fft.rfftfreq(len(found), 1 / 22050)
    assert abs(hertz[spectrum.argmax()] - 3400) < 2
    assert 20 * torch.log10(spectrum[hertz > 4000].max() / spectrum.max()) < -99


def test_it_is_as_clean_as_soxr():
    soxr = pytest.importorskip("soxr")
    old, new = (0.4 * tone(rate, 440) + 0.4 * tone(rate, 6500) for rate in (44100, 16000))
    middle = slice(1000, -1000)
    theirs = torch.from_numpy(soxr.resample(old.numpy(), 44100, 16000))[middle] - new[middle]
    ours = resample(old, 44100, 16000)[middle] - new[middle]
    assert ours.abs().max() < 2e-5 and ours.abs().max() < theirs.abs().max()


def test_the_numbers_of_the_docstring():
    """Of half the lower rate: the filter's response, from its own samples."""
    spread = 64
    taps = windowed_sinc(torch.arange(-70 * spread, 70 * spread + 1).double() / spread, 0.95)
    response = torch.fft.rfft(taps, 2**19).abs() / spread
    part = torch.arange(len(response)) * spread * 2 / 2**19
    decibels = 20 * torch.log10(response)
    assert decibels[part <= 0.85].abs().max() < 1e-4
    assert decibels[part <= 0.91].abs().max() < 0.1
    assert decibels[part >= 1].max() < -99


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 3000), st.sampled_from([*RATES, 1, 7, 44099]), st.sampled_from(RATES))
def test_the_length_is_rounded_up(samples, old, new):
    if samples * new / old < 1e5:
        length = -(-samples * new // old)
        assert resample(torch.zeros(3, samples), old, new).shape == (3, length)


def test_the_same_rate_gives_the_same_sound():
    sound = noise(2, 50, dtype=torch.float32)
    assert resample(sound, 8000, 8000) is sound
    assert resample(sound, 8000, np.int64(8000)) is sound


def test_only_the_ratio_of_the_rates_counts():
    sound = noise(300)
    torch.testing.assert_close(resample(sound, 48000, 16000), resample(sound, 3, 1))


@pytest.mark.parametrize("together", [1, 2, 3, 7, 160])
def test_however_many_filters_go_together(monkeypatch, together):
    sound = noise(2, 1300)
    expected = resample(sound, 441, 160), resample(sound, 160, 441)
    monkeypatch.setattr(waveform, "MOST_TOGETHER", together)
    for found, wanted in zip((resample(sound, 441, 160), resample(sound, 160, 441)), expected):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_rates_without_a_common_divisor_stay_small():
    sound = noise(3, 500, dtype=torch.float32)
    assert resample(sound, 44100, 44099).shape == (3, 500)
    assert resample(sound, 2**31 - 1, 8000).shape == (3, 1)
    assert resample(sound[:, :2], 1, 99_991).shape == (3, 199_982)
    with pytest.raises(ValueError, match="500 samples at 1 Hz would be 22050000000 at 44100000 Hz"):
        resample(sound, 1, 44_100_000)


def test_sounds_of_a_batch_do_not_mix():
    sound = noise(2, 3, 400)
    whole = resample(sound, 5, 7)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(whole[i, j], resample(sound[i, j], 5, 7))


@pytest.mark.parametrize(("old", "new"), [(3, 2), (2, 3), (5, 4)])
def test_resampling_has_a_gradient(old, new):
    sound = noise(2, 9).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: resample(x, old, new), sound)


def test_filters_of_a_call_without_gradients_serve_one_with_gradients():
    waveform._filters.cache_clear()
    sound = noise(9)
    with torch.inference_mode():
        expected = resample(sound, 3, 2)
    sound.requires_grad_()
    found = resample(sound, 3, 2)
    found.sum().backward()
    torch.testing.assert_close(found.detach(), expected.clone())


def test_what_is_no_sound_is_refused():
    for function in (lambda x: resample(x, 2, 3), normalise, trim):
        with pytest.raises(ValueError, match="0 samples"):
            function(torch.zeros(2, 0))
        with pytest.raises(ValueError, match="int16"):
            function(torch.zeros(5, dtype=torch.int16))


# Channels, loudness, length


def test_mono_is_the_mean_of_the_channels():
    sound = noise(4, 3, 7)
    assert mix_to_mono(sound).shape == (4, 7)
    torch.testing.assert_close(mix_to_mono(sound)[2, 5], sum(sound[2, c, 5] for c in range(3)) / 3)
    with pytest.raises(ValueError, match="axis before the last"):
        mix_to_mono(torch.zeros(5))


@settings(deadline=None, max_examples=30)
@given(st.floats(1e-3, 10), st.integers(1, 5), st.integers(1, 9))
def test_the_loudest_sample_is_the_peak(peak, batch, samples):
    sound = noise(batch, samples)
    sound[0] = 0
    scaled = normalise(sound, peak)
    assert not scaled[0].any()
    for before, after in zip(sound[1:], scaled[1:]):
        torch.testing.assert_close(after, before * (peak / before.abs().max()))
        assert after.abs().max().item() == pytest.approx(peak)


def test_channels_keep_their_balance():
    sound = noise(5, 2, 30) * torch.tensor([[1.0], [0.1]])
    scaled = normalise(sound, channels=True)
    ratio = scaled / sound
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio))
    torch.testing.assert_close(scaled.abs().amax((1, 2)), torch.ones(5).double())


def test_the_quietest_sound_is_made_loud():
    smallest = torch.tensor([0.0, 1e-45, -1e-45])
    assert normalise(smallest).tolist() == [0.0, 1.0, -1.0]


def test_normalising_has_a_gradient():
    assert torch.autograd.gradcheck(normalise, noise(2, 6).requires_grad_())


def librosa_trim(*arguments, **options):
    effects = pytest.importorskip("librosa").effects
    return effects.trim(*arguments, **options)


@pytest.mark.parametrize("below", [20, 35, 60])
def test_trim_equals_librosa_on_every_recording(real_data, below):
    pytest.importorskip("librosa")
    paths = sorted((real_data("fsdd") / "fsdd" / "recordings").glob("*.wav"))
    for path in paths[below % 3 :: 1 if below == 60 else 10]:
        sound, _ = read_sound(path)
        expected, index = librosa_trim(sound.numpy(), top_db=below)
        assert loud_part(sound, below) == tuple(index), path.name
        torch.testing.assert_close(trim(sound, below), torch.from_numpy(expected))


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 3),
    st.integers(1, 900),
    st.integers(1, 80),
    st.integers(1, 40),
    st.integers(10, 70),
)
def test_trim_equals_librosa_for_any_frames(channels, samples, frame, hop, below):
    fade = torch.exp(-((torch.arange(samples) - samples / 2) ** 2) / (0.01 * samples**2 + 1))
    sound = noise(channels, samples, dtype=torch.float32) * fade
    if samples + 2 * (frame // 2) < frame:  # one frame is too long for librosa
        return
    _, index = librosa_trim(sound.numpy(), top_db=below, frame_length=frame, hop_length=hop)
    assert loud_part(sound, below, frame, hop) == tuple(index)


def test_a_loud_channel_keeps_a_quiet_one():
    sound = torch.zeros(2, 9000)
    sound[0, 4000:5000] = 0.5
    sound[1, 100:200] = 1e-6
    assert trim(sound).shape == (2, 3072)
    with pytest.raises(ValueError, match="frames of 0 samples"):
        trim(sound, frame=0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_a_batch_holds_every_sound(lengths):
    sounds = [noise(length) for length in lengths]
    batch, real = pad_together(sounds)
    assert batch.shape == real.shape == (len(lengths), max(lengths))
    assert batch.dtype == torch.float64 and real.dtype == torch.bool
    assert not batch[~real].any()
    for row, mask, sound in zip(batch, real, sounds):
        torch.testing.assert_close(row[mask], sound)
        assert mask[: len(sound)].all() and mask.sum() == len(sound)


def test_no_sounds_and_stereo_are_refused():
    with pytest.raises(ValueError, match="0 sounds"):
        pad_together([])
    with pytest.raises(ValueError, match=r"\(2, 5\)"):
        pad_together([torch.zeros(3), torch.zeros(2, 5)])


def test_a_whole_rate_is_a_rate():
    assert sound_files.check_rate(8000.0) == 8000
    assert type(sound_files.check_rate(np.int32(8000))) is int


def run_shapes() -> None:
    import tempfile
    from pathlib import Path

    import torch

    from scratchmm.audio import waveform

    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.wav", "a.ogg"):
            path = waveform.write_sound(Path(folder) / name, torch.zeros(2, 9), 8000)
            waveform.read_sound(path, rate=6000)
    waveform.loud_part(torch.ones(3, 70), frame=10, hop=5)
    waveform.pad_together([torch.zeros(5), torch.zeros(7)])


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "audio/waveform.py")
