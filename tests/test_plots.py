"""The images: what is drawn is what was given, and a file is whole or not there."""

import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scratchmm import plots

pytest.importorskip("matplotlib")


def colors(path: Path) -> set[tuple[int, ...]]:
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    return set(map(tuple, np.unique(pixels, axis=0).tolist()))


def some_images(count: int) -> torch.Tensor:
    """Each image all of one colour, red and then ever greener."""
    images = torch.full((count, 3, 4, 6), -1.0)
    images[:, 0] = 1.0
    images[:, 1] = torch.linspace(-1, 1, count)[:, None, None]
    return images


def test_a_grid_shows_every_image_in_its_own_colour(tmp_path: Path) -> None:
    path = plots.image_grid(
        some_images(3), ["a", "b", "c"], tmp_path / "new" / "grid.png", columns=2
    )
    assert {(255, 0, 0), (255, 255, 0)} <= colors(path)
    assert [file.name for file in path.parent.iterdir()] == ["grid.png"]


def test_zero_is_the_middle_of_the_scale(tmp_path: Path) -> None:
    path = plots.image_grid(torch.zeros(1, 3, 4, 4), None, tmp_path / "middle.png")
    assert colors(path) & {(127, 127, 127), (128, 128, 128)}


def test_one_channel_is_shown_grey_and_values_outside_are_clipped(tmp_path: Path) -> None:
    image = torch.full((1, 1, 4, 4), -7.0)
    assert (0, 0, 0) in colors(plots.image_grid(image, None, tmp_path / "grey.png"))


def test_a_matrix_shows_its_extremes(tmp_path: Path) -> None:
    matrix = torch.tensor([[0.0, 1.0, 0.5]])
    path = plots.similarity_matrix(matrix, ["r"], ["x", "y", "z"], tmp_path / "matrix.png")
    assert {(68, 1, 84), (253, 231, 36)} <= colors(path)  # the two ends of viridis


def test_attention_is_brightest_where_the_weights_are(tmp_path: Path) -> None:
    maps = torch.zeros(1, 2, 2)
    maps[0, 0, 1] = 5.0  # upper right; not normalised
    image = torch.full((1, 3, 8, 8), 1.0)
    path = plots.attention_overlay(image, maps, tmp_path / "look.png", titles=["white"])
    drawn = Image.open(path).convert("RGB")
    third = drawn.height // 3
    yellow = [
        (x, y)
        for x in range(drawn.width)
        for y in range(third, 2 * third)
        if drawn.getpixel((x, y)) == (253, 231, 36)
    ]
    assert yellow and min(x for x, _ in yellow) > drawn.width / 2


def test_right_and_wrong_answers_have_their_frames(tmp_path: Path) -> None:
    image = torch.full((3, 4, 4), 1.0)
    frames = {plots.RIGHT: [[True, True]], plots.WRONG: [[False, False]]}
    for color, right in frames.items():
        path = plots.retrieval_sheet(["what"], [[image, "word"]], right, tmp_path / "sheet.png")
        rgb = tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
        other = plots.RIGHT if color == plots.WRONG else plots.WRONG
        unwanted = tuple(int(other[i : i + 2], 16) for i in (1, 3, 5))
        assert rgb in colors(path) and unwanted not in colors(path)


@pytest.fixture
def drawn(monkeypatch) -> list:
    """The figures that would be saved."""
    figures: list = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    return figures


def test_a_curve_names_its_axes_its_lines_and_what_it_is(drawn: list) -> None:
    rows = [{"step": 0, "loss": 2.0, "kl": 1.0}, {"step": 5, "loss": 1.0}]
    plots.curve(rows, "c.png", heading="it falls")
    plots.curve(rows, "c.png", keys=("loss", "kl"))
    (one,), (two,) = (figure.axes for figure in drawn)
    assert (one.get_xlabel(), one.get_ylabel(), one.get_title()) == ("step", "loss", "it falls")
    assert one.get_legend() is None and two.get_ylabel() == ""
    assert [text.get_text() for text in two.get_legend().get_texts()] == ["loss", "kl"]
    assert [line.get_xydata().tolist() for line in two.lines] == [[[0, 2], [5, 1]], [[0, 1]]]


def test_a_sheet_has_the_query_first_and_the_answers_by_rank(drawn: list) -> None:
    red, blue = torch.zeros(2, 3, 4, 4).sub(1).unbind(0)
    red[0], blue[2] = 1, 1
    queries, answers = ["a red dot", "a blue dot"], [[red, blue], [blue]]
    plots.retrieval_sheet(queries, answers, [[True, False], [True]], "s.png", heading="found")
    (figure,) = drawn
    top, bottom = figure.axes[:3], figure.axes[3:]
    assert [axis.get_title() for axis in top] == ["query", "1", "2"]
    assert figure.get_suptitle() == "found"
    assert [[len(axis.images) for axis in row] for row in (top, bottom)] == [[0, 1, 1], [0, 1, 0]]
    for row, query in ((top, "red"), (bottom, "blue")):
        assert query in row[0].texts[0].get_text()
    shown = [
        np.asarray(axis.images[0].get_array())[0, 0].tolist() for axis in (*top[1:], bottom[1])
    ]
    assert [np.argmax(color) for color in shown] == [0, 2, 2]


