"""The calls that the properties make, recorded so that each can be made again in another way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scratchmm.exercises.case import Case
from scratchmm.exercises.compare import snapshot
from scratchmm.exercises.copies import change, duplicate
from scratchmm.exercises.format import Exercise

Change = tuple[str, str, str]  # what, before, after


@dataclass
class Ran:
    """What a call came to: a value, or the exception that it raised."""

    value: Any = None
    error: Exception | None = None

    @property
    def kept(self) -> Any:
        """A copy of the value for comparing, or what was raised."""
        return snapshot(self.value) if self.error is None else ("raised", type(self.error).__name__)


@dataclass
class Call:
    """One call: the function (or module, or method) and its arguments as they were before it."""

    rule: int
    told: str
    owner: Any  # the module or object that is called, or None
    name: str  # of the method; "" where the owner or the function itself is called
    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    names: tuple[str, ...]  # of the arguments
    axes: dict[int, str] = field(default_factory=dict)  # by the place of the argument
    ran: Any = None  # a copy of the result, or what was raised
    raised: bool = False
    changes: list[Change] = field(default_factory=list)

    @property
    def builds(self) -> bool:
        """Whether it makes an object of a class."""
        return isinstance(self.function, type)

    def copy(self) -> Call:
        """The same call, with nothing shared that it could change."""
        owner, args, kwargs = duplicate((self.owner, self.args, self.kwargs))
        copied = Call(
            self.rule, self.told, owner, self.name, self.function, args, kwargs, self.names
        )
        copied.axes = self.axes
        return copied

    @property
    def kind(self) -> Any:
        """Calls of one kind have arguments of the same types, axes and dtypes."""
        about = [
            (type(x), x.dim(), x.dtype) if isinstance(x, Tensor) else type(x) for x in self.values()
        ]
        return self.builds, self.name, type(self.owner), *self.names, *about

    @property
    def target(self) -> Any:
        """What is called."""
        if self.owner is None:
            return self.function
        return getattr(self.owner, self.name) if self.name else self.owner

    def values(self) -> list[Any]:
        """All arguments, the named ones last."""
        return [*self.args, *self.kwargs.values()]


class Recorder(Case):
    """A case that keeps a copy of every call before it is made, and what the call has changed."""

    rule = 0

    def __init__(self, case: Case) -> None:
        super().__init__(case.seed, case.exercise, case.guard, case.say)
        self.calls: list[Call] = []

    def attempt(
        self, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, Exception | None]:
        """As `Case.attempt`, and the call is recorded."""
        owner, name = owner_of(function)
        known: dict[int, Any] = {}
        kept = duplicate((owner, args, kwargs), known)
        drawn = _drawn()
        result, error = super().attempt(function, *args, **kwargs)
        call = Call(self.rule, self.called, kept[0], name, function, kept[1], kept[2], self.names)
        values = [*args, *kwargs.values()]
        call.axes = {
            i: self._axes[id(value)][1]
            for i, value in enumerate(values)
            if isinstance(value, Tensor) and id(value) in self._axes
        }
        ran = Ran(result, error)
        call.ran, call.raised = ran.kept, error is not None
        call.changes = [*_changes(call, owner, values), *_moved(drawn, self.seed, call)]
        self.calls.append(call)
        return result, error


def owner_of(function: Any) -> tuple[Any, str]:
    """The module or object whose state a call may use, and the name of its method.

    >>> owner_of(len), owner_of("a b".split)
    ((None, ''), ('a b', 'split'))
    """
    if isinstance(function, nn.Module):
        return function, ""
    owner = getattr(function, "__self__", None)
    if owner is None or isinstance(owner, type) or not hasattr(owner, "__class__"):
        return None, ""
    if type(owner).__name__ == "module":  # of a builtin function
        return None, ""
    return owner, function.__name__


def _changes(call: Call, owner: Any, values: list[Any]) -> Iterator[Change]:
    before = [*call.args, *call.kwargs.values()]
    for name, one, other in zip(call.names, before, values, strict=False):
        if found := change(one, other, name or "the argument"):
            yield found
    if isinstance(owner, nn.Module) and (found := change(call.owner, owner, "the module")):
        yield found


def _drawn() -> tuple[Any, ...]:
    state: Any = np.random.get_state()
    return random.getstate(), state[1].tobytes(), state[2]


def _moved(before: tuple[Any, ...], seed: int, call: Call) -> Iterator[Change]:
    now = _drawn()
    if now[0] != before[0]:
        yield "Python's global random generator", "left alone", "drawn from or seeded"
    if now[1:] != before[1:]:
        yield "numpy's global random generator", "left alone", "drawn from or seeded"
    fresh = torch.Generator().manual_seed(seed).get_state()
    if not call.builds and not torch.equal(torch.get_rng_state(), fresh):
        yield "torch's global random generator", "left alone", "drawn from or seeded"


def record(exercise: Exercise, candidate: Any, case: Case) -> list[Call]:
    """Run all properties on the candidate, and return the calls that they made."""
    calls: list[Call] = []
    for number, rule in enumerate(exercise.properties):
        recorder = Recorder(case)
        recorder.rule, recorder.calls = number, calls
        with suppress(Exception):  # what fails is told by the property itself
            rule.function(candidate, recorder)
    return calls


def run(call: Call, case: Case, under: Callable[[], Any] = nullcontext) -> Ran:
    """Make a call under the rules of the case, and within `under`. What it raises is kept."""

    @contextmanager
    def guard() -> Iterator[None]:
        with case.guard(), under():
            yield

    plain = Case(case.seed, case.exercise, guard)
    return Ran(*plain.attempt(call.target, *call.args, **call.kwargs))
