"""Write the library again: exercises, their checks, and the diagnosis of what went wrong."""

from typing import Any

__all__ = ["check"]


def check(candidate: Any, id: str = "") -> Any:
    """Check a function or class, for notebooks: `check(attend)`. The report shows itself.

    id: which exercise it answers, where its name is not enough.
    """
    from scratchmm.exercises.checking import check_object  # importing scratchmm stays light

    return check_object(candidate, id)
