"""Shortcuts that an exercise forbids: while the learner's code runs, they raise.

Enforced by what the code does and not by reading its text, so it does not matter how they are
imported.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any


class ShortcutTaken(BaseException):
    """A forbidden function was called. No `except Exception` of the learner's hides it."""


@contextmanager
def forbidding(names: Sequence[str], namespace: dict[str, Any]) -> Iterator[None]:
    """Within this block each dotted name raises ShortcutTaken, also under the aliases in `namespace`.

    >>> import math
    >>> with forbidding(["math.sqrt"], {}):
    ...     try: math.sqrt(4)
    ...     except ShortcutTaken as shortcut: print(shortcut)
    math.sqrt is what this exercise asks you to write
    >>> math.sqrt(4)
    2.0
    """
    undo: list[Callable[[], None]] = []
    try:
        for name in names:
            owner, attribute = resolve(name)
            original = getattr(owner, attribute)
            undo.append(replaced(owner, attribute, refusing(name)))
            for alias, value in list(namespace.items()):
                if value is original and not inspect.ismodule(value):
                    namespace[alias] = getattr(owner, attribute)
                    undo.append(partial(namespace.__setitem__, alias, value))
        yield
    finally:
        for restore in reversed(undo):
            restore()


def resolve(name: str) -> tuple[Any, str]:
    """The owner and the attribute of a dotted name: a module or a class, and a string.

    >>> resolve("torch.Tensor.unfold")
    (<class 'torch.Tensor'>, 'unfold')
    """
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:-1]:
            owner = getattr(owner, part)
        return owner, parts[-1]
    raise ValueError(f"the forbidden name {name!r} can't be found")


def replaced(owner: Any, attribute: str, value: Any) -> Callable[[], None]:
    """Set an attribute; return the function that undoes it."""
    if attribute in vars(owner):
        original = vars(owner)[attribute]
        setattr(owner, attribute, value)
        return lambda: setattr(owner, attribute, original)
    setattr(owner, attribute, value)
    return lambda: delattr(owner, attribute)


def refusing(name: str) -> Callable[..., Any]:
    """A stand-in that raises when it is called."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise ShortcutTaken(f"{name} is what this exercise asks you to write")

    return refuse
