"""Ordinary mistakes in a call: another axis, an argument left out, another function, two exchanged."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scratchmm.exercises.mutant_text import Change, Scope, from_module, name_of, number_of

# Where a method takes its axis, counted without the tensor.
AXIS_AT = dict.fromkeys(
    "softmax log_softmax sum mean amax amin max min argmax argmin any all prod std var cumsum cumprod "
    "unsqueeze squeeze flip size sort argsort unbind logsumexp flatten gather index_select narrow "
    "select unfold movedim count_nonzero".split(),
    0,
) | dict.fromkeys("norm topk chunk split repeat_interleave roll tensor_split".split(), 1)
AXES = ("dim", "axis", "dims", "start_dim")

OTHERS = {
    one: other
    for pair in (
        "mean sum|max min|amax amin|argmax argmin|any all|maximum minimum|sin cos|floor ceil|"
        "ones zeros|ones_like zeros_like|triu tril|rand randn|repeat repeat_interleave"
    ).split("|")
    for one, other in (pair.split(), pair.split()[::-1])
}
OTHERS |= {"prod": "sum", "round": "floor", "softmax": "sigmoid", "logsumexp": "sum"}

# What may be left out so that its input is left, and the kind of mistake that it is.
KINDS = {"sqrt": "root", "rsqrt": "root", "square": "square", "abs": "sign", "neg": "sign"}
KINDS |= {"masked_fill": "mask", "tril": "mask", "triu": "mask"}
KINDS |= dict.fromkeys(["transpose", "swapaxes", "permute", "movedim", "t"], "transpose")
WHOLE = (
    "float double half to log log2 log10 exp cos sin clamp clamp_min clamp_max relu gelu silu tanh "
    "sigmoid softmax log_softmax normalize flip sort cumsum cumprod expand expand_as roll reshape "
    "view flatten squeeze unsqueeze float long round floor ceil reversed sorted layer_norm "
    "nan_to_num set detach clone pad dropout lower strip unflatten type_as"
).split()
SAME_EITHER_WAY = (
    "isinstance getattr hasattr zip range min max maximum minimum super add mul permute transpose "
    "cat stack slice print flip promote_types result_type mse_loss cosine cosine_similarity equal"
).split()
IN_PLACE = (
    "masked_fill",
    "clamp",
    "add",
    "sub",
    "mul",
    "div",
    "exp",
    "log",
    "sqrt",
    "square",
    "abs",
)
NEVER_LEFT_OUT = ("strict", "device", "requires_grad")


def of_call(node: ast.Call, scope: Scope) -> Iterator[Change]:
    """The changes of one call."""
    name = name_of(node.func)
    if name.startswith("check") or name in ("super", "isinstance", "ValueError"):
        return
    yield from _axes(node, name, scope)
    yield from _whole(node, name, scope)
    if name in OTHERS and isinstance(node.func, (ast.Attribute, ast.Name)):
        yield _renamed(node, name, OTHERS[name], scope)
    if name in IN_PLACE and _of_argument(node.func, scope):
        yield _renamed(node, name, f"{name}_", scope)._replace(kind="in place")
    yield from _keywords(node, scope)
    yield from _exchanged(node, name, scope)
    if name in ("range", "arange"):
        yield from _ranges(node, scope)
    if name in ("masked_fill", "where"):
        yield from _inverted(node, name, scope)


def _of_argument(function: ast.expr, scope: Scope) -> bool:
    """Whether it is a method of a tensor that the function was handed."""
    owner = function.value if isinstance(function, ast.Attribute) else None
    return isinstance(owner, ast.Name) and owner.id in scope.tensors


def of_attribute(node: ast.Attribute, scope: Scope) -> Iterator[Change]:
    """A transpose by attribute left out."""
    if node.attr in ("T", "mT", "mH", "H"):
        kept = scope.text.of(node.value)
        yield scope.left_out("transpose", node, kept, f"`.{node.attr}`")


def _axis(node: ast.Call, name: str) -> tuple[ast.expr, int] | None:
    """The argument that is the call's axis, and which one it is."""
    given = next((word.value for word in node.keywords if word.arg in AXES), None)
    at = AXIS_AT.get(name)
    if given is None and at is not None and isinstance(node.func, ast.Attribute):
        at += from_module(node.func)
        given = node.args[at] if at < len(node.args) else None
    if given is None and name in ("cat", "stack") and len(node.args) > 1:
        given = node.args[1]
    value = number_of(given)
    return None if given is None or value is None else (given, value)


def _axes(node: ast.Call, name: str, scope: Scope) -> Iterator[Change]:
    found = _axis(node, name)
    if found is None:
        return
    place = scope.text.quoted(node)
    for other in other_axes(found[1]):
        told = f"the {name} in {place} ran over another axis (dim={other})"
        yield Change("axis", found[0], str(other), told, place)


