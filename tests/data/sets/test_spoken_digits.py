import shutil

import numpy as np
import pytest
import soundfile
import torch

from scratchmm.data.sets.mnist import DIGITS
from scratchmm.data.sets.spoken_digits import (
    SpokenDigits,
    leave_one_speaker_out,
    load_spoken_digits,
    official_split,
    parse_name,
)

NAMES = ["7_bo_10.wav", "7_bo_2.wav", "0_bo_2.wav", "7_ann_4.wav", "7_ann_5.wav", "3_cy-2_0.wav"]


def write(path, value, samples=40, rate=8000, **kind):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(samples, value), rate, **kind)
    return path


@pytest.fixture
def folder(tmp_path):
    """Six recordings, each of a length and a value that tell which it is."""
    for place, name in enumerate(NAMES, 1):
        write(tmp_path / "fsdd" / "recordings" / name, place / 8, 10 * place)
    return tmp_path


def test_every_recording_is_read_with_what_its_name_tells_in_the_order_of_numbers(folder):
    data = load_spoken_digits(folder)
    order = [2, 5, 3, 4, 1, 0]  # by digit, speaker and index, where 10 comes after 2
    assert data.labels.tolist() == [0, 3, 7, 7, 7, 7] and data.labels.dtype == torch.int64
    assert data.speakers == ["bo", "cy-2", "ann", "ann", "bo", "bo"]
    assert data.indices.tolist() == [2, 0, 4, 5, 2, 10]
    for sound, place in zip(data.sounds, order, strict=True):
        torch.testing.assert_close(sound, torch.full((10 * (place + 1),), (place + 1) / 8))
    assert data.names[7] == "seven" and tuple(data.names) == DIGITS


def test_the_folder_may_be_named_at_three_heights_or_by_the_environment(folder, monkeypatch):
    expected = load_spoken_digits(folder)
    monkeypatch.setenv("SCRATCHMM_DATA", str(folder))
    for root in (folder / "fsdd", folder / "fsdd" / "recordings", None):
        got = load_spoken_digits(root)
        assert got.speakers == expected.speakers
        assert all(torch.equal(a, b) for a, b in zip(got.sounds, expected.sounds, strict=True))


def test_sounds_have_the_rate_that_is_asked_for(folder):
    own = write(folder / "fsdd" / "recordings" / "9_me_0.wav", 0.5, samples=441, rate=44_100)
    assert [len(sound) for sound in load_spoken_digits(folder).sounds] == [
        30,
        60,
        40,
        50,
        20,
        10,
        80,
    ]
    assert [len(sound) for sound in load_spoken_digits(folder, rate=16_000).sounds][-1] == 160
    own.unlink()
    twice = load_spoken_digits(folder, rate=16_000).sounds
    assert [len(sound) for sound in twice] == [60, 120, 80, 100, 40, 20]


def test_without_the_set_the_sentence_says_where_to_get_it(tmp_path):
    sentence = "^no recordings .*fsdd/recordings.* are published at https://github.com/Jakobovski/"
    with pytest.raises(FileNotFoundError, match=sentence) as refusal:
        load_spoken_digits(tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "name",
    [
        "seven.wav",
        "12_ann_3.wav",
        "7_ann.wav",
        "7_ann_x.wav",
        "7__3.wav",
        "x_ann_3.wav",
        "7_a_b_3.wav",
    ],
)
def test_a_bad_name_is_refused_with_the_name(folder, name):
    write(folder / "fsdd" / "recordings" / name, 0.5)
    sentence = f"{name} is not named digit_speaker_index.wav, such as 7_jackson_32.wav$"
    with pytest.raises(ValueError, match=sentence):
        load_spoken_digits(folder)


def test_the_same_recording_twice_is_refused(folder):
    write(folder / "fsdd" / "recordings" / "7_bo_02.wav", 0.5)
    with pytest.raises(ValueError, match="7_bo_2.wav and 7_bo_02.wav are the same recording"):
        load_spoken_digits(folder)


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("this is no sound, whatever its name says")


