"""WordPiece against tokenizers and transformers on any text, and against recounting everything."""

import json
import math
import unicodedata
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.language import bert_words as bert_words_module
from scratchmm.language.bert_words import bert_words
from scratchmm.language.wordpiece import (
    LONGEST,
    SPECIAL,
    WordPiece,
    likelihood_gain,
    longest_pieces,
    share_room,
    train_pieces,
)
from shape_comments import check_shape_comments

SENTENCES = ["a small red star", "a large red ball", "two small green stars", "the stars are red"]
PIECES = ["a", "b", "e", "ab", "##a", "##b", "##ab", "##ba", "aba", "é", "##é", "É", "##é"]
PIECES += [".", "!", "-", "中", "##中", "ß", "##ß", "i", "##i", "ς", "σ", "##ς", "##σ", "ᄀ", "##ᅡ"]
PIECES += ["#", "$", "[", "]", "mask", "MASK", "«", "1", "##1", "e\u0301", "##\u0301", "Ａ", "ａ"]
VOCABULARY = list(dict.fromkeys([*SPECIAL, *PIECES, "stars", "unused"]))


def is_old(character):
    """Whether Unicode 3.2 classes it as today, so that every table of characters agrees."""
    old, new = unicodedata.ucd_3_2_0, unicodedata
    return (
        old.category(character) == new.category(character) != "Cn"
        and old.normalize("NFD", character) == new.normalize("NFD", character)
        and character != "\u166d"  # a mark in tables of old, a symbol since
    )


often = st.sampled_from(
    list("aabbeeiABIÉéßσΣς.!-$#[]«1中国 \t\n\r\0\u00a0\u0301\u200b\u3000가ａＡİ")
)
somewhat = st.characters(exclude_categories=["Cs"]).filter(is_old)
texts = st.lists(st.one_of(often, often, often, somewhat), max_size=40).map("".join)


@pytest.fixture(scope="module")
def tokenizer():
    return WordPiece.train(SENTENCES, 30)


def published_words(text, lower):
    tokenizers = pytest.importorskip("tokenizers")
    normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lower)
    cut = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    return [word for word, _ in cut(normalizer.normalize_str(text))]


@given(text=texts, lower=st.booleans())
@settings(max_examples=600, deadline=None)
def test_words_are_those_of_tokenizers(text, lower):
    assert bert_words(text, lower) == published_words(text, lower)


def test_every_character_that_tables_agree_on():
    """All of them at once, each between two letters: 90,000 characters in a second."""
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    old = [character for character in characters if is_old(character)]
    assert len(old) > 90_000
    text = "x".join(old)
    for lower in (True, False):
        assert bert_words(text, lower) == published_words(text, lower)


@pytest.mark.parametrize(
    ("text", "lower", "words"),
    [
        ("Hello, World!", True, ["hello", ",", "world", "!"]),
        ("Hello, World!", False, ["Hello", ",", "World", "!"]),
        ("Ünïcode É", True, ["unicode", "e"]),
        ("Ünïcode", False, ["Ünïcode"]),
        ("中国a人", True, ["中", "国", "a", "人"]),
        ("a\u200bb\0c\ufffdd", True, ["abcd"]),
        ("a\u2028b\u00a0c\td", True, ["a", "b", "c", "d"]),
        ("2+2=4 $5", True, ["2", "+", "2", "=", "4", "$", "5"]),
        ("ΟΔΟΣ", True, ["οδοσ"]),  # letter by letter: no final sigma
        ("€5", True, ["€5"]),  # a symbol beyond ASCII is no mark
        ("\U0002b820", True, ["\U0002b820"]),
        ("", True, []),
        (" \n ", True, []),
    ],
)
def test_words(text, lower, words):
    assert bert_words(text, lower) == words
    assert bert_words("a\U0002b820b") == ["a", "\U0002b820", "b"]


def greedy(word, vocabulary):
    """The definition: the longest beginning that is a piece, then the same for the rest."""

    def cut(rest, mark):
        if not rest:
            return []
        fitting = [n for n in range(1, len(rest) + 1) if mark + rest[:n] in vocabulary]
        if not fitting:
            return None
        tail = cut(rest[max(fitting) :], "##")
        return None if tail is None else [mark + rest[: max(fitting)], *tail]

    found = cut(word, "")
    return ["[UNK]"] if found is None else found


