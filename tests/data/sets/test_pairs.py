import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scratchmm.data.sets.pairs import (
    Pair,
    check_pairs,
    load_emoji,
    load_images,
    read_pairs,
    split_pairs,
)


@pytest.fixture
def table(tmp_path):
    """A function that writes a table beside two images and returns its path."""
    for name in ("a.png", "b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)

    def write(content, encoding="utf-8"):
        path = tmp_path / "pairs.tsv"
        path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
        return path

    return write


# Everything but a tab and the ends of lines, with something to see in it.
cells = st.text(st.characters(exclude_characters="\t\n\r\0", codec="utf-8"), min_size=1).filter(
    lambda text: text.strip()
)


@settings(deadline=None, max_examples=60)
@given(st.lists(cells, min_size=1, max_size=5), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_texts_are_read_as_they_are_written(tmp_path_factory, texts, end, last):
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "a.png").touch()
    lines = ["text\tfile", *(f"{text}\ta.png" for text in texts)]
    (folder / "pairs.tsv").write_bytes((end.join(lines) + end * last).encode())
    pairs = read_pairs(folder / "pairs.tsv")
    assert [pair.text for pair in pairs] == texts
    assert {pair.file for pair in pairs} == {folder / "a.png"}


def test_quotation_marks_and_odd_line_separators_are_text(table):
    pairs = read_pairs(table('file\ttext\na.png\t"a cat\nb.png\tb\u2028c\x0bd" "\n'))
    assert [pair.text for pair in pairs] == ['"a cat', 'b\u2028c\x0bd" "']


def test_a_mark_at_the_beginning_and_blank_lines_are_skipped(table):
    pairs = read_pairs(table("\ufefffile\ttext\textra\n\na.png\tone\t\n\t\nb.png\ttwo\tx\n"))
    assert [pair.text for pair in pairs] == ["one", "two"]


def test_the_text_may_stand_in_a_column_of_another_name(table):
    path = table("file\tname\tcaption\na.png\tone\ta one\n")
    assert read_pairs(path)[0].text == "one"
    assert read_pairs(path, "caption")[0].text == "a one"
    assert read_pairs(table("file\tname\ttext\na.png\tone\tt\n"))[0].text == "t"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "pairs.tsv is empty"),
        ("\n \n", "pairs.tsv is empty"),
        ("file\ttext\n", "has a header but no pairs"),
        ("file\tcaption\na.png\tx\n", "no column 'text', its header has file, caption"),
        ("file,text\na.png,x\n", "its header has file,text: .* tabs are expected"),
        ("file\ttext\ra.png\tx\r", "its lines end in CR alone, not in LF"),
        ("image\ttext\na.png\tx\n", "no column 'file', its header has image, text"),
        ("file\ttext\na.png\tx\n\nc.png\ty\n", "line 4 of .*pairs.tsv names .*c.png"),
        ("file\ttext\na.png\tx\n\tx\n", "line 3 of .* nothing in its column 'file'"),
        ("file\ttext\na.png\t \n", "line 2 of .* nothing in its column 'text'"),
        ("file\ttext\na.png\tx\ty\n", "line 2 of .* has 3 columns, the header has 2"),
        ("file\ttext\na.png\n", "line 2 of .* has 1 columns, the header has 2"),
        (b"file\ttext\na.png\tcaf\xe9 bar\n", "not UTF-8: byte 19 is 0xe9, in line 2"),
        ("file\ttext\n".encode("utf-16"), "not UTF-8: byte 0 is 0xff"),
    ],
)
def test_a_broken_table_is_refused_in_a_sentence(table, content, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as refusal:
        read_pairs(table(content))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("file\ttext\ttext\na.png\tx\ty\n", "line 1 of .* names the column 'text' 2 times"),
        ("file\ttext\tfile \na.png\tx\ty\n", "names the column 'file' 2 times"),
        ("File\tText\na.png\tx\n", "no column 'file', .*: 'File' is written otherwise"),
        ("file\ttext\n".encode("utf-16"), "it is UTF-16, as Excel writes Unicode text"),
        ("file\ttext\n".encode("utf-16-be"), "zero byte in line 1, .*UTF-16 without a mark"),
        ("file\ttext\n".encode("utf-32"), "it is UTF-32"),
        ("file\ttext\nsub\tx\n", "line 2 of .* names .*sub, which is a folder and no image"),
        ("file\ttext\nsub\\c.png\tx\n", "line 2 of .*; with slashes for .* it is: sub/c.png"),
        ("file\ttext\n a.png \tx\n", "line 2 of .*; without the spaces around it it is: a.png"),
        ('file\ttext\n"a.png"\tx\n', "line 2 of .*; without quotation marks it is: a.png"),
        ("file\ttext\nA.PNG\tx\n", "line 2 of .*; there is a.png, in other cases"),
        ("file\ttext\nbu\u0308.png\tx\n", r"line 2 of .*; with its accents composed \(NFC\) it is"),
        ("file\ttext\nx\ta.png\n", "line 2 of .*; its column 'text' does name a file"),
        ("file\ttext\n" + "a" * 5000 + ".png\tx\n", "line 2 of .*too long for a file's name"),
        ("file\ttext\n" + "a/" * 3000 + "a.png\tx\n", "line 2 of .* names "),
        ("x" * 5000 + "\ttext\n", "no column 'file', its header has xxx"),
    ],
)
def test_frequent_mistakes_are_told_by_what_they_are(table, tmp_path, content, sentence):
    (tmp_path / "sub").mkdir()
    for name in ("sub/c.png", "b\u00fc.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as refusal:
        read_pairs(table(content))
    said = str(refusal.value)
    assert "\n" not in said and len(said) < 600 and "Errno" not in said


def test_names_are_no_texts_where_a_column_of_texts_is_written_otherwise(table):
    with pytest.raises(ValueError, match="no column 'text', .*: 'Text' is written otherwise"):
        read_pairs(table("file\tname\tText\na.png\tJohn\ta red ring\n"))


def test_check_refuses_a_column_named_twice(table):
    with pytest.raises(ValueError, match="names the column 'text' 2 times"):
        check_pairs(table("file\ttext\ttext\na.png\tx\ty\n"))


def test_columns_without_a_name_may_be_many(table):
    assert read_pairs(table("file\ttext\t\t\na.png\tx\t1\t2\n"))[0].text == "x"


def test_a_folder_is_not_a_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_pairs(tmp_path)


def test_check_names_every_problem_and_goes_on(table, tmp_path):
    Image.effect_noise((60, 60), 99).save(tmp_path / "c.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:-500])
    path = table("file\ttext\na.png\tx\nno.png\tx\nc.png\tx\nb.png\n\nb.png\ty\n")
    sound, problems = check_pairs(path)
    assert sound == 2 and [problem.split(" of ")[0] for problem in problems] == [
        "line 3",
        "line 4",
        "line 5",
    ]
    start = f"line 4 of {path}: {tmp_path / 'c.png'} is damaged or truncated: "
    assert problems[1].startswith(start) and problems[2].startswith(f"line 5 of {path} has 1 col")


names = st.sampled_from(["a", "b", "c", "d", "e", "f", ""])


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(names, names.filter(bool), names), min_size=2, max_size=30),
    st.floats(0.05, 0.95),
    st.integers(0, 9),
)
def test_near_copies_never_lie_on_both_sides(rows, held_out, seed):
    pairs = [
        Pair(Path(file + str(i % 7)), text, family) for i, (family, text, file) in enumerate(rows)
    ]
    try:
        train, test = split_pairs(pairs, held_out, seed)
    except ValueError as error:
        assert "cannot hold out a part" in str(error) and "near copies" in str(error)
        return
    assert train and test and sorted(train + test) == sorted(pairs)
    assert [pair for pair in pairs if pair in test] == test  # order is kept
    assert not {pair.text for pair in train} & {pair.text for pair in test}
    assert not {pair.file for pair in train} & {pair.file for pair in test}
    assert not {pair.family for pair in train if pair.family} & {pair.family for pair in test}


