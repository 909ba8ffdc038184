"""`learn`: what each action prints, its exit status, and that it never writes over anything."""

import json
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
