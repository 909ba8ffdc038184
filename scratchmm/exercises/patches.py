"""Wrong answers as patches: the library's own source with pieces of it replaced, compiled."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scratchmm.exercises.texts import Mistake, patched
from scratchmm.sentences import shortened

if TYPE_CHECKING:
    from scratchmm.exercises.format import Exercise


def solution(exercise: Exercise) -> str:
    """The source of the parts and of the target, in that order: what a patch is made of."""
    parts = [getattr(exercise.module, name) for name in exercise.parts]
    return "\n\n\n".join(
        textwrap.dedent(inspect.getsource(x)) for x in [*parts, exercise.reference]
    )


def patched_texts(exercise: Exercise, mistake: Mistake) -> tuple[str, str]:
    """The library's source and the patched one. Raises ValueError where the patch does not fit."""
    whole = solution(exercise)
    try:
        return whole, patched(whole, mistake)
    except ValueError as error:
        raise ValueError(f"{exercise.id}: {error}") from None


def patched_answer(exercise: Exercise, mistake: Mistake) -> Any:
    """The target with a mistake in it. Raises ValueError where the patch does not fit or compile."""
    _, source = patched_texts(exercise, mistake)
    try:
        return compiled(exercise, source, f"wrong answer {mistake.id}")
    except SyntaxError as error:
        line = shortened((error.text or "").strip())
        told = f"the mistake {mistake.id!r} does not compile: {error.msg} in `{line}`"
        raise ValueError(f"{exercise.id}: {told}") from None


def compiled(
    exercise: Exercise, source: str, name: str, more: Mapping[str, Any] | None = None
) -> Any:
    """The target, compiled from other source among the names of the library's module.

    name: what the code is called in a traceback. more: names that the source uses besides.
    """
    namespace = dict(vars(exercise.module)) | dict(more or {})
    exec(compile(source, f"<{exercise.id}, {name}>", "exec"), namespace)
    return namespace[exercise.name]
