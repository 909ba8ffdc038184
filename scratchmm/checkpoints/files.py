"""Published weights: read without running code, verified by name and shape, then copied.

A table says where each published tensor goes; `fill` compares the whole file with the whole table
first, so a model is either filled or untouched.

Differs from the paper: nothing (there is none).
"""

import json
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from scratchmm.training.checkpoint import differences, read_torch_file

Source = str | Path | Mapping[str, Tensor]  # a file, a folder of files, or the tensors by name
SHOWN = 20  # names in an error; another model's file would list hundreds


class Place(NamedTuple):
    """Where a published tensor goes, and how its layout differs from ours.

    >>> Place("attn.in_proj_bias", ("query.bias", "key.bias", "value.bias")).theirs
    'attn.in_proj_bias'
    """

    theirs: str
    ours: tuple[str, ...]  # several names: theirs holds them one after the other along axis 0
    shape: tuple[int, ...] | None = None  # of theirs, where only the axes are cut differently
    transposed: bool = False  # theirs is (in, out) where a Linear has (out, in)

    def expected_shape(self, ours: Mapping[str, Tensor]) -> tuple[int, ...]:
        """The shape theirs must have to fill `ours`, our tensors by name."""
        if self.shape is not None:
            return self.shape
        shape = tuple(ours[self.ours[0]].shape)
        if self.transposed:
            return shape[::-1]
        return (len(self.ours) * shape[0], *shape[1:]) if len(self.ours) > 1 else shape

    def fill(self, ours: Mapping[str, Tensor], theirs: Tensor) -> None:
        """Copy `theirs` into our tensors, in their dtype."""
        parts = theirs.chunk(len(self.ours)) if len(self.ours) > 1 else [theirs]
        for name, part in zip(self.ours, parts, strict=True):
            part = part.T if self.transposed else part
            ours[name].copy_(part.reshape(ours[name].shape))


def layer(theirs: str, ours: str) -> list[Place]:
    """The places of a Linear or a norm: its weight and its bias.

    >>> [place.theirs for place in layer("ln_1", "norm")]
    ['ln_1.weight', 'ln_1.bias']
    """
    return [Place(f"{theirs}.{part}", (f"{ours}.{part}",)) for part in ("weight", "bias")]


def fill(
    model: nn.Module,
    state: Mapping[str, Any],
    places: Sequence[Place],
    label: str = "the state dict",
    harmless: Collection[str] = (),
) -> None:
    """Copy the published tensors `state` into `model` by the table `places`.

    `harmless` are names that may be there and are left out knowingly. Raises ValueError with every
    missing, surplus or misshapen tensor (both shapes); then nothing was copied.

    >>> model = nn.ModuleDict({"head": nn.Linear(2, 1)})
    >>> fill(model, {"fc.weight": torch.ones(2, 1), "fc.bias": torch.ones(1)}, layer("fc", "head"))
    Traceback (most recent call last):
    ValueError: the state dict does not fit ModuleDict: fc.weight is (2, 1) and should be (1, 2)
    """
    ours = model.state_dict()  # these tensors share the parameters' memory
    expected = {
        place.theirs: torch.empty(place.expected_shape(ours), device="meta") for place in places
    }
    given = {name: tensor for name, tensor in state.items() if name not in harmless}
    name = type(model).__name__
    if given and expected.keys().isdisjoint(given):
        raise ValueError(
            f"{label} is of another model: it has {next(iter(given))} and {len(given) - 1} other "
            f"tensors, and none of the {len(expected)} that fill {name}, such as {places[0].theirs}"
        )
    wrong = differences(expected, given)
    if wrong:
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise ValueError(f"{label} does not fit {name}: " + "; ".join(wrong[:SHOWN]) + more)
    with torch.no_grad():
        for place in places:
            place.fill(ours, given[place.theirs])


def read_state(source: Source) -> dict[str, Tensor]:
    """The tensors of a source by their published names, on the CPU.

    A source is a dict, a `.safetensors` file (needs safetensors, extra `parity`), any file that
    torch.save wrote, an `.index.json` of several such files, or a folder with one of them in it.

    >>> sorted(read_state({"weight": torch.ones(2)}))
    ['weight']
    """
    if isinstance(source, Mapping):
        return dict(source)
    path = Path(source)
    if path.is_dir():
        path = _only_file(path)
    if path.suffix == ".json":
        return _read_index(path)
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]  # as training code often wraps it
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} holds no tensors by name")
    return state


def label_of(source: Source) -> str:
    """What an error calls the source.

    >>> label_of({}), label_of("a/b.bin")
    ('the state dict', 'a/b.bin')
    """
    return "the state dict" if isinstance(source, Mapping) else str(source)


def _only_file(folder: Path) -> Path:
    names = ["model.safetensors", "pytorch_model.bin"]
    names += ["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"]  # diffusers'
    for name in names:  # the whole, before the parts
        for candidate in (name, name + ".index.json"):
            if (folder / candidate).is_file():
                return folder / candidate
    raise FileNotFoundError(
        f"there is no model.safetensors and no pytorch_model.bin in {folder}, "
        "and neither of diffusers' diffusion_pytorch_model.safetensors and .bin"
    )


def _read_index(path: Path) -> dict[str, Tensor]:
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(files.values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is not an index of weights (no weight_map)") from None
    state: dict[str, Tensor] = {}
    for name in names:
        state |= read_state(path.parent / Path(name).name)
    return state


def _read_torch(path: Path) -> Any:
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise ValueError(
                    f"{path} is a TorchScript program, which is code, not a state dict"
                )
    return read_torch_file(path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise ImportError(
            f"reading {path} needs safetensors: pip install safetensors, or -e '.[parity]'"
        ) from None
    try:
        return dict(load_file(path))
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error})") from None
