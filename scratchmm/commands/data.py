"""`python -m scratchmm data show | download | check`: look at data before training on it."""

import argparse
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

from scratchmm.refusals import check_seed

MOST_SCENES, MOST_PIXELS = 10_000, 1_024  # to show; more would only fill the memory


def add(subparsers: Any) -> None:
    """Declare the command and its arguments."""
    parser = subparsers.add_parser("data", help="look at the data, draw the world, download a set")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    show = actions.add_parser("show", help="draw scenes of the world, with sentences and questions")
    show.add_argument("--things", type=int, default=3, help="things in a scene (default 3)")
    show.add_argument("--count", type=int, default=16, help="scenes (default 16)")
    show.add_argument("--seed", type=int, default=0, help="another seed, other scenes (default 0)")
    show.add_argument("--size", type=int, default=32, help="pixels a side (default 32)")
    show.add_argument("--out", type=Path, help="write a sheet of the images to this file")
    show.add_argument("--json", action="store_true", help="print the facts as JSON")

    download = actions.add_parser("download", help="fetch a real set from its publisher")
    download.add_argument("name", choices=("mnist", "fashion_mnist", "emoji", "uci_multifeature"))
    download.add_argument("--root", type=Path, required=True, help="folder for real data")

    check = actions.add_parser("check", help="read a table of pairs and open every image")
    check.add_argument("table", type=Path, help="a TSV with the columns file and text")
    check.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the action; the exit status is 0 only if everything is valid."""
    action = {"show": _show, "download": _download, "check": _check}[arguments.action]
    return action(arguments)


def _show(arguments: argparse.Namespace) -> int:
    import numpy as np

    from scratchmm.data.world.captions import wordings
    from scratchmm.data.world.questions import questions
    from scratchmm.data.world.scenes import sample_scene

    for option, value, most in (
        ("--count", arguments.count, MOST_SCENES),
        ("--size", arguments.size, MOST_PIXELS),
    ):
        if not 1 <= value <= most:
            raise ValueError(f"{option} must lie between 1 and {most:,}, not at {value}")
    check_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    scenes = [sample_scene(rng, arguments.things) for _ in range(arguments.count)]
    captions = [wordings(scene) for scene in scenes]
    picks = [sentences[int(rng.integers(len(sentences)))] for sentences in captions]
    questions_of = [questions(scene) for scene in scenes]
    if arguments.out is not None:
        _sheet(scenes, picks, arguments.size, arguments.out)
    if arguments.json:
        rows = [
            dataclasses.asdict(scene)
            | {"wordings": sentences, "questions": [question._asdict() for question in known]}
            for scene, sentences, known in zip(scenes, captions, questions_of, strict=True)
        ]
        print(json.dumps(rows, indent=1))
        return 0
    for number, (pick, known) in enumerate(zip(picks, questions_of, strict=True), 1):
        some = [known[int(index)] for index in sorted(rng.permutation(len(known))[:3])]
        print(f"{number:3}. {pick}")
        for question in some:
            print(f"     {question.question} {question.answer}")
    if arguments.out is not None:
        print(f"images: {arguments.out}")
    return 0


def _sheet(scenes: list[Any], sentences: list[str], size: int, path: Path) -> None:
    """Images in rows of four, enlarged without interpolation, a caption under each."""
    import textwrap

    from PIL import Image, ImageDraw

    from scratchmm.data.world.images import draw_many
    from scratchmm.files import atomic_write
    from scratchmm.vision.images import to_image

    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise ValueError(f"{path} does not end in .png, .jpg or the like: which kind is it to be?")
    side = max(1, 192 // size) * size
    width, height, columns = side + 16, side + 56, min(4, len(scenes))
    sheet = Image.new("RGB", (columns * width, -(-len(scenes) // columns) * height), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (image, sentence) in enumerate(zip(draw_many(scenes, size), sentences)):
        left, top = index % columns * width + 8, index // columns * height + 8
        enlarged = to_image(image).resize((side, side), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (left, top))
        text = "\n".join(textwrap.wrap(f"{index + 1}. {sentence}", max(12, side // 6))[:3])
        pen.text((left, top + side + 4), text, fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    sheet.save(file, kind)
    atomic_write(path, file.getvalue())


def _download(arguments: argparse.Namespace) -> int:
    from scratchmm.data.sets.download import download_set
    from scratchmm.data.sets.emoji import download_emoji

    if arguments.name == "emoji":
        folder = download_emoji(arguments.root, progress=True)
    else:
        folder = download_set(arguments.name, arguments.root, progress=True)
    print(f"{arguments.name} is in {folder}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from scratchmm.data.sets.pairs import check_pairs

    sound, problems = check_pairs(arguments.table)
    if arguments.json:
        print(json.dumps({"sound": sound, "problems": problems}, indent=1, ensure_ascii=False))
        return 1 if problems else 0
    print(f"{sound} of {sound + len(problems)} pairs of {arguments.table} are sound")
    for problem in problems[:10]:
        print(problem)
    if len(problems) > 10:
        print(f"and {len(problems) - 10} more")
    return 1 if problems else 0
