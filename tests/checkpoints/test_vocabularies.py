"""Published vocabularies against the published tokenizers themselves, on small files of theirs."""

import gzip
import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchmm.checkpoints.vocabularies import load_clip, load_gpt2
from scratchmm.language.bpe import BytePairEncoding
from scratchmm.language.cleaning import byte_symbols, clean, clip_pattern, gpt2_pattern

CORPUS = [
    "A photo of a small red star, and another photo of a large blue ball.",
    "They've said it's the 1st of 1234 photos; we'll see what I'm told!",
    "Ein rötlicher Stern über dem Café, naïve façade, Ångström.",
    "def encode(text):\n    return [token for token in text]\n\n\n",
    "日本語の写真 赤い星 красная звезда αστέρι 🌟✨ star ⭐",
] * 3
TEXTS = [
    "",
    " ",
    "a",
    "a photo of a red star",
    "  two  spaces   and trailing  ",
    "\n\nnew\n lines\t\ttabs \r\n",
    "they've it's I'll we'd you're I'M CAN'T 'quoted' ''",
    "½ Ⅷ 12345 ² ٣ ㊿ 1st 3.14",
    "🌟✨👩‍👩‍👧 🇩🇪 star⭐",
    "cafe\u0301 café n\u0303 e\u0301\u0302 \u0301",
    "日本語 赤い星 한국어 ภาษา हिन्दी العربية",
    "STRASSE Straße İstanbul ǅ ΣΑΣ",
    "non\u00a0breaking\u2003em\u3000wide\u200bzero\u0085next\u2028line",
    "\x00\x1c\x1f control \x7f",
    "!@#$%^&*() --- ... ,;:_-+= <|> |endoftext|",
    "a" * 200,
    "def f(x):\n        return x  # eight\n",
]
# Characters of newer Unicode tables than Python's would be cut differently, so leave those out.
# U+0345 is a letter for nobody, yet OpenAI's pattern loses it: a quirk of ignoring case.
QUIRK = "\u0345"
known = st.characters(exclude_categories=("Cs", "Cn", "Co"), exclude_characters=QUIRK)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """A byte-level vocabulary that the tokenizers library trained, in GPT-2's layout."""
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.ByteLevelBPETokenizer()
    theirs.train_from_iterator(
        CORPUS, vocab_size=600, min_frequency=1, special_tokens=["<|endoftext|>"]
    )
    folder = tmp_path_factory.mktemp("gpt2")
    theirs.save_model(str(folder))
    return theirs, load_gpt2(folder)


def test_gpt2_ids_are_those_of_the_tokenizers_library(gpt2):
    theirs, ours = gpt2
    assert len(ours) == theirs.get_vocab_size() and len(ours.merges) > 200
    for text in TEXTS + CORPUS:
        assert ours.encode(text) == theirs.encode(text).ids, text
        assert ours.decode(ours.encode(text)) == text
    assert ours.end == ours.start == ours.pad == theirs.token_to_id("<|endoftext|>")


@given(text=st.text(known | st.sampled_from(" \n'sstarphoto")))
@settings(max_examples=300, deadline=None)
def test_gpt2_ids_of_any_text(gpt2, text):
    theirs, ours = gpt2
    assert ours.encode(text, allow_special=True) == theirs.encode(text).ids


def test_a_special_token_in_the_text_is_read_as_published_where_allowed(gpt2):
    theirs, ours = gpt2
    text = "a star<|endoftext|> a ball"
    assert ours.encode(text, allow_special=True) == theirs.encode(text).ids
    assert ours.end not in ours.encode(text)


GPT2_PATTERN = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # published
)
# As published, less the names of the special tokens: here text never becomes one by itself.
CLIP_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@given(text=st.text(known | st.sampled_from(" '\n\tslvedtr1")))
@settings(max_examples=300, deadline=None)
def test_words_are_cut_as_the_published_patterns_cut_them(text):
    regex = pytest.importorskip("regex")
    assert gpt2_pattern().findall(text) == regex.findall(GPT2_PATTERN, text)
    theirs = regex.compile(CLIP_PATTERN, regex.IGNORECASE)
    assert clip_pattern().findall(text) == theirs.findall(text)


def test_every_character_that_python_knows_is_cut_as_published():
    regex = pytest.importorskip("regex")
    codes = (chr(code) for code in range(0x110000))
    text = "".join(c for c in codes if unicodedata.category(c) not in ("Cs", "Cn", "Co"))
    assert gpt2_pattern().findall(text) == regex.findall(GPT2_PATTERN, text)
    theirs, text = regex.compile(CLIP_PATTERN, regex.IGNORECASE), text.replace(QUIRK, "")
    assert clip_pattern().findall(text) == theirs.findall(text)


