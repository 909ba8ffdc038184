"""What belongs to the whole process and no call may leave changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

# What it is, how it is read, how it is put back.
PARTS: tuple[tuple[str, Callable[[], Any], Callable[[Any], Any]], ...] = (
    ("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
    ("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    ("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
)


def state() -> list[Any]:
    """How the process stands now.

    >>> state()[:2]
    [True, torch.float32]
    """
    return [read() for _, read, _ in PARTS]


def restored(before: list[Any]) -> tuple[str, str, str] | None:
    """Put the process back, and return what was changed first: what, before, after."""
    found = None
    for (what, read, write), wanted in zip(PARTS, before, strict=True):
        now = read()
        if now != wanted:
            found = found or (what, str(wanted), str(now))
            write(wanted)
    return found
