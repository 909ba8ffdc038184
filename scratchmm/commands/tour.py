"""`python -m scratchmm tour`: train a CLIP from scratch in about a minute, and see what it learned.

On the generated world it is asked about combinations of colour and shape that it saw and about some
that it never saw; with --pairs it learns the user's own images, a part of them held out.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchmm.refusals import check_seed

if TYPE_CHECKING:
    from torch import Tensor

    from scratchmm.recipes.clip import Settings, TrainedCLIP
    from scratchmm.recipes.datasets import Part, TrainingSet

PAIRS_STEPS = 1_200  # fit a minute on two cores
TESTED = 500  # of each part of the world, and of the own pairs that were trained on


def add(subparsers: Any) -> None:
    """Declare the command and its arguments."""
    parser = subparsers.add_parser("tour", help="train a CLIP from scratch in a minute")
    parser.add_argument("--pairs", metavar="FILE.tsv", help="your own: file, text")
    parser.add_argument("--out", type=Path, default=Path("runs/tour"), help="default runs/tour")
    parser.add_argument("--seed", type=int, default=0, help="fixes data, weights and order")
    parser.add_argument("--steps", type=int, help="training steps (default: what fits a minute)")
    parser.add_argument("--fresh", action="store_true", help="forget a killed run in --out")
    parser.add_argument("--json", action="store_true", help="print report.json, nothing else")


def run(arguments: argparse.Namespace) -> int:
    """Draw or read the data, train, measure, draw images, write report.json."""
    start = time.perf_counter()
    log: Callable[[str], None] = (lambda text: None) if arguments.json else print
    check_seed(arguments.seed)
    if arguments.steps is not None and arguments.steps < 1:
        raise ValueError(f"--steps {arguments.steps} trains nothing: at least 1")
    if arguments.pairs is not None:
        if not arguments.pairs.strip():
            raise ValueError(
                "--pairs names no file: it needs a table with the columns file and text"
            )
        arguments.pairs = Path(arguments.pairs)
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    from scratchmm.recipes import clip as recipe
    from scratchmm.training.curve import read_curve

    settings = _settings(arguments)
    data = _read(settings, arguments, log)
    seen, unseen = data.tests["seen"], data.tests["unseen"]
    before = _similarity(recipe.build(settings, data, seed=arguments.seed), unseen)
    began = time.perf_counter()
    clip = recipe.train(
        settings, data, seed=arguments.seed, folder=out, log=log, progress=True,
        resume=not arguments.fresh,
    )  # fmt: skip
    seconds = read_curve(out / "curve.csv")[-1]["seconds"]
    # A tour that went on where it was stopped has the seconds of the earlier ones in its curve.
    earlier = max(0.0, seconds - (time.perf_counter() - began))
    report = _measure(clip, seen, unseen)
    report |= {"train_seconds": round(seconds, 1), "seed": arguments.seed}
    drawn = _draw(clip, before, seen, unseen, out, log)
    report["total_seconds"] = round(time.perf_counter() - start + earlier, 1)
    _write(out / "report.json", json.dumps(report, indent=1) + "\n")
    (out / "checkpoint.pt").unlink(missing_ok=True)  # finished: the next tour starts anew
    print(json.dumps(report, indent=1)) if arguments.json else _tell(report, drawn, arguments)
    return 0


def _settings(arguments: argparse.Namespace) -> "Settings":
    """The recipe's of the world; for own pairs with fewer steps, varied images and spared twins."""
    from dataclasses import replace

    from scratchmm.recipes.clip import SETTINGS

    settings, steps = SETTINGS, arguments.steps
    if arguments.pairs is not None:
        settings = replace(
            settings, data=str(arguments.pairs), steps=PAIRS_STEPS, augment="random_shift",
            spare_twins=True,
        )  # fmt: skip
    return settings if steps is None else replace(settings, steps=steps)


