"""The lesson runner, on little lessons in a folder that looks like the repository."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from scratchmm.commands import lesson_run, lessons, main
from scratchmm.commands.lesson_budget import GENERATOR_SECONDS, within
from scratchmm.commands.sources import replace_between
from scratchmm.lesson import report
from scratchmm.needed_code import code_hash
from scratchmm.source_code import code_of

ROOT = Path(__file__).parents[2]
LESSON = """
import sys
from scratchmm.lesson import report
import scratchmm.little
report("accuracy", {reached}, 0.9, quick="--quick" in sys.argv)
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch) -> Path:
    """A repository with two lessons, of which the second falls short."""
    (tmp_path / "tutorials").mkdir()
    (tmp_path / "scratchmm").mkdir()
    (tmp_path / "scratchmm" / "__init__.py").write_text(
        f"__path__.append({str(ROOT / 'scratchmm')!r})\n"  # the rest of the library is the real one
        "__version__ = '0'\n"
    )
    (tmp_path / "scratchmm" / "little.py").write_text("VALUE = 1\n")
    (tmp_path / "tutorials" / "01_good.py").write_text(LESSON.format(reached=0.95))
    (tmp_path / "tutorials" / "02_bad.py").write_text(LESSON.format(reached=0.5))
    (tmp_path / "docs").mkdir()
    page = "top\n<!-- lessons -->\nold\n<!-- /lessons -->\nend\n"
    (tmp_path / "docs" / "lessons.md").write_text(page)
    monkeypatch.setattr(lessons, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def results(house: Path) -> dict:
    path = house / "tutorials" / "results.json"
    return {row["lesson"]: row for row in json.loads(path.read_text())} if path.exists() else {}


def test_a_run_is_shown_and_writes_nothing_outside_of_runs(house: Path, capsys) -> None:
    (house / "tutorials" / "03_shows.py").write_text(
        "import pathlib\nprint('image: runs/03_shows/a.png')\n" + LESSON.format(reached=1)
    )
    before = {path: path.read_bytes() for path in house.rglob("*.*") if path.is_file()}
    assert main(["lessons", "3"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("image: runs/03_shows/a.png\naccuracy: reached 1, expected")
    assert "runs/lessons/03_shows.log" in captured.err
    assert "image: runs/03_shows/a.png" in (house / "runs/lessons/03_shows.log").read_text()
    after = [
        path for path in house.rglob("*.*") if path.is_file() and "__pycache__" not in str(path)
    ]
    new = [path.relative_to(house).as_posix() for path in after if path not in before]
    assert new == ["runs/lessons/03_shows.log"]
    assert all(path.read_bytes() == text for path, text in before.items())


def test_a_lesson_is_shown_while_it_runs(house: Path) -> None:
    """The lesson waits for a file that is written only when its first line was seen."""
    (house / "tutorials" / "03_waits.py").write_text(
        "import pathlib, time\nprint('first')\n"
        "while not pathlib.Path('go').exists():\n    time.sleep(0.02)\n" + LESSON.format(reached=1)
    )
    words = "import sys, pathlib; from scratchmm.commands import lessons, main\n"
    words += f"lessons.ROOT = pathlib.Path({str(house)!r})\nsys.exit(main(['lessons', '3']))"
    with subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stdout.readline() == b"first\n"
        (house / "go").touch()
        assert b"accuracy: reached 1" in running.stdout.read()
    assert running.returncode == 0


def test_json_keeps_the_output_clean(house: Path, capsys) -> None:
    assert main(["lessons", "--quick", "--json"]) == 0
    assert [row["lesson"] for row in json.loads(capsys.readouterr().out)] == ["01_good", "02_bad"]


def test_a_reader_that_leaves_ends_the_lesson(house: Path) -> None:
    (house / "tutorials" / "03_long.py").write_text("while True:\n    print('on and on')\n")
    words = "import sys, pathlib; from scratchmm.commands import lessons, main\n"
    words += f"lessons.ROOT = pathlib.Path({str(house)!r})\nsys.exit(main(['lessons', '3']))"
    run = [sys.executable, "-c", words]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.wait(60) == 1


def test_flags_are_handed_to_the_lesson(house: Path, capsys) -> None:
    (house / "tutorials" / "03_flags.py").write_text(
        "from scratchmm.lesson import LessonParser\n"
        "from scratchmm.lesson import report\n"
        "options = LessonParser('Flags.').read()\n"
        "print(options.training_steps(400, quick=9), options.seed, options.device)\n"
        "report('accuracy', 0.1, 0.9, unjudged=options.unjudged)\n"
    )
    assert main(["lessons", "3", "--steps", "20", "--device", "cpu", "--seed", "5"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("20 5 cpu\n") and "(20 of 400 steps: not judged)" in out
    assert main(["lessons", "3", "--steps", "400"]) == 1  # as long as the lesson's own: judged
    assert "reached 0.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--steps", "0"], "--steps 0 trains nothing: at least 1"),
        (["--root", "."], "lesson 01_good reads no real set: it takes no --root"),
        (["--record", "--quick"], "--record keeps runs at full length, and --quick is none"),
        (
            ["--record", "--seed", "1"],
            "--record keeps runs as the lesson has them, not with --seed",
        ),
    ],
)
def test_flags_that_make_no_sense_are_refused(house: Path, capsys, flags, sentence) -> None:
    assert main(["lessons", "1", *flags]) == 1
    assert capsys.readouterr().err == f"error: {sentence}\n"
    assert not (house / "runs").exists()


def test_a_full_run_records_what_was_reached_if_asked(house: Path, capsys) -> None:
    assert main(["lessons", "1"]) == 0 and results(house) == {}
    capsys.readouterr()
    assert main(["lessons", "1", "--json", "--record"]) == 0
    assert "| 0.95 | ≥ 0.9 |" in (house / "docs" / "lessons.md").read_text()
    row = results(house)["01_good"]
    assert (row["reached"], row["expected"], row["passed"]) == (0.95, 0.9, True)
    assert row["seconds"] > 0 and row["cores"] >= 1 and "torch" in row["versions"]
    assert json.loads(capsys.readouterr().out) == [row]


def test_a_lesson_that_falls_short_fails_and_is_not_recorded(house: Path, capsys) -> None:
    assert main(["lessons", "--record"]) == 1
    assert set(results(house)) == {"01_good"}
    captured = capsys.readouterr()
    assert "02_bad: ended with status 1, reached 0.5" in captured.err
    assert "FAILED" in captured.out
    assert "fell short" in (house / "runs" / "lessons" / "02_bad.log").read_text()


def test_a_quick_run_is_neither_judged_nor_recorded(house: Path) -> None:
    assert main(["lessons", "--quick"]) == 0
    assert results(house) == {}


def test_a_lesson_that_crashes_or_reports_nothing_fails(house: Path, capsys) -> None:
    (house / "tutorials" / "03_crash.py").write_text("raise RuntimeError('boom')\n")
    (house / "tutorials" / "04_silent.py").write_text("print('done')\n")
    assert main(["lessons", "3", "04", "--quick"]) == 1
    out, err = capsys.readouterr()
    assert "03_crash: ended with status 1" in err and "boom" in out
    assert "04_silent: ended without calling report(...)" in err


def test_a_lesson_that_hangs_is_stopped(house: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(lessons, "LIMIT_SECONDS", 1)
    (house / "tutorials" / "03_hang.py").write_text("import time; time.sleep(60)\n")
    assert main(["lessons", "3"]) == 1
    assert "03_hang: stopped after 1 s" in capsys.readouterr().err


def test_changed_runs_in_full_only_what_changed(house: Path, capsys) -> None:
    good = house / "tutorials" / "02_bad.py"
    good.write_text(LESSON.format(reached=0.99))
    assert main(["lessons", "--changed", "--record"]) == 0  # nothing is recorded yet: both in full
    assert set(results(house)) == {"01_good", "02_bad"}

    def ran_quick() -> list[bool]:
        capsys.readouterr()
        assert main(["lessons", "--changed", "--json", "--record"]) == 0
        return [row["quick"] for row in json.loads(capsys.readouterr().out)]

    assert ran_quick() == [True, True]
    good.write_text(LESSON.format(reached=0.98))
    assert ran_quick() == [True, False]
    (house / "scratchmm" / "little.py").write_text("VALUE = 1  # the same, explained\n")
    assert ran_quick() == [True, True]
    (house / "scratchmm" / "little.py").write_text("VALUE = 2\n")
    assert ran_quick() == [False, False]


def test_what_the_minutes_do_not_hold_is_left_and_named(house: Path, capsys) -> None:
    for name in ("02_bad", "03_more"):
        (house / "tutorials" / f"{name}.py").write_text(LESSON.format(reached=0.99))
    assert main(["lessons", "--changed", "--record"]) == 0
    rows = results(house)
    rows["01_good"].update(seconds=90.0, day="2026-01-03")
    rows["02_bad"].update(seconds=600.0, day="2026-01-02")
    rows["03_more"].update(seconds=50.0, day="2026-01-04")
    path = house / "tutorials" / "results.json"
    path.write_text(json.dumps(list(rows.values())))

    def full(*words: str) -> tuple[list[str], str]:
        capsys.readouterr()
        assert main(["lessons", "--changed", "--json", *words]) == 0
        told = capsys.readouterr()
        return [row["lesson"] for row in json.loads(told.out) if not row["quick"]], told.err

    assert full("--minutes", "3") == ([], full()[1])  # nothing changed
    (house / "scratchmm" / "little.py").write_text("VALUE = 3\n")
    assert full()[0] == ["01_good", "02_bad", "03_more"]
    ran, err = full("--minutes", "10.9")  # the oldest, and what fits beside it
    assert ran == ["02_bad", "03_more"]
    assert err.endswith(
        "left to the next run: 01_good (by their records 1.5 minutes at full length, beyond the "
        "budget)\n"
    )
    assert full("--minutes", "0")[0] == ["02_bad"]
    assert path.read_text() == json.dumps(list(rows.values()))
    for words in (
        ["--minutes", "3"],
        ["--changed", "--minutes", "-1"],
        ["--changed", "--minutes", "nan"],
    ):
        assert main(["lessons", *words]) == 1
        assert "--minutes" in capsys.readouterr().err


def test_the_first_of_those_that_share_a_generator_has_it_to_train(house: Path) -> None:
    keys, recorded = ["01", "02", "03"], {key: {"seconds": 10.0} for key in ("01", "02", "03")}
    assert within(keys, recorded, 30, ["02", "03"]) == (["01"], ["02", "03"])
    assert within(keys, recorded, 30 + GENERATOR_SECONDS, ["02", "03"]) == (keys, [])
    assert within(keys[1:], recorded, 0, ["02", "03"]) == (["02"], ["03"])  # the oldest always runs
    for name in ("01_good", "02_bad", "03_more"):
        (house / "tutorials" / f"{name}.py").write_text(
            "# load_or_train(folder, text_to_image, settings)\n" * (name > "02")
        )
    asked = SimpleNamespace(quick=False, changed=True, minutes=10)
    codes = {"01_good": "new", "02_bad": "new", "03_more": "new"}
    assert lessons.at_full_length(asked, codes, {}) == (["01_good"], ["02_bad", "03_more"])
    (house / "runs" / "generator").mkdir(parents=True)
    (house / "runs" / "generator" / "model.pt").touch()
    assert lessons.at_full_length(asked, codes, {}) == (["01_good", "02_bad"], ["03_more"])


def test_an_unknown_lesson_is_refused_in_a_sentence(house: Path, capsys) -> None:
    assert main(["lessons", "9"]) == 1
    err = capsys.readouterr().err
    assert err == "error: there is no lesson '9': the lessons are 01_good, 02_bad\n"


@pytest.mark.parametrize("word", ["", " ", ".py"])
def test_a_lesson_without_a_name_is_not_all_lessons(house: Path, capsys, word: str) -> None:
    assert main(["lessons", word]) == 1
    assert capsys.readouterr().err.startswith(f"error: there is no lesson {word!r}: ")
    assert not (house / "runs").exists()


READING = """
import argparse
from scratchmm.lesson import report
from scratchmm.recipes.datasets import read_set
parser = argparse.ArgumentParser()
parser.add_argument("--data")
parser.add_argument("--quick", action="store_true")
options = parser.parse_args()
data = read_set(options.data, None, 8, 0)
report("images", len(data.images), 1, quick=options.quick)
"""


def test_what_a_lesson_s_reader_refuses_is_one_sentence(house: Path, capsys, monkeypatch) -> None:
    monkeypatch.delenv("SCRATCHMM_DATA", raising=False)
    lesson = house / "tutorials" / "03_reads.py"
    lesson.write_text(READING)
    said = "03_reads --data nope.tsv: there is no file nope.tsv\n"
    assert main(["lessons", "3", "--data", "nope.tsv"]) == 1
    assert capsys.readouterr().err.splitlines(keepends=True)[1:] == [f"error: {said}"]
    assert results(house) == {}

    for flags, sentence in (
        (["--data", "nope.tsv"], "there is no file nope.tsv"),
        (["--data", "fashion_mnist"], "no data folder is given: "),
        (["--seed", "-1"], "--seed -1 does not lie between 0 and"),
        (["--colour"], "unrecognized arguments: --colour"),
    ):
        assert main(["learn", "run", str(lesson), *flags]) != 0
        err = capsys.readouterr().err
        assert err.startswith(f"error: {sentence}") and err.count("\n") == 1
    assert main(["--debug", "learn", "run", str(lesson), "--data", "nope.tsv"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_data_that_a_lesson_cannot_take_is_refused_before_it_runs(house: Path, capsys) -> None:
    assert main(["lessons", "1", "--data", "mnist"]) == 1
    said = "error: lesson 01_good makes its own data: it takes no --data\n"
    assert capsys.readouterr().err == said
    (house / "tutorials" / "03_reads.py").write_text(READING)
    assert main(["lessons", "3", "--data", "minst"]) == 1
    assert "did you mean mnist?" in capsys.readouterr().err
    assert not (house / "runs").exists()


def test_a_lesson_may_read_a_set_of_its_own(house: Path, capsys) -> None:
    own = READING.replace('"--data")', '"--data", choices=("boxes",))')
    own = own.replace("read_set(options.data, None, 8, 0)", "None")
    lesson = own.replace("len(data.images)", "options.data == 'boxes'")
    (house / "tutorials" / "03_owns.py").write_text(lesson)
    assert main(["lessons", "3", "--data", "boxes"]) == 0
    assert main(["lessons", "3", "--data", "boxen"]) == 1
    assert "there is no data set 'boxen'" in capsys.readouterr().err


def test_a_lesson_without_matplotlib_says_how_to_get_it(house: Path, capsys, monkeypatch) -> None:
    lesson = house / "tutorials" / "03_draws.py"
    lesson.write_text("import matplotlib.pyplot as plt\n")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    assert main(["learn", "run", str(lesson)]) == 1
    said = "error: lessons need matplotlib: pip install -e '.[tutorials]'\n"
    assert capsys.readouterr().err == said


def test_an_error_of_the_lesson_s_own_keeps_its_traceback(house: Path, capsys) -> None:
    lesson = house / "tutorials" / "03_own.py"
    for line in ("open('gone')", "int('x')", "import matplotlibb", "attend(a, a, a, a)"):
        lesson.write_text(
            f"import torch\nfrom scratchmm.layers.attention import attend\n"
            f"a = torch.zeros(2, 3)\n{line}\n"
        )
        assert main(["learn", "run", str(lesson)]) == 1
        assert "Traceback" in capsys.readouterr().err


def test_a_lesson_run_by_itself_says_a_sentence_too(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "tutorials" / "05_clip.py"), "--quick", "--data", "nope"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: there is no data set 'nope'")
    assert list(tmp_path.iterdir()) == []


def test_results_that_are_no_results_are_refused(house: Path, capsys) -> None:
    for text, told in (("{", "results.json is no JSON"), ("[3]", "not a list of lesson results")):
        (house / "tutorials" / "results.json").write_text(text)
        assert main(["lessons", "1", "--quick"]) == 1
        assert told in capsys.readouterr().err


def test_the_table_is_written_between_the_markers(house: Path) -> None:
    main(["lessons", "1", "--record"])
    page = house / "docs" / "lessons.md"
    page.write_text(page.read_text().replace("accuracy", "stale"))
    assert main(["lessons", "--table"]) == 0
    text = page.read_text()
    assert text.startswith("top\n<!-- lessons -->\n| lesson") and text.endswith("-->\nend\n")
    assert "| accuracy | 0.95 | ≥ 0.9 |" in text and "old" not in text


@pytest.mark.parametrize(
    ("reached", "falls_short"), [(0.9, False), (0.89, True), (float("nan"), True)]
)
def test_report_judges_a_full_run(reached: float, falls_short: bool) -> None:
    if falls_short:
        with pytest.raises(SystemExit) as stop:
            report("accuracy", reached, 0.9, quick=False)
        assert stop.value.code not in (None, 0)
    else:
        report("accuracy", reached, 0.9, quick=False)
    report("accuracy", reached, 0.9, quick=True)


def test_report_knows_figures_that_should_be_low() -> None:
    report("loss", 0.1, 0.2, quick=False, higher_is_better=False)
    with pytest.raises(SystemExit):
        report("loss", 0.3, 0.2, quick=False, higher_is_better=False)


def test_the_hash_follows_imports_and_ignores_prose(tmp_path: Path) -> None:
    package = tmp_path / "scratchmm" / "layers"
    package.mkdir(parents=True)
    (tmp_path / "scratchmm" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    script = tmp_path / "lesson.py"
    script.write_text("from scratchmm.layers import one\none.f()\n")
    two = "from scratchmm.layers.two import VALUE"
    (package / "one.py").write_text(f"def f():\n    {two}\n    return VALUE\n")
    (package / "two.py").write_text("VALUE = '#1'\n")
    first = code_hash(script, tmp_path)
    (package / "two.py").write_text("'''Why.'''\n\nVALUE = '#1'  # because\n")
    assert code_hash(script, tmp_path) == first
    (package / "two.py").write_text("VALUE = '#2'\n")
    assert code_hash(script, tmp_path) != first


def test_code_keeps_strings_that_look_like_comments() -> None:
    assert code_of("x = '# no'  # yes\n") == "x = '# no'"
    assert (
        code_of("def f():\n    '''Says.\n\n    More.'''\n    return 1\n")
        == "def f():\n    return 1"
    )


@pytest.mark.parametrize("text", ["", "<!-- t -->", "<!-- t --><!-- t --><!-- /t -->"])
def test_markers_must_stand_once(text: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        replace_between(text, "t", "new")


def test_the_table_of_lessons_is_fresh() -> None:
    """Stale? python -m scratchmm lessons --table"""
    text = (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8")
    recorded = lessons.read_results(ROOT / "tutorials" / "results.json")
    if recorded:
        assert replace_between(text, "lessons", lessons.lesson_table(recorded)) == text


def test_a_lesson_learns_of_its_cores() -> None:
    assert 1 <= lesson_run.cores() <= (os.cpu_count() or 1)
