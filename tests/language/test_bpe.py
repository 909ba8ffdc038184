"""Byte-pair encoding against recounting everything, explicit loops and any text there is."""

import json
import os
import time
from collections import Counter
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.language import bpe, fast_bpe
from scratchmm.language.bpe import (
    BytePairEncoding,
    decode,
    merge_word,
    pad_batch,
    replace_pair,
    train_merges,
)
from scratchmm.language.fast_bpe import merge_long_word, train_many_merges
from shape_comments import check_shape_comments

words = st.dictionaries(
    st.text("abc", min_size=1, max_size=9).map(tuple), st.integers(1, 5), max_size=8
)
SENTENCES = ["a small red star", "a large red ball", "two small green stars", "the stars are red"]


@pytest.fixture(scope="module")
def tokenizer():
    return BytePairEncoding.train(SENTENCES, 40)


def recounted_merges(words, count):
    """The definition, written apart from the library: count all, join all, again."""
    texts = [(" ".join(word), frequency) for word, frequency in words.items()]
    merges = []
    for _ in range(count):
        counts = Counter()
        for text, frequency in texts:
            symbols = text.split(" ")
            for i in range(len(symbols) - 1):
                counts[symbols[i], symbols[i + 1]] += frequency
        ranked = sorted(counts.items(), key=lambda item: item[0])
        ranked.sort(key=lambda item: item[1], reverse=True)  # stable: ties stay in order
        if not ranked:
            break
        left, right = ranked[0][0]
        merges.append((left, right))
        texts = [(" ".join(joined(text.split(" "), left, right)), n) for text, n in texts]
    return merges


def joined(symbols, left, right):
    if len(symbols) < 2:
        return symbols
    if symbols[0] == left and symbols[1] == right:
        return [left + right] + joined(symbols[2:], left, right)
    return symbols[:1] + joined(symbols[1:], left, right)


@pytest.mark.parametrize("train", [train_merges, train_many_merges])
@given(words=words, count=st.integers(0, 30))
@settings(max_examples=150, deadline=None)
def test_merges_are_those_of_recounting_everything(train, words, count):
    assert train(words, count) == recounted_merges(words, count)


@given(st.text("abc", max_size=12), st.sampled_from(["ab", "aa", "ca"]))
def test_a_pair_is_replaced_from_left_to_right(text, pair):
    assert replace_pair(text, tuple(pair)) == joined(list(text), *pair)


@pytest.mark.parametrize("train", [train_merges, train_many_merges])
def test_ties_go_to_the_smallest_pair_and_counts_before_ties(train):
    assert train({tuple("ba"): 2, tuple("ab"): 2, tuple("ca"): 3}, 3) == [
        ("c", "a"),
        ("a", "b"),
        ("b", "a"),
    ]
    # Words weigh as often as they occur: one frequent word beats two rare ones.
    assert train({tuple("xy"): 5, tuple("zab"): 2, tuple("ab"): 2}, 1) == [("x", "y")]


@pytest.mark.parametrize("train", [train_merges, train_many_merges])
def test_training_stops_when_every_word_is_one_symbol(train):
    assert train({tuple("abc"): 1, ("a",): 9}, 50) == [("a", "b"), ("ab", "c")]
    assert train({}, 3) == [] and train({tuple("ab"): 1}, 0) == []


def test_one_text_is_a_list_of_one():
    assert (
        BytePairEncoding.train("red red", 5).merges == BytePairEncoding.train(["red red"], 5).merges
    )
    assert BytePairEncoding.train("red red", 5).merges[-1] == ("Ġ", "red")


def test_training_leaves_its_input_alone():
    given_words = {tuple("abab"): 2}
    train_merges(given_words, 2)
    train_many_merges(given_words, 2)
    assert given_words == {tuple("abab"): 2}


