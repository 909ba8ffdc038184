"""Source code without what cannot change a result: comments, docstrings and blank lines."""

import ast
import functools
import io
import tokenize
from collections.abc import Iterator

parsed = functools.lru_cache(maxsize=256)(ast.parse)  # the trees are shared and must not be changed


def code_of(source: str) -> str:
    """The source without comments, docstrings and blank lines.

    >>> code_of("'''Says hello.'''\\n\\nx = 1  # why\\n")
    'x = 1'
    """
    return "\n".join(line for line in bare_lines(source) if line)


def bare_lines(source: str) -> list[str]:
    """The lines of a source, comments and docstrings emptied, so that line numbers stay the same.

    >>> bare_lines("x = 1  # why\\n# and how\\n")
    ['x = 1', '', '']
    """
    lines = source.split("\n")  # as the parser counts them: splitlines() splits at more signs
    for node in statements(parsed(source)):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                lines[first.lineno - 1 : first.end_lineno] = [""] * (
                    (first.end_lineno or first.lineno) - first.lineno + 1
                )
    for row, column in comments(source, lines):
        lines[row] = lines[row][:column]
    return [line.rstrip() for line in lines]


def comments(source: str, lines: list[str]) -> Iterator[tuple[int, int]]:
    """Where comments begin, row and column from 0, in lines without docstrings.

    A # with no quote before it begins one, in a line that no multi-line string covers. Other cases
    are left to the tokenizer, which takes ten times as long.

    >>> [*comments("x = '#'  # why", ["x = '#'  # why"])]
    [(0, 9)]
    """
    places = [(row, line.find("#")) for row, line in enumerate(lines) if "#" in line]
    quotes = any(quote in lines[row][:column] for row, column in places for quote in "'\"")
    if not quotes and not any(line.count('"""') or line.count("'''") for line in lines):
        if not any(line.endswith("\\") for line in lines):  # a string that goes on
            yield from places
            return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            if lines[row - 1]:
                yield row - 1, column


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """The tree and all statements in it, nested ones included; expressions are not searched.

    >>> [type(node).__name__ for node in statements(ast.parse("if x:\\n    import y"))]
    ['Module', 'If', 'Import']
    """
    yield tree
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(tree, field, ())
        for node in inner if isinstance(inner, list) else ():  # a lambda's body is an expression
            yield from statements(node)
