"""The vocabularies that CLIP and GPT-2 were published with, read into our tokenizer.

Sources: OpenAI's CLIP (`bpe_simple_vocab_16e6.txt.gz`), OpenAI's GPT-2 and the transformers
library (`vocab.json` with `merges.txt`). Ids are exactly those published.

Differs from the published code:
- CLIP's padding is the end token, as in transformers; OpenAI's own code pads with 0. A causal
  reader that stops at the first end token sees neither.
- CLIP's text is not repaired by `ftfy` first, see `scratchmm.language.cleaning`.
- The name of the padding in a text ("!" in Stable Diffusion 2) is a text, as in OpenAI's code;
  transformers reads it as padding.
"""

import gzip
import zlib
from pathlib import Path

from scratchmm.checkpoints.tokenizer_config import padding_token
from scratchmm.file_kinds import text_of
from scratchmm.files import read_json
from scratchmm.language.bpe import END, START, BytePairEncoding, Pair
from scratchmm.language.cleaning import base_symbols
from scratchmm.sentences import shortened

CLIP_MERGES = 49152 - 256 - 2  # OpenAI's file lists more merges than its models use


def load_clip(path: str | Path) -> BytePairEncoding:
    """Read CLIP's vocabulary: `bpe_simple_vocab_16e6.txt.gz`, or a folder with the two files.

    The `.gz` file (or the same unpacked) lists merges after one headline; ids are the 256 bytes,
    the 256 bytes with `</w>`, the merges, start (49406 at full size) and end (49407). The folder
    holds `vocab.json` (symbol to id) and `merges.txt`; special tokens it lacks get the next ids.
    Padding is the end token, or what `tokenizer_config.json` or `special_tokens_map.json` names, as
    "!" in Stable Diffusion 2; what these say otherwise is refused (ValueError).
    """
    path = Path(path)
    if path.is_dir():
        return _from_folder(path, style="clip", start=START)
    lines = _read_text(path).split("\n")[1 : CLIP_MERGES + 1]
    merges = _pairs(lines, path, first=2)
    symbols = [*base_symbols("clip"), *(left + right for left, right in merges), START, END]
    last = len(symbols) - 1
    return _build(path, merges, symbols, style="clip", start=last - 1, end=last, pad=last)


def load_gpt2(folder: str | Path) -> BytePairEncoding:
    """Read GPT-2's vocabulary from a folder with `vocab.json` and `merges.txt`.

    GPT-2 has one special token, `<|endoftext|>` (50256 at full size); it serves as start, end and
    padding, unless `tokenizer_config.json` or `special_tokens_map.json` names another for padding.
    """
    return _from_folder(Path(folder), style="gpt2", start=END)


def _from_folder(folder: Path, *, style: str, start: str) -> BytePairEncoding:
    vocabulary = folder / "vocab.json"
    if not vocabulary.is_file():
        hint = ""
        if (folder / "tokenizer.json").is_file():
            hint = ": tokenizer.json, of the tokenizers library, holds the same and is not read"
        raise FileNotFoundError(f"there is no vocabulary file {vocabulary}{hint}")
    ids = read_json(vocabulary)
    if not isinstance(ids, dict) or not _counts_up(list(ids.values())):
        raise ValueError(f"{vocabulary} does not give its symbols the ids 0, 1, 2 and so on")
    for special in (start, END):
        ids.setdefault(special, len(ids))
    lines = _read_text(folder / "merges.txt").split("\n")
    # A merge may well begin with "#", so only the first line can be a comment.
    headline = lines[0].startswith("#version")
    merges = _pairs(lines[headline:], folder / "merges.txt", first=1 + headline)
    pad = padding_token(folder, style, start, ids)
    special_ids = {"start": ids[start], "end": ids[END], "pad": ids[pad]}
    return _build(folder, merges, sorted(ids, key=ids.__getitem__), style=style, **special_ids)


def _counts_up(ids: list[object]) -> bool:
    return all(type(token) is int for token in ids) and set(ids) == set(range(len(ids)))


def _build(
    path: Path,
    merges: list[Pair],
    symbols: list[str],
    *,
    style: str,
    start: int,
    end: int,
    pad: int,
) -> BytePairEncoding:
    try:
        return BytePairEncoding(merges, symbols, style=style, start=start, end=end, pad=pad)
    except ValueError as error:
        raise ValueError(f"{path} holds no working vocabulary: {error}") from error


def _pairs(lines: list[str], path: Path, first: int) -> list[Pair]:
    """The merges that the lines list; first: the number of the first of them in the file."""
    merges: list[Pair] = []
    for number, line in enumerate(lines, first):
        symbols = line.split()
        if len(symbols) == 2:
            merges.append((symbols[0], symbols[1]))
        elif symbols:
            raise ValueError(
                f"{path} is not a list of merges: line {number}, {shortened(line, 40)!r}, is not "
                "two symbols"
            )
    return merges


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"there is no vocabulary file {path}")
    data = path.read_bytes()
    try:
        if data[:2] == b"\x1f\x8b":  # how every gzip file begins
            data = gzip.decompress(data)
        return text_of(path, data)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a vocabulary: {error}") from error
