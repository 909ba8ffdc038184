"""Exercise bpe.train_merges: count, join the most frequent pair, count again."""

from scratchmm.exercises.case import Case
from scratchmm.exercises.format import Exercise

exercise = Exercise(
    id="bpe.train_merges",
    order=10,
    target="scratchmm.language.bpe:train_merges",
    title="Learn what to merge",
    goal="count times the most frequent pair of neighbours, ties to the smallest; a list of pairs",
    minutes=20,
    difficulty=2,
    section="2. Which two symbols would you join first?",
    forbidden=(
        "scratchmm.language.fast_bpe.train_many_merges",
        "scratchmm.language.bpe.train_many_merges",
    ),
    hints=(
        "Take ab three times and bc twice. a b is counted 3 times, b c 2 times, so the first merge "
        "is ('a', 'b'). Now ab is one symbol and has no neighbour; b c still counts 2 and is the "
        "second merge. A third merge does not exist, so two come back even if five were asked for.",
        "A pair of neighbours in a word that occurs five times has been seen five times. Join the "
        "pair seen most, everywhere, and look at the words again: old pairs are gone, new ones are "
        "there. The lesson does the first two rounds by hand.",
        "Keep each word as a list of symbols beside its frequency. While there are fewer than count "
        "merges: a new Counter; over every word and its neighbours, add the frequency; stop if "
        "nothing was counted; the best pair has the highest count and, among those, is the smallest; "
        "note it; join it in every word from left to right.",
        "for pair in pairwise(symbols): counts[pair] += frequency; then "
        "best = min(counts, key=lambda pair: (-counts[pair], pair)); merges.append(best); "
        "spelled = [(replace_pair(symbols, best), frequency) for symbols, frequency in spelled]",
    ),
)


def vocabulary(case: Case, letters: int = 3, count: int = 9, even: bool = False) -> dict:
    """Words of 2 to 6 letters and how often each occurs."""
    drawn = case.integers(0, letters, words=count, letters=6).tolist()
    lengths = case.integers(2, 7, words=count).tolist()
    often = case.integers(1, 2 if even else 12, words=count).tolist()
    spelled = [tuple("abcdefgh"[i] for i in word[:n]) for word, n in zip(drawn, lengths)]
    return dict(zip(spelled, often, strict=True))


def slow(words: dict, count: int) -> list[tuple[str, str]]:
    """The oracle: by loops over places, one step at a time."""
    texts, merges = [(list(word), often) for word, often in words.items()], []
    for _ in range(count):
        counts: dict[tuple[str, str], int] = {}
        for word, often in texts:
            for i in range(len(word) - 1):
                counts[word[i], word[i + 1]] = counts.get((word[i], word[i + 1]), 0) + often
        if not counts:
            break
        most = max(counts.values())
        left, right = sorted(pair for pair in counts if counts[pair] == most)[0]
        merges.append((left, right))
        for word, _often in texts:
            i = 0
            while i < len(word) - 1:
                if word[i] == left and word[i + 1] == right:
                    word[i : i + 2] = [left + right]
                i += 1
    return merges


@exercise.holds("one merge: the pair of neighbours seen most, a word's frequency counted in")
def first(train_merges, case):
    words = {tuple("low"): 5, tuple("lot"): 2, tuple("now"): 4}
    case.equal(case.call(train_merges, words, 1), [("o", "w")])


@exercise.holds("after a merge the pairs are counted anew, the new symbol among them")
def anew(train_merges, case):
    words = {tuple("low"): 5, tuple("lot"): 2, tuple("now"): 4}
    case.equal(case.call(train_merges, words, 3), [("o", "w"), ("l", "ow"), ("n", "ow")])


@exercise.holds("words stand apart: the end of one and the start of the next are no neighbours")
def apart(train_merges, case):
    words = {("x", "a"): 3, ("y", "a"): 3, ("z", "a"): 2, ("a", "x", "q"): 2}
    case.equal(case.call(train_merges, dict(words), 4), slow(words, 4))


@exercise.holds("of pairs equally frequent the smallest is merged first")
def ties(train_merges, case):
    words = vocabulary(case, letters=7, count=5, even=True)
    words = {("h", "g"): 1, ("c", "b"): 1, ("b", "h"): 1, ("a", "z"): 1} | words
    case.equal(case.call(train_merges, dict(words), 6), slow(words, 6))


@exercise.holds("in aaaa the pair a a is seen three times, and joining it leaves aa aa")
def overlapping(train_merges, case):
    words = {("a", "a", "a", "a"): 2, ("b", "c"): 5, ("c", "d"): 3, ("a", "a", "a", "d"): 1}
    case.equal(case.call(train_merges, dict(words), 5), slow(words, 5))


@exercise.holds("a merge joins whole symbols, not letters at the edge of longer ones")
def whole(train_merges, case):
    words = {("a", "b"): 9, ("c", "a"): 8, ("c", "a", "b"): 2, ("c", "a", "a", "b"): 3}
    words |= {("ca", "b", "d"): 4, ("b", "d"): 1}
    case.equal(case.call(train_merges, dict(words), 6), slow(words, 6))


@exercise.holds("when every word is one symbol, fewer merges come back; of count 0 none")
def ends(train_merges, case):
    words = {tuple("abc"): 1, ("q",): 3}
    case.equal(case.call(train_merges, words, 0), [])
    case.equal(case.call(train_merges, words, 9), [("a", "b"), ("ab", "c")])
    case.equal(case.call(train_merges, {}, 2), [])


@exercise.holds("the words that were given stay as they were")
def kept(train_merges, case):
    words = vocabulary(case)
    copy = dict(words)
    case.call(train_merges, words, 4)
    case.true(words == copy, "the same words and frequencies", words)


@exercise.holds("many words, many merges: the same list as by hand")
def many(train_merges, case):
    for letters in (2, 3, 5):
        words = vocabulary(case, letters, count=12)
        case.equal(case.call(train_merges, dict(words), 12), slow(words, 12))
