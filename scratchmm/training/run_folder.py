"""The folder of a run: it belongs to one run at a time, and to the code and data that began it.

Differs from the paper: nothing (there is none).
"""

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from torch import nn

import scratchmm
from scratchmm.claims import claimed
from scratchmm.needed_code import code_hash
from scratchmm.sentences import shortened

CODE, DATA = "code", "content of the data"  # settings of a run that nobody types
P = ParamSpec("P")
R = TypeVar("R")


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

    With what the functions hold, such as the one that varies the images. What stands outside of
    the package, such as a lesson's own loss, is not in it.

    >>> code_of_run(nn.Linear(1, 1)) == code_of_run(nn.Linear(2, 2))
    True
    """
    cells = [
        cell for function in functions for cell in getattr(function, "__closure__", None) or []
    ]
    held = [cell.cell_contents for cell in cells]
    called = [*functions, *filter(callable, held)]  # such as the change of images in a batch
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
        raise ValueError(
            f"{path} {said}: choose another folder, or start anew there (--fresh, or delete that file)"
        )
