"""`learn`: what each action prints, its exit status, and that it never writes over anything."""

import itertools
import json
import shlex
import threading
import time

import pytest

from scratchmm.commands import main

SOLVED = "def scaled(x, by=2.0):\n    return x * by + 3\n"
WRONG = "def scaled(x, by=2.0):\n    return x * by\n"


@pytest.fixture
def desk(fake, tmp_path, monkeypatch):
    """A learner's folder, just begun; the current folder is the one above."""
    monkeypatch.chdir(tmp_path)
    assert main(["learn", "start"]) == 0
    return tmp_path / "exercises"


def write(desk, text):
    """Put this code in place of the stub of `scaled`."""
    path = desk / "99_fake.py"
    source = path.read_text()
    first, last = source.index("def scaled"), source.index("# fake.Scaler")
    path.write_text(source[:first] + text + "\n\n" + source[last:])


def told(capsys, *words):
    """The exit status and what was printed."""
    capsys.readouterr()
    status = main(["learn", *words])
    streams = capsys.readouterr()
    return status, streams.out + streams.err


def test_start_writes_what_is_missing_and_keeps_what_is_there(desk, capsys):
    (desk / "99_fake.py").write_text("mine = 1\n")
    status, text = told(capsys, "start")
    assert status == 0 and "kept exercises/99_fake.py" in text
    assert (desk / "99_fake.py").read_text() == "mine = 1\n"
    assert told(capsys, "start", "elsewhere")[0] == 0
    assert (desk.parent / "elsewhere" / "99_fake.py").exists()
    (desk.parent / "file").write_text("")
    status, text = told(capsys, "start", "file")
    assert status == 1 and "is a file" in text


def test_printed_commands_name_another_folder_and_can_be_copied(desk, capsys):
    own = desk.parent / "meine Übungen"
    status, text = told(capsys, "check", "--folder", str(own))
    assert status == 3
    assert (
        told(capsys, *shlex.split(text.split("`")[1])[4:])[0] == 0
    )  # python -m scratchmm learn ...
    status, text = told(capsys, "start", "meine Übungen")
    listing = shlex.split(text.strip().splitlines()[-1])
    assert listing[-2:] == ["--folder", "meine Übungen"]
    assert told(capsys, *listing[5:])[0] == 0  # now: python -m scratchmm learn ...
    write(own, WRONG)
    for level in (1, 2):  # the command of the hint finds how many were read
        text = told(capsys, "check", "fake.scaled", "--folder", str(own))[1]
        words = shlex.split(text.strip().splitlines()[-1])[1:]
        assert words[-2:] == ["--folder", str(own)]
        assert f"hint {level} of" in told(capsys, *words[4:])[1]
    (own / "99_fake.py").unlink()
    text = told(capsys, "check", "--folder", str(own))[1]
    assert f"learn start --folder {shlex.quote(str(own))}` adds it" in text
    write(desk, WRONG)
    assert "--folder" not in told(capsys, "check", "fake.scaled")[1]


def test_the_exit_status_says_passed_wrong_not_written_or_not_run(desk, capsys):
    assert told(capsys, "check", "fake.scaled")[0] == 2
    write(desk, WRONG)
    status, text = told(capsys, "check", "fake.scaled")
    assert status == 1 and "story of no-shift" in text
    write(desk, SOLVED)
    assert told(capsys, "check", "fake.scaled")[0] == 0
    write(desk, "def scaled(x, by=2.0:\n    pass\n")
    status, text = told(capsys, "check", "fake.scaled")
    assert status == 3 and "99_fake.py line" in text
    (desk / "99_fake.py").unlink()
    assert told(capsys, "check", "fake.scaled")[0] == 3
    status, text = told(capsys, "check", "fake.scald")
    assert status == 3 and "did you mean fake.scaled" in text
    status, text = told(capsys, "check", "fake.scald", "--json")
    assert status == 3 and json.loads(text[: text.rindex("]") + 1])[0]["status"] == "error"
    status, text = told(capsys, "check", "--folder", "nowhere")
    assert status == 3 and "learn start" in text


