"""What a call of the candidate can end in, and how it is told."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torch import nn


class Failed(Exception):
    """A property does not hold. kind: wrong, raised, memory, shortcut or detached."""

    def __init__(
        self,
        kind: str,
        expected: str,
        got: str,
        where: str = "",
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.kind, self.expected, self.got, self.where = kind, expected, got, where
        self.cause = cause
        self.called = ""


class NotWritten(Exception):
    """The stub's own NotImplementedError was reached: nothing to judge yet."""


def argument_names(function: Any, count: int) -> list[str]:
    """The names of the first `count` positional arguments, "" where they have none.

    >>> argument_names(lambda query, key: 0, 2)
    ['query', 'key']
    """
    inner = function.forward if isinstance(function, nn.Module) else function
    try:
        names = [
            "" if parameter.kind is parameter.VAR_POSITIONAL else parameter.name
            for parameter in inspect.signature(inner).parameters.values()
            if parameter.kind is not parameter.KEYWORD_ONLY
        ]
    except (TypeError, ValueError):
        names = []
    return (names + [""] * count)[:count]


def brief_error(error: BaseException) -> str:
    """The first line of an exception's text."""
    lines: Sequence[str] = str(error).strip().splitlines() or [""]
    return lines[0][:160]
