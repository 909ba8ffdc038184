"""The learner's file: load it, take one answer out of it, fingerprint the code of that answer."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from scratchmm.exercises import robust, source
from scratchmm.exercises.calls import ending
from scratchmm.exercises.format import Exercise


class CannotRun(Exception):
    """The learner's file can't be loaded or lacks the answer; the text says why, in a sentence."""


def load(path: Path) -> ModuleType:
    """Run a learner's file as a module of its own. Raises CannotRun."""
    if not path.is_file():
        raise CannotRun(f"there is no file {path}; `learn start` makes one")
    name = f"learner_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        code = compile(source.read(path), str(path), "exec")
    except SyntaxError as error:
        raise CannotRun(f"{path.name} line {error.lineno}: {error.msg}") from None
    except (ValueError, OSError) as error:
        raise CannotRun(str(error)) from None
    try:
        exec(code, module.__dict__)
    except BaseException as error:  # noqa: BLE001 (whatever it raises)
        text = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else ending(error)
        line = _last_line(error, str(path))
        raise CannotRun(f"{path.name}{line}: {text.removesuffix(': ')}") from None
    return module


def _last_line(error: BaseException, path: str) -> str:
    number, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            number = trace.tb_lineno
        trace = trace.tb_next
    return f" line {number}" if number else ""


def answer(module: ModuleType, exercise: Exercise) -> Any:
    """The learner's function or class for this exercise. Raises CannotRun."""
    if not hasattr(module, exercise.name):
        raise CannotRun(
            f"{Path(module.__file__ or '').name} defines no {exercise.name}{_held(module)}"
        )
    return getattr(module, exercise.name)


def _held(module: ModuleType) -> str:
    """What a file defines instead, should it be another lesson's."""
    own = [name for name, one in vars(module).items() if _home(one) == module.__name__]
    return f", but {', '.join(own[:6])}" if own else ""


def _home(value: Any) -> str:
    return str(getattr(value, "__module__", "")) if isinstance(value, (type, FunctionType)) else ""


def isolate(namespace: dict[str, Any], exercise: Exercise, others: Iterable[Exercise]) -> None:
    """Put the library's versions in place of the learner's other answers.

    A check judges one answer: a mistake in another must not show in it.
    """
    for other in others:
        if other is not exercise and other.name in namespace and other.name != exercise.name:
            namespace[other.name] = other.reference


def fingerprint(text: str, exercise: Exercise, others: Iterable[Exercise]) -> str:
    """A hash of the answer's code and of the learner's own helpers that it uses.

    Comments and layout do not count. Empty where the source can't be read or lacks the answer.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ""
    ours = {other.name for other in others} - {exercise.name}
    known = {name: node for node in tree.body for name in _bound(node) if name not in ours}
    if exercise.name not in known:
        return ""
    wanted, used = [exercise.name], {exercise.name}
    while wanted:
        for node in ast.walk(known[wanted.pop()]):
            if isinstance(node, ast.Name) and node.id in known and node.id not in used:
                used.add(node.id)
                wanted.append(node.id)
    used_code = "\n".join(ast.dump(known[name]) for name in sorted(used))
    return hashlib.sha256(used_code.encode()).hexdigest()[:16]


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def check_fingerprint(exercise: Exercise) -> str:
    """A hash of what the check demands: its properties, the helpers they use, what is forbidden."""
    texts = [*exercise.forbidden, *((robust.SENTENCE,) if robust.applies(exercise) else ())]
    for rule in exercise.properties:
        texts += [rule.sentence, *sorted(_sources(rule.function, set()))]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _sources(function: Any, seen: set[str]) -> set[str]:
    """The source of a function and of the functions of its own module that it calls."""
    found = {inspect.getsource(function)}
    for name in function.__code__.co_names:
        helper = function.__globals__.get(name)
        if isinstance(helper, FunctionType) and name not in seen:
            if helper.__module__ == function.__module__:
                found |= _sources(helper, seen | {name})
    return found
