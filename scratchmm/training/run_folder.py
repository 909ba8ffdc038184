"""The folder of a run: it belongs to one run at a time, and to the code and data that began it.

Differs from the paper: nothing (there is none).
"""

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

from torch import nn

import scratchmm
from scratchmm.sentences import shortened
from scratchmm.source_code import code_hash
from scratchmm.whole_file import remove_leftovers

LOCK = ".running"  # in the folder while a run lives
CODE, DATA = "code", "content of the data"  # settings of a run that nobody types
P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def claimed(folder: str | Path) -> Iterator[None]:
    """While the block runs, no other process may use this folder: OSError if one does already.

    The operating system lets go of the claim when a process ends, however it ends. A folder that was
    made for this and is empty in the end is taken away again. (Where there is no fcntl, as on
    Windows, nothing is held.)

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
        file.close()  # its owner took the file away between open and lock


def one_run_at_a_time(fit: Callable[P, R]) -> Callable[P, R]:
    """`fit`, holding its `folder` while it runs; a run that is stopped says what is kept of it."""

    @functools.wraps(fit)
    def run(*args: P.args, **options: P.kwargs) -> R:
        folder = options.get("folder")
        if not isinstance(folder, str | Path):
            return fit(*args, **options)
        with claimed(folder):
            try:
                return fit(*args, **options)
            except KeyboardInterrupt as stop:
                if (Path(folder) / "checkpoint.pt").exists():
                    stop.add_note(f"What was saved is in {folder}: the same command goes on there.")
                raise

    return run


def code_of_run(model: nn.Module, *functions: Callable[..., Any]) -> str:
    """A hash over the library's code that the run depends on: of its model, its loss, its batches.

    With what the functions hold, such as the one that varies the pictures. What stands outside of
    the package, such as a lesson's own loss, is not in it.

    >>> code_of_run(nn.Linear(1, 1)) == code_of_run(nn.Linear(2, 2))
    True
    """
    cells = [
        cell for function in functions for cell in getattr(function, "__closure__", None) or []
    ]
    held = [cell.cell_contents for cell in cells]
    called = [*functions, *filter(callable, held)]  # such as the change of pictures in a batch
    names = {type(part).__module__ for part in model.modules()}
    names |= {str(getattr(function, "__module__", "")) for function in called}
    root = Path(scratchmm.__file__).resolve().parents[1]
    return _code_of_modules(frozenset({*names, "scratchmm.training.fit"}), root)


@functools.lru_cache(maxsize=32)
def _code_of_modules(names: frozenset[str], root: Path) -> str:
    files = [Path(getattr(sys.modules.get(name), "__file__", None) or "") for name in names]
    inside = [file for file in files if file.is_file() and file.is_relative_to(root / "scratchmm")]
    return code_hash(inside, root)


def check_same_run(path: Path, was: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse to go on with the checkpoint `path` of other settings, data or code (ValueError)."""
    for name in [*asked, *was]:
        if name in was and name in asked and was[name] == asked[name]:
            continue
        said = (
            f"was written with {name}={shortened(repr(was.get(name)))} and this run asks for "
            f"{name}={shortened(repr(asked.get(name)))}"
        )
        if name == DATA:
            said = "was trained on other data than was read now"
        if name == CODE:
            said = "was trained by other code of the model or its training than there is now"
        raise ValueError(f"{path} {said}: choose another folder, or start anew there (--fresh)")
