"""A batch of jobs into a folder: resumable, with a manifest and a contact sheet.

Each image file is written atomically, and then a line about it is appended to manifest.jsonl: so
the folder is consistent after every image, whatever happens next. To resume a batch that was
stopped, run it again: images that the manifest lists with the same settings are not drawn twice.

Dimensions: B batch, C channels, H x W pixels.
Conventions: the model is an argument, draw(prompts, seeds=, steps=, scale=, negative=) -> images
(B, 3, H, W) in [-1, 1]; it refuses a prompt with a ValueError. So are the metrics, score(image,
prompt) -> numbers by name, for one image (3, H, W).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from scratchmm.apps.image_studio.contact_sheet import contact_sheet
from scratchmm.apps.image_studio.jobs import Job, file_names
from scratchmm.apps.image_studio.manifest import (
    MANIFEST,
    Entry,
    add_entry,
    begin_manifest,
    manifest_of,
)
from scratchmm.apps.image_studio.output import image_bytes
from scratchmm.claims import claimed
from scratchmm.files import atomic_write
from scratchmm.vision.images import open_image, to_image

Draw = Callable[..., Tensor]
Score = Callable[[Tensor, str], Mapping[str, float]]
SHEET = "contact_sheet.png"


def run_batch(
    jobs: Sequence[Job],
    draw: Draw,
    folder: str | Path,
    *,
    score: Score | None = None,
    settings: Mapping[str, str | int | float] | None = None,
    zoom: int = 1,
    batch_size: int = 16,
    log: Callable[[str], None] | None = None,
) -> list[Entry]:
    """Draw the images that the folder lacks; returns the manifest's entries, in the jobs' order.

    An image that fails has an `error` in its entry and no `file`; the others are drawn all the
    same, and it is tried again the next time. settings: what else the images depend on, such as
    a fingerprint of the weights; an image whose entry differs in them is drawn again, into the same
    file. Images of other jobs are kept, and so are the files of a folder without a manifest. Also
    writes contact_sheet.png of this batch. zoom: each pixel becomes a square of zoom x zoom. log:
    called with the progress, such as print.

    Raises OSError if a file can't be written (finished images are kept and in the manifest), and
    while another batch writes to the folder.

    >>> import tempfile, torch
    >>> def draw(prompts, **settings):
    ...     return torch.zeros(len(prompts), 3, 8, 8)
    >>> folder = tempfile.mkdtemp()
    >>> [entry["file"] for entry in run_batch([Job("a ring"), Job("a star", seed=2)], draw, folder)]
    ['a-ring_0.png', 'a-star_2.png']
    >>> len(manifest_of(folder))
    2
    """
    folder = Path(folder)
    with claimed(folder):
        return _run_batch(jobs, draw, folder, score, settings or {}, zoom, batch_size, log)


def _run_batch(
    jobs: Sequence[Job],
    draw: Draw,
    folder: Path,
    score: Score | None,
    settings: Mapping[str, str | int | float],
    zoom: int,
    batch_size: int,
    log: Callable[[str], None] | None,
) -> list[Entry]:
    resumed = (folder / MANIFEST).exists()  # then an image without a line is what a kill left
    foreign = () if resumed else {path.name for path in folder.iterdir()}
    jobs_by_name = file_names(jobs, manifest_of(folder), foreign)
    total, shared = len(jobs_by_name), {**settings, "zoom": zoom}
    expected = {name: {"file": name, **asdict(job), **shared} for name, job in jobs_by_name.items()}
    entries = _finished(folder, expected)
    pending = [name for name in jobs_by_name if name not in entries]
    for names in _groups(pending, jobs_by_name, batch_size):
        results = _results([jobs_by_name[name] for name in names], draw, score)
        for name, result in zip(names, results, strict=True):
            entries[name] = _write(folder, expected[name], result, zoom, _progress(entries, total))
        if log is not None:
            log(f"{_progress(entries, total)} in {folder}")
    ordered = [entries[name] for name in jobs_by_name]
    _write_sheet(folder, [entry for entry in ordered if entry["file"]], _progress(entries, total))
    return ordered


def _finished(folder: Path, expected: Mapping[str, Entry]) -> dict[str, Entry]:
    """The expected entries that are finished; drops from the manifest those to be drawn again."""
    finished, kept = {}, []
    for entry in manifest_of(folder):
        name = entry["file"]
        if not isinstance(name, str) or not (folder / name).is_file():
            continue  # it failed, or its image was deleted
        if name in expected and any(entry.get(k) != v for k, v in expected[name].items()):
            continue
        kept.append(entry)
        if name in expected:
            finished[name] = entry
    begin_manifest(folder, kept)
    return finished


def _groups(
    names: Sequence[str], jobs_by_name: Mapping[str, Job], batch_size: int
) -> Iterator[list[str]]:
    """The names in groups that can be one batch of the model: only prompt and seed differ."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name in names:
        job = jobs_by_name[name]
        groups.setdefault((job.negative, job.steps, job.scale), []).append(name)
    for group in groups.values():
        yield from (group[i : i + batch_size] for i in range(0, len(group), batch_size))


