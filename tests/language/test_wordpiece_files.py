"""What lies beside a BERT's vocabulary, against transformers' BertTokenizer on the same folder."""

import json

import pytest

from scratchmm.language.wordpiece import SPECIAL, WordPiece

TEXTS = [
    "Où est la Tour Eiffel?",
    "où est la tour eiffel?",
    "Ångström naïve CAFÉ cafe\u0301 École",
    "日本語のテキスト and Berlin",
    "STRASSE Straße İstanbul ΣΑΣ",
    "A 中文 b漢c 한국어",
]
WORDS = "Où où ou est la la Tour tour Eiffel eiffel é É e ? Berlin berlin cafe Café café a A b c".split()
LETTERS = sorted({letter for text in TEXTS for letter in text + text.lower() if letter != " "})
PIECES = list(dict.fromkeys([*SPECIAL, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]))
CASED = {"do_lower_case": False}


def write(folder, **files):
    """A folder with a vocabulary and JSON files beside it, by their names less .json."""
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def reference(folder, **more):
    transformers = pytest.importorskip("transformers")
    return transformers.BertTokenizer.from_pretrained(folder, **more)


def equal(ours, theirs):
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False), text
    batch = ours.batch(TEXTS, 12)
    padded = theirs(TEXTS, padding="max_length", truncation=True, max_length=12)
    assert batch.tokens.tolist() == padded["input_ids"]
    assert batch.real.long().tolist() == padded["attention_mask"]


@pytest.mark.parametrize(
    ("said", "lower"),
    [
        ({"do_lower_case": True}, True),
        (CASED, False),
        ({}, True),
        ({"do_lower_case": False, "strip_accents": False, "model_max_length": 512}, False),
        ({"do_lower_case": True, "strip_accents": True, "tokenize_chinese_chars": True}, True),
        ({**CASED, "tokenizer_class": "BertTokenizer", "pad_token": "[PAD]"}, False),
        ({**CASED, "cls_token": {"__type": "AddedToken", "content": "[CLS]"}}, False),
    ],
)
def test_case_is_as_the_file_says(tmp_path, said, lower):
    write(tmp_path, tokenizer_config=said)
    for path in (tmp_path, tmp_path / "vocab.txt"):
        ours = WordPiece.load(path)
        assert ours.lower is lower
        equal(ours, reference(tmp_path))
    assert ours.encode("Où") == [PIECES.index("ou" if lower else "Où")]
    assert WordPiece.load(tmp_path, lower=lower).lower is lower
    with pytest.raises(ValueError, match=f"do_lower_case is {lower}, but lower={not lower} is"):
        WordPiece.load(tmp_path, lower=not lower)


@pytest.mark.parametrize("lower", [True, False])
def test_a_folder_as_transformers_writes_it(tmp_path, lower):
    """Without a vocab.txt: the pieces are in tokenizer.json, in any order."""
    transformers = pytest.importorskip("transformers")
    ids = {piece: place for place, piece in enumerate(PIECES)}
    theirs = transformers.BertTokenizer(ids, do_lower_case=lower, model_max_length=77)
    theirs.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        ours = WordPiece.load(path)
        assert ours.symbols == PIECES and ours.lower is lower
        equal(ours, theirs)
    (tmp_path / "tokenizer_config.json").unlink()
    assert WordPiece.load(tmp_path).lower is lower
    general = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(general))
    assert WordPiece.load(tmp_path).lower is lower
    with pytest.raises(ValueError, match=f"normalizer.lowercase is {lower}, but lower={not lower}"):
        WordPiece.load(tmp_path, lower=not lower)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": not lower}))
    with pytest.raises(ValueError, match="config.json says do_lower_case is .* and .*lowercase is"):
        WordPiece.load(tmp_path)


def test_capitals_that_nothing_explains(tmp_path):
    """A cased vocabulary read lower-cased finds none of its capitals, and says so nowhere."""
    write(tmp_path)
    with pytest.raises(
        ValueError, match="capitals, as 'Où', and no tokenizer_config.json .*lower=F"
    ):
        WordPiece.load(tmp_path)
    assert not WordPiece.load(tmp_path, lower=False).lower
    assert WordPiece.load(tmp_path, lower=True).lower
    small = [*SPECIAL, "[unused0]", "ou", "日", "é"]
    (tmp_path / "vocab.txt").write_text("\n".join(small), encoding="utf-8")
    assert WordPiece.load(tmp_path).lower


