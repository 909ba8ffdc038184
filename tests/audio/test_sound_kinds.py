"""Files of many kinds, whole, cut off, in a row and behind tags: read to the end, or refused."""

import io
import struct

import numpy as np
import pytest
import soundfile
import torch

from scratchmm.audio import sound_files
from scratchmm.audio.flac_length import _frame_end, check_8, with_length
from scratchmm.audio.sound_kinds import links_of, page_check
from scratchmm.audio.waveform import read_sound

NOISE = np.random.default_rng(0).integers(-20_000, 20_000, (9000, 2)).astype(np.int16)


def encoded(kind, samples=NOISE, rate=8000, **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, **options)
    return buffer.getvalue()


def read(path, content, **options):
    path.write_bytes(content)
    return read_sound(path, **options)


def refused(path, content, match):
    with pytest.raises(ValueError, match=match) as told:
        read(path, content)
    assert str(path) in str(told.value) and "\n" not in str(told.value)
    assert "object at" not in str(told.value) and "BytesIO" not in str(told.value)


def chunked(*chunks, kind=b"RIFF", form=b"WAVE", order="<"):
    parts = [name + struct.pack(f"{order}I", size) + data for name, size, data in chunks]
    body = form + b"".join(parts)
    return kind + struct.pack(f"{order}I", len(body)) + body


def pcm(channels=1, rate=8000, bits=16, tag=1):
    width = channels * bits // 8
    return b"fmt ", 16, struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits)


