"""Fetch the Noto emoji and their names from those who publish them, at one fixed version of each.

Images: github.com/googlefonts/noto-emoji (Apache-2.0). English names: the Unicode Common Locale
Data Repository, github.com/unicode-org/cldr-json (Unicode License V3). The list of images comes
with a checksum of each.
"""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from scratchmm.data.sets.download import fetch, progress_bar
from scratchmm.files import atomic_write

NOTO = "b3e3051a088047d19fd4d49b1c3ac42fb8c3aaf8"  # version of the images
CLDR = "b08a82b582f1120d630d623f9e5073316741574d"  # version of the names
LIST = f"https://api.github.com/repos/googlefonts/noto-emoji/git/trees/{NOTO}:png/72"
IMAGES = f"https://raw.githubusercontent.com/googlefonts/noto-emoji/{NOTO}/png/72/"
WORDS = f"https://raw.githubusercontent.com/unicode-org/cldr-json/{CLDR}/cldr-json/"
TABLES = {
    "annotations": "cldr-annotations-full/annotations/en/annotations.json",
    "annotationsDerived": "cldr-annotations-derived-full/annotationsDerived/en/annotations.json",
}
SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
AT_ONCE = 8  # requests


def download_emoji(
    root: str | Path,
    progress: bool = False,
    listing: str = LIST,
    images: str = IMAGES,
    words: str = WORDS,
) -> Path:
    """Fetch 1,650 emoji without skin tones into root/emoji, as load_emoji reads them.

    Images that are there and sound are kept, so an interrupted download goes on where it was; the
    table pairs.tsv is written last. Returns the folder. Raises ConnectionError with one sentence.
    """
    folder = Path(root) / "emoji"
    (folder / "png72").mkdir(parents=True, exist_ok=True)
    try:
        tables = {kind: _read_json(words + path) for kind, path in TABLES.items()}
        names = _parsed(words, "list of names", lambda: emoji_names(tables))
        entries = _read_json(listing)
        files = _parsed(
            listing, "list of files", lambda: {one["path"]: one["sha"] for one in entries["tree"]}
        )
        wanted = {path: sha for path, sha in files.items() if _code(path) in names}
        with (
            ThreadPoolExecutor(AT_ONCE) as pool,
            progress_bar("emoji", len(wanted), progress, "images") as bar,
        ):
            tasks = [
                pool.submit(_image, images + file, folder / "png72" / file, sha)
                for file, sha in sorted(wanted.items())
            ]
            for task in tasks:
                task.result()
                bar.update(1)
    except ConnectionError as error:
        raise ConnectionError(f"{error}; put pairs.tsv and png72 into {folder} yourself") from error
    lines = ["file\tcodepoints\tname\tskin_tone"]
    for file in sorted(wanted):
        code = _code(file)
        points = " ".join(point.lstrip("0").upper() for point in code.split("_"))
        lines.append(f"png72/{file}\t{points}\t{names[code]}\t0")
    atomic_write(folder / "pairs.tsv", "\n".join(lines) + "\n")
    return folder


def emoji_names(tables: dict[str, Any]) -> dict[str, str]:
    """From code points as in Noto's file names ("0023_20e3") to English names, no skin tones.

    >>> emoji_names({"annotations": {"annotations": {"annotations": {"#": {"tts": ["hash sign"]}}}}})
    {'0023': 'hash sign'}
    """
    names: dict[str, str] = {}
    for kind, table in tables.items():
        for sign, entry in table[kind]["annotations"].items():
            # FE0F only says "in colour"; Noto leaves it out of its file names.
            points = [f"{ord(part):04x}" for part in sign if part != "\ufe0f"]
            if "tts" in entry and not SKIN_TONES.intersection(points):
                names.setdefault("_".join(points), entry["tts"][0])
    return names


def _code(file: str) -> str:
    return file.removeprefix("emoji_u").removesuffix(".png")


def _read_json(url: str) -> Any:
    try:
        return json.loads(_read(url))
    except (ValueError, RecursionError):
        raise ConnectionError(f"{url} is no JSON, as it should be") from None


def _parsed(url: str, what: str, take: Callable[[], dict[str, str]]) -> dict[str, str]:
    try:
        return take()
    except (KeyError, TypeError, AttributeError) as error:
        said = f"{url} is no {what} as it should be ({type(error).__name__}: {error})"
        raise ConnectionError(said) from None


def _read(url: str) -> bytes:
    data = bytearray()
    fetch(url, data.extend)
    return bytes(data)


def _image(url: str, path: Path, sha: str) -> None:
    if path.is_file() and _git_checksum(path.read_bytes()) == sha:
        return
    data = _read(url)
    if (found := _git_checksum(data)) != sha:
        raise ConnectionError(f"{url} has the checksum {found} instead of {sha}")
    atomic_write(path, data)


def _git_checksum(data: bytes) -> str:
    """What git calls a file: the sha1 of its kind, its length and its bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