pieces = st.text("ab", min_size=1, max_size=4)


@given(
    word=st.text("ab", min_size=1, max_size=12),
    beginnings=st.sets(pieces, max_size=6),
    insides=st.sets(pieces, max_size=6),
)
@settings(max_examples=300, deadline=None)
def test_longest_pieces_are_greedy(word, beginnings, insides):
    vocabulary = beginnings | {f"##{piece}" for piece in insides}
    assert longest_pieces(word, vocabulary) == greedy(word, vocabulary)


def reference(vocabulary=VOCABULARY, lower=True):
    transformers = pytest.importorskip("transformers")
    ids = {piece: place for place, piece in enumerate(vocabulary)}
    return transformers.BertTokenizer(ids, do_lower_case=lower)


@pytest.mark.parametrize("lower", [True, False])
def test_ids_are_those_of_transformers(lower):
    theirs, ours = reference(lower=lower), WordPiece(VOCABULARY, lower=lower)

    @given(texts)
    @settings(max_examples=300, deadline=None)
    def check(text):
        expected = theirs(text, add_special_tokens=False)["input_ids"]
        # transformers sees special tokens in any text, with their names as they are written
        assert ours.encode(text, allow_special=True) == expected

    check()


@given(st.lists(st.integers(0, len(VOCABULARY) - 1), max_size=12))
def test_decoding_any_ids_is_that_of_tokenizers(ids):
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.decoders.WordPiece(prefix="##", cleanup=False)
    ours = WordPiece(VOCABULARY)
    assert ours.decode(ids, keep_special=True) == theirs.decode([VOCABULARY[i] for i in ids])
    plain = [i for i in ids if VOCABULARY[i] not in SPECIAL]
    assert ours.decode(torch.tensor(ids, dtype=torch.int64)) == ours.decode(plain)


def test_special_tokens_are_only_seen_where_allowed():
    ours, theirs = WordPiece(VOCABULARY), reference()
    for text in ("a [MASK] b", "a[MASK]b[SEP]", "[mask] [ MASK ]", "[CLS][PAD][UNK]"):
        expected = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text, allow_special=True) == expected
    assert ours.mask not in ours.encode("a [MASK] b")
    spelled = [ours.symbols[token] for token in ours.encode("a [MASK] b")]
    assert spelled == ["a", "[", "mask", "]", "b"]


def test_a_word_of_more_than_a_hundred_characters_is_unknown():
    ours, theirs = WordPiece(VOCABULARY), reference()
    for length in (LONGEST - 1, LONGEST, LONGEST + 1):
        ids = ours.encode("a" * length)
        assert ids == theirs("a" * length, add_special_tokens=False)["input_ids"]
        assert (ids == [ours.unknown]) == (length > LONGEST)


@pytest.mark.parametrize("pairs", [False, True])
def test_batches_are_those_of_transformers(pairs):
    theirs, ours = reference(), WordPiece(VOCABULARY)
    lines = st.lists(st.text("ab .-", max_size=14), min_size=1, max_size=4)

    @given(lines=lines, length=st.integers(4, 20), data=st.data())
    @settings(max_examples=250, deadline=None)
    def check(lines, length, data):
        same = st.lists(st.text("ab .-", max_size=14), min_size=len(lines), max_size=len(lines))
        seconds = data.draw(same) if pairs else None
        expected = theirs(lines, seconds, padding="max_length", truncation=True, max_length=length)
        tokens, real, types = ours.batch(lines, length, seconds)
        assert tokens.tolist() == expected["input_ids"]
        assert real.int().tolist() == expected["attention_mask"]
        assert types.tolist() == expected["token_type_ids"]
        assert tokens.dtype == types.dtype == torch.int64 and real.dtype == torch.bool

    check()


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_room_is_shared_by_cutting_the_longer_one(first, second, room):
    kept, kept_second = share_room(first, second, room)
    assert kept <= first and kept_second <= second
    assert kept + kept_second == min(first + second, room)
    for one, other, whole in ((kept, kept_second, first), (kept_second, kept, second)):
        assert one == whole or one >= other - 1  # cut only down to the other's length


