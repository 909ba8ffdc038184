"""`python -m scratchmm train [NAME]`: list the recipes, or train one on the world, a set or pairs.

The run lands in a folder: checkpoint.pt and curve.csv while it trains, then model.pt for
`load_trained`, and report.json. A killed run goes on where it stopped.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from scratchmm.recipes import RECIPES, recipe
from scratchmm.refusals import check_seed

OVERRIDES = {
    "image_size": int, "patch_size": int, "width": int, "depth": int, "steps": int, "batch": int,
    "learning_rate": float,
}  # fmt: skip


def add(subparsers: Any) -> None:
    """Declare the command and its arguments."""
    parser = subparsers.add_parser(
        "train",
        help="train a model on the generated world, a real set or your own pairs",
        description="Without a name: the recipes, with the minutes they take and what is expected."
        " Sizes and steps not given are chosen for the data, to take minutes on two cores.",
    )
    parser.add_argument("recipe", nargs="?", choices=tuple(RECIPES), help=" ".join(RECIPES))
    parser.add_argument("--data", help="world (default), mnist, fashion_mnist, emoji or FILE.tsv")
    parser.add_argument("--root", type=Path, help="folder with real sets (or SCRATCHMM_DATA)")
    parser.add_argument(
        "--out", "--folder", type=Path, help="folder of the run (default runs/RECIPE_DATA)"
    )
    for name, kind in OVERRIDES.items():
        parser.add_argument("--" + name.replace("_", "-"), type=kind)
    parser.add_argument("--seed", type=int, default=0, help="fixes data, weights and order")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, mps or auto")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--save-every", type=int, default=100, help="steps (default 100)")
    parser.add_argument("--fresh", action="store_true", help="forget a killed run in --out")
    parser.add_argument("--json", action="store_true", help="print report.json, nothing else")


def run(arguments: argparse.Namespace) -> int:
    """Read the data, train or go on training, measure on what was held out, save."""
    if arguments.recipe is None:
        return list_recipes(arguments.json)
    start = time.perf_counter()
    module = recipe(arguments.recipe)
    settings, name = chosen_settings(module, arguments)
    out = arguments.out or Path("runs") / f"{arguments.recipe}_{name}"
    from scratchmm.training.curve import read_curve

    log: Callable[[str], None] = (lambda text: None) if arguments.json else print
    dataset = read_data(module, settings, arguments, name, log)
    began = time.perf_counter()
    trained = module.train(
        settings, dataset, seed=arguments.seed, device=arguments.device, folder=out, log=log,
        precision=arguments.precision, save_every=arguments.save_every,
        resume=not arguments.fresh, progress=not arguments.json,
    )  # fmt: skip
    seconds = read_curve(out / "curve.csv")[-1]["seconds"]
    # A run that went on where it was stopped has the seconds of the earlier ones in its curve.
    earlier = max(0.0, seconds - (time.perf_counter() - began))
    model = getattr(trained, "model", trained)
    report = {"model": arguments.recipe, "data": arguments.data or "world"}
    report |= module.figures(trained, dataset)
    if dataset is not None:
        report |= {"train_images": len(dataset.images), "test_images": held_out(dataset)}
    report["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    report |= {key: getattr(settings, key) for key in OVERRIDES if hasattr(settings, key)}
    report |= {"seed": arguments.seed, "train_seconds": round(seconds, 1)}
    report["total_seconds"] = round(time.perf_counter() - start + earlier, 1)
    _write(out / "report.json", json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1)) if arguments.json else _tell(report, settings, out)
    return 0


def list_recipes(as_json: bool) -> int:
    """Print every recipe with its minutes on two cores, the figure that is judged and its bound."""
    rows = []
    for name, about in RECIPES.items():
        settings = recipe(name).SETTINGS
        row = {"recipe": name, "minutes": settings.minutes, "figure": settings.figure}
        rows.append({**row, "expected": settings.expected, "about": about})
    if as_json:
        print(json.dumps(rows, indent=1))
        return 0
    print(f"{'recipe':22}{'minutes':>8}  expected")
    for row in rows:
        bound = f"{row['figure'].replace('_', ' ')} ≥ {row['expected']:g}"
        print(f"{row['recipe']:22}{row['minutes']:8g}  {bound}\n{'':32}{row['about']}")
    print("\npython -m scratchmm train NAME trains one; --help shows what can be changed.")
    return 0


def chosen_settings(module: ModuleType, arguments: argparse.Namespace) -> tuple[Any, str]:
    """The settings for the data, with the user's changes, and the name of the data.

    What can't work is refused before any reading.
    """
    from scratchmm.training.device import pick_device

    check_seed(arguments.seed)
    pick_device(arguments.device)
    if arguments.save_every < 1:
        raise ValueError(f"--save-every is {arguments.save_every} and must be above 0")
    by_data = getattr(module, "SETTINGS_OF", None)
    settings, name = module.SETTINGS, "world"
    if by_data is not None:
        from scratchmm.recipes.datasets import SETS, check_name

        data = arguments.data or "world"
        check_name(data)
        name = data if data in SETS else "pairs"
        if name not in by_data:
            raise ValueError(f"{data} has texts but no classes for a vit: train a clip on it")
        settings = replace(by_data[name], data=data)
    elif arguments.data not in (None, "world"):
        raise ValueError(
            f"the recipe {arguments.recipe} draws its own data: it takes no --data {arguments.data}"
        )
    changes: dict[str, Any] = {}
    known = {field.name for field in fields(settings)}
    for key in OVERRIDES:
        given, flag = getattr(arguments, key), "--" + key.replace("_", "-")
        if given is not None and key not in known:
            raise ValueError(f"the recipe {arguments.recipe} takes no {flag}")
        if given is not None and not 0 < given < math.inf:
            raise ValueError(f"{flag} is {given} and must be above 0")
        changes |= {} if given is None else {key: given}
    settings = replace(settings, **changes)
    if by_data is not None:
        from scratchmm.vision.vit import ViTConfig

        ViTConfig(settings.image_size, settings.patch_size, settings.width, settings.depth, 4)
    return settings, name


def read_data(
    module: ModuleType,
    settings: Any,
    arguments: argparse.Namespace,
    name: str,
    log: Callable[[str], None],
) -> Any:
    """The data of recipes that can train on several; others draw their own."""
    if not hasattr(module, "SETTINGS_OF"):
        return None
    dataset = module.data(settings, root=arguments.root, seed=arguments.seed)
    kind = "pairs" if name == "pairs" else "images"
    log(
        f"{name}: {len(dataset.images):,} {kind} to train on, {held_out(dataset):,} images held out."
    )
    return dataset


def held_out(dataset: Any) -> int:
    """How many images the model is tested on."""
    return sum(part.files or len(part.labels) for part in dataset.tests.values())


def _tell(report: dict[str, Any], settings: Any, out: Path) -> None:
    names = f", among {report['names']} names" if "names" in report else ""
    print(f"\nOn what was held out{names}:")
    for key, value in report.items():
        if key.endswith("accuracy"):
            print(f"  {key.replace('_', ' '):24} {value:7.2%}")
        if key.endswith("recall"):
            shown = "  ".join(f"@{k} {v:6.1%}" for k, v in zip((1, 5, 10), value, strict=True))
            print(f"  {key.replace('_', ' '):24} {shown}")
    if settings.expected:
        figure = settings.figure.replace("_", " ")
        print(f"Expected of the whole training: {figure} at least {settings.expected:.2%}")
    print(f"Trained in {report['train_seconds']} s, {report['total_seconds']} s in all.")
    print(f"The model is in {out}: scratchmm.load_trained({str(out)!r})")


def _write(path: Path, text: str) -> None:
    from scratchmm.files import atomic_write

    atomic_write(path, text)
