"""Text to words as BERT cuts it: tidied, lower-cased for the uncased models, cut at every mark.

Paper: BERT, arXiv 1810.04805; the rules are those of its published code.

Differs from the published code:
- Characters are classed by this Python's Unicode tables; the package `tokenizers` has those of
  Unicode 8, and leaves U+2B820 to U+2B91F out of the CJK characters that the published code names.
- Characters of private use are dropped, as `tokenizers` does.
"""

import unicodedata
from functools import cache

from scratchmm.language.cleaning import as_text

# Characters that are words by themselves. Hangul, Hiragana and Katakana are written with spaces or
# in words, and are not among them.
CJK = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


def bert_words(text: str, lower: bool = True) -> list[str]:
    """Cut a text into words: at spaces, and around every punctuation mark and CJK character.

    lower: also take off accents and upper case, as uncased models need.

    >>> bert_words("Où est-il?"), bert_words("Où?", lower=False)
    (['ou', 'est', '-', 'il', '?'], ['Où', '?'])
    """
    text = "".join(map(_tidied, as_text(text)))
    if lower:
        text = "".join(map(_bare, unicodedata.normalize("NFD", text)))
    return "".join(map(_isolated, text)).split()


@cache
def _tidied(character: str) -> str:
    if character in "\t\n\r":
        return " "
    if character in "\0\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Co"):
        return ""
    code = ord(character)
    if any(first <= code <= last for first, last in CJK):
        return f" {character} "
    return " " if character.isspace() else character


@cache
def _bare(character: str) -> str:
    return "" if unicodedata.category(character) == "Mn" else character.lower()


@cache
def _isolated(character: str) -> str:
    category = unicodedata.category(character)[0]
    marks = category == "P" or (character.isascii() and category == "S")
    return f" {character} " if marks else character
