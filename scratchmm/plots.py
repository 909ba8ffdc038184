"""The figures of the tour and the lessons, in one style, saved atomically.

Every function takes tensors, writes a PNG and returns its path. Images are float
`(B, 3, H, W)` in [-1, 1]. matplotlib (extra `tutorials`) is imported inside the functions,
and draws without a screen.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scratchmm.plot_style import (
    INK,
    LINES,
    QUIET,
    RIGHT,
    STYLE,
    WRONG,
    new_figure,
    save,
    shorten,
    show,
)

__all__ = ["INK", "LINES", "QUIET", "RIGHT", "STYLE", "WRONG", "save", "shorten", "show"]
__all__ += ["attention_overlay", "bars", "curve", "image_grid", "retrieval_sheet"]
__all__ += ["similarity_matrix"]


def _pixels(image: Tensor) -> Any:
    """(3, H, W) in [-1, 1] -> (H, W, 3) in [0, 1] for imshow; one channel becomes grey."""
    image = image.detach().float().cpu()
    if image.shape[0] == 1:
        image = image.expand(3, -1, -1)
    return ((image + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy()


def _blank(axis: Any) -> None:
    """Takes ticks and frame away: images need neither."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def _frame(axis: Any, right: bool) -> None:
    """A frame that marks right or wrong by its line style as well as its colour."""
    color, style = (RIGHT, "-") if right else (WRONG, ":")
    axis.spines[:].set(visible=True, color=color, linewidth=2.5, ls=style)


def image_grid(
    images: Tensor,
    titles: Sequence[str] | None,
    path: str | Path,
    *,
    columns: int = 8,
    heading: str = "",
    right: Sequence[bool] | None = None,
) -> Path:
    """Images (B, 3, H, W) in rows of `columns`, a title over each; `right` frames them.

    What is right gets a green frame and title, what is wrong a dotted red one.

    >>> image_grid(torch.zeros(3, 3, 8, 8), ["a", "b", "c"], "/tmp/scratchmm-grid.png").name
    'scratchmm-grid.png'
    """
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"image_grid got {len(images)} images but {len(titles)} titles")
    if right is not None and len(right) != len(images):
        raise ValueError(f"image_grid got {len(images)} images but {len(right)} right or wrong")
    columns = max(1, min(columns, len(images)))
    rows = max(1, math.ceil(len(images) / columns))
    figure, axes = new_figure(rows, columns, 1.35 * columns, 1.55 * rows + 0.3 * bool(heading))
    for index, axis in enumerate(axes.flat):
        _blank(axis)
        if index < len(images):
            axis.imshow(_pixels(images[index]))
            color = INK
            if right is not None:
                color = RIGHT if right[index] else WRONG
                _frame(axis, right[index])
            if titles is not None:
                axis.set_title(_wrap(titles[index]), fontsize=7.5, color=color)
    figure.suptitle(heading or None)
    return save(figure, path)


def _wrap(text: str, width: int = 18, lines: int = 3) -> str:
    """A title over a small image: a few short lines, the rest cut off."""
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder="…"))


