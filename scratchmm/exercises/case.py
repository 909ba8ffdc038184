"""A case: the inputs that one property makes, the calls it sees, and what it demands of them.

Every call's result is written into a trace. The diagnosis compares the learner's trace with the
traces that the wrong answers leave on the very same inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.exercises.calls import (
    Failed,
    NotWritten,
    argument_names,
    brief_error,
    by_hand,
    call_told,
    ending,
    fill,
    gradients_of,
    told_unwritten,
)
from scratchmm.exercises.compare import brief, difference, first_difference, number, same, snapshot
from scratchmm.exercises.shortcuts import ShortcutTaken
from scratchmm.exercises.state import restored, state


class Case:
    """Seeded inputs with named axes, calls of the candidate, and demands.

    guard: a context manager under which every call of the candidate runs (it forbids shortcuts).
    say: told what is being called, so that an endless loop can be named.

    >>> case = Case(seed=0, exercise="demo.double")
    >>> x = case.normal(B=2, D=3)
    >>> case.equal(case.call(torch.add, x, x), 2 * x)
    >>> case.called
    'add((B=2, D=3), (B=2, D=3))'
    """

    def __init__(
        self,
        seed: int,
        exercise: str,
        guard: Callable[[], AbstractContextManager[Any]] = nullcontext,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.seed, self.exercise, self.guard, self.say = seed, exercise, guard, say
        self.generator = torch.Generator().manual_seed(seed)
        self.sizes: dict[str, int] = {}
        self.called = ""
        self.names: tuple[str, ...] = ()  # of the last call's arguments
        self.trace: list[Any] = []
        self._axes: dict[int, tuple[Tensor, str]] = {}  # the tensor keeps its id from being reused
        self._inputs: list[tuple[str, Tensor, Tensor]] = []  # name, the tensor, its copy

    # Inputs

    def normal(
        self, *, dtype: torch.dtype = torch.float32, scale: float = 1.0, **axes: int
    ) -> Tensor:
        """Normal numbers with these axes: `case.normal(B=2, L=5, D=7)`."""
        x = torch.randn(*axes.values(), generator=self.generator, dtype=torch.float64) * scale
        return self._bind(x.to(dtype), axes)

    def integers(self, low: int, high: int, **axes: int) -> Tensor:
        """Whole numbers, low <= n < high, int64."""
        return self._bind(
            torch.randint(low, high, tuple(axes.values()), generator=self.generator), axes
        )

    def booleans(self, share: float = 0.5, **axes: int) -> Tensor:
        """True with this probability."""
        return self._bind(torch.rand(tuple(axes.values()), generator=self.generator) < share, axes)

    def permutation(self, count: int) -> Tensor:
        """A shuffled range that is never the range itself (count >= 2)."""
        order = torch.randperm(count, generator=self.generator)
        return order if (order != torch.arange(count)).any() else order.roll(1)

    def named(self, tensor: Tensor, axes: str) -> Tensor:
        """Give a tensor's axes their names, for messages and `shape`: `case.named(x, "B L D")`."""
        named = zip(axes.split(), tensor.shape, strict=True)
        self.sizes.update({name: size for name, size in named if name.isidentifier()})
        self._axes[id(tensor)] = (tensor, axes)
        return tensor

    def _bind(self, tensor: Tensor, axes: dict[str, int]) -> Tensor:
        return self.named(tensor, " ".join(axes))

    def fill(self, module: nn.Module, scale: float = 0.5) -> nn.Module:
        """Set parameters and buffers of floats to numbers that depend on name and seed."""
        fill(module, self.seed, scale)
        return module

    # Calls

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the candidate (or a module or method of it) and write the result into the trace."""
        result, error = self.attempt(function, *args, **kwargs)
        if error is not None:
            self.trace[-1] = ("raised", type(error).__name__, str(error))
            raise Failed(
                "raised", "a result", f"{type(error).__name__}: {brief_error(error)}", cause=error
            )
        return result

    def build(
        self, factory: Callable[..., Any], *args: Any, scale: float = 0.5, **kwargs: Any
    ) -> Any:
        """Call a class, and `fill` the module that it makes."""
        module = self.call(factory, *args, **kwargs)
        if isinstance(module, nn.Module):
            self.fill(module, scale)
        return module

    def attempt(
        self, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, Exception | None]:
        """Like `call`, but hands an exception of the candidate back beside the result (None)."""
        self._remember(function, args, kwargs)
        self.say(self.called)
        torch.default_generator.manual_seed(self.seed)
        before = state()
        try:
            result, error = self._result(function, args, kwargs)
        finally:
            changed = restored(before)
        if changed:
            what, wanted, now = changed
            self.trace.append(changed)
            raise Failed("changed", f"{what} stays {wanted}", now, subject=what)
        if error is None:
            self.trace.append(snapshot(result))
        return result, error

    def _result(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, Exception | None]:
        try:
            with self.guard():
                return function(*args, **kwargs), None
        except ShortcutTaken as shortcut:
            raise Failed("shortcut", "your own code", str(shortcut)) from None
        except NotImplementedError as stub:
            if str(stub).startswith(f"{self.exercise}:"):
                raise NotWritten(str(stub)) from None
            if by_hand(stub):  # the learner's own way to say so
                raise NotWritten(f"{self.exercise}: {told_unwritten(stub)}") from None
            return self._error(stub)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
                raise Failed("memory", "less than the limit of memory", "more than that") from None
            return self._error(error)
        except BaseException as error:  # noqa: BLE001 (whatever the learner's code raises)
            return self._error(error)

    def _error(self, error: BaseException) -> tuple[None, Exception]:
        if not isinstance(error, Exception):
            error = RuntimeError(f"the code {ending(error)}")
        self.trace.append(("raised", type(error).__name__))
        return None, error

    def each(
        self, function: Callable[..., Any], *cases: tuple[tuple[Any, ...], Any], what: str = ""
    ) -> None:
        """Calls on several arguments, each with the result expected: `((x, 1), 2.5), ((x, 3), 4.5)`.

        All are made before the first is judged, so that the diagnosis sees them all; the message
        shows the one that differs.
        """
        results = [(self.call(function, *given), self.called, wanted) for given, wanted in cases]
        for got, self.called, expected in results:
            self.equal(got, expected, what)

    def seen(self, value: Any) -> Any:
        """Write a value that a call has left behind into the trace, for the diagnosis."""
        self.trace.append(snapshot(value))
        return value

    def refuses(
        self, error: type[Exception], function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        """The call must raise this exception."""
        result, raised = self.attempt(function, *args, **kwargs)
        if raised is None:
            raise Failed("wrong", f"a {error.__name__}", f"the result {brief(result)}")
        if not isinstance(raised, error):
            got = f"{type(raised).__name__}: {brief_error(raised)}"
            raise Failed("raised", f"a {error.__name__}", got, cause=raised)

    def _remember(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        names = argument_names(function, len(args)) + list(kwargs)
        self.names = tuple(names)
        values = [*args, *kwargs.values()]
        axes = {key: names for key, (_, names) in self._axes.items()}
        self.called = call_told(function, names, values, axes)
        given = list(zip(names, values, strict=True))
        for value in values:
            given += [(str(key), x) for key, x in value.items()] if isinstance(value, dict) else []
        found = [(name, x) for name, x in given if isinstance(x, Tensor)]
        self._inputs = [(name, x, x.detach().clone()) for name, x in found]

    # Demands

    def equal(
        self, got: Any, expected: Any, what: str = "", tolerance: float | None = None
    ) -> None:
        """The value must be this one: shape, dtype and numbers. `what` says which, if not the result."""
        if found := difference(got, expected, tolerance):
            wanted, came, where = found
            raise Failed("wrong", f"{what}: {wanted}" if what else wanted, came, where)

    def shape(self, got: Any, axes: str) -> None:
        """A tensor with these axes, by the names of this case: "B H L D", "B 1+N D", "B 1 1 S"."""
        sizes = tuple(eval(axis, {"__builtins__": {}}, self.sizes) for axis in axes.split())
        if not isinstance(got, Tensor):
            _, came, _ = difference(got, sizes) or ("", brief(got), "")
            raise Failed("wrong", f"a tensor {sizes}", came)
        if got.shape != sizes:
            raise Failed(
                "wrong", f"shape ({', '.join(axes.split())}) = {sizes}", f"{tuple(got.shape)}"
            )

    def true(self, holds: Any, expected: str, got: Any) -> None:
        """A condition of any kind, told by what was expected and what came."""
        self.trace.append(snapshot(got))
        if not bool(holds):
            raise Failed("wrong", expected, got if isinstance(got, str) else brief(got))

    def finite(self, got: Tensor) -> None:
        """No nan and no infinity."""
        bad = ~torch.isfinite(got)
        if bad.any():
            index = bad.nonzero()[0].tolist()
            raise Failed("wrong", "a finite number", number(got[tuple(index)].item()), str(index))

    def unchanged(self) -> None:
        """The last call must have left its tensors as they were."""
        for name, tensor, copy in self._inputs:
            self.trace.append(snapshot(tensor))
            if not same(tensor.detach(), copy):
                index = first_difference(tensor.detach(), copy)
                expected = f"{name or 'the input'} stays {number(copy[tuple(index)].item())}"
                now = number(tensor[tuple(index)].item())
                failed = Failed("changed", expected, now, str(index), subject=name)
                failed.story = f"{name or 'the input'} is overwritten in place"
                failed.advice = (
                    "nothing that ends in an underscore, and no += on what was handed in"
                )
                raise failed

    def gradients(
        self,
        function: Callable[..., Any],
        oracle: Callable[..., Tensor],
        *inputs: Any,
        parameters: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        """Function and oracle must have the same gradients, in every input of floats.

        In float64, with random numbers arriving from above. parameters: a module whose parameters
        (float64 too) are compared as well; the oracle must use the same ones.
        """
        arguments = [self._leaf(value) for value in inputs]
        names = argument_names(function, len(arguments))
        named = zip(names, arguments, strict=True)
        leaves = {
            name or f"input {i}": x
            for i, (name, x) in enumerate(named, 1)
            if isinstance(x, Tensor) and x.requires_grad
        }
        if parameters is not None:
            leaves |= dict(parameters.named_parameters())
        output = self.call(function, *arguments, **kwargs)
        if not isinstance(output, Tensor):
            raise Failed("wrong", "a tensor", brief(output))
        if not output.requires_grad:
            raise Failed("detached", "a result with a gradient", "one cut off from its inputs")
        upstream = torch.randn(output.shape, generator=self.generator, dtype=torch.float64)
        got = gradients_of(output, leaves, upstream.to(output.dtype))
        self.trace.append(snapshot(got))
        right = oracle(*arguments, **kwargs)
        if output.shape != right.shape:
            raise Failed("wrong", f"shape {tuple(right.shape)}", f"{tuple(output.shape)}")
        expected = gradients_of(right, leaves, upstream)
        for name, gradient in expected.items():
            self.equal(got[name], gradient, f"gradient of {name}")

    def _leaf(self, value: Any) -> Any:
        if not (isinstance(value, Tensor) and value.is_floating_point()):
            return value
        _, axes = self._axes.get(id(value), (value, ""))
        leaf = value.detach().double().requires_grad_()
        self._axes[id(leaf)] = (leaf, axes)
        return leaf