def test_without_an_id_everything_is_checked(desk, capsys):
    status, text = told(capsys, "check")
    assert status == 2 and "not written yet: 2 of 2" in text
    write(desk, SOLVED)
    status, text = told(capsys, "check")
    assert status == 2 and "fake.scaled: passed" in text and "not written yet: 1 of 2" in text
    write(desk, WRONG)
    assert told(capsys, "check")[0] == 1


def test_any_file_can_be_checked_and_is_not_remembered(desk, capsys):
    path = desk.parent / "notes.py"
    path.write_text(SOLVED)
    assert told(capsys, "check", "--file", str(path))[0] == 0
    assert told(capsys, "check", "fake.scaled", "--file", str(path))[0] == 0
    assert "0 of 2" in told(capsys)[1]
    path.write_text("x = 1\n")
    assert told(capsys, "check", "--file", str(path))[0] == 3
    assert told(capsys, "check", "--file", "missing.py")[0] == 3


def test_where_names_the_next_exercise(desk, capsys):
    assert "next: fake.scaled" in told(capsys)[1]
    write(desk, SOLVED)
    told(capsys, "check", "fake.scaled")
    status, text = told(capsys)
    assert status == 0 and "1 of 2" in text and "next: fake.Scaler" in text
    write(desk, SOLVED.replace("x * by", "by * x"))
    assert "fake.scaled: edited" in told(capsys)[1]


def test_json_is_data(desk, capsys):
    write(desk, WRONG.replace("    return", "    print('noise')\n    return"))
    status, text = told(capsys, "check", "fake.scaled", "--json")
    (report,) = json.loads(text[: text.rindex("]") + 1])
    assert status == 1 and report["status"] == "wrong"
    assert report["looks_like"][0]["id"] == "no-shift"
    rows = json.loads(told(capsys, "list", "--json")[1])
    assert [row["state"] for row in rows] == ["open", "open"] and rows[1]["needs"] == [
        "fake.scaled"
    ]


def test_hints_grow(desk, capsys):
    assert [told(capsys, "hint", "scaled")[1].splitlines()[1] for _ in range(3)] == [
        "one", "two", "three",
    ]  # fmt: skip
    assert "return scaled_x" in told(capsys, "hint", "scaled", "--level", "4")[1]
    status, text = told(capsys, "hint", "skaled")
    assert status == 1 and "did you mean fake.scaled" in text


def test_the_solution_is_shown_after_a_pass_or_on_demand(desk, capsys):
    status, text = told(capsys, "diff", "scaled")
    assert status == 1 and "--spoil" in text
    assert "+    scaled_x = x * by" in told(capsys, "diff", "scaled", "--spoil")[1]
    write(desk, SOLVED)
    told(capsys, "check", "scaled")
    assert "-    return x * by + 3" in told(capsys, "diff", "scaled")[1]


def test_reset_brings_the_stub_back_and_keeps_every_backup(desk, capsys):
    stub = (desk / "99_fake.py").read_text()
    for number in (1, 2):
        write(desk, SOLVED)
        mine = (desk / "99_fake.py").read_text()
        assert told(capsys, "reset", "scaled")[0] == 0
        assert (desk / f"99_fake.py.backup-{number}").read_text() == mine
        restored = (desk / "99_fake.py").read_text()
        assert restored.split() == stub.split()
    assert told(capsys, "check", "scaled")[0] == 2


def test_a_damaged_progress_file_stops_the_check_before_anything_is_written(desk, capsys):
    write(desk, SOLVED)
    (desk / "progress.json").write_text("{")
    status, text = told(capsys, "check", "scaled")
    assert status == 3 and "progress.json" in text
    assert (desk / "progress.json").read_text() == "{"


