"""`python -m scratchmm generate "a small red ring"`: draw images of words, one or a folder of them.

The model is trained when it is needed for the first time, with a progress bar, and kept in a cache
folder. Everything that can be refused is refused before that, and before anything is written.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scratchmm.apps.image_studio.batch import Draw, Score
    from scratchmm.apps.image_studio.jobs import Job

CACHE_HELP = "folder of the model (default: SCRATCHMM_CACHE, runs/generator, ~/.cache/scratchmm)"
MOST_ZOOM = 250  # of 32 pixels: more would be more than the 64 megapixels that are read again
Log = Callable[[str], None]


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
    """Check the request, open or train the model, draw, write."""
    log: Log = (lambda text: None) if arguments.json else print
    check_options(arguments)
    from scratchmm.apps.image_studio.models import cache_folder, check_words, is_trained
    from scratchmm.apps.image_studio.output import check_out
    from scratchmm.data.world.captioned import known_words

    jobs = read_jobs(arguments)
    single = arguments.batch is None and len(jobs) == 1
    out = check_out(arguments.out, single, len(jobs))
    folder = cache_folder(arguments.cache)
    trained = is_trained(folder) and not arguments.fresh
    if not trained:  # its vocabulary is that of the captions that it will be trained on
        check_words(jobs, known_words(), single, log)
    from scratchmm.apps.image_studio.inputs import read_inputs
    from scratchmm.apps.image_studio.models import check_jobs, fingerprint, open_model
    from scratchmm.apps.image_studio.sampling import image_sampler
    from scratchmm.apps.image_studio.scores import scorer

    names = ("init", "mask", "strength", "colours", "control", "kind")
    inputs = read_inputs(**{name: getattr(arguments, name) for name in names}, log=log)
    score, progress = scorer(arguments.clip), not arguments.json
    generator = open_model(folder, fresh=arguments.fresh, progress=progress, log=log)
    if trained:
        check_words(jobs, generator.known, single, log)
    check_jobs(generator, jobs, single)
    draw = image_sampler(generator, inputs, folder, progress=progress, log=log)
    if single:
        return write_one(jobs[0], draw, out, score, arguments, log)
    settings = {"model": fingerprint(folder), **inputs.settings}
    return write_many(jobs, draw, out, score, settings, arguments, log)


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
    from scratchmm.apps.image_studio.jobs import jobs_of
    from scratchmm.apps.image_studio.prompt_table import read_table

    defaults = {name: getattr(arguments, name) for name in ("negative", "seed", "steps", "scale")}
    rows = [{"prompt": prompt} for prompt in arguments.prompts]
    if arguments.batch is not None:
        rows = read_table(arguments.batch)
    styles, qualities = (
        [word.strip() for word in words.split(",")] if words else []
        for words in (arguments.styles, arguments.qualities)
    )
    return jobs_of(rows, defaults, styles, qualities, arguments.count)


def write_one(
    job: "Job", draw: "Draw", out: Path, score: "Score", arguments: argparse.Namespace, log: Log
) -> int:
    """One image file, and what is printed about it."""
    from scratchmm.apps.image_studio.output import write_image

    entry = write_image(job, draw, out, score, arguments.zoom)
    scores = ", ".join(f"{name} {value:g}" for name, value in entry["scores"].items())
    log(f"{out}: drawn in {entry['seconds']} s, {scores}")
    if arguments.json:
        print(json.dumps(entry, indent=1))
    return 0


def write_many(
    jobs: Sequence["Job"],
    draw: "Draw",
    out: Path,
    score: "Score",
    settings: dict[str, Any],
    arguments: argparse.Namespace,
    log: Log,
) -> int:
    """A folder of images; raises ValueError in the end if some failed."""
    from scratchmm.apps.image_studio.batch import run_batch

    entries = run_batch(
        jobs, draw, out, score=score, settings=settings, zoom=arguments.zoom, log=log
    )
    failed = [entry for entry in entries if entry["error"]]
    if arguments.json:
        print(json.dumps({"folder": str(out), "images": entries}, indent=1))
    log(f"{len(entries) - len(failed)} images, manifest.jsonl and contact_sheet.png in {out}")
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(entries)} images failed, the first because "
            f"{failed[0]['error']} (manifest.jsonl in {out} has all)"
        )
    return 0
