"""A checkpoint is all there or not there, and reading one never runs code."""

import io
import os
import pickle
import re
import zipfile

import pytest
import torch

from scratchmm.training.checkpoint import (
    differences,
    load_checkpoint,
    read_torch_file,
    save_checkpoint,
)

STATE = {
    "model": {"weight": torch.arange(6.0).reshape(2, 3), "step": torch.tensor(7)},
    "settings": {"steps": 10, "name": "a b", "rate": 0.1, "none": None},
    "list": [1, (2, 3)],
}


class Trap:
    """Unpickling it would create a file, which proves that code ran."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_round_trip(tmp_path):
    save_checkpoint(tmp_path / "new" / "deep" / "c.pt", STATE)
    loaded = load_checkpoint(tmp_path / "new" / "deep" / "c.pt")
    torch.testing.assert_close(loaded["model"], STATE["model"], rtol=0, atol=0)
    assert loaded["settings"] == STATE["settings"] and loaded["list"] == STATE["list"]
    assert sorted(loaded) == ["list", "model", "settings"]
    assert [path.name for path in (tmp_path / "new" / "deep").iterdir()] == ["c.pt"]


@pytest.mark.parametrize("failing", ["save", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch, failing):
    path = tmp_path / "c.pt"
    save_checkpoint(path, STATE)
    before = path.read_bytes()

    def half(state, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    target = torch if failing == "save" else os
    monkeypatch.setattr(target, failing, half if failing == "save" else fail)
    with pytest.raises(OSError, match="c.pt could not be written: No space left on device"):
        save_checkpoint(path, {"model": {"weight": torch.zeros(9)}})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_with_the_file(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "open", lambda path, mode: Full(path, mode))
    with pytest.raises(OSError, match="c.pt could not be written: ") as refusal:
        save_checkpoint(tmp_path / "c.pt", STATE)
    assert "enforce" not in str(refusal.value) and list(tmp_path.iterdir()) == []

    def speaks_of_itself(state, file):
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", speaks_of_itself)
    with pytest.raises(OSError, match="c.pt could not be written: the disk may be full"):
        save_checkpoint(tmp_path / "c.pt", STATE)
    assert list(tmp_path.iterdir()) == []


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    calls, sizes = [], []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(handle):
        calls.append("fsync")
        sizes.append(os.fstat(handle).st_size)
        real_fsync(handle)

    def replace(source, target):
        # whole already: it can be read under its temporary name
        assert "weight" in torch.load(source, weights_only=True)["model"]
        calls.append("replace")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    # small, so that it would fit the buffer of a file that nobody flushed
    save_checkpoint(tmp_path / "c.pt", {"model": {"weight": torch.zeros(1)}})
    assert calls[:2] == ["fsync", "replace"]
    assert sizes[0] == (tmp_path / "c.pt").stat().st_size


@pytest.mark.parametrize("wrap", ["zip", "legacy", "plain pickle"])
def test_code_is_refused_and_does_not_run(tmp_path, wrap, recwarn):
    path, proof = tmp_path / "c.pt", tmp_path / "ran"
    state = {"model": {"weight": Trap(proof)}}
    if wrap == "plain pickle":
        path.write_bytes(pickle.dumps(state, protocol=2))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=wrap == "zip")
    with pytest.raises(ValueError, match="would call (posix|nt).mkdir when read") as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not proof.exists() and not recwarn.list  # torch warns of a bare pickle beforehand


@pytest.mark.parametrize("part", [0.0, 0.001, 0.02, 0.3, 0.6, 0.99, 0.9999])
def test_truncated_files_are_refused(tmp_path, part):
    path = tmp_path / "c.pt"
    save_checkpoint(path, STATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ValueError, match="cut off|is empty|is damaged") as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"PK", b"hello", b"\x80\x02", bytes(500), b"\x89PNG\r\n\x1a\n"]
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "c.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cut off|damaged or was not written by torch.save"):
        load_checkpoint(path)


def test_a_flipped_bit_is_noticed(tmp_path):
    path, tensor = tmp_path / "c.pt", torch.full((50, 50), 1.5)
    save_checkpoint(path, {"model": {"weight": tensor}})
    content = bytearray(path.read_bytes())
    content[content.index(tensor.numpy().tobytes()) + 5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged: .* is not what was written"):
        load_checkpoint(path)


def test_another_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "c.pt", "w") as archive:
        archive.writestr("notes.txt", "no tensors here")
    with pytest.raises(ValueError, match="was not written by torch.save"):
        load_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize("state", [{"model": {}}, [1, 2], {"format": "scratchmm checkpoint 0"}])
def test_another_format_is_refused(tmp_path, state):
    torch.save(state, tmp_path / "c.pt")
    with pytest.raises(ValueError, match="is not a checkpoint of this library"):
        load_checkpoint(tmp_path / "c.pt")


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*nowhere.pt"):
        load_checkpoint(tmp_path / "nowhere.pt")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_checkpoint(tmp_path)


def test_legacy_files_of_tensors_are_read(tmp_path):
    weights = {"weight": torch.arange(3.0)}
    torch.save(weights, tmp_path / "c.bin", _use_new_zipfile_serialization=False)
    torch.testing.assert_close(read_torch_file(tmp_path / "c.bin"), weights)


def test_differences_name_every_one():
    expected = {
        "a": torch.zeros(2, 3),
        "b": torch.zeros(4),
        "c": torch.zeros(1),
        "d": torch.zeros(2),
    }
    given = {"a": torch.zeros(3, 2), "b": torch.ones(4), "d": [0, 0], "e": torch.zeros(5)}
    assert differences(expected, given) == [
        "a is (3, 2) and should be (2, 3)",
        "c is missing",
        "d is a list and should be a tensor",
        "e is surplus",
    ]
    assert differences(expected, dict(expected)) == []


def rewritten(path, change):
    """The archive with its members changed by change(name, content), and sums that fit."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
    path.write_bytes(out.getvalue())