def similarity_matrix(
    matrix: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    path: str | Path,
    *,
    heading: str = "",
    labels: tuple[str, str] = ("", ""),
    limits: tuple[float, float] | None = (-1.0, 1.0),
    right: Tensor | None = None,
) -> Path:
    """A matrix (R, C) as coloured cells with names on both sides; small ones show their numbers.

    `labels` name the two sides, for instance ("image", "caption"). `limits` are the ends of the
    colour scale: those of a cosine, so that two matrices can be compared; None takes the smallest
    and the largest value. `right`, bool (R, C), says which cells belong together: they get a white
    frame, and the largest of a row a dotted red one where it is none of them.

    >>> similarity_matrix(torch.eye(2), ["a", "b"], ["c", "d"], "/tmp/scratchmm-matrix.png").name
    'scratchmm-matrix.png'
    """
    if tuple(matrix.shape) != (len(rows), len(columns)):
        raise ValueError(
            f"the matrix is {tuple(matrix.shape)} but there are {len(rows)} row names and"
            f" {len(columns)} column names"
        )
    if right is not None and right.shape != matrix.shape:
        raise ValueError(f"the matrix is {tuple(matrix.shape)} but right is {tuple(right.shape)}")
    values = matrix.detach().float().cpu()
    cell = 0.42 if max(values.shape) <= 12 else 0.24
    figure, axes = new_figure(1, 1, 2.9 + cell * values.shape[1], 2.3 + cell * values.shape[0])
    axis = axes[0, 0]
    low, high = limits or (values.min().item(), values.max().item())
    shown = axis.imshow(values.numpy(), aspect="equal", vmin=low, vmax=high)
    axis.spines[:].set_visible(False)
    axis.set_xticks(range(len(columns)), [shorten(c) for c in columns], rotation=60, ha="right")
    axis.set_yticks(range(len(rows)), [shorten(r) for r in rows])
    axis.tick_params(length=0, labelsize=7.5)
    axis.set(ylabel=labels[0], xlabel=labels[1], title=heading)
    figure.colorbar(shown, ax=axis, shrink=0.7).outline.set_visible(False)
    if max(values.shape) <= 12:
        for (i, j), value in np.ndenumerate(values.numpy()):
            color = "white" if value < (low + high) / 2 else INK  # viridis is dark where it is low
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=color)
    if right is not None:
        _mark(axis, values, right.cpu())
    return save(figure, path)


def _mark(axis: Any, values: Tensor, right: Tensor) -> None:
    """A frame around each right cell; around a row's largest another one, if it is wrong."""
    best = values.argmax(dim=1).tolist()
    frames = [(i, j, "white", "-") for i, j in right.nonzero().tolist()]
    frames += [(i, j, WRONG, ":") for i, j in enumerate(best) if not right[i, j]]
    for i, j, color, style in frames:
        axis.plot(
            [j - 0.43, j + 0.43, j + 0.43, j - 0.43, j - 0.43],
            [i - 0.43, i - 0.43, i + 0.43, i + 0.43, i - 0.43],
            color=color, linestyle=style, linewidth=1.4,
        )  # fmt: skip


def attention_overlay(
    images: Tensor,
    maps: Tensor,
    path: str | Path,
    *,
    titles: Sequence[str] | None = None,
    heading: str = "",
) -> Path:
    """Each image, its attention map, and the map over the image.

    images (B, 3, H, W); maps (B, h, w) or (B, N) with N a square number, not negative. Each map
    is stretched to the image's size and scaled by its own largest weight.

    >>> attention_overlay(torch.zeros(1, 3, 8, 8), torch.rand(1, 4), "/tmp/scratchmm-look.png").name
    'scratchmm-look.png'
    """
    if len(maps) != len(images):
        raise ValueError(f"attention_overlay got {len(images)} images but {len(maps)} maps")
    maps = maps.detach().float().cpu()
    if maps.ndim == 2:
        side = round(maps.shape[1] ** 0.5)
        if side * side != maps.shape[1]:
            raise ValueError(f"{maps.shape[1]} patches are no square: give maps as (B, h, w)")
        maps = maps.unflatten(1, (side, side))
    size = (int(images.shape[-2]), int(images.shape[-1]))
    stretched = torch.nn.functional.interpolate(maps[:, None], size=size, mode="bilinear")[:, 0]
    figure, axes = new_figure(3, len(images), max(1.5 * len(images), 3.0), 5.0)
    for column, (image, weights) in enumerate(zip(images, stretched, strict=True)):
        weights = (weights / weights.max().clamp(min=1e-12)).numpy()
        pixels = _pixels(image)
        for axis in axes[:, column]:
            _blank(axis)
        axes[0, column].imshow(pixels)
        axes[1, column].imshow(weights, vmin=0, vmax=1)
        axes[2, column].imshow(pixels.mean(-1), cmap="gray", vmin=0, vmax=1)
        axes[2, column].imshow(weights, vmin=0, vmax=1, alpha=0.6)
        if titles is not None:
            axes[0, column].set_title(_wrap(titles[column]), fontsize=7.5)
    for axis, name in zip(axes[:, 0], ("image", "attention", "both"), strict=True):
        axis.set_ylabel(name)
    figure.suptitle(heading or None)
    return save(figure, path)


