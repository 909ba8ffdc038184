"""The one format of a trained model: a folder with model.pt, which is there whole or not at all.

The file holds the weights, the config that they fit, the tokenizer where there is one, what made the
model (the code of its recipe, the settings, a digest of the data) and the version of the format. It
is a single file, since several can't be replaced at once: a reader would find the config of one
model beside the weights of another. A model of several parts keeps them in it by their names.

A figure of today's code must not be that of a model which other code has trained. So a kept model of
another recipe is as a rule trained anew; who only wants to use it takes it as it is, and is told.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from torch import nn

import scratchmm
from scratchmm.language.bpe import BytePairEncoding
from scratchmm.needed_code import code_hash
from scratchmm.recipes import recipe as recipe_of
from scratchmm.sentences import check_count, shortened
from scratchmm.training.checkpoint import differences, load_checkpoint, save_checkpoint

FILE, VERSION = "model.pt", 1
MADE_BY = "made by"
FACTS = ("figure", "expected", "minutes")  # of settings: they change no weight
OLD = ("config.json", "generator.pt", "judge.pt", "grid_classifier.pt", "prior.pt")
MOST_STEPS = 10**9
Say = Callable[[str], None]
Trained = TypeVar("Trained")
Module = TypeVar("Module", bound=nn.Module)
S = TypeVar("S")


class Artifact(NamedTuple):
    """What model.pt holds."""

    recipe: str  # the name of the recipe that made it
    config: dict[str, Any]  # plain data: sizes, names
    weights: dict[str, Any]  # tensors by name; of several parts, such a dictionary for each
    tokenizer: dict[str, Any] | None
    made_by: dict[str, Any]  # code, recipe (its settings), data (a digest of them)


def save(
    folder: str | Path,
    recipe: str,
    *,
    config: Mapping[str, Any],
    weights: Mapping[str, Any],
    tokenizer: BytePairEncoding | None = None,
    made: Mapping[str, Any] | None = None,
) -> None:
    """Write a trained model to folder/model.pt: whole, or not at all; the old one stays till then.

    made: see `made_by`; None where nobody knows, and such a model is never taken for another.
    """
    names = ("merges", "style", "start", "end", "pad")
    words: dict[str, Any] | None = None
    if tokenizer is not None:
        words = {name: getattr(tokenizer, name) for name in names}
        words["vocabulary"] = tokenizer.symbols
    state = {"artifact": VERSION, "library": scratchmm.__version__, "recipe": recipe}
    state |= {"config": dict(config), "weights": dict(weights), "tokenizer": words}
    save_checkpoint(Path(folder) / FILE, state | {MADE_BY: dict(made) if made else None})


def read(folder: str | Path, recipe: str | None = None) -> Artifact:
    """What `save` wrote. Raises FileNotFoundError where there is nothing, ValueError on all else."""
    folder = Path(folder)
    path = folder / FILE
    if not path.is_file():
        old = _older_files(folder)
        more = f"; {old[0]} is of an older version, and has to be trained anew" if old else ""
        raise FileNotFoundError(f"{folder} holds no trained model: it has no {FILE}{more}")
    state = load_checkpoint(path)
    if "artifact" not in state:
        raise ValueError(
            f"{path} is no trained model of this version of the library: train it anew, in another "
            "folder or after removing that file"
        )
    if state["artifact"] != VERSION:
        raise ValueError(
            f"{path} has version {shortened(state['artifact'], 20)} of the format, and this library "
            f"reads version {VERSION}"
        )
    if recipe is not None and state.get("recipe") != recipe:
        was = shortened(state.get("recipe"), 40)
        raise ValueError(f"{path} holds a model of the recipe {was!r}, not {recipe!r}")
    with fitting(folder):
        made = state[MADE_BY] or {}
        return Artifact(
            state["recipe"], state["config"], state["weights"], state["tokenizer"], made
        )


def _older_files(folder: Path) -> list[str]:
    """What earlier versions saved there, in formats of their own."""
    old = [name for name in OLD if (folder / name).exists()]
    return old + sorted(file.name for file in folder.glob("control_*.pt"))


@contextmanager
def fitting(folder: str | Path) -> Iterator[None]:
    """Inside, what a config or weights do not fit becomes a ValueError that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        what = f"{type(error).__name__} " if isinstance(error, KeyError) else ""
        why = shortened(" ".join(str(error).split()), 200)
        raise ValueError(
            f"{Path(folder) / FILE} does not hold what its recipe saves: {what}{why}"
        ) from error


def fill(model: Module, weights: Mapping[str, Any]) -> Module:
    """The model in eval mode, with these weights; ValueError where a name or a shape differs."""
    if wrong := differences(model.state_dict(), weights):
        raise ValueError(wrong[0])
    model.load_state_dict(weights)
    return model.eval()


def tokenizer_of(found: Artifact) -> BytePairEncoding:
    """The tokenizer that was saved with a model."""
    if found.tokenizer is None:
        raise ValueError("the tokenizer is missing")
    return BytePairEncoding(**found.tokenizer)


