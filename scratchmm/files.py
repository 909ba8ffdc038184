"""Files written atomically, so that no reader finds half an image or half a sound; and JSON files.

Below all rooms, since images, sounds, clips and checkpoints are all written through it. Reading
JSON refuses a damaged file by its name and line.
"""

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from scratchmm.file_kinds import text_of


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """A temporary file to write to, which is renamed to `path` if the block ends without an error.

    Each writer has a temporary name of its own, so that of two writers of one file either the one
    or the other result is left, complete. `remove_leftovers` removes those of killed writers.
    Raises OSError with a sentence that names the file; then the old one is kept.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "out.bin"
    >>> with atomic_file(path) as file:
    ...     file.write(b"abc"), path.exists()
    (3, False)
    >>> path.read_bytes()
    b'abc'
    """
    path = Path(path)
    place = Path(os.path.realpath(path))  # a link stays a link
    temporary = place.with_name(f".{place.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # on the disk before the name points at it
        os.replace(temporary, place)
    except OSError as error:
        why = error.strerror or "the disk may be full"
        raise OSError(f"{path} could not be written: {why}") from error
    finally:
        if place.parent.is_dir():
            temporary.unlink(missing_ok=True)


def atomic_write(path: str | Path, content: bytes | str) -> None:
    """Write bytes, or text in UTF-8, to a file atomically.

    Raises OSError with a sentence that names the file.

    >>> atomic_write("no such folder/out.png", b"")
    Traceback (most recent call last):
    OSError: no such folder/out.png could not be written: No such file or directory
    """
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def read_json(path: str | Path) -> Any:
    """The content of a JSON file. Raises ValueError that names the file, and the line if it is known.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "config.json"
    >>> atomic_write(path, '{"width": 64}')
    >>> read_json(path)
    {'width': 64}
    """
    text = text_of(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} of {path} is no JSON: {error.msg}") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply to be read") from None
    except ValueError:  # Python reads no whole number of more than 4,300 digits
        raise ValueError(f"{path} holds a number with too many digits to be read") from None


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files of killed writers from a folder.

    >>> remove_leftovers("no such folder")
    """
    folder = Path(folder)
    if (
        os.name != "posix" or not folder.is_dir()
    ):  # elsewhere there is no test whether a process is alive
        return
    for path in folder.iterdir():
        process = re.fullmatch(r"\..+\.(\d+)-\d+\.part", path.name)
        if process and not _lives(int(process[1])):
            path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only tests
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it belongs to another user
        return True
    return True
