"""Stubs, cut from the library's own source: signature, type hints and docstring stay.

The same cutter writes the solution into a file, or a `raise`, for `learn verify`.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Container, Iterable, Sequence
from types import ModuleType

from scratchmm.exercises.format import Exercise
from scratchmm.exercises.helpers import helper_lines

WIDTH = 100
PLANTED = 'raise RuntimeError("planted by learn verify")'
Definition = ast.FunctionDef | ast.ClassDef


def stub_file(exercises: Sequence[Exercise], solved: Container[str] = (), planted: str = "") -> str:
    """The text of one lesson's stub file.

    solved: the ids of exercises whose solution is left in. planted: a method of one (or its name)
    whose body starts with a raise.
    """
    parts = [_heading(exercises[0].lesson)]
    bodies: list[str] = []
    needed = {"math": "import math"}  # for every lesson: a solution may always need it
    own = {exercise.name for exercise in exercises}
    told: set[str] = set()  # helpers are told of once a file
    for exercise in exercises:
        text = sources(exercise, exercise.shown)
        if exercise.id in solved:
            text += sources(exercise, exercise.parts)
        text += definition(exercise, exercise.id in solved, planted)
        brought = imports(exercise, text, exercise.id in solved)
        for name, line in brought.items():
            if needed.get(name, line) != line:
                raise ValueError(
                    f"{name} would be two things in one file, {needed[name]!r} and {line!r} for "
                    f"{exercise.id}: one of them needs another name"
                )
            if name not in own:
                needed.setdefault(name, line)
        given = helper_lines(brought, inspect.getsource(exercise.reference), own | told)
        told |= brought.keys()
        bodies.append("\n".join([_introduction(exercise), *given, text]))
    parts.append(import_block(set(needed.values())))
    return "\n\n".join(parts) + "\n\n\n" + "\n\n\n".join(bodies) + "\n"


def _heading(lesson: str) -> str:
    number, _, topic = lesson.partition("_")
    return (
        f'"""Exercises of lesson {number}, {topic.replace("_", " ")}.\n\n'
        "Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the\n"
        "device of what it is handed, gives a sample alone what it gives it among others, reads memory\n"
        "in any order, keeps nothing from one call to the next and changes nothing around it, wherever\n"
        "the library does so too. Then, from the folder above this one:\n"
        "    python -m scratchmm learn check     what is right, and which mistake the rest looks like\n"
        "    python -m scratchmm learn hint ID   a hint, and a little more of it each time\n"
        f"    python -m doctest exercises/{lesson}.py   its examples; silent if right\n"
        '"""\n\n'
        "from __future__ import annotations"
    )


def _introduction(exercise: Exercise) -> str:
    text = f"{exercise.id}: {exercise.title}. {exercise.minutes} minutes, difficulty "
    text += f'{exercise.difficulty} of 5. In the lesson: "{exercise.section}".'
    if exercise.needs:
        text += f" Comes after {', '.join(exercise.needs)}."
    names = [name for name in exercise.forbidden if "._" not in name]
    names += [f"the library's {name}" for name in exercise.parts if not name.startswith("_")]
    if names:
        text += f" Without {', '.join(names)}."
    lines = textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)


def sources(exercise: Exercise, names: Sequence[str]) -> str:
    """The whole source of some functions or classes of the target's module, each with room after."""
    lines = inspect.getsource(exercise.module).splitlines()
    texts = []
    for name in names:
        node = _top_level(exercise.module, name)
        texts.append("\n".join(lines[_start(node) - 1 : node.end_lineno]) + "\n\n\n")
    return "".join(texts)


