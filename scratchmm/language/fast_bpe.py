"""Byte-pair encoding for large texts and long words, without the quadratic time of the plain way.

The symbols form a linked list, and for every pair the places where it starts are kept, so that a
merge touches only its own occurrences and their neighbours. The plain versions, `train_merges` and
`merge_word`, stand in `bpe.py`; the tests hold both equal.

Paper: Neural Machine Translation of Rare Words with Subword Units, arXiv 1508.07909.

Differs from the paper: nothing; only faster.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

Pair = tuple[str, str]
NONE = -1  # no neighbour on this side


class LinkedWords:
    """All the symbols of some words in a row, each knowing its neighbours within its word.

    A joined symbol lives on at the place of its left half; the right half becomes "".

    >>> words = LinkedWords([("l", "o", "w"), ("l", "o")])
    >>> words.join(0)
    >>> words.symbols, words.after
    (['lo', '', 'w', 'l', 'o'], [2, 2, -1, 4, -1])
    """

    def __init__(self, words: Sequence[Sequence[str]]) -> None:
        self.symbols = [symbol for word in words for symbol in word]
        self.before, self.after = [], []
        first = 0
        for word in words:
            last = first + len(word) - 1
            self.before += [NONE, *range(first, last)][: len(word)]
            self.after += [*range(first + 1, last + 1), NONE][: len(word)]
            first = last + 1

    def pair(self, left: int) -> Pair | None:
        """Return the pair that starts at a place, or None at the end of a word and for NONE.

        NONE is -1 and so Python's last place, which always ends a word.
        """
        right = self.after[left]
        return None if right == NONE else (self.symbols[left], self.symbols[right])

    def join(self, left: int) -> None:
        """Join the symbol at a place with the next one."""
        right = self.after[left]
        self.symbols[left] += self.symbols[right]
        self.symbols[right] = ""
        self.after[left] = self.after[right]
        if self.after[left] != NONE:
            self.before[self.after[left]] = left


def train_many_merges(words: Mapping[tuple[str, ...], int], count: int) -> list[Pair]:
    """Do what `train_merges` does; the time grows with the number of symbols joined.

    >>> train_many_merges({("l", "o", "w"): 5, ("l", "o", "t"): 2, ("n", "o", "w"): 4}, 2)
    [('o', 'w'), ('l', 'ow')]
    """
    linked = LinkedWords(list(words))
    weights = [frequency for word, frequency in words.items() for _ in word]
    counts: Counter[Pair] = Counter()
    places: defaultdict[Pair, list[int]] = defaultdict(list)
    for start in range(len(linked.symbols)):
        if pair := linked.pair(start):
            counts[pair] += weights[start]
            places[pair].append(start)
    heap = [(-frequency, pair) for pair, frequency in counts.items()]
    heapify(heap)  # the smallest entry is the most frequent pair, of equals the smallest pair
    merges: list[Pair] = []
    while heap and len(merges) < count:
        frequency, best = heappop(heap)
        if -frequency != counts[best]:
            continue  # an old entry: the pair was pushed again when its count changed
        merges.append(best)
        changed = join_everywhere(linked, best, weights, counts, places)
        for pair in changed:
            if counts[pair]:
                heappush(heap, (-counts[pair], pair))
    return merges


def join_everywhere(
    linked: LinkedWords,
    best: Pair,
    weights: Sequence[int],
    counts: Counter[Pair],
    places: defaultdict[Pair, list[int]],
) -> set[Pair]:
    """Join every occurrence of a pair, keep counts and places true, return the pairs touched."""
    changed: set[Pair] = set()
    for left in sorted(places.pop(best)):
        if linked.pair(left) != best:
            continue  # one of the two has been joined to something else since
        before, right = linked.before[left], linked.after[left]
        for start in (before, left, right):  # the pairs that end
            if pair := linked.pair(start):
                counts[pair] -= weights[left]
                changed.add(pair)
        linked.join(left)
        for start in (before, left):  # the pairs that begin
            if pair := linked.pair(start):
                counts[pair] += weights[left]
                changed.add(pair)
                places[pair].append(start)
    return changed


def merge_long_word(symbols: Sequence[str], ranks: Mapping[Pair, int]) -> list[str]:
    """Do what `merge_word` does in time n log n, for words of thousands of symbols.

    For every rank the places where its pair starts are kept; a heap tells the lowest rank. All
    places of a rank are worked off, left to right, before a pair that this creates has its turn.

    >>> merge_long_word("abcab", {("b", "c"): 0, ("a", "b"): 1})
    ['a', 'bc', 'ab']
    """
    linked = LinkedWords([symbols])
    places: defaultdict[int, list[int]] = defaultdict(list)
    for start, pair in enumerate(pairwise(symbols)):
        if pair in ranks:
            places[ranks[pair]].append(start)
    heap = list(places)
    heapify(heap)
    while heap:
        rank = heappop(heap)
        for left in sorted(places.pop(rank)):
            found = linked.pair(left)
            if found is None or ranks.get(found) != rank:
                continue  # one of the two has been joined to something else since
            linked.join(left)
            for start in (linked.before[left], left):  # the pairs that begin
                found = linked.pair(start)
                if found and found in ranks:
                    if ranks[found] not in places:
                        heappush(heap, ranks[found])
                    places[ranks[found]].append(start)
    return [symbol for symbol in linked.symbols if symbol]
