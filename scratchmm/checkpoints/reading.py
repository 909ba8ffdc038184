"""Published weights as tensors by name, whatever file, folder or wrapper they come in; no code runs."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scratchmm.checkpoints.folders import chosen_file, shards_of
from scratchmm.checkpoints.torchscript import is_torchscript, read_torchscript
from scratchmm.file_kinds import foreign_kind
from scratchmm.training.checkpoint import check_archive, read_torch_file

Source = str | Path | Mapping[str, Any]  # a file, a folder of files, or the tensors by name
# What DistributedDataParallel, torch.compile and Lightning or the like put before every name.
WRAPPERS = ("module.", "_orig_mod.", "model.")
COUNTER = "n_averaged"  # torch's AveragedModel keeps it beside the names that begin with `module.`
DEPTH = 3  # of dicts in dicts


def read_state(
    source: Source, *, key: str = "", prefix: str = "", sha256: str = ""
) -> dict[str, Tensor]:
    """The tensors of a source by their published names, on the CPU, in the dtype they have there.

    A source is a dict, a `.safetensors` file (needs safetensors, extra `parity`), any file that
    torch.save wrote, a TorchScript archive (its tensors; its code is not touched), an `.index.json`
    of several such files, or a folder with one of them in it (`folders.chosen_file` says which).

    - Tensors in dicts, as in `{"state_dict": ..., "epoch": 3}`, are found if only one of the dicts
      holds any (the optimizer's left aside); where several do, `key` says which is meant.
    - `module.`, `_orig_mod.` and `model.`, which wrappers put before names, also one behind the
      other, are removed if every name begins so. `prefix` takes only the names that begin with it,
      and without it.
    - The check sums of a zip archive (.pt, .bin) are compared. `.safetensors` and files of torch
      before 1.6 have none: give `sha256`, 8 to 64 of the hexadecimal digits its publisher names.

    Raises FileNotFoundError, or ValueError in a sentence with the file's name.

    >>> sorted(read_state({"state_dict": {"module.weight": Tensor([2])}, "epoch": 3}))
    ['weight']
    """
    label = label_of(source)
    content = source if isinstance(source, Mapping) else _read(Path(source), sha256)
    if isinstance(source, Mapping) and sha256:
        raise ValueError(f"sha256 is of a file, and {label} is none")
    state = _by_name(content, label, key)
    if prefix:
        under = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        if not under:
            raise ValueError(f"none of the {len(state)} names in {label} begins with {prefix!r}")
        return under
    return _unwrapped(state)


def label_of(source: Source) -> str:
    """The name of the source in error messages.

    >>> label_of({}), label_of("a/b.bin")
    ('the state dict', 'a/b.bin')
    """
    return "the state dict" if isinstance(source, Mapping) else str(source)


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without what wrappers put before all of their names."""
    names = [name for name in state if name != COUNTER]
    for prefix in WRAPPERS:
        if names and all(name.startswith(prefix) for name in names):
            return _unwrapped({name.removeprefix(prefix): state[name] for name in names})
    return state


def _by_name(content: object, label: str, key: str) -> dict[str, Tensor]:
    if isinstance(content, Mapping) and not content:
        return {}
    dicts = _dicts_of_tensors(content)
    if key:
        chosen = {name: state for name, state in dicts.items() if f"{name}.".startswith(f"{key}.")}
        if not chosen:
            raise ValueError(f"{label} has no tensors in {key!r}, but in {_listed(dicts)}")
        dicts = chosen
    if len(dicts) > 1:
        raise ValueError(
            f"{label} holds tensors in {_listed(dicts)}: "
            "read_state(source, key=...) takes the one that is meant"
        )
    if not dicts:
        raise ValueError(f"{label} holds no tensors by name{_other_than_tensors(content)}")
    return next(iter(dicts.values()))


def _listed(names: Mapping[str, object]) -> str:
    return " and in ".join(map(repr, sorted(names)[:4])) or "none of its parts"


def _other_than_tensors(content: object) -> str:
    """What is wrong where some are tensors: ": epoch is a int"."""
    if not isinstance(content, Mapping) or not any(isinstance(v, Tensor) for v in content.values()):
        return ""
    name, value = next((n, v) for n, v in content.items() if not isinstance(v, Tensor))
    return f" alone: {name} is a {type(value).__name__}"


def _dicts_of_tensors(content: object, depth: int = DEPTH) -> dict[str, dict[str, Tensor]]:
    """Every dict of nothing but tensors by name, in `content` or in dicts below, by its key."""
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return {}
    if content and all(isinstance(value, Tensor) for value in content.values()):
        return {"": dict(content)}
    dicts = {}
    for name, value in content.items() if depth else ():
        if not name.startswith("optim"):
            for below, state in _dicts_of_tensors(value, depth - 1).items():
                dicts[f"{name}.{below}" if below else name] = state
    return dicts


def _read(path: Path, sha256: str) -> Any:
    if path.is_dir():
        path = chosen_file(path)
    if path.suffix == ".json":
        if sha256:
            raise ValueError(f"{path} is an index: a sha256 is of one file, and it has several")
        return _read_shards(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    kind = foreign_kind(path)
    if kind:
        raise ValueError(f"{path} holds no weights that can be read here: it is {kind}")
    if sha256:
        _compare(path, sha256.lower())
    with path.open("rb") as file:
        head = file.read(9)
    if path.suffix == ".safetensors" and head.startswith((b"PK\3\4", b"\x80\2")):
        raise ValueError(f"{path} is no safetensors file, but one of torch.save: rename it to .pt")
    if path.suffix == ".safetensors" or head[8:] == b"{":
        return _read_safetensors(path)
    if is_torchscript(path):
        check_archive(path)
        return read_torchscript(path)
    return read_torch_file(path)


def _read_shards(index: Path) -> dict[str, Tensor]:
    shards = shards_of(index)
    state: dict[str, Tensor] = {}
    for path in sorted(set(shards.values())):
        part = _by_name(_read(path, ""), str(path), "")
        lost = [name for name, file in shards.items() if file == path and name not in part]
        if lost:
            raise ValueError(f"{path} has no {lost[0]}, which {index.name} places there")
        twice = [name for name in part if name in state]
        if twice:
            raise ValueError(f"{path} repeats {twice[0]}, which another part of {index} has too")
        state |= part
    return state


def _compare(path: Path, sha256: str) -> None:
    if not re.fullmatch("[0-9a-f]{8,64}", sha256):
        raise ValueError(f"sha256 should be 8 to 64 hexadecimal digits, not {sha256[:80]!r}")
    with path.open("rb") as file:
        real = hashlib.file_digest(file, "sha256").hexdigest()
    if not real.startswith(sha256):
        raise ValueError(f"{path} is not the file that is meant: its sha256 is {real}")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import torch as safetensors
    except ImportError:
        raise ImportError(
            f"reading {path} needs safetensors: pip install safetensors, or -e '.[parity]'"
        ) from None
    try:
        return dict(safetensors.load_file(path))
    except MemoryError:
        raise MemoryError(f"{path} asks for more memory than there is") from None
    except Exception as error:  # noqa: BLE001 - its own, KeyError, TypeError ...
        why = str(error).split("\n")[0][:200]
        raise ValueError(f"{path} is damaged or no safetensors file ({why})") from None
