"""Ordinary mistakes in whole lines, and in what a function is handed and hands back."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scratchmm.exercises.mutant_text import Change, Scope, name_of, quoted

MASKS = ("mask", "real", "present", "valid", "visible", "keep", "padding", "allowed")
SIGNS: dict[type[ast.operator], str] = {ast.Add: "-=", ast.Sub: "+=", ast.Mult: "/=", ast.Div: "*="}


def of_if(node: ast.If, scope: Scope) -> Iterator[Change]:
    """A refusal left out; a condition inverted, or one that always or never holds."""
    place = scope.text.quoted(node.test)
    if isinstance(node.body[-1], ast.Raise):
        told = f"the refusal where {place} were left out"
        yield Change("refusal", node.test, "False", told, place)
        return
    test = scope.text.of(node.test)
    yield Change(
        "condition", node.test, f"not ({test})", f"the condition {place} were inverted", place
    )
    for value, held in (("False", "never"), ("True", "always")):
        yield Change("condition", node.test, value, f"the condition {place} {held} held", place)


def of_assignment(node: ast.Assign, scope: Scope) -> Iterator[Change]:
    """A line that makes something of a name, left out; or done in place."""
    target = node.targets[0]
    if len(node.targets) != 1 or not isinstance(target, ast.Name):
        return
    names = {one.id for one in ast.walk(node.value) if isinstance(one, ast.Name)}
    if target.id in names:
        yield _line(node, scope)
    value = node.value
    in_place = target.id in scope.tensors and isinstance(value, ast.BinOp)
    if in_place and isinstance(value, ast.BinOp) and ast.dump(value.left) == _loaded(target):
        operator = ast.unparse(ast.AugAssign(target, value.op, value.right))
        place = scope.text.quoted(node)
        yield Change("in place", node, operator, f"{quoted(operator)} stood for {place}", place)


def _loaded(target: ast.Name) -> str:
    return ast.dump(ast.Name(target.id, ast.Load()))


def _line(node: ast.stmt, scope: Scope) -> Change:
    place = scope.text.quoted(node)
    return Change("left out", node, "pass", f"the line {place} were left out", place)


def of_growth(node: ast.AugAssign, scope: Scope) -> Iterator[Change]:
    """`x += y` left out, with another sign, or as `x = y`."""
    yield _line(node, scope)
    target, value = scope.text.of(node.target), scope.text.of(node.value)
    place = scope.text.quoted(node)
    for operator in (SIGNS.get(type(node.op)), "="):
        if operator is not None:
            new = f"{target} {operator} {value}"
            yield Change("sign", node, new, f"{quoted(new)} stood for {place}", place)


def of_statement(node: ast.Expr, scope: Scope) -> Iterator[Change]:
    """A call that is a line of its own left out: a check of the arguments, something appended."""
    if isinstance(node.value, ast.Call) and "super()" not in scope.text.of(node):
        change = _line(node, scope)
        name = name_of(node.value.func).lstrip("_")
        yield change._replace(kind="refusal") if name.startswith("check") else change


def of_return(node: ast.Return, scope: Scope) -> Iterator[Change]:
    """The result cut off from its inputs or of another dtype; two results in each other's place."""
    if node.value is None:
        return
    code, place = scope.text.of(node.value), scope.text.quoted(node)
    if scope.gives_tensor:
        told = f"the result of {place} were detached from its inputs"
        yield Change("detached", node.value, f"mutant_detached({code})", told, place)
        told = f"the result of {place} were float64 whatever the inputs are"
        yield Change("dtype", node.value, f"mutant_wide({code})", told, place)
        told = f"the result of {place} were float32 or int32 whatever the inputs are"
        yield Change("narrow", node.value, f"mutant_narrow({code})", told, place)
    if isinstance(node.value, ast.Tuple):
        for one, other in zip(node.value.elts, node.value.elts[1:], strict=False):
            yield scope.exchanged(node.value, one, other)


def of_parameters(node: ast.FunctionDef, scope: Scope) -> Iterator[Change]:
    """What is done with an argument at the very beginning: its default taken, a mask all True ..."""
    given = node.args
    defaults: list[ast.expr | None] = [None] * (len(given.args) - len(given.defaults))
    defaults += given.defaults
    every = [*zip(given.args, defaults, strict=True)]
    every += zip(given.kwonlyargs, given.kw_defaults, strict=True)
    several = sum(holds_tensors(one) and not _is_mask(one.arg) for one, _ in every) > 1
    for parameter, default in every:
        name = parameter.arg
        if name in scope.unused or name == "device":  # seen on two devices only
            continue
        if default is not None:
            value = ast.unparse(default)
            told = f"`{name}` were {value}, whatever is handed in"
            yield _first(node, f"{name} = {value}", "default", told, scope)
        if holds_tensors(parameter):
            if _is_mask(name):
                told = f"`{name}` were True everywhere"
                yield _first(node, f"{name} = mutant_true({name})", "mask", told, scope)
                told = f"`{name}` were the other way round"
                yield _first(node, f"{name} = mutant_inverted({name})", "mask", told, scope)
            elif several:
                told = f"`{name}` were detached: no gradient reaches it"
                yield _first(node, f"{name} = mutant_cut({name})", "detached", told, scope)
            told = f"the first sample of `{name}` were that of all"
            yield _first(node, f"{name} = mutant_first({name})", "first sample", told, scope)


def _is_mask(name: str) -> bool:
    return any(word in name for word in MASKS)


def holds_tensors(parameter: ast.arg) -> bool:
    """Whether it is declared to be a tensor, or a list or dictionary of them.

    >>> made = ast.parse("def f(x: list[Tensor], encode: Callable[..., Tensor]): pass").body[0]
    >>> [holds_tensors(one) for one in made.args.args]
    [True, False]
    """
    told = ast.unparse(parameter.annotation) if parameter.annotation else ""
    return "Tensor" in told and "Callable" not in told


def _first(node: ast.FunctionDef, line: str, kind: str, told: str, scope: Scope) -> Change:
    """A line put before the first one of the body."""
    documented = ast.get_docstring(node) is not None and len(node.body) > 1
    first = node.body[1 if documented else 0]
    new = f"{line}\n{' ' * first.col_offset}{scope.text.of(first)}"
    return Change(kind, first, new, told, f"the arguments of {node.name}")
