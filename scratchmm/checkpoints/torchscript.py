"""The tensors of a TorchScript archive, as OpenAI published CLIP, read without its program.

torch.jit.load would compile the archive's code and keep it ready to run. Its weights need none of
that: `data.pkl` lists the modules, their attributes and, of each tensor, the record with its bytes,
the shape and the strides. Here a pickle reader that allows only those few classes, and builds
nothing but dicts and tuples from them, reads the list; the code is never read.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class _Record(NamedTuple):
    """A tensor before its bytes are read."""

    dtype: torch.dtype
    key: str  # its bytes are the archive's member data/KEY
    offset: int  # in elements
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Module(dict[str, Any]):
    """A stand-in for every class of the program: its attributes, and no behaviour."""

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.update(state)


def _record(storage: tuple[Any, ...], offset: int, shape: Any, strides: Any, *_: Any) -> _Record:
    return _Record(storage[1], str(storage[2]), int(offset), tuple(shape), tuple(strides))


def _first(value: Any, *_: Any) -> Any:
    return value


class _Reader(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        return pid  # ("storage", dtype, key, device, elements): a tensor's bytes, read later

    def find_class(self, module: str, name: str) -> Any:
        """The classes that TorchScript's pickles need; every other is refused."""
        if module == "__torch__" or module.startswith("__torch__."):
            return _Module
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _record
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" or (module, name) == ("torch", "device"):
            return _first  # lists of numbers, labels of types: not of interest here
        raise ValueError(f"it would call {module}.{name} when read")


def is_torchscript(path: str | Path) -> bool:
    """Whether the file is a TorchScript archive: a zip with constants beside its data.

    >>> is_torchscript("there is no such file.pt")
    False
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except Exception:  # noqa: BLE001 - no zip, or a damaged one: whoever reads it as a checkpoint says so
        return False


def read_torchscript(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive by name, on the CPU, each in the dtype it was saved in.

    Parameters, buffers and tensors that are plain attributes alike: the difference stands in the
    code only. Raises ValueError if the archive is damaged or holds what no TorchScript needs.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            top = next(n for n in archive.namelist() if n.endswith("/constants.pkl"))
            folder = top.removesuffix("constants.pkl")
            if folder + "byteorder" in archive.namelist():
                if archive.read(folder + "byteorder") != b"little":
                    raise ValueError("its numbers are big-endian")
            with archive.open(folder + "data.pkl") as file:
                records = dict(_records(_Reader(file).load(), ""))
            read: dict[str, bytearray] = {}  # several tensors may lie in one record
            return {
                name: _tensor(record, read, archive, f"{folder}data/{record.key}")
                for name, record in records.items()
            }
    except Exception as error:  # noqa: BLE001 - damaged bytes end in almost any error of pickle and zipfile
        why = str(error).split("\n")[0][:200] or type(error).__name__
        raise ValueError(f"{path} can't be read as a TorchScript archive: {why}") from None


def _records(value: object, name: str) -> list[tuple[str, _Record]]:
    """Every tensor below a module, by its dotted name."""
    if isinstance(value, _Record):
        return [(name, value)]
    if not isinstance(value, _Module):
        return []
    below = f"{name}." if name else ""
    return [pair for key, part in value.items() for pair in _records(part, f"{below}{key}")]


def _tensor(
    record: _Record, read: dict[str, bytearray], archive: zipfile.ZipFile, member: str
) -> Tensor:
    if member not in read:
        read[member] = bytearray(archive.read(member))
    if not read[member]:
        return torch.zeros(record.shape, dtype=record.dtype)
    numbers = torch.frombuffer(read[member], dtype=record.dtype)
    return numbers.as_strided(record.shape, record.strides, record.offset)