def _results(
    jobs: Sequence[Job], draw: Draw, score: Score | None
) -> list[tuple[Tensor, Entry] | str]:
    """For each job its image and scores, or the error message."""
    first = jobs[0]
    try:
        images = draw(
            [job.prompt for job in jobs], seeds=[job.seed for job in jobs],
            steps=first.steps, scale=first.scale, negative=first.negative,
        )  # fmt: skip
        if not images.isfinite().all():
            raise ValueError(f"the image of {first.prompt!r} has values that are no numbers")
        scores = [{}] * len(jobs) if score is None else map(_rounded(score), images, jobs)
        return list(zip(images, scores, strict=True))
    except (ValueError, RuntimeError) as error:
        if len(jobs) == 1:
            return [" ".join(str(error).split())]
    half = len(jobs) // 2  # one of them fails: bisection finds it, and the others get drawn
    return _results(jobs[:half], draw, score) + _results(jobs[half:], draw, score)


def _rounded(score: Score) -> Callable[[Tensor, Job], dict[str, float]]:
    """The scores of a job's image with four decimals; JSON has no infinity and no NaN."""

    def rounded(image: Tensor, job: Job) -> dict[str, float]:
        scores = {name: float(value) for name, value in score(image, job.prompt).items()}
        for name, value in scores.items():
            if not math.isfinite(value):
                raise ValueError(f"the {name} of {job.prompt!r} is {value}, which is no number")
        return {name: round(value, 4) for name, value in scores.items()}

    return rounded


def _write(
    folder: Path, expected: Entry, result: tuple[Tensor, Entry] | str, zoom: int, progress: str
) -> Entry:
    """Write an image and its entry, both or neither; of an error only the entry."""
    if isinstance(result, str):
        entry = {**expected, "file": None, "scores": {}, "error": result}
    else:
        entry = {**expected, "scores": result[1], "error": None}
    try:
        if not isinstance(result, str):
            atomic_write(folder / expected["file"], image_bytes(to_image(result[0]), zoom))
        try:
            add_entry(folder, entry)
        except OSError:
            (folder / expected["file"]).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(f"{error}; {progress} and kept") from error
    return entry


def _progress(entries: Mapping[str, Entry], total: int) -> str:
    finished = sum(entry["file"] is not None for entry in entries.values())
    return f"{finished} of {total} images are finished"


def _write_sheet(folder: Path, entries: Sequence[Entry], progress: str) -> None:
    if entries:
        images = [open_image(folder / entry["file"]) for entry in entries]
        titles = [f"{entry['prompt']} ({entry['seed']})" for entry in entries]
        try:
            atomic_write(folder / SHEET, image_bytes(contact_sheet(images, titles)))
        except OSError as error:
            raise OSError(f"{error}; {progress} and kept") from error
