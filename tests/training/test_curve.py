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


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with curve_file(None, []) as write:
        write(row(0))
    assert list(tmp_path.iterdir()) == []


def test_picture(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    assert draw_curve([row(0), row(1)], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_no_picture_without_matplotlib(tmp_path, monkeypatch):
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