def load_trained(folder: str | Path) -> Any:
    """The model that any recipe, command or lesson has left in a folder: on the CPU, in eval mode.

    What it is depends on the recipe: a TrainedCLIP has embed_images and embed_texts, a TrainedViT
    has classify and names. They take files, folders, images of Pillow's and tensors of any size:

        clip = load_trained("runs/clip_pairs")
        found = top_k(clip.embed_texts("a red boat"), clip.embed_images("my_images"), k=3)
    """
    name = read(folder).recipe
    with fitting(folder):
        module = recipe_of(name)
    return module.load(folder)


def with_steps(settings: S, steps: int | None) -> S:
    """The settings with so many steps of the (main) training, or as they are."""
    if steps is None:
        return settings
    check_count("steps", steps, most=MOST_STEPS)
    return replace(settings, steps=steps)  # type: ignore[type-var]


def made_by(recipe: str, settings: object | None, seed: int = 0, **more: Any) -> dict[str, Any]:
    """What a model remembers that this recipe trains now: its code, and the settings of the training.

    All of the package that the recipe's module imports counts; comments and docstrings do not. With
    settings None they are not compared. more: what else it hangs on, such as another model's
    fingerprint; `data` is a digest of the data, which is kept and not compared.

    >>> from scratchmm.recipes.clip import SETTINGS
    >>> made_by("clip", SETTINGS, seed=3)["recipe"]["seed"]
    3
    """
    data, told = more.pop("data", ""), None
    if settings is not None:
        told = _without_facts(asdict(settings))  # type: ignore[call-overload]
        told |= {"seed": seed, **more}
    return {"code": _code_of(recipe), "recipe": told, "data": data}


def _without_facts(settings: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in settings.items() if name not in FACTS}
    return {k: _without_facts(v) if isinstance(v, dict) else v for k, v in kept.items()}


@functools.lru_cache(maxsize=32)
def _code_of(recipe: str) -> str:
    root = Path(scratchmm.__file__).resolve().parents[1]
    return code_hash(root / "scratchmm" / "recipes" / f"{recipe}.py", root)


def made_otherwise(kept: object, now: Mapping[str, Any]) -> str:
    """By what a kept model was made and would not be now, in words; "" if it would be the same.

    kept: its `made_by`, or None where it has none.

    >>> made_otherwise({"code": "a", "recipe": {"steps": 3}}, {"code": "a", "recipe": {"steps": 4}})
    'was trained with steps=3 and not 4'
    """
    if not isinstance(kept, Mapping) or not kept:
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


def load_or_train(
    folder: str | Path,
    recipe: ModuleType,
    settings: Any = None,
    *,
    others: Sequence[str | Path] = (),
    exact: bool = True,
    seed: int = 0,
    steps: int | None = None,
    log: Say | None = None,
    knows: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """The model kept in the folder, or one trained and kept there by `recipe.train`.

    recipe: a module of `scratchmm.recipes`; settings: its SETTINGS, if none are given. others:
    folders where a model of the very same recipe may be, which is taken then. exact: a model in the
    folder that other code or other settings have made is removed, with the checkpoints of its
    training, and trained anew; if not, it is taken as it is. `log` is told which. A training that
    was stopped goes on. knows: other models that this one hangs on, by name and fingerprint. options:
    more of `recipe.train` (device, progress, ...). Raises ValueError on a file that is no such model.
    """
    folder, name = Path(folder), recipe.__name__.rpartition(".")[2]
    settings = with_steps(recipe.SETTINGS if settings is None else settings, steps)
    now = made_by(name, settings, seed, **(knows or {}))
    kept = reopened(folder, name, now, recipe.load, exact=exact, log=log)
    if kept is not None:
        return kept
    if log and (old := _older_files(folder)):
        log(f"{folder / old[0]} is of an older version of the library: it is not read.")
    for other in map(Path, others):
        if not (other / FILE).exists():
            continue
        why = made_otherwise(load_checkpoint(other / FILE).get(MADE_BY), now)
        if log:
            log(f"The model in {other} {why}: it is not taken." if why else f"Taking {other}.")
        if not why:
            return recipe.load(other)
    return recipe.train(settings, seed=seed, folder=folder, log=log, **options)


def reopened(
    folder: Path,
    recipe: str,
    now: Mapping[str, Any],
    load: Callable[[Path], Trained],
    *,
    exact: bool = True,
    log: Say | None = None,
) -> Trained | None:
    """The model kept in the folder, by `load(folder)`; None where there is none, or it is removed."""
    path = folder / FILE
    if not path.exists():
        return None
    told, state = log or (lambda text: None), load_checkpoint(path)
    why = made_otherwise(state.get(MADE_BY), now)
    if not (why and exact):
        if why:
            told(f"{path} {why}: it is used as it is, and --fresh trains it anew.")
        return load(folder)
    if not state.get(MADE_BY) or state.get("recipe") != recipe:
        load(folder)  # what is no such model may be anything: it is not removed
    told(f"{path} {why}: it is trained anew.")
    forget(folder)
    return None


def forget(folder: str | Path) -> None:
    """Remove the model of a folder and the checkpoints of its training, finished or not."""
    half: Iterable[Path] = [
        *Path(folder).glob("checkpoint.pt"),
        *Path(folder).glob("*/checkpoint.pt"),
    ]
    for file in (Path(folder) / FILE, *half):
        file.unlink(missing_ok=True)
