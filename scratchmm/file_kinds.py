"""Formats of files that no reader here takes, recognised by their first bytes or their names.

An error that says "damaged" sends its user to download the same bytes again; "an HDF5 file of
Keras" or "a pointer of Git LFS" names the cause. Below all rooms, as `files` is, since every reader
of weights, vocabularies, images and sounds uses it.
"""

import re
from pathlib import Path

LFS = b"version https://git-lfs.github.com/spec/"
HEAD = 512  # the signature of a tar archive is at byte 257

BEGINNINGS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras and TensorFlow write (.h5)",
    b"GGUF": "a GGUF file, as llama.cpp reads",
    b"GGML": "a GGML file, as old llama.cpp reads",
    b"lmgg": "a GGML file, as old llama.cpp reads",
    b"tjgg": "a GGML file, as old llama.cpp reads",
    b"\x93NUMPY": "an array of NumPy (.npy)",
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"\xfd7zXZ\x00": "compressed by xz: unpack it first",
    b"BZh": "compressed by bzip2: unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it first",
    b"Rar!": "a RAR archive: unpack it first",
    b"<!doctype html": "a web page: the download brought that in place of the file",
    b"<html": "a web page: the download brought that in place of the file",
    b"<?xml": "an XML text: a download may have brought an error in place of the file",
}
NAMES = {  # Protocol Buffers and MessagePack have no signature
    r"\.msgpack$": "a MessagePack file, as Flax writes",
    r"\.onnx$": "an ONNX model",
    r"\.pb$": "a TensorFlow graph",
    r"\.tflite$": "a TensorFlow Lite model",
    r"\.ckpt(-\d+)?\.(index|meta|data-\d+-of-\d+)$": "a part of a TensorFlow checkpoint",
    r"\.mlmodel$": "a Core ML model",
    r"\.pdparams$": "a file of PaddlePaddle",
    r"\.npz$": "an archive of NumPy arrays",
}
TAR = (
    "a tar archive: torch wrote its files so before version 0.1.10, in 2017, and "
    "torch.save(torch.load(old, weights_only=False), new) renews one that you trust; "
    "any other has to be unpacked"
)


def foreign_kind(path: str | Path) -> str | None:
    """The format of the file at `path`, if it is one that no reader here takes.

    The text continues a sentence that begins "... is"; None for everything else, damaged files
    included. Raises OSError if it cannot be read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "model.bin"
    >>> size = path.write_bytes(b"GGUF" + bytes(8))
    >>> foreign_kind(path)
    'a GGUF file, as llama.cpp reads'
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(LFS):
        return _pointer(head)
    if head[257:262] == b"ustar":
        return TAR
    start = head.lstrip().lower() if head.lstrip()[:1] == b"<" else head
    for beginning, kind in BEGINNINGS.items():
        if start.startswith(beginning):
            return kind
    if head[:2] == b"PK" and path.suffix != ".npz":
        return None
    return next((kind for sign, kind in NAMES.items() if re.search(sign, path.name.lower())), None)


def text_of(path: str | Path, content: bytes | None = None) -> str:
    """The text of a file in UTF-8, or of what was unpacked from it, without a byte order mark.

    Raises ValueError that names the file, and says that it is a pointer of Git LFS, or which line
    is no UTF-8; OSError if it cannot be read.

    >>> text_of("words.txt", b"red\\n\\xff")
    Traceback (most recent call last):
    ValueError: line 2 of words.txt is not UTF-8 (byte 4)
    """
    content = Path(path).read_bytes() if content is None else content
    if content.startswith(LFS):
        raise ValueError(f"{path} is {_pointer(content[:HEAD])}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} of {path} is not UTF-8 (byte {error.start})") from None


def _pointer(head: bytes) -> str:
    size = re.search(rb"^size (\d{1,20})", head, re.MULTILINE)
    real = f" of {int(size[1]):,} bytes" if size else ""
    return f"a pointer of Git LFS and not the file{real} itself: `git lfs pull` fetches that"
