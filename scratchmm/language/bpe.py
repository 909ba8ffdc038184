"""Byte-pair encoding: start from bytes and give the most frequent neighbours a token of their own.

Papers: Neural Machine Translation of Rare Words with Subword Units, arXiv 1508.07909, algorithm 1
(the merges); Language Models are Unsupervised Multitask Learners (Radford et al. 2019, GPT-2),
section 2.2 (over bytes, so that no text is ever unknown).

Symbols are strings over 256 printable characters that stand for bytes (`cleaning.byte_symbols`),
as in the published files: "Ġred" is " red". A word is a sequence of symbols, a merge is a pair of
them, a token is a symbol with an id. `checkpoints.vocabularies` reads those of CLIP and GPT-2.
Here the algorithms stand as one would tell them; `fast_bpe.py` does the same for long words and
large texts. Dimensions: B batch, T text tokens.

Differs from the paper:
- Ties are settled: of pairs equally frequent the smallest, as strings compare, is merged first.
- A text is only text: "<|endoftext|>" written in it is spelled out unless `allow_special` is set.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from scratchmm.files import atomic_write, read_json
from scratchmm.language.cleaning import as_text, base_symbols, symbol_bytes, word_splitter
from scratchmm.language.fast_bpe import merge_long_word, train_many_merges
from scratchmm.sentences import check_count

Pair = tuple[str, str]
START, END, PAD = "<|startoftext|>", "<|endoftext|>", "<|pad|>"
FORMAT = "scratchmm byte-pair encoding 1"
CACHED = 65_536  # words whose tokens are remembered
LONG = 64  # symbols; from here on a word is merged by the version that needs no n * n steps
LARGE = 2_000_000  # symbols to count over all merges; from here on training uses the fast version


def replace_pair(symbols: Sequence[str], pair: Pair) -> list[str]:
    """Return the symbols with every occurrence of the pair joined, from left to right.

    >>> replace_pair(["a", "a", "a", "b"], ("a", "a"))
    ['aa', 'a', 'b']
    """
    joined: list[str] = []
    place = 0
    while place < len(symbols):
        if tuple(symbols[place : place + 2]) == pair:
            joined.append(pair[0] + pair[1])
            place += 2
        else:
            joined.append(symbols[place])
            place += 1
    return joined


def train_merges(words: Mapping[tuple[str, ...], int], count: int) -> list[Pair]:
    """Learn merges: `count` times join the pair of neighbouring symbols that is most frequent.

    `words` gives each word, a tuple of symbols, its frequency, at least 1. Of pairs equally
    frequent the smallest is taken, as tuples compare. If every word has become one symbol, fewer
    merges come back. `fast_bpe.train_many_merges` gives the same without counting anew each time.
    Source: arXiv 1508.07909, algorithm 1.

    >>> train_merges({("l", "o", "w"): 5, ("l", "o", "t"): 2, ("n", "o", "w"): 4}, 2)
    [('o', 'w'), ('l', 'ow')]
    """
    merges: list[Pair] = []
    spelled = [(list(word), frequency) for word, frequency in words.items()]
    while len(merges) < count:
        counts: Counter[Pair] = Counter()
        for symbols, frequency in spelled:
            for pair in pairwise(symbols):
                counts[pair] += frequency
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        spelled = [(replace_pair(symbols, best), frequency) for symbols, frequency in spelled]
    return merges


def merge_word(symbols: Sequence[str], ranks: Mapping[Pair, int]) -> list[str]:
    """Apply merges to one word: always the pair of the lowest rank, all its occurrences at once.

    `ranks` gives a pair its place in the list of merges; the earliest merge goes first, wherever
    it stands in the word. Source: arXiv 1508.07909, section 3.2.

    >>> merge_word("abc", {("b", "c"): 0, ("a", "b"): 1})
    ['a', 'bc']
    """
    merged = list(symbols)
    while len(merged) > 1:
        best = min(pairwise(merged), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        merged = replace_pair(merged, best)
    return merged


def decode(ids: Iterable[int], vocabulary: Sequence[bytes]) -> str:
    """Return the text of token ids: their bytes joined, then read as UTF-8.

    A character may be spread over several tokens, so bytes are joined before they are read; bytes
    that are no UTF-8 become U+FFFD. An id outside the vocabulary is refused with ValueError.

    >>> decode([1, 0, 2], [b"caf", b"un ", b"\\xc3\\xa9"])
    'un café'
    """
    pieces = []
    for token in ids:
        pieces.append(vocabulary[check_token(token, len(vocabulary))])
    return b"".join(pieces).decode("utf-8", errors="replace")


def check_token(token: int, size: int) -> int:
    """Return a token id, or say that the vocabulary does not have it: Python would count -1 back."""
    if not 0 <= token < size:
        raise ValueError(f"token {token} is outside the vocabulary of {size}")
    return token


def pad_batch(
    sequences: Sequence[Sequence[int]], length: int, *, start: int, end: int, pad: int
) -> tuple[Tensor, Tensor]:
    """Put token sequences into one rectangle: start, tokens, end, padding.

    Returns tokens, int64 (B, T), and a mask, bool (B, T), True on all that is not padding, with T
    equal to `length`. A sequence that is too long loses its last tokens, never the end token. A
    length below 2 has no room for start and end and is refused (ValueError).

    >>> tokens, real = pad_batch([[5], [6, 7, 8]], 4, start=1, end=2, pad=0)
    >>> tokens.tolist(), real.tolist()[0]
    ([[1, 5, 2, 0], [1, 6, 7, 2]], [True, True, True, False])
    """
    if length < 2:
        raise ValueError(f"length {length} has no room for the start and end tokens, which need 2")
    tokens = torch.full((len(sequences), length), pad, dtype=torch.int64)  # (B, T)
    real = torch.zeros(len(sequences), length, dtype=torch.bool)  # (B, T)
    for row, sequence in enumerate(sequences):
        framed = [start, *sequence[: length - 2], end]
        tokens[row, : len(framed)] = torch.tensor(framed)
        real[row, : len(framed)] = True
    return tokens, real


class BytePairEncoding:
    """A tokenizer: text to token ids and back, with the merges it was given.

    `vocabulary` lists the symbols by id, special tokens included; `start`, `end` and `pad` are ids
    of special tokens. `style` is how a text is cut into words (see `cleaning`): "gpt2" keeps every
    character, "clip" lower-cases, tidies and drops the spaces.

    >>> tokenizer = BytePairEncoding.train(["a red star", "a red ball"], merges=6)
    >>> [tokenizer.symbols[token] for token in tokenizer.encode("a red car")]
    ['a', 'Ġred', 'Ġ', 'c', 'ar']
    >>> tokenizer.decode(tokenizer.encode("ein rötliches Auto")), len(tokenizer)
    ('ein rötliches Auto', 265)
    """

    def __init__(
        self,
        merges: Iterable[Pair],
        vocabulary: Sequence[str],
        *,
        start: int,
        end: int,
        pad: int,
        style: str = "gpt2",
    ) -> None:
        self.words = word_splitter(style)
        self.merges, self.symbols, self.style = list(merges), list(vocabulary), style
        self.start, self.end, self.pad = start, end, pad
        special = {check_token(token, len(self.symbols)) for token in (start, end, pad)}
        self.ids = {s: token for token, s in enumerate(self.symbols) if token not in special}
        self.special = {self.symbols[token]: token for token in sorted(special)}
        for left, right in self.merges:
            if left + right not in self.ids:
                raise ValueError(f"merge {left!r} {right!r} has no token in the vocabulary")
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.vocabulary = [symbol_bytes(symbol) for symbol in self.symbols]
        self._cache: dict[tuple[str, ...], list[int]] = {}

    @classmethod
    def train(cls, texts: str | Iterable[str], merges: int, *, style: str = "gpt2") -> Self:
        """Learn up to `merges` merges from a text or several.

        Ids: the base symbols (256; in style "clip" 512), the new symbols, then start, end and pad.

        >>> len(BytePairEncoding.train("aaaa", 0)), len(BytePairEncoding.train("aaaa", 9))
        (259, 261)
        """
        if merges < 0:
            raise ValueError(f"cannot learn {merges} merges")
        check_count("merges", merges, least=0, most=2**40)
        split = word_splitter(style)
        words: Counter[tuple[str, ...]] = Counter()
        for text in [texts] if isinstance(texts, str) else texts:
            words.update(split(as_text(text)))
        small = merges * sum(map(len, words)) < LARGE
        learned = train_merges(words, merges) if small else train_many_merges(words, merges)
        # Two merges can spell the same symbol (ab+c and a+bc); it gets one id.
        symbols = dict.fromkeys([*base_symbols(style), *(left + right for left, right in learned)])
        special = {"start": len(symbols), "end": len(symbols) + 1, "pad": len(symbols) + 2}
        return cls(learned, [*symbols, START, END, PAD], style=style, **special)

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str | bytes, *, allow_special: bool = False) -> list[int]:
        """Return the token ids of a text, without start and end.

        Bytes that are no UTF-8 are kept as they are. With `allow_special` the names of special
        tokens become their ids; leave it off for text that others wrote.

        >>> BytePairEncoding.train("", 0).encode("é!".encode("latin-1"))
        [165, 0]
        """
        text = as_text(text)
        names = "|".join(re.escape(name) for name in sorted(self.special, key=len, reverse=True))
        ids: list[int] = []
        for piece in re.split(f"({names})", text) if allow_special else [text]:
            special = allow_special and piece in self.special
            ids += [self.special[piece]] if special else self._encode_plain(piece)
        return ids

    def _encode_plain(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in self.words(text):
            if len(word) >= LONG:  # not remembered: long words are rare and take room
                ids += self._word_ids(merge_long_word(word, self.ranks))
                continue
            if word not in self._cache:
                if len(self._cache) >= CACHED:
                    self._cache.clear()
                self._cache[word] = self._word_ids(merge_word(word, self.ranks))
            ids += self._cache[word]
        return ids

    def _word_ids(self, symbols: list[str]) -> list[int]:
        for symbol in symbols:
            if symbol not in self.ids:
                raise ValueError(f"the vocabulary of {len(self)} has no token for {symbol!r}")
        return [self.ids[symbol] for symbol in symbols]

    def decode(self, ids: Iterable[int] | Tensor, *, keep_special: bool = False) -> str:
        """Return the text of token ids; special tokens are left out unless they are to be kept.

        In style "gpt2" `decode(encode(text)) == text` for every text; style "clip" gives back the
        cleaned words with one space between them.
        """
        ids = ids.tolist() if isinstance(ids, Tensor) else ids
        hidden = set() if keep_special else set(self.special.values())
        text = decode([token for token in ids if token not in hidden], self.vocabulary)
        return text.removesuffix(" ") if self.style == "clip" else text

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of token ids, special tokens too; they need not be valid UTF-8.

        >>> BytePairEncoding.train("", 0).decode_bytes([64, 127])
        b'a\\xc3'
        """
        return b"".join(self.vocabulary[check_token(token, len(self))] for token in ids)

    def batch(self, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        """Return tokens, int64 (B, T), and mask, bool (B, T), True on real tokens; T is `length`.

        >>> tokens, real = BytePairEncoding.train("", 0).batch(["!", "!!!"], 4)
        >>> tokens.tolist(), real.sum(1).tolist()
        ([[256, 0, 257, 258], [256, 0, 0, 257]], [3, 4])
        """
        if isinstance(texts, str):
            raise TypeError("batch takes a list of texts, not a single str")
        ids = [self.encode(text) for text in texts]
        return pad_batch(ids, length, start=self.start, end=self.end, pad=self.pad)

    def save(self, path: str | Path) -> None:
        """Write the tokenizer to a JSON file; the file appears whole or not at all."""
        names = ("style", "start", "end", "pad", "symbols", "merges")
        content = {"format": FORMAT} | {name: getattr(self, name) for name in names}
        atomic_write(path, json.dumps(content, ensure_ascii=False))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote; anything else is refused with a ValueError."""
        try:
            content = read_json(path)
            if content["format"] != FORMAT:
                raise ValueError(f"its format is {content['format']!r}, not {FORMAT!r}")
            special = {name: int(content[name]) for name in ("start", "end", "pad")}
            merges = [(str(left), str(right)) for left, right in content["merges"]]
            symbols = [str(symbol) for symbol in content["symbols"]]
            return cls(merges, symbols, style=content["style"], **special)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a tokenizer that scratchmm saved: {error}") from error