def test_batches_that_cannot_be_are_refused():
    ours = WordPiece(VOCABULARY)
    with pytest.raises(ValueError, match="^there are 2 texts, but 1 second texts$"):
        ours.batch(["a", "b"], 9, ["a"])
    for length, seconds, need in ((1, None, 2), (2, ["a"], 3)):
        with pytest.raises(ValueError, match=f"^length {length} has no room .* which need {need}$"):
            ours.batch(["a"], length, seconds)
    for texts, seconds in (("ab", None), (["a", "b"], "ab")):
        with pytest.raises(TypeError, match="^batch takes lists of texts, not a single str$"):
            ours.batch(texts, 9, seconds)
    assert ours.batch(["a"], 2).tokens.tolist() == [[ours.start, ours.end]]


def likelihood(spelled):
    """The log-likelihood of all words, each piece drawn independently, as often as it occurs."""
    counts = Counter()
    for symbols, frequency in spelled:
        for symbol in symbols:
            counts[symbol] += frequency
    total = counts.total()
    return sum(
        frequency * math.log(counts[symbol] / total)
        for symbols, frequency in spelled
        for symbol in symbols
    )


def joined(symbols, left, right):
    if len(symbols) < 2:
        return symbols
    if symbols[:2] == [left, right]:
        return [left + right.removeprefix("##"), *joined(symbols[2:], left, right)]
    return [symbols[0], *joined(symbols[1:], left, right)]


def best_piece(spelled):
    """What raises the likelihood most, found by joining every pair there is and counting anew."""
    gains = []
    for pair in {pair for symbols, _ in spelled for pair in zip(symbols, symbols[1:])}:
        after = [(joined(symbols, *pair), n) for symbols, n in spelled]
        gains.append((likelihood(after) - likelihood(spelled), pair, after))
    return gains


@given(
    words=st.dictionaries(st.text("abc", min_size=1, max_size=7), st.integers(1, 5), max_size=6),
    count=st.integers(0, 6),
)
@settings(max_examples=150, deadline=None)
def test_every_piece_learned_raises_the_likelihood_most(words, count):
    learned = train_pieces(words, count)
    spelled = [([("##" * (i > 0)) + c for i, c in enumerate(w)], n) for w, n in words.items()]
    states, seen = [spelled], []
    for piece in learned:  # equal gains may differ in their last digit: follow any of the best
        following = []
        for state in states:
            gains = best_piece(state)
            most = max(gain for gain, _, _ in gains)
            assert most > -1e-9
            following += [
                after
                for gain, (left, right), after in gains
                if gain > most - 1e-9 and left + right.removeprefix("##") in (piece, *seen)
            ]
        assert following, piece
        states, seen = following[:8], [*seen, piece]
    assert len(learned) <= count
    if len(learned) < count and len(states) == 1:
        assert all(gain < 1e-9 for gain, _, _ in best_piece(states[0])) or len(set(learned)) < count


def test_the_gain_of_a_pair_of_equal_pieces_and_of_a_piece_that_exists():
    counts = {"##a": 6, "b": 2, "##aa": 1}
    spelled = [(["b", "##a", "##a", "##a"], 2), (["##aa"], 1)]
    after = [(["b", "##aa", "##a"], 2), (["##aa"], 1)]
    gain = likelihood_gain(("##a", "##a"), 2, counts, 9)
    assert gain == pytest.approx(likelihood(after) - likelihood(spelled))


def test_training_gives_characters_inside_and_out_and_then_pieces(tokenizer):
    letters = sorted(set("".join(SENTENCES)) - {" "})
    assert tokenizer.symbols[: 5 + len(letters)] == [*SPECIAL, *letters]
    assert tokenizer.symbols[5 + len(letters) :][: len(letters)] == [f"##{c}" for c in letters]
    assert "red" in tokenizer.symbols and len(tokenizer) == len(set(tokenizer.symbols))
    assert WordPiece.train(SENTENCES, 30).symbols == tokenizer.symbols
    assert WordPiece.train("red red", 5).symbols == WordPiece.train(["red red"], 5).symbols
    assert WordPiece.train("Rot", 0, lower=False).symbols[5:8] == ["R", "o", "t"]
    with pytest.raises(ValueError, match="^cannot learn -1 merges$"):
        WordPiece.train("a", -1)


@given(st.lists(st.sampled_from("small red star balls green ted".split()), max_size=9))
def test_decoding_what_was_encoded(tokenizer, words):
    assert tokenizer.decode(tokenizer.encode(" ".join(words))) == " ".join(words)


