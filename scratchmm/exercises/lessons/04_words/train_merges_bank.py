"""Wrong and other right answers to bpe.train_merges."""

from collections import Counter
from itertools import pairwise

from scratchmm.exercises.format import exercise_file

exercise = exercise_file("04_words/train_merges").exercise


def join(symbols, pair):
    """Every occurrence of the pair joined, from left to right."""
    joined, i = [], 0
    while i < len(symbols):
        size = 2 if tuple(symbols[i : i + 2]) == tuple(pair) else 1
        joined.append("".join(symbols[i : i + size]))
        i += size
    return joined


def count_pairs(spelled):
    counts = Counter()
    for symbols, often in spelled:
        for pair in pairwise(symbols):
            counts[pair] += often
    return counts


def smallest(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair))


def train(words, count, counting=count_pairs, best=smallest, joining=join, note=lambda pair: pair):
    """The algorithm with its knobs out, so that a wrong answer is one knob turned."""
    spelled, merges = [(list(word), often) for word, often in words.items()], []
    while len(merges) < count:
        counts = counting(spelled)
        if not counts:
            break
        pair = best(counts)
        merges.append(note(pair))
        spelled = [(joining(symbols, pair), often) for symbols, often in spelled]
    return merges


@exercise.wrong(
    "unweighted",
    story="each word counts once, however often it occurs",
    advice="a pair in a word seen five times has been seen five times: add the frequency",
)
def unweighted(words, count):
    return train(words, count, lambda spelled: count_pairs((word, 1) for word, _ in spelled))


@exercise.wrong(
    "once-a-word",
    story="a pair that stands twice in a word is counted once",
    advice="count every place where the pair stands, also the second one of the same word",
)
def once_a_word(words, count):
    def counting(spelled):
        counts = Counter()
        for symbols, often in spelled:
            for pair in set(pairwise(symbols)):
                counts[pair] += often
        return counts

    return train(words, count, counting)


@exercise.wrong(
    "counted-once",
    story="pairs are counted at the start only: the list is the most frequent pairs of letters",
    advice="join the best pair in all words and count again before the next one",
)
def counted_once(words, count):
    counts = count_pairs(words.items())
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[:count]


@exercise.wrong(
    "across-words",
    story="the words are strung together, so the end of one is a neighbour of the next",
    advice="count the pairs of each word by itself",
)
def across_words(words, count):
    # One long word; a word that occurs n times is written n times.
    text = [symbol for word, often in words.items() for _ in range(often) for symbol in word]
    return train({tuple(text): 1}, count)


@exercise.wrong(
    "joined-symbols",
    story="the list holds the joined symbols and not the pairs",
    advice="a merge is the pair (left, right): the encoder must know where it came from",
)
def joined_symbols(words, count):
    return train(words, count, note="".join)


@exercise.wrong(
    "only-the-first",
    story="in each word only the first occurrence of the pair is joined",
    advice="go on behind the pair that was joined, to the end of the word",
)
def only_the_first(words, count):
    def joining(symbols, pair):
        for i in range(len(symbols) - 1):
            if tuple(symbols[i : i + 2]) == pair:
                return [*symbols[:i], "".join(pair), *symbols[i + 2 :]]
        return symbols

    return train(words, count, joining=joining)


@exercise.wrong(
    "from-the-right",
    story="pairs are joined from the right: aaa becomes a aa",
    advice="join from left to right, so that aaa becomes aa a",
)
def from_the_right(words, count):
    def joining(symbols, pair):
        return [symbol[::-1] for symbol in join([s[::-1] for s in symbols[::-1]], reverse(pair))][
            ::-1
        ]

    return train(words, count, joining=joining)


def reverse(pair):
    return tuple(symbol[::-1] for symbol in pair[::-1])


@exercise.wrong(
    "without-overlap",
    story="overlapping pairs are not counted: aaa counts a a once",
    advice="count all neighbours: aaa holds a a at two places, though only one can be joined",
)
def without_overlap(words, count):
    def counting(spelled):
        counts = Counter()
        for symbols, often in spelled:
            last = {}
            for i, pair in enumerate(pairwise(symbols)):
                if last.get(pair) != i - 1:
                    counts[pair] += often
                    last[pair] = i
        return counts

    return train(words, count, counting)


@exercise.wrong(
    "in-the-text",
    story="the symbols are written with spaces and replaced in that text, so a b also joins in ca b",
    advice="compare whole symbols: the a at the end of ca is not the symbol a",
)
def in_the_text(words, count):
    def joining(symbols, pair):
        return " ".join(symbols).replace(" ".join(pair), "".join(pair)).split()

    return train(words, count, joining=joining)


@exercise.wrong(
    "ties-first-seen",
    story="of pairs equally frequent the one seen first is taken",
    advice="then the tokens depend on the order of the words; here the smallest pair is taken",
    convention=True,
)
def ties_first_seen(words, count):
    return train(words, count, best=lambda counts: max(counts, key=counts.__getitem__))


@exercise.wrong(
    "ties-largest",
    story="of pairs equally frequent the largest is taken",
    advice="max over (count, pair) does that; here the smallest pair is taken",
    convention=True,
)
def ties_largest(words, count):
    return train(words, count, best=lambda counts: max(counts, key=lambda p: (counts[p], p)))


@exercise.wrong(
    "seen-twice",
    story="a pair seen only once is not merged",
    advice="some libraries stop there; here only words of one symbol end the training",
    convention=True,
)
def seen_twice(words, count):
    def counting(spelled):
        return {pair: n for pair, n in count_pairs(spelled).items() if n > 1}

    return train(words, count, counting)


@exercise.wrong(
    "does-not-end",
    story="nothing ends the loop where no pair is left, so the best of none is asked for",
    advice="stop when nothing was counted",
)
def does_not_end(words, count):
    spelled, merges = [(list(word), often) for word, often in words.items()], []
    for _ in range(count):
        merges.append(smallest(count_pairs(spelled)))
        spelled = [(join(symbols, merges[-1]), often) for symbols, often in spelled]
    return merges


@exercise.wrong(
    "words-rewritten",
    story="the caller's words are rewritten with the merges",
    advice="make a list of your own from words.items() and change that",
)
def words_rewritten(words, count):
    merges = train(words, count)
    for word, often in list(words.items()):
        del words[word]
        for pair in merges:
            word = tuple(join(word, pair))
        words[word] = often
    return merges


@exercise.disguise("unweighted")
def unweighted_too(words, count):
    return train(dict.fromkeys(words, 1), count)


@exercise.disguise("ties-first-seen")
def most_common(words, count):
    return train(words, count, best=lambda counts: counts.most_common(1)[0][0])


@exercise.right("sorted")
def by_sorting(words, count):
    def best(counts):
        ranked = sorted(counts.items())
        ranked.sort(key=lambda item: item[1], reverse=True)
        return ranked[0][0]

    return train(words, count, best=best)


@exercise.right("by position")
def by_position(words, count):
    texts, merges = [[list(word), often] for word, often in words.items()], []
    for _ in range(count):
        counts = {}
        for word, often in texts:
            for pair in zip(word, word[1:], strict=False):
                counts[pair] = counts.get(pair, 0) + often
        if not counts:
            return merges
        top = max(counts.values())
        merges.append(min(pair for pair, seen in counts.items() if seen == top))
        for word, _ in texts:
            for i in range(len(word)):
                if tuple(word[i : i + 2]) == merges[-1]:
                    word[i : i + 2] = ["".join(merges[-1])]
    return merges