def test_watch_checks_what_was_saved(desk, capsys):
    def save():
        time.sleep(0.6)
        write(desk, WRONG)

    thread = threading.Thread(target=save)
    thread.start()
    status, text = told(capsys, "watch", "--seconds", "1.8")
    thread.join()
    assert status == 0 and text.count("wrong at property") == 1 and "fake.Scaler" not in text


def test_inside_the_folder_it_is_found_too(desk, capsys, monkeypatch):
    write(desk, SOLVED)
    told(capsys, "check", "scaled")
    monkeypatch.chdir(desk)
    assert told(capsys, "check", "scaled")[0] == 0


def test_a_lesson_is_listed_and_checked_by_its_number(desk, capsys):
    for word in ("99", "99_fake", "99_fake.py"):
        status, text = told(capsys, "list", word)
        assert status == 0 and "fake.scaled" in text and "hints 0/4" in text
        status, text = told(capsys, "check", word)
        assert status == 2 and "not written yet: 2 of 2" in text
    assert told(capsys, "check", "42")[0] == 3
    status, text = told(capsys, "list", "42")
    assert status == 1 and "lesson '42' has no exercises: those that have are 99" in text
    told(capsys, "hint", "scaled")
    assert "hints 1/4" in told(capsys, "list")[1]


@pytest.mark.parametrize(
    "start, encoding, line_end",
    [("", "utf-8-sig", "\n"), ("", "utf-8", "\r\n"), ("# a\x0cb\u2028c\x85d\n", "utf-8", "\n"),
     ("# -*- coding: latin-1 -*-\n# caf\u00e9\n", "latin-1", "\n")],
)  # fmt: skip
def test_a_file_is_read_as_python_reads_it_and_reset_changes_the_answer_alone(
    desk, capsys, start, encoding, line_end
):
    path = desk / "99_fake.py"
    before, after = "def mine(x):\n    return x\n", "def other(x):\n    y = x\n    return y\n"
    text = start + before + SOLVED + after
    path.write_bytes(text.replace("\n", line_end).encode(encoding))
    assert told(capsys, "check", "scaled")[0] == 0
    assert "edited" not in told(capsys)[1] and "1 of 2" in told(capsys)[1]
    assert "-    return x * by + 3" in told(capsys, "diff", "scaled")[1]
    assert told(capsys, "reset", "scaled")[0] == 0
    found = path.read_bytes()
    assert found.decode(encoding).startswith(start + before.replace("\n", line_end))
    assert found.decode(encoding).endswith(after.replace("\n", line_end))
    assert b"x * by + 3" not in found and (encoding == "utf-8-sig") == found.startswith(b"\xef")
    assert told(capsys, "check", "scaled")[0] == 2


def test_reset_helps_those_who_need_it(desk, capsys):
    path = desk / "99_fake.py"
    path.write_text("x = 1\n\n@wraps\ndef scaled(x, by=2.0:\n    return (x\n# behind\ny = 2\n")
    assert told(capsys, "reset", "scaled")[0] == 0
    assert path.read_text().startswith("x = 1\n\ndef scaled(")
    assert path.read_text().endswith("# behind\ny = 2\n")
    path.write_text("x = 1\n")
    assert told(capsys, "reset", "scaled")[0] == 0 and "def scaled" in path.read_text()
    assert told(capsys, "check", "scaled")[0] in (2, 3)
    path.write_text(SOLVED + SOLVED)
    status, text = told(capsys, "reset", "scaled")
    assert status == 1 and "defines scaled on lines 1 and 3" in text
    path.unlink()
    assert "writes it anew" in told(capsys, "reset", "scaled")[1]


def test_two_definitions_are_told_with_both_lines(desk, capsys):
    path = desk / "99_fake.py"
    path.write_text(path.read_text().replace("def scaled", f"{SOLVED}\n\ndef scaled", 1))
    status, text = told(capsys, "check", "scaled")
    assert status == 2 and "scaled is defined on lines " in text and "the last one counts" in text


