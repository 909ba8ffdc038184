"""In which ways a call is made again, what must come, and what it looks like where it doesn't."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scratchmm.exercises import again, variants
from scratchmm.exercises.calls import brief_error
from scratchmm.exercises.case import Case
from scratchmm.exercises.compare import difference, number, same
from scratchmm.exercises.copies import leaves
from scratchmm.exercises.recorder import Call, Ran

Told = tuple[str, str] | None  # expected, got
NO_KERNEL = ("not implemented for", "nsupported dtype", "nsupported ScalarType", "without overflow")


@dataclass(frozen=True)
class Way:
    """One other way. told: what is added to the call in the message.

    make: (call, all calls, case) -> what came. sound: whether the library's answer does it right.
    compare: (the candidate's call, what came, what came with the library's, whether both gave the
    same for the call itself) -> expected and got, or None.
    """

    id: str
    told: str
    sentence: str
    story: str
    advice: str
    make: Callable[[Call, list[Call], Case], again.Made]
    sound: Callable[[Call, Any], bool]
    compare: Callable[[Call, Any, Any, bool], Told]


def told(got: Any, expected: Any, tolerance: float | None = None) -> Told:
    """Expected and got in words, where two results differ."""
    found = difference(got, expected, tolerance)
    if found is None:
        return None
    wanted, came, where = found
    return f"{wanted} at {where}" if where else wanted, came


def raised(got: Ran) -> Told:
    """What was raised, in words."""
    return "a result", f"{type(got.error).__name__}: {brief_error(got.error or Exception())}"


def as_itself(mine: Call, got: Ran, right: Any, agreed: bool) -> Told:
    """The result must be that of the call as it was."""
    return raised(got) if got.error is not None else told(got.kept, mine.ran)


def does_so(theirs: Call, got: Ran) -> bool:
    """Whether it is."""
    return got.error is None and same(got.kept, theirs.ran)


def anew(theirs: Call, got: tuple[Ran, Ran]) -> bool:
    """Whether the second call was right, and another than the first."""
    after, fresh = got
    return fresh.error is None and same(after.kept, fresh.kept) and not same(after.kept, theirs.ran)


def not_kept(mine: Call, got: tuple[Ran, Ran], right: tuple[Ran, Ran], agreed: bool) -> Told:
    """The second call must give what it gives alone, and what the library gives."""
    after, fresh = got
    if fresh.error is not None:
        return None
    if agreed and same(after.kept, mine.ran):  # kept beyond the object: both give the old result
        return told(after.kept, right[1].kept)
    return told(after.kept, fresh.kept)


def own_second(mine: Call, got: tuple[Ran, Ran], right: Any, agreed: bool) -> Told:
    """The second result must be the one without the first call."""
    return None if got[1].error is not None else told(got[0].kept, got[1].kept)


def same_kind(mine: Call, got: Ran, right: Ran, agreed: bool) -> Told:
    """Shapes, dtypes and devices as the library's; the numbers are another's business."""
    if got.error is not None:
        return raised(got)
    found, wanted = _tensors(got.value), _tensors(right.value)
    if len(found) != len(wanted):
        return None
    for one, other in zip(found, wanted, strict=True):
        if one.shape != other.shape:
            return f"shape {tuple(other.shape)}", f"{tuple(one.shape)}"
        if one.dtype != other.dtype or one.device != other.device:
            return f"{other.dtype} on {other.device}", f"{one.dtype} on {one.device}"
    return None


def _tensors(value: Any) -> list[Tensor]:
    return [x for _, x in leaves(value) if isinstance(x, Tensor)]


def one_of_batch(mine: Call, got: Ran, right: Any, agreed: bool) -> Told:
    """A sample alone gives what it gives among others."""
    if got.error is not None:
        return raised(got)
    return told(got.kept, variants.first_of(mine.ran, variants.batch(mine)))


def alone_as_among_others(theirs: Call, got: Ran) -> bool:
    """Whether it does."""
    among = variants.first_of(theirs.ran, variants.batch(theirs))
    return got.error is None and same(got.kept, among)


def ends(theirs: Call, got: Ran) -> bool:
    """Whether there is a result."""
    return got.error is None


def keeps_dtype(mine: Call, got: Ran, right: Ran, agreed: bool) -> Told:
    """Where the library's result has the dtype of its inputs, so has the candidate's."""
    if got.error is not None:
        return None if any(text in str(got.error) for text in NO_KERNEL) else raised(got)
    found, wanted = _tensors(got.value), _tensors(right.value)
    if len(found) != len(wanted):
        return None
    for one, other in zip(found, wanted, strict=True):
        if not other.is_floating_point() or other.dtype == torch.float32:
            continue
        if one.shape != other.shape or one.dtype != other.dtype:
            return f"{other.dtype} {tuple(other.shape)}", f"{one.dtype} {tuple(one.shape)}"
        if agreed and (difference := far(one, other)):
            return difference
    return None


def far(got: Tensor, expected: Tensor) -> Told:
    """Numbers that another order of rounding doesn't explain.

    In half precision rounding may turn a decision (which neighbour is larger) in a place or two, so
    there more than a tenth of the numbers must be apart.
    """
    room, share = (2e-6, 0.0) if expected.dtype == torch.float64 else (0.1, 0.1)
    got, expected = got.detach().flatten().double(), expected.detach().flatten().double()
    finite = torch.isfinite(expected)
    if not finite.any():
        return None
    largest = float(expected[finite].abs().max())
    apart = (got - expected).abs()[finite].nan_to_num(math.inf)
    if float((apart > room * max(largest, 1e-6)).double().mean()) <= share:
        return None
    at = int(apart.argmax())
    return number(float(expected[finite][at])), number(float(got[finite][at]))


def all_here(theirs: Call, got: Ran) -> bool:
    """Whether every tensor of the result is where the inputs are."""
    found = [] if got.error is not None else _tensors(got.value)
    return bool(found) and all(x.device.type != "meta" for x in found)


def follows_device(mine: Call, got: Ran, right: Ran, agreed: bool) -> Told:
    """Not on another device than the inputs, and no two devices in one operation."""
    if got.error is None:
        away = [x for x in _tensors(got.value) if x.device.type == "meta"]
        return ("a result on the device of the inputs", "one on the CPU") if away else None
    text = str(got.error)
    mixed = "same device" in text or "not on the expected device" in text
    if not mixed or "indices should be" in text:  # an index may be on the CPU
        return None
    return "a result", "an operation on tensors of two devices"


def not_cut_off(mine: Call, got: Any, right: Any, agreed: bool) -> Told:
    """Every result that has a gradient with the library's has one."""
    if [path for path, _ in got] != [path for path, _ in right]:
        return None
    cut = [path for (path, has), (_, wanted) in zip(got, right, strict=True) if wanted and not has]
    where = f" in result{cut[0]}" if cut and cut[0] else ""
    return (f"a gradient{where}", "one cut off from its inputs") if cut else None


