"""Ordinary mistakes in operators, comparisons, subscripts and conditions."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scratchmm.exercises.mutant_calls import other_axes
from scratchmm.exercises.mutant_text import Change, Scope, name_of, number_of

TWISTED: dict[type[ast.operator], str] = {
    ast.Add: "-", ast.Sub: "+", ast.Div: "*", ast.BitAnd: "|", ast.BitOr: "&",
}  # fmt: skip
IN_PLACE: dict[type[ast.operator], str] = {
    ast.Add: "add_", ast.Sub: "sub_", ast.Mult: "mul_", ast.Div: "div_",
}  # fmt: skip
KINDS: dict[type[ast.operator], str] = {
    ast.Mult: "factor", ast.Div: "factor", ast.Add: "term", ast.Sub: "term", ast.Mod: "left out",
    ast.BitAnd: "mask", ast.BitOr: "mask", ast.FloorDiv: "factor",
}  # fmt: skip
EXCHANGED = (ast.Sub, ast.Div, ast.MatMult, ast.FloorDiv, ast.Pow)
EDGES: dict[type[ast.cmpop], str] = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
NEGATED: dict[type[ast.cmpop], str] = {
    ast.Lt: ">=", ast.LtE: ">", ast.Gt: "<=", ast.GtE: "<", ast.Eq: "!=", ast.NotEq: "==",
}  # fmt: skip


def of_operator(node: ast.BinOp, scope: Scope) -> Iterator[Change]:
    """The changes of `a op b`."""
    if _fixed(node.left) and _fixed(node.right):
        return  # a number, written as a sum or a power
    text, kind = scope.text, type(node.op)
    left, right = text.of(node.left), text.of(node.right)
    held = (_held(node.left, left), _held(node.right, right))
    if isinstance(node.op, EXCHANGED):
        yield scope.exchanged(node, node.left, node.right)
    if kind in TWISTED:
        word = (
            "mask" if kind in (ast.BitAnd, ast.BitOr) else "sign" if kind != ast.Div else "factor"
        )
        yield scope.instead(word, node, f"{held[0]} {TWISTED[kind]} {held[1]}")
    if kind is ast.Pow:
        word = "square" if number_of(node.right) == 2 else "root"
        yield scope.left_out(word, node, left, f"`** {right}`")
    if kind in KINDS:
        yield scope.left_out(KINDS[kind], node, left, text.quoted(node.right))
        if kind in (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr) or (
            kind is ast.Sub and isinstance(node.left, ast.Constant)
        ):
            yield scope.left_out(KINDS[kind], node, right, text.quoted(node.left))
    if kind is ast.FloorDiv:
        yield scope.instead("off by one", node, f"-(-{held[0]} // {held[1]})")
    if kind in IN_PLACE and isinstance(node.left, ast.Name) and node.left.id in scope.tensors:
        yield scope.instead("in place", node, f"{left}.{IN_PLACE[kind]}({right})")


def _fixed(node: ast.expr) -> bool:
    """Whether it is a number, or the name of one: LONGEST."""
    if isinstance(node, ast.UnaryOp):
        return _fixed(node.operand)
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())


def _held(node: ast.expr, code: str) -> str:
    loose = isinstance(node, (ast.BinOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.UnaryOp))
    return f"({code})" if loose else code


def of_sign(node: ast.UnaryOp, scope: Scope) -> Iterator[Change]:
    """A minus or a ~ left out."""
    kept = scope.text.of(node.operand)
    if isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield scope.left_out("sign", node, kept, "the minus")
    if isinstance(node.op, ast.Invert):
        yield scope.left_out("mask", node, kept, "the `~`")


def of_comparison(node: ast.Compare, scope: Scope) -> Iterator[Change]:
    """< for <=; and outside of conditions, which are inverted as a whole, the opposite."""
    if len(node.ops) != 1:
        return
    kind, left = type(node.ops[0]), scope.text.of(node.left)
    right = scope.text.of(node.comparators[0])
    if kind in EDGES and "rand(" not in left:  # a random number is never exactly another one
        yield scope.instead("comparison", node, f"{left} {EDGES[kind]} {right}")
    if kind in NEGATED and node not in scope.tests:
        yield scope.instead("comparison", node, f"{left} {NEGATED[kind]} {right}")


def of_logic(node: ast.BoolOp, scope: Scope) -> Iterator[Change]:
    """One of several conditions left out."""
    word = " and " if isinstance(node.op, ast.And) else " or "
    for one in node.values:
        rest = [_held(other, scope.text.of(other)) for other in node.values if other is not one]
        yield scope.left_out("condition", node, word.join(rest), scope.text.quoted(one))


def of_choice(node: ast.IfExp, scope: Scope) -> Iterator[Change]:
    """Always the one, or always the other."""
    place = scope.text.quoted(node)
    for kept, held in ((node.body, "always"), (node.orelse, "never")):
        told = f"the condition {scope.text.quoted(node.test)} {held} held"
        yield Change("condition", node, scope.text.of(kept), told, place)


def of_comprehension(node: ast.comprehension, scope: Scope) -> Iterator[Change]:
    """A condition inside of a comprehension dropped."""
    for test in node.ifs:
        place = scope.text.quoted(test)
        yield Change("condition", test, "True", f"the condition {place} always held", place)


def of_subscript(node: ast.Subscript, scope: Scope) -> Iterator[Change]:
    """Another axis of a shape, first for last, off by one in a slice, a new axis elsewhere."""
    if not isinstance(node.ctx, ast.Load):
        return
    inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for one in inside:
        value = number_of(one)
        if name_of(node.value) == "shape" and value is not None:
            for axis in other_axes(value):
                yield scope.within("axis", node, one, str(axis))
        elif value is not None:
            elsewhere = {0: -1, -1: 0}.get(value, value - 1)
            yield scope.within("first for last", node, one, str(elsewhere))
        elif isinstance(one, ast.Slice):
            for new in _slices(one):
                yield scope.within("off by one", node, one, new)
    for one, other in zip(inside, inside[1:], strict=False):
        if {type(one), type(other)} == {ast.Constant, ast.Slice}:
            yield _moved(node, one, other, scope)


def _slices(node: ast.Slice) -> Iterator[str]:
    """A slice that begins or ends one place beside, or is whole."""
    first, last, step = (
        "" if part is None else ast.unparse(part) for part in (node.lower, node.upper, node.step)
    )
    ending = f":{step}" if step else ""
    if first:
        yield f":{last}{ending}"
        yield f"{_next(node.lower, 1)}:{last}{ending}"
    if last:
        yield f"{first}:{ending}"
        yield f"{first}:{_next(node.upper, -1)}{ending}"
    if step:
        yield f"{first}:{last}"


def _next(node: ast.expr | None, by: int) -> str:
    value = number_of(node)
    if value is not None:
        return str(value + by)
    return f"{ast.unparse(node or ast.Constant(0))} {'+' if by > 0 else '-'} 1"


def _moved(node: ast.Subscript, one: ast.expr, other: ast.expr, scope: Scope) -> Change:
    change = scope.exchanged(node, one, other)
    place = scope.text.quoted(node)
    told = f"the new axis stood elsewhere in {place}: `{' '.join(change.new.split())}`"
    return Change("axis", node, change.new, told, place)