def of_64(kind=b"RF64", promised=None, samples=NOISE[:, 0]):
    """An RF64 or BW64 as EBU Tech 3306 describes it."""
    data = samples.tobytes()
    size = len(data) if promised is None else promised
    sizes = b"ds64", 28, struct.pack("<QQQI", size + 72, size, size // 2, 0)
    return chunked(sizes, pcm(), (b"data", 0xFFFF_FFFF, data), kind=kind)


WHOLE = {
    "WAV": encoded("WAV"),
    "extensible": encoded("WAVEX", subtype="PCM_16"),
    "RIFX": encoded("WAV", endian="BIG", subtype="PCM_16"),
    "RF64": encoded("RF64"),
    "W64": encoded("W64"),
    "AIFF": encoded("AIFF"),
    "AIFC": encoded("AIFF", endian="LITTLE", subtype="PCM_16"),
    "FLAC": encoded("FLAC"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_read_and_a_part_of_it_refused(tmp_path, name):
    path, content = tmp_path / "a.wav", WHOLE[name]
    sound, rate = read(path, content, mono=False)
    assert rate == 8000 and (sound.T.numpy() * 32_768 == NOISE).all()
    for part in (0.1, 0.5, 0.9, 0.999):
        refused(path, content[: int(len(content) * part)], "truncated")


@pytest.mark.parametrize("name", WHOLE)
def test_tags_before_and_behind_change_nothing(tmp_path, name):
    tag = b"ID3\4\0\0\0\0\1\2" + b"\xff" * 130
    footed = b"ID3\4\0\x10\0\0\0\x0a" + bytes(10) + b"3DI\4\0\x10\0\0\0\x0a"
    old = b"TAG" + b"title".ljust(125, b"\0")
    for content in (tag + WHOLE[name], tag + footed + WHOLE[name], WHOLE[name] + old):
        sound, _ = read(tmp_path / "a", content, mono=False)
        assert (sound.T.numpy() * 32_768 == NOISE).all()
    refused(tmp_path / "a", tag + WHOLE[name][:1000], "truncated")


@pytest.mark.parametrize("name", WHOLE)
def test_of_two_files_in_a_row_not_only_the_first_is_read(tmp_path, name):
    refused(tmp_path / "a", WHOLE[name] * 2, "second|2 chunks")


@pytest.mark.parametrize("kind", [b"RF64", b"BW64"])
def test_sizes_of_64_bits_count(tmp_path, kind):
    path = tmp_path / "a.wav"
    assert len(read(path, of_64(kind))[0]) == len(NOISE)
    refused(path, of_64(kind, promised=40_000), "18000 of 40000 bytes of sound are there")
    refused(path, of_64(kind)[:-1], "17999 of 18000 bytes")
    small = chunked(pcm(), (b"data", 6, b"\1\0\2\0\3\0"), (b"axml", 1, b"<\0"), kind=kind)
    if kind == b"BW64":  # without sizes of 64 bits it is a WAV
        assert (read(path, small)[0] * 32_768).tolist() == [1, 2, 3]


def test_two_chunks_of_sound_are_not_read_as_one(tmp_path):
    half = (b"data", 4, b"\1\0\2\0")
    refused(tmp_path / "a.wav", chunked(pcm(), half, half), "holds 2 chunks of sound")
    refused(tmp_path / "a.wav", chunked(pcm()), "holds no chunk of sound")
    note = (b"LIST", 5, b"abcde\0")
    assert len(read(tmp_path / "a.wav", chunked(note, pcm(), note, half, note))[0]) == 2


REFUSED = {
    "rate 0": chunked(pcm(rate=0), (b"data", 4, bytes(4))),
    "no channels": chunked(pcm(channels=0), (b"data", 4, bytes(4))),
    "0 bits": chunked(pcm(bits=0), (b"data", 4, bytes(4))),
    "2000 channels": chunked(pcm(channels=2000), (b"data", 4000, bytes(4000))),
    "an MP3 inside": chunked(pcm(tag=0x55), (b"data", 4, bytes(4))),
    "a FLAC's head": WHOLE["FLAC"][:30],
    "an AIFF without sound": chunked(kind=b"FORM", form=b"AIFF", order=">"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_refusal_names_a_thing_in_memory(tmp_path, name):
    refused(tmp_path / f"{name}.wav", REFUSED[name], "damaged|truncated")


def test_nor_does_a_refusal_to_write(tmp_path):
    with pytest.raises(ValueError, match=r"a\.wav can't hold 2000 channels") as told:
        sound_files.encode(tmp_path / "a.wav", torch.zeros(2000, 3), 8000)
    assert "object at" not in str(told.value)


NAMED = {
    "an MP3 file": encoded("MP3"),
    "an MP3": b"ID3\3\0\0\0\0\0\2ab" + b"\0\0" + encoded("MP3"),
    "a CAF file": encoded("CAF"),
    "an AU file": encoded("AU"),
    "an AAC file": b"\xff\xf1\x50\x80",
    "M4A": b"\0\0\0\x20ftypM4A ",
    "WMA": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    "WebM": b"\x1a\x45\xdf\xa3",
    "MIDI": b"MThd\0\0\0\6",
    "AMR": b"#!AMR\n",
    "AVI ": b"RIFF\x10\0\0\0AVI LIST",
    "ILBM": b"FORM\0\0\0\x10ILBM",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "web page": b"<!DOCTYPE html>",
    "begins with 01 02 03 04": b"\1\2\3\4",
}


@pytest.mark.parametrize("name", NAMED)
def test_what_is_not_read_is_refused_by_its_name(tmp_path, name):
    refused(tmp_path / "a.wav", NAMED[name] + bytes(40), name)


# FLAC


def unknown(content):
    """A FLAC whose head says 0 samples: not known."""
    fields = int.from_bytes(content[18:26]) >> 36 << 36
    return content[:18] + fields.to_bytes(8) + content[26:]


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 7999, 96_000, 12_345])
@pytest.mark.parametrize("samples", [1, 17, 300, 4096, 4097, 70_000])
def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path, rate, samples):
    whole = np.random.default_rng(samples).integers(-9000, 9000, samples).astype(np.int16)
    content = unknown(encoded("FLAC", whole, rate))
    assert with_length(tmp_path, content) == encoded("FLAC", whole, rate)
    sound, found = read(tmp_path / "a.flac", content)
    assert found == rate and (sound.numpy() * 32_768 == whole).all()


def test_many_frames_have_numbers_of_several_bytes(tmp_path):
    content = encoded("FLAC", np.zeros(4096 * 2100, dtype=np.int16))  # 2100 needs 3 bytes
    assert with_length(tmp_path, unknown(content)) == content


def test_a_cut_off_flac_of_unknown_length_is_refused(tmp_path):
    content = unknown(WHOLE["FLAC"])
    for length in (60, 200, len(content) // 2, len(content) - 1):
        refused(tmp_path / "a.flac", content[:length], "truncated")
    for lost in (1, 100):
        with pytest.raises(ValueError, match="its last frame is not all there"):
            with_length(tmp_path, content[:-lost])
    refused(tmp_path / "a.flac", content * 2, "holds a second FLAC behind the first")


def test_frames_of_varying_length_say_at_which_sample_they_begin():
    for number, coded in ((100, b"\x64"), (300, b"\xc4\xac"), (70_000, b"\xf0\x91\x85\xb0")):
        for varying in (0, 1):
            head = bytes([0xFF, 0xF8 | varying, 0xC4, 0x08]) + coded  # 4096 samples at 8000 Hz
            end = _frame_end(head + bytes([check_8(head)]), usual=1000)
            assert end == (number if varying else number * 1000) + 4096
            assert _frame_end(head + bytes([check_8(head) ^ 1]), usual=1000) == 0


# OGG


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_streams_in_a_row_are_read_one_after_the_other(tmp_path, subtype):
    tones = [np.sin(np.arange(count) * 0.1) * 0.5 for count in (8000, 3000)]
    one, two = (encoded("OGG", tone, 48_000, subtype=subtype) for tone in tones)
    path = tmp_path / "a.ogg"
    alone = [read(path, content)[0] for content in (one, two)]
    for content in (one + two, one + two + b"TAG" + bytes(125)):
        chained, _ = read(path, content)
        torch.testing.assert_close(chained, torch.cat(alone), rtol=0, atol=0)
    refused(path, one + two[:-1], "truncated")
    refused(
        path, one + encoded("OGG", tones[1], 16_000), "chain of sounds of 1 .* at 48000 .* 16000"
    )


def pages(content):
    starts = [place for place in range(len(content)) if content[place : place + 4] == b"OggS"]
    return [content[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]


def test_a_page_that_is_missing_or_spoilt_is_not_passed_over(tmp_path):
    path = tmp_path / "a.ogg"
    content = encoded("OGG", np.random.default_rng(0).uniform(-0.3, 0.3, 60_000))
    every = pages(content)
    assert len(every) > 5 and b"".join(every) == content
    refused(path, b"".join(every[:4] + every[5:]), "number 4 is missing")
    place = len(b"".join(every[:4])) + 100
    spoilt = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    refused(path, spoilt, "the check sum of its page 4 is wrong")
    refused(path, b"".join([*every[:4], b"noise", *every[4:]]), "an OGG page should begin")
    other = encoded("OGG", np.zeros(99))
    aside = bytearray(pages(other)[0])
    aside[14:18], aside[22:26] = b"abcd", bytes(4)
    aside[22:26] = struct.pack("<I", page_check(bytes(aside)))
    refused(path, every[0] + bytes(aside) + b"".join(every[1:]), "2 streams side by side")
    assert links_of(path, content) == [content]


# Too long, too loud


def test_a_sound_of_hours_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(sound_files, "MOST", 17_999)
    refused(
        tmp_path / "a", WHOLE["FLAC"], r"promises 9000 samples in 2 channels: more than the 17999"
    )
    monkeypatch.setattr(sound_files, "MOST", 18_000)
    assert len(read(tmp_path / "a", WHOLE["FLAC"])[0]) == 9000


def test_floats_so_loud_that_their_sums_are_infinite_are_refused(tmp_path):
    path = tmp_path / "a.wav"
    for loud in (3.2e38, 1e18, -1e13):
        content = encoded("WAV", np.full((300, 2), loud, dtype="float32"), subtype="FLOAT")
        refused(path, content, r"a\.wav holds samples of up to .*more than 1e\+12")
    content = encoded("WAV", np.full((300, 2), 2.0**31, dtype="float32"), subtype="FLOAT")
    assert read(path, content, rate=16_000)[0].isfinite().all()


def test_a_wav_whose_blocks_do_not_fit_its_numbers_is_refused(tmp_path):
    data = struct.pack("<3i", -(2**23), 2**23 - 1, 1)  # numbers of 24 bits, 4 bytes each
    for tag in (1, 0xFFFE):
        head = struct.pack("<HHIIHH", tag, 1, 8000, 32_000, 4, 24)
        content = chunked((b"fmt ", 16, head), (b"data", len(data), data))
        refused(tmp_path / "a.wav", content, "blocks of 4 bytes for 1 channels of 24 bits, .* 3:")
    head = struct.pack("<HHIIHH", 1, 1, 8000, 16_000, 2, 12)  # 12 bits fill 2 bytes
    content = chunked((b"fmt ", 16, head), (b"data", 4, struct.pack("<2h", -32768, 16)))
    assert read(tmp_path / "a.wav", content)[0].tolist() == [-1, 16 / 32768]


@pytest.mark.parametrize(("form", "kind"), [(b"AIFF", b""), (b"AIFC", b"NONE\0\0")])
def test_an_aiff_with_fewer_samples_than_it_says_is_refused(tmp_path, form, kind):
    samples = NOISE[:5, 0].astype(">i2").tobytes()
    for said, offset in ((5, 0), (5, 4), (6, 0), (6, 4)):
        rate = struct.pack(">HQ", 16383 + 12, 8000 << 51)  # 8000 = 1.953 * 2^12
        common = struct.pack(">hIh", 1, said, 16) + rate + kind
        sound = struct.pack(">II", offset, 0) + bytes(offset) + samples
        chunks = (b"COMM", len(common), common), (b"SSND", len(sound), sound)
        content = chunked(*chunks, kind=b"FORM", form=form, order=">")
        if said == 5:
            found, rate = read(tmp_path / "a.aiff", content)
            assert (found * 32768).tolist() == NOISE[:5, 0].tolist() and rate == 8000
        else:
            sizes = f"{18 + offset} of {20 + offset} bytes of sound are there"
            refused(tmp_path / "a.aiff", content, f"truncated: {sizes}")
