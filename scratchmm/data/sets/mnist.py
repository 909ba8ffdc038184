"""MNIST and Fashion-MNIST, read from the idx files their publishers give out.

An idx file is two zero bytes, a byte for the kind of number, a byte for how many axes there are,
the length of each axis as a 4-byte number with the highest byte first, and then the numbers.

MNIST: Gradient-Based Learning Applied to Document Recognition (LeCun and others, 1998).
Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms (arXiv 1708.07747).
**Differs from the papers:** nothing; a file may hold any number of images.

N images, C channels (one: grey), H and W height and width.
"""

import gzip
import math
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scratchmm.data.sets.folders import find
from scratchmm.sentences import shortened

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
PREFIX = {"train": "train", "test": "t10k"}
MOST_BYTES = 2**31  # a header that promises more is broken: real sets have 47 million
MOST_AXES = 8  # images have 3
UNSIGNED_BYTES = 8  # the code for the kind of number; all sets of images have this one


def read_idx(path: str | Path) -> Tensor:
    """Read an idx file of unsigned bytes, plain or gzipped, into a uint8 tensor.

    Raises FileNotFoundError, or ValueError with one sentence: not idx, another kind of number,
    truncated, too long.

    >>> read_idx("no such file")
    Traceback (most recent call last):
    ...
    FileNotFoundError: there is no file no such file
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"  # by the bytes: suffixes may be wrong
    try:
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            shape = _read_header(path, file)
            expected = math.prod(shape)
            body = file.read(expected + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is a truncated or damaged gzip file ({error})") from error
    if len(body) < expected:
        raise ValueError(f"{path} is truncated: {len(body)} of {expected} bytes after the header")
    if len(body) > expected:
        raise ValueError(f"{path} goes on after the {expected} bytes that its header promises")
    return torch.from_numpy(np.frombuffer(body, dtype=np.uint8).reshape(shape).copy())


def _read_header(path: Path, file: BufferedIOBase) -> tuple[int, ...]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[3] == 0:
        raise ValueError(f"{path} is not an idx file: it begins with {magic.hex(' ') or 'nothing'}")
    if magic[2] != UNSIGNED_BYTES:
        raise ValueError(f"{path} holds numbers of kind {magic[2]}, not unsigned bytes (kind 8)")
    lengths = file.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise ValueError(f"{path} is truncated: its header has {4 + len(lengths)} bytes")
    shape = struct.unpack(f">{magic[3]}I", lengths)
    if len(shape) > MOST_AXES:
        raise ValueError(f"{path} claims {len(shape)} axes, more than {MOST_AXES}")
    if (size := math.prod(max(side, 1) for side in shape)) > MOST_BYTES:
        raise ValueError(f"{path} claims {shortened(size)} bytes, more than {MOST_BYTES}")
    return shape


def load_mnist(
    root: str | Path | None = None, part: str = "train"
) -> tuple[Tensor, Tensor, list[str]]:
    """MNIST's "train" or "test" part: (images, labels, names).

    Images are float32 (N, 1, 28, 28) in [-1, 1], white digits on black; labels int64 (N,) from 0 to
    9; names "zero" to "nine". The files lie in `root`/mnist or `root`, gzipped or not; without
    `root` in the folder that SCRATCHMM_DATA names.

    >>> load_mnist(".", part="both")
    Traceback (most recent call last):
    ...
    ValueError: part 'both' is none of train, test
    """
    return _load(root, "mnist", part, DIGITS)


def load_fashion_mnist(
    root: str | Path | None = None, part: str = "train"
) -> tuple[Tensor, Tensor, list[str]]:
    """Fashion-MNIST's "train" or "test" part: (images, labels, names), as load_mnist gives them.

    Names are the publisher's: "T-shirt/top", "Trouser" ... The files lie in `root`/fashion_mnist or
    `root`.

    >>> load_fashion_mnist(".", part="both")
    Traceback (most recent call last):
    ...
    ValueError: part 'both' is none of train, test
    """
    return _load(root, "fashion_mnist", part, CLOTHES)


def _load(
    root: str | Path | None, set_name: str, part: str, names: tuple[str, ...]
) -> tuple[Tensor, Tensor, list[str]]:
    if part not in PREFIX:
        raise ValueError(f"part {part!r} is none of {', '.join(PREFIX)}")
    paths = []
    for what in ("images-idx3", "labels-idx1"):
        name = f"{PREFIX[part]}-{what}-ubyte"
        paths.append(find(root, set_name, [name + ".gz", name]))
    images, labels = (read_idx(path) for path in paths)
    if images.dim() != 3:
        raise ValueError(f"{paths[0]} has {images.dim()} axes, images need 3")
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{paths[0]} holds {len(images)} images, {paths[1]} {labels.numel()} labels"
        )
    if len(labels) and labels.max() >= len(names):
        raise ValueError(f"{paths[1]} has the label {labels.max()}, there are {len(names)} names")
    return images[:, None].float() / 127.5 - 1, labels.long(), list(names)
