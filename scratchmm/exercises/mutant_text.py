"""Source text whose pieces can be replaced by the nodes of its syntax tree, and what a change says."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from scratchmm.sentences import shortened

ORDINALS = ("first", "second", "third")
MOST = 72  # letters of a piece of code in a sentence


class Change(NamedTuple):
    """One piece of code in another's place. told: goes on after "as if"."""

    kind: str
    node: ast.expr | ast.stmt
    new: str
    told: str
    place: str


class Text:
    """Python source. The parser counts columns in bytes of UTF-8, and so is it cut.

    >>> text = Text("y = x ** 2")
    >>> square = text.tree.body[0].value
    >>> text.of(square), text.replaced((square, "x"))
    ('x ** 2', 'y = (x)')
    """

    def __init__(self, source: str) -> None:
        self.bytes = source.encode()
        self.tree = ast.parse(source)
        self.starts = [0]
        for line in self.bytes.split(b"\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Where a node stands: its first byte, and the one behind its last."""
        first = self.starts[node.lineno - 1] + node.col_offset
        return first, self.starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)

    def of(self, node: ast.expr | ast.stmt) -> str:
        """A node's source."""
        first, last = self.span(node)
        return self.bytes[first:last].decode()

    def replaced(self, *changes: tuple[ast.expr | ast.stmt, str]) -> str:
        """The whole source with other code in the place of nodes; an expression is put in brackets.

        Raises ValueError where one node stands in another.
        """
        found, begun = self.bytes, len(self.bytes)
        for node, new in sorted(changes, key=lambda one: -self.span(one[0])[0]):
            first, last = self.span(node)
            if last > begun:
                raise ValueError("one change stands inside of another")
            whole = isinstance(node, ast.expr) and not isinstance(node, ast.Slice)
            text, begun = f"({new})" if whole else new, first
            found = found[:first] + text.encode() + found[last:]
        return found.decode()

    def quoted(self, node: ast.expr | ast.stmt) -> str:
        """A node's source as a sentence quotes it: on one line, without comments, shortened."""
        return quoted(ast.unparse(node) if "#" in self.of(node) else self.of(node))


def quoted(code: str) -> str:
    """Code as a sentence quotes it.

    >>> quoted("x.sum(\\n    dim=-1,\\n)")
    '`x.sum(dim=-1)`'
    """
    line = " ".join(code.split()).replace("( ", "(").replace(", )", ")").replace(" )", ")")
    return f"`{shortened(line, MOST)}`"


@dataclass(frozen=True)
class Scope:
    """The function around a node. tensors: its parameters that are tensors. tests: the conditions of
    its `if`s. gives_tensor: whether what it hands back is the answer, and a tensor. unused: names
    that the exercise leaves out."""

    text: Text
    tensors: frozenset[str] = frozenset()
    tests: frozenset[ast.expr] = frozenset()
    gives_tensor: bool = False
    unused: frozenset[str] = frozenset()

    def leaves_out(self, node: ast.expr) -> bool:
        """Whether an expression is about a name that the exercise leaves out."""
        return any(isinstance(x, ast.Name) and x.id in self.unused for x in ast.walk(node))

    def left_out(self, kind: str, node: ast.expr, kept: str, what: str) -> Change:
        """What is left out of an expression, of which `kept` stays."""
        place = self.text.quoted(node)
        told = f"{what} were left out of {place}" if what != place else f"{what} were left out"
        return Change(kind, node, kept, told, place)

    def instead(self, kind: str, node: ast.expr, new: str) -> Change:
        """Another expression in place of one."""
        place = self.text.quoted(node)
        return Change(kind, node, new, f"{quoted(new)} stood for {place}", place)

    def within(self, kind: str, node: ast.expr, inner: ast.expr, new: str) -> Change:
        """The same, told with the expression that it is a part of."""
        place, old = self.text.quoted(node), self.text.quoted(inner)
        return Change(kind, inner, new, f"{quoted(new)} stood for {old} in {place}", place)

    def exchanged(self, node: ast.expr, one: ast.expr, other: ast.expr) -> Change:
        """Two parts of an expression in each other's place."""
        first, _ = self.text.span(node)
        whole, pieces = (
            self.text.of(node).encode(),
            [self.text.of(x).encode() for x in (one, other)],
        )
        (a, b), (c, d) = ([at - first for at in self.text.span(x)] for x in (one, other))
        new = whole[:a] + _held(other, pieces[1]) + whole[b:c] + _held(one, pieces[0]) + whole[d:]
        place = self.text.quoted(node)
        told = f"{self.text.quoted(one)} and {self.text.quoted(other)} were exchanged in {place}"
        return Change("exchanged", node, new.decode(), told, place)


def _held(node: ast.expr, piece: bytes) -> bytes:
    """A piece that may stand beside an operator."""
    loose = (ast.BinOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.Lambda, ast.UnaryOp)
    return b"(" + piece + b")" if isinstance(node, loose) else piece


def number_of(node: ast.expr | None) -> int | None:
    """A whole number that stands there as such, or None.

    >>> number_of(ast.parse("-2").body[0].value), number_of(ast.parse("x").body[0].value)
    (-2, None)
    """
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = number_of(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    return None


def name_of(call: ast.expr) -> str:
    """The last name of what is called: `sum` of `x.sum`, `torch.sum` and `sum`.

    >>> name_of(ast.parse("torch.sum(x)").body[0].value.func)
    'sum'
    """
    if isinstance(call, ast.Attribute):
        return call.attr
    return call.id if isinstance(call, ast.Name) else ""


def from_module(function: ast.expr) -> bool:
    """Whether it is a function of torch's, F's or math's, and no method.

    >>> [from_module(ast.parse(code).body[0].value) for code in ("F.relu", "torch.linalg.norm", "x.sum")]
    [True, True, False]
    """
    while isinstance(function, ast.Attribute):
        function = function.value
        if isinstance(function, ast.Name):
            return function.id in ("torch", "F", "math", "np", "nn")
    return False


def together(changes: Iterable[Change]) -> Iterator[tuple[Change, list[Change]]]:
    """Each change with the places where it is made. One that can be made in several places is made
    in all of them first, as by who writes the same thing once, and then in each."""
    grouped: dict[str, list[Change]] = {}
    for change in changes:
        grouped.setdefault(f"{change.kind}: {change.told}", []).append(change)
    for group in grouped.values():
        yield group[0], group
        for place, one in enumerate(group if len(group) > 1 else []):
            time = ORDINALS[place] if place < len(ORDINALS) else f"{place + 1}th"
            yield one._replace(told=f"{one.told}, the {time} time that it stands there"), [one]


def unique(changes: Iterable[Change], text: Text, name: str) -> Iterator[tuple[Change, str]]:
    """Each change that makes other Python, with the source that it makes; the first of equal ones."""
    seen = {ast.dump(text.tree)}
    for change, places in together(changes):
        try:
            source = text.replaced(*((one.node, one.new) for one in places))
            tree = ast.dump(ast.parse(source))
            compile(source, name, "exec")
        except (SyntaxError, ValueError):
            continue
        if tree not in seen:
            seen.add(tree)
            yield change, source
