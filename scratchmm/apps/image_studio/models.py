"""The studio's model: where it is kept, opened or trained first, and what it can be asked for."""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scratchmm.apps.image_studio.jobs import Job
from scratchmm.diffusion.ddim import spaced_timesteps

if TYPE_CHECKING:
    from scratchmm.recipes.generator import TrainedTextToImage

FILE = "model.pt"  # of a trained model, see recipes.artifact
Log = Callable[[str], None]


def cache_folder(given: Path | None = None) -> Path:
    """The folder of the trained model: the argument, SCRATCHMM_CACHE, the lessons', the user's cache.

    The lessons' folder is runs/generator under the working directory, if it holds a model: it is
    the same model, trained by the same recipe. Raises ValueError if the folder is a file.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    lessons, own = Path("runs/generator"), Path(home) / "scratchmm"
    usual = lessons if (lessons / FILE).is_file() else own
    folder = given or Path(os.environ.get("SCRATCHMM_CACHE") or usual)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"the cache {folder} is a file and not a folder")
    return folder


def is_trained(folder: Path) -> bool:
    """Whether the folder holds a trained generator."""
    return (folder / FILE).exists()


def open_model(
    folder: Path, *, fresh: bool = False, progress: bool = False, log: Log
) -> "TrainedTextToImage":
    """The generator of the folder; trained first if there is none, or if a fresh one is wanted."""
    from scratchmm.recipes import artifact, text_to_image

    if fresh:
        artifact.forget(folder)
        for path in folder.glob("control_*"):  # what was trained on top of it
            artifact.forget(path)
    existed = is_trained(folder)
    try:
        model: TrainedTextToImage = artifact.load_or_train(
            folder, text_to_image, exact=False, progress=progress, log=log
        )
    except ValueError as error:
        raise ValueError(f"{error}: --fresh trains it anew" if existed else error) from error
    return model


def fingerprint(folder: Path) -> str:
    """Eight hexadecimal digits of the generator's file, "" without one: for the manifest.

    >>> fingerprint(Path("no such folder"))
    ''
    """
    path = folder / FILE
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8] if path.is_file() else ""


def check_words(jobs: Sequence[Job], known: frozenset[str], single: bool, log: Log) -> None:
    """Log the words outside of the vocabulary; refuse a single prompt without any word in it.

    >>> check_words([Job("a red dog")], frozenset({"a", "red", "ring"}), True, print)
    dog: never seen in training, so the image cannot follow. Known words: a, red, ring
    """
    text = " ".join(f"{job.prompt} {job.negative}" for job in jobs)
    unknown = [word for word in words_of(text) if word not in known]
    vocabulary = ", ".join(sorted(known))
    prompts = {"the prompt": jobs[0].prompt, "--negative": jobs[0].negative} if single else {}
    for name, prompt in prompts.items():
        if prompt.strip() and known.isdisjoint(words_of(prompt)):
            raise ValueError(
                f"{name} {prompt!r} has no word that this model knows; these are: {vocabulary}"
            )
    if unknown:
        log(
            f"{', '.join(unknown)}: never seen in training, so the image cannot follow. Known "
            f"words: {vocabulary}"
        )


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, each once, in the order of their first mention.

    >>> words_of("A red ring, a blue star")
    ['a', 'red', 'ring', 'blue', 'star']
    """
    return list(dict.fromkeys(re.findall(r"[^\W\d_]+", text.lower())))


def check_jobs(generator: "TrainedTextToImage", jobs: Sequence[Job], single: bool) -> None:
    """Refuse more steps than the model's schedule has, and a single prompt that is too long."""
    if single:
        generator.tokens([jobs[0].prompt])
    for job in jobs:
        spaced_timesteps(len(generator.model.schedule), job.steps)
