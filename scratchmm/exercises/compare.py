"""How two values are compared, and how a difference is told in one line."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# Wide enough for another order of summation, narrow enough for a forgotten epsilon of 1e-3.
TOLERANCES = {torch.float16: 1e-2, torch.bfloat16: 2e-2, torch.float32: 1e-4, torch.float64: 1e-7}


def same(got: Any, expected: Any, tolerance: float | None = None) -> bool:
    """Equal values, shapes and dtypes; floats within a relative and an absolute tolerance.

    >>> same(torch.tensor([1.0]), torch.tensor([1.0 + 1e-7])), same((1, 2), [1, 2]), same(1, True)
    (True, True, False)
    """
    if isinstance(expected, Tensor) or isinstance(got, Tensor):
        if not (isinstance(expected, Tensor) and isinstance(got, Tensor)):
            return False
        if got.dtype != expected.dtype or got.shape != expected.shape:
            return False
        if got.device.type == "meta" or got.device != expected.device:  # meta has no numbers
            return got.device == expected.device
        return not bool(differs(got, expected, tolerance).any())
    if isinstance(expected, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(expected):
            return False
        return all(same(one, other, tolerance) for one, other in zip(got, expected, strict=True))
    if isinstance(expected, dict):
        if not isinstance(got, dict) or got.keys() != expected.keys():
            return False
        return all(same(got[name], expected[name], tolerance) for name in expected)
    if isinstance(expected, float) and isinstance(got, float):
        return same(torch.tensor(got), torch.tensor(expected), tolerance)
    if isinstance(expected, bool) != isinstance(got, bool):
        return False
    return bool(got == expected)


def differs(got: Tensor, expected: Tensor, tolerance: float | None = None) -> Tensor:
    """Where two tensors of one shape differ: bool of that shape.

    >>> differs(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0])).tolist()
    [False, True]
    """
    if not expected.dtype.is_floating_point and not expected.dtype.is_complex:
        return got != expected
    if tolerance is None:
        tolerance = TOLERANCES.get(expected.dtype, 1e-4)
    return ~torch.isclose(got, expected, rtol=tolerance, atol=tolerance / 10, equal_nan=True)


def first_difference(got: Tensor, expected: Tensor, tolerance: float | None = None) -> list[int]:
    """The first index, in reading order, where two tensors of one shape differ.

    >>> first_difference(torch.tensor([[1, 2], [3, 4]]), torch.tensor([[1, 2], [0, 4]]))
    [1, 0]
    """
    index: list[int] = differs(got, expected, tolerance).nonzero()[0].tolist()
    return index


def snapshot(value: Any) -> Any:
    """A copy of a result that later calls can't change; what can't be compared becomes a word.

    >>> snapshot((torch.ones(1), "text", object()))
    (tensor([1.]), 'text', 'an object')
    """
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, tuple):
        return tuple(snapshot(item) for item in value)  # a NamedTuple too becomes a plain tuple
    if isinstance(value, list):
        return [snapshot(item) for item in value]
    if isinstance(value, dict):
        return {name: snapshot(item) for name, item in value.items()}
    if value is None or isinstance(value, (str, bytes, int, float, bool)):
        return value
    if isinstance(value, nn.Module):
        return {name: tuple(p.shape) for name, p in sorted(value.named_parameters())}
    return "an object"


def brief(value: Any, limit: int = 160) -> str:
    """A value in at most `limit` characters; a tensor by dtype, shape and its first numbers.

    >>> brief(torch.tensor([[1.0, 2.5]]))
    'float32 (1, 2): 1, 2.5'
    >>> brief(None)
    'None'
    """
    if isinstance(value, Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        numbers = ", ".join(number(item) for item in value.detach().flatten()[:6].tolist())
        more = ", ..." if value.numel() > 6 else ""
        text = f"{kind} {tuple(value.shape)}: {numbers}{more}"
    else:
        text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 4] + " ..."


def number(value: Any) -> str:
    """A number with four digits that matter.

    >>> number(0.123456), number(True), number(3)
    ('0.1235', 'True', '3')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)