@pytest.mark.parametrize("merge", [merge_word, merge_long_word])
def test_the_earlier_merge_goes_first_wherever_it_stands(merge):
    assert merge("abc", {("b", "c"): 0, ("a", "b"): 1}) == ["a", "bc"]
    assert merge("abc", {("a", "b"): 0, ("b", "c"): 1}) == ["ab", "c"]
    assert merge("aaaaa", {("a", "a"): 0}) == ["aa", "aa", "a"]
    assert merge("abab", {("a", "b"): 0, ("ab", "ab"): 1}) == ["abab"]
    assert merge("", {("a", "b"): 0}) == [] and merge("a", {}) == ["a"]
    # All of a rank are joined before a pair that this creates, even one of a lower rank.
    ranks = {("b", "c"): 1, ("bc", "b"): 0}
    assert merge("bcbc", ranks) == ["bc", "bc"]


def explicit_merge(symbols, ranks):
    """The loop of the published CLIP code, said in its own way."""
    symbols = list(symbols)
    while True:
        present = {(symbols[i], symbols[i + 1]) for i in range(len(symbols) - 1)} & set(ranks)
        if not present:
            return symbols
        symbols = joined(symbols, *min(present, key=ranks.get))


pieces = st.text("ab", min_size=1, max_size=3)
pairs = st.lists(st.tuples(pieces, pieces), unique=True, max_size=12)


@pytest.mark.parametrize("merge", [merge_word, merge_long_word])
@given(word=st.text("ab", max_size=25), pairs=pairs)
@settings(max_examples=200, deadline=None)
def test_merging_is_the_published_loop_for_any_order_of_merges(merge, word, pairs):
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    assert merge(word, ranks) == explicit_merge(word, ranks)


@given(st.text("ab", min_size=2, max_size=60))
def test_a_word_seen_in_training_alone_becomes_one_token(word):
    merges = train_merges({tuple(word): 1}, 100)
    assert merge_word(word, {pair: rank for rank, pair in enumerate(merges)}) == [word]


def test_decode_joins_bytes_before_it_reads_them():
    assert decode([0, 1], [b"\xc3", b"\xa9"]) == "é"
    assert decode([1, 0], [b"\xc3", b"\xa9"]) == "\ufffd\ufffd"
    assert decode([], [b"a"]) == ""


@pytest.mark.parametrize("token", [3, -1])
def test_decode_refuses_a_token_out_of_the_vocabulary(token, tokenizer):
    with pytest.raises(ValueError, match=f"token {token} is outside the vocabulary of 3"):
        decode([0, token], [b"a", b"b", b"c"])
    far = len(tokenizer) if token > 0 else -1
    for read in (tokenizer.decode, tokenizer.decode_bytes):
        with pytest.raises(ValueError, match=f"token {far} is outside the vocabulary of"):
            read([far])