def test_damage_in_the_table_of_an_archive(tmp_path):
    path = tmp_path / "c.pt"
    for place, offset, change in [
        ("rfind", 3, 1),  # the sign that an entry begins with
        ("find", 46, 128),  # a name that is no longer text
        ("find", 9, 8),  # and one that should be UTF-8
        ("find", 10, 64),  # an unknown compression
        ("find", 42, 255),  # the place of the member
    ]:
        save_checkpoint(path, STATE)
        content = bytearray(path.read_bytes())
        at = getattr(content, place)(b"PK\x01\x02")
        content[at + offset] ^= change
        content[at + 46] |= 128 * (offset == 9)
        path.write_bytes(content)
        with pytest.raises(ValueError, match="c.pt is (cut off or )?damaged: ") as refusal:
            load_checkpoint(path)
        assert "\n" not in str(refusal.value), (place, offset)


@pytest.mark.parametrize(
    "pickled",
    [b"\x80\x02X\x01", b"", b"\x80\x02]q\x00.", b"\x80\x02K\x01b.", b"\x80\x02(t(t\x85R."],
)
def test_damage_in_the_list_of_what_is_there(tmp_path, pickled):
    save_checkpoint(tmp_path / "c.pt", STATE)
    rewritten(tmp_path / "c.pt", lambda name, old: pickled if name.endswith("data.pkl") else old)
    with pytest.raises(ValueError, match="c.pt is (damaged|not a checkpoint)") as refusal:
        load_checkpoint(tmp_path / "c.pt")
    assert "\n" not in str(refusal.value)


def test_damage_in_a_file_before_archives(tmp_path):
    path = tmp_path / "w.bin"
    torch.save({"w": torch.ones(50)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    key = re.search(rb"\d{12,}", content)[0]  # of the storage, which is looked for again later
    path.write_bytes(content.replace(key, key[:-1] + b"~", 1))
    with pytest.raises(ValueError, match="w.bin is damaged or was not written by torch.save"):
        read_torch_file(path)


def test_every_flipped_bit_of_an_archive_is_refused_or_harmless(tmp_path):
    path = tmp_path / "w.pt"
    weights = {"w": torch.arange(40.0), "b": torch.ones(3).half()}
    torch.save(weights, path)
    content = path.read_bytes()
    read = 0
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            torch.testing.assert_close(read_torch_file(path), weights, rtol=0, atol=0)
            read += 1
        except ValueError as refusal:
            assert str(path) in str(refusal) and "\n" not in str(refusal)
    assert 0 < read < len(content) / 7 / 2


def test_other_kinds_of_file_are_named(tmp_path):
    path = tmp_path / "c.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 9\n")
    with pytest.raises(
        ValueError, match="c.pt was not written by torch.save: it is a pointer of G"
    ):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")]
)
def test_too_little_memory_is_not_called_damage(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    save_checkpoint(tmp_path / "c.pt", STATE)
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(MemoryError, match="c.pt asks for more memory than there is"):
        load_checkpoint(tmp_path / "c.pt")