def test_every_text_is_cut_without_loss():
    for text in TEXTS:
        assert "".join(gpt2_pattern().findall(text)) == text


def published_order():
    """The 256 byte symbols as OpenAI's bytes_to_unicode makes them."""
    known = [*range(33, 127), *range(161, 173), *range(174, 256)]
    codes = list(known)
    for byte in range(256):
        if byte not in known:
            known.append(byte)
            codes.append(256 + len(codes) - 188)
    return [chr(code) for code in codes]


def clip_merges():
    return [" ".join(pair) for pair in BytePairEncoding.train(CORPUS, 300, style="clip").merges]


def write_openai(path, merges):
    text = "bpe_simple_vocab_16e6.txt#version: 0.2\n" + "\n".join(merges) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_folder(folder, merges):
    symbols = published_order()
    symbols += [symbol + "</w>" for symbol in symbols]
    symbols += [merge.replace(" ", "") for merge in merges]
    symbols += ["<|startoftext|>", "<|endoftext|>"]
    ids = {symbol: place for place, symbol in enumerate(symbols)}
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    text = "#version: 0.2\n" + "\n".join(merges) + "\n"
    (folder / "merges.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A small CLIP vocabulary in the layout of transformers; no symbol spelled twice."""
    merges, spelled = [], set()
    for merge in clip_merges():
        if merge.replace(" ", "") not in spelled:
            spelled.add(merge.replace(" ", ""))
            merges.append(merge)
    return write_folder(tmp_path_factory.mktemp("clip"), merges), merges


def test_clip_ids_stand_in_the_published_order(tmp_path):
    path = write_openai(tmp_path / "bpe_simple_vocab_16e6.txt.gz", ["c a", "ca t</w>", "# #"])
    tokenizer = load_clip(path)
    order = published_order()
    assert byte_symbols() == order
    assert tokenizer.symbols[:256] == order
    assert tokenizer.symbols[256:512] == [symbol + "</w>" for symbol in order]
    assert tokenizer.symbols[512:] == ["ca", "cat</w>", "##", "<|startoftext|>", "<|endoftext|>"]
    assert (tokenizer.start, tokenizer.end, len(tokenizer)) == (515, 516, 517)
    assert tokenizer.encode("Cat ca ##") == [513, 66, 320, 2, 258]
    tokens, real = tokenizer.batch(["cat"], 5)
    assert tokens.tolist() == [[515, 513, 516, 516, 516]]
    assert real.tolist() == [[True, True, True, False, False]]


def test_clip_at_full_size_ends_at_the_published_ids(tmp_path):
    merges = [f"{a} {b}" for a in published_order()[:250] for b in published_order()]
    assert len(merges) > 49152 - 256 - 2  # the published file is longer than what is used, too
    tokenizer = load_clip(write_openai(tmp_path / "vocabulary.txt", merges))
    assert (tokenizer.start, tokenizer.end, len(tokenizer)) == (49406, 49407, 49408)


def test_clip_ids_are_those_of_transformers(clip_folder, monkeypatch):
    transformers = pytest.importorskip("transformers")
    folder, merges = clip_folder
    theirs = transformers.CLIPTokenizer.from_pretrained(str(folder))
    ours = load_clip(folder)
    # Where the two published tokenizers differ, ours follows OpenAI's: the last letter of a Greek
    # word in capitals, one control that Python strips, and HTML, which only OpenAI undoes.
    skipped = ("STRASSE", "\x00")
    for text in [text for text in TEXTS if not text.startswith(skipped)] + CORPUS:
        expected = theirs(text)["input_ids"]
        assert [ours.start, *ours.encode(text), ours.end] == expected, text
        length = 12
        padded = theirs(text, padding="max_length", max_length=length, truncation=True)
        tokens, real = ours.batch([text], length)
        assert tokens[0].tolist() == padded["input_ids"]
        assert real[0].tolist() == [bool(seen) for seen in padded["attention_mask"]]
    assert len(ours.merges) == len(merges) > 150


def test_both_layouts_of_clip_agree(clip_folder, tmp_path):
    folder, merges = clip_folder
    ours, other = load_clip(folder), load_clip(write_openai(tmp_path / "v.txt.gz", merges))
    assert ours.symbols == other.symbols and ours.merges == other.merges
    assert (ours.start, ours.end, ours.pad) == (other.start, other.end, other.pad)
    assert [ours.encode(text) for text in TEXTS] == [other.encode(text) for text in TEXTS]
    assert ours.decode(ours.encode("A  photo")) == "a photo"


@given(text=st.text(known | st.sampled_from(" \n'sstarphotoABC&;<>")))
@settings(max_examples=300, deadline=None)
def test_clip_cleans_and_merges_as_openai(clip_folder, text):
    """OpenAI's simple_tokenizer.encode, kept close to the original; NFC stands in for ftfy."""
    regex = pytest.importorskip("regex")
    import html

    ours = load_small(clip_folder[0])
    cleaned = html.unescape(html.unescape(unicodedata.normalize("NFC", text))).strip()
    cleaned = regex.sub(r"\s+", " ", cleaned).strip().lower()
    assert clean(text) == cleaned
    byte_encoder = dict(zip(sorted(range(256), key=byte_place), published_order(), strict=True))
    ids = []
    for word in regex.findall(regex.compile(CLIP_PATTERN, regex.IGNORECASE), cleaned):
        symbols = tuple(byte_encoder[byte] for byte in word.encode("utf-8"))
        ids += [ours.ids[symbol] for symbol in openai_merge(symbols, ours.ranks)]
    assert ours.encode(text) == ids


def byte_place(byte):
    return (not (33 <= byte < 127 or 161 <= byte < 173 or 174 <= byte), byte)


def openai_merge(symbols, ranks):
    word = (*symbols[:-1], symbols[-1] + "</w>")
    while len(word) > 1:
        bigram = min(zip(word, word[1:], strict=False), key=lambda p: ranks.get(p, float("inf")))
        if bigram not in ranks:
            break
        first, second = bigram
        new, i = [], 0
        while i < len(word):
            if word[i] == first and i < len(word) - 1 and word[i + 1] == second:
                new.append(first + second)
                i += 2
            else:
                new.append(word[i])
                i += 1
        word = tuple(new)
    return word


LOADED = {}


def load_small(folder):
    return LOADED.setdefault(folder, load_clip(folder))


def test_special_tokens_that_a_folder_lacks_get_the_next_ids(tmp_path):
    ids = {symbol: place for place, symbol in enumerate(published_order())}
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    (tmp_path / "merges.txt").write_text("")
    assert (load_gpt2(tmp_path).end, len(load_gpt2(tmp_path))) == (256, 257)
    clip = load_clip(tmp_path)
    assert (clip.start, clip.end, clip.pad) == (256, 257, 257)


def test_a_merge_may_begin_with_the_sign_of_a_comment(tmp_path):
    folder = write_folder(tmp_path, ["# #", "a b"])
    assert load_gpt2(folder).merges == [("#", "#"), ("a", "b")]
    (folder / "merges.txt").write_text("# #\na b")  # no headline at all
    assert load_gpt2(folder).merges == [("#", "#"), ("a", "b")]


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1042301\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.json", "{", "line 1 of .*vocab.json is no JSON"),
        ("vocab.json", '{\n"a": 0,\n"b" 1}', "line 3 of .*vocab.json is no JSON"),
        ("vocab.json", "[" * 100_000, "vocab.json is nested too deeply"),
        ("vocab.json", POINTER, "vocab.json is a pointer of Git LFS and not the file of 1,042,301"),
        ("merges.txt", POINTER, "merges.txt is a pointer of Git LFS and not the file of 1,042,301"),
        ("merges.txt", "#version: 0.2\na b\n\nabc\n", "line 4, 'abc', is not two symbols"),
        ("merges.txt", "a b\n" + "a" * 500, "line 2, 'aaa.* ... aaa*', is not two symbols"),
        ("vocab.json", "[1]", "does not give its symbols the ids 0, 1, 2"),
        ("vocab.json", '{"a": 0, "b": 2}', "does not give its symbols the ids 0, 1, 2"),
        ("vocab.json", '{"a": [0], "b": 1}', "does not give its symbols the ids 0, 1, 2"),
        ("merges.txt", "#version: 0.2\na b c\n", "line 2, 'a b c', is not two symbols"),
        ("merges.txt", "#version: 0.2\na Ω\n", "merge 'a' 'Ω' has no token in the vocabulary"),
    ],
)
def test_a_corrupt_folder_is_refused_in_a_sentence(tmp_path, name, content, message):
    folder = write_folder(tmp_path, ["a b"])
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        load_gpt2(folder)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("cut", [5, 40])
def test_a_truncated_file_is_refused(tmp_path, cut):
    path = write_openai(tmp_path / "v.txt.gz", [f"a {symbol}" for symbol in published_order()])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"v\.txt\.gz cannot be read as a vocabulary"):
        load_clip(path)
    path.write_bytes(b"\xff\xfeabc")
    with pytest.raises(ValueError, match="cannot be read as a vocabulary"):
        load_clip(path)


