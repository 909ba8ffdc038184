"""manifest.jsonl: the provenance of the images in a folder, one JSON object a line.

A line is appended after its image was written. A disk that fills up leaves both as they were.
"""

import errno
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scratchmm.files import atomic_write

Entry = dict[str, Any]  # file, the settings of the image, scores, error
MANIFEST = "manifest.jsonl"


def manifest_of(folder: str | Path) -> list[Entry]:
    """The entries of a folder's manifest.jsonl; none where there is none.

    An incomplete last line, as a killed process leaves it, is ignored.
    Raises ValueError if another line can't be read.

    >>> manifest_of("no such folder")
    []
    """
    path = Path(folder) / MANIFEST
    if not path.exists():
        return []
    entries = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            entry = json.loads(line)
            entries.append({"file": entry["file"], **entry})
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ValueError(
                f"line {number} of {path} is no entry of a manifest: name another folder"
            ) from None
    return entries


def begin_manifest(folder: str | Path, entries: Iterable[Entry]) -> None:
    """Write a folder's manifest anew, with these entries.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> begin_manifest(folder, [{"file": "a.png"}])
    >>> add_entry(folder, {"file": "b.png"})
    >>> manifest_of(folder)
    [{'file': 'a.png'}, {'file': 'b.png'}]
    """
    atomic_write(Path(folder) / MANIFEST, b"".join(_line(entry) for entry in entries))


def add_entry(folder: str | Path, entry: Entry) -> None:
    """Append an entry to a folder's manifest; on an error the manifest stays as it was.

    >>> add_entry("no such folder", {"file": "a.png"})
    Traceback (most recent call last):
    FileNotFoundError: there is no manifest.jsonl in no such folder
    """
    path, line = Path(folder) / MANIFEST, _line(entry)
    if not path.is_file():
        raise FileNotFoundError(f"there is no {MANIFEST} in {folder}")
    size = path.stat().st_size
    try:
        with path.open("ab", buffering=0) as file:
            if file.write(line) != len(line):  # a disk that fills up takes the first part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
    except OSError as error:
        os.truncate(path, size)
        raise OSError(f"{path} could not be written: {error.strerror}") from error


def _line(entry: Entry) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"
