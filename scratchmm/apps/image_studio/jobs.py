"""Jobs: one for each image to generate, and the file name of each, which no other job takes."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from scratchmm.apps.image_studio.manifest import Entry
from scratchmm.diffusion.guidance import check_scale


@dataclass(frozen=True)
class Job:
    """The settings of one image. Raises ValueError for settings that no model can follow.

    >>> Job("a red ring", seed=7)
    Job(prompt='a red ring', negative='', seed=7, steps=20, scale=4.0)
    """

    prompt: str
    negative: str = ""  # the negative prompt: what the image is guided away from
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


def prompts_of(
    subject: str, styles: Sequence[str] = (), qualities: Sequence[str] = ()
) -> list[str]:
    """One subject in each style and each quality: a prompt for every pair of them.

    They replace {style} and {quality} in the subject, or else follow it, after a comma. An empty
    style or quality leaves the subject as it is: include it to compare with the others.

    >>> prompts_of("a ring", ["striped", "dotted"], ["", "sharp"])
    ['a ring, striped', 'a ring, striped, sharp', 'a ring, dotted', 'a ring, dotted, sharp']
    >>> prompts_of("a {quality} {style} ring", ["striped"], ["small", ""])
    ['a small striped ring', 'a striped ring']
    """
    prompts = []
    for style, quality in product(styles or [""], qualities or [""]):
        text, behind = subject, []
        for slot, word in (("{style}", style.strip()), ("{quality}", quality.strip())):
            behind += [word] if word and slot not in text else []
            text = text.replace(slot, word)
        prompts.append(", ".join([" ".join(text.split()), *behind]))
    if not all(prompts):
        raise ValueError(f"the subject {subject!r} leaves a prompt without a word")
    return list(dict.fromkeys(prompts))


def variations(jobs: Iterable[Job], seeds: Sequence[int]) -> list[Job]:
    """Each job once for each seed: other noise, another image of the same prompt.

    >>> [job.seed for job in variations([Job("a"), Job("b")], [3, 4])]
    [3, 4, 3, 4]
    """
    return [replace(job, seed=seed) for job in jobs for seed in seeds]


def jobs_of(
    rows: Iterable[Mapping[str, Any]],
    defaults: Mapping[str, Any],
    styles: Sequence[str] = (),
    qualities: Sequence[str] = (),
    count: int = 1,
) -> list[Job]:
    """Rows x styles x qualities x seeds, each job once.

    rows: fields of `Job`, of which `prompt` is needed; defaults: the fields that a row leaves out;
    count: of seeds, from the row's seed upwards.

    >>> [job.seed for job in jobs_of([{"prompt": "a"}, {"prompt": "b", "seed": 5}], {}, count=2)]
    [0, 1, 5, 6]
    """
    jobs: list[Job] = []
    for row in rows:
        job = Job(**{**defaults, **row})
        for prompt in prompts_of(job.prompt, styles, qualities):
            one = replace(job, prompt=prompt)
            jobs += variations([one], range(job.seed, job.seed + count))
    return list(dict.fromkeys(jobs))


def file_names(
    jobs: Iterable[Job], entries: Sequence[Entry] = (), taken: Collection[str] = ()
) -> dict[str, Job]:
    """A file name for each job, from its prompt and seed; equal jobs share one.

    entries: of the folder's manifest. A job with an entry keeps its file, and so does one of the
    same prompts and seed with other steps or another scale, whose image is replaced; the file of
    other prompts is never taken, nor a name in `taken`.

    >>> list(file_names([Job("A red ring!", seed=7), Job("a red ring", seed=7), Job("a red ring")]))
    ['a-red-ring_7.png', 'a-red-ring_7_2.png', 'a-red-ring_0.png']
    """
    unique = list(dict.fromkeys(jobs))
    listed = {entry["file"]: entry for entry in entries if _is_name(entry["file"])}
    names: dict[Job, str] = {}
    for fields in (
        ("prompt", "negative", "seed", "steps", "scale"),
        ("prompt", "negative", "seed"),
    ):
        free: dict[str, list[str]] = {}
        for name in listed.keys() - set(names.values()):
            free.setdefault(repr([listed[name].get(field) for field in fields]), []).append(name)
        for job in unique:
            alike = free.get(repr([getattr(job, field) for field in fields]), [])
            if job not in names and alike:
                names[job] = alike.pop(alike.index(min(alike)))
    used = {*listed, *taken}
    for job in unique:
        if job not in names:
            names[job] = _free_name(job, used)
            used.add(names[job])
    return {names[job]: job for job in unique}


def _free_name(job: Job, used: Collection[str]) -> str:
    words = re.sub("[^a-z0-9]+", "-", job.prompt.lower())[:48].strip("-")
    stem = f"{words or 'image'}_{job.seed}"
    name, copy = f"{stem}.png", 1
    while name in used:
        copy += 1
        name = f"{stem}_{copy}.png"
    return name


def _is_name(file: Any) -> bool:
    """Whether an entry's file lies in the folder itself: a manifest from elsewhere may differ."""
    return isinstance(file, str) and file == Path(file).name