def curve(
    rows: Sequence[Mapping[str, float]],
    path: str | Path,
    *,
    keys: Sequence[str] = ("loss",),
    heading: str = "",
) -> Path:
    """A training curve: each of `keys` over `step`, as `training.fit` returns the rows.

    >>> curve([{"step": 0, "loss": 2.0}, {"step": 1, "loss": 1.0}], "/tmp/scratchmm-curve.png").name
    'scratchmm-curve.png'
    """
    figure, axes = new_figure(1, 1, 5.2, 3.0)
    axis = axes[0, 0]
    for key, color in zip(keys, LINES * (1 + len(keys) // len(LINES)), strict=False):
        points = [(row["step"], row[key]) for row in rows if key in row]
        axis.plot(*zip(*points, strict=True), color=color, linewidth=1.3, label=key)
    axis.set(xlabel="step", ylabel=keys[0] if len(keys) == 1 else "", title=heading)
    if len(keys) > 1:
        axis.legend(frameon=False)
    return save(figure, path)


def bars(
    values: Mapping[str, float],
    path: str | Path,
    *,
    heading: str = "",
    label: str = "",
    expected: float | None = None,
) -> Path:
    """Horizontal bars with their numbers; `expected` draws a line to compare with.

    >>> bars({"seen": 0.99, "unseen": 0.9}, "/tmp/scratchmm-bars.png", expected=0.85).name
    'scratchmm-bars.png'
    """
    names = [shorten(name, 32) for name in values]
    figure, axes = new_figure(1, 1, 5.2, 0.9 + 0.32 * len(names))
    axis = axes[0, 0]
    drawn = axis.barh(range(len(names)), list(values.values()), color=LINES[0], height=0.65)
    axis.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()  # the first name stands on top
    axis.tick_params(axis="y", length=0)
    axis.set(xlabel=label, title=heading, xmargin=0.12)
    if expected is not None:
        axis.axvline(expected, color=WRONG, linewidth=1, linestyle="--")
    return save(figure, path)


def retrieval_sheet(
    queries: Sequence[str | Tensor],
    answers: Sequence[Sequence[str | Tensor]],
    right: Sequence[Sequence[bool]],
    path: str | Path,
    *,
    heading: str = "",
) -> Path:
    """One row a query: the query, then its answers from the best down, framed right or wrong.

    A query or an answer is an image (3, H, W) or a text; `right[q][k]` says whether answer k of
    query q is a right one.

    >>> dot = torch.zeros(3, 8, 8)
    >>> retrieval_sheet(["a dot"], [[dot, dot]], [[True, False]], "/tmp/scratchmm-found.png").name
    'scratchmm-found.png'
    """
    if not len(queries) == len(answers) == len(right):
        raise ValueError(
            f"{len(queries)} queries, {len(answers)} rows of answers and {len(right)} rows of"
            " right or wrong must be equally many"
        )
    columns = 1 + max((len(row) for row in answers), default=0)
    figure, axes = new_figure(len(queries), columns, 1.5 * columns, 1.5 * len(queries) + 0.4)
    for axis in axes.flat:
        _blank(axis)
    for line, (query, row, good) in enumerate(zip(queries, answers, right, strict=True)):
        _show(axes[line, 0], query)
        for rank, (answer, ok) in enumerate(zip(row, good, strict=True), start=1):
            _show(axes[line, rank], answer)
            _frame(axes[line, rank], ok)
    for rank in range(columns):
        axes[0, rank].set_title("query" if rank == 0 else str(rank), color=QUIET)
    figure.suptitle(heading or None)
    return save(figure, path)


def _show(axis: Any, item: str | Tensor) -> None:
    """An image, or a text in the middle of an empty cell."""
    if isinstance(item, Tensor):
        axis.imshow(_pixels(item))
        return
    axis.set_box_aspect(1)
    text = _wrap(item, 14, 6)
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=7.5, transform=axis.transAxes)
