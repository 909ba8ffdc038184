"""The style of figures; creating, saving and showing them.

`plots` draws with it; a lesson that draws figures of its own saves them with `plots.save`.
"""

import sys
from pathlib import Path
from typing import Any

from scratchmm.files import atomic_file

INK, QUIET, RIGHT, WRONG = "#222222", "#8a8f98", "#2a7f4f", "#c0392b"
LINES = ("#2b5c8a", "#c8752d", "#5b8c5a", "#8a4f7d")
STYLE: Any = {
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 9),
    **dict.fromkeys(("axes.labelcolor", "text.color", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    **dict.fromkeys(("figure.dpi", "savefig.dpi"), 120),
    "axes.edgecolor": QUIET,
    "image.interpolation": "nearest",
}


def shorten(text: str, length: int = 24) -> str:
    """A label that fits: cut at `length` characters, the cut shown by an ellipsis.

    >>> shorten("a small red star on a white ground", 16)
    'a small red sta…'
    """
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def new_figure(
    rows: int, columns: int, width: float, height: float, **grid: Any
) -> tuple[Any, Any]:
    """A figure and its (rows, columns) array of axes, in the style above.

    Raises ImportError where there is no matplotlib.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("images need matplotlib: pip install -e '.[tutorials]'") from error
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A Figure of its own instead of pyplot: nothing global changes, nothing has to be closed.
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False, **grid)
    return figure, axes


def save(figure: Any, path: str | Path) -> Path:
    """Write a figure as PNG, show it where cells are run, close it; returns the path.

    The file is written atomically. Takes any matplotlib figure; one of pyplot's is closed, so that
    many figures do not fill the memory.
    """
    import matplotlib

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE), atomic_file(path) as file:
        figure.savefig(file, format="png")
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)  # nothing happens if it is not pyplot's
    return show(path)


def show(path: str | Path) -> Path:
    """Show an image file (PNG, GIF) below the cell that runs, in a notebook or an editor's cells.

    In a script it does nothing. Returns the path.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):  # not in a terminal, which shows no images
        from IPython.display import Image, display

        display(Image(data=Path(path).read_bytes()))
    return Path(path)
