"""A call made again, in each of the other ways: what came, with a label where there are several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from scratchmm.exercises import variants
from scratchmm.exercises.case import Case
from scratchmm.exercises.copies import leaves
from scratchmm.exercises.recorder import Call, run

Made = Iterator[tuple[str, Any]]  # a label ("" where there is one), and what came


def once(change: Callable[[Call], Call | None]) -> Callable[[Call, list[Call], Case], Made]:
    """Make the changed call."""

    def make(call: Call, calls: list[Call], case: Case) -> Made:
        other = None if call.builds else change(call)
        if other is not None:
            yield "", run(other, case)

    return make


def twice(call: Call, calls: list[Call], case: Case) -> Made:
    """The same call again on the same object; what came first has been written into."""
    if not call.builds:
        first = variants.plain(call)
        ran = run(first, case)
        if ran.error is None:
            variants.spoil(ran, first.owner)
        yield "", run(variants.following(variants.plain(call), first.owner), case)


def other_numbers(call: Call, calls: list[Call], case: Case) -> Made:
    """The call, and then one with other numbers; beside it, the second alone on a new object."""
    first, second = variants.plain(call), variants.flipped(call)
    if not call.builds and second is not None:
        run(first, case)
        yield "", (run(variants.following(second, first.owner), case), run(second.copy(), case))


def after_a_step(call: Call, calls: list[Call], case: Case) -> Made:
    """A call, a step of training, the call again; beside it, the step and then the call."""
    used, unused = variants.plain(call), variants.plain(call)
    if not isinstance(call.owner, nn.Module) or not variants.move(unused.owner):
        return
    run(used, case)
    variants.move(used.owner)
    second = variants.following(variants.plain(call), used.owner)
    yield "", (run(second, case), run(unused, case))


def beside_another(call: Call, calls: list[Call], case: Case) -> Made:
    """Another object of the class is made, of other sizes, and then the call."""
    others = {b.told: b for b in calls if b.builds and b.function is type(call.owner)}
    for place, other in enumerate([*others.values()][-2:] if len(others) > 1 else []):
        run(other.copy(), case)
        yield ("another instance", "one more")[place], run(variants.plain(call), case)


def two_of_a_kind(call: Call, calls: list[Call], case: Case) -> Made:
    """Two modules made by the same call: how many parameters they share."""
    if call.builds:
        made = [run(call.copy(), case).value for _ in range(2)]
        if all(isinstance(one, nn.Module) for one in made):
            first, second = ({_place(p) for p in one.parameters()} for one in made)
            yield "", len(first & second)


def _place(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def along_one(call: Call, calls: list[Call], case: Case) -> Made:
    """Each named axis with one place only."""
    for axis, other in [] if call.builds else variants.axes(call):
        yield axis, run(other, case)


def in_dtypes(call: Call, calls: list[Call], case: Case) -> Made:
    """Each other dtype of floats."""
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        other = None if call.builds else variants.in_dtype(call, dtype)
        if other is not None:
            yield str(dtype).removeprefix("torch."), run(other, case)


def elsewhere(call: Call, calls: list[Call], case: Case) -> Made:
    """As if the inputs were on another device than new tensors are by default."""
    if not call.builds and variants.tensors(call):
        yield "", run(variants.plain(call), case, variants.Elsewhere)


def with_gradient(call: Call, calls: list[Call], case: Case) -> Made:
    """Which results have a gradient where every input of floats wants one."""
    other = None if call.builds else variants.learning(call)
    if other is not None:
        ran = run(other, case)
        if ran.error is None:
            yield "", [(path, x.requires_grad) for path, x in leaves(ran.value) if _float(x)]


def _float(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def seeding(call: Call, calls: list[Call], case: Case) -> Made:
    """Whether the call sets torch's global generator."""
    if not call.builds:
        yield "", variants.reseeds(call, case)
