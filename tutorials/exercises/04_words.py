"""Exercises of lesson 04, words.

Write each body in place of its `raise`, in any order. Every answer keeps the dtype and the
device of what it is handed, gives a sample alone what it gives it among others, reads memory
in any order, keeps nothing from one call to the next and changes nothing around it, wherever
the library does so too. Then, from the folder above this one:
    python -m scratchmm learn check     what is right, and which mistake the rest looks like
    python -m scratchmm learn hint ID   a hint, and a little more of it each time
    python -m doctest exercises/04_words.py   its examples; silent if right
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from scratchmm.language.bpe import Pair, check_token, replace_pair
from scratchmm.language.text_transformer import check_ends


# bpe.train_merges: Learn what to merge. 20 minutes, difficulty 2 of 5. In the lesson: "2. Which two
# symbols would you join first?". Without scratchmm.language.fast_bpe.train_many_merges,
# scratchmm.language.bpe.train_many_merges.
# Given:
# - replace_pair(symbols: Sequence[str], pair: Pair) -> list[str]
#     Return the symbols with every occurrence of the pair joined, from left to right.
def train_merges(words: Mapping[tuple[str, ...], int], count: int) -> list[Pair]:
    """Learn merges: `count` times join the pair of neighbouring symbols that is most frequent.

    `words` gives each word, a tuple of symbols, its frequency, at least 1. Of pairs equally
    frequent the smallest is taken, as tuples compare. If every word has become one symbol, fewer
    merges come back. `fast_bpe.train_many_merges` gives the same without counting anew each time.
    Source: arXiv 1508.07909, algorithm 1.

    >>> train_merges({("l", "o", "w"): 5, ("l", "o", "t"): 2, ("n", "o", "w"): 4}, 2)
    [('o', 'w'), ('l', 'ow')]
    """
    raise NotImplementedError(
        "bpe.train_merges: count times the most frequent pair of neighbours, ties to the smallest; "
        "a list of pairs"
    )


# bpe.merge_word: Merge a word. 15 minutes, difficulty 2 of 5. In the lesson: "3. Learn the tokens
# of our world". Comes after bpe.train_merges. Without scratchmm.language.fast_bpe.merge_long_word,
# scratchmm.language.bpe.merge_long_word.
def merge_word(symbols: Sequence[str], ranks: Mapping[Pair, int]) -> list[str]:
    """Apply merges to one word: always the pair of the lowest rank, all its occurrences at once.

    `ranks` gives a pair its place in the list of merges; the earliest merge goes first, wherever
    it stands in the word. Source: arXiv 1508.07909, section 3.2.

    >>> merge_word("abc", {("b", "c"): 0, ("a", "b"): 1})
    ['a', 'bc']
    """
    raise NotImplementedError(
        "bpe.merge_word: while some pair has a rank: join the pair of the lowest rank, all its "
        "occurrences at once"
    )


# bpe.decode: Tokens back to text. 10 minutes, difficulty 1 of 5. In the lesson: "4. What is a
# larger vocabulary worth?".
# Given:
# - check_token(token: int, size: int) -> int
#     Return a token id, or say that the vocabulary does not have it: Python would count -1 back.
def decode(ids: Iterable[int], vocabulary: Sequence[bytes]) -> str:
    """Return the text of token ids: their bytes joined, then read as UTF-8.

    A character may be spread over several tokens, so bytes are joined before they are read; bytes
    that are no UTF-8 become U+FFFD. An id outside the vocabulary is refused with ValueError.

    >>> decode([1, 0, 2], [b"caf", b"un ", b"\\xc3\\xa9"])
    'un café'
    """
    raise NotImplementedError(
        "bpe.decode: join the bytes of all tokens, then decode them as UTF-8; U+FFFD for what is "
        "none"
    )


# bpe.pad_batch: A rectangle of tokens. 15 minutes, difficulty 2 of 5. In the lesson: "5. A batch of
# tokens". Comes after bpe.decode.
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
    raise NotImplementedError(
        "bpe.pad_batch: start, tokens, end, padding: int64 (B, length), and a mask, True on all "
        "but padding"
    )


# text_transformer.pool_at_end: Read at the end. 10 minutes, difficulty 2 of 5. In the lesson: "7.
# Train it: which token to pool?". Comes after bpe.pad_batch.
# Given:
# - check_ends(ends: Tensor, end_token: int) -> None
#     Refuse a text without an end token. ends: bool (B, T), True at end tokens.
def pool_at_end(hidden: Tensor, tokens: Tensor, end_token: int) -> Tensor:
    """The vector at each text's first end token, the only one that attends to the whole text.

    hidden: (B, T, D); tokens: int64 (B, T). Returns (B, D). A text without an end token is refused.

    >>> hidden = torch.arange(4.0).view(1, 4, 1)
    >>> pool_at_end(hidden, torch.tensor([[7, 3, 9, 9]]), end_token=9).tolist()
    [[2.0]]
    """
    raise NotImplementedError(
        "text_transformer.pool_at_end: the vector (B, D) at each text's first end token; "
        "ValueError for a text without one"
    )