def test_decoding_leaves_out_or_keeps_special_tokens(tokenizer):
    tokens = tokenizer.batch(["red stars"], 9).tokens[0]
    assert tokenizer.decode(tokens) == "red stars"
    kept = tokenizer.decode(tokens, keep_special=True)
    assert kept.startswith("[CLS] red stars [SEP] [PAD]")
    for token in (-1, len(tokenizer)):
        with pytest.raises(ValueError, match=f"^token {token} is outside the vocabulary of"):
            tokenizer.decode([token])


def test_the_cache_forgets_rather_than_grows(tokenizer, monkeypatch):
    monkeypatch.setattr("scratchmm.language.wordpiece.CACHED", 2)
    fresh = WordPiece(tokenizer.symbols)
    for word in "red star small red balls".split():
        assert fresh.encode(word) == tokenizer.encode(word)
        assert len(fresh._cache) <= 2


def test_a_vocabulary_file_is_read_by_both(tmp_path, tokenizer):
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path / "vocab.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["vocab.txt"]
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    for source in (tmp_path, tmp_path / "vocab.txt"):
        ours = WordPiece.load(source)
        assert ours.symbols == tokenizer.symbols and ours.lower
        assert ours.encode("Small réd stars!") == theirs.encode(
            "Small réd stars!", add_special_tokens=False
        )
    assert not WordPiece.load(tmp_path, lower=False).lower


def test_published_files_are_read_whatever_their_line_ends(tmp_path):
    path = tmp_path / "vocab.txt"
    plain = "\n".join(VOCABULARY)
    for content in (plain, "\r\n".join(VOCABULARY) + "\r\n", f"{plain}\n\n\n", f"\ufeff{plain}\n"):
        path.write_bytes(content.encode())
        assert WordPiece.load(path, lower=True).symbols == VOCABULARY
    odd = [*VOCABULARY, "\u2028", "\x85", "\x0b"]  # lines to Python's splitlines, not to us
    path.write_bytes("\n".join(odd).encode())
    assert WordPiece.load(path, lower=True).symbols == odd


def test_files_that_hold_no_vocabulary_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="^there is no vocabulary file .*vocab.txt$"):
        WordPiece.load(tmp_path)
    path = tmp_path / "vocab.txt"
    path.write_text(json.dumps({"[PAD]": 0}))
    with pytest.raises(ValueError, match="vocab.txt is not a WordPiece vocabulary: .*no \\[PAD\\]"):
        WordPiece.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(
        ValueError, match="vocab.txt is not a WordPiece vocabulary: line 1 of .* UTF-8"
    ):
        WordPiece.load(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 231508\n")
    with pytest.raises(ValueError, match="vocab.txt is a pointer of Git LFS .* 231,508 bytes"):
        WordPiece.load(path)
    with pytest.raises(ValueError, match=r"^the vocabulary of 4 has no \[MASK\]$"):
        WordPiece(SPECIAL[:4])


def test_each_character_is_looked_up_once():
    """A text of a million characters has a few hundred different ones."""
    steps = [getattr(bert_words_module, name) for name in ("_tidied", "_bare", "_isolated")]
    for step in steps:
        step.cache_clear()
    assert bert_words("Ah, ah! " * 50) == ["ah", ",", "ah", "!"] * 50
    assert all(step.cache_info().misses <= 6 for step in steps)


PUBLISHED_CJK = [  # as BERT's own code lists them
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
]


@pytest.mark.parametrize("first, last", PUBLISHED_CJK)
def test_the_ranges_of_characters_that_are_words(first, last):
    """From the first to the last, and none before or behind, assigned to a character or not."""
    for code in (first, last):
        assert len(bert_words(f"a{chr(code)}b")) == 3
    ranges = [(start, end) for start, end in PUBLISHED_CJK if (start, end) != (first, last)]
    for code in (first - 1, last + 1):
        inside = any(start <= code <= end for start, end in ranges)
        assert len(bert_words(f"a{chr(code)}b")) == (3 if inside else 1), hex(code)


def run_shapes() -> None:
    from scratchmm.language import wordpiece

    tokenizer = wordpiece.WordPiece.train(["a red star"], merges=3)
    tokenizer.batch(["a", "red", "star"], 7, seconds=["a star", "red", "a"])


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "language/wordpiece.py")