def test_a_pointer_in_place_of_openais_file(tmp_path):
    (tmp_path / "v.txt.gz").write_text(POINTER)
    with pytest.raises(ValueError, match="v.txt.gz is a pointer of Git LFS and not the file of"):
        load_clip(tmp_path / "v.txt.gz")


def test_a_byte_order_mark_is_no_merge(tmp_path):
    folder = write_folder(tmp_path, ["a b"])
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    assert load_gpt2(folder).merges == [("a", "b")]


def test_the_other_librarys_file_is_named(tmp_path):
    (tmp_path / "tokenizer.json").touch()
    with pytest.raises(FileNotFoundError, match="no vocabulary file .*vocab.json: tokenizer.json"):
        load_gpt2(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no vocabulary file .*vocab\.json"):
        load_gpt2(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no vocabulary file .*v\.gz"):
        load_clip(tmp_path / "v.gz")


# What lies beside: tokenizer_config.json and its siblings


def beside(clip_folder, tmp_path, **files):
    folder = write_folder(tmp_path, clip_folder[1])
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer_config": {"pad_token": "!", "model_max_length": 77, "do_lower_case": True}},
        {"tokenizer_config": {"pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer"}},
        {"tokenizer_config": {"pad_token": {"__type": "AddedToken", "content": "!"}}},
        {"tokenizer_config": {}, "special_tokens_map": {"pad_token": "!", "unk_token": "?"}},
        {"special_tokens_map": {"pad_token": {"content": "!"}, "eos_token": "<|endoftext|>"}},
        # Stable Diffusion 2's: the older map outdoes the newer file's word
        {
            "tokenizer_config": {"pad_token": "<|endoftext|>"},
            "special_tokens_map": {"pad_token": "!"},
        },
        {"tokenizer_config": {"pad_token": "!", "added_tokens_decoder": {"0": {"content": "!"}}}}
        | {"special_tokens_map": {"pad_token": "<|endoftext|>"}},
    ],
)
def test_padding_is_what_the_files_name(clip_folder, tmp_path, files):
    transformers = pytest.importorskip("transformers")
    folder = beside(clip_folder, tmp_path, **files)
    theirs = transformers.CLIPTokenizer.from_pretrained(str(folder))
    ours = load_clip(folder)
    assert ours.pad == theirs.pad_token_id
    texts = ["a photo", "Ein rötlicher Stern 日本語 star"]
    tokens, real = ours.batch(texts, 32)
    padded = theirs(texts, padding="max_length", max_length=32)
    assert tokens.tolist() == padded["input_ids"]
    assert real.long().tolist() == padded["attention_mask"]