def _alike(folder, case):
    """Two pairs that belong together, for a reason that only a close look shows."""
    first = Pair(folder / "0.png", "one")
    (folder / "sub").mkdir()
    (folder / "link.png").symlink_to(folder / "0.png")
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    other = {
        "path": Pair(folder / "sub" / ".." / "0.png", "two"),
        "link": Pair(folder / "link.png", "two"),
        "copy": Pair(folder / "copy.png", "two"),
        "spaces": Pair(folder / "1.png", "ONE\u00a0 "),
        "accents": Pair(folder / "1.png", "one caf\u00e9"),
    }[case]
    return [first._replace(text="one  cafe\u0301" if case == "accents" else "one"), other]


@pytest.mark.parametrize("case", ["path", "link", "copy", "spaces", "accents"])
def test_one_image_or_text_under_two_spellings_is_never_divided(tmp_path, case):
    for number in range(9):  # of one size all, and each another
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"{number}.bmp")
        (tmp_path / f"{number}.bmp").rename(tmp_path / f"{number}.png")
    alike = _alike(tmp_path, case)
    others = [Pair(tmp_path / f"{number}.png", f"text {number}") for number in range(2, 9)]
    for seed in range(20):
        parts = split_pairs([*alike, *others], 0.3, seed)
        assert sorted(sum(pair in part for pair in alike) for part in parts) == [0, 2]
        assert all(len(part) >= 2 for part in parts)  # the others are told apart


