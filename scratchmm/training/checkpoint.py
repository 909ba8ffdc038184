"""Checkpoints: a file that is either the whole old one or the whole new one, and never code.

A checkpoint is written under another name beside its place and moved there, which the file system
does in one piece (`atomic_file`). Files are read with `weights_only=True`: tensors and plain data,
nothing else.

Differs from the paper: nothing (there is none).
"""

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scratchmm.file_kinds import foreign_kind
from scratchmm.files import atomic_file

FORMAT = "scratchmm checkpoint 1"


def save_checkpoint(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists, dicts) to `path`, all of it or nothing.

    Raises OSError with a sentence that names the file if it cannot be written.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "checkpoint.pt"
    >>> save_checkpoint(path, {"step": 3, "model": {"weight": torch.ones(2)}})
    >>> load_checkpoint(path)["step"]
    3
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_file(path) as file:
            torch.save({"format": FORMAT, **state}, file)
    except RuntimeError as error:  # torch's, which speaks of C++ and names no file
        raise OSError(f"{path} could not be written: the disk may be full") from error
    _sync_folder(path.parent)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote, on the CPU. Raises ValueError for any other kind of file."""
    state = read_torch_file(path)
    if not isinstance(state, dict) or state.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this library ({FORMAT!r})")
    return state


def read_torch_file(path: str | Path) -> Any:
    """What torch.save wrote to `path`, if it is data: tensors, numbers, strings and containers.

    A zip archive's check sums are compared first. Files from before torch 1.6 (no archives) have
    none, so that a flipped bit in their numbers goes unseen: compare a checksum of the whole file.

    Raises FileNotFoundError if there is none, ValueError if the file would run code, is cut off or
    damaged or is something else, MemoryError if it asks for more memory than there is.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    kind = foreign_kind(path)
    if kind:
        raise ValueError(f"{path} was not written by torch.save: it is {kind}")
    check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is raised, and said once
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged bytes end in almost any error of torch, pickle and struct
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise MemoryError(f"{path} asks for more memory than there is") from None
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and wanted:
            raise ValueError(
                f"{path} is refused: it would call {wanted[1]} when read, and only tensors and "
                "plain data are allowed"
            ) from None
        raise ValueError(f"{path} is damaged or was not written by torch.save") from None


def check_archive(path: str | Path) -> None:
    """Refuse a zip archive whose bytes are not those that its own check sums (CRC-32) are of.

    torch reads flipped bits as they come. Other files pass, and so do archives that were written
    without sums. Raises ValueError that names the file and the member.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "whole.pt"
    >>> torch.save({"weight": torch.ones(2)}, path)
    >>> check_archive(path)
    """
    path = Path(path)
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return
    try:
        if not zipfile.is_zipfile(path):
            raise EOFError
        with zipfile.ZipFile(path) as archive:
            sums = [member.CRC for member in archive.infolist() if member.file_size]
            damaged = archive.testzip() if any(sums) else None
    except EOFError:
        size = path.stat().st_size
        raise ValueError(
            f"{path} is cut off or damaged: its {size} bytes end without the table of an archive"
        ) from None
    except Exception:  # noqa: BLE001 - of zipfile, zlib, struct and codecs
        damaged = "the table of the archive"
    if damaged:
        raise ValueError(f"{path} is damaged: {damaged} is not what was written")


def differences(expected: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What keeps the tensors `given` from filling the places `expected`, one line a name.

    >>> differences({"a": torch.ones(2), "b": torch.ones(3)}, {"a": torch.ones(4), "c": 1})
    ['a is (4,) and should be (2,)', 'b is missing', 'c is surplus']
    """
    found = []
    for name, tensor in expected.items():
        if name not in given:
            found.append(f"{name} is missing")
        elif not isinstance(given[name], torch.Tensor):
            found.append(f"{name} is a {type(given[name]).__name__} and should be a tensor")
        elif given[name].shape != tensor.shape:
            was, should = tuple(given[name].shape), tuple(tensor.shape)
            found.append(f"{name} is {was} and should be {should}")
    return found + [f"{name} is surplus" for name in given if name not in expected]


def _sync_folder(folder: Path) -> None:
    """Put the new name itself on the disk (on Windows a folder can't be opened for that)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
