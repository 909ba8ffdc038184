"""Published weights: read without running code, verified by name and shape, then copied.

A table says where each published tensor goes; `fill` compares the whole file with the whole table
first, so a model is either filled or untouched.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from scratchmm.checkpoints.reading import Source, label_of, read_state
from scratchmm.training.checkpoint import differences

__all__ = ["Place", "Source", "check_tied", "fill", "has", "heads_of", "is_no"]
__all__ += ["label_of", "layer", "read_state", "shape_of"]
SHOWN = 20  # names in an error; another model's file would list hundreds
# What weights are kept in; files in 8 bits without further scales are rare, but such.
FLOATS = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
FLOATS |= {torch.float8_e4m3fn, torch.float8_e5m2}


class Place(NamedTuple):
    """Where a published tensor goes, and how its layout differs from ours.

    >>> Place("attn.in_proj_bias", ("query.bias", "key.bias", "value.bias")).theirs
    'attn.in_proj_bias'
    """

    theirs: str
    ours: tuple[str, ...]  # several names: theirs holds them one after the other along axis 0
    shape: tuple[int, ...] | None = None  # of theirs, where only the axes are cut differently
    transposed: bool = False  # theirs is (in, out) where a Linear has (out, in)

    def expected_shape(self, ours: Mapping[str, Tensor]) -> tuple[int, ...]:
        """The shape theirs must have to fill `ours`, our tensors by name."""
        if self.shape is not None:
            return self.shape
        shape = tuple(ours[self.ours[0]].shape)
        if self.transposed:
            return shape[::-1]
        return (len(self.ours) * shape[0], *shape[1:]) if len(self.ours) > 1 else shape

    def pairs(self, ours: Mapping[str, Tensor], theirs: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Each of our tensors, and the part of `theirs` that fills it, in its shape."""
        parts = theirs.chunk(len(self.ours)) if len(self.ours) > 1 else [theirs]
        parts = [part.T if self.transposed else part for part in parts]
        named = zip(self.ours, parts, strict=True)
        return [(ours[name], part.reshape(ours[name].shape)) for name, part in named]


def layer(theirs: str, ours: str) -> list[Place]:
    """The places of a Linear or a norm: its weight and its bias.

    >>> [place.theirs for place in layer("ln_1", "norm")]
    ['ln_1.weight', 'ln_1.bias']
    """
    return [Place(f"{theirs}.{part}", (f"{ours}.{part}",)) for part in ("weight", "bias")]


def fill(
    model: nn.Module,
    state: Mapping[str, Any],
    places: Sequence[Place],
    label: str = "the state dict",
    harmless: Collection[str] = (),
) -> None:
    """Copy the published tensors `state` into `model` by the table `places`, in the model's dtype.

    `harmless` are names that may be there and are left out knowingly. Raises ValueError with every
    tensor that is missing, surplus or misshapen (both shapes), that is no weight (whole numbers,
    sparse, quantised, without numbers), that holds NaN or infinity or becomes infinite in the
    model's dtype; then nothing was copied. What breaks the copying off, Ctrl-C or a full memory, is
    raised on once the model is as it was; for that its tensors are held twice meanwhile.

    >>> model = nn.ModuleDict({"head": nn.Linear(2, 1)})
    >>> fill(model, {"fc.weight": torch.ones(2, 1), "fc.bias": torch.ones(1)}, layer("fc", "head"))
    Traceback (most recent call last):
    ValueError: the state dict does not fit ModuleDict: fc.weight is (2, 1) and should be (1, 2)
    """
    ours = _targets(model, places)
    expected = {
        place.theirs: torch.empty(place.expected_shape(ours), device="meta") for place in places
    }
    given = {name: tensor for name, tensor in state.items() if name not in harmless}
    name = type(model).__name__
    if given and expected.keys().isdisjoint(given):
        raise ValueError(
            f"{label} is of another model: it has {next(iter(given))} and {len(given) - 1} other "
            f"tensors, and none of the {len(expected)} that fill {name}, such as "
            f"{places[0].theirs}{_prefix_hint(expected, given)}"
        )
    empty = any(ours[name].is_meta for place in places for name in place.ours)
    wrong = _misfits(given, expected, empty)
    if not wrong and empty:
        if all(given[theirs].is_meta for theirs in expected):
            return  # sizes on both sides and numbers on neither: they fit
        wrong = [f"{name} is on the meta device and can't be filled: to_empty(device=...) first"]
    wrong = wrong or _no_numbers(given, places, ours)
    if wrong:
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        hint = _prefix_hint(expected, given)
        raise ValueError(f"{label} does not fit {name}: " + "; ".join(wrong[:SHOWN]) + more + hint)
    _copy([pair for place in places for pair in place.pairs(ours, given[place.theirs])])


