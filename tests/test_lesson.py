"""The flags of lessons: in a shell, in a notebook, and what follows from them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scratchmm import lesson, plots
from scratchmm.commands import main
from scratchmm.lesson import LessonParser

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))


def test_a_notebook_takes_flags_from_the_cell_or_the_environment(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    monkeypatch.setenv(lesson.FLAGS, "--quick --seed 4")
    assert LessonParser("A lesson.").read().seed == 4
    options = LessonParser("A lesson.").read("--steps 7")  # what stands in the cell counts
    assert (options.steps, options.seed, options.quick) == (7, 0, False)
    monkeypatch.delenv(lesson.FLAGS)
    assert LessonParser("A lesson.").read().unjudged == ""


def test_a_script_takes_its_command_line_even_beside_the_environment(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        "from scratchmm.lesson import LessonParser\n"
        "options = LessonParser('Mine.').read('--seed 1')\nprint(options.seed, options.quick)\n"
    )
    words = [sys.executable, str(script), "--quick", "--seed", "2"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "2 True\n"


def test_fewer_steps_are_not_judged_and_more_are() -> None:
    few = LessonParser("A lesson.").read("--steps 30")
    assert few.training_steps(400, quick=10) == 30 and few.unjudged == "30 of 400 steps"
    assert few.other_steps(1000, quick=10) == 75
    assert few.other_steps(3, quick=10) == 1
    many = LessonParser("A lesson.").read("--steps 500")
    assert many.training_steps(400, quick=10) == 500 and many.unjudged == ""
    usual = LessonParser("A lesson.").read("")
    assert usual.training_steps(400, quick=10) == 400 and usual.other_steps(9, quick=1) == 9
    quick = LessonParser("A lesson.").read("--quick")
    assert quick.training_steps(400, quick=10) == 10 and quick.unjudged == "quick run"
    both = LessonParser("A lesson.").read("--quick --steps 20")
    assert both.training_steps(400, quick=10) == 20 and both.other_steps(9, quick=5) == 10


def test_runs_of_other_lengths_have_folders_of_their_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [
        LessonParser("A lesson.").read(flags).folder("05_clip").as_posix()
        for flags in ("", "--quick", "--steps 9", "--quick --steps 9")
    ]
    assert folders[:2] == ["runs/05_clip", "runs/05_clip_quick"] and len(set(folders)) == 4
    assert all((tmp_path / folder).is_dir() for folder in folders)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--steps 0", "--steps 0 trains nothing: at least 1"),
        ("--steps -3", "--steps -3 trains nothing: at least 1"),
        ("--seed -1", "--seed -1 does not lie between 0 and 4294967295"),
        ("--device tpu", "device 'tpu' is none of cpu, cuda, mps and auto"),
    ],
)
def test_flags_that_cannot_be_are_refused(flags: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        LessonParser("A lesson.").read(flags)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_lesson_takes_the_flags_and_shows_all_its_images(path: Path) -> None:
    """A figure that a lesson saves by itself would be shown in no notebook, or stay in memory."""
    text = path.read_text(encoding="utf-8")
    assert len(re.findall(r"^parser = LessonParser\(__doc__", text, re.M)) == 1
    assert 'options = parser.read("")' in text and "argparse" not in text
    assert "savefig" not in text and "plt.close" not in text
    assert not re.search(r"^report\(.*quick=", text, re.M)
    drawing = r"[^(]\n\s*plots\.(save|image_grid|similarity_matrix|bars|curve|retrieval_sheet)\("
    assert not re.search(drawing, text), "an image whose place is not printed"
    if "trains=False" not in text:
        assert re.search(r"options\.(training_steps|steps_given)\(", text)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_figure_is_saved_in_the_cell_that_makes_it(path: Path) -> None:
    """A notebook shows what is left open at the end of a cell: half a figure, and then all of it."""
    for cell in re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.M):
        for made in re.finditer(r"^\w.* = plt\.(subplots|figure)\(", cell, re.M):
            assert re.search(r"\b(save|finish)\(", cell[made.end() :]), made[0]


def test_what_a_lesson_cannot_do_is_one_sentence(capsys) -> None:
    sound = str(next(path for path in LESSONS if path.name.startswith("17_")))
    for flags, sentence in (
        (["--steps", "9"], "--steps 9: this lesson trains no model of its own"),
        (["--steps", "0"], "--steps 0 trains nothing: at least 1"),
        (["--steps", "x"], "argument --steps: invalid int value: 'x'"),
    ):
        assert main(["learn", "run", sound, *flags]) != 0
        err = capsys.readouterr().err
        assert err.startswith(f"error: {sentence}") and err.count("\n") == 1


def test_importing_it_changes_nothing_and_a_script_that_reads_its_flags_ends_in_a_sentence(
    tmp_path: Path,
) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        "import sys\nbefore = sys.excepthook\nfrom scratchmm.lesson import LessonParser\n"
        "assert sys.excepthook is before\noptions = LessonParser('Mine.').read()\n"
        "if options.quick:\n    raise ValueError('of my own code')\n"
        "from scratchmm.files import read_json\nread_json(__file__)\n"
    )

    def ends(*flags: str) -> str:
        words = [sys.executable, str(script), *flags]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and not done.stdout
        return done.stderr

    assert ends("--steps", "0") == "error: --steps 0 trains nothing: at least 1\n"
    assert ends().startswith("error: line 1 of ") and ends().count("\n") == 1
    assert ends("--quick").startswith("Traceback") and "of my own code" in ends("--quick")


def test_a_notebook_keeps_its_way_to_show_errors(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    before = sys.excepthook
    LessonParser("A lesson.").read("--quick")
    assert sys.excepthook is before


def test_the_folder_comes_with_the_style(tmp_path: Path, monkeypatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    with matplotlib.rc_context():
        matplotlib.rcParams["figure.dpi"] = 33
        LessonParser("A lesson.").read("").folder("05_clip")
        assert matplotlib.rcParams["figure.dpi"] == plots.STYLE["figure.dpi"] != 33