def test_inside_the_folder_it_is_found_before_the_first_pass(desk, capsys, monkeypatch):
    monkeypatch.chdir(desk)
    assert told(capsys, "check", "scaled")[0] == 2
    assert told(capsys, "start")[0] == 0 and not (desk / "exercises").exists()


def test_a_file_of_another_name_is_checked_by_what_it_holds(desk, capsys):
    path = desk.parent / "99_fake.py"
    path.write_text("def other(x):\n    return x\n")
    status, text = told(capsys, "check", "scaled", "--file", str(path))
    assert status == 3 and "defines no scaled, but other" in text


@pytest.mark.parametrize("raised", ["GeneratorExit", "KeyboardInterrupt", "SystemExit(4)",
                                    "BaseException('odd')", "ValueError('bad')"])  # fmt: skip
def test_whatever_a_file_raises_is_told_as_its_own(desk, capsys, raised):
    (desk / "99_fake.py").write_text(f"x = 1\nraise {raised}\n")
    status, text = told(capsys, "check", "scaled")
    assert status == 3 and "99_fake.py line 2: " in text and "Traceback" not in text


def test_a_null_byte_and_another_encoding_are_told_by_their_line(desk, capsys):
    (desk / "99_fake.py").write_bytes(b"x = 1\ny = '\0'\n")
    assert "99_fake.py line 2: holds a NUL byte" in told(capsys, "check", "scaled")[1]
    (desk / "99_fake.py").write_bytes("x = 'caf\u00e9'\n".encode("latin-1"))
    for action in ("check", "diff", "reset"):
        words = ["scaled", "--spoil"] if action == "diff" else ["scaled"]
        assert "is not UTF-8" in told(capsys, action, *words)[1]


def test_what_is_written_past_python_stays_out_of_the_data(desk, capfd):
    write(desk, SOLVED.replace("    return", "    import os; os.write(1, b'noise')\n    return"))
    capfd.readouterr()
    assert main(["learn", "check", "scaled", "--json"]) == 0
    out = capfd.readouterr().out
    assert json.loads(out)[0]["status"] == "passed"


def test_watch_tells_a_syntax_error(desk, capsys, monkeypatch):
    monkeypatch.setattr("scratchmm.exercises.worker.warm", lambda: None)
    naps = itertools.count()

    def nap(seconds):
        if next(naps) == 1:  # the files have been seen once
            write(desk, "def scaled(x, by=2.0:\n    pass\n")
        real(0.01)

    real = time.sleep
    monkeypatch.setattr("scratchmm.commands.learn.time.sleep", nap)
    _, text = told(capsys, "watch", "--seconds", "1")
    assert text.count("99_fake.py line ") == 1 and "invalid syntax" in text


def test_what_held_before_is_told_in_words(desk, capsys):
    write(desk, "def scaled(x, by=2.0):\n    return x * 2 + 3\n")
    text = told(capsys, "check", "scaled")[1]
    assert "wrong at property 2" in text and "held       zero becomes the shift" in text


def test_an_empty_not_implemented_error_is_not_written_yet(desk, capsys):
    write(desk, "def scaled(x, by=2.0):\n    raise NotImplementedError\n")
    assert told(capsys, "check", "scaled")[0] == 2


@pytest.mark.parametrize(
    "body, status",
    [
        ("raise NotImplementedError('masks come later')", 2),
        ("return helper(x)", 2),
        ("return torch.nn.Module().forward(x)", 1),  # raised by torch: a mistake like another
        ("return torch.ones(1, device='meta').quantile(0.5) * x", 1),
    ],
)
def test_a_not_implemented_error_of_one_s_own_is_not_written_yet(desk, capsys, body, status):
    helper = "def helper(x):\n    raise NotImplementedError('masks come later')\n"
    write(desk, f"import torch\n{helper}def scaled(x, by=2.0):\n    {body}\n")
    exit_status, text = told(capsys, "check", "scaled")
    assert exit_status == status
    assert ("it raises a NotImplementedError (masks come later)" in text) is (status == 2)