def test_curve_and_bars_draw(tmp_path: Path) -> None:
    rows = [{"step": i, "loss": 1.0 / (i + 1), "accuracy": i / 9} for i in range(10)]
    assert plots.curve(rows, tmp_path / "curve.png", keys=("loss", "accuracy")).stat().st_size > 0
    path = plots.bars({"seen": 0.9, "a" * 99: 0.1}, tmp_path / "bars.png", expected=0.8)
    assert plots.LINES[0] == "#2b5c8a" and (43, 92, 138) in colors(path)


def test_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.png"
    with pytest.raises(ValueError, match="2 images but 1 titles"):
        plots.image_grid(some_images(2), ["a"], path)
    with pytest.raises(ValueError, match=re.escape("(2, 2) but there are 1 row names and 2")):
        plots.similarity_matrix(torch.eye(2), ["a"], ["b", "c"], path)
    with pytest.raises(ValueError, match="2 images but 1 maps"):
        plots.attention_overlay(some_images(2), torch.ones(1, 4), path)
    with pytest.raises(ValueError, match="5 patches are no square"):
        plots.attention_overlay(some_images(1), torch.ones(1, 5), path)
    with pytest.raises(ValueError, match="1 queries, 0 rows"):
        plots.retrieval_sheet(["a"], [], [], path)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_image(tmp_path: Path, monkeypatch) -> None:
    path = plots.bars({"a": 1.0}, tmp_path / "bars.png")
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        plots.bars({"b": 2.0}, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["bars.png"]


def test_without_matplotlib_a_sentence_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from scratchmm import plots\n"
        "try: plots.bars({'a': 1.0}, 'never.png')\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "images need matplotlib: pip install -e '.[tutorials]'\n"


def test_long_labels_are_cut() -> None:
    assert plots.shorten("x" * 24) == "x" * 24
    assert plots.shorten("x" * 25) == "x" * 23 + "…"


def test_a_grid_marks_right_and_wrong(tmp_path: Path) -> None:
    path = plots.image_grid(some_images(2), ["a", "b"], tmp_path / "g.png", right=[True, False])
    found = colors(path)
    for color in (plots.RIGHT, plots.WRONG):
        assert tuple(int(color[i : i + 2], 16) for i in (1, 3, 5)) in found
    with pytest.raises(ValueError, match="2 images but 1 right or wrong"):
        plots.image_grid(some_images(2), None, path, right=[True])


def test_a_matrix_has_the_scale_of_a_cosine_and_marks_what_is_wrong(tmp_path: Path) -> None:
    """Two matrices can be compared by eye only on one scale: nearly equal numbers look alike."""
    matrix = torch.tensor([[0.05, 0.06], [0.05, 0.04]])
    names = ["a", "b"]
    path = plots.similarity_matrix(matrix, names, names, tmp_path / "fixed.png")
    wide = plots.similarity_matrix(matrix, names, names, tmp_path / "own.png", limits=None)
    assert path.read_bytes() != wide.read_bytes()
    assert (253, 231, 36) in colors(wide)  # the end of viridis
    red = tuple(int(plots.WRONG[i : i + 2], 16) for i in (1, 3, 5))
    right = torch.eye(2, dtype=torch.bool)
    marked = plots.similarity_matrix(matrix, names, names, tmp_path / "m.png", right=right)
    assert red in colors(marked) and red not in colors(path)
    good = plots.similarity_matrix(torch.eye(2), names, names, tmp_path / "r.png", right=right)
    assert red not in colors(good)
    with pytest.raises(ValueError, match=re.escape("(2, 2) but right is (1, 2)")):
        plots.similarity_matrix(matrix, names, names, path, right=right[:1])


def test_a_figure_is_shown_in_a_notebook_and_let_go(tmp_path: Path, monkeypatch) -> None:
    import matplotlib.pyplot as plt

    figure, _ = plt.subplots()
    shown: list[bytes] = []
    display = types.ModuleType("IPython.display")
    display.Image, display.display = lambda data: data, shown.append  # type: ignore[attr-defined]
    shell = types.ModuleType("IPython")
    shell.get_ipython = lambda: types.SimpleNamespace(kernel=1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    path = plots.save(figure, tmp_path / "new" / "mine.png")
    assert shown == [path.read_bytes()] and not plt.get_fignums()
    plots.bars({"a": 1.0}, tmp_path / "bars.png")
    assert len(shown) == 2
    shell.get_ipython = lambda: types.SimpleNamespace()  # type: ignore[attr-defined]  # a terminal
    plots.bars({"a": 1.0}, tmp_path / "bars.png")
    monkeypatch.delitem(sys.modules, "IPython")
    plots.bars({"a": 1.0}, tmp_path / "bars.png")
    assert len(shown) == 2