def other_axes(axis: int) -> tuple[int, int]:
    """Two others, counted from the same end: from the other end it may be the same one.

    >>> other_axes(-1), other_axes(0), other_axes(1)
    ((-2, 0), (1, -1), (0, 2))
    """
    return {-1: (-2, 0), 0: (1, -1)}.get(
        axis, (axis - 1, axis + 1) if axis > 0 else (axis + 1, axis - 1)
    )


def _whole(node: ast.Call, name: str, scope: Scope) -> Iterator[Change]:
    """The call left out, so that its first input is handed on."""
    if isinstance(node.func, ast.Attribute) and not from_module(node.func):
        own_layer = name_of(node.func.value) == "self" and len(node.args) == 1
        if name in scope.unused:
            return
        if own_layer and not node.keywords and "dropout" not in name:
            yield scope.left_out("left out", node, scope.text.of(node.args[0]), f"`self.{name}`")
            return
        inner = node.func.value
    elif node.args and not isinstance(node.args[0], (ast.Starred, ast.GeneratorExp)):
        inner = node.args[0]
    else:
        return
    moves = name == "to" and scope.text.of(node).endswith("device)")  # seen on two devices only
    if (name in WHOLE or name in KINDS) and not moves:
        called = f"`.{name}`" if inner is getattr(node.func, "value", None) else f"`{name}`"
        yield scope.left_out(KINDS.get(name, "left out"), node, scope.text.of(inner), called)


def _renamed(node: ast.Call, name: str, other: str, scope: Scope) -> Change:
    whole, function = scope.text.of(node), scope.text.of(node.func)
    new = function[: len(function) - len(name)] + other + whole[len(function) :]
    place = scope.text.quoted(node)
    return Change("another function", node, new, f"`{other}` stood for `{name}` in {place}", place)


def _keywords(node: ast.Call, scope: Scope) -> Iterator[Change]:
    """Each keyword left out, so that its default counts."""
    for word in node.keywords:
        plain = isinstance(word.value, ast.Constant) and (
            word.value.value is None or word.value.value is False
        )
        unused = scope.leaves_out(word.value)
        if word.arg is None or word.arg in NEVER_LEFT_OUT or plain or unused:
            continue  # mostly it is the default, spelled out
        others = [ast.unparse(one) for one in node.keywords if one is not word]
        given = ", ".join([*(ast.unparse(one) for one in node.args), *others])
        kind = {"keepdim": "keepdim", "dtype": "dtype", "dim": "axis"}.get(word.arg, "default")
        what = f"`{word.arg}={ast.unparse(word.value)}`"
        yield scope.left_out(kind, node, f"{scope.text.of(node.func)}({given})", what)


def _exchanged(node: ast.Call, name: str, scope: Scope) -> Iterator[Change]:
    given = node.args
    if name in ("cat", "stack") and given and isinstance(given[0], (ast.List, ast.Tuple)):
        for one, other in zip(given[0].elts, given[0].elts[1:], strict=False):
            yield from _pair(node, one, other, scope)
    if name == "permute":
        for one, other in zip(given, given[1:], strict=False):
            yield from _pair(node, one, other, scope)
    if name not in SAME_EITHER_WAY:
        for one, other in zip(given, given[1:], strict=False):
            if not isinstance(one, ast.Constant) and not isinstance(other, ast.Constant):
                yield from _pair(node, one, other, scope)


def _pair(node: ast.Call, one: ast.expr, other: ast.expr, scope: Scope) -> Iterator[Change]:
    if not isinstance(one, ast.Starred) and not isinstance(other, ast.Starred):
        yield scope.exchanged(node, one, other)


def _ranges(node: ast.Call, scope: Scope) -> Iterator[Change]:
    """Off by one at either end."""
    given = [ast.unparse(one) for one in node.args]
    rest = [ast.unparse(one) for one in node.keywords]
    if not 1 <= len(given) <= 3 or any(isinstance(one, ast.Starred) for one in node.args):
        return
    first, last = ("0", given[0]) if len(given) == 1 else given[:2]
    for ends in ((f"{first} + 1", last), (first, f"{last} - 1"), (first, f"{last} + 1")):
        start, stop = (str(_sum(end)) for end in ends)
        call = ", ".join([start, stop, *given[2:], *rest])
        yield scope.instead("off by one", node, f"{scope.text.of(node.func)}({call})")


def _sum(code: str) -> str:
    """`0 + 1` as the number that it is."""
    parts = code.replace(" ", "").replace("+", " ").split()
    return str(sum(map(int, parts))) if all(part.isdigit() for part in parts) else code


def _inverted(node: ast.Call, name: str, scope: Scope) -> Iterator[Change]:
    """A mask the wrong way round; one that stands with a ~ is inverted by the operator's rule."""
    at = 1 if name == "masked_fill" and from_module(node.func) else 0
    if at < len(node.args) and not isinstance(node.args[at], ast.UnaryOp):
        mask = node.args[at]
        new = f"~({scope.text.of(mask)})"
        place = scope.text.quoted(node)
        told = f"{scope.text.quoted(mask)} were inverted in {place}"
        yield Change("mask", mask, new, told, place)
