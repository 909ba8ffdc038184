"""Executes shape comments: follows the frames of chosen files while they run and compares.

A shape comment ends the last line of a statement: `x = f(x)  # (B, 1 + N, D)`. It describes the
assigned value, the returned one, or what was appended in `rows.append(x)  # (D,)`;
`# each (B, D)` describes every tensor of a tuple or list.
A letter takes its value at its first use within one call of one function and keeps it until that
call ends. An expression is checked as soon as its letters are known, at the latest when the call
returns. Shapes in a docstring are executed too: `x: (B, N, D)` for a parameter x, and
`Returns (B, D)`.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from torch import Tensor

PACKAGE = Path(__file__).parents[1] / "scratchmm"
OPERATORS = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
}


class Comment(NamedTuple):
    """One shape comment and the statement it belongs to."""

    place: str
    line: int
    text: str
    shape: list[ast.expr]
    each: bool
    statement: ast.stmt


class Report(NamedTuple):
    """What a run showed: comments that are wrong, comments that never ran, how often one held."""

    wrong: list[str]
    unexecuted: list[str]
    checked: int


def parse_shape(text: str, words: bool = False) -> list[ast.expr] | None:
    """The dimensions of "(B, 1 + N, D) and so on", or None if this is no shape.

    words: whether a dimension may be a whole word, such as height.
    """
    depth, end = 0, 0
    for end, character in enumerate(text, start=1):  # noqa: B007 - it is where the brackets close
        depth += (character == "(") - (character == ")")
        if depth == 0:
            break
    try:
        parsed = ast.parse(text[:end], mode="eval").body
    except (SyntaxError, ValueError):
        return None
    if not isinstance(parsed, ast.Tuple) or not parsed.elts:
        return None
    return parsed.elts if all(is_dimension(node, words) for node in parsed.elts) else None


def is_dimension(node: ast.expr, words: bool) -> bool:
    """A letter, a whole number, `...`, or an expression of them."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int) or node.value is Ellipsis
    if isinstance(node, ast.Name):
        return words or len(node.id) == 1
    if isinstance(node, ast.BinOp):
        sides = is_dimension(node.left, words) and is_dimension(node.right, words)
        return sides and type(node.op) in OPERATORS
    return False


def find_comments(source: str, name: str) -> tuple[list[Comment], list[str]]:
    """The shape comments of a file, and complaints about those that belong to no statement."""
    ends, tree = {}, ast.parse(source)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    fields = [part for node in classes for part in node.body if isinstance(part, ast.AnnAssign)]
    for node in ast.walk(tree):
        bare = node in fields or isinstance(node, ast.AnnAssign) and node.value is None
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return | ast.Expr):
            ends[node.end_lineno] = None if bare else node
    comments, complaints = [], []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        match = re.match(r"#\s*(each )?(\(.*)", token.string)
        shape = parse_shape(match[2]) if match else None
        if match is None or shape is None:
            continue
        line = token.start[0]
        place = f"{name}:{line}"
        statement = ends.get(line, "nowhere")
        if statement is None:  # a field of a NamedTuple or dataclass: nothing runs there
            continue
        if statement == "nowhere" or (isinstance(statement, ast.Expr) and not appends(statement)):
            complaints.append(f"{place}: {token.string} stands at no assignment and no return")
        else:
            each = match[1] is not None
            comments.append(Comment(place, line, token.string, shape, each, statement))
    return comments, complaints


