"""How two values are compared, and how a difference is told in one line."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

Difference = tuple[str, str, str]  # expected, got, where
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
    numbers = isinstance(expected, (bool, int, float)) and isinstance(got, (bool, int, float))
    if numbers and type(expected) is not type(got):  # 5.0 is no index, and True no count
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


def difference(got: Any, expected: Any, tolerance: float | None = None) -> Difference | None:
    """What was expected, what came and where, in words; None where both are the same.

    >>> difference((1, [2, 3]), (1, [2, 4]))
    ('4', '3', 'result 2 [1]')
    >>> difference(None, 3)
    ('3', 'None (is a return missing?)', '')
    """
    if same(got, expected, tolerance):
        return None
    if got is None:
        return brief(expected), "None (is a return missing?)", ""
    if isinstance(got, Tensor) and isinstance(expected, Tensor):
        return _between_tensors(got, expected, tolerance)
    if isinstance(got, dict) and isinstance(expected, dict):
        return _between_dictionaries(got, expected, tolerance)
    rows = isinstance(got, (list, tuple)) and isinstance(expected, (list, tuple))
    if rows and got and not (isinstance(got[0], str) and got[0] == "raised"):
        return _between_rows(got, expected, tolerance)
    numbers = isinstance(got, (int, float)) and isinstance(expected, (int, float))
    if numbers and same(float(got), float(expected), tolerance):
        kinds = type(expected).__name__, type(got).__name__
        return f"{expected!r} ({kinds[0]})", f"{got!r} ({kinds[1]})", ""
    return brief(expected), brief(got), ""


def _between_tensors(got: Tensor, expected: Tensor, tolerance: float | None) -> Difference:
    if got.shape != expected.shape:
        return f"shape {tuple(expected.shape)}", f"{tuple(got.shape)}", ""
    if got.dtype != expected.dtype:
        return f"{expected.dtype}", f"{got.dtype}", ""
    if got.device != expected.device:
        return f"device {expected.device}", f"{got.device}", ""
    index = first_difference(got, expected, tolerance)
    one, other = got[tuple(index)].item(), expected[tuple(index)].item()
    return number(other), number(one), str(index) if index else ""


def _between_rows(got: Any, expected: Any, tolerance: float | None) -> Difference:
    if len(got) != len(expected):
        told = f"{len(expected)} items: {brief(expected, 120)}", f"{len(got)}: {brief(got, 120)}"
        return *told, ""
    for place, (one, other) in enumerate(zip(got, expected, strict=True)):
        if found := difference(one, other, tolerance):
            here = f"result {place + 1} " if isinstance(expected, tuple) else f"[{place}]"
            return found[0], found[1], f"{here}{found[2]}".strip()
    raise AssertionError("rows that differ nowhere")


def _between_dictionaries(got: Any, expected: Any, tolerance: float | None) -> Difference:
    if got.keys() != expected.keys():
        return f"the keys {brief(list(expected), 120)}", brief(list(got), 120), ""
    for name, other in expected.items():
        if found := difference(got[name], other, tolerance):
            return found[0], found[1], f"[{name!r}]{found[2]}"
    raise AssertionError("dictionaries that differ nowhere")


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
