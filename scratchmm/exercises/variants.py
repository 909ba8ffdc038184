"""Other ways to make a call: with one sample, twice, in other memory, in another dtype ..."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from scratchmm.exercises.case import Case
from scratchmm.exercises.copies import duplicate, leaves, mapped
from scratchmm.exercises.recorder import Call, Ran, run

Change = Callable[[str, Tensor], Tensor]


def with_tensors(call: Call, change: Change) -> Call:
    """The call with each tensor of its arguments changed; nothing is shared, nothing has a gradient."""
    copied = call.copy()
    args = mapped(copied.args, lambda path, x: change(path, x.detach()))
    kwargs = mapped(copied.kwargs, lambda path, x: change(path, x.detach()))
    return replace(copied, args=args, kwargs=kwargs)


def plain(call: Call) -> Call:
    """The call once more."""
    return with_tensors(call, lambda path, x: x)


def following(call: Call, owner: Any) -> Call:
    """The call once more, on the object that an earlier one has used."""
    return replace(call, owner=owner)


def tensors(call: Call) -> list[tuple[str, Tensor]]:
    """All tensors of the arguments."""
    return [(path, x) for path, x in leaves(call.values()) if isinstance(x, Tensor)]


def batch(call: Call) -> int:
    """The first axis of the first tensor, or 0 where there is none."""
    return next((x.shape[0] for _, x in tensors(call) if x.dim()), 0)


def closed(call: Call) -> bool:
    """Whether it is a function of a property that holds more tensors or modules in its closure."""
    return call.owner is None and bool(getattr(call.function, "__closure__", None))


def alone(call: Call) -> Call | None:
    """Only the first sample: everything whose first axis is the batch's, and lists as long."""
    size = batch(call)
    if size < 2 or closed(call):
        return None
    one = plain(call)
    return replace(one, args=first_of(one.args, size, top=True), kwargs=first_of(one.kwargs, size))


def first_of(value: Any, size: int, top: bool = False) -> Any:
    """The part of the first sample; top: the tuple of arguments itself is never cut."""
    if isinstance(value, Tensor):
        return value[:1] if value.dim() and value.shape[0] == size else value
    if type(value) in (list, tuple):
        cut = value[:1] if len(value) == size and not top and not _of_tensors(value) else value
        return type(value)(first_of(one, size) for one in cut)
    if isinstance(value, tuple):
        return type(value)(*(first_of(one, size) for one in value))
    if isinstance(value, dict):
        other = duplicate(value)
        other.update({name: first_of(one, size) for name, one in value.items()})
        return other
    return value


def _of_tensors(value: Any) -> bool:
    """Whether it is a list of tensors, which stand beside each other and not below."""
    return any(isinstance(one, Tensor) for one in value)


def flipped(call: Call) -> Call | None:
    """Other numbers of the same shapes: the samples in the opposite order."""
    size = batch(call)
    if size < 2:
        return None
    return with_tensors(call, lambda path, x: x.flip(0) if x.dim() and len(x) == size else x)


def axes(call: Call) -> Iterator[tuple[str, Call]]:
    """For each named axis but the first: the call with one place along it."""
    values = call.values()
    named = {place: names.split() for place, names in call.axes.items()}
    if closed(call) or len(named) < len(tensors(call)):
        return  # one that has no names might have to be cut too
    for axis in dict.fromkeys(name for names in named.values() for name in names):
        sizes = [
            values[at].shape[names.index(axis)] for at, names in named.items() if axis in names
        ]
        if axis.isdigit() or set(sizes) == {1}:
            continue
        cut = duplicate(values)
        for at, names in named.items():
            if axis in names:
                cut[at] = cut[at].detach().narrow(names.index(axis), 0, 1).clone()
        other = plain(call)
        kwargs = dict(zip(call.kwargs, cut[len(call.args) :], strict=True))
        yield axis, replace(other, args=tuple(cut[: len(call.args)]), kwargs=kwargs)


def transposed(call: Call) -> Call | None:
    """The same numbers, with the memory of their axes in the opposite order."""
    if not any(x.dim() > 1 and x.numel() > 1 for _, x in tensors(call)):
        return None

    def turned(path: str, x: Tensor) -> Tensor:
        back = list(range(x.dim()))[::-1]
        return x.permute(back).contiguous().permute(back)

    return with_tensors(call, turned)


def sliced(call: Call) -> Call | None:
    """The same numbers, each second one of a longer memory."""
    if not any(x.dim() and x.numel() > 1 for _, x in tensors(call)):
        return None
    doubled = lambda path, x: torch.stack([x, x], -1)[..., 0] if x.dim() else x  # noqa: E731
    return with_tensors(call, doubled)


def in_dtype(call: Call, dtype: torch.dtype) -> Call | None:
    """All float32 numbers in another dtype, those of the module too."""
    given = [x for _, x in tensors(call) if x.is_floating_point()]
    if closed(call) or not given or any(x.dtype != torch.float32 for x in given):
        return None
    other = with_tensors(call, lambda path, x: x.to(dtype) if x.is_floating_point() else x)
    values = [*other.args, *other.kwargs.values(), other.owner]
    for module in values:
        if isinstance(module, nn.Module):
            module.to(dtype)
    return other


def learning(call: Call) -> Call | None:
    """Every input of floats wants a gradient."""
    if not any(x.is_floating_point() for _, x in tensors(call)):
        return None
    return with_tensors(call, lambda path, x: x.requires_grad_() if x.is_floating_point() else x)


def move(owner: Any) -> bool:
    """A step of training, so to speak. Returns whether there was anything to move."""
    parameters = list(owner.parameters()) if isinstance(owner, nn.Module) else []
    with torch.no_grad():
        for parameter in parameters:
            if parameter.is_floating_point():
                parameter.mul_(1.5).add_(0.25)
    return bool(parameters)


def spoil(ran: Ran, owner: Any) -> None:
    """What a caller may do with a result: write into it. Parameters are left alone."""
    kept = {p.untyped_storage().data_ptr() for p in getattr(owner, "parameters", list)()}
    for _, x in leaves(ran.value):
        if isinstance(x, Tensor) and x.untyped_storage().data_ptr() not in kept:
            with torch.no_grad():
                x.detach().fill_(1)


def reseeds(call: Call, case: Case) -> bool:
    """Whether torch's global generator ends in the same state wherever it began."""
    states = []
    for seed in (1, 2):
        run(plain(call), Case(seed, case.exercise, case.guard))
        states.append(torch.get_rng_state())
    return torch.equal(*states)


class Elsewhere(TorchFunctionMode):
    """As if the inputs were on a GPU: a new tensor that is not put beside them is on another device.

    That device is meta. Numbers (tensors without axes) may mix with any device, so they stay.
    """

    MAKERS = frozenset(
        getattr(torch, name)
        for name in "arange empty eye full hann_window linspace logspace ones rand randint randn "
        "randperm scalar_tensor tensor tril_indices triu_indices zeros from_numpy".split()
    )

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call it, and move what it made."""
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        given = kwargs.get("device") is not None or kwargs.get("generator") is not None
        placed = given or any(isinstance(x, Tensor) for x in args)
        return made.to("meta") if func in self.MAKERS and not placed and made.dim() else made
