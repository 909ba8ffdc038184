"""Text to words to byte symbols: what happens to a text before byte-pair encoding sees it.

A byte-pair encoding never merges across words, so the rule that cuts a text into words is part of
the model. GPT-2 keeps everything and glues a space to the word after it; CLIP lower-cases, tidies
and forgets the spaces. Both then spell a word in 256 printable symbols, one for each byte.

Papers: Language Models are Unsupervised Multitask Learners (Radford et al. 2019, GPT-2, no arXiv
id), section 2.2; Learning Transferable Visual Models From Natural Language Supervision, arXiv
2103.00020 (CLIP), section 2.4. The patterns are those of the published code.

Differs from the published code:
- CLIP first runs the package `ftfy`, which repairs broken encodings, straightens curly quotes and
  takes ligatures apart. Of that only its last step is done here, the Unicode normal form NFC.
- Letters and numbers are those of this Python's Unicode tables (version 14 in Python 3.11);
  characters that are younger count as neither.
- CLIP's pattern, which ignores case, loses the one combining mark U+0345; here it is kept.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from sys import maxunicode

# The property White_Space of Unicode. Python's own \s also holds the controls 1C to 1F.
WHITE_SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
WORD_END = "</w>"  # CLIP marks the last symbol of a word with it


def byte_symbols() -> list[str]:
    """Return 256 printable characters, one for each byte, in the order of the published ids.

    Bytes that print as themselves in Latin-1 come first and stand for themselves; the other 68
    take the characters from U+0100 on, so that no symbol is a space or a control.

    >>> symbols = byte_symbols()
    >>> symbols[0], symbols[32], symbols[188], len(set(symbols))
    ('!', 'A', 'Ā', 256)
    """
    return [byte_to_symbol()[byte] for byte in byte_to_symbol()]


@cache
def byte_to_symbol() -> dict[int, str]:
    """Return the map from byte to symbol; its order is that of the published ids.

    >>> byte_to_symbol()[ord("a")], byte_to_symbol()[ord(" ")]
    ('a', 'Ġ')
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbols = {byte: chr(byte) for byte in printable}
    others = [byte for byte in range(256) if byte not in symbols]
    return symbols | {byte: chr(0x100 + place) for place, byte in enumerate(others)}


@cache
def symbol_to_byte() -> dict[str, int]:
    """Return the map from symbol to byte, the inverse of `byte_to_symbol`.

    >>> symbol_to_byte()["Ġ"] == ord(" ")
    True
    """
    return {symbol: byte for byte, symbol in byte_to_symbol().items()}


