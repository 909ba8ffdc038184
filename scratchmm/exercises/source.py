"""A learner's file as text: read as Python reads it, its lines counted as the parser counts them."""

from __future__ import annotations

import ast
import re
import tokenize
from pathlib import Path

from scratchmm.files import atomic_write

MARK = b"\xef\xbb\xbf"  # the byte order mark that some editors put first
TOP = re.compile(r"(?:async\s+def|def|class)\s+(\w+)|\S")


def read(path: Path) -> str:
    r"""The text, without a byte order mark, its lines ending in \n. Raises ValueError, OSError.

    A comment such as `# -*- coding: latin-1 -*-` is obeyed, as Python does.
    """
    try:
        with path.open("rb") as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
        text = path.read_bytes().decode(encoding)
    except (UnicodeDecodeError, SyntaxError, LookupError):
        raise ValueError(f"{path.name} is not UTF-8: save it in that encoding") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"{path.name} line {line}: holds a NUL byte, which no Python file may")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def examined(path: Path) -> tuple[str, str]:
    """A file's text and what keeps it from being Python, in a sentence, or "".

    >>> examined(Path("no such file"))
    ('', '')
    """
    if not path.exists():
        return "", ""
    try:
        text = read(path)
        ast.parse(text)
    except SyntaxError as error:
        return "", f"{path.name} line {error.lineno}: {error.msg}"
    except (ValueError, OSError) as error:
        return "", str(error)
    return text, ""


def write(path: Path, text: str) -> None:
    """Write the text as the file was: with its byte order mark, line ends and encoding."""
    before = path.read_bytes()
    with path.open("rb") as file:
        encoding, _ = tokenize.detect_encoding(file.readline)
    if b"\r\n" in before:
        text = text.replace("\n", "\r\n")
    atomic_write(path, text.encode(encoding))


def spans(text: str, name: str) -> list[tuple[int, int]]:
    """The lines of each definition of a name at the top level: first, from 0, and behind the last.

    Decorators belong to it. Where the file is no Python, a definition goes on to the next line that
    is not indented.

    >>> spans("x = 1\\ndef f():\\n    pass\\n", "f")
    [(1, 3)]
    >>> spans("def f(:\\n    pass\\n\\nx = (\\n", "f")
    [(0, 2)]
    """
    try:
        nodes = ast.parse(text).body
    except (SyntaxError, ValueError):
        return _spans_by_indent(text.split("\n"), name)
    found = []
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if node.name == name:
                start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                found.append((start - 1, node.end_lineno or start))
    return found


def _spans_by_indent(lines: list[str], name: str) -> list[tuple[int, int]]:
    found, place = [], 0
    while place < len(lines):
        match = TOP.match(lines[place])
        if match and match[1] == name:
            first = last = place
            while first and lines[first - 1].startswith("@"):
                first -= 1
            place += 1
            # Closing brackets of the heading stand at the margin too.
            while place < len(lines) and not re.match(r"[^\s#)\]}]", lines[place]):
                last = place if lines[place].strip() else last
                place += 1
            while last > first and lines[last].startswith("#"):
                last -= 1  # a comment at the margin belongs to what follows
            found.append((first, last + 1))
        else:
            place += 1
    return found


def duplicates(text: str, name: str) -> str:
    """'on lines 3 and 9', where a name is defined more than once, else ''.

    >>> duplicates("def f(): pass\\ndef f(): pass\\n", "f")
    'on lines 1 and 2'
    """
    lines = [str(first + 1) for first, _ in spans(text, name)]
    return f"on lines {', '.join(lines[:-1])} and {lines[-1]}" if len(lines) > 1 else ""