def _read(
    settings: "Settings", arguments: argparse.Namespace, log: Callable[[str], None]
) -> "TrainingSet":
    """What is trained on, and two parts: one like the training's, one unlike it."""
    from scratchmm.recipes.datasets import pairs_part, read_set

    found = read_set(
        settings.data, None, settings.image_size, arguments.seed,
        images=settings.images, tested=TESTED,
    )  # fmt: skip
    if arguments.pairs is None:
        names = found.names
        trained = {int(label) for label in found.tests["seen"].labels}
        log(
            f"Drew {len(found.images):,} images of {len(trained)} combinations of colour and shape, "
            f"each with a sentence such as {found.texts[0]!r}; {len(names) - len(trained)} more "
            "combinations are held out."
        )
        return found
    held_out = found.tests["test"]
    count = len(found.texts) + int(held_out.right().sum())
    log(f"Read {count:,} pairs of {arguments.pairs}; {len(held_out.images):,} images are held out.")
    stride = max(1, len(found.texts) // TESTED)
    seen = pairs_part(found.images[::stride], found.texts[::stride])
    found.tests = {"seen": seen, "unseen": held_out}
    return found


def _similarity(clip: "TrainedCLIP", part: "Part") -> "Tensor":
    """Cosine similarity (B, S) of every image with every sentence of a part."""
    from scratchmm.recipes.datasets import sentence_similarity

    return sentence_similarity(clip, part)


def _measure(clip: "TrainedCLIP", seen: "Part", unseen: "Part") -> dict[str, Any]:
    """Zero-shot accuracy on both parts; recall both ways on the part that was never seen."""
    from scratchmm.recipes.clip import recalls
    from scratchmm.recipes.datasets import zero_shot_accuracy

    return {
        "names": len(unseen.names),
        "seen_accuracy": zero_shot_accuracy(clip, seen),
        "unseen_accuracy": zero_shot_accuracy(clip, unseen),
        **recalls(_similarity(clip, unseen), unseen.told()[2]),
    }


def _probabilities(clip: "TrainedCLIP", part: "Part", embeddings: "Tensor") -> "Tensor":
    from scratchmm.contrastive.zero_shot import class_embeddings, zero_shot

    classes = class_embeddings(clip.embed_texts, part.names, part.prompts)
    return zero_shot(embeddings, classes, clip.model.logit_scale().detach())


def _draw(
    clip: "TrainedCLIP",
    before: "Tensor",
    seen: "Part",
    unseen: "Part",
    out: Path,
    log: Callable[[str], None],
) -> list[tuple[Path, str]]:
    """The images, each with a line that says what it shows."""
    try:
        return _images(clip, before, seen, unseen, out)
    except ImportError as error:
        log(f"No images were drawn: {error}")
        return []


def _images(
    clip: "TrainedCLIP", before: "Tensor", seen: "Part", unseen: "Part", out: Path
) -> list[tuple[Path, str]]:
    from scratchmm import plots
    from scratchmm.contrastive.retrieval import top_k

    sentences, own, true = unseen.told()
    few = _different(unseen.labels.tolist(), 12)
    names = [sentences[i] for i in own[few].tolist()]
    sides = ("image of", "sentence")
    after = _similarity(clip, unseen)
    drawn = []
    for matrix, when in ((before, "before"), (after, "after")):
        path = plots.similarity_matrix(
            matrix[few][:, own[few]], names, names, out / f"similarity_{when}.png",
            heading=f"Cosine similarity, {when} training", labels=sides,
            right=true[few][:, own[few]],
        )  # fmt: skip
        drawn.append((path, f"every image with every sentence, {when} training"))

    maps = _attention(clip, unseen.images[few[:8]])
    path = plots.attention_overlay(
        unseen.images[few[:8]], maps, out / "attention.png", titles=names[:8],
        heading="Attention rollout of the vision tower",
    )  # fmt: skip
    drawn.append((path, "attention rollout: the patches that the vision tower attends to"))

    images, by_image = list(unseen.images), clip.embed_images(unseen.images)
    by_text = clip.embed_texts(sentences)
    for name, asked, answers, queries, gallery, rows, relevant, what in (
        ("by_text", sentences, images, by_text, by_image, own[few[:6]].tolist(), true.T,
         "images found for a sentence"),
        ("by_image", images, sentences, by_image, by_text, few[:6], true,
         "sentences found for an image"),
    ):  # fmt: skip
        found = top_k(queries[rows], gallery, min(5, len(gallery))).indices.tolist()
        path = plots.retrieval_sheet(
            [asked[i] for i in rows],
            [[answers[j] for j in row] for row in found],
            [[bool(relevant[i, j]) for j in row] for i, row in zip(rows, found, strict=True)],
            out / f"retrieval_{name}.png",
            heading=f"{what.capitalize()}, best first",
        )
        drawn.append((path, f"the {what}"))

    best = _probabilities(clip, unseen, by_image[few]).argmax(dim=-1, keepdim=True)
    right = unseen.right()[few].gather(1, best)[:, 0].tolist()
    guesses = [unseen.names[i] for i in best[:, 0]]
    path = plots.image_grid(
        unseen.images[few], guesses, out / "zero_shot.png", columns=6, right=right,
        heading=f"Never seen in training, named out of {len(unseen.names)}: "
        f"{sum(right)} of {len(few)} right",
    )  # fmt: skip
    return [*drawn, (path, "classes predicted for combinations not in the training set")]


def _different(labels: Sequence[int], count: int) -> list[int]:
    """The places of the first `count` labels that all differ."""
    places: dict[int, int] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, place)
    return list(places.values())[:count]


def _attention(clip: "TrainedCLIP", images: "Tensor") -> "Tensor":
    """How much of each patch reaches CLS: (B, N)."""
    from scratchmm.layers.attention import watch_attention
    from scratchmm.vision.rollout import attention_rollout

    with watch_attention() as layers:
        clip.model.vision.tokens(clip.prepare(images))
    return attention_rollout(layers)[:, 0, 1:]


def _tell(
    report: dict[str, Any], drawn: list[tuple[Path, str]], arguments: argparse.Namespace
) -> None:
    """What came out, and what to open next."""
    world = arguments.pairs is None
    rows = [
        ("combinations in training" if world else "pairs it trained on", report["seen_accuracy"]),
        ("combinations not in training" if world else "pairs held out", report["unseen_accuracy"]),
    ]
    print(f"\nZero-shot: the right name among all {report['names']}")
    for name, value in rows:
        print(f"  {name:28} {value:6.1%}")
    print(f"Retrieval, on held-out images{'':7}" + "".join(f"  @{k:<5}" for k in (1, 5, 10)))
    for key in ("image_to_text_recall", "text_to_image_recall"):
        name = key.removesuffix("_recall").replace("_", " ")
        print(f"  {name:34}" + "".join(f"{value:6.1%} " for value in report[key]))
    print(f"Trained in {report['train_seconds']} s, {report['total_seconds']} s in all.")
    print(f"\nOpen next, in {arguments.out}:")
    for path, what in drawn:
        print(f"  {path.name:26} {what}")
    print(f"  {'report.json':26} these figures\nThen read scratchmm/contrastive/clip.py, and:")
    print(
        "  python -m scratchmm learn   write it again yourself, with checks that say what is wrong"
    )


def _write(path: Path, text: str) -> None:
    from scratchmm.files import atomic_write

    atomic_write(path, text)