def appends(statement: ast.stmt) -> bool:
    """Whether this is `rows.append(value)`, whose comment describes the value."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    method = call.func if isinstance(call, ast.Call) else None
    return isinstance(method, ast.Attribute) and method.attr == "append"


class Sizes:
    """The letters of one call."""

    def __init__(self, known: Mapping[str, int]) -> None:
        self.letters = dict(known)
        self.waiting: list[tuple[ast.expr, int, str]] = []
        self.wrong: list[str] = []

    def check(self, shape: list[ast.expr], value: object, where: str) -> None:
        """Compares a tensor with a shape; what cannot be known yet waits."""
        if not isinstance(value, Tensor):
            self.wrong.append(f"{where}: this is a {type(value).__name__}, not a tensor")
            return
        actual = list(value.shape)
        dots = [i for i, d in enumerate(shape) if isinstance(d, ast.Constant) and d.value is ...]
        if dots:
            after = len(shape) - dots[0] - 1
            actual = actual[: dots[0]] + actual[len(actual) - after :]
            shape = shape[: dots[0]] + shape[dots[0] + 1 :]
        where = f"{where}: the shape is {tuple(value.shape)}"
        if len(actual) != len(shape):
            self.wrong.append(where)
            return
        for dimension, size in zip(shape, actual, strict=True):
            if isinstance(dimension, ast.Name):
                self.letters.setdefault(dimension.id, size)
            self.waiting.append((dimension, size, where))
        self.settle()

    def settle(self) -> None:
        """Checks all that can be evaluated by now."""
        later = []
        for dimension, size, where in self.waiting:
            value = evaluate(dimension, self.letters)
            if value is None:
                later.append((dimension, size, where))
            elif value != size:
                self.wrong.append(f"{where}, but {ast.unparse(dimension)} is {value}")
        self.waiting = later

    def finish(self) -> list[str]:
        """At the call's end: a last unknown letter is solved for, what stays open is wrong."""
        for dimension, size, _ in self.waiting:
            unknown = {n.id for n in ast.walk(dimension) if isinstance(n, ast.Name)}
            unknown -= set(self.letters)
            if len(unknown) == 1:
                letter = unknown.pop()
                for guess in range(size + 1):
                    if evaluate(dimension, {**self.letters, letter: guess}) == size:
                        self.letters[letter] = guess
                        break
        self.settle()
        open_ones = [f"{w}, but {ast.unparse(d)} is never known" for d, _, w in self.waiting]
        return self.wrong + open_ones


def evaluate(node: ast.expr, letters: Mapping[str, int]) -> int | None:
    """The value of a dimension, None while a letter is unknown."""
    if isinstance(node, ast.Constant):
        return int(node.value)
    if isinstance(node, ast.Name):
        return letters.get(node.id)
    assert isinstance(node, ast.BinOp)
    left, right = evaluate(node.left, letters), evaluate(node.right, letters)
    if left is None or right is None or (right == 0 and isinstance(node.op, ast.FloorDiv)):
        return None
    return OPERATORS[type(node.op)](left, right)


DOCUMENTED = re.compile(r"((?:\w+(?:, | and ))*\w+)(?::| is)? (?:(?:float\w*|int64|bool) )?(\(.*)")


def documented(docstring: str) -> tuple[dict[str, list[ast.expr]], list[ast.expr] | None]:
    """The shapes that a docstring gives: of names, and of what is returned."""
    text = " ".join(docstring.split())
    shapes = {}
    for start in [m.start() for m in re.finditer(r"\b\w", text)]:
        match = DOCUMENTED.match(text, start)
        shape = parse_shape(match[2], words=True) if match else None
        if match and shape:
            for name in re.split(r", | and ", match[1]):
                shapes.setdefault(name, shape)
    match = re.search(r"Returns (?:(?:float\w*|int64|bool) )?(\(.*)", text)
    return shapes, parse_shape(match[1], words=True) if match else None