@given(text=st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode(text) == tokenizer.encode(text.encode())


@given(data=st.binary())
@settings(max_examples=300, deadline=None)
def test_any_bytes_come_back(tokenizer, data):
    assert tokenizer.decode_bytes(tokenizer.encode(data)) == data


@given(text=st.text("ab \n\t", max_size=80), merges=st.integers(0, 12))
@settings(max_examples=100, deadline=None)
def test_texts_of_few_letters_come_back_whatever_was_learned(text, merges):
    tokenizer = BytePairEncoding.train(text, merges)
    assert tokenizer.decode(tokenizer.encode(text + text)) == text + text
    assert len(tokenizer) <= 256 + merges + 3


def test_every_symbol_has_one_id_even_if_two_merges_spell_it():
    # Three words that lead to both ab+c and a+bc: the symbol abc must not get two ids.
    tokenizer = BytePairEncoding.train("ab ab ab ab abc abc bc bc bc xabc xabc", 30)
    assert len(set(tokenizer.symbols)) == len(tokenizer)
    assert sorted(tokenizer.ids.values()) == list(range(len(tokenizer) - 3))


def test_training_large_and_small_texts_agree(monkeypatch):
    text = " ".join(SENTENCES) * 3
    plain = BytePairEncoding.train(text, 60)
    monkeypatch.setattr(bpe, "LARGE", 0)
    monkeypatch.setattr(bpe, "train_merges", None)  # must not be called
    assert BytePairEncoding.train(text, 60).merges == plain.merges


def test_the_small_version_serves_small_texts(monkeypatch):
    monkeypatch.setattr(bpe, "train_many_merges", None)
    assert len(BytePairEncoding.train(SENTENCES, 5)) == 256 + 5 + 3


@pytest.mark.parametrize("length", [63, 64, 65, 200])
def test_long_and_short_words_are_encoded_alike(length):
    tokenizer = BytePairEncoding.train("ababcab" * 5, 6)
    word = ("abcabba" * 30)[:length]
    symbols = [tokenizer.symbols[token] for token in tokenizer.encode(word)]
    assert symbols == explicit_merge(word, tokenizer.ranks)


def test_the_memory_for_words_is_bounded_and_changes_nothing(monkeypatch):
    tokenizer = BytePairEncoding.train(SENTENCES, 30)
    text = " ".join(f"w{i} star" for i in range(50))
    expected = tokenizer.encode(text)
    monkeypatch.setattr(bpe, "CACHED", 4)
    small = BytePairEncoding.train(SENTENCES, 30)
    assert small.encode(text) == expected == small.encode(text)
    assert len(small._cache) <= 4


def test_encoding_uses_fewer_tokens_the_more_merges_it_knows():
    counts = [len(BytePairEncoding.train(SENTENCES, n).encode(SENTENCES[0])) for n in (0, 5, 40)]
    assert counts[0] == len(SENTENCES[0]) > counts[1] > counts[2] == 4


def test_special_tokens_written_in_a_text_are_text_unless_allowed(tokenizer):
    text = "red<|endoftext|> star<|startoftext|>"
    plain, special = tokenizer.encode(text), tokenizer.encode(text, allow_special=True)
    assert not {tokenizer.start, tokenizer.end} & set(plain) and tokenizer.decode(plain) == text
    inner = [*tokenizer.encode("red"), tokenizer.end, *tokenizer.encode(" star")]
    assert special == [*inner, tokenizer.start]
    assert tokenizer.decode(special) == "red star"
    assert tokenizer.decode(special, keep_special=True) == text
    assert tokenizer.decode_bytes(special) == text.encode()


def test_ids_of_a_trained_tokenizer(tokenizer):
    size = len(tokenizer)
    assert (tokenizer.start, tokenizer.end, tokenizer.pad) == (size - 3, size - 2, size - 1)
    assert tokenizer.symbols[:2] == ["!", '"'] and tokenizer.symbols[220] == "Ġ"
    left, right = tokenizer.merges[0]
    assert tokenizer.symbols[256] == left + right
    assert tokenizer.vocabulary[220] == b" " and len(tokenizer.vocabulary) == size


def test_pad_batch_frames_cuts_and_pads():
    tokens, real = pad_batch([[5, 6], [], [5, 6, 7, 8]], 5, start=1, end=2, pad=0)
    torch.testing.assert_close(
        tokens, torch.tensor([[1, 5, 6, 2, 0], [1, 2, 0, 0, 0], [1, 5, 6, 7, 2]])
    )
    expected = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    torch.testing.assert_close(real, expected)
    # A padding id that is also a real token: the mask cannot be read off the tokens.
    _, real = pad_batch([[0]], 4, start=1, end=2, pad=0)
    assert real.tolist() == [[True, True, True, False]]
    assert pad_batch([[5]], 2, start=1, end=2, pad=0)[0].tolist() == [[1, 2]]
    assert pad_batch([], 3, start=1, end=2, pad=0)[0].shape == (0, 3)
    with pytest.raises(ValueError, match="length 1 has no room"):
        pad_batch([[5]], 1, start=1, end=2, pad=0)


def test_batch_is_encode_within_start_and_end(tokenizer):
    tokens, real = tokenizer.batch(["a red star", "ball"], 9)
    assert tokens.dtype == torch.int64 and real.dtype == torch.bool
    for row, mask, text in zip(tokens, real, ["a red star", "ball"], strict=True):
        ids = [tokenizer.start, *tokenizer.encode(text), tokenizer.end]
        assert row[mask].tolist() == ids
        assert row[~mask].tolist() == [tokenizer.pad] * (9 - len(ids))
        assert tokenizer.decode(row) == text
    with pytest.raises(TypeError, match="not a single str"):
        tokenizer.batch("a red star", 9)


def test_what_is_not_text_is_refused_in_a_sentence(tokenizer):
    with pytest.raises(TypeError, match="str or bytes, not int"):
        tokenizer.encode(7)
    with pytest.raises(ValueError, match=r"half a surrogate pair, '\\ud800' at 1"):
        tokenizer.encode("a\ud800")
    with pytest.raises(TypeError, match="not NoneType"):
        BytePairEncoding.train(["a", None], 3)
    with pytest.raises(ValueError, match="cannot learn -1 merges"):
        BytePairEncoding.train("a", -1)
    with pytest.raises(ValueError, match="style 'gpt9' is not one of gpt2, clip"):
        BytePairEncoding.train("a", 1, style="gpt9")


def test_a_vocabulary_that_cannot_work_is_refused():
    with pytest.raises(ValueError, match="merge 'a' 'b' has no token in the vocabulary"):
        BytePairEncoding([("a", "b")], ["a", "b", "<end>"], start=2, end=2, pad=2)
    with pytest.raises(ValueError, match="token 3 is outside the vocabulary of 3"):
        BytePairEncoding([], ["a", "b", "<end>"], start=2, end=3, pad=2)
    small = BytePairEncoding([], ["a", "b", "<end>"], start=2, end=2, pad=2)
    with pytest.raises(ValueError, match="vocabulary of 3 has no token for 'c'"):
        small.encode("abc")


@pytest.mark.parametrize("style", ["gpt2", "clip"])
def test_a_saved_tokenizer_is_the_same_when_loaded(tmp_path, style):
    tokenizer = BytePairEncoding.train(SENTENCES, 30, style=style)
    tokenizer.save(tmp_path / "words.json")
    again = BytePairEncoding.load(tmp_path / "words.json")
    text = "A small, blue star! ½ é 日本"
    assert again.encode(text) == tokenizer.encode(text) and len(again) == len(tokenizer)
    for name in ("merges", "symbols", "style", "start", "end", "pad", "special", "vocabulary"):
        assert getattr(again, name) == getattr(tokenizer, name), name
    assert [file.name for file in tmp_path.iterdir()] == ["words.json"]


def test_an_interrupted_save_keeps_the_old_file(tmp_path, tokenizer, monkeypatch):
    path = tmp_path / "words.json"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", lambda _: 1 / 0)  # the disk is full, say
    with pytest.raises(ZeroDivisionError):
        tokenizer.save(path)
    assert path.read_text() == "old"


def test_a_saved_file_can_be_read_by_people(tmp_path, tokenizer):
    tokenizer.save(tmp_path / "words.json")
    assert "Ġsmall" in (tmp_path / "words.json").read_bytes().decode("utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("merges"),
        lambda content: content.update(format="another"),
        lambda content: content.update(end=10_000),
        lambda content: content.update(merges=[["a", "b", "c"]]),
        lambda content: content.update(merges=[["a", "Z"]]),
        lambda content: content.update(symbols=5),
        lambda content: content.update(style="none"),
    ],
)
def test_a_corrupt_file_is_refused_by_name(tmp_path, tokenizer, change):
    path = tmp_path / "words.json"
    tokenizer.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"words\.json is not a tokenizer that scratchmm saved"):
        BytePairEncoding.load(path)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b"null"])