WAYS = (
    Way("another", "after {}", "a second instance changes nothing in the first",
        "instances share what should be their own",
        "set attributes on self, not on the class, and make new layers for each instance",
        again.beside_another, does_so, as_itself),
    Way("alone", "but the first sample alone", "a sample alone gives what it gives among others",
        "a batch of one is treated otherwise: an axis of size one is lost, or samples are mixed",
        "squeeze() drops every axis of size one: name the axis, and let no sample see another",
        again.once(variants.alone), alone_as_among_others, one_of_batch),
    Way("one", "but with {}=1", "an axis of one place stays an axis",
        "an axis is lost, or the call fails, where it has one place only",
        "squeeze() drops every axis of size one: name the axis",
        again.along_one, ends, same_kind),
    Way("twice", "twice", "the same call gives the same result twice",
        "something is kept from one call to the next, or was handed out and then written into",
        "keep nothing in the object, the function or a default argument; hand out a new tensor",
        again.twice, does_so, as_itself),
    Way("numbers", "and then with the samples in the opposite order",
        "a second call with other numbers of the same shapes gives its own result",
        "the result of an earlier call is kept and given again",
        "what is kept by shape or by first sight is wrong for the next numbers: compute it anew",
        again.other_numbers, anew, not_kept),
    Way("moved", "again after its parameters have moved",
        "after a step of training the call uses the new parameters",
        "something computed from the parameters is kept from an earlier call",
        "parameters move at every step: compute it in each call",
        again.after_a_step, anew, own_second),
    Way("shared", "twice", "two instances have parameters of their own",
        "instances share their parameters", "make new layers in __init__, for each instance",
        again.two_of_a_kind, lambda theirs, got: got == 0,
        lambda mine, got, right, agreed: ("no parameter in common", str(got)) if got else None),
    Way("transposed", "on transposed memory", "the order of the memory does not matter",
        "the numbers are taken in the order of the memory",
        "view and as_strided read the memory as it lies: use reshape, or contiguous() first",
        again.once(variants.transposed), does_so, as_itself),
    Way("sliced", "on every second place of a longer memory", "the order of the memory does not matter",
        "the numbers are taken in the order of the memory",
        "view and as_strided read the memory as it lies: use reshape, or contiguous() first",
        again.once(variants.sliced), does_so, as_itself),
    Way("dtype", "in {}", "the result has the dtype of the inputs",
        "the result is computed, or handed back, in another dtype than the inputs'",
        "make new tensors with dtype=x.dtype (or x.new_...), and cast back what you cast",
        again.in_dtypes, ends, keeps_dtype),
    Way("device", "on another device", "the result is on the device of the inputs",
        "a new tensor is made on the CPU wherever the inputs are",
        "make new tensors with device=x.device (or x.new_..., torch.zeros_like)",
        again.elsewhere, all_here, follows_device),
    Way("gradient", "with inputs that want a gradient", "every result keeps its gradient",
        "a result is cut off from its inputs (detach, item, data, no_grad, or torch.tensor)",
        "compute it from the inputs by torch's operators alone",
        again.with_gradient, lambda theirs, got: any(has for _, has in got), not_cut_off),
    Way("seeded", "from two seeds", "the global random generator is not seeded",
        "torch.manual_seed is called, which makes all random numbers of the program repeat",
        "draw from the generator that you are given, or from the global one without seeding it",
        again.seeding, lambda theirs, got: not got,
        lambda mine, got, right, agreed: ("no seed set", "the same state from both") if got else None),
)  # fmt: skip
