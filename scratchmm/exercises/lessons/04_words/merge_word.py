"""Exercise bpe.merge_word: the encoder's heart, merges applied in the order they were learned."""

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
    hints=(
        "Take a b c with the ranks b c: 0 and a b: 1. From the left, a b could be joined first. But "
        "b c was learned earlier, so it goes first: a bc. Now a bc has no rank, and that is the "
        "answer.",
        "A new word is cut as the words of the training were: the merge that was learned first is "
        "done first, wherever it stands. After each one look at the neighbours again, for there are "
        "new ones. The lesson prints the steps of one word.",
        "Start from a list of the symbols. As long as there are two or more: find the neighbours "
        "whose rank is lowest (a pair without a rank counts as higher than all); if even they have "
        "none, stop; else join them from left to right, wherever they stand.",
        "best = min(pairwise(merged), key=lambda pair: ranks.get(pair, len(ranks))); if best not in "
        "ranks: break; merged = replace_pair(merged, best); the loop runs while len(merged) > 1",
    ),
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
