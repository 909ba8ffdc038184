"""`python -m scratchmm generate "a small red ring"`: draw images of words, one or a folder of them.

The model is trained when it is needed for the first time, with a progress bar, and kept in a cache
folder. Everything that can be refused is refused before that, and before anything is written.
"""

import argparse
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scratchmm.diffusion.workbench import Draw, Job, Score

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
SUFFIXES |= {".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM"}
COLUMNS = ("prompt", "negative", "seed", "steps", "scale")  # of a table of prompts
CACHE_HELP = "folder of the model (default: SCRATCHMM_CACHE, runs/generator, ~/.cache/scratchmm)"
MOST_ZOOM = 250  # of 32 pixels: more would be more than the 64 megapixels that are read again
Say = Callable[[str], None]


def add(subparsers: Any) -> None:
    """Declare the command and its arguments."""
    parser = subparsers.add_parser(
        "generate",
        help="draw images of words",
        description="Draw an image of a prompt, or a folder of images of many.",
    )
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help='"a small red ring"')
    parser.add_argument("--out", type=Path, help="an image; a folder for many (out.png, images)")
    parser.add_argument("--batch", type=Path, metavar="FILE", help=".txt: a prompt a line; or .tsv")
    parser.add_argument("--negative", default="", metavar="WORDS", help="what to stay away from")
    parser.add_argument("--steps", type=int, default=20, help="of denoising (default 20)")
    parser.add_argument("--scale", type=float, default=4.0, help="of the guidance (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="fixes the image")
    parser.add_argument(
        "--count", type=int, default=1, help="variations: so many seeds from --seed"
    )
    parser.add_argument("--styles", default="", help="each prompt in each: striped,dotted")
    parser.add_argument("--qualities", default="", help="and in each of these: small,large")
    parser.add_argument("--init", type=Path, metavar="IMAGE", help="begin with this image")
    parser.add_argument("--mask", type=Path, help="draw only where it is white, in --init")
    parser.add_argument("--strength", type=float, help="noise on --init, up to 1 (default 0.6)")
    parser.add_argument("--colours", type=Path, metavar="IMAGE", help="draw in its colours")
    parser.add_argument("--control", type=Path, metavar="IMAGE", help="where things are to be")
    parser.add_argument("--kind", choices=("edges", "depth", "pose"), help="what --control shows")
    parser.add_argument("--zoom", type=int, nargs="?", const=8, default=1, help="enlarge (8 times)")
    parser.add_argument("--clip", type=Path, metavar="FOLDER", help="a trained CLIP, for CLIPScore")
    parser.add_argument("--cache", type=Path, help=CACHE_HELP)
    parser.add_argument("--fresh", action="store_true", help="train the model anew")
    parser.add_argument("--json", action="store_true", help="print what the manifest says")


def run(arguments: argparse.Namespace) -> int:
    """Read what is asked for, open or train the model, draw, write."""
    say: Say = (lambda text: None) if arguments.json else print
    check_options(arguments)
    from scratchmm.data.world.captioned import known_words

    jobs = read_jobs(arguments)
    single = arguments.batch is None and len(jobs) == 1
    out = check_out(arguments.out, single, len(jobs))
    folder = cache_folder(arguments.cache)
    trained = (folder / "generator.pt").exists() and not arguments.fresh
    if not trained:  # its words are those of the sentences that it will learn from
        check_words(jobs, known_words(), single, say)
    from scratchmm.commands import generate_draw

    inputs = generate_draw.read_inputs(arguments, say)
    score = generate_draw.scorer(arguments.clip)
    generator = generate_draw.open_model(folder, arguments, say)
    if trained:
        check_words(jobs, generator.known, single, say)
    for job in jobs[:1] if single else ():
        generator.tokens([job.prompt])  # refuses a prompt that is too long
    for job in jobs:
        generate_draw.check_steps(generator, job.steps)
    draw = generate_draw.drawer(generator, inputs, folder, arguments, say)
    if single:
        return draw_one(jobs[0], draw, out, score, arguments, say)
    settings = {"model": fingerprint(folder / "generator.pt"), **inputs.told}
    return draw_many(jobs, draw, out, score, settings, arguments, say)


def check_options(arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together, before torch is even imported."""
    given = {name for name, value in vars(arguments).items() if value is not None}
    for name, needed in (
        ("mask", "init"), ("strength", "init"), ("kind", "control"), ("control", "kind"),
    ):  # fmt: skip
        if name in given and needed not in given:
            raise ValueError(f"--{name} says nothing without --{needed}")
    if bool(arguments.prompts) == ("batch" in given):
        raise ValueError('generate needs a prompt, such as "a small red ring", or --batch FILE')
    for name, most in (("count", 1000), ("zoom", MOST_ZOOM)):
        value = getattr(arguments, name)
        if not 1 <= value <= most:
            raise ValueError(f"--{name} {value} does not lie between 1 and {most}")
    if "strength" in given and not 0 < arguments.strength <= 1:
        raise ValueError(f"--strength {arguments.strength} is not above 0 and at most 1")


def read_jobs(arguments: argparse.Namespace) -> list["Job"]:
    """Every image that is asked for: prompts x styles x qualities x seeds."""
    from scratchmm.diffusion.workbench import Job, prompts_of, variations

    common = {name: getattr(arguments, name) for name in ("negative", "seed", "steps", "scale")}
    rows = [{"prompt": prompt} for prompt in arguments.prompts]
    if arguments.batch is not None:
        rows = read_table(arguments.batch)
    styles, qualities = (
        [word.strip() for word in words.split(",")] if words else []
        for words in (arguments.styles, arguments.qualities)
    )
    jobs: list[Job] = []
    for row in rows:
        job = Job(**{**common, **row})
        for prompt in prompts_of(job.prompt, styles, qualities):
            one = Job(prompt, job.negative, job.seed, job.steps, job.scale)
            jobs += variations([one], range(job.seed, job.seed + arguments.count))
    return list(dict.fromkeys(jobs))


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of prompts: a prompt a line, or, with tabs, a header and its columns.

    A table is what is called .tsv, in whatever case. A line that begins with # says nothing.
    """
    from scratchmm.data.sets.tables import read_lines, read_rows
    from scratchmm.sentences import shortened

    if path.suffix.lower() != ".tsv":
        lines = [line.strip() for _, all_of in read_lines(path) for line in all_of.split("\r")]
        rows = [{"prompt": line} for line in lines if line and not line.startswith("#")]
        for row in rows:
            if "\t" in row["prompt"]:
                said = shortened(row["prompt"])
                raise ValueError(f"{path} has a tab in {said!r}: a table has to be called .tsv")
    else:
        header, cells = read_rows(path)
        if "prompt" not in (header or ["prompt"]) or not set(header) <= set(COLUMNS):
            said = shortened(", ".join(header))
            raise ValueError(f"{path} has the columns {said}: prompt, and any of {COLUMNS[1:]}")
        rows = [_row(path, number, header, row) for number, row in cells]
    if not rows:
        raise ValueError(f"{path} has no prompt in it")
    return rows


def _row(path: Path, number: int, header: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """A line of a table; what is left empty is as on the command line."""
    from scratchmm.diffusion.workbench import Job

    if len(cells) > len(header):
        raise ValueError(
            f"line {number} of {path} has {len(cells)} cells for {len(header)} columns"
        )
    kinds: dict[str, Callable[[str], Any]] = {"seed": int, "steps": int, "scale": float}
    try:
        found = {
            name: kinds.get(name, str)(cell.strip())
            for name, cell in zip(header, cells)
            if cell.strip()
        }
        Job(**{"prompt": "", **found})
    except ValueError as error:
        raise ValueError(f"line {number} of {path}: {error}") from None
    return found


def check_out(given: Path | None, single: bool, count: int) -> Path:
    """Where to write; refused if it can't be, as far as one sees without writing."""
    out = given or Path("out.png" if single else "images")
    if single and out.is_dir():
        raise ValueError(f"{out} is a folder: name the image, such as {out / 'out.png'}")
    if single and out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{out} does not end in {', '.join(SUFFIXES)}: which kind is it to be?")
    if not single and (out.is_file() or out.suffix.lower() in SUFFIXES):
        raise ValueError(f"{count} images need a folder, and {out} is one image")
    above = out.absolute()
    above = above.parent if single else above
    while not above.exists():
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ValueError(f"{out} cannot be written: {above} is no folder that can be written to")
    return out


def cache_folder(given: Path | None = None) -> Path:
    """The folder of trained models: as given, of the environment, the lessons', the user's cache.

    The lessons' is runs/generator under the folder one stands in, if a model is in it: it is the
    same model, trained in the same way.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    lessons, own = Path("runs/generator"), Path(home) / "scratchmm"
    usual = lessons if (lessons / "generator.pt").is_file() else own
    folder = given or Path(os.environ.get("SCRATCHMM_CACHE") or usual)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"the cache {folder} is a file and not a folder")
    return folder


def check_words(jobs: Sequence["Job"], known: frozenset[str], single: bool, say: Say) -> None:
    """Say which words will have no effect, and which would; refuse a single prompt of none of these.

    >>> from scratchmm.diffusion.workbench import Job
    >>> check_words([Job("a red dog")], frozenset({"a", "red", "ring"}), True, print)
    dog: never seen in training, so the image cannot follow. Known words: a, red, ring
    """
    asked = " ".join(f"{job.prompt} {job.negative}" for job in jobs)
    unknown = [word for word in words_of(asked) if word not in known]
    these = ", ".join(sorted(known))
    texts = {"the prompt": jobs[0].prompt, "--negative": jobs[0].negative} if single else {}
    for what, text in texts.items():
        if text.strip() and known.isdisjoint(words_of(text)):
            raise ValueError(
                f"{what} {text!r} has no word that this model knows; these are: {these}"
            )
    if unknown:
        say(
            f"{', '.join(unknown)}: never seen in training, so the image cannot follow. Known "
            f"words: {these}"
        )


def words_of(text: str) -> list[str]:
    """The words of a text, each once, in small letters, in the order of their first mention."""
    return list(dict.fromkeys(re.findall(r"[^\W\d_]+", text.lower())))


def draw_one(
    job: "Job", draw: "Draw", out: Path, score: "Score", arguments: argparse.Namespace, say: Say
) -> int:
    """One image to one file, whole or not at all."""
    from io import BytesIO

    from scratchmm.files import atomic_write
    from scratchmm.vision.images import resize, to_image

    start = time.perf_counter()
    image = draw(
        [job.prompt], seeds=[job.seed], steps=job.steps, scale=job.scale, negative=job.negative
    )[0]
    seconds = round(time.perf_counter() - start, 2)
    shown, file = to_image(image), BytesIO()
    size = (shown.height * arguments.zoom, shown.width * arguments.zoom)
    resize(shown, size, "nearest").save(file, SUFFIXES[out.suffix.lower()])
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(out, file.getvalue())
    scores = {name: round(value, 4) for name, value in score(image, job.prompt).items()}
    told = {"file": str(out), **vars(job), "scores": scores, "seconds": seconds}
    say(f"{out}: drawn in {seconds} s, {', '.join(f'{k} {v:g}' for k, v in scores.items())}")
    if arguments.json:
        print(json.dumps(told, indent=1))
    return 0


def draw_many(
    jobs: Sequence["Job"],
    draw: "Draw",
    out: Path,
    score: "Score",
    settings: dict[str, Any],
    arguments: argparse.Namespace,
    say: Say,
) -> int:
    """A folder of images; an error in the end if some failed, after the others were drawn."""
    from scratchmm.diffusion.workbench import run_batch

    entries = run_batch(
        jobs, draw, out, score=score, settings=settings, zoom=arguments.zoom, say=say
    )
    failed = [entry for entry in entries if entry["error"]]
    if arguments.json:
        print(json.dumps({"folder": str(out), "images": entries}, indent=1))
    say(f"{len(entries) - len(failed)} images, manifest.jsonl and contact_sheet.png in {out}")
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(entries)} images failed, the first because "
            f"{failed[0]['error']} (manifest.jsonl in {out} has all)"
        )
    return 0


def fingerprint(path: Path) -> str:
    """A few letters that tell one trained model from another.

    >>> fingerprint(Path("no such file"))
    ''
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8] if path.is_file() else ""
