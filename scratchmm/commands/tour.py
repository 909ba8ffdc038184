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

    from scratchmm.commands.tour_data import Part
    from scratchmm.training.small_clip import SmallCLIP

WORLD_STEPS, PAIRS_STEPS = 1_600, 1_200  # fit a minute on two cores
BATCH, LEARNING_RATE, WEIGHT_DECAY = 128, 3e-3, 0.5  # train.py says why
KS = (1, 5, 10)  # of recall@k


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
    say: Callable[[str], None] = (lambda text: None) if arguments.json else print
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
    from scratchmm.commands.tour_data import read
    from scratchmm.training import small_clip
    from scratchmm.training.fingerprint import content_of
    from scratchmm.training.run_folder import DATA

    train, seen, unseen = read(arguments.pairs, arguments.seed, say)
    clip = small_clip.build(*train, seed=arguments.seed)
    before = _similarity(clip, unseen)
    asked = (unseen.images, unseen.texts, seen.images, seen.texts)
    settings = {DATA: content_of(*train, *asked)}
    began = time.perf_counter()
    seconds = _train(clip, train, settings, arguments, say)
    # A tour that went on where it was stopped has the seconds of the earlier ones in its curve.
    earlier = max(0.0, seconds - (time.perf_counter() - began))
    small_clip.save(clip, out)
    report = _measure(clip, seen, unseen)
    report |= {"train_seconds": round(seconds, 1), "seed": arguments.seed}
    drawn = _draw(clip, before, seen, unseen, out, say)
    report["total_seconds"] = round(time.perf_counter() - start + earlier, 1)
    _write(out / "report.json", json.dumps(report, indent=1) + "\n")
    (out / "checkpoint.pt").unlink(missing_ok=True)  # finished: the next tour starts anew
    print(json.dumps(report, indent=1)) if arguments.json else _tell(report, drawn, arguments)
    return 0


def _train(
    clip: "SmallCLIP",
    train: tuple["Tensor", list[str]],
    settings: dict[str, str],
    arguments: argparse.Namespace,
    say: Callable[[str], None],
) -> float:
    """Train in place, going on where a killed tour of the same settings stopped; the seconds."""
    from scratchmm.data.sets.duplicates import right_answers
    from scratchmm.training.augment import random_shift
    from scratchmm.training.fit import fit
    from scratchmm.training.small_clip import clip_loss, pair_batches

    own = arguments.pairs is not None
    parameters = sum(p.numel() for p in clip.model.parameters())
    say(f"Training a CLIP of {parameters:,} parameters from scratch.")
    curve = fit(
        clip.model,
        pair_batches(
            clip,
            *train,
            BATCH,
            arguments.seed,
            random_shift if own else None,
            right_answers(*train),
        ),
        clip_loss,
        steps=arguments.steps or (PAIRS_STEPS if own else WORLD_STEPS),
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        folder=arguments.out,
        save_every=100,
        resume=not arguments.fresh,
        progress=True,
        log=say,
        seed=arguments.seed,
        settings=settings,
    )
    return curve[-1]["seconds"]


def _similarity(clip: "SmallCLIP", part: "Part") -> "Tensor":
    """Cosine similarity (B, B) of every image with every sentence of a part."""
    return clip.embed_images(part.images) @ clip.embed_texts(part.texts).T


def _measure(clip: "SmallCLIP", seen: "Part", unseen: "Part") -> dict[str, Any]:
    """Zero-shot accuracy on both parts; recall both ways on the part that was never seen."""
    from scratchmm.metrics.recall import recall_at_k

    similarity = _similarity(clip, unseen)[unseen.rows][:, unseen.columns]  # each stands once
    relevant = unseen.relevant[unseen.rows][:, unseen.columns]
    return {
        "names": len(unseen.classes),
        "seen_accuracy": _accuracy(clip, seen),
        "unseen_accuracy": _accuracy(clip, unseen),
        "image_to_text_recall": [recall_at_k(similarity, k, relevant) for k in KS],
        "text_to_image_recall": [recall_at_k(similarity.T, k, relevant.T) for k in KS],
    }


def _accuracy(clip: "SmallCLIP", part: "Part") -> float:
    """How often the right class is the likeliest, its prompts averaged (for own pairs: a text)."""
    probabilities = _probabilities(clip, part, clip.embed_images(part.images[part.rows]))
    best = probabilities.argmax(dim=-1, keepdim=True)
    return part.right()[part.rows].gather(1, best).double().mean().item()


