import resource
import signal
import sys

import pytest

from scratchmm.training.curve import curve_file, draw_curve, progress_bar, read_curve


def row(step, loss=0.1 + 0.2):
    return {"step": step, "loss": loss, "learning_rate": 1e-3 / 3, "seconds": step * 0.7}


def test_rows_come_back_exactly(tmp_path):
    rows = [row(step, loss=1 / (step + 3)) for step in range(5)]
    with curve_file(tmp_path / "run", rows[:2]) as write:
        assert read_curve(tmp_path / "run" / "curve.csv") == rows[:2]
        write(rows[2])
        assert read_curve(tmp_path / "run" / "curve.csv") == rows[:3]  # there at once, not at close
        write(rows[3])
        write(rows[4])
    assert read_curve(tmp_path / "run" / "curve.csv") == rows
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["curve.csv"]


def test_what_a_killed_run_left_is_replaced(tmp_path):
    (tmp_path / "curve.csv").write_text("step,loss,learning_rate,seconds\n0,1.0,0.1,0.1\n1,0.9,0.")
    with curve_file(tmp_path, [row(0)]) as write:
        write(row(1))
    assert read_curve(tmp_path / "curve.csv") == [row(0), row(1)]


HEADER = "step,loss,learning_rate,seconds"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"{HEADER}\n0,0.5,0.1,1\n1,x,0.1,1\n", "line 3 of .*curve.csv is no row of a curve: '1,x"),
        (f"{HEADER}\n0,1\n", "line 2 of .*curve.csv is no row"),
        (f"{HEADER}\n0,1,2,3,4\n", "line 2 of .*curve.csv is no row"),
        (f"{HEADER}\n\n", "line 2 of .*curve.csv is no row"),
        (f"{HEADER}\n0,0.5,0.1", "line 2 of .*curve.csv is cut off"),
        (f"{HEADER}\n0,0.5,0.1,{'9' * 900}x\n", "line 2 of .*curve.csv is no row"),
        ("step,loss\n0,1\n", "line 1 of .*curve.csv is 'step,loss', not step,loss,learning_rate"),
        ("", "line 1 of .*curve.csv is ''"),
        (b"\xff\n", "curve.csv is not UTF-8 at byte 0"),
    ],
)
def test_a_damaged_curve_is_refused_by_its_line(tmp_path, text, sentence):
    path = tmp_path / "curve.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ValueError, match=sentence) as caught:
        read_curve(path)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_a_curve_that_went_through_a_spreadsheet_is_read(tmp_path):
    with curve_file(tmp_path, [row(0), row(1)]):
        pass
    path = tmp_path / "curve.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_curve(path) == [row(0), row(1)]


def test_a_row_that_finds_no_room_is_told_with_the_file(tmp_path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with curve_file(tmp_path, []) as write, pytest.raises(OSError, match="curve.csv could not"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (80, limit[1]))
            for step in range(5):
                write(row(step))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with curve_file(None, []) as write:
        write(row(0))
    assert list(tmp_path.iterdir()) == []


def test_image(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    assert draw_curve([row(0), row(1)], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_no_image_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not draw_curve([row(0)], tmp_path / "curve.png")
    assert list(tmp_path.iterdir()) == []


def test_lines_without_tqdm(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with progress_bar(100, 0, shown=True) as show:
        for step in range(100):
            show(row(step))
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == "" and len(lines) == 20
    assert lines[-1] == "step 100/100  loss 0.300  69 s"


def test_a_bar_with_tqdm_starts_where_the_run_was_killed(capsys):
    pytest.importorskip("tqdm")
    with progress_bar(10, 4, shown=True) as show:
        for step in range(4, 10):
            show(row(step))
    captured = capsys.readouterr()
    assert captured.out == "" and "10/10" in captured.err and " 4/10" in captured.err


def test_silence_is_the_other_choice(capsys):
    with progress_bar(10, 0, shown=False) as show:
        show(row(0))
    assert capsys.readouterr() == ("", "")