def test_a_file_that_is_something_else_is_refused(tmp_path, data):
    path = tmp_path / "other.json"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"other\.json is not a tokenizer"):
        BytePairEncoding.load(path)
    with pytest.raises(FileNotFoundError):
        BytePairEncoding.load(tmp_path / "none.json")


def test_clip_style_lowers_tidies_and_ends_words():
    tokenizer = BytePairEncoding.train(["Small RED stars"], 50, style="clip")
    assert [tokenizer.symbols[t] for t in tokenizer.encode("red")] == ["red</w>"]
    assert tokenizer.encode(" RED \n\t stars ") == tokenizer.encode("red stars")
    assert tokenizer.encode("&lt;red&gt;") == tokenizer.encode("<red>")
    assert tokenizer.encode("&amp;lt;") == tokenizer.encode("<")  # unescaped twice
    assert tokenizer.decode(tokenizer.encode("Small  RED stars")) == "small red stars"
    assert len(tokenizer) == 512 + len({a + b for a, b in tokenizer.merges}) + 3


@given(text=st.text("ab1'é ", max_size=30))
@settings(max_examples=100, deadline=None)
def test_clip_style_forgets_only_how_words_were_spaced(text):
    tokenizer = BytePairEncoding.train("ab ab1 'é", 5, style="clip")
    assert tokenizer.decode(tokenizer.encode(text)).replace(" ", "") == text.replace(" ", "")


