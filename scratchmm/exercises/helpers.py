"""What a stub says of the library's helpers that it imports: signature and one line each.

So nobody has to open the library's file, where the solution stands a few lines away.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterable, Mapping

WIDTH = 98


def helper_lines(imports: Mapping[str, str], solution: str, skip: Iterable[str] = ()) -> list[str]:
    """Comment lines on the helpers among these imports (name to import statement), or none.

    solution: source in which the attributes of classes are looked up; only those are told.

    >>> line = {"per_sample": "from scratchmm.diffusion.process import per_sample"}
    >>> print(helper_lines(line, "per_sample(a, x)")[1])
    # - per_sample(values: Tensor, x: Tensor) -> Tensor
    """
    used = {node.attr for node in ast.walk(ast.parse(solution)) if isinstance(node, ast.Attribute)}
    lines = []
    for name, statement in sorted(imports.items()):
        if statement.startswith("from scratchmm") and name not in skip:
            module = importlib.import_module(statement.split()[1])
            lines += _told(module, statement.split()[3], name, used)
    return ["# Given:", *lines] if lines else []


def _told(module: object, original: str, name: str, used: set[str]) -> list[str]:
    thing = getattr(module, original)
    if not (inspect.isfunction(thing) or inspect.isclass(thing)):
        return []
    node = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    if isinstance(node, ast.FunctionDef):
        return _entry(_signature(node, name), ast.get_docstring(node))
    if not isinstance(node, ast.ClassDef):
        return []
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
    fields = [ast.unparse(item) for item in node.body if isinstance(item, ast.AnnAssign)]
    made = next((method for method in methods if method.name == "__init__"), None)
    call = _signature(made, name) if made else f"{name}({', '.join(fields)})"
    lines = _entry(call.removesuffix(" -> None"), ast.get_docstring(node))
    for method in methods:
        if method.name in used and not method.name.startswith("_"):
            lines += _entry(_signature(method, f"{name}.{method.name}"), ast.get_docstring(method))
    return lines


def _signature(node: ast.FunctionDef, name: str) -> str:
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{name}({arguments}){returned}"


def _entry(signature: str, docstring: str | None) -> list[str]:
    wrap = {"width": WIDTH, "break_long_words": False, "break_on_hyphens": False}
    lines = textwrap.wrap(f"- {signature}", subsequent_indent="      ", **wrap)  # type: ignore[arg-type]
    told = " ".join((docstring or "").split("\n\n")[0].split())
    if told:
        indent = {"initial_indent": "    ", "subsequent_indent": "    "}
        lines += textwrap.wrap(told, **indent, **wrap)  # type: ignore[arg-type]
    return [f"# {line}" for line in lines]
