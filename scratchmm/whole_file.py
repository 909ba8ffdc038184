"""Files that are there whole or not at all: what is read never finds half a picture or half a sound.

Below all rooms, since models of pictures, sounds and clips write files alike.
"""

import os
from pathlib import Path


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file under another name beside its place and move it there: whole, or not at all.

    Raises OSError with a sentence that names the file.

    >>> write_whole("no such folder/out.png", b"")
    Traceback (most recent call last):
    OSError: no such folder/out.png could not be written: No such file or directory
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # on the disk before the name points at it
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"{path} could not be written: {error.strerror}") from error
    finally:
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)