CONFIG = "tokenizer_config"


@pytest.mark.parametrize(
    ("name", "said", "sentence"),
    [
        (CONFIG, {"do_lower_case": "yes"}, "do_lower_case is 'yes'.*only have True or False"),
        (CONFIG, {"strip_accents": False}, "strip_accents is False, .*only have None or True"),
        (CONFIG, {**CASED, "strip_accents": True}, "strip_accents is True, .*None or False"),
        (CONFIG, {"tokenize_chinese_chars": False}, "tokenize_chinese_chars is False, .*have True"),
        (CONFIG, {"do_basic_tokenize": False}, "do_basic_tokenize is False, .*only have True"),
        (CONFIG, {"never_split": ["etc."]}, r"never_split is \['etc.'\], .*only have None or \[\]"),
        (CONFIG, {"tokenizer_class": "BertJapaneseTokenizer"}, "tokenizer_class is 'BertJap"),
        (CONFIG, {"unk_token": "<unk>"}, r"unk_token is '<unk>', .*only have '\[UNK\]'"),
        (CONFIG, {"cls_token": {"content": "<s>"}}, r"cls_token is '<s>', .*have '\[CLS\]'"),
        (CONFIG, {"added_tokens_decoder": {"5": {"content": "<new>"}}}, "adds the token '<new>'"),
        ("special_tokens_map", {"sep_token": "</s>"}, r"map.json says sep_token is '</s>'.*SEP"),
        ("added_tokens", {"<new>": 99}, "added_tokens.json adds the token '<new>', .*has not"),
        (
            "added_tokens",
            {"Berlin": 12},
            "added_tokens.json adds the token 'Berlin', .*has: beside",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, name, said, sentence):
    write(tmp_path, **{"tokenizer_config": {}, name: said})
    with pytest.raises(ValueError, match=sentence) as refusal:
        WordPiece.load(tmp_path)
    assert f"{tmp_path}" in str(refusal.value)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("normalizer", "handle_chinese_chars", False),
        ("normalizer", "clean_text", False),
        ("normalizer", "strip_accents", False),
        ("normalizer", "type", "Lowercase"),
        ("pre_tokenizer", "type", "Whitespace"),
        ("model", "type", "Unigram"),
        ("model", "continuing_subword_prefix", "@@"),
        ("model", "max_input_chars_per_word", 50),
        ("model", "unk_token", "<unk>"),
    ],
)
def test_what_tokenizer_json_says_otherwise_is_refused(tmp_path, part, key, value):
    transformers = pytest.importorskip("transformers")
    ids = {piece: place for place, piece in enumerate(PIECES)}
    transformers.BertTokenizer(ids).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    assert key in told[part]
    told[part][key] = value
    path.write_text(json.dumps(told))
    with pytest.raises(ValueError, match=f"says {part}.{key} is {value!r}, and this tokenizer can"):
        WordPiece.load(tmp_path)


def test_an_older_map_is_outdone_by_a_table_of_added_tokens(tmp_path):
    """As in transformers, which then passes over special_tokens_map.json."""
    table = {"0": {"content": "[PAD]", "special": True}}
    write(
        tmp_path,
        tokenizer_config={"added_tokens_decoder": table},
        special_tokens_map={"unk_token": "?"},
    )
    equal(WordPiece.load(tmp_path), reference(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("tokenizer_config.json", "[1]", "holds a list and no settings by key"),
        ("tokenizer_config.json", "{", "is no JSON"),
        ("tokenizer.json", '{"model": 3}', "says model is 3, which are no settings by key"),
        ("tokenizer.json", '{"model": {"vocab": {"a": 1}}}', "normalizer is None"),
    ],
)
def test_damaged_files(tmp_path, name, content, sentence):
    write(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"{name} .*{sentence}"):
        WordPiece.load(tmp_path)


def test_ids_with_gaps(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": {"vocab": {"[PAD]": 1}}}')
    with pytest.raises(ValueError, match="tokenizer.json does not give its pieces the ids 0, 1, 2"):
        WordPiece.load(tmp_path)
