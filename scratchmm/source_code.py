"""Which code a figure depends on: a hash over a file and all of the package that it imports.

A recorded result and a checkpoint belong to the code that made them. Comments, docstrings and blank
lines count for nothing; what only prints, draws or writes files is left out.
"""

import ast
import functools
import hashlib
import io
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = "scratchmm"
# They print, draw and write, and cannot change a figure.
BYSTANDERS = {
    f"commands/{name}.py"
    for name in ("__init__", "lessons", "lesson_options", "lesson_run", "sources")
}
BYSTANDERS |= {
    "claims.py",
    "plots.py",
    "plot_style.py",
    "whole_file.py",
    "sentences.py",
    "source_code.py",
}
BYSTANDERS |= {f"training/{name}.py" for name in ("curve", "run_folder", "fingerprint", "kept")}


parsed = functools.lru_cache(maxsize=256)(ast.parse)  # of each source once; never changed


def code_hash(scripts: Path | Iterable[Path], root: Path) -> str:
    """A hash over the code of one or more files and of every file of the package that they import.

    Comments, docstrings and blank lines are left out: they cannot change a result.
    """
    digest = hashlib.sha256()
    first = [scripts] if isinstance(scripts, Path) else list(scripts)
    for path in sorted(set().union(*(closure(script, root) for script in first))):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
        digest.update(code_of(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def code_of(source: str) -> str:
    """The source without comments, docstrings and blank lines.

    >>> code_of("'''Says hello.'''\\n\\nx = 1  # why\\n")
    'x = 1'
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
    return "\n".join(line.rstrip() for line in lines if line.strip())


def comments(source: str, lines: list[str]) -> Iterator[tuple[int, int]]:
    """Where comments begin, row and column from 0, in lines from which docstrings are taken out.

    A sign # with no quote before it, where no string goes over several lines, begins one. The
    tokenizer knows in any case, but takes ten times as long, and `generate` waits for it.

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
    """The tree and all statements in it, also those within others; expressions are not looked into.

    >>> [type(node).__name__ for node in statements(ast.parse("if x:\\n    import y"))]
    ['Module', 'If', 'Import']
    """
    yield tree
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(tree, field, ())
        for node in inner if isinstance(inner, list) else ():  # a lambda's body is an expression
            yield from statements(node)


def closure(path: Path, root: Path) -> set[Path]:
    """The file and every file of the package that it imports, directly or not."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += imports(file, root)
    return seen


def imports(path: Path, root: Path) -> set[Path]:
    """The files of the package that one file imports, wherever in it the import stands."""
    parts = path.relative_to(root).with_suffix("").parts
    found = set()
    for node in statements(parsed(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            base = ".".join(piece for piece in (above, node.module or "") if piece)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            found |= files_of(name, root)
    return found - {path}


def files_of(module: str, root: Path) -> set[Path]:
    """The file of a module of the package. Not the __init__.py above it: that only offers names."""
    words = module.split(".")
    if words[0] != PACKAGE:
        return set()
    skip = {root / PACKAGE / name for name in BYSTANDERS}
    return {file for file in {root.joinpath(*words).with_suffix(".py")} - skip if file.is_file()}