def _start(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def definition(exercise: Exercise, solved: bool = False, planted: str = "") -> str:
    """The target's source with its bodies cut (or, if solved, whole)."""
    lines = inspect.getsource(exercise.module).splitlines()
    node = _top_level(exercise.module, exercise.name)
    changes: list[tuple[int, int, list[str]]] = []  # first line, line after the last, new lines
    functions = [node] if isinstance(node, ast.FunctionDef) else _methods(exercise, node)
    for function in functions:
        goal = exercise.methods.get(function.name, exercise.goal)
        first, last = _body(function)
        indent = " " * (function.col_offset + 4)
        if not solved:
            raising = _raising(f"{exercise.id}: {goal}", indent)
            changes.append((first, last, raising))
        elif planted == function.name:
            changes.append((first, first, [indent + PLANTED]))
    for dropped in [] if solved else exercise.drop:
        method = _method(node, dropped)
        start = _start(method)
        while not lines[start - 2].strip():
            start -= 1
        changes.append((start, (method.end_lineno or start) + 1, []))
    for first, last, new in sorted(changes, reverse=True):
        lines[first - 1 : last - 1] = new
    grown = sum(len(new) - (last - first) for first, last, new in changes)
    start = _start(node)
    return "\n".join(lines[start - 1 : (node.end_lineno or start) + grown])


def _body(function: ast.FunctionDef) -> tuple[int, int]:
    """First line of the body after the docstring, and the line after its last."""
    statements = function.body
    if ast.get_docstring(function) is not None and len(statements) > 1:
        first = (statements[0].end_lineno or 0) + 1
    else:
        first = statements[0].lineno
    if first == function.lineno:
        raise ValueError(f"{function.name} has its body on the line of its def and can't be cut")
    return first, (function.end_lineno or first) + 1


def _raising(message: str, indent: str) -> list[str]:
    line = f"{indent}raise NotImplementedError({_quoted(message)})"
    if len(line) <= WIDTH:
        return [line]
    room = WIDTH - len(indent) - len("    ''")
    parts = [message]
    if len(_quoted(message)) - 2 > room:  # the formatter joins what fits on one line
        wrapped = textwrap.wrap(message, room - 1, break_on_hyphens=False)
        parts = [*(f"{part} " for part in wrapped[:-1]), wrapped[-1]]
    inner = [f"{indent}    {_quoted(part)}" for part in parts]
    return [f"{indent}raise NotImplementedError(", *inner, f"{indent})"]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _top_level(module: ModuleType, name: str) -> Definition:
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, Definition) and node.name == name:
            return node
    raise ValueError(f"{module.__name__} defines no {name}")


def _methods(exercise: Exercise, node: ast.ClassDef) -> list[ast.FunctionDef]:
    if not exercise.methods:
        raise ValueError(f"{exercise.id} is a class, but names no methods to blank")
    return [_method(node, name) for name in exercise.methods]


def _method(node: Definition, name: str) -> ast.FunctionDef:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == name:
            return item
    raise ValueError(f"{node.name} has no method {name}")


def imports(exercise: Exercise, text: str, solved: bool) -> dict[str, str]:
    """The import statement of each name that the stub uses, and the solution too.

    Private helpers of the library that only the solution uses are not given away.
    """
    solution = textwrap.dedent(inspect.getsource(exercise.reference))
    whole = "\n".join([text, solution, sources(exercise, exercise.parts), "math, torch, nn, F"])
    defined = {exercise.name, *exercise.shown, *exercise.parts}
    kept, known, found = _names(text), _bindings(exercise.module), {}
    for name in sorted(_names(whole) - defined):
        given_away = name.startswith("_") and name not in kept and not solved
        if name in known and not given_away:
            found[name] = known[name]
    return found


def _names(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


def _bindings(module: ModuleType) -> dict[str, str]:
    """How to import each top-level name of a module: its own imports, or from the module itself."""
    found = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                renamed = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
                origin = f"from {node.module} " if isinstance(node, ast.ImportFrom) else ""
                found[name] = f"{origin}import {renamed}"
        else:
            for name in _bound(node):
                found[name] = f"from {module.__name__} import {name}"
    return found


def _bound(node: ast.stmt) -> Iterable[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
    # a, b = 1, 2 binds two
    parts = [part for target in targets for part in getattr(target, "elts", [target])]
    return [part.id for part in parts if isinstance(part, ast.Name)]


def import_block(lines: set[str]) -> str:
    """Import statements merged by module, in three groups: Python's, others', the library's.

    >>> print(import_block({"import math", "from torch import nn", "from torch import Tensor"}))
    import math
    <BLANKLINE>
    from torch import Tensor, nn
    """
    merged: dict[str, set[str]] = {}
    for line in lines:
        origin, _, names = line.partition("import ")
        merged.setdefault(origin or f"import {names}", set()).add(names if origin else "")
    groups: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for origin in sorted(merged, key=lambda text: (text.startswith("from"), text)):
        root = origin.split()[1].partition(".")[0]
        group = 0 if root in sys.stdlib_module_names else 2 if root == "scratchmm" else 1
        groups[group].append(_import_line(origin, merged[origin]))
    return "\n\n".join("\n".join(group) for group in groups.values() if group)


def _import_line(origin: str, names: set[str]) -> str:
    if names == {""}:
        return origin
    ordered = sorted(names, key=_isort_key)
    line = f"{origin}import {', '.join(ordered)}"
    if len(line) <= WIDTH:
        return line
    return f"{origin}import (\n" + "".join(f"    {name},\n" for name in ordered) + ")"


def _isort_key(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions: the order that ruff gives them."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2), name