@torch.no_grad()
def _copy(pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Copy the second tensor of each pair into the first, in its dtype: all of them, or none."""
    kept: list[tuple[Tensor, Tensor]] = []
    try:
        for ours, theirs in pairs:
            kept.append((ours, ours.clone()))
            ours.copy_(theirs)
    except BaseException:
        while kept:
            with suppress(KeyboardInterrupt):  # nor may a second one stop halfway
                ours, before = kept[-1]
                ours.copy_(before)
                kept.pop()
        raise


def has(state: Mapping[str, Any], name: str) -> bool:
    """Whether a tensor has this name, with or without a prefix: distinguishes two naming schemes.

    >>> has({"net.visual.proj": 0}, "visual.proj"), has({"visual.proj_in": 0}, "visual.proj")
    (True, False)
    """
    return any(f".{given}".endswith(f".{name}") for given in state)


def shape_of(state: Mapping[str, Tensor], name: str, axes: int = 2) -> tuple[int, ...]:
    """The shape of a tensor that shows a size; ValueError if it is not there or has other axes.

    >>> shape_of({"norm.weight": torch.ones(5)}, "norm.weight", 1)
    (5,)
    """
    if name not in state:
        raise ValueError(f"the state dict is not whole: it has no {name}, which shows a size")
    if state[name].dim() != axes:
        found = tuple(state[name].shape)
        raise ValueError(f"{name} is {found} and should have {axes} axes, not {len(found)}")
    return tuple(state[name].shape)


def heads_of(state: Mapping[str, Any], prefix: str) -> list[str]:
    """The tensors of the heads: those whose names do not begin with `prefix`, the backbone's.

    A model that is the backbone alone leaves them out. Without a prefix they cannot be told apart.

    >>> heads_of({"vit.norm.bias": 0, "classifier.bias": 0}, "vit.")
    ['classifier.bias']
    """
    return [name for name in state if not name.startswith(prefix)]


def check_tied(state: Mapping[str, Tensor], pairs: Mapping[str, str], label: str) -> None:
    """Refuse tensors that differ where our model has only one for both.

    >>> check_tied({"a": torch.ones(2), "b": torch.zeros(2)}, {"a": "b"}, "w.bin")
    Traceback (most recent call last):
    ValueError: w.bin has a a that differs from b: they must be one
    """
    for one, other in pairs.items():
        if one in state and other in state and not torch.equal(state[one], state[other]):
            raise ValueError(f"{label} has a {one} that differs from {other}: they must be one")


def is_no(what: str, source: Source, state: Mapping[str, Any], missing: str, body: str = "") -> str:
    """The sentence for tensors of another model, or of this one behind a prefix that is not removed.

    missing: the name that is not there; body: a prefix that belongs to it in some files.

    >>> is_no("BERT", "a.bin", {"net.words": 0}, "words")
    "a.bin is no BERT: it has no words; there is one under the prefix 'net.': read_state(prefix=...)"
    """
    found = next((name for name in state if name.endswith(f".{missing}")), None)
    hint = f"; it has {next(iter(state))} and {len(state) - 1} others" if state else ""
    if found is not None:
        prefix = found.removesuffix(missing).removesuffix(body)
        hint = f"; there is one under the prefix {prefix!r}: read_state(prefix=...)"
    return f"{label_of(source)} is no {what}: it has no {missing}{hint}"


def _targets(model: nn.Module, places: Sequence[Place]) -> dict[str, Tensor]:
    """Our tensors by name, which share the parameters' memory, if they can be filled."""
    ours = model.state_dict()
    for name in (name for place in places for name in place.ours):
        if name not in ours:
            raise ValueError(
                f"{type(model).__name__} has no {name} to fill: give the model itself, neither "
                "wrapped nor with layers exchanged"
            )
        if ours[name].is_inference():
            raise ValueError(
                f"{name} of {type(model).__name__} is an inference tensor: it is fixed"
            )
    return ours


def _misfits(given: Mapping[str, Any], expected: Mapping[str, Tensor], empty: bool) -> list[str]:
    """Names, shapes, and kinds of tensor that hold no weights; empty: the model has no numbers."""
    wrong = {}  # before the shapes: not all kinds have one
    for name, tensor in given.items():
        if name not in expected or not isinstance(tensor, Tensor):
            continue
        if type(tensor) not in (Tensor, nn.Parameter):
            wrong[name] = f"a {type(tensor).__name__} and no plain tensor"
        elif tensor.layout != torch.strided or tensor.is_nested:
            layout = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
            wrong[name] = f"{layout} and should be dense"
        elif tensor.dtype not in FLOATS:
            wrong[name] = f"of {tensor.dtype}, which holds no weights"
        elif tensor.is_meta and not empty:
            wrong[name] = "on the meta device, without numbers"
    sides = ({n: t for n, t in side.items() if n not in wrong} for side in (expected, given))
    return differences(*sides) + [f"{name} is {why}" for name, why in wrong.items()]


def _no_numbers(
    given: Mapping[str, Tensor], places: Sequence[Place], ours: Mapping[str, Tensor]
) -> list[str]:
    """Tensors with NaN or infinity: no trained network has them, and they spread to all outputs."""
    wrong = []
    for place in places:
        tensor, dtype = given[place.theirs].detach(), ours[place.ours[0]].dtype
        if tensor.numel() == 0:
            continue
        tensor = tensor.float() if tensor.element_size() == 1 else tensor
        ends = torch.stack(tensor.aminmax())  # NaN is passed on by both
        if not ends.isfinite().all():
            wrong.append(f"{place.theirs} holds NaN or infinity")
        elif not ends.to(dtype).isfinite().all():
            wrong.append(f"{place.theirs} reaches {ends.abs().max():.3g}, infinite in {dtype}")
    return wrong


def _prefix_hint(expected: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """A hint for the error message, if all expected tensors are there under a prefix."""
    first = next(iter(expected), "")
    for name in given:
        prefix = name.removesuffix(first)
        if name.endswith(f".{first}") and all(prefix + other in given for other in expected):
            return f"; all it needs is there under the prefix {prefix!r}: read_state(prefix=...)"
    return ""
