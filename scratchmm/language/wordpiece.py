"""WordPiece: a word is cut into the longest pieces that the vocabulary has, from left to right.

"##" marks a piece that goes on a word: "embeddings" may become em ##bed ##ding ##s. A word that
cannot be cut so is [UNK], unknown.

Papers: Japanese and Korean Voice Search (Schuster and Nakajima 2012, no arXiv id), section 3, on
how pieces are learned; BERT, arXiv 1810.04805, and its published code, on how a text is cut.
Dimensions: B batch, T text tokens.
Differs from the paper:
- A merge is scored by the exact rise of the log-likelihood of a unigram model, without retraining
  anything; ties go to the smallest pair. How a text is cut into words: bert_words.py.
- A text is only text: "[MASK]" written in it is spelled out unless `allow_special` is set.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor

from scratchmm.files import atomic_write
from scratchmm.language.bert_words import bert_words
from scratchmm.language.bpe import CACHED, Pair, check_token, replace_pair
from scratchmm.language.wordpiece_files import agreed_case, read_pieces
from scratchmm.sentences import check_count

PAD, UNKNOWN, START, END, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
INSIDE = "##"  # before a piece that goes on a word
LONGEST = 100  # characters; a longer word is unknown


def longest_pieces(word: str, vocabulary: Collection[str]) -> list[str]:
    """Cut a word, each time taking the longest piece there is; [UNK] if at any place there is none.

    >>> longest_pieces("stars", {"s", "st", "##a", "##ar", "##rs", "##s"})
    ['st', '##ar', '##s']
    >>> longest_pieces("start", {"s", "st", "##a", "##ar", "##rs", "##s"})
    ['[UNK]']
    """
    pieces: list[str] = []
    start = 0
    while start < len(word):
        mark = INSIDE if start else ""
        for end in range(len(word), start, -1):
            if mark + word[start:end] in vocabulary:
                break
        else:
            return [UNKNOWN]
        pieces.append(mark + word[start:end])
        start = end
    return pieces


def train_pieces(words: Mapping[str, int], count: int) -> list[str]:
    """Learn up to `count` pieces: always join the pair that makes the words most likely.

    `words` gives each word its frequency. How likely: every piece is drawn independently, as often
    as it occurs, so that the words' log-likelihood is the sum of n log(n / N) over all pieces, n
    of each among N. Fewer come back where no join makes the words more likely. Counts anew for
    every piece: thousands of different words take minutes.

    >>> train_pieces({"low": 5, "lot": 2, "now": 4}, 2)
    ['##ow', '##ot']
    """
    learned: list[str] = []
    spelled = [(_characters(word), frequency) for word, frequency in words.items()]
    while len(learned) < count:
        pieces: Counter[str] = Counter()
        pairs: Counter[Pair] = Counter()
        for symbols, frequency in spelled:
            for symbol in symbols:
                pieces[symbol] += frequency
            for pair in _pairs(symbols):
                pairs[pair] += frequency
        total = pieces.total()
        gains = {p: likelihood_gain(p, times, pieces, total) for p, times in pairs.items()}
        best = min(gains, key=lambda pair: (-gains[pair], pair), default=None)
        if best is None or gains[best] <= 0:
            break
        spelled = [(_joined(symbols, best), frequency) for symbols, frequency in spelled]
        learned.append(join(best))
    return list(dict.fromkeys(learned))


def likelihood_gain(pair: Pair, times: int, pieces: Mapping[str, int], total: int) -> float:
    """How much the log-likelihood rises if a pair, found `times` times, becomes one piece.

    With f(n) = n log n the log-likelihood is the sum of f(n) over the pieces, minus f(total).

    >>> round(likelihood_gain(("a", "##b"), 2, {"a": 2, "##b": 2}, 4) / math.log(2))  # bits
    4
    """
    before = {piece: pieces.get(piece, 0) for piece in {*pair, join(pair)}}
    after = Counter(before)
    for piece in pair:
        after[piece] -= times
    after[join(pair)] += times
    gain = sum(map(_n_log_n, after.values())) - sum(map(_n_log_n, before.values()))
    return gain + _n_log_n(total) - _n_log_n(total - times)


def join(pair: Pair) -> str:
    """The piece that two neighbours become.

    >>> join(("##a", "##bc"))
    '##abc'
    """
    return pair[0] + pair[1].removeprefix(INSIDE)


class WordBatch(NamedTuple):
    """Texts in one rectangle, in the order a BERT takes them."""

    tokens: Tensor  # int64 (B, T)
    real: Tensor  # bool (B, T), True on all that is not padding
    types: Tensor  # int64 (B, T), 1 on the second text of a pair


class WordPiece:
    """A tokenizer: text to token ids and back, with the pieces it was given.

    `vocabulary` lists the pieces by id, and with them [PAD], [UNK], [CLS], [SEP] and [MASK], whose
    ids are `pad`, `unknown`, `start`, `end` and `mask`. lower: as `bert_words`.

    >>> tokenizer = WordPiece.train(["a red star", "a red ball"], merges=4)
    >>> [tokenizer.symbols[token] for token in tokenizer.encode("A red, bad star")]
    ['a', 'red', '[UNK]', 'b', '##a', '##d', 'st', '##ar']
    >>> tokenizer.decode(tokenizer.encode("red ball"))
    'red ball'
    """

    def __init__(self, vocabulary: Sequence[str], *, lower: bool = True) -> None:
        self.symbols, self.lower = list(vocabulary), lower
        self.ids = {symbol: token for token, symbol in enumerate(self.symbols)}
        missing = [name for name in SPECIAL if name not in self.ids]
        if missing:
            raise ValueError(f"the vocabulary of {len(self)} has no {' and no '.join(missing)}")
        self.special = {name: self.ids[name] for name in SPECIAL}
        self.pad, self.unknown, self.start, self.end, self.mask = self.special.values()
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def train(cls, texts: str | Iterable[str], merges: int, *, lower: bool = True) -> Self:
        """Learn up to `merges` pieces beyond single characters from a text or several.

        Ids: the special tokens, every character, every character inside a word, then the pieces.
        """
        if merges < 0:
            raise ValueError(f"cannot learn {merges} merges")
        check_count("merges", merges, least=0, most=2**40)
        words: Counter[str] = Counter()
        for text in [texts] if isinstance(texts, str) else texts:
            words.update(bert_words(text, lower))
        alphabet = sorted({character for word in words for character in word})
        inside = [INSIDE + character for character in alphabet]
        symbols = [*SPECIAL, *alphabet, *inside, *train_pieces(words, merges)]
        return cls(list(dict.fromkeys(symbols)), lower=lower)

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Return the token ids of a text, without [CLS] and [SEP].

        With `allow_special` the names of special tokens become their ids, "[MASK]" among them;
        leave it off for text that others wrote.
        """
        names = "|".join(map(re.escape, SPECIAL))
        ids: list[int] = []
        for part in re.split(f"({names})", text) if allow_special else [text]:
            if allow_special and part in self.special:
                ids.append(self.special[part])
                continue
            for word in bert_words(part, self.lower):
                ids += self._word_ids(word)
        return ids

    def _word_ids(self, word: str) -> list[int]:
        if len(word) > LONGEST:
            return [self.unknown]
        if word not in self._cache:
            if len(self._cache) >= CACHED:
                self._cache.clear()
            self._cache[word] = [self.ids[piece] for piece in longest_pieces(word, self.ids)]
        return self._cache[word]

    def decode(self, ids: Iterable[int] | Tensor, *, keep_special: bool = False) -> str:
        """Return the words of token ids, one space between them; special tokens are left out."""
        ids = ids.tolist() if isinstance(ids, Tensor) else ids
        symbols = [self.symbols[check_token(token, len(self))] for token in ids]
        kept = [symbol for symbol in symbols if keep_special or symbol not in self.special]
        return " ".join(kept).replace(f" {INSIDE}", "")

    def batch(
        self, texts: Sequence[str], length: int, seconds: Sequence[str] | None = None
    ) -> WordBatch:
        """Return [CLS] text [SEP] in rows of `length`, with `seconds` [CLS] text [SEP] second [SEP].

        What is too long is cut: of a pair first the longer text, down to the other's length.

        >>> tokenizer = WordPiece([*SPECIAL, "a", "b"])
        >>> batch = tokenizer.batch(["a"], 6, seconds=["b b b"])
        >>> batch.tokens.tolist(), batch.types.tolist()
        ([[2, 5, 3, 6, 6, 3]], [[0, 0, 0, 1, 1, 1]])
        """
        if isinstance(texts, str) or isinstance(seconds, str):
            raise TypeError("batch takes lists of texts, not a single str")
        if seconds is not None and len(seconds) != len(texts):
            raise ValueError(f"there are {len(texts)} texts, but {len(seconds)} second texts")
        frame = 2 if seconds is None else 3
        if length < frame:
            raise ValueError(f"length {length} has no room for [CLS] and [SEP], which need {frame}")
        tokens = torch.full((len(texts), length), self.pad, dtype=torch.int64)  # (B, T)
        real = torch.zeros(len(texts), length, dtype=torch.bool)  # (B, T)
        types = torch.zeros_like(tokens)  # (B, T)
        for row, text in enumerate(texts):
            first = self.encode(text)
            second = [] if seconds is None else self.encode(seconds[row])
            keep, keep_second = share_room(len(first), len(second), length - frame)
            framed = [self.start, *first[:keep], self.end]
            middle = len(framed)
            if seconds is not None:
                framed += [*second[:keep_second], self.end]
            tokens[row, : len(framed)] = torch.tensor(framed)
            real[row, : len(framed)] = True
            types[row, middle : len(framed)] = 1
        return WordBatch(tokens, real, types)

    def save(self, path: str | Path) -> None:
        """Write the pieces as a `vocab.txt`, one a line; it appears whole or not at all."""
        atomic_write(path, "".join(f"{symbol}\n" for symbol in self.symbols))

    @classmethod
    def load(cls, path: str | Path, *, lower: bool | None = None) -> Self:
        """Read a published `vocab.txt` or `tokenizer.json`, or the folder it lies in.

        lower: None: as the `tokenizer_config.json` or `tokenizer.json` beside it says, and lower-cased
        where there is neither. A text's longest length, which they may say too, is told to `batch`.
        Raises FileNotFoundError, or ValueError with the file's name, its key and both values where
        the files say what can't be done here or other than `lower`, and where nothing says how a
        vocabulary with capitals is read. See wordpiece_files.py.
        """
        try:
            symbols, path = read_pieces(path)
            tokenizer = cls(symbols)
        except ValueError as error:
            raise ValueError(f"{path} is not a WordPiece vocabulary: {error}") from error
        tokenizer.lower = agreed_case(path.parent, symbols, lower)
        return tokenizer


def share_room(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of two texts are kept: the longer is cut first, then both by halves.

    >>> share_room(2, 9, 8), share_room(9, 9, 7)
    ((2, 6), (3, 4))
    """
    shorter = min(first, second, room // 2)
    longer = min(max(first, second), room - shorter)
    return (shorter, longer) if first <= second else (longer, shorter)


def _characters(word: str) -> list[str]:
    return [INSIDE * (place > 0) + character for place, character in enumerate(word)]


def _joined(symbols: list[str], pair: Pair) -> list[str]:
    plain = replace_pair(symbols, pair)
    return [join(pair) if symbol == pair[0] + pair[1] else symbol for symbol in plain]


def _pairs(symbols: Sequence[str]) -> list[Pair]:
    """Neighbours; of overlapping ones, as in a a a, those that joining would find."""
    found: list[Pair] = []
    for pair in pairwise(symbols):
        overlaps = found and found[-1] == pair and pair[0] == pair[1]
        found.append(("", "") if overlaps else pair)
    return [pair for pair in found if pair[0]]


def _n_log_n(count: int) -> float:
    return count * math.log(count) if count else 0.0
