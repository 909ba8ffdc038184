"""A published WordPiece vocabulary, and what lies beside it that says how texts are cut.

`vocab.txt` lists pieces and does not say whether words are lower-cased before they are looked up: read
the wrong way, every capital and every accent becomes [UNK] or another word, without an error. It
stands in `tokenizer_config.json` and, since there is the library tokenizers, in `tokenizer.json`,
which holds the pieces too.

Paper: BERT, arXiv 1810.04805; the files are those of the transformers library.
Differs from the published code: what this tokenizer does one way only must be said so there, or is
refused: accents taken off exactly where case is, CJK characters cut one by one, the names of the
five special tokens, and no further tokens.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from scratchmm.file_kinds import text_of
from scratchmm.files import read_json

VOCABULARY, SETTINGS, WHOLE = "vocab.txt", "tokenizer_config.json", "tokenizer.json"
SPECIALS_MAP, ADDED = "special_tokens_map.json", "added_tokens.json"
# Tokenizers that cut as BERT's does, and those that leave it to tokenizer.json.
LIKE_BERT = ("Bert", "DistilBert", "Electra", "Lxmert", "MobileBert", "SqueezeBert")
CLASSES = tuple(f"{name}Tokenizer{fast}" for name in LIKE_BERT for fast in ("", "Fast"))
ANY = ("PreTrainedTokenizerFast", "TokenizersBackend")
ROLES = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def read_pieces(path: str | Path) -> tuple[list[str], Path]:
    """The pieces by id, and the file that they were read from: a vocab.txt or a tokenizer.json.

    path: either file, or the folder it lies in; where it has both, the vocab.txt. Empty lines at its
    end are no pieces. Raises FileNotFoundError, or ValueError that names the file.

    >>> read_pieces("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: there is no vocabulary file nowhere
    """
    path = Path(path)
    if path.is_dir():
        whole = path / WHOLE
        path = whole if whole.is_file() and not (path / VOCABULARY).is_file() else path / VOCABULARY
    if not path.is_file():
        raise FileNotFoundError(f"there is no vocabulary file {path}")
    if path.suffix != ".json":
        return text_of(path).replace("\r\n", "\n").rstrip("\n").split("\n"), path
    pieces = _part(_settings(path), "model", path).get("vocab")
    if not isinstance(pieces, dict) or not _counts_up(pieces.values()):
        raise ValueError(f"{path} does not give its pieces the ids 0, 1, 2 and so on")
    return sorted(pieces, key=pieces.__getitem__), path


def agreed_case(folder: Path, pieces: Collection[str], lower: bool | None = None) -> bool:
    """Whether texts are lower-cased: as the files in the folder say, and as given.

    Where neither does, they are, unless the pieces have capitals. Raises ValueError on files that
    say what this tokenizer can't do, or other than what is given; it names the key and both values.

    >>> agreed_case(Path("nowhere"), ["[CLS]", "a"]), agreed_case(Path("nowhere"), ["A"], False)
    (True, False)
    >>> agreed_case(Path("nowhere"), ["[CLS]", "Berlin"])
    Traceback (most recent call last):
    ValueError: the pieces have capitals, as 'Berlin', and no tokenizer_config.json says how they \
are read: give lower=False, or lower=True if no text shall find them
    """
    said = [*_in_settings(folder, pieces), *_in_whole(folder, pieces)]
    for where, value in said:
        if lower is not None and value != lower:
            raise ValueError(f"{where} is {value}, but lower={lower} is given")
    if len({value for _, value in said}) > 1:
        raise ValueError(" and ".join(f"{where} is {value}" for where, value in said))
    if lower is not None or said:
        return said[0][1] if said else bool(lower)
    capital = next((one for one in pieces if re.search("[A-Z]", one) and one[0] != "["), None)
    if capital is not None:
        raise ValueError(
            f"the pieces have capitals, as {capital!r}, and no {SETTINGS} says how they are read: "
            "give lower=False, or lower=True if no text shall find them"
        )
    return True


def _in_settings(folder: Path, pieces: Collection[str]) -> list[tuple[str, bool]]:
    """What tokenizer_config.json says of case, and the file that says it; nothing without one."""
    path = folder / SETTINGS
    told = _settings(path) if path.is_file() else {}
    names = {role: (path, told[role]) for role in ROLES if role in told}
    older = folder / SPECIALS_MAP  # outdone by a table of added tokens, as in transformers
    if older.is_file() and "added_tokens_decoder" not in told:
        said = _settings(older)
        names |= {role: (older, said[role]) for role in ROLES if role in said}
    for role, (where, name) in names.items():
        _must_be(f"{where} says {role}", _name(name), (ROLES[role], None))
    if (folder / ADDED).is_file():
        _check_added(folder / ADDED, _settings(folder / ADDED), pieces)
    decoder = told.get("added_tokens_decoder", {})
    _check_added(path, decoder.values() if isinstance(decoder, dict) else [decoder], pieces)
    if not path.is_file():
        return []
    lower = told.get("do_lower_case", True)
    fixed: dict[str, tuple[Any, ...]] = {
        "tokenizer_class": (*CLASSES, *ANY, None),
        "do_lower_case": (True, False),
        "tokenize_chinese_chars": (True,),
        "do_basic_tokenize": (True,),
        "never_split": (None, []),
        "strip_accents": (None, lower),
    }
    for key, allowed in fixed.items():
        _must_be(f"{path} says {key}", told.get(key, allowed[0]), allowed)
    silent = told.get("tokenizer_class") in ANY and "do_lower_case" not in told
    return [] if silent else [(f"{path} says do_lower_case", lower)]


def _in_whole(folder: Path, pieces: Collection[str]) -> list[tuple[str, bool]]:
    """What tokenizer.json says of case, and the file that says it; nothing without one."""
    path = folder / WHOLE
    if not path.is_file():
        return []
    told = _settings(path)
    model, normalizer = _part(told, "model", path), _part(told, "normalizer", path)
    lower = normalizer.get("lowercase", True)
    for part, key, allowed in (
        (model, "type", ("WordPiece",)),
        (model, "unk_token", ("[UNK]",)),
        (model, "continuing_subword_prefix", ("##",)),
        (model, "max_input_chars_per_word", (100,)),
        (normalizer, "type", ("BertNormalizer",)),
        (normalizer, "clean_text", (True,)),
        (normalizer, "handle_chinese_chars", (True,)),
        (normalizer, "lowercase", (True, False)),
        (normalizer, "strip_accents", (None, lower)),
        (_part(told, "pre_tokenizer", path), "type", ("BertPreTokenizer",)),
    ):
        where = (
            "model" if part is model else "normalizer" if part is normalizer else "pre_tokenizer"
        )
        _must_be(f"{path} says {where}.{key}", part.get(key, allowed[0]), allowed)
    _check_added(path, told.get("added_tokens") or [], pieces)
    return [(f"{path} says normalizer.lowercase", lower)]


def _check_added(path: Path, tokens: Collection[Any], pieces: Collection[str]) -> None:
    """Refuse tokens beside the special ones: they are cut out of a text before all else."""
    for token in map(_name, tokens):
        if token not in ROLES.values():
            known = "has" if token in pieces else "has not"
            raise ValueError(
                f"{path} adds the token {token!r}, which the vocabulary {known}: beside "
                f"{', '.join(ROLES.values())} none can be added"
            )


def _counts_up(ids: Collection[Any]) -> bool:
    return all(type(token) is int for token in ids) and sorted(ids) == list(range(len(ids)))


def _name(token: Any) -> Any:
    """The name of a token, which may be written with how it is cut out."""
    return token.get("content") if isinstance(token, dict) else token


def _must_be(where: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if not any(value == one and type(value) is type(one) for one in allowed):
        possible = " or ".join(dict.fromkeys(map(repr, allowed)))
        raise ValueError(f"{where} is {value!r}, and this tokenizer can only have {possible}")


def _settings(path: Path) -> dict[str, Any]:
    told = read_json(path)
    if not isinstance(told, dict):
        raise ValueError(f"{path} holds a {type(told).__name__} and no settings by key")
    return told


def _part(told: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    part = told.get(key)
    if not isinstance(part, dict):
        raise ValueError(f"{path} says {key} is {part!r}, which are no settings by key")
    return part
