"""The jobs of the workbench, and where their images lie: no image takes another one's place."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchmm.diffusion.guidance import check_scale
from scratchmm.diffusion.manifest import Entry


@dataclass(frozen=True)
class Job:
    """One image that is wanted; ValueError if nobody could draw it.

    >>> Job("a red ring", seed=7)
    Job(prompt='a red ring', negative='', seed=7, steps=20, scale=4.0)
    """

    prompt: str
    negative: str = ""  # what the image is to stay away from
    seed: int = 0
    steps: int = 20
    scale: float = 4.0  # of the guidance

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise ValueError(f"the prompt {self.prompt!r} has no word in it")
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"{self.steps} steps draw nothing: at least 1 is needed")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed {self.seed} does not lie between 0 and {2**32 - 1}")
        check_scale(self.scale)


def file_names(
    jobs: Iterable[Job], entries: Sequence[Entry] = (), taken: Collection[str] = ()
) -> dict[str, Job]:
    """A name for each image, of its prompt and seed; jobs that say the same are one.

    entries: of the folder's manifest. A job that stands there keeps its place, and so does one of
    the same words and seed with other steps or another scale, which is drawn anew there; the place
    of other words is never taken, nor a name in `taken`.

    >>> list(file_names([Job("A red ring!", seed=7), Job("a red ring", seed=7), Job("a red ring")]))
    ['a-red-ring_7.png', 'a-red-ring_7_2.png', 'a-red-ring_0.png']
    """
    unique = list(dict.fromkeys(jobs))
    listed = {entry["file"]: entry for entry in entries if _is_name(entry["file"])}
    places: dict[Job, str] = {}
    for fields in (
        ("prompt", "negative", "seed", "steps", "scale"),
        ("prompt", "negative", "seed"),
    ):
        free: dict[str, list[str]] = {}
        for name in listed.keys() - set(places.values()):
            free.setdefault(repr([listed[name].get(field) for field in fields]), []).append(name)
        for job in unique:
            alike = free.get(repr([getattr(job, field) for field in fields]), [])
            if job not in places and alike:
                places[job] = alike.pop(alike.index(min(alike)))
    used = {*listed, *taken}
    for job in unique:
        if job not in places:
            places[job] = _free_name(job, used)
            used.add(places[job])
    return {places[job]: job for job in unique}


def _free_name(job: Job, used: Collection[str]) -> str:
    words = re.sub("[^a-z0-9]+", "-", job.prompt.lower())[:48].strip("-")
    stem = f"{words or 'image'}_{job.seed}"
    name, copy = f"{stem}.png", 1
    while name in used:
        copy += 1
        name = f"{stem}_{copy}.png"
    return name


def _is_name(file: Any) -> bool:
    """Whether an entry's file lies in the folder itself: a manifest from elsewhere may say more."""
    return isinstance(file, str) and file == Path(file).name
