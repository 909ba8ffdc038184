"""A lock on a folder: only one process at a time writes a run or a batch of images into it.

Below all rooms, as `files` is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from scratchmm.files import remove_leftovers

LOCK = ".running"  # in the folder, while a process writes there


@contextmanager
def claimed(folder: str | Path) -> Iterator[None]:
    """While the block runs, no other process may use this folder: OSError if one does already.

    The operating system releases the lock when a process ends, however it ends. A folder that was
    created for this and is empty in the end is removed again. (Without fcntl, as on Windows,
    nothing is locked.)

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with claimed(folder), claimed(folder):
    ...     pass
    Traceback (most recent call last):
    OSError: ... is in use by another run: wait for its end, or choose another folder
    """
    place = Path(folder)
    made = [path for path in (place, *place.parents) if not path.exists()]
    place.mkdir(parents=True, exist_ok=True)
    try:
        lock = _lock(place / LOCK)
        try:
            remove_leftovers(place)
            yield
        finally:
            (place / LOCK).unlink(missing_ok=True)
            lock.close()
    finally:
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _lock(path: Path) -> IO[bytes]:
    """The open file that holds the lock."""
    try:
        import fcntl
    except ImportError:
        return path.open("wb")
    while True:
        try:
            file = path.open("wb")
        except OSError as error:
            raise OSError(f"{path.parent} cannot be written to: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise OSError(
                f"{path.parent} is in use by another run: wait for its end, or choose another folder"
            ) from None
        except OSError:  # a file system that knows no locks
            return file
        if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
            return file
        file.close()  # its owner removed the file between open and lock