class Follower:
    """A trace function for sys.settrace that checks the comments of some files."""

    def __init__(self, files: Iterable[Path], known: Mapping[str, int]) -> None:
        self.known = known
        self.statements: dict[str, dict[int, Comment]] = {}
        self.comments: list[Comment] = []
        self.wrong: list[str] = []
        self.seen: set[str] = set()
        self.checked = 0
        self.docs: dict[CodeType, Any] = {}
        for file in files:
            source = file.read_text(encoding="utf-8")
            found, complaints = find_comments(source, file.name)
            self.comments += found
            self.wrong += complaints
            self.statements[str(file)] = {
                line: comment
                for comment in found
                for line in range(comment.statement.lineno, comment.line + 1)
            }

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        lines = self.statements.get(frame.f_code.co_filename)
        if event != "call" or lines is None or frame.f_code.co_name.startswith("<"):
            return None
        return self.follow(frame, lines)

    def follow(self, frame: FrameType, lines: dict[int, Comment]) -> Any:
        """A local trace function with the letters of this one call."""
        numbers = {k: v for k, v in frame.f_locals.items() if type(v) is int}
        sizes = Sizes({**numbers, **self.known})
        returned = self.documented_arguments(frame, sizes)
        ran: list[Comment | None] = [None]  # the commented statement that is running
        leaving: list[Comment | None] = [None]  # the commented return whose value is awaited
        raised = [False]

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            comment = lines.get(frame.f_lineno) if event == "line" else None
            if ran[0] is not None and comment is not ran[0] and event != "exception":
                self.check(ran[0], assigned(ran[0].statement, frame), sizes)
                ran[0] = None
            if event == "line":
                raised[0] = False  # caught: the call goes on
                if comment and isinstance(comment.statement, ast.Return):
                    leaving[0] = comment
                elif comment:
                    ran[0] = comment
            elif event == "exception" and argument[0] not in (StopIteration, GeneratorExit):
                ran[0] = leaving[0] = None
                raised[0] = True
            elif event == "return" and not raised[0]:
                if leaving[0] is not None:
                    self.check(leaving[0], argument, sizes)
                if returned is not None and isinstance(argument, Tensor):
                    where = f"{frame.f_code.co_qualname}: its docstring's Returns"
                    sizes.check(returned, argument, where)
                self.wrong += sizes.finish()
            return trace

        return trace

    def documented_arguments(self, frame: FrameType, sizes: Sizes) -> list[ast.expr] | None:
        """Binds letters from the docstring; returns the shape after Returns."""
        code = frame.f_code
        if code not in self.docs:
            docstring = code.co_consts[0] if code.co_consts else None
            self.docs[code] = documented(docstring) if isinstance(docstring, str) else ({}, None)
        shapes, returned = self.docs[code]
        count = code.co_argcount + code.co_kwonlyargcount
        for name in code.co_varnames[:count]:
            value = frame.f_locals.get(name)
            if name in shapes and isinstance(value, Tensor):
                sizes.check(shapes[name], value, f"{code.co_qualname}: its docstring's {name}")
        return returned

    def check(self, comment: Comment, value: object, sizes: Sizes) -> None:
        """Checks one value against its comment."""
        self.seen.add(comment.place)
        self.checked += 1
        values = list(value) if comment.each and not isinstance(value, Tensor) else [value]
        for item in values:
            sizes.check(comment.shape, item, f"{comment.place}: {comment.text}")


def assigned(statement: ast.stmt, frame: FrameType) -> object:
    """The value that a statement has just assigned, read from the frame."""
    if isinstance(statement, ast.Expr):
        target = f"{ast.unparse(statement.value.func.value)}[-1]"  # type: ignore[attr-defined]
    elif isinstance(statement, ast.Assign):
        target = ast.unparse(statement.targets[0])
    else:
        target = ast.unparse(statement.target)  # type: ignore[attr-defined]
    expression = compile(target, "<target>", "eval")
    return eval(expression, frame.f_globals, frame.f_locals)


def check_shape_comments(run: Callable[[], object], name: str) -> None:
    """Assert that `run` executes every shape comment of a file of the package, and that all hold.

    name: "layers/attention.py". Every size that `run` uses differs from every other, so that no
    letter can stand in for another one.
    """
    report = check_shapes([PACKAGE / name], run)
    assert not report.wrong, "\n".join(report.wrong)
    assert not report.unexecuted, "these comments never ran:\n" + "\n".join(report.unexecuted)


def check_shapes(
    files: Iterable[Path], run: Callable[[], object], known: Mapping[str, int] | None = None
) -> Report:
    """Runs `run` and checks the shape comments of `files` on the way.

    known: letters that have one value throughout the run, whatever the function.
    """
    follower = Follower([file.resolve() for file in files], known or {})
    before = sys.gettrace()
    sys.settrace(follower)
    try:
        run()
    finally:
        sys.settrace(before)
    wrong = list(dict.fromkeys(follower.wrong))
    unexecuted = [f"{c.place}: {c.text}" for c in follower.comments if c.place not in follower.seen]
    return Report(wrong, unexecuted, follower.checked)
