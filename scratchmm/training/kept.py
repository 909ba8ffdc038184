"""A finished model that is kept knows what it was made by: the code of its recipe, and the settings.

A figure of today's code must not be that of a model which other code has trained. So a kept model of
another recipe is as a rule trained anew; who only wants to use it takes it as it is, and is told.

Differs from the paper: nothing (there is none).
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import scratchmm
from scratchmm.needed_code import code_hash
from scratchmm.sentences import shortened
from scratchmm.training.checkpoint import load_checkpoint

MADE_BY = "made by"  # of a checkpoint's entries
Kept = TypeVar("Kept")


def made_by(module: str, recipe: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a model remembers that this module trains now: its code, and the settings of the training.

    module: its full name; all of the package that it imports counts, comments and docstrings do not.
    recipe: None where the settings are not the module's own; they are not compared then.

    >>> made_by("scratchmm.training.sampling", {"steps": 3})["recipe"]
    {'steps': 3}
    """
    return {"code": _code_of(module), "recipe": None if recipe is None else dict(recipe)}


@functools.lru_cache(maxsize=32)
def _code_of(module: str) -> str:
    root = Path(scratchmm.__file__).resolve().parents[1]
    return code_hash(root.joinpath(*module.split(".")).with_suffix(".py"), root)


def made_otherwise(kept: object, now: Mapping[str, Any]) -> str:
    """By what a kept model was made and would not be now, in words; "" if it would be the same.

    kept: its `made_by`, or None where it has none.

    >>> made_otherwise({"code": "a", "recipe": {"steps": 3}}, {"code": "a", "recipe": {"steps": 4}})
    'was trained with steps=3 and not 4'
    """
    if not isinstance(kept, Mapping):
        return "does not say which code has trained it"
    if kept.get("code") != now["code"]:
        return "was trained by other code than there is now"
    was, asked = kept.get("recipe"), now["recipe"]
    if was is None or asked is None:
        return ""
    for name in [*asked, *was]:
        if name not in was or name not in asked or was[name] != asked[name]:
            said = [shortened(repr(recipe.get(name))) for recipe in (was, asked)]
            return f"was trained with {name}={said[0]} and not {said[1]}"
    return ""


def reopened(
    path: Path,
    now: Mapping[str, Any],
    load: Callable[[Path], Kept],
    *,
    exact: bool = True,
    checkpoints: Iterable[Path] = (),
    say: Callable[[str], None] | None = None,
) -> Kept | None:
    """The model kept at `path`, by `load(path)`; None where there is none, or one is to be trained.

    now: by what it would be made, `made_by`. exact: one that was made otherwise is removed, with the
    `checkpoints` of its training; if not, it is taken as it is. Either way `say` is told. Raises
    ValueError where `load` does: on a file that is no such model.
    """
    if not path.exists():
        return None
    told, kept = say or (lambda text: None), load_checkpoint(path).get(MADE_BY)
    why = made_otherwise(kept, now)
    if not (why and exact):
        if why:
            told(f"{path} {why}: it is used as it is, and --fresh trains it anew.")
        return load(path)
    if kept is None:
        load(path)  # what is no such model may be anything: it is not removed
    told(f"{path} {why}: it is trained anew.")
    for file in (path, *checkpoints):
        file.unlink(missing_ok=True)
    return None