def as_text(text: str | bytes) -> str:
    """Return a text that can be spelled; bytes that are no UTF-8 become lone surrogates.

    >>> as_text(5)
    Traceback (most recent call last):
    TypeError: a text must be str or bytes, not int
    """
    if isinstance(text, bytes):
        return text.decode("utf-8", "surrogateescape")  # PEP 383; `spell` undoes it
    if not isinstance(text, str):
        raise TypeError(f"a text must be str or bytes, not {type(text).__name__}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"{text[error.start]!r} at {error.start}"
        raise ValueError(f"the text holds half a surrogate pair, {half}") from error
    return text


def spell(word: str) -> tuple[str, ...]:
    """Return the UTF-8 bytes of a word as symbols.

    >>> spell(" né")
    ('Ġ', 'n', 'Ã', '©')
    """
    symbols = byte_to_symbol()
    return tuple(symbols[byte] for byte in word.encode("utf-8", "surrogateescape"))


def base_symbols(style: str) -> list[str]:
    """Return the symbols a vocabulary starts from: the bytes and, for CLIP, the bytes that end words.

    >>> len(base_symbols("gpt2")), base_symbols("clip")[256]
    (256, '!</w>')
    """
    symbols = byte_symbols()
    return symbols + [symbol + WORD_END for symbol in symbols] if style == "clip" else symbols


def symbol_bytes(symbol: str) -> bytes:
    """Return the bytes a symbol stands for; the end of a word is a space.

    >>> symbol_bytes("Ġred"), symbol_bytes("star</w>"), symbol_bytes("<|endoftext|>")
    (b' red', b'star ', b'<|endoftext|>')
    """
    table = symbol_to_byte()
    plain = symbol.removesuffix(WORD_END)
    if not all(character in table for character in plain):
        return symbol.encode()  # a special token may be named as one likes
    return bytes(table[character] for character in plain) + b" " * (plain != symbol)


@cache
def character_class(major: str) -> str:
    r"""Return the characters of a major Unicode category as ranges inside a regex's brackets.

    `major` is "L" for letters or "N" for numbers: what `\p{L}` and `\p{N}` mean in pattern
    languages that have them; the module `re` does not. Takes a tenth of a second, once.

    >>> bool(re.fullmatch(f"[{character_class('N')}]+", "7½Ⅷ"))
    True
    """
    runs = re.finditer(f"{major}+", major_categories())
    return "".join(f"\\U{run.start():08x}-\\U{run.end() - 1:08x}" for run in runs)


@cache
def major_categories() -> str:
    """The first letter of the Unicode category of every character, at the place of its number.

    >>> [major_categories()[ord(character)] for character in "a7! "]
    ['L', 'N', 'P', 'Z']
    """
    return "".join(unicodedata.category(chr(code))[0] for code in range(maxunicode + 1))


@cache
def gpt2_pattern() -> re.Pattern[str]:
    """Return GPT-2's pattern: every character of a text falls into exactly one match.

    >>> gpt2_pattern().findall("I've  2 cats")
    ['I', "'ve", ' ', ' 2', ' cats']
    """
    letter, number = character_class("L"), character_class("N")
    return re.compile(
        f"{CONTRACTIONS}| ?[{letter}]+| ?[{number}]+| ?[^{WHITE_SPACE}{letter}{number}]+"
        f"|[{WHITE_SPACE}]+(?![^{WHITE_SPACE}])|[{WHITE_SPACE}]+"
    )


@cache
def clip_pattern() -> re.Pattern[str]:
    """Return CLIP's pattern: words, single digits, runs of other signs; no spaces.

    >>> clip_pattern().findall("it's 42 cats!?")
    ['it', "'s", '4', '2', 'cats', '!?']
    """
    letter, number = character_class("L"), character_class("N")
    # OpenAI's pattern ignores case, which after lower-casing only touches the contractions.
    return re.compile(
        f"(?i:{CONTRACTIONS})|[{letter}]+|[{number}]|[^{WHITE_SPACE}{letter}{number}]+"
    )


def clean(text: str) -> str:
    """Return a text as CLIP reads it: normal form NFC, HTML undone twice, one space, lower case.

    >>> clean("  Fish &amp;amp; CHIPS\\n ")
    'fish & chips'
    """
    text = unicodedata.normalize("NFC", text)
    text = html.unescape(
        html.unescape(text)
    ).strip()  # twice: scraped captions are often escaped so
    return re.sub(f"[{WHITE_SPACE}]+", " ", text).strip().lower()


def gpt2_words(text: str) -> list[tuple[str, ...]]:
    """Return the words of a text in symbols as GPT-2 cuts it; nothing is lost.

    >>> ["".join(word) for word in gpt2_words("a red star")]
    ['a', 'Ġred', 'Ġstar']
    """
    return [spell(word) for word in gpt2_pattern().findall(text)]


def clip_words(text: str) -> list[tuple[str, ...]]:
    """Return the words of a cleaned text in symbols as CLIP cuts it, each closed by `</w>`.

    >>> clip_words("A cat")
    [('a</w>',), ('c', 'a', 't</w>')]
    """
    spelled = [spell(word) for word in clip_pattern().findall(clean(text))]
    return [(*symbols[:-1], symbols[-1] + WORD_END) for symbols in spelled]


def word_splitter(style: str) -> Callable[[str], list[tuple[str, ...]]]:
    """Return the function that cuts a text into words: style "gpt2" or "clip".

    >>> word_splitter("gpt2") is gpt2_words
    True
    """
    styles = {"gpt2": gpt2_words, "clip": clip_words}
    if style not in styles:
        raise ValueError(f"style {style!r} is not one of {', '.join(styles)}")
    return styles[style]
