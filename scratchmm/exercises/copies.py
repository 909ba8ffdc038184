"""Copies of whatever a call was handed, and what a call has changed in it."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.exercises.compare import brief, first_difference, number, same

FIXED = frozenset((type(None), bool, int, float, str, bytes, torch.dtype, torch.device))


def duplicate(value: Any, known: dict[int, Any] | None = None) -> Any:
    """A copy that shares no memory: tensors, generators, containers, modules, plain objects.

    What can't change (numbers, functions, classes) is handed back. What occurs twice in `value`
    occurs twice in the copy, so tied weights stay tied.

    >>> x = {"a": [torch.ones(2)]}
    >>> duplicate(x)["a"][0] is x["a"][0], duplicate(x)["a"][0].tolist()
    (False, [1.0, 1.0])
    """
    if type(value) in FIXED:
        return value
    if type(value) in (dict, OrderedDict) and not value:
        return type(value)()  # a module has many of these
    known = {} if known is None else known
    if id(value) not in known:
        known[id(value)] = (value, _duplicate(value, known))  # the original keeps its id in use
    return known[id(value)][1]


def _duplicate(value: Any, known: dict[int, Any]) -> Any:
    if isinstance(value, nn.Parameter):
        return nn.Parameter(value.detach().clone(), requires_grad=value.requires_grad)
    if isinstance(value, Tensor):
        other = value.detach().clone()
        return other.requires_grad_() if value.requires_grad and value.is_leaf else other
    if isinstance(value, torch.Generator):
        return torch.Generator(value.device).set_state(value.get_state())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(duplicate(one, known) for one in value))
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(duplicate(one, known) for one in value)
    if isinstance(value, dict):
        table = {} if type(value) is dict else copy.copy(value)
        for name, one in value.items():
            table[name] = duplicate(one, known)
        return table
    if _plain(value):
        other = copy.copy(value)
        known[id(value)] = (value, other)  # before its parts, which may refer to it
        for name, one in list(vars(value).items()):
            vars(other)[name] = duplicate(one, known)
        return other
    return value


def _plain(value: Any) -> bool:
    """Whether it is an object with a state of its own, and no function, class or module."""
    if isinstance(value, nn.Module):
        return True
    return hasattr(value, "__dict__") and not isinstance(value, type) and not _code(value)


def _code(value: Any) -> bool:
    return callable(value) and hasattr(value, "__name__")


def mapped(value: Any, change: Callable[[str, Tensor], Tensor], path: str = "") -> Any:
    """The value with `change(path, tensor)` in place of each tensor in its lists, tuples and dicts.

    >>> mapped([torch.ones(1), 3], lambda path, x: 2 * x)
    [tensor([2.]), 3]
    """
    if isinstance(value, Tensor):
        return change(path, value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        named = zip(value._fields, value, strict=True)
        return type(value)(*(mapped(one, change, f"{path}.{name}") for name, one in named))
    if type(value) in (list, tuple):
        return type(value)(mapped(one, change, f"{path}[{i}]") for i, one in enumerate(value))
    if isinstance(value, dict):
        other = copy.copy(value)
        for name, one in value.items():
            other[name] = mapped(one, change, f"{path}[{name!r}]")
        return other
    return value


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What stands in nested lists, tuples and dictionaries, each with the way to it.

    >>> [path for path, _ in leaves({"a": [1, 2], "b": 3}, "x")]
    ["x['a'][0]", "x['a'][1]", "x['b']"]
    """
    if isinstance(value, (list, tuple)):
        for i, one in enumerate(value):
            yield from leaves(one, f"{path}[{i}]")
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, f"{path}[{name!r}]")
    else:
        yield path, value


def change(before: Any, after: Any, name: str) -> tuple[str, str, str] | None:
    """The first thing that differs from an earlier copy: (what, before, after), each in words.

    Order counts, in dictionaries too. Generators may move on.

    >>> change([3, 1, 2], [1, 2, 3], "lengths")
    ('lengths[0]', '3', '1')
    >>> change({"a": 1}, {"a": 1}, "counts") is None
    True
    """
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        return _tensor_change(before, after, name)
    if isinstance(before, nn.Module):
        return _module_change(before, after, name)
    if type(before) is not type(after):
        return name, brief(before, 60), brief(after, 60)
    if isinstance(before, (list, tuple)):
        if len(before) != len(after):
            return f"the length of {name}", str(len(before)), str(len(after))
        pairs = [(f"{name}[{i}]", *both) for i, both in enumerate(zip(before, after, strict=True))]
    elif isinstance(before, dict):
        if list(before) != list(after):
            return f"{name} has", brief(list(before), 60), brief(list(after), 60)
        pairs = [(f"{name}[{key!r}]", before[key], after[key]) for key in before]
    elif isinstance(before, (int, float, str, bytes, set, frozenset)):
        return None if same(after, before) else (name, brief(before, 60), brief(after, 60))
    elif _plain(before):
        if vars(before).keys() != vars(after).keys():
            return f"{name} holds", brief(sorted(vars(before))), brief(sorted(vars(after)))
        pairs = [(f"{name}.{key}", one, vars(after)[key]) for key, one in vars(before).items()]
    else:
        return None
    return next((found for what, one, other in pairs if (found := change(one, other, what))), None)


def _tensor_change(before: Tensor, after: Tensor, name: str) -> tuple[str, str, str] | None:
    if before.shape != after.shape:
        return f"the shape of {name}", str(tuple(before.shape)), str(tuple(after.shape))
    if before.dtype != after.dtype:
        return f"the dtype of {name}", str(before.dtype), str(after.dtype)
    if after.is_leaf and before.requires_grad != after.requires_grad:
        return f"{name}.requires_grad", str(before.requires_grad), str(after.requires_grad)
    if before.device.type == "meta" or same(after.detach(), before.detach(), 0.0):
        return None
    index = first_difference(after.detach(), before.detach(), 0.0)
    one, other = before[tuple(index)].item(), after[tuple(index)].item()
    return f"{name}{index or ''}", number(one), number(other)


def _module_change(before: nn.Module, after: nn.Module, name: str) -> tuple[str, str, str] | None:
    """Training or not, and the parameters; buffers may be what a layer counts with."""
    for (path, one), (_, other) in zip(before.named_modules(), after.named_modules(), strict=False):
        if one.training != other.training:
            where = f"{name}.{path}" if path else name
            return f"{where}.training", str(one.training), str(other.training)
    others = dict(after.named_parameters())
    for path, one in before.named_parameters():
        if path in others and (found := _tensor_change(one, others[path], f"{name}.{path}")):
            return found
    return None