def test_pairs_with_one_text_are_refused_with_the_reason_and_a_way_out():
    pairs = [Pair(Path(f"{i}.png"), "a cat", "", f"line {i + 2} of my.tsv") for i in range(40)]
    with pytest.raises(ValueError, match="40 pairs of my.tsv: they all have the text 'a cat'"):
        split_pairs(pairs)
    with pytest.raises(ValueError, match="at least 2"):
        split_pairs(pairs[:1])


def test_a_damaged_image_is_named_with_its_line(table, tmp_path):
    path = table("file\ttext\na.png\tx\n\nb.png\ty\n")
    (tmp_path / "b.png").write_bytes(b"not at all")
    with pytest.raises(ValueError, match="^line 4 of .*pairs.tsv: .*b.png is not an image"):
        load_images(read_pairs(path), 8)


def test_a_table_that_ends_its_lines_in_another_way_is_not_told_whole(table):
    with pytest.raises(ValueError, match="CR alone") as refusal:
        read_pairs(table("file\ttext\r" + "a.png\tx\r" * 1000))
    assert len(str(refusal.value)) < 400


def test_a_split_has_the_size_that_is_asked_for_and_its_seed_fixes_it():
    pairs = [Pair(Path(f"{i}.png"), f"text {i}") for i in range(200)]
    for held_out in (0.1, 0.25, 0.5):
        train, test = split_pairs(pairs, held_out)
        assert len(test) == 200 * held_out and len(train) == 200 - len(test)
    assert split_pairs(pairs, seed=1) == split_pairs(pairs, seed=1) != split_pairs(pairs, seed=2)
    assert [len(part) for part in split_pairs(pairs[:2], 0.9)] == [1, 1]
    assert [len(part) for part in split_pairs(pairs[:4], 0.1)] == [3, 1]
    assert [len(part) for part in split_pairs(pairs[:4], 0.9)] == [1, 3]
    for wrong in (0, 1, -0.5, 3):
        with pytest.raises(ValueError, match="between 0 and 1"):
            split_pairs(pairs, wrong)


def test_images_become_one_tensor(tmp_path):
    Image.new("RGBA", (10, 10), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 8:16] = (0, 255, 0)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.new("RGB", (400, 200), (0, 0, 255)).save(tmp_path / "large.jpg")
    images = load_images([tmp_path / "clear.png", str(tmp_path / "wide.png")], 8)
    assert images.shape == (2, 3, 8, 8) and images.dtype == torch.float32
    assert (images[0] == 1).all()  # see-through is white, not the red that lies below it
    green = torch.tensor([-1.0, 1.0, -1.0])[:, None, None].expand(3, 8, 8)
    torch.testing.assert_close(images[1], green)  # the middle of three squares
    blue = load_images([Pair(tmp_path / "large.jpg", "blue")], 8)[0].mean((1, 2))
    torch.testing.assert_close(blue, torch.tensor([-1.0, -1.0, 1.0]), rtol=0, atol=0.05)


def test_the_real_emoji(real_data):
    root = real_data("emoji")
    everything, train, test = (load_emoji(root, part) for part in ("all", "train", "test"))
    assert len(everything) == len({pair.text for pair in everything}) == 1650
    assert sorted(train + test) == sorted(everything) and 150 <= len(test) <= 165
    assert not {pair.family for pair in train} & {pair.family for pair in test}
    assert all(pair.family and "skin tone" not in pair.text for pair in everything)
    start = time.process_time()
    images = load_images(everything, 32)
    assert time.process_time() - start < 5
    assert images.shape == (1650, 3, 32, 32)
    # Emoji are round things on a clear ground: most corners are white, hardly an image is empty.
    assert (images[:, :, 0, 0] == 1).all(1).float().mean() > 0.9
    assert (images.flatten(1).std(1) > 0.05).float().mean() > 0.99


def test_the_table_of_the_emoji_is_a_table_of_pairs(real_data):
    pairs = read_pairs(real_data("emoji") / "emoji" / "pairs.tsv")
    assert len(pairs) == 3530 and pairs[1].text == "keycap: #" and pairs[1].family == "23"
    train, test = split_pairs(pairs)
    assert abs(len(test) - 353) < 10
    assert not {pair.family for pair in train} & {pair.family for pair in test}
