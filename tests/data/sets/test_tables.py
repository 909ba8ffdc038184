"""Tables as text files; `test_pairs.py` tries what a table of images may get wrong."""

import pytest

from scratchmm.data.sets.tables import read_lines, read_rows


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\nsize 5\n",
            "pairs.tsv is no text but a pointer",
        ),
        (b"<!DOCTYPE html>\n<html>\n", "pairs.tsv is no text but a web page"),
        (b"\x1f\x8b\x08\0", "pairs.tsv is no text but compressed by gzip"),
        (b"PK\3\4\x14\0", r"pairs.tsv is no text but a ZIP archive, as Excel's \.xlsx"),
    ],
)
def test_what_is_no_table_at_all_is_told_by_its_kind(tmp_path, content, sentence):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(content)
    for read in (read_lines, read_rows):
        with pytest.raises(ValueError, match=sentence):
            read(path)


def test_a_text_that_looks_like_markup_further_on_is_a_text(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a red ring\n<html> on a blue square\nPK\n")
    assert [line for _, line in read_lines(path)] == [
        "a red ring",
        "<html> on a blue square",
        "PK",
    ]
