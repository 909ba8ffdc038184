"""Wrong and other right answers to bpe.merge_word."""

import math
from itertools import pairwise

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("04_words/merge_word").exercise


def join(symbols, pair, most=math.inf):
    """The pair joined from left to right, at most so many times."""
    joined, i = [], 0
    while i < len(symbols):
        size = 2 if tuple(symbols[i : i + 2]) == pair and most > 0 else 1
        most -= size == 2
        joined.append("".join(symbols[i : i + size]))
        i += size
    return joined


def merge(symbols, ranks, choose=min, joining=join, rounds=99):
    """The loop with its knobs out, so that a wrong answer is one knob turned."""
    merged = list(symbols)
    for _ in range(rounds):
        known = [pair for pair in pairwise(merged) if pair in ranks]
        if not known:
            break
        merged = joining(merged, choose(known, key=ranks.__getitem__))
    return merged


@exercise.wrong(
    "from-the-left",
    story="the first pair that can be joined is joined, whatever its rank",
    advice="look at all neighbours and take the lowest rank, the merge learned first",
)
def from_the_left(symbols, ranks):
    return merge(symbols, ranks, lambda known, key: known[0], lambda s, pair: join(s, pair, 1))


@exercise.wrong(
    "ten-rounds",
    story="it ends after a number of rounds, though there are pairs left that have a rank",
    advice="while some pair has a rank",
)
def ten_rounds(symbols, ranks):
    return merge(symbols, ranks, rounds=10)


@exercise.wrong(
    "highest-rank",
    story="the pair of the highest rank goes first",
    advice="rank 0 was learned first and goes first: take the minimum",
)
def highest_rank(symbols, ranks):
    return merge(symbols, ranks, max)


@exercise.wrong(
    "one-merge",
    story="only one pair is joined, then the word is returned",
    advice="go on until no neighbours have a rank",
)
def one_merge(symbols, ranks):
    return merge(symbols, ranks, rounds=1)


@exercise.wrong(
    "one-pass",
    story="the merges are gone through once: what a later one makes possible is missed",
    advice="after every merge look for the lowest rank among the new neighbours",
)
def one_pass(symbols, ranks):
    merged = list(symbols)
    for pair in sorted(ranks, key=ranks.__getitem__):
        merged = join(merged, pair)
    return merged


@exercise.wrong(
    "first-only",
    story="one occurrence is joined, then the next pair is looked for",
    advice="join all occurrences of the pair before you look again",
)
def first_only(symbols, ranks):
    return merge(symbols, ranks, joining=lambda s, pair: join(s, pair, 1))


@exercise.wrong(
    "right-to-left",
    story="pairs are joined from the right: aaa becomes a aa",
    advice="join from left to right, so that aaa becomes aa a",
)
def right_to_left(symbols, ranks):
    def joining(s, pair):
        i, s = len(s) - 2, list(s)
        while i >= 0:
            if tuple(s[i : i + 2]) == pair:
                s[i : i + 2] = ["".join(pair)]
                i -= 1
            i -= 1
        return s

    return merge(symbols, ranks, joining=joining)


@exercise.wrong(
    "rank-zero-missing",
    story="rank 0 counts as no rank, because 0 is false in Python",
    advice="ask `pair in ranks`, or compare with None",
)
def rank_zero_missing(symbols, ranks):
    return merge(symbols, {pair: rank for pair, rank in ranks.items() if rank})


@exercise.wrong(
    "by-spelling",
    story="two symbols are joined when what they spell is a symbol, even if the pair has no rank",
    advice="look the pair up, not its spelling: a bc is not ab c",
)
def by_spelling(symbols, ranks):
    spelled = {}
    for pair, rank in ranks.items():
        spelled.setdefault("".join(pair), rank)
    pairs = {(s[:i], s[i:]): rank for s, rank in spelled.items() for i in range(1, len(s))}
    return merge(symbols, pairs)


@exercise.wrong(
    "longest-match",
    story="the longest known symbol is taken from the left, again and again",
    advice="that is how WordPiece cuts a word; here the merges are done in the order of their ranks",
    convention=True,
)
def longest_match(symbols, ranks):
    text, known, cut = "".join(symbols), {"".join(pair) for pair in ranks}, []
    while text:
        size = next((n for n in range(len(text), 1, -1) if text[:n] in known), 1)
        cut.append(text[:size])
        text = text[size:]
    return cut


@exercise.wrong(
    "unknown-pair",
    story="the rank of every pair is looked up as if each had one, which raises KeyError",
    advice="most neighbours have no rank: use ranks.get with something higher than all ranks",
)
def unknown_pair(symbols, ranks):
    merged = list(symbols)
    while len(merged) > 1:
        merged = join(merged, min(pairwise(merged), key=lambda pair: ranks[pair]))
    return merged


@exercise.wrong(
    "unknown-first",
    story="a pair without a rank is joined as well, so every word becomes one symbol",
    advice="stop when the best pair is not in ranks",
)
def unknown_first(symbols, ranks):
    return ["".join(symbols)] if len(symbols) else []


@exercise.wrong(
    "text",
    story="the symbols come back as one text with spaces",
    advice="return the list of symbols",
)
def as_text(symbols, ranks):
    return " ".join(merge(symbols, ranks))


@exercise.wrong(
    "in-place",
    story="the caller's list is changed",
    advice="begin with list(symbols), which is a copy",
)
def in_place(symbols, ranks):
    merged = merge(symbols, ranks)
    if isinstance(symbols, list):
        symbols[:] = merged
    return merged


@exercise.disguise("from-the-left")
def from_the_left_too(symbols, ranks):
    merged, i = list(symbols), 0
    while i < len(merged) - 1:
        if (merged[i], merged[i + 1]) in ranks:
            merged[i : i + 2] = [merged[i] + merged[i + 1]]
            i = 0
        else:
            i += 1
    return merged


@exercise.right("by rank")
def by_rank(symbols, ranks):
    return merge(symbols, ranks)


@exercise.right("recursive")
def recursive(symbols, ranks):
    found = sorted((ranks[p], p) for p in pairwise(symbols) if p in ranks)
    return recursive(join(symbols, found[0][1]), ranks) if found else list(symbols)