def test_a_long_word_costs_no_quadratic_time():
    tokenizer = BytePairEncoding.train("abcab bcaab " * 9, 20)
    times = []
    for length in (20_000, 160_000):
        started = time.process_time()
        ids = tokenizer.encode("abcaabcb" * (length // 8))
        times.append(time.process_time() - started)
        assert tokenizer.decode(ids) == "abcaabcb" * (length // 8)
    assert times[1] < 30 * times[0] + 0.1  # 8 times the text; quadratic would be 64 times


def test_training_costs_no_quadratic_time(monkeypatch):
    """Count the pairs looked at instead of seconds: each merge may only touch its own places."""
    looked = Counter()
    pair = fast_bpe.LinkedWords.pair

    def counted(self, left):
        looked["pairs"] += 1
        return pair(self, left)

    monkeypatch.setattr(fast_bpe.LinkedWords, "pair", counted)
    text = "".join("abcdefgh"[(i * i // 3 + i) % 8] for i in range(20_000))
    train_many_merges({tuple(text): 1}, 300)
    assert looked["pairs"] < 20 * len(text)  # recounting everything would look 300 times at each


def test_a_long_word_stands_among_others():
    tokenizer = BytePairEncoding.train(["some words and others"] * 3, 20)
    text = "some " + "wordsand" * 20 + " others"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_longest_special_name_is_read_first():
    plain = BytePairEncoding.train(["a b"], 1)
    symbols = [*plain.symbols[:-3], "<e", "<e>", "<e>>"]
    for start, end, pad in permutations(range(len(symbols) - 3, len(symbols))):
        tokenizer = BytePairEncoding(plain.merges, symbols, start=start, end=end, pad=pad)
        ids = tokenizer.encode("<e>>a<e>b<e", allow_special=True)
        assert [symbols[token] for token in ids if token >= len(symbols) - 3] == [
            "<e>>",
            "<e>",
            "<e",
        ]


def test_the_name_of_a_special_token_is_cut_as_any_text():
    text = "a red <|endoftext|> star"
    tokenizer = BytePairEncoding.train([text] * 3, 30)
    names = {tokenizer.symbols[t] for t in (tokenizer.start, tokenizer.end, tokenizer.pad)}
    symbols = [s + "\0" if s in names else s for s in tokenizer.symbols]
    special = {"start": tokenizer.start, "end": tokenizer.end, "pad": tokenizer.pad}
    other = BytePairEncoding(tokenizer.merges, symbols, **special)
    assert tokenizer.encode(text) == other.encode(text)


def run_shapes() -> None:
    from scratchmm.language import bpe

    bpe.pad_batch([[5], [6, 7, 8], [9]], 5, start=1, end=2, pad=0)


def test_shape_comments_are_true() -> None:
    check_shape_comments(run_shapes, "language/bpe.py")
