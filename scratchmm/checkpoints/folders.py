"""Which file of a folder holds the weights, and weights in several files (shards)."""

import json
import re
from pathlib import Path

from scratchmm.file_kinds import foreign_kind

# transformers', diffusers' and open_clip's names. One of two formats is a copy of the other, and
# safetensors comes first, since it can hold no code.
NAMES = ["model", "pytorch_model", "diffusion_pytorch_model"]
NAMES += ["open_clip_model", "open_clip_pytorch_model"]
FORMATS = ("safetensors", "bin")
ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
# What training leaves beside the weights.
NO_WEIGHTS = re.compile(r"(optimizer|scheduler|scaler|training_args|random_states|rng_state)")
PART = re.compile(r"-\d{5}-of-\d{5}\.(safetensors|bin)$")


def chosen_file(folder: str | Path) -> Path:
    """The one file of a folder, weights or their index, that is to be read.

    In this order: the plain names (`model.safetensors`, `pytorch_model.bin`, diffusers'
    `diffusion_pytorch_model.safetensors` ...), the whole before its parts; the same of a variant
    (`model.fp16.safetensors`), if the folder holds only one; any other file of weights, if it is
    the only one. Raises FileNotFoundError if there is none, ValueError if it is not clear which.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "model.fp16.safetensors").touch()
    >>> chosen_file(folder).name
    'model.fp16.safetensors'
    """
    folder = Path(folder)
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    found: dict[str, dict[str, str]] = {}  # variant -> family -> the first of its files
    for family in NAMES:
        for form in FORMATS:
            for variant, name in _candidates(family, form, names):
                found.setdefault(variant, {}).setdefault(_kin(family), name)
    variants = [""] if "" in found else sorted(found)
    chosen = [name for variant in variants for name in found[variant].values()] if found else []
    if not chosen:
        chosen = [n for n in names if n.endswith(ENDINGS) and not NO_WEIGHTS.search(n)]
    if len(chosen) == 1 and not PART.search(chosen[0]):
        return folder / chosen[0]
    if chosen:
        parts = [name for name in chosen if PART.search(name)]
        hint = "parts without their .index.json" if parts else "name the file that is meant"
        raise ValueError(f"{folder} holds {_listed(chosen)}: {hint}")
    raise FileNotFoundError(_nothing_in(folder, names))


def shards_of(index: str | Path) -> dict[str, Path]:
    """Where each tensor of an `.index.json` lies: its name to a file beside the index.

    Raises ValueError if it is no index, FileNotFoundError that names every file that is missing.
    """
    index = Path(index)
    if not index.is_file():
        raise FileNotFoundError(f"there is no file {index}")
    kind = foreign_kind(index)
    if kind:
        raise ValueError(f"{index} is {kind}")
    try:
        files = json.loads(index.read_bytes())["weight_map"]
        shards = {str(name): index.parent / Path(file).name for name, file in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{index} is not an index of weights (no weight_map)") from None
    if any(path.suffix == ".json" for path in shards.values()):
        raise ValueError(f"{index} is not an index of weights: it names another .json as a part")
    missing = sorted({path.name for path in shards.values() if not path.is_file()})
    if missing:
        count = len(set(shards.values()))
        raise FileNotFoundError(
            f"{index} needs {count} files, and of these there is no {_listed(missing)}"
        )
    return shards


def _candidates(family: str, form: str, names: list[str]) -> list[tuple[str, str]]:
    """(variant, file) of one family and format: those in one piece, then the indices."""
    whole = re.compile(rf"{family}(?:\.(\w+))?\.{form}")
    index = re.compile(rf"{family}\.{form}\.index(?:\.(\w+))?\.json")
    matches = [(kind.fullmatch(name), name) for kind in (whole, index) for name in names]
    return [(match[1] or "", name) for match, name in matches if match]


def _kin(family: str) -> str:
    """Files of one kin hold the same weights in two formats or, open_clip's, under two namings."""
    return "diffusers" if family.startswith("diffusion") else "transformers"


def _listed(names: list[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _nothing_in(folder: Path, names: list[str]) -> str:
    if "model_index.json" in names:
        parts = [path.name for path in sorted(folder.iterdir()) if path.is_dir()]
        return f"{folder} is a whole pipeline: give the folder of one model, of {_listed(parts)}"
    message = (
        f"there is no model.safetensors and no pytorch_model.bin in {folder}, "
        "and neither of diffusers' diffusion_pytorch_model.safetensors and .bin"
    )
    for name in names:
        kind = foreign_kind(folder / name)
        if kind and not name.endswith((".json", ".txt")):
            return f"{message}; {name} is {kind}"
    return message
