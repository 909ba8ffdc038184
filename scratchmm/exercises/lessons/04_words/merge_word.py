"""Exercise bpe.merge_word: the encoder's heart, merges applied in the order they were learned."""

from itertools import pairwise

from scratchmm.exercises.format import Exercise, exercise_file

slow = exercise_file("04_words/train_merges").slow


vocabulary = exercise_file("04_words/train_merges").vocabulary


exercise = Exercise(
    id="bpe.merge_word",
    order=20,
    target="scratchmm.language.bpe:merge_word",
    title="Merge a word",
    goal="while some pair has a rank: join the pair of the lowest rank, all its occurrences at once",
    minutes=15,
    difficulty=2,
    section="3. Learn the tokens of our world",
    needs=("bpe.train_merges",),
    forbidden=(
        "scratchmm.language.fast_bpe.merge_long_word",
        "scratchmm.language.bpe.merge_long_word",
    ),
    hints="""
        1. Take a b c with the ranks b c: 0 and a b: 1. From the left, a b could be joined first.
           But b c was learned earlier, so it goes first: a bc. Now a bc has no rank, and that is
           the answer.
        2. A new word is cut as the words of the training were: the merge that was learned first is
           done first, wherever it stands. After each one look at the neighbours again, for there
           are new ones. The lesson prints the steps of one word.
        3. Start from a list of the symbols. As long as there are two or more: find the neighbours
           whose rank is lowest (a pair without a rank counts as higher than all); if even they have
           none, stop; else join them from left to right, wherever they stand.
        4. best = min(pairwise(merged), key=lambda pair: ranks.get(pair, len(ranks))); if best not
           in ranks: break; merged = replace_pair(merged, best); the loop runs while len(merged) > 1
    """,
)


def expected(symbols, ranks):
    """The oracle: by places, one step at a time."""
    word = list(symbols)
    while True:
        found = [ranks[pair] for pair in zip(word, word[1:], strict=False) if pair in ranks]
        if not found:
            return word
        i = 0
        while i < len(word) - 1:
            if ranks.get((word[i], word[i + 1])) == min(found):
                word[i : i + 2] = [word[i] + word[i + 1]]
            i += 1


def ranked(*merges: str) -> dict[tuple[str, ...], int]:
    """Ranks from merges written "a b"."""
    return {tuple(merge.split()): rank for rank, merge in enumerate(merges)}


@exercise.holds("the pair of the lowest rank goes first, wherever it stands in the word")
def lowest(merge_word, case):
    ranks = ranked("b c", "a b", "d e", "c d", "bc de")
    for word in ("abc", "abcde", "ab", "cde"):
        case.equal(case.call(merge_word, word, ranks), expected(word, ranks), word)


@exercise.holds("a word of one symbol, of none, or without a merge stays as it is, a list")
def short(merge_word, case):
    for word in ("a", "", "ba", "xyz"):
        case.equal(case.call(merge_word, word, ranked("a b", "ab c")), list(word), repr(word))


@exercise.holds("all occurrences are joined, from left to right: aaa becomes aa a")
def occurrences(merge_word, case):
    ranks = ranked("a a", "b c", "aa b")
    for word in ("aaa", "aaab", "bcabc", "aabcaaa"):
        case.equal(case.call(merge_word, word, ranks), expected(word, ranks), word)


@exercise.holds("all occurrences are joined at once, before the next pair is looked for")
def at_once(merge_word, case):
    ranks = ranked("ab a", "a b", "ab ab")
    case.equal(case.call(merge_word, "abab", ranks), ["abab"])


@exercise.holds("a merge may make room for one of a lower rank")
def lower(merge_word, case):
    ranks = ranked("ab c", "d a", "a b", "abc e")
    case.equal(case.call(merge_word, "abce", ranks), ["abce"])
    case.equal(case.call(merge_word, "xabcdabc", ranks), expected("xabcdabc", ranks))


@exercise.holds("only a pair that has a rank is joined, not another one that spells the same")
def pairs(merge_word, case):
    ranks = ranked("b c", "ab c", "a b")
    case.equal(case.call(merge_word, "abc", ranks), ["a", "bc"])
    case.equal(case.call(merge_word, ["ab", "c", "a", "b"], ranks), ["abc", "ab"])


@exercise.holds("it goes on until no pair has a rank, however many merges that takes")
def many(merge_word, case):
    letters = "abcdefghijklmnopqrst"
    ranks = {(letters[:i], letters[i]): i for i in range(1, len(letters))}
    for word in (letters, letters + "xab"):
        case.equal(case.call(merge_word, word, ranks), expected(word, ranks), word)


@exercise.holds("the list that was given stays as it was")
def kept(merge_word, case):
    symbols = list("abab")
    case.call(merge_word, symbols, ranked("a b", "ab ab"))
    case.true(symbols == list("abab"), "the list a b a b", symbols)


