"""Which small bugs may be planted in a file: one change of one place each (see plant_bugs.py)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

SPARED = (ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)  # the words of a message are free
ENDS = (ast.Raise, ast.Return, ast.Break, ast.Continue)
COMPARE: dict[type, type] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
COMPARE |= {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
COMPARE |= {ast.In: ast.NotIn, ast.NotIn: ast.In}
OPERATOR: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div}
OPERATOR |= {ast.Div: ast.Mult, ast.FloorDiv: ast.Mod, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult}
OPERATOR |= {ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}
PAIRS = "min/max any/all mean/sum amin/amax argmin/argmax minimum/maximum sin/cos floor/ceil"
OTHER = {a: b for pair in PAIRS.split() for a, b in (pair.split("/"), pair.split("/")[::-1])}
EVEN = "isinstance transpose hypot maximum minimum max min"  # either way round the same, or none
DROPPED = "clamp clamp_ abs sqrt square detach clone contiguous eval sorted reversed strip lower"
DROPPED += " flip round masked_fill float double item copy removesuffix removeprefix set list"


class Bug(NamedTuple):
    """One change: the bytes from `start` to `end` of a file become `new`."""

    path: Path
    line: int
    kind: str
    start: int
    end: int
    old: str
    new: str

    def __str__(self) -> str:
        old, new = (re.sub(r"\s+", " ", text)[:70] for text in (self.old, self.new))
        return f"{self.path}:{self.line} {self.kind}: {old} -> {new}"


def changed(node: Any, **fields: Any) -> str:
    """The source of a node with other fields."""
    copy = type(node)(**{name: getattr(node, name) for name in node._fields} | fields)
    text = ast.unparse(ast.copy_location(copy, node))
    return f"({text})" if isinstance(node, ast.expr) and not isinstance(node, ast.Call) else text


def without(items: list[Any], index: int) -> list[Any]:
    return items[:index] + items[index + 1 :]


def changes(node: Any) -> Iterator[tuple[str, Any, str]]:
    """What may go wrong at a node: a kind, the node that is replaced, and by what."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARE:
        first = COMPARE[type(node.ops[0])]()
        yield "compare", node, changed(node, ops=[first, *node.ops[1:]])
    elif isinstance(node, ast.BoolOp):
        for index in range(len(node.values)):
            left = without(node.values, index)
            text = changed(node, values=left) if len(left) > 1 else f"({ast.unparse(left[0])})"
            yield "drop condition", node, text
        yield (
            "and/or",
            node,
            changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And()),
        )
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield "drop sign or not", node, f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.BinOp):
        yield "drop operand", node, f"({ast.unparse(node.left)})"
        yield "drop operand", node, f"({ast.unparse(node.right)})"
        if not isinstance(node.op, ast.Add | ast.Mult):
            yield "swap operands", node, changed(node, left=node.right, right=node.left)
        if type(node.op) in OPERATOR:
            yield "operator", node, changed(node, op=OPERATOR[type(node.op)]())
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield "boolean", node, repr(not node.value)
        elif isinstance(node.value, int):
            yield "constant", node, f"({node.value + 1})"
            yield "constant", node, f"({node.value - 1})"
        elif isinstance(node.value, float):
            yield "constant", node, repr(2 * node.value or 1.0)
    elif isinstance(node, ast.Call):
        yield from changes_of_call(node)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield "condition false", node.test, "False"
        if not isinstance(node, ast.While):
            yield "condition true", node.test, "True"
    elif isinstance(node, ast.For):
        last = node.body[-1]
        yield "loop once", last, f"{ast.unparse(last)}; break" if simple(last) else ""
    elif isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield "drop filter", test, "True"
    elif isinstance(node, ast.Slice):
        for end in filter(None, (node.lower, node.upper)):
            yield "slice", end, ""
    elif isinstance(node, ast.With) and "no_grad" in ast.unparse(node.items[0]):
        yield "drop no_grad", node.items[0].context_expr, "__import__('contextlib').nullcontext()"
    elif isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Tuple):
        for index in range(len(node.type.elts)):
            yield (
                "drop exception",
                node.type,
                changed(node.type, elts=without(node.type.elts, index)),
            )
    if isinstance(node, ast.FunctionDef):
        for decorator in node.decorator_list:
            if not re.search("property|method|overload|fixture", ast.unparse(decorator)):
                yield "drop decorator", decorator, "(lambda f: f)"
    if isinstance(node, ast.Raise | ast.AugAssign | ast.Continue | ast.Break) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield "drop statement", node, "pass"


def changes_of_call(node: ast.Call) -> Iterator[tuple[str, Any, str]]:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    for index, keyword in enumerate(node.keywords):
        if harmless(keyword):
            continue
        yield "drop keyword", node, changed(node, keywords=without(node.keywords, index))
    plain = not any(isinstance(one, ast.Starred | ast.GeneratorExp) for one in node.args)
    if len(node.args) > 1 and plain and name not in EVEN.split():
        swapped = [node.args[1], node.args[0], *node.args[2:]]
        yield "swap arguments", node, changed(node, args=swapped)
    if name in OTHER:
        yield "reduction", node.func, re.sub(rf"{name}$", OTHER[name], ast.unparse(node.func))
    if name == "range" and plain:
        last = len(node.args) > 1
        arguments = [ast.unparse(one) for one in node.args]
        arguments[last] += " - 1"
        yield "range", node, f"range({', '.join(arguments)})"
    if name in DROPPED.split():
        of = [node.func.value] if isinstance(node.func, ast.Attribute) else node.args
        inner = of[0] if of else None
        if inner is not None and not isinstance(inner, ast.Starred | ast.GeneratorExp):
            yield "drop call", node, f"({ast.unparse(inner)})"


def simple(node: ast.stmt) -> bool:
    return not hasattr(node, "body") and not isinstance(node, ENDS)


def harmless(node: ast.AST) -> bool:
    """Arguments that check or speed up, and change nothing where all is well."""
    return isinstance(node, ast.keyword) and node.arg in ("strict", "non_blocking")


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node where a bug may be: no types, no words, nothing that only a type checker reads."""
    yield node
    if isinstance(node, (*SPARED, ast.Raise)) or (
        isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ):
        return
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns") and not harmless(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from nodes(child)


def bugs_of(path: Path, source: bytes) -> list[Bug]:
    """Every bug that may be planted in a file of the library.

    >>> [str(bug) for bug in bugs_of(Path("a.py"), b"def f(x):\\n    return x < 3")]
    ['a.py:2 compare: x < 3 -> (x <= 3)', 'a.py:2 constant: 3 -> (4)', 'a.py:2 constant: 3 -> (2)']
    """
    starts = [0]
    for line in source.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    found = []
    for node in nodes(ast.parse(source)):
        for kind, place, new in changes(node):
            start = starts[place.lineno - 1] + place.col_offset
            end = starts[place.end_lineno - 1] + place.end_col_offset
            old = source[start:end].decode()
            one = Bug(path, place.lineno, kind, start, end, old, new)
            if new != old and (new or kind == "slice"):
                found.append(one)
    return found


def planted(source: bytes, bug: Bug) -> bytes | None:
    """The file with the bug, or None where that is no Python."""
    text = source[: bug.start] + bug.new.encode() + source[bug.end :]
    try:
        ast.parse(text)
    except SyntaxError:
        return None
    return text
