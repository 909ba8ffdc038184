"""The folder of real data: the user's argument, or the environment variable SCRATCHMM_DATA."""

import os
from pathlib import Path


def data_root(root: str | Path | None = None) -> Path:
    """The folder of real data: `root`, else the environment variable SCRATCHMM_DATA.

    Raises ValueError if neither is given and FileNotFoundError if there is no such folder.

    >>> data_root(".")
    PosixPath('.')
    """
    named = root or os.environ.get("SCRATCHMM_DATA")
    if not named:
        raise ValueError(
            "no data folder is given: name one as root (--root), or set SCRATCHMM_DATA"
        )
    folder = Path(named)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no data folder {folder}")
    return folder


def find(
    root: str | Path | None, set_name: str, names: list[str], source: str | None = None
) -> Path:
    """The first of these files that is in root/set_name or in root itself.

    Raises FileNotFoundError with the folders looked in and how to get the set: from `source`, an
    address, or by the command that downloads it.

    >>> find("/", "mnist", ["t10k-labels-idx1-ubyte"])
    Traceback (most recent call last):
    ...
    FileNotFoundError: no t10k-labels-idx1-ubyte in /mnist or /: `python -m scratchmm data \
download mnist --root /` fetches it
    """
    folder = data_root(root)
    places = [folder / set_name, folder]
    for place in places:
        for name in names:
            if (place / name).is_file():
                return place / name
    where = " or ".join(str(place) for place in places)
    fetch = f"`python -m scratchmm data download {set_name} --root {folder}` fetches it"
    if source is not None:
        fetch = f"it is published at {source}"
    raise FileNotFoundError(f"no {names[0]} in {where}: {fetch}")
