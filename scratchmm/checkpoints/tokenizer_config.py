"""tokenizer_config.json and its siblings beside vocab.json and merges.txt, of CLIP and GPT-2.

They name the special tokens, and tokens added later. Of BERT's: language/wordpiece_files.py.

Differs from the published code: what our tokenizer can't do is refused by key and both values.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from scratchmm.checkpoints.published_config import check_fixed, read_json
from scratchmm.language.bpe import END

CONFIG, SPECIALS_MAP = "tokenizer_config.json", "special_tokens_map.json"
ADDED, WHOLE = "added_tokens.json", "tokenizer.json"
ROLES = ("bos_token", "eos_token", "pad_token")
# Keys and the values that our tokenizer can have, the published class's default first.
FIXED: dict[str, dict[str, tuple[Any, ...]]] = {
    "clip": {
        "tokenizer_class": ("CLIPTokenizer", "CLIPTokenizerFast", None),
        "do_lower_case": (True,),
        "add_prefix_space": (False, None),
    },
    "gpt2": {
        "tokenizer_class": ("GPT2Tokenizer", "GPT2TokenizerFast", None),
        "do_lower_case": (False,),
        "add_prefix_space": (False, None),
        "add_bos_token": (False, None),
    },
}


def padding_token(folder: Path, style: str, start: str, ids: Mapping[str, int]) -> str:
    """The padding token: from the files in the folder, else `<|endoftext|>`.

    Raises ValueError, by key and both values, on special tokens or words cut otherwise than our
    tokenizer of that style does it, and on tokens that the vocabulary `ids` lacks or would cut.

    >>> padding_token(Path("nowhere"), "clip", "<|startoftext|>", {"<|endoftext|>": 0})
    '<|endoftext|>'
    """
    path, older = folder / CONFIG, folder / SPECIALS_MAP
    told = read_json(path) if path.is_file() else {}
    check_fixed(str(path), told, FIXED[style])
    said = {role: (path, _name(told[role])) for role in ROLES if role in told}
    # A table of added tokens outdoes the older file, as in transformers.
    if older.is_file() and "added_tokens_decoder" not in told:
        names = read_json(older)
        said |= {role: (older, _name(names[role])) for role in ROLES if role in names}
    for role, (where, name) in said.items():
        fixed = {"bos_token": (start, None), "eos_token": (END, None)}
        check_fixed(str(where), {role: name}, {k: v for k, v in fixed.items() if k == role})
    where, pad = said.get("pad_token", (path, None))
    pad = END if pad is None else pad
    if pad not in ids:
        raise ValueError(f"{where} says pad_token is {pad!r}, which vocab.json has not")
    known = tuple(dict.fromkeys((start, END, pad)))
    decoder = told.get("added_tokens_decoder") or {}
    _check_added(path, decoder.values() if isinstance(decoder, dict) else [decoder], known)
    if (folder / ADDED).is_file():
        _check_added(folder / ADDED, read_json(folder / ADDED), known)
    if (folder / WHOLE).is_file():
        _check_added(folder / WHOLE, read_json(folder / WHOLE).get("added_tokens") or [], known)
    return pad


def _check_added(path: Path, tokens: Iterable[Any], known: Collection[str]) -> None:
    """Refuse tokens beside the special ones: they are cut out of a text before all else."""
    for token in map(_name, tokens):
        if token not in known:
            raise ValueError(
                f"{path} adds the token {token!r}: beside {', '.join(known)} none can be added"
            )


def _name(token: Any) -> Any:
    """The name of a token, which may be written with how it is cut out."""
    return token.get("content") if isinstance(token, dict) else token
