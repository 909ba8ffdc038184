"""The workbench: many prompts, many seeds, and a folder in which what is finished stays finished.

A batch is a list of jobs. Each image is written whole or not at all, and then a line about it is
put at the end of manifest.jsonl: so the folder is right after every image, whatever happens next.
A batch that was stopped is simply run again: what stands in the manifest with the same settings is
not drawn twice.

Dimensions: B batch, C channels, H x W pixels.
Conventions: what draws is handed in, draw(prompts, seeds=, steps=, scale=, negative=) -> images
(B, 3, H, W) in [-1, 1]; it refuses a prompt with a ValueError. What scores is score(image,
prompt) -> numbers by name, for one image (3, H, W).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from scratchmm.claims import claimed
from scratchmm.diffusion.contact_sheet import contact_sheet
from scratchmm.diffusion.jobs import Job, file_names
from scratchmm.diffusion.manifest import MANIFEST, Entry, add_entry, begin_manifest, manifest_of
from scratchmm.files import atomic_write
from scratchmm.image_formats.kinds import MOST_PIXELS
from scratchmm.vision.images import open_image, to_image

Draw = Callable[..., Tensor]
Score = Callable[[Tensor, str], Mapping[str, float]]
SHEET = "contact_sheet.png"


def prompts_of(
    subject: str, styles: Sequence[str] = (), qualities: Sequence[str] = ()
) -> list[str]:
    """One subject in each style and each quality: a prompt for every pair of them.

    They go where the subject says {style} and {quality}, or else behind it, after a comma. An empty
    style or quality leaves the subject as it is: name it to see what the others change.

    >>> prompts_of("a ring", ["striped", "dotted"], ["", "sharp"])
    ['a ring, striped', 'a ring, striped, sharp', 'a ring, dotted', 'a ring, dotted, sharp']
    >>> prompts_of("a {quality} {style} ring", ["striped"], ["small", ""])
    ['a small striped ring', 'a striped ring']
    """
    found = []
    for style, quality in product(styles or [""], qualities or [""]):
        text, behind = subject, []
        for slot, word in (("{style}", style.strip()), ("{quality}", quality.strip())):
            behind += [word] if word and slot not in text else []
            text = text.replace(slot, word)
        found.append(", ".join([" ".join(text.split()), *behind]))
    if not all(found):
        raise ValueError(f"the subject {subject!r} leaves a prompt without a word")
    return list(dict.fromkeys(found))


def variations(jobs: Iterable[Job], seeds: Sequence[int]) -> list[Job]:
    """Each job once for each seed: other noise, another image of the same words.

    >>> [job.seed for job in variations([Job("a"), Job("b")], [3, 4])]
    [3, 4, 3, 4]
    """
    return [replace(job, seed=seed) for job in jobs for seed in seeds]


def run_batch(
    jobs: Sequence[Job],
    draw: Draw,
    folder: str | Path,
    *,
    score: Score | None = None,
    settings: Mapping[str, str | int | float] | None = None,
    zoom: int = 1,
    batch_size: int = 16,
    say: Callable[[str], None] | None = None,
) -> list[Entry]:
    """Draw what is not yet in the folder; the manifest's entries of all jobs, in their order.

    An image that fails has an `error` in its entry and no `file`; the others are drawn all the
    same, and it is tried again the next time. settings: what else the images depend on, such as
    which weights drew them; an image whose entry differs in them is drawn anew, in its old place.
    Images of other jobs stay, and so does what lay in a folder without a manifest. Also writes
    contact_sheet.png of this batch. zoom: each pixel is written as so many squared.

    Raises OSError if a file can't be written, what was finished is kept and in the manifest; and
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
        return _run_batch(jobs, draw, folder, score, settings or {}, zoom, batch_size, say)


def _run_batch(
    jobs: Sequence[Job],
    draw: Draw,
    folder: Path,
    score: Score | None,
    settings: Mapping[str, str | int | float],
    zoom: int,
    batch_size: int,
    say: Callable[[str], None] | None,
) -> list[Entry]:
    begun = (folder / MANIFEST).exists()  # then an image without a line is what a kill has left
    strange = () if begun else {path.name for path in folder.iterdir()}
    named = file_names(jobs, manifest_of(folder), strange)
    rest = {**settings, "zoom": zoom}
    wanted = {name: {"file": name, **asdict(job), **rest} for name, job in named.items()}
    found = _begin(folder, wanted)
    waiting = [name for name in named if name not in found]
    for names in _alike(waiting, named, batch_size):
        results = _drawn([named[name] for name in names], draw, score)
        for name, result in zip(names, results, strict=True):
            found[name] = _finish(folder, wanted[name], result, zoom, _kept(found, len(named)))
        if say is not None:
            say(f"{_kept(found, len(named))} in {folder}")
    entries = [found[name] for name in named]
    _write_sheet(folder, [entry for entry in entries if entry["file"]], _kept(found, len(named)))
    return entries