def _probabilities(clip: "SmallCLIP", part: "Part", embeddings: "Tensor") -> "Tensor":
    from scratchmm.contrastive.zero_shot import class_embeddings, zero_shot

    classes = class_embeddings(clip.embed_texts, part.classes, part.prompts)
    return zero_shot(embeddings, classes, clip.model.temperature().detach())


def _draw(
    clip: "SmallCLIP",
    before: "Tensor",
    seen: "Part",
    unseen: "Part",
    out: Path,
    say: Callable[[str], None],
) -> list[tuple[Path, str]]:
    """The images, each with a line that says what it shows."""
    try:
        return _images(clip, before, seen, unseen, out)
    except ImportError as error:
        say(f"No images were drawn: {error}")
        return []


def _images(
    clip: "SmallCLIP", before: "Tensor", seen: "Part", unseen: "Part", out: Path
) -> list[tuple[Path, str]]:
    from scratchmm import plots
    from scratchmm.contrastive.retrieval import top_k

    rows = unseen.rows.tolist()  # each different image once
    few = [rows[place] for place in _different([int(unseen.labels[row]) for row in rows], 12)]
    names = [unseen.texts[i] for i in few]
    sides = ("image of", "sentence")
    after = _similarity(clip, unseen)
    drawn = []
    for matrix, when in ((before, "before"), (after, "after")):
        path = plots.similarity_matrix(
            matrix[few][:, few], names, names, out / f"similarity_{when}.png",
            heading=f"Cosine similarity, {when} training", labels=sides,
            right=unseen.relevant[few][:, few],
        )  # fmt: skip
        drawn.append((path, f"every image with every sentence, {when} training"))

    maps = _attention(clip, unseen.images[few[:8]])
    path = plots.attention_overlay(
        unseen.images[few[:8]], maps, out / "attention.png", titles=names[:8],
        heading="Where the vision tower looks",
    )  # fmt: skip
    drawn.append((path, "where the vision tower looks (attention rollout)"))

    images, texts = list(unseen.images), unseen.texts
    by_image, by_text = clip.embed_images(unseen.images), clip.embed_texts(texts)
    true, so = unseen.relevant, few[:6]
    for name, asked, answers, queries, gallery, once, relevant, what in (
        ("by_text", texts, images, by_text, by_image, unseen.rows, true.T,
         "images found for a sentence"),
        ("by_image", images, texts, by_image, by_text, unseen.columns, true,
         "sentences found for an image"),
    ):  # fmt: skip
        best = top_k(queries[so], gallery[once], min(5, len(once))).indices
        found = once[best].tolist()
        path = plots.retrieval_sheet(
            [asked[i] for i in so],
            [[answers[j] for j in row] for row in found],
            [[bool(relevant[i, j]) for j in row] for i, row in zip(so, found, strict=True)],
            out / f"retrieval_{name}.png",
            heading=f"{what.capitalize()}, best first",
        )
        drawn.append((path, f"the {what}"))

    best = _probabilities(clip, unseen, by_image[few]).argmax(dim=-1, keepdim=True)
    right = unseen.right()[few].gather(1, best)[:, 0].tolist()
    guesses = [unseen.classes[i] for i in best[:, 0]]
    path = plots.image_grid(
        unseen.images[few], guesses, out / "zero_shot.png", columns=6, right=right,
        heading=f"Never seen in training, named out of {len(unseen.classes)}: "
        f"{sum(right)} of {len(few)} right",
    )  # fmt: skip
    return [*drawn, (path, "what the model calls images it never saw, right or wrong")]


def _different(labels: Sequence[int], count: int) -> list[int]:
    """The places of the first `count` labels that all differ."""
    places: dict[int, int] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, place)
    return list(places.values())[:count]


def _attention(clip: "SmallCLIP", images: "Tensor") -> "Tensor":
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
        ("combinations it saw" if world else "pairs it trained on", report["seen_accuracy"]),
        ("combinations it never saw" if world else "pairs held out", report["unseen_accuracy"]),
    ]
    print(f"\nZero-shot: the right name among all {report['names']}")
    for name, value in rows:
        print(f"  {name:28} {value:6.1%}")
    print(f"Retrieval, of what it never saw{'':5}" + "".join(f"  @{k:<5}" for k in KS))
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
