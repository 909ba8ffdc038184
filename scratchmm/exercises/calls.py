"""What a call of the candidate can end in, and how it is told."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.exercises.compare import brief


class Failed(Exception):
    """A property does not hold. kind: wrong, raised, memory, shortcut, detached, changed ...

    subject: what was changed. sentence, story and advice: where it is known without a bank.
    """

    sentence = story = advice = ""

    def __init__(
        self,
        kind: str,
        expected: str,
        got: str,
        where: str = "",
        cause: BaseException | None = None,
        subject: str = "",
    ) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.kind, self.expected, self.got, self.where = kind, expected, got, where
        self.cause, self.subject = cause, subject


class NotWritten(Exception):
    """The stub's own NotImplementedError was reached: nothing to judge yet."""


def by_hand(error: NotImplementedError) -> bool:
    """Whether it comes from a `raise` of the learner's own, and not from torch or this library."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    home = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
    raised = trace.tb_frame.f_code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return raised and home not in ("torch", "scratchmm")


def told_unwritten(error: NotImplementedError) -> str:
    """What the report says of it.

    >>> told_unwritten(NotImplementedError("masks come later"))
    'it raises a NotImplementedError (masks come later)'
    """
    return f"it raises a NotImplementedError{f' ({brief_error(error)})' if str(error) else ''}"


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


def argument_told(name: str, value: Any, axes: Callable[[Any], str] = lambda value: "") -> str:
    """An argument as a message shows it. axes: gives the names of a tensor's axes, "B L D".

    >>> argument_told("x", torch.zeros(2, 5), lambda x: "B L"), argument_told("k", 3)
    ('x (B=2, L=5)', 'k=3')
    >>> argument_told("features", {"words": torch.zeros(2, 5)})
    'features {words (2, 5)}'
    """
    if isinstance(value, (tuple, list)) and any(isinstance(one, Tensor) for one in value):
        return f"{name} ({len(value)} tensors)".strip()
    if isinstance(value, dict) and any(isinstance(one, Tensor) for one in value.values()):
        inside = [argument_told(str(key), one, axes) for key, one in value.items()]
        return f"{name} {{{', '.join(inside)}}}".strip()
    if not isinstance(value, Tensor):
        # In full, so that the learner can make the same call; a layer's repr would tell less.
        most = 60 if isinstance(value, nn.Module) else 320
        text = value.__name__ if hasattr(value, "__name__") else brief(value, most)
        if isinstance(value, torch.Generator):
            text = f"torch.Generator().manual_seed({value.initial_seed()})"
        return f"{name}={text}" if name else text
    kind = "" if value.dtype == torch.float32 else str(value.dtype).removeprefix("torch.") + " "
    names = axes(value).split()
    if len(names) == value.dim() and value.dim():
        sizes = zip(names, value.shape, strict=True)
        shape = ", ".join(str(n) if a.isdigit() else f"{a}={n}" for a, n in sizes)
    else:
        shape = ", ".join(map(str, value.shape))
    return f"{name} {kind}({shape})".strip()


def call_told(function: Any, names: list[str], values: list[Any], axes: dict[int, str]) -> str:
    """A call as a message shows it. axes: the names of a tensor's axes, by the tensor's id.

    >>> call_told(len, ["x"], [[1, 2]], {})
    'len(x=[1, 2])'
    """
    name = getattr(function, "__name__", type(function).__name__)
    if inspect.ismethod(function):
        name = f"{type(function.__self__).__name__}.{name}"
    told = [
        argument_told(name, value, lambda x: axes.get(id(x), ""))
        for name, value in zip(names, values, strict=True)
    ]
    return f"{name}({', '.join(told)})"


def brief_error(error: BaseException) -> str:
    """The first line of an exception's text."""
    lines: Sequence[str] = str(error).strip().splitlines() or [""]
    return lines[0][:160]


def ending(error: BaseException) -> str:
    """What code did that raised something which is no Exception.

    >>> ending(SystemExit(3)), ending(GeneratorExit())
    ('called exit(3)', 'raised GeneratorExit')
    """
    if isinstance(error, SystemExit):
        return f"called exit({error.code})"
    return f"raised {type(error).__name__}"


def gradients_of(output: Tensor, leaves: dict[str, Tensor], upstream: Tensor) -> dict[str, Tensor]:
    """What arrives at each leaf; zeros where the output does not depend on it.

    >>> x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    >>> gradients_of(3 * x, {"x": x, "y": y}, torch.tensor([1.0, 2.0]))
    {'x': tensor([3., 6.]), 'y': tensor([0., 0.])}
    """
    # The sum is upstream's weighting written out: handing upstream to grad would import sympy, which
    # takes longer than the whole check.
    total = (output * upstream).sum()
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }


def fill(module: nn.Module, seed: int, scale: float) -> None:
    """Set parameters and buffers of floats to numbers that depend on name and seed.

    >>> layer = nn.Linear(1, 1)
    >>> fill(layer, 0, 0.0)
    >>> abs(layer.bias.item())
    0.0
    """
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                own = sum(ord(letter) * 31**i for i, letter in enumerate(name[-12:]))
                generator = torch.Generator().manual_seed((seed + own) % 2**31)
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