def _begin(folder: Path, wanted: Mapping[str, Entry]) -> dict[str, Entry]:
    """Of the wanted entries those that are finished; the manifest without the ones to be redone."""
    finished, kept = {}, []
    for entry in manifest_of(folder):
        name = entry["file"]
        if not isinstance(name, str) or not (folder / name).is_file():
            continue  # it failed, or somebody took the image away
        if name in wanted and any(entry.get(k) != v for k, v in wanted[name].items()):
            continue
        kept.append(entry)
        if name in wanted:
            finished[name] = entry
    begin_manifest(folder, kept)
    return finished


def _alike(names: Sequence[str], named: Mapping[str, Job], most: int) -> Iterator[list[str]]:
    """The names in groups that can be drawn together: only prompt and seed differ."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name in names:
        job = named[name]
        groups.setdefault((job.negative, job.steps, job.scale), []).append(name)
    for group in groups.values():
        yield from (group[i : i + most] for i in range(0, len(group), most))


def _drawn(
    jobs: Sequence[Job], draw: Draw, score: Score | None
) -> list[tuple[Tensor, Entry] | str]:
    """For each job its image and scores, or the sentence that says why there is none."""
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
    half = len(jobs) // 2  # one of them fails: by halves it is found, and the others get drawn
    return _drawn(jobs[:half], draw, score) + _drawn(jobs[half:], draw, score)


def _rounded(score: Score) -> Callable[[Tensor, Job], dict[str, float]]:
    """The score of a job's image, in numbers that one likes to read and that JSON has."""

    def rounded(image: Tensor, job: Job) -> dict[str, float]:
        found = {name: float(value) for name, value in score(image, job.prompt).items()}
        for name, value in found.items():
            if not math.isfinite(value):
                raise ValueError(f"the {name} of {job.prompt!r} is {value}, which is no number")
        return {name: round(value, 4) for name, value in found.items()}

    return rounded


def _finish(
    folder: Path, wanted: Entry, result: tuple[Tensor, Entry] | str, zoom: int, kept: str
) -> Entry:
    """Write an image and its entry, or the entry of a failure; both or neither."""
    if isinstance(result, str):
        entry = {**wanted, "file": None, "scores": {}, "error": result}
    else:
        entry = {**wanted, "scores": result[1], "error": None}
    try:
        if not isinstance(result, str):
            atomic_write(folder / wanted["file"], png(to_image(result[0]), zoom))
        try:
            add_entry(folder, entry)
        except OSError:
            (folder / wanted["file"]).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(f"{error}; {kept} and kept") from error
    return entry


def _kept(found: Mapping[str, Entry], total: int) -> str:
    finished = sum(entry["file"] is not None for entry in found.values())
    return f"{finished} of {total} images are finished"


def _write_sheet(folder: Path, entries: Sequence[Entry], kept: str) -> None:
    if entries:
        images = [open_image(folder / entry["file"]) for entry in entries]
        titles = [f"{entry['prompt']} ({entry['seed']})" for entry in entries]
        try:
            atomic_write(folder / SHEET, png(contact_sheet(images, titles)))
        except OSError as error:
            raise OSError(f"{error}; {kept} and kept") from error


def png(image: Image.Image, zoom: int = 1) -> bytes:
    """The bytes of a PNG file, each pixel as zoom x zoom of them.

    >>> Image.open(BytesIO(png(Image.new("RGB", (4, 3)), zoom=2))).size
    (8, 6)
    """
    size = (image.width * zoom, image.height * zoom)
    if size[0] * size[1] > MOST_PIXELS:
        most = f"more than the {MOST_PIXELS:,} that are read again"
        raise ValueError(f"zoom {zoom} makes {size[0] * size[1]:,} pixels, {most}")
    file = BytesIO()
    image.resize(size, Image.Resampling.NEAREST).save(file, format="PNG")
    return file.getvalue()