def test_the_name_of_the_padding_in_a_text_is_text(clip_folder, tmp_path):
    folder = beside(clip_folder, tmp_path, tokenizer_config={"pad_token": "!"})
    ours = load_clip(folder)
    assert ours.pad == 0 and ours.encode("a!") == load_clip(clip_folder[0]).encode("a!")
    assert 0 not in ours.encode("a!")


def test_gpt2s_padding(clip_folder, tmp_path):
    folder = beside(clip_folder, tmp_path, tokenizer_config={"pad_token": "!"})
    assert (load_gpt2(folder).pad, load_gpt2(folder).end) == (0, len(load_gpt2(folder)) - 1)


@pytest.mark.parametrize(
    ("name", "said", "sentence"),
    [
        (
            "tokenizer_config",
            {"pad_token": "[PAD]"},
            r"pad_token is '\[PAD\]', which vocab.json has",
        ),
        ("tokenizer_config", {"bos_token": "<s>"}, "bos_token is '<s>', .*only have '<.startofte"),
        (
            "tokenizer_config",
            {"eos_token": {"content": "</s>"}},
            "eos_token is '</s>', .*endoftext",
        ),
        ("tokenizer_config", {"do_lower_case": False}, "do_lower_case is False, .*only have True"),
        ("tokenizer_config", {"add_prefix_space": True}, "add_prefix_space is True, .*have False"),
        ("tokenizer_config", {"tokenizer_class": "GPT2Tokenizer"}, "tokenizer_class is 'GPT2Tok"),
        ("special_tokens_map", {"eos_token": "!"}, "tokens_map.json says eos_token is '!'"),
        ("added_tokens", {"<cat>": 49408}, "added_tokens.json adds the token '<cat>': beside"),
        ("tokenizer", {"added_tokens": [{"content": "<cat>"}]}, "tokenizer.json adds the token"),
        (
            "tokenizer_config",
            {"added_tokens_decoder": {"3": {"content": "<cat>"}}},
            "adds the token",
        ),
    ],
)
def test_special_tokens_that_cannot_be_are_refused(clip_folder, tmp_path, name, said, sentence):
    folder = beside(clip_folder, tmp_path, **{name: said})
    with pytest.raises(ValueError, match=sentence) as refusal:
        load_clip(folder)
    assert f"{name}.json" in str(refusal.value)
    if "tokenizer_class" in said:
        load_gpt2(folder)