def no_samples(path):
    write(path, 0.0, samples=0)


def no_numbers(path):
    write(path, np.nan, subtype="FLOAT")


@pytest.mark.parametrize("spoil", [cut, empty, text, no_samples, no_numbers])
def test_a_bad_file_is_refused_in_a_sentence_with_its_name(folder, spoil):
    spoil(folder / "fsdd" / "recordings" / "7_ann_5.wav")
    with pytest.raises(ValueError, match="7_ann_5.wav") as refusal:
        load_spoken_digits(folder)
    assert "\n" not in str(refusal.value)


def test_a_name_is_taken_apart():
    assert parse_name("somewhere_3/0_theo_49.wav") == (0, "theo", 49)


def test_the_official_test_is_recordings_0_to_4(folder):
    train, test = official_split(load_spoken_digits(folder))
    assert test.indices.tolist() == [2, 0, 4, 2] and train.indices.tolist() == [5, 10]
    assert test.labels.tolist() == [0, 3, 7, 7] and test.speakers == ["bo", "cy-2", "ann", "bo"]
    assert [len(sound) for sound in train.sounds] == [50, 10]


def test_a_speaker_that_is_left_out_is_never_heard_in_training(folder):
    data = load_spoken_digits(folder)
    train, test = leave_one_speaker_out(data, "bo")
    assert set(test.speakers) == {"bo"} and set(train.speakers) == {"ann", "cy-2"}
    assert [len(sound) for sound in test.sounds] == [30, 20, 10]
    assert test.labels.tolist() == [0, 7, 7] and train.indices.tolist() == [0, 4, 5]
    with pytest.raises(ValueError, match="^there is no speaker 'dan', only ann, bo, cy-2$"):
        leave_one_speaker_out(data, "dan")


def test_a_part_is_chosen_by_mask_or_by_place():
    data = SpokenDigits(
        [torch.full((n,), n / 9) for n in range(1, 6)],
        torch.arange(5),
        list("abcde"),
        torch.arange(5) + 10,
    )
    for chosen in (torch.tensor([False, True, False, True, False]), torch.tensor([1, 3])):
        part = data.part(chosen)
        assert [len(sound) for sound in part.sounds] == [2, 4] and part.speakers == ["b", "d"]
        assert part.labels.tolist() == [1, 3] and part.indices.tolist() == [11, 13]
    assert data.part(torch.tensor([4, 0])).speakers == ["e", "a"]


def test_the_published_recordings(real_data):
    root = real_data("fsdd")
    data = load_spoken_digits(root)
    assert len(data.sounds) == 3000 and data.labels.bincount().tolist() == [300] * 10
    assert {len(sound.shape) for sound in data.sounds} == {1}
    assert sum(map(len, data.sounds)) / 8000 == pytest.approx(21.9 * 60, abs=3)
    assert max(sound.abs().max() for sound in data.sounds) <= 1
    train, test = official_split(data)
    assert len(train.sounds) == 2700 and len(test.sounds) == 300
    assert test.labels.bincount().tolist() == [30] * 10 and max(test.indices) == 4
    names = sorted(set(data.speakers))
    assert names == ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    for name in names:
        others, alone = leave_one_speaker_out(data, name)
        assert len(alone.sounds) == 500 and name not in others.speakers
    place = 1234
    row = f"{data.labels[place]}_{data.speakers[place]}_{data.indices[place]}.wav"
    raw, rate = soundfile.read(root / "fsdd" / "recordings" / row, dtype="int16")
    assert rate == 8000 and torch.equal(data.sounds[place] * 32768, torch.from_numpy(raw).float())


def test_a_copy_without_a_folder_of_its_own(real_data, tmp_path):
    name = "5_theo_3.wav"
    shutil.copy(real_data("fsdd") / "fsdd" / "recordings" / name, tmp_path / name)
    assert load_spoken_digits(tmp_path).labels.tolist() == [5]
