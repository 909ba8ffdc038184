"""Exercise bpe.train_merges: count, join the most frequent pair, count again."""

from collections import Counter
from itertools import pairwise

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
    hints="""
        1. Take ab three times and bc twice. The first merge is ('a', 'b'), counted 3 times. Now ab
           is one symbol without a neighbour; b c still counts 2 and is the second merge. A third
           does not exist, so two come back even if five were asked for.
        2. A pair in a word that occurs five times has been seen five times. Join the pair seen most,
           everywhere, and count again: old pairs are gone, new ones are there.
        3. Keep each word as a list of symbols beside its frequency. For each merge: a new Counter;
           over every word and its neighbours, add the frequency; stop if nothing was counted; of the
           most frequent pairs note the smallest, and join it in every word from left to right.
        4. for pair in pairwise(symbols): counts[pair] += frequency; then best = min(counts,
           key=lambda pair: (-counts[pair], pair)); merges.append(best); spelled =
           [(replace_pair(symbols, best), frequency) for symbols, frequency in spelled]
    """,
)
LOW = {tuple("low"): 5, tuple("lot"): 2, tuple("now"): 4}


def vocabulary(case: Case, letters: int = 3, count: int = 9, even: bool = False) -> dict:
    """Words of 2 to 6 letters and how often each occurs."""
    drawn = case.integers(0, letters, words=count, letters=6).tolist()
    lengths = case.integers(2, 7, words=count).tolist()
    often = case.integers(1, 2 if even else 12, words=count).tolist()
    spelled = [tuple("abcdefgh"[i] for i in word[:n]) for word, n in zip(drawn, lengths)]
    return dict(zip(spelled, often, strict=True))


@exercise.right("by position")
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
    case.equal(case.call(train_merges, dict(LOW), 1), [("o", "w")])


@exercise.holds("after a merge the pairs are counted anew, the new symbol among them")
def anew(train_merges, case):
    case.equal(case.call(train_merges, dict(LOW), 3), [("o", "w"), ("l", "ow"), ("n", "ow")])


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


def join(symbols, pair):
    joined, i = [], 0
    while i < len(symbols):
        size = 2 if tuple(symbols[i : i + 2]) == tuple(pair) else 1
        joined.append("".join(symbols[i : i + size]))
        i += size
    return joined


exercise.mistakes("""
    counted-once: pairs are counted at the start only: the most frequent pairs of letters
    - if not counts:
    + counts = Counter({pair: often for pair, often in counts.items() if pair not in merges})
    + if not counts:
    - spelled = [(replace_pair(symbols, best), frequency) for symbols, frequency in spelled]
    > join the best pair in all words and count again before the next one

    across-words: the words are concatenated, so the end of one is a neighbour of the next
    - list(word), frequency) for word, frequency in words.items(
    + [s for word, often in words.items() for s in list(word) * often], 1
    > count the pairs of each word by itself

    without-overlap: overlapping pairs are not counted: aaa counts a a once
    - for pair in pairwise(symbols):
    + last = None
    + for pair in pairwise(symbols):
    - counts[pair] += frequency
    + last = None if pair == last else pair
    + counts[pair] += frequency if last else 0
    > count all neighbours: aaa holds a a at two places, though only one can be joined

    only-the-first: in each word only the first occurrence of the pair is joined
    - spelled = [(replace_pair(symbols, best), frequency) for symbols, frequency in spelled]
    + for symbols, _ in spelled:
    +     if best in (pairs := list(pairwise(symbols))):
    +         symbols[pairs.index(best) : pairs.index(best) + 2] = ["".join(best)]
    > go on behind the pair that was joined, to the end of the word

    from-the-right: pairs are joined from the right: aaa becomes a aa
    - spelled = [(replace_pair(symbols, best), frequency) for symbols, frequency in spelled]
    + for symbols, _ in spelled:
    +     for i in range(len(symbols) - 2, -1, -1):
    +         if tuple(symbols[i : i + 2]) == best:
    +             symbols[i : i + 2] = ["".join(best)]
    > join from left to right, so that aaa becomes aa a

    in-the-text: the symbols are written with spaces and replaced in that text, so a b joins in ca b
    - spelled = [(replace_pair(symbols, best), frequency) for symbols, frequency in spelled]
    + spelled = [(" ".join(s).replace(" ".join(best), "".join(best)).split(" "), n) for s, n in spelled]
    > compare whole symbols: the a at the end of ca is not the symbol a

    ties-first-seen [convention]: of pairs equally frequent the one seen first is taken
    - best = min(counts, key=lambda pair: (-counts[pair], pair))
    + best = max(counts, key=lambda pair: counts[pair])
    > then the tokens depend on the order of the words; here the smallest pair is taken

    seen-twice [convention]: a pair seen only once is not merged
    - if not counts:
    + if not counts or max(counts.values()) < 2:
    > some libraries stop there; here only words of one symbol end the training
""")

exercise.slips("""
    counts[pair] += frequency => counts[pair] += 1
    pairwise(symbols) => set(pairwise(symbols))
    merges.append(best) => merges.append("".join(best))
    min(counts, key=lambda pair: (-counts[pair], pair)) =>
        max(counts, key=lambda pair: (counts[pair], pair))
    return merges => words.clear(); words.update((tuple(s), n) for s, n in spelled); return merges
""")


@exercise.right("sorted")
def by_sorting(words, count):
    spelled, merges = list(words.items()), []
    while len(merges) < count:
        counts = Counter(pair for s, often in spelled for pair in list(pairwise(s)) * often)
        if not counts:
            break
        merges.append(sorted(sorted(counts.items()), key=lambda item: -item[1])[0][0])
        spelled = [(join(symbols, merges[-1]), often) for symbols, often in spelled]
    return merges