@exercise.holds("words of random letters with learned merges: the same symbols as by hand")
def learned(merge_word, case):
    merges = slow(vocabulary(case, letters=3, count=12), 10)
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    for word in vocabulary(case, letters=3, count=10):
        case.equal(case.call(merge_word, word, ranks), expected(word, ranks), "".join(word))


exercise.mistakes("""
    from-the-left: the first pair that can be joined is joined, whatever its rank
    - best = min(pairwise(merged), key=lambda pair: ranks.get(pair, len(ranks)))
    + best = next((pair for pair in pairwise(merged) if pair in ranks), None)
    - merged = replace_pair(merged, best)
    + i = list(pairwise(merged)).index(best)
    + merged[i : i + 2] = ["".join(best)]
    > look at all neighbours and take the lowest rank, the merge learned first

    ten-rounds: it ends after a number of rounds, though there are pairs left that have a rank
    - while len(merged) > 1:
    + for _ in range(10):
    +     if len(merged) < 2:
    +         break
    > while some pair has a rank

    highest-rank: the pair of the highest rank goes first
    - best = min(pairwise(merged), key=lambda pair: ranks.get(pair, len(ranks)))
    + best = max(pairwise(merged), key=lambda pair: ranks.get(pair, -1))
    > rank 0 was learned first and goes first: take the minimum

    one-pass: the merges are gone through once: what a later one makes possible is missed
    - while len(merged) > 1:
    -     best = min(pairwise(merged), key=lambda pair: ranks.get(pair, len(ranks)))
    -     if best not in ranks:
    -         break
    -     merged = replace_pair(merged, best)
    + for pair in sorted(ranks, key=ranks.__getitem__):
    +     merged = replace_pair(merged, pair)
    > after every merge look for the lowest rank among the new neighbours

    first-only: one occurrence is joined, then the next pair is looked for
    - merged = replace_pair(merged, best)
    + i = list(pairwise(merged)).index(best)
    + merged[i : i + 2] = ["".join(best)]
    > join all occurrences of the pair before you look again

    right-to-left: pairs are joined from the right: aaa becomes a aa
    - merged = replace_pair(merged, best)
    + for i in range(len(merged) - 2, -1, -1):
    +     if tuple(merged[i : i + 2]) == best:
    +         merged[i : i + 2] = ["".join(best)]
    > join from left to right, so that aaa becomes aa a

    rank-zero-missing: rank 0 counts as no rank, because 0 is false in Python
    - best = min(pairwise(merged), key=lambda pair: ranks.get(pair, len(ranks)))
    + best = min(pairwise(merged), key=lambda pair: ranks.get(pair) or len(ranks))
    - if best not in ranks:
    + if not ranks.get(best):
    > ask `pair in ranks`, or compare with None

    by-spelling: two symbols are joined when what they spell is a symbol, even if the pair has no rank
    - merged = list(symbols)
    + merged, spelled = list(symbols), {}
    + for pair, rank in ranks.items():
    +     spelled.setdefault("".join(pair), rank)
    + ranks = {(s[:i], s[i:]): rank for s, rank in spelled.items() for i in range(1, len(s))}
    > look the pair up, not its spelling: a bc is not ab c

    longest-match [convention]: the longest known symbol is taken from the left, again and again
    - return merged
    + text, known, merged = "".join(symbols), {"".join(pair) for pair in ranks}, []
    + while text:
    +     size = next((n for n in range(len(text), 1, -1) if text[:n] in known), 1)
    +     merged.append(text[:size])
    +     text = text[size:]
    + return merged
    > WordPiece splits a word that way; here the merges are done in the order of their ranks

    unknown-first: a pair without a rank is joined as well, so every word becomes one symbol
    - if best not in ranks:
    -     break
    +
    > stop when the best pair is not in ranks

    text: the symbols come back as one text with spaces
    - return merged
    + return " ".join(merged)
    > return the list of symbols

    in-place: the caller's list is changed
    - return merged
    + if isinstance(symbols, list):
    +     symbols[:] = merged
    + return merged
    > begin with list(symbols), which is a copy
""")

exercise.slips("""
    merged = replace_pair(merged, best) => return replace_pair(merged, best)
""")


def join(symbols, pair):
    """Every occurrence of the pair joined, from left to right."""
    joined, i = [], 0
    while i < len(symbols):
        size = 2 if tuple(symbols[i : i + 2]) == pair else 1
        joined.append("".join(symbols[i : i + size]))
        i += size
    return joined


@exercise.right("by rank")
def by_rank(symbols, ranks):
    merged = list(symbols)
    while known := [pair for pair in pairwise(merged) if pair in ranks]:
        merged = join(merged, min(known, key=ranks.__getitem__))
    return merged


@exercise.right("recursive")
def recursive(symbols, ranks):
    found = sorted((ranks[p], p) for p in pairwise(symbols) if p in ranks)
    return recursive(join(symbols, found[0][1]), ranks) if found else list(symbols)
