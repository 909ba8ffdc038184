"""A file is there whole or not at all; JSON is read or refused by its name and line."""

import multiprocessing
import os
import re
import resource
import signal
import stat

import pytest

from scratchmm.files import atomic_file, atomic_write, read_json, remove_leftovers
from scratchmm.sentences import shortened


def test_text_and_bytes_take_the_old_files_place(tmp_path):
    path = tmp_path / "out.txt"
    atomic_write(path, "grün")
    assert path.read_bytes() == "grün".encode()
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["out.txt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_ends_midway_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "out.txt"
    atomic_write(path, "old")
    with pytest.raises((OSError, KeyboardInterrupt)) as caught, atomic_file(path) as file:
        file.write(b"half of the n")
        raise error
    if isinstance(error, OSError):
        assert str(caught.value) == f"{path} could not be written: No space left on device"
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["out.txt"]


def test_a_limit_on_file_sizes_is_told_with_the_file(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(
            OSError, match=re.escape(f"{tmp_path / 'a.txt'} could not be written: ")
        ):
            atomic_write(tmp_path / "a.txt", "x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "far" / "real.txt")
    atomic_write(tmp_path / "link.txt", "there")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "far" / "real.txt").read_text() == "there"


def _write_often(path, letter, count):
    for _ in range(150):
        atomic_write(path, letter * count)


def test_two_writers_of_one_file_never_mix(tmp_path):
    path = tmp_path / "shared.txt"
    context = multiprocessing.get_context("fork")
    sizes = {"a": 20_000, "b": 70_000}
    writers = [context.Process(target=_write_often, args=(path, *one)) for one in sizes.items()]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            text = path.read_text()
            assert text == text[0] * sizes[text[0]]
            seen.add(text[0])
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert os.listdir(tmp_path) == ["shared.txt"] and seen


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    names = [f".a.pt.{child}-1.part", f".b.pt.{os.getpid()}-1.part", ".c.part", "d.part"]
    for name in [*names, f".e.pt.{10**20}-1.part"]:  # so large a number no process has
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(names[1:])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"a": 1,\n "b": }', "line 2 of .*c.json is no JSON: Expecting value"),
        (b"", "line 1 of .*c.json is no JSON"),
        (b'{"a":\n\n"\xff"}', r"line 3 of .*c.json is not UTF-8 \(byte 8\)"),
        (b"[" * 200_000, "c.json is nested too deeply"),
        (b"9" * 5000, "c.json holds a number with too many digits"),
    ],
)
def test_json_that_is_none_is_refused_by_name_and_line(tmp_path, content, sentence):
    path = tmp_path / "c.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as caught:
        read_json(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_json_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "c.json").write_bytes(b'\xef\xbb\xbf{"a": [1, 2]}')
    assert read_json(tmp_path / "c.json") == {"a": [1, 2]}


@pytest.mark.parametrize("most", [12, 13, 40, 100])
def test_long_quotations_are_shortened_in_the_middle(most):
    text = "begins " + "x" * 200 + " ends"
    said = shortened(text, most)
    assert len(said) == most and said.startswith("beg") and said.endswith("ds") and " ... " in said
    assert shortened("short", most) == "short"
